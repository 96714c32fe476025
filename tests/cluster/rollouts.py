"""Cases: rollouts, scaling by hand, deleted pods, and crashes of the app."""

import time

from cluster import FEW, QUICK, Case, kubectl, rollouts, test_app


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


def low_app():
    probe = {"httpGet": {"path": "/ping"}, "periodSeconds": 1}
    env = [{"name": "BACKEND_LISTEN", "value": "0.0.0.0:80"}]
    probes = {f"{kind}Probe": probe for kind in ("startup", "readiness", "liveness")}
    return {"port": 80, "env": env, "resources": FEW, **probes}


def socket_app():
    path = "/run/app/app.sock"
    env = [{"name": "BACKEND_LISTEN", "value": f"unix:{path}"}]
    return {"socket": path, "env": env, "resources": FEW}


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
