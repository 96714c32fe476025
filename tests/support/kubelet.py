"""Plays the kubelet for a pod of the chart: its containers are processes, its hooks and probes are
carried out, in the order and with the periods of the rendered manifest.

What a kubelet does when a pod is terminated (kuberuntime_container.go, "Sidecar containers" in the
Kubernetes documentation): the hooks of all containers start at once. An ordinary container gets SIGTERM
after its own hook; a sidecar after its own hook and when no ordinary container is left. What has not
ended when the grace period is over gets SIGKILL.
"""

import http.client
import json
import os
import signal
import subprocess
import threading
import time

from .waiting import until
from .weir import clean_environment

START = 30.0  # seconds in which a container must have started


class Container:
    def __init__(self, spec, pod):
        self.spec, self.pod, self.name = spec, pod, spec["name"]
        self.process = None
        self.killed = False

    def command(self, words):
        """With what the image has at its root, and the mounted files, where they are here."""
        program, *args = [self.pod.here(self, word) for word in words]
        return [self.pod.programs.get(program, program), *args]

    def environment(self):
        env = {e["name"]: self.pod.here(self, e["value"]) for e in self.spec.get("env", [])}
        return {**clean_environment(), **env}

    def start(self):
        image = self.spec["image"].partition(":")[0]
        words = self.spec.get("command") or ["/" + self.pod.entrypoints[image]]
        self.log = open(os.path.join(self.pod.folder, self.name + ".log"), "w+b")
        self.process = subprocess.Popen(
            self.command([*words, *self.spec.get("args", [])]),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )

    def text(self):
        return os.pread(self.log.fileno(), 1 << 20, 0).decode(errors="replace")

    # ---- probes ----------------------------------------------------------------------------------

    def passes(self, probe):
        """One try."""
        spec = self.spec[probe]
        assert self.process.poll() is None, f"{self.name} ended: {self.text()}"
        client = http.client.HTTPConnection(
            "127.0.0.1", spec["httpGet"]["port"], timeout=spec["timeoutSeconds"]
        )
        try:
            client.request("GET", spec["httpGet"]["path"], headers={"Connection": "close"})
            return 200 <= client.getresponse().status < 400
        except OSError:
            return False
        finally:
            client.close()

    def await_probe(self, probe):
        if probe in self.spec:
            every = self.spec[probe]["periodSeconds"]
            until(lambda: self.passes(probe), f"{probe} of {self.name}", START, every)

    # ---- the end ---------------------------------------------------------------------------------

    def pre_stop(self, grace):
        """Returns when the hook has ended. Its exit status, or None without an exec hook."""
        hook = self.spec.get("lifecycle", {}).get("preStop", {})
        assert set(hook) <= {"sleep", "exec"}, f"a hook that is not played here: {hook}"
        if "sleep" in hook:
            time.sleep(min(hook["sleep"]["seconds"], grace))
        if "exec" not in hook:
            return None
        process = subprocess.Popen(
            self.command(hook["exec"]["command"]),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        try:
            return process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def stop(self, seconds):
        """SIGTERM, and SIGKILL after so many seconds."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(max(seconds, 2))  # a kubelet gives at least two
        except subprocess.TimeoutExpired:
            self.killed = True
            self.kill()

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Pod:
    """`objects` are the rendered ones by kind. `programs` says where the files of the images are here:
    {"/weir": "build/weir"}; `entrypoints`, which program an image runs: {"weir": "weir"}."""

    def __init__(self, objects, folder, programs, entrypoints):
        self.spec = objects["Deployment"]["spec"]["template"]["spec"]
        self.folder, self.programs, self.entrypoints = str(folder), programs, entrypoints
        self.grace = self.spec["terminationGracePeriodSeconds"]
        sidecars = self.spec.get("initContainers", [])
        assert all(c.get("restartPolicy") == "Always" for c in sidecars)
        self.sidecars = [Container(c, self) for c in sidecars]
        self.apps = [Container(c, self) for c in self.spec["containers"]]
        self.volumes = {}
        for volume in self.spec.get("volumes", []):
            self.volumes[volume["name"]] = self._folder_of(volume, objects)
        self.ending = None
        self.hooks = {}

    def _folder_of(self, volume, objects):
        folder = os.path.join(self.folder, volume["name"])
        os.makedirs(folder)
        if "configMap" in volume:
            config = objects["ConfigMap"]
            assert config["metadata"]["name"] == volume["configMap"]["name"]
            for name, text in config["data"].items():
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(text)
        return folder

    def here(self, container, text):
        for mount in container.spec.get("volumeMounts", []):
            text = text.replace(mount["mountPath"] + "/", self.volumes[mount["name"]] + "/")
        return text

    @property
    def containers(self):
        return [*self.sidecars, *self.apps]

    def start(self):
        """Returns when the pod is ready: sidecars first, each when the one before has started."""
        for sidecar in self.sidecars:
            sidecar.start()
            sidecar.await_probe("startupProbe")
        for app in self.apps:
            app.start()
        for container in self.containers:
            container.await_probe("readinessProbe")

    # ---- the end ---------------------------------------------------------------------------------

    def terminate(self):
        """Begins. `ended()` waits for it."""
        self.deadline = time.monotonic() + self.grace
        apps = [threading.Thread(target=self._end, args=(c, ())) for c in self.apps]
        sidecars = [threading.Thread(target=self._end, args=(c, apps)) for c in self.sidecars]
        self.ending = [*apps, *sidecars]
        for thread in self.ending:
            thread.start()

    def _left(self):
        return max(0.0, self.deadline - time.monotonic())

    def _end(self, container, after):
        self.hooks[container.name] = container.pre_stop(self._left())
        for thread in after:
            thread.join(self._left())
        container.stop(self._left())

    def ended(self):
        for thread in self.ending:
            thread.join(self.grace + 10)
            assert not thread.is_alive(), "a pod outlived its grace period"

    def kill(self):
        for container in self.containers:
            container.kill()

    def statuses(self):
        return {c.name: c.process.returncode for c in self.containers}

    def config(self):
        (weir,) = self.sidecars
        with open(weir.environment()["WEIR_CONFIG"], encoding="utf-8") as file:
            return json.load(file)
