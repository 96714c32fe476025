#!/usr/bin/env python3
"""What weir costs beside HAProxy, nginx and a plain byte relay.

Builds the helpers, starts everything on loopback, measures in interleaved rounds, judges by the
bounds in report.py, writes build/bench.json and docs/performance.md. Exit: 0 all bounds kept,
1 a bound missed, 2 nothing could be measured. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # before our own modules: nothing is left in the tree

import bulk
import page
import report
from machine import describe, raise_file_limit
from processes import BenchError, Process, SyscallCounter
from programs import LIMIT, Tools, running, version_of

ROOT = pathlib.Path(__file__).resolve().parent.parent
HELPERS = ROOT / "build" / "bench"
TIME_LIMIT_S = 480
LEAST_ROUNDS, ROUNDS_UNTIL_S = 3, 230  # a slow machine gets fewer rounds, never fewer than these

CFLAGS = (
    "-std=c11 -O2 -g -D_GNU_SOURCE -I. -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla "
    "-Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wcast-qual "
    "-Wconversion -Wformat=2 -Wswitch-enum -Wimplicit-fallthrough -fno-common -Werror"
).split()


@dataclasses.dataclass(frozen=True)
class Load:
    key: str
    title: str
    kind: str  # own, shared, unix
    connections: int
    head: str
    programs: tuple[str, ...] = ("weir", "haproxy", "nginx", "relay")


LOADS = (
    Load("own-64", "own core, 64 connections", "own", 64, "small"),
    Load("own-256", "own core, 256 connections", "own", 256, "small"),
    Load("own-browser", "own core, 64, browser's headers", "own", 64, "browser"),
    Load("shared-64", "shared core, 64 connections", "shared", 64, "small"),
    Load("shared-256", "shared core, 256 connections", "shared", 256, "small"),
    Load("shared-browser", "shared core, 64, browser's headers", "shared", 64, "browser"),
    Load("unix-64", "Unix socket, 64 connections", "unix", 64, "small"),
)


@dataclasses.dataclass(frozen=True)
class Size:
    """How much to measure. On a shared core everything is slower, so fewer requests do."""

    rounds: int
    warm: int
    requests: int
    requests_shared: int
    queue_rounds: int
    queued: int
    idle: int  # connections
    bulk_rounds: int
    bulk_first: int
    bulk_bytes: int


FULL = Size(
    rounds=5,
    warm=8_000,
    requests=60_000,
    requests_shared=30_000,
    queue_rounds=3,
    queued=10_000,
    idle=10_000,
    bulk_rounds=3,
    bulk_first=bulk.GIB,
    bulk_bytes=bulk.GIB // 4,
)
QUICK = Size(
    rounds=3,
    warm=4_000,
    requests=20_000,
    requests_shared=10_000,
    queue_rounds=1,
    queued=10_000,
    idle=10_000,
    bulk_rounds=1,
    bulk_first=bulk.GIB // 4,
    bulk_bytes=bulk.GIB // 16,
)
IDLE_AT_ONCE = 64  # few, so that no queue or crowd leaves its memory behind


@dataclasses.dataclass(frozen=True)
class Queue:
    title: str
    head: str
    unqueued: str  # the load whose cost is that of an unqueued request


QUEUES = (
    Queue("waiting, small headers", "small", "own-64"),
    Queue("waiting, browser's headers", "browser", "own-browser"),
)


class Bench:
    def __init__(self, tools: Tools, size: Size, programs: list[str]):
        self.tools = tools
        self.size = size
        self.programs = programs
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise BenchError("two cores are needed: one for the program, one for app and client")
        self.proxy_core = {cores[0]}
        self.other_core = {cores[1]}
        self.counter = SyscallCounter(tools.scratch)
        self.start = time.monotonic()
        self.idle_rss: dict[str, list[float]] = {name: [] for name in programs}

    # ---- pieces ------------------------------------------------------------------------------

    def elapsed(self) -> float:
        return time.monotonic() - self.start

    def check_time(self) -> None:
        if self.elapsed() > TIME_LIMIT_S:
            raise BenchError(f"not done after {TIME_LIMIT_S} s: the machine is too busy")

    def client(self, address: str, connections: int, head: str, cores: set[int]) -> Process:
        argv = [
            self.tools.helper("client"),
            address,
            str(connections),
            str(ROOT / "bench" / f"{head}.head"),
        ]
        return Process(argv, cores, self.tools.log("client"))

    @contextlib.contextmanager
    def origin(self):
        """The app, and its TCP and its Unix address."""
        path = f"unix:{self.tools.scratch}/app.socket"
        argv = [self.tools.helper("origin"), "127.0.0.1:0", path]
        with Process(argv, self.other_core, self.tools.log("origin")) as origin:
            port = origin.hear("ready").split()[0]
            yield origin, f"127.0.0.1:{port}", path

    def cores_of(self, load: Load) -> set[int]:
        return self.proxy_core if load.kind == "shared" else self.other_core

    @staticmethod
    def run(client: Process, requests: int) -> dict[str, int]:
        client.say(f"run {requests}")
        client.hear("sent", 60)
        words = client.hear("done", 60).split()
        done = {key: int(value) for key, value in (word.split("=") for word in words)}
        if done["errors"] or done["answered"] != requests:
            raise BenchError(f"{done['errors']} of {requests} requests failed{client.words()}")
        return done

    # ---- CPU a request -----------------------------------------------------------------------

    def measure(self, process: Process, address: str, load: Load) -> dict[str, float]:
        self.check_time()
        size = self.size
        requests = size.requests_shared if load.kind == "shared" else size.requests
        with self.client(address, load.connections, load.head, self.cores_of(load)) as client:
            client.hear("connected")
            self.run(client, self.size.warm)
            before, waited_before = process.cpu_ns(), process.waited_ns()
            done = self.run(client, requests)
            cpu = process.cpu_ns() - before
            waited = process.waited_ns() - waited_before
        return {
            "cpu_us": cpu / requests / 1000,
            "waited": waited / cpu,
            "rate": requests / done["took_ns"] * 1e9,
            "p50_us": done["p50_ns"] / 1000,
            "p99_us": done["p99_ns"] / 1000,
        }

    def round(self, index: int, results: dict[str, dict]) -> None:
        """Every load on every program once; fresh processes, so that their luck differs too."""
        with contextlib.ExitStack() as stack:
            origin, tcp, unix = stack.enter_context(self.origin())
            started = {}
            for name in self.programs:
                started[name, False] = stack.enter_context(
                    running(self.tools, name, tcp, self.proxy_core)
                )
                started[name, True] = stack.enter_context(
                    running(self.tools, name, unix, self.proxy_core)
                )
            for name in self.programs:
                process = started[name, False][0]
                process.wait_until_idle()
                self.idle_rss[name].append(process.rss_bytes())
            for position, load in enumerate(LOADS):
                origin.move(self.cores_of(load))
                shift = (index + position) % len(self.programs)
                for name in self.programs[shift:] + self.programs[:shift]:
                    process, address = started[name, load.kind == "unix"]
                    figures = self.measure(process, address, load)
                    into = results[load.key].setdefault(name, {})
                    for key, value in figures.items():
                        into.setdefault(key, []).append(value)

    def rounds(self) -> list[dict]:
        results: dict[str, dict] = {load.key: {} for load in LOADS}
        for index in range(self.size.rounds):
            say(f"round {index + 1} of {self.size.rounds}")
            self.round(index, results)
            if index + 1 >= LEAST_ROUNDS and self.elapsed() > ROUNDS_UNTIL_S:
                break
        return [
            {
                "key": load.key,
                "title": load.title,
                "kind": load.kind,
                "connections": load.connections,
                "head": load.head,
                "programs": {n: results[load.key][n] for n in self.programs},
            }
            for load in LOADS
        ]

    # ---- counts: system calls, allocations -----------------------------------------------------

    def syscalls(self, name: str, load: Load, upstream: str) -> float:
        self.check_time()
        requests = self.size.requests // 2
        with (
            running(self.tools, name, upstream, self.proxy_core) as (process, address),
            self.client(address, load.connections, load.head, self.other_core) as client,
        ):
            client.hear("connected")
            self.run(client, self.size.warm)
            calls = self.counter.count(process, lambda: self.run(client, requests))
        return calls / requests

    def allocations(self, load: Load, upstream: str) -> float:
        self.check_time()
        file = self.tools.scratch / "allocations"
        file.unlink(missing_ok=True)
        env = {"LD_PRELOAD": self.tools.helper("malloc_count.so"), "MALLOC_COUNT_FILE": str(file)}
        requests = self.size.requests // 2

        def calls() -> int:
            return int.from_bytes(file.read_bytes()[:8], sys.byteorder)

        with (
            running(self.tools, "weir", upstream, self.proxy_core, env) as (_, address),
            self.client(address, load.connections, load.head, self.other_core) as client,
        ):
            client.hear("connected")
            self.run(client, self.size.warm)
            before = calls()
            if before == 0:
                raise BenchError("the preloaded counter saw no allocation, not even at the start")
            self.run(client, requests)
            return (calls() - before) / requests

    def counts(self, loads: list[dict]) -> None:
        say("system calls and allocations")
        with self.origin() as (_, tcp, _):
            for load, result in zip(LOADS, loads):
                if load.kind != "own":
                    continue
                result["syscalls"] = {n: self.syscalls(n, load, tcp) for n in self.programs}
                if "weir" in self.programs:
                    result["allocations"] = self.allocations(load, tcp)

    # ---- waiting requests ----------------------------------------------------------------------

    def fill_and_drain(self, name: str, head: str) -> dict[str, float]:
        self.check_time()
        waiting = self.size.queued
        clients = waiting + LIMIT
        with (
            self.origin() as (origin, tcp, _),
            running(self.tools, name, tcp, self.proxy_core) as (process, address),
        ):
            process.wait_until_idle()
            rss_start = process.rss_bytes()
            origin.signal(signal.SIGUSR1)
            origin.hear("holding")
            with self.client(address, clients, head, self.other_core) as client:
                client.hear("connected", 60)
                process.wait_until_idle()
                rss_connected, cpu_connected = process.rss_bytes(), process.cpu_ns()
                client.say(f"run {clients}")
                client.hear("sent", 60)
                process.wait_until_idle()
                rss_queued, cpu_queued = process.rss_bytes(), process.cpu_ns()
                start = time.monotonic()
                origin.signal(signal.SIGUSR2)
                in_app = int(origin.hear("released"))
                done = client.hear("done", 60)
                took = time.monotonic() - start
                cpu_drained = process.cpu_ns()
            if f"answered={clients} errors=0 " not in done:
                raise BenchError(f"{name} did not answer all of {clients} waiting requests: {done}")
        return {
            "in_app": in_app,
            "connected_bytes": (rss_connected - rss_start) / clients,
            "queued_bytes": (rss_queued - rss_start) / waiting,
            "arrival_us": (cpu_queued - cpu_connected) / clients / 1000,
            "drain_us": (cpu_drained - cpu_queued) / clients / 1000,
            "drain_rate": clients / took,
        }

    def queues(self) -> list[dict]:
        say(f"{self.size.queued} waiting requests")
        names = [name for name in self.programs if name in ("weir", "haproxy")]
        results = []
        for queue in QUEUES:
            programs: dict[str, dict] = {name: {} for name in names}
            for index in range(self.size.queue_rounds):
                for name in names if index % 2 == 0 else names[::-1]:
                    for key, value in self.fill_and_drain(name, queue.head).items():
                        programs[name].setdefault(key, []).append(value)
            results.append(
                {**dataclasses.asdict(queue), "programs": programs}
            )
        return results

    # ---- idle connections ----------------------------------------------------------------------

    def idle_connections(self, name: str) -> float:
        """Bytes of each of many connections on which one request has been served."""
        self.check_time()
        with (
            self.origin() as (_, tcp, _),
            running(self.tools, name, tcp, self.proxy_core) as (process, address),
        ):
            process.wait_until_idle()
            before = process.rss_bytes()
            with self.client(address, self.size.idle, "small", self.other_core) as client:
                client.hear("connected", 60)
                client.say(f"visit {IDLE_AT_ONCE}")
                client.hear("sent", 60)
                done = client.hear("done", 60)
                if f"answered={self.size.idle} errors=0 " not in done:
                    raise BenchError(f"{name} did not serve every connection: {done}")
                process.wait_until_idle()
                return (process.rss_bytes() - before) / self.size.idle

    def idles(self) -> dict[str, list[float]]:
        say(f"{self.size.idle} idle connections")
        names = [name for name in self.programs if name != "relay"]
        return {
            name: [self.idle_connections(name) for _ in range(self.size.queue_rounds)]
            for name in names
        }

    def everything(self) -> dict:
        start_load = os.getloadavg()[0]
        versions = {n: version_of(self.tools, n) for n in self.programs if n != "relay"}
        loads = self.rounds()
        self.counts(loads)
        queues = self.queues()
        idles = self.idles()
        say("bulk transfers")
        bulks = bulk.bulks(self)
        return {
            "machine": describe(versions, start_load),
            "rounds": len(loads[0]["programs"][self.programs[0]]["cpu_us"]),
            "requests": {"own": self.size.requests, "shared": self.size.requests_shared},
            "limit": LIMIT,
            "queue_length": self.size.queued,
            "syscall_tool": self.counter.tool,
            "loads": loads,
            "queues": queues,
            "idle_connections": {"count": self.size.idle, "bytes": idles},
            "bulks": bulks,
            "idle_rss_bytes": self.idle_rss,
        }


# ---- around it ----------------------------------------------------------------------------------


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def build_helpers() -> None:
    HELPERS.mkdir(parents=True, exist_ok=True)
    cc = os.environ.get("CC", "cc").split()
    for name in ("origin", "relay", "client"):
        sources = [f"bench/{name}.c", "bench/net.c"]
        subprocess.run([*cc, *CFLAGS, "-o", HELPERS / name, *sources], cwd=ROOT, check=True)
    argv = [*cc, *CFLAGS, "-pthread", "-o", HELPERS / "bulk", "bench/bulk.c", "bench/net.c"]
    subprocess.run(argv, cwd=ROOT, check=True)
    shared = ["-shared", "-fPIC", "-o", HELPERS / "malloc_count.so", "bench/malloc_count.c"]
    subprocess.run([*cc, *CFLAGS, *shared], cwd=ROOT, check=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--weir", type=pathlib.Path, default=ROOT / "build" / "weir")
    parser.add_argument("--peers-only", action="store_true", help="without weir: no verdicts")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build" / "bench.json")
    parser.add_argument(
        "--page",
        type=pathlib.Path,
        help="the Markdown (docs/performance.md; with --quick build/performance.md)",
    )
    return parser.parse_args()


def programs_here(options: argparse.Namespace) -> list[str]:
    for tool in ("haproxy", "nginx"):
        if shutil.which(tool) is None:
            raise BenchError(f"{tool} is not installed (Debian: apt-get install haproxy nginx)")
    if options.peers_only:
        return ["haproxy", "nginx", "relay"]
    if not os.access(options.weir, os.X_OK):
        raise BenchError(f"{options.weir} is not there: run make build")
    return ["weir", "haproxy", "nginx", "relay"]


def bench(options: argparse.Namespace) -> dict:
    programs = programs_here(options)
    raise_file_limit(32768, FULL.queued + 1000)
    build_helpers()
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as scratch:
        tools = Tools(options.weir.resolve(), HELPERS, pathlib.Path(scratch))
        return Bench(tools, QUICK if options.quick else FULL, programs).everything()


def write_results(options: argparse.Namespace, results: dict) -> bool:
    judged = not options.peers_only
    path = options.page
    if path is None:
        quick = options.quick or options.peers_only
        path = ROOT / ("build" if quick else "docs") / "performance.md"
    text = report.markdown(results, judged)
    options.json.write_text(json.dumps(results, indent=1) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    old = path.read_text() if path.exists() else ""
    others = [part for name in ("overload", "ledger") if (part := page.part(old, name))]
    path.write_text("\n".join([text, *others]))
    print(text)
    return not judged or all(verdict.passed for verdict in report.verdicts(results))


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    options = arguments()
    try:
        return 0 if write_results(options, bench(options)) else 1
    except (BenchError, OSError, subprocess.SubprocessError) as problem:
        say(f"bench: {problem}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
