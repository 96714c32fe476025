"""Rollouts, scaling and crashes under load on a real kubelet: cases.py [--rollouts N] [CASE...]

Installs the chart once for each case, into the cluster that up.sh has started with the images of
images.sh, and counts what fails for clients of the Service. Prints one line for each case, and what
failed. Exit status: 0 if each case is within its bound.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Callable

HERE = os.path.dirname(os.path.abspath(__file__))
CHART = os.environ.get("CHART") or os.path.join(HERE, "..", "..", "helm", "weir")
HELM = os.environ.get("HELM", "helm")
TAG = os.environ.get("TAG", "0.1.0")
FEW = {"requests": {"cpu": "10m"}}


def inside(*command, check=True, timeout=300):
    run = subprocess.run(
        [os.path.join(HERE, "in.sh"), *command],
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    if check and run.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {run.stdout}{run.stderr}")
    return run.stdout.strip()


def kubectl(*args, **how):
    return inside("kubectl", *args, **how)


# ---- one release of the chart ----------------------------------------------------------------------


class Release:
    """The chart, installed. Its Deployment and its Service have one name."""

    def __init__(self, name, values):
        self.name, self.full = name, f"{name}-weir"
        kubectl("delete", "deploy,svc,cm", self.full, "--ignore-not-found", "--wait=false")
        inside(HELM, "uninstall", name, "--ignore-not-found")
        images = [f"--set={c}.image.tag={TAG}" for c in ("weir", "app")]
        sets = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
        inside(HELM, "install", name, CHART, "--wait", "--timeout", "120s", *sets, *images)
        inside(HELM, "test", name, "--timeout", "120s")
        kubectl("delete", "pod", f"{self.full}-test", "--ignore-not-found")
        time.sleep(2)

    def uninstall(self):
        inside(HELM, "uninstall", self.name)

    def address(self):
        return kubectl(
            "get", "svc", self.full, "-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}"
        )

    def pods(self):
        """The names of those that are not terminating."""
        selector = f"app.kubernetes.io/instance={self.name}"
        pods = json.loads(kubectl("get", "pod", "-l", selector, "-o", "json"))["items"]
        names = [p["metadata"]["name"] for p in pods if "deletionTimestamp" not in p["metadata"]]
        return [f"pod/{name}" for name in names]

    def status(self):
        kubectl("rollout", "status", f"deploy/{self.full}", "--timeout=180s")

    def gone(self, pods, gap):
        """Until those have ended, or for the time that was asked for."""
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
        path = f"{{.status.containerStatuses[?(@.name=='{container}')].containerID}}"
        pod = self.pods()[0]
        container_id = kubectl("get", pod, "-o", f"jsonpath={path}").removeprefix("containerd://")
        inside("ctr", "--namespace", "k8s.io", "task", "kill", "-s", "KILL", container_id)


# ---- what happens under load -----------------------------------------------------------------------


def rollouts(release, times, gap):
    for _ in range(times):
        release.gone(release.restart(), gap)


def scaling(release, times, gap):
    for _ in range(times):
        release.scale(3)
        time.sleep(3)
        before = release.scale(1)
        time.sleep(8)
        release.gone(sorted(before - set(release.pods())), gap)


def deletions(release, times, gap):
    for _ in range(times):
        pod = release.pods()[0]
        kubectl("delete", pod, "--wait=false")
        time.sleep(1)
        release.status()
        release.gone([pod], gap)


def crashes(release, times, gap):
    """The kubelet restarts a container at once only the first time, so each crash has a pod of its own."""
    for n in range(times):
        if n > 0:
            release.gone(release.restart(), None)
        time.sleep(3)
        release.kill("app")
        time.sleep(1)
        kubectl("wait", "--for=condition=Ready", *release.pods(), "--timeout=60s")
        time.sleep(5 if gap is None else gap)


# ---- the cases -------------------------------------------------------------------------------------


def test_app(start_ms=0):
    env = [
        {"name": "BACKEND_LISTEN", "value": "127.0.0.1:8000"},
        {"name": "START_MS", "value": str(start_ms)},
    ]
    return {"image": {"repository": "weir-test-app"}, "env": env, "resources": FEW}


def low_app():
    probe = {"httpGet": {"path": "/ping"}, "periodSeconds": 1}
    env = [{"name": "BACKEND_LISTEN", "value": "0.0.0.0:80"}]
    probes = {f"{kind}Probe": probe for kind in ("startup", "readiness", "liveness")}
    return {"port": 80, "env": env, "resources": FEW, **probes}


def socket_app():
    path = "/run/app/app.sock"
    env = [{"name": "BACKEND_LISTEN", "value": f"unix:{path}"}]
    return {"socket": path, "env": env, "resources": FEW}


@dataclass
class Case:
    what: str
    groups: list
    action: Callable = rollouts
    values: dict = field(default_factory=dict)
    watch: bool = False
    bound: float = 0  # failed requests, of one


QUICK = "20 keepalive /usuarios?ms=50"

CASES = {
    "a": Case("rollouts, 20 keep-alive clients", [QUICK]),
    "b": Case(
        "rollouts, 10 keep-alive clients and 3 whose requests take 7 s",
        ["10 keepalive /usuarios?ms=50", "3 keepalive /usuarios?ms=7000"],
    ),
    "c": Case(
        "rollouts, 20 keep-alive clients, 5 slots, 500 ms",
        ["20 keepalive /usuarios?ms=500"],
        values={"config": {"concurrency": 5}},
    ),
    "d": Case(
        "rollouts, 2 replicas, clients that watch the EndpointSlices",
        [QUICK, "5 close /usuarios?ms=50 20ms"],
        values={"replicas": 2},
        watch=True,
    ),
    "e": Case(
        "rollouts, 10 WebSockets and 10 event streams",
        ["10 ws /ws", "10 events /events", "5 keepalive /usuarios?ms=50"],
        values={"app": test_app()},
    ),
    "plain": Case(
        "rollouts, weir is an ordinary container", [QUICK], values={"weir": {"native": False}}
    ),
    "http": Case(
        "rollouts, the app's hook is GET /drain",
        [QUICK, "3 keepalive /usuarios?ms=7000"],
        values={"app": {"hook": "http"}, "config": {"admin": {"allow": ["private"]}}},
    ),
    "low": Case(
        "rollouts, ports below 1024, and probes of the app",
        [QUICK],
        values={"weir": {"port": 81}, "app": low_app()},
    ),
    "socket": Case("rollouts, the app listens on a Unix socket", [QUICK], values={"app": socket_app()}),
    "scale": Case("scaled from 1 to 3 to 1", [QUICK], scaling),
    "delete-1": Case("a pod deleted, 1 replica", [QUICK], deletions),
    "delete-slow-1": Case(
        "a pod deleted, 1 replica, the app starts in 6 s",
        [QUICK],
        deletions,
        {"app": test_app(6000), "config": {"drain": {"delay": "12s", "timeout": "30s"}}},
    ),
    "delete-2": Case("a pod deleted, 2 replicas", [QUICK], deletions, values={"replicas": 2}),
    "kill": Case("the app killed, it starts at once", [QUICK], crashes, {"app": test_app()}),
    "kill-slow-1": Case(
        "the app killed, it starts in 6 s, 1 replica", [QUICK], crashes, {"app": test_app(6000)}
    ),
    "kill-slow-2": Case(
        "the app killed, it starts in 6 s, 2 replicas",
        [QUICK],
        crashes,
        {"app": test_app(6000), "replicas": 2},
        bound=0.001,
    ),
}


@contextmanager
def load(release, case):
    where = ["-watch", release.full] if case.watch else ["-addr", release.address()]
    process = subprocess.Popen(
        [os.path.join(HERE, "in.sh"), "load", "-d", "2h", *where, *case.groups],
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


def hooks_that_failed(release, since):
    """What the kubelet tells of hooks of this release that did not end with status 0 since then."""
    events = kubectl("get", "events", "--field-selector", "reason=FailedPreStopHook", "-o", "json")
    return [
        e["message"]
        for e in json.loads(events)["items"]
        if e["involvedObject"]["name"].startswith(release.full + "-") and e["lastTimestamp"] >= since
    ]


def report(name, case, result, hooks, times, seconds):
    done = sum(group["done"] for group in result["groups"])
    failed = result["failed"]
    good = failed <= case.bound * (done + failed) and not hooks
    verdict = "PASS" if good else "FAIL"
    print(f"{verdict} {name}: {case.what}: {times} times in {seconds:.0f} s, "
          f"{failed} of {done + failed} failed")  # fmt: skip
    for group in result["groups"]:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(group["kinds"].items()))
        print(f"       {group['group']}: {kinds}; "
              f"p50 {group['p50_ms']:.0f}, p99 {group['p99_ms']:.0f}, max {group['max_ms']:.0f} ms")  # fmt: skip
    for failure in result["failures"] or []:
        print(f"       {failure['at']} {failure['group']}: {failure['what']} "
              f"after {failure['took_ms']:.0f} ms")  # fmt: skip
    for message in hooks:
        print(f"       a hook failed: {message}")
    sys.stdout.flush()
    return good


def run(name, times, gap):
    case = CASES[name]
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    release = Release(name, case.values)
    began = time.monotonic()
    with load(release, case) as result:
        case.action(release, times, gap)
    seconds = time.monotonic() - began
    good = report(name, case, result, hooks_that_failed(release, since), times, seconds)
    release.uninstall()
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rollouts", type=int, default=10, help="how often, in each case")
    parser.add_argument("--gap", type=float, help="seconds between them, instead of until pods have ended")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=" ".join(CASES))
    args = parser.parse_args()
    for name in args.cases:
        if name not in CASES:
            parser.error(f"no case {name}; there are {' '.join(CASES)}")
    good = [run(name, args.rollouts, args.gap) for name in args.cases or CASES]
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed")
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
