/*
 * The samples of the metrics that are inferred about the app (docs/app.md), and the same
 * as JSON. Unknown values are left out, or null. Any thread.
 */
#pragma once

#include "common/strbuf.h"
#include "proxy/metrics_families.h"

metrics_print_fn metrics_app_state, metrics_app_parallelism, metrics_app_hidden, metrics_app_floor,
    metrics_app_unread, metrics_app_accept_queue, metrics_app_checks, metrics_app_failed_checks,
    metrics_app_own_accept_queue;

/* The object "app" of /status. */
void metrics_app_json(const struct stats_app *app, struct strbuf *out);
