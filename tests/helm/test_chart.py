"""The chart: what it renders, what it refuses, and that weir itself accepts its configuration.

HELM names the helm to use and WEIR the weir; what needs one that is not there is skipped.
"""

import glob
import json
import os
import re
import subprocess
import time
import urllib.request

import jsonschema
import pytest
import yaml

from helm_chart import (
    CHART,
    HELM,
    WEIR,
    app_of,
    config_text,
    helm,
    kube_of,
    pod_of,
    refusal,
    render,
    seconds,
    sidecar_of,
    with_sets,
)

from support.weir import free_port

CASES = sorted(glob.glob(os.path.join(CHART, "ci", "*.yaml")))

needs_helm = pytest.mark.skipif(not HELM, reason="no helm")
needs_weir = pytest.mark.skipif(not WEIR, reason="no weir")


def read(name):
    with open(os.path.join(CHART, name), encoding="utf-8") as f:
        return f.read()


@pytest.fixture(scope="module", params=["defaults", *CASES], ids=lambda p: os.path.basename(p))
def objects(request):
    if not HELM:
        pytest.skip("no helm")
    if request.param == "defaults":
        return render()
    return render("--values", request.param, kube=kube_of(request.param))


# ---- what is rendered -----------------------------------------------------------------------------


def test_weir_is_a_sidecar_that_starts_before_the_app(objects):
    native = sidecar_of(objects).get("restartPolicy") == "Always"
    assert native == (sidecar_of(objects) in pod_of(objects).get("initContainers", []))
    if not native:
        assert "restartPolicy" not in sidecar_of(objects)
        assert pod_of(objects)["containers"][0] == sidecar_of(objects)


def test_every_container_meets_the_restricted_standard(objects):
    pod = pod_of(objects)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    sysctls = [s["name"] for s in pod["securityContext"].get("sysctls", [])]
    assert set(sysctls) <= {"net.ipv4.ip_unprivileged_port_start"}  # a safe one
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        assert not pod.get(key)
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= {"configMap", "emptyDir", "secret"}
    for container in (sidecar_of(objects), app_of(objects)):
        context = container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == 65532
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_ports_below_1024_can_be_bound_without_privileges(objects):
    ports = [p["containerPort"] for p in sidecar_of(objects)["ports"] + app_of(objects).get("ports", [])]
    _, _, port = json.loads(config_text(objects))["upstream"]["address"].rpartition(":")
    low = [p for p in [*ports, int(port) if port.isdigit() else 8000] if p < 1024]
    sysctls = pod_of(objects)["securityContext"].get("sysctls", [])
    wanted = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}] if low else []
    assert sysctls == wanted


def test_no_token_unless_asked_for():
    if not HELM:
        pytest.skip("no helm")
    assert pod_of(render())["automountServiceAccountToken"] is False


def test_the_probes_ask_weir_on_its_admin_port(objects):
    sidecar = sidecar_of(objects)
    admin = [p["containerPort"] for p in sidecar["ports"] if p["name"] == "weir-admin"]
    wanted = {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    for probe, path in wanted.items():
        assert sidecar[probe]["httpGet"] == {"path": path, "port": admin[0]}


def test_the_service_leads_to_weir_by_number(objects):
    port = objects["Service"]["spec"]["ports"][0]
    http = [p["containerPort"] for p in sidecar_of(objects)["ports"] if p["name"] == "weir"]
    assert port["targetPort"] == http[0]
    assert isinstance(port["targetPort"], int)
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Service"]["spec"]["selector"].items() <= labels.items()
    selector = objects["Deployment"]["spec"]["selector"]["matchLabels"]
    assert selector.items() <= labels.items()


def test_configuration_service_and_probes_agree_on_the_ports(objects):
    config = json.loads(config_text(objects))
    ports = {p["name"]: p["containerPort"] for p in sidecar_of(objects)["ports"]}
    assert config["listen"] == f":{ports['weir']}"
    assert config["admin"]["listen"] == f":{ports['weir-admin']}"
    annotations = objects["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations.get("prometheus.io/port", str(ports["weir-admin"])) == str(ports["weir-admin"])
    env = {e["name"]: e["value"] for e in app_of(objects).get("env", [])}
    assert env.get("BACKEND_LISTEN", config["upstream"]["address"]) == config["upstream"]["address"]


def test_every_mount_has_its_volume_and_every_image_its_version(objects):
    volumes = {v["name"] for v in pod_of(objects)["volumes"]}
    for container in (sidecar_of(objects), app_of(objects)):
        assert {m["name"] for m in container.get("volumeMounts", [])} <= volumes
        assert re.search(r"[:@][^/]+$", container["image"]), container["image"]
    config_map = objects["ConfigMap"]["metadata"]["name"]
    assert {"name": "weir-config", "configMap": {"name": config_map}} in pod_of(objects)["volumes"]


def test_the_app_keeps_running_until_weir_has_drained(objects):
    config = json.loads(config_text(objects))
    drain = config["drain"]
    sleep = seconds_of(app_of(objects)["lifecycle"]["preStop"])
    assert sleep > seconds(drain["timeout"])
    assert seconds(drain["timeout"]) > seconds(drain["delay"]) + seconds(config["queue"]["timeout"])
    assert pod_of(objects)["terminationGracePeriodSeconds"] >= sleep + 5


def seconds_of(hook):
    """How long the hook of the app may take."""
    if "exec" in hook:
        return int(hook["exec"]["command"][1])
    if "httpGet" in hook:
        return seconds(re.search(r"wait=([0-9a-z]+)", hook["httpGet"]["path"])[1])
    return hook["sleep"]["seconds"]


def test_weir_drains_when_the_pod_is_terminated(objects):
    program, *words = sidecar_of(objects)["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "/weir"  # as the Dockerfile has it
    assert words[0] == "drain"
    words.remove("--keep-ready")  # or deleting the only pod would refuse connections at once
    flags = dict(zip(words[1::2], words[2::2]))
    (admin,) = [p["containerPort"] for p in sidecar_of(objects)["ports"] if p["name"] == "weir-admin"]
    assert flags["--admin-listen"] == f"127.0.0.1:{admin}"
    assert seconds(flags["--wait"]) > seconds(json.loads(config_text(objects))["drain"]["timeout"])


@needs_weir
def test_weir_has_the_command_of_the_hook(objects):
    """Nobody listens there: it fails, but not for its words."""
    _, *words = sidecar_of(objects)["lifecycle"]["preStop"]["exec"]["command"]
    words[words.index("--admin-listen") + 1] = f"127.0.0.1:{free_port()}"
    run = subprocess.run([WEIR, *words], capture_output=True, text=True, timeout=10)
    assert run.returncode == 1, run.stderr


@needs_helm
def test_endpoints_are_gone_before_a_drain_by_hand_closes_the_listener():
    objects = render()
    probe = sidecar_of(objects)["readinessProbe"]
    longest = probe["periodSeconds"] * probe["failureThreshold"]
    assert longest < seconds(json.loads(config_text(objects))["drain"]["delay"])


@needs_weir
def test_weir_accepts_the_configuration(objects, tmp_path):
    file = tmp_path / "weir.json"
    file.write_text(config_text(objects))
    run = subprocess.run([WEIR, "check", str(file)], capture_output=True, text=True, timeout=10)
    assert run.returncode == 0, run.stdout + run.stderr


@needs_helm
@needs_weir
def test_the_startup_probe_passes_while_there_is_no_app_yet(tmp_path):
    """Kubernetes starts the app after it: a probe that waited for the app would wait for good."""
    port, admin, nobody = free_port(), free_port(), free_port()
    objects = render(
        *with_sets([f"weir.port={port}", f"weir.adminPort={admin}", f"app.port={nobody}"])
    )
    file = tmp_path / "weir.json"
    file.write_text(config_text(objects))
    probe = sidecar_of(objects)["startupProbe"]["httpGet"]
    assert sidecar_of(objects)["env"] == [{"name": "WEIR_CONFIG", "value": "/etc/weir/weir.json"}]
    env = {**os.environ, "WEIR_CONFIG": str(file)}
    process = subprocess.Popen(
        [WEIR, *sidecar_of(objects)["args"]], stdin=subprocess.DEVNULL, env=env
    )
    try:
        assert answers(f"http://127.0.0.1:{probe['port']}{probe['path']}", seconds=10)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def answers(url, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=1) as response:
                return response.status == 200
        except OSError:
            time.sleep(0.05)
    return False


# ---- what changes what ------------------------------------------------------------------------------


def template(*sets):
    return render(*with_sets(sets))["Deployment"]["spec"]["template"]


@needs_helm
def test_a_changed_configuration_changes_the_pod():
    assert template() == template("replicas=3")
    assert template() != template("config.concurrency=40")
    assert template("config.watch=false") != template("config.watch=false", "config.concurrency=40")


@needs_helm
@pytest.mark.parametrize(
    "change",
    [
        "config.concurrency=1",
        "config.concurrency=256",
        "config.queue.timeout=2s",
        "config.admin.writable=true",
        "config.upstream.max_headers=9",
        "config.drain.delay=9s",
        "config.health.path=/up",
    ],
)
def test_a_weir_that_watches_reloads_a_change_and_the_pod_stays(change):
    before, after = (render(*with_sets(["config.watch=true", *c])) for c in ([], [change]))
    assert config_text(before) != config_text(after)
    assert before["Deployment"] == after["Deployment"]


@needs_helm
@pytest.mark.parametrize(
    "change",
    [
        "config.threads=2",
        "config.fair=client",
        "config.watch=false",
        "app.port=8001",
        "weir.port=8001",
        "weir.adminPort=8001",
    ],
)
def test_what_weir_cannot_change_while_it_runs_changes_the_pod(change):
    before, after = (
        template("config.watch=true", *c)["metadata"]["annotations"]["checksum/weir-config"]
        for c in ([], [change])
    )
    assert before != after


@needs_helm
def test_a_pod_whose_hooks_would_be_too_short_is_replaced():
    assert template("config.watch=true") != template("config.watch=true", "config.drain.timeout=30s")


@needs_weir
def test_the_chart_knows_which_options_weir_cannot_change_while_it_runs():
    docs = subprocess.run([WEIR, "config", "docs"], capture_output=True, text=True, timeout=10)
    fixed = re.findall(r"^\| `([a-z_.]+)` \|.*\| no: [^|]*\|$", docs.stdout, re.M)
    (told,) = re.findall(r'range \$path := list ((?:"[a-z_.]+" ?)+)', read("charts/weir-sidecar/templates/_values.tpl"))
    assert sorted(told.replace('"', "").split()) == sorted(fixed) != []


@needs_helm
def test_a_digest_wins_over_a_tag():
    digest = "sha256:" + "ab" * 32
    objects = render(*with_sets([f"weir.image.digest={digest}", "weir.image.tag=v1"]))
    assert sidecar_of(objects)["image"] == f"weir@{digest}"


@needs_helm
def test_variables_of_weir_may_come_from_a_secret():
    token = {"name": "WEIR_ADMIN_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}}
    objects = render("--set-json", f"weir.env={json.dumps([token])}")
    assert sidecar_of(objects)["env"][1:] == [token]


@needs_helm
def test_every_option_reaches_the_file():
    config = json.loads(
        config_text(
            render(
                "--set", "config.concurrency=unlimited",
                "--set", "config.client.max_body=1MiB",
                "--set", "config.upstream.first_byte_timeout=60s",
                "--set", "config.startup.probe=/healthz",
                "--set", "config.health.path=/healthz",
                "--set", "config.watch=true",
                "--set-json", 'config.headers={"trusted":["10.0.0.0/8"],"request_start":false}',
            )
        )
    )  # fmt: skip
    assert config["concurrency"] == "unlimited"
    assert config["client"] == {"max_body": "1MiB"}
    assert (config["startup"], config["health"]) == ({"probe": "/healthz"}, {"path": "/healthz"})
    assert config["watch"] is True
    assert config["upstream"] == {"address": "127.0.0.1:8000", "first_byte_timeout": "60s"}
    assert config["headers"] == {"trusted": ["10.0.0.0/8"], "request_start": False}


# ---- what is refused ----------------------------------------------------------------------------


@needs_helm
@pytest.mark.parametrize(
    "setting, word",
    [
        ("config.concurency=1", "concurency"),
        ("podAnnotations.a=1", "got number, want string"),
        ("podLabels.a=true", "got boolean, want string"),
        ("nodeSelector.a=1", "got number, want string"),
        ("service.annotations.a=true", "got boolean, want string"),
        ("config.concurrency=0", "concurrency"),
        ("config.queue.timeout=10", "timeout"),
        ("config.queue.max_dept=10", "max_dept"),
        ("config.overload.status=500", "status"),
        ("config.health.path=healthz", "path"),
        ("config.health.healthy_after=0", "healthy_after"),
        ("config.listen=:9000", "listen"),
        ("weir.port=0", "/weir/port"),
        ("service.type=ExternalName", "type"),
        ("replica=3", "replica"),
    ],
)
def test_the_schema_refuses(setting, word):
    assert word in refusal(setting)


@needs_helm
def test_a_drain_shorter_than_the_queue_is_refused():
    assert "set it to at least 36s" in refusal("config.queue.timeout=30s")
    assert "set it to at least 31s" in refusal("config.drain.delay=20s")
    assert "set it to at least 16s" in refusal("config.drain.timeout=15s")


@needs_helm
def test_a_grace_period_shorter_than_its_parts_is_refused():
    assert "set it to at least 41" in refusal("terminationGracePeriodSeconds=30")
    assert "set it to at least 61" in refusal(
        "terminationGracePeriodSeconds=60", "app.stopSeconds=30"
    )
    objects = render(*with_sets(["terminationGracePeriodSeconds=90"]))
    assert pod_of(objects)["terminationGracePeriodSeconds"] == 90


@needs_helm
@pytest.mark.parametrize("setting", ["app.port=8080", "app.port=9480", "weir.adminPort=8080"])
def test_two_listeners_on_one_port_are_refused(setting):
    assert "port" in refusal(setting)


@needs_helm
def test_a_cluster_without_sidecars_is_refused():
    run = helm(kube="1.28.0")
    assert run.returncode != 0
    assert "set weir.native to false" in run.stderr
