/* UTF-8: every boundary in the table of RFC 3629, and each kind of malformed sequence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/utf8.h"

static void the_boundaries_of_each_length(void **state)
{
    const struct {
        struct span text;
        size_t len;
    } rows[] = {
        {SPAN("a"), 1},
        {SPAN("\x7F"), 1},
        {{"", 1}, 1}, /* NUL */
        {SPAN("\xC2\x80"), 2},
        {SPAN("\xDF\xBF"), 2},
        {SPAN("\xE0\xA0\x80"), 3},
        {SPAN("\xED\x9F\xBF"), 3},
        {SPAN("\xEE\x80\x80"), 3},
        {SPAN("\xEF\xBF\xBF"), 3},
        {SPAN("\xF0\x90\x80\x80"), 4},
        {SPAN("\xF4\x8F\xBF\xBF"), 4},
        {SPAN("\xC3\xA9t\xC3\xA9"), 2}, /* following bytes do not matter */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(utf8_length(rows[i].text), rows[i].len);
}

static void what_is_not_well_formed(void **state)
{
    const struct span rows[] = {
        {"", 0},                  /* empty */
        SPAN("\x80"),             /* a lone continuation byte */
        SPAN("\xC0\x80"),         /* overlong */
        SPAN("\xC1\xBF"),         /* overlong */
        SPAN("\xE0\x9F\xBF"),     /* overlong */
        SPAN("\xF0\x8F\xBF\xBF"), /* overlong */
        SPAN("\xED\xA0\x80"),     /* a surrogate */
        SPAN("\xF4\x90\x80\x80"), /* above U+10FFFF */
        SPAN("\xF5\x80\x80\x80"), /* never a first byte */
        SPAN("\xFF"),             /* never a first byte */
        SPAN("\xC3"),             /* truncated */
        SPAN("\xE2\x82"),         /* truncated */
        SPAN("\xF0\x9F\x98"),     /* truncated */
        SPAN("\xC3("),            /* bad second byte */
        SPAN("\xE2\x82("),        /* bad third byte */
        SPAN("\xF0\x9F\x98\xC0"), /* bad fourth byte */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(utf8_length(rows[i]), 0);
}

/* Encodes a code point as RFC 3629 section 3 defines it. */
static size_t encode(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    static const unsigned char marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(marks[n] | c);
    return n;
}

static void every_code_point(void **state)
{
    char text[4];

    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        size_t n = encode(c, text);
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        assert_int_equal(utf8_length((struct span){text, n}), surrogate ? 0 : n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_boundaries_of_each_length),
        cmocka_unit_test(what_is_not_well_formed),
        cmocka_unit_test(every_code_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
