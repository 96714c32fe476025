/* `weir top`. */
#pragma once

struct cli; /* cli_private.h */

int cli_top(struct cli *cli);
