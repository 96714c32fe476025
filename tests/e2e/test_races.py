"""What happens at the same moment, or behind each other's back. Each of these was a fault once."""

import signal
import socket
import threading
import time

import pytest

from support import origin as app
from support import wire
from support.waiting import SOON, until
from support.world import scaled

BIG = 64 * 1024 * 1024

pytestmark = pytest.mark.race


class RawApp:
    """One connection at a time, served by a function that gets the socket; for rude apps."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.serve = serve
        self.kept = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.kept.append(sock)
            threading.Thread(target=self._one, args=(sock,), daemon=True).start()

    def _one(self, sock):
        try:
            self.serve(sock)
        except OSError:
            pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # a close alone does not end an accept
        self.thread.join(10)
        self.listener.close()
        for sock in self.kept:
            sock.close()


@pytest.fixture
def raw_app():
    apps = []

    def start(serve):
        apps.append(RawApp(serve))
        return apps[-1]

    yield start
    for one in apps:
        one.close()


def read_head(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise OSError("closed")
        data += more
    return data


def leave(client, i):
    client.rst() if i % 2 else client.fin()


@pytest.mark.parametrize("mode", ["finish", "close"])
def test_clients_that_leave_in_the_middle_of_fast_uploads(world, mode):
    """The relay had posted itself a mail when its exchange ended: freed twice."""
    origin, weir = world.pair(concurrency=4, on_client_abort=mode)
    origin.on("/up", app.read_body(), app.answer())
    n = scaled(40, least=10)
    for i in range(n):
        client = world.connect(weir)
        client.send(wire.request("POST", "/up", "Content-Length: %d" % BIG))
        client.sock.settimeout(0.002 * (1 + i % 15))
        try:
            client.sock.sendall(bytes(BIG))
        except OSError:
            pass
        leave(client, i)
    weir.wait_quiet()
    assert world.connect(weir).ask("GET", "/").status == 200


@pytest.mark.parametrize("mode", ["finish", "close"])
def test_clients_that_leave_in_the_middle_of_fast_downloads(world, mode):
    origin, weir = world.pair(concurrency=4, on_client_abort=mode)
    origin.on("/down", app.answer(bytes(8 * 1024 * 1024)))
    for i in range(scaled(40, least=10)):
        client = world.connect(weir).get("/down")
        client.exactly(1 + 30_000 * (i % 20))
        leave(client, i)
    weir.wait_quiet()
    assert world.connect(weir).ask("GET", "/").status == 200


def test_clients_that_reset_just_as_the_app_answers(world):
    origin, weir = world.pair(concurrency=4, queue_length=100)
    origin.default = (app.delay(0.01), app.answer())
    for _ in range(scaled(60, least=15)):
        clients = [world.connect(weir).get("/") for _ in range(8)]
        time.sleep(0.01)  # the moment itself is the point
        for i, client in enumerate(clients):
            leave(client, i)
    weir.wait_quiet()
    assert origin.most_inside <= 4


def test_an_early_answer_to_a_large_upload(world):
    origin, weir = world.pair()
    origin.on("/no", app.answer(b"too much", 413))
    for _ in range(5):
        client = world.connect(weir)
        client.send(wire.request("POST", "/no", "Content-Length: %d" % BIG))
        client.sock.settimeout(10)
        try:
            client.sock.sendall(bytes(4 * 1024 * 1024))
        except OSError:
            pass  # weir may have ended it already
        assert client.response().status == 413


@pytest.mark.parametrize("threads", [1, 2])
def test_sigterm_serves_what_the_kernel_had_accepted(world, threads):
    origin, weir = world.pair(threads=threads, concurrency=50, queue_length=400)
    kept = [world.connect(weir) for _ in range(10)]
    for client in kept:
        assert client.ask("GET", "/first").status == 200
    with weir.frozen():
        fresh = [world.connect(weir).get("/") for _ in range(scaled(200, least=50))]
        for client in kept:
            client.get("/again")
        weir.signal(signal.SIGTERM)
    for client in kept + fresh:
        assert client.response().status == 200
    world.exited(weir)


def test_sigterm_lets_in_those_above_the_bound_whose_handshake_is_done(world):
    origin, weir = world.pair(concurrency=10, client_max_connections=10)
    gate = origin.gate()
    origin.default = (app.wait(gate), app.answer())
    clients = [world.connect(weir).get("/") for _ in range(20)]
    origin.wait_inside(10)
    weir.signal(signal.SIGTERM)
    gate.open()
    for client in clients:
        assert client.response().status == 200
    world.exited(weir)


def test_two_signals_at_once_cut_at_once(world):
    origin, weir = world.pair(threads=2, concurrency=10, drain_timeout="20s")
    origin.on("/", app.hang())
    clients = [world.connect(weir).get("/") for _ in range(8)]
    origin.wait_inside(8)
    began = time.monotonic()
    weir.signal(signal.SIGTERM)
    weir.signal(signal.SIGINT)
    weir.exited(3)
    assert time.monotonic() - began < 8
    for client in clients:
        client.until_closed()


def test_an_app_that_answers_before_it_is_asked(world, raw_app):
    def serve(sock):
        sock.sendall(b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        time.sleep(30)

    hasty = raw_app(serve)
    weir = world.weir(hasty.address, concurrency=1, upstream_first_byte_timeout="20s")
    for _ in range(3):
        began = time.monotonic()
        assert world.connect(weir).ask("GET", "/").status in (502, 503)
        assert time.monotonic() - began < SOON


def test_dead_clients_behind_the_apps_answer_are_not_dispatched(world):
    """All leave while weir cannot look; the app's answer comes first out of epoll."""
    origin, weir = world.pair(concurrency=1, queue_length=300)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    held = world.connect(weir).get("/held")
    origin.wait_inside(1)
    n = scaled(200, least=60)
    waiting = [world.connect(weir).get(f"/{i}") for i in range(n)]
    weir.wait_depth(n)
    with weir.frozen():
        gate.open()
        until(lambda: origin.inside_now() == 0, "the app's answer")
        for client in waiting:
            client.rst()
    assert held.response().status == 200
    weir.wait_quiet()
    assert origin.targets() == ["/held"]


def test_many_small_chunks_for_an_old_client(world, raw_app):
    def serve(sock):
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        sock.sendall(b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
        time.sleep(5)

    chunky = raw_app(serve)
    weir = world.weir(chunky.address)
    client = world.connect(weir)
    began = time.monotonic()
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    answer = client.response()
    assert answer.status == 200 and answer.body == b"x" * 20_000
    assert time.monotonic() - began < 5
