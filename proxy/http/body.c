/*
 * Message framing and the chunk decoder. Embedded in the relay of a message; that relay's thread.
 *
 *   SIZE_FIRST ─► SIZE ─┬─► EXT... ─┬─► SIZE_LF ─► DATA ─► DATA_CR ─► DATA_LF ─► SIZE_FIRST
 *                       └───────────┘      └ size 0 ─► LINE ─► NAME ─► VALUE ─► VALUE_LF ─► LINE
 *                                                        └──► END_LF ─► COMPLETE
 *
 * Each state has a function that checks one byte; only content is taken in runs.
 */
#include "proxy/http/body.h"

#include "proxy/http/chars.h"

enum chunk_state {
    CHUNK_SIZE_FIRST,
    CHUNK_SIZE,
    CHUNK_EXT_NAME_FIRST,
    CHUNK_EXT_NAME,
    CHUNK_EXT_VALUE_FIRST,
    CHUNK_EXT_TOKEN,
    CHUNK_EXT_QUOTED,
    CHUNK_EXT_ESCAPED,
    CHUNK_EXT_UNQUOTED,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_LINE,
    CHUNK_NAME,
    CHUNK_VALUE,
    CHUNK_VALUE_LF,
    CHUNK_END_LF,
    CHUNK_COMPLETE,
};

#define SIZE_DIGITS_MAX 15 /* with leading zeros: no recipient needs more than 60 bits */

static void body_init(struct http_body *body, enum http_framing framing, uint64_t left)
{
    body->framing = framing;
    body->response = false;
    body->underscores = true;
    body->underscored = false;
    body->state = CHUNK_SIZE_FIRST;
    body->size_digits = 0;
    body->line = 0;
    body->trailers = 0;
    body->left = left;
    body->data = 0;
    body->overhead = 0;
    body->n_named = 0;
}

/* ---- names that Connection removes, from trailers too ---- */

/* FNV-1a. `name` is folded already, and no longer than the part of a trailer's name that is
 * kept. */
static uint32_t hash_name(const char *name, size_t len)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)name[i]) * 16777619u;
    return hash;
}

static void note_named(struct http_body *body, struct span option)
{
    size_t len = option.len < sizeof body->name ? option.len : sizeof body->name;
    for (size_t i = 0; i < len; i++)
        body->name[i] = http_fold(option.at[i]);
    if (body->n_named < HTTP_BODY_NAMED_MAX)
        body->named[body->n_named] = hash_name(body->name, len);
    if (body->n_named <= HTTP_BODY_NAMED_MAX)
        body->n_named++;
}

static void chunked_init(struct http_body *body, const struct http_head *head)
{
    body_init(body, HTTP_BODY_CHUNKED, 0);
    if (!head->names_fields)
        return;
    for (unsigned i = 0; i < head->n_fields; i++) {
        struct span list = head->fields[i].value, option;
        if (head->fields[i].id != HTTP_FIELD_CONNECTION)
            continue;
        while (http_list_next(&list, &option))
            note_named(body, option);
    }
}

static bool is_named_away(const struct http_body *body, struct span name)
{
    if (body->n_named == 0)
        return false;
    if (body->n_named > HTTP_BODY_NAMED_MAX)
        return true;
    uint32_t hash = hash_name(name.at, name.len);
    for (unsigned i = 0; i < body->n_named; i++) {
        if (body->named[i] == hash)
            return true;
    }
    return false;
}

/* ---- framing ---- */

void http_body_of_request(struct http_body *body, const struct http_head *head, bool underscores)
{
    if (head->chunked)
        chunked_init(body, head);
    else if (head->has_content_length)
        body_init(body, HTTP_BODY_LENGTH, head->content_length);
    else
        body_init(body, HTTP_BODY_NONE, 0);
    body->underscores = underscores;
}

void http_body_of_response(struct http_body *body, const struct http_head *head,
                           enum http_method asked)
{
    if (asked == HTTP_HEAD || head->status < 200 || head->status == 204 || head->status == 304)
        body_init(body, HTTP_BODY_NONE, 0);
    else if (head->chunked)
        chunked_init(body, head);
    else if (head->has_content_length)
        body_init(body, HTTP_BODY_LENGTH, head->content_length);
    else
        body_init(body, HTTP_BODY_UNTIL_CLOSE, 0);
    body->response = true;
}

bool http_body_complete(const struct http_body *body)
{
    switch (body->framing) {
    case HTTP_BODY_NONE:
        return true;
    case HTTP_BODY_LENGTH:
        return body->left == 0;
    case HTTP_BODY_CHUNKED:
        return body->state == CHUNK_COMPLETE;
    case HTTP_BODY_UNTIL_CLOSE:
        break;
    }
    return false;
}

/* ---- the states: each takes a byte, or returns the reason to refuse it ---- */

static const char *const bad_size = "a chunk size that is not 1 to 15 hex digits and CRLF";
static const char *const bad_extension = "a malformed chunk extension";

static const char *take_size_first(struct http_body *body, char c)
{
    if (!http_char_is(c, HTTP_CHAR_HEX))
        return bad_size;
    body->left = http_hex_value(c);
    body->size_digits = 1;
    body->line = 0;
    body->state = CHUNK_SIZE;
    return NULL;
}

/* Extensions are checked and forwarded, within limits (CVE-2023-39326). */
static const char *count_extension(struct http_body *body)
{
    if (++body->line > HTTP_CHUNK_EXT_MAX)
        return "chunk extensions are too long";
    if (++body->overhead > HTTP_CHUNK_OVERHEAD_MAX + body->data)
        return "more chunk extensions than content";
    return NULL;
}

/* After a size, an extension's name or its value: the next extension, or the end. */
static const char *end_of_part(struct http_body *body, char c, const char *otherwise)
{
    if (c == '\r') {
        body->state = CHUNK_SIZE_LF;
        return NULL;
    }
    if (c != ';')
        return otherwise;
    body->state = CHUNK_EXT_NAME_FIRST;
    return count_extension(body);
}

static const char *take_size(struct http_body *body, char c)
{
    if (!http_char_is(c, HTTP_CHAR_HEX))
        return end_of_part(body, c, bad_size);
    if (body->size_digits == SIZE_DIGITS_MAX)
        return bad_size;
    body->size_digits++;
    body->left = body->left << 4 | http_hex_value(c);
    return NULL;
}

static const char *take_ext_token(struct http_body *body, char c, enum chunk_state next)
{
    if (!http_char_is(c, HTTP_CHAR_TOKEN))
        return bad_extension;
    body->state = (unsigned char)next;
    return count_extension(body);
}

static const char *take_ext_name_first(struct http_body *body, char c)
{
    return take_ext_token(body, c, CHUNK_EXT_NAME);
}

static const char *take_ext_name(struct http_body *body, char c)
{
    if (http_char_is(c, HTTP_CHAR_TOKEN))
        return count_extension(body);
    if (c != '=')
        return end_of_part(body, c, bad_extension);
    body->state = CHUNK_EXT_VALUE_FIRST;
    return count_extension(body);
}

static const char *take_ext_value_first(struct http_body *body, char c)
{
    if (c != '"')
        return take_ext_token(body, c, CHUNK_EXT_TOKEN);
    body->state = CHUNK_EXT_QUOTED;
    return count_extension(body);
}

static const char *take_ext_value(struct http_body *body, char c)
{
    if (http_char_is(c, HTTP_CHAR_TOKEN))
        return count_extension(body);
    return end_of_part(body, c, bad_extension);
}

static const char *take_ext_quoted(struct http_body *body, char c)
{
    if (!http_is_field_char(c))
        return bad_extension;
    if (c == '\\')
        body->state = CHUNK_EXT_ESCAPED;
    else if (c == '"')
        body->state = CHUNK_EXT_UNQUOTED;
    return count_extension(body);
}

static const char *take_ext_escaped(struct http_body *body, char c)
{
    if (!http_is_field_char(c))
        return bad_extension;
    body->state = CHUNK_EXT_QUOTED;
    return count_extension(body);
}

static const char *take_ext_unquoted(struct http_body *body, char c)
{
    return end_of_part(body, c, bad_extension);
}

static const char *expect(struct http_body *body, char c, char wanted, enum chunk_state next,
                          const char *otherwise)
{
    if (c != wanted)
        return otherwise;
    body->state = (unsigned char)next;
    return NULL;
}

static const char *take_size_lf(struct http_body *body, char c)
{
    return expect(body, c, '\n', body->left > 0 ? CHUNK_DATA : CHUNK_LINE,
                  "a chunk size line that ends with CR without LF");
}

static const char *take_data_cr(struct http_body *body, char c)
{
    return expect(body, c, '\r', CHUNK_DATA_LF, "no CRLF after chunk data");
}

static const char *take_data_lf(struct http_body *body, char c)
{
    return expect(body, c, '\n', CHUNK_SIZE_FIRST, "no CRLF after chunk data");
}

static const char *take_end_lf(struct http_body *body, char c)
{
    return expect(body, c, '\n', CHUNK_COMPLETE, "no CRLF at the end of the trailers");
}

/* ---- trailers ---- */

enum { OF_REQUESTS = 1, OF_RESPONSES = 2, OF_BOTH = OF_REQUESTS | OF_RESPONSES };

/*
 * Fields that may not be trailers: their meaning is needed before the content is read (RFC 9110
 * section 6.5.1), and a recipient that merges trailers into the header section would be deceived
 * about the message. All others are metadata and are forwarded, since a conforming recipient keeps
 * trailers apart, and refusing one would destroy a complete message. A name that ends in `-` is a
 * prefix. The names are folded.
 *
 * Content-Type and the like are allowed in responses: refusing them costs the client a whole
 * response, and no user agent reads a trailer as one of them.
 */
static const struct refused_trailer {
    const char *name;
    unsigned char of;
} refused_trailers[] = {
    /* message framing */
    {"content-length", OF_BOTH},
    {"transfer-encoding", OF_BOTH},
    /* control of the connection, which weir has with each peer separately; trailers are forwarded
     * as received, so these cannot be removed */
    {"close", OF_BOTH},
    {"connection", OF_BOTH},
    {"keep-alive", OF_BOTH},
    {"proxy", OF_BOTH},
    {"proxy-", OF_BOTH},
    {"te", OF_BOTH},
    {"trailer", OF_BOTH},
    {"upgrade", OF_BOTH},
    /* routing, and the identity of the client */
    {"daphne-root-path", OF_REQUESTS},
    {"forwarded", OF_REQUESTS},
    {"host", OF_REQUESTS},
    {"max-forwards", OF_REQUESTS},
    {"x-forwarded-", OF_REQUESTS},
    {"x-real-", OF_REQUESTS},
    /* authentication, and cookies used for it */
    {"authorization", OF_REQUESTS},
    {"cookie", OF_REQUESTS},
    {"set-cookie", OF_RESPONSES},
    {"www-authenticate", OF_RESPONSES},
    /* conditions: an app that ignores trailers would do what the client excluded */
    {"expect", OF_REQUESTS},
    {"if-", OF_REQUESTS},
    {"range", OF_REQUESTS},
    /* how the content is read: a filter in front may have read it otherwise */
    {"content-encoding", OF_REQUESTS},
    {"content-range", OF_REQUESTS},
    {"content-type", OF_REQUESTS},
};

static bool matches(struct span name, const char *refused)
{
    size_t len = strlen(refused);

    if (refused[len - 1] == '-')
        return name.len >= len && memcmp(name.at, refused, len) == 0;
    return name.len == len && memcmp(name.at, refused, len) == 0;
}

static bool is_refused_trailer(const struct http_body *body, struct span name)
{
    unsigned of = body->response ? OF_RESPONSES : OF_REQUESTS;

    for (size_t i = 0; i < sizeof refused_trailers / sizeof *refused_trailers; i++) {
        if (refused_trailers[i].of & of && matches(name, refused_trailers[i].name))
            return true;
    }
    return false;
}

static const char *count_trailer(struct http_body *body)
{
    return ++body->trailers > HTTP_TRAILERS_MAX ? "the trailers are too long" : NULL;
}

/* Keeps the start of a name, as an app that folds names would see it. */
static const char *take_name_byte(struct http_body *body, char c)
{
    if (body->line < sizeof body->name)
        body->name[body->line] = http_fold(c);
    body->underscored = body->underscored || c == '_';
    body->line++;
    body->state = CHUNK_NAME;
    return count_trailer(body);
}

static const char *take_line(struct http_body *body, char c)
{
    body->line = 0;
    body->underscored = false;
    if (http_char_is(c, HTTP_CHAR_TOKEN))
        return take_name_byte(body, c);
    return expect(body, c, '\r', CHUNK_END_LF, "a trailer line that is not `name: value`");
}

static const char *take_name(struct http_body *body, char c)
{
    if (http_char_is(c, HTTP_CHAR_TOKEN))
        return take_name_byte(body, c);
    if (c != ':')
        return "a trailer line that is not `name: value`";
    size_t kept = body->line < sizeof body->name ? body->line : sizeof body->name;
    if (is_refused_trailer(body, (struct span){body->name, kept}))
        return "a field that is not allowed in a trailer";
    if (is_named_away(body, (struct span){body->name, kept}))
        return "a trailer field that Connection names";
    /* Uvicorn with httptools merges trailers into the headers, where such names are dropped. */
    if (body->underscored && !body->underscores)
        return "an underscore in the name of a trailer field (headers.underscores)";
    body->state = CHUNK_VALUE;
    return count_trailer(body);
}

static const char *take_value(struct http_body *body, char c)
{
    if (c == '\r')
        body->state = CHUNK_VALUE_LF;
    else if (!http_is_field_char(c))
        return "an invalid byte in a trailer";
    return count_trailer(body);
}

static const char *take_value_lf(struct http_body *body, char c)
{
    if (c != '\n')
        return "bare CR in a trailer";
    body->state = CHUNK_LINE;
    return count_trailer(body);
}

/* ---- the input ---- */

typedef const char *take_byte_fn(struct http_body *body, char c);

static take_byte_fn *const take_byte[] = {
    [CHUNK_SIZE_FIRST] = take_size_first,
    [CHUNK_SIZE] = take_size,
    [CHUNK_EXT_NAME_FIRST] = take_ext_name_first,
    [CHUNK_EXT_NAME] = take_ext_name,
    [CHUNK_EXT_VALUE_FIRST] = take_ext_value_first,
    [CHUNK_EXT_TOKEN] = take_ext_value,
    [CHUNK_EXT_QUOTED] = take_ext_quoted,
    [CHUNK_EXT_ESCAPED] = take_ext_escaped,
    [CHUNK_EXT_UNQUOTED] = take_ext_unquoted,
    [CHUNK_SIZE_LF] = take_size_lf,
    [CHUNK_DATA] = NULL, /* in runs */
    [CHUNK_DATA_CR] = take_data_cr,
    [CHUNK_DATA_LF] = take_data_lf,
    [CHUNK_LINE] = take_line,
    [CHUNK_NAME] = take_name,
    [CHUNK_VALUE] = take_value,
    [CHUNK_VALUE_LF] = take_value_lf,
    [CHUNK_END_LF] = take_end_lf,
    [CHUNK_COMPLETE] = NULL, /* takes nothing */
};

/* Takes the available part of the content, and returns it. */
static struct span take_run(struct http_body *body, const char *at, size_t len)
{
    size_t n = len < body->left ? len : (size_t)body->left;
    body->left -= n;
    body->data += n;
    return (struct span){at, n};
}

static enum http_body_status status_of(const struct http_body *body)
{
    return http_body_complete(body) ? HTTP_BODY_DONE : HTTP_BODY_MORE;
}

static enum http_body_status take_chunked(struct http_body *body, struct span in, size_t *used,
                                          struct span *data, struct http_problem *problem)
{
    while (*used < in.len && body->state != CHUNK_COMPLETE) {
        if (body->state == CHUNK_DATA) {
            struct span run = take_run(body, in.at + *used, in.len - *used);
            *used += run.len;
            if (body->left == 0)
                body->state = CHUNK_DATA_CR;
            if (data == NULL)
                continue;
            *data = run;
            break;
        }
        const char *why = take_byte[body->state](body, in.at[*used]);
        if (why != NULL) {
            *problem = (struct http_problem){400, why};
            return HTTP_BODY_BAD;
        }
        ++*used;
    }
    return status_of(body);
}

bool http_body_between_chunks(const struct http_body *body)
{
    return body->framing == HTTP_BODY_CHUNKED && body->state == CHUNK_SIZE_FIRST;
}

/* Outside of its content, a chunk is taken byte by byte: its end is where the next would begin. */
enum http_body_status http_body_take_chunk(struct http_body *body, const char *at, size_t len,
                                           size_t *used, struct http_problem *problem)
{
    enum http_body_status st = status_of(body);

    *used = 0;
    while (*used < len && st == HTTP_BODY_MORE && !http_body_between_chunks(body)) {
        size_t step = body->state == CHUNK_DATA ? len - *used : 1, taken = 0;
        struct span run;
        st = take_chunked(body, (struct span){at + *used, step}, &taken, &run, problem);
        *used += taken;
    }
    return st;
}

enum http_body_status http_body_take(struct http_body *body, const char *at, size_t len,
                                     size_t *used, struct span *data, struct http_problem *problem)
{
    struct span run = {at, 0};
    *used = 0;
    if (data != NULL)
        *data = run;
    if (body->framing == HTTP_BODY_CHUNKED)
        return take_chunked(body, (struct span){at, len}, used, data, problem);
    if (body->framing == HTTP_BODY_LENGTH)
        run = take_run(body, at, len);
    if (body->framing == HTTP_BODY_UNTIL_CLOSE) {
        run.len = len;
        body->data += len;
    }
    *used = run.len;
    if (data != NULL)
        *data = run;
    return status_of(body);
}
