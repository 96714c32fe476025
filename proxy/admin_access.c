/* See admin_access.h. */
#include "proxy/admin_access.h"

#include <string.h>

#include "common/address.h"

/* ---- the token ------------------------------------------------------------------------------ */

/* Takes the same time wherever the two differ: a client must not find the token byte by byte. */
static bool equals_secret(struct span given, const char *secret)
{
    size_t len = strlen(secret);
    volatile unsigned char differ = given.len != len;

    for (size_t i = 0; i < given.len; i++)
        differ = (unsigned char)(differ | (given.at[i] ^ secret[i % (len + 1)]));
    return differ == 0;
}

static const struct http_field *find_field(const struct http_head *head, struct span name,
                                           unsigned *n)
{
    const struct http_field *first = NULL;

    *n = 0;
    for (unsigned i = 0; i < head->n_fields; i++) {
        if (!span_equal_nocase(head->fields[i].name, name))
            continue;
        first = first == NULL ? &head->fields[i] : first;
        ++*n;
    }
    return first;
}

static bool is_bearer(struct span value, struct span *credentials)
{
    static const struct span scheme = {"Bearer ", 7};

    if (value.len < scheme.len || !span_equal_nocase((struct span){value.at, scheme.len}, scheme))
        return false;
    *credentials = (struct span){value.at + scheme.len, value.len - scheme.len};
    while (credentials->len > 0 && *credentials->at == ' ')
        *credentials = (struct span){credentials->at + 1, credentials->len - 1};
    return true;
}

enum token { TOKEN_NONE, TOKEN_RIGHT, TOKEN_WRONG };

/* Another scheme is not for weir: a proxy in between may have asked for it. */
static enum token check_token(const struct admin_rules *rules, const struct http_head *head)
{
    unsigned n;
    struct span given;
    const struct http_field *f = find_field(head, SPAN("Authorization"), &n);

    if (rules->token[0] == '\0' || n == 0)
        return TOKEN_NONE;
    if (n > 1)
        return TOKEN_WRONG;
    if (!is_bearer(f->value, &given))
        return TOKEN_NONE;
    return equals_secret(given, rules->token) ? TOKEN_RIGHT : TOKEN_WRONG;
}

/* ---- the peer ------------------------------------------------------------------------------- */

static const struct sockaddr *sa_of(const struct sockaddr_storage *ss)
{
    return (const void *)ss;
}

static bool is_loopback(const struct sockaddr_storage *ss)
{
    struct cidr loopback = cidr_named(CIDR_LOOPBACK);
    return cidr_any_contains(&loopback, 1, sa_of(ss));
}

/* Service meshes deliver the connections of others from a loopback address (Istio: 127.0.0.6), but
 * to the address that these had connected to. */
static bool is_local(const struct admin_ends *ends)
{
    return ends->peer.ss_family == AF_UNIX || (is_loopback(&ends->peer) && is_loopback(&ends->own));
}

bool admin_access_listed(const struct admin_rules *rules, const struct admin_ends *ends)
{
    return cidr_list_contains(rules->allow, sa_of(&ends->peer));
}

void admin_access_write_peer(const struct admin_ends *ends, struct strbuf *out)
{
    char text[INET6_ADDRSTRLEN];

    address_ip_text(sa_of(&ends->peer), text);
    if (ends->peer.ss_family == AF_UNIX)
        strbuf_adds(out, "a Unix socket");
    else
        strbuf_adds(out, text[0] != '\0' ? text : "an unknown address");
}

/* ---- web browsers --------------------------------------------------------------------------- */

/* The host without the port, and without the brackets of an IPv6 address. */
static struct span host_without_port(struct span host)
{
    const char *end;

    if (host.len > 0 && *host.at == '[') {
        end = memchr(host.at, ']', host.len);
        return (struct span){host.at + 1, end == NULL ? 0 : (size_t)(end - host.at) - 1};
    }
    end = host.len == 0 ? NULL : memchr(host.at, ':', host.len);
    return (struct span){host.at, end == NULL ? host.len : (size_t)(end - host.at)};
}

/* No DNS server has a say in what these mean. */
static bool is_fixed_host(struct span host)
{
    unsigned char ip[16];
    struct span name = host_without_port(host);

    return span_equal_nocase(name, SPAN("localhost")) || address_parse_ip(AF_INET, name, ip) ||
           address_parse_ip(AF_INET6, name, ip);
}

/* Scheme, host and port; a page from another port of the same host is another site. */
static bool is_own_origin(struct span origin, struct span host)
{
    static const struct span schemes[] = {{"http://", 7}, {"https://", 8}};

    for (size_t i = 0; i < 2; i++) {
        struct span s = schemes[i];
        if (origin.len > s.len && span_equal((struct span){origin.at, s.len}, s))
            return span_equal_nocase((struct span){origin.at + s.len, origin.len - s.len}, host);
    }
    return false;
}

static const char *check_browser(const struct http_head *head)
{
    unsigned n;
    const struct http_field *f;

    if (!is_fixed_host(head->host))
        return "Host must be an IP address or localhost, unless the token is given";
    f = find_field(head, SPAN("Origin"), &n);
    if (n > 1 || (n == 1 && !is_own_origin(f->value, head->host)))
        return "the request comes from a page of another site (Origin)";
    f = find_field(head, SPAN("Sec-Fetch-Site"), &n);
    if (n > 1 || (n == 1 && !span_equal_nocase(f->value, SPAN("same-origin")) &&
                  !span_equal_nocase(f->value, SPAN("none"))))
        return "the request comes from a page of another site (Sec-Fetch-Site)";
    return NULL;
}

/* ---- the verdict ---------------------------------------------------------------------------- */

const char *admin_access_refusal(const struct admin_rules *rules, const struct admin_ends *ends,
                                 const struct http_head *head)
{
    switch (check_token(rules, head)) {
    case TOKEN_RIGHT:
        return NULL;
    case TOKEN_WRONG:
        return "the token is wrong";
    case TOKEN_NONE:
        break;
    }
    if (!is_local(ends) && !admin_access_listed(rules, ends))
        return "changes are accepted from this machine, from the addresses in admin.allow, or "
               "with the token in admin.token";
    return check_browser(head);
}
