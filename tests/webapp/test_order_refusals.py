"""Refusals by market rules name the facts that make the next order succeed."""

from datetime import datetime
from typing import Any

import pytest

from tests.support.trading_harness import HYNIX
from tests.trading.orders.steps import set_status
from tests.webapp.client import Api, Person, data_of, problem_of

ETF = "A069500"


@pytest.fixture
def person(api: Api) -> Person:
    """A user in a market whose last trade and base price are 70,000 won."""
    api.harness.tick(70_000, base=70_000)
    return api.person()


def limit(
    api: Api, who: Person, price: int, side: str = "BUY", quantity: int = 1, **more: Any
) -> Any:
    return api.order(who, side, quantity, order_type="LIMIT", price=price, **more)


@pytest.mark.parametrize(
    ("price", "step", "nearest"),
    [
        (69_950, 100, [69_900, 70_000]),
        (70_001, 100, [70_000, 70_100]),
        (49_999, 50, [49_950, 50_000]),
        (50_050, 100, [50_000, 50_100]),
    ],
)
def test_invalid_tick_size_has_the_nearest_prices(
    api: Api, person: Person, price: int, step: int, nearest: list[int]
) -> None:
    """Either of them is accepted."""
    refused = problem_of(limit(api, person, price), "invalid-tick-size")

    assert (refused["price"], refused["tick_size"], refused["nearest_prices"]) == (
        price,
        step,
        nearest,
    )
    for legal in nearest:
        data_of(limit(api, person, legal), 201)


def test_fund_has_its_own_tick_sizes(api: Api, person: Person) -> None:
    """An ETF has 5 won where a share has 50."""
    api.harness.tick(35_000, ETF, base=35_000)

    refused = problem_of(limit(api, person, 34_998, code=ETF), "invalid-tick-size")

    assert refused["nearest_prices"] == [34_995, 35_000]
    data_of(limit(api, person, 34_995, code=ETF), 201)


@pytest.mark.parametrize(("price", "inside"), [(48_950, 49_000), (91_100, 91_000)])
def test_price_out_of_range_has_the_limits(
    api: Api, person: Person, price: int, inside: int
) -> None:
    """The limit itself is accepted."""
    refused = problem_of(limit(api, person, price), "price-out-of-range")

    facts = [refused[name] for name in ("price", "lower_limit", "upper_limit", "base_price")]
    assert facts == [price, 49_000, 91_000, 70_000]
    data_of(limit(api, person, inside), 201)


@pytest.mark.parametrize(
    "kind", [{}, {"order_type": "LIMIT", "price": 63_700}], ids=["market", "limit"]
)
def test_insufficient_cash_has_the_largest_quantity(
    api: Api, person: Person, kind: dict[str, Any]
) -> None:
    """It is accepted; one share more is not."""
    api.limit_order(person, quantity=1)

    refused = problem_of(api.order(person, "BUY", 1_000, **kind), "insufficient-cash")

    assert refused["available"] == 10_000_000 - 60_009
    assert refused["needed"] > refused["available"]
    largest = refused["largest_quantity"]
    problem_of(api.order(person, "BUY", largest + 1, **kind), "insufficient-cash")
    data_of(api.order(person, "BUY", largest, **kind), 201)
    assert api.harness.breaches() == []


def test_insufficient_quantity_has_the_reserving_orders(api: Api, person: Person) -> None:
    """Cancelling one of them makes the sale succeed."""
    api.bought(person, 10)
    first, second = (api.limit_order(person, "SELL", quantity, 80_000) for quantity in (3, 4))
    api.limit_order(person, "BUY", 1)

    refused = problem_of(limit(api, person, 80_000, "SELL", 4), "insufficient-quantity")

    assert [refused[name] for name in ("needed", "held", "reserved")] == [4, 10, 7]
    assert refused["reserved_by"] == [first["id"], second["id"]]
    api.ask("DELETE", f"/trading/orders/{first['id']}", person)
    data_of(limit(api, person, 80_000, "SELL", 4), 201)


@pytest.mark.parametrize("status", ["HALTED", "DELISTED"])
def test_untradable_stock_is_refused(api: Api, person: Person, status: str) -> None:
    """Open orders of it can be cancelled."""
    api.harness.tick(200_000, HYNIX)
    api.bought(person, 2, HYNIX)
    waiting = api.limit_order(person, code=HYNIX, price=150_000, quantity=1)
    set_status(api.harness, status, HYNIX)

    path = f"/trading/orders/{waiting['id']}"
    for answer in (
        api.order(person, "BUY", 1, HYNIX),
        api.order(person, "SELL", 1, HYNIX),
        limit(api, person, 150_000, code=HYNIX),
        api.ask("PATCH", path, person, json={"price": 151_000}),
    ):
        refused = problem_of(answer, "stock-not-tradable")
        assert (refused["stock_code"], refused["stock_status"]) == (HYNIX, status)
    assert data_of(api.ask("DELETE", path, person))["status"] == "CANCELLED"


def at(api: Api, moment: str) -> None:
    """Set the time in Korea."""
    api.harness.clock.now = datetime.fromisoformat(f"{moment}+09:00")


@pytest.mark.parametrize(
    ("moment", "kind", "next_open"),
    [
        ("2026-11-20T08:29:59", {}, "2026-11-20T08:30:00+09:00"),
        ("2026-11-20T15:30:00", {}, "2026-11-23T08:30:00+09:00"),
        ("2026-11-20T17:00:00", {}, "2026-11-23T08:30:00+09:00"),
        (
            "2026-11-20T08:59:59",
            {"time_in_force": "IOC", "price": 60_000},
            "2026-11-20T09:00:00+09:00",
        ),
        (
            "2026-11-20T15:45:00",
            {"time_in_force": "IOC", "price": 60_000},
            "2026-11-20T16:00:00+09:00",
        ),
        (
            "2026-11-20T20:00:00",
            {"time_in_force": "FOK", "price": 60_000},
            "2026-11-23T09:00:00+09:00",
        ),
        ("2026-11-19T09:15:00", {}, "2026-11-19T09:30:00+09:00"),
        ("2026-12-31T12:00:00", {}, "2027-01-04T09:30:00+09:00"),
    ],
)
def test_closed_market_has_the_next_opening(
    krx_api: Api, moment: str, kind: dict[str, Any], next_open: str
) -> None:
    """The order is accepted then."""
    api, person = krx_api, krx_api.person()
    at(api, moment)
    api.harness.tick(70_000)
    body = {"order_type": "LIMIT", **kind} if kind else {}

    refused = problem_of(api.order(person, "BUY", 1, **body), "market-closed")

    assert refused["next_open"] == next_open
    api.harness.clock.now = datetime.fromisoformat(next_open)
    api.harness.tick(70_000)
    data_of(api.order(api.signed_in(person.email), "BUY", 1, **body), 201)


@pytest.mark.parametrize(
    "moment", ["2026-11-20T08:00:00", "2026-11-20T15:45:00", "2026-11-21T12:00:00"]
)
def test_resting_orders_are_accepted_at_any_time(krx_api: Api, moment: str) -> None:
    """They can be amended and cancelled too."""
    api = krx_api
    at(api, moment)
    person = api.person()

    for time_in_force in ("DAY", "GTC"):
        path = f"/trading/orders/{api.limit_order(person, time_in_force=time_in_force)['id']}"
        assert data_of(api.ask("PATCH", path, person, json={"price": 61_000}))["price"] == 61_000
        assert data_of(api.ask("DELETE", path, person))["status"] == "CANCELLED"


def test_yesterdays_price_limits_do_not_apply_to_tomorrow(krx_api: Api) -> None:
    """After the day's end the next base price is unknown, so only the tick size is checked."""
    api, person = krx_api, krx_api.person()
    at(api, "2026-11-20T15:00:00")
    api.harness.tick(70_000, base=70_000)
    problem_of(limit(api, person, 30_000), "price-out-of-range")

    at(api, "2026-11-20T21:00:00")

    data_of(limit(api, person, 30_000), 201)
    problem_of(limit(api, person, 30_025), "invalid-tick-size")
