/*
 * The house: builds what a configuration asks for, runs it, takes it down. One worker loop per
 * `threads`, each with its clients, exchanges and connections to the app; the control thread, which
 * is the caller, has signals, the admin port and the probe.
 */
#pragma once

#include "proxy/config.h"

enum server_exit { SERVER_DONE = 0, SERVER_FAILED = 1, SERVER_CUT = 3 };

/*
 * Serves until a signal has drained it. Returns the process's exit status: 0 all was served, 1 it
 * could not start (which is logged), 3 something was cut. `config` stays the caller's.
 */
int server_main(struct config *config);
