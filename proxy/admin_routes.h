/*
 * The pages of the admin port: their paths, the methods that each accepts, and what each responds.
 * Knows neither connections nor evhtp. Control thread.
 */
#pragma once

#include <stdbool.h>

#include "common/clock.h"
#include "common/span.h"
#include "common/strbuf.h"
#include "proxy/admin.h"
#include "proxy/dashboard.h"
#include "proxy/http/head.h"

#define ADMIN_METHOD(m) (1u << (m)) /* of an enum http_method */
#define ADMIN_READ      (ADMIN_METHOD(HTTP_GET) | ADMIN_METHOD(HTTP_HEAD))

struct admin_call {
    enum http_method method;
    mono_us wait;       /* how long the client is willing to wait */
    bool keep_ready;    /* while the drain is announced */
    int64_t since;      /* of a page of samples: only later ones are wanted */
    struct span accept; /* the value of Accept; empty if there is none */
    struct span accept_encoding, if_none_match;
    bool has_accept_encoding;
    bool dashboard;   /* admin.dashboard */
    struct span body; /* of a PATCH */
};

struct admin_reply {
    unsigned status;
    const char *type;
    struct strbuf body;
    const struct dashboard_file *file; /* sent in place of the body, unless the status is 304 */
    bool varies;                       /* with Accept */
    bool hold;      /* not to be sent now, but after `wait` or when the drain has ended */
    bool cancelled; /* the drain: those that wait for its end need not */
};

struct admin_route {
    const char *path, *meaning; /* NULL: not listed */
    unsigned methods; /* a set of ADMIN_METHOD; those not in ADMIN_READ change something */
    unsigned listed;  /* further methods, for the addresses in admin.allow; they change something */
    /* NULL: a file of the dashboard */
    void (*respond)(const struct admin_source *source, const struct admin_call *call,
                    struct admin_reply *out);
};

/* NULL: no such page. `path` is without the query. */
const struct admin_route *admin_route_find(struct span path);

/* Whether this method, which the route supports, changes something. */
bool admin_route_changes(const struct admin_route *route, enum http_method method);

/* Whether it is a page of samples, which reads the parameter `since`. NULL: no. */
bool admin_route_has_samples(const struct admin_route *route);

/* "GET, HEAD", which also stands for a request without a page: NULL. */
void admin_route_write_methods(const struct admin_route *route, struct strbuf *out);

/* Fills `out`, which the caller has zero-initialised. NULL: responds with 404 and the list of
 * pages. */
void admin_route_respond(const struct admin_route *route, const struct admin_source *source,
                         const struct admin_call *call, struct admin_reply *out);

/* Fills `out` for a client that has waited for the end of a drain. */
void admin_route_drain_state(const struct admin_source *source, bool cancelled,
                             struct admin_reply *out);
