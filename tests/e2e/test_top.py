"""`weir top` and `weir status` of a running weir, in a terminal and without one."""

import contextlib
import re
import signal
import subprocess

import pytest

from support import origin as app
from support.terminal import Terminal
from support.weir import BINARY, clean_environment, free_port


@contextlib.contextmanager
def terminal(arguments, size, **environment):
    term = Terminal(arguments, size, **environment)
    try:
        yield term
    finally:
        term.close()


def top(weir, size, **environment):
    return terminal(["top", f"--admin-listen=127.0.0.1:{weir.admin_port}"], size, **environment)


@contextlib.contextmanager
def load(world):
    """4 requests have a slot and 3 wait; 1 was served and 2 were refused."""
    origin, weir = world.pair(concurrency=4, queue_length=3)
    gate = origin.gate()
    origin.on("/", app.wait(gate), app.answer())
    assert world.connect(weir).ask("GET", "/quick").status
    clients = [world.connect(weir).get("/") for _ in range(7)]
    weir.wait_depth(3)
    assert [world.connect(weir).ask("GET", "/").status for _ in range(2)] == [503, 503]
    yield weir
    gate.open()
    assert [client.response().status for client in clients] == [200] * 7


def drawn(lines, name):
    """How many lines of that name have a bar or a chart that is not empty."""
    return sum(1 for line in lines if line.startswith(name) and re.search("[▁▂▃▄▅▆▇█]", line))


def check_figures(lines):
    text = "\n".join(lines)
    assert lines[0].startswith("weir 0.") and re.search(r"up \d+ (s|min)$", lines[0])
    assert lines[1].startswith("App: ")
    assert re.search(r"^In flight █{8,} +4 of 4$", text, re.M)
    assert re.search(r"^Waiting   █{8,} +3 of 3$", text, re.M)
    assert drawn(lines, "In flight") == drawn(lines, "Waiting") == 2
    assert re.search(r"^Finished +[\d.]+/s", text, re.M)


def test_all_sizes_show_the_load(world):
    with load(world) as weir, top(weir, (80, 24)) as term:
        term.wait_for("Refused, queue full 2")
        lines = term.wait_for("No free slot")
        assert 20 <= len(lines) <= 24
        check_figures(lines)
        assert drawn(lines, "Refused") == 1
        assert f"127.0.0.1:{weir.admin_port}" in lines[0]
        assert re.search(r"Wait for a slot( +[\d.]+ (us|ms|s)){4}$", "\n".join(lines), re.M)
        assert "Where the time went, last minute" in lines
        term.check_frames()

        term.resize(40, 12)
        lines = term.wait_for("Wait  p50 ")
        assert len(lines) <= 12
        check_figures(lines)
        assert any(re.match(r"App   p50 .* p90 .* p99 ", line) for line in lines)
        term.check_frames()

        term.resize(20, 5)
        assert term.wait_for("In flight     4 of 4")[1].startswith("App: ")
        term.check_frames()
        term.type(b"xq")
        assert term.wait_exit() == 0


def test_a_restart_is_named_and_survived(world):
    _, weir = world.pair()
    with top(weir, (80, 24)) as term:
        term.wait_for(" 0 of 10")
        weir.stop()
        lines = term.wait_for("no response from the admin port: Connection refused. Trying again.")
        assert lines[1].startswith("For ") and "In flight" in lines[3]
        weir.process = subprocess.Popen(
            weir.argv, stdin=subprocess.DEVNULL, stderr=weir.stderr, env=clean_environment()
        )
        weir.stopped = False
        assert term.wait_for("weir has restarted.")[1].startswith("weir has restarted. App: ")
        term.check_frames()
        term.type(b"\x03")  # Ctrl-C
        assert term.wait_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_a_signal_restores_the_terminal(world, number):
    _, weir = world.pair()
    with top(weir, (80, 24), NO_COLOR="1", LC_ALL="C") as term:
        term.wait_for("No free slot")
        term.process.send_signal(number)
        assert term.wait_exit() == 0
        assert term.bytes.isascii()
        assert not re.search(rb"\033\[[1-9;]+m", term.bytes)


def test_without_a_terminal_there_is_a_line_a_second(world):
    with load(world) as weir:
        process = subprocess.Popen(
            [BINARY, "top", f"--admin-listen=127.0.0.1:{weir.admin_port}"],
            stdout=subprocess.PIPE, text=True, env={**clean_environment(), "TERM": "xterm"},
        )
        with process.stdout as lines:
            names, first, second = next(lines), next(lines), next(lines)
            process.send_signal(signal.SIGTERM)
            assert lines.read() == ""
        assert process.wait(5) == 0
        assert names.split()[:3] == ["time", "app", "in"]
        for line in (first, second):
            assert re.match(r"\d\d:\d\d:\d\d [a-z ]+ +4/4 +3 +[\d.]+ ", line), line
            assert len(line) <= 81


def test_status_is_a_page_or_json(world):
    with load(world) as weir:
        said = weir.command("status", env={"TERM": "xterm"})
        assert said.returncode == 0 and said.stderr == ""
        lines = said.stdout.split("\n")
        assert lines[0].startswith("App: ") and max(map(len, lines)) <= 80
        assert re.search(r"^In flight █+ 4 of 4$", said.stdout, re.M)
        assert re.search(r"^  queue full +2$", said.stdout, re.M)
        assert "\033" not in said.stdout
        assert '"in_flight":4' in weir.command("status", "--json").stdout


def test_a_weir_that_does_not_run_is_an_error():
    for command in ("top", "status"):
        flag = f"--admin-listen=127.0.0.1:{free_port()}"
        with terminal([command, flag], (200, 24)) as term:
            assert term.wait_exit() == 1
            assert "no response from the admin port: Connection refused" in term.lines()[0]
            assert b"\033[?" not in term.bytes
