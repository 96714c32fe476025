/* The completion scripts for a small command line; tests/config/test_shells.py runs them in real
 * shells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/completion.h"

static const struct command commands[] = {
    {"run", "[flags]", "run it; this is the default", "Runs.", TAKES_CONFIG, 0, NULL, NULL},
    {"read", "[FILE]", "it's read", "Reads.", 0, 1, NULL, "FILE"},
    {"show", "a|b", "show [it]", "Shows.", TAKES_JSON, 1, NULL, "a b"},
    {"help", "[COMMAND]", "help: this", "Helps.", 0, 1, NULL, "COMMAND"},
};
static const struct command_flag flags[] = {
    {"config", "c", "FILE", TAKES_CONFIG, "the file"},
    {"json", NULL, NULL, TAKES_JSON, "print JSON"},
    {"help", "h", NULL, 0, "print help"},
};
static const struct command_line line = {commands, 4, flags, 3};

static void assert_written(const char *shell, const char *const *parts, size_t n)
{
    struct strbuf text = {0};
    completion_write_fn *write_script = completion_for(shell);

    assert_non_null(write_script);
    write_script(&line, &text);
    for (size_t i = 0; i < n; i++) {
        if (strstr(strbuf_cstr(&text), parts[i]) == NULL)
            fail_msg("%s: lacks: %s", shell, parts[i]);
    }
    strbuf_fini(&text);
}

#define ASSERT_WRITTEN(shell, ...)                                                                 \
    assert_written(shell, (const char *const[]){__VA_ARGS__},                                      \
                   sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void a_summary_is_the_first_clause(void **state)
{
    static const char *const rows[][2] = {
        {"one thing; and more", "one thing"},
        {"what is logged: this", "what is logged"},
        {"where \":port\" is meant", "where \":port\" is meant"},
        {"ends here:", "ends here"},
        {"; begins", "; begins"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_true(span_equal(completion_summary(rows[i][0]), span_of(rows[i][1])));
}

static void an_unknown_shell_has_no_script(void **state)
{
    (void)state;
    assert_null(completion_for(""));
    assert_null(completion_for("csh"));
    assert_null(completion_for("bash "));
}

static void bash_knows_commands_flags_values_and_files(void **state)
{
    (void)state;
    ASSERT_WRITTEN("bash", "words='run read show help'", "flags=' --json --help'", "words='a b'",
                   "--config | -c)", "files=yes", "--queue-timeout) return ;;",
                   "--on-client-abort) words='auto finish close' ;;",
                   "--headers-trusted) words='private loopback none' ;;",
                   "--headers-request-start) words='true false' ;;");
}

static void zsh_describes_what_it_offers(void **state)
{
    (void)state;
    ASSERT_WRITTEN("zsh", "'run:run it'", "'read:it'\\''s read'", "'show:show \\[it\\]'",
                   "'help:help'", "'1:argument:(a b)'", "'1:FILE:_files'",
                   "'--config=[the file]:FILE:_files'", "'-c[the file]:FILE:_files'",
                   "'*--queue-timeout=[maximum time that a request waits for a slot]:DURATION: '",
                   "]:value:(auto finish close)'", "        shift words\n",
                   "    case $command in\n    run)\n");
}

static void fish_offers_a_flag_to_the_commands_that_take_it(void **state)
{
    (void)state;
    ASSERT_WRITTEN("fish", "-n __weir_first -a read -d 'it\\'s read'",
                   "-n '__weir_command show' -a 'a b'", "-n '__weir_command read' -F",
                   "-n '__weir_command run' -l config -s c -r -F -d 'the file'",
                   "-n '__weir_command run read show help' -l help -s h -d 'print help'",
                   "-n '__weir_command run' -l on-client-abort -x -a 'auto finish close' -d ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_summary_is_the_first_clause),
        cmocka_unit_test(an_unknown_shell_has_no_script),
        cmocka_unit_test(bash_knows_commands_flags_values_and_files),
        cmocka_unit_test(zsh_describes_what_it_offers),
        cmocka_unit_test(fish_offers_a_flag_to_the_commands_that_take_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
