/* The reports to systemd, read at the socket that it would listen on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/notify.h"

struct fixture {
    char folder[64], path[80];
    int manager;
    struct loop *loop;
    struct notify *notify;
};

static struct fixture *setup_with(const char *watchdog)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    assert_non_null(f);
    snprintf(f->folder, sizeof(f->folder), "/tmp/weir-notify-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/n", f->folder);
    memcpy(un.sun_path, f->path, sizeof(f->path));
    f->manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(f->manager, (struct sockaddr *)&un, sizeof(un)), 0);
    setenv("NOTIFY_SOCKET", f->path, 1);
    unsetenv("WATCHDOG_PID");
    if (watchdog != NULL)
        setenv("WATCHDOG_USEC", watchdog, 1);
    f->loop = loop_new(0);
    f->notify = notify_new(f->loop);
    return f;
}

static int set_up(void **state)
{
    *state = setup_with(NULL);
    return 0;
}

static int set_up_with_watchdog(void **state)
{
    *state = setup_with("20000");
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    notify_free(f->notify);
    loop_free(f->loop);
    close(f->manager);
    unlink(f->path);
    rmdir(f->folder);
    free(f);
    return 0;
}

/* The next message, or "" if there is none. */
static const char *said(struct fixture *f)
{
    static char text[256];
    ssize_t n = recv(f->manager, text, sizeof(text) - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void the_variables_are_not_left_to_children(void **state)
{
    (void)state;
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
}

static void each_state_is_reported(void **state)
{
    struct fixture *f = *state;

    notify_ready(f->notify);
    assert_string_equal(said(f), "READY=1");
    notify_reloading(f->notify);
    assert_true(strncmp(said(f), "RELOADING=1\nMONOTONIC_USEC=", 27) == 0);
    notify_stopping(f->notify, 25000000);
    assert_string_equal(said(f), "STOPPING=1\nEXTEND_TIMEOUT_USEC=26000000");
    assert_string_equal(said(f), "");
}

static void a_status_is_sent_when_it_changes(void **state)
{
    struct fixture *f = *state;

    notify_status(f->notify, "serves");
    assert_string_equal(said(f), "STATUS=serves");
    notify_status(f->notify, "serves");
    assert_string_equal(said(f), "");
    notify_status(f->notify, "drains");
    assert_string_equal(said(f), "STATUS=drains");
}

static void a_manager_that_has_ended_or_does_not_read_holds_nothing_up(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 10000; i++)
        notify_ready(f->notify);
    close(f->manager);
    notify_ready(f->notify);
    f->manager = dup(STDERR_FILENO);
}

static void the_watchdog_gets_two_reports_in_its_time(void **state)
{
    struct fixture *f = *state;
    int told = 0;

    notify_ready(f->notify);
    assert_string_equal(said(f), "READY=1");
    for (mono_us end = clock_mono() + 2000000; told < 3 && clock_mono() < end;) {
        loop_tick(f->loop);
        (void)loop_turn(f->loop);
        told += strcmp(said(f), "WATCHDOG=1") == 0;
    }
    assert_int_equal(told, 3);
}

static void without_a_socket_nothing_is_sent(void **state)
{
    static const char *const bad[] = {NULL, "", "relative", "/", "@"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct loop *loop = loop_new(0);

        unsetenv("NOTIFY_SOCKET");
        if (bad[i] != NULL)
            setenv("NOTIFY_SOCKET", bad[i], 1);
        struct notify *n = notify_new(loop);
        notify_ready(n);
        notify_status(n, "serves");
        notify_free(n);
        loop_free(loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_variables_are_not_left_to_children, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_state_is_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_status_is_sent_when_it_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_manager_that_has_ended_or_does_not_read_holds_nothing_up,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_watchdog_gets_two_reports_in_its_time,
                                        set_up_with_watchdog, tear_down),
        cmocka_unit_test(without_a_socket_nothing_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
