/* `weir top` without a terminal, with a scripted admin port; tests/e2e/test_top.py has a terminal.
 */
#include <signal.h>

#include "common/strbuf.h"
#include "tests/unit/proxy/admin_script.h"

#define OK "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

static const char status[] = OK
    "{\"in_flight\":3,\"limit\":40,\"queue\":{\"depth\":2},\"app\":{\"state\":\"loop_blocked\"}}";
static const char history[] = OK "{\"started\":5,\"end\":9,\"columns\":{\"in_flight_peak\":[1]}}";

/* An admin port whose responses are in the order of the requests; after the last, the command gets
 * the signal. */
struct script {
    int fd;
    const char *const *responses;
    int signal;
    pthread_t thread, command;
    char flag[64];
    struct strbuf paths; /* that were asked for */
};

static void *respond(void *arg)
{
    struct script *s = arg;
    char request[512];

    for (const char *const *r = s->responses; *r != NULL; r++) {
        int fd = accept(s->fd, NULL, NULL);
        ssize_t n = recv(fd, request, sizeof(request) - 1, 0);
        CHECK(n > 0);
        request[n] = '\0';
        request[strcspn(request, "\r") - strlen(" HTTP/1.0")] = '\0';
        strbuf_addf(&s->paths, "%s ", request + strlen("GET "));
        if (r[1] == NULL)
            CHECK(pthread_kill(s->command, s->signal) == 0);
        (void)!write(fd, *r, strlen(*r));
        close(fd);
    }
    return NULL;
}

static void assert_top(const char *const *responses, int signal_, const char *out,
                       const char *paths)
{
    struct admin a;
    struct script s = {.responses = responses, .signal = signal_, .command = pthread_self()};

    admin_listen(&a);
    s.fd = a.fd;
    assert_int_equal(pthread_create(&s.thread, NULL, respond, &s), 0);
    assert_said(run("top", a.flag, NULL), 0, out, NULL);
    pthread_join(s.thread, NULL);
    close(a.fd);
    assert_string_equal(strbuf_cstr(&s.paths), paths);
    strbuf_fini(&s.paths);
}

static void a_line_a_second_is_printed_until_a_signal(void **state)
{
    static const char *const once[] = {status, history, NULL};
    static const char *const twice[] = {status, history, status, history, NULL};
    (void)state;

    assert_top(once, SIGTERM, "time     app          in flight waiting",
               "/status /history?since=0 ");
    assert_top(twice, SIGINT, " loop blocked      3/40       2      -",
               "/status /history?since=0 "
               "/status /history?since=9 ");
}

/* An older weir has no history; one that restarts does not respond for a while. */
static void what_is_missing_is_named(void **state)
{
    static const char none[] = "HTTP/1.1 404 Not Found\r\n\r\n";
    static const char *const responses[] = {status, none, none, NULL};
    (void)state;

    assert_top(responses, SIGHUP, " unexpected response to /status (status 404)\n",
               "/status /history?since=0 /status ");
}

static void a_weir_that_does_not_run_is_an_error(void **state)
{
    struct admin a;
    (void)state;

    assert_said(run("top", "--admin-listen=127.0.0.1:1", NULL), 1, NULL,
                "127.0.0.1:1: no response from the admin port: Connection refused");
    assert_said(run("top", "--admin-listen=off", NULL), 1, NULL, "the admin port is disabled");
    assert_said(run("top", "now", NULL), 2, NULL, "weir top takes no arguments");
    assert_said(run("top", "--json", NULL), 2, NULL, "weir top does not accept --json");
    admin_start(&a, OK "<html>");
    assert_said(run("top", a.flag, NULL), 1, NULL, "unexpected response to /status (status 200)");
    admin_stop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_a_second_is_printed_until_a_signal),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(a_weir_that_does_not_run_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
