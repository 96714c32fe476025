/* See exchange_tunnel.h. */
#include "proxy/exchange_tunnel.h"

#include "proxy/exchange_end.h"
#include "proxy/exchange_request.h"
#include "proxy/exchange_response.h"
#include "proxy/exchange_shadow.h"
#include "proxy/h1_server.h"
#include "proxy/http/rewrite.h"
#include "proxy/tunnel.h"

#define LEAVE_US                                                                                   \
    1000000 /* for the client's Close frame, and for the frame that the app is sending */

/* Takes one of the upgrades.max places. It is given back if the app does not switch protocols, or
 * when the tunnel ends. */
bool exchange_take_upgrade(struct exchange *ex)
{
    struct exchange_shared *shared = ex->env->c.shared;
    uint32_t n = atomic_load(&shared->upgrades);

    while (n < atomic_load_explicit(&shared->upgrades_max, memory_order_relaxed)) {
        if (atomic_compare_exchange_weak(&shared->upgrades, &n, n + 1))
            return true;
    }
    if (exchange_enforces(ex))
        return false;
    atomic_fetch_add(&shared->upgrades, 1);
    exchange_would_refuse(ex, REPLY_UPGRADES_FULL);
    return true;
}

void exchange_release_upgrade(struct exchange *ex)
{
    if (ex->upgrade)
        atomic_fetch_sub(&ex->env->c.shared->upgrades, 1);
    ex->upgrade = false;
}

/* One side was reset: resets the other. */
void exchange_tunnel_lost(struct exchange *ex)
{
    struct client *cl = ex->client;

    ex->record.reason = RECORD_WHY_LOST;
    ex->client = NULL;
    client_abort(cl, true);
    h1_client_reset(&ex->app);
    exchange_done(ex);
}

/* Bytes that the app has not read, held by weir or by the kernel: as the app reads, weir refills
 * the kernel's part, which may stay the same. */
static size_t unread_by_app(const struct exchange *ex)
{
    return h1_client_unsent(&ex->app) + h1_client_unacked(&ex->app);
}

static void arm_tunnel(struct exchange *ex)
{
    /* Measuring costs a system call: unless output to the app is blocked, it is done only once the
     * tunnel is silent. */
    bool blocked = h1_client_unsent(&ex->app) > 0;

    ex->unacked = blocked ? unread_by_app(ex) : SIZE_MAX;
    exchange_arm(ex, exchange_now(ex) + ex->config->upgrades.idle_timeout);
}

void exchange_tunnel(struct exchange *ex)
{
    uint64_t moved;

    switch (tunnel_pump(ex->tunnel, &moved)) {
    case TUNNEL_LOST:
        exchange_tunnel_lost(ex);
        return;
    case TUNNEL_ENDED:
        exchange_done(ex);
        return;
    case TUNNEL_BUSY:
        exchange_post_again(ex);
        break;
    case TUNNEL_OPEN:
        break;
    }
    if (moved > 0 && !ex->tunnel->leaving)
        arm_tunnel(ex);
}

void exchange_leave_tunnel(struct exchange *ex)
{
    struct client *cl = ex->client;

    if (!ex->tunnel->websocket) {
        exchange_done(ex);
        return;
    }
    tunnel_leave(ex->tunnel);
    exchange_arm(ex, exchange_now(ex) + LEAVE_US);
    exchange_tunnel(ex);
    if (ex->state != EXCHANGE_TUNNEL)
        return;
    h1_server_save_input(cl);
    h1_client_save_input(&ex->app);
}

bool exchange_tunnel_is_leaving(const struct exchange *ex)
{
    return ex->state == EXCHANGE_TUNNEL && ex->tunnel->leaving;
}

static bool is_websocket(const struct http_head *head)
{
    const struct http_field *upgrade = http_head_find(head, HTTP_FIELD_UPGRADE);
    return upgrade != NULL && span_equal_nocase(upgrade->value, SPAN("websocket"));
}

/* 101: switches protocols if the app accepts what was offered. The exchange may have ended. */
void exchange_switch_protocols(struct exchange *ex)
{
    struct exchange_env *env = ex->env;
    const struct h1_response how = {.request_id_name = span_of(ex->config->headers.request_id),
                                    .request_id = ex->message.request_id,
                                    .load = exchange_load(env, ex->config)};
    struct client *cl = ex->client;

    if (!ex->upgrade || !http_upgrade_is_sound(&env->head, message_upgrade(&ex->message))) {
        exchange_bad_response(ex, "an upgrade that was not requested");
        return;
    }
    if (cl == NULL) {
        exchange_done(ex);
        return;
    }
    struct tunnel *t = pool_get(loop_pool(env->c.loop), sizeof(*t));
    tunnel_init(t, cl, &ex->app.lease, &env->c.shared->budget, ex->config->buffers.response,
                is_websocket(&env->head));
    ex->tunnel = t;
    ex->record.status = 101;
    ex->record.upgraded = true;
    ex->close = ex->waiter.apart = true;
    exchange_set_state(ex, EXCHANGE_TUNNEL);
    client_tunnel(cl);
    stats_reached(ex->lane->stats, &ex->record, STATS_UPGRADED);
    arm_tunnel(ex);
    if (!h1_server_switch(cl, &env->head, &how))
        exchange_lose_client(ex);
    else if (env->ending)
        exchange_leave_tunnel(ex);
    else
        exchange_tunnel(ex);
}

/* Neither side has sent anything for upgrades.idle_timeout. Earlier bytes may still be on their way
 * to a slow reader: until the client has them all, client.send_timeout applies. */
void exchange_late_tunnel(struct exchange *ex)
{
    size_t unacked = unread_by_app(ex), before = ex->unacked;

    if (ex->tunnel->leaving ||
        (client_backlog(ex->client) == 0 && (unacked == 0 || unacked >= before))) {
        ex->record.reason = ex->tunnel->leaving ? NULL : RECORD_WHY_IDLE;
        exchange_done(ex);
        return;
    }
    arm_tunnel(ex);
    ex->unacked = unacked;
}
