/*
 * The time of day as HTTP writes it (RFC 9110 section 5.6.7, IMF-fixdate), made once a second.
 * Pure; one struct per thread.
 */
#pragma once

#include <stdint.h>

#include "common/clock.h"
#include "common/span.h"

#define HTTP_DATE_LEN 29

/* Zero-initialised is ready. */
struct http_date {
    int64_t second; /* since 1970; that of the text */
    char text[HTTP_DATE_LEN];
};

/* `now` is not before 1970 and not after 9999. The text is good until the next call. */
struct span http_date(struct http_date *d, wall_us now);
