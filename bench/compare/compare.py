#!/usr/bin/env python3
"""What limiters do when there is more work than slots: the table in README.md.

Ten slots of 100 ms each. Every program stands alone in front of the same app, in turn:

  hasty    requests at twice what the slots serve, from clients that leave after 0.05 s, in the middle of
           their handler's work. How many handlers run at once?
  gone     requests at twice and at five times what the slots serve; a client that has no response after
           0.5 s closes its connection. How many handlers run at once? How many requests reach the
           app after their client has left? How many clients a second get their response?
  patient  requests at twice what the slots serve, for 3 s, from clients that wait. Which share of
           them is overtaken by a request that came at least 5 ms later?

The app and the clients share one process and one clock. A handler runs its 100 ms whether or not its
client is still there, as a thread pool does. Knative's queue-proxy is measured when --knative names its
binary (`go install knative.dev/serving/cmd/queue@v0.39.0` is release-1.12), Uvicorn with FastAPI when
--python names an interpreter that has both. Standard library only. Loopback only; each run is bounded.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable

sys.dont_write_bytecode = True  # before our own modules: nothing is left in the tree
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from processes import BenchError, Process, free_port, wait_until_listening  # noqa: E402
from programs import fill_in  # noqa: E402

SLOTS = 10
SERVICE_S = 0.1
PATIENCE_S = 0.5
HASTY_S = 0.05
HASTY = "hasty"  # beside the factors 2 and 5
SHORT_QUEUE = "300ms"  # patience less the service time, and a little
WARM_S = 2.0  # not counted: the queue fills
OVERTAKEN_BY_S = 0.005
LEFT_BY_S = 0.02  # a request sent to the app later than this after its client had left
HEAD = re.compile(rb"GET /work/(\d+) HTTP/1\.[01]\r\n")


# ---- the app ---------------------------------------------------------------------------------


class App(asyncio.Protocol):
    """One connection to the app. All connections write into the same record."""

    def __init__(self, record: Record):
        self.record = record
        self.pending = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while b"\r\n\r\n" in self.pending:
            head, self.pending = self.pending.split(b"\r\n\r\n", 1)
            found = HEAD.match(head + b"\r\n")
            if found is None:  # a probe
                self.respond()
                continue
            self.record.begin(int(found.group(1)))
            asyncio.get_running_loop().call_later(SERVICE_S, self.end)

    def end(self) -> None:
        self.record.running -= 1
        self.respond()

    def respond(self) -> None:
        if self.transport is not None:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@dataclasses.dataclass
class Record:
    """Which requests have begun in the app, when, and how many ran at once at the most."""

    running: int = 0
    most: int = 0
    begun: dict[int, float] = dataclasses.field(default_factory=dict)

    def begin(self, number: int) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun[number] = time.monotonic()

    def take(self) -> tuple[int, dict[int, float]]:
        taken = self.most, dict(self.begun)
        self.begun.clear()
        self.most = self.running
        return taken


# ---- the clients -----------------------------------------------------------------------------


@dataclasses.dataclass
class Visit:
    """One request of one client, with a connection of its own."""

    number: int
    sent: float
    ended: float = 0
    status: int = 0  # 0: none came; the client has left
    refused_after: float = 0


async def visit(port: int, path: str, number: int, patience: float) -> Visit:
    result = Visit(number, time.monotonic())
    writer = None
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n".encode())
            line = await reader.readline()
            if line:
                await reader.read()
                result.status = int(line.split()[1])
    except (OSError, TimeoutError):
        pass
    if writer is not None:
        writer.transport.abort() if result.status == 0 else writer.close()
    result.ended = time.monotonic()
    return result


async def offer(
    port: int, first: int, rate: float, seconds: float, patience: float
) -> list[Visit]:
    """An open loop: request i is sent at i / rate, whatever became of those before."""
    begin = time.monotonic()
    tasks = []
    for i in range(int(rate * seconds)):
        await asyncio.sleep(max(0, begin + i / rate - time.monotonic()))
        number = first + i
        tasks.append(asyncio.create_task(visit(port, f"/work/{number}", number, patience)))
    return list(await asyncio.gather(*tasks))


# ---- the programs ----------------------------------------------------------------------------


def weir(
    options, port: int, app: int, directory: pathlib.Path, queue_timeout="10s", order="adaptive"
):
    argv = [str(options.weir), "serve", "--upstream", f"127.0.0.1:{app}"]
    argv += ["--listen", f"127.0.0.1:{port}", "--admin-listen", "off"]
    argv += ["--concurrency", str(SLOTS), "--queue-order", order]
    return [*argv, "--queue-timeout", queue_timeout], {}


def weir_fifo(options, port: int, app: int, directory: pathlib.Path):
    return weir(options, port, app, directory, order="fifo")


def weir_fifo_short(options, port: int, app: int, directory: pathlib.Path):
    return weir(options, port, app, directory, SHORT_QUEUE, "fifo")


def haproxy(_, port: int, app: int, directory: pathlib.Path, line="", queue_timeout="10s"):
    config = fill_in(
        "compare/haproxy.cfg",
        directory,
        listen=f"127.0.0.1:{port}",
        upstream=f"127.0.0.1:{app}",
        limit=SLOTS,
        abortonclose=line,
        queue_timeout=queue_timeout,
    )
    return ["haproxy", "-db", "-f", str(config)], {}


def haproxy_short(options, port: int, app: int, directory: pathlib.Path):
    return haproxy(options, port, app, directory, queue_timeout=SHORT_QUEUE)


def haproxy_abort(options, port: int, app: int, directory: pathlib.Path):
    return haproxy(options, port, app, directory, "option abortonclose")


def nginx(_, port: int, app: int, directory: pathlib.Path):
    config = fill_in(
        "compare/nginx.conf",
        directory,
        listen=f"127.0.0.1:{port}",
        upstream=f"127.0.0.1:{app}",
        limit=SLOTS,
        directory=directory,
        user="user root;" if os.geteuid() == 0 else "",
    )
    return ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(config)], {}


def knative(options, port: int, app: int, directory: pathlib.Path):
    probe = {"tcpSocket": {"host": "127.0.0.1", "port": app}, "successThreshold": 1}
    env = {
        "CONTAINER_CONCURRENCY": str(SLOTS),
        "QUEUE_SERVING_PORT": str(port),
        "QUEUE_SERVING_TLS_PORT": str(free_port()),
        "USER_PORT": str(app),
        "REVISION_TIMEOUT_SECONDS": "60",
        "SERVING_NAMESPACE": "default",
        "SERVING_CONFIGURATION": "app",
        "SERVING_REVISION": "app-1",
        "SERVING_SERVICE": "app",
        "SERVING_POD": "app-1-0",
        "SERVING_POD_IP": "127.0.0.1",
        "SERVING_LOGGING_CONFIG": "",
        "SERVING_LOGGING_LEVEL": "error",
        "SERVING_READINESS_PROBE": json.dumps(probe),
        "SERVING_REQUEST_METRICS_BACKEND": "none",
        "METRICS_DOMAIN": "knative.dev/internal/serving",
        "SYSTEM_NAMESPACE": "knative-serving",
    }
    return [str(options.knative)], env


def uvicorn(options, port: int, _: int, directory: pathlib.Path):
    argv = [str(options.python), "-m", "uvicorn", "app:app", "--app-dir", str(HERE)]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    return [*argv, "--limit-concurrency", str(SLOTS)], {}


def installed(name: str) -> bool:
    return shutil.which(name) is not None


@dataclasses.dataclass(frozen=True)
class Program:
    title: str
    command: Callable
    needs: Callable[[argparse.Namespace], bool]


PROGRAMS = (
    Program("weir", weir, lambda o: o.weir.exists()),
    Program("weir, `queue.order` fifo", weir_fifo, lambda o: o.weir.exists()),
    Program("weir, fifo, `queue.timeout` 300ms", weir_fifo_short, lambda o: o.weir.exists()),
    Program("HAProxy `maxconn`", haproxy, lambda _: installed("haproxy")),
    Program("HAProxy `maxconn`, `timeout queue` 300ms", haproxy_short, lambda _: installed("haproxy")),
    Program("HAProxy `maxconn`, `abortonclose`", haproxy_abort, lambda _: installed("haproxy")),
    Program("nginx `limit_conn`", nginx, lambda _: installed("nginx")),
    Program("Knative queue-proxy", knative, lambda o: o.knative is not None),
    Program("Uvicorn `--limit-concurrency`", uvicorn, lambda o: o.python is not None),
)


# ---- one program, three loads ----------------------------------------------------------------


@dataclasses.dataclass
class Outcome:
    most: dict[int | str, int] = dataclasses.field(default_factory=dict)
    goodput: dict[int, float] = dataclasses.field(default_factory=dict)
    left: int = 0
    sent_after_left: int = 0
    refused_ms: float | None = None
    overtaken: float = 0
    waited: int = 0


def report_of(port: int) -> tuple[int, dict[int, float]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/report", timeout=10) as response:
        answer = json.load(response)
    return answer["most"], {int(k): v for k, v in answer["begun"].items()}


def overtaken_share(visits: list[Visit], begun: dict[int, float]) -> tuple[float, int]:
    """Of those served: which share saw a request begin first that was sent OVERTAKEN_BY_S later?"""
    served = [v for v in visits if v.number in begun and v.status == 200]
    overtaken = 0
    earliest = float("inf")  # begin of any sent so much later
    later = len(served)
    for v in reversed(served):
        while later > 0 and served[later - 1].sent > v.sent + OVERTAKEN_BY_S:
            later -= 1
            earliest = min(earliest, begun[served[later].number])
        overtaken += earliest < begun[v.number] - 0.001
    return (overtaken / len(served) if served else 0), len(served)


async def settle(record: Record) -> None:
    """Until nothing has begun in the app for half a second: what was queued has been served."""
    deadline = time.monotonic() + 40
    count, since = len(record.begun), time.monotonic()
    while time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        if len(record.begun) != count or record.running > 0:
            count, since = len(record.begun), time.monotonic()
        elif time.monotonic() - since > 0.5:
            return


async def measure(options, port: int, record: Record, own: bool) -> Outcome:
    result = Outcome()
    rate = SLOTS / SERVICE_S
    number = 0

    async def take() -> tuple[int, dict[int, float]]:
        if own:
            await settle(record)
            return record.take()
        await asyncio.sleep(1)
        return await asyncio.to_thread(report_of, port)

    visits = await offer(port, number, 2 * rate, 2, HASTY_S)
    number += len(visits)
    result.most[HASTY], _ = await take()
    for factor in (2, 5):
        seconds = WARM_S + options.seconds
        visits = await offer(port, number, factor * rate, seconds, PATIENCE_S)
        number += len(visits)
        result.most[factor], begun = await take()
        counted = [v for v in visits if v.sent > visits[0].sent + WARM_S]
        result.goodput[factor] = sum(v.status == 200 for v in counted) / options.seconds
        left = [v for v in visits if v.status == 0]
        result.left += len(left)
        result.sent_after_left += sum(begun.get(v.number, 0) > v.ended + LEFT_BY_S for v in left)
        refused = [v.ended - v.sent for v in visits if v.status not in (0, 200)]
        if refused:
            result.refused_ms = 1000 * statistics.median(refused)
    visits = await offer(port, number, 2 * rate, 3, 30)
    _, begun = await take()
    result.overtaken, result.waited = overtaken_share(visits, begun)
    return result


@contextlib.asynccontextmanager
async def app_running(record: Record) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: App(record), "127.0.0.1", 0, backlog=4096)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def run(options: argparse.Namespace, program: Program, directory: pathlib.Path) -> Outcome:
    record = Record()
    async with app_running(record) as app:
        port = free_port()
        argv, env = program.command(options, port, app, directory)
        cores = os.sched_getaffinity(0)
        with Process(argv, cores, directory / "log", env) as process:
            await asyncio.to_thread(wait_until_listening, process, port, 20)
            return await measure(options, port, record, program.command is not uvicorn)


# ---- the table -------------------------------------------------------------------------------


def row(program: Program, o: Outcome) -> str:
    sent = f"{o.sent_after_left} of {o.left}" if o.left else "-"
    refused = f"{o.refused_ms:.0f} ms" if o.refused_ms is not None else "-"
    cells = [
        program.title,
        f"{o.most[HASTY]}; {o.most[2]}; {o.most[5]}",
        f"{o.goodput[2]:.0f}; {o.goodput[5]:.0f}",
        sent,
        f"{100 * o.overtaken:.0f}% of {o.waited}",
        refused,
    ]
    return "| " + " | ".join(cells) + " |"


def version(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def versions(options: argparse.Namespace) -> list[str]:
    found = [version([str(options.weir), "version"])]
    if installed("haproxy"):
        found.append(version(["haproxy", "-v"]))
    if installed("nginx"):
        found.append(version(["nginx", "-v"]))
    if options.python:
        names = "fastapi", "uvicorn", "anyio"
        code = f"from importlib.metadata import version as v; print(*('%s %s' % (n, v(n)) for n in {names}))"
        found.append(version([str(options.python), "-c", code]))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weir", type=pathlib.Path, default=ROOT / "build" / "weir")
    parser.add_argument("--knative", type=pathlib.Path, help="queue-proxy's binary")
    parser.add_argument("--python", type=pathlib.Path, help="an interpreter with FastAPI, Uvicorn")
    parser.add_argument("--seconds", type=float, default=6, help="counted, of each load (6)")
    parser.add_argument("--only", default="", help="a part of a program's name")
    options = parser.parse_args()
    print("# " + "; ".join(versions(options)), flush=True)
    print("| | handlers at once: hasty; at 2x; 5x | responses in time a second, at 2x; 5x "
          "| sent although the client had left | overtaken | refused after |")
    print("|---|---|---|---|---|---|")
    try:
        for program in PROGRAMS:
            if options.only.lower() not in program.title.lower():
                continue
            if not program.needs(options):
                print(f"# {program.title}: not measured, it is not here (--help)")
                continue
            with tempfile.TemporaryDirectory() as directory:
                outcome = asyncio.run(run(options, program, pathlib.Path(directory)))
            print(row(program, outcome), flush=True)
    except BenchError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
