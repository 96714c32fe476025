/*
 * The admin port: metrics, probes, status and configuration over HTTP, and commands such as pause
 * for those who may give them (admin_access.h). Served by libevhtp on the event base of the control
 * thread, so it responds even when all workers are busy. All functions, including those of the
 * source, are called on that thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "common/prometheus.h"
#include "common/span.h"
#include "common/strbuf.h"
#include "proxy/config.h"

struct event_base;
struct admin; /* opaque: defined in admin.c */

#define ADMIN_CONNECTIONS_MAX 64
#define ADMIN_HELD_MAX        32 /* in addition: those that wait for the end of a drain */

/* The source of the responses, and what executes the commands. `why`, a literal, is set when the
 * result is false. */
struct admin_source {
    void *arg;
    void (*metrics)(void *arg, enum prometheus_format format, struct strbuf *out);
    void (*status)(void *arg, struct strbuf *out); /* JSON */
    /* JSON: the samples after that second since 1970. */
    void (*history)(void *arg, int64_t since, struct strbuf *out);
    void (*config)(void *arg, struct strbuf *out); /* JSON */
    bool (*ready)(void *arg, const char **why);
    bool (*started)(void *arg, const char **why);
    void (*pause)(void *arg);
    void (*resume)(void *arg);
    /* Begins a drain, unless one has begun. `keep_ready`: see lifecycle_drain(). */
    void (*drain)(void *arg, bool keep_ready);
    bool (*cancel_drain)(void *arg, const char **why);
    /* Changes the configuration. False: `problems` has the reasons, and nothing has changed. */
    bool (*change)(void *arg, struct span json, struct strbuf *problems);
    bool (*drain_state)(void *arg, struct strbuf *out); /* JSON; true: all is done */
};

/*
 * Binds admin.listen and listens; requests are served from the base's next turn on. NULL: `problem`
 * has the reason. A Unix socket's file with no listener is replaced. Takes a reference to `config`.
 */
struct admin *admin_new(struct event_base *base, struct config *config,
                        const struct admin_source *source, char *problem, size_t size);

/* All is done: responds to the clients that wait for the end of the drain, in the base's next turn.
 */
void admin_drained(struct admin *a);

/* From now on, the rights are those of `config`; the address stays. Takes a reference. */
void admin_configure(struct admin *a, struct config *config);

/*
 * Closes the port and removes a Unix socket's file. The connections are closed in the base's next
 * turn, or with the base (libevent frees a bufferevent's descriptor late). NULL is allowed.
 */
void admin_free(struct admin *a);

/* "127.0.0.1:9480": the actual address, also if port 0 was configured. */
const char *admin_text(const struct admin *a);
