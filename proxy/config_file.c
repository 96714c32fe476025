/*
 * See config_load.h. The text is checked (UTF-8) and scanned (jsonpos, which records the position
 * of each value), and jansson reads the values one by one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/utf8.h"
#include "proxy/config_load.h"
#include "proxy/option_classes.h"
#include "proxy/option_hint.h"
#include "proxy/option_value.h"

#define FILE_MAX (1024 * 1024)

/* ---- the file: its bytes -------------------------------------------------------------------- */

static bool read_all(int fd, struct strbuf *to)
{
    char chunk[16384];
    ssize_t n;

    while (to->len <= FILE_MAX && (n = read(fd, chunk, sizeof(chunk))) != 0) {
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            strbuf_add(to, chunk, (size_t)n);
    }
    return true;
}

static bool read_file(struct loader *ld)
{
    const char *path = ld->src->path;
    bool is_stdin = strcmp(path, "-") == 0;
    /* A reload must not wait for the writer of a pipe: its thread has more to do. */
    int flags = O_RDONLY | O_CLOEXEC | (ld->src->running != NULL ? O_NONBLOCK : 0);
    int fd = is_stdin ? STDIN_FILENO : open(path, flags);
    bool ok = fd >= 0 && read_all(fd, &ld->file);

    if (!ok)
        loader_problem(ld, ld->name, "cannot be read: %s", strerror(errno));
    else if (ld->file.len > FILE_MAX)
        loader_problem(ld, ld->name, "larger than 1 MiB; is this the right file?");
    if (fd >= 0 && !is_stdin)
        close(fd);
    return ok && ld->file.len <= FILE_MAX;
}

/* The end of the value at `at`: a string, or, if the quotes are missing, up to the next delimiter.
 */
static size_t value_end(struct span text, size_t at)
{
    bool quoted = at < text.len && text.at[at] == '"';

    for (at += quoted; at < text.len && text.at[at] != '\n'; at++) {
        if (quoted ? text.at[at] == '"' : strchr(",}]", text.at[at]) != NULL)
            break;
        at += quoted && text.at[at] == '\\' && at + 1 < text.len;
    }
    return at;
}

static size_t skip_blanks(struct span text, size_t at)
{
    while (at < text.len && strchr(" \t\r\n", text.at[at]) != NULL)
        at++;
    return at;
}

/* Masks the values of the keys that are called `name`. */
static void mask_values(struct strbuf *shown, struct span name)
{
    struct span text = {strbuf_cstr(shown), shown->len};

    for (size_t i = 0; i + name.len + 2 < text.len; i++) {
        struct span key = {text.at + i + 1, name.len};
        if (text.at[i] != '"' || !span_equal(key, name) || key.at[key.len] != '"')
            continue;
        size_t at = skip_blanks(text, i + name.len + 2);
        if (at >= text.len || text.at[at] != ':')
            continue;
        at = skip_blanks(text, at + 1);
        size_t end = value_end(text, at);
        for (at += at < end && text.at[at] == '"'; at < end; at++)
            shown->at[at] = '*';
    }
}

/* Excerpts are printed, and logged. They are masked as text, since they also show what is no JSON.
 */
static void mask_secrets(struct loader *ld)
{
    strbuf_add(&ld->shown, strbuf_cstr(&ld->file), ld->file.len);
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].type != OPTION_SECRET)
            continue;
        mask_values(&ld->shown, option_leaf(&option_table[i]));
        mask_values(&ld->shown, span_of(option_table[i].path)); /* no key, but somebody's try */
    }
}

static bool check_characters(struct loader *ld)
{
    size_t len;

    for (size_t i = 0; i < ld->file.len; i += len) {
        struct span rest = {ld->file.at + i, ld->file.len - i};
        len = utf8_length(rest);
        if (len == 0) {
            loader_problem_at(ld, i, 1, "not UTF-8: byte 0x%02x", (unsigned char)rest.at[0]);
            return false;
        }
        if (rest.at[0] == '\0') {
            loader_problem_at(ld, i, 1, "a NUL byte; the %s must be plain text in UTF-8",
                              ld->text == ORIGIN_FILE ? "file" : "change");
            return false;
        }
    }
    return true;
}

static bool check_text(struct loader *ld)
{
    struct span text = {strbuf_cstr(&ld->file), ld->file.len};

    if (strspn(text.at, " \t\r\n") == text.len) {
        loader_problem(ld, ld->name,
                       "the file is empty; a minimal one is { \"upstream\": \"127.0.0.1:8000\" }");
        return false;
    }
    if (text.len >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0) {
        loader_problem(ld, ld->name, "begins with a byte order mark; save it as UTF-8 without one");
        return false;
    }
    return check_characters(ld);
}

/* Reports them, and replaces them with spaces in the copy that is parsed. */
static void drop_trailing_commas(struct loader *ld)
{
    strbuf_add_span(&ld->clean, ld->jp.text);
    for (size_t i = 0; i < ld->jp.n_commas; i++) {
        size_t comma = ld->jp.commas[i];
        const char *after = ld->clean.at + comma + 1;
        loader_problem_at(ld, comma, 1, "trailing comma: nothing follows it before the \"%c\"",
                          after[strspn(after, " \t\r\n")]);
        ld->clean.at[comma] = ' ';
    }
    ld->jp.text = (struct span){strbuf_cstr(&ld->clean), ld->clean.len};
}

/* jansson parses text that the scanner has accepted; it rarely refuses: an integer beyond 64 bits,
 * or half a surrogate pair. */
static json_t *parse_text(struct loader *ld)
{
    json_error_t error;
    bool sound = jsonpos_scan(&ld->jp, (struct span){strbuf_cstr(&ld->file), ld->file.len});

    drop_trailing_commas(ld);
    if (!sound) {
        struct span why = {strbuf_cstr(&ld->jp.bad), ld->jp.bad.len};
        loader_problem_in_file(ld, ld->jp.bad_at, ld->jp.bad_len, why, "");
        return NULL;
    }
    struct span text = ld->jp.text;
    json_t *json = json_loadb(text.at, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (json == NULL) {
        size_t at = error.position > 0 ? (size_t)error.position - 1 : 0;
        loader_problem_at(ld, at < text.len ? at : text.len, 1, "%s", error.text);
    }
    return json;
}

/* ---- the file: its keys --------------------------------------------------------------------- */

/* The text of node i's key without quotes and escapes; the caller calls strbuf_fini(). */
static void decode_key(const struct jsonpos *jp, size_t i, struct strbuf *out)
{
    struct span raw = jsonpos_key(jp, i);
    json_t *key = json_loadb(raw.at, raw.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    CHECK(key != NULL);
    strbuf_add(out, json_string_value(key), json_string_length(key));
    json_decref(key);
}

static bool is_comment(struct span key)
{
    return key.len >= 2 && key.at[0] == '/' && key.at[1] == '/';
}

/* The first key with the name of node i in the same object; i if that is the first. */
static size_t first_of_name(const struct jsonpos *jp, size_t parent, size_t i)
{
    struct strbuf mine = {0}, other = {0};
    size_t first = parent + 1;

    decode_key(jp, i, &mine);
    while (first < i) {
        strbuf_clear(&other);
        decode_key(jp, first, &other);
        if (other.len == mine.len && memcmp(other.at, mine.at, mine.len) == 0)
            break;
        first = jp->nodes[first].end;
    }
    strbuf_fini(&mine);
    strbuf_fini(&other);
    return first;
}

/* Whether any option lies inside `path`. */
static bool is_section(struct span path)
{
    for (size_t i = 0; i < option_count; i++) {
        if (span_equal(option_section(&option_table[i]), path))
            return path.len > 0;
    }
    return false;
}

/* upstream.address is also suggested for other names of the app at the top level. */
static bool is_known_there(const struct option *o, struct span section)
{
    return span_equal(option_section(o), section) ||
           (section.len == 0 && strcmp(o->path, "upstream.address") == 0);
}

static void suggest_key(struct nearest *n, const struct option *o, struct span section)
{
    struct span list = span_of(o->also == NULL ? "" : o->also), word;

    if (!is_known_there(o, section))
        return;
    if (span_equal(option_section(o), section))
        nearest_try(n, option_leaf(o), o->path);
    while (next_word(&list, &word))
        nearest_try(n, word, o->path);
}

/* The right key in the wrong section, or a path written as one key. */
static const struct option *same_elsewhere(struct span key)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (span_equal(option_leaf(o), key) || span_equal(span_of(o->path), key))
            return o;
    }
    return NULL;
}

static bool first_of_section(size_t i)
{
    return i == 0 ||
           !span_equal(option_section(&option_table[i]), option_section(&option_table[i - 1]));
}

/* The keys of a section; at the top level also the sections, once each. */
static void list_known(struct span section, struct strbuf *out)
{
    const char *between = "";

    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        struct span own = option_section(o);
        bool inside = span_equal(own, section);
        if (!inside && (section.len > 0 || !first_of_section(i)))
            continue;
        strbuf_adds(out, between);
        strbuf_add_span(out, inside ? option_leaf(o) : own);
        between = ", ";
    }
}

static void suggest_sections(struct nearest *n, struct span section)
{
    for (size_t i = 0; i < option_count && section.len == 0; i++) {
        const char *dot = strchr(option_table[i].path, '.');
        if (dot != NULL && first_of_section(i))
            nearest_try(n, option_section(&option_table[i]), option_table[i].path);
    }
}

/* Suggests the section of the path, or its last part, whichever is a key here. */
static void write_key_answer(const char *path, struct span section, struct strbuf *note)
{
    const struct option *o = option_find(span_of(path));
    bool inside = span_equal(option_section(o), section);
    struct span answer = inside ? option_leaf(o) : option_section(o);

    strbuf_addf(note, "did you mean \"%.*s\"? ", SPAN_PRINTF(answer));
}

static void write_key_note(struct span section, struct span key, struct strbuf *note)
{
    struct nearest n = {.typed = key};
    const struct option *elsewhere = same_elsewhere(key);

    suggest_sections(&n, section);
    for (size_t i = 0; i < option_count; i++)
        suggest_key(&n, &option_table[i], section);
    if (elsewhere != NULL && (n.answer == NULL || n.distance > 0))
        strbuf_addf(note, "did you mean \"%.*s\" in \"%.*s\"? ",
                    SPAN_PRINTF(option_leaf(elsewhere)), SPAN_PRINTF(option_section(elsewhere)));
    else if (n.answer != NULL)
        write_key_answer(n.answer, section, note);
    strbuf_adds(note, "(known: ");
    list_known(section, note);
    strbuf_adds(note, ")");
}

static void write_section_name(struct span section, struct strbuf *out)
{
    if (section.len == 0)
        strbuf_adds(out, "at the top level");
    else
        strbuf_addf(out, "in \"%.*s\"", SPAN_PRINTF(section));
}

typedef void write_note_fn(struct span section, struct span key, struct strbuf *note);

static void unknown_key(struct loader *ld, size_t node, struct span section, struct span key,
                        write_note_fn *write_note)
{
    const struct jsonpos_node *at = &ld->jp.nodes[node];
    struct strbuf message = {0}, note = {0};

    strbuf_addf(&message, "unknown key %.*s%s ", (int)(at->key_len > 60 ? 60 : at->key_len),
                ld->file.at + at->key_at, at->key_len > 60 ? "..." : "");
    write_section_name(section, &message);
    write_note(section, key, &note);
    loader_problem_in_file(ld, at->key_at, at->key_len,
                           (struct span){strbuf_cstr(&message), message.len}, strbuf_cstr(&note));
    strbuf_fini(&message);
    strbuf_fini(&note);
}

static void duplicate_key(struct loader *ld, size_t node, size_t first, struct span section)
{
    const struct jsonpos_node *at = &ld->jp.nodes[node];
    struct span text = {strbuf_cstr(&ld->file), ld->file.len};
    struct strbuf message = {0};

    strbuf_addf(&message, "duplicate key %.*s ", SPAN_PRINTF(jsonpos_key(&ld->jp, node)));
    write_section_name(section, &message);
    strbuf_addf(&message, "; the first is on line %zu",
                jsonpos_place(text, ld->jp.nodes[first].key_at).line);
    loader_problem_in_file(ld, at->key_at, at->key_len,
                           (struct span){strbuf_cstr(&message), message.len}, "");
    strbuf_fini(&message);
}

/* ---- the file: its values ------------------------------------------------------------------- */

/* The value in the form of a flag. Objects and lists have none. */
static struct span text_of(const json_t *value, struct span raw)
{
    if (json_is_string(value))
        return (struct span){json_string_value(value), json_string_length(value)};
    if (json_is_object(value) || json_is_array(value))
        return SPAN("");
    return raw;
}

static struct span shown(const json_t *value, struct span raw)
{
    if (json_is_object(value))
        return SPAN("an object");
    return json_is_array(value) ? SPAN("a list") : raw;
}

/* Whether the JSON type is the one for this option. */
static bool type_fits(const struct option *o, const json_t *value, struct span text)
{
    if (option_is_text(o))
        return json_is_string(value);
    if (o->type == OPTION_BOOL)
        return json_is_boolean(value);
    if (o->special != NULL && span_equal(text, span_of(o->special)))
        return json_is_string(value);
    return json_is_integer(value);
}

static void bad_value(struct loader *ld, const struct option *o, enum option_verdict verdict,
                      const json_t *value, size_t node, const char *element)
{
    const struct jsonpos_node *at = &ld->jp.nodes[node];
    struct span raw = jsonpos_value(&ld->jp, node);
    struct strbuf message = {0};

    strbuf_addf(&message, "\"%s%s\"", o->path, element);
    option_write_complaint(o, verdict, shown(value, raw), text_of(value, raw),
                           option_is_text(o) || *element != '\0', &message);
    if (json_is_null(value))
        strbuf_adds(&message, "; omit the key to use the default");
    loader_problem_in_file(ld, at->at, at->len, (struct span){strbuf_cstr(&message), message.len},
                           "");
    strbuf_fini(&message);
}

static const char *element_of(const struct option *o)
{
    if (o->type == OPTION_METHODS)
        return "method";
    return o->type == OPTION_PATHS ? "path" : o->type == OPTION_SET ? "name" : "range";
}

/* Its first word, if it has some. */
static struct span example_of(const struct option *o)
{
    struct span list = span_of(o->words == NULL ? "/healthz" : o->words), word = list;

    if (o->type == OPTION_CLASSES)
        return SPAN("{\"name\": \"gold\", \"header\": \"X-Priority\", \"value\": \"high\"}");
    if (o->type == OPTION_METHODS)
        return SPAN("GET");
    (void)next_word(&list, &word);
    return word;
}

static void read_list(struct loader *ld, const struct option *o, const json_t *list, size_t node)
{
    size_t child = node + 1;
    char element[32];

    option_clear_list(o, ld->c);
    for (size_t i = 0; i < json_array_size(list); i++, child = ld->jp.nodes[child].end) {
        const json_t *value = json_array_get(list, i);
        enum option_verdict verdict = OPTION_MALFORMED;
        if (json_is_string(value))
            verdict = option_read_element(o, text_of(value, SPAN("")), ld->c);
        snprintf(element, sizeof(element), "[%zu]", i);
        if (json_is_string(value) && span_equal_nocase(text_of(value, SPAN("")), span_of(o->empty)))
            loader_problem_at(ld, ld->jp.nodes[child].at, ld->jp.nodes[child].len,
                              "\"%s%s\" is not a %s: an empty list is []", o->path, element,
                              element_of(o));
        else if (verdict != OPTION_READ)
            bad_value(ld, o, verdict, value, child, element);
    }
}

static void read_classes(struct loader *ld, const struct option *o, const json_t *list,
                         size_t node);

static void read_list_value(struct loader *ld, const struct option *o, const json_t *value,
                            size_t node)
{
    const struct jsonpos_node *at = &ld->jp.nodes[node];
    struct span show = shown(value, jsonpos_value(&ld->jp, node));
    const char *quote = o->type == OPTION_CLASSES ? "" : "\"";

    if (!json_is_array(value))
        loader_problem_at(ld, at->at, at->len,
                          "\"%s\" expects a list such as [%s%.*s%s], or [] for none, got %.*s%s",
                          o->path, quote, SPAN_PRINTF(example_of(o)), quote,
                          (int)(show.len > 60 ? 60 : show.len), show.at,
                          show.len > 60 ? "..." : "");
    else if (o->type == OPTION_CLASSES)
        read_classes(ld, o, value, node);
    else
        read_list(ld, o, value, node);
}

static void read_any(struct loader *ld, const struct option *o, const json_t *value, size_t node)
{
    struct span text = text_of(value, jsonpos_value(&ld->jp, node));
    enum option_verdict verdict = OPTION_MALFORMED;

    if (option_is_list(o)) {
        read_list_value(ld, o, value, node);
        return;
    }
    if (type_fits(o, value, text))
        verdict = option_read(o, text, ld->c);
    if (verdict != OPTION_READ)
        bad_value(ld, o, verdict, value, node, "");
}

static void read_value(struct loader *ld, const struct option *o, const json_t *value, size_t node)
{
    struct span whole = {strbuf_cstr(&ld->file), ld->file.len};

    loader_note_origin(ld, o, ld->text);
    ld->node[loader_index_of(o)] = node;
    ld->out->line[loader_index_of(o)] = jsonpos_place(whole, ld->jp.nodes[node].at).line;
    read_any(ld, o, value, node);
}

typedef void read_member_fn(struct loader *ld, const json_t *value, size_t node,
                            struct span section, struct span key);

static void read_object(struct loader *ld, size_t node, struct span section,
                        read_member_fn *read_one);

static void read_member(struct loader *ld, const json_t *value, size_t node, struct span section,
                        struct span key);

/* "upstream" may be just an address. */
static void read_section(struct loader *ld, const json_t *value, size_t node, struct span path)
{
    const struct jsonpos_node *at = &ld->jp.nodes[node];
    struct span raw = jsonpos_value(&ld->jp, node), show = shown(value, raw);
    bool upstream = span_equal(path, SPAN("upstream"));

    if (json_is_object(value))
        read_object(ld, node, path, read_member);
    else if (upstream && (json_is_string(value) || json_is_number(value)))
        read_value(ld, option_find(SPAN("upstream.address")), value, node);
    else
        loader_problem_at(ld, at->at, at->len, "\"%.*s\" expects %san object, got %.*s%s",
                          SPAN_PRINTF(path), upstream ? "an address or " : "",
                          (int)(show.len > 60 ? 60 : show.len), show.at,
                          show.len > 60 ? "..." : "");
}

static void read_member(struct loader *ld, const json_t *value, size_t node, struct span section,
                        struct span key)
{
    struct strbuf path = {0};

    if (section.len > 0)
        strbuf_addf(&path, "%.*s.", SPAN_PRINTF(section));
    strbuf_add_span(&path, key);
    struct span full = {strbuf_cstr(&path), path.len};
    bool dotted = key.len > 0 && memchr(key.at, '.', key.len) != NULL;
    const struct option *o = dotted ? NULL : option_find(full);
    if (o != NULL)
        read_value(ld, o, value, node);
    else if (!dotted && is_section(full))
        read_section(ld, value, node, full);
    else
        unknown_key(ld, node, section, key, write_key_note);
    strbuf_fini(&path);
}

/* ---- the file: classes ---------------------------------------------------------------------- */

static void write_class_note(struct span section, struct span key, struct strbuf *note)
{
    (void)section;
    option_classes_write_note(key, note);
}

static void read_class_member(struct loader *ld, const json_t *value, size_t node,
                              struct span section, struct span key)
{
    char path[OPTION_CLASS_PATH];
    struct option o;

    if (option_class_member(ld->c->classes.n - 1, key, path, &o))
        read_any(ld, &o, value, node);
    else
        unknown_key(ld, node, section, key, write_class_note);
}

/* Whether the members of the class agree is checked only if all could be read. */
static void read_class(struct loader *ld, size_t node)
{
    const struct jsonpos_node *at = &ld->jp.nodes[node];
    struct strbuf why = {0};
    unsigned errors = ld->errors;
    char path[OPTION_CLASS_PATH];

    snprintf(path, sizeof(path), "classes[%u]", ld->c->classes.n - 1);
    read_object(ld, node, span_of(path), read_class_member);
    if (ld->errors == errors && !option_classes_check(ld->c, &why))
        loader_problem_at(ld, at->at, at->len, "\"%s\" %s", path, strbuf_cstr(&why));
    strbuf_fini(&why);
}

static void read_classes(struct loader *ld, const struct option *o, const json_t *list, size_t node)
{
    size_t child = node + 1;

    option_clear_list(o, ld->c);
    for (size_t i = 0; i < json_array_size(list); i++, child = ld->jp.nodes[child].end) {
        const struct jsonpos_node *at = &ld->jp.nodes[child];
        const json_t *value = json_array_get(list, i);
        struct span show = shown(value, jsonpos_value(&ld->jp, child));
        if (!json_is_object(value)) {
            loader_problem_at(ld, at->at, at->len,
                              "\"%s[%zu]\" expects an object such as {\"name\": \"gold\", "
                              "\"header\": \"X-Priority\", \"value\": \"high\"}, got %.*s%s",
                              o->path, i, (int)(show.len > 60 ? 60 : show.len), show.at,
                              show.len > 60 ? "..." : "");
        } else if (option_classes_begin(ld->c)) {
            read_class(ld, child);
        } else {
            loader_problem_at(ld, at->at, at->len, "\"%s\" has more than %d classes", o->path,
                              CLASS_RULES_MAX);
            return;
        }
    }
}

/* ---- the file: objects ---------------------------------------------------------------------- */

static bool is_schema(struct span key, struct span section)
{
    return section.len == 0 && span_equal(key, SPAN("$schema"));
}

/* The value of node i; the caller calls json_decref(). Parsed separately, since an object of
 * jansson keeps only the last of several duplicates. */
static json_t *value_of(const struct jsonpos *jp, size_t i)
{
    struct span raw = jsonpos_value(jp, i);
    json_t *value = json_loadb(raw.at, raw.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    CHECK(value != NULL);
    return value;
}

/* Of duplicates, the first is used; the others are errors, whatever their values. */
static void read_object(struct loader *ld, size_t node, struct span section,
                        read_member_fn *read_one)
{
    struct strbuf name = {0};
    size_t end = ld->jp.nodes[node].end;

    for (size_t i = node + 1; i < end && ld->errors <= PROBLEMS_MAX; i = ld->jp.nodes[i].end) {
        strbuf_clear(&name);
        decode_key(&ld->jp, i, &name);
        struct span key = {strbuf_cstr(&name), name.len};
        if (is_comment(key))
            continue;
        size_t first = first_of_name(&ld->jp, node, i);
        if (first != i) {
            duplicate_key(ld, i, first, section);
        } else if (!is_schema(key, section)) {
            json_t *value = value_of(&ld->jp, i);
            read_one(ld, value, i, section, key);
            json_decref(value);
        }
    }
    strbuf_fini(&name);
}

void config_file_load_text(struct loader *ld)
{
    mask_secrets(ld);
    if (!check_text(ld))
        return;
    json_t *json = parse_text(ld);
    if (json == NULL)
        return;
    struct span raw = jsonpos_value(&ld->jp, 0), show = shown(json, raw);
    if (json_is_object(json))
        read_object(ld, 0, SPAN(""), read_member);
    else
        loader_problem_at(
            ld, ld->jp.nodes[0].at, raw.len, "the %s must be one JSON object, got %.*s%s",
            ld->text == ORIGIN_FILE ? "file" : "change", (int)(show.len > 60 ? 60 : show.len),
            show.at, show.len > 60 ? "..." : "");
    json_decref(json);
}

void config_file_load(struct loader *ld)
{
    if (read_file(ld))
        config_file_load_text(ld);
}
