/* The commands that talk to a running weir, with a scripted admin port. */
#include "tests/unit/proxy/admin_script.h"

static void health_is_what_the_admin_port_says(void **state)
{
    struct admin a;
    (void)state;

    admin_start(&a, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
    assert_said(run("healthcheck", a.flag, NULL), 0, NULL, NULL);
    admin_stop(&a);
    assert_int_equal(strncmp(a.request, "GET /livez HTTP/1.0\r\n", 21), 0);
    admin_start(&a, "HTTP/1.0 503 Service Unavailable\r\n\r\nno");
    assert_said(run("healthcheck", "--ready", a.flag, NULL), 1, NULL,
                "/readyz returned status 503");
    admin_stop(&a);
    assert_int_equal(strncmp(a.request, "GET /readyz ", 12), 0);
    admin_start(&a, "SSH-2.0-x\r\n\r\n");
    assert_said(run("healthcheck", a.flag, NULL), 1, NULL, "no response from the admin port");
    admin_stop(&a);
    admin_start(&a, "HTTP/1.1 200 OK\r\n");
    assert_said(run("healthcheck", a.flag, NULL), 1, NULL, "Protocol error");
    admin_stop(&a);
}

static void a_silent_admin_port_is_given_up_after_two_seconds(void **state)
{
    struct admin a;
    mono_us before = clock_mono();
    (void)state;

    admin_start(&a, NULL);
    assert_said(run("healthcheck", a.flag, NULL), 1, NULL, "timed out");
    admin_stop(&a);
    assert_true(clock_mono() - before >= 2000000);
}

static void health_without_a_port_to_ask_is_a_failure(void **state)
{
    (void)state;
    assert_said(run("healthcheck", "--admin-listen=off", NULL), 1, NULL, "\"off\"");
    assert_said(run("healthcheck", "--admin-listen=unix:/nonexistent/s", NULL), 1, NULL,
                "No such file");
    assert_said(run("healthcheck", "--admin-listen=x", NULL), 1, NULL, "expects an address");
    assert_said(run("healthcheck", "-c", "/nonexistent", NULL), 1, NULL, "cannot be read");
    assert_said(run("healthcheck", "-c", "/nonexistent", "--admin-listen", "127.0.0.1:1", NULL), 1,
                NULL, "127.0.0.1:1: no response from the admin port: Connection refused");
}

static void assert_command(const char *command, const char *response, int status, const char *out,
                           const char *err)
{
    struct admin a;

    admin_start(&a, response);
    assert_said(run(command, a.flag, NULL), status, out, err);
    admin_stop(&a);
    assert_int_equal(strncmp(a.request, "POST /", 6), 0);
    assert_int_equal(strncmp(a.request + 6, command, strlen(command)), 0);
    assert_non_null(strstr(a.request, "\r\nHost: localhost\r\n"));
    assert_null(strstr(a.request, "Authorization"));
}

static void pause_and_resume_are_sent_by_post(void **state)
{
    (void)state;
    assert_command("pause", "HTTP/1.1 200 OK\r\n\r\n{}", 0, "paused: requests wait", NULL);
    assert_command("resume", "HTTP/1.1 200 OK\r\n\r\n{}", 0, "resumed\n", NULL);
    assert_command("pause", "HTTP/1.1 403 Forbidden\r\n\r\nthe token is wrong\n", 1, NULL,
                   "/pause returned status 403: the token is wrong\n");
    assert_command("resume", "", 1, NULL, "no response from the admin port");
    assert_said(run("pause", "x", NULL), 2, NULL, "takes no arguments");
}

#define TOKEN(n) "token-" #n "-0123456789"

static void assert_token(const char *first, const char *second, const char *expected)
{
    struct admin a;

    admin_start(&a, "HTTP/1.1 200 OK\r\n\r\n{}");
    assert_said(run("pause", a.flag, first, second, NULL), 0, "paused", NULL);
    admin_stop(&a);
    const char *found = strstr(a.request, "\r\nAuthorization: Bearer ");
    if (expected == NULL)
        assert_null(found);
    else
        assert_int_equal(strncmp(found + 24, expected, strlen(expected)), 0);
}

/* The file is read for the token alone, and an invalid one does not prevent the command. */
static void the_token_is_that_of_the_flag_the_variable_or_the_file(void **state)
{
    char path[] = "/tmp/weir-cli-XXXXXX", config[64], variable[] = "WEIR_ADMIN_TOKEN=" TOKEN(2);
    char *variables[] = {variable, NULL};
    static const char *const text = "{\"admin\": {\"token\": \"" TOKEN(3) "\"}}";
    int fd = mkstemp(path);
    (void)state;

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)snprintf(config, sizeof(config), "--config=%s", path);
    assert_token(config, NULL, TOKEN(3));
    cli_environ = variables;
    assert_token(config, NULL, TOKEN(2));
    assert_token(config, "--admin-token=" TOKEN(1), TOKEN(1));
    cli_environ = no_variables;
    assert_int_equal(ftruncate(fd, 3), 0);
    assert_token(config, NULL, NULL);
    close(fd);
    unlink(path);
    assert_said(run("pause", "--admin-listen=127.0.0.1:1", "--admin-token=short", NULL), 1, NULL,
                "--admin-token expects 16 to 128");
}

static void assert_drain(const char *wait, const char *response, int status, const char *out,
                         const char *err)
{
    struct admin a;

    admin_start(&a, response);
    assert_said(run("drain", a.flag, wait, NULL), status, out, err);
    admin_stop(&a);
    const char *path = wait == NULL ? "POST /drain HTTP" : "POST /drain?wait=2500000us HTTP";
    assert_int_equal(strncmp(a.request, path, strlen(path)), 0);
}

static void a_drain_says_what_has_become_of_the_requests(void **state)
{
    static const char drained[] = "HTTP/1.1 200 OK\r\n\r\n{\"state\":\"drained\",\"cut\":0}";
    static const char cut[] = "HTTP/1.1 200 OK\r\n\r\n{\"state\":\"drained\",\"cut\":2}";
    static const char draining[] =
        "HTTP/1.1 202 "
        "Accepted\r\n\r\n{\"state\":\"draining\",\"in_flight\":3,\"queued\":4,\"cut\":0}";
    (void)state;

    assert_drain(NULL, draining, 0, "draining: 3 requests are running, 4 are waiting\n", NULL);
    assert_drain(NULL, drained, 0, "drained: all requests were served\n", NULL);
    assert_drain("--wait=2500ms", drained, 0, "drained", NULL);
    assert_drain("--wait=2500ms", cut, 3, NULL, "drained, but 2 requests were refused or cut off");
    assert_drain("--wait=2500ms", draining, 1, NULL,
                 "not ended within --wait; draining: 3 requests are running, 4 are waiting\n");
    assert_drain("--wait=2500ms", "HTTP/1.1 409 Conflict\r\n\r\nthe drain was cancelled\n", 1, NULL,
                 "/drain returned status 409: the drain was cancelled\n");
    assert_drain("--wait=2500ms", "HTTP/1.1 200 OK\r\n\r\nwhat", 1, NULL, "/drain returned");
    assert_drain("--wait=2500ms", "", 1, NULL, "no response from the admin port");
    assert_said(run("drain", "--wait", NULL), 2, NULL, "--wait requires a duration");
    assert_said(run("drain", "--wait=25", NULL), 2, NULL, "--wait requires a duration");
    assert_said(run("pause", "--wait", "2s", NULL), 2, NULL, "does not accept --wait");
}

static void a_drain_may_ask_that_weir_stays_ready(void **state)
{
    static const char drained[] = "HTTP/1.1 200 OK\r\n\r\n{\"state\":\"drained\",\"cut\":0}";
    struct admin a;
    (void)state;

    admin_start(&a, drained);
    assert_said(run("drain", a.flag, "--keep-ready", NULL), 0, "drained", NULL);
    admin_stop(&a);
    assert_int_equal(strncmp(a.request, "POST /drain?ready=keep HTTP", 27), 0);
    admin_start(&a, drained);
    assert_said(run("drain", "--keep-ready", "--wait", "1h", a.flag, NULL), 0, "drained", NULL);
    admin_stop(&a);
    assert_non_null(strstr(a.request, "POST /drain?wait=3600000000us&ready=keep HTTP"));
    assert_said(run("drain", "--keep-ready=true", NULL), 2, NULL, "--keep-ready takes no value");
    assert_said(run("pause", "--keep-ready", NULL), 2, NULL, "does not accept --keep-ready");
}

static void assert_set(struct said said, struct admin *a, const char *body)
{
    assert_said(said, 0, "changed\n", NULL);
    admin_stop(a);
    const char *sent = strstr(a->request, "\r\n\r\n");
    assert_int_equal(strncmp(a->request, "PATCH /config HTTP", 18), 0);
    assert_non_null(sent);
    assert_string_equal(sent + 4, body);
}

static void set_sends_its_values_as_json(void **state)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\n\r\n{}";
    struct admin a;
    (void)state;

    admin_start(&a, ok);
    assert_set(run("set", a.flag, "concurrency=40", "queue.timeout=2s", "queue.length=7", NULL), &a,
               "{\"concurrency\":40,\"queue\":{\"timeout\":\"2s\",\"length\":7}}");
    admin_start(&a, ok);
    assert_set(run("set", "headers.trusted=none", a.flag, "concurrency=unlimited",
                   "admin.token=0123456789abcdef", NULL),
               &a,
               "{\"headers\":{\"trusted\":[]},\"concurrency\":\"unlimited\","
               "\"admin\":{\"token\":\"0123456789abcdef\"}}");
}

static void set_finds_the_errors_itself_where_it_can(void **state)
{
    struct admin a;
    (void)state;

    assert_said(run("set", NULL), 2, NULL, "requires KEY=VALUE, such as concurrency=40");
    assert_said(run("set", "concurrency", NULL), 2, NULL, "expects KEY=VALUE, got \"concurrency\"");
    assert_said(run("set", "concurency=4", NULL), 2, NULL, "did you mean concurrency?");
    assert_said(run("set", "concurrency=x", "queue.timeout=5", NULL), 2, NULL,
                "queue.timeout expects a duration with a unit, got \"5\" (did you mean \"5s\"?)");
    admin_start(&a, "HTTP/1.1 400 Bad Request\r\n\r\nchange:1:1: error: no\n    1 | {}\n");
    assert_said(run("set", a.flag, "threads=2", NULL), 1, NULL,
                "change:1:1: error: no\n    1 | {}\n");
    admin_stop(&a);
    admin_start(&a, "HTTP/1.1 403 Forbidden\r\n\r\nadmin.writable is false\n");
    assert_said(run("set", a.flag, "concurrency=2", NULL), 1, NULL,
                "/config returned status 403: admin.writable is false\n");
    admin_stop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health_is_what_the_admin_port_says),
        cmocka_unit_test(a_silent_admin_port_is_given_up_after_two_seconds),
        cmocka_unit_test(health_without_a_port_to_ask_is_a_failure),
        cmocka_unit_test(pause_and_resume_are_sent_by_post),
        cmocka_unit_test(set_sends_its_values_as_json),
        cmocka_unit_test(set_finds_the_errors_itself_where_it_can),
        cmocka_unit_test(a_drain_says_what_has_become_of_the_requests),
        cmocka_unit_test(a_drain_may_ask_that_weir_stays_ready),
        cmocka_unit_test(the_token_is_that_of_the_flag_the_variable_or_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
