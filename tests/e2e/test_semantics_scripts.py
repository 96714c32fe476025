"""RFC 9110 and 9112 for an intermediary, where a rule takes a script and not one message.

The mark `rfc` names the section that the test proves; SPEC is weir's own contract.
"""

import email.utils
import re
import socket
import time

import pytest

from support import origin as app
from support import wire
from support.waiting import until
from support.weir import free_port

rfc = pytest.mark.rfc
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6: ::1 cannot be bound")


def head_of(method, target, *fields, version="HTTP/1.1"):
    """A request's head whose body is sent by hand."""
    return wire.request(method, target, *fields, version=version)


# ---- weir answers for itself ---------------------------------------------------------------------


@rfc("9110 7.6.2")
@pytest.mark.parametrize("method, status", [("OPTIONS", 200), ("TRACE", 405)])
@pytest.mark.parametrize("value", ["0", "000"])
def test_a_request_whose_max_forwards_is_0_ends_here(world, method, status, value):
    origin, weir = world.pair()
    client = world.connect(weir)
    answer = client.ask(method, "/", f"Max-Forwards: {value}")
    assert answer.status == status and answer.get("Weir-Reason") == "max_forwards"
    assert answer.has("Allow", "GET") == (status == 405)
    assert client.ask("GET", "/after").status == 200
    assert origin.targets() == ["/after"]


# sentence: (section, request, status, what the answer explains, a field that it has)
OWN = {
    "no Host": ("9112 3.2", b"GET / HTTP/1.1\r\n\r\n", 400, "no Host", None),
    "two Hosts": (
        "9112 3.2",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        400,
        "more than one Host",
        None,
    ),
    "a space before a colon": (
        "9112 5.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
        400,
        "colon",
        None,
    ),
    "a folded field": (
        "9112 5.2",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        400,
        "white space at the start of a field line",
        None,
    ),
    "no HTTP": ("9112 2.2", b"\x16\x03\x01 hello\r\n\r\n", 400, "not the beginning", None),
    "length and coding": (
        "9112 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "both",
        None,
    ),
    "chunked is not the last coding": (
        "9112 6.3",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        400,
        "not exactly chunked",
        None,
    ),
    "a coding in HTTP/1.0": (
        "9112 6.1",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "HTTP/1.0",
        None,
    ),
    "userinfo": (
        "9110 4.2.4",
        b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "userinfo",
        None,
    ),
    "CONNECT": (
        "9110 15.5.6",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        405,
        "CONNECT",
        "Allow",
    ),
    "another expectation": (
        "9110 10.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 200-ok\r\n\r\n",
        417,
        "expectation",
        None,
    ),
    "one more expectation": (
        "9110 10.1.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: x=y\r\n\r\n",
        417,
        "expectation",
        None,
    ),
    "an unknown coding": (
        "9112 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: zip, chunked\r\n\r\n",
        501,
        "coding",
        None,
    ),
    "another version": (
        "9110 15.6.6",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        505,
        "an HTTP version other than 1.0 and 1.1",
        None,
    ),
}


@pytest.mark.parametrize("row", OWN)
def test_what_is_refused_is_told_why_with_a_date_and_closed(world, row):
    _, raw, status, why, field = OWN[row]
    origin, weir = world.pair()
    client = world.connect(weir).send(raw)
    answer = client.response()
    assert answer.status == status and answer.version == "HTTP/1.1"
    assert why in answer.body.decode()
    assert answer.get("Content-Type").startswith("text/plain")
    assert answer.has("Connection", "close")
    assert is_now(answer.get("Date"))
    assert field is None or answer.get(field)
    assert client.rest() == b""
    assert origin.used() == []


@rfc("9110 15.5.9")
def test_a_408_says_close(world):
    _, weir = world.pair(client_head_timeout="100ms")
    client = world.connect(weir).send(b"GET / HT")
    answer = client.response()
    assert answer.status == 408 and answer.has("Connection", "close")
    assert client.rest() == b""


# ---- Date ----------------------------------------------------------------------------------------

IMF_FIXDATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] "
    r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} [0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT\Z"
)


def is_now(date):
    assert IMF_FIXDATE.match(date), date
    then = email.utils.parsedate_to_datetime(date)
    assert email.utils.format_datetime(then, usegmt=True) == date, "the day of the week is wrong"
    return abs(then.timestamp() - time.time()) < 60


@rfc("9110 6.6.1")
@pytest.mark.parametrize("status", [200, 304, 404, 503])
def test_an_answer_without_date_gets_one(world, status):
    origin, weir = world.pair()
    origin.on("/", app.answer(b"" if status == 304 else b"ok", status))
    assert is_now(world.connect(weir).ask("GET", "/").get("Date"))


@rfc("9110 6.6.1")
def test_a_date_is_the_apps_own_in_any_spelling_and_1xx_have_none(world):
    origin, weir = world.pair()
    origin.on("/", app.send(HINTS), app.answer(b"ok", 200, "dAtE: whenever"))
    answer = world.connect(weir).ask("GET", "/")
    assert answer.get("Date") == "whenever"
    assert answer.interim[0].all("Date") == []


@rfc("9110 6.6.1")
@pytest.mark.parametrize("status", [502, 413])
def test_an_answer_of_weirs_own_has_a_date(world, status):
    origin, weir = world.pair(client_max_body="1KiB")
    origin.on("/", app.reset())
    body = bytes(2000) if status == 413 else None
    answer = world.connect(weir).ask("POST", "/", body=body)
    assert answer.status == status and is_now(answer.get("Date"))


# ---- Connection and trailers ---------------------------------------------------------------------


def trailing(*trailers):
    return b"5\r\nhello\r\n" + wire.chunked([], trailers)


@rfc("9110 7.6.1")
@pytest.mark.parametrize("name", ["X-Hop", "x-HOP", "x_hop"])
def test_a_trailer_that_connection_names_does_not_reach_the_app(world, name):
    origin, weir = world.pair()
    client = world.connect(weir)
    fields = "Connection: a, b, X-Hop, c", "Transfer-Encoding: chunked"
    client.send(head_of("POST", "/", *fields) + trailing("X-Sum: 1", f"{name}: 2"))
    assert client.response().status == 400
    assert not any(call.complete for call in origin.calls)
    assert not any(f"{name}:".encode() in bytes(conn.received) for conn in origin.used())


@rfc("9110 7.6.1")
def test_a_trailer_that_connection_names_does_not_reach_the_client(world):
    origin, weir = world.pair()
    head = b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nTransfer-Encoding: chunked\r\n\r\n"
    origin.on("/", app.send(head + trailing("X-Hop: 2")))
    got = world.connect(weir).get("/").until_closed()
    assert b"X-Hop:" not in got and not got.endswith(b"\r\n\r\n")


@rfc("9110 7.6.1")
def test_trailers_that_connection_does_not_name_go_on(world):
    origin, weir = world.pair()
    client = world.connect(weir)
    fields = "Connection: X-Hop, close, X-Sum-of, X-Su", "Transfer-Encoding: chunked"
    client.send(head_of("POST", "/", *fields) + trailing("X-Sum: 1", "X-Hop-2: 2"))
    assert client.response().status == 200
    assert origin.calls[0].trailers == [("X-Sum", "1"), ("X-Hop-2", "2")]


@pytest.mark.parametrize("underscores, status", [("drop", 400), ("pass", 200)])
def test_a_trailer_with_an_underscore_passes_where_a_field_would(world, underscores, status):
    """Uvicorn with httptools puts trailers into the head."""
    origin, weir = world.pair(headers_underscores=underscores)
    client = world.connect(weir)
    client.send(head_of("POST", "/", "Transfer-Encoding: chunked") + trailing("Remote_User: root"))
    assert client.response().status == status
    named = [b"Remote_User:" in bytes(conn.received) for conn in origin.used()]
    assert any(named) == (status == 200)


# ---- 1xx and Expect ------------------------------------------------------------------------------


@rfc("9110 10.1.1")
@pytest.mark.parametrize("fields", [(), ("Content-Length: 0",)], ids=["no length", "length 0"])
def test_without_a_body_nothing_is_expected(world, fields):
    """Waitress says 100 to it, and then waits for the body."""
    origin, weir = world.pair()
    answer = world.connect(weir).ask("POST", "/", "Expect: 100-continue", *fields)
    assert answer.status == 200 and not answer.interim
    assert origin.calls[0].all("Expect") == []


@rfc("9110 10.1.1")
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_client_that_does_not_wait_for_100_is_served_too(world, framing):
    origin, weir = world.pair()
    origin.on("/up", app.send(CONTINUE), app.read_body(), app.answer(b"got it"))
    client = world.connect(weir)
    body = b"hello" if framing == "length" else [b"hel", b"lo"]
    answer = client.ask("POST", "/up", "Expect: 100-Continue", body=body)
    assert answer.body == b"got it"
    assert [i.status for i in answer.interim] == [100]
    assert origin.calls[0].body == b"hello"
    assert origin.calls[0].get("Expect") == "100-continue"
    assert client.ask("GET", "/after").status == 200


@rfc("9110 10.1.1")
def test_a_final_answer_in_place_of_100_says_what_becomes_of_the_connection(world):
    origin, weir = world.pair()
    origin.on("/up", app.answer(b"no", 403))
    client = world.connect(weir)
    client.send(head_of("POST", "/up", "Expect: 100-continue", "Content-Length: 5"))
    answer = client.response()
    assert answer.status == 403 and answer.has("Connection", "close")
    assert client.rest() == b""


@rfc("9110 15.2")
@pytest.mark.parametrize("expects", [True, False])
def test_a_100_never_reaches_an_http_10_client(world, expects):
    origin, weir = world.pair()
    origin.on("/up", app.send(CONTINUE + HINTS), app.read_body(), app.answer(b"got it"))
    client = world.connect(weir)
    fields = ["Expect: 100-continue"] if expects else []
    answer = client.ask("POST", "/up", *fields, body=b"hello", version="HTTP/1.0")
    assert answer.interim == [] and answer.body == b"got it"
    assert origin.calls[0].all("Expect") == []


@rfc("9110 15.2")
def test_interim_answers_come_at_once_and_before_each_final_one(world):
    origin, weir = world.pair()
    gates = [origin.gate() for _ in range(3)]
    steps = []
    for gate in gates:
        steps += [app.send(HINTS), app.wait(gate)]
    origin.on("/", *steps, app.answer())
    client = world.connect(weir)
    client.send(wire.request("GET", "/") + wire.request("GET", "/after"))
    for gate in gates:
        assert client.head().status == 103
        gate.open()
    assert client.response().body == b"ok"
    after = client.response()
    assert after.status == 200 and after.interim == []


@rfc("9112 8")
@pytest.mark.parametrize("end", ["close", "reset"])
def test_an_app_that_leaves_after_a_103_is_a_bad_gateway(world, end):
    origin, weir = world.pair()
    gate = origin.gate()
    origin.on("/", app.send(HINTS), app.wait(gate), getattr(app, end)())
    client = world.connect(weir)
    assert client.ask("GET", "/first").status == 200  # so that the connection is not a fresh one
    client.get("/")
    assert client.head().status == 103
    gate.open()
    assert client.response().status == 502
    assert len(origin.used()) == 1
    assert len(origin.seen("/")) == 1, "an app that has begun to answer is not asked again"
    assert client.ask("GET", "/after").status == 200


# ---- incomplete messages -------------------------------------------------------------------------


@rfc("9112 8")
@pytest.mark.parametrize("end", ["close", "reset"])
def test_chunks_that_are_cut_while_they_are_decoded_look_cut(world, end):
    """Only the end of the connection tells an HTTP/1.0 client: it must not be an orderly one."""
    origin, weir = world.pair()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"
    gate = origin.gate()
    origin.on("/", app.send(head), app.wait(gate), getattr(app, end)())
    client = world.connect(weir).get("/", version="HTTP/1.0")
    assert client.final_head().status == 200
    assert client.exactly(4) == b"part"
    gate.open()
    with pytest.raises(wire.Truncated, match="reset"):
        client.rest()


@rfc("9112 6.3")
def test_to_http_1_0_an_answer_that_ends_with_a_reset_looks_cut_and_with_a_fin_does_not(world):
    origin, weir = world.pair()
    gate = origin.gate()
    for name, end in (("/cut", app.reset()), ("/whole", app.close())):
        origin.on(name, app.send(b"HTTP/1.1 200 OK\r\n\r\npart"), app.wait(gate), end)
    clients = [world.connect(weir).get(name, version="HTTP/1.0") for name in ("/cut", "/whole")]
    for client in clients:
        client.final_head()
        assert client.exactly(4) == b"part"
    gate.open()
    with pytest.raises(wire.Truncated, match="reset"):
        clients[0].rest()
    assert clients[1].rest() == b""


@rfc("9112 8")
def test_an_answer_that_ends_with_its_connection_is_whole_by_its_last_chunk_only(world):
    origin, weir = world.pair()
    for name, end in (("/cut", app.reset()), ("/whole", app.close())):
        origin.on(name, app.send(b"HTTP/1.1 200 OK\r\n\r\npart"), end)
    assert world.connect(weir).ask("GET", "/whole").body == b"part"
    cut = world.connect(weir).get("/cut")
    assert cut.final_head().get("Transfer-Encoding") == "chunked"
    assert cut.rest() == b"4\r\npart\r\n"


@rfc("9112 6.3")
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_that_is_cut_is_cut_for_the_app(world, framing):
    origin, weir = world.pair()
    client = world.connect(weir)
    rest = {
        "length": (["Content-Length: 10"], b"part"),
        "chunked": (["Transfer-Encoding: chunked"], b"4\r\npart\r\n"),
    }[framing]
    client.send(head_of("POST", "/up", *rest[0]) + rest[1])
    until(lambda: origin.calls and origin.calls[0].body == b"part", "the first part")
    client.fin()
    until(lambda: origin.calls[0].connection.closed, "the app to be told")
    assert not origin.calls[0].complete
    assert world.connect(weir).ask("GET", "/after").status == 200


# ---- early answers -------------------------------------------------------------------------------

EARLY = wire.noise(30_000)


def sends_on_and_reads(world, weir, framing):
    """Whether all that the client had under way was accepted; the answer must be there in any case."""
    client = world.connect(weir)
    fields = {"length": "Content-Length: 900000", "chunked": "Transfer-Encoding: chunked"}[framing]
    client.send(head_of("POST", "/up", fields))
    until(lambda: not client.is_open(), "the answer to be there")
    piece, taken = bytes(20_000), True
    if framing == "chunked":
        piece = b"%x\r\n" % len(piece) + piece + b"\r\n"
    try:
        for _ in range(5):
            client.send(piece)
    except ConnectionError:
        taken = False
    answer = client.response()
    assert (answer.status, answer.body) == (413, EARLY)
    assert answer.has("Connection", "close")
    assert client.rest() == b""
    return taken


@rfc("9112 9.3, 9.5, 9.6")
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_early_answer_can_be_read_by_a_client_that_goes_on_sending(world, framing):
    """A close with unread bytes would reset the connection, and the answer would be lost."""
    origin, weir = world.pair(upstream_keepalive_timeout="60s")
    origin.on("/up", app.answer(EARLY, 413))
    # weir drains for a second; in three tries one client is quicker than that.
    assert any([sends_on_and_reads(world, weir, framing) for _ in range(3)])
    assert world.connect(weir).ask("GET", "/after").status == 200
    assert [len(conn.calls) for conn in origin.used()] == [1] * 4
    until(lambda: all(conn.closed for conn in origin.used()[:3]), "the app's connections to end")


def sends_all_and_reads(world, weir, body):
    """Whether it was accepted to its end before the client looked for the answer."""
    client = world.connect(weir).send(head_of("POST", "/up", f"Content-Length: {len(body)}"))
    until(lambda: not client.is_open(), "the answer to be there")
    try:
        client.send(body)
    except ConnectionError:
        return False
    assert client.response().status == 413
    return client.rest() == b""


@rfc("9112 9.6")
def test_a_client_that_sends_much_before_it_reads_finds_its_early_answer(world):
    """Many stop at the error of a send, and never look whether there was an answer."""
    origin, weir = world.pair()
    origin.on("/up", app.answer(b"no", 413))
    # More than the kernel accepts unread; weir drains for a second, and one of three is quicker.
    assert any(sends_all_and_reads(world, weir, bytes(32 << 20)) for _ in range(3))


@rfc("9112 9.6")
def test_what_follows_an_early_answer_is_no_request(world):
    origin, weir = world.pair()
    origin.on("/up", app.answer(b"early"))
    client = world.connect(weir)
    client.send(head_of("POST", "/up", "Content-Length: 100"))
    assert client.response().body == b"early"
    client.send(wire.request("GET", "/smuggled") * 5)
    client.until_closed()
    assert origin.targets() == ["/up"]


# ---- pipelining and closing ----------------------------------------------------------------------


@rfc("9112 9.3.2")
@pytest.mark.parametrize("threads", [1, 2])
def test_pipelined_requests_of_every_framing_are_answered_in_order(world, threads):
    origin, weir = world.pair(concurrency=10, threads=threads)
    raw = b"HTTP/1.1 %s\r\n%s\r\n"
    origin.on("/head", app.send(raw % (b"200 OK", b"Content-Length: 1000\r\n")))
    origin.on("/204", app.send(raw % (b"204 No Content", b"")))
    origin.on("/304", app.send(raw % (b"304 Not Modified", b"Content-Length: 9\r\n")))
    origin.on("/chunks", app.send(HINTS), app.answer([b"chu", b"nks"]))
    origin.on("/up", app.read_body(), app.delay(0.02), app.answer(b"up"))
    script = [
        ("HEAD", "/head", None, 200, b""),
        ("POST", "/up", b"x" * 1000, 200, b"up"),
        ("GET", "/204", None, 204, b""),
        ("GET", "/chunks", None, 200, b"chunks"),
        ("POST", "/up", [b"y" * 10, b"z" * 10], 200, b"up"),
        ("GET", "/304", None, 304, b""),
        ("GET", "/other", None, 200, b"ok"),
    ]
    client = world.connect(weir)
    client.send(b"".join(wire.request(m, t, body=body) for m, t, body, _, _ in script) * 2)
    for method, _, _, status, body in script * 2:
        answer = client.response(method)
        assert (answer.status, answer.body) == (status, body)
    assert origin.targets() == [target for _, target, *_ in script] * 2
    assert origin.most_inside == 1
    assert [bytes(call.body) for call in origin.seen("/up")] == [
        b"x" * 1000,
        b"y" * 10 + b"z" * 10,
    ] * 2


# sentence: the request after which nothing more is served
LAST = {
    "the client says close": wire.request("GET", "/last", "Connection: close"),
    "HTTP/1.0 that does not ask to be kept": wire.request("GET", "/last", version="HTTP/1.0"),
    "HTTP/1.0, whose answer ends with the connection": wire.request(
        "GET", "/until-close", "Connection: keep-alive", version="HTTP/1.0"
    ),
    "it was refused": b"GET /last HTTP/1.1\r\nHost: a b\r\n\r\n",
}


@rfc("9112 9.6")
@pytest.mark.parametrize("row", LAST)
def test_a_request_behind_the_last_one_is_not_served(world, row):
    origin, weir = world.pair()
    origin.on("/until-close", app.send(b"HTTP/1.1 200 OK\r\n\r\nok"), app.close())
    client = world.connect(weir)
    client.send(
        LAST[row] + wire.request("GET", "/never") + wire.request("POST", "/never", body=b"x")
    )
    answer = client.response()
    assert answer.has("Connection", "close")
    assert client.until_closed() == b""
    weir.wait_quiet()
    assert origin.seen("/never") == []
    world.expect_requests(weir, 1)


# ---- the app's connections -----------------------------------------------------------------------


@rfc("9112 9.4; SPEC 5")
def test_the_newest_idle_connection_is_used_first(world):
    origin, weir = world.pair(concurrency=3)
    gates = [origin.gate() for _ in range(3)]
    clients = []
    for i, gate in enumerate(gates):
        origin.on(f"/{i}", app.wait(gate), app.answer())
        clients.append(world.connect(weir).get(f"/{i}"))
        origin.wait_inside(i + 1)
    for i in (2, 0, 1):  # the last to be given back is that of /1
        gates[i].open()
        assert clients[i].response().status == 200
    for _ in range(5):
        assert clients[0].ask("GET", "/next").status == 200
    newest = origin.seen("/1")[0].connection
    assert {call.connection for call in origin.seen("/next")} == {newest}
    assert len(origin.used()) == 3


@rfc("9112 9.3.1; 9110 9.2.2")
@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_an_idempotent_request_on_a_stale_connection_is_sent_again_once(world, method):
    origin, weir = world.pair()

    def choose(call):
        stale = call.target == "/again" and len(call.connection.calls) > 1
        return [app.reset()] if stale else [app.read_body(), app.answer(b"")]

    origin.choose = choose
    client = world.connect(weir)
    body = b"x" if method == "PUT" else None
    for _ in range(2):
        assert client.ask("GET", "/first").status == 200
    assert client.ask(method, "/again", body=body).status == 200
    assert [call.method for call in origin.seen("/again")] == [method] * 2
    assert weir.metrics().one("weir_upstream_connections_total", result="replayed") == 1


@rfc("9112 9.3.1; 9110 9.2.2")
@pytest.mark.parametrize("method", ["POST", "PATCH", "get", "PROPFIND"])
def test_another_request_is_not_sent_again_even_without_a_body(world, method):
    origin, weir = world.pair()
    origin.on("/once", app.reset())
    client = world.connect(weir)
    for _ in range(2):
        assert client.ask("GET", "/first").status == 200
    assert client.ask(method, "/once").status == 502
    assert len(origin.seen("/once")) == 1
    assert len(origin.used()) == 1, "it went where it could have been lost"


# ---- X-Forwarded-* -------------------------------------------------------------------------------

LOOP = "127.0.0.0/8"
SENT = {"For": "192.0.2.1", "Proto": "https", "Host": "public.test"}
OURS = {"For": "127.0.0.1", "Proto": "http", "Host": "app.test"}
OURS_6 = {**OURS, "For": "::1"}

# sentence: (weir's options, where it listens and is asked, sent, what the app gets)
FORWARDED = {
    "nothing sent": ({}, None, {}, OURS),
    "append, nobody trusted": ({"headers_trusted": "none"}, None, SENT, OURS),
    "append, private addresses trusted by default": (
        {},
        None,
        SENT,
        {**SENT, "For": "192.0.2.1, 127.0.0.1"},
    ),
    "append, loopback trusted": (
        {"headers_trusted": "loopback"},
        None,
        SENT,
        {**SENT, "For": "192.0.2.1, 127.0.0.1"},
    ),
    "append, another block trusted": (
        {"headers_trusted": "10.0.0.0/8,::1,128.0.0.0/1"},
        None,
        SENT,
        OURS,
    ),
    "append, trusted": (
        {"headers_trusted": f"10.0.0.0/8,{LOOP}"},
        None,
        SENT,
        {**SENT, "For": "192.0.2.1, 127.0.0.1"},
    ),
    "append, trusted, a part sent": (
        {"headers_trusted": "127.0.0.1"},
        None,
        {"Proto": "https"},
        {**OURS, "Proto": "https"},
    ),
    "replace, not trusted": ({"headers_forwarded": "replace"}, None, SENT, OURS),
    "replace, trusted": (
        {"headers_forwarded": "replace", "headers_trusted": LOOP},
        None,
        SENT,
        OURS,
    ),
    "off": ({"headers_forwarded": "off"}, None, SENT, SENT),
    "off, nothing sent": ({"headers_forwarded": "off"}, None, {}, {}),
    "IPv6, not trusted": ({"headers_trusted": LOOP}, "[::1]", SENT, OURS_6),
    "IPv6, trusted": (
        {"headers_trusted": "fe80::/10,::/64"},
        "[::1]",
        SENT,
        {**SENT, "For": "192.0.2.1, ::1"},
    ),
    "IPv4 on an IPv6 listener, not trusted": ({"headers_trusted": "::1/128"}, "[::]", SENT, OURS),
    "IPv4 on an IPv6 listener, trusted": (
        {"headers_trusted": LOOP},
        "[::]",
        SENT,
        {**SENT, "For": "192.0.2.1, 127.0.0.1"},
    ),
    "a trusted front that says the scheme in another field": (
        {},
        None,
        {"Ssl": "on"},
        {"For": "127.0.0.1", "Host": "app.test", "Ssl": "on"},
    ),
    "IPv6 is trusted by default": ({}, "[::1]", SENT, {**SENT, "For": "192.0.2.1, ::1"}),
    "a unix socket is trusted, and has no address": ({}, "unix", SENT, SENT),
    "a unix socket that says nothing": ({}, "unix", {}, {"Proto": "http", "Host": "app.test"}),
    "a unix socket, nobody trusted": (
        {"headers_trusted": "none"},
        "unix",
        SENT,
        {"Proto": "http", "Host": "app.test"},
    ),
    "a unix socket, replace": (
        {"headers_forwarded": "replace"},
        "unix",
        SENT,
        {"Proto": "http", "Host": "app.test"},
    ),
}


@rfc("SPEC 5")
@pytest.mark.parametrize("row", FORWARDED)
def test_forwarding_fields(world, row):
    options, listen, sent, wanted = FORWARDED[row]
    if listen and listen.startswith("[") and not has_ipv6():
        pytest.skip("no IPv6: ::1 cannot be bound")
    if listen == "unix":
        listen = "unix:" + world.path("weir.sock")
    origin, weir = world.pair(listen=listen, **options)
    fields = [f"X-Forwarded-{name}: {value}" for name, value in sent.items()]
    assert world.connect(weir).ask("GET", "/", *fields).status == 200
    names = ("For", "Proto", "Host", "Ssl")
    got = {name: origin.calls[0].all(f"X-Forwarded-{name}") for name in names}
    assert got == {name: [wanted[name]] if name in wanted else [] for name in names}


@pytest.mark.parametrize(
    "host, options, told",
    [
        ("0.0.0.0", {}, True),
        ("0.0.0.0", {"headers_trusted": "none"}, False),
        ("0.0.0.0", {"headers_trusted": "private"}, False),
        ("127.0.0.1", {}, False),
    ],
)
def test_the_log_says_once_that_private_addresses_are_believed(world, host, options, told):
    _, weir = world.pair(listen=f"{host}:{free_port()}", **options)
    assert weir.log().count("forwarding headers from private addresses are trusted") == told


@rfc("SPEC 5")
def test_trusted_lists_on_several_lines_become_one_in_their_order(world):
    origin, weir = world.pair(headers_trusted=LOOP)
    fields = "X-Forwarded-For: 192.0.2.1", "X: y", "x-forwarded-for: 192.0.2.2, 192.0.2.3"
    assert world.connect(weir).ask("GET", "/", *fields).status == 200
    assert origin.calls[0].get("X-Forwarded-For") == "192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1"


@rfc("SPEC 5; 7239 8.1")
@pytest.mark.parametrize("trusted", [True, False])
def test_forwarded_is_believed_of_the_trusted_alone(world, trusted):
    origin, weir = world.pair(headers_trusted=LOOP if trusted else "192.0.2.0/24")
    assert world.connect(weir).ask("GET", "/", "Forwarded: for=192.0.2.1").status == 200
    assert origin.calls[0].all("Forwarded") == (["for=192.0.2.1"] if trusted else [])


# ---- X-Request-Id, X-Request-Start ---------------------------------------------------------------

UUID_7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")

# sentence: (what the client sends, the id that is kept; None: a new one is made)
IDS = {
    "none": ([], None),
    "a sound one": (["X-Request-Id: Root=1-5759e988:bd86/e3fe!"], "Root=1-5759e988:bd86/e3fe!"),
    "in another case": (["x-request-ID: mine"], "mine"),
    "the longest": (["X-Request-Id: " + "x" * 128], "x" * 128),
    "too long": (["X-Request-Id: " + "x" * 129], None),
    "empty": (["X-Request-Id:"], None),
    "a space in it": (["X-Request-Id: a b"], None),
    "a list": (["X-Request-Id: a,b"], None),
    "not ASCII": (["X-Request-Id: \xe9"], None),
    "two": (["X-Request-Id: a", "X-Request-Id: b"], None),
}


@rfc("SPEC 5")
@pytest.mark.parametrize("row", IDS)
def test_a_request_goes_by_one_id_on_both_sides(world, row):
    sent, kept = IDS[row]
    origin, weir = world.pair()
    client = world.connect(weir)
    ids = []
    for _ in range(2):
        answer = client.ask("GET", "/", *sent)
        ids.append(answer.get("X-Request-Id"))
        assert origin.calls[-1].get("X-Request-Id") == ids[-1]
        assert ids[-1] == kept if kept else UUID_7.match(ids[-1])
    assert kept or (ids[0] != ids[1] and ids[0][:13] <= ids[1][:13]), "they begin with the time"


@rfc("SPEC 5")
def test_the_id_of_an_answer_is_the_apps_own_where_it_sends_one(world):
    origin, weir = world.pair()
    origin.on("/", app.answer(b"ok", 200, "x-request-id: apps"))
    assert world.connect(weir).ask("GET", "/", "X-Request-Id: mine").get("X-Request-Id") == "apps"


@rfc("SPEC 5")
def test_weirs_own_answer_has_the_id_too(world):
    origin, weir = world.pair()
    origin.on("/", app.reset())
    answer = world.connect(weir).ask("GET", "/", "X-Request-Id: mine")
    assert answer.status == 502 and answer.get("X-Request-Id") == "mine"


@rfc("SPEC 5")
def test_the_id_may_have_another_name_or_none(world):
    origin = world.origin()
    named = world.weir(origin, headers_request_id="X-Correlation-Id")
    answer = world.connect(named).ask("GET", "/", "x-correlation-id: c", "X-Request-Id: r, s")
    assert answer.get("X-Correlation-Id") == "c" and answer.all("X-Request-Id") == []
    assert origin.calls[-1].get("X-Request-Id") == "r, s"
    none = world.weir(origin, headers_request_id="")
    answer = world.connect(none).ask("GET", "/", "X-Request-Id: r, s")
    assert answer.all("X-Request-Id") == []
    assert origin.calls[-1].get("X-Request-Id") == "r, s"


@rfc("SPEC 5")
@pytest.mark.parametrize(
    "option, sent", [("true", None), ("true", "t=1"), ("false", None), ("false", "t=1")]
)
def test_the_moment_of_arrival_is_added_where_it_is_absent(world, option, sent):
    origin, weir = world.pair(headers_request_start=option)
    before = time.time()
    fields = [f"X-Request-Start: {sent}"] if sent else []
    assert world.connect(weir).ask("GET", "/", *fields).status == 200
    got = origin.calls[0].get("X-Request-Start")
    if sent or option == "false":
        assert got == sent
        return
    match = re.match(r"t=([0-9]{16})\Z", got)
    assert match and before - 2 < int(match[1]) / 1e6 < time.time() + 2


# ---- IPv6 ----------------------------------------------------------------------------------------


@ipv6
@rfc("9110 4.2.1, 7.2")
def test_both_sides_can_be_ipv6(world):
    origin = world.origin(host="::1")
    weir = world.weir(origin, listen="[::1]", concurrency=2)
    clients = [world.connect(weir) for _ in range(3)]
    for client in clients * 2:
        answer = client.ask("POST", "/up", body=wire.noise(50_000), host="[::1]:8080")
        assert answer.status == 200
    call = origin.calls[-1]
    assert call.get("Host") == call.get("X-Forwarded-Host") == "[::1]:8080"
    assert call.get("X-Forwarded-For") == "::1"
    assert bytes(call.body) == wire.noise(50_000)
    assert len(origin.used()) <= 2
    world.expect_requests(weir, 6)


@ipv6
@rfc("SPEC 3")
def test_an_ipv6_app_may_be_met_by_ipv4_clients_and_the_other_way_round(world):
    six, four = world.origin(host="::1"), world.origin()
    to_six, to_four = world.weir(six), world.weir(four, listen="[::1]")
    assert world.connect(to_six).ask("GET", "/").status == 200
    assert world.connect(to_four).ask("GET", "/").status == 200
    assert (six.targets(), four.targets()) == (["/"], ["/"])
