/* See lifecycle.h. Control thread only. */
#include "proxy/lifecycle.h"

#include <signal.h>
#include <stdlib.h>

#include <event2/event.h>

#include "common/log.h"

#define SIGNALS        4
#define LAST_SECOND_US 1000000

struct lifecycle {
    struct loop *loop;
    enum lifecycle_state state;
    mono_us delay, timeout;
    mono_us ends;    /* when the drain that has begun cuts the rest */
    bool asked;      /* a signal has asked the process to end */
    bool keep_ready; /* this drain, while it is ANNOUNCING */
    bool cut;
    const struct lifecycle_handler *handler;
    void *arg;
    struct loop_timer announced, late, deadline, end;
    struct event *signals[SIGNALS];
};

/* ---- the steps ---- */

static void stop_accepting(struct lifecycle *lc)
{
    if (lc->state != LIFECYCLE_ANNOUNCING && lc->state != LIFECYCLE_READY)
        return;
    lc->state = LIFECYCLE_DRAINING;
    loop_timer_stop(&lc->announced);
    log_info("draining: no new connections are accepted; waiting and running requests are served "
             "for up to %.1f s",
             (double)(lc->ends - loop_now(lc->loop)) / 1e6);
    lc->handler->on_drain(lc->arg);
}

static void cut(struct lifecycle *lc, const char *why)
{
    stop_accepting(lc);
    if (lc->cut || lc->state != LIFECYCLE_DRAINING)
        return;
    lc->cut = true;
    log_warning("%s: closing the remaining connections", why);
    lc->handler->on_cut(lc->arg);
}

/* The delay leaves at least half of drain.timeout for what then waits and runs. */
static void begin(struct lifecycle *lc, mono_us delay, bool keep_ready)
{
    mono_us now = loop_now(lc->loop), all = lc->timeout;
    mono_us last = all > 2 * LAST_SECOND_US ? LAST_SECOND_US : all / 2;

    if (delay > all / 2)
        delay = all / 2;
    lc->ends = now + all;
    lc->keep_ready = keep_ready;
    lc->cut = false;
    loop_timer_arm(lc->loop, &lc->late, lc->ends - last);
    loop_timer_arm(lc->loop, &lc->deadline, lc->ends);
    if (delay == 0) {
        stop_accepting(lc);
        return;
    }
    lc->state = LIFECYCLE_ANNOUNCING;
    loop_timer_arm(lc->loop, &lc->announced, now + delay);
    log_info("draining: new connections are accepted for another %.1f s; each response is the "
             "last on its connection",
             (double)delay / 1e6);
    lc->handler->on_announce(lc->arg);
}

static void stop_timers(struct lifecycle *lc)
{
    loop_timer_stop(&lc->announced);
    loop_timer_stop(&lc->late);
    loop_timer_stop(&lc->deadline);
}

/* Not at once: what was written to the admin port's clients is sent in the next turn. */
static void end_soon(struct lifecycle *lc)
{
    loop_timer_arm(lc->loop, &lc->end, loop_now(lc->loop));
}

/* ---- timers ---- */

static void on_announced(void *arg)
{
    stop_accepting(arg);
}

static void on_late(void *arg)
{
    struct lifecycle *lc = arg;

    stop_accepting(lc);
    lc->handler->on_late(lc->arg);
}

static void on_deadline(void *arg)
{
    cut(arg, "drain.timeout has expired");
}

static void on_end(void *arg)
{
    struct lifecycle *lc = arg;

    lc->state = LIFECYCLE_STOPPED;
    loop_stop(lc->loop);
}

/* ---- signals ---- */

static void ask_to_end(struct lifecycle *lc, bool at_once)
{
    bool again = lc->asked;

    lc->asked = true;
    switch (lc->state) {
    case LIFECYCLE_READY:
        begin(lc, at_once ? 0 : lc->delay, false);
        return;
    case LIFECYCLE_ANNOUNCING:
    case LIFECYCLE_DRAINING:
        if (again)
            cut(lc, "second signal received");
        else if (at_once)
            stop_accepting(lc);
        return;
    case LIFECYCLE_DRAINED:
        end_soon(lc);
        return;
    case LIFECYCLE_STOPPED:
        return;
    }
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
    struct lifecycle *lc = arg;

    (void)what;
    loop_tick(lc->loop);
    if (sig == SIGHUP) {
        lc->handler->on_hangup(lc->arg);
        return;
    }
    if (sig == SIGUSR1) {
        lc->handler->on_reopen(lc->arg);
        return;
    }
    ask_to_end(lc, sig == SIGINT); /* at a terminal, no balancer has to learn of the shutdown */
}

/* ---- the interface ---- */

struct lifecycle *lifecycle_new(struct loop *lp, const struct config *config,
                                const struct lifecycle_handler *handler, void *arg)
{
    static const int signals[SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    struct lifecycle *lc = calloc(1, sizeof(*lc));

    CHECK(lc != NULL);
    lc->loop = lp;
    lc->handler = handler;
    lc->arg = arg;
    lifecycle_configure(lc, config);
    loop_timer_init(&lc->announced, on_announced, lc);
    loop_timer_init(&lc->late, on_late, lc);
    loop_timer_init(&lc->deadline, on_deadline, lc);
    loop_timer_init(&lc->end, on_end, lc);
    for (int i = 0; i < SIGNALS; i++) {
        lc->signals[i] = evsignal_new(loop_base(lp), signals[i], on_signal, lc);
        CHECK(lc->signals[i] != NULL && event_add(lc->signals[i], NULL) == 0);
    }
    return lc;
}

void lifecycle_free(struct lifecycle *lc)
{
    if (lc == NULL)
        return;
    for (int i = 0; i < SIGNALS; i++)
        event_free(lc->signals[i]);
    loop_timer_fini(&lc->announced);
    loop_timer_fini(&lc->late);
    loop_timer_fini(&lc->deadline);
    loop_timer_fini(&lc->end);
    free(lc);
}

void lifecycle_configure(struct lifecycle *lc, const struct config *config)
{
    lc->delay = config->drain.delay;
    lc->timeout = config->drain.timeout;
}

void lifecycle_drain(struct lifecycle *lc, bool keep_ready)
{
    if (lc->state == LIFECYCLE_READY)
        begin(lc, lc->delay, keep_ready);
}

bool lifecycle_cancel(struct lifecycle *lc, const char **why)
{
    *why = "a signal has asked weir to end";
    if (lc->asked || lc->state == LIFECYCLE_STOPPED)
        return false;
    if (lc->state == LIFECYCLE_READY)
        return true;
    if (!lc->handler->on_cancel(lc->arg, why))
        return false;
    stop_timers(lc);
    lc->state = LIFECYCLE_READY;
    log_info("the drain was cancelled: weir serves as before");
    return true;
}

void lifecycle_drained(struct lifecycle *lc)
{
    if (lc->state != LIFECYCLE_DRAINING)
        return;
    stop_timers(lc);
    lc->state = LIFECYCLE_DRAINED;
    lc->handler->on_drained(lc->arg);
    if (lc->asked)
        end_soon(lc);
}

enum lifecycle_state lifecycle_state(const struct lifecycle *lc)
{
    return lc->state;
}

bool lifecycle_is_ending(const struct lifecycle *lc)
{
    return lc->asked;
}

bool lifecycle_is_ready(const struct lifecycle *lc)
{
    return lc->state == LIFECYCLE_READY || (lc->state == LIFECYCLE_ANNOUNCING && lc->keep_ready);
}
