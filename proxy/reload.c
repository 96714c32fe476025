/* See reload.h. Control thread only. */
#include "proxy/reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "proxy/config_change.h"
#include "proxy/config_watch.h"

struct reload {
    struct loop *loop;
    const struct config_source *source;
    struct config *running; /* counted */
    reload_apply_fn *apply;
    void *arg;
    struct config_watch *watch; /* NULL: the file is not watched */
    struct reload_counts counts;
};

/* ---- the outcome ---------------------------------------------------------------------------- */

static void log_lines(struct span text)
{
    while (text.len > 0) {
        const char *end = memchr(text.at, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.at);
        log_error("%.*s", (int)len, text.at);
        len += end != NULL;
        text = (struct span){text.at + len, text.len - len};
    }
}

static void reject(struct reload *r, const char *why, const struct strbuf *problems)
{
    r->counts.rejected++;
    log_error("%s: the new configuration is rejected, and the old one stays in force", why);
    log_lines((struct span){problems->at, problems->len});
}

static void follow_watch(struct reload *r);

/* Takes the caller's reference. */
static void put_in_force(struct reload *r, struct config *next)
{
    struct config *before = r->running;

    r->counts.applied++;
    r->running = next;
    r->apply(r->arg, next);
    config_put(before);
    follow_watch(r);
}

/* ---- reading the sources again -------------------------------------------------------------- */

/* NULL: rejected. */
static struct config *load_again(struct reload *r, const char *why)
{
    struct config_source source = *r->source;
    struct strbuf problems = {0};
    struct config *next = NULL;

    source.running = r->running;
    if (source.path != NULL && strcmp(source.path, "-") == 0)
        strbuf_adds(&problems, "stdin: error: standard input cannot be read again\n");
    else
        next = config_load(&source, &problems);
    r->counts.last_read_succeeded = next != NULL;
    if (next == NULL)
        reject(r, why, &problems);
    else
        r->counts.last_success = clock_wall();
    strbuf_fini(&problems);
    return next;
}

void reload_sources(struct reload *r)
{
    struct strbuf changes = {0};

    if (r->watch != NULL)
        config_watch_seen(r->watch);
    struct config *next = load_again(r, "SIGHUP");
    if (next == NULL)
        return;
    config_write_changes(r->running, next, &changes);
    put_in_force(r, next);
    log_info("SIGHUP: configuration reloaded: %s",
             changes.len > 0 ? strbuf_cstr(&changes) : "nothing has changed");
    strbuf_fini(&changes);
}

/* ---- watching the file ---------------------------------------------------------------------- */

static void on_file_changed(void *arg)
{
    struct reload *r = arg;
    struct strbuf changes = {0};
    struct config *next = load_again(r, "watch");

    if (next == NULL)
        return;
    config_write_changes(r->running, next, &changes);
    if (changes.len > 0) {
        put_in_force(r, next);
        log_info("%s has changed: configuration reloaded: %s", r->source->path,
                 strbuf_cstr(&changes));
    } else {
        config_put(next);
    }
    strbuf_fini(&changes);
}

/* Begins or ends to watch, as the configuration in force says. */
static void follow_watch(struct reload *r)
{
    const char *path = r->source->path;
    bool can = path != NULL && strcmp(path, "-") != 0;

    if (!r->running->watch || !can) {
        config_watch_free(r->watch);
        r->watch = NULL;
        return;
    }
    if (r->watch == NULL)
        r->watch = config_watch_new(r->loop, path, on_file_changed, r);
    if (r->watch == NULL)
        log_warning("cannot watch %s: %s; send SIGHUP after a change", path, strerror(errno));
}

/* ---- a change by a command ------------------------------------------------------------------ */

bool reload_patch(struct reload *r, struct span json, struct strbuf *problems)
{
    struct strbuf changes = {0};
    struct config *next = config_patch(r->running, json, problems);

    if (next == NULL) {
        reject(r, "a command", problems);
        return false;
    }
    config_write_changes(r->running, next, &changes);
    put_in_force(r, next);
    log_info("configuration changed by a command, until the next reload: %s",
             changes.len > 0 ? strbuf_cstr(&changes) : "nothing has changed");
    strbuf_fini(&changes);
    return true;
}

/* ---- creation and destruction --------------------------------------------------------------- */

struct reload *reload_new(struct loop *lp, const struct config_source *source,
                          struct config *running, reload_apply_fn *apply, void *arg)
{
    struct reload *r = calloc(1, sizeof(*r));

    CHECK(r != NULL);
    r->loop = lp;
    r->source = source;
    r->running = config_get(running);
    r->apply = apply;
    r->arg = arg;
    r->counts.last_read_succeeded = true;
    r->counts.last_success = clock_wall();
    follow_watch(r);
    return r;
}

void reload_free(struct reload *r)
{
    if (r == NULL)
        return;
    config_watch_free(r->watch);
    config_put(r->running);
    free(r);
}

struct reload_counts reload_counts(const struct reload *r)
{
    return r->counts;
}
