/*
 * Looks at weir from the control thread: ten times a second while requests are arriving or inside
 * the app, and once a second while nothing happens. Each second it makes the loops audit
 * themselves, measures how late they are, logs overloads, and adds a sample to the history.
 */
#pragma once

#include <stdbool.h>

#include "common/strbuf.h"
#include "proxy/completions.h"
#include "proxy/config.h"
#include "proxy/exchange.h"
#include "proxy/history.h"
#include "proxy/loop.h"
#include "proxy/stats.h"
#include "proxy/stats_now.h"

struct agent;
struct access_log;
struct lifecycle;
struct reload;
struct observer; /* opaque: defined in observer.c */

#define OBSERVER_TICK_US 100000 /* between two looks while requests are present */

/* The result of a look. */
struct observer_look {
    mono_us now;
    const struct limiter_snapshot *limiter;
    uint32_t inside; /* requests on which the app may work, with a slot or without: no tunnels, no
                        event streams, and none whose client does not read */
    bool kept;       /* a connection to the app has been used again */
};

/* The module that draws conclusions about the app (app_view). Control thread. */
struct observer_follower {
    /* Requests have left the app: in the order of time, each before the look that follows. */
    void (*on_completed)(void *arg, const struct completion *c);
    void (*on_look)(void *arg, const struct observer_look *look);
    /* A sample is taken: what is known of the app now. */
    void (*on_sample)(void *arg, struct history_app *out);
};

struct observer_how {
    struct loop *control;
    struct exchange_shared *shared;
    const struct stats *stats, *bypass_stats;
    struct config *config; /* until observer_configure() */
    uint32_t clients;      /* likewise: maximum connections of clients */
    unsigned loops;
    const struct observer_follower *follower; /* NULL: none */
    void *arg;                                /* of its functions */
};

struct observer *observer_new(const struct observer_how *how);

/* All loops have stopped: looks for the last time. The arguments of observer_watch() and
 * observer_start() must still be valid. */
void observer_stop(struct observer *o); /* NULL is allowed */
void observer_free(struct observer *o); /* NULL is allowed */

/* The ring that loop `i` writes: before observer_watch(). */
struct completions *observer_completions(struct observer *o, unsigned i);

/* Loop `i` is built. */
void observer_watch(struct observer *o, unsigned i, struct loop *loop, struct stats_shard *shard,
                    struct exchange_env *exchanges);

/* For observer_look(). */
struct observer_parts {
    const struct reload *reload;
    const struct agent *agent; /* NULL: there is no such port */
    const struct lifecycle *lifecycle;
    struct access_log *access_log; /* for its lines' counts and summaries; NULL: none */
};

/* All is built: begins to look. */
void observer_start(struct observer *o, const struct observer_parts *parts);

/* From now on, these are in force. */
void observer_configure(struct observer *o, struct config *config, uint32_t clients);

/* The values that only the server has, at the time of a scrape. Valid until the next change of the
 * configuration. */
void observer_look(struct observer *o, struct stats_now *now);

/* Makes each loop compare its numbers with its exchanges; the next scrape shows the result. */
void observer_audit(struct observer *o);

const struct history *observer_history(const struct observer *o);
