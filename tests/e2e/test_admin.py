"""The admin port: probes, status, and answers when everything else is busy or hostile."""

import json
import re
import subprocess

import pytest

from support import origin as app
from support.client import Client
from support.waiting import until
from support.weir import BINARY, clean_environment, free_port


def admin(world, weir):
    client = Client(weir.admin, timeout=5)
    world.clients.append(client)
    return client


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
def test_probes_are_200_when_all_is_well(world, path):
    _, weir = world.pair()
    assert weir.admin_get(path).status == 200


def test_before_the_app_answers_weir_is_alive_but_not_ready(world):
    weir = world.weir(f"127.0.0.1:{free_port()}", wait="/livez")
    assert weir.admin_get("/livez").status == 200
    assert weir.admin_get("/readyz").status == 503
    assert weir.admin_get("/startupz").status == 503
    assert weir.metrics().one("weir_upstream_ready") == 0


def test_status_is_json_with_the_numbers_of_the_moment(world):
    origin, weir = world.pair(concurrency=2, queue_length=10)
    gate = origin.gate()
    origin.on("/", app.wait(gate), app.answer())
    clients = [world.connect(weir).get("/") for _ in range(5)]
    weir.wait_depth(3)
    answer = weir.admin_get("/status")
    assert answer.get("Content-Type").startswith("application/json")
    status = json.loads(answer.body)
    assert isinstance(status, dict) and status
    gate.open()
    for client in clients:
        assert client.response().status == 200


def test_an_unknown_path_is_404(world):
    _, weir = world.pair()
    assert weir.admin_get("/nothing-here").status == 404
    assert weir.admin_get("/metrics/x").status == 404


def test_admin_answers_while_every_slot_is_taken_and_the_queue_is_full(world):
    origin, weir = world.pair(concurrency=1, queue_length=2)
    gate = origin.gate()
    origin.on("/", app.wait(gate), app.answer())
    clients = [world.connect(weir).get("/") for _ in range(3)]
    weir.wait_depth(2)
    for path in ("/livez", "/readyz", "/metrics", "/status"):
        assert weir.admin_get(path).status == 200
    gate.open()
    for client in clients:
        assert client.response().status == 200


def test_probes_on_the_main_port_are_the_apps(world):
    origin, weir = world.pair()
    origin.on("/livez", app.answer(b"app's own"))
    assert world.connect(weir).ask("GET", "/livez").body == b"app's own"


def test_admin_keeps_connections_alive(world):
    _, weir = world.pair()
    client = admin(world, weir)
    for _ in range(5):
        assert client.ask("GET", "/livez").status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\xff\xfe" * 200,
        b"GET /" + b"a" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /%00%0d%0a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n" * 1000,
        b"",
    ],
)
@pytest.mark.parametrize("end", ["fin", "rst"])
def test_hostile_bytes_do_not_kill_it(world, raw, end):
    _, weir = world.pair()
    client = admin(world, weir)
    try:
        client.send(raw)
    except ConnectionError:
        pass
    getattr(client, end)()
    assert weir.admin_get("/livez").status == 200
    assert weir.process.poll() is None


def test_silent_admin_clients_do_not_keep_others_out(world):
    _, weir = world.pair()
    crowd = [admin(world, weir) for _ in range(50)]
    for client in crowd:
        client.send(b"GET /me")
    assert weir.admin_get("/livez").status == 200
    assert weir.metrics().one("weir_accounting_error_total") == 0


def test_admin_can_be_switched_off(world):
    """Then nothing listens there, and the rest works."""
    origin = world.origin()
    port = free_port()
    process = subprocess.Popen(
        [BINARY, "serve", "--upstream", origin.upstream, "--listen", f"127.0.0.1:{port}",
         "--admin-listen", "off", "--drain-delay", "0s", "--drain-timeout", "2s"],
        stderr=subprocess.DEVNULL, env=clean_environment(),
    )
    try:
        def served():
            try:
                client = Client(("127.0.0.1", port), timeout=5)
            except OSError:
                return False
            world.clients.append(client)
            return client.ask("GET", "/").status == 200

        until(served, "the main port")
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)


def test_the_log_says_which_ports_the_kernel_chose(world):
    command = [BINARY, "--upstream", world.origin().upstream]
    command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--drain-delay", "0s"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=clean_environment())
    try:
        said = json.loads(process.stderr.readline())["message"]
        ports = re.findall(r"(?:listens on|admin) 127\.0\.0\.1:([0-9]+)", said)
        for port, path in zip(ports, ("/", "/livez")):
            client = Client(("127.0.0.1", int(port)), timeout=5)
            world.clients.append(client)
            assert client.ask("GET", path).status == 200
        assert len(ports) == 2
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)
        process.stderr.close()
