"""The Prometheus text format 0.0.4, read strictly, and the identities that always hold in weir."""

import functools
import re
import shutil
import subprocess

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
HELP = re.compile(rf"# HELP ({NAME}) (\S.*)\Z")
TYPE = re.compile(rf"# TYPE ({NAME}) (counter|gauge|histogram|summary|untyped)\Z")
SERIES = re.compile(rf"({NAME})(?:\{{(.*)\}})?\Z")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|\Z)')
NUMBER = re.compile(r"([+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|[+-]Inf|NaN)\Z")
UNESCAPE = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


@functools.lru_cache(maxsize=None)  # scrape for scrape the same; a test may scrape a thousand times
def series_of(text):
    """(name, its label pairs, those without `le`, the value of `le`); an error where it is not sound."""
    match = SERIES.match(text)
    assert match, f"bad sample: {text!r}"
    at, labels, inside = 0, [], match[2] or ""
    while at < len(inside):
        found = LABEL.match(inside, at)
        assert found, f"bad labels: {text!r}"
        value = re.sub(r'\\[\\"n]', lambda m: UNESCAPE[m[0]], found[2])
        labels.append((found[1], value))
        at = found.end()
    pairs = dict(labels)
    assert len(pairs) == len(labels), f"a label twice: {text!r}"
    le = pairs.pop("le", None)
    return match[1], frozenset(labels), frozenset(pairs.items()), le and float(le)


class Family:
    def __init__(self, name, help_text):
        self.name, self.help, self.type = name, help_text, None
        self.samples = []  # (series_of() it, value)

    @functools.cached_property
    def names(self):
        """Those that its samples may have."""
        ends = ("_bucket", "_sum", "_count") if self.type == "histogram" else ("",)
        return [self.name + end for end in ends]


class Asked:
    """What may be asked of a scrape; `_of(name)` is {label set: value}."""

    def series(self, name, **labels):
        """label set -> value of the series of that name that carry these labels."""
        want = set(labels.items())
        return {have: v for have, v in self._of(name).items() if want <= have}

    def total(self, name, **labels):
        """Their sum; the series must exist."""
        found = self.series(name, **labels)
        assert found, f"no series {name} {labels}"
        return sum(found.values())

    def one(self, name, **labels):
        found = self.series(name, **labels)
        assert len(found) == 1, f"{len(found)} series {name} {labels}"
        return next(iter(found.values()))


class Glance(Asked):
    """One scrape of many, in which only what is asked for is read."""

    def __init__(self, text):
        self.text = text

    def _of(self, name):
        found = {}
        for line in re.findall(rf"^{name}[{{ ].*$", self.text, re.M):
            series, _, value = line.rpartition(" ")
            found[series_of(series)[1]] = float(value)
        return found


class Metrics(Asked):
    """One scrape, all of it read."""

    def __init__(self, text):
        self.text = text
        self.families = {}
        self.samples = {}  # (name, frozenset of label pairs) -> float
        self._named = {}  # name -> {frozenset of label pairs: float}
        assert text.endswith("\n"), "the last line must end with a line feed"
        self._closed = set()
        self._current = None
        for line in text[:-1].split("\n"):
            self._line(line)
        for family in self.families.values():
            self._check_family(family)

    # ---- reading ---------------------------------------------------------------------------

    def _line(self, line):
        if line.startswith("# HELP "):
            match = HELP.match(line)
            assert match, f"bad HELP: {line!r}"
            self._open(match[1], match[2])
        elif line.startswith("# TYPE "):
            match = TYPE.match(line)
            assert match, f"bad TYPE: {line!r}"
            assert match[1] == self._current, f"TYPE without its HELP before it: {line!r}"
            assert self.families[match[1]].type is None, f"a second TYPE: {line!r}"
            self.families[match[1]].type = match[2]
        else:
            self._sample(line)

    def _open(self, name, help_text):
        assert name not in self.families, f"a second HELP, or a family in two places: {name}"
        self.families[name] = Family(name, help_text)
        self._current = name

    def _sample(self, line):
        text, _, value = line.rpartition(" ")
        assert NUMBER.match(value), f"bad sample: {line!r}"
        series, family = series_of(text), self.families.get(self._current)
        assert family and family.type, f"a sample before its TYPE: {line!r}"
        assert series[0] in family.names, f"{line!r} among the samples of {family.name}"
        assert series[:2] not in self.samples, f"the same series twice: {line!r}"
        self.samples[series[:2]] = value = float(value)
        self._named.setdefault(series[0], {})[series[1]] = value
        family.samples.append((series, value))

    def _check_family(self, family):
        assert family.type, f"{family.name} has no TYPE"
        if family.type == "counter":
            for series, value in family.samples:
                assert value >= 0, f"counter below 0: {series}"
        if family.type == "histogram":
            self._check_histogram(family)

    def _check_histogram(self, family):
        name, buckets = family.name, {}
        for (sample, _, rest, le), value in family.samples:
            if sample == name + "_bucket":
                buckets.setdefault(rest, []).append((le, value))
        for rest, pairs in buckets.items():
            bounds, counts = [le for le, _ in pairs], [n for _, n in pairs]
            assert bounds == sorted(bounds), f"{name}: buckets out of order"
            assert counts == sorted(counts), f"{name}: buckets do not grow: {counts}"
            assert bounds[-1] == float("inf"), f"{name}: no +Inf"
            assert counts[-1] == self.samples[(name + "_count", rest)], f"{name}: +Inf != count"
            assert (name + "_sum", rest) in self.samples, f"{name}: no sum"

    def _of(self, name):
        return self._named.get(name, {})


def is_quiet(m):
    """Nothing runs and nothing waits."""
    busy = ("weir_requests_in_flight", "weir_queue_depth", "weir_bypass_in_flight")
    return all(m.total(name) == 0 for name in busy)


def in_us(seconds):
    return round(seconds * 1e6)


def check_identities(m, requests=None):
    """What must hold whenever weir is quiet (the laws 1, 4 and 7)."""
    assert is_quiet(m)
    assert m.total("weir_orphans_in_flight") == 0
    assert m.total("weir_upgrades_in_flight") == 0
    assert m.one("weir_accounting_error_total") == 0
    queued = in_us(m.one("weir_request_seconds_total", state="queued"))
    waited = in_us(m.one("weir_queue_wait_seconds_sum"))
    assert queued == waited, f"integral of depth {queued} us, sum of waits {waited} us"
    busy = in_us(m.one("weir_request_seconds_total", state="in_flight"))
    held = in_us(m.one("weir_slot_hold_seconds_sum"))
    held += in_us(m.one("weir_upgrade_duration_seconds_sum"))
    held += in_us(m.one("weir_requeued_hold_seconds_total"))
    assert busy == held, f"integral of in flight {busy} us, sum of holds {held} us"
    phases = in_us(m.total("weir_request_phase_seconds_total"))
    lasted = in_us(m.total("weir_request_duration_seconds_sum"))
    assert phases == lasted, f"the phases sum to {phases} us, the requests to {lasted} us"
    check_waits(m)
    check_counts(m)
    if requests is not None:
        answered = m.total("weir_requests_total")
        assert answered == requests, f"{answered} requests counted, {requests} sent"


def check_waits(m):
    """The histogram of waits has those that were given up, with their outcomes beside it."""
    waits = m.total("weir_queue_waits_total")
    assert m.one("weir_queue_wait_seconds_count") == waits, f"{waits} waits by outcome"
    waited = in_us(m.total("weir_queue_waited_seconds_total"))
    assert in_us(m.one("weir_queue_wait_seconds_sum")) == waited, f"{waited} us by outcome"
    for outcome in ("timeout", "client_gone", "drained", "evicted"):
        by = {"outcome": outcome}
        lost = m.one("weir_queue_lost_wait_seconds_count", **by)
        assert lost == m.one("weir_queue_waits_total", **by), f"{lost} lost waits: {outcome}"
        lost = in_us(m.one("weir_queue_lost_wait_seconds_sum", **by))
        assert lost == in_us(m.one("weir_queue_waited_seconds_total", **by)), f"{lost} us: {outcome}"


def check_counts(m):
    dispatched = m.total("weir_queue_waits_total", outcome="dispatched")
    gone = m.total("weir_queue_waits_total", outcome="client_gone")
    holds = m.total("weir_slot_hold_seconds_count")
    holds += m.total("weir_upgrade_duration_seconds_count")
    # One that leaves while its slot is in the mail holds it for a moment, and counts as gone.
    assert dispatched <= holds <= dispatched + gone, f"{holds} holds of {dispatched} dispatched"
    timeouts = m.total("weir_queue_waits_total", outcome="timeout")
    refused = m.total("weir_requests_rejected_total", reason="queue_timeout")
    late = m.total("weir_requests_rejected_total", reason="not_ready")
    late += m.total("weir_requests_rejected_total", reason="deadline")
    assert refused <= timeouts <= refused + late, f"{timeouts} timeouts, {refused} refused for it"
    evicted = m.total("weir_queue_waits_total", outcome="evicted")
    assert evicted == m.total("weir_requests_rejected_total", reason="evicted")
    assert m.total("weir_orphan_hold_seconds_count") == m.one("weir_requests_orphaned_total")
    timed = m.total("weir_request_duration_seconds_count")
    timed += m.one("weir_upgrade_duration_seconds_count")
    ended = m.total("weir_requests_total")
    assert ended == timed, f"{ended} requests, {timed} durations of requests and of tunnels"


linted = set()


def promtool_check(text):
    """What Prometheus' own linter says; nothing where it is not installed. It looks at names, text
    and form, so a page is shown to it only if a line differs in more than digits from all before."""
    tool, forms = shutil.which("promtool"), set(re.sub(r"\d+", "0", text).split("\n"))
    if not tool or forms <= linted:
        return
    run = subprocess.run([tool, "check", "metrics"], input=text, text=True, capture_output=True)
    assert run.returncode == 0, f"promtool: {run.stdout}{run.stderr}"
    linted.update(forms)
