#include "common/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/strbuf.h"

#define LONGEST_MESSAGE 4096 /* longer lines are cut: they may be full of a peer's bytes */

static _Atomic int level_wanted = LOG_LEVEL_INFO;
static _Atomic int format_wanted = LOG_FORMAT_AUTO;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_configure(enum log_level level, enum log_format format)
{
    atomic_store_explicit(&level_wanted, (int)level, memory_order_relaxed);
    atomic_store_explicit(&format_wanted, (int)format, memory_order_relaxed);
}

bool log_wants(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&level_wanted, memory_order_relaxed);
}

static bool wants_json(void)
{
    int format = atomic_load_explicit(&format_wanted, memory_order_relaxed);
    return format == LOG_FORMAT_JSON || (format == LOG_FORMAT_AUTO && !isatty(STDERR_FILENO));
}

static void add_time(struct strbuf *line)
{
    wall_us now = clock_wall();
    time_t seconds = (time_t)(now / 1000000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strbuf_addf(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(now % 1000000 / 1000));
}

/* A message may quote a peer's bytes: none of them may end the line or control the terminal. */
static void add_printable(struct strbuf *line, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if (c < 0x20 || c == 0x7F)
            strbuf_addf(line, "\\x%02x", c);
        else
            strbuf_add(line, &c, 1);
    }
}

static void add_text(struct strbuf *line, enum log_level level, struct span message)
{
    add_time(line);
    strbuf_addf(line, " %s: ", level_names[level]);
    add_printable(line, message);
    strbuf_adds(line, "\n");
}

static void add_json(struct strbuf *line, enum log_level level, struct span message)
{
    strbuf_adds(line, "{\"time\":\"");
    add_time(line);
    strbuf_addf(line, "\",\"level\":\"%s\",\"message\":", level_names[level]);
    strbuf_add_json(line, message);
    strbuf_adds(line, "}\n");
}

/* Whether a write of PIPE_BUF bytes will not block, as POSIX guarantees for a pipe that is
 * ready. */
static bool has_room(void)
{
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) != 0;
}

/*
 * A reader that reads nothing (a full pipe, a stopped terminal) must not block a loop: the line,
 * or the rest of a long one, is lost. One thread at a time, since two would both use the room that
 * each of them saw. The descriptor stays in blocking mode, because its other owners share that
 * flag.
 */
static void write_line(const struct strbuf *line)
{
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    size_t done = 0;

    pthread_mutex_lock(&one);
    while (done < line->len && has_room()) {
        size_t piece = line->len - done < PIPE_BUF ? line->len - done : PIPE_BUF;
        ssize_t n = write(STDERR_FILENO, line->at + done, piece);
        if (n < 0 && errno != EINTR)
            break;
        done += n < 0 ? 0 : (size_t)n;
    }
    pthread_mutex_unlock(&one);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    if (!log_wants(level))
        return;
    int why = errno; /* the caller may still need errno */
    char text[LONGEST_MESSAGE];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    CHECK(n >= 0);

    struct strbuf line = {0};
    if (wants_json())
        add_json(&line, level, span_of(text));
    else
        add_text(&line, level, span_of(text));
    write_line(&line);
    strbuf_fini(&line);
    errno = why;
}
