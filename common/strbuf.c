#include "common/strbuf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

#define SMALLEST 64

/* Makes room for `more` bytes and the NUL. Doubles the size, so that adding takes linear time. */
static void reserve(struct strbuf *sb, size_t more)
{
    CHECK(more < SIZE_MAX / 2 - sb->len);
    size_t need = sb->len + more + 1;
    if (need <= sb->room)
        return;
    size_t room = sb->room < SMALLEST ? SMALLEST : sb->room * 2;
    if (room < need)
        room = need;
    char *at = realloc(sb->at, room);
    CHECK(at != NULL);
    sb->at = at;
    sb->room = room;
}

void strbuf_fini(struct strbuf *sb)
{
    free(sb->at);
    *sb = (struct strbuf){0};
}

void strbuf_clear(struct strbuf *sb)
{
    sb->len = 0;
    if (sb->at != NULL)
        sb->at[0] = '\0';
}

void strbuf_add(struct strbuf *sb, const void *bytes, size_t len)
{
    reserve(sb, len);
    if (len > 0)
        memcpy(sb->at + sb->len, bytes, len);
    sb->len += len;
    sb->at[sb->len] = '\0';
}

void strbuf_add_span(struct strbuf *sb, struct span s)
{
    strbuf_add(sb, s.at, s.len);
}

void strbuf_adds(struct strbuf *sb, const char *text)
{
    strbuf_add(sb, text, strlen(text));
}

void strbuf_addf(struct strbuf *sb, const char *fmt, ...)
{
    reserve(sb, 0);
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(sb->at + sb->len, sb->room - sb->len, fmt, args);
    CHECK(n >= 0);
    if ((size_t)n >= sb->room - sb->len) {
        reserve(sb, (size_t)n);
        n = vsnprintf(sb->at + sb->len, sb->room - sb->len, fmt, again);
        CHECK(n >= 0);
    }
    sb->len += (size_t)n;
    va_end(again);
    va_end(args);
}

static void add_json_ascii(struct strbuf *sb, char c)
{
    switch (c) {
    case '"':
        strbuf_adds(sb, "\\\"");
        break;
    case '\\':
        strbuf_adds(sb, "\\\\");
        break;
    case '\n':
        strbuf_adds(sb, "\\n");
        break;
    case '\r':
        strbuf_adds(sb, "\\r");
        break;
    case '\t':
        strbuf_adds(sb, "\\t");
        break;
    default:
        if ((unsigned char)c < 0x20 || c == 0x7F)
            strbuf_addf(sb, "\\u%04x", (unsigned)c);
        else
            strbuf_add(sb, &c, 1);
    }
}

void strbuf_add_json(struct strbuf *sb, struct span s)
{
    size_t i = 0;
    strbuf_adds(sb, "\"");
    while (i < s.len) {
        size_t n = utf8_length((struct span){s.at + i, s.len - i});
        if (n == 0)
            strbuf_adds(sb, "\xEF\xBF\xBD");
        else if (n == 1)
            add_json_ascii(sb, s.at[i]);
        else
            strbuf_add(sb, s.at + i, n);
        i += n == 0 ? 1 : n;
    }
    strbuf_adds(sb, "\"");
}

const char *strbuf_cstr(const struct strbuf *sb)
{
    return sb->at == NULL ? "" : sb->at;
}
