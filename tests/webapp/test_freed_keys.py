"""A refusal about the moment frees the Idempotency-Key."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from tests.trading.orders.steps import (
    change_settings,
    forget_reference_prices,
    halt,
    resume,
    rows,
    set_status,
)
from tests.trading.threads import run_together
from tests.webapp.client import Api, Person, data_of, problem_of
from webapp.http.commands import KEY_HEADER, REPLAYED_HEADER

KEY = {KEY_HEADER: "one-key"}


def _deposit(api: Api, who: Person) -> None:
    data_of(api.post("/balance/deposit", who, {"amount": 10_000_000}), 201)


def _withdraw(api: Api, who: Person) -> None:
    data_of(api.post("/balance/withdraw", who, {"amount": 10_000_000}), 201)


def _buy(api: Api, who: Person) -> None:
    api.bought(who, 10)


def _halt(api: Api, who: Person) -> None:
    halt(api.harness, UUID(who.id))


def _resume(api: Api, who: Person) -> None:
    resume(api.harness, UUID(who.id))


def _halt_account(api: Api, who: Person) -> None:
    path = f"/admin/accounts/{who.id}/halt"
    data_of(api.post(path, api.administrator(), {"reason": "확인 중"}))


def _resume_account(api: Api, who: Person) -> None:
    path = f"/admin/accounts/{who.id}/resume"
    data_of(api.post(path, api.administrator(), {"note": "확인함"}))


def _halt_stock(api: Api, _who: Person) -> None:
    set_status(api.harness, "HALTED")


def _resume_stock(api: Api, _who: Person) -> None:
    set_status(api.harness, "TRADABLE")


def _forget_price(api: Api, _who: Person) -> None:
    forget_reference_prices(api.harness)
    api.harness.core.redis.flushdb()


def _tick(api: Api, _who: Person) -> None:
    api.harness.tick(70_000, base=70_000)


def _lower_base(api: Api, _who: Person) -> None:
    api.harness.tick(50_000, base=50_000)


def _nothing(_api: Api, _who: Person) -> None:
    pass


_LIMIT = {"order_type": "LIMIT", "price": 70_000}


@pytest.mark.parametrize(
    ("code", "before", "order", "after"),
    [
        ("insufficient-cash", _nothing, {"quantity": 200}, _deposit),
        ("insufficient-quantity", _nothing, {"side": "SELL"}, _buy),
        ("trading-halted", _halt, {}, _resume),
        ("account-halted", _halt_account, {}, _resume_account),
        ("stock-not-tradable", _halt_stock, {}, _resume_stock),
        ("no-live-price", _forget_price, {}, _tick),
        ("price-out-of-range", _lower_base, _LIMIT, _tick),
    ],
)
def test_momentary_refusal_frees_the_key(
    api: Api,
    code: str,
    before: Callable[[Api, Person], None],
    order: dict[str, Any],
    after: Callable[[Api, Person], None],
) -> None:
    """The same order with the same key is refused again while its reason lasts, then accepted."""
    person = api.person()
    api.harness.tick(70_000, base=70_000)
    order = {"side": "BUY", "quantity": 10, "headers": KEY, **order}

    before(api, person)
    for _ in range(2):
        refused = api.order(person, **order)
        problem_of(refused, code)
        assert REPLAYED_HEADER not in refused.headers
    after(api, person)
    placed = api.order(person, **order)

    data_of(placed, 201)
    assert REPLAYED_HEADER not in placed.headers
    assert api.order(person, **order).headers[REPLAYED_HEADER] == "true"


def test_closed_market_frees_the_key(krx_api: Api) -> None:
    """Friday 21:00 in Korea; accepted on Monday morning."""
    krx_api.harness.tick(70_000, base=70_000)
    krx_api.harness.clock.now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    person = krx_api.person()
    problem_of(krx_api.order(person, headers=KEY), "market-closed")

    krx_api.harness.clock.now = datetime(2026, 11, 20, 12, 14, tzinfo=UTC)
    problem_of(krx_api.order(person, headers=KEY), "market-closed")
    krx_api.harness.clock.now = datetime(2026, 11, 23, 0, tzinfo=UTC)
    person = krx_api.signed_in(person.email)
    placed = krx_api.order(person, headers=KEY)

    data_of(placed, 201)
    assert krx_api.order(person, headers=KEY).data == placed.data


@pytest.mark.parametrize(
    ("path", "code", "after"),
    [
        ("/balance/withdraw", "insufficient-cash", _deposit),
        ("/balance/deposit", "cash-limit-exceeded", _withdraw),
    ],
)
def test_refused_cash_movement_frees_the_key(
    api: Api, path: str, code: str, after: Callable[[Api, Person], None]
) -> None:
    change_settings(api.harness, cash_max=20_000_000)
    api.app.extensions["stocking"] = api.harness.core
    person = api.person()
    body = {"amount": 15_000_000}
    problem_of(api.post(path, person, body, headers=KEY), code)

    after(api, person)

    data_of(api.post(path, person, body, headers=KEY), 201)


def test_freed_key_admits_one_of_many_concurrent_requests(server_api: Api) -> None:
    """Requests that are refused, free the key and race with others place one order."""
    api, person = server_api, server_api.person()
    api.harness.tick(70_000)

    def request(number: int) -> TestResponse:
        client = api.another_client()
        if number == 0:
            return client.post("/balance/deposit", person, {"amount": 10_000_000})
        return client.order(person, "BUY", 200, headers=KEY)

    works = [partial(request, number) for number in range(10)]
    answers = [answer for _ in range(3) for answer in run_together(*works)]

    found = Counter(
        answer.get_json().get("code", answer.status_code)
        for answer in answers
        if "/trading/orders" in answer.request.path
    )
    assert set(found) <= {201, "insufficient-cash", "request-in-progress"}, found
    data_of(api.order(person, "BUY", 200, headers=KEY), 201)
    assert len(rows(api.harness, "SELECT id FROM orders")) == 1
    assert api.harness.breaches() == []
