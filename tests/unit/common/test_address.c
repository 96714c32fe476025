/* Addresses: their forms, how they resolve, which address covers which. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/address.h"

static enum address_verdict check(const char *text)
{
    return address_check(span_of(text), 1, UINT16_MAX);
}

static struct address resolved(const char *text, enum address_use use)
{
    struct address a = {.len = 0};
    struct strbuf why = {0};

    assert_int_equal(address_check(span_of(text), 0, UINT16_MAX), ADDRESS_OK);
    address_set(&a, span_of(text));
    if (!address_resolve(&a, use, &why))
        fail_msg("%s: %s", text, strbuf_cstr(&why));
    strbuf_fini(&why);
    return a;
}

static const struct sockaddr *sa_of(const struct address *a)
{
    return (const struct sockaddr *)&a->sa;
}

static void assert_ip(const struct address *a, const char *want, unsigned port)
{
    char text[INET6_ADDRSTRLEN];

    address_ip_text(sa_of(a), text);
    assert_string_equal(text, want);
    assert_int_equal(address_port(a), port);
}

static void the_forms_of_an_address(void **state)
{
    static const char *const good[] = {
        "127.0.0.1:80", "[::1]:1", "[2001:db8::1]:65535",     "localhost:80", "a-b_c.d:80",
        ":8080",        "unix:/a", "unix:/run/with space:80",
    };
    static const char *const bad[] = {
        "",       "8000",         "host",        "host:",
        ":",      "host:80a",     "::1:80",      "[::1]80",
        "[::1",   "[x]:80",       "a b:80",      "-a:80",
        ".a:80",  "unix:",        "unix:a",      "unix:8000",
        "unix:/", "a/b:80",       "http://a:80", "a:080",
        "off",    "a:+80",        "a: 80",       "[]:80",
        "a:-1",   "[1.2.3.4]:80",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (check(good[i]) != ADDRESS_OK)
            fail_msg("%s", good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (check(bad[i]) != ADDRESS_MALFORMED)
            fail_msg("%s", bad[i]);
    }
    assert_int_equal(address_check((struct span){"unix:/a\0b", 9}, 1, 9), ADDRESS_MALFORMED);
}

static void ports_have_bounds(void **state)
{
    static const char *const bad[] = {":0", ":65536", ":99999999999999999999999", "host:70000"};
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(check(bad[i]), ADDRESS_BAD_PORT);
    assert_int_equal(address_check(SPAN(":0"), 0, 10), ADDRESS_OK);
    assert_int_equal(address_check(SPAN(":10"), 0, 10), ADDRESS_OK);
    assert_int_equal(address_check(SPAN(":11"), 0, 10), ADDRESS_BAD_PORT);
    assert_int_equal(address_check(SPAN("unix:/a"), 5, 5), ADDRESS_OK);
}

static void texts_have_bounds(void **state)
{
    char longest[200];
    (void)state;

    memset(longest, 'a', sizeof(longest));
    assert_int_equal(address_check((struct span){longest, 128}, 1, 9), ADDRESS_MALFORMED);
    memcpy(longest, "unix:/", 6);
    struct span path = {longest, 5 + ADDRESS_UNIX_PATH_MAX};
    assert_int_equal(address_check(path, 1, 9), ADDRESS_OK);
    path.len++;
    assert_int_equal(address_check(path, 1, 9), ADDRESS_PATH_TOO_LONG);
    memcpy(longest + 125, ":80", 3);
    memset(longest, 'a', 125);
    assert_int_equal(address_check((struct span){longest, 127}, 1, 9), ADDRESS_OK);
}

static void addresses_become_socket_addresses(void **state)
{
    struct address a = resolved("unix:/run/app.sock", ADDRESS_CONNECT);
    const struct sockaddr_un *un = (const void *)&a.sa;
    (void)state;

    assert_int_equal(un->sun_family, AF_UNIX);
    assert_string_equal(un->sun_path, "/run/app.sock");
    assert_int_equal(a.len, offsetof(struct sockaddr_un, sun_path) + sizeof("/run/app.sock"));
    assert_int_equal(address_port(&a), 0);
    a = resolved(":8000", ADDRESS_CONNECT);
    assert_ip(&a, "127.0.0.1", 8000);
    a = resolved("10.1.2.3:80", ADDRESS_CONNECT);
    assert_ip(&a, "10.1.2.3", 80);
    a = resolved("LocalHost:81", ADDRESS_CONNECT);
    assert_ip(&a, "127.0.0.1", 81);
    a = resolved("[2001:db8::1]:82", ADDRESS_LISTEN);
    assert_ip(&a, "2001:db8::1", 82);
    a = resolved(":0", ADDRESS_LISTEN);
    assert_true(address_is_any(&a));
}

static void a_new_text_forgets_the_old_address_and_keeps_the_mode(void **state)
{
    struct address a = resolved("10.1.2.3:80", ADDRESS_CONNECT);
    (void)state;

    a.mode = 0660;
    address_set(&a, SPAN("off"));
    assert_string_equal(a.text, "off");
    assert_int_equal(a.len, 0);
    assert_int_equal(a.mode, 0660);
    address_set(&a, (struct span){NULL, 0});
    assert_string_equal(a.text, "");
}

static void a_host_that_is_not_known_is_named(void **state)
{
    struct address a = {.len = 0};
    struct strbuf why = {0};
    (void)state;

    address_set(&a, SPAN("a..b:80"));
    assert_false(address_resolve(&a, ADDRESS_CONNECT, &why));
    assert_non_null(strstr(strbuf_cstr(&why), "cannot resolve host \"a..b\""));
    strbuf_fini(&why);
}

static void which_addresses_are_loopback_and_which_are_any(void **state)
{
    static const struct {
        const char *text;
        bool loopback, any;
    } rows[] = {
        {"127.0.0.1:1", true, false},  {"127.255.0.9:1", true, false},
        {"128.0.0.1:1", false, false}, {"0.0.0.0:1", false, true},
        {"[::]:1", false, true},       {"[::1]:1", true, false},
        {"[fe80::1]:1", false, false}, {"unix:/a", false, false},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct address a = resolved(rows[i].text, ADDRESS_LISTEN);
        assert_int_equal(address_is_loopback(&a), rows[i].loopback);
        assert_int_equal(address_is_any(&a), rows[i].any);
    }
}

static void which_listener_takes_what_is_meant_for_another(void **state)
{
    static const struct {
        const char *a, *b;
        bool covers;
    } rows[] = {
        {"127.0.0.1:80", "127.0.0.1:80", true},
        {"127.0.0.1:80", "127.0.0.1:81", false},
        {"127.0.0.1:80", "127.0.0.2:80", false},
        {"0.0.0.0:80", "127.0.0.1:80", true},
        {"[::]:80", "127.0.0.1:80", true},
        {"[::]:80", "[::1]:80", true},
        {"0.0.0.0:80", "[::]:80", true},
        {"127.0.0.1:80", "0.0.0.0:80", false},
        {"0.0.0.0:80", "192.0.2.1:80", false},
        {"0.0.0.0:0", "0.0.0.0:0", false},
        {"unix:/a", "unix:/a", true},
        {"unix:/a", "unix:/b", false},
        {"unix:/a", "127.0.0.1:80", false},
        {"0.0.0.0:80", "unix:/a", false},
    };
    struct address none = {.len = 0};
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct address a = resolved(rows[i].a, ADDRESS_LISTEN);
        struct address b = resolved(rows[i].b, ADDRESS_LISTEN);
        if (address_covers(&a, &b) != rows[i].covers)
            fail_msg("%s, %s", rows[i].a, rows[i].b);
        assert_false(address_covers(&a, &none) || address_covers(&none, &a));
    }
    assert_false(address_covers(&none, &none));
}

static void where_to_connect_to_reach_a_listener(void **state)
{
    struct address a = resolved("0.0.0.0:81", ADDRESS_LISTEN), to = address_to_reach(&a);
    (void)state;

    assert_ip(&to, "127.0.0.1", 81);
    a = resolved("[::]:82", ADDRESS_LISTEN);
    to = address_to_reach(&a);
    assert_ip(&to, "127.0.0.1", 82);
    a = resolved("192.0.2.1:83", ADDRESS_LISTEN);
    to = address_to_reach(&a);
    assert_ip(&to, "192.0.2.1", 83);
    a = resolved("unix:/a", ADDRESS_LISTEN);
    to = address_to_reach(&a);
    assert_memory_equal(&to, &a, sizeof(a));
}

static void both_ends_are_compared_by_address_and_port(void **state)
{
    struct address a = resolved("10.0.0.1:80", ADDRESS_LISTEN), b = a;
    struct address un = resolved("unix:/a", ADDRESS_LISTEN);
    (void)state;

    assert_true(address_same_end(sa_of(&a), sa_of(&b)));
    b = resolved("10.0.0.1:81", ADDRESS_LISTEN);
    assert_false(address_same_end(sa_of(&a), sa_of(&b)));
    b = resolved("10.0.0.2:80", ADDRESS_LISTEN);
    assert_false(address_same_end(sa_of(&a), sa_of(&b)));
    b = resolved("[::1]:80", ADDRESS_LISTEN);
    assert_false(address_same_end(sa_of(&a), sa_of(&b)));
    a = resolved("[::1]:80", ADDRESS_LISTEN);
    ((struct sockaddr_in6 *)(void *)&a.sa)->sin6_scope_id = 7; /* not part of the address */
    assert_true(address_same_end(sa_of(&a), sa_of(&b)));
    assert_false(address_same_end(sa_of(&un), sa_of(&un)));
}

static void the_ip_of_a_peer(void **state)
{
    struct address a = resolved("[::ffff:192.0.2.1]:80", ADDRESS_CONNECT);
    struct address un = resolved("unix:/a", ADDRESS_CONNECT);
    sa_family_t family;
    char text[INET6_ADDRSTRLEN];
    (void)state;

    assert_ip(&a, "192.0.2.1", 80);
    assert_non_null(address_ip(sa_of(&a), &family));
    assert_int_equal(family, AF_INET);
    a = resolved("[2001:db8::1]:80", ADDRESS_CONNECT);
    assert_non_null(address_ip(sa_of(&a), &family));
    assert_int_equal(family, AF_INET6);
    assert_null(address_ip(sa_of(&un), &family));
    address_ip_text(sa_of(&un), text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_forms_of_an_address),
        cmocka_unit_test(ports_have_bounds),
        cmocka_unit_test(texts_have_bounds),
        cmocka_unit_test(addresses_become_socket_addresses),
        cmocka_unit_test(a_new_text_forgets_the_old_address_and_keeps_the_mode),
        cmocka_unit_test(a_host_that_is_not_known_is_named),
        cmocka_unit_test(which_addresses_are_loopback_and_which_are_any),
        cmocka_unit_test(which_listener_takes_what_is_meant_for_another),
        cmocka_unit_test(where_to_connect_to_reach_a_listener),
        cmocka_unit_test(both_ends_are_compared_by_address_and_port),
        cmocka_unit_test(the_ip_of_a_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
