/* Ranges of addresses: notation, prefix arithmetic, the named ranges at each of their edges. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/cidr.h"

static struct cidr range(const char *text)
{
    struct cidr c;

    if (!cidr_parse(span_of(text), &c))
        fail_msg("%s", text);
    return c;
}

static bool contains(const struct cidr *ranges, size_t n, int family, const char *text)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};

    if (family == AF_INET) {
        assert_int_equal(inet_pton(AF_INET, text, &four.sin_addr), 1);
        return cidr_any_contains(ranges, n, (const struct sockaddr *)&four);
    }
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return cidr_any_contains(ranges, n, (const struct sockaddr *)&six);
}

static void what_is_read_is_written_without_the_bits_behind_the_prefix(void **state)
{
    static const struct {
        const char *text, *written;
    } rows[] = {
        {"10.1.2.3/8", "10.0.0.0/8"},
        {"10.255.255.255/12", "10.240.0.0/12"},
        {"192.0.2.1", "192.0.2.1/32"},
        {"1.2.3.4/0", "0.0.0.0/0"},
        {"::1", "::1/128"},
        {"2001:db8::ff/20", "2001::/20"},
        {"2001:db8:ffff::/33", "2001:db8:8000::/33"},
        {"::/0", "::/0"},
        {"::ffff:203.0.113.1/120", "203.0.113.0/24"}, /* IPv4-mapped */
        {"::ffff:198.51.100.7", "198.51.100.7/32"},
        {"::ffff:10.0.0.0/96", "0.0.0.0/0"},
        {"::ffff:10.0.0.0/95", "::fffe:0:0/95"},
    };
    struct strbuf out = {0};
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cidr c = range(rows[i].text);
        strbuf_clear(&out);
        cidr_write(&c, &out);
        assert_string_equal(strbuf_cstr(&out), rows[i].written);
    }
    strbuf_fini(&out);
}

static void what_is_no_range(void **state)
{
    static const char *const bad[] = {
        "",
        "/8",
        "x",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/08",
        "10.0.0/8",
        "10.0.0.0/a",
        "::/129",
        "::/0128",
        "::1%lo",
        "10.0.0.0/8/8",
        "10.0.0.0/-1",
        "[::1]",
        "10.0.0.0 ",
        "10.0.0.0/256",
        "10.0.0.0/4294967304",
        "private",
    };
    struct cidr c;
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cidr_parse(span_of(bad[i]), &c))
            fail_msg("%s", bad[i]);
    }
    assert_false(cidr_parse((struct span){NULL, 0}, &c));
}

static void an_address_lies_in_a_range_by_its_prefix(void **state)
{
    struct cidr c[] = {range("10.16.0.0/12"), range("192.0.2.1"), range("2001:db8::/33")};
    (void)state;

    assert_true(contains(c, 3, AF_INET, "10.31.255.255"));
    assert_false(contains(c, 3, AF_INET, "10.32.0.0"));
    assert_false(contains(c, 3, AF_INET, "10.15.255.255"));
    assert_true(contains(c, 3, AF_INET, "192.0.2.1"));
    assert_false(contains(c, 3, AF_INET, "192.0.2.0"));
    assert_true(contains(c, 3, AF_INET6, "::ffff:10.16.0.1"));
    assert_false(contains(c, 3, AF_INET6, "::ffff:11.16.0.1"));
    assert_true(contains(c, 3, AF_INET6, "2001:db8:7fff::1"));
    assert_false(contains(c, 3, AF_INET6, "2001:db8:8000::1"));
    assert_false(contains(c, 0, AF_INET, "10.16.0.1"));

    const struct cidr_list list = {c, 3}, empty = {NULL, 0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a100001)};
    assert_true(cidr_list_contains(&list, (const struct sockaddr *)&in));
    assert_false(cidr_list_contains(&empty, (const struct sockaddr *)&in));
}

/* IPv4 and IPv6 ranges never overlap, not even with a prefix of length 0. */
static void a_family_is_no_part_of_the_other(void **state)
{
    struct cidr four = range("0.0.0.0/0"), six = range("::/0");
    struct sockaddr un = {.sa_family = AF_UNIX}, none = {.sa_family = AF_UNSPEC};
    (void)state;

    assert_true(contains(&four, 1, AF_INET, "1.2.3.4"));
    assert_true(contains(&four, 1, AF_INET6, "::ffff:1.2.3.4"));
    assert_false(contains(&four, 1, AF_INET6, "::1"));
    assert_true(contains(&six, 1, AF_INET6, "::1"));
    assert_false(contains(&six, 1, AF_INET, "1.2.3.4"));
    assert_false(cidr_any_contains(&four, 1, &un) || cidr_any_contains(&six, 1, &none));
}

static void loopback_is_the_machine_itself(void **state)
{
    struct cidr c = cidr_named(CIDR_LOOPBACK);
    (void)state;

    assert_true(contains(&c, 1, AF_INET, "127.255.0.1") && contains(&c, 1, AF_INET6, "::1"));
    assert_false(contains(&c, 1, AF_INET, "10.0.0.1") || contains(&c, 1, AF_INET6, "fe80::1"));
}

static void private_ends_at_its_edges(void **state)
{
    static const char *const four[] = {"127.0.0.1",       "127.255.255.255", "10.0.0.0",
                                       "10.255.255.255",  "172.16.0.0",      "172.31.255.255",
                                       "192.168.0.0",     "192.168.255.255", "100.64.0.0",
                                       "100.127.255.255", "169.254.0.0",     "169.254.255.255"};
    static const char *const not_four[] = {
        "126.255.255.255", "128.0.0.0",       "9.255.255.255", "11.0.0.0",       "172.15.255.255",
        "172.32.0.0",      "192.167.255.255", "192.169.0.0",   "100.63.255.255", "100.128.0.0",
        "169.253.255.255", "169.255.0.0",     "0.0.0.0",       "8.8.8.8",        "255.255.255.255"};
    static const char *const six[] = {"::1", "fe80::1", "febf:ffff::", "fc00::", "fdff::1"};
    static const char *const not_six[] = {"::",     "::2",    "fe7f::1",     "fec0::1",
                                          "fbff::", "fe00::", "2001:db8::1", "::127.0.0.1"};
    struct cidr c = cidr_named(CIDR_PRIVATE);
    char mapped[64];
    (void)state;

    for (size_t i = 0; i < sizeof(four) / sizeof(four[0]); i++) {
        (void)snprintf(mapped, sizeof(mapped), "::ffff:%s", four[i]);
        assert_true(contains(&c, 1, AF_INET, four[i]) && contains(&c, 1, AF_INET6, mapped));
    }
    for (size_t i = 0; i < sizeof(not_four) / sizeof(not_four[0]); i++) {
        (void)snprintf(mapped, sizeof(mapped), "::ffff:%s", not_four[i]);
        assert_false(contains(&c, 1, AF_INET, not_four[i]) || contains(&c, 1, AF_INET6, mapped));
    }
    for (size_t i = 0; i < sizeof(six) / sizeof(six[0]); i++)
        assert_true(contains(&c, 1, AF_INET6, six[i]));
    for (size_t i = 0; i < sizeof(not_six) / sizeof(not_six[0]); i++)
        assert_false(contains(&c, 1, AF_INET6, not_six[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_is_written_without_the_bits_behind_the_prefix),
        cmocka_unit_test(what_is_no_range),
        cmocka_unit_test(an_address_lies_in_a_range_by_its_prefix),
        cmocka_unit_test(a_family_is_no_part_of_the_other),
        cmocka_unit_test(loopback_is_the_machine_itself),
        cmocka_unit_test(private_ends_at_its_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
