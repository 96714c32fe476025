/*
 * Decimal numbers in values that a peer sends, bounded as they are read, so that no later
 * arithmetic can overflow. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/check.h"
#include "common/span.h"

/* Takes the digits at the front of `s`; a greater number counts as `most`, which is at most
 * UINT64_MAX / 10 - 1. False: there are none. */
MUST_USE bool number_take(struct span *s, uint64_t most, uint64_t *n);

/* 1*DIGIT [ "." 1*DIGIT ], and nothing else; digits after the sixth of the fraction are cut off. */
MUST_USE bool number_decimal(struct span s, uint64_t most, uint64_t *whole, uint64_t *millionths);
