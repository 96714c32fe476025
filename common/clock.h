/*
 * The two clocks. Measurements and timeouts use the monotonic clock; the wall clock is for times
 * that a person or another program reads. Both in microseconds. Any thread.
 */
#pragma once

#include <stdint.h>

typedef int64_t mono_us; /* from an arbitrary start; never goes back */
typedef int64_t wall_us; /* since 1970-01-01T00:00:00Z */

#define MONO_NEVER INT64_MAX /* a deadline that never passes */

mono_us clock_mono(void);
wall_us clock_wall(void);
