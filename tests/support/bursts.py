"""The founding article's bursts: how long an app of 40 threads, or of one event loop, takes."""

from .client import burst
from .world import SCALE

# Sanitizer runs are slow by nature: there the times only show that nothing waits for nothing.
TOLERANCE = 0.05 if SCALE >= 1 else 0.3

# (path, how many at once, weir's limit, seconds from, seconds to)
BURSTS = [
    ("/produtos", 1, 80, 1.0, 1.0),
    ("/produtos", 40, 80, 1.0, 1.0),
    ("/produtos", 80, 80, 2.0, 2.0),
    ("/produtos", 200, 80, 5.0, 5.1),
    ("/usuarios", 200, 80, 3.0, 3.1),
    ("/usuarios", 200, 1000, 1.0, 1.14),
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


def check_time(seconds, least, most):
    low, high = least * (1 - TOLERANCE), most * (1 + TOLERANCE)
    assert low <= seconds <= high, f"{seconds:.3f} s, wanted {low:.2f} to {high:.2f}"
