/*
 * A request as sent to the app, in one block of memory: the rewritten head, then the body if it
 * arrived complete with the head and is small, or was waited for, and at the end the request id and
 * the client's address, for the time when the client has left. So one send is enough, the request
 * can be sent again, and a queued request takes no other memory. Loop thread only.
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
    size_t size, len;       /* of the block; of the bytes to send */
    size_t body;            /* number of body bytes added by message_take_body() */
    struct span request_id; /* in the block; empty if request ids are off. The client's address
                               follows, up to the end of the block */
};

/* Parameters of the rewriting that are not in the head. */
struct message_how {
    mono_us began;       /* time of the first byte */
    bool drop_expect;    /* weir handles its Expect itself, or the field has no meaning */
    struct span upgrade; /* the protocols to offer the app, or empty */
};

/* Whether there is no body, or it arrived with the head and is small: then it is part of the
 * block. */
bool message_holds_body(struct client *cl, const struct http_body *body);

/* Composes the request of `cl`; takes the body from its input if message_holds_body(). */
void message_compose(struct message *m, struct loop *lp, const struct config *config,
                     struct client *cl, const struct message_how *more,
                     const struct http_head *head, const struct http_body *body);

enum message_status {
    MESSAGE_WHOLE, /* the body is complete */
    MESSAGE_MORE,  /* all available input was taken, and more is expected */
    MESSAGE_FULL,  /* `most` bytes of body are in the block */
    MESSAGE_BAD,   /* the client broke the framing; `problem` has the reason */
};

/*
 * Moves the available part of `body` from the input into the block, unchanged, until `most` bytes
 * of it are there. This may move the block, and request_id with it.
 */
MUST_USE enum message_status message_take_body(struct message *m, struct loop *lp,
                                               struct client *cl, struct http_body *body,
                                               size_t most, struct http_problem *problem);

/*
 * Moves a message that begins to wait to a block of its size, and request_id with it: it was
 * composed in a block for the longest that it could become. A large one stays where it is.
 */
void message_fit(struct message *m, struct loop *lp);

/* The size of the block after message_fit(). */
size_t message_fitted(const struct message *m);

/* The protocols that the head offers; empty: none. */
struct span message_upgrade(const struct message *m);

/* For the access log. The value of a header is empty if there is no such header. */
struct span message_remote(const struct message *m);
struct span message_method(const struct message *m);
struct span message_target(const struct message *m); /* as the app receives it */
struct span message_header(const struct message *m, struct span name);

/*
 * The app no longer needs the message: keeps only those parts of a large one that the access log
 * writes, the request id and the client's address. The rest may be most of the memory that a client
 * can make weir hold.
 */
void message_abridge(struct message *m, struct loop *lp);

/* The number of bytes that may be written after message.len. */
size_t message_room(const struct message *m);

void message_fini(struct message *m, struct loop *lp);
