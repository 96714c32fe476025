/*
 * Slots and the queue behind one mutex. Any thread.
 *
 * The mutex guards all of `struct limiter`, and all fields of the waiters in the queue. Whenever it
 * is free, these invariants hold:
 *
 *   - a slot is free and no reason to pause is set  =>  the queue is empty;
 *   - a waiter is WAITING  <=>  it is in the queue;
 *   - `free` is the sum of the instances' free slots, `live.in_flight` that of their held slots;
 *   - the integrals are correct up to `now`, which never decreases.
 *
 * While it is held, no code outside the limiter and its queue runs. The mutex is adaptive: it is
 * held for less time than a thread needs to go to sleep, so a thread that finds it taken spins
 * first.
 */
#include "limiter/limiter.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "limiter/waitq.h"

#define CACHE_LINE 64

struct instance {
    /* held > slots after they were lowered: it grants nothing until `held` is below `slots` */
    uint32_t slots, held;
};

struct limiter {
    /* Alone on its cache lines: false sharing with a neighbour on the heap would slow all threads
     * down. */
    _Alignas(CACHE_LINE) pthread_mutex_t mutex;
    mono_us now;      /* the latest time passed by any caller */
    uint64_t mean_x8; /* the mean slot hold, in eighths of a microsecond */
    bool learned;     /* the mean includes at least one hold */
    uint64_t free;    /* slots of all instances that nobody holds */
    uint64_t places;  /* given to waiters so far */
    struct waitq queue;
    /* The part of limiter_snapshot() that is kept up to date; only `depth`, `bytes`, `oldest_wait`
     * and `drain` are computed on the copy. */
    struct limiter_snapshot live;
    unsigned used; /* instances from here on have never had slots */
    struct instance instances[LIMITER_INSTANCES];
};

/* ---- time ------------------------------------------------------------------------------------ */

static void advance(struct limiter *l, mono_us now)
{
    if (now <= l->now)
        return;
    uint64_t dt = (uint64_t)(now - l->now);
    l->live.in_flight_us += dt * l->live.in_flight;
    l->live.queued_us += dt * l->queue.depth;
    l->live.saturated_us += l->free == 0 ? dt : 0;
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

/* ---- slots ----------------------------------------------------------------------------------- */

static uint32_t free_of(const struct instance *in)
{
    return in->held < in->slots ? in->slots - in->held : 0;
}

static bool slot_free_locked(const struct limiter *l)
{
    return l->live.paused == 0 && l->free > 0;
}

/* Which of two instances with free slots has the smaller share of its slots in use. */
static bool less_loaded(const struct instance *a, const struct instance *b)
{
    return (uint64_t)a->held * b->slots < (uint64_t)b->held * a->slots;
}

/* A slot is free. Among equals, the first: an instance is left alone while others suffice. */
static unsigned least_loaded_locked(const struct limiter *l)
{
    unsigned best = 0;

    for (unsigned i = 1; i < l->used; i++) {
        const struct instance *in = &l->instances[i], *so_far = &l->instances[best];
        if (free_of(in) > 0 && (free_of(so_far) == 0 || less_loaded(in, so_far)))
            best = i;
    }
    return best;
}

static void take_slot_locked(struct limiter *l, unsigned instance)
{
    struct instance *in = &l->instances[instance];
    struct limiter_snapshot *live = &l->live;

    live->accounting_errors += in->held >= in->slots;
    in->held++;
    l->free--;
    live->in_flight++;
    if (live->in_flight > live->in_flight_peak)
        live->in_flight_peak = live->in_flight;
}

static void return_slot_locked(struct limiter *l, unsigned instance)
{
    struct instance *in = &l->instances[instance];

    l->free -= free_of(in);
    in->held--;
    l->free += free_of(in);
    l->live.in_flight--;
}

/* ---- one waiter's steps: the only functions that write its state ----------------------------- */

static void begin_locked(struct limiter *l, struct limiter_waiter *w, mono_us deadline)
{
    CHECK(w->state == LIMITER_IDLE);
    w->place = l->places++;
    w->deadline = deadline;
    w->queued_at = w->ended_at = l->now;
    w->granted_at = w->released_at = w->requeued_us = 0;
}

static void grant_locked(struct limiter *l, struct limiter_waiter *w)
{
    w->state = LIMITER_HOLDING;
    w->verdict = LIMITER_ADMITTED;
    w->granted_at = w->ended_at = l->now;
    w->instance = least_loaded_locked(l);
    take_slot_locked(l, w->instance);
    l->live.admitted++;
}

static void expire_locked(struct limiter *l, struct limiter_waiter *w)
{
    w->state = LIMITER_IDLE;
    w->verdict = LIMITER_EXPIRED;
    w->ended_at = l->now;
    l->live.expired++;
}

static void wait_locked(struct limiter *l, struct limiter_waiter *w)
{
    w->state = LIMITER_WAITING;
    w->verdict = LIMITER_QUEUED;
    if (l->queue.depth > l->live.depth_peak)
        l->live.depth_peak = l->queue.depth;
}

static void shed_locked(struct limiter *l, struct limiter_waiter *w, enum limiter_verdict verdict)
{
    w->verdict = verdict;
    if (verdict == LIMITER_SHED_FULL)
        l->live.shed_full++;
    else
        l->live.shed_bytes++;
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
    return_slot_locked(l, w->instance);
    l->live.released++;
}

static void hand_back_locked(struct limiter *l, struct limiter_waiter *w)
{
    CHECK(w->state == LIMITER_HOLDING);
    w->requeued_us += l->now - w->granted_at;
    w->granted_at = 0;
    return_slot_locked(l, w->instance);
    l->live.requeued++;
    waitq_push_back(&l->queue, w);
    wait_locked(l, w);
}

static void leave_locked(struct limiter *l, struct limiter_waiter *w)
{
    waitq_remove(&l->queue, w);
    w->state = LIMITER_IDLE;
    w->ended_at = l->now;
    l->live.cancelled++;
}

/* ---- the invariants -------------------------------------------------------------------------- */

/*
 * Ends waits in the order of the queue, until it is empty or the next waiter has time left and no
 * slot is free. Expired waiters use no slot.
 */
static struct limiter_waiter *serve_queue_locked(struct limiter *l)
{
    struct limiter_waiter *chain = NULL, **tail = &chain, *w;
    bool in_time;

    while ((w = waitq_next(&l->queue, l->now, &in_time)) != NULL &&
           (!in_time || slot_free_locked(l))) {
        waitq_remove(&l->queue, w);
        if (in_time)
            grant_locked(l, w);
        else
            expire_locked(l, w);
        *tail = w;
        tail = &w->next;
    }
    return chain;
}

/* If there is no room, waiters at the head of the queue whose deadline has passed leave first:
 * their timers may be late. */
static struct limiter_waiter *queue_locked(struct limiter *l, struct limiter_waiter *w)
{
    struct limiter_waiter *ended = NULL;
    enum limiter_verdict verdict = waitq_push(&l->queue, w);

    if (verdict != LIMITER_QUEUED && (ended = serve_queue_locked(l)) != NULL)
        verdict = waitq_push(&l->queue, w);
    if (verdict != LIMITER_QUEUED) {
        shed_locked(l, w, verdict);
        return ended;
    }
    l->live.queued++;
    wait_locked(l, w);
    return ended;
}

/* ---- public functions ------------------------------------------------------------------------ */

enum limiter_verdict limiter_acquire(struct limiter *l, struct limiter_waiter *w, mono_us now,
                                     mono_us deadline, struct limiter_waiter **ended)
{
    *ended = NULL;
    lock_at(l, now);
    begin_locked(l, w, deadline);
    /* A free slot implies an empty queue (above). It is checked nevertheless: a new request must
     * not overtake a waiting one. */
    if (slot_free_locked(l) && l->queue.depth == 0)
        grant_locked(l, w);
    else if (deadline <= l->now)
        expire_locked(l, w);
    else
        *ended = queue_locked(l, w);
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

struct limiter_waiter *limiter_requeue(struct limiter *l, struct limiter_waiter *w, mono_us now)
{
    lock_at(l, now);
    hand_back_locked(l, w);
    struct limiter_waiter *chain = serve_queue_locked(l);
    unlock(l);
    return chain;
}

bool limiter_has_plenty(struct limiter *l)
{
    pthread_mutex_lock(&l->mutex);
    uint32_t quarter = l->live.limit / 4;
    bool plenty =
        l->live.paused == 0 && l->queue.depth == 0 && l->free > (quarter > 1 ? quarter : 1);
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

bool limiter_cancel(struct limiter *l, struct limiter_waiter *w, mono_us now,
                    enum limiter_leave why)
{
    (void)why;
    lock_at(l, now);
    bool in_time = w->state == LIMITER_WAITING;
    if (in_time)
        leave_locked(l, w);
    else /* a verdict must have been given, or the caller would wait forever */
        CHECK(w->state == LIMITER_HOLDING || w->verdict == LIMITER_EXPIRED);
    unlock(l);
    return in_time;
}

void limiter_pause(struct limiter *l, enum limiter_pause_reason reason, mono_us now)
{
    lock_at(l, now);
    l->live.paused |= (unsigned)reason;
    unlock(l);
}

struct limiter_waiter *limiter_resume(struct limiter *l, enum limiter_pause_reason reason,
                                      mono_us now)
{
    lock_at(l, now);
    l->live.paused &= ~(unsigned)reason;
    struct limiter_waiter *chain = serve_queue_locked(l);
    unlock(l);
    return chain;
}

/* ---- new bounds: a peak under other bounds says nothing about the new ones ------------------- */

/* The sum of 64 32-bit numbers may exceed the 32 bits that callers see. */
static void sum_slots_locked(struct limiter *l)
{
    uint64_t limit = 0;

    l->free = 0;
    for (unsigned i = 0; i < l->used; i++) {
        limit += l->instances[i].slots;
        l->free += free_of(&l->instances[i]);
    }
    l->live.limit = limit < LIMITER_UNLIMITED ? (uint32_t)limit : LIMITER_UNLIMITED;
}

struct limiter_waiter *limiter_set_slots(struct limiter *l, unsigned instance, uint32_t slots,
                                         mono_us now)
{
    CHECK(instance < LIMITER_INSTANCES);
    lock_at(l, now);
    if (instance >= l->used)
        l->used = instance + 1;
    l->instances[instance].slots = slots;
    sum_slots_locked(l);
    l->live.in_flight_peak = l->live.in_flight;
    struct limiter_waiter *chain = serve_queue_locked(l);
    unlock(l);
    return chain;
}

/* The peak restarts here: one reached under the old bounds does not apply to the new ones. */
static void configure_locked(struct limiter *l, const struct limiter_config *config)
{
    l->live.queue_length = config->queue_length;
    l->live.depth_peak = l->queue.depth;
    waitq_bound(&l->queue, config->queue_length, config->queue_bytes);
}

void limiter_reconfigure(struct limiter *l, const struct limiter_config *config, mono_us now)
{
    lock_at(l, now);
    configure_locked(l, config);
    unlock(l);
}

/* ---- the estimate and the snapshot ----------------------------------------------------------- */

static mono_us drain_locked(const struct limiter *l)
{
    uint32_t limit = l->live.limit > 0 ? l->live.limit : 1;
    uint64_t work_x8;

    if (__builtin_mul_overflow(l->mean_x8, (uint64_t)l->queue.depth + 1, &work_x8))
        return MONO_NEVER;
    return (mono_us)(work_x8 / 8 / limit);
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
    l->live.accounting_errors +=
        l->live.admitted != l->live.released + l->live.requeued + l->live.in_flight;
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
