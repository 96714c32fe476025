"""Clients that make weir use as much memory as they can, and keep it in use; and an app that helps."""

import contextlib
import resource
import socket
import threading
import time

from .waiting import settled
from .wire import request

SEGMENT = 1400  # bytes in a segment, as on Ethernet: on loopback, the kernel holds more
FIELD = 7000  # bytes of a header
PIPELINED = 8000  # bytes behind a request that weir reads with it
BODY = 60_000
PAGE = 35_000  # bytes of a response: more than `SEND_BUFFER` holds
STEP = 3000
SEND_BUFFER = "32KiB"
RETRIES = 20


def padded(method, target, size, *fields, end=True):
    """A head of `size` bytes; without the end, all but its last two."""
    head = request(method, target, *fields)[:-2]
    for n in range(100):
        name = f"X-{n:03d}: ".encode()
        left = size - len(head) - len(name) - 4
        if left <= 0:
            break
        head += name + b"v" * min(left, FIELD) + b"\r\n"
    return head + b"\r\n" if end else head


# ---- the app -------------------------------------------------------------------------------------


class App:
    """An app with a thread for each connection. The target selects the way to treat a request."""

    def __init__(self, max_head=48 * 1024):
        self.max_head = max_head
        self.listener = socket.socket()
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(4096)
        self.upstream = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.open = set()
        self.go = threading.Event()
        self.behaviours = {
            b"page": self._page,
            b"wait": self._wait,
            b"head": self._head,
            b"flood": self._flood,
            b"tunnel": self._tunnel,
        }
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with contextlib.suppress(OSError), sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._answer(sock):
                pass
        self.open.discard(sock)

    def _answer(self, sock):
        got = b""
        while b"\r\n\r\n" not in got:
            data = sock.recv(65536)
            if not data:
                return False
            got += data
        return self.behaviours[got.split(b" ", 2)[1][1:]](sock)

    def _page(self, sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % PAGE + bytes(PAGE))
        return True

    def _wait(self, _):
        """Reads nothing more, and does not respond."""
        self.go.wait()
        return False

    def _head(self, sock):
        """Sends nearly all of a head of the maximum size."""
        head = b"HTTP/1.1 200 OK\r\n"
        while len(head) < self.max_head - 1000:
            head += b"X-A: " + b"v" * 900 + b"\r\n"
        sock.sendall(head)
        return self._wait(sock)

    def _flood(self, sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        return self._send(sock)

    def _tunnel(self, sock):
        sock.sendall(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        return self._send(sock)

    def _send(self, sock):
        while not self.go.is_set():
            sock.sendall(bytes(65536))
        return False

    def let_go(self):
        """Ends everything in progress."""
        self.go.set()
        while self.open:
            for sock in list(self.open):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            time.sleep(0.01)
        self.go.clear()

    def stop(self):
        self.listener.close()
        self.let_go()


# ---- clients -------------------------------------------------------------------------------------


class Hoard:
    """Clients that send as much as weir accepts, and read nothing."""

    def __init__(self, weir, clients, concurrency, queued, max_head):
        self.weir, self.clients, self.max_head = weir, clients, max_head
        self.concurrency, self.queued = concurrency, queued
        self.socks = []
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def _connect(self):
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(self.weir.address)
        sock.setblocking(False)
        self.socks.append(sock)
        return sock

    def _add(self, n, data):
        left = {self._connect(): memoryview(data) for _ in range(n)}
        idle = 0
        while left and idle < RETRIES:
            moved = 0
            for sock, rest in list(left.items()):
                try:
                    sent = sock.send(rest)
                except BlockingIOError:
                    continue
                except OSError:  # weir has refused it
                    sent = len(rest)
                moved += sent
                left[sock] = rest[sent:]
                if sent == len(rest):
                    del left[sock]
            idle = 0 if moved else idle + 1
            if not moved:
                time.sleep(0.01)

    def _ask(self, n, method, target, *fields, body=b""):
        self._add(n, padded(method, target, self.max_head, *fields) + body)

    def slots(self):
        """All slots: tunnels, uploads that the app does not read, responses that clients do not."""
        n = self.concurrency // 4
        more = b"G" * PIPELINED
        self._ask(n, "GET", "/tunnel", "Connection: upgrade", "Upgrade: x", body=bytes(300_000))
        self._ask(n, "POST", "/wait", "Content-Length: 1000000", body=bytes(600_000))
        self._ask(n, "GET", "/head", body=more)
        self._ask(self.concurrency - 3 * n, "GET", "/flood", body=more)
        self.weir.wait_in_flight(self.concurrency)

    def queue(self):
        self._ask(self.queued, "POST", "/wait", f"Content-Length: {BODY}", body=bytes(BODY))

    def _rest(self):
        return self.clients - self.concurrency - self.queued

    def readers(self):
        """Responses that the app has sent and nobody reads; further requests are pipelined behind each request."""
        self._ask(self._rest(), "GET", "/page", body=b"G" * PIPELINED)

    def uploads(self):
        """While no slot is free: bodies that never become complete, a quarter of them almost complete."""
        length = f"Content-Length: {BODY}"
        whole = self._rest() // 4
        self._ask(self._rest() - whole, "POST", "/wait", length, body=b"1")
        self._ask(whole, "POST", "/wait", length, body=bytes(BODY - 1))

    def heads(self):
        """Heads that never end."""
        head = padded("GET", "/page", self.max_head, end=False)
        self._add(self.clients - len(self.socks), head)

    def growing_heads(self):
        """The same heads, but they arrive in pieces, in turns, so each is moved repeatedly."""
        head = padded("GET", "/page", self.max_head, end=False)
        socks = [self._connect() for _ in range(self.clients - len(self.socks))]
        for begin in range(0, len(head), STEP):
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.send(head[begin : begin + STEP])

    def rest(self):
        """Waits until weir accepts nothing more."""
        settled(lambda: self.weir.rss() >> 20)

    def leave(self):
        for sock in self.socks:
            sock.close()
        self.socks = []


ROUNDS = (
    (Hoard.slots, Hoard.uploads, Hoard.queue),
    (Hoard.readers, Hoard.slots, Hoard.queue),
    (Hoard.slots, Hoard.queue, Hoard.heads),
    (Hoard.slots, Hoard.queue, Hoard.growing_heads),
)
