"""A raw client: sends exactly the bytes it is told to and reads answers strictly."""

import asyncio
import select
import socket
import struct
import time

from . import wire


def family_of(address):
    """`address` is (host, port), or the path of a unix socket."""
    if isinstance(address, str):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def dial(address, timeout):
    """A connected stream socket."""
    family = family_of(address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    sock.connect(address)
    if family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def reset_socket(sock):
    """Closes with RST (on TCP): lingering for zero seconds throws the connection away."""
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Client:
    """One connection. Every wait is bounded by `timeout` seconds."""

    def __init__(self, address, timeout=15):
        self.sock = dial(address, timeout)
        self.buf = bytearray()

    # ---- out -------------------------------------------------------------------------------

    def send(self, data):
        self.sock.sendall(data)
        return self

    def request(self, method, target, *fields, **how):
        return self.send(wire.request(method, target, *fields, **how))

    def get(self, target, *fields, **how):
        return self.request("GET", target, *fields, **how)

    def ask(self, method, target, *fields, **how):
        """Sends a request and reads its answer."""
        self.request(method, target, *fields, **how)
        return self.response(method)

    def fin(self):
        self.sock.close()

    def rst(self):
        reset_socket(self.sock)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)
        return self

    # ---- in --------------------------------------------------------------------------------

    def _fill(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionError as error:
            raise wire.Truncated(f"reset after {bytes(self.buf[:200])!r}") from error
        if not data:
            raise wire.Truncated(f"closed after {bytes(self.buf[:200])!r}")
        self.buf += data

    def exactly(self, n):
        while len(self.buf) < n:
            self._fill()
        out = bytes(self.buf[:n])
        del self.buf[:n]
        return out

    def head(self):
        """The next response head, final or interim, without its body."""
        while (end := self.buf.find(b"\r\n\r\n")) < 0:
            self._fill()
        return wire.Response(*wire.split_head(self.exactly(end + 4)))

    def final_head(self):
        interim = []
        while (answer := self.head()).status < 200 and answer.status != 101:
            interim.append(answer)
        answer.interim = interim
        return answer

    def response(self, method="GET"):
        answer = self.final_head()
        framing = answer.framing(method)
        if framing == "length":
            answer.body = self.exactly(int(answer.get("Content-Length")))
        elif framing == "chunked":
            answer.body, answer.trailers = self.chunked_body()
        elif framing == "close":
            answer.body = self.rest()
        return answer

    def chunked_body(self):
        reader, body = wire.ChunkReader(), bytearray()
        body += reader.feed(self._take())
        while not reader.done:
            self._fill()
            body += reader.feed(self._take())
        self.buf = reader.pending
        return bytes(body), reader.trailers

    def _take(self):
        data, self.buf = bytes(self.buf), bytearray()
        return data

    def rest(self):
        """Everything up to an orderly close; a reset is an error."""
        while True:
            try:
                data = self.sock.recv(65536)
            except ConnectionError as error:
                raise wire.Truncated("reset where an orderly close was due") from error
            if not data:
                return self._take()
            self.buf += data

    def slowly(self, seconds):
        """What comes in that time, read at 400 KB a second at most."""
        data, end = bytearray(self._take()), time.monotonic() + seconds
        while time.monotonic() < end:
            piece = self.sock.recv(8192)
            if not piece:
                raise wire.Truncated(f"closed after {len(data)} bytes")
            data += piece
            time.sleep(0.02)
        return bytes(data)

    def until_closed(self):
        """Everything up to a close of either kind."""
        try:
            while data := self.sock.recv(65536):
                self.buf += data
        except ConnectionError:
            pass
        return self._take()

    def is_open(self):
        """True: the peer has not closed, and nothing unread is there."""
        ready, _, _ = select.select([self.sock], [], [], 0)
        return not ready and not self.buf


class Narrow(Client):
    """One whose kernel accepts next to nothing unread: what it has not read lies in that of weir."""

    def __init__(self, address, timeout=15):
        self.sock = socket.socket(family_of(address))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.buf = bytearray()


# ---- many clients at once ------------------------------------------------------------------------


class Outcome:
    """How one request of a burst ended."""

    def __init__(self, status, body, seconds, fields):
        self.status, self.body, self.seconds, self.fields = status, body, seconds, fields


async def _ask_once(address, payload, began):
    loop = asyncio.get_running_loop()
    with socket.socket(family_of(address), socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        await loop.sock_sendall(sock, payload)
        data = bytearray()
        while piece := await loop.sock_recv(sock, 65536):
            data += piece
    seconds = time.monotonic() - began
    end = data.find(b"\r\n\r\n") + 4
    answer = wire.Response(*wire.split_head(data[:end]))
    body = bytes(data[end:])
    framing = answer.framing("GET")
    if framing == "length" and int(answer.get("Content-Length")) != len(body):
        raise wire.Truncated(f"body of {len(body)} bytes, {answer}")
    if framing == "chunked":
        reader = wire.ChunkReader()
        body = reader.feed(body)
        if not reader.done:
            raise wire.Truncated("chunked body without its end")
    return Outcome(answer.status, body, seconds, answer)


def burst(address, target, n, timeout=60):
    """n clients at once, each with one GET and `Connection: close`. (outcomes, seconds of all)."""

    async def run():
        payload = wire.request("GET", target, "Connection: close")
        began = time.monotonic()
        jobs = [_ask_once(address, payload, began) for _ in range(n)]
        outcomes = await asyncio.wait_for(asyncio.gather(*jobs), timeout)
        return outcomes, time.monotonic() - began

    return asyncio.run(run())
