"""When descriptors run out: nobody is lost, nothing spins, and the app keeps its share."""

import os
import resource
import time

import pytest

from support import origin as app
from support.waiting import stays, until

FEW = 172  # weir keeps 128 for itself
THREADS = pytest.mark.parametrize("threads", [1, 2])


def limit(weir, n):
    """Its soft limit from now on: a new descriptor must be below it."""
    _, hard = resource.prlimit(weir.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(weir.process.pid, resource.RLIMIT_NOFILE, (n, hard))


def cpu_seconds(weir):
    with open(f"/proc/{weir.process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def settled(weir):
    """Its descriptors, once those of scrapes and probes are closed."""
    seen = []

    def same():
        seen.append(sorted(int(name) for name in os.listdir(f"/proc/{weir.process.pid}/fd")))
        return len(seen) > 10 and all(one == seen[-1] for one in seen[-10:]) and seen[-1]

    return until(same, "the descriptors to stay as they are")


def use_up(world, weir, least=0):
    """Idle clients, so many that none of its descriptors is free below the last; and then it gets no
    more. The kernel gives the lowest that is free, so where one closes there is one."""
    idle = [world.connect(weir) for _ in range(least)]
    while len(taken := settled(weir)) <= taken[-1]:
        idle.append(world.connect(weir))
    limit(weir, len(taken))
    return idle


def test_fewer_clients_are_let_in_where_descriptors_are_few(world):
    origin = world.origin()
    weir = world.weir(origin, concurrency=10, nofile=FEW)
    assert "the descriptor limit is 172" in weir.log()
    crowd = [world.connect(weir) for _ in range(FEW)]
    until(lambda: weir.glance().total("weir_connections", side="client") == 34, "34 clients let in")
    # The last of the crowd, and who comes now, are let in and served: as many as the limit at once.
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    inside = [client.get("/held") for client in crowd[-5:]]
    inside += [world.connect(weir).get("/held") for _ in range(5)]
    origin.wait_inside(10)
    more = [world.connect(weir) for _ in range(FEW)]
    inside.append(more[-1].get("/late"))
    weir.wait_depth(1)
    gate.open()
    for client in inside:
        assert client.response().status == 200


def test_each_further_thread_keeps_eight_for_itself(world):
    weir = world.weir(world.origin(), concurrency=10, threads=7, nofile=FEW + 24)
    crowd = [world.connect(weir) for _ in range(FEW)]
    until(lambda: weir.glance().total("weir_connections", side="client") == 10, "10 clients let in")
    assert len(crowd) > 10


@THREADS
def test_without_a_free_descriptor_the_idle_make_room_and_nothing_spins(world, threads):
    """Nobody can while all are served: then new clients wait."""
    origin, weir = world.pair(threads=threads, upstream_connect_timeout="20s")
    gate = origin.gate()
    origin.default = (app.wait(gate), app.answer())
    served = [world.connect(weir).get("/") for _ in range(threads)]
    origin.wait_inside(threads)
    idle = use_up(world, weir, least=2)
    new = [world.connect(weir).get("/") for _ in range(2 * len(idle))]
    for client in idle:
        assert client.rest() == b""
    until(lambda: "ulimit -n" in weir.log(), "the log line")
    before = cpu_seconds(weir)
    began = time.monotonic()
    stays(lambda: all(client.is_open() for client in served + new), "all", during=0.5, every=0.05)
    took = time.monotonic() - began
    assert cpu_seconds(weir) - before < 0.5 * took
    limit(weir, 1024)
    gate.open()
    for client in served + new:
        assert client.response().status == 200


@THREADS
def test_without_a_free_descriptor_the_idle_make_room_for_a_connection_to_the_app(world, threads):
    _, weir = world.pair(threads=threads)
    client = world.connect(weir)
    idle = use_up(world, weir, least=threads)
    assert client.ask("GET", "/").status == 200
    assert any(not other.is_open() for other in idle)
    limit(weir, 1024)


def test_an_app_that_cannot_be_connected_to_for_lack_of_descriptors_is_a_502(world):
    origin, weir = world.pair(upstream_connect_timeout="300ms")
    client = world.connect(weir)
    until(lambda: weir.glance().total("weir_connections", side="client") == 1, "the client let in")
    taken = settled(weir)
    limit(weir, min(set(range(len(taken) + 1)) - set(taken)))
    answer = client.ask("GET", "/")
    assert (answer.status, answer.get("Weir-Reason")) == (502, "connect_failed")
    assert "connect: Too many open files: raise the descriptor limit (ulimit -n)" in weir.log()
    limit(weir, 1024)
    assert client.ask("GET", "/").status == 200
