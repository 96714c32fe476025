/*
 * The figures of each of the last 300 seconds. Once a second, the observer hands in a reading of
 * all counts; the history keeps what has changed since the one before. Bounded, and allocated as a
 * whole at the start. Pure: its times are arguments. Control thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/strbuf.h"
#include "proxy/record.h"
#include "proxy/stats_reading.h"

#define HISTORY_SECONDS 300 /* samples that are kept */
#define HISTORY_RECENT  60  /* at most this many together have quantiles */

struct history; /* opaque: defined in history.c */

enum history_quantile { HISTORY_P50, HISTORY_P90, HISTORY_P99, HISTORY_QUANTILES };

/* The state of the app, as it is inferred (app_view.h). */
struct history_app {
    const char *state;   /* static text, or NULL: not known */
    double parallelism;  /* -1: not known */
    double hidden_queue; /* -1: not known */
};

/* At the end of a second. */
struct history_input {
    mono_us now;
    wall_us wall;
    const struct stats_reading *reading; /* its snapshot is of limiter_take_peaks() */
    mono_us loop_lag;                    /* the longest of all loops in this second */
    struct history_app app;
};

/* One second, or several together. */
struct history_summary {
    unsigned seconds;         /* 0: nothing has been observed yet, and all others are 0 */
    mono_us span;             /* their exact length */
    double in_flight, queued; /* means over time */
    double saturated;         /* share of the time in which no slot was free */
    double overload;          /* share of the time in an overload */
    uint32_t limit;           /* at the end; UINT32_MAX: unlimited */
    uint32_t in_flight_peak, queue_peak;
    uint32_t orphans;                 /* at the end */
    uint64_t finished[SOURCES];       /* requests, by enum stats_source */
    uint64_t rejected[STATS_REASONS]; /* by enum stats_reason */
    uint64_t refused;                 /* the sum of `rejected` */
    uint64_t errors;    /* responses of the app with 500 and above, and weir's 502 and 504 */
    uint64_t waits;     /* that have ended, with and without a slot */
    uint64_t completed; /* requests that have left the app */
    mono_us wait[HISTORY_QUANTILES], wait_max;     /* of all waits; -1: none has ended */
    mono_us inside[HISTORY_QUANTILES], inside_min; /* time in the app; -1: none has left it */
    mono_us inside_max;
    uint64_t phase_us[RECORD_PHASES]; /* of the requests that have ended */
    mono_us loop_lag;                 /* the longest */
    struct history_app app;           /* at the end */
};

/* `first` is the reading that the first second is compared with. */
struct history *history_new(const struct history_input *first);
void history_free(struct history *h); /* NULL is allowed */

/* `n` requests have left the app since the last sample. */
void history_completed(struct history *h, mono_us inside, uint32_t n);

/*
 * The next sample. After a gap of several seconds, during which weir did not run, it fills them
 * all: with its means and peaks, and with all counts in the last one.
 */
void history_append(struct history *h, const struct history_input *in);

/* When weir started, in seconds since 1970. */
int64_t history_started(const struct history *h);

/* How many samples there have been. */
uint64_t history_samples(const struct history *h);

/* The last `seconds`, at most HISTORY_RECENT, or as many as there are. */
void history_summarize(const struct history *h, unsigned seconds, struct history_summary *out);

/* GET /history: the samples after `since`, in seconds since 1970; 0: all. */
void history_write(const struct history *h, int64_t since, struct strbuf *out);

/* The peaks of the last HISTORY_RECENT seconds. */
void history_peaks(const struct history *h, uint32_t *in_flight, uint32_t *queue);

/* An object for /status. */
void history_write_summary(const struct history_summary *s, struct strbuf *out);
