#include "tests/unit/proxy/cli_fixture.h"

static unsigned served_concurrency;
static const char *served_source;

static int serve(struct config *config, const struct config_source *source)
{
    served_source = source->path;
    served_concurrency = config->concurrency;
    return 3;
}

/* Fails unless the help for `command` has `part` exactly when `expected`, in 80 columns. */
static void assert_help(const char *command, const char *part, bool expected)
{
    struct said said = run("help", command, NULL);

    assert_int_equal(said.status, 0);
    if ((strstr(said.out, part) != NULL) != expected)
        fail_msg("help %s %s: %s", command, expected ? "lacks" : "has", part);
    for (const char *line = said.out; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 80);
    free(said.out);
    free(said.err);
}

static void the_help_about_a_command_lists_the_flags_that_it_accepts(void **state)
{
    (void)state;
    assert_help("serve", "\nFlags:\n\n  -c, --config FILE\n      configuration file", true);
    assert_help("serve", "\n  -h, --help\n      print", true);
    assert_help("serve", "\n  -V, --version\n      print", true);
    assert_help("serve", "\n  --\n      end of the flags", true);
    assert_help("serve", "\n  --json\n", false);
    assert_help("status", "\n  --json\n", true);
    assert_help("status", "\n  -c, --config FILE\n", true);
    assert_help("version", "--config", false);
}

static void serve_gets_the_configuration_and_gives_the_status(void **state)
{
    (void)state;
    assert_said(run("--upstream", ":1", "--concurrency=7", NULL), 3, NULL, NULL);
    assert_int_equal(served_concurrency, 7);
    assert_said(run("serve", "--upstream=:1", NULL), 3, NULL, NULL);
    assert_int_equal(served_concurrency, 80);
    assert_null(served_source); /* there is no file to read again */
    assert_said(run("serve", "--upstream=1", NULL), 1, NULL, "(did you mean \":1\"?)");
}

static void nothing_configured_is_wrong_usage_with_a_short_help(void **state)
{
    (void)state;
    assert_said(run(NULL), 2, NULL, "weir --upstream 127.0.0.1:8000");
    assert_said(run("serve", NULL), 2, NULL, "Every option:    weir help serve\n");
}

static void check_says_ok_or_every_problem(void **state)
{
    (void)state;
    assert_said(run("check", "--upstream=:1", NULL), 0, "weir: ok\n", NULL);
    assert_said(run("check", "/nonexistent.json", NULL), 1, NULL, "cannot be read");
    assert_said(run("check", "a", "--config=b", NULL), 2, NULL, "give the file once");
    assert_said(run("check", NULL), 1, NULL, "nothing to check");
    assert_said(run("check", "a", "b", NULL), 2, NULL, "takes one argument, got \"b\"");
}

static void config_prints_what_is_asked_for(void **state)
{
    (void)state;
    assert_said(run("config", "print", "--threads", "3", NULL), 0, "flag --threads", NULL);
    assert_said(run("config", "print", "--threads", "x", NULL), 1, NULL, "--threads expects");
    assert_said(run("config", "schema", NULL), 0, "additionalProperties", NULL);
    assert_said(run("config", "docs", NULL), 0, "# Configuration", NULL);
    assert_said(run("config", "defaults", NULL), 0, "\"concurrency\": 80", NULL);
    assert_said(run("config", "schem", NULL), 2, NULL, "did you mean schema?");
    assert_said(run("config", NULL), 2, NULL, "run weir config print");
    assert_said(run("config", "print", "--json", "--upstream", ":1", NULL), 0,
                "\"address\": \":1\"", NULL);
    assert_said(run("config", "schema", "--json", NULL), 2, NULL,
                "--json is valid only with weir config print");
}

static void help_and_version_work_in_all_their_forms(void **state)
{
    (void)state;
    assert_said(run("help", NULL), 0, "Usage: weir [COMMAND]", NULL);
    assert_said(run("--help", NULL), 0, "Usage: weir [COMMAND]", NULL);
    assert_said(run("-h", NULL), 0, "Usage: weir [COMMAND]", NULL);
    assert_said(run("help", "serve", NULL), 0, "--queue-timeout DURATION", NULL);
    assert_said(run("check", "--help", NULL), 0, "Usage: weir check", NULL);
    assert_said(run("status", "-h", NULL), 0, "Usage: weir status", NULL);
    assert_said(run("help", "chek", NULL), 2, NULL, "did you mean check?");
    assert_said(run("version", NULL), 0, "weir " WEIR_VERSION, NULL);
    assert_said(run("--version", NULL), 0, "weir " WEIR_VERSION, NULL);
    assert_said(run("version", "--json", NULL), 0, "{\"version\": \"", NULL);
    assert_said(run("-V", NULL), 0, "weir " WEIR_VERSION, NULL);
    assert_said(run("serve", "--version", NULL), 0, "weir " WEIR_VERSION, NULL);
    assert_said(run("--threads", "x", "--help", NULL), 0, "Usage: weir [COMMAND]", NULL);
}

static void wrong_usage_is_told_with_the_nearest(void **state)
{
    (void)state;
    assert_said(run("healthchek", NULL), 2, NULL, "did you mean healthcheck?");
    assert_said(run("xyzzy123", NULL), 2, NULL, "see weir help");
    assert_said(run("--cofig", "x", NULL), 2, NULL, "did you mean --config?");
    assert_said(run("--threds", "1", NULL), 2, NULL, "did you mean --threads?");
    assert_said(run("--threads", NULL), 2, NULL, "--threads requires a value");
    assert_said(run("--config", NULL), 2, NULL, "--config requires a file name");
    assert_said(run("version", "--config=x", NULL), 2, NULL, "does not accept --config");
    assert_said(run("version", "--threads=1", NULL), 2, NULL, "does not accept --threads");
    assert_said(run("check", "--ready", NULL), 2, NULL, "does not accept --ready");
    assert_said(run("version", "--json=1", NULL), 2, NULL, "--json takes no value");
    assert_said(run("-x", NULL), 2, NULL, "unknown flag -x; see weir help serve");
    assert_said(run("-v", NULL), 2, NULL, "use -V for the version");
    assert_said(run("-upstream", ":1", NULL), 2, NULL, "did you mean --upstream?");
    assert_said(run("serve", "status", NULL), 2, NULL,
                "the command must be the first argument: weir status");
    assert_said(run("serve", "--", "--threads", NULL), 2, NULL, "takes no arguments");
    assert_said(run("-c", NULL), 2, NULL, "--config requires a file name");
}

static void everything_that_is_wrong_is_told_at_once(void **state)
{
    struct said said = run("--quue-timeout", "5s", "-upstream", "--threads", "x", "foo", NULL);
    (void)state;

    assert_int_equal(said.status, 2);
    assert_non_null(strstr(said.err, "did you mean --queue-timeout?"));
    assert_non_null(strstr(said.err, "did you mean --upstream?"));
    assert_non_null(strstr(said.err, "got \"foo\""));
    assert_non_null(strstr(said.err, "--threads expects an integer"));
    assert_non_null(strstr(said.err, "weir: 4 errors; nothing was started"));
    free(said.out);
    free(said.err);
}

static void a_result_that_cannot_be_written_is_a_failure(void **state)
{
    char name[] = "weir", version[] = "version", *argv[] = {name, version, NULL}, *err;
    size_t len;
    struct cli_env env = {.argc = 2, .argv = argv, .out = fopen("/dev/full", "w")};
    (void)state;

    env.err = open_memstream(&err, &len);
    assert_int_equal(cli_main(&env), 1);
    fclose(env.out);
    fclose(env.err);
    assert_non_null(strstr(err, "cannot write the output"));
    free(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serve_gets_the_configuration_and_gives_the_status),
        cmocka_unit_test(nothing_configured_is_wrong_usage_with_a_short_help),
        cmocka_unit_test(check_says_ok_or_every_problem),
        cmocka_unit_test(config_prints_what_is_asked_for),
        cmocka_unit_test(help_and_version_work_in_all_their_forms),
        cmocka_unit_test(the_help_about_a_command_lists_the_flags_that_it_accepts),
        cmocka_unit_test(wrong_usage_is_told_with_the_nearest),
        cmocka_unit_test(everything_that_is_wrong_is_told_at_once),
        cmocka_unit_test(a_result_that_cannot_be_written_is_a_failure),
    };

    cli_serve = serve;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
