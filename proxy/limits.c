/* See limits.h. */
#include "proxy/limits.h"

#include <stdatomic.h>

#include "common/log.h"
#include "proxy/capacity.h"
#include "proxy/classes.h"

#define INSTANCE       0 /* the limiter's number for the one app */
#define SETTLE_MOST_US 1000000

static void set(struct limits *l, mono_us now)
{
    const struct limiter_config lc = classes_limiter_config(l->config);
    struct limiter *main_lane = l->shared->limiter;

    exchange_deliver(limiter_reconfigure(main_lane, &lc, now));
    exchange_deliver(limiter_set_slots(main_lane, INSTANCE, capacity_inside(l->config), now));
    exchange_bypass_configure(l->shared, l->config, now);
}

static uint32_t beyond(struct limiter *limiter, uint32_t most)
{
    struct limiter_snapshot now;

    limiter_snapshot(limiter, clock_mono(), &now);
    return now.in_flight > most ? now.in_flight - most : 0;
}

/* More requests are inside than may be: those that were when a limit was lowered, and those without
 * a slot when a dry run ended. */
static uint32_t surplus(const struct limits *l)
{
    uint32_t free_of_limits = l->config->enforce ? atomic_load(&l->shared->without_slot) : 0;

    return free_of_limits + beyond(l->shared->limiter, capacity_inside(l->config)) +
           beyond(l->shared->bypass, exchange_bypass_limit(l->config));
}

static void settle(struct limits *l)
{
    uint32_t cap = capacity_connections(l->config), more = surplus(l);

    if (more > 0) {
        l->pause += l->pause < SETTLE_MOST_US ? l->pause / 2 : 0;
        loop_timer_arm(l->control, &l->settle, loop_now(l->control) + l->pause);
    }
    upstream_shared_configure(l->upstreams, cap > UINT32_MAX - more ? UINT32_MAX : cap + more);
}

static void on_settle(void *arg)
{
    settle(arg);
}

static void warn_of_dry_run(void)
{
    log_warning("enforce is false: every request goes to the app at once; weir only measures which "
                "would have waited or been refused");
}

void limits_init(struct limits *l, struct loop *control, struct exchange_shared *shared,
                 struct upstream_shared *upstreams, const struct config *config, mono_us now)
{
    *l = (struct limits){
        .control = control, .shared = shared, .upstreams = upstreams, .config = config};
    loop_timer_init(&l->settle, on_settle, l);
    if (!config->enforce)
        warn_of_dry_run();
    set(l, now);
}

void limits_fini(struct limits *l)
{
    loop_timer_fini(&l->settle);
}

void limits_before(struct limits *l, const struct config *next)
{
    l->raise = capacity_inside(next) >= capacity_inside(l->config);
    l->dry_run_ends = next->enforce && !l->config->enforce;
    if (!next->enforce && l->config->enforce)
        warn_of_dry_run();
    l->config = next;
    if (!l->raise)
        set(l, loop_tick(l->control));
    l->pause = LIMITS_SETTLE_US;
    settle(l);
}

void limits_after(struct limits *l)
{
    if (l->raise)
        set(l, loop_tick(l->control));
    if (l->dry_run_ends) /* until now, the loops have dispatched requests without a slot */
        loop_timer_arm(l->control, &l->settle, loop_now(l->control) + LIMITS_SETTLE_US);
}
