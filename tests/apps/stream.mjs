// Node: event streams without an end, and a handler that takes its time.
import http from "node:http";

const seen = { begun: 0, ended: 0, slow: 0, done: 0 };

function events(res) {
  seen.begun++;
  res.writeHead(200, { "Content-Type": "text/event-stream" });
  const every = setInterval(() => res.write("data: 1\n\n"), 20);
  res.on("close", () => {
    clearInterval(every);
    seen.ended++;
  });
  res.write("data: 1\n\n");
}

function slow(res) {
  seen.slow++;
  setTimeout(() => {
    seen.done++;
    res.end("{}");
  }, 500);
}

http
  .createServer((req, res) => {
    if (req.url === "/events") events(res);
    else if (req.url === "/slow") slow(res);
    else res.end(JSON.stringify(seen));
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
