"""Rollouts of the rendered chart under load, with local processes for its containers.

HELM, WEIR and BACKEND_DEMO name the programs; without one of them, nothing is played. WEIR_ROLLOUTS=50
is the long form, with the chart's own periods (`make rollouts`).
"""

import os
import threading
import time

import pytest

from helm_chart import HELM, WEIR, render, seconds, with_sets

from support.client import Client
from support.kubelet import Pod
from support.weir import free_port
from support.wire import ProtocolError

DEMO = os.environ.get("BACKEND_DEMO")
LONG = int(os.environ.get("WEIR_ROLLOUTS", "0"))
ROLLOUTS = LONG or 3
# The chart's periods add up the same way whatever they are.
SHORT = ["config.drain.delay=1s", "config.drain.timeout=4s", "config.queue.timeout=2s", "app.stopSeconds=1"]
LAG = 0.5  # seconds until a change of the endpoints has arrived everywhere
TARGET = "/usuarios?ms=20"

pytestmark = pytest.mark.skipif(not (HELM and WEIR and DEMO), reason="no helm, weir or demo app")


class Endpoints:
    """Where a new connection leads, as a Service chooses for each."""

    def __init__(self):
        self.port = None
        self.later = []

    def lead_to(self, port, after):
        timer = threading.Timer(after, setattr, (self, "port", port))
        timer.start()
        self.later.append(timer)

    def connect(self):
        return Client(("127.0.0.1", self.port), timeout=20)

    def stop(self):
        for timer in self.later:
            timer.join()


class Load:
    """Clients that keep their connections until a response says that it is the last, and try nothing
    again; and clients with a connection for each request, which try a refused connect again."""

    def __init__(self, endpoints, keepers=8, others=4):
        self.endpoints, self.done, self.failures = endpoints, 0, []
        self.over = threading.Event()
        jobs = [self.keep] * keepers + [self.open_anew] * others
        self.threads = [threading.Thread(target=job) for job in jobs]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _ask(self, client, *fields):
        """True if the connection may be used again."""
        answer = client.ask("GET", TARGET, *fields)
        if answer.status == 200:
            self.done += 1  # under the interpreter's lock
        else:
            self.failures.append(f"{answer.status} {answer.get('Weir-Reason')}")
        return not answer.has("Connection", "close")

    def keep(self):
        while not self.over.is_set():
            try:
                client = self.endpoints.connect()
                while self._ask(client) and not self.over.is_set():
                    pass
                client.fin()
            except (OSError, ProtocolError) as error:
                self.failures.append(f"kept: {error}")
                time.sleep(0.01)

    def open_anew(self):
        while not self.over.is_set():
            try:
                client = self.endpoints.connect()
            except ConnectionRefusedError:
                time.sleep(0.01)
                continue
            except OSError as error:
                self.failures.append(f"connect: {error}")
                continue
            try:
                self._ask(client, "Connection: close")
            except (OSError, ProtocolError) as error:
                self.failures.append(f"anew: {error}")
            client.fin()


class Deployment:
    """One pod at a time, and those that are terminating."""

    def __init__(self, folder, hooks=True):
        self.folder, self.with_hooks = folder, hooks
        self.endpoints, self.pods = Endpoints(), []

    def new_pod(self):
        port, admin, app = free_port(), free_port(), free_port()
        sets = [f"weir.port={port}", f"weir.adminPort={admin}", f"app.port={app}", "config.concurrency=4"]
        sets += ["app.env[0].name=BACKEND_LISTEN", f"app.env[0].value=127.0.0.1:{app}"]
        objects = render(*with_sets(sets + ([] if LONG else SHORT)))
        folder = self.folder / f"pod-{len(self.pods)}"
        folder.mkdir()
        programs = {"/weir": WEIR, "/backend-demo": DEMO}
        pod = Pod(objects, folder, programs, {"weir": "weir", "weir-backend-demo": "backend-demo"})
        if not self.with_hooks:
            for container in pod.containers:
                container.spec.pop("lifecycle", None)
        pod.port = port
        self.pods.append(pod)
        pod.start()
        return pod

    def begin(self):
        self.endpoints.port = self.new_pod().port

    def roll(self):
        old, new = self.pods[-1], self.new_pod()
        self.endpoints.lead_to(new.port, after=LAG)
        old.terminate()
        time.sleep(LAG + seconds(new.config()["drain"]["delay"]) + 0.5)

    def stop(self):
        self.endpoints.stop()
        for pod in self.pods:
            if pod.ending:
                pod.ended()
            pod.kill()


def play(folder, rollouts, hooks=True):
    deployment = Deployment(folder, hooks)
    try:
        deployment.begin()
        load = Load(deployment.endpoints)
        try:
            for _ in range(rollouts):
                deployment.roll()
        finally:
            load.stop()
    finally:
        deployment.stop()
    return deployment.pods[:-1], load


def test_rollouts_lose_no_request(tmp_path):
    pods, load = play(tmp_path, ROLLOUTS)
    print(f"{ROLLOUTS} rollouts, {load.done} requests, {len(load.failures)} failed")
    assert load.failures == []
    assert load.done > 100 * ROLLOUTS
    for pod in pods:
        log = pod.sidecars[0].text()
        assert pod.hooks == {"weir": 0, "app": None}, log
        assert pod.statuses() == {"weir": 0, "app": 0}, log
        assert not any(c.killed for c in pod.containers), log


def test_without_the_hooks_some_requests_are_lost(tmp_path):
    """So that the test above is known to see a loss."""
    _, load = play(tmp_path, 1, hooks=False)
    assert load.failures
