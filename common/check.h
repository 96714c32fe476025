/*
 * CHECK and the attributes that every file may use.
 *
 * CHECK catches our own mistakes only, and is compiled into every build, so that the process stops
 * where a wrong state first shows. Input from peers, files and the kernel is never checked with it;
 * errors there are returned.
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

/* A pointer to the struct that embeds `member`, from a pointer to that member. */
#define CONTAINER_OF(ptr, type, member)                                                            \
    ((type *)(void *)((char *)(ptr) - __builtin_offsetof(type, member)))
