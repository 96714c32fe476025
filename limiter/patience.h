/*
 * How long clients are willing to wait, learned from those that leave, and how long a request may
 * wait before that costs it its chance of success.
 *
 * Each request that ends teaches one thing: its client left at this age (an event), or was still
 * there at this age (censored). The product-limit estimate (Kaplan and Meier, 1958) makes a
 * survival curve of both: the share of clients that are still there at an age. Together with the
 * distribution of slot holds it says how likely a request dispatched at an age is still wanted when
 * it is done.
 *
 * The histograms have bins of about 10 %, eight an octave, from 1 ms to 131 s; older counts fade:
 * when a histogram has enough, what it has counts half of what follows. Pure: no clock, no locks,
 * nothing allocated. All arithmetic is on integers and on IEEE doubles in a fixed order, so that a
 * model with the same operations gets the same bits.
 */
#pragma once

#include <stdbool.h>

#include "common/check.h"
#include "common/clock.h"

#define PATIENCE_BINS 137

/* The fields may be read and copied; only the functions write them. */
struct patience {
    double age_weight, hold_weight; /* what one more counts: a power of two */
    double left;                    /* the sum of `leave` */
    double ended;                   /* the sum of `leave` and `stay` */
    double holds;                   /* the sum of `hold` */
    double leave[PATIENCE_BINS];    /* clients that left, by age */
    double stay[PATIENCE_BINS];     /* clients that were still there when their request ended */
    double hold[PATIENCE_BINS];     /* slot holds */
};

/* Knows nothing. */
void patience_init(struct patience *p);

/* A request ended at this age; `left`: because its client left. A negative age counts as 0. */
void patience_learn(struct patience *p, mono_us age, bool left);

/* A slot was held for this time. */
void patience_learn_hold(struct patience *p, mono_us hold);

/* Both, for a request whose client stayed; cheaper, above all if it did not wait. */
void patience_learn_served(struct patience *p, mono_us age, mono_us hold);

/*
 * The longest wait up to which all waits are as good as none, within 2 %: a request that is
 * dispatched after it is less likely than that to be wanted when it is done. 0: any wait is worse.
 * MONO_NEVER: none is, or too little is known (fewer than three clients have left, or no hold has
 * ended). Some 10 us.
 */
MUST_USE mono_us patience_allowance(const struct patience *p);

/*
 * The time within which a share `q` of the clients (0 < q < 1) leave if nobody serves them: the
 * upper edge of a bin. MONO_NEVER: not known, or beyond the last bin, since too few clients have
 * left, or requests end before so many do.
 */
MUST_USE mono_us patience_quantile(const struct patience *p, double q);

/* The bin of an age, and the age at which a bin begins: 0, then 125 us * 2^octave * (8 + m). */
unsigned patience_bin(mono_us age);
mono_us patience_bin_begin(unsigned bin);
