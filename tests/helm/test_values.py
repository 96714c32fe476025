"""The values of the charts: golden files of what is rendered, the schema, warnings, and what is generated.

UPDATE_GOLDEN=1 writes the golden files anew.
"""

import base64
import glob
import json
import os
import pathlib
import re
import subprocess
import sys

import jsonschema
import pytest
import yaml

from helm_chart import (
    CHART,
    HELM,
    ROOT,
    WEIR,
    app_of,
    config_text,
    helm,
    kube_of,
    pod_of,
    refusal,
    render,
    render_all,
    seconds,
    sidecar_of,
    with_sets,
)

sys.path.insert(0, os.path.join(ROOT, "helm"))
import generate  # noqa: E402
from support import bounds  # noqa: E402

CASES = sorted(glob.glob(os.path.join(CHART, "ci", "*.yaml")))
GOLDEN = pathlib.Path(__file__).parent / "golden"
CHARTS = {name: pathlib.Path(ROOT, "helm", name) for name in generate.CHARTS}

needs_helm = pytest.mark.skipif(not HELM, reason="no helm")


def case_of(name):
    values = os.path.join(CHART, "ci", f"{name}-values.yaml")
    return ["--values", values], kube_of(values)


def rendered(name, *sets):
    args, kube = case_of(name)
    return render(*args, *with_sets(sets), kube=kube)


# ---- what is generated -----------------------------------------------------------------------------


@pytest.mark.parametrize("path, text", generate.outputs().items(), ids=lambda v: str(v)[:60])
def test_generated_files_are_up_to_date(path, text):
    assert (generate.HERE / path).read_text() == text, "run helm/generate.py"


def test_the_copy_of_the_library_has_no_further_files():
    copy = generate.HERE / generate.COPY
    files = {p.relative_to(generate.HERE) for p in copy.rglob("*") if p.is_file()}
    assert files == {p for p in generate.outputs() if generate.COPY in p.parents}


def test_the_schema_of_config_is_that_of_weir_but_for_what_the_chart_sets():
    ours = json.loads((CHARTS["weir"] / "values.schema.json").read_text())["properties"]["config"]
    theirs = json.loads(generate.OPTIONS.read_text())
    assert set(paths(ours)) == set(paths(theirs)) - set(generate.NOT_IN_VALUES)
    assert ours["additionalProperties"] is False


def paths(schema, prefix=""):
    for key, value in schema.get("properties", {}).items():
        inner = value if isinstance(value, dict) else {}
        for choice in [inner, *inner.get("anyOf", []), *inner.get("oneOf", [])]:
            if "properties" in choice:
                yield from paths(choice, f"{prefix}{key}.")
                break
        else:
            yield prefix + key


# ---- values, schema, README ------------------------------------------------------------------------


@pytest.mark.parametrize("chart", CHARTS)
def test_the_values_are_accepted_by_their_own_schema(chart):
    schema = json.loads((CHARTS[chart] / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load((CHARTS[chart] / "values.yaml").read_text()), schema)


def keys(tree, prefix=""):
    for key, value in tree.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")


@pytest.mark.parametrize("chart", CHARTS)
def test_every_value_is_documented(chart):
    text = (CHARTS[chart] / "values.yaml").read_text()
    told = {path for path, _ in generate.documented(text)}
    for key in keys(yaml.safe_load(text)):
        above = {key.rsplit(".", n)[0] for n in range(key.count(".") + 1)}
        below = {path for path in told if path.startswith(key + ".")}
        assert above & told or below, f"{key} has no comment"


@pytest.mark.parametrize("chart", CHARTS)
def test_the_schema_knows_the_values_and_no_others(chart):
    schema = json.loads((CHARTS[chart] / "values.schema.json").read_text())
    values = yaml.safe_load((CHARTS[chart] / "values.yaml").read_text())
    assert set(schema["properties"]) - {"global"} == set(values)
    assert schema["additionalProperties"] is False


def test_what_both_charts_have_has_the_same_defaults():
    ours, theirs = (yaml.safe_load((CHARTS[c] / "values.yaml").read_text()) for c in ("weir", "weir-sidecar"))
    for key in ("config", "app", "scrapeAnnotations", "terminationGracePeriodSeconds"):
        del theirs[key]
    assert ours["weir"] == theirs


def test_the_versions_agree():
    for chart in CHARTS.values():
        assert yaml.safe_load((chart / "Chart.yaml").read_text())["appVersion"] == "0.1.0"
    library = yaml.safe_load((CHARTS["weir-sidecar"] / "Chart.yaml").read_text())
    (needed,) = yaml.safe_load((CHARTS["weir"] / "Chart.yaml").read_text())["dependencies"]
    assert needed["version"] == library["version"]
    text = (CHARTS["weir-sidecar"] / "templates" / "_values.tpl").read_text()
    assert f'"weir-sidecar.version" -}}}}{library["appVersion"]}{{{{' in text


# ---- golden files ----------------------------------------------------------------------------------


@needs_helm
@pytest.mark.parametrize("name", [pathlib.Path(c).name.removesuffix("-values.yaml") for c in CASES])
def test_what_is_rendered_is_as_before(name):
    args, kube = case_of(name)
    run = helm(*args, kube=kube)
    assert run.returncode == 0, run.stderr
    text = "\n".join(line for line in run.stdout.splitlines() if line.strip()) + "\n"
    file = GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def test_every_golden_file_has_its_values():
    names = {pathlib.Path(c).name.removesuffix("-values.yaml") for c in CASES}
    assert {p.stem for p in GOLDEN.iterdir()} == names
    assert len(names) >= 12


@needs_helm
@pytest.mark.parametrize("file", CASES, ids=lambda p: os.path.basename(p))
def test_names_ports_and_selectors_agree(file):
    objects = render_all("--values", file, kube=kube_of(file))
    assert all(o["apiVersion"] and o["metadata"]["name"] for o in objects)
    seen = [(o["kind"], o["metadata"]["name"]) for o in objects]
    assert len(seen) == len(set(seen))
    (deployment,) = [o for o in objects if o["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]
    containers = pod["spec"].get("initContainers", []) + pod["spec"]["containers"]
    names = [c["name"] for c in containers]
    assert len(names) == len(set(names))
    ports = [p for c in containers for p in c.get("ports", [])]
    assert len({p["containerPort"] for p in ports}) == len(ports)
    named = [p["name"] for p in ports if "name" in p]
    assert len(set(named)) == len(named) and all(len(n) <= 15 for n in named)
    volumes = [v["name"] for v in pod["spec"]["volumes"]]
    assert len(volumes) == len(set(volumes))
    for container in containers:
        assert {m["name"] for m in container.get("volumeMounts", [])} <= set(volumes)
        assert not any("subPath" in m for m in container.get("volumeMounts", []))
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            for kind in ("httpGet", "tcpSocket", "grpc"):
                assert isinstance(container.get(probe, {}).get(kind, {}).get("port", 0), int)
    numbers = {p["containerPort"] for p in ports}
    labels = pod["metadata"]["labels"].items()
    for one in objects:
        spec = one.get("spec", {})
        if one["kind"] == "Service":
            assert {p["targetPort"] for p in spec["ports"]} <= numbers
            assert spec["selector"].items() <= labels
        for selector in (spec.get("selector", {}), spec.get("podSelector", {})):
            assert selector.get("matchLabels", {}).items() <= labels
        if one["kind"] == "NetworkPolicy":
            assert {p["port"] for rule in spec["ingress"] for p in rule["ports"]} <= numbers
        if one["kind"] == "Pod":
            assert not spec.get("selector") and not dict(labels).items() <= one["metadata"]["labels"].items()
            (service,) = [o for o in objects if o["kind"] == "Service"]
            assert not service["spec"]["selector"].items() <= one["metadata"]["labels"].items()


# ---- what the values do ----------------------------------------------------------------------------


def test_the_values_of_the_last_version_are_rendered():
    if not HELM:
        pytest.skip("no helm")
    before = rendered("all-of-0.1.0")
    now = render()
    assert before["Service"] == now["Service"] and before["ConfigMap"] == now["ConfigMap"]
    before["Deployment"]["spec"]["template"]["spec"]["initContainers"][0]["resources"] = None
    now["Deployment"]["spec"]["template"]["spec"]["initContainers"][0]["resources"] = None
    assert before == now


@needs_helm
@pytest.mark.parametrize(
    "sets, word",
    [
        (["weir.config.concurrency=1"], "in this chart, it is config"),
        (["weir.app.port=1"], "in this chart, it is app"),
        (["weir.terminationGracePeriodSeconds=90"], "it is terminationGracePeriodSeconds"),
        (["autoscaling.hpa.enabled=true", "autoscaling.keda.enabled=true"], "exclude each other"),
        (["autoscaling.keda.enabled=true"], "requires autoscaling.keda.serverAddress"),
        (["autoscaling.hpa.enabled=true", "config.concurrency=unlimited"], "autoscaling.averageValue"),
        (["autoscaling.hpa.enabled=true", "autoscaling.minReplicas=11"], "less than autoscaling.minReplicas"),
        (["autoscaling.hpa.enabled=true", "autoscaling.minReplicas=0"], "set autoscaling.keda.triggers"),
        (["autoscaling.keda.enabled=true", "autoscaling.minReplicas=0"], "set autoscaling.keda.triggers"),
        (["app.hook=http"], "config.admin.allow is empty"),
        (["ingress.enabled=true"], "requires ingress.hosts"),
        (["prometheusRule.enabled=true", "prometheusRule.file="], "prometheusRule.file or prometheusRule.groups"),
        (["prometheusRule.enabled=true", "prometheusRule.file=x.yaml"], "the chart has no file x.yaml"),
    ],
)
def test_values_that_contradict_each_other_are_refused(sets, word):
    assert word in refusal(*sets)


# Each wrong value, and the path that the message must name.
WRONG = {
    "replicas=-1": "/replicas",
    "replicas=a": "/replicas",
    "app.port=http": "/app/port",
    "app.port=0": "/app/port",
    "app.port=65536": "/app/port",
    "app.socket=app.sock": "/app/socket",
    "app.socket=/app.sock": "/app/socket",
    "app.hook=wait": "/app/hook",
    "app.command=serve": "/app/command",
    "app.image.digest=sha256:1": "/app/image/digest",
    "app.image.pullPolicy=Maybe": "/app/image/pullPolicy",
    "app.image.name=x": "/app/image",
    "app.ports[0].containerPort=http": "/app/ports/0/containerPort",
    "app.ports[0].name=x": "/app/ports/0",
    "app.env[0].value=x": "/app/env/0",
    "app.livenessProbe.httpGet.port=http": "/app/livenessProbe/httpGet/port",
    "app.livenessProbe.httpGet.path=up": "/app/livenessProbe/httpGet/path",
    "app.livenessProbe.period=3": "/app/livenessProbe",
    "app.lifecycle.prestop.exec=x": "/app/lifecycle",
    "app.resources.limit.memory=1Gi": "/app/resources",
    "app.stopSeconds=10s": "/app/stopSeconds",
    "app.readyness=x": "/app",
    "weir.native=yes": "/weir/native",
    "weir.port=http": "/weir/port",
    "weir.adminPort=0": "/weir/adminPort",
    "weir.image.repository=": "/weir/image/repository",
    "weir.concurrency=1": "/weir",
    "config.concurency=1": "/config",
    "config.concurrency=0": "/config/concurrency",
    "config.queue.timeout=10": "/config/queue/timeout",
    "config.queue.order=lifo": "/config/queue/order",
    "config.threads=65": "/config/threads",
    "config.upstream.address=:1": "/config/upstream",
    "config.admin.token=0123456789abcdef": "/config/admin",
    "config.admin.listen=:1": "/config/admin",
    "config.profile=cloudrun": "/config",
    "config.watch=1": "/config/watch",
    "config.classes[0].max=1": "/config/classes/0",
    "terminationGracePeriodSeconds=0": "/terminationGracePeriodSeconds",
    "service.type=ExternalName": "/service/type",
    "service.port=web": "/service/port",
    "service.extraPorts[0].name=a": "/service/extraPorts/0",
    "ingress.hosts[0].paths[0].path=/": "/ingress/hosts/0",
    "autoscaling.minReplicas=-1": "/autoscaling/minReplicas",
    "autoscaling.utilization=0": "/autoscaling/utilization",
    "autoscaling.hpa.metric.type=Object": "/autoscaling/hpa/metric/type",
    "autoscaling.keda.serverAddress=prometheus:9090": "/autoscaling/keda/serverAddress",
    "autoscaling.keda.window=60": "/autoscaling/keda/window",
    "autoscaling.keda.triggers[0].type=external-push": "/autoscaling/keda/triggers/0",
    "podDisruptionBudget.minAvailable=101%": "/podDisruptionBudget/minAvailable",
    "networkPolicy.enabled=1": "/networkPolicy/enabled",
    "serviceAccount.name=x": "/serviceAccount",
    "podMonitor.interval=5": "/podMonitor/interval",
    "podLabels.a=true": "/podLabels/a",
    "tests.path=ping": "/tests/path",
    "extraObjects[0]=x": "/extraObjects/0",
    "replica=3": "replica",
}


def batches(wrong):
    """Wrong values in as few groups as possible, none of which has two in one place."""
    groups = []
    for one in wrong:
        path = one.partition("=")[0]
        for group in groups:
            if not any(path.startswith(o) or o.startswith(path) for o in group):
                break
        else:
            groups.append(group := {})
        group[path] = one
    return [list(group.values()) for group in groups]


@needs_helm
@pytest.mark.parametrize("group", batches(WRONG), ids=lambda g: f"{len(g)}, {g[0]}...")
def test_the_schema_refuses_each_wrong_value_and_names_its_path(group):
    """Helm reports all errors of one call."""
    message = refusal(*group)
    told = re.findall(r"at '([^']*)'", message)
    for wrong in group:
        assert WRONG[wrong] in told or WRONG[wrong] in message, f"{wrong}: {message}"


def limit(objects):
    memory = sidecar_of(objects)["resources"]["limits"]["memory"]
    return int(re.fullmatch(r"(\d+)Mi", memory)[1]) << 20


BOUNDED = [
    "config.client.send_buffer=32KiB",
    "config.client.receive_buffer=64KiB",
    "config.client.max_head=48KiB",
    "config.threads=4",
]


@needs_helm
@pytest.mark.parametrize("name", ["defaults", "small", "watch", "http-hook", "bounded"])
def test_the_memory_limit_leaves_a_tenth_to_spare(name, tmp_path):
    """The sum is that of docs/operations.md, for the options as weir itself reads them."""
    objects = render(*with_sets(BOUNDED)) if name == "bounded" else render() if name == "defaults" else rendered(name)
    file = tmp_path / "config.json"
    file.write_text(config_text(objects))
    config = bounds.effective("--config", str(file))
    if config["concurrency"] != "unlimited":
        config["concurrency"] = config["concurrency"] + 255 & ~255
    needed = bounds.of_requests(config) + bounds.of_sockets(config) + bounds.of_the_program(config)
    assert needed <= 0.9 * limit(objects) < needed + (16 << 20)


@needs_helm
def test_an_autoscaler_owns_the_number_of_replicas():
    for name in ("hpa", "hpa-external", "keda"):
        assert "replicas" not in rendered(name)["Deployment"]["spec"]
    assert render()["Deployment"]["spec"]["replicas"] == 1
    assert render("--set", "replicas=0")["Deployment"]["spec"]["replicas"] == 0


KEDA_HTTP = os.path.join(ROOT, "examples", "keda-http")


def keda_http():
    return render_all("--namespace", "shop", "--values", os.path.join(KEDA_HTTP, "weir-values.yaml"))


@needs_helm
def test_the_example_of_the_http_add_on_is_what_the_chart_renders():
    """manifests.yaml is for a Deployment that is not the chart's."""
    with open(os.path.join(KEDA_HTTP, "manifests.yaml"), encoding="utf-8") as file:
        example = {o["kind"]: o for o in yaml.safe_load_all(file)}
    chart = {o["kind"]: o for o in keda_http() if o["kind"] in example}
    assert set(chart) == set(example) == {"InterceptorRoute", "ScaledObject"}
    for kind, one in example.items():
        assert one["spec"] == chart[kind]["spec"], kind


@needs_helm
def test_the_timeouts_of_the_http_add_on_are_longer_than_those_of_weir():
    objects = {o["kind"]: o for o in keda_http()}
    config = json.loads(config_text(objects))
    route = objects["InterceptorRoute"]["spec"]
    assert route["target"] == {"service": objects["Service"]["metadata"]["name"], "port": 80}
    waits = seconds(config["queue"]["timeout"]) + seconds(config["upstream"]["first_byte_timeout"])
    assert seconds(route["timeouts"]["responseHeader"]) > waits
    assert seconds(config["drain"]["timeout"]) >= seconds("5s") + waits + 1  # with the default drain.delay
    assert seconds(config["client"]["keepalive_timeout"]) > 90  # Go's idle connections
    assert "replicas" not in objects["Deployment"]["spec"]
    target = str(route["scalingMetric"]["concurrency"]["targetValue"])
    *weirs, addon = objects["ScaledObject"]["spec"]["triggers"]
    assert {t["metadata"]["threshold"] for t in weirs} == {target}
    assert addon["metadata"]["interceptorRoute"] == objects["InterceptorRoute"]["metadata"]["name"]


@needs_helm
def test_the_queries_of_keda_select_the_pods_of_one_deployment():
    (pattern,) = set(re.findall(r'pod=~"([^"]+)"', str(rendered("keda")["ScaledObject"])))
    assert re.fullmatch(pattern, "shop-weir-6d8f9c7b54-x2lkz")
    assert not re.fullmatch(pattern, "shop-weir-canary-6d8f9c7b54-x2lkz")


@needs_helm
def test_the_target_is_knatives_share_of_the_limit():
    def target(*sets):
        objects = rendered("hpa", *sets)
        return objects["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["pods"]["target"]["averageValue"]

    assert target() == "10500m"  # 0.7 x 15
    assert target("config.concurrency=80") == "56000m"
    assert target("config.upstream.max_connections=10") == "7000m"
    assert target("autoscaling.utilization=1") == "15000m"
    for trigger in rendered("keda")["ScaledObject"]["spec"]["triggers"]:
        assert trigger["metadata"]["threshold"] == "28"  # 0.7 x 40 connections
        assert trigger["metricType"] == "AverageValue"


@needs_helm
def test_a_probe_of_the_app_is_for_its_port():
    app = app_of(rendered("own-probes"))
    assert app["startupProbe"]["tcpSocket"] == {"port": 80}
    assert app["livenessProbe"]["httpGet"] == {"path": "/up", "port": 80}
    assert app["readinessProbe"]["httpGet"]["port"] == 443
    assert set(app["lifecycle"]) == {"postStart", "preStop"}


@needs_helm
def test_a_socket_is_in_a_volume_of_both_containers():
    objects = rendered("unix-socket")
    assert json.loads(config_text(objects))["upstream"] == {"address": "unix:/run/app/app.sock"}
    mount = {"name": "weir-socket", "mountPath": "/run/app"}
    for container in (sidecar_of(objects), app_of(objects)):
        assert mount in container["volumeMounts"]
    assert {"name": "weir-socket", "emptyDir": {}} in pod_of(objects)["volumes"]


@needs_helm
def test_a_hook_over_http_asks_weir_to_drain():
    hook = app_of(rendered("http-hook"))["lifecycle"]["preStop"]
    assert hook == {"httpGet": {"path": "/drain?ready=keep&wait=601s", "port": 9480}}


@needs_helm
def test_the_rules_are_those_of_deploy():
    rules = yaml.safe_load(pathlib.Path(ROOT, "deploy/prometheus/weir.rules.yaml").read_text())
    objects = render("--set", "prometheusRule.enabled=true", "--set", "prometheusRule.labels.release=p")
    assert objects["PrometheusRule"]["spec"] == rules
    assert objects["PrometheusRule"]["metadata"]["labels"]["release"] == "p"
    own = rendered("monitoring")["PrometheusRule"]["spec"]["groups"]
    assert [g["name"] for g in own] == ["shop"]


@needs_helm
def test_the_dashboard_is_that_of_deploy():
    objects = render_all("--set", "grafanaDashboard.enabled=true")
    (one,) = [o for o in objects if o["metadata"]["name"] == "shop-weir-dashboard"]
    dashboard = json.loads(pathlib.Path(ROOT, "deploy/grafana/weir.json").read_text())
    assert json.loads(one["data"]["weir.json"]) == dashboard
    assert one["metadata"]["labels"]["grafana_dashboard"] == "1"


# ---- notes ------------------------------------------------------------------------------------------


def notes(*sets, name=None):
    """NOTES.txt, in an object: `helm template` does not print it."""
    extra = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "notes"},
        "data": {"text": '{{ include "weir.notes" . | b64enc }}'},
    }
    args, kube = case_of(name) if name else ([], "1.31.0")
    objects = render_all(*args, *with_sets(sets), "--set-json", f"extraObjects=[{json.dumps(extra)}]", kube=kube)
    (one,) = [o for o in objects if o["metadata"]["name"] == "notes"]
    return base64.b64decode(one["data"]["text"]).decode()


@needs_helm
def test_the_notes_have_the_next_three_commands():
    text = notes()
    assert "port-forward svc/shop-weir 8080:80" in text
    assert "exec -it deploy/shop-weir -c weir -- /weir top" in text
    assert "helm -n prod test shop" in text
    assert "WARNING" not in text


@needs_helm
@pytest.mark.parametrize(
    "sets, word",
    [
        (["config.drain.delay=1s"], "config.drain.delay is less than 2 s"),
        (["app.port=8001"], "BACKEND_LISTEN is 127.0.0.1:8000 but app.port is 8001"),
        (["app.livenessProbe.httpGet.path=/up"], "where the kubelet cannot reach it"),
        (["app.hook=none"], "app.hook is none"),
        (["app.lifecycle.preStop.sleep.seconds=1"], "app.lifecycle.preStop replaces the hook"),
        (["weir.resources.limits.memory=128Mi"], "let weir use up to"),
        (["autoscaling.hpa.enabled=true"], "config.queue.timeout is 10 s"),
        (["podDisruptionBudget.enabled=true", "podDisruptionBudget.minAvailable=1"], "can be drained"),
        (["service.type=NodePort"], "any client can claim any address"),
        (
            [f"service.extraPorts[0].{v}" for v in ("name=x", "port=81", "targetPort=8000")],
            "past weir and its limit",
        ),
    ],
)
def test_the_notes_warn(sets, word):
    (warning,) = re.findall(r"^WARNING: (.*)$", notes(*sets), re.M)
    assert word in warning


# ---- helm test --------------------------------------------------------------------------------------


@needs_helm
def test_helm_test_requests_the_service_through_a_weir_of_its_own(tmp_path):
    (pod,) = [o for o in render_all() if o["kind"] == "Pod"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (request,) = pod["spec"]["initContainers"]
    assert "--upstream=$(SHOP_WEIR_SERVICE_HOST):80" in request["args"]
    if not WEIR:
        return
    words = [w.replace("$(SHOP_WEIR_SERVICE_HOST)", "10.0.0.1") for w in request["args"][1:]]
    run = subprocess.run([WEIR, "config", "print", *words], capture_output=True, text=True, timeout=10)
    assert run.returncode == 0, run.stderr
