"""What weir must make of a message on its way, and which sound ones it may refuse.

Both sides of a comparison come from here: `request_after()` says what the app must be told when the
strict reader has read this at the client, `request_seen()` what it was told; and so for answers.
"""

import re

from .reader import NOT_IN_ANSWER_TRAILERS, NOT_IN_REQUEST_TRAILERS

# Of one connection only (RFC 9110 section 7.6.1), with all that begins with Proxy-.
# Close is reserved (RFC 9112 section 9.6), for Connection: close would name it.
HOP_BY_HOP = frozenset(b"close connection keep-alive te upgrade proxy".split())
# With all that begins with X-Forwarded-. The client's are not believed; weir writes its own, which
# other tests judge.
FORWARDING = frozenset(b"forwarded x-real-ip daphne-root-path".split())
# Compared by what they say and not as lines, or weir's own to keep or to write.
APART = frozenset(
    b"host content-length transfer-encoding expect x-request-id x-request-start".split()
)
# What Connection cannot take away, though it names it: framing, routing, forwarding, and what an
# app believes about who asks. The rest of the list is weir's own caution.
PROTECTED = (
    FORWARDING
    | APART
    | frozenset(
        b"authorization cookie set-cookie www-authenticate cache-control date etag location origin "
        b"range referer vary x-csrf-token traceparent tracestate user-agent via "
        b"max-forwards".split()
    )
)
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
PLAIN_LENGTH = re.compile(rb"(?:0|[1-9][0-9]*)\Z")


def folded(name):
    return name.lower().replace(b"_", b"-")


def is_forwarding(name):
    return name.lower() in FORWARDING or name.lower().startswith(b"x-forwarded-")


def is_hop_by_hop(name):
    return name.lower() in HOP_BY_HOP or name.lower().startswith(b"proxy-")


def is_named_away(name, options):
    low = name.lower()
    if low not in options or low in PROTECTED or is_forwarding(name):
        return False
    return not low.startswith(b"content-")


def end_to_end(message, left_out):
    """The fields that go on as they are."""
    options = frozenset(message.options())
    return tuple(
        field
        for field in message.fields
        if not is_hop_by_hop(field[0])
        and field[0].lower() not in left_out
        and not (options and is_named_away(field[0], options))
    )


def trailers_after(message):
    """What Connection names does not go on, and from a trailer section neither."""
    options = message.options()
    return tuple(field for field in message.trailers if field[0].lower() not in options)


def via(message):
    """The line that weir adds (RFC 9110 section 7.6.3)."""
    return (b"Via", b"1.%d weir" % min(message.minor, 1))


def spelt_plainly(message):
    """The framing fields as no parser can misread them, and no more than one."""
    lengths, codings = message.all(b"content-length"), message.all(b"transfer-encoding")
    assert len(lengths) + len(codings) <= 1, "two framings"
    assert not lengths or PLAIN_LENGTH.match(lengths[0]), lengths
    assert not codings or codings == [b"chunked"], codings


# ---- requests ------------------------------------------------------------------------------------


def goes_to_the_app(name):
    """CGI and WSGI take _ for -, and some names with _ for variables of their own."""
    return b"_" not in name and not is_forwarding(name)


def asked_fields(request):
    fields = end_to_end(request, APART)
    return tuple(field for field in fields if goes_to_the_app(field[0]))


def counted_down(request):
    """RFC 9110 section 7.6.2: one hop less, in a line that weir writes anew."""
    out = []
    for name, value in asked_fields(request):
        if name.lower() == b"max-forwards" and value.isdigit():
            name, value = b"Max-Forwards", b"%d" % min(max(int(value) - 1, 0), 255)
        out.append((name, value))
    return tuple(out)


def request_after(request):
    """What an app must be told of it: method, path, host, fields, content and trailers."""
    if request.method in (b"OPTIONS", b"TRACE"):
        fields = counted_down(request)
    else:
        fields = asked_fields(request)
    host = request.host if request.host is not None else b"localhost"
    start = (request.method, request.path, host, fields + (via(request),))
    return start + (bytes(request.body), trailers_after(request))


def request_seen(request):
    """The same of a request that weir sent; asserts what weir must not send at all."""
    spelt_plainly(request)
    assert request.minor == 1 and not request.blank_lines and request.target == request.path
    for name, value in request.fields:
        assert b"_" not in name, name
        if is_hop_by_hop(name):
            assert may_be_sent_on(name, value), (name, value)
    assert request.all(b"x-forwarded-for") == [b"127.0.0.1"]
    assert request.all(b"x-forwarded-proto") == [b"http"]
    assert request.all(b"expect") in ([], [b"100-continue"])
    own = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}
    assert {f[0].lower() for f in request.fields if is_forwarding(f[0])} <= own
    assert len(request.all(b"x-request-id")) == 1 and request.all(b"x-request-start")
    compared = [f for f in request.fields if f[0].lower() not in NOT_COMPARED]
    fields = tuple(f for f in compared if not is_forwarding(f[0]))
    start = (request.method, request.path, request.host, fields)
    return start + (bytes(request.body), tuple(request.trailers))


def may_be_sent_on(name, value):
    """A hop-by-hop field of weir's own: an upgrade may be offered, but to no HTTP and to no TLS."""
    if name == b"Upgrade":
        protocols = [p.partition(b"/")[0].strip().lower() for p in value.split(b",")]
        return not {b"h2c", b"h2", b"http", b"tls"}.intersection(protocols)
    return (name, value) in (
        (b"TE", b"trailers"),
        (b"Connection", b"TE"),
        (b"Connection", b"Upgrade"),
        (b"Connection", b"TE, Upgrade"),
    )


NOT_COMPARED = APART | HOP_BY_HOP


def is_last_hop(request):
    """weir answers it itself (RFC 9110 section 7.6.2)."""
    value = (request.all(b"max-forwards") or [b""])[0]
    return request.method in (b"OPTIONS", b"TRACE") and value != b"" and not value.strip(b"0")


# ---- what weir may refuse although it has one reading --------------------------------------------


def has_framing_alias(message):
    names = (folded(name) for name, _ in message.fields if b"_" in name)
    return any(name in (b"content-length", b"transfer-encoding") for name in names)


def has_odd_option(message):
    return any(not TOKEN.match(option) for option in message.options())


def has_long_length(message):
    return any(len(value) > 19 for value in message.all(b"content-length"))


def has_long_chunk_size(message):
    return any(len(size_of(line)) > 15 for line in message.chunk_lines)


def has_long_extensions(message):
    """More than 256 bytes for one chunk, or more than 16 KiB in all above the content."""
    extra = [len(line) - len(size_of(line)) for line in message.chunk_lines]
    return max(extra, default=0) > 256 or sum(extra) > 16_384


def has_spaced_extensions(message):
    return any(b" " in line or b"\t" in line for line in message.chunk_lines)


def has_trailer(message, known, starts):
    names = [folded(name) for name, _ in message.trailers]
    return any(name in known or name.startswith(starts) for name in names)


def has_named_trailer(message):
    """One that Connection names; of more than six options, any."""
    options = [folded(option) for option in message.options()]
    names = [folded(name) for name, _ in message.trailers]
    return any(name in options for name in names) or (names and len(options) > 6)


def has_underscored_trailer(message):
    return any(b"_" in name for name, _ in message.trailers)


def has_long_trailers(message):
    return sum(len(name) + len(value) + 3 for name, value in message.trailers) > 8000


def expects_something_else(message):
    """A list, of which empty elements mean nothing (RFC 9110 sections 10.1.1 and 5.6.1.2)."""
    return any(e.strip(b" \t").lower() not in (b"", b"100-continue") for e in expectations(message))


def expectations(message):
    return b",".join(message.all(b"expect")).split(b",")


def names_a_future_address(message):
    hosts = [message.host or b"", *message.all(b"host")]
    return any(host[:2].lower() == b"[v" for host in hosts)


def has_coding_without_body(message):
    return message.all(b"transfer-encoding") and (message.status < 200 or message.status == 204)


def size_of(chunk_line):
    return re.match(rb"[0-9A-Fa-f]*", chunk_line)[0]


# With what the reader itself refuses, for it may be spelt with _.
CAUTIOUS = frozenset(b"close keep-alive proxy".split())
CAUTIOUS_OF_REQUESTS = (
    CAUTIOUS
    | NOT_IN_REQUEST_TRAILERS
    | frozenset(b"daphne-root-path expect forwarded max-forwards range".split())
)
CAUTIOUS_OF_ANSWERS = CAUTIOUS | NOT_IN_ANSWER_TRAILERS
STARTS_OF_REQUESTS = (b"if-", b"proxy-", b"x-forwarded-", b"x-real-")

# (why, which messages, with which status)
IN_BOTH = (
    ("a head of more than 32 KiB", lambda m: m.size > 32_768, {431, 414}),
    ("a framing field's name with _, which CGI reads as one", has_framing_alias, {400}),
    ("Connection with what is no token", has_odd_option, {400}),
    ("more than 32 Connection options", lambda m: len(m.options()) > 32, {400}),
    ("a length of more than 19 digits", has_long_length, {400}),
    ("a later HTTP/1 than 1.1, which does not exist", lambda m: m.minor > 1, {505}),
    ("a chunk size of more than 15 digits", has_long_chunk_size, {400}),
    ("more extensions than anybody needs (CVE-2023-39326)", has_long_extensions, {400}),
    ("white space in or before an extension, which few read", has_spaced_extensions, {400}),
    ("a trailer that Connection names, which cannot be taken out", has_named_trailer, {400}),
    ("more than 8 KiB of trailers", has_long_trailers, {400}),
)
OF_REQUESTS = IN_BOTH + (
    (
        "trailers that change how a request is handled",
        lambda m: has_trailer(m, CAUTIOUS_OF_REQUESTS, STARTS_OF_REQUESTS),
        {400},
    ),
    ("a trailer with _, which cannot be taken out", has_underscored_trailer, {400}),
    ("more than 100 fields", lambda m: len(m.fields) > 100, {431}),
    ("more than one blank line before it", lambda m: m.blank_lines > 1, {400}),
    ("an expectation that nobody knows", expects_something_else, {417}),
    ("an address of a kind that does not exist yet", names_a_future_address, {400}),
)
OF_ANSWERS = IN_BOTH + (
    (
        "trailers of the connection or that authenticate",
        lambda m: has_trailer(m, CAUTIOUS_OF_ANSWERS, b"proxy-"),
        {502},
    ),
    ("more than 256 fields", lambda m: len(m.fields) > 256, {502}),
    ("Transfer-Encoding where no body can be (RFC 9112 6.1)", has_coding_without_body, {502}),
)


def may_refuse(message, status=None):
    """Which of the classes it is in, that are refused with this status."""
    return [
        why
        for why, applies, statuses in OF_REQUESTS
        if (status is None or status in statuses) and applies(message)
    ]


def may_refuse_answer(answer):
    messages = (answer, *answer.interim)
    return [why for why, applies, _ in OF_ANSWERS if any(applies(m) for m in messages)]


# ---- answers -------------------------------------------------------------------------------------

ANSWER_APART = frozenset(b"content-length transfer-encoding weir-reason x-request-id date".split())


def answer_fields(answer, http10=False):
    """Where there are no trailers, for HTTP/1.0 or until the app's close, none are promised."""
    unframed = http10 or answer.framing == "close"
    left_out = ANSWER_APART | {b"trailer"} if unframed else ANSWER_APART
    return end_to_end(answer, left_out)


def answer_after(answer, http10):
    """What a client must be told of it: status, reason, fields, content, trailers, interim ones."""
    interim = [] if http10 else answer.interim
    return (
        answer.status,
        answer.reason,
        answer_fields(answer, http10) + (via(answer),),
        bytes(answer.body),
        () if http10 else trailers_after(answer),
        tuple((m.status, m.reason, answer_fields(m) + (via(m),)) for m in interim),
    )


def answer_seen(answer, http10, dates=()):
    """The same of an answer that weir sent; asserts what it must not send at all.

    `dates` of the app are untouched; else there may be one of weir's.
    """
    spelt_plainly(answer)
    assert answer.minor == 1
    assert not (http10 and answer.all(b"transfer-encoding")), "a coding to an HTTP/1.0 client"
    assert http10 or answer.framing != "close", "no framing to an HTTP/1.1 client"
    assert answer.all(b"date") == list(dates) or len(answer.all(b"date")) == 1 and not dates, dates
    for message in (answer, *answer.interim):
        if message.status < 200 or message.status == 204:
            framing = message.all(b"content-length") + message.all(b"transfer-encoding")
            assert not framing, "framing where no content can be"
        upgrade = {b"upgrade"} if message.status == 426 else set()  # RFC 9110 section 15.5.22
        assert set(message.options()) <= {b"close", b"keep-alive"} | upgrade, message.options()
        for name, _ in message.fields:
            assert name.lower() in {b"connection"} | upgrade or not is_hop_by_hop(name), name

    def fields(message):
        skipped = ANSWER_APART | HOP_BY_HOP
        return tuple(f for f in message.fields if f[0].lower() not in skipped)

    return (
        answer.status,
        answer.reason,
        fields(answer),
        bytes(answer.body),
        tuple(answer.trailers),
        tuple((m.status, m.reason, fields(m)) for m in answer.interim),
    )
