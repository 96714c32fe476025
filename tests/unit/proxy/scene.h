/*
 * A scene: clients and an app that send what the test tells them to, weir between them
 * (tests/world), and a clock that only the test moves. weir is built when the first client
 * connects, from `scene.how`, which a test may change before. After a test, what is left must end
 * without help, and then nothing may be held: no slot, byte, connection or descriptor; and the
 * accounts must balance.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/stats_reading.h"
#include "tests/world/peers.h"
#include "tests/world/world.h"

#define GET          "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_OF(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct {
    struct world_how how;
    bool built;
    mono_us mark; /* start of the time for until() */
} scene;

struct scene_test {
    void (*run)(void);
};

static inline void scene_begins(void)
{
    peers_begin();
    memset(&scene, 0, sizeof(scene));
    scene.how.config = *world_config();
    scene.how.config.concurrency = 1;
    scene.how.config.queue.length = 4;
    scene.how.upgrades_max = 1;
    scene.mark = peers.now;
}

static inline void scene_is_built(void)
{
    if (scene.how.connections_max == 0)
        scene.how.connections_max = scene.how.config.concurrency;
    if (!scene.built)
        world_build(&scene.how);
    scene.built = true;
}

static inline void scene_ends(void)
{
    scene_is_built();
    world_end_by_itself();
    world_check_nothing_is_left();
    peers_end();
    world_rest();
    world_take_down();
}

/* ---- what peers do ---- */

static inline struct peer *comes(void)
{
    scene_is_built();
    struct peer *p = world_client();
    assert_non_null(p);
    return p;
}

static inline void says_at_once(struct peer *p, const char *text)
{
    size_t before = p->sent.len;

    peers_send(p, span_of(text));
    assert_int_equal(p->sent.len - before, strlen(text));
}

static inline void says(struct peer *p, const char *text)
{
    says_at_once(p, text);
    world_rest();
}

static inline struct peer *asks(const char *request)
{
    struct peer *p = comes();
    says(p, request);
    return p;
}

static inline void leaves(struct peer *p)
{
    peers_close(p);
    world_rest();
}

/* A connection of the app's closes; weir makes sure that the app is still there. */
static inline void app_leaves(struct peer *p)
{
    leaves(p);
    world_pass(10000, 2000);
}

/* Connection `n` of the app, in the order in which weir opened them. */
static inline struct peer *app(size_t n)
{
    assert_true(n < peers.n_apps);
    return &peers.apps[n].peer;
}

/* ---- what peers receive: each call checks and discards what has arrived since the last ---- */

static inline bool has_heard(const struct peer *p, const char *text)
{
    return memmem(strbuf_cstr(&p->got), p->got.len, text, strlen(text)) != NULL;
}

static inline void hears(struct peer *p, const char *text)
{
    if (!has_heard(p, text))
        fail_msg("wanted: %s\ngot: %.*s", text, (int)p->got.len, strbuf_cstr(&p->got));
    strbuf_clear(&p->got);
}

static inline void hears_nothing(const struct peer *p)
{
    if (p->got.len > 0 || p->ended)
        fail_msg("got%s: %.*s", p->ended ? " the end" : "", (int)p->got.len, strbuf_cstr(&p->got));
}

/* A local reply. `more`: another line that it has, or NULL. */
static inline void is_told(struct peer *p, unsigned status, const char *reason, const char *more)
{
    char want[128];

    if (more != NULL && !has_heard(p, more))
        fail_msg("wanted: %s\ngot: %.*s", more, (int)p->got.len, strbuf_cstr(&p->got));
    snprintf(want, sizeof(want), "HTTP/1.1 %u ", status);
    if (!has_heard(p, want))
        fail_msg("wanted: %s\ngot: %.*s", want, (int)p->got.len, strbuf_cstr(&p->got));
    snprintf(want, sizeof(want), "\r\nWeir-Reason: %s\r\n", reason);
    hears(p, want);
}

/* ---- time ---- */

static inline void from_now(void)
{
    scene.mark = peers.now;
}

/* Runs until this many milliseconds after from_now(), or after the start. */
static inline void until(mono_us ms)
{
    mono_us left = scene.mark + ms * 1000 - peers.now;

    scene_is_built();
    if (left > 10000)
        world_pass(left - left % 10000, 10000);
    while (peers.now < scene.mark + ms * 1000)
        world_rest();
}

/* ---- what is held ---- */

static inline void slots_are(unsigned taken, unsigned waiting)
{
    struct limiter_snapshot now;

    world_limiter(&now);
    assert_int_equal(now.in_flight, taken);
    assert_int_equal(now.depth, waiting);
}

/* The same for requests to bypass.paths. */
static inline void bypass_slots_are(unsigned taken, unsigned waiting)
{
    struct limiter_snapshot now;

    world_bypass(&now);
    assert_int_equal(now.in_flight, taken);
    assert_int_equal(now.depth, waiting);
}

static inline void nobody_is_left(void)
{
    slots_are(0, 0);
    bypass_slots_are(0, 0);
    assert_int_equal(exchange_total(world.exchanges), 0);
}

static inline uint64_t counted(size_t cell)
{
    static struct stats_reading r;
    struct stats_now now = {0};

    stats_read(world.stats, &now, &r);
    return r.cell[cell];
}

/* ---- running scenes ---- */

static inline void scene_run(void **state)
{
    const struct scene_test *t = *state;
    uint64_t before[2], after[2];

    world_config();
    world_descriptors(before);
    scene_begins();
    t->run();
    scene_ends();
    world_descriptors(after);
    assert_memory_equal(before, after, sizeof(before));
}

#define SCENE(test)                                                                                \
    {                                                                                              \
        .name = #test, .test_func = scene_run, .initial_state = &(struct scene_test)               \
        {                                                                                          \
            test                                                                                   \
        }                                                                                          \
    }
