/*
 * One stream socket with its one libevent event for its whole life (edge-triggered, so that reading
 * never needs another epoll_ctl), its unread input and its unsent output. What a client and an
 * upstream connection have in common; knows neither. Loop thread only.
 *
 * Input lies in the loop's scratch while a callback works on it, and moves to a block of exactly
 * its size when the callback is over and something is left: an idle connection owns no buffer.
 * Output goes straight to the socket; what the kernel does not take is kept in blocks, and whoever
 * writes looks at conn_backlog() and stops at its mark.
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
    /* Something has come up: look at the flags. */
    void (*on_event)(struct conn *c);
    /* The backlog was `before` and is another now. May be NULL. Must not close the connection. */
    void (*on_backlog)(struct conn *c, size_t before);
    /* The same of the input that is kept between callbacks, `stash_size`. */
    void (*on_stash)(struct conn *c, size_t before);
};

struct conn {
    struct event event;
    struct loop *loop;
    const struct conn_handler *handler;
    int fd; /* -1: closed */
    enum loop_scratch scratch;
    bool readable; /* a recv may bring something: not since it last said EAGAIN */
    bool drained; /* the last recv was short and no edge has come since: nothing new, most likely */
    bool writable;      /* a send may take something */
    bool watching_room; /* the event has EV_WRITE */
    bool hung_up;       /* the peer has sent its FIN; unread bytes may come before it */
    bool broken;      /* reset, or in error: nothing goes out; what had come in may still be read */
    bool cut;         /* and that before the peer's own end: an end that is read is not its FIN */
    bool input_saved; /* input lies in `stash`, not in the scratch */
    struct loop_tenant tenant;
    struct span in; /* unread input */
    char *stash;
    size_t stash_size;
    struct conn_block *out_first, *out_last;
    size_t backlog; /* bytes in those blocks */
};

/*
 * Takes the descriptor and starts watching it. False: libevent could not, errno tells why; the
 * descriptor is closed.
 * `connecting`: it is not connected yet, and its first EV_WRITE tells. Else room to write is
 * watched only from the first time that there was none: epoll would report it at once, and a
 * connection would stand in its ready list before its first byte has come, and overtake those that
 * have; and a Unix socket reports it again each time its peer reads.
 */
MUST_USE bool conn_open(struct conn *c, struct loop *lp, int fd, enum loop_scratch scratch,
                        const struct conn_handler *handler, bool connecting);

/* Closes at once, what is unsent is lost. With `reset` the peer gets an RST. Idempotent. */
void conn_close(struct conn *c, bool reset);

/* ---- input ---- */

enum conn_fill {
    CONN_GOT,  /* there is more input than before */
    CONN_WAIT, /* nothing now; on_event will come */
    CONN_EOF,  /* the peer's FIN: no more input will ever come */
    CONN_LOST, /* reset or another error, now or before; c->broken and c->cut are set */
    CONN_FULL, /* there are `most` unread bytes already */
};

/*
 * Reads once behind the present input, into the scratch, until there are `most` unread bytes (no
 * more than LOOP_SCRATCH). Moves c->in: old spans into it are void.
 */
enum conn_fill conn_fill(struct conn *c, size_t most);

/*
 * Whether something may have come that nobody has looked at. A short read has emptied the socket,
 * so whoever has all that it wanted need not ask again; but data and an RST may share one edge, and
 * libevent tells an error only as "readable": who still wants more must fill until CONN_WAIT.
 */
static inline bool conn_has_event(const struct conn *c)
{
    return c->readable && (!c->drained || c->hung_up);
}

/* Drops the first `n` bytes of the input; they stay readable until the next fill or settle. */
void conn_consume(struct conn *c, size_t n);

/* To be called when a callback is over: unread input moves out of the scratch. */
void conn_save_input(struct conn *c);

/* The socket's pending error is looked for (an RST while nobody reads); sets `broken`. */
bool conn_check_broken(struct conn *c);

/*
 * Looks what waits in the socket without reading it: a FIN sets `hung_up`, an error `broken`.
 * False: nothing waits there. One syscall, two where unread bytes may hide an error.
 */
bool conn_peek(struct conn *c);

/* ---- output ---- */

#define CONN_PIECES 4

/*
 * Sends the pieces, CONN_PIECES at most, one behind the other and in one syscall where possible;
 * keeps what is not taken. Any of them may be empty. False: the connection is broken.
 */
MUST_USE bool conn_send_pieces(struct conn *c, const struct span *pieces, size_t n);

/* The same of two. */
MUST_USE bool conn_send(struct conn *c, struct span a, struct span b);

/* Sends of the backlog what the socket takes. False: the connection is broken. */
MUST_USE bool conn_flush(struct conn *c);

static inline size_t conn_backlog(const struct conn *c)
{
    return c->backlog;
}

/* Bytes that the kernel holds because the peer has not taken them: less than before is progress. */
size_t conn_unacked(const struct conn *c);

/*
 * When to look at a peer that is in the way and has until `due` of its `patience`. Room in the
 * socket is told only when a good part is free, so a slow reader makes progress that no edge tells;
 * and its kernel takes what was on the way at first, which is no reading: looked at only in the
 * end, that would double the time of who never reads.
 */
mono_us conn_next_look(const struct conn *c, mono_us patience, mono_us due);

/* FIN after what was sent. */
void conn_shutdown(struct conn *c);
