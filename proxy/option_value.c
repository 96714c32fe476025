/* See option_value.h. */
#include "proxy/option_value.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/option_classes.h"
#include "proxy/option_private.h"

static const struct option_unit time_units[] = {
    {"us", 1}, {"ms", MS}, {"s", SECOND}, {"m", UINT64_C(60) * SECOND}, {"h", HOUR}, {NULL, 0},
};

static const struct option_unit size_units[] = {
    {"B", 1},     {"kB", 1000},        {"KiB", KIB}, {"MB", 1000000},
    {"MiB", MIB}, {"GB", 1000000000u}, {"GiB", GIB}, {NULL, 0},
};

/* ---- reading -------------------------------------------------------------------------------- */

static void *place(const struct option *o, struct config *c)
{
    return (char *)c + o->at;
}

static const void *place_const(const struct option *o, const struct config *c)
{
    return (const char *)c + o->at;
}

/* All numbers in struct config are unsigned except mono_us, which is never negative here. */
static void store(const struct option *o, struct config *c, uint64_t n)
{
    uint32_t narrow = (uint32_t)n;

    if (o->width == sizeof(narrow))
        memcpy(place(o, c), &narrow, sizeof(narrow));
    else
        memcpy(place(o, c), &n, sizeof(n));
}

static uint64_t load(const struct option *o, const struct config *c)
{
    uint32_t narrow;
    uint64_t n;

    if (o->width == sizeof(n)) {
        memcpy(&n, place_const(o, c), sizeof(n));
        return n;
    }
    memcpy(&narrow, place_const(o, c), sizeof(narrow));
    return narrow;
}

/* The value of the special word, in the width of the option. */
static uint64_t special_value(const struct option *o)
{
    return o->width == sizeof(uint32_t) ? UINT32_MAX : UINT64_MAX;
}

static size_t count_digits(struct span s)
{
    size_t n = 0;
    while (n < s.len && s.at[n] >= '0' && s.at[n] <= '9')
        n++;
    return n;
}

/* All of `s` must be digits. A number that is too large becomes UINT64_MAX, outside all ranges. */
static enum option_verdict read_digits(struct span s, uint64_t *n)
{
    if (s.len == 0 || count_digits(s) != s.len || (s.len > 1 && s.at[0] == '0'))
        return OPTION_MALFORMED;
    *n = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(s.at[i] - '0');
        if (*n > (UINT64_MAX - digit) / 10) {
            *n = UINT64_MAX;
            return OPTION_READ;
        }
        *n = *n * 10 + digit;
    }
    return OPTION_READ;
}

static const struct option_unit *units_of(const struct option *o)
{
    return o->type == OPTION_DURATION ? time_units : size_units;
}

const char *option_unit(const struct option *o, size_t i, uint64_t *factor)
{
    *factor = units_of(o)[i].factor;
    return units_of(o)[i].name;
}

static enum option_verdict read_quantity(const struct option *o, struct span text, uint64_t *n)
{
    size_t digits = count_digits(text);
    struct span name = {text.at + digits, text.len - digits};
    const struct option_unit *u = units_of(o);

    while (u->name != NULL && !span_equal(name, span_of(u->name)))
        u++;
    if (u->name == NULL || read_digits((struct span){text.at, digits}, n) != OPTION_READ)
        return OPTION_MALFORMED;
    *n = *n > UINT64_MAX / u->factor ? UINT64_MAX : *n * u->factor;
    return OPTION_READ;
}

bool option_read_duration(struct span text, mono_us *out)
{
    static const struct option any = {.type = OPTION_DURATION};
    uint64_t n;

    if (read_quantity(&any, text, &n) != OPTION_READ || n > HOUR)
        return false;
    *out = (mono_us)n;
    return true;
}

static enum option_verdict read_number(const struct option *o, struct span text, struct config *c)
{
    uint64_t n = 0;

    if (o->special != NULL && span_equal(text, span_of(o->special))) {
        store(o, c, special_value(o));
        return OPTION_READ;
    }
    enum option_verdict verdict =
        o->type == OPTION_COUNT ? read_digits(text, &n) : read_quantity(o, text, &n);
    if (verdict != OPTION_READ)
        return verdict;
    if (n < o->min || n > o->max)
        return OPTION_OUT_OF_RANGE;
    store(o, c, n);
    return OPTION_READ;
}

/* "0660" or "660", as for chmod. */
static enum option_verdict read_mode(const struct option *o, struct span text, struct config *c)
{
    uint64_t mode = 0;

    if (span_equal(text, span_of(o->special))) {
        store(o, c, 0);
        return OPTION_READ;
    }
    if (text.len < 3 || text.len > 4)
        return OPTION_MALFORMED;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '7')
            return OPTION_MALFORMED;
        mode = mode << 3 | (uint64_t)(text.at[i] - '0');
    }
    if (mode < o->min || mode > o->max)
        return OPTION_OUT_OF_RANGE;
    store(o, c, mode);
    return OPTION_READ;
}

static enum option_verdict read_word(const struct option *o, struct span text, struct config *c)
{
    struct span list = option_words(o->words), word;

    if (text.len == 0 && o->empty != NULL)
        text = span_of(o->empty);
    for (unsigned i = 0; next_word(&list, &word); i++) {
        if (!span_equal(word, text))
            continue;
        uint64_t n = i;
        if (o->type == OPTION_CODE)
            (void)read_digits(word, &n);
        store(o, c, n);
        return OPTION_READ;
    }
    return OPTION_MALFORMED;
}

static enum option_verdict read_bool(const struct option *o, struct span text, struct config *c)
{
    bool yes = span_equal(text, SPAN("true"));

    if (!yes && !span_equal(text, SPAN("false")))
        return OPTION_MALFORMED;
    *(bool *)place(o, c) = yes;
    return OPTION_READ;
}

/* Equal as far as CGI and WSGI are concerned, which ignore case and do not distinguish `-` from
 * `_`. */
static bool folds_equal(struct span word, struct span text)
{
    if (word.len != text.len)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        char c = text.at[i] == '_' ? '-' : span_lower(text.at[i]);
        if (c != word.at[i])
            return false;
    }
    return true;
}

static bool is_reserved(struct span text)
{
    struct span list = span_of(option_reserved_fields), word;

    while (next_word(&list, &word)) {
        struct span start = {word.at, word.len - 1};
        if (folds_equal(word, text))
            return true;
        if (word.at[start.len] == '*' && text.len >= start.len &&
            folds_equal(start, (struct span){text.at, start.len}))
            return true;
    }
    return false;
}

static enum option_verdict read_field(const struct option *o, struct span text, struct config *c)
{
    char *to = place(o, c);

    if (text.len >= o->width || is_reserved(text))
        return OPTION_MALFORMED;
    for (size_t i = 0; i < text.len; i++) {
        if (!option_is_field_char(text.at[i]))
            return OPTION_MALFORMED;
    }
    memset(to, 0, o->width);
    if (text.len > 0)
        memcpy(to, text.at, text.len);
    return OPTION_READ;
}

/* token68 (RFC 9110 section 11.2), so that it fits into an Authorization header unchanged. */
static bool is_secret_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("-._~+/=", c) != NULL);
}

static enum option_verdict read_secret(const struct option *o, struct span text, struct config *c)
{
    char *to = place(o, c);

    if (text.len > 0 && (text.len < o->min || text.len >= o->width))
        return OPTION_MALFORMED;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_secret_char(text.at[i]))
            return OPTION_MALFORMED;
    }
    memset(to, 0, o->width);
    if (text.len > 0)
        memcpy(to, text.at, text.len);
    return OPTION_READ;
}

static enum option_verdict read_form(const struct option *o, struct span text, struct config *c)
{
    char *to = place(o, c);
    bool valid = text.len == 0 ? o->preset != NULL && *o->preset == '\0' : o->form->valid(text);

    if (text.len >= o->width || !valid)
        return OPTION_MALFORMED;
    memset(to, 0, o->width);
    if (text.len > 0)
        memcpy(to, text.at, text.len);
    return OPTION_READ;
}

/* A path and query as in a request line (RFC 9110 section 4.1), or one of the words. */
static enum option_verdict read_path_or_word(const struct option *o, struct span text,
                                             struct config *c)
{
    struct span list = option_words(o->words), word;
    bool is_word = false;
    char *to = place(o, c);

    if (text.len == 0 && o->empty != NULL)
        text = span_of(o->empty);
    while (next_word(&list, &word))
        is_word = is_word || span_equal(word, text);
    if (text.len >= o->width || (text.len > 0 && !is_word && text.at[0] != '/'))
        return OPTION_MALFORMED;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] <= ' ' || text.at[i] > '~' || strchr("#\"<>\\^`{|}", text.at[i]) != NULL)
            return OPTION_MALFORMED;
    }
    memset(to, 0, o->width);
    if (text.len > 0)
        memcpy(to, text.at, text.len);
    return OPTION_READ;
}

/* ---- addresses ------------------------------------------------------------------------------ */

static enum option_verdict check_address(const struct option *o, struct span text)
{
    switch (address_check(text, (unsigned)o->min, (unsigned)o->max)) {
    case ADDRESS_OK:
        return OPTION_READ;
    case ADDRESS_BAD_PORT:
        return OPTION_OUT_OF_RANGE;
    case ADDRESS_MALFORMED:
    case ADDRESS_PATH_TOO_LONG:
        break;
    }
    return OPTION_MALFORMED;
}

static enum option_verdict read_address(const struct option *o, struct span text, struct config *c)
{
    struct address *to = place(o, c);
    bool special = o->special != NULL && span_equal(text, span_of(o->special));
    enum option_verdict verdict = special ? OPTION_READ : check_address(o, text);

    if (verdict != OPTION_READ)
        return verdict;
    address_set(to, text);
    return OPTION_READ;
}

bool option_resolve(const struct option *o, struct config *c, struct strbuf *why)
{
    struct address *a = place(o, c);
    bool connects = strcmp(o->path, "upstream.address") == 0;

    if (a->text[0] == '\0' || (o->special != NULL && strcmp(a->text, o->special) == 0))
        return true;
    return address_resolve(a, connects ? ADDRESS_CONNECT : ADDRESS_LISTEN, why);
}

/* ---- ranges of addresses -------------------------------------------------------------------- */

static struct cidr_list *list_in(const struct option *o, struct config *c)
{
    return place(o, c);
}

static const struct cidr_list *list_of(const struct option *o, const struct config *c)
{
    return place_const(o, c);
}

static void clear_ranges(struct cidr_list *list)
{
    free(list->at);
    *list = (struct cidr_list){.at = NULL};
}

/* The index of the word; past the last: none. */
static unsigned word_index(const struct option *o, struct span text)
{
    struct span list = option_words(o->words), word;
    unsigned i = 0;

    while (next_word(&list, &word) && !span_equal(word, text))
        i++;
    return i;
}

static bool read_name(const struct option *o, struct span text, struct cidr *range)
{
    unsigned i = word_index(o, text);

    if (i >= CIDR_NAMES)
        return false;
    *range = cidr_named((enum cidr_name)i);
    return true;
}

static enum option_verdict read_range(const struct option *o, struct span text, struct config *c)
{
    struct cidr range;

    if (!read_name(o, text, &range) && !cidr_parse(text, &range))
        return OPTION_MALFORMED;
    struct cidr_list *list = list_in(o, c);
    if (list->n >= o->max)
        return OPTION_OUT_OF_RANGE;
    struct cidr *grown = realloc(list->at, (list->n + 1) * sizeof(range));
    CHECK(grown != NULL);
    grown[list->n] = range;
    *list = (struct cidr_list){grown, list->n + 1};
    return OPTION_READ;
}

/* ---- lists ---------------------------------------------------------------------------------- */

bool option_is_list(const struct option *o)
{
    return o->type == OPTION_RANGES || o->type == OPTION_PATHS || o->type == OPTION_SET ||
           o->type == OPTION_METHODS || o->type == OPTION_CLASSES;
}

static enum option_verdict read_path(const struct option *o, struct span text, struct config *c)
{
    struct paths *paths = place(o, c);

    if (!paths_is_valid(text))
        return OPTION_MALFORMED;
    if (paths->n >= o->max)
        return OPTION_OUT_OF_RANGE;
    paths_add(paths, text);
    return OPTION_READ;
}

static enum option_verdict read_member(const struct option *o, struct span text, struct config *c)
{
    unsigned i = word_index(o, text);

    if (i >= word_index(o, SPAN("")))
        return OPTION_MALFORMED;
    store(o, c, load(o, c) | UINT64_C(1) << i);
    return OPTION_READ;
}

static enum option_verdict read_method(const struct option *o, struct span text, struct config *c)
{
    char *methods = place(o, c);
    size_t len = strlen(methods);

    if (!option_form_is_method(text))
        return OPTION_MALFORMED;
    if (len + 1 + text.len >= o->width)
        return OPTION_OUT_OF_RANGE;
    if (len > 0)
        methods[len++] = ' ';
    memcpy(methods + len, text.at, text.len);
    methods[len + text.len] = '\0';
    return OPTION_READ;
}

enum option_verdict option_read_element(const struct option *o, struct span text, struct config *c)
{
    if (o->type == OPTION_SET)
        return read_member(o, text, c);
    if (o->type == OPTION_PATHS)
        return read_path(o, text, c);
    if (o->type == OPTION_METHODS)
        return read_method(o, text, c);
    if (o->type == OPTION_CLASSES)
        return option_classes_add(o, text, c, NULL);
    return read_range(o, text, c);
}

void option_clear_list(const struct option *o, struct config *c)
{
    if (o->type == OPTION_SET)
        store(o, c, 0);
    else if (o->type == OPTION_PATHS)
        paths_clear(place(o, c));
    else if (o->type == OPTION_RANGES)
        clear_ranges(list_in(o, c));
    else
        memset(place(o, c), 0, o->width);
}

void option_clear(struct config *c)
{
    for (size_t i = 0; i < option_count; i++) {
        if (option_is_list(&option_table[i]))
            option_clear_list(&option_table[i], c);
    }
}

struct span option_next_element(struct span *list, char separator)
{
    const char *end = memchr(list->at, separator, list->len);
    size_t len = end == NULL ? list->len : (size_t)(end - list->at);
    struct span one = option_trim((struct span){list->at, len});

    len += end != NULL;
    *list = (struct span){list->at + len, list->len - len};
    return one;
}

char option_separator(const struct option *o)
{
    return o->type == OPTION_CLASSES ? ';' : o->type == OPTION_METHODS ? '/' : ',';
}

static void move_list(const struct option *o, struct config *from, struct config *to)
{
    option_clear_list(o, to);
    memcpy(place(o, to), place(o, from), o->width);
}

static enum option_verdict read_list(const struct option *o, struct span text, struct config *c)
{
    struct config scratch = {.threads = 0};

    if (span_equal(text, span_of(o->empty)))
        text.len = 0;
    while (text.len > 0) {
        struct span one = option_next_element(&text, option_separator(o));
        enum option_verdict verdict = option_read_element(o, one, &scratch);
        if (verdict != OPTION_READ) {
            option_clear_list(o, &scratch);
            return verdict;
        }
    }
    move_list(o, &scratch, c);
    return OPTION_READ;
}

enum option_verdict option_read(const struct option *o, struct span text, struct config *c)
{
    switch (o->type) {
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_COUNT:
        return read_number(o, text, c);
    case OPTION_CODE:
    case OPTION_WORD:
        return read_word(o, text, c);
    case OPTION_BOOL:
        return read_bool(o, text, c);
    case OPTION_ADDRESS:
        return read_address(o, text, c);
    case OPTION_FIELD:
        return read_field(o, text, c);
    case OPTION_PATH:
        return read_path_or_word(o, text, c);
    case OPTION_MODE:
        return read_mode(o, text, c);
    case OPTION_SECRET:
        return read_secret(o, text, c);
    case OPTION_TEXT:
        return read_form(o, text, c);
    case OPTION_RANGES:
    case OPTION_PATHS:
    case OPTION_SET:
    case OPTION_METHODS:
    case OPTION_CLASSES:
        break;
    }
    return read_list(o, text, c);
}

/* ---- copying and comparing ------------------------------------------------------------------ */

static void copy_ranges(const struct option *o, const struct config *from, struct config *to)
{
    const struct cidr_list *list = list_of(o, from);
    size_t size = list->n * sizeof(*list->at);

    clear_ranges(list_in(o, to));
    if (size == 0)
        return;
    struct cidr *copy = malloc(size);
    CHECK(copy != NULL);
    memcpy(copy, list->at, size);
    *list_in(o, to) = (struct cidr_list){copy, list->n};
}

static void copy_paths(const struct paths *from, struct paths *to)
{
    paths_clear(to);
    for (size_t i = 0; i < from->n; i++)
        paths_add(to, (struct span){from->at[i].at, from->at[i].len});
}

void option_copy(const struct option *o, const struct config *from, struct config *to)
{
    if (o->type == OPTION_RANGES)
        copy_ranges(o, from, to);
    else if (o->type == OPTION_PATHS)
        copy_paths(place_const(o, from), place(o, to));
    else
        memcpy(place(o, to), place_const(o, from), o->width);
}

static bool texts_equal(const struct option *o, const struct config *a, const struct config *b)
{
    struct strbuf of_a = {0}, of_b = {0};

    option_write_text(o, a, &of_a);
    option_write_text(o, b, &of_b);
    bool equal = strcmp(strbuf_cstr(&of_a), strbuf_cstr(&of_b)) == 0;
    strbuf_fini(&of_a);
    strbuf_fini(&of_b);
    return equal;
}

bool option_equal(const struct option *o, const struct config *a, const struct config *b)
{
    if (option_is_list(o) || o->type == OPTION_ADDRESS)
        return texts_equal(o, a, b);
    return memcmp(place_const(o, a), place_const(o, b), o->width) == 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

bool option_is_text(const struct option *o)
{
    return o->type != OPTION_COUNT && o->type != OPTION_CODE && o->type != OPTION_BOOL &&
           !option_is_list(o);
}

void option_write_quantity(const struct option *o, uint64_t n, struct strbuf *out)
{
    const struct option_unit *best = units_of(o);

    for (const struct option_unit *u = best; u->name != NULL; u++) {
        if (n % u->factor == 0 && n != 0)
            best = u;
    }
    if (n == 0 && o->type == OPTION_DURATION)
        strbuf_adds(out, "0s");
    else
        strbuf_addf(out, "%llu%s", (unsigned long long)(n / best->factor), best->name);
}

void option_write_number(const struct option *o, uint64_t n, struct strbuf *out)
{
    if (o->special != NULL && n == special_value(o))
        strbuf_adds(out, o->special);
    else if (o->type == OPTION_COUNT || o->type == OPTION_CODE)
        strbuf_addf(out, "%llu", (unsigned long long)n);
    else
        option_write_quantity(o, n, out);
}

static void write_nth_word(struct span list, size_t i, struct strbuf *out)
{
    struct span word = {"", 0};

    for (size_t at = 0; at <= i; at++)
        (void)next_word(&list, &word);
    strbuf_add_span(out, word);
}

static void write_word(const struct option *o, uint64_t n, struct strbuf *out)
{
    write_nth_word(option_words(o->words), (size_t)n, out);
}

static void write_mode(const struct option *o, uint64_t mode, struct strbuf *out)
{
    if (mode == 0)
        strbuf_adds(out, o->special);
    else
        strbuf_addf(out, "%04o", (unsigned)mode);
}

static void write_cidr(const struct option *o, const struct cidr *range, struct strbuf *out)
{
    if (range->family == AF_UNSPEC)
        write_word(o, range->bits, out);
    else
        cidr_write(range, out);
}

static size_t count_words(struct span list)
{
    struct span word;
    size_t n = 0;

    while (next_word(&list, &word))
        n++;
    return n;
}

static size_t list_length(const struct option *o, const struct config *c)
{
    if (o->type == OPTION_SET)
        return (size_t)__builtin_popcountll(load(o, c));
    if (o->type == OPTION_PATHS)
        return ((const struct paths *)place_const(o, c))->n;
    if (o->type == OPTION_METHODS)
        return count_words(span_of(place_const(o, c)));
    if (o->type == OPTION_CLASSES)
        return ((const struct class_rules *)place_const(o, c))->n;
    return list_of(o, c)->n;
}

/* The word of the i-th member, in the order of the words. */
static void write_member(const struct option *o, uint64_t set, size_t i, struct strbuf *out)
{
    while (i-- > 0)
        set &= set - 1;
    write_word(o, (uint64_t)__builtin_ctzll(set), out);
}

static void write_element(const struct option *o, const struct config *c, size_t i,
                          struct strbuf *out)
{
    if (o->type == OPTION_SET) {
        write_member(o, load(o, c), i, out);
        return;
    }
    if (o->type == OPTION_RANGES) {
        write_cidr(o, &list_of(o, c)->at[i], out);
        return;
    }
    if (o->type == OPTION_METHODS) {
        write_nth_word(span_of(place_const(o, c)), i, out);
        return;
    }
    if (o->type == OPTION_CLASSES) {
        option_classes_write(c, i, out);
        return;
    }
    const struct path *path = &((const struct paths *)place_const(o, c))->at[i];
    strbuf_add(out, path->at, path->len);
}

static void write_list_json(const struct option *o, const struct config *c, struct strbuf *out)
{
    struct strbuf one = {0};

    strbuf_adds(out, "[");
    for (size_t i = 0; i < list_length(o, c); i++) {
        strbuf_clear(&one);
        write_element(o, c, i, &one);
        strbuf_adds(out, i == 0 ? "" : ", ");
        if (o->type == OPTION_CLASSES)
            option_classes_write_json(c, i, out);
        else
            strbuf_add_json(out, (struct span){strbuf_cstr(&one), one.len});
    }
    strbuf_adds(out, "]");
    strbuf_fini(&one);
}

static void write_list(const struct option *o, const struct config *c, struct strbuf *out)
{
    const char between[] = {option_separator(o), '\0'};

    if (list_length(o, c) == 0)
        strbuf_adds(out, o->empty);
    for (size_t i = 0; i < list_length(o, c); i++) {
        strbuf_adds(out, i == 0 ? "" : between);
        write_element(o, c, i, out);
    }
}

void option_write_text(const struct option *o, const struct config *c, struct strbuf *out)
{
    switch (o->type) {
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_COUNT:
    case OPTION_CODE:
        option_write_number(o, load(o, c), out);
        return;
    case OPTION_WORD:
        write_word(o, load(o, c), out);
        return;
    case OPTION_BOOL:
        strbuf_adds(out, *(const bool *)place_const(o, c) ? "true" : "false");
        return;
    case OPTION_ADDRESS:
        strbuf_adds(out, ((const struct address *)place_const(o, c))->text);
        return;
    case OPTION_FIELD:
    case OPTION_PATH:
    case OPTION_TEXT:
        strbuf_adds(out, place_const(o, c));
        return;
    case OPTION_RANGES:
    case OPTION_PATHS:
    case OPTION_SET:
    case OPTION_METHODS:
    case OPTION_CLASSES:
        write_list(o, c, out);
        return;
    case OPTION_MODE:
        write_mode(o, load(o, c), out);
        return;
    case OPTION_SECRET:
        strbuf_adds(out, *(const char *)place_const(o, c) == '\0' ? "" : OPTION_MASK);
        return;
    }
}

bool option_in_quotes(const struct option *o, struct span text)
{
    return option_is_text(o) || (o->special != NULL && span_equal(text, span_of(o->special)));
}

void option_write_json(const struct option *o, const struct config *c, struct strbuf *out)
{
    struct strbuf text = {0};

    option_write_text(o, c, &text);
    struct span s = {strbuf_cstr(&text), text.len};
    if (option_is_list(o)) {
        write_list_json(o, c, out);
    } else if (option_in_quotes(o, s)) {
        strbuf_add_json(out, s);
    } else {
        strbuf_add_span(out, s);
    }
    strbuf_fini(&text);
}
