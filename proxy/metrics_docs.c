#include "proxy/metrics_docs.h"

#include "common/prometheus.h"
#include "proxy/metrics_families.h"

static const char docs_top[] =
    "# Metrics\n"
    "\n"
    "This file is generated from the table in `proxy/metrics_families.c`; a test fails if it is\n"
    "stale.\n"
    "\n"
    "`GET /metrics` on the admin port returns the Prometheus text format 0.0.4, or OpenMetrics\n"
    "1.0 if the `Accept` header asks for that, as Prometheus does. Both have the same series;\n"
    "OpenMetrics adds units and exemplars: each bucket of `weir_queue_wait_seconds` shows the\n"
    "trace id, wait and time of the latest request in it that had a `traceparent`. Prometheus\n"
    "stores them with `--enable-feature=exemplar-storage`.\n"
    "\n"
    "Times are in seconds, with microsecond resolution. Every series is present from the first\n"
    "scrape, with the value 0, except uncommon status codes, which appear with their first\n"
    "request, and the metrics of which the table says when they are absent. Each code from 100\n"
    "to 599 has a series of its own, and all others, which an app may send, share `other`, so\n"
    "an app can create at most 501 series. No label contains a path, a method, a host or a\n"
    "client, so the number of series does not depend on the traffic: with the default\n"
    "timeouts there are about 520, of which `weir_queue_wait_seconds` has 156.\n"
    "\n"
    "| name | type | labels | meaning |\n"
    "|---|---|---|---|\n";

static const char docs_histograms[] =
    "\n"
    "## Buckets\n"
    "\n"
    "The error of a quantile computed by `histogram_quantile()` is at most the width of one\n"
    "bucket. `weir_queue_wait_seconds` is designed for quantiles. From a fiftieth of\n"
    "`queue.timeout` to just above it, adjacent bounds are at most 5% apart, so a quantile\n"
    "in that range has an error of at most 5%, whatever the distribution of the waits; one\n"
    "bound is 1% above the timeout, and requests that waited for the full timeout fall below\n"
    "it. Below that range the bounds are 10% apart, and below a ten-thousandth of the\n"
    "timeout 35%: for waits that are spread out, as they are with an app whose response\n"
    "times vary, a quantile there still has an error of at most 2%. The first two bounds are\n"
    "0, for requests that did not wait, and 1 ms. A few bounds above the timeout lead up to\n"
    "`startup.timeout`; only requests that wait for the app to start reach them.\n"
    "\n"
    "The bounds depend on `queue.timeout` at the start of weir: a sum by `le` over pods with\n"
    "different timeouts is wrong, and so is a sum during a rollout that changes the timeout. A\n"
    "reload keeps the bounds; if it raises the timeout, quantiles above the old one are coarse\n"
    "until weir is restarted.\n"
    "\n"
    "The other histograms are meant for means (`_sum` / `_count`) and for the share below a\n"
    "bound; both are exact. Their bounds are listed below, plus one bound 1% above each\n"
    "timeout that limits the measured time: with the defaults 10.1, 30.3 and 303 for the\n"
    "request duration. Quantiles of these histograms are only as precise as their bounds.\n"
    "\n"
    "| histogram | bounds in seconds |\n"
    "|---|---|\n";

static const char docs_questions[] =
    "## Questions and their queries\n"
    "\n"
    "Each query selects one app and groups by pod, so that different apps in the same\n"
    "Prometheus are not mixed. `app=\"web\"` stands for the selector of your app, for instance\n"
    "`namespace=\"shop\", pod=~\"web-.+\"`. Outside Kubernetes the labels `namespace` and `pod`\n"
    "do not exist: group `by (job, instance)`. To see an app as a whole, leave `pod` out of\n"
    "`by (...)`.\n"
    "\n"
    "How long do requests block before they enter the app? This is the 99th percentile over\n"
    "all outcomes; use 0.5 for the median:\n"
    "\n"
    "```promql\n"
    "histogram_quantile(0.99, sum by (namespace, pod, le) (\n"
    "  rate(weir_queue_wait_seconds_bucket{app=\"web\"}[5m])))\n"
    "```\n"
    "\n"
    "What share of the requests did not wait at all? Prometheus 3 writes the bound `0` as `0.0`:\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_queue_wait_seconds_bucket{le=~\"0|0.0\", app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (\n"
    "  rate(weir_queue_wait_seconds_count{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "How long did the requests that entered the app wait, on average?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_queue_waited_seconds_total{outcome=\"dispatched\", app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (\n"
    "  rate(weir_queue_waits_total{outcome=\"dispatched\", app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "What share of the app's responses took at most half a second in total? 0.5 is a\n"
    "bound, so the result is exact. Refusals, which take almost no time, have `source=\"weir\"`\n"
    "and are excluded:\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (rate(\n"
    "  weir_request_duration_seconds_bucket{source=\"app\", le=\"0.5\", app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (rate(\n"
    "  weir_request_duration_seconds_count{source=\"app\", app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "How long is a request inside the app, on average?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_slot_hold_seconds_sum{app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (\n"
    "  rate(weir_slot_hold_seconds_count{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "How many requests are inside the app, and how many wait, on average? The result is exact\n"
    "at any scrape interval, whereas a gauge shows only the moment of the scrape.\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod, state) (\n"
    "  rate(weir_request_seconds_total{app=\"web\"}[1m]))\n"
    "```\n"
    "\n"
    "For what share of the time was no slot free?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_saturated_seconds_total{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "What share of the requests is refused, and why?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod, reason) (\n"
    "  rate(weir_requests_rejected_total{app=\"web\"}[5m]))\n"
    "/ on (namespace, pod) group_left ()\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_requests_total{app=\"web\"}[5m]))\n"
    "```\n"
    "\n";

static const char docs_phases[] =
    "In which phase do requests spend their time? Seconds per request and phase; the phases add up "
    "to\n"
    "the mean duration:\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod, phase) (\n"
    "  rate(weir_request_phase_seconds_total{app=\"web\"}[5m]))\n"
    "/ on (namespace, pod) group_left ()\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_request_duration_seconds_count{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "How long do requests wait that get no slot, on average, by how their wait ends?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod, outcome) (\n"
    "  rate(weir_queue_lost_wait_seconds_sum{app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod, outcome) (\n"
    "  rate(weir_queue_lost_wait_seconds_count{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "What share of the time in the queue is spent by requests that get no slot?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_queue_lost_wait_seconds_sum{app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (\n"
    "  rate(weir_queue_wait_seconds_sum{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "How close did the app and the queue come to their limits within the last hour? The peaks are\n"
    "exact, and cover the 60 s before each scrape: at intervals up to that, no burst is missed.\n"
    "\n"
    "```promql\n"
    "max by (namespace, pod) (\n"
    "  max_over_time(weir_requests_in_flight_peak{app=\"web\"}[1h]))\n"
    "/ max by (namespace, pod) (\n"
    "  weir_concurrency_limit{app=\"web\"})\n"
    "```\n"
    "\n"
    "```promql\n"
    "max by (namespace, pod) (\n"
    "  max_over_time(weir_queue_depth_peak{app=\"web\"}[1h]))\n"
    "/ max by (namespace, pod) (\n"
    "  weir_queue_limit{app=\"web\"})\n"
    "```\n"
    "\n";

static const char docs_app[] =
    "On how many requests does the app work at once, and how many only wait inside it? No result\n"
    "means that the number has not been known within the last hour; the first one is known only\n"
    "while requests wait inside. The limit is then higher than what the app can use, and a lower\n"
    "one keeps those requests in the queue of weir.\n"
    "\n"
    "```promql\n"
    "min by (namespace, pod) (\n"
    "  min_over_time(weir_upstream_parallelism_estimate{app=\"web\"}[1h]))\n"
    "```\n"
    "\n"
    "```promql\n"
    "max by (namespace, pod) (\n"
    "  max_over_time(weir_upstream_hidden_queue_estimate{app=\"web\"}[1h]))\n"
    "```\n"
    "\n"
    "For what share of the time does the app not read its requests, as when its event loop is "
    "blocked?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_upstream_stalled_seconds_total{app=\"web\"}[5m]))\n"
    "```\n"
    "\n";

static const char docs_self[] =
    "How long do requests take from the proxy in front to weir, on average? Only requests whose\n"
    "`X-Request-Start` is trusted are counted (`headers.trusted`):\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_request_before_seconds_sum{app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (\n"
    "  rate(weir_request_before_seconds_count{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "How late is weir itself? The share of its looks at which an event loop was more than\n"
    "10 ms late:\n"
    "\n"
    "```promql\n"
    "1 - sum by (namespace, pod) (\n"
    "  rate(weir_event_loop_lag_seconds_bucket{le=\"0.01\", app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (\n"
    "  rate(weir_event_loop_lag_seconds_count{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "Does the access log lose lines?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  increase(weir_access_log_lines_total{result=\"dropped\", app=\"web\"}[10m]))\n"
    "```\n"
    "\n";

static const char docs_overload[] =
    "For what share of the time was the queue overloaded?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_queue_overload_seconds_total{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "Which share of the slots is granted in vain? In an overload, `queue.order` keeps this low; a\n"
    "higher share than the share of clients that leave at random means that clients give up\n"
    "without closing their connection, or that the app itself is slower than they wait:\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_requests_wasted_total{app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (\n"
    "  rate(weir_queue_waits_total{outcome=\"dispatched\", app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "How long does the least patient tenth of the clients wait? +Inf means that too few have left\n"
    "to know:\n"
    "\n"
    "```promql\n"
    "min by (namespace, pod) (\n"
    "  weir_client_patience_seconds{quantile=\"0.1\", app=\"web\"})\n"
    "```\n"
    "\n"
    "How many replicas does the load require? The load is the number of requests inside and\n"
    "waiting; each replica is filled to 70% of its limit (Knative's rule). The result\n"
    "is for the app as a whole and therefore not grouped by pod. It is meaningless if\n"
    "`concurrency` is unlimited.\n"
    "\n"
    "```promql\n"
    "ceil(\n"
    "  sum by (namespace) (\n"
    "    rate(weir_request_seconds_total{app=\"web\"}[1m]))\n"
    "  / (0.7 * max by (namespace) (\n"
    "    weir_concurrency_limit{app=\"web\"})))\n"
    "```\n"
    "\n"
    "What share of the app's capacity is spent on clients that have disconnected?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_orphan_hold_seconds_sum{app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (\n"
    "  rate(weir_slot_hold_seconds_sum{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "How full are the buffers, and how close is the number of connections to its limit?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (weir_buffered_bytes{app=\"web\"})\n"
    "/ sum by (namespace, pod) (weir_buffered_limit_bytes{app=\"web\"})\n"
    "```\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod, side) (weir_connections{app=\"web\"})\n"
    "/ sum by (namespace, pod, side) (weir_connections_limit{app=\"web\"})\n"
    "```\n"
    "\n"
    "Is weir's accounting consistent? The result must always be 0:\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  increase(weir_accounting_error_total{app=\"web\"}[10m]))\n"
    "```\n";

static void docs_row(struct strbuf *out, const char *name, const char *type, const char *labels,
                     const char *help)
{
    strbuf_addf(out, "| `%s` | %s | %s | %s |\n", name, type, labels, help);
}

static void docs_bounds(struct strbuf *out, const char *name, enum stats_histogram h)
{
    size_t n;
    const mono_us *bounds = stats_base_bounds(h, &n);

    strbuf_addf(out, "| %s |", name);
    for (size_t i = 0; i < n; i++) {
        strbuf_adds(out, " ");
        prometheus_add_seconds(out, (uint64_t)bounds[i]);
    }
    strbuf_adds(out, " |\n");
}

static void docs_buckets(struct strbuf *out)
{
    strbuf_adds(out, docs_histograms);
    docs_bounds(out, "request duration, first byte, slot hold", H_DURATION);
    docs_bounds(out, "connect", H_CONNECT);
    docs_bounds(out, "body wait, send, delivery, orphan hold, lost wait", H_BODY_WAIT);
    docs_bounds(out, "upgrade duration", H_UPGRADE_DURATION);
    docs_bounds(out, "event loop lag", H_LOOP_LAG);
}

static void docs_codes(struct strbuf *out)
{
    strbuf_adds(out,
                "\nStatus codes for which `weir_requests_total` has a series from the start:\n\n");
    for (size_t s = 0; s < SOURCES; s++) {
        strbuf_addf(out, "- `source=\"%s\"`:", stats_source_names[s]);
        for (size_t i = 0; i < metrics_preset_codes[s].n; i++)
            strbuf_addf(out, " %u", metrics_preset_codes[s].codes[i]);
        strbuf_adds(out, "\n");
    }
    strbuf_adds(out, "\n");
}

void metrics_docs_write(struct strbuf *out)
{
    size_t n_families, n;
    const struct metrics_family *f = metrics_families_all(&n_families);
    const struct prometheus_process_family *p = prometheus_process_families(&n);

    strbuf_adds(out, docs_top);
    for (size_t i = 0; i < n_families; i++)
        docs_row(out, f[i].name, f[i].type, f[i].labels, f[i].help);
    for (size_t i = 0; i < n; i++)
        docs_row(out, p[i].name, p[i].type, "", p[i].help);
    docs_buckets(out);
    docs_codes(out);
    strbuf_adds(out, docs_questions);
    strbuf_adds(out, docs_phases);
    strbuf_adds(out, docs_app);
    strbuf_adds(out, docs_self);
    strbuf_adds(out, docs_overload);
}
