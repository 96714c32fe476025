"""client.stall_timeout: a client that reads nothing of its response leaves a slot that others want.

Who is cut, when, and who is spared is in tests/unit/proxy/test_exchange_response.c.
"""

import time

import pytest

from support import origin as app
from support import wire
from support.waiting import SOON, until

MIB = 1 << 20
BIG = 32 * MIB  # more than kernels and weir keep


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
    assert weir.log().count("client.stall_timeout while other requests waited") == 1


def test_the_log_names_a_client_that_has_no_address(world):
    _, weir, _ = stalled(world, listen="unix:" + world.path("weir.sock"))
    assert world.connect(weir).ask("GET", "/next").status == 200
    assert "while other requests waited for its slot (client on a Unix socket, request id " in weir.log()


def test_the_app_hears_of_it_where_aborts_are_passed_on(world):
    origin, weir, client = stalled(world, on_client_abort="close")
    assert world.connect(weir).ask("GET", "/next").status == 200
    weir.wait_in_flight(0)
    until(lambda: origin.seen("/big")[0].connection.peer_gone(), "the app to hear of it")


def test_a_slow_reader_that_takes_is_not_cut(world):
    origin, weir, client = stalled(world, client_stall_timeout="500ms", buffers_response="16KiB")
    waiter = world.connect(weir).get("/next")
    weir.wait_depth(1)
    got = client.slowly(1.2)
    assert got + client.exactly(BIG - len(got)) == bytes(BIG)
    assert waiter.response().status == 200
    assert gone(weir) == 0
