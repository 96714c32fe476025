/*
 * The response header that reports the load of the app, for balancers that read it from responses:
 *
 *   plain   Weir-Load: in_flight=3, limit=8, queued=0
 *   orca    endpoint-load-metrics: TEXT application_utilization=0.372, rps_fractional=81.5,
 *           named_metrics.queue_depth=4
 *
 * The first is a Dictionary (RFC 8941), of this moment and including the request itself, and has no
 * `limit` if there is none. The second is the text form of an ORCA load report (xDS): its
 * utilization and rate are the means of struct load, which a report has once they are known; a
 * balancer divides one by the other. One per loop; loop thread only.
 */
#pragma once

#include "common/clock.h"
#include "common/span.h"
#include "limiter/limiter.h"
#include "proxy/config.h"
#include "proxy/load.h"

#define LOAD_HEADER_MAX    160
#define LOAD_HEADER_AGE_US 1000 /* a report is used again for this long: it costs a lock */

struct load_header {
    enum config_load kind; /* of `text`; OFF: there is none yet */
    mono_us at;            /* when it was written */
    bool measuring, known; /* a first window has begun, has ended */
    struct load means;
    struct span_pair field;
    size_t len;
    char text[LOAD_HEADER_MAX];
};

/* The header field to be added to a response; valid until the next call. `h` was zero-initialised;
 * `kind` is not OFF. */
const struct span_pair *load_header_of(struct load_header *h, enum config_load kind,
                                       struct limiter *l, mono_us now);
