/* The table of metrics. The samples of each family are tested with the page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/metrics_families.h"

/* Whether `name` ends with `end`. */
static bool ends(const char *name, const char *end)
{
    size_t len = strlen(name), n = strlen(end);

    return len > n && strcmp(name + len - n, end) == 0;
}

static void a_family_is_complete_and_its_name_has_the_form_of_its_type(void **state)
{
    size_t n;
    const struct metrics_family *f = metrics_families_all(&n);

    (void)state;
    assert_true(n > 40);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(strncmp(f[i].name, "weir_", 5), 0);
        assert_int_equal(strspn(f[i].name, "abcdefghijklmnopqrstuvwxyz_"), strlen(f[i].name));
        assert_int_equal(ends(f[i].name, "_total"), strcmp(f[i].type, "counter") == 0);
        assert_true(ends(f[i].help, "."));
        assert_non_null(f[i].print);
        assert_non_null(f[i].labels);
    }
}

static void no_two_families_have_the_same_name(void **state)
{
    size_t n;
    const struct metrics_family *f = metrics_families_all(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(f[i].name, f[k].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_is_complete_and_its_name_has_the_form_of_its_type),
        cmocka_unit_test(no_two_families_have_the_same_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
