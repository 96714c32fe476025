/*
 * The command line, the listening socket and the exit status of the demo backend.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend-demo/backend.h"
#include "common/address.h"
#include "common/socket.h"

enum { EXIT_USAGE = 2 };

/* ---- the socket ----------------------------------------------------------------------------- */

static int open_listener(struct address *at)
{
    struct strbuf why = {0};
    int fd = -1;

    if (address_resolve(at, ADDRESS_LISTEN, &why)) {
        fd = socket_bind(at);
        if (fd < 0)
            strbuf_adds(&why, strerror(errno));
    }
    if (fd < 0)
        fprintf(stderr, "backend-demo: BACKEND_LISTEN: cannot listen on \"%s\": %s\n", at->text,
                strbuf_cstr(&why));
    strbuf_fini(&why);
    return fd;
}

/* Tells the caller which port was chosen when it was started with port 0. */
static void print_ready(int fd, const struct address *at)
{
    char text[SOCKET_TEXT];

    socket_text(fd, at, text);
    fprintf(stderr, "backend-demo: ready on %s\n", text);
}

/* ---- the command line ----------------------------------------------------------------------- */

static int print_help(void)
{
    struct strbuf text = {0};
    strbuf_adds(&text, "usage: backend-demo [--help | --version]\n\n"
                       "An app to put behind weir. It behaves like FastAPI under Uvicorn:\n"
                       "  GET /usuarios    waits on the event loop (async def); also /users\n"
                       "  GET /produtos    sleeps in a thread of the pool (def); also /products\n"
                       "  GET /bloqueante  sleeps on the event loop and blocks it; also /blocking\n"
                       "  GET /ping        responds at once\n"
                       "  ANY /echo        returns the request as JSON\n"
                       "  GET /metrics     metrics for Prometheus\n"
                       "  POST /reset      resets the maxima\n\n");
    settings_help(&text);
    fputs(strbuf_cstr(&text), stdout);
    strbuf_fini(&text);
    return EXIT_SUCCESS;
}

static int serve(const struct settings *s, struct address *at)
{
    int fd = open_listener(at);
    if (fd < 0)
        return EXIT_FAILURE;
    struct backend *b = backend_new(s, fd);
    if (b == NULL) {
        fprintf(stderr, "backend-demo: cannot start: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    print_ready(fd, at);
    if (!backend_run(b))
        fprintf(stderr, "backend-demo: stopped while requests were running\n");
    backend_free(b);
    socket_unlink(at);
    return EXIT_SUCCESS;
}

static int read_settings_and_serve(void)
{
    struct settings s;
    struct strbuf errors = {0};
    struct address at = {.len = 0};

    bool good = settings_read(&s, getenv, &errors);
    if (good && address_check(span_of(s.listen), 0, UINT16_MAX) != ADDRESS_OK) {
        strbuf_addf(
            &errors,
            "BACKEND_LISTEN expects host:port, :port, [v6]:port or unix:/path, got \"%s\"\n",
            s.listen);
        good = false;
    }
    fputs(strbuf_cstr(&errors), stderr);
    strbuf_fini(&errors);
    if (!good)
        return EXIT_USAGE;
    address_set(&at, span_of(s.listen));
    return serve(&s, &at);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* writing to a client that has left is an error, no more */
    if (argc == 1)
        return read_settings_and_serve();
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return print_help();
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("backend-demo %s (%s)\n", WEIR_VERSION, WEIR_REVISION);
        return EXIT_SUCCESS;
    }
    fprintf(stderr,
            "backend-demo: unknown argument \"%s\"; the arguments are --help and "
            "--version; settings are read from the environment\n",
            argv[argc - 1]);
    return EXIT_USAGE;
}
