/* The page that `weir status` prints. Pure. */
#pragma once

#include "proxy/figures.h"
#include "proxy/text_screen.h"

/* `where` is the address of the admin port, and `now` in seconds since 1970. */
void status_page_write(const struct figures *f, const char *where, double now,
                       struct text_screen *t);
