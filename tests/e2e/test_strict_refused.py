"""One message means one message: a request that could be read in two ways is refused.

A row names what demands it: a section of an RFC (9110 5.5), or a CVE. Each is fed whole, byte by byte
and cut in two at every place, with a whole request behind it. The judge is the app: not one byte may
reach it, or, where only the body is wrong, it gets a request that never becomes complete. The client
gets one answer of weir's own, and then the connection's end.
"""

from typing import NamedTuple

import pytest

from support import feeding
from support.feeding import NEXT, Exchange
from support.rows import (
    CHUNKS,
    LIMITS,
    chunks,
    coding,
    get,
    host,
    length,
    line,
    post,
    to,
    trailer,
    with_added,
)


class Refused(NamedTuple):
    why: str
    name: str
    status: int
    raw: str
    becomes: str = ""  # what the app may get a part of, if not of `raw`
    body: bool = False  # only the body is wrong


# fmt: off

LENGTHS = [
    ("9112 6.1", "length, then chunked", 400,
     post("Content-Length: 5", "Transfer-Encoding: chunked", body=CHUNKS)),
    ("9112 6.1", "chunked, then length", 400,
     post("Transfer-Encoding: chunked", "Content-Length: 5", body=CHUNKS)),
    ("9112 6.1", "length and a coding that is none", 400,
     post("Content-Length: 5", "Transfer-Encoding: identity")),
    ("9112 6.1", "length and an unknown coding", 400,
     post("Content-Length: 5", "Transfer-Encoding: xchunked")),
    ("9112 6.1", "length and an empty coding", 400, post("Content-Length: 5", "Transfer-Encoding:")),
    ("CVE-2019-20445", "length of 0 and chunked", 400,
     post("Content-Length: 0", "Transfer-Encoding: chunked", body=CHUNKS)),
    ("9112 6.3", "two lengths that differ", 400, post("Content-Length: 5", "Content-Length: 6")),
    ("9112 6.3", "two lengths that agree", 400, post("Content-Length: 5", "Content-Length: 5")),
    ("9112 6.3", "two lengths, other fields between", 400,
     post("Content-Length: 0", "A: b", "content-length: 5")),
    ("9112 6.3", "a list of lengths", 400, length("5, 6")),
    ("9110 8.6", "a list of the same length", 400, length("5, 5")),
    ("9110 8.6", "a list of one length", 400, length("5,")),
    ("9110 8.6", "a length with plus", 400, length("+5")),
    ("9110 8.6", "a length with minus", 400, length("-5")),
    ("9110 8.6", "a length of minus 0", 400, length("-0")),
    ("9110 8.6", "a length with a space inside", 400, length("5 5")),
    ("9110 8.6", "a length with a tab inside", 400, length("5\t5")),
    ("9110 8.6", "a length in hex", 400, length("0x5")),
    ("9110 8.6", "a length in hex without 0x", 400, length("a")),
    ("9110 8.6", "a length with a fraction", 400, length("5.0")),
    ("9110 8.6", "a length with an exponent", 400, length("5e0")),
    ("9110 8.6", "a length with an underscore", 400, length("1_0")),
    ("9110 8.6", "a length in words", 400, length("five")),
    ("9110 8.6", "a length in quotes", 400, length('"5"')),
    ("9110 8.6", "a length with a parameter", 400, length("5;q=1")),
    ("9110 8.6", "a length in other digits", 400, length("\xd9\xa5")),
    ("9110 8.6", "an empty length", 400, length("")),
    ("9110 8.6", "a length of blanks", 400, length(" \t ")),
    ("9110 8.6", "a length of 2^63", 400, length("9223372036854775808")),
    ("9110 8.6", "a length of 2^64", 400, length("18446744073709551616")),
    ("9110 8.6", "a length of 2^64 + 5", 400, length("18446744073709551621")),
    ("9110 8.6", "a length of 20 digits", 400, length("00000000000000000005")),
    ("9110 8.6", "a length of 60 nines", 400, length("9" * 60)),
    ("9110 5.5", "a length behind a vertical tab", 400, length("\x0b5")),
    ("9110 5.5", "a length with NUL", 400, length("5\x00")),
    ("9112 5.2", "a length on a line of its own", 400, length("\r\n 5")),
    ("CVE-2019-16276", "a space between length and colon", 400, post("Content-Length : 5")),
    ("CVE-2021-22959", "a tab between length and colon", 400, post("Content-Length\t: 5")),
    ("CVE-2024-27982", "a space before length", 400, post(" Content-Length: 5")),
    ("CVE-2015-5739", "length spelt with a space", 400, post("Content Length: 5")),
    ("3875 4.1.18", "length spelt with an underscore", 400, post("Content_Length: 5")),
    ("3875 4.1.18", "length, and spelt with an underscore", 400,
     post("Content-Length: 5", "CONTENT_LENGTH: 0")),
    ("9110 5.1", "NUL at the end of length's name", 400, post("Content-Length\x00: 5")),
    ("9110 15.5.14", "a length beyond client.max_body", 413, length("1025")),
    ("9110 15.5.14", "a length of 2^63 - 1", 413, length("9223372036854775807")),
]

CODINGS = [
    ("9112 6.1", "two codings", 400,
     post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNKS)),
    ("CVE-2020-8287", "two codings, the second identity", 400,
     post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=CHUNKS)),
    ("CVE-2020-8287", "two codings, the first unknown", 400,
     post("Transfer-Encoding: x", "Transfer-Encoding: chunked", body=CHUNKS)),
    ("9112 7.1", "chunked twice in a list", 400, coding(" chunked, chunked")),
    ("9112 6.3", "chunked that is not the last", 400, coding(" chunked, identity")),
    ("CVE-2022-32213", "chunked, then gzip", 400, coding(" chunked, gzip")),
    ("9112 7", "identity, then chunked", 400, coding(" identity, chunked")),
    ("9112 7", "identity", 400, coding(" identity")),
    ("9112 6.3", "gzip without chunked", 400, coding(" gzip")),
    ("9112 6.1", "gzip, then chunked", 501, coding(" gzip, chunked")),
    ("9112 6.3", "gzip, then chunked, then gzip", 400, coding(" gzip, chunked, gzip")),
    ("9112 7", "gzip with a parameter, then chunked", 400, coding(" gzip;q=1, chunked")),
    ("9112 6.1", "an unknown coding", 501, coding(" br")),
    ("9112 6.1", "xchunked", 501, coding(" xchunked")),
    ("9112 6.1", "chunkedx", 501, coding(" chunkedx")),
    ("9112 6.1", "chunke", 501, coding(" chunke")),
    ("9112 7", "chunked in quotes", 400, coding(' "chunked"')),
    ("9112 7", "chunked in single quotes", 501, coding(" 'chunked'")),
    ("9112 7", "chunked with a parameter", 400, coding(" chunked;q=1")),
    ("9112 7", "chunked with a semicolon", 400, coding(" chunked;")),
    ("9112 6.1", "chunked with a space inside", 400, coding(" chun ked")),
    ("9112 6.1", "an empty coding", 400, coding("")),
    ("9110 5.6.1", "an empty element before chunked", 400, coding(" , chunked")),
    ("9110 5.6.1", "an empty element behind chunked", 400, coding(" chunked,")),
    ("CVE-2019-18277", "a vertical tab before chunked", 400, coding(" \x0bchunked")),
    ("9110 5.5", "a form feed behind chunked", 400, coding(" chunked\x0c")),
    ("9110 5.5", "NUL behind chunked", 400, coding(" chunked\x00")),
    ("9110 5.5", "a byte beyond ASCII behind chunked", 400, coding(" chunked\xa0")),
    ("CVE-2022-32215", "chunked on a line of its own", 400, coding("\r\n chunked")),
    ("CVE-2022-32215", "a coding with a second line", 400, coding(" chunked\r\n , identity")),
    ("CVE-2023-30589", "a bare CR before chunked", 400, coding("\rchunked")),
    ("CVE-2022-32214", "a bare LF before chunked", 400, coding("\nchunked")),
    ("CVE-2019-16869", "a space between coding and colon", 400,
     post("Transfer-Encoding : chunked", body=CHUNKS)),
    ("CVE-2020-7238", "a space before the coding's name", 400,
     post(" Transfer-Encoding: chunked", body=CHUNKS)),
    ("9112 5", "a coding behind a bare CR in a value", 400,
     post("A: b\rTransfer-Encoding: chunked", body=CHUNKS)),
    ("9112 2.2", "a coding behind a bare LF in a value", 400,
     post("A: b\nTransfer-Encoding: chunked", body=CHUNKS)),
    ("3875 4.1.18", "the coding spelt with an underscore", 400,
     post("Transfer_Encoding: chunked", body=CHUNKS)),
    ("9112 6.1", "chunked in HTTP/1.0", 400, coding(" chunked", version="HTTP/1.0")),
    ("9112 6.1", "chunked in HTTP/1.0 that keeps alive", 400,
     post("Connection: keep-alive", "Transfer-Encoding: chunked", body=CHUNKS, version="HTTP/1.0")),
]

FIELDS = [
    ("9112 2.2", "a space before the first field", 400, line("GET /x HTTP/1.1\r\n A: b")),
    ("9112 2.2", "a tab before the first field", 400, line("GET /x HTTP/1.1\r\n\tA: b")),
    ("9112 2.2", "a line of blanks before the fields", 400, line("GET /x HTTP/1.1\r\n ")),
    ("9112 5.2", "a folded field", 400, get("A: b\r\n c")),
    ("9112 5.2", "a field folded with a tab", 400, get("A: b\r\n\tc")),
    ("9112 5.2", "a line of blanks behind a field", 400, get("A: b\r\n ")),
    ("9112 5", "a field without a colon", 400, get("A")),
    ("CVE-2019-20444", "a length without a colon", 400, get("Content-Length 5")),
    ("CVE-2023-25725", "an empty field name", 400, get(": x")),
    ("CVE-2023-25725", "an empty field name with a framing value", 400, get(":Content-Length: 5")),
    ("9110 5.1", "NUL in a name", 400, get("X\x00A: b")),
    ("9110 5.1", "a control in a name", 400, get("X\x1fA: b")),
    ("9110 5.1", "DEL in a name", 400, get("X\x7fA: b")),
    ("9110 5.1", "a space in a name", 400, get("X A: b")),
    ("9110 5.1", "a parenthesis in a name", 400, get("X(A): b")),
    ("9110 5.1", "a comma in a name", 400, get("X,A: b")),
    ("9110 5.1", "a slash in a name", 400, get("X/A: b")),
    ("9110 5.1", "an equals sign in a name", 400, get("X=A: b")),
    ("9110 5.1", "a quote in a name", 400, get('"X": b')),
    ("9110 5.1", "a byte beyond ASCII in a name", 400, get("X-\xc3\xa9: b")),
    ("9112 5.1", "a space before a colon", 400, get("A : b")),
    ("9112 5.1", "a tab before a colon", 400, get("A\t: b")),
    ("9110 5.5", "NUL in a value", 400, get("A: b\x00c")),
    ("9110 5.5", "a control in a value", 400, get("A: b\x01c")),
    ("9110 5.5", "a vertical tab in a value", 400, get("A: b\x0bc")),
    ("9110 5.5", "an escape in a value", 400, get("A: \x1b[0m")),
    ("9110 5.5", "DEL in a value", 400, get("A: b\x7fc")),
    ("9112 2.2", "a bare CR in a value", 400, get("A: b\rc")),
    ("CVE-2022-32214", "a bare LF behind a field", 400, get("A: b\nContent-Length: 5")),
    ("9110 5.5", "NUL where CR should be", 400, get("A: b\x00\nC: d")),
    ("9112 2.2", "bare LF everywhere", 400, "GET /x HTTP/1.1\nHost: app.test\n\n"),
    ("9112 2.2", "a bare LF behind the request line", 400, "GET /x HTTP/1.1\nHost: app.test\r\n\r\n"),
    ("9112 2.2", "a bare LF behind the last field", 400, "GET /x HTTP/1.1\r\nHost: app.test\n\r\n"),
    ("9112 2.2", "a bare LF as the empty line", 400, "GET /x HTTP/1.1\r\nHost: app.test\r\n\n"),
    ("9112 2.2", "a bare CR as the empty line", 400, "GET /x HTTP/1.1\r\nHost: app.test\r\n\r"),
    ("9112 2.2", "LF CR", 400, "GET /x HTTP/1.1\n\rHost: app.test\n\r\n\r"),
    ("9112 2.2", "a bare CR behind the request line", 400, "GET /x HTTP/1.1\rHost: app.test\r\n\r\n"),
    ("9112 2.2", "CR CR LF behind the request line", 400,
     "GET /x HTTP/1.1\r\r\nHost: app.test\r\n\r\n"),
    ("9112 2.2", "CR CR LF behind a field", 400, get("A: b\r")),
    ("9110 7.6.1", "a Connection option that is no token", 400, get("Connection: close;x")),
    ("9110 7.6.1", "Connection options without a comma", 400, get("Connection: close keep-alive")),
    ("9110 7.6.1", "a Connection option in quotes", 400, get('Connection: "close"')),
    ("9110 7.6.1", "33 Connection options", 400, get("Connection: " + "a," * 33)),
    ("9110 7.6.1", "33 Connection options in two fields", 400,
     get("Connection: " + "a," * 20, "Connection: " + "b," * 13)),
    ("9110 10.1.1", "an unknown expectation", 417, post("Content-Length: 5", "Expect: 200-ok")),
    ("9110 10.1.1", "an empty expectation", 417, post("Content-Length: 5", "Expect:")),
    ("9110 10.1.1", "two expectations", 417, post("Content-Length: 5", "Expect: 100-continue, x")),
    ("6585 5", "a head of 1 byte more than client.max_head", 431,
     get("A: " + "b" * (1025 - len(get("A: "))))),
    ("6585 5", "a head that does not end", 431, get("A: " + "b" * 2000)),
    ("6585 5", "21 fields", 431, get(*["A: b"] * 20)),
]

HOSTS = [
    ("9112 3.2", "no Host", 400, get(host=None)),
    ("9112 3.2", "two Hosts", 400, get("Host: other.test")),
    ("9112 3.2", "two equal Hosts", 400, get("Host: app.test")),
    ("9112 3.2", "two Hosts, spelt differently", 400, get("A: b", "hOsT: app.test")),
    ("9112 3.2", "two Hosts in HTTP/1.0", 400, get("Host: app.test", version="HTTP/1.0")),
    ("9112 3.2", "an invalid Host in HTTP/1.0", 400, get(host="app test", version="HTTP/1.0")),
    ("9112 3.2", "no Host but in the target", 400, get(target="http://app.test/x", host=None)),
    ("9112 3.2.2", "an invalid Host beside one in the target", 400,
     get(target="http://app.test/x", host="a b")),
    ("9110 4.2.1", "an empty Host", 400, host("")),
    ("9112 3.2", "a Host with a space", 400, host("app test")),
    ("9112 3.2", "a Host with a path", 400, host("app.test/x")),
    ("9112 3.2", "a Host with a query", 400, host("app.test?x")),
    ("9112 3.2", "a Host with a fragment", 400, host("app.test#x")),
    ("9112 3.2", "a Host with a scheme", 400, host("http://app.test")),
    ("9110 4.2.4", "a Host with a user", 400, host("user@app.test")),
    ("9112 3.2", "a list as Host", 400, host("app.test, other.test")),
    ("9112 3.2", "a list as Host, without blanks", 400, host("app.test,other.test")),
    ("9112 3.2", "a Host with a backslash", 400, host("app.test\\x")),
    ("9112 3.2", "a Host beyond ASCII", 400, host("caf\xc3\xa9.test")),
    ("3986 2.1", "a Host with half a percent code", 400, host("app%4")),
    ("3986 2.1", "a Host with a bad percent code", 400, host("app%zz")),
    ("3986 3.2.3", "a Host with a port in letters", 400, host("app.test:http")),
    ("3986 3.2.3", "a Host with a negative port", 400, host("app.test:-1")),
    ("3986 3.2.3", "a Host with two ports", 400, host("app.test:80:80")),
    ("3986 3.2.3", "a Host with a port beyond 65535", 400, host("app.test:65536")),
    ("3986 3.2.3", "a Host that is only a port", 400, host(":80")),
    ("3986 3.2.2", "a Host with an open bracket", 400, host("[::1")),
    ("3986 3.2.2", "a Host with empty brackets", 400, host("[]")),
    ("3986 3.2.2", "a Host with bytes behind the bracket", 400, host("[::1]x")),
    ("3986 3.2.2", "a Host of IPv6 without brackets", 400, host("::1")),
    ("3986 3.2.2", "a Host with nine groups", 400, host("[1:2:3:4:5:6:7:8:9]")),
    ("3986 3.2.2", "a Host with seven groups", 400, host("[1:2:3:4:5:6:7]")),
    ("3986 3.2.2", "a Host with two gaps", 400, host("[1::2::3]")),
    ("3986 3.2.2", "a Host with a colon before eight groups", 400, host("[:2:3:4:5:6:7:8]")),
    ("3986 3.2.2", "a Host with a colon behind eight groups", 400, host("[1:2:3:4:5:6:7:8:]")),
    ("3986 3.2.2", "a Host with five digits in a group", 400, host("[12345::]")),
    ("3986 3.2.2", "a Host with IPv4 in brackets", 400, host("[127.0.0.1]")),
    ("3986 3.2.2", "a Host with 256 in IPv6's IPv4", 400, host("[::256.0.0.1]")),
    ("6874 2", "a Host with a zone", 400, host("[fe80::1%25eth0]")),
]

TARGETS = [
    ("9110 4.2.4", "userinfo in the target", 400, to("http://u:p@app.test/x")),
    ("9110 4.2.4", "empty userinfo in the target", 400, to("http://@app.test/x")),
    ("CVE-2023-45539", "a fragment in the target", 400, to("/x#frag")),
    ("9112 3.2", "a fragment in absolute form", 400, to("http://app.test/x#frag")),
    ("9112 3.2", "only a fragment", 400, to("#frag")),
    ("3986 3.2.3", "a port beyond 65535 in the target", 400, to("http://app.test:99999/x")),
    ("3986 3.2.3", "a port in letters in the target", 400, to("http://app.test:x/")),
    ("3986 3.2.2", "a malformed IPv6 address in the target", 400, to("http://[::1/x")),
    ("9110 4.2.1", "absolute form without an authority", 400, to("http:///x")),
    ("9110 4.2.1", "absolute form with only a port", 400, to("http://:80/x")),
    ("9112 3.2.2", "absolute form with a backslash for the slash", 400,
     to("http://app.test\\@other.test/")),
    ("9112 3.2.2", "absolute form with one slash", 400, to("http:/app.test/x")),
    ("9112 3.2.2", "absolute form of another scheme", 400, to("ftp://app.test/x")),
    ("9112 3.2.2", "absolute form of a scheme like http", 400, to("httpx://app.test/x")),
    ("9112 3.2.3", "authority form", 400, to("app.test:80")),
    ("9112 3.2.4", "GET of an asterisk", 400, to("*")),
    ("9112 3.2.4", "two asterisks", 400, to("**", method="OPTIONS")),
    ("9112 3.2.4", "OPTIONS of what is no asterisk", 400, to("x", method="OPTIONS")),
    ("9112 3.2", "a target without a slash", 400, to("x")),
    ("9112 3.2", "only a query", 400, to("?x")),
    ("9112 3.2", "a backslash for the first slash", 400, to("\\x")),
    ("9112 3", "a space in the target", 400, to("/a b")),
    ("3986 2", "NUL in the target", 400, to("/a\x00b")),
    ("3986 2", "a tab in the target", 400, to("/a\tb")),
    ("3986 2", "a control in the target", 400, to("/a\x01b")),
    ("3986 2", "DEL in the target", 400, to("/a\x7fb")),
    ("3986 2", "a byte beyond ASCII in the target", 400, to("/caf\xc3\xa9")),
    ("9110 9.3.6", "CONNECT", 405, to("app.test:443", method="CONNECT")),
    ("9110 9.3.6", "CONNECT of a path", 405, to("/x", method="CONNECT")),
    ("9110 15.5.15", "a request line beyond client.max_head", 414, to("/" + "a" * 1020)),
]

LINES = [
    ("9112 3", "two spaces behind the method", 400, line("GET  /x HTTP/1.1")),
    ("9112 3", "two spaces before the version", 400, line("GET /x  HTTP/1.1")),
    ("9112 3", "a space behind the version", 400, line("GET /x HTTP/1.1 ")),
    ("9112 3", "a space before the method", 400, line(" GET /x HTTP/1.1")),
    ("9112 3", "tabs for spaces", 400, line("GET\t/x\tHTTP/1.1")),
    ("9112 3", "a vertical tab for a space", 400, line("GET /x\x0bHTTP/1.1")),
    ("9112 3", "bytes behind the version", 400, line("GET /x HTTP/1.1x")),
    ("9112 3", "no target", 400, line("GET HTTP/1.1")),
    ("9112 3", "an empty method", 400, line(" /x HTTP/1.1")),
    ("9110 9.1", "a parenthesis in the method", 400, line("G(T /x HTTP/1.1")),
    ("9110 9.1", "a byte beyond ASCII in the method", 400, line("G\xc3\x89T /x HTTP/1.1")),
    ("9112 2.2", "two empty lines before the request", 400, "\r\n\r\n" + get()),
    ("9112 2.2", "50 empty lines before the request", 400, "\r\n" * 50 + get()),
    ("9112 2.2", "LF before the request", 400, "\n" + get()),
    ("9112 2.2", "CR before the request", 400, "\r" + get()),
    ("1945 5.1", "HTTP/0.9", 400, "GET /x\r\n\r\n"),
    ("9112 3", "a request line without a version, and fields", 400, line("GET /x")),
    ("9112 2.3", "HTTP/1.10", 400, line("GET /x HTTP/1.10")),
    ("9112 2.3", "HTTP/01.1", 400, line("GET /x HTTP/01.1")),
    ("9112 2.3", "HTTP/1", 400, line("GET /x HTTP/1")),
    ("9112 2.3", "HTTP/1,1", 400, line("GET /x HTTP/1,1")),
    ("9112 2.3", "HTTP/1.x", 400, line("GET /x HTTP/1.x")),
    ("9112 2.3", "HTTP/x.1", 400, line("GET /x HTTP/x.1")),
    ("9112 2.3", "http in small letters", 400, line("GET /x http/1.1")),
    ("9112 2.3", "another protocol's name", 400, line("GET /x HTTPS/1.1")),
    ("9110 15.6.6", "HTTP/0.9, written out", 505, line("GET /x HTTP/0.9")),
    ("9110 15.6.6", "HTTP/1.2", 505, line("GET /x HTTP/1.2")),
    ("9110 15.6.6", "HTTP/2.0", 505, line("GET /x HTTP/2.0")),
    ("9110 15.6.6", "HTTP/3.1", 505, line("GET /x HTTP/3.1")),
    ("9113 3.4", "the HTTP/2 preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("8446 5.1", "a TLS hello", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x00" * 50),
    ("4253 4.2", "SSH", 400, "SSH-2.0-x\r\n"),
    ("proxy protocol 2.1", "the proxy protocol in words", 400,
     "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    ("proxy protocol 2.2", "the proxy protocol in bytes", 400,
     "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + "\x00" * 12),
]

BODIES = [
    ("9112 7.1", "a size with plus", 400, chunks("+5\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "a size with minus", 400, chunks("-5\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "a size with 0x", 400, chunks("0x5\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "a size with h", 400, chunks("5h\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "a space before a size", 400, chunks(" 5\r\nhello\r\n0\r\n\r\n")),
    ("CVE-2022-24801", "a space behind a size", 400, chunks("5 \r\nhello\r\n0\r\n\r\n")),
    ("CVE-2022-24801", "a tab behind a size", 400, chunks("5\t\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "an underscore in a size", 400, chunks("0_5\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "a size in words", 400, chunks("five\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "no size", 400, chunks("\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "no size but an extension", 400, chunks(";a=b\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "NUL behind a size", 400, chunks("5\x00\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "a size in other digits", 400, chunks("\xd9\xa5\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "a size of 16 digits", 400, chunks("0000000000000005\r\nhello\r\n0\r\n\r\n")),
    ("CVE-2013-2028", "a size of 17 digits", 400, chunks("10000000000000005\r\nhello\r\n0\r\n\r\n")),
    ("CVE-2013-2028", "a size that wraps", 400, chunks("fffffffffffffffb\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1.2", "400 zeros before a size", 400, chunks("0" * 400 + "5\r\nhello\r\n0\r\n\r\n")),
    ("CVE-2025-22871", "a bare LF behind a size", 400, chunks("5\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "a bare CR behind a size", 400, chunks("5\rhello\r\n0\r\n\r\n")),
    ("9112 7.1", "CR CR LF behind a size", 400, chunks("5\r\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "a comma behind a size", 400, chunks("5,5\r\nhello\r\n0\r\n\r\n")),
    ("CVE-2025-58056", "a bare LF in an extension", 400, chunks("5;a\nhello\r\n0\r\n\r\n")),
    ("9112 7.1.1", "a bare CR in an extension", 400, chunks("5;a\rb\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1.1", "NUL in an extension", 400, chunks("5;a\x00b\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1.1", "an extension without a name", 400, chunks("5;\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1.1", "an extension of only a value", 400, chunks("5;=b\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1.1", "an extension with an empty value", 400, chunks("5;a=\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1.1", "an extension with two values", 400, chunks("5;a=b=c\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1.1", "an extension with a space", 400, chunks("5; a=b\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1.1", "an extension with an open quote", 400, chunks('5;a="b\r\nhello\r\n0\r\n\r\n')),
    ("9112 7.1.1", "a bare LF in quotes", 400, chunks('5;a="\n"\r\nhello\r\n0\r\n\r\n')),
    ("9112 7.1.1", "an escaped CR in quotes", 400, chunks('5;a="\\\r\n"\r\nhello\r\n0\r\n\r\n')),
    ("9112 7.1.1", "bytes behind the quotes", 400, chunks('5;a="b"c\r\nhello\r\n0\r\n\r\n')),
    ("CVE-2023-39326", "an extension of 257 bytes", 400,
     chunks("5;" + "a" * 256 + "\r\nhello\r\n0\r\n\r\n")),
    ("CVE-2023-39326", "an endless extension", 400, chunks("5;" + "a" * 20_000)),
    ("CVE-2023-39326", "more extension than content", 400,
     chunks(("1;" + "a" * 200 + "\r\nx\r\n") * 90)),
    ("9112 7.1", "data longer than its size", 400, chunks("5\r\nhello!\r\n0\r\n\r\n")),
    ("9112 7.1", "data shorter than its size", 400, chunks("6\r\nhello\r\n0\r\n\r\n")),
    ("9112 7.1", "no CRLF behind data", 400, chunks("5\r\nhello0\r\n\r\n")),
    ("9112 7.1", "LF behind data", 400, chunks("5\r\nhello\n0\r\n\r\n")),
    ("9112 7.1", "CR behind data", 400, chunks("5\r\nhello\r0\r\n\r\n")),
    ("9112 7.1", "other bytes behind data", 400, chunks("5\r\nhelloXX0\r\n\r\n")),
    ("9112 7.1", "LF behind the last size", 400, chunks("5\r\nhello\r\n0\n\n")),
    ("9112 7.1", "LF as the last line", 400, chunks("5\r\nhello\r\n0\r\n\n")),
    ("9112 7.1", "CR as the last line", 400, chunks("5\r\nhello\r\n0\r\n\r")),
    ("9112 7.1", "no last line", 400, chunks("5\r\nhello\r\n0\r\n")),
    ("9110 15.5.14", "chunks beyond client.max_body", 413,
     chunks("401\r\n" + "x" * 0x401 + "\r\n0\r\n\r\n")),
    ("9110 6.5.1", "a trailer that frames by length", 400, trailer("Content-Length: 5")),
    ("9110 6.5.1", "a trailer that frames by coding", 400, trailer("Transfer-Encoding: chunked")),
    ("9110 6.5.1", "a trailer that routes", 400, trailer("Host: other.test")),
    ("9110 6.5.1", "a trailer that authenticates", 400, trailer("Authorization: Basic eDp5")),
    ("9110 6.5.1", "a trailer that is a cookie", 400, trailer("Cookie: a=b")),
    ("9110 6.5.1", "a trailer that tells the client's address", 400,
     trailer("X-Forwarded-For: 6.6.6.6")),
    ("9110 6.5.1", "a trailer of the connection", 400, trailer("Connection: close")),
    ("9112 9.6", "a trailer that Connection: close may name", 400, trailer("Close: x")),
    ("9110 6.5.1", "a trailer that says how to read the content", 400,
     trailer("Content-Type: text/html")),
    ("9110 6.5.1", "a condition as a trailer", 400, trailer("If-Match: x")),
    ("9110 7.6.1", "a trailer that Connection names", 400,
     post("Connection: keep-alive, X-Sum", "Transfer-Encoding: chunked", body="0\r\nx-sum: 1\r\n\r\n"),
     chunks("0\r\nx-sum: 1\r\n\r\n")),
    ("3875 4.1.18", "a trailer that frames, with an underscore", 400, trailer("Content_Length: 5")),
    ("9110 6.5.1", "a forbidden trailer behind a good one", 400, trailer("A: b\r\nHOST: other.test")),
    ("9112 5.1", "a space before a trailer's colon", 400, trailer("A : b")),
    ("9112 5.2", "a folded trailer", 400, trailer("A: b\r\n c")),
    ("9112 7.1.2", "a space before the first trailer", 400, trailer(" A: b")),
    ("9112 5", "a trailer without a colon", 400, trailer("A")),
    ("CVE-2023-25725", "a trailer without a name", 400, trailer(": b")),
    ("9110 5.1", "a byte beyond ASCII in a trailer's name", 400, trailer("\xc3\xa9: b")),
    ("9110 5.5", "NUL in a trailer", 400, trailer("A: \x00")),
    ("9112 2.2", "a bare LF in a trailer", 400, trailer("A: b\nC: d")),
    ("9112 2.2", "a bare CR in a trailer", 400, trailer("A: b\rC: d")),
    ("9112 7.1.2", "a request as a trailer", 400, trailer("GET /evil HTTP/1.1")),
    ("9112 7.1.2", "endless trailers", 400, trailer("A: b\r\n" * 1400)),
]

# fmt: on

ROWS = [Refused(*row) for row in LENGTHS + CODINGS + FIELDS + HOSTS + TARGETS + LINES]
ROWS += [Refused(*row)._replace(body=True) for row in BODIES]


def test_there_are_enough_rows_and_each_has_a_name():
    names = [row.name for row in ROWS]
    assert len(names) >= 250
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]


def exchanges(way):
    for row in ROWS:
        raw = row.raw.encode("latin-1")
        for pieces in feeding.WAYS[way](raw + NEXT, len(raw)):
            yield Exchange(row, pieces)


def judge(ex):
    answers, cut = ex.responses()
    assert len(answers) == 1 and cut is None, "not just one answer"
    answer = answers[0]
    assert answer.status == ex.row.status, f"{answer.status}, not {ex.row.status}"
    assert answer.get("Weir-Reason") and answer.has("Connection", "close")
    assert ex.row.body or not ex.calls, "something has reached the app"
    assert not any(call.complete for call in ex.calls), "it became complete"
    sent = with_added(ex.row.becomes or ex.row.raw) + NEXT
    assert all(sent.startswith(raw) for raw in ex.received()), "the app has got other bytes"
    assert len(ex.calls) <= 1


@pytest.mark.seconds(240)
@pytest.mark.parametrize("way", feeding.WAYS)
def test_what_is_ambiguous_is_refused_and_does_not_reach_the_app(world, way):
    with feeding.Feeder(world, **LIMITS) as feeder:
        feeding.check(feeder, list(exchanges(way)), judge)
