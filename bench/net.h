#pragma once

/*
 * What the bench's helpers share: addresses ("127.0.0.1:8000" or "unix:/path"), sockets, and
 * giving up. These are measuring tools: whatever they did not expect ends them with a message,
 * because a figure got in spite of an error would be worth nothing.
 */

#include <stdint.h>

#include "common/check.h"

/* Prints what failed, with errno's text when there is one, and exits 1. */
NORETURN void die(const char *what);

/* A listening, non-blocking socket. Port 0 picks a free one: net_port() tells which. */
int net_listen(const char *address);

/* A connected socket, non-blocking once connected, without Nagle's delay. */
int net_connect(const char *address);

/* Takes one connection from `listener`, set up as net_connect() does; -1 when none is waiting. */
int net_accept(int listener);

/* The local TCP port; 0 on a Unix socket. */
uint16_t net_port(int fd);

/* Adds `fd` to the epoll instance `ep` for `events`; `ptr` comes back with each event. */
void net_watch(int ep, int fd, uint32_t events, void *ptr);

/* A number between 1 and `max`, or the end. */
uint32_t parse_count(const char *text, uint32_t max);
