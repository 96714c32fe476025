"""A connect to the app that fails: the log names the system's reason, whatever it is."""

import os
import re
import socket

import pytest

from support.waiting import until
from support.weir import free_port


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


CAUSES = [
    (closed, "Connection refused: nothing listens there"),
    (unheard, "Connection refused: no process listens on the socket"),
    (missing, "No such file or directory: the app has not made the socket, or in another directory"),
    (in_a_file, "Not a directory"),
    (nowhere, "Network is unreachable: there is no route to it"),
]


@pytest.mark.parametrize("place, cause", CAUSES, ids=[place.__name__ for place, _ in CAUSES])
def test_the_log_says_why_a_connect_failed(world, place, cause):
    upstream = place(world)
    weir = world.weir(upstream, startup_probe="none")
    answer = world.connect(weir).ask("GET", "/")
    assert (answer.status, answer.get("Weir-Reason")) == (502, "connect_failed")
    assert f"upstream {upstream}: connect: {cause} (request id " in weir.log()


@pytest.mark.parametrize("place, cause", CAUSES, ids=[place.__name__ for place, _ in CAUSES])
def test_the_log_says_why_the_app_counts_as_not_started(world, place, cause):
    weir = world.weir(place(world), wait="/livez", startup_timeout="300ms")
    until(lambda: f"takes no connection ({cause}), startup.timeout" in weir.log(), "the log line")


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
    path = world.path("app.sock")
    weir = world.weir(f"unix:{path}", startup_probe="none")
    client = world.connect(weir)
    assert client.ask("GET", "/").status == 502
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    assert client.ask("GET", "/").status == 502
    assert client.ask("GET", "/").status == 502
    assert len(re.findall("connect: No such file", weir.log())) == 1
    assert len(re.findall("connect: Connection refused", weir.log())) == 1
