"""weir's own answers when the app or the client fails: the status, the reason, and what follows."""

import socket
import time

import pytest

from support import origin as app
from support import wire
from support.waiting import SOON, until
from support.weir import free_port


def check_error(answer, status, reason=None):
    assert answer.status == status
    assert wire.TOKEN.match(answer.get("Weir-Reason", "").encode())
    if reason:
        assert answer.get("Weir-Reason") == reason
    assert answer.get("Cache-Control") == "no-store"
    assert answer.body


@pytest.mark.parametrize("end", ["close", "reset"])
def test_502_when_the_app_ends_the_connection_without_an_answer(world, end):
    origin, weir = world.pair()
    origin.on("/", getattr(app, end)())
    check_error(world.connect(weir).ask("GET", "/"), 502, "upstream_closed")


@pytest.mark.parametrize("end", ["close", "reset"])
def test_502_when_the_head_is_cut(world, end):
    origin, weir = world.pair()
    origin.on("/", app.send(b"HTTP/1.1 200 OK\r\nContent-Le"), getattr(app, end)())
    check_error(world.connect(weir).ask("GET", "/"), 502)


def padded(size, *fields, status="200 OK"):
    """A response head of just so many bytes."""
    lines = [f"HTTP/1.1 {status}", *fields, "X-Pad: "]
    head = "\r\n".join(lines) + "\r\n\r\n"
    return (head[:-4] + "p" * (size - len(head)) + "\r\n\r\n").encode()


@pytest.mark.parametrize("options, most", [({}, 48 << 10), ({"upstream_max_head": "1KiB"}, 1 << 10)])
def test_502_for_a_head_above_upstream_max_head(world, options, most):
    origin, weir = world.pair(**options)
    origin.on("/most", app.send(padded(most, "Content-Length: 2") + b"ok"))
    origin.on("/more", app.send(padded(most + 1, "Content-Length: 2") + b"ok"), app.hang())
    origin.on("/1xx", app.send(padded(most + 1, status="103 x")), app.hang())
    client = world.connect(weir)
    assert client.ask("GET", "/most").body == b"ok"
    for target in ("/more", "/1xx"):
        check_error(client.ask("GET", target), 502, "upstream_broken")
    assert "the response headers exceed upstream.max_head" in weir.log()
    assert client.ask("GET", "/most").body == b"ok"


@pytest.mark.parametrize("options, most", [({}, 256), ({"upstream_max_headers": 3}, 3)])
def test_502_for_more_fields_than_upstream_max_headers(world, options, most):
    origin, weir = world.pair(**options)
    fields = ["A: b"] * (most - 1)
    origin.on("/most", app.send(wire.response(200, *fields, body=b"ok")))
    origin.on("/more", app.send(wire.response(200, "C: d", *fields, body=b"ok")), app.hang())
    client = world.connect(weir)
    assert client.ask("GET", "/most").body == b"ok"
    check_error(client.ask("GET", "/more"), 502, "upstream_broken")
    assert "the response has more fields than upstream.max_headers" in weir.log()


def test_the_longest_head_goes_on_with_all_that_is_added(world):
    name = "X-" + "i" * 61
    origin, weir = world.pair(
        upstream_max_head="60KiB", headers_request_id=name, headers_server_timing="true"
    )
    head = padded(60 << 10, "Connection: close")
    origin.on("/", app.send(head + b"ok"), app.close())
    answer = world.connect(weir).ask("GET", "/", f"{name}: {'d' * 128}")
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.get("X-Pad") == wire.Response(*wire.split_head(head)).get("X-Pad")
    assert answer.get(name) == "d" * 128
    assert answer.get("Server-Timing") and answer.get("Date") and answer.get("Via")


def test_the_log_names_the_option_that_bounds_a_request(world):
    origin, weir = world.pair(client_max_head="1KiB", client_max_headers=3)
    for raw, status, option in (
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 2000 + b"\r\n\r\n", 431, "client.max_head"),
        (b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "client.max_head"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 3 + b"\r\n", 431, "client.max_headers"),
    ):
        check_error(world.connect(weir).send(raw).response(), status)
        assert f"{option} (" in weir.log()


def test_502_for_garbage(world):
    origin, weir = world.pair()
    origin.on("/", app.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"))
    client = world.connect(weir)
    check_error(client.ask("GET", "/"), 502, "upstream_broken")
    assert client.ask("GET", "/next").status == 200


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_cut_body_never_looks_complete(world, framing, end):
    origin, weir = world.pair()
    raw = {
        "length": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart",
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    }[framing]
    origin.on("/", app.send(raw), app.delay(0.02), getattr(app, end)())
    client = world.connect(weir).get("/")
    with pytest.raises(wire.Truncated):
        answer = client.response()
        assert answer.status == 502
        raise wire.Truncated("refused whole, which is right too")
    assert world.connect(weir).ask("GET", "/next").status == 200
    world.expect_requests(weir, 2)


@pytest.fixture
def deaf_port():
    """A port whose accept queue is full: a connect to it gets no answer."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    crowd = []
    for _ in range(8):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
        crowd.append(sock)
    yield listener.getsockname()[1]
    for sock in crowd + [listener]:
        sock.close()


def test_504_when_the_app_does_not_take_the_connection(world, deaf_port):
    weir = world.weir(
        f"127.0.0.1:{deaf_port}", startup_probe="none", upstream_connect_timeout="300ms"
    )
    began = time.monotonic()
    check_error(world.connect(weir).ask("GET", "/"), 504, "connect_timeout")
    assert 0.3 <= time.monotonic() - began < SOON


def test_504_when_the_first_byte_is_late(world):
    origin, weir = world.pair(upstream_first_byte_timeout="300ms")
    origin.on("/", app.hang())
    client = world.connect(weir)
    began = time.monotonic()
    check_error(client.ask("GET", "/"), 504, "first_byte_timeout")
    assert 0.3 <= time.monotonic() - began < SOON
    origin.wait_seen(1)
    assert origin.calls[0].connection.peer_gone(), "the slot is free only if the connection ended"
    assert client.ask("GET", "/next").status == 200
    assert len(origin.seen("/")) == 1, "late is an answer: nothing is sent again"


def test_408_for_a_slow_head(world):
    origin, weir = world.pair(client_head_timeout="300ms")
    began = time.monotonic()
    client = world.connect(weir).send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    check_error(client.response(), 408, "head_timeout")
    assert 0.3 <= time.monotonic() - began < SOON
    assert client.until_closed() == b""
    assert origin.calls == []


def test_a_head_that_trickles_is_bounded_as_a_whole(world):
    _, weir = world.pair(client_head_timeout="400ms")
    client = world.connect(weir)
    began = time.monotonic()
    try:
        for byte in b"GET / HTTP/1.1\r\nHost: app.test\r\n" + b"X-A: b\r\n" * 20:
            client.send(bytes([byte]))
            time.sleep(0.05)  # the pace of the attack: 10 s in all
            if not client.is_open():
                break
    except ConnectionError:
        pass
    assert time.monotonic() - began < SOON
    assert client.until_closed()[:12] in (b"HTTP/1.1 408", b"")


def test_408_for_a_slow_body(world):
    origin, weir = world.pair(concurrency=1, client_body_timeout="300ms")
    origin.on("/up", app.read_body(), app.answer())
    client = world.connect(weir)
    client.send(wire.request("POST", "/up", "Content-Length: 100") + b"part")
    check_error(client.response(), 408, "body_timeout")
    assert client.until_closed() == b""
    assert not any(call.complete for call in origin.calls)
    assert world.connect(weir).ask("GET", "/next").status == 200


def test_413_for_a_body_longer_than_max_body(world):
    origin, weir = world.pair(client_max_body="1KiB")
    client = world.connect(weir)
    client.send(wire.request("POST", "/", "Content-Length: 1025"))
    check_error(client.response(), 413, "body_too_large")
    assert client.until_closed() == b""
    assert origin.calls == []
    assert world.connect(weir).ask("POST", "/", body=b"x" * 1024).status == 200


def test_413_for_a_chunked_body_longer_than_max_body(world):
    origin, weir = world.pair(client_max_body="1KiB")
    origin.on("/up", app.read_body(), app.answer())
    client = world.connect(weir)
    client.request("POST", "/up", body=[b"x" * 600, b"x" * 600])
    check_error(client.response(), 413, "body_too_large")
    assert client.until_closed() == b""
    assert not any(call.complete for call in origin.calls)
    assert world.connect(weir).ask("POST", "/up", body=[b"x" * 1024]).status == 200


@pytest.mark.parametrize(
    "raw, status",
    [
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 5000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 20 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", 501),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_what_weir_does_not_take_is_refused_with_its_status(world, raw, status):
    origin, weir = world.pair(client_max_head="4KiB", client_max_headers=16)
    client = world.connect(weir).send(raw)
    check_error(client.response(), status)
    assert client.until_closed() == b""
    assert origin.calls == []
    m = weir.wait_counted(1)
    assert m.total("weir_requests_total", code=str(status), source="weir") == 1


@pytest.mark.parametrize(
    "accept",
    ["application/json", "Application/Problem+JSON, */*", ", ,application/json,",
     "*/*\r\nAccept: application/json"],
)
def test_an_error_is_json_where_the_client_accepts_that(world, accept):
    origin, weir = world.pair()
    origin.on("/", app.reset())
    answer = world.connect(weir).ask("GET", "/", f"Accept: {accept}")
    check_error(answer, 502)
    assert answer.get("Content-Type").startswith("application/json")


def test_an_error_is_text_where_any_accept_field_names_text(world):
    origin, weir = world.pair()
    origin.on("/", app.reset())
    answer = world.connect(weir).ask("GET", "/", "Accept: application/json\r\nAccept: text/html")
    assert answer.get("Content-Type").startswith("text/plain")


def test_an_error_to_head_has_no_body(world):
    origin, weir = world.pair()
    origin.on("/", app.reset())
    client = world.connect(weir)
    assert client.ask("HEAD", "/").status == 502
    assert client.ask("GET", "/next").body == b"ok"


@pytest.mark.parametrize("before", [b"", b"\r\n"])
@pytest.mark.parametrize("field, status", [("Expect: b", 417), ("Host: b", 400), ("A: b", 408)])
def test_a_refusal_of_head_has_no_body(world, before, field, status):
    origin, weir = world.pair(client_head_timeout="500ms")
    client = world.connect(weir)
    whole = wire.request("HEAD", "/", field)
    client.send(before + whole[: -2 if status == 408 else None])
    assert client.head().status == status
    assert client.rest() == b""
    assert origin.targets() == []


def test_the_apps_own_errors_pass_untouched(world):
    origin, weir = world.pair()
    for status in (400, 404, 429, 500, 502, 503, 599):
        origin.on(f"/{status}", app.answer(b"mine", status, "Retry-After: 7", reason="Mine"))
        answer = world.connect(weir).ask("GET", f"/{status}")
        assert (answer.status, answer.reason, answer.body) == (status, "Mine", b"mine")
        assert answer.get("Retry-After") == "7"
        assert answer.get("Weir-Reason") is None
    until(
        lambda: weir.glance().total("weir_requests_total", source="app") == 7,
        "all to be counted",
    )
    assert weir.metrics().total("weir_requests_rejected_total") == 0
