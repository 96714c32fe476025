/* Sends requests to the admin port of a running weir, for the commands. Blocks; any thread. */
#pragma once

#include <stdbool.h>

#include "common/address.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/span.h"
#include "common/strbuf.h"

#define ADMIN_CLIENT_TIMEOUT_US (2 * INT64_C(1000000)) /* for the commands */

/* Zero-initialise it. The caller calls strbuf_fini() on `bytes`, also after a failure. */
struct admin_response {
    unsigned status;
    struct strbuf bytes; /* everything received */
    struct span body;    /* within `bytes` */
};

struct admin_request {
    const char *method, *path;
    const char *token; /* "": none */
    struct span body;
};

/*
 * Sends it to the listener on `listening`, which is resolved; if that is "any address", through
 * loopback. `timeout` covers everything from the connect to the last byte. False: see
 * errno; also ETIMEDOUT, EMSGSIZE (more than 1 MiB), or EPROTO (no complete HTTP response).
 */
MUST_USE bool admin_client_ask(const struct address *listening, const struct admin_request *request,
                               mono_us timeout, struct admin_response *response);
