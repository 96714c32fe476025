/* See admin_client.h. */
#include "proxy/admin_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/socket.h"

#define RESPONSE_MAX (1024 * 1024) /* bytes */

/* Blocks until the descriptor is ready for `events`. False: see errno. */
static bool wait_for(int fd, short events, mono_us deadline)
{
    struct pollfd p = {.fd = fd, .events = events};
    mono_us left;

    while ((left = deadline - clock_mono()) > 0) {
        int n = poll(&p, 1, (int)((left + 999) / 1000));
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
    }
    errno = ETIMEDOUT;
    return false;
}

static bool connect_to(int fd, const struct address *to, mono_us deadline)
{
    if (connect(fd, (const struct sockaddr *)&to->sa, to->len) < 0) {
        if (errno != EINPROGRESS || !wait_for(fd, POLLOUT, deadline))
            return false;
        errno = socket_connect_error(fd);
        if (errno != 0)
            return false;
    }
    if (!socket_reached_itself(fd, to))
        return true;
    errno = ECONNREFUSED;
    return false;
}

static bool send_all(int fd, const struct strbuf *bytes, mono_us deadline)
{
    for (size_t sent = 0; sent < bytes->len;) {
        ssize_t n = send(fd, bytes->at + sent, bytes->len - sent, MSG_NOSIGNAL);
        if (n < 0 && (errno != EAGAIN || !wait_for(fd, POLLOUT, deadline)))
            return false;
        sent += n < 0 ? 0 : (size_t)n;
    }
    return true;
}

/* HTTP/1.0, so that the response is not chunked. */
static bool send_request(int fd, const struct admin_request *request, mono_us deadline)
{
    struct strbuf out = {0};

    strbuf_addf(&out, "%s %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n", request->method,
                request->path);
    if (request->token[0] != '\0')
        strbuf_addf(&out, "Authorization: Bearer %s\r\n", request->token);
    if (request->body.len > 0)
        strbuf_addf(&out, "Content-Length: %zu\r\n", request->body.len);
    strbuf_adds(&out, "\r\n");
    strbuf_add_span(&out, request->body);
    bool ok = send_all(fd, &out, deadline);
    strbuf_fini(&out);
    return ok;
}

/* Whether headers and body are complete. A body without a length ends with the connection. */
static bool is_complete(struct admin_response *r, bool ended)
{
    static const char name[] = "\r\nContent-Length:";
    const char *text = strbuf_cstr(&r->bytes), *end = strstr(text, "\r\n\r\n");
    const char *length = strcasestr(text, name);

    if (end == NULL)
        return false;
    r->body = (struct span){end + 4, r->bytes.len - (size_t)(end + 4 - text)};
    if (length == NULL || length > end)
        return ended;
    return r->body.len >= strtoul(length + strlen(name), NULL, 10);
}

static bool receive(int fd, struct admin_response *r, mono_us deadline)
{
    char chunk[4096];
    ssize_t n = 1;

    while (!is_complete(r, n == 0)) {
        if (n == 0 || r->bytes.len > RESPONSE_MAX) {
            errno = n == 0 ? EPROTO : EMSGSIZE;
            return false;
        }
        if (!wait_for(fd, POLLIN, deadline))
            return false;
        n = recv(fd, chunk, sizeof(chunk), 0);
        if (n < 0)
            return false;
        strbuf_add(&r->bytes, chunk, (size_t)n);
    }
    return true;
}

static bool parse_status(struct admin_response *r)
{
    const char *text = strbuf_cstr(&r->bytes);

    if (strncmp(text, "HTTP/1.", 7) != 0) {
        errno = EPROTO;
        return false;
    }
    r->status = (unsigned)strtoul(text + strlen("HTTP/1.1 "), NULL, 10);
    return true;
}

bool admin_client_ask(const struct address *listening, const struct admin_request *request,
                      mono_us timeout, struct admin_response *r)
{
    struct address to = address_to_reach(listening);
    mono_us deadline = clock_mono() + timeout;
    int fd = socket(to.sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect_to(fd, &to, deadline) && send_request(fd, request, deadline) &&
              receive(fd, r, deadline) && parse_status(r);
    int err = errno;

    if (fd >= 0)
        close(fd);
    errno = err;
    return ok;
}
