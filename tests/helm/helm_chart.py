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


def helm(*args, kube="1.31.0"):
    return subprocess.run(
        [HELM, "template", "shop", CHART, "--namespace", "prod", "--kube-version", kube, *args],
        capture_output=True,
        text=True,
        timeout=60,
    )


def render(*args):
    run = helm(*args)
    assert run.returncode == 0, run.stderr
    objects = [o for o in yaml.safe_load_all(run.stdout) if o]
    return {o["kind"]: o for o in objects}


def with_sets(sets):
    return [a for s in sets for a in ("--set", s)]


def pod_of(objects):
    return objects["Deployment"]["spec"]["template"]["spec"]


def sidecar_of(objects):
    (sidecar,) = pod_of(objects)["initContainers"]
    return sidecar


def app_of(objects):
    (app,) = pod_of(objects)["containers"]
    return app


def config_text(objects):
    return objects["ConfigMap"]["data"]["weir.json"]


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)([a-z]+)", duration).groups()
    return int(number) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}[unit]
