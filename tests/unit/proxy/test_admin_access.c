/* Who may change something: the matrix of peers, tokens and what a browser adds. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/admin_access.h"
#include "proxy/http/parse.h"

#define TOKEN "0123456789abcdef"

static void set_end(struct sockaddr_storage *ss, const char *ip)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};

    memset(ss, 0, sizeof(*ss));
    if (*ip == '/')
        ss->ss_family = AF_UNIX;
    else if (inet_pton(AF_INET, ip, &four.sin_addr) == 1)
        memcpy(ss, &four, sizeof(four));
    else if (inet_pton(AF_INET6, ip, &six.sin6_addr) == 1)
        memcpy(ss, &six, sizeof(six));
}

static const char *refusal_by(const struct admin_rules *rules, const char *peer, const char *own,
                              const char *fields)
{
    static const struct http_limits limits = {.max_head = 8000, .max_fields = 64};
    struct http_parser parser = {0};
    struct http_problem problem;
    static struct http_head head;
    struct admin_ends ends;
    char text[1024];

    int len = snprintf(text, sizeof(text), "POST /drain HTTP/1.1\r\n%s\r\n", fields);
    assert_int_equal(
        http_parse_request(&parser, text, (size_t)len, &limits, SPAN(""), &head, &problem),
        HTTP_PARSE_DONE);
    set_end(&ends.peer, peer);
    set_end(&ends.own, own);
    return admin_access_refusal(rules, &ends, &head);
}

static struct cidr_list nobody, some;
static struct cidr some_ranges[2];

static void expect_from(const char *token, const char *peer, const char *own, const char *fields,
                        const char *refusal)
{
    const struct admin_rules rules = {.token = token, .allow = &some};
    const char *said = refusal_by(&rules, peer, own, fields);

    if ((said == NULL) != (refusal == NULL) || (said != NULL && strstr(said, refusal) == NULL))
        fail_msg("%s to %s, %s: %s", peer, own, fields, said == NULL ? "allowed" : said);
}

#define HOST "Host: 127.0.0.1:9480\r\n"

static void this_machine_and_the_listed_may_and_nobody_else(void **state)
{
    static const struct {
        const char *peer, *own;
        bool may;
    } rows[] = {
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.2", "127.1.2.3", true},
        {"::1", "::1", true},
        {"::ffff:127.0.0.1", "::ffff:127.0.0.1", true},
        {"/", "/", true},
        {"10.1.2.3", "10.9.9.9", true}, /* listed */
        {"::ffff:10.1.2.3", "::ffff:10.9.9.9", true},
        {"fd00::7", "fd00::1", true},
        {"10.1.3.3", "10.9.9.9", false},
        {"192.168.0.9", "192.168.0.9", false},
        {"fd00::8", "::1", false},
        {"::", "::1", false},
        {"0.0.0.0", "127.0.0.1", false},
        {"::127.0.0.1", "::1", false},
        {"127.0.0.6", "10.9.9.9", false}, /* a service mesh delivers for another */
        {"10.9.9.9", "127.0.0.1", false},
        {"unknown", "127.0.0.1", false},
        {"unknown", "unknown", false},
        {"127.0.0.1", "unknown", false},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_from("", rows[i].peer, rows[i].own, HOST,
                    rows[i].may ? NULL : "changes are accepted from this machine");
        expect_from(TOKEN, rows[i].peer, rows[i].own, HOST "Authorization: Bearer " TOKEN "\r\n",
                    NULL);
        expect_from(TOKEN, rows[i].peer, rows[i].own, HOST "Authorization: Bearer wrong\r\n",
                    "the token is wrong");
    }
}

static void only_the_listed_may_use_get(void **state)
{
    const struct admin_rules rules = {.token = "", .allow = &some};
    const struct admin_rules strict = {.token = "", .allow = &nobody};
    struct admin_ends ends;
    (void)state;

    set_end(&ends.own, "10.9.9.9");
    set_end(&ends.peer, "10.1.2.255");
    assert_true(admin_access_listed(&rules, &ends));
    assert_false(admin_access_listed(&strict, &ends));
    set_end(&ends.peer, "127.0.0.1");
    assert_false(admin_access_listed(&rules, &ends));
    set_end(&ends.peer, "/");
    assert_false(admin_access_listed(&rules, &ends));
}

/* From an address that has no rights of its own. */
static void the_token_must_be_whole_and_the_only_one(void **state)
{
    static const struct {
        const char *token, *fields, *refusal;
    } rows[] = {
        {TOKEN, "Authorization: bearer " TOKEN "\r\n", NULL},
        {TOKEN, "authorization: BEARER   " TOKEN "\r\n", NULL},
        {TOKEN, "Authorization: Bearer " TOKEN "x\r\n", "wrong"},
        {TOKEN, "Authorization: Bearer 0123456789abcde\r\n", "wrong"},
        {TOKEN, "Authorization: Bearer 1123456789abcdef\r\n", "wrong"},
        {TOKEN, "Authorization: Bearer 0123456789ABCDEF\r\n", "wrong"},
        {TOKEN, "Authorization: Bearer " TOKEN TOKEN "\r\n", "wrong"},
        {TOKEN, "Authorization: Bearer " TOKEN " x\r\n", "wrong"},
        {TOKEN, "Authorization: Bearer " TOKEN "\r\nAuthorization: Bearer " TOKEN "\r\n", "wrong"},
        {TOKEN, "Authorization: Bearer \r\n", "changes are accepted"},
        {TOKEN, "Authorization: Bearer\r\n", "changes are accepted"},
        {TOKEN, "Authorization:\r\n", "changes are accepted"},
        {TOKEN, "Authorization: Basic " TOKEN "\r\n", "changes are accepted"},
        {TOKEN, "Authorization: " TOKEN "\r\n", "changes are accepted"},
        {TOKEN, "X-Authorization: Bearer " TOKEN "\r\n", "changes are accepted"},
        {"", "Authorization: Bearer \r\n", "changes are accepted"},
        {"", "Authorization: Bearer " TOKEN "\r\n", "changes are accepted"},
    };
    char fields[512];
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)snprintf(fields, sizeof(fields), HOST "%s", rows[i].fields);
        expect_from(rows[i].token, "203.0.113.9", "10.9.9.9", fields, rows[i].refusal);
    }
}

static void without_the_token_the_host_is_an_address_or_localhost(void **state)
{
    static const char *const fixed[] = {
        "127.0.0.1", "127.0.0.1:9480", "[::1]:9480",    "[fd00::1]",
        "localhost", "LocalHost:1",    "10.0.0.7:9480",
    };
    static const char *const named[] = {
        "evil.example",
        "evil.example:9480",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io:80",
        "weir",
        "localhost.",
        "1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
    };
    char fields[256];
    (void)state;

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        (void)snprintf(fields, sizeof(fields), "Host: %s\r\n", fixed[i]);
        expect_from("", "127.0.0.1", "127.0.0.1", fields, NULL);
        expect_from("", "/", "/", fields, NULL);
    }
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        (void)snprintf(fields, sizeof(fields), "Host: %s\r\n", named[i]);
        expect_from("", "127.0.0.1", "127.0.0.1", fields, "Host must be");
        expect_from("", "10.1.2.3", "10.9.9.9", fields, "Host must be");
        (void)snprintf(fields, sizeof(fields), "Host: %s\r\nAuthorization: Bearer " TOKEN "\r\n",
                       named[i]);
        expect_from(TOKEN, "203.0.113.9", "10.9.9.9", fields, NULL);
    }
}

static void a_page_of_another_site_has_no_say(void **state)
{
    static const struct {
        const char *fields, *refusal;
    } rows[] = {
        {"Origin: http://127.0.0.1:9480\r\n", NULL},
        {"Origin: https://127.0.0.1:9480\r\nSec-Fetch-Site: same-origin\r\n", NULL},
        {"Sec-Fetch-Site: none\r\n", NULL},
        {"Origin: http://evil.example\r\n", "(Origin)"},
        {"Origin: http://127.0.0.1\r\n", "(Origin)"},
        {"Origin: http://127.0.0.1:3000\r\n", "(Origin)"},
        {"Origin: http://127.0.0.1:9480.evil.example\r\n", "(Origin)"},
        {"Origin: null\r\n", "(Origin)"},
        {"Origin:\r\n", "(Origin)"},
        {"Origin: http://\r\n", "(Origin)"},
        {"Origin: 127.0.0.1:9480\r\n", "(Origin)"},
        {"Origin: http://127.0.0.1:9480\r\nOrigin: http://evil.example\r\n", "(Origin)"},
        {"Sec-Fetch-Site: cross-site\r\n", "(Sec-Fetch-Site)"},
        {"Sec-Fetch-Site: same-site\r\n", "(Sec-Fetch-Site)"},
        {"Sec-Fetch-Site:\r\n", "(Sec-Fetch-Site)"},
        {"Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n", "(Sec-Fetch-Site)"},
    };
    char fields[512];
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)snprintf(fields, sizeof(fields), HOST "%s", rows[i].fields);
        expect_from("", "127.0.0.1", "127.0.0.1", fields, rows[i].refusal);
        expect_from("", "10.1.2.3", "10.9.9.9", fields, rows[i].refusal);
    }
}

static void a_peer_has_a_name_for_the_log(void **state)
{
    static const char *const rows[][2] = {{"10.1.2.3", "10.1.2.3"},
                                          {"::ffff:10.1.2.3", "10.1.2.3"},
                                          {"fd00::7", "fd00::7"},
                                          {"/", "a Unix socket"},
                                          {"unknown", "an unknown address"}};
    struct strbuf out = {0};
    struct admin_ends ends;
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        strbuf_clear(&out);
        set_end(&ends.peer, rows[i][0]);
        admin_access_write_peer(&ends, &out);
        assert_string_equal(strbuf_cstr(&out), rows[i][1]);
    }
    strbuf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_machine_and_the_listed_may_and_nobody_else),
        cmocka_unit_test(only_the_listed_may_use_get),
        cmocka_unit_test(the_token_must_be_whole_and_the_only_one),
        cmocka_unit_test(without_the_token_the_host_is_an_address_or_localhost),
        cmocka_unit_test(a_page_of_another_site_has_no_say),
        cmocka_unit_test(a_peer_has_a_name_for_the_log),
    };

    if (!cidr_parse(SPAN("10.1.2.0/24"), &some_ranges[0]) ||
        !cidr_parse(SPAN("fd00::7"), &some_ranges[1]))
        return 1;
    some = (struct cidr_list){some_ranges, 2};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
