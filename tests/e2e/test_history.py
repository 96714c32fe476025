"""GET /history, and the last minute in /status, beside what is known of each request."""

import json
import re

from support import origin as app
from support.client import burst
from support.demo import Demo
from support.waiting import until

SECONDS, REQUESTS, LIMIT = 0.3, 8, 2


def history(weir, query=""):
    return json.loads(weir.admin_get("/history" + query).body)


def history_of(weir, requests):
    """Once it includes so many requests that have ended and is a second further."""

    def complete():
        h = history(weir)
        c = h["columns"]
        seen = sum(c["finished"]) + sum(c["rejected"]) + sum(c["client_gone"])
        return h if seen >= requests and c["in_flight_peak"][-1] == 0 else None

    return until(complete, "the history to have all", every=0.05)


def spent(outcome, what):
    """Seconds, from weir's Server-Timing, which stands after that of the app."""
    timing = outcome.fields.all("Server-Timing")[-1]
    return float(re.search(rf"\b{what};dur=([\d.]+)", timing)[1]) / 1000


def known(values):
    return [v for v in values if v is not None]


def near(got, want, error):
    assert abs(got - want) <= error * want, (got, want)


def test_a_burst_is_in_the_history_as_it_was(world, tmp_path):
    demo = Demo(tmp_path, BACKEND_USUARIOS_MS=str(int(SECONDS * 1000)))
    try:
        weir = world.weir(
            demo.upstream, concurrency=LIMIT, queue_length=100, headers_server_timing="true"
        )
        began = history(weir)
        outcomes, _ = burst(weir.address, "/usuarios", REQUESTS)
        assert {o.status for o in outcomes} == {200}
        waits = sorted(spent(o, "queue") for o in outcomes)
        h, m = history_of(weir, REQUESTS), weir.metrics()
        c = h["columns"]
        assert h["started"] == began["started"] and h["end"] > began["end"] and h["limit"] == LIMIT

        assert sum(c["finished"]) == REQUESTS and sum(c["rejected"]) == sum(c["errors"]) == 0
        assert max(c["in_flight_peak"]) == LIMIT == m.one("weir_requests_in_flight_peak")
        queued = sum(w > 0 for w in waits)
        assert max(c["queue_peak"]) == m.one("weir_queue_depth_peak") <= queued
        near(sum(c["in_flight"]), m.one("weir_request_seconds_total", state="in_flight"), 0.2)
        near(sum(c["queued"]), sum(waits), 0.2)
        near(sum(c["saturated"]), m.one("weir_saturated_seconds_total"), 0.2)
        assert abs(max(known(c["wait_max"])) - waits[-1]) < 2e-6
        assert abs(h["phases"]["queue"] - sum(waits)) < 2e-6 * REQUESTS
        assert min(known(c["app_p50"])) >= SECONDS
        assert max(known(c["app_p99"])) <= m.one("weir_slot_hold_seconds_sum")

        recent = weir.status()["recent"]
        assert recent["in_flight_peak"] == LIMIT and recent["queue_peak"] == max(c["queue_peak"])
        assert abs(recent["wait_seconds"]["max"] - waits[-1]) < 2e-6
        near(recent["wait_seconds"]["p50"], (waits[3] + waits[4]) / 2, 0.5)
        assert waits[-2] * 0.9 <= recent["wait_seconds"]["p99"] <= waits[-1] + 2e-6
        near(recent["requests_per_second"] * recent["seconds"], REQUESTS, 0.3)
        assert SECONDS <= recent["app_seconds"]["p50"] <= recent["app_seconds"]["p99"]
        assert history(weir, f"?since={h['end'] - 1}")["columns"]["limit"][0] == LIMIT
    finally:
        demo.stop()


def test_every_outcome_is_in_the_column_of_its_kind(world):
    origin, weir = world.pair(concurrency=1, queue_length=1)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer(b"held"))
    holder, waiter = world.connect(weir).get("/held"), world.connect(weir)
    origin.wait_inside(1)
    waiter.get("/waits")
    weir.wait_depth(1)
    assert world.connect(weir).ask("GET", "/refused").status == 503
    waiter.fin()
    weir.wait_depth(0)
    gate.open()
    assert holder.response().status == 200
    h = history_of(weir, 3)
    kinds = ("finished", "rejected", "client_gone", "errors")
    assert [sum(h["columns"][k]) for k in kinds] == [1, 1, 1, 0]
    assert h["reasons"]["queue_full"] == 1
