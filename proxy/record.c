/* See record.h. */
#include "proxy/record.h"

#include "common/check.h"
#include "common/measures.h"

const char *const record_phase_names[RECORD_ORPHAN + 1] = {
    [RECORD_HEAD] = "head",         [RECORD_BODY_WAIT] = "body_wait",
    [RECORD_QUEUE] = "queue",       [RECORD_CONNECT] = "connect",
    [RECORD_SEND] = "send",         [RECORD_FIRST_BYTE] = "first_byte",
    [RECORD_TRANSFER] = "transfer", [RECORD_BACKPRESSURE] = "backpressure",
    [RECORD_DELIVERY] = "delivery", [RECORD_ORPHAN] = "orphan",
};

void record_begin(struct record *r, mono_us began)
{
    *r = (struct record){.began = began, .since = began, .phase = RECORD_HEAD, .before = -1};
}

void record_enter(struct record *r, enum record_phase next, mono_us now)
{
    CHECK(r->phase < RECORD_ENDED);
    if (MEASURES && now > r->since) {
        r->spent[r->phase] += now - r->since;
        r->since = now;
    }
    r->phase = next;
}

void record_start_over(struct record *r)
{
    CHECK(r->phase == RECORD_CONNECT);
    r->spent[RECORD_CONNECT] += r->spent[RECORD_SEND] + r->spent[RECORD_FIRST_BYTE];
    r->spent[RECORD_SEND] = r->spent[RECORD_FIRST_BYTE] = 0;
}

mono_us record_total(const struct record *r)
{
    const mono_us *t = r->spent;

    /* No loop: this is asked several times for each request. */
    _Static_assert(RECORD_PHASES == 9, "all phases of the total");
    return t[0] + t[1] + t[2] + t[3] + t[4] + t[5] + t[6] + t[7] + t[8];
}

mono_us record_inside(const struct record *r)
{
    const mono_us *t = r->spent;

    return t[RECORD_CONNECT] + t[RECORD_SEND] + t[RECORD_FIRST_BYTE] + t[RECORD_TRANSFER] +
           t[RECORD_BACKPRESSURE] + t[RECORD_ORPHAN];
}
