/* The values of a configuration, one for each option. Included by config.h, which says how they are
 * loaded and shared. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/address.h"
#include "common/clock.h"
#include "common/log.h"
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
enum config_access { CONFIG_ACCESS_PROBLEMS, CONFIG_ACCESS_ALL, CONFIG_ACCESS_OFF };
enum config_access_profile { CONFIG_ACCESS_PLAIN, CONFIG_ACCESS_GCP, CONFIG_ACCESS_ECS };
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
    bool enforce;
    struct {
        struct paths paths;
        uint32_t concurrency;
    } bypass;
    struct {
        uint32_t max_connections;
        mono_us head_timeout, body_timeout, send_timeout, stall_timeout, keepalive_timeout;
        uint32_t max_head, max_headers;
        uint64_t max_body;                    /* CONFIG_UNLIMITED */
        uint32_t send_buffer, receive_buffer; /* UINT32_MAX: the system's */
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
        bool dashboard;
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
        enum config_access access;
        char access_file[CONFIG_PATH]; /* "stdout" or a path */
        mono_us slow;                  /* a request of that length is a problem */
        enum config_access_profile profile;
        bool query; /* the access log has the query of a target */
    } log;
    bool watch;
    enum config_profile profile;
    bool upstream_given; /* false: nothing was configured; `weir` then prints its short help */
    _Atomic unsigned refs;
};
