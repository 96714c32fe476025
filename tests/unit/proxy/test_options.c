#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "proxy/options.h"

static const struct option *opt(const char *path)
{
    const struct option *o = option_find(span_of(path));
    assert_non_null(o);
    return o;
}

static void names_of_flags_and_variables_lead_back_to_the_option(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_count; i++) {
        struct strbuf flag = {0}, env = {0};
        option_flag_name(&option_table[i], &flag);
        option_env_name(&option_table[i], &env);
        assert_ptr_equal(option_of_flag((struct span){flag.at, flag.len}), &option_table[i]);
        assert_int_equal(strncmp(env.at, "WEIR_", 5), 0);
        assert_null(memchr(env.at, '.', env.len));
        strbuf_fini(&flag);
        strbuf_fini(&env);
    }
    assert_null(option_of_flag(SPAN("queue")));
    assert_ptr_equal(option_of_flag(SPAN("upstream-address")), opt("upstream.address"));
    assert_null(option_find(SPAN("queue")));
}

static void the_full_path_of_the_app_is_a_variable_too(void **state)
{
    struct strbuf alias = {0};
    (void)state;

    assert_true(option_env_alias(opt("upstream.address"), &alias));
    assert_string_equal(strbuf_cstr(&alias), "WEIR_UPSTREAM_ADDRESS");
    assert_false(option_env_alias(opt("queue.timeout"), &alias));
    assert_false(option_env_alias(opt("listen"), &alias));
    strbuf_fini(&alias);
}

static void flags_are_taken_with_their_values(void **state)
{
    char a[] = "--threads", b[] = "4", c[] = "--queue-timeout=1s", d[] = "--nope", e[] = "x",
         f[] = "--listen";
    char *argv[] = {a, b, c, d, e, f};
    struct option_flag flag;
    int i = 0;
    (void)state;

    assert_true(option_next_flag(6, argv, &i, &flag));
    assert_string_equal(flag.value, "4");
    assert_int_equal(i, 2);
    assert_true(option_next_flag(6, argv, &i, &flag));
    assert_string_equal(flag.value, "1s");
    assert_ptr_equal(flag.option, opt("queue.timeout"));
    assert_true(option_next_flag(6, argv, &i, &flag));
    assert_null(flag.option);
    assert_false(option_next_flag(6, argv, &i, &flag));
    assert_int_equal(i++, 4);
    assert_true(option_next_flag(6, argv, &i, &flag));
    assert_null(flag.value);
}

static void unknown_flags_are_told_with_the_nearest(void **state)
{
    struct strbuf out = {0};
    (void)state;

    option_write_unknown_flag(SPAN("port"), &out);
    assert_string_equal(strbuf_cstr(&out), "unknown flag --port (did you mean --listen?)");
    strbuf_clear(&out);
    option_write_unknown_flag(SPAN("zzzzzzzz"), &out);
    assert_string_equal(strbuf_cstr(&out), "unknown flag --zzzzzzzz");
    strbuf_fini(&out);
}

static void a_boolean_flag_needs_no_value(void **state)
{
    static const struct {
        const char *second, *value;
        int taken;
    } rows[] = {{NULL, "true", 1},      {"false", "false", 2}, {"yes", "yes", 2},
                {"--watch", "true", 1}, {"FILE", "true", 1},   {"", "true", 1}};
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char first[] = "--watch", second[16] = "";
        char *argv[] = {first, second};
        struct option_flag flag;
        int at = 0;
        if (rows[i].second != NULL)
            snprintf(second, sizeof(second), "%s", rows[i].second);
        assert_true(option_next_flag(rows[i].second == NULL ? 1 : 2, argv, &at, &flag));
        assert_string_equal(flag.value, rows[i].value);
        assert_int_equal(at, rows[i].taken);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_boolean_flag_needs_no_value),
        cmocka_unit_test(names_of_flags_and_variables_lead_back_to_the_option),
        cmocka_unit_test(the_full_path_of_the_app_is_a_variable_too),
        cmocka_unit_test(flags_are_taken_with_their_values),
        cmocka_unit_test(unknown_flags_are_told_with_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
