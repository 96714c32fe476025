"""Programs in Go."""

import os
import subprocess

from .weir import BINARY


def built(folder, name):
    """The program of that folder: built once, and anew when its source is newer."""
    program = os.path.join(os.path.dirname(os.path.abspath(BINARY)), "clients", name)
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
    return program
