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

static void append(struct waitq_list *list, struct limiter_waiter *w)
{
    w->next = NULL;
    w->prev = list->tail;
    if (list->tail != NULL)
        list->tail->next = w;
    else
        list->head = w;
    list->tail = w;
}

enum limiter_verdict waitq_push(struct waitq *q, struct limiter_waiter *w)
{
    CHECK(w->class_ < WAITQ_CLASSES);
    if (q->depth >= q->max_depth)
        return LIMITER_SHED_FULL;
    if (!has_room_for(q, w->bytes))
        return LIMITER_SHED_BYTES;
    append(&q->lists[w->class_], w);
    q->depth++;
    q->bytes += w->bytes;
    return LIMITER_QUEUED;
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

struct limiter_waiter *waitq_pop(struct waitq *q)
{
    struct limiter_waiter *first = NULL;

    for (unsigned c = 0; first == NULL && c < WAITQ_CLASSES; c++)
        first = q->lists[c].head;
    if (first != NULL)
        waitq_remove(q, first);
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
