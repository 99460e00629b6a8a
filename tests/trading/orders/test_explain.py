"""Explanations: the evidence and costs of fills, and every reason why an open order waits."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from tests.support.statements import statements_counted
from tests.support.trading_harness import SAMSUNG, TradingHarness, opened, settings_for
from tests.trading.orders.steps import bought, set_status
from trading.db.ids import new_id
from trading.exchange.order_types import Side, TimeInForce
from trading.halts.trading import halt, resume
from trading.orders.errors import OrderNotFound
from trading.orders.explain import (
    Charge,
    ChargeName,
    Distance,
    OrderFacts,
    Stage,
    Waiting,
    WaitingReason,
    explained_fills,
    order_facts,
    waiting_of,
)
from trading.orders.records import OrderRecord

R = WaitingReason


def facts_of(books: TradingHarness, user: UUID, order_id: UUID) -> OrderFacts:
    return books.core.database.read(
        lambda session: order_facts(
            session, user_id=user, order_id=order_id, settings=books.settings, now=books.clock()
        )
    )


def waits(
    books: TradingHarness, user: UUID, order: OrderRecord, *, market_available: bool = True
) -> Waiting:
    """What an order waits for now."""
    tick = books.core.quotes.last_tick(order.stock_code) if market_available else None
    return waiting_of(
        facts_of(books, user, order.id),
        tick,
        market_available=market_available,
        hours=books.core.market_hours(),
        settings=books.settings,
        now=books.clock(),
    )


def reasons(books: TradingHarness, user: UUID, order: OrderRecord, **more: Any) -> list[str]:
    return [str(reason) for reason in waits(books, user, order, **more).reasons]


def halt_trading(books: TradingHarness) -> None:
    books.do(
        lambda session: halt(
            session, halt_id=new_id(), by=books.user(), reason=None, now=books.clock()
        )
    )


@pytest.fixture
def volume_books(migrated_sqlite: str, valkey_url: str) -> Iterator[TradingHarness]:
    with opened(settings_for(migrated_sqlite, valkey_url, fill_profile="volume")) as books:
        yield books


@pytest.fixture
def krx_books(migrated_sqlite: str, valkey_url: str) -> Iterator[TradingHarness]:
    with opened(settings_for(migrated_sqlite, valkey_url, market_hours="krx")) as books:
        yield books


def test_an_order_beyond_the_market_waits_for_its_price(books: TradingHarness) -> None:
    """It is in the book; the distance is told in won, in basis points and in steps of the grid."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 10, limit=69_000)

    waiting = waits(books, user, order)

    assert (waiting.stage, waiting.reasons) == (Stage.IN_BOOK, (R.PRICE_NOT_MET,))
    assert waiting.distance == Distance(won=1_000, basis_points=143, steps=10)
    assert (waiting.price, waiting.quantity, waiting.tick_age_ms, waiting.next_look_at) == (
        69_000,
        10,
        0,
        None,
    )
    assert waiting.expires_at == datetime(2026, 11, 20, 15, tzinfo=UTC)


def test_a_lasting_order_does_not_expire(books: TradingHarness) -> None:
    """GTC orders have no end of their own."""
    user = books.user()
    books.tick(70_000)

    waiting = waits(
        books, user, books.place(user, Side.BUY, 1, limit=69_000, time_in_force=TimeInForce.GTC)
    )

    assert waiting.expires_at is None


def test_an_order_with_a_worker_is_being_executed(books: TradingHarness) -> None:
    """From its acceptance at the market, or from the trade that the matcher found, until it is filled."""
    user = books.user()
    books.tick(70_000)
    at_market = books.place(user, Side.BUY, 1)
    marketable = books.place(user, Side.BUY, 1, limit=71_000)
    resting = books.place(user, Side.BUY, 1, limit=69_000)

    assert reasons(books, user, at_market) == reasons(books, user, marketable) == ["being-executed"]
    assert (
        waits(books, user, at_market).stage
        is waits(books, user, marketable).stage
        is Stage.IN_EXECUTION
    )
    assert waits(books, user, at_market).distance is None
    assert waits(books, user, marketable).distance == Distance(0, 0, 0)
    books.tick(68_000)
    assert reasons(books, user, resting) == ["awaiting-match"]
    books.match()
    books.tick(72_000)
    assert reasons(books, user, resting) == ["being-executed"]
    assert waits(books, user, resting).stage is Stage.IN_EXECUTION


def test_without_a_fresh_trade_a_sale_waits_for_one(books: TradingHarness) -> None:
    """First none at all, then one that is too old."""
    user = books.user()
    bought(books, user, 5)
    books.core.redis.flushall()

    sale = books.place(user, Side.SELL, 1)
    assert reasons(books, user, sale) == ["no-tick"]
    books.tick(70_000, age_ms=10_001)
    assert reasons(books, user, sale) == ["stale-feed"]
    books.tick(70_000)
    assert reasons(books, user, sale) == ["being-executed"]


def test_a_market_that_cannot_be_asked_is_said_to_be_away(books: TradingHarness) -> None:
    """What the database knows is told all the same."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 1, limit=69_000)

    waiting = waits(books, user, order, market_available=False)

    assert waiting.reasons == (R.MARKET_UNAVAILABLE,)
    assert (waiting.price, waiting.tick, waiting.distance) == (69_000, None, None)


def test_a_trade_from_before_the_order_does_not_fill_it(books: TradingHarness) -> None:
    """It was too old when the order came, so the order waits for the next one, however good its price looks."""
    user = books.user()
    books.tick(70_000, age_ms=10_001)

    order = books.place(user, Side.BUY, 1, limit=71_000)

    assert reasons(books, user, order) == ["stale-feed", "print-before-acceptance"]
    books.tick(71_500)
    assert reasons(books, user, order) == ["price-not-met"]


def test_an_amended_order_waits_for_a_trade_after_its_amendment(
    volume_books: TradingHarness,
) -> None:
    """By volume only what is traded from then on counts, though the last price would do."""
    books = volume_books
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 1, limit=69_000)

    books.amend(user, order.id, limit=71_000)

    assert reasons(books, user, order) == ["print-before-acceptance"]
    assert waits(books, user, order).stage is Stage.IN_BOOK


def test_a_trade_that_was_used_up_by_others_is_said_to_have_passed(
    volume_books: TradingHarness,
) -> None:
    """The matcher has looked at it and the order is still there; the next trade may reach it."""
    books = volume_books
    first, second = books.user(), books.user()
    books.tick(70_000)
    books.place(first, Side.BUY, 5, limit=70_000)
    order = books.place(second, Side.BUY, 5, limit=70_000)
    books.tick(70_000, volume=5)
    assert reasons(books, second, order) == ["awaiting-match"]

    books.match()

    assert reasons(books, second, order) == ["not-reached"]


def test_a_market_order_by_volume_waits_for_the_next_trade(volume_books: TradingHarness) -> None:
    """It is in the book as well, without a price to wait for."""
    books = volume_books
    user = books.user()
    books.tick(70_000)

    waiting = waits(books, user, books.place(user, Side.BUY, 1))

    assert (waiting.stage, waiting.reasons) == (Stage.IN_BOOK, (R.PRINT_BEFORE_ACCEPTANCE,))
    assert (waiting.price, waiting.distance) == (None, None)


def test_every_stop_is_named(books: TradingHarness) -> None:
    """A halt of all trading, of the stock, and its delisting come before what the market says; nothing then is about to be filled."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 1, limit=69_000)
    marketable = books.place(user, Side.BUY, 1, limit=71_000)

    set_status(books, "HALTED")
    assert reasons(books, user, order) == ["stock-halted", "price-not-met"]
    assert reasons(books, user, marketable) == ["stock-halted"]
    books.clock.advance(seconds=1)
    halt_trading(books)
    assert reasons(books, user, order) == ["trading-halted", "stock-halted", "price-not-met"]
    assert waits(books, user, order).halted_since == books.clock()
    set_status(books, "DELISTED")
    assert reasons(books, user, marketable) == ["trading-halted", "stock-delisted"]


@pytest.mark.parametrize(
    ("at", "code", "expected", "opens"),
    [
        ("2026-11-20T10:00", SAMSUNG, ["price-not-met"], None),
        ("2026-11-20T15:29", SAMSUNG, ["price-not-met"], None),
        (
            "2026-11-20T15:45",
            SAMSUNG,
            ["closed-session", "stale-feed", "price-not-met"],
            "2026-11-20T16:00",
        ),
        ("2026-11-20T17:00", SAMSUNG, ["price-not-met"], None),
        (
            "2026-11-20T17:00",
            "A069500",
            ["closed-session", "print-outside-session", "price-not-met"],
            "2026-11-23T09:00",
        ),
        (
            "2026-11-20T21:00",
            SAMSUNG,
            ["closed-session", "stale-feed", "price-not-met"],
            "2026-11-23T09:00",
        ),
        (
            "2026-11-21T12:00",
            SAMSUNG,
            ["closed-session", "stale-feed", "price-not-met"],
            "2026-11-23T09:00",
        ),
    ],
)
def test_a_closed_market_opens_again(
    krx_books: TradingHarness, at: str, code: str, expected: list[str], opens: str | None
) -> None:
    """An order that was placed in the morning, looked at later: the reason comes with the time at which it is gone."""
    books = krx_books
    books.clock.now = datetime.fromisoformat("2026-11-20T09:30+09:00").astimezone(UTC)
    user = books.user()
    books.tick(10_000, code)
    order = books.place(user, Side.BUY, 1, code, limit=9_000, time_in_force=TimeInForce.GTC)
    books.clock.now = datetime.fromisoformat(f"{at}+09:00").astimezone(UTC)
    if "stale-feed" not in expected:
        books.tick(10_000, code)

    waiting = waits(books, user, order)

    assert list(waiting.reasons) == expected
    assert waiting.next_opening == (opens and datetime.fromisoformat(f"{opens}+09:00"))


def test_a_print_of_another_exchange_fills_nothing_in_the_evening(
    krx_books: TradingHarness,
) -> None:
    """In KRX's after-market Nextrade's trades are seen, and their price is not one that was to be had here."""
    books = krx_books
    books.clock.now = datetime.fromisoformat("2026-11-20T17:00+09:00").astimezone(UTC)
    user = books.user()
    tick = books.tick(70_000)
    order = books.place(user, Side.BUY, 1, limit=69_000)
    nextrade = msgspec.structs.replace(
        tick, price=68_000, exchange="NXT", position=tick.position._replace(n=tick.position.n + 1)
    )

    waiting = waiting_of(
        facts_of(books, user, order.id),
        nextrade,
        market_available=True,
        hours=books.core.market_hours(),
        settings=books.settings,
        now=books.clock(),
    )

    assert waiting.reasons == (R.PRINT_OUTSIDE_SESSION,)


def test_what_was_traded_during_a_halt_fills_nothing_afterwards(books: TradingHarness) -> None:
    """The last price would do, but it is one of the halt; the next trade counts again."""
    user, administrator = books.user(), books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 1, limit=69_000)
    books.do(
        lambda session: halt(
            session, halt_id=new_id(), by=administrator, reason=None, now=books.clock()
        )
    )
    books.clock.advance(seconds=1)
    books.tick(68_000)
    books.clock.advance(seconds=1)
    books.do(lambda session: resume(session, by=administrator, now=books.clock()))
    books.match()

    assert reasons(books, user, order) == ["print-during-halt"]
    assert waits(books, user, order).halted_since is None
    books.tick(68_000)
    assert reasons(books, user, order) == ["awaiting-match"]


def test_an_order_whose_day_is_over_is_about_to_expire(books: TradingHarness) -> None:
    """Until its expiry comes it is open, and no trade of the new day is for it."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 1, limit=69_000)
    books.clock.advance(days=1)
    books.tick(68_000)

    assert reasons(books, user, order) == ["day-ended"]


def test_a_sales_costs_are_told_one_by_one(books: TradingHarness) -> None:
    """Commission and both taxes with the rates of their day; a purchase pays no tax."""
    user = books.user()
    buy = bought(books, user, 10)
    books.tick(71_300)
    sale = books.place(user, Side.SELL, 4)
    books.clock.advance(seconds=1.5)
    books.tick(71_300)
    books.run_all()

    (purchase,) = explained_fills(facts_of(books, user, buy.id))
    (sold,) = explained_fills(facts_of(books, user, sale.id))

    assert purchase.charges == (Charge(ChargeName.COMMISSION, 150, 105),)
    assert sold.charges == (
        Charge(ChargeName.COMMISSION, 150, 42),
        Charge(ChargeName.TRANSACTION_TAX, 500, 142),
        Charge(ChargeName.RURAL_TAX, 1_500, 427),
    )
    assert (sold.ms_to_fill, sold.ms_to_settlement, sold.ms_to_portfolio) == (1_500, 1_500, 1_500)


def test_the_rate_of_another_market_is_not_told_for_the_one_applied(books: TradingHarness) -> None:
    """A stock that has moved to KOSDAQ since pays other rates now; what was paid is told without one."""
    user = books.user()
    bought(books, user, 10)
    sale = books.place(user, Side.SELL, 4)
    books.run_all()
    facts = replace(facts_of(books, user, sale.id), market="KOSDAQ")

    (sold,) = explained_fills(facts)

    assert [(charge.rate_ppm, charge.amount) for charge in sold.charges] == [
        (150, 42),
        (None, 140),
        (None, 420),
    ]


def test_stages_that_are_not_done_have_no_time(books: TradingHarness) -> None:
    """Filled and not yet settled."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 1)
    books.run(books.sent.pop(0))

    (fill,) = explained_fills(facts_of(books, user, order.id))

    assert (fill.ms_to_fill, fill.ms_to_settlement, fill.ms_to_portfolio) == (0, None, None)


def test_an_explanation_is_the_owners(books: TradingHarness) -> None:
    """Another's order is not there, as everywhere."""
    user = books.user()
    books.tick(70_000)
    order = books.place(user, Side.BUY, 1)

    with pytest.raises(OrderNotFound):
        facts_of(books, books.user(), order.id)


def test_an_explanation_takes_four_statements(books: TradingHarness) -> None:
    """However many fills it tells of."""
    user = books.user()
    order = bought(books, user, 10)
    with statements_counted(books.core.database.engine) as statements:
        facts_of(books, user, order.id)
    assert len([one for one in statements if one.startswith("SELECT")]) == 4
