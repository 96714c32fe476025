"""The access log: one line per request, whatever clients, disks and readers do.

`make access-log-check` runs the load with 1,000,000 requests, and compares the times of requests
while a disk is full, or a reader has stopped, with those without an access log.
"""

import collections
import json
import os
import resource
import signal
import statistics
import time

import pytest

from support import origin as app
from support.demo import Demo
from support.heavy import Gauge, Load
from support.ids import Ids
from support.waiting import SOON, until
from support.wire import Truncated
from support.world import scaled

LINES = int(os.environ.get("WEIR_ACCESS_LINES", "0"))


def objects(path):
    """Each line as an object. No line may be anything else."""
    with open(path, "rb") as file:
        data = file.read()
    assert not data or data.endswith(b"\n")
    found = []
    for line in data.decode("utf-8").splitlines():
        found.append(json.loads(line))
        assert isinstance(found[-1], dict)
    return found


def lines_of(weir, path, n, within=10):
    """The first `n` lines, when they are there."""

    def there():
        with open(path, "rb") as file:
            return file.read().count(b"\n") >= n

    until(there, f"{n} lines in {path}: {weir.log()}", within)
    return objects(path)


def counts(weir):
    m = weir.metrics()
    return tuple(int(m.one("weir_access_log_lines_total", result=r)) for r in ("written", "dropped"))


# ---- one per request ----------------------------------------------------------------------------


@pytest.mark.seconds(600 if LINES else 30)
def test_every_request_has_one_line_with_the_id_that_its_client_saw(world, tmp_path):
    demo = Demo(tmp_path)
    path = world.path("access.log")
    weir = world.weir(demo.upstream, log_access="all", log_access_file=path, threads=2, concurrency=40)
    requests = LINES or scaled(4000, least=320) // 32 * 32
    requests -= requests % 32
    seen = Ids(weir.port, 32, requests, tmp_path, "/ping?").seen(within=590)
    assert len(seen) == sum(seen.values()) == requests
    until(lambda: sum(counts(weir)) >= requests, "all lines")
    assert counts(weir) == (requests, 0)
    logged = collections.Counter()
    with open(path, encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            logged[entry["request_id"]] += 1
            assert entry["status"] == 200 and entry["target"].startswith("/ping")
            phases = sum(v for k, v in entry.items() if k.endswith("_us") and k not in NO_PHASE)
            assert phases == entry["total_us"], line
    assert logged == seen
    demo.stop()


NO_PHASE = ("total_us", "before_us", "orphan_us")


def test_each_kind_of_end_has_its_status_its_source_and_its_reason(world):
    path = world.path("access.log")
    origin, weir = world.pair(log_access="all", log_access_file=path, concurrency=1, queue_length=0)
    gate = origin.gate()
    origin.on("/error", app.answer(status=500))
    origin.on("/slow", app.wait(gate), app.answer())
    client, slow = world.connect(weir), world.connect(weir)
    assert client.ask("GET", "/fine?secret=1").status == 200
    assert client.ask("GET", "/error").status == 500
    slow.get("/slow")
    origin.wait_inside(1)
    assert client.ask("GET", "/refused").status == 503
    slow.rst()
    until(lambda: weir.glance().total("weir_orphans_in_flight") == 1, "the orphan")
    gate.open()
    assert world.connect(weir).send(b"GET / HTTP/1.1\nHost: a\n\n").response().status == 400
    lines = {e.get("target"): e for e in lines_of(weir, path, 5)}
    facts = {t: (e["status"], e["source"], e.get("reason"), e["level"]) for t, e in lines.items()}
    assert facts == {
        "/fine": (200, "app", None, "info"),
        "/error": (500, "app", None, "error"),
        "/refused": (503, "weir", "queue_full", "warning"),
        "/slow": (499, "client_gone", "client_gone", "warning"),
        None: (400, "weir", "bad_request", "warning"),
    }


def test_only_problems_by_default(world):
    path = world.path("access.log")
    origin, weir = world.pair(log_access_file=path, log_slow="50ms", admin_writable="true")
    origin.on("/error", app.answer(status=503))
    origin.on("/slow", app.delay(0.1), app.answer())
    client = world.connect(weir)
    for target in ("/fine", "/error", "/slow"):
        client.ask("GET", target)
    assert [e["target"] for e in lines_of(weir, path, 2)] == ["/error", "/slow"]
    assert weir.command("set", "log.access=all").returncode == 0
    client.ask("GET", "/fine")
    assert lines_of(weir, path, 3)[2]["target"] == "/fine"
    assert weir.command("set", "log.access=off").returncode == 0
    client.ask("GET", "/error")
    assert weir.command("set", "log.access=all", "log.profile=ecs").returncode == 0
    client.ask("GET", "/last")
    assert lines_of(weir, path, 4)[3]["url.path"] == "/last"


def test_the_file_is_opened_again_by_sigusr1(world):
    path, rotated = world.path("access.log"), world.path("access.log.1")
    _, weir = world.pair(log_access="all", log_access_file=path)
    client = world.connect(weir)
    client.ask("GET", "/one")
    lines_of(weir, path, 1)
    os.rename(path, rotated)
    weir.signal(signal.SIGUSR1)
    until(lambda: os.path.exists(path), "the new file")
    client.ask("GET", "/two")
    assert lines_of(weir, path, 1)[0]["target"] == "/two"
    assert [e["target"] for e in objects(rotated)] == ["/one"]


# ---- a hostile client ---------------------------------------------------------------------------

FORGED = b'x","status":200}\n{"ts":"2026-01-01T00:00:00Z","msg":"request","target":"/forged"}'
HOSTILE = [
    b'"', b"\\", b'\\"', b"\\u0022", b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xe2\x80\xa8",
    b"\xc2\x9b2J", b"\x7f", b"\x1b[2J", b"\t", b"\0", b"\r", FORGED, b"%0a%0d%22", "\u202egnp.exe".encode(),
    b"A" * 4097, b'"' * 30000, b"\xff" * 30000, "é".encode() * 3000,
]  # fmt: skip


@pytest.mark.parametrize("profile", ["plain", "gcp", "ecs"])
def test_no_client_breaks_or_forges_a_line(world, profile):
    path = world.path("access.log")
    _, weir = world.pair(
        log_access="all", log_access_file=path, log_profile=profile, log_query="true",
        client_max_head="48KiB",
    )
    sent = 0
    for piece in HOSTILE:
        heads = [b"GET /" + piece, b"GET /q?" + piece, piece[:2000] + b" /m"]
        fields = [b"User-Agent: ", b"Referer: ", b"X-Request-Id: ", b"Host: a\r\nTraceparent: "]
        requests = [h + b" HTTP/1.1\r\nHost: a\r\n\r\n" for h in heads]
        requests += [b"GET / HTTP/1.1\r\nHost: a\r\n" + f + piece + b"\r\n\r\n" for f in fields]
        for request in requests:
            client = world.connect(weir)
            try:
                client.send(request).half_close().response()
                sent += 1
            except (Truncated, OSError):
                pass
            client.rst()
    m = weir.wait_counted(sent)
    total = int(m.total("weir_requests_total"))
    found = lines_of(weir, path, total)
    assert len(found) == total >= sent
    for entry in found:
        assert entry.get("target") != "/forged" and "/forged" not in entry.get("ts", "")
        assert ("weir" in entry) == (profile != "plain")
    with open(path, "rb") as file:
        assert not set(file.read()) & set(b"\0\r\t\x1b\x7f")


# ---- disks and readers --------------------------------------------------------------------------


def test_a_full_disk_is_counted_and_logged_and_no_line_is_torn_in_the_end(world):
    path = world.path("access.log")
    _, weir = world.pair(log_access="all", log_access_file=path)
    client = world.connect(weir)

    def file_limit(size):
        resource.prlimit(weir.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    client.ask("GET", "/first")
    lines_of(weir, path, 1)
    file_limit(os.path.getsize(path) + 100)  # within the second line
    for _ in range(50):
        assert client.ask("GET", "/").status == 200
    until(lambda: sum(counts(weir)) >= 50, "the lines to be written or dropped")
    written, dropped = counts(weir)
    assert dropped >= 49 and "lines were dropped" in weir.log()
    file_limit(resource.RLIM_INFINITY)
    assert client.ask("GET", "/last").status == 200
    assert lines_of(weir, path, written + 2)[-1]["target"] == "/last"


def test_a_stopped_reader_of_stdout_delays_neither_requests_nor_the_end(world):
    reader, writer = os.pipe()
    _, weir = world.pair(log_access="all", stdout=writer)
    os.close(writer)
    client = world.connect(weir)
    for _ in range(500):  # more than the pipe and the ring hold
        assert client.ask("GET", "/" + "x" * 4000).status == 200
    until(lambda: counts(weir)[1] > 0, "lines to be dropped")
    client.fin()
    began = time.monotonic()
    weir.stop()
    assert time.monotonic() - began < SOON
    assert "its reader does not read" in weir.log()
    os.close(reader)


@pytest.mark.skipif(not LINES, reason="make access-log-check")
@pytest.mark.seconds(600)
@pytest.mark.parametrize("broken", ["full", "stopped"])
def test_p99_is_the_same(world, tmp_path, broken):
    """The ratio of the p99 with a log that accepts nothing to that without one, in pairs."""
    gauge = Gauge(0)
    reader, writer = os.pipe()
    file = "/dev/full" if broken == "full" else "stdout"
    loads = [
        Load(world.weir(gauge.upstream, **how), 16, tmp_path)
        for how in ({"log_access": "off"}, {"log_access": "all", "log_access_file": file, "stdout": writer})
    ]
    pairs = []
    for load in loads:
        load.run(5000)
    for i in range(21):
        order = loads if i % 2 else loads[::-1]
        times = {load: load.run(20000)["p99_ns"] for load in order}
        pairs.append(times[loads[1]] / times[loads[0]])
    print(f"{broken}: p99 of {len(pairs)} pairs, median ratio {statistics.median(pairs):.3f}")
    assert counts(world.weirs[1])[1] > 300000
    assert statistics.median(pairs) < 1.1
    for load in loads:
        load.stop()
    gauge.stop()
    os.close(reader)
