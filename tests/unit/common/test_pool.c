#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/pool.h"

static void the_room_is_the_smallest_class_that_fits(void **state)
{
    static const size_t class[] = {128,   192,   256,   320,   384,   448,   512,   576,   640,
                                   704,   768,   896,   1024,  1280,  1536,  1792,  2048,  4096,
                                   8192,  12288, 16384, 20480, 24576, 28672, 32768, 36864, 40960,
                                   45056, 49152, 53248, 57344, 61440, 65536};
    size_t size = 0;

    (void)state;
    for (size_t c = 0; c < sizeof(class) / sizeof(*class); c++) {
        for (; size <= class[c]; size++)
            assert_int_equal(pool_room(size), class[c]);
    }
    assert_int_equal(pool_room(size), size);
}

static void the_whole_room_of_a_block_may_be_written(void **state)
{
    (void)state;
    struct pool *p = pool_new();
    for (size_t size = 0; size < 70000; size += 511) {
        char *block = pool_get(p, size);
        memset(block, 0xAB, pool_room(size));
        pool_put(p, block, size);
    }
    pool_free(p);
}

static void a_block_that_came_back_is_given_out_again(void **state)
{
    (void)state;
#ifdef WEIR_SANITIZED
    skip(); /* under a sanitizer every get is a malloc, by design */
#else
    struct pool *p = pool_new();
    void *first = pool_get(p, 200);
    pool_put(p, first, 200);
    void *second = pool_get(p, 256); /* the same class */
    assert_ptr_equal(first, second);
    pool_put(p, second, 256);
    pool_free(p);
#endif
}

static void blocks_in_use_never_overlap(void **state)
{
    (void)state;
    enum { N = 300 };
    struct pool *p = pool_new();
    unsigned char *block[N];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < N; i++) {
            block[i] = pool_get(p, i * 7);
            memset(block[i], (int)(i & 0xFF), pool_room(i * 7));
        }
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(block[i][0], i & 0xFF);
            assert_int_equal(block[i][pool_room(i * 7) - 1], i & 0xFF);
            pool_put(p, block[i], i * 7);
        }
    }
    pool_free(p);
}

static void more_than_a_class_keeps_goes_back_and_putting_null_is_allowed(void **state)
{
    (void)state;
    enum { N = 100 };
    struct pool *p = pool_new();
    void *block[N];
    for (int i = 0; i < N; i++)
        block[i] = pool_get(p, 65536); /* keeps 64 of these */
    for (int i = 0; i < N; i++)
        pool_put(p, block[i], 65536);
    pool_put(p, NULL, 17);
    pool_free(p); /* the address sanitizer and valgrind report leaks */
    pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_room_is_the_smallest_class_that_fits),
        cmocka_unit_test(the_whole_room_of_a_block_may_be_written),
        cmocka_unit_test(a_block_that_came_back_is_given_out_again),
        cmocka_unit_test(blocks_in_use_never_overlap),
        cmocka_unit_test(more_than_a_class_keeps_goes_back_and_putting_null_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
