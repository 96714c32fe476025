#include "bench/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Enough for every client to connect before the first accept(); the kernel caps it. */
#define BACKLOG 16384

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_un un;
    } sa;
    socklen_t len;
};

void die(const char *what)
{
    if (errno != 0)
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
    else
        fprintf(stderr, "%s\n", what);
    exit(1);
}

uint32_t parse_count(const char *text, uint32_t max)
{
    char *end;

    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || (*end != '\0' && *end != '\n') || value == 0 || value > max)
        die("not a count within bounds");
    return (uint32_t)value;
}

static struct address parse_unix(const char *path)
{
    struct address a = {.sa.un.sun_family = AF_UNIX, .len = sizeof(a.sa.un)};
    size_t length = strlen(path);

    errno = 0;
    if (length >= sizeof(a.sa.un.sun_path))
        die("socket path too long");
    memcpy(a.sa.un.sun_path, path, length);
    return a;
}

static struct address parse_address(const char *text)
{
    struct address a = {.sa.in.sin_family = AF_INET, .len = sizeof(a.sa.in)};
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');

    errno = 0;
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5);
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        die("an address is 127.0.0.1:PORT or unix:/path");
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    if (inet_pton(AF_INET, host, &a.sa.in.sin_addr) != 1)
        die("not an IPv4 address");
    if (strcmp(colon, ":0") != 0)
        a.sa.in.sin_port = htons((uint16_t)parse_count(colon + 1, UINT16_MAX));
    return a;
}

static void set_nonblocking(int fd)
{
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        die("fcntl");
}

static void set_nodelay(int fd)
{
    const int on = 1;

    /* Fails on a Unix socket, which has no such delay. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int net_listen(const char *address)
{
    const int on = 1;
    struct address a = parse_address(address);
    int fd = socket(a.sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        die("socket");
    if (a.sa.any.sa_family == AF_UNIX)
        (void)unlink(a.sa.un.sun_path); /* of an earlier one */
    if (bind(fd, &a.sa.any, a.len) < 0 || listen(fd, BACKLOG) < 0)
        die(address);
    set_nonblocking(fd);
    return fd;
}

int net_connect(const char *address)
{
    struct address a = parse_address(address);
    int fd = socket(a.sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die("socket");
    if (connect(fd, &a.sa.any, a.len) < 0)
        die(address);
    set_nonblocking(fd);
    set_nodelay(fd);
    return fd;
}

int net_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0)
        set_nodelay(fd);
    else if (errno != EAGAIN && errno != ECONNABORTED)
        die("accept");
    return fd;
}

uint16_t net_port(int fd)
{
    struct sockaddr_in in = {.sin_port = 0};
    socklen_t len = sizeof(in);

    if (getsockname(fd, (struct sockaddr *)&in, &len) < 0)
        die("getsockname");
    return in.sin_family == AF_INET ? ntohs(in.sin_port) : 0;
}

void net_watch(int ep, int fd, uint32_t events, void *ptr)
{
    struct epoll_event event = {.events = events, .data.ptr = ptr};

    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}
