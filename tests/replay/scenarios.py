"""Scenarios for replay.c and reference.py, and what comes of them."""

import math
import random

SECOND = 1_000_000


def holds(kind, mean):
    """A distribution of service times, in seconds."""
    if kind == "fixed":
        return lambda dice: mean
    if kind == "exponential":
        return lambda dice: dice.expovariate(1 / mean)
    if kind == "lognormal":  # coefficient of variation 1.5
        sigma = math.sqrt(math.log(1 + 1.5**2))
        return lambda dice: dice.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)
    raise ValueError(kind)


def patience(kind):
    """How long a client waits for its response, in seconds; None: as long as it takes."""
    if kind is None or isinstance(kind, (int, float)):
        return lambda dice: kind
    if kind == "mixed":  # 0.2 to 30 s, log-uniform
        return lambda dice: 0.2 * 150 ** dice.random()
    if kind == "exponential":
        return lambda dice: dice.expovariate(1 / 2)
    if kind.startswith("cancel"):  # so many of 100 leave at random
        share = int(kind[6:]) / 100
        return lambda dice: dice.expovariate(1) if dice.random() < share else 60
    raise ValueError(kind)


class Scenario:
    def __init__(self, slots=10, length=100, timeout=10, order="adaptive", seed=1):
        self.dice = random.Random(seed)
        self.slots, self.length, self.timeout, self.order = slots, length, timeout, order
        self.clients, self.others = [], []  # (at, service, patience, closes, declared), (at, line)

    def client(self, at, service, patience, closes=True, declares=False):
        us = [max(1, round(x * SECOND)) for x in (at, service, patience or 0)]
        us[2] = us[2] if patience else 0
        self.clients.append((*us, int(closes), us[2] if declares else 0))

    def load(self, rate, seconds, hold, wait, closers=1.0, declaring=0.0):
        """Poisson arrivals; `rate`: per second, or a function of the time."""
        at = 0
        of = rate if callable(rate) else lambda at: rate
        while True:
            at += self.dice.expovariate(of(at)) if of(at) > 0 else 0.05
            if at > seconds:
                return self
            if of(at) > 0:
                closes, declares = self.dice.random() < closers, self.dice.random() < declaring
                self.client(at, hold(self.dice), wait(self.dice), closes, declares)

    def burst(self, at, count, service, patience=60.0):
        for _ in range(count):
            self.client(at, service, patience)
        return self

    def other(self, at, what, *numbers):
        at = round(at * SECOND)
        self.others.append((at, " ".join(map(str, (what, at, *numbers)))))
        return self

    def text(self):
        self.clients.sort(key=lambda c: c[0])
        lines = [(c[0], 1, "a %d %d %d %d %d" % c) for c in self.clients]
        lines += [(at, 0, line) for at, line in self.others]
        lines.sort(key=lambda line: line[:2])
        first = "%d %d %d %d" % (self.slots, self.length, round(self.timeout * SECOND), self.order == "fifo")
        return "\n".join([first] + [line for _, _, line in lines]) + "\n"


class Outcome:
    """What became of each client: (word, when), and when it was granted a slot."""

    def __init__(self, scenario, lines):
        self.scenario, self.granted, self.fate = scenario, {}, {}
        self.overloads = [line for line in lines if "overload " in line or " calm" in line]
        for line in lines:
            words = line.split()
            if len(words) == 3 and words[2].isdigit():
                at, word, number = int(words[0]), words[1], int(words[2])
                if word == "grant":
                    self.granted[number] = at
                elif word != "queued":
                    self.fate[number] = word, at
        for number, at in self.granted.items():
            c = scenario.clients[number]
            done = at + c[1]
            self.fate[number] = "served" if not c[2] or done <= c[0] + c[2] else "wasted", done

    def goodput(self, capacity, begin, end, warm=0):
        """Served in time, of those that could be, in the window; in percent."""
        window = range(round((begin + warm) * SECOND), round(end * SECOND))
        offered = sum(c[0] in window for c in self.scenario.clients)
        good = sum(word == "served" and at in window for word, at in self.fate.values())
        return 100 * good / min(offered, capacity * (end - begin - warm))

    def served_of(self, numbers):
        numbers = list(numbers)
        return 100 * sum(self.fate[n][0] == "served" for n in numbers) / max(1, len(numbers))

    def overtaken(self, numbers=None):
        latest, count = -1, 0
        for n, _ in sorted(self.granted.items(), key=lambda item: (item[1], item[0])):
            count += n < latest
            latest = max(latest, n)
        return count
