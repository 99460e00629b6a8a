"""Orders, cash, ledger, holdings and quotes: response members, filters and pages."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from tests.support.trading_harness import HYNIX, SAMSUNG, opened, settings_for
from tests.trading.orders.steps import set_status
from tests.trading.portfolio.days import close
from tests.webapp.client import Api, Person, api_on, data_of, problem_of
from trading.exchange.hours import KrxHours
from trading.exchange.order_types import OrderType
from trading.exchange.time import trade_date
from trading.marketdata.errors import SUBSCRIPTION_WAIT_S
from trading.marketdata.topics import trade_topic
from trading.redis import keys

ORDER_MEMBERS = [
    "id", "client_order_id", "stock_code", "stock_name", "side", "order_type", "time_in_force",
    "quantity", "price", "status",
    "reason", "executed_quantity", "remaining_quantity", "executed_amount", "reserved_cash",
    "accepted_at", "expires_at", "finished_at", "executions",
]  # fmt: skip
EXECUTION_MEMBERS = [
    "id", "price", "quantity", "amount", "commission", "tax", "transaction_tax", "rural_tax",
    "realized_profit", "rule", "session",
    "tick_price", "tick_traded_at", "tick_age_ms", "tick_position", "executed_at", "settled_at",
    "applied_at",
]  # fmt: skip
TRANSACTION_MEMBERS = [
    "id", "user_id", "sequence", "transaction_type", "stock_id", "stock_name", "order_id",
    "quantity", "price", "amount",
    "commission", "tax", "realized_profit", "cash_balance_before", "cash_balance_after",
    "description", "transaction_date",
]  # fmt: skip
BALANCE_MEMBERS = [
    "cash_balance", "available_cash", "reserved_cash", "debt", "invested_amount", "holdings_value",
    "total_assets", "freshness", "price_day", "unpriced_holdings", "stale_holdings",
]  # fmt: skip
HOLDING_MEMBERS = [
    "stock_code", "name", "market", "sector", "quantity", "reserved_quantity", "sellable_quantity",
    "average_price", "cost",
    "buy_commission", "price", "price_day", "base_price", "price_age_ms", "freshness",
    "traded_today", "value", "unrealized_profit", "unrealized_profit_rate_bp",
    "todays_change", "todays_change_rate_bp", "weight_bp", "realized_profit",
]  # fmt: skip
QUOTE_MEMBERS = [
    "stock_code", "price", "base_price", "change", "change_rate_bp", "volume", "cumulative_volume",
    "trade_type", "session",
    "exchange", "traded_at", "received_at", "price_day", "age_ms", "freshness", "position",
]  # fmt: skip
START = 10_000_000


def _all_items(api: Api, path: str, who: Person, limit: int) -> list[dict[str, Any]]:
    """Return all items of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = data_of(api.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}", who))
        assert list(page)[:2] == ["items", "next_cursor"]
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        assert page["items"]
        cursor = f"&cursor={page['next_cursor']}"


def test_order_is_accepted_and_filled(api: Api) -> None:
    """The 201 has reservation and Location, which shows the fill with its tick."""
    person = api.person()
    api.harness.tick(70_000)

    answer = api.order(person, "BUY", 10, client_order_id="my-1")

    accepted = data_of(answer, 201)
    assert list(accepted) == ORDER_MEMBERS
    assert (accepted["status"], accepted["reserved_cash"], accepted["executions"]) == (
        "PENDING",
        714_107,
        [],
    )
    assert (accepted["client_order_id"], accepted["price"], accepted["remaining_quantity"]) == (
        "my-1",
        None,
        10,
    )
    assert answer.headers["Location"] == f"/api/v1/trading/orders/{accepted['id']}"
    api.harness.run_all()
    filled = data_of(api.client.get(answer.headers["Location"], headers=person.headers))
    assert (filled["status"], filled["executed_quantity"], filled["remaining_quantity"]) == (
        "FILLED",
        10,
        0,
    )
    assert (filled["executed_amount"], filled["reserved_cash"]) == (700_000, 0)
    (execution,) = filled["executions"]
    assert list(execution) == EXECUTION_MEMBERS
    assert (execution["price"], execution["amount"], execution["commission"], execution["tax"]) == (
        70_000,
        700_000,
        105,
        0,
    )
    for moment in ("executed_at", "settled_at", "applied_at", "tick_traded_at"):
        assert datetime.fromisoformat(execution[moment]).utcoffset() is not None


@pytest.mark.parametrize("code", ["A005930", "005930"])
def test_stock_code_without_the_letter_is_accepted(api: Api, code: str) -> None:
    person = api.person()
    api.harness.tick(70_000)

    order = api.bought(person, code=code)

    assert order["stock_code"] == SAMSUNG
    assert len(data_of(api.get(f"/trading/orders?stock_code={code}", person))["items"]) == 1
    assert len(data_of(api.get(f"/trading/transactions?stock_code={code}", person))["items"]) == 1
    assert data_of(api.get(f"/portfolio/{code}", person))["stock_code"] == SAMSUNG
    assert data_of(api.get(f"/trading/realtime/stock/{code}", person))["stock_code"] == SAMSUNG
    several = data_of(api.get(f"/trading/realtime/stocks/multiple?stock_codes={code}", person))
    assert [quote["stock_code"] for quote in several["stocks"]] == [SAMSUNG]


def test_orders_are_filtered_and_paged(api: Api) -> None:
    """Pages of any size contain each order once."""
    person, other = api.person(), api.person()
    api.harness.tick(70_000)
    api.harness.tick(200_000, HYNIX)
    for _ in range(3):
        api.bought(person, 1)
        api.bought(person, 1, HYNIX)
    api.bought(other, 5)
    api.order(person, "SELL", 2)

    everything = _all_items(api, "/trading/orders", person, 100)

    assert len(everything) == 7
    assert [one["id"] for one in everything] == sorted(
        (one["id"] for one in everything), reverse=True
    )
    for limit in (1, 2, 7):
        assert _all_items(api, "/trading/orders", person, limit) == everything
    for query, expected in {
        "status=PENDING": 1, "status=FILLED": 6, "side=SELL": 1, "stock_code=A000660": 3,
        "stock_code=000660&side=SELL": 0,
        "from=2026-11-20": 7, "to=2026-11-20": 7, "to=2026-11-19": 0, "from=2026-11-21": 0,
    }.items():  # fmt: skip
        assert len(_all_items(api, f"/trading/orders?{query}", person, 2)) == expected, query


def test_order_day_is_the_korean_day(api: Api) -> None:
    """An order at 00:30 in Seoul belongs to the day that has begun there."""
    person = api.person()
    api.harness.clock.advance(
        hours=14, minutes=30
    )  # 2026-11-20 15:30 UTC is 2026-11-21 00:30 in Korea.
    api.harness.tick(70_000)

    api.order(person)

    assert (
        len(data_of(api.get("/trading/orders?from=2026-11-21&to=2026-11-21", person))["items"]) == 1
    )
    assert data_of(api.get("/trading/orders?to=2026-11-20", person))["items"] == []


def test_deposit_and_withdrawal(api: Api) -> None:
    """Each is a ledger entry with the balance before and after."""
    person = api.person()

    deposit = api.post("/balance/deposit", person, {"amount": 500_000})
    withdrawal = api.post("/balance/withdraw", person, {"amount": 200_000})

    moved = data_of(deposit, 201)
    assert list(moved) == TRANSACTION_MEMBERS
    assert (
        moved["transaction_type"],
        moved["cash_balance_before"],
        moved["cash_balance_after"],
    ) == (
        "DEPOSIT",
        START,
        10_500_000,
    )
    assert moved["user_id"] == person.id
    for answer in (deposit, withdrawal):
        found = data_of(api.client.get(answer.headers["Location"], headers=person.headers))
        assert found == answer.get_json()["data"]
    balance = data_of(api.get("/balance", person))
    assert list(balance) == BALANCE_MEMBERS
    assert balance == {
        "cash_balance": 10_300_000, "available_cash": 10_300_000, "reserved_cash": 0, "debt": 0,
        "invested_amount": 0,
        "holdings_value": 0, "total_assets": 10_300_000, "freshness": None, "price_day": None,
        "unpriced_holdings": 0, "stale_holdings": 0,
    }  # fmt: skip


def test_balance_shows_the_reservation(api: Api) -> None:
    """An accepted buy moves no cash, and total assets stay the same."""
    person = api.person()
    api.harness.tick(70_000)

    api.order(person, "BUY", 10)

    balance = data_of(api.get("/balance", person))
    assert (balance["cash_balance"], balance["reserved_cash"], balance["available_cash"]) == (
        START,
        714_107,
        START - 714_107,
    )
    assert balance["total_assets"] == START
    assert len(data_of(api.get("/balance/history", person))["items"]) == 1


def test_ledger_is_filtered_and_paged(api: Api) -> None:
    person = api.person()
    api.harness.tick(70_000)
    order = api.bought(person, 4)
    api.order(person, "SELL", 1)
    api.harness.run_all()
    api.post("/balance/withdraw", person, {"amount": 1})

    ledger = _all_items(api, "/trading/transactions", person, 100)

    assert [one["transaction_type"] for one in ledger] == ["WITHDRAW", "SELL", "BUY", "DEPOSIT"]
    assert all(list(one) == TRANSACTION_MEMBERS for one in ledger)
    assert [one["sequence"] for one in ledger] == [4, 3, 2, 1]
    assert [one["cash_balance_before"] for one in ledger[:-1]] == [
        one["cash_balance_after"] for one in ledger[1:]
    ]
    sale = ledger[1]
    assert (sale["stock_id"], sale["stock_name"], sale["quantity"], sale["price"]) == (
        SAMSUNG,
        "삼성전자",
        1,
        70_000,
    )
    assert sale["realized_profit"] is not None
    assert _all_items(api, "/trading/transactions", person, 3) == ledger
    for query, expected in {
        "transaction_type=BUY": 1, "transaction_type=FEE": 0, "stock_code=005930": 2,
        f"order_id={order['id']}": 1,
        "from=2026-11-20&to=2026-11-20": 4, "from=2026-11-21": 0,
    }.items():  # fmt: skip
        assert len(_all_items(api, f"/trading/transactions?{query}", person, 2)) == expected, query
    assert data_of(api.get(f"/trading/transactions/{sale['id']}", person)) == sale


def test_portfolio_is_valued_at_live_prices(api: Api) -> None:
    """Holdings and totals agree with the balance."""
    person = api.person()
    api.harness.tick(70_000)
    api.harness.tick(200_000, HYNIX)
    api.bought(person, 10)
    api.bought(person, 1, HYNIX)
    api.harness.tick(80_000, base=75_000)
    api.order(person, "SELL", 3)

    page = data_of(api.get("/portfolio", person))

    assert page["next_cursor"] is None
    hynix, samsung = page["items"]
    assert list(samsung) == HOLDING_MEMBERS
    assert (hynix["stock_code"], samsung["stock_code"]) == (HYNIX, SAMSUNG)
    assert (samsung["quantity"], samsung["reserved_quantity"], samsung["sellable_quantity"]) == (
        10,
        3,
        7,
    )
    assert (samsung["average_price"], samsung["value"], samsung["todays_change"]) == (
        70_000,
        800_000,
        99_895,
    )
    assert (samsung["unrealized_profit"], samsung["weight_bp"], hynix["weight_bp"]) == (
        99_895,
        8_000,
        2_000,
    )
    assert (samsung["freshness"], samsung["price_age_ms"]) == ("LIVE", 0)
    assert data_of(api.get(f"/portfolio/{SAMSUNG}", person))["value"] == 800_000
    summary, balance = (
        data_of(api.get("/portfolio/summary", person)),
        data_of(api.get("/balance", person)),
    )
    assert summary["holdings_value"] == balance["holdings_value"] == 1_000_000
    assert summary["total_assets"] == balance["total_assets"] == balance["cash_balance"] + 1_000_000
    assert (
        summary["todays_change"] == samsung["unrealized_profit"] + hynix["unrealized_profit"]
    )  # All were bought today.


def test_holding_is_valued_after_the_close(api: Api) -> None:
    """10 shares with a recorded close of 71,000, asked at 21:00."""
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 10)
    close(api.harness, date(2026, 11, 20), 71_000)
    api.harness.core.redis.flushall()
    api.harness.clock.advance(hours=11)
    person = api.signed_in(person.email)

    (holding,) = data_of(api.get("/portfolio", person))["items"]
    balance = data_of(api.get("/balance", person))
    summary = data_of(api.get("/portfolio/summary", person))
    (today,) = data_of(api.get("/portfolio/history", person))["items"]

    total = balance["cash_balance"] + 710_000
    assert [found["total_assets"] for found in (balance, summary, today)] == [total] * 3
    marks = ("CLOSE", "2026-11-20")
    assert [(found["freshness"], found["price_day"]) for found in (holding, balance, summary)] == [
        marks
    ] * 3
    assert (holding["price"], holding["value"], holding["weight_bp"]) == (71_000, 710_000, 10_000)
    assert (summary["unpriced_holdings"], summary["holdings_at_close"]) == (0, 1)
    assert summary["todays_change"] == 10_000 - 105


def test_old_price_is_stale(api: Api) -> None:
    """It still values the holding."""
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 1)
    api.harness.clock.advance(seconds=11)

    assert data_of(api.get("/portfolio", person))["items"][0]["freshness"] == "STALE"
    assert data_of(api.get("/balance", person))["stale_holdings"] == 1
    quote = data_of(api.get(f"/trading/realtime/stock/{SAMSUNG}", person))
    assert (quote["freshness"], quote["age_ms"]) == ("STALE", 11_000)


def test_quotes_of_one_several_and_all_stocks(sqlite_api: Api) -> None:
    """A stock without a tick is listed as unknown, or 404 alone."""
    api, person = sqlite_api, sqlite_api.person()
    api.harness.tick(70_000, base=69_000)
    api.harness.tick(200_000, HYNIX)

    one = data_of(api.get("/trading/realtime/stock/005930", person))
    several = data_of(
        api.get(
            "/trading/realtime/stocks/multiple?stock_codes=000660&stock_codes=A000660&stock_codes=035720",
            person,
        )
    )
    every = data_of(api.get("/trading/realtime/stocks/all", person))

    assert list(one) == QUOTE_MEMBERS
    assert (
        one["price"],
        one["change"],
        one["change_rate_bp"],
        one["age_ms"],
        one["freshness"],
    ) == (
        70_000,
        1_000,
        145,
        0,
        "LIVE",
    )
    assert [quote["stock_code"] for quote in several["stocks"]] == [HYNIX]
    assert several["unknown"] == ["A035720"]
    assert (every["total_count"], [quote["stock_code"] for quote in every["stocks"]]) == (
        2,
        [HYNIX, SAMSUNG],
    )
    problem_of(api.get("/trading/realtime/stock/999999", person), "stock-not-found")


def test_quote_of_a_stock_without_a_tick_is_its_recorded_price(api: Api) -> None:
    person = api.person()
    close(api.harness, date(2026, 11, 19), 71_000)

    quote = data_of(api.get(f"/trading/realtime/stock/{SAMSUNG}", person))
    several = data_of(
        api.get(
            f"/trading/realtime/stocks/multiple?stock_codes={SAMSUNG}&stock_codes=000660", person
        )
    )

    assert sorted(quote) == sorted(QUOTE_MEMBERS)
    assert (quote["price"], quote["freshness"], quote["price_day"]) == (
        71_000,
        "CLOSE",
        "2026-11-19",
    )
    assert (quote["change"], quote["change_rate_bp"]) == (0, 0)
    assert [quote[name] for name in ("volume", "position", "received_at")] == [None] * 3
    assert several == {"stocks": [quote], "unknown": [HYNIX]}


def test_listed_stock_without_any_price_is_subscribed(api: Api) -> None:
    """The relayer subscribes within the time of Retry-After."""
    person = api.person()

    refused = api.get("/trading/realtime/stock/035720", person)

    assert problem_of(refused, "no-live-price")["stock_code"] == "A035720"
    assert refused.headers["Retry-After"] == str(SUBSCRIPTION_WAIT_S)
    requested = api.harness.core.redis.zrange(keys.RELAYER_REQUESTED_SUBSCRIPTIONS, 0, -1)
    assert requested == [trade_topic("A035720")]


def test_delisted_stock_without_any_price_is_not_subscribed(api: Api) -> None:
    set_status(api.harness, "DELISTED", "A035720")

    problem_of(api.get("/trading/realtime/stock/035720", api.person()), "stock-not-tradable")

    assert api.harness.core.redis.zcard(keys.RELAYER_REQUESTED_SUBSCRIPTIONS) == 0


def test_price_of_a_stock_is_retried_after_the_opening(database_uri: str, valkey_url: str) -> None:
    """Asked on a Saturday at 10:00, the stock is traded on Monday from 08:00 at the earliest."""
    with opened(settings_for(database_uri, valkey_url, market_hours="krx")) as harness:
        api = api_on(harness)
        harness.clock.advance(days=1)
        refused = api.get(f"/trading/realtime/stock/{SAMSUNG}", api.person())
        retry = harness.clock() + timedelta(seconds=int(refused.headers["Retry-After"]))
    problem_of(refused, "no-live-price")
    assert trade_date(retry) == date(2026, 11, 23)
    assert KrxHours({}).accepts_at_once(retry, order_type=OrderType.MARKET, kind="STOCK")


def test_order_with_every_member_is_accepted(api: Api) -> None:
    """Members that a market order cannot have are refused."""
    person = api.person()
    api.harness.tick(70_000)

    order = data_of(api.order(person, "BUY", 1, time_in_force="DAY", price=None), 201)

    assert (order["time_in_force"], order["price"]) == ("DAY", None)
    problem_of(api.order(person, "BUY", 1, price=70_000), "validation-failed")
    problem_of(api.order(person, "BUY", 1, order_type="LIMIT"), "validation-failed")
