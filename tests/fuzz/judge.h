/*
 * Judges the world of peers.h, with the second reader: what is inside the app, what it received and
 * what clients received. Stops the process, with a sentence, when a law of weir's is broken.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"

struct judge_rules {
    bool abort_closes;  /* on_client_abort: close */
    bool half_close;    /* client.half_close: allow */
    bool believes;      /* headers.trusted names the clients, and headers.forwarded: append */
    mono_us patience;   /* no timeout towards the app is shorter */
    bool cut, draining; /* weir was told to */
};

extern struct judge_rules judge_rules;

void judge_begin(void);

/* Looks at what has come and gone, when weir has come to rest. */
void judge_apps(void);

/* Requests inside the app now. */
size_t judge_inside(void);

/* When all is over: each message of each connection. */
void judge_messages(void);
