/*
 * Handlers that run on the loop, as FastAPI's `async def` does: none may block, and the one that
 * does is here to show what happens then.
 */
#pragma once

struct call;

void handle_usuarios(struct call *c);   /* waits by timer; the loop is free meanwhile */
void handle_bloqueante(struct call *c); /* the trap: sleeps on the loop */
void handle_ping(struct call *c);
void handle_echo(struct call *c);  /* what came in, as JSON: for tests of what stands in front */
void handle_reset(struct call *c); /* the maxima start again */
void handle_metrics(struct call *c);
void handle_not_found(struct call *c);
