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

/* weir responds with 503 or 429 when it refuses a request, which is not an error of weir. */
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

static inline size_t longest(enum access_text which)
{
    return which == ACCESS_TARGET ? ACCESS_TARGET_MAX : ACCESS_TEXT_MAX;
}

/* A character that would be cut off is left out as a whole. */
static size_t cut_length(struct span s, size_t most)
{
    size_t n = most;

    while (n > most - 3 && (s.at[n] & 0xC0) == 0x80)
        n--;
    return n + utf8_length((struct span){s.at + n, s.len - n}) > most ? n : most;
}

static inline size_t kept_length(const struct access_request *q, enum access_text which)
{
    size_t n = q->text[which].len;

    if (n <= ACCESS_TEXT_MAX || n <= longest(which))
        return n;
    return cut_length(q->text[which], longest(which));
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

    e->record = *r; /* each on its own: a literal would be made elsewhere, and copied once more */
    e->at = q->at;
    e->outcome = q->outcome;
    e->detail = q->detail;
    e->in_flight = q->in_flight;
    e->queue_depth = q->queue_depth;
    e->level = (uint8_t)level_of(config, r, q->events);
    e->http10 = q->http10;
    e->bypass = q->bypass;
    e->truncated = false;
    for (enum access_text i = 0; i < ACCESS_TEXTS; i++) {
        size_t n = kept_length(q, i);
        e->length[i] = (uint16_t)n;
        if (n == 0)
            continue;
        memcpy(at, q->text[i].at, n);
        at += n;
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

/*
 * Keys and fixed words, which need no escapes, are copied with PADDED bytes, whatever their length:
 * two moves in place of a call. The next member overwrites the surplus. So their literals have as
 * many bytes behind them, and a line has room for as many (ACCESS_LINE_MAX).
 */
#define PADDED  32
#define EIGHT   "\0\0\0\0\0\0\0\0"
#define PADDING EIGHT EIGHT EIGHT EIGHT
#define WORD(s)                                                                                    \
    {                                                                                              \
        s PADDING, sizeof(s) - 1                                                                   \
    }
#define KEY(s) ((struct span)WORD(",\"" s "\":"))

static inline char *put_word(char *out, struct span word)
{
    memcpy(out, word.at, PADDED);
    return out + word.len;
}

static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                            "25262728293031323334353637383940414243444546474849"
                            "50515253545556575859606162636465666768697071727374"
                            "75767778798081828384858687888990919293949596979899";

/* The last `width` digits. */
static char *put_digits(char *out, uint64_t n, int width)
{
    char *at = out + width;

    for (; at - out >= 2; n /= 100) {
        at -= 2;
        memcpy(at, &pairs[n % 100 * 2], 2);
    }
    if (at > out)
        *out = (char)('0' + n % 10);
    return out + width;
}

static char *put_number(char *out, uint64_t n)
{
    int width = 1;

    if (n < 10) {
        *out = (char)('0' + n);
        return out + 1;
    }
    for (uint64_t rest = n; rest >= 10; rest /= 10)
        width++;
    return put_digits(out, n, width);
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

/* The escape of the character at `s`, which is not plain and takes *taken bytes. */
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

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/*
 * is_plain() of eight bytes at once. Each term sets the highest bit of a byte that is not plain,
 * for one reason: not ASCII, DEL, a control, and the two that are escaped. A carry comes only from
 * such a byte.
 */
static inline bool are_plain(uint64_t x)
{
    uint64_t odd = x | (x + EACH(1)) | (x - EACH(' ')) | ((x ^ EACH('"')) - EACH(1)) |
                   ((x ^ EACH('\\')) - EACH(1));
    return (odd & EACH(0x80)) == 0;
}

/* Copies eight bytes, if they are plain. */
static inline bool copied_eight(char *out, const char *at)
{
    uint64_t eight;

    memcpy(&eight, at, sizeof(eight));
    if (!are_plain(eight))
        return false;
    memcpy(out, &eight, sizeof(eight));
    return true;
}

/* The same for 4 to 8 bytes: their first and last four. */
static inline bool copied_few(char *out, const char *at, size_t n)
{
    uint32_t first, last;

    memcpy(&first, at, sizeof(first));
    memcpy(&last, at + n - sizeof(last), sizeof(last));
    if (!are_plain(first | (uint64_t)last << 32))
        return false;
    memcpy(out, &first, sizeof(first));
    memcpy(out + n - sizeof(last), &last, sizeof(last));
    return true;
}

/* Copies the plain bytes with which `s` begins. Returns how many there are. */
static size_t copy_plain(char *out, struct span s)
{
    size_t n = 0;

    while (s.len - n >= 8 && copied_eight(out + n, s.at + n))
        n += 8;
    /* The rest once more with some of what precedes it, as eight are quicker than a few. */
    if (n > 0 && s.len - n < 8 && copied_eight(out + s.len - 8, s.at + s.len - 8))
        return s.len;
    if (s.len >= 4 && s.len < 8 && copied_few(out, s.at, s.len))
        return s.len;
    for (; n < s.len && is_plain(s.at[n]); n++)
        out[n] = s.at[n];
    return n;
}

/* As the inside of a JSON string: at most six bytes for each of `s`. */
static char *put_text(char *out, struct span s)
{
    for (size_t i = 0, taken; i < s.len; i += taken) {
        struct span rest = {s.at + i, s.len - i};
        taken = copy_plain(out, rest);
        out += taken;
        if (taken == 0)
            out = put_special(out, rest, &taken);
    }
    return out;
}

/* ---- members: their keys have a comma before them, as none is the first of its object ---- */

static char *member_text(char *out, struct span key, struct span value)
{
    if (value.len == 0)
        return out;
    out = put_word(out, key);
    *out++ = '"';
    out = put_text(out, value);
    *out++ = '"';
    return out;
}

static char *member_word(char *out, struct span key, struct span word)
{
    out = put_word(out, key);
    *out++ = '"';
    out = put_word(out, word);
    *out++ = '"';
    return out;
}

/* A static text, or NULL. */
static char *member_name(char *out, struct span key, const char *name)
{
    return name == NULL ? out : member_text(out, key, span_of(name));
}

static char *member_number(char *out, struct span key, uint64_t value)
{
    return put_number(put_word(out, key), value);
}

static char *member_if(char *out, struct span key, bool value)
{
    return value ? PUT(put_word(out, key), "true") : out;
}

/* ---- what all profiles have ---- */

static struct span text_of(const struct access_entry *e, enum access_text which)
{
    const char *at = (const char *)(e + 1);

    for (enum access_text i = 0; i < which; i++)
        at += e->length[i];
    return (struct span){at, e->length[which]};
}

static const struct span level_words[] = {[ACCESS_INFO] = WORD("info"),
                                          [ACCESS_WARNING] = WORD("warning"),
                                          [ACCESS_ERROR] = WORD("error")};

static const struct span protocols[] = {WORD("HTTP/1.1"), WORD("HTTP/1.0")};
static const struct span versions[] = {WORD("1.1"), WORD("1.0")};

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
    out = put_word(out, key);
    *out++ = '"';
    out = put_trace(out, r);
    *out++ = '"';
    return out;
}

static struct span source_of(const struct record *r)
{
    static const struct span words[RECORD_SOURCES] = {[RECORD_BY_APP] = WORD("app"),
                                                      [RECORD_BY_WEIR] = WORD("weir"),
                                                      [RECORD_BY_CLIENT] = WORD("client_gone")};
    return words[r->source];
}

static char *members_times(char *out, const struct record *r)
{
#define TIME(phase) WORD(",\"" phase "_us\":")
    static const struct span keys[RECORD_ORPHAN + 1] = {
        [RECORD_HEAD] = TIME("head"),         [RECORD_BODY_WAIT] = TIME("body_wait"),
        [RECORD_QUEUE] = TIME("queue"),       [RECORD_CONNECT] = TIME("connect"),
        [RECORD_SEND] = TIME("send"),         [RECORD_FIRST_BYTE] = TIME("first_byte"),
        [RECORD_TRANSFER] = TIME("transfer"), [RECORD_BACKPRESSURE] = TIME("backpressure"),
        [RECORD_DELIVERY] = TIME("delivery"), [RECORD_ORPHAN] = TIME("orphan"),
    };
#undef TIME
    if (r->before >= 0)
        out = member_number(out, KEY("before_us"), (uint64_t)r->before);
    out = put_us(put_word(out, KEY("total_us")), record_total(r));
    for (int i = 0; i <= RECORD_ORPHAN; i++)
        out = put_us(put_word(out, keys[i]), r->spent[i]);
    return out;
}

/* Members for which no other schema has a name. */
static char *members_of_weir(char *out, const struct access_entry *e)
{
    const struct record *r = &e->record;

    out = members_times(out, r);
    out = member_name(out, KEY("outcome"), e->outcome);
    out = member_text(out, KEY("class"), text_of(e, ACCESS_CLASS));
    if (e->in_flight != ACCESS_UNKNOWN)
        out = member_number(out, KEY("in_flight"), e->in_flight);
    if (e->queue_depth != ACCESS_UNKNOWN)
        out = member_number(out, KEY("queue_depth"), e->queue_depth);
    out = member_if(out, KEY("replayed"), r->replayed);
    out = member_if(out, KEY("upgraded"), r->upgraded);
    out = member_if(out, KEY("bypass"), e->bypass);
    return member_if(out, KEY("truncated"), e->truncated);
}

static char *members_of_end(char *out, const struct access_entry *e)
{
    out = member_word(out, KEY("source"), source_of(&e->record));
    out = member_name(out, KEY("reason"), e->record.reason);
    return member_name(out, KEY("detail"), e->detail);
}

/* ---- the profiles ---- */

static char *put_plain(struct access_style *style, char *out, const struct access_entry *e)
{
    const struct record *r = &e->record;

    out = put_time(style, PUT(out, "{\"ts\":\""), e->at);
    out = member_word(PUT(out, "\""), KEY("level"), level_words[e->level]);
    out = PUT(out, ",\"msg\":\"request\"");
    out = member_text(out, KEY("request_id"), text_of(e, ACCESS_REQUEST_ID));
    out = member_trace(out, KEY("trace_id"), r);
    out = member_text(out, KEY("remote"), text_of(e, ACCESS_REMOTE));
    out = member_text(out, KEY("method"), text_of(e, ACCESS_METHOD));
    out = member_text(out, KEY("target"), text_of(e, ACCESS_TARGET));
    if (e->length[ACCESS_METHOD] > 0)
        out = member_word(out, KEY("proto"), protocols[e->http10]);
    out = member_number(out, KEY("status"), r->status);
    out = members_of_end(out, e);
    out = member_number(out, KEY("bytes_in"), r->bytes_in);
    out = member_number(out, KEY("bytes_out"), r->bytes_out);
    return PUT(members_of_weir(out, e), "}\n");
}

/* Numbers of 64 bits are strings in Google's JSON. */
static char *member_quoted(char *out, struct span key, uint64_t value)
{
    out = PUT(put_word(out, key), "\"");
    return PUT(put_number(out, value), "\"");
}

static char *put_http_request(char *out, const struct access_entry *e)
{
    const struct record *r = &e->record;
    uint64_t total = (uint64_t)record_total(r);

    out = put_number(PUT(out, "{\"status\":"), r->status);
    out = member_text(out, KEY("requestMethod"), text_of(e, ACCESS_METHOD));
    out = member_text(out, KEY("requestUrl"), text_of(e, ACCESS_TARGET));
    out = member_quoted(out, KEY("requestSize"), r->bytes_in);
    out = member_quoted(out, KEY("responseSize"), r->bytes_out);
    out = member_text(out, KEY("userAgent"), text_of(e, ACCESS_AGENT));
    out = member_text(out, KEY("referer"), text_of(e, ACCESS_REFERER));
    out = member_text(out, KEY("remoteIp"), text_of(e, ACCESS_REMOTE));
    out = put_number(PUT(out, ",\"latency\":\""), total / 1000000);
    out = put_digits(PUT(out, "."), total % 1000000, 6);
    out = PUT(out, "s\"");
    if (e->length[ACCESS_METHOD] > 0)
        out = member_word(out, KEY("protocol"), protocols[e->http10]);
    return PUT(out, "}");
}

static char *put_gcp(struct access_style *style, char *out, const struct access_entry *e)
{
    static const struct span severities[] = {[ACCESS_INFO] = WORD("INFO"),
                                             [ACCESS_WARNING] = WORD("WARNING"),
                                             [ACCESS_ERROR] = WORD("ERROR")};
    const struct record *r = &e->record;
    bool linked = r->traced && style->project != NULL;

    out = put_time(style, PUT(out, "{\"time\":\""), e->at);
    out = member_word(PUT(out, "\""), KEY("severity"), severities[e->level]);
    out = put_http_request(PUT(out, ",\"httpRequest\":"), e);
    if (linked) {
        out = PUT(out, ",\"logging.googleapis.com/trace\":\"projects/");
        out = put_text(out, span_of(style->project));
        out = PUT(put_trace(PUT(out, "/traces/"), r), "\"");
    }
    out = PUT(out, ",\"weir\":{\"msg\":\"request\"");
    out = member_text(out, KEY("request_id"), text_of(e, ACCESS_REQUEST_ID));
    if (!linked)
        out = member_trace(out, KEY("trace_id"), r);
    return PUT(members_of_weir(members_of_end(out, e), e), "}}\n");
}

static char *put_url(char *out, struct span target)
{
    const char *query = target.len == 0 ? NULL : memchr(target.at, '?', target.len);

    if (query == NULL)
        return member_text(out, KEY("url.path"), target);
    size_t path = (size_t)(query - target.at);
    out = member_text(out, KEY("url.path"), (struct span){target.at, path});
    return member_text(out, KEY("url.query"), (struct span){query + 1, target.len - path - 1});
}

static char *put_ecs_http(char *out, const struct access_entry *e)
{
    const struct record *r = &e->record;

    out = member_text(out, KEY("http.request.id"), text_of(e, ACCESS_REQUEST_ID));
    out = member_text(out, KEY("http.request.method"), text_of(e, ACCESS_METHOD));
    out = put_url(out, text_of(e, ACCESS_TARGET));
    if (e->length[ACCESS_METHOD] > 0)
        out = member_word(out, KEY("http.version"), versions[e->http10]);
    out = member_number(out, KEY("http.response.status_code"), r->status);
    out = member_number(out, KEY("http.request.body.bytes"), r->bytes_in);
    out = member_number(out, KEY("http.response.body.bytes"), r->bytes_out);
    out = member_text(out, KEY("http.request.referrer"), text_of(e, ACCESS_REFERER));
    out = member_text(out, KEY("user_agent.original"), text_of(e, ACCESS_AGENT));
    out = member_text(out, KEY("client.address"), text_of(e, ACCESS_REMOTE));
    return member_trace(out, KEY("trace.id"), r);
}

static char *put_ecs(struct access_style *style, char *out, const struct access_entry *e)
{
    const struct record *r = &e->record;

    out = put_time(style, PUT(out, "{\"@timestamp\":\""), e->at);
    out = member_word(PUT(out, "\""), KEY("log.level"), level_words[e->level]);
    out = PUT(out, ",\"message\":\"request\",\"ecs.version\":\"8.11.0\""
                   ",\"event.dataset\":\"weir.access\",\"event.outcome\":");
    out = r->status >= 400 ? PUT(out, "\"failure\"") : PUT(out, "\"success\"");
    out = member_number(out, KEY("event.duration"), (uint64_t)record_total(r) * 1000);
    out = put_ecs_http(out, e);
    out = put_word(PUT(out, ",\"weir\":{\"source\":\""), source_of(r));
    out = member_name(PUT(out, "\""), KEY("reason"), r->reason);
    out = member_name(out, KEY("detail"), e->detail);
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

    out = put_word(out, KEY("refused_by_reason"));
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
    out = member_number(out, KEY("seconds"), s->seconds);
    out = member_number(out, KEY("requests"), requests);
    out = member_number(out, KEY("errors"), s->errors);
    out = member_number(out, KEY("client_gone"), s->finished[RECORD_BY_CLIENT]);
    out = member_number(out, KEY("refused"), s->refused);
    return member_refused(out, s);
}

/* A time that nothing has measured has no member. */
static char *member_time(char *out, struct span key, mono_us us)
{
    return us < 0 ? out : put_us(put_word(out, key), us);
}

static char *members_of_summary(char *out, const struct history_summary *s)
{
    out = members_counts(out, s);
    out = member_time(out, KEY("queue_p50_us"), s->wait[HISTORY_P50]);
    out = member_time(out, KEY("queue_p99_us"), s->wait[HISTORY_P99]);
    out = member_time(out, KEY("queue_max_us"), s->wait_max);
    out = member_time(out, KEY("app_p50_us"), s->inside[HISTORY_P50]);
    out = member_time(out, KEY("app_p99_us"), s->inside[HISTORY_P99]);
    out = member_number(out, KEY("in_flight_peak"), s->in_flight_peak);
    return member_number(out, KEY("queue_depth_peak"), s->queue_peak);
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
