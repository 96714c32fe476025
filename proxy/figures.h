/*
 * The values of a running weir's /status and /history, as plain numbers. The response
 * may be that of another version of weir, or of another program: what is absent or has another type
 * is NAN or "". Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/check.h"
#include "common/span.h"

#define FIGURES_LIST    24  /* members of an object that are kept */
#define FIGURES_SECONDS 300 /* of history */

/* An object of numbers, such as refusals by reason, in the order of the response. */
struct figures_list {
    unsigned n;
    struct figures_item {
        char name[24]; /* spaces for underscores */
        double value;
    } item[FIGURES_LIST];
};

enum figures_quantile { FIGURES_P50, FIGURES_P90, FIGURES_P99, FIGURES_MAX, FIGURES_QUANTILES };

/* Several seconds: "last" and "recent". */
struct figures_span {
    double seconds;
    double finished, refused, client_gone, errors; /* per second */
    double in_flight_mean, in_flight_peak, queued_mean, queue_peak;
    double saturated;                                       /* share of the time */
    double wait[FIGURES_QUANTILES], app[FIGURES_QUANTILES]; /* in seconds; no maximum of `app` */
    double loop_lag;
    struct figures_list phases; /* seconds */
};

struct figures {
    char version[24];
    char state[24];   /* of the app; spaces for underscores */
    char advice[400]; /* a sentence */
    double started;   /* in seconds since 1970 */
    double limit;     /* INFINITY: unlimited */
    double in_flight, queued, queue_limit, oldest_wait, queue_empty_in, orphans, upgrades;
    double parallelism, hidden_queue, unread;
    double overloaded; /* seconds since the start */
    double bypass_in_flight, bypass_limit;
    bool dry_run, paused, draining, overload;
    struct figures_span last, recent;
    struct figures_list refused; /* since the start, by reason */
};

/* False: it is not a JSON object with at least the number of requests in flight. */
MUST_USE bool figures_read(struct figures *f, struct span json);

struct figures_second {
    double in_flight, waiting; /* peaks */
    double refused;
};

/* The oldest second first. Zero-initialise it. */
struct figures_history {
    double started;
    int64_t end; /* the latest second, since 1970; 0: nothing has been added */
    unsigned n;
    struct figures_second at[FIGURES_SECONDS];
    struct figures_list refused; /* in the last minute, by reason */
};

/* Adds the seconds after `end`. One that begins at another time is of a weir that has restarted:
 * the older seconds are kept, and those in between are not known. False: this is no history. */
MUST_USE bool figures_add_history(struct figures_history *h, struct span json);
