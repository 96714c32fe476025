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
#include "common/mailbox.h"

enum { POSTERS = 4, MAILS = 5000 };

struct letter {
    struct mail mail;
    struct mailbox *to;
    int poster, number, times;
};

static int seen[POSTERS];
static int delivered, out_of_order;

static struct letter *letter_of(struct mail *m)
{
    return CONTAINER_OF(m, struct letter, mail);
}

static void note(struct mail *m)
{
    struct letter *l = letter_of(m);
    if (l->number != seen[l->poster])
        out_of_order++;
    seen[l->poster]++;
    delivered++;
}

static bool readable(struct mailbox *mb, int timeout_ms)
{
    struct pollfd p = {.fd = mailbox_fd(mb), .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

static uint64_t wakes_of(struct mailbox *mb)
{
    eventfd_t n = 0;
    return eventfd_read(mailbox_fd(mb), &n) == 0 ? n : 0;
}

static int fresh(void **state)
{
    for (int i = 0; i < POSTERS; i++)
        seen[i] = 0;
    delivered = out_of_order = 0;
    *state = mailbox_new();
    return *state == NULL;
}

static int done(void **state)
{
    mailbox_free(*state);
    return 0;
}

static void a_burst_costs_one_wake_up_and_comes_in_order(void **state)
{
    struct mailbox *mb = *state;
    struct letter l[10] = {0};
    assert_false(readable(mb, 0));
    for (int i = 0; i < 10; i++) {
        l[i] = (struct letter){.mail.deliver = note, .number = i};
        mailbox_post(mb, &l[i].mail);
    }
    assert_true(readable(mb, 0));
    assert_int_equal(wakes_of(mb), 1);
    mailbox_deliver(mb);
    assert_int_equal(delivered, 10);
    assert_int_equal(out_of_order, 0);
    assert_false(readable(mb, 0));
}

static void delivering_nothing_does_nothing(void **state)
{
    mailbox_deliver(*state);
    assert_int_equal(delivered, 0);
}

static void post_again(struct mail *m)
{
    struct letter *l = letter_of(m);
    delivered++;
    if (++l->times < 3)
        mailbox_post(l->to, m);
}

static void mail_may_post_itself_again_and_waits_for_the_next_turn(void **state)
{
    struct mailbox *mb = *state;
    struct letter l = {.mail.deliver = post_again, .to = mb};
    mailbox_post(mb, &l.mail);
    for (int turn = 1; turn <= 3; turn++) {
        assert_true(readable(mb, 0));
        mailbox_deliver(mb);
        assert_int_equal(delivered, turn);
    }
    assert_false(readable(mb, 0));
}

static void free_it(struct mail *m)
{
    free(letter_of(m));
    delivered++;
}

static void mail_may_be_freed_by_its_own_delivery(void **state)
{
    struct mailbox *mb = *state;
    for (int i = 0; i < 3; i++) {
        struct letter *l = calloc(1, sizeof(*l));
        assert_non_null(l);
        l->mail.deliver = free_it;
        mailbox_post(mb, &l->mail);
    }
    mailbox_deliver(mb);
    assert_int_equal(delivered, 3);
}

struct poster {
    struct mailbox *to;
    struct letter *letters;
    int who;
};

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < MAILS; i++) {
        p->letters[i] = (struct letter){.mail.deliver = note, .poster = p->who, .number = i};
        mailbox_post(p->to, &p->letters[i].mail);
    }
    return NULL;
}

/* The reader sleeps in poll between: were a wake-up lost, it would time out here. */
static void no_mail_is_lost_and_each_posters_order_is_kept(void **state)
{
    struct mailbox *mb = *state;
    struct poster p[POSTERS];
    pthread_t thread[POSTERS];
    for (int i = 0; i < POSTERS; i++) {
        p[i] = (struct poster){.to = mb, .who = i};
        p[i].letters = calloc(MAILS, sizeof(struct letter));
        assert_non_null(p[i].letters);
        assert_int_equal(pthread_create(&thread[i], NULL, post_all, &p[i]), 0);
    }
    while (delivered < POSTERS * MAILS) {
        assert_true(readable(mb, 10000));
        mailbox_deliver(mb);
    }
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(seen[i], MAILS);
        free(p[i].letters);
    }
    assert_int_equal(out_of_order, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_burst_costs_one_wake_up_and_comes_in_order, fresh, done),
        cmocka_unit_test_setup_teardown(delivering_nothing_does_nothing, fresh, done),
        cmocka_unit_test_setup_teardown(mail_may_post_itself_again_and_waits_for_the_next_turn,
                                        fresh, done),
        cmocka_unit_test_setup_teardown(mail_may_be_freed_by_its_own_delivery, fresh, done),
        cmocka_unit_test_setup_teardown(no_mail_is_lost_and_each_posters_order_is_kept, fresh,
                                        done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
