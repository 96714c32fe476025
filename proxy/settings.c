/* See settings.h. */
#include "proxy/settings.h"

#include <stdlib.h>

#include "common/check.h"

struct settings *settings_new(struct config *config)
{
    struct settings *s = malloc(sizeof(*s));

    CHECK(s != NULL && config->upstream.max_headers <= HTTP_FIELDS_MAX);
    s->config = config_get(config);
    s->limits = (struct http_limits){.max_head = config->upstream.max_head,
                                     .max_fields = config->upstream.max_headers};
    s->users = 1;
    return s;
}

void settings_free(struct settings *s)
{
    CHECK(s->users == 0);
    config_put(s->config);
    free(s);
}
