/*
 * The configuration: immutable once loaded, and reference-counted, so that a request keeps the one
 * it began with. The option table (options.c) drives JSON, flags, environment, help, schema and
 * docs.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "common/strbuf.h"
#include "proxy/config_values.h"

/* Sources of a configuration, besides the platform and the defaults. */
struct config_source {
    const char *path; /* the file; NULL: none, "-": standard input */
    int argc;         /* flags only, without the program's name */
    char **argv;
    char **environ_;        /* NULL: none */
    bool upstream_optional; /* neither required nor resolved: for commands that do not serve */
    unsigned errors;        /* reported earlier, included in the total */

    /* The configuration in force, at a reload; NULL at startup. Options that require a restart must
     * not differ from it, and its addresses are not looked up again. */
    const struct config *running;
};

/*
 * Loads and checks everything. NULL: `problems` has all errors, one to three lines each, and a last
 * line with their number. The result has one reference, the caller's. Looks up host names, so it
 * may block.
 */
struct config *config_load(const struct config_source *src, struct strbuf *problems);

/* The path as shown in messages. */
const char *config_path_text(const char *path);

/* The effective values as one JSON object that config_load can read, except that secrets are
 * masked: config_load refuses the mask. */
void config_write_json(const struct config *c, struct strbuf *out);

/* One line per option: path, value and its origin; secrets are masked. `c` is from config_load. */
void config_write(const struct config *c, struct strbuf *out);

/* Reference counting. Any thread. The last config_put frees; NULL is allowed. */
struct config *config_get(struct config *c);
void config_put(struct config *c);

/* Whether an address lies in one of the trusted ranges. A Unix peer has no address: it is trusted
 * unless the list is empty, since the permissions of the socket's file decide who can connect. */
bool config_trusts(const struct config *c, const struct sockaddr *sa);

/* Whether private addresses are trusted only by default, where that may be wrong: not on loopback
 * or a Unix socket. `c` is from config_load. */
bool config_trust_is_default(const struct config *c);
