#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/check.h"
#include "proxy/cli.h"

#define ARGS_MAX 8

static unsigned served_concurrency;

static int serve(struct config *config)
{
    served_concurrency = config->concurrency;
    return 3;
}

/* The output of a command, and its exit status. */
struct said {
    int status;
    char *out, *err;
};

static struct said run(const char *first, ...)
{
    static char empty[] = "", name[] = "weir";
    char *argv[ARGS_MAX + 1] = {name}, *environment[] = {empty, NULL};
    struct said said;
    size_t n_out, n_err;
    int argc = 1;
    va_list args;

    va_start(args, first);
    for (const char *arg = first; arg != NULL; arg = va_arg(args, const char *))
        argv[argc++] = strdup(arg);
    va_end(args);
    struct cli_env env = {.argc = argc, .argv = argv, .environ_ = environment, .serve = serve};
    env.out = open_memstream(&said.out, &n_out);
    env.err = open_memstream(&said.err, &n_err);
    said.status = cli_main(&env);
    fclose(env.out);
    fclose(env.err);
    while (argc > 1)
        free(argv[--argc]);
    return said;
}

/* Checks and frees. NULL: nothing was printed to that stream. */
static void assert_said(struct said said, int status, const char *out, const char *err)
{
    bool ok = said.status == status && (out == NULL) == (*said.out == '\0') &&
              (err == NULL) == (*said.err == '\0') && strstr(said.out, out ? out : "") != NULL &&
              strstr(said.err, err ? err : "") != NULL;

    if (!ok)
        fail_msg("status %d\n%s\n%s", said.status, said.out, said.err);
    free(said.out);
    free(said.err);
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

/* An admin port that sends one response on one connection. */
struct admin {
    int fd;
    const char *response; /* NULL: none, the connection stays open until the client gives up */
    pthread_t thread;
    char flag[64];
    char request[256];
};

static void *respond_once(void *arg)
{
    struct admin *a = arg;
    int fd = accept(a->fd, NULL, NULL);
    ssize_t n = recv(fd, a->request, sizeof(a->request) - 1, 0);
    char byte;

    CHECK(n > 0);
    if (a->response != NULL)
        (void)!write(fd, a->response, strlen(a->response));
    else
        (void)recv(fd, &byte, 1, 0);
    close(fd);
    return NULL;
}

static void admin_start(struct admin *a, const char *response)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(any);

    memset(a, 0, sizeof(*a));
    a->response = response;
    a->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(a->fd, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(a->fd, 1), 0);
    assert_int_equal(getsockname(a->fd, (struct sockaddr *)&any, &len), 0);
    snprintf(a->flag, sizeof(a->flag), "--admin-listen=0.0.0.0:%d", ntohs(any.sin_port));
    assert_int_equal(pthread_create(&a->thread, NULL, respond_once, a), 0);
}

static void admin_stop(struct admin *a)
{
    pthread_join(a->thread, NULL);
    close(a->fd);
}

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
    assert_said(run("status", "--admin-listen=127.0.0.1:1", NULL), 1, NULL, "refused");
}

static void status_is_printed_flat_or_as_it_came(void **state)
{
    static const char response[] =
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        "{\"state\": \"ready\", \"queue\": {\"depth\": 2}, \"l\": [1.5]}";
    struct admin a;
    (void)state;

    admin_start(&a, response);
    assert_said(run("status", a.flag, NULL), 0,
                "queue.depth                             2\n"
                "l.0                                     1.5\n",
                NULL);
    admin_stop(&a);
    admin_start(&a, response);
    assert_said(run("status", "--json", a.flag, NULL), 0, "{\"state\": \"ready\", ", NULL);
    admin_stop(&a);
    admin_start(&a, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_said(run("status", a.flag, NULL), 1, NULL,
                "unexpected response to /status (status 404)");
    admin_stop(&a);
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
        cmocka_unit_test(health_is_what_the_admin_port_says),
        cmocka_unit_test(a_silent_admin_port_is_given_up_after_two_seconds),
        cmocka_unit_test(health_without_a_port_to_ask_is_a_failure),
        cmocka_unit_test(status_is_printed_flat_or_as_it_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
