/*
 * Four threads, each with jobs and an inbox of its own, share one limiter, as weir's loops do. A
 * thread that releases a slot gets the chain and posts each verdict to its owner, sometimes late,
 * so that owners that cancel meanwhile find their verdict on its way: the rarest path in practice.
 *
 * Two of the threads pause and resume, each for a reason of its own; a third lowers and raises the
 * slots of two instances; all hand slots back at times.
 *
 * In one run the order is strict, and checked. In another there are overloads, classes, pools, keys
 * and declared deadlines, and the order changes at times.
 *
 * The checks do not rely on the limiter: an atomic count of each instance's slots in use, changed
 * only while they are held; and a record of all waits, evaluated at the end. Time is a shared
 * counter, so that hardly any two times are equal; the limiter sees it out of order, as with real
 * clocks.
 *
 * WEIR_SEED and WEIR_OPS (steps per thread) as in the model test; a seed repeats the choices, not
 * the interleaving.
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "limiter/limiter.h"
#include "tests/unit/limiter/dice.h"

#define THREADS         4u
#define JOBS            8u
#define INSTANCES       2u
#define LIMIT           5u /* the sum of what both have at most */
#define CLASSES         4u /* the upper two share a pool of three slots */
#define POOL_MAX        3u
#define PAUSES          4096u
#define LATE_AT_LEAST   1000u
#define SECONDS_AT_MOST 240u
#define STRETCH_AT_MOST 50u /* times the requested steps, until enough cancels were too late */

#ifdef WEIR_SANITIZED
#define STEPS_DEFAULT 30000u
#else
#define STEPS_DEFAULT 600000u
#endif

/* What the owner knows about a job; the limiter's own state may be read only after the verdict. */
enum job_state { JOB_IDLE, JOB_WAITING, JOB_ABANDONED /* cancelled too late */, JOB_HOLDING };

/* The limiter's number and the most slots of each instance. */
static const unsigned instance_numbers[INSTANCES] = {0, LIMITER_INSTANCES - 1};
static const uint32_t instance_slots[INSTANCES] = {2, 3};

struct job {
    struct limiter_waiter waiter;
    struct worker *owner;
    struct job *next; /* in an inbox or outbox: its verdict is on its way */
    enum job_state state;
    bool returned;         /* it handed its slot back, and waits again... */
    mono_us was_granted;   /* ...after a hold from then on... */
    mono_us had_lent;      /* ...and when requeued_us was this */
    atomic_bool under_way; /* set by the thread that got the chain */
};

struct wait {
    mono_us queued_at, ended_at;
    bool waited, admitted;
    bool returned; /* the wait began with a slot handed back, at `since` */
    mono_us since;
};

/* No grant has a time in it: one from before has an earlier time, one from after a later. */
struct pause {
    mono_us from, to; /* to: not included */
};

struct shared;

struct worker {
    struct shared *shared;
    pthread_t thread;
    unsigned number;
    uint64_t dice;
    bool reduced; /* it has paused, or lowered the slots */
    struct job jobs[JOBS];
    struct job *outbox, *outbox_last; /* verdicts that are not posted yet */

    pthread_mutex_t mutex; /* guards the inbox */
    pthread_cond_t arrived;
    struct job *inbox;

    struct wait *diary;
    size_t written, room;
    struct pause pauses[PAUSES]; /* the latest ones */
    size_t paused;
    uint64_t held_us, waited_us, late, in_time, expired, evicted, admitted, requeued, made_room;
};

struct shared {
    struct limiter *limiter;
    struct worker workers[THREADS];
    struct limiter_config config;
    bool strict;
    uint64_t steps;
    atomic_int_least64_t clock;
    atomic_uint in_use[INSTANCES], in_use_in_all, in_pool;
    atomic_bool all_in_use; /* once, all slots were */
    atomic_uint_least64_t late, violations;
};

/* xorshift64* */
static unsigned below(struct worker *me, unsigned n)
{
    me->dice ^= me->dice >> 12;
    me->dice ^= me->dice << 25;
    me->dice ^= me->dice >> 27;
    return (unsigned)((me->dice * UINT64_C(2685821657736338717) >> 33) % n);
}

static mono_us tick(struct worker *me)
{
    return atomic_fetch_add(&me->shared->clock, me->shared->strict ? 1 : 40);
}

/* cmocka's asserts must not be used off the main thread: counts violations, which are asserted at
 * the end. */
static void must(struct worker *me, bool holds, const char *law)
{
    if (holds)
        return;
    if (atomic_fetch_add(&me->shared->violations, 1) < 10)
        print_error("thread %u: violated: %s\n", me->number, law);
}

#define MUST(me, cond) must((me), (cond), #cond)

/* ---- slots in use ---------------------------------------------------------------------------- */

static unsigned instance_of(const struct limiter_waiter *w)
{
    return w->instance == instance_numbers[0] ? 0 : 1;
}

static void slot_taken(struct worker *me, const struct limiter_waiter *w)
{
    struct shared *shared = me->shared;
    unsigned i = instance_of(w);

    MUST(me, w->instance == instance_numbers[i]);
    MUST(me, atomic_fetch_add(&shared->in_use[i], 1) < instance_slots[i]);
    if (w->class_ >= CLASSES / 2)
        MUST(me, atomic_fetch_add(&shared->in_pool, 1) < POOL_MAX);
    if (atomic_fetch_add(&shared->in_use_in_all, 1) == LIMIT - 1)
        atomic_store(&shared->all_in_use, true);
}

static void slot_given_back(struct worker *me, const struct limiter_waiter *w)
{
    if (w->class_ >= CLASSES / 2)
        atomic_fetch_sub(&me->shared->in_pool, 1);
    atomic_fetch_sub(&me->shared->in_use_in_all, 1);
    MUST(me, atomic_fetch_sub(&me->shared->in_use[instance_of(w)], 1) >= 1);
}

/* ---- the record of waits --------------------------------------------------------------------- */

/* How long it has waited in all, once the wait is over. */
static uint64_t waited_us(const struct limiter_waiter *w)
{
    return (uint64_t)(w->ended_at - w->queued_at - w->requeued_us);
}

static void write_down(struct worker *me, struct job *job, bool waited)
{
    const struct limiter_waiter *w = &job->waiter;

    if (me->written == me->room) {
        me->room = me->room == 0 ? 4096 : me->room * 2;
        me->diary = realloc(me->diary, me->room * sizeof(me->diary[0]));
        CHECK(me->diary != NULL);
    }
    me->diary[me->written++] =
        (struct wait){.queued_at = w->queued_at,
                      .ended_at = w->ended_at,
                      .waited = waited,
                      .admitted = w->verdict == LIMITER_ADMITTED,
                      .returned = job->returned,
                      .since = job->was_granted + w->requeued_us - job->had_lent};
    me->waited_us += waited_us(w);
    if (w->verdict != LIMITER_ADMITTED) /* else the release counts it */
        me->held_us += (uint64_t)w->requeued_us;
    job->returned = false;
}

/* ---- verdicts on their way ------------------------------------------------------------------- */

static void post(struct job *job)
{
    struct worker *owner = job->owner;

    pthread_mutex_lock(&owner->mutex);
    job->next = owner->inbox;
    owner->inbox = job;
    pthread_cond_signal(&owner->arrived);
    pthread_mutex_unlock(&owner->mutex);
}

static void post_all(struct worker *me)
{
    for (struct job *job = me->outbox, *next; job != NULL; job = next) {
        next = job->next;
        post(job);
    }
    me->outbox = me->outbox_last = NULL;
}

static void put_in_outbox(struct worker *me, struct job *job)
{
    job->next = NULL;
    if (me->outbox_last != NULL)
        me->outbox_last->next = job;
    else
        me->outbox = job;
    me->outbox_last = job;
}

static void take_chain(struct worker *me, struct limiter_waiter *chain)
{
    for (struct limiter_waiter *w = chain, *next; w != NULL; w = next) {
        next = w->next;
        struct job *job = CONTAINER_OF(w, struct job, waiter);
        if (w->verdict == LIMITER_ADMITTED)
            slot_taken(me, w);
        atomic_store(&job->under_way, true);
        put_in_outbox(me, job);
    }
}

/* ---- the owner's steps ----------------------------------------------------------------------- */

static void job_release(struct worker *me, struct job *job)
{
    const struct limiter_waiter *w = &job->waiter;

    if (!me->shared->strict) {
        job->waiter.left_at = below(me, 3) == 0 ? w->granted_at : 0;
        job->waiter.apart = below(me, 16) == 0;
    }
    slot_given_back(me, w);
    struct limiter_waiter *chain = limiter_release(me->shared->limiter, &job->waiter, tick(me));
    me->held_us += (uint64_t)(w->released_at - w->granted_at + w->requeued_us);
    job->state = JOB_IDLE;
    take_chain(me, chain);
}

/* Its waits up to here will be part of the sum that is written down at the end of the next. */
static void job_requeue(struct worker *me, struct job *job)
{
    const struct limiter_waiter *w = &job->waiter;

    slot_given_back(me, w);
    me->waited_us -= waited_us(w);
    job->returned = true;
    job->was_granted = w->granted_at;
    job->had_lent = w->requeued_us;
    job->state = JOB_WAITING;
    me->requeued++;
    take_chain(me, limiter_requeue(me->shared->limiter, &job->waiter, tick(me)));
}

static mono_us some_deadline(struct worker *me, mono_us now)
{
    return below(me, 3) == 0 ? now + 1 + below(me, 60) : MONO_NEVER;
}

/* Returns its deadline. */
static mono_us choose_what_it_is(struct worker *me, struct limiter_waiter *w, mono_us now)
{
    mono_us deadline = some_deadline(me, now);

    if (me->shared->strict)
        return deadline;
    if (deadline != MONO_NEVER)
        deadline = now + (deadline - now) * 400;
    w->class_ = (uint8_t)below(me, CLASSES);
    w->key = (uint8_t)below(me, 3);
    w->declared = below(me, 8) == 0 ? now + 1 + below(me, 8000) : 0;
    return w->declared != 0 && w->declared < deadline ? w->declared : deadline;
}

static void job_acquire(struct worker *me, struct job *job)
{
    mono_us now = tick(me);
    mono_us deadline = choose_what_it_is(me, &job->waiter, now);
    struct limiter_waiter *ended;
    enum limiter_verdict verdict =
        limiter_acquire(me->shared->limiter, &job->waiter, now, deadline, &ended);

    me->made_room += ended != NULL;
    take_chain(me, ended);
    if (verdict == LIMITER_QUEUED) {
        job->state = JOB_WAITING;
        return;
    }
    if (verdict == LIMITER_ADMITTED) {
        slot_taken(me, &job->waiter);
        job->state = JOB_HOLDING;
        me->admitted++;
    }
    me->expired += verdict == LIMITER_EXPIRED;
    write_down(me, job, false);
}

static void job_cancel(struct worker *me, struct job *job)
{
    bool surely_late = atomic_load(&job->under_way);

    if (limiter_cancel(me->shared->limiter, &job->waiter, tick(me), LIMITER_CLIENT_LEFT)) {
        MUST(me, !surely_late);
        job->state = JOB_IDLE;
        me->in_time++;
        write_down(me, job, true);
        return;
    }
    job->state = JOB_ABANDONED;
    me->late++;
    atomic_fetch_add(&me->shared->late, 1);
}

static void job_verdict(struct worker *me, struct job *job)
{
    const struct limiter_waiter *w = &job->waiter;
    bool abandoned = job->state == JOB_ABANDONED;

    MUST(me, job->owner == me);
    MUST(me, abandoned || job->state == JOB_WAITING);
    atomic_store(&job->under_way, false);
    write_down(me, job, true);
    if (w->verdict != LIMITER_ADMITTED) {
        bool evicted = w->verdict == LIMITER_EVICTED && !me->shared->strict;
        MUST(me, evicted || (w->verdict == LIMITER_EXPIRED && w->ended_at >= w->deadline));
        job->state = JOB_IDLE;
        me->expired += !evicted;
        me->evicted += evicted;
        return;
    }
    MUST(me, w->granted_at < w->deadline);
    job->state = JOB_HOLDING;
    me->admitted++;
    if (abandoned)
        job_release(me, job);
}

static void read_inbox(struct worker *me, bool wait)
{
    pthread_mutex_lock(&me->mutex);
    while (wait && me->inbox == NULL)
        pthread_cond_wait(&me->arrived, &me->mutex);
    struct job *jobs = me->inbox;
    me->inbox = NULL;
    pthread_mutex_unlock(&me->mutex);

    for (struct job *job = jobs, *next; job != NULL; job = next) {
        next = job->next;
        job_verdict(me, job);
    }
}

/* Half of the owners whose verdict is known to be on its way cancel now. */
static void give_up_too_late(struct worker *me)
{
    for (unsigned i = 0; i < JOBS; i++) {
        struct job *job = &me->jobs[i];
        if (job->state == JOB_WAITING && atomic_load(&job->under_way) && below(me, 2) == 0)
            job_cancel(me, job);
    }
}

static void look(struct worker *me)
{
    struct limiter_snapshot s;

    limiter_snapshot(me->shared->limiter, tick(me), &s);
    MUST(me, s.limit <= LIMIT);
    MUST(me, s.in_flight <= LIMIT);
    MUST(me, s.in_flight_peak <= LIMIT);
    MUST(me, s.accounting_errors == 0);
    MUST(me, s.in_flight == s.admitted - s.released - s.requeued);
    uint32_t plain = s.depth - s.class_depth[CLASSES - 1] - s.class_depth[CLASSES - 2];
    MUST(me, s.paused != 0 || plain == 0 || s.in_flight >= s.limit);
    MUST(me, !s.overload || plain > 0);
}

/* The first two workers pause, each for its own reason, which it alone has to clear. */
static void pause_or_resume(struct worker *me)
{
    static const enum limiter_pause_reason reasons[] = {LIMITER_PAUSE_NOT_READY,
                                                        LIMITER_PAUSE_OPERATOR};
    enum limiter_pause_reason reason = reasons[me->number];

    if (me->reduced) {
        mono_us now = tick(me);
        me->pauses[me->paused++ % PAUSES].to = now;
        take_chain(me, limiter_resume(me->shared->limiter, reason, now));
        return;
    }
    limiter_pause(me->shared->limiter, reason, tick(me));
    me->pauses[me->paused % PAUSES].from = atomic_load(&me->shared->clock);
}

/* Fewer slots for one instance, none at times; then all that both have. */
static void lower_or_raise(struct worker *me)
{
    struct limiter *l = me->shared->limiter;
    unsigned lowered = below(me, INSTANCES);

    for (unsigned i = 0; i < INSTANCES; i++) {
        uint32_t most = instance_slots[i];
        uint32_t slots = me->reduced || i != lowered ? most : below(me, most);
        take_chain(me, limiter_set_slots(l, instance_numbers[i], slots, tick(me)));
    }
}

/* The order is strict for a while, or the pool smaller: those that had more keep it. */
static void change_order(struct worker *me)
{
    struct limiter_config config = me->shared->config;

    config.order = below(me, 4) == 0 ? LIMITER_FIFO : LIMITER_ADAPTIVE;
    config.pool_max[1] = below(me, POOL_MAX + 1);
    take_chain(me, limiter_reconfigure(me->shared->limiter, &config, tick(me)));
}

/* Three workers take slots away from all for a while; the fourth changes the order. */
static void govern(struct worker *me)
{
    if (me->number == 3 && !me->shared->strict && below(me, 2048) == 0)
        change_order(me);
    if (me->number > 2 || below(me, me->reduced ? 8 : 128) != 0)
        return;
    if (me->number < 2)
        pause_or_resume(me);
    else
        lower_or_raise(me);
    me->reduced = !me->reduced;
}

static void do_something(struct worker *me)
{
    struct job *job = &me->jobs[below(me, JOBS)];

    switch (job->state) {
    case JOB_IDLE:
        job_acquire(me, job);
        return;
    case JOB_HOLDING:
        if (below(me, 8) == 0)
            job_requeue(me, job);
        else
            job_release(me, job);
        return;
    case JOB_WAITING:
        if (below(me, 16) == 0)
            job_cancel(me, job);
        return;
    case JOB_ABANDONED:
        return;
    }
}

static void step(struct worker *me)
{
    read_inbox(me, false);
    do_something(me);
    give_up_too_late(me);
    if (below(me, 64) == 0)
        look(me);
    govern(me);
    if (below(me, 4) == 0)
        post_all(me);
    if (below(me, 32) == 0)
        sched_yield(); /* often with verdicts in the outbox */
}

static bool all_idle(const struct worker *me)
{
    for (unsigned i = 0; i < JOBS; i++) {
        if (me->jobs[i].state != JOB_IDLE)
            return false;
    }
    return true;
}

/* Cancels all waits, releases all slots, then waits for the verdicts that are on their way. */
static void go_home(struct worker *me)
{
    while (!all_idle(me)) {
        for (unsigned i = 0; i < JOBS; i++) {
            if (me->jobs[i].state == JOB_WAITING)
                job_cancel(me, &me->jobs[i]);
            else if (me->jobs[i].state == JOB_HOLDING)
                job_release(me, &me->jobs[i]);
        }
        post_all(me);
        read_inbox(me, !all_idle(me));
    }
    post_all(me);
}

static void *work(void *arg)
{
    struct worker *me = arg;
    struct shared *shared = me->shared;
    uint64_t most = shared->steps * STRETCH_AT_MOST;

    for (uint64_t n = 0; n < most; n++) {
        if (n >= shared->steps && atomic_load(&shared->late) >= LATE_AT_LEAST)
            break;
        step(me);
    }
    go_home(me);
    return NULL;
}

/* ---- evaluating the record ------------------------------------------------------------------- */

static int by_arrival(const void *a, const void *b)
{
    const struct wait *left = a, *right = b;

    return (left->queued_at > right->queued_at) - (left->queued_at < right->queued_at);
}

/*
 * Of waits that began with an arrival, in the order of arrival. `granted` and `ended` are the
 * latest ends of the waits of all that arrived strictly before: none of those admitted may have
 * been granted after `w`, and if `w` did not wait, none may have been waiting still.
 */
static uint64_t count_overtakings(const struct wait *all, size_t n)
{
    uint64_t overtakings = 0;
    mono_us granted = INT64_MIN, ended = INT64_MIN;

    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && all[to].queued_at == all[from].queued_at; to++) {
            overtakings += all[to].admitted && granted > all[to].ended_at;
            overtakings += all[to].admitted && !all[to].waited && ended > all[to].ended_at;
        }
        for (size_t i = from; i < to; i++) {
            if (all[i].admitted && all[i].ended_at > granted)
                granted = all[i].ended_at;
            if (all[i].waited && all[i].ended_at > ended)
                ended = all[i].ended_at;
        }
    }
    return overtakings;
}

static int by_end(const void *a, const void *b)
{
    const struct wait *left = a, *right = b;

    return (left->ended_at > right->ended_at) - (left->ended_at < right->ended_at);
}

static size_t first_ended_after(const struct wait *all, size_t n, mono_us time)
{
    size_t low = 0;

    for (size_t high = n; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (all[middle].ended_at > time)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/*
 * In the order of their ends: while a waiter that handed its slot back waits again, nobody that
 * arrived after it is granted a slot.
 */
static uint64_t count_passed_by(const struct wait *all, size_t n)
{
    uint64_t passed = 0;

    for (size_t w = 0; w < n; w++) {
        if (!all[w].returned)
            continue;
        for (size_t i = first_ended_after(all, n, all[w].since);
             i < n && all[i].ended_at < all[w].ended_at; i++)
            passed += all[i].admitted && all[i].queued_at > all[w].queued_at;
    }
    return passed;
}

/* In the order of their ends. */
static uint64_t count_granted_within(const struct wait *all, size_t n, const struct pause *pause)
{
    uint64_t granted = 0;

    for (size_t i = first_ended_after(all, n, pause->from - 1);
         i < n && all[i].ended_at < pause->to; i++)
        granted += all[i].admitted;
    return granted;
}

static uint64_t count_granted_while_paused(const struct shared *shared, const struct wait *all,
                                           size_t n)
{
    uint64_t granted = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        const struct worker *worker = &shared->workers[i];
        for (size_t k = 0; k < worker->paused && k < PAUSES; k++)
            granted += count_granted_within(all, n, &worker->pauses[k]);
    }
    return granted;
}

/* Moves the waits that began with an arrival to the front, and returns their number. */
static size_t arrivals_first(struct wait *all, size_t n)
{
    size_t arrivals = 0;

    for (size_t i = 0; i < n; i++) {
        if (all[i].returned)
            continue;
        struct wait swapped = all[arrivals];
        all[arrivals++] = all[i];
        all[i] = swapped;
    }
    return arrivals;
}

/* ---- the threads ----------------------------------------------------------------------------- */

static struct limiter_config config_of(bool strict)
{
    struct limiter_config config = {.queue_length = THREADS * JOBS / 3, .queue_bytes = UINT64_MAX};

    if (strict) {
        config.order = LIMITER_FIFO;
        return config;
    }
    config.classes = CLASSES;
    config.pool_max[1] = POOL_MAX;
    for (unsigned c = 0; c < CLASSES; c++) {
        config.class_[c].head_start = c % 2 * 1000;
        config.class_[c].pools = c < CLASSES / 2 ? 0 : 1 << 1;
    }
    return config;
}

static void shared_init(struct shared *shared, uint64_t seed, bool strict)
{
    memset(shared, 0, sizeof(*shared));
    shared->strict = strict;
    shared->config = config_of(strict);
    shared->steps = dice_number("WEIR_OPS", STEPS_DEFAULT);
    shared->limiter = limiter_new(&shared->config, 0);
    assert_non_null(shared->limiter);
    for (unsigned i = 0; i < INSTANCES; i++)
        assert_null(limiter_set_slots(shared->limiter, instance_numbers[i], instance_slots[i], 0));
    for (unsigned i = 0; i < THREADS; i++) {
        struct worker *worker = &shared->workers[i];
        worker->shared = shared;
        worker->number = i;
        worker->dice = (seed + i) * UINT64_C(0x9e3779b97f4a7c15) | 1;
        pthread_mutex_init(&worker->mutex, NULL);
        pthread_cond_init(&worker->arrived, NULL);
        for (unsigned k = 0; k < JOBS; k++)
            worker->jobs[k].owner = worker;
    }
}

static void run_workers(struct shared *shared)
{
    for (unsigned i = 0; i < THREADS; i++) {
        struct worker *worker = &shared->workers[i];
        assert_int_equal(pthread_create(&worker->thread, NULL, work, worker), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(shared->workers[i].thread, NULL);
}

/* Merges the records of the workers; `sum` gets the totals. The caller frees sum->diary. */
static void sum_workers(struct shared *shared, struct worker *sum)
{
    memset(sum, 0, sizeof(*sum));
    for (unsigned i = 0; i < THREADS; i++)
        sum->room += shared->workers[i].written;
    sum->diary = calloc(sum->room + 1, sizeof(sum->diary[0]));
    assert_non_null(sum->diary);
    for (unsigned i = 0; i < THREADS; i++) {
        struct worker *worker = &shared->workers[i];
        if (worker->written > 0)
            memcpy(&sum->diary[sum->written], worker->diary, worker->written * sizeof(struct wait));
        sum->written += worker->written;
        sum->held_us += worker->held_us;
        sum->waited_us += worker->waited_us;
        sum->late += worker->late;
        sum->in_time += worker->in_time;
        sum->expired += worker->expired;
        sum->evicted += worker->evicted;
        sum->admitted += worker->admitted;
        sum->requeued += worker->requeued;
        sum->made_room += worker->made_room;
    }
}

static void shared_fini(struct shared *shared)
{
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_mutex_destroy(&shared->workers[i].mutex);
        pthread_cond_destroy(&shared->workers[i].arrived);
        free(shared->workers[i].diary);
    }
    limiter_free(shared->limiter);
}

static void assert_accounts_agree(const struct limiter_snapshot *s, const struct worker *sum)
{
    assert_int_equal(s->in_flight, 0);
    assert_int_equal(s->depth, 0);
    assert_int_equal(s->bytes, 0);
    assert_int_equal(s->accounting_errors, 0);
    assert_int_equal(s->in_flight_us, sum->held_us);
    assert_int_equal(s->queued_us, sum->waited_us);
    assert_int_equal(s->admitted, sum->admitted);
    assert_int_equal(s->released, sum->admitted - sum->requeued);
    assert_int_equal(s->requeued, sum->requeued);
    assert_int_equal(s->expired, sum->expired);
    assert_int_equal(s->evicted, sum->evicted);
    assert_int_equal(s->cancelled, sum->in_time);
}

static void assert_order(const struct shared *shared, struct worker *sum)
{
    qsort(sum->diary, sum->written, sizeof(sum->diary[0]), by_end);
    assert_int_equal(count_granted_while_paused(shared, sum->diary, sum->written), 0);
    if (!shared->strict)
        return;
    assert_int_equal(count_passed_by(sum->diary, sum->written), 0);
    size_t arrivals = arrivals_first(sum->diary, sum->written);
    qsort(sum->diary, arrivals, sizeof(sum->diary[0]), by_arrival);
    assert_int_equal(count_overtakings(sum->diary, arrivals), 0);
}

static void run(struct shared *shared, bool strict)
{
    uint64_t seed = dice_number("WEIR_SEED", (uint64_t)clock_wall());
    struct limiter_snapshot s;
    struct worker sum;

    alarm(SECONDS_AT_MOST); /* a missing verdict must not hang the build */
    shared_init(shared, seed, strict);
    print_message("WEIR_SEED=%" PRIu64 " WEIR_OPS=%" PRIu64 "\n", seed, shared->steps);
    run_workers(shared);
    alarm(0);

    limiter_snapshot(shared->limiter, atomic_load(&shared->clock), &s);
    sum_workers(shared, &sum);
    print_message("admitted %" PRIu64 ", expired %" PRIu64 ", cancelled %" PRIu64
                  ", too late %" PRIu64 ", shed %" PRIu64 ", requeued %" PRIu64
                  ", made room %" PRIu64 ", evicted %" PRIu64 ", overloads %" PRIu64 "\n",
                  s.admitted, s.expired, s.cancelled, sum.late, s.shed_full, s.requeued,
                  sum.made_room, s.evicted, s.overloads[0] + s.overloads[1] + s.overloads[2]);
    assert_int_equal(atomic_load(&shared->violations), 0);
    assert_int_equal(atomic_load(&shared->in_use_in_all), 0);
    assert_accounts_agree(&s, &sum);
    assert_true(sum.late >= LATE_AT_LEAST);
    assert_true(s.expired > 0 && s.cancelled > 0 && s.requeued > 0 && sum.made_room > 0);
    assert_true(atomic_load(&shared->all_in_use));
    assert_order(shared, &sum);
    if (!strict)
        assert_true(s.evicted > 0 && s.shed_late > 0 && s.wasted > 0 && s.overload_us > 0);
    free(sum.diary);
    shared_fini(shared);
}

static void four_threads_break_no_law_and_the_accounts_agree(void **state)
{
    static struct shared shared;

    (void)state;
    run(&shared, true);
}

static void nor_do_they_with_overloads_classes_pools_and_keys(void **state)
{
    static struct shared shared;

    (void)state;
    run(&shared, false);
}

/* The check itself: it must detect overtaking. */
static void the_judge_sees_overtakings(void **state)
{
    const struct wait in_order[] = {
        {1, 5, true, true, false, 0}, {2, 3, true, false, false, 0}, {4, 5, true, true, false, 0}};
    const struct wait overtaken[] = {{1, 6, true, true, false, 0}, {2, 5, true, true, false, 0}};
    const struct wait barged[] = {{1, 6, true, false, false, 0}, {3, 3, false, true, false, 0}};
    const struct wait kept[] = {{2, 3, true, true, false, 0},  /* granted before the return at 3 */
                                {1, 5, true, true, true, 3},   /* waits again in 3..5 */
                                {2, 5, true, true, false, 0}}; /* granted after it, at one time */
    const struct wait passed[] = {{2, 4, true, true, false, 0}, {1, 5, true, false, true, 3}};

    (void)state;
    assert_int_equal(count_overtakings(in_order, 3), 0);
    assert_int_equal(count_overtakings(overtaken, 2), 1);
    assert_int_equal(count_overtakings(barged, 2), 1);
    assert_int_equal(count_passed_by(kept, 3), 0);
    assert_int_equal(count_passed_by(passed, 2), 1);
    assert_int_equal(count_granted_within(kept, 3, &(struct pause){4, 5}), 0);
    assert_int_equal(count_granted_within(kept, 3, &(struct pause){3, 5}), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_judge_sees_overtakings),
        cmocka_unit_test(four_threads_break_no_law_and_the_accounts_agree),
        cmocka_unit_test(nor_do_they_with_overloads_classes_pools_and_keys),
    };
    return cmocka_run_group_tests_name("limiter under threads", tests, NULL, NULL);
}
