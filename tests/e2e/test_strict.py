"""One message means one message: smuggling and malformed requests, and an app's bad answers.

Each row of REFUSED is followed on the wire by a whole request to /smuggled. The judge is the app:
not one byte may reach it, the client gets one answer of weir's own, and then the connection's end.
"""

import time
import uuid

import pytest

from support import origin as app
from support import wire
from support.waiting import until

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
BAD = {400}
CODING = {400, 501}
VERSION = {400, 505}


def post(*fields, body=b"hello", version=b"HTTP/1.1"):
    head = b"POST /x " + version + b"\r\nHost: app.test\r\n"
    return head + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def get(*fields, target=b"/x", host=b"Host: app.test", method=b"GET", version=b"HTTP/1.1"):
    lines = [method + b" " + target + b" " + version] + ([host] if host else []) + list(fields)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def te(value, body=CHUNKS, **how):
    return post(b"Transfer-Encoding:" + value, body=body, **how)


def length(value):
    return post(b"Content-Length: " + value)


def host(value):
    return get(host=b"Host: " + value)


REFUSED = {
    # Framing: lengths
    "length and chunked": (post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=CHUNKS), BAD),
    "chunked and length": (post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=CHUNKS), BAD),
    "length twice, different": (post(b"Content-Length: 5", b"Content-Length: 6"), BAD),
    "length twice, the same": (post(b"Content-Length: 5", b"Content-Length: 5"), BAD),
    "length as a list": (length(b"5, 6"), BAD),
    "length as a list of the same": (length(b"5, 5"), BAD),
    "length with plus": (length(b"+5"), BAD),
    "length with minus": (length(b"-5"), BAD),
    "length with minus zero": (length(b"-0"), BAD),
    "length with a space inside": (length(b"5 5"), BAD),
    "length in hex": (length(b"0x5"), BAD),
    "length with a fraction": (length(b"5.0"), BAD),
    "length with an exponent": (length(b"5e0"), BAD),
    "length with an underscore": (length(b"1_0"), BAD),
    "length in words": (length(b"five"), BAD),
    "length empty": (length(b""), BAD),
    "length of 2^64": (length(b"18446744073709551616"), BAD),
    "length of 2^64 + 5": (length(b"18446744073709551621"), BAD),
    "length of 20 nines": (length(b"9" * 20), BAD),
    "length of 60 digits": (length(b"9" * 60), BAD),
    "length after a vertical tab": (length(b"\x0b5"), BAD),
    "length with NUL": (length(b"5\x00"), BAD),
    "length on an extra line": (length(b"\r\n 5"), BAD),
    "space before the colon of length": (post(b"Content-Length : 5"), BAD),
    "tab before the colon of length": (post(b"Content-Length\t: 5"), BAD),
    # Framing: codings
    "coding twice": (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKS), CODING),
    "chunked, chunked": (te(b" chunked, chunked"), CODING),
    "chunked, identity": (te(b" chunked, identity"), CODING),
    "identity, chunked": (te(b" identity, chunked"), CODING),
    "identity": (te(b" identity"), CODING),
    "gzip, chunked": (te(b" gzip, chunked"), CODING),
    "xchunked": (te(b" xchunked"), CODING),
    "chunkedx": (te(b" chunkedx"), CODING),
    "quoted chunked": (te(b' "chunked"'), CODING),
    "chunked with a parameter": (te(b" chunked;q=1"), CODING),
    "coding empty": (te(b""), CODING),
    "vertical tab before chunked": (te(b" \x0bchunked"), CODING),
    "form feed after chunked": (te(b" chunked\x0c"), CODING),
    "NUL after chunked": (te(b" chunked\x00"), CODING),
    "chunked on a folded line": (te(b"\r\n chunked"), BAD),
    "coding with a folded tail": (te(b" chunked\r\n , identity"), BAD),
    "space before the colon of the coding": (post(b"Transfer-Encoding : chunked", body=CHUNKS), BAD),
    "bare CR before chunked": (te(b"\rchunked"), BAD),
    "coding in HTTP/1.0": (te(b" chunked", version=b"HTTP/1.0"), BAD),
    "length, then an identity coding": (post(b"Content-Length: 5", b"Transfer-Encoding: identity"), CODING),
    # Fields
    "space at the start of the fields": (b"GET /x HTTP/1.1\r\n Host: app.test\r\n\r\n", BAD),
    "tab at the start of the fields": (b"GET /x HTTP/1.1\r\n\tX: y\r\nHost: app.test\r\n\r\n", BAD),
    "folded field": (get(b"X-A: b\r\n c"), BAD),
    "folded with a tab": (get(b"X-A: b\r\n\tc"), BAD),
    "field without a colon": (get(b"X-A"), BAD),
    "empty field name": (get(b": x"), BAD),
    "NUL in a name": (get(b"X\x00A: b"), BAD),
    "NUL in a value": (get(b"X-A: b\x00c"), BAD),
    "control in a value": (get(b"X-A: b\x01c"), BAD),
    "DEL in a value": (get(b"X-A: b\x7fc"), BAD),
    "space in a name": (get(b"X A: b"), BAD),
    "space before a colon": (get(b"X-A : b"), BAD),
    "parenthesis in a name": (get(b"X(A): b"), BAD),
    "non-ASCII in a name": (get(b"X-\xc3\xa9: b"), BAD),
    "bare LF after a field": (b"GET /x HTTP/1.1\r\nHost: app.test\nX-A: b\r\n\r\n", BAD),
    "bare LF everywhere": (b"GET /x HTTP/1.1\nHost: app.test\n\n", BAD),
    "bare LF at the end": (b"GET /x HTTP/1.1\r\nHost: app.test\r\n\n", BAD),
    "LF CR": (b"GET /x HTTP/1.1\n\rHost: app.test\n\r\n\r", BAD),
    "bare CR in a value": (get(b"X-A: b\rTransfer-Encoding: chunked"), BAD),
    "bare CR as line end": (b"GET /x HTTP/1.1\rHost: app.test\r\r\n\r\n", BAD),
    "CR CR LF": (b"GET /x HTTP/1.1\r\r\nHost: app.test\r\n\r\n", BAD),
    # Host and target
    "no Host": (get(host=None), BAD),
    "two Hosts": (get(b"Host: other.test"), BAD),
    "two equal Hosts": (get(b"Host: app.test"), BAD),
    "Host with a space": (host(b"app test"), BAD),
    "Host with a path": (host(b"app.test/x"), BAD),
    "Host with a user": (host(b"user@app.test"), BAD),
    "Host as a list": (host(b"app.test, other.test"), BAD),
    "Host with a port in letters": (host(b"app.test:http"), BAD),
    "Host with a port too large": (host(b"app.test:99999"), BAD),
    "Host with an open bracket": (host(b"[::1"), BAD),
    "Host with a question mark": (host(b"app.test?x"), BAD),
    "userinfo in the target": (get(target=b"http://u:p@app.test/x"), BAD),
    "fragment in the target": (get(target=b"/x#frag"), BAD),
    "port out of range in the target": (get(target=b"http://app.test:99999/x"), BAD),
    "absolute form without an authority": (get(target=b"http:///x"), BAD),
    "GET of an asterisk": (get(target=b"*"), BAD),
    "authority form": (get(target=b"app.test:80"), BAD),
    "target without a slash": (get(target=b"x"), BAD),
    "space in the target": (get(target=b"/a b"), BAD),
    "NUL in the target": (get(target=b"/a\x00b"), BAD),
    "tab in the target": (get(target=b"/a\tb"), BAD),
    "two spaces after the method": (b"GET  /x HTTP/1.1\r\nHost: app.test\r\n\r\n", BAD),
    "two spaces before the version": (b"GET /x  HTTP/1.1\r\nHost: app.test\r\n\r\n", BAD),
    "space after the version": (b"GET /x HTTP/1.1 \r\nHost: app.test\r\n\r\n", BAD),
    "tab between": (b"GET\t/x\tHTTP/1.1\r\nHost: app.test\r\n\r\n", BAD),
    "no target": (b"GET HTTP/1.1\r\nHost: app.test\r\n\r\n", BAD),
    "CONNECT": (get(method=b"CONNECT", target=b"app.test:443"), {405, 400}),
    # Method and version
    "space before the method": (b" " + get(), BAD),
    "bad character in the method": (get(method=b"G(T"), BAD),
    "empty method": (b" /x HTTP/1.1\r\nHost: app.test\r\n\r\n", BAD),
    "HTTP/0.9": (b"GET /x\r\n\r\n", VERSION),
    "HTTP/2.0": (get(version=b"HTTP/2.0"), VERSION),
    "HTTP/1.10": (get(version=b"HTTP/1.10"), VERSION),
    "HTTP/01.1": (get(version=b"HTTP/01.1"), VERSION),
    "HTTP/1": (get(version=b"HTTP/1"), VERSION),
    "HTTP/1,1": (get(version=b"HTTP/1,1"), VERSION),
    "http in small letters": (get(version=b"http/1.1"), VERSION),
    "another protocol's name": (get(version=b"HTTPS/1.1"), VERSION),
    "the HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VERSION),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50 + b"\r\n\r\n", BAD),
    "many blank lines": (b"\r\n" * 50 + get(), BAD),
}


@pytest.mark.parametrize("row", REFUSED)
def test_refused(world, row):
    raw, statuses = REFUSED[row]
    origin, weir = world.pair()
    client = world.connect(weir).send(raw + SMUGGLED)
    answer = client.response()
    assert answer.status in statuses
    assert answer.get("Weir-Reason") and answer.has("Connection", "close")
    assert client.until_closed() == b"", "one answer, and then the end"
    assert origin.used() == [], bytes(origin.used()[0].received) if origin.used() else ""
    assert world.connect(weir).ask("GET", "/after").status == 200
    world.expect_requests(weir, 2)


# ---- bodies that break their framing --------------------------------------------------------------

BAD_CHUNKS = {
    "size with plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "size with minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "underscore in the size": b"0_5\r\nhello\r\n0\r\n\r\n",
    "letters as size": b"five\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "no size but an extension": b";a=b\r\nhello\r\n0\r\n\r\n",
    "size of 17 digits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "size that wraps": b"ffffffffffffffffb\r\nhello\r\n0\r\n\r\n",
    "hundreds of zeros": b"0" * 400 + b"5\r\nhello\r\n0\r\n\r\n",
    "bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "bare CR after the size": b"5\rhello\r\n0\r\n\r\n",
    "bare LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a\x00b\r\nhello\r\n0\r\n\r\n",
    "an endless extension": b"5;" + b"a" * 20_000 + b"\r\nhello\r\n0\r\n\r\n",
    "extensions without end": b"1;" + b"a" * 200 + b"\r\nx\r\n" + (b"1;" + b"a" * 200 + b"\r\nx\r\n") * 300 + b"0\r\n\r\n",
    "data longer than the size": b"5\r\nhello!\r\n0\r\n\r\n",
    "no CRLF after the data": b"5\r\nhello0\r\n\r\n",
    "LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "wrong bytes after the data": b"5\r\nhelloXX0\r\n\r\n",
    "LF at the end": b"5\r\nhello\r\n0\n\n",
    "a trailer that frames": b"0\r\nContent-Length: 5\r\n\r\n",
    "a trailer that codes": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a trailer that routes": b"0\r\nHost: other.test\r\n\r\n",
    "a trailer that authenticates": b"0\r\nAuthorization: Basic eDp5\r\n\r\n",
    "a trailer with a space before the colon": b"0\r\nX-A : b\r\n\r\n",
    "a folded trailer": b"0\r\nX-A: b\r\n c\r\n\r\n",
    "a trailer without a colon": b"0\r\nX-A\r\n\r\n",
    "a trailer without a name": b"0\r\n: b\r\n\r\n",
    "NUL in a trailer": b"0\r\nX-A: \x00\r\n\r\n",
    "bare LF in a trailer": b"0\r\nX-A: b\n\r\n",
    "trailers without end": b"0\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n",
}


@pytest.mark.parametrize("row", BAD_CHUNKS)
def test_a_request_whose_chunks_are_broken_never_becomes_complete(world, row):
    origin, weir = world.pair()
    origin.default = (app.read_body(), app.answer())
    client = world.connect(weir)
    try:
        client.send(te(b" chunked", BAD_CHUNKS[row]) + SMUGGLED)
    except ConnectionError:
        pass  # refused while more was coming
    got = client.until_closed()
    assert got == b"" or got.startswith(b"HTTP/1.1 400 "), got
    assert got.count(b"HTTP/1.1 ") <= 1
    assert not any(call.complete for call in origin.calls)
    assert origin.seen("/smuggled") == []
    assert world.connect(weir).ask("GET", "/after").status == 200
    assert [c.target for c in origin.calls if c.complete] == ["/after"]
    world.expect_requests(weir, 2)


# ---- what is allowed, and what it becomes -----------------------------------------------------------


def one_call(world, raw, **options):
    """What the app saw of one valid request."""
    origin, weir = world.pair(**options)
    client = world.connect(weir).send(raw)
    answer = client.response(raw.split(b" ")[0].strip().decode("latin-1"))
    assert answer.status == 200, answer
    assert len(origin.calls) == 1
    call = origin.calls[0]
    assert call.version == "HTTP/1.1"
    assert len(call.all("Host")) == 1
    return call


@pytest.mark.parametrize("value", [b" Chunked", b" CHUNKED", b"chunked", b"\tchunked \t"])
def test_chunked_may_be_written_in_any_case_and_spacing(world, value):
    call = one_call(world, te(value))
    assert call.body == b"hello" and call.complete


def test_chunk_extensions_and_upper_case_sizes_are_understood(world):
    body = b'A;x="y"\r\n0123456789\r\n000a;z\r\n0123456789\r\n0\r\n\r\n'
    assert one_call(world, te(b" chunked", body)).body == b"0123456789" * 2


def test_one_blank_line_before_a_request_is_forgiven(world):
    assert one_call(world, b"\r\n" + get()).target == "/x"


@pytest.mark.parametrize(
    "target", ["/", "/a/../b", "//x", "/%2e%2e/%00?a=%0d%0a", "/a;b=c?d=e&f", "/a?b?c", "/~!$&'()*+,;=:@"]
)
def test_path_and_query_pass_byte_for_byte(world, target):
    assert one_call(world, get(target=target.encode())).target == target


def test_absolute_form_becomes_origin_form(world):
    call = one_call(world, get(target=b"http://app.test/a?b"))
    assert call.target == "/a?b" and call.get("Host") == "app.test"


def test_absolute_form_without_a_path_becomes_a_slash(world):
    assert one_call(world, get(target=b"http://app.test")).target == "/"


def test_a_target_that_disagrees_with_host_never_reaches_the_app_with_both(world):
    origin, weir = world.pair()
    client = world.connect(weir).send(get(target=b"http://other.test/a"))
    assert client.response().status in (200, 400)
    assert [call.all("Host") for call in origin.calls] in ([], [["other.test"]])


def test_options_of_an_asterisk_passes(world):
    assert one_call(world, get(method=b"OPTIONS", target=b"*")).target == "*"


@pytest.mark.parametrize("method", [b"PURGE", b"M-SEARCH", b"x", b"get"])
def test_unknown_methods_pass(world, method):
    assert one_call(world, get(method=method)).method == method.decode()


def test_end_to_end_fields_keep_their_order_case_and_number(world):
    call = one_call(world, get(b"x-B: 1", b"X-a: 2", b"x-B: 3", b"Cookie: a=b", b"Cookie: c=d"))
    mine = [(k, v) for k, v in call.message.fields if k in ("x-B", "X-a", "Cookie")]
    assert mine == [("x-B", "1"), ("X-a", "2"), ("x-B", "3"), ("Cookie", "a=b"), ("Cookie", "c=d")]


def test_hop_by_hop_fields_and_what_connection_names_stay_behind(world):
    call = one_call(
        world,
        get(b"Connection: X-Mine, keep-alive, TE", b"X-Mine: secret", b"Keep-Alive: timeout=5",
            b"Proxy-Connection: keep-alive", b"Proxy-Authorization: x", b"TE: gzip", b"X-Other: y"),
    )
    for name in ("X-Mine", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Connection"):
        assert call.all(name) == []
    assert not any("gzip" in value for value in call.all("TE"))
    assert call.get("X-Other") == "y"


@pytest.mark.parametrize("named", [b"Content-Length", b"content-length, close", b"Host"])
def test_connection_cannot_take_framing_or_routing_away(world, named):
    call = one_call(world, post(b"Content-Length: 5", b"Connection: " + named))
    assert call.body == b"hello" and call.get("Host") == "app.test"


def test_connection_cannot_take_the_transfer_coding_away(world):
    call = one_call(world, post(b"Transfer-Encoding: chunked", b"Connection: Transfer-Encoding", body=CHUNKS))
    assert call.body == b"hello"


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Proto", "Authorization"])
def test_connection_cannot_take_forwarding_or_authentication_away(world, name):
    call = one_call(world, get(b"Authorization: Basic eDp5", b"Connection: " + name.encode()))
    assert call.all(name)


def test_upgrade_to_h2c_is_ignored(world):
    call = one_call(
        world, get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    )
    assert call.all("Upgrade") == [] and call.all("HTTP2-Settings") == []


def test_upgrade_without_its_connection_token_is_dropped(world):
    assert one_call(world, get(b"Upgrade: websocket")).all("Upgrade") == []


def test_forwarding_fields_are_added_and_untrusted_ones_replaced(world):
    call = one_call(
        world, get(b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: evil")
    )
    assert call.get("X-Forwarded-For") == "127.0.0.1"
    assert call.get("X-Forwarded-Proto") == "http"
    assert call.get("X-Forwarded-Host") == "app.test"
    assert call.get("Via") == "1.1 weir"
    assert call.get("X-Request-Start").startswith("t=")
    assert len(call.get("X-Request-Id")) == 36


def test_trusted_forwarding_fields_are_appended_to(world):
    call = one_call(
        world, get(b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Proto: https"), headers_trusted="127.0.0.0/8"
    )
    assert call.get("X-Forwarded-For").replace(" ", "") == "6.6.6.6,127.0.0.1"
    assert call.get("X-Forwarded-Proto") == "https"


def test_a_sound_request_id_is_kept_and_echoed_and_an_unsound_one_replaced(world):
    origin, weir = world.pair()
    client = world.connect(weir)
    answer = client.ask("GET", "/", "X-Request-Id: mine-1")
    assert answer.get("X-Request-Id") == origin.calls[0].get("X-Request-Id") == "mine-1"
    answer = client.ask("GET", "/", "X-Request-Id: " + "x" * 300)
    assert answer.get("X-Request-Id") == origin.calls[1].get("X-Request-Id")
    assert len(answer.get("X-Request-Id")) == 36


def test_a_request_id_of_weirs_own_is_a_uuid_of_the_present(world):
    _, weir = world.pair()
    client = world.connect(weir)
    began, ids = time.time(), [uuid.UUID(client.ask("GET", "/").get("X-Request-Id")) for _ in range(50)]
    assert {(i.version, i.variant) for i in ids} == {(7, uuid.RFC_4122)}
    assert len(set(ids)) == 50
    for i in ids:
        assert began - 1 <= (i.int >> 80) / 1000 <= time.time() + 1


def test_the_answer_loses_hop_by_hop_fields_and_gains_via(world):
    origin, weir = world.pair()
    origin.on("/", app.answer(b"ok", 200, "Keep-Alive: timeout=5", "Proxy-Authenticate: x",
                              "Connection: X-Mine", "X-Mine: y", "X-Kept: z", "Set-Cookie: a=1",
                              "Set-Cookie: b=2", "Server: app"))
    answer = world.connect(weir).ask("GET", "/")
    for name in ("Keep-Alive", "X-Mine", "Connection"):
        assert answer.all(name) == []
    assert answer.get("X-Kept") == "z" and answer.get("Server") == "app"
    assert answer.all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.get("Via") == "1.1 weir"


def test_max_forwards_is_counted_down_and_ends_at_weir(world):
    origin, weir = world.pair()
    client = world.connect(weir)
    assert client.ask("OPTIONS", "/", "Max-Forwards: 5").status == 200
    assert origin.calls[0].get("Max-Forwards") == "4"
    assert client.ask("OPTIONS", "/", "Max-Forwards: 0").status == 200
    assert len(origin.calls) == 1
    assert client.ask("GET", "/", "Max-Forwards: 5").status == 200
    assert origin.calls[1].get("Max-Forwards") == "5"


# ---- the app's bad answers -------------------------------------------------------------------------


def ok(*fields, body=b"hello"):
    return b"HTTP/1.1 200 OK\r\n" + b"".join(f + b"\r\n" for f in fields) + b"\r\n" + body


BAD_HEADS = {
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "status 000": b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
    "status in letters": b"HTTP/1.1 2xx OK\r\nContent-Length: 0\r\n\r\n",
    "status with a sign": b"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n",
    "no space before the status": b"HTTP/1.1200 OK\r\nContent-Length: 0\r\n\r\n",
    "two spaces before the status": b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "another protocol": b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
    "small letters": b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "space before the status line": b" HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "NUL in the reason": b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n",
    "a bare CR in the reason": b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a bare LF after a field": b"HTTP/1.1 200 OK\r\nContent-Length: 0\nX: y\r\n\r\n",
    "a bare CR in a value": ok(b"X: a\rb", b"Content-Length: 5"),
    "a field without a colon": ok(b"X", b"Content-Length: 5"),
    "an empty field name": ok(b": x", b"Content-Length: 5"),
    "a space before a colon": ok(b"Content-Length : 5"),
    "a space before the first field": ok(b" X: y", b"Content-Length: 5"),
    "a control in a value": ok(b"X: \x01", b"Content-Length: 5"),
    "NUL in a value": ok(b"X: a\x00b", b"Content-Length: 5"),
    "two different lengths": ok(b"Content-Length: 5", b"Content-Length: 6"),
    "a list of lengths": ok(b"Content-Length: 5, 6"),
    "a signed length": ok(b"Content-Length: +5"),
    "a negative length": ok(b"Content-Length: -1"),
    "a length in hex": ok(b"Content-Length: 0x5"),
    "an empty length": ok(b"Content-Length:"),
    "a length of 2^64": ok(b"Content-Length: 18446744073709551616"),
    "length and chunked": ok(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=CHUNKS),
    "a gzip coding": ok(b"Transfer-Encoding: gzip"),
    "an identity coding": ok(b"Transfer-Encoding: identity"),
    "chunked twice": ok(b"Transfer-Encoding: chunked, chunked", body=CHUNKS),
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "a head without end": ok(b"X: " + b"y" * 200_000),
    "fields without end": ok(*[b"X-%d: y" % i for i in range(2000)]),
    "an upgrade that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "binary": bytes(range(256)) * 4 + b"\r\n\r\n",
}


@pytest.mark.parametrize("row", BAD_HEADS)
def test_an_answer_with_a_bad_head_becomes_a_502(world, row):
    origin, weir = world.pair()
    origin.on("/bad", app.send(BAD_HEADS[row]))
    client = world.connect(weir)
    answer = client.ask("GET", "/bad")
    assert answer.status == 502
    assert answer.get("Weir-Reason")
    assert client.ask("GET", "/after").body == b"ok"
    until(lambda: origin.used()[0].closed, "the spoilt connection to end")
    assert len(origin.seen("/bad")) == 1
    world.expect_requests(weir, 2)


BAD_BODIES = {
    "size with plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "letters as size": b"zz\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "size of 17 digits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "no CRLF after the data": b"5\r\nhello0\r\n\r\n",
    "LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "data longer than the size": b"5\r\nhello!\r\n0\r\n\r\n",
    "an endless extension": b"5;" + b"a" * 20_000 + b"\r\nhello\r\n0\r\n\r\n",
    "a trailer that frames": b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    "a trailer without a colon": b"5\r\nhello\r\n0\r\nX\r\n\r\n",
    "NUL in a trailer": b"5\r\nhello\r\n0\r\nX: \x00\r\n\r\n",
    "no end": b"5\r\nhello\r\n",
    "no last line": b"5\r\nhello\r\n0\r\n",
}


@pytest.mark.parametrize("row", BAD_BODIES)
def test_an_answer_whose_chunks_are_broken_never_looks_complete(world, row):
    origin, weir = world.pair()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    origin.on("/bad", app.send(head + BAD_BODIES[row]), app.close())
    client = world.connect(weir).get("/bad")
    try:
        assert client.response().status == 502
    except wire.Truncated:
        pass
    assert world.connect(weir).ask("GET", "/after").status == 200
    world.expect_requests(weir, 2)


@pytest.mark.parametrize(
    "raw, method, status, body",
    [
        (b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "GET", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison", "GET", 304, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "HEAD", 200, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokpoison", "GET", 200, b"ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\npoison", "GET", 200, b"ok"),
    ],
)
def test_bytes_beyond_an_answer_reach_nobody(world, raw, method, status, body):
    origin, weir = world.pair()
    origin.on("/bad", app.send(raw))
    client = world.connect(weir)
    answer = client.ask(method, "/bad")
    assert (answer.status, answer.body) == (status, body)
    for _ in range(3):
        assert client.ask("GET", "/after").body == b"ok"
    assert origin.used()[0].calls[1:] == [], "the spoilt connection was used again"


def test_interim_answers_without_end_are_bounded(world):
    origin, weir = world.pair(upstream_idle_timeout="1s", upstream_first_byte_timeout="1s")

    async def endless(call):
        while call.connection.sock.fileno() >= 0 and not call.connection.peer_gone():
            await call.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await app.asyncio.sleep(0.001)
        call.finish()

    origin.on("/", endless)
    client = world.connect(weir).get("/")
    hints = 0
    try:
        while client.head().status == 103:
            hints += 1
            assert hints < 5000, "without end"
    except wire.Truncated:
        pass
