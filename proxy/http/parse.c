/*
 * The head parser. Pure; any thread.
 *
 * A head that is complete, as nearly all are, is read in one pass by reader_run(). The reader can
 * only accept. When it does not accept, because bytes are missing or invalid, the slow path
 * decides: it examines the new bytes one by one, refuses the head at the first byte that no head
 * may contain, remembers its position, and runs the reader once the empty line has arrived. So the
 * result depends on the bytes alone, never on how they were split into reads.
 *
 *      start line ──CRLF──► checked at once ──► fields, bytes only ──empty line──► all checked
 *          414                                       431
 */
#include "proxy/http/parse.h"

#include "proxy/http/chars.h"

struct reader {
    const char *at, *end; /* what remains */
    struct http_head *head;
    struct http_problem *problem;
    uint32_t max_fields;
    struct span request_id_name;
    struct span coding; /* of the first Transfer-Encoding field */
    unsigned n_codings; /* number of Transfer-Encoding fields */
    bool response;
    bool upgrade_option; /* Connection names upgrade */
};

/* Always returns false, so that a rule fits on one line. */
static bool refuse(struct reader *r, unsigned status, const char *reason)
{
    *r->problem = (struct http_problem){r->response ? 502 : status, reason};
    return false;
}

static bool word_is(struct span s, const char *lower)
{
    return span_equal_nocase(s, span_of(lower));
}

/* ---- one field: its meaning for the message ---- */

static bool note_content_length(struct reader *r, struct span value)
{
    uint64_t length = 0;
    if (r->head->has_content_length)
        return refuse(r, 400, "more than one Content-Length");
    if (value.len == 0 || value.len > 19)
        return refuse(r, 400, "Content-Length is not a number of 1 to 19 digits");
    for (size_t i = 0; i < value.len; i++) {
        if (!http_char_is(value.at[i], HTTP_CHAR_DIGIT))
            return refuse(r, 400, "Content-Length is not a number of 1 to 19 digits");
        length = length * 10 + (uint64_t)(value.at[i] - '0');
    }
    /* 19 digits fit, but a recipient that uses a signed number must get the same value. */
    if (length > INT64_MAX)
        return refuse(r, 400, "Content-Length is too large");
    r->head->has_content_length = true;
    r->head->content_length = length;
    return true;
}

static bool note_host(struct reader *r, struct span value)
{
    if (r->response)
        return true;
    if (r->head->present & HTTP_FIELD_BIT(HTTP_FIELD_HOST))
        return refuse(r, 400, "more than one Host");
    if (!http_host_is_valid(value))
        return refuse(r, 400, "invalid Host");
    if (r->head->authority.len == 0)
        r->head->host = value;
    return true;
}

static void note_option(struct reader *r, struct span option)
{
    if (word_is(option, "close"))
        r->head->close = true;
    else if (word_is(option, "keep-alive"))
        r->head->keep_alive = true;
    else if (word_is(option, "upgrade"))
        r->upgrade_option = true;
    else if (!word_is(option, "te"))
        r->head->names_fields = true;
}

static bool note_connection(struct reader *r, struct span value)
{
    struct span option;
    while (http_list_next(&value, &option)) {
        if (!http_is_token(option))
            return refuse(r, 400, "Connection contains an invalid token");
        if (++r->head->n_options > HTTP_OPTIONS_MAX)
            return refuse(r, 400, "too many Connection options");
        note_option(r, option);
    }
    return true;
}

/* A list, so it may be repeated and have empty elements (RFC 9110 section 5.6.1.2). HTTP/1.0 has no
 * expectations: section 10.1.1 requires us to ignore the field there. */
static bool note_expect(struct reader *r, struct span value)
{
    struct span expectation;

    if (r->response || r->head->minor == 0)
        return true;
    while (http_list_next(&value, &expectation)) {
        if (!word_is(expectation, "100-continue"))
            return refuse(r, 417, "an expectation other than 100-continue");
        r->head->expect_continue = true;
    }
    return true;
}

#define BIT(name) HTTP_FIELD_BIT(HTTP_FIELD_##name)

static bool note_field(struct reader *r, const struct http_field *f)
{
    const uint32_t plain = BIT(OTHER) | BIT(DATE) | BIT(DEADLINE) | BIT(QUEUE_START) |
                           BIT(TRACEPARENT) | BIT(X_REQUEST_START);
    if (HTTP_FIELD_BIT(f->id) & plain)
        return true;
    if (f->id == HTTP_FIELD_ACCEPT) {
        http_head_note_accept(r->head, f->value);
        return true;
    }
    if (f->id == HTTP_FIELD_CONTENT_LENGTH)
        return note_content_length(r, f->value);
    if (f->id == HTTP_FIELD_TRANSFER_ENCODING && r->n_codings++ == 0)
        r->coding = f->value;
    if (f->id == HTTP_FIELD_HOST)
        return note_host(r, f->value);
    if (f->id == HTTP_FIELD_CONNECTION)
        return note_connection(r, f->value);
    if (f->id == HTTP_FIELD_EXPECT)
        return note_expect(r, f->value);
    if (f->id == HTTP_FIELD_TE && r->head->minor > 0 && http_list_has(f->value, SPAN("trailers")))
        r->head->te_trailers = true;
    return true;
}

/* ---- one field: its bytes ---- */

static bool folds_alike(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (http_fold(a.at[i]) != http_fold(b.at[i]))
            return false;
    }
    return true;
}

/* Clients read the names in a response, and they do not fold them. A deadline or a start that is
 * spelt in another way than its senders do says nothing. */
static bool classify_underscore(struct reader *r, struct http_field *f)
{
    if (f->id == HTTP_FIELD_CONTENT_LENGTH || f->id == HTTP_FIELD_TRANSFER_ENCODING)
        return refuse(r, 400, "a framing field with an underscore in its name");
    if (r->response)
        f->id = HTTP_FIELD_OTHER;
    else if (f->id != HTTP_FIELD_X_REQUEST_ID)
        f->id = HTTP_FIELD_BIT(f->id) & (BIT(OTHER) | BIT(DEADLINE) | BIT(QUEUE_START))
                    ? HTTP_FIELD_UNDERSCORE
                    : HTTP_FIELD_ALIAS;
    return true;
}

/* `plain`: the name consists of letters, digits and `-`. */
static bool classify(struct reader *r, struct http_field *f, bool plain)
{
    f->id = http_field_id_of(f->name);
    if (f->id == HTTP_FIELD_OTHER && folds_alike(f->name, r->request_id_name))
        f->id = span_equal_nocase(f->name, r->request_id_name) ? HTTP_FIELD_X_REQUEST_ID
                                                               : HTTP_FIELD_ALIAS;
    return plain || memchr(f->name.at, '_', f->name.len) == NULL || classify_underscore(r, f);
}

static bool refuse_name(struct reader *r, const char *start, const char *stop)
{
    if (stop < r->end && http_is_blank(*stop))
        return refuse(r, 400,
                      stop == start ? "white space at the start of a field line"
                                    : "white space between a field's name and its colon");
    if (stop < r->end && *stop == ':')
        return refuse(r, 400, "empty field name");
    return refuse(r, 400, "a field line that is not `name: value`");
}

static bool read_field(struct reader *r, struct http_field *f)
{
    const char *start = r->at;
    const char *colon = http_scan_name(start, r->end);
    const bool plain = colon < r->end && *colon == ':';
    if (!plain)
        colon = http_scan_token_plain(colon, r->end);
    if (colon == r->end || *colon != ':' || colon == start)
        return refuse_name(r, start, colon);

    const char *value = colon + 1;
    while (value < r->end && http_is_blank(*value))
        value++;
    const char *stop = http_scan_field(value, r->end);
    if (r->end - stop < 2 || stop[0] != '\r' || stop[1] != '\n')
        return refuse(r, 400, "a field value without CRLF at its end");
    r->at = stop + 2;
    f->line = (struct span){start, (size_t)(r->at - start)};
    while (stop > value && http_is_blank(stop[-1]))
        stop--;
    f->name = (struct span){start, (size_t)(colon - start)};
    f->value = (struct span){value, (size_t)(stop - value)};
    if (!classify(r, f, plain) || !note_field(r, f))
        return false;
    r->head->present |= HTTP_FIELD_BIT(f->id);
    return true;
}

static bool read_fields(struct reader *r)
{
    struct http_head *head = r->head;
    while (r->end - r->at >= 2) {
        if (r->at[0] == '\r' && r->at[1] == '\n') {
            r->at += 2;
            return true;
        }
        if (head->n_fields == r->max_fields)
            return refuse(r, 431,
                          r->response ? "the response has more fields than upstream.max_headers"
                                      : "more fields than client.max_headers");
        if (!read_field(r, &head->fields[head->n_fields]))
            return false;
        head->n_fields++;
    }
    return refuse(r, 400, "incomplete header section");
}

/* ---- the request line ---- */

/* A chain, not a table: with the length known, each comparison is one or two instructions. */
static enum http_method method_of(struct span text)
{
    if (span_equal(text, SPAN("GET")))
        return HTTP_GET;
    if (span_equal(text, SPAN("POST")))
        return HTTP_POST;
    if (span_equal(text, SPAN("HEAD")))
        return HTTP_HEAD;
    if (span_equal(text, SPAN("PUT")))
        return HTTP_PUT;
    if (span_equal(text, SPAN("DELETE")))
        return HTTP_DELETE;
    if (span_equal(text, SPAN("PATCH")))
        return HTTP_PATCH;
    if (span_equal(text, SPAN("OPTIONS")))
        return HTTP_OPTIONS;
    if (span_equal(text, SPAN("CONNECT")))
        return HTTP_CONNECT;
    if (span_equal(text, SPAN("TRACE")))
        return HTTP_TRACE;
    return HTTP_OTHER;
}

static bool begins_with(struct span s, struct span lower)
{
    return s.len >= lower.len && span_equal_nocase((struct span){s.at, lower.len}, lower);
}

/* The length of "http://" or "https://", or 0. */
static size_t scheme_len(struct span target)
{
    if (begins_with(target, SPAN("http://")))
        return 7;
    return begins_with(target, SPAN("https://")) ? 8 : 0;
}

static bool read_absolute_form(struct reader *r, struct span target)
{
    struct http_head *head = r->head;
    const size_t scheme = scheme_len(target);
    const char *end = target.at + target.len;
    const char *at = target.at + scheme;
    if (scheme == 0)
        return refuse(r, 400, "a target that is neither a path nor an http URI");
    while (at < end && *at != '/' && *at != '?')
        at++;
    head->authority = (struct span){target.at + scheme, target.len - scheme - (size_t)(end - at)};
    if (memchr(head->authority.at, '@', head->authority.len) != NULL)
        return refuse(r, 400, "userinfo in the target");
    if (!http_host_is_valid(head->authority))
        return refuse(r, 400, "invalid authority in the target");
    head->host = head->authority;
    head->path = (struct span){at, (size_t)(end - at)};
    /* RFC 9112 section 3.2.4: OPTIONS without a path refers to the server. */
    if (head->path.len == 0)
        head->path = head->method == HTTP_OPTIONS ? SPAN("*") : SPAN("/");
    return true;
}

static bool read_target_form(struct reader *r)
{
    struct http_head *head = r->head;
    struct span target = head->target;
    head->path = target;
    if (head->method == HTTP_CONNECT)
        return refuse(r, 405, "CONNECT is not supported");
    if (target.at[0] == '/')
        return true;
    if (target.len == 1 && target.at[0] == '*')
        return head->method == HTTP_OPTIONS ||
               refuse(r, 400, "target * is valid only with OPTIONS");
    return read_absolute_form(r, target);
}

static bool read_target(struct reader *r)
{
    const char *start = r->at;
    r->at = http_scan_target(start, r->end);
    r->head->target = (struct span){start, (size_t)(r->at - start)};
    if (r->at < r->end && *r->at == '#')
        return refuse(r, 400, "a fragment in the target");
    if (r->head->target.len == 0 || r->at == r->end || *r->at != ' ')
        return refuse(r, 400, "a request line that is not `method target version`");
    r->at++;
    return true;
}

/* `HTTP/1.0` or `HTTP/1.1`. */
static bool read_version(struct reader *r)
{
    const char *at = r->at;
    if (r->end - at < 8 || memcmp(at, "HTTP/", 5) != 0 || !http_char_is(at[5], HTTP_CHAR_DIGIT) ||
        at[6] != '.' || !http_char_is(at[7], HTTP_CHAR_DIGIT))
        return refuse(r, 400, "invalid HTTP version");
    if (at[5] != '1' || at[7] > '1')
        return refuse(r, 505, "an HTTP version other than 1.0 and 1.1");
    r->head->minor = (unsigned)(at[7] - '0');
    r->at += 8;
    return true;
}

static bool read_crlf(struct reader *r)
{
    if (r->end - r->at < 2 || r->at[0] != '\r' || r->at[1] != '\n')
        return refuse(r, 400, "the start line has more than three parts");
    r->at += 2;
    return true;
}

static bool read_request_line(struct reader *r)
{
    const char *start = r->at;
    r->at = http_scan_token_plain(start, r->end); /* too short for vectors */
    if (r->at == start || r->at == r->end || *r->at != ' ')
        return refuse(r, 400, "a request line that does not begin with a method");
    r->head->method_text = (struct span){start, (size_t)(r->at - start)};
    r->head->method = method_of(r->head->method_text);
    r->at++;
    return read_target(r) && read_version(r) && read_crlf(r) && read_target_form(r);
}

/* ---- the status line ---- */

/* The statuses from 600 to 999 are undefined, but apps use them, and app and client agree on their
 * meaning; a status below 100 does not say whether the response is final. */
static bool read_status(struct reader *r)
{
    const char *at = r->at;
    if (r->end - at < 4 || at[0] != ' ')
        return refuse(r, 502, "a status line without a status");
    for (int i = 1; i <= 3; i++) {
        if (!http_char_is(at[i], HTTP_CHAR_DIGIT))
            return refuse(r, 502, "a status that is not three digits");
    }
    r->head->status =
        (unsigned)(at[1] - '0') * 100 + (unsigned)(at[2] - '0') * 10 + (unsigned)(at[3] - '0');
    if (r->head->status < 100)
        return refuse(r, 502, "a status below 100");
    r->at += 4;
    return true;
}

/* The space before an empty reason is required, but often omitted; omitting it is not ambiguous. */
static bool read_reason(struct reader *r)
{
    if (r->at < r->end && *r->at == ' ')
        r->at++;
    else if (r->at < r->end && *r->at != '\r')
        return refuse(r, 502, "a status that is not three digits");
    const char *start = r->at;
    r->at = http_scan_field(start, r->end);
    r->head->reason = (struct span){start, (size_t)(r->at - start)};
    return true;
}

static bool read_status_line(struct reader *r)
{
    return read_version(r) && read_status(r) && read_reason(r) && read_crlf(r);
}

/* ---- the message ---- */

/* Whether the coding is registered. Such a coding is known, but does not delimit a message. */
static bool is_known_coding(struct span value)
{
    static const char *const known[] = {"identity", "gzip",     "x-gzip",
                                        "deflate",  "compress", "x-compress"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (word_is(value, known[i]))
            return true;
    }
    return false;
}

/* A list of other codings that ends in a single chunked: delimited, but the content is encoded. */
static bool ends_in_chunked(struct span list)
{
    struct span coding;
    unsigned others = 0;

    while (http_list_next(&list, &coding)) {
        if (word_is(coding, "chunked"))
            return others > 0 && list.len == 0;
        if (!http_is_token(coding) || word_is(coding, "identity"))
            return false;
        others++;
    }
    return false;
}

/*
 * A length together with a coding, in any spelling, is the basis of request smuggling. Of all
 * lists, only these two must not have empty elements, and a length must not be a list at all (RFC
 * 9110 sections 5.6.1.2 and 8.6 would allow it): recipients that disagree on such a list disagree
 * on where the message ends.
 */
static bool judge_coding(struct reader *r)
{
    if (r->n_codings == 0)
        return true;
    if (r->head->has_content_length)
        return refuse(r, 400, "both Content-Length and Transfer-Encoding");
    if (r->n_codings > 1)
        return refuse(r, 400, "more than one Transfer-Encoding");
    if (r->head->minor == 0)
        return refuse(r, 400, "Transfer-Encoding in HTTP/1.0");
    r->head->chunked = word_is(r->coding, "chunked");
    if (r->head->chunked)
        return true;
    if (ends_in_chunked(r->coding) || (http_is_token(r->coding) && !is_known_coding(r->coding)))
        return refuse(r, 501, "unknown transfer coding");
    return refuse(r, 400, "Transfer-Encoding is not exactly chunked");
}

static bool judge_request(struct reader *r)
{
    const struct http_head *head = r->head;
    if (head->minor > 0 && !(head->present & HTTP_FIELD_BIT(HTTP_FIELD_HOST)))
        return refuse(r, 400, "no Host");
    return true;
}

static bool judge_response(struct reader *r)
{
    const struct http_head *head = r->head;
    if (head->chunked && (head->status < 200 || head->status == 204))
        return refuse(r, 502, "Transfer-Encoding in a response that cannot have a body");
    return true;
}

static bool judge(struct reader *r)
{
    struct http_head *head = r->head;
    if (!judge_coding(r))
        return false;
    head->has_upgrade =
        r->upgrade_option && (head->present & HTTP_FIELD_BIT(HTTP_FIELD_UPGRADE)) != 0;
    return r->response ? judge_response(r) : judge_request(r);
}

/*
 * Clears all but the fields, which are 14 KiB; n_fields tells how many of them are valid. The
 * members are cleared one by one, because compilers turn a memset of this size into an instruction
 * that takes 15 ns, and a chain of assignments into loads that wait for their stores.
 */
static void head_clear(struct http_head *head)
{
    const struct span none = {NULL, 0};
    head->whole = none;
    head->method = HTTP_OTHER;
    head->method_text = none;
    head->target = none;
    head->authority = none;
    head->path = none;
    head->host = none;
    head->status = 0;
    head->reason = none;
    head->minor = 0;
    head->has_content_length = false;
    head->content_length = 0;
    head->chunked = false;
    head->has_upgrade = false;
    head->expect_continue = false;
    head->close = false;
    head->keep_alive = false;
    head->te_trailers = false;
    head->accepts_events = false;
    head->accepts_others = false;
    head->names_fields = false;
    head->n_options = 0;
    head->present = 0;
    head->n_fields = 0;
}

static bool read_start_line(struct reader *r)
{
    head_clear(r->head);
    return r->response ? read_status_line(r) : read_request_line(r);
}

/* Starts from the first byte; also false if bytes are missing. */
static bool reader_run(struct reader *r)
{
    const char *start = r->at;
    r->n_codings = 0;
    r->upgrade_option = false;
    if (!read_start_line(r) || !read_fields(r) || !judge(r))
        return false;
    r->head->whole = (struct span){start, (size_t)(r->at - start)};
    return true;
}

/* ---- the slow path ---- */

static enum http_parse_status bad(struct reader *r, unsigned status, const char *reason)
{
    (void)refuse(r, status, reason);
    return HTTP_PARSE_BAD;
}

static enum http_parse_status refuse_byte(struct reader *r, const char *at)
{
    if (*at == '\r')
        return bad(r, 400, "bare CR in the header section");
    if (*at == '\n')
        return bad(r, 400, "bare LF in the header section");
    if (*at == '\0')
        return bad(r, 400, "NUL in the header section");
    return bad(r, 400, "an invalid byte in the header section");
}

/*
 * Looks for a CRLF from r->at, over bytes that `scan` accepts. DONE: r->at is just past it. MORE:
 * r->at is at the first byte that was not examined.
 */
static enum http_parse_status find_crlf(struct reader *r,
                                        const char *(*scan)(const char *, const char *))
{
    r->at = scan(r->at, r->end);
    if (r->at == r->end)
        return HTTP_PARSE_MORE;
    if (*r->at != '\r')
        return refuse_byte(r, r->at);
    if (r->end - r->at < 2)
        return HTTP_PARSE_MORE;
    if (r->at[1] != '\n')
        return refuse_byte(r, r->at);
    r->at += 2;
    return HTTP_PARSE_DONE;
}

/* Other protocols are recognised by their first bytes, without waiting for more. */
static bool begins_well(const struct reader *r, const char *start)
{
    static const char version[] = "HTTP/";
    size_t len = (size_t)(r->end - start);
    if (len == 0)
        return true;
    if (r->response)
        return memcmp(start, version, len < 5 ? len : 5) == 0;
    return http_char_is(*start, HTTP_CHAR_TOKEN);
}

static enum http_parse_status look_at_start_line(struct reader *r, const char *start)
{
    if (!begins_well(r, start))
        return bad(r, 400, "not the beginning of an HTTP message");
    enum http_parse_status found = find_crlf(r, r->response ? http_scan_field : http_scan_line);
    if (found != HTTP_PARSE_DONE)
        return found;
    struct reader line = *r;
    line.at = start;
    line.end = r->at;
    return read_start_line(&line) ? HTTP_PARSE_DONE : HTTP_PARSE_BAD;
}

static enum http_parse_status look_at_fields(struct reader *r)
{
    for (;;) {
        enum http_parse_status found = find_crlf(r, http_scan_field);
        if (found != HTTP_PARSE_DONE)
            return found;
        if (r->at[-3] == '\n') /* the CRLF of the start line always precedes */
            return HTTP_PARSE_DONE;
    }
}

static enum http_parse_status look_further(struct http_parser *p, struct reader *r,
                                           const char *start)
{
    enum http_parse_status found = HTTP_PARSE_DONE;
    if (!p->in_fields) {
        found = look_at_start_line(r, start);
        p->in_fields = found == HTTP_PARSE_DONE;
    }
    return found == HTTP_PARSE_DONE ? look_at_fields(r) : found;
}

/* The reasons name the option, since an operator may have to raise it. */
static enum http_parse_status refuse_length(struct reader *r, bool in_fields)
{
    if (r->response)
        return bad(r, 502, "the response headers exceed upstream.max_head");
    if (in_fields)
        return bad(r, 431, "the request headers exceed client.max_head");
    return bad(r, 414, "the request line exceeds client.max_head");
}

static enum http_parse_status parse_slowly(struct http_parser *p, struct reader *r, const char *buf,
                                           bool full)
{
    const char *start = buf + p->skipped;
    r->at = buf + p->seen;
    enum http_parse_status found = look_further(p, r, start);
    if (found == HTTP_PARSE_MORE && full)
        return refuse_length(r, p->in_fields);
    p->seen = (uint32_t)(r->at - buf);
    if (found != HTTP_PARSE_DONE)
        return found;
    r->end = r->at;
    r->at = start;
    return reader_run(r) ? HTTP_PARSE_DONE : HTTP_PARSE_BAD;
}

static enum http_parse_status parse(struct http_parser *p, struct reader *r, const char *buf,
                                    size_t len, const struct http_limits *limits)
{
    const size_t there = len - p->skipped;
    const bool full = there >= limits->max_head;
    enum http_parse_status status = HTTP_PARSE_DONE;
    r->max_fields = limits->max_fields;
    r->at = buf + p->skipped;
    r->end = r->at + (full ? limits->max_head : there);
    if (p->seen != p->skipped || !reader_run(r))
        status = parse_slowly(p, r, buf, full);
    if (status == HTTP_PARSE_DONE)
        *p = (struct http_parser){0};
    return status;
}

enum http_parse_status http_parse_request(struct http_parser *p, const char *buf, size_t len,
                                          const struct http_limits *limits,
                                          struct span request_id_name, struct http_head *head,
                                          struct http_problem *problem)
{
    struct reader r = {.head = head, .problem = problem, .request_id_name = request_id_name};
    if (p->seen == 0 && len > 0 && buf[0] == '\r') {
        if (len == 1)
            return HTTP_PARSE_MORE;
        if (buf[1] == '\n')
            p->seen = p->skipped = 2;
    }
    return parse(p, &r, buf, len, limits);
}

enum http_parse_status http_parse_response(struct http_parser *p, const char *buf, size_t len,
                                           const struct http_limits *limits, struct http_head *head,
                                           struct http_problem *problem)
{
    struct reader r = {.head = head, .problem = problem, .response = true};
    return parse(p, &r, buf, len, limits);
}
