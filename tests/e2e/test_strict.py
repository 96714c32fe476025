"""Strictness that is no matter of one message's bytes: options, echoes, hops, and what has no end.

The rows are in test_strict_refused.py, test_strict_passed.py and test_strict_responses.py.
"""

import time
import uuid

from support import origin as app


def test_trusted_forwarding_fields_are_appended_to(world):
    origin, weir = world.pair(headers_trusted="127.0.0.0/8")
    client = world.connect(weir)
    answer = client.ask("GET", "/", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https")
    assert answer.status == 200
    call = origin.calls[0]
    assert call.get("X-Forwarded-For") == "6.6.6.6, 127.0.0.1"
    assert call.get("X-Forwarded-Proto") == "https"
    assert call.get("X-Forwarded-Host") == "app.test"


def test_a_sound_request_id_is_kept_and_echoed_and_an_unsound_one_replaced(world):
    origin, weir = world.pair()
    client = world.connect(weir)
    answer = client.ask("GET", "/", "X-Request-Id: mine-1")
    assert answer.get("X-Request-Id") == origin.calls[0].get("X-Request-Id") == "mine-1"
    answer = client.ask("GET", "/", "X-Request-Id: " + "x" * 300)
    assert answer.get("X-Request-Id") == origin.calls[1].get("X-Request-Id")
    assert len(answer.get("X-Request-Id")) == 36


def test_a_request_id_of_weirs_own_is_a_uuid_of_the_present(world):
    _, weir = world.pair()
    client = world.connect(weir)
    began, ids = time.time(), [uuid.UUID(client.ask("GET", "/").get("X-Request-Id")) for _ in range(50)]
    assert {(i.version, i.variant) for i in ids} == {(7, uuid.RFC_4122)}
    assert len(set(ids)) == 50
    for i in ids:
        assert began - 1 <= (i.int >> 80) / 1000 <= time.time() + 1


def test_max_forwards_is_counted_down_and_ends_at_weir(world):
    origin, weir = world.pair()
    client = world.connect(weir)
    assert client.ask("OPTIONS", "/", "Max-Forwards: 5").status == 200
    assert origin.calls[0].get("Max-Forwards") == "4"
    assert client.ask("OPTIONS", "/", "Max-Forwards: 0").status == 200
    assert len(origin.calls) == 1
    assert client.ask("GET", "/", "Max-Forwards: 5").status == 200
    assert origin.calls[1].get("Max-Forwards") == "5"


def test_interim_answers_without_end_are_bounded(world):
    origin, weir = world.pair(upstream_idle_timeout="1s", upstream_first_byte_timeout="1s")

    async def endless(call):
        while call.connection.sock.fileno() >= 0 and not call.connection.peer_gone():
            await call.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await app.asyncio.sleep(0.001)
        call.finish()

    origin.on("/", endless)
    client = world.connect(weir).get("/")
    hints = 0
    while (answer := client.head()).status == 103:
        hints += 1
        assert hints < 5000, "without end"
    assert (answer.status, answer.get("Weir-Reason")) == (502, "upstream_broken")
