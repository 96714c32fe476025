/*
 * The whole proxy, in one thread and by a clock of its own: clients and the app follow a script,
 * and weir must keep its laws whatever they do.
 *
 * The input: two bytes of configuration, then operations. Each begins with 0xff (weir comes to rest
 * after it) or 0xfe (the next one follows at once, so that what both do meets weir in one turn),
 * and goes on until the next of these two; so the bytes 0xfe and 0xff are never sent. An operation
 * is
 *
 *     who    A to D: a client, which connects when it has to; 0 to 3: the app's connections, the
 *            oldest first
 *     what   s...  sends the rest            x.... sends the rest many times, as the next byte says
 *            c     closes                    h     ends its own side
 *            p     reads no more             g     reads on           r     reads a little
 *            k     (app) answers 200         o     (app) accepts a connection in progress
 *
 * or  t1 to t6: time goes by;   n and one of r f l a: the next connect() is refused, has no room
 *     now, is in progress, finds no address;   u: the app is up;   d l x: drain, its last moment,
 *     and the cut;   m: a new client needs a place;   . one turn.
 *
 * The laws: requests inside the app <= slots taken <= limit, always; each message that is passed on
 * is one that a second strict reader reads out of what the peer sent (judge.c); in the end nothing
 * is left, all by itself: exchanges, slots, queue, connections, memory, descriptors; and the sums
 * of what was measured agree to the microsecond.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#include "common/log.h"
#include "proxy/client.h"
#include "proxy/config.h"
#include "proxy/exchange.h"
#include "proxy/loop.h"
#include "proxy/stats.h"
#include "proxy/upstream.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/judge.h"
#include "tests/fuzz/peers.h"

#define AT_ONCE     0xfe
#define THEN        0xff
#define NAMES       4     /* clients at once */
#define TURNS_MAX   20000 /* more to come to rest: it spins */
#define STEPS_MAX   4000  /* of half a second: more to end by itself, and it never will */
#define SECOND      1000000
#define REPEAT_MAX  4096
#define DESCRIPTORS 96

/* ---- weir ---- */

static struct house {
    struct config config;
    struct loop *loop;
    struct stats *stats;
    struct exchange_house shared;
    struct upstream_shared *room;
    uint32_t connections_max;
    struct upstream *upstream;
    struct exchange_env *exchanges;
    struct clients *clients;
    bool up, draining, late, cut;
} house;

/* What weir has told its statistics. */
static struct sums {
    mono_us waits, holds;
    int connections[2][2];
    int64_t buffered[2];
    int orphans, upgrades;
} sums;

void __wrap_stats_queue_wait(struct stats_shard *sh, enum stats_outcome outcome, mono_us us);
void __real_stats_queue_wait(struct stats_shard *sh, enum stats_outcome outcome, mono_us us);
void __wrap_stats_slot_hold(struct stats_shard *sh, mono_us us);
void __real_stats_slot_hold(struct stats_shard *sh, mono_us us);
void __wrap_stats_connection(struct stats_shard *sh, enum stats_side side,
                             enum stats_conn_state state, int change);
void __wrap_stats_buffered(struct stats_shard *sh, enum stats_what what, int64_t change);
void __wrap_stats_upgrade_begins(struct stats_shard *sh);
void __real_stats_upgrade_begins(struct stats_shard *sh);
void __wrap_stats_upgrade_ends(struct stats_shard *sh, mono_us hold);
void __real_stats_upgrade_ends(struct stats_shard *sh, mono_us hold);
void __wrap_stats_orphan_begins(struct stats_shard *sh);
void __real_stats_orphan_begins(struct stats_shard *sh);
void __wrap_stats_orphan_ends(struct stats_shard *sh, mono_us hold);
void __real_stats_orphan_ends(struct stats_shard *sh, mono_us hold);

void __wrap_stats_queue_wait(struct stats_shard *sh, enum stats_outcome outcome, mono_us us)
{
    sums.waits += us;
    __real_stats_queue_wait(sh, outcome, us);
}

void __wrap_stats_slot_hold(struct stats_shard *sh, mono_us us)
{
    sums.holds += us;
    __real_stats_slot_hold(sh, us);
}

void __wrap_stats_connection(struct stats_shard *sh, enum stats_side side,
                             enum stats_conn_state state, int change)
{
    (void)sh;
    sums.connections[side][state] += change;
    CHECK(sums.connections[side][state] >= 0);
}

void __wrap_stats_buffered(struct stats_shard *sh, enum stats_what what, int64_t change)
{
    (void)sh;
    sums.buffered[what] += change;
    CHECK(sums.buffered[what] >= 0);
}

void __wrap_stats_upgrade_begins(struct stats_shard *sh)
{
    sums.upgrades++;
    __real_stats_upgrade_begins(sh);
}

void __wrap_stats_upgrade_ends(struct stats_shard *sh, mono_us hold)
{
    sums.upgrades--;
    sums.holds += hold;
    __real_stats_upgrade_ends(sh, hold);
}

void __wrap_stats_orphan_begins(struct stats_shard *sh)
{
    sums.orphans++;
    __real_stats_orphan_begins(sh);
}

void __wrap_stats_orphan_ends(struct stats_shard *sh, mono_us hold)
{
    sums.orphans--;
    CHECK(sums.orphans >= 0);
    __real_stats_orphan_ends(sh, hold);
}

static const struct config *base_config(void)
{
    static struct config *base;
    static char text[] = "--upstream=unix:/weir-fuzz/app.sock\0"
                         "--listen=127.0.0.1:1\0"
                         "--admin-listen=off\0"
                         "--log-level=error\0"
                         "--upstream-connect-timeout=1s\0"
                         "--upstream-first-byte-timeout=2s\0"
                         "--upstream-idle-timeout=1s\0"
                         "--upstream-keepalive-timeout=1s\0"
                         "--queue-timeout=1s\0"
                         "--client-head-timeout=1s\0"
                         "--client-body-timeout=1s\0"
                         "--client-send-timeout=1s\0"
                         "--client-keepalive-timeout=3s\0"
                         "--client-max-head=1KiB\0"
                         "--client-max-headers=24\0"
                         "--upgrades-idle-timeout=1s\0"
                         "--startup-timeout=1s\0";
    char *flags[32];
    struct config_source src = {.argv = flags};
    struct strbuf problems = {0};

    if (base != NULL)
        return base;
    for (char *at = text; *at != '\0'; at += strlen(at) + 1)
        flags[src.argc++] = at;
    base = config_load(&src, &problems);
    if (base == NULL)
        fputs(strbuf_cstr(&problems), stderr);
    CHECK(base != NULL);
    log_configure(base->log.level, LOG_FORMAT_TEXT);
    return base;
}

static void configure(struct config *c, uint8_t a, uint8_t b)
{
    static struct cidr all_clients = {.family = AF_INET, .bits = 8, .addr = {10}};

    memcpy(c, base_config(), sizeof(*c));
    c->concurrency = a & 1 ? 1 : 2;
    c->on_client_abort = a & 2 ? CONFIG_ABORT_CLOSE : CONFIG_ABORT_FINISH;
    c->client.half_close = a & 4 ? CONFIG_HALF_CLOSE_ALLOW : CONFIG_HALF_CLOSE_ABORT;
    c->headers.forwarded = a & 8 ? CONFIG_FORWARDED_REPLACE : CONFIG_FORWARDED_APPEND;
    c->headers.trusted = &all_clients;
    c->headers.n_trusted = a & 16 ? 1 : 0;
    c->client.max_body = a & 32 ? 1000 : CONFIG_UNLIMITED;
    c->queue.length = b & 1 ? 0 : 2;
    c->headers.request_start = b & 4;
    c->buffers.response = b & 8 ? 16384 : 4096;
    c->buffers.request = b & 8 ? 4096 : 1000;
    c->buffers.budget = b & 32 ? 8192 : 1048576;
    c->headers.server_timing = b & 64;
    if (b & 16)
        c->headers.request_id[0] = '\0';
    judge_rules.abort_closes = c->on_client_abort == CONFIG_ABORT_CLOSE;
    judge_rules.believes = c->headers.n_trusted > 0 && (a & 8) == 0;
    judge_rules.half_close = c->client.half_close == CONFIG_HALF_CLOSE_ALLOW;
    judge_rules.patience = c->upstream.idle_timeout;
}

static void on_ended(void *arg, bool client)
{
    (void)arg;
    (void)client;
}

static void app_is_up(void)
{
    house.up = true;
    atomic_store(&house.shared.ready, true);
    exchange_deliver(limiter_resume(house.shared.limiter, loop_tick(house.loop)));
    exchange_app_is_up(house.exchanges);
}

/* As server.c builds a worker. */
static void house_build(uint8_t a, uint8_t b)
{
    house = (struct house){0};
    sums = (struct sums){0};
    configure(&house.config, a, b);
    const struct config *cf = &house.config;
    const struct limiter_config lc = {.limit = cf->concurrency,
                                      .queue_length = cf->queue.length,
                                      .queue_bytes = cf->queue.max_bytes};

    house.loop = loop_new(0);
    CHECK(house.loop != NULL);
    house.stats = stats_new(1, cf);
    house.shared.limiter = limiter_new(&lc, peers.now);
    limiter_pause(house.shared.limiter, peers.now);
    atomic_store(&house.shared.startup_deadline, peers.now + cf->startup.timeout);
    budget_init(&house.shared.budget, cf->buffers.budget);
    house.shared.upgrades_max = a & 64 ? cf->concurrency : 1;
    house.connections_max = b & 128 ? 1 : cf->concurrency;
    house.room = upstream_shared_new(house.connections_max, 1);
    struct stats_shard *shard = stats_shard_of(house.stats, 0);
    house.upstream = upstream_new(house.room, house.loop, shard, cf, &house.shared.budget);
    const struct exchange_env_config env = {.house = &house.shared,
                                            .loop = house.loop,
                                            .upstream = house.upstream,
                                            .stats = shard,
                                            .config = cf,
                                            .on_ended = on_ended};
    house.exchanges = exchange_env_new(&env);
    house.clients = clients_new(house.loop, shard, cf, &house.shared.budget,
                                &exchange_client_handler, house.exchanges);
    if (!(b & 2))
        app_is_up();
}

static void house_take_down(void)
{
    clients_free(house.clients);
    upstream_free(house.upstream);
    exchange_env_free(house.exchanges);
    loop_free(house.loop); /* no block of the pool is in use */
    upstream_shared_free(house.room);
    limiter_free(house.shared.limiter);
    stats_free(house.stats);
}

/* ---- coming to rest ---- */

static void check_slots(void)
{
    struct limiter_snapshot now;

    limiter_snapshot(house.shared.limiter, peers.now, &now);
    CHECK(now.accounting_errors == 0);
    CHECK(exchange_audit(house.exchanges));
    CHECK(now.in_flight <= house.config.concurrency);
    CHECK(judge_inside() <= now.in_flight);
    CHECK(sums.connections[STATS_UPSTREAM][STATS_ACTIVE] +
              sums.connections[STATS_UPSTREAM][STATS_IDLE] <=
          (int)house.connections_max);
}

static bool turn(void)
{
    peers_before_turn();
    return loop_turn(house.loop);
}

static void rest(void)
{
    int turns = 0;

    peers.now += 1000;
    for (;;) {
        bool busy = turn();
        bool moved = peers_move();
        if (!busy && !moved)
            break;
        CHECK(++turns < TURNS_MAX);
    }
    judge_apps();
    check_slots();
    for (size_t i = 0; i < peers.n_clients; i++) {
        struct peer *p = &peers.clients[i];
        p->settled = p->settled || p->fd < 0 || p->half_closed;
    }
}

static void pass(mono_us time, mono_us step)
{
    for (mono_us until = peers.now + time; peers.now < until;) {
        peers.now += step - 1000;
        rest();
    }
}

/* ---- what weir is told by its other threads ---- */

static struct arrival {
    struct mail mail;
    int fd;
    size_t number;
} arrivals[PEERS_CLIENTS];

static void on_arrival(struct mail *m)
{
    const struct arrival *a = CONTAINER_OF(m, struct arrival, mail);
    const struct sockaddr_in sa = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(0x0a000001 + (uint32_t)a->number)};

    loop_tick(house.loop);
    client_accept(house.clients, a->fd, (const struct sockaddr *)&sa);
}

static void on_drain(struct mail *m)
{
    (void)m;
    exchange_drain(house.exchanges);
    upstream_drain(house.upstream);
    clients_drain(house.clients);
}

static void on_late(struct mail *m)
{
    (void)m;
    exchange_turn_away(house.exchanges);
}

static void on_cut(struct mail *m)
{
    (void)m;
    exchange_cut_all(house.exchanges);
    clients_cut(house.clients);
}

static void on_full(struct mail *m)
{
    (void)m;
    loop_tick(house.loop);
    if (!clients_make_room(house.clients) && exchange_make_room(house.exchanges))
        return;
}

static void on_up(struct mail *m)
{
    (void)m;
    app_is_up();
}

static void tell(struct mail *m, void (*deliver)(struct mail *m), bool *once)
{
    if (*once)
        return;
    *once = true;
    m->deliver = deliver;
    loop_post(house.loop, m);
}

/* ---- the script ---- */

static size_t named[NAMES]; /* a client's number, from 1; 0: it has not connected */

static struct peer *connected(size_t name, bool anew)
{
    struct peer *p = named[name] > 0 ? &peers.clients[named[name] - 1] : NULL;

    if (p != NULL && (!anew || (p->fd >= 0 && !p->ended)))
        return p;
    int fd = anew && !house.draining ? peers_client() : -1;
    if (fd < 0)
        return p;
    struct arrival *a = &arrivals[peers.n_clients - 1];
    *a = (struct arrival){.mail.deliver = on_arrival, .fd = fd, .number = peers.n_clients - 1};
    loop_post(house.loop, &a->mail);
    named[name] = peers.n_clients;
    return &peers.clients[peers.n_clients - 1];
}

static struct app *app_number(size_t n)
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

static void act_app(struct app *a, char what, struct span bytes)
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
        pass(1000, 1000);
        return;
    case '2':
        pass(20000, 10000);
        return;
    case '3':
        pass(300000, 50000);
        return;
    case '4':
        pass(SECOND + 50000, 150000);
        return;
    case '5':
        pass(2 * SECOND + 100000, 300000);
        return;
    default:
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

/* For a person who looks at one input: FUZZ_SHOW=1 build/fuzz/fuzz_proxy FILE */
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
    static struct mail up, drain, late, cut, full;
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
    } else if (who == 'u') {
        tell(&up, on_up, &house.up);
    } else if (who == 'd') {
        tell(&drain, on_drain, &house.draining);
    } else if (who == 'l' && house.draining) {
        tell(&late, on_late, &house.late);
    } else if (who == 'x' && house.draining) {
        judge_rules.cut = true;
        tell(&cut, on_cut, &house.cut);
    } else if (who == 'm') {
        bool posted = false;
        tell(&full, on_full, &posted);
        turn();
    } else if (who == '.') {
        turn();
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
            rest();
        script = (struct span){script.at + n, script.len - n};
    }
}

/* ---- the end ---- */

static bool all_has_ended(void)
{
    return exchange_total(house.exchanges) == 0 && clients_count(house.clients) == 0 &&
           sums.connections[STATS_UPSTREAM][STATS_ACTIVE] == 0 &&
           sums.connections[STATS_UPSTREAM][STATS_IDLE] == 0;
}

/* Nobody does anything any more; every timeout has its time. */
static void end_by_itself(void)
{
    int steps = 0;

    rest();
    while (!all_has_ended()) {
        pass(SECOND / 2, SECOND / 2);
        CHECK(++steps < STEPS_MAX);
    }
}

static void check_nothing_is_left(void)
{
    struct limiter_snapshot now;

    limiter_snapshot(house.shared.limiter, peers.now, &now);
    CHECK(now.in_flight == 0 && now.depth == 0 && now.bytes == 0 && now.accounting_errors == 0);
    CHECK(exchange_audit(house.exchanges));
    CHECK((mono_us)now.in_flight_us == sums.holds);
    CHECK((mono_us)now.queued_us == sums.waits);
    CHECK(sums.connections[STATS_CLIENT][STATS_ACTIVE] == 0);
    CHECK(sums.connections[STATS_CLIENT][STATS_IDLE] == 0);
    CHECK(sums.buffered[STATS_REQUEST] == 0 && sums.buffered[STATS_RESPONSE] == 0);
    CHECK(atomic_load(&house.shared.budget.held) == 0 && atomic_load(&house.shared.upgrades) == 0);
    CHECK(sums.orphans == 0 && sums.upgrades == 0);
}

static void open_descriptors(uint64_t is_open[2])
{
    is_open[0] = is_open[1] = 0;
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            is_open[fd / 64] |= UINT64_C(1) << fd % 64;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t before[2], after[2];

    if (size < 2)
        return 0;
    base_config();
    open_descriptors(before);
    char *script = fuzz_block(data + 2, size - 2);
    peers_begin();
    judge_begin();
    memset(named, 0, sizeof(named));
    house_build(data[0], data[1]);
    run_script((struct span){script, size - 2});
    end_by_itself();
    peers_read_all();
    judge_apps();
    if (shows())
        show_all();
    judge_messages();
    check_nothing_is_left();
    peers_end();
    rest();
    house_take_down();
    open_descriptors(after);
    CHECK(before[0] == after[0] && before[1] == after[1]);
    free(script);
    return 0;
}
