/* See option_classes.h. */
#include "proxy/option_classes.h"

#include <stdio.h>

#include "proxy/option_hint.h"
#include "proxy/option_private.h"

#define FIELD(f)  offsetof(struct class_rule, f), sizeof(((struct class_rule *)NULL)->f)
#define COUNT_MAX 1000000

/* clang-format off */
const struct option option_class_members[] = {
    {"classes.name", OPTION_TEXT, FIELD(name), .form = &option_form_name,
     .computed = "none; required", .also = "class id label",
     .help = "name of the class, in metrics and messages; unique"},
    {"classes.header", OPTION_TEXT, FIELD(header), .form = &option_form_header, .preset = "",
     .also = "field header_name",
     .help = "header that the request has"},
    {"classes.value", OPTION_TEXT, FIELD(value), .form = &option_form_value, .preset = "",
     .also = "header_value equals is",
     .help = "value of that header, compared exactly: a list is compared as a whole, and a header "
             "that occurs twice has no such value; \"\" for any value"},
    {"classes.path", OPTION_TEXT, FIELD(path), .form = &option_form_prefix, .preset = "",
     .also = "prefix path_prefix url",
     .help = "first part of the path, compared byte by byte: \"/reports\" includes "
             "\"/reports.txt\", and \"/reports/\" does not include \"/reports\""},
    {"classes.methods", OPTION_METHODS, FIELD(methods), .preset = "", .empty = "none",
     .also = "method verbs",
     .help = "methods, one of which the request has"},
    {"classes.head_start", OPTION_DURATION, FIELD(head_start), 0, HOUR, .preset = "0s",
     .also = "priority weight boost",
     .help = "how much earlier its requests count as having arrived, when the next one is chosen "
             "from the queue; as long as queue.timeout or longer, it is strict priority"},
    {"classes.max", OPTION_COUNT, FIELD(max), 1, COUNT_MAX, .special = "unlimited",
     .preset = "unlimited", .also = "limit concurrency max_concurrency slots",
     .help = "maximum number of its requests inside the app at once; others wait in the queue, and "
             "requests of other classes pass them"},
};
/* clang-format on */
const size_t option_class_member_count =
    sizeof(option_class_members) / sizeof(option_class_members[0]);

/* ---- members -------------------------------------------------------------------------------- */

static const struct option *find_member(struct span name)
{
    for (size_t i = 0; i < option_class_member_count; i++) {
        if (span_equal(option_leaf(&option_class_members[i]), name))
            return &option_class_members[i];
    }
    return NULL;
}

static struct option member_at(const struct option *member, size_t i, char path[OPTION_CLASS_PATH])
{
    struct option o = *member;

    snprintf(path, OPTION_CLASS_PATH, "classes[%zu].%s", i, option_leaf(member).at);
    o.path = path;
    o.at += offsetof(struct config, classes.at) + i * sizeof(struct class_rule);
    return o;
}

bool option_class_member(size_t i, struct span name, char path[OPTION_CLASS_PATH],
                         struct option *out)
{
    const struct option *member = find_member(name);

    if (member != NULL)
        *out = member_at(member, i, path);
    return member != NULL;
}

void option_classes_write_note(struct span name, struct strbuf *out)
{
    struct nearest n = {.typed = name};
    const char *between = "(known: ";

    for (size_t i = 0; i < option_class_member_count; i++) {
        const struct option *o = &option_class_members[i];
        struct span list = option_words(o->also), word;
        nearest_try(&n, option_leaf(o), option_leaf(o).at);
        while (next_word(&list, &word))
            nearest_try(&n, word, option_leaf(o).at);
    }
    if (n.answer != NULL)
        strbuf_addf(out, "did you mean \"%s\"? ", n.answer);
    for (size_t i = 0; i < option_class_member_count; i++) {
        strbuf_addf(out, "%s%s", between, option_leaf(&option_class_members[i]).at);
        between = ", ";
    }
    strbuf_adds(out, ")");
}

/* ---- a whole class -------------------------------------------------------------------------- */

bool option_classes_begin(struct config *c)
{
    char path[OPTION_CLASS_PATH];

    if (c->classes.n == CLASS_RULES_MAX)
        return false;
    size_t i = c->classes.n++;
    memset(&c->classes.at[i], 0, sizeof(c->classes.at[i]));
    for (size_t k = 0; k < option_class_member_count; k++) {
        struct option o = member_at(&option_class_members[k], i, path);
        if (o.preset != NULL)
            CHECK(option_read(&o, span_of(o.preset), c) == OPTION_READ);
    }
    return true;
}

static bool matches_all(const struct class_rule *rule)
{
    return rule->header[0] == '\0' && rule->path[0] == '\0' && rule->methods[0] == '\0';
}

static bool differs_from(const struct class_rules *rules, size_t i, struct strbuf *why)
{
    const struct class_rule *last = &rules->at[rules->n - 1];

    if (strcmp(rules->at[i].name, last->name) == 0) {
        strbuf_addf(why, "has the name \"%s\", as classes[%zu] has: choose another name",
                    last->name, i);
        return false;
    }
    if (matches_all(&rules->at[i])) {
        strbuf_addf(why,
                    "is never used, since classes[%zu] takes all requests: move that one to the "
                    "end, or give it \"header\", \"path\" or \"methods\"",
                    i);
        return false;
    }
    return true;
}

bool option_classes_check(const struct config *c, struct strbuf *why)
{
    const struct class_rules *rules = &c->classes;
    const struct class_rule *last = &rules->at[rules->n - 1];

    if (last->name[0] == '\0') {
        strbuf_adds(why, "has no \"name\": add one, such as \"gold\"");
        return false;
    }
    if (last->value[0] != '\0' && last->header[0] == '\0') {
        strbuf_adds(why, "has a \"value\" but no \"header\": add the name of the header");
        return false;
    }
    for (size_t i = 0; i + 1 < rules->n; i++) {
        if (!differs_from(rules, i, why))
            return false;
    }
    return true;
}

/* ---- the form of a flag --------------------------------------------------------------------- */

static bool read_value(const struct option *o, struct span value, struct config *c,
                       struct strbuf *why)
{
    enum option_verdict verdict = option_read(o, value, c);
    struct strbuf got = {0};

    if (verdict == OPTION_READ)
        return true;
    strbuf_add_json(&got, value);
    strbuf_adds(why, o->path);
    option_write_complaint(o, verdict, (struct span){strbuf_cstr(&got), got.len}, value, true, why);
    strbuf_fini(&got);
    return false;
}

/* `name=value` */
static bool read_part(struct span part, uint32_t *seen, struct config *c, struct strbuf *why)
{
    struct span value = part, name = option_next_element(&value, '=');
    size_t i = c->classes.n - 1;
    char path[OPTION_CLASS_PATH];
    struct option o;

    if (!option_class_member(i, name, path, &o)) {
        strbuf_addf(why, "classes[%zu] has an unknown part \"%.*s\": ", i,
                    (int)(name.len > 60 ? 60 : name.len), name.at);
        option_classes_write_note(name, why);
        return false;
    }
    uint32_t bit = UINT32_C(1) << (find_member(name) - option_class_members);
    if (*seen & bit) {
        strbuf_addf(why, "%s is there twice: keep one", o.path);
        return false;
    }
    *seen |= bit;
    return read_value(&o, option_trim(value), c, why);
}

static bool read_class(struct span text, struct config *c, struct strbuf *why)
{
    uint32_t seen = 0;

    while (text.len > 0) {
        struct span part = option_next_element(&text, ',');
        if (!read_part(part, &seen, c, why))
            return false;
    }
    strbuf_addf(why, "classes[%u] ", c->classes.n - 1);
    return option_classes_check(c, why);
}

enum option_verdict option_classes_add(const struct option *o, struct span text, struct config *c,
                                       struct strbuf *why)
{
    struct strbuf unused = {0};

    (void)o;
    if (!option_classes_begin(c)) {
        if (why != NULL)
            strbuf_addf(why, "there are more than %d classes", CLASS_RULES_MAX);
        return OPTION_OUT_OF_RANGE;
    }
    bool ok = read_class(text, c, why != NULL ? why : &unused);
    strbuf_fini(&unused);
    if (ok)
        return OPTION_READ;
    c->classes.n--;
    return OPTION_MALFORMED;
}

void option_classes_explain(const struct option *o, struct span text, struct strbuf *out)
{
    struct config scratch = {.threads = 0};
    enum option_verdict verdict = OPTION_READ;
    struct strbuf why = {0};

    while (text.len > 0 && verdict == OPTION_READ) {
        strbuf_clear(&why);
        verdict = option_classes_add(o, option_next_element(&text, ';'), &scratch, &why);
    }
    strbuf_adds(out, strbuf_cstr(&why));
    strbuf_fini(&why);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* The text of member `k` of class `i`; false if it has its default. */
static bool is_given(const struct config *c, size_t i, size_t k, struct strbuf *text)
{
    char path[OPTION_CLASS_PATH];
    struct option o = member_at(&option_class_members[k], i, path);

    strbuf_clear(text);
    option_write_text(&o, c, text);
    const char *preset = o.preset == NULL                       ? ""
                         : *o.preset == '\0' && o.empty != NULL ? o.empty
                                                                : o.preset;
    return strcmp(strbuf_cstr(text), preset) != 0;
}

void option_classes_write(const struct config *c, size_t i, struct strbuf *out)
{
    struct strbuf text = {0};
    const char *between = "";

    for (size_t k = 0; k < option_class_member_count; k++) {
        if (!is_given(c, i, k, &text))
            continue;
        strbuf_addf(out, "%s%s=%s", between, option_leaf(&option_class_members[k]).at,
                    strbuf_cstr(&text));
        between = ",";
    }
    strbuf_fini(&text);
}

void option_classes_write_json(const struct config *c, size_t i, struct strbuf *out)
{
    struct strbuf text = {0};
    const char *between = "{";
    char path[OPTION_CLASS_PATH];

    for (size_t k = 0; k < option_class_member_count; k++) {
        if (!is_given(c, i, k, &text))
            continue;
        struct option o = member_at(&option_class_members[k], i, path);
        strbuf_addf(out, "%s\"%s\": ", between, option_leaf(&o).at);
        option_write_json(&o, c, out);
        between = ", ";
    }
    strbuf_adds(out, "}");
    strbuf_fini(&text);
}
