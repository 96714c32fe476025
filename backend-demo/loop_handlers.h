/*
 * Handlers that run on the loop, like FastAPI's `async def`. None may block; handle_bloqueante()
 * does, to show what happens then.
 */
#pragma once

struct call;

void handle_usuarios(struct call *c);   /* waits on a timer; the loop stays free */
void handle_bloqueante(struct call *c); /* the trap: sleeps on the loop */
void handle_ping(struct call *c);
void handle_echo(struct call *c);  /* returns the request as JSON, for tests of the proxy */
void handle_reset(struct call *c); /* restarts the maxima */
void handle_metrics(struct call *c);
void handle_not_found(struct call *c);
