// Node's fetch and http.request in the mode that is asked for: prints `ok`, or says what was wrong.
import assert from "node:assert/strict";
import http from "node:http";

const [mode, url] = process.argv.slice(2);
const text = async (answer) => {
  assert.ok(answer.ok, `${answer.status}`);
  return answer.text();
};

// One request by http.request: { res, body, interim, continued, reused }.
function ask(path, options, send) {
  return new Promise((resolve, reject) => {
    const seen = { interim: [], continued: false };
    const req = http.request(url + path, options, (res) => {
      const parts = [];
      res.on("data", (part) => parts.push(part));
      res.on("error", reject);
      res.on("end", () =>
        resolve({ ...seen, res, body: Buffer.concat(parts).toString(), reused: req.reusedSocket }),
      );
    });
    req.on("information", (info) => seen.interim.push(info.statusCode));
    req.on("continue", () => (seen.continued = true));
    req.on("error", reject);
    send(req);
  });
}

const modes = {
  async "keep-alive"() {
    for (let i = 0; i < 20; i++) assert.equal(await text(await fetch(`${url}/${i}`)), "ok");
    const agent = new http.Agent({ keepAlive: true });
    for (let i = 0; i < 5; i++) {
      const { reused } = await ask("/", { agent }, (req) => req.end());
      assert.equal(reused, i > 0);
    }
    agent.destroy();
  },

  async parallel() {
    const all = Array.from({ length: 50 }, () => fetch(`${url}/`, { method: "POST", body: "x" }));
    for (const answer of await Promise.all(all)) assert.equal(await text(answer), "ok");
  },

  async "chunked-upload"() {
    const part = "0123456789abcdef".repeat(1000);
    let left = 20;
    const body = new ReadableStream({
      pull(controller) {
        if (left-- > 0) controller.enqueue(new TextEncoder().encode(part));
        else controller.close();
      },
    });
    const answer = await fetch(`${url}/echo`, { method: "PUT", body, duplex: "half" });
    assert.equal(await text(answer), part.repeat(20));
  },

  async "streamed-download"() {
    const answer = await fetch(`${url}/chunks`);
    let body = "";
    for await (const part of answer.body) body += Buffer.from(part).toString();
    assert.equal(body, "chunk".repeat(1000));
    assert.equal(await text(await fetch(`${url}/until-close`)), "to the end");
  },

  async bodyless() {
    const head = await fetch(`${url}/head`, { method: "HEAD" });
    assert.equal(head.headers.get("content-length"), "1234");
    assert.equal((await fetch(`${url}/204`, { method: "DELETE" })).status, 204);
    assert.equal(await text(await fetch(`${url}/`)), "ok");
  },

  async expect() {
    const sent = "x".repeat(100000);
    const options = { method: "POST", headers: { Expect: "100-continue" } };
    const answer = await ask("/expect", options, (req) => {
      req.on("continue", () => req.end(sent));
      req.flushHeaders();
    });
    assert.ok(answer.continued);
    assert.equal(answer.body, sent);
  },

  async trailers() {
    const options = { method: "POST", headers: { Trailer: "X-Up", TE: "trailers" } };
    const answer = await ask("/trailers", options, (req) => {
      req.write("hello");
      req.addTrailers({ "X-Up": "yes" });
      req.end();
    });
    assert.equal(answer.body, "body");
    assert.equal(answer.res.trailers["x-sum"], "42");
  },

  async interim() {
    const answer = await ask("/hints", {}, (req) => req.end());
    assert.deepEqual(answer.interim, [103, 103]);
    assert.equal(answer.body, "page");
  },
};

await modes[mode]();
console.log("ok");
