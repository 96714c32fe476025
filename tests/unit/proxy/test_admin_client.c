/* A scripted peer in a thread plays the admin port: complete, cut, silent and endless responses. */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/admin_client.h"

#define PATIENCE_US (10 * INT64_C(1000000))

struct peer {
    int listener;
    struct address at;
    const char *first, *then; /* what it sends, in two parts */
    bool stays;               /* until the client has closed */
    bool floods;              /* sends `then` without end */
    const char *token;
    char heard[256];
    pthread_t thread;
};

static void say(int fd, const char *text)
{
    size_t len = strlen(text);
    (void)!send(fd, text, len, MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
    struct peer *p = arg;
    int fd = accept(p->listener, NULL, NULL);
    ssize_t n = recv(fd, p->heard, sizeof(p->heard) - 1, 0);

    p->heard[n > 0 ? n : 0] = '\0';
    say(fd, p->first);
    say(fd, p->then);
    while (p->floods && send(fd, p->then, strlen(p->then), MSG_NOSIGNAL) > 0)
        continue;
    if (p->stays) {
        char byte;
        (void)!recv(fd, &byte, 1, 0);
    }
    close(fd);
    return NULL;
}

static void peer_listen(struct peer *p, uint32_t ip)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ip)};

    p->at.len = sizeof(four);
    memcpy(&p->at.sa, &four, sizeof(four));
    p->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&p->at.sa, p->at.len), 0);
    assert_int_equal(listen(p->listener, 1), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&p->at.sa, &p->at.len), 0);
}

static bool ask(struct peer *p, mono_us timeout, struct admin_response *r)
{
    if (p->listener == 0)
        peer_listen(p, INADDR_LOOPBACK);
    assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
    const struct admin_request request = {.method = p->token == NULL ? "GET" : "POST",
                                          .path = "/status",
                                          .token = p->token == NULL ? "" : p->token};
    bool ok = admin_client_ask(&p->at, &request, timeout, r);
    int why = errno;
    pthread_join(p->thread, NULL);
    close(p->listener);
    errno = why;
    return ok;
}

static void a_response_with_a_length_ends_there(void **state)
{
    struct peer p = {
        .first = "HTTP/1.1 200 OK\r\nContent-", .then = "length: 4\r\n\r\nbody", .stays = true};
    struct admin_response r = {0};
    (void)state;

    assert_true(ask(&p, PATIENCE_US, &r));
    assert_int_equal(r.status, 200);
    assert_true(span_equal(r.body, SPAN("body")));
    assert_string_equal(p.heard,
                        "GET /status HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    strbuf_fini(&r.bytes);
}

static void the_token_is_sent_with_a_command(void **state)
{
    struct peer p = {.first = "HTTP/1.1 200 OK\r\n\r\n", .then = "", .token = "a-token"};
    struct admin_response r = {0};
    (void)state;

    assert_true(ask(&p, PATIENCE_US, &r));
    assert_string_equal(p.heard, "POST /status HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n"
                                 "Authorization: Bearer a-token\r\n\r\n");
    strbuf_fini(&r.bytes);
}

static void one_without_a_length_ends_with_the_connection(void **state)
{
    struct peer p = {.first = "HTTP/1.0 503 No\r\n\r\nnot ", .then = "yet"};
    struct admin_response r = {0};
    (void)state;

    assert_true(ask(&p, PATIENCE_US, &r));
    assert_int_equal(r.status, 503);
    assert_true(span_equal(r.body, SPAN("not yet")));
    strbuf_fini(&r.bytes);
}

static void what_is_no_complete_response_is_a_protocol_error(void **state)
{
    static const struct {
        const char *first, *then;
    } rows[] = {
        {"", ""},
        {"HTTP/1.1 200 OK\r\n", ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "body"},
        {"SSH-2.0-x\r\n\r\n", ""},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct peer p = {.first = rows[i].first, .then = rows[i].then};
        struct admin_response r = {0};
        assert_false(ask(&p, PATIENCE_US, &r));
        assert_int_equal(errno, EPROTO);
        strbuf_fini(&r.bytes);
    }
}

static void silence_is_not_waited_for(void **state)
{
    struct peer p = {
        .first = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", .then = "", .stays = true};
    struct admin_response r = {0};
    (void)state;

    assert_false(ask(&p, 20000, &r));
    assert_int_equal(errno, ETIMEDOUT);
    strbuf_fini(&r.bytes);
}

static void a_flood_is_bounded(void **state)
{
    static char much[65536];
    struct peer p = {.first = "HTTP/1.1 200 OK\r\n\r\n", .then = much, .floods = true};
    struct admin_response r = {0};
    (void)state;

    memset(much, 'x', sizeof(much) - 1);
    assert_false(ask(&p, PATIENCE_US, &r));
    assert_int_equal(errno, EMSGSIZE);
    assert_true(r.bytes.len < 1100 * 1024);
    strbuf_fini(&r.bytes);
}

static void a_listener_on_every_address_is_asked_on_loopback(void **state)
{
    struct peer p = {.first = "HTTP/1.1 200 OK\r\n\r\n", .then = ""};
    struct admin_response r = {0};
    (void)state;

    peer_listen(&p, INADDR_ANY);
    assert_true(ask(&p, PATIENCE_US, &r));
    assert_int_equal(r.status, 200);
    strbuf_fini(&r.bytes);
}

static void a_unix_socket_is_asked_too(void **state)
{
    char folder[] = "/tmp/weir-admin-XXXXXX";
    struct peer p = {.first = "HTTP/1.1 200 OK\r\n\r\n", .then = "ok"};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct admin_response r = {0};
    (void)state;

    assert_non_null(mkdtemp(folder));
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", folder);
    memcpy(&p.at.sa, &un, sizeof(un));
    p.at.len = sizeof(un);
    p.listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(p.listener, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(p.listener, 1), 0);
    assert_true(ask(&p, PATIENCE_US, &r));
    assert_true(span_equal(r.body, SPAN("ok")));
    strbuf_fini(&r.bytes);
    unlink(un.sun_path);
    rmdir(folder);
}

static void nobody_listens(void **state)
{
    struct peer p = {.listener = 0};
    struct admin_response r = {0};
    (void)state;

    const struct admin_request request = {.method = "GET", .path = "/livez", .token = ""};
    peer_listen(&p, INADDR_LOOPBACK);
    close(p.listener);
    assert_false(admin_client_ask(&p.at, &request, PATIENCE_US, &r));
    assert_int_equal(errno, ECONNREFUSED);
    strbuf_fini(&r.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_response_with_a_length_ends_there),
        cmocka_unit_test(the_token_is_sent_with_a_command),
        cmocka_unit_test(one_without_a_length_ends_with_the_connection),
        cmocka_unit_test(what_is_no_complete_response_is_a_protocol_error),
        cmocka_unit_test(silence_is_not_waited_for),
        cmocka_unit_test(a_flood_is_bounded),
        cmocka_unit_test(a_listener_on_every_address_is_asked_on_loopback),
        cmocka_unit_test(a_unix_socket_is_asked_too),
        cmocka_unit_test(nobody_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
