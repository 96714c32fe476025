"""The parts of deploy/ that are generated from the library chart: the patch of the Kustomize component, and the
container of the admission policy. helm/generate.py writes them, if there is a helm."""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
PORT, ADMIN = 8480, 9480
# Apps often listen on 8080 themselves. By default, Kubernetes gives them 30 s to stop.
VALUES = {
    "port": PORT,
    "adminPort": ADMIN,
    "app": {"stopSeconds": 30},
    "env": [
        {"name": "WEIR_LISTEN", "value": f":{PORT}"},
        {"name": "WEIR_ADMIN_LISTEN", "value": f":{ADMIN}"},
    ],
}
CHART = """
apiVersion: v2
name: any
version: 0.0.0
dependencies: [{name: weir-sidecar, version: 0.1.0, repository: "file://.", alias: weir}]
"""
DICT = """{{- $w := dict "root" $ "weir" .Values.weir "name" "weir" -}}
"""
POD = """# Written by helm/generate.py, from the chart weir-sidecar. kustomization.yaml says which objects get it.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: any
spec:
  template:
    metadata:
      annotations: {{- include "weir-sidecar.podAnnotations" $w | nindent 8 }}
    spec:
      terminationGracePeriodSeconds: {{ include "weir-sidecar.gracePeriod" $w }}
      initContainers: {{- include "weir-sidecar.container" $w | nindent 8 }}
      volumes: {{- include "weir-sidecar.volumes" $w | nindent 8 }}
"""
HOOK = """# Written by helm/generate.py, from the chart weir-sidecar: the lifecycle of the app's containers, which
# kustomization.yaml copies. Kustomize does not print this object.
apiVersion: weir/v1
kind: AppHook
metadata:
  name: weir
  annotations: {config.kubernetes.io/local-config: "true"}
lifecycle: {{- include "weir-sidecar.appLifecycle" $w | nindent 2 }}
"""
MEMORY = """memory:
{{- range list 256 1024 "unlimited" }}
  - {{ include "weir-sidecar.memoryMiB" (dict "weir" (dict "config" (dict "concurrency" .))) }}
{{- end }}
"""


def helm():
    """The path of a helm, or None. .ci/helm.sh installs one."""
    tools = str(ROOT / "build" / "tools")
    return os.environ.get("HELM") or shutil.which("helm") or shutil.which("helm", path=tools)


@functools.cache
def render(template):
    """The text of a template that includes templates of the chart."""
    with tempfile.TemporaryDirectory() as folder:
        chart = pathlib.Path(folder)
        shutil.copytree(HERE / "weir-sidecar", chart / "charts" / "weir-sidecar")
        (chart / "templates").mkdir()
        (chart / "Chart.yaml").write_text(CHART)
        (chart / "values.yaml").write_text(json.dumps({"weir": VALUES}))
        (chart / "templates" / "part.yaml").write_text(DICT + template)
        command = [helm(), "template", "any", folder, "--kube-version", "1.36.0"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if run.returncode != 0:
        raise RuntimeError(run.stderr)
    text = re.sub(r"\A---\n# Source: .*\n", "", run.stdout)
    return re.sub(r" *checksum/weir-config: .*\n", "", text)  # the name of the ConfigMap has a hash


# ---- the policy ------------------------------------------------------------------------------------


INSERTED = """(has(object.spec.initContainers) ? [] :
  [JSONPatch{op: "add", path: "/spec/initContainers", value: []}]) +
[JSONPatch{
  op: "add",
  path: "/spec/initContainers/-",
  value: %s
}]"""


class Cel(str):
    """An expression, which is not quoted."""


def cel(value, kind, indent=0):
    """A value as CEL, where objects have a type: Object.spec.initContainers{...}."""
    if isinstance(value, Cel):
        return value
    if isinstance(value, list):
        return enclosed("[", [cel(one, kind, indent + 2) for one in value], "]", indent)
    if not isinstance(value, dict):
        return json.dumps(value)
    is_map = kind.endswith((".limits", ".requests"))
    fields = [
        f"{json.dumps(key) if is_map else key}: {cel(one, f'{kind}.{key}', indent + 2)}" for key, one in value.items()
    ]
    return enclosed("{" if is_map else kind + "{", fields, "}", indent)


def enclosed(begin, parts, end, indent):
    """The list in one line, if that is short enough."""
    flat = begin + ", ".join(parts) + end
    if len(flat) < 100 and "\n" not in flat:
        return flat
    space = "\n" + " " * indent
    return begin + ",".join(f"{space}  {part}" for part in parts) + space + end


def container():
    """weir as the chart renders it, except for what the settings of the policy replace."""
    pod = yaml.safe_load(render(POD))["spec"]["template"]["spec"]
    (weir,) = pod["initContainers"]
    (mount,) = weir["volumeMounts"]
    kind = "Object.spec.initContainers"
    weir["image"] = Cel("variables.image")
    for one in weir["env"]:
        if one["name"] == "WEIR_CONFIG":  # an empty variable counts as not set
            one["value"] = Cel(f'variables.config == "" ? "" : {cel(one["value"], "")}')
    weir["env"] += [
        {"name": "WEIR_UPSTREAM", "value": Cel('"127.0.0.1:" + variables.appPort')},
        {"name": "WEIR_CONCURRENCY", "value": Cel("variables.concurrency")},
        {"name": "WEIR_QUEUE_TIMEOUT", "value": Cel("variables.queueTimeout")},
        {"name": "WEIR_DRAIN_TIMEOUT", "value": Cel("variables.drainTimeout")},
    ]
    weir["ports"][0]["name"] = Cel('variables.portName == "" ? "weir" : variables.portName')
    weir["lifecycle"]["preStop"]["exec"]["command"][-1] = Cel('string(variables.hookSeconds) + "s"')
    weir["resources"]["limits"]["memory"] = Cel("variables.memory")
    mounts = cel(mount, f"{kind}.volumeMounts", indent=4)
    weir["volumeMounts"] = Cel(f'variables.config == "" ? [] : [{mounts}]')
    return cel(weir, kind, indent=2)


def memory_variable():
    """The limit in a few steps, which the chart computes; weir accepts 4096 clients, so no more can be inside."""
    few, more, most = yaml.safe_load(render(MEMORY))["memory"]
    return f"""- name: memory
  expression: >-
    variables.annotations[?"weir/memory"].orValue(
      variables.limit <= 256 ? "{few}Mi" : variables.limit <= 1024 ? "{more}Mi" : "{most}Mi")"""


def between(text, name, new):
    """The text with `new` between the comments "begin: NAME" and "end: NAME"."""
    pattern = rf"(?m)^( *)(# begin: {name}\b.*\n)(?:.*\n)*?( *# end: {name}$)"
    match = re.search(pattern, text)
    block = "".join(f"{match[1]}{line}\n" for line in new.splitlines())
    return text[: match.start()] + match[1] + match[2] + block + match[3] + text[match.end() :]


def policy():
    text = (ROOT / "deploy" / "admission-policy" / "weir.yaml").read_text()
    text = between(text, "memory", memory_variable())
    inserted = INSERTED % container()
    block = "- patchType: JSONPatch\n  jsonPatch:\n    expression: |-\n"
    return between(text, "container", block + "".join(f"      {line}\n" for line in inserted.splitlines()))


def outputs():
    """{path below deploy/: text}; needs a helm."""
    return {
        pathlib.Path("kustomize/weir/pod.yaml"): render(POD),
        pathlib.Path("kustomize/weir/hook.yaml"): render(HOOK),
        pathlib.Path("admission-policy/weir.yaml"): policy(),
    }
