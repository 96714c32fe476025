"""/metrics: its form, what is there from the first scrape, and exact numbers for known requests."""

import time

import pytest

from support import metrics
from support import origin as app
from support.overload import overloaded
from support.waiting import until

DURATIONS = ".005 .01 .025 .05 .1 .25 .5 1 2.5 5 10 30 60".split()

FAMILIES = {
    "weir_concurrency_limit": "gauge",
    "weir_queue_limit": "gauge",
    "weir_queue_bytes": "gauge",
    "weir_queue_limit_bytes": "gauge",
    "weir_queue_waits_total": "counter",
    "weir_queue_waited_seconds_total": "counter",
    "weir_queue_timeout_seconds": "gauge",
    "weir_requests_in_flight": "gauge",
    "weir_queue_depth": "gauge",
    "weir_request_seconds_total": "counter",
    "weir_saturated_seconds_total": "counter",
    "weir_queue_wait_seconds": "histogram",
    "weir_queue_oldest_wait_seconds": "gauge",
    "weir_queue_drain_seconds": "gauge",
    "weir_queue_overload": "gauge",
    "weir_queue_overloads_total": "counter",
    "weir_queue_overload_seconds_total": "counter",
    "weir_queue_allowance_seconds": "gauge",
    "weir_queue_overtaken_total": "counter",
    "weir_client_patience_seconds": "summary",
    "weir_requests_wasted_total": "counter",
    "weir_requests_rejected_total": "counter",
    "weir_requests_total": "counter",
    "weir_request_duration_seconds": "histogram",
    "weir_request_before_seconds": "histogram",
    "weir_upstream_connect_seconds": "histogram",
    "weir_upstream_first_byte_seconds": "histogram",
    "weir_slot_hold_seconds": "histogram",
    "weir_requests_requeued_total": "counter",
    "weir_requeued_hold_seconds_total": "counter",
    "weir_response_delivery_seconds": "histogram",
    "weir_orphans_in_flight": "gauge",
    "weir_requests_orphaned_total": "counter",
    "weir_orphan_hold_seconds": "histogram",
    "weir_paused": "gauge",
    "weir_draining": "gauge",
    "weir_config_last_reload_successful": "gauge",
    "weir_config_last_reload_success_timestamp_seconds": "gauge",
    "weir_bypass_in_flight": "gauge",
    "weir_bypass_limit": "gauge",
    "weir_bypass_requests_total": "counter",
    "weir_upstream_ready": "gauge",
    "weir_upstream_startup_seconds": "gauge",
    "weir_upstream_connections_total": "counter",
    "weir_connections": "gauge",
    "weir_connections_limit": "gauge",
    "weir_upgrades_limit": "gauge",
    "weir_buffered_bytes": "gauge",
    "weir_buffered_limit_bytes": "gauge",
    "weir_accounting_error_total": "counter",
    "weir_build_info": "gauge",
    "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_open_fds": "gauge",
    "process_start_time_seconds": "gauge",
}

OUTCOMES = ["dispatched", "timeout", "client_gone", "drained", "evicted"]
SOURCES = ["app", "weir", "client_gone"]

PRESET = {
    "weir_queue_waits_total": {"outcome": OUTCOMES},
    "weir_queue_waited_seconds_total": {"outcome": OUTCOMES},
    "weir_request_duration_seconds_count": {"source": SOURCES},
    "weir_requests_rejected_total": {
        "reason": "queue_full queue_timeout not_ready draining bytes upgrades evicted deadline".split()
    },
    "weir_queue_overloads_total": {"cause": ["hopeless", "crowded", "waste"]},
    "weir_queue_depth": {"class": ["default"]},
    "weir_request_seconds_total": {"state": ["in_flight", "queued"]},
    "weir_upstream_connections_total": {"result": ["opened", "reused", "failed", "replayed"]},
    "weir_requests_total": {"source": SOURCES},
    "weir_bypass_requests_total": {"source": SOURCES},
    "weir_connections": {"side": ["client", "upstream"]},
}


def test_every_family_is_there_with_its_type_and_help(world):
    _, weir = world.pair()
    m = weir.metrics()
    types = {name: family.type for name, family in m.families.items()}
    missing = {name: kind for name, kind in FAMILIES.items() if types.get(name) != kind}
    assert not missing
    assert all(family.help for family in m.families.values())


def test_every_preset_series_is_there_and_0_before_any_request(world):
    _, weir = world.pair()
    m = weir.metrics()
    for name, labels in PRESET.items():
        for label, values in labels.items():
            for value in values:
                assert m.total(name, **{label: value}) == 0, (name, label, value)
    for name in ("slot_hold", "queue_wait", "orphan_hold", "upstream_connect"):
        assert m.one(f"weir_{name}_seconds_count") == 0
    assert m.one("weir_requests_orphaned_total") == 0
    assert m.one("weir_saturated_seconds_total") == 0


def bounds(m, name, **labels):
    return sorted(float(dict(have)["le"]) for have in m.series(name + "_bucket", **labels))


def test_bounds_follow_the_timeouts(world):
    origin = world.origin()
    weir = world.weir(
        origin, queue_timeout="700ms", upstream_first_byte_timeout="40s", client_head_timeout="3s"
    )
    m = weir.metrics()
    base = [float(b) for b in DURATIONS]
    inside = sorted(base + [40.4, float("inf")])
    assert bounds(m, "weir_slot_hold_seconds") == inside
    assert bounds(m, "weir_request_duration_seconds", source="app") == sorted(
        inside + [0.707, 3.03, 30.3]
    )
    waits = bounds(m, "weir_queue_wait_seconds")
    assert waits[:2] == [0, 0.001] and 0.707 in waits and 0.5 in waits
    assert all(high <= 1.05 * low for low, high in zip(waits[1:], waits[2:]) if 0.014 < low < 0.7)
    assert waits[-2:] == [pytest.approx(1.01 * 240), float("inf")]


def test_limits_stand_beside_what_they_bound(world):
    origin = world.origin()
    weir = world.weir(
        origin,
        concurrency=7,
        queue_length=9,
        queue_max_bytes="2MiB",
        buffers_budget="3MiB",
        client_max_connections=123,
        upgrades_max=2,
    )
    m = weir.metrics()
    assert m.one("weir_concurrency_limit") == 7 and m.one("weir_requests_in_flight") == 0
    assert m.one("weir_queue_limit") == 9 and m.one("weir_queue_depth") == 0
    assert m.one("weir_queue_limit_bytes") == 2 << 20 and m.one("weir_queue_bytes") == 0
    assert m.one("weir_buffered_limit_bytes") == 3 << 20 and m.total("weir_buffered_bytes") == 0
    assert m.one("weir_connections_limit", side="client") == 123
    assert m.one("weir_connections_limit", side="upstream") == 7
    assert m.one("weir_upgrades_limit") == 2 and m.one("weir_upgrades_in_flight") == 0
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    clients = [world.connect(weir).get("/held") for _ in range(10)]
    weir.wait_depth(3)
    assert 3 * 16 < weir.metrics().one("weir_queue_bytes") < 3 * 65536
    assert weir.status()["queue"]["limit_bytes"] == 2 << 20
    gate.open()
    for client in clients:
        assert client.response().status == 200
    world.expect_requests(weir, 10)


def values(m, name, label):
    return {dict(labels)[label] for labels in m.series(name)}


def moved(m, name, label):
    return {dict(labels)[label] for labels, n in m.series(name).items() if n > 0}


def load(world, weir, origin, refused):
    """One inside, one waiting; `refused` more."""
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    held = world.connect(weir).get("/held")
    origin.wait_inside(1)
    waiting = world.connect(weir).get("/held")
    weir.wait_depth(1)
    for _ in range(refused):
        assert world.connect(weir).ask("GET", "/").status == 503
    return gate, held, waiting


def timed_out(world):
    origin, weir = world.pair(concurrency=1, queue_length=1, queue_timeout="50ms")
    gate, held, waiting = load(world, weir, origin, 0)
    assert waiting.response().status == 503
    gate.open()
    assert held.response().status == 200
    return weir.wait_counted(2)


def no_place(world):
    origin, weir = world.pair(concurrency=1, queue_length=1)
    gate, held, waiting = load(world, weir, origin, 1)
    waiting.rst()
    weir.wait_depth(0)
    gate.open()
    assert held.response().status == 200
    return weir.wait_counted(3)


def no_memory(world):
    origin, weir = world.pair(concurrency=1, queue_max_bytes="64KiB")
    gate = origin.gate()
    origin.default = (app.wait(gate), app.answer())
    clients = [world.connect(weir).get("/", "X-Long: " + "x" * 30_000) for _ in range(4)]
    refused = lambda: weir.metrics().one("weir_requests_rejected_total", reason="bytes")
    until(lambda: refused() + weir.glance().one("weir_queue_depth") == 3, "all to have come")
    gate.open()
    assert {client.response().status for client in clients} == {200, 503}
    return weir.wait_counted(4)


def evicted(world):
    origin, weir = world.pair(concurrency=1, queue_length=2)
    overloaded(world, origin, weir, 2).open()
    return weir.wait_quiet()


def too_late(world):
    _, weir = world.pair()
    assert world.connect(weir).ask("GET", "/", "Request-Timeout: 0").status == 503
    return weir.wait_counted(1)


def no_tunnel(world):
    _, weir = world.pair(upgrades_max=0)
    upgrade = ("Connection: Upgrade", "Upgrade: websocket")
    assert world.connect(weir).ask("GET", "/", *upgrade).status == 503
    return weir.wait_counted(1)


def not_started(world):
    weir = world.weir("unix:" + world.path("nobody"), wait="/livez", startup_timeout="100ms")
    assert world.connect(weir).ask("GET", "/").status == 503
    return weir.wait_counted(1)


def draining(world):
    origin, weir = world.pair(concurrency=1, drain_timeout="1500ms")
    gate, held, waiting = load(world, weir, origin, 0)
    weir.signal()
    assert waiting.response().status == 503
    m = weir.metrics()
    gate.open()
    assert held.response().status == 200
    weir.exited(3)  # someone was turned away
    return m


def dry_run(world):
    origin, weir = world.pair(concurrency=1, enforce="false")
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    held = world.connect(weir).get("/held")
    origin.wait_inside(1)
    assert world.connect(weir).ask("GET", "/").status == 200
    gate.open()
    assert held.response().status == 200
    return weir.wait_quiet()


def test_every_series_of_the_queue_can_move(world):
    """A label's value that nothing can cause has no place in the page."""
    causes = (timed_out, no_place, no_memory, evicted, too_late, no_tunnel, not_started, draining)
    pages = [cause(world) for cause in (*causes, dry_run)]
    for name, label in (
        ("weir_requests_rejected_total", "reason"),
        ("weir_queue_waits_total", "outcome"),
    ):
        seen = set().union(*(moved(m, name, label) for m in pages))
        assert seen == values(pages[0], name, label)


def test_a_response_is_timed_by_who_gave_it(world):
    origin, weir = world.pair(concurrency=1, queue_length=0)
    gate, other = origin.gate(), origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    origin.on("/left", app.wait(other), app.answer())
    held = world.connect(weir).get("/held")
    origin.wait_inside(1)
    began = time.monotonic()
    assert world.connect(weir).ask("GET", "/").status == 503
    gate.open()
    assert held.response().status == 200
    left = world.connect(weir).get("/left")
    origin.wait_inside(1)
    left.fin()
    until(lambda: weir.glance().one("weir_orphans_in_flight") == 1, "the orphan")
    gone = time.monotonic() - began
    time_of = lambda m, by: m.one("weir_request_duration_seconds_sum", source=by)
    until(lambda: weir.glance().one("weir_slot_hold_seconds_count") == 1, "the first")
    while time.monotonic() - began < 3 * gone:
        weir.metrics()
    other.open()
    m = weir.identities(3)
    for by in SOURCES:
        assert m.one("weir_request_duration_seconds_count", source=by) == 1
    # It ended when the client left, not when the app had finished with it.
    assert time_of(m, "client_gone") <= gone
    assert time_of(m, "weir") <= gone


def test_the_content_type_is_exactly_that_of_the_text_format(world):
    _, weir = world.pair()
    answer = weir.admin_get("/metrics")
    assert answer.status == 200
    assert answer.get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    metrics.promtool_check(answer.body.decode())


def test_no_label_tells_of_paths_methods_hosts_or_clients(world):
    origin, weir = world.pair()
    origin.default = (app.read_body(), app.answer())
    for i in range(20):
        world.connect(weir).ask("FROB", f"/secret{i}", host=f"h{i}.test")
    before = len(weir.metrics().samples)
    for i in range(20, 40):
        world.connect(weir).ask("FROB", f"/secret{i}", host=f"h{i}.test")
    text = weir.metrics().text
    assert len(metrics.Metrics(text).samples) == before
    for secret in ("secret", "FROB", ".test", "127.0.0.1"):
        assert secret not in text


def test_statuses_beyond_599_go_on_and_share_one_series(world):
    origin, weir = world.pair()
    client = world.connect(weir)
    for status in (600, 601, 999):
        origin.on(f"/{status}", app.answer(b"x", status))
        assert client.ask("GET", f"/{status}").status == status
    m = weir.wait_counted(3)
    assert m.one("weir_requests_total", code="other", source="app") == 3
    assert not any(m.series("weir_requests_total", code=c) for c in ("600", "601", "999"))
    world.expect_requests(weir, 3)


def test_a_run_of_known_requests_gives_exact_numbers(world):
    origin, weir = world.pair(concurrency=2, queue_length=3, queue_timeout="20s")
    origin.on("/404", app.answer(b"no", 404))
    origin.on("/reset", app.reset())
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    for _ in range(5):
        assert world.connect(weir).ask("GET", "/ok").status == 200
    for _ in range(2):
        assert world.connect(weir).ask("GET", "/404").status == 404
    assert world.connect(weir).ask("POST", "/reset").status == 502
    until(lambda: not weir.status()["queue"]["paused"], "weir to trust the app again")
    held = [world.connect(weir).get("/held") for _ in range(2)]
    origin.wait_inside(2)
    waiting = [world.connect(weir).get("/ok") for _ in range(3)]
    weir.wait_depth(3)
    for _ in range(4):
        assert world.connect(weir).ask("GET", "/ok").status == 503
    waiting.pop().rst()
    weir.wait_depth(2)
    held.pop().fin()
    until(lambda: weir.glance().one("weir_orphans_in_flight") == 1, "the orphan")
    gate.open()
    for client in held + waiting:
        assert client.response().status == 200
    m = weir.identities(17)
    answered = {}
    for labels, n in m.series("weir_requests_total").items():
        labels = dict(labels)
        if n:
            answered[(labels["code"], labels["source"])] = n
    assert answered == {
        ("200", "app"): 8,
        ("404", "app"): 2,
        ("502", "weir"): 1,
        ("503", "weir"): 4,
        ("499", "client_gone"): 2,
    }
    rejected = "weir_requests_rejected_total"
    assert m.total(rejected) == m.one(rejected, reason="queue_full") == 4
    assert m.total("weir_queue_waits_total", outcome="dispatched") == 12
    assert m.total("weir_queue_wait_seconds_bucket", le="0") == 10
    assert m.total("weir_queue_waits_total", outcome="client_gone") == 1
    assert m.one("weir_slot_hold_seconds_count") == 12
    assert m.one("weir_requests_orphaned_total") == 1
    world.expect_requests(weir, 17)


def test_time_is_counted_where_it_was_spent(world):
    origin, weir = world.pair(concurrency=1)
    gate = origin.gate()
    origin.on("/slow", app.wait(gate), app.delay(0.3), app.answer())
    began = time.monotonic()
    clients = []
    for i in range(3):
        clients.append(world.connect(weir).get("/slow"))
        weir.wait_depth(i)
    gate.open()
    for client in clients:
        assert client.response().status == 200
    m = weir.identities(3)
    seconds = time.monotonic() - began
    held = m.one("weir_slot_hold_seconds_sum")
    waited = m.total("weir_queue_waited_seconds_total", outcome="dispatched")
    assert 0.9 <= m.one("weir_upstream_first_byte_seconds_sum") <= held <= seconds
    assert m.one("weir_saturated_seconds_total") == pytest.approx(held, abs=0.01)
    assert 0.3 + 0.6 <= waited <= 2 * seconds
    assert m.one("weir_request_duration_seconds_count", source="app") == 3
    delivered = m.one("weir_response_delivery_seconds_sum")
    assert m.total("weir_request_duration_seconds_sum") == pytest.approx(
        waited + held + delivered, abs=0.01
    )


def test_connections_are_counted_as_they_come_and_go(world):
    origin, weir = world.pair()
    clients = [world.connect(weir) for _ in range(7)]
    for client in clients:
        assert client.ask("GET", "/").status == 200
    assert weir.metrics().total("weir_connections", side="client") == 7
    assert weir.metrics().total("weir_connections", side="upstream") == 1
    for client in clients[:4]:
        client.fin()
    until(lambda: weir.glance().total("weir_connections", side="client") == 3, "3 clients")
