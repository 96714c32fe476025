/* Documents written from the option table: the help at 80 columns, the schema, the page of
 * options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "proxy/manual.h"
#include "proxy/options.h"

static void text_is_wrapped_at_80_columns(void **state)
{
    struct strbuf out = {0};
    (void)state;

    manual_wrap("one two", 4, &out);
    assert_string_equal(strbuf_cstr(&out), "    one two\n");
    strbuf_clear(&out);
    for (int i = 0; i < 40; i++)
        strbuf_adds(&out, "word ");
    struct strbuf wrapped = {0};
    manual_wrap(strbuf_cstr(&out), 8, &wrapped);
    for (const char *line = strbuf_cstr(&wrapped); *line != '\0';) {
        size_t len = strcspn(line, "\n");
        assert_true(len <= 80 && len > 70 - 8 - 5);
        assert_memory_equal(line, "        word", 12);
        line += len + 1;
        if (strlen(line) < 70)
            break;
    }
    strbuf_fini(&wrapped);
    strbuf_fini(&out);
}

static void every_flag_is_in_the_help_and_no_line_is_too_long(void **state)
{
    struct strbuf out = {0}, name = {0};
    (void)state;

    manual_write_flags(&out);
    for (size_t i = 0; i < option_count; i++) {
        strbuf_clear(&name);
        strbuf_adds(&name, "--");
        option_flag_name(&option_table[i], &name);
        if (strstr(strbuf_cstr(&out), strbuf_cstr(&name)) == NULL)
            fail_msg("%s", strbuf_cstr(&name));
    }
    for (const char *line = strbuf_cstr(&out); *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 80);
    strbuf_fini(&name);
    strbuf_fini(&out);
}

static void the_schema_is_json_that_has_every_option(void **state)
{
    struct strbuf out = {0};
    (void)state;

    manual_write_schema(&out);
    json_t *schema = json_loadb(out.at, out.len, 0, NULL);
    assert_non_null(schema);
    for (size_t i = 0; i < option_count; i++) {
        struct span section = option_section(&option_table[i]),
                    leaf = option_leaf(&option_table[i]);
        json_t *at = json_object_get(schema, "properties");
        if (section.len > 0) {
            at = json_object_getn(at, section.at, section.len);
            json_t *alternatives = json_object_get(at, "anyOf");
            for (size_t k = 0; k < json_array_size(alternatives); k++) {
                if (json_object_get(json_array_get(alternatives, k), "properties") != NULL)
                    at = json_array_get(alternatives, k);
            }
            at = json_object_get(at, "properties");
        }
        if (json_object_getn(at, leaf.at, leaf.len) == NULL)
            fail_msg("%s", option_table[i].path);
    }
    json_decref(schema);
    strbuf_fini(&out);
}

static void the_page_has_a_row_for_every_option(void **state)
{
    struct strbuf out = {0}, row = {0};
    (void)state;

    manual_write_docs(&out);
    for (size_t i = 0; i < option_count; i++) {
        strbuf_clear(&row);
        strbuf_addf(&row, "| `%s` |", option_table[i].path);
        if (strstr(strbuf_cstr(&out), strbuf_cstr(&row)) == NULL)
            fail_msg("%s", option_table[i].path);
    }
    strbuf_fini(&row);
    strbuf_fini(&out);
}

static void the_page_has_the_values_of_every_type(void **state)
{
    static const char *const rows[] = {
        "| `listen` | an address |",
        "| `listen_mode` | octal permissions, or `\"umask\"` |",
        "| `concurrency` | 1 to 1000000, or `\"unlimited\"` |",
        "| `overload.status` | `503`, `429` |",
        "| `upstream.max_head` | 1KiB to 60KiB |",
        "| `client.half_close` | `\"abort\"`, `\"allow\"` |",
        "| `headers.trusted` | a list of CIDR ranges, `\"private\"`, `\"loopback\"` |",
        "| `headers.request_id` | a header name, or `\"\"` |",
        "| `headers.server_timing` | `true`, `false` |",
    };
    struct strbuf out = {0};
    (void)state;

    manual_write_docs(&out);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strstr(strbuf_cstr(&out), rows[i]) == NULL)
            fail_msg("%s", rows[i]);
    }
    strbuf_fini(&out);
}

static void assert_has(struct strbuf *out, const char *text)
{
    if (strstr(strbuf_cstr(out), text) == NULL)
        fail_msg("%s", text);
    strbuf_clear(out);
}

static void what_requires_a_restart_is_said_in_page_help_and_schema(void **state)
{
    struct strbuf out = {0};
    (void)state;

    manual_write_docs(&out);
    assert_has(
        &out, "each has its own connections to the app | no: the threads are created at startup |");
    manual_write_docs(&out);
    assert_has(&out, "maximum time that a request waits for a slot | yes |");
    manual_write_flags(&out);
    assert_has(&out, "own connections to the app; a\n      change requires a restart\n");
    manual_write_schema(&out);
    assert_has(&out, "own connections to the app; a change requires a restart\"");
    strbuf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_wrapped_at_80_columns),
        cmocka_unit_test(every_flag_is_in_the_help_and_no_line_is_too_long),
        cmocka_unit_test(the_schema_is_json_that_has_every_option),
        cmocka_unit_test(the_page_has_a_row_for_every_option),
        cmocka_unit_test(the_page_has_the_values_of_every_type),
        cmocka_unit_test(what_requires_a_restart_is_said_in_page_help_and_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
