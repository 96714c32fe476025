/*
 * A mutex guards the queue, the two counts and `stopping`; it is free while a job runs. Two
 * conditions: `work` signals that the queue is not empty, `stop` wakes the threads that sleep.
 */
#include "backend-demo/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

TAILQ_HEAD(job_list, pool_job);

struct thread_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work, stop;
    struct job_list queue;
    unsigned busy, depth;
    bool stopping;
    enum thread_pool_order order;
    struct task_queue *done; /* not owned */
    unsigned threads;        /* threads running */
    pthread_t *thread;
};

/* Takes the first job off the queue. NULL: the pool is stopping. */
static struct pool_job *next_job_locked(struct thread_pool *p)
{
    while (!p->stopping && TAILQ_EMPTY(&p->queue))
        pthread_cond_wait(&p->work, &p->mutex);
    if (p->stopping)
        return NULL;
    struct pool_job *job = TAILQ_FIRST(&p->queue);
    TAILQ_REMOVE(&p->queue, job, link);
    p->depth--;
    p->busy++;
    return job;
}

static void run_job(struct pool_job *job)
{
    job->started = clock_mono();
    job->run(job);
    job->finished = clock_mono();
}

static void *thread_main(void *arg)
{
    struct thread_pool *p = arg;
    struct pool_job *job;

    pthread_mutex_lock(&p->mutex);
    while ((job = next_job_locked(p)) != NULL) {
        pthread_mutex_unlock(&p->mutex);
        run_job(job);
        pthread_mutex_lock(&p->mutex);
        p->busy--;
        /* Under the lock, so that the receiver of the task finds this thread no longer busy, and
         * before the next job, so that responses are sent in the order in which they were ready. */
        task_queue_post(p->done, &job->task);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

static void init_conditions(struct thread_pool *p)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->work, &attr);
    pthread_cond_init(&p->stop, &attr);
    pthread_condattr_destroy(&attr);
}

struct thread_pool *thread_pool_new(unsigned threads, enum thread_pool_order order,
                                    struct task_queue *done)
{
    struct thread_pool *p = calloc(1, sizeof(*p));
    CHECK(p != NULL);
    p->thread = calloc(threads, sizeof(*p->thread));
    CHECK(p->thread != NULL);
    TAILQ_INIT(&p->queue);
    p->order = order;
    p->done = done;
    init_conditions(p);

    while (p->threads < threads) {
        int error = pthread_create(&p->thread[p->threads], NULL, thread_main, p);
        if (error != 0) {
            thread_pool_free(p);
            errno = error;
            return NULL;
        }
        p->threads++;
    }
    return p;
}

void thread_pool_free(struct thread_pool *p)
{
    pthread_mutex_lock(&p->mutex);
    p->stopping = true;
    pthread_cond_broadcast(&p->work);
    pthread_cond_broadcast(&p->stop);
    pthread_mutex_unlock(&p->mutex);

    for (unsigned i = 0; i < p->threads; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->stop);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->mutex);
    free(p->thread);
    free(p);
}

void thread_pool_submit(struct thread_pool *p, struct pool_job *job)
{
    job->submitted = clock_mono();
    pthread_mutex_lock(&p->mutex);
    if (p->order == THREAD_POOL_FIFO)
        TAILQ_INSERT_TAIL(&p->queue, job, link);
    else
        TAILQ_INSERT_HEAD(&p->queue, job, link);
    p->depth++;
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->mutex);
}

struct thread_pool_snapshot thread_pool_look(struct thread_pool *p)
{
    pthread_mutex_lock(&p->mutex);
    struct thread_pool_snapshot s = {.threads = p->threads, .busy = p->busy, .depth = p->depth};
    pthread_mutex_unlock(&p->mutex);
    return s;
}

void thread_pool_sleep(struct thread_pool *p, mono_us us)
{
    mono_us end = clock_mono() + us;
    struct timespec ts = {.tv_sec = end / 1000000, .tv_nsec = end % 1000000 * 1000};

    pthread_mutex_lock(&p->mutex);
    while (!p->stopping && pthread_cond_timedwait(&p->stop, &p->mutex, &ts) != ETIMEDOUT)
        continue;
    pthread_mutex_unlock(&p->mutex);
}
