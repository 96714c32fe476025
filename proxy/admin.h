/*
 * The admin port: metrics, probes, status and configuration over HTTP, read only. Served by
 * libevhtp on the event base of the control thread, so it responds even when all workers are busy.
 * All functions, including those of the source, are called on that thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/check.h"
#include "common/strbuf.h"
#include "proxy/config.h"

struct event_base;
struct admin; /* opaque: defined in admin.c */

/* The source of the responses. `why`, a literal, is set when the result is false. */
struct admin_source {
    void *arg;
    void (*metrics)(void *arg, struct strbuf *out); /* Prometheus text 0.0.4 */
    void (*status)(void *arg, struct strbuf *out);  /* JSON */
    void (*config)(void *arg, struct strbuf *out);  /* JSON */
    bool (*ready)(void *arg, const char **why);
    bool (*started)(void *arg, const char **why);
};

/*
 * Binds and listens; requests are served from the base's next turn on. NULL: `problem` has the
 * reason. A Unix socket's file with no listener is replaced.
 */
struct admin *admin_new(struct event_base *base, const struct address *listen,
                        const struct admin_source *source, char *problem, size_t size);

/*
 * Closes the port and removes a Unix socket's file. The connections are closed in the base's next
 * turn, or with the base (libevent frees a bufferevent's descriptor late). NULL is allowed.
 */
void admin_free(struct admin *a);

/* "127.0.0.1:9480": the actual address, also if port 0 was configured. */
const char *admin_text(const struct admin *a);
