"""The founding article's bursts: how long an app of 40 threads, or of one event loop, takes."""

import pytest

from .client import burst
from .world import SCALE

# Sanitizer runs are slow by nature: there the times only show that nothing waits for nothing.
TOLERANCE = 0.05 if SCALE >= 1 else 0.3

# (path, how many at once, weir's limit, seconds from, seconds to, seconds at most without weir)
BURSTS = [
    ("/produtos", 1, 80, 1.0, 1.0, 1.0),
    ("/produtos", 40, 80, 1.0, 1.0, 1.0),
    ("/produtos", 80, 80, 2.0, 2.0, 2.0),
    ("/produtos", 200, 80, 5.0, 5.1, 5.1),
    ("/usuarios", 200, 80, 3.0, 3.05, 1.1),
    ("/usuarios", 200, 1000, 1.0, 1.14, 1.14),
]

BODIES = {
    "/produtos": {"produtos": ["Produto 1", "Produto 2"]},
    "/usuarios": {"usuarios": ["Usuário 1", "Usuário 2"]},
}


def run_burst(weir, path, n):
    """(outcomes, seconds), with every status checked."""
    outcomes, seconds = burst(weir.address, path, n)
    assert [o.status for o in outcomes] == [200] * n
    return outcomes, seconds


def timed_burst(weir, port, path, n, least, most, alone, runs=3):
    """The outcomes of each run. None may be quicker than the app, and one must be in time, since a
    busy machine can only add to them. Where it adds as much to the app alone, nothing can be told."""
    low, high = least * (1 - TOLERANCE), most * (1 + TOLERANCE)
    outcomes, times, times_alone = [], [], []
    while not times or times[-1] > high:
        if len(times) == runs:
            told = f"{times} s, wanted {low:.2f} to {high:.2f}; without weir {times_alone} s"
            assert max(times_alone) > alone * (1 + TOLERANCE), told
            pytest.skip(f"the machine is too busy: {told}")
        if times:
            times_alone.append(round(burst(("127.0.0.1", port), path, n)[1], 3))
        outcome, seconds = run_burst(weir, path, n)
        assert seconds >= low, f"{seconds:.3f} s, wanted at least {low:.2f}"
        outcomes.append(outcome)
        times.append(round(seconds, 3))
    return outcomes
