/*
 * The configuration: immutable once loaded, and reference-counted, so that a request keeps the one
 * it began with. The option table (options.c) drives JSON, flags, environment, help, schema and
 * docs.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/address.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/span.h"
#include "common/strbuf.h"
#include "proxy/cidr.h"
#include "proxy/class_rule.h"
#include "proxy/paths.h"

#define CONFIG_UNLIMITED UINT64_MAX
#define CONFIG_PATH      256 /* bytes of a path, with the NUL */

enum config_forwarded { CONFIG_FORWARDED_APPEND, CONFIG_FORWARDED_REPLACE, CONFIG_FORWARDED_OFF };
enum config_underscores { CONFIG_UNDERSCORES_DROP, CONFIG_UNDERSCORES_PASS };
enum config_abort { CONFIG_ABORT_AUTO, CONFIG_ABORT_FINISH, CONFIG_ABORT_CLOSE };
enum config_half_close { CONFIG_HALF_CLOSE_ABORT, CONFIG_HALF_CLOSE_ALLOW };
enum config_deadline { CONFIG_DEADLINE_TRUSTED, CONFIG_DEADLINE_ALL };
enum config_load { CONFIG_LOAD_OFF, CONFIG_LOAD_PLAIN, CONFIG_LOAD_ORCA };
enum config_profile { CONFIG_PROFILE_NONE, CONFIG_PROFILE_CLOUDRUN };

/* Durations in microseconds, sizes in bytes. Field names follow the JSON paths. */
struct config {
    struct address listen;
    uint32_t threads;
    struct {
        struct address address;
        mono_us connect_timeout, first_byte_timeout, idle_timeout, orphan_timeout,
            keepalive_timeout;
        uint32_t max_connections; /* UINT32_MAX: as many as `concurrency` */
        uint32_t max_head, max_headers;
    } upstream;
    uint32_t concurrency; /* UINT32_MAX: unlimited */
    struct {
        uint32_t length; /* default: 10 x concurrency */
        mono_us timeout;
        uint64_t max_bytes;
        enum config_order { CONFIG_ORDER_ADAPTIVE, CONFIG_ORDER_FIFO } order;
    } queue;
    struct {
        unsigned status; /* 503 or 429 */
    } overload;
    struct {
        uint32_t headers; /* a set: DEADLINE_BIT of deadline.h */
        enum config_deadline from;
    } deadline;
    struct class_rules classes;
    char fair[64]; /* "client", or the name of a header; "": requests are not grouped */
    enum config_abort on_client_abort;
    struct {
        struct paths paths;
        uint32_t concurrency;
    } bypass;
    struct {
        uint32_t max_connections;
        mono_us head_timeout, body_timeout, send_timeout, stall_timeout, keepalive_timeout;
        uint32_t max_head, max_headers;
        uint64_t max_body; /* CONFIG_UNLIMITED */
        enum config_half_close half_close;
    } client;
    struct {
        uint32_t request, response;
        uint64_t budget;
    } buffers;
    struct {
        uint32_t max; /* UINT32_MAX: one less than concurrency, at least 1 */
        mono_us idle_timeout;
    } upgrades;
    struct {
        uint32_t max; /* UINT32_MAX: one less than concurrency, at least 1 */
    } streams;
    struct {
        enum config_forwarded forwarded;
        struct cidr_list trusted;
        enum config_underscores underscores;
        char request_id[64]; /* field name; "" for none */
        bool request_start, server_timing;
        enum config_load load;
    } headers;
    struct {
        char probe[CONFIG_PATH]; /* "tcp", "none" or a path */
        mono_us timeout;
    } startup;
    struct {
        char path[CONFIG_PATH]; /* "": not checked */
        mono_us interval, timeout;
        uint32_t unhealthy_after, healthy_after;
    } health;
    struct {
        mono_us delay, timeout;
    } drain;
    struct {
        bool enabled; /* false when admin.listen is "off" */
        struct address listen;
        bool writable;
        char token[129]; /* "": none */
        struct cidr_list allow;
    } admin;
    struct {
        bool enabled; /* false when agent.listen is "off" */
        struct address listen;
    } agent;
    struct {
        enum log_level level;
        enum log_format format;
    } log;
    bool watch;
    enum config_profile profile;
    bool upstream_given; /* false: nothing was configured; `weir` then prints its short help */
    _Atomic unsigned refs;
};

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
