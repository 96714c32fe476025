"""Cases: weir is killed by SIGKILL and by the OOM killer, and its ConfigMap is changed."""

import json
import time

from cluster import QUICK, Case, kubectl, load, test_app, until

# ---- the end of weir -------------------------------------------------------------------------------


def kinds_of(loads):
    out = {}
    for group in (g for one in loads for g in one["groups"]):
        for kind, n in group["kinds"].items():
            out[kind] = out.get(kind, 0) + n
    return out


def restarts(containers):
    return {name: c["restartCount"] for name, c in containers.items()}


def again_ready(release, count):
    """Whether weir has been restarted that often, and its pod is ready."""
    pod = release.pod_objects()[0]
    weir = [c for c in pod["status"]["initContainerStatuses"] if c["name"] == "weir"][0]
    ready = [c for c in pod["status"]["conditions"] if c["type"] == "Ready"][0]["status"]
    return weir["restartCount"] == count and ready == "True" and weir


def judge_end(release, before, uid, reason, code):
    """weir alone was restarted, in the same pod."""
    after, same = release.containers()
    last = after["weir"]["lastState"].get("terminated", {})
    release.expect(same == uid, "the pod was replaced")
    release.expect(
        restarts(after) == {**restarts(before), "weir": before["weir"]["restartCount"] + 1},
        f"restarts were {restarts(before)} and are {restarts(after)}",
    )
    ended = (last.get("reason"), last.get("exitCode"))
    release.expect(ended == (reason, code), f"weir ended with {ended}")


def figures(loads):
    out = []
    for group in loads[-1]["groups"]:
        bad = {k: n for k, n in group["kinds"].items() if k != "200"}
        words = ", ".join(f"{n} {kind}" for kind, n in sorted(bad.items())) or "no failure"
        out.append(f"{group['group']}: {words}, within {group['failing_ms'] / 1000:.2f} s")
    return "; ".join(out)


def weir_killed(groups, watch=False):
    def action(release, times, gap):
        for n in range(times):
            if n > 0:
                release.gone(release.restart(), None)  # the next restart of one container is delayed
            before, uid = release.containers()
            with load(release, groups, watch):
                time.sleep(2)
                release.kill("weir")
                count = before["weir"]["restartCount"] + 1
                _, took = until(lambda: again_ready(release, count), 60, "weir was ready again", 0.1)
                time.sleep(3)
            judge_end(release, before, uid, "Error", 137)
            release.note(f"ready again after {took:.1f} s. {figures(release.loads)}")

    return action


def inside_twice(release, times, gap):
    """The app continues with the requests of a weir that was killed, of which the new weir does not know."""
    before, _ = release.containers()
    with load(release, ["20 keepalive /usuarios?ms=7000"]):
        time.sleep(2)
        release.kill("weir")
        count = before["weir"]["restartCount"] + 1
        until(lambda: again_ready(release, count), 60, "weir was ready again", 0.1)
        time.sleep(8)
    most = release.most_inside()
    release.expect(most <= 10, f"{most} requests were inside the app at once")
    release.note(f"limit 5; at most {most} requests inside the app at once")


def out_of_memory(release, times, gap):
    """Uploads that wait for a slot. Their clients leave when they fail, so weir is killed only once."""
    before, uid = release.containers()
    count = before["weir"]["restartCount"] + 1
    with load(release, ["5 keepalive /usuarios?ms=50", "600 upload /usuarios?ms=3000"]):
        until(lambda: release.containers()[0]["weir"]["restartCount"] >= count, 60,
              "weir was OOM-killed", 0.1)  # fmt: skip
        _, took = until(lambda: again_ready(release, count), 60, "weir was ready again", 0.1)
        time.sleep(3)
    judge_end(release, before, uid, "OOMKilled", 137)
    release.note(f"ready {took:.1f} s after it was started again. {figures(release.loads)}")


# ---- a changed ConfigMap ---------------------------------------------------------------------------


def change_config(release, values):
    """Installs the changed values, and waits until weir has applied them. Returns the seconds."""
    release.install("upgrade", values)
    limit = values["config"]["concurrency"]
    return until(lambda: release.weir_status()["limit"] == limit, 120,
                 f"the limit became {limit}")[1]  # fmt: skip


def config_changed(release, times, gap):
    before, uid = release.containers()
    for limit in (7, 20)[: times or 2]:
        values = {"config": {**CASES["configmap"].values["config"], "concurrency": limit}}
        took = change_config(release, values)
        release.note(f"limit {limit} in force {took:.0f} s after the upgrade")
    bad = json.dumps({"data": {"weir.json": "{\"concurrency\": \"many\"}"}})
    kubectl("patch", "configmap", release.full, "--type=merge", "-p", bad)
    until(lambda: "many" in kubectl("logs", release.pods()[0], "-c", "weir", "--tail=20"), 120,
          "weir refused a wrong file")  # fmt: skip
    release.expect(release.weir_status()["limit"] == 20, "a wrong file changed the limit")
    after, same = release.containers()
    release.expect(same == uid, "the pod was replaced")
    release.expect(restarts(after) == restarts(before), f"restarts are {restarts(after)}")


# ---- the cases -------------------------------------------------------------------------------------

BOTH = [QUICK, "3 close /usuarios?ms=50 10ms"]

CASES = {
    "sidecar-kill": Case("weir killed, 1 replica", [], weir_killed(BOTH), bound=1, times=3),
    "sidecar-kill-2": Case(
        "weir of one pod killed, 2 replicas", [], weir_killed(BOTH), {"replicas": 2}, bound=1, times=3
    ),
    "sidecar-kill-inside": Case(
        "weir killed, requests that take 7 s",
        [],
        inside_twice,
        {"config": {"concurrency": 5}},
        bound=1,
        times=1,
    ),
    "sidecar-oom": Case(
        "weir OOM-killed: a memory limit far below what it may buffer",
        [],
        out_of_memory,
        {
            "app": test_app(),
            "config": {"queue": {"length": 1000}},
            "weir": {"resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "20Mi"}}},
        },
        bound=1,
        times=1,
    ),
    "configmap": Case(
        "a changed ConfigMap, taken up by the running weir",
        [QUICK],
        config_changed,
        {"config": {"watch": True, "concurrency": 80}},
        times=2,
    ),
}
