/* TCP options of listening, accepted and connecting sockets; and the mode of a Unix socket's
 * file. */
#include <errno.h>
#include <linux/sock_diag.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
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

#include "common/socket.h"

#define CONTROL_MAX 16 /* TCP_CA_NAME_MAX */

static struct address address(const char *ip)
{
    const struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct address at = {.len = 0};
    struct addrinfo *found;

    assert_int_equal(getaddrinfo(ip, NULL, &numeric, &found), 0);
    memcpy(&at.sa, found->ai_addr, found->ai_addrlen);
    at.len = found->ai_addrlen;
    freeaddrinfo(found);
    return at;
}

static bool sends_at_once(int fd)
{
    int on = 0;
    socklen_t len = sizeof(on);

    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    return on != 0;
}

static void control_of(int fd, char out[CONTROL_MAX])
{
    socklen_t len = CONTROL_MAX;

    memset(out, 0, CONTROL_MAX);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, out, &len), 0);
}

static void assert_control(int fd, const char *want)
{
    char got[CONTROL_MAX];

    control_of(fd, got);
    assert_string_equal(got, want);
}

/* The congestion control of a socket with default options. */
static void control_of_the_system(char out[CONTROL_MAX])
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    control_of(fd, out);
    close(fd);
}

static void what_is_accepted_inherits_from_what_listens(void **state)
{
    struct address at = address("127.0.0.1");
    struct sockaddr_in bound;
    socklen_t len = sizeof(bound);
    int listener = socket_bind(&at), client = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_true(listener >= 0 && client >= 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&bound, &len), 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&bound, len), 0);
    assert_int_equal(poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, 10000), 1);
    int accepted = accept(listener, NULL, NULL);
    assert_true(accepted >= 0);
    assert_true(sends_at_once(accepted));
    assert_control(accepted, "reno");
    close(accepted);
    close(client);
    close(listener);
}

static void loopback_is_under_reno_and_the_rest_as_the_system_has_it(void **state)
{
    char otherwise[CONTROL_MAX];
    struct {
        struct address at;
        bool loopback;
    } rows[] = {
        {address("127.0.0.1"), true},  {address("127.8.9.10"), true},
        {address("::1"), true},        {address("0.0.0.0"), false},
        {address("192.0.2.1"), false}, {address("128.0.0.1"), false},
        {address("::"), false},        {address("2001:db8::1"), false},
    };

    (void)state;
    control_of_the_system(otherwise);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0); /* both families have TCP's options */
        assert_true(fd >= 0);
        socket_tune(fd, &rows[i].at);
        assert_true(sends_at_once(fd));
        assert_control(fd, rows[i].loopback ? "reno" : otherwise);
        close(fd);
    }
}

static void more_than_the_system_allows_is_reported(void **state)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), before = 0, after = 0;
    socklen_t len = sizeof(before);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &before, &len), 0);
    assert_true(socket_limit_buffers(fd, UINT32_MAX, UINT32_MAX));
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &after, &len), 0);
    assert_int_equal(before, after);
    assert_true(socket_limit_buffers(fd, 16384, 16384));
    assert_false(socket_limit_buffers(fd, UINT32_MAX - 1, UINT32_MAX));
    assert_false(socket_limit_buffers(fd, UINT32_MAX, UINT32_MAX - 1));
    close(fd);
}

/* Bound, so that a connect to its own address reaches itself. */
static int bound_socket(struct address *at)
{
    int fd = socket(at->sa.ss_family, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at->sa, at->len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at->sa, &at->len), 0);
    return fd;
}

/* Sends until the kernel takes no more. Returns the kernel's memory for it. */
static uint32_t fill(int fd)
{
    static const char data[65536];
    uint32_t memory[SK_MEMINFO_VARS];
    socklen_t len = sizeof(memory);

    for (int i = 0; i < 20; i++) {
        while (send(fd, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            i = 0;
        usleep(1000);
    }
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &len), 0);
    return memory[SK_MEMINFO_WMEM_QUEUED];
}

/* A peer with a large window gets large segments, and the kernel compares before it begins one. */
static void tcp_holds_one_segment_more_than_its_bound(void **state)
{
    const int windows[] = {4096, 65536, 131072, 300000};
    const uint32_t bounds[] = {16384, 65536};

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        struct address at = address("127.0.0.1");
        int to = bound_socket(&at), from = socket(AF_INET, SOCK_STREAM, 0);

        assert_true(socket_limit_buffers(to, bounds[i / 4], UINT32_MAX));
        assert_int_equal(listen(to, 1), 0);
        assert_int_equal(setsockopt(from, SOL_SOCKET, SO_RCVBUF, &windows[i % 4], sizeof(int)), 0);
        assert_int_equal(connect(from, (const struct sockaddr *)&at.sa, at.len), 0);
        int fd = accept(to, NULL, NULL);
        assert_in_range(fill(fd), 1, bounds[i / 4] + 65536 + 1024);
        close(fd);
        close(from);
        close(to);
    }
}

static void a_unix_socket_is_left_as_it_is(void **state)
{
    struct address at = {.sa.ss_family = AF_UNIX};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_true(fd >= 0);
    socket_tune(fd, &at);
    assert_false(sends_at_once(fd));
    close(fd);
}

static void a_connection_to_itself_is_known_as_such(void **state)
{
    static const char *const ips[] = {"127.0.0.1", "::1", "::ffff:127.0.0.1"};

    (void)state;
    for (size_t i = 0; i < sizeof ips / sizeof *ips; i++) {
        struct address at = address(ips[i]);
        int fd = bound_socket(&at);
        assert_int_equal(connect(fd, (const struct sockaddr *)&at.sa, at.len), 0);
        assert_true(socket_reached_itself(fd, &at));
        close(fd);
        fd = socket(at.sa.ss_family, SOCK_STREAM, 0); /* the first attempt left nothing behind */
        assert_int_equal(bind(fd, (const struct sockaddr *)&at.sa, at.len), 0);
        close(fd);
    }
}

static void a_connection_to_any_address_reaches_itself_too(void **state)
{
    struct address at = address("0.0.0.0");
    int fd = bound_socket(&at);

    (void)state;
    assert_int_equal(connect(fd, (const struct sockaddr *)&at.sa, at.len), 0);
    assert_true(socket_reached_itself(fd, &at));
    close(fd);
}

static void a_connection_to_another_is_none_to_itself(void **state)
{
    struct address at = address("127.0.0.1"), from = address("127.0.0.2");
    int listener = bound_socket(&at), client = socket(AF_INET, SOCK_STREAM, 0);
    int twin = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(listen(listener, 2), 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&at.sa, at.len), 0);
    assert_false(socket_reached_itself(client, &at));
    /* The same port at both ends, but different addresses. */
    ((struct sockaddr_in *)(void *)&from.sa)->sin_port =
        ((const struct sockaddr_in *)(const void *)&at.sa)->sin_port;
    assert_int_equal(bind(twin, (const struct sockaddr *)&from.sa, from.len), 0);
    assert_int_equal(connect(twin, (const struct sockaddr *)&at.sa, at.len), 0);
    assert_false(socket_reached_itself(twin, &at));
    close(twin);
    close(client);
    close(listener);
}

static void a_remedy_is_for_the_kind_of_address(void **state)
{
    const struct address tcp = address("127.0.0.1"), local = {.sa.ss_family = AF_UNIX};

    (void)state;
    assert_non_null(strstr(socket_remedy(EACCES, &local), "weir's user"));
    assert_non_null(strstr(socket_remedy(EACCES, &tcp), "firewall"));
    assert_non_null(strstr(socket_remedy(EADDRNOTAVAIL, &tcp), "ip_local_port_range"));
    assert_non_null(strstr(socket_remedy(EMFILE, &local), "ulimit -n"));
    assert_string_equal(socket_remedy(ENOTDIR, &local), "");
    assert_string_equal(socket_remedy(0, &tcp), "");
}

/* Whatever the umask, which is restored. The socket does not listen yet. */
static void a_unix_socket_has_its_mode_as_soon_as_it_is_there(void **state)
{
    static const mode_t modes[] = {0, 0660, 0600, 0777, 0222}, masks[] = {0022, 0077, 0};
    char folder[] = "/tmp/weir-socket-XXXXXX";
    struct address at = {.len = sizeof(struct sockaddr_un)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct stat st;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", folder);
    memcpy(&at.sa, &un, sizeof(un));
    for (size_t i = 0; i < 15; i++) {
        const mode_t mask = masks[i % 3], before = umask(mask);
        at.mode = modes[i / 3];
        int fd = socket_bind(&at);
        assert_true(fd >= 0);
        assert_int_equal(umask(before), mask);
        assert_int_equal(stat(un.sun_path, &st), 0);
        assert_int_equal(st.st_mode & 0777, at.mode != 0 ? at.mode : (0777 & ~mask));
        socket_unlink(&at);
        close(fd);
    }
    rmdir(folder);
}

static int tries_to_connect(const struct address *to)
{
    int fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&to->sa, to->len) < 0)
        assert_int_equal(errno, EINPROGRESS);
    return fd;
}

static bool is_connected_or_refused(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 20) > 0;
}

static void what_is_connected_is_kept_and_no_new_handshake_is_taken(void **state)
{
    static const char *const ips[] = {"127.0.0.1", "::1"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct address at = address(ips[i]);
        int listener = socket_bind(&at);
        if (listener < 0 && i > 0)
            return; /* no IPv6 here */
        assert_int_equal(listen(listener, 5), 0);
        assert_int_equal(getsockname(listener, (struct sockaddr *)&at.sa, &at.len), 0);
        int before = tries_to_connect(&at);
        assert_true(is_connected_or_refused(before));
        socket_refuse_new(listener, &at);
        int after = tries_to_connect(&at);
        assert_false(is_connected_or_refused(after));
        int accepted = accept(listener, NULL, NULL);
        assert_true(accepted >= 0);
        assert_int_equal(send(before, "x", 1, 0), 1);
        assert_int_equal(recv(accepted, (char[1]){0}, 1, 0), 1);
        assert_int_equal(accept(listener, NULL, NULL), -1);
        close(listener);
        close(before);
        close(after);
        close(accepted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_accepted_inherits_from_what_listens),
        cmocka_unit_test(loopback_is_under_reno_and_the_rest_as_the_system_has_it),
        cmocka_unit_test(more_than_the_system_allows_is_reported),
        cmocka_unit_test(tcp_holds_one_segment_more_than_its_bound),
        cmocka_unit_test(a_unix_socket_is_left_as_it_is),
        cmocka_unit_test(what_is_connected_is_kept_and_no_new_handshake_is_taken),
        cmocka_unit_test(a_connection_to_itself_is_known_as_such),
        cmocka_unit_test(a_connection_to_any_address_reaches_itself_too),
        cmocka_unit_test(a_connection_to_another_is_none_to_itself),
        cmocka_unit_test(a_remedy_is_for_the_kind_of_address),
        cmocka_unit_test(a_unix_socket_has_its_mode_as_soon_as_it_is_there),
    };
    return cmocka_run_group_tests_name("socket", tests, NULL, NULL);
}
