"""Portfolio figures at the last prices."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import msgspec
import pytest

from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.orders.steps import bought, deposit
from tests.trading.portfolio.days import close
from trading.exchange.hours import KrxHours
from trading.exchange.order_types import Side
from trading.exchange.time import KST, trade_date
from trading.portfolio.errors import HoldingNotFound
from trading.portfolio.holding_rows import HoldingRows, load_holdings
from trading.portfolio.holdings import (
    ClosedHolding,
    HoldingRecord,
    SummaryRecord,
    load_cash,
    load_closed_holdings,
    require_single,
    summarize_portfolio,
    value_holdings,
)
from trading.redis import keys
from trading.stocks.valuation_prices import ValuationPrice, valuation_prices


def rows(harness: TradingHarness, user: UUID, stock_code: str | None = None) -> HoldingRows:
    midnight = datetime.combine(trade_date(harness.clock()), time(), KST)
    return harness.core.snapshot(load_holdings, user, since=midnight, stock_code=stock_code)


def prices(harness: TradingHarness, found: HoldingRows) -> dict[str, ValuationPrice]:
    return valuation_prices(
        found.recorded,
        harness.core.quotes.last_ticks(found.codes),
        now=harness.clock(),
        freshness_ms=harness.settings.tick_freshness_ms,
        hours=KrxHours({}),
    )


def holdings(
    harness: TradingHarness, user: UUID, stock_code: str | None = None
) -> tuple[HoldingRecord, ...]:
    found = rows(harness, user, stock_code)
    return value_holdings(found, prices(harness, found))


def summary(harness: TradingHarness, user: UUID) -> SummaryRecord:
    cash, found = harness.core.read(load_cash, user), rows(harness, user)
    return summarize_portfolio(cash, found, prices(harness, found))


def expire_ticks(harness: TradingHarness) -> None:
    """Remove the last ticks, as Redis does an hour after each."""
    for key in harness.core.redis.scan_iter(keys.LAST_TICK_PATTERN):
        harness.core.redis.delete(key)


def closed(harness: TradingHarness, user: UUID) -> list[ClosedHolding]:
    return harness.core.read(load_closed_holdings, user)


def sold(
    harness: TradingHarness,
    user: UUID,
    quantity: int,
    price: int,
    code: str = SAMSUNG,
    *,
    base: int | None = None,
) -> int:
    """Sell at ``price`` won and return the realized profit."""
    harness.tick(price, code, base=base)
    sale = harness.place(user, Side.SELL, quantity, code)
    harness.run_all()
    return harness.order(user, sale.id).executions[0].realized_profit or 0


@pytest.fixture
def owner(harness: TradingHarness) -> UUID:
    """A user with 10 Samsung bought at 70,000 and 5 Hynix at 100,000.

    Their prices are now 77,000 (base 75,000) and 90,000 (no base).
    """
    user = harness.user()
    deposit(harness, user, 1_000)
    bought(harness, user, 10)
    bought(harness, user, 5, 100_000, HYNIX)
    harness.tick(77_000, base=75_000)
    harness.tick(90_000, HYNIX)
    return user


def test_holding_figures(harness: TradingHarness, owner: UUID) -> None:
    samsung = require_single(holdings(harness, owner, SAMSUNG))
    assert (samsung.quantity, samsung.cost, samsung.buy_commission, samsung.average_price) == (
        10,
        700_000,
        105,
        70_000,
    )
    assert (samsung.value, samsung.unrealized_profit) == (770_000, 770_000 - 700_000 - 105)
    assert samsung.unrealized_profit_rate_bp == 69_895 * 10_000 // 700_105
    assert samsung.todays_change == samsung.unrealized_profit  # bought today
    both = {one.stock_code: one.weight_bp for one in holdings(harness, owner)}
    assert both == {SAMSUNG: 770_000 * 10_000 // 1_220_000, HYNIX: 450_000 * 10_000 // 1_220_000}


def test_portfolio_totals(harness: TradingHarness, owner: UUID) -> None:
    total = summary(harness, owner)
    spent = 700_105 + 500_075
    assert total.cash_balance == total.available_cash == 10_001_000 - spent
    assert (total.invested_amount, total.holdings_value) == (1_200_000, 1_220_000)
    assert total.total_assets == 10_001_000 - spent + 1_220_000
    assert total.unrealized_profit == 1_220_000 - spent
    assert (total.unpriced_holdings, total.stale_holdings) == (0, 0)
    assert total.todays_change == total.unrealized_profit
    assert total.todays_change_rate_bp == 20  # 19,820 on 10,001,000 without it


def test_holding_without_a_price_has_no_value(harness: TradingHarness, owner: UUID) -> None:
    """Only without the evidence of the purchase, which is a trade of the stock."""
    expire_ticks(harness)
    harness.tick(77_000, base=75_000)
    cash, found = harness.core.read(load_cash, owner), rows(harness, owner)
    found = replace(found, recorded={})
    total = summarize_portfolio(cash, found, prices(harness, found))
    hynix = next(one for one in total.holdings if one.stock_code == HYNIX)
    assert (
        hynix.price,
        hynix.value,
        hynix.unrealized_profit,
        hynix.weight_bp,
        hynix.freshness,
    ) == (None,) * 5
    assert (total.unpriced_holdings, total.holdings_value) == (1, 770_000)
    assert (total.total_assets, total.unrealized_profit) == (None, None)
    assert next(one for one in total.holdings if one.stock_code == SAMSUNG).weight_bp == 10_000


@pytest.mark.parametrize(
    ("age_ms", "freshness", "stale"), [(10_000, "LIVE", 0), (10_001, "STALE", 1)]
)
def test_price_has_an_age_and_freshness(
    harness: TradingHarness, owner: UUID, age_ms: int, freshness: str, stale: int
) -> None:
    """LIVE as long as the tick may fill an order."""
    harness.tick(77_000, age_ms=age_ms)
    samsung = require_single(holdings(harness, owner, SAMSUNG))
    assert (samsung.price_age_ms, samsung.freshness) == (age_ms, freshness)
    assert summary(harness, owner).stale_holdings == stale


def test_reserved_shares_and_cash_are_owned_but_not_available(
    harness: TradingHarness, owner: UUID
) -> None:
    harness.place(owner, Side.SELL, 4)
    order = harness.place(owner, Side.BUY, 1)
    total = summary(harness, owner)
    assert require_single(holdings(harness, owner, SAMSUNG)).sellable_quantity == 6
    assert total.reserved_cash == order.reserved_cash
    assert total.available_cash == total.cash_balance - order.reserved_cash


def test_sold_out_holding_keeps_its_realized_profit(harness: TradingHarness, owner: UUID) -> None:
    """It is also included after the stock is bought again."""
    profit = sold(harness, owner, 4, 77_000) + sold(harness, owner, 6, 78_000)
    assert summary(harness, owner).realized_profit == profit > 0
    assert [holding.stock_code for holding in holdings(harness, owner)] == [HYNIX]
    with pytest.raises(HoldingNotFound):
        require_single(holdings(harness, owner, SAMSUNG))
    (samsung,) = closed(harness, owner)
    assert (samsung.stock_code, samsung.name, samsung.sold_quantity) == (SAMSUNG, "삼성전자", 10)
    assert (samsung.cost, samsung.proceeds) == (700_105, 700_105 + profit)
    assert (samsung.realized_profit, samsung.last_sold_at) == (profit, harness.clock())

    bought(harness, owner, 1)

    assert closed(harness, owner) == []
    assert require_single(holdings(harness, owner, SAMSUNG)).realized_profit == profit


def test_closed_holdings_are_listed_most_recent_first(harness: TradingHarness, owner: UUID) -> None:
    sold(harness, owner, 10, 77_000)
    harness.clock.advance(hours=1)
    sold(harness, owner, 5, 90_000, HYNIX)
    assert [one.stock_code for one in closed(harness, owner)] == [HYNIX, SAMSUNG]
    assert closed(harness, harness.user()) == []


def test_todays_change_uses_base_price_and_cost_of_todays_shares(
    harness: TradingHarness, owner: UUID
) -> None:
    """On the next day 4 shares of the day before are sold and 2 are bought.

    The change of 6 is measured from the base price, of 2 from their cost.
    """
    harness.clock.advance(days=1)
    sold(harness, owner, 4, 78_000, base=77_000)
    bought(harness, owner, 2, 79_000)
    harness.tick(80_000, base=77_000)
    samsung = require_single(holdings(harness, owner, SAMSUNG))
    assert samsung.todays_change == 6 * 3_000 + 2 * 1_000 - 23
    assert samsung.todays_change_rate_bp == 322  # 19,977 of 620,023
    # The sale adds 4,000 above the base price less commission (46) and taxes (624).
    assert samsung.whole_days_change == samsung.todays_change + 4_000 - 46 - 624


def test_base_price_of_an_earlier_day_is_ignored(harness: TradingHarness, owner: UUID) -> None:
    harness.clock.advance(hours=14)
    samsung = require_single(holdings(harness, owner, SAMSUNG))
    assert (samsung.value, samsung.todays_change, samsung.todays_change_rate_bp) == (770_000, 0, 0)
    assert (samsung.is_traded_today, samsung.freshness) == (False, "STALE")
    total = summary(harness, owner)
    assert (total.todays_change, total.untraded_holdings) == (0, 2)


@pytest.mark.every_database
def test_holding_without_a_tick_has_its_recorded_close(harness: TradingHarness) -> None:
    user = harness.user()
    bought(harness, user, 10)
    close(harness, date(2026, 11, 19), 70_500)
    close(harness, date(2026, 11, 20), 71_000)
    expire_ticks(harness)
    harness.clock.now = datetime(2026, 11, 20, 21, tzinfo=KST).astimezone(UTC)
    total = summary(harness, user)
    samsung = require_single(total.holdings)
    assert (samsung.price, samsung.freshness) == (71_000, "CLOSE")
    assert samsung.price_day == date(2026, 11, 20)
    assert total.total_assets == total.cash_balance + 710_000
    assert (total.freshness, total.price_day) == ("CLOSE", date(2026, 11, 20))
    assert (total.unpriced_holdings, total.holdings_at_close, samsung.weight_bp) == (0, 1, 10_000)
    assert [one.value for one in total.sectors] == [710_000]

    harness.clock.advance(days=3)
    total = summary(harness, user)
    assert (total.todays_change, total.untraded_holdings) == (0, 1)
    assert (total.freshness, total.price_day) == ("CLOSE", date(2026, 11, 20))


def test_stock_that_was_not_traded_today_changes_by_nothing(harness: TradingHarness) -> None:
    user = harness.user()
    bought(harness, user, 10)
    bought(harness, user, 5, 100_000, HYNIX)
    harness.clock.advance(days=3)
    expire_ticks(harness)
    close(harness, date(2026, 11, 20), 99_000, HYNIX)
    harness.tick(73_000, base=70_000)
    total = summary(harness, user)
    assert total.todays_change == 30_000
    assert {one.stock_code: (one.todays_change, one.is_traded_today) for one in total.holdings} == {
        SAMSUNG: (30_000, True),
        HYNIX: (0, False),
    }


@pytest.mark.parametrize("has_candle", [True, False])
def test_result_of_a_sold_out_stock_is_known_after_its_tick_expired(
    harness: TradingHarness, *, has_candle: bool
) -> None:
    user = harness.user()
    bought(harness, user, 10)
    harness.clock.advance(days=3)
    if has_candle:
        close(harness, date(2026, 11, 20), 70_000)
    sold(harness, user, 10, 71_000, base=70_000)
    assert summary(harness, user).todays_change == 8_474
    harness.clock.advance(hours=1, minutes=5)
    expire_ticks(harness)
    assert summary(harness, user).todays_change == 8_474


def test_late_trade_of_another_day_is_not_todays(harness: TradingHarness) -> None:
    user = harness.user()
    bought(harness, user, 10)
    close(harness, date(2026, 11, 20), 71_000)
    harness.clock.advance(days=3)
    received = harness.tick(57_000, base=69_000)
    late = msgspec.structs.replace(received, traded_at=received.traded_at - timedelta(days=4))
    harness.core.redis.set(keys.last_tick(SAMSUNG), late.to_json())
    samsung = require_single(holdings(harness, user))
    assert (samsung.price, samsung.freshness) == (71_000, "CLOSE")
    assert (samsung.base_price, samsung.todays_change) == (71_000, 0)


def test_holding_without_tick_and_candles_has_the_price_of_its_last_fill(
    harness: TradingHarness, owner: UUID
) -> None:
    expire_ticks(harness)
    total = summary(harness, owner)
    assert [(one.price, one.freshness) for one in total.holdings] == [
        (100_000, "STALE"),
        (70_000, "STALE"),
    ]
    assert total.total_assets == total.cash_balance + 1_200_000
    assert total.todays_change == -180  # the commissions


def test_days_change_equals_change_of_value(harness: TradingHarness, owner: UUID) -> None:
    """A day with sales, purchases, a stock sold out and one bought and sold; deposits are not a
    gain.
    """
    harness.clock.advance(days=1)
    harness.tick(77_000, base=77_000)
    harness.tick(90_000, HYNIX, base=90_000)
    before = summary(harness, owner)
    assert before.todays_change == 0
    sold(harness, owner, 5, 95_000, HYNIX, base=90_000)
    bought(harness, owner, 3, 50_000, "A035420")
    sold(harness, owner, 3, 51_000, "A035420")
    sold(harness, owner, 8, 76_000, base=77_000)
    bought(harness, owner, 5, 75_500)
    deposit(harness, owner, 5_000)
    harness.tick(78_000, base=77_000)
    after = summary(harness, owner)
    assert before.total_assets is not None
    assert after.total_assets is not None
    assert after.todays_change == after.total_assets - before.total_assets - 5_000 != 0


def test_sector_weights_include_priced_holdings_only(harness: TradingHarness, owner: UUID) -> None:
    from sqlalchemy import text

    harness.do(
        lambda session: session.execute(
            text("UPDATE stocks SET sector = NULL WHERE code = 'A035420'")
        )
    )
    bought(harness, owner, 1, 305_000, "A035420")
    sectors = summary(harness, owner).sectors
    assert [(one.sector, one.holdings, one.value, one.weight_bp) for one in sectors] == [
        ("반도체", 2, 1_220_000, 8_000),
        (None, 1, 305_000, 2_000),
    ]
    expire_ticks(harness)
    assert [one.value for one in summary(harness, owner).sectors] == [1_200_000, 305_000]
    harness.do(
        lambda session: session.execute(
            text("UPDATE stocks SET sector = '인터넷' WHERE code = 'A035420'")
        )
    )


def test_portfolio_takes_the_same_statements_for_any_number_of_holdings(
    harness: TradingHarness,
) -> None:
    user, counts = harness.user(), []
    for codes in ((SAMSUNG,), (HYNIX, "A035420", "A035720")):
        for code in codes:
            bought(harness, user, 2, 1_000, code)
            sold(harness, user, 1, 1_000, code)
        with statements_counted(harness.core.database.engine) as statements:
            rows(harness, user)
            closed(harness, user)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 10
