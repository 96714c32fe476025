/* Settings, paths and parameters: text is parsed into numbers, or reported in one clear
 * sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend-demo/routes.h"

/* ---- the environment ------------------------------------------------------------------------ */

static const char *variable, *value; /* the only variable that is set */

static char *one_variable(const char *name)
{
    static char copy[128];
    if (variable == NULL || strcmp(name, variable) != 0)
        return NULL;
    assert_true(strlen(value) < sizeof(copy));
    memcpy(copy, value, strlen(value) + 1);
    return copy;
}

static bool read_with(const char *name, const char *text, struct settings *s, struct strbuf *errors)
{
    variable = name;
    value = text;
    return settings_read(s, one_variable, errors);
}

static void without_variables_it_is_fastapi(void **state)
{
    struct settings s;
    struct strbuf errors = {0};
    (void)state;

    assert_true(read_with(NULL, NULL, &s, &errors));
    assert_string_equal(s.listen, ":8000");
    assert_int_equal(s.pool_threads, 40);
    assert_int_equal(s.pool_order, THREAD_POOL_FIFO);
    assert_int_equal(s.usuarios_ms, 1000);
    assert_int_equal(s.produtos_ms, 1000);
    assert_int_equal(s.bloqueante_ms, 1000);
    assert_int_equal(errors.len, 0);
}

static void each_variable_is_read(void **state)
{
    struct settings s;
    struct strbuf errors = {0};
    (void)state;

    assert_true(read_with("BACKEND_POOL_THREADS", "1", &s, &errors));
    assert_int_equal(s.pool_threads, 1);
    assert_true(read_with("BACKEND_POOL_ORDER", "lifo", &s, &errors));
    assert_int_equal(s.pool_order, THREAD_POOL_LIFO);
    assert_true(read_with("BACKEND_POOL_ORDER", "fifo", &s, &errors));
    assert_int_equal(s.pool_order, THREAD_POOL_FIFO);
    assert_true(read_with("BACKEND_USUARIOS_MS", "0", &s, &errors));
    assert_int_equal(s.usuarios_ms, 0);
    assert_true(read_with("BACKEND_PRODUTOS_MS", "600000", &s, &errors));
    assert_int_equal(s.produtos_ms, 600000);
    assert_true(read_with("BACKEND_BLOQUEANTE_MS", "007", &s, &errors));
    assert_int_equal(s.bloqueante_ms, 7);
    assert_true(read_with("BACKEND_LISTEN", "unix:/run/x", &s, &errors));
    assert_string_equal(s.listen, "unix:/run/x");
}

static void a_bad_value_is_refused_by_the_variables_name(void **state)
{
    static const char *const bad[][2] = {
        {"BACKEND_POOL_THREADS", "0"},
        {"BACKEND_POOL_THREADS", "1001"},
        {"BACKEND_POOL_THREADS", ""},
        {"BACKEND_POOL_THREADS", "-1"},
        {"BACKEND_POOL_THREADS", "4294967297"},
        {"BACKEND_POOL_THREADS", "18446744073709551617"},
        {"BACKEND_POOL_ORDER", "FIFO"},
        {"BACKEND_POOL_ORDER", ""},
        {"BACKEND_USUARIOS_MS", "1s"},
        {"BACKEND_PRODUTOS_MS", " 1"},
        {"BACKEND_BLOQUEANTE_MS", "600001"},
        {"BACKEND_BLOQUEANTE_MS", "1.5"},
        {"BACKEND_LISTEN", ""},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct settings s;
        struct strbuf errors = {0};
        assert_false(read_with(bad[i][0], bad[i][1], &s, &errors));
        assert_non_null(strstr(strbuf_cstr(&errors), bad[i][0]));
        strbuf_fini(&errors);
    }
}

static char *all_wrong(const char *name)
{
    static char wrong[] = "?";
    return strcmp(name, "BACKEND_LISTEN") == 0 ? NULL : wrong;
}

static void all_bad_values_are_told_at_once(void **state)
{
    struct settings s;
    struct strbuf errors = {0};
    unsigned lines = 0;
    (void)state;

    assert_false(settings_read(&s, all_wrong, &errors));
    for (const char *at = strbuf_cstr(&errors); *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 5);
    strbuf_fini(&errors);
}

/* ---- the paths ------------------------------------------------------------------------------ */

static const struct route *at(const char *path)
{
    return route_find(span_of(path));
}

static void the_articles_paths_run_where_they_should(void **state)
{
    (void)state;
    assert_int_equal(at("/usuarios")->handler, HANDLER_USUARIOS);
    assert_int_equal(at("/usuarios")->kind, ROUTE_LOOP);
    assert_int_equal(at("/produtos")->handler, HANDLER_PRODUTOS);
    assert_int_equal(at("/produtos")->kind, ROUTE_POOL);
    assert_int_equal(at("/bloqueante")->kind, ROUTE_LOOP);
}

static void an_english_path_is_another_name_of_the_same_handler(void **state)
{
    static const char *const pairs[][2] = {
        {"/users", "/usuarios"}, {"/products", "/produtos"}, {"/blocking", "/bloqueante"}};
    (void)state;

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const struct route *english = at(pairs[i][0]), *own = at(pairs[i][1]);
        assert_ptr_not_equal(english, own);
        assert_int_equal(english->handler, own->handler);
        assert_string_equal(english->name, own->name);
        assert_int_equal(english->kind, own->kind);
        assert_int_equal(english->parameters, own->parameters);
        assert_true(english->handle == own->handle);
    }
}

static void only_the_exact_path_is_known(void **state)
{
    static const char *const unknown[] = {"", "/", "/usuarios/", "/usuario", "/Usuarios", "//ping"};
    (void)state;

    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_int_equal(at(unknown[i])->handler, HANDLER_OTHER);
}

static void methods_are_checked_by_the_route(void **state)
{
    (void)state;
    assert_true(route_allows(at("/produtos"), SPAN("GET")));
    assert_true(route_allows(at("/produtos"), SPAN("HEAD")));
    assert_false(route_allows(at("/produtos"), SPAN("POST")));
    assert_false(route_allows(at("/produtos"), SPAN("get")));
    assert_true(route_allows(at("/reset"), SPAN("POST")));
    assert_false(route_allows(at("/reset"), SPAN("GET")));
    assert_true(route_allows(at("/echo"), SPAN("DELETE")));
    assert_string_equal(route_allow_field(at("/reset")), "POST");
    assert_string_equal(route_allow_field(at("/ping")), "GET, HEAD");
}

static void every_handler_has_its_own_name(void **state)
{
    (void)state;
    for (unsigned a = 0; a < HANDLERS; a++) {
        for (unsigned b = 0; b < a; b++)
            assert_string_not_equal(handler_name(a), handler_name(b));
    }
    assert_string_equal(handler_name(HANDLER_OTHER), "other");
}

/* Reading the metrics and resetting them must not count as requests. */
static void the_demos_own_paths_are_not_counted(void **state)
{
    (void)state;
    assert_int_equal(at("/metrics")->handler, HANDLER_NONE);
    assert_int_equal(at("/reset")->handler, HANDLER_NONE);
}

/* ---- the parameters ------------------------------------------------------------------------- */

static struct params read_good(const char *path, const char *query)
{
    struct params p = {{1000, 0, 0}};
    struct strbuf error = {0};
    assert_true(params_read(&p, at(path), span_of(query), &error));
    assert_int_equal(error.len, 0);
    return p;
}

static void assert_params(struct params p, unsigned ms, unsigned cpu_ms, unsigned bytes)
{
    assert_int_equal(p.value[PARAM_MS], ms);
    assert_int_equal(p.value[PARAM_CPU_MS], cpu_ms);
    assert_int_equal(p.value[PARAM_BYTES], bytes);
}

static void a_query_overrides_the_defaults(void **state)
{
    (void)state;
    assert_params(read_good("/produtos", ""), 1000, 0, 0);
    assert_params(read_good("/produtos", "ms=5"), 5, 0, 0);
    assert_params(read_good("/produtos", "ms=0&cpu_ms=10000&bytes=67108864"), 0, 10000, 67108864);
    assert_params(read_good("/usuarios", "bytes=1&ms=2&ms=3"), 3, 0, 1);
    assert_params(read_good("/ping", "bytes=7&cpu_ms=1"), 1000, 1, 7);
}

static void unknown_names_pass_as_in_fastapi(void **state)
{
    (void)state;
    assert_params(read_good("/produtos", "a=1&&MS=x&m=&mss=-&=5&x&&ms=4&"), 4, 0, 0);
}

static void a_bad_parameter_is_refused_by_name(void **state)
{
    static const char *const bad[][3] = {
        {"/produtos", "ms=", "ms"},
        {"/produtos", "ms", "ms"},
        {"/produtos", "ms=-1", "ms"},
        {"/produtos", "ms=1s", "ms"},
        {"/produtos", "ms=600001", "ms"},
        {"/produtos", "ms=99999999999999999999", "ms"},
        {"/usuarios", "a=b&ms=%31", "ms"},
        {"/usuarios", "ms=1&cpu_ms=10001", "cpu_ms"},
        {"/usuarios", "bytes=67108865", "bytes"},
        {"/usuarios", "bytes==1", "bytes"},
        {"/ping", "ms=1", "ms"},
        {"/metrics", "bytes=1", "bytes"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct params p = {{0}};
        struct strbuf error = {0};
        assert_false(params_read(&p, at(bad[i][0]), span_of(bad[i][1]), &error));
        assert_int_equal(strncmp(strbuf_cstr(&error), bad[i][2], strlen(bad[i][2])), 0);
        strbuf_fini(&error);
    }
}

static void the_query_of_an_echo_is_nobodys_business(void **state)
{
    (void)state;
    read_good("/echo", "ms=x&bytes=-1");
    read_good("/nowhere", "ms=x");
}

static void defaults_come_from_the_settings(void **state)
{
    const struct settings s = {.usuarios_ms = 1, .produtos_ms = 2, .bloqueante_ms = 3};
    (void)state;
    assert_int_equal(route_default_ms(at("/usuarios"), &s), 1);
    assert_int_equal(route_default_ms(at("/produtos"), &s), 2);
    assert_int_equal(route_default_ms(at("/bloqueante"), &s), 3);
    assert_int_equal(route_default_ms(at("/ping"), &s), 0);
    assert_int_equal(route_default_ms(at("/nowhere"), &s), 0);
}

static void help_tells_every_variable_and_parameter(void **state)
{
    static const char *const told[] = {
        "BACKEND_LISTEN",
        "BACKEND_POOL_THREADS",
        "BACKEND_POOL_ORDER",
        "BACKEND_USUARIOS_MS",
        "BACKEND_PRODUTOS_MS",
        "BACKEND_BLOQUEANTE_MS",
        " ms ",
        " cpu_ms ",
        " bytes ",
    };
    struct strbuf help = {0};
    (void)state;

    settings_help(&help);
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
        assert_non_null(strstr(strbuf_cstr(&help), told[i]));
    strbuf_fini(&help);
}

static void help_fits_eighty_columns(void **state)
{
    struct strbuf help = {0};
    (void)state;

    settings_help(&help);
    for (const char *line = strbuf_cstr(&help); *line != '\0'; line += strspn(line, "\n")) {
        assert_in_range(strcspn(line, "\n"), 1, 80);
        line += strcspn(line, "\n");
    }
    strbuf_fini(&help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_variables_it_is_fastapi),
        cmocka_unit_test(each_variable_is_read),
        cmocka_unit_test(a_bad_value_is_refused_by_the_variables_name),
        cmocka_unit_test(all_bad_values_are_told_at_once),
        cmocka_unit_test(the_articles_paths_run_where_they_should),
        cmocka_unit_test(an_english_path_is_another_name_of_the_same_handler),
        cmocka_unit_test(only_the_exact_path_is_known),
        cmocka_unit_test(methods_are_checked_by_the_route),
        cmocka_unit_test(every_handler_has_its_own_name),
        cmocka_unit_test(the_demos_own_paths_are_not_counted),
        cmocka_unit_test(a_query_overrides_the_defaults),
        cmocka_unit_test(unknown_names_pass_as_in_fastapi),
        cmocka_unit_test(a_bad_parameter_is_refused_by_name),
        cmocka_unit_test(the_query_of_an_echo_is_nobodys_business),
        cmocka_unit_test(defaults_come_from_the_settings),
        cmocka_unit_test(help_tells_every_variable_and_parameter),
        cmocka_unit_test(help_fits_eighty_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
