/* A directory with a weir.json, the result of loading it, and the problems reported. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "proxy/config.h"

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

struct fixture {
    char dir[64], path[96];
    struct strbuf problems;
};

static inline int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "/tmp/weir-config-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/weir.json", f->dir);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;

    unlink(f->path);
    rmdir(f->dir);
    strbuf_fini(&f->problems);
    free(f);
    return 0;
}

static inline struct config *load_bytes(struct fixture *f, struct span text, char **environ_)
{
    const struct config_source src = {.path = f->path, .environ_ = environ_};
    FILE *file = fopen(f->path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text.at, 1, text.len, file), text.len);
    fclose(file);
    strbuf_clear(&f->problems);
    return config_load(&src, &f->problems);
}

static inline struct config *load(struct fixture *f, const char *text)
{
    return load_bytes(f, span_of(text), NULL);
}

static inline void assert_problem(struct fixture *f, const char *text, const char *problem)
{
    struct config *c = load(f, text);

    assert_null(c);
    if (strstr(strbuf_cstr(&f->problems), problem) == NULL)
        fail_msg("%s\n%s", text, strbuf_cstr(&f->problems));
}
