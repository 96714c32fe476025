/*
 * The destination of the access log: a file, or the process's standard output. Lines are
 * gathered and written together. No line is ever torn: the rest of one that was written in part is
 * kept until it can be written, whatever happens to the lines behind it.
 *
 * A descriptor that is not a regular file may have a reader that has stopped. Then at most PIPE_BUF
 * bytes are written at a time, and only when poll() reports room, so that the call does not block;
 * O_NONBLOCK would affect all processes that share the descriptor. Lines of up to PIPE_BUF bytes
 * are then written as a whole, and do not mix with those of other processes. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"

struct access_sink; /* opaque: defined in access_sink.c */

/* `longest`: bytes of a line. Lines that are added before a file is open are dropped. */
struct access_sink *access_sink_new(size_t longest);
void access_sink_free(struct access_sink *s);

/*
 * Opens "stdout" or a path, which is created, and appended to. Lines that have been added are
 * written to the file before, if it accepts them. False: the file stays what it was, and errno has
 * the reason.
 */
MUST_USE bool access_sink_open(struct access_sink *s, const char *path);

/* The open file, or -1. */
int access_sink_fd(const struct access_sink *s);

/* Room for the longest line. NULL: call access_sink_flush() first. */
char *access_sink_room(struct access_sink *s);
void access_sink_added(struct access_sink *s, size_t n); /* with the line feed */

/* Counts the lines as dropped: there is no room for them. */
void access_sink_drop(struct access_sink *s, const char *lines, size_t len);

/* Whether so much has been added that a flush is worth a system call. */
bool access_sink_is_full(const struct access_sink *s);

enum access_flush {
    ACCESS_FLUSHED,
    ACCESS_BLOCKED, /* its reader does not read: try again later */
    ACCESS_FAILED,  /* an error, in errno: all whole lines were dropped */
};

enum access_flush access_sink_flush(struct access_sink *s);

/* Lines since the beginning. */
uint64_t access_sink_written(const struct access_sink *s);
uint64_t access_sink_dropped(const struct access_sink *s);
