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

#include "proxy/option_hint.h"

static const struct option *opt(const char *path)
{
    const struct option *o = option_find(span_of(path));
    assert_non_null(o);
    return o;
}

static void assert_hint(const char *path, const char *text, const char *expected)
{
    struct strbuf out = {0};

    option_write_hint(opt(path), OPTION_MALFORMED, span_of(text), true, &out);
    if (strcmp(strbuf_cstr(&out), expected) != 0)
        fail_msg("%s %s:%s", path, text, strbuf_cstr(&out));
    strbuf_fini(&out);
}

static void hints_are_values_that_can_be_read(void **state)
{
    (void)state;
    assert_hint("queue.timeout", "10", " (did you mean \"10s\"?)");
    assert_hint("queue.timeout", "5000", " (did you mean \"5000ms\"?)");
    assert_hint("queue.timeout", "1.5 sec", " (did you mean \"1500ms\"?)");
    assert_hint("queue.timeout", " 2s ", " (did you mean \"2s\"?)");
    assert_hint("queue.timeout", "1d", " (1ms to 1h; units: us, ms, s, m, h)");
    assert_hint("client.max_head", "16384", " (did you mean \"16KiB\"?)");
    assert_hint("client.max_head", "16K", " (did you mean \"16KiB\"?)");
    assert_hint("client.max_head", "x", " (1KiB to 48KiB; units: B, kB, KiB, MB, MiB, GB, GiB)");
    assert_hint("client.max_body", "Unlimited", " (did you mean \"unlimited\"?)");
    assert_hint("log.level", "warn", " (did you mean \"warning\"?)");
    assert_hint("on_client_abort", "stop", "");
    assert_hint("headers.request_start", "NO", " (did you mean \"false\"?)");
    assert_hint("listen", "8080", " (did you mean \":8080\"?)");
    assert_hint("listen", "*:80", " (did you mean \":80\"?)");
    assert_hint("listen", "/run/a", " (did you mean \"unix:/run/a\"?)");
    assert_hint("listen", "::1:80", " (did you mean \"[::1]:80\"?)");
    assert_hint("upstream.address", "http://a:1/x", " (did you mean \"a:1\"?)");
    assert_hint("listen", "", " (host:port, :port, [v6]:port or unix:/path)");
    assert_hint("headers.request_id", "a b", " (such as \"X-Request-Id\")");
    assert_hint("headers.trusted", "x", " (such as \"10.0.0.0/8\" or \"2001:db8::/32\")");
    assert_hint("headers.trusted", "Private", " (did you mean \"private\"?)");
    assert_hint("headers.trusted", "::1, privat", " (did you mean \"::1,private\"?)");
    assert_hint("headers.trusted", "privat,x", " (such as \"10.0.0.0/8\" or \"2001:db8::/32\")");
    assert_hint("bypass.paths", "healthz", " (did you mean \"/healthz\"?)");
    assert_hint("bypass.paths", "/a, b?c=1", " (did you mean \"/a,/b\"?)");
    assert_hint("bypass.paths", "http://app:8000/healthz", " (did you mean \"/healthz\"?)");
    assert_hint("bypass.paths", "https://app", " (did you mean \"/\"?)");
    assert_hint("bypass.paths", "/a b", " (such as \"/healthz\")");
    assert_hint("bypass.paths", "/\xc3\xa9", " (such as \"/healthz\")");
    assert_hint("bypass.paths", "[]", " (did you mean \"none\"?)");
    assert_hint("deadline.headers", "Grpc-Timeout", " (did you mean \"grpc-timeout\"?)");
    assert_hint("deadline.headers", "request_timeout, grpc-timeout",
                " (did you mean \"Request-Timeout,grpc-timeout\"?)");
    assert_hint("deadline.headers", "Deadline-At", "");
    assert_hint("deadline.headers", "[]", " (did you mean \"none\"?)");
    assert_hint("headers.underscores", "dorp", " (did you mean \"drop\"?)");
    assert_hint("listen_mode", "0o660", " (did you mean \"660\"?)");
    assert_hint("listen_mode", "rw", " (such as \"0660\")");
    assert_hint("threads", "x", "");
}

/* The value that was refused may be a secret with a typing error. */
static void a_hint_about_a_secret_does_not_show_it(void **state)
{
    (void)state;
    assert_hint("admin.token", "short", " (such as the output of openssl rand -hex 32)");
    assert_hint("admin.token", "0123456789abcde f",
                " (such as the output of openssl rand -hex 32)");
    assert_hint("admin.token", OPTION_MASK,
                " (this is the mask of a token: replace it with the token)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hints_are_values_that_can_be_read),
        cmocka_unit_test(a_hint_about_a_secret_does_not_show_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
