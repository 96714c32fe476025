/*
 * One log line when an overload of the queue begins, with the figures that caused it, and one when
 * it is over, with what became of the requests: never more than one of each per look. It compares
 * snapshots of the limiter, so that nothing on the path of a request has to log. Control thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "limiter/limiter.h"

#define OVERLOAD_LOG_EVERY_US 1000000 /* between two looks */

/* Zero-initialised: nothing has been seen. */
struct overload_log {
    bool open;                      /* a beginning has been logged, and no end */
    uint64_t begun;                 /* overloads, up to the last look */
    struct limiter_snapshot before; /* the last one without an overload */
};

void overload_log_look(struct overload_log *o, const struct limiter_snapshot *now);
