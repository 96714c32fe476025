/* See option_hint.h. */
#include "proxy/option_hint.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/option_classes.h"
#include "proxy/option_private.h"
#include "proxy/option_value.h"

/* ---- expected values, and hints ------------------------------------------------------------- */

static void write_choice(const struct option *o, struct strbuf *out)
{
    struct span list = option_words(o->words), word, next;
    const char *quote = o->type == OPTION_CODE ? "" : "\"";
    bool more = next_word(&list, &word);

    for (const char *between = ""; more; word = next) {
        more = next_word(&list, &next);
        if (*between != '\0' && !more)
            between = " or ";
        strbuf_addf(out, "%s%s%.*s%s", between, quote, SPAN_PRINTF(word), quote);
        between = ", ";
    }
}

static void write_range(const struct option *o, struct strbuf *out)
{
    strbuf_adds(out, " from ");
    option_write_number(o, o->min, out);
    strbuf_adds(out, " to ");
    option_write_number(o, o->max, out);
}

static void write_number_wants(const struct option *o, enum option_verdict verdict,
                               struct strbuf *out)
{
    strbuf_adds(out, o->type == OPTION_COUNT  ? "an integer"
                     : o->type == OPTION_SIZE ? "a size"
                                              : "a duration");
    if (verdict == OPTION_MALFORMED && o->type != OPTION_COUNT)
        strbuf_adds(out, " with a unit");
    else
        write_range(o, out);
}

static void write_address_wants(const struct option *o, enum option_verdict verdict,
                                struct strbuf *out)
{
    if (verdict == OPTION_MALFORMED)
        strbuf_adds(out, "an address");
    else
        strbuf_addf(out, "an address with a port from %u to %u", (unsigned)o->min,
                    (unsigned)o->max);
}

static void write_path_wants(const struct option *o, struct strbuf *out)
{
    strbuf_addf(out, "a path of at most %zu characters that begins with \"/\", or ", o->width - 1);
    if (o->words != NULL)
        write_choice(o, out);
    else
        strbuf_adds(out, "\"\"");
}

void option_write_wants(const struct option *o, enum option_verdict verdict, struct strbuf *out)
{
    switch (o->type) {
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_COUNT:
        write_number_wants(o, verdict, out);
        break;
    case OPTION_CODE:
    case OPTION_WORD:
    case OPTION_SET:
        write_choice(o, out);
        break;
    case OPTION_BOOL:
        strbuf_adds(out, "true or false");
        break;
    case OPTION_ADDRESS:
        write_address_wants(o, verdict, out);
        break;
    case OPTION_FIELD:
        strbuf_addf(out,
                    "a header name that weir does not use itself, of at most %zu characters, "
                    "or \"\"",
                    o->width - 1);
        break;
    case OPTION_PATH:
        write_path_wants(o, out);
        break;
    case OPTION_RANGES:
        strbuf_adds(out,
                    verdict == OPTION_MALFORMED ? "CIDR ranges, " : "at most 256 CIDR ranges, ");
        write_choice(o, out);
        break;
    case OPTION_PATHS:
        if (verdict == OPTION_OUT_OF_RANGE)
            strbuf_addf(out, "at most %u paths", (unsigned)o->max);
        else
            strbuf_adds(out, "a path that begins with \"/\" and has no \"?\", \"#\", \",\" or "
                             "space");
        break;
    case OPTION_MODE:
        strbuf_adds(out, "octal permissions from \"0001\" to \"0777\",");
        break;
    case OPTION_TEXT:
        strbuf_addf(out, "%s%s of at most %zu characters%s", o->form->wants,
                    strchr(o->form->wants, ',') != NULL ? "," : "", o->width - 1,
                    o->preset != NULL && *o->preset == '\0' ? ", or \"\"" : "");
        break;
    case OPTION_METHODS:
        if (verdict == OPTION_OUT_OF_RANGE)
            strbuf_addf(out, "methods of at most %zu characters together", o->width - 1);
        else
            strbuf_adds(out, "a method in upper case");
        break;
    case OPTION_CLASSES: /* option_classes_explain() tells the error */
        break;
    case OPTION_SECRET:
        strbuf_addf(out, "%llu to %zu letters, digits or characters of \"-._~+/=\", or \"\"",
                    (unsigned long long)o->min, o->width - 1);
        break;
    }
    if (o->special != NULL)
        strbuf_addf(out, " or \"%s\"", o->special);
}

static bool can_be_read(const struct option *o, struct span text)
{
    struct config scratch = {.threads = 0};
    bool ok = option_read(o, text, &scratch) == OPTION_READ;

    option_clear(&scratch);
    return ok;
}

/* Tries `text` with `ending`; true if it is valid, and leaves it in `fix`. */
static bool try_fix(const struct option *o, const char *start, struct span text, const char *ending,
                    struct strbuf *fix)
{
    strbuf_clear(fix);
    strbuf_addf(fix, "%s%.*s%s", start, SPAN_PRINTF(text), ending);
    return can_be_read(o, (struct span){strbuf_cstr(fix), fix->len});
}

static const struct option_unit nicknames[] = {
    {"us", 1},
    {"usec", 1},
    {"µs", 1},
    {"micros", 1},
    {"msec", MS},
    {"millis", MS},
    {"milliseconds", MS},
    {"millisecond", MS},
    {"sec", SECOND},
    {"secs", SECOND},
    {"second", SECOND},
    {"seconds", SECOND},
    {"min", 60 * UINT64_C(1000000)},
    {"mins", 60 * UINT64_C(1000000)},
    {"minute", 60 * UINT64_C(1000000)},
    {"minutes", 60 * UINT64_C(1000000)},
    {"hour", HOUR},
    {"hours", HOUR},
    {"hr", HOUR},
    {"ms", MS},
    {"s", SECOND},
    {"m", 60 * UINT64_C(1000000)},
    {"h", HOUR},
    {"d", 24 * HOUR},
    {"day", 24 * HOUR},
    {"days", 24 * HOUR},
    {NULL, 0},
};

static const struct option_unit size_nicknames[] = {
    {"b", 1},    {"byte", 1},  {"bytes", 1}, {"k", KIB},   {"kb", KIB}, {"kib", KIB},
    {"ki", KIB}, {"m", MIB},   {"mb", MIB},  {"mib", MIB}, {"mi", MIB}, {"g", GIB},
    {"gb", GIB}, {"gib", GIB}, {"gi", GIB},  {NULL, 0},
};

static const struct option_unit *find_nickname(const struct option *o, struct span name)
{
    const struct option_unit *u = o->type == OPTION_DURATION ? nicknames : size_nicknames;

    while (u->name != NULL && !span_equal_nocase(name, span_of(u->name)))
        u++;
    return u->name == NULL ? NULL : u;
}

/* "1.5 sec" becomes 1500ms, "16K" 16KiB; no suggestion for anything that is not a whole number of
 * the smallest unit. */
static bool fix_unit(const struct option *o, struct span text, struct strbuf *fix)
{
    char number[32], *end;

    if (text.len == 0 || text.len >= sizeof(number) || text.at[0] < '0' || text.at[0] > '9')
        return false;
    memcpy(number, text.at, text.len);
    number[text.len] = '\0';
    double value = strtod(number, &end);
    struct span name = option_trim(span_of(end));
    const struct option_unit *u = find_nickname(o, name.len == 0 ? SPAN("b") : name);
    if (u == NULL || value * (double)u->factor >= 1e15)
        return false;
    strbuf_clear(fix);
    option_write_quantity(o, (uint64_t)(value * (double)u->factor + 0.5), fix);
    return can_be_read(o, (struct span){strbuf_cstr(fix), fix->len});
}

/* A bare number is taken as seconds, else milliseconds; or as bytes, else KiB. */
static bool fix_quantity(const struct option *o, struct span text, struct strbuf *fix)
{
    if (o->type == OPTION_DURATION)
        return try_fix(o, "", text, "s", fix) || try_fix(o, "", text, "ms", fix) ||
               fix_unit(o, text, fix);
    return fix_unit(o, text, fix) || try_fix(o, "", text, "KiB", fix);
}

static bool fix_word(const char *words, struct span text, struct strbuf *fix)
{
    struct nearest n = {.typed = text};
    struct span list = option_words(words), word;
    size_t len = 0;

    while (next_word(&list, &word)) {
        nearest_try(&n, word, word.at);
        if (n.answer == word.at)
            len = word.len;
    }
    strbuf_clear(fix);
    strbuf_add(fix, n.answer == NULL ? "" : n.answer, len);
    return n.answer != NULL;
}

/* Replaces each invalid element of a list with the nearest name. Also false if nothing changes: a
 * list in the form of a flag is not an element of a JSON list. */
static bool fix_names(const struct option *o, struct span text, struct strbuf *fix)
{
    struct strbuf all = {0};
    bool changed = false;

    if (span_equal(text, SPAN("[]")) || span_equal_nocase(text, span_of(o->empty)))
        return try_fix(o, "", span_of(o->empty), "", fix); /* in the form of a flag */
    for (const char *between = ""; text.len > 0; between = ",") {
        struct span one = option_next_element(&text, ',');
        strbuf_adds(&all, between);
        if (!can_be_read(o, one) && fix_word(o->words, one, fix)) {
            one = (struct span){fix->at, fix->len};
            changed = true;
        }
        strbuf_add_span(&all, one);
    }
    strbuf_clear(fix);
    strbuf_add(fix, strbuf_cstr(&all), all.len);
    strbuf_fini(&all);
    return changed && can_be_read(o, (struct span){strbuf_cstr(fix), fix->len});
}

static struct span without_prefix(struct span text, const char *prefix)
{
    size_t len = strlen(prefix);
    bool has = text.len >= len && memcmp(text.at, prefix, len) == 0;

    return has ? (struct span){text.at + len, text.len - len} : text;
}

/* "healthz", "/healthz?full=1", "http://app:8000/healthz" */
static struct span path_within(struct span text)
{
    struct span rest = without_prefix(without_prefix(text, "http://"), "https://");
    const char *slash = memchr(rest.at, '/', rest.len);
    size_t len = 0;

    if (rest.at != text.at)
        text =
            slash == NULL ? SPAN("/") : (struct span){slash, rest.len - (size_t)(slash - rest.at)};
    while (len < text.len && strchr("?#", text.at[len]) == NULL)
        len++;
    return (struct span){text.at, len};
}

static bool fix_paths(const struct option *o, struct span text, struct strbuf *fix)
{
    strbuf_clear(fix);
    if (span_equal(text, SPAN("[]")) || span_equal_nocase(text, span_of(o->empty)))
        return try_fix(o, "", span_of(o->empty), "", fix); /* in the form of a flag */
    for (const char *between = ""; text.len > 0; between = ",") {
        struct span path = path_within(option_next_element(&text, ','));
        strbuf_addf(fix, "%s%s%.*s", between, path.len > 0 && path.at[0] == '/' ? "" : "/",
                    SPAN_PRINTF(path));
    }
    return can_be_read(o, (struct span){strbuf_cstr(fix), fix->len});
}

static bool fix_text(const struct option *o, struct span text, struct strbuf *fix)
{
    if (text.len == 0 || text.len >= o->width)
        return false;
    strbuf_clear(fix);
    for (size_t i = 0; i < text.len; i++) {
        char c = span_lower(text.at[i]);
        strbuf_add(fix, &c, 1);
    }
    return can_be_read(o, (struct span){strbuf_cstr(fix), fix->len});
}

static bool fix_form(const struct option *o, struct span text, struct strbuf *fix)
{
    const char *lead = o->form->lead;

    if (fix_text(o, text, fix) || (o->form == &option_form_file && fix_word(o->words, text, fix)))
        return true;
    return text.len > 0 && lead != NULL && try_fix(o, lead, text, "", fix);
}

static bool fix_methods(const struct option *o, struct span text, struct strbuf *fix)
{
    strbuf_clear(fix);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        c = c >= 'a' && c <= 'z' ? (char)(c & ~0x20) : c == ',' ? '/' : c;
        strbuf_add(fix, &c, 1);
    }
    return can_be_read(o, (struct span){strbuf_cstr(fix), fix->len});
}

static bool fix_mode(const struct option *o, struct span text, struct strbuf *fix)
{
    return try_fix(o, "", without_prefix(text, "0o"), "", fix) ||
           try_fix(o, "", without_prefix(text, "0"), "", fix);
}

bool option_fix_bool(struct span text, struct strbuf *fix)
{
    static const char *const yes = "true yes on 1 enabled", *const no = "false no off 0 disabled";
    struct span list = span_of(yes), word;

    strbuf_clear(fix);
    while (next_word(&list, &word)) {
        if (span_equal_nocase(word, text))
            strbuf_adds(fix, "true");
    }
    for (list = span_of(no); next_word(&list, &word);) {
        if (span_equal_nocase(word, text))
            strbuf_adds(fix, "false");
    }
    return fix->len > 0;
}

/* "8080", "http://host:80/", "*:80", "/run/app.sock", "::1:80" */
static bool fix_address(const struct option *o, struct span text, struct strbuf *fix)
{
    struct span rest = without_prefix(without_prefix(text, "http://"), "*");

    if (try_fix(o, ":", rest, "", fix) || try_fix(o, ADDRESS_UNIX, rest, "", fix) ||
        try_fix(o, "", rest, "", fix))
        return true;
    const char *slash = rest.len == 0 ? NULL : memchr(rest.at, '/', rest.len);
    if (slash != NULL && try_fix(o, "", (struct span){rest.at, (size_t)(slash - rest.at)}, "", fix))
        return true;
    const char *colon = rest.len == 0 ? NULL : memrchr(rest.at, ':', rest.len);
    if (colon == NULL)
        return false;
    int host = (int)(colon - rest.at);
    strbuf_clear(fix);
    strbuf_addf(fix, "[%.*s]:%.*s", host, rest.at, (int)rest.len - host - 1, colon + 1);
    return can_be_read(o, (struct span){strbuf_cstr(fix), fix->len});
}

static bool find_fix(const struct option *o, struct span text, struct strbuf *fix)
{
    bool as_it_is = option_is_list(o) || o->type == OPTION_SECRET;

    if (!as_it_is && text.len > 0 && try_fix(o, "", option_trim(text), "", fix))
        return true;
    if (o->special != NULL && fix_word(o->special, text, fix))
        return true;
    switch (o->type) {
    case OPTION_DURATION:
    case OPTION_SIZE:
        return fix_quantity(o, text, fix);
    case OPTION_WORD:
        return fix_word(o->words, text, fix);
    case OPTION_PATH:
        return (o->words != NULL && fix_word(o->words, text, fix)) ||
               (text.len > 0 && try_fix(o, "/", text, "", fix));
    case OPTION_BOOL:
        return option_fix_bool(text, fix);
    case OPTION_ADDRESS:
        return fix_address(o, text, fix);
    case OPTION_RANGES:
    case OPTION_SET:
        return fix_names(o, text, fix);
    case OPTION_PATHS:
        return text.len > 0 && fix_paths(o, text, fix);
    case OPTION_MODE:
        return fix_mode(o, text, fix);
    case OPTION_TEXT:
        return fix_form(o, text, fix);
    case OPTION_METHODS:
        return text.len > 0 && fix_methods(o, text, fix);
    case OPTION_COUNT:
    case OPTION_CODE:
    case OPTION_FIELD:
    case OPTION_CLASSES:
    case OPTION_SECRET: /* a suggestion would show it */
        break;
    }
    return false;
}

/* An example of a value, when there is no better suggestion. */
static void write_example(const struct option *o, struct span text, struct strbuf *out)
{
    switch (o->type) {
    case OPTION_DURATION:
    case OPTION_SIZE:
        strbuf_adds(out, " (");
        option_write_number(o, o->min, out);
        strbuf_adds(out, " to ");
        option_write_number(o, o->max, out);
        strbuf_adds(out, o->type == OPTION_DURATION ? "; units: us, ms, s, m, h)"
                                                    : "; units: B, kB, KiB, MB, MiB, GB, GiB)");
        break;
    case OPTION_ADDRESS:
        if (address_check(text, 0, UINT16_MAX) == ADDRESS_PATH_TOO_LONG)
            strbuf_addf(out, " (a socket path can be at most %zu bytes long)",
                        ADDRESS_UNIX_PATH_MAX);
        else
            strbuf_adds(out, " (host:port, :port, [v6]:port or unix:/path)");
        break;
    case OPTION_FIELD:
        strbuf_adds(out, " (such as \"X-Request-Id\")");
        break;
    case OPTION_RANGES:
        strbuf_adds(out, " (such as \"10.0.0.0/8\" or \"2001:db8::/32\")");
        break;
    case OPTION_PATHS:
        strbuf_adds(out, " (such as \"/healthz\")");
        break;
    case OPTION_MODE:
        strbuf_adds(out, " (such as \"0660\")");
        break;
    case OPTION_SECRET:
        strbuf_adds(out, span_equal(text, SPAN(OPTION_MASK))
                             ? " (this is the mask of a token: replace it with the token)"
                             : " (such as the output of openssl rand -hex 32)");
        break;
    case OPTION_PATH:
        strbuf_adds(out, " (such as \"/healthz\")");
        break;
    case OPTION_TEXT:
        strbuf_addf(out, " (such as \"%s\")", o->form->example);
        break;
    case OPTION_METHODS:
        strbuf_adds(out, " (such as \"GET\")");
        break;
    case OPTION_COUNT:
    case OPTION_CODE:
    case OPTION_WORD:
    case OPTION_SET:
    case OPTION_BOOL:
    case OPTION_CLASSES:
        break;
    }
}

void option_write_hint(const struct option *o, enum option_verdict verdict, struct span text,
                       bool quoted, struct strbuf *out)
{
    struct strbuf fix = {0};

    if (o->at_zero != NULL && span_equal(text, SPAN("0"))) {
        strbuf_addf(out, " (%s)", o->at_zero);
    } else if (verdict == OPTION_MALFORMED && find_fix(o, text, &fix)) {
        struct span s = {strbuf_cstr(&fix), fix.len};
        const char *quote = quoted || option_in_quotes(o, s) ? "\"" : "";
        strbuf_addf(out, " (did you mean %s%.*s%s?)", quote, SPAN_PRINTF(s), quote);
    } else if (verdict == OPTION_MALFORMED) {
        write_example(o, text, out);
    }
    strbuf_fini(&fix);
}

void option_write_complaint(const struct option *o, enum option_verdict verdict, struct span got,
                            struct span text, bool quoted, struct strbuf *out)
{
    if (o->type == OPTION_CLASSES) {
        strbuf_adds(out, ": ");
        option_classes_explain(o, text, out);
        return;
    }
    strbuf_adds(out, " expects ");
    option_write_wants(o, verdict, out);
    if (o->type != OPTION_SECRET)
        strbuf_addf(out, ", got %.*s%s", (int)(got.len > 60 ? 60 : got.len), got.at,
                    got.len > 60 ? "..." : "");
    option_write_hint(o, verdict, text, quoted, out);
}
