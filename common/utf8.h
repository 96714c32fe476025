/*
 * UTF-8 (RFC 3629). Pure; any thread.
 */
#pragma once

#include <stddef.h>

#include "common/span.h"

/*
 * The length in bytes of the first character of `s`: 1 to 4. 0: `s` is empty or does not start with
 * a well-formed character. Overlong forms, surrogates and code points above U+10FFFF are malformed.
 * NUL is a character.
 */
size_t utf8_length(struct span s);
