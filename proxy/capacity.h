/* The limits that follow from several options together. No state; any thread. */
#pragma once

#include <stdint.h>

#include "limiter/limiter.h"
#include "proxy/config.h"

/* Clients per further thread that are accepted before others are closed. */
#define CAPACITY_SWAPS 4

/*
 * The number of requests that may be in the app: `concurrency`, or the number of connections if
 * that is lower. A slot without a connection is useless: its request would wait for one outside the
 * queue and without queue.timeout.
 */
uint32_t capacity_inside(const struct config *cf);

/* The queue: its bounds and its order. */
struct limiter_config capacity_queue(const struct config *cf);

/* The number of connections to the app, which is not bounded in a dry run. Requests to bypass.paths
 * must not wait for one behind the others. */
uint32_t capacity_connections(const struct config *cf);

/* The number of tunnels. By default they leave one slot for requests; if there is only one slot, a
 * tunnel uses it like any request, and the next request waits until the tunnel closes. */
uint32_t capacity_upgrades(const struct config *cf);

/* The number of slots that long-lived requests may hold. By default they leave one slot for others,
 * if there is more than one, unless `upgrades.max` allows more tunnels. */
uint32_t capacity_streams(const struct config *cf);

/*
 * The number of clients. Each of their connections takes a descriptor, and each request in the app
 * takes another; `admin` is the number that the admin and agent ports may take. Raises the
 * process's limit on them if necessary. If there are still too few, the number of clients is
 * reduced, which is logged, and the app and the admin port keep theirs: otherwise idle clients
 * could starve both.
 */
uint32_t capacity_clients(const struct config *cf, unsigned admin);
