/* The configuration file: every kind of error, and its message. */
#include "tests/unit/proxy/config_fixture.h"

static void files_of_every_wrong_kind_are_told(void **state)
{
    struct fixture *f = *state;
    const struct config_source dir = {.path = f->dir}, none = {.path = f->path};
    char *large = malloc(1024 * 1024 + 2);

    assert_null(config_load(&none, &f->problems));
    assert_non_null(strstr(strbuf_cstr(&f->problems), "cannot be read: No such file"));
    assert_null(config_load(&dir, &f->problems));
    assert_non_null(strstr(strbuf_cstr(&f->problems), "cannot be read: Is a directory"));
    memset(large, ' ', 1024 * 1024 + 2);
    assert_null(load_bytes(f, (struct span){large, 1024 * 1024 + 1}, NULL));
    assert_non_null(strstr(strbuf_cstr(&f->problems), "larger than 1 MiB"));
    free(large);
    assert_null(load_bytes(f, SPAN("{ \"upstream\": \":1\"\0 }"), NULL));
    assert_non_null(strstr(strbuf_cstr(&f->problems), "a NUL byte"));
    assert_problem(f, "", "empty");
    assert_problem(f, " \n", "empty");
    assert_problem(f, "[]", "must be one JSON object, got a list");
    assert_problem(f, "7", "must be one JSON object, got 7");
    assert_problem(f, "\xef\xbb\xbf{}", "byte order mark");
    assert_problem(f, "{\"//\": \"\\ud800\"}", "invalid Unicode");
    assert_problem(f, "{} x", "unexpected text after");
}

/* In the excerpt of whatever error is on the same line, even where the file is no JSON. */
static void no_problem_shows_a_secret(void **state)
{
    static const char *const rows[][2] = {
        {"{\"admin\": {\"token\": \"hide-me\"}}", "\"admin.token\" expects 16 to 128"},
        {"{\"admin\": {\"token\": 1234567890}}", "expects 16 to 128"},
        {"{\"admin\": {\"token\": [\"hide-me\"]}}", "expects 16 to 128"},
        {"{\"admin\": {\"token\": hide-me}}", "double quotes"},
        {"{\"admin\": {\"token\" :\n \"hide-me\\\"hide-me\", \"lisen\": 1}}", "lisen"},
        {"{\"admin\": {\"token\": \"0123-hide-me-4567\", \"lisen\": \":1\"}}", "lisen"},
        {"{\"admin\": {\"token\": \"0123-hide-me-4567\"} \"x\": 1}", "missing comma"},
        {"{\"admin\": {\"token\": \"0123-hide-me-4567", "never"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config *c = load(f, rows[i][0]);
        assert_null(c);
        const char *said = strbuf_cstr(&f->problems);
        if (strstr(said, "hide-me") != NULL || strstr(said, "4567890") != NULL)
            fail_msg("%s", said);
        if (i < 7 && strstr(said, rows[i][1]) == NULL)
            fail_msg("no \"%s\" in %s", rows[i][1], said);
        assert_non_null(strstr(said, i < 3 ? "^" : "error: "));
    }
    assert_problem(f, "{\"admin\": {\"token\": \"***\"}}", "the mask of a token");
}

static void characters_that_are_not_utf8_are_refused(void **state)
{
    static const char *const bad[] = {
        "\x80",
        "\xc3",
        "\xc3(",
        "\xc0\xaf",
        "\xe0\x80\xaf",
        "\xed\xa0\x80",
        "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xe4\xb8",
    };
    char text[64];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "{\"upstream\": \":1\", \"//\": \"%s\"}", bad[i]);
        assert_problem(*state, text, ":1:27: error: not UTF-8: byte 0x");
    }
    struct config *c = load(*state, "{\"upstream\": \":1\", \"//\": "
                                    "\"\xc3\xa9 \xe4\xb8\xad \xed\x9f\xbf \xf0\x9f\x98\x80\"}");
    assert_non_null(c);
    config_put(c);
}

static void a_trailing_comma_hides_no_other_error(void **state)
{
    static const char text[] = "{\"upstream\": \":1\", \"queue\": {\"timeout\": 5,},\n"
                               "\"headers\": {\"trusted\": [\"x\",],},}";
    struct fixture *f = *state;

    assert_problem(f, text, ":1:42: error: trailing comma: nothing follows it before the \"}\"");
    assert_problem(f, text, ":2:28: error: trailing comma: nothing follows it before the \"]\"");
    assert_problem(f, text, ":1:41: error: \"queue.timeout\" expects");
    assert_problem(f, text, "\"queue\": {\"timeout\": 5,},"); /* printed as written */
    assert_problem(f, text, "\"headers.trusted[0]\" expects");
    assert_problem(f, text, "6 errors");
    assert_problem(f, "{\"queue\": {\"length\": 1,}, x}", "trailing comma");
    assert_problem(f, "{\"queue\": {\"length\": 1,}, x}", "a key in double quotes");
}

static void values_of_the_wrong_type_are_told(void **state)
{
    assert_problem(*state, "{\"upstream\": 8000}", "got 8000 (did you mean \":8000\"?)");
    assert_problem(*state, "{\"upstream\": []}", "expects an address or an object, got a list");
    assert_problem(*state, "{\"queue\": 1}", "\"queue\" expects an object, got 1");
    assert_problem(*state, "{\"queue\": {\"timeout\": {}}}", "got an object");
    assert_problem(*state, "{\"threads\": \"2\"}", "got \"2\" (did you mean 2?)");
    assert_problem(*state, "{\"threads\": 2.5}", "an integer from 1 to 64, got 2.5");
    assert_problem(*state, "{\"threads\": null}", "omit the key to use the default");
    assert_problem(*state, "{\"headers\": {\"request_start\": 1}}", "true or false, got 1");
    assert_problem(*state, "{\"headers\": {\"trusted\": \"::1\"}}", "expects a list such as");
    assert_problem(*state, "{\"headers\": {\"trusted\": [\"::1\", \"x\", 3]}}",
                   "\"headers.trusted[1]\" expects CIDR ranges, \"private\" or \"loopback\", "
                   "got \"x\"");
    assert_problem(*state, "{\"headers\": {\"trusted\": [\"privat\"]}}",
                   "got \"privat\" (did you mean \"private\"?)");
    assert_problem(*state, "{\"upstream\": \":1\", \"listen_mode\": \"0660\"}",
                   "\"listen_mode\": applies only to a Unix socket");
    assert_problem(
        *state,
        "{\"upstream\": \":1\", \"admin\": {\"listen\": \"off\", \"listen_mode\": \"0600\"}}",
        "\"admin.listen_mode\": applies only to a Unix socket");
    assert_problem(*state, "{\"concurrency\": 0}", "(0 means \"no limit\"");
}

static void unknown_and_duplicate_keys_are_told_with_what_may_be_meant(void **state)
{
    assert_problem(*state, "{\"quue\": {}}", "did you mean \"queue\"?");
    assert_problem(*state, "{\"backend\": \":1\"}", "did you mean \"upstream\"?");
    assert_problem(*state, "{\"max_body\": 1}", "did you mean \"max_body\" in \"client\"?");
    assert_problem(*state, "{\"queue.timeout\": 1}", "did you mean \"timeout\" in \"queue\"?");
    assert_problem(*state, "{\"colour\": 1}",
                   "^~~~~~~~ (known: listen, listen_mode, threads, upstream,");
    assert_problem(*state, "{\"$schema\": 1, \"queue\": {\"$schema\": 1}}", "in \"queue\"");
    assert_problem(*state, "{\"threads\": 1, \"threads\": 1}", "duplicate key \"threads\"");
    assert_problem(*state, "{\"queue\": {\"length\": 1,\n\"l\\u0065ngth\": 2}}", "on line 1");
    struct config *c = load(*state, "{\"//\": 1, \"//\": 2, \"$schema\": \"x\", \"upstream\": "
                                    "{\"//x\": [{}], \"address\": \":1\"}}");
    assert_non_null(c);
    config_put(c);
}

static void shown_problems_are_bounded_and_all_are_counted(void **state)
{
    struct fixture *f = *state;
    struct strbuf text = {0};

    strbuf_adds(&text, "{\"concurrency\": \"x\"");
    for (int i = 0; i < 49; i++)
        strbuf_addf(&text, ", \"key%d\": {}", i);
    strbuf_adds(&text, ", \"one\": 1, \"two\": 2}");
    assert_problem(f, strbuf_cstr(&text), "(only the first 50 errors are shown)\n");
    strbuf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(files_of_every_wrong_kind_are_told),
        IN_DIR(no_problem_shows_a_secret),
        IN_DIR(characters_that_are_not_utf8_are_refused),
        IN_DIR(a_trailing_comma_hides_no_other_error),
        IN_DIR(values_of_the_wrong_type_are_told),
        IN_DIR(unknown_and_duplicate_keys_are_told_with_what_may_be_meant),
        IN_DIR(shown_problems_are_bounded_and_all_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
