/*
 * A line of the access log: one JSON object about one request. Whatever bytes a client sends, a
 * line is valid JSON in UTF-8, ends at its only line feed, and controls no terminal. Pure; no
 * allocation for a request; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/span.h"
#include "proxy/config.h"
#include "proxy/record.h"

#define ACCESS_TARGET_MAX 4096 /* bytes of the target that a line has */
#define ACCESS_TEXT_MAX   1024 /* of each other string */

enum access_text {
    ACCESS_REQUEST_ID,
    ACCESS_REMOTE, /* address of the client's end of its connection */
    ACCESS_METHOD,
    ACCESS_TARGET,
    ACCESS_CLASS,
    ACCESS_AGENT,   /* User-Agent */
    ACCESS_REFERER, /* Referer */
    ACCESS_TEXTS,
};

#define ACCESS_UNKNOWN UINT32_MAX

/* The contents of a line beside the request's record. An empty text is not written. */
struct access_request {
    wall_us at; /* when it ended */
    struct span text[ACCESS_TEXTS];
    const char *outcome;             /* static: how its wait for a slot ended, or NULL */
    const char *detail;              /* static: what is wrong with it, or NULL */
    uint32_t in_flight, queue_depth; /* when it asked for a slot, or ACCESS_UNKNOWN */
    bool http10, bypass;
    bool events; /* the response is an event stream */
};

enum access_level { ACCESS_INFO, ACCESS_WARNING, ACCESS_ERROR };

/* A request in the form in which a loop leaves it for the writer: this struct, then its texts. */
struct access_entry {
    struct record record;
    wall_us at;
    const char *outcome, *detail;
    uint32_t in_flight, queue_depth;
    uint16_t length[ACCESS_TEXTS];
    uint8_t level; /* enum access_level */
    bool http10, bypass, truncated;
};

/* Whether the access log has a line for this request. */
bool access_line_is_wanted(const struct config *config, const struct record *r, bool events);

/* How many bytes the entry of this request takes, with its texts cut to their maxima. */
size_t access_entry_size(const struct access_request *q);

/* Writes the entry to `out`, which is aligned for it and has that size. */
void access_entry_write(const struct config *config, const struct record *r,
                        const struct access_request *q, void *out);

/* How lines are written. Zero-initialised, except for the first two. */
struct access_style {
    enum config_access_profile profile;
    const char *project; /* of Google Cloud; NULL: not known */
    int64_t second;      /* whose date and time are in `date` */
    char date[sizeof("2000-01-01T00:00:00") - 1];
};

/* Maximum length of a line: each byte of a text may become six. */
#define ACCESS_LINE_MAX (6 * (ACCESS_TARGET_MAX + ACCESS_TEXTS * ACCESS_TEXT_MAX) + 4096)

/* Writes the line, with its line feed, to `out`, which has ACCESS_LINE_MAX bytes; returns its
 * length. */
size_t access_line_write(struct access_style *style, const struct access_entry *e, char *out);

struct history_summary;

/* The same for the summary of the seconds up to `at`: at most 2 KiB. */
size_t access_line_summary(struct access_style *style, wall_us at, const struct history_summary *s,
                           char *out);
