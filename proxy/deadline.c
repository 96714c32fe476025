/* See deadline.h. Parts of a microsecond are cut off. */
#include "proxy/deadline.h"

#include "proxy/number.h"

#define NUMBER_MAX  UINT64_C(1000000000000000) /* times any unit, it fits into 64 bits */
#define SECONDS_MAX UINT64_C(100000000000)     /* Unix times above are in milliseconds */
#define GRPC_DIGITS 8

const char *const deadline_names[DEADLINE_HEADERS] = {
    [DEADLINE_UNIX] = "X-Request-Deadline",
    [DEADLINE_GRPC] = "grpc-timeout",
    [DEADLINE_ENVOY] = "X-Envoy-Expected-Rq-Timeout-Ms",
    [DEADLINE_SECONDS] = "Request-Timeout",
};

static mono_us bounded(int64_t us)
{
    return us < 0 ? 0 : us > DEADLINE_MAX_US ? DEADLINE_MAX_US : us;
}

static bool read_unix(struct span value, wall_us wall, mono_us *left)
{
    uint64_t whole, millionths, us;

    if (!number_decimal(value, NUMBER_MAX, &whole, &millionths))
        return false;
    if (whole > SECONDS_MAX)
        us = whole * 1000 + millionths / 1000;
    else
        us = whole * 1000000 + millionths;
    *left = bounded((int64_t)us - wall);
    return true;
}

static bool read_grpc(struct span value, mono_us *left)
{
    static const struct {
        char unit;
        uint64_t ns;
    } units[] = {{'H', UINT64_C(3600000000000)}, {'M', UINT64_C(60000000000)},
                 {'S', UINT64_C(1000000000)},    {'m', UINT64_C(1000000)},
                 {'u', UINT64_C(1000)},          {'n', UINT64_C(1)}};
    uint64_t n;

    if (value.len > GRPC_DIGITS + 1 || !number_take(&value, NUMBER_MAX, &n) || value.len != 1)
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (units[i].unit != value.at[0])
            continue;
        *left = bounded((int64_t)(units[i].ns < 1000 ? n / 1000 : n * (units[i].ns / 1000)));
        return true;
    }
    return false;
}

static bool read_milliseconds(struct span value, mono_us *left)
{
    uint64_t n;

    if (!number_take(&value, NUMBER_MAX, &n) || value.len > 0)
        return false;
    *left = bounded((int64_t)(n * 1000));
    return true;
}

static bool read_seconds(struct span value, mono_us *left)
{
    uint64_t whole, millionths;

    if (!number_decimal(value, NUMBER_MAX, &whole, &millionths))
        return false;
    *left = whole > (uint64_t)DEADLINE_MAX_US / 1000000
                ? DEADLINE_MAX_US
                : bounded((int64_t)(whole * 1000000 + millionths));
    return true;
}

bool deadline_read(enum deadline_header header, struct span value, wall_us wall, mono_us *left)
{
    switch (header) {
    case DEADLINE_UNIX:
        return read_unix(value, wall, left);
    case DEADLINE_GRPC:
        return read_grpc(value, left);
    case DEADLINE_ENVOY:
        return read_milliseconds(value, left);
    case DEADLINE_SECONDS:
        return read_seconds(value, left);
    case DEADLINE_HEADERS:
        break;
    }
    return false;
}

static enum deadline_header header_of(struct span name)
{
    enum deadline_header h = DEADLINE_UNIX;

    while (h < DEADLINE_HEADERS && !span_equal_nocase(name, span_of(deadline_names[h])))
        h++;
    return h;
}

mono_us deadline_left(const struct http_head *head, uint32_t headers, wall_us wall)
{
    mono_us shortest = MONO_NEVER, left;

    for (unsigned i = 0; i < head->n_fields; i++) {
        const struct http_field *f = &head->fields[i];
        if (f->id != HTTP_FIELD_DEADLINE)
            continue;
        enum deadline_header h = header_of(f->name);
        if (headers & DEADLINE_BIT(h) && deadline_read(h, f->value, wall, &left) && left < shortest)
            shortest = left;
    }
    return shortest;
}
