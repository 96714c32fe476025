/* See exchange_access.h. */
#include "proxy/exchange_access.h"

#include "proxy/access_log.h"
#include "proxy/classes.h"

/* The configuration in force decides, not that with which the request began: a change of log.access
 * applies at once. */
static const struct config *present_config(const struct exchange_env *env)
{
    return env->settings->config;
}

static struct span without_query(struct span target)
{
    const char *query = target.len == 0 ? NULL : memchr(target.at, '?', target.len);
    return query == NULL ? target : (struct span){target.at, (size_t)(query - target.at)};
}

static void add_message(const struct message *m, const struct config *cf, struct access_request *q)
{
    struct span target = message_target(m);

    q->text[ACCESS_REQUEST_ID] = m->request_id;
    q->text[ACCESS_REMOTE] = message_remote(m);
    q->text[ACCESS_METHOD] = message_method(m);
    q->text[ACCESS_TARGET] = cf->log.query ? target : without_query(target);
    if (cf->log.profile == CONFIG_ACCESS_PLAIN)
        return;
    q->text[ACCESS_AGENT] = message_header(m, SPAN("User-Agent"));
    q->text[ACCESS_REFERER] = message_header(m, SPAN("Referer"));
    if (!cf->log.query)
        q->text[ACCESS_REFERER] = without_query(q->text[ACCESS_REFERER]);
}

/* The limiter's verdict. A request that was refused before has none. */
static void add_limiter(const struct exchange *ex, struct access_request *q)
{
    const struct limiter_waiter *w = &ex->waiter;

    q->in_flight = q->queue_depth = ACCESS_UNKNOWN;
    if (w->queued_at == 0)
        return;
    q->outcome = stats_outcome_of(&ex->record);
    q->in_flight = w->found_in_flight;
    q->queue_depth = w->found_depth;
    if (!q->bypass)
        q->text[ACCESS_CLASS] = span_of(classes_name(ex->config, w->class_ / 2));
}

void exchange_note_access(const struct exchange *ex)
{
    struct exchange_env *env = ex->env;
    const struct config *cf = present_config(env);
    bool events = ex->waiter.apart; /* or a tunnel, whose record says so */

    if (env->c.access == NULL || !access_line_is_wanted(cf, &ex->record, events))
        return;
    struct access_request q = {.at = loop_wall(env->c.loop),
                               .http10 = ex->http10,
                               .bypass = exchange_bypasses(ex),
                               .events = events};
    add_message(&ex->message, cf, &q);
    add_limiter(ex, &q);
    access_log_note(env->c.access, cf, &ex->record, &q);
}

void exchange_note_refused(struct exchange_env *env, struct client *cl, const struct record *record,
                           const char *detail)
{
    const struct config *cf = present_config(env);

    if (env->c.access == NULL || !access_line_is_wanted(cf, record, false))
        return;
    struct access_request q = {.at = loop_wall(env->c.loop),
                               .text = {[ACCESS_REMOTE] = client_address(cl)},
                               .detail = detail,
                               .in_flight = ACCESS_UNKNOWN,
                               .queue_depth = ACCESS_UNKNOWN};
    access_log_note(env->c.access, cf, record, &q);
}
