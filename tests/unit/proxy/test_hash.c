/* SipHash-2-4, against the vectors of its authors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/hash.h"

static void the_authors_vectors_are_met(void **state)
{
    static const struct {
        size_t len;
        uint64_t hash;
    } rows[] = {{0, UINT64_C(0x726fdb47dd0e0e31)},
                {1, UINT64_C(0x74f839c593dc67fd)},
                {8, UINT64_C(0x93f5f5799a932462)},
                {15, UINT64_C(0xa129ca6149be45e5)}};
    const struct hash_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    char bytes[16];
    (void)state;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_true(hash_of(&key, (struct span){bytes, rows[i].len}) == rows[i].hash);
    assert_true(hash_of(&key, (struct span){NULL, 0}) == rows[0].hash);
}

static void each_key_gives_other_values(void **state)
{
    struct hash_key one = hash_key_make(), other = hash_key_make();
    (void)state;

    assert_true(one.a != other.a && one.b != other.b);
    assert_true(hash_of(&one, SPAN("alice")) == hash_of(&one, SPAN("alice")));
    assert_true(hash_of(&one, SPAN("alice")) != hash_of(&other, SPAN("alice")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_authors_vectors_are_met),
        cmocka_unit_test(each_key_gives_other_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
