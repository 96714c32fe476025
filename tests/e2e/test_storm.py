"""The storm: aborts and faults at random, through several limits and threads; the laws must hold.

WEIR_SEED chooses the storm; the seed is printed, so that a failure can be had again. `make storms` has
the long form.
"""

import asyncio
import random
import socket
import struct
import time

import pytest

from support import origin as app
from support import wire
from support.seed import SEED
from support.waiting import until
from support.world import STORMS, scaled


pytestmark = pytest.mark.race
TOTAL = scaled(20_000 if STORMS else 8000, least=2000)
ROUNDS = [(limit, threads) for limit in (1, 7, 80) for threads in (1, 2)]

FIRST_BYTE_TIMEOUT = 2  # seconds; far more than the app takes, even on a busy machine
PATIENCE = 50  # seconds: nothing in the storm may last so long
FAULTS = ("reset-before-head", "reset-in-head", "reset-in-body", "close-in-body") * 5 + ("hang",)
ENDS = ("fin", "rst")


class Plan:
    """One request of the storm, drawn before it is sent."""

    def __init__(self, rng, limit):
        self.began = None  # a moment before its first byte was sent
        self.took = None  # from then until a moment after the app's answer was with the kernel
        self.met_absence = False
        self.number = len(PLANS)
        PLANS.append(self)
        self.method = rng.choice(("GET", "GET", "GET", "POST", "PUT"))
        self.up = 0 if self.method == "GET" else rng.choice((0, 10, 3000, 70_000, 200_000))
        self.up_chunked = rng.random() < 0.5
        self.down = rng.choice((0, 2, 2, 200, 5000, 70_000, 300_000))
        self.down_framing = rng.choice(("length", "length", "chunked", "close"))
        self.work = rng.choice((0, 0, 0.001, 0.003, 0.01)) if limit > 1 else 0
        self.fault = rng.choice(FAULTS) if rng.random() < (0.1 if limit > 1 else 0.04) else ""
        self.abort = rng.choice(ENDS) if rng.random() < 0.2 else ""
        self.abort_at = rng.choice(("upload", "wait", "answer"))
        self.patience = rng.random() * 0.02
        self.keep = rng.random() < 0.7
        self.seed = rng.randrange(1 << 30)

    def age(self):
        return time.monotonic() - self.began

    def target(self):
        return (f"/?down={self.down}&framing={self.down_framing}&work={self.work}"
                f"&fault={self.fault}&seed={self.seed & 7}&plan={self.number}")

    def head(self):
        fields = [] if self.keep else ["Connection: close"]
        if self.method != "GET":
            framing = "Transfer-Encoding: chunked" if self.up_chunked else f"Content-Length: {self.up}"
            fields.append(framing)
        return wire.request(self.method, self.target(), *fields)

    def body(self):
        data = noise(self.up, 0)
        if self.method == "GET" or not self.up_chunked:
            return data
        return wire.chunked(wire.pieces(data, self.seed, largest=30_000))


PLANS = []  # of this storm; a request names its plan
NOISE = {}


def noise(size, seed):
    if (size, seed) not in NOISE:
        NOISE[(size, seed)] = wire.noise(size, seed)
    return NOISE[(size, seed)]


def query_of(call):
    return dict(pair.split("=") for pair in call.target.partition("?")[2].split("&"))


def plan_of(call):
    return PLANS[int(query_of(call)["plan"])]


def script(call):
    """The app's part: what the target asks for."""
    query = query_of(call)
    size, fault = int(query["down"]), query["fault"]
    body = noise(size, int(query["seed"]))
    steps = [app.read_body()]
    if float(query["work"]):
        steps.append(app.delay(float(query["work"])))
    if fault == "hang":
        return steps + [app.hang()]
    if fault == "reset-before-head":
        return steps + [app.reset()]
    if fault == "reset-in-head":
        return steps + [app.send(b"HTTP/1.1 200 OK\r\nContent-Le"), app.reset()]
    if fault:
        partial = wire.response(body=None)[:-2] + b"Content-Length: %d\r\n\r\n" % (size + 10)
        return steps + [app.send(partial + body), app.reset() if "reset" in fault else app.close()]
    return steps + [answer(body, query["framing"], plan_of(call))]


def is_given_up(call):
    """weir may have ended it for its first byte, and has a slot free then, whatever the app does."""
    return "plan=" in call.target and plan_of(call).age() > FIRST_BYTE_TIMEOUT


def answer(body, framing, plan):
    """Says what arrived, so that the client can compare."""
    async def step(call):
        got = f"X-Got: {call.size} {call.sha.hexdigest()}"
        if framing == "chunked":
            parts = wire.pieces(body, len(body), largest=40_000)
            await call.send(wire.response(200, got, body=parts))
        elif framing == "length":
            await call.send(wire.response(200, got, body=body))
        else:
            await call.send(wire.response(200, got, body=None) + body)
            call.finish()
            call.connection.close()
        plan.took = plan.age()

    return step


class Left(Exception):
    """The client has aborted, as planned."""


class StormClient:
    """A client on the event loop: one connection at a time, replaced when it ends."""

    def __init__(self, address, rng, tally, limit):
        self.address, self.rng, self.tally, self.limit = address, rng, tally, limit
        self.sock = None
        self.buf = bytearray()

    async def run(self, n):
        for _ in range(n):
            plan = Plan(self.rng, self.limit)
            try:
                await asyncio.wait_for(self._one(plan), PATIENCE)
            except Left:
                self.tally["left"] += 1
            except asyncio.TimeoutError:
                raise AssertionError(f"no end within {PATIENCE} s: {plan.target()}") from None
            if plan.met_absence:  # or all would be spent on an app that is away
                await self.tally["absent"].over()
        self.drop()

    def drop(self, how="fin"):
        if self.sock is not None:
            if how == "rst":
                linger = struct.pack("ii", 1, 0)
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.sock.close()
        self.sock, self.buf = None, bytearray()

    async def _one(self, plan):
        self.tally["sent"] += 1
        if self.sock is None:
            await self._dial()
        head, body = plan.head(), plan.body()
        plan.began = time.monotonic()
        try:
            await self._send(plan, head, body)
            status = await self._receive(plan)
        except (ConnectionError, wire.Truncated) as error:
            self.drop()
            self._judge_cut(plan, error)
            return
        self._judge(plan, status)
        if not plan.keep:
            self.drop()

    async def _dial(self):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(self.sock, self.address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def _send(self, plan, head, body):
        loop = asyncio.get_running_loop()
        if plan.abort and plan.abort_at == "upload" and body:
            await loop.sock_sendall(self.sock, head + body[: self.rng.randrange(len(body))])
            await self._leave(plan)
        await loop.sock_sendall(self.sock, head + body)
        if plan.abort and plan.abort_at != "answer":
            await self._leave(plan)

    async def _leave(self, plan):
        await asyncio.sleep(plan.patience)
        self.drop(plan.abort)
        raise Left

    async def _fill(self):
        data = await asyncio.get_running_loop().sock_recv(self.sock, 262144)
        if not data:
            raise wire.Truncated("closed")
        self.buf += data

    async def _receive(self, plan):
        while (end := self.buf.find(b"\r\n\r\n")) < 0:
            await self._fill()
        head = wire.Response(*wire.split_head(bytes(self.buf[: end + 4])))
        del self.buf[: end + 4]
        if plan.abort and plan.abort_at == "answer":
            await self._leave(plan)
        head.body = await self._body(head)
        if head.has("Connection", "close"):
            self.drop()
        return head

    async def _body(self, head):
        framing = head.framing("GET")
        if framing == "length":
            return await self._exactly(int(head.get("Content-Length")))
        if framing == "chunked":
            return await self._chunks()
        return await self._rest()

    async def _exactly(self, n):
        while len(self.buf) < n:
            await self._fill()
        body = bytes(self.buf[:n])
        del self.buf[:n]
        return body

    async def _chunks(self):
        reader = wire.ChunkReader()
        body = bytearray(reader.feed(bytes(self.buf)))
        while not reader.done:
            self.buf.clear()
            await self._fill()
            body += reader.feed(bytes(self.buf))
        self.buf = bytearray(reader.pending)
        return bytes(body)

    async def _rest(self):
        try:
            while True:
                await self._fill()
        except wire.Truncated:
            body = bytes(self.buf)
            self.drop()
            return body

    # ---- judging -------------------------------------------------------------------------

    def _judge(self, plan, got):
        self.tally[got.status] = self.tally.get(got.status, 0) + 1
        if got.status != 200:
            assert got.status in (502, 504) and got.get("Weir-Reason"), got
            assert plan.fault or self._is_excused(plan, got), f"{got} without a fault: {vars(plan)}"
            return
        assert not plan.fault, f"a {plan.fault} was answered with 200"
        assert got.body == noise(plan.down, plan.seed & 7), "not the bytes that the app sent"
        want = noise(plan.up, 0) if plan.method != "GET" else b""
        assert got.get("X-Got") == f"{len(want)} {wire.digest(want)}", "not the bytes we sent"

    def _is_excused(self, plan, got):
        """Whether the app was away or, since its machine was too busy, late."""
        if got.status == 502:
            plan.met_absence = self.tally["absent"].within(plan.age())
            return plan.met_absence
        late = plan.took is None or plan.took >= FIRST_BYTE_TIMEOUT
        return late and plan.age() >= FIRST_BYTE_TIMEOUT

    def _judge_cut(self, plan, error):
        self.tally["cut"] += 1
        # An upload that weir has refused is cut when it goes on for long.
        excused = plan.up and self.tally["absent"].within(plan.age())
        assert plan.fault or excused, f"{plan.method} {plan.target()} was cut: {error!r}"


class Absence:
    """The moments in which the app does not listen."""

    def __init__(self):
        self.times, self.ended, self.now = 0, -1e9, False

    def __repr__(self):
        return str(self.times)

    def within(self, seconds):
        return self.now or time.monotonic() - self.ended <= seconds

    async def of(self, origin):
        self.now, self.times = True, self.times + 1
        origin.refuse()
        try:
            await asyncio.sleep(0.02)
        finally:  # also when the storm is over in this moment
            origin.listen()
            self.now, self.ended = False, time.monotonic()

    async def over(self):
        while self.now:
            await asyncio.sleep(0.005)


async def refuse_now_and_then(origin, rng, absent):
    """The app stops listening for moments."""
    while True:
        await asyncio.sleep(0.05 + rng.random())
        await absent.of(origin)


async def storm(weir, origin, limit, n, seed, tally):
    workers = min(limit * 3 + 20, 200)
    rng = random.Random(seed)
    clients = [
        StormClient(weir.address, random.Random(rng.random()), tally, limit) for _ in range(workers)
    ]
    faults, jobs = asyncio.create_task(refuse_now_and_then(origin, rng, tally["absent"])), []
    try:
        shares = [n // workers + (i < n % workers) for i in range(workers)]
        jobs = [asyncio.create_task(c.run(share)) for c, share in zip(clients, shares)]
        await asyncio.gather(*jobs)
    finally:
        rest = [faults, *jobs]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        for client in clients:
            client.drop()


def limit_requests_still_run_at_once(world, weir, origin, limit):
    gate = origin.gate()
    origin.choose = None
    head = wire.response(200, "Content-Length: 4", body=None)
    origin.on("/held", app.send(head), app.wait(gate), app.send(b"held"))
    clients = [world.connect(weir).get("/held") for _ in range(limit)]
    origin.wait_inside(limit)
    extra = world.connect(weir).get("/held")
    weir.wait_depth(1)
    gate.open()
    for client in clients + [extra]:
        assert client.response().body == b"held"


@pytest.mark.seconds(120)
@pytest.mark.parametrize("limit, threads", ROUNDS)
def test_the_laws_hold_in_a_storm(world, limit, threads):
    n = TOTAL // len(ROUNDS)
    print(f"WEIR_SEED={SEED}")
    origin, weir = world.pair(
        concurrency=limit, threads=threads, queue_length=2000, queue_timeout="60s",
        upstream_first_byte_timeout=f"{FIRST_BYTE_TIMEOUT}s",
    )
    PLANS.clear()
    origin.choose, origin.is_given_up = script, is_given_up
    tally = {"sent": 0, "left": 0, "cut": 0, "absent": Absence()}
    began = time.monotonic()
    asyncio.run(storm(weir, origin, limit, n, SEED + limit * 10 + threads, tally))
    print(f"{tally} in {time.monotonic() - began:.1f} s")
    assert tally["sent"] == n
    m = weir.wait_quiet(within=30)
    assert origin.most_inside <= limit
    assert m.one("weir_accounting_error_total") == 0
    assert tally[200] > n / 4
    until(lambda: not origin.inside_now(), "the app to be empty")
    limit_requests_still_run_at_once(world, weir, origin, limit)
    assert origin.most_inside == limit
    assert weir.rss() < 200 << 20
