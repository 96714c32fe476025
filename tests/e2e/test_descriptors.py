"""When descriptors run out: nobody is lost, nothing spins, and the app keeps its share."""

import os
import resource
import time

from support import origin as app
from support.waiting import stays, until

FEW = 140  # weir keeps 96 for itself


def limit(weir, n):
    """Its soft limit from now on: a new descriptor must be below it."""
    _, hard = resource.prlimit(weir.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(weir.process.pid, resource.RLIMIT_NOFILE, (n, hard))


def cpu_seconds(weir):
    with open(f"/proc/{weir.process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def next_descriptor(weir):
    """The number that the kernel would give next: the lowest that is free."""
    taken = {int(name) for name in os.listdir(f"/proc/{weir.process.pid}/fd")}
    return min(set(range(len(taken) + 1)) - taken)


def settled(weir):
    """That number, once those of scrapes and probes are closed."""
    seen = []

    def same():
        seen.append(next_descriptor(weir))
        return len(seen) > 10 and len(set(seen[-10:])) == 1 and seen[-1]

    return until(same, "the descriptors to stay as they are")


def test_fewer_clients_are_let_in_where_descriptors_are_few(world):
    origin = world.origin()
    weir = world.weir(origin, concurrency=10, nofile=FEW)
    assert "descriptors are limited to 140" in weir.log()
    first = world.connect(weir)
    assert first.ask("GET", "/").status == 200
    crowd = [world.connect(weir) for _ in range(FEW)]
    until(lambda: weir.metrics().total("weir_connections", side="client") == 34, "34 clients let in")
    # Whoever is in is served, though the crowd would have taken every descriptor there is.
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    inside = [client.get("/held") for client in [first, *crowd[:9]]]
    origin.wait_inside(10)
    gate.open()
    for client in inside:
        assert client.response().status == 200
    # Who leaves makes room for who waits.
    late = crowd[-1].get("/late")
    for client in crowd[:-1]:
        client.fin()
    assert late.response().status == 200


def test_each_further_thread_keeps_four_for_itself(world):
    weir = world.weir(world.origin(), concurrency=10, threads=7, nofile=FEW)
    crowd = [world.connect(weir) for _ in range(FEW)]
    until(lambda: weir.metrics().total("weir_connections", side="client") == 10, "10 clients let in")
    assert len(crowd) > 10


def test_without_a_free_descriptor_new_clients_wait_and_nothing_spins(world):
    origin, weir = world.pair()
    client = world.connect(weir)
    assert client.ask("GET", "/").status == 200
    limit(weir, settled(weir))
    waiting = world.connect(weir).get("/waiting")
    until(lambda: "ulimit -n" in weir.log(), "the log line")
    before = cpu_seconds(weir)
    began = time.monotonic()
    stays(lambda: client.ask("GET", "/").status == 200, "service", during=0.5, every=0.05)
    took = time.monotonic() - began
    assert cpu_seconds(weir) - before < 0.5 * took
    assert origin.seen("/waiting") == []
    limit(weir, 1024)
    assert waiting.response().status == 200


def test_an_app_that_cannot_be_connected_to_for_lack_of_descriptors_is_a_502(world):
    origin, weir = world.pair()
    client = world.connect(weir)
    until(lambda: weir.metrics().total("weir_connections", side="client") == 1, "the client let in")
    limit(weir, settled(weir))
    answer = client.ask("GET", "/")
    assert (answer.status, answer.get("Weir-Reason")) == (502, "connect_failed")
    assert "connect: Too many open files: raise the descriptor limit (ulimit -n)" in weir.log()
    limit(weir, 1024)
    assert client.ask("GET", "/").status == 200
