"""Bodies: byte-exact, as they come, both ways at once, and never more of them in memory than allowed."""

import hashlib
import socket
import threading

import pytest

from support import origin as app
from support import wire
from support.waiting import settled, until
from support.world import scaled

MIB = 1 << 20
BIG = scaled(64, least=16) * MIB
RSS_GROWTH = 24 * MIB

DATA = wire.noise(300_000)


def echo(how):
    """A script that answers with the request's body."""
    def steps(call):
        async def reply(_):
            body = bytes(call.body)
            if how == "length":
                await call.send(wire.response(body=body))
            elif how == "chunked":
                await call.send(wire.response(body=wire.pieces(body, seed=2)))
            else:
                await call.send(wire.response(body=None) + body)
                call.connection.close()
        return [app.read_body(), reply]

    return steps


@pytest.mark.parametrize("down", ["length", "chunked", "until close"])
@pytest.mark.parametrize("up", ["length", "chunked"])
def test_bodies_arrive_byte_for_byte(world, up, down):
    origin, weir = world.pair()
    origin.choose = echo(down)
    for size in (0, 1, 17, 4096, 65536, 65537, len(DATA)):
        data = DATA[:size]
        client = world.connect(weir)
        body = data if up == "length" else wire.pieces(data, seed=1)
        assert client.ask("POST", "/", body=body).body == data
        assert bytes(origin.calls[-1].body) == data
    world.expect_requests(weir, 7)


def test_a_request_that_comes_byte_by_byte_is_the_same_request(world):
    origin, weir = world.pair()
    origin.choose = echo("chunked")
    client = world.connect(weir)
    for byte in wire.request("POST", "/slow", "X-A: b", body=[b"hello", b" ", b"world"]):
        client.send(bytes([byte]))
    assert client.response().body == b"hello world"
    assert origin.calls[0].get("X-A") == "b"


def test_a_response_that_comes_byte_by_byte_is_the_same_response(world):
    origin, weir = world.pair()
    whole = wire.response(200, "X-A: b", body=[b"hello", b" ", b"world"])
    origin.on("/", app.drip(whole, 0.001))
    answer = world.connect(weir).ask("GET", "/")
    assert (answer.body, answer.get("X-A")) == (b"hello world", "b")


@pytest.mark.parametrize("framing", ["length", "chunked", "until close"])
def test_the_first_byte_goes_on_before_the_last_is_sent(world, framing):
    origin, weir = world.pair()
    gate = origin.gate()
    head, first, rest = {
        "length": (b"Content-Length: 10\r\n", b"first", b"later"),
        "chunked": (b"Transfer-Encoding: chunked\r\n", b"5\r\nfirst\r\n", b"5\r\nlater\r\n0\r\n\r\n"),
        "until close": (b"", b"first", b"later"),
    }[framing]
    last = [app.close()] if framing == "until close" else []
    origin.on("/", app.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + first), app.wait(gate),
              app.send(rest), *last)
    client = world.connect(weir).get("/")
    answer = client.final_head()
    got = b""
    while b"first" not in got:
        got += client.exactly(1)
    gate.open()
    if answer.has("Transfer-Encoding", "chunked"):
        reader = wire.ChunkReader()
        body = reader.feed(got)
        while not reader.done:
            body += reader.feed(client.exactly(1))
    else:
        body = got + (client.exactly(5) if framing == "length" else client.rest())
    assert body == b"firstlater"


def test_an_upload_streams_while_slots_are_plentiful(world):
    origin, weir = world.pair(concurrency=10)
    origin.on("/up", app.read_body(), app.answer())
    client = world.connect(weir)
    client.send(wire.request("POST", "/up")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n")
    client.send(b"5\r\nfirst\r\n")
    until(lambda: origin.seen("/up") and origin.calls[0].body == b"first", "the first chunk")
    client.send(b"5\r\nlater\r\n0\r\n\r\n")
    assert client.response().status == 200
    assert origin.calls[0].body == b"firstlater"


def test_server_sent_events_come_one_by_one(world):
    origin, weir = world.pair()
    gates = [origin.gate() for _ in range(5)]
    steps = [app.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")]
    for i, gate in enumerate(gates):
        steps += [app.send(b"data: %d\n\n" % i), app.wait(gate)]
    origin.on("/events", *steps, app.close())
    client = world.connect(weir).get("/events", "Accept: text/event-stream")
    answer = client.final_head()
    assert answer.get("Content-Type") == "text/event-stream"
    reader, body = wire.ChunkReader(), b""
    for i, gate in enumerate(gates):
        while not body.endswith(b"data: %d\n\n" % i):
            byte = client.exactly(1)
            body += reader.feed(byte) if answer.framing("GET") == "chunked" else byte
        gate.open()
    assert body == b"".join(b"data: %d\n\n" % i for i in range(5))


def test_100_continue_goes_end_to_end(world):
    origin, weir = world.pair()
    gate = origin.gate()
    origin.on("/up", app.wait(gate), app.send(b"HTTP/1.1 100 Continue\r\n\r\n"), app.read_body(),
              app.answer(b"got it"))
    client = world.connect(weir)
    client.send(wire.request("POST", "/up", "Expect: 100-continue", "Content-Length: 5"))
    origin.wait_inside(1)
    assert client.is_open(), "nobody but the app may say 100"
    gate.open()
    assert client.head().status == 100
    client.send(b"hello")
    assert client.response().body == b"got it"
    assert origin.calls[0].body == b"hello"
    assert origin.calls[0].get("Expect").lower() == "100-continue"


def test_an_expectation_that_the_app_refuses_sends_no_body(world):
    origin, weir = world.pair()
    origin.on("/up", app.answer(b"no", 417, reason="Expectation Failed"))
    client = world.connect(weir)
    client.send(wire.request("POST", "/up", "Expect: 100-continue", "Content-Length: 5"))
    assert client.response().status == 417
    assert world.connect(weir).ask("GET", "/next").status == 200


def test_an_answer_before_the_upload_is_complete_reaches_the_client(world):
    origin, weir = world.pair()
    origin.on("/up", app.answer(b"too much", 413, "Connection: close", reason="Content Too Large"))
    client = world.connect(weir)
    client.send(wire.request("POST", "/up", "Content-Length: 10000000") + b"x" * 100_000)
    answer = client.response()
    assert (answer.status, answer.body) == (413, b"too much")
    world.connect(weir).ask("GET", "/next")
    weir.wait_quiet()
    world.expect_requests(weir, 2)


def test_an_early_answer_does_not_spoil_what_follows(world):
    """The client goes on uploading and then asks anew, on the same connection if it may."""
    origin, weir = world.pair()
    origin.on("/up", app.answer(b"early", 200))
    client = world.connect(weir)
    client.send(wire.request("POST", "/up", "Content-Length: 50000") + b"x" * 10_000)
    answer = client.response()
    assert answer.body == b"early"
    try:
        client.send(b"x" * 40_000)
        client.get("/next")
        assert client.response().body == b"ok"
    except (wire.Truncated, ConnectionError):
        pass  # closing is as good; answering those bytes as a request is not
    assert all(target in ("/up", "/next") for target in origin.targets())


# ---- back pressure -------------------------------------------------------------------------------


@pytest.mark.seconds(60)
@pytest.mark.parametrize("framing", ["length", "chunked", "until close"])
def test_a_client_that_stops_reading_stops_the_app(world, framing):
    origin, weir = world.pair()
    block, sent = wire.noise(MIB), [0]
    head = {
        "length": b"Content-Length: %d\r\n" % BIG,
        "chunked": b"Transfer-Encoding: chunked\r\n",
        "until close": b"",
    }[framing]

    async def pour(call):
        for _ in range(BIG // MIB):
            await call.send(b"%x\r\n%s\r\n" % (MIB, block) if framing == "chunked" else block)
            sent[0] += MIB
        await call.send(b"0\r\n\r\n" if framing == "chunked" else b"")

    last = app.close() if framing == "until close" else app.finish()
    origin.on("/big", app.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n"), pour, last)
    before = weir.rss()
    client = world.connect(weir, timeout=30).get("/big")
    until(lambda: sent[0] or origin.calls, "the answer to begin")
    assert settled(lambda: sent[0]) < BIG, "the app was never stopped"
    assert weir.rss() - before < RSS_GROWTH
    answer = client.response()
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(block * (BIG // MIB)).digest()
    assert weir.rss() - before < RSS_GROWTH


@pytest.mark.seconds(60)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_app_that_stops_reading_stops_the_client(world, framing):
    origin, weir = world.pair()
    gate = origin.gate()
    origin.on("/up", app.wait(gate), app.read_body(), app.answer())
    block, sent = wire.noise(MIB), [0]
    before = weir.rss()
    client = world.connect(weir, timeout=30)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)

    def upload():
        head = wire.request("POST", "/up")[:-2]
        if framing == "length":
            client.send(head + b"Content-Length: %d\r\n\r\n" % BIG)
        else:
            client.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(BIG // MIB):
            client.send(block if framing == "length" else b"%x\r\n%s\r\n" % (MIB, block))
            sent[0] += MIB
        client.send(b"" if framing == "length" else b"0\r\n\r\n")

    thread = threading.Thread(target=upload, daemon=True)
    thread.start()
    origin.wait_inside(1)
    assert settled(lambda: sent[0]) < BIG, "the client was never stopped"
    assert weir.rss() - before < RSS_GROWTH
    gate.open()
    assert client.response().status == 200
    thread.join(20)
    call = origin.seen("/up")[0]
    assert call.size == BIG
    assert call.sha.digest() == hashlib.sha256(block * (BIG // MIB)).digest()
    assert weir.rss() - before < RSS_GROWTH


def test_a_small_answer_frees_the_slot_while_a_slow_client_still_reads(world):
    origin, weir = world.pair(concurrency=1, buffers_response="256KiB")
    origin.on("/some", app.answer(wire.noise(100_000)))
    slow = world.connect(weir)
    slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.get("/some")
    origin.wait_seen(1)
    assert world.connect(weir).ask("GET", "/next").status == 200
    assert slow.response().body == wire.noise(100_000)
