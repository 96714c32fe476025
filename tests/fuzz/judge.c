/* See judge.h. */
#include "tests/fuzz/judge.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/check.h"
#include "proxy/http/parse.h"
#include "tests/fuzz/strict_reader.h"
#include "tests/world/peers.h"

#define EXCHANGES_MAX 512
#define UNSEEN_US     10000 /* PEEK_AFTER_US of exchange.c */
#define MESSAGES_MAX  256
#define INTERIMS_MAX  60

struct judge_rules judge_rules;

/* A request whose head the app has received, in order of arrival. */
static struct exchange {
    size_t app, client;
    size_t request_at, response_at; /* offsets into what the app has received, and sent */
    size_t client_got;              /* when the request was dispatched */
} exchanges[EXCHANGES_MAX];
static size_t n_exchanges;

static NORETURN void broken(const char *law, struct span about)
{
    fprintf(stderr, "a law is broken: %s\n%.*s\n", law, SPAN_PRINTF(about));
    abort();
}

static struct span span_from(const struct strbuf *sb, size_t at)
{
    return (struct span){strbuf_cstr(sb) + at, sb->len - at};
}

static bool has_ended(const struct peer *p)
{
    return p->fd < 0 || p->half_closed;
}

void judge_begin(void)
{
    n_exchanges = 0;
    judge_rules = (struct judge_rules){0};
}

/* ---- which client ---- */

/* Each client has an address of its own, which weir appends to X-Forwarded-For. */
static size_t client_of(const struct strict_message *m)
{
    const struct strict_field *f = strict_find(m, "x-forwarded-for");
    static const struct span network = {"10.0.0.", 7};
    unsigned number = 0;

    if (f == NULL)
        broken("a request without X-Forwarded-For", m->target);
    size_t at = f->value.len;
    while (at > 0 && f->value.at[at - 1] != ',' && f->value.at[at - 1] != ' ')
        at--;
    struct span address = {f->value.at + at, f->value.len - at};
    if (address.len > network.len && memcmp(address.at, network.at, network.len) == 0) {
        for (size_t i = network.len; i < address.len && number < 1000; i++)
            number = number * 10 + (unsigned)(address.at[i] - '0');
    }
    if (number >= 1 && number <= peers.n_clients)
        return number - 1;
    broken("a request from nobody", f->value);
}

/* ---- the app, so far ---- */

/* Nothing was sent to the client since its last request was dispatched, so this is that one
 * again. */
static bool is_replay(size_t client)
{
    for (size_t i = n_exchanges; i-- > 0;) {
        if (exchanges[i].client == client)
            return exchanges[i].client_got == peers.clients[client].got.len;
    }
    return false;
}

static bool begins(struct span s, const char *lower)
{
    struct span start = span_of(lower);
    return s.len >= start.len && span_equal_nocase((struct span){s.at, start.len}, start);
}

static bool is_event_stream(const struct strict_message *m)
{
    const struct strict_field *type = strict_find(m, "content-type");
    return type != NULL && begins(type->value, "text/event-stream");
}

static void dispatched(struct peer_app *a, size_t client, size_t request_at, size_t response_at)
{
    const struct peer *p = &peers.clients[client];
    /* weir checks the client before each replay. */
    bool unseen = p->one_edge && peers.now - p->left < UNSEEN_US && !is_replay(client);

    CHECK(n_exchanges < EXCHANGES_MAX);
    exchanges[n_exchanges++] = (struct exchange){.app = (size_t)(a - peers.apps),
                                                 .client = client,
                                                 .request_at = request_at,
                                                 .response_at = response_at,
                                                 .client_got = p->got.len};
    a->client = client;
    if (p->settled && !unseen && !a->peer.ever_paused && !judge_rules.half_close)
        broken("a request was dispatched whose client had left",
               span_from(&a->peer.got, request_at));
}

/* The responses to one request: interim ones, and the final one. True: it is complete. */
static bool read_response(struct peer_app *a, struct span asked, size_t *at)
{
    for (;;) {
        struct span rest = span_from(&a->peer.sent, *at);
        struct strict_message m;
        a->unread = rest.len;
        if (rest.len == 0)
            return false;
        strict_begin(&m);
        enum strict_status st = strict_read_response(rest, asked, has_ended(&a->peer), &m);
        a->in_events = m.head_whole && is_event_stream(&m);
        strict_fini(&m);
        a->bad = a->bad || st == STRICT_BAD;
        a->in_body = m.head_whole && m.status >= 200;
        a->in_chunks = a->in_body && m.chunked;
        a->until_end = a->in_body && m.until_end;
        a->opaque = a->opaque || (m.head_whole && m.status == 101);
        if (st != STRICT_WHOLE || a->opaque)
            return false;
        *at += m.used;
        if (m.status >= 200)
            return true;
        a->interims++;
    }
}

static void walk(struct peer_app *a)
{
    size_t got = 0, sent = 0;
    const size_t complete = a->complete; /* as of the last call */

    a->in_body = a->in_chunks = a->until_end = a->upgrade = false;
    a->started = a->complete = a->responded = a->interims = a->unread = 0;
    while (got < a->peer.got.len && !a->opaque) {
        struct span rest = span_from(&a->peer.got, got);
        struct strict_message m;
        strict_begin(&m);
        enum strict_status st = strict_read_request(rest, &m);
        if (st == STRICT_BAD)
            broken(m.why, rest);
        a->started++;
        a->upgrade = m.head_whole && strict_find(&m, "upgrade") != NULL;
        if (m.head_whole && a->begun < a->started) {
            a->begun = a->started;
            dispatched(a, client_of(&m), got, sent);
        }
        bool responded = read_response(a, m.method, &sent);
        a->responded += responded;
        a->complete += st == STRICT_WHOLE;
        if (a->complete > complete)
            a->asked = peers.now;
        got += m.used;
        strict_fini(&m);
        if (st != STRICT_WHOLE)
            return;
        if (!responded && !a->opaque && got < a->peer.got.len)
            broken("the app was asked before it had answered", span_from(&a->peer.got, got));
    }
}

/* weir may refuse more than the strict reader does, and earlier: before a line has ended. */
static bool is_refused(const struct peer_app *a)
{
    static struct http_head head;
    const struct http_limits limits = {.max_head = 49152, .max_fields = HTTP_FIELDS_MAX};
    struct span response = span_from(&a->peer.sent, a->peer.sent.len - a->unread);
    struct http_parser p = {0};
    struct http_problem problem;

    return http_parse_response(&p, response.at, response.len, &limits, &head, &problem) ==
           HTTP_PARSE_BAD;
}

/* on_client_abort "auto": the client has left an unanswered upgrade, or a stream some time ago. */
static bool is_left_alone(const struct peer_app *a)
{
    const struct peer *client = &peers.clients[a->client];

    if (!judge_rules.abort_hurries || client->left == 0)
        return false;
    if (a->upgrade && !a->in_body)
        return true;
    return (a->in_chunks || a->until_end) &&
           peers.now - client->left >= judge_rules.orphan_patience;
}

/* The slot is held until the app's last byte: there must be a reason to close the app's connection
 * while it works on a request. */
static void judge_end(struct peer_app *a)
{
    const struct peer *client = &peers.clients[a->client];

    a->end_judged = true;
    if (a->complete < a->started || a->started == a->responded || a->bad || a->opaque ||
        has_ended(&a->peer))
        return;
    if (judge_rules.cut || a->interims > INTERIMS_MAX || a->peer.ever_paused)
        return;
    if (a->in_events && judge_rules.late)
        return;
    if (a->unread > 0 && (is_refused(a) || a->in_chunks))
        return;
    if ((judge_rules.abort_closes && client->left != 0) || is_left_alone(a))
        return;
    /* A response begins when its head is complete. */
    if (peers.now - (a->in_body ? a->peer.moved : a->asked) >= judge_rules.patience)
        return;
    if (client->left != 0 && peers.now - client->left >= judge_rules.patience)
        return;
    broken("the app's connection was closed while it worked", span_from(&a->peer.got, 0));
}

void judge_apps(void)
{
    for (size_t i = 0; i < peers.n_apps; i++) {
        struct peer_app *a = &peers.apps[i];
        if (a->seen_got != a->peer.got.len || a->seen_sent != a->peer.sent.len)
            walk(a);
        a->seen_got = a->peer.got.len;
        a->seen_sent = a->peer.sent.len;
        if (a->peer.ended && !a->end_judged)
            judge_end(a);
    }
}

size_t judge_inside(void)
{
    size_t n = 0;

    for (size_t i = 0; i < peers.n_apps; i++) {
        const struct peer_app *a = &peers.apps[i];
        bool works = a->started > a->responded || a->opaque;
        n += works && !a->bad && !has_ended(&a->peer) && !peers_is_over(&a->peer);
    }
    return n;
}

/* ---- the message on both sides ---- */

/* Fields that weir has with each peer separately, or rewrites; all others are forwarded. */
static bool is_hop_by_hop(struct span name)
{
    static const char *const own[] = {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "keep-alive",
        "te",
        "upgrade",
        "via",
        "trailer",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "forwarded",
        "x-request-id",
        "x-request-start",
        "expect",
        "max-forwards",
        "weir-reason",
        "server-timing",
    };

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (span_equal_nocase(name, span_of(own[i])))
            return true;
    }
    return false;
}

/* Named by Connection, meant for a proxy, from an untrusted client, or mistakable for another
 * field. */
static bool may_be_left_out(const struct strict_message *m, const struct strict_field *f)
{
    return is_hop_by_hop(f->name) || begins(f->name, "proxy") || begins(f->name, "x-forwarded-") ||
           begins(f->name, "x-real-ip") || begins(f->name, "daphne-root-path") ||
           memchr(f->name.at, '_', f->name.len) != NULL || strict_lists(m, "connection", f->name);
}

/* weir adds a Date to a final response that has none (RFC 9110 section 6.6.1). */
static bool is_added(const struct strict_message *in, const struct strict_field *f)
{
    return in->status >= 200 && span_equal(f->name, SPAN("Date")) &&
           strict_find(in, "date") == NULL;
}

/* All fields of `out` are from `in`, in order, and none is missing. */
static bool same_fields(const struct strict_message *in, const struct strict_message *out)
{
    size_t i = 0;

    for (size_t o = 0; o < out->n_fields; o++) {
        const struct strict_field *f = &out->fields[o];
        if (is_hop_by_hop(f->name) || is_added(in, f))
            continue;
        while (i < in->n_fields && (!span_equal(in->fields[i].name, f->name) ||
                                    !span_equal(in->fields[i].value, f->value))) {
            if (!may_be_left_out(in, &in->fields[i]))
                return false;
            i++;
        }
        if (i++ == in->n_fields)
            return false;
    }
    for (; i < in->n_fields; i++) {
        if (!may_be_left_out(in, &in->fields[i]))
            return false;
    }
    return true;
}

static bool is_beginning(const struct strbuf *part, const struct strbuf *all)
{
    return part->len <= all->len && (part->len == 0 || memcmp(part->at, all->at, part->len) == 0);
}

/* The content so far is a prefix of the content received, and is complete only if that was. */
static bool same_content(const struct strict_message *in, bool in_whole,
                         const struct strict_message *out, bool out_whole)
{
    if (!is_beginning(&out->content, &in->content))
        return false;
    return !out_whole || (in_whole && in->content.len == out->content.len);
}

/* The authority of an absolute target, and what follows. */
static bool split_target(struct span target, struct span *authority, struct span *rest)
{
    size_t at = begins(target, "http://") ? 7 : begins(target, "https://") ? 8 : 0, end;

    if (at == 0)
        return false;
    for (end = at; end < target.len && target.at[end] != '/' && target.at[end] != '?';)
        end++;
    *authority = (struct span){target.at + at, end - at};
    *rest = (struct span){target.at + end, target.len - end};
    return true;
}

static bool same_target(const struct strict_message *in, const struct strict_message *out)
{
    const struct strict_field *asked = strict_find(in, "host"), *told = strict_find(out, "host");
    struct span authority, rest;

    if (told == NULL)
        return false;
    if (!split_target(in->target, &authority, &rest))
        return span_equal(in->target, out->target) &&
               span_equal(told->value, asked != NULL ? asked->value : SPAN("localhost"));
    if (!span_equal(told->value, authority))
        return false;
    if (rest.len == 0)
        return span_equal(out->target,
                          span_equal(in->method, SPAN("OPTIONS")) ? SPAN("*") : SPAN("/"));
    if (rest.at[0] != '?')
        return span_equal(out->target, rest);
    return out->target.len == rest.len + 1 && out->target.at[0] == '/' &&
           memcmp(out->target.at + 1, rest.at, rest.len) == 0;
}

struct read_message {
    struct strict_message m;
    enum strict_status status;
    size_t begin, end; /* in the bytes that it was read from */
};

/* The app receives no expectation, or the existing one in its usual spelling. */
static bool expects_plainly(const struct strict_message *out)
{
    size_t n = 0;

    for (size_t i = 0; i < out->n_fields; i++) {
        if (!span_equal_nocase(out->fields[i].name, SPAN("expect")))
            continue;
        if (n++ > 0 || !span_equal(out->fields[i].value, SPAN("100-continue")))
            return false;
    }
    return true;
}

/* Fields that the app trusts because weir sets them: weir drops those of untrusted clients. */
static bool may_be_told(struct span name)
{
    static const char *const own[] = {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"};

    if (memchr(name.at, '_', name.len) != NULL)
        return false;
    if (judge_rules.believes)
        return true;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (span_equal_nocase(name, span_of(own[i])))
            return true;
    }
    return !begins(name, "x-forwarded-") && !span_equal_nocase(name, SPAN("forwarded")) &&
           !span_equal_nocase(name, SPAN("x-real-ip")) &&
           !span_equal_nocase(name, SPAN("daphne-root-path"));
}

static bool same_request(const struct read_message *in, const struct read_message *out)
{
    if (!in->m.head_whole || !span_equal(in->m.method, out->m.method))
        return false;
    for (size_t i = 0; i < out->m.n_fields; i++) {
        if (!may_be_told(out->m.fields[i].name))
            return false;
    }
    if (!same_target(&in->m, &out->m) || !same_fields(&in->m, &out->m) || out->m.minor != 1)
        return false;
    if (!expects_plainly(&out->m))
        return false;
    if (in->m.chunked != out->m.chunked || in->m.length != out->m.length)
        return false;
    return same_content(&in->m, in->status == STRICT_WHOLE, &out->m, out->status == STRICT_WHOLE) &&
           (out->status != STRICT_WHOLE || span_equal(in->m.trailers, out->m.trailers));
}

static bool same_response(const struct read_message *in, const struct read_message *out)
{
    const struct strict_field *told = strict_find(&in->m, "content-length");
    const struct strict_field *tell = strict_find(&out->m, "content-length");
    bool same_length = told == NULL || tell == NULL || in->m.length == out->m.length;
    bool ended = judge_rules.late && is_event_stream(&in->m);

    return in->m.head_whole && in->m.status == out->m.status && same_length &&
           same_fields(&in->m, &out->m) &&
           same_content(&in->m, in->status == STRICT_WHOLE, &out->m,
                        out->status == STRICT_WHOLE && !ended);
}

/* ---- one client ---- */

struct client {
    const struct peer *peer;
    size_t number;
    size_t n; /* messages that it has sent; the last may be invalid or incomplete */
    struct read_message *messages[MESSAGES_MAX];
    size_t n_exchanges;
    const struct exchange *exchanges[EXCHANGES_MAX];
};

static struct read_message *message_new(void)
{
    struct read_message *r = malloc(sizeof(*r));

    CHECK(r != NULL);
    strict_begin(&r->m);
    return r;
}

static void message_free(struct read_message *r)
{
    strict_fini(&r->m);
    free(r);
}

static void read_sent(struct client *cl)
{
    size_t at = 0;

    while (at < cl->peer->sent.len && cl->n < MESSAGES_MAX) {
        struct read_message *r = message_new();
        r->status = strict_read_request(span_from(&cl->peer->sent, at), &r->m);
        r->begin = at;
        cl->messages[cl->n++] = r;
        if (r->status != STRICT_WHOLE)
            return;
        at += r->m.used;
        r->end = at;
    }
}

static struct read_message *read_request_at(const struct exchange *e)
{
    struct read_message *r = message_new();

    r->status = strict_read_request(span_from(&peers.apps[e->app].peer.got, e->request_at), &r->m);
    r->end = e->request_at + r->m.used;
    return r;
}

/* The final response or the switch of protocols, as far as it was sent. */
static struct read_message *read_response_of(const struct exchange *e, struct span asked)
{
    const struct peer *p = &peers.apps[e->app].peer;

    for (size_t at = e->response_at;;) {
        struct read_message *r = message_new();
        bool in_order = has_ended(p) && !p->cut;
        r->status = strict_read_response(span_from(&p->sent, at), asked, in_order, &r->m);
        r->end = at + r->m.used;
        if (r->status != STRICT_WHOLE || r->m.status >= 200 || r->m.status == 101)
            return r;
        at += r->m.used;
        message_free(r);
    }
}

/* RFC 9110 section 9.2.2 */
static bool is_idempotent(struct span method)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (span_equal(method, span_of(methods[i])))
            return true;
    }
    return false;
}

/* The app's connection ended before the first byte of a response: the request may be replayed,
 * once. */
static bool may_come_again(const struct exchange *e, struct span method)
{
    const struct peer_app *a = &peers.apps[e->app];
    return is_idempotent(method) && a->peer.sent.len == e->response_at &&
           (has_ended(&a->peer) || a->peer.ended);
}

/* An app that had stopped reading receives requests later than they were sent, so the order in
 * which it received them proves nothing. */
static bool order_is_known(void)
{
    for (size_t i = 0; i < peers.n_apps; i++) {
        if (peers.apps[i].peer.ever_paused)
            return false;
    }
    return true;
}

/* Every request at the app was sent by the client, in order, and none appears twice. */
static void judge_requests(const struct client *cl)
{
    size_t next = 0;

    for (size_t i = 0; i < cl->n_exchanges; i++) {
        struct read_message *out = read_request_at(cl->exchanges[i]);
        bool again = next > 0 && may_come_again(cl->exchanges[i - 1], out->m.method);
        size_t at = again ? next - 1 : next;
        while (at < cl->n && !same_request(cl->messages[at], out))
            at++;
        if (at == cl->n)
            broken("the app received a request that its client had not sent so",
                   span_from(&peers.apps[cl->exchanges[i]->app].peer.got,
                             cl->exchanges[i]->request_at));
        if (!judge_rules.half_close &&
            cl->messages[at]->begin + cl->messages[at]->m.head_len > cl->peer->alive)
            broken("a request was dispatched that came with its client's end",
                   span_from(&cl->peer->sent, cl->messages[at]->begin));
        next = order_is_known() ? at + 1 : 0;
        message_free(out);
    }
}

/* Finds the app's response; requests before it got no response, or a local reply. */
static void judge_passed_on(const struct client *cl, const struct read_message *out, size_t *next)
{
    for (; *next < cl->n_exchanges; ++*next) {
        const struct exchange *e = cl->exchanges[*next];
        struct read_message *request = read_request_at(e);
        struct read_message *in = read_response_of(e, request->m.method);
        bool same = same_response(in, out);
        message_free(request);
        message_free(in);
        if (same) {
            *next = order_is_known() ? *next + 1 : 0;
            return;
        }
    }
    broken("a client received an answer that the app had not given so",
           span_from(&cl->peer->got, 0));
}

/* weir may refuse a method without knowing it: the reply to a HEAD may have a body. */
static bool is_refused_head(const struct read_message *r, struct span asked, struct span rest)
{
    const struct strict_field *length = strict_find(&r->m, "content-length");
    char text[32] = "";

    if (length == NULL || !span_equal(asked, SPAN("HEAD")))
        return false;
    snprintf(text, sizeof(text), "%zu", rest.len - r->m.used);
    return span_equal(length->value, span_of(text));
}

static void judge_same_bytes(const struct strbuf *in, size_t in_at, const struct strbuf *out,
                             size_t out_at)
{
    struct span all = span_from(in, in_at), part = span_from(out, out_at);

    if (part.len > all.len || (part.len > 0 && memcmp(all.at, part.at, part.len) != 0))
        broken("a tunnel passed on what was not sent", part);
}

/* What the client got from the app: at a drain's end, weir adds a Close frame of a WebSocket. */
static void judge_down(const struct strbuf *in, size_t in_at, const struct strbuf *out,
                       size_t out_at)
{
    static const char close[] = {'\x88', '\x02', '\x03', '\xe9'};
    struct strbuf part = {.at = out->at, .len = out->len};

    if (judge_rules.late && out->len >= out_at + sizeof(close) &&
        memcmp(out->at + out->len - sizeof(close), close, sizeof(close)) == 0)
        part.len -= sizeof(close);
    judge_same_bytes(in, in_at, &part, out_at);
}

/* The bytes after the upgrade request and after the 101 are passed to the other side unchanged. */
static void judge_tunnel(const struct client *cl, size_t asked, size_t switched)
{
    const struct exchange *e = cl->n_exchanges > 0 ? cl->exchanges[cl->n_exchanges - 1] : NULL;
    const struct peer *app = e != NULL ? &peers.apps[e->app].peer : NULL;

    if (asked >= cl->n || app == NULL)
        broken("a switch of protocols that nobody made", span_from(&cl->peer->got, 0));
    if (!order_is_known())
        return;
    struct read_message *request = read_request_at(e);
    struct read_message *response = read_response_of(e, request->m.method);
    if (response->m.status != 101 || response->status != STRICT_WHOLE)
        broken("the app did not switch protocols", span_from(&app->sent, e->response_at));
    judge_same_bytes(&cl->peer->sent, cl->messages[asked]->end, &app->got, request->end);
    judge_down(&app->sent, response->end, &cl->peer->got, switched);
    message_free(request);
    message_free(response);
}

struct responses {
    size_t n, next; /* complete final responses; the next exchange to compare */
    bool closing;   /* the last one announced a close, or was cut */
    bool opaque;
};

static void judge_final(const struct client *cl, const struct read_message *r, struct span rest,
                        struct responses *so_far)
{
    const struct read_message *asked = so_far->n < cl->n ? cl->messages[so_far->n] : NULL;

    if (asked == NULL)
        broken("an answer to nothing", rest);
    if (asked->m.head_whole && asked->m.minor == 0 && r->m.chunked)
        broken("a chunked answer to HTTP/1.0", rest);
    if (asked->m.head_whole && asked->m.minor == 1 && r->m.until_end)
        broken("an answer to HTTP/1.1 that nothing but the end frames", rest);
    bool own = strict_find(&r->m, "weir-reason") != NULL;
    if (!own)
        judge_passed_on(cl, r, &so_far->next);
    so_far->closing = strict_lists(&r->m, "connection", SPAN("close")) || r->m.until_end ||
                      r->status != STRICT_WHOLE;
    if (r->status == STRICT_WHOLE && so_far->closing && rest.len > r->m.used &&
        !(own && is_refused_head(r, asked->m.method, rest)))
        broken("more after the last answer", rest);
}

static struct responses judge_responses(const struct client *cl)
{
    const struct peer *p = cl->peer;
    struct responses so_far = {0};
    size_t at = 0;

    while (at < p->got.len && !so_far.closing && !so_far.opaque) {
        struct span rest = span_from(&p->got, at);
        struct span asked = so_far.n < cl->n ? cl->messages[so_far.n]->m.method : SPAN("");
        struct read_message *r = message_new();
        r->status = strict_read_response(rest, asked, p->ended && !p->was_reset, &r->m);
        if (r->status == STRICT_BAD)
            broken(r->m.why, rest);
        if (r->m.head_whole && r->m.status >= 200)
            judge_final(cl, r, rest, &so_far);
        so_far.closing = so_far.closing || r->status != STRICT_WHOLE;
        so_far.opaque = r->m.head_whole && r->m.status == 101;
        so_far.n += r->m.head_whole && r->m.status >= 200 && r->status == STRICT_WHOLE;
        at += r->m.used;
        message_free(r);
    }
    if (so_far.opaque)
        judge_tunnel(cl, so_far.n, at);
    return so_far;
}

/* A client that stays and reads gets a response to each request, or is told that there will be
 * none. */
static void judge_nothing_lost(const struct client *cl, const struct responses *responses)
{
    const struct peer *p = cl->peer;
    size_t whole = cl->n;

    if (p->fd < 0 || p->half_closed || p->ever_paused || judge_rules.cut || responses->opaque)
        return;
    while (whole > 0 && (cl->messages[whole - 1]->status != STRICT_WHOLE ||
                         cl->messages[whole - 1]->end > p->in_time))
        whole--;
    if (responses->n < whole && !responses->closing && !p->was_reset)
        broken("a request was never answered", span_from(&p->sent, 0));
}

static void judge_client(size_t number)
{
    static struct client cl;

    cl = (struct client){.peer = &peers.clients[number], .number = number};
    read_sent(&cl);
    for (size_t i = 0; i < n_exchanges; i++) {
        if (exchanges[i].client == number)
            cl.exchanges[cl.n_exchanges++] = &exchanges[i];
    }
    if (cl.n < MESSAGES_MAX) {
        judge_requests(&cl);
        struct responses responses = judge_responses(&cl);
        judge_nothing_lost(&cl, &responses);
    }
    while (cl.n > 0)
        message_free(cl.messages[--cl.n]);
}

void judge_messages(void)
{
    for (size_t i = 0; i < peers.n_clients; i++)
        judge_client(i);
}
