"""The Kustomize component adds what the chart renders, and its settings work as README.md describes.

HELM, KUBECTL and WEIR name the programs; without KUBECTL, one on the path or in build/tools is used.
"""

import copy
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/kustomize"
EXAMPLE = FOLDER / "example"
HELM, WEIR = os.environ.get("HELM"), os.environ.get("WEIR")
TOOLS = str(ROOT / "build/tools")
KUBECTL = os.environ.get("KUBECTL") or shutil.which("kubectl") or shutil.which("kubectl", path=TOOLS)
sys.path.insert(0, str(ROOT / "helm"))

import pod_files  # noqa: E402

needs_helm = pytest.mark.skipif(not HELM, reason="no helm")
needs_kubectl = pytest.mark.skipif(not KUBECTL, reason="no kubectl")


def of_file(name):
    return yaml.safe_load((EXAMPLE / name).read_text())


APP = [of_file("deployment.yaml"), of_file("service.yaml")]
SETTINGS = '{"upstream": ":3000", "concurrency": 2}'
OTHER = {
    "target": {"kind": "ConfigMap", "name": "weir"},
    "patch": json.dumps([{"op": "replace", "path": "/data/weir.json", "value": SETTINGS}]),
}


def build(folder):
    run = subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(run.stdout)}


def only(objects, kind):
    (one,) = [o for (k, _), o in objects.items() if k == kind]
    return one


def pod_of(workload):
    return workload["spec"]["template"]["spec"]


def weir_of(workload):
    (weir,) = pod_of(workload)["initContainers"]
    return weir


def env_of(container):
    return {one["name"]: one["value"] for one in container["env"]}


@pytest.fixture(scope="module")
def example():
    return build(EXAMPLE)


@pytest.fixture
def overlay(tmp_path):
    """A function that builds a kustomization of these objects, next to a copy of the components."""
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)

    def make(*objects, name="shop", components=("../weir",), **fields):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "app.yaml").write_text(yaml.safe_dump_all(objects or APP))
        fields = {"resources": ["app.yaml"], "components": list(components), **fields}
        (folder / "kustomization.yaml").write_text(json.dumps(fields))
        return build(folder)

    return make


@needs_helm
@pytest.mark.parametrize("path", ["kustomize/weir/pod.yaml", "kustomize/weir/hook.yaml", "admission-policy/weir.yaml"])
def test_generated_files_are_up_to_date(path):
    text = pod_files.outputs()[pathlib.Path(path)]
    assert (ROOT / "deploy" / path).read_text() == text, "run helm/generate.py"


@pytest.fixture(scope="module")
def chart():
    """helm/weir with the values of the example."""
    values = {
        "app": {"port": 3000, "stopSeconds": 30},
        "config": {"concurrency": 40},
        "weir": {"port": pod_files.PORT, "env": pod_files.VALUES["env"]},
    }
    sets = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
    command = [HELM, "template", "shop", ROOT / "helm/weir", "--kube-version", "1.36.0", *sets]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return {o["kind"]: o for o in yaml.safe_load_all(run.stdout) if o and o["kind"] != "Pod"}


@needs_helm
@needs_kubectl
def test_the_container_is_that_of_the_chart(example, chart):
    assert weir_of(only(example, "Deployment")) == weir_of(chart["Deployment"])


@needs_helm
@needs_kubectl
def test_the_rest_of_the_pod_is_that_of_the_chart(example, chart):
    ours, theirs = only(example, "Deployment"), chart["Deployment"]
    for name in ("volumes", "terminationGracePeriodSeconds"):
        expected = pod_of(theirs)[name]
        if name == "volumes":
            expected[0]["configMap"]["name"] = only(example, "ConfigMap")["metadata"]["name"]
        assert pod_of(ours)[name] == expected
    (app,), (chart_app,) = pod_of(ours)["containers"], pod_of(theirs)["containers"]
    assert app["lifecycle"] == chart_app["lifecycle"]
    annotations = dict(theirs["spec"]["template"]["metadata"]["annotations"])
    del annotations["checksum/weir-config"]
    assert ours["spec"]["template"]["metadata"]["annotations"] == annotations
    assert ours["spec"]["strategy"] == theirs["spec"]["strategy"]
    (port,), (chart_port,) = only(example, "Service")["spec"]["ports"], chart["Service"]["spec"]["ports"]
    assert port["targetPort"] == chart_port["targetPort"]


@needs_helm
@needs_kubectl
def test_weir_has_the_configuration_of_the_chart(example, chart):
    if not WEIR:
        pytest.skip("no weir")
    chart_config = chart["ConfigMap"]["data"]["weir.json"]
    assert values_in_force(example) == values_in_force(example, chart_config)


def values_in_force(objects, text=None):
    env = env_of(weir_of(only(objects, "Deployment")))
    run = subprocess.run(
        [WEIR, "config", "print", "--config", "-"],
        input=text or only(objects, "ConfigMap")["data"]["weir.json"],
        env={name: value for name, value in env.items() if name != "WEIR_CONFIG"},
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    rows = [re.split(" {2,}", line)[:2] for line in run.stdout.splitlines()]  # without the source
    return {name: value.replace('":', '"127.0.0.1:') if name == "upstream.address" else value for name, value in rows}


@needs_kubectl
def test_weir_accepts_the_configurations(example, overlay):
    if not WEIR:
        pytest.skip("no weir")
    for objects in (example, overlay()):
        env = env_of(weir_of(only(objects, "Deployment")))
        text = only(objects, "ConfigMap")["data"]["weir.json"]
        del env["WEIR_CONFIG"]
        run = subprocess.run([WEIR, "check", "-"], input=text, env=env, capture_output=True, text=True, timeout=10)
        assert run.returncode == 0, run.stdout + run.stderr


@needs_kubectl
def test_one_entry_is_enough(overlay):
    objects = overlay()
    pod = pod_of(only(objects, "Deployment"))
    name = only(objects, "ConfigMap")["metadata"]["name"]
    assert name.startswith("weir-") and pod["volumes"] == [{"name": "weir-config", "configMap": {"name": name}}]
    assert {key for key, _ in objects} == {"ConfigMap", "Deployment", "Service"}


@needs_kubectl
def test_objects_with_the_label_false_are_left_alone(overlay):
    others = [copy.deepcopy(one) for one in APP]
    for one in others:
        one["metadata"] = {"name": "redis", "labels": {"weir/inject": "false"}}
    del others[1]["spec"]["ports"]  # it may have none
    objects = overlay(*APP, *others)
    for one in others:
        assert objects[one["kind"], "redis"] == one
    assert weir_of(objects["Deployment", "shop"])


@needs_kubectl
def test_a_stateful_set_gets_the_same(overlay):
    stateful = copy.deepcopy(APP[0])
    stateful["kind"] = "StatefulSet"
    del stateful["spec"]["strategy"]
    ours, theirs = pod_of(only(overlay(stateful), "StatefulSet")), pod_of(only(overlay(name="other"), "Deployment"))
    assert ours == theirs


@needs_kubectl
def test_fields_of_the_app_are_kept(overlay):
    """Its init containers, further containers, volumes and its other hook; a target port is not required."""
    deployment, service = copy.deepcopy(APP)
    pod = deployment["spec"]["template"]["spec"]
    pod["initContainers"] = [{"name": "migrate", "image": "shop"}]
    pod["containers"].append({"name": "log", "image": "log"})
    pod["containers"][0]["lifecycle"] = {"postStart": {"exec": {"command": ["/warm"]}}}
    pod["volumes"] = [{"name": "data", "emptyDir": {}}]
    del service["spec"]["ports"][0]["targetPort"]
    objects = overlay(deployment, service)
    ours = pod_of(only(objects, "Deployment"))
    assert [c["name"] for c in ours["initContainers"]] == ["weir", "migrate"]
    assert {v["name"] for v in ours["volumes"]} == {"weir-config", "data"}
    shop, log = ours["containers"]
    hook = {"sleep": {"seconds": 26}}
    assert shop["lifecycle"] == {"postStart": {"exec": {"command": ["/warm"]}}, "preStop": hook}
    assert log["lifecycle"] == {"preStop": hook}
    assert only(objects, "Service")["spec"]["ports"][0]["targetPort"] == pod_files.PORT


@needs_kubectl
def test_another_configuration_is_another_name(overlay):
    first, second = overlay(), overlay(name="b", patches=[OTHER])
    assert only(second, "ConfigMap")["data"]["weir.json"] == SETTINGS
    names = [only(o, "ConfigMap")["metadata"]["name"] for o in (first, second)]
    assert names[0] != names[1]
    assert [pod_of(only(o, "Deployment"))["volumes"][0]["configMap"]["name"] for o in (first, second)] == names


@needs_kubectl
def test_a_kustomization_above_merges_the_configuration(overlay):
    overlay()
    generator = {"name": "weir", "behavior": "merge", "literals": [f"weir.json={SETTINGS}"]}
    objects = overlay(name="production", resources=["../shop"], components=[], configMapGenerator=[generator])
    assert only(objects, "ConfigMap")["data"] == {"weir.json": SETTINGS}


@needs_kubectl
def test_watch_keeps_the_name_and_the_pod(overlay):
    both = ["../weir", "../watch"]
    first = overlay(components=both)
    second = overlay(name="b", components=both, patches=[OTHER])
    deployment = only(first, "Deployment")
    assert deployment == only(second, "Deployment")
    assert env_of(weir_of(deployment))["WEIR_WATCH"] == "true"
    assert pod_of(deployment)["volumes"][0]["configMap"]["name"] == "weir"


@needs_kubectl
def test_the_image_has_the_name_of_a_registry(overlay):
    images = [{"name": "weir", "newName": "registry.example.com/weir", "newTag": "1.2.3"}]
    objects = overlay(images=images)
    assert weir_of(only(objects, "Deployment"))["image"] == "registry.example.com/weir:1.2.3"


def readme_blocks(word):
    """The YAML blocks of README.md that contain the word."""
    text = (FOLDER / "README.md").read_text()
    blocks = [yaml.safe_load(b) for b in re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S) if word in b]
    assert blocks
    return blocks


@needs_kubectl
def test_the_readme_on_a_longer_drain(overlay):
    (fields,) = readme_blocks("value: 61s")
    pod = pod_of(only(overlay(**fields), "Deployment"))
    (weir,), (app,) = pod["initContainers"], pod["containers"]
    assert weir["lifecycle"]["preStop"]["exec"]["command"][-2:] == ["--wait", "61s"]
    assert app["lifecycle"]["preStop"] == {"sleep": {"seconds": 61}}
    assert pod["terminationGracePeriodSeconds"] == 61 + 30 + 5


@needs_kubectl
def test_the_readme_on_a_hook_of_the_app(overlay):
    own = {"exec": {"command": ["/bye"]}}
    deployment, service = copy.deepcopy(APP)
    deployment["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = {"preStop": own}
    (fields,) = readme_blocks("op: remove")
    (app,) = pod_of(only(overlay(deployment, service, **fields), "Deployment"))["containers"]
    assert app["lifecycle"]["preStop"] == own


@needs_kubectl
def test_the_readme_on_settings(overlay):
    (fields,) = readme_blocks("newName: registry.example.com/weir")
    objects = overlay(**fields)
    assert json.loads(only(objects, "ConfigMap")["data"]["weir.json"]) == {"upstream": ":3000", "concurrency": 40}
    assert weir_of(only(objects, "Deployment"))["image"] == "registry.example.com/weir:0.1.0"
