/*
 * The only file that uses libevhtp, and it shields libevhtp from clients. In version 1.2.18, a
 * target that arrives in two reads makes the parser read outside its buffer, pipelined requests get
 * stuck, an endless head is buffered without limit, and a head that it rejects closes the
 * connection silently. So each connection has a gate in front of evhtp's callbacks (a `struct
 * visitor`): bytes stay in the bufferevent until weir's own parser has found one complete, valid
 * head of GET or HEAD; then exactly these bytes are passed to evhtp, and the next ones after the
 * response has been sent. All other requests are refused here.
 *
 *   WAITING ── whole head ──► RESPONDING ── response sent ──► WAITING, or closed by evhtp
 *      └── refused ──► CLOSING ── refusal sent ──► closed
 *
 * At VISITORS_MAX connections, the one that has been WAITING longest is closed for a new one, as
 * among weir's clients (client.h). Connections are accepted a few at a time, so that their requests
 * are read before others take their places, and slowly enough for each client to send one.
 *
 * A visitor belongs to its evhtp connection and ends with it: evhtp calls on_fini however the
 * connection ends. While one of our callbacks runs, the visitor is `busy`: on_fini then does not
 * free it; the callback does so when it returns.
 */
#include "proxy/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <evhtp/evhtp.h>

#include "common/prometheus.h"
#include "common/socket.h"
#include "proxy/client.h"
#include "proxy/http/parse.h"

enum {
    BACKLOG = 4096, /* for a burst of connections that are closed as fast as they arrive */
    VISITORS_MAX = 64,
    ACCEPT_AT_ONCE = 16,
    REQUESTS_MAX = 1000, /* on one connection */
    FIELDS_MAX = 64,
    HEAD_MAX = 8000, /* evhtp silently closes on a target or field above 8191 */
    UNREAD_MAX = 16384,
    TIMEOUT_SECONDS = 10,
};

static const struct timeval timeout = {.tv_sec = TIMEOUT_SECONDS};
#define NO_DESCRIPTOR_PAUSE_US 100000

struct visitor {
    TAILQ_ENTRY(visitor) link;
    struct admin *admin;
    evhtp_connection_t *conn; /* evhtp's; NULL once freed */
    bufferevent_data_cb evhtp_read, evhtp_written;
    struct http_parser parser;
    mono_us since; /* start of its wait */
    bool busy, closing, responding;
};

TAILQ_HEAD(visitors, visitor);

struct admin {
    struct admin_source source;
    evhtp_t *htp;
    struct event *accept_again;
    struct visitors waiting; /* for a request, longest wait first */
    struct visitors responding;
    unsigned n_visitors;
    unsigned accepted; /* in one go */
    struct address at;
    char text[SOCKET_TEXT];
    int fd;
};

/* ---- the responses ------------------------------------------------------------------------ */

struct response {
    evhtp_res status;
    const char *type;
    struct strbuf body;
};

struct route {
    const char *path, *meaning;
    void (*respond)(const struct admin *a, struct response *out);
};

static const char text_type[] = "text/plain; charset=utf-8";
static const char json_type[] = "application/json";

static void respond_metrics(const struct admin *a, struct response *out)
{
    out->type = PROMETHEUS_CONTENT_TYPE;
    a->source.metrics(a->source.arg, &out->body);
}

static void respond_status(const struct admin *a, struct response *out)
{
    out->type = json_type;
    a->source.status(a->source.arg, &out->body);
}

static void respond_config(const struct admin *a, struct response *out)
{
    out->type = json_type;
    a->source.config(a->source.arg, &out->body);
}

/* Any response shows that weir is running. */
static void respond_livez(const struct admin *a, struct response *out)
{
    (void)a;
    strbuf_adds(&out->body, "ok\n");
}

static void answer_yes_or_no(bool yes, const char *why, struct response *out)
{
    if (!yes)
        out->status = EVHTP_RES_SERVUNAVAIL;
    strbuf_addf(&out->body, "%s\n", yes ? "ok" : why);
}

static void respond_readyz(const struct admin *a, struct response *out)
{
    const char *why = "not ready";
    bool yes = a->source.ready(a->source.arg, &why);
    answer_yes_or_no(yes, why, out);
}

static void respond_startupz(const struct admin *a, struct response *out)
{
    const char *why = "not started";
    bool yes = a->source.started(a->source.arg, &why);
    answer_yes_or_no(yes, why, out);
}

static void respond_index(const struct admin *a, struct response *out);

static const struct route routes[] = {
    {"/", "this list", respond_index},
    {"/metrics", "for Prometheus", respond_metrics},
    {"/livez", "200 while weir is running", respond_livez},
    {"/readyz", "200 when weir accepts requests, else 503 and the reason", respond_readyz},
    {"/startupz", "200 once the app has started, else 503 and the reason", respond_startupz},
    {"/status", "the values of /metrics, as JSON", respond_status},
    {"/config", "the configuration in force, as JSON", respond_config},
};
enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };

static void list_routes(struct strbuf *out)
{
    for (size_t i = 0; i < ROUTES; i++)
        strbuf_addf(out, "  %-10s %s\n", routes[i].path, routes[i].meaning);
}

static void respond_index(const struct admin *a, struct response *out)
{
    (void)a;
    strbuf_adds(&out->body, "weir " WEIR_VERSION ", admin port\n\n");
    list_routes(&out->body);
}

static void respond_not_found(struct response *out)
{
    out->status = EVHTP_RES_NOTFOUND;
    strbuf_adds(&out->body, "no such page; the pages are:\n\n");
    list_routes(&out->body);
}

static const struct route *find_route(const char *path)
{
    for (size_t i = 0; i < ROUTES; i++) {
        if (strcmp(routes[i].path, path) == 0)
            return &routes[i];
    }
    return NULL;
}

static void add_header(evhtp_request_t *req, const char *name, const char *value)
{
    evhtp_header_t *header = evhtp_header_new(name, value, 1, 1);
    CHECK(header != NULL);
    evhtp_headers_add_header(req->headers_out, header);
}

static void send_response(evhtp_request_t *req, const struct response *response)
{
    char length[24];
    snprintf(length, sizeof(length), "%zu", response->body.len);
    add_header(req, "Content-Type", response->type);
    add_header(req, "Content-Length", length);
    add_header(req, "Cache-Control", "no-store");
    if (req->method != htp_method_HEAD)
        evbuffer_add(req->buffer_out, response->body.at, response->body.len);
    evhtp_send_reply(req, response->status);
}

static void on_request(evhtp_request_t *req, void *arg)
{
    const struct admin *a = arg;
    const char *path = req->uri != NULL && req->uri->path != NULL ? req->uri->path->full : "";
    const struct route *route = find_route(path);
    struct response response = {.status = EVHTP_RES_OK, .type = text_type};
    if (route != NULL)
        route->respond(a, &response);
    else
        respond_not_found(&response);
    send_response(req, &response);
    strbuf_fini(&response.body);
}

/* ---- the gate ----------------------------------------------------------------------------- */

static struct visitors *list_of(const struct visitor *v)
{
    return v->responding ? &v->admin->responding : &v->admin->waiting;
}

/* Moves it to the end of its list: its wait, for a request or for the client to take the response,
 * starts now. */
static void wait_anew(struct visitor *v)
{
    TAILQ_REMOVE(list_of(v), v, link);
    v->responding = v->conn->request != NULL;
    v->since = clock_mono();
    TAILQ_INSERT_TAIL(list_of(v), v, link);
}

static void leave(struct visitor *v)
{
    v->busy = false;
    if (v->conn == NULL)
        free(v);
}

/* evhtp calls this before it frees the connection, whatever the reason. */
static evhtp_res on_fini(evhtp_connection_t *conn, void *arg)
{
    struct visitor *v = arg;
    CHECK(v->conn == conn);
    TAILQ_REMOVE(list_of(v), v, link);
    v->admin->n_visitors--;
    v->conn = NULL;
    if (!v->busy)
        free(v);
    return EVHTP_RES_OK;
}

static void drop(struct visitor *v)
{
    if (v->conn != NULL)
        evhtp_connection_free(v->conn); /* calls on_fini */
}

static const char *phrase_of(unsigned status)
{
    switch (status) {
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 417:
        return "Expectation Failed";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Bad Request";
    }
}

/* Input after a refusal is discarded: if it were left unread, the close would be a reset, which may
 * overtake the refusal. */
static void refuse(struct visitor *v, unsigned status, const char *reason)
{
    struct strbuf out = {0};
    strbuf_addf(&out, "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n", status,
                phrase_of(status), text_type, strlen(reason) + 1);
    if (status == 405)
        strbuf_adds(&out, "Allow: GET, HEAD\r\n");
    strbuf_addf(&out, "Cache-Control: no-store\r\nConnection: close\r\n\r\n%s\n", reason);
    v->closing = true;
    bufferevent_write(v->conn->bev, out.at, out.len);
    strbuf_fini(&out);
}

/* evhtp consumes the whole input, so the bytes after the first `n` are moved out meanwhile. */
static void feed(struct visitor *v, size_t n)
{
    struct bufferevent *bev = v->conn->bev;
    struct evbuffer *input = bufferevent_get_input(bev);
    struct evbuffer *head = evbuffer_new(), *rest = evbuffer_new();
    CHECK(head != NULL && rest != NULL);
    evbuffer_remove_buffer(input, head, n);
    evbuffer_add_buffer(rest, input);
    evbuffer_prepend_buffer(input, head);
    evbuffer_pullup(input, -1);
    v->evhtp_read(bev, v->conn);
    if (v->conn != NULL)
        evbuffer_prepend_buffer(input, rest);
    evbuffer_free(head);
    evbuffer_free(rest);
}

static void take_head(struct visitor *v, const char *start, const struct http_head *head)
{
    if (head->method != HTTP_GET && head->method != HTTP_HEAD) {
        refuse(v, 405, "only GET and HEAD are supported");
        return;
    }
    if (head->chunked || head->content_length > 0) {
        refuse(v, 413, "a request to this port cannot have a body");
        return;
    }
    size_t before = (size_t)(head->whole.at - start), n = head->whole.len;
    evbuffer_drain(bufferevent_get_input(v->conn->bev), before);
    feed(v, n);
    if (v->conn != NULL)
        wait_anew(v);
}

/* True: a head was processed, and there may be another. */
static bool look_for_head(struct visitor *v)
{
    static const struct http_limits limits = {.max_head = HEAD_MAX, .max_fields = FIELDS_MAX};
    struct evbuffer *input = bufferevent_get_input(v->conn->bev);
    size_t len = evbuffer_get_length(input);
    struct http_problem problem;
    struct http_head head;

    if (len == 0)
        return false;
    const char *at = (const char *)evbuffer_pullup(input, -1);
    switch (http_parse_request(&v->parser, at, len, &limits, SPAN(""), &head, &problem)) {
    case HTTP_PARSE_MORE:
        return false;
    case HTTP_PARSE_BAD:
        refuse(v, problem.status, problem.reason);
        return false;
    case HTTP_PARSE_DONE:
        break;
    }
    take_head(v, at, &head);
    return true;
}

static void discard_input(struct visitor *v)
{
    struct evbuffer *input = bufferevent_get_input(v->conn->bev);
    evbuffer_drain(input, evbuffer_get_length(input));
}

/* evhtp keeps its request until the response has been written: one at a time. */
static void serve(struct visitor *v)
{
    bool more = true;
    while (more && v->conn != NULL && v->conn->request == NULL && !v->closing)
        more = look_for_head(v);
    if (v->conn != NULL && v->closing)
        discard_input(v);
}

static void on_readable(struct bufferevent *bev, void *arg)
{
    struct visitor *v = arg;
    (void)bev;
    v->busy = true;
    serve(v);
    leave(v);
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct visitor *v = arg;
    v->busy = true;
    if (v->conn->request != NULL)
        v->evhtp_written(bev, v->conn);
    if (v->closing) {
        drop(v);
    } else if (v->conn != NULL) {
        wait_anew(v);
        serve(v);
    }
    leave(v);
}

/* The client has half-closed: it may still wait for a response that is being sent. */
static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct visitor *v = arg;
    v->busy = true;
    if ((what & BEV_EVENT_EOF) != 0 && evbuffer_get_length(bufferevent_get_output(bev)) > 0)
        v->closing = true;
    else
        drop(v);
    leave(v);
}

/* ---- accepting ---------------------------------------------------------------------------- */

static struct visitor *first_to_go(const struct admin *a)
{
    struct visitor *v = TAILQ_FIRST(&a->waiting);
    return v != NULL ? v : TAILQ_FIRST(&a->responding);
}

/* The time until it may be closed; 0 or less: it may be closed now. */
static mono_us peace(const struct visitor *v)
{
    return v->since + CLIENT_ROOM_AFTER_US - clock_mono();
}

static void accept_later(struct admin *a, mono_us wait)
{
    const struct timeval tv = {.tv_usec = (suseconds_t)wait}; /* less than a second */

    evconnlistener_disable(a->htp->server);
    evtimer_add(a->accept_again, &tv);
}

/* Idle connections must not lock out the probes. */
static void make_room(struct admin *a)
{
    if (a->n_visitors >= VISITORS_MAX)
        drop(first_to_go(a));
}

/* libevent would continue to accept as long as connections are waiting, and close dropped ones only
 * afterwards. */
static void take_breath(struct admin *a)
{
    mono_us wait = a->n_visitors >= VISITORS_MAX ? peace(first_to_go(a)) : 0;

    if (wait > 0)
        accept_later(a, wait);
    else if (++a->accepted >= ACCEPT_AT_ONCE)
        accept_later(a, 0);
}

static evhtp_res on_accept(evhtp_connection_t *conn, void *arg)
{
    struct admin *a = arg;
    bufferevent_event_cb evhtp_event;
    void *evhtp_arg;

    make_room(a);
    struct visitor *v = calloc(1, sizeof(*v));
    CHECK(v != NULL);
    v->admin = a;
    v->conn = conn;
    bufferevent_getcb(conn->bev, &v->evhtp_read, &v->evhtp_written, &evhtp_event, &evhtp_arg);
    CHECK(v->evhtp_read != NULL && v->evhtp_written != NULL && evhtp_arg == conn);
    bufferevent_setcb(conn->bev, on_readable, on_written, on_event, v);
    bufferevent_setwatermark(conn->bev, EV_READ, 0, UNREAD_MAX);
    evhtp_connection_set_hook(conn, evhtp_hook_on_connection_fini, (evhtp_hook)on_fini, v);
    fcntl(conn->sock, F_SETFD, FD_CLOEXEC);
    v->since = clock_mono();
    TAILQ_INSERT_TAIL(&a->waiting, v, link);
    a->n_visitors++;
    take_breath(a);
    return EVHTP_RES_OK;
}

/* No descriptor left: the connection stays in the backlog, and the socket stays readable. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    evhtp_t *htp = arg; /* the listener is evhtp's, and so is the callback's argument */
    struct admin *a = htp->arg;
    struct visitor *v = first_to_go(a);

    (void)listener;
    if (v == NULL || peace(v) > 0) {
        accept_later(a, NO_DESCRIPTOR_PAUSE_US);
        return;
    }
    drop(v);
    accept_later(a, 0);
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    struct admin *a = arg;
    (void)fd;
    (void)what;
    a->accepted = 0;
    evconnlistener_enable(a->htp->server);
}

/* ---- opening and closing ------------------------------------------------------------------ */

static void set_up(struct admin *a)
{
    evhtp_set_gencb(a->htp, on_request, a);
    evhtp_set_post_accept_cb(a->htp, on_accept, a);
    evhtp_set_timeouts(a->htp, &timeout, &timeout);
    evhtp_set_max_keepalive_requests(a->htp, REQUESTS_MAX);
    evhtp_disable_flag(a->htp, EVHTP_FLAG_ENABLE_100_CONT); /* requests with a body are refused */
}

struct admin *admin_new(struct event_base *base, const struct address *listen,
                        const struct admin_source *source, char *problem, size_t size)
{
    struct admin *a = calloc(1, sizeof(*a));
    CHECK(a != NULL);
    a->source = *source;
    a->at = *listen;
    TAILQ_INIT(&a->waiting);
    TAILQ_INIT(&a->responding);
    a->htp = evhtp_new(base, a);
    a->accept_again = evtimer_new(base, on_accept_again, a);
    CHECK(a->htp != NULL && a->accept_again != NULL);
    set_up(a);
    a->fd = socket_bind(listen);
    if (a->fd < 0 || evhtp_accept_socket(a->htp, a->fd, BACKLOG) != 0) {
        snprintf(problem, size, "cannot open the admin port on %s: %s", listen->text,
                 strerror(errno));
        admin_free(a);
        return NULL;
    }
    evconnlistener_set_error_cb(a->htp->server, on_accept_error);
    socket_text(a->fd, listen, a->text);
    return a;
}

/* Once evhtp has a listener, the listener owns the descriptor. */
static void close_port(struct admin *a)
{
    if (a->fd < 0)
        return;
    socket_unlink(&a->at);
    if (a->htp->server != NULL)
        evhtp_unbind_socket(a->htp);
    else
        close(a->fd);
}

void admin_free(struct admin *a)
{
    if (a == NULL)
        return;
    for (struct visitor *v; (v = first_to_go(a)) != NULL;)
        drop(v);
    close_port(a);
    event_free(a->accept_again);
    evhtp_free(a->htp);
    free(a);
}

const char *admin_text(const struct admin *a)
{
    return a->text;
}
