/* See classes.h. */
#include "proxy/classes.h"

#include <netinet/in.h>
#include <string.h>

#include "common/address.h"
#include "proxy/capacity.h"
#include "proxy/words.h"

#define HOPS_MAX     16 /* addresses of a forwarding list that are looked at, from its end */
#define IPV6_NETWORK 8  /* bytes: a client usually has a /64, and may use any address in it */

_Static_assert(2 * (CLASS_RULES_MAX + 1) == LIMITER_CLASSES, "each class has two of the limiter's");
_Static_assert(CLASS_RULES_MAX + 1 == LIMITER_POOLS, "each class has a pool, besides pool 0");

/* ---- the class ------------------------------------------------------------------------------ */

/* A list is not split: a proxy that combines two headers into one would otherwise change the class.
 * So a header that occurs twice has no single value either. */
static bool meets_header(const struct class_rule *rule, const struct http_head *head)
{
    struct span name = span_of(rule->header);
    const struct http_field *found = NULL;

    for (unsigned i = 0; i < head->n_fields; i++) {
        if (!span_equal_nocase(head->fields[i].name, name))
            continue;
        if (found != NULL)
            return rule->value[0] == '\0';
        found = &head->fields[i];
    }
    return found != NULL &&
           (rule->value[0] == '\0' || span_equal(found->value, span_of(rule->value)));
}

/* `http://host?query` is forwarded as `/?query`. A prefix has no query, so it ends before it. */
static bool meets_path(const struct class_rule *rule, struct span path)
{
    struct span prefix = span_of(rule->path);

    if (path.len > 0 && path.at[0] == '?')
        path = SPAN("/");
    return path.len >= prefix.len && memcmp(path.at, prefix.at, prefix.len) == 0;
}

static bool meets_method(const struct class_rule *rule, struct span method)
{
    struct span list = span_of(rule->methods), word;

    while (next_word(&list, &word)) {
        if (span_equal(word, method))
            return true;
    }
    return false;
}

static bool meets(const struct class_rule *rule, const struct http_head *head)
{
    return (rule->path[0] == '\0' || meets_path(rule, head->path)) &&
           (rule->methods[0] == '\0' || meets_method(rule, head->method_text)) &&
           (rule->header[0] == '\0' || meets_header(rule, head));
}

unsigned classes_find(const struct config *config, const struct http_head *head, bool upgrade)
{
    unsigned lasts = upgrade || http_head_wants_events(head);

    for (unsigned i = 0; i < config->classes.n; i++) {
        if (meets(&config->classes.at[i], head))
            return 2 * (i + 1) + lasts;
    }
    return lasts;
}

/* ---- the key -------------------------------------------------------------------------------- */

static uint64_t hash_header(const struct http_head *head, struct span name,
                            const struct hash_key *seed)
{
    struct hash_key key = *seed;

    for (unsigned i = 0; i < head->n_fields; i++) {
        if (span_equal_nocase(head->fields[i].name, name))
            key.a ^= hash_of(&key, head->fields[i].value);
    }
    return hash_of(&key, SPAN(""));
}

/* An address as in X-Forwarded-For: some proxies add a port, and then brackets around IPv6. */
static bool parse_hop(struct span text, struct cidr *out)
{
    const char *end = text.len == 0 ? NULL : memchr(text.at, ']', text.len);
    const char *colon = text.len == 0 ? NULL : memchr(text.at, ':', text.len);

    if (end != NULL && text.at[0] == '[')
        text = (struct span){text.at + 1, (size_t)(end - text.at) - 1};
    else if (colon != NULL && memrchr(text.at, ':', text.len) == colon)
        text.len = (size_t)(colon - text.at);
    struct cidr address;
    if (text.len == 0 || memchr(text.at, '/', text.len) != NULL || !cidr_parse(text, &address))
        return false;
    *out = address;
    return true;
}

static bool is_trusted(const struct config *config, const struct cidr *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (address->family == AF_INET) {
        memcpy(&v4.sin_addr, address->addr, sizeof(v4.sin_addr));
        return config_trusts(config, (const struct sockaddr *)&v4);
    }
    memcpy(&v6.sin6_addr, address->addr, sizeof(v6.sin6_addr));
    return config_trusts(config, (const struct sockaddr *)&v6);
}

static struct span take_last(struct span *list)
{
    const char *comma = list->len == 0 ? NULL : memrchr(list->at, ',', list->len);
    size_t begin = comma == NULL ? 0 : (size_t)(comma - list->at) + 1;
    struct span rest = {list->at + begin, list->len - begin}, element = SPAN("");

    list->len = comma == NULL ? 0 : begin - 1;
    (void)http_list_next(&rest, &element);
    return element;
}

/*
 * The last address in the forwarding lists that is not that of a trusted proxy: what is before it
 * may be invented by the client. If all are trusted, the first. `at` stays as it is if there is
 * none.
 */
static void find_origin(const struct config *config, const struct http_head *head, struct cidr *at)
{
    unsigned hops = 0;

    for (unsigned i = head->n_fields; i-- > 0;) {
        struct span list = head->fields[i].value;
        while (head->fields[i].id == HTTP_FIELD_X_FORWARDED_FOR && list.len > 0) {
            struct span hop = take_last(&list);
            if (hops++ == HOPS_MAX ||
                (hop.len > 0 && (!parse_hop(hop, at) || !is_trusted(config, at))))
                return;
        }
    }
}

static uint64_t hash_client(const struct config *config, const struct http_head *head,
                            const struct classes_peer *peer, const struct hash_key *seed)
{
    struct cidr from = {.family = AF_UNSPEC};

    (void)parse_hop(peer->address, &from);
    if (peer->trusted && config->headers.forwarded == CONFIG_FORWARDED_APPEND &&
        head->present & HTTP_FIELD_BIT(HTTP_FIELD_X_FORWARDED_FOR))
        find_origin(config, head, &from);
    size_t len = from.family == AF_INET6 ? IPV6_NETWORK : from.family == AF_INET ? 4 : 0;
    char bytes[IPV6_NETWORK];
    memcpy(bytes, from.addr, len);
    return hash_of(seed, (struct span){bytes, len});
}

uint8_t classes_key(const struct config *config, const struct http_head *head,
                    const struct classes_peer *peer, const struct hash_key *seed)
{
    struct span fair = span_of(config->fair);

    if (fair.len == 0)
        return 0;
    uint64_t hash = span_equal(fair, SPAN("client")) ? hash_client(config, head, peer, seed)
                                                     : hash_header(head, fair, seed);
    return (uint8_t)(hash % LIMITER_KEYS);
}

/* ---- the limiter's configuration ------------------------------------------------------------ */

unsigned classes_count(const struct config *config)
{
    return config->classes.n + 1;
}

const char *classes_name(const struct config *config, unsigned k)
{
    return k == 0 ? "default" : config->classes.at[k - 1].name;
}

struct limiter_config classes_limiter_config(const struct config *config)
{
    struct limiter_config lc = capacity_queue(config);

    lc.classes = 2 * classes_count(config);
    for (unsigned i = 0; i < LIMITER_POOLS; i++)
        lc.pool_max[i] = LIMITER_UNLIMITED;
    lc.pool_max[0] = capacity_streams(config);
    for (unsigned k = 0; k < classes_count(config); k++) {
        struct limiter_class *lone = &lc.class_[2 * k];
        if (k > 0) {
            const struct class_rule *rule = &config->classes.at[k - 1];
            lone->head_start = rule->head_start;
            lone->pools = (uint16_t)(rule->max == UINT32_MAX ? 0 : 1u << k);
            lc.pool_max[k] = rule->max;
        }
        lc.class_[2 * k + 1] = *lone;
        lc.class_[2 * k + 1].pools |= 1u << 0;
    }
    return lc;
}
