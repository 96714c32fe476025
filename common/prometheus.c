#include "common/prometheus.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/check.h"
#include "common/span.h"

#define US_PER_SECOND 1000000u

static void add_escaped(struct strbuf *out, const char *text, bool quotes)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\n')
            strbuf_adds(out, "\\n");
        else if (*c == '\\' || (quotes && *c == '"'))
            strbuf_addf(out, "\\%c", *c);
        else
            strbuf_add(out, c, 1);
    }
}

/* The length of `name` without `end`; 0 if it does not end so. */
static size_t before_end(const char *name, size_t len, struct span end)
{
    bool has = len > end.len && memcmp(name + len - end.len, end.at, end.len) == 0;
    return has ? len - end.len : 0;
}

static void add_unit(struct strbuf *out, const char *name, size_t len)
{
    static const struct span units[] = {{"_seconds", 8}, {"_bytes", 6}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (before_end(name, len, units[i]) > 0)
            strbuf_addf(out, "# UNIT %.*s %s\n", (int)len, name, units[i].at + 1);
    }
}

void prometheus_head(struct strbuf *out, enum prometheus_format format, const char *name,
                     const char *type, const char *help)
{
    bool openmetrics = format == PROMETHEUS_OPENMETRICS;
    size_t len = strlen(name), counter = before_end(name, len, SPAN("_total"));
    if (openmetrics && counter > 0)
        len = counter;
    strbuf_addf(out, "# HELP %.*s ", (int)len, name);
    add_escaped(out, help, openmetrics);
    strbuf_addf(out, "\n# TYPE %.*s %s\n", (int)len, name, type);
    if (openmetrics)
        add_unit(out, name, len);
}

void prometheus_end(struct strbuf *out, enum prometheus_format format)
{
    if (format == PROMETHEUS_OPENMETRICS)
        strbuf_adds(out, "# EOF\n");
}

/* Writes name{a="b",le="1"} and the space before the value; `le` is NULL except for buckets. */
static void add_series(struct strbuf *out, const char *name, const char *suffix,
                       const struct prometheus_label *labels, const char *le)
{
    const char *before = "{";
    strbuf_addf(out, "%s%s", name, suffix);
    for (; labels != NULL && labels->name != NULL; labels++) {
        strbuf_addf(out, "%s%s=\"", before, labels->name);
        add_escaped(out, labels->value, true);
        strbuf_adds(out, "\"");
        before = ",";
    }
    if (le != NULL) {
        strbuf_addf(out, "%sle=\"%s\"", before, le);
        before = ",";
    }
    strbuf_adds(out, before[0] == ',' ? "} " : " ");
}

void prometheus_count(struct strbuf *out, const char *name, const struct prometheus_label *labels,
                      uint64_t value)
{
    add_series(out, name, "", labels, NULL);
    strbuf_addf(out, "%" PRIu64 "\n", value);
}

void prometheus_signed(struct strbuf *out, const char *name, const struct prometheus_label *labels,
                       int64_t value)
{
    add_series(out, name, "", labels, NULL);
    strbuf_addf(out, "%" PRId64 "\n", value);
}

void prometheus_infinity(struct strbuf *out, const char *name,
                         const struct prometheus_label *labels)
{
    add_series(out, name, "", labels, NULL);
    strbuf_adds(out, "+Inf\n");
}

void prometheus_seconds(struct strbuf *out, const char *name, const struct prometheus_label *labels,
                        uint64_t us)
{
    if (us == (uint64_t)MONO_NEVER) {
        prometheus_infinity(out, name, labels);
        return;
    }
    add_series(out, name, "", labels, NULL);
    prometheus_add_seconds(out, us);
    strbuf_adds(out, "\n");
}

/* In integers: a double would round sums above 2^53 microseconds, and %g much smaller ones. */
void prometheus_add_seconds(struct strbuf *out, uint64_t us)
{
    strbuf_addf(out, "%" PRIu64, us / US_PER_SECOND);
    unsigned rest = (unsigned)(us % US_PER_SECOND);
    if (rest == 0)
        return;
    int digits = 6;
    while (rest % 10 == 0) {
        rest /= 10;
        digits--;
    }
    strbuf_addf(out, ".%0*u", digits, rest);
}

static void add_exemplar(struct strbuf *out, const struct prometheus_exemplar *e)
{
    strbuf_addf(out, " # {%s=\"", e->label.name);
    add_escaped(out, e->label.value, true);
    strbuf_adds(out, "\"} ");
    prometheus_add_seconds(out, e->us);
    strbuf_adds(out, " ");
    prometheus_add_seconds(out, (uint64_t)e->at);
}

void prometheus_histogram(struct strbuf *out, const char *name,
                          const struct prometheus_label *labels, const mono_us *bounds,
                          const uint64_t *counts, size_t n_bounds, uint64_t sum_us,
                          const struct prometheus_exemplar *exemplars)
{
    struct strbuf le = {0};
    uint64_t so_far = 0;
    for (size_t i = 0; i <= n_bounds; i++) {
        strbuf_clear(&le);
        if (i < n_bounds)
            prometheus_add_seconds(&le, (uint64_t)bounds[i]);
        else
            strbuf_adds(&le, "+Inf");
        so_far += counts[i];
        add_series(out, name, "_bucket", labels, strbuf_cstr(&le));
        strbuf_addf(out, "%" PRIu64, so_far);
        if (exemplars != NULL && exemplars[i].label.name != NULL)
            add_exemplar(out, &exemplars[i]);
        strbuf_adds(out, "\n");
    }
    strbuf_fini(&le);
    add_series(out, name, "_sum", labels, NULL);
    prometheus_add_seconds(out, sum_us);
    strbuf_adds(out, "\n");
    add_series(out, name, "_count", labels, NULL);
    strbuf_addf(out, "%" PRIu64 "\n", so_far);
}

/* ---- a registry --------------------------------------------------------------------------- */

static void write_histogram(struct strbuf *out, const char *name,
                            const struct prometheus_label *labels, const struct histogram *h)
{
    uint64_t counts[HISTOGRAM_BOUNDS_MAX + 1];
    for (size_t i = 0; i <= h->n_bounds; i++)
        counts[i] = atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
    prometheus_histogram(out, name, labels, h->bounds, counts, h->n_bounds,
                         atomic_load_explicit(&h->sum_us, memory_order_relaxed), NULL);
}

static void write_member(struct strbuf *out, const struct metric_family *f, const struct metric *m)
{
    const struct prometheus_label labels[] = {{f->label, m->value}, {NULL, NULL}};
    switch (f->type) {
    case METRIC_COUNTER:
        prometheus_count(out, f->name, labels,
                         atomic_load_explicit(&m->counter.n, memory_order_relaxed));
        break;
    case METRIC_GAUGE:
        prometheus_signed(out, f->name, labels,
                          atomic_load_explicit(&m->gauge.n, memory_order_relaxed));
        break;
    case METRIC_HISTOGRAM:
        write_histogram(out, f->name, labels, &m->histogram);
        break;
    }
}

void prometheus_write(const struct metrics *m, struct strbuf *out)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    for (const struct metric_family *f = metrics_families(m); f != NULL; f = f->next) {
        prometheus_head(out, PROMETHEUS_TEXT, f->name, types[f->type], f->help);
        for (const struct metric *member = f->first; member != NULL; member = member->next)
            write_member(out, f, member);
    }
}

/* ---- the process -------------------------------------------------------------------------- */

enum process_metric { CPU, RESIDENT, VIRTUAL, OPEN_FDS, MAX_FDS, START_TIME, PROCESS_METRICS };

static const struct prometheus_process_family process_families[PROCESS_METRICS] = {
    [CPU] = {"process_cpu_seconds_total", "counter",
             "Total user and system CPU time spent in seconds."},
    [RESIDENT] = {"process_resident_memory_bytes", "gauge", "Resident memory size in bytes."},
    [VIRTUAL] = {"process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes."},
    [OPEN_FDS] = {"process_open_fds", "gauge", "Number of open file descriptors."},
    [MAX_FDS] = {"process_max_fds", "gauge", "Maximum number of open file descriptors."},
    [START_TIME] = {"process_start_time_seconds", "gauge",
                    "Start time of the process since unix epoch in seconds."},
};

const struct prometheus_process_family *prometheus_process_families(size_t *n)
{
    *n = PROCESS_METRICS;
    return process_families;
}

/* The beginning of a file in /proc as a string; the first kilobytes have everything used here. */
static bool read_proc(const char *path, char *into, size_t room)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    size_t n = fread(into, 1, room - 1, f);
    fclose(f);
    into[n] = '\0';
    return n > 0;
}

static bool cpu_us(uint64_t *us)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) != 0)
        return false;
    *us = (uint64_t)ts.tv_sec * US_PER_SECOND + (uint64_t)ts.tv_nsec / 1000;
    return true;
}

/* statm begins with: size resident, in pages. */
static bool memory_bytes(uint64_t *virtual_bytes, uint64_t *resident)
{
    char text[256], *rest;
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0 || !read_proc("/proc/self/statm", text, sizeof(text)))
        return false;
    *virtual_bytes = strtoull(text, &rest, 10) * (uint64_t)page;
    *resident = strtoull(rest, NULL, 10) * (uint64_t)page;
    return true;
}

static bool open_fds(uint64_t *n)
{
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return false;
    *n = 0;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        *n += e->d_name[0] != '.';
    closedir(dir);
    *n -= 1; /* the descriptor of the directory itself */
    return true;
}

/* The wall time of the boot in seconds: the line "btime N" of /proc/stat, after one line per
 * CPU. */
static bool boot_time(uint64_t *seconds)
{
    FILE *f = fopen("/proc/stat", "re");
    if (f == NULL)
        return false;
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    while (!found && getline(&line, &room, f) > 0) {
        found = strncmp(line, "btime ", 6) == 0;
        if (found)
            *seconds = strtoull(line + 6, NULL, 10);
    }
    free(line);
    fclose(f);
    return found;
}

/* The command name, in parentheses, may contain spaces and parentheses: fields are counted from its
 * end. `state`, the first field after it, is the third; starttime is the 22nd (proc(5)). */
static bool start_ticks(uint64_t *ticks)
{
    char text[1024];
    if (!read_proc("/proc/self/stat", text, sizeof(text)))
        return false;
    const char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++) {
        at = strchr(at, ' ');
        at = at == NULL ? NULL : at + 1;
    }
    if (at == NULL)
        return false;
    *ticks = strtoull(at, NULL, 10);
    return true;
}

static bool start_us(uint64_t *us)
{
    uint64_t boot, ticks;
    long per_second = sysconf(_SC_CLK_TCK);
    if (per_second <= 0 || !boot_time(&boot) || !start_ticks(&ticks))
        return false;
    *us = boot * US_PER_SECOND + ticks * US_PER_SECOND / (uint64_t)per_second;
    return true;
}

static void write_process(struct strbuf *out, enum prometheus_format format,
                          enum process_metric which, bool known, uint64_t value)
{
    const struct prometheus_process_family *f = &process_families[which];
    if (!known)
        return;
    prometheus_head(out, format, f->name, f->type, f->help);
    if (which == CPU || which == START_TIME)
        prometheus_seconds(out, f->name, NULL, value);
    else
        prometheus_count(out, f->name, NULL, value);
}

static void write_max_fds(struct strbuf *out, enum prometheus_format format)
{
    const struct prometheus_process_family *f = &process_families[MAX_FDS];
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    prometheus_head(out, format, f->name, f->type, f->help);
    if (limit.rlim_cur == RLIM_INFINITY)
        prometheus_infinity(out, f->name, NULL);
    else
        prometheus_count(out, f->name, NULL, limit.rlim_cur);
}

void prometheus_process(struct strbuf *out, enum prometheus_format format)
{
    uint64_t a = 0, b = 0;
    bool known = cpu_us(&a);
    write_process(out, format, CPU, known, a);
    known = memory_bytes(&a, &b);
    write_process(out, format, RESIDENT, known, b);
    write_process(out, format, VIRTUAL, known, a);
    known = open_fds(&a);
    write_process(out, format, OPEN_FDS, known, a);
    write_max_fds(out, format);
    known = start_us(&a);
    write_process(out, format, START_TIME, known, a);
}
