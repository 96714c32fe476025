/*
 * Text for a terminal of a given size: lines that are never wider than its columns, and no more of
 * them than its rows, with bars and charts. Text comes from a running weir and is not trusted: what
 * is not printable ASCII becomes a question mark, so each character takes one column. Pure.
 */
#pragma once

#include <stdbool.h>

#include "common/check.h"
#include "common/strbuf.h"

enum text_style {
    TEXT_PLAIN,
    TEXT_BOLD,
    TEXT_DIM,
    TEXT_GOOD,
    TEXT_WARN,
    TEXT_BAD,
    TEXT_IN_FLIGHT,
    TEXT_WAITING,
    TEXT_REFUSED,
    TEXT_STYLES,
};

#define TEXT_ANY_ROWS 1000000u /* for a page that scrolls */

/* The caller sets the members of the first part, and zero-initialises the others. */
struct text_screen {
    struct strbuf *out; /* not owned */
    unsigned columns, rows;
    bool colour;
    bool unicode;         /* block characters in UTF-8; false: ASCII only */
    bool faded;           /* all styles become TEXT_DIM */
    unsigned row, column; /* the next character's */
    unsigned pad;         /* spaces before it */
};

/* The columns that are left in this line; 0 in a line beyond the last row. */
unsigned text_room(const struct text_screen *t);

/* As much of the text as there is room for. */
void text_add(struct text_screen *t, enum text_style style, const char *text);
PRINTF_LIKE(3, 4)
void text_addf(struct text_screen *t, enum text_style style, const char *fmt, ...);

/* The whole text, or nothing, since a number that is cut off would be wrong. True: it was written.
 */
bool text_whole(struct text_screen *t, enum text_style style, const char *text);

/* The next text begins in this column, or after a space if the line is there already. */
void text_column(struct text_screen *t, unsigned column);

/* The whole text so that it ends before column `end`, with a space before it; or nothing. */
void text_right(struct text_screen *t, enum text_style style, unsigned end, const char *text);

/* Ends the line. */
void text_end(struct text_screen *t);

/* Words, from where the line is, in at most `rows` lines; the last one is ended too. If they do not
 * fit, the last line ends in "...". Returns the lines. */
unsigned text_wrap(struct text_screen *t, enum text_style style, const char *text, unsigned rows);

/* The lines that text_wrap() would take if the line is at `column`. */
unsigned text_wrapped(const char *text, unsigned columns, unsigned column);

/* Cells of a bar; `shade` 0 is solid, and 1 to 3 are ever lighter. */
void text_bar(struct text_screen *t, enum text_style style, unsigned cells, unsigned shade);

/*
 * One row of a chart of `rows` rows; row 0 is the top. A value of `scale` fills all rows, one above
 * 0 is always visible, 0 is a dot, and NAN, which is not known, is empty.
 */
void text_chart(struct text_screen *t, enum text_style style, const double *values, unsigned n,
                double scale, unsigned row, unsigned rows);

/* ---- numbers: at most 6 characters, "-" if they are NAN -------------------------------------- */

struct text_number {
    char text[16];
};

struct text_number text_count(double n);       /* "80", "12345", "123k" */
struct text_number text_rate(double n);        /* "0", "0.02", "3.4", "123" */
struct text_number text_seconds(double s);     /* "123 us", "12 ms", "1.23 s", "12 min" */
struct text_number text_percent(double share); /* "54 %" of 0.54; "<1 %" */
struct text_number text_age(double s);         /* longer: "40 s", "2 h 13 min", "12 d 3 h" */
