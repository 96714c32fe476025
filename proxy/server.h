/*
 * Builds what a configuration describes, runs it, and takes it down. One worker loop for each of
 * `threads`, with its own clients, exchanges and connections to the app; the control thread, which
 * is the caller's, has signals, the admin port and the app's probes.
 */
#pragma once

#include "proxy/config.h"

enum server_exit { SERVER_DONE = 0, SERVER_FAILED = 1, SERVER_CUT = 3 };

/*
 * Serves until a signal has drained it. Returns the exit status: 0 all requests were served, 1 it
 * could not start (which is logged), 3 some were cut. `config`, and `source`, which a reload reads
 * again, stay the caller's.
 */
int server_main(struct config *config, const struct config_source *source);
