"""From what became of each request to figures."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Sequence

from schedule import Ask

LEFT_BY_S = 0.02  # a handler that begins later than this after its client had left
OVERTAKEN_BY_S = 0.005  # by a request that came so much later
BEGAN_BY_S = 0.001  # and began so much earlier


@dataclasses.dataclass(frozen=True)
class Fate:
    """What became of one request; None for what did not happen, seconds as in Ask."""

    late: float | None
    status: int
    reason: str
    responded: float | None
    reached: float | None
    begun: float | None
    ended: float | None


def read(path: pathlib.Path) -> list[Fate]:
    def seconds(word: str) -> float | None:
        return None if word == "-1" else int(word) / 1e6

    fates = []
    for line in path.read_text().splitlines():
        late, status, reason, *moments = line.split()
        fates.append(Fate(seconds(late), int(status), reason, *map(seconds, moments)))
    return fates


def quantile(values: Iterable[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    edges = sorted(edge for a, b in spans for edge in ((a, 1), (b, -1)))
    now = most = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


class Run:
    """One schedule on one program."""

    def __init__(self, asks: Sequence[Ask], fates: Sequence[Fate], slots: int, seconds: float):
        self.pairs = list(zip(asks, fates, strict=True))
        self.slots = slots
        self.seconds = seconds

    @staticmethod
    def is_good(ask: Ask, fate: Fate) -> bool:
        """The app's response came while its client still waited for it."""
        return fate.status == 200 and fate.responded is not None and ask.wanted_at(fate.responded)

    def capacity(self, begin: float, end: float) -> float:
        """Handlers that the slots can run in this time, by the mean hold of those that began in it."""
        begun = [a.hold for a, f in self.pairs if f.begun is not None and begin <= f.begun < end]
        return self.slots * (end - begin) / (sum(begun) / len(begun)) if begun else 0.0

    def good_between(self, begin: float, end: float) -> list[tuple[Ask, Fate]]:
        return [p for p in self.pairs if self.is_good(*p) and begin <= p[1].responded < end]

    def goodput(self, begin: float, end: float, capacity: float) -> float:
        """Good responses in this time, in % of what was offered or of what the slots can do."""
        offered = sum(begin <= ask.at < end for ask, _ in self.pairs)
        return 100 * len(self.good_between(begin, end)) / min(offered, capacity * (end - begin))

    def goodput_of_arrivals(self, begin: float, end: float, capacity: float) -> float:
        """The same of the requests that arrived in this time."""
        came = [p for p in self.pairs if begin <= p[0].at < end]
        good = sum(self.is_good(*p) for p in came)
        return 100 * good / min(len(came), capacity * (end - begin))

    def served_in(self, begin: float, end: float) -> list[float]:
        """Seconds from the moment of the request to its response, of those in time."""
        return [fate.responded - ask.at for ask, fate in self.good_between(begin, end)]

    def waits(self, begin: float, end: float) -> list[float]:
        """Seconds from the moment of the request to its handler's begin, of all that began."""
        return [f.begun - a.at for a, f in self.pairs if f.begun is not None and begin <= f.begun < end]

    def most_inside(self) -> int:
        """Requests that the app had, at the most at once."""
        spans = [
            (f.reached, self.seconds if f.ended is None else f.ended)
            for _, f in self.pairs
            if f.reached is not None
        ]
        return most_at_once(spans)

    def refused(self, begin: float, end: float) -> int:
        return sum(
            fate.status not in (0, 200) and begin <= fate.responded < end for _, fate in self.pairs
        )

    def wasted(self, begin: float, end: float) -> float:
        """Which share of the handlers that ended worked for nobody, in %."""
        ended = [p for p in self.pairs if p[1].ended is not None and begin <= p[1].ended < end]
        bad = sum(not ask.wanted_at(fate.ended) for ask, fate in ended)
        return 100 * bad / len(ended) if ended else 0.0

    def begun_for_gone(self) -> int:
        """Handlers that began although the client had left, or no longer cared, for a while."""
        return sum(
            fate.begun is not None and not ask.wanted_at(fate.begun - LEFT_BY_S)
            for ask, fate in self.pairs
        )

    def overtaken(self, begin: float = 0.0, end: float = float("inf")) -> int:
        """Requests that saw one begin first that came later; of those that began in this time."""
        begun = [(a.at, f.begun) for a, f in self.pairs if f.begun is not None and begin <= f.begun < end]
        count, earliest, later = 0, float("inf"), len(begun)
        for at, moment in reversed(begun):
            while later > 0 and begun[later - 1][0] > at + OVERTAKEN_BY_S:
                later -= 1
                earliest = min(earliest, begun[later][1])
            count += earliest < moment - BEGAN_BY_S
        return count

    def begun(self) -> int:
        return sum(fate.begun is not None for _, fate in self.pairs)

    def lateness(self) -> tuple[float, float]:
        """How late the clients came, seconds: 99 % of them at most, and the latest. Those of a burst
        cannot all come at once."""
        late = [f.late for ask, f in self.pairs if f.late is not None and not ask.burst]
        return quantile(late, 0.99), max(late, default=0.0)

    def overrun(self) -> float:
        """How much longer a handler took than it should have, on average, seconds."""
        took = [f.ended - f.begun - a.hold for a, f in self.pairs if f.ended is not None]
        return sum(took) / len(took) if took else 0.0

    def patient_lost(self) -> int:
        """Of a burst's requests, those without the app's response."""
        return sum(a.burst and f.status != 200 for a, f in self.pairs)

    def refused_patient(self) -> int:
        return sum(a.burst and f.status not in (0, 200) for a, f in self.pairs)
