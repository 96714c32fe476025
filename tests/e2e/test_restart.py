"""The app restarts: its requests wait for it in their order, and only those that it had begun may fail."""

import collections
import importlib.util
import itertools
import os
import random
import subprocess
import sys
import threading
import time

import pytest

from support import origin as app
from support import wire
from support.client import Client
from support.waiting import one_in_time, until
from support.weir import free_port

FULL = os.environ.get("WEIR_RESTARTS")  # make restarts
CLIENTS = 200
DOWN = (0.3, 1, 3) if FULL else (0.3,)


def in_restart(world, path, limit, down):
    """The seconds from the app's listen() to its first request."""
    origin = world.origin(path=path and world.path(f"app-{time.monotonic()}.sock"))
    gate = origin.gate()
    origin.default = (
        app.read_body(), app.wait(gate), app.answer(b"ok", 200, "Connection: close"), app.close(),
    )
    weir = world.weir(origin, concurrency=limit, queue_length=2 * CLIENTS, queue_timeout="30s")
    clients = [world.connect(weir, timeout=40) for _ in range(CLIENTS)]
    until(lambda: weir.glance().total("weir_connections", side="client") == CLIENTS, "all clients")
    for i, client in enumerate(clients):
        ask(client, i)
    weir.wait_depth(CLIENTS - limit)
    origin.wait_inside(limit)  # not in the backlog, which ends with the listener
    origin.refuse()
    gate.open()
    answered = [client.response().status for client in clients[:limit]]
    began = time.monotonic()
    for i, client in enumerate(clients[:limit]):
        ask(client, CLIENTS + i)
    weir.wait_depth(CLIENTS)
    is_down(weir)
    time.sleep(max(0, began + down - time.monotonic()))
    seen, listened = len(origin.calls), time.monotonic()
    origin.listen()
    answered += [client.response().status for client in clients[limit:] + clients[:limit]]
    assert answered == [200] * (CLIENTS + limit)
    came_once_and_in_order(origin, CLIENTS + limit, limit)
    until(lambda: weir.admin_get("/readyz").status == 200, "weir to be ready")
    assert weir.metrics().one("weir_upstream_ready") == 1
    world.expect_requests(weir, CLIENTS + limit)
    return origin.calls[seen].at - listened


def ask(client, i):
    if i % 2:
        client.request("POST", f"/{i}", body=b"a body of number %d" % i)
    else:
        client.get(f"/{i}")


def is_down(weir):
    until(lambda: weir.admin_get("/readyz").status == 503, "weir not to be ready", within=1)
    m = weir.metrics()
    assert m.one("weir_upstream_ready") == 0
    assert m.one("weir_requests_requeued_total") >= 1
    assert weir.status()["upstream"]["state"] == "down"
    assert weir.admin_get("/startupz").status == 200


def came_once_and_in_order(origin, n, limit):
    """Those that are inside together may have come in any order."""
    places = [int(target[1:]) for target in origin.targets()]
    assert sorted(places) == list(range(n))
    assert all(abs(at - place) < limit for at, place in enumerate(places)), places
    for call in origin.calls:
        if call.method == "POST":
            assert bytes(call.body) == b"a body of number %d" % int(call.target[1:])


@pytest.mark.alone
@pytest.mark.seconds(90)
@pytest.mark.parametrize("down", DOWN)
@pytest.mark.parametrize("limit", [1, 40])
@pytest.mark.parametrize("path", [False, True], ids=["tcp", "unix"])
def test_a_restart_of_the_app_is_a_wait_for_its_clients(world, path, limit, down):
    one_in_time(lambda: in_restart(world, path, limit, down), 0.05)


def test_an_app_that_stays_away_is_waited_for_until_each_ones_own_deadline(world):
    origin, weir = world.pair(concurrency=2, queue_timeout="400ms")
    origin.refuse()
    clients, began = [], []
    for i in range(20):
        began.append(time.monotonic())
        clients.append(world.connect(weir))
        ask(clients[-1], i)
        time.sleep(0.02)
    for client, start in zip(clients, began):
        answer = client.response()
        waited = time.monotonic() - start
        assert (answer.status, answer.get("Weir-Reason")) == (503, "not_ready")
        assert 1 <= int(answer.get("Retry-After")) <= 30
        assert waited >= 0.4
    m = weir.wait_counted(20)
    assert m.total("weir_requests_rejected_total", reason="not_ready") == 20
    assert m.total("weir_queue_waits_total", outcome="timeout") == 20
    assert m.total("weir_queue_waits_total", outcome="dispatched") == 0
    assert m.total("weir_requests_total", code="503", source="weir") == 20
    assert origin.calls == []
    world.expect_requests(weir, 20)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_kept_connection_that_dies_with_the_app_costs_no_request(world, threads):
    origin, weir = world.pair(threads=threads)
    clients = [world.connect(weir) for _ in range(4)]
    assert [client.ask("GET", "/").status for client in clients] == [200] * 4
    with weir.frozen():  # the close and the requests come in one batch
        origin.refuse()
        origin._call(lambda: [conn.close() for conn in origin.connections])
        for client in clients:
            client.get("/again")
    until(lambda: weir.glance().one("weir_upstream_ready") == 0, "the app to be down", within=1)
    origin.listen()
    assert [client.response().status for client in clients] == [200] * 4
    assert len(origin.seen("/again")) == 4
    world.expect_requests(weir, 8)


def test_readyz_follows_an_app_that_goes_while_nobody_asks_for_it(world):
    origin, weir = world.pair(upstream_keepalive_timeout="100ms")
    assert world.connect(weir).ask("GET", "/").status == 200
    until(lambda: not origin.open_now(), "weir to keep no connection")
    origin.refuse()
    until(lambda: weir.admin_get("/readyz").status == 503, "weir not to be ready", within=2)
    origin.listen()
    until(lambda: weir.admin_get("/readyz").status == 200, "weir to be ready", within=2)


def test_an_app_that_listens_while_it_loads_is_not_ready(world):
    origin = world.origin()
    origin.on("/healthz", app.answer(b"loading", 503))
    weir = world.weir(origin, wait="/livez", startup_probe="/healthz")
    client = world.connect(weir).get("/")
    until(lambda: len(origin.seen("/healthz")) >= 3, "some probes")
    assert weir.admin_get("/readyz").status == 503
    assert origin.seen("/") == []
    origin.on("/healthz", app.answer(b"", 200))
    assert client.response().status == 200
    assert weir.admin_get("/readyz").status == 200
    assert "is ready, " in weir.log()
    probe = origin.seen("/healthz")[0]
    assert probe.get("Host") == origin.upstream and probe.get("Connection") == "close"


def test_an_app_that_fails_its_checks_gets_no_requests_until_it_has_recovered(world):
    origin, weir = world.pair(
        health_path="/health", health_interval="100ms", health_unhealthy_after=2, health_healthy_after=2
    )
    origin.on("/health", app.answer(b"broken", 500))
    until(lambda: weir.admin_get("/readyz").status == 503, "weir not to be ready")
    assert "is not ready (GET /health: status 500)" in weir.log()
    client = world.connect(weir).get("/")
    weir.wait_depth(1)
    assert origin.seen("/") == []
    origin.on("/health", app.answer(b"", 200))
    assert client.response().status == 200
    assert weir.admin_get("/readyz").status == 200


# ---- a real app is killed ------------------------------------------------------------------------

APP = '''
import asyncio
import os

log = os.open("begun.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    os.write(log, scope["method"].encode() + b" " + scope["path"].encode() + b"\\n")
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(0.005)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
'''


class Load:
    """Clients that send one request after another, and note what became of each."""

    def __init__(self, address, clients):
        self.address, self.numbers = address, itertools.count()
        self.outcomes, self.over = {}, threading.Event()
        self.kills, self.failed_at = 0, []
        self.threads = [threading.Thread(target=self._client) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _client(self):
        client = Client(self.address, timeout=60)
        while not self.over.is_set():
            number = next(self.numbers)
            try:
                ask(client, number)
                answer = client.response()
            except wire.Truncated:  # the app was killed between the head and the body
                self.outcomes[number] = (200, "cut")
                self.failed_at.append(self.kills)
                client = Client(self.address, timeout=60)
                continue
            self.outcomes[number] = (answer.status, answer.get("Weir-Reason"))
            if answer.status != 200:
                self.failed_at.append(self.kills)
            if answer.get("Connection") == "close":
                client.fin()
                client = Client(self.address, timeout=60)
        client.fin()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)


@pytest.mark.skipif(not FULL, reason="takes some minutes: make restarts")
@pytest.mark.skipif(not importlib.util.find_spec("uvicorn"), reason="not installed: uvicorn")
@pytest.mark.seconds(900)
def test_100_kills_fail_only_requests_that_the_app_had_begun_to_receive(world, tmp_path):
    limit, kills, port, dice = 8, int(FULL), free_port(), random.Random(1)
    (tmp_path / "killed.py").write_text(APP, encoding="utf-8")
    command = [sys.executable, "-m", "uvicorn", "killed:app", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--log-level", "critical", "--no-access-log"]

    def start():
        return subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)

    process = start()
    weir = world.weir(f"127.0.0.1:{port}", concurrency=limit, queue_length=1000, queue_timeout="60s",
                      threads=2)
    load = Load(weir.address, 50)
    try:
        for _ in range(kills):
            done = len(load.outcomes)
            until(lambda: len(load.outcomes) > done + 100, "the app to serve", within=30)
            time.sleep(dice.random() * 0.1)
            load.kills += 1
            process.kill()
            process.wait()
            process = start()
    finally:
        load.stop()
        process.kill()
        process.wait()
    begun = (tmp_path / "begun.log").read_text(encoding="ascii").split("\n")[:-1]
    failed = {n: what for n, what in load.outcomes.items() if what != (200, None)}
    paths = {line.partition(" ")[2] for line in begun}
    unread = [n for n in failed if f"/{n}" not in paths]
    assert all(failed[n] == (502, "upstream_closed") for n in unread)
    print(f"{len(load.outcomes)} requests, {kills} kills, {len(failed)} failed, of which "
          f"{len(unread)} were still in the app's socket; "
          f"{weir.metrics().one('weir_requests_requeued_total'):.0f} were requeued")
    # Each had been sent to the app: it was one of those inside.
    assert set(failed.values()) <= {(502, "upstream_closed"), (200, "cut")}, failed
    at_once = collections.Counter(load.failed_at)
    assert max(at_once.values()) <= limit, f"more than were inside: {at_once}"
    posts = [line for line in begun if line.startswith("POST")]
    assert len(posts) == len(set(posts)), "a POST was sent twice"
