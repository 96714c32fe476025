"""The cost of a scrape while weir is as busy as it can be: `make prometheus-check`."""

import os
import statistics
import threading
import time

import pytest

from support import openmetrics
from support.heavy import Gauge, Load

pytestmark = pytest.mark.skipif(not os.environ.get("WEIR_PROMETHEUS"), reason="it wants the machine")

CONNECTIONS = 64
REQUESTS = 200_000  # two seconds or three
ROUNDS = 5
FORMATS = {"text": (), "OpenMetrics": (f"Accept: {openmetrics.ACCEPT}",)}


class Scraper(threading.Thread):
    """Scrapes five times a second; notes the milliseconds of each, connecting included."""

    def __init__(self, weir, fields):
        super().__init__()
        self.weir, self.fields, self.took, self.ended = weir, fields, [], threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.2):
            began = time.monotonic()
            assert self.weir.admin_get("/metrics", *self.fields).status == 200
            self.took.append((time.monotonic() - began) * 1000)

    def stop(self):
        self.ended.set()
        self.join()
        return self.took


def one_run(load, weir, fields):
    """p99 of the requests and the scrapes, in milliseconds."""
    scraper = Scraper(weir, fields) if fields is not None else None
    counted = load.run(REQUESTS)
    assert counted["errors"] == 0
    return counted["p99_ns"] / 1e6, scraper.stop() if scraper else []


@pytest.mark.seconds(240)
def test_a_scrape_under_full_load_takes_5_ms_and_moves_no_p99(world, tmp_path):
    app = Gauge(0)
    app.allow(CONNECTIONS)
    weir = world.weir(app.upstream, concurrency=CONNECTIONS)
    load = Load(weir, CONNECTIONS, tmp_path)
    load.run(REQUESTS // 4)
    kinds = {"no": None, **FORMATS}
    p99, took = {kind: [] for kind in kinds}, {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind, fields in kinds.items():
            slowest, scrapes = one_run(load, weir, fields)
            p99[kind].append(slowest)
            took[kind] += scrapes
    for program in (load, app):
        program.stop()
    middle = {kind: statistics.median(found) for kind, found in p99.items()}
    for kind in kinds:
        print(f"{kind} scrapes: p99 of the requests {middle[kind]:.2f} ms ({min(p99[kind]):.2f} to {max(p99[kind]):.2f})")
    for kind in FORMATS:
        found = sorted(took[kind])
        print(f"{kind}: {len(found)} scrapes, median {statistics.median(found):.2f} ms, longest {found[-1]:.2f} ms")
        assert statistics.median(found) <= 5
        assert middle[kind] <= 1.5 * middle["no"], "beyond what differs from run to run"
