/*
 * See trace.h. A traceparent is VERSION-TRACE-PARENT-FLAGS: lower-case hexadecimal digits, 2, 32,
 * 16 and 2 of them.
 */
#include "proxy/trace.h"

#include <string.h>

#define VERSION_AT 0
#define TRACE_AT   3
#define PARENT_AT  36
#define FLAGS_AT   53
#define LENGTH     55
#define PARENT     8 /* bytes */

/* The value of a lower-case digit; -1: it is none. */
static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_bytes(const char *at, unsigned char *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int high = digit(at[2 * i]), low = digit(at[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static bool is_zero(const unsigned char *bytes, size_t n)
{
    unsigned any = 0;

    for (size_t i = 0; i < n; i++)
        any |= bytes[i];
    return any == 0;
}

bool trace_read(struct span value, unsigned char id[RECORD_TRACE])
{
    unsigned char version, flags, trace[RECORD_TRACE], parent[PARENT];

    if (value.len < LENGTH)
        return false;
    const char *at = value.at;
    if (at[TRACE_AT - 1] != '-' || at[PARENT_AT - 1] != '-' || at[FLAGS_AT - 1] != '-')
        return false;
    if (!read_bytes(at + VERSION_AT, &version, 1) || version == 0xff ||
        !read_bytes(at + TRACE_AT, trace, RECORD_TRACE) || is_zero(trace, RECORD_TRACE) ||
        !read_bytes(at + PARENT_AT, parent, PARENT) || is_zero(parent, PARENT) ||
        !read_bytes(at + FLAGS_AT, &flags, 1))
        return false;
    if (value.len > LENGTH && (version == 0 || at[LENGTH] != '-'))
        return false;
    memcpy(id, trace, RECORD_TRACE);
    return true;
}
