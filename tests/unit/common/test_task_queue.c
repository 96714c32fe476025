#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/check.h"
#include "common/task_queue.h"

enum { POSTERS = 4, TASKS = 5000 };

struct job {
    struct task task;
    struct task_queue *to;
    int poster, number, times;
};

static int seen[POSTERS];
static int ran, out_of_order;

static struct job *job_of(struct task *task)
{
    return CONTAINER_OF(task, struct job, task);
}

static void note(struct task *task)
{
    struct job *l = job_of(task);
    if (l->number != seen[l->poster])
        out_of_order++;
    seen[l->poster]++;
    ran++;
}

static bool readable(struct task_queue *q, int timeout_ms)
{
    struct pollfd p = {.fd = task_queue_fd(q), .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

static uint64_t wakes_of(struct task_queue *q)
{
    eventfd_t n = 0;
    return eventfd_read(task_queue_fd(q), &n) == 0 ? n : 0;
}

static int fresh(void **state)
{
    for (int i = 0; i < POSTERS; i++)
        seen[i] = 0;
    ran = out_of_order = 0;
    *state = task_queue_new();
    return *state == NULL;
}

static int done(void **state)
{
    task_queue_free(*state);
    return 0;
}

static void a_burst_costs_one_wake_up_and_comes_in_order(void **state)
{
    struct task_queue *q = *state;
    struct job l[10] = {0};
    assert_false(readable(q, 0));
    for (int i = 0; i < 10; i++) {
        l[i] = (struct job){.task.run = note, .number = i};
        task_queue_post(q, &l[i].task);
    }
    assert_true(readable(q, 0));
    assert_int_equal(wakes_of(q), 1);
    task_queue_run(q);
    assert_int_equal(ran, 10);
    assert_int_equal(out_of_order, 0);
    assert_false(readable(q, 0));
}

static void delivering_nothing_does_nothing(void **state)
{
    task_queue_run(*state);
    assert_int_equal(ran, 0);
}

static void post_again(struct task *task)
{
    struct job *l = job_of(task);
    ran++;
    if (++l->times < 3)
        task_queue_post(l->to, task);
}

static void a_task_that_posts_itself_again_runs_in_the_next_turn(void **state)
{
    struct task_queue *q = *state;
    struct job l = {.task.run = post_again, .to = q};
    task_queue_post(q, &l.task);
    for (int turn = 1; turn <= 3; turn++) {
        assert_true(readable(q, 0));
        task_queue_run(q);
        assert_int_equal(ran, turn);
    }
    assert_false(readable(q, 0));
}

static void free_it(struct task *task)
{
    free(job_of(task));
    ran++;
}

static void a_task_may_free_itself(void **state)
{
    struct task_queue *q = *state;
    for (int i = 0; i < 3; i++) {
        struct job *l = calloc(1, sizeof(*l));
        assert_non_null(l);
        l->task.run = free_it;
        task_queue_post(q, &l->task);
    }
    task_queue_run(q);
    assert_int_equal(ran, 3);
}

struct poster {
    struct task_queue *to;
    struct job *jobs;
    int who;
};

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < TASKS; i++) {
        p->jobs[i] = (struct job){.task.run = note, .poster = p->who, .number = i};
        task_queue_post(p->to, &p->jobs[i].task);
    }
    return NULL;
}

/* The reader sleeps in poll() in between: after a lost wake-up it would time out here. */
static void no_task_is_lost_and_each_posters_order_is_kept(void **state)
{
    struct task_queue *q = *state;
    struct poster p[POSTERS];
    pthread_t thread[POSTERS];
    for (int i = 0; i < POSTERS; i++) {
        p[i] = (struct poster){.to = q, .who = i};
        p[i].jobs = calloc(TASKS, sizeof(struct job));
        assert_non_null(p[i].jobs);
        assert_int_equal(pthread_create(&thread[i], NULL, post_all, &p[i]), 0);
    }
    while (ran < POSTERS * TASKS) {
        assert_true(readable(q, 10000));
        task_queue_run(q);
    }
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(seen[i], TASKS);
        free(p[i].jobs);
    }
    assert_int_equal(out_of_order, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_burst_costs_one_wake_up_and_comes_in_order, fresh, done),
        cmocka_unit_test_setup_teardown(delivering_nothing_does_nothing, fresh, done),
        cmocka_unit_test_setup_teardown(a_task_that_posts_itself_again_runs_in_the_next_turn, fresh,
                                        done),
        cmocka_unit_test_setup_teardown(a_task_may_free_itself, fresh, done),
        cmocka_unit_test_setup_teardown(no_task_is_lost_and_each_posters_order_is_kept, fresh,
                                        done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
