/* See reply.h. The table below has all local replies. */
#include "proxy/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"

static const struct {
    unsigned status;
    const char *reason; /* Weir-Reason */
    const char *text;
} kinds[REPLY_KINDS] = {
    [REPLY_BAD_REQUEST] = {400, "bad_request", "The request was refused"},
    [REPLY_HEAD_TIMEOUT] = {408, "head_timeout", "The request headers did not arrive in time"},
    [REPLY_BODY_TIMEOUT] = {408, "body_timeout", "The request body did not arrive in time"},
    [REPLY_BODY_TOO_LARGE] = {413, "body_too_large", "The request body is larger than allowed"},
    [REPLY_LAST_HOP] = {200, "max_forwards", "Max-Forwards is 0: the request ends at this proxy"},
    [REPLY_QUEUE_FULL] = {503, "queue_full", "The app is busy and the queue is full"},
    [REPLY_QUEUE_BYTES] = {503, "bytes", "The app is busy and the queue holds too many bytes"},
    [REPLY_QUEUE_TIMEOUT] = {503, "queue_timeout", "The request waited too long for the app"},
    [REPLY_EVICTED] = {503, "evicted",
                       "The queue is full and another request took the place of this one"},
    [REPLY_DEADLINE] = {503, "deadline",
                        "The app is too busy to serve the request by its deadline"},
    [REPLY_NOT_READY] = {503, "not_ready", "The app does not accept requests at the moment"},
    [REPLY_DRAINING] = {503, "draining", "This instance is shutting down"},
    [REPLY_UPGRADES_FULL] = {503, "upgrades", "The limit on upgraded connections has been reached"},
    [REPLY_CONNECT_FAILED] = {502, "connect_failed", "The app does not accept connections"},
    [REPLY_CONNECT_TIMEOUT] = {504, "connect_timeout",
                               "The app did not accept a connection in time"},
    [REPLY_UPSTREAM_CLOSED] = {502, "upstream_closed",
                               "The app closed the connection without a response"},
    [REPLY_UPSTREAM_BROKEN] = {502, "upstream_broken", "The app's response is not valid HTTP"},
    [REPLY_FIRST_BYTE_TIMEOUT] = {504, "first_byte_timeout",
                                  "The app did not begin its response in time"},
    [REPLY_SEND_TIMEOUT] = {504, "send_timeout", "The app did not read the request in time"},
};

static const struct reply_refusal refusals[REPLY_KINDS] = {
    [REPLY_QUEUE_FULL] = {STATS_QUEUE_FULL, true, "the queue is full (queue.length)"},
    [REPLY_QUEUE_BYTES] = {STATS_BYTES, true, "the queue is full (queue.max_bytes)"},
    [REPLY_QUEUE_TIMEOUT] = {STATS_QUEUE_TIMEOUT, true, "no slot within queue.timeout"},
    [REPLY_EVICTED] = {STATS_REFUSED_EVICTED, true, "evicted from a full queue"},
    [REPLY_DEADLINE] = {STATS_DEADLINE, true, "no slot before the client's own deadline"},
    [REPLY_NOT_READY] = {STATS_NOT_READY, false, "the app is not up"},
    [REPLY_DRAINING] = {STATS_DRAINING, false, "weir is draining"},
    [REPLY_UPGRADES_FULL] = {STATS_UPGRADES, true, "too many upgraded connections (upgrades.max)"},
};

static const char *status_text(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 417:
        return "Expectation Failed";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Error";
    }
}

/* Bounded writing: what does not fit is left out; replies are much shorter than REPLY_MAX. */
struct writer {
    char *at;
    size_t len, room;
};

static void add(struct writer *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void add(struct writer *w, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(w->at + w->len, w->room - w->len, fmt, args);
    va_end(args);
    if (n > 0)
        w->len += (size_t)n < w->room - w->len ? (size_t)n : w->room - w->len - 1;
}

const struct reply_refusal *reply_refusal(enum reply_kind kind)
{
    return refusals[kind].log != NULL ? &refusals[kind] : NULL;
}

unsigned reply_status(const struct reply *r)
{
    return r->status != 0 ? r->status : kinds[r->kind].status;
}

const char *reply_reason(enum reply_kind kind)
{
    return kinds[kind].reason;
}

/* The texts are literals of this file: they need no escaping in JSON. */
static void write_body(const struct reply *r, struct writer *w)
{
    const char *separator = r->detail != NULL ? ": " : "";
    const char *detail = r->detail != NULL ? r->detail : "";

    if (r->json)
        add(w, "{\"status\":%u,\"reason\":\"%s\",\"message\":\"%s%s%s.\"}\n", reply_status(r),
            kinds[r->kind].reason, kinds[r->kind].text, separator, detail);
    else
        add(w, "%s%s%s.\n", kinds[r->kind].text, separator, detail);
}

size_t reply_content_length(const struct reply *r)
{
    size_t n = strlen(kinds[r->kind].text) + strlen(".\n");

    if (r->head_only)
        return 0;
    if (r->detail != NULL)
        n += strlen(": ") + strlen(r->detail);
    if (r->json)
        n += strlen("{'status':503,'reason':'','message':''}") + strlen(kinds[r->kind].reason);
    return n;
}

static void write_fields(const struct reply *r, struct writer *w)
{
    add(w, "Date: %.*s\r\nWeir-Reason: %s\r\nCache-Control: no-store\r\n", SPAN_PRINTF(r->date),
        kinds[r->kind].reason);
    if (r->retry_after > 0)
        add(w, "Retry-After: %u\r\n", r->retry_after);
    if (reply_status(r) == 405)
        add(w, "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n");
    if (r->request_id.len > 0 && r->request_id_name.len > 0)
        add(w, "%.*s: %.*s\r\n", SPAN_PRINTF(r->request_id_name), SPAN_PRINTF(r->request_id));
    if (r->load != NULL)
        add(w, "%.*s: %.*s\r\n", SPAN_PRINTF(r->load->name), SPAN_PRINTF(r->load->value));
    if (r->close)
        add(w, "Connection: close\r\n");
    else if (r->keep_alive)
        add(w, "Connection: keep-alive\r\n");
}

size_t reply_write(const struct reply *r, char *out)
{
    char text[512];
    struct writer body = {.at = text, .room = sizeof(text)};
    struct writer w = {.at = out, .room = REPLY_MAX};

    write_body(r, &body);
    add(&w, "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n", reply_status(r),
        status_text(reply_status(r)), r->json ? "application/json" : "text/plain; charset=utf-8",
        body.len);
    write_fields(r, &w);
    add(&w, "\r\n");
    if (!r->head_only)
        add(&w, "%.*s", (int)body.len, text);
    return w.len;
}

/* Media types are case-insensitive (RFC 9110 section 8.3.1). */
static bool contains(struct span s, const char *what)
{
    struct span wanted = span_of(what);

    for (; s.len >= wanted.len; s.at++, s.len--) {
        if (span_equal_nocase((struct span){s.at, wanted.len}, wanted))
            return true;
    }
    return false;
}

bool reply_wants_json(const struct http_head *head)
{
    bool json = false;

    if (!(head->present & HTTP_FIELD_BIT(HTTP_FIELD_ACCEPT)))
        return false;
    for (unsigned i = 0; i < head->n_fields; i++) {
        struct span value = head->fields[i].value;
        if (head->fields[i].id != HTTP_FIELD_ACCEPT)
            continue;
        if (contains(value, "text/"))
            return false;
        json = json || contains(value, "application/json") || contains(value, "+json");
    }
    return json;
}
