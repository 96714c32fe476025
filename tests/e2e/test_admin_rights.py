"""Who may change something through the admin port, and what the commands do."""

import json
import socket
import subprocess

import pytest

from support.client import Client
from support.waiting import until
from support.weir import BINARY, clean_environment

TOKEN = "correct-horse-battery-staple"
BEARER = f"Authorization: Bearer {TOKEN}"


def other_address():
    """One of this machine that is not loopback: connections to it come from it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return sock.getsockname()[0]


def ask(weir, method, path, *fields, host=None, at="127.0.0.1"):
    client = Client((at, weir.admin_port), timeout=5)
    try:
        host = host or f"{at}:{weir.admin_port}"
        return client.ask(method, path, "Connection: close", *fields, host=host)
    finally:
        client.fin()


ATTACKS = {
    "another address": dict(at="other"),
    "another address, wrong token": dict(at="other", fields=["Authorization: Bearer guess-0123456789"]),
    "wrong token": dict(fields=["Authorization: Bearer guess-0123456789"]),
    "foreign Origin": dict(fields=["Origin: http://evil.example"]),
    "another port's Origin": dict(fields=["Origin: http://localhost:3000"]),
    "cross-site": dict(fields=["Sec-Fetch-Site: cross-site"]),
    "rebinding Host": dict(host="evil.example:9480"),
    "GET": dict(method="GET", status=405),
    "HEAD": dict(method="HEAD", status=405),
    "PUT": dict(method="PUT", status=405),
}


def test_attacks_change_nothing_and_disturb_nobody(world):
    origin = world.origin()
    weir = world.weir(origin, admin_host="0.0.0.0", admin_token=TOKEN, admin_writable="true",
                      concurrency=1)
    other = other_address()
    client = world.connect(weir)
    for _ in range(1 + 1000 // (3 * len(ATTACKS))):
        for name, attack in ATTACKS.items():
            for path in ("/pause", "/drain?wait=1h", "/config", "/resume"):
                if path == "/config" and "method" in attack:
                    continue
                at = other if attack.get("at") == "other" else "127.0.0.1"
                method = "PATCH" if path == "/config" else attack.get("method", "POST")
                answer = ask(weir, method, path, *attack.get("fields", ()),
                             host=attack.get("host"), at=at)
                assert answer.status == attack.get("status", 403), name
        assert weir.metrics().one("weir_paused") == 0
        assert weir.admin_get("/readyz").status == 200
        assert client.ask("GET", "/").status == 200
    log = weir.log()
    assert "admin port: POST /pause from 127.0.0.1 was refused: " in log or other in log
    assert log.count("was refused") < 60, "the log is not flooded"
    assert TOKEN not in log


def test_the_token_opens_the_port_from_anywhere(world):
    weir = world.weir(world.origin(), admin_host="0.0.0.0", admin_token=TOKEN)
    other = other_address()
    assert ask(weir, "POST", "/pause", at=other).status == 403
    assert ask(weir, "POST", "/pause", BEARER, at=other, host="evil.example").status == 200
    assert weir.metrics().one("weir_paused") == 1
    assert ask(weir, "POST", "/resume", BEARER, "Origin: http://evil.example", at=other).status == 200
    assert weir.metrics().one("weir_paused") == 0


def test_listed_addresses_need_no_token(world):
    other = other_address()
    weir = world.weir(world.origin(), admin_host="0.0.0.0", admin_allow=f"192.0.2.77,{other}/32")
    assert ask(weir, "POST", "/pause", at=other).status == 200
    assert ask(weir, "POST", "/resume", at=other, host="evil.example").status == 403
    assert weir.metrics().one("weir_paused") == 1
    assert ask(weir, "GET", "/drain").status == 405, "local, but not listed"
    assert weir.admin_get("/readyz").status == 200
    assert ask(weir, "GET", "/drain", at=other).status == 202, "as the hook of a kubelet"
    assert weir.admin_get("/readyz").status == 503


def test_the_token_is_never_shown(world):
    weir = world.weir(world.origin(), env={"WEIR_ADMIN_TOKEN": TOKEN}, log_level="debug")
    shown = weir.admin_get("/config").body.decode()
    assert json.loads(shown)["admin"]["token"] == "***"
    for arguments in (["config", "print"], ["config", "print", "--json"], ["check", "--threads=x"]):
        said = weir.command(*arguments, env={"WEIR_ADMIN_TOKEN": TOKEN})
        shown += said.stdout + said.stderr
    assert TOKEN not in shown + weir.log() + weir.admin_get("/status").body.decode()


def test_a_pause_holds_requests_in_the_queue_until_resume(world):
    origin, weir = world.pair(concurrency=2)
    assert weir.command("pause").stdout.startswith("paused")
    clients = [world.connect(weir).get(f"/{i}") for i in range(5)]
    weir.wait_depth(5)
    assert weir.metrics().one("weir_paused") == 1
    assert weir.status()["paused"] is True
    assert weir.admin_get("/readyz").status == 200
    assert origin.calls == []
    assert weir.command("resume").returncode == 0
    for client in clients:
        assert client.response().status == 200
    assert weir.status()["paused"] is False
    weir.identities(5)


def test_what_waits_too_long_in_a_pause_is_refused(world):
    origin, weir = world.pair(queue_timeout="50ms")
    assert weir.command("pause").returncode == 0
    answer = world.connect(weir).ask("GET", "/")
    assert (answer.status, answer.get("Weir-Reason")) == (503, "queue_timeout")
    weir.stop()
    assert origin.calls == []


def test_commands_through_a_unix_socket(world, tmp_path):
    path = tmp_path / "admin"
    origin = world.origin()
    weir = world.weir(origin)
    flags = ["--upstream", origin.upstream, "--listen", f"unix:{tmp_path}/main"]
    process = subprocess.Popen(
        [BINARY, *flags, "--admin-listen", f"unix:{path}"], env=clean_environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        until(path.exists, "the socket")

        def run(command):
            return subprocess.run([BINARY, command, "--admin-listen", f"unix:{path}"], check=False,
                                  capture_output=True, text=True, env=clean_environment())

        assert run("pause").returncode == 0
        assert "  paused" in run("status").stdout
        assert run("resume").stdout == "resumed\n"
        assert weir.metrics().one("weir_paused") == 0, "another weir"
    finally:
        process.kill()
        process.wait(10)


def test_a_command_that_is_refused_says_why(world):
    weir = world.weir(world.origin(), admin_token=TOKEN)
    said = weir.command("pause", "--admin-token", "guess-0123456789")
    assert said.returncode == 1
    assert said.stderr == "weir: error: /pause returned status 403: the token is wrong\n"
    assert weir.command("pause").returncode == 0, "on the same machine, no token is needed"
