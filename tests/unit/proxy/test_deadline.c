/* What the deadlines that clients declare mean, and what is no deadline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/deadline.h"
#include "proxy/http/parse.h"
#include "proxy/option_value.h"

#define S    INT64_C(1000000)
#define WALL (INT64_C(1764390000) * S)
#define ALL  (DEADLINE_BIT(DEADLINE_HEADERS) - 1)

struct row {
    const char *value;
    mono_us left; /* MALFORMED, or the time left */
};

#define MALFORMED (-1)

static void reads(enum deadline_header header, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* a copy of the exact length, so that a sanitizer sees what is read beyond it */
        size_t len = strlen(rows[i].value);
        char *copy = malloc(len + 1);
        mono_us left = -7;
        assert_non_null(copy);
        memcpy(copy, rows[i].value, len);
        copy = realloc(copy, len > 0 ? len : 1);
        assert_non_null(copy);
        bool ok = deadline_read(header, (struct span){copy, len}, WALL, &left);
        free(copy);
        if (ok != (rows[i].left != MALFORMED) || left != (ok ? rows[i].left : -7))
            fail_msg("%s: %s: %d, %lld", deadline_names[header], rows[i].value, ok,
                     (long long)left);
    }
}

#define READS(header, rows) reads(header, rows, sizeof(rows) / sizeof(rows[0]))

static void a_unix_time_is_in_seconds_or_milliseconds(void **state)
{
    static const struct row rows[] = {
        {"1764390000", 0},
        {"1764390001", S},
        {"1764390000.5", S / 2},
        {"1764390000.000001", 1},
        {"1764390000.0000019", 1},
        {"1764389999", 0},
        {"1764389999.999999", 0},
        {"0", 0},
        {"0.0", 0},
        {"00001764390002", 2 * S},
        {"1764390000000", 0},
        {"1764390000250", S / 4},
        {"1764390000250.5", S / 4 + 500},
        {"1764389999999", 0},
        {"100000000000", DEADLINE_MAX_US}, /* still seconds */
        {"100000000001", 0},               /* milliseconds, in 1973 */
        {"1796012400", 1796012400 * S - WALL},
        {"1796013000", DEADLINE_MAX_US},
        {"1000000000000000", DEADLINE_MAX_US},
        {"9223372036854775807", DEADLINE_MAX_US},
        {"9223372036854775808", DEADLINE_MAX_US},
        {"18446744073709551615", DEADLINE_MAX_US},
        {"18446744073709551616", DEADLINE_MAX_US},
        {"99999999999999999999999999999999999999999999", DEADLINE_MAX_US},
        {"", MALFORMED},
        {"-1", MALFORMED},
        {"+1764390001", MALFORMED},
        {" 1764390001", MALFORMED},
        {"1764390001 ", MALFORMED},
        {"1764390001s", MALFORMED},
        {"1764390001.", MALFORMED},
        {".5", MALFORMED},
        {".", MALFORMED},
        {"1764390001.5.5", MALFORMED},
        {"1764390001.5x", MALFORMED},
        {"1764390001.0000000000x", MALFORMED},
        {"1764390001,5", MALFORMED},
        {"1.7e9", MALFORMED},
        {"0x69", MALFORMED},
        {"nan", MALFORMED},
        {"inf", MALFORMED},
        {"2026-11-29T04:20:00Z", MALFORMED},
        {"1764390001, 1764390002", MALFORMED},
    };
    (void)state;
    READS(DEADLINE_UNIX, rows);
}

static void a_grpc_timeout_has_up_to_eight_digits_and_a_unit(void **state)
{
    static const struct row rows[] = {
        {"1H", 3600 * S},
        {"1M", 60 * S},
        {"1S", S},
        {"1m", 1000},
        {"1u", 1},
        {"1n", 0},
        {"999n", 0},
        {"1000n", 1},
        {"99999999n", 99999},
        {"99999999u", 99999999},
        {"99999999m", 99999999 * INT64_C(1000)},
        {"31622400S", DEADLINE_MAX_US},
        {"31622399S", DEADLINE_MAX_US - S},
        {"99999999H", DEADLINE_MAX_US},
        {"00000001S", S},
        {"0S", 0},
        {"000000001S", MALFORMED},
        {"123456789n", MALFORMED},
        {"", MALFORMED},
        {"S", MALFORMED},
        {"1", MALFORMED},
        {"1s", MALFORMED},
        {"1h", MALFORMED},
        {"1ms", MALFORMED},
        {"1S ", MALFORMED},
        {"1 S", MALFORMED},
        {" 1S", MALFORMED},
        {"1.5S", MALFORMED},
        {"-1S", MALFORMED},
        {"+1S", MALFORMED},
        {"1SS", MALFORMED},
        {"1S,2S", MALFORMED},
    };
    (void)state;
    READS(DEADLINE_GRPC, rows);
    mono_us left;
    assert_false(deadline_read(DEADLINE_GRPC, (struct span){"1\0", 2}, WALL, &left));
}

static void envoys_timeout_is_in_whole_milliseconds(void **state)
{
    static const struct row rows[] = {
        {"0", 0},
        {"1", 1000},
        {"250", S / 4},
        {"0000250", S / 4},
        {"31622399999", DEADLINE_MAX_US - 1000},
        {"31622400000", DEADLINE_MAX_US},
        {"31622400001", DEADLINE_MAX_US},
        {"9223372036854775807", DEADLINE_MAX_US},
        {"18446744073709551616", DEADLINE_MAX_US},
        {"18446744073709552", DEADLINE_MAX_US}, /* times 1000, a little above 2^64 */
        {"99999999999999999999999999999999", DEADLINE_MAX_US},
        {"", MALFORMED},
        {"1.5", MALFORMED},
        {"-1", MALFORMED},
        {"+1", MALFORMED},
        {"1ms", MALFORMED},
        {"1 ", MALFORMED},
        {"0x10", MALFORMED},
        {"1,2", MALFORMED},
    };
    (void)state;
    READS(DEADLINE_ENVOY, rows);
}

static void a_request_timeout_is_in_seconds(void **state)
{
    static const struct row rows[] = {
        {"0", 0},
        {"0.0", 0},
        {"0.0000001", 0},
        {"0.000001", 1},
        {"0.5", S / 2},
        {"0.05", S / 20},
        {"2", 2 * S},
        {"2.250000999", 2250000},
        {"31622399.999999", DEADLINE_MAX_US - 1},
        {"31622400", DEADLINE_MAX_US},
        {"31622400.9", DEADLINE_MAX_US},
        {"9223372036855", DEADLINE_MAX_US}, /* times a million, a little above 2^63 */
        {"18446744073709.6", DEADLINE_MAX_US},
        {"99999999999999999999999999", DEADLINE_MAX_US},
        {"", MALFORMED},
        {"5s", MALFORMED},
        {"-5", MALFORMED},
        {"1e3", MALFORMED},
        {"1,5", MALFORMED},
        {"5.", MALFORMED},
        {".5", MALFORMED},
        {"infinity", MALFORMED},
    };
    (void)state;
    READS(DEADLINE_SECONDS, rows);
}

static void no_clock_makes_a_unix_time_overflow(void **state)
{
    static const wall_us clocks[] = {INT64_MIN / 2, -1, 0, INT64_MAX / 2};
    mono_us left;
    (void)state;

    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        assert_true(deadline_read(DEADLINE_UNIX, SPAN("99999999999999999999"), clocks[i], &left));
        assert_true(left >= 0 && left <= DEADLINE_MAX_US);
        assert_true(deadline_read(DEADLINE_UNIX, SPAN("0"), clocks[i], &left));
        assert_true(left >= 0 && left <= DEADLINE_MAX_US);
    }
}

/* The time that a request with these header lines leaves. */
static mono_us left_by(const char *lines, uint32_t headers)
{
    static struct http_head head;
    const struct http_limits limits = {.max_head = 4096, .max_fields = 32};
    struct http_parser parser = {0};
    struct http_problem problem = {0};
    char bytes[1024];

    snprintf(bytes, sizeof(bytes), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    assert_int_equal(http_parse_request(&parser, bytes, strlen(bytes), &limits,
                                        SPAN("X-Request-Id"), &head, &problem),
                     HTTP_PARSE_DONE);
    return deadline_left(&head, headers, WALL);
}

static void the_shortest_of_several_counts(void **state)
{
    (void)state;
    assert_int_equal(left_by("", ALL), MONO_NEVER);
    assert_int_equal(left_by("Request-Timeout: 5\r\n", ALL), 5 * S);
    assert_int_equal(left_by("request-timeout:5\r\nGRPC-Timeout:\t4S \r\n"
                             "x-envoy-expected-rq-timeout-ms: 3000\r\n"
                             "X-Request-Deadline: 1764390002\r\n",
                             ALL),
                     2 * S);
    assert_int_equal(
        left_by("Request-Timeout: 5\r\nRequest-Timeout: 1\r\nRequest-Timeout: 3\r\n", ALL), S);
    assert_int_equal(left_by("grpc-timeout: 1S\r\nX-Request-Deadline: 1\r\n", ALL), 0);
}

static void malformed_ones_do_not_count(void **state)
{
    (void)state;
    assert_int_equal(left_by("Request-Timeout: soon\r\n", ALL), MONO_NEVER);
    assert_int_equal(left_by("Request-Timeout:\r\ngrpc-timeout: 1\r\n", ALL), MONO_NEVER);
    assert_int_equal(left_by("Request-Timeout: 1, 2\r\nRequest-Timeout: 7\r\n", ALL), 7 * S);
    assert_int_equal(left_by("Request_Timeout: 1\r\nRequest-Timeouts: 1\r\n", ALL), MONO_NEVER);
}

static void only_the_chosen_headers_count(void **state)
{
    static const char lines[] = "X-Request-Deadline: 1764390001\r\ngrpc-timeout: 2S\r\n"
                                "X-Envoy-Expected-Rq-Timeout-Ms: 3000\r\nRequest-Timeout: 4\r\n";
    (void)state;

    assert_int_equal(left_by(lines, 0), MONO_NEVER);
    for (unsigned h = 0; h < DEADLINE_HEADERS; h++)
        assert_int_equal(left_by(lines, DEADLINE_BIT(h)), (h + 1) * S);
    assert_int_equal(left_by(lines, ALL & ~DEADLINE_BIT(DEADLINE_UNIX)), 2 * S);
}

static void the_option_has_the_same_names_in_the_same_order(void **state)
{
    const struct option *o = option_find(SPAN("deadline.headers"));
    struct span list = span_of(o->words), word;
    struct config c = {.threads = 0};
    (void)state;

    for (unsigned h = 0; h < DEADLINE_HEADERS; h++) {
        assert_true(next_word(&list, &word));
        assert_true(span_equal(word, span_of(deadline_names[h])));
        assert_int_equal(option_read(o, word, &c), OPTION_READ);
        assert_int_equal(c.deadline.headers, DEADLINE_BIT(h));
        assert_int_equal(http_field_id_of(word), HTTP_FIELD_DEADLINE);
    }
    assert_false(next_word(&list, &word));
    assert_int_equal(option_read(o, span_of(o->preset), &c), OPTION_READ);
    assert_int_equal(c.deadline.headers, ALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unix_time_is_in_seconds_or_milliseconds),
        cmocka_unit_test(a_grpc_timeout_has_up_to_eight_digits_and_a_unit),
        cmocka_unit_test(envoys_timeout_is_in_whole_milliseconds),
        cmocka_unit_test(a_request_timeout_is_in_seconds),
        cmocka_unit_test(no_clock_makes_a_unix_time_overflow),
        cmocka_unit_test(the_shortest_of_several_counts),
        cmocka_unit_test(malformed_ones_do_not_count),
        cmocka_unit_test(only_the_chosen_headers_count),
        cmocka_unit_test(the_option_has_the_same_names_in_the_same_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
