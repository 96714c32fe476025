/* The limiter's queue. No locks here: all of it runs under the limiter's mutex. */
#include "limiter/waitq.h"

#include <stddef.h>

void waitq_bound(struct waitq *q, uint32_t max_depth, uint64_t max_bytes)
{
    q->max_depth = max_depth;
    q->max_bytes = max_bytes;
}

void waitq_set_head_start(struct waitq *q, unsigned class_, mono_us head_start)
{
    CHECK(class_ < LIMITER_CLASSES && head_start >= 0);
    q->classes[class_].head_start = head_start;
}

/* Checks before adding: `bytes` may have any value, and the sum must not wrap. */
enum limiter_verdict waitq_room(const struct waitq *q, uint64_t bytes)
{
    if (q->depth >= q->max_depth)
        return LIMITER_SHED_FULL;
    if (q->bytes > q->max_bytes || bytes > q->max_bytes - q->bytes)
        return LIMITER_SHED_BYTES;
    return LIMITER_QUEUED;
}

/* ---- lists and lanes ------------------------------------------------------------------------- */

static struct waitq_lane *lane_of(struct waitq *q, const struct limiter_waiter *w)
{
    return &q->classes[w->class_].lanes[w->late ? WAITQ_LATE : WAITQ_ON_TIME];
}

/* Links `w` in after `prev`, or at the head when that is NULL. */
static void link_after(struct waitq_lane *lane, struct limiter_waiter *prev,
                       struct limiter_waiter *w)
{
    struct waitq_list *list = &lane->keys[w->key];

    w->prev = prev;
    w->next = prev != NULL ? prev->next : list->head;
    *(prev != NULL ? &prev->next : &list->head) = w;
    *(w->next != NULL ? &w->next->prev : &list->tail) = w;
    list->length++;
    lane->used |= UINT64_C(1) << w->key;
    lane->depth++;
    lane->bytes += w->bytes;
}

static void unlink_from(struct waitq_lane *lane, struct limiter_waiter *w)
{
    struct waitq_list *list = &lane->keys[w->key];

    *(w->prev != NULL ? &w->prev->next : &list->head) = w->next;
    *(w->next != NULL ? &w->next->prev : &list->tail) = w->prev;
    w->next = w->prev = NULL;
    if (--list->length == 0)
        lane->used &= ~(UINT64_C(1) << w->key);
    lane->depth--;
    lane->bytes -= w->bytes;
}

/* ---- in and out ------------------------------------------------------------------------------ */

static void add(struct waitq *q, struct limiter_waiter *prev, struct limiter_waiter *w,
                mono_us since)
{
    uint32_t bit = UINT32_C(1) << w->class_;

    if ((q->used & bit) == 0)
        q->classes[w->class_].since = since;
    q->used |= bit;
    q->depth++;
    q->bytes += w->bytes;
    link_after(lane_of(q, w), prev, w);
}

void waitq_push(struct waitq *q, struct limiter_waiter *w, mono_us since)
{
    CHECK(w->class_ < LIMITER_CLASSES && w->key < LIMITER_KEYS);
    w->late = false;
    add(q, lane_of(q, w)->keys[w->key].tail, w, since);
}

/* From the head: those ahead of `w` have come back as well, or it would not have been served. */
void waitq_push_back(struct waitq *q, struct limiter_waiter *w, mono_us since)
{
    CHECK(w->bytes <= UINT64_MAX - q->bytes);
    w->late = false;
    struct limiter_waiter *prev = NULL, *next = lane_of(q, w)->keys[w->key].head;

    for (; next != NULL && next->place < w->place; next = next->next)
        prev = next;
    add(q, prev, w, since);
}

void waitq_remove(struct waitq *q, struct limiter_waiter *w)
{
    struct waitq_class *class_ = &q->classes[w->class_];

    unlink_from(lane_of(q, w), w);
    q->depth--;
    q->bytes -= w->bytes;
    if (waitq_class_depth(class_) == 0)
        q->used &= ~(UINT32_C(1) << w->class_);
}

void waitq_serve(struct waitq *q, struct limiter_waiter *w, mono_us now)
{
    q->classes[w->class_].since = now;
    q->classes[w->class_].turn = (w->key + 1u) % LIMITER_KEYS;
    waitq_remove(q, w);
}

/* Until it is put back, `prev` is what it was, and `next` the stack. */
void waitq_lift(struct waitq *q, struct limiter_waiter *w, struct limiter_waiter **lifted)
{
    struct limiter_waiter *prev = w->prev;

    waitq_remove(q, w);
    w->prev = prev;
    w->next = *lifted;
    *lifted = w;
}

void waitq_put_back(struct waitq *q, struct limiter_waiter **lifted)
{
    struct limiter_waiter *w = *lifted;

    *lifted = w->next;
    add(q, w->prev, w, q->classes[w->class_].since);
}

/* ---- from lane to lane ----------------------------------------------------------------------- */

/* From the tail: only those that came back have a place before one that is late already. */
void waitq_make_late(struct waitq *q, struct limiter_waiter *w)
{
    unlink_from(lane_of(q, w), w);
    w->late = true;
    struct waitq_lane *late = lane_of(q, w);
    struct limiter_waiter *prev = late->keys[w->key].tail;

    while (prev != NULL && prev->place > w->place)
        prev = prev->prev;
    link_after(late, prev, w);
}

/* One pass over both lists of a key: each insertion continues behind the one before. */
static void merge_key(struct waitq_class *class_, unsigned key)
{
    struct waitq_lane *late = &class_->lanes[WAITQ_LATE], *on_time = &class_->lanes[WAITQ_ON_TIME];
    struct limiter_waiter *prev = NULL, *next = on_time->keys[key].head, *w;

    while ((w = late->keys[key].head) != NULL) {
        unlink_from(late, w);
        w->late = false;
        for (; next != NULL && next->place < w->place; next = next->next)
            prev = next;
        link_after(on_time, prev, w);
        prev = w;
    }
}

void waitq_make_all_on_time(struct waitq *q)
{
    for (unsigned c = 0; c < LIMITER_CLASSES; c++)
        for (unsigned k = 0; q->classes[c].lanes[WAITQ_LATE].depth > 0; k++)
            merge_key(&q->classes[c], k);
}

/* ---- who is where ---------------------------------------------------------------------------- */

unsigned waitq_key_in_turn(const struct waitq_class *class_)
{
    uint64_t used = class_->lanes[WAITQ_ON_TIME].used | class_->lanes[WAITQ_LATE].used;
    uint64_t from = used & UINT64_MAX << class_->turn;

    return (unsigned)__builtin_ctzll(from != 0 ? from : used);
}

static const struct limiter_waiter *earlier(const struct limiter_waiter *a,
                                            const struct limiter_waiter *b)
{
    return a == NULL || b->place < a->place ? b : a;
}

static const struct limiter_waiter *first_of(const struct waitq_lane *lane,
                                             const struct limiter_waiter *first)
{
    for (uint64_t keys = lane->used; keys != 0; keys &= keys - 1)
        first = earlier(first, lane->keys[__builtin_ctzll(keys)].head);
    return first;
}

const struct limiter_waiter *waitq_first_on_time(const struct waitq *q, uint32_t classes)
{
    const struct limiter_waiter *first = NULL;

    for (classes &= q->used; classes != 0; classes &= classes - 1)
        first = first_of(&q->classes[__builtin_ctz(classes)].lanes[WAITQ_ON_TIME], first);
    return first;
}

const struct limiter_waiter *waitq_oldest(const struct waitq *q)
{
    const struct limiter_waiter *oldest = waitq_first_on_time(q, q->used);

    for (uint32_t classes = q->used; classes != 0; classes &= classes - 1)
        oldest = first_of(&q->classes[__builtin_ctz(classes)].lanes[WAITQ_LATE], oldest);
    return oldest;
}
