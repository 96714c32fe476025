/*
 * Versions 1.0.0 and 0.0.1 of OpenMetrics are the same for what weir exports. Prometheus asks for
 * either, with parameters that newer releases add (escaping=...), which change nothing here: weir's
 * names need no escapes.
 */
#include "proxy/openmetrics.h"

#include <stdbool.h>

enum { Q_MAX = 1000, Q_NONE = -1 };

struct range { /* an element of Accept */
    struct span type, version;
    int q; /* in thousandths */
};

/* The front of `text` up to `mark`, or all of it, without surrounding white space; removes it and
 * the mark. A mark between quotes counts too: no value that matters here has one. */
static struct span cut(struct span *text, char mark)
{
    const char *end = text->len == 0 ? NULL : memchr(text->at, mark, text->len);
    size_t len = end == NULL ? text->len : (size_t)(end - text->at);
    struct span part = {text->at, len};

    len += end != NULL;
    *text = (struct span){text->at + len, text->len - len};
    while (part.len > 0 && (part.at[0] == ' ' || part.at[0] == '\t'))
        part = (struct span){part.at + 1, part.len - 1};
    while (part.len > 0 && (part.at[part.len - 1] == ' ' || part.at[part.len - 1] == '\t'))
        part.len--;
    return part;
}

/* "1", "0.75", "0.": at most three decimals. Anything else: 0, as if it was not accepted. */
static int read_q(struct span text)
{
    int q = 0, unit = Q_MAX;

    if (text.len == 0 || text.len > 5 || (text.at[0] != '0' && text.at[0] != '1'))
        return 0;
    for (size_t i = 0; i < text.len; i++) {
        if (i == 1 ? text.at[i] != '.' : text.at[i] < '0' || text.at[i] > '9')
            return 0;
        if (i != 1)
            q += (text.at[i] - '0') * unit;
        unit /= i == 1 ? 1 : 10;
    }
    return q > Q_MAX ? 0 : q;
}

static struct span unquoted(struct span value)
{
    bool quoted = value.len >= 2 && value.at[0] == '"' && value.at[value.len - 1] == '"';
    return quoted ? (struct span){value.at + 1, value.len - 2} : value;
}

static struct range read_range(struct span text)
{
    struct range r = {.type = cut(&text, ';'), .version = SPAN(""), .q = Q_MAX};

    while (text.len > 0) {
        struct span value = cut(&text, ';'), name = cut(&value, '=');
        if (span_equal_nocase(name, SPAN("q")))
            r.q = read_q(value);
        else if (span_equal_nocase(name, SPAN("version")))
            r.version = unquoted(value);
    }
    return r;
}

static void raise(int *q, int to)
{
    if (*q < to)
        *q = to;
}

enum { NEW, OLD, TEXT, TEXT_ANY, ANY, OFFERS };

static void note(const struct range *r, int *q)
{
    bool none = r->version.len == 0;

    if (span_equal_nocase(r->type, SPAN("application/openmetrics-text"))) {
        if (none || span_equal(r->version, SPAN("1.0.0")))
            raise(&q[NEW], r->q);
        else if (span_equal(r->version, SPAN("0.0.1")))
            raise(&q[OLD], r->q);
    } else if (span_equal_nocase(r->type, SPAN("text/plain"))) {
        if (none || span_equal(r->version, SPAN("0.0.4")))
            raise(&q[TEXT], r->q);
    } else if (span_equal_nocase(r->type, SPAN("text/*"))) {
        raise(&q[TEXT_ANY], r->q);
    } else if (span_equal(r->type, SPAN("*/*"))) {
        raise(&q[ANY], r->q);
    }
}

struct openmetrics_choice openmetrics_choose(struct span accept)
{
    int q[OFFERS] = {Q_NONE, Q_NONE, Q_NONE, Q_NONE, Q_NONE};

    while (accept.len > 0) {
        struct range r = read_range(cut(&accept, ','));
        note(&r, q);
    }
    /* The most specific range that matches counts. */
    int text = q[TEXT] != Q_NONE ? q[TEXT] : q[TEXT_ANY] != Q_NONE ? q[TEXT_ANY] : q[ANY];
    if (q[NEW] > 0 && q[NEW] >= q[OLD] && q[NEW] >= text)
        return (struct openmetrics_choice){
            PROMETHEUS_OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"};
    if (q[OLD] > 0 && q[OLD] >= text)
        return (struct openmetrics_choice){
            PROMETHEUS_OPENMETRICS, "application/openmetrics-text; version=0.0.1; charset=utf-8"};
    return (struct openmetrics_choice){PROMETHEUS_TEXT, PROMETHEUS_CONTENT_TYPE};
}
