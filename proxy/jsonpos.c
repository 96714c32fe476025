#include "proxy/jsonpos.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define EXCERPT_BEFORE 60 /* characters of a long line shown before and after an error */
#define NUMBER_MAX     18 /* characters: any such integer fits into 64 bits */
#define EXCERPT_AFTER  60

struct scan {
    struct jsonpos *jp;
    size_t at;
    unsigned depth;
};

static bool scan_value(struct scan *s);

/* ---- characters ----------------------------------------------------------------------------- */

/* The byte at this offset from here; 0 past the end. The caller has checked that the text has no
 * NUL. */
static char peek(const struct scan *s, size_t ahead)
{
    size_t at = s->at + ahead;
    return at < s->jp->text.len ? s->jp->text.at[at] : '\0';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct scan *s)
{
    while (is_space(peek(s, 0)))
        s->at++;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word_char(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '.' || c == '-' || c == '+' || c == ':' || c == '/';
}

static size_t word_len(const struct scan *s)
{
    size_t len = 0;
    while (is_word_char(peek(s, len)))
        len++;
    return len;
}

/* A truncated text is reported after its last visible character. */
static size_t end_without_space(struct span text)
{
    while (text.len > 0 && is_space(text.at[text.len - 1]))
        text.len--;
    return text.len;
}

PRINTF_LIKE(4, 5)
static bool fail(struct scan *s, size_t at, size_t len, const char *fmt, ...)
{
    char text[160];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (at >= s->jp->text.len)
        at = end_without_space(s->jp->text);
    s->jp->bad_at = at;
    s->jp->bad_len = len;
    strbuf_adds(&s->jp->bad, text);
    return false;
}

static size_t line_at(const struct scan *s, size_t at)
{
    return jsonpos_place(s->jp->text, at).line;
}

static size_t add_node(struct jsonpos *jp)
{
    if (jp->n == jp->room) {
        jp->room = jp->room == 0 ? 64 : jp->room * 2;
        jp->nodes = realloc(jp->nodes, jp->room * sizeof(*jp->nodes));
        CHECK(jp->nodes != NULL);
    }
    jp->nodes[jp->n] = (struct jsonpos_node){0};
    return jp->n++;
}

/* ---- common mistakes ------------------------------------------------------------------------ */

static bool is_comment(const struct scan *s)
{
    char c = peek(s, 0), next = peek(s, 1);
    return c == '#' || (c == '/' && (next == '/' || next == '*'));
}

static bool fail_comment(struct scan *s)
{
    return fail(s, s->at, 2,
                "JSON has no comments; use a key that begins with //, such as "
                "\"//\": \"text\"");
}

/* Reports something that cannot begin a value. */
static bool fail_value(struct scan *s)
{
    size_t len = word_len(s);

    if (is_comment(s))
        return fail_comment(s);
    if (peek(s, 0) == '\'')
        return fail(s, s->at, 1, "strings need double quotes");
    if (s->at >= s->jp->text.len)
        return fail(s, s->at, 1, "the file ends where a value is expected");
    if (len == 0)
        return fail(s, s->at, 1, "missing value");
    return fail(s, s->at, len, "expected a string in double quotes, a number, true, false or null");
}

/* Reports something that cannot begin a key. */
static bool fail_key(struct scan *s, size_t open)
{
    size_t len = word_len(s);

    if (is_comment(s))
        return fail_comment(s);
    if (s->at >= s->jp->text.len)
        return fail(s, s->at, 1, "\"}\" is missing for the \"{\" on line %zu", line_at(s, open));
    if (peek(s, 0) == '\'')
        return fail(s, s->at, 1, "keys need double quotes");
    return fail(s, s->at, len == 0 ? 1 : len, "expected a key in double quotes");
}

/* Reports that a value is followed by neither a comma nor the closing bracket. */
static bool fail_after(struct scan *s, size_t open, char close)
{
    size_t end = s->at;

    if (is_comment(s))
        return fail_comment(s);
    if (s->at >= s->jp->text.len)
        return fail(s, s->at, 1, "\"%c\" is missing for the \"%c\" on line %zu", close,
                    s->jp->text.at[open], line_at(s, open));
    if (peek(s, 0) == '}' || peek(s, 0) == ']')
        return fail(s, s->at, 1, "\"%c\" does not close the \"%c\" on line %zu", peek(s, 0),
                    s->jp->text.at[open], line_at(s, open));
    while (is_space(s->jp->text.at[end - 1]))
        end--;
    return fail(s, end, 1, "missing comma after this value");
}

/* So common that the scan continues. */
static void note_trailing_comma(struct jsonpos *jp, size_t comma)
{
    if (jp->n_commas == jp->commas_room) {
        jp->commas_room = jp->commas_room == 0 ? 8 : jp->commas_room * 2;
        jp->commas = realloc(jp->commas, jp->commas_room * sizeof(*jp->commas));
        CHECK(jp->commas != NULL);
    }
    jp->commas[jp->n_commas++] = comma;
}

/* ---- strings, numbers, words ---------------------------------------------------------------- */

static bool scan_escape(struct scan *s)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    char c = peek(s, 1);

    if (c == 'u') {
        for (size_t i = 2; i < 6; i++) {
            if (peek(s, i) == '\0' || strchr(hex, peek(s, i)) == NULL)
                return fail(s, s->at, i, "\\u needs four hexadecimal digits");
        }
        s->at += 6;
        return true;
    }
    if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL)
        return fail(s, s->at, 2, "unknown escape; write a backslash as \\\\");
    s->at += 2;
    return true;
}

static bool scan_string(struct scan *s)
{
    size_t open = s->at++;

    while (peek(s, 0) != '"') {
        unsigned char c = (unsigned char)peek(s, 0);
        if (c == '\n' || c == '\r' || s->at >= s->jp->text.len)
            return fail(s, open, s->at - open, "missing closing quote");
        if (c < 0x20)
            return fail(s, s->at, 1, "control character in a string; write \\u%04x", c);
        if (c != '\\')
            s->at++;
        else if (!scan_escape(s))
            return false;
    }
    s->at++;
    return true;
}

static void skip_digits(struct scan *s)
{
    while (is_digit(peek(s, 0)))
        s->at++;
}

static bool number_follows(struct scan *s)
{
    size_t from = s->at;

    skip_digits(s);
    return s->at > from;
}

static bool number_is_well_formed(struct scan *s)
{
    s->at += peek(s, 0) == '-';
    if (peek(s, 0) == '0')
        s->at++;
    else if (!number_follows(s))
        return false;
    if (peek(s, 0) == '.') {
        s->at++;
        if (!number_follows(s))
            return false;
    }
    if (peek(s, 0) == 'e' || peek(s, 0) == 'E') {
        s->at++;
        s->at += peek(s, 0) == '+' || peek(s, 0) == '-';
        if (!number_follows(s))
            return false;
    }
    return !is_word_char(peek(s, 0));
}

static bool scan_number(struct scan *s)
{
    size_t from = s->at;

    bool ok = number_is_well_formed(s);
    size_t size = s->at - from;
    if (ok && size > NUMBER_MAX)
        return fail(s, from, size, "the number is too long");
    if (ok)
        return true;
    s->at = from;
    size_t len = word_len(s);
    if (len > 1 && peek(s, 0) == '0' && is_digit(peek(s, 1)))
        return fail(s, from, len, "a number cannot begin with 0");
    return fail(s, from, len, "not a number; strings need double quotes");
}

static bool scan_word(struct scan *s)
{
    static const char *const words[] = {"true", "false", "null"};
    struct span word = {s->jp->text.at + s->at, word_len(s)};

    for (size_t i = 0; i < 3; i++) {
        if (span_equal(word, span_of(words[i]))) {
            s->at += word.len;
            return true;
        }
        if (span_equal_nocase(word, span_of(words[i])))
            return fail(s, s->at, word.len, "JSON spells this %s", words[i]);
    }
    if (span_equal(word, SPAN("None")))
        return fail(s, s->at, word.len, "JSON spells this null");
    return fail_value(s);
}

/* ---- objects and lists ---------------------------------------------------------------------- */

static bool scan_key(struct scan *s, size_t open)
{
    size_t node = s->jp->n, from = s->at;

    if (peek(s, 0) != '"')
        return fail_key(s, open);
    if (!scan_string(s))
        return false;
    size_t len = s->at - from;
    skip_space(s);
    if (peek(s, 0) != ':')
        return fail(s, from, len, "expected a colon and a value after this key");
    s->at++;
    if (!scan_value(s))
        return false;
    s->jp->nodes[node].key_at = from;
    s->jp->nodes[node].key_len = len;
    return true;
}

/* One member of an object or one element of a list; `close` tells which. */
static bool scan_member(struct scan *s, size_t open, char close)
{
    return close == '}' ? scan_key(s, open) : scan_value(s);
}

/* From the opening bracket to after the closing one. */
static bool scan_bracketed(struct scan *s, char close)
{
    size_t open = s->at++;

    if (++s->depth > JSONPOS_MAX_DEPTH)
        return fail(s, open, 1, "nested more than %d levels deep", JSONPOS_MAX_DEPTH);
    skip_space(s);
    bool more = peek(s, 0) != close;
    while (more) {
        if (!scan_member(s, open, close))
            return false;
        skip_space(s);
        more = peek(s, 0) == ',';
        if (!more && peek(s, 0) != close)
            return fail_after(s, open, close);
        size_t comma = s->at;
        s->at += more;
        skip_space(s);
        if (more && peek(s, 0) == close) {
            note_trailing_comma(s->jp, comma);
            more = false;
        }
    }
    s->at++;
    s->depth--;
    return true;
}

static bool scan_any(struct scan *s)
{
    char c = peek(s, 0);

    if (c == '{')
        return scan_bracketed(s, '}');
    if (c == '[')
        return scan_bracketed(s, ']');
    if (c == '"')
        return scan_string(s);
    if (is_digit(c) || c == '-')
        return scan_number(s);
    return scan_word(s);
}

static bool scan_value(struct scan *s)
{
    skip_space(s);
    size_t node = add_node(s->jp), from = s->at;

    if (!scan_any(s))
        return false;
    s->jp->nodes[node].at = from;
    s->jp->nodes[node].len = s->at - from;
    s->jp->nodes[node].end = s->jp->n;
    return true;
}

bool jsonpos_scan(struct jsonpos *jp, struct span text)
{
    struct scan s = {.jp = jp};

    jp->text = text;
    if (!scan_value(&s))
        return false;
    skip_space(&s);
    if (s.at == text.len)
        return true;
    if (is_comment(&s))
        return fail_comment(&s);
    return fail(&s, s.at, 1, "unexpected text after the value that begins on line %zu",
                line_at(&s, jp->nodes[0].at));
}

void jsonpos_fini(struct jsonpos *jp)
{
    free(jp->nodes);
    free(jp->commas);
    strbuf_fini(&jp->bad);
    *jp = (struct jsonpos){0};
}

struct span jsonpos_key(const struct jsonpos *jp, size_t i)
{
    return (struct span){jp->text.at + jp->nodes[i].key_at, jp->nodes[i].key_len};
}

struct span jsonpos_value(const struct jsonpos *jp, size_t i)
{
    return (struct span){jp->text.at + jp->nodes[i].at, jp->nodes[i].len};
}

/* ---- excerpts ------------------------------------------------------------------------------- */

static bool begins_character(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

static size_t line_start(struct span text, size_t at)
{
    while (at > 0 && text.at[at - 1] != '\n')
        at--;
    return at;
}

static size_t line_end(struct span text, size_t at)
{
    while (at < text.len && text.at[at] != '\n' && text.at[at] != '\r')
        at++;
    return at;
}

struct jsonpos_place jsonpos_place(struct span text, size_t at)
{
    struct jsonpos_place place = {1, 1};
    size_t start = line_start(text, at);

    for (size_t i = 0; i < start; i++)
        place.line += text.at[i] == '\n';
    for (size_t i = start; i < at && i < text.len; i++)
        place.column += begins_character(text.at[i]);
    return place;
}

/* Control characters are not printed, except tabs, which appear in both lines. */
static void add_visible(char c, struct strbuf *out)
{
    if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f)
        c = '?';
    strbuf_add(out, &c, 1);
}

static void add_blanks(struct span s, struct strbuf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        if (begins_character(s.at[i]))
            strbuf_adds(out, s.at[i] == '\t' ? "\t" : " ");
    }
}

static void add_underline(struct span s, struct strbuf *out)
{
    strbuf_adds(out, "^");
    for (size_t i = 1; i < s.len; i++) {
        if (begins_character(s.at[i]))
            strbuf_adds(out, "~");
    }
}

void jsonpos_excerpt(struct span text, size_t at, size_t len, const char *note, struct strbuf *out)
{
    size_t start = line_start(text, at), end = line_end(text, at);
    const char *cut_before = "", *cut_after = "";

    if (len > end - at)
        len = end > at ? end - at : 1;
    if (at - start > EXCERPT_BEFORE) {
        start = at - EXCERPT_BEFORE;
        cut_before = "...";
    }
    while (start < at && !begins_character(text.at[start]))
        start++;
    if (len > EXCERPT_AFTER)
        len = EXCERPT_AFTER;
    if (end - at > len + EXCERPT_AFTER) {
        end = at + len + EXCERPT_AFTER;
        cut_after = "...";
    }
    while (end > at + len && end < text.len && !begins_character(text.at[end]))
        end--;
    strbuf_addf(out, "%5zu | %s", jsonpos_place(text, at).line, cut_before);
    for (size_t i = start; i < end; i++)
        add_visible(text.at[i], out);
    strbuf_addf(out, "%s\n      | %s", cut_after, *cut_before == '\0' ? "" : "   ");
    add_blanks((struct span){text.at + start, at - start}, out);
    size_t room = at < text.len ? (len < text.len - at ? len : text.len - at) : 0;
    add_underline((struct span){text.at + at, room}, out);
    strbuf_addf(out, "%s%s\n", *note == '\0' ? "" : " ", note);
}
