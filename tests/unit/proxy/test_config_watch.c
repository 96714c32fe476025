/* New content is noticed however the file is replaced, and once; all else is not told. */
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

#include "common/clock.h"
#include "common/log.h"
#include "proxy/config_watch.h"
#include "proxy/loop.h"

#define QUIET_US 100000

static struct fixture {
    char dir[64];
    struct loop *loop;
    struct config_watch *watch;
    unsigned changes;
    bool frees; /* in its callback */
} fx;

static void on_change(void *arg)
{
    assert_ptr_equal(arg, &fx);
    fx.changes++;
    if (!fx.frees)
        return;
    config_watch_free(fx.watch);
    fx.watch = NULL;
}

static const char *in_dir(const char *name)
{
    static char paths[4][128];
    static unsigned n;
    char *path = paths[n++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", fx.dir, name);
    return path;
}

static void writes(const char *name, const char *text)
{
    int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void links(const char *target, const char *name)
{
    assert_int_equal(symlink(target, in_dir(name)), 0);
}

static void renames(const char *from, const char *to)
{
    assert_int_equal(rename(in_dir(from), in_dir(to)), 0);
}

static void turns_for(mono_us time)
{
    for (mono_us end = clock_mono() + time; clock_mono() < end; usleep(1000)) {
        while (loop_turn(fx.loop))
            continue;
    }
}

static void tells(unsigned n)
{
    for (int i = 0; i < 3000 && fx.changes < n; i++)
        turns_for(1000);
    assert_int_equal(fx.changes, n);
}

static void begins(const char *path)
{
    fx.watch = config_watch_new(fx.loop, path, on_change, &fx);
    assert_non_null(fx.watch);
    assert_int_equal(fx.changes, 0);
    tells(1); /* it may have changed before */
}

static void remove_all(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", fx.dir);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    snprintf(fx.dir, sizeof(fx.dir), "/tmp/weir-watch-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    fx.loop = loop_new(0);
    assert_non_null(fx.loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    config_watch_free(fx.watch);
    loop_free(fx.loop);
    remove_all();
    return 0;
}

static void a_file_written_in_place_is_noticed_once(void **state)
{
    (void)state;
    writes("f", "1");
    begins(in_dir("f"));
    writes("f", "2");
    tells(2);
    turns_for(2 * QUIET_US);
    assert_int_equal(fx.changes, 2);
}

static void a_file_renamed_over_it_is_noticed(void **state)
{
    (void)state;
    writes("f", "1");
    begins(in_dir("f"));
    writes("new", "2");
    renames("new", "f");
    tells(2);
    writes("new", "3"); /* and so is the next */
    renames("new", "f");
    tells(3);
}

static void the_same_content_is_no_change(void **state)
{
    (void)state;
    writes("f", "1");
    begins(in_dir("f"));
    writes("new", "1");
    renames("new", "f");
    writes("other", "2");
    turns_for(2 * QUIET_US);
    assert_int_equal(fx.changes, 1);
}

static void what_was_just_read_is_not_told_again(void **state)
{
    (void)state;
    writes("f", "1");
    begins(in_dir("f"));
    writes("f", "2");
    config_watch_seen(fx.watch);
    turns_for(2 * QUIET_US);
    assert_int_equal(fx.changes, 1);
}

/* As the kubelet updates a ConfigMap. */
static void the_data_link_of_a_config_map_is_followed(void **state)
{
    (void)state;
    mkdir(in_dir("..1"), 0700);
    writes("..1/weir.json", "1");
    links("..1", "..data");
    links("..data/weir.json", "weir.json");
    begins(in_dir("weir.json"));
    for (unsigned n = 2; n < 5; n++) {
        char name[16], file[32];
        snprintf(name, sizeof(name), "..%u", n);
        snprintf(file, sizeof(file), "..%u/weir.json", n);
        mkdir(in_dir(name), 0700);
        writes(file, name);
        links(name, "..data_tmp");
        renames("..data_tmp", "..data");
        tells(n);
    }
}

static void a_link_in_another_directory_is_followed(void **state)
{
    char target[128];

    (void)state;
    mkdir(in_dir("etc"), 0700);
    mkdir(in_dir("v1"), 0700);
    mkdir(in_dir("v2"), 0700);
    writes("v1/f", "1");
    writes("v2/f", "2");
    links("v1", "current");
    snprintf(target, sizeof(target), "%s/current/../current/./f", fx.dir);
    links(target, "etc/f");
    begins(in_dir("etc/f"));
    links("v2", "next");
    renames("next", "current");
    tells(2);
    writes("v2/f", "3"); /* the new directory is watched, too */
    tells(3);
}

static void a_file_that_comes_back_is_noticed(void **state)
{
    (void)state;
    mkdir(in_dir("d"), 0700);
    writes("d/f", "1");
    begins(in_dir("d/f"));
    unlink(in_dir("d/f"));
    tells(2);
    rmdir(in_dir("d"));
    turns_for(2 * QUIET_US);
    mkdir(in_dir("d"), 0700);
    turns_for(2 * QUIET_US);
    writes("d/f", "2");
    tells(3);
}

static void links_in_a_circle_end(void **state)
{
    (void)state;
    links("b", "a");
    links("a", "b");
    begins(in_dir("a"));
    unlink(in_dir("a"));
    writes("a", "1");
    tells(2);
}

static void a_relative_path_begins_in_the_working_directory(void **state)
{
    char here[4096];

    (void)state;
    assert_non_null(getcwd(here, sizeof(here)));
    writes("f", "1");
    assert_int_equal(chdir(fx.dir), 0);
    begins("f");
    writes("f", "2");
    tells(2);
    assert_int_equal(chdir(here), 0);
}

static void a_busy_directory_delays_it_by_a_second_at_most(void **state)
{
    (void)state;
    writes("f", "1");
    begins(in_dir("f"));
    writes("f", "2");
    mono_us begun = clock_mono();
    while (fx.changes < 2 && clock_mono() - begun < 5000000) {
        writes("other", "x");
        turns_for(20000);
    }
    assert_int_equal(fx.changes, 2);
    assert_true(clock_mono() - begun >= 500000);
}

static void it_may_be_freed_in_its_callback(void **state)
{
    (void)state;
    writes("f", "1");
    fx.frees = true;
    begins(in_dir("f"));
    writes("f", "2");
    turns_for(2 * QUIET_US);
    assert_int_equal(fx.changes, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_written_in_place_is_noticed_once),
        TEST(a_file_renamed_over_it_is_noticed),
        TEST(the_same_content_is_no_change),
        TEST(what_was_just_read_is_not_told_again),
        TEST(the_data_link_of_a_config_map_is_followed),
        TEST(a_link_in_another_directory_is_followed),
        TEST(a_file_that_comes_back_is_noticed),
        TEST(links_in_a_circle_end),
        TEST(a_relative_path_begins_in_the_working_directory),
        TEST(a_busy_directory_delays_it_by_a_second_at_most),
        TEST(it_may_be_freed_in_its_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
