/*
 * The table, and the names of options. A new option needs a field in struct config and a row here.
 */
#include "proxy/options.h"

#include "proxy/option_hint.h"
#include "proxy/option_private.h"

#define FIELD(f) offsetof(struct config, f), sizeof(((struct config *)NULL)->f)

#define PORT_MAX   65535
#define BLOCKS_MAX 256
#define COUNT_MAX  1000000
#define PATHS_MAX  64
#define MODE_MAX   0777
#define DEADLINES  "X-Request-Deadline grpc-timeout X-Envoy-Expected-Rq-Timeout-Ms Request-Timeout"
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
    {"enforce", OPTION_BOOL, FIELD(enforce), .preset = "true",
     .also = "enforcing active enabled dry_run shadow observe",
     .help = "make requests wait, and refuse them, under the limits; false is a dry run: every "
             "request goes to the app at once, and the metrics show which would have waited or "
             "been refused"},
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
    {"queue.order", OPTION_WORD, FIELD(queue.order), .words = "adaptive fifo",
     .preset = "adaptive", .also = "discipline policy strategy mode lifo codel",
     .help = "order in which waiting requests get slots: \"fifo\" is the order of arrival; "
             "\"adaptive\" is the same, except in an overload that lasts: then requests that have "
             "waited longer than clients are expected to wait are passed by the others, and get "
             "only the slots that those do not need, the newest first"},
    {"classes", OPTION_CLASSES, FIELD(classes), 0, CLASS_RULES_MAX, .preset = "", .empty = "none",
     .also = "class priority priorities lanes",
     .restart = "the queue has a line for each class",
     .help = "classes of requests that pass others in the queue, or that may use only some of the "
             "slots; a request belongs to the first class whose \"header\", \"value\", \"path\" and "
             "\"methods\" it meets, or else to the class \"default\""},
    {"fair", OPTION_TEXT, FIELD(fair), .form = &option_form_fair, .words = "client", .preset = "",
     .also = "fairness fair_share fair_queue key",
     .restart = "the queue has a line for each group of clients",
     .help = "criterion that distinguishes clients, so that they are served in turn and one of them "
             "cannot fill the queue: \"client\" is the address (behind a trusted proxy, the one in "
             "X-Forwarded-For), otherwise a header, such as Authorization; \"\" serves requests "
             "in order of arrival"},
    {"overload.status", OPTION_CODE, FIELD(overload.status), .words = "503 429", .preset = "503",
     .also = "code status_code",
     .help = "status of the response to a request that is refused for lack of capacity"},
    {"deadline.headers", OPTION_SET, FIELD(deadline.headers), .words = DEADLINES,
     .preset = "X-Request-Deadline,grpc-timeout,X-Envoy-Expected-Rq-Timeout-Ms,Request-Timeout",
     .computed = "all four", .empty = "none", .also = "header names",
     .help = "request headers in which a client declares by when it wants its response: "
             "X-Request-Deadline (Unix time in seconds or milliseconds), grpc-timeout (such as "
             "500m), X-Envoy-Expected-Rq-Timeout-Ms, Request-Timeout (seconds); the earliest "
             "counts, and a request that has no slot by then is refused with 503; queue.timeout "
             "still applies"},
    {"deadline.from", OPTION_WORD, FIELD(deadline.from), .words = "trusted all",
     .preset = "trusted", .also = "clients trust",
     .help = "clients whose deadlines count: those in headers.trusted, or all"},
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
    {"client.send_buffer", OPTION_SIZE, FIELD(client.send_buffer), 16 * KIB, 64 * MIB,
     .special = "system", .preset = "system", .also = "sndbuf so_sndbuf send_buffer_size",
     .restart = "connections inherit it from the listening socket",
     .help = "maximum memory in the kernel for data that a client has not received, which counts "
             "as memory of the container; the kernel may exceed it by 64 KiB; a connection transfers "
             "at most half of it per round trip; \"system\" leaves the size to the kernel "
             "(net.ipv4.tcp_wmem, up to 4 MiB)"},
    {"client.receive_buffer", OPTION_SIZE, FIELD(client.receive_buffer), 16 * KIB, 64 * MIB,
     .special = "system", .preset = "system", .also = "rcvbuf so_rcvbuf receive_buffer_size",
     .restart = "connections inherit it from the listening socket",
     .help = "maximum memory in the kernel for data that a client has sent and weir has not read; "
             "\"system\" leaves the size to the kernel (net.ipv4.tcp_rmem, 6 MiB or more); has no "
             "effect on a Unix socket, where the data counts as memory of the client"},
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
    {"streams.max", OPTION_COUNT, FIELD(streams.max), 1, COUNT_MAX, .special = "limit-1",
     .preset = "limit-1", .also = "limit event_streams sse max_connections",
     .help = "maximum number of slots that long-lived requests hold together: upgraded connections, "
             "and requests that accept text/event-stream and no other type; others of them wait in "
             "the queue while shorter requests pass; \"limit-1\" is one less than concurrency (or "
             "upstream.max_connections, if lower), but at least 1, and at least upgrades.max if that "
             "is set"},
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
    {"headers.load", OPTION_WORD, FIELD(headers.load), .words = "off plain orca",
     .preset = "off", .also = "load_header load_report report orca",
     .help = "report the load of the app in a header of each response, for balancers: \"plain\" "
             "adds Weir-Load: in_flight=3, limit=8, queued=0; \"orca\" adds endpoint-load-metrics "
             "with an ORCA load report in text form"},
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
    {"admin.dashboard", OPTION_BOOL, FIELD(admin.dashboard), .preset = "true",
     .also = "ui web page html gui console",
     .help = "serve a page with charts at / of the admin port; false lists the other pages there"},
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
    {"agent.listen", OPTION_ADDRESS, FIELD(agent.listen), 0, PORT_MAX, .special = "off",
     .preset = "off", .also = "port bind address agent_port agent_check",
     .restart = "the socket is bound at startup",
     .help = "address of a port that speaks HAProxy's agent-check protocol: it tells the balancer "
             "the share of free slots as a weight, that weir drains, or that the app is down"},
    {"watch", OPTION_BOOL, FIELD(watch), .preset = "false", .also = "watch_config auto_reload",
     .help = "reload the configuration file when it changes; SIGHUP reloads it in any case"},
    {"log.level", OPTION_WORD, FIELD(log.level), .words = "error warning info debug",
     .preset = "info",
     .help = "lowest severity that is logged"},
    {"log.format", OPTION_WORD, FIELD(log.format), .words = "auto text json", .preset = "auto",
     .help = "format of the log; \"auto\" is text on a terminal and JSON elsewhere"},
    {"log.access", OPTION_WORD, FIELD(log.access), .words = "problems all off",
     .preset = "problems", .also = "access_log requests",
     .help = "requests in the access log, one JSON object per line: \"problems\" are server errors, "
             "refusals, clients that left, responses that were cut off and slow requests, with a "
             "summary each minute"},
    {"log.access_file", OPTION_TEXT, FIELD(log.access_file), .form = &option_form_file,
     .words = "stdout", .preset = "stdout", .also = "access_log file path output access_path",
     .help = "file to which the access log is appended; SIGUSR1 opens it again after a rotation"},
    {"log.slow", OPTION_DURATION, FIELD(log.slow), 0, 24 * HOUR, .preset = "1s",
     .also = "slow_request slow_threshold threshold",
     .help = "minimum total time of a slow request, which \"problems\" includes in the access log; tunnels "
             "and event streams are never slow"},
    {"log.profile", OPTION_WORD, FIELD(log.profile), .words = "plain gcp ecs", .preset = "plain",
     .also = "access_format access_profile schema",
     .help = "names of the members in the access log: those of weir, of Google Cloud Logging, or of "
             "the Elastic Common Schema"},
    {"log.query", OPTION_BOOL, FIELD(log.query), .preset = "false", .also = "access_query",
     .help = "whether the access log has the query of a target, which may contain secrets"},
    {"profile", OPTION_WORD, FIELD(profile), .words = "none cloudrun", .empty = "none",
     .preset = "none", .also = "platform preset",
     .help = "defaults for a platform; \"cloudrun\" sets overload.status 429, drain.delay 0s and "
             "drain.timeout 9s, unless they are set"},
};
/* clang-format on */
const size_t option_count = sizeof(option_table) / sizeof(option_table[0]);

const char option_reserved_fields[] =
    "connection content-length content-type cookie daphne-root-path date expect forwarded "
    "grpc-timeout host keep-alive proxy proxy-* request-timeout te trailer transfer-encoding "
    "upgrade via weir-load weir-reason x-envoy-expected-rq-timeout-ms x-forwarded-* x-real-ip "
    "x-request-deadline x-request-start";

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

/* ---- flags ---------------------------------------------------------------------------------- */

/* A word that option_fix_bool() reads is the value of the flag, and not another argument. */
static bool is_bool_word(const char *arg)
{
    struct strbuf fix = {0};
    bool is = arg != NULL && option_fix_bool(span_of(arg), &fix);

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
    struct span list = option_words(o->also), word, section = option_section(o);
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
