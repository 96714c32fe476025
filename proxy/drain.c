/*
 * See drain.h. The stage is one atomic: a loop that is slow to read it skips none of the steps, and
 * one that finds a lower stage than its own first returns to SERVE. `empty` of a loop is true only
 * while it has neither a client nor an exchange; so once the listener is closed and no connection
 * is left, what the control thread reads there stays true.
 */
#include "proxy/drain.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/loop.h"
#include "proxy/upstream.h"

enum stage { STAGE_SERVE, STAGE_ANNOUNCE, STAGE_CLOSE, STAGE_LATE, STAGE_CUT };

enum listening { LISTENING, CLOSING, CLOSED };

struct drain_loop {
    struct drain *drain;
    struct drain_parts parts;
    enum stage stage; /* reached */
    struct task task;
    bool stepping; /* what the step ends is counted after it */
    _Atomic bool posted;
    _Atomic bool empty;
};

struct drain {
    struct loop *control;
    const struct drain_handler *handler;
    void *arg;
    enum stage asked;         /* for all loops, once the listener is closed; control thread */
    enum listening listening; /* control thread */
    struct task closed_task, look_task;
    _Atomic bool look_posted;
    _Atomic int stage; /* for all loops */
    _Atomic size_t lost;
    unsigned n;
    struct drain_loop loops[];
};

/* ---- a loop's steps ---- */

static void cut_all(struct drain_loop *dl)
{
    atomic_fetch_add(&dl->drain->lost, exchange_cut_all(dl->parts.exchanges));
    clients_cut(dl->parts.clients);
}

static void enter(struct drain_loop *dl, enum stage next)
{
    const struct drain_parts *p = &dl->parts;

    dl->stage = next;
    switch (next) {
    case STAGE_SERVE:
        exchange_undrain(p->exchanges);
        upstream_undrain(p->upstream);
        clients_undrain(p->clients);
        return;
    case STAGE_ANNOUNCE:
        exchange_announce(p->exchanges);
        return;
    case STAGE_CLOSE:
        exchange_drain(p->exchanges);
        upstream_drain(p->upstream);
        clients_drain(p->clients);
        return;
    case STAGE_LATE:
        atomic_fetch_add(&dl->drain->lost, exchange_turn_away(p->exchanges));
        return;
    case STAGE_CUT:
        cut_all(dl);
        return;
    }
}

/* Not within a step: all would seem to be done before the step has counted what it refused or cut.
 */
static void look(struct drain_loop *dl)
{
    struct drain *d = dl->drain;
    size_t late = exchange_take_late(dl->parts.exchanges);

    if (late > 0)
        atomic_fetch_add(&d->lost, late);
    if (dl->stepping || dl->stage < STAGE_CLOSE || clients_count(dl->parts.clients) > 0 ||
        exchange_total(dl->parts.exchanges) > 0)
        return;
    atomic_store(&dl->empty, true);
    if (!atomic_exchange(&d->look_posted, true))
        loop_post(d->control, &d->look_task);
}

static void on_stage(struct task *task)
{
    struct drain_loop *dl = CONTAINER_OF(task, struct drain_loop, task);

    atomic_store(&dl->posted, false);
    enum stage asked = (enum stage)atomic_load(&dl->drain->stage);
    dl->stepping = true;
    if (asked < dl->stage)
        enter(dl, STAGE_SERVE);
    while (dl->stage < asked)
        enter(dl, dl->stage + 1);
    dl->stepping = false;
    look(dl);
}

void drain_client_arrives(struct drain *d, unsigned loop)
{
    atomic_store_explicit(&d->loops[loop].empty, false, memory_order_release);
}

/* A second signal may precede the last connections that were assigned to this loop. */
void drain_client_arrived(struct drain *d, unsigned loop)
{
    struct drain_loop *dl = &d->loops[loop];

    if (dl->stage != STAGE_CUT)
        return;
    dl->stepping = true;
    cut_all(dl);
    dl->stepping = false;
    look(dl);
}

void drain_one_has_ended(struct drain *d, unsigned loop)
{
    look(&d->loops[loop]);
}

/* ---- the control thread ---- */

static void ask_loops(struct drain *d, enum stage stage)
{
    atomic_store(&d->stage, (int)stage);
    for (unsigned i = 0; i < d->n; i++) {
        if (!atomic_exchange(&d->loops[i].posted, true))
            loop_post(d->loops[i].parts.loop, &d->loops[i].task);
    }
}

/* Connections that the listener still accepts reach their loops before these close idle ones. */
static void ask(struct drain *d, enum stage stage)
{
    d->asked = stage;
    if (d->listening == CLOSED)
        ask_loops(d, stage);
}

static void on_closed(struct task *task)
{
    struct drain *d = CONTAINER_OF(task, struct drain, closed_task);

    d->listening = CLOSED;
    ask_loops(d, d->asked);
}

void drain_listener_is_closed(struct drain *d)
{
    loop_post(d->control, &d->closed_task);
}

static void on_look(struct task *task)
{
    struct drain *d = CONTAINER_OF(task, struct drain, look_task);

    atomic_store(&d->look_posted, false);
    if (d->listening != CLOSED || d->handler->connections(d->arg) > 0)
        return;
    for (unsigned i = 0; i < d->n; i++) {
        if (!atomic_load(&d->loops[i].empty))
            return;
    }
    d->handler->on_done(d->arg);
}

void drain_announce(struct drain *d)
{
    ask_loops(d, STAGE_ANNOUNCE);
}

void drain_close(struct drain *d)
{
    d->asked = STAGE_CLOSE;
    d->listening = CLOSING;
    d->handler->stop_listening(d->arg);
}

void drain_turn_away(struct drain *d)
{
    ask(d, STAGE_LATE);
}

void drain_cut(struct drain *d)
{
    ask(d, STAGE_CUT);
}

bool drain_cancel(struct drain *d, const char **why)
{
    *why = "weir is closing its port at this moment: try again";
    if (d->listening == CLOSING)
        return false;
    if (d->listening == CLOSED && !d->handler->listen_again(d->arg, why))
        return false;
    d->listening = LISTENING;
    d->asked = STAGE_SERVE;
    atomic_store(&d->lost, 0);
    ask_loops(d, STAGE_SERVE);
    return true;
}

size_t drain_lost(const struct drain *d)
{
    return atomic_load(&d->lost);
}

/* ---- building ---- */

struct drain *drain_new(struct loop *control, unsigned loops, const struct drain_handler *handler,
                        void *arg)
{
    struct drain *d = calloc(1, sizeof(*d) + loops * sizeof(d->loops[0]));

    CHECK(d != NULL);
    d->control = control;
    d->n = loops;
    d->handler = handler;
    d->arg = arg;
    d->closed_task.run = on_closed;
    d->look_task.run = on_look;
    return d;
}

void drain_free(struct drain *d)
{
    free(d);
}

void drain_set_parts(struct drain *d, unsigned loop, const struct drain_parts *parts)
{
    struct drain_loop *dl = &d->loops[loop];

    dl->drain = d;
    dl->parts = *parts;
    dl->task.run = on_stage;
}
