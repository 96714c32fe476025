/* See capacity.h. */
#include "proxy/capacity.h"

#include <sys/resource.h>

#include "common/log.h"

#define OWN_DESCRIPTORS  28 /* control loop, standard streams, what is being opened */
#define LOOP_DESCRIPTORS 4  /* per worker: epoll, libevent's pipe, the task queue */

uint32_t capacity_inside(const struct config *cf)
{
    uint32_t most = cf->upstream.max_connections;
    return most < cf->concurrency ? most : cf->concurrency;
}

struct limiter_config capacity_queue(const struct config *cf)
{
    return (struct limiter_config){
        .queue_length = cf->queue.length,
        .queue_bytes = cf->queue.max_bytes,
        .order = cf->queue.order == CONFIG_ORDER_FIFO ? LIMITER_FIFO : LIMITER_ADAPTIVE,
    };
}

uint32_t capacity_connections(const struct config *cf)
{
    if (!cf->enforce)
        return UINT32_MAX;
    uint32_t most = capacity_inside(cf);
    uint32_t more = cf->bypass.paths.n > 0 ? cf->bypass.concurrency : 0;

    return most > UINT32_MAX - more ? UINT32_MAX : most + more;
}

/* `n`, or if that is UINT32_MAX, all slots but one. */
static uint32_t or_all_but_one(const struct config *cf, uint32_t n)
{
    uint32_t most = capacity_inside(cf);

    if (n != UINT32_MAX)
        return n;
    return most == UINT32_MAX || most == 1 ? most : most - 1;
}

uint32_t capacity_upgrades(const struct config *cf)
{
    return or_all_but_one(cf, cf->upgrades.max);
}

uint32_t capacity_streams(const struct config *cf)
{
    uint32_t most = or_all_but_one(cf, cf->streams.max), tunnels = cf->upgrades.max;

    return cf->streams.max == UINT32_MAX && tunnels != UINT32_MAX && tunnels > most ? tunnels
                                                                                    : most;
}

uint32_t capacity_clients(const struct config *cf, unsigned admin)
{
    struct rlimit rl;
    uint32_t clients = cf->client.max_connections;
    rlim_t app = capacity_connections(cf) < clients ? capacity_connections(cf) : clients;
    rlim_t own = OWN_DESCRIPTORS + (rlim_t)admin + (rlim_t)LOOP_DESCRIPTORS * cf->threads +
                 (rlim_t)CAPACITY_SWAPS * (cf->threads - 1);
    rlim_t want = clients + app + own;

    if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur >= want)
        return clients;
    rl.rlim_cur = want < rl.rlim_max ? want : rl.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur >= want)
        return clients;
    rlim_t left = rl.rlim_cur > own + 1 ? rl.rlim_cur - own : 2;
    uint32_t fit = (uint32_t)(left > 2 * app ? left - app : left / 2);
    log_warning("the descriptor limit is %llu, but client.max_connections and concurrency may need "
                "%llu: at most %u clients can be connected at once (see ulimit -n)",
                (unsigned long long)rl.rlim_cur, (unsigned long long)want, fit);
    return fit;
}
