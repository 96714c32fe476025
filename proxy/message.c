/* See message.h. */
#include "proxy/message.h"

#include <endian.h>

#include "proxy/access_line.h"
#include "proxy/client.h"
#include "proxy/conn.h"
#include "proxy/http/rewrite.h"

#define INLINE_BODY_MAX 16384
#define UUID_LEN        36
#define FIT_MAX         16384 /* a larger block is not worth the copy */
#define ABRIDGED_ABOVE  2048  /* a smaller block is not worth the search */
#define UTF8_MAX        4     /* bytes of a character */

/*
 * Eight hexadecimal digits at once: each nibble gets its own byte, and those above 9 are raised by
 * the distance from the digits to the letters. A loop over the digits took a tenth of weir's own
 * CPU time for a request.
 */
static void put_hex(char *out, uint32_t n)
{
    uint64_t x = n;

    x = (x & 0xffff0000u) << 16 | (x & 0x0000ffffu);
    x = (x & UINT64_C(0x0000ff000000ff00)) << 8 | (x & UINT64_C(0x000000ff000000ff));
    x = (x & UINT64_C(0x00f000f000f000f0)) << 4 | (x & UINT64_C(0x000f000f000f000f));
    uint64_t letters = (x + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    x = htobe64(x + UINT64_C(0x3030303030303030) + letters * ('a' - '0' - 10));
    memcpy(out, &x, sizeof(x));
}

/* UUID version 7 (RFC 9562 section 5.7): 48 bits of milliseconds, then random. */
static void write_uuid(struct loop *lp, char *out)
{
    uint64_t ms = (uint64_t)loop_wall(lp) / 1000;
    uint64_t high = ms << 16 | 0x7000 | (loop_random(lp) & 0x0fff);
    uint64_t low = (loop_random(lp) & UINT64_C(0x3fffffffffffffff)) | UINT64_C(1) << 63;
    char hex[32];

    put_hex(hex, (uint32_t)(high >> 32));
    put_hex(hex + 8, (uint32_t)high);
    put_hex(hex + 16, (uint32_t)(low >> 32));
    put_hex(hex + 24, (uint32_t)low);
    memset(out, '-', UUID_LEN);
    memcpy(out, hex, 8);
    memcpy(out + 9, hex + 8, 4);
    memcpy(out + 14, hex + 12, 4);
    memcpy(out + 19, hex + 16, 4);
    memcpy(out + 24, hex + 20, 12);
}

static bool is_only_one(const struct http_head *head, const struct http_field *field)
{
    for (const struct http_field *f = field + 1; f < head->fields + head->n_fields; f++) {
        if (f->id == field->id)
            return false;
    }
    return true;
}

/* The request id: the client's own if it is valid, otherwise a new one in `fresh`. */
static struct span choose_id(struct loop *lp, const struct config *config,
                             const struct http_head *head, char *fresh)
{
    if (config->headers.request_id[0] == '\0')
        return (struct span){NULL, 0};
    const struct http_field *own = http_head_find(head, HTTP_FIELD_X_REQUEST_ID);
    if (own != NULL && http_request_id_is_sound(own->value) && is_only_one(head, own))
        return own->value;
    write_uuid(lp, fresh);
    return (struct span){fresh, UUID_LEN};
}

/* How much of the body has arrived with its head, if it is complete and small enough to be stored
 * with it. */
static size_t inline_part(const struct conn *from, const struct http_body *body)
{
    if (body->framing != HTTP_BODY_LENGTH || body->left > INLINE_BODY_MAX ||
        body->left > from->in.len)
        return 0;
    return (size_t)body->left;
}

static void add_body(struct message *m, struct conn *from, size_t n)
{
    memcpy(m->at + m->len, from->in.at, n);
    m->len += n;
    conn_consume(from, n);
}

bool message_holds_body(struct client *cl, const struct http_body *body)
{
    return http_body_complete(body) || inline_part(client_conn(cl), body) > 0;
}

void message_compose(struct message *m, struct loop *lp, const struct config *config,
                     struct client *cl, const struct message_how *more,
                     const struct http_head *head, const struct http_body *body)
{
    struct conn *from = client_conn(cl);
    char fresh[UUID_LEN];
    struct span id = choose_id(lp, config, head, fresh), remote = client_address(cl);
    size_t with_head = inline_part(from, body);
    struct http_request_rewrite how = {
        .forwarded = (enum http_forwarded)config->headers.forwarded,
        .trusted = client_trusted(cl),
        .underscores = config->headers.underscores == CONFIG_UNDERSCORES_PASS,
        .client_address = remote,
        .request_id_name = span_of(config->headers.request_id),
        .request_id = id.at == fresh ? id : (struct span){NULL, 0},
        .request_start = config->headers.request_start,
        .start = loop_wall(lp) - (loop_now(lp) - more->began),
        .drop_expect = more->drop_expect,
        .upgrade = more->upgrade,
    };

    m->body = 0;
    m->size = http_rewrite_request_bound(head, &how) + with_head + id.len + remote.len;
    m->at = pool_get(loop_pool(lp), m->size);
    char *tail = m->at + m->size - remote.len - id.len;
    if (id.len > 0)
        memcpy(tail, id.at, id.len);
    if (remote.len > 0)
        memcpy(tail + id.len, remote.at, remote.len);
    m->request_id = (struct span){tail, id.len};
    m->len = http_rewrite_request(head, &how, m->at);
    CHECK(m->len + with_head <= (size_t)(tail - m->at)); /* message_room() relies on it */
    if (with_head > 0)
        add_body(m, from, with_head);
}

/* ---- the block ---- */

/* The request id and the client's address. */
static size_t tail_length(const struct message *m)
{
    return (size_t)(m->at + m->size - m->request_id.at);
}

/* To a block of `size` bytes, which must hold the message. */
static void move(struct message *m, struct loop *lp, size_t size)
{
    size_t tail = tail_length(m);
    char *at = pool_get(loop_pool(lp), size);

    memcpy(at, m->at, m->len);
    if (tail > 0)
        memcpy(at + size - tail, m->request_id.at, tail);
    m->request_id.at = at + size - tail;
    pool_put(loop_pool(lp), m->at, m->size);
    m->at = at;
    m->size = size;
}

static size_t used(const struct message *m)
{
    return m->len + tail_length(m);
}

size_t message_fitted(const struct message *m)
{
    return m->size > FIT_MAX ? m->size : used(m);
}

void message_fit(struct message *m, struct loop *lp)
{
    size_t size = message_fitted(m);

    if (pool_room(size) < pool_room(m->size))
        move(m, lp, size);
}

/* ---- waiting for the body ---- */

/* Uses the whole block, which may be larger than the size that was asked for. */
static void widen(struct message *m, size_t size)
{
    char *tail = m->at + size - tail_length(m);

    if (tail_length(m) > 0)
        memmove(tail, m->request_id.at, tail_length(m));
    m->request_id.at = tail;
    m->size = size;
}

/* Grows by half at least, so that a body that arrives slowly is not copied for each byte. */
static void make_room(struct message *m, struct loop *lp, size_t n)
{
    size_t need = used(m) + n, more = m->size + m->size / 2;

    if (need > m->size && need <= pool_room(m->size))
        widen(m, pool_room(m->size));
    else if (need > m->size)
        move(m, lp, pool_room(need > more ? need : more));
}

enum message_status message_take_body(struct message *m, struct loop *lp, struct client *cl,
                                      struct http_body *body, size_t most,
                                      struct http_problem *problem)
{
    struct conn *from = client_conn(cl);
    size_t room = most > m->body ? most - m->body : 0;
    size_t n = from->in.len < room ? from->in.len : room, taken;
    enum http_body_status st = http_body_take(body, from->in.at, n, &taken, NULL, problem);

    make_room(m, lp, taken);
    add_body(m, from, taken);
    m->body += taken;
    if (st == HTTP_BODY_BAD)
        return MESSAGE_BAD;
    if (st == HTTP_BODY_DONE)
        return MESSAGE_WHOLE;
    return m->body >= most ? MESSAGE_FULL : MESSAGE_MORE;
}

/* weir wrote the head: no other line begins this way, and no value contains a line end. */
struct span message_upgrade(const struct message *m)
{
    static const char name[] = "\r\nUpgrade: ";
    const char *at = memmem(m->at, m->len, name, sizeof(name) - 1);

    if (at == NULL)
        return (struct span){NULL, 0};
    at += sizeof(name) - 1;
    const char *end = memchr(at, '\r', (size_t)(m->at + m->len - at));
    return (struct span){at, (size_t)(end - at)};
}

/* ---- for the access log ---- */

struct span message_remote(const struct message *m)
{
    return (struct span){m->request_id.at + m->request_id.len, tail_length(m) - m->request_id.len};
}

struct span message_method(const struct message *m)
{
    const char *end = memchr(m->at, ' ', m->len);
    return (struct span){m->at, end == NULL ? 0 : (size_t)(end - m->at)};
}

struct span message_target(const struct message *m)
{
    size_t before = message_method(m).len + 1;
    const char *at = m->at + before;
    const char *end = before < m->len ? memchr(at, ' ', m->len - before) : NULL;

    return (struct span){at, end == NULL ? 0 : (size_t)(end - at)};
}

static struct span trim(struct span s)
{
    for (; s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'); s.at++)
        s.len--;
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* weir wrote the head: each line ends in CRLF, and the head in an empty one. */
struct span message_header(const struct message *m, struct span name)
{
    const char *at = m->at, *stop = m->at + m->len, *end;

    for (; (end = memchr(at, '\r', (size_t)(stop - at))) != NULL && end != at; at = end + 2) {
        size_t len = (size_t)(end - at);
        if (len > name.len && at[name.len] == ':' &&
            span_equal_nocase((struct span){at, name.len}, name))
            return trim((struct span){at + name.len + 1, len - name.len - 1});
    }
    return (struct span){NULL, 0};
}

static char *append(char *at, struct span s)
{
    if (s.len > 0)
        memcpy(at, s.at, s.len);
    return at + s.len;
}

/* At most `most` bytes, and a few more that show whether any were left out. */
static struct span first_of(struct span s, size_t most)
{
    return (struct span){s.at, s.len < most + UTF8_MAX ? s.len : most + UTF8_MAX};
}

static void abridge(struct message *m, struct loop *lp)
{
    struct span method = message_method(m), tail = {m->request_id.at, tail_length(m)};
    struct span target = first_of(message_target(m), ACCESS_TARGET_MAX);
    struct span agent = first_of(message_header(m, SPAN("User-Agent")), ACCESS_TEXT_MAX);
    struct span referer = first_of(message_header(m, SPAN("Referer")), ACCESS_TEXT_MAX);
    const struct span head[] = {
        method,  SPAN(" "),       target, SPAN(" \r\nUser-Agent: "), agent, SPAN("\r\nReferer: "),
        referer, SPAN("\r\n\r\n")};
    struct message is = {.request_id = m->request_id};

    for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
        is.len += head[i].len;
    is.size = is.len + tail.len;
    if (pool_room(is.size) >= pool_room(m->size))
        return;
    char *at = is.at = pool_get(loop_pool(lp), is.size);
    for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
        at = append(at, head[i]);
    append(at, tail);
    is.request_id.at = at;
    pool_put(loop_pool(lp), m->at, m->size);
    *m = is;
}

void message_abridge(struct message *m, struct loop *lp)
{
    if (m->size > ABRIDGED_ABOVE)
        abridge(m, lp);
}

size_t message_room(const struct message *m)
{
    return m->size - used(m);
}

void message_fini(struct message *m, struct loop *lp)
{
    pool_put(loop_pool(lp), m->at, m->size);
    m->at = NULL;
}
