#include "backend-demo/loop_handlers.h"

#include <errno.h>
#include <time.h>

#include "backend-demo/backend.h"
#include "common/prometheus.h"

/* ---- an async def that awaits --------------------------------------------------------------- */

static void usuarios_waited(struct call *c)
{
    call_write(c, SPAN("\"usuarios\":[\"Usuário 1\",\"Usuário 2\"]"));
    call_respond(c, EVHTP_RES_OK);
}

void handle_usuarios(struct call *c)
{
    call_work(c);
    call_wait(c, usuarios_waited);
}

/* ---- the trap: time.sleep() in an async def ------------------------------------------------- */

void handle_bloqueante(struct call *c)
{
    unsigned ms = c->params.value[PARAM_MS];
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    /* A signal does not shorten it, as in Python. */
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
    call_work(c);
    call_write(c, SPAN("\"bloqueante\":true"));
    call_respond(c, EVHTP_RES_OK);
}

/* ---- immediate ------------------------------------------------------------------------------ */

void handle_ping(struct call *c)
{
    call_work(c);
    call_write(c, SPAN("\"ping\":\"pong\""));
    call_respond(c, EVHTP_RES_OK);
}

void handle_not_found(struct call *c)
{
    call_write(c, SPAN("\"detail\":\"Not Found\""));
    call_respond(c, EVHTP_RES_NOTFOUND);
}

/* ---- echo ----------------------------------------------------------------------------------- */

static void add_text(struct strbuf *out, const char *name, const char *text)
{
    strbuf_addf(out, "\"%s\":", name);
    strbuf_add_json(out, span_of(text != NULL ? text : ""));
}

static void add_headers(struct strbuf *out, evhtp_headers_t *headers)
{
    const evhtp_kv_t *kv;
    const char *comma = "";

    strbuf_adds(out, ",\"headers\":[");
    TAILQ_FOREACH (kv, headers, next) {
        strbuf_addf(out, "%s[", comma);
        strbuf_add_json(out, (struct span){kv->key, kv->klen});
        strbuf_adds(out, ",");
        strbuf_add_json(out, (struct span){kv->val, kv->vlen});
        strbuf_adds(out, "]");
        comma = ",";
    }
    strbuf_adds(out, "]");
}

static void add_body(struct strbuf *out, struct evbuffer *in)
{
    size_t len = evbuffer_get_length(in);
    const char *at = len > 0 ? (const char *)evbuffer_pullup(in, -1) : "";

    strbuf_addf(out, ",\"body_bytes\":%zu,\"body\":", len);
    strbuf_add_json(out, (struct span){at, len});
}

void handle_echo(struct call *c)
{
    const evhtp_request_t *req = c->req;

    strbuf_adds(&c->body, "{");
    add_text(&c->body, "method", htparser_get_methodstr(req->conn->parser));
    strbuf_adds(&c->body, ",");
    add_text(&c->body, "path", req->uri->path->full);
    strbuf_adds(&c->body, ",");
    add_text(&c->body, "query", (const char *)req->uri->query_raw);
    add_headers(&c->body, req->headers_in);
    add_body(&c->body, req->buffer_in);
    strbuf_adds(&c->body, "}");
    call_respond(c, EVHTP_RES_OK);
}

/* ---- reset ---------------------------------------------------------------------------------- */

void handle_reset(struct call *c)
{
    backend_reset(c->backend);
    call_write(c, SPAN("\"reset\":true"));
    call_respond(c, EVHTP_RES_OK);
}

void handle_metrics(struct call *c)
{
    backend_write_metrics(c->backend, &c->body);
    c->type = PROMETHEUS_CONTENT_TYPE;
    call_respond(c, EVHTP_RES_OK);
}
