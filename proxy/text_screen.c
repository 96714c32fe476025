/* See text_screen.h. */
#include "proxy/text_screen.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"

/* ---- lines ---------------------------------------------------------------------------------- */

static const char *const codes[TEXT_STYLES] = {
    [TEXT_PLAIN] = "",       [TEXT_BOLD] = "1",     [TEXT_DIM] = "2",
    [TEXT_GOOD] = "32",      [TEXT_WARN] = "33",    [TEXT_BAD] = "1;31",
    [TEXT_IN_FLIGHT] = "36", [TEXT_WAITING] = "33", [TEXT_REFUSED] = "31",
};

unsigned text_room(const struct text_screen *t)
{
    unsigned used = t->column + t->pad;
    return t->row < t->rows && used < t->columns ? t->columns - used : 0;
}

/* Between these two, text of `columns` columns is added to t->out. Only if there is room. */
static void begin(struct text_screen *t, enum text_style style)
{
    const char *code = codes[t->faded ? TEXT_DIM : style];

    for (; t->pad > 0; t->pad--) {
        strbuf_adds(t->out, " ");
        t->column++;
    }
    if (t->colour && *code != '\0')
        strbuf_addf(t->out, "\033[%sm", code);
}

static void finish(struct text_screen *t, enum text_style style, unsigned columns)
{
    t->column += columns;
    if (t->colour && *codes[t->faded ? TEXT_DIM : style] != '\0')
        strbuf_adds(t->out, "\033[0m");
}

static void add_span(struct text_screen *t, enum text_style style, struct span text)
{
    unsigned room = text_room(t), columns = 0;

    if (room == 0 || text.len == 0)
        return;
    begin(t, style);
    for (; text.len > 0 && columns < room; columns++) {
        size_t len = utf8_length(text);
        bool printable = *text.at >= ' ' && *text.at <= '~';
        strbuf_add(t->out, printable ? text.at : "?", 1);
        len += len == 0;
        text = (struct span){text.at + len, text.len - len};
    }
    finish(t, style, columns);
}

void text_add(struct text_screen *t, enum text_style style, const char *text)
{
    add_span(t, style, span_of(text));
}

void text_addf(struct text_screen *t, enum text_style style, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    text_add(t, style, text);
}

bool text_whole(struct text_screen *t, enum text_style style, const char *text)
{
    if (strlen(text) > text_room(t))
        return false;
    text_add(t, style, text);
    return true;
}

void text_column(struct text_screen *t, unsigned column)
{
    unsigned at = t->column;

    t->pad = at >= column ? at > 0 : column - at;
}

void text_right(struct text_screen *t, enum text_style style, unsigned end, const char *text)
{
    unsigned len = (unsigned)strlen(text);

    text_column(t, end > len ? end - len : 0);
    (void)text_whole(t, style, text);
    t->pad = 0;
}

void text_end(struct text_screen *t)
{
    if (t->row < t->rows)
        strbuf_adds(t->out, "\n");
    t->row++;
    t->column = t->pad = 0;
}

/* ---- words ---------------------------------------------------------------------------------- */

/* The next word, and the text after it. */
static struct span next_word(const char **text)
{
    const char *at = *text + strspn(*text, " ");
    size_t len = strcspn(at, " ");

    *text = at + len;
    return (struct span){at, len};
}

unsigned text_wrapped(const char *text, unsigned columns, unsigned column)
{
    unsigned lines = 1;

    for (struct span word = next_word(&text); word.len > 0; word = next_word(&text)) {
        unsigned len = (unsigned)word.len;
        bool fits = column == 0 || column + 1 + len <= columns;
        lines += !fits;
        column = fits && column > 0 ? column + 1 + len : len;
    }
    return lines;
}

static void add_word(struct text_screen *t, enum text_style style, struct span word)
{
    if (t->column > 0)
        t->pad = 1;
    add_span(t, style, word);
}

/* Whether the word can stand in the line; in the last one, with "..." after it unless it is the
 * last word. */
static bool has_room(const struct text_screen *t, struct span word, const char *rest, bool last)
{
    size_t len = word.len + (t->column > 0) + (last && rest[strspn(rest, " ")] != '\0' ? 3 : 0);
    return t->column == 0 || t->column + len <= t->columns;
}

static void add_dots(struct text_screen *t, enum text_style style)
{
    t->pad = 0;
    add_span(t, style, SPAN("..."));
}

unsigned text_wrap(struct text_screen *t, enum text_style style, const char *text, unsigned rows)
{
    unsigned lines = 1;

    for (struct span word = next_word(&text); word.len > 0; word = next_word(&text)) {
        bool fits = has_room(t, word, text, lines >= rows);
        if (!fits && lines >= rows) {
            add_dots(t, style);
            break;
        }
        if (!fits) {
            text_end(t);
            lines++;
        }
        add_word(t, style, word);
    }
    text_end(t);
    return lines;
}

/* ---- bars and charts ------------------------------------------------------------------------ */

void text_bar(struct text_screen *t, enum text_style style, unsigned cells, unsigned shade)
{
    static const char *const blocks[] = {"█", "▓", "▒", "░"}, *const ascii[] = {"#", "=", "-", "."};
    unsigned room = text_room(t);

    cells = cells < room ? cells : room;
    if (cells == 0)
        return;
    begin(t, style);
    for (unsigned i = 0; i < cells; i++)
        strbuf_adds(t->out, (t->unicode ? blocks : ascii)[shade % 4]);
    finish(t, style, cells);
}

/* Eighths of a row that are filled, from 0 to 8. */
static unsigned level_of(double value, double scale, unsigned row, unsigned rows)
{
    double all = 8.0 * rows, level = scale > 0 ? value / scale * all : 0;

    if (!(value > 0))
        return 0;
    level = level < 1 ? 1 : level > all ? all : (double)(unsigned)(level + 0.5);
    level -= 8.0 * (rows - 1 - row);
    return level < 0 ? 0 : level > 8 ? 8 : (unsigned)level;
}

/* In the lowest row, a 0 differs from what is not known. */
static const char *chart_cell(bool unicode, double value, double scale, unsigned row, unsigned rows)
{
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const ascii[] = {" ", ".", ".", ":", ":", "+", "+", "#", "#"};
    unsigned level = level_of(value, scale, row, rows);

    if (level == 0 && row == rows - 1 && !isnan(value))
        return unicode ? "." : "_";
    return (unicode ? blocks : ascii)[level];
}

void text_chart(struct text_screen *t, enum text_style style, const double *values, unsigned n,
                double scale, unsigned row, unsigned rows)
{
    unsigned room = text_room(t);

    n = n < room ? n : room;
    if (n == 0)
        return;
    begin(t, style);
    for (unsigned i = 0; i < n; i++)
        strbuf_adds(t->out, chart_cell(t->unicode, values[i], scale, row, rows));
    finish(t, style, n);
}

/* ---- numbers -------------------------------------------------------------------------------- */

PRINTF_LIKE(1, 2)
static struct text_number number(const char *fmt, ...)
{
    struct text_number n;
    va_list args;

    va_start(args, fmt);
    vsnprintf(n.text, sizeof(n.text), fmt, args);
    va_end(args);
    return n;
}

/* With three digits, or as many as it has. */
static struct text_number three_digits(double n, const char *unit)
{
    int decimals = n < 9.995 ? 2 : n < 99.95 ? 1 : 0;
    return number("%.*f%s", decimals, n, unit);
}

struct text_number text_count(double n)
{
    static const char *const units[] = {"k", "M", "G", "T"};
    unsigned unit = 0;

    if (isnan(n))
        return number("-");
    if (n < 99999.5)
        return number("%.0f", n < 0 ? 0 : n);
    for (n /= 1000; n >= 999.5 && unit < 3; unit++)
        n /= 1000;
    return n < 9999.5 ? three_digits(n, units[unit]) : number(">9999T");
}

struct text_number text_rate(double n)
{
    if (isnan(n))
        return number("-");
    if (n < 0.005)
        return number(n > 0 ? "<0.01" : "0");
    return n < 99.95 ? number("%.*f", n < 0.995 ? 2 : 1, n) : text_count(n);
}

struct text_number text_seconds(double s)
{
    if (isnan(s))
        return number("-");
    if (!(s > 0))
        return number("0 s");
    if (s < 0.0009995)
        return number("%.0f us", s * 1e6);
    if (s < 0.00995)
        return number("%.1f ms", s * 1000);
    if (s < 0.9995)
        return number("%.0f ms", s * 1000);
    if (s < 599.5)
        return three_digits(s, " s");
    if (s < 5970)
        return number("%.0f min", s / 60);
    return s < 3600 * 999.5 ? number("%.0f h", s / 3600) : number(">999 h");
}

struct text_number text_percent(double share)
{
    double p = share * 100;

    if (isnan(share))
        return number("-");
    if (p > 0 && p < 0.995)
        return number("<1 %%");
    if (p > 99 && p < 99.995)
        return number(">99 %%");
    return number("%.0f %%", p < 0 ? 0 : p > 999 ? 999 : p);
}

struct text_number text_age(double s)
{
    if (!(s >= 0 && s < 86400.0 * 9999))
        return number("-");
    long n = (long)s;
    if (n < 60)
        return number("%ld s", n);
    if (n < 3600)
        return number("%ld min", n / 60);
    if (n < 86400)
        return number("%ld h %ld min", n / 3600, n / 60 % 60);
    return number("%ld d %ld h", n / 86400, n / 3600 % 24);
}
