/*
 * The trace that a request belongs to: the id in its traceparent (W3C Trace Context). Pure; any
 * thread.
 */
#pragma once

#include <stdbool.h>

#include "common/check.h"
#include "common/span.h"
#include "proxy/record.h"

/*
 * Reads the value of a traceparent. Versions above 00 may have more parts, which are ignored.
 * False: malformed, or an id is all zero; `id` is unchanged.
 */
MUST_USE bool trace_read(struct span value, unsigned char id[RECORD_TRACE]);
