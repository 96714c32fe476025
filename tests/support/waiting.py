"""Waiting for a condition, never for a time."""

import time

SOON = 5.0
"""What happens at once, or after a fraction of a second, has happened by then on a busy machine too.
The timeouts that it must not be mistaken for are longer."""


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


def one_in_time(attempt, most, runs=3):
    """`attempt` returns the seconds that something took. A busy machine can only add to them: of so
    many runs one must be in time."""
    times = []
    while not times or times[-1] > most:
        assert len(times) < runs, f"took {times} s, wanted at most {most:.2f}"
        times.append(round(attempt(), 3))


def stays(condition, what="the condition", during=0.3, every=0.01):
    """Asserts that `condition()` holds all the time: for what must not happen."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        assert condition(), f"{what} did not stay so"
        time.sleep(every)


def settled(value, within=15):
    """Waits until a value stops changing, and returns it."""
    last = [value(), time.monotonic()]

    def still():
        now = value()
        if now != last[0]:
            last[:] = [now, time.monotonic()]
        return time.monotonic() - last[1] > 0.3

    until(still, "it to stop", within, every=0.02)
    return last[0]
