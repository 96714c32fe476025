"""Cases: custom resources of the chart, against the definitions of KEDA and of the Prometheus operator."""

import glob
import os

import yaml

from cluster import CLUSTER, HELM, Case, Release, Wrong, inside, kubectl

VALUES = {
    "autoscaling": {
        "maxReplicas": 3,
        "keda": {
            "enabled": True,
            "serverAddress": "http://10.250.0.1:9090",
            "fallback": {"failureThreshold": 3, "replicas": 2},
        },
    },
    "podMonitor": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "metricRelabelings": [
            {"action": "drop", "sourceLabels": ["__name__"], "regex": "weir_.*_bucket"}
        ],
    },
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "scrape": {"annotations": False},
}


def define():
    """Installs the definitions by server-side apply: one is too large for the annotation of kubectl."""
    files = glob.glob(os.path.join(CLUSTER, "crds", "*.yaml"))
    kubectl("apply", "--server-side", *(f"--filename={f}" for f in files))
    kubectl("wait", "--for=condition=Established", *(f"--filename={f}" for f in files), "--timeout=60s")


class Defined(Release):
    def prepare(self):
        define()


# Objects that the server must refuse: the change that makes them invalid, and a part of the message.
WRONG = [
    ("ScaledObject", "a number as a string", ("spec", "minReplicaCount"), "one", "minReplicaCount"),
    ("ScaledObject", "no triggers", ("spec", "triggers"), None, "triggers"),
    ("ScaledObject", "an unknown field", ("spec", "maxReplicas"), 4, "maxReplicas"),
    ("PodMonitor", "no interval", ("spec", "podMetricsEndpoints", 0, "interval"), "5 s", "interval"),
    ("PodMonitor", "an unknown field", ("spec", "podMetricsEndpoints", 0, "ports"), "x", "ports"),
    ("PrometheusRule", "a group without a name", ("spec", "groups", 0, "name"), None, "name"),
    ("PrometheusRule", "an unknown field", ("spec", "groups", 0, "rules", 0, "exprs"), "1", "exprs"),
]


def dry_run(one):
    """The message of the server, or "" if it accepts the object. Nothing is stored."""
    how = ("--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts")
    try:
        kubectl("apply", *how, "--field-manager=check", "-f", "-", feed=yaml.safe_dump(one))
    except Wrong as error:
        return str(error)
    return ""


def changed(one, path, value):
    """The object has another name, since missing fields would be taken from the stored object."""
    copy = yaml.safe_load(yaml.safe_dump(one))
    copy["metadata"]["name"] += "-wrong"
    at = copy
    for step in path[:-1]:
        at = at[step]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return copy


def stored(release):
    """{kind: object} of the custom resources of the release, as the chart renders them."""
    objects = yaml.safe_load_all(inside(HELM, "get", "manifest", release.name))
    return {o["kind"]: o for o in objects if o and o["kind"] in {wrong[0] for wrong in WRONG}}


def served(release, times, gap):
    """helm has installed them already, so the server has stored them."""
    mine = stored(release)
    for kind in ("ScaledObject", "PodMonitor", "PrometheusRule"):
        kubectl("get", kind, release.full)
        said = dry_run(mine[kind])
        release.expect(not said, f"the server refuses the {kind} of the chart: {said}")
    for kind, what, path, value, part in WRONG:
        said = dry_run(changed(mine[kind], path, value))
        release.expect(part in said, f"{kind}, {what}: {said or 'accepted'}")
    release.note(f"{len(mine)} objects stored and accepted strictly, {len(WRONG)} wrong ones refused")


CASES = {
    "crds": Case("ScaledObject, PodMonitor, PrometheusRule against their definitions", [], served,
                 VALUES, times=1, release=Defined),
}  # fmt: skip
