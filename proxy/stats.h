/*
 * Counters and histograms of weir: one shard per loop. A shard has one writer, the loop's thread:
 * recording is a plain add with a relaxed store, without a lock or a locked instruction. Any thread
 * may read all shards (stats_reading.h), as metrics_page.h and status.h do.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "proxy/config.h"
#include "proxy/record.h"

struct stats;       /* opaque: defined in stats.c */
struct stats_shard; /* opaque */

enum stats_outcome { /* how a wait in the queue ended */
                     STATS_DISPATCHED,
                     STATS_TIMEOUT,
                     STATS_CLIENT_GONE,
                     STATS_DRAINED,
                     STATS_EVICTED,
                     STATS_DRY_RUN, /* it was dispatched without a slot, and ended before its turn
                                     */
                     STATS_OUTCOMES,
};

enum stats_reason { /* why weir refused a request */
                    STATS_QUEUE_FULL,
                    STATS_QUEUE_TIMEOUT,
                    STATS_NOT_READY,
                    STATS_DRAINING,
                    STATS_BYTES,
                    STATS_UPGRADES,
                    STATS_REFUSED_EVICTED,
                    STATS_DEADLINE,
                    STATS_REASONS,
};

enum stats_source {
    STATS_SOURCE_APP = RECORD_BY_APP,
    STATS_SOURCE_WEIR = RECORD_BY_WEIR,
    STATS_SOURCE_CLIENT_GONE = RECORD_BY_CLIENT /* code 499 */
};

enum stats_milestone {                 /* of a request: what its record then shows is counted */
                       STATS_ASKED,    /* t2: its body, of which it has one, was waited for */
                       STATS_ANSWERED, /* t6: the app's response begins */
                       STATS_UPGRADED, /* it has become a tunnel */
                       STATS_ORPHANED, /* the client has left, and the app continues */
                       STATS_ENDED,
};

enum stats_side { STATS_CLIENT, STATS_UPSTREAM };
enum stats_conn_state { STATS_ACTIVE, STATS_IDLE };

enum stats_what { STATS_REQUEST, STATS_RESPONSE }; /* whose bytes are buffered */

enum stats_upstream_result { STATS_OPENED, STATS_REUSED, STATS_FAILED, STATS_REPLAYED };

/* The bounds of the histograms follow the timeouts in `cf`, which is not kept. */
struct stats *stats_new(unsigned shards, const struct config *cf);
void stats_free(struct stats *s);
struct stats_shard *stats_shard_of(struct stats *s, unsigned i);

/* Recording: the shard's own thread only. Durations in microseconds, never negative. Before each
 * milestone, record_enter() has added the time up to it. Those that the limiter measures are
 * arguments: the sums of waits and of holds are exactly its integrals. */
void stats_reached(struct stats_shard *sh, const struct record *r, enum stats_milestone milestone);
void stats_queue_wait(struct stats_shard *sh, enum stats_outcome outcome, mono_us us);
/* The same wait, of a request that has a trace id. Reads the wall clock. */
void stats_wait_exemplar(struct stats_shard *sh, const struct record *record, mono_us us);
void stats_rejected(struct stats_shard *sh, enum stats_reason reason);
void stats_connect(struct stats_shard *sh, mono_us us);
void stats_slot_hold(struct stats_shard *sh, const struct record *r, mono_us us);
void stats_requeued(struct stats_shard *sh, mono_us hold); /* of a slot that was of no use */
void stats_connection(struct stats_shard *sh, enum stats_side side, enum stats_conn_state state,
                      int change);
void stats_evicted(struct stats_shard *sh); /* a client was closed to make room for another */
void stats_upstream(struct stats_shard *sh, enum stats_upstream_result result);
void stats_buffered(struct stats_shard *sh, enum stats_what what, int64_t change);
void stats_backpressure(struct stats_shard *sh, mono_us us);
void stats_aside(struct stats_shard *sh, int change);    /* inside, but not worked on */
void stats_loop_lag(struct stats_shard *sh, mono_us us); /* from a task's post to its run */
void stats_wrong(struct stats_shard *sh); /* an identity does not hold: an error of accounting */

extern const char *const stats_outcome_names[STATS_OUTCOMES];

/* How the request's wait for a slot ended; NULL: it has not, or it was refused at once. */
static inline const char *stats_outcome_of(const struct record *r)
{
    return r->outcome > 0 ? stats_outcome_names[r->outcome - 1] : NULL;
}

static inline void stats_note_outcome(struct record *r, enum stats_outcome outcome)
{
    r->outcome = (unsigned char)(outcome + 1);
}

/* The state of a loop, to compare its shard with. */
struct stats_present {
    uint64_t begun;                                /* requests since the start */
    uint64_t requests, holding, orphans, upgrades; /* holding: they have a slot */
};

/*
 * Compares the shard with the loop's state: every request that has begun has ended or is present,
 * every slot that was granted is held or was returned. If they differ, counts each difference and
 * returns false.
 */
bool stats_audit(struct stats_shard *sh, const struct stats_present *present);
