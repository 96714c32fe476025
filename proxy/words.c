/* See words.h. */
#include "proxy/words.h"

#include <stdbool.h>

bool next_word(struct span *list, struct span *word)
{
    while (list->len > 0 && *list->at == ' ')
        *list = (struct span){list->at + 1, list->len - 1};
    size_t len = 0;
    while (len < list->len && list->at[len] != ' ')
        len++;
    *word = (struct span){list->at, len};
    *list = (struct span){list->at + len, list->len - len};
    return len > 0;
}

#define NEAREST_MAX 48

/* To lower case, without separators. */
static size_t fold(struct span s, char *to)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len && n < NEAREST_MAX; i++) {
        if (s.at[i] != '_' && s.at[i] != '-' && s.at[i] != '.')
            to[n++] = span_lower(s.at[i]);
    }
    return n;
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edit distance: insertions, deletions, changes, and swaps of neighbours. */
static size_t distance(struct span s, struct span t)
{
    char a[NEAREST_MAX], b[NEAREST_MAX];
    size_t d[NEAREST_MAX + 1][NEAREST_MAX + 1], m = fold(s, a), n = fold(t, b);

    for (size_t i = 0; i <= m; i++) {
        for (size_t j = 0; j <= n; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            size_t change = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = least(d[i - 1][j] + 1, d[i][j - 1] + 1, change);
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped)
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1, d[i][j]);
        }
    }
    return d[m][n];
}

/* "warn" counts as close to "warning", regardless of the distance. */
static bool is_beginning(struct span typed, struct span word)
{
    return typed.len >= 3 && typed.len < word.len &&
           span_equal_nocase(typed, (struct span){word.at, typed.len});
}

void nearest_try(struct nearest *n, struct span word, const char *answer)
{
    size_t longest = n->typed.len > word.len ? n->typed.len : word.len;

    if (n->typed.len == 0 || n->typed.len > NEAREST_MAX)
        return;
    size_t d = distance(n->typed, word), most = longest / 4 + 1;
    if (d > most && is_beginning(n->typed, word))
        d = most;
    if (d > most)
        return;
    if (n->answer == NULL || d < n->distance) {
        n->answer = answer;
        n->distance = d;
    }
}
