"""Messages by the hundred thousand: a grammar of HTTP/1.1, valid.

Everything is drawn from a random.Random, so that a seed gives the same bytes again. Bodies
hold whole requests for /smuggled/..., which show when a message is split in the wrong place.
"""

CRLF = b"\r\n"

# ---- valid requests ------------------------------------------------------------------------------

METHODS = (
    b"GET GET GET GET GET POST POST POST POST POST PUT DELETE HEAD OPTIONS PATCH TRACE PURGE "
    b"M-SEARCH get x".split()
)  # fmt: skip
BODILESS = (b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"TRACE")

TARGETS = (b"/%s",) * 8 + (
    b"/a/../%s", b"//%s", b"/%s?a=%%0d%%0a&b", b"/%s?a?b", b"/?%s", b"/~!$&'()*+,;=:@/%s",
    b"/%%00/%s", b'/%s|{}"<>^`\\[]', b"http://app.test/%s", b"HTTP://App.Test:80/%s?x",
    b"https://app.test/%s", b"http://app.test?%s", b"http://[::1]:8080/%s", b"http://other.test/%s",
    b"http://app.test:/%s",
)  # fmt: skip
HOSTS = (b"app.test",) * 24 + (
    b"app.test:8080", b"127.0.0.1", b"[::1]:80", b"[2001:db8::1]", b"a%41.test", b"x_y.test", b"a:",
    b"[v1.x]",
)  # fmt: skip

# Lines, so that each is as an app may see it.
FIELDS = tuple(
    line.encode("latin-1")
    for line in (
        "Accept: */*", "User-Agent: x/1 (y; z)", "Cookie: a=b", "Cookie: c=d; e=f",
        "Authorization: Basic eDp5", "X-A: 1", "x-a: 2", "X-Empty:", "X-Text: caf\xe9 \u00ff",
        "X-Tab: a\tb", 'X-Quoted: "a, b"', "X-Long: " + "l" * 700, "Accept-Encoding: gzip, br",
        "Content-Type: text/plain", "Origin: null",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "Cache-Control: no-cache", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil", "Forwarded: for=6.6.6.6", "Via: 1.0 cdn", "Via: 1.1 a, 1.1 b",
        "X-Request-Id: mine-1", "X-Request-Id: un,sound", "X-Request-Start: t=1",
        "Connection: keep-alive", "Connection: X-A", "Connection: x-named, close-not", "X-Named: y",
        "Connection: Content-Length, Host", "Connection: Authorization, X-Forwarded-For",
        "Connection: Transfer-Encoding", "Connection:", "Connection: , ,x-a,",
        "Connection: Trailer", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive",
        "Proxy-Authorization: x", "TE: trailers", "TE: gzip", "TE: trailers, deflate;q=0.5",
        "Upgrade: h2c", "Upgrade: websocket, h2c", "Connection: Upgrade",
        "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk",
        "Expect: 100-continue", "Expect:", "Expect: ,100-Continue, ", "Trailer: T-A", "Max-Forwards: 9", "Max-Forwards: 0",
        "X-Real-Ip: 6.6.6.6", "Range: bytes=0-1", "!#$%&'*+-.^_`|~: odd", "A: b",
        "X_Forwarded_For: 6.6.6.6", "X_A: 1", "Proxy: x", "Content-MD5: x", "Weir-Reason: none",
        "Priority: u=1",
    )
)  # fmt: skip

EXTENSIONS = (b"",) * 50 + (
    b";a", b";a=b", b' ; a = "b;\\"c"', b";a;b=c", b';a="b;c"', b";" + b"e" * 100,
)  # fmt: skip
TRAILERS = (
    b"T-A: 1", b"T-B:", b"Server-Timing: x;dur=1", b"t-a: 2", b"Digest: x=y", b"Content-MD5: x",
    b"Expires: 0", b"Age: 1", b"Vary: *", b"Retry-After: 1", b"Via: 1.1 x",
)  # fmt: skip


class Draft:
    """A message in parts, before it becomes bytes."""

    def __init__(self, start, fields, version):
        self.start = start  # of three words
        self.fields = fields  # lines
        self.version = version  # which of the words it is
        self.body = b""

    def raw(self):
        return b" ".join(self.start) + CRLF + CRLF.join([*self.fields, b"", b""]) + self.body

    def add(self, rng, line):
        self.fields.insert(rng.randint(0, len(self.fields)), line)

    def index(self, name):
        """Where the field of that name is, or None."""
        for at, line in enumerate(self.fields):
            if line[: len(name) + 1].lower() == name + b":":
                return at
        return None


def smuggled(token):
    """What must never come out of a body: a request of its own."""
    return b"GET /smuggled/%s HTTP/1.1\r\nHost: app.test\r\n\r\n" % token


def content(rng, token):
    kind = rng.random()
    if kind < 0.3:
        return smuggled(token)
    if kind < 0.4:
        return b"0\r\n\r\n" + smuggled(token)
    size = rng.choice((0, 1, 5, 5, 16, 100, 100, 1000, 3000))
    if kind > 0.995:
        size = rng.choice((16_384, 20_000, 70_000))
    return rng.randbytes(size)


def chunks(rng, data):
    """`data` in chunks, with a last chunk and maybe trailers."""
    out, at = [], 0
    while at < len(data):
        step = min(rng.choice((1, 5, 40, 500, 40_000)), len(data) - at)
        if len(out) > 30:
            step = len(data) - at
        size = rng.choice((b"%x", b"%x", b"%X", b"00%x")) % step
        out += (size, rng.choice(EXTENSIONS), CRLF, data[at : at + step], CRLF)
        at += step
    out += (rng.choice((b"0", b"0", b"0", b"000")), rng.choice(EXTENSIONS), CRLF)
    while rng.random() < 0.2:
        out += (rng.choice(TRAILERS), CRLF)
    return b"".join(out) + CRLF


def spaced(rng, name, value):
    """A field line with one of the spacings that are allowed."""
    if rng.random() < 0.8:
        return name + b": " + value
    before, after = rng.choice((b"", b" ", b"\t", b"  ")), rng.choice((b"", b" ", b"\t "))
    return name + b":" + before + value + after


def frame(rng, draft, data):
    """Gives the draft this content and the field that says how long it is."""
    if rng.random() < 0.5:
        name = rng.choice(
            (b"Content-Length", b"Content-Length", b"content-length", b"CONTENT-LENGTH")
        )
        value = rng.choice((b"%d", b"%d", b"%d", b"0%d")) % len(data)
        draft.body = data
    else:
        name = rng.choice((b"Transfer-Encoding", b"Transfer-Encoding", b"transfer-encoding"))
        value = rng.choice((b"chunked", b"chunked", b"chunked", b"Chunked", b"CHUNKED"))
        draft.body = chunks(rng, data)
    draft.add(rng, spaced(rng, name, value))


def request(rng, token):
    method, target = rng.choice(METHODS), rng.choice(TARGETS) % token
    if method == b"OPTIONS" and rng.random() < 0.3:
        target = rng.choice((b"*", b"http://app.test"))
    draft = Draft([method, target, b"HTTP/1.1"], [b"X-T: " + token], 2)
    draft.fields += rng.sample(FIELDS, rng.choice((0, 1, 2, 3, 5, 9)))
    draft.add(rng, spaced(rng, rng.choice((b"Host", b"Host", b"host", b"HOST")), rng.choice(HOSTS)))
    if rng.random() < (0.1 if method in BODILESS else 0.9):
        frame(rng, draft, content(rng, token))
    age = rng.random()
    if age < 0.04:
        draft.add(rng, b"Connection: close")
    elif age < 0.10:
        make_old(rng, draft)
    return draft


def make_old(rng, draft):
    """HTTP/1.0: no chunks, and kept only when it says so."""
    at = draft.index(b"transfer-encoding")
    if at is not None:
        draft.fields[at] = b"Content-Length: %d" % len(draft.body)
    draft.start[2] = b"HTTP/1.0"
    if rng.random() < 0.3:
        draft.fields.pop(draft.index(b"host"))
    if rng.random() < 0.8:
        draft.add(rng, b"Connection: keep-alive")


# ---- valid answers -------------------------------------------------------------------------------

ANSWER_FIELDS = tuple(
    line.encode("latin-1")
    for line in (
        "Server: app", "Set-Cookie: a=1", "Set-Cookie: b=2; Path=/", "X-A: 1", "x-a: 2", "X-Empty:",
        "X-Text: caf\xe9", "Content-Type: text/html", "Keep-Alive: timeout=5", "Connection: X-A",
        "Connection: keep-alive", "Trailer: T-A", "Proxy-Authenticate: x", "Via: 1.1 cdn",
        'ETag: "x"', "Cache-Control: no-store", "Weir-Reason: lies",
        "Connection: Set-Cookie, Content-Length", "Upgrade: h2c", "Connection: Upgrade",
        "Date: Tue, 15 Nov 1994 08:12:31 GMT", "TE: x", "X-Long: " + "l" * 700,
        "Content-Encoding: gzip", "Vary: *", "Retry-After: 1", "Location: /x", "X-Request-Id: r",
    )
)  # fmt: skip
STATUSES = b"200 200 200 200 200 200 200 200 201 204 206 299 302 304 404 426 500 503 599".split()
STATUSES += [b"600", b"999"]
INTERIM = (
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 199 \r\nX-A: 1\r\n\r\n",
)  # fmt: skip


def answer(rng, token, method):
    """A response to this method."""
    status = rng.choice(STATUSES)
    reason = rng.choice((b"OK", b"OK", b"", b"Not So \xe9 OK"))
    draft = Draft([b"HTTP/1.1", status, reason], [b"X-T: " + token], 0)
    draft.fields += rng.sample(ANSWER_FIELDS, rng.choice((0, 1, 2, 3, 6)))
    data, kind = content(rng, token), rng.random()
    if status in (b"204", b"304"):
        data = b""
    if kind < 0.85 and status != b"204":
        frame(rng, draft, data)
    elif status not in (b"204", b"304"):
        draft.body = data
    if method == b"HEAD":
        draft.body = b""
    if rng.random() < 0.08:
        draft.start[0] = b"HTTP/1.0"
    if rng.random() < 0.08:
        draft.add(rng, b"Connection: close")
    return draft
