"""The documented queries, the rules and the dashboard that are shipped, asked of Prometheus itself,
which scrapes two apps at once."""

import json
import os
import pathlib
import re
import subprocess

import pytest
import yaml

from support import openloop, promql
from support.demo import Demo
from support.waiting import until

pytestmark = pytest.mark.skipif(not promql.PROMETHEUS, reason="Prometheus is not installed")

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
WEB = {"app": "web", "namespace": "shop", "pod": "web-1"}
API = {"app": "api", "namespace": "shop", "pod": "api-1"}
BY_APP = re.compile(r"by \(namespace\)")  # demand and replicas are an app's, not a pod's
AT_TIMES = re.compile(r"_estimate\b")  # absent while not known; test_prometheus.py has it known


@pytest.fixture
def demo(tmp_path):
    demo = Demo(tmp_path)
    yield demo
    demo.stop()


@pytest.fixture
def two_apps(demo, world, tmp_path):
    """A weir of the app web and one of api, both scraped by one Prometheus."""
    options = {"concurrency": 4, "queue_timeout": "300ms", "headers_server_timing": "true"}
    web, api = (world.weir(demo.upstream, **options) for _ in "ab")
    targets = {"%s:%d" % w.admin: labels for w, labels in ((web, WEB), (api, API))}
    server = promql.Prometheus(tmp_path, targets)
    yield web, api, server
    server.stop()


def overload(weir):
    """Two seconds at twice what the app can take: three quarters have to wait, a part without a slot."""
    moments = openloop.poisson(200, 2, seed=1)
    return openloop.run(weir.port, [(at, "/usuarios?ms=40") for at in moments])


def counted(server, n):
    return [v for _, v in server.ask("sum by (pod) (weir_requests_total)")] == [n, n]


def check_queries(server):
    assert len(promql.queries()) > 10
    for query in promql.queries():
        pods = {"web-1"} if not BY_APP.search(query) else {None}
        answer = server.ask(query)
        if AT_TIMES.search(query):
            assert {labels.get("pod") for labels, _ in answer} <= pods, query
            continue
        assert {labels.get("pod") for labels, _ in answer} == pods, query
        assert {labels["namespace"] for labels, _ in answer} == {"shop"}, query
        if BY_APP.search(query):
            continue
        # The same question, asked of all: each pod has its own answer.
        answer = server.ask(query.replace('{app="web"}', "").replace(', app="web"', ""))
        assert {labels.get("pod") for labels, _ in answer} == {"web-1", "api-1"}, query


def shipped_rules(kind):
    text = (DEPLOY / "prometheus/weir.rules.yaml").read_text(encoding="utf-8")
    return [r for group in yaml.safe_load(text)["groups"] for r in group["rules"] if kind in r]


def check_alerts(server):
    """Without its threshold, each has a result, which names the pod."""
    for rule in shipped_rules("alert"):
        if AT_TIMES.search(rule["expr"]):
            continue
        answer = server.ask(re.split(r" (?:>|==) ", rule["expr"])[0])
        pods = {(labels.get("namespace"), labels.get("pod")) for labels, _ in answer}
        assert pods == {("shop", "web-1"), ("shop", "api-1")}, rule


def check_dashboard(server):
    """The values of Grafana's variables do not matter to whether there is a result."""
    dashboard = json.loads((DEPLOY / "grafana/weir.json").read_text(encoding="utf-8"))
    asked = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    assert len(asked) > 20
    for expr in asked:
        for name, value in (("$job", ".*"), ("$instance", ".*"), ("$__rate_interval", "1m")):
            expr = expr.replace(name, value)
        assert server.ask(expr) or AT_TIMES.search(expr), expr


def check_autoscalers(server):
    """KEDA refuses a result of several elements, and takes none for 0 or an error."""
    asked = promql.autoscaler_queries("web-1")
    assert len(asked) == 5
    for query in asked:
        ((labels, value),) = server.ask(query)
        assert labels == {} and value >= 0, query
        assert value > 0 or ">=" in query, query
        zero = server.ask(query.replace("web-1", "web-0"))
        assert [v for _, v in zero] == ([0] if "vector(0)" in query else []), query


def check_p99(server, weir, outcomes):
    """Prometheus extrapolates the rates of all buckets alike, so the quantile is that of weir's own
    buckets. What a busy machine adds to queue.timeout shows in both: the bucket above it is wide."""
    (query,) = [q for q in promql.queries() if "histogram_quantile(0.99" in q]
    ((_, found),) = server.ask(query)
    waits = [o.queue if o.status == 200 else 0.3 for o in outcomes if o.reason != "queue_full"]
    assert promql.true_quantile(0.99, waits) == 0.3
    own = promql.buckets(weir.metrics(), "weir_queue_wait_seconds")
    assert found == pytest.approx(promql.quantile(0.99, own), rel=0.01)
    assert found >= 0.3 * 0.95


def test_queries_and_alerts_keep_two_apps_apart(two_apps):
    web, api, server = two_apps
    outcomes = overload(web)
    assert len(overload(api)) == len(outcomes)
    until(lambda: counted(server, len(outcomes)), "the last scrape", every=0.05)
    check_queries(server)
    check_alerts(server)
    check_dashboard(server)
    check_autoscalers(server)
    check_p99(server, web, outcomes)


@pytest.mark.skipif(not os.environ.get("WEIR_PROMETHEUS"), reason="for make prometheus-check")
@pytest.mark.seconds(60)
def test_all_queries_have_a_result_while_a_pool_is_saturated(demo, world, tmp_path):
    """80 requests are let inside, and the app has 40 threads: all queries have a result."""
    weir = world.weir(demo.upstream, concurrency=80, queue_timeout="60s")
    server = promql.Prometheus(tmp_path, {"%s:%d" % weir.admin: WEB})
    openloop.run(weir.port, [(i / 1000, "/produtos?ms=1000") for i in range(200)])
    for query in promql.queries():
        answer = server.ask(query)
        print(" ".join(query.split()), "->", " ".join(f"{value:.4g}" for _, value in answer))
        assert answer, query
        if "parallelism_estimate" in query:
            assert answer[0][1] == pytest.approx(40, rel=0.05)
    server.stop()


def test_each_metric_that_a_page_names_exists():
    folder = os.path.join(os.path.dirname(__file__), "../../docs")
    known = set(re.findall(r"(?m)^\| `(\w+)` \|", promql.page("metrics.md")))
    assert len(known) > 50
    for page in sorted(os.listdir(folder)):
        if not page.endswith(".md"):
            continue
        named = set(re.findall(r"\bweir_[a-z_]+[a-z]\b", promql.page(page)))
        unknown = {name for name in named if re.sub(r"_(bucket|sum|count)$", "", name) not in known}
        assert not unknown, f"{page}: {unknown}"


def test_each_metric_that_a_rule_or_the_dashboard_names_exists():
    known = set(re.findall(r"(?m)^\| `(\w+)` \|", promql.page("metrics.md")))
    for path in ("prometheus/weir.rules.yaml", "prometheus/weir.rules.test.yaml", "grafana/weir.json"):
        named = set(re.findall(r"\b(?:weir|process)_[a-z_]+[a-z]\b", (DEPLOY / path).read_text()))
        assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named} <= known, path


def promtool(*args):
    run = subprocess.run(["promtool", *args], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_rules_are_valid_and_each_alert_fires_when_it_should():
    promtool("check", "rules", DEPLOY / "prometheus/weir.rules.yaml")
    promtool("test", "rules", DEPLOY / "prometheus/weir.rules.test.yaml")
    tested = (DEPLOY / "prometheus/weir.rules.test.yaml").read_text(encoding="utf-8")
    for rule in shipped_rules("alert"):
        assert f"alertname: {rule['alert']}\n" in tested
        assert f"| `{rule['alert']}` |" in promql.page("operations.md")
    for rule in shipped_rules("record"):
        assert f"`{rule['record']}`" in promql.page("operations.md")
