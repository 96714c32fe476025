/* Which format an Accept asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/openmetrics.h"

#define OM "application/openmetrics-text"

static void expect(const char *accept, const char *type)
{
    /* A copy of that length: reading past it is an error under a sanitizer. */
    size_t len = strlen(accept);
    char *copy = malloc(len + 1);

    assert_non_null(copy);
    memcpy(copy, accept, len);
    char *exact = realloc(copy, len > 0 ? len : 1);
    assert_non_null(exact);
    struct openmetrics_choice choice = openmetrics_choose((struct span){exact, len});
    free(exact);
    if (strncmp(choice.content_type, type, strlen(type)) != 0)
        fail_msg("%s: %s", accept, choice.content_type);
    assert_int_equal(choice.format == PROMETHEUS_OPENMETRICS, strncmp(type, OM, strlen(OM)) == 0);
}

static void a_scraper_that_does_not_name_openmetrics_gets_text(void **state)
{
    (void)state;
    assert_int_equal(openmetrics_choose((struct span){NULL, 0}).format, PROMETHEUS_TEXT);
    expect("", PROMETHEUS_CONTENT_TYPE);
    expect("*/*", PROMETHEUS_CONTENT_TYPE);
    expect("text/plain", PROMETHEUS_CONTENT_TYPE);
    expect("application/*", PROMETHEUS_CONTENT_TYPE);
    expect("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
           PROMETHEUS_CONTENT_TYPE);
    expect("application/openmetrics-textual", PROMETHEUS_CONTENT_TYPE);
}

static void prometheus_2_and_3_get_openmetrics(void **state)
{
    (void)state;
    expect(OM ";version=1.0.0," OM ";version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
           OM "; version=1.0.0");
    expect(OM ";version=1.0.0;escaping=allow-utf-8;q=0.5," OM
              ";version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
              "text/plain;version=0.0.4;q=0.2,/;q=0.1",
           OM "; version=1.0.0");
    expect(OM "; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", OM "; version=0.0.1");
    expect("text/plain;version=0.0.4;q=1," OM ";version=1.0.0;q=0.75", PROMETHEUS_CONTENT_TYPE);
}

static void a_version_that_weir_does_not_have_is_not_chosen(void **state)
{
    (void)state;
    expect(OM ";version=2.0.0", PROMETHEUS_CONTENT_TYPE);
    expect(OM ";version=2.0.0," OM ";version=0.0.1;q=0.1", OM "; version=0.0.1");
    expect(OM ";version=\"1.0.0\"", OM "; version=1.0.0");
    expect(OM, OM "; version=1.0.0");
}

static void the_higher_preference_wins_and_0_means_never(void **state)
{
    (void)state;
    expect(OM ";q=0.5, text/plain;q=0.6", PROMETHEUS_CONTENT_TYPE);
    expect(OM ";q=0.6, text/plain;q=0.6", OM);
    expect(OM ";q=0.6, */*;q=0.7", PROMETHEUS_CONTENT_TYPE);
    expect(OM ";q=0.6, text/*;q=0.7", PROMETHEUS_CONTENT_TYPE);
    expect(OM ";q=0.6, text/plain;q=0.1, */*;q=0.7", OM); /* the most specific range counts */
    expect(OM ";q=0", PROMETHEUS_CONTENT_TYPE);
    expect(OM ";q=0.000, text/plain;q=0", PROMETHEUS_CONTENT_TYPE);
    expect(OM ";q=0.001, text/plain;q=0.000", OM);
    expect(OM ";Q=1.000", OM);
    expect("APPLICATION/OpenMetrics-Text ; VERSION=1.0.0 ; q=0.9\t, text/plain ; q=0.8", OM);
}

static void what_is_malformed_counts_as_not_accepted(void **state)
{
    static const char *const bad[] = {"",   "1.5", "2",    "0.1234", ".5",
                                      "-1", "0x1", "1.0.", "nan",    "0.5 5"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char accept[100];
        snprintf(accept, sizeof(accept), OM ";q=%s;v", bad[i]);
        expect(accept, PROMETHEUS_CONTENT_TYPE);
    }
    expect(";;;,,,=,;=,\"", PROMETHEUS_CONTENT_TYPE);
    expect(",,," OM ",,", OM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scraper_that_does_not_name_openmetrics_gets_text),
        cmocka_unit_test(prometheus_2_and_3_get_openmetrics),
        cmocka_unit_test(a_version_that_weir_does_not_have_is_not_chosen),
        cmocka_unit_test(the_higher_preference_wins_and_0_means_never),
        cmocka_unit_test(what_is_malformed_counts_as_not_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
