"""Requests in few words, for the tables: text of Latin-1, so that a row can hold any byte."""

from .feeding import FORWARDED, ID, START, VIA

ADDED = FORWARDED + VIA + ID + START  # by weir, to every request
ADDED_OLD = ADDED.replace("Via: 1.1", "Via: 1.0")
CHUNKS = "5\r\nhello\r\n0\r\n\r\n"
LIMITS = {"client_max_head": "1KiB", "client_max_headers": 20, "client_max_body": "1KiB"}


def message(method, target, version, host, fields, body):
    lines = [f"{method} {target} {version}"] + ([f"Host: {host}"] if host else [])
    lines += [field.removesuffix("\r\n") for field in fields]
    return "\r\n".join(lines) + "\r\n\r\n" + body


def get(*fields, method="GET", target="/x", version="HTTP/1.1", host="app.test", body=""):
    return message(method, target, version, host, fields, body)


def post(*fields, body="hello", version="HTTP/1.1"):
    return message("POST", "/x", version, "app.test", fields, body)


def to(target, method="GET"):
    return get(method=method, target=target)


def line(text):
    return f"{text}\r\nHost: app.test\r\n\r\n"


def host(value):
    return get(f"Host: {value}", host=None)


def length(value):
    return post(f"Content-Length: {value}")


def coding(value, version="HTTP/1.1"):
    return post(f"Transfer-Encoding:{value}", body=CHUNKS, version=version)


def chunks(body):
    return post("Transfer-Encoding: chunked", body=body)


def trailer(text):
    return chunks(f"5\r\nhello\r\n0\r\n{text}\r\n\r\n")


def with_added(raw):
    """The request's bytes with what weir adds, unless the row has said itself what that is."""
    head, end, body = raw.encode("latin-1").partition(b"\r\n\r\n")
    if b"\r\nVia: 1." in head and b"\r\nX-Request-Start: " in head:
        return head + end + body
    return head + b"\r\n" + ADDED.encode() + b"\r\n" + body
