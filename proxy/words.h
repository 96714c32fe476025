/*
 * Lists of words, as the option table has them, and the word that somebody may have meant. Pure; no
 * state; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/span.h"

/* Finds the word nearest to what was typed. Zero-initialise all but `typed`. */
struct nearest {
    struct span typed;
    const char *answer; /* NULL: no word is near */
    size_t distance;
};

/* Compares `word`, ignoring case, '_' and '-'; `answer` is the suggestion for it. */
void nearest_try(struct nearest *n, struct span word, const char *answer);

/* Removes the next word from `list`; false at its end. */
bool next_word(struct span *list, struct span *word);
