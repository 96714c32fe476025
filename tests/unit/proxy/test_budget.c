/* What may be buffered and read at once, as the budget is used up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/budget.h"

#define SIZE  1000000
#define MOST  65536u
#define MARK  50000u
#define SPENT BUDGET_SPENT_READ

static struct budget budget_with(int64_t held)
{
    struct budget b;

    budget_init(&b, SIZE);
    budget_change(&b, held);
    return b;
}

static void no_more_is_read_than_is_left(void **state)
{
    static const struct {
        int64_t left;
        size_t reads;
    } rows[] = {{SIZE, MOST},       {MOST, MOST}, {MOST - 1, MOST - 1}, {SPENT + 1, SPENT + 1},
                {SPENT - 1, SPENT}, {1, SPENT},   {0, SPENT},           {-SIZE, SPENT}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct budget b = budget_with(SIZE - rows[i].left);
        assert_int_equal(budget_read(&b, MOST), rows[i].reads);
    }
}

static void a_smaller_need_is_not_given_more(void **state)
{
    struct budget fresh = budget_with(0), spent = budget_with(SIZE);

    (void)state;
    assert_int_equal(budget_read(&fresh, 100), 100);
    assert_int_equal(budget_read(&spent, 100), 100);
}

static void a_spent_budget_leaves_a_receiver_next_to_nothing(void **state)
{
    struct budget nearly = budget_with(SIZE - 1), spent = budget_with(SIZE);

    (void)state;
    assert_int_equal(budget_mark(&nearly, MARK), MARK);
    assert_int_equal(budget_mark(&spent, MARK), 1);
}

static void a_new_size_counts_what_is_held(void **state)
{
    struct budget b = budget_with(SIZE / 2);

    (void)state;
    budget_resize(&b, SIZE / 4);
    assert_true(budget_is_spent(&b));
    assert_int_equal(budget_left(&b), -SIZE / 4);
    assert_int_equal(budget_read(&b, MOST), SPENT);
    budget_resize(&b, UINT64_MAX);
    assert_int_equal(budget_read(&b, MOST), MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_is_read_than_is_left),
        cmocka_unit_test(a_smaller_need_is_not_given_more),
        cmocka_unit_test(a_spent_budget_leaves_a_receiver_next_to_nothing),
        cmocka_unit_test(a_new_size_counts_what_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
