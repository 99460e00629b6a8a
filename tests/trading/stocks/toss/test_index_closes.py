"""Closes derived from an index price."""

from datetime import UTC, date, datetime

import pytest

from tests.fixtures.toss import result_of
from tests.support.http_server import answer, serving
from tests.support.trading_harness import TestClock
from trading.exchange.hours import KrxHours
from trading.redis.client import connect
from trading.stocks.toss.answers import IndexPrice
from trading.stocks.toss.client import Index
from trading.stocks.toss.index_closes import closes_from_candles, recent_closes
from trading.stocks.toss.market_data import CachedResponse, MarketData
from trading.stocks.toss.response_cache import ResponseCache

HOURS = KrxHours({})
FRIDAY, THURSDAY = date(2026, 11, 20), date(2026, 11, 19)


def korea(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+09:00").astimezone(UTC)


def closes_of(
    traded_at: str | None, now: str, *, base: int | None = 400_000, age_ms: int = 0
) -> dict[date, int]:
    price = IndexPrice(
        close=410_000, base=base, traded_at=None if traded_at is None else korea(traded_at)
    )
    return closes_from_candles(
        CachedResponse(price, age_ms, stale=False), hours=HOURS, now=korea(now)
    )


@pytest.mark.parametrize(
    ("traded_at", "now", "days"),
    [
        ("2026-11-20T10:00:00", "2026-11-20T10:00:01", [THURSDAY]),
        ("2026-11-20T15:30:00", "2026-11-20T15:30:59", [THURSDAY]),
        ("2026-11-20T15:30:00", "2026-11-20T15:31:00", [THURSDAY, FRIDAY]),
        ("2026-11-20T18:00:00", "2026-11-20T18:00:00", [THURSDAY, FRIDAY]),
        ("2026-11-20T15:30:00", "2026-11-22T12:00:00", [THURSDAY, FRIDAY]),
        ("2026-11-23T09:00:00", "2026-11-23T09:00:00", [FRIDAY]),
        ("2026-11-21T10:00:00", "2026-11-21T10:00:00", []),
        ("2026-11-23T10:00:00", "2026-11-20T10:00:00", []),
        ("1970-01-01T00:00:00", "2026-11-20T10:00:00", []),
        (None, "2026-11-20T10:00:00", []),
    ],
)
def test_days_closed_by_a_price(traded_at: str | None, now: str, days: list[date]) -> None:
    """The previous trading day, and the day itself after its closing auction."""
    assert list(closes_of(traded_at, now)) == days


def test_answer_from_before_the_close_gives_no_close() -> None:
    assert FRIDAY not in closes_of("2026-11-20T15:29:00", "2026-11-20T15:31:00", age_ms=120_000)


def test_missing_base_gives_no_previous_close() -> None:
    assert closes_of("2026-11-20T15:30:00", "2026-11-20T16:00:00", base=None) == {FRIDAY: 410_000}


def test_closes_are_read_through_market_data(valkey_url: str) -> None:
    clock = TestClock()
    clock.now = korea("2026-11-20T16:00:00")
    redis = connect(valkey_url)
    with serving(lambda request: answer(200, {"result": result_of(request.target)})) as server:
        data = MarketData(
            info_url=server.url, cert_url=server.url, cache=ResponseCache(redis), clock=clock
        )
        closes = recent_closes(data, Index.KOSPI, hours=HOURS, now=clock.now)
        data.close()
    redis.close()

    assert closes == {THURSDAY: 421_417, FRIDAY: 430_963}
