"""A drain under load loses nothing: what was accepted is served, what comes later is told that its
connection ends, and then refused."""

import os

import pytest

from support import drainload
from support import origin as app
from support.drainload import Load
from support.waiting import until

RUNNING, WAITING, KEEPING, SOCKETS, STREAMS = 50, 50, 20, 5, 5
ANSWERED_BY_WEIR = ("OPTIONS", "/", "Max-Forwards: 0")  # without a slot, so not behind the queue
LIMIT = RUNNING + SOCKETS + STREAMS
TIMES = int(os.environ.get("DRAIN_RUNS", "1"))
SLOWER = float(os.environ.get("DRAIN_SLOWER", "1"))  # of the drain's times


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def draining(world, threads):
    origin, weir = world.pair(
        threads=threads,
        concurrency=LIMIT,
        upgrades_max=SOCKETS,
        queue_timeout="60s",
        drain_delay="%dms" % (1300 * SLOWER),
        drain_timeout="%dms" % (3000 * SLOWER),
    )
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer(b"held"))
    origin.on("/ws", app.send(drainload.SWITCH), drainload.frames_until_closed())
    origin.on("/events", app.send(drainload.EVENTS), drainload.in_halves(chunk(drainload.EVENT)))
    return origin, weir, gate


def busy(weir, load):
    """Everybody is there: some run, some wait, and those who keep on have been served before. Half
    of these now wait too, and the others go on."""
    load.keep_on(KEEPING // 2, "GET", "/quick")
    load.keep_on(KEEPING // 2, *ANSWERED_BY_WEIR)
    until(lambda: load.rounds > 3 * KEEPING, "those who keep on")
    load.websockets(SOCKETS, "/ws")
    load.event_streams(STREAMS, "/events")
    until(lambda: weir.glance().one("weir_upgrades_in_flight") == SOCKETS, "the WebSockets")
    load.ask(RUNNING + WAITING, "/held")
    until(
        lambda: weir.glance().one("weir_requests_in_flight") == LIMIT
        and weir.metrics().total("weir_queue_depth") >= WAITING,
        "the queue",
    )


def is_announced(client):
    return client.ask(*ANSWERED_BY_WEIR).has("Connection", "close")


@pytest.mark.alone
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("run", range(TIMES))
def test_a_drain_under_load_loses_nothing(world, threads, run):
    origin, weir, gate = draining(world, threads)
    load = Load(weir.address)
    busy(weir, load)
    of_each_thread = [world.connect(weir) for _ in range(threads)]  # nobody else connects now
    weir.signal()
    until(lambda: weir.admin_get("/readyz").status == 503, "readyz to fail")
    for client in of_each_thread:
        until(lambda c=client: is_announced(c), "the thread to hear of it")
    load.announced = True
    gate.open()
    load.done(within=30)
    assert not load.wrong, "\n".join(load.wrong)
    assert load.statuses == [200] * (RUNNING + WAITING)
    assert load.unannounced == 0
    assert all(call.closed_by_frame for call in origin.seen("/ws"))
    weir.exited(0)
