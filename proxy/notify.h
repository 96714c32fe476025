/*
 * Reports weir's state to systemd, by the protocol of sd_notify(3): datagrams to the socket that
 * NOTIFY_SOCKET names. Without this variable nothing is sent. Control thread.
 *
 * READY=1 is sent when weir listens, not when the app is up: weir accepts and queues requests from
 * then on, and an app whose unit is ordered after weir's could otherwise never start.
 */
#pragma once

#include <stdbool.h>

#include "common/clock.h"
#include "proxy/loop.h"

struct notify; /* opaque: defined in notify.c */

/* Reads NOTIFY_SOCKET, and WATCHDOG_USEC with WATCHDOG_PID, and removes them from the environment.
 * Call it before there are threads. Never NULL. */
struct notify *notify_new(struct loop *lp);
void notify_free(struct notify *n);

/* weir listens. From now on, if the unit has WatchdogSec, the control thread reports twice in that
 * time that it runs. */
void notify_ready(struct notify *n);

/* A reload begins; notify_ready() reports its end, whether or not the configuration was accepted.
 */
void notify_reloading(struct notify *n);

/* A drain has begun that ends the process, which may take `most`. */
void notify_stopping(struct notify *n, mono_us most);

/* A line for `systemctl status`; not sent if it is the same as the last one. */
void notify_status(struct notify *n, const char *text);
