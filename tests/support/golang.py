"""Programs in Go."""

import contextlib
import fcntl
import os
import subprocess

from .weir import BINARY


@contextlib.contextmanager
def only_one(path):
    """Another that runs beside this waits here."""
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def built(folder, name):
    """The program of that folder: built once, and anew when its source is newer."""
    program = os.path.join(os.path.dirname(os.path.abspath(BINARY)), "clients", name)
    os.makedirs(os.path.dirname(program), exist_ok=True)
    with only_one(program + ".lock"):
        build(folder, program)
    return program


def build(folder, program):
    newest = max(entry.stat().st_mtime for entry in os.scandir(folder))
    if not os.path.exists(program) or os.path.getmtime(program) < newest:
        env = {
            "GOFLAGS": "-buildvcs=false",
            "GOTOOLCHAIN": "local",
            "GOPROXY": "off",
            "GOWORK": "off",
        }
        subprocess.run(
            ["go", "build", "-o", program, "."], cwd=folder, env={**os.environ, **env}, check=True
        )
