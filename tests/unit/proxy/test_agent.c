/* The agent port: its lines, the weight, and peers that do not behave. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/address.h"
#include "common/log.h"
#include "common/socket.h"
#include "proxy/agent.h"

#define LIMIT   10
#define MS      INT64_C(1000)
#define WAIT_MS 5000
#define CROWD   (3 * AGENT_CONNECTIONS_MAX)

static struct fixture {
    struct loop *loop;
    struct limiter *limiter;
    struct agent *agent;
    struct address listen;
    struct limiter_waiter held[2 * LIMIT];
    unsigned n_held;
    enum stats_agent_reply state;
    mono_us now;
    int failures; /* of accept4() */
} fx;

int __wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);
int __real_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);
mono_us __wrap_clock_mono(void);

int __wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
    if (fx.failures == 0)
        return __real_accept4(fd, sa, len, flags);
    fx.failures--;
    errno = EMFILE;
    return -1;
}

mono_us __wrap_clock_mono(void)
{
    return fx.now;
}

static enum stats_agent_reply state_of(void *arg)
{
    assert_ptr_equal(arg, &fx);
    return fx.state;
}

static void set_address(struct address *at, const char *text, enum address_use use)
{
    struct strbuf why = {0};

    *at = (struct address){.len = 0};
    address_set(at, span_of(text));
    assert_true(address_resolve(at, use, &why));
}

static bool opens(const char *text, char *problem, size_t size)
{
    const struct agent_how how = {.loop = fx.loop,
                                  .listen = &fx.listen,
                                  .limiter = fx.limiter,
                                  .state = state_of,
                                  .arg = &fx};

    set_address(&fx.listen, text, ADDRESS_LISTEN);
    fx.agent = agent_new(&how, problem, size);
    return fx.agent != NULL;
}

static int set_up(void **state)
{
    const struct limiter_config lc = {.queue_length = 100, .queue_bytes = 1 << 20};
    char problem[256];

    (void)state;
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    memset(&fx, 0, sizeof(fx));
    fx.now = 1000 * MS;
    fx.loop = loop_new(0);
    fx.limiter = limiter_new(&lc, fx.now);
    assert_null(limiter_set_slots(fx.limiter, 0, LIMIT, fx.now));
    assert_true(opens("127.0.0.1:0", problem, sizeof(problem)));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    agent_free(fx.agent);
    for (unsigned i = 0; i < fx.n_held; i++) {
        if (fx.held[i].state == LIMITER_HOLDING)
            (void)!limiter_release(fx.limiter, &fx.held[i], fx.now);
    }
    limiter_free(fx.limiter);
    loop_free(fx.loop);
    return 0;
}

static void turns(void)
{
    while (loop_turn(fx.loop))
        continue;
}

static int dial(void)
{
    struct address to;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    set_address(&to, agent_text(fx.agent), ADDRESS_CONNECT);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to.sa, to.len), 0);
    return fd;
}

/* All that the port sends before its FIN; "reset" after a reset, "open" if there is neither. */
static const char *heard(int fd)
{
    static char got[256];
    size_t n = 0;

    for (int ms = 0; ms < WAIT_MS; ms++) {
        turns();
        ssize_t r = recv(fd, got + n, sizeof(got) - 1 - n, MSG_DONTWAIT);
        if (r == 0) {
            got[n] = '\0';
            return got;
        }
        if (r < 0 && errno == ECONNRESET)
            return "reset";
        n += r > 0 ? (size_t)r : 0;
        if (r < 0)
            poll(NULL, 0, 1);
    }
    return "open";
}

static void check_says(const char *line)
{
    int fd = dial();

    assert_string_equal(heard(fd), line);
    close(fd);
    turns();
}

/* So many more requests ask for slots; those above the limit wait. */
static void arrive(unsigned n)
{
    for (; n > 0; n--) {
        struct limiter_waiter *ended;
        (void)!limiter_acquire(fx.limiter, &fx.held[fx.n_held++], fx.now, MONO_NEVER, &ended);
    }
}

static void leave(unsigned n)
{
    for (; n > 0; n--)
        (void)!limiter_release(fx.limiter, &fx.held[--fx.n_held], fx.now);
}

static void each_state_has_its_line(void **state)
{
    struct stats_agent told;

    (void)state;
    agent_read(fx.agent, &told);
    assert_true(told.on);
    assert_int_equal(told.weight, 0);
    check_says("up ready 100%\n");
    fx.state = STATS_AGENT_DRAIN;
    check_says("drain\n");
    fx.state = STATS_AGENT_DOWN;
    check_says("down #the app is not ready\n");
    agent_read(fx.agent, &told);
    assert_int_equal(told.last, STATS_AGENT_DOWN);
    assert_int_equal(told.weight, 0);
    fx.state = STATS_AGENT_UP;
    check_says("up ready 100%\n");
    agent_read(fx.agent, &told);
    assert_int_equal(told.weight, 100);
    assert_int_equal(told.replies[STATS_AGENT_UP], 2);
    assert_int_equal(told.replies[STATS_AGENT_DRAIN], 1);
    assert_int_equal(told.replies[STATS_AGENT_DOWN], 1);
    agent_read(NULL, &told);
    assert_false(told.on);
}

/* Falls by half of the way, rises by a quarter, at most once in a window. */
static void the_weight_follows_the_free_slots(void **state)
{
    (void)state;
    arrive(8);
    fx.now += 500 * MS;
    check_says("up ready 60%\n");
    check_says("up ready 60%\n");
    fx.now += 500 * MS;
    check_says("up ready 40%\n");
    fx.now += 1000 * MS;
    check_says("up ready 30%\n");
    leave(8);
    fx.now += 500 * MS;
    check_says("up ready 48%\n");
}

static void a_full_app_keeps_one_percent(void **state)
{
    (void)state;
    arrive(10);
    fx.now += 500 * MS;
    check_says("up ready 50%\n");
    fx.now += 500 * MS;
    check_says("up ready 25%\n");
    for (int i = 0; i < 10; i++) {
        fx.now += 500 * MS;
        close(dial());
        turns();
    }
    check_says("up ready 1%\n");
}

static void waiting_requests_are_load(void **state)
{
    (void)state;
    fx.now += 300 * MS;
    arrive(12); /* 2 of them wait */
    fx.now += 200 * MS;
    check_says("up ready 76%\n"); /* 12 of 10 for two fifths of the time: half of the way to 52% */
    for (unsigned i = 10; i < 12; i++)
        assert_true(limiter_cancel(fx.limiter, &fx.held[i], fx.now, LIMITER_CLIENT_LEFT));
}

static void during_a_pause_no_slot_is_free(void **state)
{
    (void)state;
    limiter_pause(fx.limiter, LIMITER_PAUSE_OPERATOR, fx.now);
    fx.now += 500 * MS;
    check_says("up ready 50%\n");
    (void)!limiter_resume(fx.limiter, LIMITER_PAUSE_OPERATOR, fx.now);
    fx.now += 500 * MS;
    check_says("up ready 63%\n");
}

static void what_a_peer_sends_resets_nothing(void **state)
{
    char bytes[AGENT_INPUT_MAX - 1];

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    int fd = dial();
    assert_int_equal(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
    turns();
    assert_string_equal(heard(fd), "up ready 100%\n");
    close(fd);
}

/* True: the port has closed the connection, or reset it. */
static bool is_over(int fd)
{
    struct pollfd p = {.fd = fd, .events = 0};

    for (int i = 0; i < 20; i++) {
        turns();
        send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT); /* answered by a reset if it is closed */
        poll(&p, 1, 1);
        if (p.revents & (POLLERR | POLLHUP))
            return true;
    }
    return false;
}

static void a_peer_that_sends_too_much_is_cut_off(void **state)
{
    char bytes[AGENT_INPUT_MAX];

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    int fd = dial();
    turns();
    assert_int_equal(send(fd, bytes, sizeof(bytes) - 100, MSG_NOSIGNAL), sizeof(bytes) - 100);
    assert_false(is_over(fd)); /* 20 more bytes */
    assert_int_equal(send(fd, bytes, 100, MSG_NOSIGNAL), 100);
    assert_true(is_over(fd));
    close(fd);
}

static void a_peer_that_does_not_close_is_closed_after_a_second(void **state)
{
    (void)state;
    int first = dial();
    turns();
    fx.now += 500 * MS;
    int second = dial();
    turns();
    fx.now += 510 * MS;
    assert_true(is_over(first));
    assert_false(is_over(second));
    fx.now += 500 * MS;
    assert_true(is_over(second));
    close(first);
    close(second);
}

/* Descriptors of this process. */
static unsigned open_descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void silent_peers_take_no_more_than_their_share_and_lock_nobody_out(void **state)
{
    int crowd[CROWD];

    (void)state;
    unsigned before = open_descriptors();
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = dial();
        turns();
    }
    assert_int_equal(open_descriptors() - before, CROWD + AGENT_CONNECTIONS_MAX);
    check_says("up ready 100%\n");
    for (int i = 0; i < CROWD; i++) {
        assert_string_equal(heard(crowd[i]), "up ready 100%\n");
        close(crowd[i]);
    }
    turns();
    assert_int_equal(open_descriptors(), before);
}

static void a_peer_that_resets_harms_nobody(void **state)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};

    (void)state;
    for (int i = 0; i < 10; i++) {
        int fd = dial();
        if (i % 2 == 0)
            turns();
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
        close(fd);
        turns();
    }
    check_says("up ready 100%\n");
}

static void without_a_descriptor_the_oldest_peer_makes_room(void **state)
{
    (void)state;
    int silent = dial();
    turns();
    fx.failures = 1;
    check_says("up ready 100%\n");
    assert_true(is_over(silent));
    close(silent);
}

static void without_any_descriptor_a_check_waits(void **state)
{
    (void)state;
    fx.failures = 1;
    int fd = dial();
    char byte;
    for (int i = 0; i < 50 && fx.failures > 0; i++) {
        turns();
        poll(NULL, 0, 1);
    }
    turns();
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    fx.now += 110 * MS;
    assert_string_equal(heard(fd), "up ready 100%\n");
    close(fd);
}

static void an_address_in_use_is_told(void **state)
{
    struct agent *first = fx.agent;
    char problem[256], text[SOCKET_TEXT];

    (void)state;
    snprintf(text, sizeof(text), "%s", agent_text(first));
    assert_false(opens(text, problem, sizeof(problem)));
    assert_non_null(strstr(problem, "cannot open the agent port on 127.0.0.1:"));
    assert_non_null(strstr(problem, "Address already in use"));
    fx.agent = first;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_state_has_its_line),
        TEST(the_weight_follows_the_free_slots),
        TEST(a_full_app_keeps_one_percent),
        TEST(waiting_requests_are_load),
        TEST(during_a_pause_no_slot_is_free),
        TEST(what_a_peer_sends_resets_nothing),
        TEST(a_peer_that_sends_too_much_is_cut_off),
        TEST(a_peer_that_does_not_close_is_closed_after_a_second),
        TEST(silent_peers_take_no_more_than_their_share_and_lock_nobody_out),
        TEST(a_peer_that_resets_harms_nobody),
        TEST(without_a_descriptor_the_oldest_peer_makes_room),
        TEST(without_any_descriptor_a_check_waits),
        TEST(an_address_in_use_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
