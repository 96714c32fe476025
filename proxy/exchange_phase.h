/* The phases of a request's record within the states of its exchange. Part of the exchange: see
 * exchange_private.h, which includes this file. The functions are in exchange.c. */
#pragma once

#include <stdbool.h>

#include "proxy/exchange_types.h"

/* When its head was complete. */
static inline mono_us exchange_arrived(const struct exchange *ex)
{
    return ex->record.began + ex->record.spent[RECORD_HEAD];
}

/* Whether the client holds up the response, by not reading. */
static inline bool exchange_is_blocked(const struct exchange *ex)
{
    return ex->record.phase == RECORD_BACKPRESSURE;
}

/* Whether it is inside and the app does not work on it: its client does not read, or the response
 * is an event stream. Tunnels are counted apart. */
static inline bool exchange_is_aside(const struct exchange *ex)
{
    enum record_phase phase = ex->record.phase;

    if (!ex->waiter.apart)
        return phase == RECORD_BACKPRESSURE;
    return !ex->record.upgraded &&
           ((phase >= RECORD_SEND && phase <= RECORD_BACKPRESSURE) || phase == RECORD_ORPHAN);
}

/* Counts that it is aside, or no longer. */
void exchange_change_aside(struct exchange *ex);

/* Its phase may be another. */
static inline void exchange_note_aside(struct exchange *ex)
{
    if (exchange_is_aside(ex) != ex->aside)
        exchange_change_aside(ex);
}

/* Within a state: another phase begins. */
static inline void exchange_enter_phase(struct exchange *ex, enum record_phase next)
{
    record_enter(&ex->record, next, loop_now(ex->env->c.loop));
    exchange_note_aside(ex);
}

/* The wait is over: its phase ended when the limiter says that it did. From then on, the request
 * held a slot, or was to be refused. */
void exchange_end_queue_phase(struct exchange *ex);

/* The phase that BACKPRESSURE has interrupted, if it has, is over: BACKPRESSURE continues. */
void exchange_note_backpressure(struct exchange *ex);
