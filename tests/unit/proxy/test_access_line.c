/* Lines of the access log: their members in each profile, and what hostile bytes become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proxy/access_line.h"
#include "proxy/history.h"
#include "tests/fuzz/access_judge.h"
#include "tests/unit/limiter/dice.h"

struct fixture {
    struct config config;
    struct record record;
    struct access_request request;
    struct access_style style;
    struct access_entry *entry; /* JUDGE_ROOM bytes */
    char *line;
    size_t len;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->config.log.slow = 1000000;
    f->entry = malloc(JUDGE_ROOM);
    f->line = malloc(ACCESS_LINE_MAX);
    record_begin(&f->record, 1000);
    f->record.status = 200;
    f->request.at = INT64_C(1795938965123456);
    f->request.in_flight = f->request.queue_depth = ACCESS_UNKNOWN;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    free(f->entry);
    free(f->line);
    free(f);
    return 0;
}

/* A request that waited, with a trace, and all texts. */
static void fill(struct fixture *f)
{
    struct record *r = &f->record;
    static const struct span texts[ACCESS_TEXTS] = {
        [ACCESS_REQUEST_ID] = {"id-1", 4}, [ACCESS_REMOTE] = {"192.0.2.7", 9},
        [ACCESS_METHOD] = {"GET", 3},      [ACCESS_TARGET] = {"/a?b=c", 6},
        [ACCESS_CLASS] = {"default", 7},   [ACCESS_AGENT] = {"curl/8", 6},
        [ACCESS_REFERER] = {"/x", 2},
    };

    for (int p = RECORD_HEAD; p <= RECORD_ORPHAN; p++)
        r->spent[p] = p + 1;
    r->traced = true;
    for (int i = 0; i < RECORD_TRACE; i++)
        r->trace[i] = (unsigned char)(17 * i);
    r->before = 12;
    r->bytes_in = 3;
    r->bytes_out = INT64_MAX;
    memcpy(f->request.text, texts, sizeof(texts));
    f->request.outcome = "dispatched";
    f->request.in_flight = 4;
    f->request.queue_depth = 2;
}

static void write_entry(struct fixture *f)
{
    size_t size = access_entry_size(&f->request);

    assert_true(size <= JUDGE_ROOM);
    access_entry_write(&f->config, &f->record, &f->request, f->entry);
}

/* The caller owns the object. */
static json_t *write_line(struct fixture *f)
{
    const char *why;

    write_entry(f);
    f->len = access_line_write(&f->style, f->entry, f->line);
    json_t *object = judge_line((struct span){f->line, f->len}, &why);
    if (object == NULL)
        fail_msg("the line %s: %.*s", why, (int)f->len, f->line);
    return object;
}

static void assert_line(struct fixture *f, const char *expected)
{
    json_decref(write_line(f));
    assert_int_equal(f->len, strlen(expected));
    assert_memory_equal(f->line, expected, f->len);
}

/* ---- the profiles ---- */

#define TIMES                                                                                      \
    "\"before_us\":12,\"total_us\":45,\"head_us\":1,\"body_wait_us\":2,\"queue_us\":3,"            \
    "\"connect_us\":4,\"send_us\":5,\"first_byte_us\":6,\"transfer_us\":7,"                        \
    "\"backpressure_us\":8,\"delivery_us\":9,\"orphan_us\":10,\"outcome\":\"dispatched\","         \
    "\"class\":\"default\",\"in_flight\":4,\"queue_depth\":2"
#define TRACE "00112233445566778899aabbccddeeff"

static void plain_has_the_names_of_weir(void **state)
{
    struct fixture *f = *state;

    fill(f);
    assert_line(f,
                "{\"ts\":\"2026-11-29T07:56:05.123456Z\",\"level\":\"info\",\"msg\":\"request\","
                "\"request_id\":\"id-1\",\"trace_id\":\"" TRACE "\",\"remote\":\"192.0.2.7\","
                "\"method\":\"GET\",\"target\":\"/a?b=c\",\"proto\":\"HTTP/1.1\",\"status\":200,"
                "\"source\":\"app\",\"bytes_in\":3,\"bytes_out\":9223372036854775807," TIMES "}\n");
}

static void gcp_has_the_names_of_google_cloud_logging(void **state)
{
    struct fixture *f = *state;

    fill(f);
    f->style.profile = CONFIG_ACCESS_GCP;
    f->style.project = "p-1";
    assert_line(f, "{\"time\":\"2026-11-29T07:56:05.123456Z\",\"severity\":\"INFO\","
                   "\"httpRequest\":{\"status\":200,\"requestMethod\":\"GET\","
                   "\"requestUrl\":\"/a?b=c\",\"requestSize\":\"3\","
                   "\"responseSize\":\"9223372036854775807\",\"userAgent\":\"curl/8\","
                   "\"referer\":\"/x\",\"remoteIp\":\"192.0.2.7\",\"latency\":\"0.000045s\","
                   "\"protocol\":\"HTTP/1.1\"},"
                   "\"logging.googleapis.com/trace\":\"projects/p-1/traces/" TRACE "\","
                   "\"weir\":{\"msg\":\"request\",\"request_id\":\"id-1\",\"source\":\"app\"," TIMES
                   "}}\n");
}

static void gcp_without_a_project_has_the_trace_among_weirs_own(void **state)
{
    struct fixture *f = *state;

    fill(f);
    f->style.profile = CONFIG_ACCESS_GCP;
    json_t *object = write_line(f);
    assert_null(json_object_get(object, "logging.googleapis.com/trace"));
    assert_true(judge_has(json_object_get(object, "weir"), "trace_id", SPAN(TRACE)));
    json_decref(object);
}

static void ecs_has_the_names_of_the_elastic_common_schema(void **state)
{
    struct fixture *f = *state;

    fill(f);
    f->style.profile = CONFIG_ACCESS_ECS;
    assert_line(f, "{\"@timestamp\":\"2026-11-29T07:56:05.123456Z\",\"log.level\":\"info\","
                   "\"message\":\"request\",\"ecs.version\":\"8.11.0\","
                   "\"event.dataset\":\"weir.access\",\"event.outcome\":\"success\","
                   "\"event.duration\":45000,\"http.request.id\":\"id-1\","
                   "\"http.request.method\":\"GET\",\"url.path\":\"/a\",\"url.query\":\"b=c\","
                   "\"http.version\":\"1.1\",\"http.response.status_code\":200,"
                   "\"http.request.body.bytes\":3,"
                   "\"http.response.body.bytes\":9223372036854775807,"
                   "\"http.request.referrer\":\"/x\",\"user_agent.original\":\"curl/8\","
                   "\"client.address\":\"192.0.2.7\",\"trace.id\":\"" TRACE "\","
                   "\"weir\":{\"source\":\"app\"," TIMES "}}\n");
}

static void a_request_refused_at_its_head_has_what_is_known(void **state)
{
    struct fixture *f = *state;

    f->record.status = 400;
    f->record.source = RECORD_BY_WEIR;
    f->record.reason = "bad_request";
    f->request.detail = "bare LF in the head";
    for (int profile = CONFIG_ACCESS_PLAIN; profile <= CONFIG_ACCESS_ECS; profile++) {
        f->style.profile = (enum config_access_profile)profile;
        json_t *object = write_line(f);
        const json_t *of_weir = json_object_get(object, "weir");
        const json_t *where = of_weir != NULL ? of_weir : object;
        assert_true(judge_has(where, "source", SPAN("weir")));
        assert_true(judge_has(where, "reason", SPAN("bad_request")));
        assert_true(judge_has(where, "detail", SPAN("bare LF in the head")));
        assert_null(json_object_get(where, "in_flight"));
        assert_null(json_object_get(where, "before_us"));
        assert_null(json_object_get(object, "proto"));
        json_decref(object);
    }
}

static void rare_facts_are_members_only_when_they_hold(void **state)
{
    struct fixture *f = *state;

    f->record.replayed = f->record.upgraded = f->request.bypass = f->request.http10 = true;
    f->request.text[ACCESS_METHOD] = SPAN("GET");
    json_t *object = write_line(f);
    assert_true(json_is_true(json_object_get(object, "replayed")));
    assert_true(json_is_true(json_object_get(object, "upgraded")));
    assert_true(json_is_true(json_object_get(object, "bypass")));
    assert_true(judge_has(object, "proto", SPAN("HTTP/1.0")));
    assert_null(json_object_get(object, "truncated"));
    json_decref(object);
}

/* ---- the summary ---- */

static void a_summary_has_counts_times_and_peaks(void **state)
{
    struct fixture *f = *state;
    const char *why;
    struct history_summary s = {.seconds = 60,
                                .finished = {10, 4, 1},
                                .rejected = {[STATS_QUEUE_FULL] = 2, [STATS_DRAINING] = 1},
                                .refused = 3,
                                .errors = 5,
                                .wait = {1000, -1, 20000},
                                .wait_max = 21000,
                                .inside = {-1, -1, -1},
                                .in_flight_peak = 40,
                                .queue_peak = 7};

    f->len = access_line_summary(&f->style, f->request.at, &s, f->line);
    const char *expected =
        "{\"ts\":\"2026-11-29T07:56:05.123456Z\",\"level\":\"info\",\"msg\":\"summary\","
        "\"seconds\":60,\"requests\":15,\"errors\":5,\"client_gone\":1,\"refused\":3,"
        "\"refused_by_reason\":{\"queue_full\":2,\"draining\":1},\"queue_p50_us\":1000,"
        "\"queue_p99_us\":20000,\"queue_max_us\":21000,\"in_flight_peak\":40,"
        "\"queue_depth_peak\":7}\n";
    assert_int_equal(f->len, strlen(expected));
    assert_memory_equal(f->line, expected, f->len);
    memset(&s, 0xff, sizeof(s));
    for (int profile = CONFIG_ACCESS_PLAIN; profile <= CONFIG_ACCESS_ECS; profile++) {
        f->style.profile = (enum config_access_profile)profile;
        f->len = access_line_summary(&f->style, f->request.at, &s, f->line);
        assert_true(f->len < 2048);
        /* numbers of 64 bits are beyond the reader */
        s = (struct history_summary){.seconds = 1};
        f->len = access_line_summary(&f->style, f->request.at, &s, f->line);
        json_t *object = judge_line((struct span){f->line, f->len}, &why);
        assert_non_null(object);
        json_decref(object);
    }
}

/* ---- times ---- */

static void assert_time(struct fixture *f, wall_us at, const char *expected)
{
    f->request.at = at;
    json_t *object = write_line(f);
    assert_string_equal(json_string_value(json_object_get(object, "ts")), expected);
    json_decref(object);
}

static void times_are_rfc_3339_in_utc(void **state)
{
    struct fixture *f = *state;

    assert_time(f, 0, "1970-01-01T00:00:00.000000Z");
    assert_time(f, 999999, "1970-01-01T00:00:00.999999Z");
    assert_time(f, 1000000, "1970-01-01T00:00:01.000000Z");
    assert_time(f, INT64_C(1709251199) * 1000000, "2024-02-29T23:59:59.000000Z");
    assert_time(f, -1, "1970-01-01T00:00:00.000000Z");
    assert_time(f, INT64_MAX, "9999-12-31T23:59:59.999999Z");
}

/* ---- the requests that are logged, and their severity ---- */

static void problems_are_errors_refusals_losses_and_slow_requests(void **state)
{
    static const struct {
        unsigned status;
        enum record_source source;
        const char *reason;
        mono_us total;
        bool upgraded, events, problem;
        enum access_level level;
    } rows[] = {
        {200, RECORD_BY_APP, NULL, 999999, false, false, false, ACCESS_INFO},
        {404, RECORD_BY_APP, NULL, 0, false, false, false, ACCESS_INFO},
        {500, RECORD_BY_APP, NULL, 0, false, false, true, ACCESS_ERROR},
        {503, RECORD_BY_APP, NULL, 0, false, false, true, ACCESS_ERROR},
        {503, RECORD_BY_WEIR, "queue_full", 0, false, false, true, ACCESS_WARNING},
        {429, RECORD_BY_WEIR, "queue_full", 0, false, false, true, ACCESS_WARNING},
        {502, RECORD_BY_WEIR, "connect_failed", 0, false, false, true, ACCESS_ERROR},
        {400, RECORD_BY_WEIR, "bad_request", 0, false, false, true, ACCESS_WARNING},
        {200, RECORD_BY_WEIR, "last_hop", 0, false, false, true, ACCESS_WARNING},
        {499, RECORD_BY_CLIENT, NULL, 0, false, false, true, ACCESS_WARNING},
        {200, RECORD_BY_APP, "upstream_truncated", 0, false, false, true, ACCESS_WARNING},
        {200, RECORD_BY_APP, NULL, 1000000, false, false, true, ACCESS_WARNING},
        {200, RECORD_BY_APP, NULL, 1000000, false, true, false, ACCESS_INFO},
        {101, RECORD_BY_APP, NULL, 1000000, true, false, false, ACCESS_INFO},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        f->record.status = rows[i].status;
        f->record.source = rows[i].source;
        f->record.reason = rows[i].reason;
        f->record.spent[RECORD_TRANSFER] = rows[i].total;
        f->record.upgraded = rows[i].upgraded;
        f->request.events = rows[i].events;
        f->config.log.access = CONFIG_ACCESS_PROBLEMS;
        if (access_line_is_wanted(&f->config, &f->record, rows[i].events) != rows[i].problem)
            fail_msg("row %zu", i);
        write_entry(f);
        assert_int_equal(f->entry->level, rows[i].level);
        f->config.log.access = CONFIG_ACCESS_ALL;
        assert_true(access_line_is_wanted(&f->config, &f->record, rows[i].events));
        f->config.log.access = CONFIG_ACCESS_OFF;
        assert_false(access_line_is_wanted(&f->config, &f->record, rows[i].events));
    }
}

/* ---- hostile bytes ---- */

static bool any_is_too_long(const struct fixture *f)
{
    for (enum access_text i = 0; i < ACCESS_TEXTS; i++) {
        if (f->request.text[i].len > (i == ACCESS_TARGET ? ACCESS_TARGET_MAX : ACCESS_TEXT_MAX))
            return true;
    }
    return false;
}

/* Writes a line with this target, and compares what a reader gets. */
static void assert_target(struct fixture *f, struct span target)
{
    struct strbuf expected = {0};

    f->request.text[ACCESS_TARGET] = target;
    json_t *object = write_line(f);
    judge_expect(target, ACCESS_TARGET_MAX, &expected);
    if (!judge_has(object, "target", (struct span){strbuf_cstr(&expected), expected.len}))
        fail_msg("not what was sent: %.*s", (int)f->len, f->line);
    assert_int_equal(json_object_get(object, "truncated") != NULL, any_is_too_long(f));
    strbuf_fini(&expected);
    json_decref(object);
}

static void any_two_bytes_are_written_or_replaced(void **state)
{
    char text[] = "/a..b";

    for (unsigned i = 0; i < 65536; i++) {
        text[2] = (char)(i >> 8);
        text[3] = (char)i;
        assert_target(*state, (struct span){text, 5});
    }
}

/* Plain bytes are copied in pieces; one that is not must be seen at each place of each piece. */
static void a_byte_is_written_or_replaced_at_any_place(void **state)
{
    static const unsigned char bytes[] = {0, 0x1f, ' ', '"', '\\', '~', 0x7f, 0x80, 0xa0, 0xff};
    char text[27];

    for (size_t len = 1; len < sizeof(text); len++) {
        for (size_t i = 0; i < len * sizeof(bytes); i++) {
            memset(text, 'a', len);
            text[i / sizeof(bytes)] = (char)bytes[i % sizeof(bytes)];
            assert_target(*state, (struct span){text, len});
        }
    }
}

static size_t encode(unsigned code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00u >> n & 0xf0u) | code);
    return n;
}

static void every_character_is_written_as_it_is(void **state)
{
    char text[4 * 256];

    for (unsigned first = 0; first < 0x110000; first += 256) {
        size_t len = 0;
        for (unsigned code = first; code < first + 256; code++)
            len += encode(code, text + len);
        assert_target(*state, (struct span){text, len});
    }
}

static void a_client_cannot_end_a_member_or_a_line(void **state)
{
    struct fixture *f = *state;
    const struct span forged =
        SPAN("x\",\"status\":200}\n{\"ts\":\"\\\",\"msg\":\"request\"}\r\n\0\x1b[2J");

    for (enum access_text i = 0; i < ACCESS_TEXTS; i++)
        f->request.text[i] = forged;
    f->record.status = 500;
    for (int profile = CONFIG_ACCESS_PLAIN; profile <= CONFIG_ACCESS_ECS; profile++) {
        f->style.profile = (enum config_access_profile)profile;
        json_decref(write_line(f));
    }
    f->style.profile = CONFIG_ACCESS_PLAIN;
    assert_target(f, forged);
}

static void long_texts_are_cut_between_characters_and_marked(void **state)
{
    struct fixture *f = *state;
    size_t size = 40000;
    char *text = malloc(size);

    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t i = 0; i + 4 <= size - shift; i += 4)
            memcpy(text + shift + i, "\xF0\x9F\x98\x80", 4);
        memset(text, 'a', shift);
        assert_target(f, (struct span){text, size});
    }
    for (size_t n = ACCESS_TARGET_MAX - 2; n < ACCESS_TARGET_MAX + 3; n++)
        assert_target(f, (struct span){text, n});
    memset(text, '\x80', size);
    for (enum access_text i = 0; i < ACCESS_TEXTS; i++)
        f->request.text[i] = (struct span){text, size};
    assert_target(f, (struct span){text, size}); /* the longest line */
    free(text);
}

static void random_bytes_never_break_a_line(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = dice_number("WEIR_SEED", 1), dice = seed;
    size_t size = 8192;
    char *text = malloc(size);

    print_message("WEIR_SEED=%llu\n", (unsigned long long)seed);
    for (int run = 0; run < 4000; run++) {
        size_t len = dice_roll(&dice) % (run % 40 == 0 ? size : 100);
        for (size_t i = 0; i < len; i++)
            text[i] = dice_roll(&dice) % 4 != 0 ? (char)dice_roll(&dice) : '"';
        for (enum access_text i = 0; i < ACCESS_TEXTS; i++) {
            size_t from = len == 0 ? 0 : dice_roll(&dice) % len;
            f->request.text[i] = (struct span){text + from, len - from};
        }
        f->style.profile = (enum config_access_profile)(run % 3);
        json_decref(write_line(f));
        f->style.profile = CONFIG_ACCESS_PLAIN;
        assert_target(f, f->request.text[ACCESS_TARGET]);
    }
    free(text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plain_has_the_names_of_weir),
        TEST(gcp_has_the_names_of_google_cloud_logging),
        TEST(gcp_without_a_project_has_the_trace_among_weirs_own),
        TEST(ecs_has_the_names_of_the_elastic_common_schema),
        TEST(a_request_refused_at_its_head_has_what_is_known),
        TEST(rare_facts_are_members_only_when_they_hold),
        TEST(a_summary_has_counts_times_and_peaks),
        TEST(times_are_rfc_3339_in_utc),
        TEST(problems_are_errors_refusals_losses_and_slow_requests),
        TEST(any_two_bytes_are_written_or_replaced),
        TEST(every_character_is_written_as_it_is),
        TEST(a_byte_is_written_or_replaced_at_any_place),
        TEST(a_client_cannot_end_a_member_or_a_line),
        TEST(long_texts_are_cut_between_characters_and_marked),
        TEST(random_bytes_never_break_a_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
