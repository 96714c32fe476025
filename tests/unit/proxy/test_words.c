/* Lists of words, and the nearest word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/words.h"

static void words_are_taken_from_a_list_one_by_one(void **state)
{
    struct span list = SPAN("  one two  three "), word;

    (void)state;
    assert_true(next_word(&list, &word) && span_equal(word, SPAN("one")));
    assert_true(next_word(&list, &word) && span_equal(word, SPAN("two")));
    assert_true(next_word(&list, &word) && span_equal(word, SPAN("three")));
    assert_false(next_word(&list, &word));
    assert_false(next_word(&list, &word));
}

static void the_nearest_word_wins_and_far_ones_are_not_guessed(void **state)
{
    struct nearest n = {.typed = SPAN("timout")}, far = {.typed = SPAN("colour")};
    (void)state;

    nearest_try(&n, SPAN("length"), "length");
    nearest_try(&n, SPAN("time_out"), "time_out");
    nearest_try(&n, SPAN("timing"), "timing");
    assert_string_equal(n.answer, "time_out");
    nearest_try(&far, SPAN("queue"), "queue");
    assert_null(far.answer);
    struct nearest swapped = {.typed = SPAN("tpc")}, none = {.typed = SPAN("")};
    nearest_try(&swapped, SPAN("tcp"), "tcp");
    assert_int_equal(swapped.distance, 1);
    nearest_try(&none, SPAN("x"), "x");
    assert_null(none.answer);
}

static void a_beginning_counts_as_near_and_case_and_separators_do_not_count(void **state)
{
    struct nearest n = {.typed = SPAN("warn")}, folded = {.typed = SPAN("Max-Bytes")};
    char text[50] = "";

    (void)state;
    nearest_try(&n, SPAN("warning"), "warning");
    assert_string_equal(n.answer, "warning");
    nearest_try(&folded, SPAN("max_bytes"), "max_bytes");
    assert_string_equal(folded.answer, "max_bytes");
    assert_int_equal(folded.distance, 0);
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        text[i] = 'a';
    struct nearest too_long = {.typed = {text, 49}};
    nearest_try(&too_long, (struct span){text, 49}, text);
    assert_null(too_long.answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_taken_from_a_list_one_by_one),
        cmocka_unit_test(the_nearest_word_wins_and_far_ones_are_not_guessed),
        cmocka_unit_test(a_beginning_counts_as_near_and_case_and_separators_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
