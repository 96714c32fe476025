"""enforce: false. All requests reach the app at once, and the counters tell what would have been."""

import pytest

from support import origin as app
from support.waiting import until
from support.world import scaled


def ask(world, weir, n, path="/held"):
    return [world.connect(weir, timeout=20).get(path) for _ in range(n)]


@pytest.mark.parametrize("threads", [1, 4])
def test_all_reach_the_app_at_once_and_the_counters_tell_what_would_have_been(world, threads):
    n, limit, length = scaled(200, least=60), 10, 40
    origin, weir = world.pair(
        concurrency=limit, queue_length=length, threads=threads, enforce="false"
    )
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    clients = ask(world, weir, n)
    origin.wait_inside(n)
    m = weir.metrics()
    assert m.one("weir_enforcing") == 0
    assert m.one("weir_requests_in_flight") == limit
    assert m.one("weir_queue_depth") == length
    assert m.one("weir_requests_rejected_total", reason="queue_full") == n - limit - length
    assert m.one("weir_connections", side="upstream", state="active") == n
    gate.open()
    answers = [client.response() for client in clients]
    assert [answer.status for answer in answers] == [200] * n
    assert all(answer.get("Weir-Reason") is None for answer in answers)
    m = weir.wait_quiet()
    waits = {o: m.one("weir_queue_waits_total", outcome=o) for o in ("dispatched", "dry_run")}
    assert sum(waits.values()) == limit + length, waits
    assert m.total("weir_requests_total", source="weir") == 0
    assert "enforce is false" in weir.log()
    world.expect_requests(weir, n)


def test_limits_come_and_go_while_requests_are_inside(world):
    origin, weir = world.pair(concurrency=2, queue_length=50, admin_writable="true")
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    clients = ask(world, weir, 8)
    origin.wait_inside(2)
    weir.wait_depth(6)
    assert weir.command("set", "enforce=false").returncode == 0
    origin.wait_inside(8)  # those that waited go on
    clients += ask(world, weir, 2)
    origin.wait_inside(10)
    assert weir.command("set", "enforce=true").returncode == 0
    until(lambda: weir.metrics().one("weir_enforcing") == 1, "limits")
    before = weir.metrics().one("weir_queue_depth")
    clients += ask(world, weir, 3, "/after")
    weir.wait_depth(before + 3)
    assert not origin.seen("/after")
    gate.open()
    assert [client.response().status for client in clients] == [200] * 13
    assert weir.metrics().one("weir_accounting_error_total") == 0


def test_a_restart_of_the_app_is_waited_for_and_a_pause_holds_in_a_dry_run_too(world):
    origin, weir = world.pair(concurrency=1, enforce="false")
    origin.refuse()
    clients = ask(world, weir, 5, "/")
    weir.wait_depth(5)
    origin.listen()
    assert [client.response().status for client in clients] == [200] * 5
    assert weir.command("pause").returncode == 0
    clients = ask(world, weir, 5, "/")
    weir.wait_depth(5)
    assert weir.command("resume").returncode == 0
    assert [client.response().status for client in clients] == [200] * 5
