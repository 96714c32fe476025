/*
 * Three tables: numbers from the environment, paths, and parameters. --help is generated from them,
 * so it cannot differ.
 */
#include "backend-demo/routes.h"

#include <stdint.h>

#include "backend-demo/loop_handlers.h"
#include "backend-demo/pool_handlers.h"

#define MS_MAX 600000

/* ---- numbers -------------------------------------------------------------------------------- */

/* Digits only: no sign, no space, no unit. */
static bool parse_number(struct span text, unsigned lowest, unsigned highest, unsigned *out)
{
    uint64_t n = 0;

    if (text.len == 0 || text.len > 10)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(text.at[i] - '0');
    }
    if (n < lowest || n > highest)
        return false;
    *out = (unsigned)n;
    return true;
}

/* ---- the environment ------------------------------------------------------------------------ */

#define LISTEN_VARIABLE "BACKEND_LISTEN"
#define LISTEN_DEFAULT  ":8000"
#define ORDER_VARIABLE  "BACKEND_POOL_ORDER"

static const struct number_variable {
    const char *name;
    size_t offset; /* of an unsigned in struct settings */
    unsigned usual, lowest, highest;
    const char *help;
} numbers[] = {
    {"BACKEND_POOL_THREADS", offsetof(struct settings, pool_threads), 40, 1, 1000,
     "threads for handlers that may block"},
    {"BACKEND_USUARIOS_MS", offsetof(struct settings, usuarios_ms), 1000, 0, MS_MAX,
     "how long /usuarios waits, in ms"},
    {"BACKEND_PRODUTOS_MS", offsetof(struct settings, produtos_ms), 1000, 0, MS_MAX,
     "how long /produtos sleeps"},
    {"BACKEND_BLOQUEANTE_MS", offsetof(struct settings, bloqueante_ms), 1000, 0, MS_MAX,
     "how long /bloqueante sleeps"},
};

#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static unsigned *number_in(struct settings *s, const struct number_variable *v)
{
    return (unsigned *)(void *)((char *)s + v->offset);
}

static void read_number(struct settings *s, const struct number_variable *v, const char *text,
                        struct strbuf *errors)
{
    *number_in(s, v) = v->usual;
    if (text == NULL || parse_number(span_of(text), v->lowest, v->highest, number_in(s, v)))
        return;
    strbuf_addf(errors, "%s expects an integer from %u to %u, got ", v->name, v->lowest,
                v->highest);
    strbuf_add_json(errors, span_of(text));
    strbuf_adds(errors, "\n");
}

static void read_order(struct settings *s, const char *text, struct strbuf *errors)
{
    s->pool_order = THREAD_POOL_FIFO;
    if (text == NULL || strcmp(text, "fifo") == 0)
        return;
    if (strcmp(text, "lifo") == 0) {
        s->pool_order = THREAD_POOL_LIFO;
        return;
    }
    strbuf_adds(errors, ORDER_VARIABLE " expects \"fifo\" or \"lifo\", got ");
    strbuf_add_json(errors, span_of(text));
    strbuf_adds(errors, "\n");
}

bool settings_read(struct settings *s, char *(*get)(const char *name), struct strbuf *errors)
{
    size_t before = errors->len;

    s->listen = get(LISTEN_VARIABLE);
    if (s->listen == NULL)
        s->listen = LISTEN_DEFAULT;
    if (s->listen[0] == '\0')
        strbuf_adds(errors, LISTEN_VARIABLE " expects an address, got \"\"\n");
    read_order(s, get(ORDER_VARIABLE), errors);
    for (size_t i = 0; i < NUMBERS; i++)
        read_number(s, &numbers[i], get(numbers[i].name), errors);
    return errors->len == before;
}

/* ---- the paths ------------------------------------------------------------------------------ */

#define P(name)    (1u << PARAM_##name)
#define WORK       (P(MS) | P(CPU_MS) | P(BYTES))
#define UNREAD     (1u << PARAMS) /* the query is not read */
#define LOOP(h, n) n, HANDLER_##h, ROUTE_LOOP
#define POOL(h, n) n, HANDLER_##h, ROUTE_POOL

/* An English path is another name of the same handler. */
static const struct route routes[] = {
    {"/usuarios", LOOP(USUARIOS, "usuarios"), METHODS_READ, WORK, handle_usuarios},
    {"/users", LOOP(USUARIOS, "usuarios"), METHODS_READ, WORK, handle_usuarios},
    {"/produtos", POOL(PRODUTOS, "produtos"), METHODS_READ, WORK, handle_produtos},
    {"/products", POOL(PRODUTOS, "produtos"), METHODS_READ, WORK, handle_produtos},
    {"/bloqueante", LOOP(BLOQUEANTE, "bloqueante"), METHODS_READ, WORK, handle_bloqueante},
    {"/blocking", LOOP(BLOQUEANTE, "bloqueante"), METHODS_READ, WORK, handle_bloqueante},
    {"/ping", LOOP(PING, "ping"), METHODS_READ, P(CPU_MS) | P(BYTES), handle_ping},
    {"/echo", LOOP(ECHO, "echo"), METHODS_ANY, UNREAD, handle_echo},
    {"/reset", LOOP(NONE, "reset"), METHODS_POST, 0, handle_reset},
    {"/metrics", LOOP(NONE, "metrics"), METHODS_READ, 0, handle_metrics},
};

static const struct route no_route = {"", LOOP(OTHER, "other"), METHODS_ANY, UNREAD,
                                      handle_not_found};

#define ROUTES (sizeof(routes) / sizeof(routes[0]))

const struct route *route_find(struct span path)
{
    for (size_t i = 0; i < ROUTES; i++) {
        if (span_equal(path, span_of(routes[i].path)))
            return &routes[i];
    }
    return &no_route;
}

bool route_allows(const struct route *r, struct span method)
{
    switch (r->methods) {
    case METHODS_READ:
        return span_equal(method, SPAN("GET")) || span_equal(method, SPAN("HEAD"));
    case METHODS_POST:
        return span_equal(method, SPAN("POST"));
    case METHODS_ANY:
        return true;
    }
    return false;
}

const char *route_allow_field(const struct route *r)
{
    return r->methods == METHODS_POST ? "POST" : "GET, HEAD";
}

const char *handler_name(enum handler h)
{
    for (size_t i = 0; i < ROUTES; i++) {
        if (routes[i].handler == h)
            return routes[i].name;
    }
    return no_route.name;
}

/* ---- the parameters ------------------------------------------------------------------------- */

static const struct parameter_rule {
    const char *name;
    unsigned highest;
    const char *help;
} parameters[PARAMS] = {
    [PARAM_MS] = {"ms", MS_MAX, "wait or sleep for this many milliseconds"},
    [PARAM_CPU_MS] = {"cpu_ms", 10000, "use this many milliseconds of CPU time"},
    [PARAM_BYTES] = {"bytes", 64 << 20, "pad the response body by this many bytes"},
};

unsigned route_default_ms(const struct route *r, const struct settings *s)
{
    switch (r->handler) {
    case HANDLER_USUARIOS:
        return s->usuarios_ms;
    case HANDLER_PRODUTOS:
        return s->produtos_ms;
    case HANDLER_BLOQUEANTE:
        return s->bloqueante_ms;
    case HANDLER_PING:
    case HANDLER_ECHO:
    case HANDLER_OTHER:
    case HANDLER_NONE:
        return 0;
    }
    return 0;
}

static bool read_value(struct params *p, const struct route *r, unsigned which, struct span value,
                       struct strbuf *error)
{
    const struct parameter_rule *rule = &parameters[which];

    if (!(r->parameters & 1u << which)) {
        strbuf_addf(error, "%s has no effect on %s", rule->name, r->path);
        return false;
    }
    if (parse_number(value, 0, rule->highest, &p->value[which]))
        return true;
    strbuf_addf(error, "%s expects an integer from 0 to %u, got \"%.*s\"", rule->name,
                rule->highest, SPAN_PRINTF(value));
    return false;
}

/* One name=value of a query. */
static bool read_pair(struct params *p, const struct route *r, struct span pair,
                      struct strbuf *error)
{
    const char *equals = pair.len > 0 ? memchr(pair.at, '=', pair.len) : NULL;
    size_t name_len = equals != NULL ? (size_t)(equals - pair.at) : pair.len;
    struct span name = {pair.at, name_len};
    struct span value = SPAN("");

    if (equals != NULL)
        value = (struct span){equals + 1, pair.len - name_len - 1};
    for (unsigned i = 0; i < PARAMS; i++) {
        if (span_equal(name, span_of(parameters[i].name)))
            return read_value(p, r, i, value, error);
    }
    return true;
}

bool params_read(struct params *p, const struct route *r, struct span query, struct strbuf *error)
{
    if (r->parameters & UNREAD)
        return true;
    while (query.len > 0) {
        const char *amp = memchr(query.at, '&', query.len);
        size_t len = amp != NULL ? (size_t)(amp - query.at) : query.len;
        size_t step = amp != NULL ? len + 1 : len;

        if (!read_pair(p, r, (struct span){query.at, len}, error))
            return false;
        query = (struct span){query.at + step, query.len - step};
    }
    return true;
}

/* ---- help ----------------------------------------------------------------------------------- */

static void help_of_parameters(struct strbuf *out)
{
    strbuf_adds(out, "\nQuery parameters, integers from 0:\n");
    for (size_t i = 0; i < PARAMS; i++)
        strbuf_addf(out, "  %-8s up to %-9u %s\n", parameters[i].name, parameters[i].highest,
                    parameters[i].help);
}

void settings_help(struct strbuf *out)
{
    strbuf_adds(out, "Environment:\n"
                     "  BACKEND_LISTEN          host:port, :port, [v6]:port or unix:/path [:8000]\n"
                     "  BACKEND_POOL_ORDER      order of waiting requests: fifo or lifo [fifo]\n");
    for (size_t i = 0; i < NUMBERS; i++)
        strbuf_addf(out, "  %-23s %s, %u to %u [%u]\n", numbers[i].name, numbers[i].help,
                    numbers[i].lowest, numbers[i].highest, numbers[i].usual);
    help_of_parameters(out);
}
