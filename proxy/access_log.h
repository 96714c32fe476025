/*
 * The access log: one line for each request that log.access asks for. A loop puts an entry for
 * each into its ring; one thread takes the entries from all rings, formats and writes them.
 * Whatever happens to the file or to the reader of standard output, a loop does not wait: an entry
 * without room in its ring is dropped and counted. While there is traffic, the writer checks the
 * rings every 20 ms; a loop wakes it only when it sleeps, or when a quarter of a ring is full.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "proxy/access_line.h"
#include "proxy/config.h"
#include "proxy/record.h"

struct access_log;       /* opaque: defined in access_log.c */
struct access_log_shard; /* a loop's part */

/* Control thread, before the loops run. NULL: log.access_file cannot be opened; `problem` has a
 * sentence. Signals are blocked in the writer. */
struct access_log *access_log_new(unsigned shards, const struct config *config, char *problem,
                                  size_t size);

/* Control thread, when no loop runs any more: writes what is left, for at most a second. */
void access_log_free(struct access_log *log);

struct access_log_shard *access_log_shard_of(struct access_log *log, unsigned i);

/* Control thread: a new configuration. If its file cannot be opened, that is logged, and the
 * present one is kept. */
void access_log_configure(struct access_log *log, const struct config *config);

/* Control thread: opens the file again, as its name may stand for another one by now. */
void access_log_reopen(struct access_log *log);

/* Loop thread, once for each request that access_line_is_wanted(), at its end. The texts need not
 * outlive the call. */
void access_log_note(struct access_log_shard *sh, const struct config *config,
                     const struct record *record, const struct access_request *request);

struct history_summary;

/* Control thread: the summary of the seconds up to `at`, which gets a line if log.access is
 * "problems" and there was a request. */
void access_log_summary(struct access_log *log, wall_us at, const struct history_summary *s);

/* Lines so far. Any thread. */
struct access_log_counts {
    uint64_t written, dropped;
};

struct access_log_counts access_log_counts(struct access_log *log);
