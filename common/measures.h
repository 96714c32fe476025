/*
 * Whether weir measures. `make bench-ledger` compares weir with a build that does not, to find the
 * cost of measuring; that build is never installed, and its metrics are all 0. Code that only
 * measures begins with `if (!MEASURES) return;`.
 */
#pragma once

#ifdef WEIR_BENCH_NO_METRICS
#define MEASURES 0
#else
#define MEASURES 1
#endif
