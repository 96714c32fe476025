/*
 * See observer.h. Control thread, except for functions marked "loop".
 *
 * The observer is asleep while nothing has arrived for a second and no request is present: then it
 * looks once a second, and posts nothing to the loops. The first arrival wakes it (completions.h).
 */
#include "proxy/observer.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/measures.h"
#include "proxy/access_log.h"
#include "proxy/agent.h"
#include "proxy/classes.h"
#include "proxy/lifecycle.h"
#include "proxy/overload_log.h"
#include "proxy/reload.h"
#include "proxy/stats_reading.h"

#define SECOND    INT64_C(1000000)
#define AWAKE_US  SECOND /* after the last sign of a request */
#define SHORT_US  (SECOND / 2)
#define NEAR_US   (OBSERVER_TICK_US / 5) /* a look so shortly before a sample would be too much */
#define MINUTE_US (60 * SECOND)

struct watched {
    struct observer *observer;
    struct completions *completions;
    struct loop *loop;
    struct stats_shard *shard;
    struct exchange_env *exchanges;
    struct task audit;
    mono_us posted;        /* while `auditing`, the loop's, else the control thread's */
    _Atomic bool auditing; /* the task is posted */
    _Atomic mono_us lag;   /* the longest since the last sample */
};

struct observer {
    struct observer_how how;
    struct observer_parts parts;
    struct loop_timer timer;
    struct task wake;
    _Atomic bool waking; /* that task is posted */
    bool asleep;
    mono_us seen;         /* when there last was a sign of a request */
    uint64_t arrivals;    /* in the limiter, at the last look */
    mono_us next_second;  /* when the next sample is due */
    uint64_t wrong;       /* accounting errors that have been logged */
    mono_us complains_at; /* not before */
    uint64_t summed_up;   /* samples of which the access log has a summary */
    struct overload_log overload_log;
    struct history *history;
    struct stats_now now;         /* of the latest sample */
    struct stats_reading reading; /* likewise */
    struct watched watched[];
};

/* ---- the loops ---- */

/* Loop. Each audits itself between two callbacks; the next scrape shows the result. */
static void on_audit(struct task *task)
{
    struct watched *w = CONTAINER_OF(task, struct watched, audit);
    mono_us lag = clock_mono() - w->posted;

    stats_loop_lag(w->shard, lag);
    if (lag > atomic_load_explicit(&w->lag, memory_order_relaxed))
        atomic_store_explicit(&w->lag, lag, memory_order_relaxed);
    atomic_store(&w->auditing, false);
    exchange_audit(w->exchanges);
}

void observer_audit(struct observer *o)
{
    for (unsigned i = 0; i < o->how.loops; i++) {
        struct watched *w = &o->watched[i];
        if (atomic_load(&w->auditing))
            continue;
        w->posted = clock_mono();
        atomic_store(&w->auditing, true);
        loop_post(w->loop, &w->audit);
    }
}

/* Of the task that has run, and of the one that still waits to run. */
static mono_us take_lag(struct watched *w, mono_us now)
{
    bool late = atomic_load(&w->auditing);
    mono_us lag = atomic_exchange(&w->lag, 0);

    return late && now - w->posted > lag ? now - w->posted : lag;
}

static mono_us take_longest_lag(struct observer *o)
{
    mono_us now = clock_mono(), longest = 0;

    for (unsigned i = 0; i < o->how.loops; i++) {
        mono_us lag = take_lag(&o->watched[i], now);
        if (lag > longest)
            longest = lag;
    }
    return longest;
}

/* ---- the times in the app ---- */

/* The loop whose next completion is the oldest; NULL: there are none. *until: that of another. */
static struct completions *oldest(struct observer *o, mono_us *until)
{
    struct completions *best = NULL;
    mono_us at = MONO_NEVER;

    *until = MONO_NEVER;
    for (unsigned i = 0; i < o->how.loops; i++) {
        const struct completion *c = completions_first(o->watched[i].completions);
        if (c != NULL && c->at < at) {
            best = o->watched[i].completions;
            *until = at;
            at = c->at;
        } else if (c != NULL && c->at < *until) {
            *until = c->at;
        }
    }
    return best;
}

static void take_completion(struct observer *o, const struct completion *c)
{
    history_completed(o->history, c->inside, c->weight);
    if (o->how.follower != NULL)
        o->how.follower->on_completed(o->how.arg, c);
}

/* Those that arrive meanwhile may wait for the next look. */
static void take_completions(struct observer *o)
{
    unsigned left = COMPLETIONS_ROOM * o->how.loops;
    struct completions *from;
    mono_us until;

    while (left > 0 && (from = oldest(o, &until)) != NULL) {
        const struct completion *c;
        for (; left > 0 && (c = completions_first(from)) != NULL && c->at <= until; left--) {
            take_completion(o, c);
            completions_drop(from);
        }
    }
}

/* ---- once a second ---- */

/* On whole seconds of the wall clock, so that the samples of several weirs agree. */
static mono_us second_after(mono_us now)
{
    mono_us left = SECOND - clock_wall() % SECOND;

    return now + (left < SHORT_US ? left + SECOND : left);
}

static void log_wrong(struct observer *o)
{
    uint64_t wrong = stats_accounting_errors(&o->reading);

    if (wrong > o->wrong)
        log_error("accounting: %" PRIu64 " inconsistencies in all (weir_accounting_error_total)",
                  wrong);
    o->wrong = wrong;
}

static void log_wrong_at_times(struct observer *o, mono_us now)
{
    if (now < o->complains_at)
        return;
    uint64_t before = o->wrong;
    log_wrong(o);
    if (o->wrong != before)
        o->complains_at = now + MINUTE_US;
}

static void read_stats(struct observer *o, const struct limiter_snapshot *limiter)
{
    struct limiter_snapshot bypass;

    o->now.limiter = *limiter;
    limiter_snapshot(o->how.shared->bypass, clock_mono(), &bypass);
    stats_read_bypass(o->how.bypass_stats, &bypass, &o->now.bypass);
    stats_read(o->how.stats, &o->now, &o->reading);
}

static struct history_input input_of(const struct observer *o, mono_us now)
{
    return (struct history_input){.now = now,
                                  .wall = clock_wall(),
                                  .reading = &o->reading,
                                  .app = {.parallelism = -1, .hidden_queue = -1}};
}

static void ask_follower(struct observer *o, struct history_app *out)
{
    if (o->how.follower != NULL)
        o->how.follower->on_sample(o->how.arg, out);
}

/* ---- the access log ---- */

/* A summary of the seconds since the last one, if there are at least that many. */
static void sum_up(struct observer *o, unsigned seconds)
{
    struct history_summary s;
    uint64_t n = history_samples(o->history) - o->summed_up;

    if (o->parts.access_log == NULL || n < seconds)
        return;
    o->summed_up += n;
    history_summarize(o->history, n < HISTORY_RECENT ? (unsigned)n : HISTORY_RECENT, &s);
    access_log_summary(o->parts.access_log, clock_wall(), &s);
}

static void take_sample(struct observer *o, const struct limiter_snapshot *limiter, mono_us now)
{
    read_stats(o, limiter);
    struct history_input in = input_of(o, now);
    in.loop_lag = take_longest_lag(o);
    ask_follower(o, &in.app);
    history_append(o->history, &in);
    overload_log_look(&o->overload_log, limiter);
    log_wrong_at_times(o, now);
    sum_up(o, HISTORY_RECENT);
    if (!o->asleep)
        observer_audit(o);
    o->next_second = second_after(now);
}

/* ---- looking ---- */

static uint64_t arrivals_in(const struct limiter_snapshot *l)
{
    return l->admitted + l->queued + l->shed_full + l->shed_bytes + l->shed_late + l->expired;
}

static bool shows_requests(struct observer *o, const struct limiter_snapshot *l)
{
    uint64_t before = o->arrivals;

    o->arrivals = arrivals_in(l);
    return o->arrivals != before || l->in_flight > 0 || l->depth > 0 ||
           atomic_load_explicit(&o->how.shared->without_slot, memory_order_relaxed) > 0;
}

static uint32_t inside_of(const struct observer *o, const struct limiter_snapshot *l)
{
    uint64_t in_flight = l->in_flight;
    uint64_t idle = stats_sum(o->how.stats, C_UPGRADES) + stats_sum(o->how.stats, C_ASIDE);

    in_flight += atomic_load_explicit(&o->how.shared->without_slot, memory_order_relaxed);
    return in_flight > idle ? (uint32_t)(in_flight - idle) : 0;
}

static void tell_follower(struct observer *o, const struct limiter_snapshot *limiter, mono_us now)
{
    if (o->how.follower == NULL)
        return;
    const struct observer_look look = {
        .now = now,
        .limiter = limiter,
        .inside = inside_of(o, limiter),
        .kept = stats_sum(o->how.stats, C_UPSTREAM + STATS_REUSED) > 0,
    };
    o->how.follower->on_look(o->how.arg, &look);
}

/* Before the look that is to show that nothing has arrived, so that no arrival is missed. */
static void fall_asleep(struct observer *o)
{
    o->asleep = true;
    for (unsigned i = 0; i < o->how.loops; i++)
        completions_rest(o->watched[i].completions);
}

static void arm(struct observer *o, mono_us now)
{
    mono_us due = o->next_second;

    if (!MEASURES)
        return;
    if (!o->asleep && now + OBSERVER_TICK_US + NEAR_US < due)
        due = now + OBSERVER_TICK_US;
    loop_timer_arm(o->how.control, &o->timer, due);
}

static void on_tick(void *arg)
{
    struct observer *o = arg;
    mono_us now = loop_now(o->how.control);
    bool second = now >= o->next_second;
    struct limiter_snapshot limiter;

    if (now - o->seen >= AWAKE_US)
        fall_asleep(o);
    take_completions(o);
    if (second)
        limiter_take_peaks(o->how.shared->limiter, now, &limiter);
    else
        limiter_snapshot(o->how.shared->limiter, now, &limiter);
    if (shows_requests(o, &limiter)) {
        o->seen = now;
        o->asleep = false;
    }
    tell_follower(o, &limiter, now);
    if (second)
        take_sample(o, &limiter, now);
    arm(o, now);
}

/* Loop. */
static void on_arrival(void *arg)
{
    struct watched *w = arg;
    struct observer *o = w->observer;

    if (!atomic_exchange(&o->waking, true))
        loop_post(o->how.control, &o->wake);
}

static void on_wake(struct task *task)
{
    struct observer *o = CONTAINER_OF(task, struct observer, wake);

    atomic_store(&o->waking, false);
    o->seen = loop_now(o->how.control);
    o->asleep = false;
    arm(o, o->seen);
}

/* ---- a scrape ---- */

static void look_at_limiter(const struct observer *o, struct stats_now *now)
{
    struct patience patience;

    limiter_patience(o->how.shared->limiter, &patience);
    for (size_t i = 0; i < STATS_QUANTILES; i++)
        now->patience[i] = patience_quantile(&patience, stats_quantiles[i].q);
    limiter_snapshot(o->how.shared->limiter, clock_mono(), &now->limiter);
    history_peaks(o->history, &now->in_flight_peak, &now->depth_peak);
    if (now->limiter.in_flight_peak > now->in_flight_peak)
        now->in_flight_peak = now->limiter.in_flight_peak;
    if (now->limiter.depth_peak > now->depth_peak)
        now->depth_peak = now->limiter.depth_peak;
}

static void look_at_bypass(const struct observer *o, struct stats_now *now)
{
    struct limiter_snapshot bypass;

    limiter_snapshot(o->how.shared->bypass, clock_mono(), &bypass);
    stats_read_bypass(o->how.bypass_stats, &bypass, &now->bypass);
    now->bypass.limit = exchange_bypass_limit(o->how.config);
}

void observer_look(struct observer *o, struct stats_now *now)
{
    const struct config *cf = o->how.config;
    struct app *app = o->how.shared->app;
    enum app_state state = app_state(app);
    struct reload_counts reloads = reload_counts(o->parts.reload);

    *now = (struct stats_now){
        .fifo = cf->queue.order == CONFIG_ORDER_FIFO,
        .classes = classes_count(cf),
        .enforcing = cf->enforce,
        .queue_timeout = cf->queue.timeout,
        .draining = lifecycle_state(o->parts.lifecycle) != LIFECYCLE_READY,
        .reloads_applied = reloads.applied,
        .reloads_rejected = reloads.rejected,
        .reload_succeeded = reloads.last_read_succeeded,
        .reload_success = reloads.last_success,
        .queue_max_bytes = cf->queue.max_bytes,
        .buffers_budget = cf->buffers.budget,
        .client_connections_max = o->how.clients,
        .upgrades_max = o->how.shared->upgrades_max,
        .upstream_ready = state == APP_UP,
        .upstream_state = app_state_name(state),
        .upstream_startup = app_startup(app),
    };
    if (o->parts.access_log != NULL) {
        struct access_log_counts lines = access_log_counts(o->parts.access_log);
        now->lines_written = lines.written;
        now->lines_dropped = lines.dropped;
    }
    for (unsigned k = 0; k < now->classes; k++)
        now->class_names[k] = classes_name(cf, k);
    look_at_limiter(o, now);
    look_at_bypass(o, now);
    agent_read(o->parts.agent, &now->agent);
}

const struct history *observer_history(const struct observer *o)
{
    return o->history;
}

/* ---- the beginning and the end ---- */

struct observer *observer_new(const struct observer_how *how)
{
    struct observer *o = calloc(1, sizeof(*o) + how->loops * sizeof(o->watched[0]));

    CHECK(o != NULL);
    o->how = *how;
    o->how.config = config_get(how->config);
    o->wake.run = on_wake;
    loop_timer_init(&o->timer, on_tick, o);
    for (unsigned i = 0; i < how->loops; i++) {
        struct watched *w = &o->watched[i];
        w->observer = o;
        w->audit.run = on_audit;
        w->completions = completions_new(on_arrival, w);
    }
    return o;
}

void observer_stop(struct observer *o)
{
    struct limiter_snapshot limiter;

    if (o == NULL)
        return;
    loop_timer_fini(&o->timer);
    if (o->history == NULL)
        return;
    for (unsigned i = 0; i < o->how.loops; i++)
        exchange_audit(o->watched[i].exchanges);
    mono_us now = clock_mono();
    limiter_take_peaks(o->how.shared->limiter, now, &limiter);
    read_stats(o, &limiter);
    log_wrong(o);
    struct history_input last = input_of(o, now);
    history_append(o->history, &last);
    sum_up(o, 1);
}

void observer_free(struct observer *o)
{
    if (o == NULL)
        return;
    for (unsigned i = 0; i < o->how.loops; i++)
        completions_free(o->watched[i].completions);
    history_free(o->history);
    config_put(o->how.config);
    free(o);
}

struct completions *observer_completions(struct observer *o, unsigned i)
{
    CHECK(i < o->how.loops);
    return o->watched[i].completions;
}

void observer_watch(struct observer *o, unsigned i, struct loop *loop, struct stats_shard *shard,
                    struct exchange_env *exchanges)
{
    CHECK(i < o->how.loops);
    o->watched[i].loop = loop;
    o->watched[i].shard = shard;
    o->watched[i].exchanges = exchanges;
}

void observer_start(struct observer *o, const struct observer_parts *parts)
{
    struct limiter_snapshot limiter;
    mono_us now = loop_now(o->how.control);

    o->parts = *parts;
    limiter_take_peaks(o->how.shared->limiter, now, &limiter);
    read_stats(o, &limiter);
    struct history_input first = input_of(o, now);
    first.now -= first.wall % SECOND; /* the part of the second before the start is one of rest */
    o->history = history_new(&first);
    o->seen = now;
    o->next_second = first.now + SECOND;
    arm(o, now);
}

void observer_configure(struct observer *o, struct config *config, uint32_t clients)
{
    struct config *before = o->how.config;

    o->how.config = config_get(config);
    o->how.clients = clients;
    config_put(before);
}
