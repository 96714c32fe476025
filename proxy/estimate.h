/*
 * How many requests the app works on at once, and how many wait inside it, from the times that
 * requests take and from how many are inside: docs/app.md describes the inference. If these do
 * not distinguish a queue inside the app from requests that take long, nothing is known. Pure: its
 * times are arguments. Control thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

struct estimate; /* opaque: defined in estimate.c */

struct estimate_reading {
    bool valid;         /* requests wait inside the app */
    double parallelism; /* valid only: requests that it works on at once */
    bool hidden_valid;  /* implied by `valid`; without it, `hidden` is 0 */
    double hidden;      /* requests that wait inside the app */
    mono_us floor;      /* hidden_valid only: what a request takes that does not wait inside */
};

struct estimate *estimate_new(void);
void estimate_free(struct estimate *e); /* NULL is allowed */

/*
 * A request has left the app at `at` after `inside`; calls are in the order of `at`, within some
 * milliseconds. `weight`: it stands for so many; more than one means that others were not seen, and
 * nothing is known for a while.
 */
void estimate_completed(struct estimate *e, mono_us at, mono_us inside, uint32_t weight);

/* About ten times a second while requests are inside, after the completions before `now`: `inside`
 * are in the app now, without tunnels, event streams and requests that their clients hold up. */
void estimate_tick(struct estimate *e, mono_us now, uint32_t inside);

/* As of the last tick; nothing if that was a while ago. */
void estimate_read(const struct estimate *e, mono_us now, struct estimate_reading *out);
