/* See conn.h. Owns the descriptor, the stash and the blocks. */
#include "proxy/conn.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <event2/event.h>

#define BLOCK_MIN    4096
#define BLOCK_MAX    16384 /* 50 KiB in one block of 64 KiB would waste a fifth */
#define FLUSH_BLOCKS 16
#define LOOKS        8 /* at a peer that reads nothing, within its timeout */

struct conn_block {
    struct conn_block *next;
    size_t size; /* as requested from the pool */
    size_t first, end;
    char bytes[];
};

/* ---- errors ---- */

/*
 * The kernel reports a reset once. It keeps one error per socket, and the first call that meets the
 * error clears it, whether recv(), send() or SO_ERROR; after that, recv() returns what had arrived
 * before and then 0, as after a FIN. So all three record the error here, and conn_fill() does not
 * trust an end of input after that.
 *
 * EPIPE does not set `cut`. On a TCP socket it means that the peer's FIN arrived first and its RST
 * later (CLOSE_WAIT), as when the peer has closed and is sent more: all bytes up to the FIN can be
 * read, and the end after them is the peer's own. After an RST that arrived first, all three calls
 * report ECONNRESET. On a Unix socket, EPIPE means that the peer has closed, and clears nothing:
 * recv() still returns ECONNRESET if the peer has left bytes of ours unread, and 0 if it has not.
 * (Linux 6.18; tests/unit/proxy/test_conn.c shows each case.)
 */
static void note_error(struct conn *c, int error)
{
    c->broken = true;
    if (error != EPIPE)
        c->cut = true;
}

/* ---- opening and closing ---- */

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    (void)fd;
    loop_tick(c->loop);
    if (what & EV_READ) {
        c->readable = true;
        c->drained = false;
    }
    if (what & EV_WRITE)
        c->writable = true;
    if (what & EV_CLOSED)
        c->hung_up = c->readable = true;
    c->handler->on_event(c);
}

static void evict(struct loop_tenant *tenant)
{
    conn_save_input(CONTAINER_OF(tenant, struct conn, tenant));
}

static bool watch(struct conn *c, bool room)
{
    short what = EV_READ | EV_CLOSED | EV_ET | EV_PERSIST;

    c->watching_room = room;
    if (room)
        what |= EV_WRITE;
    return event_assign(&c->event, loop_base(c->loop), c->fd, what, on_socket, c) == 0 &&
           event_add(&c->event, NULL) == 0;
}

/* At most once per connection. Adding the event again reports what is ready: no edge is lost. */
static void watch_room(struct conn *c)
{
    c->writable = false;
    if (c->watching_room)
        return;
    event_del(&c->event);
    if (!watch(c, true))
        c->broken = c->cut = true;
}

bool conn_open(struct conn *c, struct loop *lp, int fd, enum loop_scratch scratch,
               const struct conn_handler *handler, bool connecting)
{
    c->loop = lp;
    c->handler = handler;
    c->fd = fd;
    c->scratch = scratch;
    c->readable = false; /* input that has already arrived causes an edge at once */
    c->writable = !connecting;
    c->drained = c->hung_up = c->broken = c->cut = false;
    c->input_saved = true;
    c->tenant.evict = evict;
    c->in = (struct span){NULL, 0};
    c->stash = NULL;
    c->stash_size = 0;
    c->out_first = c->out_last = NULL;
    c->backlog = 0;
    if (watch(c, connecting))
        return true;
    int why = errno;
    close(fd);
    c->fd = -1;
    errno = why;
    return false;
}

static void stash_changed(struct conn *c, size_t before)
{
    if (c->stash_size != before && c->handler->on_stash != NULL)
        c->handler->on_stash(c, before);
}

static void drop_stash(struct conn *c)
{
    size_t before = c->stash_size;

    pool_put(loop_pool(c->loop), c->stash, c->stash_size);
    c->stash = NULL;
    c->stash_size = 0;
    stash_changed(c, before);
}

static void drop_first_block(struct conn *c)
{
    struct conn_block *b = c->out_first;

    c->out_first = b->next;
    if (c->out_first == NULL)
        c->out_last = NULL;
    pool_put(loop_pool(c->loop), b, b->size);
}

void conn_close(struct conn *c, bool reset)
{
    if (c->fd < 0)
        return;
    event_del(&c->event);
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    close(c->fd);
    c->fd = -1;
    loop_scratch_leave(c->loop, c->scratch, &c->tenant);
    drop_stash(c);
    c->in = (struct span){NULL, 0};
    while (c->out_first != NULL)
        drop_first_block(c);
    c->backlog = 0;
}

/* ---- input ---- */

/* Moves the input to the start of the scratch, so that a read can append to it. */
static void move_in(struct conn *c, char *scratch)
{
    loop_scratch_take(c->loop, c->scratch, &c->tenant);
    if (c->in.len > 0 && c->in.at != scratch)
        memmove(scratch, c->in.at, c->in.len);
    c->in.at = scratch;
    if (c->input_saved)
        drop_stash(c);
    c->input_saved = false;
}

static enum conn_fill fill_failed(struct conn *c)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        c->readable = false;
        return CONN_WAIT;
    }
    c->broken = c->cut = true;
    return CONN_LOST;
}

static enum conn_fill fill_ended(struct conn *c)
{
    if (c->cut)
        return CONN_LOST;
    c->hung_up = true;
    return CONN_EOF;
}

enum conn_fill conn_fill(struct conn *c, size_t most)
{
    CHECK(most <= LOOP_SCRATCH);
    if (!c->readable)
        return CONN_WAIT;
    if (c->in.len >= most)
        return CONN_FULL;

    char *scratch = loop_scratch(c->loop, c->scratch);
    move_in(c, scratch);
    size_t room = most - c->in.len;
    ssize_t n;
    do {
        n = recv(c->fd, scratch + c->in.len, room, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return fill_failed(c);
    if (n == 0)
        return fill_ended(c);
    c->in.len += (size_t)n;
    c->drained = (size_t)n < room;
    return CONN_GOT;
}

void conn_consume(struct conn *c, size_t n)
{
    CHECK(n <= c->in.len);
    c->in.at += n;
    c->in.len -= n;
}

void conn_save_input(struct conn *c)
{
    if (c->input_saved) {
        if (c->in.len == 0)
            drop_stash(c);
        return;
    }
    c->input_saved = true;
    if (c->in.len > 0) {
        c->stash_size = c->in.len;
        c->stash = pool_get(loop_pool(c->loop), c->stash_size);
        memcpy(c->stash, c->in.at, c->in.len);
        c->in.at = c->stash;
        stash_changed(c, 0);
    }
    loop_scratch_leave(c->loop, c->scratch, &c->tenant);
}

bool conn_check_broken(struct conn *c)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (c->broken)
        return true;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error != 0)
        note_error(c, error);
    return c->broken;
}

bool conn_peek(struct conn *c)
{
    char byte;

    if (c->broken || c->hung_up)
        return true;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return false;
    if (n == 0)
        c->hung_up = c->readable = true;
    else if (n < 0)
        c->broken = c->cut = true;
    else
        conn_check_broken(c);
    return true;
}

void conn_look_for_end(struct conn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

    if (!c->hung_up && poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP)) != 0)
        c->hung_up = true;
}

/* ---- output ---- */

static struct conn_block *block_new(struct conn *c, size_t need)
{
    size_t size = need + sizeof(struct conn_block);

    if (size < BLOCK_MIN)
        size = BLOCK_MIN;
    if (size > BLOCK_MAX)
        size = BLOCK_MAX;
    struct conn_block *b = pool_get(loop_pool(c->loop), size);
    b->next = NULL;
    b->size = size;
    b->first = b->end = 0;
    if (c->out_last == NULL)
        c->out_first = b;
    else
        c->out_last->next = b;
    c->out_last = b;
    return b;
}

static size_t block_room(const struct conn_block *b)
{
    return b->size - sizeof(*b) - b->end;
}

static void keep(struct conn *c, struct span s)
{
    c->backlog += s.len;
    while (s.len > 0) {
        struct conn_block *b = c->out_last;
        if (b == NULL || block_room(b) == 0)
            b = block_new(c, s.len);
        size_t n = s.len < block_room(b) ? s.len : block_room(b);
        memcpy(b->bytes + b->end, s.at, n);
        b->end += n;
        s.at += n;
        s.len -= n;
    }
}

/* Returns how many bytes of the pieces the socket accepts, or -1 with `broken` set. */
static ssize_t send_pieces(struct conn *c, struct iovec *iov, size_t n)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
    ssize_t sent;

    do {
        sent = n == 1 ? send(c->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                      : sendmsg(c->fd, &msg, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        watch_room(c);
        return 0;
    }
    note_error(c, errno);
    c->writable = false;
    c->readable = true;
    c->drained = false;
    return -1;
}

static struct iovec piece(struct span s)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)s.at, .iov_len = s.len};
}

static struct span after(struct span s, size_t n)
{
    if (n == 0)
        return s; /* s.at may be NULL, and adding 0 to that is undefined */
    return (struct span){s.at + n, s.len - n};
}

static void backlog_changed(struct conn *c, size_t before)
{
    if (c->backlog != before && c->handler->on_backlog != NULL)
        c->handler->on_backlog(c, before);
}

/* Keeps all but the first `sent` bytes of the pieces. */
static void keep_rest(struct conn *c, const struct span *pieces, size_t n, size_t sent)
{
    size_t before = c->backlog;

    for (size_t i = 0; i < n; i++) {
        size_t gone = sent < pieces[i].len ? sent : pieces[i].len;
        keep(c, after(pieces[i], gone));
        sent -= gone;
    }
    backlog_changed(c, before);
}

bool conn_send_pieces(struct conn *c, const struct span *pieces, size_t n)
{
    struct iovec iov[CONN_PIECES];
    size_t filled = 0, total = 0, sent = 0;

    CHECK(n <= CONN_PIECES);
    if (c->broken)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (pieces[i].len > 0)
            iov[filled++] = piece(pieces[i]);
        total += pieces[i].len;
    }
    if (total > 0 && c->backlog == 0 && c->writable) {
        ssize_t took = send_pieces(c, iov, filled);
        if (took < 0)
            return false;
        sent = (size_t)took;
        if (sent > 0 && sent < total)
            watch_room(c);
    }
    if (sent < total)
        keep_rest(c, pieces, n, sent);
    return true;
}

bool conn_send(struct conn *c, struct span a, struct span b)
{
    return conn_send_pieces(c, (const struct span[]){a, b}, 2);
}

static void backlog_sent(struct conn *c, size_t sent)
{
    c->backlog -= sent;
    while (sent > 0) {
        struct conn_block *b = c->out_first;
        CHECK(b != NULL);
        size_t held = b->end - b->first;
        if (sent < held) {
            b->first += sent;
            return;
        }
        sent -= held;
        drop_first_block(c);
    }
}

bool conn_flush(struct conn *c)
{
    size_t before = c->backlog;

    while (c->backlog > 0 && c->writable && !c->broken) {
        struct iovec iov[FLUSH_BLOCKS];
        size_t n = 0, total = 0;
        for (struct conn_block *b = c->out_first; b != NULL && n < FLUSH_BLOCKS; b = b->next) {
            iov[n++] = (struct iovec){b->bytes + b->first, b->end - b->first};
            total += b->end - b->first;
        }
        ssize_t took = send_pieces(c, iov, n);
        if (took < 0)
            break;
        backlog_sent(c, (size_t)took);
        if (took > 0 && (size_t)took < total)
            watch_room(c);
    }
    backlog_changed(c, before);
    return !c->broken;
}

size_t conn_unacked(const struct conn *c)
{
    int n = 0;

    if (ioctl(c->fd, SIOCOUTQ, &n) < 0 || n < 0)
        return 0;
    return (size_t)n;
}

mono_us conn_next_look(const struct conn *c, mono_us patience, mono_us due)
{
    mono_us next = loop_now(c->loop) + patience / LOOKS;
    return next < due ? next : due;
}

void conn_shutdown(struct conn *c)
{
    if (c->fd >= 0)
        shutdown(c->fd, SHUT_WR);
}
