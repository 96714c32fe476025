/* See exemplars.h. */
#include "proxy/exemplars.h"

#include <stdbool.h>
#include <string.h>

#include "common/check.h"

_Static_assert(RECORD_TRACE == 2 * sizeof(uint64_t), "a trace id is two words");

void exemplars_init(struct exemplars *e)
{
    for (size_t i = 0; i < EXEMPLARS_MAX; i++) {
        atomic_init(&e->slot[i].sequence, 0);
        atomic_init(&e->slot[i].trace[0], 0);
        atomic_init(&e->slot[i].trace[1], 0);
        atomic_init(&e->slot[i].value, 0);
        atomic_init(&e->slot[i].at, 0);
    }
}

/* A reader that sees the new content also sees the odd number before it: the release of each word
 * orders that. Fences would do, too, but the thread sanitizer does not know them. */
static void put(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

void exemplars_put(struct exemplars *e, size_t bucket, const struct exemplar *x)
{
    CHECK(bucket < EXEMPLARS_MAX && x->at != 0 && x->value >= 0);
    struct exemplars_slot *s = &e->slot[bucket];
    uint64_t trace[2], n = atomic_load_explicit(&s->sequence, memory_order_relaxed);

    memcpy(trace, x->trace, sizeof(trace));
    atomic_store_explicit(&s->sequence, n + 1, memory_order_relaxed);
    put(&s->trace[0], trace[0]);
    put(&s->trace[1], trace[1]);
    put(&s->value, (uint64_t)x->value);
    put(&s->at, (uint64_t)x->at);
    put(&s->sequence, n + 2);
}

/* False: it was being written. */
static bool read_slot(const struct exemplars_slot *s, struct exemplar *x)
{
    uint64_t before = get(&s->sequence);
    const uint64_t trace[2] = {get(&s->trace[0]), get(&s->trace[1])};

    x->value = (mono_us)get(&s->value);
    x->at = (wall_us)get(&s->at);
    memcpy(x->trace, trace, sizeof(trace));
    return before % 2 == 0 && atomic_load_explicit(&s->sequence, memory_order_relaxed) == before;
}

void exemplars_merge(const struct exemplars *e, struct exemplar *latest)
{
    enum { TRIES = 3 }; /* a write takes nanoseconds */

    for (size_t i = 0; i < EXEMPLARS_MAX; i++) {
        struct exemplar x;
        bool whole = false;
        for (int t = 0; t < TRIES && !whole; t++)
            whole = read_slot(&e->slot[i], &x);
        if (whole && x.at >= latest[i].at)
            latest[i] = x;
    }
}
