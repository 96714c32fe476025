/* The ring between a loop and the writer of the access log. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/access_ring.h"
#include "tests/unit/limiter/dice.h"

#define SIZE 1024

static int set_up(void **state)
{
    *state = access_ring_new(SIZE);
    return 0;
}

static int tear_down(void **state)
{
    access_ring_free(*state);
    return 0;
}

/* The entry of number `i`: `n` bytes of at least 4. */
static bool put(struct access_ring *r, uint32_t i, size_t n)
{
    unsigned char *at = access_ring_reserve(r, n);

    if (at == NULL)
        return false;
    memset(at, (int)(i & 0xff), n);
    memcpy(at, &i, sizeof(i));
    access_ring_commit(r, n);
    return true;
}

static void take(struct access_ring *r, uint32_t i, size_t n)
{
    const unsigned char *at = access_ring_peek(r);
    uint32_t got;

    assert_non_null(at);
    memcpy(&got, at, sizeof(got));
    assert_int_equal(got, i);
    for (size_t k = sizeof(got); k < n; k++)
        assert_int_equal(at[k], i & 0xff);
    access_ring_pop(r);
}

static void an_empty_ring_has_no_entry(void **state)
{
    assert_null(access_ring_peek(*state));
    assert_false(access_ring_is_filling(*state));
}

static void what_is_reserved_is_no_entry_yet(void **state)
{
    assert_non_null(access_ring_reserve(*state, 8));
    assert_null(access_ring_peek(*state));
}

static void entries_are_aligned_and_keep_their_order(void **state)
{
    struct access_ring *r = *state;

    for (uint32_t i = 0; i < 10; i++)
        assert_true(put(r, i, 5 + i));
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal((uintptr_t)access_ring_peek(r) % 8, 0);
        take(r, i, 5 + i);
    }
    assert_null(access_ring_peek(r));
}

static void a_full_ring_drops_and_counts(void **state)
{
    struct access_ring *r = *state;
    uint32_t n = 0;

    while (put(r, n, 100))
        n++;
    assert_int_equal(n, SIZE / 112);
    assert_false(put(r, 99, 100));
    assert_int_equal(access_ring_dropped(r), 2);
    take(r, 0, 100);
    take(r, 1, 100);
    assert_true(put(r, n, 100));
    for (uint32_t i = 2; i <= n; i++)
        take(r, i, 100);
    assert_int_equal(access_ring_dropped(r), 2);
}

static void it_is_filling_when_more_than_a_quarter_is_used(void **state)
{
    struct access_ring *r = *state;

    for (uint32_t i = 0; i < 2; i++)
        assert_true(put(r, i, 120));
    assert_false(access_ring_is_filling(r));
    assert_true(put(r, 2, 120));
    assert_true(access_ring_is_filling(r));
    take(r, 0, 120);
    assert_false(access_ring_is_filling(r));
}

/* So that an idle weir's ring stays in the cache. */
static void an_empty_ring_begins_again_at_its_beginning(void **state)
{
    struct access_ring *r = *state;
    const char *first = NULL, *farthest = NULL;

    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(put(r, i, 40));
        const char *at = access_ring_peek(r);
        if (i == 0)
            first = at;
        if (at > farthest)
            farthest = at;
        take(r, i, 40);
    }
    assert_true(farthest - first < SIZE / 2);
}

static void it_holds_what_a_queue_would(void **state)
{
    struct access_ring *r = *state;
    uint64_t dice = dice_number("WEIR_SEED", 1);
    size_t length[256];
    uint32_t first = 0, next = 0;
    uint64_t drops = 0;

    for (int i = 0; i < 200000; i++) {
        if (dice_roll(&dice) % 2 == 0) {
            size_t n = 4 + dice_roll(&dice) % (SIZE / 4 - 12);
            length[next % 256] = n;
            if (put(r, next, n))
                next++;
            else
                drops++;
        } else if (first != next) {
            take(r, first, length[first % 256]);
            first++;
        } else {
            assert_null(access_ring_peek(r));
        }
    }
    assert_int_equal(access_ring_dropped(r), drops);
    assert_true(drops > 0);
}

#define ENTRIES 300000

static size_t length_of(uint32_t i)
{
    return 4 + i * 7 % 200;
}

static void *put_all(void *arg)
{
    for (uint32_t i = 0; i < ENTRIES;) {
        if (put(arg, i, length_of(i)))
            i++;
        else
            sched_yield();
    }
    return NULL;
}

static void two_threads_pass_every_entry_once(void **state)
{
    struct access_ring *r = *state;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, put_all, r), 0);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        while (access_ring_peek(r) == NULL)
            sched_yield();
        take(r, i, length_of(i));
    }
    pthread_join(thread, NULL);
    assert_null(access_ring_peek(r));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_ring_has_no_entry),
        TEST(what_is_reserved_is_no_entry_yet),
        TEST(entries_are_aligned_and_keep_their_order),
        TEST(a_full_ring_drops_and_counts),
        TEST(it_is_filling_when_more_than_a_quarter_is_used),
        TEST(an_empty_ring_begins_again_at_its_beginning),
        TEST(it_holds_what_a_queue_would),
        TEST(two_threads_pass_every_entry_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
