/*
 * Whether a line of the access log is what access_line.h promises, for the unit test and the
 * fuzzer: one line, safe for a terminal, and JSON that says of each text what the client sent.
 */
#pragma once

#include <string.h>

#include <jansson.h>

#include "common/strbuf.h"
#include "common/utf8.h"
#include "proxy/access_line.h"

#define JUDGE_ROOM                                                                                 \
    (sizeof(struct access_entry) + ACCESS_TARGET_MAX + ACCESS_TEXTS * ACCESS_TEXT_MAX)

static inline bool judge_is_hidden(struct span c)
{
    static const char *const hidden[] = {
        "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAA", "\xE2\x80\xAB",
        "\xE2\x80\xAC", "\xE2\x80\xAD", "\xE2\x80\xAE", "\xE2\x81\xA6",
        "\xE2\x81\xA7", "\xE2\x81\xA8", "\xE2\x81\xA9",
    };

    if (c.len == 1)
        return (unsigned char)c.at[0] < ' ' || c.at[0] == 0x7f;
    if (c.len == 2)
        return c.at[0] == '\xC2' && (unsigned char)c.at[1] < 0xA0;
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (span_equal(c, span_of(hidden[i])))
            return true;
    }
    return false;
}

/* NULL, with *why: the line is not right. The caller owns the object. */
static inline json_t *judge_line(struct span line, const char **why)
{
    json_error_t error;

    *why = "does not end with a line feed";
    if (line.len == 0 || line.at[line.len - 1] != '\n')
        return NULL;
    line.len--;
    for (size_t i = 0, n; i < line.len; i += n) {
        n = utf8_length((struct span){line.at + i, line.len - i});
        *why = "is not UTF-8";
        if (n == 0)
            return NULL;
        *why = "has a control character";
        if (judge_is_hidden((struct span){line.at + i, n}))
            return NULL;
    }
    *why = "is not a JSON object, or has a member twice";
    return json_loadb(line.at, line.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
}

/* The text that a reader of the log gets for the first `most` bytes of a text. */
static inline void judge_expect(struct span text, size_t most, struct strbuf *out)
{
    strbuf_clear(out);
    for (size_t i = 0, n; i < text.len; i += n) {
        size_t whole = utf8_length((struct span){text.at + i, text.len - i});
        n = whole == 0 ? 1 : whole;
        if (i + n > most)
            return;
        if (whole == 0)
            strbuf_adds(out, "\xEF\xBF\xBD");
        else
            strbuf_add(out, text.at + i, n);
    }
}

/* Whether the member `key` is that text, or is not there if it is empty. */
static inline bool judge_has(const json_t *object, const char *key, struct span text)
{
    const json_t *member = json_object_get(object, key);

    if (text.len == 0)
        return member == NULL;
    return json_is_string(member) &&
           span_equal((struct span){json_string_value(member), json_string_length(member)}, text);
}
