/* See slots.h. */
#include "limiter/slots.h"

/* The smallest held/slots: one with a slot free is below 1, all others are not, and one without
 * slots is never below another. */
unsigned slots_least_loaded(const struct slots *s)
{
    bool none = s->at[0].slots == 0;
    uint64_t best_held = none ? 1 : s->at[0].held, best_slots = none ? 1 : s->at[0].slots;
    unsigned best = 0;

    for (unsigned i = 1; i < s->used; i++) {
        const struct slots_instance *in = &s->at[i];
        if (in->held * best_slots < best_held * in->slots) {
            best = i;
            best_held = in->held;
            best_slots = in->slots;
        }
    }
    return best;
}

/* The sum of 64 32-bit numbers may exceed the 32 bits that callers see. */
uint32_t slots_set(struct slots *s, unsigned instance, uint32_t slots)
{
    uint64_t limit = 0;

    if (instance >= s->used)
        s->used = instance + 1;
    s->at[instance].slots = slots;
    s->free = 0;
    for (unsigned i = 0; i < s->used; i++) {
        limit += s->at[i].slots;
        s->free += slots_free_of(&s->at[i]);
    }
    return limit < LIMITER_UNLIMITED ? (uint32_t)limit : LIMITER_UNLIMITED;
}
