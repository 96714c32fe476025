/* The timer wheel: against a slow model, and edge cases by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/check.h"
#include "proxy/wheel.h"

#define TIMERS 300
#define STEPS  60000

struct probe {
    struct loop_timer timer;
    mono_us want; /* the model: when it must fire, MONO_NEVER when stopped */
    unsigned fired;
};

static struct wheel wheel;
static struct probe probes[TIMERS];
static mono_us now, asleep_since;
static uint64_t seed;

static uint64_t random_number(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void on_fire(void *arg)
{
    struct probe *p = arg;

    assert_true(p->want != MONO_NEVER);
    assert_true(p->want <= now);
    p->want = MONO_NEVER;
    p->fired++;
}

static mono_us random_wait(void)
{
    static const mono_us spans[] = {900, 5000, 64000, 70000, 4200000, 300000000, 20000000000};
    return (mono_us)(random_number() % (uint64_t)spans[random_number() % 7]);
}

/* Advances to the next time at which the wheel must be turned, or part of the way. */
static void sleep_on(void)
{
    mono_us next = wheel_next(&wheel);

    asleep_since = now;
    mono_us jump = random_wait() / 50;
    if (next != MONO_NEVER && now + jump > next)
        now = next > now ? next : now;
    else
        now += jump;
    wheel_turn(&wheel, now);
}

static void nothing_is_overdue(void)
{
    for (size_t i = 0; i < TIMERS; i++)
        assert_true(probes[i].want == MONO_NEVER || probes[i].want > now - 1000);
}

static void random_timers_fire_once_on_time_like_the_model(void **state)
{
    unsigned total = 0;

    (void)state;
    wheel_init(&wheel, now);
    for (size_t i = 0; i < TIMERS; i++) {
        loop_timer_init(&probes[i].timer, on_fire, &probes[i]);
        probes[i].want = MONO_NEVER;
    }
    for (int step = 0; step < STEPS; step++) {
        struct probe *p = &probes[random_number() % TIMERS];
        switch (random_number() % 8) {
        case 0:
            loop_timer_stop(&p->timer);
            p->want = MONO_NEVER;
            break;
        case 1:
            loop_timer_fini(&p->timer);
            p->want = MONO_NEVER;
            break;
        default:
            p->want = now + random_wait();
            wheel_arm(&wheel, &p->timer, p->want);
        }
        sleep_on();
        nothing_is_overdue();
    }
    for (size_t i = 0; i < TIMERS; i++)
        total += probes[i].fired;
    assert_true(total > STEPS / 20);
}

static struct probe *victim;

static void on_kill(void *arg)
{
    struct probe *p = arg;

    p->fired++;
    loop_timer_fini(&victim->timer);
    wheel_arm(&wheel, &p->timer, now + 2000);
}

static void a_callback_may_end_another_timer_of_its_slot_and_arm_its_own(void **state)
{
    struct probe a = {0}, b = {0};

    (void)state;
    now = 1000000;
    wheel_init(&wheel, now);
    loop_timer_init(&a.timer, on_kill, &a);
    loop_timer_init(&b.timer, on_kill, &b);
    victim = &b;
    wheel_arm(&wheel, &a.timer, now + 5000);
    wheel_arm(&wheel, &b.timer, now + 5000);
    now += 5000;
    wheel_turn(&wheel, now);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 0);
    now += 2000;
    wheel_turn(&wheel, now);
    assert_int_equal(a.fired, 2);
    loop_timer_fini(&a.timer);
}

static void an_empty_wheel_never_wakes_anybody(void **state)
{
    (void)state;
    wheel_init(&wheel, 5);
    assert_true(wheel_next(&wheel) == MONO_NEVER);
    wheel_turn(&wheel, 1000000000);
    assert_true(wheel_next(&wheel) == MONO_NEVER);
}

static void a_timer_beyond_the_horizon_fires_at_its_time(void **state)
{
    struct probe p = {.want = INT64_C(100) * 3600 * 1000000};

    (void)state;
    now = 0;
    wheel_init(&wheel, now);
    loop_timer_init(&p.timer, on_fire, &p);
    wheel_arm(&wheel, &p.timer, p.want);
    for (int looks = 0; p.fired == 0; looks++) {
        assert_true(looks < 1000);
        now = wheel_next(&wheel);
        wheel_turn(&wheel, now);
    }
    assert_true(now >= INT64_C(100) * 3600 * 1000000);
}

int main(void)
{
    const char *given = getenv("WEIR_SEED");
    seed = given != NULL ? strtoull(given, NULL, 10) : 0;
    if (seed == 0)
        seed = (uint64_t)clock_mono() | 1;
    printf("seed %llu (WEIR_SEED)\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_wheel_never_wakes_anybody),
        cmocka_unit_test(a_callback_may_end_another_timer_of_its_slot_and_arm_its_own),
        cmocka_unit_test(a_timer_beyond_the_horizon_fires_at_its_time),
        cmocka_unit_test(random_timers_fire_once_on_time_like_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
