"""From figures to verdicts, and from both to a page."""

from __future__ import annotations

import dataclasses
import statistics

# What weir promises. A ratio is taken round by round, since a round's programs ran within seconds
# of each other, and the median of the rounds is judged.
OWN_CORE_TO_HAPROXY = 0.80
OWN_CORE_TO_RELAY = 1.25
SHARED_CORE_TO_HAPROXY = 0.70
UNIX_SOCKET_TO_HAPROXY = 0.70
SYSCALLS_TO_HAPROXY = 1.00
ALLOCATIONS_PER_REQUEST = 0.001  # none per request: a timer's now and then is not one per request
QUEUED_BYTES = 2048
DRAINED_TO_UNQUEUED = 1.5
IDLE_BYTES = 6 * 1024 * 1024
IDLE_CONNECTION_BYTES = 614  # 0.6 KiB
BULK_TO_HAPROXY = 1.00
BULK_PEAK_BYTES = 10 * 1024 * 1024

NAMES = {"weir": "weir", "haproxy": "HAProxy", "nginx": "nginx", "relay": "relay"}

# The last one is the room there is: no proxy with as many trips into the kernel gets below it.
PAIRS = (("weir", "haproxy"), ("weir", "relay"), ("relay", "haproxy"))


@dataclasses.dataclass(frozen=True)
class Verdict:
    what: str
    value: float
    bound: float
    low: float
    high: float
    unit: str = "×"

    @property
    def passed(self) -> bool:
        return self.value <= self.bound

    @property
    def word(self) -> str:
        return "PASS" if self.passed else "FAIL"


def median_of(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def judge(what: str, values: list[float], bound: float, unit: str = "×") -> Verdict:
    value, low, high = median_of(values)
    return Verdict(what, value, bound, low, high, unit)


def ratios(load: dict, one: str, other: str) -> list[float]:
    mine = load["programs"][one]["cpu_us"]
    theirs = load["programs"][other]["cpu_us"]
    return [a / b for a, b in zip(mine, theirs)]


def verdicts(results: dict) -> list[Verdict]:
    found = []
    for load in results["loads"]:
        found += cpu_verdicts(load)
    for load in results["loads"]:
        if "syscalls" in load:
            calls = load["syscalls"]
            ratio = calls["weir"] / calls["haproxy"]
            what = f"{load['title']}: system calls, weir / HAProxy"
            found.append(judge(what, [ratio], SYSCALLS_TO_HAPROXY))
        if "allocations" in load:
            what = f"{load['title']}: allocations per request"
            found.append(judge(what, [load["allocations"]], ALLOCATIONS_PER_REQUEST, ""))
    found += queue_verdicts(results)
    idle = [value / 1048576 for value in results["idle_rss_bytes"]["weir"]]
    found.append(judge("resident memory, idle", idle, IDLE_BYTES / 1048576, "MiB"))
    each = results["idle_connections"]["bytes"]["weir"]
    found.append(judge("memory of an idle connection", each, IDLE_CONNECTION_BYTES, "bytes"))
    return found + bulk_verdicts(results["bulks"])


def cpu_verdicts(load: dict) -> list[Verdict]:
    def verdict(other: str, bound: float) -> Verdict:
        what = f"{load['title']}: CPU, weir / {NAMES[other]}"
        return judge(what, ratios(load, "weir", other), bound)

    if load["kind"] == "own":
        return [verdict("haproxy", OWN_CORE_TO_HAPROXY), verdict("relay", OWN_CORE_TO_RELAY)]
    if load["kind"] == "shared":
        return [verdict("haproxy", SHARED_CORE_TO_HAPROXY)]
    return [verdict("haproxy", UNIX_SOCKET_TO_HAPROXY)]


def queue_verdicts(results: dict) -> list[Verdict]:
    found = []
    unqueued = {load["key"]: load["programs"]["weir"]["cpu_us"] for load in results["loads"]}
    for queue in results["queues"]:
        ours = queue["programs"]["weir"]
        title = queue["title"]
        if queue["head"] == "small":  # the browser's own bytes are not weir's to save
            what = f"{title}: memory of each"
            found.append(judge(what, ours["queued_bytes"], QUEUED_BYTES, "bytes"))
        base = statistics.median(unqueued[queue["unqueued"]])
        drained = [value / base for value in ours["drain_us"]]
        what = f"{title}: CPU to drain one / an unqueued one"
        found.append(judge(what, drained, DRAINED_TO_UNQUEUED))
    return found


def bulk_verdicts(bulks: dict) -> list[Verdict]:
    found = []
    for load in bulks["loads"]:
        if load["large"]:
            what = f"{load['title']}: CPU per MiB, weir / HAProxy"
            found.append(judge(what, ratios(load, "weir", "haproxy"), BULK_TO_HAPROXY))
    what = f"peak resident memory, {size_of(bulks['first_bytes'])} down and up"
    peak = [bulks["peak_rss_bytes"]["weir"] / 1048576]
    return found + [judge(what, peak, BULK_PEAK_BYTES / 1048576, "MiB")]


# ---- Markdown ----------------------------------------------------------------------------------


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def size_of(length: int) -> str:
    mib = length // 1048576
    return f"{mib // 1024} GiB" if mib % 1024 == 0 else f"{mib} MiB"


def spread(values: list[float]) -> str:
    value, low, high = median_of(values)
    return f"{number(value)} ({number(low)}..{number(high)})"


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Text in the first column, figures right-aligned in the others."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return ["| " + " | ".join(row) + " |" for row in [header, rule, *rows]] + [""]


def load_table(loads: list[dict]) -> list[str]:
    rows = []
    for load in loads:
        cells = [load["title"]]
        for name in NAMES:
            cpu = load["programs"].get(name)
            cells.append(spread(cpu["cpu_us"]) if cpu else "-")
        for one, other in PAIRS:
            both = {one, other} <= load["programs"].keys()
            cells.append(spread(ratios(load, one, other)) if both else "-")
        rows.append(cells)
    pairs = [f"{NAMES[one]} / {NAMES[other]}" for one, other in PAIRS]
    return table(["load", *NAMES.values(), *pairs], rows)


def syscall_table(results: dict) -> list[str]:
    rows = []
    for load in results["loads"]:
        if "syscalls" not in load:
            continue
        cells = [f"{load['syscalls'][n]:.2f}" if n in load["syscalls"] else "-" for n in NAMES]
        allocations = f"{load['allocations']:.6f}" if "allocations" in load else "-"
        rows.append([load["title"], *cells, allocations])
    return table(["load", *NAMES.values(), "weir's allocations"], rows)


def rate_table(bulks: dict) -> list[str]:
    rows = []
    for load in bulks["loads"]:
        rates = {n: f"{statistics.median(p['rate']):,.0f}" for n, p in load["programs"].items()}
        rows.append([load["title"], *(rates.get(n, "-") for n in NAMES)])
    peaks = {n: f"{value / 1048576:.1f} MiB" for n, value in bulks["peak_rss_bytes"].items()}
    rows.append(["peak resident memory", *(peaks.get(n, "-") for n in NAMES)])
    return table(["MiB per second", *NAMES.values()], rows)


def latency_table(results: dict) -> list[str]:
    rows = []
    for load in results["loads"]:
        cells = [load["title"]]
        for name in NAMES:
            program = load["programs"].get(name)
            if program is None:
                cells.append("-")
                continue
            rate, p50, p99 = (
                statistics.median(program[key]) for key in ("rate", "p50_us", "p99_us")
            )
            cells.append(f"{rate:,.0f}/s, {p50:,.0f}, {p99:,.0f}")
        rows.append(cells)
    return table(["load", *NAMES.values()], rows)


def queue_table(results: dict) -> list[str]:
    rows = []
    columns = ("connected_bytes", "queued_bytes", "arrival_us", "drain_us", "drain_rate")
    for queue in results["queues"]:
        for name, program in queue["programs"].items():
            cells = [queue["title"], NAMES[name], ", ".join(map(str, program["in_app"]))]
            rows.append(cells + [spread(program[column]) for column in columns])
    header = [
        "queue",
        "program",
        "in the app",
        "bytes, idle connection",
        "bytes, waiting request",
        "CPU µs, arrival",
        "CPU µs, drain",
        "drained / s",
    ]
    return table(header, rows)


def verdict_table(results: dict) -> list[str]:
    rows = [
        [
            v.what,
            f"{number(v.value) if v.unit else f'{v.value:.6f}'} {v.unit}".strip(),
            f"{number(v.low)}..{number(v.high)}",
            f"{v.bound:g}",
            v.word,
        ]
        for v in verdicts(results)
    ]
    return table(["what", "median", "min..max", "at most", "verdict"], rows)


def idle_table(results: dict) -> list[str]:
    idle = results["idle_rss_bytes"]
    cells = [f"{statistics.median(idle[n]) / 1048576:.1f}" if n in idle else "-" for n in NAMES]
    each = results["idle_connections"]["bytes"]
    bytes_each = [f"{statistics.median(each[n]):,.0f}" if n in each else "-" for n in NAMES]
    rows = [["resident MiB, idle", *cells], ["bytes, idle connection", *bytes_each]]
    return table(["", *NAMES.values()], rows)


def disturbance(results: dict) -> str:
    """How much other work there was where a program should have had a core to itself."""
    waited = [
        value * 100
        for load in results["loads"] + results["bulks"]["loads"]
        if load.get("kind") != "shared"
        for program in load["programs"].values()
        for value in program["waited"]
    ]
    return f"{statistics.median(waited):.1f}% (at worst {max(waited):.1f}%)"


def bulk_words(bulks: dict) -> list[str]:
    return [
        f"Own core; {size_of(bulks['bytes'])} per load in each of {bulks['rounds']} rounds, but"
        f" {size_of(bulks['first_bytes'])} in the first round of the transfers",
        "in one message, to measure peak resident memory. App and client read and write",
        "64 KiB at a time. HAProxy has its default buffers of 16 KiB, and does not splice; nginx",
        "streams uploads (`proxy_request_buffering off`) and buffers responses in memory (by",
        "default 8 pages), never on disk.",
    ]


def markdown(results: dict, judged: bool) -> str:
    m, bulks = results["machine"], results["bulks"]
    versions = ", ".join(f"{NAMES.get(k, k)} {v}" for k, v in m["versions"].items())
    lines = [
        "# Performance",
        "",
        "Generated by `make bench`; do not edit. The cost of weir compared with HAProxy, nginx and a",
        "relay that parses nothing, and whether weir stays within its bounds.",
        "",
        f"- Date: {m['date']}; {results['rounds']} rounds, interleaved, order rotated.",
        f"- Machine: {m['cpu']}, {m['cores']} cores{', virtual' if m['virtual'] else ''};",
        f"  {m['kernel']}; TCP congestion control {m['congestion']}; load average before the run"
        f" {m['load']}.",
        f"- Versions: {versions}.",
        "- One worker each, pinned to one core; app and client on another, or all three on the",
        "  same one. Closed loop, keep-alive on both sides, GET, 128-byte body. CPU is the",
        "  time that the scheduler reports for all threads of the program (and nginx's worker), divided",
        "  by the requests served. Figures are the median (min..max) of the rounds; ratios are taken",
        "  within each round.",
        "- Interference: with a core of its own, a program waited for the core for",
        f"  {disturbance(results)} of the time it ran. If this is more than a few per cent,",
        "  the machine was doing other work and the figures are imprecise.",
        f"- weir and HAProxy let {results['limit']} requests into the app and queue the others;",
        "  nginx and the relay do not limit them. weir also measures each phase of each request, and adds",
        "  X-Forwarded-*, Via, X-Request-Id and X-Request-Start; HAProxy and nginx add",
        "  X-Forwarded-For. No program writes an access log.",
        "",
        *(["## Verdicts", "", *verdict_table(results)] if judged else []),
        "## CPU µs per request",
        "",
        *load_table(results["loads"]),
        "\"Own core\": the program has a core to itself. \"Shared core\": program, app and client",
        "share a core, as in a small pod. \"Unix socket\": own core, the app behind a Unix socket.",
        "\"Small headers\" are 2 lines; a browser's are 18 lines in 900 bytes. The relay parses",
        "nothing: relay / HAProxy is about the lower bound for a proxy here.",
        "",
        "## System calls and allocations per request",
        "",
        f"These were counted with {results['syscall_tool']} and with a preloaded counter, in separate",
        "runs.",
        "",
        *syscall_table(results),
        "## Throughput and latency",
        "",
        "Requests per second, p50 and p99 in µs, of a closed loop whose client or app may be the",
        "bottleneck; the figures are only a rough guide.",
        "",
        *latency_table(results),
        f"## {results['queue_length']:,} waiting requests",
        "",
        "The app holds all responses; each request has its own connection. Memory is the growth",
        "of the resident set since the start, so a waiting request includes its connection. Then",
        "the app sends all responses at once. \"Arrival\" is the CPU time to put a request into the",
        "queue, \"drain\" the CPU time to forward it and its response.",
        "",
        *queue_table(results),
        "## Idle",
        "",
        "A connection is measured after its first request has been served;"
        f" {results['idle_connections']['count']:,} connections, opened a few at a time.",
        "",
        *idle_table(results),
        "## CPU µs per MiB",
        "",
        *bulk_words(bulks),
        "",
        *load_table(bulks["loads"]),
        "As a rough guide only, since app and client share the other core:",
        "",
        *rate_table(bulks),
    ]
    return "\n".join(lines).rstrip() + "\n"
