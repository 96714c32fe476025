/* The settings of a loop live until their last user leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "proxy/settings.h"

static struct config *config_of(const char *flag)
{
    char upstream[] = "--upstream=127.0.0.1:1", other[64];
    char *argv[] = {upstream, other};
    const struct config_source source = {.argc = 2, .argv = argv};
    struct strbuf problems = {0};

    snprintf(other, sizeof(other), "%s", flag);
    struct config *c = config_load(&source, &problems);
    assert_non_null(c);
    return c;
}

static unsigned references(struct config *c)
{
    return atomic_load(&c->refs);
}

static void they_hold_the_configuration_and_what_follows_from_it(void **state)
{
    struct config *c = config_of("--upstream-max-headers=17");
    struct settings *s = settings_new(c);
    (void)state;

    assert_ptr_equal(s->config, c);
    assert_int_equal(references(c), 2);
    assert_int_equal(s->limits.max_head, 48 * 1024);
    assert_int_equal(s->limits.max_fields, 17);
    settings_leave(s);
    assert_int_equal(references(c), 1);
    config_put(c);
}

static void the_last_user_gives_the_configuration_back(void **state)
{
    struct config *c = config_of("--concurrency=2");
    struct settings *s = settings_new(c), *first = settings_use(s), *second = settings_use(s);
    (void)state;

    settings_leave(s); /* the loop has newer ones */
    settings_leave(first);
    assert_int_equal(references(c), 2);
    assert_int_equal(second->config->concurrency, 2);
    settings_leave(second);
    assert_int_equal(references(c), 1);
    config_put(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_hold_the_configuration_and_what_follows_from_it),
        cmocka_unit_test(the_last_user_gives_the_configuration_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
