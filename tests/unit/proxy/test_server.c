/*
 * The whole server: it starts, becomes ready, serves, drains in order, and reports by its exit
 * status how that went; with one worker and with two. The server runs on the main thread, and a
 * second thread plays clients, app and orchestrator over Unix sockets. That thread's failures are
 * asserted when the server has ended.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "proxy/config.h"
#include "proxy/server.h"

#define WAIT_MS 5000
#define GET     "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct fixture {
    char dir[64];
    char flags[12][160];
    int n_flags;
    char file[96]; /* the configuration file, or "" */
    int app;       /* listening socket, or -1 */
    void (*script)(void);
    const char *wrong;    /* the first failure, or NULL */
    int log, real_stderr; /* while it is captured, else -1 */
} fx;

static unsigned threads; /* each test is run with 1 and 2 */

/* ---- for the second thread ---- */

static void must(bool holds, const char *what)
{
    if (!holds && fx.wrong == NULL)
        fx.wrong = what;
}

static struct sockaddr_un address_of(const char *name)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s", fx.dir, name);
    return sa;
}

static bool is_there(const char *name)
{
    struct sockaddr_un sa = address_of(name);
    struct stat st;

    return lstat(sa.sun_path, &st) == 0;
}

static void set_patience(int fd)
{
    struct timeval most = {.tv_sec = WAIT_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
}

/* Connects as soon as there is a listener. */
static int connects(const char *name)
{
    struct sockaddr_un sa = address_of(name);

    for (int ms = 0; ms < WAIT_MS; ms++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        set_patience(fd);
        if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
            return fd;
        close(fd);
        poll(NULL, 0, 1);
    }
    must(false, "a connect");
    return -1;
}

static void says(int fd, const char *text)
{
    must(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text), "a send");
}

/* Waits for `text`; false: the connection ended, or nothing arrived for WAIT_MS. */
static bool hears(int fd, const char *text)
{
    char got[65536];
    size_t len = 0;

    while (len < sizeof(got)) {
        ssize_t n = read(fd, got + len, sizeof(got) - len);
        if (n <= 0)
            return false;
        len += (size_t)n;
        if (memmem(got, len, text, strlen(text)) != NULL)
            return true;
    }
    return false;
}

/* The connection ends, by FIN or reset, without another byte. */
static void ends(int fd, const char *whose)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    must(n == 0 || (n < 0 && errno == ECONNRESET), whose);
}

static int asks(void)
{
    int fd = connects("weir");
    says(fd, GET);
    return fd;
}

static void app_listens(void)
{
    struct sockaddr_un sa = address_of("app");

    fx.app = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_patience(fx.app);
    must(bind(fx.app, (const struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fx.app, 64) == 0,
         "the app's socket");
}

/* The app's next connection with a request; the probe's connections have none. */
static int app_gets_a_request(void)
{
    for (;;) {
        int fd = accept4(fx.app, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            break;
        set_patience(fd);
        if (hears(fd, "\r\n\r\n"))
            return fd;
        close(fd);
    }
    must(false, "a request for the app");
    return -1;
}

static bool admin_says(const char *page, const char *what)
{
    char request[128];
    int fd = connects("admin");

    snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", page);
    says(fd, request);
    bool right = hears(fd, what);
    close(fd);
    return right;
}

static bool admin_comes_to_say(const char *page, const char *what)
{
    for (int ms = 0; ms < WAIT_MS; ms++) {
        if (admin_says(page, what))
            return true;
        poll(NULL, 0, 1);
    }
    return false;
}

static void is_told(int sig)
{
    kill(getpid(), sig);
}

static void disappears(const char *name)
{
    for (int ms = 0; ms < WAIT_MS && is_there(name); ms++)
        poll(NULL, 0, 1);
    must(!is_there(name), "the socket's file goes");
}

/* ---- running a server ---- */

/* "--name=value"; for a name that ends in unix:, the value is a path in the test's directory. */
static void flag(const char *name, const char *value)
{
    char *to = fx.flags[fx.n_flags++];
    bool path = strstr(name, "unix:") != NULL;

    snprintf(to, sizeof(fx.flags[0]), "%s%s%s%s", name, path ? fx.dir : "", path ? "/" : "", value);
}

static int set_up(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.app = fx.log = fx.real_stderr = -1;
    snprintf(fx.dir, sizeof(fx.dir), "%s/weir-XXXXXX", tmp != NULL ? tmp : P_tmpdir);
    assert_non_null(mkdtemp(fx.dir));
    flag("--listen=unix:", "weir");
    flag("--admin-listen=unix:", "admin");
    flag("--upstream=unix:", "app");
    flag("--threads=", threads == 1 ? "1" : "2");
    flag("--log-level=", "error");
    flag("--drain-delay=", "0s");
    return 0;
}

static void capture_begins(void)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    fx.log = ends[0];
    fx.real_stderr = dup(STDERR_FILENO);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
}

static void capture_ends(void)
{
    if (fx.real_stderr < 0)
        return;
    dup2(fx.real_stderr, STDERR_FILENO);
    close(fx.real_stderr);
    fx.real_stderr = -1;
}

static int tear_down(void **state)
{
    (void)state;
    capture_ends();
    if (fx.log >= 0)
        close(fx.log);
    if (fx.app >= 0)
        close(fx.app);
    unlink(address_of("app").sun_path);
    if (fx.file[0] != '\0')
        unlink(fx.file);
    rmdir(fx.dir);
    return 0;
}

static void *run_script(void *arg)
{
    (void)arg;
    fx.script();
    return NULL;
}

/* The main thread's signals are blocked on return: late ones must not kill it. */
static int serve(void)
{
    char *flags[12];
    struct config_source source = {.argc = fx.n_flags, .argv = flags};

    source.path = fx.file[0] != '\0' ? fx.file : NULL;
    struct strbuf problems = {0};
    sigset_t all, before;

    for (int i = 0; i < fx.n_flags; i++)
        flags[i] = fx.flags[i];
    struct config *config = config_load(&source, &problems);
    if (config == NULL)
        fail_msg("%s", strbuf_cstr(&problems));
    log_configure(config->log.level, LOG_FORMAT_TEXT);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    int status = server_main(config, &source);
    sigfillset(&all);
    while (sigtimedwait(&all, NULL, &(struct timespec){0}) > 0)
        continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    config_put(config);
    return status;
}

static void serves(void (*script)(void), int want)
{
    pthread_t thread;
    sigset_t all, before;

    fx.script = script;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    assert_int_equal(pthread_create(&thread, NULL, run_script, NULL), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    int status = serve();
    pthread_join(thread, NULL);
    if (fx.wrong != NULL)
        fail_msg("not as it should be: %s", fx.wrong);
    assert_int_equal(status, want);
    assert_false(is_there("weir"));
    assert_false(is_there("admin"));
}

/* ---- serving ---- */

static void clients_come_and_are_served(void)
{
    int clients[4];

    app_listens();
    for (int i = 0; i < 4; i++) {
        clients[i] = asks();
        int fd = app_gets_a_request();
        says(fd, OK);
        must(hears(clients[i], "\r\n\r\nok"), "a response");
        close(fd);
    }
    must(admin_says("/readyz", " 200 "), "ready");
    is_told(SIGTERM);
    for (int i = 0; i < 4; i++) {
        ends(clients[i], "an idle client's end");
        close(clients[i]);
    }
}

static void all_clients_are_served_and_a_drain_ends_it_with_0(void **state)
{
    (void)state;
    serves(clients_come_and_are_served, SERVER_DONE);
}

static void nobody_comes(void)
{
    app_listens();
    must(admin_comes_to_say("/readyz", " 200 "), "ready");
    is_told(SIGINT);
}

static void without_a_client_it_ends_at_once(void **state)
{
    (void)state;
    serves(nobody_comes, SERVER_DONE);
}

/* ---- the app's start ---- */

static void the_app_is_late(void)
{
    int client = asks();

    must(admin_says("/startupz", " 503 "), "not started");
    must(admin_says("/readyz", "the app has not started"), "not ready");
    must(admin_says("/livez", " 200 "), "alive");
    app_listens();
    int fd = app_gets_a_request();
    must(admin_says("/startupz", " 200 "), "started");
    must(admin_says("/readyz", " 200 "), "ready");
    says(fd, OK);
    must(hears(client, "\r\n\r\nok"), "the response");
    is_told(SIGTERM);
    close(client);
    close(fd);
}

static void requests_wait_for_the_app_and_readiness_follows_it(void **state)
{
    (void)state;
    serves(the_app_is_late, SERVER_DONE);
}

static void the_app_never_comes(void)
{
    int client = asks();

    must(hears(client, "\r\nWeir-Reason: not_ready\r\n"), "not_ready");
    is_told(SIGTERM);
    close(client);
}

static void after_startup_timeout_requests_are_refused(void **state)
{
    (void)state;
    flag("--startup-timeout=", "100ms");
    serves(the_app_never_comes, SERVER_DONE);
}

static void there_is_no_app(void)
{
    must(admin_says("/readyz", " 200 "), "ready");
    is_told(SIGTERM);
}

static void an_app_is_taken_for_started_where_no_probe_is_wanted(void **state)
{
    (void)state;
    flag("--startup-probe=", "none");
    serves(there_is_no_app, SERVER_DONE);
}

/* ---- a reload ---- */

static void file_says(const char *json)
{
    if (fx.file[0] == '\0') /* afterwards, the server reads it too */
        snprintf(fx.file, sizeof(fx.file), "%s/weir.json", fx.dir);
    FILE *file = fopen(fx.file, "w");
    must(file != NULL, "the file");
    if (file == NULL)
        return;
    fputs(json, file);
    fclose(file);
}

static void the_limit_changes(void)
{
    app_listens();
    int first = asks(), one = app_gets_a_request(), second = asks();

    must(admin_comes_to_say("/status", "\"depth\":1,"), "one waits");
    file_says("{\"concurrency\": 2, \"queue\": {\"timeout\": \"3s\"}}");
    is_told(SIGHUP);
    int two = app_gets_a_request();
    must(admin_says("/config", "\"concurrency\": 2,"), "the new limit");
    must(admin_says("/status", "\"timeout_seconds\":3,"), "the new timeout");
    file_says("{\"concurrency\": 0}");
    is_told(SIGHUP);
    must(admin_comes_to_say("/metrics", "weir_config_reloads_total{result=\"rejected\"} 1\n"),
         "a rejected reload");
    must(admin_says("/metrics", "weir_config_reloads_total{result=\"applied\"} 1\n"), "an applied");
    must(admin_says("/config", "\"concurrency\": 2,"), "the limit as before");
    file_says("{\"concurrency\": 1}");
    is_told(SIGHUP);
    must(admin_comes_to_say("/status", "\"limit\":1,\"in_flight\":2,"), "the lower limit");
    says(one, OK);
    says(two, OK);
    must(hears(first, "\r\n\r\nok") && hears(second, "\r\n\r\nok"), "both responses");
    is_told(SIGTERM);
    close(first);
    close(second);
    close(one);
    close(two);
}

static void a_reload_changes_the_limit_and_a_broken_file_nothing(void **state)
{
    (void)state;
    file_says("{\"concurrency\": 1}");
    serves(the_limit_changes, SERVER_DONE);
}

static void the_probe_is_given_up(void)
{
    must(admin_says("/readyz", " 503 "), "not ready");
    file_says("{\"startup\": {\"probe\": \"none\"}}");
    is_told(SIGHUP);
    must(admin_comes_to_say("/readyz", " 200 "), "ready");
    is_told(SIGTERM);
}

static void an_app_is_taken_for_started_once_no_probe_is_wanted(void **state)
{
    (void)state;
    file_says("{}");
    serves(the_probe_is_given_up, SERVER_DONE);
}

/* ---- the drain ---- */

static void a_drain_while_a_request_runs(void)
{
    app_listens();
    int idle = connects("weir"), client = asks(), fd = app_gets_a_request();

    is_told(SIGTERM);
    disappears("weir");
    ends(idle, "an idle client's end"); /* now the worker knows of the drain, too */
    close(idle);
    must(admin_says("/readyz", "weir is draining"), "not ready any more");
    must(admin_says("/livez", " 200 "), "alive");
    says(fd, OK);
    must(hears(client, "\r\nConnection: close\r\n"), "the last response");
    close(client);
    close(fd);
}

static void a_drain_serves_what_runs_behind_a_closed_door(void **state)
{
    (void)state;
    serves(a_drain_while_a_request_runs, SERVER_DONE);
}

static void two_signals(void)
{
    app_listens();
    int client = asks(), fd = app_gets_a_request();

    is_told(SIGTERM);
    disappears("weir");
    is_told(SIGTERM);
    ends(client, "the client's end");
    ends(fd, "the app's end");
    close(client);
    close(fd);
}

static void a_second_signal_cuts_and_ends_it_with_3(void **state)
{
    (void)state;
    serves(two_signals, SERVER_CUT);
}

static void a_request_without_a_response(void)
{
    app_listens();
    int client = asks(), fd = app_gets_a_request(), waits = asks();

    must(admin_comes_to_say("/metrics", "weir_queue_depth{class=\"default\"} 1\n"), "one waits");
    is_told(SIGTERM);
    must(hears(waits, "\r\nWeir-Reason: draining\r\n"), "who waits is turned away");
    ends(client, "the client's end");
    close(client);
    close(waits);
    close(fd);
}

static void drain_timeout_turns_away_and_cuts_and_ends_it_with_3(void **state)
{
    (void)state;
    flag("--drain-timeout=", "200ms");
    flag("--concurrency=", "1");
    serves(a_request_without_a_response, SERVER_CUT);
}

/* ---- room for clients ---- */

static void one_client_too_many(void)
{
    app_listens();
    must(admin_comes_to_say("/readyz", " 200 "), "ready");
    int idle = connects("weir"), client;

    poll(NULL, 0, 30); /* weir leaves it alone for 20 ms */
    client = asks();
    int fd = app_gets_a_request();
    ends(idle, "the idle client's end");
    says(fd, OK);
    must(hears(client, "\r\n\r\nok"), "the response");
    is_told(SIGTERM);
    close(idle);
    close(client);
    close(fd);
}

static void an_idle_client_makes_room_for_a_new_one(void **state)
{
    (void)state;
    flag("--client-max-connections=", "1");
    serves(one_client_too_many, SERVER_DONE);
}

static int open_ones(const int *fds, int n)
{
    char byte;
    int open = 0;

    for (int i = 0; i < n; i++)
        open += recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
    return open;
}

#define PLACES 4
#define RUSH   6
#define ROUNDS 8

/* More at once than there are places, and all places idle: weir accepts several together. */
static void more_clients_than_places(void)
{
    int clients[RUSH * ROUNDS], n = 0;

    app_listens();
    must(admin_comes_to_say("/readyz", " 200 "), "ready");
    for (int round = 0; round < ROUNDS && fx.wrong == NULL; round++) {
        for (int i = 0; i < RUSH; i++)
            clients[n++] = connects("weir");
        for (int ms = 0; ms < WAIT_MS && open_ones(clients, n) > PLACES; ms++)
            poll(NULL, 0, 1);
        must(open_ones(clients, n) <= PLACES, "no more clients than places");
        poll(NULL, 0, 30); /* weir leaves them alone for 20 ms */
    }
    is_told(SIGTERM);
    while (n > 0)
        close(clients[--n]);
}

/* Where another worker accepts a client before one is closed for it, that one is closed soon. */
static void a_rush_of_clients_leaves_no_more_than_the_bound(void **state)
{
    (void)state;
    flag("--client-max-connections=", "4");
    serves(more_clients_than_places, SERVER_DONE);
}

/* ---- failure to start ---- */

static void nothing(void)
{
}

static void a_port_that_cannot_be_had_ends_it_with_1(void **state)
{
    static const char *const flags[] = {"--listen=unix:", "--admin-listen=unix:"};

    for (int i = 0; i < 2; i++) {
        if (i > 0) {
            tear_down(state);
            set_up(state);
        }
        flag(flags[i], "no/socket");
        capture_begins();
        serves(nothing, SERVER_FAILED);
        capture_ends();
        assert_true(hears(fx.log, "/no/socket"));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_clients_are_served_and_a_drain_ends_it_with_0),
        TEST(without_a_client_it_ends_at_once),
        TEST(requests_wait_for_the_app_and_readiness_follows_it),
        TEST(after_startup_timeout_requests_are_refused),
        TEST(an_app_is_taken_for_started_where_no_probe_is_wanted),
        TEST(a_reload_changes_the_limit_and_a_broken_file_nothing),
        TEST(an_app_is_taken_for_started_once_no_probe_is_wanted),
        TEST(a_drain_serves_what_runs_behind_a_closed_door),
        TEST(a_second_signal_cuts_and_ends_it_with_3),
        TEST(drain_timeout_turns_away_and_cuts_and_ends_it_with_3),
        TEST(an_idle_client_makes_room_for_a_new_one),
        TEST(a_rush_of_clients_leaves_no_more_than_the_bound),
        TEST(a_port_that_cannot_be_had_ends_it_with_1),
    };
    int failed = 0;

    for (threads = 1; threads <= 2; threads++)
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
