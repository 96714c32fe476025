/* Which request targets match a list of paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/paths.h"

static void paths_are_compared_exactly_and_without_the_query(void **state)
{
    static const char *const match[] = {"/healthz", "/healthz?", "/healthz?full=1", "/a%20b", "/",
                                        "/?x",      "?x",        "/?/healthz"};
    static const char *const other[] = {"/healthz/",  "/Healthz", "/health",    "/healthzz",
                                        "//healthz",  "/a b",     "/%68ealthz", "*",
                                        "/./healthz", "healthz"};
    struct paths p = {.n = 0};

    (void)state;
    paths_add(&p, SPAN("/healthz"));
    paths_add(&p, SPAN("/a%20b"));
    paths_add(&p, SPAN("/"));
    for (size_t i = 0; i < sizeof(match) / sizeof(match[0]); i++)
        assert_true(paths_match(&p, span_of(match[i])));
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
        assert_false(paths_match(&p, span_of(other[i])));
    paths_clear(&p);
    assert_false(paths_match(&p, SPAN("/healthz")));
}

static void an_empty_list_matches_nothing(void **state)
{
    const struct paths none = {.n = 0};

    (void)state;
    assert_false(paths_match(&none, SPAN("/")));
    assert_false(paths_match(&none, (struct span){NULL, 0}));
}

static void a_path_begins_with_a_slash_and_is_all_of_the_path(void **state)
{
    (void)state;
    assert_true(paths_is_valid(SPAN("/")));
    assert_true(paths_is_valid(SPAN("/!~%2C;=@:")));
    assert_false(paths_is_valid(SPAN("")));
    assert_false(paths_is_valid(SPAN("a")));
    assert_false(paths_is_valid(SPAN("/a,b")));
    assert_false(paths_is_valid(SPAN("/a\0b")));
    assert_false(paths_is_valid(SPAN("/a\x7f")));
    assert_false(paths_is_valid(SPAN("/a\x80")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_compared_exactly_and_without_the_query),
        cmocka_unit_test(an_empty_list_matches_nothing),
        cmocka_unit_test(a_path_begins_with_a_slash_and_is_all_of_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
