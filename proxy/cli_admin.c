/* See cli_admin.h. */
#include "proxy/cli_admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "proxy/admin_client.h"
#include "proxy/cli_private.h"
#include "proxy/option_hint.h"
#include "proxy/option_value.h"
#include "proxy/options.h"

/* ---- where, and with which token ------------------------------------------------------------ */

/* A source with only a few options, all from flags or the environment. Zero-initialise it. */
struct few {
    char **argv; /* room for all flags */
    char *environ_[3];
    int argc, n_environ;
};

static bool add_flag(const struct cli *cli, const char *path, struct few *few)
{
    struct option_flag flag;
    int before = few->argc;

    for (int i = 0; i < cli->n_flags;) {
        int from = i;
        bool is_flag = option_next_flag(cli->n_flags, cli->flags, &i, &flag);
        CHECK(is_flag); /* cli.c takes no others */
        while (strcmp(flag.option->path, path) == 0 && from < i)
            few->argv[few->argc++] = cli->flags[from++];
    }
    return few->argc > before;
}

static bool add_variable(const struct cli *cli, const char *name, struct few *few)
{
    const char *value = cli_env_get(cli->env, name);
    char **e = cli->env->environ_;

    while (value != NULL && *e + strlen(name) + 1 != value)
        e++;
    if (value != NULL)
        few->environ_[few->n_environ++] = *e;
    return value != NULL;
}

/* The token may be in the file even if the address is not. An error in the file must not prevent
 * the command: on the same machine, no token is needed. */
static void find_token(const struct cli *cli, struct config *c)
{
    const struct config_source src = cli_sources(cli, true);
    struct strbuf problems = {0};
    struct config *all = config_load(&src, &problems);

    if (all != NULL)
        memcpy(c->admin.token, all->admin.token, sizeof(c->admin.token));
    config_put(all);
    strbuf_fini(&problems);
}

/* The admin port's address depends on no other option, so a command that is given the address works
 * even with an invalid file. NULL: the problems have been reported. */
static struct config *load_address(const struct cli *cli, bool with_token)
{
    struct few few = {.argv = calloc((size_t)cli->n_flags + 1, sizeof(*few.argv))};

    CHECK(few.argv != NULL);
    bool given =
        add_flag(cli, "admin.listen", &few) || add_variable(cli, "WEIR_ADMIN_LISTEN", &few);
    bool token = with_token && (add_flag(cli, "admin.token", &few) ||
                                add_variable(cli, "WEIR_ADMIN_TOKEN", &few));
    const struct config_source src = {
        .argc = few.argc, .argv = few.argv, .environ_ = few.environ_, .upstream_optional = true};
    struct config *c = given ? cli_load_from(cli, &src) : cli_load(cli, true);
    free(few.argv);
    if (c != NULL && given && with_token && !token)
        find_token(cli, c);
    return c;
}

struct config *cli_admin_config(const struct cli *cli, bool with_token)
{
    struct config *c = load_address(cli, with_token);

    if (c == NULL || c->admin.enabled)
        return c;
    cli_complain(cli->env, "the admin port is disabled (admin.listen is \"off\")");
    config_put(c);
    return NULL;
}

void cli_complain_of_silence(const struct cli *cli, const struct config *c)
{
    cli_complain(cli->env, "%s: no response from the admin port: %s", c->admin.listen.text,
                 strerror(errno));
}

/* Sends a request with a body to the admin port; with the token, unless it is a GET. False: the
 * reason has been reported. */
static bool ask_with_body(const struct cli *cli, const char *method, const char *path,
                          struct span body, struct admin_response *r)
{
    struct config *c = cli_admin_config(cli, strcmp(method, "GET") != 0);

    if (c == NULL)
        return false;
    const struct admin_request request = {
        .method = method, .path = path, .token = c->admin.token, .body = body};
    bool ok = admin_client_ask(&c->admin.listen, &request, cli->wait + ADMIN_CLIENT_TIMEOUT_US, r);
    if (!ok)
        cli_complain_of_silence(cli, c);
    config_put(c);
    return ok;
}

static bool ask_admin(const struct cli *cli, const char *method, const char *path,
                      struct admin_response *r)
{
    return ask_with_body(cli, method, path, SPAN(""), r);
}

/* ---- reading -------------------------------------------------------------------------------- */

int cli_healthcheck(struct cli *cli)
{
    const char *path = cli->ready ? "/readyz" : "/livez";
    struct admin_response r = {0};
    bool ok = ask_admin(cli, "GET", path, &r);

    strbuf_fini(&r.bytes);
    if (ok && r.status != 200)
        cli_complain(cli->env, "%s returned status %u", path, r.status);
    return ok && r.status == 200 ? EXIT_OK : EXIT_FAILED;
}

/* ---- changing ------------------------------------------------------------------------------- */

/* Reports a response other than success: its text has the reason. */
static void complain_about(const struct cli *cli, const char *path, const struct admin_response *r)
{
    int len = (int)(r->body.len > 300 ? 300 : r->body.len);

    while (len > 0 && r->body.at[len - 1] == '\n')
        len--;
    cli_complain(cli->env, "%s returned status %u: %.*s", path, r->status, len, r->body.at);
}

static int post(struct cli *cli, const char *path, const char *done)
{
    struct admin_response r = {0};
    struct strbuf text = {0};
    int status = EXIT_FAILED;

    if (ask_admin(cli, "POST", path, &r)) {
        if (r.status != 200) {
            complain_about(cli, path, &r);
        } else {
            strbuf_adds(&text, done);
            status = cli_print_result(cli, &text);
        }
    }
    strbuf_fini(&r.bytes);
    return status;
}

int cli_pause(struct cli *cli)
{
    return post(cli, "/pause", "paused: requests wait in the queue until weir resume\n");
}

int cli_resume(struct cli *cli)
{
    return post(cli, "/resume", "resumed\n");
}

/* The number with that name in a response; 0 if there is none. */
static json_int_t number(const json_t *json, const char *name)
{
    return json_integer_value(json_object_get(json, name));
}

static int report_drained(struct cli *cli, const json_t *state)
{
    struct strbuf text = {0};
    json_int_t cut = number(state, "cut");

    if (cut > 0) {
        cli_complain(cli->env, "drained, but %lld requests were refused or cut off",
                     (long long)cut);
        return EXIT_CUT;
    }
    strbuf_adds(&text, "drained: all requests were served\n");
    return cli_print_result(cli, &text);
}

static int report_draining(struct cli *cli, const json_t *state)
{
    struct strbuf text = {0};

    strbuf_addf(&text, "draining: %lld requests are running, %lld are waiting\n",
                (long long)number(state, "in_flight"), (long long)number(state, "queued"));
    if (cli->wait == 0)
        return cli_print_result(cli, &text);
    cli_complain(cli->env, "the drain has not ended within --wait; %.*s", (int)text.len - 1,
                 text.at);
    strbuf_fini(&text);
    return EXIT_FAILED;
}

static int report_drain(struct cli *cli, const char *path, const struct admin_response *r)
{
    json_t *state = json_loadb(r->body.at, r->body.len, 0, NULL);
    int status = EXIT_FAILED;

    if (r->status == 200 && state != NULL)
        status = report_drained(cli, state);
    else if (r->status == 202 && state != NULL)
        status = report_draining(cli, state);
    else
        complain_about(cli, path, r);
    json_decref(state);
    return status;
}

int cli_drain(struct cli *cli)
{
    struct admin_response r = {0};
    struct strbuf path = {0};
    int status = EXIT_FAILED;

    strbuf_adds(&path, "/drain");
    if (cli->wait > 0)
        strbuf_addf(&path, "?wait=%lldus", (long long)cli->wait);
    if (cli->keep_ready)
        strbuf_addf(&path, "%sready=keep", cli->wait > 0 ? "&" : "?");
    if (ask_admin(cli, "POST", strbuf_cstr(&path), &r))
        status = report_drain(cli, "/drain", &r);
    strbuf_fini(&path);
    strbuf_fini(&r.bytes);
    return status;
}

/* ---- set ------------------------------------------------------------------------------------ */

static void complain_about_key(struct cli *cli, struct span key)
{
    struct nearest n = {.typed = key};

    for (size_t i = 0; i < option_count; i++)
        nearest_try(&n, span_of(option_table[i].path), option_table[i].path);
    cli_usage_error(cli, "unknown key \"%.*s\"%s%s%s", (int)(key.len > 60 ? 60 : key.len), key.at,
                    n.answer == NULL ? "" : " (did you mean ", n.answer == NULL ? "" : n.answer,
                    n.answer == NULL ? "" : "?)");
}

static void complain_about_value(struct cli *cli, const struct option *o,
                                 enum option_verdict verdict, struct span text)
{
    struct strbuf message = {0}, got = {0};

    strbuf_add_json(&got, text);
    strbuf_adds(&message, o->path);
    option_write_complaint(o, verdict, (struct span){got.at, got.len}, text, true, &message);
    cli_usage_error(cli, "%s", strbuf_cstr(&message));
    strbuf_fini(&message);
    strbuf_fini(&got);
}

/* The value in JSON; NULL: the problem has been reported. */
static json_t *value_of(struct cli *cli, const struct option *o, struct span text)
{
    struct config scratch = {.threads = 0};
    enum option_verdict verdict = option_read(o, text, &scratch);
    struct strbuf json = {0};
    json_t *value = NULL;

    if (verdict != OPTION_READ) {
        complain_about_value(cli, o, verdict, text);
        return NULL;
    }
    if (o->type == OPTION_SECRET)
        strbuf_add_json(&json, text);
    else
        option_write_json(o, &scratch, &json);
    value = json_loadb(json.at, json.len, JSON_DECODE_ANY, NULL);
    CHECK(value != NULL);
    option_clear(&scratch);
    strbuf_fini(&json);
    return value;
}

/* Puts the value into its section of `json`, which it creates if necessary. */
static void put(json_t *json, const struct option *o, json_t *value)
{
    struct strbuf section = {0};
    json_t *inside = json;

    strbuf_add_span(&section, option_section(o));
    if (section.len > 0) {
        inside = json_object_get(json, section.at);
        if (inside == NULL) {
            inside = json_object();
            CHECK(json_object_set_new(json, section.at, inside) == 0);
        }
    }
    CHECK(json_object_set_new(inside, option_leaf(o).at, value) == 0); /* ends the path */
    strbuf_fini(&section);
}

static void put_argument(struct cli *cli, const char *arg, json_t *json)
{
    struct span key = {arg, strcspn(arg, "=")};
    const struct option *o = option_find(key);

    if (arg[key.len] != '=') {
        cli_usage_error(cli, "weir set expects KEY=VALUE, got \"%.60s\"", arg);
        return;
    }
    if (o == NULL) {
        complain_about_key(cli, key);
        return;
    }
    json_t *value = value_of(cli, o, span_of(arg + key.len + 1));
    if (value != NULL)
        put(json, o, value);
}

/* The response of the running weir names places in the JSON that was sent, with excerpts. */
static void print_refusal(const struct cli *cli, const struct admin_response *r)
{
    struct strbuf problems = {0};

    strbuf_add_span(&problems, r->body);
    cli_print_problems(cli->env, strbuf_cstr(&problems));
    strbuf_fini(&problems);
}

static int send_change(struct cli *cli, const json_t *json)
{
    struct admin_response r = {0};
    struct strbuf text = {0};
    char *body = json_dumps(json, JSON_COMPACT);
    int status = EXIT_FAILED;

    CHECK(body != NULL);
    if (ask_with_body(cli, "PATCH", "/config", span_of(body), &r)) {
        if (r.status == 400) {
            print_refusal(cli, &r);
        } else if (r.status != 200) {
            complain_about(cli, "/config", &r);
        } else {
            strbuf_adds(&text, "changed\n");
            status = cli_print_result(cli, &text);
        }
    }
    free(body);
    strbuf_fini(&r.bytes);
    return status;
}

int cli_set(struct cli *cli)
{
    json_t *json = json_object();
    int status = EXIT_USAGE;

    CHECK(json != NULL);
    if (cli->n_args == 0)
        cli_usage_error(cli, "weir set requires KEY=VALUE, such as concurrency=40");
    for (int i = 0; i < cli->n_args; i++)
        put_argument(cli, cli->args[i], json);
    if (cli->errors == 0)
        status = send_change(cli, json);
    json_decref(json);
    return status;
}
