"""The queries in the documentation, and Prometheus to evaluate them: promtool, or a server."""

import bisect
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import yaml

from .waiting import until
from .weir import free_port

DOCS = os.path.join(os.path.dirname(__file__), "../../docs")
KEDA_HTTP = os.path.join(DOCS, "../examples/keda-http/manifests.yaml")
PAGES = ("metrics.md", "operations.md", "autoscaling.md")
PROMETHEUS = shutil.which("prometheus")


def page(name):
    with open(os.path.join(DOCS, name), encoding="utf-8") as file:
        return file.read()


def blocks(language):
    """The text between ```language and ```, on all pages, as (page, text)."""
    found = []
    for name in PAGES:
        text = page(name)
        found += [(name, b) for b in re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)]
    return found


def queries():
    """A block holds one query."""
    return [text.strip() for _, text in blocks("promql")]


def autoscaler_queries(pod):
    """The queries of KEDA and prometheus-adapter with the configuration in docs/autoscaling.md and
    examples/keda-http, of one pod of the namespace shop instead of those of the Deployment shop."""
    pages = [text for _, text in blocks("yaml")] + [open(KEDA_HTTP, encoding="utf-8").read()]
    found = []
    for one in itertools.chain(*(yaml.safe_load_all(text) for text in pages)):
        if one.get("kind") == "ScaledObject":
            found += [t["metadata"].get("query") for t in one["spec"]["triggers"]]
        for rule in one.get("externalRules", []):
            query = rule["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="shop"')
            found.append(query.replace("<<.Series>>", rule["seriesQuery"].partition("{")[0]))
    return [q.replace("shop-[a-z0-9]+(-[a-z0-9]+)?", pod) for q in found if q]


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


def buckets(m, name):
    """Those of a scrape, as quantile() takes them."""
    pairs = [(float(dict(labels)["le"]), n) for labels, n in m.series(name + "_bucket").items()]
    return sorted(pairs)


def true_quantile(q, values):
    values = sorted(values)
    return values[max(0, math.ceil(q * len(values)) - 1)]


class Prometheus:
    """Scrapes each of `targets`, {address: labels}, five times a second, or once each `interval`:
    {job: interval}."""

    def __init__(self, folder, targets, intervals=None):
        self.port = free_port()
        intervals = intervals or {"weir": "200ms"}
        static = [{"targets": [at], "labels": labels} for at, labels in targets.items()]
        config = {
            "scrape_configs": [
                {
                    "job_name": job,
                    "scrape_interval": interval,
                    "scrape_timeout": interval,
                    "static_configs": static,
                }
                for job, interval in intervals.items()
            ]
        }
        path = os.path.join(folder, "prometheus.json")  # JSON is YAML
        with open(path, "w", encoding="ascii") as file:
            json.dump(config, file)
        flags = [f"--config.file={path}", f"--storage.tsdb.path={folder}/tsdb"]
        self._start(folder, [*flags, "--enable-feature=exemplar-storage"], len(targets) * len(intervals))

    @classmethod
    def with_flags(cls, folder, flags, targets):
        """With a configuration that has so many targets, and the place of its data."""
        server = cls.__new__(cls)
        server.port = free_port()
        server._start(folder, flags, targets)
        return server

    def _start(self, folder, flags, targets):
        self.log = open(os.path.join(folder, "prometheus.log"), "w+b")
        self.process = subprocess.Popen(
            [PROMETHEUS, *flags, f"--web.listen-address=127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        until(lambda: self._up() == targets, "Prometheus to scrape", within=60, every=0.05)

    def _up(self):
        assert self.process.poll() is None, "Prometheus ended"
        try:
            return len([1 for _, value in self.ask("up") if value == 1])
        except OSError:
            return 0

    def get(self, path, **query):
        """The data; what does not parse is an AssertionError. None: it is starting."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?"
        try:
            with urllib.request.urlopen(url + urllib.parse.urlencode(query)) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            assert error.code == 503, f"{query}: {error.read().decode()}"
            return None

    def ask(self, query, **at):
        """[(labels, value)]"""
        data = self.get("query", query=query, **at) or {"result": []}
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def samples(self, query, **at):
        """[(time, value)] of a range, such as a[1m], of one series."""
        (series,) = self.get("query", query=query, **at)["result"]
        return [(at, float(value)) for at, value in series["values"]]

    def stop(self):
        self.process.kill()
        self.process.wait(10)
        self.log.close()
