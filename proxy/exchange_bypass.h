/* Requests that do not wait in the queue: bypass.paths. Part of the exchange: see
 * exchange_private.h. */
#pragma once

#include "proxy/exchange_private.h"

void exchange_lanes_init(struct exchange_env *env);

/* The lane of a request that arrives. */
struct exchange_lane *exchange_lane_for(struct exchange_env *env, const struct config *config,
                                        const struct http_head *head);

/* A request to bypass.paths while the app is not ready: it asks whether the app is ready, so it is
 * not held until it is. */
bool exchange_bypass_is_shut(const struct exchange *ex);
