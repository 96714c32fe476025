/* Queries on a parsed head: its fields, its lists, its host. Pure; any thread. */
#include "proxy/http/head.h"

#include "proxy/http/chars.h"

/* The names that weir knows, by length: at most two of each length. */
#define NAMES_LONGEST 19
static const struct known_name {
    char text[NAMES_LONGEST + 1]; /* lower case; empty: no more of this length */
    enum http_field_id id;
} names[NAMES_LONGEST + 1][2] = {
    [2] = {{"te", HTTP_FIELD_TE}},
    [3] = {{"via", HTTP_FIELD_VIA}},
    [4] = {{"host", HTTP_FIELD_HOST}, {"date", HTTP_FIELD_DATE}},
    /* Names that no sender may use: CGI turns Proxy into HTTP_PROXY (CVE-2016-5385); Close is
     * reserved, since Connection: close would refer to it (RFC 9112 section 9.6). */
    [5] = {{"proxy", HTTP_FIELD_PROXY_OTHER}, {"close", HTTP_FIELD_CLOSE}},
    [6] = {{"accept", HTTP_FIELD_ACCEPT}, {"expect", HTTP_FIELD_EXPECT}},
    [7] = {{"upgrade", HTTP_FIELD_UPGRADE}, {"trailer", HTTP_FIELD_TRAILER}},
    [9] = {{"forwarded", HTTP_FIELD_FORWARDED}, {"x-real-ip", HTTP_FIELD_FORWARDED_OTHER}},
    [10] = {{"connection", HTTP_FIELD_CONNECTION}, {"keep-alive", HTTP_FIELD_KEEP_ALIVE}},
    [11] = {{"weir-reason", HTTP_FIELD_WEIR_REASON}, {"traceparent", HTTP_FIELD_TRACEPARENT}},
    [12] = {{"max-forwards", HTTP_FIELD_MAX_FORWARDS}, {"grpc-timeout", HTTP_FIELD_DEADLINE}},
    [13] = {{"x-queue-start", HTTP_FIELD_QUEUE_START}},
    [14] = {{"content-length", HTTP_FIELD_CONTENT_LENGTH}},
    [15] = {{"x-forwarded-for", HTTP_FIELD_X_FORWARDED_FOR},
            {"x-request-start", HTTP_FIELD_X_REQUEST_START}},
    /* Daphne takes Daphne-Root-Path from any client as the path that the app is mounted at. */
    [16] = {{"x-forwarded-host", HTTP_FIELD_X_FORWARDED_HOST},
            {"daphne-root-path", HTTP_FIELD_FORWARDED_OTHER}},
    [17] = {{"transfer-encoding", HTTP_FIELD_TRANSFER_ENCODING},
            {"x-forwarded-proto", HTTP_FIELD_X_FORWARDED_PROTO}},
    [18] = {{"proxy-authenticate", HTTP_FIELD_PROXY_AUTHENTICATE},
            {"x-request-deadline", HTTP_FIELD_DEADLINE}},
    [19] = {{"proxy-authorization", HTTP_FIELD_PROXY_AUTHORIZATION}},
};

static bool folds_to(const char *name, const char *known, size_t len)
{
    if ((name[0] | 0x20) != known[0]) /* rejects most names; no name in the table begins with `_` */
        return false;
    for (size_t i = 1; i < len; i++) {
        if (http_fold(name[i]) != known[i])
            return false;
    }
    return true;
}

/* The id of a name that begins with X-Forwarded- and is not in the table. */
static enum http_field_id forwarded_id_of(struct span rest)
{
    static const char *const schemes[] = {"protocol", "scheme", "ssl"};

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (rest.len == strlen(schemes[i]) && folds_to(rest.at, schemes[i], rest.len))
            return HTTP_FIELD_FORWARDED_SCHEME;
    }
    return HTTP_FIELD_FORWARDED_OTHER;
}

static bool begins(struct span name, const char *known, size_t len)
{
    return name.len >= len && folds_to(name.at, known, len);
}

/* The id of a name that is not in the table, which has no room for one of these and is too short
 * for another. */
static enum http_field_id other_id_of(struct span name)
{
    static const char timeout[] = "request-timeout", envoys[] = "x-envoy-expected-rq-timeout-ms";

    switch (name.len > 0 ? name.at[0] | 0x20 : 0) {
    case 'p':
        return begins(name, "proxy-", 6) ? HTTP_FIELD_PROXY_OTHER : HTTP_FIELD_OTHER;
    case 'r':
        return name.len == sizeof(timeout) - 1 && begins(name, timeout, name.len)
                   ? HTTP_FIELD_DEADLINE
                   : HTTP_FIELD_OTHER;
    case 'x':
        if (begins(name, "x-forwarded-", 12))
            return forwarded_id_of((struct span){name.at + 12, name.len - 12});
        return name.len == sizeof(envoys) - 1 && begins(name, envoys, name.len)
                   ? HTTP_FIELD_DEADLINE
                   : HTTP_FIELD_OTHER;
    default:
        return HTTP_FIELD_OTHER;
    }
}

enum http_field_id http_field_id_of(struct span name)
{
    if (name.len > 0 && name.len <= NAMES_LONGEST) {
        const struct known_name *known = names[name.len];
        if (folds_to(name.at, known[0].text, name.len))
            return known[0].id;
        if (folds_to(name.at, known[1].text, name.len))
            return known[1].id;
    }
    return other_id_of(name);
}

const struct http_field *http_head_find(const struct http_head *head, enum http_field_id id)
{
    for (unsigned i = 0; i < head->n_fields; i++) {
        if (head->fields[i].id == id)
            return &head->fields[i];
    }
    return NULL;
}

static struct span trim(struct span s)
{
    while (s.len > 0 && http_is_blank(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && http_is_blank(s.at[s.len - 1]))
        s.len--;
    return s;
}

bool http_list_next(struct span *list, struct span *element)
{
    while (list->len > 0) {
        const char *comma = memchr(list->at, ',', list->len);
        size_t len = comma != NULL ? (size_t)(comma - list->at) : list->len;
        size_t taken = comma != NULL ? len + 1 : len;
        *element = trim((struct span){list->at, len});
        list->at += taken;
        list->len -= taken;
        if (element->len > 0)
            return true;
    }
    return false;
}

bool http_list_has(struct span list, struct span token)
{
    struct span element;
    while (http_list_next(&list, &element)) {
        if (span_equal_nocase(element, token))
            return true;
    }
    return false;
}

bool http_max_forwards_zero(const struct http_head *head)
{
    if (head->method != HTTP_TRACE && head->method != HTTP_OPTIONS)
        return false;
    const struct http_field *f = http_head_find(head, HTTP_FIELD_MAX_FORWARDS);
    if (f == NULL || f->value.len == 0)
        return false;
    for (size_t i = 0; i < f->value.len; i++) {
        if (f->value.at[i] != '0')
            return false;
    }
    return true;
}

/* ---- host ---- */

static bool is_port(const char *at, const char *end)
{
    unsigned port = 0;
    for (; at < end; at++) {
        if (!http_char_is(*at, HTTP_CHAR_DIGIT))
            return false;
        port = port * 10 + (unsigned)(*at - '0');
        if (port > 65535)
            return false;
    }
    return true;
}

/* Four numbers from 0 to 255 without leading zeros (RFC 3986 section 3.2.2). */
static bool is_ipv4(const char *at, const char *end)
{
    for (unsigned part = 0; part < 4; part++) {
        const char *start = at;
        unsigned value = 0;
        while (at < end && at - start < 3 && http_char_is(*at, HTTP_CHAR_DIGIT))
            value = value * 10 + (unsigned)(*at++ - '0');
        if (at == start || value > 255 || (*start == '0' && at - start > 1))
            return false;
        if (part < 3 && (at == end || *at++ != '.'))
            return false;
    }
    return at == end;
}

static const char *skip_hex_group(const char *at, const char *end)
{
    const char *start = at;
    while (at < end && at - start < 4 && http_char_is(*at, HTTP_CHAR_HEX))
        at++;
    return at;
}

/* Groups separated by colons: eight, or fewer with one `::`; the last two may be an IPv4
 * address. */
static bool is_ipv6(const char *at, const char *end)
{
    unsigned groups = 0;
    bool elided = end - at >= 2 && at[0] == ':' && at[1] == ':';
    if (elided)
        at += 2;
    while (at < end) {
        const char *stop = skip_hex_group(at, end);
        if (stop < end && *stop == '.') {
            groups += 2;
            return is_ipv4(at, end) && (elided ? groups < 8 : groups == 8);
        }
        if (stop == at || ++groups > 8)
            return false;
        if (stop == end)
            break;
        if (*stop++ != ':' || stop == end)
            return false;
        if (*stop == ':') {
            if (elided)
                return false;
            elided = true;
            stop++;
        }
        at = stop;
    }
    return elided ? groups < 8 : groups == 8;
}

static const char *skip_reg_name(const char *at, const char *end)
{
    while (at < end) {
        if (http_char_is(*at, HTTP_CHAR_HOST)) {
            at++;
        } else if (*at == '%' && end - at >= 3 && http_char_is(at[1], HTTP_CHAR_HEX) &&
                   http_char_is(at[2], HTTP_CHAR_HEX)) {
            at += 3;
        } else {
            break;
        }
    }
    return at;
}

/* RFC 3986 allows commas in a name; here one may be a sign of two Host fields that were joined. */
bool http_host_is_valid(struct span host)
{
    const char *end = host.at + host.len;
    const char *at;
    if (host.len == 0 || host.len > HTTP_HOST_MAX)
        return false;
    if (*host.at == '[') {
        at = memchr(host.at, ']', host.len);
        if (at == NULL || !is_ipv6(host.at + 1, at))
            return false;
        at++;
    } else {
        at = skip_reg_name(host.at, end);
        if (at == host.at)
            return false;
    }
    return at == end || (*at == ':' && is_port(at + 1, end));
}

/* A media type without its parameters (RFC 9110 section 8.3.1). */
static bool media_type_is(struct span value, struct span type)
{
    if (value.len < type.len || !span_equal_nocase((struct span){value.at, type.len}, type))
        return false;
    return value.len == type.len || strchr("; \t", value.at[type.len]) != NULL;
}

/* Whether the first of the types can be neither: a request rarely accepts nothing but events. */
static bool begins_with_other(struct span accept)
{
    return accept.len > 5 && accept.at[0] > ',' && (accept.at[5] | 0x20) != 'e';
}

void http_head_note_accept(struct http_head *head, struct span accept)
{
    struct span type;

    if (head->accepts_others || span_equal(accept, SPAN("*/*")))
        return;
    head->accepts_others = begins_with_other(accept);
    while (!head->accepts_others && http_list_next(&accept, &type)) {
        if (media_type_is(type, SPAN("text/event-stream")))
            head->accepts_events = true;
        else
            head->accepts_others = !media_type_is(type, SPAN("*/*"));
    }
}

bool http_head_wants_events(const struct http_head *head)
{
    return head->accepts_events && !head->accepts_others;
}

bool http_head_is_event_stream(const struct http_head *head)
{
    for (unsigned i = 0; i < head->n_fields; i++) {
        const struct http_field *f = &head->fields[i];
        if (span_equal_nocase(f->name, SPAN("content-type")))
            return media_type_is(f->value, SPAN("text/event-stream"));
    }
    return false;
}
