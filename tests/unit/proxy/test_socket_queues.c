/* The queues of the sockets of an app that accepts nothing, reads nothing, or continues to read. */
#include <errno.h>
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

#include "common/clock.h"
#include "proxy/socket_queues.h"

static int no_netlink;        /* socket() fails for it with this error */
static mono_us passed = 1000; /* of the clock: one look's rest is over at the next */

int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);

int __wrap_socket(int family, int type, int protocol)
{
    if (family == AF_NETLINK && no_netlink != 0) {
        errno = no_netlink;
        return -1;
    }
    return __real_socket(family, type, protocol);
}

mono_us __wrap_clock_mono(void);

mono_us __wrap_clock_mono(void)
{
    return passed;
}

/* ---- an app ---- */

enum kind { IPV4, IPV4_ON_ANY, IPV6, IPV4_ON_IPV6, LOCAL, KINDS };

struct app {
    int listener, accepted, client;
    struct address at; /* that weir connects to */
    struct socket_queues *queues;
    struct socket_queues_reading r;
};

static struct app app;
static char path[108];

static void resolve(struct address *a, const char *text)
{
    struct strbuf why = {0};

    memset(a, 0, sizeof(*a));
    address_set(a, span_of(text));
    assert_true(address_resolve(a, ADDRESS_CONNECT, &why));
    strbuf_fini(&why);
}

static void bind_to(const char *text, struct address *at)
{
    socklen_t len = sizeof(at->sa);

    resolve(at, text);
    app.listener = socket(at->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(app.listener, (struct sockaddr *)&at->sa, at->len), 0);
    assert_int_equal(listen(app.listener, 16), 0);
    assert_int_equal(getsockname(app.listener, (struct sockaddr *)&at->sa, &len), 0);
}

static void start(enum kind kind)
{
    static const char *const listens[] = {[IPV4] = "127.0.0.1:0",
                                          [IPV4_ON_ANY] = "0.0.0.0:0",
                                          [IPV6] = "[::1]:0",
                                          [IPV4_ON_IPV6] = "[::]:0"};
    struct address bound;
    char text[140];

    app = (struct app){.accepted = -1, .client = -1};
    snprintf(path, sizeof(path), "/tmp/weir-queues-%d.sock", (int)getpid());
    snprintf(text, sizeof(text), "unix:%s", path);
    bind_to(kind == LOCAL ? text : listens[kind], &bound);
    if (kind != LOCAL)
        snprintf(text, sizeof(text), kind == IPV6 ? "[::1]:%u" : "127.0.0.1:%u",
                 address_port(&bound));
    resolve(&app.at, text);
    app.queues = socket_queues_new(&app.at);
}

static void stop(void)
{
    socket_queues_free(app.queues);
    close(app.listener);
    close(app.accepted);
    close(app.client);
    unlink(path);
}

static void send_request(void)
{
    app.client = socket(app.at.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(app.client, (struct sockaddr *)&app.at.sa, app.at.len), 0);
    assert_int_equal(write(app.client, "GET", 3), 3);
}

static void look(void)
{
    passed += 1000000;
    assert_true(socket_queues_look(app.queues, true, &app.r));
}

/* ---- tests ---- */

static void connections_and_bytes_that_wait_are_counted(void **state)
{
    (void)state;
    for (enum kind kind = IPV4; kind < KINDS; kind++) {
        char buffer[8];
        start(kind);
        look();
        assert_true(app.r.told && app.r.accept_queue == 0 && app.r.unread == 0 && app.r.marks == 0);
        send_request();
        look();
        assert_true(app.r.told && app.r.accept_queue == 1 && app.r.unread == 0);
        app.accepted = accept(app.listener, NULL, NULL);
        look();
        assert_true(app.r.accept_queue == 0 && app.r.unread == 1 && app.r.marks == 1);
        assert_int_equal(read(app.accepted, buffer, sizeof(buffer)), 3);
        look();
        assert_true(app.r.told && app.r.unread == 0 && app.r.marks == 0);
        stop();
    }
}

static void a_mark_stays_while_nothing_is_read(void **state)
{
    char buffer[8];
    uint64_t mark;

    (void)state;
    start(IPV4);
    send_request();
    look();
    assert_int_equal(app.r.marks, 1);
    mark = app.r.mark[0];
    app.accepted = accept(app.listener, NULL, NULL);
    look();
    assert_true(app.r.marks == 1 && app.r.mark[0] != mark);
    mark = app.r.mark[0];
    assert_int_equal(write(app.client, "more", 4), 4);
    look();
    assert_true(app.r.marks == 1 && app.r.mark[0] == mark);
    assert_int_equal(read(app.accepted, buffer, 3), 3);
    look();
    assert_true(app.r.marks == 1 && app.r.mark[0] != mark);
    stop();
}

static void a_large_body_is_not_counted(void **state)
{
    static char body[40000];

    (void)state;
    start(IPV4);
    send_request();
    app.accepted = accept(app.listener, NULL, NULL);
    assert_int_equal(write(app.client, body, sizeof(body)), sizeof(body));
    look();
    assert_true(app.r.told && app.r.unread == 0 && app.r.marks == 0);
    stop();
}

/* The app works before it reads it. */
static void the_rest_of_a_body_is_not_counted(void **state)
{
    static char body[20000];
    static char buffer[8192];

    (void)state;
    start(IPV4);
    send_request();
    app.accepted = accept(app.listener, NULL, NULL);
    assert_int_equal(write(app.client, body, sizeof(body)), sizeof(body));
    look();
    assert_true(app.r.told && app.r.unread == 1 && app.r.marks == 1);
    assert_int_equal(read(app.accepted, buffer, sizeof(buffer)), sizeof(buffer));
    look();
    assert_true(app.r.told && app.r.unread == 0 && app.r.marks == 0);
    stop();
}

/* An app that works reads it later. */
static void the_end_of_a_connection_is_no_unread_byte(void **state)
{
    char buffer[8];

    (void)state;
    start(IPV4);
    send_request();
    app.accepted = accept(app.listener, NULL, NULL);
    assert_int_equal(read(app.accepted, buffer, 3), 3);
    assert_int_equal(shutdown(app.client, SHUT_WR), 0);
    look();
    assert_true(app.r.told && app.r.unread == 0 && app.r.marks == 0);
    stop();
}

static void without_connections_only_the_accept_queue_is_told(void **state)
{
    (void)state;
    start(IPV4);
    send_request();
    passed += 1000000;
    assert_true(socket_queues_look(app.queues, false, &app.r));
    assert_true(app.r.told && app.r.accept_queue == 1 && app.r.marks == 0);
    stop();
}

static void nothing_is_known_if_no_app_listens_there(void **state)
{
    (void)state;
    start(IPV4);
    close(app.listener);
    look();
    assert_false(app.r.told);
    stop();
    start(LOCAL);
    close(app.listener);
    look();
    assert_false(app.r.told);
    stop();
}

/* Something may listen on the same port here. */
static void nothing_is_known_of_another_machine(void **state)
{
    char text[64];

    (void)state;
    start(IPV4_ON_ANY);
    struct address elsewhere;
    snprintf(text, sizeof(text), "192.0.2.1:%u", address_port(&app.at));
    resolve(&elsewhere, text);
    socket_queues_free(app.queues);
    app.queues = socket_queues_new(&elsewhere);
    look();
    assert_false(app.r.told);
    stop();
}

static void nothing_is_known_if_the_kernel_has_no_such_sockets(void **state)
{
    static const int errors[] = {EPERM, EAFNOSUPPORT, EPROTONOSUPPORT};

    (void)state;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        no_netlink = errors[i];
        start(IPV4);
        no_netlink = 0;
        look();
        assert_false(app.r.told);
        assert_int_equal(app.r.marks, 0);
        stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_and_bytes_that_wait_are_counted),
        cmocka_unit_test(a_mark_stays_while_nothing_is_read),
        cmocka_unit_test(a_large_body_is_not_counted),
        cmocka_unit_test(the_rest_of_a_body_is_not_counted),
        cmocka_unit_test(the_end_of_a_connection_is_no_unread_byte),
        cmocka_unit_test(without_connections_only_the_accept_queue_is_told),
        cmocka_unit_test(nothing_is_known_if_no_app_listens_there),
        cmocka_unit_test(nothing_is_known_of_another_machine),
        cmocka_unit_test(nothing_is_known_if_the_kernel_has_no_such_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
