/*
 * Slots and the queue behind one mutex. Any thread.
 *
 * The mutex guards all of `struct limiter`, and all fields of the waiters in the queue. Whenever it
 * is free, these invariants hold:
 *
 *   - a slot is free and the limiter is not paused  =>  the queue is empty;
 *   - a waiter is WAITING  <=>  it is in the queue;
 *   - the integrals are correct up to `now`, which never decreases.
 *
 * While it is held, no code outside the limiter and its queue runs. The mutex is adaptive: it is
 * held for less time than a thread needs to fall asleep, so a thread that finds it taken spins
 * first.
 */
#include "limiter/limiter.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "limiter/waitq.h"

#define CACHE_LINE 64

struct limiter {
    /* Alone on its cache lines: false sharing with a neighbour on the heap would slow all threads
     * down. */
    _Alignas(CACHE_LINE) pthread_mutex_t mutex;
    mono_us now;      /* the latest time passed by any caller */
    uint64_t mean_x8; /* the mean slot hold, in eighths of a microsecond */
    bool learned;     /* the mean includes at least one hold */
    struct waitq queue;
    /* The part of limiter_snapshot() that is kept up to date; only `depth`, `bytes`, `oldest_wait`
     * and `drain` are computed on the copy. */
    struct limiter_snapshot live;
};

/* ---- time ------------------------------------------------------------------------------------ */

static void advance(struct limiter *l, mono_us now)
{
    if (now <= l->now)
        return;
    uint64_t dt = (uint64_t)(now - l->now);
    l->live.in_flight_us += dt * l->live.in_flight;
    l->live.queued_us += dt * l->queue.depth;
    l->live.saturated_us += l->live.in_flight >= l->live.limit ? dt : 0;
    l->now = now;
}

static void lock_at(struct limiter *l, mono_us now)
{
    pthread_mutex_lock(&l->mutex);
    advance(l, now);
}

static void unlock(struct limiter *l)
{
    pthread_mutex_unlock(&l->mutex);
}

/* ---- one waiter's steps: the only functions that write its state
 * --------------------------------- */

static void begin_locked(struct limiter *l, struct limiter_waiter *w, mono_us deadline)
{
    CHECK(w->state == LIMITER_IDLE);
    w->deadline = deadline;
    w->queued_at = w->ended_at = l->now;
    w->granted_at = w->released_at = 0;
}

static void grant_locked(struct limiter *l, struct limiter_waiter *w)
{
    struct limiter_snapshot *live = &l->live;

    w->state = LIMITER_HOLDING;
    w->verdict = LIMITER_ADMITTED;
    w->granted_at = w->ended_at = l->now;
    live->admitted++;
    live->in_flight++;
    live->accounting_errors += live->in_flight > live->limit;
    if (live->in_flight > live->in_flight_peak)
        live->in_flight_peak = live->in_flight;
}

static void expire_locked(struct limiter *l, struct limiter_waiter *w)
{
    w->state = LIMITER_IDLE;
    w->verdict = LIMITER_EXPIRED;
    w->ended_at = l->now;
    l->live.expired++;
}

static void queue_locked(struct limiter *l, struct limiter_waiter *w)
{
    w->verdict = waitq_push(&l->queue, w);
    if (w->verdict == LIMITER_SHED_FULL) {
        l->live.shed_full++;
        return;
    }
    if (w->verdict == LIMITER_SHED_BYTES) {
        l->live.shed_bytes++;
        return;
    }
    w->state = LIMITER_WAITING;
    l->live.queued++;
    if (l->queue.depth > l->live.depth_peak)
        l->live.depth_peak = l->queue.depth;
}

/* Like srtt in TCP: the first hold is the mean, each later one has weight 1/8. */
static void learn_hold_locked(struct limiter *l, mono_us hold)
{
    uint64_t us = (uint64_t)hold;

    l->mean_x8 = l->learned ? l->mean_x8 - l->mean_x8 / 8 + us : us * 8;
    l->learned = true;
}

static void give_back_locked(struct limiter *l, struct limiter_waiter *w)
{
    CHECK(w->state == LIMITER_HOLDING);
    w->state = LIMITER_IDLE;
    w->released_at = l->now;
    if (!w->apart)
        learn_hold_locked(l, w->released_at - w->granted_at);
    l->live.in_flight--;
    l->live.released++;
}

static void leave_locked(struct limiter *l, struct limiter_waiter *w)
{
    waitq_remove(&l->queue, w);
    w->state = LIMITER_IDLE;
    w->ended_at = l->now;
    l->live.cancelled++;
}

/* ---- the invariants -------------------------------------------------------------------------- */

static bool slot_free_locked(const struct limiter *l)
{
    return !l->live.paused && l->live.in_flight < l->live.limit;
}

/* Ends waits, oldest first, until no slot is free or the queue is empty. Expired waiters use no
 * slot. */
static struct limiter_waiter *serve_queue_locked(struct limiter *l)
{
    struct limiter_waiter *chain = NULL, **tail = &chain, *w;

    while (slot_free_locked(l) && (w = waitq_pop(&l->queue)) != NULL) {
        if (w->deadline <= l->now)
            expire_locked(l, w);
        else
            grant_locked(l, w);
        *tail = w;
        tail = &w->next;
    }
    return chain;
}

/* ---- public functions ------------------------------------------------------------------------ */

enum limiter_verdict limiter_acquire(struct limiter *l, struct limiter_waiter *w, mono_us now,
                                     mono_us deadline)
{
    lock_at(l, now);
    begin_locked(l, w, deadline);
    /* A free slot implies an empty queue (above). It is checked nevertheless: a new request must
     * not overtake a waiting one. */
    if (slot_free_locked(l) && l->queue.depth == 0)
        grant_locked(l, w);
    else if (deadline <= l->now)
        expire_locked(l, w);
    else
        queue_locked(l, w);
    /* Read under the mutex: afterwards a release on another thread may change it. */
    enum limiter_verdict verdict = w->verdict;
    unlock(l);
    return verdict;
}

struct limiter_waiter *limiter_release(struct limiter *l, struct limiter_waiter *w, mono_us now)
{
    lock_at(l, now);
    give_back_locked(l, w);
    struct limiter_waiter *chain = serve_queue_locked(l);
    unlock(l);
    return chain;
}

bool limiter_has_plenty(struct limiter *l)
{
    pthread_mutex_lock(&l->mutex);
    const struct limiter_snapshot *live = &l->live;
    uint32_t taken = live->in_flight < live->limit ? live->in_flight : live->limit;
    uint32_t quarter = live->limit / 4;
    bool plenty =
        !live->paused && l->queue.depth == 0 && live->limit - taken > (quarter > 1 ? quarter : 1);
    unlock(l);
    return plenty;
}

bool limiter_has_waiters(struct limiter *l)
{
    pthread_mutex_lock(&l->mutex);
    bool waiters = l->queue.depth > 0;
    unlock(l);
    return waiters;
}

bool limiter_is_full(struct limiter *l)
{
    pthread_mutex_lock(&l->mutex);
    bool full = !slot_free_locked(l) && l->queue.depth >= l->live.queue_length;
    unlock(l);
    return full;
}

bool limiter_cancel(struct limiter *l, struct limiter_waiter *w, mono_us now)
{
    lock_at(l, now);
    bool in_time = w->state == LIMITER_WAITING;
    if (in_time)
        leave_locked(l, w);
    else /* a verdict must have been given, or the caller would wait forever */
        CHECK(w->state == LIMITER_HOLDING || w->verdict == LIMITER_EXPIRED);
    unlock(l);
    return in_time;
}

void limiter_pause(struct limiter *l, mono_us now)
{
    lock_at(l, now);
    l->live.paused = true;
    unlock(l);
}

struct limiter_waiter *limiter_resume(struct limiter *l, mono_us now)
{
    lock_at(l, now);
    l->live.paused = false;
    struct limiter_waiter *chain = serve_queue_locked(l);
    unlock(l);
    return chain;
}

/* The peaks restart here: those reached under the old bounds do not apply to the new ones. */
static void configure_locked(struct limiter *l, const struct limiter_config *config)
{
    CHECK(config->limit >= 1);
    l->live.limit = config->limit;
    l->live.queue_length = config->queue_length;
    l->live.in_flight_peak = l->live.in_flight;
    l->live.depth_peak = l->queue.depth;
    waitq_bound(&l->queue, config->queue_length, config->queue_bytes);
}

struct limiter_waiter *limiter_reconfigure(struct limiter *l, const struct limiter_config *config,
                                           mono_us now)
{
    lock_at(l, now);
    configure_locked(l, config);
    struct limiter_waiter *chain = serve_queue_locked(l);
    unlock(l);
    return chain;
}

static mono_us drain_locked(const struct limiter *l)
{
    uint64_t work_x8;

    if (__builtin_mul_overflow(l->mean_x8, (uint64_t)l->queue.depth + 1, &work_x8))
        return MONO_NEVER;
    return (mono_us)(work_x8 / 8 / l->live.limit);
}

mono_us limiter_drain_estimate(struct limiter *l)
{
    pthread_mutex_lock(&l->mutex);
    mono_us drain = drain_locked(l);
    unlock(l);
    return drain;
}

void limiter_snapshot(struct limiter *l, mono_us now, struct limiter_snapshot *out)
{
    lock_at(l, now);
    const struct limiter_waiter *oldest = waitq_oldest(&l->queue);
    l->live.accounting_errors += l->live.admitted - l->live.released != l->live.in_flight;
    *out = l->live;
    out->depth = l->queue.depth;
    out->bytes = l->queue.bytes;
    out->oldest_wait = oldest != NULL ? l->now - oldest->queued_at : 0;
    out->drain = drain_locked(l);
    unlock(l);
}

/* ---- creation and destruction ---------------------------------------------------------------- */

static void mutex_init(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attr;

    CHECK(pthread_mutexattr_init(&attr) == 0);
    CHECK(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP) == 0);
    CHECK(pthread_mutex_init(mutex, &attr) == 0);
    pthread_mutexattr_destroy(&attr);
}

struct limiter *limiter_new(const struct limiter_config *config, mono_us now)
{
    struct limiter *l = aligned_alloc(CACHE_LINE, sizeof(*l));
    if (l == NULL)
        return NULL;
    memset(l, 0, sizeof(*l));
    mutex_init(&l->mutex);
    l->now = now;
    configure_locked(l, config);
    return l;
}

void limiter_free(struct limiter *l)
{
    if (l == NULL)
        return;
    CHECK(l->live.in_flight == 0 && l->queue.depth == 0);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}
