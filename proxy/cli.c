#include "proxy/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/strbuf.h"
#include "proxy/cli_admin.h"
#include "proxy/cli_private.h"
#include "proxy/cli_status.h"
#include "proxy/cli_top.h"
#include "proxy/command.h"
#include "proxy/completion.h"
#include "proxy/manpage.h"
#include "proxy/manual.h"
#include "proxy/option_value.h"
#include "proxy/options.h"

#ifndef WEIR_VERSION
#error "WEIR_VERSION, WEIR_RELEASED and WEIR_REVISION must be defined by the Makefile"
#endif

static int run_serve(struct cli *cli);
static int run_check(struct cli *cli);
static int run_config(struct cli *cli);
static int run_completion(struct cli *cli);
static int run_manpage(struct cli *cli);
static int run_version(struct cli *cli);
static int run_help(struct cli *cli);

static const struct command commands[] = {
    {"serve", "[--config FILE] [flags]", "run the proxy; the default command",
     "Accepts clients, waits for the app to start, and serves until SIGTERM or SIGINT. Then it "
     "drains: for drain.delay it still accepts connections (not after SIGINT), and running and "
     "waiting requests are served until drain.timeout. Exit status 3: some of them were refused "
     "or cut off.\n"
     "Every option is a flag, a key in the file and an environment variable: --queue-timeout, "
     "queue.timeout and WEIR_QUEUE_TIMEOUT. Flags take precedence over the environment, and the "
     "environment over the file. WEIR_CONFIG names the file if --config is not given.",
     TAKES_CONFIG, 0, run_serve, NULL},
    {"check", "[FILE] [flags]", "report every error in a configuration",
     "Reads FILE, or the file that --config or WEIR_CONFIG names, together with the flags and "
     "the environment, as `weir serve` does, and prints every error with its position. \"-\" is "
     "standard input. Exit status: 0 if the configuration is valid, otherwise 1.",
     TAKES_CONFIG, 1, run_check, "FILE"},
    {"config", "print [--json]|schema|defaults|docs",
     "print values in force, JSON Schema, defaults or docs",
     "print: every option, its value, and the source of the value; accepts the flags of `weir "
     "serve`. With --json, an equivalent configuration file.\n"
     "schema: the JSON Schema of the configuration file, for editors.\n"
     "defaults: a configuration file with every default; only the upstream is missing.\n"
     "docs: the options as Markdown.",
     TAKES_CONFIG | TAKES_JSON, 1, run_config, "print schema defaults docs"},
    {"status", "[--json] [flags]", "print the figures of a running weir",
     "Prints the state of the app with advice, the requests that are in flight and waiting, rates "
     "and times of the last minute, and how many requests were refused, by reason. With --json, "
     "prints the response of the admin port unchanged.\n"
     "Queries /status on the admin port, whose address is in the configuration or given with "
     "--admin-listen.",
     TAKES_CONFIG | TAKES_JSON, 0, cli_status, NULL},
    {"top", "[flags]", "show the figures of a running weir once a second",
     "Shows what `weir status` prints, and the requests in flight, waiting and refused during the "
     "last 5 minutes as charts, on a terminal of any size from 20 columns and 5 rows on. q or "
     "Ctrl-C ends it. If weir restarts, it shows that and continues with the new process.\n"
     "If the output is not a terminal, prints one line a second until SIGINT or SIGTERM. Colours "
     "are not used if NO_COLOR is set. If LC_ALL, LC_CTYPE or LANG names a character set other "
     "than UTF-8, bars and charts are in ASCII.\n"
     "Queries the admin port, as `weir status` does.",
     TAKES_CONFIG, 0, cli_top, NULL},
    {"healthcheck", "[--ready] [flags]",
     "exit with 0 if weir is running, for images without a shell",
     "Queries /livez on the admin port, or /readyz with --ready. Exits with 0 or 1 within 2 "
     "seconds. If --admin-listen or WEIR_ADMIN_LISTEN gives the address, no other setting is "
     "read; otherwise, the address is taken from the configuration.",
     TAKES_CONFIG | TAKES_READY, 0, cli_healthcheck, NULL},
    {"drain", "[--wait DURATION] [--keep-ready] [flags]", "drain a running weir",
     "Begins the same drain as SIGTERM, except that weir does not exit afterwards: /readyz fails, "
     "after drain.delay no connection is accepted, and running and waiting requests are served for "
     "up to drain.timeout. With --wait, exits when the drain is complete, or after that time. Exit "
     "status: 0 if all requests were served (without --wait: if the drain has begun), 3 if some "
     "were refused or cut off, 1 if the drain has not ended in time, or on failure.\n"
     "In Kubernetes, `weir drain --keep-ready` is the preStop hook of weir's container: it runs "
     "before the app is stopped. The deletion of the pod removes it from the endpoints, and while "
     "no other pod is ready, nodes still connect to one that is terminating, if it is ready. "
     "Balancers that only watch /readyz need a drain without it. `DELETE /drain` on the admin port "
     "ends a drain.\n"
     "The command is sent to the admin port: see `weir help pause`.",
     TAKES_CONFIG | TAKES_WAIT | TAKES_KEEP, 0, cli_drain, NULL},
    {"pause", "[flags]", "hold all requests in the queue of a running weir",
     "No request enters the app until `weir resume`; those inside it are finished. Meanwhile, "
     "requests wait for up to queue.timeout. Use it while the app restarts.\n"
     "The command is sent to the admin port, which accepts it from the same machine, with "
     "admin.token, or from the addresses in admin.allow. The address and the token are taken from "
     "the configuration, as by `weir healthcheck`.",
     TAKES_CONFIG, 0, cli_pause, NULL},
    {"resume", "[flags]", "end a pause",
     "Waiting requests are served in the order of their arrival. See `weir help pause`.",
     TAKES_CONFIG, 0, cli_resume, NULL},
    {"set", "KEY=VALUE... [flags]", "change options of a running weir",
     "Changes options until weir reads its configuration again, at a reload or a restart: `weir "
     "set "
     "concurrency=40 queue.timeout=2s`. All values are checked first; an error in one changes "
     "nothing. Options that require a restart are refused. The running weir must have "
     "admin.writable.\n"
     "Values have the form of flags. The command is sent to the admin port: see `weir help pause`.",
     TAKES_CONFIG, ARGS_MAX, cli_set, NULL},
    {"completion", "bash|zsh|fish", "print a completion script for a shell",
     "Prints the script; `make install` installs it where the shell looks for it. In bash, "
     "`source <(weir completion bash)` enables it for the current session.",
     0, 1, run_completion, "bash zsh fish"},
    {"manpage", "", "print the man page", "Prints weir(1), for `man -l` and `make install`.", 0, 0,
     run_manpage, NULL},
    {"version", "[--json]", "print the version",
     "Prints the version and the revision that weir was built from.", TAKES_JSON, 0, run_version,
     NULL},
    {"help", "[COMMAND]", "print this list, or help for a command",
     "Prints the list of commands, or help for one of them.", 0, 1, run_help, "COMMAND"},
};

static const struct command_flag command_flags[] = {
    {"config", "c", "FILE", TAKES_CONFIG, "configuration file; - is standard input"},
    {"json", NULL, NULL, TAKES_JSON, "print JSON"},
    {"ready", NULL, NULL, TAKES_READY, "query readiness (/readyz) instead of liveness (/livez)"},
    {"wait", NULL, "DURATION", TAKES_WAIT,
     "how long to wait for the end of the drain, such as 25s; without it, the command returns at "
     "once"},
    {"keep-ready", NULL, NULL, TAKES_KEEP,
     "/readyz fails only when the port is closed, after drain.delay, rather than at once; has no "
     "effect on a drain that has begun"},
    {"help", "h", NULL, 0, "print help"},
    {"version", "V", NULL, 0, "print the version"},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command_line command_line = {
    .commands = commands,
    .n_commands = N_COMMANDS,
    .flags = command_flags,
    .n_flags = sizeof(command_flags) / sizeof(command_flags[0]),
};

/* ---- messages ------------------------------------------------------------------------------- */

const char *cli_env_get(const struct cli_env *env, const char *name)
{
    size_t len = strlen(name);

    for (char **e = env->environ_; e != NULL && *e != NULL; e++) {
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=' && (*e)[len + 1] != '\0')
            return *e + len + 1;
    }
    return NULL;
}

bool cli_is_terminal(const struct cli_env *env, int fd)
{
    const char *term = cli_env_get(env, "TERM");
    return term != NULL && strcmp(term, "dumb") != 0 && fd >= 0 && isatty(fd);
}

bool cli_wants_colour(const struct cli_env *env, int fd)
{
    return cli_env_get(env, "NO_COLOR") == NULL && cli_is_terminal(env, fd);
}

bool cli_wants_unicode(const struct cli_env *env)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    const char *locale = NULL;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && locale == NULL; i++)
        locale = cli_env_get(env, names[i]);
    return locale == NULL || strcasestr(locale, "utf-8") != NULL ||
           strcasestr(locale, "utf8") != NULL;
}

/* The word that introduces an error is red, once in each line that has one. */
void cli_print_problems(const struct cli_env *env, const char *text)
{
    static const char word[] = ": error: ";
    bool colour = cli_wants_colour(env, fileno(env->err));

    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        const char *found = colour ? memmem(text, len, word, strlen(word)) : NULL;
        size_t before = found == NULL ? 0 : (size_t)(found - text) + 2;
        if (found != NULL)
            fprintf(env->err, "%.*s\033[1;31merror:\033[0m", (int)before, text);
        before += found == NULL ? 0 : strlen("error:");
        fprintf(env->err, "%.*s\n", (int)(len - before), text + before);
        text += len + (text[len] == '\n');
    }
}

void cli_complain(const struct cli_env *env, const char *fmt, ...)
{
    struct strbuf line = {0};
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    strbuf_addf(&line, "weir: error: %s\n", text);
    cli_print_problems(env, strbuf_cstr(&line));
    strbuf_fini(&line);
}

void cli_usage_error(struct cli *cli, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    cli_complain(cli->env, "%s", text);
    cli->errors++;
}

static void print(FILE *to, const struct strbuf *text)
{
    fwrite(strbuf_cstr(text), 1, text->len, to);
}

/* A result that could not be written, for example to a full disk, is a failure. */
int cli_print_result(const struct cli *cli, struct strbuf *text)
{
    print(cli->env->out, text);
    strbuf_fini(text);
    if (fflush(cli->env->out) == 0 && !ferror(cli->env->out))
        return EXIT_OK;
    cli_complain(cli->env, "cannot write the output: %s", strerror(errno));
    return EXIT_FAILED;
}

/* ---- parsing the command line --------------------------------------------------------------- */

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static void unknown_command(struct cli *cli, const char *name)
{
    struct nearest n = {.typed = span_of(name)};

    for (size_t i = 0; i < N_COMMANDS; i++)
        nearest_try(&n, span_of(commands[i].name), commands[i].name);
    if (n.answer != NULL)
        cli_usage_error(cli, "unknown command \"%.60s\" (did you mean %s?)", name, n.answer);
    else
        cli_usage_error(cli, "unknown command \"%.60s\"; see weir help", name);
}

static void unknown_flag(struct cli *cli, struct span name)
{
    struct nearest n = {.typed = name};
    struct strbuf text = {0};

    for (size_t i = 0; i < command_line.n_flags; i++)
        nearest_try(&n, span_of(command_flags[i].name), command_flags[i].name);
    option_write_unknown_flag(name, &text);
    if (n.answer != NULL && strchr(strbuf_cstr(&text), '(') == NULL)
        strbuf_addf(&text, " (did you mean --%s?)", n.answer);
    cli_usage_error(cli, "%s", strbuf_cstr(&text));
    strbuf_fini(&text);
}

static void refuse_flag(struct cli *cli, struct span name)
{
    cli_usage_error(cli, "weir %s does not accept --%.*s", cli->command->name, SPAN_PRINTF(name));
}

/* A boolean flag of the commands. */
static void set_switch(struct cli *cli, const struct option_flag *flag, unsigned takes, bool *on)
{
    if ((cli->command->takes & takes) != takes)
        refuse_flag(cli, flag->name);
    else if (flag->value != NULL)
        cli_usage_error(cli, "--%.*s takes no value", SPAN_PRINTF(flag->name));
    else
        *on = true;
}

/* A value in the next argument; "-" is one. */
static const char *next_value(const struct cli *cli, int *i)
{
    const struct cli_env *env = cli->env;
    bool is_value = *i < env->argc && (env->argv[*i][0] != '-' || strcmp(env->argv[*i], "-") == 0);

    return is_value ? env->argv[(*i)++] : NULL;
}

static void set_config_path(struct cli *cli, struct option_flag *flag, int *i)
{
    if (flag->value == NULL)
        flag->value = next_value(cli, i);
    if (!(cli->command->takes & TAKES_CONFIG))
        refuse_flag(cli, flag->name);
    else if (flag->value == NULL || *flag->value == '\0')
        cli_usage_error(cli, "--config requires a file name, or \"-\" for standard input");
    else
        cli->config_path = flag->value;
}

static void set_wait(struct cli *cli, struct option_flag *flag, int *i)
{
    if (flag->value == NULL)
        flag->value = next_value(cli, i);
    if (!(cli->command->takes & TAKES_WAIT))
        refuse_flag(cli, flag->name);
    else if (flag->value == NULL || !option_read_duration(span_of(flag->value), &cli->wait))
        cli_usage_error(cli, "--wait requires a duration with a unit, such as 25s, of at most 1h");
}

static void add_option(struct cli *cli, const struct option_flag *flag, int from, int *i)
{
    if (flag->option == NULL) {
        unknown_flag(cli, flag->name);
        if (flag->value == NULL && cli->command->max_args == 0)
            (void)next_value(cli, i); /* probably its value */
    } else if (!(cli->command->takes & TAKES_CONFIG)) {
        refuse_flag(cli, flag->name);
    } else if (flag->value == NULL) {
        cli_usage_error(cli, "--%.*s requires a value", SPAN_PRINTF(flag->name));
    } else {
        while (from < *i)
            cli->flags[cli->n_flags++] = cli->env->argv[from++];
    }
}

static void take_flag(struct cli *cli, struct option_flag *flag, int from, int *i)
{
    if (span_equal(flag->name, SPAN("config")))
        set_config_path(cli, flag, i);
    else if (span_equal(flag->name, SPAN("json")))
        set_switch(cli, flag, TAKES_JSON, &cli->json);
    else if (span_equal(flag->name, SPAN("ready")))
        set_switch(cli, flag, TAKES_READY, &cli->ready);
    else if (span_equal(flag->name, SPAN("wait")))
        set_wait(cli, flag, i);
    else if (span_equal(flag->name, SPAN("keep-ready")))
        set_switch(cli, flag, TAKES_KEEP, &cli->keep_ready);
    else if (span_equal(flag->name, SPAN("help")))
        set_switch(cli, flag, 0, &cli->help);
    else if (span_equal(flag->name, SPAN("version")))
        set_switch(cli, flag, 0, &cli->version);
    else
        add_option(cli, flag, from, i);
}

/* "-upstream", the form of some other programs. */
static bool is_long_flag(struct span name)
{
    name.len = strcspn(name.at, "=");

    for (size_t i = 0; i < command_line.n_flags; i++) {
        if (span_equal(name, span_of(command_flags[i].name)))
            return true;
    }
    return option_of_flag(name) != NULL;
}

/* An argument that begins with a single dash. */
static void take_short_flag(struct cli *cli, const char *arg, int *i)
{
    if (strcmp(arg, "-h") == 0)
        cli->help = true;
    else if (strcmp(arg, "-V") == 0)
        cli->version = true;
    else if (strcmp(arg, "-c") == 0)
        set_config_path(cli, &(struct option_flag){.name = SPAN("config")}, i);
    else if (strcmp(arg, "-v") == 0)
        cli_usage_error(cli, "unknown flag -v; use -V for the version, or --log-level debug for a "
                             "more detailed log");
    else if (is_long_flag(span_of(arg + 1)))
        cli_usage_error(cli, "unknown flag %.60s (did you mean -%.60s?)", arg, arg);
    else
        cli_usage_error(cli, "unknown flag %.60s; see weir help %s", arg, cli->command->name);
}

static void take_argument(struct cli *cli, const char *arg)
{
    const char *name = cli->command->name;

    if (cli->n_args < cli->command->max_args)
        cli->args[cli->n_args++] = arg;
    else if (cli->n_args > 1)
        cli_usage_error(cli, "weir %s takes at most %d arguments", name, cli->command->max_args);
    else if (cli->n_args > 0)
        cli_usage_error(cli, "weir %s takes one argument, got \"%.60s\" after \"%.60s\"", name, arg,
                        cli->args[0]);
    else if (find_command(arg) != NULL)
        cli_usage_error(cli, "the command must be the first argument: weir %s", arg);
    else
        cli_usage_error(cli, "weir %s takes no arguments, got \"%.60s\"; see weir help %s", name,
                        arg, name);
}

static void take_all(struct cli *cli, int i)
{
    const struct cli_env *env = cli->env;
    struct option_flag flag;
    bool flags_end = false;

    while (i < env->argc) {
        const char *arg = env->argv[i];
        int from = i;
        if (!flags_end && option_next_flag(env->argc, env->argv, &i, &flag)) {
            take_flag(cli, &flag, from, &i);
            continue;
        }
        i++;
        if (!flags_end && strcmp(arg, "--") == 0)
            flags_end = true;
        else if (!flags_end && arg[0] == '-' && arg[1] != '\0')
            take_short_flag(cli, arg, &i);
        else
            take_argument(cli, arg);
    }
}

/* The first argument that is not a flag is the command. */
static bool take_apart(struct cli *cli)
{
    const struct cli_env *env = cli->env;
    bool named = env->argc > 1 && env->argv[1][0] != '-';

    cli->command = find_command(named ? env->argv[1] : "serve");
    if (cli->command == NULL)
        unknown_command(cli, env->argv[1]);
    else
        take_all(cli, named ? 2 : 1);
    return cli->errors == 0;
}

/* ---- the configuration ---------------------------------------------------------------------- */

/* NULL: the problems have been reported. */
struct config *cli_load_from(const struct cli *cli, const struct config_source *src)
{
    struct strbuf problems = {0};
    struct config *c = config_load(src, &problems);

    if (c == NULL)
        cli_print_problems(cli->env, strbuf_cstr(&problems));
    strbuf_fini(&problems);
    return c;
}

struct config_source cli_sources(const struct cli *cli, bool upstream_optional)
{
    const char *named = cli_env_get(cli->env, "WEIR_CONFIG");

    return (struct config_source){
        .path = cli->config_path != NULL ? cli->config_path : named,
        .argc = cli->n_flags,
        .argv = cli->flags,
        .environ_ = cli->env->environ_,
        .upstream_optional = upstream_optional,
        .errors = cli->errors,
    };
}

struct config *cli_load(const struct cli *cli, bool upstream_optional)
{
    const struct config_source src = cli_sources(cli, upstream_optional);
    return cli_load_from(cli, &src);
}

static int nothing_configured(const struct cli *cli)
{
    fputs("weir lets at most N requests into an app at once and queues the rest fairly.\n"
          "\n"
          "Give it the address of the app:\n"
          "  weir --upstream 127.0.0.1:8000 --concurrency 40\n"
          "  weir --config weir.json\n"
          "Clients connect to port 8080; metrics and probes are on port 9480.\n"
          "\n"
          "Minimal file:    { \"upstream\": \"127.0.0.1:8000\" }\n"
          "Every option:    weir help serve\n"
          "Every command:   weir help\n",
          cli->env->err);
    return EXIT_USAGE;
}

static int run_serve(struct cli *cli)
{
    const struct config_source source = cli_sources(cli, false);
    struct config *c = cli_load_from(cli, &source);

    if (c == NULL)
        return EXIT_FAILED;
    int status;
    if (c->upstream_given) {
        log_configure(c->log.level, c->log.format);
        status = cli->env->serve(c, &source);
    } else {
        status = nothing_configured(cli);
    }
    config_put(c);
    return status;
}

static int run_check(struct cli *cli)
{
    struct strbuf text = {0};

    if (cli->n_args > 0 && cli->config_path != NULL) {
        cli_usage_error(cli,
                        "weir check: give the file once, either as an argument or with --config");
        return EXIT_USAGE;
    }
    if (cli->n_args > 0)
        cli->config_path = cli->args[0];
    struct config *c = cli_load(cli, false);
    if (c == NULL)
        return EXIT_FAILED;
    bool given = c->upstream_given;
    config_put(c);
    if (!given) {
        cli_complain(
            cli->env,
            "nothing to check: there is no file, flag or variable; name a file, or \"-\" for "
            "standard input");
        return EXIT_FAILED;
    }
    const char *named = cli_env_get(cli->env, "WEIR_CONFIG");
    const char *path = cli->config_path != NULL ? cli->config_path : named;
    strbuf_addf(&text, "%s: ok\n", path != NULL ? config_path_text(path) : "weir");
    return cli_print_result(cli, &text);
}

static int print_effective(struct cli *cli)
{
    struct strbuf text = {0};
    struct config *c = cli_load(cli, true);

    if (c == NULL)
        return EXIT_FAILED;
    if (cli->json)
        config_write_json(c, &text);
    else
        config_write(c, &text);
    config_put(c);
    return cli_print_result(cli, &text);
}

static int print_defaults(struct cli *cli)
{
    const struct config_source nothing = {.upstream_optional = true};
    struct strbuf text = {0}, problems = {0};
    struct config *c = config_load(&nothing, &problems);

    CHECK(c != NULL);
    config_write_json(c, &text);
    config_put(c);
    return cli_print_result(cli, &text);
}

static int print_written(struct cli *cli, void (*write_manual)(struct strbuf *out))
{
    struct strbuf text = {0};

    write_manual(&text);
    return cli_print_result(cli, &text);
}

static int run_config(struct cli *cli)
{
    static const char *const words[] = {"print", "schema", "defaults", "docs"};
    const char *what = cli->n_args > 0 ? cli->args[0] : "";
    struct nearest n = {.typed = span_of(what)};

    if (strcmp(what, "print") == 0)
        return print_effective(cli);
    if (cli->json) {
        cli_usage_error(cli, "--json is valid only with weir config print");
        return EXIT_USAGE;
    }
    if (strcmp(what, "schema") == 0)
        return print_written(cli, manual_write_schema);
    if (strcmp(what, "defaults") == 0)
        return print_defaults(cli);
    if (strcmp(what, "docs") == 0)
        return print_written(cli, manual_write_docs);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        nearest_try(&n, span_of(words[i]), words[i]);
    if (*what == '\0')
        cli_usage_error(cli,
                        "weir config requires print, schema, defaults or docs; to see the values "
                        "in force, run weir config print");
    else
        cli_usage_error(cli,
                        "weir config expects print, schema, defaults or docs, got \"%.60s\"%s%s%s",
                        what, n.answer == NULL ? "" : " (did you mean ",
                        n.answer == NULL ? "" : n.answer, n.answer == NULL ? "" : "?)");
    return EXIT_USAGE;
}

/* ---- completion and the man page ------------------------------------------------------------- */

static int run_completion(struct cli *cli)
{
    const char *shell = cli->n_args > 0 ? cli->args[0] : "";
    completion_write_fn *write_script = completion_for(shell);
    struct strbuf text = {0};

    if (write_script == NULL) {
        cli_usage_error(cli, "weir completion expects bash, zsh or fish, got \"%.60s\"", shell);
        return EXIT_USAGE;
    }
    write_script(&command_line, &text);
    return cli_print_result(cli, &text);
}

static int run_manpage(struct cli *cli)
{
    struct strbuf text = {0};

    manpage_write(&command_line, WEIR_VERSION, WEIR_RELEASED, &text);
    return cli_print_result(cli, &text);
}

/* ---- version and help ----------------------------------------------------------------------- */

static int run_version(struct cli *cli)
{
    struct strbuf text = {0};

    if (cli->json)
        strbuf_adds(&text,
                    "{\"version\": \"" WEIR_VERSION "\", \"revision\": \"" WEIR_REVISION "\"}\n");
    else
        strbuf_adds(&text, "weir " WEIR_VERSION " (" WEIR_REVISION ")\n");
    return cli_print_result(cli, &text);
}

static void write_commands(struct strbuf *out)
{
    strbuf_adds(out, "weir lets at most N requests into an app at once and queues the rest "
                     "fairly.\n\nUsage: weir [COMMAND] [flags]\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        strbuf_addf(out, "  %-12s %s\n", commands[i].name, commands[i].summary);
    strbuf_adds(out,
                "\nSee weir help COMMAND for details; weir help serve lists every option.\n"
                "Exit status: 0 success, 1 failure, 2 invalid usage, 3 requests were cut off.\n");
}

static void write_command(const struct command *command, struct strbuf *out)
{
    struct strbuf paragraph = {0};
    const char *text = command->details;

    strbuf_addf(out, "Usage: weir %s%s%s\n\n", command->name, *command->usage != '\0' ? " " : "",
                command->usage);
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        strbuf_clear(&paragraph);
        strbuf_add(&paragraph, text, len);
        manual_wrap(strbuf_cstr(&paragraph), 0, out);
        text += len + (text[len] == '\n');
    }
    strbuf_adds(out, "\nFlags:\n\n");
    manual_write_command_flags(&command_line, command, out);
    if (command->run == run_serve) {
        strbuf_adds(out, "\nOptions, with their defaults:\n\n");
        manual_write_flags(out);
    } else if (command->takes & TAKES_CONFIG) {
        strbuf_adds(out, "\nThe options listed by `weir help serve` are accepted too.\n");
    }
    strbuf_fini(&paragraph);
}

static int help_about(struct cli *cli, const struct command *command)
{
    struct strbuf text = {0};

    if (command->run == run_help)
        write_commands(&text);
    else
        write_command(command, &text);
    return cli_print_result(cli, &text);
}

static int run_help(struct cli *cli)
{
    const char *name = cli->n_args > 0 ? cli->args[0] : "help";
    const struct command *command = find_command(name);

    if (command != NULL)
        return help_about(cli, command);
    unknown_command(cli, name);
    return EXIT_USAGE;
}

/* `weir --help` describes all commands, `weir serve --help` only serve. */
static const struct command *asked_help(const struct cli *cli)
{
    const struct cli_env *env = cli->env;
    return find_command(env->argv[1][0] == '-' ? "help" : cli->command->name);
}

/* Reports the errors of the other flags and of the file as well. */
static void tell_other_errors(const struct cli *cli)
{
    if (cli->command != NULL && (cli->command->takes & TAKES_CONFIG) &&
        (cli->n_flags > 0 || cli->config_path != NULL))
        config_put(cli_load(cli, true));
}

int cli_main(const struct cli_env *env)
{
    struct cli cli = {.env = env};
    int status = EXIT_USAGE;

    cli.flags = calloc((size_t)env->argc + 1, sizeof(*cli.flags));
    CHECK(cli.flags != NULL);
    if (!take_apart(&cli))
        tell_other_errors(&cli);
    else if (cli.help)
        status = help_about(&cli, asked_help(&cli));
    else if (cli.version)
        status = run_version(&cli);
    else
        status = cli.command->run(&cli);
    free(cli.flags);
    return status;
}
