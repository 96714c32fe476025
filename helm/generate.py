#!/usr/bin/env python3
"""Writes what the charts have from elsewhere: generate.py

- the part `config` of both values.schema.json, from docs/weir.schema.json, which weir writes from its options;
- the table of values in both README.md, from the comments in values.yaml;
- helm/weir/charts/weir-sidecar, a copy of helm/weir-sidecar;
- helm/weir/files, copies of the rules and the dashboard of deploy/;
- deploy/kustomize and deploy/admission-policy (pod_files.py), if there is a helm.

`outputs()` has the files of the charts with their texts: tests/helm compares them with those on the disk.
"""

import json
import os
import pathlib
import re
import sys

import pod_files
import yaml

HERE = pathlib.Path(__file__).resolve().parent
OPTIONS = HERE.parent / "docs" / "weir.schema.json"
CHARTS = ("weir-sidecar", "weir")
COPY = pathlib.Path("weir/charts/weir-sidecar")
FILES = ("prometheus/weir.rules.yaml", "grafana/weir.json")
BEGIN, END = "<!-- begin: values -->", "<!-- end: values -->"

# The options that the charts set themselves, a permission for sockets that they do not listen on, a secret,
# which does not belong in a ConfigMap, and a profile for other platforms.
NOT_IN_VALUES = (
    "$schema",
    "listen",
    "listen_mode",
    "upstream.address",
    "admin.listen",
    "admin.listen_mode",
    "admin.token",
    "profile",
)


def without(schema, path):
    """Removes an option from the schema of an object."""
    name, _, rest = path.partition(".")
    if rest:
        return without(schema["properties"][name], rest)
    del schema["properties"][name]
    schema["required"] = [key for key in schema.get("required", []) if key != name]
    if not schema["required"]:
        del schema["required"]


def config_schema():
    schema = json.loads(OPTIONS.read_text())
    for choice in schema["properties"]["upstream"]["anyOf"]:
        if "properties" in choice:
            schema["properties"]["upstream"] = choice  # and not just an address
    for path in NOT_IN_VALUES:
        without(schema, path)
    schema.pop("required", None)
    for key in ("$schema", "title"):
        del schema[key]
    schema["description"] = "weir.json, except what the chart sets; helm/generate.py takes it from docs/weir.schema.json"
    return schema


def values_schema(chart):
    schema = json.loads((HERE / chart / "values.schema.json").read_text())
    schema["properties"]["config"] = config_schema()
    return json.dumps(schema, indent=2) + "\n"


# ---- the table in README.md -------------------------------------------------------------------------


def documented(text):
    """[(path, sentence)] of the keys below a comment that begins with "# -- "."""
    out, path, sentence = [], [], None
    for line in text.splitlines():
        comment = re.fullmatch(r" *# (-- )?(.*)", line)
        key = re.match(r"( *)([A-Za-z]+):", line)
        if comment and comment[1]:
            sentence = comment[2]
        elif comment and sentence:
            sentence += " " + comment[2]
        elif key:
            path[len(key[1]) // 2 :] = [key[2]]
            if sentence:
                out.append((".".join(path), sentence))
            sentence = None
        else:
            sentence = None
    return out


def shown(value):
    text = json.dumps(value).replace('"', "")
    return "" if value in (None, "", [], {}) else f"`{text}`" if len(text) < 40 else "see values.yaml"


def table(chart):
    text = (HERE / chart / "values.yaml").read_text()
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for path, sentence in documented(text):
        value = yaml.safe_load(text)
        for key in path.split("."):
            value = value[key]
        rows.append(f"| `{path}` | {shown(value)} | {sentence} |")
    return "\n".join(rows)


def readme(chart):
    text = (HERE / chart / "README.md").read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table(chart)}\n{END}{tail}"


# ---- all ------------------------------------------------------------------------------------------------


def outputs():
    """{path below helm/: text}."""
    out = {}
    for chart in CHARTS:
        out[pathlib.Path(chart, "values.schema.json")] = values_schema(chart)
        out[pathlib.Path(chart, "README.md")] = readme(chart)
    for folder, _, names in os.walk(HERE / "weir-sidecar"):
        for name in sorted(set(names) - {"README.md"}):  # its links would lead nowhere
            path = pathlib.Path(folder, name).relative_to(HERE / "weir-sidecar")
            original = pathlib.Path("weir-sidecar") / path
            out[COPY / path] = out.get(original) or (HERE / original).read_text()
    for name in FILES:
        source = HERE.parent / "deploy" / name
        out[pathlib.Path("weir/files", source.name)] = source.read_text()
    return out


def main():
    for path, text in outputs().items():
        (HERE / path).parent.mkdir(parents=True, exist_ok=True)
        (HERE / path).write_text(text)
    if not pod_files.helm():
        print("no helm: deploy/kustomize and deploy/admission-policy are left as they are", file=sys.stderr)
        return
    for path, text in pod_files.outputs().items():
        (HERE.parent / "deploy" / path).write_text(text)


if __name__ == "__main__":
    main()
