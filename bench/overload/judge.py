"""From runs to the figures of a table, and from these to a verdict on each promise."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable

from figures import quantile
from play import Played
from scenarios import SCENARIOS, STEPS, TO_ADAPTIVE, TO_FIFO
from schedule import oracle

SETTLED = 2.0  # seconds after a change of the load that are not counted
GRANTED = 0.02  # from a change of the order to the first grant that is certainly after it

Row = dict  # the figures of one run, as they stand in the JSON


# ---- figures ---------------------------------------------------------------------------------


def row_of(played: Played) -> Row:
    cell, run = played.cell, played.run
    begin, end, capacity = cell.of.warm, cell.seconds, cell.of.capacity
    served = run.served_in(begin, end)
    late = run.lateness()
    row = {
        "scenario": cell.scenario,
        "load": cell.load,
        "contender": cell.contender,
        "seed": cell.seed,
        "goodput": goodput_of(played),
        "p50": quantile(served, 0.5),
        "p99": quantile(served, 0.99),
        "wait_p99": quantile(run.waits(begin, end), 0.99),
        "inside": run.most_inside(),
        "refused": run.refused(0, end),
        "wasted": run.wasted(begin, end),
        "gone": run.begun_for_gone(),
        "overtaken": run.overtaken(),
        "begun": run.begun(),
        "late_p99": late[0],
        "late_max": late[1],
        "overrun": run.overrun(),
        "tries": played.tries,
        "metrics": played.metrics,
    }
    return {**row, **special(played)}


def goodput_of(played: Played) -> float:
    """Below the capacity by arrivals, so that those under way at either end do not count."""
    cell, run = played.cell, played.run
    begin, end, capacity = cell.of.warm, cell.seconds, cell.of.capacity
    if cell.load < 1:
        return run.goodput_of_arrivals(begin, end - 1, capacity)
    return run.goodput(begin, end, capacity)


def special(played: Played) -> Row:
    """What only some scenarios ask."""
    cell, run = played.cell, played.run
    if cell.scenario == "uneven":
        return {"blind": of_blind(played), "foresight": foresight(played)}
    if cell.scenario == "steps":
        return {"phases": phases_of(played)}
    if cell.of.slots == 40:
        return {"lost": run.patient_lost(), "refused_patient": run.refused_patient()}
    if cell.scenario == "switch":
        to_fifo, to_adaptive = played.changed
        return {
            "before": run.goodput(cell.of.warm, to_fifo, cell.of.capacity),
            "overtaken_fifo": run.overtaken(to_fifo + GRANTED, to_adaptive),
            "after": run.goodput(to_adaptive + SETTLED, cell.seconds, cell.of.capacity),
        }
    return {}


def of_blind(played: Played) -> float:
    """Good responses in % of what the slots could do for clients dispatched as they came: those whose hold
    is within their patience. More takes knowing a hold beforehand."""
    cell, run = played.cell, played.run
    begin, end = cell.of.warm, cell.seconds
    asks = [ask for ask, fate in run.pairs if fate.begun is not None and begin <= fate.begun < end]
    possible = sum(ask.wanted_at(ask.at + ask.hold) for ask in asks) / len(asks)
    offered = sum(begin <= ask.at < end for ask, _ in run.pairs)
    most = min(offered, run.capacity(begin, end))
    return 100 * len(run.good_between(begin, end)) / (most * possible)


def foresight(played: Played) -> float:
    """Goodput of a queue that knew all holds and patiences."""
    cell, run = played.cell, played.run
    begin, end = cell.of.warm, cell.seconds
    done = oracle([ask for ask, _ in run.pairs], run.slots)
    could = sum(moment is not None and begin <= moment < end for moment in done)
    offered = sum(begin <= ask.at < end for ask, _ in run.pairs)
    return 100 * could / min(offered, cell.of.capacity * (end - begin))


def phases_of(played: Played) -> list[float]:
    """Goodput of the arrivals of each step of the load, once it has lasted a while."""
    begins = [0.0, *(until for until, _ in STEPS)]
    return [
        played.run.goodput_of_arrivals(begin + SETTLED, until, played.cell.of.capacity)
        for begin, (until, _) in zip(begins, STEPS)
    ]


class Rows:
    """All figures; those of one cell are the mean of its seeds, a count their sum."""

    SUMS = {"refused", "gone", "overtaken", "begun", "lost", "refused_patient", "overtaken_fifo"}
    MOST = {"inside", "late_p99", "late_max", "overrun", "tries"}

    def __init__(self, rows: list[Row]):
        self.rows = rows

    def of(self, scenario: str, load: float, contender: str = "adaptive") -> Row | None:
        wanted = (scenario, load, contender)
        rows = [r for r in self.rows if (r["scenario"], r["load"], r["contender"]) == wanted]
        return {key: self.merged(key, [row[key] for row in rows]) for key in rows[0]} if rows else None

    def merged(self, key: str, values: list):
        if key in self.MOST:
            return max(values)
        if key in self.SUMS:
            return sum(values)
        if key == "phases":
            return [statistics.mean(each) for each in zip(*values)]
        return statistics.mean(values) if isinstance(values[0], float) else values[0]

    def loads(self, scenario: str) -> list[float]:
        return sorted({row["load"] for row in self.rows if row["scenario"] == scenario})

    def contenders(self, scenario: str) -> list[str]:
        found = {row["contender"]: None for row in self.rows if row["scenario"] == scenario}
        return list(found)


# ---- verdicts --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Verdict:
    what: str
    value: float
    bound: float
    unit: str
    at_least: bool

    @property
    def passed(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def cells(self) -> list[str]:
        sign = "≥" if self.at_least else "≤"
        shown = f"{self.value:.1f} %" if self.unit == "%" else f"{self.value:g} {self.unit}".strip()
        bound = f"{sign} {self.bound:g} {self.unit}".strip()
        return [self.what, shown, bound, "PASS" if self.passed else "FAIL"]


GOODPUT = (  # scenario, load, at least
    ("closers", 0.9, 99),
    ("closers", 1, 95),
    ("closers", 2, 97),
    ("closers", 5, 97),
    ("closers", 10, 97),
    *(("mixed", load, 97) for load in (1, 2, 5, 10)),
    *(("silent", load, 96) for load in (2, 5, 10)),
    *(("declared", load, 97) for load in (1, 2, 5, 10)),
)


def goodput_verdicts(rows: Rows) -> list[Verdict]:
    found = []
    for scenario, load, bound in GOODPUT:
        if row := rows.of(scenario, load):
            what = f"{SCENARIOS[scenario].title}, {load:g}x: goodput"
            found.append(Verdict(what, row["goodput"], bound, "%", True))
    for load in (2, 5, 10):
        if row := rows.of("uneven", load):
            what = f"{SCENARIOS['uneven'].title}, {load:g}x: goodput, of the best without knowing holds"
            found.append(Verdict(what, row["blind"], 97, "%", True))
    return found


def closers_verdicts(rows: Rows) -> list[Verdict]:
    title = SCENARIOS["closers"].title
    found = []
    if row := rows.of("closers", 2):
        p99 = round(row["p99"], 3) or float("inf")
        found.append(Verdict(f"{title}, 2x: p99 of the served", p99, 0.4, "s", False))
    inside = [row["inside"] for load in rows.loads("closers") if (row := rows.of("closers", load))]
    if inside:
        found.append(Verdict(f"{title}: requests inside the app at once", max(inside), 10, "", False))
    return found


def patient_verdicts(rows: Rows) -> list[Verdict]:
    found = []
    for scenario, share in (("patient", 0), ("cancel-5", 1), ("cancel-20", 1)):
        if row := rows.of(scenario, 0.9):
            title = SCENARIOS[scenario].title
            lost = row["lost"]
            found.append(Verdict(f"{title}: of the 200, not served", lost, 0, "", False))
            refused = row["refused"]
            found.append(Verdict(f"{title}: refused, of all", refused, 0, "", False))
            overtaken = 100 * row["overtaken"] / row["begun"]
            found.append(Verdict(f"{title}: overtaken, of all", overtaken, share, "%", False))
    if row := rows.of("staying", 1.2):
        title = SCENARIOS["staying"].title
        found.append(Verdict(f"{title}, 1.2x: refused", row["refused"], 0, "", False))
        found.append(Verdict(f"{title}, 1.2x: overtaken", row["overtaken"], 0, "", False))
        counted = row["metrics"].get("weir_queue_overtaken_total", 0)
        found.append(Verdict(f"{title}, 1.2x: overtaken, by weir's count", counted, 0, "", False))
    return found


def change_verdicts(rows: Rows) -> list[Verdict]:
    found = []
    if row := rows.of("steps", 2):
        for (_, load), value in zip(STEPS, row["phases"]):
            what = f"load 0.9, 2, 0.9; from 2 s after the step to {load:g}x: goodput"
            found.append(Verdict(what, value, 97, "%", True))
    if row := rows.of("switch", 2):
        title = f"adaptive, fifo from {TO_FIFO:g} s, adaptive from {TO_ADAPTIVE:g} s"
        what = f"{title}: overtaken while fifo"
        found.append(Verdict(what, row["overtaken_fifo"], 0, "", False))
        found.append(Verdict(f"{title}: goodput before", row["before"], 97, "%", True))
        found.append(Verdict(f"{title}: goodput after", row["after"], 97, "%", True))
    return found


PARTS: tuple[Callable[[Rows], list[Verdict]], ...] = (
    closers_verdicts,
    goodput_verdicts,
    patient_verdicts,
    change_verdicts,
)


def verdicts(rows: Rows) -> list[Verdict]:
    return [verdict for part in PARTS for verdict in part(rows)]
