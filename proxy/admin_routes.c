/* See admin_routes.h. */
#include "proxy/admin_routes.h"

#include "common/prometheus.h"

static const char json_type[] = "application/json";

/* ---- reading -------------------------------------------------------------------------------- */

static void respond_metrics(const struct admin_source *source, struct admin_reply *out)
{
    out->type = PROMETHEUS_CONTENT_TYPE;
    source->metrics(source->arg, &out->body);
}

static void respond_status(const struct admin_source *source, struct admin_reply *out)
{
    out->type = json_type;
    source->status(source->arg, &out->body);
}

static void respond_config(const struct admin_source *source, struct admin_reply *out)
{
    out->type = json_type;
    source->config(source->arg, &out->body);
}

/* Any response shows that weir is running. */
static void respond_livez(const struct admin_source *source, struct admin_reply *out)
{
    (void)source;
    strbuf_adds(&out->body, "ok\n");
}

static void answer_yes_or_no(bool yes, const char *why, struct admin_reply *out)
{
    if (!yes)
        out->status = 503;
    strbuf_addf(&out->body, "%s\n", yes ? "ok" : why);
}

static void respond_readyz(const struct admin_source *source, struct admin_reply *out)
{
    const char *why = "not ready";
    bool yes = source->ready(source->arg, &why);
    answer_yes_or_no(yes, why, out);
}

static void respond_startupz(const struct admin_source *source, struct admin_reply *out)
{
    const char *why = "not started";
    bool yes = source->started(source->arg, &why);
    answer_yes_or_no(yes, why, out);
}

/* ---- changing ------------------------------------------------------------------------------- */

static void respond_pause(const struct admin_source *source, struct admin_reply *out)
{
    source->pause(source->arg);
    out->type = json_type;
    strbuf_adds(&out->body, "{\"paused\":true}\n");
}

static void respond_resume(const struct admin_source *source, struct admin_reply *out)
{
    source->resume(source->arg);
    out->type = json_type;
    strbuf_adds(&out->body, "{\"paused\":false}\n");
}

/* ---- the table ------------------------------------------------------------------------------ */

static void respond_index(const struct admin_source *source, struct admin_reply *out);

static const struct admin_route routes[] = {
    {"/", "this list", ADMIN_READ, respond_index},
    {"/metrics", "for Prometheus", ADMIN_READ, respond_metrics},
    {"/livez", "200 while weir is running", ADMIN_READ, respond_livez},
    {"/readyz", "200 when weir accepts requests, else 503 and the reason", ADMIN_READ,
     respond_readyz},
    {"/startupz", "200 once the app has started, else 503 and the reason", ADMIN_READ,
     respond_startupz},
    {"/status", "the values of /metrics, as JSON", ADMIN_READ, respond_status},
    {"/config", "the configuration in force, as JSON", ADMIN_READ, respond_config},
    {"/pause", "holds all requests in the queue", ADMIN_METHOD(HTTP_POST), respond_pause},
    {"/resume", "ends a pause", ADMIN_METHOD(HTTP_POST), respond_resume},
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
    write_methods(route->methods, out);
}

static void list_routes(struct strbuf *out)
{
    struct strbuf name = {0};

    for (size_t i = 0; i < ROUTES; i++) {
        strbuf_clear(&name);
        if (routes[i].methods != ADMIN_READ) {
            write_methods(routes[i].methods & ~ADMIN_READ, &name);
            strbuf_adds(&name, " ");
        }
        strbuf_adds(&name, routes[i].path);
        strbuf_addf(out, "  %-14s %s\n", strbuf_cstr(&name), routes[i].meaning);
    }
    strbuf_fini(&name);
}

static void respond_index(const struct admin_source *source, struct admin_reply *out)
{
    (void)source;
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

void admin_route_respond(const struct admin_route *route, const struct admin_source *source,
                         struct admin_reply *out)
{
    out->status = 200;
    out->type = "text/plain; charset=utf-8";
    if (route == NULL)
        respond_not_found(out);
    else
        route->respond(source, out);
}
