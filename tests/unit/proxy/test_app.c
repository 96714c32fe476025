/*
 * The state of the app: what moves it, when it is probed, and what happens to the limiter. Time is
 * the test's; connects go to a listener of the test, or fail with the error that it wants.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "proxy/app.h"

#define MS     INT64_C(1000)
#define SECOND (1000 * MS)

static struct {
    mono_us now;
    struct loop *loop;
    struct limiter *limiter;
    struct app *app;
    struct config config;
    int listener;
    int held;        /* a connection on which it has not responded, or -1 */
    int error;       /* connect() fails with it; 0: the app listens */
    unsigned status; /* it responds to a GET with it; 0: not at all */
    unsigned connects, gets;
    mono_us last, longest; /* the last connect, and the longest time between two */
    unsigned ups;
    struct limiter_waiter *granted;
    char path[64]; /* of the last GET */
} fx;

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len);
int __real_connect(int fd, const struct sockaddr *sa, socklen_t len);
mono_us __wrap_clock_mono(void);

mono_us __wrap_clock_mono(void)
{
    return fx.now;
}

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    fx.connects++;
    if (fx.connects > 1 && fx.now - fx.last > fx.longest)
        fx.longest = fx.now - fx.last;
    fx.last = fx.now;
    if (fx.error == 0)
        return __real_connect(fd, sa, len);
    errno = fx.error;
    return -1;
}

static void on_up(void *arg, struct limiter_waiter *chain)
{
    assert_ptr_equal(arg, &fx);
    assert_true(app_is_up(fx.app));
    fx.ups++;
    fx.granted = chain;
}

static void set(char option[CONFIG_PATH], const char *value)
{
    snprintf(option, CONFIG_PATH, "%s", value);
}

static int set_up(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct address *to = &fx.config.upstream.address;
    const struct limiter_config lc = {.queue_length = 8, .queue_bytes = 1000};

    (void)state;
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    memset(&fx, 0, sizeof(fx));
    fx.held = -1;
    fx.now = 5 * SECOND;
    fx.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fx.listener, (const struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fx.listener, 64), 0);
    to->len = sizeof(to->sa);
    assert_int_equal(getsockname(fx.listener, (struct sockaddr *)&to->sa, &to->len), 0);
    snprintf(to->text, sizeof(to->text), "127.0.0.1:%u", address_port(to));
    set(fx.config.startup.probe, "tcp");
    fx.config.startup.timeout = 60 * SECOND;
    fx.config.queue.length = 8;
    fx.config.health.interval = 2 * SECOND;
    fx.config.health.timeout = SECOND;
    fx.config.health.unhealthy_after = 3;
    fx.config.health.healthy_after = 2;
    fx.loop = loop_new(0);
    fx.limiter = limiter_new(&lc, fx.now);
    assert_null(limiter_set_slots(fx.limiter, 0, 1, fx.now));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    app_free(fx.app);
    limiter_free(fx.limiter);
    loop_free(fx.loop);
    close(fx.listener);
    if (fx.held >= 0)
        close(fx.held);
    return 0;
}

/* ---- the app's side ---- */

static void note_path(const char *request)
{
    assert_memory_equal(request, "GET ", 4);
    snprintf(fx.path, sizeof(fx.path), "%.*s", (int)strcspn(request + 4, " "), request + 4);
}

static void serve(int fd)
{
    char text[1024], response[128];

    for (int turns = 0; turns < 1000; turns++) {
        ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
        if (n == 0)
            return;
        if (n < 0) {
            loop_turn(fx.loop);
            continue;
        }
        text[n] = '\0';
        fx.gets++;
        note_path(text);
        int len = snprintf(response, sizeof(response), "HTTP/1.1 %u X\r\nContent-Length: 0\r\n\r\n",
                           fx.status);
        if (fx.status != 0)
            assert_int_equal(send(fd, response, (size_t)len, MSG_NOSIGNAL), len);
        return;
    }
}

/* Until nothing happens any more at this moment. */
static void rest(void)
{
    for (int quiet = 0; quiet < 3; quiet++) {
        if (loop_turn(fx.loop))
            quiet = 0;
        int fd = accept(fx.listener, NULL, NULL);
        if (fd < 0)
            continue;
        serve(fd);
        for (int i = 0; i < 10; i++)
            loop_turn(fx.loop);
        quiet = 0;
        if (fx.status != 0 || fx.held >= 0) {
            close(fd);
            continue;
        }
        fx.held = fd;
    }
}

static void passes(mono_us time)
{
    for (mono_us end = fx.now + time; fx.now < end;) {
        fx.now += MS;
        rest();
    }
}

static void weir_begins(void)
{
    const struct app_how how = {
        .loop = fx.loop, .limiter = fx.limiter, .config = &fx.config, .on_up = on_up, .arg = &fx};
    fx.app = app_new(&how);
    app_start(fx.app);
    passes(2 * MS);
}

static void is_refused(void)
{
    fx.error = ECONNREFUSED;
    app_refused(fx.app, ECONNREFUSED, fx.now);
}

static void state_is(enum app_state state)
{
    struct limiter_snapshot now;

    limiter_snapshot(fx.limiter, fx.now, &now);
    assert_string_equal(app_state_name(app_state(fx.app)), app_state_name(state));
    assert_int_equal(now.paused, state == APP_UP ? 0 : LIMITER_PAUSE_NOT_READY);
}

static struct limiter_waiter waiter;

static void one_waits(void)
{
    struct limiter_waiter *ended;

    memset(&waiter, 0, sizeof(waiter));
    assert_int_equal(limiter_acquire(fx.limiter, &waiter, fx.now, MONO_NEVER, &ended),
                     LIMITER_QUEUED);
}

static void it_is_granted(void)
{
    assert_ptr_equal(fx.granted, &waiter);
    assert_null(limiter_release(fx.limiter, &waiter, fx.now));
}

/* ---- the start ---- */

static void an_app_that_listens_is_up_at_once(void **state)
{
    (void)state;
    fx.now += SECOND;
    weir_begins();
    state_is(APP_UP);
    assert_int_equal(fx.ups, 1);
    assert_in_range(app_startup(fx.app), 1, 3 * MS);
    passes(10 * SECOND);
    assert_int_equal(fx.connects, 1);
}

static void one_that_does_not_is_probed_less_and_less_often(void **state)
{
    (void)state;
    fx.error = ECONNREFUSED;
    weir_begins();
    state_is(APP_STARTING);
    passes(100 * MS);
    assert_in_range(fx.connects, 5, 6);
    passes(900 * MS);
    assert_in_range(fx.connects, 9, 13);
    passes(10 * SECOND);
    assert_in_range(fx.longest, 245 * MS, 255 * MS);
    fx.error = 0;
    passes(255 * MS);
    state_is(APP_UP);
    assert_in_range(app_startup(fx.app), 11 * SECOND, 12 * SECOND);
}

static void while_requests_wait_a_refused_connect_is_soon_tried_again(void **state)
{
    (void)state;
    fx.error = ECONNREFUSED;
    weir_begins();
    passes(2 * SECOND);
    one_waits();
    passes(SECOND);
    fx.longest = 0;
    passes(SECOND);
    assert_in_range(fx.longest, 20 * MS, 30 * MS);
    fx.error = 0;
    passes(30 * MS);
    state_is(APP_UP);
    it_is_granted();
}

static void a_start_without_a_probe_is_taken_for_granted(void **state)
{
    (void)state;
    set(fx.config.startup.probe, "none");
    fx.error = ECONNREFUSED;
    weir_begins();
    state_is(APP_UP);
    assert_int_equal(fx.connects, 0);
    assert_int_equal(app_startup(fx.app), 0);
    app_refused(fx.app, ECONNREFUSED, fx.now);
    passes(100 * MS);
    state_is(APP_DOWN);
    fx.error = 0;
    passes(100 * MS);
    state_is(APP_UP);
}

static void a_startup_path_decides_by_its_status(void **state)
{
    (void)state;
    set(fx.config.startup.probe, "/healthz");
    fx.status = 503;
    weir_begins();
    passes(SECOND);
    state_is(APP_STARTING);
    assert_string_equal(fx.path, "/healthz");
    fx.status = 404;
    passes(260 * MS);
    state_is(APP_UP);
    unsigned gets = fx.gets;
    is_refused();
    passes(100 * MS);
    state_is(APP_DOWN);
    fx.error = 0;
    fx.status = 500;
    passes(SECOND);
    state_is(APP_DOWN);
    fx.status = 200;
    passes(260 * MS);
    state_is(APP_UP);
    assert_true(fx.gets > gets);
}

static void an_app_that_answers_with_errors_is_not_asked_more_often_because_requests_wait(
    void **state)
{
    (void)state;
    set(fx.config.startup.probe, "/healthz");
    fx.status = 500;
    weir_begins();
    passes(2 * SECOND);
    one_waits();
    unsigned before = fx.gets;
    passes(SECOND);
    assert_in_range(fx.gets - before, 3, 5);
    fx.status = 200;
    passes(260 * MS);
    it_is_granted();
}

static void a_get_that_is_not_answered_is_tried_again_after_five_seconds(void **state)
{
    (void)state;
    set(fx.config.startup.probe, "/healthz");
    weir_begins();
    passes(4900 * MS);
    assert_int_equal(fx.gets, 1);
    fx.status = 200;
    state_is(APP_STARTING);
    passes(200 * MS);
    assert_int_equal(fx.gets, 2);
    state_is(APP_UP);
}

static void deadlines_are_those_of_the_start_until_the_app_is_up(void **state)
{
    mono_us began = fx.now;

    (void)state;
    fx.error = ECONNREFUSED;
    weir_begins();
    assert_int_equal(app_deadline(fx.app, fx.now, SECOND), began + 60 * SECOND);
    fx.config.startup.timeout = 90 * SECOND;
    app_configure(fx.app, &fx.config);
    assert_int_equal(app_deadline(fx.app, fx.now, SECOND), began + 90 * SECOND);
    fx.error = 0;
    passes(100 * MS);
    assert_int_equal(app_deadline(fx.app, fx.now, SECOND), fx.now + SECOND);
    is_refused();
    passes(2 * MS);
    state_is(APP_DOWN);
    assert_int_equal(app_deadline(fx.app, fx.now, SECOND), fx.now + SECOND);
}

/* ---- a refused connect ---- */

static void some_errors_mean_that_no_app_is_there(void **state)
{
    static const int others[] = {0,      EAGAIN, ETIMEDOUT,    EMFILE,        ENFILE,
                                 EACCES, ENOMEM, EHOSTUNREACH, EADDRNOTAVAIL, ENOTDIR};

    (void)state;
    assert_true(app_is_refusal(ECONNREFUSED));
    assert_true(app_is_refusal(ECONNRESET));
    assert_true(app_is_refusal(ENOENT));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(app_is_refusal(others[i]));
}

static void a_refusal_pauses_the_limiter_before_the_control_loop_hears_of_it(void **state)
{
    struct limiter_snapshot now;

    (void)state;
    weir_begins();
    passes(2 * SECOND);
    is_refused();
    limiter_snapshot(fx.limiter, fx.now, &now);
    assert_int_equal(now.paused, LIMITER_PAUSE_NOT_READY);
    passes(2 * MS);
    state_is(APP_DOWN);
}

static void the_app_is_probed_at_once_and_up_again_when_it_listens(void **state)
{
    (void)state;
    weir_begins();
    passes(2 * SECOND);
    unsigned before = fx.connects;
    is_refused();
    one_waits();
    passes(2 * MS);
    assert_int_equal(fx.connects, before + 1);
    passes(300 * MS);
    state_is(APP_DOWN);
    fx.error = 0;
    passes(26 * MS);
    state_is(APP_UP);
    assert_int_equal(fx.ups, 2);
    it_is_granted();
}

static void an_app_that_comes_and_goes_is_not_probed_without_a_pause(void **state)
{
    (void)state;
    weir_begins();
    passes(2 * SECOND);
    unsigned before = fx.connects;
    for (int i = 0; i < 100; i++) { /* it refuses requests but not the probe */
        app_refused(fx.app, ECONNREFUSED, fx.now);
        passes(10 * MS);
    }
    assert_in_range(fx.connects - before, 2, 30);
    passes(300 * MS);
    state_is(APP_UP);
}

static void *refuses_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++) {
        app_refused(fx.app, ECONNREFUSED, 0);
        app_suspect(fx.app, i * SECOND);
    }
    return NULL;
}

static void no_refusal_of_another_thread_leaves_the_limiter_paused(void **state)
{
    pthread_t threads[2];

    (void)state;
    weir_begins();
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, refuses_often, NULL), 0);
    for (int i = 0; i < 200; i++)
        rest();
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    passes(SECOND);
    state_is(APP_UP);
}

/* ---- a connection that died ---- */

static void a_suspicion_pauses_the_limiter_until_a_probe_succeeds(void **state)
{
    struct limiter_snapshot now;

    (void)state;
    weir_begins();
    passes(2 * SECOND);
    assert_false(app_is_in_doubt(fx.app));
    app_suspect(fx.app, fx.now);
    assert_true(app_is_in_doubt(fx.app));
    assert_true(app_is_up(fx.app));
    limiter_snapshot(fx.limiter, fx.now, &now);
    assert_int_equal(now.paused, LIMITER_PAUSE_NOT_READY);
    one_waits();
    passes(2 * MS);
    assert_int_equal(fx.connects, 1);
    passes(4 * MS);
    assert_int_equal(fx.connects, 2);
    assert_false(app_is_in_doubt(fx.app));
    state_is(APP_UP);
    it_is_granted();
}

static void a_suspicion_that_is_confirmed_means_down(void **state)
{
    (void)state;
    weir_begins();
    passes(2 * SECOND);
    app_suspect(fx.app, fx.now);
    fx.error = ECONNREFUSED;
    passes(6 * MS);
    state_is(APP_DOWN);
    assert_true(app_is_in_doubt(fx.app));
    fx.error = 0;
    passes(260 * MS);
    state_is(APP_UP);
    assert_false(app_is_in_doubt(fx.app));
}

static void an_app_is_suspected_once_a_second_at_most(void **state)
{
    (void)state;
    weir_begins();
    passes(2 * SECOND);
    for (int i = 0; i < 250; i++) {
        app_suspect(fx.app, fx.now);
        passes(10 * MS);
    }
    assert_in_range(fx.connects, 4, 4);
    state_is(APP_UP);
}

/* A full backlog is no reason to hold requests back. */
static void a_suspicion_that_is_not_confirmed_in_time_ends(void **state)
{
    const struct address *to = &fx.config.upstream.address;
    int fds[4];

    (void)state;
    weir_begins();
    passes(2 * SECOND);
    assert_int_equal(listen(fx.listener, 0), 0);
    for (int i = 0; i < 4; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)__real_connect(fds[i], (const struct sockaddr *)&to->sa, to->len);
    }
    app_suspect(fx.app, fx.now);
    for (int i = 0; i < 40; i++) { /* without accepting anything */
        fx.now += MS;
        loop_turn(fx.loop);
    }
    assert_true(app_is_in_doubt(fx.app));
    for (int i = 0; i < 20; i++) {
        fx.now += MS;
        loop_turn(fx.loop);
    }
    assert_false(app_is_in_doubt(fx.app));
    state_is(APP_UP);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
}

static void without_a_queue_a_suspicion_holds_nothing_back(void **state)
{
    (void)state;
    fx.config.queue.length = 0;
    weir_begins();
    passes(2 * SECOND);
    app_suspect(fx.app, fx.now);
    state_is(APP_UP);
    assert_false(app_is_in_doubt(fx.app));
    fx.config.queue.length = 1;
    app_configure(fx.app, &fx.config);
    app_suspect(fx.app, fx.now);
    assert_true(app_is_in_doubt(fx.app));
    passes(6 * MS);
    state_is(APP_UP);
}

static void checks_go_on_while_the_app_is_suspected(void **state)
{
    (void)state;
    set(fx.config.health.path, "/health");
    fx.status = 200;
    weir_begins();
    for (int i = 0; i < 42; i++) {
        app_suspect(fx.app, fx.now);
        passes(100 * MS);
    }
    assert_int_equal(fx.gets, 2);
    state_is(APP_UP);
    fx.status = 500;
    for (int i = 0; i < 62; i++) {
        app_suspect(fx.app, fx.now);
        passes(100 * MS);
    }
    state_is(APP_DOWN);
}

static void a_check_that_is_awaited_outlasts_a_suspicion(void **state)
{
    (void)state;
    set(fx.config.health.path, "/health");
    fx.config.health.unhealthy_after = 1;
    fx.status = 200;
    weir_begins();
    fx.status = 0;
    passes(2100 * MS);
    assert_int_equal(fx.gets, 1);
    app_suspect(fx.app, fx.now);
    passes(10 * MS);
    assert_false(app_is_in_doubt(fx.app));
    state_is(APP_UP);
    app_suspect(fx.app, fx.now);
    passes(SECOND);
    state_is(APP_DOWN);
}

/* ---- somebody asks ---- */

static void a_look_finds_an_app_that_has_gone(void **state)
{
    (void)state;
    weir_begins();
    app_look(fx.app);
    passes(10 * MS);
    assert_int_equal(fx.connects, 1); /* it has just been seen */
    for (int i = 0; i < 100; i++) {
        app_look(fx.app);
        passes(10 * MS);
    }
    assert_in_range(fx.connects, 2, 3);
    state_is(APP_UP);
    fx.error = EAGAIN; /* a full backlog says nothing */
    passes(SECOND);
    app_look(fx.app);
    passes(10 * MS);
    state_is(APP_UP);
    fx.error = ENOENT;
    passes(SECOND);
    app_look(fx.app);
    passes(10 * MS);
    state_is(APP_DOWN);
    app_look(fx.app);
    fx.error = 0;
    passes(300 * MS);
    state_is(APP_UP);
}

/* ---- health ---- */

static void health_is_checked(void)
{
    set(fx.config.health.path, "/health");
    fx.status = 200;
    weir_begins();
    state_is(APP_UP);
}

static void a_healthy_app_is_checked_at_the_interval(void **state)
{
    (void)state;
    health_is_checked();
    passes(20 * SECOND);
    assert_in_range(fx.gets, 9, 10);
    assert_string_equal(fx.path, "/health");
    state_is(APP_UP);
}

static void failures_in_a_row_mean_down_and_successes_in_a_row_up(void **state)
{
    (void)state;
    health_is_checked();
    fx.status = 500;
    passes(4100 * MS);
    assert_int_equal(fx.gets, 2);
    fx.status = 200;
    passes(2 * SECOND);
    fx.status = 599;
    passes(4 * SECOND);
    state_is(APP_UP); /* twice, not three times */
    passes(2100 * MS);
    state_is(APP_DOWN);
    one_waits();
    fx.status = 200;
    passes(2 * SECOND);
    fx.status = 500;
    passes(2 * SECOND);
    fx.status = 200;
    passes(2 * SECOND);
    state_is(APP_DOWN); /* once, not twice */
    passes(2100 * MS);
    state_is(APP_UP);
    it_is_granted();
}

static void no_response_in_time_is_a_failure(void **state)
{
    (void)state;
    fx.config.health.unhealthy_after = 1;
    health_is_checked();
    fx.status = 0;
    passes(2900 * MS);
    state_is(APP_UP);
    passes(200 * MS);
    state_is(APP_DOWN);
}

static void a_refused_check_needs_no_confirmation(void **state)
{
    (void)state;
    health_is_checked();
    fx.error = ECONNREFUSED;
    passes(2100 * MS);
    state_is(APP_DOWN);
    unsigned gets = fx.gets;
    fx.error = 0;
    passes(300 * MS); /* the startup probe: a connect */
    state_is(APP_UP);
    assert_int_equal(fx.gets, gets);
    passes(2100 * MS);
    assert_int_equal(fx.gets, gets + 1);
}

static void checks_can_be_switched_on_and_off(void **state)
{
    (void)state;
    weir_begins();
    set(fx.config.health.path, "/on");
    fx.status = 500;
    fx.config.health.unhealthy_after = 1;
    app_configure(fx.app, &fx.config);
    passes(10 * MS);
    assert_string_equal(fx.path, "/on");
    state_is(APP_DOWN);
    set(fx.config.health.path, "");
    app_configure(fx.app, &fx.config);
    passes(10 * MS);
    state_is(APP_UP);
    unsigned gets = fx.gets;
    passes(10 * SECOND);
    assert_int_equal(fx.gets, gets);
}

static struct stats_checks checks(void)
{
    struct stats_checks c;

    app_checks(fx.app, &c);
    return c;
}

static void checks_are_timed_and_failures_counted(void **state)
{
    (void)state;
    health_is_checked();
    assert_int_equal(app_check_age(fx.app, fx.now), 0);
    passes(2100 * MS);
    assert_true(checks().on && checks().failed == 0);
    fx.status = 0;
    passes(2100 * MS);
    assert_in_range(app_check_age(fx.app, fx.now), 50 * MS, 300 * MS);
    passes(SECOND);
    assert_int_equal(app_check_age(fx.app, fx.now), 0);
    assert_int_equal(checks().failed, 1);
    close(fx.held);
    fx.held = -1;
    fx.status = 503;
    passes(2 * SECOND);
    assert_int_equal(checks().failed, 2);
    uint64_t timed = 0;
    for (size_t i = 0; i <= STATS_CHECK_BOUNDS; i++)
        timed += checks().bucket[i];
    assert_int_equal(timed, 2); /* not that without a response */
}

static void an_early_check_changes_no_state(void **state)
{
    (void)state;
    fx.config.health.unhealthy_after = 1;
    health_is_checked();
    unsigned gets = fx.gets;
    fx.status = 503;
    for (int i = 0; i < 15; i++) {
        app_check_now(fx.app, fx.now);
        passes(100 * MS);
    }
    assert_int_equal(fx.gets, gets + 2); /* once a second */
    state_is(APP_UP);
    assert_int_equal(checks().failed, 2);
    passes(600 * MS); /* the regular one */
    state_is(APP_DOWN);
    app_check_now(fx.app, fx.now + 5 * SECOND);
    assert_int_equal(app_check_age(fx.app, fx.now + 6 * SECOND), 0);
}

static void without_a_path_there_is_no_early_check(void **state)
{
    (void)state;
    weir_begins();
    unsigned connects = fx.connects;
    app_check_now(fx.app, fx.now);
    passes(100 * MS);
    assert_int_equal(fx.connects, connects);
    assert_false(checks().on);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_app_that_listens_is_up_at_once),
        TEST(one_that_does_not_is_probed_less_and_less_often),
        TEST(while_requests_wait_a_refused_connect_is_soon_tried_again),
        TEST(a_start_without_a_probe_is_taken_for_granted),
        TEST(a_startup_path_decides_by_its_status),
        TEST(an_app_that_answers_with_errors_is_not_asked_more_often_because_requests_wait),
        TEST(a_get_that_is_not_answered_is_tried_again_after_five_seconds),
        TEST(deadlines_are_those_of_the_start_until_the_app_is_up),
        TEST(some_errors_mean_that_no_app_is_there),
        TEST(a_refusal_pauses_the_limiter_before_the_control_loop_hears_of_it),
        TEST(the_app_is_probed_at_once_and_up_again_when_it_listens),
        TEST(an_app_that_comes_and_goes_is_not_probed_without_a_pause),
        TEST(no_refusal_of_another_thread_leaves_the_limiter_paused),
        TEST(a_suspicion_pauses_the_limiter_until_a_probe_succeeds),
        TEST(a_suspicion_that_is_confirmed_means_down),
        TEST(without_a_queue_a_suspicion_holds_nothing_back),
        TEST(an_app_is_suspected_once_a_second_at_most),
        TEST(a_suspicion_that_is_not_confirmed_in_time_ends),
        TEST(checks_go_on_while_the_app_is_suspected),
        TEST(a_check_that_is_awaited_outlasts_a_suspicion),
        TEST(a_look_finds_an_app_that_has_gone),
        TEST(a_healthy_app_is_checked_at_the_interval),
        TEST(failures_in_a_row_mean_down_and_successes_in_a_row_up),
        TEST(no_response_in_time_is_a_failure),
        TEST(a_refused_check_needs_no_confirmation),
        TEST(checks_are_timed_and_failures_counted),
        TEST(an_early_check_changes_no_state),
        TEST(without_a_path_there_is_no_early_check),
        TEST(checks_can_be_switched_on_and_off),
    };
    return cmocka_run_group_tests_name("app", tests, NULL, NULL);
}
