"""The queue: strict order, its bounds, and what those are told who do not get in."""

import json
import time

import pytest

from support import origin as app
from support.rude import RudeApp
from support.waiting import SOON, until
from support.world import scaled


def hold_all_slots(world, origin, weir, n):
    """Fills the app with n requests to /held; returns the gate that lets them go."""
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer(b"held"))
    clients = [world.connect(weir).get("/held") for _ in range(n)]
    origin.wait_inside(n)
    return gate, clients


def check_refusal(answer, reason, status=503):
    assert answer.status == status
    assert answer.get("Weir-Reason") == reason
    assert answer.get("Cache-Control") == "no-store"
    assert 1 <= int(answer.get("Retry-After")) <= 30
    assert answer.body


@pytest.mark.seconds(90)
@pytest.mark.parametrize("limit", [1, 10])
def test_requests_are_dispatched_in_their_order_of_arrival(world, limit):
    n = scaled(5000, least=200)
    origin, weir = world.pair(
        concurrency=limit,
        threads=1,
        queue_length=n,
        queue_timeout="80s",
        client_max_connections=n + 100,
    )
    gate, _ = hold_all_slots(world, origin, weir, limit)
    clients = [world.connect(weir, timeout=60) for _ in range(n)]
    for i, client in enumerate(clients):
        client.get(f"/{i}")
    weir.wait_depth(n, within=30)
    gate.open()
    for client in clients:
        assert client.response().status == 200
    order = [int(target[1:]) for target in origin.targets() if target != "/held"]
    assert origin.most_inside == limit
    assert sorted(order) == list(range(n))
    check_order(order, limit)
    world.expect_requests(weir, n + limit)


def check_order(order, limit):
    """First in, first out as far as an app can see it: what is older and unseen is on its way,
    and no more can be on their way than there are slots."""
    if limit == 1:
        assert order == sorted(order)
        return
    seen, older_missing = set(), 0
    for i in order:
        seen.add(i)
        while older_missing in seen:
            seen.discard(older_missing)
            older_missing += 1
        unseen = i - older_missing - sum(1 for j in seen if j < i)
        assert unseen < limit, f"{i} came before {unseen} older ones"


def test_newcomers_never_overtake_on_connections_that_are_already_warm(world):
    origin, weir = world.pair(concurrency=1, queue_length=100)
    warm = [world.connect(weir) for _ in range(30)]
    for client in warm:
        assert client.ask("GET", "/warm").status == 200
    gate, _ = hold_all_slots(world, origin, weir, 1)
    for i, client in enumerate(warm):
        client.get(f"/{i}")
        weir.wait_depth(i + 1)
    gate.open()
    for client in warm:
        assert client.response().status == 200
    order = [t for t in origin.targets() if t not in ("/warm", "/held")]
    assert order == [f"/{i}" for i in range(30)]


def test_the_last_to_arrive_in_a_turn_does_not_overtake(world):
    """The app accepts connections to a Unix socket in the order in which weir made them."""
    played = RudeApp(path=world.path("app.sock"), timeout=5)
    weir = world.weir(played, concurrency=5)
    clients = [world.connect(weir) for _ in range(5)]
    until(lambda: weir.glance().total("weir_connections", side="client") == 5, "the clients")
    with weir.frozen():
        for i, client in enumerate(clients):
            client.get(f"/{i}")
    for i, client in enumerate(clients):
        inside, head = played.take()
        assert head.startswith(b"GET /%d " % i)
        inside.send(app.wire.response(body=b"%d" % i))
        assert client.response().body == b"%d" % i
    played.close()


def test_pipelined_requests_are_answered_in_order_with_one_in_the_app_at_a_time(world):
    origin, weir = world.pair(concurrency=10)
    for i in range(20):
        origin.on(f"/{i}", app.delay(0.01 if i % 3 else 0), app.answer(b"%d" % i))
    client = world.connect(weir)
    client.send(b"".join(app.wire.request("GET", f"/{i}") for i in range(20)))
    assert [client.response().body for _ in range(20)] == [b"%d" % i for i in range(20)]
    assert origin.targets() == [f"/{i}" for i in range(20)]
    assert origin.most_inside == 1
    world.expect_requests(weir, 20)


def wait_answered(weir, status, n):
    """A request is counted when its answer is out."""
    until(
        lambda: weir.glance().total("weir_requests_total", code=str(status), source="weir") == n,
        f"{n} answers of {status} to be counted",
    )


def test_a_full_queue_refuses_at_once_and_the_connection_stays_usable(world):
    origin, weir = world.pair(concurrency=2, queue_length=3)
    gate, _ = hold_all_slots(world, origin, weir, 2)
    waiting = [world.connect(weir).get("/later") for _ in range(3)]
    weir.wait_depth(3)
    refused = [world.connect(weir) for _ in range(5)]
    for client in refused:
        began = time.monotonic()
        check_refusal(client.ask("GET", "/refused"), "queue_full")
        assert time.monotonic() - began < SOON
    assert weir.metrics().total("weir_requests_rejected_total", reason="queue_full") == 5
    wait_answered(weir, 503, 5)
    gate.open()
    for client in waiting:
        assert client.response().status == 200
    for client in refused:
        assert client.ask("GET", "/now").status == 200
    assert origin.seen("/refused") == []
    assert origin.most_inside == 2
    world.expect_requests(weir, 2 + 3 + 5 + 5)


def test_a_request_that_waits_longer_than_the_queue_timeout_is_refused_then(world):
    origin, weir = world.pair(concurrency=1, queue_timeout="400ms")
    gate, held = hold_all_slots(world, origin, weir, 1)
    began = time.monotonic()
    clients = [world.connect(weir).get("/waits") for _ in range(7)]
    for client in clients:
        check_refusal(client.response(), "queue_timeout")
        assert 0.4 <= time.monotonic() - began < SOON
    seconds = time.monotonic() - began
    m = weir.metrics()
    assert m.total("weir_requests_rejected_total", reason="queue_timeout") == 7
    assert m.total("weir_queue_waits_total", outcome="timeout") == 7
    assert 7 * 0.4 <= m.total("weir_queue_waited_seconds_total", outcome="timeout") < 7 * seconds
    assert m.one("weir_queue_timeout_seconds") == pytest.approx(0.4)
    gate.open()
    assert held[0].response().status == 200
    assert clients[0].ask("GET", "/after").status == 200
    assert origin.seen("/waits") == []
    world.expect_requests(weir, 9)


def test_overload_status_can_be_429(world):
    origin, weir = world.pair(
        concurrency=1, queue_length=1, queue_timeout="60s", overload_status=429
    )
    hold_all_slots(world, origin, weir, 1)
    world.connect(weir).get("/late")
    weir.wait_depth(1)
    check_refusal(world.connect(weir).ask("GET", "/"), "queue_full", 429)
    wait_answered(weir, 429, 1)


def test_a_refusal_is_json_where_the_client_accepts_that(world):
    origin, weir = world.pair(concurrency=1, queue_length=0)
    hold_all_slots(world, origin, weir, 1)
    client = world.connect(weir)
    answer = client.ask("GET", "/", "Accept: application/json")
    check_refusal(answer, "queue_full")
    assert answer.get("Content-Type").startswith("application/json")
    assert json.loads(answer.body)["reason"] == "queue_full"
    answer = client.ask("GET", "/", "Accept: text/html, */*")
    check_refusal(answer, "queue_full")
    assert answer.get("Content-Type").startswith("text/plain")
    answer = client.ask("HEAD", "/")
    assert answer.status == 503 and answer.get("Weir-Reason") == "queue_full"
    assert answer.body == b""


def test_queue_length_0_refuses_at_once_what_cannot_run(world):
    origin, weir = world.pair(concurrency=2, queue_length=0)
    gate, held = hold_all_slots(world, origin, weir, 2)
    client = world.connect(weir)
    for _ in range(4):
        check_refusal(client.ask("GET", "/"), "queue_full")
    gate.open()
    for one in held:
        assert one.response().status == 200
    assert client.ask("GET", "/").status == 200
    m = weir.metrics()
    assert m.total("weir_queue_waits_total", outcome="timeout") == 0
    assert m.total("weir_requests_rejected_total", reason="queue_full") == 4
    assert m.one("weir_queue_limit") == 0


def test_the_queue_is_bounded_in_bytes_too(world):
    origin, weir = world.pair(concurrency=1, queue_length=1000, queue_max_bytes="64KiB")
    gate, _ = hold_all_slots(world, origin, weir, 1)
    big = "X-Big: " + "x" * 6000
    clients = [world.connect(weir).get("/", big) for _ in range(40)]
    until(
        lambda: weir.glance().total("weir_requests_rejected_total", reason="bytes")
        + weir.metrics().total("weir_queue_depth")
        == 40,
        "all to be queued or refused",
    )
    refused = weir.metrics().total("weir_requests_rejected_total", reason="bytes")
    assert 40 - 64 * 1024 / 6000 <= refused < 40
    gate.open()
    statuses = []
    for client in clients:
        answer = client.response()
        statuses.append(answer.status)
        if answer.status != 200:
            check_refusal(answer, "bytes")
    assert statuses.count(503) == refused


def test_a_small_body_waits_with_its_request_and_arrives_whole(world):
    origin, weir = world.pair(concurrency=1)
    origin.on("/up", app.read_body(), app.answer())
    gate, _ = hold_all_slots(world, origin, weir, 1)
    body = app.wire.noise(20000)
    clients = [world.connect(weir).request("POST", "/up", body=body) for _ in range(5)]
    weir.wait_depth(5)
    gate.open()
    for client in clients:
        assert client.response().status == 200
    assert [bytes(call.body) == body for call in origin.seen("/up")] == [True] * 5


def test_the_gauges_show_who_runs_and_who_waits(world):
    origin, weir = world.pair(concurrency=3, queue_length=50)
    gate, held = hold_all_slots(world, origin, weir, 3)
    waiting = [world.connect(weir).get("/w") for _ in range(9)]
    weir.wait_depth(9)
    m = weir.metrics()
    assert m.one("weir_requests_in_flight") == 3
    assert m.one("weir_concurrency_limit") == 3
    assert m.one("weir_queue_limit") == 50
    assert m.total("weir_queue_oldest_wait_seconds") > 0
    until(lambda: weir.glance().one("weir_saturated_seconds_total") > 0.01, "saturated time")
    gate.open()
    for client in held + waiting:
        assert client.response().status == 200
    m = weir.wait_quiet()
    assert m.total("weir_queue_oldest_wait_seconds") == 0
    assert m.total("weir_queue_wait_seconds_bucket", le="0") == 3
    world.expect_requests(weir, 12)
