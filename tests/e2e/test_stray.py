"""What the app sends, ends or resets on an idle connection concerns no request that comes after it.

HTTP/1.1 has no mark by which a response names its request, so all that can be known is the order in
which bytes arrived at weir. Here that order is always fixed: the app acts before the request is
sent, or both act while weir stands still.
"""

import random
import selectors
import socket
import time

import pytest

from support import wire
from support.client import dial, reset_socket
from support.rude import RudeApp
from support.seed import SEED
from support.waiting import until
from support.world import STORMS, scaled

pytestmark = pytest.mark.race

STRAY = wire.response(body=b"stray")


def send_at_once(sock):
    """Without Nagle's algorithm. It keeps what follows a response until that is acknowledged, which
    is when the next request goes out: the bytes would come just after it."""
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def misbehave(sock, how):
    """What an app may do on a connection on which it was asked nothing."""
    if how == "bytes":
        sock.sendall(STRAY)
    elif how == "half a head":
        sock.sendall(STRAY[:20])
    elif how == "bytes and end":
        sock.sendall(STRAY)
        sock.close()
    elif how == "end":
        sock.close()
    else:
        reset_socket(sock)


KINDS = ("bytes", "half a head", "bytes and end", "end", "reset")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("family", ["tcp", "unix"])
@pytest.mark.parametrize("client_is", ["known", "new"])
@pytest.mark.parametrize("how", KINDS)
def test_a_request_in_the_same_turn_gets_its_own_response(world, how, client_is, family, threads):
    played = RudeApp(path=world.path("app.sock") if family == "unix" else None, timeout=5)
    weir = world.weir(played, threads=threads)
    known = world.connect(weir).get("/")
    inside, _ = played.take()
    send_at_once(inside.sock)
    inside.send(wire.response(body=b"/"))
    assert known.response().body == b"/"
    for n in range(10):
        weir.wait_quiet()
        method, target = ("GET", f"/{n}") if n % 3 else ("POST", f"/{n}")
        with weir.frozen():
            client = known if client_is == "known" else world.connect(weir)
            if n % 2:
                misbehave(inside.sock, how)
            client.request(method, target)
            if not n % 2:
                misbehave(inside.sock, how)
        inside, head = played.take()
        send_at_once(inside.sock)
        assert head.startswith(f"{method} {target} ".encode())
        inside.send(wire.response(body=target.encode()))
        answer = client.response()
        assert (answer.status, answer.body) == (200, target.encode())


def test_more_events_than_one_turn_holds(world):
    """epoll tells 32 at first: the app's bytes may be told in a later turn than the request."""
    played = RudeApp(timeout=5)
    weir = world.weir(played, concurrency=200)
    client = world.connect(weir).get("/")
    inside, _ = played.take()
    send_at_once(inside.sock)
    inside.send(wire.response(body=b"/"))
    assert client.response().body == b"/"
    crowd = [world.connect(weir) for _ in range(31)]
    until(lambda: weir.glance().total("weir_connections", side="client") == 32, "the crowd")
    with weir.frozen():
        client.get("/own")
        for other in crowd:
            other.send(b"GET / HTTP/1.1\r\n")
        inside.send(STRAY)
    inside, head = played.take()
    assert head.startswith(b"GET /own ")
    inside.send(wire.response(body=b"own"))
    assert client.response().body == b"own"


@pytest.mark.parametrize(
    "speech", [STRAY, wire.response(503, "Connection: close")], ids=["response", "refusal"]
)
def test_what_an_app_says_before_it_is_asked_is_no_response(world, speech):
    """Not even on a new connection: else each client would get the response to the one before."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    crowd = [socket.socket()]  # with more, which are put off as well, weir may have to wait for long
    for sock in crowd:  # fill the backlog: weir's connect is in progress, and weir can be stopped
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
    port = listener.getsockname()[1]
    weir = world.weir(f"127.0.0.1:{port}", startup_probe="none", upstream_connect_timeout="20s")
    client = world.connect(weir).get("/")
    weir.wait_in_flight(1)
    ours = {sock.getsockname() for sock in crowd}
    with weir.frozen():
        listener.settimeout(10)
        while (accepted := listener.accept())[1] in ours:
            continue
        accepted[0].sendall(speech)
    answer = client.response()
    assert (answer.status, answer.get("Weir-Reason")) == (502, "upstream_broken")
    for sock in [*crowd, listener, accepted[0]]:
        sock.close()


# ---- at random -----------------------------------------------------------------------------------


class App:
    """Answers each request with its target. Its idle connections are the test's to spoil."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.listener.bind(path or ("127.0.0.1", 0))
        self.listener.listen(512)
        self.listener.setblocking(False)
        name = self.listener.getsockname()
        self.upstream = f"unix:{path}" if path else "127.0.0.1:%d" % name[1]
        self.poll = selectors.DefaultSelector()
        self.poll.register(self.listener, selectors.EVENT_READ)
        self.idle = {}  # socket: what has come of the next request

    def serve(self, rng):
        """Answers what has come."""
        for key, _ in self.poll.select(0):
            if key.fileobj is self.listener:
                sock, _ = self.listener.accept()
                sock.setblocking(True)
                send_at_once(sock)
                self.poll.register(sock, selectors.EVENT_READ)
                self.idle[sock] = b""
            else:
                self._read(key.fileobj, rng)

    def _read(self, sock, rng):
        try:
            data = sock.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.drop(sock).close()
            return
        self.idle[sock] += data
        head, end, body = self.idle[sock].partition(b"\r\n\r\n")
        if not end or (head.startswith(b"POST") and not body):
            return
        self.idle[sock] = b""
        answer = wire.response(body=b"" if head.startswith(b"HEAD") else head.split()[1])
        try:
            self._answer(sock, answer, rng)
        except ConnectionError:
            self.drop(sock).close()

    def _answer(self, sock, answer, rng):
        then = rng.choice(("", "", "", "bytes", "end"))
        sock.sendall(answer + (STRAY if then == "bytes" else b""))
        if then == "end":
            self.drop(sock).close()

    def drop(self, sock):
        self.poll.unregister(sock)
        del self.idle[sock]
        return sock

    def spoil(self, rng, tally):
        """Misbehaves on one of its idle connections."""
        idle = [sock for sock, came in self.idle.items() if not came]
        if not idle:
            return
        how = rng.choice(KINDS)
        tally[how] = tally.get(how, 0) + 1
        sock = rng.choice(idle)
        if how not in ("bytes", "half a head"):
            self.drop(sock)
        try:
            misbehave(sock, how)
        except ConnectionError:
            pass  # weir has closed it after what it got before

    def close(self):
        for sock in [self.listener, *self.idle]:
            sock.close()
        self.poll.close()


class Asker:
    """A client with one request at a time on a connection that it keeps, or not."""

    def __init__(self, weir):
        self.weir, self.sock, self.method, self.target, self.got = weir, None, "", "", b""

    def ask(self, rng, number):
        if self.sock is None or rng.random() < 0.2:
            self.drop()
            self.sock = dial(self.weir.address, 10)
            self.sock.setblocking(False)
        self.method = rng.choice(("GET", "GET", "GET", "HEAD", "POST"))
        self.target, self.got = f"/{number}", b""
        self.sock.sendall(wire.request(self.method, self.target, body=b"x" if self.method == "POST" else None))

    def has_answer(self):
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return False
        assert data, f"{self.method} {self.target} was cut after {self.got!r}"
        self.got += data
        head, end, body = self.got.partition(b"\r\n\r\n")
        if not end:
            return False
        answer = wire.Response(*wire.split_head(head + end))
        if answer.framing(self.method) == "length" and len(body) < int(answer.get("Content-Length")):
            return False
        self._judge(answer, body)
        return True

    def _judge(self, answer, body):
        if answer.status == 502 and self.method == "POST":
            # The app has ended the connection right after a response: this one crossed that end.
            assert answer.get("Weir-Reason") == "upstream_closed", answer
            return
        want = b"" if self.method == "HEAD" else self.target.encode()
        assert (answer.status, body) == (200, want), f"{self.method} {self.target}: {answer} {body!r}"

    def drop(self):
        if self.sock is not None:
            self.sock.close()
        self.sock = None


def one_round(app, askers, rng, tally):
    """The clients ask, each once, and the app spoils connections: all mixed while weir stands still,
    or the app first and then the clients while it runs."""
    acts = [lambda: app.spoil(rng, tally) for _ in range(rng.randrange(len(askers)))]
    asks = [lambda asker=asker: asker.ask(rng, next(tally["numbers"])) for asker in askers]
    if rng.random() < 0.5:
        with askers[0].weir.frozen():
            steps = acts + asks
            rng.shuffle(steps)
            for step in steps:
                step()
    else:
        for step in acts:
            step()
        time.sleep(rng.choice((0, 0, 0.0001, 0.001)))  # weir has seen all of it, some, or none
        for step in asks:
            step()
    waiting, deadline = list(askers), time.monotonic() + 20
    while waiting:
        app.serve(rng)
        waiting = [asker for asker in waiting if not asker.has_answer()]
        assert time.monotonic() < deadline, f"no response to {[a.target for a in waiting]}"


@pytest.mark.seconds(300)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_no_client_gets_the_response_to_another(world, family, threads):
    total = scaled(10_000 if STORMS else 3000, least=1000)
    rng = random.Random(SEED + threads)
    app = App(world.path("app.sock") if family == "unix" else None)
    weir = world.weir(app, concurrency=rng.choice((3, 8, 50)), threads=threads, queue_length=100,
                      startup_probe="none")
    askers = [Asker(weir) for _ in range(rng.choice((8, 20, 40)))]
    print(f"WEIR_SEED={SEED}: {len(askers)} clients, {' '.join(weir.argv)}")
    tally = {"numbers": iter(range(1 << 30))}
    try:
        rounds = -(-total // len(askers))
        for _ in range(rounds):
            one_round(app, askers, rng, tally)
        exchanges = next(tally.pop("numbers"))
        print(f"{exchanges} exchanges, {tally}, {weir.metrics().total('weir_requests_total', code='502')} times 502")
        world.expect_requests(weir, exchanges)
    finally:
        for asker in askers:
            asker.drop()
        app.close()
