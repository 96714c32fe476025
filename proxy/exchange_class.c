/* See exchange_class.h. */
#include "proxy/exchange_class.h"

#include "proxy/classes.h"

void exchange_classify(struct exchange *ex, const struct http_head *head)
{
    const struct config *config = ex->config;

    if (exchange_bypasses(ex))
        return;
    ex->waiter.class_ = (uint8_t)classes_find(config, head, ex->upgrade);
    if (config->fair[0] == '\0')
        return;
    const struct classes_peer peer = {.address = client_address(ex->client),
                                      .trusted = client_trusted(ex->client)};
    ex->waiter.key = classes_key(config, head, &peer, &ex->env->c.shared->fair_seed);
}
