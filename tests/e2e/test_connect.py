"""A connect to the app that fails: the log names the system's reason, whatever it is."""

import os
import re
import socket
import subprocess
import sys
import tempfile

import pytest

from support.client import Client
from support.waiting import until
from support.weir import BINARY, clean_environment, free_port


def missing(world):
    return f"unix:{world.path('missing.sock')}"


def in_a_file(world):
    with open(world.path("file"), "w", encoding="ascii"):
        pass
    return f"unix:{world.path('file')}/app.sock"


def unheard(world):
    """A socket's file whose process has gone."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(world.path("unheard.sock"))
    return f"unix:{world.path('unheard.sock')}"


def closed(_):
    return f"127.0.0.1:{free_port()}"


def nowhere(_):
    """TCP connects to no group of hosts, whatever the machine's routes are."""
    return "224.0.0.1:80"


GONE = [
    (closed, "Connection refused: nothing listens there"),
    (unheard, "Connection refused: no process listens on the socket"),
    (missing, "No such file or directory: the app has not created the socket, or has created it elsewhere"),
]
BROKEN = [
    (in_a_file, "Not a directory"),
    (nowhere, "Network is unreachable: no route to this address"),
]
CAUSES = GONE + BROKEN


@pytest.mark.parametrize("place, cause", GONE, ids=[place.__name__ for place, _ in GONE])
def test_an_app_that_is_not_there_is_waited_for_and_the_log_says_so(world, place, cause):
    upstream = place(world)
    weir = world.weir(upstream, startup_probe="none", queue_timeout="200ms")
    assert weir.admin_get("/readyz").status == 200
    answer = world.connect(weir).ask("GET", "/")
    assert (answer.status, answer.get("Weir-Reason")) == (503, "not_ready")
    assert 1 <= int(answer.get("Retry-After")) <= 30
    assert f"the app at {upstream} does not accept connections ({cause}): requests wait" in weir.log()
    assert weir.admin_get("/readyz").status == 503
    assert weir.admin_get("/startupz").status == 200
    assert weir.status()["upstream"]["state"] == "down"


@pytest.mark.parametrize("place, cause", BROKEN, ids=[place.__name__ for place, _ in BROKEN])
def test_the_log_says_why_a_connect_failed(world, place, cause):
    upstream = place(world)
    weir = world.weir(upstream, startup_probe="none")
    answer = world.connect(weir).ask("GET", "/")
    assert (answer.status, answer.get("Weir-Reason")) == (502, "connect_failed")
    assert f"upstream {upstream}: connect: {cause} (request id " in weir.log()


@pytest.mark.parametrize("place, cause", CAUSES, ids=[place.__name__ for place, _ in CAUSES])
def test_the_log_says_why_the_app_counts_as_not_started(world, place, cause):
    weir = world.weir(place(world), wait="/livez", startup_timeout="300ms")
    until(lambda: f"does not accept connections ({cause}), and startup.timeout" in weir.log(), "the log line")


def test_a_socket_that_weir_may_not_use_is_named_as_such(world):
    path = world.path("app.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        os.chmod(path, 0)
        # The superuser may use it all the same, unless that capability is taken away.
        tame = ("setpriv", "--bounding-set", "-dac_override") if os.geteuid() == 0 else ()
        weir = world.weir(f"unix:{path}", startup_probe="none", run_by=tame)
        assert world.connect(weir).ask("GET", "/").status == 502
    assert f"upstream unix:{path}: connect: Permission denied: weir's user may not" in weir.log()


def test_causes_that_alternate_are_each_logged(world):
    """The rate limit of the log counts each cause for itself."""
    folder = world.path("folder")
    with open(folder, "w", encoding="ascii"):
        pass
    weir = world.weir(f"unix:{folder}/app.sock", startup_probe="none")
    client = world.connect(weir)
    assert client.ask("GET", "/").status == 502
    os.unlink(folder)
    os.symlink("folder", folder)
    assert client.ask("GET", "/").status == 502
    assert client.ask("GET", "/").status == 502
    assert len(re.findall("connect: Not a directory", weir.log())) == 1
    assert len(re.findall("connect: Too many levels of symbolic links", weir.log())) == 1


# ---- a connection to itself ----------------------------------------------------------------------

ALONE = r"""
import fcntl, os, socket, struct, sys
with socket.socket() as sock:  # the loopback interface of a new network namespace is down
    fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
    file.write("40000 40000")
os.execv(sys.argv[1], sys.argv[1:])
"""


def may_unshare():
    try:
        return subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0
    except OSError:
        return False


def listens(path):
    try:
        Client(path).fin()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not may_unshare(), reason="no network namespace may be made here")
@pytest.mark.parametrize("probe, status, reason", [
    ("tcp", 503, "not_ready"),
    ("none", 503, "not_ready"),
])
def test_a_connection_to_itself_is_no_app(world, probe, status, reason):
    """The app is down, and the only port that a connecting socket can be given is the app's."""
    path = world.path("weir.sock")
    argv = ["serve", "--upstream", "127.0.0.1:40000", "--listen", f"unix:{path}",
            "--admin-listen", "off", "--startup-probe", probe, "--startup-timeout", "300ms",
            "--queue-timeout", "300ms", "--drain-delay", "0s"]
    with tempfile.TemporaryFile("w+b") as log:
        weir = subprocess.Popen(["unshare", "-rn", sys.executable, "-c", ALONE, BINARY, *argv],
                                stderr=log, env=clean_environment())
        try:
            until(lambda: listens(path), "weir to listen")
            for _ in range(3):
                client = Client(path)
                answer = client.ask("GET", "/")
                client.fin()
                assert (answer.status, answer.get("Weir-Reason")) == (status, reason)
            refused = b"Connection refused: nothing listens there"
            until(lambda: refused in os.pread(log.fileno(), 1 << 20, 0), "the log to tell why")
        finally:
            weir.terminate()
            assert weir.wait(10) == 0
