/* Which waiter is next, and which one makes room. No locks here: all of it runs under the limiter's
 * mutex. */
#include "limiter/choice.h"

#include <stddef.h>

#define FOR_EACH_CLASS(c, set)                                                                     \
    for (uint32_t rest_ = (set), c; rest_ != 0 && (c = (uint32_t)__builtin_ctz(rest_), true);      \
         rest_ &= rest_ - 1)

#define BIT(class_) (UINT32_C(1) << (class_))

/* ---- lateness -------------------------------------------------------------------------------- */

static bool is_late(const struct choice_terms *t, const struct limiter_waiter *w)
{
    if (t->fifo)
        return false;
    return (t->over && t->now - w->queued_at > t->allowance) ||
           (w->declared != 0 && t->hold > w->declared - t->now);
}

static bool has_expired(const struct choice_terms *t, const struct limiter_waiter *w)
{
    return t->now >= w->deadline;
}

/* ---- who is next ----------------------------------------------------------------------------- */

/* Of a class that has waiters. */
static struct limiter_waiter *candidate(struct waitq *q, struct waitq_class *class_,
                                        const struct choice_terms *t)
{
    unsigned key = waitq_key_in_turn(class_);
    struct limiter_waiter *w;

    while ((w = class_->lanes[WAITQ_ON_TIME].keys[key].head) != NULL) {
        if (has_expired(t, w) || !is_late(t, w))
            return w;
        waitq_make_late(q, w);
    }
    return class_->lanes[WAITQ_LATE].keys[key].tail;
}

static mono_us rank(const struct waitq_class *class_, const struct choice_terms *t,
                    const struct limiter_waiter *w)
{
    mono_us from = w->queued_at;

    if (t->over && (w->late || class_->since < from))
        from = class_->since;
    return from - class_->head_start;
}

static bool is_before(const struct waitq *q, const struct choice_terms *t,
                      const struct limiter_waiter *a, const struct limiter_waiter *b)
{
    mono_us rank_a = rank(&q->classes[a->class_], t, a);
    mono_us rank_b = rank(&q->classes[b->class_], t, b);

    return rank_a != rank_b ? rank_a < rank_b : a->place < b->place;
}

struct limiter_waiter *choice_next(struct waitq *q, const struct choice_terms *t, bool *in_time)
{
    struct limiter_waiter *best = NULL;

    FOR_EACH_CLASS(c, q->used)
    {
        struct limiter_waiter *w = candidate(q, &q->classes[c], t);
        if (has_expired(t, w)) {
            *in_time = false;
            return w;
        }
        if ((t->eligible & BIT(c)) != 0 && (best == NULL || is_before(q, t, w, best)))
            best = w;
    }
    if (best != NULL)
        *in_time = true;
    return best;
}

/* ---- who makes room -------------------------------------------------------------------------- */

/* Waiters that would be late at their turn count as late now. */
static void find_late(struct waitq *q, uint32_t classes, const struct choice_terms *t)
{
    FOR_EACH_CLASS(c, classes)
    {
        const struct waitq_lane *lane = &q->classes[c].lanes[WAITQ_ON_TIME];
        for (uint64_t keys = lane->used; keys != 0; keys &= keys - 1) {
            const struct waitq_list *list = &lane->keys[__builtin_ctzll(keys)];
            while (list->head != NULL && is_late(t, list->head))
                waitq_make_late(q, list->head);
        }
    }
}

/* The classes in use whose head start is smaller than that of `class_`, or maybe equal to it. */
static uint32_t lower_classes(const struct waitq *q, unsigned class_, bool or_equal)
{
    mono_us own = q->classes[class_].head_start;
    uint32_t lower = 0;

    FOR_EACH_CLASS(c, q->used)
    {
        mono_us its = q->classes[c].head_start;
        if (its < own || (or_equal && its == own))
            lower |= BIT(c);
    }
    return lower;
}

static uint32_t classes_with_late(const struct waitq *q, uint32_t classes)
{
    uint32_t with = 0;

    FOR_EACH_CLASS(c, classes)
    with |= q->classes[c].lanes[WAITQ_LATE].depth > 0 ? BIT(c) : 0;
    return with;
}

/* The classes that have a waiter to spare: the only one of a class keeps its place, or a lower
 * class would never see its turn come. */
static uint32_t sparing_classes(const struct waitq *q)
{
    uint32_t sparing = 0;

    FOR_EACH_CLASS(c, q->used)
    sparing |= waitq_class_depth(&q->classes[c]) > 1 ? BIT(c) : 0;
    return sparing;
}

/* Those that may have no slot now, and are no higher than `newcomer`. */
static uint32_t held_back_classes(const struct waitq *q, const struct choice_terms *t,
                                  const struct limiter_waiter *newcomer)
{
    return lower_classes(q, newcomer->class_, true) & ~t->eligible;
}

/* The classes whose waiters give way to `newcomer`, on time or not. */
static uint32_t yielding_classes(const struct waitq *q, const struct choice_terms *t,
                                 const struct limiter_waiter *newcomer)
{
    uint32_t yielding = lower_classes(q, newcomer->class_, false);
    uint32_t not_higher = lower_classes(q, newcomer->class_, true);
    bool runs = (t->eligible & BIT(newcomer->class_)) != 0;

    if (runs)
        yielding |= held_back_classes(q, t, newcomer);
    if (runs && (q->used & BIT(newcomer->class_)) == 0)
        yielding |= q->used & ~not_higher;
    return yielding & sparing_classes(q);
}

/* `classes` is not empty. */
static struct waitq_class *lowest_of(struct waitq *q, uint32_t classes)
{
    struct waitq_class *lowest = NULL;

    FOR_EACH_CLASS(c, classes)
    if (lowest == NULL || q->classes[c].head_start < lowest->head_start)
        lowest = &q->classes[c];
    return lowest;
}

static uint32_t length_of(const struct waitq_class *class_, unsigned key)
{
    return class_->lanes[WAITQ_ON_TIME].keys[key].length +
           class_->lanes[WAITQ_LATE].keys[key].length;
}

/* The key with the most waiters, in both lanes or in one; the first of several. */
static unsigned longest_key(const struct waitq_class *class_)
{
    uint64_t keys = class_->lanes[WAITQ_ON_TIME].used | class_->lanes[WAITQ_LATE].used;
    unsigned longest = (unsigned)__builtin_ctzll(keys);

    for (; keys != 0; keys &= keys - 1) {
        unsigned key = (unsigned)__builtin_ctzll(keys);
        if (length_of(class_, key) > length_of(class_, longest))
            longest = key;
    }
    return longest;
}

static struct limiter_waiter *newest_of(const struct waitq_class *class_, unsigned key)
{
    struct limiter_waiter *a = class_->lanes[WAITQ_ON_TIME].keys[key].tail;
    struct limiter_waiter *b = class_->lanes[WAITQ_LATE].keys[key].tail;

    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    return a->place > b->place ? a : b;
}

/* Of the key that has the most late ones: the one that fills the queue gives way. NULL: there are
 * none. */
static struct limiter_waiter *oldest_late(const struct waitq_class *class_)
{
    const struct waitq_lane *late = &class_->lanes[WAITQ_LATE];
    const struct waitq_list *longest = NULL;

    for (uint64_t keys = late->used; keys != 0; keys &= keys - 1) {
        const struct waitq_list *list = &late->keys[__builtin_ctzll(keys)];
        if (longest == NULL || list->length > longest->length)
            longest = list;
    }
    return longest != NULL ? longest->head : NULL;
}

/* Or NULL, if that would not make the shares of the keys more even. */
static struct limiter_waiter *newest_of_longer_key(const struct waitq_class *class_, unsigned key)
{
    if (waitq_class_depth(class_) == 0)
        return NULL;
    unsigned longest = longest_key(class_);
    bool longer = length_of(class_, longest) > length_of(class_, key) + 1;

    return longer ? newest_of(class_, longest) : NULL;
}

struct limiter_waiter *choice_victim(struct waitq *q, const struct choice_terms *t,
                                     const struct limiter_waiter *newcomer)
{
    uint32_t late = 0, yielding = yielding_classes(q, t, newcomer);

    if (t->over) {
        uint32_t lower = lower_classes(q, newcomer->class_, true);
        find_late(q, lower, t);
        late = classes_with_late(q, lower & (sparing_classes(q) | BIT(newcomer->class_)));
    }
    if (late != 0)
        return oldest_late(lowest_of(q, late));
    if (yielding != 0) {
        const struct waitq_class *lowest = lowest_of(q, yielding);
        return newest_of(lowest, longest_key(lowest));
    }
    return newest_of_longer_key(&q->classes[newcomer->class_], newcomer->key);
}

bool choice_has_held_back(const struct waitq *q, const struct choice_terms *t,
                          const struct limiter_waiter *newcomer)
{
    return (t->eligible & BIT(newcomer->class_)) != 0 &&
           (held_back_classes(q, t, newcomer) & sparing_classes(q)) != 0;
}

uint64_t choice_spare_bytes(struct waitq *q, const struct choice_terms *t,
                            const struct limiter_waiter *newcomer)
{
    uint32_t yielding = yielding_classes(q, t, newcomer);
    uint32_t lower = t->over ? lower_classes(q, newcomer->class_, true) : 0;
    const struct waitq_lane *own = q->classes[newcomer->class_].lanes;
    uint64_t bytes = 0;

    find_late(q, lower, t);
    if (((own[WAITQ_ON_TIME].used | own[WAITQ_LATE].used) & ~(UINT64_C(1) << newcomer->key)) != 0)
        yielding |= BIT(newcomer->class_);
    FOR_EACH_CLASS(c, yielding | lower)
    {
        const struct waitq_lane *lanes = q->classes[c].lanes;
        bytes += lanes[WAITQ_LATE].bytes;
        bytes += (yielding & BIT(c)) != 0 ? lanes[WAITQ_ON_TIME].bytes : 0;
    }
    return bytes;
}

/* The sum is only a bound: who gives way depends on who has done so before. */
bool choice_can_fit(struct waitq *q, const struct choice_terms *t,
                    const struct limiter_waiter *newcomer)
{
    const uint64_t most = q->max_bytes - newcomer->bytes;
    struct limiter_waiter *lifted = NULL, *victim;

    if (q->bytes - choice_spare_bytes(q, t, newcomer) > most)
        return false;
    while (q->bytes > most && (victim = choice_victim(q, t, newcomer)) != NULL)
        waitq_lift(q, victim, &lifted);
    bool fits = q->bytes <= most;
    while (lifted != NULL)
        waitq_put_back(q, &lifted);
    return fits;
}

uint32_t choice_ahead(const struct waitq *q, const struct choice_terms *t,
                      const struct limiter_waiter *newcomer)
{
    uint32_t lower = lower_classes(q, newcomer->class_, false), ahead = 0;
    uint32_t own = BIT(newcomer->class_);

    FOR_EACH_CLASS(c, q->used & ~lower & (t->eligible | own))
    ahead += q->classes[c].lanes[WAITQ_ON_TIME].depth;
    return ahead;
}
