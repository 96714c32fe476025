/* docs/metrics.md. With the argument "docs", prints it: `make docs`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/metrics_docs.h"

static void the_documentation_agrees_with_the_table(void **state)
{
    (void)state;
    struct strbuf want = {0}, got = {0};
    char part[4096];
    metrics_docs_write(&want);
    FILE *f = fopen("docs/metrics.md", "re");
    assert_non_null(f);
    for (size_t n; (n = fread(part, 1, sizeof(part), f)) > 0;)
        strbuf_add(&got, part, n);
    fclose(f);
    if (strcmp(strbuf_cstr(&got), strbuf_cstr(&want)) != 0)
        fail_msg("docs/metrics.md is stale: write it anew with `make docs`");
    strbuf_fini(&want);
    strbuf_fini(&got);
}

static int print_docs(void)
{
    struct strbuf out = {0};
    metrics_docs_write(&out);
    size_t n = fwrite(out.at, 1, out.len, stdout);
    int failed = n != out.len || fflush(stdout) != 0;
    strbuf_fini(&out);
    return failed;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documentation_agrees_with_the_table),
    };
    if (argc == 2 && strcmp(argv[1], "docs") == 0)
        return print_docs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
