"""FastAPI with `def` handlers, which run in a pool of 40 threads, behind weir.

    $ uvicorn --app-dir examples/fastapi-def app:app --port 8000
    $ weir --config examples/fastapi-def/weir.json

The limit is the number of threads: additional requests would wait inside the app, where they are not visible.
"""

import time

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def report():
    time.sleep(0.1)  # a query, or a call to another service
    return {"served": "by a thread"}
