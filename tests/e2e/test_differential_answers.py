"""Differential, the other way: a client is told what a strict reader reads in the app's answers.

As in test_differential.py, for answers. One that has no reading becomes a 502; when its head had
gone on already, the client sees that it broke off.
"""

import asyncio
import socket

import pytest

from support import passage, traffic
from support.differential import (
    ANSWERS, PATIENT, SECONDS, Findings, Peer, connect, many, rng_of, run_rounds, settle,
)  # fmt: skip
from support.reader import Requests, Responses


class Exchange:
    """One request, what the app says to it, and what the reader reads in that."""

    def __init__(self, rng, token):
        self.token = token
        self.method = rng.choice((b"GET", b"GET", b"GET", b"HEAD", b"POST"))
        self.raw = traffic.one_answer(rng, token, self.method)
        self.pieces = traffic.cuts(rng, self.raw)
        self._read(rng)
        if self.beyond:
            self.pieces = [self.raw]  # what comes later could be the beginning of the next answer

    def _read(self, rng):
        stream = Responses([self.method]).feed(self.raw)
        until_close = stream.partial is not None and stream.partial.framing == "close"
        stream.end()
        self.answer = stream.done[0] if stream.done else None
        self.broken_off = None if self.answer else stream.partial
        self.problem = stream.problem
        self.beyond = bool(self.answer and stream.rest)  # bytes after the answer
        # The app keeps its connection where it may, or lets weir see by itself what is wrong.
        if self.answer:
            self.keeps = not until_close and self.answer.persists()
        else:
            self.keeps = bool(self.problem) and rng.random() < 0.5

    def request(self, old):
        line = b"%s /%s HTTP/1.%d\r\nHost: app.test\r\n" % (self.method, self.token, not old)
        kept = b"Connection: keep-alive\r\n" if old else b""
        body = b"Content-Length: 5\r\n\r\nhello" if self.method == b"POST" else b"\r\n"
        return line + kept + body


class Talk:
    """One client connection with some exchanges; some clients speak HTTP/1.0."""

    def __init__(self, n):
        rng = rng_of("answers", n)
        self.old = rng.random() < 0.1
        tokens = [b"%d.%d" % (n, i) for i in range(rng.choice((1, 2, 3, 4)))]
        self.exchanges = [Exchange(rng, token) for token in tokens]
        self.raw = b"".join(e.request(self.old) for e in self.exchanges)
        self.client = None

    def after(self, answer):
        return passage.answer_after(answer, self.old)


class App(Peer):
    """Says what is planned, whatever it is."""

    def __init__(self, exchanges, findings):
        super().__init__(Requests())
        self.exchanges, self.findings = exchanges, findings
        self.spoilt, self.saying = None, None

    def on_read(self):
        for request in self.stream.done:
            exchange = self.exchanges[request.path[1:]]
            if self.spoilt:
                self.findings.add("a spoilt connection was used again", self.spoilt.raw)
            elif not exchange.answer or exchange.beyond:
                self.spoilt = exchange
            self.saying = asyncio.ensure_future(self.say(exchange))
        self.stream.done.clear()

    async def say(self, exchange):
        await self.write(exchange.pieces)
        if not exchange.keeps:
            self.transport.close()


class Round:
    def __init__(self, weir, findings, numbers):
        self.weir, self.findings = weir, findings
        self.talks = [Talk(n) for n in numbers]
        self.exchanges = {e.token: e for talk in self.talks for e in talk.exchanges}
        self.apps = []

    def accept(self):
        self.apps.append(App(self.exchanges, self.findings))
        return self.apps[-1]

    async def one(self, n):
        talk = self.talks[n]
        methods = [e.method for e in talk.exchanges]
        talk.client = await connect(self.weir, methods, enough=len(methods))
        if not await talk.client.run([talk.raw], half_close=False):
            done = len(talk.client.stream.done)
            self.findings.add(f"stuck after {done} answers", *(e.raw for e in talk.exchanges))

    async def run(self):
        await many(len(self.talks), self.one)
        await settle(self.weir, self.findings)
        for talk in self.talks:
            wrong = self.judge(talk)
            if wrong:
                self.findings.add(wrong, *(e.raw for e in talk.exchanges), talk.client.raw)
        for app in self.apps:
            app.transport.close()

    # ---- judging -----------------------------------------------------------------------------

    def judge(self, talk):
        stream = talk.client.stream
        if talk.client.lost is None:
            stream.end()
        if stream.problem:
            return f"weir passed on what is ambiguous: {stream.problem}"
        answers = iter(stream.done)
        for exchange in talk.exchanges:
            self.findings.tally["judged"] += 1
            self.findings.tally["invalid"] += exchange.answer is None
            answer = next(answers, None)
            try:
                wrong = self.judge_exchange(talk, exchange, answer)
            except AssertionError as error:
                wrong = f"weir sent what it must not: {error!r}"
            if wrong:
                return f"{exchange.token!r}: {exchange.problem or 'one reading'}: {wrong}"
            if answer is None or not answer.persists():
                break
        return None

    def judge_exchange(self, talk, exchange, answer):
        if answer is None:
            return self.judge_end(talk, exchange)
        return self.judge_answer(talk, exchange, answer)

    @staticmethod
    def seen(talk, exchange, answer):
        said = exchange.broken_off or exchange.answer
        dates = said.all(b"date") if said and not answer.all(b"weir-reason") else ()
        return passage.answer_seen(answer, talk.old, dates)

    def judge_answer(self, talk, exchange, answer):
        """It is the app's answer, or a 502 with a reason."""
        wanted = talk.after(exchange.answer) if exchange.answer else None
        seen = self.seen(talk, exchange, answer)
        if seen == wanted:
            self.findings.tally["passed"] += 1
            return None
        if answer.status != 502 or not answer.all(b"weir-reason"):
            return f"the client was told {seen}, and the app said {wanted}"
        self.findings.tally["502"] += 1
        return self.judge_refusal(exchange)

    def judge_refusal(self, exchange):
        if exchange.answer is None:
            return None
        classes = passage.may_refuse_answer(exchange.answer)
        return None if self.findings.may_refuse(classes) else "weir refused it"

    def judge_end(self, talk, exchange):
        """The client sees that it broke off; what it has is the beginning of what the app said."""
        said, partial = exchange.broken_off or exchange.answer, talk.client.stream.partial
        self.findings.tally["broke off"] += 1
        if said is None or (partial is None and talk.client.lost is None):
            return "neither an answer nor a 502"
        if partial is not None:
            seen, after = self.seen(talk, exchange, partial), talk.after(said)
            if seen[:3] != after[:3] or not after[3].startswith(seen[3]):
                return f"the client was told {seen}, and the app said {after}"
        return self.judge_refusal(exchange)


@pytest.mark.seconds(SECONDS)
def test_a_client_is_told_what_the_strict_reader_reads_or_sees_that_it_is_not(world, capsys):
    findings = Findings()
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        weir = world.weir("127.0.0.1:%d" % listener.getsockname()[1], **PATIENT)
        run_rounds(listener, findings, ANSWERS, lambda n: Round(weir, findings, n))
    findings.report(capsys)
