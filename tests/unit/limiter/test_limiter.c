/* The limiter's behaviour, invariant by invariant. Time is just a number. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/limiter/limiter_fixture.h"

/* ---- slots ----------------------------------------------------------------------------------- */

static void a_free_slot_is_granted_at_once_with_no_wait_at_all(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 7, LIMITER_ADMITTED);
    assert_int_equal(f->w[0].state, LIMITER_HOLDING);
    assert_int_equal(f->w[0].queued_at, 7);
    assert_int_equal(f->w[0].granted_at, 7);
    assert_int_equal(f->w[0].ended_at, 7);
}

static void a_slot_comes_back_with_release(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    assert_null(release(f, 0, 5));
    assert_int_equal(f->w[0].state, LIMITER_IDLE);
    assert_int_equal(f->w[0].released_at, 5);
    acquire(f, 0, 6, LIMITER_ADMITTED);
    assert_int_equal(f->w[0].released_at, 0);
}

static void holders_never_exceed_the_limit(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire(f, 1, 1, LIMITER_ADMITTED);
    acquire(f, 2, 1, LIMITER_QUEUED);
    assert_int_equal(f->w[2].state, LIMITER_WAITING);
    assert_int_equal(snapshot(f, 1).in_flight, 2);
    assert_int_equal(snapshot(f, 1).depth, 1);
}

static void release_hands_the_slot_to_the_oldest_waiter(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire(f, 1, 2, LIMITER_QUEUED);
    acquire(f, 2, 3, LIMITER_QUEUED);
    expect_only(f, release(f, 0, 10), 1, LIMITER_ADMITTED);
    assert_int_equal(f->w[1].queued_at, 2);
    assert_int_equal(f->w[1].ended_at, 10);
    assert_int_equal(f->w[1].granted_at, 10);
    expect_only(f, release(f, 1, 11), 2, LIMITER_ADMITTED);
}

static void a_newcomer_never_overtakes_one_who_waits(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire(f, 1, 2, LIMITER_QUEUED);
    expect_only(f, release(f, 0, 3), 1, LIMITER_ADMITTED);
    acquire(f, 2, 3, LIMITER_QUEUED); /* the slot was not free in between */
    acquire(f, 0, 3, LIMITER_QUEUED); /* nor may the last holder barge in */
    expect_only(f, release(f, 1, 4), 2, LIMITER_ADMITTED);
    expect_only(f, release(f, 2, 5), 0, LIMITER_ADMITTED);
}

static void unlimited_admits_everybody(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < WAITERS; i++)
        acquire(f, i, 1, LIMITER_ADMITTED);
    struct limiter_snapshot s = snapshot(f, 100);
    assert_int_equal(s.limit, LIMITER_UNLIMITED);
    assert_int_equal(s.in_flight, WAITERS);
    assert_int_equal(s.saturated_us, 0);
    assert_int_equal(s.drain, 0);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void a_full_queue_sheds_and_the_shed_hold_nothing(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 7; i++)
        acquire(f, i, 1, i == 0 ? LIMITER_ADMITTED : LIMITER_QUEUED);
    acquire(f, 7, 4, LIMITER_SHED_FULL);
    assert_int_equal(f->w[7].state, LIMITER_IDLE);
    assert_int_equal(f->w[7].queued_at, 4);
    assert_int_equal(f->w[7].ended_at, 4);
    expect_only(f, release(f, 0, 5), 1, LIMITER_ADMITTED);
    acquire(f, 7, 6, LIMITER_QUEUED); /* one place is free again */
}

static void a_queue_of_length_0_refuses_at_once(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire(f, 1, 2, LIMITER_SHED_FULL);
    assert_null(release(f, 0, 3));
    acquire(f, 1, 3, LIMITER_ADMITTED);
}

static void bytes_of_waiters_are_bounded_and_come_back(void **state)
{
    struct fixture *f = *state;

    f->w[0].bytes = 5000; /* it does not wait, so its size does not matter */
    acquire(f, 0, 1, LIMITER_ADMITTED);
    f->w[1].bytes = 60;
    acquire(f, 1, 1, LIMITER_QUEUED);
    f->w[2].bytes = 41;
    acquire(f, 2, 1, LIMITER_SHED_BYTES);
    f->w[2].bytes = 40;
    acquire(f, 2, 1, LIMITER_QUEUED);
    assert_int_equal(snapshot(f, 1).bytes, 100);
    assert_int_equal(snapshot(f, 1).shed_bytes, 1);

    expect_only(f, release(f, 0, 2), 1, LIMITER_ADMITTED);
    assert_int_equal(snapshot(f, 2).bytes, 40);
    assert_true(limiter_cancel(f->limiter, &f->w[2], 3, LIMITER_CLIENT_LEFT));
    assert_int_equal(snapshot(f, 3).bytes, 0);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static void a_deadline_not_after_now_expires_at_once_when_no_slot_is_free(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 10, LIMITER_ADMITTED);
    acquire_until(f, 1, 10, 9, LIMITER_EXPIRED);
    acquire_until(f, 2, 10, 10, LIMITER_EXPIRED);
    acquire_until(f, 3, 10, 11, LIMITER_QUEUED);
    assert_int_equal(f->w[2].state, LIMITER_IDLE);
    assert_int_equal(f->w[2].ended_at, 10);
    assert_int_equal(snapshot(f, 10).expired, 2);
    assert_int_equal(snapshot(f, 10).depth, 1);
}

static void a_free_slot_needs_no_wait_so_no_deadline_matters(void **state)
{
    struct fixture *f = *state;

    acquire_until(f, 0, 10, 10, LIMITER_ADMITTED);
}

static void expired_comes_before_full(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 10, LIMITER_ADMITTED);
    acquire_until(f, 1, 10, 10, LIMITER_EXPIRED);
}

static void the_expired_come_back_in_the_chain_and_never_hold_a_slot(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire_until(f, 1, 1, 50, LIMITER_QUEUED);
    acquire_until(f, 2, 1, 99, LIMITER_QUEUED);
    acquire_until(f, 3, 1, 101, LIMITER_QUEUED);
    acquire_until(f, 4, 1, 100, LIMITER_QUEUED);

    struct limiter_waiter *chain = release(f, 0, 100);
    chain = expect_next(f, chain, 1, LIMITER_EXPIRED);
    chain = expect_next(f, chain, 2, LIMITER_EXPIRED);
    chain = expect_next(f, chain, 3, LIMITER_ADMITTED);
    expect_only(f, chain, 4, LIMITER_EXPIRED); /* though no slot is left */
    assert_int_equal(f->w[1].ended_at, 100);
    assert_int_equal(f->w[1].granted_at, 0);
    assert_null(release(f, 3, 100));
    assert_int_equal(snapshot(f, 100).in_flight, 0);
    assert_int_equal(snapshot(f, 100).expired, 3);
}

static void a_chain_of_the_expired_only_leaves_the_slot_free(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire_until(f, 1, 1, 2, LIMITER_QUEUED);
    acquire_until(f, 2, 1, 2, LIMITER_QUEUED);
    struct limiter_waiter *chain = release(f, 0, 2);
    chain = expect_next(f, chain, 1, LIMITER_EXPIRED);
    expect_only(f, chain, 2, LIMITER_EXPIRED);
    acquire(f, 1, 3, LIMITER_ADMITTED); /* an expired one may ask again */
}

static void an_expired_waiter_is_judged_by_the_latest_time_known(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire_until(f, 1, 1, 50, LIMITER_QUEUED);
    (void)snapshot(f, 60);
    expect_only(f, release(f, 0, 40), 1, LIMITER_EXPIRED); /* a thread with an older clock */
    assert_int_equal(f->w[1].ended_at, 60);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

static void cancel_takes_a_waiter_out_and_the_next_gets_the_slot(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire(f, 1, 2, LIMITER_QUEUED);
    acquire(f, 2, 3, LIMITER_QUEUED);
    assert_true(limiter_cancel(f->limiter, &f->w[1], 9, LIMITER_CLIENT_LEFT));
    assert_int_equal(f->w[1].state, LIMITER_IDLE);
    assert_int_equal(f->w[1].ended_at, 9);
    assert_int_equal(snapshot(f, 9).cancelled, 1);
    assert_int_equal(snapshot(f, 9).oldest_wait, 6);
    expect_only(f, release(f, 0, 10), 2, LIMITER_ADMITTED);
}

static void cancel_comes_too_late_once_the_slot_is_granted(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire(f, 1, 2, LIMITER_QUEUED);
    struct limiter_waiter *chain = release(f, 0, 3);
    assert_false(limiter_cancel(f->limiter, &f->w[1], 4,
                                LIMITER_CLIENT_LEFT)); /* before the chain is handed over */
    expect_only(f, chain, 1, LIMITER_ADMITTED);
    assert_int_equal(f->w[1].ended_at, 3);
    assert_int_equal(snapshot(f, 4).cancelled, 0);
    assert_null(release(f, 1, 5)); /* as its owner does on receiving the verdict */
    assert_int_equal(snapshot(f, 5).in_flight, 0);
}

static void cancel_comes_too_late_once_the_waiter_has_expired(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire_until(f, 1, 1, 2, LIMITER_QUEUED);
    struct limiter_waiter *chain = release(f, 0, 3);
    assert_false(limiter_cancel(f->limiter, &f->w[1], 4, LIMITER_CLIENT_LEFT));
    expect_only(f, chain, 1, LIMITER_EXPIRED);
    assert_int_equal(f->w[1].ended_at, 3);
}

/* ---- pause and resume ------------------------------------------------------------------------ */

static void while_paused_arrivals_queue_though_slots_are_free(void **state)
{
    struct fixture *f = *state;

    pause_for(f, LIMITER_PAUSE_OPERATOR, 1);
    acquire(f, 0, 2, LIMITER_QUEUED);
    acquire_until(f, 1, 2, 2, LIMITER_EXPIRED);
    assert_int_equal(snapshot(f, 2).paused, LIMITER_PAUSE_OPERATOR);
    assert_int_equal(snapshot(f, 9).saturated_us, 0);
    assert_int_equal(snapshot(f, 9).queued_us, 7);
}

static void while_paused_a_released_slot_is_granted_to_nobody(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire(f, 1, 1, LIMITER_QUEUED);
    pause_for(f, LIMITER_PAUSE_OPERATOR, 2);
    assert_null(release(f, 0, 3));
    assert_null(set_slots(f, 5, 4));
    assert_int_equal(snapshot(f, 5).in_flight, 0);
    assert_int_equal(snapshot(f, 5).depth, 1);
}

static void resume_grants_as_many_as_there_are_slots_in_order(void **state)
{
    struct fixture *f = *state;

    pause_for(f, LIMITER_PAUSE_OPERATOR, 1);
    acquire(f, 0, 2, LIMITER_QUEUED);
    acquire_until(f, 1, 2, 5, LIMITER_QUEUED);
    acquire(f, 2, 2, LIMITER_QUEUED);
    acquire(f, 3, 2, LIMITER_QUEUED);

    struct limiter_waiter *chain = resume_from(f, LIMITER_PAUSE_OPERATOR, 6);
    chain = expect_next(f, chain, 0, LIMITER_ADMITTED);
    chain = expect_next(f, chain, 1, LIMITER_EXPIRED);
    expect_only(f, chain, 2, LIMITER_ADMITTED);
    assert_int_equal(snapshot(f, 6).paused, 0);
    assert_int_equal(snapshot(f, 6).depth, 1);
}

static void pause_and_resume_are_idempotent(void **state)
{
    struct fixture *f = *state;

    assert_null(resume_from(f, LIMITER_PAUSE_OPERATOR, 1));
    pause_for(f, LIMITER_PAUSE_OPERATOR, 1);
    pause_for(f, LIMITER_PAUSE_OPERATOR, 2);
    acquire(f, 0, 3, LIMITER_QUEUED);
    expect_only(f, resume_from(f, LIMITER_PAUSE_OPERATOR, 4), 0, LIMITER_ADMITTED);
    assert_null(resume_from(f, LIMITER_PAUSE_OPERATOR, 5));
    acquire(f, 1, 6, LIMITER_QUEUED);
    assert_null(resume_from(f, LIMITER_PAUSE_OPERATOR, 7)); /* not paused, but no slot is free */
}

/* ---- new bounds ------------------------------------------------------------------------------ */

static void a_higher_limit_ends_waits_in_order(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 5; i++)
        acquire_until(f, i, 1, i == 2 ? 5 : MONO_NEVER, i == 0 ? LIMITER_ADMITTED : LIMITER_QUEUED);
    struct limiter_waiter *chain = set_slots(f, 3, 9);
    chain = expect_next(f, chain, 1, LIMITER_ADMITTED);
    chain = expect_next(f, chain, 2, LIMITER_EXPIRED);
    expect_only(f, chain, 3, LIMITER_ADMITTED);
    assert_int_equal(snapshot(f, 9).limit, 3);
    assert_int_equal(snapshot(f, 9).in_flight, 3);
    assert_int_equal(snapshot(f, 9).depth, 1);
}

static void a_lower_limit_takes_nothing_and_grants_nothing_until_below_it(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire(f, 1, 1, LIMITER_ADMITTED);
    acquire(f, 2, 1, LIMITER_QUEUED);
    assert_null(set_slots(f, 1, 2));
    assert_int_equal(snapshot(f, 2).in_flight, 2);
    assert_null(release(f, 0, 3)); /* 1 of 1 still in use */
    acquire(f, 3, 4, LIMITER_QUEUED);
    expect_only(f, release(f, 1, 5), 2, LIMITER_ADMITTED);
    assert_int_equal(snapshot(f, 5).accounting_errors, 0);
}

static void a_shorter_queue_keeps_the_requests_in_it(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 4; i++)
        acquire(f, i, 1, i == 0 ? LIMITER_ADMITTED : LIMITER_QUEUED);
    set_queue(f, 2, 2);
    assert_int_equal(snapshot(f, 2).depth, 3);
    assert_int_equal(snapshot(f, 2).queue_length, 2);
    acquire(f, 4, 3, LIMITER_SHED_FULL);
    expect_only(f, release(f, 0, 4), 1, LIMITER_ADMITTED);
    acquire(f, 4, 5, LIMITER_SHED_FULL); /* two are waiting: full for the new length */
    expect_only(f, release(f, 1, 6), 2, LIMITER_ADMITTED);
    acquire(f, 4, 7, LIMITER_QUEUED);
}

static struct limiter_snapshot take_peaks(struct fixture *f, mono_us now)
{
    struct limiter_snapshot s;

    limiter_take_peaks(f->limiter, now, &s);
    return s;
}

static void peaks_begin_anew_when_they_are_taken(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 6; i++)
        acquire(f, i, 1, i < 2 ? LIMITER_ADMITTED : LIMITER_QUEUED);
    assert_true(limiter_cancel(f->limiter, &f->w[5], 4, LIMITER_CLIENT_LEFT));
    expect_only(f, release(f, 0, 8), 2, LIMITER_ADMITTED);
    assert_int_equal(snapshot(f, 9).depth_peak, 4); /* looking takes nothing */
    assert_int_equal(take_peaks(f, 9).depth_peak, 4);
    assert_int_equal(snapshot(f, 9).depth_peak, 2); /* the present depth */
    assert_int_equal(snapshot(f, 9).in_flight_peak, 2);
    expect_only(f, set_slots(f, 3, 10), 3, LIMITER_ADMITTED);
    assert_int_equal(snapshot(f, 10).in_flight_peak, 3);
    assert_int_equal(snapshot(f, 10).depth_peak, 2); /* new bounds take nothing, either */
}

static void the_longest_wait_counts_whether_it_ended_with_a_slot_or_not(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 4; i++)
        acquire(f, i, 1, i < 2 ? LIMITER_ADMITTED : LIMITER_QUEUED);
    expect_only(f, release(f, 0, 5), 2, LIMITER_ADMITTED);
    assert_int_equal(snapshot(f, 6).wait_peak, 4);
    assert_true(limiter_cancel(f->limiter, &f->w[3], 8, LIMITER_CLIENT_LEFT));
    assert_int_equal(take_peaks(f, 9).wait_peak, 7);
    assert_int_equal(snapshot(f, 9).wait_peak, 0);
}

/* ---- creation, and misuse -------------------------------------------------------------------- */

static void freeing_null_is_allowed(void **state)
{
    (void)state;
    limiter_free(NULL);
}

static void acquire_twice(struct fixture *f)
{
    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire(f, 0, 2, LIMITER_ADMITTED);
}

static void release_twice(struct fixture *f)
{
    acquire(f, 0, 1, LIMITER_ADMITTED);
    assert_null(release(f, 0, 2));
    (void)!release(f, 0, 3);
}

static void release_while_waiting(struct fixture *f)
{
    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire(f, 1, 1, LIMITER_QUEUED);
    (void)!release(f, 1, 2);
}

static void cancel_without_waiting(struct fixture *f)
{
    (void)!limiter_cancel(f->limiter, &f->w[0], 1, LIMITER_CLIENT_LEFT);
}

static void cancel_twice(struct fixture *f)
{
    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire(f, 1, 1, LIMITER_QUEUED);
    assert_true(limiter_cancel(f->limiter, &f->w[1], 2, LIMITER_CLIENT_LEFT));
    (void)!limiter_cancel(f->limiter, &f->w[1], 3, LIMITER_CLIENT_LEFT);
}

static void free_under_a_holder(struct fixture *f)
{
    acquire(f, 0, 1, LIMITER_ADMITTED);
    limiter_free(f->limiter);
}

static void free_under_a_waiter(struct fixture *f)
{
    pause_for(f, LIMITER_PAUSE_OPERATOR, 1);
    acquire(f, 0, 1, LIMITER_QUEUED);
    limiter_free(f->limiter);
}

static void an_instance_that_does_not_exist(struct fixture *f)
{
    (void)!limiter_set_slots(f->limiter, LIMITER_INSTANCES, 1, 1);
}

static void requeue_without_a_slot(struct fixture *f)
{
    (void)!requeue(f, 0, 1);
}

static void requeue_while_waiting(struct fixture *f)
{
    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire(f, 1, 1, LIMITER_QUEUED);
    (void)!requeue(f, 1, 2);
}

static void requeue_twice(struct fixture *f)
{
    acquire(f, 0, 1, LIMITER_ADMITTED);
    pause_for(f, LIMITER_PAUSE_NOT_READY, 1);
    assert_null(requeue(f, 0, 2));
    (void)!requeue(f, 0, 3);
}

static void a_class_that_does_not_exist(struct fixture *f)
{
    pause_for(f, LIMITER_PAUSE_OPERATOR, 1);
    f->w[0].class_ = 1;
    acquire(f, 0, 1, LIMITER_QUEUED);
}

/* In a child process, without output or a core file. */
static void run_to_its_death(void (*mistake)(struct fixture *), struct fixture *f)
{
    const struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    signal(SIGABRT, SIG_DFL);
    close(STDERR_FILENO);
    mistake(f);
    _exit(0);
}

static void assert_stops(void (*mistake)(struct fixture *), struct fixture *f)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        run_to_its_death(mistake, f);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* ---- queries on the state -------------------------------------------------------------------- */

static void one_slot_alone_is_never_plenty(void **state)
{
    struct fixture *f = *state;

    assert_false(limiter_has_plenty(f->limiter));
}

static void plenty_is_more_than_a_quarter_free_and_nobody_waiting(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 5; i++) {
        assert_true(limiter_has_plenty(f->limiter)); /* 8 to 4 are free... */
        acquire(f, i, 0, LIMITER_ADMITTED);
    }
    assert_true(limiter_has_plenty(f->limiter)); /* ...3 still are... */
    acquire(f, 5, 0, LIMITER_ADMITTED);
    assert_false(limiter_has_plenty(f->limiter)); /* ...and 2 are a quarter */
    assert_null(release(f, 5, 1));
    assert_true(limiter_has_plenty(f->limiter));
    pause_for(f, LIMITER_PAUSE_OPERATOR, 1);
    assert_false(limiter_has_plenty(f->limiter));
    acquire(f, 5, 1, LIMITER_QUEUED);
    assert_ptr_equal(resume_from(f, LIMITER_PAUSE_OPERATOR, 1), &f->w[5]);
    assert_null(release(f, 5, 1));
    assert_null(set_slots(f, 2, 2)); /* more holders than the new limit */
    assert_false(limiter_has_plenty(f->limiter));
}

static void without_a_limit_slots_are_plentiful(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 0, LIMITER_ADMITTED);
    assert_true(limiter_has_plenty(f->limiter));
}

static void full_is_no_slot_and_no_room_to_wait(void **state)
{
    struct fixture *f = *state;

    assert_false(limiter_is_full(f->limiter));
    acquire(f, 0, 0, LIMITER_ADMITTED);
    assert_true(limiter_is_full(f->limiter));
    set_queue(f, 1, 0);
    assert_false(limiter_is_full(f->limiter));
    acquire(f, 1, 0, LIMITER_QUEUED);
    assert_true(limiter_is_full(f->limiter));
}

static void somebody_waits_from_being_queued_to_the_verdict(void **state)
{
    struct fixture *f = *state;

    assert_false(limiter_has_waiters(f->limiter));
    acquire(f, 0, 0, LIMITER_ADMITTED);
    assert_false(limiter_has_waiters(f->limiter)); /* a full limiter does not imply waiters */
    acquire(f, 1, 0, LIMITER_QUEUED);
    assert_true(limiter_has_waiters(f->limiter));
    assert_ptr_equal(release(f, 0, 5), &f->w[1]);
    assert_false(limiter_has_waiters(f->limiter));
}

static void a_mistake_of_ours_stops_the_process_where_it_happens(void **state)
{
    static void (*const mistakes[])(struct fixture *) = {
        acquire_twice,          release_twice,
        release_while_waiting,  cancel_without_waiting,
        cancel_twice,           free_under_a_holder,
        free_under_a_waiter,    an_instance_that_does_not_exist,
        requeue_without_a_slot, requeue_while_waiting,
        requeue_twice,          a_class_that_does_not_exist,
    };

    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++)
        assert_stops(mistakes[i], *state);
}

/* ---- declared deadlines ---------------------------------------------------------------------- */

static void what_would_come_too_late_is_refused_and_its_deadline_is_learned(void **state)
{
    static struct patience p;
    struct fixture *f = *state;

    acquire(f, 0, 0, LIMITER_ADMITTED);
    assert_null(release(f, 0, 2000));
    acquire(f, 0, 2000, LIMITER_ADMITTED);
    acquire(f, 1, 2000, LIMITER_QUEUED);
    f->w[2].declared = 3999; /* when the one ahead of it has been served, or a little before */
    acquire_until(f, 2, 2000, 3999, LIMITER_SHED_LATE);
    assert_int_equal(f->w[2].state, LIMITER_IDLE);
    assert_int_equal(snapshot(f, 2000).shed_late, 1);
    limiter_patience(f->limiter, &p);
    assert_true(p.leave[patience_bin(1999)] == 1 && p.left == 1);
    f->w[2].declared = 4001;
    acquire_until(f, 2, 2000, 4001, LIMITER_QUEUED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(one_slot, a_free_slot_is_granted_at_once_with_no_wait_at_all),
        WITH(one_slot, a_slot_comes_back_with_release),
        WITH(two_slots, holders_never_exceed_the_limit),
        WITH(one_slot, release_hands_the_slot_to_the_oldest_waiter),
        WITH(one_slot, a_newcomer_never_overtakes_one_who_waits),
        WITH(no_limit, unlimited_admits_everybody),
        WITH(one_slot, a_full_queue_sheds_and_the_shed_hold_nothing),
        WITH(one_slot_and_no_queue, a_queue_of_length_0_refuses_at_once),
        WITH(one_slot_and_100_bytes, bytes_of_waiters_are_bounded_and_come_back),
        WITH(one_slot, a_deadline_not_after_now_expires_at_once_when_no_slot_is_free),
        WITH(one_slot, a_free_slot_needs_no_wait_so_no_deadline_matters),
        WITH(one_slot_and_no_queue, expired_comes_before_full),
        WITH(one_slot, the_expired_come_back_in_the_chain_and_never_hold_a_slot),
        WITH(one_slot, a_chain_of_the_expired_only_leaves_the_slot_free),
        WITH(one_slot, an_expired_waiter_is_judged_by_the_latest_time_known),
        WITH(one_slot, cancel_takes_a_waiter_out_and_the_next_gets_the_slot),
        WITH(one_slot, cancel_comes_too_late_once_the_slot_is_granted),
        WITH(one_slot, cancel_comes_too_late_once_the_waiter_has_expired),
        WITH(two_slots, while_paused_arrivals_queue_though_slots_are_free),
        WITH(one_slot, while_paused_a_released_slot_is_granted_to_nobody),
        WITH(two_slots, resume_grants_as_many_as_there_are_slots_in_order),
        WITH(one_slot, pause_and_resume_are_idempotent),
        WITH(one_slot, a_higher_limit_ends_waits_in_order),
        WITH(two_slots, a_lower_limit_takes_nothing_and_grants_nothing_until_below_it),
        WITH(one_slot, a_shorter_queue_keeps_the_requests_in_it),
        WITH(two_slots, peaks_begin_anew_when_they_are_taken),
        WITH(two_slots, the_longest_wait_counts_whether_it_ended_with_a_slot_or_not),
        WITH(one_slot, one_slot_alone_is_never_plenty),
        WITH(eight_slots, plenty_is_more_than_a_quarter_free_and_nobody_waiting),
        WITH(no_limit, without_a_limit_slots_are_plentiful),
        WITH(one_slot_and_no_queue, full_is_no_slot_and_no_room_to_wait),
        WITH(one_slot, somebody_waits_from_being_queued_to_the_verdict),
        cmocka_unit_test(freeing_null_is_allowed),
        WITH(one_slot, a_mistake_of_ours_stops_the_process_where_it_happens),
        WITH(one_slot, what_would_come_too_late_is_refused_and_its_deadline_is_learned),
    };
    return cmocka_run_group_tests_name("limiter", tests, NULL, NULL);
}
