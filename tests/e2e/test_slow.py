"""Slow clients cost no slot, and streams stay streams."""

import time

import pytest

from support import origin as app
from support import wire
from support.waiting import stays, until

MIB = 1 << 20
BODY = b"hello world"


def half_sent(world, weir, target="/slow", body=BODY, *fields):
    """A client that has sent half of its body."""
    head = wire.request("POST", target, f"Content-Length: {len(body)}", *fields)
    return world.connect(weir).send(head + body[: len(body) // 2])


def buffered(weir, what="request"):
    return weir.metrics().one("weir_buffered_bytes", what=what)


def wait_buffered(weir, n, what="request"):
    until(lambda: buffered(weir, what) == n, f"{n} bytes of {what}s to be kept")


# ---- uploads -------------------------------------------------------------------------------------


def test_a_small_body_that_trickles_holds_no_slot(world):
    origin, weir = world.pair(concurrency=1)
    slow = half_sent(world, weir)
    wait_buffered(weir, 5)
    for _ in range(3):
        assert world.connect(weir).ask("GET", "/fast").status == 200
    assert origin.targets() == ["/fast"] * 3
    slow.send(BODY[5:])
    assert slow.response().status == 200
    assert bytes(origin.seen("/slow")[0].body) == BODY
    wait_buffered(weir, 0)
    m = weir.wait_counted(4)
    assert m.one("weir_request_body_wait_seconds_count") == 1
    assert m.one("weir_request_body_wait_seconds_sum") > 0
    world.expect_requests(weir, 4)


def test_plentiful_slots_stream_from_the_first_byte(world):
    origin, weir = world.pair(concurrency=80)
    slow = half_sent(world, weir)
    until(lambda: any(bytes(c.received).endswith(BODY[:5]) for c in origin.used()), "the first half")
    slow.send(BODY[5:])
    assert slow.response().status == 200
    assert weir.wait_counted(1).one("weir_request_body_wait_seconds_sum") == 0


def test_slots_that_become_plentiful_end_the_wait_with_the_next_byte(world):
    origin, weir = world.pair(concurrency=3)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    held = [world.connect(weir).get("/held") for _ in range(2)]
    origin.wait_inside(2)
    slow = half_sent(world, weir)
    wait_buffered(weir, 5)
    gate.open()
    for client in held:
        assert client.response().status == 200
    slow.send(BODY[5:6])
    until(lambda: origin.seen("/slow"), "the request at the app")
    slow.send(BODY[6:])
    assert slow.response().status == 200
    assert bytes(origin.seen("/slow")[0].body) == BODY


def test_a_body_as_large_as_the_buffer_waits_no_longer(world):
    origin, weir = world.pair(concurrency=1, buffers_request="4KiB", client_body_timeout="60s")
    body = wire.noise(9000)
    slow = world.connect(weir)
    slow.send(wire.request("POST", "/large", "Transfer-Encoding: chunked") + b"2328\r\n" + body[:4500])
    until(lambda: origin.seen("/large"), "the request at the app")
    slow.send(body[4500:] + b"\r\n0\r\n\r\n")
    assert slow.response().status == 200
    assert bytes(origin.seen("/large")[0].body) == body
    wait_buffered(weir, 0)


@pytest.mark.parametrize("framing", ["chunked", "longer than the buffer"])
def test_what_may_be_a_stream_waits_for_a_quarter_of_a_second_only(world, framing):
    origin, weir = world.pair(concurrency=1)
    field, first, rest = {
        "chunked": ("Transfer-Encoding: chunked", b"5\r\nhello\r\n", b"0\r\n\r\n"),
        "longer than the buffer": ("Content-Length: 70000", b"hello", bytes(69995)),
    }[framing]
    began = time.monotonic()
    client = world.connect(weir).send(wire.request("POST", "/stream", field) + first)
    until(lambda: origin.seen("/stream"), "the request at the app")
    assert time.monotonic() - began >= 0.249
    assert client.send(rest).response().status == 200
    assert bytes(origin.seen("/stream")[0].body)[:5] == b"hello"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_buffered_body_arrives_as_it_was_sent(world, framing):
    origin, weir = world.pair(concurrency=1)
    data = wire.noise(20_000)
    pieces = wire.pieces(data, seed=7, largest=3000)
    whole = wire.request("PUT", "/x", body=data if framing == "length" else pieces)
    client = world.connect(weir)
    for at in range(0, len(whole), 777):
        client.send(whole[at : at + 777])
    assert client.response().status == 200
    assert bytes(origin.calls[0].body) == data
    assert client.ask("GET", "/next").status == 200


def test_a_client_that_leaves_its_body_unfinished_is_never_heard_of_by_the_app(world):
    origin, weir = world.pair(concurrency=1)
    for leave in ("fin", "rst"):
        slow = half_sent(world, weir)
        wait_buffered(weir, 5)
        getattr(slow, leave)()
        wait_buffered(weir, 0)
    assert origin.calls == []
    assert weir.wait_counted(2).one("weir_requests_total", code="499", source="client_gone") == 2
    world.expect_requests(weir, 2)


@pytest.mark.race
def test_a_client_that_leaves_with_the_end_of_its_body_is_never_heard_of_by_the_app(world):
    origin, weir = world.pair(concurrency=1)
    assert world.connect(weir).ask("GET", "/first").status == 200  # leaves a connection to the app
    slow = half_sent(world, weir)
    wait_buffered(weir, 5)
    with weir.frozen():
        slow.send(BODY[5:]).fin()
    assert weir.wait_counted(2).one("weir_requests_total", code="499", source="client_gone") == 1
    assert origin.targets() == ["/first"]


def send_chunks(world, weir, first, second):
    """A client whose chunks both came while they were waited for, a quarter of a second, and its
    target. On a busy machine that may take several."""
    for i in range(10):
        target = f"/{i}"
        began = time.monotonic()
        client = world.connect(weir)
        client.send(wire.request("POST", target, "Transfer-Encoding: chunked") + first)
        while time.monotonic() - began < 0.1 and buffered(weir) != len(first):
            pass
        client.send(second)
        if time.monotonic() - began < 0.25:
            return client, target
        client.fin()
        weir.wait_quiet()
    pytest.skip("the machine is too busy to send two chunks in time")


def test_a_buffered_body_with_bad_chunks_is_refused_unseen(world):
    origin, weir = world.pair(concurrency=1)
    client, target = send_chunks(world, weir, b"5\r\nhello\r\n", b"-1\r\n")
    answer = client.response()
    assert (answer.status, answer.get("Weir-Reason")) == (400, "bad_request")
    client.until_closed()
    assert origin.seen(target) == []


def test_a_buffered_body_beyond_max_body_is_refused_unseen(world):
    origin, weir = world.pair(concurrency=1, client_max_body="1KiB")
    first = b"400\r\n" + bytes(1024) + b"\r\n"
    client, target = send_chunks(world, weir, first, b"1\r\nx\r\n")
    assert client.response().status == 413
    assert origin.seen(target) == []


def test_a_full_queue_refuses_before_the_body_is_read(world):
    origin, weir = world.pair(concurrency=1, queue_length=0)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    held = world.connect(weir).get("/held")
    origin.wait_inside(1)
    answer = half_sent(world, weir).response()
    assert (answer.status, answer.get("Weir-Reason")) == (503, "queue_full")
    gate.open()
    assert held.response().status == 200


# ---- how long it may take ------------------------------------------------------------------------


def test_a_body_that_stops_is_told_408(world):
    origin, weir = world.pair(concurrency=1, client_body_timeout="200ms")
    answer = half_sent(world, weir).response()
    assert (answer.status, answer.get("Weir-Reason")) == (408, "body_timeout")
    assert origin.calls == []


@pytest.mark.parametrize("concurrency", [1, 80], ids=["waited for", "streamed"])
def test_a_body_that_trickles_for_too_long_is_told_408(world, concurrency):
    """A byte now and then keeps no connection for ever, whether it holds a slot or not."""
    _, weir = world.pair(concurrency=concurrency, client_body_timeout="300ms")
    client = world.connect(weir).send(wire.request("POST", "/x", "Content-Length: 1000"))
    began = time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() < began + 10:
            client.send(b"x")
            stays(lambda: True, during=0.05)
            if not client.is_open():
                raise ConnectionError("answered")
    answer = client.response()
    assert (answer.status, answer.get("Weir-Reason")) == (408, "body_timeout")


# ---- 100-continue --------------------------------------------------------------------------------


def test_weir_says_continue_when_it_waits_for_the_body_itself(world):
    origin, weir = world.pair(concurrency=1)
    client = world.connect(weir)
    client.send(wire.request("POST", "/x", "Expect: 100-continue", f"Content-Length: {len(BODY)}"))
    assert client.head().status == 100
    assert origin.calls == []
    client.send(BODY)
    answer = client.response()
    assert (answer.status, answer.interim) == (200, [])
    assert origin.calls[0].get("Expect") is None, "it has been answered"
    assert bytes(origin.calls[0].body) == BODY


def test_the_app_says_continue_when_slots_are_plentiful(world):
    origin, weir = world.pair(concurrency=80)
    origin.on("/x", app.send(b"HTTP/1.1 100 Continue\r\n\r\n"), app.read_body(), app.answer())
    client = world.connect(weir)
    client.send(wire.request("POST", "/x", "Expect: 100-continue", f"Content-Length: {len(BODY)}"))
    assert client.head().status == 100
    assert origin.calls[0].get("Expect") == "100-continue"
    assert client.send(BODY).response().status == 200


def test_the_app_says_continue_to_a_large_body_whatever_the_slots(world):
    origin, weir = world.pair(concurrency=1)
    origin.on("/x", app.send(b"HTTP/1.1 100 Continue\r\n\r\n"), app.read_body(), app.answer())
    client = world.connect(weir)
    client.send(wire.request("POST", "/x", "Expect: 100-continue", "Content-Length: 100000"))
    assert client.head().status == 100
    assert origin.calls[0].get("Expect") == "100-continue"
    assert client.send(bytes(100_000)).response().status == 200


def test_a_refusal_asks_for_no_body(world):
    origin, weir = world.pair(concurrency=1, queue_length=0)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    held = world.connect(weir).get("/held")
    origin.wait_inside(1)
    client = world.connect(weir)
    client.send(wire.request("POST", "/x", "Expect: 100-continue", f"Content-Length: {len(BODY)}"))
    answer = client.response()
    assert (answer.status, answer.interim) == (503, [])
    gate.open()
    assert held.response().status == 200


# ---- downloads -----------------------------------------------------------------------------------


def test_a_slow_reader_holds_no_slot_once_the_app_is_done(world):
    origin, weir = world.pair(concurrency=1)
    data = wire.noise(200_000)
    origin.on("/big", app.answer(data))
    slow = world.connect(weir).get("/big")
    assert slow.head().status == 200  # and reads no more
    for _ in range(3):
        assert world.connect(weir).ask("GET", "/fast").status == 200
    assert slow.exactly(len(data)) == data


def test_a_reader_in_the_way_shows_as_back_pressure(world):
    origin, weir = world.pair(concurrency=1, buffers_response="16KiB")
    data = bytes(16 * MIB)
    origin.on("/big", app.answer(data))
    slow = world.connect(weir).get("/big")
    until(lambda: buffered(weir, "response") >= 16384, "the buffer to be full")
    assert slow.response().body == data
    assert weir.wait_counted(1).one("weir_client_backpressure_seconds_total") > 0


def test_a_slow_but_steady_reader_is_not_cut_by_send_timeout(world):
    origin, weir = world.pair(client_send_timeout="500ms")
    data = wire.noise(12 * MIB)
    origin.on("/big", app.answer(data))
    slow = world.connect(weir).get("/big")
    assert slow.head().status == 200
    got = slow.slowly(2)  # the kernel tells weir of room only when there is much of it
    assert got + slow.exactly(len(data) - len(got)) == data


def test_a_spent_budget_shrinks_buffers_and_streams_on(world):
    """Readers that stop fill the budget; the next answer still flows, with next to no buffer."""
    origin, weir = world.pair(
        concurrency=20, buffers_budget="1MiB", buffers_response="512KiB", queue_length=100
    )
    data = bytes(16 * MIB)
    origin.on("/big", app.answer(data))
    stalled = [world.connect(weir).get("/big") for _ in range(4)]
    until(lambda: buffered(weir, "response") >= MIB, "the budget to be spent")
    assert world.connect(weir).ask("GET", "/big").body == data
    assert buffered(weir, "response") <= 1.5 * MIB
    for client in stalled:
        assert client.response().body == data
    wait_buffered(weir, 0, "response")


def test_a_spent_budget_buffers_no_more_requests(world):
    origin, weir = world.pair(
        concurrency=6, buffers_budget="1MiB", buffers_response="2MiB", client_body_timeout="60s"
    )
    data = bytes(16 * MIB)
    origin.on("/big", app.answer(data))
    stalled = [world.connect(weir).get("/big") for _ in range(5)]
    until(lambda: buffered(weir, "response") >= MIB, "the budget to be spent")
    slow = half_sent(world, weir)
    until(lambda: origin.seen("/slow"), "the request at the app")
    assert buffered(weir) == 0
    slow.send(BODY[5:])
    assert slow.response().status == 200
    origin.on("/x", app.send(b"HTTP/1.1 100 Continue\r\n\r\n"), app.read_body(), app.answer())
    slow.send(wire.request("POST", "/x", "Expect: 100-continue", f"Content-Length: {len(BODY)}"))
    assert slow.head().status == 100
    assert origin.seen("/x"), "weir keeps nothing, and so asks for nothing"
    assert slow.send(BODY).response().status == 200
    for client in stalled:
        assert client.response().body == data


def test_an_app_that_takes_no_upload_is_blamed_though_the_budget_is_spent(world):
    origin, weir = world.pair(
        concurrency=6, buffers_budget="1MiB", buffers_response="2MiB", upstream_idle_timeout="500ms"
    )
    data = bytes(16 * MIB)
    origin.on("/big", app.answer(data))
    origin.on("/deaf", app.wait(origin.gate()))
    stalled = [world.connect(weir).get("/big") for _ in range(4)]
    until(lambda: buffered(weir, "response") >= MIB, "the budget to be spent")
    client = world.connect(weir).send(wire.request("POST", "/deaf", "Content-Length: 100000000"))
    client.sock.setblocking(False)

    def answered():
        try:
            return not client.is_open() or client.send(bytes(65536)) is None
        except BlockingIOError:
            return False

    until(answered, "the answer")
    client.sock.settimeout(15)
    answer = client.response()
    assert (answer.status, answer.get("Weir-Reason")) == (504, "send_timeout")
    for reader in stalled:
        reader.rst()


# ---- more small things ---------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_fewer_connections_than_slots_are_the_limit(world, threads):
    """Who waits for one waits in the queue: in turn, whatever the thread, and for queue.timeout."""
    origin, weir = world.pair(concurrency=10, upstream_max_connections=2, threads=threads, queue_timeout="1s")
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    clients = [world.connect(weir).get("/held") for _ in range(2)]
    origin.wait_inside(2)
    late = [world.connect(weir).get("/held") for _ in range(4)]
    weir.wait_depth(4)
    assert weir.metrics().one("weir_requests_in_flight") == 2
    for client in late:
        assert client.response().get("Weir-Reason") == "queue_timeout"
    gate.open()
    for client in clients:
        assert client.response().status == 200
    assert origin.most_inside == 2


def test_server_timing_tells_where_the_time_went(world):
    origin, weir = world.pair(headers_server_timing="true")
    origin.on("/x", app.delay(0.05), app.answer())
    value = world.connect(weir).ask("GET", "/x").get("Server-Timing")
    queue, took = (part.strip().split(";dur=") for part in value.split(","))
    assert (queue[0], took[0]) == ("queue", "app")
    assert float(queue[1]) == 0 and float(took[1]) >= 49  # a sleep may end a moment early
