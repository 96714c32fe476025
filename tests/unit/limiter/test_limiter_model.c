/*
 * Random calls, each compared with a slow model: every field of the snapshot, every waiter of the
 * chain, every field of every waiter, after every operation.
 *
 * The model is independent of the limiter's design. It keeps the queue as an array; instead of
 * integrals, it adds up the holds and waits it has seen; instead of counters, it counts the
 * holders of each instance, among the waiters; instead of a place in the queue, it knows the order
 * in which all have arrived.
 *
 * WEIR_SEED repeats a run, WEIR_OPS sets its length.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "limiter/limiter.h"

#define WAITERS         24u
#define INSTANCES       5u /* in use at most; each at a random number */
#define OPS_PER_LIMITER 2000u

#ifdef WEIR_SANITIZED
#define OPS_DEFAULT 100000u
#else
#define OPS_DEFAULT 1200000u
#endif

/* ---- random numbers -------------------------------------------------------------------------- */

struct dice {
    uint64_t seed, state;
};

/* splitmix64 */
static uint64_t roll(struct dice *d)
{
    uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static unsigned below(struct dice *d, unsigned n)
{
    return (unsigned)(roll(d) % n);
}

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t given = text != NULL ? strtoull(text, NULL, 10) : 0;

    return given != 0 ? given : otherwise;
}

/* ---- the model ------------------------------------------------------------------------------- */

struct model {
    struct limiter_config config;
    uint32_t slots[LIMITER_INSTANCES];
    unsigned reasons;
    bool has_mean;
    mono_us now;
    uint64_t mean_x8;
    struct limiter_waiter w[WAITERS]; /* as the limiter's should be, except for links */
    mono_us waits_from[WAITERS];      /* begin of the present wait: arrival, or the last requeue */
    uint64_t arrival[WAITERS], arrivals;
    unsigned queue[WAITERS], depth;
    unsigned chain[WAITERS], chain_length;
    uint64_t held_us, waited_us, saturated_us; /* of holds and waits that have ended */
    struct limiter_snapshot events;            /* only its counters and peaks */
};

static uint32_t model_holders(const struct model *m)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < WAITERS; i++)
        n += m->w[i].state == LIMITER_HOLDING;
    return n;
}

static uint64_t model_bytes(const struct model *m)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < m->depth; i++)
        sum += m->w[m->queue[i]].bytes;
    return sum;
}

static uint32_t model_held(const struct model *m, unsigned instance)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < WAITERS; i++)
        n += m->w[i].state == LIMITER_HOLDING && m->w[i].instance == instance;
    return n;
}

static uint32_t model_limit(const struct model *m)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < LIMITER_INSTANCES; i++) {
        if (m->slots[i] == LIMITER_UNLIMITED)
            return LIMITER_UNLIMITED;
        sum += m->slots[i];
    }
    return sum;
}

/* The one with the smallest part of its slots in use, or LIMITER_INSTANCES. With these numbers, two
 * different parts differ as doubles. */
static unsigned model_least_loaded(const struct model *m)
{
    unsigned best = LIMITER_INSTANCES;
    double least = 1;

    for (unsigned i = 0; i < LIMITER_INSTANCES; i++) {
        double load = m->slots[i] > 0 ? (double)model_held(m, i) / m->slots[i] : 1;
        if (load < least) {
            least = load;
            best = i;
        }
    }
    return best;
}

static uint64_t model_free(const struct model *m)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < LIMITER_INSTANCES; i++) {
        uint32_t held = model_held(m, i);
        sum += m->slots[i] > held ? m->slots[i] - held : 0;
    }
    return sum;
}

static void model_time(struct model *m, mono_us now)
{
    if (now <= m->now)
        return;
    if (model_least_loaded(m) == LIMITER_INSTANCES)
        m->saturated_us += (uint64_t)(now - m->now);
    m->now = now;
}

static void model_peaks(struct model *m)
{
    if (model_holders(m) > m->events.in_flight_peak)
        m->events.in_flight_peak = model_holders(m);
    if (m->depth > m->events.depth_peak)
        m->events.depth_peak = m->depth;
}

static void model_end_wait(struct model *m, unsigned i, enum limiter_verdict verdict)
{
    struct limiter_waiter *w = &m->w[i];

    if (verdict == LIMITER_ADMITTED)
        w->instance = model_least_loaded(m);
    w->verdict = verdict;
    w->ended_at = m->now;
    w->state = verdict == LIMITER_ADMITTED ? LIMITER_HOLDING : LIMITER_IDLE;
    m->waited_us += (uint64_t)(w->ended_at - m->waits_from[i]);
    if (verdict == LIMITER_ADMITTED) {
        w->granted_at = m->now;
        m->events.admitted++;
    }
    m->events.expired += verdict == LIMITER_EXPIRED;
    model_peaks(m);
}

static void model_take_out(struct model *m, unsigned place)
{
    m->depth--;
    memmove(&m->queue[place], &m->queue[place + 1], (m->depth - place) * sizeof(m->queue[0]));
}

static bool model_slot_free(const struct model *m)
{
    return m->reasons == 0 && model_least_loaded(m) < LIMITER_INSTANCES;
}

static void model_serve(struct model *m)
{
    m->chain_length = 0;
    while (m->depth > 0) {
        unsigned i = m->queue[0];
        bool expired = m->w[i].deadline <= m->now;
        if (!expired && !model_slot_free(m))
            return;
        model_take_out(m, 0);
        model_end_wait(m, i, expired ? LIMITER_EXPIRED : LIMITER_ADMITTED);
        m->chain[m->chain_length++] = i;
    }
}

static enum limiter_verdict model_room(const struct model *m, const struct limiter_waiter *w)
{
    if (m->depth >= m->config.queue_length)
        return LIMITER_SHED_FULL;
    if (model_bytes(m) + w->bytes > m->config.queue_bytes)
        return LIMITER_SHED_BYTES;
    return LIMITER_QUEUED;
}

/* Without room, the chain gets the expired at the head; no slot is free for others. */
static enum limiter_verdict model_judge_newcomer(struct model *m, const struct limiter_waiter *w)
{
    if (model_slot_free(m))
        return LIMITER_ADMITTED;
    if (w->deadline <= m->now)
        return LIMITER_EXPIRED;
    if (model_room(m, w) != LIMITER_QUEUED)
        model_serve(m);
    return model_room(m, w);
}

static void model_acquire(struct model *m, unsigned i, mono_us deadline)
{
    struct limiter_waiter *w = &m->w[i];

    m->chain_length = 0;
    m->arrival[i] = m->arrivals++;
    m->waits_from[i] = m->now;
    w->deadline = deadline;
    w->queued_at = w->ended_at = m->now;
    w->granted_at = w->released_at = w->requeued_us = 0;
    w->verdict = model_judge_newcomer(m, w);
    m->events.shed_full += w->verdict == LIMITER_SHED_FULL;
    m->events.shed_bytes += w->verdict == LIMITER_SHED_BYTES;
    if (w->verdict == LIMITER_ADMITTED || w->verdict == LIMITER_EXPIRED)
        model_end_wait(m, i, w->verdict);
    if (w->verdict != LIMITER_QUEUED)
        return;
    w->state = LIMITER_WAITING;
    m->queue[m->depth++] = i;
    m->events.queued++;
    model_peaks(m);
}

static void model_release(struct model *m, unsigned i)
{
    struct limiter_waiter *w = &m->w[i];
    uint64_t hold = (uint64_t)(m->now - w->granted_at);

    w->state = LIMITER_IDLE;
    w->released_at = m->now;
    m->held_us += hold;
    m->events.released++;
    m->mean_x8 = m->has_mean ? m->mean_x8 - m->mean_x8 / 8 + hold : hold * 8;
    m->has_mean = true;
    model_serve(m);
}

/* Back in front of the first that arrived later. */
static void model_requeue(struct model *m, unsigned i)
{
    struct limiter_waiter *w = &m->w[i];
    unsigned place = 0;

    m->held_us += (uint64_t)(m->now - w->granted_at);
    w->requeued_us += m->now - w->granted_at;
    w->granted_at = 0;
    w->state = LIMITER_WAITING;
    w->verdict = LIMITER_QUEUED;
    m->waits_from[i] = m->now;
    m->events.requeued++;
    while (place < m->depth && m->arrival[m->queue[place]] < m->arrival[i])
        place++;
    memmove(&m->queue[place + 1], &m->queue[place], (m->depth - place) * sizeof(m->queue[0]));
    m->queue[place] = i;
    m->depth++;
    model_peaks(m);
    model_serve(m);
}

static void model_cancel(struct model *m, unsigned i)
{
    unsigned place = 0;

    while (m->queue[place] != i)
        place++;
    model_take_out(m, place);
    m->w[i].state = LIMITER_IDLE;
    m->w[i].ended_at = m->now;
    m->waited_us += (uint64_t)(m->now - m->waits_from[i]);
    m->events.cancelled++;
}

static void model_reconfigure(struct model *m, const struct limiter_config *config)
{
    m->config = *config;
    m->events.depth_peak = m->depth;
    model_serve(m);
}

static void model_set_slots(struct model *m, unsigned instance, uint32_t slots)
{
    m->slots[instance] = slots;
    m->events.in_flight_peak = model_holders(m);
    model_serve(m);
}

static bool model_plenty(const struct model *m)
{
    uint32_t quarter = model_limit(m) / 4;

    return model_slot_free(m) && m->depth == 0 && model_free(m) > (quarter > 1 ? quarter : 1);
}

static struct limiter_snapshot model_snapshot(const struct model *m)
{
    struct limiter_snapshot s = m->events;

    s.limit = model_limit(m);
    s.queue_length = m->config.queue_length;
    s.in_flight = model_holders(m);
    s.depth = m->depth;
    s.bytes = model_bytes(m);
    s.paused = m->reasons;
    s.oldest_wait = m->depth > 0 ? m->now - m->w[m->queue[0]].queued_at : 0;
    s.drain = (mono_us)(m->mean_x8 * (m->depth + 1) / 8 / (s.limit > 0 ? s.limit : 1));
    s.in_flight_us = m->held_us;
    s.queued_us = m->waited_us;
    s.saturated_us = m->saturated_us;
    for (unsigned i = 0; i < WAITERS; i++) {
        if (m->w[i].state == LIMITER_HOLDING)
            s.in_flight_us += (uint64_t)(m->now - m->w[i].granted_at);
        if (m->w[i].state == LIMITER_WAITING)
            s.queued_us += (uint64_t)(m->now - m->waits_from[i]);
    }
    return s;
}

/* ---- limiter and model ----------------------------------------------------------------------- */

struct pair {
    struct dice dice;
    uint64_t op;
    const char *doing;
    struct limiter *limiter;
    struct limiter_waiter w[WAITERS];
    struct model model;
    unsigned instances[INSTANCES];
    uint64_t seen[LIMITER_VERDICTS], cancels, late_cancels, chained, resumes, reconfigures;
    uint64_t requeues, requeues_kept, slots_set, made_room, elsewhere, over;
};

static void same(const struct pair *p, const char *what, uint64_t got, uint64_t expected)
{
    if (got == expected)
        return;
    print_error("WEIR_SEED=%" PRIu64 ", operation %" PRIu64 " (%s): %s is %" PRIu64
                ", the model says %" PRIu64 "\n",
                p->dice.seed, p->op, p->doing, what, got, expected);
    fail();
}

#define SAME(p, a, b, field) same((p), #field, (uint64_t)(a)->field, (uint64_t)(b)->field)

static void compare_snapshots(struct pair *p, mono_us now)
{
    struct limiter_snapshot got;
    struct limiter_snapshot model = model_snapshot(&p->model);

    limiter_snapshot(p->limiter, now, &got);
    SAME(p, &got, &model, limit);
    SAME(p, &got, &model, queue_length);
    SAME(p, &got, &model, in_flight);
    SAME(p, &got, &model, depth);
    SAME(p, &got, &model, bytes);
    SAME(p, &got, &model, paused);
    SAME(p, &got, &model, oldest_wait);
    SAME(p, &got, &model, drain);
    SAME(p, &got, &model, in_flight_us);
    SAME(p, &got, &model, queued_us);
    SAME(p, &got, &model, saturated_us);
    SAME(p, &got, &model, admitted);
    SAME(p, &got, &model, queued);
    SAME(p, &got, &model, shed_full);
    SAME(p, &got, &model, shed_bytes);
    SAME(p, &got, &model, expired);
    SAME(p, &got, &model, cancelled);
    SAME(p, &got, &model, released);
    SAME(p, &got, &model, requeued);
    SAME(p, &got, &model, accounting_errors);
    SAME(p, &got, &model, in_flight_peak);
    SAME(p, &got, &model, depth_peak);
    same(p, "plenty", limiter_has_plenty(p->limiter), model_plenty(&p->model));
    same(p, "waiters", limiter_has_waiters(p->limiter), model.depth > 0);
    same(p, "full", limiter_is_full(p->limiter),
         !model_slot_free(&p->model) && model.depth >= model.queue_length);
    same(p, "drain estimate", (uint64_t)limiter_drain_estimate(p->limiter), (uint64_t)model.drain);
}

static void compare_waiters(struct pair *p)
{
    for (unsigned i = 0; i < WAITERS; i++) {
        const struct limiter_waiter *got = &p->w[i], *model = &p->model.w[i];
        SAME(p, got, model, state);
        SAME(p, got, model, verdict);
        SAME(p, got, model, bytes);
        SAME(p, got, model, deadline);
        SAME(p, got, model, queued_at);
        SAME(p, got, model, ended_at);
        SAME(p, got, model, granted_at);
        SAME(p, got, model, released_at);
        SAME(p, got, model, requeued_us);
        SAME(p, got, model, instance);
    }
}

/* Before they see the verdict, some owners try to cancel: too late, and without effect. */
static void compare_chain(struct pair *p, struct limiter_waiter *chain)
{
    const struct model *m = &p->model;

    for (unsigned i = 0; i < m->chain_length; i++, chain = chain->next) {
        same(p, "length of the chain", chain != NULL, true);
        same(p, "waiter in the chain", (uint64_t)(chain - p->w), m->chain[i]);
        p->seen[chain->verdict]++;
        p->chained++;
        p->elsewhere += chain->verdict == LIMITER_ADMITTED && chain->instance != p->instances[0];
        if (below(&p->dice, 4) != 0)
            continue;
        same(p, "late cancel", limiter_cancel(p->limiter, chain, m->now, LIMITER_CLIENT_LEFT),
             false);
        p->late_cancels++;
    }
    same(p, "end of the chain", chain == NULL, true);
}

/* The index of a random waiter in this state, or WAITERS. */
static unsigned pick(struct pair *p, enum limiter_waiter_state state)
{
    unsigned from = below(&p->dice, WAITERS);

    for (unsigned k = 0; k < WAITERS; k++) {
        unsigned i = (from + k) % WAITERS;
        if (p->model.w[i].state == state)
            return i;
    }
    return WAITERS;
}

static struct limiter_config random_config(struct dice *d)
{
    struct limiter_config config = {
        .queue_length = below(d, 12), .queue_bytes = 100 + below(d, 900), .order = LIMITER_FIFO};

    if (below(d, 8) == 0)
        config.queue_length = 0;
    if (below(d, 2) == 0)
        config.queue_bytes = UINT64_MAX / 2;
    return config;
}

static uint32_t random_slots(struct dice *d)
{
    unsigned kind = below(d, 24);

    if (kind == 0)
        return LIMITER_UNLIMITED;
    return kind < 9 ? 0 : 1 + below(d, 3);
}

static mono_us random_deadline(struct pair *p, mono_us now)
{
    switch (below(&p->dice, 4)) {
    case 0:
        return MONO_NEVER;
    case 1:
        return now - 2 + below(&p->dice, 5); /* past, present, or soon */
    default:
        return now + below(&p->dice, 2000);
    }
}

static void op_acquire(struct pair *p, mono_us now)
{
    unsigned i = pick(p, LIMITER_IDLE);
    mono_us deadline = random_deadline(p, now);

    p->doing = "acquire";
    if (i == WAITERS)
        return;
    p->w[i].bytes = p->model.w[i].bytes = below(&p->dice, 200);
    model_acquire(&p->model, i, deadline);
    struct limiter_waiter *ended = &p->w[i];
    enum limiter_verdict verdict = limiter_acquire(p->limiter, &p->w[i], now, deadline, &ended);
    same(p, "verdict returned", verdict, p->model.w[i].verdict);
    p->seen[verdict]++;
    p->made_room += ended != NULL && verdict == LIMITER_QUEUED;
    compare_chain(p, ended);
}

static void op_release(struct pair *p, mono_us now)
{
    unsigned i = pick(p, LIMITER_HOLDING);

    p->doing = "release";
    if (i == WAITERS)
        return;
    model_release(&p->model, i);
    compare_chain(p, limiter_release(p->limiter, &p->w[i], now));
}

static void op_requeue(struct pair *p, mono_us now)
{
    unsigned i = pick(p, LIMITER_HOLDING);

    p->doing = "requeue";
    if (i == WAITERS)
        return;
    model_requeue(&p->model, i);
    p->requeues++;
    p->requeues_kept += p->model.w[i].state == LIMITER_WAITING;
    compare_chain(p, limiter_requeue(p->limiter, &p->w[i], now));
}

static void op_cancel(struct pair *p, mono_us now)
{
    unsigned i = pick(p, LIMITER_WAITING);

    p->doing = "cancel";
    if (i == WAITERS)
        return;
    model_cancel(&p->model, i);
    same(p, "cancel", limiter_cancel(p->limiter, &p->w[i], now, LIMITER_CLIENT_LEFT), true);
    p->cancels++;
}

static enum limiter_pause_reason random_reason(struct pair *p)
{
    static const enum limiter_pause_reason reasons[] = {
        LIMITER_PAUSE_NOT_READY, LIMITER_PAUSE_OPERATOR, LIMITER_PAUSE_SCALED_TO_0,
        LIMITER_PAUSE_DRAINING};

    return reasons[below(&p->dice, 4)];
}

static void op_pause(struct pair *p, mono_us now)
{
    enum limiter_pause_reason reason = random_reason(p);

    p->doing = "pause";
    p->model.reasons |= (unsigned)reason;
    limiter_pause(p->limiter, reason, now);
}

static void resume_from(struct pair *p, enum limiter_pause_reason reason, mono_us now)
{
    p->doing = "resume";
    p->resumes += p->model.reasons == (unsigned)reason;
    p->model.reasons &= ~(unsigned)reason;
    model_serve(&p->model);
    compare_chain(p, limiter_resume(p->limiter, reason, now));
}

static void op_resume(struct pair *p, mono_us now)
{
    resume_from(p, random_reason(p), now);
}

/* All reasons are cleared one by one, so that the random ones do not pause for most of the time. */
static void op_resume_all(struct pair *p, mono_us now)
{
    for (unsigned reason = 1; reason <= LIMITER_PAUSE_DRAINING; reason <<= 1)
        resume_from(p, (enum limiter_pause_reason)reason, now);
}

static void op_reconfigure(struct pair *p, mono_us now)
{
    struct limiter_config config = random_config(&p->dice);

    p->doing = "reconfigure";
    model_reconfigure(&p->model, &config);
    compare_chain(p, limiter_reconfigure(p->limiter, &config, now));
    p->reconfigures++;
}

static void op_set_slots(struct pair *p, mono_us now)
{
    unsigned instance = p->instances[below(&p->dice, INSTANCES)];
    uint32_t slots = random_slots(&p->dice);

    p->doing = "set slots";
    p->over += model_held(&p->model, instance) > slots;
    model_set_slots(&p->model, instance, slots);
    compare_chain(p, limiter_set_slots(p->limiter, instance, slots, now));
    p->slots_set++;
}

static void op_look(struct pair *p, mono_us now)
{
    p->doing = "snapshot";
    compare_snapshots(p, now);
}

/* Mostly forward, often unchanged, sometimes back. */
static mono_us random_time(struct pair *p)
{
    unsigned kind = below(&p->dice, 8);

    if (kind == 0)
        return p->model.now - below(&p->dice, 500);
    if (kind < 3)
        return p->model.now;
    return p->model.now + below(&p->dice, kind == 3 ? 2000 : 100);
}

/* Acquire and release are equally likely, so the queue swings between empty and full. */
static void step(struct pair *p)
{
    static void (*const ops[])(struct pair *, mono_us) = {
        op_acquire,    op_acquire, op_acquire,   op_acquire,     op_acquire, op_acquire,
        op_acquire,    op_acquire, op_acquire,   op_release,     op_release, op_release,
        op_release,    op_release, op_release,   op_release,     op_requeue, op_requeue,
        op_cancel,     op_cancel,  op_pause,     op_resume,      op_resume,  op_resume_all,
        op_resume_all, op_look,    op_set_slots, op_reconfigure,
    };
    mono_us now = random_time(p);

    model_time(&p->model, now);
    ops[below(&p->dice, sizeof(ops) / sizeof(ops[0]))](p, now);
    compare_snapshots(p, now);
    compare_waiters(p);
}

static void begin(struct pair *p)
{
    struct limiter_config config = random_config(&p->dice);
    mono_us now = below(&p->dice, 100000);

    memset(p->w, 0, sizeof(p->w));
    memset(&p->model, 0, sizeof(p->model));
    p->model.config = config;
    p->model.now = now;
    p->limiter = limiter_new(&config, now);
    assert_non_null(p->limiter);
    for (unsigned i = 0; i < INSTANCES; i++)
        p->instances[i] = below(&p->dice, LIMITER_INSTANCES);
    p->doing = "the first slots";
    model_set_slots(&p->model, p->instances[0], 4);
    compare_chain(p, limiter_set_slots(p->limiter, p->instances[0], 4, now));
}

/* All leave, and the limiter's counters must equal the sums over their history. */
static void end(struct pair *p)
{
    mono_us now = p->model.now;

    p->doing = "the end";
    while (p->model.depth > 0)
        op_cancel(p, now);
    while (model_holders(&p->model) > 0)
        op_release(p, now);
    compare_snapshots(p, now);
    compare_waiters(p);
    limiter_free(p->limiter);
}

static void random_calls_do_what_the_slow_model_does(void **state)
{
    struct pair *p = *state;
    uint64_t ops = number_from_environment("WEIR_OPS", OPS_DEFAULT);

    print_message("WEIR_SEED=%" PRIu64 " WEIR_OPS=%" PRIu64 "\n", p->dice.seed, ops);
    for (p->op = 0; p->op < ops; p->op++) {
        if (p->op % OPS_PER_LIMITER == 0)
            begin(p);
        step(p);
        if ((p->op + 1) % OPS_PER_LIMITER == 0 || p->op + 1 == ops)
            end(p);
    }
    print_message("admitted %" PRIu64 ", queued %" PRIu64 ", shed full %" PRIu64
                  ", shed bytes %" PRIu64 ", expired %" PRIu64 ", cancelled %" PRIu64
                  ", too late %" PRIu64 ", in chains %" PRIu64 ", requeued %" PRIu64 " (%" PRIu64
                  " wait), made room %" PRIu64 ", lowered below the held %" PRIu64 "\n",
                  p->seen[LIMITER_ADMITTED], p->seen[LIMITER_QUEUED], p->seen[LIMITER_SHED_FULL],
                  p->seen[LIMITER_SHED_BYTES], p->seen[LIMITER_EXPIRED], p->cancels,
                  p->late_cancels, p->chained, p->requeues, p->requeues_kept, p->made_room,
                  p->over);
}

/* A random test proves little unless it reaches every case. */
static void the_random_calls_went_everywhere(void **state)
{
    const struct pair *p = *state;

    if (p->op < 50000)
        skip();
    for (unsigned verdict = 0; verdict <= LIMITER_EXPIRED; verdict++)
        if (verdict != LIMITER_SHED_LATE) /* without declared deadlines */
            assert_true(p->seen[verdict] > p->op / 500);
    assert_true(p->cancels > p->op / 500);
    assert_true(p->late_cancels > p->op / 500);
    assert_true(p->resumes > p->op / 500);
    assert_true(p->reconfigures > p->op / 500);
    assert_true(p->requeues > p->op / 500);
    assert_true(p->requeues_kept > p->op / 500);
    assert_true(p->slots_set > p->op / 500);
    assert_true(p->over > p->op / 500);
    assert_true(p->elsewhere > p->op / 500);
    assert_true(p->made_room > p->op / 2000);
}

static int seeded(void **state)
{
    static struct pair p;

    p.dice.seed = number_from_environment("WEIR_SEED", (uint64_t)clock_wall());
    p.dice.state = p.dice.seed;
    *state = &p;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_calls_do_what_the_slow_model_does),
        cmocka_unit_test(the_random_calls_went_everywhere),
    };
    return cmocka_run_group_tests_name("limiter against its model", tests, seeded, NULL);
}
