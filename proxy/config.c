/*
 * Merges one configuration from six sources, lowest priority first: defaults, profile, platform,
 * file, environment, flags. Each source overrides the previous ones; problems are reported for all
 * of them, even if a higher source would override the value. The profile is read last, since any of
 * the others may name it. Loading uses one thread; the result is immutable and reference-counted.
 */
#include "proxy/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config_load.h"
#include "proxy/jsonpos.h"
#include "proxy/option_hint.h"
#include "proxy/option_value.h"
#include "proxy/options.h"

#define QUEUE_DEFAULT    1000 /* maximum number of waiting requests if concurrency is unlimited */
#define QUEUE_PER_SLOT   10
#define QUEUE_LENGTH_MAX 1000000

/* ---- problems ------------------------------------------------------------------------------- */

/* Whether this problem is printed; counts it in any case. */
static bool problem_begins(struct loader *ld)
{
    return ++ld->errors <= PROBLEMS_MAX;
}

/* Files, arguments and variable names may contain any byte; control characters are not printed. */
static void add_message(struct loader *ld, struct span message)
{
    for (size_t i = 0; i < message.len; i++) {
        unsigned char c = (unsigned char)message.at[i];
        strbuf_add(ld->problems, c < ' ' || c == 0x7f ? "?" : &message.at[i], 1);
    }
    strbuf_adds(ld->problems, "\n");
}

void loader_problem_in_file(struct loader *ld, size_t at, size_t len, struct span message,
                            const char *note)
{
    struct span text = {strbuf_cstr(&ld->shown), ld->shown.len};
    struct jsonpos_place place = jsonpos_place(text, at);

    if (!problem_begins(ld))
        return;
    strbuf_addf(ld->problems, "%s:%zu:%zu: error: ", ld->name, place.line, place.column);
    add_message(ld, message);
    jsonpos_excerpt(text, at, len, note, ld->problems);
}

static void problem_elsewhere(struct loader *ld, const char *where, struct span message)
{
    if (!problem_begins(ld))
        return;
    strbuf_addf(ld->problems, "%s: error: ", where);
    add_message(ld, message);
}

void loader_problem_at(struct loader *ld, size_t at, size_t len, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    loader_problem_in_file(ld, at, len, span_of(text), "");
}

void loader_problem(struct loader *ld, const char *where, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    problem_elsewhere(ld, where, span_of(text));
}

const char *config_path_text(const char *path)
{
    return strcmp(path, "-") == 0 ? "stdin" : path;
}

static void write_summary(struct loader *ld)
{
    if (ld->errors > PROBLEMS_MAX)
        strbuf_addf(ld->problems, "(only the first %d errors are shown)\n", PROBLEMS_MAX);
    strbuf_addf(ld->problems, "%s: %u error%s; nothing was %s\n", ld->name, ld->errors,
                ld->errors == 1 ? "" : "s", ld->src->running != NULL ? "changed" : "started");
}

size_t loader_index_of(const struct option *o)
{
    return (size_t)(o - option_table);
}

void loader_note_origin(struct loader *ld, const struct option *o, enum origin from)
{
    ld->out->origin[loader_index_of(o)] = from;
}

/* ---- platform, environment, flags ----------------------------------------------------------- */

/* NULL when not set; an empty variable counts as not set, since templates often leave empty
 * ones. */
static const char *env_get(const struct loader *ld, const char *name)
{
    size_t len = strlen(name);

    for (char **e = ld->src->environ_; e != NULL && *e != NULL; e++) {
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=' && (*e)[len + 1] != '\0')
            return *e + len + 1;
    }
    return NULL;
}

static void complain_about_text(struct loader *ld, const struct option *o,
                                enum option_verdict verdict, const char *subject, struct span text)
{
    struct strbuf message = {0}, got = {0};

    strbuf_add_json(&got, text);
    strbuf_adds(&message, subject);
    option_write_complaint(o, verdict, (struct span){strbuf_cstr(&got), got.len}, text, true,
                           &message);
    problem_elsewhere(ld, "weir", (struct span){strbuf_cstr(&message), message.len});
    strbuf_fini(&message);
    strbuf_fini(&got);
}

static void read_text(struct loader *ld, const struct option *o, enum origin from,
                      const char *subject, struct span text)
{
    enum option_verdict verdict = option_read(o, text, ld->c);

    loader_note_origin(ld, o, from);
    if (verdict != OPTION_READ)
        complain_about_text(ld, o, verdict, subject, text);
}

/* PORT is only a number; CONTAINER_CONCURRENCY=0 means unlimited, as in Knative. */
static void read_platform(struct loader *ld, const struct option *o)
{
    const char *value = o->platform == NULL ? NULL : env_get(ld, o->platform);
    struct strbuf text = {0};

    if (value == NULL)
        return;
    if (o->type == OPTION_ADDRESS)
        strbuf_addf(&text, ":%s", value);
    else
        strbuf_adds(&text, strcmp(value, "0") == 0 ? o->special : value);
    struct span s = {text.at, text.len};
    if (o->type != OPTION_ADDRESS)
        read_text(ld, o, ORIGIN_PLATFORM, o->platform, s);
    else if (option_read(o, s, ld->c) == OPTION_READ)
        loader_note_origin(ld, o, ORIGIN_PLATFORM);
    else
        loader_problem(ld, "weir", "%s expects a port from %u to %u, got \"%s\"", o->platform,
                       (unsigned)o->min, (unsigned)o->max, value);
    strbuf_fini(&text);
}

static void read_env(struct loader *ld, const struct option *o)
{
    struct strbuf name = {0}, alias = {0};

    option_env_name(o, &name);
    const char *value = env_get(ld, strbuf_cstr(&name));
    const char *other = option_env_alias(o, &alias) ? env_get(ld, strbuf_cstr(&alias)) : NULL;
    if (value != NULL && other != NULL && strcmp(value, other) != 0)
        loader_problem(ld, "weir", "%s and %s set the same option to different values: keep one",
                       strbuf_cstr(&name), strbuf_cstr(&alias));
    else if (value != NULL)
        read_text(ld, o, ORIGIN_ENV, strbuf_cstr(&name), span_of(value));
    else if (other != NULL)
        read_text(ld, o, ORIGIN_ENV, strbuf_cstr(&alias), span_of(other));
    ld->something_given = ld->something_given || value != NULL || other != NULL;
    strbuf_fini(&name);
    strbuf_fini(&alias);
}

/* Kubernetes sets WEIR_PORT, WEIR_SERVICE_HOST and more for a service named weir, so an unknown
 * variable is an error only if its name resembles a known one. */
static void check_env_name(struct loader *ld, struct span name)
{
    struct nearest n = {.typed = name};
    struct strbuf known = {0}, answer = {0};

    for (size_t i = 0; i < option_count; i++) {
        strbuf_clear(&known);
        option_env_name(&option_table[i], &known);
        struct span word = {known.at, known.len};
        const char *before = n.answer;
        size_t distance = n.distance;
        nearest_try(&n, word, option_table[i].path);
        if (n.answer == before && n.distance == distance)
            continue;
        strbuf_clear(&answer);
        strbuf_add_span(&answer, word);
    }
    if (n.answer != NULL && n.distance > 0 && n.distance <= 2)
        loader_problem(ld, "weir", "unknown variable %.*s (did you mean %s?)",
                       (int)(name.len > 60 ? 60 : name.len), name.at, strbuf_cstr(&answer));
    strbuf_fini(&known);
    strbuf_fini(&answer);
}

static bool is_alias(struct span name)
{
    struct strbuf alias = {0};
    bool found = false;

    for (size_t i = 0; i < option_count && !found; i++) {
        strbuf_clear(&alias);
        found = option_env_alias(&option_table[i], &alias) &&
                span_equal((struct span){alias.at, alias.len}, name);
    }
    strbuf_fini(&alias);
    return found;
}

static bool is_ours(struct span name)
{
    static const char *const not [] = {"WEIR_CONFIG", "WEIR_PORT", "WEIR_SERVICE_"};

    if (name.len < 5 || memcmp(name.at, "WEIR_", 5) != 0)
        return false;
    for (size_t i = 0; i < 3; i++) {
        if (strncmp(name.at, not [i], strlen(not [i])) == 0)
            return false;
    }
    return true;
}

static void load_env(struct loader *ld)
{
    for (size_t i = 0; i < option_count; i++)
        read_env(ld, &option_table[i]);
    for (char **e = ld->src->environ_; e != NULL && *e != NULL; e++) {
        struct span name = {*e, strcspn(*e, "=")};
        if (is_ours(name) && !is_alias(name))
            check_env_name(ld, name);
    }
}

/* ---- flags ---------------------------------------------------------------------------------- */

static void load_flag(struct loader *ld, const struct option_flag *flag)
{
    struct strbuf text = {0};

    if (flag->option == NULL) {
        option_write_unknown_flag(flag->name, &text);
        loader_problem(ld, "weir", "%s", strbuf_cstr(&text));
    } else if (flag->value == NULL) {
        loader_problem(ld, "weir", "--%.*s requires a value", SPAN_PRINTF(flag->name));
    } else {
        strbuf_addf(&text, "--%.*s", SPAN_PRINTF(flag->name));
        read_text(ld, flag->option, ORIGIN_FLAG, strbuf_cstr(&text), span_of(flag->value));
    }
    strbuf_fini(&text);
}

static void load_flags(struct loader *ld)
{
    struct option_flag flag;

    for (int i = 0; i < ld->src->argc;) {
        ld->something_given = true;
        if (option_next_flag(ld->src->argc, ld->src->argv, &i, &flag))
            load_flag(ld, &flag);
        else
            loader_problem(ld, "weir", "\"%s\" is not a flag", ld->src->argv[i++]);
    }
}

/* ---- defaults, and checks across options ---------------------------------------------------- */

static void load_defaults(struct loader *ld)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (o->preset != NULL)
            CHECK(option_read(o, span_of(o->preset), ld->c) == OPTION_READ);
    }
}

/* Cloud Run refuses with 429, sends SIGKILL 10 s after SIGTERM, and sends no new requests by then.
 */
static const struct {
    enum config_profile profile;
    const char *path, *value;
} profiles[] = {
    {CONFIG_PROFILE_CLOUDRUN, "overload.status", "429"},
    {CONFIG_PROFILE_CLOUDRUN, "drain.delay", "0s"},
    {CONFIG_PROFILE_CLOUDRUN, "drain.timeout", "9s"},
};

static enum origin origin_of(const struct loader *ld, const char *path)
{
    return ld->out->origin[loader_index_of(option_find(span_of(path)))];
}

static void load_profile(struct loader *ld)
{
    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
        const struct option *o = option_find(span_of(profiles[i].path));
        if (profiles[i].profile != ld->c->profile || origin_of(ld, o->path) != ORIGIN_DEFAULT)
            continue;
        CHECK(option_read(o, span_of(profiles[i].value), ld->c) == OPTION_READ);
        loader_note_origin(ld, o, ORIGIN_PROFILE);
    }
}

/* Where a value that is not in the text was set; from a file that was read earlier, the line. */
static void write_place(const struct loader *ld, const struct option *o, struct strbuf *out)
{
    size_t i = loader_index_of(o);

    switch (ld->out->origin[i]) {
    case ORIGIN_FLAG:
        strbuf_adds(out, "--");
        option_flag_name(o, out);
        return;
    case ORIGIN_ENV:
        option_env_name(o, out);
        return;
    case ORIGIN_PLATFORM:
        strbuf_adds(out, o->platform);
        return;
    case ORIGIN_FILE:
        strbuf_addf(out, "\"%s\" (%s:%zu)", o->path, config_path_text(ld->out->path),
                    ld->out->line[i]);
        return;
    case ORIGIN_CHANGE:
        strbuf_addf(out, "\"%s\" (from an earlier change)", o->path);
        return;
    case ORIGIN_DEFAULT:
    case ORIGIN_PROFILE:
        strbuf_addf(out, "\"%s\"", o->path);
        return;
    }
}

void loader_problem_with(struct loader *ld, const struct option *o, const char *message)
{
    struct strbuf place = {0};
    size_t i = loader_index_of(o);

    if (ld->out->origin[i] == ld->text && ld->node[i] != 0) {
        const struct jsonpos_node *at = &ld->jp.nodes[ld->node[i]];
        loader_problem_at(ld, at->at, at->len, "\"%s\": %s", o->path, message);
        return;
    }
    write_place(ld, o, &place);
    loader_problem(ld, "weir", "%s: %s", strbuf_cstr(&place), message);
    strbuf_fini(&place);
}

static void default_queue_length(struct loader *ld)
{
    uint64_t length = (uint64_t)ld->c->concurrency * QUEUE_PER_SLOT;

    if (origin_of(ld, "queue.length") != ORIGIN_DEFAULT)
        return;
    if (ld->c->concurrency == UINT32_MAX)
        length = QUEUE_DEFAULT;
    ld->c->queue.length = (uint32_t)(length > QUEUE_LENGTH_MAX ? QUEUE_LENGTH_MAX : length);
}

static void resolve(struct loader *ld, const char *path)
{
    const struct option *o = option_find(span_of(path));
    struct strbuf why = {0};

    if (!option_resolve(o, ld->c, &why))
        loader_problem_with(ld, o, strbuf_cstr(&why));
    strbuf_fini(&why);
}

static void resolve_all(struct loader *ld)
{
    resolve(ld, "listen");
    resolve(ld, "admin.listen");
    resolve(ld, "agent.listen");
    if (!ld->src->upstream_optional)
        resolve(ld, "upstream.address");
}

static void check_upstream_is_given(struct loader *ld)
{
    ld->c->upstream_given = ld->c->upstream.address.text[0] != '\0';
    if (ld->c->upstream_given || ld->src->upstream_optional || ld->errors > 0)
        return;
    if (ld->src->path != NULL)
        loader_problem(ld, ld->src->path,
                       "\"upstream\" is missing: set it to the address of the app, such as "
                       "\"127.0.0.1:8000\"");
    else if (ld->something_given)
        loader_problem(ld, "weir",
                       "--upstream is missing: set it to the address of the app, such as "
                       "127.0.0.1:8000");
}

static void check_mode(struct loader *ld, const char *path, const struct address *at)
{
    if (at->mode != 0 && at->sa.ss_family != AF_UNIX)
        loader_problem_with(ld, option_find(span_of(path)),
                            "applies only to a Unix socket: remove it");
}

static void check_not_own(struct loader *ld, const char *path, const struct address *own)
{
    char text[128];

    if (!address_covers(own, &ld->c->upstream.address))
        return;
    snprintf(text, sizeof(text),
             "must differ from weir's own \"%s\" address; otherwise, weir would connect to itself",
             path);
    loader_problem_with(ld, option_find(SPAN("upstream.address")), text);
}

static void check_differs(struct loader *ld, const char *path, const struct address *a,
                          const char *other, const struct address *b)
{
    char text[128];

    if (!address_covers(a, b) && !address_covers(b, a))
        return;
    snprintf(text, sizeof(text), "must differ from \"%s\": choose another port, or \"off\"", other);
    loader_problem_with(ld, option_find(span_of(path)), text);
}

static void check_addresses(struct loader *ld)
{
    const struct config *c = ld->c;

    check_not_own(ld, "listen", &c->listen);
    check_not_own(ld, "admin.listen", &c->admin.listen);
    check_differs(ld, "admin.listen", &c->admin.listen, "listen", &c->listen);
    if (!c->agent.enabled)
        return;
    check_not_own(ld, "agent.listen", &c->agent.listen);
    check_differs(ld, "agent.listen", &c->agent.listen, "listen", &c->listen);
    check_differs(ld, "agent.listen", &c->agent.listen, "admin.listen", &c->admin.listen);
}

static bool is_preset(const struct loader *ld, const struct option *o)
{
    struct strbuf text = {0};

    option_write_text(o, ld->c, &text);
    bool same = span_equal((struct span){text.at, text.len}, span_of(o->preset));
    strbuf_fini(&text);
    return same;
}

/* A client connection carries one request at a time. A value equal to the default is not reported:
 * config_write_json() always writes it. */
static void check_concurrency(struct loader *ld)
{
    const struct config *c = ld->c;
    const struct option *o = option_find(SPAN("concurrency"));
    char text[160];

    if (c->concurrency == UINT32_MAX || c->concurrency <= c->client.max_connections)
        return;
    if (is_preset(ld, o))
        return;
    snprintf(
        text, sizeof(text),
        "%u can never be reached with \"client.max_connections\" set to %u; raise the latter too",
        c->concurrency, c->client.max_connections);
    loader_problem_with(ld, o, text);
}

/* A value that another value bounds could never be reached if it exceeded the bound. UINT32_MAX
 * stands for a word: as `n` it follows the bound, as `most` there is no bound. */
static void check_within(struct loader *ld, const char *path, uint32_t n, const char *bound,
                         uint32_t most)
{
    char text[160];

    if (n == UINT32_MAX || n <= most)
        return;
    snprintf(text, sizeof(text), "%u can never be reached with \"%s\" set to %u", n, bound, most);
    loader_problem_with(ld, option_find(span_of(path)), text);
}

/* Reports only the tighter bound. */
static void check_capacity(struct loader *ld)
{
    const struct config *c = ld->c;
    uint32_t connections = c->upstream.max_connections;

    check_within(ld, "upstream.max_connections", connections, "concurrency", c->concurrency);
    const char *bound = connections < c->concurrency ? "upstream.max_connections" : "concurrency";
    uint32_t inside = connections < c->concurrency ? connections : c->concurrency;

    check_within(ld, "upgrades.max", c->upgrades.max, bound, inside);
    check_within(ld, "streams.max", c->streams.max, bound, inside);
}

/* Only if all values were read: an error about a default that replaces a mistyped value would be
 * misleading. */
static void finish(struct loader *ld)
{
    default_queue_length(ld);
    if (ld->src->running != NULL)
        config_change_keep_fixed(ld, ld->src->running);
    else
        resolve_all(ld);
    ld->c->admin.enabled = strcmp(ld->c->admin.listen.text, "off") != 0;
    ld->c->agent.enabled = strcmp(ld->c->agent.listen.text, "off") != 0;
    check_upstream_is_given(ld);
    if (ld->errors > 0)
        return;
    check_addresses(ld);
    check_mode(ld, "listen_mode", &ld->c->listen);
    check_mode(ld, "admin.listen_mode", &ld->c->admin.listen);
    check_concurrency(ld);
    check_capacity(ld);
}

static struct loaded *loaded_new(const char *path)
{
    struct loaded *out = calloc(1, sizeof(*out));

    CHECK(out != NULL && option_count <= OPTIONS_MAX);
    out->path = path == NULL ? NULL : strdup(path);
    CHECK(path == NULL || out->path != NULL);
    atomic_init(&out->config.refs, 1);
    return out;
}

void loader_begin(struct loader *ld, const struct config_source *src, struct strbuf *problems)
{
    memset(ld, 0, sizeof(*ld));
    ld->out = loaded_new(src->path);
    ld->c = &ld->out->config;
    ld->src = src;
    ld->problems = problems;
    ld->errors = src->errors;
    ld->name = src->path != NULL ? config_path_text(src->path) : "weir";
    ld->text = ORIGIN_FILE;
    ld->something_given = src->path != NULL;
}

struct config *loader_end(struct loader *ld)
{
    load_profile(ld);
    finish(ld);
    if (ld->errors > 0)
        write_summary(ld);
    strbuf_fini(&ld->file);
    strbuf_fini(&ld->shown);
    strbuf_fini(&ld->clean);
    jsonpos_fini(&ld->jp);
    if (ld->errors == 0)
        return ld->c;
    config_put(ld->c);
    return NULL;
}

struct config *config_load(const struct config_source *src, struct strbuf *problems)
{
    struct loader ld;

    loader_begin(&ld, src, problems);
    load_defaults(&ld);
    for (size_t i = 0; i < option_count; i++)
        read_platform(&ld, &option_table[i]);
    if (src->path != NULL)
        config_file_load(&ld);
    load_env(&ld);
    load_flags(&ld);
    return loader_end(&ld);
}

/* ---- a loaded configuration ----------------------------------------------------------------- */

struct config *config_get(struct config *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void config_put(struct config *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    struct loaded *loaded = CONTAINER_OF(c, struct loaded, config);
    option_clear(c);
    free(loaded->path);
    free(loaded);
}

bool config_trusts(const struct config *c, const struct sockaddr *sa)
{
    if (sa->sa_family == AF_UNIX)
        return c->headers.trusted.n > 0;
    return cidr_list_contains(&c->headers.trusted, sa);
}

bool config_trust_is_default(const struct config *c)
{
    const struct loaded *loaded = (const void *)c;
    const struct option *o = option_find(SPAN("headers.trusted"));

    return loaded->origin[loader_index_of(o)] == ORIGIN_DEFAULT &&
           c->headers.forwarded == CONFIG_FORWARDED_APPEND && c->listen.sa.ss_family != AF_UNIX &&
           !address_is_loopback(&c->listen);
}

/* ---- output --------------------------------------------------------------------------------- */

/* A value that is unknown is left out: upstream.address, when the command does not need it. */
static bool has_value(const struct config *c, const struct option *o)
{
    return c->upstream_given || strcmp(o->path, "upstream.address") != 0;
}

static void write_member(const struct config *c, const struct option *o, const char *indent,
                         struct strbuf *out)
{
    strbuf_addf(out, "%s\"%.*s\": ", indent, SPAN_PRINTF(option_leaf(o)));
    option_write_json(o, c, out);
}

void config_write_json(const struct config *c, struct strbuf *out)
{
    struct span section = SPAN("");
    const char *between = "{\n";

    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        struct span own = option_section(o);
        if (!has_value(c, o))
            continue;
        if (!span_equal(own, section)) {
            if (section.len > 0)
                strbuf_adds(out, "\n  }");
            if (own.len > 0) {
                strbuf_addf(out, "%s  \"%.*s\": ", between, SPAN_PRINTF(own));
                between = "{\n";
            }
            section = own;
        }
        strbuf_adds(out, between);
        write_member(c, o, own.len == 0 ? "  " : "    ", out);
        between = ",\n";
    }
    strbuf_adds(out, section.len > 0 ? "\n  }\n}\n" : "\n}\n");
}

static void write_origin(const struct loaded *loaded, const struct option *o, struct strbuf *out)
{
    size_t i = loader_index_of(o);

    switch (loaded->origin[i]) {
    case ORIGIN_DEFAULT:
        strbuf_adds(out, "default");
        return;
    case ORIGIN_PROFILE:
        strbuf_adds(out, "profile");
        return;
    case ORIGIN_PLATFORM:
        strbuf_addf(out, "platform %s", o->platform);
        return;
    case ORIGIN_FILE:
        strbuf_addf(out, "%s:%zu", config_path_text(loaded->path), loaded->line[i]);
        return;
    case ORIGIN_ENV:
        strbuf_adds(out, "environment ");
        option_env_name(o, out);
        return;
    case ORIGIN_FLAG:
        strbuf_adds(out, "flag --");
        option_flag_name(o, out);
        return;
    case ORIGIN_CHANGE:
        strbuf_adds(out, "changed while running");
        return;
    }
}

void config_write(const struct config *c, struct strbuf *out)
{
    const struct loaded *loaded = (const void *)c;
    struct strbuf value = {0};

    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        strbuf_clear(&value);
        if (has_value(c, o))
            option_write_json(o, c, &value);
        else
            strbuf_adds(&value, "(not set)");
        strbuf_addf(out, "%-29s %-20s ", o->path, strbuf_cstr(&value));
        write_origin(loaded, o, out);
        strbuf_adds(out, "\n");
    }
    strbuf_fini(&value);
}
