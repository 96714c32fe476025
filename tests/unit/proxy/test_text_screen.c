/* Lines that never exceed their columns, and numbers that never exceed six characters. */
#include "tests/unit/proxy/screen_fixture.h"

static void assert_text(const struct strbuf *out, const char *expected)
{
    assert_string_equal(strbuf_cstr(out), expected);
}

static void text_is_cut_at_the_last_column_and_the_last_row(void **state)
{
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 5, 2);
    (void)state;

    text_add(&t, TEXT_PLAIN, "abc");
    text_add(&t, TEXT_PLAIN, "defg");
    text_add(&t, TEXT_PLAIN, "h");
    text_end(&t);
    text_addf(&t, TEXT_PLAIN, "%d", 12);
    text_end(&t);
    text_add(&t, TEXT_PLAIN, "beyond");
    text_bar(&t, TEXT_PLAIN, 3, 0);
    text_end(&t);
    assert_text(&out, "abcde\n12\n");
    strbuf_fini(&out);
}

static void control_characters_become_question_marks(void **state)
{
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 80, 1);
    (void)state;

    text_add(&t, TEXT_PLAIN, "a\033[2Jb\r\n\x7f é \xff\xc3 \xe2\x80\xaez");
    assert_text(&out, "a?[2Jb??? ? ?? ?z");
    assert_int_equal(t.column, 17);
    strbuf_fini(&out);
}

static void numbers_are_whole_or_absent(void **state)
{
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 10, 9);
    (void)state;

    text_add(&t, TEXT_PLAIN, "abcd");
    text_right(&t, TEXT_PLAIN, 10, "12345");
    text_end(&t);
    text_add(&t, TEXT_PLAIN, "abcde");
    text_right(&t, TEXT_PLAIN, 10, "12345");
    text_end(&t);
    text_add(&t, TEXT_PLAIN, "abcde");
    text_right(&t, TEXT_PLAIN, 8, "1234");
    text_end(&t);
    text_right(&t, TEXT_PLAIN, 4, "1");
    assert_true(text_whole(&t, TEXT_PLAIN, "234567"));
    assert_false(text_whole(&t, TEXT_PLAIN, "8"));
    assert_text(&out, "abcd 12345\nabcde\nabcde 1234\n   1234567");
    strbuf_fini(&out);
}

static void spaces_stand_before_text_only(void **state)
{
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 10, 9);
    (void)state;

    text_column(&t, 3);
    text_add(&t, TEXT_PLAIN, "x");
    text_column(&t, 2);
    text_add(&t, TEXT_PLAIN, "y");
    text_column(&t, 9);
    text_end(&t);
    text_column(&t, 0);
    text_add(&t, TEXT_PLAIN, "z");
    text_column(&t, 10);
    text_add(&t, TEXT_PLAIN, "beyond");
    assert_text(&out, "   x y\nz");
    strbuf_fini(&out);
}

static void words_are_wrapped(void **state)
{
    static const char text[] = "one  two three four";
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 8, 99);
    (void)state;

    assert_int_equal(text_wrap(&t, TEXT_PLAIN, text, 9), 3);
    assert_text(&out, "one two\nthree\nfour\n");
    assert_int_equal(text_wrapped(text, 8, 0), 3);
    strbuf_clear(&out);
    text_add(&t, TEXT_PLAIN, "zero:");
    assert_int_equal(text_wrap(&t, TEXT_PLAIN, text, 9), 4);
    assert_text(&out, "zero:\none two\nthree\nfour\n");
    assert_int_equal(text_wrapped(text, 8, 5), 4);
    strbuf_fini(&out);
}

static void words_without_room_are_dots(void **state)
{
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 10, 99);
    (void)state;

    assert_int_equal(text_wrap(&t, TEXT_PLAIN, "one two three four", 1), 1);
    assert_int_equal(text_wrap(&t, TEXT_PLAIN, "one two three four", 2), 2);
    assert_int_equal(text_wrap(&t, TEXT_PLAIN, "incomprehensible words", 2), 2);
    assert_int_equal(text_wrap(&t, TEXT_PLAIN, "", 2), 1);
    assert_text(&out, "one two...\none two\nthree four\nincomprehe\nwords\n\n");
    strbuf_fini(&out);
}

static void styles_end_where_their_text_does(void **state)
{
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 10, 9);
    (void)state;

    t.colour = true;
    text_add(&t, TEXT_PLAIN, "a");
    text_column(&t, 3);
    text_add(&t, TEXT_BAD, "b");
    t.faded = true;
    text_bar(&t, TEXT_GOOD, 1, 0);
    assert_text(&out, "a  \033[1;31mb\033[0m\033[2m█\033[0m");
    assert_int_equal(t.column, 5);
    strbuf_fini(&out);
}

static void bars_have_shades(void **state)
{
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 8, 9);
    (void)state;

    for (unsigned shade = 0; shade < 4; shade++)
        text_bar(&t, TEXT_PLAIN, 1, shade);
    text_bar(&t, TEXT_PLAIN, 0, 0);
    t.unicode = false;
    for (unsigned shade = 0; shade < 4; shade++)
        text_bar(&t, TEXT_PLAIN, shade == 3 ? 9 : 1, shade);
    assert_text(&out, "█▓▒░#=-.");
    strbuf_fini(&out);
}

static void charts_show_eighths(void **state)
{
    static const double values[] = {0, 0.001, 2, 4, 4.4, 8, 99, NAN};
    struct strbuf out = {0};
    struct text_screen t = screen(&out, 8, 9);
    (void)state;

    text_chart(&t, TEXT_PLAIN, values, 8, 8, 0, 1);
    text_end(&t);
    text_chart(&t, TEXT_PLAIN, values, 8, 8, 0, 2);
    text_end(&t);
    text_chart(&t, TEXT_PLAIN, values, 8, 8, 1, 2);
    text_end(&t);
    text_chart(&t, TEXT_PLAIN, values, 3, 0, 0, 1);
    text_end(&t);
    t.unicode = false;
    text_chart(&t, TEXT_PLAIN, values, 8, 8, 0, 1);
    assert_text(&out, ".▁▂▄▄██ \n    ▁██ \n.▁▄████ \n.▁▁\n_..::## ");
    strbuf_fini(&out);
}

struct form {
    double value;
    const char *text;
};

static void assert_forms(struct text_number (*write)(double), const struct form *forms, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_string_equal(write(forms[i].value).text, forms[i].text);
    assert_string_equal(write(NAN).text, "-");
}

#define FORMS(...)                                                                                 \
    (const struct form[]){__VA_ARGS__},                                                            \
        sizeof((const struct form[]){__VA_ARGS__}) / sizeof(struct form)

static void numbers_have_three_digits_and_a_unit(void **state)
{
    (void)state;
    assert_forms(text_count,
                 FORMS({0, "0"}, {80, "80"}, {99999, "99999"}, {100000, "100k"}, {123456, "123k"},
                       {999499, "999k"}, {999500, "1.00M"}, {12345678, "12.3M"},
                       {4.294967295e9, "4.29G"}, {1e15, "1000T"}, {1e17, ">9999T"}, {-3, "0"}));
    assert_forms(text_rate, FORMS({0, "0"}, {0.001, "<0.01"}, {0.25, "0.25"}, {0.999, "1.0"},
                                  {39.83, "39.8"}, {99.96, "100"}, {1e6, "1.00M"}));
    assert_forms(text_seconds,
                 FORMS({0, "0 s"}, {1e-6, "1 us"}, {0.000999, "999 us"}, {0.0012, "1.2 ms"},
                       {0.0456, "46 ms"}, {0.9994, "999 ms"}, {1, "1.00 s"}, {9.996, "10.0 s"},
                       {100, "100 s"}, {599, "599 s"}, {600, "10 min"}, {5969, "99 min"},
                       {7200, "2 h"}, {3.5e6, "972 h"}, {1e9, ">999 h"}));
    assert_forms(text_percent, FORMS({0, "0 %"}, {0.001, "<1 %"}, {0.534, "53 %"}, {0.999, ">99 %"},
                                     {1, "100 %"}, {77, "999 %"}));
    assert_forms(text_age, FORMS({0, "0 s"}, {59, "59 s"}, {60, "1 min"}, {7980, "2 h 13 min"},
                                 {1e6, "11 d 13 h"}, {-1, "-"}, {1e18, "-"}));
}

/* Any number: also those right at the border of two forms. */
static void numbers_have_at_most_six_characters(void **state)
{
    (void)state;
    for (double n = 1e-7; n < 1e18; n *= 1.0009) {
        assert_true(strlen(text_count(n).text) <= 6);
        assert_true(strlen(text_rate(n).text) <= 6);
        assert_true(strlen(text_seconds(n).text) <= 6);
        assert_true(strlen(text_percent(n).text) <= 6);
        assert_true(strlen(text_age(n).text) <= 11);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cut_at_the_last_column_and_the_last_row),
        cmocka_unit_test(control_characters_become_question_marks),
        cmocka_unit_test(numbers_are_whole_or_absent),
        cmocka_unit_test(spaces_stand_before_text_only),
        cmocka_unit_test(words_are_wrapped),
        cmocka_unit_test(words_without_room_are_dots),
        cmocka_unit_test(styles_end_where_their_text_does),
        cmocka_unit_test(bars_have_shades),
        cmocka_unit_test(charts_show_eighths),
        cmocka_unit_test(numbers_have_three_digits_and_a_unit),
        cmocka_unit_test(numbers_have_at_most_six_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
