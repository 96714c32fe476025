"""HAProxy in front of weir, with the caller's configuration, observed through its stats socket."""

import os
import socket
import subprocess
from collections import namedtuple

from .waiting import until

DRAINS = 8  # SRV_ADMF_FDRAIN

Server = namedtuple("Server", "up drains weight")


class HAProxy:
    def __init__(self, folder, text):
        self.socket = os.path.join(folder, "haproxy.sock")
        path = os.path.join(folder, "haproxy.cfg")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{text}\nglobal\n  stats socket {self.socket} level admin\n")
        self.log = open(os.path.join(folder, "haproxy.log"), "w+b")
        self.process = subprocess.Popen(
            ["haproxy", "-db", "-f", path], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        try:
            until(self._is_up, "HAProxy")
        except BaseException:
            self.process.kill()
            raise

    def _is_up(self):
        assert self.process.poll() is None, self.text()
        try:
            return self.servers()
        except OSError:  # its socket is not there yet, or does not listen
            return False

    def servers(self):
        """The servers by name."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.socket)
            sock.sendall(b"show servers state\n")
            said = b""
            while data := sock.recv(65536):
                said += data
        rows = [line.split() for line in said.decode().splitlines()[2:] if line]
        return {row[3]: Server(row[5] == "2", bool(int(row[6]) & DRAINS), int(row[7])) for row in rows}

    def text(self):
        """The log of HAProxy."""
        return os.pread(self.log.fileno(), 1 << 24, 0).decode(errors="replace")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait(5)
            self.log.close()
