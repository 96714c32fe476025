/* See ws.h. */
#include "proxy/ws.h"

#include <string.h>

#define OPCODE_CLOSE 8
#define LENGTH_16    126
#define LENGTH_64    127
#define KEY          4

static uint8_t length_code(const struct ws_frames *f)
{
    return f->header[1] & 0x7f;
}

/* The size of the header, of which `n` bytes are known. A server masks nothing, but where a frame
 * ends is known nevertheless; the client then rejects it. */
static size_t header_size(const struct ws_frames *f)
{
    if (f->n < 2)
        return 2;
    size_t length = length_code(f) == LENGTH_64 ? 8 : length_code(f) == LENGTH_16 ? 2 : 0;
    return 2 + length + (f->header[1] & 0x80 ? KEY : 0);
}

static uint64_t payload_size(const struct ws_frames *f)
{
    size_t bytes = length_code(f) == LENGTH_64 ? 8 : length_code(f) == LENGTH_16 ? 2 : 0;
    uint64_t size = 0;

    if (bytes == 0)
        return length_code(f);
    for (size_t i = 0; i < bytes; i++)
        size = size << 8 | f->header[2 + i];
    return size;
}

/* The header is complete: its payload follows, or the next frame. */
static void begin_payload(struct ws_frames *f)
{
    f->left = payload_size(f);
    f->closed = f->closed || (f->header[0] & 0x0f) == OPCODE_CLOSE;
    f->broken = f->left >> 63 != 0; /* section 5.2: the most significant bit must be 0 */
    f->n = 0;
}

/* Takes the available part of the frame's header, or of its payload. */
static size_t take_part(struct ws_frames *f, struct span bytes)
{
    if (f->left > 0) {
        size_t n = bytes.len < f->left ? bytes.len : (size_t)f->left;
        f->left -= n;
        return n;
    }
    size_t wanted = header_size(f) - f->n, n = bytes.len < wanted ? bytes.len : wanted;
    memcpy(f->header + f->n, bytes.at, n);
    f->n = (uint8_t)(f->n + n);
    if (f->n >= 2 && f->n == header_size(f))
        begin_payload(f);
    return n;
}

static bool is_between(const struct ws_frames *f)
{
    return !f->broken && f->n == 0 && f->left == 0;
}

size_t ws_take_to_boundary(struct ws_frames *f, struct span bytes)
{
    size_t taken = 0;

    while (taken < bytes.len && !f->broken && !is_between(f))
        taken += take_part(f, (struct span){bytes.at + taken, bytes.len - taken});
    return f->broken ? bytes.len : taken;
}

void ws_take(struct ws_frames *f, struct span bytes)
{
    while (bytes.len > 0 && !f->broken) {
        size_t n = take_part(f, bytes);
        bytes = (struct span){bytes.at + n, bytes.len - n};
    }
}

bool ws_at_boundary(const struct ws_frames *f)
{
    return is_between(f) && !f->closed;
}
