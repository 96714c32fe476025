/* See inherited.h. */
#include "common/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/socket.h"

static struct inherited {
    int fd;
    bool used;
    struct address at;
    char text[SOCKET_TEXT];
} sockets[INHERITED_MAX];
static size_t count;

/* A decimal number of the environment; -1: absent or malformed. */
static long variable(const char *name)
{
    const char *text = getenv(name);
    char *end;

    if (text == NULL || *text == '\0')
        return -1;
    errno = 0;
    long n = strtol(text, &end, 10);
    return errno == 0 && *end == '\0' && n >= 0 ? n : -1;
}

static bool is_listening(int fd)
{
    int listening = 0, type = 0;
    socklen_t a = sizeof(listening), b = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &a) == 0 && listening != 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &b) == 0 && type == SOCK_STREAM;
}

static void write_text(struct inherited *s)
{
    const struct sockaddr_un un = *(const struct sockaddr_un *)(const void *)&s->at.sa;

    if (s->at.sa.ss_family == AF_UNIX)
        snprintf(s->at.text, sizeof(s->at.text), ADDRESS_UNIX "%s", un.sun_path);
    socket_text(s->fd, &s->at, s->text);
}

static void take(int fd)
{
    struct inherited new = {.fd = fd, .at.len = sizeof(new.at.sa)}, *s = &sockets[count];

    if (count == INHERITED_MAX || !is_listening(fd) ||
        getsockname(fd, (struct sockaddr *)&new.at.sa, &new.at.len) < 0) {
        close(fd);
        return;
    }
    *s = new;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    socket_tune(fd, &s->at);
    write_text(s);
    count++;
}

size_t inherited_init(void)
{
    long n = variable("LISTEN_FDS");
    bool ours = variable("LISTEN_PID") == (long)getpid();

    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    for (long i = 0; ours && i < n && i < 1024; i++)
        take(INHERITED_FIRST + (int)i);
    return count;
}

static bool same_path(const struct address *a, const struct address *b)
{
    const struct sockaddr_un *x = (const void *)&a->sa, *y = (const void *)&b->sa;
    return strcmp(x->sun_path, y->sun_path) == 0;
}

static bool same(const struct address *socket, const struct address *at)
{
    if (socket->sa.ss_family == AF_UNIX || at->sa.ss_family == AF_UNIX)
        return socket->sa.ss_family == at->sa.ss_family && same_path(socket, at);
    if (address_is_any(socket) && address_is_any(at))
        return address_port(socket) == address_port(at);
    return address_same_end((const struct sockaddr *)&socket->sa, (const struct sockaddr *)&at->sa);
}

static struct inherited *find(const struct address *at)
{
    for (size_t i = 0; i < count; i++) {
        if (same(&sockets[i].at, at))
            return &sockets[i];
    }
    return NULL;
}

int inherited_open(const struct address *at)
{
    struct inherited *s = find(at);

    if (s == NULL)
        return -1;
    s->used = true;
    return fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
}

bool inherited_has(const struct address *at)
{
    return find(at) != NULL;
}

const char *inherited_unused(void)
{
    for (size_t i = 0; i < count; i++) {
        if (!sockets[i].used)
            return sockets[i].text;
    }
    return NULL;
}

void inherited_fini(void)
{
    for (size_t i = 0; i < count; i++)
        close(sockets[i].fd);
    count = 0;
}
