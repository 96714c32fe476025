"""Clients that take all the memory that they can: weir stays within the sum of docs/operations.md.

WEIR_MEMORY=1 (make memory-check) is the full form: the chart's defaults and other configurations,
with memory as the kernel accounts it to a container, and everything else that takes memory at once.
"""

import contextlib
import json
import os
import subprocess
import threading

import pytest

from support import bounds, cgroup
from support.hoard import ROUNDS, SEND_BUFFER, App, Hoard
from support.weir import Weir

MIB = 1 << 20
FULL = bool(os.environ.get("WEIR_MEMORY"))
LONG = "300s"
PATIENT = {
    "client_head_timeout": LONG,
    "client_body_timeout": LONG,
    "client_send_timeout": LONG,
    "client_stall_timeout": LONG,
    "queue_timeout": LONG,
    "upstream_first_byte_timeout": LONG,
    "upstream_idle_timeout": LONG,
    "client_send_buffer": SEND_BUFFER,
}


def option_flags(options):
    return [f"--{name.replace('_', '-')}={value}" for name, value in {**PATIENT, **options}.items()]


# ---- each run ------------------------------------------------------------------------------------

SMALL = {
    "client_max_connections": 400,
    "concurrency": 8,
    "queue_length": 60,
    "queue_max_bytes": "4MiB",
    "buffers_budget": "4MiB",
}


def test_what_clients_can_take_is_bounded_by_the_documented_sum():
    """What weir keeps of a request, for whatever reason, is part of it. Kernel memory is not seen."""
    config = bounds.effective(*option_flags(SMALL))
    app = App()
    weir = Weir(app.upstream, **PATIENT, **SMALL)
    try:
        idle = weir.rss()
        if idle > 12 * MIB:
            pytest.skip("a sanitizer has memory of its own")
        for steps in ROUNDS:
            hoard = Hoard(weir, 400, 8, 30, bounds.size(config["client"]["max_head"]))
            for step in steps:
                step(hoard)
            hoard.rest()
            hoard.leave()
            app.let_go()
        took = weir.peak_rss() - idle
        most = bounds.of_requests(config)
        print(f"{took / MIB:.1f} MiB of {most / MIB:.1f} MiB")
        assert most / 3 < took < most
    finally:
        weir.kill()
        app.stop()
