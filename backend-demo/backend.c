/*
 * One event loop and everything that runs on it. The life of a call:
 *
 *   read whole ─► inside ─┬─► response within its first call ──────────────────────► left
 *                         └─► paused ─► timer or pool ─► response, connection resumed ─► left
 *
 * libevhtp supports pausing reliably only in the final callback, so requests are paused there. A
 * paused connection is not read: libevhtp notices that the client has left only when the response
 * is sent, and the request is valid until then. If the connection is freed earlier (when the
 * backend ends), the request's last hook clears call->req.
 */
#include "backend-demo/backend.h"

#include <signal.h>
#include <time.h>

#include <event2/event.h>

#include "backend-demo/looplag.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "common/prometheus.h"

#define BACKLOG          2048
#define BODY_MAX         (16u << 20) /* of a request; a longer one ends the connection */
#define DRAIN_TICK_US    10000
#define DRAIN_TIMEOUT_US (30 * 1000000LL)

struct client { /* one connection */
    struct backend *backend;
    evhtp_connection_t *conn;
    TAILQ_ENTRY(client) link;
};

/* All counts are written on the loop, except pool_wait. ALL: any handler. */
enum { ALL = HANDLERS, COUNTS };
struct numbers {
    struct metrics *metrics;
    struct counter *requests[HANDLERS];
    struct gauge *concurrent, *most[COUNTS];
    struct gauge *pool_threads, *pool_busy, *pool_depth;
    struct histogram *looplag, *pool_wait;
    unsigned inside[COUNTS];
};

struct backend {
    struct settings settings;
    struct event_base *base;
    evhtp_t *htp;
    struct thread_pool *pool;
    struct task_queue *tasks;
    struct looplag *looplag;
    struct event *on_tasks, *on_term, *on_int, *drain_timer;
    TAILQ_HEAD(, call) calls; /* all calls that are inside */
    TAILQ_HEAD(, client) clients;
    mono_us drain_deadline; /* 0: not draining */
    bool cut;
    struct numbers numbers;
};

/* ---- the numbers ---------------------------------------------------------------------------- */

static const mono_us bounds[] = {1000,    2500,     5000,     10000,   25000,   50000,
                                 100000,  250000,   500000,   1000000, 2000000, 3000000,
                                 5000000, 10000000, 30000000, 60000000};

#define BOUNDS (sizeof(bounds) / sizeof(bounds[0]))

static const char *label_of(unsigned which)
{
    return which == ALL ? "all" : handler_name(which);
}

static void numbers_init(struct numbers *n)
{
    struct metrics *m = metrics_new();
    n->metrics = m;
    for (unsigned i = 0; i < HANDLERS; i++)
        n->requests[i] = metrics_counter(m, "backend_requests_total", "Requests started.",
                                         "handler", label_of(i));
    n->concurrent = metrics_gauge(
        m, "backend_concurrent",
        "Requests in handlers now, including those of disconnected clients.", NULL, NULL);
    for (unsigned i = 0; i < COUNTS; i++)
        n->most[i] =
            metrics_gauge(m, "backend_concurrent_max",
                          "Maximum number of requests inside at once since the last POST /reset.",
                          "handler", label_of(i));
    n->pool_threads = metrics_gauge(m, "backend_pool_threads", "Threads in the pool.", NULL, NULL);
    n->pool_busy =
        metrics_gauge(m, "backend_pool_busy", "Threads that are running a handler.", NULL, NULL);
    n->pool_depth = metrics_gauge(m, "backend_pool_queue_depth",
                                  "Requests that are waiting for a thread.", NULL, NULL);
    n->pool_wait = metrics_histogram(m, "backend_pool_wait_seconds", "Wait for a thread.", NULL,
                                     NULL, bounds, BOUNDS);
    n->looplag = metrics_histogram(m, "backend_loop_lag_seconds",
                                   "How late a 20 ms timer fires; high while the loop is blocked.",
                                   NULL, NULL, bounds, BOUNDS);
}

static void on_looplag(mono_us lag, void *arg)
{
    struct backend *b = arg;
    histogram_observe(b->numbers.looplag, lag);
}

static void count_up(struct numbers *n, unsigned which)
{
    n->inside[which]++;
    gauge_raise(n->most[which], n->inside[which]);
}

static void count_in(struct numbers *n, enum handler h)
{
    if (h == HANDLER_NONE)
        return;
    counter_add(n->requests[h], 1);
    count_up(n, h);
    count_up(n, ALL);
    gauge_set(n->concurrent, n->inside[ALL]);
}

static void count_out(struct numbers *n, enum handler h)
{
    if (h == HANDLER_NONE)
        return;
    n->inside[h]--;
    n->inside[ALL]--;
    gauge_set(n->concurrent, n->inside[ALL]);
}

void backend_reset(struct backend *b)
{
    for (unsigned i = 0; i < COUNTS; i++)
        gauge_set(b->numbers.most[i], b->numbers.inside[i]);
}

void backend_write_metrics(struct backend *b, struct strbuf *out)
{
    struct thread_pool_snapshot s = thread_pool_look(b->pool);
    gauge_set(b->numbers.pool_threads, s.threads);
    gauge_set(b->numbers.pool_busy, s.busy);
    gauge_set(b->numbers.pool_depth, s.depth);
    prometheus_write(b->numbers.metrics, out);
    prometheus_process(out, PROMETHEUS_TEXT);
}

/* ---- responses ------------------------------------------------------------------------------ */

static void call_free(struct call *c)
{
    TAILQ_REMOVE(&c->backend->calls, c, link);
    if (c->timer != NULL)
        event_free(c->timer);
    strbuf_fini(&c->body);
    free(c);
}

static void add_header(evhtp_request_t *req, const char *name, const char *value)
{
    evhtp_headers_add_header(req->headers_out, evhtp_header_new(name, value, 0, 1));
}

/* libevhtp would send a body in response to HEAD. */
static void add_body(evhtp_request_t *req, const struct strbuf *body)
{
    if (req->method == htp_method_HEAD) {
        char length[24];
        snprintf(length, sizeof(length), "%zu", body->len);
        add_header(req, "Content-Length", length);
        return;
    }
    evbuffer_add(req->buffer_out, body->at, body->len);
}

/* Two times that the client cannot measure: how long the call was inside, and how much of that it
 * waited for a thread. The rest of the client's total is time in transit. */
static void add_timing(const struct call *c)
{
    char text[80];
    double inside = (double)(clock_mono() - c->entered) / 1e3;
    double waited = (double)(c->job.started - c->job.submitted) / 1e3;

    snprintf(text, sizeof(text), "pool;dur=%.3f, app;dur=%.3f", waited, inside);
    add_header(c->req, "Server-Timing", text);
}

static void send_response(struct call *c, evhtp_res status)
{
    if (c->req == NULL)
        return;
    add_header(c->req, "Content-Type", c->type);
    if (status == EVHTP_RES_METHNALLOWED)
        add_header(c->req, "Allow", route_allow_field(c->route));
    add_timing(c);
    add_body(c->req, &c->body);
    if (c->backend->drain_deadline != 0)
        evhtp_request_disable_flag(c->req, EVHTP_REQ_FLAG_KEEPALIVE);
    evhtp_send_reply(c->req, status);
}

void call_respond(struct call *c, evhtp_res status)
{
    const bool in_first_call = c->handling;

    CHECK(!c->responded);
    c->responded = true;
    /* Counted first: the next request, which this response admits, must not see it inside. */
    count_out(&c->backend->numbers, c->route->handler);
    send_response(c, status);
    if (in_first_call)
        return; /* on_request frees it */
    if (c->req != NULL) {
        evhtp_request_unset_hook(c->req, evhtp_hook_on_request_fini);
        evhtp_request_resume(c->req);
    }
    call_free(c);
}

static void refuse(struct call *c, evhtp_res status, const char *why)
{
    strbuf_clear(&c->body);
    strbuf_adds(&c->body, "{\"detail\":");
    strbuf_add_json(&c->body, span_of(why));
    strbuf_adds(&c->body, "}");
    call_respond(c, status);
}

/* ---- waiting and working -------------------------------------------------------------------- */

static void on_waited(evutil_socket_t fd, short what, void *arg)
{
    struct call *c = arg;
    (void)fd, (void)what;
    c->waited(c);
}

void call_wait(struct call *c, void (*fn)(struct call *c))
{
    const unsigned ms = c->params.value[PARAM_MS];
    const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000L};

    c->waited = fn;
    c->timer = evtimer_new(c->backend->base, on_waited, c);
    CHECK(c->timer != NULL);
    event_add(c->timer, &tv);
}

void call_sleep(struct call *c)
{
    thread_pool_sleep(c->backend->pool, c->params.value[PARAM_MS] * 1000LL);
}

static int64_t thread_cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void call_work(const struct call *c)
{
    const int64_t budget = c->params.value[PARAM_CPU_MS] * 1000LL;
    if (budget == 0)
        return;
    const int64_t end = thread_cpu_us() + budget;
    while (thread_cpu_us() < end)
        continue;
}

static void add_padding(struct strbuf *sb, size_t len)
{
    static const char xs[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    const size_t block = sizeof(xs) - 1;

    for (; len > block; len -= block)
        strbuf_add(sb, xs, block);
    strbuf_add(sb, xs, len);
}

void call_write(struct call *c, struct span members)
{
    const unsigned padding = c->params.value[PARAM_BYTES];

    strbuf_adds(&c->body, "{");
    strbuf_add_span(&c->body, members);
    if (padding > 0) {
        strbuf_adds(&c->body, ",\"padding\":\"");
        add_padding(&c->body, padding);
        strbuf_adds(&c->body, "\"");
    }
    strbuf_adds(&c->body, "}");
}

/* ---- calls in the pool ---------------------------------------------------------------------- */

/* In a thread of the pool. */
static void run_in_pool(struct pool_job *job)
{
    struct call *c = CONTAINER_OF(job, struct call, job);
    histogram_observe(c->backend->numbers.pool_wait, job->started - job->submitted);
    c->route->handle(c);
}

/* Back on the loop. */
static void on_pool_done(struct task *task)
{
    struct pool_job *job = CONTAINER_OF(task, struct pool_job, task);
    call_respond(CONTAINER_OF(job, struct call, job), EVHTP_RES_OK);
}

static void on_tasks(evutil_socket_t fd, short what, void *arg)
{
    struct backend *b = arg;
    (void)fd, (void)what;
    task_queue_run(b->tasks);
}

static void submit(struct call *c)
{
    c->job.run = run_in_pool;
    c->job.task.run = on_pool_done;
    thread_pool_submit(c->backend->pool, &c->job);
}

/* ---- requests ------------------------------------------------------------------------------- */

static struct span path_of(const evhtp_request_t *req)
{
    bool known = req->uri != NULL && req->uri->path != NULL && req->uri->path->full != NULL;
    return known ? span_of(req->uri->path->full) : SPAN("");
}

static struct span query_of(const evhtp_request_t *req)
{
    bool known = req->uri != NULL && req->uri->query_raw != NULL;
    return known ? span_of((const char *)req->uri->query_raw) : SPAN("");
}

/* libevhtp discards the name of a method that it does not know. */
static struct span method_of(const evhtp_request_t *req)
{
    const char *name = htparser_get_methodstr(req->conn->parser);
    return name != NULL ? span_of(name) : SPAN("");
}

static struct call *call_new(struct backend *b, evhtp_request_t *req)
{
    struct call *c = calloc(1, sizeof(*c));
    CHECK(c != NULL);
    c->backend = b;
    c->req = req;
    c->route = route_find(path_of(req));
    c->type = "application/json";
    c->entered = clock_mono();
    c->params.value[PARAM_MS] = route_default_ms(c->route, &b->settings);
    TAILQ_INSERT_TAIL(&b->calls, c, link);
    count_in(&b->numbers, c->route->handler);
    return c;
}

/* Checked in the order in which FastAPI does: path, method, parameters. */
static void call_start(struct call *c)
{
    struct strbuf error = {0};

    if (!route_allows(c->route, method_of(c->req)))
        refuse(c, EVHTP_RES_METHNALLOWED, "Method Not Allowed");
    else if (!params_read(&c->params, c->route, query_of(c->req), &error))
        refuse(c, EVHTP_RES_BADREQ, strbuf_cstr(&error));
    else if (c->route->kind == ROUTE_POOL)
        submit(c);
    else
        c->route->handle(c);
    strbuf_fini(&error);
}

static evhtp_res on_request_gone(evhtp_request_t *req, void *arg)
{
    struct call *c = arg;
    CHECK(c->req == req);
    c->req = NULL; /* the handler runs to its end nevertheless */
    return EVHTP_RES_OK;
}

static void on_request(evhtp_request_t *req, void *arg)
{
    struct call *c = call_new(arg, req);

    c->handling = true;
    call_start(c);
    c->handling = false;
    if (c->responded) {
        call_free(c);
        return;
    }
    evhtp_request_set_hook(req, evhtp_hook_on_request_fini, (evhtp_hook)on_request_gone, c);
    evhtp_request_pause(req);
}

/* ---- connections ---------------------------------------------------------------------------- */

static evhtp_res on_client_gone(evhtp_connection_t *conn, void *arg)
{
    struct client *cl = arg;
    CHECK(cl->conn == conn);
    TAILQ_REMOVE(&cl->backend->clients, cl, link);
    free(cl);
    return EVHTP_RES_OK;
}

static evhtp_res on_accepted(evhtp_connection_t *conn, void *arg)
{
    struct backend *b = arg;
    struct client *cl = calloc(1, sizeof(*cl));
    CHECK(cl != NULL);
    cl->backend = b;
    cl->conn = conn;
    TAILQ_INSERT_TAIL(&b->clients, cl, link);
    evhtp_connection_set_hook(conn, evhtp_hook_on_connection_fini, (evhtp_hook)on_client_gone, cl);
    return EVHTP_RES_OK;
}

static bool is_idle(const struct client *cl)
{
    return cl->conn->request == NULL &&
           evbuffer_get_length(bufferevent_get_output(cl->conn->bev)) == 0;
}

static void close_idle(struct backend *b)
{
    struct client *cl, *next;
    for (cl = TAILQ_FIRST(&b->clients); cl != NULL; cl = next) {
        next = TAILQ_NEXT(cl, link);
        if (is_idle(cl))
            evhtp_connection_free(cl->conn); /* calls on_client_gone */
    }
}

static void close_all(struct backend *b)
{
    while (!TAILQ_EMPTY(&b->clients))
        evhtp_connection_free(TAILQ_FIRST(&b->clients)->conn);
}

static bool all_responses_sent(const struct backend *b)
{
    const struct client *cl;
    TAILQ_FOREACH (cl, &b->clients, link) {
        if (evbuffer_get_length(bufferevent_get_output(cl->conn->bev)) > 0)
            return false;
    }
    return TAILQ_EMPTY(&b->calls);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void on_drain_tick(evutil_socket_t fd, short what, void *arg)
{
    struct backend *b = arg;
    (void)fd, (void)what;

    close_idle(b);
    b->cut = !all_responses_sent(b);
    if (!b->cut || clock_mono() >= b->drain_deadline)
        event_base_loopbreak(b->base);
}

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
    const struct timeval tick = {.tv_usec = DRAIN_TICK_US};
    struct backend *b = arg;
    (void)signal_number, (void)what;

    if (b->drain_deadline != 0) {
        event_base_loopbreak(b->base); /* second signal: stop now */
        return;
    }
    evhtp_unbind_socket(b->htp);
    b->drain_deadline = clock_mono() + DRAIN_TIMEOUT_US;
    b->cut = true;
    event_add(b->drain_timer, &tick);
}

bool backend_run(struct backend *b)
{
    event_base_dispatch(b->base);
    return !b->cut;
}

/* ---- creation and destruction --------------------------------------------------------------- */

/* Timers with microsecond precision, counted from now, not from the loop's last wake-up: after a
 * handler has blocked the loop for a second, "in one second" must not mean "at once". */
static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    CHECK(config != NULL);
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static bool start_server(struct backend *b, int fd)
{
    b->htp = evhtp_new(b->base, b);
    if (b->htp == NULL)
        return false;
    /* Lenient: libevhtp closes the connection on queries that it considers malformed. They are
     * parsed here anyway. */
    evhtp_set_parser_flags(b->htp, EVHTP_PARSE_QUERY_FLAG_LENIENT);
    evhtp_set_max_body_size(b->htp, BODY_MAX);
    evhtp_set_gencb(b->htp, on_request, b);
    evhtp_set_post_accept_cb(b->htp, on_accepted, b);
    return evhtp_accept_socket(b->htp, fd, BACKLOG) == 0;
}

static bool start_events(struct backend *b)
{
    b->on_tasks = event_new(b->base, task_queue_fd(b->tasks), EV_READ | EV_PERSIST, on_tasks, b);
    b->on_term = evsignal_new(b->base, SIGTERM, on_signal, b);
    b->on_int = evsignal_new(b->base, SIGINT, on_signal, b);
    b->drain_timer = event_new(b->base, -1, EV_PERSIST, on_drain_tick, b);
    b->looplag = looplag_start(b->base, on_looplag, b);
    return b->looplag != NULL && event_add(b->on_tasks, NULL) == 0 &&
           event_add(b->on_term, NULL) == 0 && event_add(b->on_int, NULL) == 0;
}

struct backend *backend_new(const struct settings *s, int fd)
{
    struct backend *b = calloc(1, sizeof(*b));
    CHECK(b != NULL);
    TAILQ_INIT(&b->calls);
    TAILQ_INIT(&b->clients);
    b->settings = *s;
    numbers_init(&b->numbers);
    b->base = new_base();
    b->tasks = task_queue_new();
    if (b->base == NULL || b->tasks == NULL)
        goto fail;
    b->pool = thread_pool_new(s->pool_threads, s->pool_order, b->tasks);
    if (b->pool == NULL || !start_events(b) || !start_server(b, fd))
        goto fail;
    return b;
fail:
    backend_free(b);
    return NULL;
}

/* The threads end first: finished jobs are delivered, and jobs that have not begun are freed here.
 * The connections follow, so that no request points at a freed call. */
static void end_calls(struct backend *b)
{
    thread_pool_free(b->pool);
    task_queue_run(b->tasks);
    close_all(b);
    while (!TAILQ_EMPTY(&b->calls))
        call_free(TAILQ_FIRST(&b->calls));
    /* libevent frees a bufferevent in the next turn of the loop, and never if there is none. */
    event_base_loop(b->base, EVLOOP_NONBLOCK);
}

static void free_event(struct event *ev)
{
    if (ev != NULL)
        event_free(ev);
}

void backend_free(struct backend *b)
{
    if (b->pool != NULL)
        end_calls(b);
    if (b->htp != NULL)
        evhtp_free(b->htp);
    if (b->looplag != NULL)
        looplag_stop(b->looplag);
    free_event(b->on_tasks);
    free_event(b->on_term);
    free_event(b->on_int);
    free_event(b->drain_timer);
    if (b->tasks != NULL)
        task_queue_free(b->tasks);
    if (b->base != NULL)
        event_base_free(b->base);
    metrics_free(b->numbers.metrics);
    free(b);
}
