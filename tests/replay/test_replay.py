"""The limiter in C and the late lane in Python get the same clients, and decide the same, in order.

`make test` has the short form; `make replay` more and longer scenarios, and what share of the
clients is served in time in each of the situations that docs/overload.md speaks of.
"""

import os
import pathlib
import random
import subprocess

import pytest
from reference import World
from scenarios import SECOND, Outcome, Scenario, holds, patience

ROOT = pathlib.Path(__file__).resolve().parents[2]
REPLAY = str((ROOT / os.environ.get("REPLAY", "build/tests/replay/replay")).resolve())
SEED = int(os.environ.get("WEIR_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
LONG = bool(os.environ.get("WEIR_REPLAY"))
KINDS = ("fixed", "exponential", "lognormal")


def replay(scenario):
    """What the limiter in C decides."""
    run = subprocess.run([REPLAY], input=scenario.text(), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def compare(scenario):
    text = scenario.text()
    c, python = replay(scenario), World(text).run()
    for i, (ours, theirs) in enumerate(zip(c, python)):
        if ours != theirs:
            (ROOT / "build" / "replay-failed.txt").write_text(text)
            before = "\n".join(c[max(0, i - 5) : i])
            pytest.fail(f"WEIR_SEED={SEED}, build/replay-failed.txt, line {i}:\n{before}\nC: {ours}\nPython: {theirs}")
    assert len(c) == len(python)
    return c


def seconds():
    return 60 if LONG else 4


@pytest.mark.seconds(300)
@pytest.mark.parametrize("hold", KINDS)
@pytest.mark.parametrize("load", (0.9, 1, 1.2, 2, 5, 10))
def test_of_each_load(load, hold):
    for wait, closers, declaring in ((0.5, 1, 0), (0.5, 0, 0), (0.5, 0.5, 0.1), ("mixed", 1, 0), ("mixed", 0, 1)):
        length = seconds() / max(1, load)
        s = Scenario(seed=SEED).load(load * 100, length, holds(hold, 0.1), patience(wait), closers, declaring)
        compare(s)


@pytest.mark.parametrize("order", ("adaptive", "fifo"))
def test_of_a_burst(order):
    s = Scenario(slots=40, length=400, order=order, seed=SEED)
    s.load(36, seconds(), holds("fixed", 1), patience("cancel5")).burst(2, 200, 1)
    out = Outcome(s, compare(s))
    assert out.overtaken() == 0 and not any(word in ("full", "evicted") for word, _ in out.fate.values())


def test_that_a_burst_of_slower_requests_than_before_is_none_to_the_order():
    said = []
    for order in ("adaptive", "fifo"):
        s = Scenario(slots=40, length=100, timeout=30, order=order, seed=SEED)
        s.load(2000, 1, holds("fixed", 0.001), patience(None)).burst(2, 200, 1)
        for i in range(100):
            s.client(2.01 + i / 36, 1, None)
        said.append([line for line in compare(s) if "overload" not in line])
        assert sum(" full " in line for line in said[-1]) > 60
    assert said[0][:-1] == said[1][:-1]


@pytest.mark.parametrize("closers", (0, 1))
def test_of_steps(closers):
    def rate(at):
        return 200 if seconds() / 4 <= at < seconds() / 2 else 90

    compare(Scenario(seed=SEED).load(rate, seconds(), holds("fixed", 0.1), patience(0.5), closers))


def test_that_clients_who_never_leave_see_no_difference_to_fifo():
    said = []
    for order in ("adaptive", "fifo"):
        s = Scenario(length=100000, timeout=60, order=order, seed=SEED)
        s.load(120, seconds(), holds("exponential", 0.1), patience(None))
        said.append([line for line in compare(s) if "allowance" not in line and "calm" not in line][:-2])
    assert said[0] == said[1]


# Everything at random


def random_scenario(dice):
    s = Scenario(
        slots=dice.choice((1, 2, 5, 10, 40)),
        length=dice.choice((0, 1, 5, 50, 200, 1000)),
        timeout=dice.choice((0.2, 1, 5, 10)),
        order=dice.choice(("adaptive", "adaptive", "adaptive", "fifo")),
        seed=dice.random(),
    )
    mean, length = dice.choice((0.001, 0.02, 0.1, 0.5)), dice.choice((10, 100, 400)) * (5 if LONG else 1)
    loads = [dice.choice((0.3, 0.9, 1, 1.2, 2, 4, 10)) for _ in range(3)]
    capacity = s.slots / mean
    length /= capacity / 5  # some thousand clients
    s.load(
        lambda at: capacity * loads[min(2, int(3 * at / length))],
        length,
        holds(dice.choice(KINDS), mean),
        patience(dice.choice((5 * mean, 20 * mean, 0.5, "mixed", "exponential", "cancel20", None))),
        dice.choice((0, 0.5, 1)),
        dice.choice((0, 0, 0.1, 1)),
    )
    for _ in range(dice.randrange(3)):
        s.burst(dice.uniform(0, length), dice.randrange(1, 3 * s.length + 10), mean, dice.choice((5 * mean, 60)))
    for _ in range(dice.randrange(3)):
        at = dice.uniform(0, length)
        s.other(at, "p").other(dice.uniform(at, length), "r")
    for _ in range(dice.randrange(3)):
        s.other(dice.uniform(0, length), "o", dice.randrange(2))
    for _ in range(dice.randrange(3)):
        s.other(dice.uniform(0, length), "s", dice.randrange(1, 2 * s.slots + 1))
    return s.other(length, "r")


@pytest.mark.seconds(1200)
@pytest.mark.parametrize("part", range(4))
def test_of_anything(part):
    for i in range(60 if LONG else 6):
        compare(random_scenario(random.Random(f"{SEED} {part} {i}")))


# The share served in time


CASES = {  # patience, closers, declaring, hold, and the least at each of LOADS
    "A close after 0.5 s": (0.5, 1, 0, "fixed", (99, 95, 97, 97, 97, 97)),
    "B silent after 0.5 s": (0.5, 0, 0, "fixed", (99, 60, 88, 96, 96, 96)),
    "C close after 0.2 to 30 s": ("mixed", 1, 0, "fixed", (98, 96, 98, 98, 98, 98)),
    "D silent after 0.2 to 30 s": ("mixed", 0, 0, "fixed", (98, 85, 95, 97, 97, 97)),
    "F as A, exponential holds": (0.5, 1, 0, "exponential", (96, 91, 95, 97, 97, 97)),
    "all declare 0.5 s": (0.5, 0, 1, "fixed", (99, 97, 97, 97, 97, 97)),
    "all declare 0.2 to 30 s": ("mixed", 0, 1, "fixed", (97, 97, 97, 97, 97, 97)),
}
LOADS = (0.9, 1, 1.2, 2, 5, 10)


def goodput(case, load):
    wait, closers, declaring, hold, _ = CASES[case]
    total = 0
    for seed in (1, 2, 3):
        s = Scenario(seed=seed).load(load * 100, 60, holds(hold, 0.1), patience(wait), closers, declaring)
        total += Outcome(s, replay(s)).goodput(100, 0, 60)
    return total / 3


@pytest.mark.skipif(not LONG, reason="make replay")
@pytest.mark.seconds(300)
@pytest.mark.parametrize("case", CASES)
def test_of_the_share_that_is_served_in_time(case):
    shares = [goodput(case, load) for load in LOADS]
    print(f"{case:30}" + "".join(f"{share:7.1f}" for share in shares))
    assert all(share >= least for share, least in zip(shares, CASES[case][4]))
