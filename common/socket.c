/* See socket.h. */
#include "common/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/inherited.h"

/* If the path was mistyped, it may name a file of the user's. */
void socket_unlink(const struct address *at)
{
    const struct sockaddr_un *un = (const void *)&at->sa;
    struct stat st;

    if (at->sa.ss_family == AF_UNIX && !inherited_has(at) && lstat(un->sun_path, &st) == 0 &&
        S_ISSOCK(st.st_mode))
        unlink(un->sun_path);
}

static void remove_stale(const struct address *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)&at->sa, at->len) < 0 && errno == ECONNREFUSED)
        socket_unlink(at);
    close(fd);
}

void socket_tune(int fd, const struct address *at)
{
    if (at->sa.ss_family == AF_UNIX)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (address_is_loopback(at))
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", strlen("reno"));
}

/* The kernel doubles the value that is set, to allow for its own structures. */
static bool limit_buffer(int fd, int which, uint32_t bytes)
{
    int half = (int)(bytes / 2), all = 0;
    socklen_t len = sizeof(all);

    if (bytes == UINT32_MAX)
        return true;
    return setsockopt(fd, SOL_SOCKET, which, &half, sizeof(half)) == 0 &&
           getsockopt(fd, SOL_SOCKET, which, &all, &len) == 0 && (uint32_t)all / 2 >= bytes / 2;
}

bool socket_limit_buffers(int fd, uint32_t send, uint32_t receive)
{
    bool sends = limit_buffer(fd, SO_SNDBUF, send);
    return limit_buffer(fd, SO_RCVBUF, receive) && sends;
}

/* chmod() afterwards would leave a moment in which the file admits more than it should, and would
 * follow whatever had replaced it by then. */
static int bind_with_mode(int fd, const struct address *at)
{
    if (at->mode == 0)
        return bind(fd, (const struct sockaddr *)&at->sa, at->len);
    mode_t before = umask(~(mode_t)at->mode & 0777);
    int result = bind(fd, (const struct sockaddr *)&at->sa, at->len);
    int why = errno;
    umask(before);
    errno = why;
    return result;
}

int socket_bind(const struct address *at)
{
    int fd = inherited_open(at);

    if (fd >= 0)
        return fd;
    fd = socket(at->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (at->sa.ss_family == AF_UNIX)
        remove_stale(at);
    else
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    socket_tune(fd, at);
    if (at->sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int));
    if (bind_with_mode(fd, at) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* Drops each segment with SYN and without ACK; a filter sees a segment from its TCP header on. */
void socket_refuse_new(int fd, const struct address *at)
{
    enum { FLAGS = 13, SYN = 0x02, ACK = 0x10 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN | ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    if (at->sa.ss_family != AF_UNIX && !inherited_has(at))
        setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int socket_connect_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

/* Usually costs one system call: the two ends rarely have the same port. */
bool socket_reached_itself(int fd, const struct address *to)
{
    struct address own = {.len = sizeof(own.sa)}, peer = own;
    const struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (to->sa.ss_family == AF_UNIX || getsockname(fd, (struct sockaddr *)&own.sa, &own.len) < 0 ||
        address_port(&own) != address_port(to))
        return false;
    if (getpeername(fd, (struct sockaddr *)&peer.sa, &peer.len) < 0 ||
        !address_same_end((const struct sockaddr *)&own.sa, (const struct sockaddr *)&peer.sa))
        return false;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    return true;
}

const char *socket_remedy(int error, const struct address *to)
{
    static const struct {
        int error;
        const char *tcp, *local;
    } remedies[] = {
        {ECONNREFUSED, ": nothing listens there", ": no process listens on the socket"},
        {ENOENT, "", ": the app has not created the socket, or has created it elsewhere"},
        {EACCES, ": a firewall or a security policy forbids it",
         ": weir's user may not write to the socket or search its directory"},
        {EPERM, ": a firewall or a security policy forbids it", ": a security policy forbids it"},
        {ENETUNREACH, ": no route to this address", ""},
        {EHOSTUNREACH, ": no such host is reachable, or a firewall forbids it", ""},
        {ETIMEDOUT, ": the app does not accept connections, or packets are lost on the way", ""},
        {EAGAIN, "", ": its backlog is full, the app does not accept connections"},
        {EADDRNOTAVAIL, ": no local port is free (net.ipv4.ip_local_port_range)", ""},
        {EMFILE, ": raise the descriptor limit (ulimit -n)",
         ": raise the descriptor limit (ulimit -n)"},
        {ENFILE, ": the system has no free descriptors (fs.file-max)",
         ": the system has no free descriptors (fs.file-max)"},
    };

    for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
        if (remedies[i].error == error)
            return to->sa.ss_family == AF_UNIX ? remedies[i].local : remedies[i].tcp;
    }
    return "";
}

void socket_text(int fd, const struct address *at, char out[SOCKET_TEXT])
{
    struct address own = {.len = sizeof(own.sa)};
    const struct sockaddr_in *four = (const void *)&own.sa;
    const struct sockaddr_in6 *six = (const void *)&own.sa;
    char ip[INET6_ADDRSTRLEN] = "";

    snprintf(out, SOCKET_TEXT, "%s", at->text);
    if (at->sa.ss_family == AF_UNIX || getsockname(fd, (struct sockaddr *)&own.sa, &own.len) < 0)
        return;
    if (own.sa.ss_family == AF_INET) {
        inet_ntop(AF_INET, &four->sin_addr, ip, sizeof(ip));
        snprintf(out, SOCKET_TEXT, "%s:%u", ip, address_port(&own));
    } else {
        inet_ntop(AF_INET6, &six->sin6_addr, ip, sizeof(ip));
        snprintf(out, SOCKET_TEXT, "[%s]:%u", ip, address_port(&own));
    }
}
