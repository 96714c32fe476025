/* A scripted admin port, for the commands that talk to one. */
#pragma once

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/check.h"
#include "tests/unit/proxy/cli_fixture.h"

/* An admin port that sends one response on one connection. */
struct admin {
    int fd;
    const char *response; /* NULL: none, the connection stays open until the client gives up */
    pthread_t thread;
    char flag[64];
    char request[256];
};

static inline void *respond_once(void *arg)
{
    struct admin *a = arg;
    int fd = accept(a->fd, NULL, NULL);
    ssize_t n = recv(fd, a->request, sizeof(a->request) - 1, 0);
    char byte;

    CHECK(n > 0);
    if (a->response != NULL)
        (void)!write(fd, a->response, strlen(a->response));
    else
        (void)recv(fd, &byte, 1, 0);
    close(fd);
    return NULL;
}

static inline void admin_listen(struct admin *a)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(any);

    memset(a, 0, sizeof(*a));
    a->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(a->fd, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(a->fd, 1), 0);
    assert_int_equal(getsockname(a->fd, (struct sockaddr *)&any, &len), 0);
    snprintf(a->flag, sizeof(a->flag), "--admin-listen=0.0.0.0:%d", ntohs(any.sin_port));
}

static inline void admin_start(struct admin *a, const char *response)
{
    admin_listen(a);
    a->response = response;
    assert_int_equal(pthread_create(&a->thread, NULL, respond_once, a), 0);
}

static inline void admin_stop(struct admin *a)
{
    pthread_join(a->thread, NULL);
    close(a->fd);
}
