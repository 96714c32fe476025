/* Five sources are merged into one configuration: priority, checks across options, output. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "proxy/config.h"
#include "proxy/manual.h"
#include "tests/unit/proxy/config_fixture.h"

static struct config *load_flags(struct fixture *f, char **environ_, const char *first,
                                 const char *second)
{
    char flags[2][64];
    char *argv[2] = {flags[0], flags[1]};
    const struct config_source src = {
        .argc = (first != NULL) + (second != NULL), .argv = argv, .environ_ = environ_};

    snprintf(flags[0], sizeof(flags[0]), "%s", first == NULL ? "" : first);
    snprintf(flags[1], sizeof(flags[1]), "%s", second == NULL ? "" : second);
    strbuf_clear(&f->problems);
    return config_load(&src, &f->problems);
}

static void the_least_file_gets_every_default(void **state)
{
    struct config *c = load(*state, "{ \"upstream\": \"127.0.0.1:8000\" }");

    assert_non_null(c);
    assert_true(c->upstream_given);
    assert_string_equal(c->upstream.address.text, "127.0.0.1:8000");
    assert_int_equal(c->upstream.address.sa.ss_family, AF_INET);
    assert_string_equal(c->listen.text, ":8080");
    assert_int_equal(c->threads, 1);
    assert_int_equal(c->concurrency, 80);
    assert_int_equal(c->queue.length, 800);
    assert_int_equal(c->queue.timeout, 10000000);
    assert_int_equal(c->overload.status, 503);
    assert_int_equal(c->client.max_head, 32768);
    assert_int_equal(c->upstream.max_head, 49152);
    assert_int_equal(c->upstream.max_headers, 256);
    assert_true(c->client.max_body == CONFIG_UNLIMITED);
    assert_string_equal(c->headers.request_id, "X-Request-Id");
    assert_true(c->headers.request_start);
    assert_true(c->admin.enabled);
    assert_int_equal(c->log.level, LOG_LEVEL_INFO);
    config_put(c);
}

static void the_queue_follows_the_concurrency_unless_it_is_given(void **state)
{
    struct config *c = load(*state, "{\"upstream\": \":1\", \"concurrency\": 3}");
    assert_int_equal(c->queue.length, 30);
    config_put(c);
    c = load(*state, "{\"upstream\": \":1\", \"concurrency\": \"unlimited\"}");
    assert_int_equal(c->concurrency, UINT32_MAX);
    assert_int_equal(c->queue.length, 1000);
    config_put(c);
    c = load(*state, "{\"upstream\": \":1\", \"concurrency\": 3, \"queue\": {\"length\": 0}}");
    assert_int_equal(c->queue.length, 0);
    config_put(c);
    c = load(*state, "{\"upstream\": \":1\", \"concurrency\": 500000, "
                     "\"client\": {\"max_connections\": 1000000}}");
    assert_int_equal(c->queue.length, 1000000);
    config_put(c);
}

static void admin_can_be_off(void **state)
{
    struct config *c = load(*state, "{\"upstream\": \":1\", \"admin\": {\"listen\": \"off\"}}");

    assert_false(c->admin.enabled);
    config_put(c);
}

static void nothing_at_all_is_no_error_but_says_so(void **state)
{
    char port[] = "PORT=9000", *environment[] = {port, NULL};
    struct config *c = load_flags(*state, environment, NULL, NULL);

    assert_non_null(c);
    assert_false(c->upstream_given);
    assert_string_equal(c->listen.text, ":9000");
    config_put(c);
    assert_null(load_flags(*state, NULL, "--threads=2", NULL));
    struct fixture *f = *state;
    assert_non_null(strstr(strbuf_cstr(&f->problems), "--upstream is missing"));
}

static void a_profile_sets_what_nothing_else_has_set(void **state)
{
    struct config *c = load(*state, "{\"upstream\": \":1\", \"profile\": \"cloudrun\"}");

    assert_int_equal(c->overload.status, 429);
    assert_int_equal(c->drain.delay, 0);
    assert_int_equal(c->drain.timeout, 9000000);
    config_put(c);
    c = load(*state, "{\"upstream\": \":1\", \"profile\": \"cloudrun\", "
                     "\"drain\": {\"delay\": \"2s\"}, \"overload\": {\"status\": 503}}");
    assert_int_equal(c->overload.status, 503);
    assert_int_equal(c->drain.delay, 2000000);
    assert_int_equal(c->drain.timeout, 9000000);
    config_put(c);
    c = load(*state, "{\"upstream\": \":1\"}");
    assert_int_equal(c->overload.status, 503);
    assert_int_equal(c->drain.delay, 5000000);
    assert_int_equal(c->drain.timeout, 25000000);
    config_put(c);
}

static void a_profile_comes_before_the_default_and_behind_the_platform(void **state)
{
    char profile[] = "WEIR_PROFILE=cloudrun", up[] = "WEIR_UPSTREAM=127.0.0.1:1",
         port[] = "PORT=9000", *environment[] = {profile, up, port, NULL};
    struct config *c = load_flags(*state, environment, "--drain-timeout=5s", NULL);
    struct strbuf text = {0};

    assert_non_null(c);
    assert_string_equal(c->listen.text, ":9000");
    assert_int_equal(c->drain.timeout, 5000000);
    config_write(c, &text);
    const char *line = strstr(strbuf_cstr(&text), "drain.delay ");
    assert_non_null(line);
    const char *origin = strstr(line, "profile\n");
    assert_true(origin != NULL && origin < strchr(line, '\n'));
    strbuf_fini(&text);
    config_put(c);
}

static void higher_sources_win(void **state)
{
    char a[] = "WEIR_CONCURRENCY=4", b[] = "CONTAINER_CONCURRENCY=0",
         c0[] = "WEIR_THREADS=", *environment[] = {a, b, c0, NULL};
    struct config *c = load_flags(*state, environment, "--upstream=:1", NULL);

    assert_int_equal(c->concurrency, 4);
    assert_int_equal(c->threads, 1);
    config_put(c);
    c = load_flags(*state, environment, "--upstream=:1", "--concurrency=5");
    assert_int_equal(c->concurrency, 5);
    config_put(c);
    environment[0] = b;
    c = load_flags(*state, environment, "--upstream=:1", NULL);
    assert_int_equal(c->concurrency, UINT32_MAX);
    config_put(c);
    environment[2] = a;
    environment[1] = a;
    c = load_bytes(*state, SPAN("{\"upstream\": \":1\", \"concurrency\": 6}"), environment);
    assert_int_equal(c->concurrency, 4);
    config_put(c);
}

static void the_app_has_two_variables_which_may_not_differ(void **state)
{
    char one[] = "WEIR_UPSTREAM=:1", other[] = "WEIR_UPSTREAM_ADDRESS=:2";
    char same[] = "WEIR_UPSTREAM_ADDRESS=:1";
    struct fixture *f = *state;

    struct config *c = load_flags(f, (char *[]){other, NULL}, NULL, NULL);
    assert_string_equal(c->upstream.address.text, ":2");
    config_put(c);
    c = load_flags(f, (char *[]){one, same, NULL}, NULL, NULL);
    assert_string_equal(c->upstream.address.text, ":1");
    config_put(c);
    assert_null(load_flags(f, (char *[]){one, other, NULL}, NULL, NULL));
    assert_non_null(strstr(strbuf_cstr(&f->problems),
                           "WEIR_UPSTREAM and WEIR_UPSTREAM_ADDRESS set the same option"));
}

static void what_is_told_of_a_value_moves_no_cursor(void **state)
{
    struct fixture *f = *state;
    char a[] = "PORT=x\r", b[] = "WEIR_THREDS\t\n=2", *environment[] = {a, b, NULL};

    assert_problem(f, "{\"upstream\": \":8\x7f\"}", "expects an address, got \":8?\"");
    assert_null(load_flags(f, environment, "two\nlines", "--thread\x1b[2J"));
    const char *text = strbuf_cstr(&f->problems);
    assert_non_null(strstr(text, "weir: error: \"two?lines\" is not a flag\n"));
    assert_non_null(strstr(text, "unknown flag --thread?[2J"));
    assert_non_null(strstr(text, "got \"x?\"\n"));
    for (; *text != '\0'; text++)
        assert_true(*text == '\n' || (unsigned char)*text >= ' ');
}

static void problems_of_flags_and_variables_carry_their_names(void **state)
{
    struct fixture *f = *state;
    char a[] = "WEIR_QUEUE_TIMEOUT=10", b[] = "PORT=x", c[] = "WEIR_THREDS=2",
         d[] = "WEIR_SERVICE_HOST=10.0.0.1", e[] = "CONTAINER_CONCURRENCY=many",
         *environment[] = {a, b, c, d, e, NULL};

    assert_null(load_flags(f, environment, "--thread=1", "stray"));
    const char *text = strbuf_cstr(&f->problems);
    assert_non_null(strstr(text, "WEIR_QUEUE_TIMEOUT expects a duration with a unit, got \"10\" "
                                 "(did you mean \"10s\"?)"));
    assert_non_null(strstr(text, "PORT expects a port from 0 to 65535, got \"x\""));
    assert_non_null(strstr(text, "WEIR_THREDS (did you mean WEIR_THREADS?)"));
    assert_non_null(strstr(text, "CONTAINER_CONCURRENCY expects an integer"));
    assert_non_null(strstr(text, "--thread (did you mean --threads?)"));
    assert_non_null(strstr(text, "\"stray\" is not a flag"));
    assert_non_null(strstr(text, "weir: 6 errors; nothing was started\n"));
    assert_null(load_flags(f, NULL, "--upstream=:1", "--threads"));
    assert_non_null(strstr(strbuf_cstr(&f->problems), "--threads requires a value"));
}

static void the_example_of_the_manual_reads_as_it_is_printed_there(void **state)
{
    struct fixture *f = *state;

    assert_null(load(f, "{\n  \"upstream\": \":8000\",\n  \"listen\": \":8080\",\n"
                        "  \"concurrency\": 80,\n  \"queue\": {\n\n    \"max_dept\": 800,\n\n"
                        "    \"timeout\": 10\n  }\n}\n"));
    assert_non_null(strstr(strbuf_cstr(&f->problems),
                           "weir.json:7:5: error: unknown key \"max_dept\" in \"queue\"\n"
                           "    7 |     \"max_dept\": 800,\n"
                           "      |     ^~~~~~~~~~ did you mean \"length\"? "
                           "(known: length, timeout, max_bytes, order)\n"));
    assert_non_null(strstr(strbuf_cstr(&f->problems),
                           "weir.json:9:16: error: \"queue.timeout\" expects a duration with a "
                           "unit, got 10 (did you mean \"10s\"?)\n"));
    assert_non_null(
        strstr(strbuf_cstr(&f->problems), "weir.json: 2 errors; nothing was started\n"));
}

static void addresses_that_contradict_each_other_are_told_at_their_place(void **state)
{
    struct fixture *f = *state;
    char env[] = "WEIR_UPSTREAM=127.0.0.1:8080", port[] = "PORT=9480",
         *environment[] = {env, port, NULL};

    assert_problem(f, "{\"upstream\": \":8080\"}",
                   ":1:14: error: \"upstream.address\": must differ");
    assert_problem(f, "{\"upstream\": \"[::1]:9480\"}", "own \"admin.listen\"");
    assert_problem(f, "{\"upstream\": \":1\", \"listen\": \":9480\"}",
                   "weir: error: \"admin.listen\": must differ");
    assert_problem(f,
                   "{\"upstream\": \":1\", \"listen\": \"10.0.0.1:5\", \"admin\": "
                   "{\"listen\": \"10.0.0.1:5\"}}",
                   "\"admin.listen\": must differ");
    assert_problem(f, "{\"upstream\": \"unix:/a\", \"listen\": \"unix:/a\"}", "connect to itself");
    assert_problem(f, "{\"upstream\": \":1\", \"agent\": {\"listen\": \":8080\"}}",
                   "\"agent.listen\": must differ from \"listen\"");
    assert_problem(f, "{\"upstream\": \":1\", \"agent\": {\"listen\": \"127.0.0.1:9480\"}}",
                   "\"agent.listen\": must differ from \"admin.listen\"");
    assert_problem(f, "{\"upstream\": \":9\", \"agent\": {\"listen\": \":9\"}}",
                   "own \"agent.listen\"");
    assert_problem(f, "{\"upstream\": \"a..b:1\"}",
                   "\"upstream.address\": cannot resolve host \"a..b\"");
    assert_null(load_flags(f, environment, NULL, NULL));
    assert_non_null(strstr(strbuf_cstr(&f->problems), "admin.listen\": must differ"));
    environment[1] = NULL;
    assert_null(load_flags(f, environment, NULL, NULL));
    assert_non_null(strstr(strbuf_cstr(&f->problems), "weir: error: WEIR_UPSTREAM: must differ"));
    assert_null(load_flags(f, NULL, "--upstream=:1", "--admin-listen=:8080"));
    assert_non_null(strstr(strbuf_cstr(&f->problems), "weir: error: --admin-listen: must differ"));
    assert_null(load_flags(f, NULL, "--upstream=:1", "--listen=a..b:1"));
    struct config *c = load(f, "{\"upstream\": \"10.0.0.9:8080\", \"listen\": \"127.0.0.1:0\", "
                               "\"admin\": {\"listen\": \"127.0.0.1:0\"}}");
    assert_non_null(c);
    config_put(c);
}

static void a_limit_that_connections_cannot_reach_is_told(void **state)
{
    struct fixture *f = *state;
    char env[] = "CONTAINER_CONCURRENCY=5000", *environment[] = {env, NULL};

    assert_problem(f, "{\"upstream\": \":1\", \"concurrency\": 4097}", "can never be reached");
    assert_null(load_flags(f, environment, "--upstream=:1", NULL));
    assert_non_null(strstr(strbuf_cstr(&f->problems), "CONTAINER_CONCURRENCY: 5000 can never"));
    struct config *c = load(f, "{\"upstream\": \":1\", \"client\": {\"max_connections\": 10}}");
    assert_non_null(c);
    config_put(c);
}

static void what_is_written_reads_back_the_same(void **state)
{
    struct fixture *f = *state;
    struct strbuf first = {0}, second = {0}, origins = {0};
    struct config *c =
        load(f, "{\"upstream\": \"unix:/a\", \"concurrency\": \"unlimited\",\n \"headers\": "
                "{\"trusted\": [\"10.0.0.0/8\", \"::1\"], \"request_id\": \"\"}}");

    assert_non_null(c);
    config_write_json(c, &first);
    config_write(c, &origins);
    config_put(c);
    assert_non_null(strstr(strbuf_cstr(&origins), "weir.json:2\n"));
    assert_non_null(strstr(strbuf_cstr(&origins), "default\n"));
    c = load(f, strbuf_cstr(&first));
    assert_non_null(c);
    config_write_json(c, &second);
    config_put(c);
    assert_string_equal(strbuf_cstr(&first), strbuf_cstr(&second));
    strbuf_fini(&first);
    strbuf_fini(&second);
    strbuf_fini(&origins);
}

static void what_is_written_reads_back_also_where_connections_are_few(void **state)
{
    struct strbuf json = {0};
    struct config *c =
        load(*state, "{\"upstream\": \":1\", \"client\": {\"max_connections\": 10}}");

    assert_non_null(c);
    config_write_json(c, &json);
    config_put(c);
    c = load(*state, strbuf_cstr(&json));
    assert_non_null(c);
    assert_int_equal(c->concurrency, 80);
    config_put(c);
    strbuf_fini(&json);
}

static void a_configuration_lives_until_the_last_put(void **state)
{
    struct config *c = load(*state, "{\"upstream\": \":1\"}");

    assert_ptr_equal(config_get(c), c);
    config_put(c);
    assert_int_equal(c->threads, 1);
    config_put(c);
    config_put(NULL);
}

static bool trusts(const struct config *c, const char *text)
{
    struct sockaddr_in four = {.sin_family = AF_INET};

    assert_int_equal(inet_pton(AF_INET, text, &four.sin_addr), 1);
    return config_trusts(c, (const struct sockaddr *)&four);
}

/* test_cidr.c tests the ranges. */
static void trust_follows_the_ranges_and_a_unix_peer_any_range(void **state)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC}, un = {.sa_family = AF_UNIX};
    struct config *c = load(*state, "{\"upstream\": \":1\", \"headers\": {\"trusted\": "
                                    "[\"192.0.2.0/24\", \"loopback\"]}}");

    assert_true(trusts(c, "192.0.2.1") && trusts(c, "127.0.0.9"));
    assert_false(trusts(c, "10.0.0.1"));
    assert_true(config_trusts(c, &un));
    assert_false(config_trusts(c, &none));
    config_put(c);
    c = load(*state, "{\"upstream\": \":1\", \"headers\": {\"trusted\": []}}");
    assert_false(trusts(c, "127.0.0.1") || config_trusts(c, &un));
    config_put(c);
    c = load(*state, "{\"upstream\": \":1\"}");
    assert_true(trusts(c, "10.0.0.1") && config_trusts(c, &un));
    assert_false(trusts(c, "8.8.8.8"));
    config_put(c);
}

static void trust_by_default_is_told_where_it_may_be_a_mistake(void **state)
{
    static const struct {
        const char *json;
        bool told;
    } rows[] = {
        {"{\"upstream\": \":1\"}", true},
        {"{\"upstream\": \":1\", \"listen\": \"0.0.0.0:80\"}", true},
        {"{\"upstream\": \":1\", \"listen\": \"127.0.0.1:80\"}", false},
        {"{\"upstream\": \":1\", \"listen\": \"unix:/a\"}", false},
        {"{\"upstream\": \":1\", \"headers\": {\"trusted\": [\"private\"]}}", false},
        {"{\"upstream\": \":1\", \"headers\": {\"trusted\": []}}", false},
        {"{\"upstream\": \":1\", \"headers\": {\"forwarded\": \"replace\"}}", false},
        {"{\"upstream\": \":1\", \"headers\": {\"forwarded\": \"off\"}}", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config *c = load(*state, rows[i].json);
        assert_non_null(c);
        if (config_trust_is_default(c) != rows[i].told)
            fail_msg("%s", rows[i].json);
        config_put(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(the_least_file_gets_every_default),
        IN_DIR(the_queue_follows_the_concurrency_unless_it_is_given),
        IN_DIR(admin_can_be_off),
        IN_DIR(nothing_at_all_is_no_error_but_says_so),
        IN_DIR(a_profile_sets_what_nothing_else_has_set),
        IN_DIR(a_profile_comes_before_the_default_and_behind_the_platform),
        IN_DIR(higher_sources_win),
        IN_DIR(problems_of_flags_and_variables_carry_their_names),
        IN_DIR(the_app_has_two_variables_which_may_not_differ),
        IN_DIR(what_is_told_of_a_value_moves_no_cursor),
        IN_DIR(the_example_of_the_manual_reads_as_it_is_printed_there),
        IN_DIR(addresses_that_contradict_each_other_are_told_at_their_place),
        IN_DIR(a_limit_that_connections_cannot_reach_is_told),
        IN_DIR(what_is_written_reads_back_the_same),
        IN_DIR(what_is_written_reads_back_also_where_connections_are_few),
        IN_DIR(a_configuration_lives_until_the_last_put),
        IN_DIR(trust_follows_the_ranges_and_a_unix_peer_any_range),
        IN_DIR(trust_by_default_is_told_where_it_may_be_a_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
