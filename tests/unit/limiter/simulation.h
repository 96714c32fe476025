/*
 * Clients before a limiter, in virtual time: they arrive at random, hold a slot for a service time,
 * and have a patience, at the end of which some disconnect, and others just do not care any more.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "limiter/limiter.h"
#include "tests/unit/limiter/dice.h"

#define MS     1000
#define SECOND 1000000

enum request_kind { REQUEST_ARRIVES, REQUEST_LEAVES, REQUEST_EXPIRES, REQUEST_DONE };

struct request {
    struct limiter_waiter w;
    mono_us arrives, service, patience;
    bool silent;   /* its client does not disconnect */
    bool declares; /* its client tells its patience */
    bool refused, served, in_time;
    mono_us done_at;
};

struct event {
    mono_us at;
    size_t number;
    enum request_kind kind;
    struct request *r;
};

struct simulation {
    struct limiter *limiter;
    struct limiter_config config;
    mono_us now, timeout;
    uint64_t dice;
    struct request *requests;
    size_t count, room;
    struct event *heap;
    size_t events, heap_room, numbers;
    struct request **granted; /* in order */
    size_t grants;
    void (*on_event)(struct simulation *s); /* after each; or NULL */
};

/* ---- random numbers -------------------------------------------------------------------------- */

/* From 0 to less than 1. */
static inline double uniform(struct simulation *s)
{
    return (double)(dice_roll(&s->dice) >> 11) / (double)(UINT64_C(1) << 53);
}

/* Of mean 1. Von Neumann: the length of a falling run of uniform numbers decides. */
static inline double exponential(struct simulation *s)
{
    for (double whole = 0;; whole++) {
        double first = uniform(s), last = first, next;
        unsigned length = 1;
        for (; (next = uniform(s)) < last; length++)
            last = next;
        if (length % 2 == 1)
            return whole + first;
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static inline bool event_is_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->number < b->number;
}

static inline void event_add(struct simulation *s, mono_us at, enum request_kind kind,
                             struct request *r)
{
    struct event e = {at, s->numbers++, kind, r};
    size_t i = s->events++;

    if (s->events > s->heap_room) {
        s->heap_room = s->heap_room * 2 + 1024;
        s->heap = realloc(s->heap, s->heap_room * sizeof(s->heap[0]));
        CHECK(s->heap != NULL);
    }
    for (; i > 0 && event_is_before(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = e;
}

static inline struct event event_take(struct simulation *s)
{
    struct event first = s->heap[0], last = s->heap[--s->events];
    size_t i = 0, child;

    for (; (child = 2 * i + 1) < s->events; i = child) {
        if (child + 1 < s->events && event_is_before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!event_is_before(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return first;
}

/* ---- requests -------------------------------------------------------------------------------- */

static inline void simulation_grant(struct simulation *s, struct request *r)
{
    s->granted[s->grants++] = r;
    event_add(s, s->now + r->service, REQUEST_DONE, r);
}

static inline void simulation_deliver(struct simulation *s, struct limiter_waiter *chain)
{
    for (struct limiter_waiter *w = chain, *next; w != NULL; w = next) {
        next = w->next;
        struct request *r = CONTAINER_OF(w, struct request, w);
        if (w->verdict == LIMITER_ADMITTED)
            simulation_grant(s, r);
        else
            r->refused = true;
    }
}

static inline void simulation_arrive(struct simulation *s, struct request *r)
{
    mono_us deadline = s->timeout < MONO_NEVER ? s->now + s->timeout : MONO_NEVER;
    struct limiter_waiter *ended;

    r->w.declared = r->declares ? s->now + r->patience : 0;
    if (r->declares && r->w.declared < deadline)
        deadline = r->w.declared;
    enum limiter_verdict verdict = limiter_acquire(s->limiter, &r->w, s->now, deadline, &ended);
    simulation_deliver(s, ended);
    if (!r->silent && r->patience < MONO_NEVER)
        event_add(s, s->now + r->patience, REQUEST_LEAVES, r);
    if (verdict == LIMITER_ADMITTED)
        simulation_grant(s, r);
    else if (verdict != LIMITER_QUEUED)
        r->refused = true;
    else if (deadline < MONO_NEVER)
        event_add(s, deadline, REQUEST_EXPIRES, r);
}

static inline void simulation_leave(struct simulation *s, struct request *r, enum limiter_leave why)
{
    if (r->w.state == LIMITER_WAITING) {
        assert_true(limiter_cancel(s->limiter, &r->w, s->now, why));
        r->refused = true;
    } else if (r->w.state == LIMITER_HOLDING && why == LIMITER_CLIENT_LEFT) {
        r->w.left_at = s->now;
    }
}

static inline void simulation_done(struct simulation *s, struct request *r)
{
    r->served = true;
    r->done_at = s->now;
    r->in_time = r->patience == MONO_NEVER || s->now - r->arrives <= r->patience;
    if (r->in_time)
        r->w.left_at = 0;
    simulation_deliver(s, limiter_release(s->limiter, &r->w, s->now));
}

/* ---- the run --------------------------------------------------------------------------------- */

static inline void simulation_init(struct simulation *s, const struct limiter_config *config,
                                   uint32_t slots)
{
    memset(s, 0, sizeof(*s));
    s->dice = 1;
    s->timeout = 10 * SECOND;
    s->config = *config;
    s->limiter = limiter_new(config, 0);
    assert_non_null(s->limiter);
    assert_null(limiter_set_slots(s->limiter, 0, slots, 0));
}

/* Room for all requests of a run: they must not move. */
static inline void simulation_reserve(struct simulation *s, size_t requests)
{
    s->room = requests;
    s->requests = calloc(requests, sizeof(s->requests[0]));
    s->granted = calloc(requests, sizeof(s->granted[0]));
    CHECK(s->requests != NULL && s->granted != NULL);
}

static inline struct request *simulation_add(struct simulation *s, mono_us at, mono_us service,
                                             mono_us patience)
{
    CHECK(s->count < s->room);
    struct request *r = &s->requests[s->count++];

    r->arrives = at;
    r->service = service;
    r->patience = patience;
    event_add(s, at, REQUEST_ARRIVES, r);
    return r;
}

static inline void simulation_step(struct simulation *s)
{
    struct event e = event_take(s);

    s->now = e.at;
    switch (e.kind) {
    case REQUEST_ARRIVES:
        simulation_arrive(s, e.r);
        break;
    case REQUEST_LEAVES:
        simulation_leave(s, e.r, LIMITER_CLIENT_LEFT);
        break;
    case REQUEST_EXPIRES:
        simulation_leave(s, e.r, LIMITER_TURNED_AWAY);
        break;
    case REQUEST_DONE:
        simulation_done(s, e.r);
        break;
    }
    if (s->on_event != NULL)
        s->on_event(s);
}

static inline void simulation_run_until(struct simulation *s, mono_us until)
{
    while (s->events > 0 && s->heap[0].at < until)
        simulation_step(s);
}

static inline struct limiter_snapshot simulation_run(struct simulation *s)
{
    struct limiter_snapshot end;

    while (s->events > 0)
        simulation_step(s);
    limiter_snapshot(s->limiter, s->now, &end);
    assert_int_equal(end.accounting_errors, 0);
    return end;
}

static inline void simulation_free(struct simulation *s)
{
    limiter_free(s->limiter);
    free(s->requests);
    free(s->granted);
    free(s->heap);
}
