"""A WSGI app under Gunicorn's threads, behind weir.

    $ gunicorn --chdir examples/gunicorn --workers 2 --threads 8 -b 127.0.0.1:8000 app:app
    $ weir --config examples/gunicorn/weir.json

The limit is workers x threads. Gunicorn closes an idle connection after 2 s (--keep-alive), so weir
keeps one for only 1 s: a request on a connection that is being closed would fail.
"""

import time


def app(environ, start_response):
    time.sleep(0.1)  # a query, or a call to another service
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "19")])
    return [b"served by a thread\n"]
