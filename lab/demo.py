#!/usr/bin/env python3
"""Shows what weir is for: the demo app alone and behind weir, under twice the load that it can serve.

usage: demo.py [--quick] [--backend FILE] [--weir FILE]     (or BACKEND_DEMO and WEIR in the environment)

Each client sends one request at its appointed time, whatever became of the others, and closes its connection
when its patience ends. Everything listens on free ports of the loopback interface and is stopped at the end,
also on Ctrl-C. Exit status: 0, or 1 if something failed. Standard library only.
"""

import argparse
import asyncio
import dataclasses
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

READY_TIMEOUT = 5.0
LATE = 0.1  # seconds; a request that is sent later than that is reported
WIDTH = 80


class Failure(Exception):
    """Something that the person at the terminal can act upon."""


# ---- what is shown -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Size:
    threads: int  # of the app's pool
    hold: float  # seconds of /products and /users
    block: float  # seconds of /blocking
    patience: float
    settled: float  # the figures are of the requests sent from then on
    counted: float  # for so many seconds; the load goes on until their clients have left

    def seconds(self):
        return self.settled + self.counted + self.patience


FULL = Size(threads=40, hold=0.5, block=0.1, patience=2.0, settled=6.0, counted=8.0)
QUICK = Size(threads=8, hold=0.1, block=0.02, patience=0.4, settled=1.6, counted=1.6)


@dataclasses.dataclass(frozen=True)
class Part:
    path: str
    rate: float  # requests a second
    most: float  # answers a second that the app can give


@dataclasses.dataclass(frozen=True)
class Scene:
    name: str
    told: str
    parts: tuple
    limits: tuple  # one weir for each


def scenes(size):
    pool, loop = size.threads / size.hold, 1 / size.block
    mixed = (Part("/products", 2 * pool, pool), Part("/users", pool / 2, pool / 2))
    return (
        Scene("mixed",
              f"Mixed handlers: /products sleeps {size.hold:g} s in a pool of {size.threads} threads, /users "
              f"awaits {size.hold:g} s. The pool can serve {pool:g} /products per second; {2 * pool:g} arrive, "
              f"and {pool / 2:g} /users.", mixed, (size.threads + size.threads // 4,)),
        Scene("/blocking",
              f"A handler that blocks the event loop: /blocking takes {size.block:g} s, one after the other, so "
              f"{loop:g} per second can be served; {2 * loop:g} arrive.",
              (Part("/blocking", 2 * loop, loop),), (1, 80)),
    )


# ---- the children ------------------------------------------------------------------------------


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

    def ask_to_end(self):
        if self.process.poll() is None:
            self.process.terminate()

    def end(self):
        # Asked once it finishes what it has, asked twice it ends at once.
        for send in (self.process.terminate, self.process.kill):
            try:
                self.process.wait(0.2)
                break
            except subprocess.TimeoutExpired:
                send()
        self.process.wait(5)
        self.log.close()


def end_all(children):
    for child in children:
        child.ask_to_end()
    for child in reversed(children):
        child.end()
    children.clear()


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


async def start_backend(children, path, size):
    child = Child("backend-demo", [path], {
        "BACKEND_LISTEN": "127.0.0.1:0", "BACKEND_POOL_THREADS": str(size.threads),
        "BACKEND_USUARIOS_MS": f"{1000 * size.hold:.0f}", "BACKEND_PRODUTOS_MS": f"{1000 * size.hold:.0f}",
        "BACKEND_BLOQUEANTE_MS": f"{1000 * size.block:.0f}"})
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
        try:
            return await get(admin, "/readyz") == 200
        except OSError:
            return False

    await until_ready(child, ready)
    return port


# ---- the clients -------------------------------------------------------------------------------


async def get(port, path):
    """The status of the response, once all of it has arrived."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: demo\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"\r\ncontent-length: *(\d+)", head, re.I)
        await (reader.readexactly(int(length[1])) if length else reader.read())
        return int(head.split(" ", 2)[1])
    finally:
        writer.close()


@dataclasses.dataclass
class Request:
    path: str
    at: float  # when it was to be sent, from the beginning
    took: float = 0.0
    status: int = 0  # 0: its client has left


class Target:
    """The app alone, or weir in front of it, and all requests that were sent to it."""

    def __init__(self, name, port, limit=None):
        self.name = name
        self.port = port
        self.limit = limit
        self.requests = []
        self.answers = []  # when those in time arrived
        self.failures = []
        self.late = 0.0

    async def send(self, request, begin, patience):
        now = time.monotonic() - begin
        self.late = max(self.late, now - request.at)
        self.requests.append(request)
        try:
            request.status = await asyncio.wait_for(get(self.port, request.path),
                                                    request.at + patience - now)
        except asyncio.TimeoutError:
            return
        except (OSError, EOFError, ValueError, IndexError) as error:
            self.failures.append(f"{self.name}: {request.path}: {error!r}")
            return
        request.took = time.monotonic() - begin - request.at
        if request.status == 200:
            self.answers.append(request.at + request.took)
        elif request.status not in (429, 503):
            self.failures.append(f"{self.name}: {request.path}: status {request.status}")

    def of(self, paths, size):
        return [r for r in self.requests
                if r.path in paths and size.settled <= r.at < size.settled + size.counted]


def arrivals(parts, seconds):
    """All requests of a scene, evenly spaced in each part, in the order of their times."""
    found = [Request(part.path, i / part.rate)
             for part in parts for i in range(int(part.rate * seconds))]
    return sorted(found, key=lambda request: request.at)


async def send_all(targets, parts, size, begin):
    tasks = []
    for request in arrivals(parts, size.seconds()):
        wait = begin + request.at - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks += [asyncio.ensure_future(t.send(dataclasses.replace(request), begin, size.patience))
                  for t in targets]
    await asyncio.gather(*tasks)


# ---- the live lines ----------------------------------------------------------------------------


class Screen:
    """On a terminal, lines that are drawn over; elsewhere, each once."""

    def __init__(self):
        self.live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = self.live and not os.environ.get("NO_COLOR")
        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        self.steps = " ▁▂▃▄▅▆▇█" if utf8 else " .:-=+*#@"
        self.drawn = 0

    def paint(self, code, text):
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def curve(self, times, width, step, most):
        """Answers for each `step` seconds."""
        counts = [0] * width
        for t in times:
            counts[min(width - 1, int(t / step))] += 1
        top = len(self.steps) - 1
        return "".join(self.steps[min(top, -int(-top * n / (most * step) // 1))] for n in counts)

    def draw(self, lines, last):
        if not self.live and not last:
            return
        if self.drawn:
            print(f"\x1b[{self.drawn}A", end="")
        for line in lines:
            print(f"{line}\x1b[K" if self.live else line)
        sys.stdout.flush()
        self.drawn = 0 if last else len(lines)


def curves(screen, scene, targets, size):
    most = sum(part.most for part in scene.parts)
    width = 40
    for target in targets:
        curve = screen.curve(target.answers, width, (size.seconds() + size.patience) / width, most)
        code = "33" if target.limit is None else "32"
        yield f"  {target.name:16} {screen.paint(code, curve)}  {len(target.answers):5} in time"


async def watch(screen, scene, targets, size):
    while True:
        screen.draw(list(curves(screen, scene, targets, size)), False)
        await asyncio.sleep(0.2)


# ---- a scene -----------------------------------------------------------------------------------


async def play(screen, children, args, scene, size):
    print_text(scene.told)
    targets = [Target("app alone", await start_backend(children, args.backend, size))]
    for limit in scene.limits:
        backend = await start_backend(children, args.backend, size)
        port = await start_weir(children, args.weir, backend, limit)
        targets.append(Target(f"weir, limit {limit}", port, limit))
    watcher = asyncio.ensure_future(watch(screen, scene, targets, size))
    try:
        await send_all(targets, scene.parts, size, time.monotonic())
    finally:
        watcher.cancel()
    screen.draw(list(curves(screen, scene, targets, size)), True)
    for child in children:
        child.check()
    end_all(children)
    return targets


# ---- the table ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Figures:
    rate: float  # answers in time, a second
    p99: float  # of these; 0: there are none


def figures(target, paths, size):
    took = sorted(r.took for r in target.of(paths, size) if r.status == 200)
    p99 = took[min(len(took) - 1, int(0.99 * len(took)))] if took else 0.0
    return Figures(len(took) / size.counted, p99)


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    limit: int
    offered: float
    most: float
    alone: Figures
    weir: Figures


def rows_of(scene, targets, size):
    """One for each weir, and if the scene has several parts, one for each of these."""
    alone, *weirs = targets
    for weir in weirs:
        groups = [scene.parts]
        if len(scene.parts) > 1:
            groups += [(part,) for part in scene.parts]
        for parts in groups:
            paths = {part.path for part in parts}
            whole = parts is scene.parts
            yield Row(scene.name if whole else f"  {parts[0].path}", weir.limit if whole else 0,
                      sum(part.rate for part in parts), sum(part.most for part in parts),
                      figures(alone, paths, size), figures(weir, paths, size))


HEAD = (
    f"{'':19}{'limit of':>8}  {'requests a second':>18}{'served in time':>19}{'p99, s':>14}",
    f"{'':19}{'weir':>8}  {'sent':>9}{'possible':>9}{'alone':>10}{'weir':>9}{'alone':>8}{'weir':>6}",
)


def seconds(value):
    return f"{value:.2f}" if value > 0 else "-"


def table_row(screen, r):
    better = screen.paint("32" if r.weir.rate > r.alone.rate else "33", f"{r.weir.rate:>9.1f}")
    return (f"{r.name:19}{r.limit or '':>8}  {r.offered:>9.0f}{r.most:>9.0f}{r.alone.rate:>10.1f}{better}"
            f"{seconds(r.alone.p99):>8}{seconds(r.weir.p99):>6}")


def print_table(screen, rows, size):
    print()
    for line in HEAD:
        print(screen.paint("1", line))
    for r in rows:
        print(table_row(screen, r))
    end = size.settled + size.counted
    print_text(f"Figures of the requests sent between {size.settled:g} and {end:g} s after the first: by then, all queues have "
               "filled, and weir has seen the overload. Served in time: before the client left, "
               f"{size.patience:g} s after its request was due. p99: of these.")


# ---- in words ----------------------------------------------------------------------------------


def of_mixed(rows):
    _, products, users = rows
    said = ("Mixed: alone, the threads work on requests whose clients have left, and "
            f"{products.alone.rate:.1f} /products per second are served in time; behind weir, {products.weir.rate:.1f} of the "
            f"{products.most:.0f} that are possible.")
    if users.weir.rate < users.alone.rate:
        said += ("  More /users, which need no thread, are served in time without weir "
                 f"({users.alone.rate:.1f}, not {users.weir.rate:.1f}): in weir, they wait in the same queue as /products.")
    return said


def of_blocking(one, many):
    yield ("/blocking at limit 1: the queue is in weir, which sees each client that leaves; "
           f"{one.weir.rate:.1f} per second are served in time, alone {one.alone.rate:.1f}.")
    yield (f"/blocking at limit {many.limit}: requests wait inside the app again, where weir cannot remove them; "
           f"{many.weir.rate:.1f} per second are served in time. The limit must not be greater than the "
           "number of requests that the app can serve at once.")


def wrapped(text):
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > WIDTH:
            yield line
            line = ""
        line += f" {word}" if line else word
    yield line


def print_text(text):
    print()
    for line in wrapped(text):
        print(line)


def print_words(rows):
    *mixed, one, many = rows
    for text in (of_mixed(mixed), *of_blocking(one, many)):
        print_text(text)


def has_failed(targets):
    """Says what has failed, and whether the load was sent as it should be."""
    failures = [failure for target in targets for failure in target.failures]
    failures += [f"{target.name}: no response in time" for target in targets if not target.answers]
    late = max(target.late for target in targets)
    if late > LATE:
        print_text(f"Requests were sent up to {late:.1f} s late: this machine is busy, and that is in the figures.")
    for failure in failures[:5]:
        print(f"demo: {failure}", file=sys.stderr)
    if failures:
        print(f"demo: {len(failures)} failures", file=sys.stderr)
    return bool(failures)


# ---- all together ------------------------------------------------------------------------------


async def run(args):
    size = QUICK if args.quick else FULL
    screen, children, rows, seen = Screen(), [], [], []
    print(f"Twice the load that the app can serve; each client leaves after {size.patience:g} s.")
    try:
        for scene in scenes(size):
            targets = await play(screen, children, args, scene, size)
            rows += rows_of(scene, targets, size)
            seen += targets
    finally:
        end_all(children)
    print_table(screen, rows, size)
    print_words(rows)
    return 1 if has_failed(seen) else 0


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Put twice the load that the demo app can serve on the app alone and on weir in front of it.")
    parser.add_argument("--quick", action="store_true", help="all times divided by five: 10 s, less exact")
    parser.add_argument("--backend", default=os.environ.get("BACKEND_DEMO", "build/backend-demo"),
                        help="path of the demo app (default: %(default)s)")
    parser.add_argument("--weir", default=os.environ.get("WEIR", "build/weir"),
                        help="path of weir (default: %(default)s)")
    return parser.parse_args()


def on_terminate(signum, _frame):
    raise SystemExit(128 + signum)  # so that the children are ended on the way out


def raise_file_limit():
    """The connections of clients that leave stay open in the app until it reads from them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main():
    args = parse_arguments()
    signal.signal(signal.SIGTERM, on_terminate)
    raise_file_limit()
    try:
        return asyncio.run(run(args))
    except Failure as failure:
        print(f"\ndemo: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has closed: keeps Python from reporting that again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
