#include "proxy/completion.h"

#include <string.h>

#include "proxy/manual.h"
#include "proxy/option_value.h"
#include "proxy/options.h"

/* ---- common --------------------------------------------------------------------------------- */

struct span completion_summary(const char *help)
{
    size_t len = strlen(help);

    for (size_t i = 0; i < len; i++) {
        bool ends = help[i] == ';' || help[i] == ':';
        if (i > 0 && ends && (help[i + 1] == ' ' || help[i + 1] == '\0'))
            len = i;
    }
    return (struct span){help, len};
}

/* Escapes `special` characters with a backslash. A single quote becomes `quote`, since the result
 * is in single quotes. */
static void write_escaped(struct span text, const char *special, const char *quote,
                          struct strbuf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '\'') {
            strbuf_adds(out, quote);
            continue;
        }
        if (strchr(special, c) != NULL)
            strbuf_adds(out, "\\");
        strbuf_add(out, &c, 1);
    }
}

/* The allowed values, separated by spaces; empty if any value is allowed. */
static void write_choices(const struct option *o, struct strbuf *out)
{
    const char *const words[] = {
        o->words,
        o->type == OPTION_BOOL ? "true false" : NULL,
        o->special,
        option_is_list(o) ? o->empty : NULL,
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (words[i] != NULL)
            strbuf_addf(out, "%s%s", out->len > 0 ? " " : "", words[i]);
    }
}

static void write_command_names(const struct command_line *line, struct strbuf *out)
{
    for (size_t i = 0; i < line->n_commands; i++)
        strbuf_addf(out, "%s%s", i > 0 ? " " : "", line->commands[i].name);
}

/* The allowed arguments of the command; empty if there are none, or it takes a file. */
static void write_arguments(const struct command_line *line, const struct command *c,
                            struct strbuf *out)
{
    if (c->words == NULL || strcmp(c->words, "FILE") == 0)
        return;
    if (strcmp(c->words, "COMMAND") == 0)
        write_command_names(line, out);
    else
        strbuf_adds(out, c->words);
}

static bool takes_file(const struct command *c)
{
    return c->words != NULL && strcmp(c->words, "FILE") == 0;
}

static bool is_file(const struct command_flag *f)
{
    return strcmp(f->metavar, "FILE") == 0;
}

/* ---- bash ----------------------------------------------------------------------------------- */

static const char bash_head[] =
    "# bash completion for weir, written by `weir completion bash`\n"
    "\n"
    "_weir_files()\n"
    "{\n"
    "    compopt -o filenames 2>/dev/null\n"
    "    mapfile -t COMPREPLY < <(compgen -f -- \"$1\")\n"
    "}\n"
    "\n"
    "_weir()\n"
    "{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local command=serve words='' flags='' files=''\n"
    "    COMPREPLY=()\n"
    "    # bash has split --flag=value at the sign\n"
    "    if [[ $cur == '=' ]]; then\n"
    "        cur=''\n"
    "    elif [[ $prev == '=' ]] && ((COMP_CWORD > 2)); then\n"
    "        prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    fi\n"
    "    if ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[1]} != -* ]]; then\n"
    "        command=${COMP_WORDS[1]}\n"
    "    fi\n"
    "    case $prev in\n";

static const char bash_tail[] = "        if [[ $cur == -* ]]; then\n"
                                "            words=$flags\n"
                                "        elif [[ -n $files ]]; then\n"
                                "            _weir_files \"$cur\"\n"
                                "            return\n"
                                "        fi\n"
                                "        ;;\n"
                                "    esac\n"
                                "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
                                "}\n"
                                "\n"
                                "complete -F _weir weir\n";

/* The values that a flag accepts. */
static void write_bash_value(const struct option *o, struct strbuf *out)
{
    struct strbuf choices = {0};

    write_choices(o, &choices);
    strbuf_adds(out, "    --");
    option_flag_name(o, out);
    if (choices.len > 0)
        strbuf_addf(out, ") words='%s' ;;\n", strbuf_cstr(&choices));
    else
        strbuf_adds(out, ") return ;;\n");
    strbuf_fini(&choices);
}

static void write_bash_values(const struct command_line *line, struct strbuf *out)
{
    for (size_t i = 0; i < line->n_flags; i++) {
        const struct command_flag *f = &line->flags[i];
        if (f->metavar == NULL)
            continue;
        strbuf_addf(out, "    --%s", f->name);
        if (f->letter != NULL)
            strbuf_addf(out, " | -%s", f->letter);
        strbuf_adds(out, is_file(f)
                             ? ")\n        _weir_files \"$cur\"\n        return\n        ;;\n"
                             : ") return ;;\n");
    }
    for (size_t i = 0; i < option_count; i++)
        write_bash_value(&option_table[i], out);
}

/* The flags that are not options, for a command that accepts `takes`. */
static void write_bash_own_flags(const struct command_line *line, unsigned takes,
                                 struct strbuf *out)
{
    for (size_t i = 0; i < line->n_flags; i++) {
        const struct command_flag *f = &line->flags[i];
        if ((takes & f->takes) == f->takes)
            strbuf_addf(out, " --%s", f->name);
    }
}

static void write_bash_command(const struct command_line *line, const struct command *c,
                               struct strbuf *out)
{
    struct strbuf words = {0};

    strbuf_addf(out, "        %s)\n            flags='", c->name);
    write_bash_own_flags(line, c->takes, out);
    for (size_t i = 0; (c->takes & TAKES_CONFIG) && i < option_count; i++) {
        strbuf_adds(out, " --");
        option_flag_name(&option_table[i], out);
    }
    strbuf_adds(out, "'\n");
    write_arguments(line, c, &words);
    if (words.len > 0)
        strbuf_addf(out, "            words='%s'\n", strbuf_cstr(&words));
    if (takes_file(c))
        strbuf_adds(out, "            files=yes\n");
    strbuf_adds(out, "            ;;\n");
    strbuf_fini(&words);
}

static void write_bash(const struct command_line *line, struct strbuf *out)
{
    strbuf_adds(out, bash_head);
    write_bash_values(line, out);
    strbuf_adds(out, "    *)\n        case $command in\n");
    for (size_t i = 0; i < line->n_commands; i++)
        write_bash_command(line, &line->commands[i], out);
    strbuf_adds(out, "        esac\n"
                     "        if ((COMP_CWORD == 1)); then\n"
                     "            words='");
    write_command_names(line, out);
    strbuf_adds(out, "'\n        fi\n");
    strbuf_adds(out, bash_tail);
}

/* ---- zsh ------------------------------------------------------------------------------------ */

static const char zsh_head[] = "#compdef weir\n"
                               "# zsh completion for weir, written by `weir completion zsh`\n"
                               "\n"
                               "_weir() {\n"
                               "    local command=serve\n"
                               "    local -a commands options specs\n"
                               "    commands=(\n";

static const char zsh_dispatch[] = "    )\n"
                                   "    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n"
                                   "        _describe -t commands command commands\n"
                                   "        return\n"
                                   "    fi\n"
                                   "    if (( CURRENT > 2 )) && [[ $words[2] != -* ]]; then\n"
                                   "        command=$words[2]\n"
                                   "        shift words\n"
                                   "        (( CURRENT-- ))\n"
                                   "    fi\n"
                                   "    case $command in\n";

static const char zsh_tail[] =
    "    esac\n"
    "    _arguments -S $specs\n"
    "}\n"
    "\n"
    "# The file is either autoloaded as _weir, or read by eval or source.\n"
    "if [[ $funcstack[1] == _weir ]]; then\n"
    "    _weir \"$@\"\n"
    "else\n"
    "    compdef _weir weir\n"
    "fi\n";

static void write_zsh_text(struct span text, struct strbuf *out)
{
    write_escaped(text, "[]:\\", "'\\''", out);
}

/* A specification for _arguments: the flag, its description and its value. */
static void write_zsh_option(const struct option *o, struct strbuf *out)
{
    struct strbuf choices = {0}, metavar = {0};

    write_choices(o, &choices);
    manual_write_metavar(o, &metavar);
    strbuf_adds(out, "        '*--");
    option_flag_name(o, out);
    strbuf_adds(out, "=[");
    write_zsh_text(completion_summary(o->help), out);
    strbuf_adds(out, "]:");
    write_zsh_text(span_of(choices.len > 0 ? "value" : strbuf_cstr(&metavar)), out);
    if (choices.len > 0)
        strbuf_addf(out, ":(%s)'\n", strbuf_cstr(&choices));
    else
        strbuf_adds(out, ": '\n");
    strbuf_fini(&choices);
    strbuf_fini(&metavar);
}

/* Written as `dashes` and `name`; `sign` precedes a value. */
static void write_zsh_flag(const struct command_flag *f, const char *dashes, const char *name,
                           const char *sign, struct strbuf *out)
{
    strbuf_addf(out, "            '%s%s%s[", dashes, name, f->metavar != NULL ? sign : "");
    write_zsh_text(span_of(f->help), out);
    strbuf_adds(out, "]");
    if (f->metavar != NULL)
        strbuf_addf(out, ":%s:%s", f->metavar, is_file(f) ? "_files" : " ");
    strbuf_adds(out, "'\n");
}

static void write_zsh_own_flags(const struct command_line *line, unsigned takes, struct strbuf *out)
{
    for (size_t i = 0; i < line->n_flags; i++) {
        const struct command_flag *f = &line->flags[i];
        if ((takes & f->takes) != f->takes)
            continue;
        write_zsh_flag(f, "--", f->name, "=", out);
        if (f->letter != NULL)
            write_zsh_flag(f, "-", f->letter, "", out);
    }
}

static void write_zsh_command(const struct command_line *line, const struct command *c,
                              struct strbuf *out)
{
    struct strbuf words = {0};

    strbuf_addf(out, "    %s)\n        specs=(\n", c->name);
    if (c->takes & TAKES_CONFIG)
        strbuf_adds(out, "            $options\n");
    write_zsh_own_flags(line, c->takes, out);
    write_arguments(line, c, &words);
    if (words.len > 0)
        strbuf_addf(out, "            '1:argument:(%s)'\n", strbuf_cstr(&words));
    if (takes_file(c))
        strbuf_adds(out, "            '1:FILE:_files'\n");
    strbuf_adds(out, "        )\n        ;;\n");
    strbuf_fini(&words);
}

static void write_zsh(const struct command_line *line, struct strbuf *out)
{
    strbuf_adds(out, zsh_head);
    for (size_t i = 0; i < line->n_commands; i++) {
        strbuf_addf(out, "        '%s:", line->commands[i].name);
        write_zsh_text(completion_summary(line->commands[i].summary), out);
        strbuf_adds(out, "'\n");
    }
    strbuf_adds(out, "    )\n    options=(\n");
    for (size_t i = 0; i < option_count; i++)
        write_zsh_option(&option_table[i], out);
    strbuf_adds(out, zsh_dispatch);
    for (size_t i = 0; i < line->n_commands; i++)
        write_zsh_command(line, &line->commands[i], out);
    strbuf_adds(out, zsh_tail);
}

/* ---- fish ----------------------------------------------------------------------------------- */

static const char fish_head[] =
    "# fish completion for weir, written by `weir completion fish`\n"
    "\n"
    "# The command comes first\n"
    "function __weir_first\n"
    "    test (count (commandline -opc)) -eq 1\n"
    "end\n"
    "\n"
    "# Whether one of these is the command; without one it is serve\n"
    "function __weir_command\n"
    "    set -l words (commandline -opc)\n"
    "    set -l command serve\n"
    "    if set -q words[2]; and not string match -q -- '-*' $words[2]\n"
    "        set command $words[2]\n"
    "    end\n"
    "    contains -- $command $argv\n"
    "end\n"
    "\n"
    "complete -c weir -f\n";

static void write_fish_description(struct span text, struct strbuf *out)
{
    strbuf_adds(out, " -d '");
    write_escaped(text, "\\", "\\'", out);
    strbuf_adds(out, "'\n");
}

/* Writes "complete", for the commands that accept these flags. */
static void write_fish_begin(const struct command_line *line, unsigned takes, struct strbuf *out)
{
    strbuf_adds(out, "complete -c weir -n '__weir_command");
    for (size_t i = 0; i < line->n_commands; i++) {
        if ((line->commands[i].takes & takes) == takes)
            strbuf_addf(out, " %s", line->commands[i].name);
    }
    strbuf_adds(out, "'");
}

static void write_fish_option(const struct command_line *line, const struct option *o,
                              struct strbuf *out)
{
    struct strbuf choices = {0};

    write_choices(o, &choices);
    write_fish_begin(line, TAKES_CONFIG, out);
    strbuf_adds(out, " -l ");
    option_flag_name(o, out);
    strbuf_adds(out, " -x");
    if (choices.len > 0)
        strbuf_addf(out, " -a '%s'", strbuf_cstr(&choices));
    write_fish_description(completion_summary(o->help), out);
    strbuf_fini(&choices);
}

static void write_fish_flag(const struct command_line *line, const struct command_flag *f,
                            struct strbuf *out)
{
    write_fish_begin(line, f->takes, out);
    strbuf_addf(out, " -l %s", f->name);
    if (f->letter != NULL)
        strbuf_addf(out, " -s %s", f->letter);
    if (f->metavar != NULL)
        strbuf_adds(out, is_file(f) ? " -r -F" : " -x");
    write_fish_description(span_of(f->help), out);
}

static void write_fish_command(const struct command_line *line, const struct command *c,
                               struct strbuf *out)
{
    struct strbuf words = {0};

    strbuf_addf(out, "complete -c weir -n __weir_first -a %s", c->name);
    write_fish_description(completion_summary(c->summary), out);
    write_arguments(line, c, &words);
    if (words.len > 0)
        strbuf_addf(out, "complete -c weir -n '__weir_command %s' -a '%s'\n", c->name,
                    strbuf_cstr(&words));
    if (takes_file(c))
        strbuf_addf(out, "complete -c weir -n '__weir_command %s' -F\n", c->name);
    strbuf_fini(&words);
}

static void write_fish(const struct command_line *line, struct strbuf *out)
{
    strbuf_adds(out, fish_head);
    for (size_t i = 0; i < line->n_commands; i++)
        write_fish_command(line, &line->commands[i], out);
    for (size_t i = 0; i < line->n_flags; i++)
        write_fish_flag(line, &line->flags[i], out);
    for (size_t i = 0; i < option_count; i++)
        write_fish_option(line, &option_table[i], out);
}

completion_write_fn *completion_for(const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        return write_bash;
    if (strcmp(shell, "zsh") == 0)
        return write_zsh;
    return strcmp(shell, "fish") == 0 ? write_fish : NULL;
}
