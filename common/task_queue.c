/*
 * The list is a stack: posters push with a compare-and-swap, the owner takes the whole stack with
 * one exchange and reverses it. Single tasks are never popped, so a recycled address (ABA) does no
 * harm. The push is a release and the exchange an acquire: run() sees what the poster wrote before.
 *
 * The owner empties the eventfd first and takes the list second. A post between the two is taken
 * with the rest; a later post finds the list empty and writes again. No wake-up is lost.
 */
#include "common/task_queue.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/check.h"

struct task_queue {
    _Atomic(struct task *) newest;
    int fd;
};

struct task_queue *task_queue_new(void)
{
    struct task_queue *q = calloc(1, sizeof(*q));
    CHECK(q != NULL);
    atomic_init(&q->newest, NULL);
    q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (q->fd >= 0)
        return q;
    int why = errno;
    free(q);
    errno = why;
    return NULL;
}

void task_queue_free(struct task_queue *q)
{
    if (q == NULL)
        return;
    close(q->fd);
    free(q);
}

int task_queue_fd(const struct task_queue *q)
{
    return q->fd;
}

static void wake(struct task_queue *q)
{
    uint64_t one = 1;
    ssize_t n;
    do {
        n = write(q->fd, &one, sizeof(one));
    } while (n < 0 && errno == EINTR);
    CHECK(n == (ssize_t)sizeof(one) || errno == EAGAIN); /* EAGAIN: full, so it is readable */
}

void task_queue_post(struct task_queue *q, struct task *task)
{
    struct task *old = atomic_load_explicit(&q->newest, memory_order_relaxed);
    do {
        task->next = old;
    } while (!atomic_compare_exchange_weak_explicit(&q->newest, &old, task, memory_order_release,
                                                    memory_order_relaxed));
    /* From here on `task` may have run already. */
    if (old == NULL)
        wake(q);
}

static struct task *oldest_first(struct task *newest)
{
    struct task *list = NULL;
    for (struct task *task = newest, *next; task != NULL; task = next) {
        next = task->next;
        task->next = list;
        list = task;
    }
    return list;
}

void task_queue_run(struct task_queue *q)
{
    uint64_t wakes;
    while (read(q->fd, &wakes, sizeof(wakes)) < 0 && errno == EINTR)
        continue;

    struct task *task =
        oldest_first(atomic_exchange_explicit(&q->newest, NULL, memory_order_acquire));
    for (struct task *next; task != NULL; task = next) {
        next = task->next; /* run() may free the task, or post it again */
        task->run(task);
    }
}
