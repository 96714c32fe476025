"""The queries of the documentation, and the arithmetic of Prometheus."""

import bisect
import math
import os
import re

DOCS = os.path.join(os.path.dirname(__file__), "../../docs")
PAGES = ("metrics.md", "operations.md")


def blocks(language):
    """The text between ```language and ```, on all pages, as (page, text)."""
    found = []
    for page in PAGES:
        with open(os.path.join(DOCS, page), encoding="utf-8") as file:
            text = file.read()
        found += [(page, b) for b in re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)]
    return found


def queries():
    """A block holds one query."""
    return [text.strip() for _, text in blocks("promql")]


def quantile(q, buckets):
    """histogram_quantile(): `buckets` are (le, cumulative count), ascending, to +Inf.
    promql/quantile.go of Prometheus: linear inside a bucket, the last bound for what is above it,
    and a first bound that is not above 0 stands for all below it."""
    bounds, counts = [le for le, _ in buckets], [n for _, n in buckets]
    rank = q * counts[-1]
    at = bisect.bisect_left(counts, rank)
    if at == len(bounds) - 1:
        return bounds[-2]
    if at == 0 and bounds[0] <= 0:
        return bounds[0]
    low, before = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0)
    return low + (bounds[at] - low) * (rank - before) / (counts[at] - before)


def true_quantile(q, values):
    values = sorted(values)
    return values[max(0, math.ceil(q * len(values)) - 1)]
