"""The books of a mixed load: what clients measured, the access log, and /metrics must agree.

`load` sends requests of every kind that is not a tunnel, drawn beforehand: bodies and streams of
either side, slow heads, uploads and readers, clients that leave, an app that fails, hangs, drops
reused connections or stops listening, and requests that weir refuses. `check` compares each request
with its line, and the sums of the lines with the page.
"""

import asyncio
import json
import random
import re
import socket
import time
from collections import Counter

from . import origin as app
from . import wire
from .client import reset_socket
from .waiting import until

PHASES = "head body_wait queue connect send first_byte transfer backpressure delivery".split()
INSIDE = "connect send first_byte transfer backpressure orphan".split()
OPTIONS = {  # every bound is met
    "queue_length": 30,
    "queue_timeout": "150ms",
    "buffers_response": "64KiB",
    "client_max_body": "1MiB",
    "client_head_timeout": "5s",
    "client_body_timeout": "200ms",
    "upstream_first_byte_timeout": "250ms",
    "upstream_idle_timeout": "250ms",
    "headers_server_timing": "true",
    "log_access": "all",
}
WINDOW = 32768  # bytes that a client's socket takes unread
PATIENCE = 30  # seconds: no request lasts so long
FAULTS = ("hang", "reset-before", "reset-head", "reset-body", "close-body", "drop", "drop", "drop")
REFUSED = {"bad": "GET", "late": None, "large": "GET", "last-hop": "OPTIONS"}  # with this method


class Plan:
    """One request, and what became of it."""

    def __init__(self, rng, number, calm):
        self.name = f"r{number}"
        self.do, self.work = "ok", rng.choice((0, 0, 0, 0.001, 0.003, 0.008))
        dice = rng.random()
        if dice < 0.05:
            self.do = "stream"
        elif dice < 0.09 and not calm:
            self.do = rng.choice(FAULTS)
        elif dice < 0.12:
            self.do = rng.choice(list(REFUSED))
        method = rng.choice(("GET", "GET", "GET", "GET", "HEAD", "POST", "PUT"))
        self.method = REFUSED.get(self.do) or method
        self.up = rng.choice((0, 1, 900, 5000, 20_000, 100_000, 900_000)) if self.method in ("POST", "PUT") else 0
        self.chunked = rng.random() < 0.4
        self.down = rng.choice((0, 2, 2, 2, 300, 300, 4000, 50_000, 400_000))
        self.framing = rng.choice(("length", "length", "length", "chunked", "close"))
        self.slow_head = rng.random() * 0.02 if rng.random() < 0.03 else 0
        self.slow_up = rng.random() * 0.01 if rng.random() < 0.1 else 0
        self.slow_down = rng.random() * 0.03 if rng.random() < 0.05 else 0
        if self.slow_down and self.down == 400_000:
            self.down = 3_000_000  # more than sockets and weir hold unread
        self.leaves = rng.choice(("upload", "wait", "wait", "body")) if rng.random() < 0.08 else ""
        self.patience, self.rst = rng.random() * 0.02, rng.random() < 0.5
        self.keep = rng.random() < 0.8
        self.front = round(rng.random() * 2e6) if rng.random() < 0.2 else None  # us before weir
        self.trace = f"{rng.getrandbits(128) | 1:032x}" if rng.random() < 0.2 else None
        self.written = self.began = self.took = self.status = self.reason = self.queue = None
        self.got, self.end = 0, ""

    def head(self):
        target = f"/{self.name}?do={self.do}&down={self.down}&framing={self.framing}&work={self.work}"
        fields = [f"X-Request-Id: {self.name}"]
        if not self.keep:
            fields.append("Connection: close")
        if self.method in ("POST", "PUT"):
            fields.append("Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {self.up}")
        self.written = time.monotonic()
        if self.front is not None:
            fields.append(f"X-Request-Start: t={int(time.time() * 1e6) - self.front}")
        if self.trace:
            fields.append(f"traceparent: 00-{self.trace}-00f067aa0ba902b7-01")
        if self.do == "late":
            fields.append("Request-Timeout: 0")
        if self.do == "large":
            fields.append(f"Content-Length: {1 << 30}")
        if self.do == "last-hop":
            fields.append("Max-Forwards: 0")
        if self.do == "bad":
            fields = ["not a field"]
        return wire.request(self.method, target, *fields)

    def body(self):
        if self.method not in ("POST", "PUT"):
            return b""
        data = b"x" * self.up
        return wire.chunked(wire.pieces(data, self.up, 30_000)) if self.chunked else data


# ---- the app -------------------------------------------------------------------------------------

HALF = wire.response(body=None)[:-2] + b"Content-Length: 9\r\n\r\nhalf"
ENDINGS = {
    "hang": (app.hang(),),
    "reset-before": (app.reset(),),
    "reset-head": (app.send(b"HTTP/1.1 200 OK\r\nContent-Le"), app.reset()),
    "reset-body": (app.send(HALF), app.reset()),
    "close-body": (app.send(HALF), app.close()),
}


def script(call):
    query = dict(pair.split("=") for pair in call.target.partition("?")[2].split("&"))
    size, do = int(query["down"]), query["do"]
    work = [app.delay(float(query["work"]))] if float(query["work"]) else []
    # An app that works before it reads does not let weir send a large body.
    steps = [*work, app.read_body()] if size % 4 else [app.read_body(), *work]
    if do == "drop" and len(call.connection.calls) > 1:
        return [app.close()]
    if do == "stream":
        head = wire.response(body=None)[:-2] + b"Content-Length: 3\r\n\r\n"
        return [*steps, app.send(head), app.drip(b"abc"[: 0 if call.method == "HEAD" else 3], 0.004)]
    return [*steps, *ENDINGS.get(do, (respond(size, query["framing"]),))]


def respond(size, framing):
    async def step(call):
        if call.method == "HEAD":
            return await call.send(wire.response(body=None)[:-2] + b"Content-Length: %d\r\n\r\n" % size)
        body = b"y" * size
        if framing == "close":
            await call.send(wire.response(body=None) + body)
            call.finish()
            return call.connection.close()
        return await call.send(wire.response(body=wire.pieces(body, size, 30_000) if framing == "chunked" else body))

    return step


async def stop_listening_now_and_then(origin, rng):
    while True:
        await asyncio.sleep(0.3 + rng.random())
        origin.refuse()
        try:
            await asyncio.sleep(0.02)
        finally:
            origin.listen()


# ---- the clients ---------------------------------------------------------------------------------


class Left(Exception):
    """The client has left, as planned."""


class Peer:
    """A client on the event loop, with one connection at a time."""

    def __init__(self, address):
        self.address, self.sock, self.buf = address, None, bytearray()

    async def run(self, plans):
        for plan in plans:
            if self.sock is None:
                await self._dial()
            try:
                await asyncio.wait_for(self._one(plan), PATIENCE)
                plan.end = "answered"
            except Left:
                plan.end = "left"
            except asyncio.TimeoutError:
                raise AssertionError(f"no end within {PATIENCE} s: {vars(plan)}") from None
            except (ConnectionError, wire.Truncated):
                plan.end = "cut"
                self.drop()
            plan.took = time.monotonic() - plan.began
        self.drop()

    async def _dial(self):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
        await asyncio.get_running_loop().sock_connect(self.sock, self.address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def drop(self, rst=False):
        if self.sock is not None:
            reset_socket(self.sock) if rst else self.sock.close()
        self.sock, self.buf = None, bytearray()

    async def _leave(self, plan):
        await asyncio.sleep(plan.patience)
        self.drop(plan.rst)
        raise Left

    async def _send(self, data):
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def _one(self, plan):
        head, body = plan.head(), plan.body()
        plan.began = time.monotonic()
        if plan.slow_head:
            await self._send(head[:20])
            await asyncio.sleep(plan.slow_head)
            head = head[20:]
        if plan.leaves == "upload" and body:
            await self._send(head + body[: len(body) // 2])
            await self._leave(plan)
        if plan.slow_up and body:
            await self._send(head + body[: len(body) // 2])
            await asyncio.sleep(plan.slow_up)
            head, body = b"", body[len(body) // 2 :]
        await self._send(head + body)
        if plan.leaves == "wait":
            await self._leave(plan)
        await self._receive(plan)

    async def _fill(self, plan):
        data = await asyncio.get_running_loop().sock_recv(self.sock, WINDOW)
        if not data:
            raise wire.Truncated("closed")
        self.buf += data
        if plan.slow_down and plan.status:
            await asyncio.sleep(plan.slow_down)
            plan.slow_down /= 2

    async def _receive(self, plan):
        while (end := self.buf.find(b"\r\n\r\n")) < 0:
            await self._fill(plan)
        head = wire.Response(*wire.split_head(bytes(self.buf[: end + 4])))
        del self.buf[: end + 4]
        plan.status, plan.reason = head.status, head.get("Weir-Reason")
        timing = re.match(r"queue;dur=([0-9.]+)", head.get("Server-Timing", ""))
        plan.queue = timing and round(float(timing[1]) * 1000)
        if plan.leaves == "body":
            await self._leave(plan)
        await self._body(plan, head)
        if head.has("Connection", "close"):
            self.drop()

    async def _body(self, plan, head):
        framing = head.framing(plan.method)
        reader = wire.ChunkReader() if framing == "chunked" else None
        wanted = int(head.get("Content-Length")) if framing == "length" else None
        while framing != "none":
            data = bytes(self.buf)
            self.buf.clear()
            plan.got += len(reader.feed(data) if reader else data)
            if plan.got == wanted or (reader and reader.done):
                return
            try:
                await self._fill(plan)
            except wire.Truncated:
                if framing != "close":
                    raise
                return self.drop()


async def _load(weir, origin, plans, rng, workers):
    shares = [plans[i::workers] for i in range(workers)]
    peers = [Peer(weir.address) for _ in shares]
    faults = asyncio.create_task(stop_listening_now_and_then(origin, rng))
    jobs = [asyncio.create_task(peer.run(share)) for peer, share in zip(peers, shares)]
    try:
        await asyncio.gather(*jobs)
    finally:
        for job in [faults, *jobs]:
            job.cancel()
        await asyncio.gather(faults, *jobs, return_exceptions=True)
        for peer in peers:
            peer.drop()


def load(weir, origin, n, seed, workers, calm=False):
    """Sends n requests and returns their plans. `calm`: the app has no faults of its own."""
    rng = random.Random(seed)
    plans = [Plan(rng, i, calm) for i in range(n)]
    origin.choose = script
    asyncio.run(_load(weir, origin, plans, rng, workers))
    return plans


# ---- the books -----------------------------------------------------------------------------------


def read_log(path, m):
    """The lines, once all are written."""

    def all_of_them():
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        requests = [line for line in lines if line["msg"] == "request"]
        return requests if len(requests) >= m.total("weir_requests_total") else None

    return until(all_of_them, "the last line", within=10, every=0.05)


def us(line, phase):
    return line.get(f"{phase}_us", 0)


def in_us(seconds):
    return round(seconds * 1e6)


def check(plans, lines, m):
    """Everything that must agree. Returns what is worth printing."""
    named = {line["request_id"]: line for line in lines if "request_id" in line}
    check_each(lines)
    late = check_clients(plans, named)
    check_sums(lines, m)
    check_waits(lines, m)
    ends = Counter(plan.end for plan in plans)
    seen = Counter(f"{line['source']} {line['status']} {line.get('reason', '')}" for line in lines)
    has = {phase: sum(1 for line in lines if us(line, phase)) for phase in [*PHASES, "orphan"]}
    replayed = sum(1 for line in lines if line.get("replayed"))
    return {"ends": dict(ends), "lines": dict(seen), "with": has, "replayed": replayed, **late}


def check_each(lines):
    """Within each line."""
    for line in lines:
        total = sum(us(line, phase) for phase in PHASES)
        assert abs(total - line["total_us"]) <= 1, f"the phases add to {total}: {line}"
        assert all(us(line, phase) >= 0 for phase in PHASES), line
        assert line["source"] != "client_gone" or line["status"] == 499, line


def check_clients(plans, named):
    """The result of each client, compared with its line: one line each, and the same outcome."""
    more, less, short = [], [], 0  # us that weir says beyond the client's, and that it cannot know
    for plan in plans:
        line = named.pop(plan.name, None)
        if plan.do == "bad":
            assert line is None and (plan.status == 400 or plan.end != "answered"), (vars(plan), line)
            continue
        if line is None:  # nothing of it reached weir before the reset
            assert plan.end == "left", f"no line: {vars(plan)}"
            continue
        if plan.end == "answered":
            check_answered(plan, line)
            short += is_too_short(plan, line)
            gap = line["total_us"] - in_us(plan.took)
            (more if gap > 0 else less).append(abs(gap))
        elif plan.end == "cut":
            assert line.get("reason"), f"cut for no reason: {line} {vars(plan)}"
    assert not named, f"lines of nobody: {list(named)[:5]}"
    # A turn of the loop has one time, and a busy machine may hold it up in the middle of a turn.
    few = 0.01 * len(plans)  # on average; of few requests, chance may hold up some more
    few += 4 * few**0.5 + 1
    assert short <= few, f"{short} lines say less than what they took"
    assert len(more) <= few and max(more, default=0) < 500_000, sorted(more)[-9:]
    less.sort()
    at = {q: less[int(q * (len(less) - 1))] for q in (0.5, 0.99)}
    return {"beyond_us": max(more, default=0), "short": short, "unseen_us": at}


def check_answered(plan, line):
    both = f"{vars(plan)} {line}"
    assert plan.status == line["status"], both
    by_weir = plan.reason is not None or plan.do in REFUSED
    assert line["source"] == ("weir" if by_weir else "app"), both
    assert line["bytes_out"] == plan.got or by_weir, both
    assert plan.reason is None or line["reason"] == plan.reason, both
    assert plan.queue is None or plan.queue == us(line, "queue"), both
    assert line["bytes_in"] == plan.up or plan.status != 200 or by_weir, both
    if plan.front is not None and plan.status != 413:
        latest = plan.front + in_us(plan.began - plan.written + plan.took)
        assert plan.front - 500_000 < line["before_us"] <= latest, both
    assert line.get("trace_id") == plan.trace, both


def is_too_short(plan, line):
    """Whether it says less than what the client and the app know to have taken longer."""
    worked = sum(us(line, phase) for phase in ("send", "first_byte", "transfer"))
    early = plan.status == 200 and plan.reason is None and worked + 1000 < in_us(plan.work)
    early |= plan.front is not None and plan.status != 413 and line["before_us"] < plan.front
    return early or us(line, "head") + 1000 < in_us(plan.slow_head)


def check_sums(lines, m):
    """The page is the sum of the lines, to the microsecond."""
    for phase in PHASES:
        of_lines = sum(us(line, phase) for line in lines)
        of_page = in_us(m.one("weir_request_phase_seconds_total", phase=phase))
        assert of_lines == of_page, f"{phase}: {of_lines} us in the log, {of_page} on the page"
    for source in ("app", "weir", "client_gone"):
        mine = [line for line in lines if line["source"] == source]
        of_page = in_us(m.one("weir_request_duration_seconds_sum", source=source))
        assert sum(line["total_us"] for line in mine) == of_page, source
        assert len(mine) == m.one("weir_request_duration_seconds_count", source=source)
        codes = Counter(str(line["status"]) for line in mine)
        for code, n in codes.items():
            assert n == m.one("weir_requests_total", source=source, code=code), (source, code)
        assert len(mine) == m.total("weir_requests_total", source=source)
    before = [line["before_us"] for line in lines if "before_us" in line]
    assert len(before) == m.one("weir_request_before_seconds_count")
    assert sum(before) == in_us(m.one("weir_request_before_seconds_sum"))
    assert sum(us(line, "orphan") for line in lines) == in_us(m.one("weir_orphan_hold_seconds_sum"))
    inside = sum(us(line, phase) for line in lines for phase in INSIDE)
    # One that leaves while its slot is on its way has held it for a moment, but was never inside.
    more = in_us(m.one("weir_request_seconds_total", state="in_flight")) - inside
    vain = m.one("weir_slot_hold_seconds_count")
    vain -= m.one("weir_queue_waits_total", outcome="dispatched")
    assert 0 <= more <= 100_000 * vain, f"{more} us more in flight than inside, {vain} holds in vain"
    assert m.one("weir_access_log_lines_total", result="written") == len(lines)
    assert m.one("weir_access_log_lines_total", result="dropped") == 0


def check_waits(lines, m):
    """Each wait is in the histogram, those that were given up too, and no wait at all in le=0. A
    request that is sent again waits again, but has one line."""
    waits = [line for line in lines if "outcome" in line]
    again = m.total("weir_queue_waits_total") - len(waits)
    assert 0 <= again <= sum(1 for line in waits if line.get("replayed"))
    check_buckets(m, "weir_queue_wait_seconds", waits, again)
    waited = sum(us(line, "queue") for line in lines)
    assert waited == in_us(m.one("weir_request_seconds_total", state="queued"))
    for outcome in ("timeout", "client_gone", "drained", "evicted"):
        mine = [line for line in waits if line["outcome"] == outcome]
        spent = in_us(m.one("weir_queue_waited_seconds_total", outcome=outcome))
        assert len(mine) == m.one("weir_queue_waits_total", outcome=outcome)
        assert again or spent == sum(us(line, "queue") for line in mine)
        check_buckets(m, "weir_queue_lost_wait_seconds", mine, again, outcome=outcome)


def check_buckets(m, name, lines, again, **labels):
    assert abs(m.one(f"{name}_count", **labels) - len(lines)) <= again
    for have, n in m.series(f"{name}_bucket", **labels).items():
        bound = float(dict(have)["le"]) * 1e6 + 0.5
        mine = sum(1 for line in lines if us(line, "queue") < bound)
        off = abs(n - mine)  # two short waits may be one long one
        assert off <= 2 * again, f"{name} {dict(have)}: {n} on the page, {mine} in the log"
