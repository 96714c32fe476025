/*
 * See config_watch.h.
 *
 * After a change, the path is walked anew with a fresh inotify descriptor before the content is
 * compared: so no watch is left on a directory that is no longer on the path, and a change that
 * follows the comparison is reported.
 */
#include "proxy/config_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/check.h"
#include "common/log.h"

#define QUIET_US    100000
#define LATEST_US   1000000       /* in a directory where something always happens */
#define LINKS_MAX   40            /* as in the kernel */
#define CONTENT_MAX (1024 * 1024) /* a longer file is refused */

#define DIRECTORY_EVENTS                                                                           \
    (IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE |            \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define FILE_EVENTS (IN_MODIFY | IN_CLOSE_WRITE)

struct config_watch {
    struct loop *loop;
    char *path;
    void (*on_change)(void *arg);
    void *arg;
    int fd; /* of inotify; -1: none */
    struct event *event;
    struct loop_timer quiet;
    struct loop_deferred deferred;
    mono_us latest; /* 0: nothing has happened */
    uint64_t content;
    bool seen; /* `content` is valid */
};

/* ---- the path ------------------------------------------------------------------------------- */

/* The path walked so far, without links, and what follows. */
struct walk {
    char at[PATH_MAX], rest[PATH_MAX];
    unsigned links;
};

static const char *directory_of(const struct walk *wk)
{
    return wk->at[0] == '\0' ? "/" : wk->at;
}

/* Moves the first name of the rest into `name`. False: there is none, or it is too long. */
static bool next_name(struct walk *wk, char name[NAME_MAX + 1])
{
    const char *from = wk->rest + strspn(wk->rest, "/");
    size_t len = strcspn(from, "/");

    if (len == 0 || len > NAME_MAX)
        return false;
    memcpy(name, from, len);
    name[len] = '\0';
    memmove(wk->rest, from + len, strlen(from + len) + 1);
    return true;
}

static void go_up(struct walk *wk)
{
    char *slash = strrchr(wk->at, '/');

    if (slash != NULL)
        *slash = '\0';
}

static bool append(char to[PATH_MAX], const char *slash, const char *name)
{
    size_t len = strlen(to);
    int n = snprintf(to + len, PATH_MAX - len, "%s%s", slash, name);

    return n >= 0 && (size_t)n < PATH_MAX - len;
}

/* `at` is a link: its target takes its place before the rest. */
static bool follow(struct walk *wk)
{
    char target[PATH_MAX];
    ssize_t n = readlink(wk->at, target, sizeof(target) - 1);

    if (n <= 0 || ++wk->links > LINKS_MAX)
        return false;
    target[n] = '\0';
    go_up(wk);
    if (target[0] == '/')
        wk->at[0] = '\0';
    if (!append(target, "/", wk->rest))
        return false;
    memcpy(wk->rest, target, strlen(target) + 1);
    return true;
}

static void watch(int fd, const char *path, uint32_t events)
{
    (void)inotify_add_watch(fd, path, events); /* it may be gone again: an event says so */
}

/* Takes one name off the rest. False: the end of the path, or it leads nowhere. */
static bool step(struct walk *wk, int fd)
{
    char name[NAME_MAX + 1];
    struct stat st;
    size_t before = strlen(wk->at);

    if (!next_name(wk, name))
        return false;
    if (strcmp(name, ".") == 0)
        return true;
    if (strcmp(name, "..") == 0) {
        go_up(wk);
        return true;
    }
    if (!append(wk->at, "/", name))
        return false;
    bool found = lstat(wk->at, &st) == 0;
    if (found && S_ISDIR(st.st_mode))
        return true;
    wk->at[before] = '\0';
    watch(fd, directory_of(wk), DIRECTORY_EVENTS);
    wk->at[before] = '/';
    if (found && S_ISLNK(st.st_mode))
        return follow(wk);
    if (found)
        watch(fd, wk->at, FILE_EVENTS);
    return false;
}

/* Watches all directories in which an entry decides what the path leads to. */
static void watch_path(const struct config_watch *w)
{
    struct walk wk = {.links = 0};

    if (w->path[0] != '/' && getcwd(wk.at, sizeof(wk.at)) == NULL)
        return;
    if (strcmp(wk.at, "/") == 0)
        wk.at[0] = '\0';
    if (!append(wk.rest, "", w->path))
        return;
    while (step(&wk, w->fd))
        continue;
}

/* ---- the content ---------------------------------------------------------------------------- */

/* FNV-1a: of what is read, and of whether it can be. */
static uint64_t content_of(const char *path)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    unsigned char chunk[16384];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n;

    if (fd < 0)
        return 0;
    for (size_t all = 0; all <= CONTENT_MAX && (n = read(fd, chunk, sizeof(chunk))) > 0;
         all += (size_t)n) {
        for (ssize_t i = 0; i < n; i++)
            hash = (hash ^ chunk[i]) * UINT64_C(1099511628211);
    }
    close(fd);
    return hash;
}

void config_watch_seen(struct config_watch *w)
{
    w->content = content_of(w->path);
    w->seen = true;
}

/* ---- events --------------------------------------------------------------------------------- */

static void something_happened(struct config_watch *w)
{
    mono_us now = loop_tick(w->loop), due = now + QUIET_US;

    if (w->latest == 0)
        w->latest = now + LATEST_US;
    loop_timer_arm(w->loop, &w->quiet, due < w->latest ? due : w->latest);
}

static void on_inotify(evutil_socket_t fd, short what, void *arg)
{
    char events[4096];

    (void)what;
    while (read(fd, events, sizeof(events)) > 0)
        continue;
    something_happened(arg);
}

static void stop(struct config_watch *w)
{
    if (w->event != NULL)
        event_free(w->event);
    w->event = NULL;
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

static bool start(struct config_watch *w)
{
    stop(w);
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd < 0)
        return false;
    w->event = event_new(loop_base(w->loop), w->fd, EV_READ | EV_PERSIST, on_inotify, w);
    CHECK(w->event != NULL && event_add(w->event, NULL) == 0);
    watch_path(w);
    return true;
}

static void on_quiet(void *arg)
{
    struct config_watch *w = arg;
    uint64_t before = w->content;
    bool seen = w->seen;

    w->latest = 0;
    if (!start(w)) {
        log_warning("cannot watch %s: %s; weir will try again", w->path, strerror(errno));
        something_happened(w);
    }
    config_watch_seen(w);
    if (!seen || w->content != before)
        w->on_change(w->arg);
}

/* ---- creation and destruction --------------------------------------------------------------- */

struct config_watch *config_watch_new(struct loop *lp, const char *path,
                                      void (*on_change)(void *arg), void *arg)
{
    struct config_watch *w = calloc(1, sizeof(*w));

    CHECK(w != NULL);
    w->loop = lp;
    w->path = strdup(path);
    CHECK(w->path != NULL);
    w->on_change = on_change;
    w->arg = arg;
    w->fd = -1;
    loop_timer_init(&w->quiet, on_quiet, w);
    if (!start(w)) {
        int why = errno;
        config_watch_free(w);
        errno = why;
        return NULL;
    }
    something_happened(w);
    return w;
}

static void release(struct loop_deferred *d, struct loop *lp)
{
    struct config_watch *w = CONTAINER_OF(d, struct config_watch, deferred);

    (void)lp;
    free(w->path);
    free(w);
}

void config_watch_free(struct config_watch *w)
{
    if (w == NULL)
        return;
    stop(w);
    loop_timer_fini(&w->quiet);
    w->deferred.release = release;
    loop_defer_free(w->loop, &w->deferred);
}
