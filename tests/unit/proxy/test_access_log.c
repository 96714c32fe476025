/*
 * The access log as a whole, with its writer: what loops note is written once, in order, and
 * whatever the file does, a loop does not wait. Naps take 1 ms instead of 20.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/clock.h"
#include "proxy/access_log.h"
#include "proxy/history.h"

#define LOOPS 2

static _Atomic unsigned sleeps; /* of a writer that waits until it is woken */

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout);

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    if (timeout < 0)
        atomic_fetch_add(&sleeps, 1);
    return __real_poll(fds, n, timeout > 0 ? 1 : timeout);
}

struct fixture {
    struct access_log *log;
    struct config config;
    struct record record;
    char dir[32], path[64], other[64];
    int saved_stdout;
    char problem[256];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "/tmp/weir-access-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/access.log", f->dir);
    snprintf(f->other, sizeof(f->other), "%s/other.log", f->dir);
    f->config.log.access = CONFIG_ACCESS_ALL;
    snprintf(f->config.log.access_file, sizeof(f->config.log.access_file), "%s", f->path);
    f->config.log.slow = 1000000;
    record_begin(&f->record, 0);
    f->record.status = 200;
    signal(SIGPIPE, SIG_IGN);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    access_log_free(f->log);
    unlink(f->path);
    unlink(f->other);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void start(struct fixture *f)
{
    f->log = access_log_new(LOOPS, &f->config, f->problem, sizeof(f->problem));
    if (f->log == NULL)
        fail_msg("%s", f->problem);
}

static void stop(struct fixture *f)
{
    access_log_free(f->log);
    f->log = NULL;
}

static void note(struct fixture *f, unsigned loop, unsigned id)
{
    char text[16];
    struct access_request q = {.in_flight = ACCESS_UNKNOWN, .queue_depth = ACCESS_UNKNOWN};

    snprintf(text, sizeof(text), "%u", id);
    q.text[ACCESS_REQUEST_ID] = span_of(text);
    access_log_note(access_log_shard_of(f->log, loop), &f->config, &f->record, &q);
}

/* Bounded by 5 s. */
static bool eventually(bool (*holds)(struct fixture *f, uint64_t n), struct fixture *f, uint64_t n)
{
    for (int i = 0; i < 5000 && !holds(f, n); i++)
        usleep(1000);
    return holds(f, n);
}

static bool has_written(struct fixture *f, uint64_t n)
{
    return access_log_counts(f->log).written >= n;
}

static bool has_slept(struct fixture *f, uint64_t n)
{
    (void)f;
    return sleeps >= n;
}

static bool has_dropped(struct fixture *f, uint64_t n)
{
    return access_log_counts(f->log).dropped >= n;
}

/* The ids of the lines of a file, all of which are JSON. The caller frees them. */
static unsigned *ids_of(const char *path, size_t *n)
{
    FILE *file = fopen(path, "r");
    unsigned *ids = NULL;
    char line[2048];

    *n = 0;
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        if (object == NULL)
            fail_msg("not JSON: %s", line);
        const char *id = json_string_value(json_object_get(object, "request_id"));
        ids = realloc(ids, (*n + 1) * sizeof(*ids));
        ids[(*n)++] = (unsigned)strtoul(id, NULL, 10);
        json_decref(object);
    }
    fclose(file);
    return ids;
}

static void assert_ids(const char *path, unsigned first, size_t count)
{
    size_t n;
    unsigned *ids = ids_of(path, &n);

    assert_int_equal(n, count);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ids[i], first + i);
    free(ids);
}

/* ---- writing ---- */

static void lines_of_all_loops_are_written(void **state)
{
    struct fixture *f = *state;
    size_t n;

    start(f);
    note(f, 0, 1);
    note(f, 1, 2);
    assert_true(eventually(has_written, f, 2));
    stop(f);
    free(ids_of(f->path, &n));
    assert_int_equal(n, 2);
}

static void what_is_left_at_the_end_is_written(void **state)
{
    struct fixture *f = *state;

    start(f);
    for (unsigned i = 0; i < 300; i++)
        note(f, 0, i);
    stop(f);
    assert_ids(f->path, 0, 300);
}

static void a_writer_that_sleeps_is_woken(void **state)
{
    struct fixture *f = *state;

    start(f);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(eventually(has_slept, f, sleeps + 1));
        note(f, i % LOOPS, i);
        assert_true(eventually(has_written, f, i + 1));
    }
    stop(f);
    assert_ids(f->path, 0, 3);
}

static void *note_many(void *arg)
{
    struct fixture *f = arg;

    for (unsigned i = 0; i < 20000; i++) {
        note(f, 1, i);
        if (i % 256 == 0)
            usleep(1000);
    }
    return NULL;
}

static void every_line_is_written_or_counted(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    size_t n;

    start(f);
    assert_int_equal(pthread_create(&thread, NULL, note_many, f), 0);
    for (unsigned i = 0; i < 20000; i++)
        note(f, 0, i);
    pthread_join(thread, NULL);
    uint64_t dropped = access_log_counts(f->log).dropped;
    stop(f);
    free(ids_of(f->path, &n));
    assert_int_equal(n + dropped, 40000);
    assert_true(n > 1000);
}

static void a_summary_is_written_with_problems_if_there_was_a_request(void **state)
{
    struct fixture *f = *state;
    struct history_summary s = {.seconds = 60};

    f->config.log.access = CONFIG_ACCESS_PROBLEMS;
    start(f);
    access_log_summary(f->log, 0, &s);
    s.finished[RECORD_BY_APP] = 1;
    access_log_summary(f->log, 0, &s);
    assert_true(eventually(has_written, f, 1));
    f->config.log.access = CONFIG_ACCESS_ALL;
    access_log_configure(f->log, &f->config);
    access_log_summary(f->log, 0, &s);
    stop(f);
    json_t *object = json_load_file(f->path, JSON_REJECT_DUPLICATES, NULL); /* one line */
    assert_string_equal(json_string_value(json_object_get(object, "msg")), "summary");
    json_decref(object);
}

/* ---- changes ---- */

static void a_rotated_file_is_opened_again(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    start(f);
    note(f, 0, 1);
    assert_true(eventually(has_written, f, 1));
    assert_int_equal(rename(f->path, f->other), 0);
    access_log_reopen(f->log);
    for (int i = 0; i < 5000 && stat(f->path, &st) != 0; i++)
        usleep(1000);
    note(f, 0, 2);
    stop(f);
    assert_ids(f->other, 1, 1);
    assert_ids(f->path, 2, 1);
}

static void a_change_of_the_file_applies_to_later_lines(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    start(f);
    note(f, 0, 1);
    assert_true(eventually(has_written, f, 1));
    snprintf(f->config.log.access_file, sizeof(f->config.log.access_file), "%s", f->other);
    access_log_configure(f->log, &f->config);
    for (int i = 0; i < 5000 && stat(f->other, &st) != 0; i++)
        usleep(1000);
    note(f, 0, 2);
    stop(f);
    assert_ids(f->path, 1, 1);
    assert_ids(f->other, 2, 1);
}

static void a_change_to_a_file_that_cannot_be_opened_keeps_the_present_one(void **state)
{
    struct fixture *f = *state;

    start(f);
    snprintf(f->config.log.access_file, sizeof(f->config.log.access_file), "%s",
             "/nowhere/access.log");
    access_log_configure(f->log, &f->config);
    note(f, 0, 1);
    stop(f);
    assert_ids(f->path, 1, 1);
}

static void it_can_be_switched_on_later(void **state)
{
    struct fixture *f = *state;

    f->config.log.access = CONFIG_ACCESS_OFF;
    start(f);
    assert_int_not_equal(access(f->path, F_OK), 0);
    f->config.log.access = CONFIG_ACCESS_ALL;
    f->config.log.profile = CONFIG_ACCESS_ECS;
    access_log_configure(f->log, &f->config);
    note(f, 0, 1);
    stop(f);
    json_t *object = json_load_file(f->path, 0, NULL);
    assert_non_null(json_object_get(object, "@timestamp"));
    json_decref(object);
}

static void a_file_that_cannot_be_opened_at_the_start_is_an_error(void **state)
{
    struct fixture *f = *state;

    snprintf(f->config.log.access_file, sizeof(f->config.log.access_file), "%s",
             "/nowhere/access.log");
    assert_null(access_log_new(LOOPS, &f->config, f->problem, sizeof(f->problem)));
    assert_string_equal(f->problem, "cannot open the access log /nowhere/access.log: "
                                    "No such file or directory");
}

/* ---- failures ---- */

static void a_full_disk_is_counted(void **state)
{
    struct fixture *f = *state;

    snprintf(f->config.log.access_file, sizeof(f->config.log.access_file), "%s", "/dev/full");
    start(f);
    for (unsigned i = 0; i < 100; i++)
        note(f, 0, i);
    assert_true(eventually(has_dropped, f, 100));
    assert_int_equal(access_log_counts(f->log).written, 0);
}

/* Returns the reading end. */
static int stop_the_reader_of_stdout(struct fixture *f)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    fflush(stdout);
    f->saved_stdout = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    dup2(fds[1], STDOUT_FILENO);
    close(fds[1]);
    return fds[0];
}

static void a_stopped_reader_delays_neither_a_loop_nor_the_end(void **state)
{
    struct fixture *f = *state;
    struct access_log_counts counts;
    mono_us longest = 0;

    snprintf(f->config.log.access_file, sizeof(f->config.log.access_file), "%s", "stdout");
    int reader = stop_the_reader_of_stdout(f);
    start(f);
    for (unsigned i = 0; i < 20000; i++) {
        mono_us began = clock_mono();
        note(f, 0, i);
        mono_us took = clock_mono() - began;
        longest = took > longest ? took : longest;
    }
    counts = access_log_counts(f->log);
    mono_us began = clock_mono();
    stop(f);
    mono_us ended = clock_mono() - began;
    dup2(f->saved_stdout, STDOUT_FILENO);
    close(f->saved_stdout);
    close(reader);
    assert_true(counts.dropped > 10000);
    assert_true(counts.written < 1000);
    assert_true(longest < 500000); /* a busy machine may stop it for a while */
    assert_true(ended < 3000000);
}

static bool a_summary_is_dropped(struct fixture *f, uint64_t n)
{
    struct history_summary s = {.seconds = 60, .finished[RECORD_BY_APP] = 1};

    access_log_summary(f->log, 0, &s);
    return has_dropped(f, n);
}

static void a_summary_without_room_is_counted(void **state)
{
    struct fixture *f = *state;

    snprintf(f->config.log.access_file, sizeof(f->config.log.access_file), "%s", "stdout");
    f->config.log.access = CONFIG_ACCESS_PROBLEMS;
    int reader = stop_the_reader_of_stdout(f);
    start(f);
    for (unsigned i = 0; i < 20000; i++)
        note(f, 0, i);
    uint64_t dropped = access_log_counts(f->log).dropped;
    bool counted = eventually(a_summary_is_dropped, f, dropped + 1);
    stop(f);
    dup2(f->saved_stdout, STDOUT_FILENO);
    close(f->saved_stdout);
    close(reader);
    assert_true(counted);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_of_all_loops_are_written),
        TEST(what_is_left_at_the_end_is_written),
        TEST(a_writer_that_sleeps_is_woken),
        TEST(every_line_is_written_or_counted),
        TEST(a_summary_is_written_with_problems_if_there_was_a_request),
        TEST(a_rotated_file_is_opened_again),
        TEST(a_change_of_the_file_applies_to_later_lines),
        TEST(a_change_to_a_file_that_cannot_be_opened_keeps_the_present_one),
        TEST(it_can_be_switched_on_later),
        TEST(a_file_that_cannot_be_opened_at_the_start_is_an_error),
        TEST(a_full_disk_is_counted),
        TEST(a_stopped_reader_delays_neither_a_loop_nor_the_end),
        TEST(a_summary_without_room_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
