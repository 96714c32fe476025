/*
 * For the fuzzers: the first two bytes of the input say where to split the rest; every part is
 * passed in a block of exactly its size, so that the address sanitizer detects reads past its end.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/span.h"

#define FUZZ_CUT_BYTES 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline size_t fuzz_cut(const uint8_t *data, size_t len)
{
    return (size_t)(data[0] << 8 | data[1]) % (len + 1);
}

static inline char *fuzz_block(const void *bytes, size_t len)
{
    char *block = malloc(len > 0 ? len : 1);
    CHECK(block != NULL);
    if (len > 0)
        memcpy(block, bytes, len);
    return block;
}
