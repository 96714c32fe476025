/*
 * One attempt at a time to reach the app, over a connection of its own: a connect, or a GET whose
 * response's status is read. On the control loop.
 *
 *     IDLE ── begin ──► CONNECTING ──► ASKING ──► IDLE, and on_ended
 *                           └─────────────────────▲
 */
#pragma once

#include <stdbool.h>

#include "common/address.h"
#include "common/clock.h"
#include "proxy/loop.h"

struct probe; /* opaque: defined in probe.c */

struct probe_result {
    int error;       /* an errno; 0: the connect succeeded and, for a GET, so did the request */
    unsigned status; /* of the response, for a GET without an error */
    bool asked;      /* a GET had been sent when the error occurred */
};

/* `on_ended` may be called from within probe_begin(). */
struct probe *probe_new(struct loop *lp,
                        void (*on_ended)(void *arg, const struct probe_result *result), void *arg);
void probe_free(struct probe *p);

/* Abandons a present attempt. `path`: NULL for a connect. ETIMEDOUT after `patience`. */
void probe_begin(struct probe *p, const struct address *to, const char *path, mono_us patience);

/* No on_ended follows. */
void probe_stop(struct probe *p);
