#!/usr/bin/env python3
"""What a limit does to FastAPI's `def` handlers: the figures in docs/operations.md.

100 clients, each sending its next request when it has the response to the last, to a handler that sleeps
100 ms in the thread pool of 40; directly, and behind weir limited to 80 and to 40. One line for each
interpreter that is named; each needs FastAPI and Uvicorn. Standard library only. Loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterator

sys.dont_write_bytecode = True  # before our own modules: nothing is left in the tree
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from compare import version  # noqa: E402
from processes import BenchError, Process, free_port, wait_until_listening  # noqa: E402

CLIENTS = 100
WARM_S = 2.0


async def client(port: int, until: float, took: list[tuple[float, float]]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (sent := time.monotonic()) < until:
        writer.write(b"GET /work/1 HTTP/1.1\r\nHost: app\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise BenchError(f"the app answered {head.splitlines()[0]!r}")
        length = int(head.lower().split(b"content-length:")[1].split()[0])
        await reader.readexactly(length)
        took.append((sent, time.monotonic() - sent))
    writer.close()


async def load(port: int, seconds: float) -> tuple[float, list[float]]:
    """Responses a second, and the times they took, sorted."""
    begin = time.monotonic()
    took: list[tuple[float, float]] = []
    await asyncio.gather(*(client(port, begin + WARM_S + seconds, took) for _ in range(CLIENTS)))
    counted = sorted(t for sent, t in took if sent > begin + WARM_S)
    return len(counted) / seconds, counted


@contextlib.contextmanager
def app(python: pathlib.Path, directory: pathlib.Path, cores: set[int]) -> Iterator[int]:
    port = free_port()
    argv = [str(python), "-m", "uvicorn", "app:app", "--app-dir", str(HERE)]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    with Process(argv, cores, directory / "uvicorn.log") as process:
        wait_until_listening(process, port, 20)
        yield port


@contextlib.contextmanager
def weir(binary: pathlib.Path, app_port: int, limit: int, directory: pathlib.Path, cores: set[int]):
    port = free_port()
    argv = [str(binary), "serve", "--upstream", f"127.0.0.1:{app_port}", "--admin-listen", "off"]
    argv += ["--listen", f"127.0.0.1:{port}", "--concurrency", str(limit)]
    with Process(argv, cores, directory / "weir.log") as process:
        wait_until_listening(process, port)
        yield port


def figures(port: int, seconds: float) -> str:
    rate, took = asyncio.run(load(port, seconds))

    def quantile(q: float) -> float:
        return took[min(len(took) - 1, int(q * len(took)))]

    return f"{rate:.0f}/s p50 {quantile(0.5):.2f} p99 {quantile(0.99):.2f} max {took[-1]:.2f} s"


def measure(options: argparse.Namespace, python: pathlib.Path) -> str:
    cores = os.sched_getaffinity(0)
    found = []
    with tempfile.TemporaryDirectory() as name, app(python, pathlib.Path(name), cores) as port:
        found.append("direct " + figures(port, options.seconds))
        for limit in (80, 40):
            with weir(options.weir, port, limit, pathlib.Path(name), cores) as through:
                found.append(f"limit {limit} " + figures(through, options.seconds))
    return "; ".join(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pythons", type=pathlib.Path, nargs="+", help="with FastAPI and Uvicorn")
    parser.add_argument("--weir", type=pathlib.Path, default=ROOT / "build" / "weir")
    parser.add_argument("--seconds", type=float, default=15, help="counted, of each load (15)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    code = "from importlib.metadata import version as v; " \
           "print(*(n + ' ' + v(n) for n in ('fastapi', 'starlette', 'uvicorn', 'anyio')))"
    try:
        for _ in range(options.rounds):
            for python in options.pythons:
                print(f"{version([str(python), '-c', code])}: {measure(options, python)}", flush=True)
    except BenchError as error:
        print(f"fastapi_tail: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
