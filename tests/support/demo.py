"""The demo backend, started and asked."""

import os
import subprocess

from . import metrics
from .client import Client
from .waiting import until
from .weir import SANITIZER, clean_environment, free_port

DEMO = os.environ.get("BACKEND_DEMO", "build/backend-demo")


class Demo:
    def __init__(self, folder, port=None, **environment):
        self.port = port or free_port()
        self.upstream = f"127.0.0.1:{self.port}"
        self.log = open(os.path.join(folder, "demo.log"), "w+b")
        env = {"BACKEND_LISTEN": self.upstream, **environment}
        self.process = subprocess.Popen(
            [DEMO], env={**clean_environment(), **env}, stdout=subprocess.DEVNULL, stderr=self.log
        )
        until(self.is_up, "the demo backend", within=10)

    def is_up(self):
        assert self.process.poll() is None, "the demo backend ended"
        try:
            return self.get("/ping").status == 200
        except OSError:
            return False

    def get(self, path):
        client = Client(("127.0.0.1", self.port), timeout=5)
        try:
            return client.ask("GET", path, "Connection: close")
        finally:
            client.fin()

    def metrics(self):
        return metrics.Metrics(self.get("/metrics").body.decode())

    def most_at_once(self, handler):
        return self.metrics().one("backend_concurrent_max", handler=handler)

    def stop(self):
        self.process.terminate()
        try:
            code = self.process.wait(15)
        finally:
            self.process.kill()
            self.process.wait(5)
        self.log.seek(0)
        text = self.log.read().decode(errors="replace")
        self.log.close()
        assert code == 0 and not SANITIZER.search(text), text
