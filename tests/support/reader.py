"""A strict reader of HTTP/1.1 to judge by: the one reading of some bytes, or why there is none.

Written from RFC 9112 and RFC 9110 and from what weir promises to refuse, and from no line of
proxy/http: a mistake there must not be made here again. It knows no limits. Where a rule is
stricter than the grammar, because programs are known to read the bytes in two ways, a comment says
so.
"""

import functools
import ipaddress
import re

TCHAR = rb"!#$%&'*+\-.^_`|~0-9A-Za-z"
TOKEN = rb"[" + TCHAR + rb"]+"
TEXT = rb"[\t \x21-\x7e\x80-\xff]*"

REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])\Z")
STATUS_LINE = re.compile(rb"HTTP/([0-9])\.([0-9]) ([0-9]{3})(?: (" + TEXT + rb"))?\Z")
FIELD_LINE = re.compile(rb"(" + TOKEN + rb"):(" + TEXT + rb")\Z")
DIGITS = re.compile(rb"[0-9]+\Z")

ABSOLUTE = re.compile(rb"https?://([^/?]*)(/[^?]*)?(\?.*)?\Z", re.I)
# RFC 3986 has commas in a name as well; in a Host they may be two fields joined into a list.
REG_NAME = rb"(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+"
FUTURE = rb"v[0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+"
HOST = re.compile(
    rb"(?:(" + REG_NAME + rb")|\[([0-9A-Fa-f:.]+|" + FUTURE + rb")\])(?::([0-9]*))?\Z"
)

QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
EXTENSION = rb"[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + QUOTED + rb"))?"
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)((?:" + EXTENSION + rb")*)\Z")

LARGEST = (1 << 63) - 1  # who reads a length into a signed number must read the same

# RFC 9110 section 6.5.1: what frames, controls the connection, routes, authenticates or says how to
# process the content cannot come after it. What means nothing in such a message, or is metadata,
# does no harm there.
NOT_IN_TRAILERS = frozenset(
    b"content-length transfer-encoding trailer connection upgrade te "
    b"proxy-authorization proxy-authenticate".split()
)
NOT_IN_REQUEST_TRAILERS = NOT_IN_TRAILERS | frozenset(
    b"host authorization cookie content-encoding content-type content-range".split()
)
NOT_IN_ANSWER_TRAILERS = NOT_IN_TRAILERS | frozenset(b"www-authenticate set-cookie".split())


class Invalid(Exception):
    """These bytes have no reading, or more than one."""

    def __init__(self, reason, section):
        super().__init__(f"{reason} ({section})")
        self.reason, self.section = reason, section


class Message:
    """One message as it was read. Names, values and targets are bytes as they came."""

    def __init__(self, minor, fields):
        self.minor, self.fields = minor, fields
        self.body, self.trailers = bytearray(), []
        self.framing = "none"  # none, length, chunked or close
        self.length = 0
        self.chunk_lines = []  # as they came, for who has limits on them
        self.blank_lines = 0  # before it
        self.size = 0  # of its head

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name]

    def options(self):
        """What Connection lists, in small letters (RFC 9110 section 7.6.1)."""
        listed = b",".join(self.all(b"connection")).lower().split(b",")
        return [option.strip(b" \t") for option in listed if option.strip(b" \t")]

    def persists(self):
        """RFC 9112 section 9.3."""
        options = self.options()
        return b"close" not in options and (self.minor >= 1 or b"keep-alive" in options)


class Request(Message):
    def __init__(self, method, target, minor, fields):
        super().__init__(minor, fields)
        self.method, self.target = method, target
        self.path, self.authority = read_target(method, target)
        self.host = read_host(self)


class Response(Message):
    def __init__(self, status, reason, minor, fields):
        super().__init__(minor, fields)
        self.status, self.reason = status, reason
        self.interim = []  # the 1xx before it


# ---- heads ---------------------------------------------------------------------------------------


def read_fields(lines):
    """RFC 9112 section 5."""
    fields = []
    for line in lines:
        match = FIELD_LINE.match(line)
        if not match:
            raise Invalid(why_no_field(line), "RFC 9112 5")
        fields.append((match[1], match[2].strip(b" \t")))
    return fields


def why_no_field(line):
    if line[:1] in (b" ", b"\t"):
        return "a folded field, or a space before the first (5.2, 2.2)"
    if b"\n" in line or b"\r" in line:
        return "a bare CR or LF in a field (2.2)"
    if re.match(TOKEN + rb"[ \t]+:", line):
        return "a space before the colon (5.1)"
    if line[:1] == b":":
        return "an empty field name"
    return "a line that is no field"


def split_head(head):
    lines = head.split(b"\r\n")
    return lines[0], read_fields(lines[1:])


def read_version(major, minor):
    if major != b"1":
        raise Invalid("another major version", "RFC 9112 2.3")
    return int(minor)


def read_request(head):
    line, fields = split_head(head)
    match = REQUEST_LINE.match(line)
    if not match:
        raise Invalid("no request line", "RFC 9112 3")
    minor = read_version(match[3], match[4])
    request = Request(match[1], match[2], minor, fields)
    request.framing, request.length = read_framing(request) or ("none", 0)
    return request


def read_response(head, method):
    line, fields = split_head(head)
    match = STATUS_LINE.match(line)
    if not match:
        raise Invalid("no status line", "RFC 9112 4")
    minor = read_version(match[1], match[2])
    status = int(match[3])
    if status < 100:
        raise Invalid("a status below 100", "RFC 9110 15")
    if status == 101:
        raise Invalid("an upgrade that nobody asked for", "RFC 9110 7.8")
    response = Response(status, match[4] or b"", minor, fields)
    framing = read_framing(response)
    if method == b"HEAD" or status < 200 or status in (204, 304):
        framing = ("none", 0)
    response.framing, response.length = framing or ("close", 0)
    return response


def read_target(method, target):
    """The path to ask an origin for, and the authority or None (RFC 9112 section 3.2).

    Any visible character but # may stand in a path or a query, as browsers send them: nothing is
    decoded on the way, so it has one reading.
    """
    if method == b"CONNECT":
        raise Invalid("CONNECT, which no gateway serves", "RFC 9110 9.3.6")
    if b"#" in target:
        raise Invalid("a fragment", "RFC 9112 3.2")
    if target[:1] == b"/":
        return target, None
    if target == b"*":
        if method != b"OPTIONS":
            raise Invalid("an asterisk for another method than OPTIONS", "RFC 9112 3.2.4")
        return target, None
    match = ABSOLUTE.match(target)
    if not match:
        raise Invalid("a target of no form", "RFC 9112 3.2")
    if not is_host(match[1]):
        raise Invalid("no host and port as the target's authority", "RFC 9110 4.2")
    path, query = match[2] or b"", match[3] or b""
    if not path:
        path = b"*" if method == b"OPTIONS" and not query else b"/"
    return path + query, match[1]


def read_host(request):
    """RFC 9112 section 3.2; an empty one would be the host of no http URI (RFC 9110 4.2.1)."""
    hosts = request.all(b"host")
    if len(hosts) > 1:
        raise Invalid("more than one Host", "RFC 9112 3.2")
    if not hosts and request.minor >= 1:
        raise Invalid("no Host", "RFC 9112 3.2")
    if hosts and not is_host(hosts[0]):
        raise Invalid("an invalid Host", "RFC 9112 3.2")
    return request.authority or (hosts[0] if hosts else None)


@functools.lru_cache(10_000)
def is_host(value):
    match = len(value) <= 261 and HOST.match(value)  # a name of 255 bytes and a port
    if not match or int(match[3] or b"0") > 65535:
        return False
    literal = match[2]
    if literal is None or literal[:1] == b"v":
        return True
    try:
        ipaddress.IPv6Address(literal.decode())
        return True
    except ValueError:
        return False


def read_framing(message):
    """("chunked", 0), ("length", n), or None where neither is said (RFC 9112 section 6).

    Stricter: lengths that agree, lists with one element and codings before `chunked` are allowed
    to who wants to read them, and are read in different ways.
    """
    codings, lengths = message.all(b"transfer-encoding"), message.all(b"content-length")
    if codings and lengths:
        raise Invalid("both Transfer-Encoding and Content-Length", "RFC 9112 6.3")
    if codings:
        if message.minor == 0:
            raise Invalid("Transfer-Encoding in HTTP/1.0", "RFC 9112 6.1")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise Invalid("another transfer coding than one chunked", "RFC 9112 6.3")
        return "chunked", 0
    if not lengths:
        return None
    if len(lengths) > 1:
        raise Invalid("more than one Content-Length", "RFC 9112 6.3")
    if not DIGITS.match(lengths[0]):
        raise Invalid("Content-Length is not a number", "RFC 9110 8.6")
    if len(lengths[0]) > 4000 or int(lengths[0]) > LARGEST:
        raise Invalid("Content-Length is too large", "RFC 9110 8.6")
    return "length", int(lengths[0])


# ---- streams -------------------------------------------------------------------------------------


class Stream:
    """Reads one direction of a connection, fed in pieces of any size.

    `done` has the complete messages. `problem` is why there is no further reading; what was fed
    from there on lies in `rest`. `partial` is the message whose head is read, and not its body.
    """

    skips_blank_lines = False

    def __init__(self):
        self.rest = bytearray()
        self.done, self.partial, self.problem = [], None, None
        self.closed = False  # the last message ended the connection: what follows is nobody's
        self.blank_lines = 0
        self._step = self._head
        self._left = 0  # of the body or of the chunk

    def feed(self, data):
        self.rest += data
        try:
            while self.problem is None and not self.closed and self._step():
                pass
        except Invalid as problem:
            self.problem = problem
        return self

    def is_clean(self):
        """Nothing but whole messages has come."""
        return self.problem is None and self.partial is None and (self.closed or not self.rest)

    def _take(self, n):
        data = bytes(self.rest[:n])
        del self.rest[:n]
        return data

    def _line(self):
        """The next line without its CRLF, or None while it is not whole."""
        end = self.rest.find(b"\r\n")
        if end < 0:
            return None
        line = self._take(end + 2)
        return line[:-2]

    def _head(self):
        while self.skips_blank_lines and self.rest.startswith(b"\r\n"):
            self._take(2)
            self.blank_lines += 1
        end = self.rest.find(b"\r\n\r\n")
        if end < 0:
            return False
        message = self._read(bytes(self.rest[:end]))
        self._take(end + 4)
        message.size, message.blank_lines, self.blank_lines = end + 4, self.blank_lines, 0
        self.partial, self._left = message, message.length
        self._step = {
            "none": self._finish,
            "length": self._counted,
            "chunked": self._chunk,
            "close": self._until_close,
        }[message.framing]
        return True

    def _finish(self):
        message, self.partial = self.partial, None
        self._step = self._head
        self._complete(message)
        return True

    def _counted(self):
        piece = self._take(self._left)
        self.partial.body += piece
        self._left -= len(piece)
        return self._left == 0 and self._finish()

    def _until_close(self):
        self.partial.body += self._take(len(self.rest))
        return False

    def _chunk(self):
        """RFC 9112 section 7.1."""
        line = self._line()
        if line is None:
            return False
        match = CHUNK_LINE.match(line)
        if not match:
            raise Invalid("a bad chunk size or extension", "RFC 9112 7.1")
        if len(match[1]) > 4000 or int(match[1], 16) > LARGEST:
            raise Invalid("a chunk too large", "RFC 9112 7.1")
        self.partial.chunk_lines.append(line)
        self._left = int(match[1], 16)
        self._step = self._chunk_data if self._left else self._trailer
        return True

    def _chunk_data(self):
        piece = self._take(self._left)
        self.partial.body += piece
        self._left -= len(piece)
        if self._left or len(self.rest) < 2:
            return False
        if self._take(2) != b"\r\n":
            raise Invalid("no CRLF after a chunk", "RFC 9112 7.1")
        self._step = self._chunk
        return True

    def _trailer(self):
        """RFC 9112 section 7.1.2."""
        line = self._line()
        if not line:
            return line is not None and self._finish()
        field = read_fields([line])[0]
        if field[0].lower() in self.not_in_trailers:
            raise Invalid("a trailer that frames, routes or authenticates", "RFC 9110 6.5.1")
        self.partial.trailers.append(field)
        return True


class Requests(Stream):
    """What a client has sent."""

    skips_blank_lines = True  # RFC 9112 section 2.2
    not_in_trailers = NOT_IN_REQUEST_TRAILERS

    def _read(self, head):
        return read_request(head)

    def _complete(self, message):
        self.done.append(message)
        self.closed = not message.persists()


class Responses(Stream):
    """What a server has sent to requests of these methods, in their order."""

    not_in_trailers = NOT_IN_ANSWER_TRAILERS

    def __init__(self, methods):
        super().__init__()
        self.methods = list(methods)
        self.interim = []

    def _read(self, head):
        if len(self.done) == len(self.methods):
            raise Invalid("a response that nobody asked for", "RFC 9112 9.2")
        return read_response(head, self.methods[len(self.done)])

    def _complete(self, message):
        if message.status < 200:
            self.interim.append(message)
            return
        message.interim, self.interim = self.interim, []
        self.done.append(message)
        self.closed = not message.persists()

    def end(self):
        """The connection has ended in order: that completes what had no other end."""
        if self.partial is not None and self.partial.framing == "close":
            self._finish()
            self.closed = True
        return self
