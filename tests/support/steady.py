"""A good client in a process of its own, so that nothing here is in its way: it asks again and again
on one connection, a moment after each answer, and takes the times."""

import json
import select
import sys
import time

from .child import Child
from .client import Client

PAUSE = 0.002  # seconds, or it would be a load of its own


class Steady(Child):
    """It asks from now on until stop()."""

    def __init__(self, address, target):
        super().__init__("steady", json.dumps(address), target)

    def stop(self, within=20):
        """The milliseconds that each answer took, sorted; each was a 200."""
        return sorted(super().stop(within))


def p99(times):
    """Of requests at a steady pace: an answer that takes long also delays those that would have been
    asked meanwhile, and they count."""
    pace = PAUSE * 1000 + times[len(times) // 2]
    all_of_them = sorted(t - k * pace for t in times for k in range(int(t / pace) + 1))
    return all_of_them[len(all_of_them) * 99 // 100]


def main():
    address, target = json.loads(sys.argv[1]), sys.argv[2]
    client = Client(tuple(address) if isinstance(address, list) else address)
    times = []
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        began = time.monotonic()
        assert client.ask("GET", target).status == 200
        times.append(round((time.monotonic() - began) * 1000, 3))
        if len(times) == 1:
            print("begun", flush=True)
    print(json.dumps(times))


if __name__ == "__main__":
    main()
