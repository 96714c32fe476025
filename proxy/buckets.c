#include "proxy/buckets.h"

#include <string.h>

#include "common/check.h"

#define GRID_FROM 1000 /* us */

/* One decade in steps of 5% at most, with 1, 2, 2.5, 3 and 5 among them. */
static const uint16_t grid[] = {
    100, 104, 109, 114, 119, 124, 130, 135, 141, 148, 154, 161, 168, 176, 183, 192, 200,
    209, 219, 229, 239, 250, 262, 274, 287, 300, 314, 329, 345, 361, 378, 396, 415, 435,
    456, 477, 500, 524, 548, 574, 602, 630, 660, 691, 724, 758, 794, 831, 871, 912, 955,
};
enum { GRID = sizeof(grid) / sizeof(grid[0]) };

static mono_us grid_at(size_t i)
{
    mono_us us = grid[i % GRID] * (GRID_FROM / 100);

    for (size_t decade = i / GRID; decade > 0; decade--)
        us *= 10;
    return us;
}

static mono_us just_above(mono_us timeout)
{
    return timeout + timeout / 100;
}

static void append(struct buckets *b, mono_us bound)
{
    CHECK(b->n < BUCKETS_MAX && (b->n == 0 || b->bound[b->n - 1] < bound));
    b->bound[b->n++] = bound;
}

static void insert(struct buckets *b, mono_us bound)
{
    size_t at = b->n;

    while (at > 0 && b->bound[at - 1] >= bound)
        at--;
    if (at < b->n && b->bound[at] == bound)
        return;
    CHECK(b->n < BUCKETS_MAX);
    memmove(&b->bound[at + 1], &b->bound[at], (b->n - at) * sizeof(b->bound[0]));
    b->bound[at] = bound;
    b->n++;
}

/* The lowest duration with this key. */
static mono_us key_begins(size_t key)
{
    return key < 16 ? (mono_us)key : (mono_us)(8 + (key & 7)) << ((key >> 3) - 1);
}

static void finish(struct buckets *b)
{
    size_t bucket = 0;

    b->bound[b->n] = INT64_MAX;
    for (size_t key = 0; key < BUCKETS_KEYS; key++) {
        while (b->bound[bucket] < key_begins(key))
            bucket++;
        b->first[key] = (uint8_t)bucket;
    }
}

static size_t step_at(mono_us bound, mono_us timeout)
{
    return bound < timeout / 10000 ? 6 : bound < timeout / 50 ? 2 : 1;
}

void buckets_fine(struct buckets *b, mono_us timeout, mono_us most)
{
    mono_us bound = 0;

    memset(b, 0, sizeof(*b));
    append(b, 0);
    for (size_t i = 0; bound <= just_above(timeout); i += step_at(bound, timeout)) {
        bound = grid_at(i);
        append(b, bound);
    }
    for (bound = bound / 2 * 5; bound < most; bound = bound / 2 * 5)
        append(b, bound);
    insert(b, just_above(timeout));
    insert(b, just_above(most));
    finish(b);
}

void buckets_coarse(struct buckets *b, const mono_us *base, size_t n, const mono_us *timeouts)
{
    memset(b, 0, sizeof(*b));
    for (size_t i = 0; i < n; i++)
        append(b, base[i]);
    for (; *timeouts != 0; timeouts++)
        insert(b, just_above(*timeouts));
    finish(b);
}

void buckets_even(struct buckets *b, mono_us from, mono_us most, unsigned percent)
{
    memset(b, 0, sizeof(*b));
    append(b, from);
    for (mono_us bound = from; bound < most;) {
        bound += bound * (mono_us)percent / 100 + 1;
        append(b, bound);
    }
    finish(b);
}

/* ---- quantiles ---- */

/* Within a bucket, values are taken to be spread evenly over the part that is in the range. */
static mono_us interpolate(const struct buckets *b, size_t bucket, double share, mono_us least,
                           mono_us most)
{
    mono_us from = bucket > 0 ? b->bound[bucket - 1] : 0;
    mono_us to = b->bound[bucket];

    if (from < least)
        from = least;
    if (to > most)
        to = most;
    return to > from ? from + (mono_us)((double)(to - from) * share) : to;
}

mono_us buckets_quantile(const struct buckets *b, const uint32_t *count, double q, mono_us least,
                         mono_us most)
{
    uint64_t total = 0, below = 0;

    for (size_t i = 0; i <= b->n; i++)
        total += count[i];
    double rank = q * (double)total;
    for (size_t i = 0; i <= b->n; i++) {
        if (count[i] > 0 && (double)(below + count[i]) >= rank)
            return interpolate(b, i, (rank - (double)below) / count[i], least, most);
        below += count[i];
    }
    return -1;
}
