"""Functions that the cases share: commands in the cluster, releases, and load on a Service."""

import json
import os
import re
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Callable

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
CLUSTER = os.path.realpath(os.environ.get("CLUSTER") or os.path.join(ROOT, "build", "cluster"))
CHART = os.environ.get("CHART") or os.path.join(ROOT, "helm", "weir")
HELM = os.environ.get("HELM", "helm")
TAG = os.environ.get("TAG", "0.1.0")
FEW = {"requests": {"cpu": "10m"}}


class Wrong(Exception):
    """The case cannot continue."""


def inside(*command, check=True, timeout=300, feed=None):
    run = subprocess.run(
        [os.path.join(HERE, "in.sh"), *command],
        capture_output=True,
        text=True,
        timeout=timeout,
        **({"stdin": subprocess.DEVNULL} if feed is None else {"input": feed}),
    )
    if check and run.returncode != 0:
        raise Wrong(f"{' '.join(command)}: {run.stdout}{run.stderr}")
    return run.stdout.strip()


def kubectl(*args, **how):
    return inside("kubectl", *args, **how)


def get(*what):
    return json.loads(kubectl("get", *what, "-o", "json"))


def until(true, seconds, what, pause=0.5):
    """Waits until `true()` is true. Returns its value, and the seconds that this took."""
    began = time.monotonic()
    while True:
        value = true()
        took = time.monotonic() - began
        if value:
            return value, took
        if took > seconds:
            raise Wrong(f"in {seconds} s, it did not happen that {what}")
        time.sleep(pause)


# ---- one release of the chart ----------------------------------------------------------------------


class Release:
    """The chart, installed. Its Deployment and its Service have one name."""

    def __init__(self, name, values):
        self.name, self.full, self.values = name, self.full_name(name), values
        self.problems, self.notes, self.loads = [], [], []

    def begin(self):
        self.prepare()
        self.uninstall()
        self.install("install", self.values)
        self.test()
        time.sleep(2)

    def prepare(self):
        """What it requires in the cluster."""

    @staticmethod
    def full_name(name):
        return f"{name}-weir"

    def selector(self):
        return f"app.kubernetes.io/instance={self.name}"

    def sets(self, values):
        images = [f"--set={c}.image.tag={TAG}" for c in ("weir", "app")]
        return [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()] + images

    def chart(self):
        return CHART

    def install(self, how, values):
        """`how` is install or upgrade."""
        inside(
            HELM, how, self.name, self.chart(), "--wait", "--timeout", "180s", *self.sets(values)
        )

    def test(self):
        inside(HELM, "test", self.name, "--timeout", "120s")
        kubectl("delete", "pod", f"{self.full}-test", "--ignore-not-found")

    def uninstall(self):
        inside(HELM, "uninstall", self.name, "--ignore-not-found")

    # ---- what a case found ----

    def note(self, text):
        self.notes.append(text)

    def expect(self, good, text):
        """The case fails if `good` is false."""
        if not good:
            self.problems.append(text)

    # ---- the objects of the release ----

    def address(self):
        return kubectl(
            "get", "svc", self.full, "-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}"
        )

    def pod_objects(self):
        """Those that are not terminating."""
        pods = get("pod", "-l", self.selector())["items"]
        return [p for p in pods if "deletionTimestamp" not in p["metadata"]]

    def pods(self):
        return [f"pod/{p['metadata']['name']}" for p in self.pod_objects()]

    def containers(self):
        """{name: status} of the containers of the first pod, and the pod's uid."""
        pod = self.pod_objects()[0]
        lists = [pod["status"].get(k, []) for k in ("initContainerStatuses", "containerStatuses")]
        return {c["name"]: c for c in sum(lists, [])}, pod["metadata"]["uid"]

    def weir(self, *command, pod=None):
        """A command of weir, in the container of the first pod. It does not read the configuration."""
        return kubectl("exec", pod or self.pods()[0], "-c", "weir", "--", "/weir", *command,
                       "--admin-listen=127.0.0.1:9480")  # fmt: skip

    def weir_status(self):
        return json.loads(self.weir("status", "--json"))

    def http(self, path, **how):
        """The body of a response, through the Service."""
        curl = ("curl", "--silent", "--show-error", "--max-time", "20")
        return inside(*curl, f"http://{self.address()}{path}", **how)

    def most_inside(self):
        """How many requests for /usuarios were inside the demo app at once, by its own count."""
        pattern = r'backend_concurrent_max\{handler="usuarios"\} (\d+)'
        return int(re.search(pattern, self.http("/metrics"))[1])

    def replicas(self):
        return get("deploy", self.full)["spec"]["replicas"]

    def ready(self):
        return get("deploy", self.full)["status"].get("readyReplicas", 0)

    # ---- what may happen to them ----

    def status(self):
        kubectl("rollout", "status", f"deploy/{self.full}", "--timeout=180s")

    def gone(self, pods, gap):
        """Waits until the pods have ended, or for `gap` seconds."""
        if gap is not None:
            time.sleep(gap)
        elif pods:
            kubectl("wait", "--for=delete", *pods, "--timeout=180s")

    def restart(self):
        old = self.pods()
        kubectl("rollout", "restart", f"deploy/{self.full}")
        self.status()
        return old

    def scale(self, replicas):
        before = set(self.pods())
        kubectl("scale", f"deploy/{self.full}", f"--replicas={replicas}")
        self.status()
        return before

    def kill(self, container):
        """SIGKILL to the first process of that container in the first pod."""
        status = self.containers()[0][container]
        container_id = status["containerID"].removeprefix("containerd://")
        inside("ctr", "--namespace", "k8s.io", "task", "kill", "-s", "KILL", container_id)


# ---- cases and their load --------------------------------------------------------------------------

QUICK = "20 keepalive /usuarios?ms=50"


def rollouts(release, times, gap):
    for _ in range(times):
        release.gone(release.restart(), gap)


@dataclass
class Case:
    what: str
    groups: list
    action: Callable = rollouts
    values: dict = field(default_factory=dict)
    watch: bool = False
    bound: float = 0  # failed requests, of one
    times: int = 0  # how often; 0 for as often as was asked for
    release: type = Release
    needs: list = field(default_factory=list)  # programs that may not have been built


def test_app(start_ms=0):
    env = [
        {"name": "BACKEND_LISTEN", "value": "127.0.0.1:8000"},
        {"name": "START_MS", "value": str(start_ms)},
    ]
    return {"image": {"repository": "weir-test-app"}, "env": env, "resources": FEW}


@contextmanager
def load(release, groups, watch=False):
    """Clients of the Service, until the block ends. Its result is in the list release.loads, too."""
    where = ["-watch", release.full] if watch else ["-addr", release.address()]
    process = subprocess.Popen(
        [os.path.join(HERE, "in.sh"), "load", "-d", "2h", *where, *groups],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    out = {}
    try:
        time.sleep(2)
        yield out
        time.sleep(2)
    finally:
        text, _ = process.communicate(timeout=120)  # the end of its input is the end of the load
        out.update(json.loads(text))
        release.loads.append(out)
