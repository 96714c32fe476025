"""An overload of a small weir, in a fraction of a second."""

from . import origin as app
from .waiting import until


def overloaded(world, origin, weir, length):
    """A weir with concurrency 1 whose queue of this length (2 or more) has been full for a turnover,
    so that a newcomer takes the place of the oldest. The others wait, and ask for /1, /2 and so on,
    in order. Returns the gate that holds the app."""
    gate = origin.gate()
    origin.on("/first", app.delay(0.04), app.answer())
    origin.on("/held", app.wait(gate), app.answer())
    assert world.connect(weir).ask("GET", "/first").status == 200
    turns = [_turn(world, origin, weir, i) for i in range(length + 1)]
    assert world.connect(weir).ask("GET", "/refused").status in (429, 503)
    clients = []
    for turn, target in zip(turns, ["/held"] + [f"/{i}" for i in range(length)]):
        turn.open()
        weir.wait_depth(length - 1)
        clients.append(world.connect(weir).get(target))
        weir.wait_depth(length)
    newest = f"/{length}"
    until(lambda: _is_taken(world, weir, newest), "the overload", every=0.02)
    answer = clients[1].response()
    assert (answer.status, answer.get("Weir-Reason")) == (503, "evicted")
    assert 1 <= int(answer.get("Retry-After")) <= 30
    return gate


def _turn(world, origin, weir, i):
    """One of those that have to be served before the queue has been full for a turnover; its gate."""
    gate = origin.gate()
    origin.on(f"/turn{i}", app.wait(gate), app.answer())
    world.connect(weir).get(f"/turn{i}")
    origin.wait_inside(1)
    weir.wait_depth(i)
    return gate


def _is_taken(world, weir, target):
    """Either a newcomer is refused, or it takes the place of another."""
    before = _rejected(weir)
    world.connect(weir).get(target)
    until(lambda: _rejected(weir) > before, "a refusal")
    return _rejected(weir, reason="evicted") == 1


def _rejected(weir, **reason):
    return weir.metrics().total("weir_requests_rejected_total", **reason)
