#!/usr/bin/env python3
"""Shows where requests wait: starts the demo app with weir in front of it, and sends three bursts.

usage: demo.py [--backend FILE] [--weir FILE]      (or BACKEND_DEMO and WEIR in the environment)

Everything listens on free ports of the loopback interface and is stopped at the end, also on
Ctrl-C. Exit status: 0 when every request was answered, 1 otherwise. Standard library only.
"""

import argparse
import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

REQUESTS = 200
BURSTS = (("/produtos", 80), ("/produtos", 40), ("/usuarios", 80))
READY_TIMEOUT = 5.0
BURST_TIMEOUT = 9.0  # with the starts below 45 s for the three, whatever goes wrong
BAR = 24


class Failure(Exception):
    """Something that the person at the terminal can act upon."""


# ---- the children ----------------------------------------------------------------------------


class Child:
    """A process of ours, its messages kept aside for the case that it fails."""

    def __init__(self, name, argv, env=None):
        self.name = name
        self.log = tempfile.TemporaryFile()
        try:
            self.process = subprocess.Popen(
                argv, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                stdout=self.log, stderr=self.log)
        except OSError as error:
            self.log.close()
            raise Failure(f"cannot start {name}: {error} (build it with: make build)") from error

    def said(self):
        # Not seek(): the child shares the position that it writes at.
        return os.pread(self.log.fileno(), 65536, 0).decode(errors="replace")

    def check(self):
        if self.process.poll() is not None:
            raise Failure(f"{self.name} ended with status {self.process.returncode}:\n{self.said()}")

    def stop(self):
        # Asked once it finishes what it has, asked twice it ends at once.
        for send in (self.process.terminate, self.process.terminate, self.process.kill):
            if self.process.poll() is not None:
                break
            send()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                continue
        self.log.close()


async def until_ready(child, probe):
    """Asks `probe` until it gives an answer, which is returned."""
    deadline = time.monotonic() + READY_TIMEOUT
    while time.monotonic() < deadline:
        child.check()
        answer = await probe()
        if answer:
            return answer
        await asyncio.sleep(0.02)
    raise Failure(f"{child.name} was not ready after {READY_TIMEOUT:g} s:\n{child.said()}")


async def start_backend(children, path):
    child = Child("backend-demo", [path], {"BACKEND_LISTEN": "127.0.0.1:0"})
    children.append(child)

    async def port():
        found = re.search(r"ready on 127\.0\.0\.1:(\d+)\n", child.said())
        return found and int(found[1])

    return await until_ready(child, port)


def free_ports(n):
    """Held all at once, so that they differ."""
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


async def start_weir(children, path, upstream, limit):
    port, admin = free_ports(2)
    child = Child("weir", [
        path, "serve", "--upstream", f"127.0.0.1:{upstream}", "--listen", f"127.0.0.1:{port}",
        "--concurrency", str(limit), "--drain-delay", "0s", "--admin-listen", f"127.0.0.1:{admin}"])
    children.append(child)

    async def ready():
        return (await fetch(admin, "GET", "/readyz"))[0] == 200

    await until_ready(child, ready)
    return child, port, admin


# ---- HTTP, as little as it takes ----------------------------------------------------------------


async def exchange(reader, writer, method, path, patience):
    """Sends one request and reads one answer: its status, head and body; status 0: there was none."""

    async def talk():
        length = "Content-Length: 0\r\n" if method == "POST" else ""
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: demo\r\n{length}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        size = re.search(r"\r\ncontent-length: *(\d+)", head, re.I)
        body = await reader.readexactly(int(size[1])) if size else await reader.read()
        return int(head.split(" ", 2)[1]), head, body.decode()

    try:
        return await asyncio.wait_for(talk(), patience)
    except (OSError, EOFError, ValueError, IndexError, asyncio.TimeoutError):
        return 0, "", ""
    finally:
        writer.close()


async def fetch(port, method, path):
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    except OSError:
        return 0, "", ""
    return await exchange(reader, writer, method, path, 2.0)


# ---- numbers from metrics ------------------------------------------------------------------------


async def scrape(port):
    """A page of metrics as {line without its value: value}."""
    _, _, page = await fetch(port, "GET", "/metrics")
    found = {}
    for line in page.splitlines():
        name, _, value = line.rpartition(" ")
        if name and not line.startswith("#"):
            found[name] = float(value)
    return found


def total(metrics, name, *labels):
    """The sum of the series of one name that carry all these labels."""
    return sum(value for series, value in metrics.items()
               if series.partition("{")[0] == name and all(label in series for label in labels))


def spent(head, what):
    """Seconds out of the Server-Timing that the backend adds: `app` inside it, `pool` waiting there."""
    found = re.search(rf"\r\nserver-timing:[^\r]*\b{what};dur=([\d.]+)", head, re.I)
    return float(found[1]) / 1000 if found else 0.0


def rank_of(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] if values else 0.0


# ---- the live line -----------------------------------------------------------------------------


class Screen:
    """On a terminal one line that is drawn over; elsewhere a line each second."""

    def __init__(self):
        self.live = sys.stdout.isatty()
        self.colour = self.live and "NO_COLOR" not in os.environ
        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        self.full, self.empty, self.times = ("█", "░", "×") if utf8 else ("#", ".", "x")
        self.last = -1

    def paint(self, code, text):
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def bar(self, code, value, top, width):
        n = min(width, round(width * value / top))
        return self.paint(code, self.full * n) + self.paint("2", self.empty * (width - n))

    def show(self, elapsed, flying, limit, depth):
        if not self.live and int(elapsed) == self.last:
            return
        self.last = int(elapsed)
        line = (f"  {elapsed:4.1f} s  in flight {self.bar('32', flying, limit, BAR // 2)} {flying:3.0f}"
                f"   queue {self.bar('33', depth, REQUESTS, BAR)} {depth:3.0f}")
        print(f"\r{line}\x1b[K" if self.live else line, end="" if self.live else "\n", flush=True)

    def clear(self):
        self.last = -1
        if self.live:
            print("\r\x1b[K", end="", flush=True)


async def watch(screen, admin, limit):
    start = time.monotonic()
    while True:
        seen = await scrape(admin)
        screen.show(time.monotonic() - start, total(seen, "weir_requests_in_flight"), limit,
                    total(seen, "weir_queue_depth"))
        await asyncio.sleep(0.1)


# ---- a burst -----------------------------------------------------------------------------------


async def send_all(port, path):
    """All connections first, then all requests at once: [(status, head, seconds)], all seconds."""
    pairs = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", port) for _ in range(REQUESTS)))
    start = time.monotonic()

    async def one(pair):
        status, head, _ = await exchange(*pair, "GET", path, BURST_TIMEOUT)
        return status, head, time.monotonic() - start

    answers = await asyncio.gather(*(one(pair) for pair in pairs))
    return answers, time.monotonic() - start


async def run_burst(screen, children, weir_path, backend, path, limit):
    weir, port, admin = await start_weir(children, weir_path, backend, limit)
    print(f"{REQUESTS} {screen.times} {path} through weir at limit {limit}")
    await fetch(backend, "POST", "/reset")
    watcher = asyncio.ensure_future(watch(screen, admin, limit))
    try:
        answers, seconds = await send_all(port, path)
    except OSError as error:
        weir.check()
        raise Failure(f"cannot connect to weir: {error}") from error
    finally:
        watcher.cancel()
        screen.clear()
    at_weir, at_backend = await scrape(admin), await scrape(backend)
    weir.stop()
    return result(path, limit, seconds, answers, at_weir, at_backend)


def result(path, limit, seconds, answers, at_weir, at_backend):
    good = [(head, t) for status, head, t in answers if status == 200]
    outcome = 'outcome="dispatched"'
    waited = total(at_weir, "weir_queue_waited_seconds_total", outcome)
    return {
        "path": path, "limit": limit, "seconds": seconds,
        "mean": waited / max(1, total(at_weir, "weir_queue_waits_total", outcome)),
        "weir": [t - spent(head, "app") for head, t in good],
        "pool": [spent(head, "pool") for head, _ in good],
        "client": [t for _, t in good],
        "most": at_backend.get('backend_concurrent_max{handler="all"}', 0),
        "answered": len(good), "refused": sum(a[0] in (429, 503) for a in answers),
    }


# ---- the table ---------------------------------------------------------------------------------

HEAD = (
    f"{'':27}{'wait in weir':>16}{'in pool':>11}{'client':>11}{'most':>5}{'answered':>9}",
    f"{'burst':15}{'limit':>6}{'total':>6}{'mean':>6}{'p50':>5}{'p99':>5}{'p50':>6}{'p99':>5}"
    f"{'p50':>6}{'p99':>5}{'in':>5}{'/refused':>9}",
)


def ranks(values):
    return f"{rank_of(values, 0.5):5.2f}{rank_of(values, 0.99):5.2f}"


def table_row(screen, r):
    burst, answers = f"{REQUESTS} {screen.times} {r['path']}", f"{r['answered']}/{r['refused']}"
    return (f"{burst:15}{r['limit']:>6}{r['seconds']:>6.2f}{r['mean']:>6.2f}{ranks(r['weir'])} "
            f"{ranks(r['pool'])} {ranks(r['client'])}{r['most']:>5.0f}{answers:>9}")


def print_table(screen, results):
    print()
    for line in HEAD:
        print(screen.paint("1", line))
    for r in results:
        print(table_row(screen, r))
    print()
    print("Times in seconds. The mean is measured by weir (weir_queue_waited_seconds_total); p50\n"
          "and p99 are measured by the clients, which subtract the time inside the app from the\n"
          "total. \"Most in\" is the highest number of requests inside the app at once.\n")


def verdict(results):
    bad = sum(REQUESTS - r["answered"] for r in results)
    if bad:
        return f"{bad} requests got no response from the app, which the demo does not expect."
    return ("A limit above the app's 40 threads does not speed anything up: it moves the wait from\n"
            "weir's queue, where it is visible and bounded, into the app's pool, where it is not.\n"
            "Async handlers have no such pool; there, only the limit determines the throughput.")


# ---- all together ------------------------------------------------------------------------------


async def run(args):
    screen, children, results = Screen(), [], []
    try:
        backend = await start_backend(children, args.backend)
        for path, limit in BURSTS:
            results.append(await run_burst(screen, children, args.weir, backend, path, limit))
    finally:
        for child in reversed(children):
            child.stop()
    print_table(screen, results)
    print(verdict(results))
    return 0 if all(r["answered"] == REQUESTS for r in results) else 1


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Send three bursts through weir and show where the requests wait.")
    parser.add_argument("--backend", default=os.environ.get("BACKEND_DEMO", "build/backend-demo"),
                        help="path of the demo app (default: %(default)s)")
    parser.add_argument("--weir", default=os.environ.get("WEIR", "build/weir"),
                        help="path of weir (default: %(default)s)")
    return parser.parse_args()


def on_terminate(signum, _frame):
    raise SystemExit(128 + signum)  # so that the children are stopped on the way out


def main():
    args = parse_arguments()
    signal.signal(signal.SIGTERM, on_terminate)
    try:
        return asyncio.run(run(args))
    except Failure as failure:
        print(f"\ndemo: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
