/*
 * Lines of the access log. The input is a profile, a number, and the texts of a request, each with
 * its length in two bytes. The line must be one line, safe for a terminal, and JSON that tells each
 * text as it was sent.
 */
#include "proxy/access_line.h"
#include "tests/fuzz/access_judge.h"
#include "tests/fuzz/fuzz.h"

static size_t number(const uint8_t **at, const uint8_t *end)
{
    size_t n = 0;

    for (int i = 0; i < 2 && *at < end; i++)
        n = n << 8 | *(*at)++;
    return n;
}

static struct span text(const uint8_t **at, const uint8_t *end)
{
    size_t n = number(at, end), left = (size_t)(end - *at);
    struct span s = {(const char *)*at, n < left ? n : left};

    *at += s.len;
    return s;
}

static void compare(const json_t *object, const struct access_request *q)
{
    static const char *const keys[ACCESS_TEXTS] = {
        [ACCESS_REQUEST_ID] = "request_id", [ACCESS_REMOTE] = "remote", [ACCESS_METHOD] = "method",
        [ACCESS_TARGET] = "target",         [ACCESS_CLASS] = "class",
    };
    struct strbuf expected = {0};

    for (enum access_text i = 0; i < ACCESS_AGENT; i++) {
        judge_expect(q->text[i], i == ACCESS_TARGET ? ACCESS_TARGET_MAX : ACCESS_TEXT_MAX,
                     &expected);
        CHECK(judge_has(object, keys[i], (struct span){strbuf_cstr(&expected), expected.len}));
    }
    strbuf_fini(&expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char line[ACCESS_LINE_MAX];
    static _Alignas(struct access_entry) char entry[JUDGE_ROOM];
    static const struct config config = {.log = {.slow = 1000}};
    const uint8_t *end = data + size;
    struct access_request q = {.at = (wall_us)number(&data, end) << 32, .http10 = size % 2 != 0};
    struct access_style style = {.profile = number(&data, end) % 3, .project = "p"};
    struct record record = {.spent = {(mono_us)number(&data, end)},
                            .status = (unsigned)number(&data, end),
                            .traced = size % 3 != 0,
                            .source = number(&data, end) % RECORD_SOURCES};
    const char *why;

    for (enum access_text i = 0; i < ACCESS_TEXTS; i++)
        q.text[i] = text(&data, end);
    CHECK(access_entry_size(&q) <= sizeof(entry));
    access_entry_write(&config, &record, &q, entry);
    size_t len = access_line_write(&style, (const struct access_entry *)(const void *)entry, line);
    json_t *object = judge_line((struct span){line, len}, &why);
    CHECK(object != NULL);
    if (style.profile == CONFIG_ACCESS_PLAIN)
        compare(object, &q);
    json_decref(object);
    return 0;
}
