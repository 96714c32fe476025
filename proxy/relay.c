/* See relay.h. Stateless but for struct relay, which its owner embeds. */
#include "proxy/relay.h"

#include "proxy/conn.h"

#define PUMP_FILLS 8     /* times LOOP_SCRATCH: 512 KiB, then other connections get their turn */
#define COPY_MAX   16384 /* a copy of this much costs less than a second piece in sendmsg(2) */
#define CHUNK_LINE 18    /* 16 digits, CRLF */

/* Writes a chunk's first line at the end of `out`. */
static struct span chunk_line(size_t size, char out[CHUNK_LINE])
{
    char *at = out + CHUNK_LINE;

    *--at = '\n';
    *--at = '\r';
    do {
        *--at = "0123456789abcdef"[size & 15];
        size >>= 4;
    } while (size > 0);
    return (struct span){at, (size_t)(out + CHUNK_LINE - at)};
}

static bool send_chunk(struct conn *to, struct span head, struct span bytes)
{
    char line[CHUNK_LINE];
    const struct span pieces[] = {head, chunk_line(bytes.len, line), bytes, SPAN("\r\n")};

    return conn_send_pieces(to, pieces, 4);
}

/* Sends the head, if it is still unsent, followed by `bytes`, which are not empty. */
static bool pass_on(const struct relay *r, struct conn *to, struct span *head, size_t room,
                    struct span bytes)
{
    struct span first = *head;

    *head = (struct span){NULL, 0};
    if (to == NULL)
        return true;
    if (r->encode)
        return send_chunk(to, first, bytes);
    if (first.len > 0 && bytes.len > 0 && bytes.len <= room && bytes.len <= COPY_MAX) {
        /* The room after the head belongs to its owner, and is writable. */
        memcpy((char *)(uintptr_t)first.at + first.len, bytes.at, bytes.len);
        first.len += bytes.len;
        bytes.len = 0;
    }
    return conn_send(to, first, bytes);
}

static enum relay_status verdict_of(enum http_body_status st)
{
    return st == HTTP_BODY_BAD ? RELAY_BAD_FRAMING : st == HTTP_BODY_DONE ? RELAY_END : RELAY_BUSY;
}

/* Takes the content of all chunks in the input and compacts it in place: `*data`. */
static enum http_body_status take_content(struct relay *r, struct conn *from, struct span *data)
{
    char *gathered = (char *)(uintptr_t)from->in.at; /* the connection's own memory, so writable */
    enum http_body_status st = HTTP_BODY_MORE;

    *data = (struct span){gathered, 0};
    while (from->in.len > 0 && st == HTTP_BODY_MORE) {
        struct span run = {NULL, 0};
        size_t used = 0;
        st = http_body_take(&r->body, from->in.at, from->in.len, &used, &run, &r->problem);
        if (run.len > 0)
            memmove(gathered + data->len, run.at, run.len);
        data->len += run.len;
        conn_consume(from, used);
    }
    return st;
}

static enum http_body_status take_verbatim(struct relay *r, struct conn *from, struct span *data)
{
    size_t used = 0;
    enum http_body_status st =
        r->finish && !r->encode
            ? http_body_take_chunk(&r->body, from->in.at, from->in.len, &used, &r->problem)
            : http_body_take(&r->body, from->in.at, from->in.len, &used, NULL, &r->problem);

    *data = (struct span){from->in.at, used};
    conn_consume(from, used);
    return st;
}

/* Passes on the available input. RELAY_BUSY: all of it, and more will follow. */
static enum relay_status take_input(struct relay *r, struct conn *from, struct conn *to,
                                    struct span *head, size_t room, uint64_t *moved)
{
    struct span data;
    size_t before = from->in.len;

    if (before == 0)
        return RELAY_BUSY;
    enum http_body_status st =
        r->decode ? take_content(r, from, &data) : take_verbatim(r, from, &data);
    r->began = r->began || from->in.len < before;
    if (r->body.data > r->max)
        return RELAY_TOO_LARGE;
    if (data.len > 0 && !pass_on(r, to, head, room, data))
        return RELAY_RECEIVER_LOST;
    *moved += before - from->in.len;
    return verdict_of(st);
}

bool relay_can_finish(const struct relay *r)
{
    return r->encode || (r->body.framing == HTTP_BODY_CHUNKED && !r->decode);
}

/* The body ends here, with a last chunk of weir's own. */
static bool finishes(struct relay *r)
{
    r->cut = r->finish && !http_body_complete(&r->body) &&
             (r->encode || http_body_between_chunks(&r->body));
    return r->cut;
}

static enum relay_status pump(struct relay *r, struct conn *from, struct conn *to,
                              struct span *head, size_t room, uint64_t *moved)
{
    if (http_body_complete(&r->body))
        return RELAY_END;
    for (int fills = 0;; fills++) {
        if (finishes(r))
            return RELAY_END;
        enum relay_status st = take_input(r, from, to, head, room, moved);
        if (st != RELAY_BUSY)
            return st;
        if (finishes(r))
            return RELAY_END;
        if (to != NULL && conn_backlog(to) >= budget_mark(r->budget, r->mark))
            return RELAY_BLOCKED;
        if (fills == PUMP_FILLS)
            return RELAY_BUSY; /* the input is empty: what is unread stays in the kernel */
        size_t most = to != NULL ? budget_read(r->budget, LOOP_SCRATCH) : LOOP_SCRATCH;
        switch (conn_fill(from, most)) {
        case CONN_GOT:
        case CONN_FULL:
            continue;
        case CONN_WAIT:
            return RELAY_WAIT;
        case CONN_EOF:
            return r->body.framing == HTTP_BODY_UNTIL_CLOSE ? RELAY_END : RELAY_TRUNCATED;
        case CONN_LOST:
            return RELAY_TRUNCATED;
        }
    }
}

/* The bytes that end the body, after the received ones. */
static struct span last_chunk(const struct relay *r, enum relay_status st)
{
    return (r->encode || r->cut) && st == RELAY_END ? SPAN("0\r\n\r\n") : (struct span){NULL, 0};
}

enum relay_status relay_pump(struct relay *r, struct conn *from, struct conn *to,
                             const struct relay_front *front, uint64_t *moved)
{
    struct span head = front != NULL ? front->head : (struct span){NULL, 0};
    size_t room = front != NULL ? front->room : 0;

    *moved = 0;
    CHECK(!r->stopped);
    enum relay_status st = pump(r, from, to, &head, room, moved);
    struct span last = last_chunk(r, st);
    if (head.len + last.len > 0 && st != RELAY_RECEIVER_LOST && to != NULL &&
        !conn_send(to, head, last))
        st = RELAY_RECEIVER_LOST;
    r->stopped = st == RELAY_END || st == RELAY_TOO_LARGE || st == RELAY_BAD_FRAMING ||
                 st == RELAY_TRUNCATED;
    return st;
}
