"""`make demo`: what it prints on a terminal, and that it fails where something else does."""

import os
import pty
import re
import subprocess
import sys

import pytest

from support.demo import DEMO
from support.weir import BINARY, clean_environment

SCRIPT = os.path.join(os.path.dirname(__file__), "..", "..", "lab", "demo.py")


def on_a_terminal(*arguments, **environment):
    """(exit status, all that was printed)."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--weir", BINARY, "--backend", DEMO, *arguments],
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        env={**clean_environment(), "PYTHONIOENCODING": "utf-8", "TERM": "xterm", **environment},
    )
    os.close(theirs)
    said = b""
    try:
        while data := os.read(ours, 65536):
            said += data
    except OSError:  # how Linux tells that nobody has the other end any more
        pass
    finally:
        os.close(ours)
    return process.wait(30), said.decode().replace("\r\n", "\n")


def rows(text):
    """{name: [sent, possible, alone, weir]}: requests a second."""
    found = re.findall(r"^( *\S+) +(?:\d+ +)?(\d+) +(\d+) +(\d+\.\d) +(\d+\.\d) +[-\d.]+ +[-\d.]+$", text, re.M)
    return [(name.strip(), [float(n) for n in numbers]) for name, *numbers in found]


@pytest.mark.seconds(60)
def test_the_demo_shows_what_an_overload_does_to_an_app_and_what_weir_does_about_it():
    status, said = on_a_terminal("--quick", NO_COLOR="1")
    assert status == 0, said
    assert "\x1b[" in said and not re.search(r"\x1b\[[\d;]*m", said), "drawn over, without colours"
    lines = re.sub(r"\x1b\[\d*[A-Z]", "", said).split("\n")
    assert max(map(len, lines)) <= 80, max(lines, key=len)
    table = rows("\n".join(lines))
    assert [name for name, _ in table] == ["mixed", "/products", "/users", "/blocking", "/blocking"], said
    for name, (sent, possible, alone, weir) in table:
        assert 0 <= alone <= sent and 0 <= weir <= sent and possible < sent or name == "/users"
    for _, (_, possible, alone, weir) in (table[1], table[3]):
        assert alone < possible / 4 and weir > alone, said
        assert weir > possible / 2 or "this machine is busy" in " ".join(lines), said


@pytest.mark.parametrize("arguments, why", [
    (("--weir", "/bin/false"), "weir ended with status 1"),
    (("--backend", "/nowhere"), "cannot start backend-demo"),
])
def test_the_demo_fails_where_a_program_does(arguments, why):
    status, said = on_a_terminal(*arguments)
    assert status == 1
    assert f"demo: {why}" in said and "Traceback" not in said
