"""Upgraded connections: bytes both ways, one slot for life under a cap of their own."""

import asyncio
import contextlib
import fcntl
import importlib.util
import signal
import socket
import termios

import pytest

from support import origin as app
from support import wire
from support.rude import RudeApp
from support.uvicorn import serving
from support.waiting import settled, stays, until
from support.world import scaled

MIB = 1 << 20
ASK = ("Connection: Upgrade", "Upgrade: raw")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\nX-App: 1\r\n\r\n"


def echo():
    """Sends back what comes, until the peer's FIN; then ends its side too."""

    async def step(call):
        conn = call.connection
        while True:
            if conn.buf:
                data = bytes(conn.buf)
                conn.buf.clear()
                await conn.send(data)
            elif not await conn.fill():
                break
        call.finish()
        conn.close()

    return step


def tunnels(world, **options):
    origin, weir = world.pair(**options)
    origin.on("/t", app.send(SWITCH), echo())
    return origin, weir


def open_tunnel(world, weir, *fields, target="/t"):
    client = world.connect(weir)
    client.get(target, *ASK, *fields)
    answer = client.head()
    assert answer.status == 101, answer
    return client


def upgrades(weir):
    return weir.metrics().one("weir_upgrades_in_flight")


def wait_upgrades(weir, n):
    until(lambda: upgrades(weir) == n, f"{n} upgraded connections")


def test_bytes_go_both_ways_as_they_are(world):
    origin, weir = tunnels(world)
    client = world.connect(weir).get("/t", *ASK)
    answer = client.head()
    assert (answer.status, answer.get("Upgrade"), answer.get("Connection")) == (101, "raw", "Upgrade")
    assert (answer.get("X-App"), answer.get("Via")) == ("1", "1.1 weir")
    call = origin.seen("/t")[0]
    assert (call.get("Upgrade"), call.get("Connection")) == ("raw", "Upgrade")
    for data in (b"x", b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", wire.noise(100_000)):
        client.send(data)
        assert client.exactly(len(data)) == data
    assert (upgrades(weir), weir.metrics().total("weir_requests_in_flight")) == (1, 1)
    client.half_close()
    assert client.rest() == b""
    m = weir.wait_counted(1)
    assert m.one("weir_requests_total", code="101", source="app") == 1
    assert m.one("weir_upgrade_duration_seconds_count") == 1
    assert m.one("weir_slot_hold_seconds_count") == 0
    assert m.total("weir_request_duration_seconds_count") == 0


def test_bytes_that_came_with_the_heads_are_the_tunnels(world):
    origin, weir = world.pair()
    origin.on("/t", app.send(SWITCH + b"first"), echo())
    client = world.connect(weir)
    client.send(wire.request("GET", "/t", *ASK) + b"early")
    assert client.head().status == 101
    assert client.exactly(10) == b"firstearly"


def test_bytes_behind_an_upgrade_that_is_declined_are_the_next_request(world):
    origin, weir = world.pair()
    client = world.connect(weir)
    client.send(wire.request("GET", "/plain", *ASK) + wire.request("GET", "/next"))
    assert [client.response().status, client.response().status] == [200, 200]
    assert origin.targets() == ["/plain", "/next"]
    assert upgrades(weir) == 0


def test_megabytes_go_both_ways_at_once(world):
    _, weir = tunnels(world)
    client = open_tunnel(world, weir)
    data = wire.noise(scaled(8, least=2) * MIB)

    async def both():
        loop = asyncio.get_running_loop()
        client.sock.setblocking(False)
        sending = asyncio.create_task(loop.sock_sendall(client.sock, data))
        got = bytearray()
        while len(got) < len(data):
            got += await loop.sock_recv(client.sock, 1 << 18)
        await sending
        return bytes(got)

    assert asyncio.run(asyncio.wait_for(both(), 25)) == data


def test_a_side_that_stops_reading_stops_the_other(world):
    origin, weir = world.pair(buffers_response="64KiB")
    sent = []

    async def pour(call):
        for _ in range(64):
            await call.connection.send(bytes(MIB))
            sent.append(MIB)

    origin.on("/t", app.send(SWITCH), pour, app.close())
    client = open_tunnel(world, weir)
    until(lambda: weir.glance().one("weir_buffered_bytes", what="response") >= 65536, "the buffer full")
    before = weir.rss()
    stays(lambda: weir.rss() < before + 4 * MIB, "weir's memory")
    assert len(sent) < 64
    assert len(client.rest()) == 64 * MIB


@pytest.mark.parametrize("side", ["client", "app"])
def test_a_half_closed_tunnel_still_carries_the_other_way(world, side):
    origin, weir = world.pair()
    if side == "client":
        async def late(call):
            while await call.connection.fill():
                pass
            await call.connection.send(b"all of: " + bytes(call.connection.buf))
        origin.on("/t", app.send(SWITCH), late, app.close())
        client = open_tunnel(world, weir).send(b"hello").half_close()
        assert client.rest() == b"all of: hello"
    else:
        got = []

        async def listen(call):
            call.connection.sock.shutdown(socket.SHUT_WR)
            while await call.connection.fill():
                pass
            got.append(bytes(call.connection.buf))
        origin.on("/t", app.send(SWITCH + b"bye"), listen, app.close())
        client = open_tunnel(world, weir)
        assert client.rest() == b"bye"
        client.send(b"still here").half_close()
        until(lambda: got == [b"still here"], "the rest at the app")
    wait_upgrades(weir, 0)


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_client_that_leaves_ends_the_tunnel_and_frees_its_slot(world, how):
    origin, weir = tunnels(world, concurrency=2)
    client = open_tunnel(world, weir)
    getattr(client, how)()
    wait_upgrades(weir, 0)
    until(lambda: not origin.inside_now(), "the app to hear it")
    assert origin.seen("/t")[0].connection.ended_by == how, "a reset is no end"
    assert weir.metrics().one("weir_requests_orphaned_total") == 0


def test_the_last_words_of_an_app_reach_a_client_that_still_speaks(world):
    """Its RST is the answer to what it was sent after its FIN. Before its FIN is out, a kernel answers
    with an RST too, and throws away what it has not sent: nobody could deliver that."""
    origin, weir = world.pair(buffers_response="1MiB")
    data = wire.noise(400_000)
    gate = origin.gate()

    async def fin_is_acknowledged(call):
        while fcntl.ioctl(call.connection.sock, termios.TIOCOUTQ, bytes(4)) != bytes(4):
            await asyncio.sleep(0.005)

    steps = app.send(data), app.half_close(), fin_is_acknowledged, app.close()
    origin.on("/t", app.send(SWITCH), app.wait(gate), *steps)
    client = open_tunnel(world, weir)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    gate.open()
    until(lambda: origin.seen("/t")[0].connection.closed, "the app to close")
    for _ in range(20):  # the first is answered with the RST, and one after it meets that
        client.send(b"x")
        weir.metrics()
    assert client.rest() == data
    wait_upgrades(weir, 0)


def test_a_client_that_resets_resets_an_app_that_has_ended_its_side(world):
    origin, weir = world.pair()

    async def listen(call):
        while await call.connection.fill():
            pass

    origin.on("/t", app.send(SWITCH + b"bye"), app.half_close(), listen)
    client = open_tunnel(world, weir)
    assert client.rest() == b"bye"
    client.rst()
    wait_upgrades(weir, 0)
    until(lambda: origin.seen("/t")[0].connection.closed, "the app to hear it")
    assert origin.seen("/t")[0].connection.ended_by == "rst"


def fill_tunnel(weir, client):
    """The client sends until the app, which reads nothing, is in the way."""
    client.sock.setblocking(False)

    def in_the_way():
        with contextlib.suppress(BlockingIOError):
            while True:
                client.sock.send(bytes(65536))
        return weir.metrics().one("weir_buffered_bytes", what="request") > 0

    until(in_the_way, "the app to be in the way")
    settled(lambda: weir.metrics().one("weir_buffered_bytes", what="request"))
    client.sock.settimeout(15)


@pytest.mark.race
def test_the_last_words_of_an_app_that_was_in_the_way_reach_its_client(world):
    rude = RudeApp(receive_buffer=4096)
    weir = world.weir(rude.upstream)
    client = world.connect(weir).get("/t", *ASK)
    end, _ = rude.take()
    end.send(SWITCH)
    assert client.head().status == 101
    fill_tunnel(weir, client)
    data = wire.noise(50_000)
    with weir.frozen():
        end.send(data)
        end.sock.shutdown(socket.SHUT_WR)
        rude.close()  # with most of what the client said unread: an RST after the FIN
    assert client.rest() == data
    wait_upgrades(weir, 0)


def test_a_client_that_resets_while_the_app_is_in_the_way_resets_the_app(world):
    origin, weir = world.pair()
    gate = origin.gate()

    async def listen(call):
        while await call.connection.fill():
            call.connection.buf.clear()

    origin.on("/t", app.send(SWITCH), app.wait(gate), listen)
    client = open_tunnel(world, weir)
    fill_tunnel(weir, client)
    client.rst()
    wait_upgrades(weir, 0)
    gate.open()
    until(lambda: origin.seen("/t")[0].connection.closed, "the app to hear it")
    assert origin.seen("/t")[0].connection.ended_by == "rst"


def test_an_app_that_resets_resets_the_client(world):
    origin, weir = world.pair()
    gate = origin.gate()
    origin.on("/t", app.send(SWITCH), app.wait(gate), app.reset())
    client = open_tunnel(world, weir)
    gate.open()
    with pytest.raises(wire.Truncated):
        client.rest()
    wait_upgrades(weir, 0)


def test_tunnels_have_a_cap_that_leaves_a_slot_for_requests(world):
    origin, weir = tunnels(world, concurrency=3)
    held = [open_tunnel(world, weir) for _ in range(2)]
    third = world.connect(weir)
    answer = third.ask("GET", "/t", *ASK)
    assert (answer.status, answer.get("Weir-Reason")) == (503, "upgrades")
    assert answer.get("Retry-After")
    assert third.ask("GET", "/plain").status == 200, "the connection stays usable"
    assert weir.metrics().one("weir_requests_rejected_total", reason="upgrades") == 1
    held[0].half_close().rest()
    wait_upgrades(weir, 1)
    open_tunnel(world, weir)


def test_tunnels_leave_a_connection_for_requests_too(world):
    """Where connections are fewer than slots, a tunnel on each would make all requests wait for ever."""
    origin, weir = tunnels(world, concurrency=10, upstream_max_connections=2)
    open_tunnel(world, weir)
    assert world.connect(weir).ask("GET", "/t", *ASK).get("Weir-Reason") == "upgrades"
    assert world.connect(weir).ask("GET", "/plain").status == 200


@pytest.mark.parametrize(
    "bounds",
    [{"concurrency": 1}, {"concurrency": 1, "upgrades_max": "limit-1"},
     {"concurrency": 4, "upstream_max_connections": 1}],
    ids=["concurrency", "the word", "connections"],
)
def test_where_one_may_be_inside_a_tunnel_is_a_request_like_any_other(world, bounds):
    origin, weir = tunnels(world, **bounds)
    tunnel = open_tunnel(world, weir)
    waiting, second = world.connect(weir).get("/plain"), world.connect(weir)
    weir.wait_depth(1)
    tunnel.send(b"x")
    assert tunnel.exactly(1) == b"x"
    assert second.ask("GET", "/t", *ASK).get("Weir-Reason") == "upgrades"
    assert origin.seen("/plain") == []
    tunnel.half_close().rest()
    assert waiting.response().status == 200
    wait_upgrades(weir, 0)
    assert origin.most_inside == 1
    open_tunnel(world, weir)


def test_a_tunnel_waits_in_the_queue_like_any_other_request(world):
    origin, weir = tunnels(world, concurrency=1)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    held = world.connect(weir).get("/held")
    origin.wait_inside(1)
    tunnel = world.connect(weir).get("/t", *ASK)
    weir.wait_depth(1)
    gate.open()
    assert held.response().status == 200
    assert tunnel.head().status == 101
    tunnel.send(b"x")
    assert tunnel.exactly(1) == b"x"


def test_upgrades_max_0_refuses_them(world):
    origin, weir = tunnels(world, upgrades_max=0)
    assert world.connect(weir).ask("GET", "/t", *ASK).status == 503
    assert origin.calls == []


def test_an_upgrade_that_is_declined_gives_its_place_back(world):
    origin, weir = tunnels(world, concurrency=3, upgrades_max=1)
    for _ in range(3):
        assert world.connect(weir).ask("GET", "/plain", *ASK).status == 200
    gate = origin.gate()
    origin.on("/stream", app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"), app.wait(gate),
              app.send(b"x"))
    stream = world.connect(weir).get("/stream", *ASK)
    assert stream.head().status == 200
    open_tunnel(world, weir)  # though that answer goes on
    gate.open()
    assert stream.exactly(1) == b"x"


def test_a_refused_upgrade_holds_no_place_while_its_answer_is_not_read(world):
    origin, weir = tunnels(world, concurrency=2, queue_length=0)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    held = [world.connect(weir).get("/held") for _ in range(2)]
    origin.wait_inside(2)
    deaf = world.connect(weir)
    deaf.sock.setblocking(False)
    asks = bytearray(wire.request("GET", "/t", *ASK) * 50_000)

    def in_the_way():
        with contextlib.suppress(BlockingIOError):
            del asks[: deaf.sock.send(asks)]
        return weir.metrics().one("weir_buffered_bytes", what="response")

    until(in_the_way, "an answer that is kept")
    settled(lambda: (in_the_way(), weir.metrics().total("weir_requests_rejected_total")))
    assert in_the_way(), "the kernel accepted all of it"
    gate.open()
    assert [client.response().status for client in held] == [200, 200]
    open_tunnel(world, weir)
    deaf.rst()


def test_a_silent_tunnel_ends_by_its_idle_timeout(world):
    origin, weir = tunnels(world, upgrades_idle_timeout="300ms", upstream_idle_timeout="50ms")
    client = open_tunnel(world, weir)
    client.send(b"x")
    assert client.exactly(1) == b"x"
    assert client.rest() == b""
    wait_upgrades(weir, 0)


def test_requests_wait_while_tunnels_hold_the_slots(world):
    origin, weir = tunnels(world, concurrency=2, upgrades_max=2)
    first, _ = open_tunnel(world, weir), open_tunnel(world, weir)
    waiting = world.connect(weir).get("/plain")
    weir.wait_depth(1)
    first.half_close().rest()
    assert waiting.response().status == 200
    assert origin.most_inside == 2


# ---- what is no tunnel -----------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    ("Connection: Upgrade", "Upgrade: HTTP/2.0"),
    ("Connection: Upgrade", "Upgrade: TLS/1.2"),
    ("Upgrade: raw",),
    ("Connection: Upgrade",),
], ids=["h2c", "HTTP/2", "TLS", "not named", "no protocol"])
def test_what_is_not_to_be_tunnelled_goes_on_as_a_plain_request(world, fields):
    origin, weir = world.pair(concurrency=1)
    assert world.connect(weir).ask("GET", "/x", *fields).status == 200
    call = origin.calls[0]
    assert (call.get("Upgrade"), call.get("HTTP2-Settings")) == (None, None)


def test_the_longest_list_of_protocols_is_offered(world):
    origin, weir = world.pair(client_max_head="48KiB")
    protocols = ",".join(["a"] * 24_000)
    assert world.connect(weir).ask("GET", "/x", ASK[0], f"Upgrade: {protocols}").status == 200
    assert origin.calls[0].get("Upgrade") == protocols


def test_a_request_with_a_body_is_not_upgraded(world):
    origin, weir = world.pair()
    assert world.connect(weir).ask("POST", "/x", *ASK, body=b"hello").status == 200
    assert origin.calls[0].get("Upgrade") is None


@pytest.mark.parametrize("switch", [
    SWITCH.replace(b"Upgrade: raw", b"Upgrade: h2c"),
    SWITCH.replace(b"Upgrade: raw", b"X: y"),
    SWITCH.replace(b"Connection: Upgrade\r\n", b""),
    SWITCH.replace(b"HTTP/1.1", b"HTTP/1.0"),
], ids=["another protocol", "no protocol", "no option", "HTTP/1.0"])
def test_a_switch_that_was_not_offered_is_a_bad_answer(world, switch):
    origin, weir = world.pair()
    origin.on("/t", app.send(switch), app.hang())
    answer = world.connect(weir).ask("GET", "/t", *ASK)
    assert (answer.status, answer.get("Weir-Reason")) == (502, "upstream_broken")
    until(lambda: not origin.open_now(), "the connection to be closed")


def test_a_switch_nobody_asked_for_is_a_bad_answer(world):
    origin, weir = world.pair()
    origin.on("/x", app.send(SWITCH), app.hang())
    assert world.connect(weir).ask("GET", "/x").status == 502


def test_426_tells_the_client_what_to_upgrade_to(world):
    origin, weir = world.pair()
    origin.on("/x", app.answer(b"", 426, "Connection: Upgrade", "Upgrade: raw"))
    client = world.connect(weir)
    answer = client.ask("GET", "/x")
    assert (answer.status, answer.get("Upgrade"), answer.get("Connection")) == (426, "raw", "Upgrade")
    assert client.ask("GET", "/next").status == 200


def test_http_1_0_knows_no_upgrades(world):
    origin, weir = world.pair()
    client = world.connect(weir).send(wire.request("GET", "/t", *ASK).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert client.response().status == 200
    assert origin.calls[0].get("Upgrade") is None


# ---- stopping --------------------------------------------------------------------------------------


def test_a_drain_ends_tunnels_before_its_time_is_over(world):
    origin, weir = tunnels(world, drain_timeout="1600ms")
    client = open_tunnel(world, weir)
    weir.signal(signal.SIGTERM)
    client.send(b"still")
    assert client.exactly(5) == b"still"
    assert client.rest() == b""
    weir.exited(0)


def test_a_tunnel_asked_for_while_draining_is_refused(world):
    origin, weir = tunnels(world)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    busy = world.connect(weir).send(wire.request("GET", "/held") + wire.request("GET", "/t", *ASK))
    origin.wait_inside(1)
    idle = world.connect(weir)
    assert idle.ask("GET", "/plain").status == 200
    weir.signal(signal.SIGTERM)
    assert idle.rest() == b"", "the drain"
    gate.open()
    assert busy.response().status == 200
    assert origin.seen("/t") == []
    world.exited(weir)


# ---- a real WebSocket server ---------------------------------------------------------------------

MISSING = [n for n in ("fastapi", "uvicorn", "websockets") if not importlib.util.find_spec(n)]
ECHO_APP = '''
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


@app.websocket("/ws")
async def ws(socket: WebSocket):
    await socket.accept()
    try:
        while True:
            message = await socket.receive()
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            elif message.get("bytes") is not None:
                await socket.send_bytes(message["bytes"])
            else:
                break
    except WebSocketDisconnect:
        pass


@app.get("/pronto")
async def pronto():
    return {}
'''


@pytest.fixture
def echo_server(tmp_path):
    """The port of an application that echoes WebSocket messages."""
    with serving(tmp_path, "eco", ECHO_APP, "--ws-max-size", str(4 * MIB)) as port:
        yield port


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_websockets_through_to_uvicorn(world, echo_server):
    import websockets

    weir = world.weir(f"127.0.0.1:{echo_server}", concurrency=4)
    url = f"ws://127.0.0.1:{weir.port}/ws"

    async def talk():
        async with websockets.connect(url, max_size=4 * MIB) as ws:
            for message in ("olá", b"\x00\xff", "", "é" * 70_000, wire.noise(MIB)):
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(["frag", "men", "ted"])
            assert await ws.recv() == "fragmented"
            await (await ws.ping(b"are you there"))
        async with websockets.connect(url) as one, websockets.connect(url) as two:
            await one.send("1")
            await two.send("2")
            assert [await one.recv(), await two.recv()] == ["1", "2"]
            assert upgrades(weir) == 2

    asyncio.run(asyncio.wait_for(talk(), 25))
    wait_upgrades(weir, 0)
    assert weir.metrics().one("weir_upgrade_duration_seconds_count") == 3
