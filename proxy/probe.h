/*
 * Has the app started? A connect to it, as Cloud Run and Knative do: at once, then after 10 ms,
 * each pause half longer than the one before, up to 250 ms, until one succeeds. On the control
 * loop.
 */
#pragma once

#include "proxy/config.h"
#include "proxy/loop.h"

struct probe; /* opaque: defined in probe.c */

/* `on_up` comes once, not from within probe_new(). The address must outlive the probe. */
struct probe *probe_new(struct loop *lp, const struct address *to, void (*on_up)(void *arg),
                        void *arg);
void probe_free(struct probe *p);

/* Why the last try failed, as an errno; EINPROGRESS where none has. */
int probe_error(const struct probe *p);
