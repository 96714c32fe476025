/* See exchange_front.h. */
#include "proxy/exchange_front.h"

#include "proxy/request_start.h"
#include "proxy/trace.h"

#define TRACE  HTTP_FIELD_BIT(HTTP_FIELD_TRACEPARENT)
#define STARTS (HTTP_FIELD_BIT(HTTP_FIELD_X_REQUEST_START) | HTTP_FIELD_BIT(HTTP_FIELD_QUEUE_START))

/* Of several, none is known to be the right one. */
static void note_trace(struct record *r, const struct http_head *head)
{
    const struct http_field *only = NULL;

    for (unsigned i = 0; i < head->n_fields; i++) {
        if (head->fields[i].id != HTTP_FIELD_TRACEPARENT)
            continue;
        if (only != NULL)
            return;
        only = &head->fields[i];
    }
    r->traced = only != NULL && trace_read(only->value, r->trace);
}

/* Each proxy on the way may have added the time at which it received the request: the earliest
 * counts. */
static void note_start(struct record *r, const struct http_head *head, wall_us began)
{
    mono_us before;

    for (unsigned i = 0; i < head->n_fields; i++) {
        const struct http_field *f = &head->fields[i];
        if (STARTS & HTTP_FIELD_BIT(f->id) && request_start_read(f->value, began, &before) &&
            before > r->before)
            r->before = before;
    }
}

void exchange_note_front(struct exchange *ex, const struct http_head *head)
{
    struct loop *lp = ex->env->c.loop;

    if (!(head->present & (TRACE | STARTS)))
        return;
    if (head->present & TRACE)
        note_trace(&ex->record, head);
    if (head->present & STARTS && client_trusted(ex->client))
        note_start(&ex->record, head, loop_wall(lp) - (loop_now(lp) - ex->record.began));
}
