"""client.stall_timeout: a client that takes nothing of its response leaves a slot that others want."""

import time

import pytest

from support import origin as app
from support import wire
from support.waiting import SOON, one_in_time, stays, until

MIB = 1 << 20
BIG = 32 * MIB  # more than kernels and weir keep
ASK = ("Connection: Upgrade", "Upgrade: raw")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"


def stalled(world, size=BIG, **options):
    """A client that has read the head of a response and then stops: (origin, weir, client)."""
    options = {"concurrency": 1, "client_stall_timeout": "300ms", "queue_timeout": "20s", **options}
    origin, weir = world.pair(**options)
    origin.on("/big", app.answer(bytes(size)))
    client = world.narrow(weir).get("/big")
    assert client.final_head().status == 200
    return origin, weir, client


def count(weir, name, **labels):
    return weir.metrics().total(name, **labels)


def gone(weir):
    return count(weir, "weir_requests_total", code="499")


def test_a_stalled_client_is_cut_when_another_waits_for_its_slot(world):
    origin, weir, client = stalled(world)
    began = time.monotonic()
    answer = world.connect(weir).ask("GET", "/next")
    assert answer.status == 200
    assert time.monotonic() - began < SOON
    client.sock.settimeout(5)
    with pytest.raises(wire.Truncated):  # a reset, where an end might look like the whole
        client.rest()
    m = weir.wait_counted(2)
    assert m.one("weir_requests_total", code="499", source="client_gone") == 1
    assert m.one("weir_client_backpressure_seconds_total") > 0.2
    assert origin.most_inside == 1
    assert weir.log().count("client.stall_timeout was cut") == 1


def test_the_log_names_a_client_that_has_no_address(world):
    _, weir, _ = stalled(world, listen="unix:" + world.path("weir.sock"))
    assert world.connect(weir).ask("GET", "/next").status == 200
    assert "was cut, since others wait for its slot (client on a Unix socket, request id " in weir.log()


def test_it_is_cut_at_once_when_it_has_stalled_for_long_before_another_comes(world):
    def next_waits():
        origin, weir, client = stalled(world, client_stall_timeout="1s")
        stays(lambda: gone(weir) == 0, "the client", during=1.2)
        began = time.monotonic()
        assert world.connect(weir).ask("GET", "/next").status == 200
        return time.monotonic() - began

    one_in_time(next_waits, 0.8)


def test_the_app_hears_of_it_where_aborts_are_passed_on(world):
    origin, weir, client = stalled(world, on_client_abort="close")
    assert world.connect(weir).ask("GET", "/next").status == 200
    weir.wait_in_flight(0)
    until(lambda: origin.seen("/big")[0].connection.peer_gone(), "the app to hear of it")


def test_a_stalled_client_stays_while_nobody_waits(world):
    origin, weir, client = stalled(world, concurrency=2)
    for _ in range(10):  # others are served by the slot that is left
        assert world.connect(weir).ask("GET", "/next").status == 200
        stays(lambda: gone(weir) == 0, "the client", during=0.1)
    assert client.exactly(BIG) == bytes(BIG)


def test_a_slow_reader_that_takes_is_not_cut(world):
    origin, weir, client = stalled(world, client_stall_timeout="1s", buffers_response="16KiB")
    waiter = world.connect(weir).get("/next")
    weir.wait_depth(1)
    got = client.slowly(2.5)
    assert got + client.exactly(BIG - len(got)) == bytes(BIG)
    assert waiter.response().status == 200
    assert gone(weir) == 0


def test_a_client_that_stops_after_it_took_some_is_measured_from_then_on(world):
    origin, weir, client = stalled(world, client_stall_timeout="800ms")
    waiter = world.connect(weir).get("/next")
    weir.wait_depth(1)
    client.slowly(1)
    assert (gone(weir), waiter.is_open()) == (0, True)
    assert waiter.response().status == 200
    assert gone(weir) == 1


def test_a_response_that_the_app_has_finished_is_not_cut(world):
    origin, weir = world.pair(concurrency=1, client_stall_timeout="100ms", buffers_response="64MiB")
    origin.on("/big", app.answer(bytes(BIG)))
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    client = world.connect(weir).get("/big")
    assert client.final_head().status == 200
    weir.wait_in_flight(0)
    held, waiter = [world.connect(weir).get("/held") for _ in range(2)]
    weir.wait_depth(1)
    stays(lambda: gone(weir) == 0, "the client", during=0.5)
    gate.open()
    assert [held.response().status, waiter.response().status] == [200, 200]
    assert client.exactly(BIG) == bytes(BIG)


def test_a_client_of_a_slow_app_is_not_cut_for_it(world):
    """It has taken all that there is: what the app has not yet sent is not its fault."""
    origin, weir = world.pair(concurrency=1, client_stall_timeout="100ms")
    gate = origin.gate()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (BIG + 1)
    origin.on("/slow", app.send(head + bytes(BIG)), app.wait(gate), app.send(b"x"))
    client = world.connect(weir).get("/slow")
    assert client.final_head().status == 200
    waiter = world.connect(weir).get("/next")
    assert client.exactly(BIG) == bytes(BIG)
    weir.wait_depth(1)
    stays(lambda: gone(weir) == 0, "the client", during=0.5)
    gate.open()
    assert client.exactly(1) == b"x"
    assert waiter.response().status == 200


def test_after_a_stall_the_app_has_its_whole_time_again(world):
    """The exchange's timer was the client's meanwhile."""
    origin, weir = world.pair(client_stall_timeout="50ms", upstream_idle_timeout="1s")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (BIG + 1)
    origin.on("/slow", app.send(head + bytes(BIG)), app.wait(origin.gate()), app.answer())
    client = world.connect(weir).get("/slow")
    until(lambda: count(weir, "weir_buffered_bytes", what="response") >= 65536, "the buffer to be full")
    stays(lambda: gone(weir) == 0, "the client", during=0.3)
    assert client.final_head().status == 200
    assert client.exactly(BIG) == bytes(BIG)
    stays(client.is_open, "the response", during=0.5)
    assert client.until_closed() == b""
    assert "upstream.idle_timeout" in weir.log()


def test_a_tunnel_is_spared(world):
    origin, weir = world.pair(concurrency=2, client_stall_timeout="100ms")
    origin.on("/t", app.send(SWITCH + bytes(BIG)), app.close())
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    tunnel = world.connect(weir).get("/t", *ASK)
    assert tunnel.head().status == 101
    held, waiter = [world.connect(weir).get("/held") for _ in range(2)]
    weir.wait_depth(1)
    stays(lambda: count(weir, "weir_upgrades_in_flight") == 1, "the tunnel", during=0.5)
    gate.open()
    assert [held.response().status, waiter.response().status] == [200, 200]
    assert len(tunnel.rest()) == BIG
