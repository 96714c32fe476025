/* The line of the access log for each kind of end. That each request has one line is checked by the
 * world after every scene. */
#include <stdlib.h>

#include <jansson.h>

#include "tests/unit/proxy/scene.h"

/* The last line, which is the `n`th. The caller owns it. */
static json_t *line(size_t n)
{
    assert_int_equal(world.lines, n);
    json_t *object = json_loadb(world.line.at, world.line.len, JSON_REJECT_DUPLICATES, NULL);
    if (object == NULL)
        fail_msg("not JSON: %.*s", (int)world.line.len, world.line.at);
    return object;
}

/* `text` NULL: there is no such member. */
static void has(const json_t *object, const char *key, const char *text)
{
    const json_t *member = json_object_get(object, key);

    if (text == NULL && member == NULL)
        return;
    if (text == NULL || !json_is_string(member))
        fail_msg("%s: %.*s", key, (int)world.line.len, world.line.at);
    assert_string_equal(json_string_value(member), text);
}

static long long number(const json_t *object, const char *key)
{
    const json_t *member = json_object_get(object, key);

    if (!json_is_integer(member))
        fail_msg("%s: %.*s", key, (int)world.line.len, world.line.at);
    return json_integer_value(member);
}

/* ---- kinds of ends ---- */

static void a_served_request_has_all_that_is_known(void)
{
    struct peer *a = asks("POST /a?b HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-1\r\n"
                          "Content-Length: 3\r\n\r\nabc");

    assert_int_equal(world.lines, 0);
    says(app(0), OK);
    hears(a, "200 OK");
    json_t *l = line(1);
    has(l, "msg", "request");
    has(l, "level", "info");
    has(l, "request_id", "id-1");
    has(l, "remote", "10.0.0.1");
    has(l, "method", "POST");
    has(l, "target", "/a");
    has(l, "proto", "HTTP/1.1");
    has(l, "source", "app");
    has(l, "reason", NULL);
    has(l, "outcome", "dispatched");
    has(l, "class", "default");
    assert_int_equal(number(l, "status"), 200);
    assert_int_equal(number(l, "bytes_in"), 3);
    assert_int_equal(number(l, "bytes_out"), 2);
    assert_int_equal(number(l, "in_flight"), 0);
    assert_int_equal(number(l, "queue_depth"), 0);
    json_decref(l);
}

static void a_request_that_waited_tells_what_it_met_and_its_phases(void)
{
    struct peer *a = asks(GET), *b = asks(GET_OF("/b")), *c = asks(GET_OF("/c"));

    until(300);
    says(app(0), OK);
    says(app(0), OK);
    says(app(0), OK);
    hears(a, "200 OK");
    hears(b, "200 OK");
    hears(c, "200 OK");
    json_t *l = line(3);
    has(l, "target", "/c");
    assert_int_equal(number(l, "in_flight"), 1);
    assert_int_equal(number(l, "queue_depth"), 1);
    assert_true(number(l, "queue_us") >= 290000 && number(l, "queue_us") <= 320000);
    assert_true(number(l, "total_us") >= number(l, "queue_us") + number(l, "first_byte_us"));
    json_decref(l);
}

/* Its address was kept with its message, which moved to a smaller block when it began to wait. */
static void a_client_that_left_the_queue_is_still_told(void)
{
    asks(GET);
    struct peer *b = asks("GET /b HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-2\r\n\r\n");

    leaves(b);
    json_t *l = line(1);
    has(l, "level", "warning");
    has(l, "request_id", "id-2");
    has(l, "remote", "10.0.0.2");
    has(l, "target", "/b");
    has(l, "source", "client_gone");
    has(l, "outcome", "client_gone");
    assert_int_equal(number(l, "status"), 499);
    json_decref(l);
}

static void an_orphan_has_its_line_when_the_app_is_done(void)
{
    struct peer *a = asks(GET);

    leaves(a);
    assert_int_equal(world.lines, 0);
    until(200);
    says(app(0), OK);
    json_t *l = line(1);
    has(l, "source", "client_gone");
    has(l, "remote", "10.0.0.1");
    assert_true(number(l, "orphan_us") >= 190000);
    json_decref(l);
}

static void a_refusal_has_its_reason(void)
{
    scene.how.config.queue.length = 0;
    asks(GET);
    struct peer *b = asks(GET_OF("/b"));

    is_told(b, 503, "queue_full", NULL);
    json_t *l = line(1);
    has(l, "level", "warning");
    has(l, "source", "weir");
    has(l, "reason", "queue_full");
    assert_int_equal(number(l, "in_flight"), 1);
    json_decref(l);
}

static void input_that_is_no_request_is_told_without_its_bytes(void)
{
    struct peer *a = asks("GET / HTTP/1.1\nHost: a\n\n");

    is_told(a, 400, "bad_request", NULL);
    json_t *l = line(1);
    has(l, "remote", "10.0.0.1");
    has(l, "reason", "bad_request");
    has(l, "detail", "bare LF in the header section");
    has(l, "method", NULL);
    has(l, "target", NULL);
    has(l, "outcome", NULL);
    has(l, "class", NULL);
    json_decref(l);
}

static void a_request_refused_for_its_head_has_not_asked_the_limiter(void)
{
    asks("OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    json_t *l = line(1);
    has(l, "method", "OPTIONS");
    has(l, "target", "/x");
    has(l, "source", "weir");
    has(l, "outcome", NULL);
    has(l, "in_flight", NULL);
    json_decref(l);
}

static void a_request_to_bypass_paths_is_marked(void)
{
    static char healthz[] = "/healthz";
    static struct path path[] = {{healthz, 8}};

    scene.how.config.bypass.paths = (struct paths){path, 1};
    scene.how.config.bypass.concurrency = 1;
    asks(GET_OF("/healthz"));
    says(app(0), OK);
    json_t *l = line(1);
    assert_true(json_is_true(json_object_get(l, "bypass")));
    has(l, "target", "/healthz");
    has(l, "class", NULL);
    json_decref(l);
}

/* ---- options ---- */

static void the_query_is_told_only_if_it_is_wanted(void)
{
    scene.how.config.log.query = true;
    asks("GET /a?token=x HTTP/1.1\r\nHost: a\r\n\r\n");
    says(app(0), OK);
    json_t *l = line(1);
    has(l, "target", "/a?token=x");
    json_decref(l);
}

static void other_profiles_have_the_agent_and_the_referer(void)
{
    scene.how.config.log.profile = CONFIG_ACCESS_ECS;
    asks("GET /a?q HTTP/1.1\r\nHost: a\r\nuser-agent:\tcurl/8 \r\nX-User-Agent: other\r\n"
         "REFERER: http://b/c?secret\r\n\r\n");
    says(app(0), OK);
    json_t *l = line(1);
    has(l, "user_agent.original", "curl/8");
    has(l, "http.request.referrer", "http://b/c");
    has(l, "url.path", "/a");
    has(l, "url.query", NULL);
    json_decref(l);
}

static void a_header_in_the_body_is_none(void)
{
    scene.how.config.log.profile = CONFIG_ACCESS_GCP;
    asks("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n\r\nUser-Agent: x\r\n");
    says(app(0), OK);
    json_t *l = line(1);
    has(json_object_get(l, "httpRequest"), "userAgent", NULL);
    json_decref(l);
}

static void with_problems_only_they_are_told(void)
{
    scene.how.config.log.access = CONFIG_ACCESS_PROBLEMS;
    scene.how.config.log.slow = 500000;
    struct peer *a = asks(GET);

    says(app(0), OK);
    assert_int_equal(world.lines, 0);
    says(a, GET);
    says(app(0), "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(world.lines, 1);
    says(a, GET);
    from_now();
    until(600);
    says(app(0), OK);
    assert_int_equal(world.lines, 2);
}

static void an_event_stream_is_never_slow(void)
{
    scene.how.config.log.access = CONFIG_ACCESS_PROBLEMS;
    scene.how.config.log.slow = 100000;
    asks(GET);
    says(app(0), "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n3\r\na\n\n\r\n");
    until(600);
    says(app(0), "0\r\n\r\n");
    assert_int_equal(world.lines, 0);
}

static void a_change_applies_to_requests_that_have_begun(void)
{
    struct config next;

    scene.how.config.log.access = CONFIG_ACCESS_OFF;
    asks(GET);
    memcpy(&next, world.config, sizeof(next));
    next.log.access = CONFIG_ACCESS_ALL;
    assert_true(world_configure(&next));
    world_rest();
    says(app(0), OK);
    assert_int_equal(world.lines, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_served_request_has_all_that_is_known),
        SCENE(a_request_that_waited_tells_what_it_met_and_its_phases),
        SCENE(a_client_that_left_the_queue_is_still_told),
        SCENE(an_orphan_has_its_line_when_the_app_is_done),
        SCENE(a_refusal_has_its_reason),
        SCENE(input_that_is_no_request_is_told_without_its_bytes),
        SCENE(a_request_refused_for_its_head_has_not_asked_the_limiter),
        SCENE(a_request_to_bypass_paths_is_marked),
        SCENE(the_query_is_told_only_if_it_is_wanted),
        SCENE(other_profiles_have_the_agent_and_the_referer),
        SCENE(a_header_in_the_body_is_none),
        SCENE(with_problems_only_they_are_told),
        SCENE(an_event_stream_is_never_slow),
        SCENE(a_change_applies_to_requests_that_have_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
