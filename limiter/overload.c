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

/* Whether a wait of this newcomer, or of the oldest on-time waiter, is in vain; and why. */
static bool is_evidence(const struct overload *o, const struct overload_arrival *a,
                        enum overload_cause *cause)
{
    if (a->full || a->turnover >= a->left) {
        *cause = OVERLOAD_HOPELESS;
        return true;
    }
    if (a->oldest > o->patience && a->turnover >= a->oldest) {
        *cause = OVERLOAD_CROWDED;
        return true;
    }
    return false;
}

bool overload_arrives(struct overload *o, const struct overload_arrival *a,
                      enum overload_cause *cause)
{
    enum overload_cause why;

    if (o->over)
        return false;
    if (o->marked && a->turnover < o->turn / 2)
        o->marked = false;
    if (!is_evidence(o, a, &why))
        return false;
    if (!o->marked) {
        o->marked = true;
        o->mark = a->now;
        o->turn = a->turnover;
        return false;
    }
    if (a->now - o->mark < o->turn)
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
