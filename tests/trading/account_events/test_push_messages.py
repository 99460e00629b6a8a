"""Both encodings of a message, as clients parse them."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from trading.account_events import push_messages as messages
from trading.account_events.stream import AccountEvent, EventKind
from trading.marketdata.ticks import Position, Tick

NOW = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
FILL = AccountEvent(
    user_id=UUID(int=1),
    id=7,
    kind=EventKind.FILL,
    occurred_at=NOW,
    data={"name": "삼성\n\r전자\u2028"},
)
TICK = Tick(
    code="A005930",
    price=71_000,
    base=70_000,
    volume=3,
    traded_at=NOW,
    received_at=NOW,
    position=Position(17, 4),
)


def fields_of(sse: bytes) -> list[tuple[str, str]]:
    """Return the fields of one server-sent event (WHATWG HTML, 9.2.6), lines ended by LF."""
    text = sse.decode()
    assert text.endswith("\n\n")
    assert text.count("\n\n") == 1
    assert "\r" not in text
    return [
        (name, value.removeprefix(" "))
        for name, _, value in (line.partition(":") for line in text[:-2].split("\n"))
    ]


def test_account_event_in_both_encodings() -> None:
    message = messages.event_message(FILL)
    emitted = json.loads(FILL.to_json())

    assert fields_of(message.sse) == [("event", "fill"), ("id", "7"), ("data", FILL.to_json())]
    assert json.loads(message.text) == {"type": "fill", "id": 7, "data": emitted}


def test_tick_in_both_encodings() -> None:
    """It has no id: a client that reconnects gets the latest tick."""
    message = messages.tick_message(TICK)
    [(_, kind), (_, data)] = fields_of(message.sse)

    assert kind == "tick"
    assert json.loads(message.text) == {"type": "tick", "data": json.loads(data)}
    shown = json.loads(data)
    assert (shown["stock_code"], shown["price"], shown["change"], shown["change_rate_bp"]) == (
        "A005930",
        71_000,
        1_000,
        143,
    )
    assert (shown["traded_at"], shown["position"]) == ("2026-11-20T01:00:00+00:00", "17-4")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (messages.ready(8), [("event", "ready"), ("id", "8"), ("data", '{"last_event_id":8}')]),
        (messages.resync(8), [("event", "resync"), ("data", '{"after":8}')]),
        (messages.status(live=False), [("event", "status"), ("data", '{"live":false}')]),
        (messages.EXPIRED, [("event", "expired"), ("data", "{}")]),
        (messages.SIGNED_OUT, [("event", "signed-out"), ("data", "{}")]),
        (
            messages.closing(1_500),
            [("retry", "1500"), ("event", "closing"), ("data", '{"retry_ms":1500}')],
        ),
        (messages.KEEP_ALIVE, [("", "keep-alive")]),
    ],
)
def test_other_messages(message: messages.PushMessage, expected: list[tuple[str, str]]) -> None:
    assert fields_of(message.sse) == expected
    assert json.loads(message.text)["type"] == message.kind
