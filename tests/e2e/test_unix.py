"""Unix sockets on either side."""

import os
import stat
import subprocess

import pytest

from support import origin as app
from support import wire
from support.client import burst
from support.waiting import until
from support.weir import BINARY, clean_environment


def test_a_unix_upstream_is_used_like_any_other(world):
    origin = world.origin(path=world.path("app.sock"))
    weir = world.weir(origin, concurrency=2)
    origin.default = (app.read_body(), app.delay(0.005), app.answer(wire.noise(50_000)))
    outcomes, _ = burst(weir.address, "/", 20)
    assert [o.status for o in outcomes] == [200] * 20
    assert all(o.body == wire.noise(50_000) for o in outcomes)
    assert origin.most_inside == 2
    assert len(origin.used()) == 2
    world.expect_requests(weir, 20)


def test_a_unix_listener_is_used_like_any_other(world):
    origin = world.origin()
    weir = world.weir(origin, listen="unix:" + world.path("weir.sock"))
    client = world.connect(weir)
    for _ in range(3):
        assert client.ask("POST", "/", body=b"hello").status == 200
    assert origin.calls[0].body == b"hello"
    assert origin.calls[0].all("X-Forwarded-For") == []
    world.expect_requests(weir, 3)


@pytest.mark.parametrize("mode", ["0660", "0600", "777"])
def test_a_unix_socket_has_the_mode_that_is_asked_for(world, mode):
    path, admin = world.path("weir.sock"), world.path("admin.sock")
    command = [BINARY, "--upstream", "127.0.0.1:1", "--startup-probe", "none", "--drain-delay", "0s"]
    command += ["--listen", f"unix:{path}", "--listen-mode", mode]
    command += ["--admin-listen", f"unix:{admin}", "--admin-listen-mode", "0640"]
    weir = subprocess.Popen(command, stderr=subprocess.PIPE, env=clean_environment())
    try:
        assert b"listens on" in weir.stderr.readline()
        assert stat.S_IMODE(os.stat(path).st_mode) == int(mode, 8)
        assert stat.S_IMODE(os.stat(admin).st_mode) == 0o640
    finally:
        weir.terminate()
        weir.communicate(timeout=20)


def test_the_log_makes_up_no_address_for_a_unix_socket(world):
    weir = world.weir(world.origin(), listen="unix:" + world.path("weir.sock"))
    assert world.connect(weir).send(b"x y\r\n\r\n").response().status == 400
    until(lambda: "(client on a Unix socket)" in weir.log(), "the refusal to be logged")


def test_both_sides_can_be_unix_sockets(world):
    origin = world.origin(path=world.path("app.sock"))
    weir = world.weir(origin, listen="unix:" + world.path("weir.sock"), concurrency=1)
    clients = [world.connect(weir).get(f"/{i}") for i in range(5)]
    assert [client.response().status for client in clients] == [200] * 5
    assert origin.most_inside == 1


def test_a_client_that_leaves_a_unix_socket_is_noticed_in_the_queue(world):
    origin = world.origin(path=world.path("app.sock"))
    weir = world.weir(origin, listen="unix:" + world.path("weir.sock"), concurrency=1)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    held = world.connect(weir).get("/held")
    origin.wait_inside(1)
    leaver = world.connect(weir).get("/never")
    weir.wait_depth(1)
    leaver.fin()
    weir.wait_depth(0)
    gate.open()
    assert held.response().status == 200
    assert origin.seen("/never") == []


def test_a_socket_left_over_by_a_dead_weir_is_replaced(world):
    origin = world.origin()
    path = world.path("weir.sock")
    first = world.weir(origin, listen="unix:" + path)
    first.kill()
    assert os.path.exists(path)
    second = world.weir(origin, listen="unix:" + path)
    assert world.connect(second).ask("GET", "/").status == 200


def test_a_file_that_is_no_socket_is_left_alone(world):
    origin, path = world.origin(), world.path("notes.txt")
    with open(path, "w", encoding="ascii") as file:
        file.write("precious")
    for side in ("listen", "admin-listen"):
        command = [BINARY, "--upstream", origin.upstream, "--listen", "127.0.0.1:0"]
        run = subprocess.run(
            command + ["--admin-listen", "off", f"--{side}", f"unix:{path}"],
            stderr=subprocess.PIPE, env=clean_environment(), timeout=20,
        )
        assert run.returncode == 1 and b"in use" in run.stderr
    with open(path, encoding="ascii") as file:
        assert file.read() == "precious"


def test_the_path_is_free_for_a_successor_before_the_listener_is_closed(world):
    """The other way round, a successor's socket would be removed."""
    origin, path = world.origin(), world.path("weir.sock")
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer(b"held"))
    first = world.weir(origin, listen="unix:" + path)
    held = world.connect(first).get("/held")
    origin.wait_inside(1)
    first.signal()
    until(lambda: not os.path.exists(path), "the path to be free")
    second = world.weir(origin, listen="unix:" + path)
    gate.open()
    assert held.response().body == b"held"
    world.exited(first)
    assert world.connect(second).ask("GET", "/").status == 200
