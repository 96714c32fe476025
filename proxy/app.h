/*
 * Whether the app accepts requests: one state for the whole process, and the only place that
 * pauses and resumes the limiter with LIMITER_PAUSE_NOT_READY.
 *
 *     STARTING ── the startup probe succeeds ──► UP ◄──────────────────┐
 *                                                │                     │ the startup probe
 *                         a connect is refused,  │                     │ succeeds, or
 *                  health.unhealthy_after checks └──────► DOWN ────────┘ health.healthy_after
 *                                      have failed                       checks have
 *
 * Only the control thread writes the state. A thread whose connect was refused pauses the limiter
 * itself, at once, and posts a task to the control loop. So each pause is followed by that task,
 * and the task by probing, which ends in a resume: none is lost, in whatever order they happen.
 */
#pragma once

#include <stdbool.h>

#include "common/check.h"
#include "common/clock.h"
#include "limiter/limiter.h"
#include "proxy/config.h"
#include "proxy/loop.h"
#include "proxy/stats_now.h"

struct app; /* opaque: defined in app.c */

enum app_state { APP_STARTING, APP_UP, APP_DOWN };

struct app_how {
    struct loop *loop; /* the control loop */
    struct limiter *limiter;
    const struct config *config; /* not kept */
    /* Whenever the app comes up: `chain` has the waiters whose wait has ended. Control thread.
     */
    void (*on_up)(void *arg, struct limiter_waiter *chain);
    void *arg;
};

/* STARTING: pauses the limiter. Nothing else happens before app_start(). */
struct app *app_new(const struct app_how *how);
void app_free(struct app *a);

/* Control thread: begins to probe. If startup.probe is "none", the app is up at once. */
void app_start(struct app *a);

/* Control thread: follows a new configuration, which is not kept. */
void app_configure(struct app *a, const struct config *config);

/* Whether a connect that failed with this error means that no app is there. */
bool app_is_refusal(int error);

/*
 * Any thread: a connection ended before its response. Perhaps the whole app is ending, and requests
 * that are sent before its listening socket is closed would be lost: no slot is granted for a few
 * milliseconds, until a probe has shown whether the app is still there. At most once a second, and
 * not if queue.length is 0: requests would be refused, not held back.
 */
void app_suspect(struct app *a, mono_us now);

/* Any thread: whether a request that has to be sent again should wait, since the app is not up, or
 * about to be probed. */
bool app_is_in_doubt(const struct app *a);

/* Any thread: a connect was refused. From now on, no slot is granted until the app is up. */
void app_refused(struct app *a, int error, mono_us now);

/* Any thread. */
enum app_state app_state(const struct app *a);
const char *app_state_name(enum app_state state);

static inline bool app_is_up(const struct app *a)
{
    return app_state(a) == APP_UP;
}

/* Any thread: how long a request that arrives at `now` may wait for a slot: until startup.timeout
 * while STARTING, else for `timeout`. */
mono_us app_deadline(const struct app *a, mono_us now, mono_us timeout);

/*
 * Control thread: the state is queried while no connection is open that would have shown that the
 * app has ended. If it is UP, connects to it, at most twice a second: if that is refused, the app
 * is DOWN. health.path does the same, and more.
 */
void app_look(struct app *a);

/*
 * Control thread: requests are inside, and none ends. If health.path is set and the app is UP,
 * asks for it at once, at most once a second: the state does not depend on the outcome, but the
 * times of checks, and what waits in the app's sockets meanwhile, show whether it responds.
 */
void app_check_now(struct app *a, mono_us now);

/* Control thread: how long a check of health.path has been waiting for its response; 0: none does.
 */
mono_us app_check_age(const struct app *a, mono_us now);

/* Control thread: the checks of health.path so far. */
void app_checks(const struct app *a, struct stats_checks *out);

/* Control thread: the time from app_new() to the first UP, by probing; 0 while unknown. */
mono_us app_startup(const struct app *a);
