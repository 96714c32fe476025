/*
 * The admin port: metrics, probes, status and configuration over HTTP, read only. Served by
 * libevhtp on the event base of the control thread, so it answers when every worker is busy. All
 * functions, and all of the source's, on that thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/check.h"
#include "common/strbuf.h"
#include "proxy/config.h"

struct event_base;
struct admin; /* opaque: defined in admin.c */

/* Who knows the answers. `why`, a literal, is set when the answer is no. */
struct admin_source {
    void *arg;
    void (*metrics)(void *arg, struct strbuf *out); /* Prometheus text 0.0.4 */
    void (*status)(void *arg, struct strbuf *out);  /* JSON */
    void (*config)(void *arg, struct strbuf *out);  /* JSON */
    bool (*ready)(void *arg, const char **why);
    bool (*started)(void *arg, const char **why);
};

/*
 * Binds, listens and answers from the base's next turn on. NULL: `problem` says why. A Unix
 * socket's path that nobody answers on any more is taken over.
 */
struct admin *admin_new(struct event_base *base, const struct address *listen,
                        const struct admin_source *source, char *problem, size_t size);

/*
 * Closes the port; a Unix socket's file goes. The connections are closed in the base's next turn,
 * or with the base (libevent frees a bufferevent's descriptor late). NULL is allowed.
 */
void admin_free(struct admin *a);

/* "127.0.0.1:9480": where it really listens, also when port 0 was asked for. */
const char *admin_text(const struct admin *a);
