#!/usr/bin/env python3
"""What a change costs: two builds of weir beside each other, pair by pair.

Each pair runs every load on both builds within seconds, in alternating order, with fresh processes. The
ratio of CPU per request is taken pair by pair, and its median is judged: exit 0 when no load costs more than
3% more CPU or 3% more system calls, 1 when one does, 2 when nothing could be measured.

    make bench-pairs BEFORE=/path/to/the/other/weir [PAIRS="--pairs 31 --load own-256"]
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # before our own modules: nothing is left in the tree

from machine import raise_file_limit
from processes import BenchError
from programs import Tools, running
from run import FULL, HELPERS, LOADS, ROOT, Bench, Load, build_helpers, say

DEARER = 1.03
CALL_ROUNDS = 5  # of both: how many events one turn finds differs from run to run


def pair(benches: dict[str, Bench], load: Load, first: str) -> dict[str, float]:
    """CPU microseconds per request of both builds, `first` measured first."""
    order = sorted(benches, key=lambda name: name != first)
    found = {}
    with contextlib.ExitStack() as stack:
        some = benches[first]
        origin, tcp, unix = stack.enter_context(some.origin())
        origin.move(some.cores_of(load))
        upstream = unix if load.kind == "unix" else tcp
        started = {
            name: stack.enter_context(running(b.tools, "weir", upstream, b.proxy_core))
            for name, b in benches.items()
        }
        for name in order:
            process, address = started[name]
            process.wait_until_idle()
            found[name] = benches[name].measure(process, address, load)["cpu_us"]
    return found


def calls(benches: dict[str, Bench], load: Load) -> dict[str, float]:
    """System calls per request of both builds: medians of alternating runs."""
    found: dict[str, list[float]] = {name: [] for name in benches}
    for index in range(CALL_ROUNDS):
        for name in sorted(benches, reverse=index % 2 == 0):
            with benches[name].origin() as (_, tcp, _):
                found[name].append(benches[name].syscalls("weir", load, tcp))
    return {name: statistics.median(counted) for name, counted in found.items()}


def judge(load: Load, pairs: list[dict[str, float]]) -> tuple[str, bool]:
    ratios = [p["after"] / p["before"] for p in pairs]
    middle = statistics.median(ratios)
    before = statistics.median(p["before"] for p in pairs)
    after = statistics.median(p["after"] for p in pairs)
    text = (
        f"| {load.title} | {before:.2f} | {after:.2f} | {middle:.3f} "
        f"| {min(ratios):.3f} to {max(ratios):.3f} |"
    )
    return text, middle <= DEARER


def compare(benches: dict[str, Bench], rounds: int, loads: list[Load]) -> bool:
    good = True
    results: dict[str, list[dict[str, float]]] = {load.key: [] for load in loads}
    for index in range(rounds):
        say(f"pair {index + 1} of {rounds}")
        for position, load in enumerate(loads):
            first = ("before", "after")[(index + position) % 2]
            results[load.key].append(pair(benches, load, first))
    print("| load | before, us | after, us | after / before | of the pairs |")
    print("|---|---|---|---|---|")
    for load in loads:
        text, passed = judge(load, results[load.key])
        good = good and passed
        print(text)
    for load in loads:
        if load.kind != "own":
            continue
        found = calls(benches, load)
        print(f"{load.title}: {found['before']:.3f} -> {found['after']:.3f} system calls per request")
        good = good and found["after"] <= found["before"] * DEARER
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=pathlib.Path, help="the other build")
    parser.add_argument("--after", type=pathlib.Path, default=ROOT / "build" / "weir")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--load", action="append", choices=[load.key for load in LOADS])
    options = parser.parse_args()
    loads = [load for load in LOADS if options.load is None or load.key in options.load]
    try:
        raise_file_limit(32768, FULL.queued + 1000)
        build_helpers()
        with contextlib.ExitStack() as stack:
            benches = {}
            for name, weir in (("before", options.before), ("after", options.after)):
                scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-pairs-"))
                tools = Tools(weir.resolve(strict=True), HELPERS, pathlib.Path(scratch))
                benches[name] = Bench(tools, FULL, ["weir"])
            return 0 if compare(benches, options.pairs, loads) else 1
    except (BenchError, OSError, subprocess.SubprocessError) as problem:
        say(f"pairs: {problem}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
