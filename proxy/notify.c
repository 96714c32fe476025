/* See notify.h. */
#include "proxy/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/check.h"

struct notify {
    struct loop *loop;
    int fd; /* -1: nothing is sent */
    struct sockaddr_un to;
    socklen_t len;
    mono_us watchdog; /* between two reports; 0: none */
    struct loop_timer timer;
    char status[128];
};

static void send_text(const struct notify *n, const char *text)
{
    if (n->fd >= 0) /* does not wait for a manager that does not read */
        (void)sendto(n->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
                     (const struct sockaddr *)&n->to, n->len);
}

static void on_watchdog(void *arg)
{
    struct notify *n = arg;

    send_text(n, "WATCHDOG=1");
    loop_timer_arm(n->loop, &n->timer, loop_now(n->loop) + n->watchdog);
}

/* "/path", or "@name" for the abstract namespace. */
static bool open_socket(struct notify *n, const char *name)
{
    size_t len = name != NULL ? strlen(name) : 0;

    if (len < 2 || len >= sizeof(n->to.sun_path) || (name[0] != '/' && name[0] != '@'))
        return false;
    n->to.sun_family = AF_UNIX;
    memcpy(n->to.sun_path, name, len);
    if (name[0] == '@')
        n->to.sun_path[0] = '\0';
    n->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return n->fd >= 0;
}

static uint64_t number(const char *text)
{
    char *end;

    if (text == NULL || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' ? n : 0;
}

static mono_us watchdog_of_environment(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    uint64_t us = number(getenv("WATCHDOG_USEC"));

    if (pid != NULL && number(pid) != (uint64_t)getpid())
        return 0;
    return us > 0 && us <= INT64_MAX ? (mono_us)(us / 2) + 1 : 0;
}

struct notify *notify_new(struct loop *lp)
{
    struct notify *n = calloc(1, sizeof(*n));

    CHECK(n != NULL);
    n->loop = lp;
    n->fd = -1;
    loop_timer_init(&n->timer, on_watchdog, n);
    if (open_socket(n, getenv("NOTIFY_SOCKET")))
        n->watchdog = watchdog_of_environment();
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return n;
}

void notify_free(struct notify *n)
{
    if (n == NULL)
        return;
    loop_timer_fini(&n->timer);
    if (n->fd >= 0)
        close(n->fd);
    free(n);
}

void notify_ready(struct notify *n)
{
    send_text(n, "READY=1");
    if (n->watchdog > 0)
        loop_timer_arm(n->loop, &n->timer, loop_now(n->loop) + n->watchdog);
}

void notify_reloading(struct notify *n)
{
    char text[64];

    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_mono());
    send_text(n, text);
}

/* Beyond the unit's TimeoutStopSec, if that is shorter. */
void notify_stopping(struct notify *n, mono_us most)
{
    char text[64];

    snprintf(text, sizeof(text), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64, most + 1000000);
    send_text(n, text);
}

void notify_status(struct notify *n, const char *text)
{
    char line[sizeof(n->status) + 16];

    if (strcmp(n->status, text) == 0)
        return;
    snprintf(n->status, sizeof(n->status), "%s", text);
    snprintf(line, sizeof(line), "STATUS=%s", n->status);
    send_text(n, line);
}
