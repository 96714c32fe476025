/*
 * The agent port: HAProxy's agent-check protocol. A balancer connects, and receives one line:
 *
 *   up ready 83%                     serve; the weight, from 1 to 100, in percent of the configured
 *   drain                            weir drains: no new clients
 *   down #the app is not ready       the app is not up
 *
 * "ready" undoes an earlier "drain", and "up" an earlier "down": HAProxy remembers both.
 *
 * The weight follows the share of slots that were free since the last check, waiting requests
 * counted as load. It falls by half of the difference and rises by a quarter: an instance's load
 * follows its weight by a check, and with less inertia a balancer would send it everything and
 * nothing in turn.
 *
 * Each connection is closed once its peer has closed, after AGENT_LINGER_US, after
 * AGENT_INPUT_MAX bytes, or for a new one if there are AGENT_CONNECTIONS_MAX: all of them have
 * their line by then. Input from the peer is discarded. Control thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/address.h"
#include "common/clock.h"
#include "limiter/limiter.h"
#include "proxy/loop.h"
#include "proxy/stats_now.h"

#define AGENT_CONNECTIONS_MAX 16
#define AGENT_DESCRIPTORS     (AGENT_CONNECTIONS_MAX + 2) /* the port, and one being accepted */
#define AGENT_INPUT_MAX       4096
#define AGENT_LINGER_US       1000000

struct agent; /* opaque: defined in agent.c */

struct agent_how {
    struct loop *loop;
    const struct address *listen;
    struct limiter *limiter;
    enum stats_agent_reply (*state)(void *arg);
    void *arg;
};

/* NULL: `problem` has the reason. */
struct agent *agent_new(const struct agent_how *how, char *problem, size_t size);
void agent_free(struct agent *a); /* NULL is allowed */

/* The replies so far. NULL, without a port, is allowed. */
void agent_read(const struct agent *a, struct stats_agent *out);

const char *agent_text(const struct agent *a); /* the address of the port */
