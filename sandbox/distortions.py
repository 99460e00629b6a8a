"""Distorted trade messages: duplicated, out of order, in an unknown form, or malformed."""

import json
from collections import defaultdict

from sandbox.faults import Faults
from sandbox.trade import Trade

# Each replaces a field of a valid trade and makes it invalid.
_WRONG_VALUES: tuple[tuple[str, object], ...] = (
    ("close", None),
    ("close", "70000"),
    ("close", True),
    ("close", 70_000.5),
    ("close", 0),
    ("close", -70_000),
    ("close", 10**10),
    ("close", float("inf")),
    ("close", float("nan")),
    ("close", {"won": 70_000}),
    ("base", 0),
    ("volume", -1),
    ("volume", 10**16),
    ("cumulativeVolume", "1"),
    ("cumulativeVolume", 10**30),
    ("dt", 1_763_600_000),
    ("dt", "noon"),
    ("dt", "2026-11-20T09:00:00"),
    ("dt", "9999-12-31T23:59:59Z"),
    ("code", "A000000"),
    ("code", "\ud800"),
    ("currency", "USD"),
    ("tradeType", 1),
    ("exchange", "K" * 41),
)
_REQUIRED = ("close", "volume", "dt")
_NO_RECORDS = (
    b"",
    b"null",
    b"[]",
    b'"close"',
    b"no JSON",
    b'{"close":70000',
    b'{"close":' + b"7" * 5_000 + b"}",
    b"[" * 10_000,
    b"\xff\xfe\x00",
)


def malformed(trade: Trade) -> list[bytes]:
    """Return message bodies that are derived from a trade but are not valid trades."""
    record = trade.record()
    wrong = [record | {name: value} for name, value in _WRONG_VALUES]
    short = [
        {name: value for name, value in record.items() if name != missing} for missing in _REQUIRED
    ]
    return [*_NO_RECORDS, *(json.dumps(body).encode() for body in (*wrong, *short))]


def unfamiliar(trade: Trade) -> bytes:
    """Return a valid trade with unknown fields, unusual number formats and text beyond ASCII."""
    unknown_fields = {
        "tradeType": "단일가",
        "changeType": "LIMIT_UP",
        "session": None,
        "close": float(trade.price),
        "venue": {"name": "한국거래소", "lines": [1, 2]},
        "sequence": 10**30,
    }
    return json.dumps(trade.record() | unknown_fields, ensure_ascii=False).encode()


class Distorter:
    """Builds the message bodies of trades. Keeps the trades of each stock that wait for their
    group.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[bytes]] = defaultdict(list)

    def bodies(self, trade: Trade, faults: Faults) -> list[bytes]:
        """Return the bodies to send now, in order; none while a group is incomplete."""
        bodies = [unfamiliar(trade) if faults.unfamiliar else trade.body()] * faults.copies
        if faults.malformed:
            bodies = malformed(trade) + bodies
        if faults.reversed_in == 1 and not self._waiting:
            return bodies
        waiting = self._waiting.pop(trade.code, []) + bodies
        if len(waiting) < faults.reversed_in:
            self._waiting[trade.code] = waiting
            return []
        return waiting[::-1]
