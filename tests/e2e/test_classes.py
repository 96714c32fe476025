"""classes, fair and streams.max: who is served first, and who may use only some of the slots."""

from support import origin as app
from support.waiting import stays

EVENTS = ("Accept: text/event-stream",)
ASK = ("Connection: Upgrade", "Upgrade: raw")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"


def paired(world, **options):
    """(origin, weir, gate): requests to /held are answered when the gate opens."""
    origin, weir = world.pair(queue_timeout="30s", queue_length=80, **options)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer(b"held"))
    return origin, weir, gate


def asks(world, weir, target, *fields):
    client = world.connect(weir)
    client.get(target, *fields)
    return client


def test_eight_event_streams_leave_a_slot_for_requests(world):
    origin, weir, gate = paired(world, concurrency=8)
    streams = [asks(world, weir, "/held", *EVENTS) for _ in range(9)]
    origin.wait_inside(7)
    weir.wait_depth(2)
    for _ in range(3):
        assert world.connect(weir).ask("GET", "/").status == 200
    stays(lambda: len(origin.inside) == 7, "the eighth stream to wait")
    gate.open()
    for stream in streams:
        assert stream.response().body == b"held"
    weir.identities(12)
    world.expect_requests(weir, 12)


def test_websockets_and_event_streams_share_their_slots(world):
    origin, weir, gate = paired(world, concurrency=4)
    origin.on("/t", app.send(SWITCH), app.wait(gate))
    tunnels = [asks(world, weir, "/t", *ASK) for _ in range(2)]
    for tunnel in tunnels:
        assert tunnel.head().status == 101
    streams = [asks(world, weir, "/held", *EVENTS) for _ in range(2)]
    weir.wait_depth(1)
    assert world.connect(weir).ask("GET", "/").status == 200
    tunnels[0].rst()
    weir.wait_depth(0)
    weir.wait_in_flight(3)
    gate.open()
    for stream in streams:
        assert stream.response().body == b"held"


def test_a_class_waits_for_its_maximum_while_others_pass(world):
    origin, weir, gate = paired(world, concurrency=4, classes="name=held,path=/held,max=2")
    held = [asks(world, weir, "/held") for _ in range(3)]
    origin.wait_inside(2)
    weir.wait_depth(1)
    for _ in range(3):
        assert world.connect(weir).ask("GET", "/").status == 200
    gate.open()
    for client in held:
        assert client.response().body == b"held"


def test_a_request_with_a_head_start_passes_those_that_wait(world):
    rule = "name=gold,header=X-Plan,value=gold,head_start=1h"
    origin, weir, gate = paired(world, concurrency=1, classes=rule)
    first = asks(world, weir, "/held")
    origin.wait_inside(1)
    low = []
    for i in range(3):
        low.append(asks(world, weir, f"/low{i}"))
        weir.wait_depth(i + 1)
    low.append(asks(world, weir, "/gold", "X-Plan: gold"))
    weir.wait_depth(4)
    depths = weir.metrics()
    assert depths.one("weir_queue_depth", **{"class": "default"}) == 3
    assert depths.one("weir_queue_depth", **{"class": "gold"}) == 1
    gate.open()
    for client in [first, *low]:
        assert client.response().status == 200
    assert origin.targets() == ["/held", "/gold", "/low0", "/low1", "/low2"]


def test_a_client_that_floods_delays_another_by_one_request(world):
    origin, weir, gate = paired(world, concurrency=1, fair="X-User")
    first = asks(world, weir, "/held", "X-User: flood")
    origin.wait_inside(1)
    flood = [asks(world, weir, f"/flood{i}", "X-User: flood") for i in range(20)]
    weir.wait_depth(20)
    other = asks(world, weir, "/other", "X-User: other")
    weir.wait_depth(21)
    gate.open()
    for client in [first, other, *flood]:
        assert client.response().status == 200
    targets = origin.targets()
    # One of 64 runs gives both clients the same group: then it is first come, first served.
    assert targets.index("/other") <= 2 or targets[-1] == "/other"
