/*
 * Changes to the configuration while weir is running: by reading its sources again (SIGHUP, or a
 * changed file if `watch` is set), and by a command (PATCH /config). A change is checked as a
 * whole; one with an error changes nothing, and all its errors are reported. On the control loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/span.h"
#include "common/strbuf.h"
#include "proxy/config.h"
#include "proxy/loop.h"

struct reload; /* opaque: defined in reload.c */

/* Puts a checked configuration in force; it keeps a reference of its own. */
typedef void reload_apply_fn(void *arg, struct config *next);

/* `running` is in force, and was read from `source`, which must outlive this, as must all that it
 * points to. */
struct reload *reload_new(struct loop *lp, const struct config_source *source,
                          struct config *running, reload_apply_fn *apply, void *arg);
void reload_free(struct reload *r);

/* SIGHUP: reads the sources again. Logs what has changed, or the errors. */
void reload_sources(struct reload *r);

/* Changes single values, until the next reload. False: `problems` has all errors, and nothing has
 * changed. */
MUST_USE bool reload_patch(struct reload *r, struct span json, struct strbuf *problems);

struct reload_counts {
    uint64_t applied, rejected;
    /* Of reading the sources, the start included; commands do not count. A file that is as before
     * was read with success. */
    bool last_read_succeeded;
    wall_us last_success;
};
struct reload_counts reload_counts(const struct reload *r);
