"""A mixed load on one address, in a process of its own: short and long requests and uploads, on kept and
on new connections. Requests are not retried, and each one without the expected response is counted."""

import asyncio
import json
import random
import sys
import time

from . import wire
from .child import Child
from .drainload import read_answer

PADDING = '"padding":"%s"'
PAUSE = 0.1  # seconds that a client rests between two requests, at most
BEAT = 1.1  # seconds: when the bursts come. Between them, a balancer's connections are idle


class MixedLoad(Child):
    """`kept` and `new`: clients of each kind; a third of the kept ones send their requests all at once.
    `holders`: clients with kept connections whose requests all take `hold_ms`. stop() returns the result
    of Clients.report() when each request has ended."""

    def __init__(self, port, kept, new, holders=0, hold_ms=0, seed=1):
        super().__init__("mixedload", *map(str, (port, kept, new, holders, hold_ms, seed)), begins=False)


class Clients:
    def __init__(self, port, seed):
        self.port, self.dice = port, random.Random(seed)
        self.over = False
        self.number = 0
        self.began = time.monotonic()
        self.took = {}  # seconds of each request, by kind
        self.failures = []

    async def run(self, kept, new, holders, hold_ms):
        def hold():
            return self._work(hold_ms)

        jobs = [self._keeps(self._mixed) for _ in range(kept - kept // 3)]
        jobs += [self._keeps(self._mixed, on_the_beat=True) for _ in range(kept // 3)]
        jobs += [self._opens_anew(self._mixed) for _ in range(new)]
        jobs += [self._keeps(hold, within=hold_ms / 1e3) for _ in range(holders)]
        tasks = [asyncio.ensure_future(job) for job in jobs]
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        self.over = True
        await asyncio.gather(*tasks)

    # ---- requests: (name, bytes, the expected body) ------------------------------------------------

    def _mixed(self):
        choice = self.dice.random()
        if choice < 0.4:
            return self._echo("GET", None)
        if choice < 0.7:
            return self._work(50)
        if choice < 0.8:
            return self._work(1000)
        return self._echo("POST", b"x" * self.dice.choice((100, 3000, 20_000, 100_000)))

    def _id(self):
        """Identifies a failed request in weir's access log; the app ignores it."""
        self.number += 1
        return f"id={self.number}"

    def _work(self, ms):
        padding = self.dice.randrange(2000)
        target = f"/usuarios?ms={ms}&bytes={padding}&{self._id()}"
        end = (PADDING % ("x" * padding) if padding else "") + "}"
        return f"{ms} ms", wire.request("GET", target), lambda body: body.endswith(end.encode())

    def _echo(self, method, body):
        query, size = self._id(), len(body or b"")

        def right(answer):
            said = json.loads(answer)
            return said["query"] == query and said["body_bytes"] == size

        return "upload" if body else "short", wire.request(method, f"/echo?{query}", body=body), right

    # ---- clients -----------------------------------------------------------------------------------

    async def _keeps(self, request, within=PAUSE, on_the_beat=False):
        """A connection for up to a hundred requests."""
        await asyncio.sleep(self.dice.random() * within)
        while not self.over:
            await self._connection(request, self.dice.randrange(1, 100), on_the_beat)

    async def _opens_anew(self, request):
        while not self.over:
            await self._connection(request, 1)

    async def _connection(self, request, requests, on_the_beat=False):
        writer = None
        for nth in range(requests):
            name, data, right = request()
            began = time.monotonic()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                again = await self._ask(reader, writer, data, right)
                self.took.setdefault(name, []).append(time.monotonic() - began)
            except Exception as error:  # pylint: disable=broad-except
                self._failed(data.split()[1].decode(), nth, began, error)
                break
            if self.over or not again:
                break
            beat = BEAT - time.monotonic() % BEAT
            await asyncio.sleep(beat if on_the_beat else self.dice.random() * PAUSE)
        if writer:
            writer.close()

    async def _ask(self, reader, writer, data, right):
        """True if the connection may be used again."""
        half = len(data) // 2 if len(data) > 1000 and self.dice.random() < 0.2 else 0
        if half:
            writer.write(data[:half])
            await asyncio.sleep(0.02)
        writer.write(data[half:])
        answer = await asyncio.wait_for(read_answer(reader), 60)
        assert answer.status == 200, f"{answer.status} {answer.get('Weir-Reason')}"
        assert right(answer.body), f"a wrong body: {answer.body[:200]}"
        return not answer.has("Connection", "close")

    # ---- the result --------------------------------------------------------------------------------

    def _failed(self, target, nth, began, error):
        at, took = began - self.began, time.monotonic() - began
        self.failures.append(f"at {at:.3f} s, {target}, number {nth} of its connection, after {took:.3f} s: {error!r}")

    def report(self):
        """`times`: of each kind, how many were served, and the median, p99 and longest in seconds."""
        took = {**self.took, "all": [t for times in self.took.values() for t in times]}
        return {
            "seconds": time.monotonic() - self.began,
            "served": len(took["all"]),
            "failures": self.failures,
            "times": {name: summary(sorted(times)) for name, times in took.items()},
        }


def summary(times):
    if not times:
        return [0, 0, 0, 0]
    return [len(times), times[len(times) // 2], times[len(times) * 99 // 100], times[-1]]


def main():
    port, kept, new, holders, hold_ms, seed = map(int, sys.argv[1:])
    clients = Clients(port, seed)
    asyncio.run(clients.run(kept, new, holders, hold_ms))
    print(json.dumps(clients.report()))


if __name__ == "__main__":
    main()
