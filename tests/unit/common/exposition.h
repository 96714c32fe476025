/*
 * A strict reader of Prometheus text format 0.0.4 for tests: where the format allows several forms,
 * it accepts one, and it reports everything else.
 */
#pragma once

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXPOSITION_SERIES = 2000, EXPOSITION_TEXT = 300 };

struct exposition {
    size_t n, families;
    struct {
        char series[EXPOSITION_TEXT]; /* name{labels} as written */
        char value[64];
    } at[EXPOSITION_SERIES];
    char family[100], type[20];
    char wrong[400]; /* "" if valid */
    /* the histogram being read */
    char base[EXPOSITION_TEXT];
    double le, bucket;
    int part; /* 0 none, 1 in buckets, 2 after +Inf, 3 after _sum */
};

static inline bool exposition_fail(struct exposition *e, const char *why, const char *line)
{
    if (e->wrong[0] == '\0')
        snprintf(e->wrong, sizeof(e->wrong), "%s: %.200s", why, line);
    return false;
}

static inline size_t exposition_name(const char *s)
{
    size_t n = 0;
    while (isalpha((unsigned char)s[n]) || s[n] == '_' || (n > 0 && isdigit((unsigned char)s[n])))
        n++;
    return n;
}

/* The length of {a="b",c="d"}, 0 if malformed. */
static inline size_t exposition_labels(const char *s)
{
    const char *at = s;
    do {
        at++;
        size_t n = exposition_name(at);
        if (n == 0 || at[n] != '=' || at[n + 1] != '"')
            return 0;
        for (at += n + 2; *at != '"'; at++) {
            if (*at == '\0' || (*at == '\\' && strchr("\\\"n", *++at) == NULL))
                return 0;
        }
        at++;
    } while (*at == ',');
    return *at == '}' ? (size_t)(at + 1 - s) : 0;
}

static inline bool exposition_is_number(const char *s)
{
    if (strcmp(s, "+Inf") == 0)
        return true;
    s += *s == '-';
    size_t whole = strspn(s, "0123456789");
    if (whole == 0 || (whole > 1 && s[0] == '0'))
        return false;
    if (s[whole] == '\0')
        return true;
    size_t part = s[whole] == '.' ? strspn(s + whole + 1, "0123456789") : 0;
    return part > 0 && s[whole + 1 + part] == '\0' && s[whole + part] != '0';
}

static inline const char *exposition_value(const struct exposition *e, const char *series)
{
    for (size_t i = 0; i < e->n; i++) {
        if (strcmp(e->at[i].series, series) == 0)
            return e->at[i].value;
    }
    return NULL;
}

/* Buckets ascend in le and count and end in +Inf; _sum and a _count equal to that of +Inf
 * follow. */
static inline bool exposition_histogram(struct exposition *e, char *series, const char *value)
{
    char *suffix = series + strlen(e->family);
    double number = strtod(value, NULL);
    char *le = strstr(series, "le=\"");
    if (strncmp(suffix, "_bucket{", 8) == 0 && le != NULL) {
        double bound = strtod(le + 4, NULL);
        *le = '\0';
        if (e->part == 0)
            e->le = -1, e->bucket = 0;
        else if (e->part != 1 || strcmp(e->base, series) != 0)
            return exposition_fail(e, "bucket out of place", series);
        snprintf(e->base, sizeof(e->base), "%s", series);
        if (!(bound > e->le) || number < e->bucket)
            return exposition_fail(e, "buckets do not rise", series);
        e->le = bound;
        e->bucket = number;
        e->part = strncmp(le + 4, "+Inf", 4) == 0 ? 2 : 1;
        return true;
    }
    if (strncmp(suffix, "_sum", 4) == 0 && e->part == 2) {
        e->part = 3;
        return true;
    }
    if (strncmp(suffix, "_count", 6) == 0 && e->part == 3) {
        e->part = 0;
        return number == e->bucket || exposition_fail(e, "count is not +Inf's bucket", series);
    }
    return exposition_fail(e, "not a histogram's line, or out of order", series);
}

static inline bool exposition_sample(struct exposition *e, const char *line)
{
    size_t name = exposition_name(line), family = strlen(e->family);
    size_t labels = line[name] == '{' ? exposition_labels(line + name) : 0;
    size_t series = name + labels;
    if (name == 0 || line[series] != ' ' || !exposition_is_number(line + series + 1))
        return exposition_fail(e, "malformed sample", line);
    bool histogram = strcmp(e->type, "histogram") == 0;
    if (strncmp(line, e->family, family) != 0 || (!histogram && name != family))
        return exposition_fail(e, "sample outside its family", line);
    if (series >= EXPOSITION_TEXT || e->n == EXPOSITION_SERIES)
        return exposition_fail(e, "too much for this reader", line);

    char text[EXPOSITION_TEXT];
    memcpy(text, line, series);
    text[series] = '\0';
    if (exposition_value(e, text) != NULL)
        return exposition_fail(e, "series twice", line);
    if (strcmp(e->type, "counter") == 0 && line[series + 1] == '-')
        return exposition_fail(e, "negative counter", line);
    snprintf(e->at[e->n].series, sizeof(e->at[0].series), "%s", text);
    snprintf(e->at[e->n].value, sizeof(e->at[0].value), "%s", line + series + 1);
    e->n++;
    return !histogram || exposition_histogram(e, text, line + series + 1);
}

static inline bool exposition_help(struct exposition *e, const char *line)
{
    size_t name = exposition_name(line + 7);
    if (name == 0 || name >= sizeof(e->family) || line[7 + name] != ' ' || e->part != 0)
        return exposition_fail(e, "malformed or misplaced HELP", line);
    for (size_t i = 0; i < e->n; i++) {
        const char *series = e->at[i].series;
        if (exposition_name(series) == name && strncmp(series, line + 7, name) == 0)
            return exposition_fail(e, "family twice", line);
    }
    snprintf(e->family, sizeof(e->family), "%.*s", (int)name, line + 7);
    e->type[0] = '\0';
    e->families++;
    return true;
}

static inline bool exposition_type(struct exposition *e, const char *line)
{
    size_t name = strlen(e->family);
    if (e->type[0] != '\0' || name == 0 || strncmp(line + 7, e->family, name) != 0 ||
        line[7 + name] != ' ')
        return exposition_fail(e, "TYPE without its HELP", line);
    snprintf(e->type, sizeof(e->type), "%s", line + 8 + name);
    bool total = name > 6 && strcmp(e->family + name - 6, "_total") == 0;
    if (total != (strcmp(e->type, "counter") == 0))
        return exposition_fail(e, "_total and counter go together", line);
    return strstr("counter gauge histogram summary", e->type) != NULL ||
           exposition_fail(e, "unknown type", line);
}

static inline bool exposition_line(struct exposition *e, const char *line)
{
    if (strncmp(line, "# HELP ", 7) == 0)
        return exposition_help(e, line);
    if (strncmp(line, "# TYPE ", 7) == 0)
        return exposition_type(e, line);
    if (e->type[0] == '\0')
        return exposition_fail(e, "sample before its TYPE", line);
    return exposition_sample(e, line);
}

/* False: e->wrong has the reason. `e` is large: keep it off the stack. */
static inline bool exposition_read(struct exposition *e, const char *page)
{
    memset(e, 0, sizeof(*e));
    while (*page != '\0') {
        char line[1000];
        size_t n = strcspn(page, "\n");
        if (page[n] != '\n' || n == 0 || n >= sizeof(line))
            return exposition_fail(e, "empty, endless or too long line", page);
        memcpy(line, page, n);
        line[n] = '\0';
        if (!exposition_line(e, line))
            return false;
        page += n + 1;
    }
    return e->part == 0 || exposition_fail(e, "histogram cut short", e->base);
}
