"""stderr, stdout and stdin as careless parents leave them."""

import os
import subprocess

import pytest

from support import origin as app
from support.client import Client
from support.waiting import until
from support.weir import BINARY, clean_environment, free_port


@pytest.fixture
def start(world):
    """weir with the shell's redirections and an app that resets: each answer is a 502 and a line."""
    origin = world.origin()
    origin.default = (app.reset(),)
    processes = []

    def start(redirections="", **how):
        port = free_port()
        flags = f"--upstream {origin.upstream} --listen 127.0.0.1:{port} --admin-listen off --drain-delay 0s"
        command = f"exec {BINARY} {flags} --log-level debug {redirections}"
        process = subprocess.Popen(["sh", "-c", command], env=clean_environment(), **how)
        processes.append(process)

        def connect():
            assert process.poll() is None
            try:
                client = Client(("127.0.0.1", port))
            except OSError:
                return None
            world.clients.append(client)
            return client

        until(connect, "weir to listen")
        return process, connect

    yield start
    for client in world.clients:
        client.fin()
    for process in processes:
        process.terminate()
        try:
            assert process.wait(10) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("how, closed", [("2>&-", [2]), ("<&- >&- 2>&-", [0, 1, 2])])
def test_closed_standard_descriptors_are_no_place_for_sockets(start, how, closed):
    process, connect = start(how)
    client = connect()
    for _ in range(3):
        assert client.ask("GET", "/").status == 502
    links = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in closed]
    assert set(links) == {os.devnull}


def test_a_log_that_nobody_reads_stops_nothing(start):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while os.write(writer, b"\n" * 4096):
            pass
    except BlockingIOError:
        pass  # full: the next line finds no room
    os.set_blocking(writer, True)
    _, connect = start(stderr=writer)
    os.close(writer)
    for _ in range(5):
        assert connect().ask("GET", "/").status == 502
    os.close(reader)
