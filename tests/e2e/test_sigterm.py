"""The end: what runs and waits is served, newcomers are turned away, the exit code tells."""

import signal
import time

import pytest

from support import origin as app
from support.client import Client
from support.waiting import SOON, until
from support.world import scaled


def is_refused(address):
    try:
        Client(address, timeout=2).fin()
        return False
    except OSError:
        return True


def drain(weir, idle):
    """The signal, and the end of a connection that has been served and is idle. The listener closes
    before that: only then has the thread that serves heard of it."""
    weir.signal()
    assert idle.rest() == b""
    assert is_refused(weir.address)


def served(world, weir):
    client = world.connect(weir)
    assert client.ask("GET", "/idle").status == 200
    return client


def busy(world, waiting=3, **options):
    """One request inside, some waiting: (origin, weir, gate, clients)."""
    origin, weir = world.pair(concurrency=1, **options)
    gate = origin.gate()
    origin.on("/", app.wait(gate), app.answer(b"served"))
    clients = [world.connect(weir).get("/") for _ in range(1 + waiting)]
    origin.wait_inside(1)
    weir.wait_depth(waiting)
    return origin, weir, gate, clients


def test_what_runs_and_what_waits_is_served_before_the_end(world):
    origin, weir = world.pair(concurrency=1)
    idle = served(world, weir)
    gate = origin.gate()
    origin.on("/", app.wait(gate), app.answer(b"served"))
    clients = [world.connect(weir).get("/") for _ in range(4)]
    weir.wait_depth(3)
    drain(weir, idle)
    gate.open()
    for client in clients:
        answer = client.response()
        assert (answer.status, answer.body) == (200, b"served")
        assert answer.has("Connection", "close")
    world.exited(weir)
    assert origin.targets() == ["/idle", *["/"] * 4]


def test_readyz_fails_and_livez_holds_while_it_drains(world):
    _, weir, gate, clients = busy(world)
    weir.signal()
    until(lambda: weir.admin_get("/readyz").status == 503, "readyz to fail")
    assert weir.admin_get("/livez").status == 200
    gate.open()
    for client in clients:
        assert client.response().status == 200
    world.exited(weir)


def test_idle_keep_alive_connections_are_closed_in_order(world):
    _, weir = world.pair(drain_timeout="20s")
    clients = [world.connect(weir) for _ in range(5)]
    for client in clients:
        assert client.ask("GET", "/").status == 200
    began = time.monotonic()
    weir.signal()
    for client in clients:
        assert client.rest() == b""
    world.exited(weir)
    assert time.monotonic() - began < SOON


def test_with_nothing_to_do_it_ends_at_once(world):
    _, weir = world.pair(drain_timeout="20s")
    began = time.monotonic()
    weir.stop()
    assert time.monotonic() - began < SOON


def test_a_streaming_answer_is_finished(world):
    origin, weir = world.pair()
    gate = origin.gate()
    origin.on("/s", app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst"),
              app.wait(gate), app.send(b"later"))
    client = world.connect(weir).get("/s")
    assert client.final_head().status == 200 and client.exactly(5) == b"first"
    weir.signal()
    until(lambda: is_refused(weir.address), "the listener to close")
    gate.open()
    assert client.exactly(5) == b"later"
    assert client.rest() == b""
    world.exited(weir)


def test_what_came_behind_an_answer_that_did_not_say_close_is_served(world):
    origin, weir = world.pair()
    gate = origin.gate()
    origin.on("/s", app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst"),
              app.wait(gate), app.send(b"later"))
    client = world.connect(weir).get("/s")
    head = client.final_head()
    assert client.exactly(5) == b"first" and not head.has("Connection", "close")
    client.get("/next")
    drain(weir, served(world, weir))
    gate.open()
    assert client.exactly(5) == b"later"
    answer = client.response()
    assert answer.status == 200 and answer.has("Connection", "close")
    assert client.rest() == b""
    world.exited(weir)


def test_a_request_that_is_arriving_is_served(world):
    origin, weir, gate, clients = busy(world, waiting=0)
    late = world.connect(weir)
    late.send(b"GET /late HTTP/1.1\r\nHost: a\r\n")
    until(lambda: weir.glance().total("weir_connections", side="client") == 2, "both clients")
    weir.signal()
    until(lambda: is_refused(weir.address), "the listener to close")
    late.send(b"\r\n")
    gate.open()
    assert clients[0].response().status == 200
    assert late.response().status in (200, 503)
    world.exited(weir)


def test_what_still_waits_at_the_end_of_the_drain_is_told(world):
    origin, weir, gate, clients = busy(world, drain_timeout="1s", waiting=2)
    weir.signal()
    began = time.monotonic()
    for client in clients[1:]:
        answer = client.response()
        assert answer.status == 503 and answer.get("Weir-Reason") == "draining"
    assert time.monotonic() - began < SOON
    gate.open()
    weir.exited(3)


def test_the_drain_timeout_bounds_the_end(world):
    origin, weir = world.pair(concurrency=1, drain_timeout="1s")
    origin.on("/", app.hang())
    client = world.connect(weir).get("/")
    origin.wait_inside(1)
    began = time.monotonic()
    weir.signal()
    weir.exited(3)
    assert 0.5 < time.monotonic() - began < SOON
    client.until_closed()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_cuts_now(world, second):
    origin, weir, gate, clients = busy(world, drain_timeout="20s")
    began = time.monotonic()
    weir.signal()
    until(lambda: is_refused(weir.address), "the listener to close")
    weir.signal(second)
    weir.exited(3)
    assert time.monotonic() - began < SOON
    for client in clients:
        client.until_closed()


def test_sigint_drains_too(world):
    _, weir, gate, clients = busy(world)
    weir.signal(signal.SIGINT)
    until(lambda: is_refused(weir.address), "the listener to close")
    gate.open()
    for client in clients:
        assert client.response().status == 200
    world.exited(weir)


def test_an_orphan_is_waited_for(world):
    origin, weir, gate, clients = busy(world, waiting=0)
    clients[0].rst()
    until(lambda: weir.glance().one("weir_orphans_in_flight") == 1, "the orphan")
    weir.signal()
    until(lambda: is_refused(weir.address), "the listener to close")
    assert weir.process.poll() is None
    gate.open()
    world.exited(weir)


def test_the_signal_during_start_up_ends_it(world):
    weir = world.weir("127.0.0.1:1", wait="/livez")
    weir.stop()


def test_signals_that_come_until_the_very_end_do_not_change_the_status(world):
    origin = world.origin()
    for _ in range(scaled(60, least=10)):
        weir = world.weir(origin)
        within = time.monotonic() + SOON
        while weir.process.poll() is None and time.monotonic() < within:
            weir.signal()
        weir.exited(0)
