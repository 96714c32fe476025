/*
 * How a connect to the app fails, and how the failure is reported; real sockets, except that
 * connect() and SO_ERROR are replaced for errors that the kernel rarely gives.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "proxy/config.h"
#include "proxy/loop.h"
#include "proxy/stats.h"
#include "proxy/stats_reading.h"
#include "proxy/upstream.h"

#define TURNS_MAX 2000000

static struct {
    int error;      /* connect() fails with it */
    int later;      /* or SO_ERROR reports it after the connect has failed */
    bool to_itself; /* the destination port is assigned to our end */
} kernel;

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len);
int __real_connect(int fd, const struct sockaddr *sa, socklen_t len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    if (kernel.error != 0) {
        errno = kernel.error;
        return -1;
    }
    if (kernel.to_itself)
        assert_int_equal(bind(fd, sa, len), 0);
    return __real_connect(fd, sa, len);
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    int result = __real_getsockopt(fd, level, name, value, len);

    if (level == SOL_SOCKET && name == SO_ERROR && kernel.later != 0)
        memcpy(value, &kernel.later, sizeof(kernel.later));
    return result;
}

/* ---- an upstream and one lease of it ---- */

static struct {
    struct config config;
    struct loop *loop;
    struct stats *stats;
    struct budget budget;
    struct upstream_shared *shared;
    struct upstream *upstream;
    struct upstream_lease lease;
    int listener; /* the app's; its port is known, and it does not listen before listen() */
    bool ready, failed;
    enum upstream_failure why;
    int error;
} fx;

static void on_ready(struct upstream_lease *l)
{
    (void)l;
    fx.ready = true;
}

static void on_failed(struct upstream_lease *l, enum upstream_failure why, int error)
{
    (void)l;
    fx.failed = true;
    fx.why = why;
    fx.error = error;
}

static void on_event(struct upstream_lease *l)
{
    (void)l;
}

static const struct upstream_handler handler = {
    .on_ready = on_ready, .on_failed = on_failed, .on_event = on_event};

static void listen_nowhere(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct address *at = &fx.config.upstream.address;

    fx.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fx.listener, (const struct sockaddr *)&in, sizeof(in)), 0);
    at->len = sizeof(at->sa);
    assert_int_equal(getsockname(fx.listener, (struct sockaddr *)&at->sa, &at->len), 0);
}

static int set_up(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    memset(&kernel, 0, sizeof(kernel));
    fx.config.upstream.connect_timeout = 10000000;
    fx.config.upstream.keepalive_timeout = 10000000;
    listen_nowhere();
    fx.loop = loop_new(0);
    fx.stats = stats_new(1, &fx.config);
    budget_init(&fx.budget, 1 << 20);
    fx.shared = upstream_shared_new(2, 1);
    fx.upstream =
        upstream_new(fx.shared, fx.loop, stats_shard_of(fx.stats, 0), &fx.config, &fx.budget);
    fx.lease.handler = &handler;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    upstream_drop(fx.upstream, &fx.lease);
    upstream_free(fx.upstream);
    upstream_shared_free(fx.shared);
    loop_free(fx.loop);
    stats_free(fx.stats);
    if (fx.listener >= 0)
        close(fx.listener);
    return 0;
}

/* Leases, and runs turns until the outcome is known. */
static void lease(void)
{
    int turns = 0;

    loop_tick(fx.loop);
    fx.ready = upstream_lease(fx.upstream, &fx.lease, UPSTREAM_ANY);
    while (!fx.ready && !fx.failed && turns++ < TURNS_MAX)
        loop_turn(fx.loop);
}

static void assert_failed(enum upstream_failure why, int error)
{
    assert_true(fx.failed);
    assert_false(fx.ready);
    assert_int_equal(fx.error, error);
    assert_int_equal(fx.why, why);
}

static const struct {
    int error;
    enum upstream_failure why;
} rows[] = {
    {ECONNREFUSED, UPSTREAM_REFUSED},    {EACCES, UPSTREAM_REFUSED},
    {EPERM, UPSTREAM_REFUSED},           {EHOSTUNREACH, UPSTREAM_REFUSED},
    {ENETUNREACH, UPSTREAM_REFUSED},     {ENOENT, UPSTREAM_REFUSED},
    {ENOTDIR, UPSTREAM_REFUSED},         {ETIMEDOUT, UPSTREAM_TIMEOUT},
    {EADDRNOTAVAIL, UPSTREAM_NO_SOCKET}, {ENOBUFS, UPSTREAM_NO_SOCKET},
};

static void what_connect_says_is_told(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        kernel.error = rows[i].error;
        lease();
        assert_failed(rows[i].why, rows[i].error);
        tear_down(state);
        set_up(state);
    }
}

static void what_the_socket_says_later_is_told(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        kernel.later = rows[i].error;
        lease();
        assert_failed(rows[i].why, rows[i].error);
        tear_down(state);
        set_up(state);
    }
}

static void a_port_where_nothing_listens_refuses(void **state)
{
    (void)state;
    lease();
    assert_failed(UPSTREAM_REFUSED, ECONNREFUSED);
}

static void a_socket_that_cannot_be_made_tells_why(void **state)
{
    struct address *at = &fx.config.upstream.address;

    (void)state;
    at->sa.ss_family = AF_UNSPEC; /* socket() itself fails */
    lease();
    assert_failed(UPSTREAM_REFUSED, EAFNOSUPPORT);
}

static void a_host_that_does_not_respond_in_time_times_out(void **state)
{
    (void)state;
    fx.config.upstream.connect_timeout = 20000;
    kernel.error = EAGAIN; /* a Unix socket whose backlog is full */
    lease();
    assert_failed(UPSTREAM_TIMEOUT, EAGAIN);
}

static void a_connect_that_reaches_itself_is_refused_and_holds_no_port(void **state)
{
    const struct address *at = &fx.config.upstream.address;

    (void)state;
    close(fx.listener); /* the app is down */
    kernel.to_itself = true;
    lease();
    assert_failed(UPSTREAM_REFUSED, ECONNREFUSED);
    loop_turn(fx.loop);
    fx.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fx.listener, (const struct sockaddr *)&at->sa, at->len), 0);
}

static void an_app_that_listens_is_reached(void **state)
{
    (void)state;
    assert_int_equal(listen(fx.listener, 1), 0);
    assert_int_equal(upstream_shared_open(fx.shared), 0);
    lease();
    assert_true(fx.ready);
    assert_false(fx.failed);
    assert_int_equal(upstream_shared_open(fx.shared), 1);
}

/* ---- idle connections ---- */

static struct task at_the_end;
static bool was_told;

static void on_end_of_turn(struct task *task)
{
    (void)task;
    was_told = true;
}

/* A connection that was leased, used and returned: the app's end. */
static int idle_connection(void)
{
    assert_int_equal(listen(fx.listener, 4), 0);
    lease();
    assert_true(fx.ready);
    int app = accept(fx.listener, NULL, NULL);
    assert_true(app >= 0);
    upstream_return(fx.upstream, &fx.lease, true);
    fx.ready = false;
    return app;
}

static void an_idle_connection_is_leased_again(void **state)
{
    int app = idle_connection();

    (void)state;
    lease();
    assert_true(fx.ready && upstream_was_reused(&fx.lease));
    close(app);
}

static void one_on_which_the_app_spoke_is_not(void **state)
{
    int app = idle_connection();

    (void)state;
    assert_int_equal(send(app, "x", 1, 0), 1);
    at_the_end.run = on_end_of_turn;
    loop_post(fx.loop, &at_the_end);
    while (!was_told)
        loop_turn(fx.loop);
    lease();
    assert_true(fx.ready && !upstream_was_reused(&fx.lease));
    close(app);
}

static bool was_idle;

static void on_request_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    loop_tick(fx.loop);
    was_idle = upstream_lease(fx.upstream, &fx.lease, UPSTREAM_ANY);
}

/* The request's event is delivered first, and the app's is pending. */
static void nor_is_one_whose_event_of_this_turn_is_still_to_be_delivered(void **state)
{
    int app = idle_connection(), request[2];

    (void)state;
    assert_int_equal(pipe(request), 0);
    struct event *event =
        event_new(loop_base(fx.loop), request[0], EV_READ | EV_ET, on_request_event, NULL);
    assert_int_equal(event_add(event, NULL), 0);
    was_idle = true;
    assert_int_equal(write(request[1], "r", 1), 1);
    assert_int_equal(send(app, "x", 1, 0), 1);
    for (int i = 0; i < TURNS_MAX && !fx.ready; i++)
        loop_turn(fx.loop);
    assert_false(was_idle);
    assert_true(fx.ready && !upstream_was_reused(&fx.lease));
    event_free(event);
    close(request[0]);
    close(request[1]);
    close(app);
}

/* ---- a new configuration ---- */

static unsigned open_connections(void)
{
    static struct stats_reading r;
    const struct stats_now now = {.queue_timeout = 0};

    while (loop_turn(fx.loop))
        continue;
    stats_read(fx.stats, &now, &r);
    return (unsigned)(r.cell[C_CONNECTIONS + 2] + r.cell[C_CONNECTIONS + 3]);
}

static bool is_ready(struct upstream_lease *l)
{
    for (int i = 0; i < TURNS_MAX && !fx.ready && l->conn != NULL && !l->waiting; i++)
        loop_turn(fx.loop);
    bool ready = fx.ready;
    fx.ready = false;
    return ready;
}

/* A second lease beside the first. */
static struct upstream_lease two_leases(void)
{
    struct upstream_lease second = {.handler = &handler};

    assert_int_equal(listen(fx.listener, 8), 0);
    lease();
    fx.ready = false;
    return second;
}

static void a_lower_cap_closes_idle_connections(void **state)
{
    struct upstream_lease second = two_leases();

    (void)state;
    fx.ready = upstream_lease(fx.upstream, &second, UPSTREAM_ANY);
    assert_true(is_ready(&second));
    upstream_return(fx.upstream, &fx.lease, true);
    upstream_return(fx.upstream, &second, true);
    assert_int_equal(open_connections(), 2);
    upstream_shared_configure(fx.shared, 1);
    assert_int_equal(open_connections(), 1);
    lease();
    assert_true(fx.ready && upstream_was_reused(&fx.lease));
}

static void above_a_lowered_cap_those_that_are_returned_are_closed(void **state)
{
    struct upstream_lease second = two_leases();

    (void)state;
    fx.ready = upstream_lease(fx.upstream, &second, UPSTREAM_ANY);
    assert_true(is_ready(&second));
    upstream_shared_configure(fx.shared, 1);
    assert_int_equal(open_connections(), 2);
    upstream_return(fx.upstream, &second, true);
    assert_int_equal(open_connections(), 1);
    upstream_return(fx.upstream, &fx.lease, true);
    assert_int_equal(open_connections(), 1); /* it is kept: the cap has been reached */
    upstream_shared_configure(fx.shared, 2);
    lease();
    assert_true(fx.ready && upstream_was_reused(&fx.lease));
    fx.ready = upstream_lease(fx.upstream, &second, UPSTREAM_ANY);
    assert_true(is_ready(&second));
    upstream_drop(fx.upstream, &second);
}

static void a_higher_cap_serves_the_lease_that_waits(void **state)
{
    struct upstream_lease second = two_leases();

    (void)state;
    upstream_shared_configure(fx.shared, 1);
    fx.ready = upstream_lease(fx.upstream, &second, UPSTREAM_ANY);
    assert_false(is_ready(&second));
    assert_true(second.waiting);
    upstream_shared_configure(fx.shared, 2);
    for (int i = 0; i < TURNS_MAX && !fx.ready; i++)
        loop_turn(fx.loop);
    assert_true(fx.ready && second.conn != NULL);
    upstream_drop(fx.upstream, &second);
}

static void a_shorter_keepalive_timeout_applies_to_idle_connections(void **state)
{
    struct config next;
    int app = idle_connection();

    (void)state;
    memcpy(&next, &fx.config, sizeof(next));
    next.upstream.keepalive_timeout = 1000;
    upstream_configure(fx.upstream, &next);
    for (int i = 0; i < TURNS_MAX && open_connections() > 0; i++)
        usleep(100);
    assert_int_equal(open_connections(), 0);
    close(app);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_connect_says_is_told),
        TEST(what_the_socket_says_later_is_told),
        TEST(a_port_where_nothing_listens_refuses),
        TEST(a_socket_that_cannot_be_made_tells_why),
        TEST(a_host_that_does_not_respond_in_time_times_out),
        TEST(a_connect_that_reaches_itself_is_refused_and_holds_no_port),
        TEST(an_app_that_listens_is_reached),
        TEST(an_idle_connection_is_leased_again),
        TEST(one_on_which_the_app_spoke_is_not),
        TEST(nor_is_one_whose_event_of_this_turn_is_still_to_be_delivered),
        TEST(a_lower_cap_closes_idle_connections),
        TEST(above_a_lowered_cap_those_that_are_returned_are_closed),
        TEST(a_higher_cap_serves_the_lease_that_waits),
        TEST(a_shorter_keepalive_timeout_applies_to_idle_connections),
    };
    return cmocka_run_group_tests_name("upstream", tests, NULL, NULL);
}
