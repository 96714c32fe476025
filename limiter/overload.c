/* The evidence of an overload. No locks here: all of it runs under the limiter's mutex. */
#include "limiter/overload.h"

#define REFRESH_US      100000 /* between two computations of the patience */
#define ALLOWANCE_LEAST 5000   /* us, while the patience is not known */
#define WASTE_LEAST     3
#define WASTE_ONE_IN    32
#define KEEP            64 /* releases; then both counts are halved */

void overload_init(struct overload *o)
{
    *o = (struct overload){.patience = MONO_NEVER};
}

bool overload_is_due(const struct overload *o, mono_us now)
{
    return now >= o->due;
}

void overload_begin_refresh(struct overload *o, mono_us now)
{
    o->due = now + REFRESH_US;
}

void overload_set_patience(struct overload *o, mono_us patience)
{
    o->patience = patience;
}

mono_us overload_allowance(const struct overload *o, mono_us hold)
{
    if (o->patience < MONO_NEVER)
        return o->patience / 2;
    return hold / 4 > ALLOWANCE_LEAST ? hold / 4 : ALLOWANCE_LEAST;
}

/* Whether it takes at least `us` (not negative) to serve `waiters`. Without a division. */
static bool takes(const struct overload_arrival *a, uint32_t waiters, mono_us us)
{
    uint64_t work, slots = a->limit > 0 ? a->limit : 1, done;

    if (__builtin_mul_overflow((uint64_t)us, slots * 8, &done)) /* MONO_NEVER */
        return false;
    return __builtin_mul_overflow(a->hold_x8, waiters, &work) || work >= done;
}

/* Whether a wait of this newcomer, or of the oldest on-time waiter, is in vain; and why. */
static bool is_evidence(const struct overload *o, const struct overload_arrival *a,
                        enum overload_cause *cause)
{
    if (a->full || takes(a, a->waiters, a->left)) {
        *cause = OVERLOAD_HOPELESS;
        return true;
    }
    if (a->oldest > o->patience && takes(a, a->waiters, a->oldest)) {
        *cause = OVERLOAD_CROWDED;
        return true;
    }
    return false;
}

static void mark(struct overload *o, const struct overload_arrival *a)
{
    o->marked = true;
    o->mark = a->now;
    o->waiters = a->waiters;
    o->granted = a->granted;
}

/* The time of a turnover is that of the present mean: that at the mark may have been wrong. */
static bool has_turned_over(const struct overload *o, const struct overload_arrival *a)
{
    return a->granted >= o->granted + o->waiters && !takes(a, o->waiters, a->now - o->mark + 1);
}

bool overload_arrives(struct overload *o, const struct overload_arrival *a,
                      enum overload_cause *cause)
{
    enum overload_cause why;

    if (o->over)
        return false;
    if (o->marked && a->waiters < o->waiters / 2)
        o->marked = false;
    if (!is_evidence(o, a, &why))
        return false;
    if (!o->marked) {
        mark(o, a);
        return false;
    }
    if (!has_turned_over(o, a))
        return false;
    o->over = true;
    *cause = why;
    return true;
}

static bool is_wasteful(const struct overload *o)
{
    return o->wasted >= WASTE_LEAST && o->wasted * WASTE_ONE_IN >= o->waits;
}

bool overload_releases(struct overload *o, bool gone, mono_us waited, bool queue_empty)
{
    bool begins = false;

    o->waits += 1;
    if (gone) {
        o->wasted += waited > o->patience;
        begins = is_wasteful(o) && !queue_empty && !o->over;
        o->over = o->over || begins;
    }
    if (o->waits >= KEEP) {
        o->waits /= 2;
        o->wasted /= 2;
    }
    return begins;
}

bool overload_ends(struct overload *o)
{
    bool ends = o->over;

    o->over = o->marked = false;
    return ends;
}

void overload_resumes(struct overload *o)
{
    o->marked = false;
    o->waits = o->wasted = 0;
}
