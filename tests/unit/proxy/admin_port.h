/* An admin port, and a client of it, for the unit tests of the admin module. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
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
#include <event2/event.h>

#include "common/clock.h"
#include "proxy/admin.h"

/* One thread plays both sides: the port's base turns between the client's reads. */
struct port {
    struct event_base *base;
    struct admin *admin;
    struct address at;
    struct config config;
    const char *not_ready, *not_started; /* NULL: ready, started */
    unsigned pauses, resumes, drains, kept_ready;
    struct strbuf changed; /* what it was asked to change to */
    bool drained;
    size_t metrics_size; /* at least */
};

#define LONG_METRICS (16 << 20) /* more than the kernel accepts at once */

#define OWN "Host: 127.0.0.1\r\n"

static char got[200000];

static inline void metrics(void *arg, enum prometheus_format format, struct strbuf *out)
{
    const struct port *p = arg;

    strbuf_adds(out, "# HELP a A.\n# TYPE a gauge\na 1\n");
    while (out->len < p->metrics_size)
        strbuf_adds(out, "# and many more\n");
    prometheus_end(out, format);
}

static inline void status(void *arg, struct strbuf *out)
{
    (void)arg;
    strbuf_adds(out, "{\"status\":1}\n");
}

static inline void history(void *arg, int64_t since, struct strbuf *out)
{
    (void)arg;
    strbuf_addf(out, "{\"since\":%lld}\n", (long long)since);
}

static inline void config(void *arg, struct strbuf *out)
{
    (void)arg;
    strbuf_adds(out, "{\"config\":1}\n");
}

static inline bool ready(void *arg, const char **why)
{
    struct port *p = arg;
    *why = p->not_ready;
    return p->not_ready == NULL;
}

static inline bool started(void *arg, const char **why)
{
    struct port *p = arg;
    *why = p->not_started;
    return p->not_started == NULL;
}

static inline void pause_it(void *arg)
{
    ((struct port *)arg)->pauses++;
}

static inline void resume_it(void *arg)
{
    ((struct port *)arg)->resumes++;
}

static inline void drain_it(void *arg, bool keep_ready)
{
    struct port *p = arg;

    p->drains++;
    p->kept_ready += keep_ready;
}

static inline bool cancel_drain(void *arg, const char **why)
{
    struct port *p = arg;

    *why = "all is done";
    return !p->drained;
}

static inline bool change(void *arg, struct span json, struct strbuf *problems)
{
    struct port *p = arg;

    strbuf_clear(&p->changed);
    strbuf_add_span(&p->changed, json);
    strbuf_adds(problems, json.len == 0 ? "it is empty\n" : "");
    return json.len > 0;
}

static inline bool drain_state(void *arg, struct strbuf *out)
{
    struct port *p = arg;

    strbuf_addf(out, "{\"state\":\"%s\"}\n", p->drained ? "drained" : "draining");
    return p->drained;
}

static inline struct admin *open_at(struct port *p, char *problem, size_t size)
{
    struct admin_source source = {.arg = p,
                                  .metrics = metrics,
                                  .status = status,
                                  .history = history,
                                  .config = config,
                                  .ready = ready,
                                  .started = started,
                                  .pause = pause_it,
                                  .resume = resume_it,
                                  .drain = drain_it,
                                  .cancel_drain = cancel_drain,
                                  .drain_state = drain_state,
                                  .change = change};
    p->config.admin.listen = p->at;
    return admin_new(p->base, &p->config, &source, problem, size);
}

static inline struct address loopback(void)
{
    struct address a = {.text = "127.0.0.1:0", .len = sizeof(struct sockaddr_in)};
    struct sockaddr_in in = {.sin_family = AF_INET};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(&a.sa, &in, sizeof(in));
    return a;
}

static inline struct address unix_address(const char *path)
{
    struct address a = {.len = sizeof(struct sockaddr_un)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    snprintf(a.text, sizeof(a.text), "unix:%s", path);
    memcpy(&a.sa, &un, sizeof(un));
    return a;
}

static inline struct port *new_port(struct address at)
{
    char problem[256] = "";
    struct port *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->base = event_base_new();
    p->at = at;
    atomic_init(&p->config.refs, 1);
    p->admin = open_at(p, problem, sizeof(problem));
    if (p->admin == NULL)
        fail_msg("%s", problem);
    return p;
}

static inline int on_loopback(void **state)
{
    *state = new_port(loopback());
    return 0;
}

static inline int closed(void **state)
{
    struct port *p = *state;
    admin_free(p->admin);
    assert_int_equal(p->config.refs, 1);
    event_base_free(p->base);
    strbuf_fini(&p->changed);
    free(p);
    return 0;
}

static inline int dial(const struct port *p)
{
    struct sockaddr_storage sa;
    memcpy(&sa, &p->at.sa, sizeof(sa));
    unsigned number = (unsigned)strtoul(strrchr(admin_text(p->admin), ':') + 1, NULL, 10);
    if (sa.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&sa)->sin_port = htons((uint16_t)number);
    if (sa.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)&sa)->sin6_port = htons((uint16_t)number);
    int fd = socket(sa.ss_family, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, p->at.len), 0);
    if (sa.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static inline void turn(const struct port *p)
{
    for (int i = 0; i < 3; i++)
        event_base_loop(p->base, EVLOOP_NONBLOCK);
}

static inline void send_bytes(const struct port *p, int fd, const void *bytes, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, (const char *)bytes + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return; /* closed: what it sent will be read */
        sent += n < 0 ? 0 : (size_t)n;
        turn(p);
    }
}

static inline void say(const struct port *p, int fd, const char *text)
{
    send_bytes(p, fd, text, strlen(text));
}

static inline size_t times(const char *what)
{
    size_t n = 0;
    for (const char *at = got; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

enum listen { UNTIL_CLOSED, UNTIL_RESPONSES };

/* Reads into `got` until the port closes, or has sent `responses` responses, the last of them
 * complete: all bodies here end in a newline. False: ten seconds have passed. */
static inline bool hear(const struct port *p, int fd, enum listen how, size_t responses)
{
    size_t len = 0;
    mono_us end = clock_mono() + 10000000;
    got[0] = '\0';
    while (clock_mono() < end) {
        turn(p);
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, 5) <= 0)
            continue;
        ssize_t n = read(fd, got + len, sizeof(got) - 1 - len);
        if (n <= 0)
            return how == UNTIL_CLOSED;
        len += (size_t)n;
        got[len] = '\0';
        if (how == UNTIL_RESPONSES && times("HTTP/1.1 ") >= responses && got[len - 1] == '\n' &&
            strstr(got, "\r\n\r\n") != NULL)
            return true;
    }
    return false;
}

static inline void ask(const struct port *p, const char *request)
{
    int fd = dial(p);
    say(p, fd, request);
    assert_true(hear(p, fd, UNTIL_CLOSED, 0));
    close(fd);
}

static inline void get(const struct port *p, const char *path)
{
    char request[512];
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
             path);
    ask(p, request);
}

static inline void expect(const char *what)
{
    if (strstr(got, what) == NULL)
        fail_msg("no \"%s\" in: %.600s", what, got);
}

static inline void expect_status(const char *code)
{
    char line[32];
    snprintf(line, sizeof(line), "HTTP/1.1 %s ", code);
    if (strncmp(got, line, strlen(line)) != 0)
        fail_msg("wanted %s, got: %.600s", code, got);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, on_loopback, closed)
