/* See app_condition.h. */
#include "proxy/app_condition.h"

#include <string.h>

/* A busy app reads at least this often. Its loop may be slow, or get no processor. */
#define STALLED_US 400000
/* Between two handlers that block, the loop reads: the verdict outlasts that. */
#define HOLD_US 2000000
/* After such a gap between two looks, nothing is known of the time between them. */
#define GAP_US 1500000
/* After so many responses, an app whose connections are kept would have kept one. */
#define RESPONSES 4
/* The app works on one request at a time. */
#define ONE 1.5

const char *const app_verdict_names[VERDICTS] = {[VERDICT_OK] = "ok",
                                                 [VERDICT_POOL_FULL] = "pool_full",
                                                 [VERDICT_LOOP_BLOCKED] = "loop_blocked",
                                                 [VERDICT_STARTING] = "starting",
                                                 [VERDICT_DOWN] = "down"};

/* Whether any of the connections that had unread bytes has been accepted, read or closed. Both
 * lists are in order. */
static bool has_read(const struct app_condition *c, const struct socket_queues_reading *now)
{
    size_t j = 0;

    for (size_t i = 0; i < c->marks; i++) {
        while (j < now->marks && now->mark[j] < c->mark[i])
            j++;
        if (j == now->marks || now->mark[j] != c->mark[i])
            return true;
        j++;
    }
    return false;
}

static void look(struct app_condition *c, const struct app_signs *s)
{
    const struct socket_queues_reading *q = s->queues;

    if (q->told && (c->marks == 0 || s->now - c->looked > GAP_US || has_read(c, q)))
        c->since = s->now;
    c->told = q->told;
    c->looked = s->now;
    c->read_late = q->unread > 0;
    c->marks = q->marks;
    memcpy(c->mark, q->mark, q->marks * sizeof(q->mark[0]));
}

/* If the kernel reports nothing, a health check that gets no response counts as bytes that the app
 * does not read. */
static bool is_overdue(const struct app_condition *c, const struct app_signs *s)
{
    return !c->told && s->probe >= STALLED_US && s->now - c->since >= STALLED_US;
}

static bool is_stalled(const struct app_condition *c, const struct app_signs *s)
{
    if (s->inside == 0)
        return false;
    return (c->marks > 0 && c->looked - c->since >= STALLED_US) || is_overdue(c, s);
}

/* A worker that serves one connection at a time, and closes it, accepts the next one when it is
 * free: a loop would have accepted what waits, and read it, and would keep its connections. */
static bool is_busy(const struct app_condition *c, const struct app_signs *s)
{
    return c->told && !c->read_late && !s->kept && s->completed >= RESPONSES;
}

/* The time since nothing was read counts once that is known to be long. */
static void count(struct app_condition *c, const struct app_signs *s)
{
    mono_us from = c->since > c->counted ? c->since : c->counted;

    c->stalled += s->now - from;
    c->counted = s->now;
    if (is_busy(c, s))
        c->busy = s->now;
    else
        c->blocked = s->now;
}

static bool was(mono_us last, const struct app_signs *s)
{
    return last > 0 && s->now - last < HOLD_US;
}

static enum app_verdict verdict_of(const struct app_condition *c, const struct app_signs *s)
{
    if (s->starting || s->down)
        return s->starting ? VERDICT_STARTING : VERDICT_DOWN;
    if (s->estimate->valid && s->estimate->hidden > 0)
        return s->estimate->parallelism < ONE ? VERDICT_LOOP_BLOCKED : VERDICT_POOL_FULL;
    if (was(c->busy, s) && c->busy > c->blocked)
        return VERDICT_POOL_FULL;
    return was(c->blocked, s) ? VERDICT_LOOP_BLOCKED : VERDICT_OK;
}

void app_condition_judge(struct app_condition *c, const struct app_signs *s)
{
    if (s->completed != c->completed || s->inside == 0 || s->starting || s->down)
        c->since = s->now;
    c->completed = s->completed;
    if (s->queues != NULL)
        look(c, s);
    if (is_stalled(c, s))
        count(c, s);
    c->verdict = verdict_of(c, s);
}
