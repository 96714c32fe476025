"""Attacks that hold connections or memory: a good client hardly notices, and all come to an end.

WEIR_ATTACK=2000 (make attack) is the full form: so many connections a tool's attack.
"""

import os
import resource
import shutil
import subprocess
import time

import pytest

from support import origin as app
from support import wire
from support.crowd import Crowd
from support.demo import Demo
from support.steady import Steady, p99
from support.waiting import SOON, stays, until
from support.world import scaled

MIB = 1 << 20
LIMIT = 10
MANY = scaled(100, least=20)


def clients(weir):
    return weir.metrics().total("weir_connections", side="client")


def counted(weir, **labels):
    return weir.metrics().total("weir_requests_total", **labels)


# ---- slowhttptest --------------------------------------------------------------------------------

FULL = int(os.environ.get("WEIR_ATTACK", "0"))
ATTACKERS = FULL or scaled(200, least=40)
SECONDS = 2 if FULL else 1  # each of weir's timeouts, and how long the tool takes to open all
ALONE = 4 if FULL else 1  # seconds of the good client without an attack
MOST_MEMORY = 40 * MIB
TRIES = 3
# Milliseconds that are too few to judge by. In the short form, which also runs where much else does,
# they tell only whether the good client waits for an attacker to be timed out.
FLOOR = 5 if FULL else 500

# What the tool is told, what it asks for, and whether its connections stay. More ranges make a head
# that the demo's library does not take.
MODES = {
    "slow heads": (["-H"], "/usuarios?ms=0", True),
    "slow bodies": (["-B"], "/echo", True),
    "slow reads": (["-X"], "/usuarios?ms=0&bytes=100000", True),
    "ranges": (["-R", "-b", "400"], "/usuarios?ms=0", False),
}


class Tool:
    """A slowhttptest at work; left alone it would go on for a minute."""

    def __init__(self, weir, how, target, log):
        rate = str(max(1, ATTACKERS // SECONDS))
        url = f"http://127.0.0.1:{weir.port}{target}"
        self.process = subprocess.Popen(
            [
                "slowhttptest",
                *how,
                "-c",
                str(ATTACKERS),
                "-r",
                rate,
                "-i",
                "1",
                "-l",
                "60",
                "-u",
                url,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def demo(tmp_path):
    demo = Demo(tmp_path)
    yield demo
    demo.stop()


def allow_descriptors(n):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < n:
        pytest.skip(f"only {hard} files may be open, and {n} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n), hard))


def calm(weir):
    """The good client's p99 while it is alone."""
    with Steady(weir.address, "/ping") as good:
        time.sleep(ALONE)
        return p99(good.stop())


def attack(weir, demo, mode, log):
    """The good client's p99, the most connections at once, and the seconds until all were closed."""
    how, target, stays_open = MODES[mode]

    def others():
        pings = demo.metrics().one("backend_requests_total", handler="ping")
        return counted(weir) - pings

    before, most, began = others(), 0, time.monotonic()
    with Steady(weir.address, "/ping") as good, Tool(weir, how, target, log):

        def over():
            nonlocal most
            here = clients(weir)
            most = max(most, here)
            return here <= 1 and others() - before >= ATTACKERS

        until(over, "the end of all attackers", within=2 * SECONDS + 4 * SOON, every=0.05)
        took = time.monotonic() - began
        times = good.stop()
    assert not stays_open or most >= ATTACKERS / 4, f"only {most} attackers at once"
    return p99(times), most, took


@pytest.mark.seconds(120)
@pytest.mark.skipif(not shutil.which("slowhttptest"), reason="slowhttptest is not installed")
@pytest.mark.parametrize("mode", MODES)
def test_a_good_client_hardly_notices(world, demo, tmp_path, mode):
    allow_descriptors(2 * ATTACKERS + 500)
    names = ("head", "body", "send", "keepalive")
    weir = world.weir(
        demo.upstream,
        concurrency=LIMIT,
        client_max_connections=ATTACKERS + 100,
        **{f"client_{name}_timeout": f"{SECONDS}s" for name in names},
    )
    sanitized = weir.rss() > 12 * MIB  # with memory of its own that is not weir's
    told, fine = [], False
    with open(tmp_path / "slowhttptest.log", "w+b") as log:
        while not fine:
            assert len(told) < TRIES, told
            alone = calm(weir)
            among, most, took = attack(weir, demo, mode, log)
            fine = among <= max(2 * alone, FLOOR)
            told.append(
                f"p99 {alone:.2f} ms alone and {among:.2f} among {most:.0f} attackers,"
                f" all of them closed after {took:.1f} s; {weir.peak_rss() / MIB:.1f} MiB"
            )
    print(f"\n{mode}: {'; '.join(told)}")
    assert sanitized or weir.peak_rss() <= MOST_MEMORY, told
    held = [world.connect(weir).get("/usuarios?ms=200") for _ in range(3 * LIMIT)]
    assert [client.response().status for client in held] == [200] * len(held)
    assert demo.most_at_once("all") == LIMIT


# ---- by hand --------------------------------------------------------------------------------------


def asks_on(good):
    """A moment of its life: it is answered soon, whatever goes on."""
    began = time.monotonic()
    assert good.ask("GET", "/good").status == 200
    assert time.monotonic() - began < SOON


def trickle_until_ended(crowd, good, piece, within):
    """Each sends a piece now and then, and takes what comes, until weir has had enough of all."""

    def ended():
        crowd.send(piece)
        crowd.read()
        asks_on(good)
        return crowd.open() == 0

    until(ended, "the end of the crowd", within, every=0.05)


def check_limit(world, origin, weir):
    """As many as the limit are let in, and no more: nobody still holds a slot."""
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    held = [world.connect(weir).get("/held") for _ in range(2 * LIMIT)]
    origin.wait_inside(LIMIT)
    weir.wait_depth(LIMIT)
    gate.open()
    assert [client.response().status for client in held] == [200] * len(held)
    assert origin.most_inside == LIMIT


def test_heads_that_trickle_are_cut_and_nobody_waits_for_them(world):
    origin, weir = world.pair(concurrency=LIMIT, client_head_timeout="1s")
    good = world.connect(weir)
    with Crowd(weir.address, MANY) as crowd:
        crowd.send(b"GET /slow HTTP/1.1\r\nHost: app.test\r\n")
        trickle_until_ended(crowd, good, b"X-A: b\r\n", within=1 + SOON)
        assert crowd.statuses() == [408] * MANY
    assert set(origin.targets()) == {"/good"}
    assert counted(weir, code="408") == MANY
    check_limit(world, origin, weir)


def test_clients_that_never_say_a_word_are_shown_out(world):
    origin, weir = world.pair(client_head_timeout="1s")
    good = world.connect(weir)
    with Crowd(weir.address, MANY) as crowd:
        trickle_until_ended(crowd, good, b"", within=1 + SOON)
        assert [member.came for member in crowd.members] == [b""] * MANY
    world.expect_requests(weir, len(origin.calls))


@pytest.mark.parametrize(
    "start, piece, status",
    [
        (b"GET / HTTP/1.1\r\nHost: app.test\r\n", b"X-A: b\r\n" * 12_000, 431),
        (b"GET / HTTP/1.1\r\nHost: app.test\r\nX-A: ", b"b" * 96_000, 431),
        (b"GET /", b"b" * 96_000, 414),
    ],
    ids=["fields", "a field", "a target"],
)
def test_endless_heads_are_refused_before_they_end(world, start, piece, status):
    origin, weir = world.pair(client_head_timeout="60s")
    good = world.connect(weir)
    before = weir.rss()
    with Crowd(weir.address, MANY) as crowd:
        crowd.send(start)
        trickle_until_ended(crowd, good, piece, within=2 * SOON)
        assert crowd.statuses() == [status] * MANY
    assert weir.rss() - before < 24 * MIB
    assert set(origin.targets()) == {"/good"}


def test_bodies_that_trickle_are_cut_and_nobody_waits_for_them(world):
    origin, weir = world.pair(concurrency=LIMIT, client_body_timeout="1s")
    good = world.connect(weir)
    with Crowd(weir.address, MANY) as crowd:
        crowd.send(wire.request("POST", "/slow", "Content-Length: 4096"))
        trickle_until_ended(crowd, good, b"b", within=1 + SOON)
        assert crowd.statuses() == [408] * MANY
    weir.wait_in_flight(0)
    check_limit(world, origin, weir)


def test_readers_that_stop_hold_no_more_than_the_budget_and_are_cut(world):
    many = 30
    origin, weir = world.pair(
        concurrency=many + LIMIT, buffers_budget="1MiB", client_send_timeout="1s"
    )
    origin.on("/big", app.answer(bytes(4 * MIB)))
    good = world.connect(weir)
    held = 0
    with Crowd(weir.address, many, slow=True) as crowd:
        crowd.send(wire.request("GET", "/big"))

        def ended():
            nonlocal held
            held = max(held, weir.metrics().one("weir_buffered_bytes", what="response"))
            asks_on(good)
            crowd.look()
            return crowd.open() == 0

        until(ended, "the end of the crowd", within=1 + SOON, every=0.02)
    assert MIB / 2 <= held <= 1.5 * MIB
    assert weir.wait_quiet().total("weir_buffered_bytes") == 0
    assert counted(weir, code="499") == many


def test_requests_behind_one_that_is_not_read_hold_no_more_than_the_budget(world):
    many, read_at_once = 100, 8192
    origin, weir = world.pair(buffers_budget="1MiB", client_send_timeout="60s")
    good = world.connect(weir)
    asks_on(good)
    request = wire.request("OPTIONS", "/", "Max-Forwards: 0")  # weir itself answers
    with Crowd(weir.address, many, slow=True) as crowd:

        def full():
            crowd.send(request * 2000)
            m = weir.metrics()
            return m.total("weir_connections", side="client", state="active") == many and m

        most = MIB + many * read_at_once
        held = until(full, "all to be in the way", every=0.05).total("weir_buffered_bytes")
        assert MIB / 2 <= held <= most
        stays(lambda: weir.metrics().total("weir_buffered_bytes") <= most, "the bound")
        asks_on(good)
    until(lambda: weir.glance().total("weir_buffered_bytes") == 0, "all to be given back")
    assert set(origin.targets()) == {"/good"}


@pytest.mark.parametrize("threads", [1, 2])
def test_at_the_bound_nobody_comes_in_while_all_inside_are_served(world, threads):
    origin, weir = world.pair(concurrency=MANY, client_max_connections=MANY, threads=threads)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    held = [world.connect(weir).get("/held") for _ in range(MANY)]
    origin.wait_inside(MANY)
    late = [world.connect(weir).get("/late") for _ in range(MANY)]
    stays(lambda: clients(weir) == MANY, "the bound")
    assert origin.seen("/late") == []
    # One that leaves makes room, though its request is still in the app; so do those that become
    # idle.
    held[0].rst()
    weir.wait_depth(1)
    gate.open()
    assert [client.response().status for client in held[1:] + late] == [200] * (2 * MANY - 1)
