/* The ring of completions: in order, without loss of a count, and it wakes once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/completions.h"

static unsigned woken;

static void wake(void *arg)
{
    *(unsigned *)arg += 1;
}

static int set_up(void **state)
{
    woken = 0;
    *state = completions_new(wake, &woken);
    return 0;
}

static int tear_down(void **state)
{
    completions_free(*state);
    return 0;
}

static struct completion take(struct completions *c)
{
    const struct completion *first = completions_first(c);

    assert_non_null(first);
    struct completion copy = *first;
    completions_drop(c);
    return copy;
}

static void what_is_put_comes_out_in_order(void **state)
{
    struct completions *c = *state;

    assert_null(completions_first(c));
    completions_put(c, 10, 7);
    completions_put(c, 20, 8);
    struct completion first = take(c), second = take(c);
    assert_int_equal(first.at, 10);
    assert_int_equal(first.inside, 7);
    assert_int_equal(first.weight, 1);
    assert_int_equal(second.at, 20);
    assert_null(completions_first(c));
}

static void a_time_that_does_not_fit_is_the_nearest_that_does(void **state)
{
    struct completions *c = *state;

    completions_put(c, 1, INT64_C(1) << 40);
    assert_int_equal(take(c).inside, UINT32_MAX);
    completions_put(c, 1, -3);
    assert_int_equal(take(c).inside, 0);
}

/* A reader that is too slow gets fewer entries, spread over all, which stand for all. */
static void a_full_ring_keeps_a_sample_and_counts_all(void **state)
{
    struct completions *c = *state;
    uint64_t counted = 0, entries = 0, last = 0;

    for (unsigned i = 1; i <= 200 * COMPLETIONS_ROOM; i++)
        completions_put(c, i, i);
    for (const struct completion *f; (f = completions_first(c)) != NULL; completions_drop(c)) {
        counted += f->weight;
        last = f->inside;
        entries++;
    }
    assert_int_equal(entries, COMPLETIONS_ROOM);
    assert_true(last > 60 * COMPLETIONS_ROOM);
    completions_put(c, 1, 1); /* stands for those that no longer had room */
    assert_int_equal(counted + take(c).weight, 200 * COMPLETIONS_ROOM + 1);
}

static void the_first_arrival_after_a_rest_wakes_once(void **state)
{
    struct completions *c = *state;

    completions_arrives(c);
    assert_int_equal(woken, 0);
    completions_rest(c);
    completions_arrives(c);
    completions_arrives(c);
    assert_int_equal(woken, 1);
    completions_rest(c);
    completions_arrives(c);
    assert_int_equal(woken, 2);
}

static void without_a_ring_nothing_happens(void **state)
{
    (void)state;
    completions_arrives(NULL);
    completions_put(NULL, 1, 1);
    completions_free(NULL);
}

enum { MANY = 300000 };

static void *put_many(void *arg)
{
    for (unsigned i = 1; i <= MANY; i++)
        completions_put(arg, i, 2 * i);
    return NULL;
}

static void another_thread_reads_whole_entries(void **state)
{
    struct completions *c = *state;
    pthread_t writer;
    uint64_t counted = 0;
    mono_us last = 0;

    assert_int_equal(pthread_create(&writer, NULL, put_many, c), 0);
    while (last < MANY / 2) {
        const struct completion *f = completions_first(c);
        if (f == NULL)
            continue;
        assert_true(f->at > last);
        assert_int_equal(f->inside, 2 * f->at);
        counted += f->weight;
        assert_int_equal(counted, f->at);
        last = f->at;
        completions_drop(c);
    }
    pthread_join(writer, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_put_comes_out_in_order),
        TEST(a_time_that_does_not_fit_is_the_nearest_that_does),
        TEST(a_full_ring_keeps_a_sample_and_counts_all),
        TEST(the_first_arrival_after_a_rest_wakes_once),
        TEST(without_a_ring_nothing_happens),
        TEST(another_thread_reads_whole_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
