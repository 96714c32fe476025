#include "backend-demo/pool_handlers.h"

#include "backend-demo/backend.h"

void handle_produtos(struct call *c)
{
    call_sleep(c);
    call_work(c);
    call_write(c, SPAN("\"produtos\":[\"Produto 1\",\"Produto 2\"]"));
}
