/* The screen of `weir top` in terminals of many sizes. */
#include <stdlib.h>

#include "proxy/top_screen.h"
#include "tests/unit/proxy/screen_fixture.h"

/* A view with history: a wave of 80 in flight, and a burst of waiting requests. */
static struct top_view *view(void)
{
    struct top_view *v = calloc(1, sizeof(*v));

    assert_non_null(v);
    v->now = busy();
    v->where = "127.0.0.1:9480";
    v->time = 1007980;
    v->history.end = 1007979;
    v->history.refused = v->now.refused;
    v->history.n = FIGURES_SECONDS;
    for (unsigned i = 0; i < FIGURES_SECONDS; i++) {
        double second = i, nothing = NAN;
        v->history.at[i].in_flight = i < 60    ? nothing
                                     : i < 100 ? 0
                                               : second - (double)(i / 81 * 81);
        v->history.at[i].waiting = i < 60 ? nothing : i >= 200 ? second - 200 : 0;
        v->history.at[i].refused = i < 60 ? nothing : i == 290;
    }
    return v;
}

static void draw(const struct top_view *v, unsigned columns, unsigned rows, struct strbuf *out)
{
    struct text_screen t = screen(out, columns, rows);
    top_screen_write(v, &t);
}

static void assert_screen(struct top_view *v, unsigned columns, unsigned rows, const char *expected)
{
    struct strbuf out = {0};

    draw(v, columns, rows, &out);
    assert_string_equal(strbuf_cstr(&out), expected);
    strbuf_fini(&out);
    free(v);
}

static void eighty_columns_have_everything(void **state)
{
    (void)state;
    assert_screen(
        view(), 80, 24,
        "weir 0.1.0 on 127.0.0.1:9480                                       up 2 h 13 min\n"
        "App: pool full. The app works on 40 of the 80 requests inside it. Set\n"
        "concurrency to 40.\n"
        "\n"
        "In flight █████████████████████████████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒    80 of 80\n"
        "Waiting   ██████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ 120 of 1000\n"
        "\n"
        "          The last 5 minutes, with the peak of each 6 seconds\n"
        "                                      ▁▂▄▅▆▇█      ▁▂▃▄▅▇██      ▁▂▃\n"
        "In flight                  .......▄▆▇████████▁▃▄▅▆▇████████▂▃▄▆▇████     peak 80\n"
        "                                                           ▁▂▃▃▄▅▆▇█\n"
        "Waiting                    ........................▁▂▃▄▅▆▇██████████     peak 99\n"
        "Refused                    .......................................█.      peak 1\n"
        "\n"
        "                 now last minute                     p50     p90     p99     max\n"
        "Finished      41.0/s      39.8/s  Wait for a slot 1.02 s  2.30 s  2.91 s  3.00 s\n"
        "Refused        3.5/s       1.2/s  Time in the app 1.00 s  1.00 s       -\n"
        "Clients gone  0.25/s         0/s\n"
        "Errors           0/s         0/s\n"
        "Where the time went, last minute\n"
        "███████████████████████████████████████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▒▒▒▒░█\n"
        "█ queue 53 %  ▓ first byte 39 %  ▒ transfer 5 %  ░ backpressure <1 %\n"
        "App works on 40   Waiting inside it 40   Oldest wait 1.84 s\n"
        "Queue empty in 2.40 s   Orphans 2   No free slot 83 %   Overload 12.5 s\n");
}

static void forty_columns_have_the_most_important(void **state)
{
    (void)state;
    assert_screen(view(), 40, 12,
                  "weir 0.1.0                 up 2 h 13 min\n"
                  "App: pool full. The app works on 40 of\n"
                  "the 80 requests inside it. Set\n"
                  "concurrency to 40.\n"
                  "In flight █████████▒▒▒▒▒▒▒▒▒    80 of 80\n"
                  "Waiting   ██░░░░░░░░░░░░░░░░ 120 of 1000\n"
                  "In flight       ....▃▄▅▆▇██▂▃▄▅▆▇██▂▃▄▅▆\n"
                  "Waiting         ..............▁▂▂▃▄▅▆▆▇█\n"
                  "Finished    41.0/s  Refused        3.5/s\n"
                  "Clients gone 0.25/s Errors           0/s\n"
                  "Wait  p50 1.02 s  p90 2.30 s  p99 2.91 s\n"
                  "App   p50 1.00 s  p90 1.00 s  p99 -\n");
}

static void a_few_lines_have_the_state_of_the_app(void **state)
{
    (void)state;
    assert_screen(view(), 20, 5,
                  "weir 0.1.0\n"
                  "App: pool full....\n"
                  "In flight   80 of 80\n"
                  "Waiting          120\n"
                  "Finished    41.0/s\n");
}

static void a_higher_screen_has_higher_charts(void **state)
{
    struct top_view *v = view();
    struct strbuf out = {0};
    (void)state;

    draw(v, 100, 40, &out);
    assert_int_equal(assert_fits(strbuf_cstr(&out), 100), 40);
    assert_has(&out, "The last 5 minutes, with the peak of each 4 seconds\n");
    assert_has(&out, "\n\nWhere the time went, last minute\n");
    assert_has(&out, "Refused, queue full 12   Refused, timeout 345\n");
    strbuf_clear(&out);
    draw(v, 340, 24, &out);
    assert_has(&out, "The last 5 minutes, second by second\n");
    strbuf_clear(&out);
    draw(v, 60, 30, &out);
    assert_int_equal(assert_fits(strbuf_cstr(&out), 60), 30);
    assert_has(&out, "Wait for a slot 1.02 s  2.30 s  2.91 s  3.00 s\n");
    strbuf_fini(&out);
    free(v);
}

/* Columns stand for the same seconds in the next screens too, so that the chart does not flicker.
 */
static void a_chart_moves_by_whole_columns(void **state)
{
    struct top_view *v = view();
    struct strbuf before = {0}, after = {0};
    const char *line;
    (void)state;

    draw(v, 40, 12, &before);
    v->history.end += 10;
    draw(v, 40, 12, &after);
    line = strstr(strbuf_cstr(&before), "\nWaiting         .") + 1;
    assert_non_null(strstr(strbuf_cstr(&after), line));
    strbuf_fini(&before);
    strbuf_fini(&after);
    free(v);
}

static void a_weir_that_does_not_respond_is_shown_first(void **state)
{
    struct top_view *v = view();
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 40, 12);
    (void)state;

    v->trouble = "no response from the admin port: Connection refused";
    v->silent = 3.2;
    draw(v, 40, 12, &out);
    assert_has(&out, "\nFor 3 s, no response from the admin\nport: Connection refused. Trying "
                     "again.\n"
                     "In flight ");
    assert_has_not(&out, "App:");
    strbuf_clear(&out);
    t.colour = true;
    top_screen_write(v, &t);
    assert_has(&out, "\033[1;31mFor\033[0m");
    assert_has(&out, "\033[2mFinished\033[0m");
    strbuf_clear(&out);
    v->trouble = NULL;
    v->restarted = true;
    draw(v, 80, 24, &out);
    assert_has(&out, "\nweir has restarted. App: pool full. The app works");
    strbuf_fini(&out);
    free(v);
}

/* ---- any size, any number -------------------------------------------------------------------- */

static uint64_t dice = 1;

static uint64_t roll(uint64_t n)
{
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (dice >> 33) % n;
}

static double any_number(void)
{
    static const double numbers[] = {NAN,  0,      0.0001, 0.5,  1,        7.77,    99.95,
                                     9999, 123456, 1e9,    1e15, 999999.5, INFINITY};
    return numbers[roll(sizeof(numbers) / sizeof(numbers[0]))];
}

/* All members of a struct between these two are doubles. */
static void roll_numbers(double *from, const double *to)
{
    while (from <= to)
        *from++ = any_number();
}

static void roll_view(struct top_view *v)
{
    struct figures *f = &v->now;

    roll_numbers(&f->started, &f->bypass_limit);
    roll_numbers(&f->last.seconds, &f->last.loop_lag);
    roll_numbers(&f->recent.seconds, &f->recent.loop_lag);
    for (unsigned i = 0; i < f->recent.phases.n; i++)
        f->recent.phases.item[i].value = (double)roll(1000000);
    for (unsigned i = 0; i < FIGURES_SECONDS; i++)
        roll_numbers(&v->history.at[i].in_flight, &v->history.at[i].refused);
    v->history.n = (unsigned)roll(FIGURES_SECONDS + 1);
    v->history.end = (int64_t)roll(1000000000);
    v->restarted = roll(2);
    v->trouble = roll(4) == 0 ? "a reason of several words that does not fit into a line" : NULL;
    f->dry_run = f->paused = f->draining = f->overload = roll(2);
    if (roll(3) == 0)
        memcpy(f->advice, "\033[2J\xff a\nb", sizeof("\033[2J\xff a\nb"));
}

static void assert_any_size(const struct top_view *v, unsigned columns, unsigned rows)
{
    struct strbuf out = {0};
    struct text_screen t = screen(&out, columns, rows);

    t.colour = roll(2);
    t.unicode = roll(2);
    top_screen_write(v, &t);
    unsigned lines = assert_fits(strbuf_cstr(&out), columns);
    if (lines > rows)
        fail_msg("%u lines in %u rows", lines, rows);
    strbuf_fini(&out);
}

static void no_size_is_exceeded(void **state)
{
    struct top_view *v = view();
    (void)state;

    for (unsigned columns = 1; columns <= 200; columns++) {
        for (unsigned rows = 1; rows <= 50; rows += 1 + rows / 12)
            assert_any_size(v, columns, rows);
    }
    assert_any_size(v, 1000, 500);
    assert_any_size(v, 2000, 3);
    free(v);
}

static void no_number_is_too_wide(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        struct top_view *v = view();
        roll_view(v);
        assert_any_size(v, 1 + (unsigned)roll(120), 1 + (unsigned)roll(40));
        free(v);
    }
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void a_line_stands_below_the_names(void **state)
{
    struct top_view *v = view();
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 80, TEXT_ANY_ROWS);
    (void)state;

    v->now.last.wait[FIGURES_P99] = 2.9;
    v->now.last.app[FIGURES_P99] = 0.00012;
    top_line_write_names(&t);
    top_line_write(v, "12:34:56", &t);
    v->now = unknown();
    top_line_write(v, "12:34:57", &t);
    v->now.limit = INFINITY;
    v->trouble = "no response from the admin port: Connection refused";
    top_line_write(v, "12:34:58", &t);
    assert_string_equal(
        strbuf_cstr(&out),
        "time     app          in flight waiting done/s refused/s gone/s wait p99 app p99\n"
        "12:34:56 pool full        80/80     120   41.0       3.5   0.25   2.90 s  120 us\n"
        "12:34:57 not known          1/-       -      -         -      -        -       -\n"
        "12:34:58 no response from the admin port: Connection refused\n");
    strbuf_fini(&out);
    free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eighty_columns_have_everything),
        cmocka_unit_test(forty_columns_have_the_most_important),
        cmocka_unit_test(a_few_lines_have_the_state_of_the_app),
        cmocka_unit_test(a_higher_screen_has_higher_charts),
        cmocka_unit_test(a_chart_moves_by_whole_columns),
        cmocka_unit_test(a_weir_that_does_not_respond_is_shown_first),
        cmocka_unit_test(no_size_is_exceeded),
        cmocka_unit_test(no_number_is_too_wide),
        cmocka_unit_test(a_line_stands_below_the_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
