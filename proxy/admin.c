/*
 * The only file that uses libevhtp, and it shields libevhtp from clients. In version 1.2.18, a
 * target that arrives in two reads makes the parser read outside its buffer, pipelined requests get
 * stuck, an endless head is buffered without limit, and a head that it rejects closes the
 * connection silently. So each connection has a gate in front of evhtp's callbacks (a `struct
 * visitor`): bytes stay in the bufferevent until weir's own parser has found one complete, valid
 * head, the request is known to be allowed, and its body has arrived. Then evhtp is given a head
 * that was written here, and responds; the next request follows after the response has been sent.
 * All other requests are refused here, without reading their bodies.
 *
 *   WAITING ── whole request ──► RESPONDING ── response sent ──► WAITING, or closed by evhtp
 *      │                   ├── drain continues ──► HELD ── it has ended ──► CLOSING
 *      └── refused ──► CLOSING ── sent ──► closed
 *
 * At ADMIN_CONNECTIONS_MAX, the connection that has been WAITING longest is closed for a new one,
 * as among weir's clients (client.h). Connections are accepted a few at a time, so that their
 * requests are read before others take their places, and slowly enough for each client to send one.
 * Those that are HELD are not counted, are not closed for others, and have a bound of their own.
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

#include "common/log.h"
#include "common/socket.h"
#include "proxy/admin_access.h"
#include "proxy/admin_routes.h"
#include "proxy/client.h"
#include "proxy/http/parse.h"
#include "proxy/log_limit.h"
#include "proxy/number.h"
#include "proxy/option_value.h"
#include "proxy/options.h"

enum {
    BACKLOG = 4096, /* for a burst of connections that are closed as fast as they arrive */
    ACCEPT_AT_ONCE = 16,
    REQUESTS_MAX = 1000, /* on one connection */
    FIELDS_MAX = 64,
    HEAD_MAX = 8000,
    BODY_MAX = 64 * 1024,
    UNREAD_MAX = 16384, /* without a body */
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
    struct strbuf request;           /* the head for evhtp */
    const struct admin_route *route; /* of that request; NULL: no such page */
    struct admin_call call;
    struct strbuf accept, accept_encoding, if_none_match; /* its headers, each as one list */
    struct strbuf payload;                                /* its body */
    size_t body;         /* bytes of the body that must still arrive */
    struct event *until; /* HELD: the end of call.wait; NULL: not, or no longer */
    mono_us since;       /* start of its wait */
    bool busy, closing, responding, held;
};

TAILQ_HEAD(visitors, visitor);

struct admin {
    struct admin_source source;
    struct event_base *base;
    evhtp_t *htp;
    struct event *accept_again;
    struct visitors waiting; /* for a request, longest wait first */
    struct visitors responding;
    struct visitors held;
    unsigned n_visitors, n_held;
    unsigned accepted; /* in one go */
    struct config *config;
    struct log_limit log;
    struct address at;
    char text[SOCKET_TEXT];
    int fd;
};

/* ---- the responses ------------------------------------------------------------------------ */

static void add_header(evhtp_request_t *req, const char *name, const char *value)
{
    evhtp_header_t *header = evhtp_header_new(name, value, 1, 1);
    CHECK(header != NULL);
    evhtp_headers_add_header(req->headers_out, header);
}

static void add_file_headers(evhtp_request_t *req, const struct dashboard_file *file)
{
    add_header(req, "Content-Encoding", "gzip");
    add_header(req, "ETag", file->etag);
    add_header(req, "Content-Security-Policy", DASHBOARD_POLICY);
    add_header(req, "X-Content-Type-Options", "nosniff");
    add_header(req, "Referrer-Policy", "no-referrer");
}

/* The parts of a response to GET. */
static struct span content_of(const struct admin_reply *reply)
{
    if (reply->file != NULL)
        return (struct span){(const char *)reply->file->gzip, reply->file->len};
    return (struct span){reply->body.at, reply->body.len};
}

static void send_reply(evhtp_request_t *req, const struct admin_reply *reply)
{
    struct span content = content_of(reply);
    char length[24];

    snprintf(length, sizeof(length), "%zu", content.len);
    add_header(req, "Content-Type", reply->type);
    add_header(req, "Content-Length", length);
    add_header(req, "Cache-Control", reply->file != NULL ? "no-cache" : "no-store");
    if (reply->varies)
        add_header(req, "Vary", "Accept");
    if (reply->file != NULL)
        add_file_headers(req, reply->file);
    if (req->method != htp_method_HEAD && reply->status != 304)
        evbuffer_add(req->buffer_out, content.at, content.len);
    evhtp_send_reply(req, (evhtp_res)reply->status);
}

/* ---- the gate ----------------------------------------------------------------------------- */

static struct visitors *list_of(const struct visitor *v)
{
    if (v->held)
        return &v->admin->held;
    return v->responding ? &v->admin->responding : &v->admin->waiting;
}

/* Moves it to the end of its list: its wait, for a request or for the client to receive the
 * response, starts now. */
static void wait_anew(struct visitor *v)
{
    if (v->held)
        return;
    TAILQ_REMOVE(list_of(v), v, link);
    v->responding = v->conn->request != NULL;
    v->since = clock_mono();
    TAILQ_INSERT_TAIL(list_of(v), v, link);
}

static void visitor_free(struct visitor *v)
{
    strbuf_fini(&v->request);
    strbuf_fini(&v->accept);
    strbuf_fini(&v->accept_encoding);
    strbuf_fini(&v->if_none_match);
    strbuf_fini(&v->payload);
    free(v);
}

static void leave(struct visitor *v)
{
    v->busy = false;
    if (v->conn == NULL)
        visitor_free(v);
}

/* evhtp calls this before it frees the connection, whatever the reason. */
static evhtp_res on_fini(evhtp_connection_t *conn, void *arg)
{
    struct visitor *v = arg;
    CHECK(v->conn == conn);
    TAILQ_REMOVE(list_of(v), v, link);
    *(v->held ? &v->admin->n_held : &v->admin->n_visitors) -= 1;
    if (v->until != NULL)
        event_free(v->until);
    v->conn = NULL;
    if (!v->busy)
        visitor_free(v);
    return EVHTP_RES_OK;
}

static void drop(struct visitor *v)
{
    if (v->conn != NULL)
        evhtp_connection_free(v->conn); /* calls on_fini */
}

/* ---- those that wait for the end of a drain ------------------------------------------------ */

/* evhtp_request_set_keepalive() of version 1.2.18 cannot clear the flag. */
static void close_after_response(evhtp_request_t *req)
{
    req->flags &= (uint16_t)~EVHTP_REQ_FLAG_KEEPALIVE;
    add_header(req, "Connection", "close");
}

/* `v` may have ended afterwards. */
static void answer_held(struct visitor *v, bool cancelled)
{
    struct admin_reply reply = {0};

    event_free(v->until);
    v->until = NULL;
    admin_route_drain_state(&v->admin->source, cancelled, &reply);
    bufferevent_set_timeouts(v->conn->bev, &timeout, &timeout);
    close_after_response(v->conn->request);
    send_reply(v->conn->request, &reply);
    strbuf_fini(&reply.body);
}

static void answer_all_held(struct admin *a, bool cancelled)
{
    for (struct visitor *v = TAILQ_FIRST(&a->held), *next; v != NULL; v = next) {
        next = TAILQ_NEXT(v, link);
        if (v->until != NULL)
            answer_held(v, cancelled);
    }
}

static void on_waited(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    answer_held(arg, false);
}

/* The client is silent while it waits; if it disconnects, the visitor ends. */
static void hold(struct visitor *v)
{
    struct admin *a = v->admin;
    const struct timeval tv = {.tv_sec = v->call.wait / 1000000, .tv_usec = v->call.wait % 1000000};

    TAILQ_REMOVE(list_of(v), v, link);
    v->held = true;
    a->n_visitors--;
    a->n_held++;
    TAILQ_INSERT_TAIL(list_of(v), v, link);
    v->until = evtimer_new(a->base, on_waited, v);
    CHECK(v->until != NULL && evtimer_add(v->until, &tv) == 0);
    bufferevent_set_timeouts(v->conn->bev, NULL, NULL);
}

void admin_drained(struct admin *a)
{
    if (a != NULL)
        answer_all_held(a, false);
}

/* evhtp has read the head that it was given. */
static void on_request(evhtp_request_t *req, void *arg)
{
    struct admin *a = arg;
    struct admin_reply reply = {0};
    void *visitor;

    bufferevent_getcb(req->conn->bev, NULL, NULL, NULL, &visitor);
    struct visitor *v = visitor;
    admin_route_respond(v->route, &a->source, &v->call, &reply);
    if (reply.cancelled)
        answer_all_held(a, true);
    if (reply.hold && a->n_held < ADMIN_HELD_MAX)
        hold(v);
    else
        send_reply(req, &reply);
    strbuf_fini(&reply.body);
}

/* ---- refusals ----------------------------------------------------------------------------- */

static const char *phrase_of(unsigned status)
{
    switch (status) {
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 411:
        return "Length Required";
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
    strbuf_addf(&out,
                "HTTP/1.1 %u %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                "Content-Length: %zu\r\n",
                status, phrase_of(status), strlen(reason) + 1);
    if (status == 405) {
        strbuf_adds(&out, "Allow: ");
        admin_route_write_methods(v->route, &out);
        strbuf_adds(&out, "\r\n");
    }
    strbuf_addf(&out, "Cache-Control: no-store\r\nConnection: close\r\n\r\n%s\n", reason);
    v->closing = true;
    bufferevent_write(v->conn->bev, out.at, out.len);
    strbuf_fini(&out);
}

/* ---- rights ------------------------------------------------------------------------------- */

static void look_at_ends(const struct visitor *v, struct admin_ends *ends)
{
    socklen_t peer = sizeof(ends->peer), own = sizeof(ends->own);

    memset(ends, 0, sizeof(*ends)); /* AF_UNSPEC */
    if (getpeername(v->conn->sock, (struct sockaddr *)&ends->peer, &peer) < 0 ||
        getsockname(v->conn->sock, (struct sockaddr *)&ends->own, &own) < 0)
        memset(ends, 0, sizeof(*ends));
}

/* Logs a change that was accepted, if `refusal` is NULL, or refused. */
static void log_change(struct visitor *v, const struct http_head *head, const char *refusal,
                       const struct admin_ends *ends)
{
    static const char refused[] = "refused";
    const char *kind = refusal == NULL ? v->route->path : refused;
    struct admin *a = v->admin;
    struct strbuf peer = {0};
    char more[LOG_LIMIT_MORE];

    if (log_limit_allows(&a->log, clock_mono(), kind, more)) {
        admin_access_write_peer(ends, &peer);
        log_line(refusal == NULL ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
                 "admin port: %.*s %s from %s%s%s%s", SPAN_PRINTF(head->method_text),
                 v->route->path, strbuf_cstr(&peer),
                 refusal == NULL ? "" : " was refused: ", refusal == NULL ? "" : refusal, more);
    }
    strbuf_fini(&peer);
}

/* Of a page and a method that change something. False: it was refused. */
static bool may_change(struct visitor *v, const struct http_head *head)
{
    const struct config *cf = v->admin->config;
    const struct admin_rules rules = {.token = cf->admin.token, .allow = &cf->admin.allow};
    unsigned method = ADMIN_METHOD(head->method), status = 403;
    struct admin_ends ends;
    const char *refusal;

    look_at_ends(v, &ends);
    if ((v->route->listed & method) != 0 && !admin_access_listed(&rules, &ends)) {
        status = 405;
        refusal = "this method is accepted only from the addresses in admin.allow";
    } else if (head->method == HTTP_PATCH && !cf->admin.writable) {
        refusal = "the configuration cannot be changed: admin.writable is false";
    } else {
        refusal = admin_access_refusal(&rules, &ends, head);
    }
    log_change(v, head, refusal, &ends);
    if (refusal != NULL)
        refuse(v, status, refusal);
    return refusal == NULL;
}

/* ---- requests ----------------------------------------------------------------------------- */

static bool body_fits(struct visitor *v, const struct http_head *head)
{
    if (head->chunked)
        refuse(v, 411, "a body must have a Content-Length");
    else if (head->content_length > BODY_MAX)
        refuse(v, 413, "the body is larger than 64 KiB");
    else
        return true;
    return false;
}

/* If the parameter has that name and "=", `value` is what follows. */
static bool is_parameter(struct span parameter, struct span name, struct span *value)
{
    if (parameter.len < name.len || memcmp(parameter.at, name.at, name.len) != 0)
        return false;
    *value = (struct span){parameter.at + name.len, parameter.len - name.len};
    return true;
}

static const char *read_since(struct span value, struct admin_call *call)
{
    uint64_t since;

    if (value.len == 0 || !number_take(&value, UINT32_MAX, &since) || value.len > 0)
        return "since expects a time in whole seconds since 1970";
    call->since = (int64_t)since;
    return NULL;
}

/* NULL, or why it is refused. Parameters with other names are ignored. */
static const char *read_parameter(struct span parameter, bool reads, struct admin_call *call)
{
    struct span value;

    if (reads)
        return is_parameter(parameter, SPAN("since="), &value) ? read_since(value, call) : NULL;
    if (is_parameter(parameter, SPAN("wait="), &value) && !option_read_duration(value, &call->wait))
        return "wait expects a duration with a unit, such as 25s, of at most 1h";
    if (is_parameter(parameter, SPAN("ready="), &value)) {
        call->keep_ready = span_equal(value, SPAN("keep"));
        return call->keep_ready ? NULL : "ready expects \"keep\"";
    }
    return NULL;
}

/* The parameters in the query, in v->call. False: one was refused. */
static bool read_query(struct visitor *v, struct span path, bool reads)
{
    const char *mark = memchr(path.at, '?', path.len), *reason = NULL;
    struct span rest = {path.at + path.len, 0};

    v->call.wait = 0;
    v->call.keep_ready = false;
    v->call.since = 0;
    if (mark != NULL)
        rest = (struct span){mark + 1, path.len - (size_t)(mark - path.at) - 1};
    while (rest.len > 0 && reason == NULL) {
        const char *end = memchr(rest.at, '&', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.at);
        reason = read_parameter((struct span){rest.at, len}, reads, &v->call);
        len += end != NULL;
        rest = (struct span){rest.at + len, rest.len - len};
    }
    if (reason != NULL)
        refuse(v, 400, reason);
    return reason == NULL;
}

/* False: it was refused. */
static bool check_request(struct visitor *v, const struct http_head *head)
{
    unsigned method = ADMIN_METHOD(head->method);
    bool reads = v->route == NULL || !admin_route_changes(v->route, head->method);

    if (v->route == NULL && (method & ADMIN_READ) == 0)
        refuse(v, 404, "no such page; GET / lists the pages");
    else if (v->route != NULL && ((v->route->methods | v->route->listed) & method) == 0)
        refuse(v, 405, "this page does not support that method");
    else if (reads && (head->chunked || head->content_length > 0))
        refuse(v, 413, "a request that only reads cannot have a body");
    else if (reads)
        return !admin_route_has_samples(v->route) || read_query(v, head->path, true);
    else
        return may_change(v, head) && body_fits(v, head) && read_query(v, head->path, false);
    return false;
}

/* All that evhtp needs to know: the parser has read the rest. */
static void write_request(struct visitor *v, const struct http_head *head)
{
    strbuf_clear(&v->request);
    strbuf_addf(&v->request, "%s / HTTP/1.%u\r\nConnection: %s\r\n\r\n",
                head->method == HTTP_HEAD ? "HEAD" : "GET", head->minor,
                http_head_persistent(head) ? "keep-alive" : "close");
}

/* evhtp consumes the whole input, so the bytes that follow the request are moved out meanwhile. */
static void pass_on(struct visitor *v)
{
    struct bufferevent *bev = v->conn->bev;
    struct evbuffer *input = bufferevent_get_input(bev), *rest = evbuffer_new();

    CHECK(rest != NULL);
    evbuffer_add_buffer(rest, input);
    evbuffer_prepend(input, v->request.at, v->request.len); /* libevent forbids others to append */
    evbuffer_pullup(input, -1);
    v->evhtp_read(bev, v->conn);
    if (v->conn != NULL) {
        evbuffer_prepend_buffer(input, rest);
        wait_anew(v);
    }
    evbuffer_free(rest);
}

static struct span without_query(struct span path)
{
    const char *mark = path.len == 0 ? NULL : memchr(path.at, '?', path.len);
    return mark == NULL ? path : (struct span){path.at, (size_t)(mark - path.at)};
}

/* The head has been read. */
static void await_body(struct visitor *v, size_t len, bool client_waits)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

    v->body = len;
    bufferevent_setwatermark(v->conn->bev, EV_READ, 0, UNREAD_MAX + len);
    if (client_waits && evbuffer_get_length(bufferevent_get_input(v->conn->bev)) < len)
        bufferevent_write(v->conn->bev, go_on, sizeof(go_on) - 1);
}

/* Several header fields of a name are one list (RFC 9110 section 5.3). */
static struct span join_fields(const struct http_head *head, struct span name, struct strbuf *out)
{
    strbuf_clear(out);
    for (unsigned i = 0; i < head->n_fields; i++) {
        if (!span_equal_nocase(head->fields[i].name, name))
            continue;
        if (out->len > 0)
            strbuf_adds(out, ", ");
        strbuf_add_span(out, head->fields[i].value);
    }
    return (struct span){strbuf_cstr(out), out->len};
}

static bool has_field(const struct http_head *head, struct span name)
{
    for (unsigned i = 0; i < head->n_fields; i++) {
        if (span_equal_nocase(head->fields[i].name, name))
            return true;
    }
    return false;
}

/* The headers of the client that the pages use. */
static void keep_wishes(struct visitor *v, const struct http_head *head)
{
    static const struct span encoding = {"Accept-Encoding", sizeof("Accept-Encoding") - 1};
    struct admin_call *call = &v->call;

    call->accept = join_fields(head, SPAN("Accept"), &v->accept);
    call->accept_encoding = join_fields(head, encoding, &v->accept_encoding);
    call->has_accept_encoding = has_field(head, encoding);
    call->if_none_match = join_fields(head, SPAN("If-None-Match"), &v->if_none_match);
    call->dashboard = v->admin->config->admin.dashboard;
}

static void take_head(struct visitor *v, const char *start, const struct http_head *head)
{
    size_t end = (size_t)(head->whole.at - start) + head->whole.len;

    v->route = admin_route_find(without_query(head->path));
    v->call.method = head->method;
    if (!check_request(v, head))
        return;
    keep_wishes(v, head);
    write_request(v, head);
    evbuffer_drain(bufferevent_get_input(v->conn->bev), end); /* the spans in `head` end here */
    v->call.body = SPAN("");
    if (head->content_length > 0)
        await_body(v, (size_t)head->content_length, head->expect_continue);
    else
        pass_on(v);
}

/* True: the request was processed. */
static bool look_for_body(struct visitor *v)
{
    struct evbuffer *input = bufferevent_get_input(v->conn->bev);

    if (evbuffer_get_length(input) < v->body)
        return false;
    strbuf_clear(&v->payload);
    strbuf_add(&v->payload, evbuffer_pullup(input, (ev_ssize_t)v->body), v->body);
    v->call.body = (struct span){v->payload.at, v->payload.len};
    evbuffer_drain(input, v->body);
    v->body = 0;
    bufferevent_setwatermark(v->conn->bev, EV_READ, 0, UNREAD_MAX);
    pass_on(v);
    strbuf_fini(&v->payload); /* an idle connection keeps none */
    return true;
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
        v->route = NULL;
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
        more = v->body > 0 ? look_for_body(v) : look_for_head(v);
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
    if (a->n_visitors >= ADMIN_CONNECTIONS_MAX)
        drop(first_to_go(a));
}

/* libevent would continue to accept as long as connections are waiting, and close dropped ones only
 * afterwards. */
static void take_breath(struct admin *a)
{
    mono_us wait = a->n_visitors >= ADMIN_CONNECTIONS_MAX ? peace(first_to_go(a)) : 0;

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
    evhtp_disable_flag(a->htp, EVHTP_FLAG_ENABLE_100_CONT); /* the gate does it */
}

struct admin *admin_new(struct event_base *base, struct config *config,
                        const struct admin_source *source, char *problem, size_t size)
{
    struct admin *a = calloc(1, sizeof(*a));
    const struct address *listen = &config->admin.listen;
    CHECK(a != NULL);
    a->source = *source;
    a->config = config_get(config);
    a->at = *listen;
    TAILQ_INIT(&a->waiting);
    TAILQ_INIT(&a->responding);
    TAILQ_INIT(&a->held);
    a->base = base;
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

void admin_configure(struct admin *a, struct config *config)
{
    struct config *before = a->config;

    a->config = config_get(config);
    config_put(before);
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
    for (struct visitor *v; (v = first_to_go(a)) != NULL || (v = TAILQ_FIRST(&a->held)) != NULL;)
        drop(v);
    close_port(a);
    event_free(a->accept_again);
    evhtp_free(a->htp);
    config_put(a->config);
    free(a);
}

const char *admin_text(const struct admin *a)
{
    return a->text;
}
