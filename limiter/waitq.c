/* The limiter's queue. No locks here: all of it runs under the limiter's mutex. */
#include "limiter/waitq.h"

void waitq_bound(struct waitq *q, uint32_t max_depth, uint64_t max_bytes)
{
    q->max_depth = max_depth;
    q->max_bytes = max_bytes;
}

/* Checks before adding: `w->bytes` may have any value, and the sum must not wrap. */
static bool has_room_for(const struct waitq *q, uint64_t bytes)
{
    return q->bytes <= q->max_bytes && bytes <= q->max_bytes - q->bytes;
}

/* Links `w` in after `prev`, or at the head when that is NULL. */
static void insert(struct waitq *q, struct limiter_waiter *prev, struct limiter_waiter *w)
{
    struct waitq_list *list = &q->lists[w->class_];

    w->prev = prev;
    w->next = prev != NULL ? prev->next : list->head;
    *(prev != NULL ? &prev->next : &list->head) = w;
    *(w->next != NULL ? &w->next->prev : &list->tail) = w;
    q->depth++;
    q->bytes += w->bytes;
}

enum limiter_verdict waitq_push(struct waitq *q, struct limiter_waiter *w)
{
    CHECK(w->class_ < WAITQ_CLASSES);
    if (q->depth >= q->max_depth)
        return LIMITER_SHED_FULL;
    if (!has_room_for(q, w->bytes))
        return LIMITER_SHED_BYTES;
    insert(q, q->lists[w->class_].tail, w);
    return LIMITER_QUEUED;
}

/* From the head: those ahead of `w` have come back as well, or it would not have been served. */
void waitq_push_back(struct waitq *q, struct limiter_waiter *w)
{
    CHECK(w->class_ < WAITQ_CLASSES && w->bytes <= UINT64_MAX - q->bytes);
    struct limiter_waiter *prev = NULL, *next = q->lists[w->class_].head;

    for (; next != NULL && next->place < w->place; next = next->next)
        prev = next;
    insert(q, prev, w);
}

void waitq_remove(struct waitq *q, struct limiter_waiter *w)
{
    struct waitq_list *list = &q->lists[w->class_];

    *(w->prev != NULL ? &w->prev->next : &list->head) = w->next;
    *(w->next != NULL ? &w->next->prev : &list->tail) = w->prev;
    w->next = w->prev = NULL;
    q->depth--;
    q->bytes -= w->bytes;
}

struct limiter_waiter *waitq_next(const struct waitq *q, mono_us now, bool *in_time)
{
    struct limiter_waiter *first = NULL;

    for (unsigned c = 0; first == NULL && c < WAITQ_CLASSES; c++)
        first = q->lists[c].head;
    if (first != NULL)
        *in_time = now < first->deadline;
    return first;
}

const struct limiter_waiter *waitq_oldest(const struct waitq *q)
{
    const struct limiter_waiter *oldest = NULL;

    for (unsigned c = 0; c < WAITQ_CLASSES; c++) {
        const struct limiter_waiter *w = q->lists[c].head;
        if (w != NULL && (oldest == NULL || w->queued_at < oldest->queued_at))
            oldest = w;
    }
    return oldest;
}
