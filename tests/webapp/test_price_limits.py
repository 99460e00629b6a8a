"""Price limits by regime: the order check, the preview, the price page and the rules agree."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from sqlalchemy import update

from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.webapp.client import Api, Person, data_of, problem_of
from trading.marketdata.published_limits import PublishedLimits
from trading.orders.model import EndReason
from trading.redis import keys
from trading.stocks.tables import STOCKS

KST = ZoneInfo("Asia/Seoul")
TODAY = date(2026, 11, 20)
FUND = "A069500"


def change(harness: TradingHarness, code: str = SAMSUNG, **columns: object) -> None:
    """Set columns of the master data."""
    harness.do(
        lambda session: session.execute(update(STOCKS).where(STOCKS.c.code == code).values(columns))
    )


def limit(
    api: Api, who: Person, price: int, *, code: str = SAMSUNG, time_in_force: str = "GTC"
) -> Any:
    return api.order(
        who, "BUY", 1, order_type="LIMIT", price=price, code=code, time_in_force=time_in_force
    )


def accepts(api: Api, who: Person, price: int, *, code: str = SAMSUNG) -> None:
    """Preview an order and place it; both are accepted."""
    body = {
        "stock_code": code,
        "side": "BUY",
        "quantity": 1,
        "order_type": "LIMIT",
        "price": price,
    }
    data_of(api.post("/trading/orders/preview", who, body))
    data_of(limit(api, who, price, code=code), 201)


def refuses(api: Api, who: Person, price: int, *, code: str = SAMSUNG) -> tuple[int, int]:
    """Preview an order and place it; return the limits that both refusals name."""
    body = {
        "stock_code": code,
        "side": "BUY",
        "quantity": 1,
        "order_type": "LIMIT",
        "price": price,
    }
    preview = problem_of(api.post("/trading/orders/preview", who, body), "price-out-of-range")
    order = problem_of(limit(api, who, price, code=code), "price-out-of-range")
    assert (
        order.items()
        >= {
            name: preview[name] for name in ("lower_limit", "upper_limit", "base_price", "price")
        }.items()
    )
    return order["lower_limit"], order["upper_limit"]


def shown_limits(api: Api, who: Person, code: str = SAMSUNG) -> list[tuple[int | None, int | None]]:
    """Return the limits of the price page and of a preview."""
    body = {"stock_code": code, "side": "BUY", "quantity": 1}
    answers = (
        data_of(api.get(f"/stocks/{code}/price", who)),
        data_of(api.post("/trading/orders/preview", who, body)),
    )
    return [(answer["lower_limit"], answer["upper_limit"]) for answer in answers]


@pytest.mark.parametrize("leverage_percent", [200, -200])
def test_leveraged_fund_has_twice_the_limits(api: Api, leverage_percent: int) -> None:
    change(api.harness, FUND, leverage_percent=leverage_percent)
    api.harness.tick(20_000, FUND, base=20_000)
    person = api.person()

    accepts(api, person, 32_000, code=FUND)
    accepts(api, person, 8_000, code=FUND)
    assert refuses(api, person, 32_005, code=FUND) == (8_000, 32_000)
    assert refuses(api, person, 7_995, code=FUND) == (8_000, 32_000)
    assert shown_limits(api, person, FUND) == [(8_000, 32_000)] * 2


def test_first_listing_day_has_60_to_400_percent_of_the_offer_price(api: Api) -> None:
    change(api.harness, listed_on=TODAY)
    api.harness.tick(10_000, base=10_000)
    person = api.person()

    accepts(api, person, 40_000)
    accepts(api, person, 6_000)
    assert refuses(api, person, 40_050) == (6_000, 40_000)
    assert refuses(api, person, 5_990) == (6_000, 40_000)
    assert shown_limits(api, person) == [(6_000, 40_000)] * 2


def test_second_listing_day_has_the_usual_limits(api: Api) -> None:
    change(api.harness, listed_on=TODAY - timedelta(days=1))
    api.harness.tick(10_000, base=10_000)

    assert refuses(api, api.person(), 40_000) == (7_000, 13_000)


def test_liquidation_trading_has_no_limits(api: Api) -> None:
    change(api.harness, in_liquidation=True)
    api.harness.tick(1_000, base=1_000)
    person = api.person()

    accepts(api, person, 180)
    accepts(api, person, 1)
    accepts(api, person, 9_000)
    problem_of(limit(api, person, 0), "validation-failed")
    assert shown_limits(api, person) == [(1, None)] * 2


def test_limits_of_toss_take_precedence_on_their_day(api: Api) -> None:
    """The fund's leverage was not imported."""
    api.harness.tick(20_000, FUND, base=20_000)
    person = api.person()
    assert refuses(api, person, 32_000, code=FUND) == (14_000, 26_000)

    api.harness.core.quotes.store_published_limits(FUND, PublishedLimits(TODAY, 8_000, 32_000))

    accepts(api, person, 32_000, code=FUND)
    assert refuses(api, person, 32_005, code=FUND) == (8_000, 32_000)
    assert shown_limits(api, person, FUND) == [(8_000, 32_000)] * 2


@pytest.mark.parametrize(
    "stored",
    [
        '{"day":"2026-11-19","lower":1,"upper":2}',
        '{"day":"2026-11-23","lower":1,"upper":2}',
        '{"day":"2026-11-20","lower":3,"upper":2}',
        '{"day":"2026-11-20","lower":0,"upper":2}',
        '{"day":"2026-11-20"}',
        "nonsense",
        "\N{SNOWMAN}",
    ],
)
def test_limits_of_another_day_or_malformed_ones_are_ignored(api: Api, stored: str) -> None:
    api.harness.tick(20_000, FUND, base=20_000)
    api.harness.core.redis.set(keys.published_limits(FUND), stored)

    assert refuses(api, api.person(), 32_000, code=FUND) == (14_000, 26_000)


def test_order_within_the_limits_of_toss_is_matched(api: Api) -> None:
    """The matcher ends orders outside the day's limits by the same limits."""
    harness = api.harness
    harness.tick(20_000, FUND, base=20_000)
    harness.core.quotes.store_published_limits(FUND, PublishedLimits(TODAY, 8_000, 32_000))
    person = api.person()
    order = data_of(limit(api, person, 8_000, code=FUND), 201)
    harness.clock.advance(seconds=1)
    harness.tick(19_000, FUND, base=20_000)
    harness.match()

    found = data_of(api.get(f"/trading/orders/{order['id']}", person))

    assert (found["status"], found["reason"]) == ("PENDING", None)


@pytest.fixture
def monday(api: Api) -> Api:
    """Return an API on Monday at 08:35 KST, before the first trade of the day."""
    api.harness.clock.now = datetime(2026, 11, 23, 8, 35, tzinfo=KST)
    return api


def last_trade(api: Api, price: int, *, base: int, traded_at: datetime) -> None:
    """Let the feed report now a trade of another time."""
    tick = api.harness.tick(price, base=base)
    tick = msgspec.structs.replace(tick, traded_at=traded_at)
    api.harness.core.redis.set(keys.last_tick(SAMSUNG), tick.to_json())


def test_base_price_belongs_to_the_day_of_its_trade(monday: Api) -> None:
    """Friday's last trade, which the feed repeats on Monday, does not limit Monday's orders."""
    last_trade(monday, 70_000, base=69_000, traded_at=datetime(2026, 11, 20, 15, 30, tzinfo=KST))
    person = monday.person()

    order = data_of(limit(monday, person, 100_000, time_in_force="DAY"), 201)

    assert order["status"] == "PENDING"
    problem_of(limit(monday, person, 100_050), "invalid-tick-size")
    assert shown_limits(monday, person)[0] == (None, None)


def test_base_price_of_today_limits_orders(monday: Api) -> None:
    last_trade(monday, 70_000, base=69_000, traded_at=datetime(2026, 11, 23, 8, 34, tzinfo=KST))
    person = monday.person()

    assert refuses(monday, person, 100_000) == (48_300, 89_700)
    assert shown_limits(monday, person)[0] == (48_300, 89_700)


def test_order_outside_the_new_days_limits_ends_by_the_regime_of_that_day(api: Api) -> None:
    """A GTC buy at 60 % of the offer price is outside the ±30 % of the second day."""
    change(api.harness, listed_on=TODAY)
    api.harness.tick(10_000, base=10_000)
    person = api.person()
    order = data_of(limit(api, person, 6_000), 201)
    api.harness.clock.now = datetime(2026, 11, 23, 9, 0, 5, tzinfo=KST)
    api.harness.tick(20_000, base=20_000)
    api.harness.match()

    found = data_of(api.get(f"/trading/orders/{order['id']}", person))

    assert (found["status"], found["reason"]) == ("CANCELLED", EndReason.PRICE_OUT_OF_LIMITS)
