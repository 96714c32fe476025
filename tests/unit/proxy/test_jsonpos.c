#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/jsonpos.h"

static void assert_span(struct span s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.at, expected, s.len);
}

/* Where and why a text is refused. */
static void assert_bad(const char *text, size_t at, const char *why)
{
    struct jsonpos jp = {0};

    assert_false(jsonpos_scan(&jp, span_of(text)));
    if (jp.bad_at != at || strstr(strbuf_cstr(&jp.bad), why) == NULL)
        fail_msg("%s: at %zu: %s", text, jp.bad_at, strbuf_cstr(&jp.bad));
    jsonpos_fini(&jp);
}

static void assert_good(const char *text)
{
    struct jsonpos jp = {0};

    if (!jsonpos_scan(&jp, span_of(text)))
        fail_msg("%s: at %zu: %s", text, jp.bad_at, strbuf_cstr(&jp.bad));
    jsonpos_fini(&jp);
}

static void keys_and_values_are_found_in_the_order_of_the_text(void **state)
{
    struct jsonpos jp = {0};
    const char *text = "{ \"a\": {\"b\": [1, \"x\"]}, \"c\": true }";
    (void)state;

    assert_true(jsonpos_scan(&jp, span_of(text)));
    assert_int_equal(jp.n, 6);
    assert_span(jsonpos_value(&jp, 0), text);
    assert_span(jsonpos_key(&jp, 1), "\"a\"");
    assert_span(jsonpos_value(&jp, 1), "{\"b\": [1, \"x\"]}");
    assert_int_equal(jp.nodes[1].end, 5);
    assert_span(jsonpos_key(&jp, 2), "\"b\"");
    assert_span(jsonpos_value(&jp, 3), "1");
    assert_int_equal(jsonpos_key(&jp, 3).len, 0);
    assert_span(jsonpos_value(&jp, 4), "\"x\"");
    assert_span(jsonpos_key(&jp, 5), "\"c\"");
    assert_int_equal(jp.nodes[0].end, 6);
    jsonpos_fini(&jp);
}

static void every_form_of_json_is_let_through(void **state)
{
    static const char *const good[] = {
        "0",         "-1",    "1.5",      "1e9",         "-0.5E+3",
        "2e-7",      "null",  "\"\"",     "[]",          "{}",
        "[[]]",      "[1,2]", "  true  ", "\"\\u00e9\"", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "{\"\":{}}",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_good(good[i]);
}

static void a_trailing_comma_is_noted_and_the_scan_goes_on(void **state)
{
    static const char text[] = "{\"a\": [1, 2 , ],\n \"b\": {},\t}";
    struct jsonpos jp = {0};
    (void)state;

    assert_true(jsonpos_scan(&jp, span_of(text)));
    assert_int_equal(jp.n_commas, 2);
    assert_int_equal(jp.commas[0], 12);
    assert_int_equal(jp.commas[1], strlen(text) - 3);
    assert_int_equal(jp.n, 5);
    assert_true(span_equal(jsonpos_key(&jp, 4), SPAN("\"b\"")));
    jsonpos_fini(&jp);
    for (int i = 0; i < 2; i++) { /* also before another error */
        assert_false(jsonpos_scan(&jp, SPAN("[[1,], x]")));
        assert_int_equal(jp.n_commas, 1);
        assert_int_equal(jp.bad_at, 7);
        jsonpos_fini(&jp);
    }
}

static void what_is_wrong_is_named_where_it_is(void **state)
{
    (void)state;
    assert_bad("", 0, "ends where a value");
    assert_bad("{\"a\":1,]", 7, "a key in double quotes");
    assert_bad("[,]", 1, "missing value");
    assert_bad("[1,,]", 3, "missing value");
    assert_bad("{\"a\":1 \"b\":2}", 6, "missing comma");
    assert_bad("{\"a\" 1}", 1, "colon");
    assert_bad("{\"a\": \"x\n\"}", 6, "closing quote");
    assert_bad("{\"a\": 1", 7, "\"}\" is missing for the \"{\" on line 1");
    assert_bad("{\"a\": 1,", 8, "\"}\" is missing");
    assert_bad("[1, 2}", 5, "does not close the \"[\"");
    assert_bad("{'a': 1}", 1, "double quotes");
    assert_bad("{a: 1}", 1, "a key in double quotes");
    assert_bad("{,}", 1, "a key in double quotes");
    assert_bad("[,]", 1, "missing value");
    assert_bad("{ // x\n}", 2, "no comments");
    assert_bad("[1, /* x */ 2]", 4, "no comments");
    assert_bad("[1 # x\n]", 3, "no comments");
    assert_bad("{} // x", 3, "no comments");
    assert_bad("True", 0, "spells this true");
    assert_bad("None", 0, "spells this null");
    assert_bad("[10s]", 1, "not a number");
    assert_bad("[1.]", 1, "not a number");
    assert_bad("[1e]", 1, "not a number");
    assert_bad("[-]", 1, "not a number");
    assert_bad("[007]", 1, "begin with 0");
    assert_bad("[1234567890123456789]", 1, "too long");
    assert_bad("[unlimited]", 1, "double quotes");
    assert_bad("['x']", 1, "double quotes");
    assert_bad("{} {}", 3, "unexpected text after");
    assert_bad("\"\\q\"", 1, "unknown escape");
    assert_bad("\"\\u12\"", 1, "four hexadecimal digits");
    assert_bad("\"\t\"", 1, "write \\u0009");
}

static void a_text_cut_anywhere_is_refused_within_its_bounds(void **state)
{
    static const char text[] = "{ \"a\": {\"b\": [1, \"x\\u0041\"]}, \"c\": true, \"d\": -1.5e3 }";
    (void)state;

    for (size_t len = 0; len + 1 < sizeof(text); len++) {
        struct jsonpos jp = {0};
        bool ok = jsonpos_scan(&jp, (struct span){text, len});
        assert_true(ok == (len == sizeof(text) - 1));
        assert_true(jp.bad_at <= len);
        jsonpos_fini(&jp);
    }
}

static void nesting_is_bounded(void **state)
{
    char text[2 * JSONPOS_MAX_DEPTH + 3] = "";
    (void)state;

    memset(text, '[', JSONPOS_MAX_DEPTH);
    memset(text + JSONPOS_MAX_DEPTH, ']', JSONPOS_MAX_DEPTH);
    assert_good(text);
    memset(text, '[', sizeof(text) - 1);
    assert_bad(text, JSONPOS_MAX_DEPTH, "nested");
}

static void columns_count_characters_and_lines_begin_after_newlines(void **state)
{
    const char *text = "a\nb\xc3\xa9\xe4\xb8\xad"
                       "c\r\nd";
    struct jsonpos_place p = jsonpos_place(span_of(text), 8);
    (void)state;

    assert_int_equal(p.line, 2);
    assert_int_equal(p.column, 4);
    p = jsonpos_place(span_of(text), strlen(text) - 1);
    assert_int_equal(p.line, 3);
    assert_int_equal(p.column, 1);
}

static void assert_excerpt(const char *text, size_t at, size_t len, const char *note,
                           const char *expected)
{
    struct strbuf out = {0};

    jsonpos_excerpt(span_of(text), at, len, note, &out);
    assert_string_equal(strbuf_cstr(&out), expected);
    strbuf_fini(&out);
}

static void an_excerpt_underlines_what_is_meant(void **state)
{
    (void)state;
    assert_excerpt("{\n  \"a\": 10\n}", 4, 3, "why", "    2 |   \"a\": 10\n      |   ^~~ why\n");
    assert_excerpt("\t\"a\"", 1, 3, "", "    1 | \t\"a\"\n      | \t^~~\n");
    assert_excerpt("\"\xc3\xa9\" 1", 5, 9, "", "    1 | \"\xc3\xa9\" 1\n      |     ^\n");
    assert_excerpt("{", 1, 1, "", "    1 | {\n      |  ^\n");
    assert_excerpt("a\033b", 2, 1, "", "    1 | a?b\n      |   ^\n");
}

static void a_long_line_is_cut_on_both_sides(void **state)
{
    char text[400];
    struct strbuf out = {0};
    (void)state;

    memset(text, 'x', sizeof(text));
    jsonpos_excerpt((struct span){text, sizeof(text)}, 200, 300, "", &out);
    assert_non_null(strstr(strbuf_cstr(&out), "    1 | ...xxx"));
    assert_non_null(strstr(strbuf_cstr(&out), "xxx...\n"));
    assert_true(out.len < 2 * 220);
    strbuf_fini(&out);
}

/* A file that is not UTF-8 may contain no byte that begins a character, and is printed
 * nevertheless. */
static void a_long_line_is_cut_also_where_no_character_begins(void **state)
{
    char text[400];
    struct strbuf out = {0};
    (void)state;

    memset(text, 0x8d, sizeof(text));
    jsonpos_excerpt((struct span){text, sizeof(text)}, 0, 1, "", &out);
    assert_non_null(strstr(strbuf_cstr(&out), "    1 | \x8d...\n      | ^\n"));
    strbuf_clear(&out);
    jsonpos_excerpt((struct span){text, sizeof(text)}, 200, 1, "", &out);
    assert_non_null(strstr(strbuf_cstr(&out), "    1 | ...\x8d...\n"));
    strbuf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_values_are_found_in_the_order_of_the_text),
        cmocka_unit_test(every_form_of_json_is_let_through),
        cmocka_unit_test(what_is_wrong_is_named_where_it_is),
        cmocka_unit_test(a_trailing_comma_is_noted_and_the_scan_goes_on),
        cmocka_unit_test(a_text_cut_anywhere_is_refused_within_its_bounds),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(columns_count_characters_and_lines_begin_after_newlines),
        cmocka_unit_test(an_excerpt_underlines_what_is_meant),
        cmocka_unit_test(a_long_line_is_cut_on_both_sides),
        cmocka_unit_test(a_long_line_is_cut_also_where_no_character_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
