/* What several limits amount to together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/log.h"
#include "proxy/capacity.h"

static struct config with(uint32_t concurrency, uint32_t connections, uint32_t upgrades)
{
    return (struct config){.threads = 1,
                           .concurrency = concurrency,
                           .enforce = true,
                           .upstream.max_connections = connections,
                           .upgrades.max = upgrades,
                           .client.max_connections = 100};
}

static void the_lower_of_slots_and_connections_counts(void **state)
{
    struct config same = with(80, UINT32_MAX, 0), fewer = with(80, 7, 0);
    struct config none = with(UINT32_MAX, UINT32_MAX, 0);
    (void)state;

    assert_int_equal(capacity_inside(&same), 80);
    assert_int_equal(capacity_inside(&fewer), 7);
    assert_true(capacity_inside(&none) == UINT32_MAX);
}

static void tunnels_leave_a_slot_unless_there_is_only_one(void **state)
{
    struct config many = with(80, UINT32_MAX, UINT32_MAX), one = with(1, UINT32_MAX, UINT32_MAX);
    struct config fewer = with(80, 7, UINT32_MAX), given = with(80, 7, 3);
    struct config none = with(UINT32_MAX, UINT32_MAX, UINT32_MAX);
    (void)state;

    assert_int_equal(capacity_upgrades(&many), 79);
    assert_int_equal(capacity_upgrades(&one), 1);
    assert_int_equal(capacity_upgrades(&fewer), 6);
    assert_int_equal(capacity_upgrades(&given), 3);
    assert_true(capacity_upgrades(&none) == UINT32_MAX);
}

static void the_queue_has_its_bounds_and_its_order_from_the_options(void **state)
{
    struct config c = {.queue = {.length = 7, .max_bytes = 1 << 20}};
    (void)state;

    struct limiter_config lc = capacity_queue(&c);
    assert_int_equal(lc.queue_length, 7);
    assert_int_equal(lc.queue_bytes, 1 << 20);
    assert_int_equal(lc.order, LIMITER_ADAPTIVE);
    c.queue.order = CONFIG_ORDER_FIFO;
    assert_int_equal(capacity_queue(&c).order, LIMITER_FIFO);
}

static void streams_leave_a_slot_as_tunnels_do(void **state)
{
    struct config many = with(80, 7, 3), one = with(1, UINT32_MAX, 0), given = with(80, 7, 0);
    struct config none = with(UINT32_MAX, UINT32_MAX, 0);
    (void)state;

    many.streams.max = one.streams.max = none.streams.max = UINT32_MAX;
    given.streams.max = 5;
    assert_int_equal(capacity_streams(&many), 6);
    assert_int_equal(capacity_streams(&one), 1);
    assert_int_equal(capacity_streams(&given), 5);
    given.upgrades.max = 7; /* a part of them */
    assert_int_equal(capacity_streams(&given), 5);
    many.upgrades.max = 7; /* as many as there are slots: they need not wait for each other */
    assert_int_equal(capacity_streams(&many), 7);
    many.upgrades.max = UINT32_MAX;
    assert_int_equal(capacity_streams(&many), 6);
    assert_true(capacity_streams(&none) == UINT32_MAX);
}

static void a_dry_run_limits_no_connections(void **state)
{
    struct config c = with(80, 7, 3);
    (void)state;

    assert_int_equal(capacity_connections(&c), 7);
    c.enforce = false;
    assert_true(capacity_connections(&c) == UINT32_MAX);
    assert_int_equal(capacity_inside(&c), 7);
}

/* Lowers the limits of this process: the last test, since they cannot be raised again. */
static void without_descriptors_there_are_fewer_clients(void **state)
{
    struct config c = with(10, UINT32_MAX, 0);
    struct rlimit limit = {.rlim_cur = 150, .rlim_max = 300};
    (void)state;

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(capacity_clients(&c, 64), 100); /* it raises the soft limit */
    getrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(limit.rlim_cur, 100 + 10 + 96);
    c.client.max_connections = 1000;
    assert_int_equal(capacity_clients(&c, 64), 300 - 96 - 10);
    c.concurrency = 500;
    assert_int_equal(capacity_clients(&c, 64), (300 - 96) / 2);
}

static int quietly(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lower_of_slots_and_connections_counts),
        cmocka_unit_test(streams_leave_a_slot_as_tunnels_do),
        cmocka_unit_test(tunnels_leave_a_slot_unless_there_is_only_one),
        cmocka_unit_test(the_queue_has_its_bounds_and_its_order_from_the_options),
        cmocka_unit_test(a_dry_run_limits_no_connections),
        cmocka_unit_test(without_descriptors_there_are_fewer_clients),
    };
    return cmocka_run_group_tests(tests, quietly, NULL);
}
