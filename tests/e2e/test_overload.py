"""An overload: clients that give up, those that do not, and the order of the queue, which may be
changed meanwhile."""

import json
import re
import signal

import pytest

from support import openloop
from support import origin as app
from support.client import Client
from support.overload import overloaded
from support.waiting import until

SLOTS, HOLD, PATIENCE = 2, 0.05, 0.25
LOAD, SECONDS, WARM = 2, 3.5, 1.5


def of_closers(world, **options):
    """Goodput at twice the capacity with clients that close: answers in time, of those that the app
    could have given, once weir has had time to learn; and weir."""
    origin, weir = world.pair(concurrency=SLOTS, **options)
    origin.on("/", app.delay(HOLD), app.answer())
    moments = openloop.poisson(LOAD * SLOTS / HOLD, SECONDS, seed=3)
    outcomes = openloop.run(weir.port, [(at, "/") for at in moments], PATIENCE)
    good = sum(o.status == 200 for at, o in zip(moments, outcomes) if at > WARM)
    weir.wait_quiet()
    return good / (SLOTS / HOLD * (SECONDS - WARM)), weir


def test_most_slots_serve_clients_that_are_still_there(world):
    goodput, weir = of_closers(world)
    until(lambda: "overload: over after" in weir.log(), "the end of the overload in the log")
    assert re.search(r"overload: begins \((hopeless|crowded|waste); \d+ requests wait, ", weir.log())
    m, overload = weir.metrics(), weir.status()["overload"]
    assert goodput > 0.75, f"{goodput:.2f} of the capacity"
    assert m.one("weir_queue_overload") == 0 and m.total("weir_queue_overloads_total") >= 1
    assert m.one("weir_queue_overload_seconds_total") > 1
    assert 0.15 < m.one("weir_client_patience_seconds", quantile="0.5") < 0.4
    assert 0.05 < m.one("weir_queue_allowance_seconds") < PATIENCE
    assert overload["patience_seconds"]["0.5"] == m.one("weir_client_patience_seconds", quantile="0.5")
    assert overload["wasted"] == m.one("weir_requests_wasted_total")


def test_with_fifo_few_do(world):
    goodput, weir = of_closers(world, queue_order="fifo")
    m = weir.metrics()
    assert goodput < 0.5, f"{goodput:.2f} of the capacity"
    assert m.total("weir_queue_overloads_total") == 0 and m.one("weir_queue_overtaken_total") == 0
    assert m.one("weir_requests_wasted_total") > 0
    assert "overload: begins" not in weir.log()


def test_patient_clients_are_served_in_the_order_of_their_arrival(world):
    """A burst of five times what the app can take at once is no overload."""
    origin, weir = world.pair(concurrency=8)
    origin.on("/", app.delay(0.1), app.answer())
    outcomes = openloop.run(weir.port, [(0, "/")] * 40)
    assert [o.status for o in outcomes] == [200] * 40
    m = weir.metrics()
    assert m.total("weir_requests_rejected_total") == 0
    assert m.one("weir_queue_overtaken_total") == 0 and m.total("weir_queue_overloads_total") == 0


# ---- the order changes in an overload ----------------------------------------------------------


def by_set(weir, _):
    said = weir.command("set", "queue.order=fifo")
    assert (said.returncode, said.stdout) == (0, "changed\n"), said


def by_patch(weir, _):
    body = b'{"queue": {"order": "fifo"}}'
    client = Client(weir.admin, timeout=5)
    client.request("PATCH", "/config", f"Content-Length: {len(body)}", host="localhost").send(body)
    assert client.response("PATCH").status == 200
    client.fin()


def by_signal(weir, path):
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"concurrency": 1, "queue": {"length": 5, "order": "fifo"}}')
    weir.process.send_signal(signal.SIGHUP)


@pytest.mark.parametrize("change", [by_set, by_patch, by_signal])
def test_from_the_next_grant_on_the_order_is_that_of_arrival(world, change):
    path = world.path("weir.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"concurrency": 1, "queue": {"length": 5}}, file)
    origin = world.origin()
    weir = world.weir(origin, config=path, concurrency=None, admin_writable="true")
    gate = overloaded(world, origin, weir, 5)
    assert weir.metrics().one("weir_queue_overload") == 1
    change(weir, path)
    until(lambda: weir.status()["queue"]["order"] == "fifo", "the change")
    assert weir.metrics().one("weir_queue_overload") == 0
    gate.open()
    weir.wait_quiet()
    served = [target for target in origin.targets() if target[1:].isdigit()]
    assert served == sorted(served) and len(served) == 5
