"""The maximum memory of weir with a configuration: the sum in docs/operations.md."""

import json
import re
import subprocess

from .weir import BINARY, clean_environment

KIB, MIB = 1 << 10, 1 << 20
A_THREAD = 8 * MIB  # its free blocks, and its ring of the access log
UNITS = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": 1 << 30}


def size(text):
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]+)", text).groups()
    return int(number) * UNITS[unit]


def effective(*arguments):
    """All options, as weir reads them."""
    out = subprocess.run(
        [BINARY, "config", "print", "--json", *arguments],
        capture_output=True, text=True, check=True, env={**clean_environment(), "WEIR_UPSTREAM": "127.0.0.1:1"},
    )
    return json.loads(out.stdout)


def of_a_client(client):
    return max(40 * KIB, size(client["max_head"]) + 12 * KIB)


def of_sockets(config):
    """The bytes that the kernel may hold for clients, if they are bounded."""
    client = config["client"]
    buffers = ((client["send_buffer"], 64 * KIB), (client["receive_buffer"], 0))
    return client["max_connections"] * sum(size(n) + more for n, more in buffers if n != "system")


def inside(config):
    """Connections to the app."""
    clients, limit = config["client"]["max_connections"], config["concurrency"]
    return clients if limit == "unlimited" else limit


def of_requests(config):
    """The maximum that clients can make weir hold."""
    return (
        size(config["queue"]["max_bytes"])
        + size(config["buffers"]["budget"])
        + config["client"]["max_connections"] * of_a_client(config["client"])
        + inside(config) * (size(config["upstream"]["max_head"]) + 16 * KIB)
    )


def of_the_program(config):
    return 16 * MIB + config["threads"] * A_THREAD
