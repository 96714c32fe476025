"""The app, scripted: a raw server that records every byte and knows how many requests are inside.

A script is a list of steps, run in order for each request to a target. The count of requests inside
is the truth that weir is judged by: a request is inside from the moment its head was read until its
script has done its work, whether or not its connection still lives. Scripts run on the origin's own
thread, in one event loop.
"""

import asyncio
import hashlib
import os
import select
import socket
import threading
import time

from . import wire
from .client import family_of, reset_socket
from .waiting import until

KEEP_BYTES = 4 << 20  # of what one connection sent; the rest is counted and hashed only


class Gate:
    """Holds scripts until a test lets them go."""

    def __init__(self, loop):
        self.loop = loop
        self.event = asyncio.Event()

    def open(self):
        self.loop.call_soon_threadsafe(self.event.set)


class Call:
    """One request as the app saw it."""

    def __init__(self, connection, head):
        line, fields = wire.split_head(head)
        self.connection = connection
        self.origin = connection.origin
        self.head = bytes(head)
        self.method, self.target, self.version = line.decode("latin-1").split(" ")
        self.message = wire.Message(line, fields)
        self.at = time.monotonic()
        self.body = bytearray()
        self.size = 0
        self.sha = hashlib.sha256()
        self.trailers = []
        self.complete = False  # its body was read to the end
        self.waiting_for_peer = False  # has no work to do: is inside only while the peer is there
        self.last_step = False

    def get(self, name, default=None):
        return self.message.get(name, default)

    def all(self, name):
        return self.message.all(name)

    def finish(self):
        """The app's work on it is over."""
        self.origin.inside.discard(self)

    def take(self, data):
        self.size += len(data)
        self.sha.update(data)
        if self.size <= KEEP_BYTES:
            self.body += data

    async def send(self, data):
        """Sends; before the last byte of the last step the work counts as done."""
        if not self.last_step or not data:
            return await self.connection.send(data)
        await self.connection.send(data[:-1])
        self.finish()
        await self.connection.send(data[-1:])


class Connection:
    """One connection from weir, with every byte it brought."""

    def __init__(self, origin, sock):
        self.origin, self.sock = origin, sock
        self.received = bytearray()
        self.size = 0
        self.buf = bytearray()
        self.calls = []
        self.opened = time.monotonic()
        self.closed = None  # when the peer's end (or ours) was seen
        self.ended_by = None  # "fin" or "rst" from the peer, "us"

    async def fill(self):
        """More bytes into `buf`; False at the end."""
        try:
            data = await self.origin.loop.sock_recv(self.sock, 65536)
        except ConnectionError:
            data, self.ended_by = b"", "rst"
        if not data:
            self.closed = time.monotonic()
            self.ended_by = self.ended_by or "fin"
            return False
        self.buf += data
        self.size += len(data)
        if len(self.received) < KEEP_BYTES:
            self.received += data
        return True

    async def send(self, data):
        """A peer that has gone is no reason to stop working."""
        if self.sock.fileno() < 0:
            return
        try:
            await self.origin.loop.sock_sendall(self.sock, data)
        except (ConnectionError, OSError):
            pass

    def peer_gone(self):
        """Whether the peer has closed or reset, even with bytes of its still unread."""
        if self.sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def close(self, how=None):
        if self.sock.fileno() < 0:
            return
        self.ended_by = self.ended_by or "us"
        self.origin.loop.remove_reader(self.sock)
        self.origin.loop.remove_writer(self.sock)
        reset_socket(self.sock) if how == "reset" else self.sock.close()
        self.closed = self.closed or time.monotonic()  # last: the peer has been told by then

    async def read_head(self):
        while (end := self.buf.find(b"\r\n\r\n")) < 0:
            if not await self.fill():
                return None
        head = bytes(self.buf[: end + 4])
        del self.buf[: end + 4]
        return head


# ---- steps ---------------------------------------------------------------------------------------


def read_body():
    async def step(call):
        await receive_body(call)

    return step


def delay(seconds):
    async def step(_):
        await asyncio.sleep(seconds)

    return step


def wait(gate):
    async def step(_):
        await gate.event.wait()

    return step


def send(data):
    async def step(call):
        await call.send(data)

    return step


def drip(data, every):
    """One byte at a time."""

    async def step(call):
        last = call.last_step
        for i in range(len(data)):
            call.last_step = last and i == len(data) - 1
            await call.send(data[i : i + 1])
            await asyncio.sleep(0 if call.last_step else every)

    return step


def finish():
    """Ends the work but not the script."""

    async def step(call):
        call.finish()

    return step


def hang():
    """Never answers; lasts until weir gives up."""

    async def step(call):
        call.waiting_for_peer = True
        while await call.connection.fill():
            pass
        call.finish()

    return step


def close():
    async def step(call):
        call.finish()
        call.connection.close()

    return step


def half_close():
    async def step(call):
        call.finish()
        call.connection.sock.shutdown(socket.SHUT_WR)

    return step


def reset():
    async def step(call):
        call.finish()
        call.connection.close("reset")

    return step


def do(function):
    """Runs a plain function of the call."""

    async def step(call):
        function(call)

    return step


def answer(body=b"ok", status=200, *fields, **how):
    return send(wire.response(status, *fields, body=body, **how))


async def receive_body(call):
    """Reads the request's body as its head frames it, strictly."""
    call.waiting_for_peer = True
    framing = wire.framing_of_fields(call.message)
    try:
        if framing == "length":
            call.complete = await _receive_length(call, int(call.get("Content-Length")))
        elif framing == "chunked":
            call.complete = await _receive_chunks(call)
        else:
            call.complete = True
    finally:
        call.waiting_for_peer = False
    if not call.complete:
        raise wire.Truncated("request body cut")


async def _receive_length(call, left):
    conn = call.connection
    while True:
        data = bytes(conn.buf[:left])
        del conn.buf[: len(data)]
        call.take(data)
        left -= len(data)
        if left == 0:
            return True
        if not await conn.fill():
            return False


async def _receive_chunks(call):
    conn, reader = call.connection, wire.ChunkReader()
    while True:
        data = bytes(conn.buf)
        conn.buf.clear()
        call.take(reader.feed(data))
        if reader.done:
            conn.buf[:0] = reader.pending
            call.trailers = reader.trailers
            return True
        if not await conn.fill():
            return False


# ---- the server ----------------------------------------------------------------------------------


class Origin:
    """`on(target, *steps)` scripts a target; others get 200 and `ok`."""

    def __init__(self, path=None, host="127.0.0.1", one_connection_at_a_time=False):
        self.path, self.host = path, host
        self.port = None
        self.one_at_a_time = one_connection_at_a_time
        self.scripts = {}
        self.default = (read_body(), answer())
        self.choose = None  # a function of the call that returns steps, for random tests
        self.is_given_up = None  # tells whether weir may have ended a call that lasts too long
        self.calls = []
        self.connections = []
        self.inside = set()
        self.most_inside = 0
        self.most_open = 0
        self.errors = []
        self.listener = None
        self.loop = asyncio.new_event_loop()
        self.tasks = set()
        self.gates = []
        self.listen()
        self.thread = threading.Thread(target=self._run, name="origin", daemon=True)
        self.thread.start()

    # ---- for tests, on any thread ------------------------------------------------------------

    @property
    def upstream(self):
        """As weir's --upstream wants it."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def on(self, target, *steps):
        """Nothing is done unasked: a script that wants the request's body has read_body() first."""
        self.scripts[target] = steps

    def gate(self):
        gate = Gate(self.loop)
        self.gates.append(gate)
        return gate

    def inside_now(self):
        """Requests inside; one that only waits for a peer that has gone has nothing left to do."""
        return sum(1 for call in list(self.inside) if not self._has_ended(call))

    def _has_ended(self, call):
        may_have = call.waiting_for_peer or (self.is_given_up and self.is_given_up(call))
        return may_have and call.connection.peer_gone()

    def targets(self):
        return [call.target for call in list(self.calls)]

    def seen(self, target):
        return [call for call in list(self.calls) if call.target == target]

    def used(self):
        """Connections that brought at least one byte: a probe's connect is not one."""
        return [conn for conn in list(self.connections) if conn.size]

    def open_now(self):
        return [c for c in list(self.connections) if c.closed is None and not c.peer_gone()]

    def wait_inside(self, n, within=10):
        until(lambda: self.inside_now() == n, f"{n} requests inside the app", within)

    def wait_seen(self, n, within=10):
        until(lambda: len(self.calls) >= n, f"{n} requests at the app", within)

    def listen(self):
        family = family_of(self.path or (self.host, self.port))
        listener = socket.socket(family, socket.SOCK_STREAM)
        if self.path:
            if os.path.exists(self.path):
                os.unlink(self.path)
            listener.bind(self.path)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, self.port or 0))
            self.port = listener.getsockname()[1]
        listener.listen(4096)
        listener.setblocking(False)
        self.listener = listener
        if self.loop.is_running():
            self._call(self._accept_on, listener)

    def refuse(self):
        """Stops listening: connects are refused until listen()."""
        self._call(self._stop_listening)

    def let_go(self):
        """Opens every gate."""
        for gate in self.gates:
            gate.open()

    def stop(self):
        self._call(self._stop_listening)
        self._call(self._cancel_all)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()
        if self.path and os.path.exists(self.path):
            os.unlink(self.path)
        assert not self.errors, f"the origin saw: {self.errors}"

    # ---- on the origin's thread ----------------------------------------------------------------

    def _call(self, function, *args):
        done = threading.Event()

        def run():
            try:
                function(*args)
            finally:
                done.set()

        self.loop.call_soon_threadsafe(run)
        assert done.wait(10), "the origin's thread is stuck"

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self._accept_on(self.listener)
        self.loop.run_forever()

    def _accept_on(self, listener):
        if not self.one_at_a_time:
            self.loop.add_reader(listener, self._accept, listener)
        else:
            self._spawn(self._accept_in_turn(listener))

    def _stop_listening(self):
        if self.listener is not None:
            self.loop.remove_reader(self.listener)
            self.listener.close()
            self.listener = None

    def _cancel_all(self):
        for task in self.tasks:
            task.cancel()
        for conn in self.connections:
            conn.close()

    def _accept(self, listener):
        for _ in range(64):
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            self._spawn(self._serve(self._new_connection(sock)))

    async def _accept_in_turn(self, listener):
        """An app with one thread that stays with a connection until it ends."""
        while True:
            sock, _ = await self.loop.sock_accept(listener)
            await self._serve(self._new_connection(sock))

    def _new_connection(self, sock):
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = Connection(self, sock)
        self.connections.append(conn)
        if len(self.connections) < 1000:
            self.most_open = max(self.most_open, len(self.open_now()))
        return conn

    def _spawn(self, coroutine):
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, conn):
        try:
            while conn.sock.fileno() >= 0 and (head := await conn.read_head()) is not None:
                await self._one(conn, head)
        except wire.Truncated:
            pass
        except wire.ProtocolError as error:
            self.errors.append(error)
        finally:
            conn.close()

    async def _one(self, conn, head):
        call = Call(conn, head)
        conn.calls.append(call)
        self.calls.append(call)
        self.inside.add(call)
        if len(self.inside) > self.most_inside:
            self.most_inside = max(self.most_inside, self.inside_now())
        try:
            steps = self.choose(call) if self.choose else self._steps(call)
            for i, step in enumerate(steps):
                call.last_step = i == len(steps) - 1
                await step(call)
        finally:
            call.finish()

    def _steps(self, call):
        steps = self.scripts.get(call.target.partition("?")[0])
        if steps is None:
            return self.default
        return steps
