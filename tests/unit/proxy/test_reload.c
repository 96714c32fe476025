/* A change is applied as a whole or not at all, counted, and logged with what it changes. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "proxy/loop.h"
#include "proxy/reload.h"

static struct fixture {
    char dir[64], path[96];
    struct config_source source;
    char flag[64], *flags[1];
    struct loop *loop;
    struct config *config; /* as applied last */
    struct reload *reload;
    unsigned applied;
    struct strbuf problems;
    int log, real_stderr;
    char said[8192];
} fx;

static void on_apply(void *arg, struct config *next)
{
    assert_ptr_equal(arg, &fx);
    config_put(fx.config);
    fx.config = config_get(next);
    fx.applied++;
}

static void writes(const char *text)
{
    FILE *file = fopen(fx.path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void begins_with(const char *text)
{
    if (text != NULL)
        writes(text);
    fx.config = config_load(&fx.source, &fx.problems);
    assert_non_null(fx.config);
    fx.reload = reload_new(fx.loop, &fx.source, fx.config, on_apply, &fx);
}

/* All that has been logged since the last call. */
static const char *said(void)
{
    ssize_t n = read(fx.log, fx.said, sizeof(fx.said) - 1);

    fx.said[n > 0 ? n : 0] = '\0';
    return fx.said;
}

static void assert_said(const char *text)
{
    if (strstr(fx.said, text) == NULL)
        fail_msg("missing: %s\n%s", text, fx.said);
}

static void counts_are(uint64_t applied, uint64_t rejected)
{
    struct reload_counts c = reload_counts(fx.reload);

    assert_int_equal(c.applied, applied);
    assert_int_equal(c.rejected, rejected);
    assert_int_equal(fx.applied, applied);
}

static int set_up(void **state)
{
    int ends[2];

    (void)state;
    memset(&fx, 0, sizeof(fx));
    snprintf(fx.dir, sizeof(fx.dir), "/tmp/weir-reload-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    snprintf(fx.path, sizeof(fx.path), "%s/weir.json", fx.dir);
    fx.flags[0] = fx.flag;
    fx.source = (struct config_source){.path = fx.path, .argv = fx.flags};
    fx.loop = loop_new(0);
    assert_non_null(fx.loop);
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    fx.log = ends[0];
    fx.real_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dup2(fx.real_stderr, STDERR_FILENO);
    close(fx.real_stderr);
    close(fx.log);
    reload_free(fx.reload);
    config_put(fx.config);
    loop_free(fx.loop);
    strbuf_fini(&fx.problems);
    unlink(fx.path);
    rmdir(fx.dir);
    return 0;
}

static void a_changed_file_is_applied_and_what_changed_is_logged(void **state)
{
    (void)state;
    begins_with("{\"upstream\": \":1\", \"concurrency\": 80}");
    writes("{\"upstream\": \":1\", \"concurrency\": 40, \"log\": {\"level\": \"debug\"}}");
    reload_sources(fx.reload);
    assert_int_equal(fx.config->concurrency, 40);
    counts_are(1, 0);
    said();
    assert_said("info: SIGHUP: configuration reloaded: concurrency 80 -> 40, "
                "queue.length 800 -> 400, log.level \"info\" -> \"debug\"\n");
    reload_sources(fx.reload);
    counts_are(2, 0);
    said();
    assert_said("SIGHUP: configuration reloaded: nothing has changed\n");
}

static void a_broken_file_changes_nothing_and_all_its_errors_are_logged(void **state)
{
    (void)state;
    begins_with("{\"upstream\": \":1\", \"concurrency\": 80}");
    const struct config *before = fx.config;
    writes("{\"upstream\": \":1\", \"concurrency\": 0,\n \"threads\": 3, \"treads\": 1}");
    reload_sources(fx.reload);
    assert_ptr_equal(fx.config, before);
    counts_are(0, 1);
    said();
    assert_said("error: SIGHUP: the new configuration is rejected, and the old one stays in force");
    assert_said("weir.json:1:35: error: \"concurrency\" expects");
    assert_said("weir.json:2:16: error: unknown key \"treads\"");
    assert_said("weir.json: 3 errors; nothing was changed\n");
    assert_said("\"threads\": cannot change from 1 to 3");
    assert_false(reload_counts(fx.reload).last_read_succeeded);
    unlink(fx.path);
    reload_sources(fx.reload);
    counts_are(0, 2);
    said();
    assert_said("cannot be read: No such file");
    writes("{\"upstream\": \":1\", \"concurrency\": 7}");
    reload_sources(fx.reload);
    counts_are(1, 2);
    assert_int_equal(fx.config->concurrency, 7);
    assert_true(reload_counts(fx.reload).last_read_succeeded);
}

static void a_pipe_in_place_of_the_file_is_not_waited_for(void **state)
{
    (void)state;
    begins_with("{\"upstream\": \":1\"}");
    unlink(fx.path);
    assert_int_equal(mkfifo(fx.path, 0600), 0);
    alarm(10);
    reload_sources(fx.reload);
    counts_are(0, 1);
    said();
    assert_said("the file is empty");
    int writer = open(fx.path, O_RDWR);
    reload_sources(fx.reload);
    counts_are(0, 2);
    said();
    assert_said("cannot be read: ");
    alarm(0);
    close(writer);
    unlink(fx.path);
}

static void flags_still_take_precedence(void **state)
{
    (void)state;
    snprintf(fx.flag, sizeof(fx.flag), "--concurrency=5");
    fx.source.argc = 1;
    begins_with("{\"upstream\": \":1\"}");
    writes("{\"upstream\": \":1\", \"concurrency\": 40, \"queue\": {\"length\": 3}}");
    reload_sources(fx.reload);
    assert_int_equal(fx.config->concurrency, 5);
    assert_int_equal(fx.config->queue.length, 3);
}

static void without_a_file_the_same_comes_again(void **state)
{
    (void)state;
    snprintf(fx.flag, sizeof(fx.flag), "--upstream=:1");
    fx.source.argc = 1;
    fx.source.path = NULL;
    begins_with(NULL);
    reload_sources(fx.reload);
    counts_are(1, 0);
    said();
    assert_said("nothing has changed");
}

static void standard_input_cannot_be_read_again(void **state)
{
    (void)state;
    begins_with("{\"upstream\": \":1\"}");
    fx.source.path = "-";
    reload_sources(fx.reload);
    counts_are(0, 1);
    said();
    assert_said("stdin: error: standard input cannot be read again");
}

static void a_patch_lasts_until_the_next_reload(void **state)
{
    struct strbuf problems = {0};

    (void)state;
    begins_with("{\"upstream\": \":1\", \"concurrency\": 80}");
    assert_true(reload_patch(fx.reload, SPAN("{\"concurrency\": 40}"), &problems));
    assert_int_equal(fx.config->concurrency, 40);
    said();
    assert_said("configuration changed by a command, until the next reload: concurrency 80 -> 40");
    assert_true(reload_patch(fx.reload, SPAN("{\"queue\": {\"length\": 9}}"), &problems));
    assert_int_equal(fx.config->concurrency, 40);
    assert_int_equal(fx.config->queue.length, 9);
    counts_are(2, 0);
    said();
    reload_sources(fx.reload);
    assert_int_equal(fx.config->concurrency, 80);
    said();
    assert_said("SIGHUP: configuration reloaded: concurrency 40 -> 80, queue.length 9 -> 800");
}

static void a_bad_patch_changes_nothing(void **state)
{
    struct strbuf problems = {0};

    (void)state;
    begins_with("{\"upstream\": \":1\"}");
    assert_false(reload_patch(fx.reload, SPAN("{\"concurrency\": 40, \"threads\": 2}"), &problems));
    assert_non_null(strstr(strbuf_cstr(&problems), "\"threads\": cannot change from 1 to 2"));
    assert_int_equal(fx.config->concurrency, 80);
    counts_are(0, 1);
    said();
    assert_said("error: a command: the new configuration is rejected");
    strbuf_fini(&problems);
}

static void turns_for(mono_us time)
{
    for (mono_us end = clock_mono() + time; clock_mono() < end; usleep(1000)) {
        while (loop_turn(fx.loop))
            continue;
    }
}

static void comes_to_apply(unsigned n)
{
    for (int i = 0; i < 3000 && fx.applied < n; i++)
        turns_for(1000);
    assert_int_equal(fx.applied, n);
}

static void a_watched_file_is_reloaded_until_it_says_otherwise(void **state)
{
    (void)state;
    begins_with("{\"upstream\": \":1\", \"watch\": true}");
    writes("{\"upstream\": \":1\", \"watch\": true, \"concurrency\": 8}");
    comes_to_apply(1);
    assert_int_equal(fx.config->concurrency, 8);
    said();
    assert_said("weir.json has changed: configuration reloaded: concurrency 80 -> 8");
    writes("{\"upstream\": \":1\", \"watch\": false}");
    comes_to_apply(2);
    writes("{\"upstream\": \":1\", \"concurrency\": 9}");
    turns_for(200000);
    counts_are(2, 0);
}

static void a_comment_in_a_watched_file_changes_nothing(void **state)
{
    (void)state;
    begins_with("{\"upstream\": \":1\", \"watch\": true}");
    wall_us started = reload_counts(fx.reload).last_success;
    writes("{\"upstream\": \":1\", \"watch\": true, \"// why\": 1}");
    turns_for(200000);
    counts_are(0, 0);
    assert_string_equal(said(), "");
    writes("{\"upstream\": \":1\", \"watch\": true,}");
    for (int i = 0; i < 3000 && reload_counts(fx.reload).rejected == 0; i++)
        turns_for(1000);
    counts_are(0, 1);
    said();
    assert_said("trailing comma");
    struct reload_counts failed = reload_counts(fx.reload);
    assert_false(failed.last_read_succeeded);
    assert_true(failed.last_success > started && failed.last_success <= clock_wall());
    writes("{\"upstream\": \":1\", \"watch\": true}");
    for (int i = 0; i < 3000 && !reload_counts(fx.reload).last_read_succeeded; i++)
        turns_for(1000);
    counts_are(0, 1); /* the same values: nothing to apply */
    assert_true(reload_counts(fx.reload).last_read_succeeded);
    assert_true(reload_counts(fx.reload).last_success > failed.last_success);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_changed_file_is_applied_and_what_changed_is_logged),
        TEST(a_broken_file_changes_nothing_and_all_its_errors_are_logged),
        TEST(a_pipe_in_place_of_the_file_is_not_waited_for),
        TEST(flags_still_take_precedence),
        TEST(without_a_file_the_same_comes_again),
        TEST(standard_input_cannot_be_read_again),
        TEST(a_patch_lasts_until_the_next_reload),
        TEST(a_bad_patch_changes_nothing),
        TEST(a_watched_file_is_reloaded_until_it_says_otherwise),
        TEST(a_comment_in_a_watched_file_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
