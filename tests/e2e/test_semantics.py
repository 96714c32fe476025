"""RFC 9110 and 9112 for an intermediary: what goes on of a message, one row a rule.

Each row has its section, what one peer sends, and every byte that the other one gets. What needs a
script of more than one message is in test_semantics_scripts.py; what is refused, in test_strict.py.

Where weir is not by the letter, by intent:
  9110 6.2     HTTP/1.2 and later are refused, not read as HTTP/1.1.
  9110 7.6.1   Connection takes no field that routes, frames, authenticates or is about the content.
  9112 5.1     A space before a colon in an answer is a 502; the letter has it removed.
  9112 6.3     An answer that ends with its connection goes on so, and is not made chunked.
  9112 9.3     HTTP/1.0 clients may keep their connection: that rule is for proxies, not for gateways.
"""

import pytest

from support import origin as app

# Nothing is added but Via, so that a row can name every byte.
BARE = {"headers_forwarded": "off", "headers_request_id": "", "headers_request_start": "false"}
VIA = "Via: 1.1 weir"
VIA_10 = "Via: 1.0 weir"
DATE = "Date: Sun, 06 Nov 1994 08:49:37 GMT"
H = "Host: app.test"


def message(*lines, body=b""):
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


# ---- requests ------------------------------------------------------------------------------------


def get(*fields):
    return message("GET /x HTTP/1.1", H, *fields)


def post(*fields, body=b"hello"):
    return message("POST /x HTTP/1.1", H, *fields, body=body)


def line(method, target, host=H, version="1.1"):
    return message(*[part for part in (f"{method} {target} HTTP/{version}", host) if part])


def seen(method, target, host=H, via=VIA):
    return message(f"{method} {target} HTTP/1.1", host, via)


TRAILERS = b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nx-two:  2 \r\n\r\n"
EXTENSIONS = b'5;a;b=c;d="e\\"f"\r\nhello\r\n00A;g\r\n0123456789\r\n0\r\n\r\n'
LONG = "/" + "a" * 7900

# sentence: (section, what the client sends, what the app gets)
REQUESTS = {
    # 9110 7.6.1: Connection
    "what Connection names goes": (
        "9110 7.6.1",
        get("X-A: 1", "Connection: x-a", "X-B: 2"),
        get("X-B: 2", VIA),
    ),
    "what several Connection fields name goes, each time it comes": (
        "9110 7.6.1",
        get("Connection: X-A", "X-A: 1", "X-B: 2", "Connection: close, X-C", "x-c: 3", "X-A: 4"),
        get("X-B: 2", VIA),
    ),
    "empty list elements name nothing": (
        "9110 5.6.1.2",
        get("Connection: , ,, X-A ,,", "X-A: 1", "X-B: 2"),
        get("X-B: 2", VIA),
    ),
    "what Connection names goes even if it is known: Trailer": (
        "9110 7.6.1",
        get("Connection: Trailer", "Trailer: X-Sum"),
        get(VIA),
    ),
    "what Connection names goes even if it is known: Accept": (
        "9110 7.6.1",
        get("Connection: accept", "Accept: text/html"),
        get(VIA),
    ),
    "a name that only begins like an option stays": (
        "9110 7.6.1",
        get("Connection: X-A", "X-AB: 1", "X: 2"),
        get("X-AB: 1", "X: 2", VIA),
    ),
    "Keep-Alive, Proxy-Connection and TE go though nobody names them": (
        "9110 7.6.1",
        get("Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: gzip", "X-B: 2"),
        get("X-B: 2", VIA),
    ),
    "Upgrade without its option goes": (
        "9110 7.8",
        get("Upgrade: websocket"),
        get(VIA),
    ),
    "Proxy-Authorization is for this hop": (
        "9110 11.7.2",
        get("Proxy-Authorization: Basic eDp5"),
        get(VIA),
    ),
    "keep-alive and close are for this hop": (
        "9112 9.6",
        get("Connection: close"),
        get(VIA),
    ),
    "TE: trailers goes on with its option": (
        "9110 10.1.4",
        get("TE: gzip, trailers", "Connection: TE"),
        get("TE: trailers", "Connection: TE", VIA),
    ),
    # Versions
    "an HTTP/1.0 request goes on as HTTP/1.1": (
        "9112 2.3",
        line("GET", "/x", version="1.0"),
        seen("GET", "/x", via=VIA_10),
    ),
    "an HTTP/1.0 request without Host goes on with one": (
        "9112 3.3",
        line("GET", "/x", host=None, version="1.0"),
        seen("GET", "/x", host="Host: localhost", via=VIA_10),
    ),
    "HTTP/1.0 keep-alive is for this hop": (
        "9112 9.3",
        message("GET /x HTTP/1.0", H, "Connection: keep-alive", "Keep-Alive: 5"),
        seen("GET", "/x", via=VIA_10),
    ),
    "an HTTP/1.0 request's body goes on": (
        "9112 6.3",
        message("POST /x HTTP/1.0", H, "Content-Length: 5", body=b"hello"),
        message("POST /x HTTP/1.1", H, "Content-Length: 5", VIA_10, body=b"hello"),
    ),
    "an expectation in HTTP/1.0 is ignored": (
        "9110 10.1.1",
        message("POST /x HTTP/1.0", H, "Expect: 100-continue", "Content-Length: 2", body=b"ok"),
        message("POST /x HTTP/1.1", H, "Content-Length: 2", VIA_10, body=b"ok"),
    ),
    "an unknown expectation in HTTP/1.0 is ignored": (
        "9110 10.1.1",
        message("GET /x HTTP/1.0", H, "Expect: magic"),
        seen("GET", "/x", via=VIA_10),
    ),
    # Via
    "Via is appended after what there is": (
        "9110 7.6.3",
        get("Via: 1.0 fred, 1.1 p.example.net (Apache/1.1)", "X-B: 2"),
        get("Via: 1.0 fred, 1.1 p.example.net (Apache/1.1)", "X-B: 2", VIA),
    ),
    # Targets and Host
    "an absolute target's authority replaces Host": (
        "9112 3.2.2",
        line("GET", "http://other.test:8080/a?b"),
        seen("GET", "/a?b", host="Host: other.test:8080"),
    ),
    "an absolute target makes a Host where there was none": (
        "9112 3.2.2",
        line("GET", "http://other.test/a", host=None, version="1.0"),
        seen("GET", "/a", host="Host: other.test", via=VIA_10),
    ),
    "an absolute target may name an IPv6 address": (
        "9112 3.2.2",
        line("GET", "http://[2001:db8::1]:81/a"),
        seen("GET", "/a", host="Host: [2001:db8::1]:81"),
    ),
    "a scheme is read in any case": (
        "9110 4.2.3",
        line("GET", "HTTP://other.test/a"),
        seen("GET", "/a", host="Host: other.test"),
    ),
    "an https target is the app's matter": (
        "9112 3.2.2",
        line("GET", "https://other.test/a"),
        seen("GET", "/a", host="Host: other.test"),
    ),
    "an absolute target without a path becomes a slash": (
        "9112 3.2.1",
        line("GET", "http://other.test"),
        seen("GET", "/", host="Host: other.test"),
    ),
    "an absolute target with a query alone gets its slash": (
        "9112 3.2.1",
        line("GET", "http://other.test?q=1"),
        seen("GET", "/?q=1", host="Host: other.test"),
    ),
    "OPTIONS * goes on": (
        "9112 3.2.4",
        line("OPTIONS", "*"),
        seen("OPTIONS", "*"),
    ),
    "OPTIONS of an absolute target without a path becomes *": (
        "9112 3.2.4",
        line("OPTIONS", "http://other.test:8001"),
        seen("OPTIONS", "*", host="Host: other.test:8001"),
    ),
    "OPTIONS of an absolute target with a slash keeps it": (
        "9112 3.2.4",
        line("OPTIONS", "http://other.test/"),
        seen("OPTIONS", "/", host="Host: other.test"),
    ),
    "OPTIONS of an absolute target with a query alone is no *": (
        "9112 3.2.4",
        line("OPTIONS", "http://other.test?q"),
        seen("OPTIONS", "/?q", host="Host: other.test"),
    ),
    "Host goes on as it came: a port": (
        "9110 7.2",
        line("GET", "/x", host="Host: App.Test:8080"),
        seen("GET", "/x", host="Host: App.Test:8080"),
    ),
    "Host goes on as it came: IPv6": (
        "9110 7.2",
        line("GET", "/x", host="Host: [::1]:8080"),
        seen("GET", "/x", host="Host: [::1]:8080"),
    ),
    "path and query go on byte for byte": (
        "9110 7.7",
        line("GET", "//a/../%2e%2E/;p/?q=%0d%00&&r=?/"),
        seen("GET", "//a/../%2e%2E/;p/?q=%0d%00&&r=?/"),
    ),
    "a request line of 8000 bytes is served": (
        "9112 3",
        line("GET", LONG),
        seen("GET", LONG),
    ),
    # Max-Forwards
    "Max-Forwards of OPTIONS counts down": (
        "9110 7.6.2",
        message("OPTIONS /x HTTP/1.1", H, "Max-Forwards: 5"),
        message("OPTIONS /x HTTP/1.1", H, "Max-Forwards: 4", VIA),
    ),
    "Max-Forwards of TRACE counts down to 0": (
        "9110 7.6.2",
        message("TRACE /x HTTP/1.1", H, "max-forwards: 1"),
        message("TRACE /x HTTP/1.1", H, "Max-Forwards: 0", VIA),
    ),
    "Max-Forwards becomes at most what weir can count": (
        "9110 7.6.2",
        message("OPTIONS /x HTTP/1.1", H, "Max-Forwards: 99999999999999999999"),
        message("OPTIONS /x HTTP/1.1", H, "Max-Forwards: 255", VIA),
    ),
    "Max-Forwards means nothing to other methods": (
        "9110 7.6.2",
        get("Max-Forwards: 0"),
        get("Max-Forwards: 0", VIA),
    ),
    # Fields
    "unknown fields go on in their order, case and number": (
        "9110 5.1, 5.3",
        get("x-B: 1", "X-a: 2", "x-B: 3", "Cookie: a=b", "Cookie: c=d", "x-b:4"),
        get("x-B: 1", "X-a: 2", "x-B: 3", "Cookie: a=b", "Cookie: c=d", "x-b:4", VIA),
    ),
    "obs-text is opaque": (
        "9110 5.5",
        get("X-A: \xfc\xff\x80"),
        get("X-A: \xfc\xff\x80", VIA),
    ),
    "an empty value stays": (
        "9110 5.5",
        get("X-A:", "X-B: "),
        get("X-A:", "X-B: ", VIA),
    ),
    "Authorization is not touched": (
        "9110 11.6.2",
        get('Authorization:  Digest  username="a" ,  uri="/x"'),
        get('Authorization:  Digest  username="a" ,  uri="/x"', VIA),
    ),
    "conditions are not weir's to judge": (
        "9110 13.2.1",
        get('If-None-Match: W/"a", "b"', "If-Modified-Since: never", "If-Match: *"),
        get('If-None-Match: W/"a", "b"', "If-Modified-Since: never", "If-Match: *", VIA),
    ),
    "ranges are not weir's to cut": (
        "9110 14.2",
        get("Range: bytes=0-1,-5", 'If-Range: "a"'),
        get("Range: bytes=0-1,-5", 'If-Range: "a"', VIA),
    ),
    "what is about the chain's ends is not touched": (
        "9110 7.7",
        get("User-Agent: x/1 (y)", "Referer: /z", "From: a@b.test", "Accept-Encoding: br;q=1"),
        get("User-Agent: x/1 (y)", "Referer: /z", "From: a@b.test", "Accept-Encoding: br;q=1", VIA),
    ),
    "traces pass": (
        "SPEC 5",
        get(
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "tracestate: a=b",
        ),
        get(
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "tracestate: a=b",
            VIA,
        ),
    ),
    # Methods and bodies
    "an unknown method goes on": (
        "9110 9.1",
        line("M-SEARCH", "/x"),
        seen("M-SEARCH", "/x"),
    ),
    "a method's case matters": (
        "9110 9.1",
        line("get", "/x"),
        seen("get", "/x"),
    ),
    "TRACE goes on": (
        "9110 9.3.8",
        line("TRACE", "/x"),
        seen("TRACE", "/x"),
    ),
    "a length of 0 stays": (
        "9110 8.6",
        post("Content-Length: 0", body=b""),
        post("Content-Length: 0", VIA, body=b""),
    ),
    "no length stays none": (
        "9112 6.3",
        post(body=b""),
        post(VIA, body=b""),
    ),
    "white space around a length is no part of it": (
        "9110 5.5",
        post("Content-Length:\t 5 \t"),
        post("Content-Length: 5", VIA),
    ),
    "a GET's body goes on": (
        "9110 9.3.1",
        message("GET /x HTTP/1.1", H, "Content-Length: 5", body=b"hello"),
        message("GET /x HTTP/1.1", H, "Content-Length: 5", VIA, body=b"hello"),
    ),
    "chunks and their extensions go on": (
        "9112 7.1.1",
        post("Transfer-Encoding: chunked", body=EXTENSIONS),
        post("Transfer-Encoding: chunked", VIA, body=EXTENSIONS),
    ),
    "trailers and their announcement go on": (
        "9110 6.5, 6.6.2",
        post("Trailer: X-Sum", "Transfer-Encoding: chunked", body=TRAILERS),
        post("Trailer: X-Sum", "Transfer-Encoding: chunked", VIA, body=TRAILERS),
    ),
    "content is not touched": (
        "9110 7.7",
        post("Content-Encoding: gzip", "Content-Type: x/y", "Content-Length: 5"),
        post("Content-Encoding: gzip", "Content-Type: x/y", "Content-Length: 5", VIA),
    ),
}


@pytest.mark.parametrize("row", REQUESTS)
def test_what_goes_on_of_a_request(world, row):
    _, sent, wanted = REQUESTS[row]
    origin, weir = world.pair(**BARE)
    assert world.connect(weir).send(sent).response().status == 200
    (connection,) = origin.used()
    assert bytes(connection.received) == wanted
    assert origin.calls[0].complete
    world.expect_requests(weir, 1)


# ---- answers -------------------------------------------------------------------------------------


def asked(method="GET", *fields, version="1.1"):
    return message(f"{method} /x HTTP/{version}", H, *fields)


def said(start, *fields, body=b""):
    return message("HTTP/1.1 " + start, DATE, *fields, body=body)


def old(start, *fields, body=b""):
    return message("HTTP/1.0 " + start, DATE, *fields, body=body)


def sized(*fields, start="200 OK", body=b"hello"):
    return said(start, f"Content-Length: {len(body)}", *fields, body=body)


GET = asked()
OLD_GET = asked(version="1.0")
OLD_KEPT = asked("GET", "Connection: keep-alive", version="1.0")
CHUNKED = "Transfer-Encoding: chunked"
CLOSE = "Connection: close"
HINTS = message("HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload")
HINTS_ON = message("HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload", VIA)
CONTINUE = message("HTTP/1.1 100 Continue")
CONTINUE_ON = message("HTTP/1.1 100 Continue", VIA)

# The client's connection afterwards, and the app's.
KEPT, CLOSED = "the client is kept", "the client is closed"
REUSED, ENDED, LEAVES = "the app's is reused", "the app's is ended", "the app closes it"

# sentence: (section, the request, what the app sends, what the client gets, and what follows)
ANSWERS = {
    # 9110 7.6.1: Connection
    "what Connection names in an answer goes": (
        "9110 7.6.1",
        GET,
        sized("X-A: 1", "Connection: x-a, X-C", "X-B: 2", "X-C: 3", "x-A: 4"),
        sized("X-B: 2", VIA),
        {KEPT, REUSED},
    ),
    "hop-by-hop fields of an answer go": (
        "9110 7.6.1",
        GET,
        sized("Keep-Alive: timeout=5", "Connection: keep-alive", "Proxy-Connection: x", "X-B: 2"),
        sized("X-B: 2", VIA),
        {KEPT, REUSED},
    ),
    "Proxy-Authenticate and Proxy-Authentication-Info are for this hop": (
        "9110 11.7",
        GET,
        sized("Proxy-Authenticate: Basic", "Proxy-Authentication-Info: x"),
        sized(VIA),
        {KEPT, REUSED},
    ),
    # Status line, version
    "an HTTP/1.0 answer goes on as HTTP/1.1": (
        "9112 2.3",
        GET,
        old("200 OK", "Content-Length: 5", body=b"hello"),
        sized(VIA_10),
        {KEPT, ENDED},
    ),
    "an HTTP/1.0 client is answered in HTTP/1.1": (
        "9112 2.3",
        OLD_GET,
        sized(),
        sized(CLOSE, VIA),
        {CLOSED, REUSED},
    ),
    "a reason goes on as it came": (
        "9112 4",
        GET,
        sized(start="200 Sehr  gut \xfc"),
        sized(VIA, start="200 Sehr  gut \xfc"),
        {KEPT, REUSED},
    ),
    "the space before no reason is sent": (
        "9112 4",
        GET,
        sized(start="200 "),
        sized(VIA, start="200 "),
        {KEPT, REUSED},
    ),
    "the space before no reason is added": (
        "9112 4",
        GET,
        sized(start="200"),
        sized(VIA, start="200 "),
        {KEPT, REUSED},
    ),
    "an unknown status goes on": (
        "9110 15",
        GET,
        sized(start="299 Odd"),
        sized(VIA, start="299 Odd"),
        {KEPT, REUSED},
    ),
    "a redirection is not followed": (
        "9110 15.4",
        GET,
        sized("Location: //other.test/?a#b", start="302 Found"),
        sized("Location: //other.test/?a#b", VIA, start="302 Found"),
        {KEPT, REUSED},
    ),
    "a 205 is not given content": (
        "9110 15.3.6",
        GET,
        sized(start="205 Reset Content", body=b""),
        sized(VIA, start="205 Reset Content", body=b""),
        {KEPT, REUSED},
    ),
    # Fields
    "fields of an answer keep order, case and number": (
        "9110 5.1, 5.3",
        GET,
        sized("x-B: 1", "Set-Cookie: a=1", "X-a:2", "set-cookie: b=2", "x-B: 3", "Server: a/1"),
        sized(
            "x-B: 1", "Set-Cookie: a=1", "X-a:2", "set-cookie: b=2", "x-B: 3", "Server: a/1", VIA
        ),
        {KEPT, REUSED},
    ),
    "Via of an answer is appended after what there is": (
        "9110 7.6.3",
        GET,
        sized("Via: 1.0 fred"),
        sized("Via: 1.0 fred", VIA),
        {KEPT, REUSED},
    ),
    "WWW-Authenticate and Authentication-Info are not touched": (
        "9110 11.6.1, 11.6.3",
        GET,
        sized('WWW-Authenticate:  Basic  realm="a",, Digest', 'Authentication-Info: nextnonce="x"'),
        sized(
            'WWW-Authenticate:  Basic  realm="a",, Digest',
            'Authentication-Info: nextnonce="x"',
            VIA,
        ),
        {KEPT, REUSED},
    ),
    "content is not transformed": (
        "9110 7.7",
        GET,
        sized("Cache-Control: no-transform", "Content-Encoding: gzip", 'ETag: W/"x"', "Warning: x"),
        sized(
            "Cache-Control: no-transform",
            "Content-Encoding: gzip",
            'ETag: W/"x"',
            "Warning: x",
            VIA,
        ),
        {KEPT, REUSED},
    ),
    "a part goes on as a part": (
        "9110 14.4",
        asked("GET", "Range: bytes=0-4"),
        sized("Content-Range: bytes 0-4/10", start="206 Partial Content"),
        sized("Content-Range: bytes 0-4/10", VIA, start="206 Partial Content"),
        {KEPT, REUSED},
    ),
    # Without a body
    "HEAD with a length": (
        "9110 9.3.2",
        asked("HEAD"),
        said("200 OK", "Content-Length: 1234"),
        said("200 OK", "Content-Length: 1234", VIA),
        {KEPT, REUSED},
    ),
    "HEAD with a coding": (
        "9112 6.1",
        asked("HEAD"),
        said("200 OK", CHUNKED),
        said("200 OK", CHUNKED, VIA),
        {KEPT, REUSED},
    ),
    "HEAD with neither": (
        "9112 6.3",
        asked("HEAD"),
        said("200 OK"),
        said("200 OK", VIA),
        {KEPT, REUSED},
    ),
    "HEAD with a coding, to an HTTP/1.0 client": (
        "9112 6.1",
        asked("HEAD", version="1.0"),
        said("200 OK", CHUNKED),
        said("200 OK", CLOSE, VIA),
        {CLOSED, REUSED},
    ),
    "a 204 has no body": (
        "9110 15.3.5",
        asked("DELETE"),
        said("204 No Content"),
        said("204 No Content", VIA),
        {KEPT, REUSED},
    ),
    "a 204 has no length": (
        "9110 8.6",
        GET,
        said("204 No Content", "Content-Length: 0"),
        said("204 No Content", VIA),
        {KEPT, REUSED},
    ),
    "a 304 has no body": (
        "9110 15.4.5",
        GET,
        said("304 Not Modified", 'ETag: "x"'),
        said("304 Not Modified", 'ETag: "x"', VIA),
        {KEPT, REUSED},
    ),
    "a 304 may have a length": (
        "9110 8.6",
        GET,
        said("304 Not Modified", "Content-Length: 77"),
        said("304 Not Modified", "Content-Length: 77", VIA),
        {KEPT, REUSED},
    ),
    "a 304 may have a coding": (
        "9112 6.1",
        GET,
        said("304 Not Modified", CHUNKED),
        said("304 Not Modified", CHUNKED, VIA),
        {KEPT, REUSED},
    ),
    "a 304 with a coding, to an HTTP/1.0 client": (
        "9112 6.1",
        OLD_KEPT,
        said("304 Not Modified", CHUNKED),
        said("304 Not Modified", "Connection: keep-alive", VIA),
        {KEPT, REUSED},
    ),
    "an empty answer": (
        "9112 6.3",
        asked("OPTIONS"),
        sized("Allow: GET", body=b""),
        sized("Allow: GET", VIA, body=b""),
        {KEPT, REUSED},
    ),
    # Chunked
    "chunks and their extensions go on": (
        "9112 7.1.1",
        GET,
        said("200 OK", CHUNKED, body=EXTENSIONS),
        said("200 OK", CHUNKED, VIA, body=EXTENSIONS),
        {KEPT, REUSED},
    ),
    "trailers and their announcement go on": (
        "9110 6.5, 6.6.2",
        asked("GET", "TE: trailers", "Connection: TE"),
        said("200 OK", "Trailer: X-Sum", CHUNKED, body=TRAILERS),
        said("200 OK", "Trailer: X-Sum", CHUNKED, VIA, body=TRAILERS),
        {KEPT, REUSED},
    ),
    "chunks are decoded for an HTTP/1.0 client": (
        "9112 6.1",
        OLD_GET,
        said("200 OK", CHUNKED, body=EXTENSIONS),
        said("200 OK", CLOSE, VIA, body=b"hello0123456789"),
        {CLOSED, REUSED},
    ),
    "who decodes has no place for trailers": (
        "9112 7.1.2",
        OLD_KEPT,
        said("200 OK", "Trailer: X-Sum", CHUNKED, body=TRAILERS),
        said("200 OK", CLOSE, VIA, body=b"hello"),
        {CLOSED, REUSED},
    ),
    # Until the connection ends
    "an answer may end with its connection, and goes on in chunks": (
        "9112 6.3, 8",
        GET,
        said("200 OK", body=b"hello"),
        said("200 OK", CHUNKED, VIA, body=b"5\r\nhello\r\n0\r\n\r\n"),
        {KEPT, LEAVES},
    ),
    "an HTTP/1.0 answer may end with its connection, and goes on in chunks": (
        "9112 6.3, 8",
        GET,
        old("200 OK", "Content-Type: x/y", body=b"hello"),
        said("200 OK", "Content-Type: x/y", CHUNKED, VIA_10, body=b"5\r\nhello\r\n0\r\n\r\n"),
        {KEPT, LEAVES},
    ),
    "HTTP/1.0 on both sides": (
        "9112 6.3",
        OLD_KEPT,
        old("200 OK", body=b"hello"),
        said("200 OK", CLOSE, VIA_10, body=b"hello"),
        {CLOSED, LEAVES},
    ),
    # Persistence
    "HTTP/1.1 persists": (
        "9112 9.3",
        GET,
        sized(),
        sized(VIA),
        {KEPT, REUSED},
    ),
    "a client's close is answered with close": (
        "9112 9.6",
        asked("GET", "Connection: x, Close"),
        sized(),
        sized(CLOSE, VIA),
        {CLOSED, REUSED},
    ),
    "a client's keep-alive in HTTP/1.1 needs no answer": (
        "9112 9.3",
        asked("GET", "Connection: Keep-Alive"),
        sized(),
        sized(VIA),
        {KEPT, REUSED},
    ),
    "close beats keep-alive": (
        "9112 9.3",
        asked("GET", "Connection: keep-alive", CLOSE),
        sized(),
        sized(CLOSE, VIA),
        {CLOSED, REUSED},
    ),
    "an app's close is between the app and weir": (
        "9112 9.6",
        GET,
        sized(CLOSE),
        sized(VIA),
        {KEPT, ENDED},
    ),
    "an HTTP/1.0 client that asks for it is kept and told so": (
        "9112 9.3",
        OLD_KEPT,
        sized(),
        sized("Connection: keep-alive", VIA),
        {KEPT, REUSED},
    ),
    "an HTTP/1.0 app that says so is kept": (
        "9112 9.3",
        GET,
        old("200 OK", "Content-Length: 5", "Connection: Keep-Alive", body=b"hello"),
        sized(VIA_10),
        {KEPT, REUSED},
    ),
    # 1xx
    "a 103 goes on": (
        "9110 15.2",
        GET,
        HINTS + sized(),
        HINTS_ON + sized(VIA),
        {KEPT, REUSED},
    ),
    "several 1xx go on in their order": (
        "9110 15.2",
        GET,
        HINTS + CONTINUE + message("HTTP/1.1 102 Processing") + HINTS + sized(),
        HINTS_ON + CONTINUE_ON + message("HTTP/1.1 102 Processing", VIA) + HINTS_ON + sized(VIA),
        {KEPT, REUSED},
    ),
    "an unknown 1xx goes on": (
        "9110 15.2",
        GET,
        message("HTTP/1.1 199 Odd", "X-A: b") + sized(),
        message("HTTP/1.1 199 Odd", "X-A: b", VIA) + sized(VIA),
        {KEPT, REUSED},
    ),
    "a 1xx has no length and no Connection": (
        "9110 8.6",
        GET,
        message("HTTP/1.1 103 x", "Content-Length: 0", "Connection: X-A", "X-A: b") + sized(),
        message("HTTP/1.1 103 x", VIA) + sized(VIA),
        {KEPT, REUSED},
    ),
    "an HTTP/1.0 client gets no 1xx": (
        "9110 15.2",
        OLD_GET,
        HINTS + CONTINUE + sized(),
        sized(CLOSE, VIA),
        {CLOSED, REUSED},
    ),
}


@pytest.mark.parametrize("row", ANSWERS)
def test_what_goes_on_of_an_answer(world, row):
    _, request, answer, wanted, then = ANSWERS[row]
    origin, weir = world.pair(**BARE)
    origin.on("/x", app.read_body(), app.send(answer), *([app.close()] if LEAVES in then else []))
    client = world.connect(weir).send(request)
    assert client.exactly(len(wanted)) == wanted
    if CLOSED in then:
        assert client.rest() == b""
        client = world.connect(weir)
    assert client.ask("GET", "/after").body == b"ok"
    assert len(origin.used()) == (1 if REUSED in then else 2)
    world.expect_requests(weir, 2)
