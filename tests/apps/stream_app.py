"""FastAPI: event streams without an end, and a `def` handler that takes its time."""

import asyncio
import time

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
seen = {"begun": 0, "ended": 0, "slow": 0, "done": 0}


async def events():
    seen["begun"] += 1
    try:
        while True:
            yield "data: 1\n\n"
            await asyncio.sleep(0.02)
    finally:
        seen["ended"] += 1


@app.get("/events")
async def event_stream():
    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/slow")
def slow():
    seen["slow"] += 1
    time.sleep(0.5)
    seen["done"] += 1
    return {}


@app.get("/seen")
async def what_was_seen():
    return seen


@app.get("/pronto")
async def ready():
    return {}
