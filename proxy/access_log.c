/*
 * See access_log.h.
 *
 * The writer rests in one of two ways, which `rest` tells the loops: it NAPs for 20 ms, and is
 * woken only for a ring of which a quarter is full; or it SLEEPs until it is woken, after a second
 * without a line. There is no fence between a loop's commit and its look at `rest`, so that a
 * request costs none: the writer announces that it sleeps, naps once more, and looks at the rings
 * again before it really does. A commit that did not see the announcement was long visible by then.
 */
#include "proxy/access_log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/strbuf.h"
#include "proxy/access_ring.h"
#include "proxy/access_sink.h"
#include "proxy/history.h"

#define RING        (1024 * 1024) /* 50 ms of requests, while others have the processors */
#define NAP_MS      20
#define IDLE_NAPS   50      /* then it sleeps */
#define LAST_US     1000000 /* for what is left when weir ends */
#define COMPLAIN_US 60000000
#define SUMMARY_MAX 2048

enum rest { AWAKE, NAPPING, ASLEEP };

struct access_log_shard {
    struct access_log *log;
    struct access_ring *ring;
};

/* Set by the control thread, for the writer. */
struct wishes {
    pthread_mutex_t lock;
    bool reopen, stop;
    char path[CONFIG_PATH]; /* "": log.access is off */
    struct strbuf lines;    /* summaries */
};

struct access_log {
    _Atomic int rest; /* enum rest */
    int wake;         /* eventfd */
    pthread_t thread;
    struct wishes wishes;
    _Atomic bool wished; /* there may be some */
    _Atomic int profile;
    _Atomic uint64_t written, lost; /* by the writer */
    bool sums_up;                   /* control thread: log.access is "problems" */

    /* the writer's */
    struct access_sink *sink;
    struct access_style style;
    char path[CONFIG_PATH]; /* of the open file, or "" */
    bool blocked, stopping;
    unsigned idle;            /* naps without a line */
    mono_us complained, ends; /* 0: not yet */
    uint64_t complained_of;   /* lines */
    char why[64];             /* lines were dropped since; "": because there were too many */

    unsigned n;
    struct access_log_shard shards[];
};

static void wake(struct access_log *log)
{
    uint64_t one = 1;

    (void)!write(log->wake, &one, sizeof(one)); /* it fails only if it is woken already */
}

/* ---- loops ---- */

struct access_log_shard *access_log_shard_of(struct access_log *log, unsigned i)
{
    CHECK(i < log->n);
    return &log->shards[i];
}

void access_log_note(struct access_log_shard *sh, const struct config *config,
                     const struct record *record, const struct access_request *request)
{
    size_t size = access_entry_size(request);
    void *entry = access_ring_reserve(sh->ring, size);

    if (entry != NULL) {
        access_entry_write(config, record, request, entry);
        access_ring_commit(sh->ring, size);
    }
    atomic_signal_fence(memory_order_seq_cst); /* the look follows the commit */
    int rest = atomic_load_explicit(&sh->log->rest, memory_order_relaxed);
    if (rest == AWAKE || (rest == NAPPING && !access_ring_is_filling(sh->ring)))
        return;
    if (atomic_exchange(&sh->log->rest, AWAKE) != AWAKE)
        wake(sh->log);
}

/* ---- the writer ---- */

static uint64_t dropped(const struct access_log *log)
{
    uint64_t n = atomic_load_explicit(&log->lost, memory_order_relaxed);

    for (unsigned i = 0; i < log->n; i++)
        n += access_ring_dropped(log->shards[i].ring);
    return n;
}

/* At most once a minute. */
static void complain(struct access_log *log)
{
    uint64_t lines = dropped(log);

    if (lines == log->complained_of)
        return;
    mono_us now = clock_mono();
    if (log->complained != 0 && now - log->complained < COMPLAIN_US)
        return;
    log_warning("the access log %s: %s; %llu lines were dropped", log->path,
                log->why[0] != '\0' ? log->why : "there were more lines than could be written",
                (unsigned long long)(lines - log->complained_of));
    log->complained = now;
    log->complained_of = lines;
    log->why[0] = '\0';
}

static void flush(struct access_log *log)
{
    enum access_flush result = access_sink_flush(log->sink);

    if (result == ACCESS_FAILED)
        snprintf(log->why, sizeof(log->why), "%s", strerror(errno));
    else if (result == ACCESS_BLOCKED)
        snprintf(log->why, sizeof(log->why), "its reader does not read");
    log->blocked = result == ACCESS_BLOCKED;
    atomic_store_explicit(&log->written, access_sink_written(log->sink), memory_order_relaxed);
    atomic_store_explicit(&log->lost, access_sink_dropped(log->sink), memory_order_relaxed);
}

static void write_ring(struct access_log *log, struct access_ring *ring)
{
    const struct access_entry *e;

    while ((e = access_ring_peek(ring)) != NULL) {
        char *out = access_sink_room(log->sink);
        if (out == NULL) /* the output is blocked: run_writer() tries again */
            return;
        access_sink_added(log->sink, access_line_write(&log->style, e, out));
        access_ring_pop(ring);
        log->idle = 0;
        if (!log->blocked && access_sink_is_full(log->sink))
            flush(log);
    }
}

static void write_rings(struct access_log *log)
{
    log->blocked = false;
    if (access_sink_fd(log->sink) < 0)
        return;
    log->style.profile = (enum config_access_profile)atomic_load(&log->profile);
    for (unsigned i = 0; i < log->n; i++)
        write_ring(log, log->shards[i].ring);
    if (!log->blocked)
        flush(log);
    complain(log);
}

/* ---- its file ---- */

static void open_file(struct access_log *log, const char *path)
{
    if (path[0] == '\0' || access_sink_open(log->sink, path)) {
        snprintf(log->path, sizeof(log->path), "%s", path);
        return;
    }
    log_error("cannot open the access log %s: %s%s%s", path, strerror(errno),
              log->path[0] != '\0' ? "; lines are still written to " : "", log->path);
}

/* Summaries, which the control thread has formatted, each of one line. */
static void add_lines(struct access_log *log, const struct strbuf *lines)
{
    char *out = lines->len > 0 ? access_sink_room(log->sink) : NULL;

    if (lines->len == 0)
        return;
    if (out == NULL || lines->len > ACCESS_LINE_MAX) {
        access_sink_drop(log->sink, lines->at, lines->len);
        return;
    }
    memcpy(out, lines->at, lines->len);
    access_sink_added(log->sink, lines->len);
}

static void grant_wishes(struct access_log *log)
{
    char path[CONFIG_PATH];
    struct strbuf lines;

    if (!atomic_exchange(&log->wished, false))
        return;
    pthread_mutex_lock(&log->wishes.lock);
    bool reopen = log->wishes.reopen;
    log->wishes.reopen = false;
    log->stopping = log->wishes.stop;
    memcpy(path, log->wishes.path, sizeof(path));
    lines = log->wishes.lines;
    log->wishes.lines = (struct strbuf){0};
    pthread_mutex_unlock(&log->wishes.lock);
    if (reopen || strcmp(path, log->path) != 0)
        open_file(log, path);
    add_lines(log, &lines);
    strbuf_fini(&lines);
}

/* ---- its rest ---- */

static void wait_for(struct access_log *log, int timeout_ms)
{
    uint64_t times;
    struct pollfd fds[] = {{.fd = log->wake, .events = POLLIN},
                           {.fd = access_sink_fd(log->sink), .events = POLLOUT}};

    if (poll(fds, log->blocked ? 2 : 1, timeout_ms) > 0 && fds[0].revents != 0)
        (void)!read(log->wake, &times, sizeof(times));
}

static void rest(struct access_log *log)
{
    bool announced = log->idle > IDLE_NAPS && atomic_load(&log->rest) == ASLEEP;

    if (log->blocked || (log->idle > IDLE_NAPS && !announced))
        log->idle = 0; /* a loop has wanted to wake it, and must be able to do that again */
    if (!announced)
        atomic_store(&log->rest, log->blocked ? AWAKE : log->idle == IDLE_NAPS ? ASLEEP : NAPPING);
    log->idle++;
    wait_for(log, announced && !log->blocked ? -1 : NAP_MS);
}

/* Whether nothing is left to write when weir ends, or no time for it. */
static bool is_over(struct access_log *log)
{
    if (!log->stopping)
        return false;
    mono_us now = clock_mono();
    if (log->ends == 0)
        log->ends = now + LAST_US;
    if (log->blocked && now >= log->ends)
        log_warning("the access log %s: %s; the last lines are lost", log->path, log->why);
    return !log->blocked || now >= log->ends;
}

static void *run_writer(void *arg)
{
    struct access_log *log = arg;

    for (;;) {
        grant_wishes(log);
        write_rings(log);
        if (is_over(log))
            return NULL;
        rest(log);
    }
}

/* ---- the control thread ---- */

static const char *wanted_path(const struct config *config)
{
    return config->log.access == CONFIG_ACCESS_OFF ? "" : config->log.access_file;
}

static void wish(struct access_log *log, const char *path, bool reopen, bool stop)
{
    pthread_mutex_lock(&log->wishes.lock);
    if (path != NULL)
        snprintf(log->wishes.path, sizeof(log->wishes.path), "%s", path);
    log->wishes.reopen = log->wishes.reopen || reopen;
    log->wishes.stop = log->wishes.stop || stop;
    pthread_mutex_unlock(&log->wishes.lock);
    atomic_store(&log->wished, true);
    wake(log);
}

void access_log_configure(struct access_log *log, const struct config *config)
{
    atomic_store(&log->profile, (int)config->log.profile);
    log->sums_up = config->log.access == CONFIG_ACCESS_PROBLEMS;
    wish(log, wanted_path(config), false, false);
}

void access_log_reopen(struct access_log *log)
{
    wish(log, NULL, true, false);
}

void access_log_summary(struct access_log *log, wall_us at, const struct history_summary *s)
{
    struct access_style style = {.profile = (enum config_access_profile)atomic_load(&log->profile)};
    char line[SUMMARY_MAX];
    uint64_t requests = 0;

    for (size_t i = 0; i < SOURCES; i++)
        requests += s->finished[i];
    if (!log->sums_up || requests == 0)
        return;
    size_t n = access_line_summary(&style, at, s, line);
    pthread_mutex_lock(&log->wishes.lock);
    strbuf_add(&log->wishes.lines, line, n);
    pthread_mutex_unlock(&log->wishes.lock);
    wish(log, NULL, false, false);
}

struct access_log_counts access_log_counts(struct access_log *log)
{
    return (struct access_log_counts){atomic_load_explicit(&log->written, memory_order_relaxed),
                                      dropped(log)};
}

/* ---- building and taking down ---- */

/* Google's rule for a project's id has at most 30 characters. */
static const char *google_project(void)
{
    const char *project = getenv("GOOGLE_CLOUD_PROJECT");
    return project == NULL || project[0] == '\0' || strlen(project) > 128 ? NULL : project;
}

static bool start_writer(struct access_log *log)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int why = pthread_create(&log->thread, NULL, run_writer, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = why;
    return why == 0;
}

static void release(struct access_log *log)
{
    if (log->wake >= 0)
        close(log->wake);
    for (unsigned i = 0; i < log->n; i++)
        access_ring_free(log->shards[i].ring);
    access_sink_free(log->sink);
    strbuf_fini(&log->wishes.lines);
    pthread_mutex_destroy(&log->wishes.lock);
    free(log);
}

struct access_log *access_log_new(unsigned shards, const struct config *config, char *problem,
                                  size_t size)
{
    struct access_log *log = calloc(1, sizeof(*log) + shards * sizeof(log->shards[0]));
    const char *path = wanted_path(config);

    CHECK(log != NULL && pthread_mutex_init(&log->wishes.lock, NULL) == 0);
    log->n = shards;
    for (unsigned i = 0; i < shards; i++)
        log->shards[i] = (struct access_log_shard){log, access_ring_new(RING)};
    log->sink = access_sink_new(ACCESS_LINE_MAX);
    log->style.project = google_project();
    atomic_init(&log->profile, (int)config->log.profile);
    log->sums_up = config->log.access == CONFIG_ACCESS_PROBLEMS;
    snprintf(log->path, sizeof(log->path), "%s", path);
    snprintf(log->wishes.path, sizeof(log->wishes.path), "%s", path);
    log->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (path[0] != '\0' && !access_sink_open(log->sink, path))
        snprintf(problem, size, "cannot open the access log %s: %s", path, strerror(errno));
    else if (log->wake < 0 || !start_writer(log))
        snprintf(problem, size, "cannot start the access log: %s", strerror(errno));
    else
        return log;
    release(log);
    return NULL;
}

/* A write that does not return, as to a terminal that was stopped, must not keep weir: then the
 * writer's memory stays as it is until the process ends, which is soon. */
void access_log_free(struct access_log *log)
{
    struct timespec end;

    if (log == NULL)
        return;
    wish(log, NULL, false, true);
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 2 * LAST_US / 1000000;
    if (pthread_timedjoin_np(log->thread, NULL, &end) == 0)
        release(log);
}
