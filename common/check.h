/*
 * CHECK and the attributes that every file may use.
 *
 * CHECK is for our own mistakes only, and is compiled into every build: a wrong state is stopped
 * where it happens, not where it hurts. What a peer, a file or the kernel does is never checked
 * with it; that is a returned value.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define MUST_USE               __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN               __attribute__((noreturn))

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

static inline NORETURN void check_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, what);
    abort();
}

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (UNLIKELY(!(cond)))                                                                     \
            check_failed(#cond, __FILE__, __LINE__);                                               \
    } while (0)

/* The struct that embeds `member`, from a pointer to that member. */
#define CONTAINER_OF(ptr, type, member)                                                            \
    ((type *)(void *)((char *)(ptr) - __builtin_offsetof(type, member)))
