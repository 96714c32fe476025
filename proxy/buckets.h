/*
 * The bucket bounds of a histogram, and the bucket that a duration belongs to.
 *
 * histogram_quantile() interpolates inside a bucket, so its error is at most the bucket's width.
 * buckets_fine() is for quantiles: its bounds are 5% apart in the range of long waits that a
 * timeout bounds, and one lies 1% above the timeout, where the waits that ran into it accumulate.
 * buckets_coarse() is for means and for shares below a bound.
 *
 * Initialised before use; then read by any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

#define BUCKETS_MAX  200 /* bounds */
#define BUCKETS_KEYS 488 /* eight per octave */

struct buckets {
    size_t n;
    mono_us bound[BUCKETS_MAX + 1]; /* ascending; followed by INT64_MAX */
    uint8_t first[BUCKETS_KEYS];    /* by the leading bits of a duration: the lowest bucket it may
                                       belong to */
};

/*
 * Bounds at 0; from 1 ms in steps of a third up to 1/10,000 of the timeout, of a tenth up to 1/50,
 * and of 5% from there to past the timeout; 1% above the timeout; then a few up to 1% above
 * `most`, the longest wait possible. Both arguments are from 1 ms to an hour.
 */
void buckets_fine(struct buckets *b, mono_us timeout, mono_us most);

/* Bounds from `from` to above `most`, each `percent` above the one before. */
void buckets_even(struct buckets *b, mono_us from, mono_us most, unsigned percent);

/* `base`, which are `n` ascending bounds, and 1% above each timeout. `timeouts` ends with 0. */
void buckets_coarse(struct buckets *b, const mono_us *base, size_t n, const mono_us *timeouts);

/* The exponent and the three bits after the leading one. `us` must not be negative. */
static inline size_t buckets_key(mono_us us)
{
    uint64_t n = (uint64_t)us;

    if (n < 8)
        return (size_t)n;
    unsigned shift = 60u - (unsigned)__builtin_clzll(n);
    return ((size_t)shift << 3) + (size_t)(n >> shift);
}

/* The bucket of `us`: the lowest whose bound is not below it; `n` if it is above all bounds. */
static inline size_t buckets_find(const struct buckets *b, mono_us us)
{
    size_t i = b->first[buckets_key(us)];

    while (us > b->bound[i])
        i++;
    return i;
}

/*
 * The value below which a share `q` of the durations lies, interpolated within its bucket. `count`
 * has their numbers by bucket, `n + 1` of them; all durations lie between `least` and `most`. -1:
 * there are none.
 */
mono_us buckets_quantile(const struct buckets *b, const uint32_t *count, double q, mono_us least,
                         mono_us most);
