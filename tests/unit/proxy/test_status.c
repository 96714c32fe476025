/* /status: one JSON object with the numbers of the metrics page. */
#include <jansson.h>

#include "proxy/status.h"
#include "tests/unit/proxy/stats_fixture.h"

/* An integer in the status, found by path. */
static json_int_t at(json_t *root, const char *a, const char *b, const char *c)
{
    json_t *v = json_object_get(json_object_get(json_object_get(root, a), b), c);
    assert_true(json_is_integer(v));
    return json_integer_value(v);
}

static json_t *status(struct stats *s, const struct stats_now *now)
{
    struct strbuf out = {0};
    json_error_t error;
    struct stats_reading reading;

    stats_read(s, now, &reading);
    const struct history_input first = {.wall = 1700000000 * S, .reading = &reading};
    struct history *history = history_new(&first);
    status_write(s, now, history, &out);
    history_free(history);
    json_t *root = json_loads(strbuf_cstr(&out), JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        fail_msg("%s in %s", error.text, strbuf_cstr(&out));
    strbuf_fini(&out);
    return root;
}

static void status_is_one_json_object_with_the_same_numbers(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *sh = stats_shard_of(*state, 0);
    now.limiter.in_flight = 3;
    now.bypass = (struct stats_bypass){.limit = 4, .in_flight = 2, .queued = 1};
    now.limiter.oldest_wait = 1500000;
    ends(sh, STATS_SOURCE_APP, 200);
    ends(sh, STATS_SOURCE_APP, 404);
    ends(sh, STATS_SOURCE_WEIR, 503);
    stats_rejected(sh, STATS_QUEUE_FULL);
    stats_queue_wait(sh, STATS_DISPATCHED, 0);
    stats_queue_wait(sh, STATS_DISPATCHED, 2500000);
    json_t *root = status(*state, &now);
    assert_int_equal(json_integer_value(json_object_get(root, "limit")), 80);
    assert_int_equal(json_integer_value(json_object_get(root, "in_flight")), 3);
    json_t *bypass = json_object_get(root, "bypass");
    assert_int_equal(json_integer_value(json_object_get(bypass, "limit")), 4);
    assert_int_equal(json_integer_value(json_object_get(bypass, "in_flight")), 2);
    assert_int_equal(json_integer_value(json_object_get(bypass, "queued")), 1);
    json_t *upstream = json_object_get(root, "upstream");
    assert_int_equal(json_integer_value(json_object_get(upstream, "limit")), 84);
    json_t *queue = json_object_get(root, "queue");
    assert_int_equal(json_integer_value(json_object_get(queue, "limit")), 800);
    assert_int_equal(json_integer_value(json_object_get(queue, "limit_bytes")), 1 << 26);
    json_t *clients = json_object_get(root, "clients");
    assert_int_equal(json_integer_value(json_object_get(clients, "limit")), 4096);
    assert_true(json_number_value(json_object_get(queue, "oldest_wait_seconds")) == 1.5);
    assert_true(json_is_false(json_object_get(queue, "paused")));
    assert_true(json_is_false(json_object_get(root, "paused")));
    assert_true(json_is_false(json_object_get(root, "draining")));
    assert_true(json_is_true(json_object_get(json_object_get(root, "upstream"), "ready")));
    assert_int_equal(at(root, "totals", "requests", "app"), 2);
    assert_int_equal(at(root, "totals", "requests", "weir"), 1);
    assert_int_equal(at(root, "totals", "rejected", "queue_full"), 1);
    json_t *waits = json_object_get(root, "totals");
    assert_int_equal(at(waits, "waits", "dispatched", "count"), 2);
    json_t *none = json_object_get(json_object_get(waits, "waits"), "without_wait");
    assert_int_equal(json_integer_value(none), 1);
    json_decref(root);
}

static void status_shows_an_overload_and_what_is_not_known_as_null(void **state)
{
    struct stats_now now = quiet();
    now.fifo = true;
    now.limiter.overload = true;
    now.limiter.overload_us = 2500000;
    now.limiter.overloads[OVERLOAD_WASTE] = 2;
    now.limiter.allowance = 250000;
    now.limiter.wasted = 9;
    now.patience[1] = 500000;
    json_t *root = status(*state, &now);
    json_t *overload = json_object_get(root, "overload");
    assert_string_equal(json_string_value(json_object_get(json_object_get(root, "queue"), "order")),
                        "fifo");
    assert_true(json_is_true(json_object_get(overload, "active")));
    assert_true(json_number_value(json_object_get(overload, "seconds")) == 2.5);
    assert_true(json_number_value(json_object_get(overload, "allowance_seconds")) == 0.25);
    assert_int_equal(json_integer_value(json_object_get(overload, "wasted")), 9);
    assert_int_equal(at(root, "overload", "begun", "waste"), 2);
    json_t *patience = json_object_get(overload, "patience_seconds");
    assert_true(json_is_null(json_object_get(patience, "0.1")));
    assert_true(json_number_value(json_object_get(patience, "0.5")) == 0.5);
    json_decref(root);
}

static void a_pause_of_another_reason_is_not_the_operators(void **state)
{
    struct stats_now now = quiet();

    for (unsigned reason = LIMITER_PAUSE_NOT_READY; reason <= LIMITER_PAUSE_DRAINING;
         reason <<= 1) {
        now.limiter.paused = reason;
        json_t *root = status(*state, &now);
        assert_true(json_is_true(json_object_get(json_object_get(root, "queue"), "paused")));
        assert_int_equal(json_is_true(json_object_get(root, "paused")),
                         reason == LIMITER_PAUSE_OPERATOR);
        json_decref(root);
    }
}

static void status_says_unlimited_in_a_word_and_never_as_null(void **state)
{
    struct stats_now now = quiet();
    now.limiter.limit = LIMITER_UNLIMITED;
    now.queue_timeout = MONO_NEVER;
    json_t *root = status(*state, &now);
    assert_string_equal(json_string_value(json_object_get(root, "limit")), "unlimited");
    assert_true(json_is_null(json_object_get(json_object_get(root, "queue"), "timeout_seconds")));
    json_decref(root);
}

static void the_agent_port_tells_its_latest_reply(void **state)
{
    struct stats_now now = quiet();
    json_t *root = status(*state, &now), *agent;
    assert_true(json_is_null(json_object_get(root, "agent")));
    json_decref(root);
    now.agent.on = true;
    root = status(*state, &now);
    agent = json_object_get(root, "agent");
    assert_string_equal(json_string_value(json_object_get(agent, "reply")), "none");
    json_decref(root);
    now.agent = (struct stats_agent){
        .on = true, .last = STATS_AGENT_UP, .weight = 37, .replies = {5, 6, 7}};
    root = status(*state, &now);
    agent = json_object_get(root, "agent");
    assert_string_equal(json_string_value(json_object_get(agent, "reply")), "up");
    assert_int_equal(json_integer_value(json_object_get(agent, "weight_percent")), 37);
    assert_int_equal(json_integer_value(json_object_get(agent, "checks")), 18);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(status_is_one_json_object_with_the_same_numbers),
        TEST(the_agent_port_tells_its_latest_reply),
        TEST(status_shows_an_overload_and_what_is_not_known_as_null),
        TEST(a_pause_of_another_reason_is_not_the_operators),
        TEST(status_says_unlimited_in_a_word_and_never_as_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
