"""The library chart, in the chart of an app (shop/)."""

import json
import os
import shutil
import subprocess

import pytest

from helm_chart import HELM, ROOT, WEIR, config_text, refusal, render, seconds, sidecar_of, with_sets

pytestmark = pytest.mark.skipif(not HELM, reason="no helm")
HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chart") / "shop"
    shutil.copytree(os.path.join(HERE, "shop"), folder)
    shutil.copytree(os.path.join(ROOT, "helm", "weir-sidecar"), folder / "charts" / "weir-sidecar")
    return str(folder)


def pod_of(objects):
    return objects["Deployment"]["spec"]["template"]["spec"]


def test_the_chart_passes_lint(shop):
    run = subprocess.run([HELM, "lint", "--strict", shop, "--kube-version", "1.31.0"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_app_gets_a_governed_pod(shop, tmp_path):
    objects = render(chart=shop)
    pod = pod_of(objects)
    assert [c["name"] for c in pod["initContainers"]] == ["weir"]
    assert sidecar_of(objects)["image"] == "weir:0.1.0"  # and not the version of the app's chart
    (app,) = pod["containers"]
    drain = 25  # the default of weir
    assert app["lifecycle"]["preStop"]["sleep"]["seconds"] == drain + 1
    assert pod["terminationGracePeriodSeconds"] == drain + 1 + 2 + 5
    assert pod["volumes"] == [{"name": "weir-config", "configMap": {"name": "shop-weir"}}]
    assert objects["ConfigMap"]["metadata"]["name"] == "shop-weir"
    ports = [p["containerPort"] for p in sidecar_of(objects)["ports"]]
    assert objects["Service"]["spec"]["ports"][0]["targetPort"] == ports[0]
    if WEIR:
        file = tmp_path / "weir.json"
        file.write_text(config_text(objects))
        run = subprocess.run([WEIR, "check", str(file)], capture_output=True, text=True, timeout=10)
        assert run.returncode == 0, run.stdout + run.stderr


def test_the_defaults_are_those_of_weir(shop):
    """The templates know them, since the configuration need not name them."""
    if not WEIR:
        pytest.skip("no weir")
    run = subprocess.run([WEIR, "config", "defaults"], capture_output=True, text=True, timeout=10)
    defaults = json.loads(run.stdout)
    assert seconds(defaults["drain"]["timeout"]) == 25 and seconds(defaults["drain"]["delay"]) == 5
    assert seconds(defaults["queue"]["timeout"]) == 10
    assert defaults["concurrency"] == 80 and defaults["threads"] == 1
    assert defaults["client"]["max_connections"] == 4096 and defaults["client"]["max_head"] == "32KiB"
    assert defaults["queue"]["max_bytes"] == defaults["buffers"]["budget"] == "64MiB"
    assert defaults["upstream"]["max_head"] == "48KiB"


def test_without_native_sidecars_weir_is_an_ordinary_container(shop):
    objects = render(*with_sets(["weir.native=false", "weir.app.hook=none"]), chart=shop, kube="1.28.0")
    pod = pod_of(objects)
    assert not pod["initContainers"]
    assert [c["name"] for c in pod["containers"]] == ["weir", "shop"]
    assert "restartPolicy" not in pod["containers"][0]
    assert not pod["containers"][1]["lifecycle"]


def test_an_old_cluster_is_told_what_to_set(shop):
    assert "set weir.native to false" in refusal(chart=shop, kube="1.28.0")
    assert "set app.hook to http" in refusal("weir.native=false", chart=shop, kube="1.28.0")
    assert "set app.hook to http" in refusal(chart=shop, kube="1.29.0")


def test_a_socket_is_mounted_in_both(shop):
    objects = render(*with_sets(["weir.app.socket=/run/app/app.sock"]), chart=shop)
    pod = pod_of(objects)
    for container in pod["initContainers"] + pod["containers"]:
        assert {"name": "weir-socket", "mountPath": "/run/app"} in container["volumeMounts"]
    assert pod["securityContext"]["fsGroup"] == 65532


@pytest.mark.parametrize(
    "sets, word",
    [
        (["weir.concurency=1"], "concurency"),
        (["weir.config.concurency=1"], "/config"),
        (["weir.config.concurrency=0"], "/config/concurrency"),
        (["weir.app.port=http"], "/app/port"),
        (["weir.app.probe=x"], "/app"),
        (["weir.config.queue.timeout=30s"], "set it to at least 36s"),
        (["weir.terminationGracePeriodSeconds=30"], "set it to at least 33"),
        (["weir.app.port=8080"], "is also a port of weir"),
    ],
)
def test_a_wrong_value_is_refused(shop, sets, word):
    assert word in refusal(*sets, chart=shop)
