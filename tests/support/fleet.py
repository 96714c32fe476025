"""Many apps, each with a weir, behind one HAProxy with the configuration in examples/haproxy; and an
orchestrator that replaces them one after another."""

import glob
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from .demo import Demo
from .haproxy import HAProxy
from .waiting import until
from .weir import Weir, free_port

EXAMPLE = os.path.join(__file__.rpartition("/tests/")[0], "examples/haproxy/haproxy.cfg")
SERVED = ("echo", "usuarios")  # handlers; the demo's start is noticed with another


def cpu_seconds(pid):
    """The CPU time of all threads of a process so far."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with open(path, encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


class Books:
    """The counts of the instances that have ended."""

    def __init__(self):
        self.lock = threading.Lock()
        self.served, self.most_at_once, self.cpu, self.ended = 0, 0, 0.0, 0

    def enter(self, served, most_at_once, cpu):
        with self.lock:
            self.ended += 1
            self.served += served
            self.cpu += cpu
            self.most_at_once = max(self.most_at_once, most_at_once)


class Pair:
    """An app and its weir, always at the same addresses."""

    def __init__(self, folder, books, **options):
        self.folder, self.books, self.options = folder, books, options
        self.ports = {"port": free_port(), "admin_port": free_port()}
        self.app_port = free_port()
        self.access_log = os.path.join(folder, "access.log")
        os.mkdir(folder)

    def start(self):
        self.demo = Demo(self.folder, port=self.app_port)
        try:
            self.weir = Weir(self.demo.upstream, **self.ports, log_access_file=self.access_log, **self.options)
        except AssertionError:
            self.demo.stop()
            raise

    def end(self, how=signal.SIGTERM):
        """As an orchestrator ends a pod: weir drains, and the app ends after it."""
        cpu = cpu_seconds(self.weir.process.pid)
        self.weir.signal(how)
        self.weir.exited(0, within=60)
        m = self.demo.metrics()
        served = sum(m.one("backend_requests_total", handler=handler) for handler in SERVED)
        self.books.enter(int(served), int(m.one("backend_concurrent_max", handler="all")), cpu)
        self.demo.stop()

    def kill(self):
        self.weir.kill()
        self.demo.process.kill()
        self.demo.process.wait(5)


class Fleet:
    def __init__(self, folder, pairs, retries=True, **options):
        self.books = Books()
        self.pairs = [Pair(os.path.join(folder, f"pair{i}"), self.books, **options) for i in range(pairs)]
        self.started, self.said = [], None
        try:
            with ThreadPoolExecutor(8) as hands:
                list(hands.map(self._start, self.pairs))
            self.port = free_port()
            self.haproxy = HAProxy(folder, self._configuration(retries))
        except BaseException:
            self.kill()
            raise

    def _start(self, pair):
        pair.start()
        self.started.append(pair)

    def _configuration(self, retries):
        with open(EXAMPLE, encoding="ascii") as file:
            text = file.read().replace("bind :80\n", f"bind 127.0.0.1:{self.port}\n")
        head, servers = text[: text.index("    server weir1")], ""
        for i, pair in enumerate(self.pairs):
            servers += f"    server weir{i} 127.0.0.1:{pair.ports['port']} port {pair.ports['admin_port']}\n"
        if not retries:
            head = re.sub(r"retries \d+", "retries 0", re.sub(r" *option redispatch.*\n", "", head))
        return head + servers

    # ---- the orchestrator --------------------------------------------------------------------------

    def churn(self, seconds, at_once):
        """Replaces pairs, `at_once` of them in parallel, until the time is over; they do not start together."""
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(at_once) as hands:
            work = [hands.submit(self._replace_some, n, at_once, end) for n in range(at_once)]
            for job in work:
                job.result()

    def _replace_some(self, first, step, end):
        """Each thread has pairs of its own."""
        mine = list(range(first, len(self.pairs), step))
        time.sleep(first / step)
        while time.monotonic() < end:
            i = mine[0]
            mine.append(mine.pop(0))
            self.pairs[i].end()
            self.pairs[i].start()
            until(lambda i=i: self.haproxy.servers()[f"weir{i}"].up, f"weir{i} to be up in HAProxy", 30, every=0.2)

    # ---- looking -----------------------------------------------------------------------------------

    def memory(self):
        """Resident bytes of each weir that runs now."""
        sizes = []
        for pair in self.pairs:
            try:
                sizes.append(pair.weir.rss())
            except OSError:
                pass  # it has just ended
        return sizes

    def cpu(self):
        return sum(cpu_seconds(pair.weir.process.pid) for pair in self.pairs)

    # ---- the end -----------------------------------------------------------------------------------

    def stop(self):
        """Stops all pairs, which must be idle and exit with the expected status."""
        for pair in self.pairs:
            pair.weir.identities()
        self.said = self.haproxy.text()  # the lines of failed requests
        self.haproxy.stop()
        with ThreadPoolExecutor(len(self.pairs)) as hands:
            list(hands.map(lambda pair: pair.end(signal.SIGINT), self.pairs))  # without drain.delay

    def seen(self, text):
        """The lines of all access logs that contain the text."""
        lines = []
        for pair in self.pairs:
            with open(pair.access_log, encoding="utf-8") as file:
                lines += [line for line in file if text in line]
        return lines

    def kill(self):
        for pair in self.started:
            pair.kill()
        if hasattr(self, "haproxy"):
            self.haproxy.process.kill()
            self.haproxy.process.wait(5)
