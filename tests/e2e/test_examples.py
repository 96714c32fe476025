"""The apps in examples/, started as their own text says, with weir and its file in front.

A server that is not installed is skipped, by name.
"""

import importlib.util
import json
import pathlib
import re
import shlex
import shutil
import sys
import threading

import pytest

from support.uvicorn import running
from support.weir import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
APPS = sorted([*(ROOT / "examples").glob("*/app.*")])

pytestmark = pytest.mark.seconds(60)


def said_commands(app):
    """The commands that start the app and weir, taken apart."""
    return [shlex.split(line) for line in re.findall(r"^\W*\$ (.*)$", app.read_text(), re.M)]


def runnable(words, port):
    program = words[0]
    if program == "node":
        program = shutil.which("node") or pytest.skip("not installed: node")
        command = [program]
    elif importlib.util.find_spec(program):
        command = [sys.executable, "-m", program]
    else:
        pytest.skip(f"not installed: {program}")
    if "fastapi" in " ".join(words) and not importlib.util.find_spec("fastapi"):
        pytest.skip("not installed: fastapi")
    return command + [word.replace("8000", str(port)) for word in words[1:]]


def test_every_kind_of_app_is_there():
    assert {app.parent.name for app in APPS} == {"fastapi-def", "fastapi-async", "gunicorn", "node"}


def test_the_readme_names_the_package_of_every_command():
    """Of the commands, not of the modules: python3-uvicorn contains no `uvicorn`."""
    [packages] = re.findall(r"apt-get install (.*)", (ROOT / "examples/README.md").read_text())
    commands = {said_commands(app)[0][0] for app in APPS}
    wanted = {"nodejs" if command == "node" else command for command in commands}
    assert set(packages.split()) == wanted | {"python3-fastapi"}


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.parent.name)
def test_the_example_serves_behind_weir(world, app):
    start_app, start_weir = said_commands(app)
    assert start_weir[:2] == ["weir", "--config"] and len(start_weir) == 3
    config = ROOT / start_weir[2]
    limit = json.loads(config.read_text())["concurrency"]
    port = free_port()
    with running(runnable(start_app, port), port, ROOT, path="/", within=40):
        weir = world.weir(f"127.0.0.1:{port}", config=str(config), concurrency=limit)
        statuses = []

        def ask():
            statuses.append(world.connect(weir).ask("GET", "/").status)

        threads = [threading.Thread(target=ask) for _ in range(limit + 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * (limit + 5)
        m = weir.wait_counted(limit + 5)
        assert m.total("weir_concurrency_limit") == limit
        assert m.total("weir_requests_total", source="app") == limit + 5
