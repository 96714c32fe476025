/*
 * See app.h. Control thread, except for the functions that app.h says are for any thread; those
 * read `state` and `deadline`, and write `error` and `posted`.
 */
#include "proxy/app.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/socket.h"
#include "proxy/log_limit.h"
#include "proxy/probe.h"

#define FIRST_PAUSE_US 10000
#define LAST_PAUSE_US  250000
#define QUICK_PAUSE_US 25000   /* the longest while requests wait and connects are refused */
#define CONNECT_US     1000000 /* a connect that takes longer is tried again */
#define GET_US         5000000 /* so is a GET of startup.probe */
#define DOUBT_US       3000    /* in which a process that ends closes its listening socket */
#define DOUBT_MAX_US   50000   /* for the connect; a full backlog says nothing */
#define DOUBT_EVERY_US 1000000
#define LOOK_EVERY_US  500000
#define STABLE_US      1000000 /* an app that was up for less is not probed at once */
#define EXTRA_EVERY_US 1000000
#define UNHEARD_US     2000000 /* an app that does not start for this long is reported */

struct app {
    struct loop *loop;
    struct limiter *limiter;
    void (*on_up)(void *arg, struct limiter_waiter *chain);
    void *arg;
    struct address to;
    struct app_settings {
        char startup[CONFIG_PATH], health[CONFIG_PATH]; /* startup.probe, health.path */
        mono_us startup_timeout, interval, patience;
        unsigned unhealthy_after, healthy_after;
    } cf;

    _Atomic enum app_state state;
    _Atomic mono_us deadline; /* of requests that arrive while STARTING */
    _Atomic int error;        /* of the last app_refused() */
    _Atomic bool posted;      /* `refused` */
    struct task refused;
    _Atomic mono_us doubted; /* when app_suspect() last had an effect */
    _Atomic bool in_doubt;   /* a probe is due that ends with a resume, or DOWN */
    _Atomic bool refuses;    /* queue.length is 0: a request that finds no slot is refused */
    _Atomic bool suspect_posted;
    struct task suspect;

    struct probe *probe, *doubt; /* `doubt`: because of app_suspect() */
    struct probe *extra;         /* because of app_check_now() */
    struct probe_result last;
    struct loop_timer next; /* attempt */
    struct loop_timer doubt_due;
    struct loop_timer unheard;       /* UNHEARD_US */
    struct loop_timer late;          /* startup.timeout */
    mono_us pause;                   /* before the next attempt */
    mono_us looked;                  /* the last app_look() that had an effect */
    bool ill;                        /* DOWN because of health.path, not of a refused connect */
    unsigned streak;                 /* health checks in a row that failed or, if ill, succeeded */
    mono_us started, startup, since; /* since: the state has not changed */
    mono_us extra_since, extra_due;  /* since: it began; 0: there is none. due: not before */
    mono_us checking; /* when the present check of health.path began; 0: there is none */
    struct stats_checks checks;
    struct log_limit log_limit;
};

/* ---- any thread ---- */

enum app_state app_state(const struct app *a)
{
    return atomic_load_explicit(&a->state, memory_order_acquire);
}

const char *app_state_name(enum app_state state)
{
    static const char *const names[] = {
        [APP_STARTING] = "starting", [APP_UP] = "up", [APP_DOWN] = "down"};

    return names[state];
}

mono_us app_deadline(const struct app *a, mono_us now, mono_us timeout)
{
    if (app_state(a) == APP_STARTING)
        return atomic_load_explicit(&a->deadline, memory_order_relaxed);
    return now + timeout;
}

bool app_is_refusal(int error)
{
    return error == ECONNREFUSED || error == ECONNRESET || error == ENOENT;
}

void app_refused(struct app *a, int error, mono_us now)
{
    limiter_pause(a->limiter, LIMITER_PAUSE_NOT_READY, now);
    atomic_store_explicit(&a->error, error, memory_order_relaxed);
    if (!atomic_exchange(&a->posted, true))
        loop_post(a->loop, &a->refused);
}

void app_suspect(struct app *a, mono_us now)
{
    mono_us last = atomic_load_explicit(&a->doubted, memory_order_relaxed);

    if (!app_is_up(a) || now - last < DOUBT_EVERY_US ||
        atomic_load_explicit(&a->refuses, memory_order_relaxed) ||
        !atomic_compare_exchange_strong(&a->doubted, &last, now))
        return;
    atomic_store_explicit(&a->in_doubt, true, memory_order_release);
    limiter_pause(a->limiter, LIMITER_PAUSE_NOT_READY, now);
    if (!atomic_exchange(&a->suspect_posted, true))
        loop_post(a->loop, &a->suspect);
}

bool app_is_in_doubt(const struct app *a)
{
    return !app_is_up(a) || atomic_load_explicit(&a->in_doubt, memory_order_acquire);
}

/* ---- what is probed, and when ---- */

static bool startup_has_path(const struct app *a)
{
    return a->cf.startup[0] == '/';
}

static bool health_is_checked(const struct app *a)
{
    return a->cf.health[0] != '\0' && (a->ill || app_is_up(a));
}

/* The path of the current attempt, or NULL for a connect. */
static const char *path_of(const struct app *a)
{
    if (health_is_checked(a))
        return a->cf.health;
    return startup_has_path(a) && !app_is_up(a) ? a->cf.startup : NULL;
}

static void attempt(struct app *a)
{
    const char *path = path_of(a);

    a->checking = health_is_checked(a) ? loop_now(a->loop) : 0;
    probe_begin(a->probe, &a->to, path,
                health_is_checked(a) ? a->cf.patience
                : path != NULL       ? GET_US
                                     : CONNECT_US);
}

/* The pauses before the startup probe grow by half. A connect to a closed port costs next to
 * nothing, so as long as requests wait for it, the pauses stay short. */
static mono_us next_pause(struct app *a)
{
    mono_us pause = a->pause;

    a->pause += a->pause / 2;
    if (a->pause > LAST_PAUSE_US)
        a->pause = LAST_PAUSE_US;
    if (pause > QUICK_PAUSE_US && app_is_refusal(a->last.error) && limiter_has_waiters(a->limiter))
        pause = QUICK_PAUSE_US;
    return pause;
}

static void stop_probe(struct app *a)
{
    a->checking = a->extra_since = 0;
    probe_stop(a->probe);
    probe_stop(a->extra);
}

static void attempt_after(struct app *a, mono_us pause)
{
    loop_timer_arm(a->loop, &a->next, loop_now(a->loop) + pause);
}

static void on_next(void *arg)
{
    attempt(arg);
}

/* ---- the log ---- */

/* Why a GET brought no usable response. */
static const char *flaw_of(const struct probe_result *r)
{
    switch (r->error) {
    case ETIMEDOUT:
        return "no response in time";
    case EPROTO:
        return "the response is not valid HTTP";
    default:
        return "the connection was closed without a response";
    }
}

/* "does not accept connections yet (Connection refused: nothing listens there)" */
static void describe(const struct app *a, const char *yet, struct strbuf *out)
{
    const struct probe_result *r = &a->last;

    if (r->status == 0 && !r->asked)
        strbuf_addf(out, "does not accept connections%s (%s%s)", yet, strerror(r->error),
                    socket_remedy(r->error, &a->to));
    else if (r->status == 0)
        strbuf_addf(out, "is not ready%s (GET %s: %s)", yet, path_of(a), flaw_of(r));
    else
        strbuf_addf(out, "is not ready%s (GET %s: status %u)", yet, path_of(a), r->status);
}

/* Without this, the only symptom of a wrong address would be requests that hang. */
static void on_unheard(void *arg)
{
    struct app *a = arg;
    struct strbuf what = {0};

    if (app_state(a) != APP_STARTING)
        return;
    describe(a, " yet", &what);
    log_warning("the app at %s %s: requests wait until startup.timeout (%.0f s)", a->to.text,
                strbuf_cstr(&what), (double)a->cf.startup_timeout / 1e6);
    strbuf_fini(&what);
}

static void on_late(void *arg)
{
    struct app *a = arg;
    struct strbuf what = {0};

    if (app_state(a) != APP_STARTING)
        return;
    describe(a, "", &what);
    log_error("the app at %s %s, and startup.timeout (%.0f s) has expired: requests are refused "
              "with 503 not_ready until it is up",
              a->to.text, strbuf_cstr(&what), (double)a->cf.startup_timeout / 1e6);
    strbuf_fini(&what);
}

static void log_down(struct app *a)
{
    static const char kind[] = "down";
    char more[LOG_LIMIT_MORE];
    struct strbuf what = {0};

    if (!log_limit_allows(&a->log_limit, loop_now(a->loop), kind, more))
        return;
    describe(a, "", &what);
    log_warning(
        "the app at %s %s: requests wait until it is up again, each for at most queue.timeout%s",
        a->to.text, strbuf_cstr(&what), more);
    strbuf_fini(&what);
}

static void log_up(struct app *a, mono_us now)
{
    static const char kind[] = "up";
    const char *what = path_of(a) != NULL ? "is ready" : "accepts connections";
    char more[LOG_LIMIT_MORE];

    if (app_state(a) == APP_STARTING)
        log_info("the app at %s %s, %.3f s after weir started", a->to.text, what,
                 (double)a->startup / 1e6);
    else if (log_limit_allows(&a->log_limit, now, kind, more))
        log_info("the app at %s %s again, after %.3f s%s", a->to.text, what,
                 (double)(now - a->since) / 1e6, more);
}

/* ---- the state ---- */

/* The state precedes the resume: requests that are granted a slot find the app up. */
static void become_up(struct app *a)
{
    mono_us now = loop_now(a->loop);

    loop_timer_stop(&a->unheard);
    loop_timer_stop(&a->late);
    a->ill = false;
    a->streak = 0;
    a->since = now;
    atomic_store_explicit(&a->in_doubt, false, memory_order_release);
    atomic_store_explicit(&a->doubted, now - DOUBT_EVERY_US, memory_order_relaxed);
    atomic_store_explicit(&a->state, APP_UP, memory_order_release);
    a->on_up(a->arg, limiter_resume(a->limiter, LIMITER_PAUSE_NOT_READY, now));
    if (a->cf.health[0] != '\0')
        attempt_after(a, a->cf.interval);
}

/* An app that is up only for moments is not probed at once each time. */
static void become_down(struct app *a, bool ill)
{
    mono_us now = loop_now(a->loop);
    bool stable = now - a->since >= STABLE_US;

    atomic_store_explicit(&a->state, APP_DOWN, memory_order_release);
    limiter_pause(a->limiter, LIMITER_PAUSE_NOT_READY, now);
    a->since = now;
    a->ill = ill;
    a->streak = 0;
    log_down(a);
    stop_probe(a);
    probe_stop(a->doubt);
    loop_timer_stop(&a->doubt_due);
    if (stable)
        a->pause = FIRST_PAUSE_US;
    attempt_after(a, ill ? a->cf.interval : stable ? 0 : next_pause(a));
}

static void on_refused(struct task *task)
{
    struct app *a = CONTAINER_OF(task, struct app, refused);

    loop_tick(a->loop);
    atomic_store(&a->posted, false);
    if (!app_is_up(a))
        return; /* it is being probed */
    a->last = (struct probe_result){.error = atomic_load_explicit(&a->error, memory_order_relaxed)};
    become_down(a, false);
}

static void on_suspect(struct task *task)
{
    struct app *a = CONTAINER_OF(task, struct app, suspect);

    loop_tick(a->loop);
    atomic_store(&a->suspect_posted, false);
    if (!app_is_up(a))
        return;
    atomic_store_explicit(&a->in_doubt, true, memory_order_release);
    limiter_pause(a->limiter, LIMITER_PAUSE_NOT_READY,
                  loop_now(a->loop)); /* again: it may be up anew */
    probe_stop(a->doubt);
    loop_timer_arm(a->loop, &a->doubt_due, loop_now(a->loop) + DOUBT_US);
}

/* The checks of health.path continue meanwhile: an app that often closes connections may be
 * unhealthy. */
static void on_doubt_due(void *arg)
{
    struct app *a = arg;

    probe_begin(a->doubt, &a->to, NULL, DOUBT_MAX_US);
}

/* ---- results ---- */

/* UP, and in doubt. */
static void on_doubt_ended(void *arg, const struct probe_result *result)
{
    struct app *a = arg;

    if (app_is_refusal(result->error)) {
        a->last = *result;
        become_down(a, false);
        return;
    }
    atomic_store_explicit(&a->in_doubt, false, memory_order_release);
    a->on_up(a->arg, limiter_resume(a->limiter, LIMITER_PAUSE_NOT_READY, loop_now(a->loop)));
}

/* UP. A refused connect needs no confirmation: requests would be refused as well. */
static void health_checked(struct app *a, bool healthy)
{
    a->streak = healthy ? 0 : a->streak + 1;
    if (!healthy && !a->last.asked && app_is_refusal(a->last.error))
        become_down(a, false);
    else if (a->streak >= a->cf.unhealthy_after)
        become_down(a, true);
    else
        attempt_after(a, a->cf.interval);
}

/* UP, and not checked otherwise. */
static void has_looked(struct app *a)
{
    if (app_is_refusal(a->last.error))
        become_down(a, false);
}

/* STARTING or DOWN. */
static void probed(struct app *a, bool ready)
{
    a->streak = ready ? a->streak + 1 : 0;
    if (!ready || (a->ill && a->streak < a->cf.healthy_after)) {
        attempt_after(a, a->ill ? a->cf.interval : next_pause(a));
        return;
    }
    if (app_state(a) == APP_STARTING)
        a->startup = loop_now(a->loop) - a->started;
    log_up(a, loop_now(a->loop));
    become_up(a);
}

static bool is_good(const struct probe_result *r)
{
    return r->error == 0 && r->status < 500;
}

/* It began at `*since`. */
static void count_check(struct app *a, mono_us *since, const struct probe_result *r)
{
    mono_us took = loop_now(a->loop) - *since;
    size_t i = 0;

    *since = 0;
    a->checks.failed += !is_good(r);
    if (r->error != 0)
        return;
    while (i < STATS_CHECK_BOUNDS && took > stats_check_bounds[i])
        i++;
    a->checks.bucket[i]++;
    a->checks.us += (uint64_t)took;
}

static void on_ended(void *arg, const struct probe_result *result)
{
    struct app *a = arg;
    bool good = is_good(result);

    a->last = *result;
    if (a->checking != 0)
        count_check(a, &a->checking, result);
    if (app_is_up(a) && a->cf.health[0] == '\0')
        has_looked(a);
    else if (app_is_up(a))
        health_checked(a, good);
    else
        probed(a, good);
}

static void on_extra_ended(void *arg, const struct probe_result *result)
{
    struct app *a = arg;

    count_check(a, &a->extra_since, result);
}

void app_check_now(struct app *a, mono_us now)
{
    loop_tick(a->loop);
    if (a->cf.health[0] == '\0' || !app_is_up(a) || a->checking != 0 || a->extra_since != 0 ||
        now < a->extra_due)
        return;
    a->extra_since = now;
    a->extra_due = now + EXTRA_EVERY_US;
    probe_begin(a->extra, &a->to, a->cf.health, a->cf.patience);
}

/* ---- settings ---- */

static bool is_taken_for_started(const struct app *a)
{
    return strcmp(a->cf.startup, "none") == 0;
}

static void take_settings(struct app *a, const struct config *config)
{
    a->cf = (struct app_settings){.startup_timeout = config->startup.timeout,
                                  .interval = config->health.interval,
                                  .patience = config->health.timeout,
                                  .unhealthy_after = config->health.unhealthy_after,
                                  .healthy_after = config->health.healthy_after};
    memcpy(a->cf.startup, config->startup.probe, sizeof(a->cf.startup));
    memcpy(a->cf.health, config->health.path, sizeof(a->cf.health));
    atomic_store_explicit(&a->deadline, a->started + a->cf.startup_timeout, memory_order_relaxed);
    atomic_store_explicit(&a->refuses, config->queue.length == 0, memory_order_relaxed);
}

static void arm_start_timers(struct app *a)
{
    loop_timer_arm(a->loop, &a->late, a->started + a->cf.startup_timeout);
    if (a->cf.startup_timeout > UNHEARD_US && loop_now(a->loop) < a->started + UNHEARD_US)
        loop_timer_arm(a->loop, &a->unheard, a->started + UNHEARD_US);
    else
        loop_timer_stop(&a->unheard);
}

void app_configure(struct app *a, const struct config *config)
{
    bool checked = health_is_checked(a);

    take_settings(a, config);
    if (app_state(a) == APP_STARTING && is_taken_for_started(a)) {
        probe_stop(a->probe);
        loop_timer_stop(&a->next);
        become_up(a);
        return;
    }
    if (app_state(a) == APP_STARTING)
        arm_start_timers(a);
    a->ill = a->ill && health_is_checked(a);
    if (!checked && !health_is_checked(a))
        return;
    stop_probe(a);
    a->streak = 0;
    if (app_is_up(a) && !health_is_checked(a))
        loop_timer_stop(&a->next);
    else
        attempt_after(a, 0);
}

/* ---- creation ---- */

struct app *app_new(const struct app_how *how)
{
    struct app *a = calloc(1, sizeof(*a));

    CHECK(a != NULL);
    a->loop = how->loop;
    a->limiter = how->limiter;
    a->on_up = how->on_up;
    a->arg = how->arg;
    a->to = how->config->upstream.address;
    a->refused.run = on_refused;
    a->suspect.run = on_suspect;
    a->doubted = -DOUBT_EVERY_US;
    a->last.error = EINPROGRESS;
    a->pause = FIRST_PAUSE_US;
    a->started = a->since = loop_tick(a->loop);
    loop_timer_init(&a->next, on_next, a);
    loop_timer_init(&a->unheard, on_unheard, a);
    loop_timer_init(&a->late, on_late, a);
    loop_timer_init(&a->doubt_due, on_doubt_due, a);
    a->probe = probe_new(a->loop, on_ended, a);
    a->doubt = probe_new(a->loop, on_doubt_ended, a);
    a->extra = probe_new(a->loop, on_extra_ended, a);
    take_settings(a, how->config);
    limiter_pause(a->limiter, LIMITER_PAUSE_NOT_READY, a->started);
    return a;
}

void app_free(struct app *a)
{
    if (a == NULL)
        return;
    probe_free(a->probe);
    probe_free(a->doubt);
    probe_free(a->extra);
    loop_timer_fini(&a->doubt_due);
    loop_timer_fini(&a->next);
    loop_timer_fini(&a->unheard);
    loop_timer_fini(&a->late);
    free(a);
}

void app_start(struct app *a)
{
    loop_tick(a->loop);
    if (is_taken_for_started(a)) {
        become_up(a);
        return;
    }
    arm_start_timers(a);
    attempt_after(a, 0);
}

void app_look(struct app *a)
{
    mono_us now = loop_tick(a->loop);

    if (app_is_in_doubt(a) || a->cf.health[0] != '\0' || now - a->since < LOOK_EVERY_US ||
        now - a->looked < LOOK_EVERY_US)
        return;
    a->looked = now;
    probe_begin(a->probe, &a->to, NULL, LOOK_EVERY_US);
}

mono_us app_check_age(const struct app *a, mono_us now)
{
    mono_us since = a->checking != 0 ? a->checking : a->extra_since;

    return since != 0 && now > since ? now - since : 0;
}

void app_checks(const struct app *a, struct stats_checks *out)
{
    *out = a->checks;
    out->on = a->cf.health[0] != '\0';
}

mono_us app_startup(const struct app *a)
{
    return a->startup;
}
