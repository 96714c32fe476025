/*
 * Replays a scenario: clients that arrive, wait, leave and are served, around a limiter that is
 * linked here without anything else of weir. It prints what the limiter decides, in order, with the
 * time; reference.py does the same in Python, and test_replay.py compares the two.
 *
 * The scenario is read from stdin, in order of time, numbers in microseconds:
 *
 *     SLOTS LENGTH TIMEOUT ORDER(0 adaptive, 1 fifo)   once, first
 *     a AT SERVICE PATIENCE CLOSES DECLARED            a client; PATIENCE 0: it never leaves;
 *                                                      CLOSES 0: nobody sees that it has left;
 *                                                      DECLARED 0: no deadline, else after how long
 *     o AT ORDER    p AT    r AT    s AT SLOTS         new order, pause, resume, new slots
 *
 * Of events at one time, those that follow from earlier ones are before the scenario's next, and
 * otherwise the one that was planned first.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "limiter/limiter.h"

#define CLIENTS 1000000u

struct client {
    struct limiter_waiter waiter;
    mono_us service;
};

enum event_kind { DONE, LEAVES, TIMEOUT };

struct event {
    mono_us at;
    uint64_t planned; /* the order of planning */
    unsigned client;
    enum event_kind kind;
};

static struct client clients[CLIENTS];
static unsigned arrived;
static struct event heap[3 * CLIENTS];
static size_t planned_now;
static uint64_t planned_ever;
static struct limiter *limiter;
static struct limiter_config config;
static mono_us timeout;
static uint64_t begun[OVERLOAD_CAUSES];
static bool over;

/* ---- events, the earliest first: a binary heap ----------------------------------------------- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->planned < b->planned;
}

static void swap(size_t a, size_t b)
{
    struct event e = heap[a];

    heap[a] = heap[b];
    heap[b] = e;
}

static void plan(mono_us at, unsigned client, enum event_kind kind)
{
    size_t i = planned_now++;

    heap[i] = (struct event){at, planned_ever++, client, kind};
    for (; i > 0 && is_before(&heap[i], &heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(i, (i - 1) / 2);
}

static struct event next_event(void)
{
    struct event first = heap[0];
    size_t i = 0, child;

    heap[0] = heap[--planned_now];
    while ((child = 2 * i + 1) < planned_now) {
        if (child + 1 < planned_now && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &heap[i]))
            break;
        swap(i, child);
        i = child;
    }
    return first;
}

/* ---- what is printed ------------------------------------------------------------------------- */

static const char *const words[LIMITER_VERDICTS] = {
    [LIMITER_ADMITTED] = "grant", [LIMITER_SHED_FULL] = "full",  [LIMITER_SHED_BYTES] = "bytes",
    [LIMITER_SHED_LATE] = "late", [LIMITER_EXPIRED] = "expired", [LIMITER_EVICTED] = "evicted",
    [LIMITER_QUEUED] = "queued",
};

static unsigned number_of(struct limiter_waiter *w)
{
    return (unsigned)(CONTAINER_OF(w, struct client, waiter) - clients);
}

static void verdict(struct limiter_waiter *w, mono_us now)
{
    unsigned i = number_of(w);

    printf("%" PRId64 " %s %u\n", now, words[w->verdict], i);
    if (w->verdict == LIMITER_ADMITTED)
        plan(now + clients[i].service, i, DONE);
    else if (w->verdict == LIMITER_QUEUED && w->deadline != MONO_NEVER)
        plan(w->deadline, i, TIMEOUT);
}

static void verdicts(struct limiter_waiter *chain, mono_us now)
{
    for (; chain != NULL; chain = chain->next)
        verdict(chain, now);
}

/* After each event: whether an overload has begun or ended. */
static void tell_overload(mono_us now)
{
    static const char *const causes[] = {"hopeless", "crowded", "waste"};
    struct limiter_snapshot s;

    limiter_snapshot(limiter, now, &s);
    for (unsigned i = 0; i < OVERLOAD_CAUSES; i++) {
        if (s.overloads[i] == begun[i])
            continue;
        printf("%" PRId64 " overload %s, allowance %" PRId64 "\n", now, causes[i], s.allowance);
        begun[i] = s.overloads[i];
        over = true; /* it may be over already */
    }
    if (over && !s.overload)
        printf("%" PRId64 " calm\n", now);
    over = s.overload;
}

static void tell_sums(mono_us now)
{
    struct limiter_snapshot s;
    static struct patience p;

    limiter_snapshot(limiter, now, &s);
    limiter_patience(limiter, &p);
    printf("evicted %" PRIu64 " late %" PRIu64 " overtaken %" PRIu64 " wasted %" PRIu64
           " overload_us %" PRIu64 " depth %u\n",
           s.evicted, s.shed_late, s.overtaken, s.wasted, s.overload_us, s.depth);
    printf("left %.20g ended %.20g holds %.20g median %" PRId64 "\n", p.left / p.age_weight,
           p.ended / p.age_weight, p.holds / p.hold_weight, patience_quantile(&p, 0.5));
}

/* ---- what happens ---------------------------------------------------------------------------- */

static void happens(const struct event *e)
{
    struct limiter_waiter *w = &clients[e->client].waiter;

    if (e->kind == DONE) {
        verdicts(limiter_release(limiter, w, e->at), e->at);
    } else if (w->state == LIMITER_WAITING) {
        bool left = e->kind == LEAVES;
        CHECK(limiter_cancel(limiter, w, e->at, left ? LIMITER_CLIENT_LEFT : LIMITER_TURNED_AWAY));
        printf("%" PRId64 " %s %u\n", e->at, left ? "left" : "timeout", e->client);
    } else if (w->state == LIMITER_HOLDING && e->kind == LEAVES) {
        w->left_at = e->at;
    }
    tell_overload(e->at);
}

static void catch_up(mono_us now)
{
    while (planned_now > 0 && heap[0].at <= now) {
        struct event e = next_event();
        happens(&e);
    }
}

static void arrives(mono_us now, mono_us service, mono_us patience, bool closes, mono_us declared)
{
    CHECK(arrived < CLIENTS);
    struct client *c = &clients[arrived++];
    struct limiter_waiter *ended;
    mono_us wait = declared != 0 && declared < timeout ? declared : timeout;

    c->service = service;
    c->waiter.declared = declared != 0 ? now + declared : 0;
    if (closes && patience != 0)
        plan(now + patience, arrived - 1, LEAVES);
    enum limiter_verdict v = limiter_acquire(limiter, &c->waiter, now, now + wait, &ended);
    verdicts(ended, now);
    CHECK(v == c->waiter.verdict);
    verdict(&c->waiter, now);
}

/* Reads as many numbers as the line has, at most `most`. */
static int numbers_of(const char *line, mono_us *n, int most)
{
    char *end;

    for (int i = 0; i < most; i++) {
        n[i] = strtoll(line, &end, 10);
        if (end == line)
            return i;
        line = end;
    }
    return most;
}

static void scenario_line(const char *line)
{
    char what = line[0];
    mono_us numbers[5] = {0};
    const mono_us at = numbers_of(line + 1, numbers, 5) > 0 ? numbers[0] : -1, *n = numbers + 1;

    CHECK(at >= 0);
    catch_up(at);
    if (what == 'a') {
        arrives(at, n[0], n[1], n[2] != 0, n[3]);
    } else if (what == 'o') {
        config.order = n[0] != 0 ? LIMITER_FIFO : LIMITER_ADAPTIVE;
        verdicts(limiter_reconfigure(limiter, &config, at), at);
    } else if (what == 's') {
        verdicts(limiter_set_slots(limiter, 0, (uint32_t)n[0], at), at);
    } else if (what == 'p') {
        limiter_pause(limiter, LIMITER_PAUSE_OPERATOR, at);
    } else if (what == 'r') {
        verdicts(limiter_resume(limiter, LIMITER_PAUSE_OPERATOR, at), at);
    }
    tell_overload(at);
}

static void first_line(const char *line)
{
    mono_us n[4];

    CHECK(numbers_of(line, n, 4) == 4);
    const uint32_t slots = (uint32_t)n[0];
    config.queue_length = (uint32_t)n[1];
    timeout = n[2];
    config.queue_bytes = UINT64_MAX;
    config.order = n[3] != 0 ? LIMITER_FIFO : LIMITER_ADAPTIVE;
    limiter = limiter_new(&config, 0);
    CHECK(limiter != NULL);
    CHECK(limiter_set_slots(limiter, 0, slots, 0) == NULL);
}

int main(void)
{
    char line[200];
    mono_us end = 0;

    CHECK(fgets(line, sizeof(line), stdin) != NULL);
    first_line(line);
    while (fgets(line, sizeof(line), stdin) != NULL)
        scenario_line(line);
    while (planned_now > 0) {
        end = heap[0].at;
        catch_up(end);
    }
    tell_sums(end);
    limiter_free(limiter);
    return 0;
}
