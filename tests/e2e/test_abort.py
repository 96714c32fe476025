"""Clients that leave: from the queue without a trace, from the app without freeing its slot."""

import asyncio
import importlib.util
import itertools
import json
import os
import shutil
import sys
import time

import pytest

from support import origin as app
from support.client import Client
from support.uvicorn import running
from support.waiting import SOON, one_in_time, stays, until
from support.weir import free_port
from support.world import scaled

LEAVE = {"fin": lambda client: client.fin(), "rst": lambda client: client.rst()}
LEAVING = pytest.mark.parametrize("how", LEAVE)


@LEAVING
def test_ten_clients_leave_and_the_eleventh_is_alone_in_the_app(world, how):
    one_in_time(lambda: seconds_of_the_patient(world, how), 1.2)


def seconds_of_the_patient(world, how):
    """From the moment that the app begins its first half second of work."""
    origin, weir = world.pair(concurrency=1)
    gate = origin.gate()
    origin.on("/slow", app.wait(gate), app.delay(0.5), app.answer(b"slow"))
    leavers = [world.connect(weir).get("/slow", "X-Who: leaver")]
    origin.wait_inside(1)
    leavers += [world.connect(weir).get("/slow", "X-Who: leaver") for _ in range(9)]
    weir.wait_depth(9)
    patient = world.connect(weir).get("/slow", "X-Who: patient")
    weir.wait_depth(10)
    began = time.monotonic()
    gate.open()
    time.sleep(max(0, began + 0.1 - time.monotonic()))  # their patience, not a wait of the test
    for client in leavers:
        LEAVE[how](client)
    answer = patient.response()
    seconds = time.monotonic() - began
    assert answer.status == 200 and answer.body == b"slow"
    assert origin.most_inside == 1
    assert [call.get("X-Who") for call in origin.calls] == ["leaver", "patient"]
    m = weir.wait_counted(11)
    assert m.one("weir_requests_orphaned_total") == 1
    assert m.total("weir_requests_total", code="499", source="client_gone") == 10
    assert m.total("weir_queue_waits_total", outcome="client_gone") == 9
    world.expect_requests(weir, 11)
    return seconds


@LEAVING
def test_an_orphan_keeps_its_slot_until_the_apps_last_byte(world, how):
    origin, weir = world.pair(concurrency=1)
    gate = origin.gate()
    origin.on("/s", app.send(app.wire.response(200, body=None)[:-2] + b"Content-Length: 6\r\n\r\n"),
              app.send(b"one"), app.wait(gate), app.send(b"two"))
    client = world.connect(weir).get("/s")
    assert client.final_head().status == 200
    assert client.exactly(3) == b"one"
    LEAVE[how](client)
    until(lambda: weir.glance().one("weir_orphans_in_flight") == 1, "the orphan")
    nextone = world.connect(weir).get("/next")
    weir.wait_depth(1)
    stays(lambda: not origin.seen("/next"), "the next request outside")
    gate.open()
    assert nextone.response().status == 200
    assert origin.most_inside == 1
    m = weir.wait_quiet()
    assert m.one("weir_requests_orphaned_total") == 1
    assert m.total("weir_orphan_hold_seconds_sum") >= 0.25


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def events(call):
    """Until the reader has left."""
    call.waiting_for_peer = True
    await call.send(STREAM)
    while not call.connection.peer_gone():
        await call.send(b"9\r\ndata: 1\n\n\r\n")
        await asyncio.sleep(0.02)
    call.finish()


@LEAVING
def test_a_stream_without_a_reader_is_closed_after_the_orphan_timeout(world, how):
    origin, weir = world.pair(concurrency=1, upstream_orphan_timeout="400ms")
    origin.on("/events", events)
    client = world.connect(weir).get("/events")
    assert client.final_head().status == 200
    nextone = world.connect(weir).get("/next")
    weir.wait_depth(1)
    LEAVE[how](client)
    began = time.monotonic()
    assert nextone.response().status == 200
    assert 0.3 < time.monotonic() - began < 0.4 + SOON
    assert origin.most_inside == 1
    assert weir.wait_counted(2).one("weir_requests_orphaned_total") == 1
    world.expect_requests(weir, 2)


@LEAVING
def test_an_unanswered_handshake_ends_with_its_client(world, how):
    origin, weir = world.pair(concurrency=1, upgrades_max=1)
    origin.on("/ws", app.hang())
    client = world.connect(weir).get("/ws", "Connection: Upgrade", "Upgrade: websocket")
    origin.wait_inside(1)
    LEAVE[how](client)
    began = time.monotonic()
    assert world.connect(weir).ask("GET", "/next").status == 200
    assert time.monotonic() - began < SOON
    assert origin.seen("/ws")[0].connection.peer_gone()
    m = weir.wait_counted(2)
    assert m.one("weir_requests_orphaned_total") == 0
    world.expect_requests(weir, 2)


def test_an_orphan_is_bounded_by_the_first_byte_timeout(world):
    origin, weir = world.pair(concurrency=1, upstream_first_byte_timeout="500ms")
    origin.on("/hang", app.hang())
    client = world.connect(weir).get("/hang")
    origin.wait_inside(1)
    client.rst()
    began = time.monotonic()
    assert world.connect(weir).ask("GET", "/next").status == 200
    assert time.monotonic() - began < SOON
    assert origin.most_inside == 1


@LEAVING
def test_on_client_abort_close_closes_the_connection_and_frees_the_slot(world, how):
    origin, weir = world.pair(concurrency=1, on_client_abort="close")
    origin.on("/hang", app.hang())
    client = world.connect(weir).get("/hang")
    origin.wait_inside(1)
    second = world.connect(weir).get("/next")
    weir.wait_depth(1)
    LEAVE[how](client)
    began = time.monotonic()
    assert second.response().status == 200
    assert time.monotonic() - began < SOON
    assert origin.seen("/hang")[0].connection.peer_gone()
    m = weir.wait_counted(2)
    assert m.one("weir_requests_orphaned_total") == 0
    assert m.total("weir_requests_total", source="client_gone") == 1
    world.expect_requests(weir, 2)


def test_a_half_closed_client_has_left_by_default(world):
    origin, weir = world.pair(concurrency=1)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    inside = world.connect(weir).get("/held")
    origin.wait_inside(1)
    waiting = world.connect(weir).get("/never")
    weir.wait_depth(1)
    waiting.half_close()
    weir.wait_depth(0)
    inside.half_close()
    until(lambda: weir.glance().one("weir_orphans_in_flight") == 1, "the orphan")
    gate.open()
    weir.wait_quiet()
    assert origin.seen("/never") == []
    world.expect_requests(weir, 2)


def test_half_close_allow_answers_those_who_only_ended_their_side(world):
    origin, weir = world.pair(concurrency=1, client_half_close="allow")
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer(b"held"))
    origin.on("/queued", app.answer(b"queued"))
    inside = world.connect(weir).get("/held").half_close()
    origin.wait_inside(1)
    waiting = world.connect(weir).get("/queued").half_close()
    weir.wait_depth(1)
    gate.open()
    assert inside.response().body == b"held"
    assert waiting.response().body == b"queued"
    assert inside.until_closed() == b"" and waiting.until_closed() == b""
    m = weir.metrics()
    assert m.one("weir_requests_orphaned_total") == 0
    world.expect_requests(weir, 2)


def test_half_close_allow_still_sees_a_reset(world):
    origin, weir = world.pair(concurrency=1, client_half_close="allow")
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    world.connect(weir).get("/held")
    origin.wait_inside(1)
    waiting = world.connect(weir).get("/never")
    weir.wait_depth(1)
    waiting.rst()
    weir.wait_depth(0)
    gate.open()
    weir.wait_quiet()
    assert origin.seen("/never") == []


@LEAVING
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_leaving_in_an_upload_never_completes_the_request_and_frees_the_slot(world, how, framing):
    origin, weir = world.pair(concurrency=4)
    origin.on("/up", app.read_body(), app.answer())
    head = app.wire.request("POST", "/up")[:-2]
    if framing == "length":
        part = head + b"Content-Length: 500000\r\n\r\n" + b"x" * 200000
    else:
        part = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"30d40\r\n" + b"x" * 200000 + b"\r\n"
    client = world.connect(weir).send(part)
    origin.wait_inside(1)
    LEAVE[how](client)
    until(lambda: not origin.inside, "the app to see the end")
    call = origin.seen("/up")[0]
    assert not call.complete and call.size <= 200000
    assert weir.wait_quiet().one("weir_requests_in_flight") == 0
    again = [world.connect(weir).get("/") for _ in range(4)]
    assert [client.response().status for client in again] == [200] * 4
    world.expect_requests(weir, 5)


def test_a_pipelining_client_that_leaves_takes_its_unread_requests_along(world):
    origin, weir = world.pair(concurrency=1)
    gate = origin.gate()
    origin.on("/0", app.wait(gate), app.answer())
    client = world.connect(weir)
    client.send(b"".join(app.wire.request("GET", f"/{i}") for i in range(5)))
    origin.wait_inside(1)
    client.rst()
    until(lambda: weir.glance().one("weir_orphans_in_flight") == 1, "the orphan")
    gate.open()
    weir.wait_quiet()
    assert world.connect(weir).ask("GET", "/after").status == 200
    assert origin.targets() == ["/0", "/after"]


def test_a_client_that_reads_nothing_is_cut_after_the_send_timeout(world):
    origin, weir = world.pair(concurrency=1, client_send_timeout="500ms")
    size = 32 << 20
    origin.on("/big", app.answer(bytes(size)))
    client = world.connect(weir).get("/big")
    assert client.final_head().status == 200
    began = time.monotonic()
    assert world.connect(weir).ask("GET", "/next").status == 200
    assert time.monotonic() - began < 10
    assert len(client.until_closed()) < size


def test_what_a_clients_kernel_takes_is_no_reading(world):
    """Bytes are on their way when the wait begins: their arrival must not begin it anew."""
    timeout = 0.8
    origin, weir = world.pair(concurrency=1, client_send_timeout=f"{timeout * 1000:.0f}ms")
    origin.on("/big", app.answer(bytes(32 << 20)))

    def next_waits():
        client = world.connect(weir).get("/big")
        assert client.final_head().status == 200
        began = time.monotonic()
        assert world.connect(weir).ask("GET", "/next").status == 200
        return time.monotonic() - began

    one_in_time(next_waits, 1.6 * timeout)


# ---- streams of real apps that lose their readers --------------------------------------------------

APPS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps")


def fastapi(port):
    command = [sys.executable, "-m", "uvicorn", "--app-dir", APPS, "--host", "127.0.0.1"]
    return [*command, "--port", str(port), "--log-level", "warning", "stream_app:app"]


def node(port):
    return ["node", os.path.join(APPS, "stream.mjs"), str(port)]


@pytest.fixture(params=[fastapi, node], ids=lambda server: server.__name__)
def streaming(request, tmp_path):
    """The port of a real app with event streams."""
    name = request.param.__name__
    if not importlib.util.find_spec(name) and not shutil.which(name):
        pytest.skip(f"not installed: {name}")
    port = free_port()
    with running(request.param(port), port, tmp_path):
        yield port


def seen_by(port):
    """Streams that the app has begun and ended, and slow requests that it has finished."""
    client = Client(("127.0.0.1", port))
    answer = json.loads(client.ask("GET", "/seen", "Connection: close").body)
    client.fin()
    return answer


@pytest.mark.seconds(60)
def test_slots_of_streams_come_back_and_the_app_sees_that_its_readers_have_left(world, streaming):
    limit, n, patience = 8, scaled(100, least=24), 0.2
    weir = world.weir(
        f"127.0.0.1:{streaming}", concurrency=limit, queue_length=n, queue_timeout="30s",
        upstream_orphan_timeout=f"{patience * 1000:.0f}ms",
    )
    clients = [world.connect(weir).get("/events") for _ in range(n)]
    ways, began, left = itertools.cycle(LEAVE.values()), [], []
    for client in clients:
        assert client.final_head().status == 200
        began.append(time.monotonic())
        next(ways)(client)
        left.append(time.monotonic())
    waited = [late - early for late, early in zip(sorted(began)[limit:], left)]
    assert max(waited) < patience + 0.5
    until(lambda: seen_by(streaming)["ended"] == n, "the app to see them all leave")
    assert seen_by(streaming)["begun"] == n
    world.expect_requests(weir, n)


def test_a_handler_of_a_real_app_that_has_not_answered_keeps_its_slot_to_its_end(world, streaming):
    weir = world.weir(f"127.0.0.1:{streaming}", concurrency=1, upstream_orphan_timeout="100ms")
    client = world.connect(weir).get("/slow")
    weir.wait_sent()
    until(lambda: seen_by(streaming)["slow"] == 1, "the handler to begin")
    client.fin()
    assert json.loads(world.connect(weir).ask("GET", "/seen").body)["done"] == 1
    world.expect_requests(weir, 2)
