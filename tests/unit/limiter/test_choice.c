/* Who is next, and who makes room: classes, keys, lateness, eligibility. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "limiter/choice.h"

#define WAITERS 8u

struct fixture {
    struct waitq q;
    struct limiter_waiter w[WAITERS], newcomer;
    struct choice_terms t;
    unsigned waiters;
};

/* Class 0 has no head start, 1 one of 1000, 2 one of 5000. */
static int three_classes(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    waitq_bound(&f.q, WAITERS, 10000);
    waitq_set_head_start(&f.q, 1, 1000);
    waitq_set_head_start(&f.q, 2, 5000);
    f.t = (struct choice_terms){.now = 10000, .allowance = 500, .eligible = 7};
    f.newcomer.bytes = 100;
    *state = &f;
    return 0;
}

static struct limiter_waiter *add(struct fixture *f, unsigned class_, unsigned key, mono_us at)
{
    struct limiter_waiter *w = &f->w[f->waiters];

    w->class_ = (uint8_t)class_;
    w->key = (uint8_t)key;
    w->place = f->waiters++;
    w->queued_at = at;
    w->deadline = MONO_NEVER;
    w->bytes = 100;
    waitq_push(&f->q, w, at);
    return w;
}

static void expect_next(struct fixture *f, const struct limiter_waiter *w)
{
    bool in_time = false;

    assert_ptr_equal(choice_next(&f->q, &f->t, &in_time), w);
    assert_true(in_time);
}

static void serve(struct fixture *f, struct limiter_waiter *w)
{
    expect_next(f, w);
    waitq_serve(&f->q, w, f->t.now);
}

static void expect_nobody(struct fixture *f)
{
    bool in_time = false;

    assert_null(choice_next(&f->q, &f->t, &in_time));
    assert_false(in_time);
}

static void expect_expired(struct fixture *f, const struct limiter_waiter *w)
{
    bool in_time = true;

    assert_ptr_equal(choice_next(&f->q, &f->t, &in_time), w);
    assert_false(in_time);
}

static void expect_victim(struct fixture *f, struct limiter_waiter *w)
{
    assert_ptr_equal(choice_victim(&f->q, &f->t, &f->newcomer), w);
    if (w != NULL) {
        waitq_remove(&f->q, w);
        f->waiters--;
    }
}

/* ---- who is next ----------------------------------------------------------------------------- */

static void an_empty_queue_has_nobody(void **state)
{
    expect_nobody(*state);
}

static void the_first_is_next_whatever_its_age(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *a = add(f, 0, 0, 0), *b = add(f, 0, 0, 9999);

    serve(f, a);
    serve(f, b);
    expect_nobody(f);
}

static void one_whose_deadline_has_passed_leaves_first(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *a = add(f, 0, 0, 9000);

    a->deadline = 10001;
    expect_next(f, a);
    a->deadline = 10000;
    expect_expired(f, a);
    f->t.eligible = 0; /* that takes no slot */
    expect_expired(f, a);
}

static void in_an_overload_the_late_let_others_pass_and_are_served_newest_first(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *a = add(f, 0, 0, 9000), *b = add(f, 0, 0, 9499);
    struct limiter_waiter *c = add(f, 0, 0, 9500), *d = add(f, 0, 0, 9900);

    f->t.over = true;
    serve(f, c);
    serve(f, d);
    serve(f, b);
    serve(f, a);
}

static void with_fifo_nobody_is_late(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *a = add(f, 0, 0, 1000), *b = add(f, 0, 0, 9900);

    a->declared = 10001;
    f->t.hold = 500;
    f->t.over = f->t.fifo = true;
    serve(f, a);
    serve(f, b);
}

static void one_that_cannot_be_done_before_its_declared_deadline_is_late(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *a = add(f, 0, 0, 9000), *b = add(f, 0, 0, 9100);

    f->t.hold = 300;
    a->declared = 10300;
    expect_next(f, a);
    a->declared = 10299;
    serve(f, b);
    serve(f, a);
}

static void a_late_one_expires_at_its_turn(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *a = add(f, 0, 0, 9000);

    f->t.over = true;
    expect_next(f, a);
    assert_true(a->late);
    a->deadline = 10000;
    expect_expired(f, a);
}

static void keys_are_served_in_turn(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *a = add(f, 0, 1, 1), *b = add(f, 0, 1, 2), *c = add(f, 0, 1, 3);
    struct limiter_waiter *d = add(f, 0, 2, 4), *e = add(f, 0, 63, 5);

    serve(f, a);
    serve(f, d);
    serve(f, e);
    serve(f, b);
    serve(f, c);
}

static void a_key_with_only_late_ones_has_its_turns_as_well(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *a = add(f, 0, 1, 1), *b = add(f, 0, 1, 2);
    struct limiter_waiter *c = add(f, 0, 2, 9800), *d = add(f, 0, 2, 9900);

    f->t.over = true;
    serve(f, b);
    serve(f, c);
    serve(f, a);
    serve(f, d);
}

/* ---- classes --------------------------------------------------------------------------------- */

static void a_head_start_counts_as_a_longer_wait(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *low = add(f, 0, 0, 2000), *same = add(f, 1, 0, 3000);
    struct limiter_waiter *later = add(f, 1, 0, 3001), *lower = add(f, 0, 0, 3002);
    struct limiter_waiter *high = add(f, 2, 0, 6000);

    serve(f, high);
    serve(f, low); /* among equals, the first that arrived */
    serve(f, same);
    serve(f, later);
    serve(f, lower);
}

static void a_class_that_may_have_no_slot_is_passed_by(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *high = add(f, 2, 0, 1), *low = add(f, 0, 0, 9000);

    f->t.eligible = 3;
    serve(f, low);
    expect_nobody(f);
    f->t.eligible = 7;
    serve(f, high);
}

/* Its waiters are all late, the other's never: it gets a slot whenever the other's head start has
 * passed since the last one. */
static void a_low_class_of_late_ones_is_not_starved_beyond_the_head_start(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *low = add(f, 0, 0, 0);
    mono_us last = 0;

    add(f, 0, 0, 0);
    add(f, 0, 0, 0);
    add(f, 0, 0, 0);
    f->t.over = true;
    for (f->t.now = 1000; f->t.now < 20000 && f->q.classes[0].lanes[WAITQ_LATE].depth != 1;
         f->t.now += 100) {
        struct limiter_waiter *high = &f->w[7];
        bool in_time;
        high->class_ = 2;
        high->place = 100;
        high->queued_at = f->t.now;
        high->deadline = MONO_NEVER;
        waitq_push(&f->q, high, f->t.now);
        struct limiter_waiter *next = choice_next(&f->q, &f->t, &in_time);
        assert_true(next == high || f->t.now - last >= 5000);
        last = next != high ? f->t.now : last;
        waitq_serve(&f->q, next, f->t.now);
        if (next != high)
            waitq_remove(&f->q, high);
    }
    assert_int_equal(f->q.depth, 1);
    assert_int_equal(last, f->t.now - 100);
    expect_next(f, low);
}

/* ---- who makes room -------------------------------------------------------------------------- */

static void nobody_makes_room_for_an_equal(void **state)
{
    struct fixture *f = *state;

    add(f, 0, 0, 1);
    add(f, 2, 0, 2);
    expect_victim(f, NULL);
    assert_int_equal(choice_spare_bytes(&f->q, &f->t, &f->newcomer), 0);
}

static void in_an_overload_the_oldest_late_one_of_the_lowest_class_makes_room(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *a = add(f, 1, 0, 1), *b = add(f, 0, 0, 2), *c = add(f, 0, 0, 3);

    add(f, 2, 0, 4);
    add(f, 0, 0, 9900);
    f->t.over = true;
    f->newcomer.class_ = 1;
    assert_int_equal(choice_spare_bytes(&f->q, &f->t, &f->newcomer), 400);
    expect_victim(f, b);
    expect_victim(f, c);
    expect_victim(f, a);
    f->newcomer.class_ = 0;
    expect_victim(f, NULL); /* none is late */
}

static void the_newest_of_the_lowest_class_makes_room_for_a_higher_one(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *a, *c;

    add(f, 1, 0, 1);
    a = add(f, 1, 0, 1);
    add(f, 0, 0, 2);
    c = add(f, 0, 0, 3);
    f->newcomer.class_ = 2;
    assert_int_equal(choice_spare_bytes(&f->q, &f->t, &f->newcomer), 400);
    expect_victim(f, c);
    expect_victim(f, a); /* the only one of a class keeps its place */
    expect_victim(f, NULL);
}

static void one_that_its_pool_holds_back_makes_room_for_one_that_may_run(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *b;

    add(f, 1, 0, 1);
    b = add(f, 1, 0, 2);
    f->newcomer.class_ = 1;
    f->t.eligible = 5;
    assert_false(choice_has_held_back(&f->q, &f->t, &f->newcomer));
    expect_victim(f, NULL);
    waitq_set_head_start(&f->q, 2, 1000);
    f->newcomer.class_ = 2;
    assert_true(choice_has_held_back(&f->q, &f->t, &f->newcomer));
    expect_victim(f, b);
    assert_false(choice_has_held_back(&f->q, &f->t, &f->newcomer));
    expect_victim(f, NULL);
}

static void a_low_class_has_one_place_at_least(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *a, *b;

    add(f, 1, 0, 1);
    a = add(f, 1, 0, 2);
    b = add(f, 1, 0, 3);
    f->t.eligible = 6;
    expect_victim(f, NULL);
    f->t.eligible = 7;
    expect_victim(f, b);
    waitq_push(&f->q, &f->newcomer, 4);
    expect_victim(f, NULL);
    f->newcomer.place = 9;
    struct limiter_waiter second = {.place = 10, .class_ = 1};
    assert_ptr_equal(choice_victim(&f->q, &f->t, &second), NULL);
    second.class_ = 2;
    assert_ptr_equal(choice_victim(&f->q, &f->t, &second), a);
}

static void the_longest_key_makes_room_for_one_that_is_shorter_by_two(void **state)
{
    struct fixture *f = *state;
    struct limiter_waiter *b, *c;

    add(f, 0, 1, 1);
    b = add(f, 0, 1, 2);
    c = add(f, 0, 1, 3);
    add(f, 0, 2, 4);
    f->newcomer.key = 2;
    assert_int_equal(choice_spare_bytes(&f->q, &f->t, &f->newcomer), 400);
    expect_victim(f, c);
    expect_victim(f, NULL);
    f->newcomer.key = 3;
    expect_victim(f, b);
    expect_victim(f, NULL);
    f->newcomer.key = 1;
    expect_victim(f, NULL);
}

/* ---- who is ahead ---------------------------------------------------------------------------- */

static void those_ahead_are_on_time_of_its_class_or_a_higher_one_and_may_run(void **state)
{
    struct fixture *f = *state;

    add(f, 0, 0, 1);
    add(f, 1, 0, 2);
    add(f, 1, 0, 3);
    add(f, 2, 0, 4);
    waitq_make_late(&f->q, &f->w[1]);
    assert_int_equal(choice_ahead(&f->q, &f->t, &f->newcomer), 3);
    f->newcomer.class_ = 1;
    assert_int_equal(choice_ahead(&f->q, &f->t, &f->newcomer), 2);
    f->t.eligible = 1;
    assert_int_equal(choice_ahead(&f->q, &f->t, &f->newcomer), 1);
    f->newcomer.class_ = 0;
    assert_int_equal(choice_ahead(&f->q, &f->t, &f->newcomer), 1);
}

#define WITH(test) cmocka_unit_test_setup(test, three_classes)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(an_empty_queue_has_nobody),
        WITH(the_first_is_next_whatever_its_age),
        WITH(one_whose_deadline_has_passed_leaves_first),
        WITH(in_an_overload_the_late_let_others_pass_and_are_served_newest_first),
        WITH(with_fifo_nobody_is_late),
        WITH(one_that_cannot_be_done_before_its_declared_deadline_is_late),
        WITH(a_late_one_expires_at_its_turn),
        WITH(keys_are_served_in_turn),
        WITH(a_key_with_only_late_ones_has_its_turns_as_well),
        WITH(a_head_start_counts_as_a_longer_wait),
        WITH(a_class_that_may_have_no_slot_is_passed_by),
        WITH(a_low_class_of_late_ones_is_not_starved_beyond_the_head_start),
        WITH(nobody_makes_room_for_an_equal),
        WITH(in_an_overload_the_oldest_late_one_of_the_lowest_class_makes_room),
        WITH(the_newest_of_the_lowest_class_makes_room_for_a_higher_one),
        WITH(one_that_its_pool_holds_back_makes_room_for_one_that_may_run),
        WITH(a_low_class_has_one_place_at_least),
        WITH(the_longest_key_makes_room_for_one_that_is_shorter_by_two),
        WITH(those_ahead_are_on_time_of_its_class_or_a_higher_one_and_may_run),
    };
    return cmocka_run_group_tests_name("choice", tests, NULL, NULL);
}
