/* Which class and which share of the queue a request belongs to, and the limiter's configuration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/classes.h"
#include "proxy/http/parse.h"
#include "proxy/option_value.h"

#define GET(target, fields) "GET " target " HTTP/1.1\r\nHost: a\r\n" fields "\r\n"

static const struct hash_key seed = {1, 2};

static void set(struct config *c, const char *path, const char *text)
{
    const struct option *o = option_find(span_of(path));

    assert_non_null(o);
    assert_int_equal(option_read(o, span_of(text), c), OPTION_READ);
}

static const struct http_head *parsed(const char *text)
{
    static struct http_head head;
    struct http_parser p = {0};
    struct http_limits limits = {.max_head = 8000, .max_fields = 100};
    struct http_problem problem;

    assert_int_equal(http_parse_request(&p, text, strlen(text), &limits, SPAN(""), &head, &problem),
                     HTTP_PARSE_DONE);
    return &head;
}

static unsigned found(const char *classes, const char *request)
{
    struct config c = {.threads = 0};

    set(&c, "classes", classes);
    return classes_find(&c, parsed(request), false);
}

static void the_first_class_that_matches_wins(void **state)
{
    static const char both[] = "name=a,path=/a;name=b,header=X-P,value=high;name=c,methods=POST";
    (void)state;

    assert_int_equal(found(both, GET("/", "")), 0);
    assert_int_equal(found(both, GET("/a/b", "X-P: high\r\n")), 2);
    assert_int_equal(found(both, GET("/b", "X-P: high\r\n")), 4);
    assert_int_equal(found(both, "POST / HTTP/1.1\r\nHost: a\r\n\r\n"), 6);
    assert_int_equal(found("name=a,path=/a;name=rest", GET("/b", "")), 4);
    assert_int_equal(found("none", GET("/a", "")), 0);
}

static void all_criteria_of_a_class_must_be_met(void **state)
{
    static const char one[] = "name=a,path=/a,methods=GET/HEAD,header=X-P,value=high";
    (void)state;

    assert_int_equal(found(one, GET("/a", "X-P: high\r\n")), 2);
    assert_int_equal(found(one, GET("/a", "")), 0);
    assert_int_equal(found(one, GET("/", "X-P: high\r\n")), 0);
    assert_int_equal(found(one, "POST /a HTTP/1.1\r\nHost: a\r\nX-P: high\r\n\r\n"), 0);
    assert_int_equal(found(one, "HEAD /a HTTP/1.1\r\nHost: a\r\nX-P: high\r\n\r\n"), 2);
}

static void a_value_is_compared_exactly_and_a_list_is_not_split(void **state)
{
    static const char one[] = "name=a,header=X-P,value=high", any[] = "name=a,header=X-P";
    (void)state;

    assert_int_equal(found(one, GET("/", "x-p:\t high  \r\n")), 2);
    assert_int_equal(found(one, GET("/", "X-P: High\r\n")), 0);
    assert_int_equal(found(one, GET("/", "X-P: high, low\r\n")), 0);
    assert_int_equal(found(one, GET("/", "X-P: high\r\nX-P: high\r\n")), 0);
    assert_int_equal(found(one, GET("/", "X_P: high\r\n")), 0);
    assert_int_equal(found(one, GET("/", "X-P:\r\n")), 0);
    assert_int_equal(found(any, GET("/", "X-P:\r\n")), 2);
    assert_int_equal(found(any, GET("/", "X-P: a\r\nX-P: b\r\n")), 2);
    assert_int_equal(found(any, GET("/", "X-PP: a\r\n")), 0);
}

static void a_path_is_a_prefix_byte_by_byte(void **state)
{
    (void)state;
    assert_int_equal(found("name=a,path=/reports/", GET("/reports/1?x", "")), 2);
    assert_int_equal(found("name=a,path=/reports/", GET("/reports", "")), 0);
    assert_int_equal(found("name=a,path=/reports", GET("/reports.txt", "")), 2);
    assert_int_equal(found("name=a,path=/reports/", GET("/Reports/", "")), 0);
    assert_int_equal(found("name=a,path=/reports/", GET("/r%65ports/", "")), 0);
    assert_int_equal(found("name=a,path=/reports/", GET("/x?/reports/", "")), 0);
    assert_int_equal(found("name=a,path=/reports/", GET("http://a/reports/1", "")), 2);
    assert_int_equal(found("name=a,path=/", GET("http://a?x", "")), 2);
    assert_int_equal(found("name=a,path=/", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
}

static void long_lived_requests_have_a_class_beside_their_own(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    set(&c, "classes", "name=a,path=/a");
    assert_int_equal(classes_find(&c, parsed(GET("/", "Accept: text/event-stream\r\n")), false), 1);
    assert_int_equal(classes_find(&c, parsed(GET("/a", "Accept: text/event-stream\r\n")), false),
                     3);
    assert_int_equal(classes_find(&c, parsed(GET("/a", "")), true), 3);
    assert_int_equal(classes_find(&c, parsed(GET("/", "")), false), 0); /* of the request before */
    assert_int_equal(
        classes_find(&c, parsed(GET("/a", "Accept: text/event-stream, text/html\r\n")), false), 2);
}

/* ---- fair shares ---- */

static uint8_t key_of(const struct config *c, const char *address, bool trusted, const char *fields)
{
    const struct classes_peer peer = {.address = span_of(address), .trusted = trusted};
    char request[1000];

    snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    return classes_key(c, parsed(request), &peer, &seed);
}

#define FROM(list) "X-Forwarded-For: " list "\r\n"

static void without_fair_all_share_one_key(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    assert_int_equal(key_of(&c, "192.0.2.1", false, ""), 0);
    assert_int_equal(key_of(&c, "192.0.2.2", false, "A: b\r\n"), 0);
}

static void a_header_gives_the_key(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    set(&c, "fair", "X-User");
    uint8_t anna = key_of(&c, "192.0.2.1", false, "x-user: anna\r\n");
    assert_int_equal(key_of(&c, "192.0.2.2", false, "X-User:  anna \r\n"), anna);
    assert_int_not_equal(key_of(&c, "192.0.2.1", false, "X-User: bert\r\n"), anna);
    assert_int_not_equal(key_of(&c, "192.0.2.1", false, ""), anna);
    assert_int_not_equal(key_of(&c, "192.0.2.1", false, "X-User: anna\r\nX-User: bert\r\n"), anna);
    assert_true(anna < LIMITER_KEYS);
}

static void names_are_spread_over_all_keys(void **state)
{
    struct config c = {.threads = 0};
    bool seen[LIMITER_KEYS] = {false};
    unsigned n = 0;
    char fields[40];
    (void)state;

    set(&c, "fair", "X-User");
    for (int i = 0; i < 1000; i++) {
        snprintf(fields, sizeof(fields), "X-User: %d\r\n", i);
        uint8_t key = key_of(&c, "", false, fields);
        n += !seen[key];
        seen[key] = true;
    }
    assert_int_equal(n, LIMITER_KEYS);
}

static void a_client_is_its_address(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    set(&c, "fair", "client");
    uint8_t one = key_of(&c, "192.0.2.1", false, "");
    assert_int_equal(key_of(&c, "192.0.2.1", false, FROM("198.51.100.7")), one); /* not trusted */
    assert_int_not_equal(key_of(&c, "192.0.2.2", false, ""), one);
    uint8_t six = key_of(&c, "2001:db8:0:1::1", false, "");
    assert_int_equal(key_of(&c, "2001:db8:0:1:ffff::2", false, ""), six); /* of its /64 */
    assert_int_not_equal(key_of(&c, "2001:db8:0:2::1", false, ""), six);
    assert_int_equal(key_of(&c, "", true, ""), key_of(&c, "", true, "")); /* a Unix socket */
}

static void behind_trusted_proxies_it_is_the_last_address_that_is_not_theirs(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    set(&c, "fair", "client");
    set(&c, "headers.trusted", "10.0.0.0/8,2001:db8::/32");
    uint8_t one = key_of(&c, "192.0.2.1", false, ""), proxy = key_of(&c, "10.0.0.1", true, "");
    assert_int_equal(key_of(&c, "10.0.0.1", true, FROM("192.0.2.1")), one);
    assert_int_equal(key_of(&c, "10.0.0.1", true, FROM("192.0.2.1, 10.0.0.2,10.0.0.3")), one);
    assert_int_equal(key_of(&c, "10.0.0.1", true, FROM("198.51.100.7, 192.0.2.1")), one);
    assert_int_equal(key_of(&c, "10.0.0.1", true, FROM("198.51.100.7") FROM("192.0.2.1, ,")), one);
    assert_int_equal(key_of(&c, "10.0.0.1", true, FROM("192.0.2.1:1234")), one);
    assert_int_equal(key_of(&c, "10.0.0.1", true, FROM("::ffff:192.0.2.1")), one);
    assert_int_equal(key_of(&c, "10.0.0.1", true, FROM("192.0.2.1, [2001:db8::1]:443")), one);
    assert_int_equal(key_of(&c, "10.0.0.9", true, FROM("10.0.0.1")), proxy);
    assert_int_equal(key_of(&c, "10.0.0.1", true, FROM("192.0.2.1, unknown")), proxy);
    assert_int_equal(key_of(&c, "10.0.0.1", true, FROM("10.1.0.0/16")), proxy);
    c.headers.forwarded = CONFIG_FORWARDED_REPLACE; /* as if none were trusted */
    assert_int_equal(key_of(&c, "10.0.0.1", true, FROM("192.0.2.1")), proxy);
    option_clear(&c);
}

static void of_a_long_list_only_the_end_is_looked_at(void **state)
{
    struct config c = {.threads = 0};
#define PROXIES ",10.0.0.7,10.0.0.7,10.0.0.7,10.0.0.7"
    const char *fields = FROM("192.0.2.1" PROXIES PROXIES PROXIES PROXIES);
    (void)state;

    set(&c, "fair", "client");
    set(&c, "headers.trusted", "10.0.0.0/8");
    assert_int_equal(key_of(&c, "10.0.0.1", true, fields), key_of(&c, "10.0.0.7", true, ""));
    option_clear(&c);
}

/* ---- the limiter's configuration ---- */

static void without_classes_only_long_lived_requests_have_a_pool(void **state)
{
    struct config c = {.concurrency = 8, .queue = {.length = 80, .max_bytes = 1000}};
    (void)state;

    set(&c, "upstream.max_connections", "limit");
    set(&c, "streams.max", "limit-1");
    struct limiter_config lc = classes_limiter_config(&c);
    assert_int_equal(lc.queue_length, 80);
    assert_int_equal(lc.queue_bytes, 1000);
    assert_int_equal(lc.classes, 2);
    assert_int_equal(lc.class_[0].pools, 0);
    assert_int_equal(lc.class_[1].pools, 1);
    assert_int_equal(lc.pool_max[0], 7);
    assert_int_equal(classes_count(&c), 1);
    assert_string_equal(classes_name(&c, 0), "default");
    set(&c, "concurrency", "unlimited");
    lc = classes_limiter_config(&c);
    assert_true(lc.pool_max[0] == LIMITER_UNLIMITED);
    set(&c, "streams.max", "3");
    lc = classes_limiter_config(&c);
    assert_int_equal(lc.pool_max[0], 3);
}

static void each_class_has_its_head_start_and_its_pool(void **state)
{
    struct config c = {.concurrency = 8};
    (void)state;

    set(&c, "classes", "name=a,path=/a,head_start=2s;name=b,path=/b,max=2");
    struct limiter_config lc = classes_limiter_config(&c);
    assert_int_equal(lc.classes, 6);
    for (unsigned i = 2; i < 4; i++) {
        assert_int_equal(lc.class_[i].head_start, 2000000);
        assert_int_equal(lc.class_[i + 2].head_start, 0);
    }
    assert_int_equal(lc.class_[2].pools, 0);
    assert_int_equal(lc.class_[3].pools, 1);
    assert_int_equal(lc.class_[4].pools, 1 << 2);
    assert_int_equal(lc.class_[5].pools, 1 << 2 | 1);
    assert_int_equal(lc.pool_max[2], 2);
    assert_true(lc.pool_max[1] == LIMITER_UNLIMITED && lc.pool_max[3] == LIMITER_UNLIMITED);
    assert_int_equal(classes_count(&c), 3);
    assert_string_equal(classes_name(&c, 2), "b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_class_that_matches_wins),
        cmocka_unit_test(all_criteria_of_a_class_must_be_met),
        cmocka_unit_test(a_value_is_compared_exactly_and_a_list_is_not_split),
        cmocka_unit_test(a_path_is_a_prefix_byte_by_byte),
        cmocka_unit_test(long_lived_requests_have_a_class_beside_their_own),
        cmocka_unit_test(without_fair_all_share_one_key),
        cmocka_unit_test(a_header_gives_the_key),
        cmocka_unit_test(names_are_spread_over_all_keys),
        cmocka_unit_test(a_client_is_its_address),
        cmocka_unit_test(behind_trusted_proxies_it_is_the_last_address_that_is_not_theirs),
        cmocka_unit_test(of_a_long_list_only_the_end_is_looked_at),
        cmocka_unit_test(without_classes_only_long_lived_requests_have_a_pool),
        cmocka_unit_test(each_class_has_its_head_start_and_its_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
