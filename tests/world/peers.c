/*
 * See peers.h. Replaces connect() and the clock (common/clock.c is not linked), records SO_LINGER,
 * which a Unix socket ignores, and makes the kernel's randomness constant: a run depends on its
 * input only.
 */
#include "tests/world/peers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/check.h"

#define START_US    INT64_C(1000000000)
#define WALL_US     INT64_C(1700000000000000)
#define BYTES_MAX   (160 * 1024)
#define SMALL       4096 /* weir's send buffers: slow readers matter soon */
#define JUNK_AT_MAX 64

struct peers peers;

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags);

mono_us clock_mono(void)
{
    return peers.now;
}

wall_us clock_wall(void)
{
    return peers.now + WALL_US;
}

ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags)
{
    (void)flags;
    memset(to, 0x55, len);
    return (ssize_t)len;
}

static void make_pair(int pair[2])
{
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(__real_setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &(int){SMALL}, sizeof(int)) == 0);
}

static void peer_init(struct peer *p, int fd, int weir_fd)
{
    *p = (struct peer){
        .fd = fd, .weir_fd = weir_fd, .reads = true, .alive = SIZE_MAX, .moved = peers.now};
}

/* ---- clients ---- */

int peers_client(void)
{
    int pair[2];

    if (peers.n_clients == PEERS_CLIENTS)
        return -1;
    make_pair(pair);
    peer_init(&peers.clients[peers.n_clients++], pair[0], pair[1]);
    return pair[1];
}

/* ---- the app ---- */

/* No room to write: to epoll, it is a connection in progress. */
static size_t fill(int fd)
{
    static const char junk[SMALL];
    size_t all = 0;

    for (int i = 0; i < JUNK_AT_MAX; i++) {
        ssize_t n = send(fd, junk, sizeof(junk), MSG_NOSIGNAL);
        if (n <= 0)
            break;
        all += (size_t)n;
    }
    return all;
}

static int fail(int why)
{
    errno = why;
    return -1;
}

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    enum peers_connect how = peers.next_connect;
    int pair[2];

    (void)sa;
    (void)len;
    peers.next_connect = PEERS_CONNECT;
    if (peers.away || how == PEERS_CONNECT_REFUSED || peers.n_apps == PEERS_APPS)
        return fail(ECONNREFUSED);
    if (how == PEERS_CONNECT_FULL)
        return fail(EAGAIN);
    if (how == PEERS_CONNECT_NO_ADDRESS)
        return fail(EADDRNOTAVAIL);
    make_pair(pair);
    CHECK(dup3(pair[1], fd, O_CLOEXEC) == fd);
    close(pair[1]);
    struct peer_app *a = &peers.apps[peers.n_apps++];
    *a = (struct peer_app){.junk = 0};
    peer_init(&a->peer, pair[0], fd);
    if (how != PEERS_CONNECT_LATER)
        return 0;
    a->junk = fill(fd);
    return fail(EINPROGRESS);
}

void peers_accept(struct peer_app *a)
{
    char junk[SMALL];

    while (a->junk > 0) {
        size_t want = a->junk < sizeof(junk) ? a->junk : sizeof(junk);
        ssize_t n = recv(a->peer.fd, junk, want, 0);
        if (n <= 0)
            break;
        a->junk -= (size_t)n;
    }
    a->junk = 0;
}

/* The peer of a descriptor of weir's; the newest, since descriptors are reused. */
static struct peer *peer_of_weir_fd(int fd)
{
    for (size_t i = peers.n_clients; i-- > 0;) {
        if (peers.clients[i].weir_fd == fd)
            return &peers.clients[i];
    }
    return NULL;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    struct peer *p = level == SOL_SOCKET && name == SO_LINGER ? peer_of_weir_fd(fd) : NULL;

    if (p != NULL && !p->ended)
        p->was_reset = true;
    return __real_setsockopt(fd, level, name, value, len);
}

/* ---- actions of both ---- */

void peers_send(struct peer *p, struct span bytes)
{
    if (bytes.len > peers.budget)
        bytes.len = peers.budget;
    if (p->fd < 0 || p->half_closed || bytes.len == 0)
        return;
    ssize_t n = send(p->fd, bytes.at, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n <= 0)
        return;
    strbuf_add(&p->sent, bytes.at, (size_t)n);
    peers.budget -= (size_t)n;
    p->moved = peers.now;
}

/* Bytes in its socket were sent to it, and a close discards them; weir then sees a reset and not an
 * end. True: there are some. */
static bool look_at_unread(struct peer *p)
{
    static char unread[BYTES_MAX];
    ssize_t n = p->ended ? 0 : recv(p->fd, unread, sizeof(unread), MSG_PEEK | MSG_DONTWAIT);

    if (n > 0 && !p->reads)
        strbuf_add(&p->got, unread, (size_t)n);
    return n > 0;
}

void peers_close(struct peer *p)
{
    if (p->fd < 0)
        return;
    /* A request and a reset are one edge, which reports only the request (EPOLLERR). */
    bool resets = look_at_unread(p);
    if (!p->half_closed && !resets)
        p->alive = p->told;
    p->one_edge = resets && p->told < p->sent.len;
    p->cut = resets && !p->half_closed;
    close(p->fd);
    p->fd = -1;
    if (p->left == 0)
        p->left = peers.now;
}

void peers_half_close(struct peer *p)
{
    if (p->fd < 0 || p->half_closed)
        return;
    shutdown(p->fd, SHUT_WR);
    p->half_closed = true;
    p->alive = p->told;
    if (p->left == 0)
        p->left = peers.now;
}

static void has_ended(struct peer *p, ssize_t n)
{
    if (p->ended)
        return;
    p->ended = true;
    p->in_time = p->sent.len;
    if (n < 0)
        p->was_reset = true;
    if (p->left == 0)
        p->left = peers.now;
}

bool peers_is_over(const struct peer *p)
{
    struct pollfd look = {.fd = p->fd, .events = 0};

    return p->fd < 0 || p->ended || (poll(&look, 1, 0) == 1 && (look.revents & POLLHUP) != 0);
}

size_t peers_receive(struct peer *p, size_t most)
{
    char chunk[8192];
    size_t all = 0;

    while (p->fd >= 0 && !p->ended && all < most) {
        size_t want = most - all < sizeof(chunk) ? most - all : sizeof(chunk);
        ssize_t n = recv(p->fd, chunk, want, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) {
            has_ended(p, n);
            return all + 1;
        }
        strbuf_add(&p->got, chunk, (size_t)n);
        all += (size_t)n;
        p->moved = peers.now;
    }
    return all;
}

void peers_before_turn(void)
{
    for (size_t i = 0; i < peers.n_clients; i++)
        peers.clients[i].told = peers.clients[i].sent.len;
}

bool peers_move(void)
{
    bool moved = false;

    for (size_t i = 0; i < peers.n_clients; i++) {
        struct peer *p = &peers.clients[i];
        moved = (p->reads && peers_receive(p, SIZE_MAX) > 0) || moved;
        if (p->left == 0 && !p->reads && peers_is_over(p))
            p->left = peers.now;
    }
    for (size_t i = 0; i < peers.n_apps; i++) {
        struct peer_app *a = &peers.apps[i];
        moved = (a->peer.reads && a->junk == 0 && peers_receive(&a->peer, SIZE_MAX) > 0) || moved;
    }
    return moved;
}

void peers_read_all(void)
{
    for (size_t i = 0; i < peers.n_clients; i++)
        peers.clients[i].reads = true;
    for (size_t i = 0; i < peers.n_apps; i++)
        peers.apps[i].peer.reads = true;
    while (peers_move())
        continue;
}

/* ---- a world ---- */

void peers_begin(void)
{
    peers.now = START_US;
    peers.next_connect = PEERS_CONNECT;
    peers.away = false;
    peers.n_clients = peers.n_apps = 0;
    peers.budget = BYTES_MAX;
}

static void peer_fini(struct peer *p)
{
    peers_close(p);
    strbuf_fini(&p->sent);
    strbuf_fini(&p->got);
}

void peers_end(void)
{
    for (size_t i = 0; i < peers.n_clients; i++)
        peer_fini(&peers.clients[i]);
    for (size_t i = 0; i < peers.n_apps; i++)
        peer_fini(&peers.apps[i].peer);
}
