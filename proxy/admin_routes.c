/* See admin_routes.h. */
#include "proxy/admin_routes.h"

#include "proxy/openmetrics.h"

static const char json_type[] = "application/json";
static const char text_type[] = "text/plain; charset=utf-8";

/* ---- reading -------------------------------------------------------------------------------- */

static void respond_metrics(const struct admin_source *source, const struct admin_call *call,
                            struct admin_reply *out)
{
    struct openmetrics_choice choice = openmetrics_choose(call->accept);

    out->type = choice.content_type;
    source->metrics(source->arg, choice.format, &out->body);
}

static void respond_status(const struct admin_source *source, const struct admin_call *call,
                           struct admin_reply *out)
{
    (void)call;
    out->type = json_type;
    source->status(source->arg, &out->body);
}

static void respond_history(const struct admin_source *source, const struct admin_call *call,
                            struct admin_reply *out)
{
    out->type = json_type;
    source->history(source->arg, call->since, &out->body);
}

static void respond_config(const struct admin_source *source, const struct admin_call *call,
                           struct admin_reply *out)
{
    out->type = json_type;
    if (call->method == HTTP_PATCH && !source->change(source->arg, call->body, &out->body)) {
        out->status = 400;
        out->type = text_type;
        return;
    }
    source->config(source->arg, &out->body);
}

/* Any response shows that weir is running. */
static void respond_livez(const struct admin_source *source, const struct admin_call *call,
                          struct admin_reply *out)
{
    (void)call;
    (void)source;
    strbuf_adds(&out->body, "ok\n");
}

static void answer_yes_or_no(bool yes, const char *why, struct admin_reply *out)
{
    if (!yes)
        out->status = 503;
    strbuf_addf(&out->body, "%s\n", yes ? "ok" : why);
}

static void respond_readyz(const struct admin_source *source, const struct admin_call *call,
                           struct admin_reply *out)
{
    (void)call;
    const char *why = "not ready";
    bool yes = source->ready(source->arg, &why);
    answer_yes_or_no(yes, why, out);
}

static void respond_startupz(const struct admin_source *source, const struct admin_call *call,
                             struct admin_reply *out)
{
    (void)call;
    const char *why = "not started";
    bool yes = source->started(source->arg, &why);
    answer_yes_or_no(yes, why, out);
}

/* ---- changing ------------------------------------------------------------------------------- */

static void respond_pause(const struct admin_source *source, const struct admin_call *call,
                          struct admin_reply *out)
{
    (void)call;
    source->pause(source->arg);
    out->type = json_type;
    strbuf_adds(&out->body, "{\"paused\":true}\n");
}

static void respond_resume(const struct admin_source *source, const struct admin_call *call,
                           struct admin_reply *out)
{
    (void)call;
    source->resume(source->arg);
    out->type = json_type;
    strbuf_adds(&out->body, "{\"paused\":false}\n");
}

void admin_route_drain_state(const struct admin_source *source, bool cancelled,
                             struct admin_reply *out)
{
    bool done = !cancelled && source->drain_state(source->arg, &out->body);

    out->status = cancelled ? 409 : done ? 200 : 202;
    out->type = cancelled ? text_type : json_type;
    if (cancelled)
        strbuf_adds(&out->body, "the drain was cancelled\n");
}

static void cancel_drain(const struct admin_source *source, struct admin_reply *out)
{
    const char *why = "";

    out->cancelled = source->cancel_drain(source->arg, &why);
    if (out->cancelled) {
        out->type = json_type;
        (void)source->drain_state(source->arg, &out->body);
        return;
    }
    out->status = 409;
    strbuf_addf(&out->body, "the drain cannot be cancelled: %s\n", why);
}

static void respond_drain(const struct admin_source *source, const struct admin_call *call,
                          struct admin_reply *out)
{
    if (call->method == HTTP_DELETE) {
        cancel_drain(source, out);
        return;
    }
    source->drain(source->arg, call->keep_ready);
    admin_route_drain_state(source, false, out);
    out->hold = out->status == 202 && call->wait > 0;
}

/* ---- the table ------------------------------------------------------------------------------ */

static void respond_index(const struct admin_source *source, const struct admin_call *call,
                          struct admin_reply *out);

static const struct admin_route routes[] = {
    {"/", "this list; in a browser, the dashboard", ADMIN_READ, 0, respond_index},
    {"/metrics", "for Prometheus", ADMIN_READ, 0, respond_metrics},
    {"/livez", "200 while weir is running", ADMIN_READ, 0, respond_livez},
    {"/readyz", "200 when weir accepts requests, else 503 and the reason", ADMIN_READ, 0,
     respond_readyz},
    {"/startupz", "200 once the app has started, else 503 and the reason", ADMIN_READ, 0,
     respond_startupz},
    {"/status", "the values of /metrics, as JSON", ADMIN_READ, 0, respond_status},
    {"/history",
     "the last 300 seconds, second by second, as JSON; ?since=UNIX: those after that second",
     ADMIN_READ, 0, respond_history},
    {"/config", "the configuration in force, as JSON; PATCH changes it",
     ADMIN_READ | ADMIN_METHOD(HTTP_PATCH), 0, respond_config},
    {"/drain",
     "serves waiting and running requests; ?wait=25s: responds when that is done; ?ready=keep: "
     "/readyz does not fail before the port is closed",
     ADMIN_METHOD(HTTP_POST) | ADMIN_METHOD(HTTP_DELETE), ADMIN_METHOD(HTTP_GET), respond_drain},
    {"/pause", "holds all requests in the queue", ADMIN_METHOD(HTTP_POST), 0, respond_pause},
    {"/resume", "ends a pause", ADMIN_METHOD(HTTP_POST), 0, respond_resume},
    {"/charts.js", NULL, ADMIN_READ, 0, NULL},
    {"/dashboard.css", NULL, ADMIN_READ, 0, NULL},
    {"/dashboard.js", NULL, ADMIN_READ, 0, NULL},
    {"/dygraph.js", NULL, ADMIN_READ, 0, NULL},
    {"/figures.js", NULL, ADMIN_READ, 0, NULL},
    {"/recent.js", NULL, ADMIN_READ, 0, NULL},
};
enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };

static const char *const method_names[] = {
    [HTTP_GET] = "GET",       [HTTP_HEAD] = "HEAD",   [HTTP_POST] = "POST",
    [HTTP_DELETE] = "DELETE", [HTTP_PATCH] = "PATCH",
};
enum { METHODS = sizeof(method_names) / sizeof(method_names[0]) };

static void write_methods(unsigned methods, struct strbuf *out)
{
    const char *between = "";

    for (unsigned m = 0; m < METHODS; m++) {
        if ((methods & ADMIN_METHOD(m)) == 0)
            continue;
        strbuf_addf(out, "%s%s", between, method_names[m]);
        between = ", ";
    }
}

void admin_route_write_methods(const struct admin_route *route, struct strbuf *out)
{
    write_methods(route != NULL ? route->methods : ADMIN_READ, out);
}

static void list_routes(struct strbuf *out)
{
    struct strbuf name = {0};

    for (size_t i = 0; i < ROUTES; i++) {
        if (routes[i].meaning == NULL)
            continue;
        strbuf_clear(&name);
        if ((routes[i].methods & ADMIN_READ) == 0) {
            write_methods(routes[i].methods, &name);
            strbuf_adds(&name, " ");
        }
        strbuf_adds(&name, routes[i].path);
        strbuf_addf(out, "  %-20s %s\n", strbuf_cstr(&name), routes[i].meaning);
    }
    strbuf_fini(&name);
}

static void respond_file(const struct dashboard_file *file, const struct admin_call *call,
                         struct admin_reply *out)
{
    if (!dashboard_is_readable(call->accept_encoding, call->has_accept_encoding)) {
        out->status = 406;
        strbuf_adds(&out->body,
                    "this file is only available in gzip; send Accept-Encoding: gzip\n");
        return;
    }
    out->file = file;
    out->type = file->type;
    if (dashboard_is_current(file, call->if_none_match))
        out->status = 304;
}

static void respond_index(const struct admin_source *source, const struct admin_call *call,
                          struct admin_reply *out)
{
    (void)source;
    out->varies = call->dashboard;
    if (call->dashboard && dashboard_is_wanted(call->accept)) {
        respond_file(dashboard_find(SPAN("/")), call, out);
        return;
    }
    strbuf_adds(&out->body, "weir " WEIR_VERSION ", admin port\n\n");
    list_routes(&out->body);
}

static void respond_not_found(struct admin_reply *out)
{
    out->status = 404;
    strbuf_adds(&out->body, "no such page; the pages are:\n\n");
    list_routes(&out->body);
}

const struct admin_route *admin_route_find(struct span path)
{
    for (size_t i = 0; i < ROUTES; i++) {
        if (span_equal(path, span_of(routes[i].path)))
            return &routes[i];
    }
    return NULL;
}

bool admin_route_changes(const struct admin_route *route, enum http_method method)
{
    return ((ADMIN_READ & ~route->listed) & ADMIN_METHOD(method)) == 0;
}

bool admin_route_has_samples(const struct admin_route *route)
{
    return route != NULL && route->respond == respond_history;
}

void admin_route_respond(const struct admin_route *route, const struct admin_source *source,
                         const struct admin_call *call, struct admin_reply *out)
{
    const struct dashboard_file *file = NULL;

    out->status = 200;
    out->type = text_type;
    if (route != NULL && route->respond == NULL && call->dashboard)
        file = dashboard_find(span_of(route->path));
    if (file != NULL)
        respond_file(file, call, out);
    else if (route == NULL || route->respond == NULL)
        respond_not_found(out);
    else
        route->respond(source, call, out);
}
