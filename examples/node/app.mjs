// Node's HTTP server, which runs all requests on one event loop, behind weir.
//
//     $ node examples/node/app.mjs 8000
//     $ weir --config examples/node/weir.json
//
// Start with 80 and raise the limit as long as latency stays constant. Node closes an idle connection
// after 5 s (server.keepAliveTimeout); weir closes it after 4 s.
import { createServer } from "node:http";
import { setTimeout } from "node:timers/promises";

const server = createServer(async (request, response) => {
  await setTimeout(100); // a query, or a call to another service
  response.setHeader("Content-Type", "text/plain");
  response.end("served by the loop\n");
});

server.listen(Number(process.argv[2] ?? 8000), "127.0.0.1");
