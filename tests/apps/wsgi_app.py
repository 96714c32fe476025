"""WSGI: what the server makes of a request, and what a framework behind it would believe."""

import json


def app(environ, start_response):
    told = environ.get("HTTP_X_FORWARDED_FOR", "").split(", ")
    others = [address for address in told if address not in ("", "127.0.0.1")]
    seen = {
        "path": environ["PATH_INFO"],
        "root": environ["SCRIPT_NAME"],
        "scheme": environ["wsgi.url_scheme"],
        "client": others[-1] if others else environ["REMOTE_ADDR"],
        "user": environ.get("REMOTE_USER")
        or environ.get("HTTP_REMOTE_USER")
        or environ.get("HTTP_X_FORWARDED_USER", ""),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]
