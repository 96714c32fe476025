/* Which texts have the form that an option asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/option_form.h"

static void each_form_takes_its_texts_and_no_others(void **state)
{
    static const struct {
        const struct option_form *form;
        const char *text;
        bool valid;
    } rows[] = {
        {&option_form_name, "gold", true},        {&option_form_name, "a-1_b", true},
        {&option_form_name, "Gold", false},       {&option_form_name, "a b", false},
        {&option_form_name, "default", false},    {&option_form_header, "X-Priority", true},
        {&option_form_header, "Host", true}, /* weir's own too: it is only read */
        {&option_form_header, "a:b", false},      {&option_form_header, "a b", false},
        {&option_form_value, "high", true},       {&option_form_value, "Bearer a=b/c\"", true},
        {&option_form_value, " high", false},     {&option_form_value, "high ", false},
        {&option_form_value, "a,b", false},       {&option_form_value, "a;b", false},
        {&option_form_value, "a\tb", false},      {&option_form_value, "\xc3\xa9", false},
        {&option_form_prefix, "/reports/", true}, {&option_form_prefix, "/", true},
        {&option_form_prefix, "reports", false},  {&option_form_prefix, "/a;b", false},
        {&option_form_prefix, "/a?b", false},     {&option_form_fair, "client", true},
        {&option_form_fair, "Client", false},     {&option_form_fair, "Authorization", true},
        {&option_form_fair, "a b", false},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].form->valid(span_of(rows[i].text)) != rows[i].valid)
            fail_msg("%s", rows[i].text);
    }
}

static void an_example_has_its_form(void **state)
{
    const struct option_form *const forms[] = {&option_form_name, &option_form_header,
                                               &option_form_value, &option_form_prefix,
                                               &option_form_fair};
    (void)state;

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        assert_true(forms[i]->valid(span_of(forms[i]->example)));
}

static void a_method_is_a_token_in_upper_case(void **state)
{
    (void)state;
    assert_true(option_form_is_method(SPAN("GET")) && option_form_is_method(SPAN("M-SEARCH")));
    assert_false(option_form_is_method(SPAN("get")) || option_form_is_method(SPAN("GET/HEAD")));
    assert_false(option_form_is_method(SPAN("")) || option_form_is_method(SPAN("A B")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_takes_its_texts_and_no_others),
        cmocka_unit_test(an_example_has_its_form),
        cmocka_unit_test(a_method_is_a_token_in_upper_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
