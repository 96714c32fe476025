/*
 * The dashboard: a page, its scripts and its style, embedded in the program, each compressed with
 * gzip when weir was built. The sources are in proxy/dashboard/; embed.sh makes the table of them.
 * Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/span.h"

struct dashboard_file {
    const char *path; /* on the admin port; that of the page is "/" */
    const char *type;
    const char *etag; /* of the compressed content, with its quotes */
    const unsigned char *gzip;
    size_t len;
};

extern const struct dashboard_file dashboard_files[];
extern const size_t dashboard_n_files;

/* For Content-Security-Policy: nothing is loaded from elsewhere, and nothing inline is executed. */
#define DASHBOARD_POLICY                                                                           \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "                \
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/* NULL: none of the files. */
const struct dashboard_file *dashboard_find(struct span path);

/* Whether a client with this Accept is a browser that expects a page: it names text/html. */
bool dashboard_is_wanted(struct span accept);

/* Whether a client with this Accept-Encoding reads gzip. `sent` is false if it did not send that
 * header, and then reads anything (RFC 9110 section 12.5.3). */
bool dashboard_is_readable(struct span accept_encoding, bool sent);

/* Whether the client has this file already, by its If-None-Match. */
bool dashboard_is_current(const struct dashboard_file *f, struct span if_none_match);
