/* See slots.h. */
#include "limiter/slots.h"

static bool less_loaded(const struct slots_instance *a, const struct slots_instance *b)
{
    return (uint64_t)a->held * b->slots < (uint64_t)b->held * a->slots;
}

unsigned slots_least_loaded(const struct slots *s)
{
    unsigned best = 0;

    for (unsigned i = 1; i < s->used; i++) {
        const struct slots_instance *in = &s->at[i], *so_far = &s->at[best];
        if (slots_free_of(in) > 0 && (slots_free_of(so_far) == 0 || less_loaded(in, so_far)))
            best = i;
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
