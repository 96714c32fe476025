/* See cidr.h. */
#include "proxy/cidr.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/address.h"

/* Each named range is a prefix of this list. */
static const struct cidr private_ranges[] = {
    {AF_INET, 8, {127}},       {AF_INET6, 128, {[15] = 1}}, /* loopback */
    {AF_INET, 8, {10}},        {AF_INET, 12, {172, 16}},
    {AF_INET, 16, {192, 168}},                               /* RFC 1918 */
    {AF_INET, 10, {100, 64}},                                /* RFC 6598 */
    {AF_INET, 16, {169, 254}}, {AF_INET6, 10, {0xfe, 0x80}}, /* link-local */
    {AF_INET6, 7, {0xfc}},                                   /* unique local, RFC 4193 */
};
static const size_t named_ranges[CIDR_NAMES] = {
    [CIDR_PRIVATE] = sizeof(private_ranges) / sizeof(private_ranges[0]),
    [CIDR_LOOPBACK] = 2,
};

/* So that ranges compare by memcmp. */
static void clear_behind_prefix(struct cidr *c)
{
    for (unsigned bit = c->bits; bit < 128; bit++)
        c->addr[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
}

/* Digits without a leading zero, up to `most`. */
static bool parse_bits(struct span text, unsigned most, uint8_t *bits)
{
    unsigned n = 0;

    if (text.len == 0 || text.len > 3 || (text.len > 1 && text.at[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        n = n * 10 + (unsigned)(text.at[i] - '0');
    }
    if (n > most)
        return false;
    *bits = (uint8_t)n;
    return true;
}

/* ::ffff:10.0.0.0/104 becomes 10.0.0.0/8: a peer in this form counts as IPv4. */
static void unmap(struct cidr *c)
{
    struct in6_addr six;

    memcpy(&six, c->addr, sizeof(six));
    if (c->family != AF_INET6 || c->bits < 96 || !IN6_IS_ADDR_V4MAPPED(&six))
        return;
    c->family = AF_INET;
    c->bits = (uint8_t)(c->bits - 96);
    memset(c->addr, 0, sizeof(c->addr));
    memcpy(c->addr, six.s6_addr + 12, 4);
}

bool cidr_parse(struct span text, struct cidr *out)
{
    const char *slash = text.len == 0 ? NULL : memchr(text.at, '/', text.len);
    struct span ip = {text.at, slash == NULL ? text.len : (size_t)(slash - text.at)};

    memset(out, 0, sizeof(*out));
    if (address_parse_ip(AF_INET, ip, out->addr))
        out->family = AF_INET;
    else if (address_parse_ip(AF_INET6, ip, out->addr))
        out->family = AF_INET6;
    else
        return false;
    out->bits = out->family == AF_INET ? 32 : 128;
    if (slash != NULL &&
        !parse_bits((struct span){slash + 1, text.len - ip.len - 1}, out->bits, &out->bits))
        return false;
    clear_behind_prefix(out);
    unmap(out);
    return true;
}

struct cidr cidr_named(enum cidr_name name)
{
    return (struct cidr){.family = AF_UNSPEC, .bits = (uint8_t)name};
}

void cidr_write(const struct cidr *c, struct strbuf *out)
{
    char text[INET6_ADDRSTRLEN];

    CHECK(c->family != AF_UNSPEC);
    inet_ntop(c->family, c->addr, text, sizeof(text));
    strbuf_addf(out, "%s/%u", text, c->bits);
}

static bool lies_in(const struct cidr *c, sa_family_t family, const uint8_t *ip)
{
    unsigned whole = c->bits / 8, rest = c->bits % 8;

    if (c->family != family || memcmp(c->addr, ip, whole) != 0)
        return false;
    return rest == 0 || (c->addr[whole] ^ ip[whole]) >> (8 - rest) == 0;
}

static bool lies_in_any(const struct cidr *ranges, size_t n, sa_family_t family, const uint8_t *ip)
{
    for (size_t i = 0; i < n; i++) {
        if (lies_in(&ranges[i], family, ip))
            return true;
    }
    return false;
}

bool cidr_any_contains(const struct cidr *ranges, size_t n, const struct sockaddr *sa)
{
    sa_family_t family;
    const uint8_t *ip = address_ip(sa, &family);

    if (ip == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (ranges[i].family == AF_UNSPEC &&
            lies_in_any(private_ranges, named_ranges[ranges[i].bits], family, ip))
            return true;
    }
    return lies_in_any(ranges, n, family, ip);
}

bool cidr_list_contains(const struct cidr_list *list, const struct sockaddr *sa)
{
    return cidr_any_contains(list->at, list->n, sa);
}
