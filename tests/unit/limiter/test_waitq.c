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

/* The first one of the key of class 0 that has its turn, taken out. */
static struct limiter_waiter *pop_from(struct waitq *q, enum waitq_when when)
{
    const struct waitq_class *class_ = &q->classes[0];
    bool any = waitq_class_depth(class_) > 0;
    struct limiter_waiter *w =
        any ? class_->lanes[when].keys[waitq_key_in_turn(class_)].head : NULL;

    if (w != NULL)
        waitq_serve(q, w, 0);
    return w;
}

static struct limiter_waiter *pop(struct waitq *q)
{
    return pop_from(q, WAITQ_ON_TIME);
}

static enum limiter_verdict push_one(struct waitq *q, struct limiter_waiter *w)
{
    enum limiter_verdict verdict = waitq_room(q, w->bytes);

    if (verdict == LIMITER_QUEUED)
        waitq_push(q, w, w->queued_at);
    return verdict;
}

static void push(struct fixture *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(push_one(&f->q, &f->w[i]), LIMITER_QUEUED);
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
    assert_int_equal(q->used, 0);
    assert_null(q->classes[0].lanes[WAITQ_ON_TIME].keys[0].head);
    assert_null(q->classes[0].lanes[WAITQ_ON_TIME].keys[0].tail);
    assert_null(waitq_oldest(q));
}

static void a_zeroed_queue_is_empty_and_takes_nobody(void **state)
{
    struct waitq q = {0};
    struct limiter_waiter w = {0};

    (void)state;
    assert_empty(&q);
    assert_null(pop(&q));
    assert_int_equal(push_one(&q, &w), LIMITER_SHED_FULL);
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
    assert_int_equal(push_one(&f->q, &f->w[4]), LIMITER_SHED_FULL);
    assert_unlinked(&f->w[4]);
    assert_int_equal(f->q.depth, 4);
    assert_int_equal(f->q.bytes, 400);
}

static void bytes_are_taken_up_to_the_bound_and_not_one_more(void **state)
{
    struct fixture *f = *state;

    push(f, 2);
    f->w[2].bytes = 801;
    assert_int_equal(push_one(&f->q, &f->w[2]), LIMITER_SHED_BYTES);
    f->w[2].bytes = 800;
    assert_int_equal(push_one(&f->q, &f->w[2]), LIMITER_QUEUED);
    assert_int_equal(f->q.bytes, 1000);
    f->w[3].bytes = 0;
    assert_int_equal(push_one(&f->q, &f->w[3]), LIMITER_QUEUED);
}

static void a_size_that_would_wrap_the_sum_is_refused(void **state)
{
    struct fixture *f = *state;

    push(f, 1);
    f->w[1].bytes = UINT64_MAX;
    assert_int_equal(push_one(&f->q, &f->w[1]), LIMITER_SHED_BYTES);
    waitq_bound(&f->q, 4, UINT64_MAX);
    assert_int_equal(push_one(&f->q, &f->w[1]), LIMITER_SHED_BYTES);
    f->w[1].bytes = UINT64_MAX - 100;
    assert_int_equal(push_one(&f->q, &f->w[1]), LIMITER_QUEUED);
    assert_int_equal(f->q.bytes, UINT64_MAX);
}

static void tighter_bounds_keep_those_inside_and_refuse_newcomers(void **state)
{
    struct fixture *f = *state;

    push(f, 3);
    waitq_bound(&f->q, 2, 1000);
    assert_int_equal(f->q.depth, 3);
    assert_int_equal(push_one(&f->q, &f->w[3]), LIMITER_SHED_FULL);

    waitq_bound(&f->q, 4, 299); /* it holds 300: no room even for 0 bytes */
    f->w[3].bytes = 0;
    assert_int_equal(push_one(&f->q, &f->w[3]), LIMITER_SHED_BYTES);
    assert_ptr_equal(pop(&f->q), &f->w[0]);
    assert_int_equal(push_one(&f->q, &f->w[3]), LIMITER_QUEUED);
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

static void those_that_are_late_keep_their_order(void **state)
{
    struct fixture *f = *state;

    push(f, 4);
    waitq_make_late(&f->q, &f->w[2]);
    waitq_make_late(&f->q, &f->w[3]);
    waitq_make_late(&f->q, &f->w[0]); /* as one that has come back */
    assert_int_equal(f->q.depth, 4);
    assert_int_equal(f->q.classes[0].lanes[WAITQ_LATE].bytes, 300);
    assert_ptr_equal(waitq_oldest(&f->q), &f->w[0]);
    assert_ptr_equal(waitq_first_on_time(&f->q, 1), &f->w[1]);
    assert_ptr_equal(pop_from(&f->q, WAITQ_LATE), &f->w[0]);
    assert_ptr_equal(pop_from(&f->q, WAITQ_LATE), &f->w[2]);
    assert_ptr_equal(pop_from(&f->q, WAITQ_LATE), &f->w[3]);
    assert_ptr_equal(pop(&f->q), &f->w[1]);
    assert_empty(&f->q);
}

/* Each subset of four is late, and then on time again. */
static void all_on_time_again_are_in_the_order_of_arrival(void **state)
{
    struct fixture *f = *state;

    for (unsigned late = 0; late < 16; late++) {
        push(f, 4);
        for (unsigned i = 0; i < 4; i++)
            if ((late & 1u << i) != 0)
                waitq_make_late(&f->q, &f->w[i]);
        waitq_make_all_on_time(&f->q);
        assert_int_equal(f->q.depth, 4);
        assert_int_equal(f->q.classes[0].lanes[WAITQ_ON_TIME].bytes, 400);
        for (unsigned i = 0; i < 4; i++)
            assert_ptr_equal(pop(&f->q), &f->w[i]);
        assert_empty(&f->q);
    }
}

static void keys_have_their_turns_one_after_the_other(void **state)
{
    static const unsigned order[] = {0, 3, 4, 1, 2}; /* keys 0, 5, 63, 0, 0 */
    struct fixture *f = *state;

    waitq_bound(&f->q, 5, 1000);
    f->w[3].key = 5;
    f->w[4].key = 63;
    push(f, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_ptr_equal(pop(&f->q), &f->w[order[i]]);
    assert_empty(&f->q);
}

/* Of four waiters, the first `n` have left; they come back last to first, or first to last. */
static void come_back(struct fixture *f, unsigned n, bool in_order)
{
    push(f, 4);
    for (unsigned i = 0; i < n; i++)
        assert_ptr_equal(pop(&f->q), &f->w[i]);
    for (unsigned i = 0; i < n; i++)
        waitq_push_back(&f->q, &f->w[in_order ? i : n - 1 - i], 0);
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
        assert_int_equal(push_one(&f->q, &f->w[i]), LIMITER_QUEUED);
    waitq_bound(&f->q, 4, 400);
    waitq_push_back(&f->q, &f->w[0], 0);
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
        cmocka_unit_test_setup(tighter_bounds_keep_those_inside_and_refuse_newcomers,
                               empty_with_room_for_four),
        cmocka_unit_test_setup(the_first_a_middle_and_the_last_may_leave, empty_with_room_for_four),
        cmocka_unit_test_setup(the_only_one_may_leave_and_come_back, empty_with_room_for_four),
        cmocka_unit_test_setup(those_that_are_late_keep_their_order, empty_with_room_for_four),
        cmocka_unit_test_setup(all_on_time_again_are_in_the_order_of_arrival,
                               empty_with_room_for_four),
        cmocka_unit_test_setup(keys_have_their_turns_one_after_the_other, empty_with_room_for_four),
        cmocka_unit_test_setup(those_that_come_back_have_their_old_places,
                               empty_with_room_for_four),
        cmocka_unit_test_setup(one_that_comes_back_needs_no_room, empty_with_room_for_four),
    };
    return cmocka_run_group_tests_name("waitq", tests, NULL, NULL);
}
