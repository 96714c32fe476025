/*
 * The configuration: a file, flags and variables. The input is split at 0xff, which no UTF-8 file
 * contains: first the file, then flags, flag values or NAME=value. If the first part is empty,
 * there is no file.
 *
 * The result must be either a configuration without problems, which is the same after it was
 * written and read again, and to which the file can be applied as a change, or none, with problems
 * that each name a place and are safe for a terminal.
 *
 * No name is looked up: getaddrinfo() accepts numbers only. The file is in memory.
 */
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/strbuf.h"
#include "proxy/config_change.h"
#include "proxy/options.h"
#include "tests/fuzz/fuzz.h"

#define END       0xff
#define FILE_NAME "weir.json"
#define PARTS_MAX 32

static int memory_fd = -1;

int __wrap_open(const char *path, int flags, ...);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);
int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);

int __wrap_open(const char *path, int flags, ...)
{
    (void)flags;
    CHECK(strcmp(path, FILE_NAME) == 0);
    CHECK(lseek(memory_fd, 0, SEEK_SET) == 0);
    return dup(memory_fd);
}

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found)
{
    struct addrinfo numbers = *hints;

    numbers.ai_flags |= AI_NUMERICHOST;
    return __real_getaddrinfo(host, port, &numbers, found);
}

static void write_file(struct span text)
{
    if (memory_fd < 0)
        memory_fd = memfd_create(FILE_NAME, MFD_CLOEXEC);
    CHECK(memory_fd >= 0);
    CHECK(ftruncate(memory_fd, 0) == 0);
    CHECK(pwrite(memory_fd, text.at, text.len, 0) == (ssize_t)text.len);
}

/* ---- problems ---- */

static bool begins_with(struct span s, const char *start)
{
    size_t len = strlen(start);
    return s.len >= len && memcmp(s.at, start, len) == 0;
}

static size_t count_lines(struct span text)
{
    size_t n = 1;
    for (size_t i = 0; i < text.len; i++)
        n += text.at[i] == '\n';
    return n;
}

/* weir.json:LINE:COLUMN: error: with both inside the file; or the file as a whole; or weir. */
static void check_place(struct span line, struct span file)
{
    unsigned long at, column;
    char head[64] = "";

    memcpy(head, line.at, line.len < sizeof(head) - 1 ? line.len : sizeof(head) - 1);
    if (begins_with(line, FILE_NAME ": error: ") || begins_with(line, "weir: error: "))
        return;
    CHECK(begins_with(line, FILE_NAME ":"));
    char *end;
    at = strtoul(head + strlen(FILE_NAME ":"), &end, 10);
    CHECK(*end == ':');
    column = strtoul(end + 1, &end, 10);
    CHECK(begins_with(span_of(end), ": error: "));
    CHECK(at >= 1 && at <= count_lines(file) && column >= 1 && column <= file.len + 1);
}

static void check_last_line(struct span line, unsigned long errors)
{
    char want[128];

    CHECK(errors > 0);
    snprintf(want, sizeof(want), ": %lu error%s; nothing was started", errors,
             errors == 1 ? "" : "s");
    const char *colon = memchr(line.at, ':', line.len);
    CHECK(colon != NULL);
    struct span rest = {colon, line.len - (size_t)(colon - line.at)};
    if (errors >= 50) /* additional ones are not shown */
        CHECK(memmem(rest.at, rest.len, " errors; nothing was started", 28) != NULL);
    else
        CHECK(span_equal(rest, span_of(want)));
}

/* A terminal prints it literally. */
static void check_visible(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        CHECK(c == '\n' || c == '\t' || (c >= ' ' && c != 0x7f));
    }
}

static void check_problems(struct span text, struct span file)
{
    unsigned long errors = 0;

    check_visible(text);
    CHECK(text.len > 0 && text.at[text.len - 1] == '\n');
    while (text.len > 0) {
        const char *end = memchr(text.at, '\n', text.len);
        struct span line = {text.at, (size_t)(end - text.at)};
        text.at = end + 1;
        text.len -= line.len + 1;
        if (text.len == 0) {
            check_last_line(line, errors);
        } else if (!begins_with(line, " ") && !begins_with(line, "(only the first")) {
            check_place(line, file); /* otherwise it is an excerpt of the file */
            errors++;
        }
    }
}

/* ---- the configuration ---- */

static void check_same_ranges(const struct cidr_list *a, const struct cidr_list *b)
{
    CHECK(a->n == b->n);
    for (size_t i = 0; i < a->n; i++)
        CHECK(memcmp(&a->at[i], &b->at[i], sizeof(struct cidr)) == 0);
}

/* If config_write_json() gives the same text, the values behind it are equal, too. */
static void check_same(const struct config *a, const struct config *b)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        const char *left = (const char *)a + o->at, *right = (const char *)b + o->at;
        if (o->type != OPTION_RANGES)
            CHECK(memcmp(left, right, o->width) == 0);
    }
    check_same_ranges(&a->headers.trusted, &b->headers.trusted);
    check_same_ranges(&a->admin.allow, &b->admin.allow);
    CHECK(a->admin.enabled == b->admin.enabled);
}

static void check_read_again(const struct config *c)
{
    const struct config_source src = {.path = FILE_NAME};
    struct strbuf json = {0}, problems = {0};

    if (c->admin.token[0] != '\0')
        return; /* it is masked, and the mask is no token */
    config_write_json(c, &json);
    write_file((struct span){json.at, json.len});
    struct config *again = config_load(&src, &problems);
    if (again == NULL)
        fprintf(stderr, "%s%s", strbuf_cstr(&json), strbuf_cstr(&problems));
    CHECK(again != NULL);
    check_same(c, again);
    config_put(again);
    strbuf_fini(&json);
    strbuf_fini(&problems);
}

/* Its own values as a change make the same again; those of any text, the same or none. */
static void check_change(const struct config *c, struct span text, bool same)
{
    struct strbuf problems = {0};
    struct config *changed = config_patch(c, text, &problems);

    CHECK((changed == NULL) == (problems.len > 0));
    check_visible((struct span){problems.at, problems.len});
    CHECK(!same || changed != NULL);
    if (same)
        check_same(c, changed);
    config_put(changed);
    strbuf_fini(&problems);
}

static void check_changes(const struct config *c, struct span file)
{
    struct strbuf own = {0};

    config_write_json(c, &own);
    check_change(c, (struct span){own.at, own.len}, true);
    check_change(c, file, false);
    strbuf_fini(&own);
}

static void check_load(const struct config_source *src, struct span file)
{
    struct strbuf problems = {0}, text = {0};
    struct config *c = config_load(src, &problems);

    CHECK((c == NULL) == (problems.len > 0));
    if (c == NULL) {
        if (getenv("FUZZ_SHOW") != NULL)
            fputs(strbuf_cstr(&problems), stderr);
        check_problems((struct span){problems.at, problems.len}, file);
    } else {
        config_write(c, &text);
        if (c->upstream_given) {
            check_changes(c, file);
            check_read_again(c);
        }
    }
    config_put(c);
    strbuf_fini(&problems);
    strbuf_fini(&text);
}

/* ---- the input ---- */

static struct span next_part(struct span *rest)
{
    const char *end = memchr(rest->at, END, rest->len);
    struct span part = {rest->at, end == NULL ? rest->len : (size_t)(end - rest->at)};
    size_t taken = part.len + (end != NULL);

    *rest = (struct span){rest->at + taken, rest->len - taken};
    return part;
}

static bool is_variable(struct span part)
{
    return begins_with(part, "WEIR_") || begins_with(part, "PORT=") ||
           begins_with(part, "CONTAINER_CONCURRENCY=");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *flags[PARTS_MAX], *variables[PARTS_MAX + 1] = {NULL}, *strings[PARTS_MAX];
    int n_flags = 0, n_variables = 0, n = 0;

    if (size == 0)
        return 0;
    char *all = fuzz_block(data, size);
    struct span rest = {all, size}, file = next_part(&rest);
    while (rest.len > 0 && n < PARTS_MAX) {
        struct span part = next_part(&rest);
        strings[n] = strndup(part.at, part.len);
        CHECK(strings[n] != NULL);
        if (is_variable(span_of(strings[n])))
            variables[n_variables++] = strings[n];
        else
            flags[n_flags++] = strings[n];
        n++;
    }
    struct config_source src = {.path = file.len > 0 ? FILE_NAME : NULL,
                                .argc = n_flags,
                                .argv = flags,
                                .environ_ = variables};
    write_file(file);
    check_load(&src, file);
    while (n > 0)
        free(strings[--n]);
    free(all);
    return 0;
}
