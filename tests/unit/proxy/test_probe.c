/* When the app counts as started, and the error of the last attempt. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/loop.h"
#include "proxy/probe.h"

#define TURNS_MAX 2000000

static struct {
    struct loop *loop;
    struct probe *probe;
    struct address app;
    int listener;
    bool up, to_itself;
    int error; /* connect() fails with it */
    unsigned tries;
} fx;

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len);
int __real_connect(int fd, const struct sockaddr *sa, socklen_t len);

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    fx.tries++;
    if (fx.error != 0) {
        errno = fx.error;
        return -1;
    }
    if (fx.to_itself)
        assert_int_equal(bind(fd, sa, len), 0);
    return __real_connect(fd, sa, len);
}

static void on_up(void *arg)
{
    (void)arg;
    fx.up = true;
}

static int set_up(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fx.listener, (const struct sockaddr *)&in, sizeof(in)), 0);
    fx.app.len = sizeof(fx.app.sa);
    assert_int_equal(getsockname(fx.listener, (struct sockaddr *)&fx.app.sa, &fx.app.len), 0);
    fx.loop = loop_new(0);
    fx.probe = probe_new(fx.loop, &fx.app, on_up, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    probe_free(fx.probe);
    loop_free(fx.loop);
    close(fx.listener);
    return 0;
}

/* Runs until this many connects have been made and the last has finished, or the app is up. */
static void turn_until(unsigned tries)
{
    for (int turns = 0; !fx.up && fx.tries < tries && turns < TURNS_MAX; turns++)
        loop_turn(fx.loop);
}

static void an_app_that_listens_is_up(void **state)
{
    (void)state;
    assert_int_equal(probe_error(fx.probe), EINPROGRESS);
    assert_int_equal(listen(fx.listener, 1), 0);
    turn_until(100);
    assert_true(fx.up);
}

static void one_that_does_not_is_not_and_why_is_known(void **state)
{
    (void)state;
    turn_until(2);
    assert_false(fx.up);
    assert_int_equal(probe_error(fx.probe), ECONNREFUSED);
    fx.error = EACCES;
    turn_until(4);
    assert_int_equal(probe_error(fx.probe), EACCES);
}

static void a_connect_that_reaches_itself_finds_no_app_and_leaves_it_its_port(void **state)
{
    (void)state;
    close(fx.listener);
    fx.to_itself = true;
    turn_until(3); /* each could bind: the previous one has freed the port */
    assert_false(fx.up);
    assert_int_equal(fx.tries, 3);
    assert_int_equal(probe_error(fx.probe), ECONNREFUSED);
}

static void a_probe_that_gets_no_descriptor_says_so_and_tries_again(void **state)
{
    struct rlimit before, none;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int turns = 0; probe_error(fx.probe) == EINPROGRESS && turns < TURNS_MAX; turns++)
        loop_turn(fx.loop);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(probe_error(fx.probe), EMFILE);
    assert_int_equal(fx.tries, 0);
    assert_int_equal(listen(fx.listener, 1), 0);
    turn_until(100);
    assert_true(fx.up);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_app_that_listens_is_up),
        TEST(one_that_does_not_is_not_and_why_is_known),
        TEST(a_connect_that_reaches_itself_finds_no_app_and_leaves_it_its_port),
        TEST(a_probe_that_gets_no_descriptor_says_so_and_tries_again),
    };
    return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
