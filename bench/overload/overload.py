#!/usr/bin/env python3
"""How much useful work is done under overload: weir's queue, adaptive and fifo, beside HAProxy and nginx.

Plays the schedules of scenarios.py, judges by the bounds in judge.py, prints a page and writes it with all
figures into build/; a full run also writes the pictures and the section in docs/performance.md. Exit: 0 all
bounds kept, 1 a bound missed, 2 nothing could be measured. Standard library only. Loopback only; each run
is bounded.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # before our own modules: nothing is left in the tree
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))
sys.path.append(str(HERE.parent))

import judge  # noqa: E402
import page  # noqa: E402
import report  # noqa: E402
from contenders import WEIRS, versions  # noqa: E402
from machine import describe, raise_file_limit  # noqa: E402
from play import Cell, everything, say  # noqa: E402
from processes import BenchError  # noqa: E402
from scenarios import SCENARIOS  # noqa: E402

SEEDS = {0.9: 2, 1: 3, 1.2: 2}  # by load; at others one: about the capacity, chance decides more
QUICK = {
    "closers": (0.9, 2, 10),
    "uneven": (2,),
    "mixed": (2,),
    "silent": (5,),
    "declared": (2,),
    "patient": (0.9,),
    "cancel-5": (0.9,),
    "staying": (1.2,),
    "switch": (2,),
}


def cells_of(options: argparse.Namespace) -> list[Cell]:
    found = []
    for scenario in SCENARIOS.values():
        if options.only and scenario.key not in options.only:
            continue
        loads = QUICK.get(scenario.key, ()) if options.quick else scenario.loads
        names = [c for c in scenario.contenders if not options.quick or c in WEIRS]
        for load in loads:
            seeds = 1 if options.quick or scenario.make else SEEDS.get(load, 1)
            for seed in range(1, 1 + seeds):
                shorter = 0.5 if options.quick else 1.0
                found += [Cell(scenario.key, load, c, seed, shorter) for c in names]
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weir", type=pathlib.Path, default=ROOT / "build" / "weir")
    parser.add_argument("--quick", action="store_true", help="weir alone, fewer and shorter runs")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, help="these scenarios alone")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build" / "overload.json")
    parser.add_argument("--again", action="store_true", help="the page of the JSON: measure nothing")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict:
    for tool in ("haproxy", "nginx"):
        if not options.quick and shutil.which(tool) is None:
            raise BenchError(f"{tool} is not installed (Debian: apt-get install haproxy nginx)")
    if not os.access(options.weir, os.X_OK):
        raise BenchError(f"{options.weir} is not there: run make build")
    raise_file_limit(40000, 19000)
    weir = options.weir.resolve()
    results = {"machine": describe(versions(weir), os.getloadavg()[0]), "rows": []}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="weir-overload-") as scratch:
        for played in everything(cells_of(options), weir, pathlib.Path(scratch)):
            results["rows"] += [judge.row_of(one) for one in played]
            options.json.write_text(json.dumps(results, indent=1) + "\n")
    return results


def write(options: argparse.Namespace, results: dict) -> bool:
    text = report.markdown(results)
    (ROOT / "build" / "overload.md").write_text(text)
    print(text)
    if not options.quick and not options.only:
        page.replace(ROOT / "docs" / "performance.md", "overload", f"## Overload\n\n{text}")
        for name, picture in report.pictures(results).items():
            (ROOT / "docs" / name).write_text(picture)
    return all(v.passed for v in judge.verdicts(judge.Rows(results["rows"])))


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    options = arguments()
    try:
        results = json.loads(options.json.read_text()) if options.again else measure(options)
        return 0 if write(options, results) else 1
    except (BenchError, OSError, subprocess.SubprocessError) as problem:
        say(f"overload: {problem}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
