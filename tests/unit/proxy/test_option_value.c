#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "proxy/option_value.h"

static const struct option *opt(const char *path)
{
    const struct option *o = option_find(span_of(path));
    assert_non_null(o);
    return o;
}

static enum option_verdict read_into(struct config *c, const char *path, const char *text)
{
    return option_read(opt(path), span_of(text), c);
}

static void assert_text(const struct config *c, const char *path, const char *expected)
{
    struct strbuf out = {0};

    option_write_text(opt(path), c, &out);
    assert_string_equal(strbuf_cstr(&out), expected);
    strbuf_fini(&out);
}

static void assert_json(const struct config *c, const char *path, const char *expected)
{
    struct strbuf out = {0};

    option_write_json(opt(path), c, &out);
    assert_string_equal(strbuf_cstr(&out), expected);
    strbuf_fini(&out);
}

static void every_default_can_be_read_and_written_back(void **state)
{
    struct config c = {.threads = 0}, again = {.threads = 0};
    (void)state;

    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        struct strbuf text = {0};
        /* the default of a set may be too long for a table */
        assert_true((o->preset == NULL) != (o->computed == NULL) || o->type == OPTION_SET);
        assert_true(o->help[strlen(o->help) - 1] != '.');
        if (o->preset == NULL)
            continue;
        assert_int_equal(option_read(o, span_of(o->preset), &c), OPTION_READ);
        option_write_text(o, &c, &text);
        struct span s = {strbuf_cstr(&text), text.len};
        assert_int_equal(option_read(o, s, &again), OPTION_READ);
        strbuf_fini(&text);
    }
    assert_int_equal(c.headers.trusted.n, 1);
    assert_memory_equal(c.headers.trusted.at, again.headers.trusted.at, sizeof(struct cidr));
    option_clear(&c); /* the lists are at different addresses */
    option_clear(&again);
    assert_memory_equal(&c, &again, offsetof(struct config, refs));
}

static void a_duration_may_be_read_alone(void **state)
{
    mono_us us = 7;
    (void)state;

    assert_true(option_read_duration(SPAN("250ms"), &us) && us == 250000);
    assert_true(option_read_duration(SPAN("0s"), &us) && us == 0);
    assert_true(option_read_duration(SPAN("1h"), &us) && us == INT64_C(3600000000));
    assert_false(option_read_duration(SPAN("25"), &us) || option_read_duration(SPAN(""), &us));
    assert_false(option_read_duration(SPAN("61m"), &us) || option_read_duration(SPAN("-1s"), &us));
    assert_false(option_read_duration(SPAN("99999999999999999999999s"), &us));
    assert_int_equal(us, INT64_C(3600000000));
}

/* Neither as JSON nor as text; test_option_hint.c tests the hint about a wrong one. */
static void a_secret_is_never_shown(void **state)
{
    static const char *const bad[] = {"short", "0123456789abcde", "0123456789abcde f",
                                      "0123456789abcde\"", "0123456789abcde\xc3\xa9"};
    struct config c = {.threads = 0};
    char longest[130];
    (void)state;

    assert_json(&c, "admin.token", "\"\"");
    assert_int_equal(read_into(&c, "admin.token", "0123456789aB-._~+/="), OPTION_READ);
    assert_string_equal(c.admin.token, "0123456789aB-._~+/=");
    assert_json(&c, "admin.token", "\"***\"");
    assert_text(&c, "admin.token", "***");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(read_into(&c, "admin.token", bad[i]), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "admin.token", OPTION_MASK), OPTION_MALFORMED);
    memset(longest, 'x', sizeof(longest));
    longest[129] = '\0';
    assert_int_equal(read_into(&c, "admin.token", longest), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "admin.token", longest + 1), OPTION_READ);
    assert_int_equal(read_into(&c, "admin.token", ""), OPTION_READ);
    assert_json(&c, "admin.token", "\"\"");
}

static void each_list_of_ranges_is_its_own(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    assert_int_equal(read_into(&c, "headers.trusted", "10.0.0.0/8"), OPTION_READ);
    assert_int_equal(read_into(&c, "admin.allow", "192.0.2.1,::1"), OPTION_READ);
    assert_text(&c, "headers.trusted", "10.0.0.0/8");
    assert_text(&c, "admin.allow", "192.0.2.1/32,::1/128");
    option_clear_list(opt("headers.trusted"), &c);
    assert_text(&c, "headers.trusted", "none");
    assert_int_equal(c.admin.allow.n, 2);
    option_clear(&c);
    assert_null(c.admin.allow.at);
}

static void durations_take_every_unit_and_nothing_else(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    assert_int_equal(read_into(&c, "queue.timeout", "1500us"), OPTION_READ);
    assert_int_equal(c.queue.timeout, 1500);
    assert_int_equal(read_into(&c, "queue.timeout", "250ms"), OPTION_READ);
    assert_int_equal(c.queue.timeout, 250000);
    assert_int_equal(read_into(&c, "queue.timeout", "5m"), OPTION_READ);
    assert_int_equal(c.queue.timeout, 300000000);
    assert_int_equal(read_into(&c, "queue.timeout", "1h"), OPTION_READ);
    assert_text(&c, "queue.timeout", "1h");
    static const char *const bad[] = {"",     "10",  "s",   "1 s", " 1s", "1s ",
                                      "1.5s", "-1s", "+1s", "01s", "1S",  "1sec"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(read_into(&c, "queue.timeout", bad[i]), OPTION_MALFORMED);
    static const char *const far[] = {"0s", "999us", "61m", "2h", "99999999999999999999h"};
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++)
        assert_int_equal(read_into(&c, "queue.timeout", far[i]), OPTION_OUT_OF_RANGE);
    assert_text(&c, "queue.timeout", "1h");
    assert_int_equal(read_into(&c, "drain.timeout", "0ms"), OPTION_READ);
    assert_json(&c, "drain.timeout", "\"0s\"");
}

static void sizes_fill_32_and_64_bits(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    assert_int_equal(read_into(&c, "client.max_head", "48KiB"), OPTION_READ);
    assert_int_equal(c.client.max_head, 49152);
    assert_int_equal(read_into(&c, "client.max_head", "49153B"), OPTION_OUT_OF_RANGE);
    assert_int_equal(read_into(&c, "client.max_body", "1024GiB"), OPTION_READ);
    assert_true(c.client.max_body == UINT64_C(1024) << 30);
    assert_int_equal(read_into(&c, "client.max_body", "unlimited"), OPTION_READ);
    assert_true(c.client.max_body == CONFIG_UNLIMITED);
    assert_json(&c, "client.max_body", "\"unlimited\"");
    assert_int_equal(read_into(&c, "queue.max_bytes", "1MB"), OPTION_READ);
    assert_text(&c, "queue.max_bytes", "1MB");
    assert_int_equal(read_into(&c, "queue.max_bytes", "unlimited"), OPTION_MALFORMED);
}

static void counts_codes_words_and_booleans_are_exact(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    assert_int_equal(read_into(&c, "concurrency", "unlimited"), OPTION_READ);
    assert_int_equal(c.concurrency, UINT32_MAX);
    assert_json(&c, "concurrency", "\"unlimited\"");
    assert_int_equal(read_into(&c, "concurrency", "7"), OPTION_READ);
    assert_json(&c, "concurrency", "7");
    assert_int_equal(read_into(&c, "concurrency", "0"), OPTION_OUT_OF_RANGE);
    assert_int_equal(read_into(&c, "concurrency", "-1"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "concurrency", "4294967297"), OPTION_OUT_OF_RANGE);
    assert_int_equal(read_into(&c, "overload.status", "429"), OPTION_READ);
    assert_int_equal(c.overload.status, 429);
    assert_json(&c, "overload.status", "429");
    assert_int_equal(read_into(&c, "overload.status", "500"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "on_client_abort", "close"), OPTION_READ);
    assert_int_equal(c.on_client_abort, CONFIG_ABORT_CLOSE);
    assert_int_equal(read_into(&c, "headers.forwarded", "off"), OPTION_READ);
    assert_int_equal(c.headers.forwarded, CONFIG_FORWARDED_OFF);
    assert_int_equal(read_into(&c, "client.half_close", "allow"), OPTION_READ);
    assert_int_equal(c.client.half_close, CONFIG_HALF_CLOSE_ALLOW);
    assert_int_equal(read_into(&c, "queue.order", "fifo"), OPTION_READ);
    assert_int_equal(c.queue.order, CONFIG_ORDER_FIFO);
    assert_int_equal(read_into(&c, "startup.probe", "none"), OPTION_READ);
    assert_string_equal(c.startup.probe, "none");
    assert_int_equal(read_into(&c, "startup.probe", "/healthz?full=1"), OPTION_READ);
    assert_json(&c, "startup.probe", "\"/healthz?full=1\"");
    assert_int_equal(read_into(&c, "startup.probe", "healthz"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "startup.probe", ""), OPTION_READ);
    assert_string_equal(c.startup.probe, "none");
    assert_int_equal(read_into(&c, "health.path", "/a b"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "health.path", "/\r\nX: y"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "health.path", "tcp"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "health.path", ""), OPTION_READ);
    assert_json(&c, "health.path", "\"\"");
    assert_int_equal(read_into(&c, "log.level", "debug"), OPTION_READ);
    assert_int_equal(c.log.level, LOG_LEVEL_DEBUG);
    assert_int_equal(read_into(&c, "log.format", "json"), OPTION_READ);
    assert_int_equal(c.log.format, LOG_FORMAT_JSON);
    assert_int_equal(read_into(&c, "headers.request_start", "true"), OPTION_READ);
    assert_true(c.headers.request_start);
    assert_int_equal(read_into(&c, "headers.request_start", "yes"), OPTION_MALFORMED);
}

static void field_names_are_tokens_that_weir_does_not_use(void **state)
{
    struct config c = {.threads = 0};
    char longest[65];
    (void)state;

    memset(longest, 'x', sizeof(longest));
    longest[64] = '\0';
    assert_int_equal(read_into(&c, "headers.request_id", longest), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "headers.request_id", longest + 1), OPTION_READ);
    assert_int_equal(strlen(c.headers.request_id), 63);
    assert_int_equal(read_into(&c, "headers.request_id", "X-Trace"), OPTION_READ);
    assert_string_equal(c.headers.request_id, "X-Trace");
    assert_int_equal(read_into(&c, "headers.request_id", "HOST"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "headers.request_id", "a:b"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "headers.request_id", ""), OPTION_READ);
    assert_json(&c, "headers.request_id", "\"\"");
}

static void resolve(struct config *c, const char *path, const char *text)
{
    struct strbuf why = {0};

    assert_int_equal(read_into(c, path, text), OPTION_READ);
    if (!option_resolve(opt(path), c, &why))
        fail_msg("%s", strbuf_cstr(&why));
    strbuf_fini(&why);
}

static void an_app_without_a_host_is_on_loopback_and_a_listener_everywhere(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    resolve(&c, "upstream.address", ":8000");
    assert_true(address_is_loopback(&c.upstream.address));
    resolve(&c, "listen", ":0");
    assert_true(address_is_any(&c.listen));
    resolve(&c, "admin.listen", "off");
    assert_int_equal(c.admin.listen.len, 0);
}

/* test_address.c tests the forms. */
static void malformed_addresses_are_refused(void **state)
{
    static const char *const bad[] = {"", "8000", "::1:80", "unix:a", "off"};
    struct config c = {.threads = 0};
    char longest[200];
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(read_into(&c, "upstream.address", bad[i]), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "upstream.address", ":0"), OPTION_OUT_OF_RANGE);
    assert_int_equal(read_into(&c, "upstream.address", ":65536"), OPTION_OUT_OF_RANGE);
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "unix:/", 6);
    struct span unix_path = {longest, 5 + 107};
    assert_int_equal(option_read(opt("listen"), unix_path, &c), OPTION_READ);
    unix_path.len++;
    assert_int_equal(option_read(opt("listen"), unix_path, &c), OPTION_MALFORMED);
    assert_int_equal(option_read(opt("listen"), (struct span){longest, 128}, &c), OPTION_MALFORMED);
}

static void ranges_are_masked_and_replace_the_list(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    assert_int_equal(read_into(&c, "headers.trusted", "10.1.2.3/8, ::1,2001:db8::ff/20"),
                     OPTION_READ);
    assert_int_equal(c.headers.trusted.n, 3);
    assert_json(&c, "headers.trusted", "[\"10.0.0.0/8\", \"::1/128\", \"2001::/20\"]");
    assert_int_equal(read_into(&c, "headers.trusted", "1.2.3.4/33"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "headers.trusted", "1.2.3.4,x"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "headers.trusted", "1.2.3.4/"), OPTION_MALFORMED);
    assert_int_equal(c.headers.trusted.n, 3);
    assert_int_equal(read_into(&c, "headers.trusted", "1.2.3.4/0"), OPTION_READ);
    assert_text(&c, "headers.trusted", "0.0.0.0/0");
    assert_int_equal(read_into(&c, "headers.trusted", ""), OPTION_READ);
    assert_int_equal(c.headers.trusted.n, 0);
    for (int i = 0; i < 256; i++)
        assert_int_equal(option_read_element(opt("headers.trusted"), SPAN("::1"), &c), OPTION_READ);
    assert_int_equal(option_read_element(opt("headers.trusted"), SPAN("::1"), &c),
                     OPTION_OUT_OF_RANGE);
    option_clear(&c);
}

static void ranges_have_names_which_are_written_as_they_were_read(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    assert_int_equal(read_into(&c, "headers.trusted", "loopback,10.0.0.0/8, private"), OPTION_READ);
    assert_int_equal(c.headers.trusted.n, 3);
    assert_json(&c, "headers.trusted", "[\"loopback\", \"10.0.0.0/8\", \"private\"]");
    assert_text(&c, "headers.trusted", "loopback,10.0.0.0/8,private");
    assert_int_equal(read_into(&c, "headers.trusted", "Private"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "headers.trusted", "private/8"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "headers.trusted", "none,private"), OPTION_MALFORMED);
    assert_int_equal(c.headers.trusted.n, 3);
    assert_int_equal(read_into(&c, "headers.trusted", "none"), OPTION_READ);
    assert_json(&c, "headers.trusted", "[]");
    assert_text(&c, "headers.trusted", "none");
    assert_int_equal(option_read_element(opt("headers.trusted"), SPAN("none"), &c),
                     OPTION_MALFORMED);
    assert_int_equal(option_read_element(opt("headers.trusted"), SPAN(""), &c), OPTION_MALFORMED);
    option_clear(&c);
}

static void paths_are_taken_as_they_are(void **state)
{
    static const char *const bad[] = {"healthz",   "/a?b", "/a#b",       "/a b", "/a\n",
                                      "/\xc3\xa9", "*",    "http://a/b", "none"};
    struct config c = {.threads = 0};
    (void)state;

    assert_int_equal(read_into(&c, "bypass.paths", "/healthz, /a%2fb/,/,/\"'"), OPTION_READ);
    assert_int_equal(c.bypass.paths.n, 4);
    assert_json(&c, "bypass.paths", "[\"/healthz\", \"/a%2fb/\", \"/\", \"/\\\"'\"]");
    assert_text(&c, "bypass.paths", "/healthz,/a%2fb/,/,/\"'");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(option_read_element(opt("bypass.paths"), span_of(bad[i]), &c),
                         OPTION_MALFORMED);
    assert_int_equal(option_read_element(opt("bypass.paths"), SPAN("/a,/b"), &c), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "bypass.paths", "/x,y"), OPTION_MALFORMED);
    assert_int_equal(c.bypass.paths.n, 4);
    assert_int_equal(read_into(&c, "bypass.paths", "none"), OPTION_READ);
    assert_json(&c, "bypass.paths", "[]");
    for (int i = 0; i < 64; i++)
        assert_int_equal(option_read_element(opt("bypass.paths"), SPAN("/x"), &c), OPTION_READ);
    assert_int_equal(option_read_element(opt("bypass.paths"), SPAN("/x"), &c), OPTION_OUT_OF_RANGE);
    assert_int_equal(c.headers.trusted.n, 0);
    option_clear(&c);
    assert_int_equal(c.bypass.paths.n, 0);
}

static void a_set_has_each_of_its_words_once_in_their_order(void **state)
{
    static const char *const bad[] = {"Grpc-Timeout", "none", "", "*", "grpc-timeout "};
    struct config c = {.threads = 0};
    (void)state;

    assert_int_equal(read_into(&c, "deadline.headers", "Request-Timeout, grpc-timeout"),
                     OPTION_READ);
    assert_int_equal(c.deadline.headers, 1 << 3 | 1 << 1);
    assert_text(&c, "deadline.headers", "grpc-timeout,Request-Timeout");
    assert_json(&c, "deadline.headers", "[\"grpc-timeout\", \"Request-Timeout\"]");
    assert_int_equal(read_into(&c, "deadline.headers", "grpc-timeout,x"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "deadline.headers", "grpc-timeout,,"), OPTION_MALFORMED);
    assert_text(&c, "deadline.headers", "grpc-timeout,Request-Timeout");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(option_read_element(opt("deadline.headers"), span_of(bad[i]), &c),
                         OPTION_MALFORMED);
    for (int i = 0; i < 300; i++)
        assert_int_equal(option_read_element(opt("deadline.headers"), SPAN("grpc-timeout"), &c),
                         OPTION_READ);
    assert_int_equal(option_read_element(opt("deadline.headers"), SPAN("X-Request-Deadline"), &c),
                     OPTION_READ);
    assert_text(&c, "deadline.headers", "X-Request-Deadline,grpc-timeout,Request-Timeout");
    assert_int_equal(read_into(&c, "deadline.headers", "none"), OPTION_READ);
    assert_int_equal(c.deadline.headers, 0);
    assert_json(&c, "deadline.headers", "[]");
    assert_text(&c, "deadline.headers", "none");
}

static void fields_that_weir_itself_reads_or_writes_are_no_request_id(void **state)
{
    static const char *const reserved[] = {
        "host",           "X-Forwarded-For",  "x-forwarded-user",
        "X-Real-IP",      "Daphne-Root-Path", "Proxy-Authorization",
        "Content_Length", "X_Forwarded_Id",   "proxy",
        "Weir-Reason",    "Request-Timeout",  "grpc_timeout"};
    static const char *const fine[] = {"X-Forwarded", "X-Real-IP2", "Proxied",
                                       "Trace-Id",    "trace_id",   ""};
    struct config c = {.threads = 0};
    (void)state;

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        assert_int_equal(read_into(&c, "headers.request_id", reserved[i]), OPTION_MALFORMED);
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        assert_int_equal(read_into(&c, "headers.request_id", fine[i]), OPTION_READ);
}

static void permissions_are_octal(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    assert_int_equal(read_into(&c, "listen_mode", "0660"), OPTION_READ);
    assert_int_equal(c.listen.mode, 0660);
    assert_int_equal(read_into(&c, "listen", "unix:/a"), OPTION_READ); /* in any order */
    assert_int_equal(c.listen.mode, 0660);
    assert_json(&c, "listen_mode", "\"0660\"");
    assert_int_equal(read_into(&c, "admin.listen_mode", "600"), OPTION_READ);
    assert_text(&c, "admin.listen_mode", "0600");
    assert_int_equal(read_into(&c, "listen_mode", "0000"), OPTION_OUT_OF_RANGE);
    assert_int_equal(read_into(&c, "listen_mode", "1777"), OPTION_OUT_OF_RANGE);
    assert_int_equal(read_into(&c, "listen_mode", "0680"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "listen_mode", "60"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "listen_mode", "00660"), OPTION_MALFORMED);
    assert_int_equal(read_into(&c, "listen_mode", ""), OPTION_MALFORMED);
    assert_int_equal(c.listen.mode, 0660);
    assert_int_equal(read_into(&c, "listen_mode", "umask"), OPTION_READ);
    assert_text(&c, "listen_mode", "umask");
}

static void a_copy_of_every_type_is_equal_and_its_own(void **state)
{
    struct config a = {.threads = 0}, b = {.threads = 0};
    (void)state;

    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].preset != NULL)
            assert_int_equal(option_read(&option_table[i], span_of(option_table[i].preset), &a),
                             OPTION_READ);
    }
    assert_int_equal(read_into(&b, "headers.trusted", "10.0.0.0/8,loopback"), OPTION_READ);
    for (size_t i = 0; i < option_count; i++) {
        option_copy(&option_table[i], &a, &b);
        assert_true(option_equal(&option_table[i], &a, &b));
    }
    assert_ptr_not_equal(a.headers.trusted.at, b.headers.trusted.at);
    option_clear(&a);
    assert_false(option_equal(opt("headers.trusted"), &a, &b));
    option_copy(opt("headers.trusted"), &a, &b); /* an empty list */
    assert_null(b.headers.trusted.at);
}

static void a_difference_is_seen_in_every_type(void **state)
{
    static const struct {
        const char *path, *one, *other;
    } rows[] = {
        {"listen", ":8080", ":8081"},
        {"listen_mode", "0600", "0660"},
        {"concurrency", "1", "unlimited"},
        {"queue.timeout", "1s", "2s"},
        {"queue.max_bytes", "1MiB", "2MiB"},
        {"overload.status", "503", "429"},
        {"log.level", "info", "error"},
        {"headers.server_timing", "true", "false"},
        {"headers.request_id", "a", "b"},
        {"headers.trusted", "private", "loopback"},
        {"deadline.headers", "none", "grpc-timeout"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config a = {.threads = 0}, b = {.threads = 0};
        assert_int_equal(read_into(&a, rows[i].path, rows[i].one), OPTION_READ);
        assert_int_equal(read_into(&b, rows[i].path, rows[i].other), OPTION_READ);
        assert_false(option_equal(opt(rows[i].path), &a, &b));
        assert_int_equal(read_into(&b, rows[i].path, rows[i].one), OPTION_READ);
        assert_true(option_equal(opt(rows[i].path), &a, &b));
        option_clear(&a);
        option_clear(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_can_be_read_and_written_back),
        cmocka_unit_test(a_copy_of_every_type_is_equal_and_its_own),
        cmocka_unit_test(a_difference_is_seen_in_every_type),
        cmocka_unit_test(a_duration_may_be_read_alone),
        cmocka_unit_test(a_secret_is_never_shown),
        cmocka_unit_test(each_list_of_ranges_is_its_own),
        cmocka_unit_test(durations_take_every_unit_and_nothing_else),
        cmocka_unit_test(sizes_fill_32_and_64_bits),
        cmocka_unit_test(counts_codes_words_and_booleans_are_exact),
        cmocka_unit_test(field_names_are_tokens_that_weir_does_not_use),
        cmocka_unit_test(an_app_without_a_host_is_on_loopback_and_a_listener_everywhere),
        cmocka_unit_test(malformed_addresses_are_refused),
        cmocka_unit_test(ranges_are_masked_and_replace_the_list),
        cmocka_unit_test(ranges_have_names_which_are_written_as_they_were_read),
        cmocka_unit_test(paths_are_taken_as_they_are),
        cmocka_unit_test(a_set_has_each_of_its_words_once_in_their_order),
        cmocka_unit_test(fields_that_weir_itself_reads_or_writes_are_no_request_id),
        cmocka_unit_test(permissions_are_octal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
