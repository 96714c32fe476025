/* The thread pool: order, measurements, shutdown. No sleeps: gates and counters. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend-demo/pool.h"

#define JOBS 200

/* A gate at which jobs wait until the test opens it. */
struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool open;
    unsigned arrived, most; /* at the gate now, and the maximum */
};

struct fixture {
    struct task_queue *tasks;
    struct thread_pool *pool;
    struct gate gate;
    unsigned order[JOBS]; /* numbers of the jobs in the order in which they ran */
    unsigned run, delivered;
};

struct test_job {
    struct pool_job job;
    struct fixture *f;
    unsigned number;
};

static void gate_pass(struct gate *g)
{
    pthread_mutex_lock(&g->mutex);
    g->arrived++;
    if (g->arrived > g->most)
        g->most = g->arrived;
    pthread_cond_broadcast(&g->changed);
    while (!g->open)
        pthread_cond_wait(&g->changed, &g->mutex);
    g->arrived--;
    pthread_mutex_unlock(&g->mutex);
}

static void gate_open(struct gate *g)
{
    pthread_mutex_lock(&g->mutex);
    g->open = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
}

static void gate_wait_for(struct gate *g, unsigned arrived)
{
    pthread_mutex_lock(&g->mutex);
    while (g->arrived < arrived)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

static void run_gated(struct pool_job *job)
{
    gate_pass(&CONTAINER_OF(job, struct test_job, job)->f->gate);
}

/* For one thread only: writes without a lock. */
static void run_noted(struct pool_job *job)
{
    struct test_job *t = CONTAINER_OF(job, struct test_job, job);
    t->f->order[t->f->run++] = t->number;
}

static void run_sleeping(struct pool_job *job)
{
    struct fixture *f = CONTAINER_OF(job, struct test_job, job)->f;
    pthread_mutex_lock(&f->gate.mutex);
    f->gate.arrived++;
    pthread_cond_broadcast(&f->gate.changed);
    pthread_mutex_unlock(&f->gate.mutex);
    thread_pool_sleep(f->pool, 3600 * 1000000LL);
}

static void on_delivered(struct task *task)
{
    struct pool_job *job = CONTAINER_OF(task, struct pool_job, task);
    CONTAINER_OF(job, struct test_job, job)->f->delivered++;
}

static void submit(struct fixture *f, struct test_job *t, unsigned number,
                   void (*run)(struct pool_job *))
{
    *t = (struct test_job){.f = f, .number = number};
    t->job.run = run;
    t->job.task.run = on_delivered;
    thread_pool_submit(f->pool, &t->job);
}

static void wait_for_tasks(struct fixture *f, unsigned delivered)
{
    while (f->delivered < delivered) {
        struct pollfd p = {.fd = task_queue_fd(f->tasks), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 30000), 1);
        task_queue_run(f->tasks);
    }
}

static void start(struct fixture *f, unsigned threads, enum thread_pool_order order)
{
    f->pool = thread_pool_new(threads, order, f->tasks);
    assert_non_null(f->pool);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->tasks = task_queue_new();
    assert_non_null(f->tasks);
    pthread_mutex_init(&f->gate.mutex, NULL);
    pthread_cond_init(&f->gate.changed, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->pool != NULL)
        thread_pool_free(f->pool);
    task_queue_free(f->tasks);
    pthread_cond_destroy(&f->gate.changed);
    pthread_mutex_destroy(&f->gate.mutex);
    free(f);
    return 0;
}

static void run_three_behind_one(struct fixture *f, enum thread_pool_order order)
{
    struct test_job gated, t[3];

    start(f, 1, order);
    submit(f, &gated, 9, run_gated);
    gate_wait_for(&f->gate, 1);
    for (unsigned i = 0; i < 3; i++)
        submit(f, &t[i], i, run_noted);
    gate_open(&f->gate);
    wait_for_tasks(f, 4);
    assert_int_equal(f->run, 3);
}

static void fifo_runs_the_oldest_first(void **state)
{
    struct fixture *f = *state;
    run_three_behind_one(f, THREAD_POOL_FIFO);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(f->order[i], i);
}

static void lifo_runs_the_newest_first(void **state)
{
    struct fixture *f = *state;
    run_three_behind_one(f, THREAD_POOL_LIFO);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(f->order[i], 2 - i);
}

static void as_many_jobs_run_at_once_as_there_are_threads(void **state)
{
    struct fixture *f = *state;
    struct test_job t[JOBS];

    start(f, 40, THREAD_POOL_FIFO);
    for (unsigned i = 0; i < JOBS; i++)
        submit(f, &t[i], i, run_gated);
    gate_wait_for(&f->gate, 40);
    gate_open(&f->gate);
    wait_for_tasks(f, JOBS);
    assert_int_equal(f->gate.most, 40);
}

static void the_look_tells_who_runs_and_who_waits(void **state)
{
    struct fixture *f = *state;
    struct test_job t[5];
    struct thread_pool_snapshot s;

    start(f, 2, THREAD_POOL_FIFO);
    for (unsigned i = 0; i < 5; i++)
        submit(f, &t[i], i, run_gated);
    gate_wait_for(&f->gate, 2);
    s = thread_pool_look(f->pool);
    assert_int_equal(s.threads, 2);
    assert_int_equal(s.busy, 2);
    assert_int_equal(s.depth, 3);

    gate_open(&f->gate);
    wait_for_tasks(f, 5);
    s = thread_pool_look(f->pool);
    assert_int_equal(s.busy, 0);
    assert_int_equal(s.depth, 0);
}

static void a_job_that_waited_shows_how_long(void **state)
{
    struct fixture *f = *state;
    struct test_job gated, late;

    start(f, 1, THREAD_POOL_FIFO);
    submit(f, &gated, 0, run_gated);
    gate_wait_for(&f->gate, 1);
    submit(f, &late, 1, run_noted);
    mono_us before = clock_mono();
    while (clock_mono() < before + 5000)
        continue;
    gate_open(&f->gate);
    wait_for_tasks(f, 2);
    assert_true(late.job.started - late.job.submitted >= 5000);
    assert_true(late.job.started >= gated.job.finished);
    assert_true(late.job.finished >= late.job.started);
    assert_true(gated.job.started >= gated.job.submitted);
}

static void the_end_wakes_sleepers_and_never_runs_who_waits(void **state)
{
    struct fixture *f = *state;
    struct test_job asleep, waiting;

    start(f, 1, THREAD_POOL_FIFO);
    submit(f, &asleep, 0, run_sleeping);
    gate_wait_for(&f->gate, 1);
    submit(f, &waiting, 1, run_noted);
    thread_pool_free(f->pool);
    f->pool = NULL;
    task_queue_run(f->tasks);
    assert_int_equal(f->delivered, 1);
    assert_int_equal(f->run, 0);
}

static void an_idle_pool_ends(void **state)
{
    start(*state, 40, THREAD_POOL_LIFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fifo_runs_the_oldest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(lifo_runs_the_newest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(as_many_jobs_run_at_once_as_there_are_threads, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_look_tells_who_runs_and_who_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_job_that_waited_shows_how_long, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_wakes_sleepers_and_never_runs_who_waits, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_idle_pool_ends, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
