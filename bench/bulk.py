"""Large bodies: CPU per MiB, and the memory of the program while they pass through it."""

from __future__ import annotations

import contextlib
import dataclasses

from processes import Process
from programs import Tools, running

MIB = 1024 * 1024
GIB = 1024 * MIB
EVERYBODY = ("weir", "haproxy", "nginx", "relay")
ASK_TIMEOUT_S = 90


@dataclasses.dataclass(frozen=True)
class Bulk:
    key: str
    title: str
    verb: str  # of bench/bulk.c
    connections: int = 1
    message: int | None = None  # bytes; None: all in one
    programs: tuple[str, ...] = EVERYBODY
    large: bool = False  # judged; the peak of memory is taken after these


# The large ones come first: the peak of a process cannot be forgotten.
BULKS = (
    Bulk("down", "download in one message", "get", large=True),
    Bulk("up", "upload in one message", "put", large=True),
    Bulk("down-chunked", "the download in chunks", "get-chunked", programs=("weir",)),
    Bulk("up-chunked", "the upload in chunks", "put-chunked", programs=("weir",)),
    Bulk("down-1m", "responses of 1 MiB, 8 connections", "get", 8, MIB),
    Bulk("down-64k", "responses of 64 KiB, 8 connections", "get", 8, MIB // 16),
)


def ask(client: Process, verb: str, messages: int, length: int) -> int:
    """Moves so many messages; how many nanoseconds that took."""
    client.say(f"{verb} {messages} {length}")
    return int(client.hear("done took_ns=", ASK_TIMEOUT_S))


def measure(bench, process: Process, address: str, bulk: Bulk, total: int) -> dict[str, float]:
    bench.check_time()
    length = bulk.message or total
    argv = [bench.tools.helper("bulk"), "ask", address, str(bulk.connections)]
    with Process(argv, bench.other_core, bench.tools.log("bulk")) as client:
        client.hear("connected")
        ask(client, bulk.verb, 8 * bulk.connections, min(length, MIB))
        before, waited_before = process.cpu_ns(), process.waited_ns()
        took = ask(client, bulk.verb, total // length, length)
        cpu = process.cpu_ns() - before
        waited = process.waited_ns() - waited_before
    mib = total / MIB
    return {"cpu_us": cpu / mib / 1000, "waited": waited / cpu, "rate": mib / took * 1e9}


@contextlib.contextmanager
def origin(tools: Tools, cores: set[int]):
    argv = [tools.helper("bulk"), "serve", "127.0.0.1:0"]
    with Process(argv, cores, tools.log("bulk-origin")) as process:
        yield f"127.0.0.1:{process.hear('ready')}"


def one_round(bench, index: int, results: dict[str, dict], peaks: dict[str, int]) -> None:
    size = bench.size
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(origin(bench.tools, bench.other_core))
        started = {
            name: stack.enter_context(running(bench.tools, name, upstream, bench.proxy_core))
            for name in bench.programs
        }
        for position, bulk in enumerate(BULKS):
            shift = (index + position) % len(bench.programs)
            total = size.bulk_first if bulk.large and index == 0 else size.bulk_bytes
            for name in bench.programs[shift:] + bench.programs[:shift]:
                if name not in bulk.programs:
                    continue
                figures = measure(bench, *started[name], bulk, total)
                into = results[bulk.key].setdefault(name, {})
                for key, value in figures.items():
                    into.setdefault(key, []).append(value)
                if bulk.large and index == 0:
                    peaks[name] = started[name][0].peak_rss_bytes()


def bulks(bench) -> dict:
    """Every load on every program, round by round, in fresh processes. In the first round the large
    ones are larger, for the memory."""
    results: dict[str, dict] = {bulk.key: {} for bulk in BULKS}
    peaks: dict[str, int] = {}
    for index in range(bench.size.bulk_rounds):
        one_round(bench, index, results, peaks)
    loads = [
        {"key": b.key, "title": b.title, "large": b.large, "programs": results[b.key]}
        for b in BULKS
        if results[b.key]
    ]
    return {
        "loads": loads,
        "rounds": bench.size.bulk_rounds,
        "first_bytes": bench.size.bulk_first,
        "bytes": bench.size.bulk_bytes,
        "peak_rss_bytes": peaks,
    }
