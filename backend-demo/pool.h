/*
 * Threads for handlers that may block: a fixed number of threads and one queue, as FastAPI does for
 * plain `def` handlers; its pool also has 40 threads and an unbounded queue.
 *
 * The functions are named thread_pool_* because common/pool.h uses pool_*.
 */
#pragma once

#include <sys/queue.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/task_queue.h"

struct thread_pool; /* opaque: defined in pool.c */

enum thread_pool_order { THREAD_POOL_FIFO, THREAD_POOL_LIFO };

/*
 * Embedded in a unit of work. The submitter sets `run` and `task.run`, and must not touch the job
 * until task.run() is called; then the three times are valid.
 */
struct pool_job {
    void (*run)(struct pool_job *job); /* called in a thread of the pool */
    struct task task;                  /* posted when `run` has returned */
    mono_us submitted, started, finished;
    TAILQ_ENTRY(pool_job) link; /* in the queue, until a thread takes the job */
};

struct thread_pool_snapshot {
    unsigned threads; /* in the pool */
    unsigned busy;    /* running a job now */
    unsigned depth;   /* jobs waiting for a thread */
};

/* Finished jobs are posted to `done`, which must outlive the pool. NULL: no thread could be
 * started; see errno. */
MUST_USE struct thread_pool *thread_pool_new(unsigned threads, enum thread_pool_order order,
                                             struct task_queue *done);

/*
 * Ends the threads: sleeping jobs wake at once, running jobs finish and are posted, queued jobs are
 * neither run nor posted, and stay with their submitters.
 */
void thread_pool_free(struct thread_pool *p);

/* Any thread. */
void thread_pool_submit(struct thread_pool *p, struct pool_job *job);
struct thread_pool_snapshot thread_pool_look(struct thread_pool *p);

/* For jobs: sleeps, or returns early because the pool is being freed. */
void thread_pool_sleep(struct thread_pool *p, mono_us us);
