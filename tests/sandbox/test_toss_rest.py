"""The Toss REST stand-in with the product's client: answers of the simulated market, and faults."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
import requests

from sandbox.faults import Faults, RestBody
from sandbox.market import Market, limits_of
from sandbox.toss_rest import LEVELS, toss_rest
from sandbox.toss_server import TossServer
from sandbox.trade import DayTotals, Trade
from sandbox.trade_log import IndexLog, TradeLog
from tests.support.deadlines import DEADLINE_S
from trading.exchange.price_grid import is_on_grid
from trading.http_client import Timeouts
from trading.stocks.candles.model import CandleInterval
from trading.stocks.listing import seed_listing
from trading.stocks.toss.client import Index, RankedBy, TossClient, TossRefused
from trading.stocks.toss.errors import (
    TossError,
    TossFailed,
    TossNoData,
    TossTimeout,
    TossUnreachable,
)

SAMSUNG = "A005930"
STOCKS = seed_listing()
START = datetime(2026, 11, 20, 0, 58, tzinfo=UTC)
PATIENT = Timeouts(connect_s=30.0, read_s=30.0, total_s=30.0)
HASTY = Timeouts(connect_s=30.0, read_s=0.5, total_s=0.5)


@dataclass
class Play:
    """A simulated market with some minutes of trades, and its stand-in."""

    server: TossServer
    log: TradeLog
    trades: list[Trade]

    def of(self, code: str) -> list[Trade]:
        return [trade for trade in self.trades if trade.code == code]


def played(*, trades: int = 2_000, gap_s: float = 0.1) -> Play:
    log, market = TradeLog(STOCKS), Market(STOCKS, seed=1, at=START)
    made = [market.trade(START + timedelta(seconds=number * gap_s)) for number in range(trades)]
    for trade in made:
        log.add(trade)
    return Play(TossServer(), log, made)


@pytest.fixture(scope="module")
def play() -> Play:
    return played()


@pytest.fixture(autouse=True)
def without_faults(play: Play) -> Iterator[None]:
    yield
    play.server.faults = Faults()


def ask(play: Play, question: Callable[[TossClient], Any], timeouts: Timeouts = PATIENT) -> Any:
    async def scene() -> Any:
        async with toss_rest(play.server, play.log, "127.0.0.1", 0) as port:
            url = f"http://127.0.0.1:{port}"
            client = TossClient(info_url=url, cert_url=url, timeouts=timeouts)
            return await asyncio.to_thread(question, client)

    return asyncio.run(scene())


def get(play: Play, path: str, **more: Any) -> requests.Response:
    async def scene() -> requests.Response:
        async with toss_rest(play.server, play.log, "127.0.0.1", 0) as port:
            return await asyncio.to_thread(
                requests.request,
                more.pop("method", "GET"),
                f"http://127.0.0.1:{port}{path}",
                timeout=DEADLINE_S,
                **more,
            )

    return asyncio.run(scene())


def test_price_is_that_of_the_last_trade(play: Play) -> None:
    trades = play.of(SAMSUNG)
    details = ask(play, lambda client: client.price_details(SAMSUNG))

    assert (details.price, details.base) == (trades[-1].price, trades[-1].base)
    assert (details.open, details.high, details.low) == (
        trades[0].price,
        max(trade.price for trade in trades),
        min(trade.price for trade in trades),
    )
    assert (details.volume, details.amount) == (trades[-1].totals.volume, trades[-1].totals.amount)
    assert (details.lower_limit, details.upper_limit) == limits_of(
        STOCKS[0], trades[-1].base, START.date()
    )
    assert details.traded_at == trades[-1].traded_at.replace(microsecond=0)


def test_order_book_is_around_the_price_on_the_grid(play: Play) -> None:
    for stock in STOCKS[:10]:
        book = ask(play, lambda client, code=stock.code: client.order_book(code))
        assert len(book.asks) == len(book.bids) == LEVELS
        assert book.bids[0].price <= book.price < book.asks[0].price
        assert all(
            is_on_grid(level.price, stock.kind) and level.volume > 0
            for level in (*book.asks, *book.bids)
        )
        assert len({level.price for level in (*book.asks, *book.bids)}) == 2 * LEVELS


def test_order_book_has_no_levels_beyond_the_limits() -> None:
    log, limits = TradeLog(STOCKS), limits_of(STOCKS[0], 70_000, START.date())
    log.add(
        Trade(
            code=SAMSUNG,
            traded_at=START,
            price=limits.upper,
            base=70_000,
            volume=1,
            side="BUY",
            totals=DayTotals(),
        )
    )
    book = ask(Play(TossServer(), log, []), lambda client: client.order_book(SAMSUNG))

    assert (book.asks, len(book.bids)) == ((), LEVELS)


def test_trades_are_newest_first(play: Play) -> None:
    reported = ask(play, lambda client: client.trades(SAMSUNG, count=5))

    made = play.of(SAMSUNG)[-5:][::-1]
    assert [(one.price, one.volume, one.trade_type) for one in reported] == [
        (one.price, one.volume, one.side) for one in made
    ]


@pytest.mark.parametrize("interval", list(CandleInterval))
def test_candles_match_the_trades(play: Play, interval: CandleInterval) -> None:
    """Compared with candles computed naively from the trades."""
    spans: dict[datetime, list[Trade]] = {}
    for trade in play.of(SAMSUNG):
        spans.setdefault(interval.start(trade.traded_at), []).append(trade)

    page = ask(play, lambda client: client.candles(SAMSUNG, interval, count=200, before=None))

    assert [
        (candle.time, candle.open, candle.high, candle.low, candle.close, candle.volume)
        for candle in page.candles
    ] == [
        (
            start,
            trades[0].price,
            max(trade.price for trade in trades),
            min(trade.price for trade in trades),
            trades[-1].price,
            sum(trade.volume for trade in trades),
        )
        for start, trades in sorted(spans.items(), reverse=True)
    ]
    assert not page.has_more


def test_chart_is_read_page_by_page_to_its_start(play: Play) -> None:
    everything = ask(
        play, lambda client: client.candles(SAMSUNG, CandleInterval.MINUTE, count=200, before=None)
    )
    assert len(everything.candles) >= 3

    def read(client: TossClient) -> list[Any]:
        found: list[Any] = []
        before = None
        while True:
            page = client.candles(SAMSUNG, CandleInterval.MINUTE, count=1, before=before)
            found += page.candles
            if not page.has_more:
                return found
            before = page.candles[-1].time

    assert tuple(ask(play, read)) == everything.candles


def test_index_moves_with_its_stocks(play: Play) -> None:
    kospi = ask(play, lambda client: client.index_price(Index.KOSPI))

    assert kospi.low <= min(kospi.open, kospi.close) <= max(kospi.open, kospi.close) <= kospi.high
    assert kospi.base == 400_000
    assert kospi.close != kospi.base
    with pytest.raises(TossNoData):
        ask(
            Play(TossServer(), TradeLog(STOCKS), []),
            lambda client: client.index_price(Index.KOSDAQ),
        )


def test_index_starts_a_day_at_the_last_close() -> None:
    index, totals = IndexLog(1_000.0, {"A": 3, "B": 1}), DayTotals()

    def trade(code: str, price: int, day: int) -> None:
        index.add(
            Trade(
                code=code,
                traded_at=START + timedelta(days=day),
                price=price,
                base=100,
                volume=1,
                side="BUY",
                totals=totals,
            )
        )

    trade("A", 100, 0)
    trade("B", 100, 0)
    trade("A", 110, 0)
    assert (index.base, index.close, index.high) == (1_000.0, 1_075.0, 1_075.0)
    trade("B", 90, 1)
    assert (index.base, index.open, index.volume) == (1_075.0, 1_075.0, 1)
    assert index.close == round(1_075 * (3 * 110 + 90) / (3 * 110 + 100), 2)
    trade("A", 1, 0)
    assert index.low > 1_000


def test_exchange_rate_and_ranking(play: Play) -> None:
    rate = ask(play, lambda client: client.exchange_rate())
    ranking = ask(play, lambda client: client.ranking(RankedBy.AMOUNT))

    assert Decimal(1_395) <= rate.close <= Decimal(1_405)
    amounts = [play.of(code)[-1].totals.amount for code in ranking.codes]
    assert len(amounts) > 30
    assert amounts == sorted(amounts, reverse=True)


def test_restarted_replay_restarts_its_chart() -> None:
    log, draw = TradeLog(STOCKS), Random(1)

    def trade(minute: int) -> None:
        at = START + timedelta(minutes=minute)
        log.add(
            Trade(
                code=SAMSUNG,
                traded_at=at,
                price=draw.randint(1, 9),
                base=5,
                volume=1,
                side="BUY",
                totals=DayTotals(),
            )
        )

    for minute in (0, 1, 2, 0):
        trade(minute)

    stock = log.stock(SAMSUNG)
    assert stock is not None
    assert len(stock.trades) == len(list(stock.candles(CandleInterval.MINUTE, before=None))) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/api/v3/stock-prices/A999999/quotes",
        "/api/v2/stock-prices/x/ticks",
        "/api/v1/c-chart/kr-s/A999999/day:1",
        "/api/v1/index-prices/COMP.NAI",
        "/api/v1/orders",
        "/",
    ],
)
def test_unknown_items_are_missing(play: Play, path: str) -> None:
    assert get(play, path).status_code == 404


@pytest.mark.parametrize(
    "tail", ["1D", "hour:1", "min:1?from=noon", "min:1?from=0001-01-01T00:00:00%2B23:00"]
)
def test_unknown_chart_is_rejected(play: Play, tail: str) -> None:
    assert get(play, f"/api/v1/c-chart/kr-s/{SAMSUNG}/{tail}").status_code == 400


@pytest.mark.parametrize("count", ["", "-1", "x", "9" * 50])
def test_invalid_count_is_rejected(play: Play, count: str) -> None:
    answer = get(play, f"/api/v2/stock-prices/{SAMSUNG}/ticks?count={count}")
    assert (answer.status_code, len(answer.json()["result"])) == (
        200,
        min(100, len(play.of(SAMSUNG))),
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"[" * 50_000, b'{"id":"gainers","tag":"kr"}'])
def test_unknown_ranking_is_rejected(play: Play, body: bytes) -> None:
    answer = get(play, "/api/v2/dashboard/wts/overview/ranking", method="POST", data=body)
    assert answer.status_code == 400


def test_unknown_codes_are_omitted_from_a_list(play: Play) -> None:
    answer = get(play, f"/api/v3/stock-prices/details?productCodes={SAMSUNG},A999999")
    assert [item["code"] for item in answer.json()["result"]] == [SAMSUNG]


@pytest.mark.parametrize(
    ("knobs", "error"),
    [
        ({"rest_status": 403}, TossRefused),
        ({"rest_status": 404}, TossNoData),
        ({"rest_status": 429, "rest_retry_after_s": 7}, TossRefused),
        ({"rest_status": 500}, TossFailed),
        ({"rest_status": 503}, TossFailed),
        ({"rest_delay_ms": 20_000}, TossTimeout),
        ({"rest_body": RestBody.GARBAGE}, TossFailed),
        ({"rest_body": RestBody.HALF}, TossUnreachable),
        ({"rest_body": RestBody.DRIP}, TossTimeout),
    ],
)
def test_client_handles_every_fault(
    play: Play, knobs: dict[str, Any], error: type[TossError]
) -> None:
    play.server.faults = Faults(**knobs)
    hasty = error is TossTimeout

    with pytest.raises(error) as fault:
        ask(play, lambda client: client.price_details(SAMSUNG), HASTY if hasty else PATIENT)

    if isinstance(fault.value, TossRefused):
        assert fault.value.retry_after_s == knobs.get("rest_retry_after_s", 300)


def test_fault_ends_when_it_is_switched_off(play: Play) -> None:
    play.server.faults = Faults(rest_status=500)
    with suppress(TossFailed):
        ask(play, lambda client: client.exchange_rate())
    play.server.faults = Faults()

    assert ask(play, lambda client: client.exchange_rate())
