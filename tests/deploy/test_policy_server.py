"""The admission policy in a real API server: its changes to pods, and the settings that it refuses."""

import json
import pathlib
import re
import subprocess

import pytest
import yaml

import api_server
from test_kustomize import HELM, WEIR, build, env_of, needs_kubectl, only
from test_policy import HOOK, MANIFEST, README

if api_server.missing():
    pytest.skip(api_server.missing(), allow_module_level=True)

ROOT = pathlib.Path(__file__).resolve().parents[2]


def namespace(name, **labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with api_server.running(tmp_path_factory.mktemp("api")) as api:
        api.kubectl("apply", "-f", str(MANIFEST))
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        api.apply(namespace("apps", **restricted))
        api_server.until(lambda: is_in_force(api), "the policy", within=30, every=0.25)
        yield api


def is_in_force(api):
    """Both policies; the API server takes a second to load them."""
    try:
        api.create(pod(label="maybe"))
    except api_server.Refused:
        return "initContainers" in api.create(pod())["spec"]
    return False


SECURE = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(label="true", annotations=None, spec=None, **app):
    """A pod of one container, with the label."""
    container = {"name": "shop", "image": "shop", "securityContext": SECURE, **app}
    metadata = {"name": "shop", "namespace": "apps", "annotations": annotations or {}}
    if label:
        metadata["labels"] = {"weir/inject": label}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container], **(spec or {})}}


def deployment(template):
    template = {"metadata": dict(template["metadata"]), "spec": template["spec"]}
    template["metadata"]["labels"] = {"app": "shop", **template["metadata"].get("labels", {})}
    spec = {"selector": {"matchLabels": {"app": "shop"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop", "namespace": "apps"}, "spec": spec}


def set_to(**settings):
    return {f"weir/{name.replace('_', '-')}": value for name, value in settings.items()}


def settings_of(pod):
    (weir,) = [c for c in pod["spec"]["initContainers"] if c["name"] == "weir"]
    return {one["name"]: one.get("value", "") for one in weir["env"]}


@needs_kubectl
def test_the_container_is_that_of_the_component(api):
    """Hence that of the chart, but for the configuration, which needs no ConfigMap."""
    objects = build(ROOT / "deploy/kustomize/example")
    template = only(objects, "Deployment")["spec"]["template"]
    ours = api.create(pod(ports=[{"containerPort": 3000}]))["spec"]
    theirs = api.create({**pod(None), "spec": template["spec"]})["spec"]
    (weir,), (component,) = ours["initContainers"], theirs["initContainers"]
    env, component_env = (env_of({"env": [e for e in c["env"] if "value" in e]}) for c in (weir, component))
    assert env == {
        "WEIR_LISTEN": component_env["WEIR_LISTEN"],
        "WEIR_ADMIN_LISTEN": component_env["WEIR_ADMIN_LISTEN"],
        "WEIR_UPSTREAM": "127.0.0.1:3000",
        "WEIR_DRAIN_TIMEOUT": f"{HOOK - 1}s",
    }
    del weir["env"], component["env"]
    assert component.pop("volumeMounts")
    assert weir == component
    assert ours["containers"][0]["lifecycle"] == theirs["containers"][0]["lifecycle"]
    assert ours["terminationGracePeriodSeconds"] == theirs["terminationGracePeriodSeconds"]


def test_weir_accepts_its_settings(api):
    if not WEIR:
        pytest.skip("no weir")
    annotations = set_to(app_port="9000", concurrency="1", queue_timeout="3s", drain_timeout="60s")
    env = settings_of(api.create(pod(annotations=annotations)))
    run = subprocess.run([WEIR, "config", "print"], env=env, capture_output=True, text=True, timeout=10)
    values = {line.split()[0]: line.split()[1] for line in run.stdout.splitlines()}
    assert run.returncode == 0, run.stderr
    assert values["upstream.address"] == '"127.0.0.1:9000"' and values["concurrency"] == "1"
    assert values["queue.timeout"] == '"3s"' and values["drain.timeout"] == '"1m"'
    assert values["listen"] == '":8480"'


def test_only_pods_with_the_label(api):
    for label in (None, "false"):
        assert "initContainers" not in api.create(pod(label))["spec"]


def test_never_twice(api):
    """Neither a second time, nor if the chart or the component has added it."""
    once = api.create(pod())
    for key in ("uid", "creationTimestamp", "generation"):
        once["metadata"].pop(key, None)
    again = api.create({**once, "status": {}})
    assert again["spec"] == once["spec"]
    sidecar = {"name": "weir", "image": "weir:0", "restartPolicy": "Always", "securityContext": SECURE}
    charted = api.create(pod(spec={"initContainers": [sidecar]}))["spec"]
    assert len(charted["initContainers"]) == 1 and "lifecycle" not in charted["containers"][0]
    plain = pod()
    plain["spec"]["containers"].append({"name": "weir", "image": "weir:0", "securityContext": SECURE})
    assert "initContainers" not in api.create(plain)["spec"]


@pytest.mark.parametrize(
    "annotations, ports, expected",
    [
        ({}, [], "8000"),
        ({}, [5000], "5000"),
        ({}, [5000, 6000], "5000"),
        (set_to(app_port="6000"), [5000, 6000], "6000"),
        (set_to(app_port="7000"), [], "7000"),
    ],
)
def test_the_app_s_port(api, annotations, ports, expected):
    app = pod(annotations=annotations, ports=[{"containerPort": port} for port in ports])
    assert settings_of(api.create(app))["WEIR_UPSTREAM"] == f"127.0.0.1:{expected}"


def test_weir_takes_over_the_name_of_the_port(api):
    """A Service with this name as its targetPort leads to weir; the app's probes still lead to the app."""
    ports = [{"name": "metrics", "containerPort": 9000}, {"name": "http", "containerPort": 8080}]
    probe = {"httpGet": {"path": "/", "port": "http"}}
    app = pod(
        annotations=set_to(app_port="8080"),
        ports=ports,
        livenessProbe=probe,
        readinessProbe={"tcpSocket": {"port": "http"}},
        startupProbe={"httpGet": {"path": "/", "port": "metrics"}},
        lifecycle={"postStart": probe},
    )
    app["spec"]["containers"].insert(0, {"name": "first", "image": "x", "securityContext": SECURE})
    spec = api.create(app)["spec"]
    assert [(p.get("name"), p["containerPort"]) for p in spec["initContainers"][0]["ports"]] == [
        ("http", 8480),
        ("weir-admin", 9480),
    ]
    shop = spec["containers"][1]
    assert [(p.get("name"), p["containerPort"]) for p in shop["ports"]] == [("metrics", 9000), (None, 8080)]
    assert shop["livenessProbe"]["httpGet"]["port"] == 8080
    assert shop["readinessProbe"]["tcpSocket"]["port"] == 8080
    assert shop["startupProbe"]["httpGet"]["port"] == "metrics"
    assert shop["lifecycle"]["postStart"]["httpGet"]["port"] == 8080


def test_a_udp_port_is_not_the_app_s(api):
    """Neither its number nor its name, although TCP may have the same number."""
    udp = {"name": "dns", "containerPort": 5300, "protocol": "UDP"}
    for tcp in (5300, 8080):
        spec = api.create(pod(ports=[udp, {"name": "http", "containerPort": tcp}]))["spec"]
        assert settings_of({"spec": spec})["WEIR_UPSTREAM"] == f"127.0.0.1:{tcp}"
        assert spec["initContainers"][0]["ports"][0]["name"] == "http"
        assert [p.get("name") for p in spec["containers"][0]["ports"]] == ["dns", None]


def test_ports_of_weir_are_refused_in_any_container(api):
    other = {"name": "other", "image": "x", "securityContext": SECURE, "ports": [{"containerPort": 8480}]}
    app = pod(ports=[{"containerPort": 8000}, {"containerPort": 9480}])
    app["spec"]["containers"].append(other)
    for one in (app, deployment(app)):
        assert "container shop, other has port 8480 or 9480" in refusal(api, one)
    other["ports"][0]["protocol"] = "UDP"
    del app["spec"]["containers"][0]["ports"][1]
    assert api.create(app) and api.create(deployment(app))


def test_without_a_name_the_port_of_weir_is_named_weir(api):
    (weir,) = api.create(pod(ports=[{"containerPort": 3000}]))["spec"]["initContainers"]
    assert weir["ports"][0]["name"] == "weir"


def test_fields_of_the_pod_are_kept(api):
    """Its init containers come first; its time to stop begins after the drain; lists may have duplicates."""
    app = pod(
        spec={
            "terminationGracePeriodSeconds": 60,
            "initContainers": [{"name": "migrate", "image": "shop", "securityContext": SECURE}],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
        annotations=set_to(drain_timeout="40s"),
        env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
    )
    spec = api.create(app)["spec"]
    assert [c["name"] for c in spec["initContainers"]] == ["migrate", "weir"]
    assert spec["terminationGracePeriodSeconds"] == 41 + 60 + 5
    assert [v["name"] for v in spec["volumes"]] == ["data"]
    assert len(spec["containers"][0]["env"]) == 2
    assert spec["containers"][0]["lifecycle"]["preStop"] == {"sleep": {"seconds": 41}}
    assert spec["initContainers"][1]["lifecycle"]["preStop"]["exec"]["command"][-1] == "41s"


def test_scrape_annotations_of_the_app_are_kept(api):
    ours = api.create(pod())["metadata"]["annotations"]
    assert ours["prometheus.io/port"] == "9480"
    theirs = {"prometheus.io/scrape": "true", "prometheus.io/port": "9000"}
    assert api.create(pod(annotations=theirs))["metadata"]["annotations"] == theirs


def test_a_pod_without_annotations(api):
    bare = pod()
    del bare["metadata"]["annotations"]
    assert api.create(bare)["metadata"]["annotations"]["prometheus.io/scrape"] == "true"


def test_a_config_map_is_mounted_if_named(api):
    spec = api.create(pod(annotations=set_to(config="shop-weir")))["spec"]
    assert spec["volumes"][0]["configMap"]["name"] == "shop-weir"
    (weir,) = spec["initContainers"]
    assert weir["volumeMounts"] == [{"name": "weir-config", "mountPath": "/etc/weir", "readOnly": True}]
    assert env_of({"env": weir["env"][:1]}) == {"WEIR_CONFIG": "/etc/weir/weir.json"}


@pytest.mark.parametrize("concurrency", [None, "1", "256", "257", "1024", "1025", "unlimited"])
def test_the_memory_limit_is_at_least_that_of_the_chart(api, concurrency):
    if not HELM:
        pytest.skip("no helm")
    annotations = set_to(concurrency=concurrency) if concurrency else {}
    limit = api.create(pod(annotations=annotations))["spec"]["initContainers"][0]["resources"]["limits"]["memory"]
    chart = [HELM, "template", "x", ROOT / "helm/weir", f"--set-json=config.concurrency={json.dumps(number(concurrency))}"]
    out = subprocess.run(chart, capture_output=True, text=True, timeout=60, check=True).stdout
    least = max(int(n) for n in re.findall(r"memory: (\d+)Mi", out))
    assert int(limit.removesuffix("Mi")) >= least


def number(text):
    return text if text == "unlimited" else int(text or 80)


def test_a_memory_limit_can_be_set(api):
    spec = api.create(pod(annotations=set_to(memory="1Gi")))["spec"]
    assert spec["initContainers"][0]["resources"]["limits"]["memory"] == "1Gi"


# ---- refusals --------------------------------------------------------------------------------------

REFUSED = [
    (set_to(concurency="1"), "annotation weir/concurency is unknown"),
    (set_to(concurrency="0"), 'weir/concurrency is "0": it must be a number from 1'),
    (set_to(concurrency="1000001"), "it must be a number from 1 to 1000000"),
    (set_to(concurrency="many"), 'weir/concurrency is "many"'),
    (set_to(concurrency=""), 'weir/concurrency is ""'),
    (set_to(app_port="http"), 'weir/app-port is "http": it must be a port number'),
    (set_to(app_port="65536"), "it must be a port number"),
    (set_to(app_port="8480"), "the app's port 8480 is also a port of weir"),
    (set_to(queue_timeout="10"), "it must be in seconds, such as 10s"),
    (set_to(queue_timeout="20s"), "set it to at least 26s"),
    (set_to(drain_timeout="1m"), "it must be in seconds, such as 25s"),
    (set_to(drain_timeout="15s"), "set it to at least 16s"),
    (set_to(app_hook="http"), "it must be sleep or own"),
    (set_to(memory="lots"), "it must be a quantity, such as 320Mi"),
    (set_to(config="A B"), "it must be the name of a ConfigMap"),
]


def refusal(api, one):
    with pytest.raises(api_server.Refused) as refused:
        api.create(one)
    return str(refused.value)


@pytest.mark.parametrize("annotations, message", REFUSED)
def test_nonsense_is_refused(api, annotations, message):
    """In the object that a user writes, and in a pod, whatever creates it."""
    assert message in refusal(api, deployment(pod(annotations=annotations)))
    by_itself = "weir/memory" in annotations  # the API server refuses the quantity before the policy can
    assert by_itself or message in refusal(api, pod(annotations=annotations))


def test_a_label_other_than_true_and_false_is_refused(api):
    assert 'label weir/inject is "yes": it must be "true" or "false"' in refusal(api, pod("yes"))


def test_a_hook_that_ends_before_the_drain_is_refused(api):
    hook = {"preStop": {"exec": {"command": ["/bye"]}}}
    for one in (pod(lifecycle=hook), deployment(pod(lifecycle=hook))):
        assert "container shop has a preStop hook, which may end before weir has drained" in refusal(api, one)
    own = api.create(pod(annotations=set_to(app_hook="own"), lifecycle=hook))["spec"]
    assert own["containers"][0]["lifecycle"] == hook
    long = {"preStop": {"sleep": {"seconds": 30}}}
    assert api.create(pod(lifecycle=long))["spec"]["containers"][0]["lifecycle"] == long
    assert api.create(deployment(pod(lifecycle=long)))


def test_objects_without_the_label_may_have_any_annotation(api):
    other = pod(None, annotations=set_to(concurency="1"))
    assert api.create(other) and api.create(deployment(other))


def test_a_job_is_checked_too(api):
    template = pod(annotations=set_to(concurrency="0"))
    template["spec"]["restartPolicy"] = "Never"
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "shop", "namespace": "apps"},
        "spec": {"template": {"metadata": template["metadata"], "spec": template["spec"]}},
    }
    job["spec"]["template"]["metadata"].pop("name")
    assert "weir/concurrency" in refusal(api, job)


def test_the_manifest_for_older_clusters(api):
    """The output of the command in README.md, in the older version of the API."""
    (command,) = re.findall(r"^sed '/\^apiVersion.*$", README, re.M)
    text = subprocess.run(command, shell=True, cwd=MANIFEST.parent, capture_output=True, text=True, check=True).stdout
    versions = [one["apiVersion"].rpartition("/")[2] for one in yaml.safe_load_all(text)]
    assert versions == ["v1beta1", "v1beta1", "v1", "v1"]
    api.kubectl("apply", "--dry-run=server", "-f", "-", input=text)
