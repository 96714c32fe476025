/* See status_page.h. */
#include "proxy/status_page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proxy/figure_lines.h"

#define NAMES  18 /* columns of names, before a value */
#define VALUES 8  /* columns of a value */

static void write_level_line(struct text_screen *t, const char *name, double mean, double peak)
{
    struct text_number m = text_rate(mean), p = text_count(peak);

    text_add(t, TEXT_PLAIN, name);
    text_right(t, TEXT_PLAIN, 20, m.text);
    text_right(t, TEXT_PLAIN, 32, p.text);
    text_end(t);
}

static void write_levels(const struct figures *f, struct text_screen *t)
{
    figure_in_flight(t, f);
    figure_waiting(t, f);
    text_end(t);
    figure_others(t, f, TEXT_ANY_ROWS);
    text_end(t);
    text_end(t);
    text_add(t, TEXT_DIM, "Last minute");
    text_right(t, TEXT_DIM, 20, "mean");
    text_right(t, TEXT_DIM, 32, "peak");
    text_end(t);
    write_level_line(t, "In flight", f->recent.in_flight_mean, f->recent.in_flight_peak);
    write_level_line(t, "Waiting", f->recent.queued_mean, f->recent.queue_peak);
    text_end(t);
}

static void write_tables(const struct figures *f, struct text_screen *t)
{
    for (unsigned row = 0; row < FIGURE_RATES; row++) {
        figure_rates(t, f, row);
        text_end(t);
    }
    text_end(t);
    for (unsigned row = 0; row < FIGURE_TIMES; row++) {
        if (row == 0)
            text_add(t, TEXT_DIM, "Last minute");
        figure_times(t, f, row, 0);
        text_end(t);
    }
    text_end(t);
}

static void write_share(struct text_screen *t, const struct figures_item *item, double share)
{
    struct text_number n = text_percent(share);
    unsigned room = t->columns > NAMES + VALUES + 2 ? t->columns - NAMES - VALUES - 2 : 0;

    text_add(t, TEXT_PLAIN, item->name);
    text_right(t, TEXT_PLAIN, NAMES + VALUES, n.text);
    text_column(t, NAMES + VALUES + 2);
    text_bar(t, TEXT_IN_FLIGHT, (unsigned)(share * room + 0.5), 0);
    text_end(t);
}

static void write_phases(const struct figures *f, struct text_screen *t)
{
    const struct figures_list *phases = &f->recent.phases;
    double sum = figure_sum(phases);

    text_add(t, TEXT_DIM, "Where the time went, last minute");
    text_end(t);
    for (unsigned i = 0; i < phases->n && sum > 0; i++)
        write_share(t, &phases->item[i], phases->item[i].value / sum);
    if (!(sum > 0)) {
        text_add(t, TEXT_PLAIN, "No request has finished.");
        text_end(t);
    }
}

static void write_refused(const struct figures *f, struct text_screen *t)
{
    double sum = figure_sum(&f->refused);
    struct text_number all = text_count(sum);

    text_end(t);
    text_add(t, TEXT_DIM, "Refused since weir started");
    text_right(t, sum > 0 ? TEXT_REFUSED : TEXT_PLAIN, 32, all.text);
    text_end(t);
    for (unsigned i = 0; i < f->refused.n; i++) {
        struct text_number n = text_count(f->refused.item[i].value);
        if (!(f->refused.item[i].value > 0))
            continue;
        text_addf(t, TEXT_PLAIN, "  %s", f->refused.item[i].name);
        text_right(t, TEXT_PLAIN, 32, n.text);
        text_end(t);
    }
}

void status_page_write(const struct figures *f, const char *where, double now,
                       struct text_screen *t)
{
    figure_app(t, f, TEXT_ANY_ROWS);
    text_end(t);
    figure_title(t, f, where, now);
    text_end(t);
    write_levels(f, t);
    write_tables(f, t);
    write_phases(f, t);
    write_refused(f, t);
}
