"""The last response of a connection reaches a client that still sends (RFC 9112 section 9.6)."""

import select
import socket
import time

import pytest

from support import origin as app
from support import wire
from support.waiting import SOON, until

MIB = 1 << 20
BODY = wire.noise(150 << 10)
ASK = ("Connection: Upgrade", "Upgrade: raw")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"


def upload(target="/up", *fields, version="1.1"):
    lines = [f"POST {target} HTTP/{version}", "Host: a", "Content-Length: 100000000", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def reads_while_it_sends(client, piece=bytes(500)):
    """All that comes until weir's FIN, read at 100 KiB a second with something sent every 40 ms."""
    got = bytearray(client.buf)
    while data := client.sock.recv(4096):
        got += data
        client.send(piece)
        time.sleep(0.04)
    return bytes(got)


def is_whole(got, status):
    head, _, body = got.partition(b"\r\n\r\n")
    return head.startswith(b"HTTP/1.1 %d " % status) and body == BODY


def sends_before_it_reads(client, seconds, piece=b"x" * 500):
    """What a client does that looks for a response only when it has sent all: an error ends that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client.send(piece)
        time.sleep(0.02)


# ---- a large one, read slowly --------------------------------------------------------------------


@pytest.mark.parametrize("listener", ["tcp", "unix"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_early_response_is_read_slowly_by_a_client_that_goes_on_sending(world, listener, version):
    origin = world.origin()
    where = {"listen": "unix:" + world.path("weir.sock")} if listener == "unix" else {}
    weir = world.weir(origin, concurrency=1, **where)
    origin.on("/up", app.answer(BODY, 403))
    client = world.narrow(weir).send(upload(version=version))
    until(lambda: not client.is_open(), "the response to be there")
    weir.wait_in_flight(0)
    assert is_whole(reads_while_it_sends(client), 403)


def test_what_is_sent_behind_a_last_response_does_not_destroy_it(world):
    origin, weir = world.pair()
    origin.on("/", app.answer(BODY))
    client = world.narrow(weir).get("/", "Connection: close")
    assert is_whole(reads_while_it_sends(client, wire.request("GET", "/next")), 200)
    assert origin.targets() == ["/"]


def test_a_drain_waits_for_a_slow_reader_that_still_sends(world):
    origin, weir = world.pair(drain_timeout="20s")
    origin.on("/up", app.answer(BODY, 403))
    client = world.narrow(weir).send(upload())
    until(lambda: not client.is_open(), "the response to be there")
    weir.signal()
    assert is_whole(reads_while_it_sends(client), 403)
    client.fin()
    weir.exited(0)


def test_a_drain_spares_what_an_idle_client_still_reads(world):
    """Its response did not say that it was the last, and a request after it comes too late."""
    origin, weir = world.pair(drain_timeout="20s")
    origin.on("/", app.answer(BODY))
    client = world.narrow(weir).get("/")
    until(lambda: not client.is_open(), "the response to be there")
    until(lambda: weir.glance().total("weir_requests_total"), "the response to be weir's kernel's")
    after = world.connect(weir)  # of all clients the last that the drain comes to
    assert after.ask("GET", "/after").status == 200
    weir.signal()
    assert after.rest() == b""
    got = reads_while_it_sends(client, wire.request("GET", "/next"))
    assert is_whole(got, 200)
    client.fin()
    weir.exited(0)


def test_the_last_words_of_an_app_that_leaves_its_tunnel_reach_a_client_that_still_sends(world):
    origin, weir = world.pair()
    origin.on("/t", app.send(SWITCH + BODY), app.close())
    client = world.narrow(weir).get("/t", *ASK)
    assert client.head().status == 101
    until(lambda: origin.calls[0].connection.closed, "the app to have left")
    assert reads_while_it_sends(client) == BODY


# ---- any, of a client that sends first ------------------------------------------------------------


def refused_413(world):
    return world.pair(client_max_body="1KiB")[1], upload(), 413


def refused_400(world):
    return world.pair()[1], b"POST /up HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400


def refused_408(world):
    return world.pair(client_head_timeout="50ms")[1], b"POST /up HTTP/1.1\r\nHost: a\r\nX: ", 408


def refused_503(world):
    origin, weir = world.pair(concurrency=1, queue_length=0)
    origin.on("/", app.wait(origin.gate()), app.answer())
    world.connect(weir).get("/")
    origin.wait_inside(1)
    return weir, upload(), 503


def failed_502(world):
    origin, weir = world.pair()
    origin.on("/up", app.close())
    return weir, upload(), 502


@pytest.mark.parametrize("case", [refused_413, refused_400, refused_408, refused_503, failed_502])
def test_a_response_of_weirs_own_is_found_by_a_client_that_sends_first(world, case):
    weir, message, status = case(world)
    client = world.connect(weir).send(message)
    sends_before_it_reads(client, 1.2)  # longer than weir waits for one that is silent
    answer = client.response()
    assert answer.status == status and answer.has("Connection", "close")
    assert client.rest() == b""


@pytest.mark.parametrize("size", [7, 20], ids=["flushing", "streaming"])
def test_a_client_that_sends_all_before_it_reads_comes_to_a_large_response(world, size):
    """More of it than kernels accept, and than weir keeps: else both would wait for the other."""
    body = wire.noise(MIB) * size
    origin = world.origin(path=world.path("app.sock"))
    weir = world.weir(origin, buffers_response="8MiB")
    reads_no_more = app.do(lambda call: call.connection.sock.shutdown(socket.SHUT_RD))
    origin.on("/up", reads_no_more, app.answer(body, 403), app.close())
    client = world.narrow(weir).send(upload())
    until(lambda: not client.is_open(), "the response to be there")
    for _ in range(32):
        client.send(bytes(MIB))
    answer = client.final_head()
    assert answer.status == 403
    assert client.exactly(len(body)) == body


# ---- the bounds ----------------------------------------------------------------------------------


def ended(client, within, piece=b""):
    """Seconds until weir's end of the connection was closed, with something sent all the while."""
    began = time.monotonic()
    poll = select.poll()
    poll.register(client.sock.fileno(), 0)  # only POLLERR and POLLHUP: both ends are over
    while not poll.poll(20):
        assert time.monotonic() - began < within, "the connection still stands"
        try:
            client.send(piece)
        except ConnectionError:
            break
    return time.monotonic() - began


def clients(weir):
    return weir.metrics().total("weir_connections", side="client")


def test_a_client_that_sends_for_ever_is_bounded(world):
    origin, weir = world.pair(client_send_timeout="1500ms")
    origin.on("/up", app.answer(b"no", 403))
    client = world.connect(weir).send(upload())
    assert client.response().status == 403
    assert 1.1 < ended(client, 2 + SOON, bytes(100)) < 2 + SOON
    until(lambda: clients(weir) == 0, "its place to be free")


def test_a_client_that_stays_silent_is_left_after_a_second(world):
    _, weir = world.pair(client_send_timeout="60s")
    client = world.connect(weir)
    assert client.ask("GET", "/", "Connection: close").status == 200
    began = time.monotonic()
    until(lambda: clients(weir) == 0, "its place to be free")
    assert 0.5 < time.monotonic() - began < SOON
    assert client.rest() == b""


def test_a_client_that_takes_nothing_of_its_last_response_is_cut(world):
    origin, weir = world.pair(client_send_timeout="500ms")
    origin.on("/up", app.answer(BODY, 403))
    client = world.narrow(weir).send(upload())
    until(lambda: not client.is_open(), "the response to be there")
    assert ended(client, 1 + SOON, bytes(100)) > 0.3
    assert len(client.until_closed()) < len(BODY)
    until(lambda: clients(weir) == 0, "its place to be free")


def test_a_client_that_sends_for_ever_does_not_hold_up_the_end(world):
    origin, weir = world.pair(drain_timeout="20s")
    origin.on("/up", app.answer(b"no", 403))
    client = world.connect(weir).send(upload())
    assert client.response().status == 403
    began = time.monotonic()
    weir.signal()
    ended(client, 1 + SOON, bytes(100))
    weir.exited(0)
    assert time.monotonic() - began < 1 + SOON
