"""The strict reader that judges weir, judged itself by a table that a person can check."""

import pytest

from support import wire
from support.reader import Requests, Responses

HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


def post(fields, body=b""):
    return HEAD + fields + b"\r\n" + body


def get(target=b"/x", fields=b"Host: a\r\n", method=b"GET", version=b"HTTP/1.1"):
    return method + b" " + target + b" " + version + b"\r\n" + fields + b"\r\n"


def chunks(body):
    return post(b"Transfer-Encoding: chunked\r\n", body)


# Bytes, and the (path, host, body) of each request in them.
READ = {
    "a GET": (get(), [(b"/x", b"a", b"")]),
    "two": (get() + get(b"/y"), [(b"/x", b"a", b""), (b"/y", b"a", b"")]),
    "blank lines before": (b"\r\n\r\n" + get(), [(b"/x", b"a", b"")]),
    "a body by length": (post(b"Content-Length: 5\r\n", b"hello") + get(), [(b"/x", b"a", b"hello"), (b"/x", b"a", b"")]),
    "a length with zeros": (post(b"content-length:0005  \r\n", b"hello"), [(b"/x", b"a", b"hello")]),
    "chunks": (chunks(b'5;a=b ; c = "\\"d"\r\nhello\r\n00A\r\n0123456789\r\n0;x\r\nT: v\r\n\r\n'), [(b"/x", b"a", b"hello0123456789")]),
    "what follows a close": (get(fields=b"Host: a\r\nConnection: x, Close\r\n") + b"\0", [(b"/x", b"a", b"")]),
    "HTTP/1.0 closes": (get(version=b"HTTP/1.0", fields=b"") + b"\0", [(b"/x", None, b"")]),
    "HTTP/1.0 kept": (get(version=b"HTTP/1.0", fields=b"Connection: keep-alive\r\n") * 2, [(b"/x", None, b"")] * 2),
    "HTTP/1.2 is 1.1": (get(version=b"HTTP/1.2"), [(b"/x", b"a", b"")]),
    "absolute form": (get(b"HTTP://b:80?q"), [(b"/?q", b"b:80", b"")]),
    "asterisk form": (get(b"*", method=b"OPTIONS"), [(b"*", b"a", b"")]),
    "OPTIONS of a host": (get(b"http://b", method=b"OPTIONS"), [(b"*", b"b", b"")]),
    "IPv6": (get(fields=b"Host: [::ffff:1.2.3.4]:\r\n"), [(b"/x", b"[::ffff:1.2.3.4]:", b"")]),
    "odd characters in a target": (get(b'/|{}"\\%zz?[]'), [(b'/|{}"\\%zz?[]', b"a", b"")]),
}


@pytest.mark.parametrize("row", READ)
def test_what_has_one_reading_is_read(row):
    raw, want = READ[row]
    for cut in (len(raw), 1, 3, 7):
        stream = Requests()
        for at in range(0, len(raw), cut):
            stream.feed(raw[at : at + cut])
        assert stream.problem is None and stream.is_clean()
        assert [(m.path, m.host, bytes(m.body)) for m in stream.done] == want


TE, CL = b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n"

# Bytes, and the section that says why they have no reading.
NOT_READ = {
    "both framings": (post(TE + CL), "9112 6.3"),
    "two lengths": (post(CL + CL), "9112 6.3"),
    "two codings": (post(TE + TE), "9112 6.3"),
    "a coding and an empty one": (post(TE + b"Transfer-Encoding:\r\n"), "9112 6.3"),
    "gzip": (post(b"Transfer-Encoding: gzip, chunked\r\n"), "9112 6.3"),
    "chunked in HTTP/1.0": (get(fields=TE, version=b"HTTP/1.0"), "9112 6.1"),
    "a signed length": (post(b"Content-Length: +5\r\n"), "9110 8.6"),
    "a listed length": (post(b"Content-Length: 5, 5\r\n"), "9110 8.6"),
    "an empty length": (post(b"Content-Length:\r\n"), "9110 8.6"),
    "a length of 2^63": (post(b"Content-Length: 9223372036854775808\r\n"), "9110 8.6"),
    "a space before the colon": (post(b"Content-Length : 5\r\n"), "9112 5"),
    "a fold": (post(b"X: a\r\n b\r\n"), "9112 5"),
    "a space before the first field": (get(fields=b" Host: a\r\n"), "9112 5"),
    "no colon": (post(b"X\r\n"), "9112 5"),
    "no name": (post(b": x\r\n"), "9112 5"),
    "NUL": (post(b"X: \0\r\n"), "9112 5"),
    "a bare LF": (post(b"X: a\nY: b\r\n"), "9112 5"),
    "a bare CR": (post(b"X: a\rY: b\r\n"), "9112 5"),
    "CR CR LF": (post(b"X: a\r\r\n"), "9112 5"),
    "two spaces": (get(b" /x"), "9112 3"),
    "a tab for a space": (b"GET\t/x HTTP/1.1\r\nHost: a\r\n\r\n", "9112 3"),
    "HTTP/0.9": (b"GET /x\r\n\r\n", "9112 3"),
    "HTTP/2.0": (get(version=b"HTTP/2.0"), "9112 2.3"),
    "small letters": (get(version=b"http/1.1"), "9112 3"),
    "no Host": (get(fields=b""), "9112 3.2"),
    "two Hosts": (get(fields=b"Host: a\r\nhost: a\r\n"), "9112 3.2"),
    "an empty Host": (get(fields=b"Host:\r\n"), "9112 3.2"),
    "a joined Host": (get(fields=b"Host: a,b\r\n"), "9112 3.2"),
    "a Host with a user": (get(fields=b"Host: u@a\r\n"), "9112 3.2"),
    "a port out of range": (get(fields=b"Host: a:65536\r\n"), "9112 3.2"),
    "half an IPv6": (get(fields=b"Host: [::1\r\n"), "9112 3.2"),
    "userinfo": (get(b"http://u@a/x"), "9110 4.2"),
    "no authority": (get(b"http:///x"), "9110 4.2"),
    "a fragment": (get(b"/x#y"), "9112 3.2"),
    "an asterisk": (get(b"*"), "9112 3.2.4"),
    "another scheme": (get(b"ftp://a/x"), "9112 3.2"),
    "CONNECT": (get(b"a:80", method=b"CONNECT"), "9110 9.3.6"),
    "a signed chunk": (chunks(b"+5\r\nhello\r\n0\r\n\r\n"), "9112 7.1"),
    "a chunk in 0x": (chunks(b"0x5\r\nhello\r\n0\r\n\r\n"), "9112 7.1"),
    "a space after a size": (chunks(b"5 \r\nhello\r\n0\r\n\r\n"), "9112 7.1"),
    "an empty extension": (chunks(b"5;\r\nhello\r\n0\r\n\r\n"), "9112 7.1"),
    "an open quote": (chunks(b'5;a="b\r\nhello\r\n0\r\n\r\n'), "9112 7.1"),
    "LF in an extension": (chunks(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), "9112 7.1"),
    "a chunk of 2^63": (chunks(b"8000000000000000\r\n"), "9112 7.1"),
    "more data than said": (chunks(b"5\r\nhello!\r\n0\r\n\r\n"), "9112 7.1"),
    "a trailer that frames": (chunks(b"0\r\nContent-Length: 5\r\n\r\n"), "9110 6.5.1"),
    "a trailer that routes": (chunks(b"0\r\nHOST: a\r\n\r\n"), "9110 6.5.1"),
    "a folded trailer": (chunks(b"0\r\nX: a\r\n b\r\n\r\n"), "9112 5"),
}


@pytest.mark.parametrize("row", NOT_READ)
def test_what_has_none_or_two_is_named_with_its_section(row):
    raw, section = NOT_READ[row]
    stream = Requests().feed(get() + raw)
    assert len(stream.done) == 1
    assert stream.problem and stream.problem.section == "RFC " + section


@pytest.mark.parametrize("raw", [post(CL, b"hello"), chunks(b"5;a\r\nhello\r\n0\r\nT: v\r\n\r\n")])
def test_what_is_cut_is_neither_complete_nor_clean(raw):
    for n in range(1, len(raw)):
        stream = Requests().feed(raw[:n])
        assert not stream.done and not stream.is_clean() and stream.problem is None


# Method, bytes and how they ended, and what (status, body) was read.
ANSWERS = [
    ("GET", OK + CL + b"\r\nhello", [(200, b"hello")]),
    ("GET", OK + TE + b"\r\n5\r\nhello\r\n0\r\n\r\n", [(200, b"hello")]),
    ("GET", OK + b"\r\nhello", [(200, b"hello")]),
    ("GET", b"HTTP/1.1 103 \r\nX: y\r\n\r\n" + OK + CL + b"\r\nhello", [(200, b"hello")]),
    ("GET", b"HTTP/1.0 204\r\n\r\n", [(204, b"")]),
    ("GET", b"HTTP/1.1 304 Not Modified\r\n" + CL + b"\r\n", [(304, b"")]),
    ("HEAD", OK + TE + b"\r\n", [(200, b"")]),
    ("GET", b"HTTP/1.1 999 x\r\n" + CL + b"\r\nhello", [(999, b"hello")]),
]


@pytest.mark.parametrize("method, raw, want", ANSWERS)
def test_an_answer_is_read_as_its_request_and_status_say(method, raw, want):
    for piece in (5000, 1):
        stream = Responses([method.encode()])
        for part in wire.pieces(raw, largest=piece):
            stream.feed(part)
        stream.end()
        assert [(m.status, bytes(m.body)) for m in stream.done] == want
        assert stream.is_clean()


@pytest.mark.parametrize(
    "raw",
    [OK + CL + TE + b"\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 099 OK\r\n\r\n", b"HTTP/1.1  200 OK\r\n\r\n",
     b"HTTP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 101 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n" + TE + b"\r\n",
     OK + CL + b"\r\nhello" + OK + b"\r\n", b"HTTP/1.1 200 O\x01\r\n\r\n", b"\r\n" + OK + b"\r\n"],
)
def test_an_answer_without_one_reading_is_a_problem(raw):
    assert Responses([b"GET"]).feed(raw).end().problem
