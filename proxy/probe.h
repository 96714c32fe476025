/*
 * The startup probe: connects to the app, as Cloud Run and Knative do, at once, then after 10 ms,
 * each pause half longer than the one before, up to 250 ms, until a connect succeeds. On the
 * control loop.
 */
#pragma once

#include "proxy/config.h"
#include "proxy/loop.h"

struct probe; /* opaque: defined in probe.c */

/* `on_up` is called once, never from within probe_new(). The address must outlive the probe. */
struct probe *probe_new(struct loop *lp, const struct address *to, void (*on_up)(void *arg),
                        void *arg);
void probe_free(struct probe *p);

/* The error of the last attempt as an errno; EINPROGRESS if none has failed. */
int probe_error(const struct probe *p);
