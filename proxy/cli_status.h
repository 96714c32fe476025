/* `weir status`. */
#pragma once

struct cli; /* cli_private.h */

int cli_status(struct cli *cli);
