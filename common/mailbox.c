/*
 * The list is a stack: posters push with a compare-and-swap, the reader takes the whole stack with
 * one exchange and turns it round. Nobody pops a single mail, so a recycled address (ABA) can do no
 * harm. The push releases and the taking acquires: what a poster wrote before is seen by deliver.
 *
 * The reader empties the eventfd first and takes the list second. A post between the two is taken
 * with the rest; a post after finds the list empty and writes again. No wake-up is ever lost.
 */
#include "common/mailbox.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/check.h"

struct mailbox {
    _Atomic(struct mail *) newest;
    int fd;
};

struct mailbox *mailbox_new(void)
{
    struct mailbox *mb = calloc(1, sizeof(*mb));
    CHECK(mb != NULL);
    atomic_init(&mb->newest, NULL);
    mb->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mb->fd >= 0)
        return mb;
    int why = errno;
    free(mb);
    errno = why;
    return NULL;
}

void mailbox_free(struct mailbox *mb)
{
    if (mb == NULL)
        return;
    close(mb->fd);
    free(mb);
}

int mailbox_fd(const struct mailbox *mb)
{
    return mb->fd;
}

static void wake(struct mailbox *mb)
{
    uint64_t one = 1;
    ssize_t n;
    do {
        n = write(mb->fd, &one, sizeof(one));
    } while (n < 0 && errno == EINTR);
    CHECK(n == (ssize_t)sizeof(one) || errno == EAGAIN); /* EAGAIN: full, so it is readable */
}

void mailbox_post(struct mailbox *mb, struct mail *m)
{
    struct mail *old = atomic_load_explicit(&mb->newest, memory_order_relaxed);
    do {
        m->next = old;
    } while (!atomic_compare_exchange_weak_explicit(&mb->newest, &old, m, memory_order_release,
                                                    memory_order_relaxed));
    /* From here on `m` may have been delivered already. */
    if (old == NULL)
        wake(mb);
}

static struct mail *oldest_first(struct mail *newest)
{
    struct mail *list = NULL;
    for (struct mail *m = newest, *next; m != NULL; m = next) {
        next = m->next;
        m->next = list;
        list = m;
    }
    return list;
}

void mailbox_deliver(struct mailbox *mb)
{
    uint64_t wakes;
    while (read(mb->fd, &wakes, sizeof(wakes)) < 0 && errno == EINTR)
        continue;

    struct mail *m =
        oldest_first(atomic_exchange_explicit(&mb->newest, NULL, memory_order_acquire));
    for (struct mail *next; m != NULL; m = next) {
        next = m->next; /* deliver may free the mail, or post it again */
        m->deliver(m);
    }
}
