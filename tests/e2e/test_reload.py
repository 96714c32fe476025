"""The configuration changes while weir is running: by SIGHUP, and by a file that is watched."""

import json
import os
import random
import shutil
import signal
import threading
import time

import pytest

from support.heavy import Gauge, Load
from support.seed import SEED
from support.waiting import until
from support.world import scaled

LONG = int(os.environ.get("WEIR_RELOADS", "0"))
RELOADS = LONG or scaled(20, least=5)


def write(path, text):
    """As an editor or a script replaces a file."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text if isinstance(text, str) else json.dumps(text))
    os.rename(path + ".new", path)


def from_file(world, upstream, config, **options):
    path = world.path("weir.json")
    write(path, config)
    return path, world.weir(upstream, config=path, concurrency=None, drain_timeout=None, **options)


def reloads(weir, result):
    return weir.metrics().one("weir_config_reloads_total", result=result)


def wait_reloads(weir, n, result="applied"):
    until(lambda: reloads(weir, result) == n, f"{n} reloads {result}")


def config_of(weir):
    return json.loads(weir.admin_get("/config").body)


# ---- under load --------------------------------------------------------------------------------


def random_config(dice):
    """A limit, and other keys that are live. None of them lets a request of this load fail."""
    limit = dice.choice([1, 2, 3, 8, 40, 200, dice.randint(1, 200)])
    return {
        "concurrency": limit,
        "upstream": {
            "keepalive_timeout": dice.choice(["50ms", "1s", "4s"]),
            "max_connections": dice.choice(["limit", "limit", dice.randint(1, limit)]),
            "max_headers": dice.choice([16, 256]),
            "idle_timeout": dice.choice(["60s", "300s"]),
        },
        "queue": {"length": dice.choice([1000, 5000]), "timeout": dice.choice(["60s", "120s"])},
        "client": {
            "max_connections": dice.choice([1000, 4096]),
            "keepalive_timeout": dice.choice(["60s", "75s"]),
            "max_head": dice.choice(["1KiB", "32KiB"]),
            "half_close": dice.choice(["abort", "allow"]),
        },
        "buffers": {"budget": dice.choice(["1MiB", "64MiB"]), "response": "64KiB"},
        "headers": {
            "request_id": dice.choice(["X-Request-Id", "X-Other-Id", ""]),
            "server_timing": dice.choice([True, False]),
            "trusted": dice.choice([["private"], [], ["loopback", "10.0.0.0/8"]]),
        },
        "drain": {"timeout": dice.choice(["5s", "10s"])},
        "log": {"level": dice.choice(["info", "warning"])},
    }


def limit_of(config):
    connections = config["upstream"]["max_connections"]
    return config["concurrency"] if connections == "limit" else connections


class Background(threading.Thread):
    """Load until it is told to end; what it counted is in `counts`."""

    def __init__(self, load, requests):
        super().__init__()
        self.load, self.requests = load, requests
        self.over = False
        self.counts = {"answered": 0, "errors": 0}
        self.start()

    def run(self):
        while not self.over and self.counts["errors"] == 0:
            for name, value in self.load.run(self.requests).items():
                if name in self.counts:
                    self.counts[name] += value

    def end(self):
        self.over = True
        self.join(60)
        return self.counts


@pytest.mark.race
@pytest.mark.seconds(600 if LONG else 60)
@pytest.mark.parametrize("threads", [1, 2])
def test_limits_change_under_load_and_no_request_fails(world, threads):
    dice = random.Random(f"{SEED} {threads}")
    gauge = Gauge(hold_ms=1)
    limit = 80
    gauge.allow(limit)
    path, weir = from_file(
        world, gauge.upstream, {"concurrency": limit}, threads=threads, queue_length=5000
    )
    load = Load(weir, 256, world.folder)
    background = Background(load, 2000)
    try:
        for n in range(1, RELOADS + 1):
            config = random_config(dice)
            new = limit_of(config)
            if new > limit:
                gauge.allow(new)
            write(path, config)
            weir.signal(signal.SIGHUP)
            until(lambda n=n: reloads(weir, "applied") == n, f"reload {n}", every=0.002)
            status = weir.status()
            assert status["limit"] == new
            gauge.fall(new, status["in_flight"])
            limit = new
            some = dice.randint(0, limit * (30 if LONG else 3))
            enough = gauge.report()["served"] + some
            until(lambda n=enough: gauge.report()["served"] >= n, "requests", every=0.002)
        write(path, {"concurrency": 200})  # so that the rest does not take long
        gauge.allow(200)
        weir.signal(signal.SIGHUP)
        wait_reloads(weir, RELOADS + 1)
    finally:
        counts = background.end()
        load.stop()
        report = gauge.report()
        print(f"{RELOADS} reloads, {threads} threads: {counts}, the app: {report}")
    assert counts["errors"] == 0, weir.log()
    assert report["beyond"] == 0
    assert report["served"] == counts["answered"]
    m = weir.identities(counts["answered"])
    assert m.one("weir_requests_total", code="200", source="app") == counts["answered"]
    assert reloads(weir, "rejected") == 0
    gauge.stop()


def test_a_lower_limit_lets_what_runs_end_and_grants_nothing_until_below(world):
    origin = world.origin()
    gate = origin.gate()
    origin.on("/held", *held_by(gate))
    path, weir = from_file(world, origin, {"concurrency": 3})
    held = [world.connect(weir).get("/held") for _ in range(3)]
    origin.wait_inside(3)
    waiting = world.connect(weir).get("/next")
    weir.wait_depth(1)
    write(path, {"concurrency": 1})
    weir.signal(signal.SIGHUP)
    wait_reloads(weir, 1)
    assert weir.status()["in_flight"] == 3
    assert origin.seen("/next") == []
    gate.open()
    assert [client.response().status for client in held] == [200] * 3
    assert waiting.response().status == 200
    until(lambda: len(origin.open_now()) == 1, "the idle connections to be closed")


def held_by(gate):
    from support.origin import answer, wait

    return wait(gate), answer()


# ---- what changes nothing ----------------------------------------------------------------------


def test_a_broken_file_changes_nothing_and_is_told_in_full(world):
    origin = world.origin()
    path, weir = from_file(world, origin, {"concurrency": 7})
    before = config_of(weir)
    write(path, '{\n  "concurrency": 0,\n  "queue": {"tiemout": "1s"}\n}\n')
    weir.signal(signal.SIGHUP)
    wait_reloads(weir, 1, "rejected")
    assert config_of(weir) == before
    log = [json.loads(line)["message"] for line in weir.log().splitlines()]
    assert any(line.startswith(f'{path}:2:18: error: "concurrency" expects') for line in log)
    assert any(line.startswith(f'{path}:3:13: error: unknown key "tiemout"') for line in log)
    assert f"{path}: 2 errors; nothing was changed" in log
    assert world.connect(weir).ask("GET", "/").status == 200
    write(path, {"concurrency": 8})
    weir.signal(signal.SIGHUP)
    wait_reloads(weir, 1)
    assert config_of(weir)["concurrency"] == 8
    assert "SIGHUP: configuration reloaded: concurrency 7 -> 8, queue.length 70 -> 80" in weir.log()


def test_keys_that_require_a_restart_are_named_and_nothing_else_changes(world):
    origin = world.origin()
    path, weir = from_file(world, origin, {"concurrency": 7})
    before = config_of(weir)
    write(path, '{\n "concurrency": 9,\n "threads": 2,\n "listen_mode": "0600"\n}\n')
    weir.signal(signal.SIGHUP)
    wait_reloads(weir, 1, "rejected")
    assert config_of(weir) == before
    log = weir.log()
    assert f'{path}:3:13: error: \\"threads\\": cannot change from 1 to 2 while weir is running' in log
    assert f'{path}:4:17: error: \\"listen_mode\\": cannot change' in log


# ---- a watched file ----------------------------------------------------------------------------


def test_a_config_map_is_followed_as_the_kubelet_exchanges_it(world):
    """..data is a link to a directory with the files, and is renamed over."""
    mount = world.path("mount")
    os.mkdir(mount)

    def publish(version, config):
        folder = os.path.join(mount, f"..{version}")
        os.mkdir(folder)
        write(os.path.join(folder, "weir.json"), config)
        os.symlink(f"..{version}", os.path.join(mount, "..data_tmp"))
        os.rename(os.path.join(mount, "..data_tmp"), os.path.join(mount, "..data"))
        if version > 1:
            shutil.rmtree(os.path.join(mount, f"..{version - 1}"))

    publish(1, {"concurrency": 7})
    path = os.path.join(mount, "weir.json")
    os.symlink("..data/weir.json", path)
    origin = world.origin()
    weir = world.weir(origin, config=path, concurrency=None, watch="true")
    publish(2, {"concurrency": 8})
    wait_reloads(weir, 1)
    publish(3, {"concurrency": "many"})
    wait_reloads(weir, 1, "rejected")
    failed = weir.metrics()
    publish(4, {"concurrency": 9})
    wait_reloads(weir, 2)
    m, read = weir.metrics(), "weir_config_last_reload_success"
    assert (failed.one(read + "ful"), m.one(read + "ful")) == (0, 1)
    assert failed.one(read + "_timestamp_seconds") < m.one(read + "_timestamp_seconds") < time.time()
    assert config_of(weir)["concurrency"] == 9
    assert f"{path} has changed: configuration reloaded: concurrency 8 -> 9" in weir.log()
    assert world.connect(weir).ask("GET", "/").status == 200
