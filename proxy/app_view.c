/* See app_view.h. */
#include "proxy/app_view.h"

#include <stdlib.h>

#include "proxy/app_condition.h"
#include "proxy/estimate.h"
#include "proxy/socket_queues.h"

#define LOOK_EVERY_US 1000000
#define QUIET_US                                                                                   \
    300000 /* requests are inside, and none ends: a check shows whether it responds                \
            */

struct app_view {
    struct app *app;
    struct estimate *estimate;
    struct socket_queues *sockets, *own;
    struct socket_queues_reading queues, own_queues;
    struct app_condition condition;
    uint64_t completed, ticked; /* ticked: at the last tick */
    uint32_t inside;            /* likewise */
    bool kept;                  /* likewise: see struct app_signs */
    mono_us now;                /* likewise */
    mono_us ended;              /* the last tick without requests, or with one that had ended */
    mono_us looked;             /* at the connections to the app */
};

struct app_view *app_view_new(const struct app_view_how *how)
{
    struct app_view *v = calloc(1, sizeof(*v));

    CHECK(v != NULL);
    v->app = how->app;
    v->estimate = estimate_new();
    estimate_tick(v->estimate, clock_mono() - 1, 0); /* nothing is inside before the start */
    estimate_tick(v->estimate, clock_mono(), 0);
    v->sockets = socket_queues_new(how->upstream);
    v->own = socket_queues_new(how->listen);
    return v;
}

void app_view_free(struct app_view *v)
{
    if (v == NULL)
        return;
    estimate_free(v->estimate);
    socket_queues_free(v->sockets);
    socket_queues_free(v->own);
    free(v);
}

static void on_completed(void *arg, const struct completion *c)
{
    struct app_view *v = arg;

    v->completed += c->weight;
    estimate_completed(v->estimate, c->at, c->inside, c->weight);
}

static void judge(struct app_view *v, mono_us now, bool looked)
{
    enum app_state state = app_state(v->app);
    struct estimate_reading estimate;

    estimate_read(v->estimate, now, &estimate);
    const struct app_signs signs = {
        .now = now,
        .starting = state == APP_STARTING,
        .down = state == APP_DOWN,
        .inside = v->inside,
        .completed = v->completed,
        .kept = v->kept,
        .queues = looked ? &v->queues : NULL,
        .probe = app_check_age(v->app, now),
        .estimate = &estimate,
    };
    app_condition_judge(&v->condition, &signs);
}

/* An app that completes requests is not stalled: then the sockets are looked at for the metrics
 * only. */
static bool look(struct app_view *v, mono_us now, uint32_t inside)
{
    bool quiet = v->completed == v->ticked;

    v->ticked = v->completed;
    if (inside == 0 || (!quiet && now - v->looked < LOOK_EVERY_US) ||
        !socket_queues_look(v->sockets, true, &v->queues))
        return false;
    v->looked = now;
    return true;
}

/* With a limit of 1, the app may not be able to work on two at once. */
static void check(struct app_view *v, const struct observer_look *l)
{
    if (l->inside > 0 && l->limiter->limit > 1 && l->now - v->ended >= QUIET_US)
        app_check_now(v->app, l->now);
}

static void on_look(void *arg, const struct observer_look *l)
{
    struct app_view *v = arg;
    if (l->inside == 0 || v->completed != v->ticked)
        v->ended = l->now;
    check(v, l);
    bool looked = look(v, l->now, l->inside);

    v->inside = l->inside;
    v->kept = l->kept;
    estimate_tick(v->estimate, l->now, l->inside);
    judge(v, l->now, looked);
    v->now = l->now;
}

void app_view_read(struct app_view *v, mono_us now, struct stats_app *out)
{
    if (v->inside == 0)
        judge(v, now, socket_queues_look(v->sockets, false, &v->queues));
    socket_queues_look(v->own, false, &v->own_queues);
    *out = (struct stats_app){
        .verdict = v->condition.verdict,
        .told = v->queues.told,
        .unread = v->queues.unread,
        .accept_queue = v->queues.accept_queue,
        .own_told = v->own_queues.told,
        .own_accept_queue = v->own_queues.accept_queue,
        .stalled_us = (uint64_t)v->condition.stalled,
    };
    estimate_read(v->estimate, now, &out->estimate);
    app_checks(v->app, &out->checks);
}

static void on_sample(void *arg, struct history_app *out)
{
    const struct app_view *v = arg;
    struct estimate_reading e;

    estimate_read(v->estimate, v->now, &e);
    *out = (struct history_app){
        .state = app_verdict_names[v->condition.verdict],
        .parallelism = e.valid ? e.parallelism : -1,
        .hidden_queue = e.hidden_valid ? e.hidden : -1,
    };
}

const struct observer_follower app_view_follower = {
    .on_completed = on_completed, .on_look = on_look, .on_sample = on_sample};
