"""Counts failed requests while pods change on a real kubelet: cases.py [--rollouts N] [CASE...]

Installs a release for each case, into the cluster that up.sh has started with the images of images.sh,
and counts what fails for clients of the Service. Prints one line for each case, and what failed; at the
end, a table. Exit status: 0 if each case is within its bound.
"""

import argparse
import os
import sys
import time
from contextlib import nullcontext

import resources
import rollouts
import scaling
import sidecar
import ways
from cluster import Wrong, get, load

CASES = {}
for topic in (rollouts, ways, sidecar, scaling, resources):
    CASES.update(topic.CASES)


def hooks_that_failed(release, since):
    """What the kubelet tells of hooks of this release that did not end with status 0 since then."""
    events = get("events", "--field-selector", "reason=FailedPreStopHook")
    return [
        f"a hook failed: {e['message']}"
        for e in events["items"]
        if e["involvedObject"]["name"].startswith(release.full + "-") and e["lastTimestamp"] >= since
    ]


class Row:
    """The result of one case."""

    def __init__(self, name, release, seconds):
        groups = [group for one in release.loads for group in one["groups"]]
        self.name, self.case, self.seconds = name, CASES[name], seconds
        self.failed = sum(one["failed"] for one in release.loads)
        self.sent = sum(group["done"] for group in groups) + self.failed
        self.groups, self.notes, self.problems = groups, release.notes, release.problems
        self.failures = [f for one in release.loads for f in one["failures"] or []]
        within = self.failed <= self.case.bound * self.sent
        self.good = within and not release.problems

    def print(self):
        verdict = "PASS" if self.good else "FAIL"
        print(f"{verdict} {self.name}: {self.case.what}: {self.failed} of {self.sent} failed, "
              f"{self.seconds:.0f} s")  # fmt: skip
        for group in self.groups:
            kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(group["kinds"].items()))
            times = "p50 {p50_ms:.0f}, p99 {p99_ms:.0f}, max {max_ms:.0f} ms".format(**group)
            print(f"       {group['group']}: {kinds}; {times}")
        for failure in self.failures:
            print(f"       {failure['at']} {failure['group']}: {failure['what']} "
                  f"after {failure['took_ms']:.0f} ms")  # fmt: skip
        for text in self.notes:
            print(f"       {text}")
        for text in self.problems:
            print(f"       WRONG: {text}")
        sys.stdout.flush()


def run(name, times, gap):
    case = CASES[name]
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    began = time.monotonic()
    release = case.release(name, case.values)
    try:
        release.begin()
        with load(release, case.groups, case.watch) if case.groups else nullcontext():
            case.action(release, case.times or times, gap)
    except Wrong as error:
        release.problems.append(str(error))
    release.problems += hooks_that_failed(release, since)
    row = Row(name, release, time.monotonic() - began)
    row.print()
    release.uninstall()
    return row


def there(name):
    missing = [path for path in CASES[name].needs if not os.path.exists(path)]
    if missing:
        print(f"note: {name} is left out: there is no {missing[0]}")
    return not missing


def table(rows, seconds):
    print(f"\n{'case':<18}{'requests':>10}{'failed':>8}{'seconds':>9}")
    for row in rows:
        end = "" if row.good else "  FAIL"
        print(f"{row.name:<18}{row.sent:>10}{row.failed:>8}{row.seconds:>9.0f}{end}")
    good = sum(row.good for row in rows)
    print(f"\n{good} passed, {len(rows) - good} failed in {seconds:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rollouts", type=int, default=10, help="how often, in each case of them")
    parser.add_argument("--gap", type=float, help="seconds between them, instead of until pods have ended")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=" ".join(CASES))
    args = parser.parse_args()
    for name in args.cases:
        if name not in CASES:
            parser.error(f"no case {name}; there are {' '.join(CASES)}")
    began = time.monotonic()
    rows = [run(name, args.rollouts, args.gap) for name in args.cases or CASES if there(name)]
    table(rows, time.monotonic() - began)
    sys.exit(not all(row.good for row in rows))


if __name__ == "__main__":
    main()
