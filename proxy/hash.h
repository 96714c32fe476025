/*
 * SipHash-2-4: a hash whose values cannot be predicted without its key, so that no client can
 * choose a name that collides with another's. Pure, except for hash_key_make(); any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

struct hash_key {
    uint64_t a, b;
};

/* A random key. */
struct hash_key hash_key_make(void);

uint64_t hash_of(const struct hash_key *key, struct span s);
