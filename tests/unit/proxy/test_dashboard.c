/* The dashboard's files as they are embedded, and which clients receive them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/dashboard.h"

#define SIZE_MAX_ALL (64 * 1024) /* the promise of docs/dashboard.md */

static void every_file_is_gzip_with_a_type_and_a_tag(void **state)
{
    size_t all = 0;
    (void)state;

    assert_true(dashboard_n_files >= 6);
    for (size_t i = 0; i < dashboard_n_files; i++) {
        const struct dashboard_file *f = &dashboard_files[i];
        assert_ptr_equal(dashboard_find(span_of(f->path)), f);
        assert_int_equal(f->path[0], '/');
        assert_non_null(strstr(f->type, "charset=utf-8"));
        assert_int_equal(strlen(f->etag), 18);
        assert_true(f->etag[0] == '"' && f->etag[17] == '"');
        assert_true(f->len > 20);
        assert_memory_equal(f->gzip, "\x1f\x8b\x08", 3);
        all += f->len;
    }
    assert_true(all <= SIZE_MAX_ALL);
}

/* Of a gzip member, the time of compression is 0: the same sources make the same program. */
static void the_files_do_not_depend_on_the_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < dashboard_n_files; i++)
        assert_memory_equal(dashboard_files[i].gzip + 4, "\0\0\0\0", 4);
}

static void another_path_is_no_file(void **state)
{
    (void)state;
    assert_null(dashboard_find(SPAN("")));
    assert_null(dashboard_find(SPAN("/index.html")));
    assert_null(dashboard_find(SPAN("/dashboard.js?x")));
    assert_null(dashboard_find(SPAN("/embed.sh")));
}

static void a_browser_asks_for_html(void **state)
{
    static const char *const yes[] = {
        "text/html",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        "application/xml, TEXT/HTML ; charset=utf-8 ; q=0.3",
        "text/html;q=0.001",
        "text/html;q",
    };
    static const char *const no[] = {
        "",           "*/*",           "text/*",
        "text/plain", "text/html;q=0", "text/html; Q=0.000, */*",
        ",,;",        "text/htmlx",    "application/openmetrics-text;version=1.0.0,*/*;q=0.1",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        assert_true(dashboard_is_wanted(span_of(yes[i])));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        assert_false(dashboard_is_wanted(span_of(no[i])));
}

static void gzip_is_sent_to_those_that_read_it(void **state)
{
    (void)state;
    assert_true(dashboard_is_readable(SPAN(""), false));
    assert_true(dashboard_is_readable(SPAN("gzip, deflate, br, zstd"), true));
    assert_true(dashboard_is_readable(SPAN("br;q=1.0, GZIP;q=0.8"), true));
    assert_true(dashboard_is_readable(SPAN("*"), true));
    assert_false(dashboard_is_readable(SPAN(""), true));
    assert_false(dashboard_is_readable(SPAN("identity"), true));
    assert_false(dashboard_is_readable(SPAN("gzip;q=0, *"), true));
    assert_false(dashboard_is_readable(SPAN("*;q=0"), true));
    assert_false(dashboard_is_readable(SPAN("br"), true));
}

static void a_client_that_has_the_file_gets_304(void **state)
{
    static const unsigned char content[] = {0};
    const struct dashboard_file f = {"/x", "text/x", "\"1a\"", content, 1};
    (void)state;

    assert_true(dashboard_is_current(&f, SPAN("\"1a\"")));
    assert_true(dashboard_is_current(&f, SPAN("W/\"1a\"")));
    assert_true(dashboard_is_current(&f, SPAN("\"0\", \"1a\"")));
    assert_true(dashboard_is_current(&f, SPAN("*")));
    assert_false(dashboard_is_current(&f, SPAN("")));
    assert_false(dashboard_is_current(&f, SPAN("1a")));
    assert_false(dashboard_is_current(&f, SPAN("\"1A\"")));
    assert_false(dashboard_is_current(&f, SPAN("\"1a")));
    assert_false(dashboard_is_current(&f, SPAN("W/")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_gzip_with_a_type_and_a_tag),
        cmocka_unit_test(the_files_do_not_depend_on_the_time),
        cmocka_unit_test(another_path_is_no_file),
        cmocka_unit_test(a_browser_asks_for_html),
        cmocka_unit_test(gzip_is_sent_to_those_that_read_it),
        cmocka_unit_test(a_client_that_has_the_file_gets_304),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
