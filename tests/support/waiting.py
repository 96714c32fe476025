"""Waiting for a condition, never for a time."""

import time


def until(condition, what="the condition", within=10.0, every=0.005):
    """Polls until `condition()` is true and returns its value; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within} s in vain for {what}")
        time.sleep(every)


def stays(condition, what="the condition", during=0.3, every=0.01):
    """Asserts that `condition()` holds all the time: for what must not happen."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        assert condition(), f"{what} did not stay so"
        time.sleep(every)
