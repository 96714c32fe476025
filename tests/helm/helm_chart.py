"""The chart, rendered: what its tests have in common."""

import os
import re
import subprocess
import sys

import yaml

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
CHART = os.path.join(ROOT, "helm", "weir")
HELM = os.environ.get("HELM")
WEIR = os.environ.get("WEIR")
sys.path.insert(0, os.path.join(ROOT, "tests"))  # support/


def helm(*args, kube="1.31.0", chart=CHART):
    return subprocess.run(
        [HELM, "template", "shop", chart, "--namespace", "prod", "--kube-version", kube, *args],
        capture_output=True,
        text=True,
        timeout=60,
    )


def kube_of(values):
    """The cluster that a file of values is for: its comment "# kube: 1.28.0", or a recent one."""
    with open(values, encoding="utf-8") as file:
        kube = re.search(r"^# kube: (.+)$", file.read(), re.M)
    return kube[1] if kube else "1.31.0"


def render_all(*args, **how):
    """All objects, in the order of Helm."""
    run = helm(*args, **how)
    assert run.returncode == 0, run.stderr
    return [o for o in yaml.safe_load_all(run.stdout) if o]


def render(*args, **how):
    """{kind: object}; the first of each kind, without the pod of `helm test`."""
    objects = {}
    for one in render_all(*args, **how):
        if one["kind"] != "Pod":
            objects.setdefault(one["kind"], one)
    return objects


def refusal(*sets, **how):
    run = helm(*with_sets(sets), **how)
    assert run.returncode != 0, f"{sets} was accepted"
    return run.stderr


def with_sets(sets):
    return [a for s in sets for a in ("--set", s)]


def pod_of(objects):
    return objects["Deployment"]["spec"]["template"]["spec"]


def sidecar_of(objects):
    """Native or not."""
    pod = pod_of(objects)
    (sidecar,) = [
        c for c in pod.get("initContainers", []) + pod["containers"] if c["name"] == "weir"
    ]
    return sidecar


def app_of(objects):
    (app,) = [c for c in pod_of(objects)["containers"] if c["name"] == "app"]
    return app


def config_text(objects):
    return objects["ConfigMap"]["data"]["weir.json"]


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)([a-z]+)", duration).groups()
    return int(number) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}[unit]
