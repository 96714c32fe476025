/* See wheel.h. */
#include "proxy/wheel.h"

#include <stdbool.h>
#include <stddef.h>

#define TICK_US   1000
#define SLOT_BITS 6
#define HORIZON   ((uint64_t)1 << (WHEEL_LEVELS * SLOT_BITS))

static void ring_init(struct loop_timer *head)
{
    head->next = head->prev = head;
}

static bool ring_empty(const struct loop_timer *head)
{
    return head->next == head;
}

static void ring_add(struct loop_timer *head, struct loop_timer *t)
{
    t->next = head;
    t->prev = head->prev;
    head->prev->next = t;
    head->prev = t;
}

static void ring_remove(struct loop_timer *t)
{
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->next = t->prev = NULL;
}

/* Moves all timers of `from` to the empty list `to`. */
static void ring_move(struct loop_timer *from, struct loop_timer *to)
{
    ring_init(to);
    if (ring_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    ring_init(from);
}

static uint64_t tick_of(mono_us due)
{
    return ((uint64_t)due + TICK_US - 1) / TICK_US;
}

void wheel_init(struct wheel *wh, mono_us now)
{
    wh->tick = (uint64_t)now / TICK_US;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        wh->occupied[level] = 0;
        for (unsigned i = 0; i < WHEEL_SLOTS; i++)
            ring_init(&wh->slot[level][i]);
    }
}

/* `earliest`: the first tick whose slot has not fired. */
static void wheel_insert(struct wheel *wh, struct loop_timer *t, uint64_t earliest)
{
    uint64_t tick = tick_of(t->due);

    if (tick < earliest)
        tick = earliest;
    if (tick - wh->tick >= HORIZON)
        tick = wh->tick + HORIZON - 1;
    unsigned level = 0;
    while ((tick - wh->tick) >> ((level + 1) * SLOT_BITS) != 0)
        level++;
    unsigned i = (unsigned)(tick >> (level * SLOT_BITS)) & (WHEEL_SLOTS - 1);
    ring_add(&wh->slot[level][i], t);
    wh->occupied[level] |= (uint64_t)1 << i;
    t->slot_due = (mono_us)(tick * TICK_US);
}

/* The distance from the slot after `at` to the first occupied one; 1 to 64. `bits` is not 0. */
static unsigned slots_ahead(uint64_t bits, unsigned at)
{
    unsigned turn = (at + 1) & (WHEEL_SLOTS - 1);
    uint64_t turned = turn == 0 ? bits : bits >> turn | bits << (WHEEL_SLOTS - turn);
    return (unsigned)__builtin_ctzll(turned) + 1;
}

/* The next tick at which the wheel must fire or move timers; 0 when it is empty. */
static uint64_t next_tick(const struct wheel *wh)
{
    uint64_t next = 0;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        if (wh->occupied[level] == 0)
            continue;
        unsigned shift = level * SLOT_BITS;
        uint64_t here = wh->tick >> shift;
        unsigned ahead = slots_ahead(wh->occupied[level], (unsigned)here & (WHEEL_SLOTS - 1));
        uint64_t tick = (here + ahead) << shift;
        if (next == 0 || tick < next)
            next = tick;
    }
    return next;
}

static void wheel_move_down(struct wheel *wh, unsigned level)
{
    unsigned i = (unsigned)(wh->tick >> (level * SLOT_BITS)) & (WHEEL_SLOTS - 1);
    struct loop_timer ring;

    wh->occupied[level] &= ~((uint64_t)1 << i);
    ring_move(&wh->slot[level][i], &ring);
    while (!ring_empty(&ring)) {
        struct loop_timer *t = ring.next;
        ring_remove(t);
        if (t->due != MONO_NEVER)
            wheel_insert(wh, t, wh->tick); /* the level-0 slot of this tick fires next */
    }
}

static void wheel_fire(struct wheel *wh, mono_us now)
{
    unsigned i = (unsigned)wh->tick & (WHEEL_SLOTS - 1);
    struct loop_timer ring;

    wh->occupied[0] &= ~((uint64_t)1 << i);
    ring_move(&wh->slot[0][i], &ring);
    while (!ring_empty(&ring)) {
        struct loop_timer *t = ring.next;
        ring_remove(t);
        if (t->due == MONO_NEVER)
            continue;
        if (t->due > now) {
            wheel_insert(wh, t, wh->tick + 1);
            continue;
        }
        t->due = MONO_NEVER;
        t->fn(t->arg);
    }
}

void wheel_turn(struct wheel *wh, mono_us now)
{
    uint64_t target = (uint64_t)now / TICK_US;

    for (;;) {
        uint64_t next = next_tick(wh);
        if (next == 0 || next > target)
            break;
        wh->tick = next;
        for (unsigned level = WHEEL_LEVELS - 1; level > 0; level--) {
            uint64_t below = ((uint64_t)1 << (level * SLOT_BITS)) - 1;
            if ((wh->tick & below) == 0)
                wheel_move_down(wh, level);
        }
        wheel_fire(wh, now);
    }
    if (wh->tick < target)
        wh->tick = target;
}

mono_us wheel_next(const struct wheel *wh)
{
    uint64_t next = next_tick(wh);
    return next == 0 ? MONO_NEVER : (mono_us)(next * TICK_US);
}

void wheel_arm(struct wheel *wh, struct loop_timer *t, mono_us due)
{
    t->due = due;
    if (t->next != NULL) {
        if (t->slot_due <= due)
            return;
        ring_remove(t);
    }
    wheel_insert(wh, t, wh->tick + 1);
}

void loop_timer_init(struct loop_timer *t, loop_timer_fn *fn, void *arg)
{
    *t = (struct loop_timer){.due = MONO_NEVER, .fn = fn, .arg = arg};
}

void loop_timer_stop(struct loop_timer *t)
{
    t->due = MONO_NEVER;
}

void loop_timer_fini(struct loop_timer *t)
{
    if (t->next != NULL)
        ring_remove(t);
    t->due = MONO_NEVER;
}
