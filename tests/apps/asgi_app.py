"""ASGI: what the server makes of a request. Uvicorn itself believes what its peer on loopback says;
for Hypercorn, which believes nobody, the app reads the fields, as its ProxyFixMiddleware does."""

import json


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    fields = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
    # Uvicorn 0.17 makes None of an X-Forwarded-For in which all are trusted.
    client, scheme = scope["client"][0] or "127.0.0.1", scope["scheme"]
    if client == "127.0.0.1":
        told = fields.get("x-forwarded-for", "").split(", ")
        client = ([client] + [a for a in told if a not in ("", "127.0.0.1")])[-1]
        scheme = fields.get("x-forwarded-proto", scheme)
    seen = {
        "path": scope["path"],
        "root": scope.get("root_path", ""),
        "scheme": scheme,
        "client": client,
        "user": fields.get("remote_user", "") or fields.get("x-forwarded-user", ""),
    }
    start = {"type": "http.response.start", "status": 200, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
