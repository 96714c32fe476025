/*
 * The numbers that only the server knows at the time of a scrape, with those of the requests to
 * bypass.paths and of the agent port. Control thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "limiter/limiter.h"
#include "proxy/app_condition.h"
#include "proxy/estimate.h"
#include "proxy/stats.h"

/* Requests to bypass.paths: they are in no other number. */
struct stats_bypass {
    uint32_t limit; /* 0: there are no such paths */
    uint32_t in_flight, queued;
    uint64_t requests[STATS_SOURCE_CLIENT_GONE + 1]; /* finished */
    uint64_t accounting_errors;
};

/* `s` has the shards that record such requests. */
void stats_read_bypass(const struct stats *s, const struct limiter_snapshot *limiter,
                       struct stats_bypass *out);

#define STATS_CLASSES   9 /* the classes of requests: `default`, and those that are configured */
#define STATS_QUANTILES 3

extern const char *const stats_cause_names[OVERLOAD_CAUSES];
extern const struct stats_quantile {
    const char *name;
    double q;
} stats_quantiles[STATS_QUANTILES];

/* The replies of the agent port to balancers. */
enum stats_agent_reply {
    STATS_AGENT_UP,
    STATS_AGENT_DRAIN,
    STATS_AGENT_DOWN,
    STATS_AGENT_REPLIES,
};

struct stats_agent {
    bool on;                     /* there is such a port */
    enum stats_agent_reply last; /* valid once there are replies */
    unsigned weight;             /* in percent, of the latest reply; 0 unless that was UP */
    uint64_t replies[STATS_AGENT_REPLIES];
};

#define STATS_CHECK_BOUNDS 12

extern const mono_us stats_check_bounds[STATS_CHECK_BOUNDS];

/* The checks of health.path. */
struct stats_checks {
    bool on;                                     /* health.path is set */
    uint64_t bucket[STATS_CHECK_BOUNDS + 1], us; /* times of those with a response; us: in all */
    uint64_t failed;                             /* without a response, or with 500 and above */
};

/* The app from outside (docs/app.md). */
struct stats_app {
    enum app_verdict verdict;
    struct estimate_reading estimate;
    bool told; /* the kernel reports the queues of the app's sockets */
    uint32_t unread, accept_queue;
    bool own_told; /* likewise, of weir's own listening socket */
    uint32_t own_accept_queue;
    uint64_t stalled_us;
    struct stats_checks checks;
};

/* Known only to the server, at the time of a scrape. */
struct stats_now {
    struct limiter_snapshot limiter;
    uint32_t in_flight_peak, depth_peak; /* of the last 60 s */
    bool fifo;                           /* queue.order */
    mono_us patience[STATS_QUANTILES];   /* of clients; MONO_NEVER: not known */
    unsigned classes;                    /* at least 1 */
    const char *class_names[STATS_CLASSES];
    struct stats_bypass bypass;
    struct stats_agent agent;
    bool enforcing; /* false: a dry run */
    mono_us queue_timeout;
    uint64_t queue_max_bytes, buffers_budget;
    uint32_t client_connections_max, upgrades_max; /* UINT32_MAX: none */
    bool upstream_ready;
    const char *upstream_state; /* app_state_name() */
    mono_us upstream_startup;   /* the app's startup time; 0 while unknown */
    struct stats_app app;
    bool draining; /* from the announcement on */
    uint64_t reloads_applied, reloads_rejected;
    bool reload_succeeded;
    wall_us reload_success;                /* the last one, or the start */
    uint64_t lines_written, lines_dropped; /* of the access log */
};
