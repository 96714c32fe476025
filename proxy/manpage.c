#include "proxy/manpage.h"

#include <string.h>

#include "proxy/manual.h"
#include "proxy/options.h"

/* ---- roff ----------------------------------------------------------------------------------- */

/* `begins`: at the beginning of a line, where a dot or a quote introduces a request. */
static void write_char(char c, bool begins, bool *bold, struct strbuf *out)
{
    if (c == '`') {
        *bold = !*bold;
        strbuf_adds(out, *bold ? "\\fB" : "\\fR");
    } else if (c == '\\') {
        strbuf_adds(out, "\\e");
    } else if (c == '-') {
        strbuf_adds(out, "\\-");
    } else {
        strbuf_adds(out, begins && (c == '.' || c == '\'') ? "\\&" : "");
        strbuf_add(out, &c, 1);
    }
}

/* Any word may become the first of a line. */
void manpage_write_text(const char *text, struct strbuf *out)
{
    bool bold = false;

    for (const char *at = text; *at != '\0'; at++)
        write_char(*at, at == text || at[-1] == ' ', &bold, out);
}

/* Writes a paragraph in lines of limited length. */
static void write_paragraph(const char *text, const char *end, struct strbuf *out)
{
    struct strbuf escaped = {0};

    manpage_write_text(text, &escaped);
    strbuf_adds(&escaped, end);
    manual_wrap(strbuf_cstr(&escaped), 0, out);
    strbuf_fini(&escaped);
}

/* Words in capitals are placeholders. */
static void write_usage(const char *usage, struct strbuf *out)
{
    bool italic = false;

    for (; *usage != '\0'; usage++) {
        bool capital = *usage >= 'A' && *usage <= 'Z';
        if (capital != italic)
            strbuf_adds(out, capital ? "\\fI" : "\\fR");
        italic = capital;
        manpage_write_text((const char[]){*usage, '\0'}, out);
    }
    strbuf_adds(out, italic ? "\\fR" : "");
}

/* ---- the sections --------------------------------------------------------------------------- */

static const char description[] =
    ".SH DESCRIPTION\n"
    "weir is a reverse proxy for one app.\n"
    "It lets at most\n"
    ".B concurrency\n"
    "requests into the app at once, holds the others in one first\\-come,\n"
    "first\\-served queue, and refuses those that it cannot serve in time.\n"
    "It speaks HTTP/1.1 and exports metrics for Prometheus.\n"
    ".PP\n"
    "Without a command, weir runs\n"
    ".BR serve .\n"
    "A configuration file is optional: the address of the app is enough.\n";

static void write_command(const struct command *c, struct strbuf *out)
{
    strbuf_addf(out, ".TP\n\\fB%s\\fR", c->name);
    if (*c->usage != '\0') {
        strbuf_adds(out, " ");
        write_usage(c->usage, out);
    }
    strbuf_adds(out, "\n");
    for (const char *at = c->details; *at != '\0';) {
        struct strbuf paragraph = {0};
        size_t len = strcspn(at, "\n");
        strbuf_add(&paragraph, at, len);
        strbuf_adds(out, at == c->details ? "" : ".IP\n");
        write_paragraph(strbuf_cstr(&paragraph), "", out);
        strbuf_fini(&paragraph);
        at += len + (at[len] == '\n');
    }
}

static void write_flag(const struct command_flag *f, struct strbuf *out)
{
    strbuf_adds(out, ".TP\n");
    if (f->letter != NULL)
        strbuf_addf(out, "\\fB\\-%s\\fR, ", f->letter);
    strbuf_addf(out, "\\fB\\-\\-%s\\fR", f->name);
    if (f->metavar != NULL)
        strbuf_addf(out, " \\fI%s\\fR", f->metavar);
    strbuf_adds(out, "\n");
    write_paragraph(f->help, ".", out);
}

static void write_flag_name(const struct option *o, struct strbuf *out)
{
    struct strbuf name = {0}, metavar = {0};

    option_flag_name(o, &name);
    manual_write_metavar(o, &metavar);
    strbuf_adds(out, "\\fB\\-\\-");
    manpage_write_text(strbuf_cstr(&name), out);
    strbuf_adds(out, "\\fR ");
    write_usage(strbuf_cstr(&metavar), out);
    strbuf_adds(out, "\n");
    strbuf_fini(&name);
    strbuf_fini(&metavar);
}

/* Writes the values, the default, and the other names of the option, after its help. */
static void write_facts(const struct option *o, struct strbuf *out)
{
    struct strbuf facts = {0};

    strbuf_adds(&facts, "Values: ");
    manual_write_values(o, &facts);
    strbuf_addf(&facts, ". Default: %s. Key `%s`, variable `", manual_default(o), o->path);
    option_env_name(o, &facts);
    strbuf_adds(&facts, "`.");
    write_paragraph(strbuf_cstr(&facts), "", out);
    strbuf_fini(&facts);
}

static void write_option(const struct option *o, struct strbuf *out)
{
    struct strbuf purpose = {0};

    manual_write_purpose(o, &purpose);
    strbuf_adds(out, ".TP\n");
    write_flag_name(o, out);
    write_paragraph(strbuf_cstr(&purpose), ".", out);
    strbuf_fini(&purpose);
    strbuf_adds(out, ".br\n");
    write_facts(o, out);
}

/* Top-level options are spread across the table; here they come first. */
static void write_section(struct span section, struct strbuf *out)
{
    if (section.len == 0)
        strbuf_adds(out, ".SS General\n");
    else
        strbuf_addf(out, ".SS %.*s\n", SPAN_PRINTF(section));
    for (size_t i = 0; i < option_count; i++) {
        if (span_equal(option_section(&option_table[i]), section))
            write_option(&option_table[i], out);
    }
}

static void write_options(struct strbuf *out)
{
    struct span before = SPAN("");

    strbuf_adds(out, ".SH CONFIGURATION OPTIONS\n"
                     "Each option is a flag, a key in the file, and an environment variable.\n"
                     "Flags take precedence over the environment, and the environment over the\n"
                     "file.\n"
                     "Durations need a unit (us, ms, s, m, h), and so do sizes (B, kB, KiB, MB,\n"
                     "MiB, GB, GiB).\n");
    write_section(before, out);
    for (size_t i = 0; i < option_count; i++) {
        struct span section = option_section(&option_table[i]);
        if (section.len > 0 && !span_equal(section, before))
            write_section(section, out);
        before = section.len > 0 ? section : before;
    }
}

static void write_environment(struct strbuf *out)
{
    strbuf_adds(out, ".SH ENVIRONMENT\n"
                     ".TP\n.B WEIR_CONFIG\nThe configuration file, if \\fB\\-\\-config\\fR "
                     "is not given.\n"
                     ".TP\n.BI WEIR_ OPTION\nThe value of an option, as above.\n");
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (o->platform != NULL)
            strbuf_addf(out, ".TP\n.B %s\nSet by container platforms: a default for \\fB%s\\fR.\n",
                        o->platform, o->path);
    }
    strbuf_adds(out, ".TP\n.B NO_COLOR\nDisables colours in messages.\n");
}

static const char tail[] =
    ".SH FILES\n"
    "The configuration file is strict JSON in UTF\\-8; its location is not fixed.\n"
    "\\fBweir config schema\\fR prints its JSON Schema.\n"
    ".SH SIGNALS\n"
    ".TP\n"
    ".BR SIGTERM \", \" SIGINT\n"
    "Drain: stop accepting connections, and serve running and waiting requests\n"
    "for up to\n"
    ".BR drain.timeout .\n"
    "A second signal ends the drain at once.\n"
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nSuccess.\n"
    ".TP\n.B 1\nFailure; standard error has the reason.\n"
    ".TP\n.B 2\nInvalid usage.\n"
    ".TP\n.B 3\nThe drain cut off requests or connections.\n"
    ".SH EXAMPLES\n"
    "At most 40 requests in the app on port 8000, a queue of up to 2 seconds:\n"
    ".PP\n"
    ".RS\n"
    ".EX\n"
    "weir \\-\\-upstream :8000 \\-\\-concurrency 40 \\-\\-queue\\-timeout 2s\n"
    ".EE\n"
    ".RE\n"
    ".PP\n"
    "The same from a file, checked first:\n"
    ".PP\n"
    ".RS\n"
    ".EX\n"
    "weir check weir.json && weir \\-\\-config weir.json\n"
    ".EE\n"
    ".RE\n";

void manpage_write(const struct command_line *line, const char *version, const char *date,
                   struct strbuf *out)
{
    strbuf_addf(out,
                ".\\\" Written by `weir manpage`.\n"
                ".TH WEIR 1 %s \"weir %s\" \"User Commands\"\n",
                date, version);
    strbuf_adds(out, ".SH NAME\nweir \\- reverse proxy that limits the concurrency of one app\n"
                     ".SH SYNOPSIS\n"
                     "\\fBweir\\fR [\\fICOMMAND\\fR] [\\fIFLAG\\fR...]\n");
    strbuf_adds(out, description);
    strbuf_adds(out, ".SH COMMANDS\n");
    for (size_t i = 0; i < line->n_commands; i++)
        write_command(&line->commands[i], out);
    strbuf_adds(out, ".SH FLAGS\n"
                     "Commands that read the configuration also accept the options below.\n");
    for (size_t i = 0; i < line->n_flags; i++)
        write_flag(&line->flags[i], out);
    strbuf_adds(out, ".TP\n.B \\-\\-\nEnd of the flags; every argument that follows is taken "
                     "literally.\n");
    write_options(out);
    write_environment(out);
    strbuf_adds(out, tail);
}
