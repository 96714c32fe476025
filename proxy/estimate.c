/*
 * See estimate.h.
 *
 * With F, the time that the app takes for a request that does not wait inside it, the number of
 * requests that it works on at the moment t is the number that leave it in (t, t + F]. The mean of
 * that over a stretch of F is a sum over completions with a triangular weight, which does not
 * depend on the phase of an app whose requests end in waves of period F.
 *
 * An app that merely takes longer than F now and then looks the same at a single moment. A queue
 * inside is assumed only after the number inside has risen and
 *
 *   - the completions kept to one rate from that moment on (rate_is_steady), which those of an app
 *     that became slow do not: they pause;
 *   - the arrivals did not (arrivals_are_uneven): else completions that follow the arrivals, each
 *     after a time of its own, could not be told from those of a queue;
 *   - the first completions after it took F (floor_is_of_the_rise): F is not of another time;
 *   - no later one took F (none_is_quick): else short and long requests are mixed;
 *   - each took what the queue before it explains (waits_match_the_queue): else something else is
 *     inside, as requests of slow clients.
 *
 * From then on, F and the parallelism are kept while the last three hold and the rate stays.
 *
 * If the app lets requests overtake others, as Uvicorn with a pool of threads does, the last two do
 * not hold. A burst into such a pool still ends in waves, F apart, each as large as the pool.
 * Requests that take different multiples of F end in waves as well, but the waves differ in size
 * (waves_are_equal), or too few requests took longer than F (waves_show_overtaking).
 */
#include "proxy/estimate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"

#define RING         16384u   /* completions; a power of two */
#define TICKS        1024u    /* a power of two */
#define SECONDS      3600     /* the times and numbers of each of so many are remembered */
#define GROUP        8        /* completions whose lower median is a candidate for F */
#define FLOOR_US     60000000 /* F is of the last minute */
#define FLOOR_MIN_US 10000
#define FLOOR_MAX_US 30000000
#define HALF_MIN_US  150000   /* the kernel's half-width is a multiple of F, at least this */
#define BLIND_US     2000000  /* after completions that were not seen */
#define STALE_US     1500000  /* a reading without a tick */
#define LOST_US      20000000 /* a queue that does not fit for so long is forgotten */
#define CENTRES      64
#define SATURATED    1.2  /* inside, to parallelism */
#define STEADY       0.08 /* of the parallelism */
#define WAITED       1.15 /* of F: a request that took more has waited */
#define SPREAD                                                                                     \
    1.05             /* of the times of requests that do not wait: the sixth of a group, to the    \
                        third */
#define QUICK   0.12 /* of the requests: so many may overtake others inside, as with Uvicorn */
#define SAME    1.1  /* of F: it is the same F */
#define REFINED 10   /* times F after the rise: F may become more exact */
#define BOXES   12   /* of F, for the dispersion */

#define WAVES_LEAST    3 /* after the burst */
#define WAVES_MOST     64
#define WAVE_LEAST     4    /* requests */
#define WAVE_SATURATED 1.5  /* requests inside, as a multiple of the size of a wave */
#define WAVE_QUICK     0.88 /* maximum share, after the first wave, of requests that took F */

struct done {
    mono_us at, inside;
};

struct look { /* one tick */
    mono_us at;
    uint32_t inside;
    mono_us low, high; /* lowest and highest lower median of a group; 0: there was none */
    double spread;     /* the widest */
};

struct second {
    int64_t number; /* since the clock's start */
    uint32_t most;  /* inside */
    mono_us low;    /* as of a tick */
};

struct queue { /* inside the app */
    bool known;
    mono_us floor;
    mono_us rise, fitted; /* fitted: the last tick at which it was valid */
    double parallelism;
};

struct estimate {
    struct done done[RING];
    uint64_t dones;
    struct look look[TICKS];
    uint64_t looks;
    mono_us group[GROUP]; /* in order */
    unsigned grouped;
    struct look groups; /* since the last tick */
    struct second second[SECONDS];
    mono_us blind; /* until then */
    struct queue queue;
    struct estimate_reading out;
    mono_us starts[RING]; /* scratch: of the completions since the rise, in order */
    mono_us times[RING];  /* scratch */
};

struct estimate *estimate_new(void)
{
    struct estimate *e = calloc(1, sizeof(*e));

    CHECK(e != NULL);
    return e;
}

void estimate_free(struct estimate *e)
{
    free(e);
}

/* ---- completions, oldest first ---- */

static const struct done *done_at(const struct estimate *e, uint64_t i)
{
    return &e->done[i & (RING - 1)];
}

static uint64_t first_done(const struct estimate *e)
{
    return e->dones > RING ? e->dones - RING : 0;
}

/* The first one after `at`, or e->dones. */
static uint64_t done_after(const struct estimate *e, mono_us at)
{
    uint64_t low = first_done(e), high = e->dones;

    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (done_at(e, mid)->at <= at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Whether all completions after `at` are in the ring. */
static bool remembers(const struct estimate *e, mono_us at)
{
    return e->dones <= RING || done_at(e, first_done(e))->at <= at;
}

static int by_time(const void *a, const void *b)
{
    mono_us x = *(const mono_us *)a, y = *(const mono_us *)b;

    return (x > y) - (x < y);
}

static void end_group(struct estimate *e)
{
    struct look *g = &e->groups;

    mono_us median = e->group[GROUP / 2 - 1];
    if (g->low == 0 || median < g->low)
        g->low = median;
    if (median > g->high)
        g->high = median;
    double spread = (double)e->group[5] / (double)e->group[2];
    if (spread > g->spread)
        g->spread = spread;
    e->grouped = 0;
}

/* At its place: a call of qsort() for each group would cost more than all the rest. */
static void add_to_group(struct estimate *e, mono_us inside)
{
    unsigned i = e->grouped++;

    for (; i > 0 && e->group[i - 1] > inside; i--)
        e->group[i] = e->group[i - 1];
    e->group[i] = inside;
    if (e->grouped == GROUP)
        end_group(e);
}

void estimate_completed(struct estimate *e, mono_us at, mono_us inside, uint32_t weight)
{
    uint64_t i = e->dones++;

    inside = inside > 1 ? inside : 1;
    if (weight > 1)
        e->blind = at + BLIND_US;
    for (; i > first_done(e) && done_at(e, i - 1)->at > at; i--)
        e->done[i & (RING - 1)] = *done_at(e, i - 1);
    e->done[i & (RING - 1)] = (struct done){.at = at, .inside = inside};
    add_to_group(e, inside);
}

/* ---- ticks, newest first ---- */

static uint64_t looks(const struct estimate *e)
{
    return e->looks < TICKS ? e->looks : TICKS;
}

static const struct look *look_at(const struct estimate *e, uint64_t ago)
{
    return &e->look[(e->looks - 1 - ago) & (TICKS - 1)];
}

static void append_second(struct estimate *e, const struct look *l)
{
    int64_t number = l->at / 1000000;
    struct second *t = &e->second[number % SECONDS];

    if (e->looks == 1 && l->inside == 0 && number > 0) /* nor was any before */
        e->second[(number - 1) % SECONDS] = (struct second){.number = number - 1};
    if (t->number != number)
        *t = (struct second){.number = number};
    if (l->inside > t->most)
        t->most = l->inside;
    if (l->low > 0 && (t->low == 0 || l->low < t->low))
        t->low = l->low;
}

static void append_look(struct estimate *e, mono_us now, uint32_t inside)
{
    struct look *l = &e->look[e->looks++ & (TICKS - 1)];

    *l = e->groups;
    l->at = now;
    l->inside = inside;
    e->groups = (struct look){.at = now};
    append_second(e, l);
}

/* How many were inside at the first tick after `at`. */
static uint32_t inside_at(const struct estimate *e, mono_us at)
{
    uint64_t low = 0, high = looks(e) - 1; /* the result is the last one that is after `at` */

    while (low < high) {
        uint64_t mid = low + (high - low + 1) / 2;
        if (look_at(e, mid)->at > at)
            low = mid;
        else
            high = mid - 1;
    }
    return look_at(e, low)->inside;
}

/* The lowest of the lower medians of the last minute, or 0. */
static mono_us lowest(const struct estimate *e, mono_us now)
{
    mono_us low = 0;

    for (uint64_t k = 0; k < looks(e) && look_at(e, k)->at > now - FLOOR_US; k++) {
        mono_us l = look_at(e, k)->low;
        if (l > 0 && (low == 0 || l < low))
            low = l;
    }
    return low;
}

/* F, or 0: between the lowest of the medians and the mean of those that are about as low. The mean
 * includes how long the app's loop takes to read what arrives at once. It is not known if the times
 * spread. */
static mono_us floor_of(const struct estimate *e, mono_us now)
{
    mono_us low = lowest(e, now);
    double sum = 0, spread = 0;
    int n = 0;

    for (uint64_t k = 0; k < looks(e) && look_at(e, k)->at > now - FLOOR_US; k++) {
        const struct look *l = look_at(e, k);
        if (l->low == 0 || (double)l->high > SAME * (double)low)
            continue;
        sum += (double)(l->low + l->high) / 2;
        spread += l->spread;
        n++;
    }
    if (n == 0 || spread / n > SPREAD || low < FLOOR_MIN_US || low > FLOOR_MAX_US)
        return 0;
    return (low + (mono_us)(sum / n)) / 2;
}

/*
 * Whether requests took F without a change since few enough were inside that none can have waited,
 * `inside` being the number that the app works on if F is right. A queue would have made the times
 * grow with the number; and what looks like F may be the time that requests take in a queue that
 * was there all along. Few are inside: hardly any, or at most half as many for longer than F, so
 * that the times that were seen are of requests that arrived then.
 */
static bool floor_holds_since_few(const struct estimate *e, mono_us floor, mono_us now,
                                  double inside)
{
    mono_us few = 0;

    for (int64_t i = now / 1000000; i > now / 1000000 - SECONDS; i--) {
        const struct second *t = &e->second[i % SECONDS];
        if (t->number != i)
            return false;
        few = t->most <= inside / 2 ? few + 1000000 : 0;
        if (t->most <= inside / 8 || few > floor + floor / 2 + 1000000)
            return true;
        if (t->low > 0 &&
            (SAME * (double)t->low < (double)floor || (double)t->low > SAME * (double)floor))
            return false;
    }
    return false;
}

/* ---- what a tick judges ---- */

struct judged {
    mono_us now, floor;
    mono_us half; /* half-width of the kernel */
    uint32_t inside;
    mono_us rise;    /* since then, more are inside than the app works on */
    uint32_t before; /* inside at the tick before it */
    double parallelism;
    size_t starts; /* e->starts */
};

static mono_us half_width(mono_us floor)
{
    return floor * ((HALF_MIN_US + floor - 1) / floor);
}

/* The mean number worked on in a stretch of `half` that ends at `centre`. */
static double worked_on(const struct estimate *e, const struct judged *j, mono_us centre)
{
    double sum = 0;

    for (uint64_t i = done_after(e, centre - j->half); i < e->dones; i++) {
        mono_us off = llabs(done_at(e, i)->at - centre);
        if (done_at(e, i)->at >= centre + j->half)
            break;
        sum += 1 - (double)off / (double)j->half;
    }
    return sum * (double)j->floor / (double)j->half;
}

/* The mean over the latest centres since the rise. */
static double recently_worked_on(const struct estimate *e, const struct judged *j)
{
    mono_us last = j->now - j->half;
    double sum = 0;
    int n = 0;

    do
        sum += worked_on(e, j, last - n++ * j->half / 4);
    while (n < 4 && last - n * j->half / 4 >= j->rise + j->half);
    return sum / n;
}

/* The last tick at which not more than the parallelism were inside; false: it is not known. A dip
 * of one tick is between the response of a client's request and its next one. */
static bool find_rise(const struct estimate *e, struct judged *j)
{
    for (uint64_t k = 0; k + 1 < looks(e); k++) {
        const struct look *l = look_at(e, k), *before = look_at(e, k + 1);
        if (l->inside < SATURATED * j->parallelism && before->inside < SATURATED * j->parallelism) {
            j->rise = l->at;
            j->before = l->inside;
            return remembers(e, l->at);
        }
    }
    return false;
}

/* Those of the rise may have begun to arrive before the tick. */
static void collect_starts(struct estimate *e, struct judged *j)
{
    mono_us from = j->rise - j->floor / 2;

    j->starts = 0;
    for (uint64_t i = done_after(e, from); i < e->dones; i++) {
        mono_us start = done_at(e, i)->at - done_at(e, i)->inside;
        if (start > from)
            e->starts[j->starts++] = start;
    }
    qsort(e->starts, j->starts, sizeof(e->starts[0]), by_time);
}

/* The moment of the rise, more exactly than that of a tick. */
static void refine_rise(struct estimate *e, struct judged *j)
{
    uint64_t ended = done_after(e, j->rise);
    double inside = j->before;
    mono_us tick = j->rise;

    collect_starts(e, j);
    for (size_t i = 0; i < j->starts && j->rise == tick; i++) {
        if (e->starts[i] <= tick)
            continue;
        inside++;
        for (; ended < e->dones && done_at(e, ended)->at <= e->starts[i]; ended++)
            inside--;
        if (inside >= SATURATED * j->parallelism)
            j->rise = e->starts[i];
    }
}

/* Sorts. `percent` of them are below. */
static mono_us quantile(mono_us *times, size_t n, size_t percent)
{
    qsort(times, n, sizeof(times[0]), by_time);
    return times[n * percent / 100];
}

/* The first requests after the rise wait for each other in the app's loop, which has many to read.
 * Of those that did not wait otherwise, the quickest ones give F. */
static void refine_floor(struct estimate *e, struct judged *j)
{
    size_t n = 0;

    for (uint64_t i = done_after(e, j->rise); i < e->dones; i++) {
        mono_us inside = done_at(e, i)->inside;
        if (inside >= j->floor - j->floor / 5 && inside <= j->floor + j->floor / 4)
            e->times[n++] = inside;
    }
    if (n < GROUP)
        return;
    mono_us quickest = quantile(e->times, n, 6);
    if (quickest < j->floor)
        j->floor = quickest;
    j->half = half_width(j->floor);
}

/* ---- the conditions at the top of this file ---- */

static bool is_near(double is, double wanted)
{
    return fabs(is - wanted) <= STEADY * wanted;
}

/* Also sets the parallelism to the mean. */
static bool rate_is_steady(const struct estimate *e, struct judged *j)
{
    mono_us first = j->rise + j->half, last = j->now - j->half;
    double worked[CENTRES], sum = 0;
    unsigned n = 0;

    for (mono_us c = last; c >= first && n < CENTRES; c -= j->half / 4) {
        worked[n] = worked_on(e, j, c);
        sum += worked[n++];
    }
    if (n < 2)
        return false;
    j->parallelism = sum / n;
    for (unsigned i = 0; i < n; i++) {
        if (!is_near(worked[i], j->parallelism))
            return false;
    }
    return j->parallelism > 0.9;
}

/* Longer than F, since waves of completions may be a little further apart. */
static mono_us lately(const struct judged *j)
{
    return j->now - j->half - j->half / 4;
}

/* More at once than the rate of completions, by more than chance. */
static bool arrivals_burst(const struct estimate *e, const struct judged *j)
{
    double most = 0, p = j->parallelism;
    size_t from = 0;

    for (size_t i = 0; i < j->starts; i++) {
        while (e->starts[i] - e->starts[from] > j->floor / 2)
            from++;
        if ((double)(i - from + 1) > most)
            most = (double)(i - from + 1);
    }
    return most - p >= p / 4 && (most - p) * (most - p) >= 16 * p;
}

/* Variance, to mean. */
static double dispersion(const double n[BOXES])
{
    double sum = 0, squares = 0;

    for (int i = 0; i < BOXES; i++) {
        sum += n[i];
        squares += n[i] * n[i];
    }
    double mean = sum / BOXES;
    return mean > 0 ? (squares / BOXES - mean * mean) / mean : 0;
}

/* At random, while the completions are even. */
static bool arrivals_are_random(const struct estimate *e, const struct judged *j)
{
    double in[BOXES] = {0}, out[BOXES] = {0};
    mono_us end = j->rise + BOXES * j->floor;

    for (uint64_t i = done_after(e, j->now - j->half); i < e->dones; i++) {
        if (j->now - done_at(e, i)->inside < end)
            return false; /* some that arrived before `end` may not have ended */
    }
    for (size_t i = 0; i < j->starts && e->starts[i] < end; i++) {
        if (e->starts[i] >= j->rise)
            in[(e->starts[i] - j->rise) / j->floor]++;
    }
    for (uint64_t i = done_after(e, j->rise - 1); i < e->dones && done_at(e, i)->at < end; i++)
        out[(done_at(e, i)->at - j->rise) / j->floor]++;
    return dispersion(in) >= 0.4 && dispersion(out) <= dispersion(in) / 8;
}

static bool arrivals_are_uneven(const struct estimate *e, const struct judged *j)
{
    return arrivals_burst(e, j) || arrivals_are_random(e, j);
}

static bool floor_is_of_the_rise(const struct estimate *e, const struct judged *j)
{
    mono_us end = j->rise + j->floor + j->floor / 4;
    double least = (double)j->floor / SAME, most = 1.4 * (double)j->floor;
    unsigned n = 0, like = 0;

    for (uint64_t i = done_after(e, j->rise); i < e->dones; i++, n++) {
        const struct done *d = done_at(e, i);
        if (d->at > end)
            break;
        like += (double)d->inside >= least && (double)d->inside <= most;
    }
    return n >= 0.75 * j->parallelism && like >= 0.7 * n && n > 0 &&
           floor_holds_since_few(e, j->floor, j->rise, j->parallelism);
}

static bool none_is_quick(const struct estimate *e, const struct judged *j, mono_us since)
{
    unsigned n = 0, quick = 0;

    for (uint64_t i = done_after(e, since); i < e->dones; i++, n++)
        quick += (double)done_at(e, i)->inside < WAITED * (double)j->floor;
    return n >= 0.5 * j->parallelism && n >= 4 && quick <= QUICK * n;
}

/* First come, first served, on the whole: each waits for those that were inside when it arrived. */
static bool waits_match_the_queue(struct estimate *e, const struct judged *j)
{
    double took = 0, expected = 0;
    size_t n = 0;

    for (uint64_t i = done_after(e, lately(j)); i < e->dones; i++, n++) {
        const struct done *d = done_at(e, i);
        took += (double)d->inside;
        e->times[n] = d->inside;

        expected += inside_at(e, d->at - d->inside) * (double)j->floor / j->parallelism;
    }
    return n >= 4 && is_near(took, expected) &&
           (double)quantile(e->times, n, 10) >= 0.45 * took / (double)n;
}

/* ---- a queue inside the app ---- */

static bool begins(struct estimate *e, struct judged *j)
{
    j->parallelism = worked_on(e, j, j->now - j->half);
    if (j->parallelism < 0.9 || j->inside < SATURATED * j->parallelism || !find_rise(e, j))
        return false;
    refine_rise(e, j);
    refine_floor(e, j);
    return rate_is_steady(e, j) && arrivals_are_uneven(e, j) && floor_is_of_the_rise(e, j) &&
           none_is_quick(e, j, j->rise + j->floor + j->floor / 2) && waits_match_the_queue(e, j);
}

/* Twice in a row, not more are inside than the app works on. */
static bool has_ended(const struct estimate *e)
{
    double most = SATURATED * e->queue.parallelism;

    return look_at(e, 0)->inside < most && (looks(e) < 2 || look_at(e, 1)->inside < most);
}

/* Later ones may have been quicker still. */
static void refine_queue(struct estimate *e, struct judged *j)
{
    struct queue *q = &e->queue;

    j->rise = q->rise;
    j->floor = q->floor;
    j->half = half_width(j->floor);
    if (j->now - q->rise < REFINED * q->floor && remembers(e, q->rise))
        refine_floor(e, j);
    q->parallelism *= (double)j->floor / (double)q->floor;
    q->floor = j->floor;
}

static bool fits(struct estimate *e, struct judged *j)
{
    refine_queue(e, j);

    j->parallelism = e->queue.parallelism;
    return is_near(worked_on(e, j, j->now - j->half), j->parallelism) &&
           is_near(recently_worked_on(e, j), j->parallelism) && none_is_quick(e, j, lately(j)) &&
           waits_match_the_queue(e, j);
}

static void publish(struct estimate *e, const struct judged *j, double parallelism)
{
    e->out = (struct estimate_reading){
        .valid = true,
        .parallelism = parallelism,
        .hidden_valid = true,
        .hidden = j->inside - parallelism,
        .floor = j->floor,
    };
}

static void judge_queue(struct estimate *e, struct judged *j)
{
    struct queue *q = &e->queue;

    if (q->known && (has_ended(e) || j->now - q->fitted > LOST_US))
        q->known = false;
    if (!q->known && begins(e, j))
        *q = (struct queue){true, j->floor, j->rise, j->now, j->parallelism};
    if (!q->known || !fits(e, j))
        return;
    q->fitted = j->now;
    if (j->inside >= SATURATED * q->parallelism)
        publish(e, j, recently_worked_on(e, j));
}

/* ---- waves ---- */

/* Requests that ended together. */
struct wave {
    mono_us first, last;
    unsigned n;
    unsigned quick; /* took F */
};

struct waves {
    struct wave wave[WAVES_MOST]; /* newest first; a wave that may not have ended is left out */
    unsigned n;
};

/* The waves among the completions after `since`. Waves are at least a quarter of F apart. */
static void collect_waves(const struct estimate *e, const struct judged *j, mono_us since,
                          struct waves *out)
{
    uint64_t first = done_after(e, since);
    mono_us next = j->now; /* completion */
    struct wave *w = NULL;

    out->n = 0;
    for (uint64_t i = e->dones; i > first; i--) {
        const struct done *d = done_at(e, i - 1);
        if (next - d->at >= j->floor / 4) {
            if (out->n == WAVES_MOST)
                return;
            w = &out->wave[out->n++];
            *w = (struct wave){.last = d->at};
        }
        next = d->at;
        if (w == NULL)
            continue;
        w->first = d->at;
        w->n++;
        w->quick += (double)d->inside < WAITED * (double)j->floor;
    }
}

/* The waves have one size, which becomes the parallelism, and are F apart. Sizes that depend on
 * chance are rarely equal. */
static bool waves_are_equal(const struct waves *w, struct judged *j)
{
    j->parallelism = w->wave[0].n;
    for (unsigned i = 0; i < w->n; i++) {
        const struct wave *v = &w->wave[i];
        mono_us apart = i > 0 ? w->wave[i - 1].first - v->first : j->floor;
        if (v->n != w->wave[0].n || v->last - v->first > j->floor / 4 ||
            (double)apart * SAME < (double)j->floor || (double)apart > SAME * (double)j->floor)
            return false;
    }
    return true;
}

/*
 * The requests of the first wave took F. Then requests have overtaken those that wait: in the
 * second wave, more requests took F than would in a queue. In all waves after the first, some took
 * longer: more of them than if only slower requests were mixed in.
 */
static bool waves_show_overtaking(const struct waves *w, const struct judged *j)
{
    const struct wave *first = &w->wave[w->n - 1], *second = &w->wave[w->n - 2];
    double in_order = 2 * j->parallelism - j->inside; /* of the second wave */
    unsigned n = 0, quick = 0;

    for (unsigned i = 0; i + 1 < w->n; i++) {
        n += w->wave[i].n;
        quick += w->wave[i].quick;
    }
    in_order = in_order > 0 ? in_order : 0;
    return first->quick >= 0.95 * first->n && second->quick > in_order + 0.04 * second->n &&
           quick <= WAVE_QUICK * n;
}

/* Finds the rise, with the size of the latest wave as the parallelism. */
static bool find_rise_of_waves(struct estimate *e, struct judged *j, struct waves *w)
{
    collect_waves(e, j, j->now - 2 * j->floor, w);
    if (w->n == 0 || j->now - w->wave[0].last > j->floor + j->floor / 4)
        return false;
    j->parallelism = w->wave[0].n;
    if (j->parallelism < WAVE_LEAST || j->inside < WAVE_SATURATED * j->parallelism ||
        !find_rise(e, j))
        return false;
    refine_rise(e, j);
    return true;
}

/* A burst has filled the app, and its requests have ended in waves since. */
static bool come_in_waves(struct estimate *e, struct judged *j, struct waves *w)
{
    collect_waves(e, j, j->rise, w);
    return w->n >= WAVES_LEAST && w->n < WAVES_MOST && waves_are_equal(w, j) &&
           waves_show_overtaking(w, j) &&
           w->wave[w->n - 1].first <= j->rise + j->floor + j->floor / 4 &&
           inside_at(e, j->rise + j->floor / 2) >= WAVE_SATURATED * j->parallelism;
}

static void judge_waves(struct estimate *e, struct judged *j)
{
    struct waves w;

    j->floor = lowest(e, j->now);
    if (j->floor < FLOOR_MIN_US || j->floor > FLOOR_MAX_US || !find_rise_of_waves(e, j, &w))
        return;
    if (come_in_waves(e, j, &w) && floor_holds_since_few(e, j->floor, j->rise, j->parallelism))
        publish(e, j, j->parallelism);
}

/* ---- no queue inside ---- */

/* Three in four took F. */
static bool all_took_the_floor(const struct estimate *e, const struct judged *j)
{
    unsigned n = 0, like = 0;

    for (uint64_t i = done_after(e, lately(j)); i < e->dones; i++, n++)
        like += (double)done_at(e, i)->inside <= 1.07 * (double)j->floor;
    return n >= 4 && n >= j->inside / 2 && like >= 0.75 * n;
}

static void judge_no_queue(struct estimate *e, const struct judged *j)
{
    double were = inside_at(e, j->now - j->half), worked = worked_on(e, j, j->now - j->half);

    if (!all_took_the_floor(e, j) || fabs(worked - were) > 0.1 * were + 0.6 ||
        j->inside > 1.1 * were + 0.5 || !floor_holds_since_few(e, j->floor, j->now, j->inside))
        return;
    e->out = (struct estimate_reading){.hidden_valid = true, .floor = j->floor};
}

/* ---- ticks ---- */

void estimate_tick(struct estimate *e, mono_us now, uint32_t inside)
{
    struct judged j = {.now = now, .inside = inside};

    append_look(e, now, inside);
    e->out = (struct estimate_reading){.valid = false};
    if (now < e->blind)
        return;
    j.floor = e->queue.known ? e->queue.floor : floor_of(e, now);
    j.half = j.floor > 0 ? half_width(j.floor) : 0;
    if (j.floor > 0 && remembers(e, now - 3 * j.half)) {
        judge_queue(e, &j);
        if (!e->out.valid && !e->queue.known && inside >= 2)
            judge_no_queue(e, &j);
    }
    if (!e->out.hidden_valid)
        judge_waves(e, &j);
}

void estimate_read(const struct estimate *e, mono_us now, struct estimate_reading *out)
{
    *out = (struct estimate_reading){.valid = false};
    if (e->looks > 0 && now - look_at(e, 0)->at <= STALE_US)
        *out = e->out;
}
