"""bypass.paths: health checks through the main port that do not wait behind the load."""

import statistics
import time

import pytest

from support import origin as app
from support.waiting import SOON, one_in_time, stays, until
from support.weir import free_port

WAITING = 100
CHECK = "/healthz"


def saturated(world, **options):
    """One request in the app, and a hundred that wait: (origin, weir, gate, clients)."""
    options = {"concurrency": 1, "queue_length": WAITING, "queue_timeout": "30s", "bypass_paths": f"{CHECK},/ping",
               **options}  # fmt: skip
    origin, weir = world.pair(**options)
    gate = origin.gate()
    origin.on("/long", app.wait(gate), app.answer(b"long"))
    clients = [world.connect(weir).get("/long")]
    origin.wait_inside(1)
    clients += [world.connect(weir).get("/long") for _ in range(WAITING)]
    weir.wait_depth(WAITING)
    return origin, weir, gate, clients


def served(gate, clients):
    gate.open()
    for client in clients:
        assert client.response().body == b"long"


def median_of_checks(world, weir):
    client, times = world.connect(weir), []
    for _ in range(20):
        began = time.monotonic()
        assert client.ask("GET", f"{CHECK}?full=1").status == 200
        times.append(time.monotonic() - began)
    return statistics.median(times)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_check_is_answered_at_once_while_a_hundred_wait(world, threads):
    origin, weir, gate, clients = saturated(world, threads=threads)
    one_in_time(lambda: median_of_checks(world, weir), 0.05)
    late = world.connect(weir).ask("GET", "/other")
    assert (late.status, late.get("Weir-Reason")) == (503, "queue_full")
    served(gate, clients)
    m = weir.wait_counted(WAITING + 2)
    assert m.one("weir_bypass_requests_total", source="app") >= 20
    assert m.one("weir_queue_waits_total", outcome="dispatched") == WAITING + 1
    assert origin.most_inside <= 2
    world.expect_requests(weir, WAITING + 2)


@pytest.mark.parametrize("threads", [1, 2])
def test_never_more_checks_than_their_cap_are_in_the_app(world, threads):
    origin, weir, gate, clients = saturated(world, threads=threads, bypass_concurrency=2)
    door = origin.gate()
    origin.on(CHECK, app.wait(door), app.answer())
    checks = [world.connect(weir).get(CHECK) for _ in range(10)]
    inside = lambda: sum(call.target == CHECK for call in list(origin.inside))
    until(lambda: inside() == 2, "the cap to be reached")
    stays(lambda: inside() == 2, "the cap to hold")
    m = weir.metrics()
    assert m.one("weir_bypass_in_flight") == 2 == m.one("weir_bypass_limit")
    assert weir.status()["bypass"] == {"in_flight": 2, "queued": 8, "limit": 2}
    door.open()
    for check in checks:
        assert check.response().status == 200
    assert origin.most_inside <= 3
    served(gate, clients)
    assert weir.identities(WAITING + 1).one("weir_bypass_requests_total", source="app") == 10


def test_a_check_of_an_app_that_is_away_is_told_so_at_once(world):
    weir = world.weir(f"127.0.0.1:{free_port()}", wait="/livez", bypass_paths=CHECK)
    waiting = world.connect(weir).get("/")
    weir.wait_depth(1)
    began = time.monotonic()
    answer = world.connect(weir).ask("GET", CHECK)
    assert (answer.status, answer.get("Weir-Reason")) == (503, "not_ready")
    assert time.monotonic() - began < SOON
    waiting.fin()
    assert weir.identities(1).one("weir_bypass_requests_total", source="weir") == 1


def test_a_drain_serves_checks_and_ends_in_order(world):
    origin, weir, gate, clients = saturated(world)
    idle = world.connect(weir)
    assert idle.ask("GET", CHECK).status == 200
    door = origin.gate()
    origin.on(CHECK, app.wait(door), app.answer())
    check = world.connect(weir).get(CHECK)
    origin.wait_inside(2)
    weir.signal()
    idle.until_closed()  # the worker has begun to drain
    door.open()
    answer = check.response()
    assert (answer.status, answer.get("Connection")) == (200, "close")
    served(gate, clients)
    world.exited(weir)


def test_a_pause_holds_the_queue_and_not_the_checks(world):
    origin, weir = world.pair(bypass_paths=CHECK)
    assert weir.command("pause").returncode == 0
    waiting = world.connect(weir).get("/")
    weir.wait_depth(1)
    assert world.connect(weir).ask("GET", CHECK).status == 200
    assert weir.command("resume").returncode == 0
    assert waiting.response().status == 200
    assert origin.targets() == [CHECK, "/"]
    world.expect_requests(weir, 1)
