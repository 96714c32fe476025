/* See figure_lines.h. */
#include "proxy/figure_lines.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LABEL 10 /* columns, before a bar */

#define TEXT_MAX 64

/* ---- title and app -------------------------------------------------------------------------- */

static void write_modes(const struct figures *f, char text[TEXT_MAX])
{
    snprintf(text, TEXT_MAX, "%s%s%s%s", f->dry_run ? "  dry run" : "", f->paused ? "  paused" : "",
             f->draining ? "  draining" : "", f->overload ? "  overload" : "");
}

/* The modes are more important than how long it has been running, and that than the address. */
void figure_title(struct text_screen *t, const struct figures *f, const char *where, double now)
{
    struct text_number age = text_age(now - f->started);
    char up[TEXT_MAX] = "", modes[TEXT_MAX], on[TEXT_MAX * 3];

    if (!isnan(f->started))
        snprintf(up, sizeof(up), "up %s", age.text);
    write_modes(f, modes);
    snprintf(on, sizeof(on), " on %s", where);
    text_add(t, TEXT_BOLD, "weir");
    if (f->version[0] != '\0')
        text_addf(t, TEXT_BOLD, " %s", f->version);
    if (strlen(on) + strlen(modes) + 1 + strlen(up) <= text_room(t))
        text_add(t, TEXT_PLAIN, on);
    text_add(t, TEXT_WARN, modes);
    text_right(t, TEXT_DIM, t->columns, up);
    text_end(t);
}

static enum text_style state_style(const char *state)
{
    if (strcmp(state, "ok") == 0 || strcmp(state, "up") == 0)
        return TEXT_GOOD;
    return strcmp(state, "down") == 0 ? TEXT_BAD : TEXT_WARN;
}

void figure_app(struct text_screen *t, const struct figures *f, unsigned rows)
{
    text_add(t, TEXT_PLAIN, "App: ");
    text_add(t, state_style(f->state), f->state[0] == '\0' ? "not known" : f->state);
    text_add(t, TEXT_PLAIN, ".");
    (void)text_wrap(t, TEXT_PLAIN, f->advice, rows);
}

unsigned figure_app_lines(const struct figures *f, unsigned columns)
{
    const char *state = f->state[0] == '\0' ? "not known" : f->state;
    return text_wrapped(f->advice, columns, (unsigned)strlen(state) + strlen("App: ."));
}

/* ---- bars ----------------------------------------------------------------------------------- */

/* "80 of 200". */
static void write_level(double level, double limit, char text[TEXT_MAX])
{
    struct text_number n = text_count(level), of = text_count(limit);

    if (isinf(limit))
        snprintf(text, TEXT_MAX, "%s, no limit", n.text);
    else if (isnan(limit))
        snprintf(text, TEXT_MAX, "%s", n.text);
    else
        snprintf(text, TEXT_MAX, "%s of %s", n.text, of.text);
}

/* The columns of the longer of the two levels: the bars end below each other. */
static unsigned level_columns(const struct figures *f)
{
    char in_flight[TEXT_MAX], waiting[TEXT_MAX];

    write_level(f->in_flight, f->limit, in_flight);
    write_level(f->queued, f->queue_limit, waiting);
    size_t a = strlen(in_flight), b = strlen(waiting);
    return (unsigned)(a > b ? a : b);
}

/* A value above 0 has at least one cell, and only the limit itself has all of them. */
static unsigned cells_of(double value, double limit, unsigned cells)
{
    double share = value / limit * cells;

    if (cells == 0 || !(value > 0))
        return 0;
    if (value >= limit)
        return cells;
    return share < 1 ? 1 : (unsigned)share;
}

/* 0: there is no limit, or no room for a bar. */
static unsigned bar_cells(const struct text_screen *t, const struct figures *f, double limit)
{
    unsigned others = LABEL + level_columns(f) + 1;
    unsigned cells = t->columns > others ? t->columns - others : 0;
    return cells >= 4 && limit > 0 && isfinite(limit) ? cells : 0;
}

/* `light` of the cells are lighter, and those up to the limit only hint at it. */
static void write_bar(struct text_screen *t, enum text_style style, unsigned used, unsigned light,
                      unsigned all)
{
    light = light < used ? light : used;
    text_column(t, LABEL);
    text_bar(t, style, used - light, 0);
    text_bar(t, style, light, 2);
    text_bar(t, TEXT_DIM, all - used, 3);
}

/* Without its limit, if there is no room for it. */
static void add_level(struct text_screen *t, double level, double limit)
{
    struct text_number n = text_count(level);
    char text[TEXT_MAX];

    write_level(level, limit, text);
    bool fits = text_room(t) > strlen(text);
    text_right(t, TEXT_BOLD, t->columns, fits ? text : n.text);
}

/* The part that waits inside the app is lighter, if it is known. */
void figure_in_flight(struct text_screen *t, const struct figures *f)
{
    unsigned all = bar_cells(t, f, f->limit);

    text_add(t, TEXT_PLAIN, "In flight");
    write_bar(t, TEXT_IN_FLIGHT, cells_of(f->in_flight, f->limit, all),
              cells_of(f->hidden_queue, f->limit, all), all);
    add_level(t, f->in_flight, f->limit);
    text_end(t);
}

void figure_waiting(struct text_screen *t, const struct figures *f)
{
    unsigned all = bar_cells(t, f, f->queue_limit);

    text_add(t, TEXT_PLAIN, "Waiting");
    write_bar(t, TEXT_WAITING, cells_of(f->queued, f->queue_limit, all), 0, all);
    add_level(t, f->queued, f->queue_limit);
    text_end(t);
}

/* ---- tables --------------------------------------------------------------------------------- */

static void write_rate(double rate, char text[TEXT_MAX])
{
    struct text_number n = text_rate(rate);
    snprintf(text, TEXT_MAX, "%s%s", n.text, isnan(rate) ? "" : "/s");
}

static enum text_style rate_style(const char *name)
{
    if (strcmp(name, "Finished") == 0)
        return TEXT_PLAIN;
    return strcmp(name, "Clients gone") == 0 ? TEXT_WARN : TEXT_REFUSED;
}

void figure_rate(struct text_screen *t, unsigned column, unsigned end, const char *name,
                 double rate)
{
    char text[TEXT_MAX];

    write_rate(rate, text);
    if (column + strlen(name) + 1 + strlen(text) > t->columns)
        return; /* no name without its value */
    text_column(t, column);
    text_add(t, TEXT_PLAIN, name);
    text_right(t, rate > 0 ? rate_style(name) : TEXT_PLAIN, end, text);
}

void figure_rates(struct text_screen *t, const struct figures *f, unsigned row)
{
    const struct {
        const char *name;
        double now, recent;
    } rates[FIGURE_RATES] = {
        {"", NAN, NAN},
        {"Finished", f->last.finished, f->recent.finished},
        {"Refused", f->last.refused, f->recent.refused},
        {"Clients gone", f->last.client_gone, f->recent.client_gone},
        {"Errors", f->last.errors, f->recent.errors},
    };
    char text[TEXT_MAX];

    CHECK(row < FIGURE_RATES);
    if (row == 0) {
        text_right(t, TEXT_DIM, 20, "now");
        text_right(t, TEXT_DIM, 32, "last minute");
        return;
    }
    figure_rate(t, 0, 20, rates[row].name, rates[row].now);
    write_rate(rates[row].recent, text);
    text_right(t, TEXT_PLAIN, 32, text);
}

static void add_time_heads(struct text_screen *t, unsigned end)
{
    static const char *const heads[FIGURES_QUANTILES] = {"p50", "p90", "p99", "max"};

    for (unsigned q = 0; q < FIGURES_QUANTILES; q++)
        text_right(t, TEXT_DIM, end + 8 * q, heads[q]);
}

void figure_times(struct text_screen *t, const struct figures *f, unsigned row, unsigned column)
{
    static const char *const names[FIGURE_TIMES] = {"", "Wait for a slot", "Time in the app"};
    const double *values = row == 1 ? f->recent.wait : f->recent.app;
    unsigned end = column + 22;

    if (row == 0) {
        add_time_heads(t, end);
        return;
    }
    text_column(t, column);
    text_add(t, TEXT_PLAIN, names[row]);
    for (unsigned q = 0; q < FIGURES_QUANTILES; q++) {
        struct text_number n = text_seconds(values[q]);
        if (row == 1 || q != FIGURES_MAX || !isnan(values[q]))
            text_right(t, TEXT_PLAIN, end + 8 * q, n.text);
    }
}

/* ---- phases --------------------------------------------------------------------------------- */

double figure_sum(const struct figures_list *list)
{
    double sum = 0;

    for (unsigned i = 0; i < list->n; i++)
        sum += list->item[i].value;
    return sum;
}

static enum text_style phase_style(const char *name)
{
    if (strcmp(name, "queue") == 0)
        return TEXT_WAITING;
    return strcmp(name, "first byte") == 0 ? TEXT_IN_FLIGHT : TEXT_PLAIN;
}

/* Neighbours differ, also without colours. */
static unsigned phase_shade(unsigned phase)
{
    static const unsigned char shades[] = {3, 2, 0, 3, 2, 1, 2, 3, 0};
    return shades[phase % sizeof(shades)];
}

static void add_phase(struct text_screen *t, const struct figures_item *item, double share,
                      unsigned shade)
{
    struct text_number n = text_percent(share);
    char text[TEXT_MAX];

    snprintf(text, sizeof(text), " %s %s", item->name, n.text);
    text_column(t, t->column == 0 ? 0 : t->column + 2);
    if (text_room(t) <= strlen(text))
        return;
    text_bar(t, phase_style(item->name), 1, shade);
    text_add(t, TEXT_PLAIN, text);
}

static void add_phase_names(struct text_screen *t, const struct figures_list *phases, double sum)
{
    for (unsigned i = 0; i < phases->n; i++) {
        if (phases->item[i].value >= sum * 0.005)
            add_phase(t, &phases->item[i], phases->item[i].value / sum, phase_shade(i));
    }
}

void figure_phases(struct text_screen *t, const struct figures *f)
{
    const struct figures_list *phases = &f->recent.phases;
    double sum = figure_sum(phases), before = 0;
    unsigned drawn = 0;

    if (!(sum > 0)) {
        text_add(t, TEXT_DIM, "No request has finished in the last minute.");
        text_end(t);
        return;
    }
    for (unsigned i = 0; i < phases->n; i++) {
        before += phases->item[i].value;
        unsigned end = (unsigned)(before / sum * t->columns + 0.5);
        text_bar(t, phase_style(phases->item[i].name), end > drawn ? end - drawn : 0,
                 phase_shade(i));
        drawn = end > drawn ? end : drawn;
    }
    text_end(t);
    add_phase_names(t, phases, sum);
    text_end(t);
}

/* ---- the others ----------------------------------------------------------------------------- */

void figure_item(struct text_screen *t, enum text_style style, unsigned end, const char *text)
{
    bool fits = t->column == 0 || t->column + 3 + strlen(text) <= t->columns;

    if (t->row + !fits >= end)
        return; /* a shorter one may fit */
    if (!fits)
        text_end(t);
    if (t->column > 0)
        text_column(t, t->column + 3);
    (void)text_whole(t, style, text);
}

static void item(struct text_screen *t, enum text_style style, unsigned end, const char *name,
                 struct text_number n)
{
    char text[TEXT_MAX];

    snprintf(text, sizeof(text), "%s %s", name, n.text);
    figure_item(t, style, end, text);
}

static void add_app_items(struct text_screen *t, const struct figures *f, unsigned end)
{
    if (!isnan(f->parallelism))
        item(t, TEXT_PLAIN, end, "App works on", text_count(f->parallelism));
    if (f->hidden_queue > 0)
        item(t, TEXT_WARN, end, "Waiting inside it", text_count(f->hidden_queue));
    if (f->unread > 0)
        item(t, TEXT_WARN, end, "Not read by the app", text_count(f->unread));
}

void figure_others(struct text_screen *t, const struct figures *f, unsigned end)
{
    double overloaded = f->overloaded;

    add_app_items(t, f, end);
    if (f->queued > 0) {
        item(t, TEXT_PLAIN, end, "Oldest wait", text_seconds(f->oldest_wait));
        item(t, TEXT_PLAIN, end, "Queue empty in", text_seconds(f->queue_empty_in));
    }
    item(t, f->orphans > 0 ? TEXT_WARN : TEXT_PLAIN, end, "Orphans", text_count(f->orphans));
    item(t, TEXT_PLAIN, end, "No free slot", text_percent(f->recent.saturated));
    if (f->overload || overloaded > 0)
        item(t, f->overload ? TEXT_WARN : TEXT_PLAIN, end, "Overload", text_seconds(overloaded));
    if (f->bypass_limit > 0)
        item(t, TEXT_PLAIN, end, "Bypass in flight", text_count(f->bypass_in_flight));
    if (f->upgrades > 0)
        item(t, TEXT_PLAIN, end, "Tunnels", text_count(f->upgrades));
    if (f->recent.loop_lag > 0.01)
        item(t, TEXT_WARN, end, "Loop lag", text_seconds(f->recent.loop_lag));
}
