#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"

/* stderr is a pipe while a line is logged; the output is in `got`. */
static char got[16384];
static int pipe_fd[2], real_stderr;

static void capture_begins(void)
{
    assert_int_equal(pipe(pipe_fd), 0);
    real_stderr = dup(STDERR_FILENO);
    assert_true(dup2(pipe_fd[1], STDERR_FILENO) >= 0);
}

static size_t capture_ends(void)
{
    assert_true(dup2(real_stderr, STDERR_FILENO) >= 0);
    close(real_stderr);
    close(pipe_fd[1]);
    ssize_t n = read(pipe_fd[0], got, sizeof(got) - 1);
    close(pipe_fd[0]);
    assert_true(n >= 0);
    got[n] = '\0';
    return (size_t)n;
}

static void a_level_above_the_wanted_one_writes_nothing(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_WARNING, LOG_FORMAT_TEXT);
    capture_begins();
    log_info("not wanted");
    log_debug("%d", 1);
    assert_int_equal(capture_ends(), 0);
    assert_true(log_wants(LOG_LEVEL_ERROR));
    assert_false(log_wants(LOG_LEVEL_INFO));
}

/* 2026-01-31T23:59:59.123Z */
static void assert_is_time(const char *t)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; form[i] != '\0'; i++) {
        if (form[i] == 'd')
            assert_in_range(t[i], '0', '9');
        else
            assert_int_equal(t[i], form[i]);
    }
}

static void a_text_line_has_time_level_and_message(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    capture_begins();
    log_warning("the app %s %d times", "failed", 3);
    capture_ends();
    assert_is_time(got);
    assert_string_equal(got + 24, " warning: the app failed 3 times\n");
}

static void a_json_line_is_one_object_with_the_message_escaped(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    capture_begins();
    log_error("a \"quoted\"\nline");
    capture_ends();
    assert_memory_equal(got, "{\"time\":\"", 9);
    assert_is_time(got + 9);
    assert_string_equal(got + 33,
                        "\",\"level\":\"error\",\"message\":\"a \\\"quoted\\\"\\nline\"}\n");
}

static void off_a_terminal_auto_is_json(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_AUTO);
    capture_begins();
    log_info("hello");
    capture_ends();
    assert_int_equal(got[0], '{');
}

static void a_peers_bytes_can_neither_end_a_line_nor_steer_the_terminal(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    capture_begins();
    log_info("%s", "x\nfake error: y\x1b[2J\x7f");
    capture_ends();
    assert_string_equal(got + 24, " info: x\\x0afake error: y\\x1b[2J\\x7f\n");
}

static void a_long_message_is_cut_and_still_one_line(void **state)
{
    (void)state;
    static char longer[10000];
    memset(longer, 'a', sizeof(longer) - 1);
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    capture_begins();
    log_info("%s", longer);
    size_t n = capture_ends();
    assert_in_range(n, 4000, 5000);
    assert_ptr_equal(strchr(got, '\n'), got + n - 1);
}

static void errno_is_left_alone(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_AUTO);
    capture_begins();
    errno = ENOSPC;
    log_info("isatty and write change errno");
    assert_int_equal(errno, ENOSPC);
    capture_ends();
}

static void a_pipe_that_nobody_reads_costs_lines_and_never_blocks(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    capture_begins();
    assert_true(fcntl(pipe_fd[1], F_SETPIPE_SZ, 4096) > 0);
    alarm(10); /* ends the test if it blocks */
    for (int i = 0; i < 5000; i++)
        log_info("%d", i);
    alarm(0);
    size_t n = capture_ends();
    assert_in_range(n, 1, 8192);
    assert_non_null(strstr(got, "info: 0\n"));
    assert_int_equal(got[n - 1], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_above_the_wanted_one_writes_nothing),
        cmocka_unit_test(a_text_line_has_time_level_and_message),
        cmocka_unit_test(a_json_line_is_one_object_with_the_message_escaped),
        cmocka_unit_test(off_a_terminal_auto_is_json),
        cmocka_unit_test(a_peers_bytes_can_neither_end_a_line_nor_steer_the_terminal),
        cmocka_unit_test(a_long_message_is_cut_and_still_one_line),
        cmocka_unit_test(errno_is_left_alone),
        cmocka_unit_test(a_pipe_that_nobody_reads_costs_lines_and_never_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
