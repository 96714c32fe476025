"""Moments and manners that no plan of the happy path has; each was found by a hostile reading.

Where the order of events decides, weir is frozen while they happen: then they come in one batch.
"""

import select
import signal
import socket
import struct
import threading
import time

import pytest

from support import origin as app
from support import wire
from support.rude import RudeApp
from support.waiting import SOON, one_in_time, stays, until
from support.world import scaled

MIB = 1 << 20
OK = wire.response(body=b"ok")
MODES = pytest.mark.parametrize("mode", ["finish", "close"])
THREADS = pytest.mark.parametrize("threads", [1, 2])
RESETS = pytest.mark.parametrize("resets", ["before the answer", "after the answer"])


@pytest.fixture
def rude(world):
    """Starts apps that the test plays itself; `world` ends after them."""
    apps = []

    def start(**how):
        apps.append(RudeApp(**how))
        return apps[-1]

    yield start
    for one in apps:
        one.close()


def answers_by_name(origin):
    """Each request is held by the gate and answered with its own target."""
    gate = origin.gate()
    origin.choose = lambda call: (
        app.wait(gate),
        app.answer(call.target.encode()),
        app.finish(),  # the answer is with the kernel once nothing is inside
    )
    return gate


def reset_and_answer(weir, origin, gate, leavers, resets):
    """In one batch for weir: some clients reset, and the app answers all it has."""
    with weir.frozen():
        if resets == "before the answer":
            for client in leavers:
                client.rst()
        gate.open()
        until(lambda: not origin.inside, "the app to have answered")
        if resets == "after the answer":
            for client in leavers:
                client.rst()


# ---- resets and answers in one batch -------------------------------------------------------------


@pytest.mark.race
@MODES
@RESETS
def test_a_reset_and_the_answer_in_one_batch_are_one_end(world, resets, mode):
    origin, weir = world.pair(concurrency=4, on_client_abort=mode)
    for turn in range(3):
        gate = answers_by_name(origin)
        names = [f"/{turn}/{i}" for i in range(4)]
        clients = [world.connect(weir) for _ in names]
        for client, name in zip(clients, names):
            client.get(name)
        origin.wait_inside(4)
        reset_and_answer(weir, origin, gate, clients[:2], resets)
        for client, name in zip(clients[2:], names[2:]):
            assert client.response().body == name.encode()
            assert client.ask("GET", name + "/again").body == name.encode() + b"/again"
    weir.wait_quiet()
    world.expect_requests(weir, 3 * (4 + 2))


@pytest.mark.race
@THREADS
@RESETS
def test_a_storm_of_resets_and_answers_leaves_each_survivor_its_own_answer(world, resets, threads):
    n = scaled(40, least=10)
    origin, weir = world.pair(concurrency=n, queue_length=2 * n, threads=threads)
    for turn in range(2):
        gate = answers_by_name(origin)
        clients = {f"/{turn}/in/{i}": world.connect(weir) for i in range(n)}
        for name, client in clients.items():
            client.get(name)
        origin.wait_inside(n)
        waiting = {f"/{turn}/queued/{i}": world.connect(weir) for i in range(n)}
        for name, client in waiting.items():
            client.get(name)
        weir.wait_depth(n)
        clients.update(waiting)
        names = list(clients)
        reset_and_answer(weir, origin, gate, [clients[name] for name in names[::2]], resets)
        for name in names[1::2]:
            assert clients[name].response().body == name.encode()
    weir.wait_quiet()
    world.expect_requests(weir, 2 * 2 * n)


@pytest.mark.race
def test_queued_clients_that_left_before_the_slot_came_free_are_not_dispatched(world):
    origin, weir = world.pair(concurrency=1, queue_length=300)
    n = scaled(200, least=60)  # more than one batch of events
    gate = answers_by_name(origin)
    held = world.connect(weir).get("/held")
    origin.wait_inside(1)
    leavers = [world.connect(weir).get(f"/{i}") for i in range(n)]
    weir.wait_depth(n)
    reset_and_answer(weir, origin, gate, leavers, "before the answer")
    assert held.response().body == b"/held"
    weir.wait_quiet()
    assert origin.targets() == ["/held"]
    world.expect_requests(weir, 1 + n)


# ---- the end -------------------------------------------------------------------------------------


@pytest.mark.race
def test_sigterm_serves_what_waits_in_a_unix_listeners_backlog(world):
    origin = world.origin()
    weir = world.weir(origin, listen="unix:" + world.path("weir.sock"), queue_length=400)
    n = scaled(100, least=30)
    with weir.frozen():
        clients = [world.connect(weir).get(f"/{i}") for i in range(n)]
        weir.signal(signal.SIGTERM)
    assert [client.response().status for client in clients] == [200] * n
    world.exited(weir)


@pytest.mark.race
def test_sigterm_serves_the_backlog_behind_idle_clients_at_the_bound(world):
    _, weir = world.pair(concurrency=5, client_max_connections=5)
    idle = [world.connect(weir) for _ in range(5)]
    for client in idle:
        assert client.ask("GET", "/").status == 200
    with weir.frozen():
        fresh = [world.connect(weir).get("/fresh") for _ in range(10)]
        weir.signal(signal.SIGTERM)
    assert [client.response().status for client in fresh] == [200] * 10
    assert [client.rest() for client in idle] == [b""] * 5
    world.exited(weir)


@pytest.mark.race
@THREADS
def test_two_signals_at_once_cut_the_backlog_too(world, threads):
    """A connection that is handed to its thread after the cut must not keep it alive."""
    origin, weir = world.pair(threads=threads, drain_timeout="20s")
    origin.on("/", app.hang())
    clients = [world.connect(weir).get("/") for _ in range(4)]
    origin.wait_inside(4)
    with weir.frozen():
        clients += [world.connect(weir).get("/") for _ in range(40)]
        weir.signal(signal.SIGTERM)
        weir.signal(signal.SIGINT)
    began = time.monotonic()
    weir.exited(3)
    assert time.monotonic() - began < SOON
    for client in clients:
        client.until_closed()


# ---- timeouts ------------------------------------------------------------------------------------


def test_the_idle_timeout_comes_back_after_back_pressure(world, rude):
    """The app says all it ever will while the client is not reading; then the client reads."""
    played = rude()
    weir = world.weir(played, concurrency=1, upstream_idle_timeout="1s")
    client = world.connect(weir)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.get("/")
    inside, _ = played.take()
    inside.send(wire.response(200, "Content-Length: 100000000", body=None))
    sent = 0

    def held_back():
        nonlocal sent
        inside.send(bytes(65536))
        sent += 65536
        return weir.metrics().total("weir_buffered_bytes") >= 256 * 1024

    until(held_back, "weir to hold the answer back", within=20)
    began = time.monotonic()
    assert client.final_head().status == 200
    assert len(client.exactly(sent)) == sent
    assert client.until_closed() == b""
    assert 0.8 < time.monotonic() - began < 10
    weir.wait_quiet()


def upload_until_stuck(client, total):
    """Sends what weir reads of a body of `total` bytes while the app reads none: how much."""
    client.send(wire.request("POST", "/up", f"Content-Length: {total}"))
    client.sock.settimeout(0.3)
    sent = 0
    try:
        while sent < total:
            sent += client.sock.send(bytes(65536))
    except TimeoutError:
        pass
    client.sock.settimeout(15)
    assert sent < total, "nobody held the upload back"
    return sent


def swallow(inside, n):
    while n:
        got = inside.some(min(n, MIB))
        assert got, f"weir closed with {n} bytes to come"
        n -= len(got)


def finish_upload(client, inside, n):
    """The last n bytes, then the app's answer."""
    sender = threading.Thread(target=client.send, args=(bytes(n),), daemon=True)
    sender.start()
    swallow(inside, n)
    sender.join(10)
    inside.send(OK)
    assert client.response().status == 200


def test_the_idle_timeout_ends_when_the_app_has_caught_up(world, rude):
    """Once the app has all there is, it is the client who is slow, not the app."""
    played = rude(receive_buffer=65536)
    weir = world.weir(played, upstream_idle_timeout="1s", client_body_timeout="30s")
    client = world.connect(weir)
    total = 64 * MIB
    sent = upload_until_stuck(client, total)
    inside, _ = played.take()
    swallow(inside, sent)
    stays(client.is_open, "the upload", during=1.4)
    finish_upload(client, inside, total - sent)


@pytest.mark.seconds(40)
def test_an_app_that_reads_an_upload_slowly_and_steadily_is_left_alone(world, rude):
    """Slower than the kernel tells the sender of: room in a large send buffer comes in leaps."""
    played = rude(receive_buffer=65536)
    weir = world.weir(played, upstream_idle_timeout="1s")
    client = world.connect(weir)
    total = 64 * MIB
    sent = upload_until_stuck(client, total)
    inside, _ = played.take()
    slowly, began = 0, time.monotonic()
    while time.monotonic() - began < 2.5:
        got = len(inside.some(12288))
        assert got, f"cut after {time.monotonic() - began:.1f} s"
        slowly += got
        time.sleep(0.02)  # the app's pace is the point
    assert slowly < sent, "the app was not slow"
    swallow(inside, sent - slowly)
    finish_upload(client, inside, total - sent)


def test_what_an_apps_kernel_takes_is_no_reading(world, rude):
    """Bytes are on their way when the wait begins: their arrival must not begin it anew."""
    timeout = 0.8
    played = rude(receive_buffer=65536)
    patience = {"upstream_idle_timeout": f"{timeout * 1000:.0f}ms", "client_body_timeout": "30s"}
    weir = world.weir(played, **patience)

    def answered():
        client, began = world.connect(weir), time.monotonic()
        client.send(wire.request("POST", "/", "Content-Length: 16777216"))
        client.sock.setblocking(False)
        data = memoryview(bytes(16 * MIB))
        while client.is_open():
            try:
                data = data[client.sock.send(data) :]
            except BlockingIOError:
                select.select([client.sock], [], [], 0.05)
        client.sock.settimeout(15)
        assert client.response().status == 504
        return time.monotonic() - began

    one_in_time(answered, 1.6 * timeout)


def test_an_app_that_has_shut_its_reading_side_is_still_ended(world, rude):
    played = rude(path=world.path("app.sock"))
    short = {"upstream_first_byte_timeout": "600ms", "upstream_idle_timeout": "600ms"}
    weir = world.weir(played, concurrency=1, **short)
    client = world.connect(weir)
    client.get("/")
    inside, _ = played.take()
    inside.send(OK)
    assert client.response().status == 200
    inside.sock.shutdown(socket.SHUT_RD)
    assert client.ask("GET", "/again").status in (502, 504)
    weir.wait_quiet()


def test_a_client_that_was_told_to_go_on_must_go_on(world):
    origin, weir = world.pair(client_body_timeout="300ms")
    go_on = app.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    origin.on("/up", go_on, app.read_body(), app.answer())
    client = world.connect(weir, timeout=8)
    client.send(wire.request("POST", "/up", "Expect: 100-continue", "Content-Length: 5"))
    assert client.head().status == 100
    assert client.response().status == 408


def test_empty_lines_before_a_request_are_no_request(world):
    _, weir = world.pair(client_head_timeout="300ms")
    client = world.connect(weir)
    assert client.ask("GET", "/").status == 200
    client.send(b"\r\n")
    stays(client.is_open, "the idle connection", during=0.5)
    assert client.ask("GET", "/").status == 200
    world.connect(weir).send(b"\r\n").fin()
    world.expect_requests(weir, 2)


# ---- rude apps -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "after, n",
    [(0, scaled(40, least=20)), (0.05, 4)],
    ids=["with the connect", "just after it"],
)
@pytest.mark.race
def test_an_app_that_speaks_before_it_is_asked_is_heard_at_once(world, rude, after, n):
    played = rude()
    busy = wire.response(503, "Connection: close", body=b"no", reason="Busy")

    def speak():
        try:
            while True:
                connection = played.accept()
                time.sleep(after)
                connection.send(busy)
        except OSError:
            pass  # the listener was closed, or weir has gone: the test is over

    threading.Thread(target=speak, daemon=True).start()
    weir = world.weir(played, concurrency=n, threads=1, upstream_first_byte_timeout="20s")
    for _ in range(3):
        with weir.frozen():  # while weir is about one of them, the app speaks to those before
            clients = [world.connect(weir).get("/") for _ in range(n)]
        assert {client.response().status for client in clients} <= {502, 503}


LARGE_POST = wire.request("POST", "/", "X: " + "y" * 28_000, body=bytes(16_000))


def starve(world, weir, inside, client, steps):
    """So many large requests that are answered unread; whether all could be."""
    for _ in range(steps):
        client.send(LARGE_POST)
        weir.wait_sent()
        inside.send(OK)
        answer = client.response()
        weir.wait_in_flight(0)
        if answer.status != 200 or answer.has("Connection", "close") or inside.is_gone():
            return False
    return True


def test_a_unix_app_that_dies_on_unread_input_is_a_bad_gateway(world):
    """The socket fills up, request by request; the app dies at each stage of that."""
    path, stages = world.path("app.sock"), 0
    while stages < 12:
        played = RudeApp(path=path)
        weir = world.weir(played, concurrency=1)
        client = world.connect(weir)
        client.get("/")
        inside, _ = played.take()
        inside.send(OK)
        assert client.response().status == 200
        full = not starve(world, weir, inside, client, stages)
        if not full:
            client.send(LARGE_POST)
            weir.wait_in_flight(1)
        played.close()
        if full:
            break
        assert client.response().status == 502
        client.fin()  # or weir would linger after its answer
        weir.wait_quiet()
        weir.stop()
        stages += 1
    assert stages > 2, "the app's socket accepted nothing"


def answer_unread(world, most):
    """The app answers so many requests and reads none, or as many as its socket accepts:
    (weir, app, its connection, client, how many were answered)."""
    played = RudeApp(path=world.path(f"app{len(world.weirs)}.sock"))
    weir = world.weir(played, concurrency=1)
    client = world.connect(weir).get("/0")
    played.accept()  # the startup's probe
    inside = played.accept()
    for n in range(most):
        weir.wait_sent()
        inside.send(OK)
        until(
            lambda: weir.glance().one("weir_requests_in_flight") == 0 or played.is_asked(),
            "the answer to be passed on, or not to be one",
        )
        if played.is_asked():
            return weir, played, inside, client, n
        assert client.response().status == 200
        if n + 1 < most:
            client.get(f"/{n + 1}")
    return weir, played, inside, client, most


def test_an_answer_to_what_the_app_was_not_asked_is_not_passed_on(world):
    """When the app's socket accepts no more, the next answer is none to the request that waits in
    weir: that goes to a fresh connection."""
    _, played, inside, client, answered = answer_unread(world, 3000)
    fresh, head = played.take()
    assert head.startswith(b"GET /%d " % answered)
    fresh.send(OK)
    assert client.response().status == 200
    targets = [head.split()[1] for head in iter(inside.head, b"")]
    assert targets == [b"/%d" % n for n in range(answered)]


def test_a_post_that_the_app_took_late_is_not_sent_twice(world):
    """It found the socket full, and was taken when the app had read: the app may have done it."""
    full = answer_unread(world, 3000)
    fresh, _ = full[1].take()
    fresh.send(OK)
    assert full[3].response().status == 200
    weir, played, inside, client, _ = answer_unread(world, full[-1])
    client.request("POST", "/done", body=b"x")
    weir.wait_in_flight(1)
    while not inside.head().startswith(b"POST /done "):
        pass
    assert inside.some() == b"x"
    inside.close()
    assert client.response().status == 502
    assert not played.is_asked()


# ---- fairness and many small pieces --------------------------------------------------------------


def test_a_fast_download_leaves_room_for_small_requests(world):
    origin, weir = world.pair(threads=1, on_client_abort="close")
    block = bytes(MIB)

    async def pour(call):
        while not call.connection.peer_gone():
            await call.send(block)

    origin.on("/big", app.send(wire.response(200, "Content-Length: 100000000000", body=None)), pour)
    big = world.connect(weir).get("/big")
    assert big.final_head().status == 200
    taken = [0]

    def drink():
        room = bytearray(MIB)
        try:
            while got := big.sock.recv_into(room):
                taken[0] += got
        except OSError:
            pass

    drinker = threading.Thread(target=drink, daemon=True)
    drinker.start()
    until(lambda: taken[0] > MIB, "the download to run")
    client = world.connect(weir)
    began = time.monotonic()
    for _ in range(10):
        assert client.ask("GET", "/small").status == 200
    assert time.monotonic() - began < 10
    before = taken[0]
    until(lambda: taken[0] > before, "the download to go on")
    big.sock.shutdown(socket.SHUT_RDWR)
    drinker.join(10)


def segments_in(sock):
    """How many segments with data have come (tcpi_data_segs_in): no fewer than weir made sends of
    full segments, and about as many as it made small ones."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return struct.unpack_from("I", info, 152)[0]


CHUNKS = 20_000


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_an_answer_of_many_small_chunks_comes_quickly_and_in_few_pieces(world, version):
    origin, weir = world.pair()
    origin.on("/", app.answer([b"x"] * CHUNKS))
    client = world.connect(weir)
    began = time.monotonic()
    answer = client.ask("GET", "/", version=version)
    assert time.monotonic() - began < 10
    assert answer.body == b"x" * CHUNKS
    assert segments_in(client.sock) < CHUNKS / 10
    if version == "HTTP/1.0":
        assert answer.get("Transfer-Encoding") is None


def test_an_upload_of_many_small_chunks_arrives_quickly(world):
    origin, weir = world.pair()
    client = world.connect(weir)
    began = time.monotonic()
    assert client.ask("POST", "/", body=[b"x"] * CHUNKS).status == 200
    assert time.monotonic() - began < 10
    assert origin.calls[0].body == b"x" * CHUNKS
