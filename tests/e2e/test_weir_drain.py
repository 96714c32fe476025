"""A drain by command: `weir drain`, POST and DELETE /drain, and those that wait for its end."""

import json
import signal
import threading

from support import origin as app
from support.client import Client
from support.waiting import until


class Waiting:
    """A command that runs meanwhile."""

    def __init__(self, weir, *arguments):
        self.said = None
        self.thread = threading.Thread(target=self.run, args=(weir, arguments))
        self.thread.start()

    def run(self, weir, arguments):
        self.said = weir.command(*arguments)

    def result(self):
        self.thread.join(30)
        assert self.said is not None, "the command has not ended"
        return self.said


def ask(weir, method, path):
    client = Client(weir.admin, timeout=10)
    try:
        return client.ask(method, path, "Connection: close", host="localhost")
    finally:
        client.fin()


def state(weir, answer):
    assert answer.get("Content-Type") == "application/json", answer
    return json.loads(answer.body)["state"]


def held(world, **options):
    """A weir with a request in the app and one in the queue, and the gate of the first."""
    origin, weir = world.pair(concurrency=1, drain_delay="0s", **options)
    gate = origin.gate()
    origin.on("/", app.wait(gate), app.answer())
    clients = [world.connect(weir).get("/") for _ in range(2)]
    weir.wait_depth(1)
    return weir, gate, clients


def wait_draining(weir):
    until(lambda: weir.admin_get("/readyz").status == 503, "the drain to begin")


def test_a_drain_serves_what_is_there_and_the_process_stays(world):
    weir, gate, clients = held(world)
    waiting = [Waiting(weir, "drain", "--wait", "20s") for _ in range(2)]
    wait_draining(weir)
    assert state(weir, ask(weir, "POST", "/drain")) == "draining"
    assert weir.command("drain").stdout == "draining: 1 requests are running, 1 are waiting\n"
    gate.open()
    for client in clients:
        assert client.response().status == 200
    for command in waiting:
        said = command.result()
        assert (said.returncode, said.stdout) == (0, "drained: all requests were served\n"), said
    assert weir.process.poll() is None
    assert ask(weir, "POST", "/drain?wait=1h").status == 200, "at once"
    m = weir.metrics()
    assert (m.one("weir_requests_in_flight"), m.one("weir_draining")) == (0, 1)
    weir.stop()


def test_a_drain_that_takes_longer_than_the_command_waits(world):
    weir, gate, clients = held(world)
    said = weir.command("drain", "--wait", "50ms")
    assert said.returncode == 1
    assert "not ended within --wait; draining: 1 requests are running, 1 are waiting" in said.stderr
    gate.open()
    assert [client.response().status for client in clients] == [200, 200]
    weir.stop()


def test_a_drain_that_cuts_is_told(world):
    weir, _, _ = held(world, drain_timeout="400ms")
    said = weir.command("drain", "--wait", "20s")
    assert said.returncode == 3, said
    assert "drained, but 2 requests were refused or cut off" in said.stderr
    weir.stop(3)


def test_a_cancelled_drain_leaves_no_trace(world):
    weir, gate, clients = held(world)
    waiting = Waiting(weir, "drain", "--wait", "20s")
    wait_draining(weir)
    until(lambda: b'"draining"' in ask(weir, "POST", "/drain").body, "the drain")
    # While the port is being closed, it is told to try again.
    until(lambda: b'"ready"' in ask(weir, "DELETE", "/drain").body, "the cancel")
    said = waiting.result()
    assert said.returncode == 1
    assert "status 409: the drain was cancelled" in said.stderr
    assert weir.admin_get("/readyz").status == 200
    clients.append(world.connect(weir).get("/"))
    gate.open()
    assert [client.response().status for client in clients] == [200, 200, 200]
    assert state(weir, ask(weir, "DELETE", "/drain")) == "ready", "none has begun"
    weir.stop()


def test_weir_stays_ready_until_the_port_is_closed_if_it_is_asked_to(world):
    origin, weir = world.pair(drain_delay="20s", drain_timeout="60s")
    gate = origin.gate()
    origin.on("/", app.wait(gate), app.answer())
    client = world.connect(weir).get("/")
    origin.wait_inside(1)
    assert weir.command("drain", "--keep-ready").returncode == 0
    assert weir.admin_get("/readyz").status == 200
    assert weir.command("drain").returncode == 0, "the first one decides"
    assert weir.admin_get("/readyz").status == 200
    weir.signal(signal.SIGINT)  # ends the delay
    wait_draining(weir)
    assert weir.admin_get("/readyz").body == b"weir is draining\n"
    gate.open()
    answer = client.response()
    assert (answer.status, answer.get("Connection")) == (200, "close")
    weir.exited(0)


def test_a_signal_during_a_drain_ends_the_process_after_the_response(world):
    weir, gate, clients = held(world)
    waiting = Waiting(weir, "drain", "--wait", "20s")
    wait_draining(weir)
    weir.signal()
    until(lambda: ask(weir, "DELETE", "/drain").status == 409, "the signal")
    gate.open()
    assert [client.response().status for client in clients] == [200, 200]
    said = waiting.result()
    assert (said.returncode, said.stdout) == (0, "drained: all requests were served\n"), said
    weir.exited(0)
