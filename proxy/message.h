/*
 * A request as the app will get it, in one block of memory: the rewritten head, behind it the body
 * if that came whole with the head and is small or what was waited for, and at the block's end the
 * request id. So sending is one send, sending again is possible, and a request that waits costs no
 * more than this.
 * Loop thread only.
 */
#pragma once

#include <stddef.h>

#include "common/check.h"
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
    size_t body;            /* bytes of it that message_take_body() has added */
    struct span request_id; /* in the block; empty when config wants none */
};

/* What the rewriting of a head cannot see. */
struct message_how {
    mono_us began;       /* when its first byte came */
    bool drop_expect;    /* weir answers its Expect itself, or it means nothing */
    struct span upgrade; /* the protocols to offer the app, or empty */
};

/* Whether the body is none, or has come with the head and is small: then it goes into the block. */
bool message_holds_body(struct client *cl, const struct http_body *body);

/* Composes the request of `cl`; takes the body from its input when message_holds_body(). */
void message_compose(struct message *m, struct loop *lp, const struct config *config,
                     struct client *cl, const struct message_how *more,
                     const struct http_head *head, const struct http_body *body);

enum message_status {
    MESSAGE_WHOLE, /* the body is complete */
    MESSAGE_MORE,  /* all that had come was taken, and more is to come */
    MESSAGE_FULL,  /* `most` bytes of body are in the block */
    MESSAGE_BAD,   /* the client broke the framing; `problem` says how */
};

/*
 * Moves what there is of `body` from the input into the block, as it came, until `most` bytes of
 * it are there. The block moves, and request_id with it.
 */
MUST_USE enum message_status message_take_body(struct message *m, struct loop *lp,
                                               struct client *cl, struct http_body *body,
                                               size_t most, struct http_problem *problem);

/* The protocols that its head offers; empty: none. */
struct span message_upgrade(const struct message *m);

/* Bytes that may be written behind message.len. */
size_t message_room(const struct message *m);

void message_fini(struct message *m, struct loop *lp);
