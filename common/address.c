/* See address.h. */
#include "common/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct sockaddr_in *as_four(const void *sa)
{
    return sa;
}

static const struct sockaddr_in6 *as_six(const void *sa)
{
    return sa;
}

/* ---- text ---------------------------------------------------------------------------------- */

static bool is_unix(struct span text)
{
    return text.len > strlen(ADDRESS_UNIX) &&
           memcmp(text.at, ADDRESS_UNIX, strlen(ADDRESS_UNIX)) == 0;
}

static enum address_verdict check_unix(struct span text)
{
    struct span path = {text.at + strlen(ADDRESS_UNIX), text.len - strlen(ADDRESS_UNIX)};

    if (path.len > ADDRESS_UNIX_PATH_MAX)
        return ADDRESS_PATH_TOO_LONG;
    bool sound = path.at[0] == '/' && path.len > 1 && memchr(path.at, '\0', path.len) == NULL;
    return sound ? ADDRESS_OK : ADDRESS_MALFORMED;
}

static bool is_host_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '_' || c == '.';
}

bool address_parse_ip(int family, struct span text, void *out)
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, out) == 1;
}

static bool host_is_well_formed(struct span host)
{
    struct in6_addr six;

    if (host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
        return address_parse_ip(AF_INET6, (struct span){host.at + 1, host.len - 2}, &six);
    if (host.len > 0 && (host.at[0] == '-' || host.at[0] == '.'))
        return false;
    for (size_t i = 0; i < host.len; i++) {
        if (!is_host_char(host.at[i]))
            return false;
    }
    return true;
}

/* Splits at the last colon. */
static bool split(struct span text, struct span *host, struct span *port)
{
    const char *colon = memrchr(text.at, ':', text.len);

    if (colon == NULL)
        return false;
    *host = (struct span){text.at, (size_t)(colon - text.at)};
    *port = (struct span){colon + 1, text.len - host->len - 1};
    return true;
}

/* Digits without a leading zero. A number that is too large becomes UINT_MAX, an invalid port. */
static bool read_port(struct span text, unsigned *port)
{
    if (text.len == 0 || (text.len > 1 && text.at[0] == '0'))
        return false;
    *port = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        if (*port <= UINT16_MAX)
            *port = *port * 10 + (unsigned)(text.at[i] - '0');
    }
    return true;
}

enum address_verdict address_check(struct span text, unsigned min_port, unsigned max_port)
{
    struct span host, port;
    unsigned n;

    if (is_unix(text))
        return check_unix(text);
    if (text.len == 0 || text.len >= sizeof(((struct address *)NULL)->text))
        return ADDRESS_MALFORMED;
    if (!split(text, &host, &port) || !host_is_well_formed(host) || !read_port(port, &n))
        return ADDRESS_MALFORMED;
    return n < min_port || n > max_port ? ADDRESS_BAD_PORT : ADDRESS_OK;
}

void address_set(struct address *a, struct span text)
{
    CHECK(text.len < sizeof(a->text));
    memset(a->text, 0, sizeof(a->text));
    if (text.len > 0)
        memcpy(a->text, text.at, text.len);
    memset(&a->sa, 0, sizeof(a->sa));
    a->len = 0;
}

/* ---- resolving ----------------------------------------------------------------------------- */

static void resolve_unix(struct address *a)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const char *path = a->text + strlen(ADDRESS_UNIX);
    size_t len = strlen(path);

    memcpy(un.sun_path, path, len);
    memcpy(&a->sa, &un, sizeof(un));
    a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

/* A kernel without IPv6 has no such sockets, and a container may have no IPv6 address. */
static bool have_ipv6(void)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    bool bound = bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0;
    close(fd);
    return bound;
}

static void set_four(struct address *a, uint32_t addr, in_port_t port)
{
    struct sockaddr_in four = {
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(addr)};

    memcpy(&a->sa, &four, sizeof(four));
    a->len = sizeof(four);
}

static void resolve_port(struct address *a, enum address_use use, in_port_t port)
{
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_ANY_INIT};

    if (use == ADDRESS_CONNECT) {
        set_four(a, INADDR_LOOPBACK, port);
    } else if (!have_ipv6()) {
        set_four(a, INADDR_ANY, port);
    } else {
        memcpy(&a->sa, &six, sizeof(six));
        a->len = sizeof(six);
    }
}

static const struct addrinfo *prefer_ipv4(const struct addrinfo *found)
{
    for (const struct addrinfo *ai = found; ai != NULL; ai = ai->ai_next) {
        if (ai->ai_family == AF_INET)
            return ai;
    }
    return found;
}

/* RFC 6761 section 6.3: localhost is the loopback, even if no resolver and no /etc/hosts says
 * so. */
static bool resolve_name(struct address *a, const char *host, const char *port, struct strbuf *why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
    const char *name = strcasecmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    int err = getaddrinfo(name, port, &hints, &found);

    if (err != 0) {
        strbuf_addf(why, "cannot resolve host \"%s\": %s", host, gai_strerror(err));
        return false;
    }
    const struct addrinfo *best = prefer_ipv4(found);
    memcpy(&a->sa, best->ai_addr, best->ai_addrlen);
    a->len = best->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

bool address_resolve(struct address *a, enum address_use use, struct strbuf *why)
{
    char text[sizeof(a->text)];
    struct span host, port;

    if (is_unix(span_of(a->text))) {
        resolve_unix(a);
        return true;
    }
    memcpy(text, a->text, sizeof(text));
    CHECK(split(span_of(text), &host, &port));
    text[host.len] = '\0';
    if (host.len == 0) {
        resolve_port(a, use, htons((uint16_t)strtoul(port.at, NULL, 10)));
        return true;
    }
    bool bracketed = text[0] == '[';
    if (bracketed)
        text[host.len - 1] = '\0';
    return resolve_name(a, text + bracketed, port.at, why);
}

/* ---- properties ---------------------------------------------------------------------------- */

static in_port_t port_of(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return as_four(sa)->sin_port;
    return sa->sa_family == AF_INET6 ? as_six(sa)->sin6_port : 0;
}

static const struct sockaddr *sockaddr_of(const struct address *a)
{
    return (const struct sockaddr *)&a->sa;
}

unsigned address_port(const struct address *a)
{
    return ntohs(port_of(sockaddr_of(a)));
}

bool address_is_any(const struct address *a)
{
    if (a->sa.ss_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&as_six(&a->sa)->sin6_addr);
    return a->sa.ss_family == AF_INET && as_four(&a->sa)->sin_addr.s_addr == htonl(INADDR_ANY);
}

bool address_is_loopback(const struct address *a)
{
    if (a->sa.ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&as_six(&a->sa)->sin6_addr);
    return a->sa.ss_family == AF_INET &&
           ntohl(as_four(&a->sa)->sin_addr.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
}

static bool is_same(const struct address *a, const struct address *b)
{
    return a->len > 0 && a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}

bool address_covers(const struct address *a, const struct address *b)
{
    if (a->len == 0 || b->len == 0 || a->sa.ss_family == AF_UNIX || b->sa.ss_family == AF_UNIX)
        return is_same(a, b);
    if (address_port(a) == 0 || address_port(a) != address_port(b))
        return false;
    return is_same(a, b) || (address_is_any(a) && (address_is_loopback(b) || address_is_any(b)));
}

struct address address_to_reach(const struct address *a)
{
    struct address to = *a;

    if (address_is_any(a))
        set_four(&to, INADDR_LOOPBACK, port_of(sockaddr_of(a)));
    return to;
}

/* ---- bare socket addresses ----------------------------------------------------------------- */

bool address_same_end(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family || port_of(a) != port_of(b))
        return false;
    if (a->sa_family == AF_INET)
        return as_four(a)->sin_addr.s_addr == as_four(b)->sin_addr.s_addr;
    return a->sa_family == AF_INET6 &&
           IN6_ARE_ADDR_EQUAL(&as_six(a)->sin6_addr, &as_six(b)->sin6_addr);
}

const uint8_t *address_ip(const struct sockaddr *sa, sa_family_t *family)
{
    *family = AF_INET;
    if (sa->sa_family == AF_INET)
        return (const uint8_t *)&as_four(sa)->sin_addr;
    if (sa->sa_family != AF_INET6)
        return NULL;
    const struct in6_addr *six = &as_six(sa)->sin6_addr;
    bool mapped = IN6_IS_ADDR_V4MAPPED(six);
    *family = mapped ? AF_INET : AF_INET6;
    return six->s6_addr + (mapped ? 12 : 0);
}

void address_ip_text(const struct sockaddr *sa, char out[INET6_ADDRSTRLEN])
{
    sa_family_t family;
    const uint8_t *ip = address_ip(sa, &family);

    out[0] = '\0';
    if (ip != NULL)
        inet_ntop(family, ip, out, INET6_ADDRSTRLEN);
}
