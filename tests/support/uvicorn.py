"""A real application under its server, as a process of its own."""

import contextlib
import subprocess
import sys

from .client import Client
from .waiting import until
from .weir import free_port


@contextlib.contextmanager
def running(command, port, folder, path="/pronto", within=40):
    """The port, once what the command starts answers GET of the path with 200 there."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def up():
        assert process.poll() is None, f"{command} ended with {process.returncode}"
        try:
            client = Client(("127.0.0.1", port), timeout=5)
        except OSError:
            return False
        status = client.ask("GET", path, "Connection: close").status
        client.fin()
        return status == 200

    try:
        until(up, command[0], within=within, every=0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def serving(folder, name, source, *options):
    """The port on which `app` of this Python source is served. It must answer GET /pronto with 200."""
    port = free_port()
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "uvicorn", f"{name}:app", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--log-level", "warning", *options]
    with running(command, port, folder):
        yield port
