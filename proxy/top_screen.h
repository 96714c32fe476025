/*
 * The screen of `weir top`: figures in, lines out, for a terminal of any size. If not all of it
 * fits, the most important lines are kept; if there is more room, the charts become higher. Pure.
 */
#pragma once

#include "proxy/figures.h"
#include "proxy/text_screen.h"

struct top_view {
    struct figures now; /* the latest that are known */
    struct figures_history history;
    const char *where;   /* the address of the admin port */
    const char *trouble; /* "no response..."; NULL: there was one */
    double silent;       /* for so many seconds */
    double time;         /* seconds since 1970 */
    bool restarted;      /* recently */
};

/* At most t->rows lines. */
void top_screen_write(const struct top_view *v, struct text_screen *t);

/* The same for a file or a pipe: one line of at most 80 columns, after a line with their names. */
void top_line_write_names(struct text_screen *t);
void top_line_write(const struct top_view *v, const char *clock, struct text_screen *t);
