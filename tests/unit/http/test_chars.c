/* The table against the rules of the grammar, and each vector scan against its plain twin. */
#include <sys/mman.h>
#include <unistd.h>

#include "proxy/http/chars.h"
#include "tests/unit/http/feed.h"

typedef const char *scan_fn(const char *at, const char *end);

static const struct {
    const char *name;
    scan_fn *fast, *plain;
} scans[] = {
    {"name", http_scan_name, http_scan_name_plain},
    {"token", http_scan_token, http_scan_token_plain},
    {"field", http_scan_field, http_scan_field_plain},
    {"target", http_scan_target, http_scan_target_plain},
    {"line", http_scan_line, http_scan_line_plain},
};
#define N_SCANS (sizeof scans / sizeof *scans)

static void token_bytes_are_those_of_rfc9110_5_6_2(void **state)
{
    const char *others = "!#$%&'*+-.^_`|~";
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool want = alnum || (c > 0 && strchr(others, c) != NULL);
        assert_int_equal(http_char_is((char)c, HTTP_CHAR_TOKEN), want);
    }
}

static void name_bytes_are_letters_digits_and_the_dash(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        assert_int_equal(http_char_is((char)c, HTTP_CHAR_NAME), alnum || c == '-');
    }
}

static void host_bytes_are_those_of_rfc3986_3_2_2_without_comma_and_percent(void **state)
{
    const char *others = "-._~!$&'()*+;=";
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool want = alnum || (c > 0 && strchr(others, c) != NULL);
        assert_int_equal(http_char_is((char)c, HTTP_CHAR_HOST), want);
    }
}

static void digits_and_hex_have_their_values(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        const char *hex = "0123456789abcdefABCDEF";
        const char *found = c > 0 ? strchr(hex, c) : NULL;
        assert_int_equal(http_char_is((char)c, HTTP_CHAR_DIGIT), c >= '0' && c <= '9');
        assert_int_equal(http_char_is((char)c, HTTP_CHAR_HEX), found != NULL);
        if (found != NULL)
            assert_int_equal(http_hex_value((char)c), strtoul((char[]){(char)c, 0}, NULL, 16));
    }
}

static void field_bytes_are_tab_space_visible_and_obs_text(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool want = c == '\t' || (c >= 0x20 && c != 0x7f);
        assert_int_equal(http_is_field_char((char)c), want);
    }
}

static void folding_joins_cases_and_the_two_dashes(void **state)
{
    (void)state;
    for (int c = 0; c < 128; c++) {
        char want = c >= 'A' && c <= 'Z' ? (char)(c + 32) : (char)(c == '_' ? '-' : c);
        assert_int_equal(http_fold((char)c), want);
    }
}

static void an_empty_span_is_no_token(void **state)
{
    (void)state;
    assert_false(http_is_token((struct span){"", 0}));
    assert_true(http_is_token(SPAN("x^y")));
    assert_false(http_is_token(SPAN("x y")));
    assert_false(http_is_token(SPAN("x:")));
}

/* Every byte at every offset of a run of 40, so in every lane and in the remainder. */
static void every_byte_stops_a_scan_where_it_stops_the_plain_one(void **state)
{
    (void)state;
    for (size_t s = 0; s < N_SCANS; s++) {
        for (size_t i = 0; i < 40 * 256; i++) {
            char run[40];
            memset(run, 'a', sizeof run);
            run[i / 256] = (char)(i % 256);
            assert_ptr_equal(scans[s].fast(run, run + 40), scans[s].plain(run, run + 40));
        }
    }
}

static void random_bytes_are_scanned_as_the_plain_way_scans_them(void **state)
{
    (void)state;
    feed_seed();
    for (int round = 0; round < 20000; round++) {
        char run[128];
        size_t len = feed_below(sizeof run);
        for (size_t i = 0; i < len; i++)
            run[i] = (char)(feed_below(40) == 0 ? feed_random() : ' ' + 1 + feed_below(94));
        for (size_t s = 0; s < N_SCANS; s++)
            assert_ptr_equal(scans[s].fast(run, run + len), scans[s].plain(run, run + len));
    }
}

/* The run ends at the end of a page; the next page must not be read. */
static void no_scan_reads_behind_the_end(void **state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)state;
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
    memset(map, 'a', page);
    for (size_t len = 0; len <= 70; len++) {
        for (size_t s = 0; s < N_SCANS; s++)
            assert_ptr_equal(scans[s].fast(map + page - len, map + page), map + page);
    }
    munmap(map, 2 * page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_bytes_are_those_of_rfc9110_5_6_2),
        cmocka_unit_test(name_bytes_are_letters_digits_and_the_dash),
        cmocka_unit_test(host_bytes_are_those_of_rfc3986_3_2_2_without_comma_and_percent),
        cmocka_unit_test(digits_and_hex_have_their_values),
        cmocka_unit_test(field_bytes_are_tab_space_visible_and_obs_text),
        cmocka_unit_test(folding_joins_cases_and_the_two_dashes),
        cmocka_unit_test(an_empty_span_is_no_token),
        cmocka_unit_test(every_byte_stops_a_scan_where_it_stops_the_plain_one),
        cmocka_unit_test(random_bytes_are_scanned_as_the_plain_way_scans_them),
        cmocka_unit_test(no_scan_reads_behind_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
