/*
 * See top_screen.h. The screen consists of parts, one below the other. plan() gives each part its
 * rows: first the fewest that it can use, in the order of importance; then what remains.
 */
#include "proxy/top_screen.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "proxy/figure_lines.h"

#define WIDE      80 /* columns; with fewer, there is one table below the other */
#define LABEL     10 /* columns, before a chart */
#define PEAK      12 /* columns, after a chart; not in a narrow screen */
#define CHART_MAX 1024
#define TEXT_MAX  160
#define PARTS_MAX 16

static bool is_wide(const struct text_screen *t)
{
    return t->columns >= WIDE;
}

/* ---- charts --------------------------------------------------------------------------------- */

/* The seconds of history that each column of a chart stands for. */
struct chart {
    double values[CHART_MAX];
    unsigned columns, seconds;
    double peak;
};

static double second_of(const struct figures_second *s, size_t which)
{
    double value;

    memcpy(&value, (const char *)s + which, sizeof(value));
    return value;
}

static void chart_put(struct chart *c, unsigned column, double value)
{
    if (isnan(value))
        return;
    if (isnan(c->values[column]) || value > c->values[column])
        c->values[column] = value;
    if (value > c->peak)
        c->peak = value;
}

/*
 * Each column is the peak of a few seconds. These begin at multiples of their number since 1970, so
 * that the chart moves by whole columns and keeps its shape.
 */
static void chart_read(struct chart *c, const struct figures_history *h, size_t which,
                       unsigned columns)
{
    c->columns = columns < CHART_MAX ? columns : CHART_MAX;
    c->seconds = c->columns == 0 ? 1 : (FIGURES_SECONDS + c->columns - 1) / c->columns;
    c->peak = 0;
    for (unsigned i = 0; i < c->columns; i++)
        c->values[i] = NAN;
    for (unsigned i = 0; i < h->n; i++) {
        int64_t second = h->end - (int64_t)(h->n - 1 - i);
        int64_t age = h->end / c->seconds - second / c->seconds;
        if (age < (int64_t)c->columns)
            chart_put(c, c->columns - 1 - (unsigned)age, second_of(&h->at[i], which));
    }
}

/* At most one per second. */
static unsigned chart_columns(const struct text_screen *t)
{
    unsigned others = LABEL + (is_wide(t) ? PEAK : 0);
    unsigned columns = t->columns > others ? t->columns - others : 0;
    return columns < FIGURES_SECONDS ? columns : FIGURES_SECONDS;
}

struct chart_kind {
    const char *name;
    size_t which; /* in figures_second */
    enum text_style style;
};

static void write_chart(const struct top_view *v, struct text_screen *t, unsigned rows,
                        const struct chart_kind *kind, double scale)
{
    struct chart c;
    char text[TEXT_MAX];

    chart_read(&c, &v->history, kind->which, chart_columns(t));
    struct text_number peak = text_count(c.peak);
    snprintf(text, sizeof(text), "peak %s", peak.text);
    scale = scale > c.peak && !isinf(scale) ? scale : c.peak;
    for (unsigned row = 0; row < rows; row++) {
        text_add(t, TEXT_PLAIN, row == rows - 1 ? kind->name : "");
        text_column(t, LABEL);
        text_chart(t, kind->style, c.values, c.columns, scale, row, rows);
        if (is_wide(t) && row == rows - 1)
            text_right(t, TEXT_PLAIN, t->columns, text);
        text_end(t);
    }
}

static void write_in_flight_chart(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    static const struct chart_kind kind = {"In flight", offsetof(struct figures_second, in_flight),
                                           TEXT_IN_FLIGHT};

    write_chart(v, t, rows, &kind, v->now.limit);
}

static void write_waiting_chart(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    static const struct chart_kind kind = {"Waiting", offsetof(struct figures_second, waiting),
                                           TEXT_WAITING};

    write_chart(v, t, rows, &kind, 0);
}

static void write_refused_chart(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    static const struct chart_kind kind = {"Refused", offsetof(struct figures_second, refused),
                                           TEXT_REFUSED};

    write_chart(v, t, rows, &kind, 0);
}

static void write_chart_head(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    struct chart c;
    (void)rows;

    chart_read(&c, &v->history, 0, chart_columns(t));
    text_column(t, LABEL);
    if (c.seconds > 1)
        text_addf(t, TEXT_DIM, "The last 5 minutes, with the peak of each %u seconds", c.seconds);
    else
        text_add(t, TEXT_DIM, "The last 5 minutes, second by second");
    text_end(t);
}

/* ---- the other parts ------------------------------------------------------------------------ */

static void write_title(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    (void)rows;
    figure_title(t, &v->now, v->where, v->time);
}

static void write_app(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    if (v->restarted)
        text_add(t, TEXT_WARN, "weir has restarted. ");
    figure_app(t, &v->now, rows);
}

static void write_trouble_text(const struct top_view *v, char text[TEXT_MAX])
{
    struct text_number silent = text_age(v->silent);

    snprintf(text, TEXT_MAX, "For %s, %.120s. Trying again.", silent.text, v->trouble);
}

/* While weir does not respond, all figures are old, and faded. */
static void write_trouble(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    char text[TEXT_MAX];

    write_trouble_text(v, text);
    t->faded = false;
    (void)text_wrap(t, TEXT_BAD, text, rows);
    t->faded = true;
}

static void write_in_flight(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    (void)rows;
    figure_in_flight(t, &v->now);
}

static void write_waiting(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    (void)rows;
    figure_waiting(t, &v->now);
}

/* Both tables side by side. */
static void write_tables(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    for (unsigned row = 0; row < rows; row++) {
        figure_rates(t, &v->now, row);
        if (row < FIGURE_TIMES)
            figure_times(t, &v->now, row, 34);
        text_end(t);
    }
}

static void write_rates(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    for (unsigned row = 0; row < rows; row++) {
        figure_rates(t, &v->now, row);
        text_end(t);
    }
}

static void write_times(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    for (unsigned row = 0; row < rows; row++) {
        figure_times(t, &v->now, row, 0);
        text_end(t);
    }
}

/* In a small screen: two lines of two rates each, and a line of percentiles for each time. */
static void write_two_rates(struct text_screen *t, const char *a, double rate_a, const char *b,
                            double rate_b)
{
    unsigned half = t->columns < 40 ? 20 : t->columns / 2;

    figure_rate(t, 0, half - 2, a, rate_a);
    figure_rate(t, half, t->columns, b, rate_b);
    text_end(t);
}

static void write_small_rates(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    (void)rows;
    write_two_rates(t, "Finished", v->now.last.finished, "Refused", v->now.last.refused);
}

static void write_small_losses(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    (void)rows;
    write_two_rates(t, "Clients gone", v->now.last.client_gone, "Errors", v->now.last.errors);
}

static void write_small_time(struct text_screen *t, const char *name, const double *values)
{
    static const char *const names[] = {"p50", "p90", "p99"};
    char text[TEXT_MAX];

    text_add(t, TEXT_PLAIN, name);
    for (unsigned q = 0; q < FIGURES_MAX; q++) {
        struct text_number n = text_seconds(values[q]);
        snprintf(text, sizeof(text), "%s %s", names[q], n.text);
        text_column(t, 6 + q * 12);
        (void)text_whole(t, TEXT_PLAIN, text);
    }
    text_end(t);
}

static void write_small_times(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    (void)rows;
    write_small_time(t, "Wait", v->now.recent.wait);
    write_small_time(t, "App", v->now.recent.app);
}

static void write_phases(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    if (rows == 3) {
        text_add(t, TEXT_DIM, "Where the time went, last minute");
        text_end(t);
    }
    figure_phases(t, &v->now);
}

static void add_refusals(const struct figures_list *refused, struct text_screen *t, unsigned end)
{
    char text[TEXT_MAX];

    for (unsigned i = 0; i < refused->n; i++) {
        struct text_number n = text_count(refused->item[i].value);
        if (!(refused->item[i].value > 0))
            continue;
        snprintf(text, sizeof(text), "Refused, %s %s", refused->item[i].name, n.text);
        figure_item(t, TEXT_REFUSED, end, text);
    }
}

static void write_others(const struct top_view *v, struct text_screen *t, unsigned rows)
{
    unsigned end = t->row + rows;

    figure_others(t, &v->now, end);
    add_refusals(&v->history.refused, t, end);
    while (t->row < end)
        text_end(t);
}

/* ---- which parts, and how many rows each ---------------------------------------------------- */

struct part {
    void (*write)(const struct top_view *v, struct text_screen *t, unsigned rows);
    unsigned importance; /* 0 is the most important */
    unsigned least;      /* rows; with fewer, it is left out */
    unsigned wish;       /* more of them, if all parts have their least */
    bool spaced;         /* an empty line before it, if there is room */
    bool grows;          /* takes what remains */
    unsigned rows;       /* given */
};

struct plan {
    struct part part[PARTS_MAX];
    unsigned n, left;
};

static void add_part(struct plan *p, struct part part)
{
    CHECK(p->n < PARTS_MAX);
    p->part[p->n++] = part;
}

/* Up to a third of the screen: the sentence is more important than the charts. */
static unsigned least_of(unsigned lines, const struct text_screen *t)
{
    unsigned third = t->rows < 6 ? 1 : t->rows / 3;
    return lines < third ? lines : third;
}

static void add_head_parts(struct plan *p, const struct top_view *v, const struct text_screen *t)
{
    unsigned lines = figure_app_lines(&v->now, t->columns) + (v->restarted ? 1 : 0);
    void (*write)(const struct top_view *, struct text_screen *, unsigned) = write_app;
    char text[TEXT_MAX];

    if (v->trouble != NULL) {
        write_trouble_text(v, text);
        lines = text_wrapped(text, t->columns, 0);
        write = write_trouble;
    }
    add_part(p, (struct part){write_title, 3, .least = 1});
    add_part(p, (struct part){write, 0, .least = least_of(lines, t), .wish = lines});
    add_part(p, (struct part){write_in_flight, 1, .least = 1, .spaced = true});
    add_part(p, (struct part){write_waiting, 2, .least = 1});
}

static void add_chart_parts(struct plan *p, const struct text_screen *t)
{
    unsigned wish = is_wide(t) ? 2 : 1;

    if (is_wide(t))
        add_part(p, (struct part){write_chart_head, 12, .least = 1, .spaced = true});
    add_part(p, (struct part){write_in_flight_chart, 6, .least = 1, .wish = wish, .grows = true});
    add_part(p, (struct part){write_waiting_chart, 6, .least = 1, .wish = wish, .grows = true});
    add_part(p, (struct part){write_refused_chart, 11, .least = 1});
}

static void add_table_parts(struct plan *p, const struct text_screen *t)
{
    if (is_wide(t) && t->rows >= 10) {
        add_part(p, (struct part){write_tables, 4, .least = FIGURE_RATES, .spaced = true});
    } else if (t->rows >= 22) {
        add_part(p, (struct part){write_rates, 4, .least = FIGURE_RATES, .spaced = true});
        add_part(p, (struct part){write_times, 5, .least = FIGURE_TIMES, .spaced = true});
    } else {
        add_part(p, (struct part){write_small_rates, 4, .least = 1, .spaced = true});
        add_part(p, (struct part){write_small_losses, 8, .least = 1});
        add_part(p, (struct part){write_small_times, 5, .least = 2});
    }
}

static void add_parts(struct plan *p, const struct top_view *v, const struct text_screen *t)
{
    add_head_parts(p, v, t);
    add_chart_parts(p, t);
    add_table_parts(p, t);
    add_part(p, (struct part){write_phases, 10, .least = 2, .wish = 3, .spaced = true});
    add_part(p, (struct part){write_others, 9, .least = 1, .wish = t->rows >= 32 ? 3 : 2,
                              .spaced = true});
}

static void give(struct plan *p, struct part *part, unsigned rows)
{
    if (rows <= p->left) {
        part->rows += rows;
        p->left -= rows;
    }
}

/* The least of all parts, then what they wish for; both in the order of importance. */
static void give_in_order(struct plan *p, bool wishes)
{
    for (unsigned importance = 0; importance <= 12; importance++) {
        for (unsigned i = 0; i < p->n; i++) {
            struct part *part = &p->part[i];
            if (part->importance != importance)
                continue;
            if (!wishes)
                give(p, part, part->least);
            while (wishes && part->rows > 0 && part->rows < part->wish && p->left > 0)
                give(p, part, 1);
        }
    }
}

static bool give_space(struct plan *p, const struct part *part)
{
    bool given = part->spaced && part->rows > 0 && p->left > 0;
    p->left -= given;
    return given;
}

static void grow(struct plan *p)
{
    bool any = true;

    while (p->left > 0 && any) {
        any = false;
        for (unsigned i = 0; i < p->n && p->left > 0; i++) {
            if (p->part[i].grows && p->part[i].rows > 0) {
                give(p, &p->part[i], 1);
                any = true;
            }
        }
    }
}

void top_screen_write(const struct top_view *v, struct text_screen *t)
{
    struct plan p = {.left = t->rows};

    t->faded = v->trouble != NULL;
    add_parts(&p, v, t);
    give_in_order(&p, false);
    give_in_order(&p, true);
    for (unsigned i = 0; i < p.n; i++)
        p.part[i].spaced = give_space(&p, &p.part[i]);
    grow(&p);
    for (unsigned i = 0; i < p.n; i++) {
        if (p.part[i].spaced)
            text_end(t);
        if (p.part[i].rows > 0)
            p.part[i].write(v, t, p.part[i].rows);
    }
}

/* ---- a line --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    unsigned end;
} columns[] = {{"in flight", 31}, {"waiting", 39},  {"done/s", 46}, {"refused/s", 56},
               {"gone/s", 63},    {"wait p99", 72}, {"app p99", 80}};

void top_line_write_names(struct text_screen *t)
{
    text_add(t, TEXT_PLAIN, "time");
    text_column(t, 9);
    text_add(t, TEXT_PLAIN, "app");
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        text_right(t, TEXT_PLAIN, columns[i].end, columns[i].name);
    text_end(t);
}

void top_line_write(const struct top_view *v, const char *clock, struct text_screen *t)
{
    const struct figures *f = &v->now;
    struct text_number in_flight = text_count(f->in_flight), limit = text_count(f->limit);
    char level[TEXT_MAX];

    text_add(t, TEXT_PLAIN, clock);
    text_column(t, 9);
    if (v->trouble != NULL) {
        text_addf(t, TEXT_PLAIN, "%s", v->trouble);
        text_end(t);
        return;
    }
    text_add(t, TEXT_PLAIN, f->state[0] == '\0' ? "not known" : f->state);
    snprintf(level, sizeof(level), "%s/%s", in_flight.text, isinf(f->limit) ? "-" : limit.text);
    const struct text_number numbers[] = {text_count(f->queued),
                                          text_rate(f->last.finished),
                                          text_rate(f->last.refused),
                                          text_rate(f->last.client_gone),
                                          text_seconds(f->last.wait[FIGURES_P99]),
                                          text_seconds(f->last.app[FIGURES_P99])};
    text_right(t, TEXT_PLAIN, columns[0].end, level);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        text_right(t, TEXT_PLAIN, columns[i + 1].end, numbers[i].text);
    text_end(t);
}
