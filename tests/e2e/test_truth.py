"""The state of the app that weir infers, compared with the demo's own numbers and with
FastAPI under Uvicorn. `make truth` (WEIR_TRUTH=1) takes minutes, and prints the figures."""

import importlib.util
import os
import threading

import pytest

from support.client import burst
from support.demo import Demo
from support.uvicorn import serving
from support.watching import Watch

LONG = os.environ.get("WEIR_TRUTH") == "1"
RUNS = int(os.environ.get("WEIR_TRUTH_RUNS", "10"))
MISSING = [name for name in ("fastapi", "uvicorn") if not importlib.util.find_spec(name)]
long = pytest.mark.skipif(not LONG, reason="make truth")

APP = '''
import asyncio
import time
from fastapi import FastAPI

app = FastAPI()


@app.get("/produtos")
def produtos():
    time.sleep(1)
    return {}


@app.get("/usuarios")
async def usuarios():
    await asyncio.sleep(1)
    return {}


@app.get("/bloqueante")
async def bloqueante():
    time.sleep(1)
    return {}


@app.get("/pronto")
async def pronto():
    return {}
'''


@pytest.fixture
def demo(tmp_path):
    demo = Demo(tmp_path)
    yield demo
    demo.stop()


@pytest.fixture(params=["demo", "fastapi"])
def port(request, tmp_path):
    """The demo, or FastAPI. GET /pronto of both is quick (the demo responds with 404)."""
    if request.param == "fastapi" and MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)}")
    if request.param == "fastapi":
        with serving(tmp_path, "verdade", APP) as at:
            yield at
        return
    demo = Demo(tmp_path)
    yield demo.port
    demo.stop()


def watched_burst(world, port, path, n, limit, **options):
    weir = world.weir(f"127.0.0.1:{port}", concurrency=limit, queue_length=800, **options)
    with Watch(weir) as watch:
        outcomes, seconds = burst(weir.address, path, n)
    assert [o.status for o in outcomes] == [200] * n
    return weir, watch, seconds


def tell(capsys, text):
    with capsys.disabled():
        print(text, flush=True)


# ---- short ---------------------------------------------------------------------------------


@pytest.mark.alone
def test_a_full_pool_and_its_hidden_queue_are_found(demo, world):
    """Whether it is found depends on the machine; it must be right, and found in one of the runs."""
    for _ in range(4):
        weir, watch, _ = watched_burst(world, demo.port, "/produtos?ms=800", 200, 80)
        parallelism, hidden = watch.values("parallelism"), watch.values("hidden_queue")
        assert "loop_blocked" not in watch.states()
        assert all(35 <= p <= 45 for p in parallelism), parallelism
        assert all(0 <= h <= 45 for h in hidden), hidden
        if parallelism:
            break
    assert parallelism and "pool_full" in watch.states()
    advice = [s["advice"] for _, s in watch.readings if s["app"]["state"] == "pool_full"]
    assert advice[0].startswith("The limit is 80, but the app works on ")
    assert weir.status()["app"]["parallelism"] is None


@pytest.mark.alone
def test_a_blocked_loop_is_found(demo, world):
    weir = world.weir(demo.upstream, concurrency=80, health_path="/ping", health_interval="30s")
    with Watch(weir) as watch:
        burst(weir.address, "/bloqueante?ms=1000", 2)
    assert watch.first("loop_blocked") < 1.5
    metrics = weir.metrics()
    assert metrics.one("weir_upstream_stalled_seconds_total") > 0.4
    assert metrics.one("weir_upstream_probe_seconds_count") >= 1


@pytest.mark.alone
def test_requests_that_only_wait_are_neither(demo, world):
    _, watch, _ = watched_burst(world, demo.port, "/usuarios?ms=400", 200, 80)
    assert watch.states() == {"ok"} and not watch.values("parallelism")


# ---- long ----------------------------------------------------------------------------------


@long
@pytest.mark.seconds(300)
@pytest.mark.parametrize("limit, waited", [(80, 240), (40, 400)])
def test_the_burst_of_the_article(world, port, capsys, limit, waited):
    """Three times; needs a machine without other work. The hidden queue ends with the burst."""
    for run in range(3):
        weir, watch, seconds = watched_burst(world, port, "/produtos", 200, limit)
        full = [s["app"] for _, s in watch.readings if s["in_flight"] == limit]
        parallelism = [app["parallelism"] for app in full if app["parallelism"] is not None]
        hidden = [app["hidden_queue"] for app in full if app["hidden_queue"] is not None]
        visible = weir.metrics().total("weir_queue_wait_seconds_sum")
        tell(capsys, f"limit {limit}, run {run}: {seconds:.2f} s, in flight "
                     f"{watch.most('in_flight')}, queue {watch.most('queue', 'depth')}, visible "
                     f"wait {visible:.1f} request-seconds, parallelism "
                     f"{sorted(parallelism)[:1]} to {sorted(parallelism)[-1:]}, hidden queue "
                     f"{sorted(hidden)[:1]} to {sorted(hidden)[-1:]}, {len(hidden)} readings")
        assert watch.most("in_flight") == limit
        assert watch.most("queue", "depth") == 200 - limit
        assert waited * 0.95 <= visible <= waited * 1.05
        assert hidden
        if limit == 80:
            assert all(38 <= p <= 42 for p in parallelism) and len(parallelism) == len(hidden)
            assert all(38 <= h <= 42 for h in hidden)
        else:
            assert not watch.values("parallelism") and set(watch.values("hidden_queue")) == {0}


@long
@pytest.mark.seconds(300)
def test_the_demo_agrees(world, demo, capsys):
    """In the middle of the burst: threads that are busy, and requests that wait for one."""
    seen = []

    def look():
        m = demo.metrics()
        seen.append((m.one("backend_pool_busy"), m.one("backend_pool_queue_depth")))

    timer = threading.Timer(2.5, look)
    timer.start()
    _, watch, _ = watched_burst(world, demo.port, "/produtos", 200, 80)
    timer.join()
    (busy, waiting), = seen
    tell(capsys, f"the demo: {busy} busy, {waiting} wait; weir: "
                 f"{watch.values('parallelism')[0]}, {watch.values('hidden_queue')[0]}")
    assert abs(watch.values("parallelism")[0] - busy) <= 0.05 * busy
    assert abs(watch.values("hidden_queue")[0] - waiting) <= 2


@long
@pytest.mark.seconds(300)
@pytest.mark.parametrize("path", ["/produtos", "/usuarios"])
def test_a_loop_that_is_not_blocked_is_never_reported_as_blocked(world, port, capsys, path):
    states = set()
    for _ in range(RUNS):
        _, watch, _ = watched_burst(world, port, path, 120, 80, health_path="/pronto")
        states |= watch.states()
    tell(capsys, f"{path}, {RUNS} runs: {sorted(states)}")
    assert "loop_blocked" not in states
    assert path == "/produtos" or states == {"ok"}


def staggered(weir, path, n, every):
    """One request after the other is sent, whether or not there was a response."""
    clients = [weir.connect() for _ in range(n)]
    over = threading.Event()
    for client in clients:
        client.get(path)
        over.wait(every)
    return clients


@long
@pytest.mark.seconds(300)
@pytest.mark.parametrize("how", ["at once, health.path", "one after the other"])
def test_a_blocked_loop_is_found_within_a_second(world, port, capsys, how):
    times = []
    for _ in range(RUNS):
        options = {"health_path": "/pronto"} if "health" in how else {}
        weir = world.weir(f"127.0.0.1:{port}", concurrency=80, **options)
        with Watch(weir) as watch:
            if "health" in how:
                burst(weir.address, "/bloqueante", 2)
            else:
                for client in staggered(weir, "/bloqueante", 4, 0.1):
                    client.response()
        times.append(watch.first("loop_blocked"))
    tell(capsys, f"blocked, {how}: {min(times):.2f} to {max(times):.2f} s")
    assert max(times) <= 1
