"""Refusals with status, facts and texts."""

from uuid import uuid4

from sqlalchemy import update

from tests.support.trading_harness import HYNIX, SAMSUNG, opened, settings_for
from tests.trading.orders.steps import forget_reference_prices
from tests.webapp.client import PASSWORD, Api, api_on, data_of, problem_of
from trading.stocks.tables import STOCKS


def test_insufficient_cash(api: Api) -> None:
    """With needed and available cash and the largest quantity."""
    person = api.person()
    api.harness.tick(70_000)

    refused = problem_of(api.order(person, "BUY", 1_000), "insufficient-cash")

    assert (refused["needed"], refused["available"], refused["largest_quantity"]) == (
        71_410_710,
        10_000_000,
        140,
    )
    data_of(api.order(person, "BUY", 140), 201)


def test_withdrawal_of_reserved_cash(api: Api) -> None:
    person = api.person()
    api.harness.tick(70_000)
    api.order(person, "BUY", 10)

    refused = problem_of(
        api.post("/balance/withdraw", person, {"amount": 9_285_894}), "insufficient-cash"
    )

    assert (refused["needed"], refused["available"]) == (9_285_894, 9_285_893)
    data_of(api.post("/balance/withdraw", person, {"amount": 9_285_893}), 201)


def test_insufficient_quantity(api: Api) -> None:
    """Reserved shares cannot be sold again."""
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 10)
    api.order(person, "SELL", 7)

    refused = problem_of(api.order(person, "SELL", 4), "insufficient-quantity")

    assert (refused["needed"], refused["held"], refused["reserved"]) == (4, 10, 7)


def test_unknown_and_halted_stock(api: Api) -> None:
    person = api.person()
    halt = update(STOCKS).where(STOCKS.c.code == HYNIX).values(status="HALTED")
    api.harness.core.database.transaction(lambda session: session.execute(halt))
    for code in ("A999999", HYNIX):
        api.harness.tick(70_000, code)

    assert (
        problem_of(api.order(person, code="999999"), "stock-not-found")["stock_code"] == "A999999"
    )
    assert (
        problem_of(api.order(person, code=HYNIX), "stock-not-tradable")["stock_status"] == "HALTED"
    )


def test_market_buy_needs_some_price(api: Api) -> None:
    """A sale waits for one, and so does a buy whose reservation is known."""
    forget_reference_prices(api.harness)
    person = api.person()
    assert problem_of(api.order(person), "no-live-price")["age_ms"] is None
    api.harness.tick(70_000)
    api.bought(person)
    api.harness.clock.advance(seconds=10.001)

    assert data_of(api.order(person), 201)["status"] == "PENDING"
    assert data_of(api.order(person, "SELL", 1), 201)["status"] == "PENDING"


def test_cash_limit_of_an_account(migrated_sqlite: str, valkey_url: str) -> None:
    with opened(settings_for(migrated_sqlite, valkey_url, cash_max=10_000_100)) as harness:
        api = api_on(harness)
        person = api.person()

        refused = problem_of(
            api.post("/balance/deposit", person, {"amount": 101}), "cash-limit-exceeded"
        )

        assert refused["limit"] == 10_000_100
        data_of(api.post("/balance/deposit", person, {"amount": 100}), 201)


def test_client_order_id_is_unique_per_user(api: Api) -> None:
    person, other = api.person(), api.person()
    api.harness.tick(70_000)
    api.order(person, client_order_id="mine")

    refused = problem_of(api.order(person, client_order_id="mine"), "client-order-id-taken")

    assert refused["client_order_id"] == "mine"
    data_of(api.order(other, client_order_id="mine"), 201)


def test_unknown_ids_and_paths(api: Api) -> None:
    person = api.person()

    problem_of(api.get(f"/trading/orders/{uuid4()}", person), "order-not-found")
    problem_of(api.get(f"/trading/transactions/{uuid4()}", person), "transaction-not-found")
    problem_of(api.get(f"/portfolio/{SAMSUNG}", person), "holding-not-found")
    problem_of(api.get("/portfolio/no-code", person), "holding-not-found")
    problem_of(api.get("/trading/orders/1", person), "not-found")
    problem_of(api.get("/nothing/here"), "not-found")


def test_method_not_allowed_lists_the_methods(sqlite_api: Api) -> None:
    refused = sqlite_api.ask("PUT", "/trading/orders")

    problem_of(refused, "method-not-allowed")
    assert {"GET", "POST"} <= set(refused.headers["Allow"].split(", "))


def test_email_is_unique(api: Api) -> None:
    api.register("taken@example.com", password=PASSWORD)

    refused = problem_of(
        api.register("taken@example.com", password="another password"), "email-taken"
    )

    assert "taken@example.com" not in str(refused)
