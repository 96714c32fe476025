/*
 * See socket_queues.h. The kernel goes through the sockets of the network namespace and sends those
 * asked for, a buffer at a time. For TCP it compares the port, and reports how much each connection
 * has received: with what is unread, this is how much has been read. For Unix sockets it sends all,
 * and the names are compared here.
 */
#include "proxy/socket_queues.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <linux/unix_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define BUFFER_BYTES 32768
#define BUFFERS_MAX  1000  /* of one look */
#define LARGE_BYTES  32768 /* a body that the app reads later, or slowly */
#define REST_BYTES   4096  /* the same, of a request whose beginning it has read */
#define REST_MAX_US  1000000
#define REST         50 /* times what a look takes */
#define ESTABLISHED  1  /* states, of TCP and of Unix sockets */
#define CLOSE_WAIT   8
#define LISTENING    10
#define STATE_BIT(s) (1u << (s))

#define ATTRIBUTE_HEAD ((ptrdiff_t)sizeof(struct nlattr))

struct socket_queues {
    int fd;     /* -1: there is none */
    bool local; /* `at` is an address of this machine */
    struct address at;
    uint32_t sequence;
    mono_us rest; /* until then */
    union {
        struct nlmsghdr header; /* for its alignment */
        char bytes[BUFFER_BYTES];
    } in;
};

/* Only an address of this machine can be bound. */
static bool is_local(const struct address *at)
{
    struct sockaddr_storage sa = at->sa;
    int family = sa.ss_family;

    if (family == AF_UNIX)
        return true;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (family == AF_INET)
        ((struct sockaddr_in *)&sa)->sin_port = 0;
    else
        ((struct sockaddr_in6 *)&sa)->sin6_port = 0;
    bool bound = bind(fd, (const struct sockaddr *)&sa, at->len) == 0;
    close(fd);
    return bound;
}

struct socket_queues *socket_queues_new(const struct address *at)
{
    struct socket_queues *q = calloc(1, sizeof(*q));

    CHECK(q != NULL);
    q->at = *at;
    q->local = is_local(at);
    q->fd = q->local
                ? socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG)
                : -1;
    return q;
}

void socket_queues_free(struct socket_queues *q)
{
    if (q == NULL)
        return;
    if (q->fd >= 0)
        close(q->fd);
    free(q);
}

/* ---- the question ---- */

/* The older form of the question is for both IPv4 and IPv6, which an app may use for either. */
static bool ask_inet(struct socket_queues *q, unsigned states)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req req;
    } out = {
        .header = {.nlmsg_len = sizeof(out),
                   .nlmsg_type = TCPDIAG_GETSOCK,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                   .nlmsg_seq = ++q->sequence},
        .req = {.idiag_family = AF_INET,
                .idiag_states = states,
                .idiag_ext = 1u << (INET_DIAG_INFO - 1),
                .id = {.idiag_sport = htons((uint16_t)address_port(&q->at))}},
    };

    return send(q->fd, &out, sizeof(out), 0) == (ssize_t)sizeof(out);
}

static bool ask_unix(struct socket_queues *q, unsigned states)
{
    struct {
        struct nlmsghdr header;
        struct unix_diag_req req;
    } out = {
        .header = {.nlmsg_len = sizeof(out),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                   .nlmsg_seq = ++q->sequence},
        .req = {.sdiag_family = AF_UNIX,
                .udiag_states = states,
                .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_RQLEN},
    };

    return send(q->fd, &out, sizeof(out), 0) == (ssize_t)sizeof(out);
}

/* ---- one socket ---- */

/* The attribute `type` behind the first `skip` bytes of a message, if it has at least `size`. */
static const void *attribute(const struct nlmsghdr *h, size_t skip, unsigned type, size_t size,
                             size_t *len)
{
    const char *at = (const char *)h + NLMSG_HDRLEN + NLMSG_ALIGN(skip);
    const char *end = (const char *)h + h->nlmsg_len;

    while (end - at >= ATTRIBUTE_HEAD) {
        struct nlattr a;
        memcpy(&a, at, sizeof(a));
        if (a.nla_len < ATTRIBUTE_HEAD || a.nla_len > end - at)
            return NULL;
        *len = (size_t)(a.nla_len - ATTRIBUTE_HEAD);
        if (a.nla_type == type)
            return *len >= size ? at + ATTRIBUTE_HEAD : NULL;
        at += (a.nla_len + 3) & ~3;
    }
    return NULL;
}

static void add_unread(struct socket_queues_reading *out, bool accepted, uint64_t mark)
{
    if (accepted)
        out->unread++;
    if (out->marks < SOCKET_QUEUES_MARKS)
        out->mark[out->marks++] = mark;
}

/* Different for different connections, states of them, and numbers of bytes that were read. */
static uint64_t mark_of(const uint32_t cookie[2], bool accepted, uint64_t read)
{
    uint64_t z = ((uint64_t)cookie[1] << 32 | cookie[0]) * 2 + accepted;

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) + read;
}

/* Whether so many unread bytes are likely to include the head of a request. `begun`: some bytes
 * have been read from this connection, of this request or of one before. */
static bool is_request(uint32_t unread, bool begun)
{
    return unread > 0 && unread < (begun ? REST_BYTES : LARGE_BYTES);
}

/* Whether the socket's own address is that of the app, which may be IPv4 within IPv6; a listening
 * socket's may be any. */
static bool is_at(const struct address *at, const struct inet_diag_msg *m)
{
    sa_family_t family;
    const uint8_t *ip = address_ip((const struct sockaddr *)&at->sa, &family);
    const uint8_t *own = (const uint8_t *)m->id.idiag_src;
    static const uint8_t any[16], mapped[12] = {[10] = 0xff, [11] = 0xff};
    size_t len = m->idiag_family == AF_INET ? 4 : 16;

    if (ip == NULL)
        return false;
    if (m->idiag_state == LISTENING && memcmp(own, any, len) == 0)
        return family == AF_INET || len == 16;
    if (len == 16 && family == AF_INET)
        return memcmp(own, mapped, sizeof(mapped)) == 0 && memcmp(own + 12, ip, 4) == 0;
    return len == (family == AF_INET ? 4u : 16u) && memcmp(own, ip, len) == 0;
}

static void read_inet(const struct socket_queues *q, const struct nlmsghdr *h,
                      struct socket_queues_reading *out)
{
    const size_t wanted = offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(uint64_t);
    struct inet_diag_msg m;
    uint64_t received = 0;
    size_t len;

    if (h->nlmsg_len < NLMSG_LENGTH(sizeof(m)))
        return;
    memcpy(&m, (const char *)h + NLMSG_HDRLEN, sizeof(m));
    if (ntohs(m.id.idiag_sport) != address_port(&q->at) || !is_at(&q->at, &m))
        return;
    if (m.idiag_state == LISTENING) {
        out->told = true;
        out->accept_queue += m.idiag_rqueue;
        return;
    }
    const char *info = attribute(h, sizeof(m), INET_DIAG_INFO, wanted, &len);
    if (info != NULL)
        memcpy(&received, info + wanted - sizeof(received), sizeof(received));
    /* The kernel counts the end of what the client sends as a byte. */
    uint32_t unread = m.idiag_rqueue - (m.idiag_state == CLOSE_WAIT && m.idiag_rqueue > 0);
    if (!is_request(unread, received > m.idiag_rqueue))
        return;
    add_unread(out, m.idiag_inode != 0,
               mark_of(m.id.idiag_cookie, m.idiag_inode != 0, received - m.idiag_rqueue));
}

/* A connection that is not accepted has no inode of its own, and is in its listener's number. */
static void read_unix(const struct socket_queues *q, const struct nlmsghdr *h,
                      struct socket_queues_reading *out)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&q->at.sa;
    struct unix_diag_rqlen queue;
    struct unix_diag_msg m;
    size_t len, queue_len, path = strlen(un->sun_path);

    if (h->nlmsg_len < NLMSG_LENGTH(sizeof(m)))
        return;
    memcpy(&m, (const char *)h + NLMSG_HDRLEN, sizeof(m));
    const char *name = attribute(h, sizeof(m), UNIX_DIAG_NAME, path, &len);
    const void *rq = attribute(h, sizeof(m), UNIX_DIAG_RQLEN, sizeof(queue), &queue_len);
    if (name == NULL || rq == NULL || memcmp(name, un->sun_path, path) != 0 ||
        (len > path && name[path] != '\0'))
        return;
    memcpy(&queue, rq, sizeof(queue));
    if (m.udiag_state == LISTENING) {
        out->told = true;
        out->accept_queue += queue.udiag_rqueue;
    } else if (is_request(queue.udiag_rqueue, m.udiag_ino != 0)) {
        add_unread(out, m.udiag_ino != 0, mark_of(m.udiag_cookie, m.udiag_ino != 0, 0));
    }
}

/* ---- the response ---- */

enum more { MORE, DONE, FAILED };

static enum more read_buffer(struct socket_queues *q, size_t n, struct socket_queues_reading *out)
{
    const char *at = q->in.bytes;

    while (n >= sizeof(struct nlmsghdr)) {
        const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)at;
        if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > n || h->nlmsg_type == NLMSG_ERROR)
            return FAILED;
        if (h->nlmsg_seq == q->sequence && h->nlmsg_type == NLMSG_DONE)
            return DONE;
        if (h->nlmsg_seq == q->sequence && q->at.sa.ss_family == AF_UNIX)
            read_unix(q, h, out);
        else if (h->nlmsg_seq == q->sequence)
            read_inet(q, h, out);
        size_t step = NLMSG_ALIGN(h->nlmsg_len);
        at += step < n ? step : n;
        n -= step < n ? step : n;
    }
    return MORE;
}

/* All of it is there: the kernel writes it while it is asked and read. */
static bool read_all(struct socket_queues *q, struct socket_queues_reading *out)
{
    for (int i = 0; i < BUFFERS_MAX; i++) {
        ssize_t n = recv(q->fd, q->in.bytes, sizeof(q->in.bytes), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        enum more more = read_buffer(q, (size_t)n, out);
        if (more != MORE)
            return more == DONE;
    }
    return false;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void look(struct socket_queues *q, unsigned states, struct socket_queues_reading *out)
{
    bool local = q->at.sa.ss_family == AF_UNIX;

    out->told = false;
    out->accept_queue = out->unread = 0;
    out->marks = 0;
    bool asked = q->fd >= 0 && (local ? ask_unix(q, states) : ask_inet(q, states));
    if (!asked || !read_all(q, out))
        out->told = false;
    if (!out->told) {
        out->accept_queue = out->unread = 0;
        out->marks = 0;
    }
    qsort(out->mark, out->marks, sizeof(out->mark[0]), by_value);
}

/* Of this thread: a look that is interrupted by others has not cost more. */
static mono_us cpu_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (mono_us)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

bool socket_queues_look(struct socket_queues *q, bool connections,
                        struct socket_queues_reading *out)
{
    mono_us begun = cpu_time();

    if (clock_mono() < q->rest)
        return false;
    look(q,
         STATE_BIT(LISTENING) | (connections ? STATE_BIT(ESTABLISHED) | STATE_BIT(CLOSE_WAIT) : 0),
         out);
    mono_us rest = (cpu_time() - begun) * REST;
    q->rest = clock_mono() + (rest < REST_MAX_US ? rest : REST_MAX_US);
    return true;
}
