"""The programs in bench/ that load weir harder than Python can: a client, and an app that checks
the limit while it changes."""

import os
import re
import subprocess

from .weir import BINARY, clean_environment, free_port

FOLDER = os.path.join(os.path.dirname(BINARY), "bench")
HEAD = "GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n"


class Program:
    def __init__(self, name, *arguments):
        path = os.path.join(FOLDER, name)
        assert os.access(path, os.X_OK), f"{path} is not there: make {path}"
        self.process = subprocess.Popen(
            [path, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=clean_environment(),
        )

    def tell(self, command):
        self.process.stdin.write(command + "\n")

    def hear(self):
        line = self.process.stdout.readline()
        assert line, f"{self.process.args[0]} ended with {self.process.wait(10)}"
        return line.strip()

    def ask(self, command):
        self.tell(command)
        return self.hear()

    def stop(self):
        self.process.stdin.close()
        try:
            assert self.process.wait(10) == 0
        finally:
            self.process.kill()
            self.process.wait(10)


def numbers(line):
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}


class Gauge(Program):
    """An app that holds each request for some milliseconds."""

    def __init__(self, hold_ms):
        self.upstream = f"127.0.0.1:{free_port()}"
        super().__init__("gauge", self.upstream, hold_ms)
        assert self.hear().startswith("ready ")

    def allow(self, limit):
        assert self.ask(f"allow {limit}") == "ok"

    def fall(self, limit, held):
        assert self.ask(f"fall {limit} {held}") == "ok"

    def report(self):
        return numbers(self.ask("report"))


class Load(Program):
    """A closed loop: on each connection one request at a time."""

    def __init__(self, weir, connections, folder):
        head = os.path.join(folder, "head")
        with open(head, "w", encoding="ascii", newline="") as file:
            file.write(HEAD)
        super().__init__("client", f"127.0.0.1:{weir.port}", connections, head)
        assert self.hear() == "connected"

    def run(self, requests):
        """What it counted; it begins a connection's next request as soon as the last has ended."""
        self.tell(f"run {requests}")
        assert self.hear() == "sent"
        return numbers(self.hear())
