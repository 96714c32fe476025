/*
 * Handlers that run in a thread of the pool, as FastAPI's plain `def` does: they may block, and
 * touch nothing of their call but its parameters and its body.
 */
#pragma once

struct call;

void handle_produtos(struct call *c); /* sleeps in its thread */
