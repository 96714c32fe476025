"""An app that holds each request for `ms` milliseconds and notes when it was inside, in a process of
its own, so that nothing here delays it. Its clock is the monotonic one, which is the same here."""

import asyncio
import json
import re
import sys

from .child import Child
from .weir import free_port

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Stopwatch(Child):
    """stop(): {target: (begin, end)}"""

    def __init__(self):
        self.upstream = f"127.0.0.1:{free_port()}"
        super().__init__("stopwatch", self.upstream)


class _App(asyncio.Protocol):
    noted = {}

    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        loop, self.buffer = asyncio.get_running_loop(), self.buffer + data
        if not self.buffer.endswith(b"\r\n\r\n"):
            return
        now, target = loop.time(), self.buffer.split(b" ", 2)[1].decode()
        self.buffer = b""
        hold = int(re.search(r"\bms=(\d+)", target)[1]) / 1000
        loop.call_at(now + hold, self._end, target, now)

    def _end(self, target, began):
        self.noted[target] = (began, asyncio.get_running_loop().time())
        self.transport.write(ANSWER)


async def _serve(address):
    loop = asyncio.get_running_loop()
    host, port = address.split(":")
    server = await loop.create_server(_App, host, int(port), backlog=1000)
    print("begun", flush=True)
    ended = loop.run_in_executor(None, sys.stdin.read)
    await ended
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
    print(json.dumps(_App.noted))
