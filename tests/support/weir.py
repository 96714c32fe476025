"""Starts, asks and stops weir, as an operator would."""

import contextlib
import glob
import itertools
import json
import os
import resource
import random
import re
import signal
import socket
import subprocess
import tempfile

from . import metrics
from .client import Client
from .waiting import until

BINARY = os.environ.get("WEIR", "build/weir")
SANITIZER = re.compile(
    r"ERROR: AddressSanitizer|LeakSanitizer|WARNING: ThreadSanitizer|runtime error:"
)


def ports_of_this_worker():
    """Connecting sockets are given theirs from above. Of tests that run side by side each worker
    (gw0, gw1, ...) has a share of its own."""
    lowest, highest = 10_000, 31_999
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % workers
    share = (highest + 1 - lowest) // workers
    return range(lowest + number * share, lowest + (number + 1) * share)


PORTS = ports_of_this_worker()
numbers = itertools.count(random.randrange(len(PORTS)))


def free_port():
    """None that was given before: two for one weir are never the same."""
    while True:
        with socket.socket() as sock:
            port = PORTS[next(numbers) % len(PORTS)]
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def flags(options):
    out = []
    for key, value in options.items():
        if value is None:  # left to the file
            continue
        out += ["--" + key.replace("_", "-"), str(value)]
    return out


class Weir:
    """One running weir. Options are its flags: queue_timeout="2s" is --queue-timeout 2s."""

    def __init__(
        self, upstream, wait="/readyz", listen=None, env=None, nofile=None, run_by=(),
        admin_host="127.0.0.1", port=None, admin_port=None, stdout=subprocess.DEVNULL, **options
    ):
        self.port, self.admin_port = port or free_port(), admin_port or free_port()
        self.listen = listen or f"127.0.0.1:{self.port}"  # a host alone gets the port
        if self.listen.endswith("]"):
            self.listen += f":{self.port}"
        self.admin = ("127.0.0.1", self.admin_port)
        options = {"concurrency": 10, "drain_delay": "0s", "drain_timeout": "5s", **options}
        self.argv = [*run_by, BINARY, "serve", "--upstream", upstream, "--listen", self.listen]
        self.argv += ["--admin-listen", f"{admin_host}:{self.admin_port}", *flags(options)]
        self.stderr = tempfile.TemporaryFile("w+b")
        self.stopped = False
        self.process = subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=self.stderr,
            env={**clean_environment(), **(env or {})},
            preexec_fn=nofile and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))),
        )
        self._await(wait)

    def _await(self, path):
        def up():
            assert self.process.poll() is None, f"weir ended at once: {self.log()}"
            try:
                return self.admin_get(path).status == 200
            except OSError:
                return False
            except AssertionError:
                return False

        try:
            until(up, f"{path} of {' '.join(self.argv)}", within=15)
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}\n{self.log()}") from None

    @property
    def address(self):
        if self.listen.startswith("unix:"):
            return self.listen[5:]
        return ("::1" if self.listen.startswith("[::1]") else "127.0.0.1", self.port)

    # ---- asking ----------------------------------------------------------------------------

    def connect(self, timeout=15):
        return Client(self.address, timeout)

    def admin_get(self, path, *fields, method="GET"):
        client = Client(self.admin, timeout=5)
        try:
            return client.ask(method, path, "Connection: close", *fields, host="weir.test")
        finally:
            client.fin()

    def command(self, *arguments, env=None):
        """Runs `weir ARGUMENTS` for this weir."""
        flag = f"--admin-listen=127.0.0.1:{self.admin_port}"
        return subprocess.run(
            [BINARY, *arguments, flag], capture_output=True, text=True, timeout=60, check=False,
            env={**clean_environment(), **(env or {})},
        )

    def metrics(self):
        return metrics.Metrics(self.admin_get("/metrics").body.decode())

    def glance(self):
        """For one who asks again and again."""
        return metrics.Glance(self.admin_get("/metrics").body.decode())

    def status(self):
        return json.loads(self.admin_get("/status").body)

    def rss(self):
        """Resident bytes now."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def peak_rss(self):
        """The most that has been resident since its start."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(file.read().partition("VmHWM:")[2].split()[0]) * 1024

    def log(self):
        """Its stderr so far. Read in place: a seek would move the offset it writes at."""
        return os.pread(self.stderr.fileno(), 1 << 24, 0).decode(errors="replace")

    def wait_depth(self, n, within=10):
        until(lambda: self.glance().total("weir_queue_depth") == n, f"{n} in the queue", within)

    def wait_in_flight(self, n, within=10):
        until(
            lambda: self.glance().total("weir_requests_in_flight") == n, f"{n} in flight", within
        )

    def wait_sent(self):
        """One request was sent to the app. Its slot is counted just before that."""
        self.wait_in_flight(1)
        until(lambda: set(self._states()) == {"S"}, "weir to be at rest")

    def _quiet(self, within):

        def quiet():
            m = self.glance()
            return m if metrics.is_quiet(m) else None

        return until(quiet, "weir to be quiet", within, every=0.02)

    def wait_quiet(self, within=15):
        """The first scrape in which nothing runs and nothing waits."""
        return metrics.Metrics(self._quiet(within).text)

    def wait_counted(self, requests, within=10):
        """The first quiet scrape that has counted so many requests."""

        def counted():
            m = self.glance()
            done = m.total("weir_requests_total") >= requests and metrics.is_quiet(m)
            return m if done else None

        try:
            return metrics.Metrics(until(counted, "the requests to be counted", within, every=0.02).text)
        except AssertionError:
            return self.metrics()

    def identities(self, requests=None):
        self._quiet(15)
        m = self.wait_counted(requests or 0)
        metrics.check_identities(m, requests)
        return m

    def check_if_at_rest(self):
        """The identities, if nothing happens to run at this moment. The first scrape may fall
        between the end of a hold and its entry in the books; the second is what is judged."""
        try:
            quiet = self.process.poll() is None and metrics.is_quiet(self.glance())
            m = quiet and self.metrics()
        except (OSError, AssertionError):  # it cannot be asked any more
            return
        if m and metrics.is_quiet(m):
            metrics.check_identities(m)

    # ---- standing still ----------------------------------------------------------------------

    def _states(self):
        """The state of each of its threads, as the kernel names it."""
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/stat"):
            with open(path, encoding="ascii") as file:
                yield file.read().rpartition(")")[2].split()[0]

    @contextlib.contextmanager
    def frozen(self):
        """Stands still, so that all that happens meanwhile comes to it in one batch."""
        self.signal(signal.SIGSTOP)
        try:
            until(lambda: set(self._states()) == {"T"}, "weir to stand still")
            yield
        finally:
            self.signal(signal.SIGCONT)

    # ---- ending ----------------------------------------------------------------------------

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait_exit(self, within=15):
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"weir did not end within {within} s\n{self.log()}") from None

    def exited(self, code, within=15):
        """It ends by itself, with this exit code, and no sanitizer has complained."""
        got = self.wait_exit(within)
        self.stopped = True
        log = self.log()
        assert not SANITIZER.search(log), log
        assert "accounting:" not in log, log  # each second, and once more at its end
        assert got == code, f"exit code {got}, not {code}\n{log}"

    def stop(self, code=0):
        self.check_if_at_rest()
        self.signal()
        self.exited(code)

    def kill(self):
        self.stopped = True
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


def clean_environment():
    """Ours without what weir would read as configuration."""
    names = ("PORT", "CONTAINER_CONCURRENCY")
    return {k: v for k, v in os.environ.items() if k not in names and not k.startswith("WEIR_")}
