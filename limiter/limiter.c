/*
 * Slots and the queue behind one mutex. Any thread.
 *
 * The mutex guards all of `struct limiter`, and all fields of the waiters in the queue. Whenever it
 * is free, these invariants hold:
 *
 *   - a slot is free and no reason to pause is set  =>  no waiter is of an eligible class;
 *   - a waiter is WAITING  <=>  it is in the queue;
 *   - `live.in_flight` is the sum of the instances' held slots;
 *   - a class is in `eligible`  <=>  none of its pools holds its maximum of slots;
 *   - the queue has no plain waiter  =>  no overload, and nobody is late for its age;
 *   - the integrals are correct up to `now`, which never decreases.
 *
 * While it is held, no code outside the limiter's modules runs, and none that takes long: patience
 * is estimated on a copy, without the mutex. The mutex is adaptive: it is held for less time than a
 * thread needs to go to sleep, so a thread that finds it taken spins first.
 */
#include "limiter/limiter.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "limiter/choice.h"
#include "limiter/slots.h"
#include "limiter/waitq.h"

#define CACHE_LINE 64

/* Out of the way of the common path: with them inlined, it would need a larger frame and checks. */
#define NOINLINE __attribute__((noinline))
#define COLD     __attribute__((noinline, cold))

/* Waits that have ended, in the order of their end. */
struct chain {
    struct limiter_waiter *first, **tail;
};

struct limiter {
    /* Alone on its cache lines: false sharing with a neighbour on the heap would slow all threads
     * down. */
    _Alignas(CACHE_LINE) pthread_mutex_t mutex;
    mono_us now;                      /* the latest time passed by any caller */
    uint64_t held_us, waited_us;      /* sums of ends less beginnings: see wrong_locked() */
    uint64_t mean_x8;                 /* the mean slot hold, in eighths of a microsecond */
    bool learned;                     /* the mean includes at least one hold */
    uint64_t places;                  /* given to waiters so far */
    uint32_t plain;                   /* waiters of classes in no pool */
    uint32_t eligible, plain_classes; /* sets of classes */
    struct overload overload;
    uint32_t pool_held[LIMITER_POOLS];      /* slots, by pool */
    uint64_t latest_place[LIMITER_CLASSES]; /* of those that have had a slot */
    /* The part of limiter_snapshot() that is kept up to date; what depends on the queue or the time
     * is computed on the copy. */
    struct limiter_snapshot live;
    struct limiter_config config;
    struct patience patience;
    struct slots slots;
    struct waitq queue;
};

/* ---- time ------------------------------------------------------------------------------------ */

static void advance(struct limiter *l, mono_us now)
{
    if (now <= l->now)
        return;
    uint64_t dt = (uint64_t)(now - l->now);
    l->live.in_flight_us += dt * l->live.in_flight;
    l->live.queued_us += dt * l->queue.depth;
    l->live.saturated_us += l->slots.free == 0 ? dt : 0;
    if (l->overload.over)
        l->live.overload_us += dt;
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

/* ---- chains ---------------------------------------------------------------------------------- */

static void chain_init(struct chain *chain)
{
    chain->first = NULL;
    chain->tail = &chain->first;
}

static void chain_add(struct chain *chain, struct limiter_waiter *w)
{
    *chain->tail = w;
    chain->tail = &w->next;
}

/* ---- classes and pools ----------------------------------------------------------------------- */

static uint16_t pools_of(const struct limiter *l, const struct limiter_waiter *w)
{
    return l->config.class_[w->class_].pools;
}

static bool is_plain(const struct limiter *l, const struct limiter_waiter *w)
{
    return pools_of(l, w) == 0;
}

static bool has_room_in_pools(const struct limiter *l, uint16_t pools)
{
    for (unsigned p = 0; p < LIMITER_POOLS; p++)
        if ((pools & 1u << p) != 0 && l->pool_held[p] >= l->config.pool_max[p])
            return false;
    return true;
}

static void find_eligible_locked(struct limiter *l)
{
    l->eligible = 0;
    for (unsigned c = 0; c < l->config.classes; c++)
        if (has_room_in_pools(l, l->config.class_[c].pools))
            l->eligible |= 1u << c;
}

static void count_in_pools_locked(struct limiter *l, const struct limiter_waiter *w, int slots)
{
    uint16_t pools = pools_of(l, w);

    if (pools == 0)
        return;
    for (unsigned p = 0; p < LIMITER_POOLS; p++)
        if ((pools & 1u << p) != 0)
            l->pool_held[p] += (uint32_t)slots;
    find_eligible_locked(l);
}

/* ---- slots ----------------------------------------------------------------------------------- */

static bool slot_free_locked(const struct limiter *l)
{
    return l->live.paused == 0 && l->slots.free > 0;
}

static void take_slot_locked(struct limiter *l, const struct limiter_waiter *w)
{
    struct limiter_snapshot *live = &l->live;

    live->accounting_errors += !slots_take(&l->slots, w->instance);
    live->in_flight++;
    l->held_us -= (uint64_t)w->granted_at;
    if (live->in_flight > live->in_flight_peak)
        live->in_flight_peak = live->in_flight;
    count_in_pools_locked(l, w, 1);
}

static void return_slot_locked(struct limiter *l, const struct limiter_waiter *w)
{
    slots_give_back(&l->slots, w->instance);
    l->live.in_flight--;
    count_in_pools_locked(l, w, -1);
}

/* ---- what is learned ------------------------------------------------------------------------- */

/* Like srtt in TCP: the first hold is the mean, each later one has weight 1/8. */
static void learn_mean_locked(struct limiter *l, mono_us hold)
{
    uint64_t us = (uint64_t)hold;

    l->mean_x8 = l->learned ? l->mean_x8 - l->mean_x8 / 8 + us : us * 8;
    l->learned = true;
}

static mono_us hold_locked(const struct limiter *l)
{
    return (mono_us)(l->mean_x8 / 8);
}

/*
 * Its client left at `until`, or was still there then. A declared deadline is a patience that is
 * known exactly. Waits for a pool have another reason than the load, and teach nothing.
 */
static void learn_end_locked(struct limiter *l, const struct limiter_waiter *w, mono_us until,
                             bool left)
{
    if (!is_plain(l, w))
        return;
    if (w->declared != 0)
        patience_learn(&l->patience, w->declared - w->queued_at, true);
    else
        patience_learn(&l->patience, until - w->queued_at, left);
}

/* The slot was of no use. */
static bool is_gone_locked(const struct limiter *l, const struct limiter_waiter *w)
{
    return w->left_at != 0 || (w->declared != 0 && l->now > w->declared);
}

static void learn_release_locked(struct limiter *l, const struct limiter_waiter *w)
{
    if (is_gone_locked(l, w))
        l->live.wasted++;
    if (!is_plain(l, w))
        return;
    mono_us hold = l->now - w->granted_at;
    learn_mean_locked(l, hold);
    if (w->left_at == 0 && w->declared == 0) {
        patience_learn_served(&l->patience, l->now - w->queued_at, hold);
        return;
    }
    patience_learn_hold(&l->patience, hold);
    learn_end_locked(l, w, w->left_at != 0 ? w->left_at : l->now, w->left_at != 0);
}

/* ---- evidence of an overload ----------------------------------------------------------------- */

/* How long it takes to serve `waiters`. */
static mono_us time_for_locked(const struct limiter *l, uint64_t waiters)
{
    uint32_t limit = l->live.limit > 0 ? l->live.limit : 1;
    uint64_t work_x8;

    if (__builtin_mul_overflow(l->mean_x8, waiters, &work_x8))
        return MONO_NEVER;
    return (mono_us)(work_x8 / 8 / limit);
}

static bool is_adaptive(const struct limiter *l)
{
    return l->config.order == LIMITER_ADAPTIVE;
}

/* Whether the arrival of `w`, which has to queue, may be the begin of an overload. Before the first
 * hold nothing is known; a pause is no overload, and those that wait for a pool are none. */
static bool is_evidence_locked(const struct limiter *l, const struct limiter_waiter *w)
{
    return is_adaptive(l) && !l->overload.over && l->live.paused == 0 && l->learned &&
           l->plain > 0 && is_plain(l, w);
}

/*
 * Estimates the patience, when that is due: ten times a second at most. That takes tens of
 * microseconds, so it is done without the mutex: call it only while all invariants hold, and
 * rely on nothing that was read before.
 */
static void COLD refresh_patience(struct limiter *l)
{
    overload_begin_refresh(&l->overload, l->now);
    struct patience copy = l->patience;
    unlock(l);
    mono_us patience = patience_allowance(&copy);
    pthread_mutex_lock(&l->mutex);
    overload_set_patience(&l->overload, patience);
}

/* Age of the first on-time waiter, or -1. */
static mono_us oldest_on_time_locked(const struct limiter *l)
{
    const struct limiter_waiter *first = waitq_first_on_time(&l->queue, l->plain_classes);

    return first != NULL ? l->now - first->queued_at : -1;
}

static void begin_overload_locked(struct limiter *l, enum overload_cause cause)
{
    l->live.overloads[cause]++;
    l->live.last = (struct limiter_overload_begin){
        .cause = cause,
        .depth = l->plain,
        .at = l->now,
        .turnover = time_for_locked(l, l->plain),
        .oldest = oldest_on_time_locked(l),
        .patience = l->overload.patience,
        .allowance = overload_allowance(&l->overload, hold_locked(l)),
    };
}

static void judge_release_locked(struct limiter *l, const struct limiter_waiter *w)
{
    mono_us waited = w->granted_at - w->queued_at;

    if (!is_adaptive(l) || l->live.paused != 0 || waited == 0 || w->apart || !is_plain(l, w))
        return;
    if (overload_releases(&l->overload, is_gone_locked(l, w), waited, l->plain == 0))
        begin_overload_locked(l, OVERLOAD_WASTE);
}

/* Those that are still here wait for a pool: as nobody is late any more, they get their order
 * back. */
static void end_overload_if_empty_locked(struct limiter *l)
{
    if (l->plain > 0 || (!l->overload.over && !l->overload.marked))
        return;
    if (overload_ends(&l->overload) && l->queue.depth > 0)
        waitq_make_all_on_time(&l->queue);
}

/* ---- one waiter's steps: the only functions that write its state ----------------------------- */

static void begin_locked(struct limiter *l, struct limiter_waiter *w, mono_us deadline)
{
    CHECK(w->state == LIMITER_IDLE);
    w->place = l->places++;
    w->deadline = deadline;
    w->queued_at = w->ended_at = l->now;
    w->granted_at = w->released_at = w->requeued_us = 0;
    w->late = w->requeued = false;
    w->found_in_flight = l->live.in_flight;
    w->found_depth = l->queue.depth;
}

static void grant_locked(struct limiter *l, struct limiter_waiter *w)
{
    uint64_t *latest = &l->latest_place[w->class_];

    w->state = LIMITER_HOLDING;
    w->verdict = LIMITER_ADMITTED;
    w->granted_at = w->ended_at = l->now;
    w->instance = (uint8_t)slots_least_loaded(&l->slots);
    take_slot_locked(l, w);
    l->live.admitted++;
    if (w->place >= *latest)
        *latest = w->place;
    else if (!w->requeued)
        l->live.overtaken++;
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
    l->waited_us -= (uint64_t)l->now;
    l->plain += is_plain(l, w);
    if (l->queue.depth > l->live.depth_peak)
        l->live.depth_peak = l->queue.depth;
}

static void shed_locked(struct limiter *l, struct limiter_waiter *w, enum limiter_verdict verdict)
{
    w->verdict = verdict;
    l->live.shed_full += verdict == LIMITER_SHED_FULL;
    l->live.shed_bytes += verdict == LIMITER_SHED_BYTES;
    l->live.shed_late += verdict == LIMITER_SHED_LATE;
}

static void give_back_locked(struct limiter *l, struct limiter_waiter *w)
{
    CHECK(w->state == LIMITER_HOLDING);
    w->state = LIMITER_IDLE;
    w->released_at = l->now;
    l->held_us += (uint64_t)w->released_at;
    return_slot_locked(l, w);
    l->live.released++;
}

static void hand_back_locked(struct limiter *l, struct limiter_waiter *w)
{
    CHECK(w->state == LIMITER_HOLDING);
    w->requeued_us += l->now - w->granted_at;
    w->requeued = true;
    w->granted_at = 0;
    l->held_us += (uint64_t)l->now;
    return_slot_locked(l, w);
    l->live.requeued++;
    waitq_push_back(&l->queue, w, l->now);
    wait_locked(l, w);
}

/* Before it leaves the queue. */
static void note_wait_locked(struct limiter *l, const struct limiter_waiter *w)
{
    mono_us waited = l->now - w->queued_at - w->requeued_us;

    l->plain -= is_plain(l, w);
    l->waited_us += (uint64_t)l->now;
    if (waited > l->live.wait_peak)
        l->live.wait_peak = waited;
}

/* It is its turn, or its time is over. */
static void end_wait_locked(struct limiter *l, struct limiter_waiter *w, bool in_time)
{
    note_wait_locked(l, w);
    if (in_time) {
        waitq_serve(&l->queue, w, l->now);
        grant_locked(l, w);
        return;
    }
    waitq_remove(&l->queue, w);
    expire_locked(l, w);
    learn_end_locked(l, w, l->now, false);
}

static void leave_locked(struct limiter *l, struct limiter_waiter *w, bool left)
{
    note_wait_locked(l, w);
    waitq_remove(&l->queue, w);
    w->state = LIMITER_IDLE;
    w->ended_at = l->now;
    learn_end_locked(l, w, l->now, left);
}

/* One whose timer is late has expired, whatever else would have happened to it. */
static void evict_locked(struct limiter *l, struct limiter_waiter *w)
{
    if (w->deadline <= l->now) {
        end_wait_locked(l, w, false);
        return;
    }
    leave_locked(l, w, false);
    w->verdict = LIMITER_EVICTED;
    l->live.evicted++;
}

/* ---- the invariants -------------------------------------------------------------------------- */

static struct choice_terms terms_locked(const struct limiter *l)
{
    mono_us hold = hold_locked(l);

    return (struct choice_terms){
        .now = l->now,
        .fifo = !is_adaptive(l),
        .over = l->overload.over,
        .allowance = l->overload.over ? overload_allowance(&l->overload, hold) : MONO_NEVER,
        .hold = hold,
        .eligible = l->eligible,
    };
}

/*
 * Ends waits in the order of their turns, until no slot is free or nobody that may have one waits,
 * and nobody at the head of a list has expired. Expired waiters use no slot.
 */
static void serve_queue_locked(struct limiter *l, struct chain *chain)
{
    struct limiter_waiter *w;
    bool in_time;

    struct choice_terms terms = terms_locked(l);
    while ((w = choice_next(&l->queue, &terms, &in_time)) != NULL &&
           (!in_time || slot_free_locked(l))) {
        end_wait_locked(l, w, in_time);
        chain_add(chain, w);
        terms.eligible = l->eligible;
    }
    end_overload_if_empty_locked(l);
}

static struct limiter_waiter *NOINLINE serve_some_locked(struct limiter *l)
{
    struct chain chain;

    chain_init(&chain);
    serve_queue_locked(l, &chain);
    return chain.first;
}

/* Most often, nobody waits. */
static struct limiter_waiter *serve_locked(struct limiter *l)
{
    return l->queue.depth > 0 ? serve_some_locked(l) : NULL;
}

/* The newcomer takes the place of one victim, or of as many as its bytes require. */
static bool make_room_locked(struct limiter *l, const struct limiter_waiter *w, struct chain *ended)
{
    const struct choice_terms terms = terms_locked(l);
    const struct waitq *q = &l->queue;
    struct limiter_waiter *victim;

    if (w->bytes > q->max_bytes || !choice_can_fit(&l->queue, &terms, w))
        return false;
    do {
        victim = choice_victim(&l->queue, &terms, w);
        if (victim == NULL)
            return false;
        evict_locked(l, victim);
        chain_add(ended, victim);
    } while (q->bytes > q->max_bytes - w->bytes);
    return true;
}

/* Whether those ahead of `w` take so long that its client will have given up. */
static bool comes_too_late_locked(const struct limiter *l, const struct limiter_waiter *w)
{
    if (w->declared == 0 || l->live.paused != 0 || !l->learned)
        return false;
    const struct choice_terms terms = terms_locked(l);
    uint32_t ahead = choice_ahead(&l->queue, &terms, w);

    return time_for_locked(l, ahead) >= w->declared - l->now;
}

/* Whether somebody has to be refused for want of room, for another reason than a full pool or its
 * own size. */
static bool is_full_locked(const struct limiter *l, const struct limiter_waiter *w)
{
    if (waitq_room(&l->queue, w->bytes) == LIMITER_QUEUED || w->bytes > l->queue.max_bytes)
        return false;
    const struct choice_terms terms = terms_locked(l);

    return !choice_has_held_back(&l->queue, &terms, w);
}

/* Before its patience is known, nobody's age matters. */
static void judge_arrival_locked(struct limiter *l, const struct limiter_waiter *w)
{
    enum overload_cause cause;

    if (!is_evidence_locked(l, w))
        return;
    const struct overload_arrival a = {
        .now = l->now,
        .left = w->deadline != MONO_NEVER ? w->deadline - l->now : MONO_NEVER,
        .oldest = l->overload.patience < MONO_NEVER ? oldest_on_time_locked(l) : -1,
        .hold_x8 = l->mean_x8,
        .granted = l->live.admitted - l->live.requeued,
        .limit = l->live.limit,
        .waiters = l->plain,
        .full = is_full_locked(l, w),
    };
    if (overload_arrives(&l->overload, &a, &cause))
        begin_overload_locked(l, cause);
}

/* LIMITER_QUEUED if it is to wait. */
static enum limiter_verdict judge_newcomer_locked(struct limiter *l, struct limiter_waiter *w,
                                                  struct chain *ended)
{
    judge_arrival_locked(l, w);
    if (comes_too_late_locked(l, w)) {
        learn_end_locked(l, w, l->now, false); /* else only those with much time would teach */
        return LIMITER_SHED_LATE;
    }
    enum limiter_verdict verdict = waitq_room(&l->queue, w->bytes);
    if (verdict != LIMITER_QUEUED && make_room_locked(l, w, ended))
        return LIMITER_QUEUED;
    return verdict;
}

/* Without room, those whose deadline has passed leave first: their timers may be late. A class
 * whose only waiter makes room for `w` has not been empty. */
static struct limiter_waiter *NOINLINE queue_locked(struct limiter *l, struct limiter_waiter *w)
{
    const struct waitq_class *class_ = &l->queue.classes[w->class_];
    struct chain ended;

    chain_init(&ended);
    if (waitq_room(&l->queue, w->bytes) != LIMITER_QUEUED)
        serve_queue_locked(l, &ended);
    mono_us since = waitq_class_depth(class_) > 0 ? class_->since : l->now;
    enum limiter_verdict verdict = judge_newcomer_locked(l, w, &ended);
    if (verdict != LIMITER_QUEUED) {
        shed_locked(l, w, verdict);
        end_overload_if_empty_locked(l);
        return ended.first;
    }
    l->live.queued++;
    waitq_push(&l->queue, w, since);
    wait_locked(l, w);
    return ended.first;
}

/* ---- public functions ------------------------------------------------------------------------ */

/* By the invariants, no waiter is of a class that may have a free slot. It is checked nevertheless:
 * a new request must not overtake a waiting one. */
static bool may_have_slot_locked(const struct limiter *l, const struct limiter_waiter *w)
{
    return slot_free_locked(l) && (l->eligible & 1u << w->class_) != 0 &&
           (l->queue.used & 1u << w->class_) == 0;
}

enum limiter_verdict limiter_acquire(struct limiter *l, struct limiter_waiter *w, mono_us now,
                                     mono_us deadline, struct limiter_waiter **ended)
{
    *ended = NULL;
    lock_at(l, now);
    CHECK(w->class_ < l->config.classes);
    if (!may_have_slot_locked(l, w) && is_evidence_locked(l, w) &&
        overload_is_due(&l->overload, l->now))
        refresh_patience(l);
    begin_locked(l, w, deadline);
    if (may_have_slot_locked(l, w))
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

/* The part that needs the estimate of patience comes first, while the slot is still held: the mutex
 * is free in between. */
struct limiter_waiter *limiter_release(struct limiter *l, struct limiter_waiter *w, mono_us now)
{
    lock_at(l, now);
    CHECK(w->state == LIMITER_HOLDING);
    if (!w->apart)
        learn_release_locked(l, w);
    if ((l->overload.over || (w->granted_at > w->queued_at && is_gone_locked(l, w))) &&
        overload_is_due(&l->overload, l->now))
        refresh_patience(l);
    judge_release_locked(l, w);
    give_back_locked(l, w);
    struct limiter_waiter *chain = serve_locked(l);
    unlock(l);
    return chain;
}

struct limiter_waiter *limiter_requeue(struct limiter *l, struct limiter_waiter *w, mono_us now)
{
    lock_at(l, now);
    hand_back_locked(l, w);
    struct limiter_waiter *chain = serve_locked(l);
    unlock(l);
    return chain;
}

bool limiter_has_plenty(struct limiter *l)
{
    pthread_mutex_lock(&l->mutex);
    uint32_t quarter = l->live.limit / 4;
    bool plenty =
        l->live.paused == 0 && l->plain == 0 && l->slots.free > (quarter > 1 ? quarter : 1);
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
    bool full = !slot_free_locked(l) && !l->overload.over &&
                l->queue.depth >= l->live.queue_length && l->plain == l->queue.depth;
    unlock(l);
    return full;
}

bool limiter_cancel(struct limiter *l, struct limiter_waiter *w, mono_us now,
                    enum limiter_leave why)
{
    lock_at(l, now);
    bool in_time = w->state == LIMITER_WAITING;
    if (in_time) {
        leave_locked(l, w, why == LIMITER_CLIENT_LEFT);
        l->live.cancelled++;
        end_overload_if_empty_locked(l);
    } else { /* a verdict must have been given, or the caller would wait forever */
        CHECK(w->state == LIMITER_HOLDING || w->verdict == LIMITER_EXPIRED ||
              w->verdict == LIMITER_EVICTED);
    }
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
    bool was_paused = l->live.paused != 0;
    l->live.paused &= ~(unsigned)reason;
    if (was_paused && l->live.paused == 0)
        overload_resumes(&l->overload);
    struct limiter_waiter *chain = serve_locked(l);
    unlock(l);
    return chain;
}

/* ---- new bounds ------------------------------------------------------------------------------ */

struct limiter_waiter *limiter_set_slots(struct limiter *l, unsigned instance, uint32_t slots,
                                         mono_us now)
{
    CHECK(instance < LIMITER_INSTANCES);
    lock_at(l, now);
    l->live.limit = slots_set(&l->slots, instance, slots);
    struct limiter_waiter *chain = serve_locked(l);
    unlock(l);
    return chain;
}

/* A class keeps its pools while it is in use, or their counts would be wrong. */
static void set_classes_locked(struct limiter *l, const struct limiter_config *config)
{
    unsigned classes = config->classes > 0 ? config->classes : 1;
    bool idle = l->live.in_flight == 0 && l->queue.depth == 0;

    CHECK(classes <= LIMITER_CLASSES && (idle || classes == l->config.classes));
    l->plain_classes = 0;
    for (unsigned c = 0; c < classes; c++) {
        CHECK(idle || config->class_[c].pools == l->config.class_[c].pools);
        CHECK(config->class_[c].pools < 1u << LIMITER_POOLS);
        l->plain_classes |= config->class_[c].pools == 0 ? 1u << c : 0;
        waitq_set_head_start(&l->queue, c, config->class_[c].head_start);
    }
    l->config = *config;
    l->config.classes = classes;
    find_eligible_locked(l);
}

static void configure_locked(struct limiter *l, const struct limiter_config *config)
{
    set_classes_locked(l, config);
    l->live.queue_length = config->queue_length;
    waitq_bound(&l->queue, config->queue_length, config->queue_bytes);
    if (config->order == LIMITER_ADAPTIVE)
        return;
    waitq_make_all_on_time(&l->queue);
    overload_ends(&l->overload);
    overload_resumes(&l->overload);
}

struct limiter_waiter *limiter_reconfigure(struct limiter *l, const struct limiter_config *config,
                                           mono_us now)
{
    lock_at(l, now);
    configure_locked(l, config);
    struct limiter_waiter *chain = serve_locked(l);
    unlock(l);
    return chain;
}

static mono_us drain_locked(const struct limiter *l)
{
    return time_for_locked(l, (uint64_t)l->queue.depth + 1);
}

mono_us limiter_drain_estimate(struct limiter *l)
{
    pthread_mutex_lock(&l->mutex);
    mono_us drain = drain_locked(l);
    unlock(l);
    return drain;
}

static mono_us allowance_locked(const struct limiter *l)
{
    if (!l->learned && l->overload.patience == MONO_NEVER)
        return MONO_NEVER;
    return overload_allowance(&l->overload, hold_locked(l));
}

/* The figures that depend on the queue and the time. */
static void fill_in_locked(const struct limiter *l, struct limiter_snapshot *out)
{
    const struct limiter_waiter *oldest = waitq_oldest(&l->queue);

    out->depth = l->queue.depth;
    out->bytes = l->queue.bytes;
    out->overload = l->overload.over;
    out->oldest_wait = oldest != NULL ? l->now - oldest->queued_at : 0;
    out->drain = drain_locked(l);
    out->allowance = allowance_locked(l);
    for (unsigned c = 0; c < l->config.classes; c++)
        out->class_depth[c] = waitq_class_depth(&l->queue.classes[c]);
}

/*
 * Which of the identities do not hold: slots granted, against those returned and held; and the
 * integrals over time, against the times of the holders and of the waiters. `held_us` is the sum of
 * all holds that have ended, less the times when those of the present holders began, so with their
 * number times `now` it is that of all holds up to now; the same with `waited_us`. The sums wrap
 * around.
 */
static uint64_t wrong_locked(const struct limiter *l)
{
    const struct limiter_snapshot *live = &l->live;
    uint64_t now = (uint64_t)l->now;

    return (uint64_t)(live->admitted != live->released + live->requeued + live->in_flight) +
           (live->in_flight_us != l->held_us + live->in_flight * now) +
           (live->queued_us != l->waited_us + l->queue.depth * now);
}

static void snapshot_locked(struct limiter *l, struct limiter_snapshot *out)
{
    l->live.accounting_errors += wrong_locked(l);
    *out = l->live;
    fill_in_locked(l, out);
}

void limiter_snapshot(struct limiter *l, mono_us now, struct limiter_snapshot *out)
{
    lock_at(l, now);
    snapshot_locked(l, out);
    unlock(l);
}

void limiter_take_peaks(struct limiter *l, mono_us now, struct limiter_snapshot *out)
{
    lock_at(l, now);
    snapshot_locked(l, out);
    l->live.in_flight_peak = l->live.in_flight;
    l->live.depth_peak = l->queue.depth;
    l->live.wait_peak = 0;
    unlock(l);
}

void limiter_patience(struct limiter *l, struct patience *out)
{
    pthread_mutex_lock(&l->mutex);
    *out = l->patience;
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
    overload_init(&l->overload);
    patience_init(&l->patience);
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
