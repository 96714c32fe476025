/*
 * The slots of an app's instances: how many each has, and how many of them are held. Not locked,
 * pure. An instance holds more than it has after its number was lowered: it has none free until
 * enough of them have been given back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "limiter/config.h"

struct slots {
    uint64_t free; /* of all instances */
    unsigned used; /* instances from here on have never had slots */
    struct slots_instance {
        uint32_t slots, held;
    } at[LIMITER_INSTANCES];
};

/* The instance with the smallest share of its slots in use, if any slot is free. Among equals, the
 * first: an instance is left alone while others suffice. */
unsigned slots_least_loaded(const struct slots *s);

/* Gives an instance a number of slots. Returns the sum of all, at most LIMITER_UNLIMITED. */
uint32_t slots_set(struct slots *s, unsigned instance, uint32_t slots);

static inline uint32_t slots_free_of(const struct slots_instance *in)
{
    return in->held < in->slots ? in->slots - in->held : 0;
}

/* False: the instance had no slot free, which is an error of its caller. */
static inline bool slots_take(struct slots *s, unsigned instance)
{
    struct slots_instance *in = &s->at[instance];
    bool was_free = in->held < in->slots;

    in->held++;
    s->free--;
    return was_free;
}

static inline void slots_give_back(struct slots *s, unsigned instance)
{
    struct slots_instance *in = &s->at[instance];

    s->free -= slots_free_of(in);
    in->held--;
    s->free += slots_free_of(in);
}
