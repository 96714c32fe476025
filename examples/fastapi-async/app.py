"""FastAPI with `async def` handlers, which share one event loop, behind weir.

    $ uvicorn --app-dir examples/fastapi-async app:app --port 8000
    $ weir --config examples/fastapi-async/weir.json

Start with 80 and raise the limit as long as latency stays constant. A handler that blocks the loop, by
computing or by a blocking call, needs a limit of 1, or `def`.
"""

import asyncio

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def report():
    await asyncio.sleep(0.1)  # a query, or a call to another service
    return {"served": "by the loop"}
