"""What a drain meets: requests that run and wait, clients that keep their connections and go on
asking, WebSockets and event streams. Each notes what went wrong for it; nothing may."""

import asyncio
import random
import threading
import time

from . import wire

SWITCH = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b"data: " + b"x" * 100 + b"\n\n"
FRAME = b"\x82\x7e\x01\x2c" + b"x" * 300
GOING_AWAY = b"\x88\x02\x03\xe9"
PAUSE = 0.01
RESTED = 1.2  # seconds; weir closes a connection that has been idle during all of drain.delay


# ---- the app's scripts ---------------------------------------------------------------------------


def in_halves(piece):
    """Sends it again and again, and stops in the middle of each, until weir closes."""

    async def step(call):
        call.waiting_for_peer = True
        while not call.connection.peer_gone():
            await call.send(piece[: len(piece) // 2])
            await asyncio.sleep(PAUSE)
            await call.send(piece[len(piece) // 2 :])
            await asyncio.sleep(PAUSE)
        call.finish()
        call.connection.close()

    return step


def frames_until_closed():
    """The same with frames; a Close frame from the client is answered and ends it."""

    async def step(call):
        sending = asyncio.ensure_future(in_halves(FRAME)(call))
        while await call.connection.fill():
            if b"\x88" in call.connection.buf:
                break
        call.closed_by_frame = b"\x88" in call.connection.buf
        sending.cancel()
        call.finish()
        call.connection.close()

    return step


# ---- the clients ---------------------------------------------------------------------------------


async def read_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    answer = wire.Response(*wire.split_head(head))
    if answer.status != 101 and answer.get("Content-Length"):
        answer.body = await reader.readexactly(int(answer.get("Content-Length")))
    return answer


class Load:
    """Clients on a thread of their own. `wrong` is what should not have happened."""

    def __init__(self, address):
        self.address = address
        self.wrong, self.statuses = [], []
        self.rounds = 0  # answers of those who keep on
        self.unannounced = 0  # answers without a close, once `announced` is set
        self.announced = False
        self.loop = asyncio.new_event_loop()
        self.jobs = []
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def _start(self, name, coroutine):
        async def guarded():
            try:
                await coroutine
            except Exception as error:  # pylint: disable=broad-except
                self.wrong.append(f"{name}: {error!r}")

        self.jobs.append(asyncio.run_coroutine_threadsafe(guarded(), self.loop))

    def ask(self, n, target):
        for _ in range(n):
            self._start("a request", self._ask(target))

    def keep_on(self, n, *request):
        for _ in range(n):
            self._start("one that keeps on", self._keep_on(wire.request(*request)))

    def websockets(self, n, target):
        for _ in range(n):
            self._start("a WebSocket", self._websocket(target))

    def event_streams(self, n, target):
        for _ in range(n):
            self._start("an event stream", self._event_stream(target))

    def done(self, within):
        for job in self.jobs:
            job.result(within)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(within)
        self.loop.close()

    async def _connect(self):
        return await asyncio.open_connection(*self.address)

    async def _ask(self, target):
        reader, writer = await self._connect()
        writer.write(wire.request("GET", target))
        answer = await read_answer(reader)
        self.statuses.append(answer.status)
        assert answer.has("Connection", "close") and await reader.read() == b""
        writer.close()

    async def _keep_on(self, request):
        """Until a connect is refused, which alone is no failure."""
        while True:
            began = time.monotonic()
            try:
                reader, writer = await self._connect()
            except ConnectionRefusedError:
                return
            await self._keep_asking(reader, writer, request, began)
            writer.close()

    async def _keep_asking(self, reader, writer, request, idle_since):
        closes = False
        while not closes:
            announced, asked = self.announced, time.monotonic()
            writer.write(request)
            try:
                answer = await read_answer(reader)
            except (EOFError, ConnectionError) as error:
                if asked - idle_since > RESTED:  # this process stood still, and weir closes what rests
                    return
                after, took = asked - idle_since, time.monotonic() - asked
                what = f"asked after {after:.3f} s, ended {took:.3f} s later"
                raise AssertionError(f"{what}: {error!r}") from error
            assert answer.status == 200, answer
            self.rounds += 1
            closes, idle_since = answer.has("Connection", "close"), time.monotonic()
            self.unannounced += announced and not closes
            await asyncio.sleep(random.random() * PAUSE)
        assert await reader.read() == b""

    async def _websocket(self, target):
        reader, writer = await self._connect()
        fields = ("Connection: Upgrade", "Upgrade: websocket")
        writer.write(wire.request("GET", target, *fields))
        assert (await read_answer(reader)).status == 101
        got = b""
        while not got.endswith(GOING_AWAY):
            piece = await reader.read(65536)
            assert piece, "ended without a Close frame"
            got += piece
        whole = got[: -len(GOING_AWAY)]
        assert whole == FRAME * (len(whole) // len(FRAME)), "not at a boundary"
        writer.write(b"\x88\x82mask\x6e\x88")
        assert await reader.read() == b"", "more after the Close frame"
        writer.close()

    async def _event_stream(self, target):
        reader, writer = await self._connect()
        writer.write(wire.request("GET", target))
        assert (await read_answer(reader)).status == 200
        chunks = wire.ChunkReader()
        body = b""
        while not chunks.done:
            piece = await reader.read(65536)
            assert piece, "ended without the last chunk"
            body += chunks.feed(piece)
        assert body == EVENT * (len(body) // len(EVENT)), "not at a boundary"
        assert await reader.read() == b""
        writer.close()
