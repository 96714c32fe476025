/* The queue on its own: order, bounds, removal from any position. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "limiter/waitq.h"

#define WAITERS 5u

struct fixture {
    struct waitq q;
    struct limiter_waiter w[WAITERS];
};

static int empty_with_room_for_four(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    waitq_bound(&f.q, 4, 1000);
    for (unsigned i = 0; i < WAITERS; i++) {
        f.w[i].bytes = 100;
        f.w[i].queued_at = 10 + i;
        f.w[i].place = i;
        f.w[i].deadline = 100;
    }
    *state = &f;
    return 0;
}

/* The next waiter at time 0, taken out. */
static struct limiter_waiter *pop(struct waitq *q)
{
    bool in_time = false;
    struct limiter_waiter *w = waitq_next(q, 0, &in_time);

    assert_true(w == NULL || in_time);
    if (w != NULL)
        waitq_remove(q, w);
    return w;
}

static void push(struct fixture *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(waitq_push(&f->q, &f->w[i]), LIMITER_QUEUED);
}

static void assert_unlinked(const struct limiter_waiter *w)
{
    assert_null(w->next);
    assert_null(w->prev);
}

static void assert_empty(const struct waitq *q)
{
    assert_int_equal(q->depth, 0);
    assert_int_equal(q->bytes, 0);
    assert_null(q->lists[0].head);
    assert_null(q->lists[0].tail);
    assert_null(waitq_oldest(q));
}

static void a_zeroed_queue_is_empty_and_takes_nobody(void **state)
{
    struct waitq q = {0};
    struct limiter_waiter w = {0};

    (void)state;
    assert_empty(&q);
    assert_null(pop(&q));
    assert_int_equal(waitq_push(&q, &w), LIMITER_SHED_FULL);
    assert_empty(&q);
}

static void pops_in_the_order_of_pushes(void **state)
{
    struct fixture *f = *state;

    push(f, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_ptr_equal(waitq_oldest(&f->q), &f->w[i]);
        assert_int_equal(f->q.depth, 4 - i);
        assert_int_equal(f->q.bytes, (4 - i) * 100);
        assert_ptr_equal(pop(&f->q), &f->w[i]);
        assert_unlinked(&f->w[i]);
    }
    assert_null(pop(&f->q));
    assert_empty(&f->q);
}

static void one_more_than_its_length_is_refused_and_left_alone(void **state)
{
    struct fixture *f = *state;

    push(f, 4);
    assert_int_equal(waitq_push(&f->q, &f->w[4]), LIMITER_SHED_FULL);
    assert_unlinked(&f->w[4]);
    assert_int_equal(f->q.depth, 4);
    assert_int_equal(f->q.bytes, 400);
}

static void bytes_are_taken_up_to_the_bound_and_not_one_more(void **state)
{
    struct fixture *f = *state;

    push(f, 2);
    f->w[2].bytes = 801;
    assert_int_equal(waitq_push(&f->q, &f->w[2]), LIMITER_SHED_BYTES);
    f->w[2].bytes = 800;
    assert_int_equal(waitq_push(&f->q, &f->w[2]), LIMITER_QUEUED);
    assert_int_equal(f->q.bytes, 1000);
    f->w[3].bytes = 0;
    assert_int_equal(waitq_push(&f->q, &f->w[3]), LIMITER_QUEUED);
}

static void a_size_that_would_wrap_the_sum_is_refused(void **state)
{
    struct fixture *f = *state;

    push(f, 1);
    f->w[1].bytes = UINT64_MAX;
    assert_int_equal(waitq_push(&f->q, &f->w[1]), LIMITER_SHED_BYTES);
    waitq_bound(&f->q, 4, UINT64_MAX);
    assert_int_equal(waitq_push(&f->q, &f->w[1]), LIMITER_SHED_BYTES);
    f->w[1].bytes = UINT64_MAX - 100;
    assert_int_equal(waitq_push(&f->q, &f->w[1]), LIMITER_QUEUED);
    assert_int_equal(f->q.bytes, UINT64_MAX);
}

static void tighter_bounds_keep_who_is_in_and_refuse_newcomers(void **state)
{
    struct fixture *f = *state;

    push(f, 3);
    waitq_bound(&f->q, 2, 1000);
    assert_int_equal(f->q.depth, 3);
    assert_int_equal(waitq_push(&f->q, &f->w[3]), LIMITER_SHED_FULL);

    waitq_bound(&f->q, 4, 299); /* it holds 300: no room even for 0 bytes */
    f->w[3].bytes = 0;
    assert_int_equal(waitq_push(&f->q, &f->w[3]), LIMITER_SHED_BYTES);
    assert_ptr_equal(pop(&f->q), &f->w[0]);
    assert_int_equal(waitq_push(&f->q, &f->w[3]), LIMITER_QUEUED);
}

/* Of four waiters, `gone` leaves; the other three are popped in order. */
static void leave_from_place(struct fixture *f, unsigned gone)
{
    push(f, 4);
    waitq_remove(&f->q, &f->w[gone]);
    assert_unlinked(&f->w[gone]);
    assert_int_equal(f->q.depth, 3);
    assert_int_equal(f->q.bytes, 300);
    for (unsigned i = 0; i < 4; i++) {
        if (i != gone)
            assert_ptr_equal(pop(&f->q), &f->w[i]);
    }
    assert_empty(&f->q);
}

static void the_first_a_middle_and_the_last_may_leave(void **state)
{
    for (unsigned gone = 0; gone < 4; gone++)
        leave_from_place(*state, gone);
}

static void the_only_one_may_leave_and_come_back(void **state)
{
    struct fixture *f = *state;

    push(f, 1);
    waitq_remove(&f->q, &f->w[0]);
    assert_empty(&f->q);
    push(f, 2);
    assert_ptr_equal(pop(&f->q), &f->w[0]);
    assert_ptr_equal(pop(&f->q), &f->w[1]);
}

static void what_is_next_depends_on_the_time(void **state)
{
    struct fixture *f = *state;
    bool in_time = false;

    f->w[0].deadline = 20;
    push(f, 2);
    assert_ptr_equal(waitq_next(&f->q, 19, &in_time), &f->w[0]);
    assert_true(in_time);
    assert_ptr_equal(waitq_next(&f->q, 20, &in_time), &f->w[0]);
    assert_false(in_time);
    assert_int_equal(f->q.depth, 2); /* it was only looked at */
}

/* Of four waiters, the first `n` have left; they come back last to first, or first to last. */
static void come_back(struct fixture *f, unsigned n, bool in_order)
{
    push(f, 4);
    for (unsigned i = 0; i < n; i++)
        assert_ptr_equal(pop(&f->q), &f->w[i]);
    for (unsigned i = 0; i < n; i++)
        waitq_push_back(&f->q, &f->w[in_order ? i : n - 1 - i]);
    assert_int_equal(f->q.bytes, 400);
    for (unsigned i = 0; i < 4; i++)
        assert_ptr_equal(pop(&f->q), &f->w[i]);
    assert_empty(&f->q);
}

static void those_that_come_back_have_their_old_places(void **state)
{
    for (unsigned n = 1; n <= 4; n++) {
        come_back(*state, n, true);
        come_back(*state, n, false);
    }
}

static void one_that_comes_back_needs_no_room(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 1; i < 5; i++)
        assert_int_equal(waitq_push(&f->q, &f->w[i]), LIMITER_QUEUED);
    waitq_bound(&f->q, 4, 400);
    waitq_push_back(&f->q, &f->w[0]);
    assert_int_equal(f->q.depth, 5);
    assert_int_equal(f->q.bytes, 500);
    assert_ptr_equal(pop(&f->q), &f->w[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zeroed_queue_is_empty_and_takes_nobody),
        cmocka_unit_test_setup(pops_in_the_order_of_pushes, empty_with_room_for_four),
        cmocka_unit_test_setup(one_more_than_its_length_is_refused_and_left_alone,
                               empty_with_room_for_four),
        cmocka_unit_test_setup(bytes_are_taken_up_to_the_bound_and_not_one_more,
                               empty_with_room_for_four),
        cmocka_unit_test_setup(a_size_that_would_wrap_the_sum_is_refused, empty_with_room_for_four),
        cmocka_unit_test_setup(tighter_bounds_keep_who_is_in_and_refuse_newcomers,
                               empty_with_room_for_four),
        cmocka_unit_test_setup(the_first_a_middle_and_the_last_may_leave, empty_with_room_for_four),
        cmocka_unit_test_setup(the_only_one_may_leave_and_come_back, empty_with_room_for_four),
        cmocka_unit_test_setup(what_is_next_depends_on_the_time, empty_with_room_for_four),
        cmocka_unit_test_setup(those_that_come_back_have_their_old_places,
                               empty_with_room_for_four),
        cmocka_unit_test_setup(one_that_comes_back_needs_no_room, empty_with_room_for_four),
    };
    return cmocka_run_group_tests_name("waitq", tests, NULL, NULL);
}
