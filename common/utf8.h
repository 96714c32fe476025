/*
 * UTF-8 (RFC 3629). Pure; any thread.
 */
#pragma once

#include <stddef.h>

#include "common/span.h"

/*
 * The length in bytes of the character that `s` begins with: 1 to 4. 0: `s` is empty or begins with
 * no well-formed character. Overlong forms, surrogates and what lies above U+10FFFF are none. NUL
 * is a character.
 */
size_t utf8_length(struct span s);
