"""Deadlines that clients declare: who cannot be served by then is refused, and never dispatched."""

import time

from support import origin as app
from support.waiting import SOON, until


def hold_the_slot(world, origin, weir):
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer(b"held"))
    held = world.connect(weir).get("/held")
    origin.wait_inside(1)
    return gate, held


def is_refused(answer):
    assert answer.status == 503
    assert answer.get("Weir-Reason") == "deadline"
    assert 1 <= int(answer.get("Retry-After")) <= 30


def test_a_wait_ends_at_the_declared_deadline(world):
    origin, weir = world.pair(concurrency=1, queue_timeout="60s")
    gate, held = hold_the_slot(world, origin, weir)
    began, at = time.monotonic(), time.time() + 0.3
    declared = [
        "Request-Timeout: 0.3",
        "grpc-timeout: 300m",
        "X-Envoy-Expected-Rq-Timeout-Ms: 300",
        f"X-Request-Deadline: {at:.4f}",
        f"X-Request-Deadline: {int(at * 1000) + 1}",
    ]
    clients = [world.connect(weir).get("/late", one) for one in declared]
    for client in clients:
        is_refused(client.response())
        assert 0.29 <= time.monotonic() - began < SOON
    m = weir.metrics()
    assert m.total("weir_requests_rejected_total", reason="deadline") == 5
    assert m.total("weir_queue_waits_total", outcome="timeout") == 5
    gate.open()
    assert held.response().status == 200
    assert clients[0].ask("GET", "/next", "Request-Timeout: 60").status == 200
    assert origin.seen("/late") == []
    assert origin.seen("/next")[0].get("Request-Timeout") == "60"
    world.expect_requests(weir, 7)


def test_a_deadline_that_has_passed_is_refused_at_once(world):
    origin, weir = world.pair(concurrency=4)
    client = world.connect(weir)
    is_refused(client.ask("GET", "/late", f"X-Request-Deadline: {int(time.time()) - 1}"))
    is_refused(client.ask("GET", "/late", "grpc-timeout: 0S"))
    answer = client.ask("GET", "/late", "Accept: application/json", "Request-Timeout: 0")
    assert b'"reason":"deadline"' in answer.body
    assert client.ask("GET", "/", "Request-Timeout: soon").status == 200
    assert origin.targets() == ["/"]
    world.expect_requests(weir, 4)


def test_one_that_the_queue_cannot_serve_in_time_is_refused_on_arrival(world):
    origin, weir = world.pair(concurrency=1, queue_timeout="60s", queue_length=100)
    origin.on("/slow", app.delay(0.1), app.answer())
    assert world.connect(weir).ask("GET", "/slow").status == 200  # what a slot is held for
    gate, held = hold_the_slot(world, origin, weir)
    waiting = [world.connect(weir).get("/waits") for _ in range(50)]
    weir.wait_depth(50)
    client = world.connect(weir)
    began = time.monotonic()
    is_refused(client.ask("GET", "/late", "Request-Timeout: 3"))
    assert time.monotonic() - began < 2.5
    assert weir.metrics().total("weir_queue_waits_total", outcome="timeout") == 0
    client.get("/patient", "Request-Timeout: 60")
    weir.wait_depth(51)
    gate.open()
    for one in (held, *waiting, client):
        assert one.response().status == 200
    assert origin.seen("/late") == []
    world.expect_requests(weir, 54)


def test_the_clients_whose_deadlines_count_can_change_while_weir_runs(world):
    origin, weir = world.pair(concurrency=4, headers_trusted="none", admin_writable="true")
    client = world.connect(weir)

    def is_in_force(status):  # the command does not wait until each loop has taken it over
        until(lambda: client.ask("GET", "/", "Request-Timeout: 0").status == status, f"a {status}")

    assert client.ask("GET", "/", "Request-Timeout: 0").status == 200
    assert weir.command("set", "deadline.from=all").returncode == 0
    is_in_force(503)
    is_refused(client.ask("GET", "/late", "Request-Timeout: 0"))
    assert weir.command("set", "deadline.headers=grpc-timeout").returncode == 0
    is_in_force(200)
    is_refused(client.ask("GET", "/late", "grpc-timeout: 0n"))
    assert "deadline.headers " in weir.log()
    assert set(origin.targets()) == {"/"}
