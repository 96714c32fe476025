// The peers of the page: an app that responds on command, its clients, and weir.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const WEIR = process.env.WEIR ?? 'build/weir';

export async function until(what, ms, condition) {
  const begun = performance.now();
  let problem = 'no';
  do {
    try {
      if (await condition()) {
        return performance.now() - begun;
      }
    } catch (error) {
      problem = error.message;
    }
    await sleep(20);
  } while (performance.now() - begun < ms);
  throw new Error(`not within ${ms} ms: ${what} (${problem})`);
}

export async function free_port() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// An app that holds each request until it is released, or while it is open responds at once.
export class App {
  #held = new Set();
  open = true;

  async start() {
    this.server = http.createServer((request, response) => {
      if (this.open) {
        response.end('ok');
      } else {
        this.#held.add(response);
        response.on('close', () => this.#held.delete(response));
      }
    });
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  get address() {
    return `127.0.0.1:${this.server.address().port}`;
  }

  release() {
    this.open = true;
    this.#held.forEach((response) => response.end('ok'));
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

export class Weir {
  constructor(app, flags) {
    this.app = app;
    this.flags = flags;
  }

  async start() {
    this.port ??= await free_port();
    this.admin ??= await free_port();
    this.child = spawn(WEIR, [
      '--upstream', this.app.address, '--listen', `127.0.0.1:${this.port}`, '--admin-listen', `127.0.0.1:${this.admin}`,
      '--drain-delay', '0s', '--log-level', 'error', ...this.flags,
    ], { stdio: ['ignore', 'ignore', 'inherit'] });
    await until('weir is ready', 10000, async () => (await fetch(`${this.page}readyz`)).ok);
    return this;
  }

  get page() {
    return `http://127.0.0.1:${this.admin}/`;
  }

  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    if (this.child.exitCode === null) {
      await once(this.child, 'exit');
    }
  }

  async json(path) {
    return (await fetch(this.page + path)).json();
  }

  // A metric without labels.
  async metric(name) {
    const page = await (await fetch(`${this.page}metrics`)).text();
    return Number(page.match(new RegExp(`^${name} (.*)$`, 'm'))[1]);
  }

  // Sends `n` requests, each over a connection of its own; resolves to their status codes.
  ask(n) {
    return Promise.all(Array.from({ length: n }, () => new Promise((resolve) => {
      http.get({ host: '127.0.0.1', port: this.port, agent: false }, (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode));
      }).on('error', () => resolve(0));
    })));
  }
}
