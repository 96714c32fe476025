#include "common/clock.h"

#include <time.h>

static int64_t now_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

mono_us clock_mono(void)
{
    return now_us(CLOCK_MONOTONIC);
}

wall_us clock_wall(void)
{
    return now_us(CLOCK_REALTIME);
}
