/* See advice.h. The first function of `rules` that writes a sentence is used. */
#include "proxy/advice.h"

#include <inttypes.h>

#define BLOCKING_HINT                                                                              \
    "look for blocking calls, such as time.sleep() or a synchronous driver, in async handlers"
#define SOME 0.02   /* of the requests: fewer are not reported */
#define BUSY 0.5    /* of the time without a free slot */
#define WAIT 100000 /* us: shorter waits are not reported */

/* "1 request", "5 requests" */
static void add_count(struct strbuf *out, uint64_t n, const char *what)
{
    strbuf_addf(out, "%" PRIu64 " %s%s", n, what, n == 1 ? "" : "s");
}

static unsigned rounded(double x)
{
    return x < 0 ? 0 : (unsigned)(x + 0.5);
}

static const char *are(uint64_t n)
{
    return n == 1 ? "is" : "are";
}

static uint64_t finished(const struct history_summary *h)
{
    uint64_t n = 0;

    for (size_t i = 0; i < SOURCES; i++)
        n += h->finished[i];
    return n;
}

static bool is_some(uint64_t n, const struct history_summary *h)
{
    return n > 0 && (double)n >= SOME * (double)finished(h);
}

/* "1.25 s", "80 ms" */
static void add_time(struct strbuf *out, mono_us us)
{
    if (us >= 1000000)
        strbuf_addf(out, "%.2f s", (double)us / 1e6);
    else
        strbuf_addf(out, "%.0f ms", (double)us / 1e3);
}

/* "in the last 60 s" */
static void add_period(struct strbuf *out, const struct history_summary *h)
{
    if (h->seconds == 1)
        strbuf_adds(out, "in the last second");
    else
        strbuf_addf(out, "in the last %u s", h->seconds);
}

/* ---- the app ---- */

static bool draining(const struct advice_facts *f, struct strbuf *out)
{
    if (!f->draining)
        return false;
    strbuf_adds(out, "weir is draining: ");
    add_count(out, f->in_flight, "request");
    strbuf_addf(out, " %s in flight and %" PRIu32 " in the queue.", are(f->in_flight), f->queued);
    return true;
}

static bool not_up(const struct advice_facts *f, struct strbuf *out)
{
    if (f->verdict != VERDICT_STARTING && f->verdict != VERDICT_DOWN)
        return false;
    strbuf_adds(out,
                f->verdict == VERDICT_STARTING ? "The app has not started yet" : "The app is down");
    if (f->queued > 0) {
        strbuf_adds(out, ": ");
        add_count(out, f->queued, "request");
        strbuf_addf(out, " %s for it.", f->queued == 1 ? "waits" : "wait");
    } else {
        strbuf_adds(out, ": requests will wait for it.");
    }
    return true;
}

static bool paused(const struct advice_facts *f, struct strbuf *out)
{
    if (!f->paused)
        return false;
    strbuf_addf(out, "weir is paused, and %" PRIu32 " %s in the queue; weir resume ends the pause.",
                f->queued, f->queued == 1 ? "request is" : "requests are");
    return true;
}

static bool blocked(const struct advice_facts *f, struct strbuf *out)
{
    if (f->verdict != VERDICT_LOOP_BLOCKED)
        return false;
    if (f->estimate.valid)
        strbuf_addf(out,
                    "The app works on one request at a time while %u wait inside it: %s, or lower "
                    "the limit to 1.",
                    rounded(f->estimate.hidden), BLOCKING_HINT);
    else if (f->unread_told && f->unread > 0)
        strbuf_addf(out,
                    "The app has not read what was sent on %" PRIu32
                    " of its connections: its event loop is blocked, or all its threads are busy; "
                    "%s.",
                    f->unread, BLOCKING_HINT);
    else
        strbuf_addf(out,
                    "The app reads nothing at times, with %" PRIu32
                    " %s: its event loop is blocked, or all its threads are busy; %s.",
                    f->in_flight, f->in_flight == 1 ? "request in flight" : "requests in flight",
                    BLOCKING_HINT);
    return true;
}

/* The workers accept a connection when they are free. */
static bool busy(const struct advice_facts *f, struct strbuf *out)
{
    if (f->verdict != VERDICT_POOL_FULL || f->estimate.valid)
        return false;
    strbuf_adds(out, "All workers of the app are busy at times");
    if (f->unread_told && f->unread > 0) {
        strbuf_adds(out, ": ");
        add_count(out, f->unread, "request");
        strbuf_addf(out, " %s for one to accept it", f->unread == 1 ? "waits" : "wait");
    }
    strbuf_adds(out, ". A limit of their number would keep such requests in weir's queue.");
    return true;
}

static bool pool_full(const struct advice_facts *f, struct strbuf *out)
{
    unsigned p = rounded(f->estimate.parallelism), h = rounded(f->estimate.hidden);

    if (f->verdict != VERDICT_POOL_FULL || h == 0)
        return false;
    if (f->limit == UINT32_MAX)
        strbuf_adds(out, "There is no limit");
    else
        strbuf_addf(out, "The limit is %" PRIu32, f->limit);
    strbuf_addf(out,
                ", but the app works on %u at once: %u %s inside it. A limit of %u loses no "
                "throughput, and keeps them in weir's queue.",
                p, h, h == 1 ? "request only waits" : "requests only wait", p);
    return true;
}

/* ---- the queue ---- */

static bool overload(const struct advice_facts *f, struct strbuf *out)
{
    const struct history_summary *h = f->recent;

    if (!f->overload || !f->enforcing)
        return false;
    strbuf_addf(
        out,
        "Overload: more requests arrive than are served, and %" PRIu32
        " are in the queue; weir first serves those that can still be on time. Add instances",
        f->queued);
    if (h->refused > 0) {
        strbuf_adds(out, "; ");
        add_count(out, h->refused, "request");
        strbuf_adds(out, h->refused == 1 ? " was refused " : " were refused ");
        add_period(out, h);
    }
    strbuf_adds(out, ".");
    return true;
}

static bool refusals(const struct advice_facts *f, struct strbuf *out)
{
    const struct history_summary *h = f->recent;
    size_t most = 0;

    if (!is_some(h->refused, h) || !f->enforcing)
        return false;
    for (size_t i = 0; i < STATS_REASONS; i++) {
        if (h->rejected[i] > h->rejected[most])
            most = i;
    }
    add_count(out, h->refused, "request");
    strbuf_adds(out, h->refused == 1 ? " was refused " : " were refused ");
    add_period(out, h);
    strbuf_addf(out, ", %s %s", h->rejected[most] == h->refused ? "with" : "most with",
                stats_reason_names[most]);
    if (h->saturated >= BUSY)
        strbuf_addf(
            out, ", while no slot was free for %.0f %% of the time: more requests arrive than %s.",
            h->saturated * 100,
            f->verdict == VERDICT_OK && f->estimate.hidden_valid
                ? "the limit lets through, and none waits inside the app"
                : "are served");
    else
        strbuf_adds(out, ".");
    return true;
}

static bool gone(const struct advice_facts *f, struct strbuf *out)
{
    const struct history_summary *h = f->recent;
    uint64_t n = h->finished[STATS_SOURCE_CLIENT_GONE];

    if (!is_some(n, h))
        return false;
    add_count(out, n, "client");
    strbuf_adds(out, " left before the response ");
    add_period(out, h);
    if (h->wait[HISTORY_P90] >= WAIT) {
        strbuf_adds(out, ", when one request in ten waited for ");
        add_time(out, h->wait[HISTORY_P90]);
        strbuf_adds(out, " or more");
    }
    strbuf_adds(out, ".");
    return true;
}

static bool errors(const struct advice_facts *f, struct strbuf *out)
{
    const struct history_summary *h = f->recent;

    if (!is_some(h->errors, h))
        return false;
    strbuf_addf(out, "%" PRIu64 " of %" PRIu64 " responses ", h->errors, finished(h));
    add_period(out, h);
    strbuf_adds(out, " were errors: 500 or above from the app, or 502 or 504 from weir.");
    return true;
}

/* Saturated while nothing is known to wait inside the app. */
static bool limit_is_low(const struct advice_facts *f, struct strbuf *out)
{
    const struct history_summary *h = f->recent;

    if (f->limit == UINT32_MAX || h->saturated < BUSY || h->wait[HISTORY_P90] < WAIT)
        return false;
    strbuf_addf(
        out,
        "All %" PRIu32
        " slots were in use for %.0f %% of the last %u s, and one request in ten waited for ",
        f->limit, h->saturated * 100, h->seconds);
    add_time(out, h->wait[HISTORY_P90]);
    strbuf_adds(out, f->estimate.hidden_valid
                         ? " or more, while nothing waits inside the app: it may serve more with a "
                           "higher limit."
                         : " or more; whether the app can work on more at once is not known.");
    return true;
}

/* ---- nothing is wrong ---- */

static bool dry_run(const struct advice_facts *f, struct strbuf *out)
{
    if (f->enforcing)
        return false;
    if (f->limit == UINT32_MAX)
        strbuf_adds(out, "Nothing is enforced (enforce is false): ");
    else
        strbuf_addf(out, "The limit of %" PRIu32 " is not enforced (enforce is false): ", f->limit);
    add_count(out, f->in_flight, "request");
    strbuf_addf(out, " would hold a slot, and %" PRIu32 " would wait", f->queued);
    if (f->recent->refused > 0) {
        strbuf_adds(out, "; ");
        add_count(out, f->recent->refused, "request");
        strbuf_adds(out, " would have been refused ");
        add_period(out, f->recent);
    }
    strbuf_adds(out, ".");
    return true;
}

static bool well(const struct advice_facts *f, struct strbuf *out)
{
    if (f->in_flight == 0 && f->queued == 0 && finished(f->recent) == 0) {
        strbuf_adds(out, "Idle: no request has arrived ");
        if (f->recent->seconds == 0)
            strbuf_adds(out, "yet");
        else
            add_period(out, f->recent);
        strbuf_adds(out, ".");
        return true;
    }
    strbuf_addf(out, "All is well: %" PRIu32, f->in_flight);
    if (f->limit != UINT32_MAX)
        strbuf_addf(out, " of %" PRIu32 " slots are in use", f->limit);
    else
        strbuf_addf(out, " %s in flight", f->in_flight == 1 ? "request is" : "requests are");
    strbuf_addf(out, ", and %" PRIu32 " %s.", f->queued,
                f->queued == 1 ? "request waits" : "requests wait");
    return true;
}

void advice_write(const struct advice_facts *facts, struct strbuf *out)
{
    static bool (*const rules[])(const struct advice_facts *, struct strbuf *) = {
        draining, not_up, paused, blocked, pool_full,    busy, overload,
        refusals, gone,   errors, dry_run, limit_is_low, well};

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (rules[i](facts, out))
            return;
    }
}
