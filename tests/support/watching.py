"""The values of `app` in /status while requests run."""

import threading
import time


class Watch:
    """Reads weir's status every `every` seconds, from entering to leaving."""

    def __init__(self, weir, every=0.05):
        self.weir, self.every = weir, every
        self.readings = []  # (seconds since the beginning, status)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.began = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def _run(self):
        while not self.over.wait(self.every):
            self.readings.append((time.monotonic() - self.began, self.weir.status()))

    def states(self):
        return {status["app"]["state"] for _, status in self.readings}

    def first(self, state):
        """Seconds until that state, or infinity."""
        return next((at for at, s in self.readings if s["app"]["state"] == state), float("inf"))

    def values(self, name):
        """The figures of the app that were told, in order."""
        told = [status["app"][name] for _, status in self.readings]
        return [value for value in told if value is not None]

    def most(self, *path):
        def at(status):
            for key in path:
                status = status[key]
            return status

        return max(at(status) for _, status in self.readings)
