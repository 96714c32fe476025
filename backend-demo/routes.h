/*
 * The backend's interface: settings from the environment, the table of paths, the parameters of a
 * query. Pure: no loop, no sockets, no state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "backend-demo/pool.h"
#include "common/check.h"
#include "common/span.h"
#include "common/strbuf.h"

struct call; /* one request inside: backend.h */

/* ---- the environment ------------------------------------------------------------------------ */

struct settings {
    const char *listen; /* borrowed from the environment */
    unsigned pool_threads;
    enum thread_pool_order pool_order;
    unsigned usuarios_ms, produtos_ms, bloqueante_ms;
};

/*
 * Fills *s with the defaults, overridden by `get` (getenv in production). False: at least one value
 * is invalid, and `errors` has one line for each, naming the variable.
 */
MUST_USE bool settings_read(struct settings *s, char *(*get)(const char *name),
                            struct strbuf *errors);

/* The parts of --help on the environment and the paths. */
void settings_help(struct strbuf *out);

/* ---- the paths ------------------------------------------------------------------------------ */

/* The metrics label `handler`. HANDLER_NONE is for the demo's own pages, which are not counted:
 * reading the metrics would otherwise show up in them. */
enum handler {
    HANDLER_USUARIOS,
    HANDLER_PRODUTOS,
    HANDLER_BLOQUEANTE,
    HANDLER_PING,
    HANDLER_ECHO,
    HANDLER_OTHER, /* no such path */
    HANDLERS,
    HANDLER_NONE = HANDLERS,
};

enum method_set { METHODS_READ /* GET, HEAD */, METHODS_POST, METHODS_ANY };

enum route_kind {
    ROUTE_LOOP, /* `handle` runs on the loop, as `async def` does */
    ROUTE_POOL, /* `handle` runs in a thread of the pool, as plain `def` does */
};

struct route {
    const char *path;
    const char *name; /* of the handler, as in the metrics */
    enum handler handler;
    enum route_kind kind;
    enum method_set methods;
    unsigned parameters; /* 1 << PARAM_..., those allowed here */
    void (*handle)(struct call *c);
};

/* Never NULL: a path that is not in the table has a route of its own, which returns 404. */
const struct route *route_find(struct span path);
bool route_allows(const struct route *r, struct span method);
const char *route_allow_field(const struct route *r); /* for the Allow field of a 405 response */

const char *handler_name(enum handler h); /* below HANDLERS */

/* ---- the parameters ------------------------------------------------------------------------- */

enum parameter { PARAM_MS, PARAM_CPU_MS, PARAM_BYTES, PARAMS };

struct params {
    unsigned value[PARAMS]; /* ms to wait; cpu_ms to work; bytes of padding */
};

/* How long this route waits if the query does not say. */
unsigned route_default_ms(const struct route *r, const struct settings *s);

/*
 * Reads the query over the defaults in *p. Unknown names are ignored, as FastAPI does; a known one
 * with an invalid value, or on a path where it has no effect, is an error: false, and `error` names
 * it in one sentence.
 */
MUST_USE bool params_read(struct params *p, const struct route *r, struct span query,
                          struct strbuf *error);
