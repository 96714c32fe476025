"""What an attacker does to a message: to its parts, while it is a Draft, or to its bytes.

The framing attacks are drawn most often. Many of these leave the message valid; that is for the
strict reader to say.
"""

from .grammar import CRLF, INTERIM, chunks, content, frame, smuggled

# ---- to a draft ----------------------------------------------------------------------------------

LENGTHS = (
    b"+%d", b"-%d", b"0x%x", b"%d.0", b"%de0", b"%d, %d", b"%d,%d", b"%d %d", b"\x0b%d", b"%d\x00",
    b"\r\n %d", b"00000000000000000000%d", b"%d;", b"'%d'", b'"%d"', b"%d_0",
    b"18446744073709551616", b"9223372036854775808", b"9223372036854775807",
    b"18446744073709551621", b"99999999999999999999", b"", b"five", b"\xb2", b"%d\t,", b",%d",
    b"%d\r\nContent-Length: 0", b"-0", b"%d\x0c", b"\xa0%d",
)  # fmt: skip
CODINGS = (
    b"chunked, chunked", b"identity", b"chunked, identity", b"identity, chunked", b"gzip, chunked",
    b"xchunked", b"chunkedx", b'"chunked"', b"chunked;q=1", b"", b"\x0bchunked", b"chunked\x0c",
    b"chunked\x00", b"\r\n chunked", b"chunked\r\n , identity", b"\rchunked", b"chunked\r",
    b", chunked", b"chunked,", b"chunked ,", b"cHuNkEd", b"chunk ed", b"chunked\xa0",
    b"\x00chunked", b"'chunked'", b"chunked\tx", b"chun\xc3\xa7ked", b"[chunked]", b"x\nchunked",
)  # fmt: skip
CODING_LINES = (
    b"Transfer-Encoding : chunked", b" Transfer-Encoding: chunked", b"Transfer-Encoding\t: chunked",
    b"X-B: a\r\n Transfer-Encoding: chunked", b"X-B: a\rTransfer-Encoding: chunked",
    b"X-B: a\nTransfer-Encoding: chunked", b"Transfer_Encoding: chunked",
    b"Transfer-Encoding:chunked", b"Transfer-Encoding", b"Transfer-Encoding\x00: chunked",
    b"\x00Transfer-Encoding: chunked", b"Transfer\xe2\x80\x90Encoding: chunked",
    b"Transfer-Encoding:: chunked", b":Transfer-Encoding: chunked",
    b"Transfer-Encoding\x0b: chunked", b"Transfer-Encoding:\n chunked", b"Content-Length : 5",
    b"Content_Length: 5", b" Content-Length: 5", b"Content-Length\x00: 5", b"Content-Length:\r5",
    b"Content Length: 5", b"Content-Length: 5\nX: y", b"Content-Length\r\n: 5",
)  # fmt: skip
HOST_VALUES = (
    b"app test", b"app.test/x", b"u@app.test", b"a,b", b"app.test:http", b"app.test:99999", b"[::1",
    b"::1", b"a?x", b"", b"a#b", b"a\x00b", b"[::1]x", b"[::1]:", b"a:1:2", b"\xe9.test", b"a\\b",
    b"[1::2::3]", b"[::ffff:1.2.3.400]", b"%zz", b"[fe80::1%25eth0]", b"[v.x]", b"[::1]:65536",
    b"[1:2:3:4:5:6:7:8:9]", b"[12345::]", b"a:-1", b"a:+80", b"1.2.3.4.5", b"[::1.2.3.4]",
    b"[1:2:3:4:5:6:1.2.3.4]", b"[::]", b"[]", b"a;b", b"a:000080", b"[1:2:3:4:5:6:7::]",
    b"[::01.2.3.4]",
)  # fmt: skip
BAD_TARGETS = (
    b"http://u:p@app.test/%s", b"/%s#frag", b"http://app.test:99999/%s", b"http:///%s", b"*",
    b"app.test:80", b"%s", b"/a b/%s", b"/\x00%s", b"/\t%s", b"/\xe9%s", b"ftp://app.test/%s",
    b"http:/app.test/%s", b"http:app.test/%s", b"http://app.test\\@x/%s", b"//app.test@x/%s",
    b"\\\\x/%s", b"/%s\x7f", b"", b"?%s", b"http://app.test#/%s", b"http://[::1/%s",
    b"https://u@/%s", b"http://a,b/%s", b"http://?%s", b"/%s\x0b", b"ws://app.test/%s",
    b"http://app.test:/%s", b"http://app.test/%s#", b"/%s\r", b"https://app.test:443?%s",
    b"HtTpS://app.test/%s", b"urn:%s", b"http://%%41/%s", b"http://%%4/%s", b"*/%s", b"http://*/%s",
)  # fmt: skip
BAD_METHODS = (b"CONNECT", b"OPTIONS", b"G(T", b"", b" GET", b"GET ", b"GET\t", b"PRI", b"G\x00T")
VERSIONS = (
    b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1",
    b"HTTP/1,1", b"http/1.1", b"HTTPS/1.1", b"HTTP/1.1 ", b" HTTP/1.1", b"HTTP/1.1\x00",
    b"HTTP/3.1", b"HTTP/1.9", b"", b"HTTP/1.\xb1", b"HTTP /1.1",
)  # fmt: skip
BAD_LINES = (
    b"X-B", b": x", b"X-B : y", b"X B: y", b"X-B\x00: y", b"X-B: a\x00b", b"X-B: a\r\n b",
    b"X-B: a\r\n\tb", b"X-B: \x01", b"X-B: \x7f", b"X(B): y", b"X-\xc3\xa9: b", b"X-B: a\rb",
    b"X-B: a\nb", b"\tX-B: y", b"", b" ", b"\t", b"X-B: a\r", b"X-B: a\x0bb", b"X-B:\x0c",
    b"Host: app.test", b"Host : app.test", b"Connection: close", b"Connection: Transfer-Encoding",
    b"Expect: 200-ok", b"=: x", b'"X": y', b"X-B\r: y", b"X-B\n: y", b"X,B: y", b"@: y",
    b"X-B: y\r\nGET /smuggled/ HTTP/1.1", b"Upgrade: websocket", b"Connection: upgrade",
    b"Connection: " + b"x," * 40, b"Max-Forwards: x", b"Max-Forwards: 99999999999999999999",
    b"TE: chunked", b'Connection: "close"', b"Connection: close\x0b", b"X_Forwarded_Host: x",
    b"Proxy_Authorization: x", b"Content-Length-X: 5",
)  # fmt: skip


def fitting(rng, draft, form):
    """A length in this form: the right one, or another near it."""
    n = len(draft.body) + rng.choice((0, 0, 0, 0, -1, 1, 5))
    return form.replace(b"%d", b"%d" % n).replace(b"%x", b"%x" % max(0, n))


def spoil_length(rng, draft, token):
    line = b"Content-Length: " + fitting(rng, draft, rng.choice(LENGTHS))
    at = draft.index(b"content-length")
    if at is not None and rng.random() < 0.7:
        draft.fields[at] = line
    else:
        draft.add(rng, line)
    if not draft.body:
        draft.body = smuggled(token)


def spoil_coding(rng, draft, token):
    value = rng.choice(CODINGS)
    line = b"Transfer-Encoding:" + rng.choice((b" ", b"", b"\t")) + value
    if rng.random() < 0.3:
        line = rng.choice(CODING_LINES)
    at = draft.index(b"transfer-encoding")
    if at is None:
        draft.body = chunks(rng, smuggled(token)) if rng.random() < 0.7 else draft.body
    if at is not None and rng.random() < 0.6:
        draft.fields[at] = line
    else:
        draft.add(rng, line)


def frame_twice(rng, draft, token):
    """Both framings, or one of them two times: CL.TE, TE.CL, TE.TE and CL.CL."""
    if draft.index(b"transfer-encoding") is None and draft.index(b"content-length") is None:
        frame(rng, draft, content(rng, token))
    if rng.random() < 0.5:
        value = fitting(rng, draft, rng.choice((b"%d", b"%d", b"0", b"3")))
        draft.add(rng, b"Content-Length: " + value)
    else:
        draft.add(rng, b"Transfer-Encoding:" + rng.choice((b" chunked", b" identity", b"")))


def lie_about_length(rng, draft, token):
    at = draft.index(b"content-length")
    n = len(draft.body)
    value = b"%d" % rng.choice((0, 1, 5, n + 1, max(0, n - 1)))
    if at is not None:
        draft.fields[at] = b"Content-Length: " + value
    elif rng.random() < 0.5:
        draft.body += smuggled(token)
    else:
        draft.add(rng, b"Content-Length: " + value)


def spoil_host(rng, draft, token):
    at = draft.index(b"host")
    what = rng.random()
    if what < 0.6 or at is None:
        draft.add(rng, b"Host: " + rng.choice(HOST_VALUES))
        if at is not None and what < 0.5:
            draft.fields.pop(draft.index(b"host"))
    elif what < 0.8:
        draft.fields.pop(at)
    else:
        draft.add(rng, draft.fields[at])


def spoil_target(rng, draft, token):
    draft.start[1] = rng.choice(BAD_TARGETS).replace(b"%s", token).replace(b"%%", b"%")
    if rng.random() < 0.2:
        draft.start[0] = rng.choice(BAD_METHODS)


def spoil_version(rng, draft, token):
    draft.start[draft.version] = rng.choice(VERSIONS)


def spoil_fields(rng, draft, token):
    draft.add(rng, rng.choice(BAD_LINES))


def repeat_field(rng, draft, token):
    line = rng.choice(draft.fields)
    for _ in range(rng.choice((1, 1, 1, 1, 110))):
        draft.add(rng, rng.choice((line, line.upper(), line.lower(), line.replace(b"-", b"_"))))


BLANKS = (CRLF, CRLF, CRLF * 2, CRLF * 9, CRLF * 50, b"\n", b"\r", b" ", b"\r\r\n")


def blank_lines(rng, draft, token):
    draft.start[0] = rng.choice(BLANKS) + draft.start[0]


CHUNK_SIZES = (
    b"+%x", b"-%x", b"0x%x", b" %x", b"%x ", b"%x\t", b"0_%x", b"%xg", b"", b"1000000000000000%x",
    b"ffffffffffffffff%x", b"%x\n", b"%x\r", b"\x0b%x", b"%x\x00", b"0000000000000000%x", b"\xb2%x",
    b"%x%%", b"%x.0", b"7fffffffffffffff", b"8000000000000000", b"\x00%x",
)  # fmt: skip
CHUNK_TAILS = (
    b";a\nb", b";a\rb", b";a\x00b", b';a="b', b';a="\r\n', b";", b";;", b"; a", b" ;a", b"\t;\ta",
    b";=b", b";a=", b";a=b c", b";a b", b';a="b"c', b";" + b"e" * 5000, b"\n", b" x", b",a",
    b"a;b", b';a="\\', b";\xe9", b";a=\xe9", b';a="\xe9"', b";a\x7f", b';a="\x01"',
)  # fmt: skip
CHUNK_ENDS = (
    b"\n", b"\r", b"", b"XX", b"\r\r\n", b"\n\r", b"\r\n\r\n", b"\n\n", b"\x00\r\n", b" \r\n",
)  # fmt: skip
LAST_CHUNKS = (
    b"0\n", b"0", b"", b"00\r\n", b"-0\r\n", b"0 \r\n", b"0;a\r\n", b"0\r", b"0\r\r\n", b"0\r\n\n",
    b"0x0\r\n", b"0" * 300 + CRLF,
)  # fmt: skip
CHUNK_TRAILERS = (
    b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: x", b"Authorization: x",
    b"X-B : y", b"X-B: a\r\n b", b"X-B", b": x", b"X-B: \x00", b"X-B: a\n", b"Trailer: x",
    b"Connection: close", b"Cookie: a=b", b"Set-Cookie: a=b", b"Content_Length: 5",
    b"X-B: " + b"v" * 9000, b"TE: x", b"Upgrade: x", b"X-Forwarded-For: 6.6.6.6",
    b"Proxy-Authorization: x", b"Content-Type: x", b"Expect: 100-continue", b" x: y",
    b"Max-Forwards: 0", b"Via: 1.1 x", b"Transfer_Encoding: chunked", b"X-Request-Id: x",
    b"Keep-Alive: x", b"Forwarded: for=x", b"Range: bytes=0-1", b"Cache-Control: x", b"Proxy: x",
    b"Content-Encoding: gzip", b"WWW-Authenticate: x", b"X-B: a\rb", b"Age: 1", b"Date: x",
    b"Vary: *", b"If-Match: x",
    b"Content-Digest: x", b"X-A: 1", b"close: x", b"Location: /x", b"Content-Language: x",
    b"Authentication-Info: x",
)  # fmt: skip


def spoil_chunks(rng, draft, token):
    """A chunked body with one thing wrong, or odd, at one place."""
    at = draft.index(b"transfer-encoding")
    if at is None:
        if (length := draft.index(b"content-length")) is not None:
            draft.fields.pop(length)
        draft.add(rng, b"Transfer-Encoding: chunked")
    data = smuggled(token) if rng.random() < 0.5 else rng.randbytes(rng.choice((1, 5, 30)))
    size, tail, end, last, trailers = b"%x", b"", CRLF, b"0\r\n", b""
    place = rng.randrange(6)
    if place == 0:
        size = rng.choice(CHUNK_SIZES)
    elif place == 1:
        tail = rng.choice(CHUNK_TAILS)
    elif place == 2:
        end = rng.choice(CHUNK_ENDS)
    elif place == 3:
        last = rng.choice(LAST_CHUNKS)
    elif place == 4:
        trailers = rng.choice(CHUNK_TRAILERS) + CRLF
    else:
        data = data[: rng.randrange(len(data) + 1)] + rng.choice((b"", b"x" * 7))
        size = b"%x" % (len(data) + rng.choice((-1, 1, 2, 16))) if data else b"1"
    first = size.replace(b"%x", b"%x" % len(data)).replace(b"%%", b"%") + tail + CRLF + data + end
    again = first if place == 1 and rng.random() < 0.05 else b""
    draft.body = first + again * 40 + last + trailers + CRLF


ALIKE = (spoil_length,) * 4 + (spoil_coding,) * 4 + (frame_twice,) * 4 + (lie_about_length,) * 3
ALIKE += (spoil_chunks,) * 7 + (spoil_version,) * 2 + (spoil_fields,) * 4
ALIKE += (repeat_field, blank_lines)
TO_DRAFTS = ALIKE + (spoil_coding, *(spoil_host,) * 3, *(spoil_target,) * 3)

# ---- to an answer only ---------------------------------------------------------------------------
STATUS_WORDS = (
    b"20", b"2000", b"000", b"099", b"600", b"999", b"2xx", b"+20", b" 200", b"200 ", b"", b"200\t",
    b"101", b"100", b"103", b"-20", b"0xC8", b"204", b"304", b"205", b"102", b"\xb2\x30\x30",
)  # fmt: skip


REASONS = (
    b"O\x00K", b"O\rK", b"O\nK", b"\x01", b"\x7f", b"O\tK", b" OK", b"OK\r\nX: y", b"OK\r",
)  # fmt: skip
BEYOND = (
    b"poison", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", CRLF, b"\x00", b"0\r\n\r\n",
)  # fmt: skip
ODD_INTERIM = (
    b"HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\n", b"HTTP/1.1 100 \r\nContent-Length: 3\r\n\r\n",
    b"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n",
)  # fmt: skip


def spoil_status(rng, draft, token):
    draft.start[1] = rng.choice(STATUS_WORDS)


def spoil_reason(rng, draft, token):
    draft.start[2:] = [rng.choice(REASONS)]


def drop_reason(rng, draft, token):
    del draft.start[2:]


def go_on_talking(rng, draft, token):
    """Bytes after the answer, or one more answer."""
    draft.body += rng.choice(BEYOND)


def add_interim(rng, draft, token):
    draft.start[0] = rng.choice(INTERIM + ODD_INTERIM) + draft.start[0]


TO_ANSWERS = ALIKE + (spoil_status,) * 3
TO_ANSWERS += (spoil_reason, drop_reason, go_on_talking, add_interim) * 2

# ---- to bytes ------------------------------------------------------------------------------------

SPECIAL = (
    b"\x00", b"\x0b", b"\x0c", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\r\n ", b"\r\n\t", b":", b",",
    b";", b"\x7f", b"\x80", b"\xff", b"\r\n\r\n", b"0", b"+",
)  # fmt: skip
LINE_ENDS = (
    b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b" \r\n", b"\r\n\r\n", b"\t\r\n", b"\r\n ", b"\x00\r\n",
)  # fmt: skip


def place(rng, raw):
    """Somewhere in it; mostly in a head, since bodies are long and dull."""
    end = raw.find(b"\r\n\r\n")
    within = end + 4 if end > 0 and rng.random() < 0.7 else len(raw)
    return rng.randrange(within) if within else 0


def insert(rng, raw, at):
    return raw[:at] + rng.choice(SPECIAL) + raw[at:]


def delete(rng, raw, at):
    return raw[:at] + raw[at + rng.choice((1, 1, 1, 2, 5, 30)) :]


def replace(rng, raw, at):
    other = rng.choice(SPECIAL) if rng.random() < 0.5 else rng.randbytes(1)
    return raw[:at] + other + raw[at + 1 :]


def duplicate(rng, raw, at):
    return raw[: at + rng.choice((1, 1, 2, 10, 60))] + raw[at:]


def end_line_otherwise(rng, raw, at):
    end = raw.find(CRLF, at)
    return raw if end < 0 else raw[:end] + rng.choice(LINE_ENDS) + raw[end + 2 :]


def repeat_or_drop_line(rng, raw, at):
    start, end = raw.rfind(CRLF, 0, at) + 2, raw.find(CRLF, at) + 2
    if start < 2 or end < 2:
        return raw
    return raw[:end] + raw[start:] if rng.random() < 0.5 else raw[:start] + raw[end:]


def swap_case(rng, raw, at):
    end = at + rng.choice((1, 5, 20))
    return raw[:at] + raw[at:end].swapcase() + raw[end:]


def truncate(rng, raw, at):
    return raw[:at]


TO_BYTES = (insert, delete, replace, replace, duplicate, end_line_otherwise, end_line_otherwise)
TO_BYTES += (repeat_or_drop_line, swap_case, truncate)


def spoil_bytes(rng, raw):
    return rng.choice(TO_BYTES)(rng, raw, place(rng, raw))


def splice(rng, first, second):
    """The beginning of one and the end of another."""
    return first[: place(rng, first)] + second[place(rng, second) :]


def spoil(rng, draft, token, ways):
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(ways)(rng, draft, token)
