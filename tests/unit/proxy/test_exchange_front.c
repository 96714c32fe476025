/* The headers of the proxy in front: the time before weir, and the trace. */
#include "proxy/exchange_private.h"
#include "tests/unit/proxy/scene.h"

#define TRACE   "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
#define OTHER   "traceparent: 00-00000000000000000000000000000001-b7ad6b7169203331-01\r\n"
#define UNKNOWN (-1)

static struct cidr others = {.family = AF_INET, .bits = 8, .addr = {192}};

static wall_us said; /* the time in the latest request */

/* A request that waits, with these header lines. A `*` in them is `said`: so many microseconds
 * before now. Its record. */
static const struct record *waits_with(const char *lines, mono_us ago)
{
    const char *star = strchr(lines, '*');
    int until_star = star != NULL ? (int)(star - lines) : (int)strlen(lines);
    char text[512], at[32] = "";

    if (!scene.built)
        asks(GET_OF("/holds"));
    said = clock_wall() - ago;
    if (star != NULL)
        snprintf(at, sizeof(at), "%lld", (long long)said);
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%.*s%s%s\r\n", until_star, lines, at,
             star != NULL ? star + 1 : "");
    asks(text);
    return &TAILQ_LAST(&world.exchanges->in[EXCHANGE_QUEUED], exchange_list)->record;
}

/* Its `before` is the time from `said` to its first byte. */
static void took(const struct record *r, mono_us least)
{
    assert_true(least <= r->before && r->before <= least + 10 * WORLD_REST_US);
    assert_int_equal(r->before, r->began + (clock_wall() - clock_mono()) - said);
}

static void the_time_before_weir_is_known_from_a_trusted_proxy(void)
{
    assert_int_equal(waits_with("", 0)->before, UNKNOWN);
    took(waits_with("X-Request-Start: t=*\r\n", 70000), 70000);
    took(waits_with("x-queue-start: *\r\n", 30000), 30000);
    assert_int_equal(waits_with("X-Request-Start: t=*\r\n", -50000)->before, 0);
}

static void the_first_of_several_proxies_counts(void)
{
    char both[128];

    took(waits_with("X-Request-Start: t=1\r\nX-Queue-Start: t=*\r\nX-Request-Start: now\r\n", 9000),
         9000);
    took(waits_with("X-Request-Start: t=*\r\nX-Queue-Start: t=99\r\n", 0), 0);
    snprintf(both, sizeof(both), "X-Queue-Start: *\r\nX-Request-Start: t=%lld\r\n",
             (long long)(clock_wall() - 200));
    took(waits_with(both, 20000), 20000);
    snprintf(both, sizeof(both), "X-Queue-Start: %lld\r\nX-Request-Start: t=*\r\n",
             (long long)(clock_wall() - 200));
    took(waits_with(both, 20000), 20000);
}

static void nothing_is_known_from_a_malformed_time(void)
{
    assert_int_equal(waits_with("X-Request-Start: soon\r\n", 0)->before, UNKNOWN);
    assert_int_equal(waits_with("X-Request-Start: t=*000\r\n", 0)->before, UNKNOWN);
    assert_int_equal(waits_with("X-Queue-Start: \r\n", 0)->before, UNKNOWN);
}

static void others_cannot_tell_a_time_but_a_trace(void)
{
    scene.how.config.headers.trusted.at = &others;
    scene.how.config.headers.trusted.n = 1;
    const struct record *r = waits_with("X-Request-Start: t=*\r\n" TRACE, 1000);
    assert_int_equal(r->before, UNKNOWN);
    assert_true(r->traced);
}

/* The time before weir ends when the first byte arrives: the rest is in the phase HEAD. */
static void it_ends_at_the_first_byte(void)
{
    char text[128];

    asks(GET_OF("/holds"));
    snprintf(text, sizeof(text), "Host: a\r\nX-Request-Start: t=%lld\r\n\r\n",
             (long long)(clock_wall() - 40000));
    struct peer *slow = asks("GET / HTTP/1.1\r\n");
    mono_us began = peers.now;
    from_now();
    until(60);
    says(slow, text);
    const struct exchange *ex = TAILQ_LAST(&world.exchanges->in[EXCHANGE_QUEUED], exchange_list);
    assert_in_range(ex->record.before, 40000 - WORLD_REST_US, 40000 + (peers.now - began) - 60000);
    assert_true(ex->record.spent[RECORD_HEAD] >= 60000);
}

static void a_request_has_the_id_of_its_trace(void)
{
    static const unsigned char id[RECORD_TRACE] = {0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd,
                                                   0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c};
    const struct record *r = waits_with(TRACE, 0);

    assert_true(r->traced);
    assert_memory_equal(r->trace, id, sizeof(id));
    assert_false(waits_with("", 0)->traced);
    assert_false(waits_with("traceparent: 00-0-0-0\r\n", 0)->traced);
    assert_false(waits_with(TRACE OTHER, 0)->traced);
}

static void both_are_forwarded_as_they_were(void)
{
    asks("GET / HTTP/1.1\r\nHost: a\r\nX-Queue-Start: 5\r\nX-Request-Start: 6\r\n" TRACE "\r\n");
    assert_true(has_heard(app(0), "\r\nX-Queue-Start: 5\r\n"));
    assert_true(has_heard(app(0), "\r\nX-Request-Start: 6\r\n"));
    hears(app(0), "\r\n" TRACE);
}

static void the_time_is_measured_once_the_request_has_ended(void)
{
    uint64_t before = (uint64_t)waits_with("X-Request-Start: t=*\r\n", 70000)->before;

    assert_int_equal(counted(stats_cells_of(H_BEFORE)), 0);
    says(app(0), OK);
    says(app(0), OK);
    nobody_is_left();
    assert_int_equal(counted(stats_cells_of(H_BEFORE)), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(the_time_before_weir_is_known_from_a_trusted_proxy),
        SCENE(the_first_of_several_proxies_counts),
        SCENE(nothing_is_known_from_a_malformed_time),
        SCENE(others_cannot_tell_a_time_but_a_trace),
        SCENE(it_ends_at_the_first_byte),
        SCENE(a_request_has_the_id_of_its_trace),
        SCENE(both_are_forwarded_as_they_were),
        SCENE(the_time_is_measured_once_the_request_has_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
