"""Many apps, each with a weir, behind HAProxy: while they are replaced under load, no request is lost.

`make scale-test` plays 50 pairs for five minutes at each limit, with HAProxy's retries off, and prints
figures. The short form has fewer pairs and keeps the retries of the shipped configuration: on a machine
that stands still for a second, HAProxy may learn of a drain only when the port is closed.
"""

import os
import re
import shutil
import subprocess
import threading
import time

import pytest

from support.client import Client
from support.fleet import EXAMPLE, Fleet
from support.mixedload import MixedLoad
from support.world import scaled

SECONDS = int(os.environ.get("WEIR_SCALE_SECONDS", "0"))
LONG = SECONDS > 0
PAIRS = int(os.environ.get("WEIR_SCALE_PAIRS", "50")) if LONG else 8
AT_ONCE = max(1, PAIRS // 5) if LONG else 2
DRAIN = {"drain_delay": "5s" if LONG else "3s", "drain_timeout": "40s"}
MIB = 1 << 20

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")


def cpu_at_rest(fleet, seconds):
    """The CPU time of a weir that serves only HAProxy's checks, as a share of a core."""
    before = fleet.cpu()
    time.sleep(seconds)
    return (fleet.cpu() - before) / seconds / PAIRS


class Watch(threading.Thread):
    """The memory of all weirs, once a second."""

    def __init__(self, fleet):
        super().__init__()
        self.fleet, self.most, self.mean, self.over = fleet, 0, 0.0, threading.Event()

    def run(self):
        means = []
        while not self.over.wait(1):
            sizes = self.fleet.memory()
            self.most = max([self.most, *sizes])
            means.append(sum(sizes) / len(sizes))
            self.mean = max(means)

    def stop(self):
        self.over.set()
        self.join()


def load_for(limit, port):
    """At 1, most requests wait in a queue; at 80, requests of eight seconds occupy nearly all slots."""
    if limit == 1:
        return MixedLoad(port, kept=3 * PAIRS, new=PAIRS)
    if LONG:
        return MixedLoad(port, kept=2 * PAIRS, new=PAIRS // 2, holders=PAIRS * limit * 7 // 8, hold_ms=8000)
    return MixedLoad(port, kept=2 * PAIRS, new=PAIRS // 2, holders=PAIRS * limit // 4, hold_ms=1000)


def play(fleet, limit):
    """The report of the clients, and the memory of the weirs at rest and under load."""
    at_rest = fleet.memory()
    if LONG:
        print(f"\nCPU of a weir at rest: {100 * cpu_at_rest(fleet, 5):.3f} % of a core")
    watch = Watch(fleet)
    load = load_for(limit, fleet.port)
    watch.start()
    try:
        fleet.churn(SECONDS or 4, AT_ONCE)
        said = load.stop(within=60)
    finally:
        watch.stop()
        load.kill()
    return said, at_rest, watch


def tell(limit, said, at_rest, watch, books):
    print(f"\nlimit {limit}: {PAIRS} pairs, {books.ended - PAIRS} replaced in {said['seconds']:.0f} s;"
          f" {said['served']} requests, {len(said['failures'])} failed; the apps served {books.served}, most at once in an app {books.most_at_once}")
    for name, (n, median, p99, longest) in said["times"].items():
        print(f"  {name:8} {n:7} median {median:.3f} s, p99 {p99:.3f} s, longest {longest:.3f} s")
    print(f"  memory of a weir, MiB: at rest {max(at_rest) / MIB:.1f}, in the load {watch.mean / MIB:.1f} on average,"
          f" {watch.most / MIB:.1f} at most; CPU of all weirs {books.cpu:.1f} s,"
          f" {1e6 * books.cpu / max(1, said['served']):.0f} us per request")


@pytest.mark.skipif(scaled(100) < 100, reason="so many slow builds would miss HAProxy's deadlines")
@pytest.mark.seconds(2 * SECONDS + 120 if LONG else 90)
@pytest.mark.parametrize("limit", [1, 80])
def test_pairs_come_and_go_and_no_request_is_lost(tmp_path, limit):
    log = {"log_access": "all", "log_query": "true"}
    queue = {"queue_length": 100 + limit, "queue_timeout": "15s"}
    fleet = Fleet(str(tmp_path), PAIRS, retries=not LONG, concurrency=limit, **queue, **log, **DRAIN)
    try:
        said, at_rest, watch = play(fleet, limit)
        fleet.stop()
        tell(limit, said, at_rest, watch, fleet.books)
        for failure in said["failures"]:
            print(failure, *fleet.seen(re.search(r"id=\d+", failure)[0] + '"'), sep="\n  ")
        assert said["failures"] == [], fleet.said
        assert fleet.books.served == said["served"], "not each request was served exactly once"
        assert fleet.books.most_at_once <= limit
        assert fleet.books.ended >= PAIRS + AT_ONCE
    finally:
        fleet.kill()


def test_a_client_that_leaves_haproxy_leaves_the_queue(tmp_path):
    fleet = Fleet(str(tmp_path), 1, concurrency=1, drain_delay="0s")
    try:
        (pair,) = fleet.pairs
        address = ("127.0.0.1", fleet.port)
        held = Client(address).get("/usuarios?ms=1500")
        pair.weir.wait_in_flight(1)
        waiting = Client(address).get("/usuarios?ms=0")
        pair.weir.wait_depth(1)
        waiting.fin()
        assert held.response().status == 200
        held.fin()
        m = pair.weir.wait_quiet()
        assert m.total("weir_queue_waits_total", outcome="client_gone") == 1
        fleet.stop()
    finally:
        fleet.kill()


def test_the_example_is_valid():
    run = subprocess.run(["haproxy", "-c", "-f", EXAMPLE], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
