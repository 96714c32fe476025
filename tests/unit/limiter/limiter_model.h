/*
 * A slow model of the limiter, independent of its design. It keeps the queue as one array in the
 * order of arrival, and searches it; instead of integrals, it adds up the holds and waits it has
 * seen; instead of counters, it counts the holders, among the waiters. Patience and
 * evidence are those of their modules, which have models of their own.
 */
#pragma once

#include <string.h>

#include "limiter/limiter.h"

#define WAITERS 24u
#define NOBODY  WAITERS

struct model {
    struct limiter_config config;
    uint32_t slots[LIMITER_INSTANCES];
    unsigned reasons;
    bool has_mean;
    mono_us now;
    uint64_t mean_x8;
    struct patience patience;
    struct overload overload;
    struct limiter_waiter w[WAITERS]; /* as the limiter's should be, except for links */
    mono_us waits_from[WAITERS];      /* begin of the present wait: arrival, or the last requeue */
    uint64_t arrival[WAITERS], arrivals;
    unsigned queue[WAITERS], depth; /* by arrival */
    unsigned chain[WAITERS], chain_length;
    unsigned turn[LIMITER_CLASSES]; /* the key after the one that was served last */
    mono_us since[LIMITER_CLASSES];
    uint64_t latest[LIMITER_CLASSES];          /* arrivals that have had a slot */
    uint64_t held_us, waited_us, saturated_us; /* of holds and waits that have ended */
    struct limiter_snapshot events;            /* only its counters and peaks */
};

/* ---- slots ----------------------------------------------------------------------------------- */

static inline uint32_t model_holders(const struct model *m)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < WAITERS; i++)
        n += m->w[i].state == LIMITER_HOLDING;
    return n;
}

static inline uint32_t model_held(const struct model *m, unsigned instance)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < WAITERS; i++)
        n += m->w[i].state == LIMITER_HOLDING && m->w[i].instance == instance;
    return n;
}

static inline uint32_t model_limit(const struct model *m)
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
static inline unsigned model_least_loaded(const struct model *m)
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

static inline uint64_t model_free(const struct model *m)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < LIMITER_INSTANCES; i++) {
        uint32_t held = model_held(m, i);
        sum += m->slots[i] > held ? m->slots[i] - held : 0;
    }
    return sum;
}

static inline bool model_slot_free(const struct model *m)
{
    return m->reasons == 0 && model_least_loaded(m) < LIMITER_INSTANCES;
}

static inline bool model_plain(const struct model *m, unsigned class_)
{
    return m->config.class_[class_].pools == 0;
}

static inline bool model_eligible(const struct model *m, unsigned class_)
{
    for (unsigned pool = 0; pool < LIMITER_POOLS; pool++) {
        uint32_t held = 0;
        if ((m->config.class_[class_].pools & 1 << pool) == 0)
            continue;
        for (unsigned i = 0; i < WAITERS; i++)
            held += m->w[i].state == LIMITER_HOLDING &&
                    (m->config.class_[m->w[i].class_].pools & 1 << pool) != 0;
        if (held >= m->config.pool_max[pool])
            return false;
    }
    return true;
}

/* ---- the queue ------------------------------------------------------------------------------- */

static inline uint64_t model_bytes(const struct model *m)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < m->depth; i++)
        sum += m->w[m->queue[i]].bytes;
    return sum;
}

/* Waiters of a class, or of all plain ones. */
static inline unsigned model_in_class(const struct model *m, unsigned class_)
{
    unsigned n = 0;

    for (unsigned i = 0; i < m->depth; i++)
        n += m->w[m->queue[i]].class_ == class_;
    return n;
}

static inline unsigned model_plain_depth(const struct model *m)
{
    unsigned n = 0;

    for (unsigned i = 0; i < m->depth; i++)
        n += model_plain(m, m->w[m->queue[i]].class_);
    return n;
}

static inline unsigned model_in_key(const struct model *m, unsigned class_, unsigned key)
{
    unsigned n = 0;

    for (unsigned i = 0; i < m->depth; i++)
        n += m->w[m->queue[i]].class_ == class_ && m->w[m->queue[i]].key == key;
    return n;
}

/* The first waiter of a class and key that is late or not, or the last. */
static inline unsigned model_find(const struct model *m, unsigned class_, unsigned key, bool late,
                                  bool last)
{
    unsigned found = NOBODY;

    for (unsigned i = 0; i < m->depth; i++) {
        const struct limiter_waiter *w = &m->w[m->queue[i]];
        if (w->class_ == class_ && w->key == key && w->late == late && (last || found == NOBODY))
            found = m->queue[i];
    }
    return found;
}

static inline void model_insert(struct model *m, unsigned i)
{
    unsigned place = 0;

    while (place < m->depth && m->arrival[m->queue[place]] < m->arrival[i])
        place++;
    memmove(&m->queue[place + 1], &m->queue[place], (m->depth - place) * sizeof(m->queue[0]));
    m->queue[place] = i;
    m->depth++;
}

static inline void model_take_out(struct model *m, unsigned i)
{
    unsigned place = 0;

    while (m->queue[place] != i)
        place++;
    m->depth--;
    memmove(&m->queue[place], &m->queue[place + 1], (m->depth - place) * sizeof(m->queue[0]));
}

/* ---- time and learning ----------------------------------------------------------------------- */

static inline void model_time(struct model *m, mono_us now)
{
    if (now <= m->now)
        return;
    if (model_least_loaded(m) == LIMITER_INSTANCES)
        m->saturated_us += (uint64_t)(now - m->now);
    if (m->overload.over)
        m->events.overload_us += (uint64_t)(now - m->now);
    m->now = now;
}

static inline mono_us model_hold(const struct model *m)
{
    return (mono_us)(m->mean_x8 / 8);
}

static inline mono_us model_time_for(const struct model *m, uint64_t waiters)
{
    uint32_t limit = model_limit(m);

    return (mono_us)(m->mean_x8 * waiters / 8 / (limit > 0 ? limit : 1));
}

static inline bool model_adaptive(const struct model *m)
{
    return m->config.order == LIMITER_ADAPTIVE;
}

static inline void model_learn(struct model *m, const struct limiter_waiter *w, mono_us until,
                               bool left)
{
    if (!model_plain(m, w->class_))
        return;
    if (w->declared != 0)
        patience_learn(&m->patience, w->declared - w->queued_at, true);
    else
        patience_learn(&m->patience, until - w->queued_at, left);
}

static inline void model_refresh(struct model *m)
{
    if (!overload_is_due(&m->overload, m->now))
        return;
    overload_begin_refresh(&m->overload, m->now);
    overload_set_patience(&m->overload, patience_allowance(&m->patience));
}

static inline bool model_is_late(const struct model *m, const struct limiter_waiter *w)
{
    mono_us allowance = overload_allowance(&m->overload, model_hold(m));

    if (!model_adaptive(m))
        return false;
    if (m->overload.over && m->now - w->queued_at > allowance)
        return true;
    return w->declared != 0 && m->now + model_hold(m) > w->declared;
}

/* Age of the first plain waiter that is on time, or -1. */
static inline mono_us model_oldest_on_time(const struct model *m)
{
    for (unsigned i = 0; i < m->depth; i++) {
        const struct limiter_waiter *w = &m->w[m->queue[i]];
        if (model_plain(m, w->class_) && !w->late)
            return m->now - w->queued_at;
    }
    return -1;
}

static inline void model_overload_begins(struct model *m, enum overload_cause cause)
{
    unsigned plain = model_plain_depth(m);

    m->events.overloads[cause]++;
    m->events.last.cause = cause;
    m->events.last.depth = plain;
    m->events.last.at = m->now;
    m->events.last.turnover = model_time_for(m, plain);
    m->events.last.oldest = model_oldest_on_time(m);
    m->events.last.patience = m->overload.patience;
    m->events.last.allowance = overload_allowance(&m->overload, model_hold(m));
}

static inline void model_overload_ends(struct model *m)
{
    if (model_plain_depth(m) > 0 || !overload_ends(&m->overload))
        return;
    for (unsigned i = 0; i < m->depth; i++)
        m->w[m->queue[i]].late = false;
}

/* ---- who is next ----------------------------------------------------------------------------- */

static inline unsigned model_key_in_turn(const struct model *m, unsigned class_)
{
    unsigned key = m->turn[class_] % LIMITER_KEYS;

    while (model_in_key(m, class_, key) == 0)
        key = (key + 1) % LIMITER_KEYS;
    return key;
}

static inline bool model_expired(const struct model *m, unsigned i)
{
    return m->w[i].deadline <= m->now;
}

/* The candidate of a class that has waiters; those before it that are late are marked. */
static inline unsigned model_candidate(struct model *m, unsigned class_)
{
    unsigned key = model_key_in_turn(m, class_), i;

    while ((i = model_find(m, class_, key, false, false)) != NOBODY) {
        if (model_expired(m, i) || !model_is_late(m, &m->w[i]))
            return i;
        m->w[i].late = true;
    }
    return model_find(m, class_, key, true, true);
}

static inline mono_us model_rank(const struct model *m, unsigned i)
{
    const struct limiter_waiter *w = &m->w[i];
    mono_us from = w->queued_at, since = m->since[w->class_];

    if (m->overload.over)
        from = w->late ? since : (since < from ? since : from);
    return from - m->config.class_[w->class_].head_start;
}

/* An expired one, or the one that may have the next slot, or NOBODY. */
static inline unsigned model_next(struct model *m)
{
    unsigned best = NOBODY;

    for (unsigned c = 0; c < m->config.classes; c++) {
        if (model_in_class(m, c) == 0)
            continue;
        unsigned i = model_candidate(m, c);
        if (model_expired(m, i))
            return i;
        if (!model_eligible(m, c))
            continue;
        if (best == NOBODY || model_rank(m, i) < model_rank(m, best) ||
            (model_rank(m, i) == model_rank(m, best) && m->arrival[i] < m->arrival[best]))
            best = i;
    }
    return best;
}

/* ---- who makes room -------------------------------------------------------------------------- */

static inline mono_us model_head_start(const struct model *m, unsigned class_)
{
    return m->config.class_[class_].head_start;
}

/* The class with the smallest head start of those chosen, or LIMITER_CLASSES. */
static inline unsigned model_lowest(const struct model *m, const bool chosen[LIMITER_CLASSES])
{
    unsigned lowest = LIMITER_CLASSES;

    for (unsigned c = 0; c < m->config.classes; c++)
        if (chosen[c] &&
            (lowest == LIMITER_CLASSES || model_head_start(m, c) < model_head_start(m, lowest)))
            lowest = c;
    return lowest;
}

static inline unsigned model_longest_key(const struct model *m, unsigned class_)
{
    unsigned longest = 0;

    for (unsigned k = 0; k < LIMITER_KEYS; k++)
        if (model_in_key(m, class_, k) > model_in_key(m, class_, longest))
            longest = k;
    return longest;
}

static inline unsigned model_newest(const struct model *m, unsigned class_)
{
    unsigned key = model_longest_key(m, class_), newest = NOBODY;

    for (unsigned i = 0; i < m->depth; i++)
        if (m->w[m->queue[i]].class_ == class_ && m->w[m->queue[i]].key == key)
            newest = m->queue[i];
    return newest;
}

static inline unsigned model_late_in(const struct model *m, unsigned class_, unsigned key)
{
    unsigned n = 0;

    for (unsigned i = 0; i < m->depth; i++) {
        const struct limiter_waiter *w = &m->w[m->queue[i]];
        n += w->class_ == class_ && w->late && (key == LIMITER_KEYS || w->key == key);
    }
    return n;
}

static inline unsigned model_oldest_late(const struct model *m, unsigned class_)
{
    unsigned longest = 0;

    for (unsigned k = 0; k < LIMITER_KEYS; k++)
        if (model_late_in(m, class_, k) > model_late_in(m, class_, longest))
            longest = k;
    return model_find(m, class_, longest, true, false);
}

/* Waiters that would be late at their turn are late now, in classes no higher than `newcomer`. */
static inline void model_mark_late(struct model *m, const struct limiter_waiter *newcomer)
{
    for (unsigned c = 0; m->overload.over && c < m->config.classes; c++)
        for (unsigned k = 0; k < LIMITER_KEYS; k++) {
            unsigned i;
            if (model_head_start(m, c) > model_head_start(m, newcomer->class_))
                continue;
            while ((i = model_find(m, c, k, false, false)) != NOBODY && model_is_late(m, &m->w[i]))
                m->w[i].late = true;
        }
}

static inline bool model_yields(const struct model *m, unsigned class_,
                                const struct limiter_waiter *newcomer)
{
    mono_us own = model_head_start(m, newcomer->class_), its = model_head_start(m, class_);
    bool runs = model_eligible(m, newcomer->class_);

    if (model_in_class(m, class_) < 2)
        return false;
    if (its < own || (runs && its == own && !model_eligible(m, class_)))
        return true;
    return runs && its > own && model_in_class(m, newcomer->class_) == 0;
}

static inline bool model_has_held_back(const struct model *m, const struct limiter_waiter *newcomer)
{
    mono_us own = model_head_start(m, newcomer->class_);

    for (unsigned c = 0; c < m->config.classes; c++)
        if (model_eligible(m, newcomer->class_) && !model_eligible(m, c) &&
            model_in_class(m, c) > 1 && model_head_start(m, c) <= own)
            return true;
    return false;
}

static inline unsigned model_victim(struct model *m, const struct limiter_waiter *newcomer)
{
    bool late[LIMITER_CLASSES] = {false}, yields[LIMITER_CLASSES] = {false};
    unsigned own = newcomer->class_, longest = model_longest_key(m, own);

    model_mark_late(m, newcomer);
    for (unsigned c = 0; c < m->config.classes; c++) {
        bool spares = c == own || model_in_class(m, c) > 1;
        late[c] = m->overload.over && spares && model_late_in(m, c, LIMITER_KEYS) > 0 &&
                  model_head_start(m, c) <= model_head_start(m, own);
        yields[c] = model_yields(m, c, newcomer);
    }
    if (model_lowest(m, late) < LIMITER_CLASSES)
        return model_oldest_late(m, model_lowest(m, late));
    if (model_lowest(m, yields) < LIMITER_CLASSES)
        return model_newest(m, model_lowest(m, yields));
    if (model_in_key(m, own, longest) > model_in_key(m, own, newcomer->key) + 1)
        return model_newest(m, own);
    return NOBODY;
}

/* At most what all possible victims together hold. */
static inline uint64_t model_spare_bytes(struct model *m, const struct limiter_waiter *newcomer)
{
    unsigned own = newcomer->class_;
    uint64_t bytes = 0;

    model_mark_late(m, newcomer);
    for (unsigned i = 0; i < m->depth; i++) {
        const struct limiter_waiter *w = &m->w[m->queue[i]];
        bool other_keys = model_in_key(m, own, newcomer->key) < model_in_class(m, own);
        if (model_yields(m, w->class_, newcomer) || (w->class_ == own && other_keys) ||
            (m->overload.over && w->late &&
             model_head_start(m, w->class_) <= model_head_start(m, own)))
            bytes += w->bytes;
    }
    return bytes;
}

static inline uint32_t model_ahead(const struct model *m, const struct limiter_waiter *newcomer)
{
    uint32_t ahead = 0;

    for (unsigned i = 0; i < m->depth; i++) {
        const struct limiter_waiter *w = &m->w[m->queue[i]];
        bool counts = w->class_ == newcomer->class_ || model_eligible(m, w->class_);
        ahead += counts && !w->late &&
                 model_head_start(m, w->class_) >= model_head_start(m, newcomer->class_);
    }
    return ahead;
}

/* ---- what happens ---------------------------------------------------------------------------- */

static inline void model_peaks(struct model *m)
{
    if (model_holders(m) > m->events.in_flight_peak)
        m->events.in_flight_peak = model_holders(m);
    if (m->depth > m->events.depth_peak)
        m->events.depth_peak = m->depth;
}

static inline void model_note_wait(struct model *m, const struct limiter_waiter *w)
{
    mono_us waited = w->ended_at - w->queued_at - w->requeued_us;

    if (waited > m->events.wait_peak)
        m->events.wait_peak = waited;
}

static inline void model_end_wait(struct model *m, unsigned i, enum limiter_verdict verdict)
{
    struct limiter_waiter *w = &m->w[i];

    if (verdict == LIMITER_ADMITTED)
        w->instance = (uint8_t)model_least_loaded(m);
    w->verdict = verdict;
    w->ended_at = m->now;
    model_note_wait(m, w);
    w->state = verdict == LIMITER_ADMITTED ? LIMITER_HOLDING : LIMITER_IDLE;
    m->waited_us += (uint64_t)(w->ended_at - m->waits_from[i]);
    m->events.expired += verdict == LIMITER_EXPIRED;
    m->events.evicted += verdict == LIMITER_EVICTED;
    if (verdict == LIMITER_ADMITTED) {
        w->granted_at = m->now;
        m->events.admitted++;
        m->events.overtaken += m->arrival[i] < m->latest[w->class_] && !w->requeued;
        if (m->arrival[i] > m->latest[w->class_])
            m->latest[w->class_] = m->arrival[i];
    }
    model_peaks(m);
}

static inline void model_end_in_queue(struct model *m, unsigned i, enum limiter_verdict verdict)
{
    struct limiter_waiter *w = &m->w[i];

    model_take_out(m, i);
    model_end_wait(m, i, verdict);
    m->chain[m->chain_length++] = i;
    if (verdict == LIMITER_ADMITTED) {
        m->turn[w->class_] = w->key + 1u;
        m->since[w->class_] = m->now;
    } else {
        model_learn(m, w, m->now, false);
    }
}

static inline void model_serve(struct model *m)
{
    unsigned i;

    while ((i = model_next(m)) != NOBODY && (model_expired(m, i) || model_slot_free(m)))
        model_end_in_queue(m, i, model_expired(m, i) ? LIMITER_EXPIRED : LIMITER_ADMITTED);
    model_overload_ends(m);
}

static inline enum limiter_verdict model_room(const struct model *m, const struct limiter_waiter *w)
{
    if (m->depth >= m->config.queue_length)
        return LIMITER_SHED_FULL;
    if (model_bytes(m) + w->bytes > m->config.queue_bytes)
        return LIMITER_SHED_BYTES;
    return LIMITER_QUEUED;
}

/* Tries on a copy of the queue. */
static inline bool model_can_fit(struct model *m, const struct limiter_waiter *w)
{
    if (model_bytes(m) - model_spare_bytes(m, w) + w->bytes > m->config.queue_bytes)
        return false;
    struct model trial = *m;
    while (model_bytes(&trial) + w->bytes > m->config.queue_bytes) {
        unsigned victim = model_victim(&trial, w);
        if (victim == NOBODY)
            return false;
        model_take_out(&trial, victim);
    }
    return true;
}

static inline bool model_make_room(struct model *m, const struct limiter_waiter *w)
{
    if (w->bytes > m->config.queue_bytes || !model_can_fit(m, w))
        return false;
    do {
        unsigned victim = model_victim(m, w);
        if (victim == NOBODY)
            return false;
        model_end_in_queue(m, victim, model_expired(m, victim) ? LIMITER_EXPIRED : LIMITER_EVICTED);
    } while (model_bytes(m) + w->bytes > m->config.queue_bytes);
    return true;
}

/* Whether an arrival that has to queue may be the begin of an overload. */
static inline bool model_is_evidence(const struct model *m, const struct limiter_waiter *w)
{
    return model_adaptive(m) && !m->overload.over && m->reasons == 0 && m->has_mean &&
           model_plain(m, w->class_) && model_plain_depth(m) > 0;
}

static inline void model_judge_arrival(struct model *m, const struct limiter_waiter *w)
{
    enum overload_cause cause;
    struct overload_arrival a = {
        .now = m->now,
        .left = w->deadline == MONO_NEVER ? MONO_NEVER : w->deadline - m->now,
        .oldest = model_oldest_on_time(m),
        .hold_x8 = m->mean_x8,
        .granted = m->events.released + model_holders(m),
        .limit = model_limit(m),
        .waiters = model_plain_depth(m),
        .full = model_room(m, w) != LIMITER_QUEUED && w->bytes <= m->config.queue_bytes &&
                !model_has_held_back(m, w),
    };

    if (model_is_evidence(m, w) && overload_arrives(&m->overload, &a, &cause))
        model_overload_begins(m, cause);
}

static inline enum limiter_verdict model_judge_waiter(struct model *m, struct limiter_waiter *w)
{
    model_judge_arrival(m, w);
    if (w->declared != 0 && m->reasons == 0 && m->has_mean &&
        model_time_for(m, model_ahead(m, w)) >= w->declared - m->now) {
        model_learn(m, w, m->now, false);
        return LIMITER_SHED_LATE;
    }
    enum limiter_verdict verdict = model_room(m, w);
    return verdict != LIMITER_QUEUED && model_make_room(m, w) ? LIMITER_QUEUED : verdict;
}

/* Without room, the chain gets the expired at the head; no slot is free for others. */
static inline enum limiter_verdict model_judge_newcomer(struct model *m, struct limiter_waiter *w)
{
    if (model_slot_free(m) && model_eligible(m, w->class_))
        return LIMITER_ADMITTED;
    if (model_is_evidence(m, w))
        model_refresh(m);
    if (w->deadline <= m->now)
        return LIMITER_EXPIRED;
    if (model_room(m, w) != LIMITER_QUEUED)
        model_serve(m);
    mono_us since = m->since[w->class_];
    bool empty = model_in_class(m, w->class_) == 0;
    enum limiter_verdict verdict = model_judge_waiter(m, w);
    if (verdict == LIMITER_QUEUED)
        m->since[w->class_] = empty ? m->now : since;
    else
        model_overload_ends(m);
    return verdict;
}

static inline void model_acquire(struct model *m, unsigned i, mono_us deadline)
{
    struct limiter_waiter *w = &m->w[i];

    m->chain_length = 0;
    m->arrival[i] = m->arrivals++;
    m->waits_from[i] = m->now;
    w->deadline = deadline;
    w->queued_at = w->ended_at = m->now;
    w->granted_at = w->released_at = w->requeued_us = 0;
    w->late = w->requeued = false;
    w->verdict = model_judge_newcomer(m, w);
    m->events.shed_full += w->verdict == LIMITER_SHED_FULL;
    m->events.shed_bytes += w->verdict == LIMITER_SHED_BYTES;
    m->events.shed_late += w->verdict == LIMITER_SHED_LATE;
    if (w->verdict == LIMITER_ADMITTED || w->verdict == LIMITER_EXPIRED)
        model_end_wait(m, i, w->verdict);
    if (w->verdict != LIMITER_QUEUED)
        return;
    w->state = LIMITER_WAITING;
    model_insert(m, i);
    m->events.queued++;
    model_peaks(m);
}

/* Learns from a release, while the slot is held. */
static inline void model_learn_release(struct model *m, const struct limiter_waiter *w)
{
    mono_us waited = w->granted_at - w->queued_at, hold = m->now - w->granted_at;
    bool gone = w->left_at != 0 || (w->declared != 0 && m->now > w->declared);
    bool plain = model_plain(m, w->class_);

    m->events.wasted += gone && !w->apart;
    if (!w->apart && plain) {
        uint64_t us = (uint64_t)hold;
        m->mean_x8 = m->has_mean ? m->mean_x8 - m->mean_x8 / 8 + us : us * 8;
        m->has_mean = true;
        patience_learn_hold(&m->patience, hold);
        model_learn(m, w, w->left_at != 0 ? w->left_at : m->now, w->left_at != 0);
    }
    if (m->overload.over || (waited > 0 && gone))
        model_refresh(m);
    if (w->apart || !plain || waited == 0 || m->reasons != 0 || !model_adaptive(m))
        return;
    if (overload_releases(&m->overload, gone, waited, model_plain_depth(m) == 0))
        model_overload_begins(m, OVERLOAD_WASTE);
}

static inline void model_release(struct model *m, unsigned i)
{
    struct limiter_waiter *w = &m->w[i];

    m->chain_length = 0;
    model_learn_release(m, w);
    w->state = LIMITER_IDLE;
    w->released_at = m->now;
    m->held_us += (uint64_t)(m->now - w->granted_at);
    m->events.released++;
    model_serve(m);
}

/* Back in front of the first that arrived later. */
static inline void model_requeue(struct model *m, unsigned i)
{
    struct limiter_waiter *w = &m->w[i];

    m->chain_length = 0;
    m->held_us += (uint64_t)(m->now - w->granted_at);
    w->requeued_us += m->now - w->granted_at;
    w->requeued = true;
    w->late = false;
    w->granted_at = 0;
    w->state = LIMITER_WAITING;
    w->verdict = LIMITER_QUEUED;
    m->waits_from[i] = m->now;
    m->events.requeued++;
    if (model_in_class(m, w->class_) == 0)
        m->since[w->class_] = m->now;
    model_insert(m, i);
    model_peaks(m);
    model_serve(m);
}

static inline void model_cancel(struct model *m, unsigned i, enum limiter_leave why)
{
    model_take_out(m, i);
    m->w[i].state = LIMITER_IDLE;
    m->w[i].ended_at = m->now;
    model_note_wait(m, &m->w[i]);
    m->waited_us += (uint64_t)(m->now - m->waits_from[i]);
    m->events.cancelled++;
    model_learn(m, &m->w[i], m->now, why == LIMITER_CLIENT_LEFT);
    model_overload_ends(m);
}

static inline void model_resume(struct model *m, unsigned reason)
{
    m->chain_length = 0;
    if (m->reasons != 0 && (m->reasons & ~reason) == 0)
        overload_resumes(&m->overload);
    m->reasons &= ~reason;
    model_serve(m);
}

static inline void model_reconfigure(struct model *m, const struct limiter_config *config)
{
    m->chain_length = 0;
    m->config = *config;
    m->config.classes = config->classes > 0 ? config->classes : 1;
    if (!model_adaptive(m)) {
        overload_ends(&m->overload);
        overload_resumes(&m->overload);
        for (unsigned i = 0; i < WAITERS; i++)
            m->w[i].late = m->w[i].late && m->w[i].state != LIMITER_WAITING;
    }
    model_serve(m);
}

static inline void model_set_slots(struct model *m, unsigned instance, uint32_t slots)
{
    m->chain_length = 0;
    m->slots[instance] = slots;
    model_serve(m);
}

static inline void model_take_peaks(struct model *m)
{
    m->events.in_flight_peak = model_holders(m);
    m->events.depth_peak = m->depth;
    m->events.wait_peak = 0;
}

static inline bool model_plenty(const struct model *m)
{
    uint32_t quarter = model_limit(m) / 4;

    return m->reasons == 0 && model_plain_depth(m) == 0 &&
           model_free(m) > (quarter > 1 ? quarter : 1);
}

static inline bool model_full(const struct model *m)
{
    return !model_slot_free(m) && !m->overload.over && m->depth >= m->config.queue_length &&
           model_plain_depth(m) == m->depth;
}

static inline struct limiter_snapshot model_snapshot(const struct model *m)
{
    struct limiter_snapshot s = m->events;

    s.limit = model_limit(m);
    s.queue_length = m->config.queue_length;
    s.in_flight = model_holders(m);
    s.depth = m->depth;
    s.bytes = model_bytes(m);
    s.paused = m->reasons;
    s.overload = m->overload.over;
    s.oldest_wait = m->depth > 0 ? m->now - m->w[m->queue[0]].queued_at : 0;
    s.drain = model_time_for(m, m->depth + 1);
    s.allowance = m->has_mean || m->overload.patience < MONO_NEVER
                      ? overload_allowance(&m->overload, model_hold(m))
                      : MONO_NEVER;
    s.in_flight_us = m->held_us;
    s.queued_us = m->waited_us;
    s.saturated_us = m->saturated_us;
    for (unsigned c = 0; c < m->config.classes; c++)
        s.class_depth[c] = model_in_class(m, c);
    for (unsigned i = 0; i < WAITERS; i++) {
        if (m->w[i].state == LIMITER_HOLDING)
            s.in_flight_us += (uint64_t)(m->now - m->w[i].granted_at);
        if (m->w[i].state == LIMITER_WAITING)
            s.queued_us += (uint64_t)(m->now - m->waits_from[i]);
    }
    return s;
}
