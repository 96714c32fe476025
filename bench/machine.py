"""The machine that a bench runs on."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import platform
import resource

from processes import BenchError


def describe(versions: dict[str, str], load: float) -> dict:
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    fields = dict(
        (part.strip() for part in line.split(":", 1)) for line in cpu.splitlines() if ":" in line
    )
    congestion = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "cpu": fields.get("model name", platform.machine()),
        "cores": os.cpu_count(),
        "virtual": "hypervisor" in fields.get("flags", "").split(),
        "kernel": f"{platform.system()} {platform.release()}",
        "congestion": congestion,
        "load": f"{load:.2f}",
        "versions": versions,
    }


def raise_file_limit(wanted: int, needed: int) -> None:
    """Two descriptors a connection, where the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < needed:
        raise BenchError(f"only {hard} files may be open; the bench needs {needed}")
