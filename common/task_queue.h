/*
 * Posting to another thread: a list and an eventfd. Many posters, one reader. The eventfd is
 * written only when the list was empty, so a burst costs one wake-up.
 */
#pragma once

#include <stdbool.h>

struct task_queue; /* opaque: defined in task_queue.c */

/* Embedded in what is posted; untouched by the mailbox before task_queue_post and after delivery.
 */
struct task {
    struct task *next;
    void (*run)(struct task *task); /* runs on the reader's thread */
};

struct task_queue *task_queue_new(void); /* NULL: no descriptor left; errno tells */
void task_queue_free(struct task_queue *q);

/* Any thread. Order between the posts of one thread is kept. */
void task_queue_post(struct task_queue *q, struct task *task);

/* To be polled for reading by the owner. */
int task_queue_fd(const struct task_queue *q);

/* The owner: takes all there is and delivers it in order. */
void task_queue_run(struct task_queue *q);
