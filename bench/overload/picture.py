"""Curves over the offered load, as an SVG that is readable on light and dark ground."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 960, 376
LEFT, TOP, PANEL, GAP, PLOT = 64, 92, 392, 80, 226
STYLE = """
    .ink { fill: #1f2933 } .soft { fill: #5b6875 } .grid { stroke: #dbe1e8 } .axis { stroke: #8a97a5 }
    .curve { fill: none; stroke-linejoin: round }
    .curve.a { stroke: #2f6fdf } .curve.b { stroke: #c8452b } .curve.c { stroke: #9a6700 }
    .mark.a { fill: #2f6fdf } .mark.b { fill: #c8452b } .mark.c { fill: #9a6700 }
    .label { font-size: 14px } .small { font-size: 12.5px }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #12181f } .ink { fill: #e8edf2 } .soft { fill: #a3b0bd } .grid { stroke: #2b3640 }
      .axis { stroke: #71808f }
      .curve.a { stroke: #6ea2ff } .curve.b { stroke: #ff7d63 } .curve.c { stroke: #e3b341 }
      .mark.a { fill: #6ea2ff } .mark.b { fill: #ff7d63 } .mark.c { fill: #e3b341 }
    }
"""
WAYS = {  # of drawing the first, second and third curve
    "a": ('stroke-width="3.5"', "circle"),
    "b": ('stroke-width="2" stroke-dasharray="7 4"', "square"),
    "c": ('stroke-width="2" stroke-dasharray="2 3"', "triangle"),
}


@dataclasses.dataclass(frozen=True)
class Curve:
    name: str
    points: Sequence[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Panel:
    title: str
    curves: Sequence[Curve]  # at most three


@dataclasses.dataclass(frozen=True)
class Axis:
    title: str
    top: float
    step: float
    unit: str


def across(load: float, panel: int) -> float:
    low, high = math.log(0.5), math.log(10)
    return LEFT + panel * (PANEL + GAP) + PANEL * (math.log(load) - low) / (high - low)


def down(value: float, axis: Axis) -> float:
    return TOP + PLOT * (1 - min(value, axis.top) / axis.top)


def text(x: float, y: float, words: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def mark(shape: str, x: float, y: float, color: str) -> str:
    if shape == "circle":
        return f'<circle class="mark {color}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    if shape == "square":
        return f'<rect class="mark {color}" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
    return f'<path class="mark {color}" d="M{x:.1f} {y - 5:.1f} l5 9 h-10 z"/>'


def legend(names: Sequence[str]) -> list[str]:
    lines, x = [], float(LEFT)
    for (color, (way, shape)), name in zip(WAYS.items(), names):
        lines.append(f'<path class="curve {color}" d="M{x:.0f} 39 h36" {way}/>')
        lines.append(mark(shape, x + 18, 39, color))
        lines.append(text(x + 46, 44, name, "ink label"))
        x += 80 + 7.6 * len(name)
    return lines


def grid(panel: int, axis: Axis) -> list[str]:
    left, right = across(0.5, panel), across(10, panel)
    lines = []
    for i in range(round(axis.top / axis.step) + 1):
        y, value = down(i * axis.step, axis), i * axis.step
        style = "grid" if i else "axis"
        lines.append(f'<path class="{style}" d="M{left:.1f} {y:.1f} H{right:.1f}"/>')
        lines.append(text(left - 8, y + 4, f"{value:g}{axis.unit}", "soft small", "end"))
    for load in (0.5, 1, 2, 5, 10):
        x = across(load, panel)
        lines.append(f'<path class="axis" d="M{x:.1f} {TOP + PLOT} v5"/>')
        lines.append(text(x, TOP + PLOT + 20, f"{load:g}×", "soft small", "middle"))
    words, middle = "offered load ÷ capacity; clients leave after 0.5 s", (left + right) / 2
    lines.append(text(middle, TOP + PLOT + 42, words, "soft small", "middle"))
    return lines


def curves(panel: int, curves_: Sequence[Curve], axis: Axis) -> list[str]:
    lines = []
    for (color, (way, shape)), curve in reversed(list(zip(WAYS.items(), curves_))):
        points = [(across(x, panel), down(y, axis)) for x, y in curve.points]
        path = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        lines.append(f'<path class="curve {color}" d="M{path}" {way}/>')
        lines += [mark(shape, x, y, color) for x, y in points]
    return lines


def draw(title: str, description: str, axis: Axis, panels: Sequence[Panel]) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        "font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\" "
        'role="img" aria-labelledby="t d">',
        f'<title id="t">{escape(title)}</title>',
        f'<desc id="d">{escape(description)}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="12" fill="#ffffff"/>',
        *legend([curve.name for curve in panels[0].curves]),
    ]
    for i, panel in enumerate(panels):
        lines.append(text(across(0.5, i), TOP - 16, f"{axis.title}; {panel.title}", "ink label"))
        lines += grid(i, axis) + curves(i, panel.curves, axis)
    return "\n".join([*lines, "</svg>"]) + "\n"
