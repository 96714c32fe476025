"""Two worker threads: one limit, one queue, no slot lost between them."""

import pytest

from support import origin as app
from support.client import burst
from support.world import scaled

THREADS = 2


@pytest.mark.parametrize("limit", [1, 3, 16])
def test_all_threads_share_one_limit_and_use_it_whole(world, limit):
    n = scaled(400, least=60)
    origin, weir = world.pair(
        threads=THREADS, concurrency=limit, queue_length=n, queue_timeout="25s"
    )
    origin.default = (app.delay(0.005), app.answer())
    outcomes, _ = burst(weir.address, "/", n)
    assert [o.status for o in outcomes] == [200] * n
    assert origin.most_inside == limit
    world.expect_requests(weir, n)


def test_a_slot_freed_on_one_thread_wakes_the_waiter_on_another(world):
    origin, weir = world.pair(threads=THREADS, concurrency=1)
    clients = [world.connect(weir) for _ in range(6)]  # dealt to both threads
    for turn in range(30):
        for client in clients:
            client.get(f"/{turn}")
        for client in clients:
            assert client.response().status == 200
    assert origin.most_inside == 1
    assert len(origin.calls) == 180
    world.expect_requests(weir, 180)


def test_waiters_of_all_threads_are_served_in_order(world):
    origin, weir = world.pair(threads=THREADS, concurrency=1, queue_length=100)
    gate = origin.gate()
    origin.on("/held", app.wait(gate), app.answer())
    world.connect(weir).get("/held")
    origin.wait_inside(1)
    clients = []
    for i in range(40):
        clients.append(world.connect(weir).get(f"/{i}"))
        weir.wait_depth(i + 1)
    gate.open()
    assert [client.response().status for client in clients] == [200] * 40
    assert origin.targets() == ["/held"] + [f"/{i}" for i in range(40)]


def test_leavers_on_all_threads_give_back_what_they_hold(world):
    origin, weir = world.pair(threads=THREADS, concurrency=4, queue_length=200)
    origin.default = (app.delay(0.03), app.answer())
    rounds = scaled(20, least=4)
    for _ in range(rounds):
        clients = [world.connect(weir).get("/") for _ in range(20)]
        for i, client in enumerate(clients):
            if i % 2:
                client.rst() if i % 4 == 1 else client.fin()
        for client in clients[::2]:
            assert client.response().status == 200
    assert origin.most_inside <= 4
    world.expect_requests(weir, rounds * 20)


def test_eight_threads_at_limit_one_do_not_starve_each_other(world):
    origin, weir = world.pair(threads=8, concurrency=1, queue_length=100, startup_probe="none")
    clients = [world.connect(weir, timeout=10) for _ in range(16)]
    for _ in range(5):
        for client in clients:
            client.get("/")
        for client in clients:
            assert client.response().status == 200
    assert origin.most_inside == 1
    assert origin.most_open == 1
