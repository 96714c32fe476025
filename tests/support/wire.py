"""HTTP/1.1 as bytes: building requests and reading messages strictly.

The reader is written independently of weir's parser, so that one mistake does not hide another.
"""

import hashlib
import re
import random

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9]{2}) ([\t \x21-\x7e\x80-\xff]*)\Z")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:;[^\r\n]*)?)\Z")
DIGITS = re.compile(rb"[0-9]{1,18}\Z")


class ProtocolError(AssertionError):
    """The peer sent something that is not HTTP/1.1 to the letter."""


class Truncated(ProtocolError):
    """The peer closed, or reset, before its message was complete."""


class Message:
    """A head, with its body once that has been read."""

    def __init__(self, start, fields):
        self.start = start
        self.fields = fields
        self.body = b""
        self.trailers = []
        self.interim = []

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        if len(values) > 1:
            raise ProtocolError(f"{name} came {len(values)} times: {values}")
        return values[0] if values else default

    def has(self, name, token):
        """Whether the list-valued field has the token."""
        tokens = [t.strip().lower() for value in self.all(name) for t in value.split(",")]
        return token.lower() in tokens

    def __repr__(self):
        return f"<{self.start!r} {self.fields} body={bytes(self.body[:200])!r}>"


class Response(Message):
    def __init__(self, line, fields):
        match = STATUS_LINE.match(line)
        if not match:
            raise ProtocolError(f"bad status line {line[:200]!r}")
        super().__init__(line, fields)
        self.version = match[1].decode()
        self.status = int(match[2])
        self.reason = match[3].decode("latin-1")

    def framing(self, method):
        """none, length, chunked or close (RFC 9112 section 6.3)."""
        if method == "HEAD" or self.status < 200 or self.status in (204, 304):
            return "none"
        return framing_of_fields(self) or "close"


def framing_of_fields(message):
    coding, length = message.get("Transfer-Encoding"), message.get("Content-Length")
    if coding is not None and length is not None:
        raise ProtocolError("both Transfer-Encoding and Content-Length")
    if coding is not None:
        if coding.lower() != "chunked":
            raise ProtocolError(f"transfer coding {coding!r}")
        return "chunked"
    if length is None:
        return None
    if not DIGITS.match(length.encode("latin-1")):
        raise ProtocolError(f"Content-Length {length!r}")
    return "length"


def parse_fields(lines):
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            raise ProtocolError(f"bad field line {line[:200]!r}")
        if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise ProtocolError(f"control character in {line[:200]!r}")
        fields.append((name.decode(), value.strip(b" \t").decode("latin-1")))
    return fields


def split_head(head):
    """The start line and the fields of a head, given with its empty line."""
    if not head.endswith(b"\r\n\r\n"):
        raise ProtocolError("head without its end")
    lines = bytes(head[:-4]).split(b"\r\n")
    for line in lines:
        if b"\r" in line or b"\n" in line:
            raise ProtocolError(f"bare CR or LF in {line[:200]!r}")
    return lines[0], parse_fields(lines[1:])


class ChunkReader:
    """Decodes a chunked body fed in pieces of any size; raises on any byte out of place."""

    def __init__(self):
        self.pending = bytearray()
        self.left = None  # of the chunk; None: a size line is next
        self.trailers = None  # lines, once the last chunk was seen
        self.done = False

    def feed(self, data):
        """Returns the content in `data`; what follows the end stays in `pending`."""
        self.pending += data
        out = bytearray()
        while not self.done and self._step(out):
            pass
        return bytes(out)

    def _step(self, out):
        if self.left is None or self.trailers is not None:
            return self._line()
        if self.left == 0:
            return self._chunk_end()
        piece = self.pending[: self.left]
        del self.pending[: len(piece)]
        out += piece
        self.left -= len(piece)
        return bool(piece)

    def _chunk_end(self):
        if len(self.pending) < 2:
            return False
        if self.pending[:2] != b"\r\n":
            raise ProtocolError(f"chunk data ended by {bytes(self.pending[:2])!r}")
        del self.pending[:2]
        self.left = None
        return True

    def _line(self):
        end = self.pending.find(b"\n")
        if end < 0:
            return False
        line = bytes(self.pending[: end + 1])
        del self.pending[: end + 1]
        if not line.endswith(b"\r\n"):
            raise ProtocolError(f"chunk line without CRLF: {line!r}")
        if self.trailers is None:
            self._size(line[:-2])
        elif line == b"\r\n":
            self.trailers, self.done = parse_fields(self.trailers), True
        else:
            self.trailers.append(line[:-2])
        return True

    def _size(self, line):
        match = CHUNK_LINE.match(line)
        if not match:
            raise ProtocolError(f"bad chunk size line {line[:200]!r}")
        self.left = int(match[1], 16)
        if self.left == 0:
            self.trailers = []


def request(method, target, *fields, body=None, host="app.test", version="HTTP/1.1"):
    """A request's bytes. `body`: bytes for Content-Length, a list of bytes for chunks."""
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += fields
    if isinstance(body, (bytes, bytearray)):
        lines.append(f"Content-Length: {len(body)}")
    elif body is not None:
        lines.append("Transfer-Encoding: chunked")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    if body is None:
        return head
    return head + (bytes(body) if isinstance(body, (bytes, bytearray)) else chunked(body))


def response(status=200, *fields, body=b"", reason="OK", version="HTTP/1.1"):
    """An answer's bytes. `body`: bytes for Content-Length, a list for chunks, None for neither."""
    lines = [f"{version} {status} {reason}", *fields]
    if isinstance(body, (bytes, bytearray)):
        lines.append(f"Content-Length: {len(body)}")
    elif body is not None:
        lines.append("Transfer-Encoding: chunked")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    if body is None:
        return head
    return head + (bytes(body) if isinstance(body, (bytes, bytearray)) else chunked(body))


def chunked(parts, trailers=()):
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part)
    end = "".join(f"{line}\r\n" for line in trailers).encode("latin-1")
    return body + b"0\r\n" + end + b"\r\n"


def noise(size, seed=0):
    """The same `size` bytes for the same seed, unlike any others."""
    return random.Random(seed).randbytes(size)


def pieces(data, seed=0, largest=5000):
    """`data` cut at random places."""
    rng, at, out = random.Random(seed), 0, []
    while at < len(data):
        step = rng.randint(1, largest)
        out.append(data[at : at + step])
        at += step
    return out


def digest(data):
    return hashlib.sha256(data).hexdigest()
