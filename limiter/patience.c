/*
 * Two histograms of ages and one of holds. In the terms of Kaplan and Meier: of those that leave
 * within a bin, all count as at its beginning, when those whose requests end within it are still at
 * risk; a bin with fewer than MINIMUM at risk says nothing.
 *
 * Products and sums are separate statements: a compiler may fuse the two within an expression, and
 * the result would differ by a bit from machine to machine.
 */
#include "limiter/patience.h"

#include <stdint.h>

#define FIRST_EDGE 1000 /* us: the end of bin 0 */
#define STEP       125  /* us: the width of the next eight bins, which doubles with each octave */
#define KEEP       1024 /* ages; then their counts fade by half */
#define KEEP_HOLDS 256
#define MINIMUM    8.0 /* at risk */
#define LEAVES     3.0 /* that have been seen before anything is said */
#define GOOD       0.98

/* ---- bins ------------------------------------------------------------------------------------ */

/* Where the last bin ends. Up to here, 32 bits are enough. */
#define LAST_EDGE (STEP * 8 << (PATIENCE_BINS - 1) / 8)

unsigned patience_bin(mono_us age)
{
    if (age < FIRST_EDGE)
        return 0;
    if (age >= LAST_EDGE)
        return PATIENCE_BINS - 1;
    uint32_t steps = (uint32_t)age / STEP; /* at least 8 */
    unsigned octave = 28 - (unsigned)__builtin_clz(steps);
    return 8 * octave + (steps >> octave) - 7;
}

mono_us patience_bin_begin(unsigned bin)
{
    CHECK(bin <= PATIENCE_BINS);
    if (bin == 0)
        return 0;
    return (mono_us)(8 + (bin - 1) % 8) * STEP << (bin - 1) / 8;
}

/* ---- learning -------------------------------------------------------------------------------- */

void patience_init(struct patience *p)
{
    *p = (struct patience){.age_weight = 1, .hold_weight = 1};
}

/*
 * To halve a histogram would cost more than all that is counted in between. Instead, what follows
 * weighs twice as much: all shares are the same, to the bit.
 */
#define WEIGHT_MAX 0x1p512

static void scale(double counts[PATIENCE_BINS], double by)
{
    for (unsigned i = 0; i < PATIENCE_BINS; i++)
        counts[i] *= by;
}

static void fade_ages(struct patience *p)
{
    p->age_weight *= 2;
    if (p->age_weight < WEIGHT_MAX)
        return;
    scale(p->leave, 1 / WEIGHT_MAX);
    scale(p->stay, 1 / WEIGHT_MAX);
    p->left /= WEIGHT_MAX;
    p->ended /= WEIGHT_MAX;
    p->age_weight /= WEIGHT_MAX;
}

static void fade_holds(struct patience *p)
{
    p->hold_weight *= 2;
    if (p->hold_weight < WEIGHT_MAX)
        return;
    scale(p->hold, 1 / WEIGHT_MAX);
    p->holds /= WEIGHT_MAX;
    p->hold_weight /= WEIGHT_MAX;
}

static void count_end(struct patience *p, unsigned bin, bool left)
{
    if (left) {
        p->leave[bin] += p->age_weight;
        p->left += p->age_weight;
    } else {
        p->stay[bin] += p->age_weight;
    }
    p->ended += p->age_weight;
    if (UNLIKELY(p->ended >= KEEP * p->age_weight))
        fade_ages(p);
}

static void count_hold(struct patience *p, unsigned bin)
{
    p->hold[bin] += p->hold_weight;
    p->holds += p->hold_weight;
    if (UNLIKELY(p->holds >= KEEP_HOLDS * p->hold_weight))
        fade_holds(p);
}

void patience_learn(struct patience *p, mono_us age, bool left)
{
    count_end(p, patience_bin(age), left);
}

void patience_learn_hold(struct patience *p, mono_us hold)
{
    count_hold(p, patience_bin(hold));
}

void patience_learn_served(struct patience *p, mono_us age, mono_us hold)
{
    unsigned bin = patience_bin(age);

    count_end(p, bin, false);
    count_hold(p, hold == age ? bin : patience_bin(hold));
}

/* ---- estimates ------------------------------------------------------------------------------- */

/* The share of clients that are still there in each bin if nobody serves them. */
static void survival(const struct patience *p, double share[PATIENCE_BINS])
{
    double at_risk = p->ended, enough = MINIMUM * p->age_weight, s = 1;

    for (unsigned i = 0; i < PATIENCE_BINS; i++) {
        if (at_risk >= enough) {
            double stayed = 1 - p->leave[i] / at_risk;
            s *= stayed > 0 ? stayed : 0;
        }
        share[i] = s;
        double ends = p->leave[i] + p->stay[i];
        at_risk -= ends;
    }
}

/* The share of holds in a bin, and the latest age at which they may end. */
struct hold {
    mono_us end;
    double share;
};

static unsigned distribution(const struct patience *p, struct hold holds[PATIENCE_BINS])
{
    unsigned n = 0;

    for (unsigned i = 0; i < PATIENCE_BINS; i++)
        if (p->hold[i] > 0)
            holds[n++] = (struct hold){patience_bin_begin(i + 1), p->hold[i] / p->holds};
    return n;
}

/* How likely the client of a request dispatched at `age` is there to the end. */
static double success(const double there[PATIENCE_BINS], const struct hold *holds, unsigned n,
                      mono_us age)
{
    double sum = 0;

    for (unsigned k = 0; k < n; k++) {
        double product = holds[k].share * there[patience_bin(age + holds[k].end)];
        sum += product;
    }
    return sum;
}

mono_us patience_allowance(const struct patience *p)
{
    double there[PATIENCE_BINS];
    struct hold holds[PATIENCE_BINS];

    if (p->left < LEAVES * p->age_weight || p->holds < p->hold_weight)
        return MONO_NEVER;
    survival(p, there);
    unsigned n = distribution(p, holds);
    double fresh = success(there, holds, n, 0);
    if (fresh <= 0)
        return 0;
    double enough = GOOD * fresh;
    for (unsigned i = 1; i < PATIENCE_BINS; i++) {
        double waited = there[i - 1];
        if (waited <= 0 || success(there, holds, n, patience_bin_begin(i)) / waited < enough)
            return patience_bin_begin(i - 1);
    }
    return MONO_NEVER;
}

mono_us patience_quantile(const struct patience *p, double q)
{
    double there[PATIENCE_BINS];

    if (p->left < LEAVES * p->age_weight)
        return MONO_NEVER;
    survival(p, there);
    for (unsigned i = 0; i + 1 < PATIENCE_BINS; i++)
        if (there[i] <= 1 - q)
            return patience_bin_begin(i + 1);
    return MONO_NEVER;
}
