"""A siege of connections that ask for nothing and stay, and a good client in the midst of it, each in
a process of its own: `Siege` and `Visits`."""

import json
import random
import select
import socket
import sys
import time

from . import wire
from .child import Child
from .client import Client, family_of

PATIENCE = 10.0  # seconds that the good client waits for anything: far more than it should have to
PAUSE = 0.002  # between its requests
AGAIN = 0.25  # seconds, 0.5 to 1.5 times that, before one that was shown out comes back

# What each says once it is connected; then it waits.
WORDS = {
    "silent": b"",
    "byte": b"G",
    "idle": wire.request("GET", "/ping"),
    "body": wire.request("POST", "/echo", "Content-Length: 1000") + b"b",
}
KINDS = {**{kind: [kind] for kind in WORDS}, "mixed": ["silent", "byte", "idle"]}


class Siege(Child):
    """`n` connections of a kind, each of which comes back when it is closed. stop(): how often they
    did."""

    def __init__(self, address, kind, n):
        super().__init__("siege", *map(json.dumps, ("siege", address, kind, n)))


class Visits(Child):
    """The good client: it asks again and again, in turn on a new connection and on one that it
    keeps; there it tries once more when that was closed while idle. stop(): the seconds that the
    slowest of each took, and how many there were."""

    def __init__(self, address, target):
        super().__init__("siege", *map(json.dumps, ("visits", address, target)))


# ---- the siege -----------------------------------------------------------------------------------


class Besiegers:
    def __init__(self, address, kind, n):
        self.address, self.words = address, [WORDS[k] for k in KINDS[kind]]
        self.poll = select.epoll()
        self.of = {}
        self.due = [(0, i) for i in range(n)]  # when each comes, and its number
        self.came = 0

    def come(self, number):
        sock = socket.socket(family_of(self.address), socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.connect_ex(self.address)
        self.came += 1
        self.of[sock.fileno()] = sock, number
        self.poll.register(sock.fileno(), select.EPOLLOUT | select.EPOLLRDHUP)

    def come_all_due(self):
        now = time.monotonic()
        due, self.due = [d for d in self.due if d[0] <= now], [d for d in self.due if d[0] > now]
        for _, number in due:
            self.come(number)

    def leave(self, sock, number):
        self.poll.unregister(sock.fileno())
        del self.of[sock.fileno()]
        sock.close()
        self.due.append((time.monotonic() + AGAIN * random.uniform(0.5, 1.5), number))

    def on_event(self, descriptor, what):
        sock, number = self.of[descriptor]
        try:
            if what & select.EPOLLOUT:
                sock.send(self.words[number % len(self.words)])
                self.poll.modify(descriptor, select.EPOLLIN | select.EPOLLRDHUP)
            elif not sock.recv(65536):
                self.leave(sock, number)
        except BlockingIOError:
            pass
        except OSError:
            self.leave(sock, number)

    def turn(self):
        self.come_all_due()
        for descriptor, what in self.poll.poll(0.01, 256):
            self.on_event(descriptor, what)


def besiege(address, kind, n):
    crowd = Besiegers(address, kind, n)
    crowd.turn()
    print("begun", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        crowd.turn()
    print(json.dumps(crowd.came - n))


# ---- the good client -----------------------------------------------------------------------------


def on_a_new_one(address, target):
    client = Client(address, timeout=PATIENCE)
    assert client.ask("GET", target).status == 200
    client.fin()


class Kept:
    def __init__(self, address, target):
        self.address, self.target, self.client = address, target, None

    def ask(self):
        if self.client is None:
            self.client = Client(self.address, timeout=PATIENCE)
        assert self.client.ask("GET", self.target).status == 200

    def visit(self):
        try:
            self.ask()
        except (wire.Truncated, ConnectionError):
            assert not self.client.buf
            self.client = None
            self.ask()


def seconds(call, *arguments):
    began = time.monotonic()
    call(*arguments)
    return time.monotonic() - began


def visit(address, target):
    kept = Kept(address, target)
    kept.visit()
    print("begun", flush=True)
    new, old = [], []
    while not new or not select.select([sys.stdin], [], [], PAUSE)[0]:
        new.append(seconds(on_a_new_one, address, target))
        old.append(seconds(kept.visit))
    print(json.dumps({"new": max(new), "kept": max(old), "visits": len(new)}))


def main():
    what, address, *rest = map(json.loads, sys.argv[1:])
    address = tuple(address) if isinstance(address, list) else address
    {"siege": besiege, "visits": visit}[what](address, *rest)


if __name__ == "__main__":
    main()
