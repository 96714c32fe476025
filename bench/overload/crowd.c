/*
 * The app and its clients, in one process and so on one clock.
 *
 *   crowd SLOTS SCHEDULE RESULTS SECONDS
 *                   listens on 127.0.0.1 as the app and prints "ready PORT"
 *   stdin "go PORT" plays the schedule against the proxy on that port and prints "begun NS" (of
 *                   CLOCK_MONOTONIC); after so many seconds, writes the results, prints "done" and
 *                   ends
 *   stdin closed    ends
 *
 * Open loop: each request has a moment of its own, whatever became of those before, and a
 * connection of its own. A line of the schedule is
 *
 *   AT HOLD PATIENCE FLAGS          in microseconds; PATIENCE 0: the client waits to the end.
 *                                   FLAGS: "c" the client closes its connection when it has
 *                                   waited so long, "d" it declares that deadline, "-" neither
 *
 * and its line in the results, with -1 for what did not happen,
 *
 *   LATE STATUS REASON RESPONDED REACHED BEGUN ENDED
 *
 * LATE is how much later than AT the client connected; the others count from the begin of the
 * schedule, as AT does. The app has SLOTS handlers, each of which sleeps for HOLD whether or not
 * anybody still waits for it, as a pool of threads does; requests beyond them wait inside the app,
 * in order of arrival.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "bench/net.h"

#define EVENTS_MAX   256
#define US           1000u     /* nanoseconds */
#define LEAD_NS      50000000u /* from "go" to the begin */
#define ADDRESSES    16        /* 127.0.0.1 to 127.0.0.16: more ports for the clients */
#define SECONDS_MAX  3600
#define SLOTS_MAX    1000000
#define ARRIVALS_MAX 10000000
#define NEVER        (-1)

struct source {
    enum { SOURCE_LISTENER, SOURCE_ALARM, SOURCE_COMMANDS, SOURCE_CLIENT, SOURCE_APP } kind;
    int fd;
};

/* One request: what the schedule says of it, and what became of it. Times are nanoseconds. */
struct visit {
    STAILQ_ENTRY(visit) link; /* while it waits inside the app */
    uint64_t at;
    uint64_t hold;
    uint64_t patience;
    bool closes;
    bool declares;
    struct client *client; /* its open connection */
    struct server *server; /* the app's connection that its response goes to */
    int64_t late;
    int64_t responded;
    int64_t reached; /* the app has read the request */
    int64_t begun;   /* a handler has begun it */
    int64_t ended;
    int status;
    char reason[24];
};

struct client {
    struct source source; /* first: an event's pointer is one to this */
    struct visit *visit;
    bool sent;
    size_t filled;
    char buffer[2048]; /* the response and a NUL */
};

struct server {
    struct source source;
    struct visit *visit; /* whose response is due */
    size_t filled;
    char buffer[4096]; /* the request and a NUL */
};

struct timer {
    uint64_t when;
    struct visit *visit;
    enum { TIMER_PATIENCE, TIMER_HANDLER } kind;
};

struct crowd {
    int ep;
    struct source listener;
    struct source alarm;
    struct source commands;
    uint32_t slots;
    uint32_t running;
    STAILQ_HEAD(visits, visit) waiting;
    bool playing;
    bool over;
    uint16_t port; /* of the proxy */
    uint32_t seconds;
    uint64_t begin;
    uint64_t end;
    struct visit *visits;
    size_t count;
    size_t next;          /* to arrive */
    struct timer *timers; /* a heap, the earliest first */
    size_t timer_count;
    const char *results;
};

static uint64_t now_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Nanoseconds since the begin of the schedule. */
static int64_t elapsed(const struct crowd *cr)
{
    return (int64_t)(now_ns(CLOCK_MONOTONIC) - cr->begin);
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void swap_timers(struct timer *a, struct timer *b)
{
    struct timer t = *a;

    *a = *b;
    *b = t;
}

static void add_timer(struct crowd *cr, struct timer timer)
{
    size_t i = cr->timer_count++;

    cr->timers[i] = timer;
    for (; i > 0 && cr->timers[i].when < cr->timers[(i - 1) / 2].when; i = (i - 1) / 2)
        swap_timers(&cr->timers[i], &cr->timers[(i - 1) / 2]);
}

static struct timer take_timer(struct crowd *cr)
{
    struct timer first = cr->timers[0];
    size_t i = 0;

    cr->timers[0] = cr->timers[--cr->timer_count];
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < cr->timer_count; child++) {
            if (cr->timers[child].when < cr->timers[least].when)
                least = child;
        }
        if (least == i)
            return first;
        swap_timers(&cr->timers[i], &cr->timers[least]);
        i = least;
    }
}

/* The next moment at which something is to be done, as nanoseconds of the clock. */
static uint64_t next_moment(const struct crowd *cr)
{
    uint64_t next = cr->end;

    if (cr->next < cr->count && cr->begin + cr->visits[cr->next].at < next)
        next = cr->begin + cr->visits[cr->next].at;
    if (cr->timer_count > 0 && cr->timers[0].when < next)
        next = cr->timers[0].when;
    return next;
}

static void set_alarm(struct crowd *cr)
{
    uint64_t when = cr->playing ? next_moment(cr) : 0; /* 0: none */
    struct itimerspec spec = {.it_value.tv_sec = (time_t)(when / 1000000000u),
                              .it_value.tv_nsec = (long)(when % 1000000000u)};

    if (timerfd_settime(cr->alarm.fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0)
        die("timerfd_settime");
}

/* ---- clients --------------------------------------------------------------------------------- */

static void close_client(struct client *cl)
{
    cl->visit->client = NULL;
    close(cl->source.fd);
    free(cl);
}

static void send_request(struct crowd *cr, struct client *cl)
{
    const struct visit *v = cl->visit;
    char head[256];
    char deadline[64] = "";

    if (v->declares) {
        int64_t left = (int64_t)(v->at + v->patience) - elapsed(cr);
        int64_t when = (int64_t)now_ns(CLOCK_REALTIME) + left;
        (void)snprintf(deadline, sizeof(deadline), "X-Request-Deadline: %" PRId64 "\r\n",
                       when / 1000000);
    }
    int length = snprintf(head, sizeof(head),
                          "GET /work/%zu HTTP/1.1\r\nHost: app\r\n%sConnection: close\r\n\r\n",
                          (size_t)(v - cr->visits), deadline);
    ssize_t n = send(cl->source.fd, head, (size_t)length, MSG_NOSIGNAL);
    cl->sent = n == length;
    if (n < 0 && errno != EAGAIN && errno != ENOTCONN)
        close_client(cl);
}

static void copy_reason(struct visit *v, const char *head)
{
    const char *field = strcasestr(head, "\r\nweir-reason: ");
    size_t length = 0;

    if (field == NULL)
        return;
    field += strlen("\r\nweir-reason: ");
    while (length + 1 < sizeof(v->reason) && field[length] > ' ') {
        v->reason[length] = field[length];
        length++;
    }
    v->reason[length] = '\0';
}

static bool is_complete(const struct client *cl)
{
    const char *end = strstr(cl->buffer, "\r\n\r\n");
    const char *field = strcasestr(cl->buffer, "\r\ncontent-length:");

    if (end == NULL || field == NULL || field > end)
        return false; /* to its close, then */
    size_t body = cl->filled - (size_t)(end + 4 - cl->buffer);
    return body >= strtoul(field + strlen("\r\ncontent-length:"), NULL, 10);
}

static void finish_client(struct crowd *cr, struct client *cl)
{
    struct visit *v = cl->visit;

    if (strncmp(cl->buffer, "HTTP/1.", 7) == 0 && cl->filled > 12) {
        v->responded = elapsed(cr);
        v->status = (int)strtol(cl->buffer + 9, NULL, 10);
        copy_reason(v, cl->buffer);
    }
    close_client(cl);
}

/* Edge-triggered: reads until nothing is left. */
static void on_client(struct crowd *cr, struct client *cl)
{
    if (!cl->sent) {
        send_request(cr, cl);
        return; /* whatever comes is an event of its own */
    }
    for (;;) {
        size_t room = sizeof(cl->buffer) - 1 - cl->filled;
        ssize_t n = recv(cl->source.fd, cl->buffer + cl->filled, room, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0)
            cl->filled += (size_t)n;
        cl->buffer[cl->filled] = '\0';
        if (n <= 0 || is_complete(cl)) {
            finish_client(cr, cl);
            return;
        }
    }
}

static void bind_source(int fd, size_t number)
{
    const int on = 1;
    struct sockaddr_in in = {.sin_family = AF_INET};

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(number % ADDRESSES));
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
        die("a client's address");
}

static void arrive(struct crowd *cr, struct visit *v)
{
    const int on = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(cr->port)};
    struct client *cl = calloc(1, sizeof(*cl));

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (cl == NULL)
        die("calloc");
    cl->source.kind = SOURCE_CLIENT;
    cl->source.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (cl->source.fd < 0)
        die("socket");
    cl->visit = v;
    v->client = cl;
    v->late = elapsed(cr) - (int64_t)v->at;
    bind_source(cl->source.fd, (size_t)(v - cr->visits));
    (void)setsockopt(cl->source.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (v->closes)
        add_timer(cr, (struct timer){cr->begin + v->at + v->patience, v, TIMER_PATIENCE});
    net_watch(cr->ep, cl->source.fd, EPOLLIN | EPOLLOUT | EPOLLET, cl);
    if (connect(cl->source.fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        send_request(cr, cl);
    else if (errno != EINPROGRESS)
        close_client(cl);
}

/* ---- the app --------------------------------------------------------------------------------- */

static void begin_handlers(struct crowd *cr)
{
    while (cr->running < cr->slots && !STAILQ_EMPTY(&cr->waiting)) {
        struct visit *v = STAILQ_FIRST(&cr->waiting);
        STAILQ_REMOVE_HEAD(&cr->waiting, link);
        cr->running++;
        v->begun = elapsed(cr);
        add_timer(cr, (struct timer){cr->begin + (uint64_t)v->begun + v->hold, v, TIMER_HANDLER});
    }
}

static void end_handler(struct crowd *cr, struct visit *v)
{
    static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    cr->running--;
    v->ended = elapsed(cr);
    if (v->server != NULL) {
        /* A peer that has left is noticed by the next read. */
        (void)send(v->server->source.fd, response, sizeof(response) - 1, MSG_NOSIGNAL);
        v->server->visit = NULL;
        v->server = NULL;
    }
    begin_handlers(cr);
}

static void close_server(struct server *s)
{
    if (s->visit != NULL)
        s->visit->server = NULL; /* its handler runs on */
    close(s->source.fd);
    free(s);
}

static void take_request(struct crowd *cr, struct server *s)
{
    errno = 0;
    if (strncmp(s->buffer, "GET /work/", 10) != 0 || s->visit != NULL || !cr->playing)
        die("not a request of the schedule, or one that does not wait for the response before");
    unsigned long number = strtoul(s->buffer + 10, NULL, 10);
    if (number >= cr->count)
        die("not a number of the schedule");
    s->visit = &cr->visits[number];
    s->visit->server = s;
    s->filled = 0;
    if (s->visit->reached >= 0)
        die("a request reached the app twice");
    s->visit->reached = elapsed(cr);
    STAILQ_INSERT_TAIL(&cr->waiting, s->visit, link);
    begin_handlers(cr);
}

static void on_server(struct crowd *cr, struct server *s)
{
    ssize_t n = recv(s->source.fd, s->buffer + s->filled, sizeof(s->buffer) - 1 - s->filled, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close_server(s);
        return;
    }
    s->filled += (size_t)n;
    s->buffer[s->filled] = '\0';
    if (strstr(s->buffer, "\r\n\r\n") != NULL)
        take_request(cr, s);
}

static void on_listener(struct crowd *cr)
{
    int fd;

    while ((fd = net_accept(cr->listener.fd)) >= 0) {
        struct server *s = calloc(1, sizeof(*s));
        if (s == NULL)
            die("calloc");
        s->source.kind = SOURCE_APP;
        s->source.fd = fd;
        net_watch(cr->ep, fd, EPOLLIN, s);
    }
}

/* ---- the schedule ---------------------------------------------------------------------------- */

static void read_visit(struct visit *v, char *line)
{
    char *end;

    *v = (struct visit){.responded = NEVER, .reached = NEVER, .begun = NEVER, .ended = NEVER};
    v->at = strtoull(line, &end, 10) * US;
    v->hold = strtoull(end, &end, 10) * US;
    v->patience = strtoull(end, &end, 10) * US;
    v->closes = strchr(end, 'c') != NULL;
    v->declares = strchr(end, 'd') != NULL;
    v->reason[0] = '-';
    v->late = NEVER;
}

static void read_schedule(struct crowd *cr, const char *path)
{
    FILE *file = fopen(path, "r");
    size_t room = 0;
    char line[128];

    if (file == NULL)
        die(path);
    while (fgets(line, sizeof(line), file) != NULL && cr->count < ARRIVALS_MAX) {
        if (cr->count == room) {
            room = room > 0 ? 2 * room : 4096;
            cr->visits = reallocarray(cr->visits, room, sizeof(*cr->visits));
            if (cr->visits == NULL)
                die("no memory for the schedule");
        }
        read_visit(&cr->visits[cr->count++], line);
    }
    fclose(file);
    cr->timers = calloc(2 * cr->count + 1, sizeof(*cr->timers));
    if (cr->count == 0 || cr->timers == NULL)
        die("no schedule");
}

static int64_t to_us(int64_t ns)
{
    return ns < 0 ? NEVER : ns / US;
}

static void write_results(const struct crowd *cr)
{
    FILE *file = fopen(cr->results, "w");

    if (file == NULL)
        die(cr->results);
    for (const struct visit *v = cr->visits; v < cr->visits + cr->count; v++) {
        fprintf(file, "%" PRId64 " %d %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n",
                to_us(v->late), v->status, v->reason, to_us(v->responded), to_us(v->reached),
                to_us(v->begun), to_us(v->ended));
    }
    if (fclose(file) != 0)
        die(cr->results);
}

/* Leaves the clients and handlers that are still there to the end of the process. */
static void end_schedule(struct crowd *cr)
{
    write_results(cr);
    printf("done\n");
    cr->over = true;
}

/* Everything whose moment has come. */
static void on_alarm(struct crowd *cr)
{
    uint64_t expirations;
    uint64_t now = now_ns(CLOCK_MONOTONIC);

    (void)!read(cr->alarm.fd, &expirations, sizeof(expirations));
    while (cr->timer_count > 0 && cr->timers[0].when <= now) {
        struct timer t = take_timer(cr);
        if (t.kind == TIMER_HANDLER)
            end_handler(cr, t.visit);
        else if (t.visit->client != NULL)
            close_client(t.visit->client);
    }
    while (cr->next < cr->count && cr->begin + cr->visits[cr->next].at <= now)
        arrive(cr, &cr->visits[cr->next++]);
    if (now >= cr->end)
        end_schedule(cr);
}

static void on_commands(struct crowd *cr)
{
    char line[64];

    if (fgets(line, sizeof(line), stdin) == NULL)
        exit(0);
    errno = 0;
    if (strncmp(line, "go ", 3) != 0 || cr->playing)
        die("a command is, once: go PORT");
    cr->port = (uint16_t)parse_count(line + 3, UINT16_MAX);
    cr->begin = now_ns(CLOCK_MONOTONIC) + LEAD_NS;
    cr->end = cr->begin + cr->seconds * (uint64_t)1000000000u;
    cr->playing = true;
    printf("begun %" PRIu64 "\n", cr->begin);
}

static void on_event(struct crowd *cr, struct source *source)
{
    switch (source->kind) {
    case SOURCE_LISTENER:
        on_listener(cr);
        return;
    case SOURCE_ALARM:
        return; /* seen to after the events: they closed nothing that is still among them */
    case SOURCE_COMMANDS:
        on_commands(cr);
        return;
    case SOURCE_CLIENT:
        on_client(cr, (struct client *)source);
        return;
    case SOURCE_APP:
        on_server(cr, (struct server *)source);
        return;
    }
}

static void run(struct crowd *cr)
{
    struct epoll_event events[EVENTS_MAX];

    while (!cr->over) {
        set_alarm(cr);
        int n = epoll_wait(cr->ep, events, EVENTS_MAX, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++)
            on_event(cr, events[i].data.ptr);
        if (cr->playing)
            on_alarm(cr);
    }
}

int main(int argc, char **argv)
{
    static struct crowd cr;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 5) {
        fprintf(stderr, "usage: crowd SLOTS SCHEDULE RESULTS SECONDS\n");
        return 2;
    }
    cr.slots = parse_count(argv[1], SLOTS_MAX);
    read_schedule(&cr, argv[2]);
    cr.results = argv[3];
    cr.seconds = parse_count(argv[4], SECONDS_MAX);
    STAILQ_INIT(&cr.waiting);
    cr.ep = epoll_create1(EPOLL_CLOEXEC);
    cr.listener = (struct source){SOURCE_LISTENER, net_listen("127.0.0.1:0")};
    cr.alarm = (struct source){SOURCE_ALARM, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)};
    cr.commands = (struct source){SOURCE_COMMANDS, STDIN_FILENO};
    if (cr.ep < 0 || cr.alarm.fd < 0)
        die("epoll or timerfd");
    net_watch(cr.ep, cr.listener.fd, EPOLLIN, &cr.listener);
    net_watch(cr.ep, cr.alarm.fd, EPOLLIN, &cr.alarm);
    net_watch(cr.ep, cr.commands.fd, EPOLLIN, &cr.commands);
    printf("ready %" PRIu16 "\n", net_port(cr.listener.fd));
    run(&cr);
    return 0;
}
