"""Memory as the kernel charges it to a container: a separate memory cgroup for the test."""

import contextlib
import itertools
import os

numbers = itertools.count()
BASE = "/sys/fs/cgroup/memory"


def _parent():
    with open("/proc/self/cgroup", encoding="ascii") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if "memory" in controllers.split(","):
                return BASE + path.rstrip("/")
    return None


class Cgroup:
    """A cgroup of version 1. There, data in TCP sockets is counted separately; in version 2, it is
    part of the sum."""

    def __init__(self, path):
        self.path = path
        os.mkdir(path)
        self._write("memory.kmem.tcp.limit_in_bytes", 1 << 40)  # begins to account
        self.run_by = ("/bin/sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', path)

    def _write(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(str(value))

    def _read(self, name):
        with open(os.path.join(self.path, name), encoding="ascii") as file:
            return file.read()

    def peak(self):
        """The maximum memory of the program, of the kernel for it, and of the page cache that it filled."""
        return int(self._read("memory.max_usage_in_bytes"))

    def sockets(self):
        return int(self._read("memory.kmem.tcp.max_usage_in_bytes"))

    def remove(self):
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


def make():
    """A cgroup, or None without the controller or the permission to use it."""
    parent = _parent()
    try:
        return parent and Cgroup(f"{parent}/weir-{os.getpid()}-{next(numbers)}")
    except OSError:
        return None
