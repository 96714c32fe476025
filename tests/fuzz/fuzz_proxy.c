/*
 * The whole proxy, in one thread and on a virtual clock: clients and the app follow a script, and
 * weir's invariants must hold whatever they do.
 *
 * The input: two bytes of configuration, then operations. Each begins with 0xff (weir comes to rest
 * after it) or 0xfe (the next operation follows at once, so that weir sees both in one turn), and
 * extends to the next of these two; so the bytes 0xfe and 0xff are never sent. An operation is
 *
 *     who    A to D: a client, which connects if necessary; 0 to 3: the app's connections,
 *            oldest first
 *     what   s...  sends the rest            x.... sends the rest repeatedly, as the next byte says
 *            c     closes                    h     half-closes
 *            p     stops reading             g     resumes reading    r     reads a little
 *            k     (app) responds 200        o     (app) accepts a connection in progress
 *
 * or  t1 to t6: time passes;   n and one of r f l a: the next connect() is refused, has no room
 *     now, is in progress, finds no address;   g: the app is gone, and refuses every connect();
 *     h: it is here again;   u: the app is up;   a d l x: a drain is announced,
 *     closes the listener, is in its last moment, cuts;   b: it is cancelled;   m: a new client
 *     needs a place;   z and a byte: a reload with the values that the byte says;   . one turn.
 *
 * The invariants: requests inside the app <= slots taken <= limit, always, but for those that a dry
 * run has dispatched without a slot, which are counted; each forwarded message
 * is one that the strict reader finds in what the peer sent (judge.c); in the end nothing is left,
 * without help: exchanges, slots, queue, connections, memory, descriptors; and the sums of the
 * measurements agree to the microsecond.
 */
#include <netinet/in.h>
#include <stdio.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/judge.h"
#include "tests/world/peers.h"
#include "tests/world/world.h"

#define AT_ONCE    0xfe
#define THEN       0xff
#define NAMES      4 /* clients at a time */
#define SECOND     1000000
#define REPEAT_MAX 4096

/* ---- weir ---- */

static const struct class_rules gold = {
    .n = 1, .at[0] = {.name = "gold", .header = "X-P", .head_start = SECOND, .max = 1}};

static void configure(struct config *c, uint8_t a, uint8_t b)
{
    static char bypass[] = "/p";
    static struct path bypasses = {bypass, 2};
    static struct cidr all_clients = {.family = AF_INET, .bits = 8, .addr = {10}};

    memcpy(c, world_config(), sizeof(*c));
    c->concurrency = a & 1 ? 1 : 2;
    c->on_client_abort = a & 2     ? CONFIG_ABORT_CLOSE
                         : a & 128 ? CONFIG_ABORT_AUTO
                                   : CONFIG_ABORT_FINISH;
    c->bypass.paths = (struct paths){&bypasses, 1};
    c->bypass.concurrency = 1;
    c->client.half_close = a & 4 ? CONFIG_HALF_CLOSE_ALLOW : CONFIG_HALF_CLOSE_ABORT;
    c->headers.forwarded = a & 8 ? CONFIG_FORWARDED_REPLACE : CONFIG_FORWARDED_APPEND;
    c->headers.trusted.at = &all_clients;
    c->headers.trusted.n = a & 16 ? 1 : 0;
    c->client.max_body = a & 32 ? 1000 : CONFIG_UNLIMITED;
    c->queue.length = b & 1 ? 0 : 2;
    c->headers.request_start = b & 4;
    c->buffers.response = b & 8 ? 16384 : 4096;
    c->buffers.request = b & 8 ? 4096 : 1000;
    c->buffers.budget = b & 32 ? 8192 : 1048576;
    c->headers.server_timing = b & 64;
    if (b & 64) {
        c->classes = gold;
        memcpy(c->fair, "client", sizeof("client"));
    }
    c->enforce = (b & (4 | 64)) != (4 | 64);
    if (b & 16)
        c->headers.request_id[0] = '\0';
    judge_rules.abort_closes = c->on_client_abort == CONFIG_ABORT_CLOSE;
    judge_rules.abort_hurries = c->on_client_abort == CONFIG_ABORT_AUTO;
    judge_rules.orphan_patience = c->upstream.orphan_timeout;
    judge_rules.believes = c->headers.trusted.n > 0 && (a & 8) == 0;
    judge_rules.half_close = c->client.half_close == CONFIG_HALF_CLOSE_ALLOW;
    judge_rules.patience = c->upstream.idle_timeout;
}

/* Values that the judge's rules do not depend on. */
static void reload(uint8_t bits)
{
    struct config next;

    memcpy(&next, world.config, sizeof(next));
    next.concurrency = bits & 1 ? 1 : 2;
    next.queue.length = bits & 2 ? 0 : 2;
    next.queue.order = bits & 32 ? CONFIG_ORDER_FIFO : CONFIG_ORDER_ADAPTIVE;
    next.enforce = (bits & 128) == 0;
    next.buffers.budget = bits & 4 ? 8192 : 1048576;
    next.buffers.response = bits & 4 ? 4096 : 16384;
    next.client.max_head = bits & 8 ? 128 : 1024;
    next.client.max_headers = bits & 8 ? 2 : 24;
    next.client.keepalive_timeout = bits & 16 ? 1000 : 3 * SECOND;
    next.upstream.keepalive_timeout = bits & 16 ? 1000 : SECOND;
    next.deadline.from = bits & 32 ? CONFIG_DEADLINE_ALL : CONFIG_DEADLINE_TRUSTED;
    if (bits & 64)
        next.deadline.headers = 0;
    next.streams.max = bits & 128 ? 1 : UINT32_MAX;
    (void)world_configure(&next);
}

static void look(void)
{
    struct limiter_snapshot now, bypass;

    judge_apps();
    world_limiter(&now);
    world_bypass(&bypass);
    CHECK(judge_inside() <=
          now.in_flight + bypass.in_flight + atomic_load(&world.shared.without_slot));
}

static void build(uint8_t a, uint8_t b)
{
    struct world_how how = {.starting = b & 2, .at_rest = look};

    configure(&how.config, a, b);
    how.upgrades_max = a & 64 ? how.config.concurrency : 1;
    how.connections_max = b & 128 ? 1 : how.config.concurrency;
    world_build(&how);
}

/* ---- the script ---- */

static size_t named[NAMES]; /* a client's number, from 1; 0: not connected */

static struct peer *connected(size_t name, bool anew)
{
    struct peer *p = named[name] > 0 ? &peers.clients[named[name] - 1] : NULL;

    if (p != NULL && (!anew || (p->fd >= 0 && !p->ended)))
        return p;
    struct peer *fresh = anew && !world.told[WORLD_DRAIN] ? world_client() : NULL;
    if (fresh == NULL)
        return p;
    named[name] = peers.n_clients;
    return fresh;
}

static struct peer_app *app_number(size_t n)
{
    for (size_t i = 0; i < peers.n_apps; i++) {
        struct peer *p = &peers.apps[i].peer;
        if (p->fd >= 0 && !p->ended && n-- == 0)
            return &peers.apps[i];
    }
    return NULL;
}

static void send_many(struct peer *p, struct span bytes)
{
    size_t times = bytes.len > 0 ? (size_t)1 << (bytes.at[0] & 7) : 0;
    struct strbuf all = {0};

    for (size_t i = 0; i < times && all.len < REPEAT_MAX; i++)
        strbuf_add(&all, bytes.at + 1, bytes.len - 1);
    for (size_t i = 0; i < (size_t)1 << (times > 0 ? bytes.at[0] >> 3 & 3 : 0); i++)
        peers_send(p, (struct span){strbuf_cstr(&all), all.len});
    strbuf_fini(&all);
}

static void act(struct peer *p, char what, struct span bytes)
{
    switch (what) {
    case 'x':
        send_many(p, bytes);
        return;
    case 'c':
        peers_close(p);
        return;
    case 'h':
        peers_half_close(p);
        return;
    case 'p':
        p->reads = false;
        p->ever_paused = true;
        return;
    case 'g':
        p->reads = true;
        return;
    case 'r':
        peers_receive(p, 1000);
        return;
    default:
        peers_send(p, bytes);
        return;
    }
}

static void act_app(struct peer_app *a, char what, struct span bytes)
{
    if (a == NULL)
        return;
    if (what == 'o')
        peers_accept(a);
    else if (a->junk > 0 && what != 'c')
        return;
    else if (what == 'k')
        peers_send(&a->peer, SPAN("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    else
        act(&a->peer, what, bytes);
}

static void time_goes_by(char how)
{
    switch (how) {
    case '1':
        world_pass(1000, 1000);
        return;
    case '2':
        world_pass(20000, 10000);
        return;
    case '3':
        world_pass(300000, 50000);
        return;
    case '4':
        world_pass(SECOND + 50000, 150000);
        return;
    case '5':
        world_pass(2 * SECOND + 100000, 300000);
        return;
    default:
        if (peers_move()) /* the judge notes when the app was asked */
            world_rest();
        peers.now += 5 * SECOND;
        return;
    }
}

static enum peers_connect connect_of(char how)
{
    switch (how) {
    case 'r':
        return PEERS_CONNECT_REFUSED;
    case 'f':
        return PEERS_CONNECT_FULL;
    case 'l':
        return PEERS_CONNECT_LATER;
    case 'a':
        return PEERS_CONNECT_NO_ADDRESS;
    default:
        return PEERS_CONNECT;
    }
}

/* To look at one input: FUZZ_SHOW=1 build/fuzz/fuzz_proxy FILE */
static bool shows(void)
{
    return getenv("FUZZ_SHOW") != NULL;
}

static void show(const char *who, size_t n, const struct peer *p)
{
    struct span got = {strbuf_cstr(&p->got), p->got.len};

    if (got.len > 2000)
        got.len = 2000;
    fprintf(stderr, "---- %s %zu got %zu bytes%s%s\n%.*s\n", who, n, p->got.len,
            p->ended ? ", ended" : "", p->was_reset ? " by a reset" : "", SPAN_PRINTF(got));
}

static void show_all(void)
{
    for (size_t i = 0; i < peers.n_clients; i++)
        show("client", i, &peers.clients[i]);
    for (size_t i = 0; i < peers.n_apps; i++)
        show("app", i, &peers.apps[i].peer);
}

static void operation(struct span op)
{
    char who = op.at[0], what = op.len > 1 ? op.at[1] : 's';
    struct span bytes = {op.at + (op.len > 1 ? 2 : 1), op.len > 1 ? op.len - 2 : 0};

    if (shows())
        fprintf(stderr, "[%.3f] %.*s\n", (double)peers.now / SECOND, SPAN_PRINTF(op));
    if (who >= 'A' && who < 'A' + NAMES) {
        struct peer *p = connected((size_t)(who - 'A'), what == 's' || what == 'x' || what == 'p');
        if (p != NULL)
            act(p, what, bytes);
    } else if (who >= '0' && who < '4') {
        act_app(app_number((size_t)(who - '0')), what, bytes);
    } else if (who == 't') {
        time_goes_by(what);
    } else if (who == 'n') {
        peers.next_connect = connect_of(what);
    } else if (who == 'g' || who == 'h') {
        peers.away = who == 'g';
    } else if (who == 'u') {
        world_tell(WORLD_UP);
    } else if (who == 'a' && !world.told[WORLD_DRAIN]) {
        world_tell(WORLD_ANNOUNCE);
    } else if (who == 'b') {
        world_tell(WORLD_CANCEL);
        world_turn();
    } else if (who == 'd') {
        world_tell(WORLD_DRAIN);
    } else if (who == 'l' && world.told[WORLD_DRAIN]) {
        judge_rules.late = true;
        world_tell(WORLD_LATE);
    } else if (who == 'x' && world.told[WORLD_DRAIN]) {
        judge_rules.cut = true;
        world_tell(WORLD_CUT);
    } else if (who == 'z') {
        reload((uint8_t)what);
    } else if (who == 'm') {
        world_tell(WORLD_FULL);
        world_turn();
    } else if (who == '.') {
        world_turn();
    }
}

static void run_script(struct span script)
{
    while (script.len > 0) {
        size_t n = 1;
        bool at_once = (uint8_t)script.at[0] == AT_ONCE;
        while (n < script.len && (uint8_t)script.at[n] < AT_ONCE)
            n++;
        if (n > 1 && (uint8_t)script.at[0] >= AT_ONCE)
            operation((struct span){script.at + 1, n - 1});
        if (!at_once)
            world_rest();
        script = (struct span){script.at + n, script.len - n};
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t before[2], after[2];

    if (size < 2)
        return 0;
    world_config();
    world_descriptors(before);
    char *script = fuzz_block(data + 2, size - 2);
    peers_begin();
    judge_begin();
    memset(named, 0, sizeof(named));
    build(data[0], data[1]);
    run_script((struct span){script, size - 2});
    world_end_by_itself();
    peers_read_all();
    judge_apps();
    if (shows())
        show_all();
    judge_messages();
    world_check_nothing_is_left();
    peers_end();
    world_rest();
    world_take_down();
    world_descriptors(after);
    CHECK(before[0] == after[0] && before[1] == after[1]);
    free(script);
    return 0;
}
