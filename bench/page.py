"""A page of several parts, each written by a program of its own."""

from __future__ import annotations

import pathlib
import re


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def part(text: str, name: str) -> str:
    """The part of that name, marks included; "" if the page has none."""
    begin, end = map(re.escape, marks(name))
    found = re.search(f"{begin}.*?{end}\n", text, re.S)
    return found.group() if found else ""


def replace(path: pathlib.Path, name: str, text: str) -> None:
    """Writes one part and leaves the others; a new one is added at the end."""
    begin, end = marks(name)
    new = f"{begin}\n{text.strip()}\n{end}\n"
    page = path.read_text()
    old = part(page, name)
    path.write_text(page.replace(old, new) if old else f"{page.rstrip()}\n\n{new}")
