/*
 * One stream socket with one libevent event for its whole life (edge-triggered, so that reading
 * never needs another epoll_ctl), its unread input and its unsent output. The part that client and
 * upstream connections have in common; it knows nothing of either. Loop thread only.
 *
 * Input is in the loop's scratch while a callback works on it. Input left after the callback
 * moves to a block of exactly its size, so an idle connection owns no buffer. Output is written
 * directly to the socket; what the kernel does not accept is kept in blocks, and writers check
 * conn_backlog() and stop at their own limit.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event_struct.h>

#include "common/check.h"
#include "common/span.h"
#include "proxy/loop.h"

struct conn;
struct conn_block; /* opaque: unsent bytes */

struct conn_handler {
    /* Something has happened: check the flags. */
    void (*on_event)(struct conn *c);
    /* The backlog has changed from `before`. May be NULL. Must not close the connection. */
    void (*on_backlog)(struct conn *c, size_t before);
    /* The same for the input that is kept between callbacks, `stash_size`. */
    void (*on_stash)(struct conn *c, size_t before);
};

struct conn {
    struct event event;
    struct loop *loop;
    const struct conn_handler *handler;
    int fd; /* -1: closed */
    enum loop_scratch scratch;
    bool readable; /* recv() may return something: no EAGAIN since the last edge */
    bool drained;  /* the last recv() was short, and no edge followed: most likely nothing new */
    bool writable; /* send() may accept something */
    bool watching_room; /* the event has EV_WRITE */
    bool hung_up;       /* the peer has sent its FIN; unread bytes may precede it */
    bool broken;        /* reset or failed: nothing is sent; received bytes may still be readable */
    bool cut;           /* broken before the peer's FIN: an end of input is not that FIN */
    bool input_saved;   /* input is in `stash`, not in the scratch */
    struct loop_tenant tenant;
    struct span in; /* unread input */
    char *stash;
    size_t stash_size;
    struct conn_block *out_first, *out_last;
    size_t backlog; /* bytes in those blocks */
};

/*
 * Takes the descriptor and starts watching it. False: libevent failed, errno has the reason; the
 * descriptor is closed.
 * `connecting`: the first EV_WRITE reports that it is connected. Otherwise EV_WRITE is watched only
 * after a send has found no room. If it were watched from the start, it would be reported at once:
 * a connection would enter epoll's ready list before its first byte has arrived, and overtake those
 * whose bytes have; and a Unix socket would report it again each time its peer reads.
 */
MUST_USE bool conn_open(struct conn *c, struct loop *lp, int fd, enum loop_scratch scratch,
                        const struct conn_handler *handler, bool connecting);

/* Closes at once; unsent output is lost. With `reset`, the peer gets an RST. Idempotent. */
void conn_close(struct conn *c, bool reset);

/* ---- input ---- */

enum conn_fill {
    CONN_GOT,  /* there is more input than before */
    CONN_WAIT, /* nothing now; on_event follows */
    CONN_EOF,  /* the peer's FIN: no more input will arrive */
    CONN_LOST, /* reset or another error, now or earlier; c->broken and c->cut are set */
    CONN_FULL, /* `most` bytes are already unread */
};

/* Reads once into the scratch, after any input already there, up to a total of `most` unread bytes
 * (LOOP_SCRATCH at most). Moves c->in: earlier spans into it become invalid. */
enum conn_fill conn_fill(struct conn *c, size_t most);

/*
 * Whether something may have arrived that has not been read. A short read has emptied the socket,
 * so a reader that has all it needs does not read again; but data and an RST may share one edge,
 * and libevent reports an error only as "readable": a reader that wants more must fill until
 * CONN_WAIT.
 */
static inline bool conn_has_event(const struct conn *c)
{
    return c->readable && (!c->drained || c->hung_up);
}

/* Drops the first `n` bytes of the input; they stay readable until the next conn_fill() or
 * conn_save_input(). */
void conn_consume(struct conn *c, size_t n);

/* Called at the end of a callback: moves unread input out of the scratch. */
void conn_save_input(struct conn *c);

/* Checks the socket for a pending error (an RST while nothing is read); sets `broken`. */
bool conn_check_broken(struct conn *c);

/* Checks what has arrived without reading it: a FIN sets `hung_up`, an error `broken`. False:
 * nothing has. One system call, or two if unread bytes may hide an error. */
bool conn_peek(struct conn *c);

/* Sets `hung_up` if the peer's FIN has arrived, even after unread bytes; one system call. */
void conn_look_for_end(struct conn *c);

/* ---- output ---- */

#define CONN_PIECES 4

/* Sends the pieces, CONN_PIECES at most, in order and in one system call if possible; keeps what is
 * not accepted. Each may be empty. False: the connection is broken. */
MUST_USE bool conn_send_pieces(struct conn *c, const struct span *pieces, size_t n);

/* The same for two pieces. */
MUST_USE bool conn_send(struct conn *c, struct span a, struct span b);

/* Sends as much of the backlog as the socket accepts. False: the connection is broken. */
MUST_USE bool conn_flush(struct conn *c);

static inline size_t conn_backlog(const struct conn *c)
{
    return c->backlog;
}

/* Bytes in the kernel that the peer has not received: fewer than before means progress. */
size_t conn_unacked(const struct conn *c);

/*
 * When to check a peer that holds up output and whose `patience` ends at `due`. The kernel reports
 * room only when a good part of the buffer is free, so a slow reader makes progress that no edge
 * reports. In addition, the peer's kernel at first accepts the bytes in transit, although the peer
 * reads nothing: a single check at the end would double the time allowed to a peer that never
 * reads.
 */
mono_us conn_next_look(const struct conn *c, mono_us patience, mono_us due);

/* Sends a FIN after the bytes sent so far. */
void conn_shutdown(struct conn *c);
