"""The figures of docs/autoscaling.md, computed by promtool from the series in this file."""

import math
import re
import shutil
import subprocess

import pytest
import yaml

from support import promql

pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")

PAGE = promql.page("autoscaling.md")
LABELS = 'namespace="shop",app="web"'
TARGET, LIMIT = 56, 80


def queries():
    return [text.strip() for page, text in promql.blocks("promql") if page == "autoscaling.md"]


def query(word):
    """The first query that contains the word."""
    return next(q for q in queries() if word in q)


DEMAND, REPLICAS, REFUSED = query("sum by"), query("ceil("), query("rejected")


def series(name, values, pod="web-1", labels=""):
    return f'{name}{{{LABELS},pod="{pod}"{labels}}}', values


def inside(rate, pod="web-1", steps=60, state="in_flight"):
    """`rate` requests on average, from the first sample to the last, five seconds apart."""
    return series("weir_request_seconds_total", f"0+{rate * 5}x{steps}", pod, f',state="{state}"')


def holds(tmp_path, given, claims, interval="5s"):
    """Each claim is (seconds, PromQL that is 1 if it is true)."""
    tests = {
        "rule_files": [],
        "evaluation_interval": interval,
        "tests": [
            {
                "interval": interval,
                "input_series": [{"series": k, "values": v} for k, v in given],
                "promql_expr_test": [
                    {
                        "expr": f"sum({expr})",
                        "eval_time": f"{at}s",
                        "exp_samples": [{"labels": "{}", "value": 1}],
                    }
                    for at, expr in claims
                ],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(tests))
    run = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


def near(expr, value, share=1e-9):
    return f"abs(({expr}) - {value}) <= bool {value * share}"


# ---- the number of pods ----------------------------------------------------------------------------------


def test_140_requests_at_a_limit_of_80_require_3_pods(tmp_path):
    limit = series("weir_concurrency_limit", f"{LIMIT}x60")
    given = [inside(80), inside(60, state="queued"), limit]
    holds(tmp_path, given, [(300, near(DEMAND, 140)), (300, near(REPLICAS, 3))])
    for demand, replicas in ((112, 2), (113, 3), (168, 3), (169, 4)):
        holds(tmp_path, [inside(demand), limit], [(300, near(REPLICAS, replicas))])
    assert math.ceil(140 / TARGET) == 3 and TARGET == 0.7 * LIMIT


def test_a_short_queue_hides_demand_and_refused_requests_show_it(tmp_path):
    """80 inside for a second each, and 120 more a second are refused: 200 slots are needed."""
    given = [
        inside(80),
        inside(0, state="queued"),
        series("weir_requests_rejected_total", "0+600x60", labels=',reason="queue_full"'),
        series("weir_requests_rejected_total", "0+600x60", labels=',reason="draining"'),
        series("weir_slot_hold_seconds_sum", "0+400x60"),
        series("weir_slot_hold_seconds_count", "0+400x60"),
    ]
    holds(tmp_path, given, [(300, near(DEMAND, 80)), (300, near(REFUSED, 200))])


def test_without_refused_requests_or_any_request_that_is_the_demand(tmp_path):
    refused = [series("weir_requests_rejected_total", "0x60", labels=',reason="queue_full"')]
    idle = [series(f"weir_slot_hold_seconds_{part}", "0x60") for part in ("sum", "count")]
    holds(tmp_path, [inside(0), *refused, *idle], [(300, near(REFUSED, 0))])
    busy = [series(f"weir_slot_hold_seconds_{part}", "0+400x60") for part in ("sum", "count")]
    holds(tmp_path, [inside(80), *refused, *busy], [(300, near(REFUSED, 80))])


def test_growth_in_one_step_is_the_highest_demand_by_the_utilization():
    for queue, growth in ((10, "15.7"), (1, "2.9"), (0, "1.43")):
        assert f"| x {growth} " in PAGE
        assert float(growth) == round((1 + queue) / 0.7, len(growth.partition(".")[2]))


def test_the_shares_that_wait_are_those_of_erlangs_formula():
    def waits(slots, utilization):
        load, blocked = utilization * slots, 1.0
        for n in range(1, slots + 1):
            blocked = load * blocked / (n + load * blocked)
        return slots * blocked / (slots - load * (1 - blocked))

    rows = re.findall(r"^\| (\d+) \| (\d+)% \| (\d+)% \| (\d+)% \|$", PAGE, re.M)
    assert len(rows) == 5
    for slots, *shares in rows:
        for share, utilization in zip(shares, (0.5, 0.7, 0.9)):
            assert int(share) == round(100 * waits(int(slots), utilization)), slots


# ---- windows -----------------------------------------------------------------------------------------


def test_the_means_pass_the_thresholds_when_the_page_says_so(tmp_path):
    """No load for a minute, then 140, in samples of a second."""
    step = series("weir_request_seconds_total", "0x60 140+140x60", labels=',state="in_flight"')
    short = DEMAND.replace("[1m]", "[20s]")
    claims = [
        (60 + 26, f"{DEMAND} <= bool 61.6"),
        (60 + 27, f"{DEMAND} > bool 61.6"),
        (60 + 15, f"{short} < bool 112"),
        (60 + 16, f"{short} >= bool 112"),
    ]
    holds(tmp_path, [step], claims, interval="1s")
    text = " ".join(PAGE.split())
    assert "passes 61.6 after 27 s" in text and "112, after 16 s" in text


def test_the_panic_window_counts_from_twice_the_target_on(tmp_path):
    (panic,) = [q for q in promql.autoscaler_queries("web-1") if "2 * 56" in q]
    for demand, result in ((111, 0), (112, 112), (140, 140)):
        given = [inside(demand), series("weir_concurrency_limit", f"{LIMIT}x60")]
        holds(tmp_path, given, [(300, near(panic, result) if result else f"({panic}) == bool 0")])


def test_in_a_rollout_the_sum_stays_and_the_mean_of_the_new_pod_rises(tmp_path):
    old = series("weir_request_seconds_total", "0+200x60 stale", "web-1", ',state="in_flight"')
    new = series("weir_request_seconds_total", "_x60 0+200x60", "web-2", ',state="in_flight"')
    young = DEMAND.replace('app="web"', 'app="web",pod="web-2"')
    claims = [(at, near(DEMAND, 40, share=0.1)) for at in range(290, 380, 5)]
    claims += [(330, f"{young} < bool 40 * 0.6"), (370, near(young, 40))]
    holds(tmp_path, [old, new], claims)


def test_a_restart_loses_the_time_since_the_last_scrape(tmp_path):
    restart = series("weir_request_seconds_total", "0+200x60 0+200x60", labels=',state="in_flight"')
    claims = [(at, near(DEMAND, 40 * 11 / 12)) for at in range(305, 360, 5)]
    holds(tmp_path, [restart], [*claims, (290, near(DEMAND, 40)), (370, near(DEMAND, 40))])
