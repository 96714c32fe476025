"""A FastAPI app whose handlers sleep in the thread pool, and which knows how many run at once."""

import threading
import time

from fastapi import FastAPI

app = FastAPI()
lock = threading.Lock()
running = most = 0
begun: dict[int, float] = {}


@app.get("/work/{number}")
def work(number: int) -> dict[str, int]:
    global running, most
    with lock:
        running += 1
        most = max(most, running)
        begun[number] = time.monotonic()
    time.sleep(0.1)
    with lock:
        running -= 1
    return {"number": number}


@app.get("/report")
async def report() -> dict[str, object]:
    global most
    with lock:
        answer = {"most": most, "begun": dict(begun)}
        begun.clear()
        most = running
    return answer
