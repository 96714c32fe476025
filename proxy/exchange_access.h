/*
 * Passes requests to the access log. Included only by exchange_end.c.
 */
#pragma once

#include "proxy/exchange_private.h"

/* At the end of an exchange, with its record complete: notes it for the access log, if that has a
 * line for it. */
void exchange_note_access(const struct exchange *ex);

/* The same for input that is not a request; `detail`, which is static, says why. */
void exchange_note_refused(struct exchange_env *env, struct client *cl, const struct record *record,
                           const char *detail);
