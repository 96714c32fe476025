"""The slow storm: bodies that trickle, 100s, upgrades and readers that stop, all at once and at
random, ended in every way by both sides. Nothing may be left of it: no slot, no place for a tunnel,
no byte of the budget.

WEIR_SEED chooses the storm; the seed is printed, so that a failure can be had again.
"""

import asyncio
import random
import signal
import socket

import pytest

from support import origin as app
from support import wire
from support.client import reset_socket
from support.seed import SEED
from support.waiting import until
from support.world import scaled


pytestmark = pytest.mark.race
TOTAL = scaled(2000, least=300)
WORKERS = 40
WINDOW = 65536  # what sockets accept unread; else the kernel would keep what weir is to keep
PATIENCE = 25  # seconds: nothing in the storm may last so long

ROUNDS = [(1, 1), (3, 1), (8, 2)]  # limit, threads
SMALL = {  # so that every bound is met
    "queue_length": 30,
    "queue_timeout": "500ms",
    "buffers_request": "8KiB",
    "buffers_response": "16KiB",
    "buffers_budget": "1MiB",
    "client_body_timeout": "250ms",
    "client_send_timeout": "400ms",
    "client_max_body": "1MiB",
    "upstream_first_byte_timeout": "500ms",
    "upstream_idle_timeout": "500ms",
    "headers_server_timing": "true",
}

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

ENDS = ("fin", "rst", "half")
REFUSALS = {400, 408, 413, 502, 503, 504}


class Gone(Exception):
    """The connection is over: ended by us, or by weir."""


# ---- the app -------------------------------------------------------------------------------------


async def tell_what_came(call):
    """The body's digest, for the client to compare."""
    down = int(query_of(call).get("down", "2"))
    await app.answer(b"x" * down, 200, f"X-Got: {call.sha.hexdigest()}")(call)


async def echo(call):
    conn, call.waiting_for_peer = call.connection, True
    while conn.buf or await conn.fill():
        data = bytes(conn.buf)
        conn.buf.clear()
        await conn.send(data)


HALF = wire.response(body=None)[:-2] + b"Content-Length: 9\r\n\r\nhalf"
SCRIPTS = {
    "read": (app.read_body(), tell_what_came),
    "slow": (app.delay(0.02), app.read_body(), tell_what_came),
    "hints": (app.send(HINTS), app.read_body(), app.send(HINTS), tell_what_came),
    "early": (app.answer(b"early"), app.delay(0.02), app.close()),
    "deaf": (app.hang(), app.close()),
    "reset": (app.delay(0.005), app.reset()),
    "cut": (app.send(HALF), app.close()),
    "switch": (app.send(SWITCH), echo, app.close()),
    "first": (app.send(SWITCH + b"first"), app.close()),
    "vanish": (app.send(SWITCH), app.delay(0.01), app.reset()),
    "mute": (app.send(SWITCH), app.hang(), app.close()),
    "wrong": (app.send(SWITCH.replace(b"raw", b"h2c")), app.hang(), app.close()),
}


def query_of(call):
    return dict(pair.split("=") for pair in call.target.partition("?")[2].split("&"))


def script(call):
    first = (app.send(CONTINUE),) if call.get("Expect") else ()
    return first + SCRIPTS[query_of(call)["do"]]


# ---- the clients ---------------------------------------------------------------------------------


class Peer:
    """One client on the event loop, one connection at a time."""

    def __init__(self, address, rng, tally, may_be_cut):
        self.address, self.rng, self.tally, self.may_be_cut = address, rng, tally, may_be_cut
        self.sock, self.buf = None, bytearray()

    async def run(self, n):
        for _ in range(n):
            try:
                await asyncio.wait_for(self._one(), PATIENCE)
            except asyncio.TimeoutError:  # an OSError, too
                raise AssertionError(f"no end within {PATIENCE} s") from None
            except (Gone, OSError):
                self.drop()
        self.drop()

    async def _one(self):
        act = self.rng.choice((self.upload, self.upload, self.tunnel, self.download))
        self.tally[act.__name__] = self.tally.get(act.__name__, 0) + 1
        if self.sock is None:
            self.sock, self.buf = socket.socket(), bytearray()
            self.sock.setblocking(False)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
            await asyncio.get_running_loop().sock_connect(self.sock, self.address)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await act()
        if self.rng.random() < 0.2:
            self.drop()

    def drop(self, how="fin"):
        if self.sock is not None:
            reset_socket(self.sock) if how == "rst" else self.sock.close()
        self.sock = None

    async def leave(self, how):
        if how == "half":
            self.sock.shutdown(socket.SHUT_WR)
            await asyncio.sleep(self.rng.random() * 0.02)
        self.drop("rst" if how == "rst" else "fin")
        raise Gone

    async def send(self, data):
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def fill(self):
        data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        if not data:
            raise Gone
        self.buf += data

    async def exactly(self, n):
        while len(self.buf) < n:
            await self.fill()
        out = bytes(self.buf[:n])
        del self.buf[:n]
        return out

    async def head(self):
        while (end := self.buf.find(b"\r\n\r\n")) < 0:
            await self.fill()
        return wire.Response(*wire.split_head(await self.exactly(end + 4)))

    async def answer(self):
        """The final answer with its body; weir's own always say why."""
        while (got := await self.head()).status in (100, 103):
            pass
        if got.status == 101:
            return got
        got.body = await self.exactly(int(got.get("Content-Length")))
        assert (got.get("Weir-Reason") is None) == (got.status == 200), got
        assert got.status == 200 or got.status in REFUSALS, got
        self.tally[got.status] = self.tally.get(got.status, 0) + 1
        if got.has("Connection", "close"):
            self.drop()
        return got

    # ---- what they do ----------------------------------------------------------------------

    async def upload(self):
        rng = self.rng
        size = rng.choice((1, 11, 500, 5000, 8192, 8193, 20_000, 70_000, 400_000, 2_000_000))
        data, chunked = wire.noise(size, 1), rng.random() < 0.4
        body = wire.chunked(wire.pieces(data, rng.randrange(99), largest=9000)) if chunked else data
        do = rng.choice(("read", "read", "slow", "hints") * 3 + ("early", "deaf", "reset", "cut"))
        end = rng.choice(("whole",) * 6 + ("stop", "bad") + ENDS)
        name = f"request-{rng.randrange(1 << 30)}"
        fields = [
            "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}",
            f"X-Request-Id: {name}",
        ]
        expects = rng.random() < 0.3
        if expects:
            fields.append("Expect: 100-continue")
        head = wire.request(rng.choice(("POST", "PUT")), f"/?do={do}", *fields)
        if expects:
            await self.send(head)
            await self.wait_for_100()
            head = b""
        if end == "bad" and chunked:
            body = body[: len(body) // 2] + b"\r\nxx\r\n"
        elif end != "whole":
            body = body[: rng.randrange(len(body))]
        follows = end == "whole" and rng.random() < 0.3
        if follows:
            body += wire.request("GET", "/?do=read")
        await self.trickle(head + body)
        if end in ENDS:
            await self.leave(end)
        got = await self.answer()
        assert got.get("X-Request-Id") == name
        may_be_ok = do == "early" or end == "whole"
        assert got.status != 200 or may_be_ok, f"{got} to half a body"
        if got.status == 200 and do in ("read", "slow", "hints"):
            assert got.get("X-Got") == wire.digest(data), "not the bytes that were sent"
        if follows and self.sock is not None:
            got = await self.answer()
            assert got.status != 200 or got.get("X-Got") == wire.digest(b""), "the body went on"

    async def wait_for_100(self):
        """For a moment; a final answer that comes instead is put back."""
        for _ in range(self.rng.choice((0, 20))):
            if self.buf:
                return
            try:
                await asyncio.wait_for(self.fill(), 0.005)
            except asyncio.TimeoutError:
                pass

    async def trickle(self, data):
        pause = self.rng.choice((0, 0, 0.001, 0.01, 0.06))
        step = max(1, len(data) // self.rng.randint(1, 12))
        for at in range(0, len(data), step):
            await self.send(data[at : at + step])
            await asyncio.sleep(pause)

    async def download(self):
        rng = self.rng
        do = rng.choice(("read", "read", "read", "slow", "early", "deaf", "reset", "cut"))
        down = rng.choice((2, 200, 20_000, 500_000, 6_000_000))
        await self.send(wire.request("GET", f"/?do={do}&down={down}"))
        if rng.random() < 0.2:
            await self.leave(rng.choice(ENDS))
        if rng.random() < 0.4:
            await asyncio.sleep(rng.random() * 0.7)
            if rng.random() < 0.5:
                await self.leave(rng.choice(ENDS))
        await self.answer()

    async def tunnel(self):
        rng = self.rng
        do = rng.choice(("switch",) * 4 + ("first", "vanish", "mute", "wrong", "read", "reset"))
        early = b"early" if do == "switch" and rng.random() < 0.3 else b""
        ask = wire.request("GET", f"/?do={do}", "Connection: Upgrade", "Upgrade: raw")
        await self.send(ask + early)
        if rng.random() < 0.1:
            await self.leave(rng.choice(ENDS))
        got = await self.answer()
        if got.status != 101:
            self.drop()  # `early` is no request
            return
        self.tally[101] = self.tally.get(101, 0) + 1
        assert do in ("switch", "first", "vanish", "mute"), f"{got} to {do}"
        try:
            if do == "first":
                assert await self.exactly(5) == b"first"
            if do == "switch":
                await self.converse(early)
        except (Gone, OSError) as error:
            assert self.may_be_cut or self.sock is None, f"{do} was cut: {error!r}"
            raise
        if do == "mute":
            await self.leave(rng.choice(ENDS))
        while True:
            await self.fill()

    async def converse(self, early):
        assert await self.exactly(len(early)) == early
        for size in self.rng.choices((1, 100, 5000, 60_000), k=self.rng.randrange(4)):
            data = wire.noise(size, size)
            sending = asyncio.create_task(self.send(data))
            assert await self.exactly(size) == data, "not the bytes that were sent"
            await sending
        how = self.rng.choice(ENDS)
        if how != "half":
            await self.leave(how)
        self.sock.shutdown(socket.SHUT_WR)


async def storm(weir, n, seed, tally, meanwhile=None):
    rng, cut = random.Random(seed), meanwhile is not None
    peers = [Peer(weir.address, random.Random(rng.random()), tally, cut) for _ in range(WORKERS)]
    jobs = [asyncio.create_task(peer.run(n // WORKERS)) for peer in peers]
    if meanwhile:
        jobs.append(asyncio.create_task(meanwhile()))
    try:
        await asyncio.gather(*jobs)
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        for peer in peers:
            peer.drop()


def slow_pair(world, **options):
    origin, weir = world.pair(**SMALL, **options)
    origin.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
    origin.choose = script
    return origin, weir


# ---- what must be left of it ---------------------------------------------------------------------


def nothing_is_kept(weir):
    def empty():
        m = weir.metrics()
        kept = sum(m.series("weir_buffered_bytes").values())
        return (
            m
            if not kept and not sum(m.series("weir_connections", side="client").values())
            else None
        )

    return until(empty, "the last byte and connection to be gone")


def all_places_are_there(world, weir, origin, limit):
    """As many tunnels as are allowed, and not one more; and one slot for requests, if there are two."""
    ask = ("Connection: Upgrade", "Upgrade: raw")
    tunnels = [world.connect(weir).get("/?do=switch", *ask) for _ in range(max(1, limit - 1))]
    for tunnel in tunnels:
        assert tunnel.head().status == 101
    assert world.connect(weir).ask("GET", "/?do=switch", *ask).get("Weir-Reason") == "upgrades"
    if limit > 1:
        assert world.connect(weir).ask("GET", "/?do=read").status == 200
    for tunnel in tunnels:
        tunnel.half_close().rest()
    origin.choose = None
    for last in (False, False, True):  # on a busy machine the timeouts may come first: half a second
        try:
            return all_slots_are_held(world, weir, origin, limit)
        except AssertionError:
            weir.wait_quiet()
            until(lambda: not origin.inside_now(), "the app to be empty")
            if last:
                raise


def all_slots_are_held(world, weir, origin, limit):
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    try:
        clients = [world.connect(weir).get("/held") for _ in range(limit)]
        origin.wait_inside(limit, within=2)
        clients.append(world.connect(weir).get("/held"))
        weir.wait_depth(1, within=2)
    finally:
        gate.open()
    for client in clients:
        assert client.response().status == 200


@pytest.mark.seconds(90)
@pytest.mark.parametrize("limit, threads", ROUNDS)
def test_nothing_is_left_of_a_slow_storm(world, limit, threads):
    print(f"WEIR_SEED={SEED}")
    origin, weir = slow_pair(world, concurrency=limit, threads=threads)
    tally = {}
    asyncio.run(storm(weir, TOTAL // len(ROUNDS), SEED + limit, tally))
    print(tally)
    weir.wait_quiet(within=20)
    m = nothing_is_kept(weir)
    assert m.one("weir_accounting_error_total") == 0
    assert tally.get(200, 0) > 0
    until(lambda: not origin.inside_now(), "the app to be empty")
    all_places_are_there(world, weir, origin, limit)


@pytest.mark.seconds(60)
@pytest.mark.parametrize("signals", [1, 2], ids=["drained", "cut"])
def test_a_slow_storm_may_be_drained_and_cut_at_any_time(world, signals):
    """At the end weir itself checks that nothing is held."""
    print(f"WEIR_SEED={SEED}")
    for i in range(scaled(4)):
        origin, weir = slow_pair(
            world, concurrency=3, threads=2, drain_timeout="600ms", upgrades_idle_timeout="200ms"
        )
        rng = random.Random(SEED + i)

        async def stop():
            for _ in range(signals):
                await asyncio.sleep(0.1 + rng.random() * 0.4)
                weir.signal(signal.SIGTERM)

        asyncio.run(storm(weir, WORKERS * 20, SEED + i, {}, stop))
        code = weir.wait_exit()
        assert code in (0, 3), f"exit code {code}\n{weir.log()}"
        weir.exited(code)
