/*
 * The command line, the listening socket and the exit status of the demo backend.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend-demo/backend.h"

enum { EXIT_USAGE = 2 };

/* ---- the address ---------------------------------------------------------------------------- */

struct address {
    bool is_unix;
    char host[256]; /* "" is every address of this machine */
    char port[16];
    struct sockaddr_un un;
};

static bool copy_text(char *to, size_t room, struct span text)
{
    if (text.len >= room)
        return false;
    memcpy(to, text.at, text.len);
    to[text.len] = '\0';
    return true;
}

/* getaddrinfo would take 99999 for 34463, and a service's name for its port. */
static bool is_port(const char *text)
{
    unsigned port = 0;
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (text[i] < '0' || text[i] > '9' || i == 5)
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return text[0] != '\0' && port <= 65535;
}

/* "host:port", ":port" or "[v6]:port". */
static bool parse_host_port(struct address *a, const char *text)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return false;
    struct span host = {text, (size_t)(colon - text)};

    if (host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
        host = (struct span){host.at + 1, host.len - 2};
    else if (host.len > 0 && memchr(host.at, ':', host.len) != NULL)
        return false; /* a v6 address without brackets: where does its port begin? */
    return is_port(colon + 1) && copy_text(a->host, sizeof(a->host), host) &&
           copy_text(a->port, sizeof(a->port), span_of(colon + 1));
}

static bool parse_address(struct address *a, const char *text)
{
    const size_t prefix = strlen("unix:");

    a->is_unix = strncmp(text, "unix:", prefix) == 0;
    if (!a->is_unix)
        return parse_host_port(a, text);
    a->un.sun_family = AF_UNIX;
    return text[prefix] != '\0' &&
           copy_text(a->un.sun_path, sizeof(a->un.sun_path), span_of(text + prefix));
}

/* ---- the socket ----------------------------------------------------------------------------- */

/* A socket that a killed process has left behind: nobody answers at it. */
static bool is_leftover(const struct sockaddr_un *un)
{
    struct stat st;
    if (lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)un, sizeof(*un)) != 0 && //
                   errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int bind_socket(int family, const struct sockaddr *sa, socklen_t len)
{
    const int on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* what it accepts inherits it */
    }
    if (bind(fd, sa, len) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static int bind_unix(const struct sockaddr_un *un)
{
    if (is_leftover(un))
        unlink(un->sun_path);
    return bind_socket(AF_UNIX, (const struct sockaddr *)un, sizeof(*un));
}

static int bind_tcp(const struct address *a, const char **why)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found;
    int fd = -1;
    int error = getaddrinfo(a->host[0] ? a->host : NULL, a->port, &hints, &found);

    if (error != 0) {
        *why = gai_strerror(error);
        return -1;
    }
    for (const struct addrinfo *ai = found; ai != NULL && fd < 0; ai = ai->ai_next)
        fd = bind_socket(ai->ai_family, ai->ai_addr, ai->ai_addrlen);
    *why = strerror(errno);
    freeaddrinfo(found);
    return fd;
}

static int open_listener(const struct address *a, const char *text)
{
    const char *why = NULL;
    int fd = a->is_unix ? bind_unix(&a->un) : bind_tcp(a, &why);

    if (fd < 0)
        fprintf(stderr, "backend-demo: BACKEND_LISTEN: cannot listen on \"%s\": %s\n", text,
                why != NULL ? why : strerror(errno));
    return fd;
}

/* Whoever starts it with port 0 reads here which port it became. */
static void print_ready(int fd, const struct settings *s)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    char host[64] = "", port[8] = "";
    bool has_port = getsockname(fd, (struct sockaddr *)&ss, &len) == 0 && ss.ss_family != AF_UNIX;

    if (!has_port) {
        fprintf(stderr, "backend-demo: ready on %s\n", s->listen);
        return;
    }
    getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    fprintf(stderr,
            ss.ss_family == AF_INET6 ? "backend-demo: ready on [%s]:%s\n"
                                     : "backend-demo: ready on %s:%s\n",
            host, port);
}

/* ---- the command line ----------------------------------------------------------------------- */

static int print_help(void)
{
    struct strbuf text = {0};
    strbuf_adds(&text, "usage: backend-demo [--help | --version]\n\n"
                       "An app to put behind weir. It behaves as FastAPI under Uvicorn does:\n"
                       "  GET /usuarios    waits on the event loop (async def)\n"
                       "  GET /produtos    sleeps in a thread of the pool (def)\n"
                       "  GET /bloqueante  sleeps on the event loop: the trap\n"
                       "  GET /ping        answers at once\n"
                       "  ANY /echo        gives back what came in, as JSON\n"
                       "  GET /metrics     what it saw, for Prometheus\n"
                       "  POST /reset      its maxima start again\n\n");
    settings_help(&text);
    fputs(strbuf_cstr(&text), stdout);
    strbuf_fini(&text);
    return EXIT_SUCCESS;
}

static int serve(const struct settings *s, const struct address *a)
{
    int fd = open_listener(a, s->listen);
    if (fd < 0)
        return EXIT_FAILURE;
    struct backend *b = backend_new(s, fd);
    if (b == NULL) {
        fprintf(stderr, "backend-demo: cannot start: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    print_ready(fd, s);
    if (!backend_run(b))
        fprintf(stderr, "backend-demo: stopped with requests inside\n");
    backend_free(b);
    if (a->is_unix)
        unlink(a->un.sun_path);
    return EXIT_SUCCESS;
}

static int read_settings_and_serve(void)
{
    struct settings s;
    struct strbuf errors = {0};
    struct address a = {0};

    bool good = settings_read(&s, getenv, &errors);
    if (good && !parse_address(&a, s.listen)) {
        strbuf_addf(&errors,
                    "BACKEND_LISTEN wants host:port, :port, [v6]:port or unix:/path, got \"%s\"\n",
                    s.listen);
        good = false;
    }
    fputs(strbuf_cstr(&errors), stderr);
    strbuf_fini(&errors);
    return good ? serve(&s, &a) : EXIT_USAGE;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a client that has left is an error to write to, no more */
    if (argc == 1)
        return read_settings_and_serve();
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return print_help();
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("backend-demo %s (%s)\n", WEIR_VERSION, WEIR_REVISION);
        return EXIT_SUCCESS;
    }
    fprintf(stderr,
            "backend-demo: unknown argument \"%s\"; it takes --help, --version and its "
            "settings from the environment\n",
            argv[argc - 1]);
    return EXIT_USAGE;
}
