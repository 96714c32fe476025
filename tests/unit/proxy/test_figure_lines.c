/* The lines that `weir status` and `weir top` share. */
#include "proxy/figure_lines.h"
#include "tests/unit/proxy/screen_fixture.h"

static void assert_text(struct strbuf *out, const char *expected)
{
    assert_string_equal(strbuf_cstr(out), expected);
    strbuf_fini(out);
}

static void the_title_has_what_is_unusual(void **state)
{
    struct figures f = busy();
    struct strbuf out = {0};
    struct text_screen wide = screen(&out, 74, 9), narrow = screen(&out, 40, 9);
    (void)state;

    figure_title(&wide, &f, "127.0.0.1:9480", 1007980);
    f.dry_run = f.paused = f.draining = f.overload = true;
    figure_title(&wide, &f, "127.0.0.1:9480", 1000005);
    figure_title(&wide, &f, "127.0.0.1:9480", 1007980);
    f.dry_run = f.paused = false;
    figure_title(&narrow, &f, "127.0.0.1:9480", 1000005);
    f = unknown();
    figure_title(&narrow, &f, "127.0.0.1:9480", 1000005);
    assert_text(&out, "weir 0.1.0 on 127.0.0.1:9480                                 up 2 h 13 min\n"
                      "weir 0.1.0 on 127.0.0.1:9480  dry run  paused  draining  overload   up 5 s\n"
                      "weir 0.1.0  dry run  paused  draining  overload              up 2 h 13 min\n"
                      "weir 0.1.0  draining  overload    up 5 s\n"
                      "weir on 127.0.0.1:9480\n");
}

static void the_advice_follows_the_state_of_the_app(void **state)
{
    struct figures f = busy();
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 40, 99);
    (void)state;

    assert_int_equal(figure_app_lines(&f, 40), 3);
    figure_app(&t, &f, 9);
    figure_app(&t, &f, 1);
    f = unknown();
    assert_int_equal(figure_app_lines(&f, 40), 1);
    figure_app(&t, &f, 9);
    assert_text(&out, "App: pool full. The app works on 40 of\n"
                      "the 80 requests inside it. Set\n"
                      "concurrency to 40.\n"
                      "App: pool full. The app works on 40...\n"
                      "App: not known.\n");
}

static void bars_show_levels_against_their_limits(void **state)
{
    struct figures f = busy();
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 33, 99);
    (void)state;

    figure_in_flight(&t, &f);
    figure_waiting(&t, &f);
    f.in_flight = 79;
    f.hidden_queue = NAN;
    f.queued = 1;
    figure_in_flight(&t, &f);
    figure_waiting(&t, &f);
    f.in_flight = f.queued = 0;
    figure_in_flight(&t, &f);
    f.limit = INFINITY;
    figure_in_flight(&t, &f);
    f.limit = f.queue_limit = NAN;
    figure_in_flight(&t, &f);
    figure_waiting(&t, &f);
    assert_text(&out, "In flight ██████▒▒▒▒▒    80 of 80\n"
                      "Waiting   █░░░░░░░░░░ 120 of 1000\n"
                      "In flight ████████████░  79 of 80\n"
                      "Waiting   █░░░░░░░░░░░░ 1 of 1000\n"
                      "In flight ░░░░░░░░░░░░░   0 of 80\n"
                      "In flight             0, no limit\n"
                      "In flight                       0\n"
                      "Waiting                         0\n");
}

static void numbers_are_more_important_than_bars(void **state)
{
    struct figures f = busy();
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 21, 99);
    (void)state;

    f.limit = 123456789;
    f.in_flight = 98765;
    f.hidden_queue = NAN;
    figure_in_flight(&t, &f);
    t.columns = 25;
    figure_in_flight(&t, &f);
    t.columns = 28;
    figure_in_flight(&t, &f);
    t.columns = 12;
    figure_in_flight(&t, &f);
    assert_text(&out, "In flight       98765\n"
                      "In flight   98765 of 123M\n"
                      "In flight █░░░ 98765 of 123M\n"
                      "In flight\n");
}

static void rates_are_a_table(void **state)
{
    struct figures f = busy();
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 40, 99);
    (void)state;

    for (unsigned row = 0; row < FIGURE_RATES; row++) {
        figure_rates(&t, &f, row);
        text_end(&t);
    }
    f = unknown();
    figure_rates(&t, &f, 1);
    text_end(&t);
    t.columns = 15;
    f.last.finished = 12345;
    figure_rates(&t, &f, 1);
    text_end(&t);
    figure_rate(&t, 0, 20, "Clients gone", 1);
    assert_text(&out, "                 now last minute\n"
                      "Finished      41.0/s      39.8/s\n"
                      "Refused        3.5/s       1.2/s\n"
                      "Clients gone  0.25/s         0/s\n"
                      "Errors           0/s         0/s\n"
                      "Finished           -           -\n"
                      "\n");
}

static void times_are_a_table(void **state)
{
    struct figures f = busy();
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 80, 99);
    (void)state;

    for (unsigned row = 0; row < FIGURE_TIMES; row++) {
        figure_times(&t, &f, row, 34);
        text_end(&t);
    }
    t.columns = 40;
    figure_times(&t, &f, 1, 0);
    assert_text(&out,
                "                                                     p50     p90     p99     max\n"
                "                                  Wait for a slot 1.02 s  2.30 s  2.91 s  3.00 s\n"
                "                                  Time in the app 1.00 s  1.00 s       -\n"
                "Wait for a slot 1.02 s  2.30 s  2.91 s");
}

static void phases_fill_a_bar(void **state)
{
    struct figures f = busy();
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 20, 99);
    (void)state;

    figure_phases(&t, &f);
    t.columns = 50;
    figure_phases(&t, &f);
    t.unicode = false;
    figure_phases(&t, &f);
    f = unknown();
    figure_phases(&t, &f);
    assert_text(&out, "███████████▓▓▓▓▓▓▓▓▒\n█ queue 53 %\n"
                      "███████████████████████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▒▒▒█\n"
                      "█ queue 53 %  ▓ first byte 39 %  ▒ transfer 5 %\n"
                      "###########################===================---#\n"
                      "# queue 53 %  = first byte 39 %  - transfer 5 %\n"
                      "No request has finished in the last minute.\n");
}

static void other_figures_flow_into_lines(void **state)
{
    struct figures f = busy();
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 50, 99);
    (void)state;

    figure_others(&t, &f, 99);
    text_end(&t);
    strbuf_adds(&out, "--\n");
    figure_others(&t, &f, t.row + 1);
    text_end(&t);
    f = unknown();
    f.overload = true;
    f.bypass_limit = f.upgrades = f.unread = 3;
    f.recent.loop_lag = 0.2;
    strbuf_adds(&out, "--\n");
    figure_others(&t, &f, 99);
    assert_text(&out, "App works on 40   Waiting inside it 40\n"
                      "Oldest wait 1.84 s   Queue empty in 2.40 s\n"
                      "Orphans 2   No free slot 83 %   Overload 12.5 s\n"
                      "--\n"
                      "App works on 40   Waiting inside it 40   Orphans 2\n"
                      "--\n"
                      "Not read by the app 3   Orphans -   No free slot -\n"
                      "Overload -   Bypass in flight -   Tunnels 3\n"
                      "Loop lag 200 ms");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_title_has_what_is_unusual),
        cmocka_unit_test(the_advice_follows_the_state_of_the_app),
        cmocka_unit_test(bars_show_levels_against_their_limits),
        cmocka_unit_test(numbers_are_more_important_than_bars),
        cmocka_unit_test(rates_are_a_table),
        cmocka_unit_test(times_are_a_table),
        cmocka_unit_test(phases_fill_a_bar),
        cmocka_unit_test(other_figures_flow_into_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
