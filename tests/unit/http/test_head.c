/* Queries on a head: names, lists, hosts, Max-Forwards. */
#include "proxy/http/head.h"
#include "tests/unit/http/feed.h"

static void the_known_names_are_found_in_either_case(void **state)
{
    static const struct {
        const char *name;
        enum http_field_id id;
    } known[] = {
        {"te", HTTP_FIELD_TE},
        {"VIA", HTTP_FIELD_VIA},
        {"Host", HTTP_FIELD_HOST},
        {"dAte", HTTP_FIELD_DATE},
        {"Proxy", HTTP_FIELD_PROXY_OTHER},
        {"Close", HTTP_FIELD_CLOSE},
        {"Accept", HTTP_FIELD_ACCEPT},
        {"Expect", HTTP_FIELD_EXPECT},
        {"uPGRADE", HTTP_FIELD_UPGRADE},
        {"Trailer", HTTP_FIELD_TRAILER},
        {"Forwarded", HTTP_FIELD_FORWARDED},
        {"Connection", HTTP_FIELD_CONNECTION},
        {"Keep-Alive", HTTP_FIELD_KEEP_ALIVE},
        {"Max-Forwards", HTTP_FIELD_MAX_FORWARDS},
        {"Content-Length", HTTP_FIELD_CONTENT_LENGTH},
        {"X-Forwarded-For", HTTP_FIELD_X_FORWARDED_FOR},
        {"X-Request-Start", HTTP_FIELD_X_REQUEST_START},
        {"x-queue-start", HTTP_FIELD_QUEUE_START},
        {"TraceParent", HTTP_FIELD_TRACEPARENT},
        {"tracestate", HTTP_FIELD_OTHER},
        {"Weir-Reason", HTTP_FIELD_WEIR_REASON},
        {"X-Forwarded-Host", HTTP_FIELD_X_FORWARDED_HOST},
        {"Transfer-Encoding", HTTP_FIELD_TRANSFER_ENCODING},
        {"X-Forwarded-Proto", HTTP_FIELD_X_FORWARDED_PROTO},
        {"Proxy-Authenticate", HTTP_FIELD_PROXY_AUTHENTICATE},
        {"Proxy-Authorization", HTTP_FIELD_PROXY_AUTHORIZATION},
        {"Proxy-Connection", HTTP_FIELD_PROXY_OTHER},
        {"Proxy-Authentication-Info", HTTP_FIELD_PROXY_OTHER},
        {"transfer_encoding", HTTP_FIELD_TRANSFER_ENCODING},
        {"Proxy_Connection", HTTP_FIELD_PROXY_OTHER},
        {"X-Request-Deadline", HTTP_FIELD_DEADLINE},
        {"grpc-timeout", HTTP_FIELD_DEADLINE},
        {"X-Envoy-Expected-Rq-Timeout-Ms", HTTP_FIELD_DEADLINE},
        {"Request-Timeout", HTTP_FIELD_DEADLINE},
        {"REQUEST-TIMEOUT", HTTP_FIELD_DEADLINE},
        {"Request-Timeouts", HTTP_FIELD_OTHER},
        {"Request-Timeou", HTTP_FIELD_OTHER},
        {"Request-Timeoux", HTTP_FIELD_OTHER},
        {"X-Envoy-Expected-Rq-Timeout-Mx", HTTP_FIELD_OTHER},
        {"X-Envoy-Expected-Rq-Timeout-Msx", HTTP_FIELD_OTHER},
        {"X-Envoy-Expected-Rq-Timeout-M", HTTP_FIELD_OTHER},
        {"X-Forwarded-", HTTP_FIELD_FORWARDED_OTHER},
        {"X-Forwarded", HTTP_FIELD_OTHER},
        {"X", HTTP_FIELD_OTHER},
        {"P", HTTP_FIELD_OTHER},
        {"r", HTTP_FIELD_OTHER},
        {"X-Request-Id", HTTP_FIELD_OTHER},
        {"Hosts", HTTP_FIELD_OTHER},
        {"Dates", HTTP_FIELD_OTHER},
        {"Hose", HTTP_FIELD_OTHER},
        {"Xost", HTTP_FIELD_OTHER},
        {"Aontent-Length", HTTP_FIELD_OTHER},
        {"t", HTTP_FIELD_OTHER},
        {"", HTTP_FIELD_OTHER},
        {"Proxyx", HTTP_FIELD_OTHER},
        {"Proxy-", HTTP_FIELD_PROXY_OTHER},
        {"Content-Lengths", HTTP_FIELD_OTHER},
        {"Content^Length", HTTP_FIELD_OTHER},
        {"a-name-that-is-longer-than-all-the-known", HTTP_FIELD_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(http_field_id_of(span_of(known[i].name)), known[i].id);
}

static void the_first_field_of_an_id_is_found(void **state)
{
    static struct http_head head;
    (void)state;
    head.n_fields = 3;
    head.fields[1].id = head.fields[2].id = HTTP_FIELD_VIA;
    assert_ptr_equal(http_head_find(&head, HTTP_FIELD_VIA), &head.fields[1]);
    assert_null(http_head_find(&head, HTTP_FIELD_HOST));
}

static void a_list_gives_its_elements_without_blanks_and_empty_ones(void **state)
{
    struct span list = SPAN(" ,\ta , b c,, d\t,"), element;
    (void)state;
    assert_true(http_list_next(&list, &element));
    assert_true(span_equal(element, SPAN("a")));
    assert_true(http_list_next(&list, &element));
    assert_true(span_equal(element, SPAN("b c")));
    assert_true(http_list_next(&list, &element));
    assert_true(span_equal(element, SPAN("d")));
    assert_false(http_list_next(&list, &element));
}

static void a_list_of_blanks_is_empty(void **state)
{
    char *block = malloc(3);
    struct span list = {block, 3}, element;
    (void)state;
    assert_non_null(block);
    memcpy(block, ", \t", 3);
    assert_false(http_list_next(&list, &element));
    free(block);
}

static void a_token_is_in_a_list_whole_and_in_either_case(void **state)
{
    (void)state;
    assert_true(http_list_has(SPAN("keep-alive, Upgrade"), SPAN("upgrade")));
    assert_true(http_list_has(SPAN("close"), SPAN("CLOSE")));
    assert_false(http_list_has(SPAN("closed, xclose, clos"), SPAN("close")));
    assert_false(http_list_has(SPAN(""), SPAN("close")));
    assert_false(http_list_has(SPAN("close;q=1"), SPAN("close")));
}

/* In a block of exactly its size, so that a sanitizer detects reads past its end. */
static bool host_is_valid(const char *text)
{
    size_t len = strlen(text);
    char *block = malloc(len > 0 ? len : 1);
    assert_non_null(block);
    memcpy(block, text, len);
    bool valid = http_host_is_valid((struct span){block, len});
    free(block);
    return valid;
}

static void sound_hosts_are_valid(void **state)
{
    static const char *const sound[] = {
        "a",
        "example.com",
        "EXAMPLE.com:80",
        "a:",
        "a:0",
        "a:65535",
        "127.0.0.1:8000",
        "a_b-c.d~e",
        "%41.example",
        "example.%41",
        "a!$&'()*+;=b",
        "[::]",
        "[::1]:443",
        "[1::]",
        "[2001:db8::1]",
        "[2001:DB8:0:0:0:0:0:1]:8080",
        "[1:2:3:4:5:6:7::]",
        "[::2:3:4:5:6:7:8]",
        "[::ffff:192.0.2.1]",
        "[1:2:3:4:5:6:192.0.2.255]",
        "999.999",
    };
    (void)state;
    for (size_t i = 0; i < sizeof sound / sizeof *sound; i++) {
        if (!host_is_valid(sound[i]))
            fail_msg("refused: %s", sound[i]);
    }
}

static void a_host_longer_than_any_name_is_not_valid(void **state)
{
    char host[HTTP_HOST_MAX + 2];

    (void)state;
    memset(host, 'a', sizeof(host) - 1);
    host[sizeof(host) - 1] = '\0';
    assert_false(host_is_valid(host));
    host[HTTP_HOST_MAX] = '\0';
    assert_true(host_is_valid(host));
}

static void unsound_hosts_are_not(void **state)
{
    static const char *const unsound[] = {
        "",
        ":80",
        "a b",
        "a,b",
        "a:80:80",
        "a:-1",
        "a:8x",
        "a:65536",
        "a:99999999999999999999",
        "a/b",
        "a?b",
        "a#b",
        "u@a",
        "a\\b",
        "a%",
        "a%4",
        "a%4g",
        "%g4",
        "caf\xc3\xa9",
        "a\tb",
        "<a>",
        "\"a\"",
        "{a}",
        "a|b",
        "a^b",
        "a`b",
        "[",
        "[]",
        "[::1",
        "[::1]x",
        "[::1]:x",
        "[:]",
        "[:::]",
        "[1]",
        "[1:]",
        "[1:2:3:4:5:6:7:8:]",
        "[:2:3:4:5:6:7:8]",
        "[:1]",
        "[1:2:3:4:5:6:7]",
        "[1:2:3:4:5:6:7:8:9]",
        "[1:2:3:4:5:6:7:8::]",
        "[::1::]",
        "[12345::]",
        "[g::]",
        "[fe80::1%25eth0]",
        "[v1.x]",
        "[::256.0.0.1]",
        "[::1.4294967297.0.1]",
        "[::1.2.3]",
        "[::1.2.3.4.5]",
        "[::01.2.3.4]",
        "[::1.2.3.]",
        "[1:2:3:4:5:6:7:1.2.3.4]",
        "[::1:2:3:4:5:6:1.2.3.4]",
        "[1.2.3.4]",
        "::1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof unsound / sizeof *unsound; i++) {
        if (host_is_valid(unsound[i]))
            fail_msg("accepted: %s", unsound[i]);
    }
}

static bool is_used_up(enum http_method method, const char *value)
{
    static struct http_head head;
    head.method = method;
    head.n_fields = value != NULL;
    head.fields[0].id = HTTP_FIELD_MAX_FORWARDS;
    head.fields[0].value = span_of(value != NULL ? value : "");
    return http_max_forwards_zero(&head);
}

static void max_forwards_counts_for_trace_and_options_only(void **state)
{
    (void)state;
    assert_true(is_used_up(HTTP_TRACE, "0"));
    assert_true(is_used_up(HTTP_OPTIONS, "000"));
    assert_false(is_used_up(HTTP_OPTIONS, "10"));
    assert_false(is_used_up(HTTP_OPTIONS, "0x"));
    assert_false(is_used_up(HTTP_OPTIONS, ""));
    assert_false(is_used_up(HTTP_OPTIONS, NULL));
    assert_false(is_used_up(HTTP_GET, "0"));
}

static void persistence_follows_version_and_options(void **state)
{
    static struct http_head head;
    (void)state;
    head.minor = 1;
    assert_true(http_head_persistent(&head));
    head.close = true;
    assert_false(http_head_persistent(&head));
    head = (struct http_head){.minor = 0};
    assert_false(http_head_persistent(&head));
    head.keep_alive = true;
    assert_true(http_head_persistent(&head));
    head.close = true;
    assert_false(http_head_persistent(&head));
}

static void only_methods_that_rfc9110_calls_so_are_idempotent(void **state)
{
    (void)state;
    assert_true(http_method_is_idempotent(HTTP_GET));
    assert_true(http_method_is_idempotent(HTTP_DELETE));
    assert_false(http_method_is_idempotent(HTTP_POST));
    assert_false(http_method_is_idempotent(HTTP_PATCH));
    assert_false(http_method_is_idempotent(HTTP_OTHER));
}

static bool is_events(const char *name, const char *type)
{
    static struct http_head head;

    head.n_fields = 2;
    head.fields[0] = (struct http_field){.name = SPAN("A"), .value = SPAN("text/event-stream")};
    head.fields[1] = (struct http_field){.name = span_of(name), .value = span_of(type)};
    return http_head_is_event_stream(&head);
}

static void an_event_stream_is_known_by_its_media_type(void **state)
{
    (void)state;
    assert_true(is_events("Content-Type", "text/event-stream"));
    assert_true(is_events("CONTENT-TYPE", "Text/Event-Stream;charset=utf-8"));
    assert_true(is_events("content-type", "text/event-stream ; charset=utf-8"));
    assert_false(is_events("Content-Type", "text/event-stream2"));
    assert_false(is_events("Content-Type", "text/event-strea"));
    assert_false(is_events("Content-Type", "text/html, text/event-stream"));
    assert_false(is_events("Content-Typ", "text/event-stream"));
}

/* A second Accept, unless it is NULL. */
static bool wants_events(const char *accept, const char *more)
{
    static struct http_head head;

    head.accepts_events = head.accepts_others = false;
    http_head_note_accept(&head, span_of(accept));
    if (more != NULL)
        http_head_note_accept(&head, span_of(more));
    return http_head_wants_events(&head);
}

static void a_client_that_accepts_nothing_but_events_wants_them(void **state)
{
    (void)state;
    assert_true(wants_events("text/event-stream", NULL));
    assert_true(wants_events("Text/Event-Stream; charset=utf-8", NULL));
    assert_true(wants_events("text/event-stream, */*;q=0.1", NULL));
    assert_true(wants_events(" , */* ,text/event-stream", NULL));
    assert_true(wants_events("text/event-stream", "*/*"));
    assert_true(wants_events("*/*", "text/event-stream"));
    assert_true(wants_events("", "text/event-stream"));
    assert_false(wants_events("*/*", NULL) || wants_events("", NULL));
    assert_false(wants_events("application/json, text/event-stream", NULL));
    assert_false(wants_events("text/event-stream, text/*", NULL));
    assert_false(wants_events("text/event-stream", "application/json"));
    assert_false(wants_events("text/event-streams", NULL));
    assert_false(wants_events("xtext/event-stream", NULL));
    assert_false(wants_events("text/html", "text/event-stream"));
    assert_false(wants_events("image/e", NULL) || wants_events("t", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_accepts_nothing_but_events_wants_them),
        cmocka_unit_test(the_known_names_are_found_in_either_case),
        cmocka_unit_test(the_first_field_of_an_id_is_found),
        cmocka_unit_test(a_list_gives_its_elements_without_blanks_and_empty_ones),
        cmocka_unit_test(a_list_of_blanks_is_empty),
        cmocka_unit_test(a_token_is_in_a_list_whole_and_in_either_case),
        cmocka_unit_test(sound_hosts_are_valid),
        cmocka_unit_test(unsound_hosts_are_not),
        cmocka_unit_test(a_host_longer_than_any_name_is_not_valid),
        cmocka_unit_test(max_forwards_counts_for_trace_and_options_only),
        cmocka_unit_test(persistence_follows_version_and_options),
        cmocka_unit_test(an_event_stream_is_known_by_its_media_type),
        cmocka_unit_test(only_methods_that_rfc9110_calls_so_are_idempotent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
