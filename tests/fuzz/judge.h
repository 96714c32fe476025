/*
 * Checks the peers of peers.h with the strict reader: the number of requests inside the app, what
 * it received, and what clients received. Aborts with a message when an invariant of weir is
 * violated.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"

struct judge_rules {
    bool abort_closes;  /* on_client_abort: close */
    bool abort_hurries; /* on_client_abort: auto */
    bool half_close;    /* client.half_close: allow */
    bool believes;      /* headers.trusted includes the clients, and headers.forwarded is append */
    mono_us patience;   /* all timeouts towards the app are at least this long */
    mono_us orphan_patience; /* upstream.orphan_timeout */
    bool cut;                /* weir was told to cut */
    bool late;               /* weir was told to end tunnels and event streams */
};

extern struct judge_rules judge_rules;

void judge_begin(void);

/* Checks the bytes so far, when weir has come to rest. */
void judge_apps(void);

/* The number of requests inside the app. */
size_t judge_inside(void);

/* At the end: checks each message of each connection. */
void judge_messages(void);
