/* The commands that talk to a running weir through its admin port; each returns the exit status. */
#pragma once

struct cli; /* cli_private.h */

int cli_healthcheck(struct cli *cli);
int cli_drain(struct cli *cli);
int cli_set(struct cli *cli);
int cli_pause(struct cli *cli);
int cli_resume(struct cli *cli);
