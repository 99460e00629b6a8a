"""Trades as a feed might report them one day: doubled, out of order, in a form that nobody knows, or in none that is a trade."""

import json
from collections import defaultdict

from sandbox.faults import Faults
from sandbox.trade import Trade

# Each takes the place of a field of a good trade; none leaves one.
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
    """Bodies made from a trade none of which is one."""
    record = trade.record()
    wrong = [record | {name: value} for name, value in _WRONG_VALUES]
    short = [
        {name: value for name, value in record.items() if name != missing} for missing in _REQUIRED
    ]
    return [*_NO_RECORDS, *(json.dumps(body).encode() for body in (*wrong, *short))]


def unfamiliar(trade: Trade) -> bytes:
    """The trade with fields, values and ways to write a number that nobody has seen yet, and text beyond ASCII. It is still one."""
    strange = {
        "tradeType": "단일가",
        "changeType": "LIMIT_UP",
        "session": None,
        "close": float(trade.price),
        "venue": {"name": "한국거래소", "lines": [1, 2]},
        "sequence": 10**30,
    }
    return json.dumps(trade.record() | strange, ensure_ascii=False).encode()


class Distorter:
    """Makes the bodies in which a trade is told. Remembers the trades that wait for their group, of each stock."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[bytes]] = defaultdict(list)

    def bodies(self, trade: Trade, faults: Faults) -> list[bytes]:
        """What to send now for a trade, in order; nothing while its group is not full."""
        told = [unfamiliar(trade) if faults.unfamiliar else trade.body()] * faults.copies
        if faults.malformed:
            told = malformed(trade) + told
        if faults.reversed_in == 1 and not self._waiting:
            return told
        waiting = self._waiting.pop(trade.code, []) + told
        if len(waiting) < faults.reversed_in:
            self._waiting[trade.code] = waiting
            return []
        return waiting[::-1]
