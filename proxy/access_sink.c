/* See access_sink.h. */
#include "proxy/access_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/span.h"

#define ENOUGH 32768 /* bytes for which a system call is cheap */

struct access_sink {
    int fd; /* -1: none */
    bool own, regular;
    dev_t device;
    ino_t inode;
    char *at;
    size_t len, done, room; /* `done` bytes of `len` have been written */
    size_t longest;
    bool torn; /* the last byte that was written is not the end of a line */
    uint64_t written, dropped;
};

struct access_sink *access_sink_new(size_t longest)
{
    struct access_sink *s = calloc(1, sizeof(*s));

    CHECK(s != NULL);
    s->fd = -1;
    s->longest = longest;
    s->room = ENOUGH + 2 * longest; /* the rest of a torn line may stay */
    s->at = malloc(s->room);
    CHECK(s->at != NULL);
    return s;
}

static void close_own(struct access_sink *s)
{
    if (s->own)
        close(s->fd);
    s->fd = -1;
}

void access_sink_free(struct access_sink *s)
{
    if (s == NULL)
        return;
    close_own(s);
    free(s->at);
    free(s);
}

int access_sink_fd(const struct access_sink *s)
{
    return s->fd;
}

char *access_sink_room(struct access_sink *s)
{
    return s->room - s->len >= s->longest ? s->at + s->len : NULL;
}

void access_sink_added(struct access_sink *s, size_t n)
{
    CHECK(n > 0 && n <= s->room - s->len);
    s->len += n;
}

bool access_sink_is_full(const struct access_sink *s)
{
    return s->len - s->done >= ENOUGH;
}

uint64_t access_sink_written(const struct access_sink *s)
{
    return s->written;
}

uint64_t access_sink_dropped(const struct access_sink *s)
{
    return s->dropped;
}

/* ---- writing ---- */

static uint64_t count_lines(const char *at, size_t n)
{
    uint64_t lines = 0;

    for (const char *end = at + n; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        lines++;
    return lines;
}

/* How much to write at once: everything, or as many whole lines as a pipe takes without others'
 * bytes between them. */
static size_t piece(const struct access_sink *s)
{
    size_t left = s->len - s->done;

    if (s->regular || left <= PIPE_BUF)
        return left;
    const char *from = s->at + s->done, *end = memrchr(from, '\n', PIPE_BUF);
    return end == NULL ? PIPE_BUF : (size_t)(end - from) + 1;
}

static bool has_room(const struct access_sink *s)
{
    struct pollfd out = {.fd = s->fd, .events = POLLOUT};

    return s->regular || poll(&out, 1, 0) > 0;
}

void access_sink_drop(struct access_sink *s, const char *lines, size_t len)
{
    s->dropped += count_lines(lines, len);
}

static void advance(struct access_sink *s, size_t n)
{
    s->written += count_lines(s->at + s->done, n);
    s->done += n;
    s->torn = s->at[s->done - 1] != '\n';
}

/* Keeps `n` bytes from `from` on. */
static void keep(struct access_sink *s, size_t from, size_t n)
{
    memmove(s->at, s->at + from, n);
    s->done = 0;
    s->len = n;
}

/* Drops all lines but the rest of one that has begun. */
static void drop(struct access_sink *s)
{
    size_t rest = 0;

    if (s->torn) {
        const char *from = s->at + s->done, *end = memchr(from, '\n', s->len - s->done);
        rest = (size_t)(end - from) + 1;
    }
    s->dropped += count_lines(s->at + s->done + rest, s->len - s->done - rest);
    keep(s, s->done, rest);
}

enum access_flush access_sink_flush(struct access_sink *s)
{
    while (s->done < s->len) {
        if (s->fd < 0) {
            errno = EBADF;
            goto failed;
        }
        if (!has_room(s))
            goto blocked;
        ssize_t n = write(s->fd, s->at + s->done, piece(s));
        if (n > 0)
            advance(s, (size_t)n);
        else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            goto blocked;
        else if (n < 0 && errno != EINTR)
            goto failed;
    }
    s->done = s->len = 0;
    return ACCESS_FLUSHED;
blocked:
    keep(s, s->done, s->len - s->done);
    return ACCESS_BLOCKED;
failed:;
    int why = errno;
    drop(s);
    errno = why;
    return ACCESS_FAILED;
}

/* ---- opening ---- */

/* Whether a program that ended abruptly has left a part of a line at the end of the file. */
static bool ends_within_line(const char *path, const struct stat *st)
{
    char last = '\n';

    if (!S_ISREG(st->st_mode) || st->st_size == 0)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false; /* weir may write to it, but not read it */
    bool read_it = pread(fd, &last, 1, st->st_size - 1) == 1;
    close(fd);
    return read_it && last != '\n';
}

/* The rest of a torn line belongs to the file that has its beginning. */
static void leave(struct access_sink *s, const struct stat *st)
{
    bool same = s->fd >= 0 && s->device == st->st_dev && s->inode == st->st_ino;

    if (s->torn && !same) {
        const char *from = s->at + s->done, *end = memchr(from, '\n', s->len - s->done);
        size_t rest = (size_t)(end - from) + 1;
        s->dropped++;
        keep(s, s->done + rest, s->len - s->done - rest);
        s->torn = false;
    }
    close_own(s);
}

static void use(struct access_sink *s, int fd, bool own, const struct stat *st)
{
    leave(s, st);
    s->fd = fd;
    s->own = own;
    s->regular = S_ISREG(st->st_mode);
    s->device = st->st_dev;
    s->inode = st->st_ino;
}

bool access_sink_open(struct access_sink *s, const char *path)
{
    bool is_stdout = strcmp(path, "stdout") == 0;
    struct stat st;

    if (s->fd >= 0)
        (void)access_sink_flush(s);
    /* Without O_NONBLOCK, opening a FIFO would wait for its reader. */
    int fd = is_stdout ? STDOUT_FILENO
                       : open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0640);

    if (fd < 0)
        return false;
    if (fstat(fd, &st) < 0) {
        if (!is_stdout)
            close(fd);
        return false;
    }
    use(s, fd, !is_stdout, &st);
    if (!is_stdout && !s->torn && ends_within_line(path, &st))
        (void)!write(fd, "\n", 1);
    return true;
}
