/* The man page of a small command line; tests/config/test_shells.py checks weir's own with man and
 * mandoc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/manpage.h"
#include "proxy/options.h"

static const struct command commands[] = {
    {"run", "[--config FILE]", "run it", "First.\nSecond, with `weir --x`.", TAKES_CONFIG, 0, NULL,
     NULL},
    {"stop", "", "stop it", "Stops.", 0, 0, NULL, NULL},
};
static const struct command_flag flags[] = {
    {"config", "c", "FILE", TAKES_CONFIG, "the file"},
};
static const struct command_line line = {commands, 2, flags, 1};

static struct strbuf page(void)
{
    struct strbuf text = {0};

    manpage_write(&line, "1.2.3", "2000-01-31", &text);
    return text;
}

static void assert_has(const struct strbuf *text, const char *part)
{
    if (strstr(strbuf_cstr(text), part) == NULL)
        fail_msg("lacks: %s", part);
}

static void roff_takes_no_text_for_its_own(void **state)
{
    static const char *const rows[][2] = {
        {"plain", "plain"},       {"--flag", "\\-\\-flag"},
        {"a\\b", "a\\eb"},        {".so x", "\\&.so x"},
        {"a 'b", "a \\&'b"},      {"a.b it's", "a.b it's"},
        {"`a` b", "\\fBa\\fR b"}, {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct strbuf out = {0};
        manpage_write_text(rows[i][0], &out);
        assert_string_equal(strbuf_cstr(&out), rows[i][1]);
        strbuf_fini(&out);
    }
}

static void the_title_has_date_and_version(void **state)
{
    struct strbuf text = page();

    (void)state;
    assert_has(&text, ".TH WEIR 1 2000-01-31 \"weir 1.2.3\"");
    strbuf_fini(&text);
}

static void every_command_and_flag_is_there(void **state)
{
    struct strbuf text = page();

    (void)state;
    assert_has(&text, ".TP\n\\fBrun\\fR [\\-\\-config \\fIFILE\\fR]\nFirst.\n.IP\n"
                      "Second, with \\fBweir \\-\\-x\\fR.\n");
    assert_has(&text, ".TP\n\\fBstop\\fR\nStops.\n");
    assert_has(&text, ".TP\n\\fB\\-c\\fR, \\fB\\-\\-config\\fR \\fIFILE\\fR\nthe file.\n");
    strbuf_fini(&text);
}

static void every_option_is_there_with_its_variable(void **state)
{
    struct strbuf text = page(), name = {0};

    (void)state;
    for (size_t i = 0; i < option_count; i++) {
        strbuf_clear(&name);
        option_env_name(&option_table[i], &name);
        strbuf_adds(&name, "\\fR.");
        assert_has(&text, strbuf_cstr(&name));
    }
    assert_has(&text, ".SS General\n.TP\n\\fB\\-\\-listen\\fR");
    assert_has(&text, "Values: 1ms to 1h. Default: 10s. Key \\fBqueue.timeout\\fR, variable\n");
    strbuf_fini(&text);
    strbuf_fini(&name);
}

static void no_line_is_longer_than_a_terminal_is_wide(void **state)
{
    struct strbuf text = page();

    (void)state;
    for (const char *at = strbuf_cstr(&text); *at != '\0';) {
        size_t len = strcspn(at, "\n");
        assert_in_range(len, 0, 80);
        at += len + (at[len] == '\n');
    }
    strbuf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roff_takes_no_text_for_its_own),
        cmocka_unit_test(the_title_has_date_and_version),
        cmocka_unit_test(every_command_and_flag_is_there),
        cmocka_unit_test(every_option_is_there_with_its_variable),
        cmocka_unit_test(no_line_is_longer_than_a_terminal_is_wide),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
