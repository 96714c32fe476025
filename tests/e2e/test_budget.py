"""Memory: each way in which a client or an app can make weir keep bytes for it, and a mix of all.

Nobody reads: clients and apps send what they can. What weir keeps by its own count is at most
buffers.budget, 8 KiB for each connection, and what docs/architecture.md names beside it; and the
process has not grown by much more than that.

WEIR_SEED chooses the mix; the seed is printed, so that a failure can be had again.
"""

import asyncio
import random
import socket
import time

import pytest

from support import origin as app
from support import wire
from support.client import reset_socket
from support.crowd import Crowd
from support.seed import SEED
from support.waiting import until

KIB, MIB = 1 << 10, 1 << 20

MANY = 40  # connections of each sender
BUDGET = MIB
SPENT = 0.9 * BUDGET
AT_ONCE = 8 * KIB  # what a connection may add when the budget is spent
CLIENT_HEAD = 32 * KIB  # client.max_head
APP_HEAD = 48 * KIB
# What is no one connection's: scratch memory, free lists, the allocator's own rounding.
SLACK = 8 * MIB
SANITIZED = 12 * MIB  # of memory at startup: it is not weir's own
ENOUGH = 0.5  # seconds in which nothing grows
PATIENCE = 3  # seconds for those whose bytes weir reads without end; those that it keeps come to rest


# ---- the apps ------------------------------------------------------------------------------------


async def deaf(call):
    """Reads nothing, says nothing more."""
    call.waiting_for_peer = True
    while not call.connection.peer_gone():
        await asyncio.sleep(0.05)
    call.finish()


def head_of(status, size):
    """A response's head of about this size, in fields as long as it lets them be."""
    line = b"X-Long: " + b"x" * 8000 + b"\r\n"
    return b"HTTP/1.1 %d x\r\n" % status + line * (size // len(line))


POUR = bytes(4 * MIB)
CHUNK = b"10000\r\n" + bytes(65536) + b"\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
EXTENDED = b"1;" + b"x" * 200 + b"\r\ny\r\n"

APPS = {
    "large interim heads": (app.send((head_of(103, 40_000) + b"\r\n") * 60), deaf),
    "small interim heads": (app.send((head_of(103, 0) + b"Link: %s\r\n\r\n" % (b"x" * 2000)) * 60), deaf),
    "half an interim head": (app.send(head_of(103, 47_000)), deaf),
    "half a head": (app.send(head_of(200, 47_000)), deaf),
    "head and length": (app.send(head_of(200, 40_000) + b"Content-Length: %d\r\n\r\n" % len(POUR) + POUR), deaf),
    "length": (app.send(OK + b"Content-Length: %d\r\n\r\n" % len(POUR) + POUR), deaf),
    "chunks": (app.send(OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK * 60), deaf),
    "until close": (app.send(OK + b"\r\n" + POUR), app.close()),
    "extensions": (app.send(OK + b"Transfer-Encoding: chunked\r\n\r\n" + EXTENDED * 5000), deaf),
    "trailers": (app.send(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + (b"X-T: " + b"t" * 1000 + b"\r\n") * 60), deaf),
    "stray": (app.send(OK + b"Content-Length: 0\r\n\r\n" + POUR), deaf),
    "tunnel": (app.send(SWITCH + POUR), deaf),
    "some": (app.send(OK + b"Content-Length: 200000\r\n\r\n" + POUR[:200_000]), deaf),
    "deaf": (deaf,),
}


# ---- the clients ---------------------------------------------------------------------------------


def get(what, *fields):
    return wire.request("GET", "/" + what.replace(" ", "-"), *fields)


def post(what, *fields):
    return wire.request("POST", "/" + what.replace(" ", "-"), *fields)


class Sender:
    """What a client sends at first and then again and again, and what it may make weir keep beside
    the budget, as docs/architecture.md names it."""

    def __init__(self, first, more=b"", named=0, alone=None, spends=False):
        self.first, self.more, self.named = first, more, named
        self.spends = spends  # it is seen to use the budget up
        self.alone = alone  # options with which it cannot be mixed with others
        self.leaves = bool(alone) and "on_client_abort" in alone


ORPHANS = {"on_client_abort": "finish", "upstream_first_byte_timeout": "3s", "upstream_idle_timeout": "2s"}
SCARCE = {"concurrency": 2, "upgrades_max": 0}
UPGRADE = ("Connection: Upgrade", "Upgrade: raw")
CHUNKED = "Transfer-Encoding: chunked"
LONG_FIELD = "X-Long: " + "x" * 15_000

SENDERS = {
    # The app sends, and the client does not read.
    "interim heads": Sender(get("large interim heads"), named=APP_HEAD, spends=True),
    "small interim heads": Sender(get("small interim heads"), spends=True),
    "an interim head that does not end": Sender(get("half an interim head"), named=APP_HEAD, spends=True),
    "a head that does not end": Sender(get("half a head"), named=APP_HEAD, spends=True),
    "a head, and no client any more": Sender(get("half a head"), named=APP_HEAD, alone=ORPHANS),
    "a large head and a body": Sender(get("head and length"), named=APP_HEAD, spends=True),
    "a body by length": Sender(get("length"), spends=True),
    "a body in chunks": Sender(get("chunks"), spends=True),
    "a body without a length": Sender(get("until close"), spends=True),
    "a body to HTTP/1.0": Sender(get("chunks").replace(b"HTTP/1.1", b"HTTP/1.0")),
    "a body, and no client any more": Sender(get("length"), alone=ORPHANS),
    "chunk extensions": Sender(get("extensions")),
    "trailers": Sender(get("trailers")),
    "bytes after the response": Sender(get("stray")),
    "a tunnel down": Sender(get("tunnel", *UPGRADE), spends=True),
    # The client sends, and the app does not read.
    "an upload by length": Sender(post("deaf", "Content-Length: 1000000000"), bytes(65536)),
    "an upload in chunks": Sender(post("deaf", CHUNKED), CHUNK),
    "an upload's extensions": Sender(post("deaf", CHUNKED), EXTENDED * 100),
    "an upload's trailers": Sender(post("deaf", CHUNKED) + b"0\r\n", b"X-T: " + b"t" * 100 + b"\r\n"),
    "an upload to a response": Sender(post("length", CHUNKED), CHUNK),
    "a tunnel up": Sender(get("tunnel", *UPGRADE), bytes(65536), spends=True),
    # The client sends what its turn has not come for.
    "half a head": Sender(b"GET / HTTP/1.1\r\n" + b"X-Long: %s\r\n" % (b"x" * 3000) * 10, named=CLIENT_HEAD, spends=True),
    "requests after one": Sender(get("deaf") + get("next") * 500, get("next") * 2000),
    "bodies after one": Sender(get("deaf") + bytes(65536), bytes(65536)),
    "bytes after the last": Sender(get("some", "Connection: close") + bytes(65536), bytes(65536)),
    "heads and bodies at once": Sender(
        wire.request("POST", "/deaf", LONG_FIELD, LONG_FIELD, body=bytes(15_000)), named=CLIENT_HEAD + 16 * KIB
    ),
    # weir answers, and the client does not read.
    "weir's own answers": Sender(wire.request("OPTIONS", "/", "Max-Forwards: 0") * 2000,
                                 wire.request("OPTIONS", "/", "Max-Forwards: 0") * 2000, spends=True),
    "refusals": Sender(b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n" * 100),
    # Slots are few.
    "bodies that are waited for": Sender(
        post("deaf", "Content-Length: 65000") + bytes(60_000), alone=SCARCE
    ),
    "bodies that are queued": Sender(
        post("deaf", "Content-Length: 65000") + bytes(65_000), alone={**SCARCE, "queue_length": MANY}, spends=True
    ),
    "bodies in the queue's own bound": Sender(
        wire.request("POST", "/deaf", LONG_FIELD, body=bytes(15_000)), named=32 * KIB,
        alone={**SCARCE, "queue_length": MANY, "queue_max_bytes": "2MiB"},
    ),
    "bodies that weir asks for": Sender(
        post("deaf", "Content-Length: 65000", "Expect: 100-continue"), bytes(30_000), alone=SCARCE
    ),
}  # fmt: skip


# ---- judging -------------------------------------------------------------------------------------


def start(world, connections, **options):
    options = {
        "concurrency": 2 * connections,
        "upgrades_max": connections,
        "buffers_budget": "1MiB",
        "client_head_timeout": "60s",
        "client_send_timeout": "60s",
        "on_client_abort": "close",
        **options,
    }
    origin = world.origin()
    origin.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    weir = world.weir(origin, **options)
    for name, steps in APPS.items():
        origin.on("/" + name.replace(" ", "-"), *steps)
    good = world.connect(weir)
    assert good.ask("GET", "/good").status == 200
    return weir


class Watch:
    """The most that weir has kept and has grown by, until nothing goes on any more."""

    def __init__(self, weir):
        self.weir = weir
        self.at_first = weir.rss()
        self.kept = self.grown = self.sent = 0
        self.changed = time.monotonic()

    def look(self, sent=0):
        """`sent`: bytes that were sent since the last look."""
        kept = self.weir.glance().total("weir_buffered_bytes")
        grown = self.weir.rss() - self.at_first
        now = time.monotonic()
        if kept > self.kept or grown > self.grown + 64 * KIB or sent:
            self.changed = now
        self.kept, self.grown = max(self.kept, kept), max(self.grown, grown)
        return now - self.changed > ENOUGH

    def judge(self, connections, named, least=0):
        most = BUDGET + 2 * connections * AT_ONCE + named
        told = f"{self.kept / MIB:.2f} MiB kept of {most / MIB:.2f}, {self.grown / MIB:.2f} MiB more memory"
        print(told)
        assert least <= self.kept <= most, told
        if self.at_first < SANITIZED:
            assert self.grown <= 2 * most + SLACK, told


def send_on(member, sender):
    """As much as its socket accepts. A message goes on where there was no more room for it."""
    data = member.rest or sender.more
    if member.ended or not data:
        return 0
    try:
        sent = member.sock.send(data)
    except BlockingIOError:
        return 0
    except ConnectionError:
        member.ended = True
        return 0
    member.rest = data[sent:]
    if sender.leaves and not member.rest:
        member.left_at = member.left_at or time.monotonic() + ENOUGH
    return sent


def press(weir, crowd, senders):
    """All send, until weir keeps no more for it."""
    least = SPENT if all(sender.spends for sender in senders) else 0
    patience = 3 * PATIENCE if least else PATIENCE
    watch, deadline, sent = Watch(weir), time.monotonic() + patience, 1
    for member, sender in zip(crowd.members, senders):
        member.rest, member.left_at = sender.first, None
    while (not watch.look(sent) or watch.kept < least) and time.monotonic() < deadline:
        sent = sum(send_on(member, sender) for member, sender in zip(crowd.members, senders))
        time.sleep(0.003 if sent else 0.01)  # the processors are weir's
        for member in crowd.members:
            if member.left_at and time.monotonic() > member.left_at and not member.ended:
                member.sock.close()
                member.ended = True
    return watch


def let_go(weir, crowd):
    """All leave, by a reset: a FIN would stand after what weir does not read."""
    for member in crowd.members:
        if member.sock.fileno() >= 0:
            reset_socket(member.sock)
    until(lambda: weir.glance().total("weir_buffered_bytes") == 0, "all to be given back")


@pytest.mark.parametrize("what", SENDERS)
def test_a_sender_makes_weir_keep_no_more_than_is_promised(world, what):
    sender = SENDERS[what]
    weir = start(world, MANY, **(sender.alone or {}))
    with Crowd(weir.address, MANY, slow=True) as crowd:
        watch = press(weir, crowd, [sender] * MANY)
        watch.judge(MANY, MANY * sender.named, SPENT if sender.spends else 0)
        let_go(weir, crowd)


@pytest.mark.seconds(60)
@pytest.mark.parametrize("threads", [1, 2])
def test_no_mix_of_senders_makes_weir_keep_more_than_is_promised(world, threads):
    many, rng = 2 * MANY, random.Random(SEED + threads)
    print(f"WEIR_SEED={SEED}")
    mixed = [sender for sender in SENDERS.values() if sender.alone is None]
    senders = [rng.choice(mixed) for _ in range(many)]
    weir = start(world, many, threads=threads)
    with Crowd(weir.address, many, slow=True) as crowd:
        watch = press(weir, crowd, senders)
        let_go(weir, crowd)
    # A thread may read what was left of the budget while another does: 64 KiB for each additional one.
    watch.judge(many, sum(sender.named for sender in senders) + (threads - 1) * 64 * KIB)


def test_the_admin_port_keeps_little_for_those_that_do_not_read(world):
    weir = start(world, MANY)
    visitors, unread = 64, 16 * KIB
    answer = len(weir.metrics().text)
    ask = wire.request("GET", "/metrics", host="weir.test") * 200
    with Crowd(weir.admin, visitors, slow=True) as crowd:
        watch, deadline = Watch(weir), time.monotonic() + PATIENCE
        while not watch.look() and time.monotonic() < deadline:
            crowd.send(ask)
    assert watch.kept == 0
    if watch.at_first < SANITIZED:
        assert watch.grown <= 2 * visitors * (unread + answer) + SLACK
