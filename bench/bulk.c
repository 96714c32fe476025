/*
 * Large messages: the app and the client of the bulk loads in one program, since what one sends the
 * other receives. Blocking sockets, a thread a connection, 64 KiB at a time.
 *
 *   bulk serve ADDRESS              prints "ready PORT" and runs until it is ended. The response
 *                                   to GET /N has N bytes, to GET /chunked/N too, in chunks of
 *                                   64 KiB; the body of any other method is read, and the
 *                                   response has none
 *   bulk ask ADDRESS CONNECTIONS    connects them all and prints "connected"
 *   stdin "get|put|get-chunked|put-chunked N BYTES"
 *                                   N messages of BYTES bytes, spread across the connections, each
 *                                   with one under way; prints "done ..." after the last
 *   stdin closed                    ends
 *
 * Every length is checked, and whatever is not as expected ends the program with a message.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "bench/net.h"

#define PIECE           65536
#define HEAD_MAX        8192
#define CONNECTIONS_MAX 256
#define MESSAGES_MAX    10000000
#define BYTES_MAX       (UINT32_C(4) << 28)
#define PATIENCE_S      60

/* One side of a connection, and what it has read and not used. */
struct side {
    int fd;
    size_t at, filled;
    char buffer[PIECE];
};

struct message {
    char line[HEAD_MAX]; /* the start line only, once parsed */
    bool chunked;
    uint64_t length;
};

/* What bodies are made of: a chunk of PIECE bytes, with its framing. */
#define CHUNK_START "10000\r\n"
static char whole_chunk[sizeof(CHUNK_START) - 1 + PIECE + 2];
static const char *const content = whole_chunk + sizeof(CHUNK_START) - 1;

static void make_content(void)
{
    memset(whole_chunk, 'x', sizeof(whole_chunk));
    memcpy(whole_chunk, CHUNK_START, sizeof(CHUNK_START) - 1);
    memcpy(whole_chunk + sizeof(whole_chunk) - 2, "\r\n", 2);
}

static void block(int fd)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};

    if (fcntl(fd, F_SETFL, 0) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
        die("cannot make a socket block");
}

/* ---- sending ------------------------------------------------------------------------------- */

static void send_all(int fd, const char *at, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, at, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("send");
        at += n;
        length -= (size_t)n;
    }
}

static void send_chunk(int fd, size_t length)
{
    char line[32];

    if (length == PIECE) {
        send_all(fd, whole_chunk, sizeof(whole_chunk));
        return;
    }
    int size = snprintf(line, sizeof(line), "%zx\r\n", length);
    send_all(fd, line, (size_t)size);
    send_all(fd, content, length);
    send_all(fd, "\r\n", 2);
}

static void send_body(int fd, uint64_t length, bool chunked)
{
    while (length > 0) {
        size_t n = length < PIECE ? (size_t)length : PIECE;
        if (chunked)
            send_chunk(fd, n);
        else
            send_all(fd, content, n);
        length -= n;
    }
    if (chunked)
        send_all(fd, "0\r\n\r\n", 5);
}

static void send_head(int fd, const char *start, uint64_t length, bool chunked)
{
    char head[512];
    int n;

    if (chunked)
        n = snprintf(head, sizeof(head), "%sTransfer-Encoding: chunked\r\n\r\n", start);
    else
        n = snprintf(head, sizeof(head), "%sContent-Length: %" PRIu64 "\r\n\r\n", start, length);
    send_all(fd, head, (size_t)n);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* More bytes after what there is; false when the peer has closed, in whatever way. */
static bool fill(struct side *s)
{
    ssize_t n;

    if (s->at > 0) {
        memmove(s->buffer, s->buffer + s->at, s->filled - s->at);
        s->filled -= s->at;
        s->at = 0;
    }
    do {
        n = recv(s->fd, s->buffer + s->filled, sizeof(s->buffer) - s->filled, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != ECONNRESET)
        die("recv");
    s->filled += n > 0 ? (size_t)n : 0;
    return n > 0;
}

static void need_more(struct side *s)
{
    errno = 0;
    if (s->filled - s->at > HEAD_MAX)
        die("a line or a head is too long");
    if (!fill(s))
        die("the peer closed within a message");
}

/* Takes everything up to and with `end`; its length. The bytes stay at `*at`. */
static size_t take_until(struct side *s, const char *end, const char **at)
{
    const char *found;

    while ((found = memmem(s->buffer + s->at, s->filled - s->at, end, strlen(end))) == NULL)
        need_more(s);
    *at = s->buffer + s->at;
    size_t length = (size_t)(found - *at) + strlen(end);
    s->at += length;
    return length;
}

static void skip(struct side *s, uint64_t length)
{
    for (;;) {
        size_t here = s->filled - s->at;
        size_t n = length < here ? (size_t)length : here;
        s->at += n;
        length -= n;
        if (length == 0)
            return;
        need_more(s);
    }
}

/* The next head; false when the peer has closed instead. */
static bool take_head(struct side *s, struct message *m)
{
    const char *at;

    if (s->at == s->filled && !fill(s))
        return false;
    size_t length = take_until(s, "\r\n\r\n", &at);
    if (length >= sizeof(m->line))
        die("a head is too long");
    memcpy(m->line, at, length);
    m->line[length] = '\0';
    const char *field = strcasestr(m->line, "\r\ncontent-length:");
    m->length = field != NULL ? strtoull(field + 17, NULL, 10) : 0;
    m->chunked = strcasestr(m->line, "\r\ntransfer-encoding: chunked\r\n") != NULL;
    *strstr(m->line, "\r\n") = '\0';
    return true;
}

static uint64_t take_chunks(struct side *s)
{
    uint64_t total = 0, size;
    const char *line;

    do {
        take_until(s, "\r\n", &line);
        size = strtoull(line, NULL, 16);
        skip(s, size + 2);
        total += size;
    } while (size > 0);
    return total;
}

/* Its length. */
static uint64_t take_body(struct side *s, const struct message *m)
{
    if (m->chunked)
        return take_chunks(s);
    skip(s, m->length);
    return m->length;
}

/* ---- the app ------------------------------------------------------------------------------- */

static void respond(struct side *s)
{
    struct message m;

    while (take_head(s, &m)) {
        bool chunked = strncmp(m.line, "GET /chunked/", 13) == 0;
        uint64_t length = 0;
        take_body(s, &m);
        if (strncmp(m.line, "GET /", 5) == 0)
            length = strtoull(m.line + (chunked ? 13 : 5), NULL, 10);
        send_head(s->fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n", length, chunked);
        if (chunked || length > 0)
            send_body(s->fd, length, chunked);
    }
}

static void *serve_connection(void *arg)
{
    struct side *s = arg;

    respond(s);
    close(s->fd);
    free(s);
    return NULL;
}

static struct side *side_new(int fd)
{
    struct side *s = calloc(1, sizeof(*s));

    if (s == NULL)
        die("calloc");
    s->fd = fd;
    block(fd);
    return s;
}

static NORETURN void serve(const char *address)
{
    int listener = net_listen(address);
    struct pollfd ready = {.fd = listener, .events = POLLIN};

    printf("ready %" PRIu16 "\n", net_port(listener));
    for (;;) {
        pthread_t thread;
        int fd;
        if (poll(&ready, 1, -1) < 0 && errno != EINTR)
            die("poll");
        while ((fd = net_accept(listener)) >= 0) {
            if (pthread_create(&thread, NULL, serve_connection, side_new(fd)) != 0)
                die("pthread_create");
            pthread_detach(thread);
        }
    }
}

/* ---- the client -------------------------------------------------------------------------------
 */

struct run {
    bool put, chunked;
    uint64_t length;
    _Atomic int64_t left; /* messages that nobody has begun yet */
};

struct asker {
    struct side *side;
    struct run *run;
    pthread_t thread;
};

static void ask_once(struct side *s, const struct run *run)
{
    struct message m;
    char start[256];

    if (run->put) {
        send_head(s->fd, "PUT /upload HTTP/1.1\r\nHost: app.example\r\n", run->length,
                  run->chunked);
        send_body(s->fd, run->length, run->chunked);
    } else {
        int n = snprintf(start, sizeof(start),
                         "GET /%s%" PRIu64 " HTTP/1.1\r\nHost: app.example\r\n\r\n",
                         run->chunked ? "chunked/" : "", run->length);
        send_all(s->fd, start, (size_t)n);
    }
    errno = 0;
    if (!take_head(s, &m))
        die("the connection was closed instead of an answer");
    if (strncmp(m.line, "HTTP/1.1 200", 12) != 0)
        die(m.line);
    if (take_body(s, &m) != (run->put ? 0 : run->length) || s->at != s->filled)
        die("an answer of a wrong length");
}

static void *ask_many(void *arg)
{
    struct asker *a = arg;

    while (atomic_fetch_sub(&a->run->left, 1) > 0)
        ask_once(a->side, a->run);
    return NULL;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void run(struct asker *askers, uint32_t count, struct run *r)
{
    uint64_t start = now_ns();

    for (uint32_t i = 0; i < count; i++) {
        askers[i].run = r;
        if (pthread_create(&askers[i].thread, NULL, ask_many, &askers[i]) != 0)
            die("pthread_create");
    }
    for (uint32_t i = 0; i < count; i++)
        pthread_join(askers[i].thread, NULL);
    printf("done took_ns=%" PRIu64 "\n", now_ns() - start);
}

static void ask(const char *address, uint32_t count)
{
    static struct asker askers[CONNECTIONS_MAX];
    char line[64];

    for (uint32_t i = 0; i < count; i++)
        askers[i].side = side_new(net_connect(address));
    printf("connected\n");
    while (fgets(line, sizeof(line), stdin) != NULL) {
        errno = 0;
        char *rest = line;
        const char *verb = strsep(&rest, " ");
        const char *messages = strsep(&rest, " ");
        const char *length = strsep(&rest, "\n");
        if (length == NULL)
            die("a command is: get|put|get-chunked|put-chunked N BYTES");
        struct run r = {.put = strncmp(verb, "put", 3) == 0,
                        .chunked = strstr(verb, "-chunked") != NULL,
                        .length = parse_count(length, BYTES_MAX)};
        atomic_init(&r.left, parse_count(messages, MESSAGES_MAX));
        run(askers, count, &r);
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    make_content();
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        serve(argv[2]);
    if (argc == 4 && strcmp(argv[1], "ask") == 0) {
        ask(argv[2], parse_count(argv[3], CONNECTIONS_MAX));
        return 0;
    }
    fprintf(stderr, "usage: bulk serve ADDRESS | bulk ask ADDRESS CONNECTIONS\n");
    return 2;
}
