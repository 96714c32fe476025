"""The admission policy: its numbers are those of the chart and of weir. test_policy_server.py has the rest."""

import json
import pathlib
import re
import subprocess

import pytest
import yaml

from test_kustomize import WEIR

ROOT = pathlib.Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "deploy/admission-policy/weir.yaml"
README = MANIFEST.with_name("README.md").read_text()
HOOK = 26  # the default of drain.timeout and a second


def test_the_numbers_of_the_policy_are_those_of_the_component():
    """Ports, hooks and annotations, which are not generated."""
    text = MANIFEST.read_text()
    pod = yaml.safe_load((ROOT / "deploy/kustomize/weir/pod.yaml").read_text())["spec"]["template"]
    (weir,) = pod["spec"]["initContainers"]
    ports = [str(port["containerPort"]) for port in weir["ports"]]
    assert f'variables.appPort in ["{ports[0]}", "{ports[1]}"]' in text
    for name, value in pod["metadata"]["annotations"].items():
        assert f'"{name}": "{value}"' in text
    assert weir["lifecycle"]["preStop"]["exec"]["command"][-1] == f"{HOOK}s"
    added = int(re.search(r"variables.hookSeconds \+ (\d+)", text)[1])
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30 + HOOK + added
    assert f'weir/drain-timeout"].orValue("{HOOK - 1}s")' in text


def test_the_defaults_are_those_of_weir():
    if not WEIR:
        pytest.skip("no weir")
    run = subprocess.run([WEIR, "config", "defaults"], capture_output=True, text=True, timeout=10)
    defaults, text = json.loads(run.stdout), MANIFEST.read_text()
    assert defaults["drain"] == {"delay": "5s", "timeout": f"{HOOK - 1}s"}
    assert "variables.drainSeconds >= 5 + variables.queueSeconds + 1" in text
    assert f'weir/queue-timeout"].orValue("{defaults["queue"]["timeout"]}")' in text
    assert f'weir/concurrency"].orValue("{defaults["concurrency"]}")' in text


def test_the_readme_has_all_settings():
    known = set(re.findall(r'"(weir/[a-z-]+)"', MANIFEST.read_text())) - {"weir/inject"}
    assert known == set(re.findall(r"^\| `(weir/[a-z-]+)`", README, re.M))


def test_the_readmes_have_the_memory_limits():
    steps = re.findall(r'"(\d+)Mi"', MANIFEST.read_text().partition("# begin: memory")[2].partition("# end")[0])
    (row,) = re.findall(r"^\| `weir/memory`.*", README, re.M)
    assert steps and re.findall(r"(\d+)Mi", row) == steps
    kustomize = (ROOT / "deploy/kustomize/README.md").read_text()
    (limit,) = set(re.findall(r"(\d+) MiB", kustomize))
    assert f"memory: {limit}Mi" in (ROOT / "deploy/kustomize/weir/pod.yaml").read_text()
