/*
 * Where the bounds of a histogram lie, and which bucket a duration belongs to.
 *
 * histogram_quantile() interpolates inside a bucket, so it is wrong by the bucket's width at most.
 * buckets_fine() is for quantiles: its bounds are 5 % apart in the range where a wait that is
 * bounded by a timeout can be long, and one lies 1 % above the timeout, where those who ran into it
 * gather. buckets_coarse() is for means and for shares below a bound.
 *
 * Made once, before it is used; then read by any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

#define BUCKETS_MAX  200 /* bounds */
#define BUCKETS_KEYS 488 /* eight to an octave */

struct buckets {
    size_t n;
    mono_us bound[BUCKETS_MAX + 1]; /* ascending; behind the last one stands INT64_MAX */
    uint8_t first[BUCKETS_KEYS];    /* by the leading bits of a duration: the lowest bucket it may
                                       belong to */
};

/*
 * 0; from 1 ms on steps of a third up to a ten-thousandth of the timeout, of a tenth up to a
 * fiftieth, and of 5 % from there to past the timeout; 1 % above the timeout; then a few up to 1 %
 * above `most`, the longest wait of all. Both are 1 ms to an hour.
 */
void buckets_fine(struct buckets *b, mono_us timeout, mono_us most);

/* `base`, `n` ascending bounds, and 1 % above each timeout. `timeouts` end with 0. */
void buckets_coarse(struct buckets *b, const mono_us *base, size_t n, const mono_us *timeouts);

/* The exponent and the three bits behind the leading one. `us` is not negative. */
static inline size_t buckets_key(mono_us us)
{
    uint64_t n = (uint64_t)us;

    if (n < 8)
        return (size_t)n;
    unsigned shift = 60u - (unsigned)__builtin_clzll(n);
    return ((size_t)shift << 3) + (size_t)(n >> shift);
}

/* The bucket of `us`: of those whose bound is not below it, the lowest. `n` when it is above all.
 */
static inline size_t buckets_find(const struct buckets *b, mono_us us)
{
    size_t i = b->first[buckets_key(us)];

    while (us > b->bound[i])
        i++;
    return i;
}
