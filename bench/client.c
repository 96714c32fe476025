/*
 * A closed-loop client that counts exactly: on each connection one request at a time, the next
 * one as soon as the response is complete, until the requested number is reached.
 *
 *   client ADDRESS CONNECTIONS HEAD_FILE      connects them all and prints "connected"
 *   stdin "run N"                             prints "sent" when the last of N requests has been
 *                                             written, and "done ..." when all have their response
 *   stdin "visit N"                           the same, with one request on each connection, N of
 *                                             them at a time
 *   stdin closed                              ends
 *
 * So the caller can read the clocks of a proxy between a warm-up and the measured requests with
 * the connections open and nothing under way. A response that is not a complete 200 counts as an
 * error, and its connection takes no further part.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/net.h"

#define EVENTS_MAX      256
#define CONNECTIONS_MAX 50000
#define REQUESTS_MAX    10000000
#define NO_PROGRESS_MS  60000

struct connection {
    int fd;
    bool waiting; /* for a response */
    uint64_t sent_ns;
    size_t filled;
    char buffer[2048]; /* one response and a NUL */
};

struct client {
    int ep;
    char *head;
    size_t head_length;
    struct connection *connections;
    uint32_t connection_count;
    /* of the run under way: */
    uint32_t to_send;
    uint32_t to_receive;
    bool visiting; /* each connection once: `to_send` are those that have not had their turn */
    uint32_t errors;
    uint32_t received;
    uint32_t *latency_ns;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- one response --------------------------------------------------------------------------- */

/* The length of the response in the buffer; 0 while its head is incomplete, SIZE_MAX when bad. */
static size_t response_length(const struct connection *c)
{
    const char *end = strstr(c->buffer, "\r\n\r\n");

    if (end == NULL)
        return 0;
    const char *field = strcasestr(c->buffer, "\r\ncontent-length:");
    if (strncmp(c->buffer, "HTTP/1.1 200", 12) != 0 || field == NULL || field > end)
        return SIZE_MAX;
    unsigned long body = strtoul(field + 17, NULL, 10);
    size_t head = (size_t)(end + 4 - c->buffer);
    return body < sizeof(c->buffer) ? head + body : SIZE_MAX;
}

static void give_up_on(struct client *cl, struct connection *c)
{
    if (cl->errors == 0)
        fprintf(stderr, "client: first bad answer: %.60s\n", c->filled > 0 ? c->buffer : "(none)");
    cl->errors++;
    cl->to_receive -= c->waiting; /* a close between two requests loses none */
    c->waiting = false;
    close(c->fd);
    c->fd = -1;
}

static void send_one(struct client *cl, struct connection *c)
{
    cl->to_send--;
    c->waiting = true;
    c->filled = 0;
    c->sent_ns = now_ns();
    ssize_t n = send(c->fd, cl->head, cl->head_length, MSG_NOSIGNAL);
    if (n != (ssize_t)cl->head_length)
        give_up_on(cl, c);
    if (cl->to_send == 0)
        printf("sent\n");
}

static void on_response(struct client *cl, struct connection *c)
{
    uint64_t took = now_ns() - c->sent_ns;

    c->waiting = false;
    cl->latency_ns[cl->received++] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
    cl->to_receive--;
    if (cl->to_send > 0)
        send_one(cl, cl->visiting ? &cl->connections[cl->connection_count - cl->to_send] : c);
}

static void on_readable(struct client *cl, struct connection *c)
{
    ssize_t n = recv(c->fd, c->buffer + c->filled, sizeof(c->buffer) - 1 - c->filled, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || !c->waiting) {
        give_up_on(cl, c);
        return;
    }
    c->filled += (size_t)n;
    c->buffer[c->filled] = '\0';
    size_t length = response_length(c);
    bool full = c->filled == sizeof(c->buffer) - 1;
    if (length == c->filled)
        on_response(cl, c);
    else if (length == SIZE_MAX || full || (length != 0 && length < c->filled))
        give_up_on(cl, c);
}

/* ---- one run --------------------------------------------------------------------------------- */

static int compare_latency(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void report(struct client *cl, uint64_t took_ns)
{
    uint32_t n = cl->received;

    qsort(cl->latency_ns, n, sizeof(*cl->latency_ns), compare_latency);
    uint32_t p50 = n > 0 ? cl->latency_ns[n / 2] : 0;
    uint32_t p99 = n > 0 ? cl->latency_ns[(uint32_t)((uint64_t)n * 99 / 100)] : 0;
    printf("done answered=%" PRIu32 " errors=%" PRIu32 " took_ns=%" PRIu64 " p50_ns=%" PRIu32
           " p99_ns=%" PRIu32 "\n",
           n, cl->errors, took_ns, p50, p99);
}

static void turn(struct client *cl)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(cl->ep, events, EVENTS_MAX, NO_PROGRESS_MS);

    if (n == 0) {
        errno = 0;
        die("no answer for a minute");
    }
    if (n < 0 && errno != EINTR)
        die("epoll_wait");
    for (int i = 0; i < n; i++)
        on_readable(cl, events[i].data.ptr);
}

static void run(struct client *cl, uint32_t requests, uint32_t at_once)
{
    uint64_t start = now_ns();

    cl->to_send = cl->to_receive = requests;
    cl->received = cl->errors = 0;
    cl->latency_ns = calloc(requests, sizeof(*cl->latency_ns));
    if (cl->latency_ns == NULL)
        die("calloc");
    for (uint32_t i = 0; i < at_once && cl->to_send > 0; i++) {
        if (cl->connections[i].fd >= 0)
            send_one(cl, &cl->connections[i]);
    }
    /* Connections that gave up leave requests that nobody can send any more. */
    while (cl->to_receive > cl->to_send)
        turn(cl);
    report(cl, now_ns() - start);
    free(cl->latency_ns);
}

/* ---- start ------------------------------------------------------------------------------------
 */

static void read_head(struct client *cl, const char *path)
{
    static char head[16384];
    FILE *file = fopen(path, "rb");

    if (file == NULL)
        die(path);
    cl->head = head;
    cl->head_length = fread(head, 1, sizeof(head), file);
    errno = 0;
    if (cl->head_length < 4 || memcmp(head + cl->head_length - 4, "\r\n\r\n", 4) != 0)
        die("the head file does not end with an empty line");
    fclose(file);
}

static void connect_all(struct client *cl, const char *address)
{
    cl->ep = epoll_create1(EPOLL_CLOEXEC);
    cl->connections = calloc(cl->connection_count, sizeof(*cl->connections));
    if (cl->ep < 0 || cl->connections == NULL)
        die("no memory for the connections");
    for (uint32_t i = 0; i < cl->connection_count; i++) {
        cl->connections[i].fd = net_connect(address);
        net_watch(cl->ep, cl->connections[i].fd, EPOLLIN, &cl->connections[i]);
    }
}

int main(int argc, char **argv)
{
    static struct client cl;
    char line[64];

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 4) {
        fprintf(stderr, "usage: client ADDRESS CONNECTIONS HEAD_FILE\n");
        return 2;
    }
    cl.connection_count = parse_count(argv[2], CONNECTIONS_MAX);
    read_head(&cl, argv[3]);
    connect_all(&cl, argv[1]);
    printf("connected\n");
    while (fgets(line, sizeof(line), stdin) != NULL) {
        errno = 0;
        cl.visiting = strncmp(line, "visit ", 6) == 0;
        if (cl.visiting)
            run(&cl, cl.connection_count, parse_count(line + 6, cl.connection_count));
        else if (strncmp(line, "run ", 4) == 0)
            run(&cl, parse_count(line + 4, REQUESTS_MAX), cl.connection_count);
        else
            die("a command is: run N, or visit N");
    }
    return 0;
}
