#include "proxy/metrics_page.h"

#include "common/prometheus.h"
#include "proxy/metrics_families.h"

/* A family without samples has no value now. `samples` is scratch. */
static void write_family(const struct metrics_family *f, const struct stats_reading *r,
                         enum prometheus_format format, struct strbuf *samples, struct strbuf *out)
{
    strbuf_clear(samples);
    f->print(f, r, samples);
    if (samples->len == 0)
        return;
    prometheus_head(out, format, f->name, f->type, f->help);
    strbuf_add(out, samples->at, samples->len);
}

void metrics_page_write(const struct stats *s, const struct stats_now *now,
                        enum prometheus_format format, struct strbuf *out)
{
    struct strbuf samples = {0};
    struct exemplar exemplars[EXEMPLARS_MAX];
    struct stats_reading r;
    size_t n;
    const struct metrics_family *families = metrics_families_all(&n);

    stats_read(s, now, &r);
    if (format == PROMETHEUS_OPENMETRICS) {
        stats_exemplars(s, exemplars);
        r.wait_exemplars = exemplars;
    }
    for (size_t i = 0; i < n; i++)
        write_family(&families[i], &r, format, &samples, out);
    strbuf_fini(&samples);
    prometheus_process(out, format);
    prometheus_end(out, format);
}
