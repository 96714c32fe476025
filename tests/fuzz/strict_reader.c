/* See strict_reader.h. The RFC sections are those of the rules that the functions implement. */
#include "tests/fuzz/strict_reader.h"

#include <ctype.h>

static enum strict_status bad(struct strict_message *m, const char *why)
{
    m->why = why;
    return STRICT_BAD;
}

/* Leaves out the fields, which are many; n_fields tells how many are set. */
void strict_begin(struct strict_message *m)
{
    memset(m, 0, offsetof(struct strict_message, fields));
}

void strict_fini(struct strict_message *m)
{
    strbuf_fini(&m->content);
}

/* ---- bytes ---- */

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 9110 section 5.6.2 */
static bool is_tchar(char c)
{
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_tchar(s.at[i]))
            return false;
    }
    return s.len > 0;
}

/* Field values, reasons, quoted strings: HTAB, SP, VCHAR and obs-text (RFC 9110 section 5.5). */
static bool is_text(char c)
{
    unsigned char u = (unsigned char)c;
    return u == '\t' || (u >= ' ' && u != 0x7f);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int hex_of(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, span_lower(c));
    return at == NULL ? -1 : (int)(at - digits);
}

static struct span from(struct span s, size_t n)
{
    return (struct span){s.at + n, s.len - n};
}

static struct span until(struct span s, size_t n)
{
    return (struct span){s.at, n};
}

static struct span trim(struct span s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = from(s, 1);
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool find(struct span s, char c, size_t *at)
{
    for (*at = 0; *at < s.len; ++*at) {
        if (s.at[*at] == c)
            return true;
    }
    return false;
}

static bool begins(struct span s, const char *lower)
{
    struct span start = span_of(lower);
    return s.len >= start.len && span_equal_nocase(until(s, start.len), start);
}

/* ---- lines ---- */

/* Takes a line and its CRLF. A bare CR or LF, NUL or another control character is invalid. */
static enum strict_status take_line(struct span *in, struct span *line, struct strict_message *m)
{
    size_t n = 0;

    while (n < in->len && is_text(in->at[n]))
        n++;
    if (n == in->len || (n + 1 == in->len && in->at[n] == '\r'))
        return STRICT_PART;
    if (in->at[n] != '\r' || in->at[n + 1] != '\n')
        return bad(m, "a control character in a line");
    *line = until(*in, n);
    *in = from(*in, n + 2);
    return STRICT_WHOLE;
}

/* RFC 9112 section 5: no space before the colon, no folding. */
static bool split_field(struct span line, struct strict_field *f)
{
    size_t colon;

    if (!find(line, ':', &colon) || !is_token(until(line, colon)))
        return false;
    *f = (struct strict_field){until(line, colon), trim(from(line, colon + 1))};
    return true;
}

static enum strict_status take_fields(struct span *in, struct strict_message *m)
{
    struct span line;

    for (;;) {
        enum strict_status st = take_line(in, &line, m);
        if (st != STRICT_WHOLE || line.len == 0)
            return st;
        if (m->n_fields == STRICT_FIELDS)
            return bad(m, "more fields than this reader holds");
        if (!split_field(line, &m->fields[m->n_fields]))
            return bad(m, "a field line that is none");
        m->n_fields++;
    }
}

/* ---- the meaning of fields ---- */

const struct strict_field *strict_find(const struct strict_message *m, const char *name)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        if (span_equal_nocase(m->fields[i].name, span_of(name)))
            return &m->fields[i];
    }
    return NULL;
}

static size_t count(const struct strict_message *m, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n_fields; i++)
        n += span_equal_nocase(m->fields[i].name, span_of(name));
    return n;
}

bool strict_lists(const struct strict_message *m, const char *name, struct span element)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        struct span rest = m->fields[i].value;
        size_t comma;
        if (!span_equal_nocase(m->fields[i].name, span_of(name)))
            continue;
        while (find(rest, ',', &comma)) {
            if (span_equal_nocase(trim(until(rest, comma)), element))
                return true;
            rest = from(rest, comma + 1);
        }
        if (span_equal_nocase(trim(rest), element))
            return true;
    }
    return false;
}

bool strict_persists(const struct strict_message *m)
{
    if (strict_lists(m, "connection", SPAN("close")))
        return false;
    return m->minor == 1 || strict_lists(m, "connection", SPAN("keep-alive"));
}

/* RFC 9110 section 7.6.1: a list of tokens, and not longer than usual. */
static bool options_are_sound(const struct strict_message *m)
{
    unsigned n = 0;

    for (size_t i = 0; i < m->n_fields; i++) {
        struct span rest = m->fields[i].value;
        if (!span_equal_nocase(m->fields[i].name, SPAN("connection")))
            continue;
        while (rest.len > 0) {
            size_t comma;
            bool more = find(rest, ',', &comma);
            struct span option = trim(until(rest, comma));
            if (option.len > 0 && (!is_token(option) || ++n > 32))
                return false;
            rest = from(rest, more ? comma + 1 : comma);
        }
    }
    return true;
}

/* CGI apps read Content_Length as Content-Length. */
static bool is_framing_alias(struct span name)
{
    static const char *const framing[] = {"content-length", "transfer-encoding"};

    for (size_t i = 0; i < 2; i++) {
        struct span known = span_of(framing[i]);
        size_t same = 0;
        while (name.len == known.len && same < name.len &&
               ((name.at[same] | 0x20) == known.at[same] ||
                (known.at[same] == '-' && name.at[same] == '_')))
            same++;
        if (same == known.len && !span_equal_nocase(name, known))
            return true;
    }
    return false;
}

/* RFC 9112 section 6: one length, or one coding, never both. */
static enum strict_status judge_framing(struct strict_message *m)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        if (is_framing_alias(m->fields[i].name))
            return bad(m, "a field that may be read as one that frames");
    }
    if (!options_are_sound(m))
        return bad(m, "a Connection option that is none");
    const struct strict_field *length = strict_find(m, "content-length");
    const struct strict_field *coding = strict_find(m, "transfer-encoding");

    if (length != NULL && coding != NULL)
        return bad(m, "a length and a coding");
    if (count(m, "content-length") > 1 || count(m, "transfer-encoding") > 1)
        return bad(m, "framed twice");
    if (coding != NULL && m->minor == 0)
        return bad(m, "a coding in HTTP/1.0");
    if (coding != NULL && !span_equal_nocase(coding->value, SPAN("chunked")))
        return bad(m, "a coding that is not chunked");
    m->chunked = coding != NULL;
    m->has_length = length != NULL;
    if (length == NULL)
        return STRICT_WHOLE;
    if (length->value.len == 0 || length->value.len > 19)
        return bad(m, "a length of no or too many digits");
    for (size_t i = 0; i < length->value.len; i++) {
        if (!is_digit(length->value.at[i]))
            return bad(m, "a length that is no number");
        m->length = m->length * 10 + (uint64_t)(length->value.at[i] - '0');
    }
    if (m->length > INT64_MAX)
        return bad(m, "a length that a signed number cannot hold");
    return STRICT_WHOLE;
}

/* ---- bodies ---- */

/* RFC 9112 section 7.1.1, without the "bad" white space. */
static bool extensions_are_sound(struct span s)
{
    while (s.len > 0) {
        size_t n = 1;
        if (s.at[0] != ';')
            return false;
        while (n < s.len && is_tchar(s.at[n]))
            n++;
        if (n == 1)
            return false;
        s = from(s, n);
        if (s.len == 0 || s.at[0] != '=')
            continue;
        s = from(s, 1);
        n = 0;
        if (s.len > 0 && s.at[0] == '"') {
            for (n = 1; n < s.len && s.at[n] != '"'; n++)
                n += s.at[n] == '\\';
            if (n >= s.len)
                return false;
            n++;
        } else {
            while (n < s.len && is_tchar(s.at[n]))
                n++;
            if (n == 0)
                return false;
        }
        s = from(s, n);
    }
    return true;
}

static bool take_size(struct span line, uint64_t *size)
{
    size_t n = 0;

    for (*size = 0; n < line.len && hex_of(line.at[n]) >= 0; n++)
        *size = *size << 4 | (uint64_t)hex_of(line.at[n]);
    return n >= 1 && n <= 15 && extensions_are_sound(from(line, n));
}

/* RFC 9110 section 6.5.1: fields that frame a message, control the connection, route or
 * authenticate are not allowed as trailers; nor are those that say how a request is to be read. */
static bool may_trail(const struct strict_message *m, struct span name)
{
    static const char *const never = " content-length transfer-encoding connection keep-alive "
                                     "proxy-connection trailer te upgrade ";
    static const char *const never_in_requests =
        " host authorization cookie expect max-forwards content-type content-range "
        "content-encoding forwarded x-forwarded-for x-forwarded-host x-forwarded-proto if-match "
        "range ";
    static const char *const never_in_responses = " set-cookie www-authenticate ";
    char word[26] = " ";

    if (name.len + 2 >= sizeof(word))
        return true;
    for (size_t i = 0; i < name.len; i++)
        word[i + 1] = name.at[i] == '_' ? '-' : (char)tolower((unsigned char)name.at[i]);
    word[name.len + 1] = ' ';
    return strstr(never, word) == NULL &&
           strstr(m->status != 0 ? never_in_responses : never_in_requests, word) == NULL;
}

static enum strict_status take_trailers(struct span *in, struct strict_message *m)
{
    struct span line, all = *in;

    for (;;) {
        struct strict_field f;
        struct span before = *in;
        enum strict_status st = take_line(in, &line, m);
        m->trailers = until(all, all.len - before.len);
        if (st != STRICT_WHOLE || line.len == 0)
            return st;
        if (!split_field(line, &f) || !may_trail(m, f.name))
            return bad(m, "a trailer that may not be there");
    }
}

static enum strict_status take_chunk(struct span *in, uint64_t size, struct strict_message *m)
{
    uint64_t there = in->len < size ? in->len : size;

    strbuf_add(&m->content, in->at, (size_t)there);
    *in = from(*in, (size_t)there);
    if (there < size || in->len == 0 || (in->len == 1 && in->at[0] == '\r'))
        return STRICT_PART;
    if (in->at[0] != '\r' || in->at[1] != '\n')
        return bad(m, "a chunk that no CRLF ends");
    *in = from(*in, 2);
    return STRICT_WHOLE;
}

static enum strict_status take_chunks(struct span *in, struct strict_message *m)
{
    for (;;) {
        struct span line;
        uint64_t size;
        enum strict_status st = take_line(in, &line, m);
        if (st != STRICT_WHOLE)
            return st;
        if (!take_size(line, &size))
            return bad(m, "a chunk's line that is none");
        if (size == 0)
            return take_trailers(in, m);
        st = take_chunk(in, size, m);
        if (st != STRICT_WHOLE)
            return st;
    }
}

static enum strict_status take_body(struct span *in, bool ended, struct strict_message *m)
{
    if (m->chunked)
        return take_chunks(in, m);
    uint64_t want = m->until_end ? UINT64_MAX : m->length;
    size_t n = in->len < want ? in->len : (size_t)want;
    strbuf_add(&m->content, in->at, n);
    *in = from(*in, n);
    if (m->until_end)
        return ended ? STRICT_WHOLE : STRICT_PART;
    return n == want ? STRICT_WHOLE : STRICT_PART;
}

static enum strict_status finish(struct span all, struct span in, bool ended,
                                 struct strict_message *m)
{
    m->head_whole = true;
    m->head_len = all.len - in.len;
    enum strict_status st = take_body(&in, ended, m);
    m->used = all.len - in.len;
    return st;
}

enum strict_status strict_read_chunked(struct span in, struct strict_message *m)
{
    m->chunked = true;
    return finish(in, in, false, m);
}

/* ---- requests ---- */

/* "HTTP/1.0" or "HTTP/1.1" */
static bool read_version(struct span s, struct strict_message *m)
{
    m->minor = s.len == 8 && s.at[7] == '1';
    return span_equal(s, SPAN("HTTP/1.0")) || span_equal(s, SPAN("HTTP/1.1"));
}

/* uri-host [ ":" port ] (RFC 9110 section 7.2), of the characters that RFC 3986 allows there */
static bool is_authority(struct span s)
{
    size_t n = 0, digits = 0;

    if (s.len > 0 && s.at[0] == '[') {
        if (!find(s, ']', &n) || n < 3)
            return false;
        for (size_t i = 1; i < n; i++) {
            if (hex_of(s.at[i]) < 0 && s.at[i] != ':' && s.at[i] != '.')
                return false;
        }
        n++;
    } else {
        while (n < s.len && (is_alnum(s.at[n]) || strchr("-._~%!$&'()*+;=", s.at[n]) != NULL))
            n++;
        if (n == 0)
            return false;
    }
    if (n == s.len)
        return true;
    if (s.at[n] != ':')
        return false;
    while (n + 1 + digits < s.len && is_digit(s.at[n + 1 + digits]))
        digits++;
    return n + 1 + digits == s.len;
}

/* RFC 9112 section 3.2: origin form, absolute form, or * of OPTIONS. */
static bool is_target(struct span target, struct span method)
{
    size_t scheme = begins(target, "http://") ? 7 : begins(target, "https://") ? 8 : 0, n = 0;

    for (size_t i = 0; i < target.len; i++) {
        if (!is_text(target.at[i]) || target.at[i] == '\t' || (target.at[i] & 0x80) != 0 ||
            target.at[i] == '#')
            return false;
    }
    if (span_equal(method, SPAN("CONNECT")) || target.len == 0)
        return false;
    if (target.at[0] == '/')
        return true;
    if (span_equal(target, SPAN("*")))
        return span_equal(method, SPAN("OPTIONS"));
    if (scheme == 0)
        return false;
    struct span rest = from(target, scheme);
    while (n < rest.len && rest.at[n] != '/' && rest.at[n] != '?')
        n++;
    return is_authority(until(rest, n));
}

static bool read_request_line(struct span line, struct strict_message *m)
{
    size_t first, second;

    if (!find(line, ' ', &first) || !is_token(until(line, first)))
        return false;
    m->method = until(line, first);
    line = from(line, first + 1);
    if (!find(line, ' ', &second))
        return false;
    m->target = until(line, second);
    return is_target(m->target, m->method) && read_version(from(line, second + 1), m);
}

static enum strict_status judge_request(struct strict_message *m)
{
    const struct strict_field *host = strict_find(m, "host");

    if (count(m, "host") > 1 || (host == NULL && m->minor == 1))
        return bad(m, "not one Host");
    if (host != NULL && !is_authority(host->value))
        return bad(m, "a Host that is none");
    return judge_framing(m);
}

enum strict_status strict_read_request(struct span in, struct strict_message *m)
{
    struct span all = in, line;

    if (in.len >= 2 && in.at[0] == '\r' && in.at[1] == '\n')
        in = from(in, 2); /* RFC 9112 section 2.2: one empty line before it is ignored */
    enum strict_status st = take_line(&in, &line, m);
    if (st != STRICT_WHOLE)
        return st;
    if (!read_request_line(line, m))
        return bad(m, "a request line that is none");
    st = take_fields(&in, m);
    if (st == STRICT_WHOLE)
        st = judge_request(m);
    return st != STRICT_WHOLE ? st : finish(all, in, false, m);
}

/* ---- responses ---- */

static bool read_status_line(struct span line, struct strict_message *m)
{
    if (line.len < 12 || line.at[8] != ' ' || !read_version(until(line, 8), m))
        return false;
    for (size_t i = 9; i < 12; i++) {
        if (!is_digit(line.at[i]))
            return false;
        m->status = m->status * 10 + (unsigned)(line.at[i] - '0');
    }
    return m->status >= 100 && (line.len == 12 || line.at[12] == ' ');
}

/* RFC 9112 section 6.3 */
static void choose_framing(struct strict_message *m, struct span asked)
{
    bool none =
        m->status < 200 || m->status == 204 || m->status == 304 || span_equal(asked, SPAN("HEAD"));

    if (none) {
        m->chunked = false;
        m->length = 0;
    }
    m->until_end = !none && !m->chunked && !m->has_length;
}

enum strict_status strict_read_response(struct span in, struct span asked, bool ended,
                                        struct strict_message *m)
{
    struct span all = in, line;
    enum strict_status st = take_line(&in, &line, m);

    if (st != STRICT_WHOLE)
        return st;
    if (!read_status_line(line, m))
        return bad(m, "a status line that is none");
    st = take_fields(&in, m);
    if (st == STRICT_WHOLE)
        st = judge_framing(m);
    if (st != STRICT_WHOLE)
        return st;
    if (m->chunked && (m->status < 200 || m->status == 204))
        return bad(m, "a coding where no body can be");
    choose_framing(m, asked);
    return finish(all, in, ended, m);
}
