"""Requests at times that were chosen beforehand, however the answers come: an open loop, as many
clients are together. Each asks on a connection that is free, or a new one."""

import asyncio
import random
import re
import time
from collections import namedtuple

# status and Weir-Reason, seconds on the client's clock, what Server-Timing says, in seconds, and
# the moment of the request on the client's clock
Outcome = namedtuple("Outcome", "status reason seconds queue app began", defaults=[None])


def poisson(rate, seconds, seed):
    """Moments of arrival, in seconds."""
    dice, at, moments = random.Random(seed), 0.0, []
    while True:
        at += dice.expovariate(rate)
        if at > seconds:
            return moments
        moments.append(at)


def run(port, arrivals, patience=None, field=None):
    """`arrivals`: (moment, target), ascending. An Outcome of each, in that order. With `patience`,
    in seconds, a client that has waited so long closes its connection; its status is 0. `field` is
    called with the target, and returns one more header field."""
    return asyncio.run(_Loop(port, patience, field).run(arrivals))


class _Loop:
    def __init__(self, port, patience, field):
        self.port, self.patience, self.field, self.free = port, patience, field, []

    async def run(self, arrivals):
        begun, tasks = time.monotonic(), []
        for moment, target in arrivals:
            await asyncio.sleep(begun + moment - time.monotonic())
            tasks.append(asyncio.ensure_future(self._ask_or_leave(target)))
        outcomes = await asyncio.gather(*tasks)
        for _, writer in self.free:
            writer.close()
        return outcomes

    async def _ask_or_leave(self, target):
        if self.patience is None:
            return await self._ask(target)
        try:
            return await asyncio.wait_for(self._ask(target), self.patience)
        except asyncio.TimeoutError:
            return Outcome(0, None, self.patience, None, None)

    async def _ask(self, target):
        reader, writer = await self._connection()
        try:
            return await self._ask_on(reader, writer, target)
        except asyncio.CancelledError:
            writer.close()
            raise

    async def _connection(self):
        while self.free:
            reader, writer = self.free.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()  # it was idle for too long
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def _ask_on(self, reader, writer, target):
        began = time.monotonic()
        more = f"{self.field(target)}\r\n" if self.field else ""
        writer.write(f"GET {target} HTTP/1.1\r\nHost: weir.test\r\n{more}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        await reader.readexactly(int(_field(head, "content-length")))
        seconds = time.monotonic() - began
        self.free.append((reader, writer))
        timing = " ".join(re.findall(r"(?im)^server-timing:(.*)$", head))
        return Outcome(
            int(head.split(" ", 2)[1]),
            _field(head, "weir-reason"),
            seconds,
            _spent(timing, "queue"),
            _spent(timing, "app"),
            began,
        )


def _field(head, name):
    found = re.search(rf"(?im)^{name}: *(.*?)\r$", head)
    return found and found[1]


def _spent(timing, what):
    """The first of its name: weir's stands after the app's, but only weir says `queue`."""
    found = re.search(rf"\b{what};dur=([\d.]+)", timing)
    return float(found[1]) / 1000 if found else None
