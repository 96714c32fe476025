/*
 * Posting to another thread: a list and an eventfd. Many posters, one reader. The eventfd is
 * written only when the list was empty, so a burst costs one wake-up.
 */
#pragma once

#include <stdbool.h>

struct mailbox; /* opaque: defined in mailbox.c */

/* Embedded in what is posted; untouched by the mailbox before mailbox_post and after delivery. */
struct mail {
    struct mail *next;
    void (*deliver)(struct mail *m); /* runs on the reader's thread */
};

struct mailbox *mailbox_new(void); /* NULL: no descriptor left; errno tells */
void mailbox_free(struct mailbox *mb);

/* Any thread. Order between the posts of one thread is kept. */
void mailbox_post(struct mailbox *mb, struct mail *m);

/* To be polled for reading by the owner. */
int mailbox_fd(const struct mailbox *mb);

/* The owner: takes all there is and delivers it in order. */
void mailbox_deliver(struct mailbox *mb);
