/*
 * Character classes (RFC 9110 section 5.6, RFC 3986 section 3.2.2), and scans over runs of a class.
 * Pure; any thread.
 *
 * Each scan returns the first byte in [at, end) outside its class, or `end`, and never reads
 * beyond. Each vector scan has a plain twin, which is the reference in the tests and the
 * replacement on processors without SSE2.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/span.h"

enum http_char {
    HTTP_CHAR_TOKEN = 1, /* tchar: methods and field names */
    HTTP_CHAR_DIGIT = 2,
    HTTP_CHAR_HEX = 4,
    HTTP_CHAR_HOST = 8,  /* reg-name without percent-encoding and without comma */
    HTTP_CHAR_NAME = 16, /* letters, digits and `-`: most field names, but not all tokens */
};

extern const unsigned char http_chars[256];

static inline bool http_char_is(char c, enum http_char kind)
{
    return (http_chars[(unsigned char)c] & kind) != 0;
}

/* Allowed in a field value: HTAB, SP, visible ASCII and obs-text. */
static inline bool http_is_field_char(char c)
{
    unsigned char u = (unsigned char)c;
    return u == '\t' || (u >= ' ' && u != 0x7f);
}

static inline bool http_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* To lower case, and `_` to `-`: names that become equal are one name to CGI and WSGI. */
static inline char http_fold(char c)
{
    return c == '_' ? '-' : span_lower(c);
}

/* 0 to 15; defined for HTTP_CHAR_HEX only. */
static inline unsigned http_hex_value(char c)
{
    return http_char_is(c, HTTP_CHAR_DIGIT) ? (unsigned)(c - '0')
                                            : (unsigned)((c | 0x20) - 'a' + 10);
}

bool http_is_token(struct span s); /* not empty, token bytes only */

/* Over letters, digits and `-`. */
const char *http_scan_name(const char *at, const char *end);
const char *http_scan_name_plain(const char *at, const char *end);

/* Over token bytes. */
const char *http_scan_token(const char *at, const char *end);
const char *http_scan_token_plain(const char *at, const char *end);

/* Over field value bytes. */
const char *http_scan_field(const char *at, const char *end);
const char *http_scan_field_plain(const char *at, const char *end);

/* Over the bytes of a request target: visible ASCII without `#`. */
const char *http_scan_target(const char *at, const char *end);
const char *http_scan_target_plain(const char *at, const char *end);

/* Over the bytes of a request line: visible ASCII and SP. */
const char *http_scan_line(const char *at, const char *end);
const char *http_scan_line_plain(const char *at, const char *end);
