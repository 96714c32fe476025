/* See hash.h. The algorithm is that of Aumasson and Bernstein, "SipHash: a fast short-input PRF".
 */
#include "proxy/hash.h"

#include <endian.h>
#include <string.h>
#include <sys/random.h>

#include "common/check.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void mix(struct state *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static void take_word(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    mix(s);
    mix(s);
    s->v0 ^= word;
}

static uint64_t load(const char *at, size_t len)
{
    uint64_t word = 0;

    memcpy(&word, at, len);
    return le64toh(word);
}

uint64_t hash_of(const struct hash_key *key, struct span s)
{
    struct state st = {key->a ^ UINT64_C(0x736f6d6570736575), key->b ^ UINT64_C(0x646f72616e646f6d),
                       key->a ^ UINT64_C(0x6c7967656e657261),
                       key->b ^ UINT64_C(0x7465646279746573)};
    size_t at = 0;

    for (; s.len - at >= sizeof(uint64_t); at += sizeof(uint64_t))
        take_word(&st, load(s.at + at, sizeof(uint64_t)));
    uint64_t rest = s.len > at ? load(s.at + at, s.len - at) : 0;
    take_word(&st, (uint64_t)s.len << 56 | rest);
    st.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        mix(&st);
    return st.v0 ^ st.v1 ^ st.v2 ^ st.v3;
}

struct hash_key hash_key_make(void)
{
    struct hash_key key;

    CHECK(getrandom(&key, sizeof(key), 0) == sizeof(key));
    return key;
}
