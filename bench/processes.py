"""Starting, pinning, timing and ending the processes of the bench.

Everything started here is ended here, by its own pid, whatever happens: `Process` is a context
manager, and the kernel ends the child when this program dies.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class BenchError(Exception):
    """The bench could not measure; no figure of it is to be trusted."""


class Process:
    """One child: pinned to cores, its words read line by line, its CPU and memory readable."""

    def __init__(
        self,
        argv: list[str],
        cores: set[int],
        log: pathlib.Path,
        env: dict[str, str] | None = None,
    ):
        self.name = pathlib.Path(argv[0]).name
        self.log = log
        self._pending = b""
        with open(log, "ab") as errors:
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **(env or {})},
                preexec_fn=lambda: self._before_exec(cores),
            )

    @staticmethod
    def _before_exec(cores: set[int]) -> None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        os.sched_setaffinity(0, cores)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Asks, waits, insists."""
        self._popen.stdin.close()
        if self._popen.poll() is None:
            self._popen.terminate()
        try:
            self._popen.wait(2)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(5)
        self._popen.stdout.close()

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def say(self, line: str) -> None:
        self._popen.stdin.write(line.encode() + b"\n")
        self._popen.stdin.flush()

    def hear(self, word: str, timeout: float = 30) -> str:
        """The rest of the next line, which must start with `word`."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._popen.stdout], [], [], left)[0]:
                late = f"did not say {word!r} within {timeout:g} s"
                raise BenchError(f"{self.name} {late}{self.words()}")
            piece = os.read(self._popen.stdout.fileno(), 65536)
            if not piece:
                raise BenchError(f"{self.name} ended before it said {word!r}{self.words()}")
            self._pending += piece
        line, self._pending = self._pending.split(b"\n", 1)
        text = line.decode()
        if not text.startswith(word):
            raise BenchError(f"{self.name} said {text!r} instead of {word!r}")
        return text[len(word) :].strip()

    def words(self) -> str:
        """The end of what it wrote to stderr, for a message."""
        text = self.log.read_text(errors="replace").strip()
        return f"; its last words:\n{text[-800:]}" if text else ""

    def check_alive(self) -> None:
        if self._popen.poll() is not None:
            raise BenchError(f"{self.name} ended with {self._popen.returncode}{self.words()}")

    def pids(self) -> list[int]:
        """This process and its descendants (nginx does its work in a child)."""
        found = [self._popen.pid]
        for pid in found:
            for task in task_directories(pid):
                found += [int(child) for child in (task / "children").read_text().split()]
        return found

    def move(self, cores: set[int]) -> None:
        for pid in self.pids():
            os.sched_setaffinity(pid, cores)

    def cpu_ns(self) -> int:
        """Time on a core so far, of all threads, by the scheduler's own account."""
        return self._schedstat(0)

    def waited_ns(self) -> int:
        """Time spent ready to run while something else had the core."""
        return self._schedstat(1)

    def _schedstat(self, column: int) -> int:
        return sum(
            int((task / "schedstat").read_text().split()[column])
            for pid in self.pids()
            for task in task_directories(pid)
        )

    def rss_bytes(self) -> int:
        return self._status_bytes("VmRSS")

    def peak_rss_bytes(self) -> int:
        """The most that has been resident since the start."""
        return self._status_bytes("VmHWM")

    def _status_bytes(self, field: str) -> int:
        total = 0
        for pid in self.pids():
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            total += int(status.split(f"{field}:")[1].split()[0]) * 1024
        return total

    def wait_until_idle(self, timeout: float = 20) -> None:
        """Returns once the process uses less than 1% of a core for a tenth of a second."""
        deadline = time.monotonic() + timeout
        before = self.cpu_ns()
        while time.monotonic() < deadline:
            time.sleep(0.1)
            now = self.cpu_ns()
            if now - before < 1_000_000:
                return
            before = now
        raise BenchError(f"{self.name} did not come to rest within {timeout:g} s")


def task_directories(pid: int) -> list[pathlib.Path]:
    return list(pathlib.Path(f"/proc/{pid}/task").iterdir())


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until_listening(process: Process, port: int, timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        process.check_alive()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise BenchError(f"{process.name} does not listen after {timeout:g} s{process.words()}")


class SyscallCounter:
    """Counts the system calls of a process: perf's tracepoint where permitted, else strace."""

    def __init__(self, directory: pathlib.Path):
        self._directory = directory
        self.tool = self._choose()

    def _choose(self) -> str | None:
        trial = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "true"]
        if shutil.which("perf"):
            done = subprocess.run(trial, capture_output=True, text=True, timeout=20, check=False)
            if done.returncode == 0 and "<not" not in done.stderr:
                return "perf"
        return "strace" if shutil.which("strace") else None

    def count(self, process: Process, work: object) -> int:
        """The calls made by all threads of `process` while `work()` runs."""
        if self.tool is None:
            raise BenchError("neither perf (with permission to trace) nor strace is here")
        output = self._directory / "syscalls"
        output.unlink(missing_ok=True)
        pids = ",".join(str(pid) for pid in process.pids())
        counter = self._start(pids, output)
        try:
            work()
        finally:
            counter.send_signal(signal.SIGINT)
            counter.wait(20)
        return self._parse(output.read_text())

    def _start(self, pids: str, output: pathlib.Path) -> subprocess.Popen:
        if self.tool == "perf":
            argv = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", pids]
            ready = output.with_suffix(".ready")
            for pipe in (ready, output.with_suffix(".control")):
                pipe.unlink(missing_ok=True)
                os.mkfifo(pipe)
            control = output.with_suffix(".control")
            argv += ["-o", str(output), "-D", "-1", f"--control=fifo:{control},{ready}"]
            counter = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self._enable(counter, control, ready)
            return counter
        argv = ["strace", "-f", "-c", "-o", str(output)]
        for pid in pids.split(","):
            argv += ["-p", pid]
        counter = subprocess.Popen(argv, stderr=subprocess.PIPE)
        counter.stderr.readline()  # "Process N attached"
        return counter

    @staticmethod
    def _enable(counter: subprocess.Popen, control: pathlib.Path, ready: pathlib.Path) -> None:
        write = os.open(control, os.O_RDWR)
        read = os.open(ready, os.O_RDWR)
        try:
            os.write(write, b"enable\n")
            if not select.select([read], [], [], 10)[0]:
                counter.kill()
                raise BenchError("perf did not start to count within 10 s")
        finally:
            os.close(read)
            os.close(write)

    def _parse(self, text: str) -> int:
        if self.tool == "perf":
            line = next(l for l in text.splitlines() if "raw_syscalls" in l)
            return int(line.split(",")[0])
        total = next(l for l in text.splitlines() if l.endswith("total"))
        return int(total.split()[3])  # % time, seconds, microseconds a call, calls
