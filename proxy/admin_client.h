/*
 * Asks the admin port of a running weir, for `weir status` and `weir healthcheck`. Blocks; any
 * thread.
 */
#pragma once

#include <stdbool.h>

#include "common/address.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/span.h"
#include "common/strbuf.h"

#define ADMIN_CLIENT_TIMEOUT_US (2 * INT64_C(1000000)) /* what the commands allow */

/* Zero-initialised. The caller calls strbuf_fini() on `bytes`, also after a failure. */
struct admin_response {
    unsigned status;
    struct strbuf bytes; /* all that came */
    struct span body;    /* in it */
};

/*
 * GETs `path` from what listens at `listening`, which is resolved; every address is asked on
 * loopback. All of it within `timeout`, from the connect to the last byte. False: errno says what
 * failed; ETIMEDOUT, EMSGSIZE (more than 1 MiB), or EPROTO (no complete HTTP response).
 */
MUST_USE bool admin_client_get(const struct address *listening, const char *path, mono_us timeout,
                               struct admin_response *response);
