/*
 * For each bucket of a histogram, the trace id of the latest value in it: an exemplar of
 * OpenMetrics. One writer, a shard's loop; any thread reads. No lock: a slot has a sequence number,
 * which is odd while it is written, and a reader that meets a write keeps what it had.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "proxy/buckets.h"
#include "proxy/record.h"

#define EXEMPLARS_MAX (BUCKETS_MAX + 1)

struct exemplar {
    unsigned char trace[RECORD_TRACE];
    mono_us value;
    wall_us at; /* when it was recorded; 0: there is none */
};

struct exemplars {
    struct exemplars_slot {
        _Atomic uint64_t sequence, trace[2], value, at;
    } slot[EXEMPLARS_MAX];
};

void exemplars_init(struct exemplars *e);

/* The writer only. `at` must not be 0. */
void exemplars_put(struct exemplars *e, size_t bucket, const struct exemplar *x);

/* Replaces each of `latest`, EXEMPLARS_MAX of them, that is older. */
void exemplars_merge(const struct exemplars *e, struct exemplar *latest);
