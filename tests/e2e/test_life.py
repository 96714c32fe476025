"""What is a sign of life: bytes in either direction of a response, and interim responses before it."""

import asyncio
import socket
import threading
import time

import pytest

from support import origin as app
from support import wire
from support.crowd import slow_dial
from support.rude import RudeApp
from support.waiting import SOON, settled, stays, until

MIB = 1 << 20
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
BEGIN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"
END = b"3\r\nend\r\n0\r\n\r\n"


def rest(seconds):
    """Nothing is done for a while."""
    stays(lambda: True, during=seconds)


def chunked_post(target="/x"):
    return wire.request("POST", target, "Transfer-Encoding: chunked")


def repeat(data, times, every):
    """So often, with a pause before each."""

    async def step(call):
        for _ in range(times):
            await asyncio.sleep(every)
            await call.send(data)

    return step


def begin_body(client):
    """Reads the head and the first chunk."""
    answer = client.final_head()
    assert answer.status == 200
    assert client.exactly(10) == b"5\r\nbegun\r\n"


def deaf_client(world, weir):
    """Its kernel accepts little, and weir's for it."""
    client = world.connect(weir)
    client.fin()
    client.sock = slow_dial(weir.address)
    return client


def wait_in_the_way(weir):
    """Until something is kept for a client, and no more of it comes."""
    kept = lambda: weir.metrics().one("weir_buffered_bytes", what="response")
    until(kept, "something to be kept")
    assert settled(kept) > 0, "the kernel accepted all of it"


# ---- both directions of a response ---------------------------------------------------------------


def test_a_stream_both_ways_may_last_as_long_as_it_likes(world):
    async def echo(call):
        for _ in range(5):
            while b"x" not in call.connection.buf:
                assert await call.connection.fill()
            call.connection.buf.clear()
            await asyncio.sleep(0.1)
            await call.send(b"1\r\nx\r\n")

    origin, weir = world.pair(upstream_idle_timeout="500ms")
    origin.on("/x", app.send(BEGIN), echo, app.read_body(), app.send(END))
    client = world.connect(weir).send(chunked_post())
    begin_body(client)
    for _ in range(5):
        client.send(b"1\r\nx\r\n")
        assert client.exactly(6) == b"1\r\nx\r\n"
        rest(0.1)
    client.send(b"0\r\n\r\n")
    assert client.exactly(len(END)) == END


def test_where_nothing_moves_either_way_the_response_is_cut(world):
    origin, weir = world.pair(upstream_idle_timeout="300ms")
    origin.on("/x", app.send(BEGIN), app.hang())
    client = world.connect(weir).send(chunked_post() + b"1\r\nx\r\n")
    begin_body(client)
    began = time.monotonic()
    client.until_closed()
    assert time.monotonic() - began < SOON
    until(lambda: "no data in either direction" in weir.log(), "the reason")
    weir.wait_in_flight(0)


@pytest.fixture
def small_app():
    """One whose socket accepts little that it has not read."""
    small = RudeApp(receive_buffer=4096)
    yield small
    small.close()


def take_slowly(conn, size):
    """So many bytes, which lie in weir's kernel for longer than the timeout."""
    got, end = bytearray(), time.monotonic() + 1.2
    while time.monotonic() < end:
        got += conn.some(4096)
        rest(0.03)
    assert len(got) < size / 2, "it was to be slow"
    while len(got) < size:
        got += conn.some()
    return bytes(got)


def test_what_the_app_takes_of_its_kernel_is_life_though_no_event_tells(world, small_app):
    weir = world.weir(small_app.upstream, upstream_idle_timeout="500ms")
    body = wire.noise(MIB)
    client = world.connect(weir).send(wire.request("POST", "/x", f"Content-Length: {len(body)}"))
    conn, _ = small_app.take()
    conn.send(BEGIN)
    begin_body(client)
    client.send(body)
    assert take_slowly(conn, len(body)) == body
    conn.send(END)
    assert client.exactly(len(END)) == END


def test_an_app_that_takes_nothing_of_its_kernel_is_cut(world, small_app):
    weir = world.weir(small_app.upstream, upstream_idle_timeout="500ms")
    client = world.connect(weir).send(wire.request("POST", "/x", f"Content-Length: {16 * MIB}"))
    conn, _ = small_app.take()
    conn.send(BEGIN)
    begin_body(client)
    client.send(bytes(MIB))
    began = time.monotonic()
    client.until_closed()
    assert time.monotonic() - began < SOON


def test_an_app_that_refuses_the_upload_and_says_nothing_is_blamed(world):
    """Though the client still owes a part of it."""
    deaf = RudeApp(path=world.path("app.sock"))
    weir = world.weir(deaf.upstream, upstream_idle_timeout="300ms")
    client = world.connect(weir).send(wire.request("POST", "/x", "Content-Length: 1000") + b"x")
    conn, _ = deaf.take()
    conn.sock.shutdown(socket.SHUT_RD)
    client.send(b"x")
    answer = client.response()
    assert (answer.status, answer.get("Weir-Reason")) == (504, "send_timeout")
    deaf.close()


def test_a_client_in_the_way_is_not_the_apps_fault(world):
    """It is watched by client.send_timeout, whatever it sends."""
    origin, weir = world.pair(upstream_idle_timeout="500ms", buffers_response="16KiB")
    data = bytes(4 * MIB)
    chunk = b"%x\r\n%s\r\n" % (len(data), data)
    origin.on("/x", app.send(BEGIN + chunk), app.read_body(), app.send(END))
    client = deaf_client(world, weir).send(chunked_post())
    begin_body(client)
    wait_in_the_way(weir)
    for _ in range(8):
        client.send(b"1\r\nx\r\n")
        rest(0.1)
    assert client.exactly(len(chunk)) == chunk
    client.send(b"0\r\n\r\n")
    assert client.exactly(len(END)) == END


# ---- interim responses ---------------------------------------------------------------------------


def test_silence_behind_an_interim_response_is_no_life(world):
    origin, weir = world.pair(upstream_first_byte_timeout="300ms")
    origin.on("/x", app.send(PROCESSING), app.hang())
    answer = world.connect(weir).ask("GET", "/x")
    assert (answer.status, answer.get("Weir-Reason")) == (504, "first_byte_timeout")


def test_interim_responses_do_not_excuse_a_client_that_sends_no_body(world):
    origin, weir = world.pair(client_body_timeout="400ms")
    origin.on("/x", repeat(PROCESSING, 60, 0.1), app.hang())
    client = world.connect(weir).send(wire.request("POST", "/x", "Content-Length: 5") + b"he")
    answer = client.final_head()
    assert (answer.status, answer.get("Weir-Reason")) == (408, "body_timeout")
    assert len(answer.interim) < 30


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_flood_of_interim_responses_is_cut(world, version):
    origin, weir = world.pair()
    origin.on("/x", app.send(PROCESSING * 1000), app.hang())
    request = wire.request("GET", "/x").replace(b"HTTP/1.1", b"HTTP/" + version.encode())
    answer = world.connect(weir).send(request).final_head()
    assert (answer.status, answer.get("Weir-Reason")) == (502, "upstream_broken")
    assert len(answer.interim) < 200
    weir.wait_in_flight(0)
    assert world.connect(weir).ask("GET", "/next").status == 200


def test_a_client_that_has_left_is_not_waited_for_by_interim_responses(world):
    """What is left of first_byte_timeout is all that the app has then."""
    origin, weir = world.pair(concurrency=1, upstream_first_byte_timeout="500ms")

    async def for_ever(call):
        while not call.connection.peer_gone():
            await call.send(PROCESSING)
            await asyncio.sleep(0.05)
        call.finish()

    origin.on("/x", for_ever)
    client = world.connect(weir).get("/x")
    assert client.head().status == 102
    client.fin()
    until(lambda: weir.glance().one("weir_orphans_in_flight") == 1, "the orphan")
    weir.wait_in_flight(0, within=SOON)
    assert world.connect(weir).ask("GET", "/next").status == 200


# ---- interim responses to a client that does not read them ------------------------------------------


LARGE = b"HTTP/1.1 103 Early Hints\r\n" + b"Link: </%s>\r\n" % (b"x" * 20_000) * 2 + b"\r\n"


def test_interim_responses_are_held_back_and_not_lost(world):
    """Longer than every timeout of the app: the client is the slow one."""
    origin, weir = world.pair(
        buffers_response="16KiB", upstream_first_byte_timeout="300ms", upstream_idle_timeout="300ms"
    )
    origin.on("/x", app.send(LARGE * 60), app.answer(b"done"))
    client = deaf_client(world, weir).get("/x")
    wait_in_the_way(weir)
    stays(lambda: weir.metrics().total("weir_buffered_bytes") < 16384 + 2 * 65536, "the bound", during=0.6)
    answer = client.response()
    assert (answer.status, answer.body, len(answer.interim)) == (200, b"done", 60)
    assert {len(i.all("Link")) for i in answer.interim} == {2}
    m = weir.wait_counted(1)
    assert m.one("weir_client_backpressure_seconds_total") >= 0.3
    assert m.total("weir_buffered_bytes") == 0, "though the connection to the app is kept"


def test_a_client_that_takes_no_interim_response_is_cut_and_gives_its_slot_back(world):
    origin, weir = world.pair(
        concurrency=1, buffers_response="16KiB", client_send_timeout="700ms", upstream_first_byte_timeout="300ms"
    )
    origin.on("/x", repeat(LARGE, 10_000, 0.01), app.answer())
    origin.is_given_up = lambda call: True
    deaf_client(world, weir).get("/x")
    wait_in_the_way(weir)
    weir.wait_in_flight(0, within=2 + SOON)
    assert weir.metrics().total("weir_buffered_bytes") == 0
    assert weir.wait_counted(1).one("weir_requests_total", code="499", source="client_gone") == 1


def test_a_client_that_takes_no_interim_response_is_cut_sooner_where_others_wait(world):
    origin, weir = world.pair(
        concurrency=1, buffers_response="16KiB", client_stall_timeout="300ms", upstream_first_byte_timeout="500ms"
    )
    origin.on("/x", repeat(LARGE, 60, 0.01), app.hang())
    deaf = deaf_client(world, weir).get("/x")
    wait_in_the_way(weir)
    waiting = world.connect(weir).get("/next")
    assert waiting.response().status == 200
    assert weir.wait_counted(2).one("weir_requests_total", code="499", source="client_gone") == 1
    assert "client.stall_timeout" in weir.log()
    deaf.fin()


def test_an_upload_goes_on_while_interim_responses_are_not_read(world):
    origin, weir = world.pair(
        buffers_response="16KiB", upstream_idle_timeout="400ms", client_body_timeout="400ms"
    )

    async def hints_meanwhile(call):
        task = asyncio.ensure_future(repeat(LARGE, 60, 0.01)(call))
        await app.receive_body(call)
        await task

    origin.on("/x", hints_meanwhile, app.answer(b"done"))
    client = deaf_client(world, weir)
    data = wire.noise(100_000)
    client.send(wire.request("POST", "/x", f"Content-Length: {len(data)}") + data[:1000])
    wait_in_the_way(weir)
    rest(0.8)
    sender = threading.Thread(target=client.send, args=(data[1000:],))
    sender.start()
    until(lambda: origin.calls[0].size == len(data), "the body at the app")
    sender.join(5)
    answer = client.response()
    assert (answer.status, len(answer.interim)) == (200, 60)
