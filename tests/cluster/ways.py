"""Cases: the other ways to deploy weir: an app's own chart, the Kustomize component, the admission policy."""

import json
import os
import shutil
import time

import yaml

from cluster import CLUSTER, QUICK, ROOT, Case, Release, Wrong, kubectl, until

DEPLOY = os.path.join(ROOT, "deploy")
EXAMPLE = os.path.join(DEPLOY, "kustomize", "example")
POLICY = os.path.join(DEPLOY, "admission-policy", "weir.yaml")
MANY = "60 keepalive /usuarios?ms=50"
NEW = "5 close /usuarios?ms=50 10ms"  # a connection for each request


class Own(Release):
    """An app's own small chart, which includes the library chart: tests/helm/shop."""

    @staticmethod
    def full_name(name):
        return "shop"

    def selector(self):
        return f"app={self.full}"

    def sets(self, values):
        return [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]

    def chart(self):
        folder = os.path.join(CLUSTER, "charts", "shop")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(os.path.join(ROOT, "tests", "helm", "shop"), folder)
        library = os.path.join(ROOT, "helm", "weir-sidecar")
        shutil.copytree(library, os.path.join(folder, "charts", "weir-sidecar"))
        return folder


class Applied(Own):
    """Manifests that kubectl applies."""

    def manifests(self, values):
        raise NotImplementedError

    def apply(self, manifests):
        kubectl("apply", "-f", "-", feed=manifests)

    def install(self, how, values):
        self.apply(self.manifests(values))
        self.status()

    def test(self):
        """kube-proxy may learn of the pods a moment after the Deployment does."""
        until(lambda: self.http("/ping", check=False), 30, "the Service led to the app")

    def uninstall(self):
        kubectl("delete", "deploy,svc,cm", "-l", self.selector(), "--ignore-not-found", "--wait=false")


class Kustomized(Applied):
    """The example of the component."""

    def manifests(self, values):
        return kubectl("kustomize", EXAMPLE)


class Injected(Applied):
    """The app of that example without the component, for the policy. The Service names its port."""

    def manifests(self, values):
        objects = []
        for name in ("deployment.yaml", "service.yaml"):
            with open(os.path.join(EXAMPLE, name), encoding="utf-8") as file:
                objects += list(yaml.safe_load_all(file))
        for one in objects:
            if one["kind"] == "Deployment":
                meta = one["spec"]["template"]["metadata"]
                meta["labels"].update(values.get("labels", {}))
                meta["annotations"] = values.get("annotations", {})
                if not values:
                    (app,) = one["spec"]["template"]["spec"]["containers"]
                    app["lifecycle"] = {"preStop": {"sleep": {"seconds": 10}}}
            else:
                one["spec"]["ports"][0]["targetPort"] = "http"
        return yaml.safe_dump_all(objects)

    def install(self, how, values):
        """The pods of an install must not be seen before the policy is in force."""
        kubectl("apply", "--server-side", "-f", POLICY)
        time.sleep(3)
        super().install(how, values)

    def uninstall(self):
        super().uninstall()
        kubectl("delete", "-f", POLICY, "--ignore-not-found")


# ---- what must hold --------------------------------------------------------------------------------


def governed(limit):
    """More clients than slots. The app itself counts its requests."""

    def action(release, times, gap):
        containers, _ = release.containers()
        release.expect(set(containers) == {"weir", "shop"}, f"containers are {sorted(containers)}")
        time.sleep(5)
        status = release.weir_status()
        most = release.most_inside()
        release.expect(status["limit"] == limit, f"the limit is {status['limit']}")
        release.expect(1 < most <= limit, f"{most} requests were inside the app at once")
        release.note(f"limit {limit}, at most {most} inside the app at once")
        for _ in range(times):
            release.gone(release.restart(), gap)

    return action


def refused(release, labels, annotations, part):
    try:
        values = {"labels": labels, "annotations": annotations}
        kubectl("apply", "--dry-run=server", "-f", "-", feed=release.manifests(values))
    except Wrong as error:
        release.expect(part in str(error), f"{annotations}: refused without {part!r}: {error}")
    else:
        release.expect(False, f"{annotations}: accepted")


INJECT = {"weir/inject": "true"}
LIMITED = {"labels": INJECT, "annotations": {"weir/concurrency": "4"}}


def injected(release, times, gap):
    refused(release, INJECT, {"weir/concurrency": "many"}, "weir/concurrency")
    refused(release, INJECT, {"weir/app-port": "0"}, "weir/app-port")
    governed(4)(release, times, gap)


# ---- an app that is serving already -----------------------------------------------------------------


def switched(release, times, gap):
    for _ in range(times):
        for port in (3000, 8480):
            change = [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": port}]
            kubectl("patch", "svc", release.full, "--type=json", "-p", json.dumps(change))
            time.sleep(4)


def labelled(release, times, gap):
    """The port of the Service is a name: of weir's port in pods with the label, of the app's in the others,
    which need a hook of their own."""
    for _ in range(times):
        for values in ({}, LIMITED):
            old = release.pods()
            release.apply(release.manifests(values))
            release.status()
            release.gone(old, gap)
            has_weir = "weir" in release.containers()[0]
            release.expect(has_weir == bool(values), f"with {values}, weir in the pod: {has_weir}")


CASES = {
    "shop": Case(
        "rollouts, the chart of an app that includes the library",
        [QUICK],
        governed(4),
        times=3,
        release=Own,
    ),
    "kustomize": Case(
        "rollouts, the Kustomize component", [MANY], governed(40), times=3, release=Kustomized
    ),
    "policy": Case(
        "rollouts, weir added by the admission policy",
        [QUICK],
        injected,
        LIMITED,
        times=3,
        release=Injected,
    ),
    "kustomize-switch": Case(
        "the Service of pods with weir led to the app, then to weir", [NEW], switched, release=Kustomized
    ),
    "policy-label": Case(
        "pods with the label replace pods without it", [NEW], labelled, LIMITED, times=2, release=Injected
    ),
}
