"""Feeds the rows of a table through weir: whole, byte by byte, and cut at every place.

All exchanges of a batch are in flight at once, in one event loop with the app that records them. Each
client has an address of its own in 127/8, by which the app knows whose request it has before it: no
byte of a row is spent on that. Between two pieces weir answers a request of another client, and so has
read the first piece when the second is sent.
"""

import asyncio
import random
import re
import socket
import struct

from . import wire
from .seed import SEED
from .world import SCALE

BATCH = 256  # exchanges in flight at once
LONG = 1500  # bytes; a longer message is cut at some places only, and is fed in so many pieces
SOME = 12  # places to cut at, where not all are tried
SECONDS = 30  # for a batch

NEXT = b"GET /next HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n"
FORWARDED = "X-Forwarded-For: <client>\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: app.test\r\n"
VIA = "Via: 1.1 weir\r\n"
ID = "X-Request-Id: <id>\r\n"
START = "X-Request-Start: t=<us>\r\n"
DATE = "Date: <date>\r\n"

ANSWER = wire.response(200, body=b"next")
CHANGING = [
    (
        re.compile(rb"(?<=\r\nX-Request-Id: )[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=\r\n)"),
        b"<id>",
    ),
    (re.compile(rb"(?<=\r\nX-Request-Start: t=)[0-9]{16}(?=\r\n)"), b"<us>"),
    (
        re.compile(
            rb"(?<=\r\nDate: )[MTWFS][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9 :]{13} GMT(?=\r\n)"
        ),
        b"<date>",
    ),
]


def steady(data, client=None):
    """The bytes, with what differs from run to run replaced with its name in <>."""
    for pattern, name in CHANGING:
        data = pattern.sub(name, data)
    return data if client is None else data.replace(client.encode(), b"<client>")


# ---- how a message is cut ------------------------------------------------------------------------


def whole(data, _):
    return [[data]]


def bytewise(data, _):
    step = 1 + len(data) // LONG
    return [[data[i : i + step] for i in range(0, len(data), step)] or [data]]


def split(data, end):
    """In two, at every place up to `end`."""
    places = range(1, min(end, len(data) - 1) + 1)
    if SCALE < 1:
        places = random.Random(SEED + len(data)).sample(places, min(SOME, len(places)))
    elif end > LONG:
        places = random.Random(SEED + len(data)).sample(places, 10 * SOME)
    return [[data[:i], data[i:]] for i in places]


WAYS = {"whole": whole, "bytewise": bytewise, "split": split}


def cuts(way, messages):
    """(row, its message in pieces) of each (row, message, where it ends, what it follows). Messages that
    begin alike are split there once only: after the first piece, weir has had the same of each."""
    seen = set()
    for row, data, end, after in messages:
        for pieces in WAYS[way](data, end):
            first = (after, pieces[0])
            if way != "split" or first not in seen:
                yield row, pieces
            seen.add(first)


# ---- one exchange --------------------------------------------------------------------------------


class Exchange:
    """One client's connection: what it sends, what the app has of it, and what comes back."""

    def __init__(self, row, asks, answers=None, then="", after=b"", sound=None):
        self.row = row
        self.asks = asks
        self.answers = answers  # None: the app reads the request and says what it says to all
        self.then = then  # what the app does after its answer: "close", "reset" or nothing
        self.after = after  # what the client sends when the app has answered
        self.sound = sound  # bytes of the answer after which weir must end the app's connection
        self.said = 0
        self.client = None
        self.sock = None
        self.got = bytearray()
        self.ended = None  # how weir ended the connection: "fin" or "rst"
        self.reset = False
        self.calls = []
        self.app = None  # the connection on which the app answers

    @property
    def cut(self):
        pieces = self.asks if self.answers is None else self.answers
        return (
            "whole" if len(pieces) == 1 else f"{len(pieces)} pieces, the first of {len(pieces[0])}"
        )

    def received(self):
        """The bytes of each request that reached the app."""
        return [steady(bytes(call.raw), self.client) for call in self.calls]

    def responses(self):
        """(the answers that came whole, the head of one that was cut or None)."""
        return read_responses(bytes(self.got), [call.method for call in self.calls])


def read_responses(data, methods):
    out = []
    while data:
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            raise wire.ProtocolError(f"a head without its end: {data[:200]!r}")
        answer = wire.Response(*wire.split_head(data[:end]))
        method = methods[len(out)] if len(out) < len(methods) else "GET"
        answer.body, data = read_body(answer, answer.framing(method), data[end:])
        if answer.body is None:
            return out, answer
        if answer.status >= 200:
            out.append(answer)
    return out, None


def read_body(answer, framing, data):
    """(body, what follows it); the body is None where its end is missing."""
    if framing == "none":
        return b"", data
    if framing == "length":
        n = int(answer.get("Content-Length"))
        return (data[:n], data[n:]) if len(data) >= n else (None, b"")
    if framing == "chunked":
        reader = wire.ChunkReader()
        body = reader.feed(data)
        return (body, bytes(reader.pending)) if reader.done else (None, b"")
    return data, b""


# ---- the app -------------------------------------------------------------------------------------


class Call:
    """One request, in the bytes that the app received."""

    def __init__(self, head):
        line, fields = wire.split_head(head)
        self.raw = bytearray(head)
        self.message = wire.Message(line, fields)
        self.method, self.target, version = line.decode("latin-1").split(" ")
        if version != "HTTP/1.1" or self.message.get("Host") is None:
            raise wire.ProtocolError(f"not for an app: {bytes(head)!r}")
        framing = wire.framing_of_fields(self.message)
        self.chunks = wire.ChunkReader() if framing == "chunked" else None
        self.left = int(self.message.get("Content-Length")) if framing == "length" else 0
        self.complete = framing is None or framing == "length" and self.left == 0

    def take(self, data):
        """Takes what belongs to it, and returns the rest."""
        if self.chunks is None:
            mine, rest = data[: self.left], data[self.left :]
            self.left -= len(mine)
            self.complete = self.left == 0
        else:
            self.chunks.feed(data)
            self.complete, rest = self.chunks.done, bytes(self.chunks.pending)
            if not self.complete:
                rest = b""  # the reader keeps it
            mine = data[: len(data) - len(rest)]
        self.raw += mine
        return rest


class AppConnection(asyncio.Protocol):
    """Reads strictly: what it cannot read is a fault of weir's, whatever the row was."""

    def __init__(self, feeder):
        self.feeder = feeder
        self.buf = b""
        self.call = None
        self.exchange = None
        self.broken = False
        self.lost = False

    def connection_made(self, transport):
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio forgets it

    def connection_lost(self, _):
        self.lost = True
        self.feeder.progress()

    def data_received(self, data):
        self.buf += data
        try:
            while self.buf and self._step():
                pass
        except ValueError as error:
            self._fault(error)
        except wire.ProtocolError as error:
            self._fault(error)

    def _fault(self, what):
        self.feeder.faults.append(f"{what}: the app got {self.buf[:500]!r}")
        self.transport.abort()

    def _step(self):
        if self.call is None:
            end = self.buf.find(b"\r\n\r\n") + 4
            if end < 4:
                return False
            self._begin(self.buf[:end])
            self.buf = self.buf[end:]
        if not self.call.complete:
            self.buf = self.call.take(self.buf)
        if self.call.complete:
            call, self.call = self.call, None
            self._answer(call)
        return True

    def _begin(self, head):
        self.call = Call(head)
        self.exchange = self.feeder.clients.get(self.call.message.get("X-Forwarded-For"))
        if self.broken:
            self._fault("a connection was used again after an answer that had spoilt it")
        if self.exchange is not None:
            self.exchange.calls.append(self.call)
        else:
            self._fault("a request that no client has sent")

    def _answer(self, call):
        ex = self.exchange
        if ex is not None and ex.answers is not None and call is ex.calls[0]:
            ex.app = self
            self.feeder.progress()
        elif call.method == "HEAD":
            self.transport.write(ANSWER[:-4])
        else:
            self.transport.write(ANSWER)

    def send(self, data):
        if not self.transport.is_closing():
            self.transport.write(data)

    def end(self, how):
        if self.transport.is_closing():
            return
        if how == "reset":
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        elif how == "close":
            self.transport.close()


# ---- all of them ---------------------------------------------------------------------------------


class Feeder:
    """A weir between its clients and an app, all on the thread of the test."""

    def __init__(self, world, **options):
        self.loop = asyncio.new_event_loop()
        self.clients = {}  # address -> Exchange
        self.faults = []
        self.last = 0x7F010000
        self.changed = asyncio.Event()
        self.barriers = 0
        self.through = None
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        make = self.loop.create_server(lambda: AppConnection(self), sock=listener, backlog=4096)
        self.server = self.loop.run_until_complete(make)
        port = listener.getsockname()[1]
        self.world = world
        # Nobody is trusted: a client is known by the X-Forwarded-For that weir writes.
        own = {"concurrency": "unlimited", "log_level": "warning", "headers_trusted": "none"}
        options = {**own, **options}
        self.weir = world.weir(f"127.0.0.1:{port}", **options)

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        if self.through is not None:
            self.through[1].close()
        self.server.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        if not failed:
            answers = sum(self._counted(ex) for ex in self.clients.values())
            self.world.expect_requests(self.weir, self.barriers + answers)

    @staticmethod
    def _counted(ex):
        try:
            complete, cut = ex.responses()
        except wire.ProtocolError:
            return 1  # cut before its head was whole
        return max(1, len(complete) + (cut is not None))

    def progress(self):
        self.changed.set()

    def run(self, exchanges):
        """Until weir has ended each connection. Longest first, so that a batch's are alike."""
        exchanges.sort(key=lambda ex: -max(len(ex.asks), len(ex.answers or ())))
        for i in range(0, len(exchanges), BATCH):
            self.loop.run_until_complete(self._batch(exchanges[i : i + BATCH]))

    async def _batch(self, batch):
        for ex in batch:
            self._connect(ex)
        for _ in range(BATCH // 64):
            await self._barrier()  # weir accepts in turns
        await self._in_pieces(batch, lambda ex: ex.asks, self._send)
        answering = [ex for ex in batch if ex.answers is not None]
        await self._until(lambda: all(ex.app or ex.ended for ex in answering))
        await self._in_pieces(answering, lambda ex: ex.answers, self._say)
        spoilt = [ex for ex in answering if ex.app and ex.sound is not None]
        await self._until(lambda: all(ex.app.lost for ex in spoilt))
        for ex in answering:
            self._send(ex, ex.after)
        await self._until(lambda: all(ex.ended for ex in batch))
        for ex in batch:
            self._leave(ex)

    async def _in_pieces(self, batch, pieces, put):
        for i in range(max((len(pieces(ex)) for ex in batch), default=0)):
            if i > 0:
                await self._barrier()
            for ex in batch:
                if i < len(pieces(ex)):
                    put(ex, pieces(ex)[i], i == len(pieces(ex)) - 1)

    async def _barrier(self):
        if self.through is None:
            self.through = await asyncio.open_connection(*self.weir.address)
        reader, writer = self.through
        self.barriers += 1
        writer.write(wire.request("OPTIONS", "*", "Max-Forwards: 0"))
        answer = await asyncio.wait_for(reader.readuntil(b"proxy.\n"), SECONDS)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer

    async def _until(self, condition):
        """What has not come after SECONDS is left for the judge to see."""
        deadline = self.loop.time() + SECONDS
        while not condition() and self.loop.time() < deadline:
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), 1)
            except asyncio.TimeoutError:
                pass

    # ---- the clients -------------------------------------------------------------------------

    def _connect(self, ex):
        self.last += 1
        ex.client = socket.inet_ntoa(struct.pack(">I", self.last))
        self.clients[ex.client] = ex
        ex.sock = socket.socket()
        ex.sock.bind((ex.client, 0))
        ex.sock.connect(self.weir.address)
        ex.sock.setblocking(False)
        ex.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.loop.add_reader(ex.sock, self._receive, ex)

    @staticmethod
    def _send(ex, data, _=False):
        if ex.ended:
            return
        try:
            assert ex.sock.send(data) == len(data)
        except ConnectionResetError:
            ex.reset = True  # a socket tells it once: who reads after this reads an orderly end
        except ConnectionError:
            pass

    @staticmethod
    def _say(ex, data, is_last):
        ex.said += len(data)
        ex.app.broken = ex.sound is not None and ex.said > ex.sound
        ex.app.send(data)
        if is_last:
            ex.app.end(ex.then)

    def _receive(self, ex):
        try:
            data = ex.sock.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            data, ex.ended = b"", "rst"
        if data:
            ex.got += data
            return
        ex.ended = ex.ended or ("rst" if ex.reset else "fin")
        self._leave(ex)
        self.progress()

    def _leave(self, ex):
        if ex.sock.fileno() >= 0:
            self.loop.remove_reader(ex.sock)
            ex.sock.close()


def check(feeder, exchanges, judge):
    """Feeds them all, and names the rows that `judge`, a function of an Exchange, objects to."""
    print(f"WEIR_SEED={SEED}, {len(exchanges)} exchanges")
    feeder.run(exchanges)
    wrong = {}
    for ex in exchanges:
        try:
            assert ex.ended, "weir did not end the connection"
            assert ex.sound is None or ex.app is None or ex.app.lost, "the app's was not ended"
            judge(ex)
        except AssertionError as error:
            wrong.setdefault(ex.row, []).append((ex, str(error).partition("\n")[0]))
    said = [describe(row, *of_row[0], len(of_row)) for row, of_row in wrong.items()]
    said += feeder.faults
    assert not said, f"{len(said)} are wrong:\n" + "\n".join(said[:20])


def describe(row, ex, what, times):
    lines = [f"{row.name} ({row.why}), {times} times, the first in {ex.cut}: {what}"]
    lines.append(f"client: {bytes(ex.got)!r}")
    lines += [f"app: {bytes(call.raw)!r}" for call in ex.calls]
    return "\n    ".join(lines)
