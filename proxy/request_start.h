/*
 * When the proxy in front received a request: the value of X-Request-Start or X-Queue-Start. Pure;
 * any thread.
 */
#pragma once

#include <stdbool.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/span.h"

/* Maximum age of a start, beyond which it is not that of a request that still waits; and by how
 * much it may be in the future, beyond which the two clocks do not agree. */
#define REQUEST_START_AGE  (INT64_C(3600) * 1000000)
#define REQUEST_START_SKEW (INT64_C(10) * 1000000)

/*
 * Reads a Unix time in seconds, with or without a fraction, in milliseconds or in microseconds,
 * distinguished by its magnitude, with or without "t=" before it. `*before` is the time from then
 * to `arrived`, from 0 to REQUEST_START_AGE; 0 also if it is later by at most REQUEST_START_SKEW.
 * False: malformed or outside of these bounds, and `*before` is unchanged.
 */
MUST_USE bool request_start_read(struct span value, wall_us arrived, mono_us *before);
