#!/usr/bin/env python3
"""The cost of metrics and of the access log: CPU and system calls per request.

Several weirs, one of which is a build without them, run side by side on one core, with their connections
open, and take slices of the same load in turn, a tenth of a second each, so that whatever else the machine
does affects all of them:

    off     a build that records nothing (common/measures.h), and no access log
    on      weir as it is: all metrics, the access log with problems only
    all     a line for each request, to a file
    before  another build, if --before names one; shown, not judged

Each round has fresh processes; its figure is the median of its slices. The ratios are taken round by
round, and their medians are judged: exit 0 when each is within its bound, 1 when one is not, 2 when
nothing could be measured.

    make bench-ledger [LEDGER="--rounds 11 --load own-64 --before /path/to/weir --page"]
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # before our own modules: nothing is left in the tree

import page
from machine import describe, raise_file_limit
from processes import BenchError, Process
from programs import Tools, running, version_of
from run import FULL, HELPERS, LOADS, ROOT, Bench, Load, build_helpers, say

MOST = {"on": 1.03, "all": 1.10}  # times the CPU of `off`
MORE_CALLS = 0.06  # per request, of `on`: how many events one turn finds differs from run to run
CALL_ROUNDS = 5
SLICES, SLICE = 6, 8_000  # of a round, and the requests in each
WRITTEN_S = 0.03  # until the access log has what a slice left
TITLES = {
    "off": "no metrics, no access log",
    "on": "all metrics, access log `problems`",
    "all": "all metrics, access log `all` to a file",
    "before": "the build before",
}
Figures = dict[str, dict[str, list[float]]]  # load: weir: a figure of each round


def rotated(names: list[str], by: int) -> list[str]:
    return names[by % len(names) :] + names[: by % len(names)]


def one_round(benches: dict[str, Bench], load: Load, order: list[str]) -> dict[str, float]:
    """CPU microseconds per request of each."""
    found: dict[str, list[float]] = {name: [] for name in order}
    with contextlib.ExitStack() as stack:
        some = benches[order[0]]
        origin, tcp, unix = stack.enter_context(some.origin())
        origin.move(some.cores_of(load))
        upstream = unix if load.kind == "unix" else tcp
        pairs = {}
        for name in order:
            bench = benches[name]
            process, address = stack.enter_context(
                running(bench.tools, "weir", upstream, bench.proxy_core)
            )
            client = stack.enter_context(
                bench.client(address, load.connections, load.head, bench.cores_of(load))
            )
            client.hear("connected")
            pairs[name] = process, client
            Bench.run(client, SLICE)  # warm
        for index in range(SLICES):
            for name in rotated(order, index):
                found[name].append(one_slice(*pairs[name]))
    for name in order:
        drop_log(benches[name].tools)
    return {name: statistics.median(slices) for name, slices in found.items()}


def one_slice(process: Process, client: Process) -> float:
    time.sleep(WRITTEN_S)
    before = process.cpu_ns()
    Bench.run(client, SLICE)
    time.sleep(WRITTEN_S)
    return (process.cpu_ns() - before) / SLICE / 1000


def access_log(tools: Tools) -> pathlib.Path:
    return tools.scratch / "access.log"


def drop_log(tools: Tools) -> None:
    access_log(tools).unlink(missing_ok=True)


def measure(benches: dict[str, Bench], loads: list[Load], rounds: int) -> Figures:
    figures: Figures = {load.key: {name: [] for name in benches} for load in loads}
    for index in range(rounds):
        say(f"round {index + 1} of {rounds}")
        for position, load in enumerate(loads):
            order = rotated(list(benches), index + position)
            for name, cpu in one_round(benches, load, order).items():
                figures[load.key][name].append(cpu)
    return figures


def count_calls(benches: dict[str, Bench], load: Load) -> dict[str, float]:
    """System calls per request: the least of alternating runs, in which turns find most events."""
    counted: dict[str, list[float]] = {name: [] for name in benches}
    for index in range(CALL_ROUNDS):
        for name in rotated(list(benches), index):
            with benches[name].origin() as (_, tcp, _):
                counted[name].append(benches[name].syscalls("weir", load, tcp))
            drop_log(benches[name].tools)
    return {name: min(values) for name, values in counted.items()}


def ratios(of: dict[str, list[float]], name: str) -> list[float]:
    return [value / off for value, off in zip(of[name], of["off"])]


def cpu_table(loads: list[Load], figures: Figures) -> tuple[list[str], bool]:
    lines = [
        "| load | | CPU µs per request | times `off` | min..max | at most | verdict |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    good = True
    for load in loads:
        of = figures[load.key]
        for name in of:
            ratio = ratios(of, name)
            middle, most = statistics.median(ratio), MOST.get(name)
            kept = most is None or middle <= most
            good = good and kept
            verdict = "-" if most is None else "PASS" if kept else "FAIL"
            cells = [load.title, TITLES[name], f"{statistics.median(of[name]):.2f}", f"{middle:.3f}"]
            cells += [f"{min(ratio):.3f}..{max(ratio):.3f}", f"{most:.2f}" if most else "-", verdict]
            lines.append("| " + " | ".join(cells) + " |")
    return lines, good


def call_table(loads: list[Load], benches: dict[str, Bench]) -> tuple[list[str], bool]:
    names = list(benches)
    lines = [
        "| system calls per request | " + " | ".join(TITLES[name] for name in names) + " | verdict |",
        "| --- |" + " ---: |" * (len(names) + 1),
    ]
    good = True
    for load in loads:
        if load.kind != "own":
            continue
        calls = count_calls(benches, load)
        kept = calls["on"] <= calls["off"] + MORE_CALLS
        good = good and kept
        cells = [load.title, *(f"{calls[name]:.3f}" for name in names), "PASS" if kept else "FAIL"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines, good


def report(benches: dict[str, Bench], loads: list[Load], rounds: int) -> tuple[str, bool]:
    machine = describe({"weir": version_of(benches["on"].tools, "weir")}, 0)
    cpu, cheap = cpu_table(loads, measure(benches, loads, rounds))
    say("system calls")
    calls, few = call_table(loads, benches)
    text = [
        "## Metrics and the access log",
        "",
        "Generated by `make bench-ledger LEDGER=--page`. The same weir with and without what it measures:",
        "`off` is a build that records nothing. Ratios are taken within each round; the medians are",
        "judged. The CPU time includes that of the thread that writes the access log.",
        "",
        f"- Date: {machine['date']}; {rounds} rounds, each of {SLICES} interleaved slices of {SLICE:,} requests.",
        f"- Machine: {machine['cpu']}, {machine['cores']} cores; {machine['kernel']}.",
        "",
        *cpu,
        "",
        *calls,
        "",
    ]
    return "\n".join(text), cheap and few


def weirs(options: argparse.Namespace, stack: contextlib.ExitStack) -> dict[str, Bench]:
    builds = {"off": options.off, "on": options.on, "all": options.on, "before": options.before}
    benches = {}
    for name, weir in builds.items():
        if weir is None:
            continue
        scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-ledger-")))
        tools = Tools(weir.resolve(strict=True), HELPERS, scratch)
        flags = {
            "off": ["--log-access=off"],
            "on": ["--log-access=problems"],
            "all": ["--log-access=all", f"--log-access-file={access_log(tools)}"],
            "before": [],
        }
        tools = Tools(tools.weir, tools.helpers, scratch, tuple(flags[name]))
        benches[name] = Bench(tools, FULL, ["weir"])
        benches[name].start += 3600  # as many rounds as were asked for: the time is the caller's
    return benches


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--off", type=pathlib.Path, required=True, help="the build without metrics")
    parser.add_argument("--on", type=pathlib.Path, default=ROOT / "build" / "weir")
    parser.add_argument("--before", type=pathlib.Path, help="another build to show")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--load", action="append", choices=[load.key for load in LOADS])
    parser.add_argument("--page", action="store_true", help="write docs/performance.md")
    options = parser.parse_args()
    wanted = options.load or ["own-64", "own-256", "own-browser"]
    loads = [load for load in LOADS if load.key in wanted]
    try:
        raise_file_limit(32768, FULL.queued + 1000)
        build_helpers()
        with contextlib.ExitStack() as stack:
            text, good = report(weirs(options, stack), loads, options.rounds)
        print(text)
        if options.page:
            page.replace(ROOT / "docs" / "performance.md", "ledger", text)
        return 0 if good else 1
    except (BenchError, OSError, subprocess.SubprocessError) as problem:
        say(f"ledger: {problem}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
