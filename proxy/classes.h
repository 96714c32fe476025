/*
 * Priority classes, long-lived requests and fair shares: the class and the key with which a request
 * waits in the limiter, and the limiter's configuration.
 *
 * The class `default` and the configured ones are numbered from 0, in the order of the
 * configuration. Class k has two classes of the limiter: 2k, and 2k + 1 for its long-lived
 * requests, which hold a slot for as long as their client likes and are therefore in pool 0, that
 * of streams.max. Pool k is that of the `max` of class k. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "limiter/limiter.h"
#include "proxy/config.h"
#include "proxy/hash.h"
#include "proxy/http/head.h"

/* The limiter's class of a request. `upgrade`: the app is offered an upgrade. */
unsigned classes_find(const struct config *config, const struct http_head *head, bool upgrade);

/* The client that a request is from, if `fair` is "client". */
struct classes_peer {
    struct span address; /* of its connection; empty for a Unix socket */
    bool trusted;        /* its X-Forwarded-For is trusted */
};

/* The limiter's key of a request: a hash of what `fair` names, or 0 if that is empty. A missing
 * header counts as an empty one. */
uint8_t classes_key(const struct config *config, const struct http_head *head,
                    const struct classes_peer *peer, const struct hash_key *seed);

/* The number of classes, with `default`, and the name of one of them. */
unsigned classes_count(const struct config *config);
const char *classes_name(const struct config *config, unsigned k);

/* For the limiter of all requests but those to bypass.paths, which have no classes. */
struct limiter_config classes_limiter_config(const struct config *config);
