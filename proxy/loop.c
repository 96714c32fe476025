/* One struct loop per thread. A single libevent timer drives the wheel of all timers. */
#include "proxy/loop.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/time.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/log.h"

#define BATCH_MIN     32
#define BATCH_MAX     4096
#define WALL_FRESH_US 1000000
#define TURN_OLD_US   100000 /* longer than any turn, unless the process was stopped during it */

struct loop {
    struct event_base *base;
    struct event *task_event, *wheel_event;
    struct task_queue *tasks;
    bool tasks_waiting;
    bool turn_has_begun;
    mono_us turn_began;                 /* time of its first callback */
    unsigned batch;                     /* the least that epoll has room for */
    bool full;                          /* it has reported that many in this turn */
    struct task *own_first, **own_last; /* posted by this thread */
    struct task *next_task;             /* after the one that is running */
    struct loop_deferred *deferred;
    struct pool *pool;
    struct wheel wheel;
    mono_us wheel_wakes; /* when wheel_event is due; MONO_NEVER: not armed */
    mono_us now;
    mono_us wall_read;
    wall_us wall_offset;
    uint64_t random;
    unsigned index;
    _Atomic bool stop;
    struct task stop_task;
    _Atomic bool stop_posted;
    struct loop_tenant *tenant[LOOP_SCRATCHES];
    char *scratch[LOOP_SCRATCHES];
};

static _Thread_local struct loop *loop_of_this_thread;

/* ---- turns ---- */

/*
 * At the first callback of a turn, `reported` events have left libevent's queue, and the others of
 * the turn are in it. libevent gives epoll room for 32 events, and doubles it, up to 4096, whenever
 * all of it was used. It does not expose the size; but more events than assumed prove that there is
 * more room.
 */
static void begin_turn(struct loop *lp, unsigned reported)
{
    reported += (unsigned)event_base_get_num_events(lp->base, EVENT_BASE_COUNT_ACTIVE);
    reported -= loop_event_is_pending(lp->wheel_event);
    while (lp->batch < reported && lp->batch < BATCH_MAX)
        lp->batch *= 2;
    lp->full = reported >= lp->batch;
    lp->turn_began = lp->now;
    lp->turn_has_begun = true;
}

static void tick(struct loop *lp, unsigned reported)
{
    lp->now = clock_mono();
    if (!lp->turn_has_begun)
        begin_turn(lp, reported);
}

mono_us loop_tick(struct loop *lp)
{
    tick(lp, 1);
    return lp->now;
}

/* event_pending() does not distinguish active events from those that are only added. */
bool loop_event_is_pending(const struct event *ev)
{
    return (ev->ev_evcallback.evcb_flags & EVLIST_ACTIVE) != 0;
}

bool loop_may_lag(const struct loop *lp)
{
    return lp->full || lp->now - lp->turn_began >= TURN_OLD_US;
}

/* ---- timers ---- */

/* Makes sure that the loop wakes up when the wheel is next due. */
static void wheel_schedule(struct loop *lp)
{
    mono_us due = wheel_next(&lp->wheel);

    if (due >= lp->wheel_wakes)
        return; /* after an early wake-up, this is called again */
    lp->wheel_wakes = due;
    mono_us wait = due - lp->now;
    if (wait < 0)
        wait = 0;
    struct timeval tv = {.tv_sec = (time_t)(wait / 1000000),
                         .tv_usec = (suseconds_t)(wait % 1000000)};
    event_add(lp->wheel_event, &tv);
}

static void on_wheel(evutil_socket_t fd, short what, void *arg)
{
    struct loop *lp = arg;

    (void)fd;
    (void)what;
    tick(lp, 0); /* not an event from epoll */
    lp->wheel_wakes = MONO_NEVER;
    wheel_turn(&lp->wheel, lp->now);
    wheel_schedule(lp);
}

void loop_timer_arm(struct loop *lp, struct loop_timer *t, mono_us due)
{
    wheel_arm(&lp->wheel, t, due);
    if (t->slot_due < lp->wheel_wakes)
        wheel_schedule(lp);
}

/* ---- tasks and deferred frees ---- */

static void on_tasks(evutil_socket_t fd, short what, void *arg)
{
    struct loop *lp = arg;

    (void)fd;
    (void)what;
    loop_tick(lp);
    lp->tasks_waiting = true; /* run after all events of the turn */
}

void loop_post(struct loop *lp, struct task *task)
{
    if (loop_of_this_thread != lp) {
        task_queue_post(lp->tasks, task);
        return;
    }
    task->next = NULL;
    *lp->own_last = task;
    lp->own_last = &task->next;
}

bool loop_has_tasks(const struct loop *lp)
{
    return lp->own_first != NULL || lp->next_task != NULL || lp->tasks_waiting;
}

/* Tasks that are posted meanwhile run in the next turn, after its events. */
static void run_tasks(struct loop *lp)
{
    struct task *task = lp->own_first;

    lp->own_first = NULL;
    lp->own_last = &lp->own_first;
    for (; task != NULL; task = lp->next_task) {
        lp->next_task = task->next;
        task->run(task);
    }
    if (!lp->tasks_waiting)
        return;
    lp->tasks_waiting = false;
    task_queue_run(lp->tasks);
}

void loop_defer_free(struct loop *lp, struct loop_deferred *d)
{
    d->next = lp->deferred;
    lp->deferred = d;
}

static void free_deferred(struct loop *lp)
{
    while (lp->deferred != NULL) {
        struct loop_deferred *d = lp->deferred;
        lp->deferred = d->next;
        d->release(d, lp);
    }
}

/* ---- the loop ---- */

/* xorshift64*, Vigna 2016: fast, and good enough for ids and jitter. */
uint64_t loop_random(struct loop *lp)
{
    uint64_t x = lp->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    lp->random = x;
    return x * UINT64_C(2685821657736338717);
}

static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed) || seed == 0)
        seed = (uint64_t)clock_wall() | 1;
    return seed;
}

static bool open_base(struct loop *lp)
{
    struct event_config *cfg = event_config_new();
    if (cfg == NULL)
        return false;
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
    event_config_require_features(cfg, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    lp->base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return lp->base != NULL;
}

static bool open_events(struct loop *lp)
{
    lp->tasks = task_queue_new();
    if (lp->tasks == NULL)
        return false;
    lp->task_event =
        event_new(lp->base, task_queue_fd(lp->tasks), EV_READ | EV_PERSIST, on_tasks, lp);
    lp->wheel_event = event_new(lp->base, -1, 0, on_wheel, lp);
    return lp->task_event != NULL && lp->wheel_event != NULL &&
           event_add(lp->task_event, NULL) == 0;
}

struct loop *loop_new(unsigned index)
{
    struct loop *lp = calloc(1, sizeof(*lp));

    if (lp == NULL)
        return NULL;
    lp->index = index;
    lp->own_last = &lp->own_first;
    lp->wheel_wakes = MONO_NEVER;
    lp->batch = BATCH_MIN;
    lp->random = random_seed();
    lp->pool = pool_new();
    lp->wall_read = INT64_MIN / 2;
    lp->now = clock_mono();
    wheel_init(&lp->wheel, lp->now);
    for (int i = 0; i < LOOP_SCRATCHES; i++) {
        lp->scratch[i] = malloc(LOOP_SCRATCH);
        CHECK(lp->scratch[i] != NULL);
    }
    if (!open_base(lp) || !open_events(lp)) {
        loop_free(lp);
        return NULL;
    }
    return lp;
}

void loop_free(struct loop *lp)
{
    if (lp == NULL)
        return;
    free_deferred(lp);
    if (lp->task_event != NULL)
        event_free(lp->task_event);
    if (lp->wheel_event != NULL)
        event_free(lp->wheel_event);
    task_queue_free(lp->tasks);
    if (lp->base != NULL)
        event_base_free(lp->base);
    pool_free(lp->pool);
    for (int i = 0; i < LOOP_SCRATCHES; i++)
        free(lp->scratch[i]);
    free(lp);
}

/* Everything after the events of a turn. */
static void end_turn(struct loop *lp)
{
    tick(lp, 0);
    run_tasks(lp);
    free_deferred(lp);
    if (lp->full && lp->batch < BATCH_MAX)
        lp->batch *= 2; /* as libevent does */
    lp->turn_has_begun = false;
}

void loop_run(struct loop *lp)
{
    loop_of_this_thread = lp;
    for (;;) {
        end_turn(lp);
        if (atomic_load_explicit(&lp->stop, memory_order_relaxed))
            break;
        /* Without EVLOOP_ONCE, EVLOOP_NONBLOCK would continue until no event is ready. */
        int flags = EVLOOP_ONCE | (lp->own_first != NULL ? EVLOOP_NONBLOCK : 0);
        if (event_base_loop(lp->base, flags) < 0) {
            log_error("the event loop failed: this thread no longer serves requests");
            break;
        }
    }
    loop_of_this_thread = NULL;
}

bool loop_turn(struct loop *lp)
{
    struct loop *before = loop_of_this_thread;
    bool busy = lp->own_first != NULL;

    loop_of_this_thread = lp;
    lp->turn_has_begun = false;
    CHECK(event_base_loop(lp->base, EVLOOP_ONCE | EVLOOP_NONBLOCK) >= 0);
    busy = busy || lp->turn_has_begun;
    if (lp->wheel_wakes <= clock_mono()) {
        busy = true;
        on_wheel(-1, EV_TIMEOUT, lp);
    }
    end_turn(lp);
    loop_of_this_thread = before;
    return busy || lp->own_first != NULL;
}

static void on_stop(struct task *task)
{
    struct loop *lp = CONTAINER_OF(task, struct loop, stop_task);
    atomic_store_explicit(&lp->stop, true, memory_order_relaxed);
}

void loop_stop(struct loop *lp)
{
    if (atomic_exchange(&lp->stop_posted, true))
        return;
    lp->stop_task.run = on_stop;
    loop_post(lp, &lp->stop_task);
}

unsigned loop_index(const struct loop *lp)
{
    return lp->index;
}

struct event_base *loop_base(const struct loop *lp)
{
    return lp->base;
}

struct pool *loop_pool(const struct loop *lp)
{
    return lp->pool;
}

mono_us loop_now(const struct loop *lp)
{
    return lp->now;
}

wall_us loop_wall(struct loop *lp)
{
    if (lp->now - lp->wall_read > WALL_FRESH_US) {
        lp->wall_offset = clock_wall() - clock_mono();
        lp->wall_read = lp->now;
    }
    return lp->now + lp->wall_offset;
}

char *loop_scratch(struct loop *lp, enum loop_scratch which)
{
    return lp->scratch[which];
}

void loop_scratch_take(struct loop *lp, enum loop_scratch which, struct loop_tenant *tenant)
{
    struct loop_tenant *present = lp->tenant[which];

    if (present == tenant)
        return;
    if (present != NULL)
        present->evict(present);
    lp->tenant[which] = tenant;
}

void loop_scratch_leave(struct loop *lp, enum loop_scratch which, const struct loop_tenant *tenant)
{
    if (lp->tenant[which] == tenant)
        lp->tenant[which] = NULL;
}
