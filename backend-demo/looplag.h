/*
 * How late a timer fires, the direct measure of a blocked loop: a handler that sleeps on the loop
 * delays this timer as much as every request. The loop's thread only.
 */
#pragma once

#include "common/check.h"
#include "common/clock.h"

struct event_base;
struct looplag; /* opaque: defined in looplag.c */

typedef void looplag_fn(mono_us lag, void *arg);

/* Calls `fn` every 20 ms, or later if the loop is late, with the delay. NULL: out of memory. */
MUST_USE struct looplag *looplag_start(struct event_base *base, looplag_fn *fn, void *arg);
void looplag_stop(struct looplag *ll);
