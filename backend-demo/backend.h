/*
 * The server: one loop with libevhtp on it, one pool of threads, the requests inside, and what is
 * measured of them. All on the loop's thread, but for the handlers of ROUTE_POOL.
 *
 * A request is inside from the moment it has been read whole until its handler has finished, also
 * when its client has long left: Starlette runs a handler to its end, too.
 */
#pragma once

#include <stdbool.h>

#include <evhtp/evhtp.h>

#include "backend-demo/pool.h"
#include "backend-demo/routes.h"
#include "common/strbuf.h"

struct backend; /* opaque: defined in backend.c */

/* One request inside. Owned by the backend; gone when its handler has answered. */
struct call {
    struct backend *backend;
    const struct route *route;
    evhtp_request_t *req; /* evhtp's; NULL once it is gone. Not for handlers in the pool */
    struct params params;
    struct strbuf body;  /* of the answer: the handler's to fill */
    const char *type;    /* of the answer: a constant; application/json at first */
    struct event *timer; /* of a handler that waits on the loop, and what it does then */
    void (*waited)(struct call *c);
    mono_us entered;
    struct pool_job job; /* of a handler in the pool */
    bool handling;       /* the handler's first call has not returned yet */
    bool responded;
    TAILQ_ENTRY(call) link;
};

/* Listens on `fd`, a bound socket, which becomes the backend's. NULL: errno tells. */
MUST_USE struct backend *backend_new(const struct settings *s, int fd);
void backend_free(struct backend *b);

/*
 * Serves until SIGTERM or SIGINT, then finishes what is inside, for 30 s at most; a second signal
 * ends it at once. False: something had to be left unfinished.
 */
MUST_USE bool backend_run(struct backend *b);

/* ---- for the handlers ----------------------------------------------------------------------- */

/*
 * Ends a call of ROUTE_LOOP with this status and c->body; *c is not to be touched after it. A
 * handler of ROUTE_POOL only returns: its answer is 200 and c->body.
 */
void call_respond(struct call *c, evhtp_res status);

/* Calls `fn` with the call on the loop, as late as its parameter `ms` says. */
void call_wait(struct call *c, void (*fn)(struct call *c));

/* For handlers in the pool: sleeps as long as `ms` says. */
void call_sleep(struct call *c);

/* Uses as much processor time as `cpu_ms` says, on this thread. */
void call_work(const struct call *c);

/* Writes { members } into the body, with the padding that `bytes` asks for. */
void call_write(struct call *c, struct span members);

void backend_write_metrics(struct backend *b, struct strbuf *out);
void backend_reset(struct backend *b); /* the maxima start again from what is inside now */
