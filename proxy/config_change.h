/*
 * Changes of a configuration that is in force: a new one from a JSON object, and what differs. Any
 * thread.
 */
#pragma once

#include "common/span.h"
#include "common/strbuf.h"
#include "proxy/config.h"

/*
 * A new configuration: the one in force with the values of a JSON object in the form of the file.
 * NULL: `problems` has all errors, as from config_load(). The result has one reference, the
 * caller's. Never blocks.
 */
struct config *config_patch(const struct config *running, struct span json,
                            struct strbuf *problems);

/* The options whose values differ: "concurrency 80 -> 40, queue.length 800 -> 400", or nothing. */
void config_write_changes(const struct config *from, const struct config *to, struct strbuf *out);
