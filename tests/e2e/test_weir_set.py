"""Changes of a running weir's options: `weir set` and PATCH /config."""

import json

from support import origin as app
from support.client import Client


def patch(weir, text, *fields):
    client = Client(weir.admin, timeout=5)
    try:
        body = text.encode()
        fields = ("Connection: close", f"Content-Length: {len(body)}", *fields)
        client.request("PATCH", "/config", *fields, host="localhost").send(body)
        return client.response("PATCH")
    finally:
        client.fin()


def test_values_change_while_requests_run_and_wait(world):
    origin, weir = world.pair(concurrency=1, admin_writable="true")
    gate = origin.gate()
    origin.on("/", app.wait(gate), app.answer())
    clients = [world.connect(weir).get("/") for _ in range(5)]
    weir.wait_depth(4)
    said = weir.command("set", "concurrency=3", "queue.length=50")
    assert (said.returncode, said.stdout) == (0, "changed\n"), said
    origin.wait_inside(3)
    assert weir.metrics().one("weir_concurrency_limit") == 3
    assert weir.metrics().one("weir_queue_limit") == 50
    assert "concurrency 1 -> 3, queue.length 10 -> 50" in weir.log()
    gate.open()
    assert [client.response().status for client in clients] == [200] * 5
    weir.identities(5)


def test_an_error_changes_nothing_and_names_all(world):
    _, weir = world.pair(concurrency=4, admin_writable="true")
    said = weir.command("set", "concurrency=5", "threads=2", "listen=:1")
    assert said.returncode == 1
    assert '"threads": cannot change from 1 to 2' in said.stderr
    assert '"listen": cannot change from' in said.stderr
    answer = patch(weir, '{"concurrency": 0, "queue": {"tiemout": "1s"}}')
    assert answer.status == 400
    assert b'"concurrency" expects' in answer.body and b'unknown key "tiemout"' in answer.body
    assert patch(weir, "no JSON").status == 400
    assert patch(weir, "").status == 400
    assert weir.metrics().one("weir_concurrency_limit") == 4


def test_only_a_writable_weir_can_be_changed(world):
    _, weir = world.pair(concurrency=4)
    said = weir.command("set", "concurrency=5")
    assert said.returncode == 1 and "admin.writable is false" in said.stderr
    assert weir.metrics().one("weir_concurrency_limit") == 4


def test_the_rights_can_be_changed_too_and_the_token_stays_hidden(world):
    token = "correct-horse-battery-staple"
    _, weir = world.pair(admin_writable="true")
    answer = patch(weir, json.dumps({"admin": {"token": token}}))
    assert answer.status == 200
    assert json.loads(answer.body)["admin"]["token"] == "***"
    assert patch(weir, '{"queue": {"timeout": "3s"}}', "Authorization: Bearer wrong-0123456789").status == 403
    answer = patch(weir, '{"queue": {"timeout": "3s"}}', f"Authorization: Bearer {token}")
    assert json.loads(answer.body)["queue"]["timeout"] == "3s"
    assert patch(weir, json.dumps({"admin": {"token": token + "\n"}})).status == 400
    assert weir.command("set", "admin.writable=false").returncode == 0
    assert weir.command("set", "admin.writable=true").returncode == 1
    assert token not in weir.log() + answer.body.decode()
