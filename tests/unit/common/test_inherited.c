/* Sockets that the process was started with, as systemd passes them. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/inherited.h"
#include "common/socket.h"

static struct address loopback(unsigned port)
{
    struct address at = {.len = sizeof(struct sockaddr_in)};
    struct sockaddr_in *in = (void *)&at.sa;

    *in = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return at;
}

/* Moves `fd` to the number at which systemd would pass it. */
static void pass(int fd, int number)
{
    assert_true(fd >= 0);
    if (fd == number)
        return;
    assert_int_equal(dup2(fd, number), number);
    close(fd);
}

/* The bound address, with the port that the kernel chose. */
static struct address pass_tcp(int number, int backlog)
{
    struct address at = loopback(0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at.sa, at.len), 0);
    at.len = sizeof(at.sa);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at.sa, &at.len), 0);
    if (backlog > 0)
        assert_int_equal(listen(fd, backlog), 0);
    pass(fd, number);
    return at;
}

static void announce(const char *fds, long pid)
{
    char text[32];

    snprintf(text, sizeof(text), "%ld", pid);
    setenv("LISTEN_PID", text, 1);
    setenv("LISTEN_FDS", fds, 1);
    setenv("LISTEN_FDNAMES", "a:b", 1);
}

static int closes_them(void **state)
{
    (void)state;
    inherited_fini();
    return 0;
}

static void a_socket_is_used_for_its_address(void **state)
{
    struct address at = pass_tcp(INHERITED_FIRST, 1), other = loopback(1);

    (void)state;
    announce("1", getpid());
    assert_int_equal(inherited_init(), 1);
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
    assert_true(inherited_has(&at));
    assert_false(inherited_has(&other));
    assert_int_equal(inherited_open(&other), -1);
    assert_non_null(inherited_unused());

    int fd = socket_bind(&at); /* would fail with EADDRINUSE without it */
    assert_true(fd > INHERITED_FIRST);
    assert_null(inherited_unused());
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(INHERITED_FIRST, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
    fd = socket_bind(&at); /* it was a duplicate: the socket is still there */
    assert_true(fd >= 0);
    close(fd);
}

static void variables_for_another_process_are_removed_and_not_used(void **state)
{
    struct address at = pass_tcp(INHERITED_FIRST, 1);

    (void)state;
    announce("1", getpid() + 1L);
    assert_int_equal(inherited_init(), 0);
    assert_null(getenv("LISTEN_FDS"));
    assert_false(inherited_has(&at));
    close(INHERITED_FIRST);
}

static void a_descriptor_that_is_no_listening_socket_is_closed(void **state)
{
    (void)state;
    pass_tcp(INHERITED_FIRST, 0);
    pass(open("/dev/null", O_RDONLY), INHERITED_FIRST + 1);
    announce("3", getpid()); /* the third is not open at all */
    assert_int_equal(inherited_init(), 0);
    assert_int_equal(fcntl(INHERITED_FIRST, F_GETFD), -1);
    assert_int_equal(fcntl(INHERITED_FIRST + 1, F_GETFD), -1);
    assert_null(inherited_unused());
}

static void malformed_variables_are_ignored(void **state)
{
    static const char *const bad[] = {"", "x", "-1", "1x", "99999999999999999999"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        announce(bad[i], getpid());
        assert_int_equal(inherited_init(), 0);
    }
}

static void any_address_is_that_of_a_socket_for_both_families(void **state)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
    socklen_t len = sizeof(six);
    int fd = socket(AF_INET6, SOCK_STREAM, 0);

    (void)state;
    if (fd < 0)
        skip();
    assert_int_equal(bind(fd, (struct sockaddr *)&six, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&six, &len), 0);
    assert_int_equal(listen(fd, 1), 0);
    pass(fd, INHERITED_FIRST);
    announce("1", getpid());
    assert_int_equal(inherited_init(), 1);
    struct address at = loopback(ntohs(six.sin6_port));
    assert_false(inherited_has(&at));
    ((struct sockaddr_in *)(void *)&at.sa)->sin_addr.s_addr = htonl(INADDR_ANY);
    assert_true(inherited_has(&at));
}

static void the_file_of_an_inherited_socket_stays(void **state)
{
    char folder[] = "/tmp/weir-inherited-XXXXXX";
    struct address at = {.len = sizeof(struct sockaddr_un)};
    struct sockaddr_un *un = (void *)&at.sa;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    assert_non_null(mkdtemp(folder));
    un->sun_family = AF_UNIX;
    snprintf(un->sun_path, sizeof(un->sun_path), "%s/s", folder);
    assert_int_equal(bind(fd, (struct sockaddr *)&at.sa, at.len), 0);
    assert_int_equal(listen(fd, 1), 0);
    pass(fd, INHERITED_FIRST);
    announce("1", getpid());
    assert_int_equal(inherited_init(), 1);
    assert_true(strncmp(inherited_unused(), "unix:", 5) == 0);
    socket_unlink(&at);
    assert_int_equal(access(un->sun_path, F_OK), 0);
    inherited_fini();
    socket_unlink(&at);
    assert_int_equal(access(un->sun_path, F_OK), -1);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_socket_is_used_for_its_address, closes_them),
        cmocka_unit_test_teardown(variables_for_another_process_are_removed_and_not_used,
                                  closes_them),
        cmocka_unit_test_teardown(a_descriptor_that_is_no_listening_socket_is_closed, closes_them),
        cmocka_unit_test_teardown(malformed_variables_are_ignored, closes_them),
        cmocka_unit_test_teardown(any_address_is_that_of_a_socket_for_both_families, closes_them),
        cmocka_unit_test_teardown(the_file_of_an_inherited_socket_stays, closes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
