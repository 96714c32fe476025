// Node: an app that believes its forwarding fields, as Express does with "trust proxy".
import http from "node:http";

http
  .createServer((req, res) => {
    const told = (req.headers["x-forwarded-for"] ?? "").split(", ");
    const others = told.filter((address) => address !== "" && address !== "127.0.0.1");
    const seen = {
      path: req.url,
      root: req.headers["script_name"] ?? req.headers["x-forwarded-prefix"] ?? "",
      scheme: req.headers["x-forwarded-proto"] ?? "http",
      client: others.at(-1) ?? req.socket.remoteAddress,
      user: req.headers["remote_user"] ?? req.headers["x-forwarded-user"] ?? "",
    };
    res.end(JSON.stringify(seen));
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
