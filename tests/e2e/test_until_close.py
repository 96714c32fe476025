"""A response that ends with the app's connection: in chunks to HTTP/1.1, and never whole when it was cut."""

import signal
import socket

import pytest

from support import origin as app
from support import wire
from support.rude import RudeApp
from support.waiting import settled, until

MIB = 1 << 20
PART = b"HTTP/1.1 200 OK\r\n\r\npart"


@pytest.fixture(params=["tcp", "unix"])
def pair(request, world):
    """A function that starts an origin and a weir before it."""

    def start(**options):
        where = {"path": world.path("app.sock")} if request.param == "unix" else {}
        origin = world.origin(**where)
        return origin, world.weir(origin, **options)

    start.kind = request.param
    return start


@pytest.fixture
def rude(request, world):
    apps = []

    def start(unix):
        apps.append(RudeApp(path=world.path("rude.sock") if unix else None, receive_buffer=4096))
        return apps[-1]

    yield start
    for each in apps:
        each.close()


def cut_response(client):
    """What a client of HTTP/1.1 has got when weir closes; asserts that it is not whole."""
    answer = client.final_head()
    assert answer.framing("GET") == "chunked", answer
    reader = wire.ChunkReader()
    body = reader.feed(client.until_closed())
    assert not reader.done, "it looks whole"
    return answer, body


# ---- whole ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_it_goes_on_in_chunks_and_the_connection_stays(pair, world, version):
    origin, weir = pair()
    head = wire.response(200, "X-A: b", "Trailer: X-T", body=None, version=version)
    origin.on("/", app.send(head + b"to the end"), app.close())
    origin.on("/empty", app.send(wire.response(body=None, version=version)), app.close())
    client = world.connect(weir)
    for _ in range(3):
        answer = client.ask("GET", "/")
        assert (answer.get("Transfer-Encoding"), answer.get("Connection")) == ("chunked", None)
        assert (answer.get("X-A"), answer.get("Trailer"), answer.trailers) == ("b", None, [])
        assert answer.body == b"to the end"
        assert client.ask("GET", "/empty").body == b""
    world.expect_requests(weir, 6)


def test_the_client_may_close_all_the_same(pair, world):
    origin, weir = pair()
    origin.on("/", app.send(wire.response(body=None) + b"to the end"), app.close())
    client = world.connect(weir)
    answer = client.ask("GET", "/", "Connection: close")
    assert (answer.get("Transfer-Encoding"), answer.get("Connection")) == ("chunked", "close")
    assert answer.body == b"to the end"
    assert client.rest() == b""


def test_http_1_0_gets_the_bytes_and_the_end(pair, world):
    origin, weir = pair()
    origin.on("/", app.send(wire.response(body=None) + b"to the end"), app.close())
    for fields in ((), ("Connection: keep-alive",)):
        answer = world.connect(weir).ask("GET", "/", *fields, version="HTTP/1.0")
        assert (answer.get("Transfer-Encoding"), answer.get("Connection")) == (None, "close")
        assert answer.body == b"to the end"


@pytest.mark.parametrize("method, status", [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_where_no_body_can_be_nothing_is_said_of_chunks(world, method, status):
    origin, weir = world.pair()
    origin.on("/", app.send(wire.response(status, body=None)), app.close())
    client = world.connect(weir)
    for _ in range(2):
        answer = client.ask(method, "/")
        assert (answer.status, answer.get("Transfer-Encoding")) == (status, None)
        assert answer.get("Connection") is None


def test_a_mebibyte_of_odd_pieces_arrives_byte_for_byte(pair, world):
    origin, weir = pair()
    data = wire.noise(MIB, seed=7)

    async def pour(call):
        for piece in wire.pieces(data, seed=8, largest=30_000):
            await call.send(piece)

    origin.on("/", app.send(wire.response(body=None)), pour, app.close())
    client = world.connect(weir)
    assert client.ask("GET", "/").body == data
    assert client.ask("GET", "/next").body == b"ok"


def test_a_slow_reader_gets_all_of_it_and_its_slot_goes_back(world):
    origin, weir = world.pair(concurrency=1, buffers_response="512KiB")
    data = wire.noise(400_000)
    origin.on("/", app.send(wire.response(body=None) + data), app.close())
    slow = world.connect(weir)
    slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    slow.get("/")
    origin.wait_seen(1)
    assert world.connect(weir).ask("GET", "/next").status == 200
    assert slow.response().body == data
    assert slow.ask("GET", "/next").status == 200


# ---- cut -----------------------------------------------------------------------------------------


def test_what_is_reset_is_not_whole(world):
    origin, weir = world.pair()
    gate = origin.gate()
    origin.on("/", app.send(PART), app.wait(gate), app.reset())
    origin.on("/at-once", app.send(PART), app.reset())
    for target in ("/at-once", "/"):
        client = world.connect(weir).get(target)
        gate.open()
        assert cut_response(client)[1] == b"part"
    assert "the response body was cut off" in weir.log()


def test_what_is_reset_is_reset_for_http_1_0(world):
    origin, weir = world.pair()
    origin.on("/", app.send(PART), app.reset())
    with pytest.raises(wire.Truncated, match="reset"):
        world.connect(weir).ask("GET", "/", version="HTTP/1.0")


def upload_blocks(world, weir, rude, version="HTTP/1.1"):
    """A client whose upload the app does not read, so that weir is left with some: (client, app's end)."""
    client = world.connect(weir)
    client.send(wire.request("POST", "/up", "Content-Length: 10000000", version=version))
    client.sock.setblocking(False)
    data = bytes(65536)

    def blocked():
        try:
            while True:
                client.sock.send(data)
        except BlockingIOError:
            return weir.metrics().one("weir_buffered_bytes", what="request") > 0

    until(blocked, "the upload to be in the way")
    settled(lambda: weir.metrics().one("weir_buffered_bytes", what="request"))
    client.sock.settimeout(15)
    return client, rude.take()[0]


@pytest.mark.race
@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("how", ["at once", "later"])
@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_a_reset_that_the_upload_meets_is_not_an_end(world, rude, unix, how, version):
    """The kernel tells a reset once, and tells it to a send; a read after that returns an end."""
    rude = rude(unix)
    weir = world.weir(rude.upstream)
    client, end = upload_blocks(world, weir, rude, version)
    if how == "at once":
        with weir.frozen():
            end.send(PART)
            end.close()  # with most of the upload unread: an RST
    else:
        end.send(PART)
        head = client.final_head()
        client.buf[:0] = b"%s\r\n%s\r\n\r\n" % (
            head.start, b"\r\n".join(f"{n}: {v}".encode() for n, v in head.fields))
        end.close()
    if version == "HTTP/1.1":
        assert cut_response(client)[1] == b"part"
    else:
        with pytest.raises(wire.Truncated, match="reset"):
            client.response()


@pytest.mark.parametrize("body", [
    b"\r\ntoo much", b"Content-Length: 8\r\n\r\ntoo much",
    b"Transfer-Encoding: chunked\r\n\r\n8\r\ntoo much\r\n0\r\n\r\n",
], ids=["until close", "length", "chunked"])
@pytest.mark.race
def test_an_early_response_that_ended_before_the_reset_is_whole(world, rude, body):
    rude = rude(False)
    weir = world.weir(rude.upstream)
    client, end = upload_blocks(world, weir, rude)
    with weir.frozen():
        end.send(b"HTTP/1.1 413 Content Too Large\r\n" + body)
        if body.startswith(b"\r\n"):
            end.sock.shutdown(socket.SHUT_WR)
        end.close()
    answer = client.response()
    assert (answer.status, answer.body) == (413, b"too much")
    assert answer.get("Connection") == "close"


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_a_pause_that_is_too_long_cuts(world, version):
    origin, weir = world.pair(upstream_idle_timeout="300ms")
    origin.on("/", app.send(PART), app.hang())
    client = world.connect(weir).get("/", version=version)
    if version == "HTTP/1.1":
        assert cut_response(client)[1] == b"part"
    else:
        with pytest.raises(wire.Truncated, match="reset"):
            client.response()


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_the_end_of_the_drain_cuts(world, version):
    origin, weir = world.pair(drain_timeout="300ms")
    origin.on("/", app.send(PART), app.hang())
    client = world.connect(weir).get("/", version=version)
    client.final_head()
    weir.signal(signal.SIGTERM)
    with pytest.raises(wire.Truncated, match="reset"):
        client.rest()
    weir.wait_exit()
    weir.stopped = True
