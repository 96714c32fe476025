"""Values of a Prometheus that scrapes a weir under a bursty load, compared with each single request.

The app notes when each request was inside it, and the client when it asked: so the numbers inside
and waiting are known at every moment. A rate() is about the time from the first to the last scrape
in its window, and is compared with their means in that time.

The short form runs with the other tests. `make prometheus-check` scrapes for two minutes, every 1,
5 and 15 seconds.
"""

import os
import random
import re
import time

import pytest

from support import openloop, openmetrics, promql
from support.seed import SEED
from support.stopwatch import Stopwatch

pytestmark = pytest.mark.skipif(not promql.PROMETHEUS, reason="Prometheus is not installed")

LONG = bool(os.environ.get("WEIR_PROMETHEUS"))
SLOTS = 8
SECONDS = 125 if LONG else 7
WARM = 20 if LONG else 2  # where a counter is near 0, rate() supposes that it began in the window
WITHIN = 0.01 if LONG else 0.1  # other tests delay the client and the app, and what they note
LEAST = 0.2 if LONG else 1  # below that mean, such a delay is all that is measured
LATE = 0.03 if LONG else 0.2  # the client and the app note a moment when they get to run
PAUSE = 2 if LONG else 0.8
# The interval, and the window of the rate, in seconds: at least four samples.
WINDOWS = {1: 15, 5: 60, 15: 90} if LONG else {0.2: 2, 0.5: 3}


def bursts(seconds, seed):
    """(moment, target): up to 60 requests at once, then a pause, in which all of them end or not.
    Each has a target of its own."""
    dice, at, found = random.Random(seed), 0.1, []
    while at < seconds - 1:
        for _ in range(dice.choice((3, 10, 30, 60) if LONG else (20, 40, 60))):
            at += dice.expovariate(500)
            found.append((at, f"/{len(found)}?ms={50 + int(dice.expovariate(1 / 80))}"))
        at += dice.uniform(0.2, PAUSE)
    return found


def intervals(arrivals, outcomes, noted):
    """When each request waited, and when it was inside."""
    queued, inside = [], []
    for (_, target), outcome in zip(arrivals, outcomes):
        assert outcome.status == 200
        begin, end = noted[target]
        queued.append((outcome.began, begin))
        inside.append((begin, end))
    return {"queued": queued, "in_flight": inside}


def total(spans, a, b):
    """The time that they have from `a` to `b`."""
    return sum(max(0, min(end, b) - max(begin, a)) for begin, end in spans)


class Window:
    """A rate, and the true mean from its first to its last scrape. Prometheus dates a scrape by its
    beginning, and weir reads its numbers during it: on a busy machine that makes a difference, so
    the mean has a lowest and a highest possible value."""

    def __init__(self, server, series, spans, at):
        skew = time.time() - time.monotonic()
        scrapes = [t - skew for t, _ in server.samples(series, time=at)]
        durations = re.sub(r".*{(job=.*?),.*}", r"scrape_duration_seconds{\1}", series)
        took = [v for _, v in server.samples(durations, time=at)]
        first, last = scrapes[0], scrapes[-1]
        ((_, self.rate),) = server.ask(f"rate({series})", time=at)
        self.true = total(spans, first, last) / (last - first)
        self.low = total(spans, first + took[0], last) / (last - first)
        self.high = total(spans, first, last + took[-1]) / (last - first)

    def error(self):
        return abs(self.rate / self.true - 1)

    def excess(self):
        """Of the error, what the duration of the scrapes does not explain."""
        return max(0, 1 - self.rate / self.low, self.rate / self.high - 1)


def check(server, job, window, state, spans, ends):
    """Rates with windows that end at various times in `ends`."""
    series = f'weir_request_seconds_total{{job="{job}",state="{state}"}}[{window}s]'
    moments = [ends[0] + (ends[1] - ends[0]) * i / 39 for i in range(40)]
    found = [Window(server, series, spans, at) for at in moments]
    found = [w for w in found if w.low > LEAST]
    assert len(found) > 10, f"{len(found)} of {len(moments)}"
    excess = max(w.excess() for w in found)
    print(
        f"every {job} s, {window} s, {state}: {len(found)} rates, at most "
        f"{max(w.error() for w in found):.2%} from the true mean, {excess:.2%} not explained by "
        "the duration of a scrape"
    )
    return excess


def trace_of(target):
    """The trace id of each request has its number."""
    return f"{0xABC:012x}{int(re.match('/([0-9]+)', target)[1]):020x}"


def check_exemplars(found, spans):
    """Each names a request that has waited so long."""
    for trace, value in found:
        begin, end = spans["queued"][int(trace[12:], 16)]
        assert trace[:12] == f"{0xABC:012x}"
        assert abs(value - (end - begin)) < LATE + 0.05 * value, (trace, value, end - begin)


def stored_exemplars(server, begun):
    """Those that Prometheus has, as (trace id, value)."""
    query = {"query": "weir_queue_wait_seconds_bucket", "start": begun, "end": time.time()}
    return [
        (exemplar["labels"]["trace_id"], float(exemplar["value"]))
        for series in server.get("query_exemplars", **query)
        for exemplar in series["exemplars"]
    ]


@pytest.mark.alone
@pytest.mark.seconds(300 if LONG else 60)
def test_the_rate_of_the_seconds_is_the_true_mean(world, tmp_path):
    arrivals, names = bursts(SECONDS, SEED), {str(every): every for every in WINDOWS}
    with Stopwatch() as app:
        weir = world.weir(app.upstream, concurrency=SLOTS, queue_length=1000, queue_timeout="60s")
        jobs = {name: f"{round(every * 1000)}ms" for name, every in names.items()}
        server = promql.Prometheus(tmp_path, {"%s:%d" % weir.admin: {}}, jobs)
        begun = time.time()
        outcomes = openloop.run(
            weir.port, arrivals, field=lambda target: f"traceparent: 00-{trace_of(target)}-{7:016x}-01"
        )
        spans = intervals(arrivals, outcomes, app.stop())
        ended = time.time() - 1  # the scrapes until then are stored
        worst = {}
        for name, every in names.items():
            ends = (begun + WARM + WINDOWS[every], ended)
            for state, found in spans.items():
                worst[name, state] = check(server, name, WINDOWS[every], state, found, ends)
        stored = stored_exemplars(server, begun)
        server.stop()
    shown = openmetrics.exemplars(openmetrics.page(weir), "weir_queue_wait_seconds").values()
    assert len(shown) > 5 and len(stored) > 5
    check_exemplars([exemplar[:2] for exemplar in shown] + stored, spans)
    weir.identities()
    assert max(worst.values()) <= WITHIN, worst
