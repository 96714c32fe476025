#include "common/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "common/check.h"

struct metrics {
    struct metric_family *first, *last;
};

struct metrics *metrics_new(void)
{
    struct metrics *m = calloc(1, sizeof(*m));
    CHECK(m != NULL);
    return m;
}

static void free_family(struct metric_family *f)
{
    for (struct metric *member = f->first, *next; member != NULL; member = next) {
        next = member->next;
        free(member);
    }
    free(f);
}

void metrics_free(struct metrics *m)
{
    if (m == NULL)
        return;
    for (struct metric_family *f = m->first, *next; f != NULL; f = next) {
        next = f->next;
        free_family(f);
    }
    free(m);
}

const struct metric_family *metrics_families(const struct metrics *m)
{
    return m->first;
}

static struct metric_family *find_family(const struct metrics *m, const char *name)
{
    struct metric_family *f = m->first;
    while (f != NULL && strcmp(f->name, name) != 0)
        f = f->next;
    return f;
}

static struct metric_family *add_family(struct metrics *m, const struct metric_family *like)
{
    struct metric_family *f = malloc(sizeof(*f));
    CHECK(f != NULL);
    *f = *like;
    if (m->last == NULL)
        m->first = f;
    else
        m->last->next = f;
    m->last = f;
    return f;
}

/* Two lines of a family with the same name and label would make the page invalid. */
static void check_fits(const struct metric_family *f, const struct metric_family *like,
                       const char *value)
{
    CHECK(f->type == like->type && value != NULL && f->label != NULL && like->label != NULL);
    CHECK(strcmp(f->label, like->label) == 0);
    for (const struct metric *member = f->first; member != NULL; member = member->next)
        CHECK(strcmp(member->value, value) != 0);
}

static struct metric *add_member(struct metrics *m, const struct metric_family *like,
                                 const char *value)
{
    CHECK((like->label == NULL) == (value == NULL));
    struct metric_family *f = find_family(m, like->name);
    if (f == NULL)
        f = add_family(m, like);
    else
        check_fits(f, like, value);
    struct metric *member = calloc(1, sizeof(*member));
    CHECK(member != NULL);
    member->value = value;
    if (f->last == NULL)
        f->first = member;
    else
        f->last->next = member;
    f->last = member;
    return member;
}

struct counter *metrics_counter(struct metrics *m, const char *name, const char *help,
                                const char *label, const char *value)
{
    struct metric_family like = {
        .name = name, .help = help, .label = label, .type = METRIC_COUNTER};
    return &add_member(m, &like, value)->counter;
}

struct gauge *metrics_gauge(struct metrics *m, const char *name, const char *help,
                            const char *label, const char *value)
{
    struct metric_family like = {.name = name, .help = help, .label = label, .type = METRIC_GAUGE};
    return &add_member(m, &like, value)->gauge;
}

struct histogram *metrics_histogram(struct metrics *m, const char *name, const char *help,
                                    const char *label, const char *value, const mono_us *bounds,
                                    size_t n_bounds)
{
    CHECK(n_bounds <= HISTOGRAM_BOUNDS_MAX);
    for (size_t i = 1; i < n_bounds; i++)
        CHECK(bounds[i - 1] < bounds[i]);
    struct metric_family like = {
        .name = name, .help = help, .label = label, .type = METRIC_HISTOGRAM};
    struct histogram *h = &add_member(m, &like, value)->histogram;
    h->bounds = bounds;
    h->n_bounds = n_bounds;
    return h;
}

void histogram_observe(struct histogram *h, mono_us us)
{
    CHECK(us >= 0);
    size_t b = histogram_bucket(h->bounds, h->n_bounds, us);
    atomic_fetch_add_explicit(&h->buckets[b], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, (uint64_t)us, memory_order_relaxed);
}

void gauge_raise(struct gauge *g, int64_t n)
{
    int64_t now = atomic_load_explicit(&g->n, memory_order_relaxed);
    while (now < n && !atomic_compare_exchange_weak_explicit(&g->n, &now, n, memory_order_relaxed,
                                                             memory_order_relaxed))
        continue;
}
