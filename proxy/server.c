/* See server.h. Control thread, except for functions marked "worker", which run on a loop. */
#include "proxy/server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/inherited.h"
#include "common/log.h"
#include "common/socket.h"
#include "limiter/limiter.h"
#include "proxy/access_log.h"
#include "proxy/admin.h"
#include "proxy/agent.h"
#include "proxy/app.h"
#include "proxy/app_view.h"
#include "proxy/capacity.h"
#include "proxy/classes.h"
#include "proxy/drain.h"
#include "proxy/exchange.h"
#include "proxy/lifecycle.h"
#include "proxy/limits.h"
#include "proxy/listener.h"
#include "proxy/metrics_page.h"
#include "proxy/notify.h"
#include "proxy/observer.h"
#include "proxy/reload.h"
#include "proxy/status.h"

#define ADMIN_DESCRIPTORS (ADMIN_CONNECTIONS_MAX + ADMIN_HELD_MAX)

struct worker {
    struct server *server;
    struct loop *loop;
    struct upstream *upstream;
    struct exchange_env *exchanges;
    struct clients *clients;
    pthread_t thread;
    bool running;
    unsigned number;
    struct task up_task, resume_task, room_task;
    _Atomic bool up_told, resume_told, room_asked; /* that task is posted */
    struct task config_task;
    _Atomic(struct config *) next; /* counted; for config_task, which is posted if there is one */
    struct loop_timer crowded;
};

struct server {
    struct config *config; /* control thread; counted */
    const struct config_source *source;
    struct reload *reload;
    struct loop *control;
    struct stats *stats, *bypass_stats;
    struct access_log *access_log;
    struct exchange_shared shared;
    struct upstream_shared *upstreams;
    struct listener *listener;
    struct lifecycle *lifecycle;
    struct notify *notify;
    struct drain *drain;
    struct admin *admin;
    struct agent *agent;
    _Atomic uint32_t max_connections;
    struct limits limits;
    struct observer *observer;
    struct app_view *view;
    unsigned dealt;         /* listener's loop */
    _Atomic unsigned asked; /* for room */
    unsigned n;
    struct worker workers[];
};

/* ---- workers ---- */

static void on_ended(void *arg, bool client)
{
    struct worker *wk = arg;

    if (client)
        listener_ended(wk->server->listener);
    drain_one_has_ended(wk->server->drain, wk->number);
}

static void on_up_task(struct task *task)
{
    struct worker *wk = CONTAINER_OF(task, struct worker, up_task);

    atomic_store(&wk->up_told, false);
    exchange_app_is_up(wk->exchanges);
}

static void on_resume_task(struct task *task)
{
    struct worker *wk = CONTAINER_OF(task, struct worker, resume_task);

    atomic_store(&wk->resume_told, false);
    exchange_go_on_all(wk->exchanges);
}

/* The old configuration is used until the exchanges have the new one. */
static void on_config_task(struct task *task)
{
    struct worker *wk = CONTAINER_OF(task, struct worker, config_task);
    struct config *next = atomic_exchange(&wk->next, NULL);

    clients_configure(wk->clients, next);
    upstream_configure(wk->upstream, next);
    exchange_env_configure(wk->exchanges, next);
    config_put(next);
}

/* Control thread. Only the latest configuration counts. */
static void hand_over(struct worker *wk, struct config *next)
{
    struct config *skipped = atomic_exchange(&wk->next, config_get(next));

    if (skipped == NULL)
        loop_post(wk->loop, &wk->config_task);
    config_put(skipped);
}

/* ---- room for new clients ---- */

/* Worker. True: a client was closed. */
static bool make_room(struct worker *wk)
{
    return clients_make_room(wk->clients) || exchange_make_room(wk->exchanges);
}

/* Worker: closes clients until at most `most` are connected. False: not enough can be closed. */
static bool make_room_until(struct worker *wk, uint32_t most)
{
    while (listener_count(wk->server->listener) > most) {
        if (!make_room(wk))
            return false;
    }
    return true;
}

/* A client was accepted although no other could be closed for it: try again now. */
static void on_crowded(void *arg)
{
    struct worker *wk = arg;
    (void)make_room_until(wk, wk->server->max_connections);
}

static void on_room_task(struct task *task)
{
    struct worker *wk = CONTAINER_OF(task, struct worker, room_task);

    atomic_store(&wk->room_asked, false);
    (void)make_room(wk); /* the listener checks again soon, and asks the next worker */
}

/* Any loop. Only the worker itself knows whether it has a client that can be closed. */
static void ask_for_room(struct server *s)
{
    struct worker *wk = &s->workers[atomic_fetch_add(&s->asked, 1) % s->n];

    if (!atomic_exchange(&wk->room_asked, true))
        loop_post(wk->loop, &wk->room_task);
}

static void on_shortage(void *arg)
{
    ask_for_room(arg);
}

/* Worker 0: whether this worker can take one more client because it will close one of its own. */
static bool can_swap(struct worker *wk)
{
    struct server *s = wk->server;

    if (wk == &s->workers[0])
        return make_room_until(wk, s->max_connections - 1);
    return listener_count(s->listener) < s->max_connections + CAPACITY_SWAPS * (s->n - 1) &&
           clients_have_room(wk->clients, loop_now(s->workers[0].loop));
}

/*
 * Worker 0. A new client is assigned to the loop that will close another one for it, so that the
 * loops stay balanced. Loops other than worker 0 close it when they receive the new client
 * (on_dealt): asking first would cost a round trip between threads for each connection. Meanwhile,
 * there may be CAPACITY_SWAPS more clients for each of these loops.
 */
static bool on_full(void *arg)
{
    struct server *s = arg;

    for (unsigned i = 0; i < s->n; i++, s->dealt++) {
        if (can_swap(&s->workers[s->dealt % s->n]))
            return true; /* on_accept() assigns the client to that worker */
    }
    ask_for_room(s);
    return false;
}

static bool on_no_descriptor(void *arg)
{
    struct server *s = arg;

    if (make_room(&s->workers[0]))
        return true;
    ask_for_room(s);
    return false;
}

static void *run_worker(void *arg)
{
    struct worker *wk = arg;
    loop_run(wk->loop);
    return NULL;
}

/* Worker. */
static void take_client(struct worker *wk, int fd, const struct sockaddr *sa)
{
    drain_client_arrives(wk->server->drain, wk->number);
    client_accept(wk->clients, fd, sa);
    drain_client_arrived(wk->server->drain, wk->number);
}

/* A connection that is being passed to another loop. */
struct dealt {
    struct task task;
    struct worker *worker;
    int fd;
    struct sockaddr_storage sa;
};

static void on_dealt(struct task *task)
{
    struct dealt *d = CONTAINER_OF(task, struct dealt, task);

    if (!make_room_until(d->worker, d->worker->server->max_connections))
        loop_timer_arm(d->worker->loop, &d->worker->crowded,
                       loop_now(d->worker->loop) + CLIENT_ROOM_AFTER_US);
    take_client(d->worker, d->fd, (const struct sockaddr *)&d->sa);
    free(d);
}

/* Worker 0: round robin, so that the few long-lived connections of a load balancer spread
 * evenly. */
static void on_accept(void *arg, int fd, const struct sockaddr *sa)
{
    struct server *s = arg;
    struct worker *wk = &s->workers[s->dealt++ % s->n];

    if (wk == &s->workers[0]) {
        take_client(wk, fd, sa);
        return;
    }
    struct dealt *d = malloc(sizeof(*d));
    CHECK(d != NULL);
    d->task.run = on_dealt;
    d->worker = wk;
    d->fd = fd;
    memcpy(&d->sa, sa, sizeof(d->sa)); /* the listener's address is a sockaddr_storage */
    loop_post(wk->loop, &d->task);
}

static void on_listener_stopped(void *arg)
{
    struct server *s = arg;
    drain_listener_is_closed(s->drain);
}

static const struct listener_handler listener_handler = {.on_accept = on_accept,
                                                         .on_full = on_full,
                                                         .on_no_descriptor = on_no_descriptor,
                                                         .on_stopped = on_listener_stopped};

/* ---- the drain ---- */

static void stop_listening(void *arg)
{
    struct server *s = arg;
    listener_stop(s->listener);
}

static bool listen_again(void *arg, const char **why)
{
    struct server *s = arg;

    if (listener_reopen(s->listener))
        return true;
    *why = strerror(errno); /* static text */
    log_error("cannot listen on %s again: %s; the drain continues", listener_text(s->listener),
              *why);
    return false;
}

static uint32_t connections(void *arg)
{
    struct server *s = arg;
    return listener_count(s->listener);
}

static void on_done(void *arg)
{
    struct server *s = arg;
    lifecycle_drained(s->lifecycle);
}

static const struct drain_handler drain_handler = {.stop_listening = stop_listening,
                                                   .listen_again = listen_again,
                                                   .connections = connections,
                                                   .on_done = on_done};

static void notify_drain(struct server *s)
{
    notify_status(s->notify, "draining: serves the requests that it has");
    if (lifecycle_is_ending(s->lifecycle))
        notify_stopping(s->notify, s->config->drain.timeout);
}

static void on_announce(void *arg)
{
    struct server *s = arg;

    notify_drain(s);
    drain_announce(s->drain);
}

static void on_drain(void *arg)
{
    struct server *s = arg;

    notify_drain(s);
    drain_close(s->drain);
}

static void on_late(void *arg)
{
    struct server *s = arg;
    drain_turn_away(s->drain);
}

static void on_cut(void *arg)
{
    struct server *s = arg;
    drain_cut(s->drain);
}

static void on_drained(void *arg)
{
    struct server *s = arg;
    size_t lost = drain_lost(s->drain);

    if (lost > 0)
        log_warning("drained: %zu requests were refused or cut off", lost);
    else
        log_info("drained: all requests were served");
    admin_drained(s->admin);
}

static bool on_cancel(void *arg, const char **why)
{
    struct server *s = arg;

    if (!drain_cancel(s->drain, why))
        return false;
    notify_status(s->notify, "serves again: the drain was cancelled");
    return true;
}

static void on_hangup(void *arg)
{
    struct server *s = arg;

    notify_reloading(s->notify);
    reload_sources(s->reload);
    notify_ready(s->notify);
}

static void on_reopen(void *arg)
{
    struct server *s = arg;
    access_log_reopen(s->access_log);
}

static const struct lifecycle_handler lifecycle_handler = {.on_announce = on_announce,
                                                           .on_drain = on_drain,
                                                           .on_late = on_late,
                                                           .on_cut = on_cut,
                                                           .on_drained = on_drained,
                                                           .on_cancel = on_cancel,
                                                           .on_hangup = on_hangup,
                                                           .on_reopen = on_reopen};

/* ---- the app ---- */

static void on_app_up(void *arg, struct limiter_waiter *chain)
{
    struct server *s = arg;

    exchange_deliver(chain);
    notify_status(s->notify, "serves");
    for (unsigned i = 0; i < s->n; i++) {
        struct worker *wk = &s->workers[i];
        if (!atomic_exchange(&wk->up_told, true))
            loop_post(wk->loop, &wk->up_task);
    }
}

/* ---- the admin port's data ---- */

static void look_now(struct server *s, struct stats_now *now)
{
    observer_look(s->observer, now);
    app_view_read(s->view, clock_mono(), &now->app);
}

static void admin_metrics(void *arg, enum prometheus_format format, struct strbuf *out)
{
    struct server *s = arg;
    struct stats_now now;

    look_now(s, &now);
    metrics_page_write(s->stats, &now, format, out);
    observer_audit(s->observer);
}

static void admin_status(void *arg, struct strbuf *out)
{
    struct server *s = arg;
    struct stats_now now;

    look_now(s, &now);
    status_write(s->stats, &now, observer_history(s->observer), out);
}

static void admin_history(void *arg, int64_t since, struct strbuf *out)
{
    struct server *s = arg;
    history_write(observer_history(s->observer), since, out);
}

static void admin_config(void *arg, struct strbuf *out)
{
    struct server *s = arg;
    config_write_json(s->config, out);
}

static bool admin_started(void *arg, const char **why)
{
    struct server *s = arg;

    *why = "the app has not started";
    return app_state(s->shared.app) != APP_STARTING;
}

/* Without a connection, nothing shows that the app has ended: looks, for the next time. */
static bool is_up(struct server *s)
{
    if (upstream_shared_open(s->upstreams) == 0)
        app_look(s->shared.app);
    return app_is_up(s->shared.app);
}

static bool admin_ready(void *arg, const char **why)
{
    struct server *s = arg;

    if (!admin_started(arg, why))
        return false;
    *why = "the app is down";
    if (!is_up(s))
        return false;
    *why = "weir is draining";
    return lifecycle_is_ready(s->lifecycle);
}

/* The same condition as for /readyz: a drain that keeps it for its delay keeps this, too. */
static enum stats_agent_reply agent_state(void *arg)
{
    struct server *s = arg;

    return !lifecycle_is_ready(s->lifecycle) ? STATS_AGENT_DRAIN
           : is_up(s)                        ? STATS_AGENT_UP
                                             : STATS_AGENT_DOWN;
}

static void admin_pause(void *arg)
{
    struct server *s = arg;

    atomic_store(&s->shared.held, true);
    limiter_pause(s->shared.limiter, LIMITER_PAUSE_OPERATOR, loop_tick(s->control));
}

/* In a dry run, those that have waited go on, not only as many as there are slots. */
static void admin_resume(void *arg)
{
    struct server *s = arg;

    atomic_store(&s->shared.held, false);
    exchange_deliver(
        limiter_resume(s->shared.limiter, LIMITER_PAUSE_OPERATOR, loop_tick(s->control)));
    for (unsigned i = 0; i < s->n; i++) {
        struct worker *wk = &s->workers[i];
        if (!atomic_exchange(&wk->resume_told, true))
            loop_post(wk->loop, &wk->resume_task);
    }
}

static void admin_drain(void *arg, bool keep_ready)
{
    struct server *s = arg;

    loop_tick(s->control);
    lifecycle_drain(s->lifecycle, keep_ready);
}

static bool admin_cancel_drain(void *arg, const char **why)
{
    struct server *s = arg;

    loop_tick(s->control);
    return lifecycle_cancel(s->lifecycle, why);
}

static bool admin_change(void *arg, struct span json, struct strbuf *problems)
{
    struct server *s = arg;

    loop_tick(s->control);
    return reload_patch(s->reload, json, problems);
}

static bool admin_drain_state(void *arg, struct strbuf *out)
{
    struct server *s = arg;
    enum lifecycle_state state = lifecycle_state(s->lifecycle);
    bool done = state == LIFECYCLE_DRAINED || state == LIFECYCLE_STOPPED;
    struct limiter_snapshot l, bypass;

    limiter_snapshot(s->shared.limiter, clock_mono(), &l);
    limiter_snapshot(s->shared.bypass, clock_mono(), &bypass);
    strbuf_addf(out, "{\"state\":\"%s\",\"in_flight\":%u,\"queued\":%u,\"cut\":%zu}\n",
                done                       ? "drained"
                : state == LIFECYCLE_READY ? "ready"
                                           : "draining",
                l.in_flight + bypass.in_flight, l.depth + bypass.depth, drain_lost(s->drain));
    return done;
}

/* ---- the configuration ---- */

/* Those of the ports of the control thread. */
static unsigned control_descriptors(const struct config *cf)
{
    return ADMIN_DESCRIPTORS + (cf->agent.enabled ? AGENT_DESCRIPTORS : 0);
}

/* The one way in which the configuration changes. */
static void server_change(void *arg, struct config *next)
{
    struct server *s = arg;
    struct config *before = s->config;

    s->config = config_get(next);
    limits_before(&s->limits, next);
    config_put(before);
    log_configure(next->log.level, next->log.format);
    access_log_configure(s->access_log, next);
    atomic_store(&s->max_connections, capacity_clients(next, control_descriptors(next)));
    listener_configure(s->listener, atomic_load(&s->max_connections));
    budget_resize(&s->shared.budget, next->buffers.budget);
    atomic_store(&s->shared.upgrades_max, capacity_upgrades(next));
    lifecycle_configure(s->lifecycle, next);
    if (s->admin != NULL)
        admin_configure(s->admin, next);
    app_configure(s->shared.app, next);
    observer_configure(s->observer, next, atomic_load(&s->max_connections));
    for (unsigned i = 0; i < s->n; i++)
        hand_over(&s->workers[i], next);
    limits_after(&s->limits);
}

/* ---- building and taking down ---- */

static bool worker_build(struct server *s, unsigned i)
{
    struct worker *wk = &s->workers[i];
    struct stats_shard *shard = stats_shard_of(s->stats, i);

    wk->server = s;
    wk->number = i;
    wk->up_task.run = on_up_task;
    wk->resume_task.run = on_resume_task;
    wk->room_task.run = on_room_task;
    loop_timer_init(&wk->crowded, on_crowded, wk);
    wk->config_task.run = on_config_task;
    wk->loop = loop_new(i);
    if (wk->loop == NULL) {
        log_error("cannot create an event loop: %s", strerror(errno));
        return false;
    }
    wk->upstream = upstream_new(s->upstreams, wk->loop, shard, s->config, &s->shared.budget);
    struct exchange_env_config env = {.shared = &s->shared,
                                      .loop = wk->loop,
                                      .upstream = wk->upstream,
                                      .stats = shard,
                                      .bypass_stats = stats_shard_of(s->bypass_stats, i),
                                      .completions = observer_completions(s->observer, i),
                                      .access = access_log_shard_of(s->access_log, i),
                                      .config = s->config,
                                      .on_ended = on_ended,
                                      .arg = wk};
    wk->exchanges = exchange_env_new(&env);
    observer_watch(s->observer, i, wk->loop, shard, wk->exchanges);
    wk->clients = clients_new(wk->loop, shard, s->config, &s->shared.budget,
                              &exchange_client_handler, wk->exchanges);
    const struct drain_parts parts = {.loop = wk->loop,
                                      .upstream = wk->upstream,
                                      .exchanges = wk->exchanges,
                                      .clients = wk->clients};
    drain_set_parts(s->drain, i, &parts);
    return true;
}

static bool agent_build(struct server *s)
{
    char problem[256];
    const struct agent_how how = {.loop = s->control,
                                  .listen = &s->config->agent.listen,
                                  .limiter = s->shared.limiter,
                                  .state = agent_state,
                                  .arg = s};

    if (!s->config->agent.enabled)
        return true;
    s->agent = agent_new(&how, problem, sizeof(problem));
    if (s->agent == NULL)
        log_error("%s", problem);
    return s->agent != NULL;
}

static bool ports_build(struct server *s)
{
    char problem[256];
    struct admin_source source = {.arg = s,
                                  .metrics = admin_metrics,
                                  .status = admin_status,
                                  .history = admin_history,
                                  .config = admin_config,
                                  .ready = admin_ready,
                                  .started = admin_started,
                                  .pause = admin_pause,
                                  .resume = admin_resume,
                                  .drain = admin_drain,
                                  .cancel_drain = admin_cancel_drain,
                                  .drain_state = admin_drain_state,
                                  .change = admin_change};

    const struct listener_config how = {.max = s->max_connections,
                                        .send_buffer = s->config->client.send_buffer,
                                        .receive_buffer = s->config->client.receive_buffer};
    s->listener = listener_new(s->workers[0].loop, &s->config->listen, &how, &listener_handler, s,
                               problem, sizeof(problem));
    if (s->listener == NULL) {
        log_error("%s", problem);
        return false;
    }
    if (s->config->admin.enabled) {
        s->admin = admin_new(loop_base(s->control), s->config, &source, problem, sizeof(problem));
        if (s->admin == NULL)
            log_error("%s", problem);
    }
    return (s->admin != NULL || !s->config->admin.enabled) && agent_build(s);
}

static void app_build(struct server *s)
{
    const struct app_how how = {.loop = s->control,
                                .limiter = s->shared.limiter,
                                .config = s->config,
                                .on_up = on_app_up,
                                .arg = s};
    s->shared.app = app_new(&how);
}

static void observer_build(struct server *s)
{
    const struct app_view_how view = {.app = s->shared.app,
                                      .upstream = &s->config->upstream.address,
                                      .listen = &s->config->listen};
    s->view = app_view_new(&view);
    const struct observer_how how = {.control = s->control,
                                     .shared = &s->shared,
                                     .stats = s->stats,
                                     .bypass_stats = s->bypass_stats,
                                     .config = s->config,
                                     .clients = s->max_connections,
                                     .loops = s->n,
                                     .follower = &app_view_follower,
                                     .arg = s->view};
    s->observer = observer_new(&how);
}

static bool access_log_build(struct server *s)
{
    char problem[512];

    s->access_log = access_log_new(s->n, s->config, problem, sizeof(problem));
    if (s->access_log == NULL)
        log_error("%s", problem);
    return s->access_log != NULL;
}

static bool build(struct server *s)
{
    const struct config *cf = s->config;
    const struct limiter_config lc = classes_limiter_config(cf), bypass = capacity_queue(cf);
    mono_us now = clock_mono();

    s->control = loop_new(s->n);
    s->stats = stats_new(s->n, s->config);
    s->bypass_stats = stats_new(s->n, s->config);
    s->shared.limiter = limiter_new(&lc, now);
    s->shared.bypass = limiter_new(&bypass, now);
    if (s->control == NULL || s->shared.limiter == NULL || s->shared.bypass == NULL) {
        log_error("cannot create the control loop: %s", strerror(errno));
        return false;
    }
    s->notify = notify_new(s->control);
    if (!access_log_build(s))
        return false;
    s->upstreams = upstream_shared_new(capacity_connections(cf), s->n);
    limits_init(&s->limits, s->control, &s->shared, s->upstreams, cf, now);
    app_build(s);
    observer_build(s);
    budget_init(&s->shared.budget, cf->buffers.budget);
    s->shared.upgrades_max = capacity_upgrades(cf);
    upstream_shared_on_shortage(s->upstreams, on_shortage, s);
    s->drain = drain_new(s->control, s->n, &drain_handler, s);
    for (unsigned i = 0; i < s->n; i++) {
        if (!worker_build(s, i))
            return false;
    }
    s->lifecycle = lifecycle_new(s->control, cf, &lifecycle_handler, s);
    if (!ports_build(s))
        return false;
    s->reload = reload_new(s->control, s->source, s->config, server_change, s);
    const struct observer_parts parts = {.reload = s->reload,
                                         .agent = s->agent,
                                         .lifecycle = s->lifecycle,
                                         .access_log = s->access_log};
    observer_start(s->observer, &parts);
    return true;
}

static void take_down(struct server *s)
{
    admin_free(s->admin);
    agent_free(s->agent);
    reload_free(s->reload);
    limits_fini(&s->limits);
    observer_stop(s->observer);
    app_free(s->shared.app);
    lifecycle_free(s->lifecycle);
    listener_free(s->listener);
    for (unsigned i = 0; i < s->n; i++) {
        struct worker *wk = &s->workers[i];
        loop_timer_fini(&wk->crowded);
        config_put(atomic_load(&wk->next));
        clients_free(wk->clients);
        upstream_free(wk->upstream);
        exchange_env_free(wk->exchanges);
        loop_free(wk->loop);
    }
    observer_free(s->observer);
    notify_free(s->notify);
    access_log_free(s->access_log);
    app_view_free(s->view);
    drain_free(s->drain);
    /* Everything that was taken has been returned. */
    CHECK(atomic_load(&s->shared.budget.held) == 0 && atomic_load(&s->shared.upgrades) == 0);
    upstream_shared_free(s->upstreams);
    loop_free(s->control);
    limiter_free(s->shared.limiter);
    limiter_free(s->shared.bypass);
    stats_free(s->stats);
    stats_free(s->bypass_stats);
    config_put(s->config);
}

/* ---- running ---- */

static bool start_workers(struct server *s)
{
    sigset_t all, before;

    /* The control thread handles signals. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = true;
    for (unsigned i = 0; i < s->n && ok; i++) {
        int why = pthread_create(&s->workers[i].thread, NULL, run_worker, &s->workers[i]);
        s->workers[i].running = ok = why == 0;
        if (why != 0)
            log_error("cannot start a thread: %s", strerror(why));
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

static void join_workers(struct server *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        if (!s->workers[i].running)
            continue;
        loop_stop(s->workers[i].loop);
        pthread_join(s->workers[i].thread, NULL);
    }
}

static void greet(const struct server *s)
{
    const struct config *cf = s->config;
    char limit[16] = "unlimited";

    if (capacity_inside(cf) != UINT32_MAX)
        snprintf(limit, sizeof(limit), "%u", capacity_inside(cf));
    if (inherited_unused() != NULL)
        log_warning("the socket on %s, which weir was started with, is used by no port: neither "
                    "listen nor admin.listen nor agent.listen has this address",
                    inherited_unused());
    log_info("weir %s listens on %s for the app at %s: concurrency %s, queue %u, admin %s%s%s",
             WEIR_VERSION, listener_text(s->listener), cf->upstream.address.text, limit,
             cf->queue.length, s->admin != NULL ? admin_text(s->admin) : "off",
             s->agent != NULL ? ", agent " : "", s->agent != NULL ? agent_text(s->agent) : "");
    if (config_trust_is_default(cf))
        log_info("forwarding headers from private addresses are trusted: set headers.trusted to [] "
                 "if every client appears to have one (a published container port, a NAT)");
}

static bool run(struct server *s)
{
    if (!build(s) || !start_workers(s))
        return false;
    greet(s);
    notify_status(s->notify, "listens, and waits for the app");
    notify_ready(s->notify);
    app_start(s->shared.app);
    loop_run(s->control);
    return true;
}

/* Nothing is left to stop; later signals must not kill the process before it returns its status. */
static void block_signals(void)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
}

int server_main(struct config *config, const struct config_source *source)
{
    struct server *s = calloc(1, sizeof(*s) + config->threads * sizeof(s->workers[0]));

    CHECK(s != NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a log file that reaches RLIMIT_FSIZE ends its log only */
    s->config = config_get(config);
    s->source = source;
    s->n = config->threads;
    s->max_connections = capacity_clients(config, control_descriptors(config));
    bool ran = run(s);
    join_workers(s);
    block_signals();
    bool lost = ran && drain_lost(s->drain) > 0;
    take_down(s);
    free(s);
    return !ran ? SERVER_FAILED : lost ? SERVER_CUT : SERVER_DONE;
}
