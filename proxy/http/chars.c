/*
 * The table of character classes, and the scans with their vector versions. Read-only data; any
 * thread.
 */
#include "proxy/http/chars.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Sums of enum http_char. Entries that are not listed, 128 to 255, are 0. */
/* clang-format off */
const unsigned char http_chars[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* controls */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* controls */
    0, 9, 0, 1, 9, 1, 9, 9, 8, 8, 9, 9, 0, 25, 9, 0, /* SP to / */
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 0, 8, 0, 8, 0, 0, /* 0 to ? */
    0, 29, 29, 29, 29, 29, 29, 25, 25, 25, 25, 25, 25, 25, 25, 25, /* @ to O */
    25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 0, 0, 0, 1, 9, /* P to _ */
    1, 29, 29, 29, 29, 29, 29, 25, 25, 25, 25, 25, 25, 25, 25, 25, /* ` to o */
    25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 0, 1, 0, 9, 0, /* p to DEL */
};
/* clang-format on */

bool http_is_token(struct span s)
{
    return s.len > 0 && http_scan_token(s.at, s.at + s.len) == s.at + s.len;
}

const char *http_scan_token_plain(const char *at, const char *end)
{
    while (at < end && http_char_is(*at, HTTP_CHAR_TOKEN))
        at++;
    return at;
}

const char *http_scan_name_plain(const char *at, const char *end)
{
    while (at < end && http_char_is(*at, HTTP_CHAR_NAME))
        at++;
    return at;
}

const char *http_scan_field_plain(const char *at, const char *end)
{
    while (at < end && http_is_field_char(*at))
        at++;
    return at;
}

const char *http_scan_target_plain(const char *at, const char *end)
{
    while (at < end && (unsigned char)*at > 0x20 && (unsigned char)*at < 0x7f && *at != '#')
        at++;
    return at;
}

const char *http_scan_line_plain(const char *at, const char *end)
{
    while (at < end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x7f)
        at++;
    return at;
}

#ifdef __SSE2__

#define LOAD(at)         _mm_loadu_si128((const __m128i *)(const void *)(at))
#define STOPS(stops, at) ((unsigned)_mm_movemask_epi8(stops(LOAD(at))))

/* 16 bytes at a time; the last few one by one. */
#define SCAN(stops, plain)                                                                         \
    for (; end - at >= 16; at += 16) {                                                             \
        unsigned mask = STOPS(stops, at);                                                          \
        if (mask != 0)                                                                             \
            return at + __builtin_ctz(mask);                                                       \
    }                                                                                              \
    return plain(at, end)

/* x - low < count, unsigned. */
static inline __m128i in_range(__m128i x, char low, int count)
{
    const __m128i shifted = _mm_add_epi8(x, _mm_set1_epi8((char)(-128 - low)));
    return _mm_cmplt_epi8(shifted, _mm_set1_epi8((char)(-128 + count)));
}

static inline __m128i stops_name(__m128i x)
{
    const __m128i letter = in_range(_mm_or_si128(x, _mm_set1_epi8(0x20)), 'a', 26);
    const __m128i digit = in_range(x, '0', 10);
    const __m128i dash = _mm_cmpeq_epi8(x, _mm_set1_epi8('-'));
    return _mm_xor_si128(_mm_or_si128(_mm_or_si128(letter, digit), dash), _mm_set1_epi8(-1));
}

static inline __m128i stops_field(__m128i x)
{
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)), x);
    const __m128i tab = _mm_cmpeq_epi8(x, _mm_set1_epi8('\t'));
    return _mm_or_si128(_mm_andnot_si128(tab, control), _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f)));
}

/* Signed comparison: bytes from 0x80 are negative, so they stop the scan like controls. */
static inline __m128i stops_target(__m128i x)
{
    const __m128i low = _mm_cmplt_epi8(x, _mm_set1_epi8(0x21));
    const __m128i hash = _mm_cmpeq_epi8(x, _mm_set1_epi8('#'));
    return _mm_or_si128(_mm_or_si128(low, hash), _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f)));
}

static inline __m128i stops_line(__m128i x)
{
    const __m128i low = _mm_cmplt_epi8(x, _mm_set1_epi8(' '));
    return _mm_or_si128(low, _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f)));
}

#else

#define SCAN(stops, plain) return plain(at, end)

#endif

const char *http_scan_name(const char *at, const char *end)
{
    SCAN(stops_name, http_scan_name_plain);
}

const char *http_scan_token(const char *at, const char *end)
{
    at = http_scan_name(at, end);
    return at < end && *at == ':' ? at : http_scan_token_plain(at, end);
}

const char *http_scan_field(const char *at, const char *end)
{
    SCAN(stops_field, http_scan_field_plain);
}

const char *http_scan_target(const char *at, const char *end)
{
    SCAN(stops_target, http_scan_target_plain);
}

const char *http_scan_line(const char *at, const char *end)
{
    SCAN(stops_line, http_scan_line_plain);
}
