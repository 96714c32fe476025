"""Who asks when, for how much work, and how long each client waits: chosen beforehand, by a seed."""

from __future__ import annotations

import dataclasses
import heapq
import pathlib
import random
from collections.abc import Callable, Sequence

FOREVER = 0.0  # the patience of a client that waits to the end


@dataclasses.dataclass(frozen=True)
class Ask:
    """One request; all in seconds, `at` from the begin of the schedule."""

    at: float
    hold: float
    patience: float = FOREVER
    closes: bool = True  # at the end of its patience; otherwise nobody sees that it no longer cares
    declares: bool = False  # its patience, as a deadline
    burst: bool = False

    def wanted_at(self, moment: float) -> bool:
        return self.patience == FOREVER or moment <= self.at + self.patience


Draw = Callable[[random.Random], float]


def always(value: float) -> Draw:
    return lambda _: value


def log_uniform(low: float, high: float) -> Draw:
    return lambda dice: low * (high / low) ** dice.random()


def exponential(mean: float) -> Draw:
    return lambda dice: dice.expovariate(1 / mean)


def some_cancel(share: float, mean: float) -> Draw:
    """`share` of the clients leave at random; the others wait for a minute."""
    return lambda dice: dice.expovariate(1 / mean) if dice.random() < share else 60.0


@dataclasses.dataclass(frozen=True)
class Phase:
    """Arrivals as a Poisson process of this rate, up to this moment."""

    until: float
    rate: float


def arrivals(
    phases: Sequence[Phase],
    hold: Draw,
    patience: Draw,
    seed: int,
    *,
    closes: bool = True,
    declares: bool = False,
) -> list[Ask]:
    dice, at, asks = random.Random(seed), 0.0, []
    for phase in phases:
        while True:
            gap = dice.expovariate(phase.rate)
            if at + gap > phase.until:
                at = phase.until  # the process has no memory
                break
            at += gap
            asks.append(Ask(at, hold(dice), patience(dice), closes, declares))
    return asks


def with_burst(asks: list[Ask], at: float, count: int, hold: float) -> list[Ask]:
    """`count` patient requests at one moment among the others."""
    burst = [Ask(at, hold, burst=True)] * count
    return sorted([*asks, *burst], key=lambda ask: ask.at)


def write(asks: Sequence[Ask], path: pathlib.Path) -> None:
    with path.open("w") as file:
        for ask in asks:
            leaves = ask.patience != FOREVER
            flags = ("c" if leaves and ask.closes else "") + ("d" if leaves and ask.declares else "")
            times = (round(seconds * 1e6) for seconds in (ask.at, ask.hold, ask.patience))
            print(*times, flags or "-", file=file)


def oracle(asks: Sequence[Ask], slots: int) -> list[float | None]:
    """When each would be done if weir knew all holds and patiences, and served in order of arrival those
    alone that can be done in time."""
    free = [0.0] * slots
    done: list[float | None] = []
    for ask in asks:
        end = max(ask.at, free[0]) + ask.hold
        if ask.wanted_at(end):
            heapq.heapreplace(free, end)
            done.append(end)
        else:
            done.append(None)
    return done
