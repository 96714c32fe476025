#include "proxy/manual.h"

#include <stdio.h>
#include <string.h>

#include "proxy/option_classes.h"
#include "proxy/option_value.h"

/* ---- common --------------------------------------------------------------------------------- */

static bool next_line_begins_section(size_t i)
{
    struct span own = option_section(&option_table[i]);

    return i == 0 || !span_equal(own, option_section(&option_table[i - 1]));
}

const char *manual_default(const struct option *o)
{
    if (o->computed != NULL)
        return o->computed;
    return *o->preset == '\0' ? "none" : o->preset;
}

static bool is_integer(const struct option *o)
{
    return o->type == OPTION_COUNT || o->type == OPTION_CODE;
}

static void write_limit(const struct option *o, uint64_t n, struct strbuf *out)
{
    if (is_integer(o))
        strbuf_addf(out, "%llu", (unsigned long long)n);
    else
        option_write_quantity(o, n, out);
}

/* The words, separated by `between`, each within `quote`. */
static void write_words(const struct option *o, const char *quote, const char *between,
                        struct strbuf *out)
{
    struct span list = span_of(o->words), word;

    for (const char *before = ""; next_word(&list, &word); before = between)
        strbuf_addf(out, "%s%s%.*s%s", before, quote, SPAN_PRINTF(word), quote);
}

/* ---- help ----------------------------------------------------------------------------------- */

void manual_wrap(const char *text, unsigned indent, struct strbuf *out)
{
    struct span list = span_of(text), word;
    size_t column = 0;

    while (next_word(&list, &word)) {
        bool fits = column > 0 && column + 1 + word.len <= MANUAL_COLUMNS;
        if (!fits) {
            strbuf_addf(out, "%s%*s", column > 0 ? "\n" : "", (int)indent, "");
            column = indent;
        }
        strbuf_addf(out, "%s%.*s", fits ? " " : "", SPAN_PRINTF(word));
        column += fits + word.len;
    }
    strbuf_adds(out, "\n");
}

void manual_write_metavar(const struct option *o, struct strbuf *out)
{
    static const char *const names[] = {
        [OPTION_DURATION] = "DURATION", [OPTION_SIZE] = "SIZE",
        [OPTION_COUNT] = "N",           [OPTION_BOOL] = "true|false",
        [OPTION_ADDRESS] = "ADDRESS",   [OPTION_FIELD] = "NAME",
        [OPTION_RANGES] = "RANGE,...",  [OPTION_PATHS] = "PATH,...",
        [OPTION_MODE] = "MODE",         [OPTION_SECRET] = "TOKEN",
        [OPTION_PATH] = "PATH",         [OPTION_METHODS] = "METHOD/...",
        [OPTION_CLASSES] = "CLASS;...", [OPTION_SET] = "NAME,...",
    };

    if (o->type == OPTION_PATH && o->words != NULL) {
        write_words(o, "", "|", out);
        strbuf_adds(out, "|");
    }
    if (o->type == OPTION_TEXT)
        strbuf_adds(out, o->form->metavar);
    else if (names[o->type] == NULL)
        write_words(o, "", "|", out);
    else
        strbuf_adds(out, names[o->type]);
    if (o->special != NULL)
        strbuf_addf(out, "|%s", o->special);
}

static void write_command_flag(const struct command_flag *f, struct strbuf *out)
{
    strbuf_adds(out, "  ");
    if (f->letter != NULL)
        strbuf_addf(out, "-%s, ", f->letter);
    strbuf_addf(out, "--%s%s%s\n", f->name, f->metavar != NULL ? " " : "",
                f->metavar != NULL ? f->metavar : "");
    manual_wrap(f->help, 6, out);
}

void manual_write_command_flags(const struct command_line *line, const struct command *command,
                                struct strbuf *out)
{
    for (size_t i = 0; i < line->n_flags; i++) {
        const struct command_flag *f = &line->flags[i];
        if ((command->takes & f->takes) == f->takes)
            write_command_flag(f, out);
    }
    strbuf_adds(out, "  --\n");
    manual_wrap("end of the flags; every argument that follows is taken literally", 6, out);
}

void manual_write_purpose(const struct option *o, struct strbuf *out)
{
    strbuf_adds(out, o->help);
    if (o->restart != NULL)
        strbuf_adds(out, "; a change requires a restart");
}

static void write_flag(const struct option *o, struct strbuf *out)
{
    struct strbuf line = {0};

    strbuf_adds(&line, "  --");
    option_flag_name(o, &line);
    strbuf_adds(&line, " ");
    manual_write_metavar(o, &line);
    strbuf_addf(out, "%-46s (%s)\n", strbuf_cstr(&line), manual_default(o));
    strbuf_clear(&line);
    manual_write_purpose(o, &line);
    manual_wrap(strbuf_cstr(&line), 6, out);
    strbuf_fini(&line);
}

/* Top-level options first, then each section under its name. */
void manual_write_flags(struct strbuf *out)
{
    for (size_t i = 0; i < option_count; i++) {
        if (option_section(&option_table[i]).len == 0)
            write_flag(&option_table[i], out);
    }
    for (size_t i = 0; i < option_count; i++) {
        struct span section = option_section(&option_table[i]);
        if (section.len == 0)
            continue;
        if (next_line_begins_section(i))
            strbuf_addf(out, "\n%.*s:\n\n", SPAN_PRINTF(section));
        write_flag(&option_table[i], out);
    }
}

/* ---- the schema ----------------------------------------------------------------------------- */

/* Kept short for editors: `weir check` checks the ranges. */
static void write_text_pattern(const struct option *o, struct strbuf *out)
{
    switch (o->type) {
    case OPTION_ADDRESS:
        strbuf_adds(
            out,
            "^(unix:/.+|(\\[[0-9A-Fa-f.:]+\\]|[A-Za-z0-9_][A-Za-z0-9_.-]*)?:(0|[1-9][0-9]*))$");
        return;
    case OPTION_FIELD:
        strbuf_adds(out, "^[!#$%&'*+.^_`|~0-9A-Za-z-]*$");
        return;
    case OPTION_RANGES:
        strbuf_adds(out, "^(");
        write_words(o, "", "|", out);
        strbuf_adds(out, "|[0-9A-Fa-f.:]+(/[0-9]+)?)$");
        return;
    case OPTION_PATHS:
        strbuf_adds(out, "^/[!\"$-+.->@-~-]*$");
        return;
    case OPTION_MODE:
        strbuf_adds(out, "^0?[0-7]{3}$");
        return;
    case OPTION_SECRET:
        strbuf_addf(out, "^([0-9A-Za-z._~+/=-]{%llu,%zu})?$", (unsigned long long)o->min,
                    o->width - 1);
        return;
    case OPTION_PATH:
        strbuf_adds(out, "^(");
        if (o->words != NULL) {
            write_words(o, "", "|", out);
            strbuf_adds(out, "|");
        }
        strbuf_adds(out, "/[!$-;=?-Z\\[\\]_a-z~]*)?$");
        return;
    case OPTION_TEXT:
        strbuf_adds(out, o->form->pattern);
        return;
    case OPTION_METHODS:
        strbuf_adds(out, "^[!#$%&'*+.^_`|~0-9A-Z-]+$");
        return;
    case OPTION_CLASSES: /* objects */
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_COUNT:
    case OPTION_CODE:
    case OPTION_WORD:
    case OPTION_SET:
    case OPTION_BOOL:
        break;
    }
    const char *name, *between = "^(0|[1-9][0-9]*)(";
    uint64_t factor;
    for (size_t i = 0; (name = option_unit(o, i, &factor)) != NULL; i++) {
        strbuf_addf(out, "%s%s", between, name);
        between = "|";
    }
    strbuf_adds(out, ")$");
}

static void write_examples(const struct option *o, struct strbuf *out)
{
    static const char *const examples[] = {
        [OPTION_DURATION] = "\"250ms\", \"10s\"",
        [OPTION_SIZE] = "\"64KiB\", \"16MiB\"",
        [OPTION_ADDRESS] = "\":8000\", \"127.0.0.1:8000\", \"unix:/run/app.sock\"",
        [OPTION_FIELD] = "\"X-Request-Id\"",
        [OPTION_RANGES] = "\"private\", \"10.0.0.0/8\"",
        [OPTION_PATHS] = "\"/healthz\"",
        [OPTION_MODE] = "\"0660\"",
        [OPTION_PATH] = "\"/healthz\"",
        [OPTION_METHODS] = "\"GET\", \"HEAD\"",
    };

    if (o->type == OPTION_TEXT)
        strbuf_addf(out, ", \"examples\": [\"%s\"]", o->form->example);
    else if (o->type != OPTION_SECRET)
        strbuf_addf(out, ", \"examples\": [%s]", examples[o->type]);
}

static size_t longest_text(const struct option *o)
{
    return (o->type == OPTION_ADDRESS ? sizeof(((struct address *)NULL)->text) : o->width) - 1;
}

static void write_pattern(const struct option *o, struct strbuf *out)
{
    struct strbuf pattern = {0};

    write_text_pattern(o, &pattern);
    strbuf_adds(out, "\"type\": \"string\", \"pattern\": ");
    strbuf_add_json(out, (struct span){strbuf_cstr(&pattern), pattern.len});
    if (o->type == OPTION_ADDRESS || o->type == OPTION_FIELD || o->type == OPTION_PATH ||
        o->type == OPTION_TEXT)
        strbuf_addf(out, ", \"maxLength\": %zu", longest_text(o));
    write_examples(o, out);
    strbuf_fini(&pattern);
}

static void write_classes_type(const struct option *o, struct strbuf *out);

static void write_type(const struct option *o, struct strbuf *out)
{
    switch (o->type) {
    case OPTION_COUNT:
        strbuf_addf(out, "\"type\": \"integer\", \"minimum\": %llu, \"maximum\": %llu",
                    (unsigned long long)o->min, (unsigned long long)o->max);
        return;
    case OPTION_CODE:
    case OPTION_WORD:
        strbuf_adds(out, "\"enum\": [");
        write_words(o, o->type == OPTION_WORD ? "\"" : "", ", ", out);
        strbuf_adds(out, o->empty != NULL ? ", \"\"]" : "]");
        return;
    case OPTION_BOOL:
        strbuf_adds(out, "\"type\": \"boolean\"");
        return;
    case OPTION_SET:
        strbuf_adds(out, "\"type\": \"array\", \"items\": {\"enum\": [");
        write_words(o, "\"", ", ", out);
        strbuf_adds(out, "]}");
        return;
    case OPTION_RANGES:
    case OPTION_PATHS:
        strbuf_addf(out, "\"type\": \"array\", \"maxItems\": %llu, \"items\": {",
                    (unsigned long long)o->max);
        write_pattern(o, out);
        strbuf_adds(out, "}");
        return;
    case OPTION_METHODS:
        strbuf_adds(out, "\"type\": \"array\", \"items\": {");
        write_pattern(o, out);
        strbuf_adds(out, "}");
        return;
    case OPTION_CLASSES:
        write_classes_type(o, out);
        return;
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_ADDRESS:
    case OPTION_FIELD:
    case OPTION_MODE:
    case OPTION_SECRET:
    case OPTION_PATH:
    case OPTION_TEXT:
        write_pattern(o, out);
        return;
    }
}

static void write_type_or_special(const struct option *o, struct strbuf *out)
{
    if (o->special == NULL) {
        write_type(o, out);
        return;
    }
    strbuf_addf(out, "\"anyOf\": [{\"const\": \"%s\"}, {", o->special);
    write_type(o, out);
    strbuf_adds(out, "}]");
}

static void write_default_list(const struct option *o, struct strbuf *out)
{
    const char *before = "[\"";

    for (const char *c = o->preset; *c != '\0'; c++) {
        strbuf_adds(out, before);
        before = *c == ',' ? "\", \"" : "";
        strbuf_add(out, c, *c != ',');
    }
    strbuf_adds(out, *o->preset == '\0' ? "[]" : "\"]");
}

static void write_default(const struct option *o, struct strbuf *out)
{
    bool word = o->special != NULL && o->preset != NULL && strcmp(o->preset, o->special) == 0;

    if (o->preset == NULL)
        return;
    strbuf_adds(out, ", \"default\": ");
    if (option_is_list(o))
        write_default_list(o, out);
    else if (option_is_text(o) || word)
        strbuf_add_json(out, span_of(o->preset));
    else
        strbuf_adds(out, o->preset);
}

static void write_property(const struct option *o, const char *indent, struct strbuf *out)
{
    struct strbuf purpose = {0};

    manual_write_purpose(o, &purpose);
    strbuf_addf(out, "%s\"%.*s\": {\n%s  \"description\": ", indent, SPAN_PRINTF(option_leaf(o)),
                indent);
    strbuf_add_json(out, span_of(strbuf_cstr(&purpose)));
    strbuf_fini(&purpose);
    strbuf_addf(out, ",\n%s  ", indent);
    write_type_or_special(o, out);
    write_default(o, out);
    strbuf_addf(out, "\n%s}", indent);
}

#define CLOSED "\"additionalProperties\": false, \"patternProperties\": {\"^//\": true},\n"

static void write_classes_type(const struct option *o, struct strbuf *out)
{
    strbuf_addf(out,
                "\"type\": \"array\", \"maxItems\": %llu, \"items\": {\n"
                "      \"type\": \"object\", \"required\": [\"name\"],\n      " CLOSED
                "      \"properties\": {\n",
                (unsigned long long)o->max);
    for (size_t i = 0; i < option_class_member_count; i++) {
        strbuf_adds(out, i == 0 ? "" : ",\n");
        write_property(&option_class_members[i], "        ", out);
    }
    strbuf_adds(out, "\n      }}");
}

static void write_section(size_t first, struct strbuf *out)
{
    struct span section = option_section(&option_table[first]);

    strbuf_adds(out, "      \"type\": \"object\", " CLOSED "      \"properties\": {\n");
    for (size_t i = first; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (!span_equal(option_section(o), section))
            break;
        strbuf_adds(out, i == first ? "" : ",\n");
        write_property(o, "        ", out);
    }
    strbuf_adds(out, "\n      }");
}

/* The section that may be just an address. */
static void write_upstream(size_t first, struct strbuf *out)
{
    strbuf_adds(out, "    \"upstream\": {\n      \"anyOf\": [{");
    write_type(&option_table[first], out);
    strbuf_adds(out, "}, {\n      \"required\": [\"address\"],\n");
    write_section(first, out);
    strbuf_adds(out, "}]\n    }");
}

static void write_any(size_t i, struct strbuf *out)
{
    struct span section = option_section(&option_table[i]);

    if (section.len == 0) {
        write_property(&option_table[i], "    ", out);
    } else if (span_equal(section, SPAN("upstream"))) {
        write_upstream(i, out);
    } else {
        strbuf_addf(out, "    \"%.*s\": {\n", SPAN_PRINTF(section));
        write_section(i, out);
        strbuf_adds(out, "\n    }");
    }
}

void manual_write_schema(struct strbuf *out)
{
    strbuf_adds(out,
                "{\n  \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n"
                "  \"title\": \"weir's configuration\",\n"
                "  \"description\": \"Written by `weir config schema`, for editors. `weir check` "
                "also checks the ranges of values with a unit, duplicate keys, unknown hosts, and "
                "values that contradict each other.\",\n"
                "  \"type\": \"object\", \"required\": [\"upstream\"], " CLOSED
                "  \"properties\": {\n    \"$schema\": true");
    for (size_t i = 0; i < option_count; i++) {
        bool inside = option_section(&option_table[i]).len > 0;
        if (inside && !next_line_begins_section(i))
            continue;
        strbuf_adds(out, ",\n");
        write_any(i, out);
    }
    strbuf_adds(out, "\n  }\n}\n");
}

/* ---- the docs ------------------------------------------------------------------------------- */

void manual_write_values(const struct option *o, struct strbuf *out)
{
    static const char *const names[] = {
        [OPTION_ADDRESS] = "an address",
        [OPTION_FIELD] = "a header name, or `\"\"`",
        [OPTION_RANGES] = "a list of CIDR ranges, ",
        [OPTION_PATHS] = "a list of paths",
        [OPTION_SET] = "a list of ",
        [OPTION_MODE] = "octal permissions",
        [OPTION_SECRET] = "a token, or `\"\"`",
        [OPTION_PATH] = "a path, ",
        [OPTION_BOOL] = "`true`, `false`",
        [OPTION_METHODS] = "a list of methods",
        [OPTION_CLASSES] = "a list of [classes](#classes)",
    };

    if (o->type <= OPTION_COUNT) {
        write_limit(o, o->min, out);
        strbuf_adds(out, " to ");
        write_limit(o, o->max, out);
    } else if (names[o->type] != NULL) {
        strbuf_adds(out, names[o->type]);
    } else if (o->type == OPTION_TEXT) {
        strbuf_adds(out, o->form->wants);
        if (o->preset != NULL && *o->preset == '\0')
            strbuf_adds(out, ", or `\"\"`");
        return;
    }
    if (o->type == OPTION_PATH && o->words == NULL)
        strbuf_adds(out, "`\"\"`");
    if (o->words != NULL) {
        strbuf_adds(out, "`");
        write_words(o, o->type == OPTION_CODE ? "" : "\"", "`, `", out);
        strbuf_adds(out, "`");
    }
    if (o->special != NULL)
        strbuf_addf(out, ", or `\"%s\"`", o->special);
}

static void write_row(const struct option *o, struct strbuf *out)
{
    bool code = o->computed == NULL && o->preset != NULL && *o->preset != '\0';

    strbuf_addf(out, "| `%s` | ", o->path);
    manual_write_values(o, out);
    strbuf_addf(out, " | %s%s%s | %s", code ? "`" : "", manual_default(o), code ? "`" : "",
                o->help);
    if (o->platform != NULL)
        strbuf_addf(out, "; container platforms set it with `%s`", o->platform);
    strbuf_addf(out, " | %s%s |\n",
                o->restart == NULL ? "yes" : "no: ", o->restart == NULL ? "" : o->restart);
}

static void write_names_row(const struct option *o, struct strbuf *out)
{
    strbuf_addf(out, "| `%s` | `--", o->path);
    option_flag_name(o, out);
    strbuf_adds(out, "` | `");
    option_env_name(o, out);
    strbuf_adds(out, "` |\n");
}

static const char docs_head[] =
    "# Configuration\n"
    "\n"
    "This file is generated by `weir config docs` from the option table in `proxy/options.c`.\n"
    "\n"
    "The only required setting is the address of the app:\n"
    "\n"
    "```json\n"
    "{ \"upstream\": \"127.0.0.1:8000\" }\n"
    "```\n"
    "\n"
    "Without a file, use `weir --upstream 127.0.0.1:8000`. `weir check weir.json` reports all\n"
    "errors at once, and `weir config print` shows the values in force and where each was\n"
    "set. With `\"$schema\": \"weir.schema.json\"` in the file, editors complete and check it\n"
    "(`weir config schema > weir.schema.json`).\n"
    "\n"
    "## Sources of values\n"
    "\n"
    "If an option is set in several places, the first of these sources applies:\n"
    "\n"
    "1. a flag, `--queue-timeout 2s` or `--queue-timeout=2s`; if it is repeated, the last one;\n"
    "2. the environment, `WEIR_QUEUE_TIMEOUT=2s`; an empty variable counts as not set;\n"
    "3. the file, named by `--config` or `WEIR_CONFIG`;\n"
    "4. the container platform: `PORT` sets the port of `listen`, and `CONTAINER_CONCURRENCY`\n"
    "   sets `concurrency`, where 0 means unlimited;\n"
    "5. the `profile`, which any of the above may name;\n"
    "6. the default.\n"
    "\n"
    "An invalid value is an error in every source, even if another source overrides it.\n"
    "\n"
    "## Format of values\n"
    "\n"
    "- The file is strict JSON in UTF-8, of at most 1 MiB. Keys that begin with `//` are\n"
    "  comments. Unknown and duplicate keys are errors.\n"
    "- **Durations** are strings that consist of an integer and a unit: `us`, `ms`, `s`, `m`,\n"
    "  `h`.\n"
    "- **Sizes** are strings that consist of an integer and a unit: `B`, `kB` (1000), `KiB`\n"
    "  (1024), `MB`, `MiB`, `GB`, `GiB`.\n"
    "- **Addresses** are `host:port`, `:port`, `[v6]:port` or `unix:/path`. Host names are\n"
    "  resolved once, at startup; if a name has several addresses, the first IPv4 address is\n"
    "  used. For the addresses that weir listens on, `:port` means all addresses of the\n"
    "  machine, and port 0 any free port; for `upstream`, `:port` means 127.0.0.1.\n"
    "- **CIDR ranges** are `10.0.0.0/8`, `2001:db8::/32` or a single address. `private` stands\n"
    "  for loopback, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, link-local\n"
    "  (169.254.0.0/16, fe80::/10) and fc00::/7; `loopback` stands for 127.0.0.0/8 and ::1. An\n"
    "  IPv4 address that an IPv6 socket reports as ::ffff:10.0.0.1 counts as IPv4. Flags and\n"
    "  environment variables accept a comma-separated list, and `none` for the empty list.\n"
    "- **Paths** are those of requests, such as `/healthz`, exactly as in the request line:\n"
    "  `%20` and a space, or `/a` and `/a/`, are different. They have no query. Flags and\n"
    "  variables accept a comma-separated list, and `none` for the empty list.\n"
    "- **Permissions** are strings of three octal digits, with or without a leading 0:\n"
    "  `\"0660\"`.\n"
    "- `\"upstream\"` is either an object or just the address.\n"
    "\n"
    "## Options\n"
    "\n"
    "The last column shows which options can change while weir is running\n"
    "([operations.md](operations.md#changing-the-configuration)).\n"
    "\n"
    "| key | values | default | what it does | live |\n"
    "|---|---|---|---|---|\n";

static const char docs_names[] = "\n"
                                 "## Flags and environment\n"
                                 "\n"
                                 "| key | flag | variable |\n"
                                 "|---|---|---|\n";

static const char docs_classes[] =
    "\n"
    "## Classes\n"
    "\n"
    "Each element of `classes` is an object. A request belongs to the first class of which it\n"
    "meets all criteria (`header`, `value`, `path`, `methods`), so a class without any takes\n"
    "all that is left. [operations.md](operations.md#priorities-and-fair-shares) says how to\n"
    "choose them.\n"
    "\n"
    "```json\n"
    "{ \"classes\": [ { \"name\": \"gold\", \"header\": \"X-Priority\", \"value\": \"high\",\n"
    "                 \"head_start\": \"2s\" },\n"
    "               { \"name\": \"reports\", \"path\": \"/reports/\", \"max\": 2 } ] }\n"
    "```\n"
    "\n"
    "A flag or a variable has the same as text, in which `/` separates methods:\n"
    "`name=gold,header=X-Priority,value=high,head_start=2s;name=reports,path=/reports/,max=2`.\n"
    "\n"
    "| key | values | default | what it does |\n"
    "|---|---|---|---|\n";

static void write_class_row(const struct option *o, struct strbuf *out)
{
    strbuf_addf(out, "| `%.*s` | ", SPAN_PRINTF(option_leaf(o)));
    manual_write_values(o, out);
    strbuf_addf(out, " | %s | %s |\n", manual_default(o), o->help);
}

static const char docs_tail[] =
    "\n"
    "## Values that must agree\n"
    "\n"
    "- `upstream.address` must differ from `listen`, `admin.listen` and `agent.listen`;\n"
    "  otherwise, weir would connect to itself.\n"
    "- `listen`, `admin.listen` and `agent.listen` must differ from each other.\n"
    "- `listen_mode` and `admin.listen_mode` are valid only for Unix sockets.\n"
    "- `concurrency`, if set, must not exceed `client.max_connections`: a connection carries\n"
    "  one request at a time.\n";

void manual_write_docs(struct strbuf *out)
{
    strbuf_adds(out, docs_head);
    for (size_t i = 0; i < option_count; i++)
        write_row(&option_table[i], out);
    strbuf_adds(out, docs_names);
    for (size_t i = 0; i < option_count; i++)
        write_names_row(&option_table[i], out);
    strbuf_adds(out, docs_classes);
    for (size_t i = 0; i < option_class_member_count; i++)
        write_class_row(&option_class_members[i], out);
    strbuf_adds(out, docs_tail);
}
