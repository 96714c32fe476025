/* The table of the admin port's pages: methods, and what each responds. test_admin.c sends them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/admin_routes.h"

static bool paused;
static unsigned drains, kept_ready;
static bool done, cannot;

static void pause_it(void *arg)
{
    (void)arg;
    paused = true;
}

static void resume_it(void *arg)
{
    (void)arg;
    paused = false;
}

static void drain(void *arg, bool keep_ready)
{
    (void)arg;
    drains++;
    kept_ready += keep_ready;
}

static bool cancel_drain(void *arg, const char **why)
{
    (void)arg;
    *why = "a signal";
    return !cannot;
}

static bool drain_state(void *arg, struct strbuf *out)
{
    (void)arg;
    strbuf_adds(out, done ? "drained" : "draining");
    return done;
}

static bool change(void *arg, struct span json, struct strbuf *problems)
{
    (void)arg;
    strbuf_adds(problems, span_equal(json, SPAN("{}")) ? "" : "no JSON\n");
    return problems->len == 0;
}

static void config(void *arg, struct strbuf *out)
{
    (void)arg;
    strbuf_adds(out, "{\"as\":\"it is\"}");
}

static bool not_yet(void *arg, const char **why)
{
    *why = arg;
    return false;
}

static char why[] = "no app";
static const struct admin_source source = {.arg = why,
                                           .ready = not_yet,
                                           .started = not_yet,
                                           .pause = pause_it,
                                           .resume = resume_it,
                                           .drain = drain,
                                           .cancel_drain = cancel_drain,
                                           .drain_state = drain_state,
                                           .change = change,
                                           .config = config};

/* Returns the reply, its body freed. */
static struct admin_reply expect_call(const struct admin_call *call, const char *path,
                                      unsigned status, const char *part)
{
    struct admin_reply reply = {0};

    admin_route_respond(admin_route_find(span_of(path)), &source, call, &reply);
    assert_int_equal(reply.status, status);
    assert_non_null(reply.type);
    assert_non_null(strstr(strbuf_cstr(&reply.body), part));
    strbuf_fini(&reply.body);
    return reply;
}

static void expect(const char *path, unsigned status, const char *part)
{
    const struct admin_call call = {.method = HTTP_GET};
    struct admin_reply reply = expect_call(&call, path, status, part);

    assert_false(reply.hold || reply.cancelled);
}

static void each_page_accepts_its_methods(void **state)
{
    static const char *const rows[][2] = {
        {"/", "GET, HEAD"},        {"/metrics", "GET, HEAD"},       {"/livez", "GET, HEAD"},
        {"/readyz", "GET, HEAD"},  {"/startupz", "GET, HEAD"},      {"/status", "GET, HEAD"},
        {"/history", "GET, HEAD"}, {"/config", "GET, HEAD, PATCH"}, {"/pause", "POST"},
        {"/resume", "POST"},       {"/drain", "POST, DELETE"},
    };
    struct strbuf out = {0};
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct admin_route *route = admin_route_find(span_of(rows[i][0]));
        assert_non_null(route);
        strbuf_clear(&out);
        admin_route_write_methods(route, &out);
        assert_string_equal(strbuf_cstr(&out), rows[i][1]);
    }
    strbuf_fini(&out);
}

static void a_path_is_compared_exactly(void **state)
{
    static const char *const none[] = {"",         "*",        "//",    "/pause/", "/Pause",
                                       "/pause?x", "/%70ause", "pause", "/metric"};
    (void)state;

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_null(admin_route_find(span_of(none[i])));
}

static void the_list_names_every_page(void **state)
{
    (void)state;
    expect("/", 200, "weir " WEIR_VERSION);
    expect("/", 200, "  /metrics ");
    expect("/", 200, "  POST /pause ");
    expect("/nothing", 404, "  POST /resume ");
}

static void a_probe_that_fails_gives_the_reason(void **state)
{
    (void)state;
    expect("/livez", 200, "ok\n");
    expect("/readyz", 503, "no app\n");
    expect("/startupz", 503, "no app\n");
}

static void pause_and_resume_say_what_is_in_force(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        expect("/pause", 200, "{\"paused\":true}\n");
        assert_true(paused);
    }
    for (int i = 0; i < 2; i++) {
        expect("/resume", 200, "{\"paused\":false}\n");
        assert_false(paused);
    }
}

static void a_drain_is_waited_for_only_as_long_as_it_lasts(void **state)
{
    const struct admin_call at_once = {.method = HTTP_POST};
    const struct admin_call later = {.method = HTTP_POST, .wait = 1};
    const struct admin_call hook = {.method = HTTP_GET, .wait = 1};
    struct admin_reply reply = {0};
    (void)state;

    drains = 0;
    assert_false(expect_call(&at_once, "/drain", 202, "draining").hold);
    assert_true(expect_call(&later, "/drain", 202, "draining").hold);
    assert_true(expect_call(&hook, "/drain", 202, "draining").hold);
    admin_route_drain_state(&source, true, &reply);
    assert_int_equal(reply.status, 409);
    assert_string_equal(strbuf_cstr(&reply.body), "the drain was cancelled\n");
    strbuf_fini(&reply.body);
    done = true;
    assert_false(expect_call(&later, "/drain", 200, "drained").hold);
    assert_int_equal(drains, 4);
    done = false;
}

static void a_drain_keeps_weir_ready_if_it_is_asked_to(void **state)
{
    const struct admin_call plain = {.method = HTTP_POST};
    const struct admin_call keep = {.method = HTTP_POST, .keep_ready = true};
    (void)state;

    kept_ready = 0;
    expect_call(&plain, "/drain", 202, "draining");
    assert_int_equal(kept_ready, 0);
    expect_call(&keep, "/drain", 202, "draining");
    assert_int_equal(kept_ready, 1);
    expect("/", 200, "?ready=keep");
}

static void a_change_responds_with_what_is_in_force_or_the_problems(void **state)
{
    const struct admin_call good = {.method = HTTP_PATCH, .body = SPAN("{}")};
    const struct admin_call bad = {.method = HTTP_PATCH, .body = SPAN("x")};
    (void)state;

    expect_call(&good, "/config", 200, "{\"as\":\"it is\"}");
    expect_call(&bad, "/config", 400, "no JSON\n");
    expect("/config", 200, "{\"as\":\"it is\"}");
}

static void a_method_changes_something_or_reads(void **state)
{
    const struct admin_route *both = admin_route_find(SPAN("/config"));
    const struct admin_route *hook = admin_route_find(SPAN("/drain"));
    (void)state;

    assert_false(admin_route_changes(both, HTTP_GET) || admin_route_changes(both, HTTP_HEAD));
    assert_true(admin_route_changes(both, HTTP_PATCH));
    assert_true(admin_route_changes(hook, HTTP_POST) && admin_route_changes(hook, HTTP_GET));
}

static void a_drain_can_be_cancelled_or_says_why_not(void **state)
{
    const struct admin_call call = {.method = HTTP_DELETE, .wait = 1};
    (void)state;

    drains = 0;
    assert_true(expect_call(&call, "/drain", 200, "draining").cancelled);
    cannot = true;
    assert_false(expect_call(&call, "/drain", 409, "a signal\n").cancelled);
    assert_int_equal(drains, 0);
    cannot = false;
}

static void a_file_of_the_dashboard_is_on_no_list(void **state)
{
    const struct admin_call on = {.method = HTTP_GET, .dashboard = true};
    const struct admin_call off = {.method = HTTP_GET};
    const struct admin_call browser = {
        .method = HTTP_GET, .dashboard = true, .accept = SPAN("text/html")};
    const struct admin_call known = {
        .method = HTTP_GET, .dashboard = true, .if_none_match = SPAN("*")};
    (void)state;

    for (size_t i = 0; i < dashboard_n_files; i++) {
        const char *path = dashboard_files[i].path;
        bool page = strcmp(path, "/") == 0;
        struct admin_reply reply = expect_call(page ? &browser : &on, path, 200, "");

        assert_ptr_equal(reply.file, &dashboard_files[i]);
        assert_null(expect_call(&off, path, page ? 200 : 404, "  /metrics ").file);
        if (!page)
            assert_non_null(expect_call(&known, path, 304, "").file);
    }
    assert_null(expect_call(&on, "/", 200, "  /status ").file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_page_accepts_its_methods),
        cmocka_unit_test(a_path_is_compared_exactly),
        cmocka_unit_test(the_list_names_every_page),
        cmocka_unit_test(a_probe_that_fails_gives_the_reason),
        cmocka_unit_test(pause_and_resume_say_what_is_in_force),
        cmocka_unit_test(a_drain_is_waited_for_only_as_long_as_it_lasts),
        cmocka_unit_test(a_drain_keeps_weir_ready_if_it_is_asked_to),
        cmocka_unit_test(a_change_responds_with_what_is_in_force_or_the_problems),
        cmocka_unit_test(a_method_changes_something_or_reads),
        cmocka_unit_test(a_drain_can_be_cancelled_or_says_why_not),
        cmocka_unit_test(a_file_of_the_dashboard_is_on_no_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
