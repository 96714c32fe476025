"""A command in a terminal: what is on its screen, as an emulator of a VT100 shows it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pyte

from .waiting import until
from .weir import BINARY, clean_environment

ENTER, LEAVE = b"\033[?1049h", b"\033[?1049l"
LINE = re.compile(rb"\033\[(\d+);1H\033\[K")
COLOUR = re.compile(rb"\033\[[0-9;]*m")


class Terminal:
    """Runs `weir ARGUMENTS` in a terminal of a size, given as (columns, rows)."""

    def __init__(self, arguments, size, **environment):
        self.master, self.slave = pty.openpty()
        self.screen = pyte.Screen(*size)
        self.stream = pyte.ByteStream(self.screen)
        self.bytes, self.first = b"", 0  # `first`: where those of this size begin
        self._set_size(size)
        self.before = termios.tcgetattr(self.slave)
        env = {**clean_environment(), "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment}
        self.process = subprocess.Popen(
            [BINARY, *arguments], stdin=self.slave, stdout=self.slave, stderr=self.slave, env=env,
            preexec_fn=self._take_terminal,
        )

    def _take_terminal(self):
        os.setsid()
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def _set_size(self, size):
        self.size = size
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def resize(self, *size):
        self.read(0)
        self.first = len(self.bytes)
        self.screen.resize(size[1], size[0])
        self._set_size(size)

    def type(self, keys):
        os.write(self.master, keys)

    def read(self, seconds=0.01):
        """What has arrived, or arrives within that time."""
        while select.select([self.master], [], [], seconds)[0]:
            data = os.read(self.master, 65536)
            self.bytes += data
            self.stream.feed(data)
            seconds = 0

    def lines(self):
        """The screen, without the empty lines at its end."""
        self.read()
        text = "\n".join(line.rstrip() for line in self.screen.display)
        return text.rstrip("\n").split("\n")

    def wait_for(self, text, within=10):
        """Returns the lines of the first screen with that text."""

        def there():
            lines = self.lines()
            return lines if text in "\n".join(lines) else None

        try:
            return until(there, f"{text!r} on the screen", within)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n" + "\n".join(self.lines())) from None

    def check_frames(self):
        """No line that was sent is wider than the terminal, and none is below its last row. The
        emulator alone would not tell: a line that is too wide is cut off there."""
        columns, rows = self.size
        parts = LINE.split(self.bytes[self.first :])
        assert len(parts) > rows, "no whole frame"
        for row, line in zip(parts[1::2], parts[2::2]):
            text = COLOUR.sub(b"", line)
            assert int(row) <= rows
            assert len(text.decode()) <= columns, text.decode()

    def wait_exit(self, within=5):
        """The exit status. The screen and the modes of the terminal are as they were."""
        deadline = time.monotonic() + within
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.02)
        self.read(0)
        assert self.process.poll() is not None, "it did not end"
        assert termios.tcgetattr(self.slave) == self.before
        assert (ENTER in self.bytes) == self.bytes.endswith(LEAVE)
        assert not self.screen.cursor.hidden and pyte.modes.DECAWM in self.screen.mode
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(5)
        os.close(self.master)
        os.close(self.slave)
