/* Lines that `weir status` and `weir top` share: the figures of a running weir in words. Pure. */
#pragma once

#include "proxy/figures.h"
#include "proxy/text_screen.h"

/* "weir 0.1.0 on 127.0.0.1:9480", what is unusual about it, and how long it has been running, at
 * `now` in seconds since 1970. */
void figure_title(struct text_screen *t, const struct figures *f, const char *where, double now);

/* The state of the app and the advice, in at most `rows` lines; and the lines that they take. */
void figure_app(struct text_screen *t, const struct figures *f, unsigned rows);
unsigned figure_app_lines(const struct figures *f, unsigned columns);

/* "In flight" and "Waiting" against their limits, each with a bar. */
void figure_in_flight(struct text_screen *t, const struct figures *f);
void figure_waiting(struct text_screen *t, const struct figures *f);

/* A rate: its name from `column` on, and its value before column `end`. */
void figure_rate(struct text_screen *t, unsigned column, unsigned end, const char *name,
                 double rate);

/* A table: rates per second now and in the last minute. Row 0 has the names of the columns. */
#define FIGURE_RATES 5
void figure_rates(struct text_screen *t, const struct figures *f, unsigned row);

/* A table: quantiles of the last minute, from `column` on; those for which there is room. */
#define FIGURE_TIMES 3
void figure_times(struct text_screen *t, const struct figures *f, unsigned row, unsigned column);

/* One bar of all phases, and their names; in 2 lines. */
void figure_phases(struct text_screen *t, const struct figures *f);

/* Adds a text to the line; if there is no room for it, to the next one, if that is before row
 * `end`; else nothing. */
void figure_item(struct text_screen *t, enum text_style style, unsigned end, const char *text);

/* Other figures, each only if it applies, in the lines up to row `end`; does not end the last
 * line. */
void figure_others(struct text_screen *t, const struct figures *f, unsigned end);

/* The sum of a list. */
double figure_sum(const struct figures_list *list);
