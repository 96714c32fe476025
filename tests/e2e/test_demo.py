"""The demo backend behind weir: the article's bursts, and both programs' numbers side by side."""

import itertools
import json

import pytest

from support.bursts import BODIES, BURSTS, run_burst, timed_burst
from support.demo import Demo


@pytest.fixture
def demo(tmp_path):
    demo = Demo(tmp_path)
    yield demo
    demo.stop()


def most_at_once(demo, handler):
    return demo.metrics().one("backend_concurrent_max", handler=handler)


@pytest.mark.alone
@pytest.mark.seconds(90)
@pytest.mark.parametrize("path, n, limit, least, most, alone", BURSTS)
def test_a_burst_takes_as_long_as_the_article_says(demo, world, path, n, limit, least, most, alone):
    weir = world.weir(demo.upstream, concurrency=limit, queue_length=800)
    runs = timed_burst(weir, demo.port, path, n, least, most, alone)
    for outcome in itertools.chain(*runs):
        body = json.loads(outcome.body.decode("utf-8"))
        assert {key: body[key] for key in BODIES[path]} == BODIES[path]
    assert most_at_once(demo, path[1:]) == min(n, limit)
    world.expect_requests(weir, n * len(runs))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("limit", [1, 5, 20])
def test_the_demo_never_sees_more_than_the_limit(demo, world, limit, threads):
    weir = world.weir(demo.upstream, concurrency=limit, threads=threads, queue_length=500)
    n, seconds = 0, 0
    for path in ("/usuarios", "/produtos"):
        for _ in range(3):  # on a busy machine a burst may come too slowly to fill the app
            seconds += run_burst(weir, f"{path}?ms=20", 100)[1]
            n += 100
            if most_at_once(demo, path[1:]) >= limit:
                break
        assert most_at_once(demo, path[1:]) == limit
    m = weir.identities(n)
    assert n * 0.02 <= m.one("weir_slot_hold_seconds_sum") <= limit * seconds
    world.expect_requests(weir, n)


def test_both_count_the_same_requests(demo, world):
    weir = world.weir(demo.upstream, concurrency=10, queue_length=500)
    begun = demo.metrics().one("backend_requests_total", handler="usuarios")
    run_burst(weir, "/usuarios?ms=5", 150)
    m = demo.metrics()
    assert m.one("backend_requests_total", handler="usuarios") - begun == 150
    assert weir.identities(150).total("weir_requests_total", code="200", source="app") == 150


def test_clients_that_leave_do_not_let_more_into_the_demo(demo, world):
    weir = world.weir(demo.upstream, concurrency=2)
    leavers = [world.connect(weir).get("/produtos?ms=2500") for _ in range(8)]
    weir.wait_depth(6)
    patient = world.connect(weir).get("/produtos?ms=10")
    weir.wait_depth(7)
    for client in leavers:
        client.fin()
    assert patient.response().status == 200
    assert most_at_once(demo, "produtos") == 2
    assert demo.metrics().one("backend_requests_total", handler="produtos") == 3
    world.expect_requests(weir, 9)


def test_echo_returns_utf8_bodies_intact(demo, world):
    weir = world.weir(demo.upstream)
    body = "Conceição pagou R$ 10,00 ☕".encode()
    answer = world.connect(weir).ask("POST", "/echo", "Content-Type: text/plain; charset=utf-8", body=body)
    assert answer.status == 200 and "Conceição".encode() in answer.body
