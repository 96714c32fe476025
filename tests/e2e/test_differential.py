"""Differential: the app is told what a strict reader reads, and nothing that it cannot read.

Generated connections (support/traffic.py) with half of their messages spoilt go through weir. The
judge is support/reader.py, which shares no line with weir. It reads what the client sends, and it
is the origin's parser, so that each byte which reaches the origin must have one reading. What weir
refuses although it could be read has to be in a class that support/passage.py lists with a reason.
"""

import asyncio
import socket

import pytest

from support import passage, traffic
from support.differential import (
    PATIENCE, PATIENT, REQUESTS, SECONDS, Findings, Peer, connect, many, rng_of, run_rounds, settle,
)  # fmt: skip
from support.reader import Requests

try:
    import h11
except ImportError:
    h11 = None

SAMPLE = 40  # connections of a round that h11 reads as well


class Plan:
    """One client connection: its bytes, and what the reader reads in them."""

    def __init__(self, n):
        rng = rng_of("requests", n)
        self.raw = traffic.pipeline(rng, b"%d" % n)
        self.pieces = traffic.cuts(rng, self.raw)
        self.read = Requests().feed(self.raw)
        self.keys = [passage.request_after(m) for m in self.read.done]
        # What is incomplete, or nothing, ends when the client says so; the rest by itself as well.
        ends = (self.read.done and self.read.is_clean()) or self.read.problem
        self.half_close = not ends or rng.random() < 0.5
        self.arrived = {}  # which of the messages -> how the origin numbered it
        self.client = None

    def methods(self):
        """Of the last, whose head may be none, what its client takes it for."""
        taken_for = b"HEAD" if self.read.rest.startswith(b"HEAD ") else b"GET"
        last = self.read.partial.method if self.read.partial else taken_for
        return [m.method for m in self.read.done] + [last]

    def enough(self):
        """How many answers make an end; 0: weir closes."""
        return len(self.keys) if self.read.is_clean() and not self.read.closed else 0


class Origin(Peer):
    """Answers at once to what the strict reader reads."""

    def __init__(self, arrive):
        super().__init__(Requests())
        self.arrive = arrive

    def on_read(self):
        for request in self.stream.done:
            number = b"%d" % self.arrive(request, self.raw)
            head = b"HTTP/1.1 200 OK\r\nX-Number: %s\r\nContent-Length: %d\r\n\r\n"
            body = b"" if request.method == b"HEAD" else number
            self.transport.write(head % (number, len(number)) + body)
        self.stream.done.clear()
        if self.stream.problem:
            self.transport.close()

    def is_between_messages(self):
        return self.stream.is_clean() and not self.stream.rest


class Round:
    """Some connections at once, judged together when all have ended."""

    def __init__(self, weir, findings, numbers):
        self.weir, self.findings = weir, findings
        self.plans = [Plan(n) for n in numbers]
        self.origins, self.count = [], 0
        self.expected = {}  # what may arrive -> from which plans, as which of their messages
        for plan in self.plans:
            for n, key in enumerate(plan.keys):
                self.expected.setdefault(key, []).append((plan, n))

    def accept(self):
        self.origins.append(Origin(self.arrive))
        return self.origins[-1]

    def arrive(self, request, raw):
        """Finds out who has sent it, and gives it a number."""
        self.count += 1
        try:
            key = passage.request_seen(request)
        except AssertionError as error:
            self.findings.add(f"weir sent what it must not: {error!r}", raw)
            return self.count
        senders = self.expected.get(key)
        if senders:
            plan, n = senders.pop(0)
            plan.arrived[n] = self.count
        else:
            self.findings.add(f"nobody has sent {key}")
        return self.count

    async def one(self, n):
        plan = self.plans[n]
        plan.client = await connect(self.weir, plan.methods(), plan.enough())
        if not await plan.client.run(plan.pieces, plan.half_close):
            self.findings.add(f"stuck after {len(plan.arrived)} of {len(plan.keys)}", plan.raw)

    async def run(self):
        await many(len(self.plans), self.one)
        await settle(self.weir, self.findings)
        await self.see_broken_ones_end()
        may_break_off = self.may_break_off()
        for origin in self.origins:
            self.judge_origin(origin, may_break_off)
        for plan in self.plans:
            self.judge(plan)
        self.ask_h11()
        for origin in self.origins:
            origin.transport.close()

    async def see_broken_ones_end(self):
        broken = [origin.ended for origin in self.origins if not origin.is_between_messages()]
        if broken and (await asyncio.wait(broken, timeout=PATIENCE))[1]:
            self.findings.add("weir keeps a connection on which it broke off")

    # ---- what the origin got ---------------------------------------------------------------------

    def may_break_off(self):
        """Start and fields -> contents, of the messages that may end within their body."""
        out = {}
        for plan in self.plans:
            refusable = [m for m in plan.read.done if passage.may_refuse(m)]
            for message in refusable + ([plan.read.partial] if plan.read.partial else []):
                after = passage.request_after(message)
                out.setdefault(after[:4], []).append(after[4])
        return out

    def judge_origin(self, origin, may_break_off):
        """Whole messages, and at the end perhaps the beginning of one that broke off on its way."""
        stream = origin.stream
        if stream.problem:
            self.findings.add(f"weir forwarded what is ambiguous: {stream.problem}", origin.raw)
        elif stream.partial:
            seen = passage.request_seen(stream.partial)
            if any(content.startswith(seen[4]) for content in may_break_off.get(seen[:4], ())):
                self.findings.tally["broke off"] += 1
            else:
                self.findings.add(f"weir forwarded a part of what nobody broke off: {seen}")
        elif stream.rest:
            self.findings.add("weir forwarded half a head", origin.raw)

    def ask_h11(self):
        """A second oracle reads some of it the same way."""
        origins = [o for o in self.origins if o.raw and o.is_between_messages()]
        for origin in origins[:SAMPLE] if h11 else []:
            ours = [
                (m.method, m.target, [(k.lower(), v) for k, v in m.fields], bytes(m.body))
                for m in Requests().feed(origin.raw).done
            ]
            self.findings.tally["read by h11 too"] += len(ours)
            if read_by_h11(origin.raw) != ours:
                self.findings.add("h11 reads it in another way", origin.raw)

    # ---- what the client got ---------------------------------------------------------------------

    def judge(self, plan):
        read, tally, stream = plan.read, self.findings.tally, plan.client.stream
        tally["judged"] += len(read.done) + (not read.is_clean())
        tally["invalid"] += bool(read.problem)
        tally["passed"] += len(plan.arrived)
        if stream.problem or stream.partial or (stream.rest and not stream.closed):
            wrong = f"the client cannot read the answers: {stream.problem}"
        elif list(plan.arrived) != sorted(plan.arrived):
            wrong = f"out of order: {plan.arrived}"
        else:
            wrong = self.walk(plan, iter(stream.done))
        if wrong:
            self.findings.add(wrong, plan.raw, plan.client.raw)

    def walk(self, plan, answers):
        """Each message in turn: it arrived and was answered, or weir had a reason to say no.

        Where our own process stood still for longer than weir lingers on a connection that it has
        refused, the next write breaks the connection, and the answers are lost with it.
        """
        lost = plan.client.lost is not None
        for n, message in enumerate(plan.read.done):
            answer, number = next(answers, None), plan.arrived.get(n)
            if answer is None:
                return None if lost else f"no answer to message {n}"
            if number is None:
                if not self.may_say(answer, message):
                    return f"message {n} has one reading, and weir said {says(answer)}"
            elif answer.all(b"x-number") != [b"%d" % number]:
                return f"{says(answer)} as the answer to {number}"
            elif answer.persists() != message.persists():
                return f"weir closes, or does not, after message {n}"
            if not answer.persists():
                return f"more arrived after {n}" if max(plan.arrived, default=0) > n else None
        answer = next(answers, None)
        return None if lost and answer is None else self.end(plan.read, answer)

    def may_say(self, answer, message):
        """Whether weir had a reason to answer this itself."""
        reason = answer.all(b"weir-reason")
        if passage.is_last_hop(message) and reason == [b"max_forwards"]:
            return True
        classes = passage.may_refuse(message, answer.status)
        return bool(reason) and self.findings.may_refuse(classes)

    @staticmethod
    def end(read, answer):
        """After the last sound message: a refusal of what is not."""
        if answer is None:
            return f"no refusal of what is invalid: {read.problem}" if read.problem else None
        if read.partial and passage.is_last_hop(read.partial):
            return None  # answered at its head
        if not answer.all(b"weir-reason") or not 400 <= answer.status <= 505:
            return f"weir said {says(answer)} to {read.problem or 'half a message'}"
        return None


def says(answer):
    return f"{answer.status} {bytes(answer.body)!r}"


def read_by_h11(raw):
    """(method, target, fields, content) of each request, as h11 reads them."""
    out, connection = [], h11.Connection(h11.SERVER)
    connection.receive_data(bytes(raw))
    while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        if isinstance(event, h11.Request):
            fields = [(bytes(k), bytes(v)) for k, v in event.headers]
            out.append((bytes(event.method), bytes(event.target), fields, b""))
        elif isinstance(event, h11.Data):
            out[-1] = (*out[-1][:3], out[-1][3] + bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
    return out


@pytest.mark.seconds(SECONDS)
def test_an_app_is_told_what_the_strict_reader_reads_and_nothing_else(world, capsys):
    findings = Findings()
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        weir = world.weir("127.0.0.1:%d" % listener.getsockname()[1], **PATIENT)
        run_rounds(listener, findings, REQUESTS, lambda n: Round(weir, findings, n))
    findings.report(capsys)
