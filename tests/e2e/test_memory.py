"""Clients that make weir use as much memory as they can: it stays within the sum of docs/operations.md.

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
from support.waiting import until
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


class Small:
    """A weir with small bounds, and its memory when it was idle."""

    def __init__(self):
        self.app = App()
        self.weir = Weir(self.app.upstream, **PATIENT, **SMALL)
        self.idle = self.weir.rss()

    def __enter__(self):
        if self.idle > 12 * MIB:
            self.__exit__()
            pytest.skip("a sanitizer has memory of its own")
        return self

    def __exit__(self, *_):
        self.weir.kill()
        self.app.stop()

    def hoard(self, config):
        return Hoard(self.weir, 400, 8, 30, bounds.size(config["client"]["max_head"]))


def test_the_memory_that_clients_can_take_is_within_the_documented_sum():
    """The sum includes everything that weir keeps of a request. Kernel memory is not measured."""
    config = bounds.effective(*option_flags(SMALL))
    most = bounds.of_requests(config) + bounds.A_THREAD
    with Small() as small:
        for steps in ROUNDS:
            hoard = small.hoard(config)
            for step in steps:
                step(hoard)
            hoard.rest()
            hoard.leave()
            small.app.let_go()
        took = small.weir.peak_rss() - small.idle
    print(f"{took / MIB:.1f} MiB of {most / MIB:.1f} MiB")
    assert most / 3 < took < most


def test_a_client_that_reads_slowly_holds_little_of_its_request():
    """It has sent a head of 32 KiB and begun the next; the app has sent its response."""
    config = bounds.effective(*option_flags(SMALL))
    with Small() as small:
        hoard = small.hoard(config)
        hoard.readers()
        hoard.rest()
        took = small.weir.rss() - small.idle
        print(f"{took / len(hoard.socks) / 1024:.1f} KiB each")
        assert took < len(hoard.socks) * 32 * bounds.KIB


# ---- make memory-check -----------------------------------------------------------------------------

# Settings that differ from the chart's defaults. Buffers of sockets are bounded in all of them, so that a
# response that is not read does not vanish in the kernel; the sum is compared without them.
CONFIGURATIONS = {
    "defaults": {},
    "threads: 4": {"threads": 4},
    "small": {
        "client_max_connections": 512,
        "concurrency": 8,
        "queue_max_bytes": "8MiB",
        "buffers_budget": "8MiB",
        "client_max_head": "8KiB",
        "upstream_max_head": "16KiB",
    },
    "many clients, a long queue": {
        "client_max_connections": 12_000,
        "queue_length": 4000,
        "queue_max_bytes": "256MiB",
    },
    "the largest heads": {"client_max_head": "48KiB"},
    "sockets bounded": {"client_send_buffer": "64KiB", "client_receive_buffer": "64KiB"},
}


class Pages(threading.Thread):
    """Asks the admin port for all its pages, again and again."""

    def __init__(self, weir):
        super().__init__(daemon=True)
        self.weir, self.ended, self.answers = weir, threading.Event(), 0

    def run(self):
        while not self.ended.is_set():
            for path in ("/metrics", "/history", "/status", "/"):
                with contextlib.suppress(OSError, AssertionError):
                    self.answers += self.weir.admin_get(path).status == 200

    def stop(self):
        self.ended.set()
        self.join(30)


def orphans(hoard):
    """The clients whose requests the app works on leave, and others take their places in the queue."""
    for sock in hoard.socks[: hoard.concurrency]:
        sock.close()


def reload(weir, file, timeout):
    """The requests that are there keep the configuration before."""
    with open(file, "w", encoding="ascii") as out:
        json.dump({"health": {"timeout": timeout}}, out)
    done = weir.metrics().total("weir_config_reloads_total", result="applied")
    weir.process.send_signal(1)
    until(lambda: weir.metrics().total("weir_config_reloads_total", result="applied") > done, within=60)


@pytest.mark.skipif(not FULL, reason="make memory-check")
@pytest.mark.seconds(300)
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_all_bounds_at_once(name, tmp_path):
    options = {"concurrency": 80, "log_access": "all", **CONFIGURATIONS[name]}
    config = bounds.effective(*option_flags(options))
    group = cgroup.make()
    app = App(bounds.size(config["upstream"]["max_head"]))
    file = tmp_path / "weir.json"
    file.write_text("{}")
    weir = Weir(
        app.upstream,
        run_by=group.run_by if group else (),
        stdout=subprocess.PIPE,  # nobody reads the access log: its rings are full
        config=file,
        **{**PATIENT, **options},
    )
    pages = [Pages(weir) for _ in range(4)]
    try:
        for page in pages:
            page.start()
        for number, steps in enumerate(2 * ROUNDS):
            hoard = Hoard(
                weir,
                config["client"]["max_connections"],
                config["concurrency"],
                min(config["queue"]["length"], bounds.size(config["queue"]["max_bytes"]) // (128 << 10)),
                bounds.size(config["client"]["max_head"]),
            )
            for step in steps:
                step(hoard)
            hoard.rest()
            reload(weir, file, f"{number + 1}s")
            orphans(hoard)
            hoard.rest()
            hoard.leave()
            app.let_go()
        judge(name, config, weir, group)
        assert all(page.answers > 4 for page in pages)
    finally:
        for page in pages:
            page.stop()
        weir.kill()
        weir.process.stdout.close()
        app.stop()
        if group:
            group.remove()


def judge(name, config, weir, group):
    most = bounds.of_requests(config) + bounds.of_the_program(config)
    peak = group.peak() if group else weir.peak_rss()
    sockets = group.sockets() if group else 0
    print(
        f"\n{name}: the sum {most / MIB:.0f} MiB, at most {peak / MIB:.0f} MiB in the "
        f"{'cgroup' if group else 'resident set'} (resident {weir.peak_rss() / MIB:.0f} MiB); "
        f"data in sockets {sockets / MIB:.0f} MiB"
    )
    assert peak <= most
