/*
 * The state of the app from requests, sockets and health checks, with a real listening socket as
 * the app's, and looks that the test makes.
 */
#include <netinet/in.h>
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
#include "proxy/app_view.h"

#define TICK INT64_C(100000)

static struct fixture {
    mono_us now;
    struct config config;
    struct loop *loop;
    struct limiter *limiter;
    struct limiter_snapshot snapshot;
    struct app *app;
    struct app_view *view;
    int listener, client;
    struct stats_app seen;
} fx;

mono_us __wrap_clock_mono(void);

mono_us __wrap_clock_mono(void)
{
    return fx.now;
}

static void on_up(void *arg, struct limiter_waiter *chain)
{
    (void)arg;
    assert_null(chain);
}

static void listen_on_loopback(struct address *at)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    fx.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fx.listener, (const struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fx.listener, 64), 0);
    at->len = sizeof(at->sa);
    assert_int_equal(getsockname(fx.listener, (struct sockaddr *)&at->sa, &at->len), 0);
    snprintf(at->text, sizeof(at->text), "127.0.0.1:%u", address_port(at));
}

static int set_up(void **state)
{
    const struct limiter_config lc = {.queue_length = 8, .queue_bytes = 1000};

    (void)state;
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    memset(&fx, 0, sizeof(fx));
    fx.client = -1;
    fx.now = 100 * TICK;
    listen_on_loopback(&fx.config.upstream.address);
    snprintf(fx.config.startup.probe, sizeof(fx.config.startup.probe), "none");
    fx.config.health.interval = fx.config.health.timeout = 600 * TICK;
    fx.config.health.unhealthy_after = fx.config.health.healthy_after = 1;
    fx.loop = loop_new(0);
    fx.limiter = limiter_new(&lc, fx.now);
    fx.snapshot.limit = 80;
    return 0;
}

static void begins(void)
{
    const struct app_how how = {
        .loop = fx.loop, .limiter = fx.limiter, .config = &fx.config, .on_up = on_up};
    const struct address nowhere = {.len = 0};

    fx.app = app_new(&how);
    const struct app_view_how view = {
        .app = fx.app, .upstream = &fx.config.upstream.address, .listen = &nowhere};
    fx.view = app_view_new(&view);
    app_view_read(fx.view, fx.now, &fx.seen);
    assert_int_equal(fx.seen.verdict, VERDICT_STARTING);
    app_start(fx.app);
}

static int tear_down(void **state)
{
    (void)state;
    app_view_free(fx.view);
    app_free(fx.app);
    limiter_free(fx.limiter);
    loop_free(fx.loop);
    close(fx.listener);
    close(fx.client);
    return 0;
}

static void look(unsigned n, uint32_t inside)
{
    const struct observer_look l = {.limiter = &fx.snapshot, .inside = inside};

    while (n-- > 0) {
        struct observer_look now = l;
        now.now = fx.now += 2 * TICK; /* a look may cost as much as 1.5 of them */
        app_view_follower.on_look(fx.view, &now);
        loop_turn(fx.loop);
    }
    app_view_read(fx.view, fx.now, &fx.seen);
}

static void ends(unsigned n, mono_us inside)
{
    while (n-- > 0) {
        const struct completion c = {.at = fx.now, .inside = (uint32_t)inside, .weight = 1};
        app_view_follower.on_completed(fx.view, &c);
    }
}

/* Its connections are not accepted. */
static void a_request_is_sent(void)
{
    const struct address *at = &fx.config.upstream.address;

    fx.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fx.client, (const struct sockaddr *)&at->sa, at->len), 0);
    assert_int_equal(write(fx.client, "GET", 3), 3);
}

static void an_app_that_reads_is_ok(void **state)
{
    struct history_app sample;

    (void)state;
    begins();
    look(20, 3);
    assert_int_equal(fx.seen.verdict, VERDICT_OK);
    assert_true(fx.seen.told && fx.seen.accept_queue == 0 && !fx.seen.own_told);
    app_view_follower.on_sample(fx.view, &sample);
    assert_string_equal(sample.state, "ok");
    assert_true(sample.parallelism < 0 && sample.hidden_queue < 0);
}

static void one_that_does_not_is_blocked(void **state)
{
    struct history_app sample;

    (void)state;
    begins();
    a_request_is_sent();
    look(30, 1);
    assert_int_equal(fx.seen.verdict, VERDICT_LOOP_BLOCKED);
    assert_int_equal(fx.seen.accept_queue, 1);
    assert_true(fx.seen.stalled_us > 0);
    app_view_follower.on_sample(fx.view, &sample);
    assert_string_equal(sample.state, "loop_blocked");
}

static void while_requests_end_it_is_not(void **state)
{
    (void)state;
    begins();
    a_request_is_sent();
    for (int i = 0; i < 30; i++) {
        look(1, 1);
        ends(1, TICK);
    }
    assert_int_equal(fx.seen.verdict, VERDICT_OK);
}

static void without_requests_only_the_accept_queue_is_looked_at(void **state)
{
    (void)state;
    begins();
    a_request_is_sent();
    fx.now += 20 * TICK;
    look(30, 0);
    assert_int_equal(fx.seen.verdict, VERDICT_OK);
    assert_true(fx.seen.told && fx.seen.accept_queue == 1 && fx.seen.unread == 0);
}

/* 16 at a time, of 1 s each; 64 are inside. */
static void a_pool_that_is_full_shows_its_size(void **state)
{
    struct history_app sample;

    (void)state;
    begins();
    look(20, 0);
    look(5, 64);
    for (int i = 1; i <= 12; i++) {
        ends(16, (i < 4 ? i : 4) * 10 * TICK);
        look(5, 64);
    }
    assert_int_equal(fx.seen.verdict, VERDICT_POOL_FULL);
    assert_true(fx.seen.estimate.parallelism > 15 && fx.seen.estimate.parallelism < 17);
    app_view_follower.on_sample(fx.view, &sample);
    assert_string_equal(sample.state, "pool_full");
    assert_true(sample.parallelism > 15 && sample.hidden_queue > 47 && sample.hidden_queue < 49);
}

/* Of health.path, while nothing ends; not if the app may work on one request at a time only. */
static void a_check_is_made_early(void **state)
{
    (void)state;
    snprintf(fx.config.health.path, sizeof(fx.config.health.path), "/health");
    begins();
    fx.snapshot.limit = 1;
    look(4, 1);
    assert_int_equal(app_check_age(fx.app, fx.now + 1), 0);
    fx.snapshot.limit = 2;
    look(4, 1);
    assert_true(app_check_age(fx.app, fx.now + 1) > 0);
    look(30, 1); /* it is not accepted */
    assert_int_equal(fx.seen.verdict, VERDICT_LOOP_BLOCKED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_app_that_reads_is_ok),
        TEST(one_that_does_not_is_blocked),
        TEST(while_requests_end_it_is_not),
        TEST(without_requests_only_the_accept_queue_is_looked_at),
        TEST(a_pool_that_is_full_shows_its_size),
        TEST(a_check_is_made_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
