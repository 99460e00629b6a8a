"""Order previews: the order's figures and refusals, without side effects."""

from typing import Any

import pytest
from sqlalchemy import func, select

from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG
from tests.trading.orders.steps import everything, forget_reference_prices, set_status
from tests.webapp.client import Api, Person, data_of, problem_form
from trading.db.declarative import Base

MEMBERS = [
    "stock_code", "stock_name", "side", "order_type", "time_in_force", "quantity", "price",
    "amount", "commission", "transaction_tax",
    "rural_tax", "tax", "net_amount", "reserved_cash", "largest_quantity", "fills_at_once",
    "tick_age_ms", "lower_limit", "upper_limit",
]  # fmt: skip
PATH = "/trading/orders/preview"


def form(side: str = "BUY", quantity: int = 10, **more: Any) -> dict[str, Any]:
    """Return an order's body."""
    return {"stock_code": SAMSUNG, "side": side, "quantity": quantity, **more}


def limit(price: int, side: str = "BUY", quantity: int = 10, **more: Any) -> dict[str, Any]:
    """Return a limit order's body."""
    return form(side, quantity, order_type="LIMIT", price=price, **more)


def row_counts(api: Api) -> dict[str, int]:
    """Return the number of rows of every table."""
    return api.harness.core.database.read(
        lambda session: {
            table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
        }
    )


@pytest.fixture
def owner(api: Api) -> Person:
    """A user with ten shares in a market with a fresh trade."""
    person = api.person()
    api.harness.tick(70_000, base=70_000)
    api.bought(person, 10)
    return person


def test_preview_of_a_market_buy(api: Api, owner: Person) -> None:
    """At the last price, with a margin in the reservation."""
    preview = data_of(api.post(PATH, owner, form()))

    assert list(preview) == MEMBERS
    assert (preview["stock_name"], preview["order_type"], preview["time_in_force"]) == (
        "삼성전자",
        "MARKET",
        "DAY",
    )
    assert (preview["price"], preview["amount"], preview["commission"]) == (70_000, 700_000, 105)
    assert (preview["tax"], preview["transaction_tax"], preview["rural_tax"]) == (0, 0, 0)
    assert (preview["net_amount"], preview["reserved_cash"]) == (700_105, 714_107)
    assert (preview["largest_quantity"], preview["fills_at_once"], preview["tick_age_ms"]) == (
        130,
        True,
        0,
    )


def test_preview_of_a_limit_sale(api: Api, owner: Person) -> None:
    """At its limit minus commission and both taxes, each rounded down."""
    preview = data_of(api.post(PATH, owner, limit(71_300, "SELL", 4)))

    assert (preview["price"], preview["amount"], preview["commission"]) == (71_300, 285_200, 42)
    assert (preview["transaction_tax"], preview["rural_tax"], preview["tax"]) == (142, 427, 569)
    assert (preview["net_amount"], preview["reserved_cash"], preview["largest_quantity"]) == (
        284_589,
        0,
        10,
    )
    assert preview["fills_at_once"] is False


def test_unknown_figures_are_null(api: Api, owner: Person) -> None:
    api.harness.core.redis.flushall()

    preview = data_of(api.post(PATH, owner, form("SELL", 5)))

    unknown = (
        "price",
        "amount",
        "commission",
        "transaction_tax",
        "rural_tax",
        "tax",
        "net_amount",
        "tick_age_ms",
    )
    assert {preview[name] for name in unknown} == {None}
    assert (preview["largest_quantity"], preview["fills_at_once"]) == (10, False)


@pytest.mark.parametrize(
    "body",
    [
        form(),
        form("SELL"),
        limit(70_000),
        limit(69_900),
        limit(70_000, "SELL"),
        limit(70_100, "SELL"),
        limit(70_000, time_in_force="IOC"),
        limit(69_900, time_in_force="IOC"),
        limit(69_900, time_in_force="FOK"),
    ],
    ids=str,
)
@pytest.mark.parametrize("age_ms", [0, 10_001])
def test_order_matches_its_preview(
    api: Api, owner: Person, body: dict[str, Any], age_ms: int
) -> None:
    """Reservation and first execution are as previewed."""
    api.harness.tick(70_000, base=70_000, age_ms=age_ms)
    previewed = api.post(PATH, owner, body)
    placed = api.post("/trading/orders", owner, body)

    order = data_of(placed, 201)
    assert order["reserved_cash"] == data_of(previewed)["reserved_cash"]
    api.harness.run_all()
    status = data_of(api.get(f"/trading/orders/{order['id']}", owner))["status"]
    assert (status == "FILLED") is data_of(previewed)["fills_at_once"]


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize("price", [None, 64_300])
def test_largest_quantity_is_the_largest_accepted(
    api: Api, owner: Person, side: str, price: int | None
) -> None:
    kind = {} if price is None else {"order_type": "LIMIT", "price": price}
    largest = data_of(api.post(PATH, owner, form(side, 1, **kind)))["largest_quantity"]

    for path in (PATH, "/trading/orders"):
        assert api.post(path, owner, form(side, largest + 1, **kind)).status_code == 409
    data_of(api.post("/trading/orders", owner, form(side, largest, **kind)), 201)


@pytest.mark.parametrize(
    "body",
    [
        form(quantity=1_000),
        form("SELL", 11),
        limit(70_050),
        limit(20_000),
        limit(91_100),
        form(quantity=1_000_001),
        form(client_order_id="taken"),
        {**form(), "stock_code": "999999"},
        {**form(), "stock_code": HYNIX},
        {**form(), "stock_code": "A035720"},
        form(price=70_000),
        form(order_type="LIMIT"),
        form("HOLD"),
        {},
    ],
    ids=str,
)
def test_preview_is_refused_like_the_order(api: Api, owner: Person, body: dict[str, Any]) -> None:
    """Same code, facts and texts."""
    forget_reference_prices(api.harness)
    data_of(api.order(owner, "SELL", 1, client_order_id="taken"), 201)
    set_status(api.harness, "HALTED", HYNIX)
    differs = {"instance", "request_id"}

    previewed, met = (
        problem_form(api.post(path, owner, body)) for path in (PATH, "/trading/orders")
    )

    assert {name: previewed[name] for name in previewed.keys() - differs} == {
        name: met[name] for name in met.keys() - differs
    }


def test_preview_has_no_side_effects(api: Api, owner: Person) -> None:
    """No row, reservation, task or key."""
    before, counts = everything(api.harness), row_counts(api)

    with statements_counted(api.harness.core.database.engine) as statements:
        for body in (
            form(),
            form("SELL"),
            limit(60_000),
            form(quantity=1_000),
            form(client_order_id="mine"),
        ):
            api.post(PATH, owner, body, headers={"Idempotency-Key": "one-key"})

    assert (everything(api.harness), row_counts(api), api.harness.sent) == (before, counts, [])
    assert {statement.split()[0] for statement in statements} <= {"SELECT", "BEGIN"}
    data_of(api.post("/trading/orders", owner, form(), headers={"Idempotency-Key": "one-key"}), 201)


def test_preview_uses_only_own_holdings(api: Api, owner: Person) -> None:
    other = api.person()

    assert problem_form(api.post(PATH, other, form("SELL", 1)))["held"] == 0
    assert data_of(api.post(PATH, owner, form("SELL", 1)))["largest_quantity"] == 10
