/* Where the frames of a WebSocket end, however the bytes are split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/ws.h"

#define STREAM_MAX 200000

/* A stream of frames, and its boundaries. */
static struct {
    char bytes[STREAM_MAX];
    size_t len;
    bool boundary[STREAM_MAX + 1]; /* before the byte with this number, or at the end */
} stream;

static int begins(void **state)
{
    (void)state;
    memset(&stream, 0, sizeof(stream));
    stream.boundary[0] = true;
    return 0;
}

static void add(const void *bytes, size_t n)
{
    assert_true(stream.len + n <= STREAM_MAX);
    memcpy(stream.bytes + stream.len, bytes, n);
    stream.len += n;
}

enum { MASKED = 0x80 };

/* `code`: the length field, or 126 or 127 for the longer forms. */
static void frame(uint8_t first, uint8_t mask, uint8_t code, uint64_t size)
{
    static const char payload[70000];
    uint8_t head[10] = {first, mask | code};
    size_t more = code == 127 ? 8 : code == 126 ? 2 : 0;

    for (size_t i = 0; i < more; i++)
        head[2 + i] = (uint8_t)(size >> 8 * (more - 1 - i));
    add(head, 2 + more);
    if (mask)
        add("key!", 4);
    assert_true(size <= sizeof(payload));
    add(payload, size);
    stream.boundary[stream.len] = true;
}

static struct span part(size_t from, size_t to)
{
    return (struct span){stream.bytes + from, to - from};
}

static size_t next_boundary(size_t at)
{
    while (at < stream.len && !stream.boundary[at])
        at++;
    return at;
}

/* Each split is judged by the boundaries that are known from writing the stream. */
static void splits_at(size_t at)
{
    struct ws_frames f = {0};
    char *copy = malloc(at + 1); /* of exactly its size */

    assert_non_null(copy);
    memcpy(copy, stream.bytes, at);
    ws_take(&f, (struct span){copy, at});
    free(copy);
    assert_false(f.broken);
    assert_int_equal(ws_at_boundary(&f), stream.boundary[at] && !f.closed);
    size_t taken = ws_take_to_boundary(&f, part(at, stream.len));
    assert_int_equal(at + taken, next_boundary(at));
    assert_int_equal(ws_take_to_boundary(&f, part(at + taken, stream.len)), 0);
}

static void byte_by_byte(void)
{
    struct ws_frames f = {0};

    for (size_t at = 0; at < stream.len; at++) {
        assert_int_equal(ws_at_boundary(&f), stream.boundary[at] && !f.closed);
        if (at % 2 == 0 || stream.boundary[at])
            ws_take(&f, part(at, at + 1));
        else
            assert_int_equal(ws_take_to_boundary(&f, part(at, at + 1)), 1);
    }
    assert_int_equal(ws_at_boundary(&f), stream.boundary[stream.len] && !f.closed);
}

static void every_split_agrees(void)
{
    for (size_t at = 0; at <= stream.len; at++)
        splits_at(at);
    byte_by_byte();
}

static void short_frames_end_after_their_payload(void **state)
{
    (void)state;
    frame(0x81, 0, 5, 5);
    frame(0x82, 0, 0, 0);
    frame(0x81, 0, 125, 125);
    frame(0x81, 0, 1, 1);
    every_split_agrees();
}

static void lengths_of_16_bits_are_read(void **state)
{
    (void)state;
    frame(0x81, 0, 126, 126);
    frame(0x81, 0, 126, 600);
    frame(0x81, 0, 126, 0); /* not the shortest form: the client may mind */
    frame(0x81, 0, 2, 2);
    every_split_agrees();
}

static void lengths_of_64_bits_are_read(void **state)
{
    (void)state;
    frame(0x82, 0, 127, 70000);
    frame(0x81, 0, 127, 3);
    frame(0x81, 0, 2, 2);
    byte_by_byte();
    for (size_t at = 0; at <= 12; at++)
        splits_at(at);
    for (size_t at = 69990; at <= stream.len; at++)
        splits_at(at);
}

static void a_mask_from_the_app_moves_no_boundary(void **state)
{
    (void)state;
    frame(0x81, MASKED, 5, 5);
    frame(0x82, MASKED, 0, 0);
    frame(0x82, MASKED, 126, 300);
    frame(0x82, MASKED, 127, 4);
    frame(0x81, 0, 1, 1);
    every_split_agrees();
}

static void control_frames_may_stand_between_fragments(void **state)
{
    (void)state;
    frame(0x01, 0, 3, 3);
    frame(0x89, 0, 4, 4);
    frame(0x00, 0, 126, 200);
    frame(0x8a, 0, 0, 0);
    frame(0x80, 0, 2, 2);
    every_split_agrees();
}

static void after_a_close_frame_nothing_may_be_inserted(void **state)
{
    struct ws_frames f = {0};

    (void)state;
    frame(0x81, 0, 1, 1);
    frame(0x88, 0, 2, 2);
    every_split_agrees();
    ws_take(&f, part(0, 3));
    assert_true(ws_at_boundary(&f) && !f.closed);
    ws_take(&f, part(3, 5));
    assert_true(f.closed);
    ws_take(&f, part(5, stream.len));
    assert_false(ws_at_boundary(&f));
}

static void weirs_own_close_frame_is_one(void **state)
{
    struct ws_frames f = {0};

    (void)state;
    assert_int_equal(ws_take_to_boundary(&f, WS_CLOSE_GOING_AWAY), 0);
    ws_take(&f, WS_CLOSE_GOING_AWAY);
    assert_true(f.closed && f.n == 0 && f.left == 0);
}

static void a_length_beyond_63_bits_leaves_no_boundary(void **state)
{
    struct ws_frames f = {0}, g = {0};

    (void)state;
    add("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10);
    add("rest", 4);
    ws_take(&f, part(0, stream.len));
    assert_true(f.broken && !ws_at_boundary(&f));
    assert_int_equal(ws_take_to_boundary(&f, part(0, 5)), 5);
    ws_take(&g, part(0, 4));
    assert_int_equal(ws_take_to_boundary(&g, part(4, stream.len)), stream.len - 4);
}

static void the_longest_frame_is_counted_down(void **state)
{
    struct ws_frames f = {0};

    (void)state;
    add("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10);
    ws_take(&f, part(0, stream.len));
    assert_true(!f.broken && f.left == INT64_MAX);
    ws_take(&f, (struct span){stream.bytes, 1000});
    assert_true(f.left == INT64_MAX - 1000 && !ws_at_boundary(&f));
}

static void random_streams_agree_at_every_split(void **state)
{
    unsigned seed = 1;

    for (int round = 0; round < 20; round++) {
        begins(state);
        for (int n = 0; n < 12; n++) {
            seed = seed * 1103515245u + 12345u;
            uint8_t mask = (uint8_t)(seed >> 9 & MASKED);
            uint64_t size = seed >> 20 & 0x7f;
            uint8_t code = size < 126 && seed >> 17 & 1 ? (uint8_t)size
                           : seed >> 18 & 1             ? 126
                                                        : 127;
            frame((uint8_t)(seed >> 19 & 0x80), mask, code, size);
        }
        every_split_agrees();
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begins)
    const struct CMUnitTest tests[] = {
        TEST(short_frames_end_after_their_payload),
        TEST(lengths_of_16_bits_are_read),
        TEST(lengths_of_64_bits_are_read),
        TEST(a_mask_from_the_app_moves_no_boundary),
        TEST(control_frames_may_stand_between_fragments),
        TEST(after_a_close_frame_nothing_may_be_inserted),
        TEST(weirs_own_close_frame_is_one),
        TEST(a_length_beyond_63_bits_leaves_no_boundary),
        TEST(the_longest_frame_is_counted_down),
        TEST(random_streams_agree_at_every_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
