"""Before the app listens: requests wait, and go when it does, or are told that it did not."""

import time

import pytest

from support import origin as app
from support.waiting import SOON, one_in_time, stays, until
from support.weir import free_port


def sleeping_origin(world):
    """An origin whose port is known and closed."""
    origin = world.origin()
    origin.refuse()
    return origin


def test_requests_wait_until_the_app_listens_and_then_go_at_once(world):
    one_in_time(lambda: seconds_behind_the_app(world), 0.8)  # the probe's longest pause is 250 ms


def seconds_behind_the_app(world):
    origin = sleeping_origin(world)
    weir = world.weir(origin, wait="/livez", concurrency=2)
    clients = [world.connect(weir).get(f"/{i}") for i in range(6)]
    weir.wait_depth(6)
    stays(lambda: weir.metrics().total("weir_queue_depth") == 6, "the queue", during=0.4)
    origin.listen()
    began = time.monotonic()
    for client in clients:
        assert client.response().status == 200
    seconds = time.monotonic() - began
    assert weir.admin_get("/readyz").status == 200
    assert weir.admin_get("/startupz").status == 200
    m = weir.metrics()
    assert m.one("weir_upstream_ready") == 1
    assert m.one("weir_upstream_startup_seconds") > 0.3
    world.expect_requests(weir, 6)
    return seconds


def test_from_readiness_on_the_queue_timeout_holds_for_those_who_came_before(world):
    origin = sleeping_origin(world)
    gate = origin.gate()
    origin.on("/", app.wait(gate), app.answer())
    weir = world.weir(origin, wait="/livez", queue_timeout="300ms", concurrency=1, threads=2)
    clients = [world.connect(weir).get("/") for _ in range(5)]
    weir.wait_depth(5)
    origin.listen()
    origin.wait_inside(1)
    timed_out = lambda: weir.metrics().total("weir_requests_rejected_total", reason="queue_timeout")
    until(lambda: timed_out() == 4, "the timeout of all that wait", within=10)
    gate.open()
    assert sorted(client.response().status for client in clients) == [200, 503, 503, 503, 503]
    world.expect_requests(weir, 5)


def test_startup_timeout_refuses_with_not_ready(world):
    weir = world.weir(f"127.0.0.1:{free_port()}", wait="/livez", startup_timeout="600ms")
    clients = [world.connect(weir).get("/") for _ in range(3)]
    began = time.monotonic()
    for client in clients:
        answer = client.response()
        assert answer.status == 503 and answer.get("Weir-Reason") == "not_ready"
        assert 1 <= int(answer.get("Retry-After")) <= 30
    assert time.monotonic() - began < SOON
    assert weir.metrics().total("weir_requests_rejected_total", reason="not_ready") == 3
    assert weir.admin_get("/livez").status == 200
    assert weir.admin_get("/readyz").status == 503
    assert "does not accept connections (Connection refused: nothing listens there), and startup" in weir.log()
    world.expect_requests(weir, 3)


def test_an_app_that_does_not_come_is_told_of_long_before_the_startup_timeout(world):
    origin = sleeping_origin(world)
    weir = world.weir(origin, wait="/livez")
    why = f"{origin.upstream} does not accept connections yet (Connection refused: nothing listens there)"
    until(lambda: why in weir.log(), "the log line")
    origin.listen()
    until(lambda: weir.admin_get("/readyz").status == 200, "the app")


def test_after_the_startup_timeout_a_late_app_is_still_taken(world):
    origin = sleeping_origin(world)
    weir = world.weir(origin, wait="/livez", startup_timeout="400ms")
    answer = world.connect(weir).ask("GET", "/")
    assert answer.status == 503
    origin.listen()
    until(lambda: world.connect(weir).ask("GET", "/").status == 200, "the app", within=5)


def test_without_a_probe_weir_is_ready_at_once(world):
    weir = world.weir(f"127.0.0.1:{free_port()}", startup_probe="none", queue_timeout="200ms")
    assert weir.admin_get("/readyz").status == 200
    assert world.connect(weir).ask("GET", "/").get("Weir-Reason") == "not_ready"


def test_a_client_that_leaves_before_the_app_is_there_is_never_sent(world):
    origin = sleeping_origin(world)
    weir = world.weir(origin, wait="/livez")
    leaver = world.connect(weir).get("/leaver")
    patient = world.connect(weir).get("/patient")
    weir.wait_depth(2)
    leaver.fin()
    weir.wait_depth(1)
    origin.listen()
    assert patient.response().status == 200
    assert origin.targets() == ["/patient"]
    world.expect_requests(weir, 2)


def test_the_queue_is_bounded_while_the_app_starts(world):
    origin = sleeping_origin(world)
    weir = world.weir(origin, wait="/livez", queue_length=2, concurrency=1)
    waiting = [world.connect(weir).get("/") for _ in range(2)]
    weir.wait_depth(2)
    answer = world.connect(weir).ask("GET", "/")
    assert answer.status == 503 and answer.get("Weir-Reason") in ("queue_full", "not_ready")
    origin.listen()
    assert [client.response().status for client in waiting] == [200, 200]


def test_the_probe_leaves_no_connection_behind(world):
    origin, weir = world.pair()
    until(lambda: origin.connections and not origin.open_now(), "the probe's connection to end")
    assert origin.calls == []


@pytest.mark.parametrize("threads", [1, 2])
def test_the_limit_holds_in_the_first_rush(world, threads):
    origin = sleeping_origin(world)
    origin.default = (app.delay(0.02), app.answer())
    weir = world.weir(origin, wait="/livez", concurrency=3, threads=threads, queue_length=100)
    clients = [world.connect(weir).get("/") for _ in range(30)]
    weir.wait_depth(30)
    origin.listen()
    assert [client.response().status for client in clients] == [200] * 30
    assert origin.most_inside == 3
