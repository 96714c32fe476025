/* A reader gets the latest exemplar of each bucket, whole or not at all. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/exemplars.h"

static struct exemplars a, b;
static struct exemplar latest[EXEMPLARS_MAX];

static int fresh(void **state)
{
    (void)state;
    exemplars_init(&a);
    exemplars_init(&b);
    memset(latest, 0, sizeof(latest));
    return 0;
}

/* All of its content follows from `n`. */
static struct exemplar made(uint64_t n)
{
    struct exemplar x = {.value = (mono_us)n, .at = (wall_us)n};

    memset(x.trace, (int)(n % 251), sizeof(x.trace));
    return x;
}

static void put(struct exemplars *e, size_t bucket, uint64_t n)
{
    struct exemplar x = made(n);

    exemplars_put(e, bucket, &x);
}

static void assert_latest(size_t bucket, uint64_t n)
{
    struct exemplar want = made(n);

    assert_int_equal(latest[bucket].at, want.at);
    assert_int_equal(latest[bucket].value, want.value);
    assert_memory_equal(latest[bucket].trace, want.trace, RECORD_TRACE);
}

static void at_first_there_is_none(void **state)
{
    (void)state;
    exemplars_merge(&a, latest);
    for (size_t i = 0; i < EXEMPLARS_MAX; i++)
        assert_int_equal(latest[i].at, 0);
}

static void each_bucket_keeps_the_last_one(void **state)
{
    (void)state;
    put(&a, 0, 5);
    put(&a, 0, 7);
    put(&a, EXEMPLARS_MAX - 1, 6);
    exemplars_merge(&a, latest);
    assert_latest(0, 7);
    assert_latest(EXEMPLARS_MAX - 1, 6);
    assert_int_equal(latest[1].at, 0);
}

static void of_two_shards_the_later_one_counts(void **state)
{
    (void)state;
    put(&a, 1, 5);
    put(&b, 1, 6);
    put(&a, 2, 8);
    put(&b, 2, 7);
    exemplars_merge(&a, latest);
    exemplars_merge(&b, latest);
    assert_latest(1, 6);
    assert_latest(2, 8);
}

enum { SLOTS = 8 }; /* some of them lie across two cache lines */
static _Atomic bool stop;

static void *write_on(void *arg)
{
    (void)arg;
    for (uint64_t n = 1; !atomic_load(&stop); n++)
        put(&a, n % SLOTS, n);
    return NULL;
}

static void a_reader_never_sees_half_of_a_write(void **state)
{
    wall_us before[SLOTS] = {0};
    pthread_t writer;

    (void)state;
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&writer, NULL, write_on, NULL), 0);
    for (int i = 0; i < 20000; i++) {
        exemplars_merge(&a, latest);
        for (size_t k = 0; k < SLOTS; k++) {
            assert_true(latest[k].at >= before[k]);
            before[k] = latest[k].at;
            if (before[k] != 0)
                assert_latest(k, (uint64_t)before[k]);
        }
    }
    atomic_store(&stop, true);
    pthread_join(writer, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(at_first_there_is_none, fresh),
        cmocka_unit_test_setup(each_bucket_keeps_the_last_one, fresh),
        cmocka_unit_test_setup(of_two_shards_the_later_one_counts, fresh),
        cmocka_unit_test_setup(a_reader_never_sees_half_of_a_write, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
