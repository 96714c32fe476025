/*
 * The steps of a drain, in all worker loops. The control thread sets the stage that the loops are
 * to reach and posts a task to each; a loop then takes the steps up to that stage, in order:
 *
 *   SERVE ──► ANNOUNCE ──► CLOSE ──► LATE ──► CUT      a cancel leads from any of them to SERVE
 *
 * CLOSE and the steps after it begin only once the listener has been closed. The drain is complete
 * when no connection is left anywhere, not even one that is being passed between loops, and no loop
 * has an exchange. Each function names its thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"

struct clients;
struct exchange_env;
struct loop;
struct upstream;

struct drain; /* opaque: defined in drain.c */

struct drain_handler {
    /* Control thread: close the listener. drain_listener_is_closed() follows. */
    void (*stop_listening)(void *arg);
    /* Control thread: open it again. False: `why` has the reason. */
    bool (*listen_again)(void *arg, const char **why);
    /* Any thread: connections that were accepted and have not ended. */
    uint32_t (*connections)(void *arg);
    /* Control thread: nothing is left. May be called more than once. */
    void (*on_done)(void *arg);
};

/* What a drain acts on in one worker's loop. */
struct drain_parts {
    struct loop *loop;
    struct upstream *upstream;
    struct exchange_env *exchanges;
    struct clients *clients;
};

struct drain *drain_new(struct loop *control, unsigned loops, const struct drain_handler *handler,
                        void *arg);
void drain_free(struct drain *d); /* no loop runs any more; NULL is allowed */

/* Before the loops run. */
void drain_set_parts(struct drain *d, unsigned loop, const struct drain_parts *parts);

/* ---- control thread ---- */

void drain_announce(struct drain *d);  /* each response is the last on its connection */
void drain_close(struct drain *d);     /* no connection is accepted */
void drain_turn_away(struct drain *d); /* requests that are still queued are refused */
void drain_cut(struct drain *d);       /* what remains is cut off */

/* Serve as before. False: `why` has the reason, and the drain continues. */
MUST_USE bool drain_cancel(struct drain *d, const char **why);

/* Any thread: requests that this drain has refused or cut off. */
size_t drain_lost(const struct drain *d);

/* The listener's loop: it is closed, and the connections waiting there have been accepted. */
void drain_listener_is_closed(struct drain *d);

/* ---- the worker's loop ---- */

void drain_client_arrives(struct drain *d, unsigned loop); /* before it is accepted */
void drain_client_arrived(struct drain *d, unsigned loop); /* after that */

/* A client or an exchange has ended. */
void drain_one_has_ended(struct drain *d, unsigned loop);
