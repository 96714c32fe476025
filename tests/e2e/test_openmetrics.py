"""/metrics as OpenMetrics: read by the parsers of others, the same as the text, and its exemplars."""

import re

import pytest

from support import metrics, openmetrics
from support import origin as app


def samples(text):
    """The lines with values, without exemplars and what changes by itself."""
    lines = [re.sub(r" # .*", "", line) for line in text.split("\n") if line and line[0] != "#"]
    own = re.compile(r"process_|weir_event_loop_lag|weir_saturated|weir_request_seconds")
    return [line for line in lines if not own.match(line)]


def test_other_parsers_read_it_and_find_the_values_of_the_text_format(world, tmp_path):
    origin, weir = world.pair()
    origin.default = (app.read_body(), app.answer())
    world.connect(weir).ask("GET", "/")
    weir.identities(1)
    text = openmetrics.page(weir)
    found = openmetrics.families(text)
    assert found["weir_requests"].type == "counter"
    assert found["weir_queue_wait_seconds"].unit == "seconds"
    openmetrics.promtool_check(text, tmp_path)
    plain = weir.metrics()
    assert samples(plain.text) == samples(text)
    names = {name: family.type for name, family in plain.families.items()}
    assert {re.sub("_total$", "", name): kind for name, kind in names.items()} == {
        name: family.type for name, family in found.items()
    }
    metrics.promtool_check(plain.text)


def test_each_scraper_gets_the_format_that_it_prefers(world):
    _, weir = world.pair()

    def kind(*fields):
        return weir.admin_get("/metrics", *fields).get("Content-Type").split(";")[0]

    assert kind() == kind("Accept: */*") == kind("Accept: text/plain") == "text/plain"
    om = "application/openmetrics-text"
    assert kind(f"Accept: {om}") == om
    assert kind(f"Accept: {om};q=0.5, text/plain") == "text/plain"
    assert kind("Accept: text/plain;q=0.5", f"Accept: {om};version=0.0.1") == om
    both = weir.admin_get("/metrics", f"Accept: {om};version=1.0.0;q=0.8,{om};version=0.0.1;q=0.9")
    assert both.get("Content-Type") == f"{om}; version=0.0.1; charset=utf-8"
    openmetrics.families(both.body.decode())


@pytest.mark.race
def test_a_wait_has_the_trace_id_of_its_request(world):
    origin, weir = world.pair(concurrency=1)
    gate, first, second = origin.gate(), "0af7651916cd43dd8448eb211c80319c", "b" * 32
    origin.on("/held", app.wait(gate), app.answer())
    parent = "traceparent: 00-%s-00f067aa0ba902b7-01"
    held = world.connect(weir).get("/held", parent % first)
    weir.wait_in_flight(1)
    waits = world.connect(weir).get("/", parent % second)
    none = world.connect(weir).get("/", "traceparent: 00-%s-00f067aa0ba902b7-01" % ("0" * 32))
    weir.wait_depth(2)
    gate.open()
    assert {held.response().status, waits.response().status, none.response().status} == {200}
    m = weir.identities(3)
    found = openmetrics.exemplars(openmetrics.page(weir), "weir_queue_wait_seconds")
    assert found.pop("0")[:2] == (first, 0)
    ((bound, (trace, wait, _)),) = found.items()
    assert trace == second and 0 < wait <= float(bound)
    assert wait <= m.one("weir_queue_wait_seconds_sum")
