/*
 * An app behind a limit, simulated, for the tests of the estimate: its input is that of
 * weir, and each of its readings is compared with the truth.
 */
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/estimate.h"
#include "tests/unit/limiter/dice.h"

#define SIM_MAX  8192 /* requests at once */
#define SIM_MS   INT64_C(1000)
#define SIM_S    INT64_C(1000000)
#define SIM_TICK (100 * SIM_MS)

struct sim_request {
    mono_us arrived, dispatched, ends; /* ends: the app's work; 0: it waits inside */
    mono_us leaves;                    /* its client reads until then, and holds the slot */
    bool held_up;
    int client; /* asks again after its response; -1: does not */
};

struct sim {
    uint64_t dice;
    mono_us began, now, next_tick, next_arrival;
    /* the app */
    unsigned pool;       /* 0: all at once */
    double newest_first; /* chance that a thread that is free takes the newest, not the oldest */
    mono_us (*service)(struct sim *);
    double speed; /* 2: everything takes half as long */
    /* weir */
    unsigned limit;
    bool blind_to_slow; /* requests that their clients hold up count as inside */
    /* the clients */
    double rate; /* of arrivals in a second; 0: none */
    bool regular;
    unsigned think_ms; /* of closed clients */
    double slow_share; /* of clients that read slowly */
    mono_us slow_for;
    /* the state */
    struct sim_request *queue[SIM_MAX]; /* of weir */
    size_t queued;
    struct sim_request *inside[SIM_MAX]; /* in the order of their dispatch */
    size_t n;
    unsigned busy, waiting, held_up;
    struct {
        mono_us at;
        int client;
    } asks[SIM_MAX];
    size_t n_asks;
    struct estimate *e;
    /* what came of it */
    unsigned ticks, valid, none; /* valid: a queue inside; none: no queue inside */
    mono_us first_valid, last_valid, first_none;
    double worst_parallelism, worst_hidden; /* differences */
};

static inline double sim_chance(struct sim *s)
{
    return (double)(dice_roll(&s->dice) >> 11) / 9007199254740992.0;
}

static inline struct sim *sim_new(unsigned pool, mono_us (*service)(struct sim *), unsigned limit,
                                  uint64_t seed)
{
    struct sim *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->dice = dice_number("WEIR_ESTIMATE_SEED", seed);
    s->pool = pool;
    s->service = service;
    s->speed = 1;
    s->limit = limit;
    s->now = s->began = 5 * SIM_S;
    s->next_tick = s->now;
    s->next_arrival = MONO_NEVER;
    s->e = estimate_new();
    return s;
}

static inline void sim_free(struct sim *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->inside[i]);
    for (size_t i = 0; i < s->queued; i++)
        free(s->queue[i]);
    estimate_free(s->e);
    free(s);
}

/* ---- the app ---- */

static inline void sim_work(struct sim *s, struct sim_request *r)
{
    double took = (double)s->service(s) / s->speed;

    r->ends = s->now + (took > 1 ? (mono_us)took : 1);
    s->busy++;
}

static inline void sim_next_in_pool(struct sim *s)
{
    bool newest = s->newest_first > 0 && sim_chance(s) < s->newest_first;

    for (size_t i = 0; i < s->n; i++) {
        struct sim_request *r = s->inside[newest ? s->n - 1 - i : i];
        if (r->ends == 0 && !r->held_up) {
            s->waiting--;
            sim_work(s, r);
            return;
        }
    }
}

static inline void sim_dispatch(struct sim *s)
{
    while (s->queued > 0 && s->n < s->limit) {
        struct sim_request *r = s->queue[0];
        memmove(s->queue, s->queue + 1, --s->queued * sizeof(s->queue[0]));
        r->dispatched = s->now;
        s->inside[s->n++] = r;
        if (s->pool == 0 || s->busy < s->pool)
            sim_work(s, r);
        else
            s->waiting++;
    }
}

/* ---- the clients ---- */

static inline void sim_arrive(struct sim *s, int client)
{
    struct sim_request *r = calloc(1, sizeof(*r));

    assert_true(r != NULL && s->queued < SIM_MAX);
    r->arrived = s->now;
    r->client = client;
    s->queue[s->queued++] = r;
    sim_dispatch(s);
}

static inline void sim_burst(struct sim *s, unsigned n)
{
    while (n-- > 0)
        sim_arrive(s, -1);
}

static inline void sim_ask_at(struct sim *s, mono_us at, int client)
{
    assert_true(s->n_asks < SIM_MAX);
    s->asks[s->n_asks].at = at;
    s->asks[s->n_asks++].client = client;
}

/* `n` clients that ask again after each response, begun over `over`. */
static inline void sim_clients(struct sim *s, unsigned n, mono_us over)
{
    for (unsigned i = 0; i < n; i++)
        sim_ask_at(s, s->now + (mono_us)(sim_chance(s) * (double)over), (int)i);
}

static inline void sim_rate(struct sim *s, double rate)
{
    s->rate = rate;
    s->next_arrival = rate > 0 ? s->now : MONO_NEVER;
}

static inline mono_us sim_gap(struct sim *s)
{
    double gap = (double)SIM_S / s->rate;
    return (mono_us)(s->regular ? gap : -gap * log(1 - sim_chance(s))) + 1;
}

/* ---- the end of a request ---- */

static inline void sim_leave(struct sim *s, size_t i, mono_us inside)
{
    struct sim_request *r = s->inside[i];

    estimate_completed(s->e, s->now, inside, 1);
    memmove(s->inside + i, s->inside + i + 1, (--s->n - i) * sizeof(s->inside[0]));
    if (r->client >= 0)
        sim_ask_at(s, s->now + s->think_ms * SIM_MS, r->client);
    free(r);
    sim_dispatch(s);
}

static inline void sim_worked(struct sim *s, size_t i)
{
    struct sim_request *r = s->inside[i];
    mono_us inside = s->now - r->dispatched;

    s->busy--;
    if (s->waiting > 0)
        sim_next_in_pool(s);
    if (sim_chance(s) < s->slow_share) {
        r->held_up = true;
        r->leaves = s->now + s->slow_for;
        r->ends = inside; /* what is reported in the end */
        s->held_up++;
    } else {
        sim_leave(s, i, inside);
    }
}

/* ---- truth ---- */

/* A queue inside is estimated within 5 % and two requests; if there is none, none is reported. */
static inline void sim_compare(struct sim *s)
{
    struct estimate_reading r;
    double wrong;

    estimate_read(s->e, s->now, &r);
    s->ticks++;
    if (!r.hidden_valid)
        return;
    wrong = fabs(r.hidden - s->waiting);
    if (wrong > s->worst_hidden)
        s->worst_hidden = wrong;
    if (!r.valid) {
        if (s->none++ == 0)
            s->first_none = s->now;
        return;
    }
    if (s->valid++ == 0)
        s->first_valid = s->now;
    s->last_valid = s->now;
    s->worst_parallelism =
        fmax(s->worst_parallelism, fabs(r.parallelism - s->pool) / fmax(s->pool, 1e-3));
}

static inline void sim_tick(struct sim *s)
{
    estimate_tick(s->e, s->now, (uint32_t)(s->n - (s->blind_to_slow ? 0 : s->held_up)));
    sim_compare(s);
    s->next_tick = s->now + SIM_TICK;
}

/* ---- time ---- */

static inline mono_us sim_ends(const struct sim_request *r)
{
    return r->held_up ? r->leaves : r->ends == 0 ? MONO_NEVER : r->ends;
}

static inline size_t sim_soonest(const struct sim *s, mono_us *at)
{
    size_t best = 0;

    *at = MONO_NEVER;
    for (size_t i = 0; i < s->n; i++) {
        if (sim_ends(s->inside[i]) < *at) {
            *at = sim_ends(s->inside[i]);
            best = i;
        }
    }
    return best;
}

static inline size_t sim_next_ask(const struct sim *s, mono_us *at)
{
    size_t best = 0;

    *at = MONO_NEVER;
    for (size_t i = 0; i < s->n_asks; i++) {
        if (s->asks[i].at < *at) {
            *at = s->asks[i].at;
            best = i;
        }
    }
    return best;
}

static inline void sim_end(struct sim *s, size_t i)
{
    if (s->inside[i]->held_up) {
        s->held_up--;
        sim_leave(s, i, s->inside[i]->ends);
    } else {
        sim_worked(s, i);
    }
}

static inline void sim_run(struct sim *s, mono_us us)
{
    mono_us until = s->now + us;

    for (;;) {
        mono_us ends, asks;
        size_t i = sim_soonest(s, &ends), a = sim_next_ask(s, &asks);
        mono_us next = s->next_tick;

        next = ends < next ? ends : next;
        next = asks < next ? asks : next;
        next = s->next_arrival < next ? s->next_arrival : next;
        if (next >= until)
            break;
        s->now = next;
        if (next == ends) {
            sim_end(s, i);
        } else if (next == asks) {
            int client = s->asks[a].client;
            s->asks[a] = s->asks[--s->n_asks];
            sim_arrive(s, client);
        } else if (next == s->next_arrival) {
            sim_arrive(s, -1);
            s->next_arrival = s->now + sim_gap(s);
        } else {
            sim_tick(s);
        }
    }
    s->now = until;
}
