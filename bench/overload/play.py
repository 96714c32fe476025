"""Plays schedules on programs, several side by side where the machine has room for them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Iterator

import figures
import schedule
from contenders import CONTENDERS, Place, change, metrics
from processes import BenchError, Process, free_port, wait_until_listening
from scenarios import SCENARIOS, Scenario

CROWD = pathlib.Path(__file__).resolve().parent.parent.parent / "build/bench/overload/crowd"
AT_ONCE = 2500  # requests a second, of all that run side by side
SIDE_BY_SIDE = 10
LATE_S, OVERRUN_S = 0.005, 0.002  # a run with more was disturbed
TRIES = 3


@dataclasses.dataclass(frozen=True)
class Cell:
    """One schedule on one program."""

    scenario: str
    load: float
    contender: str
    seed: int
    shorter: float = 1.0  # of scenarios whose moments are not fixed

    @property
    def of(self) -> Scenario:
        return SCENARIOS[self.scenario]

    @property
    def seconds(self) -> float:
        fixed = self.of.make is not None or self.of.changes
        return self.of.seconds if fixed else round(self.of.seconds * self.shorter)

    @property
    def rate(self) -> float:
        return self.load * self.of.capacity

    def __str__(self) -> str:
        return f"{self.scenario} {self.load:g}x {self.contender} {self.seed}"


@dataclasses.dataclass
class Played:
    cell: Cell
    run: figures.Run
    metrics: dict[str, float]
    changed: list[float]  # when its options were changed, seconds of the schedule
    tries: int = 1

    @property
    def disturbed(self) -> bool:
        return self.run.lateness()[0] > LATE_S or self.run.overrun() > OVERRUN_S


def packed(cells: list[Cell]) -> Iterator[list[Cell]]:
    """Neighbours of the same length, as many as the machine has room for."""
    together: list[Cell] = []
    for cell in cells:
        full = len(together) == SIDE_BY_SIDE or sum(c.rate for c in [*together, cell]) > AT_ONCE
        if together and (full or together[0].seconds != cell.seconds):
            yield together
            together = []
        together.append(cell)
    if together:
        yield together


class Stage:
    """One cell's app, clients and program, started."""

    def __init__(self, cell: Cell, weir: pathlib.Path, directory: pathlib.Path, stack):
        self.cell = cell
        self.changed: list[float] = []
        asks = cell.of.asks(cell.load, cell.seed)
        self.asks = [ask for ask in asks if ask.at < cell.seconds]
        self.results = directory / "results"
        schedule.write(self.asks, directory / "schedule")
        argv = [str(CROWD), str(cell.of.slots), str(directory / "schedule")]
        argv += [str(self.results), str(round(cell.seconds))]
        cores = os.sched_getaffinity(0)
        self.crowd = stack.enter_context(Process(argv, cores, directory / "crowd.log"))
        place = Place(
            weir,
            directory,
            app=int(self.crowd.hear("ready")),
            port=free_port(),
            admin=free_port(),
            slots=cell.of.slots,
            queue_length=cell.of.queue_length,
            queue_timeout=cell.of.queue_timeout,
        )
        self.place, self.contender = place, CONTENDERS[cell.contender]
        argv = self.contender.command(place)
        self.program = stack.enter_context(Process(argv, cores, directory / "program.log"))
        wait_until_listening(self.program, place.port, 20)

    def begin(self) -> None:
        self.crowd.say(f"go {self.place.port}")
        self.begun = int(self.crowd.hear("begun")) / 1e9

    def change(self, key: str, value: str) -> None:
        change(self.place.admin, key, value)
        self.changed.append(time.monotonic() - self.begun)

    def end(self) -> Played:
        self.crowd.hear("done", self.cell.seconds + 30)
        self.program.check_alive()
        found = metrics(self.place.admin) if self.contender.is_weir else {}
        fates = figures.read(self.results)
        run = figures.Run(self.asks, fates, self.cell.of.slots, self.cell.seconds)
        return Played(self.cell, run, found, self.changed)


def make_changes(stages: list[Stage]) -> None:
    due = sorted(
        ((s.begun + at, s, key, value) for s in stages for at, key, value in s.cell.of.changes),
        key=lambda change: change[0],
    )
    for when, stage, key, value in due:
        time.sleep(max(0.0, when - time.monotonic()))
        stage.change(key, value)


def play_once(cells: list[Cell], weir: pathlib.Path, scratch: pathlib.Path) -> list[Played]:
    with contextlib.ExitStack() as stack:
        stages = []
        for cell in cells:
            directory = scratch / str(cell).replace(" ", "-")
            directory.mkdir(exist_ok=True)
            stages.append(Stage(cell, weir, directory, stack))
        for stage in stages:
            stage.begin()
        make_changes(stages)
        return [stage.end() for stage in stages]


def play(cells: list[Cell], weir: pathlib.Path, scratch: pathlib.Path) -> list[Played]:
    """Again if the machine was too busy to keep the times."""
    for tries in range(1, TRIES + 1):
        played = play_once(cells, weir, scratch)
        worst = max(played, key=lambda p: p.run.lateness()[0])
        late, overrun = worst.run.lateness()[0], max(p.run.overrun() for p in played)
        say(
            f"  late {1000 * late:.1f} ms (99 %), handlers' overrun {1000 * overrun:.2f} ms"
            f"{'; again' if any(p.disturbed for p in played) and tries < TRIES else ''}"
        )
        if not any(p.disturbed for p in played):
            break
    for one in played:
        one.tries = tries
    return played


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def everything(cells: list[Cell], weir: pathlib.Path, scratch: pathlib.Path) -> Iterator[list[Played]]:
    groups = list(packed(cells))
    left = sum(group[0].seconds + 1 for group in groups)
    for group in groups:
        names = ", ".join(map(str, group))
        say(f"{names}; {left:.0f} s left")
        try:
            yield play(group, weir, scratch)
        except BenchError as error:
            raise BenchError(f"{names}: {error}") from error
        left -= group[0].seconds + 1
