#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/strbuf.h"

static void an_empty_strbuf_reads_as_an_empty_string(void **state)
{
    (void)state;
    struct strbuf sb = {0};
    assert_string_equal(strbuf_cstr(&sb), "");
    strbuf_add_span(&sb, (struct span){NULL, 0});
    assert_string_equal(strbuf_cstr(&sb), "");
    assert_int_equal(sb.len, 0);
    strbuf_fini(&sb);
    strbuf_fini(&sb);
}

static void what_is_added_stays_in_order_and_ends_in_nul(void **state)
{
    (void)state;
    struct strbuf sb = {0};
    strbuf_adds(&sb, "one ");
    strbuf_add_span(&sb, SPAN("two "));
    strbuf_add(&sb, "three\0x", 7);
    assert_int_equal(sb.len, 15);
    assert_memory_equal(sb.at, "one two three\0x", 16);
    strbuf_fini(&sb);
}

static void it_grows_at_every_length_without_losing_a_byte(void **state)
{
    (void)state;
    struct strbuf sb = {0};
    for (int i = 0; i < 3000; i++)
        strbuf_add(&sb, &"0123456789"[i % 10], 1);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(sb.at[i], '0' + i % 10);
    assert_int_equal(sb.len, 3000);
    assert_true(sb.room < 10000);
    strbuf_fini(&sb);
}

static void formatted_text_longer_than_the_room_is_whole(void **state)
{
    (void)state;
    for (int width = 50; width < 140; width++) {
        struct strbuf sb = {0};
        strbuf_addf(&sb, "%0*d|%s", width, 7, "end");
        assert_int_equal(sb.len, width + 4);
        assert_string_equal(sb.at + width, "|end");
        strbuf_fini(&sb);
    }
}

static void clearing_keeps_the_memory(void **state)
{
    (void)state;
    struct strbuf sb = {0};
    strbuf_clear(&sb);
    strbuf_adds(&sb, "something");
    const char *at = sb.at;
    strbuf_clear(&sb);
    assert_string_equal(strbuf_cstr(&sb), "");
    strbuf_adds(&sb, "other");
    assert_ptr_equal(sb.at, at);
    strbuf_fini(&sb);
}

static void expect_json(struct span in, const char *want)
{
    struct strbuf sb = {0};
    strbuf_add_json(&sb, in);
    assert_string_equal(strbuf_cstr(&sb), want);
    strbuf_fini(&sb);
}

static void json_escapes_what_would_end_or_break_a_string(void **state)
{
    (void)state;
    expect_json(SPAN(""), "\"\"");
    expect_json(SPAN("a\"b\\c"), "\"a\\\"b\\\\c\"");
    expect_json(SPAN("\n\r\t"), "\"\\n\\r\\t\"");
    expect_json((struct span){"\0\x1f\x7f", 3}, "\"\\u0000\\u001f\\u007f\"");
}

static void json_keeps_utf8_and_replaces_every_other_byte(void **state)
{
    (void)state;
    expect_json(SPAN("\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"),
                "\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\"");
#define BAD "\xEF\xBF\xBD"
    expect_json(SPAN("\xFFz"), "\"" BAD "z\"");
    expect_json(SPAN("\xC0\xAF"), "\"" BAD BAD "\"");                 /* overlong slash */
    expect_json(SPAN("\xE0\x80\xAF"), "\"" BAD BAD BAD "\"");         /* overlong, three bytes */
    expect_json(SPAN("\xED\xA0\x80"), "\"" BAD BAD BAD "\"");         /* a surrogate */
    expect_json(SPAN("\xF4\x90\x80\x80"), "\"" BAD BAD BAD BAD "\""); /* above U+10FFFF */
    expect_json(SPAN("\xF0\x80\x80\x80"), "\"" BAD BAD BAD BAD "\"");
    expect_json(SPAN("\xE2\x82"), "\"" BAD BAD "\""); /* truncated */
    expect_json(SPAN("\x80"), "\"" BAD "\"");
    expect_json(SPAN("\xE2\x82"
                     "A"),
                "\"" BAD BAD "A\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_strbuf_reads_as_an_empty_string),
        cmocka_unit_test(what_is_added_stays_in_order_and_ends_in_nul),
        cmocka_unit_test(it_grows_at_every_length_without_losing_a_byte),
        cmocka_unit_test(formatted_text_longer_than_the_room_is_whole),
        cmocka_unit_test(clearing_keeps_the_memory),
        cmocka_unit_test(json_escapes_what_would_end_or_break_a_string),
        cmocka_unit_test(json_keeps_utf8_and_replaces_every_other_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
