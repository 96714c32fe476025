#include "common/pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/check.h"

#define LARGEST    65536
#define KEPT_BYTES (1024 * 1024) /* of a class up to SMALL */
#define PAGE       4096

/*
 * The classes are close together up to 2048 bytes: thousands of requests may wait, each with a
 * client, an exchange and a message of that size. With twice the step, a seventh of that memory was
 * unused. Above that, a class is a whole number of pages: clients may fill all their connections
 * with heads of one size, whichever has the most unused bytes.
 */
static const uint32_t small_bytes[] = {128, 192, 256, 320,  384,  448,  512,  576, 640,
                                       704, 768, 896, 1024, 1280, 1536, 1792, 2048};
#define SMALL_CLASSES (sizeof(small_bytes) / sizeof(small_bytes[0]))
#define CLASSES       (SMALL_CLASSES + LARGEST / PAGE)

/* The class of each size up to SMALL, by the number of steps that hold it. */
#define STEP     64
#define SMALL    2048
#define TWICE(c) c, c
#define FOUR(c)  TWICE(c), TWICE(c)
static const uint8_t class_of_steps[SMALL / STEP + 1] = {
    0, 0, 0,  1,         2,         3,        4,        5,        6,       7,
    8, 9, 10, TWICE(11), TWICE(12), FOUR(13), FOUR(14), FOUR(15), FOUR(16)};

struct block {
    struct block *next;
};

struct pool {
    size_t in_use;
    size_t large_kept; /* bytes of free blocks above SMALL */
    struct {
        struct block *free;
        size_t n;
    } class[CLASSES];
};

#ifdef WEIR_SANITIZED
static const bool keeps_blocks = false;
#else
static const bool keeps_blocks = true;
#endif

/* `size` is LARGEST at most. */
static size_t class_of(size_t size)
{
    if (size <= SMALL)
        return class_of_steps[(size + STEP - 1) / STEP];
    return SMALL_CLASSES + (size - 1) / PAGE;
}

static size_t bytes_of(size_t c)
{
    return c < SMALL_CLASSES ? small_bytes[c] : (c - SMALL_CLASSES + 1) * PAGE;
}

size_t pool_room(size_t size)
{
    return size > LARGEST ? size : bytes_of(class_of(size));
}

struct pool *pool_new(void)
{
    struct pool *p = calloc(1, sizeof(*p));
    CHECK(p != NULL);
    return p;
}

void pool_free(struct pool *p)
{
    if (p == NULL)
        return;
    CHECK(p->in_use == 0);
    for (size_t c = 0; c < CLASSES; c++) {
        for (struct block *b = p->class[c].free, *next; b != NULL; b = next) {
            next = b->next;
            free(b);
        }
    }
    free(p);
}

static void *take(struct pool *p, size_t c)
{
    struct block *b = p->class[c].free;
    if (b == NULL)
        return NULL;
    p->class[c].free = b->next;
    p->class[c].n--;
    if (c >= SMALL_CLASSES)
        p->large_kept -= bytes_of(c);
    return b;
}

void *pool_get(struct pool *p, size_t size)
{
    p->in_use++;
    void *block = size > LARGEST ? NULL : take(p, class_of(size));
    if (block == NULL)
        block = malloc(pool_room(size));
    CHECK(block != NULL);
    return block;
}

static bool has_place(struct pool *p, size_t c)
{
    if (c < SMALL_CLASSES)
        return p->class[c].n < KEPT_BYTES / small_bytes[c];
    if (p->large_kept + bytes_of(c) > POOL_LARGE_KEPT)
        return false;
    p->large_kept += bytes_of(c);
    return true;
}

static bool keep(struct pool *p, size_t c, struct block *b)
{
    if (!has_place(p, c))
        return false;
    b->next = p->class[c].free;
    p->class[c].free = b;
    p->class[c].n++;
    return true;
}

void pool_put(struct pool *p, void *block, size_t size)
{
    if (block == NULL)
        return;
    CHECK(p->in_use > 0);
    p->in_use--;
    if (keeps_blocks && size <= LARGEST && keep(p, class_of(size), block))
        return;
    free(block);
}
