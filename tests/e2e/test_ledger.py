"""The ledger: the phases of each request add to its total, and clients, access log and metrics agree.

`make ledger-check` has the long form: 100,000 requests.
"""

import os

import pytest

from support import ledger
from support.seed import SEED
from support.world import scaled

LONG = bool(os.environ.get("WEIR_LEDGER"))
TOTAL = scaled(100_000 if LONG else 2400, least=600)
ROUNDS = [  # limit, threads, whether the app has no faults; the first ones take longest
    (2, 1, False), (8, 2, False), (8, 2, True), (40, 1, False), (40, 2, True),
] if LONG else [(6, 2, False), (6, 2, True)]

pytestmark = pytest.mark.race


@pytest.mark.seconds(240 if LONG else 60)
@pytest.mark.parametrize("limit, threads, calm", ROUNDS)
def test_clients_log_and_page_agree(world, limit, threads, calm):
    path = world.path("access.log")
    origin, weir = world.pair(
        concurrency=limit, threads=threads, log_access_file=path, **ledger.OPTIONS
    )
    n = TOTAL // len(ROUNDS)
    seed, workers = SEED + 10 * limit + threads, min(20 + 2 * limit, 80)
    plans = ledger.load(weir, origin, n, seed, workers, calm)
    lines = ledger.read_log(path, weir.identities())
    found = ledger.check(plans, lines, weir.metrics())
    print(found)
    assert found["ends"]["answered"] > n / 2
