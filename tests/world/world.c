/* See world.h. The functions of stats.c are wrapped, so that totals can be compared at the end. */
#include "tests/world/world.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/log.h"
#include "proxy/access_log.h"
#include "proxy/capacity.h"
#include "proxy/classes.h"
#include "proxy/stats_reading.h"
#include "tests/world/peers.h"

#define TURNS_MAX   20000 /* if it does not come to rest within these, it spins */
#define STEPS_MAX   4000  /* of half a second; what does not end within these never will */
#define SECOND      1000000
#define DESCRIPTORS 96
#define ACCESS      ((struct access_log_shard *)(void *)&world) /* never read */

struct world world;

/* ---- what weir has recorded ---- */

void __wrap_stats_queue_wait(struct stats_shard *sh, enum stats_outcome outcome, mono_us us);
void __real_stats_queue_wait(struct stats_shard *sh, enum stats_outcome outcome, mono_us us);
void __wrap_stats_slot_hold(struct stats_shard *sh, const struct record *r, mono_us us);
void __real_stats_slot_hold(struct stats_shard *sh, const struct record *r, mono_us us);
void __wrap_stats_requeued(struct stats_shard *sh, mono_us hold);
void __real_stats_requeued(struct stats_shard *sh, mono_us hold);
void __wrap_stats_connection(struct stats_shard *sh, enum stats_side side,
                             enum stats_conn_state state, int change);
void __wrap_stats_buffered(struct stats_shard *sh, enum stats_what what, int64_t change);
void __wrap_stats_reached(struct stats_shard *sh, const struct record *r,
                          enum stats_milestone milestone);
void __real_stats_reached(struct stats_shard *sh, const struct record *r,
                          enum stats_milestone milestone);
void __wrap_stats_wrong(struct stats_shard *sh);
void __wrap_access_log_note(struct access_log_shard *sh, const struct config *config,
                            const struct record *record, const struct access_request *request);

static size_t lane_of(const struct stats_shard *sh)
{
    return sh == stats_shard_of(world.bypass_stats, 0);
}

void __wrap_stats_queue_wait(struct stats_shard *sh, enum stats_outcome outcome, mono_us us)
{
    world.sums.waits[lane_of(sh)] += us;
    __real_stats_queue_wait(sh, outcome, us);
}

void __wrap_stats_slot_hold(struct stats_shard *sh, const struct record *r, mono_us us)
{
    world.sums.holds[lane_of(sh)] += us;
    __real_stats_slot_hold(sh, r, us);
}

void __wrap_stats_requeued(struct stats_shard *sh, mono_us hold)
{
    world.sums.holds[lane_of(sh)] += hold;
    __real_stats_requeued(sh, hold);
}

void __wrap_stats_connection(struct stats_shard *sh, enum stats_side side,
                             enum stats_conn_state state, int change)
{
    (void)sh;
    world.sums.connections[side][state] += change;
    CHECK(world.sums.connections[side][state] >= 0);
}

void __wrap_stats_buffered(struct stats_shard *sh, enum stats_what what, int64_t change)
{
    (void)sh;
    world.sums.buffered[what] += change;
    CHECK(world.sums.buffered[what] >= 0);
}

void __wrap_stats_reached(struct stats_shard *sh, const struct record *r,
                          enum stats_milestone milestone)
{
    world.sums.upgrades += milestone == STATS_UPGRADED;
    world.sums.orphans += milestone == STATS_ORPHANED;
    if (milestone == STATS_ENDED) {
        CHECK(record_total(r) == r->since - r->began - r->spent[RECORD_ORPHAN]);
        world.sums.upgrades -= r->upgraded;
        world.sums.orphans -= r->orphaned;
        world.sums.ended++;
        world.sums.total += r->upgraded ? 0 : record_total(r);
    }
    CHECK(world.sums.orphans >= 0 && world.sums.upgrades >= 0);
    world.last = *r;
    __real_stats_reached(sh, r, milestone);
}

void __wrap_stats_wrong(struct stats_shard *sh)
{
    (void)sh;
    CHECK(false);
}

/* ---- the access log ---- */

/* No writer: each line is written at once. Whatever a client has sent, it is one line. */
void __wrap_access_log_note(struct access_log_shard *sh, const struct config *config,
                            const struct record *record, const struct access_request *request)
{
    static _Alignas(struct access_entry) char
        entry[sizeof(struct access_entry) + ACCESS_TARGET_MAX + ACCESS_TEXTS * ACCESS_TEXT_MAX];
    static char line[ACCESS_LINE_MAX];
    struct access_style style = {.profile = config->log.profile};

    CHECK(sh == ACCESS && access_entry_size(request) <= sizeof(entry));
    access_entry_write(config, record, request, entry);
    size_t len = access_line_write(&style, (const struct access_entry *)(const void *)entry, line);
    for (size_t i = 0; i < len - 1; i++)
        CHECK((unsigned char)line[i] >= ' ' && line[i] != 0x7f);
    CHECK(line[len - 1] == '\n');
    world.line = (struct span){line, len};
    world.lines++;
}

/* ---- building, like a worker in server.c ---- */

#define UNBOUNDED 1000 /* connections, in a dry run */

const struct config *world_config(void)
{
    static struct config *base;
    static char text[] = "--upstream=unix:/weir-test/app.sock\0"
                         "--listen=127.0.0.1:1\0"
                         "--admin-listen=off\0"
                         "--log-level=error\0"
                         "--log-access=all\0"
                         "--upstream-connect-timeout=1s\0"
                         "--upstream-first-byte-timeout=2s\0"
                         "--upstream-idle-timeout=1s\0"
                         "--upstream-orphan-timeout=500ms\0"
                         "--upstream-keepalive-timeout=1s\0"
                         "--queue-timeout=1s\0"
                         "--client-head-timeout=1s\0"
                         "--client-body-timeout=1s\0"
                         "--client-send-timeout=1s\0"
                         "--client-keepalive-timeout=3s\0"
                         "--client-max-head=1KiB\0"
                         "--client-max-headers=24\0"
                         "--upgrades-idle-timeout=1s\0"
                         "--startup-probe=none\0" /* up when the test says so */
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

static void on_ended(void *arg, bool client)
{
    (void)arg;
    if (client)
        world.clients_ended++;
    else
        world.exchanges_ended++;
    if (world.at_end != NULL)
        world.at_end();
}

static void wake(void *arg)
{
    (void)arg;
    world.woken++;
}

static void on_app_up(void *arg, struct limiter_waiter *chain)
{
    (void)arg;
    exchange_deliver(chain);
    exchange_app_is_up(world.exchanges);
}

static void app_comes_up(void)
{
    world.told[WORLD_UP] = true;
    app_start(world.shared.app);
}

static void build_shared(const struct world_how *how)
{
    const struct config *cf = world.config;
    const struct limiter_config lc = classes_limiter_config(cf);

    world.stats = stats_new(1, cf);
    world.bypass_stats = stats_new(1, cf);
    world.shared.limiter = limiter_new(&lc, peers.now);
    const struct limiter_config bypass = capacity_queue(cf);
    world.shared.bypass = limiter_new(&bypass, peers.now);
    exchange_bypass_configure(&world.shared, cf, peers.now);
    exchange_deliver(limiter_set_slots(world.shared.limiter, 0, cf->concurrency, peers.now));
    const struct app_how app = {
        .loop = world.loop, .limiter = world.shared.limiter, .config = cf, .on_up = on_app_up};
    world.shared.app = app_new(&app);
    budget_init(&world.shared.budget, cf->buffers.budget);
    atomic_store(&world.shared.upgrades_max, how->upgrades_max);
    world.connections_max =
        cf->enforce ? how->connections_max + exchange_bypass_limit(cf) : UNBOUNDED;
    world.room = upstream_shared_new(world.connections_max, 1);
}

void world_build(const struct world_how *how)
{
    world = (struct world){.n_configs = 1, .at_rest = how->at_rest};
    struct config *cf = &world.configs[0];
    memcpy(cf, &how->config, sizeof(*cf));
    atomic_init(&cf->refs, 1);
    world.config = cf;
    world.inside_max = cf->concurrency;
    world.loop = loop_new(0);
    CHECK(world.loop != NULL);
    build_shared(how);
    struct stats_shard *shard = stats_shard_of(world.stats, 0);
    world.upstream = upstream_new(world.room, world.loop, shard, cf, &world.shared.budget);
    world.completions = completions_new(wake, NULL);
    const struct exchange_env_config env = {.shared = &world.shared,
                                            .loop = world.loop,
                                            .upstream = world.upstream,
                                            .stats = shard,
                                            .bypass_stats = stats_shard_of(world.bypass_stats, 0),
                                            .completions = world.completions,
                                            .access = ACCESS,
                                            .config = cf,
                                            .on_ended = on_ended};
    world.exchanges = exchange_env_new(&env);
    world.clients = clients_new(world.loop, shard, cf, &world.shared.budget,
                                &exchange_client_handler, world.exchanges);
    if (!how->starting)
        app_comes_up();
}

static bool all_are_gone(void)
{
    static struct stats_reading r;
    const struct stats_now now = {0};

    stats_read(world.stats, &now, &r);
    return r.cell[C_ASIDE] == 0 && r.cell[C_UPGRADES] == 0 && r.cell[C_ORPHANS] == 0;
}

void world_take_down(void)
{
    CHECK(all_are_gone());
    clients_free(world.clients);
    upstream_free(world.upstream);
    exchange_env_free(world.exchanges);
    completions_free(world.completions);
    app_free(world.shared.app);
    loop_free(world.loop); /* checks that no block of the pool is in use */
    for (unsigned i = 0; i < world.n_configs; i++)
        CHECK(!world_uses(i));
    upstream_shared_free(world.room);
    limiter_free(world.shared.limiter);
    limiter_free(world.shared.bypass);
    stats_free(world.stats);
    stats_free(world.bypass_stats);
}

/* ---- coming to rest ---- */

void world_limiter(struct limiter_snapshot *now)
{
    limiter_snapshot(world.shared.limiter, peers.now, now);
}

void world_bypass(struct limiter_snapshot *now)
{
    limiter_snapshot(world.shared.bypass, peers.now, now);
}

/* Requests that are inside when the limit is lowered stay, and none enters until there are fewer;
 * each may have a connection. */
static void settle(void)
{
    struct limiter_snapshot now;

    world_limiter(&now);
    uint32_t inside = now.in_flight < world.inside_max ? now.in_flight : world.inside_max;
    if (world.n_configs == 1)
        return;
    world.inside_max = inside > world.config->concurrency ? inside : world.config->concurrency;
    world.connections_max = world.config->enforce
                                ? world.inside_max + exchange_bypass_limit(world.config) +
                                      atomic_load(&world.shared.without_slot)
                                : UNBOUNDED;
    upstream_shared_configure(world.room, world.connections_max);
}

static void check_slots(void)
{
    struct limiter_snapshot now;

    world_bypass(&now);
    CHECK(now.accounting_errors == 0 && now.in_flight <= world.config->bypass.concurrency);
    world_limiter(&now);
    CHECK(now.accounting_errors == 0);
    CHECK(exchange_audit(world.exchanges));
    CHECK(now.in_flight <= world.inside_max);
    CHECK(world.sums.connections[STATS_UPSTREAM][STATS_ACTIVE] +
              world.sums.connections[STATS_UPSTREAM][STATS_IDLE] <=
          (int)world.connections_max);
}

bool world_turn(void)
{
    peers_before_turn();
    return loop_turn(world.loop);
}

void world_rest(void)
{
    int turns = 0;

    peers.now += WORLD_REST_US;
    settle();
    for (;;) {
        bool busy = world_turn();
        bool moved = peers_move();
        if (!busy && !moved)
            break;
        CHECK(++turns < TURNS_MAX);
    }
    if (world.at_rest != NULL)
        world.at_rest();
    check_slots();
    for (size_t i = 0; i < peers.n_clients; i++) {
        struct peer *p = &peers.clients[i];
        p->settled = p->settled || p->fd < 0 || p->half_closed;
    }
}

void world_pass(mono_us time, mono_us step)
{
    for (mono_us until = peers.now + time; peers.now < until;) {
        peers.now += step - WORLD_REST_US;
        world_rest();
    }
}

/* ---- messages from weir's other threads ---- */

static struct arrival {
    struct task task;
    int fd;
    size_t number;
} arrivals[PEERS_CLIENTS];

static void on_arrival(struct task *task)
{
    const struct arrival *a = CONTAINER_OF(task, struct arrival, task);
    const struct sockaddr_in sa = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(0x0a000001 + (uint32_t)a->number)};

    loop_tick(world.loop);
    client_accept(world.clients, a->fd, (const struct sockaddr *)&sa);
}

struct peer *world_client(void)
{
    int fd = peers_client();

    if (fd < 0)
        return NULL;
    size_t n = peers.n_clients - 1;
    arrivals[n] = (struct arrival){.task.run = on_arrival, .fd = fd, .number = n};
    loop_post(world.loop, &arrivals[n].task);
    return &peers.clients[n];
}

static void on_announce(struct task *task)
{
    (void)task;
    exchange_announce(world.exchanges);
}

static void on_drain(struct task *task)
{
    (void)task;
    exchange_drain(world.exchanges);
    upstream_drain(world.upstream);
    clients_drain(world.clients);
}

static void on_late(struct task *task)
{
    (void)task;
    world.turned_away += exchange_turn_away(world.exchanges);
}

static void on_cut(struct task *task)
{
    (void)task;
    world.cut += exchange_cut_all(world.exchanges);
    clients_cut(world.clients);
}

static void on_cancel(struct task *task)
{
    (void)task;
    exchange_undrain(world.exchanges);
    upstream_undrain(world.upstream);
    clients_undrain(world.clients);
    for (int order = WORLD_ANNOUNCE; order <= WORLD_CANCEL; order++)
        world.told[order] = false;
}

static void on_full(struct task *task)
{
    (void)task;
    loop_tick(world.loop);
    world.made_room = clients_make_room(world.clients) || exchange_make_room(world.exchanges);
}

static void on_up(struct task *task)
{
    (void)task;
    app_comes_up();
}

void world_tell(enum world_order order)
{
    static void (*const run[WORLD_ORDERS])(struct task * task) = {
        [WORLD_UP] = on_up,     [WORLD_ANNOUNCE] = on_announce, [WORLD_DRAIN] = on_drain,
        [WORLD_LATE] = on_late, [WORLD_CUT] = on_cut,           [WORLD_CANCEL] = on_cancel,
        [WORLD_FULL] = on_full};
    struct task *task = &world.orders[order];

    if (world.told[order])
        return;
    world.told[order] = order != WORLD_FULL;
    task->run = run[order];
    loop_post(world.loop, task);
}

/* ---- a reload ---- */

static struct config_task {
    struct task task;
    struct config *next;
} config_tasks[WORLD_CONFIGS];

static void on_config(struct task *task)
{
    struct config *next = CONTAINER_OF(task, struct config_task, task)->next;

    loop_tick(world.loop);
    clients_configure(world.clients, next);
    upstream_configure(world.upstream, next);
    exchange_env_configure(world.exchanges, next);
}

static void set_limits(void)
{
    const struct limiter_config lc = classes_limiter_config(world.config);

    exchange_deliver(limiter_reconfigure(world.shared.limiter, &lc, peers.now));
    exchange_deliver(
        limiter_set_slots(world.shared.limiter, 0, world.config->concurrency, peers.now));
}

bool world_configure(const struct config *config)
{
    bool lower = config->concurrency < world.config->concurrency;
    unsigned n = world.n_configs;

    if (n == WORLD_CONFIGS)
        return false;
    struct config *next = &world.configs[n];
    memcpy(next, config, sizeof(*next));
    atomic_init(&next->refs, 1);
    world.config = next;
    world.n_configs++;
    if (lower)
        set_limits();
    else if (world.inside_max < next->concurrency) /* more may be inside, since an earlier one */
        world.inside_max = next->concurrency;
    settle();
    budget_resize(&world.shared.budget, next->buffers.budget);
    atomic_store(&world.shared.upgrades_max, next->concurrency);
    config_tasks[n] = (struct config_task){.task.run = on_config, .next = next};
    loop_post(world.loop, &config_tasks[n].task);
    if (!lower)
        set_limits();
    return true;
}

bool world_uses(unsigned n)
{
    return atomic_load(&world.configs[n].refs) > 1;
}

/* ---- the end ---- */

static bool all_has_ended(void)
{
    return exchange_total(world.exchanges) == 0 && clients_count(world.clients) == 0 &&
           world.sums.connections[STATS_UPSTREAM][STATS_ACTIVE] == 0 &&
           world.sums.connections[STATS_UPSTREAM][STATS_IDLE] == 0;
}

void world_end_by_itself(void)
{
    int steps = 0;

    world_rest();
    while (!all_has_ended()) {
        world_pass(SECOND / 2, SECOND / 2);
        CHECK(++steps < STEPS_MAX);
    }
}

static void check_limiter(const struct limiter_snapshot *now, size_t lane)
{
    CHECK(now->in_flight == 0 && now->depth == 0 && now->bytes == 0);
    CHECK(now->accounting_errors == 0);
    CHECK((mono_us)now->in_flight_us == world.sums.holds[lane]);
    CHECK((mono_us)now->queued_us == world.sums.waits[lane]);
}

void world_check_nothing_is_left(void)
{
    struct limiter_snapshot now;

    world_limiter(&now);
    check_limiter(&now, 0);
    world_bypass(&now);
    check_limiter(&now, 1);
    CHECK(exchange_audit(world.exchanges));
    CHECK(world.lines == world.sums.ended || world.config->log.access != CONFIG_ACCESS_ALL);
    CHECK(world.sums.connections[STATS_CLIENT][STATS_ACTIVE] == 0);
    CHECK(world.sums.connections[STATS_CLIENT][STATS_IDLE] == 0);
    CHECK(world.sums.buffered[STATS_REQUEST] == 0 && world.sums.buffered[STATS_RESPONSE] == 0);
    CHECK(atomic_load(&world.shared.budget.held) == 0 && atomic_load(&world.shared.upgrades) == 0);
    CHECK(world.sums.orphans == 0 && world.sums.upgrades == 0);
    CHECK(atomic_load(&world.shared.without_slot) == 0);
}

void world_descriptors(uint64_t is_open[2])
{
    is_open[0] = is_open[1] = 0;
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            is_open[fd / 64] |= UINT64_C(1) << fd % 64;
    }
}
