"""A request that is given up while the app has not received all of it ends there and then: its slot is free."""

import socket

import pytest

from support import wire
from support.client import reset_socket
from support.waiting import until
from support.weir import free_port

BODY = b"x" * 300_000


class DeafApp:
    """Takes connections, and reads of a request only when it is told to. Its window is small."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port = free_port()
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(16)
        self.listener.settimeout(15)

    def accept(self):
        sock, _ = self.listener.accept()
        sock.settimeout(15)
        return sock


@pytest.fixture
def app():
    app = DeafApp()
    yield app
    app.listener.close()


def read_to_the_end(sock):
    """How much came, and whether the end was a reset."""
    got = 0
    try:
        while data := sock.recv(65536):
            got += len(data)
    except ConnectionResetError:
        return got, True
    return got, False


def assert_cut(sock):
    got, reset = read_to_the_end(sock)
    assert reset and got < len(BODY) // 2, (got, reset)
    sock.close()


def send_put(client):
    client.send(wire.request("PUT", "/", f"Content-Length: {len(BODY)}"))
    client.sock.setblocking(False)
    client.sock.send(BODY)
    client.sock.settimeout(15)


def deaf(app, world, **options):
    return world.weir(f"127.0.0.1:{app.port}", startup_probe="none", concurrency=1, **options)


def test_a_request_that_times_out_reaches_the_app_no_further(app, world):
    weir = deaf(app, world, upstream_idle_timeout="300ms", upstream_first_byte_timeout="300ms")
    client = world.connect(weir)
    send_put(client)
    sock = app.accept()
    sock.recv(1)
    assert client.response("PUT").status == 504
    assert_cut(sock)


def test_a_request_whose_client_leaves_reaches_the_app_no_further(app, world):
    weir = deaf(app, world, on_client_abort="close")
    client = world.connect(weir)
    send_put(client)
    sock = app.accept()
    sock.recv(1)
    reset_socket(client.sock)
    until(lambda: weir.glance().one("weir_requests_in_flight") == 0, "the slot to be free")
    assert_cut(sock)
