/*
 * How long each request was inside the app, as it leaves: a bounded ring from one loop to the
 * control thread. The loop writes it without a lock, a locked instruction or a system call; if the
 * control thread does not keep up, an entry stands for several requests. The ring also wakes the
 * control thread's observer, which looks less often while nothing happens.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

#define COMPLETIONS_ROOM 4096 /* entries; a power of two */

struct completions; /* opaque: defined in completions.c */

struct completion {
    mono_us at;      /* when its slot was released */
    uint32_t inside; /* us in the app, without the time in which the client held it up */
    uint32_t weight; /* requests that it stands for, at least 1 */
};

/* `wake` is called on the loop, at most once after each completions_rest(). */
struct completions *completions_new(void (*wake)(void *arg), void *arg);
void completions_free(struct completions *c); /* NULL is allowed */

/* ---- the loop ---- */

/* A request has arrived. NULL is allowed. */
void completions_arrives(struct completions *c);

/* A request has left the app. NULL is allowed. */
void completions_put(struct completions *c, mono_us now, mono_us inside);

/* ---- the control thread ---- */

/* From now on, the next arrival calls `wake`. */
void completions_rest(struct completions *c);

/* The oldest entry, or NULL. It stays valid until completions_drop(), which removes it. */
const struct completion *completions_first(struct completions *c);
void completions_drop(struct completions *c);
