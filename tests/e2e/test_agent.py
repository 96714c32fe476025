"""The agent port: what balancers are told of load, drain and the app, and HAProxy as that balancer."""

import os
import shutil
import socket
import threading
import time

import pytest

from support import openloop
from support import origin as app
from support.crowd import Crowd
from support.demo import Demo
from support.haproxy import HAProxy
from support.waiting import SOON, until
from support.weir import free_port

LONG = bool(os.environ.get("WEIR_AGENT"))
INTER = "200ms"


def with_agent(world, upstream, **options):
    port = free_port()
    weir = world.weir(upstream, agent_listen=f"127.0.0.1:{port}", **options)
    weir.agent = ("127.0.0.1", port)
    return weir


def check(weir):
    """As a balancer does."""
    with socket.create_connection(weir.agent, timeout=5) as sock:
        said = b""
        while data := sock.recv(1000):
            said += data
        return said.decode()


def weight(weir):
    words = check(weir).split()
    assert words[:2] == ["up", "ready"] and words[2].endswith("%"), words
    return int(words[2][:-1])


def test_the_line_says_how_many_slots_are_free(world):
    origin = world.origin()
    weir = with_agent(world, origin, concurrency=4)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    assert weight(weir) == 100
    clients = [world.connect(weir).get("/held") for _ in range(4)]
    until(lambda: weight(weir) < 20, "the weight to fall", every=0.1)
    gate.open()
    assert [client.response().status for client in clients] == [200] * 4
    until(lambda: weight(weir) > 50, "the weight to rise", every=0.1)
    m = weir.metrics()
    assert m.one("weir_agent_weight_percent") > 50
    assert m.one("weir_agent_checks_total", reply="up") >= 3
    assert weir.status()["agent"]["reply"] == "up"


def test_the_line_says_that_the_app_is_down_and_that_weir_drains(world):
    origin = world.origin()
    weir = with_agent(world, origin, drain_delay="1s")
    origin.refuse()
    until(lambda: check(weir) == "down #the app is not ready\n", "down", every=0.05)
    origin.listen()
    until(lambda: check(weir).startswith("up ready "), "up", every=0.05)
    assert weir.command("drain").returncode == 0
    assert check(weir) == "drain\n"
    until(lambda: weir.status()["clients"]["active"] == 0 and check(weir) == "drain\n", "the drain")
    weir.signal()
    world.exited(weir)


def test_a_crowd_on_the_port_keeps_no_balancer_out(world):
    weir = with_agent(world, world.origin())
    crowd = Crowd(weir.agent, 200)
    for _ in range(10):
        crowd.send(b"x" * 1000)
        began = time.monotonic()
        assert check(weir).startswith("up ready ")
        assert weir.admin_get("/livez").status == 200
        assert time.monotonic() - began < SOON
    fds = len(os.listdir(f"/proc/{weir.process.pid}/fd"))
    assert fds < 60, f"{fds} descriptors"
    for member in crowd.members:
        member.sock.close()


def test_responses_tell_the_load_if_they_are_asked_to(world):
    origin, weir = world.pair(concurrency=2, queue_length=0, admin_writable="true")
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    assert world.connect(weir).ask("GET", "/").get("Weir-Load") is None
    assert weir.command("set", "headers.load=plain").returncode == 0
    until(lambda: world.connect(weir).ask("GET", "/").get("Weir-Load"), "the change")
    held = [world.connect(weir).get("/held") for _ in range(2)]
    weir.wait_in_flight(2)
    time.sleep(0.002)  # a report is used again for a millisecond
    refused = world.connect(weir).ask("GET", "/")
    assert (refused.status, refused.get("Weir-Load")) == (503, "in_flight=2, limit=2, queued=0")
    gate.open()
    assert [client.response().status for client in held] == [200, 200]


# ---- HAProxy --------------------------------------------------------------------------------------


CONFIG = """
global
  maxconn 2000
defaults
  mode http
  option redispatch
  timeout connect 2s
  timeout client 30s
  timeout server 30s
listen front
  bind 127.0.0.1:{port}
  balance roundrobin
"""


def balancer(world, weirs):
    port = free_port()
    text = CONFIG.format(port=port)
    for i, weir in enumerate(weirs):
        text += f"  server weir{i} 127.0.0.1:{weir.port} weight 100 check inter 500ms agent-check"
        text += f' agent-port {weir.agent[1]} agent-inter {INTER} agent-send "state\\n"\n'
    haproxy = HAProxy(world.folder, text)
    haproxy.port = port
    return haproxy


class Load(threading.Thread):
    """An open loop through HAProxy."""

    def __init__(self, port, rate, seconds):
        super().__init__()
        moments = openloop.poisson(rate, seconds, seed=7)
        self.port, self.arrivals, self.outcomes = port, [(m, "/usuarios") for m in moments], None

    def run(self):
        self.outcomes = openloop.run(self.port, self.arrivals)

    def statuses(self):
        self.join()
        return {o.status for o in self.outcomes}


def served(weirs):
    return [weir.metrics().total("weir_requests_total") for weir in weirs]


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
@pytest.mark.seconds(120 if LONG else 30)
def test_haproxy_sends_a_slow_app_less_and_a_drained_weir_nothing(world):
    """`make agent`: 20 s of each phase, and the shares are printed."""
    phase, rate = (20, 120) if LONG else (3, 60)
    demos = []
    for i, ms in enumerate((20, 20, 400)):
        os.mkdir(world.path(f"demo{i}"))
        demos.append(Demo(world.path(f"demo{i}"), BACKEND_USUARIOS_MS=str(ms)))
    weirs = [
        with_agent(world, demo, concurrency=8 if LONG else 4, drain_delay="1s", drain_timeout="20s")
        for demo in demos
    ]
    haproxy = balancer(world, weirs)
    try:
        load = Load(haproxy.port, rate, phase)
        load.start()
        assert load.statuses() == {200}
        got = served(weirs)
        print(f"\nserved {got}, slow {got[2] / sum(got):.3f} of all, "
              f"weights {[server.weight for server in haproxy.servers().values()]}")
        assert got[2] < 0.75 * min(got[:2]), f"{got}: the slow app got as much as the others"

        load = Load(haproxy.port, rate, phase)
        load.start()
        assert weirs[0].command("drain").returncode == 0
        until(lambda: haproxy.servers()["weir0"].drains, "HAProxy to learn of the drain")
        at = served(weirs)
        assert load.statuses() == {200}, "requests were lost in the drain"
        after = served(weirs)
        print(f"after the drain {[b - a for a, b in zip(at, after)]}, lost 0 of {sum(after)}")
        assert after[0] - at[0] <= 4, f"{at}, {after}: the drained weir got more"
        assert after[1] > at[1]
    finally:
        haproxy.stop()
        for demo in demos:
            demo.stop()
    weirs[0].signal()
    world.exited(weirs[0])
