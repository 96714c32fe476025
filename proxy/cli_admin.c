/* See cli_admin.h. */
#include "proxy/cli_admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "proxy/admin_client.h"
#include "proxy/cli_private.h"
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

/* Sends the request to the admin port; with the token, unless it is a GET. False: the reason has
 * been reported. */
static bool ask_admin(const struct cli *cli, const char *method, const char *path,
                      struct admin_response *r)
{
    struct config *c = load_address(cli, strcmp(method, "GET") != 0);
    bool ok = false;

    if (c == NULL)
        return false;
    const struct admin_request request = {.method = method, .path = path, .token = c->admin.token};
    if (!c->admin.enabled)
        cli_complain(cli->env, "the admin port is disabled (admin.listen is \"off\")");
    else if (!(ok = admin_client_ask(&c->admin.listen, &request,
                                     cli->wait + ADMIN_CLIENT_TIMEOUT_US, r)))
        cli_complain(cli->env, "%s: no response from the admin port: %s", c->admin.listen.text,
                     strerror(errno));
    config_put(c);
    return ok;
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

static void write_flat(const json_t *value, const char *path, struct strbuf *out);

static void write_flat_member(const json_t *value, const char *path, const char *key,
                              struct strbuf *out)
{
    struct strbuf inner = {0};

    strbuf_addf(&inner, "%s%s%s", path, *path == '\0' ? "" : ".", key);
    write_flat(value, strbuf_cstr(&inner), out);
    strbuf_fini(&inner);
}

/* Writes a line per number or string: its path and value. jansson limits the depth. */
static void write_flat(const json_t *value, const char *path, struct strbuf *out)
{
    void *iter = json_object_iter((json_t *)(uintptr_t)value);
    char key[24];

    if (json_is_object(value)) {
        for (; iter != NULL; iter = json_object_iter_next((json_t *)(uintptr_t)value, iter))
            write_flat_member(json_object_iter_value(iter), path, json_object_iter_key(iter), out);
        return;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        snprintf(key, sizeof(key), "%zu", i);
        write_flat_member(json_array_get(value, i), path, key, out);
    }
    if (json_is_array(value))
        return;
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    CHECK(text != NULL);
    strbuf_addf(out, "%-39s %s\n", path, text);
    free(text);
}

static int print_status(struct cli *cli, const struct admin_response *r)
{
    struct strbuf text = {0};
    json_t *json = json_loadb(r->body.at, r->body.len, 0, NULL);

    if (r->status != 200 || json == NULL) {
        cli_complain(cli->env, "unexpected response to /status (status %u)", r->status);
        json_decref(json);
        return EXIT_FAILED;
    }
    if (cli->json)
        strbuf_add_span(&text, r->body);
    else
        write_flat(json, "", &text);
    if (text.len > 0 && text.at[text.len - 1] != '\n')
        strbuf_adds(&text, "\n");
    json_decref(json);
    return cli_print_result(cli, &text);
}

int cli_status(struct cli *cli)
{
    struct admin_response r = {0};
    int status = ask_admin(cli, "GET", "/status", &r) ? print_status(cli, &r) : EXIT_FAILED;

    strbuf_fini(&r.bytes);
    return status;
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
    char path[48] = "/drain";

    if (cli->wait > 0)
        (void)snprintf(path, sizeof(path), "/drain?wait=%lldus", (long long)cli->wait);
    int status = ask_admin(cli, "POST", path, &r) ? report_drain(cli, "/drain", &r) : EXIT_FAILED;
    strbuf_fini(&r.bytes);
    return status;
}
