/*
 * Changes of a configuration that is in force: which options differ, which of them require a
 * restart, and a new configuration with some values changed. See config_change.h, config_load.h.
 */
#include "proxy/config_change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config_load.h"
#include "proxy/option_value.h"

static void write_both(const struct option *o, const struct config *from, const struct config *to,
                       const char *between, struct strbuf *out)
{
    option_write_json(o, from, out);
    strbuf_adds(out, between);
    option_write_json(o, to, out);
}

void config_write_changes(const struct config *from, const struct config *to, struct strbuf *out)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (option_equal(o, from, to))
            continue;
        strbuf_addf(out, "%s%s ", out->len == 0 ? "" : ", ", o->path);
        write_both(o, from, to, " -> ", out);
    }
}

/* ---- what requires a restart ---------------------------------------------------------------- */

static void complain_of_fixed(struct loader *ld, const struct option *o,
                              const struct config *running)
{
    struct strbuf message = {0};

    strbuf_adds(&message, "cannot change from ");
    write_both(o, running, ld->c, " to ", &message);
    strbuf_addf(&message, " while weir is running (%s): restart weir", o->restart);
    loader_problem_with(ld, o, strbuf_cstr(&message));
    strbuf_fini(&message);
}

void config_change_keep_fixed(struct loader *ld, const struct config *running)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (o->restart != NULL && !option_equal(o, running, ld->c))
            complain_of_fixed(ld, o, running);
    }
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].restart != NULL)
            option_copy(&option_table[i], running, ld->c);
    }
}

/* ---- a change to individual values ---------------------------------------------------------- */

/* What the profile has set is a default again: the change may name another one. */
static void forget_profile(struct loader *ld)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (ld->out->origin[i] != ORIGIN_PROFILE)
            continue;
        CHECK(option_read(o, span_of(o->preset), ld->c) == OPTION_READ);
        ld->out->origin[i] = ORIGIN_DEFAULT;
    }
}

static void begin_with(struct loader *ld, const struct config *running)
{
    const struct loaded *loaded = (const void *)running;

    for (size_t i = 0; i < option_count; i++)
        option_copy(&option_table[i], running, ld->c);
    memcpy(ld->out->origin, loaded->origin, sizeof(loaded->origin));
    memcpy(ld->out->line, loaded->line, sizeof(loaded->line));
    forget_profile(ld);
    ld->name = "change";
    ld->text = ORIGIN_CHANGE;
}

struct config *config_patch(const struct config *running, struct span json, struct strbuf *problems)
{
    const struct loaded *loaded = (const void *)running;
    const struct config_source src = {.path = loaded->path, .running = running};
    struct loader ld;

    loader_begin(&ld, &src, problems);
    begin_with(&ld, running);
    strbuf_add_span(&ld.file, json);
    config_file_load_text(&ld);
    return loader_end(&ld);
}
