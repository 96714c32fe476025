/*
 * See exchange_bypass.h. A bypass is for health checks: one that waits behind the load measures
 * the queue, and restarts an app that is merely busy. Its cap is exact, too: what passes the queue
 * must not become a second way into the app.
 */
#include "proxy/exchange_bypass.h"

#define INSTANCE 0 /* the limiter's number for the one app */

void exchange_lanes_init(struct exchange_env *env)
{
    env->lanes[EXCHANGE_MAIN].limiter = env->c.shared->limiter;
    env->lanes[EXCHANGE_MAIN].stats = env->c.stats;
    env->lanes[EXCHANGE_BYPASS].limiter = env->c.shared->bypass;
    env->lanes[EXCHANGE_BYPASS].stats = env->c.bypass_stats;
}

struct exchange_lane *exchange_lane_for(struct exchange_env *env, const struct config *config,
                                        const struct http_head *head)
{
    bool bypasses = paths_match(&config->bypass.paths, head->path);
    return &env->lanes[bypasses ? EXCHANGE_BYPASS : EXCHANGE_MAIN];
}

bool exchange_bypass_is_shut(const struct exchange *ex)
{
    return exchange_bypasses(ex) && !app_is_up(ex->env->c.shared->app);
}

uint32_t exchange_bypass_limit(const struct config *config)
{
    return config->bypass.paths.n > 0 ? config->bypass.concurrency : 0;
}

void exchange_bypass_configure(struct exchange_shared *shared, const struct config *config,
                               mono_us now)
{
    const struct limiter_config lc = {.queue_length = config->queue.length,
                                      .queue_bytes = config->queue.max_bytes,
                                      .order = LIMITER_FIFO};

    exchange_deliver(limiter_reconfigure(shared->bypass, &lc, now));
    exchange_deliver(limiter_set_slots(shared->bypass, INSTANCE, config->bypass.concurrency, now));
}
