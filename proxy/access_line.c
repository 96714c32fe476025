/* See access_line.h. */
#include "proxy/access_line.h"

#include <string.h>
#include <time.h>

#include "common/check.h"
#include "common/utf8.h"
#include "proxy/history.h"

/* ---- which requests ---- */

bool access_line_is_wanted(const struct config *config, const struct record *r, bool events)
{
    if (config->log.access != CONFIG_ACCESS_PROBLEMS)
        return config->log.access == CONFIG_ACCESS_ALL;
    if (r->source != RECORD_BY_APP || r->status >= 500 || r->reason != NULL)
        return true;
    return !r->upgraded && !events && record_total(r) >= config->log.slow;
}

/* weir replies 503 or 429 when it refuses: that is its purpose, and no error. */
static enum access_level level_of(const struct config *config, const struct record *r, bool events)
{
    bool refused = r->source == RECORD_BY_WEIR && r->status == 503;

    if (r->status >= 500 && !refused)
        return ACCESS_ERROR;
    if (r->source != RECORD_BY_APP || r->reason != NULL)
        return ACCESS_WARNING;
    bool slow = !r->upgraded && !events && record_total(r) >= config->log.slow;
    return slow || refused ? ACCESS_WARNING : ACCESS_INFO;
}

/* ---- entries ---- */

static size_t longest(enum access_text which)
{
    return which == ACCESS_TARGET ? ACCESS_TARGET_MAX : ACCESS_TEXT_MAX;
}

/* A cut within a character leaves none of it. */
static size_t cut_length(struct span s, size_t most)
{
    size_t n = most;

    while (n > most - 3 && (s.at[n] & 0xC0) == 0x80)
        n--;
    return n + utf8_length((struct span){s.at + n, s.len - n}) > most ? n : most;
}

static size_t kept_length(const struct access_request *q, enum access_text which)
{
    struct span s = q->text[which];
    return s.len <= longest(which) ? s.len : cut_length(s, longest(which));
}

size_t access_entry_size(const struct access_request *q)
{
    size_t size = sizeof(struct access_entry);

    for (enum access_text i = 0; i < ACCESS_TEXTS; i++)
        size += kept_length(q, i);
    return size;
}

void access_entry_write(const struct config *config, const struct record *r,
                        const struct access_request *q, void *out)
{
    struct access_entry *e = out;
    char *at = (char *)(e + 1);

    *e = (struct access_entry){.record = *r,
                               .at = q->at,
                               .outcome = q->outcome,
                               .detail = q->detail,
                               .in_flight = q->in_flight,
                               .queue_depth = q->queue_depth,
                               .level = (uint8_t)level_of(config, r, q->events),
                               .http10 = q->http10,
                               .bypass = q->bypass};
    for (enum access_text i = 0; i < ACCESS_TEXTS; i++) {
        size_t n = kept_length(q, i);
        if (n > 0)
            memcpy(at, q->text[i].at, n);
        at += n;
        e->length[i] = (uint16_t)n;
        e->truncated = e->truncated || n < q->text[i].len;
    }
}

/* ---- writing ---- */

static char *put(char *out, struct span s)
{
    memcpy(out, s.at, s.len);
    return out + s.len;
}

#define PUT(out, literal) put(out, SPAN(literal))

/* At least `width` digits. */
static char *put_digits(char *out, uint64_t n, int width)
{
    char digits[20];
    char *end = digits + sizeof(digits), *at = end;

    do {
        *--at = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    for (; end - at < width;)
        *--at = '0';
    return put(out, (struct span){at, (size_t)(end - at)});
}

static char *put_number(char *out, uint64_t n)
{
    return put_digits(out, n, 1);
}

static char *put_us(char *out, mono_us us)
{
    return put_number(out, us > 0 ? (uint64_t)us : 0);
}

static char hex_digit(unsigned n)
{
    return "0123456789abcdef"[n & 0xf];
}

static char *put_escape(char *out, unsigned code)
{
    out = PUT(out, "\\u");
    for (int shift = 12; shift >= 0; shift -= 4)
        *out++ = hex_digit(code >> shift);
    return out;
}

/*
 * Characters that are valid UTF-8 and stay escaped: C1 controls, which some terminals obey (U+0080
 * to U+009F); line ends of JavaScript (U+2028, U+2029); and what reverses the text that follows
 * (U+202A to U+202E, U+2066 to U+2069), so that a line would read as another. The code, or 0.
 */
static unsigned hidden_code(struct span c)
{
    const unsigned char *at = (const unsigned char *)c.at;

    if (c.len == 2 && at[0] == 0xC2 && at[1] < 0xA0)
        return at[1];
    if (c.len != 3 || at[0] != 0xE2)
        return 0;
    if (at[1] == 0x80 && at[2] >= 0xA8 && at[2] <= 0xAE)
        return 0x2000u | (at[2] & 0x3Fu);
    return at[1] == 0x81 && at[2] >= 0xA6 && at[2] <= 0xA9 ? 0x2040u | (at[2] & 0x3Fu) : 0;
}

/* What begins at `s` and is not plain, which takes *taken bytes. */
static char *put_special(char *out, struct span s, size_t *taken)
{
    unsigned char first = (unsigned char)s.at[0];
    size_t n = utf8_length(s);

    *taken = n == 0 ? 1 : n;
    if (n == 0)
        return put_escape(out, 0xFFFD);
    if (n == 1 && (first == '"' || first == '\\')) {
        *out++ = '\\';
        *out++ = (char)first;
        return out;
    }
    if (n == 1)
        return put_escape(out, first);
    unsigned hidden = hidden_code((struct span){s.at, n});
    return hidden != 0 ? put_escape(out, hidden) : put(out, (struct span){s.at, n});
}

static bool is_plain(char c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

/* As the inside of a JSON string: at most six bytes for each of `s`. */
static char *put_text(char *out, struct span s)
{
    for (size_t i = 0, taken; i < s.len; i += taken) {
        size_t plain = i;
        while (plain < s.len && is_plain(s.at[plain]))
            plain++;
        out = put(out, (struct span){s.at + i, plain - i});
        taken = plain - i;
        if (taken == 0)
            out = put_special(out, (struct span){s.at + i, s.len - i}, &taken);
    }
    return out;
}

/* ---- members ---- */

/* The first member of an object has no comma: the callers begin with one that is always there. */
static char *put_key(char *out, struct span key)
{
    out = PUT(out, ",\"");
    out = put(out, key);
    return PUT(out, "\":");
}

static char *member_text(char *out, struct span key, struct span value)
{
    if (value.len == 0)
        return out;
    out = put_key(out, key);
    *out++ = '"';
    out = put_text(out, value);
    *out++ = '"';
    return out;
}

static char *member_word(char *out, struct span key, const char *word)
{
    return word == NULL ? out : member_text(out, key, span_of(word));
}

static char *member_number(char *out, struct span key, uint64_t value)
{
    return put_number(put_key(out, key), value);
}

static char *member_if(char *out, struct span key, bool value)
{
    return value ? PUT(put_key(out, key), "true") : out;
}

/* ---- what all profiles have ---- */

static struct span text_of(const struct access_entry *e, enum access_text which)
{
    const char *at = (const char *)(e + 1);

    for (enum access_text i = 0; i < which; i++)
        at += e->length[i];
    return (struct span){at, e->length[which]};
}

static const struct span level_words[] = {
    [ACCESS_INFO] = {"info", 4}, [ACCESS_WARNING] = {"warning", 7}, [ACCESS_ERROR] = {"error", 5}};

static const struct span protocols[] = {{"HTTP/1.1", 8}, {"HTTP/1.0", 8}};

static void write_date(struct access_style *style, int64_t second)
{
    time_t t = (time_t)second;
    struct tm tm;
    char *at = style->date;

    gmtime_r(&t, &tm);
    at = put_digits(at, (uint64_t)tm.tm_year + 1900, 4);
    at = put_digits(PUT(at, "-"), (uint64_t)tm.tm_mon + 1, 2);
    at = put_digits(PUT(at, "-"), (uint64_t)tm.tm_mday, 2);
    at = put_digits(PUT(at, "T"), (uint64_t)tm.tm_hour, 2);
    at = put_digits(PUT(at, ":"), (uint64_t)tm.tm_min, 2);
    put_digits(PUT(at, ":"), (uint64_t)tm.tm_sec, 2);
    style->second = second;
}

/* RFC 3339. The clock of a machine may be before 1970 or after 9999. */
static char *put_time(struct access_style *style, char *out, wall_us at)
{
    const wall_us last = INT64_C(253402300799999999);

    at = at < 0 ? 0 : at > last ? last : at;
    if (style->second != at / 1000000 || style->date[0] == '\0')
        write_date(style, at / 1000000);
    out = put(out, (struct span){style->date, sizeof(style->date)});
    *out++ = '.';
    out = put_digits(out, (uint64_t)(at % 1000000), 6);
    *out++ = 'Z';
    return out;
}

static char *put_trace(char *out, const struct record *r)
{
    for (int i = 0; i < RECORD_TRACE; i++) {
        *out++ = hex_digit(r->trace[i] >> 4);
        *out++ = hex_digit(r->trace[i]);
    }
    return out;
}

static char *member_trace(char *out, struct span key, const struct record *r)
{
    if (!r->traced)
        return out;
    out = put_key(out, key);
    *out++ = '"';
    out = put_trace(out, r);
    *out++ = '"';
    return out;
}

static struct span source_of(const struct record *r)
{
    static const struct span words[RECORD_SOURCES] = {[RECORD_BY_APP] = {"app", 3},
                                                      [RECORD_BY_WEIR] = {"weir", 4},
                                                      [RECORD_BY_CLIENT] = {"client_gone", 11}};
    return words[r->source];
}

static char *members_times(char *out, const struct record *r)
{
#define KEY(text)                                                                                  \
    {                                                                                              \
        ",\"" text "_us\":", sizeof(",\"" text "_us\":") - 1                                       \
    }
    static const struct span keys[RECORD_ORPHAN + 1] = {
        [RECORD_HEAD] = KEY("head"),         [RECORD_BODY_WAIT] = KEY("body_wait"),
        [RECORD_QUEUE] = KEY("queue"),       [RECORD_CONNECT] = KEY("connect"),
        [RECORD_SEND] = KEY("send"),         [RECORD_FIRST_BYTE] = KEY("first_byte"),
        [RECORD_TRANSFER] = KEY("transfer"), [RECORD_BACKPRESSURE] = KEY("backpressure"),
        [RECORD_DELIVERY] = KEY("delivery"), [RECORD_ORPHAN] = KEY("orphan"),
    };
#undef KEY
    if (r->before >= 0)
        out = member_number(out, SPAN("before_us"), (uint64_t)r->before);
    out = put_us(put_key(out, SPAN("total_us")), record_total(r));
    for (int i = 0; i <= RECORD_ORPHAN; i++)
        out = put_us(put(out, keys[i]), r->spent[i]);
    return out;
}

/* What no other schema has a name for. */
static char *members_of_weir(char *out, const struct access_entry *e)
{
    const struct record *r = &e->record;

    out = members_times(out, r);
    out = member_word(out, SPAN("outcome"), e->outcome);
    out = member_text(out, SPAN("class"), text_of(e, ACCESS_CLASS));
    if (e->in_flight != ACCESS_UNKNOWN)
        out = member_number(out, SPAN("in_flight"), e->in_flight);
    if (e->queue_depth != ACCESS_UNKNOWN)
        out = member_number(out, SPAN("queue_depth"), e->queue_depth);
    out = member_if(out, SPAN("replayed"), r->replayed);
    out = member_if(out, SPAN("upgraded"), r->upgraded);
    out = member_if(out, SPAN("bypass"), e->bypass);
    return member_if(out, SPAN("truncated"), e->truncated);
}

static char *members_of_end(char *out, const struct access_entry *e)
{
    out = member_text(out, SPAN("source"), source_of(&e->record));
    out = member_word(out, SPAN("reason"), e->record.reason);
    return member_word(out, SPAN("detail"), e->detail);
}

/* ---- the profiles ---- */

static char *put_plain(struct access_style *style, char *out, const struct access_entry *e)
{
    const struct record *r = &e->record;

    out = put_time(style, PUT(out, "{\"ts\":\""), e->at);
    out = member_text(PUT(out, "\""), SPAN("level"), level_words[e->level]);
    out = PUT(out, ",\"msg\":\"request\"");
    out = member_text(out, SPAN("request_id"), text_of(e, ACCESS_REQUEST_ID));
    out = member_trace(out, SPAN("trace_id"), r);
    out = member_text(out, SPAN("remote"), text_of(e, ACCESS_REMOTE));
    out = member_text(out, SPAN("method"), text_of(e, ACCESS_METHOD));
    out = member_text(out, SPAN("target"), text_of(e, ACCESS_TARGET));
    if (e->length[ACCESS_METHOD] > 0)
        out = member_text(out, SPAN("proto"), protocols[e->http10]);
    out = member_number(out, SPAN("status"), r->status);
    out = members_of_end(out, e);
    out = member_number(out, SPAN("bytes_in"), r->bytes_in);
    out = member_number(out, SPAN("bytes_out"), r->bytes_out);
    return PUT(members_of_weir(out, e), "}\n");
}

/* Numbers of 64 bits are strings in Google's JSON. */
static char *member_quoted(char *out, struct span key, uint64_t value)
{
    out = PUT(put_key(out, key), "\"");
    return PUT(put_number(out, value), "\"");
}

static char *put_http_request(char *out, const struct access_entry *e)
{
    const struct record *r = &e->record;
    uint64_t total = (uint64_t)record_total(r);

    out = put_number(PUT(out, "{\"status\":"), r->status);
    out = member_text(out, SPAN("requestMethod"), text_of(e, ACCESS_METHOD));
    out = member_text(out, SPAN("requestUrl"), text_of(e, ACCESS_TARGET));
    out = member_quoted(out, SPAN("requestSize"), r->bytes_in);
    out = member_quoted(out, SPAN("responseSize"), r->bytes_out);
    out = member_text(out, SPAN("userAgent"), text_of(e, ACCESS_AGENT));
    out = member_text(out, SPAN("referer"), text_of(e, ACCESS_REFERER));
    out = member_text(out, SPAN("remoteIp"), text_of(e, ACCESS_REMOTE));
    out = put_number(PUT(out, ",\"latency\":\""), total / 1000000);
    out = put_digits(PUT(out, "."), total % 1000000, 6);
    out = PUT(out, "s\"");
    if (e->length[ACCESS_METHOD] > 0)
        out = member_text(out, SPAN("protocol"), protocols[e->http10]);
    return PUT(out, "}");
}

static char *put_gcp(struct access_style *style, char *out, const struct access_entry *e)
{
    static const struct span severities[] = {[ACCESS_INFO] = {"INFO", 4},
                                             [ACCESS_WARNING] = {"WARNING", 7},
                                             [ACCESS_ERROR] = {"ERROR", 5}};
    const struct record *r = &e->record;
    bool linked = r->traced && style->project != NULL;

    out = put_time(style, PUT(out, "{\"time\":\""), e->at);
    out = member_text(PUT(out, "\""), SPAN("severity"), severities[e->level]);
    out = put_http_request(PUT(out, ",\"httpRequest\":"), e);
    if (linked) {
        out = PUT(out, ",\"logging.googleapis.com/trace\":\"projects/");
        out = put_text(out, span_of(style->project));
        out = PUT(put_trace(PUT(out, "/traces/"), r), "\"");
    }
    out = PUT(out, ",\"weir\":{\"msg\":\"request\"");
    out = member_text(out, SPAN("request_id"), text_of(e, ACCESS_REQUEST_ID));
    if (!linked)
        out = member_trace(out, SPAN("trace_id"), r);
    return PUT(members_of_weir(members_of_end(out, e), e), "}}\n");
}

static char *put_url(char *out, struct span target)
{
    const char *query = target.len == 0 ? NULL : memchr(target.at, '?', target.len);

    if (query == NULL)
        return member_text(out, SPAN("url.path"), target);
    size_t path = (size_t)(query - target.at);
    out = member_text(out, SPAN("url.path"), (struct span){target.at, path});
    return member_text(out, SPAN("url.query"), (struct span){query + 1, target.len - path - 1});
}

static char *put_ecs_http(char *out, const struct access_entry *e)
{
    const struct record *r = &e->record;

    out = member_text(out, SPAN("http.request.id"), text_of(e, ACCESS_REQUEST_ID));
    out = member_text(out, SPAN("http.request.method"), text_of(e, ACCESS_METHOD));
    out = put_url(out, text_of(e, ACCESS_TARGET));
    if (e->length[ACCESS_METHOD] > 0)
        out = member_text(out, SPAN("http.version"), e->http10 ? SPAN("1.0") : SPAN("1.1"));
    out = member_number(out, SPAN("http.response.status_code"), r->status);
    out = member_number(out, SPAN("http.request.body.bytes"), r->bytes_in);
    out = member_number(out, SPAN("http.response.body.bytes"), r->bytes_out);
    out = member_text(out, SPAN("http.request.referrer"), text_of(e, ACCESS_REFERER));
    out = member_text(out, SPAN("user_agent.original"), text_of(e, ACCESS_AGENT));
    out = member_text(out, SPAN("client.address"), text_of(e, ACCESS_REMOTE));
    return member_trace(out, SPAN("trace.id"), r);
}

static char *put_ecs(struct access_style *style, char *out, const struct access_entry *e)
{
    const struct record *r = &e->record;

    out = put_time(style, PUT(out, "{\"@timestamp\":\""), e->at);
    out = member_text(PUT(out, "\""), SPAN("log.level"), level_words[e->level]);
    out = PUT(out, ",\"message\":\"request\",\"ecs.version\":\"8.11.0\""
                   ",\"event.dataset\":\"weir.access\",\"event.outcome\":");
    out = r->status >= 400 ? PUT(out, "\"failure\"") : PUT(out, "\"success\"");
    out = member_number(out, SPAN("event.duration"), (uint64_t)record_total(r) * 1000);
    out = put_ecs_http(out, e);
    out = put_text(PUT(out, ",\"weir\":{\"source\":\""), source_of(r));
    out = member_word(PUT(out, "\""), SPAN("reason"), r->reason);
    out = member_word(out, SPAN("detail"), e->detail);
    return PUT(members_of_weir(out, e), "}}\n");
}

size_t access_line_write(struct access_style *style, const struct access_entry *e, char *out)
{
    char *end = out;

    switch (style->profile) {
    case CONFIG_ACCESS_PLAIN:
        end = put_plain(style, out, e);
        break;
    case CONFIG_ACCESS_GCP:
        end = put_gcp(style, out, e);
        break;
    case CONFIG_ACCESS_ECS:
        end = put_ecs(style, out, e);
        break;
    }
    CHECK((size_t)(end - out) <= ACCESS_LINE_MAX);
    return (size_t)(end - out);
}

/* ---- the summary of a minute ---- */

/* The refusals, by reason: only those that there were. */
static char *member_refused(char *out, const struct history_summary *s)
{
    static const struct span first = {"{", 1}, next = {",", 1};
    struct span before = first;

    out = put_key(out, SPAN("refused_by_reason"));
    for (size_t i = 0; i < STATS_REASONS; i++) {
        if (s->rejected[i] == 0)
            continue;
        out = PUT(put(out, before), "\"");
        out = put_number(PUT(put_text(out, span_of(stats_reason_names[i])), "\":"), s->rejected[i]);
        before = next;
    }
    return before.at == first.at ? PUT(out, "{}") : PUT(out, "}");
}

static char *members_counts(char *out, const struct history_summary *s)
{
    uint64_t requests = 0;

    for (size_t i = 0; i < SOURCES; i++)
        requests += s->finished[i];
    out = member_number(out, SPAN("seconds"), s->seconds);
    out = member_number(out, SPAN("requests"), requests);
    out = member_number(out, SPAN("errors"), s->errors);
    out = member_number(out, SPAN("client_gone"), s->finished[RECORD_BY_CLIENT]);
    out = member_number(out, SPAN("refused"), s->refused);
    return member_refused(out, s);
}

/* A time that nothing has measured has no member. */
static char *member_time(char *out, struct span key, mono_us us)
{
    return us < 0 ? out : put_us(put_key(out, key), us);
}

static char *members_of_summary(char *out, const struct history_summary *s)
{
    out = members_counts(out, s);
    out = member_time(out, SPAN("queue_p50_us"), s->wait[HISTORY_P50]);
    out = member_time(out, SPAN("queue_p99_us"), s->wait[HISTORY_P99]);
    out = member_time(out, SPAN("queue_max_us"), s->wait_max);
    out = member_time(out, SPAN("app_p50_us"), s->inside[HISTORY_P50]);
    out = member_time(out, SPAN("app_p99_us"), s->inside[HISTORY_P99]);
    out = member_number(out, SPAN("in_flight_peak"), s->in_flight_peak);
    return member_number(out, SPAN("queue_depth_peak"), s->queue_peak);
}

size_t access_line_summary(struct access_style *style, wall_us at, const struct history_summary *s,
                           char *out)
{
    char *end = out;

    switch (style->profile) {
    case CONFIG_ACCESS_PLAIN:
        end = put_time(style, PUT(end, "{\"ts\":\""), at);
        end = PUT(end, "\",\"level\":\"info\",\"msg\":\"summary\"");
        end = PUT(members_of_summary(end, s), "}\n");
        break;
    case CONFIG_ACCESS_GCP:
        end = put_time(style, PUT(end, "{\"time\":\""), at);
        end = PUT(end, "\",\"severity\":\"INFO\",\"weir\":{\"msg\":\"summary\"");
        end = PUT(members_of_summary(end, s), "}}\n");
        break;
    case CONFIG_ACCESS_ECS:
        end = put_time(style, PUT(end, "{\"@timestamp\":\""), at);
        end = PUT(end, "\",\"log.level\":\"info\",\"message\":\"summary\""
                       ",\"ecs.version\":\"8.11.0\",\"event.dataset\":\"weir.access\""
                       ",\"weir\":{\"msg\":\"summary\"");
        end = PUT(members_of_summary(end, s), "}}\n");
        break;
    }
    CHECK((size_t)(end - out) <= ACCESS_LINE_MAX);
    return (size_t)(end - out);
}
