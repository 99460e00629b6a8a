"""Halting and resuming trading, and its effect on users."""

from datetime import datetime
from typing import Any

import pytest

from tests.webapp.client import Api, Person, data_of, problem_of
from webapp.http.commands import KEY_HEADER, REPLAYED_HEADER

HALT, RESUME = "/admin/trading/halt", "/admin/trading/resume"
MEMBERS = ["id", "reason", "halted_at", "resumed_at"]


@pytest.fixture
def administrator(api: Api) -> Person:
    """An administrator in a market whose last trade was at 70,000 won."""
    api.harness.tick(70_000)
    return api.administrator()


def clock(api: Api) -> tuple[bool, str | None]:
    """Return the halt as shown by the market clock."""
    found = data_of(api.get("/market/clock"))
    return found["halted"], found["halted_since"]


def test_trading_is_halted_and_resumed(api: Api, administrator: Person) -> None:
    """The clock shows the halt."""
    began = api.harness.clock()
    halted = data_of(api.post(HALT, administrator, {"reason": " 시세 점검 "}))
    assert list(halted) == MEMBERS
    assert (halted["reason"], halted["resumed_at"]) == ("시세 점검", None)
    assert datetime.fromisoformat(halted["halted_at"]) == began
    assert clock(api) == (True, "2026-11-20T10:00:00+09:00")
    api.harness.clock.advance(minutes=5)

    resumed = data_of(api.post(RESUME, administrator))

    assert resumed["id"] == halted["id"]
    assert datetime.fromisoformat(resumed["resumed_at"]) == api.harness.clock()
    assert clock(api) == (False, None)


@pytest.mark.parametrize("body", [None, {}, {"reason": None}])
def test_reason_is_optional(api: Api, administrator: Person, body: dict[str, Any] | None) -> None:
    """So is the body."""
    assert data_of(api.post(HALT, administrator, body))["reason"] is None


def test_second_halt_returns_the_running_one(api: Api, administrator: Person) -> None:
    """One resume lifts it."""
    first = data_of(api.post(HALT, administrator, {"reason": "처음"}))
    again = api.post(HALT, api.administrator(), {"reason": "다음"})

    assert data_of(again) == first
    assert "이미" in again.get_json()["message"]
    data_of(api.post(RESUME, administrator))
    assert clock(api) == (False, None)


def test_resume_without_a_halt_has_no_effect(api: Api, administrator: Person) -> None:
    answer = api.post(RESUME, administrator)

    assert data_of(answer) is None
    assert "중단된 상태가 아닙니다" in answer.get_json()["message"]


def test_halt_refuses_orders_but_not_cancellations(api: Api, administrator: Person) -> None:
    """Open orders stay and do not fill."""
    person = api.person()
    api.bought(person, 10)
    waiting, kept = api.limit_order(person), api.limit_order(person, price=69_000)
    data_of(api.post(HALT, administrator))

    order = {"stock_code": "005930", "side": "BUY", "quantity": 1}
    for method, path, body in (
        ("POST", "/trading/orders", order),
        ("POST", "/trading/orders", {**order, "side": "SELL"}),
        ("POST", "/trading/orders", {**order, "order_type": "LIMIT", "price": 60_000}),
        ("POST", "/trading/orders/preview", order),
        ("PATCH", f"/trading/orders/{waiting['id']}", {"price": 61_000}),
    ):
        refused = problem_of(api.ask(method, path, person, json=body), "trading-halted")
        assert refused["since"] == "2026-11-20T10:00:00+09:00"
    assert (
        data_of(api.ask("DELETE", f"/trading/orders/{waiting['id']}", person))["status"]
        == "CANCELLED"
    )
    api.harness.clock.advance(seconds=1)
    api.harness.tick(68_000)
    api.harness.match()
    api.harness.run_all()
    explanation = data_of(api.get(f"/trading/orders/{kept['id']}/explain", person))
    assert explanation["waiting"]["reasons"][0]["code"] == "trading-halted"
    assert explanation["waiting"]["halted_since"] is not None

    data_of(api.post(RESUME, administrator))

    data_of(api.order(person, "BUY", 1), 201)
    api.harness.tick(68_500)
    api.harness.match()
    api.harness.run_all()
    assert data_of(api.get(f"/trading/orders/{kept['id']}", person))["status"] == "FILLED"
    assert api.harness.breaches() == []


def test_refused_order_succeeds_with_its_key_after_the_halt(
    api: Api, administrator: Person
) -> None:
    person, key = api.person(), {KEY_HEADER: "one-key"}
    data_of(api.post(HALT, administrator))
    problem_of(api.order(person, "BUY", 1, headers=key), "trading-halted")
    data_of(api.post(RESUME, administrator))

    placed = api.order(person, "BUY", 1, headers=key)

    data_of(placed, 201)
    assert REPLAYED_HEADER not in placed.headers


def test_replayed_halt_does_not_halt_again(api: Api, administrator: Person) -> None:
    key = {KEY_HEADER: "one-key"}
    first = api.post(HALT, administrator, {"reason": "점검"}, headers=key)
    data_of(api.post(RESUME, administrator))

    again = api.post(HALT, administrator, {"reason": "점검"}, headers=key)

    assert (again.headers[REPLAYED_HEADER], again.data) == ("true", first.data)
    assert clock(api) == (False, None)
