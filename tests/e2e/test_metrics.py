"""/metrics: its form, what is there from the first scrape, and exact numbers for known requests."""

import time

import pytest

from support import metrics
from support import origin as app
from support.waiting import until

BUCKETS = "0 .001 .0025 .005 .01 .025 .05 .1 .25 .5 1 2 3 5 10 30 60 120 300".split()

FAMILIES = {
    "weir_concurrency_limit": "gauge",
    "weir_queue_limit": "gauge",
    "weir_queue_timeout_seconds": "gauge",
    "weir_requests_in_flight": "gauge",
    "weir_queue_depth": "gauge",
    "weir_request_seconds_total": "counter",
    "weir_saturated_seconds_total": "counter",
    "weir_queue_wait_seconds": "histogram",
    "weir_queue_oldest_wait_seconds": "gauge",
    "weir_queue_drain_seconds": "gauge",
    "weir_rejected_total": "counter",
    "weir_requests_total": "counter",
    "weir_request_duration_seconds": "histogram",
    "weir_upstream_connect_seconds": "histogram",
    "weir_upstream_first_byte_seconds": "histogram",
    "weir_slot_hold_seconds": "histogram",
    "weir_response_delivery_seconds": "histogram",
    "weir_orphans_in_flight": "gauge",
    "weir_orphaned_total": "counter",
    "weir_orphan_hold_seconds": "histogram",
    "weir_upstream_ready": "gauge",
    "weir_upstream_startup_seconds": "gauge",
    "weir_upstream_connections_total": "counter",
    "weir_connections": "gauge",
    "weir_buffered_bytes": "gauge",
    "weir_accounting_error_total": "counter",
    "weir_build_info": "gauge",
    "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_open_fds": "gauge",
    "process_start_time_seconds": "gauge",
}

PRESET = {
    "weir_queue_wait_seconds_count": {
        "outcome": ["dispatched", "timeout", "client_gone", "evicted", "drained"]
    },
    "weir_rejected_total": {
        "reason": "queue_full queue_timeout not_ready draining evicted deadline bytes".split()
    },
    "weir_request_seconds_total": {"state": ["in_flight", "queued"]},
    "weir_upstream_connections_total": {"result": ["opened", "reused", "failed", "replayed"]},
    "weir_requests_total": {"source": ["app", "weir", "client_gone"]},
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
    for name in ("slot_hold", "request_duration", "orphan_hold", "upstream_connect"):
        assert m.one(f"weir_{name}_seconds_count") == 0
    assert m.one("weir_orphaned_total") == 0
    assert m.one("weir_saturated_seconds_total") == 0


def test_histograms_have_the_documented_buckets(world):
    _, weir = world.pair()
    m = weir.metrics()
    want = sorted(float(b) for b in BUCKETS) + [float("inf")]
    for name in ("weir_slot_hold_seconds", "weir_queue_wait_seconds"):
        found = {float(dict(labels)["le"]) for labels in m.series(name + "_bucket")}
        assert sorted(found) == want


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
    held = [world.connect(weir).get("/held") for _ in range(2)]
    origin.wait_inside(2)
    waiting = [world.connect(weir).get("/ok") for _ in range(3)]
    weir.wait_depth(3)
    for _ in range(4):
        assert world.connect(weir).ask("GET", "/ok").status == 503
    waiting.pop().rst()
    weir.wait_depth(2)
    held.pop().fin()
    until(lambda: weir.metrics().one("weir_orphans_in_flight") == 1, "the orphan")
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
    assert m.total("weir_rejected_total") == m.one("weir_rejected_total", reason="queue_full") == 4
    assert m.total("weir_queue_wait_seconds_count", outcome="dispatched") == 12
    assert m.total("weir_queue_wait_seconds_bucket", outcome="dispatched", le="0") == 10
    assert m.total("weir_queue_wait_seconds_count", outcome="client_gone") == 1
    assert m.one("weir_slot_hold_seconds_count") == 12
    assert m.one("weir_orphaned_total") == 1
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
    waited = m.total("weir_queue_wait_seconds_sum", outcome="dispatched")
    assert 0.9 <= m.one("weir_upstream_first_byte_seconds_sum") <= held <= seconds
    assert m.one("weir_saturated_seconds_total") == pytest.approx(held, abs=0.01)
    assert 0.3 + 0.6 <= waited <= 2 * seconds
    assert m.one("weir_request_duration_seconds_count") == 3
    delivered = m.one("weir_response_delivery_seconds_sum")
    assert m.one("weir_request_duration_seconds_sum") == pytest.approx(
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
    until(lambda: weir.metrics().total("weir_connections", side="client") == 3, "3 clients")
