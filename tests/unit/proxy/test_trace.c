/* Which values are a traceparent, by W3C Trace Context, and the trace id in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/trace.h"

#define TRACE_ID  "0af7651916cd43dd8448eb211c80319c"
#define PARENT_ID "b7ad6b7169203331"

static const unsigned char expected[RECORD_TRACE] = {
    0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c};

/* Reads a copy of the exact length, so that a sanitizer sees what is read beyond it. */
static bool reads(const char *text, size_t len, unsigned char *id)
{
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, text, len);
    bool read = trace_read((struct span){copy, len}, id);
    free(copy);
    return read;
}

static void the_trace_id_is_read(void **state)
{
    static const char *const rows[] = {
        "00-" TRACE_ID "-" PARENT_ID "-00",
        "00-" TRACE_ID "-" PARENT_ID "-01",
        "00-" TRACE_ID "-" PARENT_ID "-ff",
        "00-" TRACE_ID "-0000000000000001-01",
        "01-" TRACE_ID "-" PARENT_ID "-01",
        "fe-" TRACE_ID "-" PARENT_ID "-01",
        "01-" TRACE_ID "-" PARENT_ID "-01-",
        "cc-" TRACE_ID "-" PARENT_ID "-01-what-the-future-will-be-like",
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char id[RECORD_TRACE] = {0};
        if (!reads(rows[i], strlen(rows[i]), id))
            fail_msg("%s", rows[i]);
        assert_memory_equal(id, expected, RECORD_TRACE);
    }
}

static void one_digit_makes_an_id_that_is_not_zero(void **state)
{
    char text[] = "00-00000000000000000000000000000000-" PARENT_ID "-01";
    (void)state;

    for (size_t i = 0; i < 2 * RECORD_TRACE; i++) {
        unsigned char id[RECORD_TRACE];
        text[3 + i] = '5';
        assert_true(reads(text, sizeof text - 1, id));
        for (size_t k = 0; k < RECORD_TRACE; k++)
            assert_int_equal(id[k], k != i / 2 ? 0 : i % 2 == 0 ? 0x50 : 5);
        text[3 + i] = '0';
    }
}

static void malformed_values_are_refused_and_change_nothing(void **state)
{
    static const char *const rows[] = {
        "",
        "00",
        "ff-" TRACE_ID "-" PARENT_ID "-01",
        "00-00000000000000000000000000000000-" PARENT_ID "-01",
        "00-" TRACE_ID "-0000000000000000-01",
        "00-" TRACE_ID "-" PARENT_ID "-01-",
        "00-" TRACE_ID "-" PARENT_ID "-01-more",
        "00-" TRACE_ID "-" PARENT_ID "-01 ",
        "01-" TRACE_ID "-" PARENT_ID "-01.",
        "01-" TRACE_ID "-" PARENT_ID "-012",
        "00-" TRACE_ID "-" PARENT_ID "-0",
        "00-" TRACE_ID "-" PARENT_ID,
        "0-" TRACE_ID "-" PARENT_ID "-01",
        " 00-" TRACE_ID "-" PARENT_ID "-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT_ID "-01",
        "00-" TRACE_ID "-B7AD6B7169203331-01",
        "0A-" TRACE_ID "-" PARENT_ID "-01",
        "00-" TRACE_ID "-" PARENT_ID "-0A",
        "00_" TRACE_ID "_" PARENT_ID "_01",
        "00-" TRACE_ID "-" PARENT_ID "-01,00-" TRACE_ID "-" PARENT_ID "-01",
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char id[RECORD_TRACE] = {7};
        if (reads(rows[i], strlen(rows[i]), id))
            fail_msg("%s", rows[i]);
        assert_int_equal(id[0], 7);
    }
}

/* Every byte of a valid value has only the digits, or the dash, that it may have. */
static void each_byte_is_checked(void **state)
{
    static const char valid[] = "00-" TRACE_ID "-" PARENT_ID "-01";
    char text[sizeof valid];
    (void)state;

    memcpy(text, valid, sizeof valid);
    for (size_t i = 0; i < sizeof valid - 1; i++) {
        for (int c = 0; c < 256; c++) {
            unsigned char id[RECORD_TRACE];
            text[i] = (char)c;
            bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            bool sound = valid[i] == '-' ? c == '-' : digit;
            if (i == 0 || i == 1) /* of a later version, still of this length */
                sound = digit;
            assert_int_equal(reads(text, sizeof valid - 1, id), sound);
        }
        text[i] = valid[i];
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_trace_id_is_read),
        cmocka_unit_test(one_digit_makes_an_id_that_is_not_zero),
        cmocka_unit_test(malformed_values_are_refused_and_change_nothing),
        cmocka_unit_test(each_byte_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
