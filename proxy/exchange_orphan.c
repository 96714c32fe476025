/*
 * See exchange_orphan.h. An orphan keeps its slot until the app's last byte, which is read and
 * discarded: most apps go on working for a client that has left. They do notice that a connection
 * is closed when they write the next part of a stream, so with `auto` a response that has no end in
 * sight is not read for long.
 */
#include "proxy/exchange_orphan.h"

#include "proxy/exchange_end.h"
#include "proxy/exchange_response.h"

void exchange_arm_orphan(struct exchange *ex)
{
    const struct config *cf = ex->config;
    mono_us due = exchange_now(ex) + cf->upstream.idle_timeout;
    mono_us soon = not_before(ex->record.left + cf->upstream.orphan_timeout, exchange_now(ex));

    if (cf->on_client_abort == CONFIG_ABORT_AUTO && soon < due && exchange_has_no_length(ex))
        due = soon;
    exchange_arm(ex, due);
}

/* Whether the app is to learn at once that the client has left. */
static bool closes_now(const struct exchange *ex)
{
    if (!ex->sent) /* the request will never be completed */
        return true;
    switch (ex->config->on_client_abort) {
    case CONFIG_ABORT_AUTO:
        return ex->upgrade; /* the app has not answered the handshake, and may never do so */
    case CONFIG_ABORT_FINISH:
        return false;
    case CONFIG_ABORT_CLOSE:
        return true;
    }
    return true;
}

void exchange_leave_app(struct exchange *ex)
{
    if (closes_now(ex)) {
        exchange_done(ex);
        return;
    }
    ex->record.orphaned = true;
    stats_reached(ex->lane->stats, &ex->record, STATS_ORPHANED);
    if (ex->state == EXCHANGE_STREAMING)
        exchange_arm_orphan(ex);
    else if (exchange_is_blocked(ex)) /* the app's timer was not running */
        exchange_arm(ex, ex->record.left + ex->config->upstream.first_byte_timeout);
    exchange_note_backpressure(ex);
    exchange_set_state(ex, EXCHANGE_ORPHANED);
    if (h1_client_may_have_input(&ex->app)) /* unread while the client was slow */
        exchange_post_again(ex);
}
