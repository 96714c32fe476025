/*
 * Threads for handlers that may block: a fixed number of them and one queue. What FastAPI does with
 * a plain `def` handler; its pool, too, has 40 threads and no bound on the queue.
 *
 * The threads are named thread_pool_* because common/pool.h has taken pool_*.
 */
#pragma once

#include <sys/queue.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/task_queue.h"

struct thread_pool; /* opaque: defined in pool.c */

enum thread_pool_order { THREAD_POOL_FIFO, THREAD_POOL_LIFO };

/*
 * Embedded in what is to be done. The submitter sets `run` and `mail.deliver` and keeps its hands
 * off until the mail is delivered; then the three times tell how it went.
 */
struct pool_job {
    void (*run)(struct pool_job *job); /* in a thread of the pool */
    struct task task;                  /* posted when `run` has returned */
    mono_us submitted, started, finished;
    TAILQ_ENTRY(pool_job) link; /* in the queue, until a thread takes it */
};

struct thread_pool_snapshot {
    unsigned threads; /* that there are */
    unsigned busy;    /* that run a job now */
    unsigned depth;   /* jobs that wait for a thread */
};

/* Finished jobs go to `done`, which must outlive the pool. NULL: no thread to be had; errno tells.
 */
MUST_USE struct thread_pool *thread_pool_new(unsigned threads, enum thread_pool_order order,
                                             struct task_queue *done);

/*
 * Ends the threads: their sleeps end at once, what they run runs to its end and is posted, what
 * waits is never run nor posted and stays its submitter's.
 */
void thread_pool_free(struct thread_pool *p);

/* Any thread. */
void thread_pool_submit(struct thread_pool *p, struct pool_job *job);
struct thread_pool_snapshot thread_pool_look(struct thread_pool *p);

/* For a job: sleeps, or returns early because the pool is being freed. */
void thread_pool_sleep(struct thread_pool *p, mono_us us);
