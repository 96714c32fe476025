"""Connections kept, reused, replaced and closed, on both sides."""

import time

import pytest

from support import origin as app
from support.client import burst
from support.waiting import SOON, until
from support.wire import Truncated


def upstream_results(weir):
    m = weir.metrics()
    names = ("opened", "reused", "failed", "replayed")
    return {name: m.one("weir_upstream_connections_total", result=name) for name in names}


def on_reused(origin, target, steps):
    """Scripts a target on connections that have served before; elsewhere it is answered."""
    def choose(call):
        reused = call.target == target and len(call.connection.calls) > 1
        return steps if reused else origin.default

    origin.choose = choose


def test_requests_in_sequence_use_one_connection_on_both_sides(world):
    origin, weir = world.pair()
    client = world.connect(weir)
    for i in range(20):
        assert client.ask("GET", f"/{i}").status == 200
    assert len(origin.used()) == 1
    got = upstream_results(weir)
    assert (got["opened"], got["reused"], got["replayed"]) == (1, 19, 0)
    world.expect_requests(weir, 20)


def test_requests_of_many_clients_reuse_the_same_upstream_connection(world):
    origin, weir = world.pair()
    for _ in range(10):
        assert world.connect(weir).ask("GET", "/").status == 200
    assert len(origin.used()) == 1


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("limit", [1, 4])
def test_the_pool_is_never_larger_than_the_limit(world, limit, threads):
    origin, weir = world.pair(
        concurrency=limit, threads=threads, startup_probe="none", queue_length=200
    )
    for _ in range(3):
        outcomes, _ = burst(weir.address, "/", 60)
        assert [o.status for o in outcomes] == [200] * 60
        assert len(origin.open_now()) <= limit
    assert origin.most_open <= limit
    assert origin.most_inside <= limit
    m = weir.metrics()
    assert m.total("weir_connections", side="upstream") <= limit


@pytest.mark.parametrize("threads", [1, 2])
def test_an_app_that_serves_one_connection_at_a_time_is_never_blocked(world, threads):
    origin = world.origin(one_connection_at_a_time=True)
    weir = world.weir(
        origin, concurrency=1, threads=threads, startup_probe="none",
        upstream_keepalive_timeout="60s",
    )
    clients = [world.connect(weir) for _ in range(8)]
    for _ in range(5):
        for client in clients:
            assert client.ask("GET", "/").status == 200


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_stale_connection_is_replaced_and_a_get_sent_again_once(world, end):
    origin, weir = world.pair()
    on_reused(origin, "/again", [getattr(app, end)()])
    client = world.connect(weir)
    assert client.ask("GET", "/first").status == 200
    assert client.ask("GET", "/again").status == 200
    assert origin.targets() == ["/first", "/again", "/again"]
    assert upstream_results(weir)["replayed"] == 1
    world.expect_requests(weir, 2)


@pytest.mark.race
@pytest.mark.parametrize("socket", ["tcp", "unix"])
def test_nothing_is_sent_again_for_a_client_that_has_left(world, socket):
    """A request and a reset in one edge: only a look can tell, and the app had it for long."""
    origin = world.origin(path=world.path("app.sock") if socket == "unix" else None)
    weir = world.weir(origin, concurrency=1)
    gate = origin.gate()
    on_reused(origin, "/again", [app.wait(gate), app.close()])
    client = world.connect(weir)
    assert client.ask("GET", "/first").status == 200
    with weir.frozen():
        client.get("/again").rst()
    origin.wait_inside(1)
    gate.open()
    weir.wait_counted(2)
    assert origin.targets() == ["/first", "/again"]
    assert upstream_results(weir)["replayed"] == 0
    assert world.connect(weir).ask("GET", "/after").status == 200
    assert origin.targets() == ["/first", "/again", "/after"]
    m = weir.metrics()
    assert m.total("weir_requests_total", code="499", source="client_gone") == 1
    world.expect_requests(weir, 3)


def test_a_put_with_its_body_is_sent_again_whole(world):
    origin, weir = world.pair()
    on_reused(origin, "/again", [app.read_body(), app.reset()])
    client = world.connect(weir)
    assert client.ask("GET", "/first").status == 200
    answer = client.ask("PUT", "/again", body=b"body" * 1000)
    assert answer.status in (200, 502)  # the body may be gone already; a half request may not be sent
    calls = origin.seen("/again")
    assert [bytes(call.body) for call in calls] == [b"body" * 1000] * len(calls)
    assert len(calls) == (2 if answer.status == 200 else 1)


def test_nothing_is_sent_a_third_time(world):
    origin, weir = world.pair()
    origin.on("/bad", app.reset())
    client = world.connect(weir)
    assert client.ask("GET", "/first").status == 200
    assert client.ask("GET", "/bad").status == 502
    assert len(origin.seen("/bad")) == 2
    assert client.ask("GET", "/after").status == 200


def test_a_fresh_connection_that_dies_is_the_apps_answer(world):
    origin, weir = world.pair()
    origin.on("/bad", app.reset())
    answer = world.connect(weir).ask("GET", "/bad")
    assert answer.status == 502 and answer.get("Weir-Reason")
    assert len(origin.seen("/bad")) == 1
    assert upstream_results(weir)["replayed"] == 0


@pytest.mark.parametrize("method", ["POST", "PATCH", "FROBNICATE"])
def test_what_is_not_idempotent_is_not_sent_again_once_accepted(world, method):
    origin, weir = world.pair()
    on_reused(origin, "/once", [app.read_body(), app.reset()])
    client = world.connect(weir)
    for _ in range(2):  # an app that answers twice on a connection is one that keeps it
        assert client.ask("GET", "/first").status == 200
    assert client.ask(method, "/once", body=b"pay").status == 502
    assert len(origin.seen("/once")) == 1
    assert client.ask("GET", "/after").status == 200


def test_no_request_is_sent_again_after_the_first_byte_of_an_answer(world):
    origin, weir = world.pair()
    on_reused(origin, "/half", [app.send(b"HTTP/1.1 2"), app.reset()])
    client = world.connect(weir)
    assert client.ask("GET", "/first").status == 200
    assert client.ask("GET", "/half").status == 502
    assert len(origin.seen("/half")) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_the_app_has_closed_is_not_used_again(world, method):
    """Uvicorn closes idle connections after 5 s: no request may meet that."""
    origin, weir = world.pair()
    origin.on("/", app.read_body(), app.answer(), app.close())
    body = b"x" if method == "POST" else None
    client = world.connect(weir)
    for _ in range(50):
        assert client.ask(method, "/", body=body).status == 200
        until(lambda: origin.used()[-1].closed, "the app to close")
    assert len(origin.calls) == 50
    world.expect_requests(weir, 50)


def test_an_idle_upstream_connection_is_closed_after_its_keepalive_timeout(world):
    origin, weir = world.pair(upstream_keepalive_timeout="300ms")
    client = world.connect(weir)
    began = time.monotonic()
    assert client.ask("GET", "/").status == 200
    conn = origin.used()[0]
    until(lambda: conn.closed, "weir to close the idle connection", within=SOON)
    assert 0.3 <= conn.closed - began
    assert conn.ended_by == "fin"
    assert client.ask("GET", "/").status == 200
    assert len(origin.used()) == 2


def test_an_idle_client_is_closed_after_its_keepalive_timeout(world):
    _, weir = world.pair(client_keepalive_timeout="300ms")
    client = world.connect(weir)
    began = time.monotonic()
    assert client.ask("GET", "/").status == 200
    assert client.rest() == b""
    assert 0.3 <= time.monotonic() - began < SOON
    world.expect_requests(weir, 1)


def test_a_busy_client_is_not_idle(world):
    origin, weir = world.pair(client_keepalive_timeout="200ms")
    origin.on("/slow", app.delay(0.6), app.answer())
    client = world.connect(weir).get("/slow").get("/slow")  # without a moment between them
    assert [client.response().status for _ in range(2)] == [200, 200]


def test_an_app_that_says_close_does_not_close_the_client(world):
    origin, weir = world.pair()
    origin.on("/c", app.answer(b"ok", 200, "Connection: close"), app.close())
    client = world.connect(weir)
    for _ in range(3):
        answer = client.ask("GET", "/c")
        assert answer.status == 200 and not answer.has("Connection", "close")
    assert len(origin.used()) == 3
    world.expect_requests(weir, 3)


def test_bytes_after_an_answer_spoil_the_connection_for_others(world):
    origin, weir = world.pair()
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    origin.on("/twice", app.send(app.wire.response(body=b"first") + extra))
    client = world.connect(weir)
    assert client.ask("GET", "/twice").body == b"first"
    answer = client.ask("GET", "/next")
    assert answer.body == b"ok"
    assert len(origin.used()) == 2


def test_an_app_that_speaks_first_on_an_idle_connection_is_dropped(world):
    origin, weir = world.pair()
    late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    origin.on("/", app.answer(), app.delay(0.05), app.send(late))
    client = world.connect(weir)
    assert client.ask("GET", "/").body == b"ok"
    until(lambda: origin.used()[0].closed, "weir to drop the connection")
    assert client.ask("GET", "/next").body == b"ok"


def test_where_as_many_as_are_allowed_are_there_the_one_that_is_idle_longest_makes_room(world):
    _, weir = world.pair(client_max_connections=4, concurrency=2)
    first = [world.connect(weir) for _ in range(4)]
    for client in first:
        assert client.ask("GET", "/").status == 200
    assert first[0].ask("GET", "/").status == 200
    assert world.connect(weir).ask("GET", "/").status == 200
    assert first[1].rest() == b""
    assert [client.is_open() for client in first[2:] + first[:1]] == [True] * 3
    m = weir.metrics()
    assert m.total("weir_connections_evicted_total") == 1
    assert m.total("weir_connections", side="client") == 4
