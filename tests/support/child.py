"""A program of this folder in a process of its own, so that nothing in the test delays it."""

import json
import subprocess
import sys


class Child:
    """`python3 -m support.NAME ARGUMENT...`, which may print "begun" at first. It ends when its input does,
    and prints its result as JSON. A context manager, which kills it."""

    def __init__(self, name, *arguments, begins=True):
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"support.{name}", *arguments],
            cwd=__file__.rpartition("/support/")[0],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert not begins or self.process.stdout.readline() == "begun\n"

    def stop(self, within=20):
        """Ends it. Returns its result."""
        text, _ = self.process.communicate(timeout=within)
        assert self.process.returncode == 0, f"{self.process.args} failed"
        return json.loads(text)

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        for stream in (self.process.stdin, self.process.stdout):
            stream.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
