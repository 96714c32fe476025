/*
 * The table, and reading and writing values by type. A new option needs a field in struct config
 * and a row here.
 */
#include "proxy/options.h"

#include <stdio.h>
#include <stdlib.h>

#define FIELD(f) offsetof(struct config, f), sizeof(((struct config *)NULL)->f)
#define MS       1000u
#define SECOND   (1000u * MS)
#define HOUR     (UINT64_C(3600) * SECOND)
#define KIB      UINT64_C(1024)
#define MIB      (1024 * KIB)
#define GIB      (1024 * MIB)

#define PORT_MAX   65535
#define BLOCKS_MAX 256
#define COUNT_MAX  1000000
#define PATHS_MAX  64
#define MODE_MAX   0777
#define SECRET_MIN 16 /* characters; a shorter one could be guessed */

/* The forwarded head must fit into LOOP_SCRATCH, including a request id, a date and timing. */
#define RESPONSE_HEAD_MAX (60 * KIB)

/* clang-format off */
const struct option option_table[] = {
    {"listen", OPTION_ADDRESS, FIELD(listen), 0, PORT_MAX, .preset = ":8080", .platform = "PORT",
     .also = "port bind address addr",
     .restart = "the socket is bound at startup",
     .help = "address that clients connect to; \":port\" means all addresses, including IPv6 if "
             "available"},
    {"listen_mode", OPTION_MODE, FIELD(listen.mode), 1, MODE_MAX, .special = "umask",
     .preset = "umask", .also = "mode socket_mode permissions listen_permissions",
     .restart = "the socket is bound at startup",
     .help = "permissions of the Unix socket that \"listen\" names, such as 0660; \"umask\" "
             "applies the process's umask"},
    {"threads", OPTION_COUNT, FIELD(threads), 1, 64, .preset = "1", .also = "workers nbthread",
     .restart = "the threads are created at startup",
     .help = "number of worker threads; each has its own connections to the app"},
    {"upstream.address", OPTION_ADDRESS, FIELD(upstream.address), 1, PORT_MAX,
     .computed = "none; required", .also = "url host backend app server target",
     .restart = "the queue and the slots belong to one app",
     .help = "address of the app; \":port\" means 127.0.0.1:port"},
    {"upstream.connect_timeout", OPTION_DURATION, FIELD(upstream.connect_timeout), MS, HOUR,
     .preset = "2s",
     .help = "maximum time for the app to accept a connection"},
    {"upstream.first_byte_timeout", OPTION_DURATION, FIELD(upstream.first_byte_timeout), MS,
     24 * HOUR, .preset = "300s", .also = "timeout response_timeout read_timeout ttfb_timeout",
     .help = "maximum time from the request to the first byte of the response; each interim "
             "response (1xx) restarts it"},
    {"upstream.idle_timeout", OPTION_DURATION, FIELD(upstream.idle_timeout), MS, 24 * HOUR,
     .preset = "300s",
     .help = "maximum time without data in either direction once a response has begun; also the "
             "maximum time during which the app reads nothing from a request"},
    {"upstream.orphan_timeout", OPTION_DURATION, FIELD(upstream.orphan_timeout), 0, 24 * HOUR,
     .preset = "1s", .also = "abort_timeout stream_timeout",
     .help = "with on_client_abort \"auto\", how long weir continues to read a response of unknown "
             "length after its client has disconnected, before the connection to the app is "
             "closed; has no effect above upstream.idle_timeout"},
    {"upstream.keepalive_timeout", OPTION_DURATION, FIELD(upstream.keepalive_timeout), MS, HOUR,
     .preset = "4s", .also = "keep_alive keepalive",
     .help = "how long an idle connection to the app is kept open; must be shorter than the "
             "app's own keep-alive timeout"},
    {"upstream.max_connections", OPTION_COUNT, FIELD(upstream.max_connections), 1, COUNT_MAX,
     .special = "limit", .preset = "limit", .also = "connections maxconn pool_size pool",
     .help = "maximum number of connections to the app; \"limit\" is the value of concurrency, "
             "which is also the upper bound; a lower value limits the requests inside the app as "
             "well"},
    {"upstream.max_head", OPTION_SIZE, FIELD(upstream.max_head), KIB, RESPONSE_HEAD_MAX,
     .preset = "48KiB", .also = "max_header max_header_size max_header_bytes head_size buffer_size",
     .help = "maximum size of the status line and headers of a response; larger ones result in "
             "502"},
    {"upstream.max_headers", OPTION_COUNT, FIELD(upstream.max_headers), 1, 256,
     .preset = "256", .also = "max_fields max_header_count",
     .help = "maximum number of header fields in a response; a response with more results in 502"},
    {"concurrency", OPTION_COUNT, FIELD(concurrency), 1, COUNT_MAX, .special = "unlimited",
     .preset = "80", .platform = "CONTAINER_CONCURRENCY",
     .also = "limit max_concurrency container_concurrency maxconn max_requests",
     .at_zero = "0 means \"no limit\" in some programs and \"nothing\" in others: "
                "use \"unlimited\", or 1 or more",
     .help = "maximum number of requests inside the app at once"},
    {"queue.length", OPTION_COUNT, FIELD(queue.length), 0, COUNT_MAX,
     .computed = "10 x concurrency, or 1000",
     .also = "max_depth depth size max_length max_size capacity max limit",
     .help = "maximum number of requests in the queue; with 0, a request is refused at once if "
             "no slot is free"},
    {"queue.timeout", OPTION_DURATION, FIELD(queue.timeout), MS, HOUR, .preset = "10s",
     .also = "max_wait wait max_age deadline",
     .help = "maximum time that a request waits for a slot"},
    {"queue.max_bytes", OPTION_SIZE, FIELD(queue.max_bytes), 64 * KIB, 64 * GIB, .preset = "64MiB",
     .also = "bytes memory max_memory",
     .help = "maximum total size of all waiting requests"},
    {"overload.status", OPTION_CODE, FIELD(overload.status), .words = "503 429", .preset = "503",
     .also = "code status_code",
     .help = "status of the response to a request that is refused for lack of capacity"},
    {"on_client_abort", OPTION_WORD, FIELD(on_client_abort), .words = "auto finish close",
     .preset = "auto", .also = "client_abort on_abort abort_on_close",
     .help = "what happens when a client disconnects while the app is working on its request: "
             "\"finish\" lets the app finish and holds the slot until then; \"close\" closes the "
             "connection to the app, for apps that then stop working on the request; \"auto\" acts "
             "like \"finish\", except that it closes the connection upstream.orphan_timeout after "
             "the client has left if a response of unknown length (an event stream) has begun, and "
             "at once if an upgrade has not been answered"},
    {"bypass.paths", OPTION_PATHS, FIELD(bypass.paths), 0, PATHS_MAX, .preset = "", .empty = "none",
     .also = "path urls health_checks health_paths exclude",
     .help = "paths whose requests do not wait in the queue, for health checks through weir's own "
             "port: they have bypass.concurrency slots of their own; each is compared exactly, "
             "without the query and without decoding"},
    {"bypass.concurrency", OPTION_COUNT, FIELD(bypass.concurrency), 1, COUNT_MAX, .preset = "4",
     .also = "limit max_concurrency max_requests max",
     .help = "maximum number of requests to bypass.paths inside the app at once, in addition to "
             "concurrency; additional ones wait in a queue of their own, with the bounds of queue"},
    {"client.max_connections", OPTION_COUNT, FIELD(client.max_connections), 1, COUNT_MAX,
     .preset = "4096", .also = "connections maxconn",
     .help = "maximum number of client connections; when it is reached, the connections that "
             "have been idle longest are closed to make room for new clients"},
    {"client.head_timeout", OPTION_DURATION, FIELD(client.head_timeout), MS, HOUR, .preset = "10s",
     .also = "header_timeout read_header_timeout",
     .help = "maximum time for a client to send the request line and headers"},
    {"client.body_timeout", OPTION_DURATION, FIELD(client.body_timeout), MS, HOUR, .preset = "30s",
     .also = "read_timeout timeout",
     .help = "maximum pause within a request body, until the app's response begins (interim "
             "responses do not count); also the maximum time for the whole body, plus one second "
             "for every 500 bytes received"},
    {"client.send_timeout", OPTION_DURATION, FIELD(client.send_timeout), MS, HOUR, .preset = "60s",
     .also = "write_timeout",
     .help = "maximum time during which a client reads nothing from a response, or less than 500 "
             "bytes per second, before its connection is closed; also the maximum time that it "
             "may keep sending after the last response on its connection"},
    {"client.stall_timeout", OPTION_DURATION, FIELD(client.stall_timeout), MS, HOUR, .preset = "5s",
     .also = "stall stalled_timeout",
     .help = "maximum time during which a client reads nothing, or less than 500 bytes per "
             "second, from a response that still holds a slot (one larger than buffers.response) "
             "while another request waits for a slot; has no effect above client.send_timeout"},
    {"client.keepalive_timeout", OPTION_DURATION, FIELD(client.keepalive_timeout), MS, 24 * HOUR,
     .preset = "75s", .also = "idle_timeout keep_alive keepalive",
     .help = "how long a client connection may be idle between requests"},
    {"client.max_head", OPTION_SIZE, FIELD(client.max_head), KIB, 48 * KIB, .preset = "32KiB",
     .also = "max_header max_header_size max_header_bytes head_size",
     .help = "maximum size of the request line and headers; larger ones result in 431"},
    {"client.max_headers", OPTION_COUNT, FIELD(client.max_headers), 1, 256, .preset = "100",
     .also = "max_fields max_header_count",
     .help = "maximum number of header fields in a request"},
    {"client.max_body", OPTION_SIZE, FIELD(client.max_body), 0, 1024 * GIB,
     .special = "unlimited", .preset = "unlimited",
     .also = "max_body_size client_max_body_size body_size max_request",
     .help = "maximum size of a request body; a larger one results in 413"},
    {"client.half_close", OPTION_WORD, FIELD(client.half_close), .words = "abort allow",
     .preset = "abort",
     .help = "how to treat a client that closes its sending side while it waits for a response: "
             "\"abort\" as disconnected, \"allow\" as still reading"},
    {"buffers.request", OPTION_SIZE, FIELD(buffers.request), 4 * KIB, 64 * KIB, .preset = "64KiB",
     .also = "request_buffer",
     .help = "how much of a request body is buffered before the request asks for a slot, so that "
             "a slow upload does not hold one; applies while few slots are free"},
    {"buffers.response", OPTION_SIZE, FIELD(buffers.response), 16 * KIB, 64 * MIB,
     .preset = "256KiB", .also = "response_buffer size",
     .help = "how much of a response is buffered for a slow client, so that the app can finish "
             "early"},
    {"buffers.budget", OPTION_SIZE, FIELD(buffers.budget), MIB, 64 * GIB, .preset = "64MiB",
     .also = "total max_total max limit",
     .help = "maximum total size of all buffers; when it is used up, buffers shrink and "
             "bodies are streamed at the speed of the slower side"},
    {"upgrades.max", OPTION_COUNT, FIELD(upgrades.max), 0, COUNT_MAX, .special = "limit-1",
     .preset = "limit-1", .also = "limit max_connections websockets tunnels",
     .help = "maximum number of upgraded connections (WebSocket), each of which holds a slot "
             "until it closes; \"limit-1\" is one less than concurrency (or "
             "upstream.max_connections, if lower), but at least 1; 0 refuses them"},
    {"upgrades.idle_timeout", OPTION_DURATION, FIELD(upgrades.idle_timeout), MS, 24 * HOUR,
     .preset = "300s", .also = "timeout tunnel_timeout",
     .help = "how long an upgraded connection may be idle in both directions"},
    {"headers.forwarded", OPTION_WORD, FIELD(headers.forwarded), .words = "append replace off",
     .preset = "append", .also = "x_forwarded_for forwarded_for",
     .help = "what happens to X-Forwarded-*, Forwarded and X-Real-IP: \"append\" keeps them from "
             "trusted clients, removes them from others, and adds X-Forwarded-For, -Proto and "
             "-Host; \"replace\" removes them all and sets weir's own; \"off\" leaves them "
             "unchanged"},
    {"headers.trusted", OPTION_RANGES, FIELD(headers.trusted), 0, BLOCKS_MAX, .preset = "private",
     .words = "private loopback", .empty = "none", .also = "trusted_proxies trusted_ips trust",
     .help = "addresses of the clients whose forwarding headers are trusted; an empty list "
             "(\"none\" in a flag or the environment) trusts no client, which is needed if every "
             "client appears to have a private address, as behind a published container port"},
    {"headers.underscores", OPTION_WORD, FIELD(headers.underscores), .words = "drop pass",
     .preset = "drop", .also = "underscores_in_headers",
     .help = "whether request headers with \"_\" in their names are dropped or passed; CGI and "
             "WSGI cannot tell them from names with \"-\", or treat them as their own "
             "variables (SCRIPT_NAME)"},
    {"headers.request_id", OPTION_FIELD, FIELD(headers.request_id), .preset = "X-Request-Id",
     .help = "name of the header that carries the request ID; \"\" for none"},
    {"headers.request_start", OPTION_BOOL, FIELD(headers.request_start), .preset = "true",
     .help = "add X-Request-Start: t=<microseconds> to requests that lack it"},
    {"headers.server_timing", OPTION_BOOL, FIELD(headers.server_timing), .preset = "false",
     .also = "timing",
     .help = "report in Server-Timing how long the request was queued and how long the app took "
             "to begin its response"},
    {"startup.probe", OPTION_PATH, FIELD(startup.probe), .words = "tcp none", .empty = "none",
     .preset = "tcp",
     .help = "how weir detects that the app has started, and that it is back after being down: "
             "\"tcp\" connects to it; with a path, weir requests it with GET, and any status below "
             "500 means ready; \"none\" (or \"\") assumes that the app has started"},
    {"startup.timeout", OPTION_DURATION, FIELD(startup.timeout), 100 * MS, HOUR, .preset = "240s",
     .help = "how long requests wait for the app to start; after that, they are refused"},
    {"health.path", OPTION_PATH, FIELD(health.path), .preset = "",
     .also = "check probe uri url endpoint",
     .help = "path that weir requests regularly while the app is up, on a connection of its own; "
             "a status of 500 or above, or none, is a failure; \"\" for no checks"},
    {"health.interval", OPTION_DURATION, FIELD(health.interval), 100 * MS, HOUR, .preset = "2s",
     .also = "period every",
     .help = "time from the end of one check to the next"},
    {"health.timeout", OPTION_DURATION, FIELD(health.timeout), MS, HOUR, .preset = "1s",
     .help = "maximum time for the response to a check"},
    {"health.unhealthy_after", OPTION_COUNT, FIELD(health.unhealthy_after), 1, 1000, .preset = "3",
     .also = "fall failures failure_threshold max_fails",
     .help = "number of failures in a row after which the app counts as down; a refused "
             "connection counts at once"},
    {"health.healthy_after", OPTION_COUNT, FIELD(health.healthy_after), 1, 1000, .preset = "1",
     .also = "rise successes success_threshold",
     .help = "number of successes in a row after which an app that had failed its checks counts "
             "as up again"},
    {"drain.delay", OPTION_DURATION, FIELD(drain.delay), 0, HOUR, .preset = "5s",
     .also = "pre_stop pre_stop_delay shutdown_delay announce",
     .help = "how long weir still accepts connections once a drain has begun, while balancers "
             "learn of it; part of drain.timeout, and at most half of it"},
    {"drain.timeout", OPTION_DURATION, FIELD(drain.timeout), 0, HOUR, .preset = "25s",
     .also = "grace_period shutdown_timeout grace",
     .help = "how long a drain may take in all; after that, weir cuts off the rest"},
    {"admin.listen", OPTION_ADDRESS, FIELD(admin.listen), 0, PORT_MAX, .special = "off",
     .preset = ":9480", .also = "port bind address",
     .restart = "the socket is bound at startup",
     .help = "address of the admin port, which serves /metrics, /status and the probes"},
    {"admin.listen_mode", OPTION_MODE, FIELD(admin.listen.mode), 1, MODE_MAX, .special = "umask",
     .preset = "umask", .also = "mode socket_mode permissions listen_permissions",
     .restart = "the socket is bound at startup",
     .help = "permissions of the Unix socket that \"admin.listen\" names"},
    {"admin.writable", OPTION_BOOL, FIELD(admin.writable), .preset = "false",
     .also = "write mutable changes",
     .help = "whether `weir set` and PATCH /config may change options while weir is running; they "
             "require the same rights as draining"},
    {"admin.token", OPTION_SECRET, FIELD(admin.token), SECRET_MIN, 0, .preset = "",
     .also = "secret password key",
     .help = "secret with which any client may drain, pause, resume and change weir through the "
             "admin port, as Authorization: Bearer TOKEN; \"\" for none"},
    {"admin.allow", OPTION_RANGES, FIELD(admin.allow), 0, BLOCKS_MAX, .preset = "",
     .words = "private loopback", .empty = "none", .also = "allowed allow_from trusted",
     .help = "addresses of the clients that may drain, pause, resume and change weir through the "
             "admin port without the token, and may send GET /drain; programs on the same machine "
             "always may, through loopback or a Unix socket"},
    {"watch", OPTION_BOOL, FIELD(watch), .preset = "false", .also = "watch_config auto_reload",
     .help = "reload the configuration file when it changes; SIGHUP reloads it in any case"},
    {"log.level", OPTION_WORD, FIELD(log.level), .words = "error warning info debug",
     .preset = "info",
     .help = "lowest severity that is logged"},
    {"log.format", OPTION_WORD, FIELD(log.format), .words = "auto text json", .preset = "auto",
     .help = "format of the log; \"auto\" is text on a terminal and JSON elsewhere"},
    {"profile", OPTION_WORD, FIELD(profile), .words = "none cloudrun", .empty = "none",
     .preset = "none", .also = "platform preset",
     .help = "defaults for a platform; \"cloudrun\" sets overload.status 429, drain.delay 0s and "
             "drain.timeout 9s, unless they are set"},
};
/* clang-format on */
const size_t option_count = sizeof(option_table) / sizeof(option_table[0]);

const char option_reserved_fields[] =
    "connection content-length content-type cookie daphne-root-path date expect forwarded host "
    "keep-alive proxy proxy-* te trailer transfer-encoding upgrade via weir-reason x-forwarded-* "
    "x-real-ip x-request-start";

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit time_units[] = {
    {"us", 1}, {"ms", MS}, {"s", SECOND}, {"m", UINT64_C(60) * SECOND}, {"h", HOUR}, {NULL, 0},
};

static const struct unit size_units[] = {
    {"B", 1},     {"kB", 1000},        {"KiB", KIB}, {"MB", 1000000},
    {"MiB", MIB}, {"GB", 1000000000u}, {"GiB", GIB}, {NULL, 0},
};

/* ---- names ---------------------------------------------------------------------------------- */

const struct option *option_find(struct span path)
{
    for (size_t i = 0; i < option_count; i++) {
        if (span_equal(path, span_of(option_table[i].path)))
            return &option_table[i];
    }
    return NULL;
}

/* The path after which the flag and the variable are named: upstream.address is so common that it
 * has the name of its section, as in the file. */
static struct span short_path(const struct option *o)
{
    struct span path = span_of(o->path);

    if (strcmp(o->path, "upstream.address") == 0)
        path.len = strlen("upstream");
    return path;
}

static char flag_char(char c)
{
    return c == '.' || c == '_' ? '-' : c;
}

static char env_char(char c)
{
    return c == '.' ? '_' : c >= 'a' && c <= 'z' ? (char)(c & ~0x20) : c;
}

static void add_mapped(struct span s, char (*map)(char), struct strbuf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = map(s.at[i]);
        strbuf_add(out, &c, 1);
    }
}

void option_flag_name(const struct option *o, struct strbuf *out)
{
    add_mapped(short_path(o), flag_char, out);
}

void option_env_name(const struct option *o, struct strbuf *out)
{
    strbuf_adds(out, "WEIR_");
    add_mapped(short_path(o), env_char, out);
}

bool option_env_alias(const struct option *o, struct strbuf *out)
{
    struct span path = span_of(o->path);

    if (span_equal(short_path(o), path))
        return false;
    strbuf_adds(out, "WEIR_");
    add_mapped(path, env_char, out);
    return true;
}

static bool is_flag_of(struct span path, struct span name)
{
    if (path.len != name.len)
        return false;
    for (size_t i = 0; i < path.len; i++) {
        if (flag_char(path.at[i]) != name.at[i])
            return false;
    }
    return true;
}

const struct option *option_of_flag(struct span name)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (is_flag_of(short_path(o), name) || is_flag_of(span_of(o->path), name))
            return o;
    }
    return NULL;
}

struct span option_section(const struct option *o)
{
    const char *dot = strrchr(o->path, '.');
    return (struct span){o->path, dot == NULL ? 0 : (size_t)(dot - o->path)};
}

struct span option_leaf(const struct option *o)
{
    const char *dot = strrchr(o->path, '.');
    return span_of(dot == NULL ? o->path : dot + 1);
}

static struct span words_of(const char *list)
{
    return span_of(list == NULL ? "" : list);
}

/* ---- reading -------------------------------------------------------------------------------- */

static void *place(const struct option *o, struct config *c)
{
    return (char *)c + o->at;
}

static const void *place_const(const struct option *o, const struct config *c)
{
    return (const char *)c + o->at;
}

/* All numbers in struct config are unsigned except mono_us, which is never negative here. */
static void store(const struct option *o, struct config *c, uint64_t n)
{
    uint32_t narrow = (uint32_t)n;

    if (o->width == sizeof(narrow))
        memcpy(place(o, c), &narrow, sizeof(narrow));
    else
        memcpy(place(o, c), &n, sizeof(n));
}

static uint64_t load(const struct option *o, const struct config *c)
{
    uint32_t narrow;
    uint64_t n;

    if (o->width == sizeof(n)) {
        memcpy(&n, place_const(o, c), sizeof(n));
        return n;
    }
    memcpy(&narrow, place_const(o, c), sizeof(narrow));
    return narrow;
}

/* The value of the special word, in the width of the option. */
static uint64_t special_value(const struct option *o)
{
    return o->width == sizeof(uint32_t) ? UINT32_MAX : UINT64_MAX;
}

static size_t count_digits(struct span s)
{
    size_t n = 0;
    while (n < s.len && s.at[n] >= '0' && s.at[n] <= '9')
        n++;
    return n;
}

/* All of `s` must be digits. A number that is too large becomes UINT64_MAX, outside all ranges. */
static enum option_verdict read_digits(struct span s, uint64_t *n)
{
    if (s.len == 0 || count_digits(s) != s.len || (s.len > 1 && s.at[0] == '0'))
        return OPTION_MALFORMED;
    *n = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(s.at[i] - '0');
        if (*n > (UINT64_MAX - digit) / 10) {
            *n = UINT64_MAX;
            return OPTION_READ;
        }
        *n = *n * 10 + digit;
    }
    return OPTION_READ;
}

static const struct unit *units_of(const struct option *o)
{
    return o->type == OPTION_DURATION ? time_units : size_units;
}

const char *option_unit(const struct option *o, size_t i, uint64_t *factor)
{
    *factor = units_of(o)[i].factor;
    return units_of(o)[i].name;
}

static enum option_verdict read_quantity(const struct option *o, struct span text, uint64_t *n)
{
    size_t digits = count_digits(text);
    struct span name = {text.at + digits, text.len - digits};
    const struct unit *u = units_of(o);

    while (u->name != NULL && !span_equal(name, span_of(u->name)))
        u++;
    if (u->name == NULL || read_digits((struct span){text.at, digits}, n) != OPTION_READ)
        return OPTION_MALFORMED;
    *n = *n > UINT64_MAX / u->factor ? UINT64_MAX : *n * u->factor;
    return OPTION_READ;
}

bool option_read_duration(struct span text, mono_us *out)
{
    static const struct option any = {.type = OPTION_DURATION};
    uint64_t n;

    if (read_quantity(&any, text, &n) != OPTION_READ || n > HOUR)
        return false;
    *out = (mono_us)n;
    return true;
}

static enum option_verdict read_number(const struct option *o, struct span text, struct config *c)
{
    uint64_t n = 0;

    if (o->special != NULL && span_equal(text, span_of(o->special))) {
        store(o, c, special_value(o));
        return OPTION_READ;
    }
    enum option_verdict verdict =
        o->type == OPTION_COUNT ? read_digits(text, &n) : read_quantity(o, text, &n);
    if (verdict != OPTION_READ)
        return verdict;
    if (n < o->min || n > o->max)
        return OPTION_OUT_OF_RANGE;
    store(o, c, n);
    return OPTION_READ;
}

/* "0660" or "660", as for chmod. */
static enum option_verdict read_mode(const struct option *o, struct span text, struct config *c)
{
    uint64_t mode = 0;

    if (span_equal(text, span_of(o->special))) {
        store(o, c, 0);
        return OPTION_READ;
    }
    if (text.len < 3 || text.len > 4)
        return OPTION_MALFORMED;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '7')
            return OPTION_MALFORMED;
        mode = mode << 3 | (uint64_t)(text.at[i] - '0');
    }
    if (mode < o->min || mode > o->max)
        return OPTION_OUT_OF_RANGE;
    store(o, c, mode);
    return OPTION_READ;
}

static enum option_verdict read_word(const struct option *o, struct span text, struct config *c)
{
    struct span list = words_of(o->words), word;

    if (text.len == 0 && o->empty != NULL)
        text = span_of(o->empty);
    for (unsigned i = 0; next_word(&list, &word); i++) {
        if (!span_equal(word, text))
            continue;
        uint64_t n = i;
        if (o->type == OPTION_CODE)
            (void)read_digits(word, &n);
        store(o, c, n);
        return OPTION_READ;
    }
    return OPTION_MALFORMED;
}

static enum option_verdict read_bool(const struct option *o, struct span text, struct config *c)
{
    bool yes = span_equal(text, SPAN("true"));

    if (!yes && !span_equal(text, SPAN("false")))
        return OPTION_MALFORMED;
    *(bool *)place(o, c) = yes;
    return OPTION_READ;
}

static bool is_field_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Equal as far as CGI and WSGI are concerned, which ignore case and do not distinguish `-` from
 * `_`. */
static bool folds_equal(struct span word, struct span text)
{
    if (word.len != text.len)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        char c = text.at[i] == '_' ? '-' : span_lower(text.at[i]);
        if (c != word.at[i])
            return false;
    }
    return true;
}

static bool is_reserved(struct span text)
{
    struct span list = span_of(option_reserved_fields), word;

    while (next_word(&list, &word)) {
        struct span start = {word.at, word.len - 1};
        if (folds_equal(word, text))
            return true;
        if (word.at[start.len] == '*' && text.len >= start.len &&
            folds_equal(start, (struct span){text.at, start.len}))
            return true;
    }
    return false;
}

static enum option_verdict read_field(const struct option *o, struct span text, struct config *c)
{
    char *to = place(o, c);

    if (text.len >= o->width || is_reserved(text))
        return OPTION_MALFORMED;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_field_char(text.at[i]))
            return OPTION_MALFORMED;
    }
    memset(to, 0, o->width);
    if (text.len > 0)
        memcpy(to, text.at, text.len);
    return OPTION_READ;
}

/* token68 (RFC 9110 section 11.2), so that it fits into an Authorization header unchanged. */
static bool is_secret_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("-._~+/=", c) != NULL);
}

static enum option_verdict read_secret(const struct option *o, struct span text, struct config *c)
{
    char *to = place(o, c);

    if (text.len > 0 && (text.len < o->min || text.len >= o->width))
        return OPTION_MALFORMED;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_secret_char(text.at[i]))
            return OPTION_MALFORMED;
    }
    memset(to, 0, o->width);
    if (text.len > 0)
        memcpy(to, text.at, text.len);
    return OPTION_READ;
}

/* A path and query as in a request line (RFC 9110 section 4.1), or one of the words. */
static enum option_verdict read_path_or_word(const struct option *o, struct span text,
                                             struct config *c)
{
    struct span list = words_of(o->words), word;
    bool is_word = false;
    char *to = place(o, c);

    if (text.len == 0 && o->empty != NULL)
        text = span_of(o->empty);
    while (next_word(&list, &word))
        is_word = is_word || span_equal(word, text);
    if (text.len >= o->width || (text.len > 0 && !is_word && text.at[0] != '/'))
        return OPTION_MALFORMED;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] <= ' ' || text.at[i] > '~' || strchr("#\"<>\\^`{|}", text.at[i]) != NULL)
            return OPTION_MALFORMED;
    }
    memset(to, 0, o->width);
    if (text.len > 0)
        memcpy(to, text.at, text.len);
    return OPTION_READ;
}

/* ---- addresses ------------------------------------------------------------------------------ */

static enum option_verdict check_address(const struct option *o, struct span text)
{
    switch (address_check(text, (unsigned)o->min, (unsigned)o->max)) {
    case ADDRESS_OK:
        return OPTION_READ;
    case ADDRESS_BAD_PORT:
        return OPTION_OUT_OF_RANGE;
    case ADDRESS_MALFORMED:
    case ADDRESS_PATH_TOO_LONG:
        break;
    }
    return OPTION_MALFORMED;
}

static enum option_verdict read_address(const struct option *o, struct span text, struct config *c)
{
    struct address *to = place(o, c);
    bool special = o->special != NULL && span_equal(text, span_of(o->special));
    enum option_verdict verdict = special ? OPTION_READ : check_address(o, text);

    if (verdict != OPTION_READ)
        return verdict;
    address_set(to, text);
    return OPTION_READ;
}

bool option_resolve(const struct option *o, struct config *c, struct strbuf *why)
{
    struct address *a = place(o, c);
    bool connects = strcmp(o->path, "upstream.address") == 0;

    if (a->text[0] == '\0' || (o->special != NULL && strcmp(a->text, o->special) == 0))
        return true;
    return address_resolve(a, connects ? ADDRESS_CONNECT : ADDRESS_LISTEN, why);
}

/* ---- ranges of addresses -------------------------------------------------------------------- */

static struct cidr_list *list_in(const struct option *o, struct config *c)
{
    return place(o, c);
}

static const struct cidr_list *list_of(const struct option *o, const struct config *c)
{
    return place_const(o, c);
}

static void clear_ranges(struct cidr_list *list)
{
    free(list->at);
    *list = (struct cidr_list){.at = NULL};
}

/* The index of the word; past the last: none. */
static unsigned word_index(const struct option *o, struct span text)
{
    struct span list = words_of(o->words), word;
    unsigned i = 0;

    while (next_word(&list, &word) && !span_equal(word, text))
        i++;
    return i;
}

static bool read_name(const struct option *o, struct span text, struct cidr *range)
{
    unsigned i = word_index(o, text);

    if (i >= CIDR_NAMES)
        return false;
    *range = cidr_named((enum cidr_name)i);
    return true;
}

static enum option_verdict read_range(const struct option *o, struct span text, struct config *c)
{
    struct cidr range;

    if (!read_name(o, text, &range) && !cidr_parse(text, &range))
        return OPTION_MALFORMED;
    struct cidr_list *list = list_in(o, c);
    if (list->n >= o->max)
        return OPTION_OUT_OF_RANGE;
    struct cidr *grown = realloc(list->at, (list->n + 1) * sizeof(range));
    CHECK(grown != NULL);
    grown[list->n] = range;
    *list = (struct cidr_list){grown, list->n + 1};
    return OPTION_READ;
}

static struct span trim(struct span s)
{
    while (s.len > 0 && s.at[0] == ' ')
        s = (struct span){s.at + 1, s.len - 1};
    while (s.len > 0 && s.at[s.len - 1] == ' ')
        s.len--;
    return s;
}

/* ---- lists ---------------------------------------------------------------------------------- */

bool option_is_list(const struct option *o)
{
    return o->type == OPTION_RANGES || o->type == OPTION_PATHS;
}

static enum option_verdict read_path(const struct option *o, struct span text, struct config *c)
{
    struct paths *paths = place(o, c);

    if (!paths_is_valid(text))
        return OPTION_MALFORMED;
    if (paths->n >= o->max)
        return OPTION_OUT_OF_RANGE;
    paths_add(paths, text);
    return OPTION_READ;
}

enum option_verdict option_read_element(const struct option *o, struct span text, struct config *c)
{
    return o->type == OPTION_PATHS ? read_path(o, text, c) : read_range(o, text, c);
}

void option_clear_list(const struct option *o, struct config *c)
{
    if (o->type == OPTION_PATHS)
        paths_clear(place(o, c));
    else
        clear_ranges(list_in(o, c));
}

void option_clear(struct config *c)
{
    for (size_t i = 0; i < option_count; i++) {
        if (option_is_list(&option_table[i]))
            option_clear_list(&option_table[i], c);
    }
}

/* Takes the next element from a list in the form of a flag. */
static struct span next_element(struct span *list)
{
    const char *comma = memchr(list->at, ',', list->len);
    size_t len = comma == NULL ? list->len : (size_t)(comma - list->at);
    struct span one = trim((struct span){list->at, len});

    len += comma != NULL;
    *list = (struct span){list->at + len, list->len - len};
    return one;
}

static void move_list(const struct option *o, struct config *from, struct config *to)
{
    option_clear_list(o, to);
    memcpy(place(o, to), place(o, from), o->width);
}

static enum option_verdict read_list(const struct option *o, struct span text, struct config *c)
{
    struct config scratch = {.threads = 0};

    if (span_equal(text, span_of(o->empty)))
        text.len = 0;
    while (text.len > 0) {
        enum option_verdict verdict = option_read_element(o, next_element(&text), &scratch);
        if (verdict != OPTION_READ) {
            option_clear_list(o, &scratch);
            return verdict;
        }
    }
    move_list(o, &scratch, c);
    return OPTION_READ;
}

enum option_verdict option_read(const struct option *o, struct span text, struct config *c)
{
    switch (o->type) {
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_COUNT:
        return read_number(o, text, c);
    case OPTION_CODE:
    case OPTION_WORD:
        return read_word(o, text, c);
    case OPTION_BOOL:
        return read_bool(o, text, c);
    case OPTION_ADDRESS:
        return read_address(o, text, c);
    case OPTION_FIELD:
        return read_field(o, text, c);
    case OPTION_PATH:
        return read_path_or_word(o, text, c);
    case OPTION_MODE:
        return read_mode(o, text, c);
    case OPTION_SECRET:
        return read_secret(o, text, c);
    case OPTION_RANGES:
    case OPTION_PATHS:
        break;
    }
    return read_list(o, text, c);
}

/* ---- copying and comparing ------------------------------------------------------------------ */

static void copy_ranges(const struct option *o, const struct config *from, struct config *to)
{
    const struct cidr_list *list = list_of(o, from);
    size_t size = list->n * sizeof(*list->at);

    clear_ranges(list_in(o, to));
    if (size == 0)
        return;
    struct cidr *copy = malloc(size);
    CHECK(copy != NULL);
    memcpy(copy, list->at, size);
    *list_in(o, to) = (struct cidr_list){copy, list->n};
}

static void copy_paths(const struct paths *from, struct paths *to)
{
    paths_clear(to);
    for (size_t i = 0; i < from->n; i++)
        paths_add(to, (struct span){from->at[i].at, from->at[i].len});
}

void option_copy(const struct option *o, const struct config *from, struct config *to)
{
    if (o->type == OPTION_RANGES)
        copy_ranges(o, from, to);
    else if (o->type == OPTION_PATHS)
        copy_paths(place_const(o, from), place(o, to));
    else
        memcpy(place(o, to), place_const(o, from), o->width);
}

static bool texts_equal(const struct option *o, const struct config *a, const struct config *b)
{
    struct strbuf of_a = {0}, of_b = {0};

    option_write_text(o, a, &of_a);
    option_write_text(o, b, &of_b);
    bool equal = strcmp(strbuf_cstr(&of_a), strbuf_cstr(&of_b)) == 0;
    strbuf_fini(&of_a);
    strbuf_fini(&of_b);
    return equal;
}

bool option_equal(const struct option *o, const struct config *a, const struct config *b)
{
    if (option_is_list(o) || o->type == OPTION_ADDRESS)
        return texts_equal(o, a, b);
    return memcmp(place_const(o, a), place_const(o, b), o->width) == 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

bool option_is_text(const struct option *o)
{
    return o->type != OPTION_COUNT && o->type != OPTION_CODE && o->type != OPTION_BOOL &&
           !option_is_list(o);
}

void option_write_quantity(const struct option *o, uint64_t n, struct strbuf *out)
{
    const struct unit *best = units_of(o);

    for (const struct unit *u = best; u->name != NULL; u++) {
        if (n % u->factor == 0 && n != 0)
            best = u;
    }
    if (n == 0 && o->type == OPTION_DURATION)
        strbuf_adds(out, "0s");
    else
        strbuf_addf(out, "%llu%s", (unsigned long long)(n / best->factor), best->name);
}

static void write_number(const struct option *o, uint64_t n, struct strbuf *out)
{
    if (o->special != NULL && n == special_value(o))
        strbuf_adds(out, o->special);
    else if (o->type == OPTION_COUNT || o->type == OPTION_CODE)
        strbuf_addf(out, "%llu", (unsigned long long)n);
    else
        option_write_quantity(o, n, out);
}

static void write_word(const struct option *o, uint64_t n, struct strbuf *out)
{
    struct span list = words_of(o->words), word = {"", 0};

    for (uint64_t i = 0; i <= n; i++)
        (void)next_word(&list, &word);
    strbuf_add_span(out, word);
}

static void write_mode(const struct option *o, uint64_t mode, struct strbuf *out)
{
    if (mode == 0)
        strbuf_adds(out, o->special);
    else
        strbuf_addf(out, "%04o", (unsigned)mode);
}

static void write_cidr(const struct option *o, const struct cidr *range, struct strbuf *out)
{
    if (range->family == AF_UNSPEC)
        write_word(o, range->bits, out);
    else
        cidr_write(range, out);
}

static size_t list_length(const struct option *o, const struct config *c)
{
    if (o->type == OPTION_PATHS)
        return ((const struct paths *)place_const(o, c))->n;
    return list_of(o, c)->n;
}

static void write_element(const struct option *o, const struct config *c, size_t i,
                          struct strbuf *out)
{
    if (o->type == OPTION_RANGES) {
        write_cidr(o, &list_of(o, c)->at[i], out);
        return;
    }
    const struct path *path = &((const struct paths *)place_const(o, c))->at[i];
    strbuf_add(out, path->at, path->len);
}

static void write_list_json(const struct option *o, const struct config *c, struct strbuf *out)
{
    struct strbuf one = {0};

    strbuf_adds(out, "[");
    for (size_t i = 0; i < list_length(o, c); i++) {
        strbuf_clear(&one);
        write_element(o, c, i, &one);
        strbuf_adds(out, i == 0 ? "" : ", ");
        strbuf_add_json(out, (struct span){strbuf_cstr(&one), one.len});
    }
    strbuf_adds(out, "]");
    strbuf_fini(&one);
}

static void write_list(const struct option *o, const struct config *c, struct strbuf *out)
{
    if (list_length(o, c) == 0)
        strbuf_adds(out, o->empty);
    for (size_t i = 0; i < list_length(o, c); i++) {
        strbuf_adds(out, i == 0 ? "" : ",");
        write_element(o, c, i, out);
    }
}
void option_write_text(const struct option *o, const struct config *c, struct strbuf *out)
{
    switch (o->type) {
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_COUNT:
    case OPTION_CODE:
        write_number(o, load(o, c), out);
        return;
    case OPTION_WORD:
        write_word(o, load(o, c), out);
        return;
    case OPTION_BOOL:
        strbuf_adds(out, *(const bool *)place_const(o, c) ? "true" : "false");
        return;
    case OPTION_ADDRESS:
        strbuf_adds(out, ((const struct address *)place_const(o, c))->text);
        return;
    case OPTION_FIELD:
    case OPTION_PATH:
        strbuf_adds(out, place_const(o, c));
        return;
    case OPTION_RANGES:
    case OPTION_PATHS:
        write_list(o, c, out);
        return;
    case OPTION_MODE:
        write_mode(o, load(o, c), out);
        return;
    case OPTION_SECRET:
        strbuf_adds(out, *(const char *)place_const(o, c) == '\0' ? "" : OPTION_MASK);
        return;
    }
}

/* Whether this text is a string in JSON: "unlimited" is, even for numeric options. */
static bool stands_in_quotes(const struct option *o, struct span text)
{
    return option_is_text(o) || (o->special != NULL && span_equal(text, span_of(o->special)));
}

void option_write_json(const struct option *o, const struct config *c, struct strbuf *out)
{
    struct strbuf text = {0};

    option_write_text(o, c, &text);
    struct span s = {strbuf_cstr(&text), text.len};
    if (option_is_list(o)) {
        write_list_json(o, c, out);
    } else if (stands_in_quotes(o, s)) {
        strbuf_add_json(out, s);
    } else {
        strbuf_add_span(out, s);
    }
    strbuf_fini(&text);
}

/* ---- expected values, and hints ------------------------------------------------------------- */

static void write_choice(const struct option *o, struct strbuf *out)
{
    struct span list = words_of(o->words), word, next;
    const char *quote = o->type == OPTION_CODE ? "" : "\"";
    bool more = next_word(&list, &word);

    for (const char *between = ""; more; word = next) {
        more = next_word(&list, &next);
        if (*between != '\0' && !more)
            between = " or ";
        strbuf_addf(out, "%s%s%.*s%s", between, quote, SPAN_PRINTF(word), quote);
        between = ", ";
    }
}

static void write_range(const struct option *o, struct strbuf *out)
{
    strbuf_adds(out, " from ");
    write_number(o, o->min, out);
    strbuf_adds(out, " to ");
    write_number(o, o->max, out);
}

static void write_number_wants(const struct option *o, enum option_verdict verdict,
                               struct strbuf *out)
{
    strbuf_adds(out, o->type == OPTION_COUNT  ? "an integer"
                     : o->type == OPTION_SIZE ? "a size"
                                              : "a duration");
    if (verdict == OPTION_MALFORMED && o->type != OPTION_COUNT)
        strbuf_adds(out, " with a unit");
    else
        write_range(o, out);
}

static void write_address_wants(const struct option *o, enum option_verdict verdict,
                                struct strbuf *out)
{
    if (verdict == OPTION_MALFORMED)
        strbuf_adds(out, "an address");
    else
        strbuf_addf(out, "an address with a port from %u to %u", (unsigned)o->min,
                    (unsigned)o->max);
}

static void write_path_wants(const struct option *o, struct strbuf *out)
{
    strbuf_addf(out, "a path of at most %zu characters that begins with \"/\", or ", o->width - 1);
    if (o->words != NULL)
        write_choice(o, out);
    else
        strbuf_adds(out, "\"\"");
}

void option_write_wants(const struct option *o, enum option_verdict verdict, struct strbuf *out)
{
    switch (o->type) {
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_COUNT:
        write_number_wants(o, verdict, out);
        break;
    case OPTION_CODE:
    case OPTION_WORD:
        write_choice(o, out);
        break;
    case OPTION_BOOL:
        strbuf_adds(out, "true or false");
        break;
    case OPTION_ADDRESS:
        write_address_wants(o, verdict, out);
        break;
    case OPTION_FIELD:
        strbuf_addf(out,
                    "a header name that weir does not use itself, of at most %zu characters, "
                    "or \"\"",
                    o->width - 1);
        break;
    case OPTION_PATH:
        write_path_wants(o, out);
        break;
    case OPTION_RANGES:
        strbuf_adds(out,
                    verdict == OPTION_MALFORMED ? "CIDR ranges, " : "at most 256 CIDR ranges, ");
        write_choice(o, out);
        break;
    case OPTION_PATHS:
        if (verdict == OPTION_OUT_OF_RANGE)
            strbuf_addf(out, "at most %u paths", (unsigned)o->max);
        else
            strbuf_adds(out, "a path that begins with \"/\" and has no \"?\", \"#\", \",\" or "
                             "space");
        break;
    case OPTION_MODE:
        strbuf_adds(out, "octal permissions from \"0001\" to \"0777\",");
        break;
    case OPTION_SECRET:
        strbuf_addf(out, "%llu to %zu letters, digits or characters of \"-._~+/=\", or \"\"",
                    (unsigned long long)o->min, o->width - 1);
        break;
    }
    if (o->special != NULL)
        strbuf_addf(out, " or \"%s\"", o->special);
}

static bool can_be_read(const struct option *o, struct span text)
{
    struct config scratch = {.threads = 0};
    bool ok = option_read(o, text, &scratch) == OPTION_READ;

    option_clear(&scratch);
    return ok;
}

/* Tries `text` with `ending`; true if it is valid, and leaves it in `fix`. */
static bool try_fix(const struct option *o, const char *start, struct span text, const char *ending,
                    struct strbuf *fix)
{
    strbuf_clear(fix);
    strbuf_addf(fix, "%s%.*s%s", start, SPAN_PRINTF(text), ending);
    return can_be_read(o, (struct span){strbuf_cstr(fix), fix->len});
}

static const struct unit nicknames[] = {
    {"us", 1},
    {"usec", 1},
    {"µs", 1},
    {"micros", 1},
    {"msec", MS},
    {"millis", MS},
    {"milliseconds", MS},
    {"millisecond", MS},
    {"sec", SECOND},
    {"secs", SECOND},
    {"second", SECOND},
    {"seconds", SECOND},
    {"min", 60 * UINT64_C(1000000)},
    {"mins", 60 * UINT64_C(1000000)},
    {"minute", 60 * UINT64_C(1000000)},
    {"minutes", 60 * UINT64_C(1000000)},
    {"hour", HOUR},
    {"hours", HOUR},
    {"hr", HOUR},
    {"ms", MS},
    {"s", SECOND},
    {"m", 60 * UINT64_C(1000000)},
    {"h", HOUR},
    {"d", 24 * HOUR},
    {"day", 24 * HOUR},
    {"days", 24 * HOUR},
    {NULL, 0},
};

static const struct unit size_nicknames[] = {
    {"b", 1},    {"byte", 1},  {"bytes", 1}, {"k", KIB},   {"kb", KIB}, {"kib", KIB},
    {"ki", KIB}, {"m", MIB},   {"mb", MIB},  {"mib", MIB}, {"mi", MIB}, {"g", GIB},
    {"gb", GIB}, {"gib", GIB}, {"gi", GIB},  {NULL, 0},
};

static const struct unit *find_nickname(const struct option *o, struct span name)
{
    const struct unit *u = o->type == OPTION_DURATION ? nicknames : size_nicknames;

    while (u->name != NULL && !span_equal_nocase(name, span_of(u->name)))
        u++;
    return u->name == NULL ? NULL : u;
}

/* "1.5 sec" becomes 1500ms, "16K" 16KiB; no suggestion for anything that is not a whole number of
 * the smallest unit. */
static bool fix_unit(const struct option *o, struct span text, struct strbuf *fix)
{
    char number[32], *end;

    if (text.len == 0 || text.len >= sizeof(number) || text.at[0] < '0' || text.at[0] > '9')
        return false;
    memcpy(number, text.at, text.len);
    number[text.len] = '\0';
    double value = strtod(number, &end);
    struct span name = trim(span_of(end));
    const struct unit *u = find_nickname(o, name.len == 0 ? SPAN("b") : name);
    if (u == NULL || value * (double)u->factor >= 1e15)
        return false;
    strbuf_clear(fix);
    option_write_quantity(o, (uint64_t)(value * (double)u->factor + 0.5), fix);
    return can_be_read(o, (struct span){strbuf_cstr(fix), fix->len});
}

/* A bare number is taken as seconds, else milliseconds; or as bytes, else KiB. */
static bool fix_quantity(const struct option *o, struct span text, struct strbuf *fix)
{
    if (o->type == OPTION_DURATION)
        return try_fix(o, "", text, "s", fix) || try_fix(o, "", text, "ms", fix) ||
               fix_unit(o, text, fix);
    return fix_unit(o, text, fix) || try_fix(o, "", text, "KiB", fix);
}

static bool fix_word(const char *words, struct span text, struct strbuf *fix)
{
    struct nearest n = {.typed = text};
    struct span list = words_of(words), word;
    size_t len = 0;

    while (next_word(&list, &word)) {
        nearest_try(&n, word, word.at);
        if (n.answer == word.at)
            len = word.len;
    }
    strbuf_clear(fix);
    strbuf_add(fix, n.answer == NULL ? "" : n.answer, len);
    return n.answer != NULL;
}

/* Replaces each invalid range of a list with the nearest name. Also false if nothing changes: a
 * list in the form of a flag is not an element of a JSON list. */
static bool fix_ranges(const struct option *o, struct span text, struct strbuf *fix)
{
    struct strbuf all = {0};
    bool changed = false;

    if (span_equal(text, SPAN("[]")) || span_equal_nocase(text, span_of(o->empty)))
        return try_fix(o, "", span_of(o->empty), "", fix); /* in the form of a flag */
    for (const char *between = ""; text.len > 0; between = ",") {
        struct span one = next_element(&text);
        strbuf_adds(&all, between);
        if (!can_be_read(o, one) && fix_word(o->words, one, fix)) {
            one = (struct span){fix->at, fix->len};
            changed = true;
        }
        strbuf_add_span(&all, one);
    }
    strbuf_clear(fix);
    strbuf_add(fix, strbuf_cstr(&all), all.len);
    strbuf_fini(&all);
    return changed && can_be_read(o, (struct span){strbuf_cstr(fix), fix->len});
}

static struct span without_prefix(struct span text, const char *prefix)
{
    size_t len = strlen(prefix);
    bool has = text.len >= len && memcmp(text.at, prefix, len) == 0;

    return has ? (struct span){text.at + len, text.len - len} : text;
}

/* "healthz", "/healthz?full=1", "http://app:8000/healthz" */
static struct span path_within(struct span text)
{
    struct span rest = without_prefix(without_prefix(text, "http://"), "https://");
    const char *slash = memchr(rest.at, '/', rest.len);
    size_t len = 0;

    if (rest.at != text.at)
        text =
            slash == NULL ? SPAN("/") : (struct span){slash, rest.len - (size_t)(slash - rest.at)};
    while (len < text.len && strchr("?#", text.at[len]) == NULL)
        len++;
    return (struct span){text.at, len};
}

static bool fix_paths(const struct option *o, struct span text, struct strbuf *fix)
{
    strbuf_clear(fix);
    if (span_equal(text, SPAN("[]")) || span_equal_nocase(text, span_of(o->empty)))
        return try_fix(o, "", span_of(o->empty), "", fix); /* in the form of a flag */
    for (const char *between = ""; text.len > 0; between = ",") {
        struct span path = path_within(next_element(&text));
        strbuf_addf(fix, "%s%s%.*s", between, path.len > 0 && path.at[0] == '/' ? "" : "/",
                    SPAN_PRINTF(path));
    }
    return can_be_read(o, (struct span){strbuf_cstr(fix), fix->len});
}

static bool fix_mode(const struct option *o, struct span text, struct strbuf *fix)
{
    return try_fix(o, "", without_prefix(text, "0o"), "", fix) ||
           try_fix(o, "", without_prefix(text, "0"), "", fix);
}

static bool fix_bool(struct span text, struct strbuf *fix)
{
    static const char *const yes = "true yes on 1 enabled", *const no = "false no off 0 disabled";
    struct span list = span_of(yes), word;

    strbuf_clear(fix);
    while (next_word(&list, &word)) {
        if (span_equal_nocase(word, text))
            strbuf_adds(fix, "true");
    }
    for (list = span_of(no); next_word(&list, &word);) {
        if (span_equal_nocase(word, text))
            strbuf_adds(fix, "false");
    }
    return fix->len > 0;
}

/* "8080", "http://host:80/", "*:80", "/run/app.sock", "::1:80" */
static bool fix_address(const struct option *o, struct span text, struct strbuf *fix)
{
    struct span rest = without_prefix(without_prefix(text, "http://"), "*");

    if (try_fix(o, ":", rest, "", fix) || try_fix(o, ADDRESS_UNIX, rest, "", fix) ||
        try_fix(o, "", rest, "", fix))
        return true;
    const char *slash = rest.len == 0 ? NULL : memchr(rest.at, '/', rest.len);
    if (slash != NULL && try_fix(o, "", (struct span){rest.at, (size_t)(slash - rest.at)}, "", fix))
        return true;
    const char *colon = rest.len == 0 ? NULL : memrchr(rest.at, ':', rest.len);
    if (colon == NULL)
        return false;
    int host = (int)(colon - rest.at);
    strbuf_clear(fix);
    strbuf_addf(fix, "[%.*s]:%.*s", host, rest.at, (int)rest.len - host - 1, colon + 1);
    return can_be_read(o, (struct span){strbuf_cstr(fix), fix->len});
}

static bool find_fix(const struct option *o, struct span text, struct strbuf *fix)
{
    bool as_it_is = option_is_list(o) || o->type == OPTION_SECRET;

    if (!as_it_is && try_fix(o, "", trim(text), "", fix))
        return true;
    if (o->special != NULL && fix_word(o->special, text, fix))
        return true;
    switch (o->type) {
    case OPTION_DURATION:
    case OPTION_SIZE:
        return fix_quantity(o, text, fix);
    case OPTION_WORD:
        return fix_word(o->words, text, fix);
    case OPTION_PATH:
        return (o->words != NULL && fix_word(o->words, text, fix)) ||
               (text.len > 0 && try_fix(o, "/", text, "", fix));
    case OPTION_BOOL:
        return fix_bool(text, fix);
    case OPTION_ADDRESS:
        return fix_address(o, text, fix);
    case OPTION_RANGES:
        return fix_ranges(o, text, fix);
    case OPTION_PATHS:
        return text.len > 0 && fix_paths(o, text, fix);
    case OPTION_MODE:
        return fix_mode(o, text, fix);
    case OPTION_COUNT:
    case OPTION_CODE:
    case OPTION_FIELD:
    case OPTION_SECRET: /* a suggestion would show it */
        break;
    }
    return false;
}

/* An example of a value, when there is no better suggestion. */
static void write_example(const struct option *o, struct span text, struct strbuf *out)
{
    switch (o->type) {
    case OPTION_DURATION:
    case OPTION_SIZE:
        strbuf_adds(out, " (");
        write_number(o, o->min, out);
        strbuf_adds(out, " to ");
        write_number(o, o->max, out);
        strbuf_adds(out, o->type == OPTION_DURATION ? "; units: us, ms, s, m, h)"
                                                    : "; units: B, kB, KiB, MB, MiB, GB, GiB)");
        break;
    case OPTION_ADDRESS:
        if (address_check(text, 0, UINT16_MAX) == ADDRESS_PATH_TOO_LONG)
            strbuf_addf(out, " (a socket path can be at most %zu bytes long)",
                        ADDRESS_UNIX_PATH_MAX);
        else
            strbuf_adds(out, " (host:port, :port, [v6]:port or unix:/path)");
        break;
    case OPTION_FIELD:
        strbuf_adds(out, " (such as \"X-Request-Id\")");
        break;
    case OPTION_RANGES:
        strbuf_adds(out, " (such as \"10.0.0.0/8\" or \"2001:db8::/32\")");
        break;
    case OPTION_PATHS:
        strbuf_adds(out, " (such as \"/healthz\")");
        break;
    case OPTION_MODE:
        strbuf_adds(out, " (such as \"0660\")");
        break;
    case OPTION_SECRET:
        strbuf_adds(out, span_equal(text, SPAN(OPTION_MASK))
                             ? " (this is the mask of a token: replace it with the token)"
                             : " (such as the output of openssl rand -hex 32)");
        break;
    case OPTION_PATH:
        strbuf_adds(out, " (such as \"/healthz\")");
        break;
    case OPTION_COUNT:
    case OPTION_CODE:
    case OPTION_WORD:
    case OPTION_BOOL:
        break;
    }
}

void option_write_hint(const struct option *o, enum option_verdict verdict, struct span text,
                       bool quoted, struct strbuf *out)
{
    struct strbuf fix = {0};

    if (o->at_zero != NULL && span_equal(text, SPAN("0"))) {
        strbuf_addf(out, " (%s)", o->at_zero);
    } else if (verdict == OPTION_MALFORMED && find_fix(o, text, &fix)) {
        struct span s = {strbuf_cstr(&fix), fix.len};
        const char *quote = quoted || stands_in_quotes(o, s) ? "\"" : "";
        strbuf_addf(out, " (did you mean %s%.*s%s?)", quote, SPAN_PRINTF(s), quote);
    } else if (verdict == OPTION_MALFORMED) {
        write_example(o, text, out);
    }
    strbuf_fini(&fix);
}

void option_write_complaint(const struct option *o, enum option_verdict verdict, struct span got,
                            struct span text, bool quoted, struct strbuf *out)
{
    strbuf_adds(out, " expects ");
    option_write_wants(o, verdict, out);
    if (o->type != OPTION_SECRET)
        strbuf_addf(out, ", got %.*s%s", (int)(got.len > 60 ? 60 : got.len), got.at,
                    got.len > 60 ? "..." : "");
    option_write_hint(o, verdict, text, quoted, out);
}

/* ---- flags ---------------------------------------------------------------------------------- */

/* What fix_bool() understands: then it is the value of the flag, and not another argument. */
static bool is_bool_word(const char *arg)
{
    struct strbuf fix = {0};
    bool is = arg != NULL && fix_bool(span_of(arg), &fix);

    strbuf_fini(&fix);
    return is;
}

bool option_next_flag(int argc, char **argv, int *i, struct option_flag *flag)
{
    const char *arg = argv[*i];

    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0')
        return false;
    flag->name = (struct span){arg + 2, strcspn(arg + 2, "=")};
    flag->option = option_of_flag(flag->name);
    flag->value = arg[2 + flag->name.len] == '=' ? arg + 2 + flag->name.len + 1 : NULL;
    ++*i;
    const char *next = *i < argc && strncmp(argv[*i], "--", 2) != 0 ? argv[*i] : NULL;
    if (flag->value != NULL || flag->option == NULL)
        return true;
    if (flag->option->type == OPTION_BOOL && !is_bool_word(next))
        flag->value = "true";
    else if (next != NULL)
        flag->value = argv[(*i)++];
    return true;
}

/* Other names of the flag: --port, --queue-max-depth, --upstream-address. */
static void try_flag_names(struct nearest *n, const struct option *o)
{
    struct span list = words_of(o->also), word, section = option_section(o);
    struct strbuf name = {0};

    option_flag_name(o, &name);
    nearest_try(n, (struct span){name.at, name.len}, o->path);
    nearest_try(n, span_of(o->path), o->path);
    while (next_word(&list, &word)) {
        strbuf_clear(&name);
        strbuf_addf(&name, "%.*s-%.*s", SPAN_PRINTF(section), SPAN_PRINTF(word));
        nearest_try(n, (struct span){name.at, name.len}, o->path);
    }
    strbuf_fini(&name);
}

void option_write_unknown_flag(struct span name, struct strbuf *out)
{
    struct nearest n = {.typed = name};

    for (size_t i = 0; i < option_count; i++)
        try_flag_names(&n, &option_table[i]);
    strbuf_addf(out, "unknown flag --%.*s", SPAN_PRINTF(name));
    if (n.answer == NULL)
        return;
    strbuf_adds(out, " (did you mean --");
    option_flag_name(option_find(span_of(n.answer)), out);
    strbuf_adds(out, "?)");
}
