/* Classes in the form of a flag and as JSON, and what is said of unsound ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/option_classes.h"
#include "proxy/option_hint.h"

#define TWO                                                                                        \
    "name=gold,header=X-Priority,value=high,head_start=2s;name=reports,path=/reports/,"            \
    "methods=GET/HEAD,max=2"

static const struct option *classes(void)
{
    return option_find(SPAN("classes"));
}

static void reads(struct config *c, const char *text)
{
    assert_int_equal(option_read(classes(), span_of(text), c), OPTION_READ);
}

static void is_written(const struct config *c, const char *text, const char *json)
{
    struct strbuf out = {0};

    option_write_text(classes(), c, &out);
    assert_string_equal(strbuf_cstr(&out), text);
    strbuf_clear(&out);
    option_write_json(classes(), c, &out);
    assert_string_equal(strbuf_cstr(&out), json);
    strbuf_fini(&out);
}

static void all_members_are_read_and_written_back(void **state)
{
    struct config c = {.threads = 0}, again = {.threads = 0};
    (void)state;

    reads(&c, TWO);
    assert_int_equal(c.classes.n, 2);
    assert_string_equal(c.classes.at[0].name, "gold");
    assert_string_equal(c.classes.at[0].header, "X-Priority");
    assert_string_equal(c.classes.at[0].value, "high");
    assert_int_equal(c.classes.at[0].head_start, 2000000);
    assert_int_equal(c.classes.at[0].max, UINT32_MAX);
    assert_string_equal(c.classes.at[1].path, "/reports/");
    assert_string_equal(c.classes.at[1].methods, "GET HEAD");
    assert_int_equal(c.classes.at[1].max, 2);
    assert_int_equal(c.classes.at[1].head_start, 0);
    is_written(&c, TWO,
               "[{\"name\": \"gold\", \"header\": \"X-Priority\", \"value\": \"high\", "
               "\"head_start\": \"2s\"}, {\"name\": \"reports\", \"path\": \"/reports/\", "
               "\"methods\": [\"GET\", \"HEAD\"], \"max\": 2}]");
    reads(&again, TWO);
    assert_true(option_equal(classes(), &c, &again));
    reads(&again, "name=gold,header=X-Priority");
    assert_false(option_equal(classes(), &c, &again));
    option_copy(classes(), &c, &again);
    assert_true(option_equal(classes(), &c, &again));
}

static void spaces_and_the_order_of_members_do_not_matter(void **state)
{
    struct config c = {.threads = 0};
    (void)state;

    reads(&c, " max = 2 , name=a,header=H,value=x=y ; name=all;");
    is_written(&c, "name=a,header=H,value=x=y,max=2;name=all",
               "[{\"name\": \"a\", \"header\": \"H\", \"value\": \"x=y\", \"max\": 2}, "
               "{\"name\": \"all\"}]");
    reads(&c, "none");
    is_written(&c, "none", "[]");
    reads(&c, "");
    is_written(&c, "none", "[]");
}

static void is_refused(const char *text, const char *why)
{
    struct config c = {.threads = 0};
    struct strbuf out = {0};

    reads(&c, "name=before");
    enum option_verdict verdict = option_read(classes(), span_of(text), &c);
    assert_int_not_equal(verdict, OPTION_READ);
    option_write_complaint(classes(), verdict, span_of(text), span_of(text), true, &out);
    assert_string_equal(strbuf_cstr(&out), why);
    is_written(&c, "name=before", "[{\"name\": \"before\"}]");
    strbuf_fini(&out);
}

static void what_is_wrong_is_told_with_its_place_and_the_remedy(void **state)
{
    (void)state;
    is_refused("name=a,path=/a;name=b,head_start=2",
               ": classes[1].head_start expects a duration with a unit, got \"2\" (did you mean "
               "\"2s\"?)");
    is_refused("name=Gold", ": classes[0].name expects a name in the characters a-z, 0-9, \"_\" "
                            "and \"-\", other than \"default\", of at most 32 characters, got "
                            "\"Gold\" (did you mean \"gold\"?)");
    is_refused("name=a,path=reports/",
               ": classes[0].path expects a path that begins with \"/\" and "
               "has no \"?\", \"#\", \",\", \";\" or space, of at most 255 "
               "characters, or \"\", got \"reports/\" (did you mean "
               "\"/reports/\"?)");
    is_refused("name=a,methods=get/POST",
               ": classes[0].methods expects a method in upper case, got "
               "\"get/POST\" (did you mean \"GET/POST\"?)");
    is_refused("name=a,max=0",
               ": classes[0].max expects an integer from 1 to 1000000 or \"unlimited\", got \"0\"");
    is_refused("name=a,hedaer=x", ": classes[0] has an unknown part \"hedaer\": did you mean "
                                  "\"header\"? (known: name, header, value, path, methods, "
                                  "head_start, max)");
    is_refused("gold", ": classes[0] has an unknown part \"gold\": (known: name, header, value, "
                       "path, methods, head_start, max)");
    is_refused("name=a,name=b", ": classes[0].name is there twice: keep one");
    is_refused("path=/a", ": classes[0] has no \"name\": add one, such as \"gold\"");
    is_refused("name=a,value=x",
               ": classes[0] has a \"value\" but no \"header\": add the name of the header");
}

static void classes_must_agree(void **state)
{
    (void)state;
    is_refused("name=a,path=/a;name=a,path=/b",
               ": classes[1] has the name \"a\", as classes[0] has: choose another name");
    is_refused("name=a,max=1;name=b,path=/b",
               ": classes[1] is never used, since classes[0] takes all requests: move that one to "
               "the end, or give it \"header\", \"path\" or \"methods\"");
    is_refused("name=a,path=/1;name=b,path=/2;name=c,path=/3;name=d,path=/4;name=e,path=/5;"
               "name=f,path=/6;name=g,path=/7;name=h,path=/8;name=i,path=/9",
               ": there are more than 8 classes");
}

static void a_list_of_methods_has_a_longest(void **state)
{
    struct config c = {.threads = 0};
    char path[OPTION_CLASS_PATH];
    struct option o;
    (void)state;

    assert_true(option_classes_begin(&c));
    assert_true(option_class_member(0, SPAN("methods"), path, &o));
    assert_string_equal(o.path, "classes[0].methods");
    for (int i = 0; i < 17; i++)
        assert_int_equal(option_read_element(&o, SPAN("GET"), &c),
                         i < 16 ? OPTION_READ : OPTION_OUT_OF_RANGE);
    assert_int_equal(strlen(c.classes.at[0].methods), 63);
    assert_false(option_class_member(0, SPAN("method"), path, &o));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_members_are_read_and_written_back),
        cmocka_unit_test(spaces_and_the_order_of_members_do_not_matter),
        cmocka_unit_test(what_is_wrong_is_told_with_its_place_and_the_remedy),
        cmocka_unit_test(classes_must_agree),
        cmocka_unit_test(a_list_of_methods_has_a_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
