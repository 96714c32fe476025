/* Changes of a configuration in force: by a reload, and of single values. */
#include <stdlib.h>
#include <string.h>

#include "proxy/config_change.h"
#include "proxy/options.h"
#include "tests/unit/proxy/config_fixture.h"

#define FILE_TEXT                                                                                  \
    "{\n\"upstream\": \"127.0.0.1:8000\",\n\"threads\": 2,\n\"concurrency\": 40,\n"                \
    "\"headers\": {\"trusted\": [\"10.0.0.0/8\"]}\n}\n"

static struct config *running(struct fixture *f)
{
    struct config *c = load(f, FILE_TEXT);

    assert_non_null(c);
    return c;
}

static struct config *reload(struct fixture *f, const struct config *now, const char *text)
{
    const struct config_source src = {.path = f->path, .running = now};
    FILE *file = fopen(f->path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    strbuf_clear(&f->problems);
    return config_load(&src, &f->problems);
}

static struct config *patch(struct fixture *f, const struct config *now, const char *json)
{
    strbuf_clear(&f->problems);
    return config_patch(now, span_of(json), &f->problems);
}

static void assert_told(struct fixture *f, const char *text)
{
    if (strstr(strbuf_cstr(&f->problems), text) == NULL)
        fail_msg("missing: %s\n%s", text, strbuf_cstr(&f->problems));
}

static void assert_changes(const struct config *from, const struct config *to, const char *expected)
{
    struct strbuf text = {0};

    config_write_changes(from, to, &text);
    assert_string_equal(strbuf_cstr(&text), expected);
    strbuf_fini(&text);
}

static void a_patch_changes_its_values_and_keeps_all_others(void **state)
{
    struct config *now = running(*state);
    struct config *next =
        patch(*state, now, "{\"concurrency\": 20, \"queue\": {\"timeout\": \"2s\"}}");

    assert_non_null(next);
    assert_int_equal(next->concurrency, 20);
    assert_int_equal(next->queue.timeout, 2000000);
    assert_int_equal(next->queue.length, 200); /* computed anew */
    assert_int_equal(next->threads, 2);
    assert_true(next->upstream_given && next->admin.enabled);
    assert_int_equal(next->upstream.address.sa.ss_family, AF_INET);
    assert_int_equal(next->headers.trusted.n, 1);
    assert_ptr_not_equal(next->headers.trusted.at, now->headers.trusted.at);
    assert_int_equal(now->concurrency, 40);
    assert_changes(
        now, next,
        "concurrency 40 -> 20, queue.length 400 -> 200, queue.timeout \"10s\" -> \"2s\"");
    config_put(now);
    config_put(next);
}

static void an_empty_patch_changes_nothing(void **state)
{
    struct config *now = running(*state), *next = patch(*state, now, "{}");

    assert_non_null(next);
    assert_changes(now, next, "");
    config_put(now);
    config_put(next);
}

static void all_errors_of_a_patch_are_told_with_their_places(void **state)
{
    struct config *now = running(*state);

    assert_null(patch(*state, now,
                      "{\"concurrency\": 0,\n \"queue\": {\"tiemout\": \"2s\", \"length\": -1},\n"
                      " \"log\": {\"level\": \"loud\"}}"));
    assert_told(*state, "change:1:17: error: \"concurrency\" expects an integer");
    assert_told(*state, "change:2:12: error: unknown key \"tiemout\" in \"queue\"");
    assert_told(*state, "change:2:39: error: \"queue.length\" expects");
    assert_told(*state, "change:3:19: error: \"log.level\" expects");
    assert_told(*state, "change: 4 errors; nothing was changed\n");
    assert_null(patch(*state, now, "[1]"));
    assert_told(*state, "the change must be one JSON object, got a list");
    assert_null(patch(*state, now, "{\"concurrency\": 4"));
    assert_told(*state, "change:1:18: error: ");
    assert_null(patch(*state, now, ""));
    config_put(now);
}

static void a_patch_that_contradicts_another_value_names_where_that_was_set(void **state)
{
    struct config *now = load(*state, "{\n\"upstream\": {\"address\": \":1\",\n"
                                      " \"max_connections\": 30}}");

    assert_non_null(now);
    assert_null(patch(*state, now, "{\"concurrency\": 20}"));
    assert_told(*state, "\"upstream.max_connections\" (");
    assert_told(*state, "weir.json:3): 30 can never be reached with \"concurrency\" set to 20");
    config_put(now);
}

static void patches_add_up_and_a_later_one_knows_what_an_earlier_one_set(void **state)
{
    struct config *now = running(*state);
    struct config *first = patch(*state, now, "{\"upgrades\": {\"max\": 30}}");

    assert_non_null(first);
    assert_null(patch(*state, first, "{\"concurrency\": 20}"));
    assert_told(*state, "\"upgrades.max\" (from an earlier change): 30 can never be reached");
    struct config *second = patch(*state, first, "{\"concurrency\": 50}");
    assert_non_null(second);
    assert_changes(now, second,
                   "concurrency 40 -> 50, queue.length 400 -> 500, upgrades.max \"limit-1\" -> 30");
    config_put(now);
    config_put(first);
    config_put(second);
}

static void a_patch_may_change_the_profile_and_what_it_sets(void **state)
{
    struct config *now = running(*state);
    struct config *run = patch(*state, now, "{\"profile\": \"cloudrun\"}");

    assert_non_null(run);
    assert_int_equal(run->overload.status, 429);
    struct config *none = patch(*state, run, "{\"profile\": \"none\"}");
    assert_non_null(none);
    assert_changes(now, none, "");
    config_put(now);
    config_put(run);
    config_put(none);
}

static void a_secret_is_masked_in_what_is_told(void **state)
{
    struct config *now = running(*state);
    struct config *next = patch(*state, now, "{\"admin\": {\"token\": \"0123456789abcdef\"}}");

    assert_non_null(next);
    assert_changes(now, next, "admin.token \"\" -> \"***\"");
    assert_null(patch(*state, now, "{\"admin\": {\"token\": \"0123\"}, \"concurrency\": 0}"));
    assert_null(strstr(strbuf_cstr(&((struct fixture *)*state)->problems), "0123"));
    config_put(now);
    config_put(next);
}

static void what_requires_a_restart_is_named_key_by_key(void **state)
{
    struct config *now = running(*state);

    assert_null(patch(*state, now,
                      "{\"threads\": 4, \"listen\": \":9\", \"upstream\": \":7\","
                      " \"admin\": {\"listen\": \"off\"}, \"concurrency\": 7}"));
    assert_told(*state, "change:1:13: error: \"threads\": cannot change from 2 to 4 while weir is "
                        "running (the threads are created at startup): restart weir");
    assert_told(*state, "\"listen\": cannot change from \":8080\" to \":9\"");
    assert_told(*state, "\"upstream.address\": cannot change from");
    assert_told(*state, "\"admin.listen\": cannot change from \":9480\" to \"off\"");
    assert_told(*state, "change: 4 errors");
    config_put(now);
}

static void a_key_that_requires_a_restart_may_be_given_again(void **state)
{
    struct config *now = running(*state);
    struct config *next = patch(
        *state, now, "{\"threads\": 2, \"upstream\": \"127.0.0.1:8000\", \"concurrency\": 7}");

    assert_non_null(next);
    assert_int_equal(next->concurrency, 7);
    config_put(now);
    config_put(next);
}

static void a_reload_reads_the_file_again(void **state)
{
    struct config *now = running(*state);
    struct config *next = reload(
        *state, now, "{\"upstream\": \"127.0.0.1:8000\", \"threads\": 2, \"concurrency\": 10}");

    assert_non_null(next);
    assert_changes(now, next,
                   "concurrency 40 -> 10, queue.length 400 -> 100, "
                   "headers.trusted [\"10.0.0.0/8\"] -> [\"private\"]");
    config_put(now);
    config_put(next);
}

static void a_reload_names_what_requires_a_restart_with_its_line(void **state)
{
    struct config *now = running(*state);

    assert_null(reload(*state, now, "{\n\"upstream\": \"127.0.0.1:8000\",\n\"threads\": 4\n}"));
    assert_told(*state, "weir.json:3:12: error: \"threads\": cannot change from 2 to 4");
    assert_told(*state, "1 error; nothing was changed");
    assert_null(reload(*state, now, "{\n\"upstream\": \"127.0.0.1:8000\"}")); /* a default is one */
    assert_told(*state, "weir: error: \"threads\": cannot change from 2 to 1");
    config_put(now);
}

static void a_reload_resolves_no_address_again(void **state)
{
    struct config *now = running(*state);

    now->upstream.address.sa.ss_family = AF_INET6; /* as if the name meant something else by now */
    struct config *next = reload(*state, now, FILE_TEXT);
    assert_non_null(next);
    assert_int_equal(next->upstream.address.sa.ss_family, AF_INET6);
    config_put(now);
    config_put(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(a_patch_changes_its_values_and_keeps_all_others),
        IN_DIR(an_empty_patch_changes_nothing),
        IN_DIR(all_errors_of_a_patch_are_told_with_their_places),
        IN_DIR(a_patch_that_contradicts_another_value_names_where_that_was_set),
        IN_DIR(patches_add_up_and_a_later_one_knows_what_an_earlier_one_set),
        IN_DIR(a_patch_may_change_the_profile_and_what_it_sets),
        IN_DIR(a_secret_is_masked_in_what_is_told),
        IN_DIR(what_requires_a_restart_is_named_key_by_key),
        IN_DIR(a_key_that_requires_a_restart_may_be_given_again),
        IN_DIR(a_reload_reads_the_file_again),
        IN_DIR(a_reload_names_what_requires_a_restart_with_its_line),
        IN_DIR(a_reload_resolves_no_address_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
