"""The programs that stand between the clients and the app, each with a queue as its users set it up."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import pathlib
import re
import subprocess
from collections.abc import Callable

from programs import fill_in

HAND_TUNED = "300ms"  # for clients of 0.5 s and holds of 0.1 s: the rest, less a little


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a program runs, and what its queue is to be."""

    weir: pathlib.Path
    directory: pathlib.Path
    app: int
    port: int
    admin: int
    slots: int
    queue_length: int
    queue_timeout: str


def weir(place: Place, order: str) -> list[str]:
    flags = {
        "upstream": f"127.0.0.1:{place.app}",
        "listen": f"127.0.0.1:{place.port}",
        "admin-listen": f"127.0.0.1:{place.admin}",
        "admin-writable": "true",
        "concurrency": place.slots,
        "queue-order": order,
        "queue-length": place.queue_length,
        "queue-timeout": place.queue_timeout,
        "client-max-connections": 18000,
        "startup-probe": "none",
        "drain-delay": "0s",
        "drain-timeout": "100ms",
    }
    argv = [str(place.weir), "serve"]
    for flag, value in flags.items():
        argv += [f"--{flag}", str(value)]
    return argv


def haproxy(place: Place, queue_timeout: str) -> list[str]:
    config = fill_in(
        "overload/haproxy.cfg",
        place.directory,
        listen=f"127.0.0.1:{place.port}",
        upstream=f"127.0.0.1:{place.app}",
        limit=place.slots,
        queue_timeout=queue_timeout,
    )
    return ["haproxy", "-db", "-f", str(config)]


def nginx(place: Place) -> list[str]:
    config = fill_in(
        "overload/nginx.conf",
        place.directory,
        listen=f"127.0.0.1:{place.port}",
        upstream=f"127.0.0.1:{place.app}",
        directory=place.directory,
        user="user root;" if os.geteuid() == 0 else "",
    )
    return ["nginx", "-e", "stderr", "-p", str(place.directory), "-c", str(config)]


@dataclasses.dataclass(frozen=True)
class Contender:
    key: str
    title: str
    command: Callable[[Place], list[str]]
    is_weir: bool = False


CONTENDERS = {
    c.key: c
    for c in (
        Contender("adaptive", "weir", lambda p: weir(p, "adaptive"), True),
        Contender("fifo", "weir, `queue.order` fifo", lambda p: weir(p, "fifo"), True),
        Contender("haproxy", "HAProxy `maxconn`", lambda p: haproxy(p, p.queue_timeout)),
        Contender(
            "tuned",
            f"HAProxy `maxconn`, `timeout queue` {HAND_TUNED}",
            lambda p: haproxy(p, HAND_TUNED),
        ),
        Contender("nginx", "nginx", nginx),
    )
}
COUNTED = (
    "weir_queue_overloads_total",
    "weir_queue_overload_seconds_total",
    "weir_queue_overtaken_total",
    "weir_queue_allowance_seconds",
    "weir_client_patience_seconds",
    "weir_requests_rejected_total",
    "weir_requests_wasted_total",
)
WEIRS = ("adaptive", "fifo")
EVERYBODY = tuple(CONTENDERS)


def first_line(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def versions(binary: pathlib.Path) -> dict[str, str]:
    said = {
        "weir": first_line([str(binary), "version"]),
        "HAProxy": first_line(["haproxy", "-v"]),
        "nginx": first_line(["nginx", "-v"]),
    }
    found = {name: re.search(r"\d+\.\d+\.\d+[^\s,]*", line) for name, line in said.items()}
    return {name: match.group() if match else said[name] for name, match in found.items()}


def change(admin: int, key: str, value: str) -> None:
    """One option of a running weir."""
    body: object = value
    for part in reversed(key.split(".")):
        body = {part: body}
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=5)
    connection.request("PATCH", "/config", json.dumps(body))
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != 200:
        raise OSError(f"weir did not take {key}={value}: {text.strip()}")


def metrics(admin: int) -> dict[str, float]:
    """What weir itself counted of its overloads."""
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=5)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found = re.findall(rf"^({'|'.join(COUNTED)})(\S*) (\S+)$", text, re.M)
    return {name + labels.replace('"', ""): float(v) for name, labels, v in found if float(v) > 0}
