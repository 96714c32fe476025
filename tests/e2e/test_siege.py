"""Connections that try to hold all places: a good client is served all the same.

WEIR_ATTACK=2000 (make attack) is the full form: so many of them.
"""

import os
import resource
import time

import pytest

from support.demo import Demo
from support.siege import KINDS, Siege, Visits
from support.waiting import until
from support.world import scaled

FULL = int(os.environ.get("WEIR_ATTACK", "0"))
MANY = FULL or scaled(500, least=250)
SECONDS = 5 if FULL else 0.7
IN_TIME = 1.0
PLACES = MANY * 512 // 2000
FILES = 288  # places for 150 clients, and for 142 with two threads


@pytest.fixture
def demo(tmp_path):
    demo = Demo(tmp_path)
    yield demo
    demo.stop()


def allow_descriptors(n):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < n:
        pytest.skip(f"only {hard} files may be open, and {n} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n), hard))


@pytest.mark.seconds(60)
@pytest.mark.parametrize(
    "kind, threads",
    [(kind, 1) for kind in KINDS] + [(kind, 2) for kind in KINDS if FULL or kind == "mixed"],
)
@pytest.mark.parametrize("bound", ["connections", "descriptors"])
def test_a_good_client_finds_a_place_within_a_second(world, demo, kind, bound, threads):
    allow_descriptors(2 * MANY + 500)
    few = {"client_max_connections": PLACES} if bound == "connections" else {"nofile": FILES}
    weir = world.weir(demo.upstream, concurrency=10, queue_length=MANY, threads=threads, **few)
    with Siege(weir.address, kind, MANY) as siege:
        most = 0.8 * (PLACES if bound == "connections" else 140)
        until(lambda: weir.glance().total("weir_connections", side="client") > most, "the crowd")
        with Visits(weir.address, "/ping") as good:
            time.sleep(SECONDS)
            told = good.stop()
        told["came back"] = siege.stop()
        told["evicted"] = weir.metrics().total("weir_connections_evicted_total")
    print(f"\n{kind}, {bound}, {threads} threads: {told}")
    assert max(told["new"], told["kept"]) < IN_TIME, told


@pytest.mark.parametrize("kind", ["silent", "byte", "idle", "mixed"])
def test_a_scrape_is_answered_within_a_second(world, kind):
    """The admin port has few places, whatever else is configured."""
    allow_descriptors(2 * MANY + 500)
    weir = world.weir(world.origin())
    with Siege(weir.admin, kind, MANY // 2) as siege:
        with Visits(weir.admin, "/metrics") as good:
            time.sleep(SECONDS)
            told = good.stop()
        told["came back"] = siege.stop()
    print(f"\n{kind}: {told}")
    assert told["came back"] > 0
    assert max(told["new"], told["kept"]) < IN_TIME, told
