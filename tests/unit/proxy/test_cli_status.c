/* `weir status`, with a scripted admin port. */
#include "tests/unit/proxy/admin_script.h"

#define OK(json) "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" json

static const char response[] =
    OK("{\"in_flight\": 3, \"limit\": 40, \"queue\": {\"depth\": 2, \"limit\": 90}}");

static void assert_status(const char *text, const char *flag, int status, const char *out,
                          const char *err)
{
    struct admin a;

    admin_start(&a, text);
    assert_said(run("status", a.flag, flag, NULL), status, out, err);
    admin_stop(&a);
    assert_int_equal(strncmp(a.request, "GET /status HTTP/1.0\r\n", 22), 0);
}

static void a_status_is_a_page(void **state)
{
    static char locale[] = "LC_ALL=C";
    static char *variables[] = {locale, NULL};
    (void)state;

    assert_status(response, NULL, 0, "App: not known.\n\nweir on 0.0.0.0:", NULL);
    assert_status(response, NULL, 0,
                  "\n"
                  "In flight ████░",
                  NULL);
    assert_status(response, NULL, 0, "░ 3 of 40\n", NULL);
    cli_environ = variables;
    assert_status(response, NULL, 0, "\nWaiting   #...", NULL);
    cli_environ = no_variables;
}

static void a_status_is_json_as_it_came(void **state)
{
    (void)state;
    assert_status(response, "--json", 0,
                  "{\"in_flight\": 3, \"limit\": 40, \"queue\": {\"depth\": 2, \"limit\": 90}}\n",
                  NULL);
}

static void other_responses_are_errors(void **state)
{
    static const char error[] = "unexpected response to /status (status ";
    (void)state;

    assert_status("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", NULL, 1, NULL, error);
    assert_status("HTTP/1.1 503 No\r\n\r\n{\"in_flight\":1}", "--json", 1, NULL, error);
    assert_status(OK("<html>"), "--json", 1, NULL, error);
    assert_status(OK("{\"message\":\"hello\"}"), NULL, 1, NULL, error);
    assert_status("", NULL, 1, NULL, "no response from the admin port");
}

static void a_weir_that_does_not_run_is_an_error(void **state)
{
    (void)state;
    assert_said(run("status", "--admin-listen=127.0.0.1:1", NULL), 1, NULL,
                "127.0.0.1:1: no response from the admin port: Connection refused");
    assert_said(run("status", "--admin-listen=off", NULL), 1, NULL, "the admin port is disabled");
    assert_said(run("status", "-c", "/nonexistent", NULL), 1, NULL, "cannot be read");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_is_a_page),
        cmocka_unit_test(a_status_is_json_as_it_came),
        cmocka_unit_test(other_responses_are_errors),
        cmocka_unit_test(a_weir_that_does_not_run_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
