/*
 * What the limiter alone costs: nanoseconds for an acquire and the release of its slot on one
 * thread, with one instance, with as many as there may be, and through the queue, where each
 * release grants to the waiter that the next release belongs to. The least of several rounds.
 */
#include "limiter/limiter.h"

#include <stdio.h>

#include "common/check.h"
#include "common/clock.h"

#define ROUNDS 1000 /* short ones: the least is then free of interruptions */
#define PAIRS  20000

static struct limiter *limiter_with(unsigned instances)
{
    const struct limiter_config config = {.queue_length = 4, .queue_bytes = 1000};
    struct limiter *l = limiter_new(&config, 0);

    CHECK(l != NULL);
    for (unsigned i = 0; i < instances; i++)
        CHECK(limiter_set_slots(l, i, 1, 0) == NULL);
    return l;
}

static void admitted(struct limiter *l)
{
    struct limiter_waiter w = {0}, *ended;

    for (mono_us now = 0; now < PAIRS; now++) {
        CHECK(limiter_acquire(l, &w, now, MONO_NEVER, &ended) == LIMITER_ADMITTED);
        CHECK(limiter_release(l, &w, now) == NULL);
    }
}

static void queued(struct limiter *l)
{
    struct limiter_waiter w[2] = {{0}, {0}}, *ended;

    CHECK(limiter_acquire(l, &w[0], 0, MONO_NEVER, &ended) == LIMITER_ADMITTED);
    for (mono_us now = 0; now < PAIRS; now++) {
        struct limiter_waiter *next = &w[(now + 1) % 2];
        CHECK(limiter_acquire(l, next, now, MONO_NEVER, &ended) == LIMITER_QUEUED);
        CHECK(limiter_release(l, &w[now % 2], now) == next);
    }
    CHECK(limiter_release(l, &w[PAIRS % 2], PAIRS) == NULL);
}

static void measure(const char *what, unsigned instances, void (*run)(struct limiter *))
{
    mono_us least = MONO_NEVER;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct limiter *l = limiter_with(instances);
        mono_us begin = clock_mono();
        run(l);
        mono_us took = clock_mono() - begin;
        least = took < least ? took : least;
        limiter_free(l);
    }
    printf("%-40s %5.1f ns\n", what, (double)least * 1000 / PAIRS);
}

int main(void)
{
    measure("acquire + release", 1, admitted);
    measure("acquire + release, 64 instances", LIMITER_INSTANCES, admitted);
    measure("acquire + release through the queue", 1, queued);
    return 0;
}
