/*
 * A request as the app will get it, in one block of memory: the rewritten head, behind it the body
 * if that came whole with the head and is small, and at the block's end the request id. So sending
 * is one send, sending again is possible, and a request that waits costs no more than this.
 * Loop thread only.
 */
#pragma once

#include <stddef.h>

#include "common/clock.h"
#include "common/span.h"
#include "proxy/config.h"
#include "proxy/http/body.h"
#include "proxy/http/head.h"
#include "proxy/loop.h"

struct client;

struct message {
    char *at;
    size_t size, len;       /* of the block; of what is to be sent */
    struct span request_id; /* in the block; empty when config wants none */
};

/*
 * Composes the request of `cl`, whose first byte came at `began`, and takes from its input what of
 * `body` goes into the block. False: the body, or the rest of it, is still to be relayed.
 */
bool message_compose(struct message *m, struct loop *lp, const struct config *config,
                     struct client *cl, mono_us began, const struct http_head *head,
                     const struct http_body *body);

/* Bytes that may be written behind message.len. */
size_t message_room(const struct message *m);

void message_fini(struct message *m, struct loop *lp);
