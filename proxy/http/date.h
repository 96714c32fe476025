/*
 * The current time in HTTP's format (RFC 9110 section 5.6.7, IMF-fixdate), formatted once a second.
 * Pure; one struct per thread.
 */
#pragma once

#include <stdint.h>

#include "common/clock.h"
#include "common/span.h"

#define HTTP_DATE_LEN 29

/* Zero-initialised is ready for use. */
struct http_date {
    int64_t second; /* since 1970, of the cached text */
    char text[HTTP_DATE_LEN];
};

/* `now` must lie between the years 1970 and 9999. The text is valid until the next call. */
struct span http_date(struct http_date *d, wall_us now);
