"""What the differential tests share: a judge's notes, and both ends of weir on one event loop.

Each connection has a strict reader behind it. One process and one thread, so that what weir has
sent to one end before it spoke to the other is there when the other is read.
"""

import asyncio
import contextlib
import os
import random
from collections import Counter

from .reader import Responses
from .seed import SEED
from .world import scaled

LONG = int(os.environ.get("WEIR_MESSAGES", "0"))  # make differential
REQUESTS = LONG or scaled(6000, least=600)
ANSWERS = LONG // 5 or scaled(1200, least=120)
SECONDS = 60 + (REQUESTS + ANSWERS) // 100  # of a machine that is busy with other things
AT_ONCE = 120  # connections
ROUND = 2000  # connections that are judged together
PATIENCE = 30  # seconds, for a connection to come to its end
SHOWN, ENOUGH = 6, 100  # failures

# weir waits for as long as a busy test may need; what hangs runs out of our patience first.
PATIENT = {
    "concurrency": 64, "queue_length": 1000, "queue_timeout": "60s", "client_head_timeout": "60s",
    "client_body_timeout": "60s", "client_half_close": "allow", "upstream_idle_timeout": "60s",
    "headers_trusted": "none",
}  # fmt: skip


class Findings:
    """What weir did wrong, with the bytes that show it; and how much was judged."""

    def __init__(self):
        self.failures, self.tally, self.refused = [], Counter(), Counter()

    def add(self, what, *bytes_):
        self.failures.append("\n    ".join([what, *(repr(bytes(b[-1500:])) for b in bytes_)]))

    def may_refuse(self, classes):
        """Notes the first of the classes, if there is one."""
        for why in classes[:1]:
            self.refused[why] += 1
        return bool(classes)

    def report(self, capsys):
        with capsys.disabled() if LONG else contextlib.nullcontext():
            print(f"\nWEIR_SEED={SEED}: {dict(self.tally)}")
            for why, n in sorted(self.refused.items()):
                print(f"{n:6} refused: {why}")
        shown = "\n".join(self.failures[:SHOWN])
        assert not self.failures, f"WEIR_SEED={SEED}: {len(self.failures)} failures\n{shown}"


def rng_of(*names):
    return random.Random("/".join(map(str, (SEED, *names))))


class Peer(asyncio.Protocol):
    """A connection whose bytes go to a strict reader as they come."""

    def __init__(self, stream):
        self.stream, self.transport, self.lost = stream, None, None
        self.raw = bytearray()  # all that came
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.raw += data
        self.stream.feed(data)
        self.on_read()

    def connection_lost(self, exc):
        self.lost = exc
        if not self.ended.done():
            self.ended.set_result(None)

    async def write(self, pieces):
        for piece in pieces:
            if self.transport.is_closing():
                return
            self.transport.write(piece)
            if len(pieces) > 1:
                await asyncio.sleep(0)


class Client(Peer):
    """Sends its bytes and reads the answers until weir closes, or until it has `enough`."""

    def __init__(self, methods, enough):
        super().__init__(Responses(methods))
        self.enough = enough

    def on_read(self):
        has_enough = self.enough and len(self.stream.done) >= self.enough
        if has_enough or self.stream.problem:
            self.transport.close()

    async def run(self, pieces, half_close):
        """False: it came to no end."""
        await self.write(pieces)
        if half_close and not self.transport.is_closing():
            with contextlib.suppress(OSError):  # it is reset already
                self.transport.write_eof()
        try:
            await asyncio.wait_for(self.ended, PATIENCE)
        except asyncio.TimeoutError:
            self.transport.abort()
            return False
        return True


async def connect(weir, methods, enough):
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(lambda: Client(methods, enough), *weir.address))[1]


async def many(count, one):
    """Runs one(n) for each n below `count`, so many at once."""
    numbers = iter(range(count))

    async def worker():
        for n in numbers:
            await one(n)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


async def settle(weir, findings):
    """Until weir is quiet, and what it has sent is read."""
    try:
        await asyncio.to_thread(weir.wait_quiet)
    except AssertionError as error:
        findings.add(f"weir does not come to rest: {error}")
    for _ in range(20):
        await asyncio.sleep(0)


def run_rounds(listener, findings, wanted, make_round):
    """Rounds of connections, until so many messages are judged or enough has failed.

    make_round(numbers) has `run()`, and `accept()`, the protocol of a connection from weir.
    """

    async def run():
        rounds, first = [], 0
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: rounds[-1].accept(), sock=listener)
        while findings.tally["judged"] < wanted and len(findings.failures) < ENOUGH:
            count = min(ROUND, (wanted - findings.tally["judged"]) // 2 + 50)
            rounds[:] = [make_round(range(first, first + count))]
            await rounds[-1].run()
            first += count
        server.close()

    asyncio.run(run())
