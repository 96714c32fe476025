/*
 * Deadlines that clients declare: the time by which a client wants its response, or how long it
 * waits for it. Each header is read on its own; the earliest deadline counts. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/span.h"
#include "proxy/http/head.h"

/* In the order of the words of the option deadline.headers. */
enum deadline_header {
    DEADLINE_UNIX,    /* X-Request-Deadline: Unix time in seconds, or in milliseconds */
    DEADLINE_GRPC,    /* grpc-timeout: an integer and a unit */
    DEADLINE_ENVOY,   /* X-Envoy-Expected-Rq-Timeout-Ms: milliseconds */
    DEADLINE_SECONDS, /* Request-Timeout */
    DEADLINE_HEADERS,
};

#define DEADLINE_BIT(header) (1u << (header))

/* Greater times count as this: a year, well above any timeout of weir. */
#define DEADLINE_MAX_US (INT64_C(366) * 24 * 3600 * 1000000)

extern const char *const deadline_names[DEADLINE_HEADERS];

/*
 * Reads the value of a header. `*left` is the time until the deadline, from 0 (it has passed) to
 * DEADLINE_MAX_US; `wall` is the present time. False: malformed, and `*left` is unchanged.
 */
MUST_USE bool deadline_read(enum deadline_header header, struct span value, wall_us wall,
                            mono_us *left);

/*
 * The shortest time that the head declares in `headers`, a set of DEADLINE_BIT; malformed values do
 * not count. MONO_NEVER: it declares none.
 */
mono_us deadline_left(const struct http_head *head, uint32_t headers, wall_us wall);
