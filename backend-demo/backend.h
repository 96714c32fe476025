/*
 * The server: one event loop with libevhtp, one thread pool, the requests inside, and their
 * metrics. Everything runs on the loop's thread, except the handlers of ROUTE_POOL.
 *
 * A request is inside from the moment it has been read whole until its handler has finished, even
 * if its client has left long before: Starlette runs a handler to its end, too.
 */
#pragma once

#include <stdbool.h>

#include <evhtp/evhtp.h>

#include "backend-demo/pool.h"
#include "backend-demo/routes.h"
#include "common/strbuf.h"

struct backend; /* opaque: defined in backend.c */

/* One request inside. Owned by the backend; freed after its handler has responded. */
struct call {
    struct backend *backend;
    const struct route *route;
    evhtp_request_t *req; /* evhtp's; NULL once freed. Not for handlers in the pool */
    struct params params;
    struct strbuf body;  /* of the response; the handler fills it */
    const char *type;    /* of the response: a constant, application/json by default */
    struct event *timer; /* for a handler that waits on the loop, and its callback */
    void (*waited)(struct call *c);
    mono_us entered;
    struct pool_job job; /* for a handler in the pool */
    bool handling;       /* the handler's first call has not returned yet */
    bool responded;
    TAILQ_ENTRY(call) link;
};

/* Listens on `fd`, a bound socket, which becomes the backend's. NULL: see errno. */
MUST_USE struct backend *backend_new(const struct settings *s, int fd);
void backend_free(struct backend *b);

/*
 * Serves until SIGTERM or SIGINT, then finishes the calls inside, for 30 s at most; a second signal
 * ends it at once. False: some calls were left unfinished.
 */
MUST_USE bool backend_run(struct backend *b);

/* ---- for the handlers ----------------------------------------------------------------------- */

/*
 * Ends a call of ROUTE_LOOP with this status and c->body; *c must not be used afterwards. A handler
 * of ROUTE_POOL just returns: its response is 200 with c->body.
 */
void call_respond(struct call *c, evhtp_res status);

/* Calls `fn` on the loop after the time in the parameter `ms`. */
void call_wait(struct call *c, void (*fn)(struct call *c));

/* For handlers in the pool: sleeps for the time in `ms`. */
void call_sleep(struct call *c);

/* Uses `cpu_ms` of processor time on this thread. */
void call_work(const struct call *c);

/* Writes { members } into the body, with the padding given by `bytes`. */
void call_write(struct call *c, struct span members);

void backend_write_metrics(struct backend *b, struct strbuf *out);
void backend_reset(struct backend *b); /* restarts the maxima from the calls inside now */
