/* Files and pipes under the access log: no line is torn, and none is lost without being counted. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "proxy/access_sink.h"

#define LONGEST 10000

struct fixture {
    struct access_sink *sink;
    char dir[32], path[64], other[64];
    int saved_stdout, reader; /* with stdout_is_a_pipe() */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->sink = access_sink_new(LONGEST);
    snprintf(f->dir, sizeof(f->dir), "/tmp/weir-sink-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/access.log", f->dir);
    snprintf(f->other, sizeof(f->other), "%s/access.log.1", f->dir);
    f->saved_stdout = -1;
    signal(SIGXFSZ, SIG_IGN);
    *state = f;
    return 0;
}

static void restore_stdout(struct fixture *f)
{
    dup2(f->saved_stdout, STDOUT_FILENO);
    close(f->saved_stdout);
    close(f->reader);
    f->saved_stdout = -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    if (f->saved_stdout >= 0)
        restore_stdout(f);
    access_sink_free(f->sink);
    unlink(f->path);
    unlink(f->other);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void add(struct fixture *f, const char *line)
{
    char *room = access_sink_room(f->sink);

    assert_non_null(room);
    memcpy(room, line, strlen(line));
    access_sink_added(f->sink, strlen(line));
}

/* `n` bytes of `c`, and the line feed. */
static void add_long(struct fixture *f, char c, size_t n)
{
    char *room = access_sink_room(f->sink);

    assert_non_null(room);
    memset(room, c, n);
    room[n] = '\n';
    access_sink_added(f->sink, n + 1);
}

static void assert_file(const char *path, const char *expected)
{
    char text[4096];
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_string_equal(text, expected);
}

static void assert_counts(const struct fixture *f, uint64_t written, uint64_t dropped)
{
    assert_int_equal(access_sink_written(f->sink), written);
    assert_int_equal(access_sink_dropped(f->sink), dropped);
}

/* ---- files ---- */

static void lines_are_appended_to_a_new_file(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    assert_true(access_sink_open(f->sink, f->path));
    add(f, "one\n");
    add(f, "two\n");
    assert_file(f->path, "");
    assert_int_equal(access_sink_flush(f->sink), ACCESS_FLUSHED);
    assert_file(f->path, "one\ntwo\n");
    assert_counts(f, 2, 0);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07, 0); /* requests are not for everybody */
}

static void lines_without_a_file_are_dropped(void **state)
{
    struct fixture *f = *state;

    add(f, "one\n");
    assert_int_equal(access_sink_flush(f->sink), ACCESS_FAILED);
    assert_counts(f, 0, 1);
}

static void a_rotated_file_is_left_for_a_new_one(void **state)
{
    struct fixture *f = *state;

    assert_true(access_sink_open(f->sink, f->path));
    add(f, "one\n");
    assert_int_equal(rename(f->path, f->other), 0);
    assert_true(access_sink_open(f->sink, f->path));
    add(f, "two\n");
    assert_int_equal(access_sink_flush(f->sink), ACCESS_FLUSHED);
    assert_file(f->other, "one\n");
    assert_file(f->path, "two\n");
    assert_counts(f, 2, 0);
}

static void a_file_that_cannot_be_opened_leaves_the_present_one(void **state)
{
    struct fixture *f = *state;

    assert_true(access_sink_open(f->sink, f->path));
    assert_false(access_sink_open(f->sink, "/nowhere/access.log"));
    assert_int_equal(errno, ENOENT);
    assert_false(access_sink_open(f->sink, f->dir));
    assert_int_equal(errno, EISDIR);
    add(f, "one\n");
    assert_int_equal(access_sink_flush(f->sink), ACCESS_FLUSHED);
    assert_file(f->path, "one\n");
}

static void a_line_torn_by_a_crash_gets_its_end(void **state)
{
    struct fixture *f = *state;
    int fd = open(f->path, O_WRONLY | O_CREAT, 0600);

    assert_int_equal(write(fd, "one\ntw", 6), 6);
    close(fd);
    assert_true(access_sink_open(f->sink, f->path));
    add(f, "three\n");
    assert_int_equal(access_sink_flush(f->sink), ACCESS_FLUSHED);
    assert_file(f->path, "one\ntw\nthree\n");
}

static void a_fifo_without_a_reader_is_refused_at_once(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_false(access_sink_open(f->sink, f->path));
    assert_int_equal(errno, ENXIO);
}

/* ---- a full disk ---- */

static void set_file_limit(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_drops_whole_lines(void **state)
{
    struct fixture *f = *state;

    assert_true(access_sink_open(f->sink, "/dev/full"));
    for (int i = 0; i < 3; i++) {
        add(f, "one\n");
        add(f, "two\n");
        assert_int_equal(access_sink_flush(f->sink), ACCESS_FAILED);
        assert_int_equal(errno, ENOSPC);
    }
    assert_counts(f, 0, 6);
}

static void a_torn_line_is_completed_when_there_is_room_again(void **state)
{
    struct fixture *f = *state;

    assert_true(access_sink_open(f->sink, f->path));
    set_file_limit(6);
    add(f, "one\n");
    add(f, "two\n");
    add(f, "three\n");
    enum access_flush first = access_sink_flush(f->sink);
    add(f, "four\n");
    enum access_flush second = access_sink_flush(f->sink);
    set_file_limit(RLIM_INFINITY);
    assert_int_equal(first, ACCESS_FAILED);
    assert_int_equal(second, ACCESS_FAILED);
    assert_file(f->path, "one\ntw");
    assert_counts(f, 1, 2);
    add(f, "five\n");
    assert_int_equal(access_sink_flush(f->sink), ACCESS_FLUSHED);
    assert_file(f->path, "one\ntwo\nfive\n");
    assert_counts(f, 3, 2);
}

static void the_rest_of_a_torn_line_stays_out_of_another_file(void **state)
{
    struct fixture *f = *state;

    assert_true(access_sink_open(f->sink, f->path));
    set_file_limit(2);
    add(f, "one\n");
    enum access_flush result = access_sink_flush(f->sink);
    assert_int_equal(rename(f->path, f->other), 0);
    bool opened = access_sink_open(f->sink, f->path);
    set_file_limit(RLIM_INFINITY);
    assert_int_equal(result, ACCESS_FAILED);
    assert_true(opened);
    add(f, "two\n");
    assert_int_equal(access_sink_flush(f->sink), ACCESS_FLUSHED);
    assert_file(f->other, "on");
    assert_file(f->path, "two\n");
    assert_counts(f, 1, 1);
}

static void the_rest_of_a_torn_line_stays_for_the_same_file(void **state)
{
    struct fixture *f = *state;

    assert_true(access_sink_open(f->sink, f->path));
    set_file_limit(2);
    add(f, "one\n");
    enum access_flush result = access_sink_flush(f->sink);
    bool opened = access_sink_open(f->sink, f->path);
    set_file_limit(RLIM_INFINITY);
    assert_int_equal(result, ACCESS_FAILED);
    assert_true(opened);
    add(f, "two\n");
    assert_int_equal(access_sink_flush(f->sink), ACCESS_FLUSHED);
    assert_file(f->path, "one\ntwo\n");
    assert_counts(f, 2, 0);
}

/* ---- standard output ---- */

static void stdout_is_a_pipe(struct fixture *f)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_true(fcntl(fds[1], F_SETPIPE_SZ, 4096) >= 4096);
    fflush(stdout);
    f->saved_stdout = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    dup2(fds[1], STDOUT_FILENO);
    close(fds[1]);
    f->reader = fds[0];
    signal(SIGPIPE, SIG_IGN);
}

static void lines_are_written_to_a_pipe_as_wholes(void **state)
{
    struct fixture *f = *state;
    char text[3 * PIPE_BUF];

    stdout_is_a_pipe(f);
    bool opened = access_sink_open(f->sink, "stdout");
    add_long(f, 'a', 3000);
    add_long(f, 'b', 3000);
    enum access_flush result = access_sink_flush(f->sink);
    ssize_t first = read(f->reader, text, sizeof(text));
    enum access_flush later = access_sink_flush(f->sink);
    ssize_t second = read(f->reader, text + 3001, sizeof(text) - 3001);
    bool blocking = (fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK) == 0;
    restore_stdout(f);
    assert_true(opened && blocking);
    assert_int_equal(result, ACCESS_BLOCKED);
    assert_int_equal(first, 3001);
    assert_int_equal(later, ACCESS_FLUSHED);
    assert_int_equal(second, 3001);
    assert_true(text[3000] == '\n' && text[3001] == 'b');
    assert_counts(f, 2, 0);
}

static void a_stopped_reader_keeps_what_has_been_added(void **state)
{
    struct fixture *f = *state;
    enum access_flush result = ACCESS_FLUSHED;
    size_t lines = 0, read_back = 0;
    char text[4096];
    ssize_t n;

    stdout_is_a_pipe(f);
    bool opened = access_sink_open(f->sink, "stdout");
    while (access_sink_room(f->sink) != NULL) {
        add_long(f, 'x', 999);
        lines++;
        result = access_sink_flush(f->sink);
    }
    while (read_back < 1000 * lines && (n = read(f->reader, text, sizeof(text))) > 0) {
        read_back += (size_t)n;
        (void)!access_sink_flush(f->sink);
    }
    restore_stdout(f);
    assert_true(opened);
    assert_int_equal(result, ACCESS_BLOCKED);
    assert_int_equal(read_back, 1000 * lines);
    assert_counts(f, lines, 0);
}

static void a_line_longer_than_a_pipe_takes_at_once_arrives(void **state)
{
    struct fixture *f = *state;
    size_t got = 0;
    char text[LONGEST];

    stdout_is_a_pipe(f);
    bool opened = access_sink_open(f->sink, "stdout");
    add_long(f, 'y', LONGEST - 1);
    while (got < LONGEST) {
        (void)!access_sink_flush(f->sink);
        ssize_t n = read(f->reader, text + got, LONGEST - got);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    restore_stdout(f);
    assert_true(opened);
    assert_int_equal(got, LONGEST);
    assert_int_equal(text[LONGEST - 1], '\n');
}

static void a_reader_that_has_ended_is_an_error(void **state)
{
    struct fixture *f = *state;

    stdout_is_a_pipe(f);
    bool opened = access_sink_open(f->sink, "stdout");
    close(f->reader);
    add(f, "one\n");
    enum access_flush result = access_sink_flush(f->sink);
    int why = errno;
    f->reader = -1;
    restore_stdout(f);
    assert_true(opened);
    assert_int_equal(result, ACCESS_FAILED);
    assert_int_equal(why, EPIPE);
    assert_counts(f, 0, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_are_appended_to_a_new_file),
        TEST(lines_without_a_file_are_dropped),
        TEST(a_rotated_file_is_left_for_a_new_one),
        TEST(a_file_that_cannot_be_opened_leaves_the_present_one),
        TEST(a_line_torn_by_a_crash_gets_its_end),
        TEST(a_fifo_without_a_reader_is_refused_at_once),
        TEST(a_full_disk_drops_whole_lines),
        TEST(a_torn_line_is_completed_when_there_is_room_again),
        TEST(the_rest_of_a_torn_line_stays_out_of_another_file),
        TEST(the_rest_of_a_torn_line_stays_for_the_same_file),
        TEST(lines_are_written_to_a_pipe_as_wholes),
        TEST(a_stopped_reader_keeps_what_has_been_added),
        TEST(a_line_longer_than_a_pipe_takes_at_once_arrives),
        TEST(a_reader_that_has_ended_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
