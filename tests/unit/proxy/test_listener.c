/* Which connections are accepted, which wait, and what remains of the socket afterwards. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/address.h"
#include "common/log.h"
#include "proxy/listener.h"
#include "proxy/loop.h"

#define CAME_MAX 100
#define PAUSE_MS 10

static struct fixture {
    struct loop *loop;
    struct listener *listener;
    struct address at;
    mono_us now;
    int accepted[CAME_MAX], peers[CAME_MAX];
    sa_family_t family; /* of the last one */
    unsigned n_accepted, n_peers;
    unsigned asked_full, asked_descriptor, stopped;
    bool may_come_in, may_find_one;
    int error;         /* result of the next accept4() */
    unsigned failures; /* how many times */
    char dir[64], problem[256];
} fx;

int __wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);
int __real_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);
mono_us __wrap_clock_mono(void);

int __wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
    if (fx.failures == 0)
        return __real_accept4(fd, sa, len, flags);
    fx.failures--;
    errno = fx.error;
    return -1;
}

mono_us __wrap_clock_mono(void)
{
    return fx.now;
}

static void on_accept(void *arg, int fd, const struct sockaddr *sa)
{
    (void)arg;
    assert_true(fx.n_accepted < CAME_MAX);
    fx.accepted[fx.n_accepted++] = fd;
    fx.family = sa->sa_family;
}

static bool on_full(void *arg)
{
    (void)arg;
    fx.asked_full++;
    return fx.may_come_in;
}

static bool on_no_descriptor(void *arg)
{
    (void)arg;
    fx.asked_descriptor++;
    return fx.may_find_one;
}

static void on_stopped(void *arg)
{
    (void)arg;
    fx.stopped++;
}

static const struct listener_handler handler = {.on_accept = on_accept,
                                                .on_full = on_full,
                                                .on_no_descriptor = on_no_descriptor,
                                                .on_stopped = on_stopped};

static void turns(void)
{
    while (loop_turn(fx.loop))
        continue;
}

static void passes(mono_us ms)
{
    fx.now += ms * 1000;
    turns();
}

static bool opens_with(const char *text, const struct listener_config *config)
{
    struct strbuf why = {0};

    fx.at = (struct address){.len = 0};
    address_set(&fx.at, span_of(text));
    assert_true(address_resolve(&fx.at, ADDRESS_LISTEN, &why));
    fx.listener =
        listener_new(fx.loop, &fx.at, config, &handler, NULL, fx.problem, sizeof(fx.problem));
    return fx.listener != NULL;
}

static bool opens_at(const char *text, uint32_t max)
{
    return opens_with(text, &(struct listener_config){max, UINT32_MAX, UINT32_MAX});
}

static void opens(uint32_t max)
{
    assert_true(opens_at("127.0.0.1:0", max));
}

/* A client connects to the address that the listener reports. */
static bool connects_to(const char *text)
{
    struct address to = {.len = 0};
    struct strbuf why = {0};

    address_set(&to, span_of(text));
    assert_true(address_resolve(&to, ADDRESS_CONNECT, &why));
    int fd = socket(to.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&to.sa, to.len) < 0) {
        close(fd);
        return false;
    }
    fx.peers[fx.n_peers++] = fd;
    return true;
}

static void comes(void)
{
    assert_true(connects_to(listener_text(fx.listener)));
}

static int set_up(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    memset(&fx, 0, sizeof(fx));
    fx.now = 1000000;
    fx.loop = loop_new(0);
    assert_non_null(fx.loop);
    snprintf(fx.dir, sizeof(fx.dir), "%s/weir-XXXXXX", tmp != NULL ? tmp : P_tmpdir);
    assert_non_null(mkdtemp(fx.dir));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    listener_free(fx.listener);
    loop_free(fx.loop);
    for (unsigned i = 0; i < fx.n_accepted; i++)
        close(fx.accepted[i]);
    for (unsigned i = 0; i < fx.n_peers; i++)
        close(fx.peers[i]);
    rmdir(fx.dir);
    return 0;
}

/* ---- accepting ---- */

static void connections_are_handed_on_and_counted(void **state)
{
    (void)state;
    opens(10);
    assert_string_not_equal(listener_text(fx.listener), "127.0.0.1:0");
    comes();
    comes();
    turns();
    assert_int_equal(fx.n_accepted, 2);
    assert_int_equal(fx.family, AF_INET);
    assert_int_equal(listener_count(fx.listener), 2);
    listener_ended(fx.listener);
    assert_int_equal(listener_count(fx.listener), 1);
}

static void many_at_once_all_come_in(void **state)
{
    (void)state;
    opens(CAME_MAX);
    for (int i = 0; i < 90; i++)
        comes();
    turns();
    assert_int_equal(fx.n_accepted, 90);
    assert_int_equal(fx.asked_full, 0);
}

static void one_that_has_gone_meanwhile_is_passed_over(void **state)
{
    (void)state;
    opens(10);
    comes();
    fx.error = ECONNABORTED;
    fx.failures = 3;
    loop_turn(fx.loop); /* in one go */
    assert_int_equal(fx.n_accepted, 1);
    assert_int_equal(fx.asked_descriptor, 0);
}

/* ---- at the limit ---- */

static void above_the_bound_a_client_waits_until_one_has_ended(void **state)
{
    (void)state;
    opens(1);
    comes();
    comes();
    turns();
    assert_int_equal(fx.n_accepted, 1);
    assert_int_equal(fx.asked_full, 1);
    listener_ended(fx.listener);
    turns();
    assert_int_equal(fx.n_accepted, 2);
}

static void while_it_waits_room_is_asked_for_each_10_ms(void **state)
{
    (void)state;
    opens(1);
    comes();
    comes();
    turns();
    passes(PAUSE_MS - 2);
    assert_int_equal(fx.asked_full, 1);
    passes(4);
    assert_int_equal(fx.asked_full, 2);
    fx.may_come_in = true;
    passes(PAUSE_MS + 2);
    assert_int_equal(fx.asked_full, 3);
    assert_int_equal(fx.n_accepted, 2);
    assert_int_equal(listener_count(fx.listener), 2);
}

static void room_is_asked_for_only_where_somebody_waits(void **state)
{
    (void)state;
    opens(1);
    comes();
    turns();
    passes(100);
    assert_int_equal(fx.n_accepted, 1);
    assert_int_equal(fx.asked_full, 0);
}

static void a_higher_bound_lets_those_in_who_wait_at_once(void **state)
{
    (void)state;
    opens(1);
    for (int i = 0; i < 4; i++)
        comes();
    turns();
    assert_int_equal(fx.n_accepted, 1);
    listener_configure(fx.listener, 3);
    turns();
    assert_int_equal(fx.n_accepted, 3);
}

static void a_lower_bound_keeps_connections_and_accepts_none(void **state)
{
    (void)state;
    opens(3);
    for (int i = 0; i < 3; i++)
        comes();
    turns();
    listener_configure(fx.listener, 1);
    comes();
    turns();
    listener_ended(fx.listener);
    listener_ended(fx.listener);
    turns();
    assert_int_equal(fx.n_accepted, 3);
    listener_ended(fx.listener);
    turns();
    assert_int_equal(fx.n_accepted, 4);
}

/* ---- no descriptors ---- */

static void without_a_descriptor_one_is_asked_for_and_the_client_comes_in(void **state)
{
    static const int errors[] = {EMFILE, ENFILE};

    (void)state;
    opens(10);
    fx.may_find_one = true;
    for (unsigned i = 0; i < 2; i++) {
        fx.error = errors[i];
        fx.failures = 1;
        comes();
        turns();
        assert_int_equal(fx.asked_descriptor, i + 1);
        assert_int_equal(fx.n_accepted, i + 1);
    }
}

static void one_is_asked_for_once_for_each_client(void **state)
{
    (void)state;
    opens(10);
    fx.may_find_one = true;
    fx.error = EMFILE;
    fx.failures = 3;
    comes();
    turns();
    assert_int_equal(fx.asked_descriptor, 1);
    assert_int_equal(fx.n_accepted, 0);
    passes(PAUSE_MS + 2);
    assert_int_equal(fx.asked_descriptor, 2);
    assert_int_equal(fx.n_accepted, 1);
}

static void where_there_is_none_to_be_had_the_client_waits(void **state)
{
    (void)state;
    opens(10);
    fx.error = EMFILE;
    fx.failures = 1;
    comes();
    turns();
    assert_int_equal(fx.n_accepted, 0);
    passes(PAUSE_MS - 2);
    assert_int_equal(fx.n_accepted, 0);
    passes(4);
    assert_int_equal(fx.n_accepted, 1);
}

static void without_memory_no_client_is_asked_to_go(void **state)
{
    (void)state;
    opens(10);
    fx.error = ENOBUFS;
    fx.failures = 1;
    fx.may_find_one = true;
    comes();
    turns();
    assert_int_equal(fx.asked_descriptor, 0);
    passes(PAUSE_MS + 2);
    assert_int_equal(fx.n_accepted, 1);
}

/* ---- the end ---- */

static void a_stop_accepts_connections_above_the_bound_too_and_refuses_the_next(void **state)
{
    char text[128];

    (void)state;
    opens(1);
    snprintf(text, sizeof(text), "%s", listener_text(fx.listener));
    for (int i = 0; i < 3; i++)
        comes();
    turns();
    assert_int_equal(fx.n_accepted, 1);
    listener_stop(fx.listener);
    listener_stop(fx.listener);
    turns();
    assert_int_equal(fx.n_accepted, 3);
    assert_int_equal(fx.stopped, 1);
    assert_false(connects_to(text));
    listener_ended(fx.listener);
    passes(100);
    assert_int_equal(fx.stopped, 1);
}

static void it_listens_on_the_same_port_again_and_can_be_stopped_again(void **state)
{
    char text[128];

    (void)state;
    opens(1);
    snprintf(text, sizeof(text), "%s", listener_text(fx.listener));
    for (unsigned n = 1; n <= 2; n++) {
        listener_stop(fx.listener);
        turns();
        assert_int_equal(fx.stopped, n);
        assert_false(connects_to(text));
        assert_true(listener_reopen(fx.listener));
        assert_string_equal(listener_text(fx.listener), text);
        assert_true(connects_to(text));
        turns();
        assert_int_equal(fx.n_accepted, n);
        listener_ended(fx.listener);
    }
}

static void again_it_keeps_to_the_bound(void **state)
{
    (void)state;
    opens(1);
    listener_stop(fx.listener);
    turns();
    assert_true(listener_reopen(fx.listener));
    comes();
    comes();
    turns();
    assert_int_equal(fx.n_accepted, 1);
    listener_ended(fx.listener);
    passes(PAUSE_MS + 1);
    assert_int_equal(fx.n_accepted, 2);
}

static void a_port_that_another_has_taken_meanwhile_is_told(void **state)
{
    char text[128];

    (void)state;
    opens(1);
    struct listener *first = fx.listener;
    snprintf(text, sizeof(text), "%s", listener_text(first));
    listener_stop(first);
    turns();
    assert_true(opens_at(text, 1));
    assert_false(listener_reopen(first));
    assert_int_equal(errno, EADDRINUSE);
    listener_free(first);
}

/* Nothing is known of round trips on loopback: there is none. */
static void elsewhere_handshakes_that_have_begun_have_a_moment(void **state)
{
    char text[128];

    (void)state;
    assert_true(opens_at("0.0.0.0:0", 1));
    snprintf(text, sizeof(text), "127.0.0.1%s", strchr(listener_text(fx.listener), ':'));
    assert_true(connects_to(text));
    listener_stop(fx.listener);
    turns();
    assert_int_equal(fx.n_accepted, 1);
    passes(45);
    assert_int_equal(fx.stopped, 0);
    passes(10);
    assert_int_equal(fx.stopped, 1);
    assert_false(connects_to(text));
    passes(100);
    assert_int_equal(fx.stopped, 1);
}

/* ---- opening ---- */

static void an_address_in_use_is_told(void **state)
{
    char text[128];

    (void)state;
    opens(1);
    struct listener *first = fx.listener;
    snprintf(text, sizeof(text), "%s", listener_text(first));
    assert_false(opens_at(text, 1));
    assert_non_null(strstr(fx.problem, "cannot listen on 127.0.0.1:"));
    assert_non_null(strstr(fx.problem, strerror(EADDRINUSE)));
    listener_free(first);
}

static const char *a_path(void)
{
    static char text[128];

    snprintf(text, sizeof(text), "unix:%s/s", fx.dir);
    return text;
}

static bool is_there(const char *text)
{
    struct stat st;
    return lstat(text + strlen("unix:"), &st) == 0;
}

static void a_unix_socket_is_there_until_the_listener_stops(void **state)
{
    (void)state;
    assert_true(opens_at(a_path(), 10));
    assert_true(is_there(a_path()));
    assert_true(connects_to(a_path()));
    turns();
    assert_int_equal(fx.n_accepted, 1);
    assert_int_equal(fx.family, AF_UNIX);
    listener_stop(fx.listener);
    turns();
    assert_false(is_there(a_path()));
}

static void a_path_that_a_dead_process_has_left_is_taken_over(void **state)
{
    struct strbuf why = {0};
    struct address at = {.len = 0};

    (void)state;
    address_set(&at, span_of(a_path()));
    assert_true(address_resolve(&at, ADDRESS_LISTEN, &why));
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(dead, (const struct sockaddr *)&at.sa, at.len), 0);
    close(dead);
    assert_true(is_there(a_path()));
    assert_true(opens_at(a_path(), 10));
    assert_true(connects_to(a_path()));
}

static void a_path_with_a_listener_is_not_taken(void **state)
{
    (void)state;
    assert_true(opens_at(a_path(), 10));
    struct listener *first = fx.listener;
    assert_false(opens_at(a_path(), 10));
    assert_true(is_there(a_path()));
    assert_true(connects_to(a_path()));
    listener_free(first);
    assert_false(is_there(a_path()));
}

static void the_path_is_there_again_with_the_listener(void **state)
{
    (void)state;
    assert_true(opens_at(a_path(), 10));
    listener_stop(fx.listener);
    turns();
    assert_true(listener_reopen(fx.listener));
    turns();
    assert_true(connects_to(a_path()));
    listener_stop(fx.listener);
    turns();
    assert_false(is_there(a_path()));
}

/* A successor has bound the path while the last clients of the first are served. */
static void after_a_stop_the_path_is_another_ones(void **state)
{
    (void)state;
    assert_true(opens_at(a_path(), 10));
    struct listener *first = fx.listener;
    listener_stop(first);
    turns();
    assert_true(opens_at(a_path(), 10));
    listener_free(first);
    assert_true(is_there(a_path()));
}

/* ---- the kernel's buffers ---- */

static int kernel_buffer(int fd, int which)
{
    int bytes = 0;
    socklen_t len = sizeof(bytes);

    assert_int_equal(getsockopt(fd, SOL_SOCKET, which, &bytes, &len), 0);
    return bytes;
}

static void a_connection_has_the_buffers_that_are_configured(void **state)
{
    static const struct listener_config config = {10, 32768, 65536};

    (void)state;
    assert_true(opens_with("127.0.0.1:0", &config));
    comes();
    turns();
    assert_int_equal(kernel_buffer(fx.accepted[0], SO_SNDBUF), 32768);
    assert_int_equal(kernel_buffer(fx.accepted[0], SO_RCVBUF), 65536);
}

static void on_a_unix_socket_the_sender_holds_the_data_in_transit(void **state)
{
    static const struct listener_config config = {10, 32768, 65536};

    (void)state;
    assert_true(opens_with(a_path(), &config));
    comes();
    turns();
    assert_int_equal(kernel_buffer(fx.accepted[0], SO_SNDBUF), 32768);
    assert_int_not_equal(kernel_buffer(fx.accepted[0], SO_RCVBUF), 65536);
}

static void without_the_options_the_system_sets_the_buffers(void **state)
{
    int usual[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, usual), 0);
    assert_true(opens_at(a_path(), 10));
    comes();
    turns();
    assert_int_equal(kernel_buffer(fx.accepted[0], SO_SNDBUF), kernel_buffer(usual[0], SO_SNDBUF));
    close(usual[0]);
    close(usual[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(connections_are_handed_on_and_counted),
        TEST(many_at_once_all_come_in),
        TEST(one_that_has_gone_meanwhile_is_passed_over),
        TEST(above_the_bound_a_client_waits_until_one_has_ended),
        TEST(while_it_waits_room_is_asked_for_each_10_ms),
        TEST(room_is_asked_for_only_where_somebody_waits),
        TEST(a_higher_bound_lets_those_in_who_wait_at_once),
        TEST(a_lower_bound_keeps_connections_and_accepts_none),
        TEST(without_a_descriptor_one_is_asked_for_and_the_client_comes_in),
        TEST(one_is_asked_for_once_for_each_client),
        TEST(where_there_is_none_to_be_had_the_client_waits),
        TEST(without_memory_no_client_is_asked_to_go),
        TEST(a_stop_accepts_connections_above_the_bound_too_and_refuses_the_next),
        TEST(elsewhere_handshakes_that_have_begun_have_a_moment),
        TEST(it_listens_on_the_same_port_again_and_can_be_stopped_again),
        TEST(again_it_keeps_to_the_bound),
        TEST(a_port_that_another_has_taken_meanwhile_is_told),
        TEST(an_address_in_use_is_told),
        TEST(a_unix_socket_is_there_until_the_listener_stops),
        TEST(a_path_that_a_dead_process_has_left_is_taken_over),
        TEST(a_path_with_a_listener_is_not_taken),
        TEST(the_path_is_there_again_with_the_listener),
        TEST(after_a_stop_the_path_is_another_ones),
        TEST(a_connection_has_the_buffers_that_are_configured),
        TEST(on_a_unix_socket_the_sender_holds_the_data_in_transit),
        TEST(without_the_options_the_system_sets_the_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
