"""The page and the pictures."""

from __future__ import annotations

from contenders import CONTENDERS, HAND_TUNED
from judge import Row, Rows, verdicts
from picture import Axis, Curve, Panel, draw
from scenarios import SCENARIOS, STEPS

PICTURED = (
    ("adaptive", "weir's default"),
    ("fifo", "FIFO"),
    ("tuned", f"a queue timeout tuned by hand ({HAND_TUNED[:-2]} ms)"),
)
PANELS = (("closers", "each hold 100 ms"), ("uneven", "holds exponential, mean 100 ms"))


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Text in the first column, figures right-aligned in the others."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return ["| " + " | ".join(row) + " |" for row in [header, rule, *rows]] + [""]


def loads_of(rows: Rows, scenario: str) -> str:
    return ", ".join(f"{load:g}" for load in rows.loads(scenario))


def each_load(rows: Rows, scenario: str, contender: str, show) -> str:
    found = [rows.of(scenario, load, contender) for load in rows.loads(scenario)]
    return ", ".join(show(row) if row else "-" for row in found)


def goodput_table(rows: Rows, scenario: str) -> list[str]:
    def p99(row: Row) -> str:
        return f"{row['p99']:.2f}" if row["goodput"] >= 1 else "-"

    lines = [f"**{SCENARIOS[scenario].title}**; at {loads_of(rows, scenario)} times the capacity:", ""]
    header = ["", "goodput %", "p99 of the served, s", "inside the app at once", "wasted %"]
    body = []
    for contender in rows.contenders(scenario):
        columns = (
            lambda row: f"{row['goodput']:.0f}" if row["goodput"] < 95 else f"{row['goodput']:.1f}",
            p99,
            lambda row: f"{row['inside']}",
            lambda row: f"{row['wasted']:.0f}",
        )
        cells = [each_load(rows, scenario, contender, show) for show in columns]
        body.append([CONTENDERS[contender].title, *cells])
    return lines + table(header, body)


def foresight_words(rows: Rows) -> list[str]:
    best = each_load(rows, "uneven", "adaptive", lambda row: f"{row['blind']:.0f}")
    oracle = each_load(rows, "uneven", "adaptive", lambda row: f"{row['foresight']:.0f}")
    return [
        f"With exponential holds, weir reaches {best} % of what a queue could that knew when clients",
        "leave, and dispatched each as it came. One that knew all holds too, and left out the long",
        f"ones, would do {oracle} % of the capacity in number.",
        "",
    ]


def burst_table(rows: Rows) -> list[str]:
    body = []
    for scenario in ("patient", "cancel-5", "cancel-20"):
        for contender in rows.contenders(scenario):
            row = rows.of(scenario, 0.9, contender)
            overtaken = f"{100 * row['overtaken'] / row['begun']:.1f}"
            cells = [SCENARIOS[scenario].title, CONTENDERS[contender].title, str(row["lost"])]
            body.append([*cells, str(row["refused"]), overtaken])
    header = ["40 slots of 1 s, load 0.9", "", "of the 200, not served", "refused", "overtaken %"]
    return table(header, body) if body else []


def steps_table(rows: Rows) -> list[str]:
    loads = ", ".join(f"{load:g}" for _, load in STEPS)
    body = [
        [CONTENDERS[contender].title, *(f"{value:.1f}" for value in row["phases"])]
        for contender in rows.contenders("steps")
        if (row := rows.of("steps", 2, contender))
    ]
    header = [f"goodput % of the arrivals; load {loads}", *(f"at {load:g}" for _, load in STEPS)]
    return table(header, body) if body else []


def machine_words(results: dict) -> list[str]:
    m, rows = results["machine"], results["rows"]
    versions = ", ".join(f"{name} {number}" for name, number in m["versions"].items())
    late = max(row["late_p99"] for row in rows)
    latest = max(row["late_max"] for row in rows)
    overrun = max(row["overrun"] for row in rows)
    return [
        f"- {m['date']}; {m['cpu']}, {m['cores']} cores{', virtual' if m['virtual'] else ''}; {m['kernel']};"
        f" {versions}.",
        "- App and clients are one process on one clock. The app has ten handlers of 100 ms; requests",
        "  beyond them wait inside it. Poisson arrivals, each on a connection of its own, as an open",
        "  loop: latencies count from the moment at which the request was to come. All programs get the",
        "  same arrivals, side by side. Queue of weir: 100 requests, 10 s; of HAProxy: 10 s, no bound.",
        "- Goodput: responses of the app that came while their client waited, in % of the lesser of",
        "  offered load and capacity, from 2 s after the begin (silent clients: 5 s). Wasted: handlers",
        "  that worked for a client that had left, or no longer cared, when they ended.",
        f"- The clients of the worst run were at most {1000 * late:.1f} ms late (99 %; the latest"
        f" {1000 * latest:.0f} ms), its handlers {1000 * overrun:.2f} ms too long on average.",
        "",
    ]


def markdown(results: dict) -> str:
    rows = Rows(results["rows"])
    judged = table(["what", "measured", "bound", "verdict"], [v.cells() for v in verdicts(rows)])
    lines = ["Generated by `make overload`.", "", *machine_words(results), *judged]
    for scenario in ("closers", "uneven", "mixed", "silent", "declared"):
        if rows.loads(scenario):
            lines += goodput_table(rows, scenario)
        if scenario == "uneven" and rows.loads(scenario):
            lines += foresight_words(rows)
    return "\n".join([*lines, *steps_table(rows), *burst_table(rows)]).rstrip() + "\n"


def panels(rows: Rows, key: str) -> list[Panel]:
    found = []
    for scenario, title in PANELS:
        curves = []
        for contender, name in PICTURED:
            measured = [(load, rows.of(scenario, load, contender)) for load in rows.loads(scenario)]
            curves.append(Curve(name, [(load, row[key]) for load, row in measured if row]))
        found.append(Panel(title, curves))
    return found


def pictures(results: dict) -> dict[str, str]:
    rows = Rows(results["rows"])
    clients = "Clients leave after 0.5 s."
    return {
        "overload-goodput.svg": draw(
            "Goodput against offered load",
            f"{clients} From the capacity up, a FIFO queue answers hardly anybody in time.",
            Axis("goodput", 100, 25, " %"),
            panels(rows, "goodput"),
        ),
        "overload-waits.svg": draw(
            "Waits against offered load",
            f"{clients} The p99 of the time that requests waited before the app began them.",
            Axis("p99 wait", 0.6, 0.2, " s"),
            panels(rows, "wait_p99"),
        ),
    }
