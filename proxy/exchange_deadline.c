/*
 * See exchange_deadline.h. A wait ends at the earlier of two times: the one that queue.timeout or
 * the app's start allows, and the one that the client has declared.
 */
#include "proxy/exchange_deadline.h"

#include "proxy/deadline.h"

void exchange_note_declared(struct exchange *ex, const struct http_head *head)
{
    const struct config *cf = ex->config;

    if (!(head->present & HTTP_FIELD_BIT(HTTP_FIELD_DEADLINE)))
        return;
    if (cf->deadline.from == CONFIG_DEADLINE_TRUSTED && !client_trusted(ex->client))
        return;
    mono_us left = deadline_left(head, cf->deadline.headers, loop_wall(ex->env->c.loop));
    if (left != MONO_NEVER)
        ex->waiter.declared = exchange_arrived(ex) + left;
}

mono_us exchange_deadline(const struct exchange *ex, mono_us now)
{
    mono_us due = app_deadline(ex->env->c.shared->app, now, ex->config->queue.timeout);
    mono_us declared = ex->waiter.declared;

    return declared != 0 && declared < due ? declared : due;
}

enum reply_kind exchange_expired_kind(const struct exchange *ex)
{
    if (ex->waiter.declared != 0 && ex->waiter.declared <= ex->deadline)
        return REPLY_DEADLINE;
    return app_is_up(ex->env->c.shared->app) ? REPLY_QUEUE_TIMEOUT : REPLY_NOT_READY;
}
