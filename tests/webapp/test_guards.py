"""Authentication and ownership on every route in the URL map."""

import re
from uuid import UUID, uuid4

import pytest

from tests.trading.orders.steps import everything
from tests.trading.payments.payment_rows import partly_refunded_payment
from tests.webapp.client import Api, data_of, problem_of
from trading.stocks.listing import seed_listing

PUBLIC = {
    ("POST", "/users"),
    ("POST", "/users/login"),
    ("GET", "/trading/realtime/daemon/health"),
    ("GET", "/market/clock"),
    ("GET", "/market/calendar"),
    ("GET", "/market/rules"),
    ("POST", "/payments/portone/webhook"),
}

# Bodies of routes that name a resource by id.
BODIES = {
    ("PATCH", "/trading/orders/<uuid:order_id>"): {"price": 61_000},
    ("POST", "/payments/<payment_id>/cancel"): {"amount": 1},
    ("PATCH", "/watchlist/<uuid:item_id>"): {"memo": "메모"},
    ("PATCH", "/watchlist/directories/<uuid:directory_id>"): {"name": "이름"},
}


def routes(api: Api) -> list[tuple[str, str]]:
    """Return method and rule of every route below the prefix."""
    return sorted(
        (method, rule.rule.removeprefix("/api/v1"))
        for rule in api.app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/")
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    )


def _filled(rule: str, **ids: str) -> str:
    rule = re.sub(r"<uuid:(\w+)>", lambda match: ids.get(match[1], str(uuid4())), rule)
    return re.sub(r"<\w+>", "A005930", rule)


@pytest.mark.parametrize("body", [None, b"{}", b'{"amount": 1}'])
def test_unauthenticated_requests_are_refused_first(sqlite_api: Api, body: bytes | None) -> None:
    """Every route that is not public answers 401 before it looks at the input."""
    asked = [route for route in routes(sqlite_api) if route not in PUBLIC]
    assert len(asked) > 20

    for method, rule in asked:
        more = (
            {} if body is None else {"data": body, "headers": {"Content-Type": "application/json"}}
        )
        problem_of(sqlite_api.ask(method, _filled(rule), **more), "unauthorized")


def test_administration_requires_an_administrator(api: Api) -> None:
    """Every such route is 403 for users, has no effect for them, and works for an administrator."""
    user, administrator = api.person(), api.administrator()
    asked = [route for route in routes(api) if route[1].startswith("/admin/")]
    assert len(asked) >= 2

    for method, rule in asked:
        before = everything(api.harness)
        for body in ({}, {"json": {}}, {"json": {"no_such_member": 1}}):
            problem_of(api.ask(method, _filled(rule), user, **body), "forbidden")
        assert everything(api.harness) == before
        path = _filled(rule, user_id=user.id)
        assert api.ask(method, path, administrator).status_code not in (401, 403, 404, 405, 500), (
            rule
        )


def test_resources_with_ids_belong_to_their_owner(api: Api) -> None:
    """Every route with an id works for the owner, and is 404 without effect for another user."""
    owner, other = api.person(), api.person()
    api.harness.tick(70_000)
    api.bought(owner)
    transaction = data_of(api.post("/balance/deposit", owner, {"amount": 1}), 201)
    named = [
        (method, rule)
        for method, rule in routes(api)
        if "<" in rule and not rule.startswith(("/trading/realtime/", "/stocks/", "/admin/"))
    ]
    assert len(named) >= 6
    stocks = seed_listing()
    payment_id = partly_refunded_payment(api.harness, UUID(owner.id)).hex

    for number, (method, rule) in enumerate(named):
        # New resources each time, because some routes end them.
        order = api.limit_order(owner)
        own = {
            "order_id": order["id"],
            "transaction_id": transaction["id"],
            "stock_code": "A005930",
        }
        own["payment_id"] = payment_id
        if rule.startswith("/watchlist"):
            own["directory_id"] = data_of(
                api.post("/watchlist/directories", owner, {"name": f"{number}"}), 201
            )["id"]
            own["item_id"] = data_of(
                api.post("/watchlist", owner, {"stock_code": stocks[number].code}), 201
            )["id"]
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match, own=own: own[match[1]], rule)
        body = {"json": BODIES[method, rule]} if (method, rule) in BODIES else {}
        before = everything(api.harness)
        assert api.ask(method, path, other, **body).status_code == 404, (method, rule)
        assert everything(api.harness) == before, (method, rule)
        assert api.ask(method, path, owner, **body).status_code < 300, (method, rule)


def test_cancelling_all_cancels_only_own_orders(api: Api) -> None:
    owner, other = api.person(), api.person()
    api.harness.tick(70_000)
    order = api.limit_order(owner)

    assert data_of(api.ask("DELETE", "/trading/orders", other))["cancelled"] == 0

    assert data_of(api.get(f"/trading/orders/{order['id']}", owner))["status"] == "PENDING"


def test_lists_show_only_own_items(api: Api) -> None:
    """Also when filtered by another user's ids."""
    owner, other = api.person(), api.person()
    api.harness.tick(70_000)
    order = api.bought(owner)

    assert data_of(api.get("/trading/orders", other))["items"] == []
    assert data_of(api.get(f"/trading/transactions?order_id={order['id']}", other))["items"] == []
    assert data_of(api.get("/portfolio", other))["items"] == []
    assert data_of(api.get("/balance", other))["cash_balance"] == api.harness.settings.starting_cash
