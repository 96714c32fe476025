/* See dashboard.h. */
#include "proxy/dashboard.h"

#include "proxy/http/head.h"

const struct dashboard_file *dashboard_find(struct span path)
{
    for (size_t i = 0; i < dashboard_n_files; i++) {
        if (span_equal(path, span_of(dashboard_files[i].path)))
            return &dashboard_files[i];
    }
    return NULL;
}

static struct span trim(struct span s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = (struct span){s.at + 1, s.len - 1};
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* The part of `s` up to `mark`; the rest, without the mark, stays in `s`. */
static struct span cut(struct span *s, char mark)
{
    const char *end = s->len == 0 ? NULL : memchr(s->at, mark, s->len);
    size_t len = end == NULL ? s->len : (size_t)(end - s->at);
    size_t used = len + (end != NULL);
    struct span part = {s->at, len};

    *s = (struct span){s->at + used, s->len - used};
    return trim(part);
}

/* Whether the weight among these parameters is 0: "0", "0.", "0.000". */
static bool is_excluded(struct span parameters)
{
    while (parameters.len > 0) {
        struct span parameter = cut(&parameters, ';');
        struct span name = cut(&parameter, '=');
        if (!span_equal_nocase(name, SPAN("q")))
            continue;
        for (size_t i = 0; i < parameter.len; i++) {
            if (parameter.at[i] != '0' && parameter.at[i] != '.')
                return false;
        }
        return parameter.len > 0;
    }
    return false;
}

enum answer { UNNAMED, NO, YES };

/* Whether a list with weights, such as Accept, includes or excludes `name`. */
static enum answer asks_for(struct span list, struct span name)
{
    struct span element;

    while (http_list_next(&list, &element)) {
        if (span_equal_nocase(cut(&element, ';'), name))
            return is_excluded(element) ? NO : YES;
    }
    return UNNAMED;
}

bool dashboard_is_wanted(struct span accept)
{
    return asks_for(accept, SPAN("text/html")) == YES;
}

bool dashboard_is_readable(struct span accept_encoding, bool sent)
{
    enum answer gzip = asks_for(accept_encoding, SPAN("gzip"));

    if (!sent)
        return true;
    return gzip == UNNAMED ? asks_for(accept_encoding, SPAN("*")) == YES : gzip == YES;
}

/* Compares weakly (RFC 9110 section 13.1.2): a proxy that compresses anew makes a tag weak. */
bool dashboard_is_current(const struct dashboard_file *f, struct span if_none_match)
{
    struct span element;

    while (http_list_next(&if_none_match, &element)) {
        if (element.len > 2 && memcmp(element.at, "W/", 2) == 0)
            element = (struct span){element.at + 2, element.len - 2};
        if (span_equal(element, span_of(f->etag)) || span_equal(element, SPAN("*")))
            return true;
    }
    return false;
}
