"""An app's answer is passed on as the row says, or it is a 502, or the client sees that it was cut.

A row names what demands it: a section of an RFC (9110 5.5), or a CVE. Each is sent by the app whole,
byte by byte and cut in two at every place, and the judge is what the client received: this answer,
and that to a second request, which an answer before it must not have spoilt.
"""

from typing import NamedTuple

import pytest

from support import feeding, wire
from support.feeding import DATE, ID, NEXT, VIA, Exchange

CHUNKS = "5\r\nhello\r\n0\r\n\r\n"
CLOSE = "Connection: close\r\n"
GET = "GET /x HTTP/1.1\r\nHost: app.test\r\n\r\n"
HEAD = "HEAD /x HTTP/1.1\r\nHost: app.test\r\n\r\n"
POST = "POST /x HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello"  # never sent twice
OLD = "GET /x HTTP/1.0\r\nHost: app.test\r\n\r\n"
OLD_KEPT = "GET /x HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n"
SECOND = f"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n{CLOSE}{VIA}{DATE}{ID}\r\nnext"


class Bad(NamedTuple):
    """The client gets a 502 of weir's own, after the 1xx that came `before`; weir ends the app's
    connection; the client's is still good."""

    why: str
    name: str
    raw: str
    then: str = ""
    ask: str = GET
    before: str = ""


class Cut(NamedTuple):
    """The client gets a part, and can see that it is one: the framing is not complete, or the
    connection was reset. weir ends both connections. A 502 would be right, too. `anew`: as below."""

    why: str
    name: str
    raw: str
    then: str = ""
    ask: str = GET
    becomes: str = ""
    anew: bool = False


class Passes(NamedTuple):
    """The client gets `becomes`, byte for byte, or else `raw` with the usual fields added. `extra`
    is what the app sends after its answer, or why weir must end the app's connection ("close").
    `anew`: the chunks are weir's, and `becomes` has all their content in one."""

    why: str
    name: str
    raw: str
    becomes: str = ""
    ask: str = GET
    then: str = ""
    last: bool = False
    extra: str = ""
    anew: bool = False


def ok(*fields, body="hello", version="HTTP/1.1", status="200 OK"):
    lines = [f"{version} {status}", *(field.removesuffix("\r\n") for field in fields)]
    return "\r\n".join(lines) + "\r\n\r\n" + body


def line(text):
    return f"{text}\r\nContent-Length: 0\r\n\r\n"


def length(value):
    return ok(f"Content-Length: {value}")


def coding(value, version="HTTP/1.1"):
    return ok(f"Transfer-Encoding:{value}", body=CHUNKS, version=version)


def chunks(body):
    return ok("Transfer-Encoding: chunked", body=body)


def trailer(text):
    return chunks(f"5\r\nhello\r\n0\r\n{text}\r\n\r\n")


def added(*lines):
    """The usual fields, after `lines`, for ok() and its like."""
    return "".join(lines) + VIA + DATE + ID


HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
HINTS_ON = f"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n{VIA}\r\n"
PLAIN = length("5")
PLAIN_ON = ok("Content-Length: 5", added())

# fmt: off

BAD = [
    # the status line
    Bad("9112 4", "a status of two digits", line("HTTP/1.1 20 OK")),
    Bad("9112 4", "a status of four digits", line("HTTP/1.1 2000 OK")),
    Bad("9110 15", "status 000", line("HTTP/1.1 000 OK")),
    Bad("9110 15", "status 099", line("HTTP/1.1 099 OK")),
    Bad("9112 4", "a status in letters", line("HTTP/1.1 2xx OK")),
    Bad("9112 4", "a status with a sign", line("HTTP/1.1 +20 OK")),
    Bad("9112 4", "a status with 10 in one digit", line("HTTP/1.1 1:0 OK")),
    Bad("9112 4", "no status", line("HTTP/1.1")),
    Bad("9112 4", "an empty status", line("HTTP/1.1 ")),
    Bad("9112 4", "no space before the status", line("HTTP/1.1200 OK")),
    Bad("9112 4", "two spaces before the status", line("HTTP/1.1  200 OK")),
    Bad("9112 4", "a tab before the status", line("HTTP/1.1\t200 OK")),
    Bad("9112 4", "no space after the status", line("HTTP/1.1 200OK")),
    Bad("9112 4", "a tab after the status", line("HTTP/1.1 200\tOK")),
    Bad("9112 2.3", "HTTP/2.0", line("HTTP/2.0 200 OK")),
    Bad("9112 2.3", "HTTP/1.2", line("HTTP/1.2 200 OK")),
    Bad("9112 2.3", "HTTP/0.9", line("HTTP/0.9 200 OK")),
    Bad("9112 2.3", "HTTP/1.10", line("HTTP/1.10 200 OK")),
    Bad("9112 2.3", "HTTP/2 without a minor version", line("HTTP/2 200")),
    Bad("9112 2.3", "http in small letters", line("http/1.1 200 OK")),
    Bad("9112 4", "another protocol", line("ICY 200 OK")),
    Bad("9112 4", "a space before the status line", line(" HTTP/1.1 200 OK")),
    Bad("9112 2.2", "CRLF before the status line", "\r\n" + PLAIN),
    Bad("9112 4", "NUL in the reason", line("HTTP/1.1 200 O\x00K")),
    Bad("9112 4", "a control in the reason", line("HTTP/1.1 200 O\x01K")),
    Bad("9112 4", "DEL in the reason", line("HTTP/1.1 200 O\x7fK")),
    Bad("9112 2.2", "a bare CR in the reason", line("HTTP/1.1 200 O\rK")),
    Bad("9112 4", "content without a head", "<html>hello</html>\r\n\r\n"),
    Bad("9112 4", "all bytes", "".join(map(chr, range(256))) * 4 + "\r\n\r\n"),
    # fields
    Bad("9112 2.2", "bare LF everywhere", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    Bad("9112 2.2", "a bare LF after the status line", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"),
    Bad("9112 2.2", "a bare LF after a field", "HTTP/1.1 200 OK\r\nContent-Length: 0\nA: b\r\n\r\n"),
    Bad("9112 2.2", "a bare LF as the empty line", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n"),
    Bad("9112 2.2", "a bare CR in a value", ok("A: b\rSet-Cookie: c", "Content-Length: 5")),
    Bad("9112 2.2", "CR CR LF after a field", ok("Content-Length: 5\r")),
    Bad("9112 5", "a field without a colon", ok("A", "Content-Length: 5")),
    Bad("CVE-2023-25725", "an empty field name", ok(": x", "Content-Length: 5")),
    Bad("9110 5.1", "NUL in a name", ok("A\x00: b", "Content-Length: 5")),
    Bad("9110 5.1", "a space in a name", ok("A b: c", "Content-Length: 5")),
    Bad("9110 5.1", "a byte beyond ASCII in a name", ok("\xc3\xa9: b", "Content-Length: 5")),
    Bad("9112 5.1", "a space before a colon", ok("Content-Length : 5")),
    Bad("9112 2.2", "a space before the first field", ok(" A: b", "Content-Length: 5")),
    Bad("9112 5.2", "a folded field", ok("A: b\r\n c", "Content-Length: 5")),
    Bad("9112 5.2", "a folded length", ok("Content-Length:\r\n 5")),
    Bad("9110 5.5", "a control in a value", ok("A: \x01", "Content-Length: 5")),
    Bad("9110 5.5", "NUL in a value", ok("A: b\x00c", "Content-Length: 5")),
    Bad("9110 5.5", "DEL in a value", ok("A: \x7f", "Content-Length: 5")),
    Bad("9110 7.6.1", "a Connection option that is no token",
        ok("Connection: a b", "Content-Length: 5")),
    Bad("9110 7.6.1", "33 Connection options", ok("Connection: " + "a," * 33, "Content-Length: 5")),
    Bad("6585 5", "257 fields", ok(*["A: b"] * 256, "Content-Length: 5")),
    Bad("6585 5", "a head without end", ok("A: " + "b" * 60_000)),
    # framing
    Bad("9112 6.3", "two lengths that differ", ok("Content-Length: 5", "Content-Length: 6")),
    Bad("9112 6.3", "two lengths that agree", ok("Content-Length: 5", "Content-Length: 5")),
    Bad("9112 6.3", "a list of lengths", length("5, 6")),
    Bad("9110 8.6", "a list of the same length", length("5, 5")),
    Bad("9110 8.6", "a length with plus", length("+5")),
    Bad("9110 8.6", "a length with minus", length("-1")),
    Bad("9110 8.6", "a length in hex", length("0x5")),
    Bad("9110 8.6", "a length in letters", length("five")),
    Bad("9110 8.6", "a length with a space inside", length("1 0")),
    Bad("9110 8.6", "an empty length", length("")),
    Bad("9110 8.6", "a length of 2^63", length("9223372036854775808")),
    Bad("9110 8.6", "a length of 2^64 + 5", length("18446744073709551621")),
    Bad("3875 4.1.18", "length spelt with an underscore", ok("Content_Length: 5")),
    Bad("9112 6.3", "length, then chunked",
        ok("Content-Length: 5", "Transfer-Encoding: chunked", body=CHUNKS)),
    Bad("9112 6.3", "chunked, then length",
        ok("Transfer-Encoding: chunked", "Content-Length: 5", body=CHUNKS)),
    Bad("9112 6.1", "length and a coding that is none",
        ok("Content-Length: 5", "Transfer-Encoding: identity")),
    Bad("9112 6.1", "two codings",
        ok("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNKS)),
    Bad("9112 7.1", "chunked twice in a list", coding(" chunked, chunked")),
    Bad("9112 6.3", "gzip without chunked", coding(" gzip")),
    Bad("9112 6.1", "gzip, then chunked", coding(" gzip, chunked")),
    Bad("9112 7", "identity", coding(" identity")),
    Bad("9112 6.1", "an unknown coding", coding(" xchunked")),
    Bad("9112 7", "chunked with a parameter", coding(" chunked;q=1")),
    Bad("9112 7", "chunked in quotes", coding(' "chunked"')),
    Bad("9112 6.1", "an empty coding", coding("")),
    Bad("CVE-2019-18277", "a vertical tab before chunked", coding(" \x0bchunked")),
    Bad("3875 4.1.18", "the coding spelt with an underscore",
        ok("Transfer_Encoding: chunked", body=CHUNKS)),
    Bad("9112 6.1", "chunked in HTTP/1.0", coding(" chunked", version="HTTP/1.0")),
    Bad("9112 6.1", "chunked in 204", ok("Transfer-Encoding: chunked", status="204 x", body=CHUNKS)),
    Bad("9112 6.1", "chunked in 100", ok("Transfer-Encoding: chunked", status="100 x", body=CHUNKS)),
    Bad("9112 6.3", "length and chunked in 304",
        ok("Content-Length: 5", "Transfer-Encoding: chunked", status="304 x", body="")),
    Bad("9112 6.3", "length and chunked in answer to HEAD",
        ok("Content-Length: 5", "Transfer-Encoding: chunked", body=""), ask=HEAD),
    # what is no answer
    Bad("9110 15.2.2", "an upgrade that nobody asked for",
        ok("Connection: upgrade", "Upgrade: x", status="101 x", body="")),
    Bad("9110 15.2", "a bad head after an interim one", HINTS + line("HTTP/1.1 20 OK"),
        before=HINTS_ON),
    Bad("9110 15.2", "content of an interim answer", ok("Content-Length: 5", status="103 x") + PLAIN,
        before=ok(VIA, status="103 x", body="")),
    Bad("9110 15.2", "an interim answer, and the end", HINTS, "close", before=HINTS_ON),
    Bad("9110 15.6.3", "no answer, and the end", "", "close", POST),
    Bad("9110 15.6.3", "no answer, and a reset", "", "reset", POST),
    Bad("9112 8", "a head that is cut", "HTTP/1.1 200 OK\r\nContent-Le", "close", POST),
    Bad("9112 8", "a head that is cut by a reset", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", "reset",
        POST),
    Bad("9112 8", "a head without its empty line", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", "close"),
]

CUT = [
    Cut("9112 7.1", "a size with plus", chunks("+5\r\nhello\r\n0\r\n\r\n")),
    Cut("9112 7.1", "a size with 0x", chunks("0x5\r\nhello\r\n0\r\n\r\n")),
    Cut("9112 7.1", "a size in letters", chunks("zz\r\nhello\r\n0\r\n\r\n")),
    Cut("9112 7.1", "a space after a size", chunks("5 \r\nhello\r\n0\r\n\r\n")),
    Cut("9112 7.1", "no size", chunks("\r\nhello\r\n0\r\n\r\n")),
    Cut("CVE-2013-2028", "a size of 17 digits", chunks("10000000000000005\r\nhello\r\n0\r\n\r\n")),
    Cut("9112 7.1", "a bare LF after a size", chunks("5\nhello\r\n0\r\n\r\n")),
    Cut("9112 7.1", "a bare CR after a size", chunks("5\rhello\r\n0\r\n\r\n")),
    Cut("9112 7.1", "no CRLF after data", chunks("5\r\nhello0\r\n\r\n")),
    Cut("9112 7.1", "LF after data", chunks("5\r\nhello\n0\r\n\r\n")),
    Cut("9112 7.1", "data longer than its size", chunks("5\r\nhello!\r\n0\r\n\r\n")),
    Cut("9112 7.1.1", "a bare LF in an extension", chunks("5;a\nhello\r\n0\r\n\r\n")),
    Cut("9112 7.1.1", "an extension with an open quote", chunks('5;a="b\r\nhello\r\n0\r\n\r\n')),
    Cut("CVE-2023-39326", "an endless extension", chunks("5;" + "a" * 2000)),
    Cut("9110 6.5.1", "a trailer that frames", trailer("Content-Length: 5")),
    Cut("9110 6.5.1", "a trailer that frames, with an underscore", trailer("transfer_encoding: x")),
    Cut("9110 6.5.1", "a trailer of the connection", trailer("Connection: close")),
    Cut("9110 6.5.1", "a trailer that sets a cookie", trailer("Set-Cookie: a=b")),
    Cut("9110 6.5.1", "a trailer that asks for authentication", trailer("WWW-Authenticate: Basic")),
    Cut("9110 6.5.1", "a trailer that frames, to HTTP/1.0", trailer("Content-Length: 5"), ask=OLD,
        becomes=ok(added(CLOSE))),
    Cut("9110 7.6.1", "a trailer that Connection names",
        ok("Transfer-Encoding: chunked", "Connection: keep-alive, X-Sum", body="0\r\nx-sum: 1\r\n\r\n"),
        becomes=chunks("0\r\nx-sum: 1\r\n\r\n")),
    Cut("9112 5", "a trailer without a colon", trailer("A")),
    Cut("9112 5.1", "a trailer with a space before the colon", trailer("A : b")),
    Cut("9110 5.5", "NUL in a trailer", trailer("A: \x00")),
    Cut("9112 2.2", "a bare LF in a trailer", trailer("A: b\nC: d")),
    Cut("9112 7.1.2", "an answer as a trailer", trailer("HTTP/1.1 200 OK")),
    Cut("9112 7.1.2", "endless trailers", trailer("A: b\r\n" * 1400)),
    Cut("9112 8", "no last chunk", chunks("5\r\nhello\r\n"), "close"),
    Cut("9112 8", "no last line", chunks("5\r\nhello\r\n0\r\n"), "close"),
    Cut("9112 8", "a chunk that is cut", chunks("5\r\nhel"), "close"),
    Cut("9112 8", "no chunk at all", chunks(""), "close"),
    Cut("9112 8", "a chunk that is cut by a reset", chunks("5\r\nhel"), "reset"),
    Cut("9112 8", "a length that is not reached", length("6"), "close"),
    Cut("9112 8", "a length that is not reached, by a reset", length("6"), "reset"),
    Cut("9112 8", "a length and nothing of it", ok("Content-Length: 6", body=""), "close"),
    Cut("9112 8", "an answer that ends with its connection, reset", ok(), "reset",
        becomes=ok("Transfer-Encoding: chunked", added(), body="5\r\nhello\r\n"), anew=True),
    Cut("9112 8", "an answer that ends with its connection, reset, to HTTP/1.0", ok(), "reset", OLD,
        ok(added(CLOSE))),
    Cut("9112 8", "chunks that are cut, to HTTP/1.0", chunks("5\r\nhello\r\n"), "close", OLD,
        ok(added(CLOSE))),
    Cut("9112 8", "chunks that are broken, to HTTP/1.0", chunks("5\r\nhello!\r\n"), ask=OLD,
        becomes=ok(added(CLOSE))),
]

PASSES = [
    # status lines
    Passes("9112 4", "a length", PLAIN),
    Passes("9110 15", "status 599", ok("Content-Length: 5", status="599 x")),
    Passes("9110 15", "status 600", ok("Content-Length: 5", status="600 x")),
    Passes("9110 15", "status 999", ok("Content-Length: 5", status="999 x")),
    Passes("9110 15", "status 700 with chunks",
        ok("Transfer-Encoding: chunked", status="700 x", body=CHUNKS)),
    Passes("9110 15", "status 799 that ends with its connection", ok(status="799 x"),
        ok("Transfer-Encoding: chunked", added(), status="799 x", body=CHUNKS), then="close",
        anew=True),
    Passes("9110 15", "a status that nobody knows", ok("Content-Length: 5", status="299 x")),
    Passes("9112 4", "an empty reason", ok("Content-Length: 5", status="200 ")),
    Passes("9112 4", "no reason, and no space", ok("Content-Length: 5", status="200"),
        ok("Content-Length: 5", added(), status="200 ")),
    Passes("9112 4", "a reason with blanks and bytes beyond ASCII",
        ok("Content-Length: 5", status="404 Nicht \t da\xff")),
    # bodies
    Passes("9112 6.3", "a length of 0", ok("Content-Length: 0", body="")),
    Passes("9112 6.3", "an answer as content", ok(f"Content-Length: {len(PLAIN)}", body=PLAIN)),
    Passes("9112 7.1", "chunks", chunks(CHUNKS)),
    Passes("9112 7.1", "no chunk but the last", chunks("0\r\n\r\n")),
    Passes("9112 7.1", "sizes in capitals and with zeros",
        chunks("A\r\n0123456789\r\n00a\r\n0123456789\r\n000\r\n\r\n")),
    Passes("9112 7.1.1", "extensions", chunks('5;a="b\\"";c\r\nhello\r\n0;d=e\r\n\r\n')),
    Passes("9112 7.1.2", "trailers",
        ok("Transfer-Encoding: chunked", "Trailer: A", body="5\r\nhello\r\n0\r\nA: b\r\nC:\r\n\r\n")),
    Passes("9530 2", "a digest as a trailer", trailer("Content-Digest: sha-256=:x:")),
    Passes("9110 6.5.1", "trailers that are metadata",
        trailer("Content-MD5: x\r\nExpires: 0\r\nAge: 1\r\nVary: *\r\nRetry-After: 1\r\nDate: x\r\n"
                "Cache-Control: no-store\r\nVia: 1.1 x\r\nETag: x\r\nLocation: /x")),
    Passes("9110 6.5.1", "trailers that say what the content was",
        trailer("Content-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Range: bytes 0-4/5")),
    Passes("9110 6.5.1", "trailers that mean nothing in an answer",
        trailer("Host: a\r\nAuthorization: x\r\nCookie: a=b\r\nIf-Match: x\r\nX-Forwarded-For: x")),
    Passes("9112 6.3", "an answer that ends with its connection", ok(),
        ok("Transfer-Encoding: chunked", added(), body=CHUNKS), then="close", anew=True),
    Passes("9112 6.3", "an empty answer that ends with its connection", ok(body=""),
        ok("Transfer-Encoding: chunked", added(), body="0\r\n\r\n"), then="close", anew=True),
    Passes("9110 6.6.2", "trailers that such an answer promises", ok("Trailer: A"),
        ok("Transfer-Encoding: chunked", added(), body=CHUNKS), then="close", anew=True),
    Passes("9112 6.3", "an answer that ends with its connection, to HTTP/1.0", ok(),
        ok(added(CLOSE)), OLD_KEPT, then="close", last=True),
    Passes("9112 6.2", "a length without a blank", ok("Content-Length:5"), PLAIN_ON),
    Passes("9112 6.2", "a length with zeros", length("005"), PLAIN_ON),
    Passes("9112 7", "chunked in capitals", coding(" CHUNKED"),
        ok("Transfer-Encoding: chunked", added(), body=CHUNKS)),
    # no bodies
    Passes("9110 9.3.2", "a length in answer to HEAD", ok("Content-Length: 5", body=""), ask=HEAD),
    Passes("9110 9.3.2", "chunked in answer to HEAD", ok("Transfer-Encoding: chunked", body=""),
        ask=HEAD),
    Passes("9110 9.3.2", "no framing in answer to HEAD", ok("A: b", body=""), ask=HEAD),
    Passes("9110 15.3.5", "204", ok("A: b", status="204 No Content", body="")),
    Passes("9110 8.6", "204 with a length", ok("A: b", "Content-Length: 0", status="204 x", body=""),
        ok("A: b", added(), status="204 x", body="")),
    Passes("9110 15.3.6", "205 with a length of 0", ok("Content-Length: 0", status="205 x", body="")),
    Passes("9110 15.4.5", "304", ok("ETag: x", status="304 Not Modified", body="")),
    Passes("9110 8.6", "304 with a length", ok("Content-Length: 5", status="304 x", body="")),
    Passes("9112 6.1", "304 with chunked", ok("Transfer-Encoding: chunked", status="304 x", body="")),
    # 1xx
    Passes("8297 2", "103, then 200", HINTS + PLAIN, HINTS_ON + PLAIN_ON),
    Passes("9110 15.2.1", "100, then 200", "HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
        f"HTTP/1.1 100 Continue\r\n{VIA}\r\n" + PLAIN_ON),
    Passes("9110 15.2", "an unknown 1xx, then 200", "HTTP/1.1 199 x\r\n\r\n" + PLAIN,
        f"HTTP/1.1 199 x\r\n{VIA}\r\n" + PLAIN_ON),
    Passes("9110 15.2", "64 of 1xx, then 200", HINTS * 64 + PLAIN, HINTS_ON * 64 + PLAIN_ON),
    Passes("9110 8.6", "100 with a length", "HTTP/1.1 100 x\r\nContent-Length: 0\r\n\r\n" + PLAIN,
        f"HTTP/1.1 100 x\r\n{VIA}\r\n" + PLAIN_ON),
    Passes("9110 15.2", "103, then 204", HINTS + ok(status="204 x", body=""),
        HINTS_ON + ok(added(), status="204 x", body="")),
    # fields
    Passes("9110 5.3", "fields in their order, case and number",
        ok("x-B: 1", "Content-Length: 5", "X-a: 2", "x-B: 3", "Set-Cookie: a=b", "Set-Cookie: c=d")),
    Passes("9112 5", "blanks and bytes beyond ASCII in values",
        ok("A:b", "C: \t d \xff\t", "E:", "Content-Length: 5")),
    Passes("9110 7.2", "fields that mean something in requests only",
        ok("Host: a b", "Host: c", "Expect: x", "Content-Length: 5")),
    Passes("9110 11.6.1", "authentication",
        ok("WWW-Authenticate: Basic", "Content-Length: 5", status="401 x")),
    Passes("6585 5", "256 fields", ok(*["A: b"] * 255, "Content-Length: 5")),
    Passes("9110 7.6.3", "Via", ok("Via: 1.1 other", "Content-Length: 5")),
    Passes("9110 7.6.1", "hop-by-hop fields",
        ok("A: b", "Keep-Alive: 5", "Proxy-Connection: x", "Proxy-Authenticate: x", "TE: x",
           "Content-Length: 5"),
        ok("A: b", "Content-Length: 5", added())),
    Passes("9110 7.6.1", "fields that Connection names",
        ok("X-Mine: a", "Connection: x-mine, keep-alive", "Content-Length: 5"), PLAIN_ON),
    Passes("9110 7.6.1", "Connection that names a length",
        ok("Connection: Content-Length", "Content-Length: 5"), PLAIN_ON),
    Passes("9110 7.6.1", "Connection that names the coding",
        ok("Connection: Transfer-Encoding", "Transfer-Encoding: chunked", body=CHUNKS),
        ok("Transfer-Encoding: chunked", added(), body=CHUNKS)),
    Passes("9110 7.6.1", "Connection that names a cookie",
        ok("Connection: Set-Cookie", "Set-Cookie: a", "Content-Length: 5"),
        ok("Set-Cookie: a", "Content-Length: 5", added())),
    Passes("9110 7.8", "an offer to upgrade",
        ok("Connection: upgrade", "Upgrade: h2c", "Content-Length: 5"), PLAIN_ON),
    Passes("Weir-Reason", "weir's own field", ok("weir-reason: queue_full", "Content-Length: 5"),
        PLAIN_ON),
    Passes("X-Request-Id", "a request id of the app's", ok("x-request-ID: 7", "Content-Length: 5"),
        ok("x-request-ID: 7", "Content-Length: 5", VIA, DATE)),
    Passes("9110 6.6.1", "a date that is there", ok("date:never", "Content-Length: 5"),
        ok("date:never", "Content-Length: 5", VIA, ID)),
    Passes("9110 6.6.1", "a date that Connection names",
        ok("Connection: Date", "Date: x", "Content-Length: 5"),
        ok("Date: x", "Content-Length: 5", VIA, ID)),
    # versions and connections
    Passes("9112 2.3", "HTTP/1.0", ok("Content-Length: 5", version="HTTP/1.0"),
        ok("Content-Length: 5", "Via: 1.0 weir", DATE, ID), extra="close"),
    Passes("9112 C.2.2", "HTTP/1.0 that keeps alive",
        ok("Connection: keep-alive", "Content-Length: 5", version="HTTP/1.0"),
        ok("Content-Length: 5", "Via: 1.0 weir", DATE, ID)),
    Passes("9112 6.3", "HTTP/1.0 that ends with its connection", ok(version="HTTP/1.0"),
        ok("Transfer-Encoding: chunked", "Via: 1.0 weir", DATE, ID, body=CHUNKS), then="close",
        anew=True),
    Passes("9112 9.6", "Connection: close", ok("Connection: close", "Content-Length: 5"), PLAIN_ON,
        extra="close"),
    Passes("9112 9.6", "Connection: close after another option",
        ok("Connection: x, CLOSE", "Content-Length: 5"), PLAIN_ON, extra="close"),
    Passes("9112 9.3", "to HTTP/1.0", PLAIN, ok("Content-Length: 5", added(CLOSE)), OLD, last=True),
    Passes("9112 C.2.2", "to HTTP/1.0 that keeps alive", PLAIN,
        ok("Content-Length: 5", added("Connection: keep-alive\r\n")), OLD_KEPT),
    Passes("9112 6.1", "chunks to HTTP/1.0",
        ok("Transfer-Encoding: chunked", "Trailer: A",
           body="5\r\nhello\r\n1;a\r\n!\r\n0\r\nA: b\r\n\r\n"),
        ok(added(CLOSE), body="hello!"), OLD_KEPT, last=True),
    Passes("9110 6.5.1", "chunks with metadata after them to HTTP/1.0",
        trailer("Content-MD5: x\r\nExpires: 0"), ok(added(CLOSE)), OLD, last=True),
    Passes("9110 15.2", "103 to HTTP/1.0", HINTS + PLAIN, ok("Content-Length: 5", added(CLOSE)), OLD,
        last=True),
    # what is more than the answer reaches nobody
    Passes("9112 6.3", "bytes after a length", PLAIN, extra="poison"),
    Passes("9112 6.3", "bytes after the last chunk", chunks(CHUNKS), extra="poison"),
    Passes("9112 6.3", "an answer after an answer", PLAIN, extra=PLAIN),
    Passes("9112 6.3", "an answer after 204", ok(status="204 x", body=""), extra=PLAIN),
    Passes("9110 15.3.5", "content of 204", ok("Content-Length: 6", status="204 x", body=""),
        ok(added(), status="204 x", body=""), extra="poison"),
    Passes("9110 15.4.5", "content of 304", ok("Content-Length: 6", status="304 x", body=""),
        extra="poison"),
    Passes("9110 9.3.2", "content in answer to HEAD", ok("Content-Length: 6", body=""), ask=HEAD,
        extra="poison"),
    Passes("9110 9.3.2", "chunks in answer to HEAD", ok("Transfer-Encoding: chunked", body=""),
        ask=HEAD, extra=CHUNKS),
    Passes("9112 6.3", "CRLF after a length", PLAIN, extra="\r\n"),
]

# fmt: on


def test_there_are_enough_rows_and_each_has_a_name():
    for rows in (BAD, CUT, PASSES):
        names = [row.name for row in rows]
        assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
    assert len(BAD) >= 60 and len(CUT) >= 30 and len(PASSES) >= 60


def sound_bytes(row):
    """How much of the answer may come before weir must end the app's connection."""
    if not isinstance(row, Passes):
        return 0
    if row.extra == "close":
        return len(row.raw) - 1
    return len(row.raw) if row.extra else None


def answer_of(row):
    raw = row.raw
    if isinstance(row, Passes) and row.extra != "close":
        raw += row.extra
    return raw.encode("latin-1")


def exchanges(rows, way):
    answers = [(row, answer_of(row), len(answer_of(row)), (row.ask, row.then)) for row in rows]
    for row, pieces in feeding.cuts(way, answers):
        ask = [row.ask.encode()]
        yield Exchange(row, ask, pieces, row.then, after=NEXT, sound=sound_bytes(row))


def with_usual_fields(raw):
    if VIA.encode() in raw or b"Via: 1.0 weir" in raw:
        return raw
    head, end, body = raw.partition(b"\r\n\r\n")
    return head + f"\r\n{VIA}{DATE}{ID}\r\n".encode() + body


def is_502(answer):
    return answer.status == 502 and answer.get("Weir-Reason") and not answer.all("Via")


def judge_502(ex):
    answers, cut = ex.responses()
    assert cut is None and is_502(answers[0])
    assert [a.status for a in answers[1:]] == ([200] if ex.row.ask != OLD else []), "and then a 200"


def judge_bad(ex):
    judge_502(ex)
    before = ex.row.before.encode()
    assert bytes(ex.got).startswith(before + b"HTTP/1.1 502 Bad Gateway\r\n")
    assert [call.target for call in ex.calls] == ["/x", "/next"]


def as_one_chunk(got):
    """The chunks of the first answer as one: where weir cut them depends on how they came."""
    head, end, body = got.partition(b"\r\n\r\n")
    reader = wire.ChunkReader()
    content = reader.feed(body)
    assert reader.done or (reader.left is None and not reader.pending), "a chunk that is not whole"
    assert not reader.trailers
    chunk = b"%x\r\n%s\r\n" % (len(content), content) if content else b""
    return head + end + chunk + (b"0\r\n\r\n" + reader.pending if reader.done else b"")


def received(ex):
    got = feeding.steady(bytes(ex.got))
    return as_one_chunk(got) if ex.row.anew and b"chunked" in got else got


def judge_cut(ex):
    got = received(ex)
    if got.startswith(b"HTTP/1.1 502 "):
        judge_502(ex)
        return
    assert len(ex.calls) == 1, "the connection was used again"
    want = with_usual_fields((ex.row.becomes or ex.row.raw).encode("latin-1"))
    assert want.startswith(got), f"it is no part of {want}"
    assert ex.ended == "rst" or ex.responses()[1] is not None, "it looks complete"


def judge_passes(ex):
    row = ex.row
    want = with_usual_fields((row.becomes or row.raw).encode("latin-1"))
    want += b"" if row.last else SECOND.encode()
    assert received(ex) == want, f"wanted {want}"
    assert [call.target for call in ex.calls] == (["/x"] if row.last else ["/x", "/next"])
    assert ex.ended == "fin"


def check(world, rows, way, judge):
    with feeding.Feeder(world) as feeder:
        feeding.check(feeder, list(exchanges(rows, way)), judge)


@pytest.mark.seconds(240)
@pytest.mark.parametrize("way", feeding.WAYS)
def test_an_answer_whose_head_is_broken_becomes_a_502(world, way):
    check(world, BAD, way, judge_bad)


@pytest.mark.seconds(240)
@pytest.mark.parametrize("way", feeding.WAYS)
def test_an_answer_whose_body_is_broken_never_looks_complete(world, way):
    check(world, CUT, way, judge_cut)


@pytest.mark.seconds(240)
@pytest.mark.parametrize("way", feeding.WAYS)
def test_an_answer_that_is_valid_reaches_the_client_as_the_row_says(world, way):
    check(world, PASSES, way, judge_passes)
