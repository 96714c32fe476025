/* The JSON of /status and /history, also that of other versions and of other programs. */
#include "tests/unit/proxy/screen_fixture.h"

static void a_status_is_read(void **state)
{
    struct figures f = busy();
    (void)state;

    assert_string_equal(f.version, "0.1.0");
    assert_string_equal(f.state, "pool full");
    assert_true(f.limit == 80 && f.in_flight == 80 && f.queued == 120 && f.queue_limit == 1000);
    assert_true(f.oldest_wait == 1.84 && f.queue_empty_in == 2.4 && f.started == 1000000);
    assert_true(f.parallelism == 40 && f.hidden_queue == 40 && isnan(f.unread));
    assert_true(f.last.finished == 41 && f.recent.refused == 1.2 && f.recent.saturated == 0.83);
    assert_true(f.recent.wait[FIGURES_MAX] == 3.004 && isnan(f.recent.app[FIGURES_P99]));
    assert_int_equal(f.recent.phases.n, 9);
    assert_string_equal(f.recent.phases.item[5].name, "first byte");
    assert_int_equal(f.refused.n, 3);
    assert_true(f.refused.item[1].value == 345);
    assert_false(f.paused || f.dry_run || f.overload || f.draining);
}

static void modes_are_read(void **state)
{
    struct figures f;
    (void)state;

    assert_true(figures_read(&f, SPAN("{\"in_flight\":0,\"limit\":\"unlimited\",\"paused\":true,"
                                      "\"enforcing\":false,\"draining\":true,"
                                      "\"overload\":{\"active\":true}}")));
    assert_true(isinf(f.limit));
    assert_true(f.paused && f.dry_run && f.overload && f.draining);
}

/* Without `app`, the state is at least whether the app can be reached. */
static void what_is_absent_or_of_another_type_is_not_known(void **state)
{
    struct figures f;
    (void)state;

    assert_true(figures_read(&f, SPAN("{\"in_flight\":1,\"limit\":\"x\",\"queue\":7,\"orphans\":-1,"
                                      "\"upgrades\":1e300,\"version\":5,\"app\":[],\"last\":null,"
                                      "\"upstream\":{\"state\":\"starting\"},"
                                      "\"totals\":{\"rejected\":{\"a\":\"b\"}}}")));
    assert_true(isnan(f.limit) && isnan(f.queued) && isnan(f.orphans) && isnan(f.upgrades));
    assert_true(isnan(f.parallelism) && isnan(f.last.finished));
    assert_string_equal(f.version, "");
    assert_string_equal(f.advice, "");
    assert_string_equal(f.state, "starting");
    assert_int_equal(f.refused.n, 0);
}

static void other_responses_are_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "<html>",
                                        "[]",
                                        "null",
                                        "{}",
                                        "{\"in_flight\":null}",
                                        "{\"in_flight\":\"1\"}",
                                        "{\"in_flight\":1",
                                        "{\"in_flight\":1}x"};
    struct figures f;
    (void)state;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_false(figures_read(&f, span_of(texts[i])));
}

static void long_texts_and_lists_are_cut(void **state)
{
    struct strbuf json = {0};
    struct figures f;
    (void)state;

    strbuf_adds(&json, "{\"in_flight\":1,\"advice\":\"");
    for (int i = 0; i < 1000; i++)
        strbuf_adds(&json, "x");
    strbuf_adds(&json, "\",\"totals\":{\"rejected\":{");
    for (int i = 0; i < 50; i++)
        strbuf_addf(&json, "%s\"a_reason_with_a_very_long_name_%d\":1", i > 0 ? "," : "", i);
    strbuf_adds(&json, "}}}");
    assert_true(figures_read(&f, (struct span){json.at, json.len}));
    assert_int_equal(strlen(f.advice), sizeof(f.advice) - 1);
    assert_int_equal(f.refused.n, FIGURES_LIST);
    assert_string_equal(f.refused.item[23].name, "a reason with a very lo");
    strbuf_fini(&json);
}

/* ---- history -------------------------------------------------------------------------------- */

/* `n` seconds up to `end`; each has its own time as the number in flight. */
static void add(struct figures_history *h, int started, int end, int n)
{
    struct strbuf json = {0};

    strbuf_addf(&json, "{\"started\":%d,\"end\":%d,\"columns\":{\"in_flight_peak\":[", started,
                end);
    for (int i = 0; i < n; i++)
        strbuf_addf(&json, "%s%d", i > 0 ? "," : "", end - n + 1 + i);
    strbuf_adds(&json, "],\"queue_peak\":[3],\"rejected\":[null]},"
                       "\"reasons\":{\"queue_full\":7}}");
    assert_true(figures_add_history(h, (struct span){json.at, json.len}));
    strbuf_fini(&json);
}

static void assert_seconds(const struct figures_history *h, int first, int end)
{
    assert_int_equal(h->n, end - first + 1);
    assert_int_equal(h->end, end);
    assert_true(h->at[0].in_flight == first);
    assert_true(h->at[h->n - 1].in_flight == end);
}

static void seconds_are_added_once(void **state)
{
    struct figures_history h = {0};
    (void)state;

    add(&h, 1, 100, 10);
    assert_seconds(&h, 91, 100);
    assert_int_equal(h.refused.n, 1);
    assert_true(h.refused.item[0].value == 7);
    assert_true(h.at[0].waiting == 3 && isnan(h.at[0].refused) && isnan(h.at[1].waiting));
    add(&h, 1, 102, 2);
    add(&h, 1, 102, 2);
    add(&h, 1, 105, 10);
    add(&h, 1, 101, 10);
    assert_seconds(&h, 91, 105);
    for (int i = 0; i < 15; i++)
        assert_true(h.at[i].in_flight == 91 + i);
    add(&h, 1, 400, 299);
    assert_seconds(&h, 101, 400);
}

static void a_restart_leaves_a_gap(void **state)
{
    struct figures_history h = {0};
    (void)state;

    add(&h, 1, 100, 2);
    add(&h, 103, 105, 2);
    assert_seconds(&h, 99, 105);
    assert_true(h.started == 103);
    assert_true(isnan(h.at[2].in_flight) && isnan(h.at[4].in_flight) && h.at[5].in_flight == 104);
    add(&h, 1000000, 1000002, 1);
    assert_int_equal(h.n, FIGURES_SECONDS);
    assert_true(isnan(h.at[298].in_flight) && h.at[299].in_flight == 1000002);
}

static void a_clock_that_was_set_back_begins_anew(void **state)
{
    struct figures_history h = {0};
    (void)state;

    add(&h, 1, 5000, 10);
    add(&h, 1, 1400, 300);
    assert_seconds(&h, 1101, 1400);
    add(&h, 1, 1401, 1);
    assert_seconds(&h, 1102, 1401);
}

static void a_weir_without_seconds_adds_none(void **state)
{
    struct figures_history h = {0};
    (void)state;

    add(&h, 5, 0, 0);
    assert_int_equal(h.n, 0);
    assert_true(h.started == 5);
    assert_false(figures_add_history(&h, SPAN("{\"end\":1}")));
    assert_false(figures_add_history(&h, SPAN("not found\n")));
    assert_false(figures_add_history(&h, SPAN("{\"started\":1,\"end\":2}")));
    assert_true(
        figures_add_history(&h, SPAN("{\"started\":1,\"end\":2,\"columns\":{\"rejected\":[1]}}")));
    assert_int_equal(h.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_is_read),
        cmocka_unit_test(modes_are_read),
        cmocka_unit_test(what_is_absent_or_of_another_type_is_not_known),
        cmocka_unit_test(other_responses_are_refused),
        cmocka_unit_test(long_texts_and_lists_are_cut),
        cmocka_unit_test(seconds_are_added_once),
        cmocka_unit_test(a_restart_leaves_a_gap),
        cmocka_unit_test(a_clock_that_was_set_back_begins_anew),
        cmocka_unit_test(a_weir_without_seconds_adds_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
