/*
 * Random numbers for the limiter's tests: reproducible, from a seed that a test prints or fixes.
 */
#pragma once

#include <stdint.h>
#include <stdlib.h>

/* splitmix64: the next number of the sequence that `*state` stands for. */
static inline uint64_t dice_roll(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* A number that is set in the environment, such as WEIR_SEED; or else, or if it is 0, `otherwise`.
 */
static inline uint64_t dice_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t given = text != NULL ? strtoull(text, NULL, 10) : 0;

    return given != 0 ? given : otherwise;
}
