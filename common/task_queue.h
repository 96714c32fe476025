/*
 * A queue of tasks for another thread: a list and an eventfd. Many threads post, one runs the
 * tasks. The eventfd is written only when the list was empty, so a burst costs one wake-up.
 */
#pragma once

#include <stdbool.h>

struct task_queue; /* opaque: defined in task_queue.c */

/* Embedded in the object that is posted; the queue does not touch it before task_queue_post() and
 * once it runs. */
struct task {
    struct task *next;
    void (*run)(struct task *task); /* called on the owner's thread */
};

struct task_queue *task_queue_new(void); /* NULL: out of descriptors; see errno */
void task_queue_free(struct task_queue *q);

/* Any thread. Tasks posted by one thread run in that order. */
void task_queue_post(struct task_queue *q, struct task *task);

/* The owner polls it for reading. */
int task_queue_fd(const struct task_queue *q);

/* Owner only: takes all queued tasks and runs them in order. */
void task_queue_run(struct task_queue *q);
