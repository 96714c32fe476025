"""A request that is valid reaches the app, and just as its row says, byte for byte.

A row names what demands it: a section of an RFC (9110 5.5), or a CVE. Each is fed whole, byte by byte
and cut in two at every place, with a second request after it, which must reach the app as well.
"""

from typing import NamedTuple

import pytest

from support import feeding
from support.feeding import FORWARDED, ID, NEXT, START, VIA, Exchange
from support.rows import (
    ADDED,
    ADDED_OLD,
    CHUNKS,
    LIMITS,
    chunks,
    coding,
    get,
    host,
    length,
    post,
    to,
    trailer,
    with_added,
)


class Passed(NamedTuple):
    why: str
    name: str
    raw: str
    becomes: str = ""  # what the app gets, if not `raw`; what weir always adds may be left out
    last: bool = False  # weir ends the connection after it, and the app gets no second request


def expecting(*fields):
    return post("Content-Length: 5", *fields)


EXPECTING = expecting("Expect: 100-continue")

# fmt: off

METHODS = [
    ("9112 2.1", "a plain request", get()),
    ("9110 9.3.2", "HEAD", get(method="HEAD")),
    ("9110 9.3.4", "PUT", get("Content-Length: 5", method="PUT", body="hello")),
    ("9110 9.3.5", "DELETE with content", get("Content-Length: 5", method="DELETE", body="hello")),
    ("9110 9.3.1", "GET with content", get("Content-Length: 5", body="hello")),
    ("9110 9.3.1", "GET with chunked content", get("Transfer-Encoding: chunked", body=CHUNKS)),
    ("9110 9.3.2", "HEAD with content", get("Content-Length: 5", method="HEAD", body="hello")),
    ("9110 9.3.8", "TRACE", get(method="TRACE")),
    ("5789 2", "PATCH", get("Content-Length: 5", method="PATCH", body="hello")),
    ("9110 9.1", "an unknown method", get(method="M-SEARCH")),
    ("9110 9.1", "a method in small letters", get(method="get")),
    ("9110 9.1", "a method of all that a token can hold", get(method="!#$%&'*+-.^_`|~09azAZ")),
    ("9110 9.1", "a method that begins as CONNECT does", get(method="CONNECTS")),
]

TARGETS = [
    ("9112 3.2.1", "a path and a query", to("/a;b=c?d=e&f?g/h")),
    ("9112 3.2.1", "two slashes", to("//x")),
    ("9112 3.2.1", "dots", to("/a/./b/../c/..")),
    ("9112 3.2.1", "percent codes", to("/%2e%2e/%2F%00?a=%0d%0a")),
    ("9112 3.2.1", "bad percent codes", to("/%?%zz")),
    ("9112 3.2.1", "what a URI may hold", to("/-._~!$&'()*+,;=:@/")),
    ("9112 3.2.1", "what a URI may not hold, but clients send", to("/\"<>\\^`{|}[]")),
    ("9112 3.2.1", "an empty query", to("/x?")),
    ("9112 3.2.1", "a URI in the query", to("/?u=http://u@other.test/")),
    ("9112 3.2.4", "OPTIONS of an asterisk", to("*", method="OPTIONS")),
    ("9112 3.2.2", "absolute form", to("http://app.test/a?b"), get(target="/a?b")),
    ("9112 3.2.2", "absolute form with capitals", to("HTTP://app.test/A"), get(target="/A")),
    ("9110 4.2.2", "absolute form with https", to("https://app.test/a"), get(target="/a")),
    ("9112 3.2.2", "absolute form without a path", to("http://app.test"), get(target="/")),
    ("9112 3.2.2", "absolute form with only a query", to("http://app.test?b"), get(target="/?b")),
    ("9112 3.2.4", "OPTIONS of a server", to("http://app.test", method="OPTIONS"),
     get(target="*", method="OPTIONS")),
    ("9112 3.2.2", "an at sign in the path of absolute form", to("http://app.test/@b"),
     get(target="/@b")),
    ("9112 3.2.2", "absolute form against Host",
     get("A: b", target="http://app.test/a", host="other.test"), get("A: b", target="/a")),
    ("9112 3.2.2", "absolute form against Host after other fields",
     get("A: b", "Host: other.test", "C: d", target="http://app.test/a", host=None),
     get("A: b", "C: d", target="/a")),
]

HOSTS = [
    ("9110 7.2", "Host in small letters, without blanks", "GET /x HTTP/1.1\r\nhost:app.test\r\n\r\n"),
    ("9110 7.2", "Host with blanks around", "GET /x HTTP/1.1\r\nHost: \tapp.test\t \r\n\r\n"),
    ("9110 7.2", "Host after other fields", get("A: b", "Host: app.test", host=None)),
]

AUTHORITIES = [
    "app.test:80", "app.test:", "app.test:65535", "127.0.0.1:8000", "%41pp.test", "a_b-c~d!$&'()*+;=e",
    "[::1]", "[1::]", "[2001:db8::1]:443", "[1:2:3:4:5:6:7:8]", "[::ffff:192.0.2.1]",
]

OLD = [
    ("9112 C.1", "HTTP/1.0", get(version="HTTP/1.0"),
     get(ADDED_OLD), True),
    ("9112 C.1", "HTTP/1.0 with a body", post("Content-Length: 5", version="HTTP/1.0"),
     post("Content-Length: 5", ADDED_OLD), True),
    ("9112 C.2.2", "HTTP/1.0 that keeps alive",
     get("Connection: Keep-Alive", "Keep-Alive: 5", version="HTTP/1.0"),
     get(ADDED_OLD)),
    ("9112 3.2", "HTTP/1.0 without Host", "GET /x HTTP/1.0\r\n\r\n",
     get(ADDED_OLD.replace("X-Forwarded-Host: app.test\r\n", ""), host="localhost"),
     True),
    ("9112 3.2.2", "HTTP/1.0 in absolute form", "GET http://app.test/x HTTP/1.0\r\n\r\n",
     get(ADDED_OLD), True),
    ("9110 10.1.1", "an expectation in HTTP/1.0",
     post("Expect: 100-continue", "Content-Length: 5", version="HTTP/1.0"),
     post("Content-Length: 5", ADDED_OLD), True),
    ("9110 10.1.4", "TE in HTTP/1.0", get("TE: trailers", version="HTTP/1.0"),
     get(ADDED_OLD), True),
]

FRAMES = [
    ("9112 6.2", "a length", length("5")),
    ("9112 6.2", "a length of 0", post("Content-Length: 0", body="")),
    ("9112 6.3", "no length", post(body="")),
    ("9112 6.2", "a length in small letters", post("content-length: 5")),
    ("9112 6.2", "a length without a blank", post("Content-Length:5"), length("5")),
    ("9112 6.2", "a length with more blanks", post("Content-Length: \t5\t "), length("5")),
    ("9112 6.2", "a length with zeros", length("0000000000000000005"), length("5")),
    ("9112 6.2", "a length of zeros", post("Content-Length: 00", body=""),
     post("Content-Length: 0", body="")),
    ("9112 6.2", "a length that octal would change", post("Content-Length: 010", body="0123456789"),
     post("Content-Length: 10", body="0123456789")),
    ("9112 6.2", "a body of just client.max_body", post("Content-Length: 1024", body="x" * 1024)),
    ("9112 6.2", "a request as content", post(f"Content-Length: {len(NEXT)}", body=NEXT.decode())),
    ("9112 2.2", "CRLF before the request", "\r\n" + get(), get()),
    ("9112 2.2", "CRLF after the body", post("Content-Length: 5", body="hello\r\n"), length("5")),
    ("9112 7.1", "chunks", chunks(CHUNKS)),
    ("9112 7.1", "no chunk but the last", chunks("0\r\n\r\n")),
    ("9112 7.1", "chunks of one byte", chunks("1\r\na\r\n1\r\nb\r\n01\r\nc\r\n0\r\n\r\n")),
    ("9112 7.1", "a size in capitals", chunks("A\r\n0123456789\r\n0\r\n\r\n")),
    ("9112 7.1", "a size of 15 digits", chunks("000000000000005\r\nhello\r\n000\r\n\r\n")),
    ("9112 7.1", "content that looks like chunks", chunks("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n")),
    ("9112 7.1", "a request as a chunk", chunks(f"{len(NEXT):x}\r\n{NEXT.decode()}\r\n0\r\n\r\n")),
    ("9112 7.1.1", "an extension", chunks("5;a=b\r\nhello\r\n0;c;d=e\r\n\r\n")),
    ("9112 7.1.1", "a longer extension", chunks("5;name=value;other\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1.1", "an extension in quotes",
     chunks('5;a="b;\\"\\\\ \t\xff";c\r\nhello\r\n0\r\n\r\n')),
    ("9112 7.1.1", "an extension with empty quotes", chunks('5;a=""\r\nhello\r\n0\r\n\r\n')),
    ("CVE-2023-39326", "an extension of 256 bytes",
     chunks("5;" + "a" * 255 + "\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1.2", "trailers", trailer("Grpc-Status: 0\r\nB:\r\nC:d\xff\t")),
    ("9112 7.1.2", "a trailer that only begins like a forbidden one",
     trailer("Hosts: b\r\nTea: d\r\nContents: x")),
    ("9530 2", "a digest as a trailer", trailer("Content-Digest: sha-256=:x:")),
    ("9110 6.5.1", "trailers that are metadata",
     trailer("Content-MD5: x\r\nExpires: 0\r\nAge: 1\r\nVary: *\r\nRetry-After: 1\r\nDate: x\r\n"
             "Cache-Control: no-store\r\nVia: 1.1 x\r\nETag: x\r\nLocation: /x")),
    ("9110 6.5.1", "trailers that mean nothing in a request",
     trailer("Set-Cookie: a=b\r\nWWW-Authenticate: Basic")),
    ("9112 7", "chunked in capitals", coding(" CHUNKED"), chunks(CHUNKS)),
    ("9112 5.1", "chunked with other blanks", coding("\tchunked \t"), chunks(CHUNKS)),
    ("9112 5.1", "chunked without a blank", coding("chunked"), chunks(CHUNKS)),
    ("9110 10.1.1", "an expectation", post("Content-Length: 5", "Expect: 100-continue")),
    ("9110 10.1.1", "an expectation in capitals", expecting("Expect: 100-CONTINUE"), EXPECTING),
    ("9110 5.6.1", "an expectation, and a comma", expecting("Expect: 100-continue, "), EXPECTING),
    ("9110 5.6.1", "an expectation after a comma", expecting("Expect: ,100-continue"), EXPECTING),
    ("9110 5.6.1", "an expectation twice in a list",
     expecting("Expect: 100-continue, 100-continue"), EXPECTING),
    ("9110 5.3", "an expectation twice",
     expecting("Expect: 100-continue", "Expect: 100-continue"), EXPECTING),
    ("9110 5.3", "an expectation after an empty one",
     expecting("Expect:", "Expect: 100-continue"), EXPECTING),
    ("9110 5.6.1", "an empty expectation", expecting("Expect:"), expecting()),
    ("9110 5.6.1", "an expectation of commas", expecting("Expect: , ,,"), expecting()),
]

KEPT = [
    ("9110 5.3", "fields in their order, case and number",
     get("x-B: 1", "X-a: 2", "x-B: 3", "Cookie: a=b", "Cookie: c=d")),
    ("9112 5", "blanks around values", get("A:b", "C: \t d \t", "E:", "F: \t ")),
    ("9110 5.5", "bytes beyond ASCII in a value", get("A: \xc3\xa9\x80\xff")),
    ("9110 5.5", "tabs and blanks in a value", get("A: b\tc  d")),
    ("9110 5.1", "a name of all that a token can hold, but for `_`", get("!#$%&'*+-.^`|~09azAZ: b")),
    ("3875 4.1.18", "a name of all that a token can hold",
     get("!#$%&'*+-.^_`|~09azAZ: b", "A: b"), get("A: b")),
    ("CVE-2021-40346", "a name of 270 bytes", get("Content-Length0" + "a" * 255 + ":")),
    ("9110 5.1", "names like those that weir knows",
     get("Xost: b", "Aonnection: close", "Zontent-Length: x")),
    ("9110 5.1", "a name with an underscore", get("Some_Name: x", "A: b"), get("A: b")),
    ("3875 4.1", "names of CGI's own variables",
     get("SCRIPT_NAME: /public", "PATH_INFO: /x", "REMOTE_USER: root", "remote_addr: 127.0.0.1",
         "Script-Name: y"),
     get("Script-Name: y")),
    ("9110 5.4", "20 fields", get(*["A: b"] * 19)),
    ("9112 3", "a head of just client.max_head", get("A: " + "b" * (1024 - len(get("A: "))))),
    ("9110 11.6.2", "authentication", get("Authorization: Basic eDp5")),
    ("W3C trace context 3.2", "a trace",
     get("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
    ("9110 6.6.2", "Trailer",
     post("Transfer-Encoding: chunked", "Trailer: A", body="0\r\nA: b\r\n\r\n")),
    ("9110 7.6.3", "Via", get("Via: 1.0 other", "A: b")),
    ("9110 7.6.2", "Max-Forwards of GET", get("Max-Forwards: 0")),
    ("9110 7.6.2", "Max-Forwards that is no number", get("Max-Forwards: x", method="OPTIONS")),
    ("9110 7.6.2", "an empty Max-Forwards", get("Max-Forwards:", method="OPTIONS")),
    ("9110 7.6.2", "Max-Forwards of OPTIONS", get("A: b", "Max-Forwards: 5", "C: d", method="OPTIONS"),
     get("A: b", "Max-Forwards: 4", "C: d", method="OPTIONS")),
    ("9110 7.6.2", "Max-Forwards of TRACE", get("max-forwards:1", method="TRACE"),
     get("Max-Forwards: 0", method="TRACE")),
    ("9110 7.6.2", "a large Max-Forwards", get("Max-Forwards: 18446744073709551616", method="OPTIONS"),
     get("Max-Forwards: 255", method="OPTIONS")),
]

HOPS = [
    ("9110 7.6.1", "Connection", get("Connection: keep-alive", "A: b"), get("A: b")),
    ("9110 7.6.1", "Keep-Alive", get("Keep-Alive: timeout=5"), get()),
    ("9110 7.6.1", "Proxy-Connection", get("Proxy-Connection: keep-alive"), get()),
    ("9110 11.7.1", "Proxy-Authenticate", get("Proxy-Authenticate: Basic"), get()),
    ("9110 11.7.2", "Proxy-Authorization", get("Proxy-Authorization: Basic eDp5"), get()),
    ("9110 7.6.1", "another Proxy field", get("Proxy-Features: x"), get()),
    ("CVE-2016-5385", "Proxy", get("Proxy: http://other.test"), get()),
    ("9110 7.6.1", "fields that Connection names",
     get("X-Mine: a", "Connection: x-mine, Y", "A: b", "y: c"), get("A: b")),
    ("9110 7.6.1", "fields that a second Connection names",
     get("Connection: keep-alive", "Connection: x-mine", "X-Mine: a"), get()),
    ("9110 7.6.1", "Accept that Connection names", get("Accept: a", "Connection: Accept"), get()),
    ("9110 7.6.1", "Connection that names a length",
     post("Content-Length: 5", "Connection: content-length"), length("5")),
    ("9110 7.6.1", "Connection that names the coding",
     post("Connection: Transfer-Encoding", "Transfer-Encoding: chunked", body=CHUNKS), chunks(CHUNKS)),
    ("9110 7.6.1", "Connection that names Host", get("Connection: Host"), get()),
    ("9110 7.6.1", "Connection that names authentication",
     get("Authorization: x", "Cookie: y", "Connection: authorization, cookie"),
     get("Authorization: x", "Cookie: y")),
    ("CVE-2022-31813", "Connection that names forwarding fields",
     get("Connection: X-Forwarded-For, X-Forwarded-Host, Via, X-Real-IP", "X-Real-IP: z"), get()),
    ("9110 7.6.1", "32 Connection options", get("Connection: " + "a," * 32), get()),
    ("9110 5.6.1", "empty Connection options", get("Connection: ,, X-Mine ,", "X-Mine: a"), get()),
    ("9112 9.6", "Connection: close", get("Connection: close"), get(), True),
    ("9112 9.6", "Connection: close, and a field of that name",
     get("Close: x", "Connection: close"), get(), True),
    ("9112 9.3", "Connection: close, keep-alive", get("Connection: close, keep-alive"), get(), True),
    ("9112 9.3", "Connection: close in capitals in a second field",
     get("Connection: keep-alive", "Connection: CLOSE"), get(), True),
    ("9110 7.6.1", "Connection: closed", get("Connection: closed"), get()),
    ("9110 10.1.4", "trailers in another field", get("Keep-Alive: trailers"), get()),
    ("9110 5.5", "Connection of blanks", get("Connection: \t ", "A: close"), get("A: close")),
    ("9110 10.1.4", "TE without trailers", get("TE: gzip", "Connection: TE"), get()),
    ("9110 10.1.4", "TE with trailers", get("TE: gzip;q=0.5, trailers", "Connection: TE", "A: b"),
     get("A: b", "TE: trailers", "Connection: TE")),
    ("9110 7.8", "Upgrade to HTTP/2",
     get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), get()),
    ("9110 7.8", "Upgrade that Connection does not name", get("Upgrade: websocket"), get()),
    ("3875 4.1.18", "a hop-by-hop name with an underscore",
     get("Proxy_Authorization: x", "Keep_Alive: 5"), get()),
]

ADDS = [
    ("7239 8.1", "forwarding fields of a client that is not trusted",
     get("X-Forwarded-For: 6.6.6.6", "x-forwarded-proto: https", "X-Forwarded-Host: evil",
         "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6", "X-Forwarded-Port: 443",
         "X-Forwarded-Ssl: on", "X-Forwarded-Scheme: https", "X-Forwarded-Protocol: ssl",
         "X-Forwarded-Prefix: /public", "X-Forwarded-Server: evil", "X-Forwarded-User: root",
         "Daphne-Root-Path: /public"),
     get()),
    ("3875 4.1.18", "forwarding fields with underscores",
     get("X_Forwarded_For: 6.6.6.6", "X-Forwarded_Proto: https", "X_Request_Id: 7"), get()),
    ("X-Request-Id", "a request id that is sound", get("X-Request-Id: a-1"),
     get("X-Request-Id: a-1", FORWARDED, VIA, START)),
    ("X-Request-Id", "a request id that is empty", get("X-Request-Id:"), get()),
    ("X-Request-Id", "a request id that is too long", get("X-Request-Id: " + "x" * 129), get()),
    ("X-Request-Id", "a request id with a comma", get("X-Request-Id: a,b"), get()),
    ("X-Request-Id", "two request ids", get("X-Request-Id: a", "x-request-id: b"), get()),
    ("X-Request-Start", "a start that is there", get("X-Request-Start: t=1"),
     get("X-Request-Start: t=1", FORWARDED, VIA, ID)),
]

# fmt: on

ROWS = [Passed(*row) for row in METHODS + TARGETS + HOSTS + OLD + FRAMES + KEPT + HOPS + ADDS]
ROWS += [
    Passed(
        "3986 3.2.2", f"Host: {name}", host(name), get(ADDED.replace("app.test", name), host=name)
    )
    for name in AUTHORITIES
]


def test_there_are_enough_rows_and_each_has_a_name():
    names = [row.name for row in ROWS]
    assert len(names) >= 100
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]


def exchanges(way):
    raws = [row.raw.encode("latin-1") for row in ROWS]
    messages = [(row, raw + NEXT, len(raw), None) for row, raw in zip(ROWS, raws)]
    for row, pieces in feeding.cuts(way, messages):
        yield Exchange(row, pieces)


def judge(ex):
    answers, cut = ex.responses()
    want = [with_added(ex.row.becomes or ex.row.raw)]
    if not ex.row.last:
        want.append(with_added(get(target="/next")))
    assert ex.received() == want, f"wanted {want}"
    assert all(call.complete for call in ex.calls)
    assert [a.status for a in answers] == [200] * len(want) and cut is None
    assert [a.has("Connection", "close") for a in answers] == [False] * (len(want) - 1) + [True]
    assert ex.ended == "fin"


@pytest.mark.seconds(240)
@pytest.mark.parametrize("way", feeding.WAYS)
def test_what_is_valid_reaches_the_app_as_the_row_says(world, way):
    with feeding.Feeder(world, **LIMITS) as feeder:
        feeding.check(feeder, list(exchanges(way)), judge)
