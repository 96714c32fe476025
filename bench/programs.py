"""The programs under test, each started the same way: one worker, one core, one app behind it."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Iterator

from processes import Process, free_port, wait_until_listening

HERE = pathlib.Path(__file__).resolve().parent

LIMIT = 80  # requests in the app at once, for those that can limit
CONNECTIONS = 12000  # more than the bench ever opens


@dataclasses.dataclass(frozen=True)
class Tools:
    """Where the binaries are, and a directory for what they write."""

    weir: pathlib.Path
    helpers: pathlib.Path
    scratch: pathlib.Path
    flags: tuple[str, ...] = ()  # more of weir's

    def helper(self, name: str) -> str:
        return str(self.helpers / name)

    def log(self, name: str) -> pathlib.Path:
        return self.scratch / f"{name}.log"


def fill_in(template: str, into: pathlib.Path, **values: object) -> pathlib.Path:
    """A configuration from bench/ with its @NAMES@ replaced."""
    text = (HERE / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name.upper()}@", str(value))
    path = into / pathlib.Path(template).name
    path.write_text(text)
    return path


def weir_command(tools: Tools, port: int, upstream: str, directory: pathlib.Path) -> list[str]:
    flags = {
        "upstream": upstream,
        "listen": f"127.0.0.1:{port}",
        "admin-listen": f"127.0.0.1:{free_port()}",
        "concurrency": LIMIT,
        "queue-length": 20000,
        "queue-timeout": "300s",
        "client-max-connections": CONNECTIONS,
        "startup-probe": "none",
        "drain-delay": "0s",
        "drain-timeout": "1s",
    }
    argv = [str(tools.weir), "serve"]
    for flag, value in flags.items():
        argv += [f"--{flag}", str(value)]
    return [*argv, *tools.flags]


def haproxy_command(tools: Tools, port: int, upstream: str, directory: pathlib.Path) -> list[str]:
    config = fill_in(
        "haproxy.cfg",
        directory,
        listen=f"127.0.0.1:{port}",
        upstream=upstream.replace("unix:", "unix@"),
        limit=LIMIT,
        connections=CONNECTIONS,
    )
    return ["haproxy", "-db", "-f", str(config)]


def nginx_command(tools: Tools, port: int, upstream: str, directory: pathlib.Path) -> list[str]:
    # Workers of a master that runs as root become "nobody", who may not open our socket.
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    config = fill_in(
        "nginx.conf",
        directory,
        listen=f"127.0.0.1:{port}",
        upstream=upstream,
        connections=CONNECTIONS,
        directory=directory,
        user=user,
    )
    return ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(config)]


def relay_command(tools: Tools, port: int, upstream: str, directory: pathlib.Path) -> list[str]:
    return [tools.helper("relay"), f"127.0.0.1:{port}", upstream]


COMMANDS = {
    "weir": weir_command,
    "haproxy": haproxy_command,
    "nginx": nginx_command,
    "relay": relay_command,
}


@contextlib.contextmanager
def running(
    tools: Tools,
    name: str,
    upstream: str,
    cores: set[int],
    env: dict[str, str] | None = None,
) -> Iterator[tuple[Process, str]]:
    """The started program and the address its clients use."""
    port = free_port()
    directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=tools.scratch))
    argv = COMMANDS[name](tools, port, upstream, directory)
    with Process(argv, cores, tools.log(name), env) as process:
        wait_until_listening(process, port)
        yield process, f"127.0.0.1:{port}"


def version_of(tools: Tools, name: str) -> str:
    argv = {
        "weir": [str(tools.weir), "version"],
        "haproxy": ["haproxy", "-v"],
        "nginx": ["nginx", "-v"],
    }[name]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    first = (done.stdout + done.stderr).strip().splitlines()[0]
    number = re.search(r"\d+\.\d+\.\d+[^\s,]*", first)
    return number.group() if number else first
