"""docs/deploy.md: its commands name files that exist, and its figures are those of the charts."""

import os
import re
import shlex

import pytest
import yaml

from helm_chart import HELM, ROOT, pod_of, render, seconds, sidecar_of

with open(os.path.join(ROOT, "docs", "deploy.md"), encoding="utf-8") as page:
    PAGE = " ".join(page.read().split("\n"))
    page.seek(0)
    COMMANDS = re.findall(r"(?ms)^```sh\n(.*?)^```$", page.read())
    LINES = [line for text in COMMANDS for line in text.replace("\\\n", " ").splitlines()]


def test_the_commands_name_files_that_exist():
    named = [word for line in LINES for word in re.findall(r"(?<![\w./])(?:helm|deploy|examples)/[\w./-]+", line)]
    files = [word for word in named if not word.startswith("deploy/shop")]  # a Deployment
    assert len(files) >= 6
    assert [f for f in files if not os.path.exists(os.path.join(ROOT, f))] == []


@pytest.mark.skipif(not HELM, reason="no helm")
def test_helm_takes_the_values_of_the_command():
    (install,) = [line for line in LINES if line.startswith("helm install")]
    _, _, _, chart, *options = shlex.split(install)
    assert chart == "helm/weir"
    objects = render(*options)
    images = {c["image"] for c in [sidecar_of(objects), *pod_of(objects)["containers"]]}
    assert images == {"registry.example.com/shop:1.4", "registry.example.com/weir:0.1.0"}


@pytest.mark.skipif(not HELM, reason="no helm")
def test_the_grace_periods_are_those_of_the_charts():
    pod = pod_of(render())
    (app,) = pod["containers"]
    hook = app["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] == 41
    assert hook == 26
    assert "25 + 1 + 10 + 5 = 41 s" in PAGE
    assert f'"terminationDrainDuration": "{41 - 5}s"' in PAGE
    with open(os.path.join(ROOT, "deploy/kustomize/weir/pod.yaml"), encoding="utf-8") as file:
        grace = yaml.safe_load(file)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace == hook + 5 + 30
    assert f"sets {grace} s" in PAGE
    assert seconds("31s") == hook + 5 and "adds 31 s" in PAGE
