"""The late lane in Python: plain, slow, with one class and without fair shares. It decides on the same
integers (microseconds) and doubles, in the same order, as limiter/ does, so that both print the same
lines for a scenario (replay.c says what is in one).

The estimate of clients' patience is the one of Kaplan and Meier, "Nonparametric Estimation from
Incomplete Observations", 1958; the mean of the holds is the one of RFC 6298.
"""

import heapq
from bisect import bisect_right
from collections import OrderedDict

NEVER = (1 << 63) - 1
BINS = 137
BEGIN = [0] + [125 * (8 + i % 8) << i // 8 for i in range(BINS)]  # of each bin, and the end of the last


def bin_of(age):
    return min(bisect_right(BEGIN, max(age, 0)) - 1, BINS - 1)


class Patience:
    def __init__(self):
        self.leave, self.stay, self.hold = [0.0] * BINS, [0.0] * BINS, [0.0] * BINS
        self.left = self.ended = self.holds = 0.0

    def learn(self, age, left):
        (self.leave if left else self.stay)[bin_of(age)] += 1
        self.left += left
        self.ended += 1
        if self.ended >= 1024:
            self.leave, self.stay = [n / 2 for n in self.leave], [n / 2 for n in self.stay]
            self.left /= 2
            self.ended /= 2

    def learn_hold(self, hold):
        self.hold[bin_of(hold)] += 1
        self.holds += 1
        if self.holds >= 256:
            self.hold = [n / 2 for n in self.hold]
            self.holds /= 2

    def survival(self):
        at_risk, there, curve = self.ended, 1.0, []
        for leave, stay in zip(self.leave, self.stay):
            if at_risk >= 8:
                there *= max(1 - leave / at_risk, 0.0)
            curve.append(there)
            at_risk -= leave + stay
        return curve

    def allowance(self):
        if self.left < 3 or self.holds < 1:
            return NEVER
        there = self.survival()
        holds = [(BEGIN[i + 1], n / self.holds) for i, n in enumerate(self.hold) if n > 0]

        def success(age):
            total = 0.0
            for end, share in holds:  # not sum(), which compensates rounding
                total += share * there[bin_of(age + end)]
            return total

        fresh = success(0)
        if fresh <= 0:
            return 0
        for i in range(1, BINS):
            if there[i - 1] <= 0 or success(BEGIN[i]) / there[i - 1] < 0.98 * fresh:
                return BEGIN[i - 1]
        return NEVER

    def quantile(self, q):
        if self.left < 3:
            return NEVER
        for i, there in enumerate(self.survival()[:-1]):
            if there <= 1 - q:
                return BEGIN[i + 1]
        return NEVER


class Client:
    __slots__ = ("number", "at", "service", "deadline", "declared", "state", "granted", "left_at")

    def __init__(self, number, at, service, deadline, declared):
        self.number, self.at, self.service, self.deadline, self.declared = number, at, service, deadline, declared
        self.state, self.granted, self.left_at = "new", 0, 0


class Limiter:
    """What is decided is appended to `self.said` as (word, client)."""

    def __init__(self, slots, length, fifo):
        self.slots, self.length, self.fifo = slots, length, fifo
        self.held, self.paused, self.mean8, self.known = 0, False, 0, False
        self.ontime, self.late = OrderedDict(), OrderedDict()
        self.patience = Patience()
        self.over, self.cause, self.mark, self.marked, self.granted = False, None, None, 0, 0
        self.T, self.due, self.waits, self.wasted = NEVER, 0, 0.0, 0.0
        self.sums = dict(evicted=0, late=0, overtaken=0, wasted=0, overload_us=0)
        self.latest, self.now, self.said = 0, 0, []

    # what is known

    def advance(self, now):
        self.sums["overload_us"] += (now - self.now) * self.over
        self.now = now

    def depth(self):
        return len(self.ontime) + len(self.late)

    def work(self, waiters):
        return self.mean8 * waiters // 8 // max(self.slots, 1)

    def hold(self):
        return self.mean8 // 8

    def allowance(self):
        return self.T // 2 if self.T < NEVER else max(self.hold() // 4, 5000)

    def told_allowance(self):
        return self.allowance() if self.known or self.T < NEVER else NEVER

    def refresh(self):
        if self.now >= self.due:
            self.due = self.now + 100_000
            self.T = self.patience.allowance()

    def learn_end(self, c, until, left):
        if c.declared:
            self.patience.learn(c.declared - c.at, True)
        else:
            self.patience.learn(until - c.at, left)

    # overload

    def begins(self, cause):
        self.over, self.cause = True, cause

    def ends(self):
        if self.depth() == 0:
            self.over, self.mark = False, None

    def judged(self):
        return not (self.fifo or self.over or self.paused) and self.known and self.depth() > 0

    def judge_arrival(self, c, full):
        if not self.judged():
            return
        d = self.work(self.depth())
        if self.mark is not None and self.depth() < self.marked // 2:
            self.mark = None
        age = self.now - next(iter(self.ontime.values())).at if self.ontime else -1
        hopeless = full or d >= c.deadline - self.now
        if not hopeless and not (age > self.T and d >= age):
            return
        if self.mark is None:
            self.mark, self.marked, self.granted = self.now, self.depth(), 0
        elif self.granted >= self.marked and self.now - self.mark >= self.work(self.marked):
            self.begins("hopeless" if hopeless else "crowded")

    def judge_release(self, c, gone):
        if self.fifo or self.paused or c.granted == c.at:
            return
        self.waits += 1
        if gone:
            self.wasted += c.granted - c.at > self.T
            if self.wasted >= 3 and 32 * self.wasted >= self.waits and self.depth() > 0 and not self.over:
                self.begins("waste")
        if self.waits >= 64:
            self.waits /= 2
            self.wasted /= 2

    # the queue

    def is_late(self, c):
        if self.fifo:
            return False
        return self.over and self.now - c.at > self.allowance() or c.declared and self.now + self.hold() > c.declared

    def sort(self):
        while self.ontime:
            c = next(iter(self.ontime.values()))
            if c.deadline <= self.now or not self.is_late(c):
                return
            self.late[c.number] = self.ontime.pop(c.number)

    def remove(self, c):
        (self.ontime if c.number in self.ontime else self.late).pop(c.number)

    def grant(self, c):
        c.state, c.granted = "holding", self.now
        self.held += 1
        self.granted += 1  # since the mark
        self.sums["overtaken"] += c.number < self.latest
        self.latest = max(self.latest, c.number)
        self.said.append(("grant", c))

    def ended(self, c, word):
        c.state = "over"
        self.said.append((word, c))

    def serve(self):
        while self.depth():
            self.sort()
            c = next(iter(self.ontime.values())) if self.ontime else next(reversed(self.late.values()))
            if c.deadline <= self.now:
                self.remove(c)
                self.ended(c, "expired")
                self.learn_end(c, self.now, False)
            elif self.free():
                self.remove(c)
                self.grant(c)
            else:
                break
        self.ends()

    def free(self):
        return not self.paused and self.held < self.slots

    def make_room(self):
        if not self.over:
            return False
        self.sort()
        if not self.late:
            return False
        c = next(iter(self.late.values()))
        self.remove(c)
        self.learn_end(c, self.now, False)
        self.sums["evicted"] += 1
        self.ended(c, "evicted")
        return True

    # what happens

    def acquire(self, now, c):
        self.advance(now)
        at_once = self.free() and self.depth() == 0
        if not at_once and self.judged():
            self.refresh()
        if at_once:
            return self.grant(c)
        if c.deadline <= now:
            return self.ended(c, "expired")
        full = self.depth() >= self.length
        if full:
            self.serve()
            full = self.depth() >= self.length
        self.judge_arrival(c, full)
        if c.declared and not self.paused and self.known and self.work(len(self.ontime)) >= c.declared - now:
            self.sums["late"] += 1
            self.learn_end(c, now, False)  # else only those with much time would teach
            return self.ended(c, "late")
        if full and not self.make_room():
            return self.ended(c, "full")
        c.state = "waiting"
        self.ontime[c.number] = c
        self.said.append(("queued", c))

    def release(self, now, c):
        self.advance(now)
        gone = bool(c.left_at) or bool(c.declared) and now > c.declared
        hold = now - c.granted
        self.mean8 = self.mean8 - self.mean8 // 8 + hold if self.known else hold * 8
        self.known = True
        self.patience.learn_hold(hold)
        self.learn_end(c, c.left_at or now, bool(c.left_at))
        self.sums["wasted"] += gone
        if self.over or gone and c.granted > c.at:
            self.refresh()
        self.judge_release(c, gone)
        c.state = "over"
        self.held -= 1
        self.serve()

    def cancel(self, now, c, left):
        self.advance(now)
        self.remove(c)
        self.learn_end(c, now, left)
        self.ended(c, "left" if left else "timeout")
        self.ends()

    def pause(self, now):
        self.advance(now)
        self.paused = True

    def no_evidence(self):
        self.mark, self.waits, self.wasted = None, 0.0, 0.0

    def resume(self, now):
        self.advance(now)
        if self.paused:
            self.no_evidence()
        self.paused = False
        self.serve()

    def set_slots(self, now, slots):
        self.advance(now)
        self.slots = slots
        self.serve()

    def set_order(self, now, fifo):
        self.advance(now)
        self.fifo = fifo
        if fifo:
            both = list(self.ontime.values()) + list(self.late.values())
            self.ontime = OrderedDict((c.number, c) for c in sorted(both, key=lambda c: c.number))
            self.late.clear()
            self.no_evidence()
            self.over = False
        self.serve()


class World:
    """The clients and the app around the limiter; replay.c in Python."""

    def __init__(self, text):
        lines = [[word if i == 0 and word.isalpha() else int(word) for i, word in enumerate(line.split())]
                 for line in text.splitlines()]
        slots, length, self.timeout, order = lines[0]
        self.limiter = Limiter(slots, length, order == 1)
        self.lines, self.heap, self.planned, self.out, self.count = lines[1:], [], 0, [], 0
        self.was_over = False

    def plan(self, at, kind, c):
        heapq.heappush(self.heap, (at, self.planned, kind, c))
        self.planned += 1

    def say(self, now):
        for word, c in self.limiter.said:
            self.out.append(f"{now} {word} {c.number}")
            if word == "grant":
                self.plan(now + c.service, "done", c)
            elif word == "queued":
                self.plan(c.deadline, "timeout", c)
        self.limiter.said.clear()
        if self.limiter.cause:
            self.out.append(f"{now} overload {self.limiter.cause}, allowance {self.limiter.told_allowance()}")
            self.was_over = True
            self.limiter.cause = None
        if self.was_over and not self.limiter.over:
            self.out.append(f"{now} calm")
        self.was_over = self.limiter.over

    def happens(self):
        now, _, kind, c = heapq.heappop(self.heap)
        if kind == "done":
            self.limiter.release(now, c)
        elif c.state == "waiting":
            self.limiter.cancel(now, c, kind == "leaves")
        elif c.state == "holding" and kind == "leaves":
            c.left_at = now
        self.say(now)
        return now

    def arrives(self, now, service, patience, closes, declared):
        wait = min(declared or self.timeout, self.timeout)
        c = Client(self.count, now, service, now + wait, declared and now + declared)
        self.count += 1
        if closes and patience:
            self.plan(now + patience, "leaves", c)
        self.limiter.acquire(now, c)

    def run(self):
        end = 0
        doing = dict(a=self.arrives, o=lambda now, order: self.limiter.set_order(now, order == 1),
                     s=self.limiter.set_slots, p=self.limiter.pause, r=self.limiter.resume)
        for what, now, *numbers in self.lines:
            while self.heap and self.heap[0][0] <= now:
                self.happens()
            doing[what](now, *numbers)
            self.say(now)
        while self.heap:
            end = self.happens()
        self.limiter.advance(max(end, self.limiter.now))
        p, sums = self.limiter.patience, " ".join(f"{name} {n}" for name, n in self.limiter.sums.items())
        self.out.append(f"{sums} depth {self.limiter.depth()}")
        known = "left %.20g ended %.20g holds %.20g" % (p.left, p.ended, p.holds)
        self.out.append(f"{known} median {p.quantile(0.5)}")
        return self.out
