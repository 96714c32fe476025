/*
 * Handlers that run in a thread of the pool, like FastAPI's plain `def`: they may block, and may
 * use only the parameters and the body of their call.
 */
#pragma once

struct call;

void handle_produtos(struct call *c); /* sleeps in its thread */
