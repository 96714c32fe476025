/*
 * Random calls, each compared with a slow model: every field of the snapshot, every waiter of the
 * chain, every field of every waiter, after every operation
 * (limiter_model.h). Half of the limiters have one class and no keys, and half of those never leave
 * the strict order; the others have classes, pools and keys.
 *
 * WEIR_SEED repeats a run, WEIR_OPS sets its length.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/limiter/dice.h"
#include "tests/unit/limiter/limiter_model.h"

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

static uint64_t roll(struct dice *d)
{
    return dice_roll(&d->state);
}

static unsigned below(struct dice *d, unsigned n)
{
    return (unsigned)(roll(d) % n);
}

/* ---- limiter and model ----------------------------------------------------------------------- */

struct pair {
    struct dice dice;
    uint64_t op;
    mono_us scale; /* of all times */
    bool classes, busy;
    const char *doing;
    struct limiter *limiter;
    struct limiter_waiter w[WAITERS];
    struct model model;
    unsigned instances[INSTANCES];
    uint64_t seen[LIMITER_VERDICTS], cancels, late_cancels, chained, resumes, reconfigures;
    uint64_t requeues, requeues_kept, slots_set, made_room, elsewhere, over, overtaken;
    uint64_t by_cause[OVERLOAD_CAUSES];
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

    if (p->op % 8 == 0) {
        limiter_take_peaks(p->limiter, now, &got);
        model_take_peaks(&p->model);
    } else {
        limiter_snapshot(p->limiter, now, &got);
    }
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
    SAME(p, &got, &model, overload);
    SAME(p, &got, &model, allowance);
    SAME(p, &got, &model, overload_us);
    SAME(p, &got, &model, shed_late);
    SAME(p, &got, &model, evicted);
    SAME(p, &got, &model, overtaken);
    SAME(p, &got, &model, wasted);
    SAME(p, &got, &model, last.at);
    SAME(p, &got, &model, last.depth);
    SAME(p, &got, &model, last.turnover);
    SAME(p, &got, &model, last.oldest);
    SAME(p, &got, &model, last.patience);
    SAME(p, &got, &model, last.allowance);
    for (unsigned cause = 0; cause < OVERLOAD_CAUSES; cause++)
        SAME(p, &got, &model, overloads[cause]);
    for (unsigned c = 0; c < LIMITER_CLASSES; c++)
        SAME(p, &got, &model, class_depth[c]);
    SAME(p, &got, &model, in_flight_peak);
    SAME(p, &got, &model, depth_peak);
    SAME(p, &got, &model, wait_peak);
    same(p, "plenty", limiter_has_plenty(p->limiter), model_plenty(&p->model));
    same(p, "waiters", limiter_has_waiters(p->limiter), model.depth > 0);
    same(p, "full", limiter_is_full(p->limiter), model_full(&p->model));
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
        if (model->state == LIMITER_WAITING)
            SAME(p, got, model, late);
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

/* The bounds and the order; what must not change in use is that of `before`. */
static struct limiter_config random_bounds(struct dice *d, const struct limiter_config *before)
{
    struct limiter_config config = *before;

    config.queue_length = below(d, 8) == 0 ? 0 : below(d, 12);
    config.queue_bytes = below(d, 2) == 0 ? UINT64_MAX / 2 : 100 + below(d, 900);
    if (below(d, 8) == 0)
        config.order = LIMITER_FIFO;
    else if (below(d, 2) == 0)
        config.order = LIMITER_ADAPTIVE;
    for (unsigned pool = 0; pool < LIMITER_POOLS; pool++)
        config.pool_max[pool] = below(d, 5);
    return config;
}

static struct limiter_config random_config(struct pair *p)
{
    struct dice *d = &p->dice;
    struct limiter_config config = {.order = below(d, 2) == 0 ? LIMITER_FIFO : LIMITER_ADAPTIVE};

    p->classes = below(d, 2) == 0;
    config.classes = p->classes ? 1 + below(d, 4) : 0;
    for (unsigned c = 0; c < config.classes; c++) {
        config.class_[c].head_start = below(d, 3) * 500 * p->scale;
        config.class_[c].pools = (uint16_t)(below(d, 3) == 0 ? 1u << below(d, 2) : 0);
        if (below(d, 6) == 0)
            config.class_[c].pools = 3;
    }
    return random_bounds(d, &config);
}

static uint32_t random_slots(struct dice *d)
{
    unsigned kind = below(d, 48);

    if (kind == 0)
        return LIMITER_UNLIMITED;
    return kind < 20 ? 0 : 1 + below(d, 3);
}

static mono_us random_deadline(struct pair *p, mono_us now)
{
    switch (below(&p->dice, 4)) {
    case 0:
        return MONO_NEVER;
    case 1:
        return now - 2 + below(&p->dice, 5); /* past, present, or soon */
    default:
        return now + below(&p->dice, 2000) * p->scale;
    }
}

static void choose_what_it_is(struct pair *p, unsigned i, mono_us now, mono_us *deadline)
{
    struct limiter_waiter *w = &p->w[i];

    w->bytes = below(&p->dice, 200);
    w->class_ = (uint8_t)(p->classes ? below(&p->dice, p->model.config.classes) : 0);
    w->key = (uint8_t)(p->classes && below(&p->dice, 2) == 0 ? below(&p->dice, 3) * 31 : 0);
    w->declared = 0;
    w->left_at = 0;
    w->apart = false;
    if (below(&p->dice, 6) == 0)
        w->declared = now + below(&p->dice, 4000) * p->scale;
    if (w->declared != 0 && w->declared < *deadline)
        *deadline = w->declared;
    p->model.w[i].bytes = w->bytes;
    p->model.w[i].class_ = w->class_;
    p->model.w[i].key = w->key;
    p->model.w[i].declared = w->declared;
    p->model.w[i].left_at = 0;
    p->model.w[i].apart = false;
}

static void op_acquire(struct pair *p, mono_us now)
{
    unsigned i = pick(p, LIMITER_IDLE);
    mono_us deadline = random_deadline(p, now);

    p->doing = "acquire";
    if (i == WAITERS)
        return;
    choose_what_it_is(p, i, now, &deadline);
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
    if (below(&p->dice, 4) == 0)
        p->w[i].left_at = p->model.w[i].left_at =
            p->model.now - below(&p->dice, 100) * p->scale / 4;
    p->w[i].apart = p->model.w[i].apart = below(&p->dice, 16) == 0;
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
    enum limiter_leave why = below(&p->dice, 3) == 0 ? LIMITER_TURNED_AWAY : LIMITER_CLIENT_LEFT;
    model_cancel(&p->model, i, why);
    same(p, "cancel", limiter_cancel(p->limiter, &p->w[i], now, why), true);
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
    model_resume(&p->model, (unsigned)reason);
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
    struct limiter_config config = random_bounds(&p->dice, &p->model.config);

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
        return p->model.now - below(&p->dice, 500) * p->scale;
    if (kind < 3)
        return p->model.now;
    return p->model.now + below(&p->dice, kind == 3 ? 2000 : 100) * p->scale;
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
    if (p->busy && below(&p->dice, 3) == 0)
        op_acquire(p, now);
    else
        ops[below(&p->dice, sizeof(ops) / sizeof(ops[0]))](p, now);
    compare_snapshots(p, now);
    compare_waiters(p);
}

static void begin(struct pair *p)
{
    mono_us now = 1 + below(&p->dice, 100000);

    p->scale = below(&p->dice, 3) == 0 ? 1 : 50;
    p->busy = below(&p->dice, 3) > 0;
    struct limiter_config config = random_config(p);

    memset(p->w, 0, sizeof(p->w));
    memset(&p->model, 0, sizeof(p->model));
    p->model.now = now;
    overload_init(&p->model.overload);
    patience_init(&p->model.patience);
    model_reconfigure(&p->model, &config);
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
    p->overtaken += p->model.events.overtaken;
    for (unsigned cause = 0; cause < OVERLOAD_CAUSES; cause++)
        p->by_cause[cause] += p->model.events.overloads[cause];
    limiter_free(p->limiter);
}

static void random_calls_do_what_the_slow_model_does(void **state)
{
    struct pair *p = *state;
    uint64_t ops = dice_number("WEIR_OPS", OPS_DEFAULT);

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
    print_message("evicted %" PRIu64 ", shed late %" PRIu64 ", overtaken %" PRIu64
                  ", overloads %" PRIu64 " hopeless, %" PRIu64 " crowded, %" PRIu64 " waste\n",
                  p->seen[LIMITER_EVICTED], p->seen[LIMITER_SHED_LATE], p->overtaken,
                  p->by_cause[0], p->by_cause[1], p->by_cause[2]);
}

/* A random test proves little unless it reaches every case. */
static void the_random_calls_went_everywhere(void **state)
{
    const struct pair *p = *state;

    if (p->op < 50000)
        skip();
    for (unsigned verdict = 0; verdict < LIMITER_VERDICTS; verdict++)
        assert_true(p->seen[verdict] > p->op / 1000);
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
    assert_true(p->overtaken > p->op / 2000);
    for (unsigned cause = 0; p->op >= 1000000 && cause < OVERLOAD_CAUSES; cause++)
        assert_true(p->by_cause[cause] > 10);
}

static int seeded(void **state)
{
    static struct pair p;

    p.dice.seed = dice_number("WEIR_SEED", (uint64_t)clock_wall());
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
