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


def percent(value: float) -> str:
    return f"{value:.0f}" if value < 95 else f"{value:.1f}"


def goodput_table(rows: Rows, scenario: str) -> list[str]:
    loads = rows.loads(scenario)
    body = []
    for contender in rows.contenders(scenario):
        cells = [rows.of(scenario, load, contender) for load in loads]
        shown = [percent(row["goodput"]) if row else "-" for row in cells]
        body.append([CONTENDERS[contender].title, *shown])
    return table(["goodput %, at", *(f"{load:g}x" for load in loads)], body)


def detail_table(rows: Rows, scenario: str) -> list[str]:
    """The rest, at the load that is nearest to twice the capacity."""
    load = min(rows.loads(scenario), key=lambda load: abs(load - 2))
    body = []
    for contender in rows.contenders(scenario):
        if row := rows.of(scenario, load, contender):
            served = [f"{row[key]:.2f}" if row["goodput"] >= 1 else "-" for key in ("p50", "p99")]
            cells = [*served, row["inside"], row["refused"], f"{row['wasted']:.0f}", row["gone"]]
            body.append([CONTENDERS[contender].title, *map(str, cells)])
    header = [f"at {load:g}x", "p50 of the served, s", "p99, s", "inside the app at once", "refused"]
    return table([*header, "wasted %", "begun for clients that had left"], body)


def scenario_part(rows: Rows, scenario: str) -> list[str]:
    title = SCENARIOS[scenario].title
    heading = f"### {title[0].upper()}{title[1:]}"
    return [heading, "", *goodput_table(rows, scenario), *detail_table(rows, scenario)]


def foresight_words(rows: Rows) -> list[str]:
    found = [rows.of("uneven", load) for load in rows.loads("uneven")]
    blind = ", ".join(percent(row["blind"]) for row in found if row)
    oracle = ", ".join(f"{row['foresight']:.0f}" for row in found if row)
    return [
        f"At these loads, weir reaches {blind} % of what a queue can without knowing the holds: all slots",
        "busy, each for a client that has just arrived. A queue that knew each hold beforehand, and left out",
        f"the long ones, would reach {oracle} % of the capacity, in number of requests.",
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
    header = ["", "", "of the 200, not served", "refused", "overtaken %"]
    heading = ["### A burst of 200 patient requests, 40 slots of 1 s, load 0.9", ""]
    return heading + table(header, body) if body else []


def steps_table(rows: Rows) -> list[str]:
    body = [
        [CONTENDERS[contender].title, *(f"{value:.1f}" for value in row["phases"])]
        for contender in rows.contenders("steps")
        if (row := rows.of("steps", 2, contender))
    ]
    header = ["goodput % of the arrivals", *(f"at {load:g}x" for _, load in STEPS)]
    heading = ["### A step of the load, from 2 s after each change", ""]
    return heading + table(header, body) if body else []


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
        "  loop: latencies count from the moment at which the request was due. All programs get the",
        "  same arrivals, side by side. Queue of weir: 100 requests, 10 s; of HAProxy: 10 s, no bound.",
        "- Goodput: responses of the app that arrived while their client waited, in % of the lesser of",
        "  offered load and capacity, from 2 s after the start (silent clients: 5 s). Wasted: handlers",
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
            lines += scenario_part(rows, scenario)
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
