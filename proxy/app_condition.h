/*
 * The condition of the app, inferred from outside. An app whose event loop is blocked reads
 * nothing: bytes that were sent to it stay in its sockets, and no response ends. Pure: its times
 * are arguments.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "proxy/estimate.h"
#include "proxy/socket_queues.h"

enum app_verdict {
    VERDICT_OK,
    VERDICT_POOL_FULL,    /* requests wait inside the app, or in its accept queue for a worker */
    VERDICT_LOOP_BLOCKED, /* it reads nothing, or works on one request at a time while more wait */
    VERDICT_STARTING,
    VERDICT_DOWN,
    VERDICTS,
};

/* "ok", "pool_full", ... */
extern const char *const app_verdict_names[VERDICTS];

struct app_signs {
    mono_us now;
    bool starting, down;
    uint32_t inside;    /* requests in the app */
    uint64_t completed; /* requests that have left it since the start */
    bool kept; /* it has kept a connection open after a response, and weir has used it again */
    const struct socket_queues_reading *queues; /* NULL: no look since the last time */
    mono_us probe; /* how long the present health check has been waiting; 0: there is none */
    const struct estimate_reading *estimate;
};

/* Zero-initialised. */
struct app_condition {
    enum app_verdict verdict;
    bool told;          /* at the last look, the kernel reported the app's sockets */
    bool read_late;     /* likewise: an accepted connection had unread bytes */
    mono_us since;      /* when it was last seen to read or to complete anything */
    mono_us looked;     /* the last look */
    mono_us blocked;    /* when it was last found to be stalled; 0: never */
    mono_us busy;       /* when all its workers were last found to be busy; 0: never */
    mono_us stalled;    /* time in which it was, in all */
    mono_us counted;    /* until then */
    uint64_t completed; /* of the last signs */
    size_t marks;       /* of the last look */
    uint64_t mark[SOCKET_QUEUES_MARKS];
};

void app_condition_judge(struct app_condition *c, const struct app_signs *signs);
