/*
 * How late a timer comes: the one honest sign that a loop is blocked. A handler that sleeps on the
 * loop makes this timer as late as every request. The loop's thread only.
 */
#pragma once

#include "common/check.h"
#include "common/clock.h"

struct event_base;
struct looplag; /* opaque: defined in looplag.c */

typedef void looplag_fn(mono_us lag, void *arg);

/* Tells `fn` every 20 ms, or later when the loop is late, how late it was. NULL: no memory. */
MUST_USE struct looplag *looplag_start(struct event_base *base, looplag_fn *fn, void *arg);
void looplag_stop(struct looplag *ll);
