"""What goes over one connection: messages of the grammar, half of them spoilt."""

from . import mutations
from .grammar import INTERIM, answer, request


def pipeline(rng, name):
    """One to four requests for one connection; after a spoilt one comes at most one more."""
    out, count = [], rng.choice((1, 2, 3, 4))
    for n in range(count):
        token = b"%s.%d" % (name, n)
        draft = request(rng, token)
        bad = rng.random()
        if bad < 0.35:
            mutations.spoil(rng, draft, token, mutations.TO_DRAFTS)
        raw = draft.raw()
        if bad > 0.85 or bad < 0.05:
            raw = mutations.spoil_bytes(rng, raw)
            if rng.random() < 0.1:
                raw = mutations.splice(rng, raw, request(rng, token + b"s").raw())
        out.append(raw)
        if (bad < 0.35 or bad > 0.85) and n < count - 2:
            out.append(request(rng, b"%s.%d" % (name, n + 1)).raw())
            break
    return b"".join(out)


def one_answer(rng, token, method):
    """The bytes that an app says to one request."""
    draft = answer(rng, token, method)
    bad = rng.random()
    if bad < 0.35:
        mutations.spoil(rng, draft, token, mutations.TO_ANSWERS)
    elif bad < 0.45:
        draft.start[0] = rng.choice(INTERIM) + draft.start[0]
    raw = draft.raw()
    return mutations.spoil_bytes(rng, raw) if bad > 0.85 or bad < 0.05 else raw


def cuts(rng, raw):
    """How it is written: mostly whole, sometimes in pieces, seldom byte by byte."""
    how = rng.random()
    if how < 0.6 or len(raw) < 2:
        return [raw]
    if how < 0.95 or len(raw) > 500:
        at = sorted(rng.randrange(1, len(raw)) for _ in range(rng.choice((1, 1, 2, 5))))
        return [raw[a:b] for a, b in zip([0, *at], [*at, len(raw)]) if b > a]
    return [raw[i : i + 1] for i in range(len(raw))]
