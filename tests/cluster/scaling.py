"""Cases: a HorizontalPodAutoscaler with metrics of weir, and an upgrade of the release meanwhile."""

import threading
import time

import monitoring
import resources
from cluster import Case, Release, load, until

BASE = "2 keepalive /usuarios?ms=200"
BURST = "26 close /usuarios?ms=500"


class Watch:
    """The numbers of pods that the Deployment asks for, once a second, until the block ends."""

    def __init__(self, release):
        self.release, self.seen, self.over = release, [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.wait(1):
            self.seen.append(self.release.replicas())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def steps(self):
        return [n for i, n in enumerate(self.seen) if i == 0 or n != self.seen[i - 1]]


def up_and_down(pods):
    """From 1 to that many pods under a burst of load, an upgrade in the middle, and back to 1."""

    def action(release, times, gap):
        release.expect(release.replicas() == 1, "the Deployment began with more than one pod")
        with Watch(release) as watch:
            with load(release, [BURST]):
                _, up = until(lambda: release.ready() == pods, 150, f"{pods} pods were ready")
                before = len(watch.seen)
                values = {**release.values, "podAnnotations": {"example.com/release": "2"}}
                release.install("upgrade", values)
                release.expect(release.replicas() == pods, f"the upgrade set {release.replicas()} replicas")
                during = watch.seen[before:]
                release.expect(set(during) == {pods}, f"during the upgrade, replicas were {during}")
            _, down = until(lambda: release.replicas() == 1, 240, "one pod was left")
            old = release.pods()
            time.sleep(8)
            release.expect(len(old) >= 1, "no pod is left")
        release.note(f"replicas {' -> '.join(map(str, watch.steps()))}; {pods} ready after {up:.0f} s, "
                     f"1 asked for {down:.0f} s after the burst; the upgrade left {pods}")  # fmt: skip

    return action


class Scaled(Release):
    """With the adapter."""

    def prepare(self):
        monitoring.adapter()


class Kedas(Release):
    """With KEDA."""

    def prepare(self):
        resources.define()
        monitoring.keda()


def autoscaled(pods, **kind):
    return {
        "config": {"concurrency": 10},
        "app": {"resources": {"requests": {"cpu": "10m"}}},
        "autoscaling": {
            "maxReplicas": pods,
            "behavior": {
                "scaleDown": {
                    "stabilizationWindowSeconds": 30,
                    "policies": [{"type": "Percent", "value": 50, "periodSeconds": 15}],
                }
            },
            **kind,
        },
    }


CASES = {
    "hpa": Case(
        "HPA on the metric of the pods: 1 to 4 to 1, and an upgrade at 4",
        [BASE],
        up_and_down(4),
        autoscaled(4, hpa={"enabled": True}),
        times=1,
        release=Scaled,
    ),
    "hpa-external": Case(
        "HPA on the sum of all pods: 1 to 4 to 1, and an upgrade at 4",
        [BASE],
        up_and_down(4),
        autoscaled(
            4,
            hpa={
                "enabled": True,
                "metric": {
                    "type": "External",
                    "name": "weir_demand",
                    "matchLabels": {"app": "hpa-external"},
                },
            }
        ),
        times=1,
        release=Scaled,
    ),
    "keda": Case(
        "KEDA: 1 to 3 to 1, and an upgrade at 3",
        [BASE],
        up_and_down(3),
        autoscaled(3, keda={"enabled": True, "serverAddress": monitoring.PROMETHEUS}),
        times=1,
        release=Kedas,
        needs=monitoring.KEDA,
    ),
}
