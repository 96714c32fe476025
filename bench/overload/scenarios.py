"""What is played: loads, clients and apps."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from contenders import EVERYBODY, WEIRS
from schedule import (
    FOREVER,
    Ask,
    Draw,
    Phase,
    always,
    arrivals,
    exponential,
    log_uniform,
    some_cancel,
    with_burst,
)

BURST_AT, BURST = 5.0, 200
STEPS = ((10.0, 0.9), (40.0, 2.0), (60.0, 0.9))  # up to when, load
SWITCH_LOAD, TO_FIFO, TO_ADAPTIVE = 2.0, 12.0, 20.0


@dataclasses.dataclass(frozen=True)
class Scenario:
    key: str
    title: str
    loads: tuple[float, ...] = ()
    hold: Draw = always(0.1)
    mean_hold: float = 0.1
    patience: Draw = always(0.5)
    closes: bool = True
    declares: bool = False
    slots: int = 10
    queue_length: int = 100
    queue_timeout: str = "10s"
    warm: float = 2.0  # seconds that are not counted
    seconds: float = 32.0
    contenders: tuple[str, ...] = EVERYBODY
    make: Callable[[Scenario, float, int], list[Ask]] | None = None
    changes: tuple[tuple[float, str, str], ...] = ()  # of the adaptive weir: when, option, value

    @property
    def capacity(self) -> float:
        return self.slots / self.mean_hold

    def asks(self, load: float, seed: int) -> list[Ask]:
        if self.make is not None:
            return self.make(self, load, seed)
        return self.plain([Phase(self.seconds, load * self.capacity)], seed)

    def plain(self, phases: list[Phase], seed: int) -> list[Ask]:
        return arrivals(
            phases, self.hold, self.patience, seed, closes=self.closes, declares=self.declares
        )


def burst(scenario: Scenario, load: float, seed: int) -> list[Ask]:
    others = scenario.plain([Phase(scenario.seconds - 15, load * scenario.capacity)], seed)
    return with_burst(others, BURST_AT, BURST, scenario.mean_hold)


def steps(scenario: Scenario, _: float, seed: int) -> list[Ask]:
    return scenario.plain([Phase(t, load * scenario.capacity) for t, load in STEPS], seed)


def beginning(scenario: Scenario, load: float, seed: int) -> list[Ask]:
    """A load that ends before the run does, so that nobody is left without an outcome."""
    return scenario.plain([Phase(scenario.seconds * 0.75, load * scenario.capacity)], seed)


BURSTS = functools.partial(
    Scenario,
    loads=(0.9,),
    hold=always(1.0),
    mean_hold=1.0,
    slots=40,
    queue_length=400,
    warm=0.0,
    seconds=60.0,
    contenders=("adaptive", "fifo", "tuned"),
    make=burst,
)

SCENARIOS = {
    s.key: s
    for s in (
        Scenario("closers", "clients close after 0.5 s", (0.5, 0.9, 1, 1.2, 1.5, 2, 3, 5, 10)),
        Scenario(
            "uneven",
            "clients close after 0.5 s, holds exponential",
            (0.9, 1, 1.2, 2, 5, 10),
            hold=exponential(0.1),
        ),
        Scenario(
            "mixed",
            "clients close after 0.2 to 30 s",
            (1, 2, 5, 10),
            patience=log_uniform(0.2, 30),
        ),
        Scenario(
            "silent",
            "clients give up after 0.5 s and do not close",
            (1, 1.2, 2, 5, 10),
            closes=False,
            warm=5.0,
            seconds=35.0,
        ),
        Scenario(
            "declared",
            "clients declare a deadline of 0.5 s and do not close",
            (1, 2, 5, 10),
            closes=False,
            declares=True,
            contenders=WEIRS,
        ),
        BURSTS("patient", "200 at once, nobody leaves", patience=always(FOREVER)),
        BURSTS("cancel-5", "200 at once, 5 % of the others cancel", patience=some_cancel(0.05, 1)),
        BURSTS("cancel-20", "200 at once, 20 % of the others cancel", patience=some_cancel(0.2, 1)),
        Scenario(
            "staying",
            "clients never leave, queue timeout 60 s",
            (1.2,),
            patience=always(FOREVER),
            queue_length=100_000,
            queue_timeout="60s",
            seconds=60.0,
            contenders=WEIRS,
            make=beginning,
        ),
        Scenario(
            "steps",
            "clients close after 0.5 s; load 0.9, 2, 0.9",
            (2,),
            seconds=60.0,
            make=steps,
        ),
        Scenario(
            "switch",
            "clients close after 0.5 s; queue.order fifo for a while",
            (SWITCH_LOAD,),
            contenders=("adaptive",),
            changes=(
                (TO_FIFO, "queue.order", "fifo"),
                (TO_ADAPTIVE, "queue.order", "adaptive"),
            ),
        ),
    )
}
