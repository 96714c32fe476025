/*
 * The two clocks. Everything that is measured or waited for uses the monotonic one; the wall clock
 * is for what a person or another program reads. Both in microseconds. Any thread.
 */
#pragma once

#include <stdint.h>

typedef int64_t mono_us; /* since some point before this process; never goes back */
typedef int64_t wall_us; /* since 1970-01-01T00:00:00Z */

#define MONO_NEVER INT64_MAX /* a deadline that does not come */

mono_us clock_mono(void);
wall_us clock_wall(void);
