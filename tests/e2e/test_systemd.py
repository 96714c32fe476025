"""weir under systemd, whose part the test plays: readiness, reloads, and sockets that it passes."""

import fcntl
import os
import signal
import socket
import subprocess

import pytest

from support.client import Client
from support.waiting import until
from support.weir import BINARY, clean_environment, free_port


class Manager:
    """Reads what weir reports, and starts it with listening sockets as systemd does."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(10)
        self.log = folder / "log"

    def start(self, *flags, sockets=(), env=None):
        """Only the process itself knows its id, so a shell writes it into the environment."""
        variables = {**clean_environment(), "NOTIFY_SOCKET": self.path, **(env or {})}
        script = f'export LISTEN_PID=$$ LISTEN_FDS={len(sockets)}; exec "$@"'
        command = ["sh", "-c", script if sockets else 'exec "$@"', "sh", BINARY, "serve", *flags]

        def pass_sockets():
            copies = [fcntl.fcntl(s, fcntl.F_DUPFD, 100) for s in sockets]  # 3, 4 may be others
            for number, copy in enumerate(copies, 3):
                os.dup2(copy, number)

        with open(self.log, "ab") as log:
            return subprocess.Popen(
                command, env=variables, stderr=log, stdout=subprocess.DEVNULL,
                preexec_fn=pass_sockets, close_fds=False,
            )

    def hears(self, text):
        """Reads on until a message has this line."""
        while True:
            lines = self.socket.recv(4096).decode().splitlines()
            if any(line.startswith(text) for line in lines):
                return lines


@pytest.fixture
def manager(tmp_path):
    m = Manager(tmp_path)
    yield m
    m.socket.close()


@pytest.fixture
def origin(world):
    return world.origin()


def stop(process):
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_weir_reports_the_start_a_reload_and_the_end_to_systemd(manager, origin, tmp_path):
    file = tmp_path / "weir.json"
    file.write_text('{"upstream": "%s", "drain": {"delay": "0s"}}' % origin.upstream)
    process = manager.start(
        "--config", str(file), "--listen", f"127.0.0.1:{free_port()}", "--admin-listen", "off",
        env={"WATCHDOG_USEC": "400000"},
    )
    manager.hears("READY=1")
    manager.hears("STATUS=serves")
    manager.hears("WATCHDOG=1")
    process.send_signal(signal.SIGHUP)
    assert manager.hears("RELOADING=1")[1].startswith("MONOTONIC_USEC=")
    manager.hears("READY=1")
    process.send_signal(signal.SIGTERM)
    assert "EXTEND_TIMEOUT_USEC=26000000" in manager.hears("STOPPING=1")
    assert process.wait(10) == 0


def asks(address, target="/"):
    client = Client(address)
    status = client.ask("GET", target, "Connection: close").status
    client.fin()
    return status


def listening():
    s = socket.create_server(("127.0.0.1", 0), backlog=64)
    return s, "127.0.0.1:%d" % s.getsockname()[1]


def test_a_restart_refuses_no_connection_while_systemd_holds_the_port(manager, origin):
    """Also not those that arrive while no weir is running."""
    port, address = listening()
    admin, admin_address = listening()
    flags = ["--upstream", origin.upstream, "--listen", address, "--drain-delay", "0s"]
    flags += ["--admin-listen", admin_address]
    process = manager.start(*flags, sockets=(port, admin))
    manager.hears("READY=1")
    assert asks(port.getsockname()) == 200
    assert asks(admin.getsockname(), "/livez") == 200
    stop(process)
    early = Client(port.getsockname()).get("/")
    process = manager.start(*flags, sockets=(port, admin))
    assert early.response("GET").status == 200
    early.fin()
    stop(process)
    assert "used by no port" not in manager.log.read_text()


def test_a_socket_that_no_option_names_is_reported(manager, origin):
    port, address = listening()
    flags = ["--upstream", origin.upstream, "--listen", f"127.0.0.1:{free_port()}"]
    process = manager.start(*flags, "--admin-listen", "off", "--drain-delay", "0s", sockets=(port,))
    manager.hears("READY=1")
    until(lambda: f"the socket on {address}" in manager.log.read_text(), "the warning")
    stop(process)


def test_the_file_of_a_passed_unix_socket_stays(manager, origin, tmp_path):
    path = str(tmp_path / "weir.sock")
    with socket.socket(socket.AF_UNIX) as port:
        port.bind(path)
        port.listen(8)
        flags = ["--upstream", origin.upstream, "--listen", f"unix:{path}", "--admin-listen", "off"]
        process = manager.start(*flags, "--drain-delay", "0s", sockets=(port,))
        manager.hears("READY=1")
        assert asks(path) == 200
        stop(process)
        assert os.path.exists(path)
