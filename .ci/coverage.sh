#!/bin/sh
# Which lines the tests have run: .ci/coverage.sh
#
# Builds with coverage, runs the unit tests and a short round end to end, and holds each part of the
# code to its bound. Prints PASS or FAIL for each.
set -eu
cd "$(dirname "$0")/.."
jobs=$(nproc 2>/dev/null || echo 2)
python=${PYTHON:-/usr/bin/python3}
[ -x "$python" ] || python=python3
out=build/coverage
summary=$out/summary.json

make -j"$jobs" SAN=coverage build units
find "$out" -name '*.gcda' -delete
# A failed test is judged elsewhere; what it has run still counts here.
make SAN=coverage check || echo 'note: some unit tests failed under coverage'
WEIR_SCALE="${WEIR_CI_SCALE:-0.1}" make SAN=coverage e2e ||
    echo 'note: some end-to-end tests failed under coverage'

gcovr --root . --object-directory "$out" --exclude 'tests/' --exclude-unreachable-branches \
    --gcov-ignore-parse-errors --json-summary "$summary" --html-details "$out/index.html" \
    --print-summary "$out"

"$python" - "$summary" <<'END'
import json
import sys

BOUNDS = [  # folder, with what is below it or not, per cent of lines
    ("limiter/", True, 95),
    ("proxy/http/", True, 95),
    ("proxy/", False, 85),
]
files = json.load(open(sys.argv[1], encoding="utf-8"))["files"]
failed = 0
for folder, below, bound in BOUNDS:
    mine = [
        f
        for f in files
        if f["filename"].startswith(folder) and (below or "/" not in f["filename"][len(folder):])
    ]
    total = sum(f["line_total"] for f in mine)
    covered = sum(f["line_covered"] for f in mine)
    share = 100 * covered / total if total else 0
    good = share >= bound
    failed += not good
    print(f"{folder:12} {covered} of {total} lines, {share:.1f} %, bound {bound} %")
    for f in sorted(mine, key=lambda f: f["line_percent"]) if not good else []:
        print(f"    {f['filename']:32} {f['line_covered']} of {f['line_total']}")
    print(f"{'PASS' if good else 'FAIL'} coverage {folder}")
sys.exit(failed > 0)
END
