/*
 * Writes the head to forward. Pure; any thread.
 *
 * The fields of a head are contiguous, so those that stay are copied in runs: a writer remembers
 * where the current run began, and copies it when a line must be left out.
 */
#include "proxy/http/rewrite.h"

#include "proxy/http/chars.h"

#define BIT(name) HTTP_FIELD_BIT(HTTP_FIELD_##name)

/* Specific to the connection they arrived on (RFC 9110 section 7.6.1), and names that read as
 * others. */
#define HOP_BY_HOP                                                                                 \
    (BIT(CLOSE) | BIT(CONNECTION) | BIT(KEEP_ALIVE) | BIT(PROXY_AUTHENTICATE) |                    \
     BIT(PROXY_AUTHORIZATION) | BIT(PROXY_OTHER) | BIT(TE) | BIT(UPGRADE) | BIT(ALIAS))
#define FORWARDING                                                                                 \
    (BIT(X_FORWARDED_FOR) | BIT(X_FORWARDED_HOST) | BIT(X_FORWARDED_PROTO) | BIT(FORWARDED) |      \
     BIT(FORWARDED_OTHER) | BIT(FORWARDED_SCHEME))
#define FRAMING (BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING))

/* Room for what is added in addition to names and values of variable length: less than 300
 * bytes. */
#define FIXED_ROOM 384

struct writer {
    char *at;
    const char *run; /* start of the lines not yet copied */
};

static void put(struct writer *w, struct span s)
{
    if (s.len > 0)
        memcpy(w->at, s.at, s.len);
    w->at += s.len;
}

#define PUT(w, literal) put(w, SPAN(literal))

/* Writes two digits at a time. */
static void put_number(struct writer *w, uint64_t n)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char digits[20];
    size_t i = sizeof digits;
    for (; n >= 10; n /= 100) {
        i -= 2;
        memcpy(digits + i, pairs + n % 100 * 2, 2);
    }
    if (n > 0 || i == sizeof digits)
        digits[--i] = (char)('0' + n);
    put(w, (struct span){digits + i, sizeof digits - i});
}

static void put_field(struct writer *w, struct span name, struct span value)
{
    put(w, name);
    PUT(w, ": ");
    put(w, value);
    PUT(w, "\r\n");
}

static void copy_run(struct writer *w, const char *until)
{
    put(w, (struct span){w->run, (size_t)(until - w->run)});
}

/* Copies the lines before the field, and continues after it. */
static void leave_out(struct writer *w, const struct http_field *f)
{
    copy_run(w, f->line.at);
    w->run = f->line.at + f->line.len;
}

/* ---- which fields stay ---- */

static bool begins_with(struct span s, struct span lower)
{
    return s.len >= lower.len && span_equal_nocase((struct span){s.at, lower.len}, lower);
}

/*
 * Fields that Connection cannot remove, in addition to those that weir handles: those of the
 * message as a whole, and those by which an app identifies the client. A client that names them
 * wants the app to see another request than weir does.
 */
static bool is_protected(struct span name)
{
    static const char *const known[] = {
        "authorization", "cookie",      "set-cookie", "www-authenticate",
        "cache-control", "etag",        "location",   "origin",
        "range",         "referer",     "vary",       "user-agent",
        "x-csrf-token",  "traceparent", "tracestate",
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (span_equal_nocase(name, span_of(known[i])))
            return true;
    }
    return begins_with(name, SPAN("content-"));
}

static bool connection_names(const struct http_head *head, struct span name)
{
    for (unsigned i = 0; i < head->n_fields; i++) {
        const struct http_field *f = &head->fields[i];
        if (f->id == HTTP_FIELD_CONNECTION && http_list_has(f->value, name))
            return true;
    }
    return false;
}

static bool is_named_away(const struct http_head *head, const struct http_field *f)
{
    return head->names_fields && connection_names(head, f->name) && !is_protected(f->name);
}

/* ---- fields that are rewritten in place ---- */

/* `name: value` CRLF with one space: all parsers read that the same way. */
static bool is_plain_line(const struct http_field *f)
{
    return f->line.len == f->name.len + f->value.len + 4 && f->line.at[f->name.len + 1] == ' ';
}

static void respell_length(struct writer *w, const struct http_head *head,
                           const struct http_field *f)
{
    if (is_plain_line(f) && (f->value.at[0] != '0' || f->value.len == 1))
        return;
    leave_out(w, f);
    PUT(w, "Content-Length: ");
    put_number(w, head->content_length);
    PUT(w, "\r\n");
}

static void respell_coding(struct writer *w, const struct http_field *f)
{
    if (is_plain_line(f) && span_equal(f->value, SPAN("chunked")))
        return;
    leave_out(w, f);
    PUT(w, "Transfer-Encoding: chunked\r\n");
}

/* The lower of 255 and the received number minus one (RFC 9110 section 7.6.2). */
static unsigned one_hop_less(struct span value)
{
    unsigned n = 0;
    for (size_t i = 0; i < value.len && n < 1000; i++)
        n = n * 10 + (unsigned)(value.at[i] - '0');
    if (n == 0)
        return 0;
    return n > 256 ? 255 : n - 1;
}

static void count_down(struct writer *w, const struct http_head *head, const struct http_field *f)
{
    if (head->method != HTTP_TRACE && head->method != HTTP_OPTIONS)
        return;
    for (size_t i = 0; i < f->value.len; i++) {
        if (!http_char_is(f->value.at[i], HTTP_CHAR_DIGIT))
            return;
    }
    if (f->value.len == 0)
        return;
    leave_out(w, f);
    PUT(w, "Max-Forwards: ");
    put_number(w, one_hop_less(f->value));
    PUT(w, "\r\n");
}

/* The usual line replaces the first one: apps compare the value, and some send a 100 for each
 * line. */
static void respell_expect(struct writer *w, const struct http_head *head,
                           const struct http_field *f)
{
    bool first = f == http_head_find(head, HTTP_FIELD_EXPECT);

    if (!head->expect_continue) /* a response, where it has no meaning */
        return;
    if (first && is_plain_line(f) && span_equal(f->value, SPAN("100-continue")))
        return;
    leave_out(w, f);
    if (first)
        PUT(w, "Expect: 100-continue\r\n");
}

static void respell(struct writer *w, const struct http_head *head, const struct http_field *f)
{
    if (f->id == HTTP_FIELD_CONTENT_LENGTH)
        respell_length(w, head, f);
    else if (f->id == HTTP_FIELD_TRANSFER_ENCODING)
        respell_coding(w, f);
    else if (f->id == HTTP_FIELD_MAX_FORWARDS)
        count_down(w, head, f);
    else if (f->id == HTTP_FIELD_EXPECT)
        respell_expect(w, head, f);
    else if (is_named_away(head, f))
        leave_out(w, f);
}

/* Writes all fields except those whose id is in `drop`. */
static void put_fields(struct writer *w, const struct http_head *head, uint32_t drop)
{
    uint32_t look = drop | FRAMING | BIT(MAX_FORWARDS) | BIT(EXPECT);
    if (head->names_fields)
        look |= BIT(OTHER) | BIT(ACCEPT) | BIT(DEADLINE) | BIT(QUEUE_START) | BIT(TRAILER) |
                BIT(UNDERSCORE);
    w->run = head->n_fields > 0 ? head->fields[0].line.at : NULL;
    if (w->run == NULL)
        return;
    for (unsigned i = 0; i < head->n_fields; i++) {
        const struct http_field *f = &head->fields[i];
        if (!(look & HTTP_FIELD_BIT(f->id)))
            continue;
        if (drop & HTTP_FIELD_BIT(f->id))
            leave_out(w, f);
        else
            respell(w, head, f);
    }
    copy_run(w, head->whole.at + head->whole.len - 2);
}

static void put_via(struct writer *w, const struct http_head *head)
{
    if (head->minor == 0)
        PUT(w, "Via: 1.0 weir\r\n");
    else
        PUT(w, "Via: 1.1 weir\r\n");
}

/* ---- request ---- */

static bool believes(const struct http_request_rewrite *how)
{
    return how->forwarded == HTTP_FORWARDED_APPEND && how->trusted;
}

static bool replaces_host(const struct http_head *head)
{
    return head->authority.len > 0;
}

/* A client's list that gets its address appended is rewritten as one line elsewhere. */
static uint32_t dropped_of_forwarding(const struct http_request_rewrite *how)
{
    if (how->forwarded == HTTP_FORWARDED_OFF)
        return 0;
    if (!believes(how))
        return FORWARDING;
    return how->client_address.len > 0 ? BIT(X_FORWARDED_FOR) : 0;
}

static uint32_t dropped_of_request(const struct http_head *head,
                                   const struct http_request_rewrite *how)
{
    uint32_t drop = HOP_BY_HOP | dropped_of_forwarding(how);
    if (!how->underscores)
        drop |= BIT(UNDERSCORE);
    if (replaces_host(head))
        drop |= BIT(HOST);
    if (how->request_id_name.len > 0 && how->request_id.len > 0)
        drop |= BIT(X_REQUEST_ID);
    if (!head->expect_continue || how->drop_expect)
        drop |= BIT(EXPECT); /* from HTTP/1.0, empty, or handled by weir: not for the app */
    return drop;
}

/* Fields between weir and the app only. */
static void put_hop_by_hop(struct writer *w, const struct http_head *head,
                           const struct http_request_rewrite *how)
{
    bool upgrade = how->upgrade.len > 0;

    if (head->te_trailers)
        PUT(w, "TE: trailers\r\n");
    if (upgrade)
        put_field(w, SPAN("Upgrade"), how->upgrade);
    if (head->te_trailers && upgrade)
        PUT(w, "Connection: TE, Upgrade\r\n");
    else if (head->te_trailers)
        PUT(w, "Connection: TE\r\n");
    else if (upgrade)
        PUT(w, "Connection: Upgrade\r\n");
}

static void put_request_line(struct writer *w, const struct http_head *head)
{
    put(w, head->method_text);
    PUT(w, " ");
    if (head->path.at[0] == '?')
        PUT(w, "/");
    put(w, head->path);
    PUT(w, " HTTP/1.1\r\n");
}

static void put_host(struct writer *w, const struct http_head *head)
{
    if (replaces_host(head))
        put_field(w, SPAN("Host"), head->authority);
    else if (!(head->present & BIT(HOST)))
        PUT(w, "Host: localhost\r\n"); /* optional in HTTP/1.0, required in HTTP/1.1 */
}

static void put_clients_list(struct writer *w, const struct http_head *head)
{
    for (unsigned i = 0; i < head->n_fields; i++) {
        const struct http_field *f = &head->fields[i];
        if (f->id != HTTP_FIELD_X_FORWARDED_FOR || f->value.len == 0)
            continue;
        put(w, f->value);
        PUT(w, ", ");
    }
}

static void put_forwarded_for(struct writer *w, const struct http_head *head,
                              const struct http_request_rewrite *how)
{
    if (how->client_address.len == 0)
        return;
    PUT(w, "X-Forwarded-For: ");
    if (believes(how) && head->present & BIT(X_FORWARDED_FOR))
        put_clients_list(w, head);
    put(w, how->client_address);
    PUT(w, "\r\n");
}

/* Whether a Forwarded field has this parameter (RFC 7239 section 4). A match within a quoted value
 * counts too: the only effect is that weir adds one field less. */
static bool forwarded_has(const struct http_head *head, struct span parameter)
{
    const struct http_field *f = head->fields, *end = f + head->n_fields;
    for (; f < end; f++) {
        struct span rest = f->value;
        for (; f->id == HTTP_FIELD_FORWARDED && rest.len > parameter.len; rest.at++, rest.len--) {
            if (rest.at[parameter.len] == '=' && begins_with(rest, parameter))
                return true;
        }
    }
    return false;
}

/* Whether the client has set it, in the field with that id or in another: a second value from weir
 * could contradict that of a TLS front, which Gunicorn refuses with 400. */
static bool is_said(const struct http_head *head, uint32_t ids, struct span parameter)
{
    return head->present & ids ||
           (head->present & BIT(FORWARDED) && forwarded_has(head, parameter));
}

static void put_forwarded(struct writer *w, const struct http_head *head,
                          const struct http_request_rewrite *how)
{
    const bool kept = believes(how);
    if (how->forwarded == HTTP_FORWARDED_OFF)
        return;
    put_forwarded_for(w, head, how);
    if (!kept || !is_said(head, BIT(X_FORWARDED_PROTO) | BIT(FORWARDED_SCHEME), SPAN("proto")))
        PUT(w, "X-Forwarded-Proto: http\r\n");
    if (head->host.len > 0 && (!kept || !is_said(head, BIT(X_FORWARDED_HOST), SPAN("host"))))
        put_field(w, SPAN("X-Forwarded-Host"), head->host);
}

static void put_request_start(struct writer *w, const struct http_head *head,
                              const struct http_request_rewrite *how)
{
    if (!how->request_start || head->present & BIT(X_REQUEST_START))
        return;
    PUT(w, "X-Request-Start: t=");
    put_number(w, (uint64_t)how->start);
    PUT(w, "\r\n");
}

size_t http_rewrite_request_bound(const struct http_head *head,
                                  const struct http_request_rewrite *how)
{
    /* A rewritten line may be one byte longer: `Max-Forwards:1` may occur 256 times. */
    return head->whole.len + head->n_fields + 2 * head->host.len + how->client_address.len +
           how->request_id_name.len + how->request_id.len + how->upgrade.len + FIXED_ROOM;
}

size_t http_rewrite_request(const struct http_head *head, const struct http_request_rewrite *how,
                            char *out)
{
    struct writer w = {.at = out};
    put_request_line(&w, head);
    put_host(&w, head);
    put_fields(&w, head, dropped_of_request(head, how));
    put_hop_by_hop(&w, head, how);
    put_forwarded(&w, head, how);
    put_via(&w, head);
    if (how->request_id_name.len > 0 && how->request_id.len > 0)
        put_field(&w, how->request_id_name, how->request_id);
    put_request_start(&w, head, how);
    PUT(&w, "\r\n");
    return (size_t)(w.at - out);
}

/* ---- response ---- */

static uint32_t dropped_of_response(const struct http_head *head,
                                    const struct http_response_rewrite *how)
{
    uint32_t drop = HOP_BY_HOP | BIT(WEIR_REASON);
    if (how->upgrade)
        drop &= ~BIT(UPGRADE);
    if (how->drop_transfer_encoding)
        drop |= BIT(TRANSFER_ENCODING) | BIT(TRAILER); /* a decoded body cannot carry trailers */
    if (how->add_chunked)
        drop |= BIT(TRAILER); /* there will be none: the app could not frame them either */
    if (head->status < 200 || head->status == 204)
        drop |= BIT(CONTENT_LENGTH); /* RFC 9110 section 8.6: not allowed here */
    return drop;
}

static bool has_field(const struct http_head *head, struct span name)
{
    for (unsigned i = 0; i < head->n_fields; i++) {
        if (span_equal_nocase(head->fields[i].name, name))
            return true;
    }
    return false;
}

static void put_status_line(struct writer *w, const struct http_head *head)
{
    PUT(w, "HTTP/1.1 ");
    put_number(w, head->status);
    PUT(w, " ");
    put(w, head->reason);
    PUT(w, "\r\n");
}

static void put_connection(struct writer *w, const struct http_response_rewrite *how)
{
    if (how->upgrade)
        put(w,
            how->close ? SPAN("Connection: close, Upgrade\r\n") : SPAN("Connection: Upgrade\r\n"));
    else if (how->close)
        PUT(w, "Connection: close\r\n");
    else if (how->say_keep_alive)
        PUT(w, "Connection: keep-alive\r\n");
}

size_t http_rewrite_response_bound(const struct http_head *head,
                                   const struct http_response_rewrite *how)
{
    size_t load = how->load != NULL ? how->load->name.len + how->load->value.len : 0;

    return load + head->whole.len + how->request_id_name.len + how->request_id.len +
           how->server_timing.len + how->date.len + FIXED_ROOM;
}

size_t http_rewrite_response(const struct http_head *head, const struct http_response_rewrite *how,
                             char *out)
{
    struct writer w = {.at = out};
    put_status_line(&w, head);
    put_fields(&w, head, dropped_of_response(head, how));
    if (how->add_chunked)
        PUT(&w, "Transfer-Encoding: chunked\r\n");
    put_connection(&w, how);
    put_via(&w, head);
    if (how->date.len > 0 && head->status >= 200 && !(head->present & BIT(DATE)))
        put_field(&w, SPAN("Date"), how->date);
    if (how->request_id_name.len > 0 && how->request_id.len > 0 &&
        !has_field(head, how->request_id_name))
        put_field(&w, how->request_id_name, how->request_id);
    if (how->server_timing.len > 0)
        put_field(&w, SPAN("Server-Timing"), how->server_timing);
    if (how->load != NULL && !has_field(head, how->load->name))
        put_field(&w, how->load->name, how->load->value);
    PUT(&w, "\r\n");
    return (size_t)(w.at - out);
}

/* ---- upgrades ---- */

/* protocol-name ["/" protocol-version]: `websocket`, `HTTP/2.0`, `TLS/1.0`, `h2c`. */
static bool may_be_tunnelled(struct span protocol)
{
    static const char *const never[] = {"h2c", "h2", "h3", "http", "tls"};
    const char *slash = memchr(protocol.at, '/', protocol.len);
    struct span name = {protocol.at, slash != NULL ? (size_t)(slash - protocol.at) : protocol.len};

    if (!http_is_token(name))
        return false;
    if (slash != NULL && !http_is_token((struct span){slash + 1, protocol.len - name.len - 1}))
        return false;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        if (span_equal_nocase(name, span_of(never[i])))
            return false;
    }
    return true;
}

size_t http_upgrade_offers(const struct http_head *head, char *out)
{
    struct writer w = {.at = out};

    for (unsigned i = 0; head->has_upgrade && i < head->n_fields; i++) {
        struct span list = head->fields[i].value, protocol;
        while (head->fields[i].id == HTTP_FIELD_UPGRADE && http_list_next(&list, &protocol)) {
            if (!may_be_tunnelled(protocol))
                continue;
            if (w.at > out)
                PUT(&w, ","); /* no space: `a,b,c` must not outgrow the room of the head */
            put(&w, protocol);
        }
    }
    return (size_t)(w.at - out);
}

bool http_upgrade_is_sound(const struct http_head *head, struct span offered)
{
    unsigned n = 0;

    if (head->minor == 0) /* HTTP/1.0 has no 101 */
        return false;
    for (unsigned i = 0; head->has_upgrade && i < head->n_fields; i++) {
        struct span list = head->fields[i].value, protocol;
        for (; head->fields[i].id == HTTP_FIELD_UPGRADE && http_list_next(&list, &protocol); n++) {
            if (!http_list_has(offered, protocol))
                return false;
        }
    }
    return n > 0;
}

bool http_request_id_is_sound(struct span id)
{
    if (id.len < 1 || id.len > 128)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.at[i];
        if (c <= ' ' || c >= 0x7f || c == ',' || c == ';')
            return false;
    }
    return true;
}
