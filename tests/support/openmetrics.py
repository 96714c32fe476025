"""The OpenMetrics page, read by the parsers of others: the reference one, in Python, and that of
Prometheus, in promtool."""

import re
import shutil
import subprocess

from prometheus_client.openmetrics import parser

ACCEPT = "application/openmetrics-text; version=1.0.0"
TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def page(weir):
    answer = weir.admin_get("/metrics", f"Accept: {ACCEPT}")
    assert answer.status == 200 and answer.get("Content-Type") == TYPE
    return answer.body.decode()


def families(text):
    """By name; an error where the text is not OpenMetrics."""
    found = {family.name: family for family in parser.text_string_to_metric_families(text)}
    assert found
    return found


def exemplars(text, name):
    """{le: (trace id, value, time)} of the buckets that have one."""
    found = {}
    for sample in families(text)[name].samples:
        if sample.exemplar:
            (trace,) = sample.exemplar.labels.values()
            found[sample.labels["le"]] = (trace, sample.exemplar.value, sample.exemplar.timestamp)
    return found


def _with_time(line):
    """promtool makes a database of the page, and each sample needs a time for that."""
    return line if line.startswith("#") else re.sub(r"^([^#]*\S)( # .*)?$", r"\1 1700000000\2", line)


def promtool_check(text, folder):
    """Prometheus' own reader of the format; nothing where it is not installed."""
    tool, path = shutil.which("promtool"), folder / "page.om"
    if not tool:
        return
    path.write_text("\n".join(map(_with_time, text.split("\n"))), encoding="utf-8")
    argv = [tool, "tsdb", "create-blocks-from", "openmetrics", path, folder / "blocks"]
    run = subprocess.run(argv, text=True, capture_output=True)
    assert run.returncode == 0, f"promtool: {run.stdout}{run.stderr}"
