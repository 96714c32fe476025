#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/prometheus.h"
#include "tests/unit/common/exposition.h"

static struct exposition page;

static void assert_page(struct strbuf *out)
{
    if (!exposition_read(&page, strbuf_cstr(out)))
        fail_msg("%s", page.wrong);
    strbuf_fini(out);
}

static void expect_seconds(uint64_t us, const char *want)
{
    struct strbuf out = {0};
    prometheus_add_seconds(&out, us);
    assert_string_equal(strbuf_cstr(&out), want);
    strbuf_fini(&out);
}

static void seconds_are_exact_to_the_microsecond(void **state)
{
    (void)state;
    expect_seconds(0, "0");
    expect_seconds(1, "0.000001");
    expect_seconds(2500, "0.0025");
    expect_seconds(1000000, "1");
    expect_seconds(1500000, "1.5");
    expect_seconds(300000000, "300");
    expect_seconds(9007199254740993, "9007199254.740993"); /* 2^53 + 1: no double has it */
    expect_seconds(UINT64_MAX, "18446744073709.551615");
}

static void help_and_label_values_are_escaped(void **state)
{
    (void)state;
    struct strbuf out = {0};
    const struct prometheus_label labels[] = {{"a", "x\"\\\ny"}, {"b", ""}, {NULL, NULL}};
    prometheus_head(&out, PROMETHEUS_TEXT, "m", "gauge", "back\\slash \"quoted\"\nnext");
    prometheus_signed(&out, "m", labels, -3);
    assert_string_equal(strbuf_cstr(&out), "# HELP m back\\\\slash \"quoted\"\\nnext\n"
                                           "# TYPE m gauge\n"
                                           "m{a=\"x\\\"\\\\\\ny\",b=\"\"} -3\n");
    assert_page(&out);
}

static void a_histogram_is_cumulative_and_its_count_is_the_last_bucket(void **state)
{
    (void)state;
    static const mono_us bounds[] = {0, 2500, 1000000};
    static const uint64_t counts[] = {3, 0, 2, 1};
    const struct prometheus_label labels[] = {{"class", "default"}, {NULL, NULL}};
    struct strbuf out = {0};
    prometheus_head(&out, PROMETHEUS_TEXT, "w_seconds", "histogram", "W.");
    prometheus_histogram(&out, "w_seconds", labels, bounds, counts, 3, 7000001, NULL);
    assert_string_equal(strbuf_cstr(&out), "# HELP w_seconds W.\n"
                                           "# TYPE w_seconds histogram\n"
                                           "w_seconds_bucket{class=\"default\",le=\"0\"} 3\n"
                                           "w_seconds_bucket{class=\"default\",le=\"0.0025\"} 3\n"
                                           "w_seconds_bucket{class=\"default\",le=\"1\"} 5\n"
                                           "w_seconds_bucket{class=\"default\",le=\"+Inf\"} 6\n"
                                           "w_seconds_sum{class=\"default\"} 7.000001\n"
                                           "w_seconds_count{class=\"default\"} 6\n");
    assert_page(&out);
}

static void openmetrics_names_a_counter_without_total_and_the_unit(void **state)
{
    (void)state;
    struct strbuf out = {0};
    prometheus_head(&out, PROMETHEUS_OPENMETRICS, "a_seconds_total", "counter", "\"A\\\n\".");
    prometheus_head(&out, PROMETHEUS_OPENMETRICS, "b_bytes", "gauge", "B.");
    prometheus_head(&out, PROMETHEUS_OPENMETRICS, "c_total", "counter", "C.");
    prometheus_head(&out, PROMETHEUS_TEXT, "d_seconds_total", "counter", "D.");
    prometheus_end(&out, PROMETHEUS_TEXT);
    prometheus_end(&out, PROMETHEUS_OPENMETRICS);
    assert_string_equal(strbuf_cstr(&out), "# HELP a_seconds \\\"A\\\\\\n\\\".\n"
                                           "# TYPE a_seconds counter\n"
                                           "# UNIT a_seconds seconds\n"
                                           "# HELP b_bytes B.\n"
                                           "# TYPE b_bytes gauge\n"
                                           "# UNIT b_bytes bytes\n"
                                           "# HELP c C.\n"
                                           "# TYPE c counter\n"
                                           "# HELP d_seconds_total D.\n"
                                           "# TYPE d_seconds_total counter\n"
                                           "# EOF\n");
    strbuf_fini(&out);
}

static void an_exemplar_stands_behind_its_bucket(void **state)
{
    (void)state;
    static const mono_us bounds[] = {1000};
    static const uint64_t counts[] = {2, 1};
    static const struct prometheus_exemplar exemplars[] = {
        {.label = {NULL, NULL}}, {{"trace_id", "0a\"b"}, 1500, 1700000000000000 + 250000}};
    struct strbuf out = {0};
    prometheus_histogram(&out, "w", NULL, bounds, counts, 1, 0, exemplars);
    assert_string_equal(strbuf_cstr(&out),
                        "w_bucket{le=\"0.001\"} 2\n"
                        "w_bucket{le=\"+Inf\"} 3 # {trace_id=\"0a\\\"b\"} 0.0015 1700000000.25\n"
                        "w_sum 0\nw_count 3\n");
    strbuf_fini(&out);
}

static void a_histogram_without_labels_has_le_alone(void **state)
{
    (void)state;
    static const mono_us bounds[] = {1000};
    static const uint64_t counts[] = {0, 0};
    struct strbuf out = {0};
    prometheus_histogram(&out, "w", NULL, bounds, counts, 1, 0, NULL);
    assert_string_equal(strbuf_cstr(&out), "w_bucket{le=\"0.001\"} 0\nw_bucket{le=\"+Inf\"} 0\n"
                                           "w_sum 0\nw_count 0\n");
    strbuf_fini(&out);
}

static void what_never_comes_is_infinite(void **state)
{
    (void)state;
    struct strbuf out = {0};
    prometheus_seconds(&out, "t_seconds", NULL, (uint64_t)MONO_NEVER);
    assert_string_equal(strbuf_cstr(&out), "t_seconds +Inf\n");
    strbuf_fini(&out);
}

static void a_registry_becomes_a_valid_page(void **state)
{
    (void)state;
    static const mono_us bounds[] = {1000, 10000};
    struct metrics *m = metrics_new();
    struct strbuf out = {0};
    counter_add(metrics_counter(m, "a_total", "A.", "handler", "ping"), 3);
    gauge_set(metrics_gauge(m, "b", "B.", NULL, NULL), -7);
    counter_add(metrics_counter(m, "a_total", "A.", "handler", "pong"), 4);
    histogram_observe(metrics_histogram(m, "c_seconds", "C.", "k", "v", bounds, 2), 1001);
    prometheus_write(m, &out);
    assert_page(&out);
    assert_string_equal(exposition_value(&page, "a_total{handler=\"ping\"}"), "3");
    assert_string_equal(exposition_value(&page, "a_total{handler=\"pong\"}"), "4");
    assert_string_equal(exposition_value(&page, "b"), "-7");
    assert_string_equal(exposition_value(&page, "c_seconds_bucket{k=\"v\",le=\"0.01\"}"), "1");
    assert_string_equal(exposition_value(&page, "c_seconds_sum{k=\"v\"}"), "0.001001");
    assert_int_equal(page.n, 8);
    metrics_free(m);
}

static double value_of(const char *series)
{
    const char *text = exposition_value(&page, series);
    assert_non_null(text);
    return strtod(text, NULL);
}

static void the_process_tells_plausible_things_about_itself(void **state)
{
    (void)state;
    struct strbuf out = {0};
    prometheus_process(&out, PROMETHEUS_TEXT);
    assert_page(&out);
    double before = value_of("process_open_fds");
    assert_true(value_of("process_cpu_seconds_total") > 0);
    assert_true(value_of("process_resident_memory_bytes") > 4096 * 10);
    assert_true(value_of("process_virtual_memory_bytes") >=
                value_of("process_resident_memory_bytes"));
    assert_true(value_of("process_max_fds") >= before);
    double age = (double)clock_wall() / 1e6 - value_of("process_start_time_seconds");
    assert_true(age > -2 && age < 600);

    int fd = dup(STDOUT_FILENO);
    assert_true(fd >= 0);
    prometheus_process(&out, PROMETHEUS_TEXT);
    assert_page(&out);
    close(fd);
    assert_true(value_of("process_open_fds") == before + 1);

    size_t n;
    const struct prometheus_process_family *f = prometheus_process_families(&n);
    assert_int_equal(n, page.n);
    for (size_t i = 0; i < n; i++)
        assert_non_null(exposition_value(&page, f[i].name));
}

/* The reader used by the tests must itself detect errors. */
static void the_test_reader_refuses_what_is_wrong(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "a 1\n",
        "# HELP a A.\n# TYPE a gauge\na 1",
        "# HELP a A.\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a A.\n# TYPE a gauge\n\na 1\n",
        "# HELP a A.\n# TYPE a gauge\na{x=1} 1\n",
        "# HELP a A.\n# TYPE a gauge\na{x=\"1} 1\n",
        "# HELP a A.\n# TYPE a gauge\nb 1\n",
        "# HELP a A.\n# TYPE a gauge\na 1.50\n",
        "# HELP a A.\n# TYPE a gauge\na nan\n",
        "# HELP a A.\n# TYPE a counter\na 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total -1\n",
        "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n",
        "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 2\n",
        "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\n",
        "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (exposition_read(&page, bad[i]))
            fail_msg("accepted: %s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seconds_are_exact_to_the_microsecond),
        cmocka_unit_test(help_and_label_values_are_escaped),
        cmocka_unit_test(a_histogram_is_cumulative_and_its_count_is_the_last_bucket),
        cmocka_unit_test(openmetrics_names_a_counter_without_total_and_the_unit),
        cmocka_unit_test(an_exemplar_stands_behind_its_bucket),
        cmocka_unit_test(a_histogram_without_labels_has_le_alone),
        cmocka_unit_test(what_never_comes_is_infinite),
        cmocka_unit_test(a_registry_becomes_a_valid_page),
        cmocka_unit_test(the_process_tells_plausible_things_about_itself),
        cmocka_unit_test(the_test_reader_refuses_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
