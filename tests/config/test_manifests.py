"""The deployments in examples/, and the version that all files must agree on."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
WEIR = str((ROOT / os.environ.get("WEIR", "build/weir")).resolve())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
VERSION = re.search(r"^VERSION +:= (\S+)$", (ROOT / "Makefile").read_text(), re.M)[1]


def flat(tree, path=""):
    if not isinstance(tree, dict):
        return {path[1:]: tree}
    return {k: v for name in tree for k, v in flat(tree[name], f"{path}.{name}").items()}


def effective(env):
    """What weir would run with, in these variables: {option: value}."""
    ask = [WEIR, "config", "print", "--json"]
    done = subprocess.run(ask, env=env, capture_output=True, timeout=20, text=True)
    assert done.returncode == 0, done.stderr
    return flat(json.loads(done.stdout))


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", str(text))[1])


# ---- one version ---------------------------------------------------------------------------------


def test_image_chart_and_changelog_have_the_version_of_the_makefile():
    assert f"ARG VERSION={VERSION}\n" in DOCKERFILE
    chart = yaml.safe_load((ROOT / "helm/weir/Chart.yaml").read_text())
    assert chart["appVersion"] == VERSION
    values = yaml.safe_load((ROOT / "helm/weir/values.yaml").read_text())
    images = {values["weir"]["image"]["repository"], values["app"]["image"]["repository"]}
    readme = (ROOT / "README.md").read_text()
    built = re.findall(r"docker build -t (\S+)", readme)
    assert set(built) == {f"{image}:{VERSION}" for image in images}
    released = re.search(r"^RELEASED := (\S+)$", (ROOT / "Makefile").read_text(), re.M)[1]
    assert f"\n## [{VERSION}] - {released}\n" in (ROOT / "CHANGELOG.md").read_text()


# ---- Compose -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((EXAMPLES / "compose/compose.yaml").read_text())


def test_compose_publishes_the_ports_of_the_image(compose):
    weir, app = compose["services"]["weir"], compose["services"]["app"]
    exposed = re.search(r"AS weir\n.*?^EXPOSE ([^\n]*)$", DOCKERFILE, re.M | re.S)[1].split()
    assert [port.rpartition(":")[2] for port in weir["ports"]] == exposed
    assert "ports" not in app and "front" not in app["networks"]
    assert weir["image"] == f"weir:{VERSION}" and app["image"] == f"weir-backend-demo:{VERSION}"


def test_compose_configures_weir_for_clients_that_all_look_private(compose):
    weir, app = compose["services"]["weir"], compose["services"]["app"]
    config = effective(weir["environment"])
    assert config["headers.trusted"] == []
    assert config["upstream.address"] == f"{app['networks']['app']['ipv4_address']}:8000"
    assert app["environment"]["BACKEND_LISTEN"] == "0.0.0.0:8000"
    assert seconds(weir["stop_grace_period"]) > seconds(config["drain.timeout"])
    files = config["client.max_connections"] + config["concurrency"] + 96
    assert weir["ulimits"]["nofile"] >= files


# ---- systemd -------------------------------------------------------------------------------------


def unit():
    """{key: [values]} of the unit's lines."""
    out = {}
    for line in (EXAMPLES / "systemd/weir.service").read_text().splitlines():
        key, sign, value = line.partition("=")
        if sign and not line.startswith("#"):
            out.setdefault(key, []).append(value)
    return out


def test_systemd_waits_longer_than_the_drain_takes():
    config = effective({})
    assert int(unit()["TimeoutStopSec"][0]) > seconds(config["drain.timeout"])
    files = config["client.max_connections"] + config["concurrency"] + 96
    assert int(unit()["LimitNOFILE"][0]) >= files
    assert unit()["Type"] == ["notify"]  # tests/e2e/test_systemd.py: what weir sends
    assert unit()["DynamicUser"] == ["yes"]


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    tool = shutil.which("systemd-analyze") or pytest.skip("not installed: systemd-analyze")
    text = (EXAMPLES / "systemd/weir.service").read_text()
    (tmp_path / "weir.service").write_text(text.replace("/usr/local/bin/weir", WEIR))
    shutil.copy(EXAMPLES / "systemd/weir.socket", tmp_path)
    ask = [tool, "verify", "--man=no", *[str(tmp_path / f"weir.{k}") for k in ("service", "socket")]]
    done = subprocess.run(ask, capture_output=True, timeout=60, text=True)
    assert done.returncode == 0 and "weir." not in done.stderr, done.stderr


# ---- Cloud Run -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service():
    return yaml.safe_load((EXAMPLES / "cloud-run/service.yaml").read_text())


def containers(service):
    return {c["name"]: c for c in service["spec"]["template"]["spec"]["containers"]}


def environment(container):
    return {row["name"]: row["value"] for row in container["env"]}


def test_cloud_run_sends_requests_to_weir_once_the_app_has_started(service):
    assert (service["apiVersion"], service["kind"]) == ("serving.knative.dev/v1", "Service")
    both = containers(service)
    assert [name for name, c in both.items() if "ports" in c] == ["weir"]
    notes = service["spec"]["template"]["metadata"]["annotations"]
    assert json.loads(notes["run.googleapis.com/container-dependencies"]) == {"weir": ["app"]}
    assert both["app"]["startupProbe"]["tcpSocket"]["port"] == 8000
    for kind in "startupProbe", "livenessProbe":
        assert both["weir"][kind]["httpGet"]["port"] == 9480
    assert all(isinstance(v, str) for c in both.values() for v in environment(c).values())
    assert not any("PORT" in environment(c) for c in both.values())  # it is the platform's


def test_cloud_run_leaves_queueing_and_draining_to_weir(service):
    weir = containers(service)["weir"]
    config = effective(environment(weir))
    assert config["listen"].endswith(f":{weir['ports'][0]['containerPort']}")
    room = config["concurrency"] + config["queue.length"]
    assert service["spec"]["template"]["spec"]["containerConcurrency"] == room
    assert seconds(config["drain.timeout"]) < 10
    assert weir["image"].endswith(f"/weir:{VERSION}")
