"""Order explanations: fills with evidence, reasons for waiting, and endings, in Korean."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import pytest

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import set_status
from tests.webapp.client import HANGUL, Api, Person, api_on, data_of, problem_of
from trading import bootstrap as trading_core
from trading.orders.explain import ChargeName, WaitingReason
from trading.orders.fill_price import FillRule
from trading.orders.model import EndReason
from webapp.api.order_messages import (
    CHARGE_LABELS,
    ENDING_MESSAGES,
    RULE_MESSAGES,
    WAITING_MESSAGES,
)

MEMBERS = [
    "order_id", "stock_code", "stock_name", "market", "kind", "side", "order_type", "time_in_force",
    "status", "quantity",
    "executed_quantity", "accepted_at", "executions", "waiting", "ending",
]  # fmt: skip
FILL_MEMBERS = [
    "execution_id", "price", "quantity", "amount", "executed_at", "tick", "session", "rule",
    "charges", "ms_to_fill",
    "ms_to_settlement", "ms_to_portfolio",
]  # fmt: skip
WAITING_MEMBERS = [
    "stage", "quantity", "price", "last_price", "last_traded_at", "last_price_age_ms", "distance",
    "distance_bp", "distance_steps",
    "next_check_at", "expires_at", "next_opening", "halted_since", "delayed_since",
    "reasons",
]  # fmt: skip


def explanation_of(api: Api, who: Person, order_id: str) -> dict[str, Any]:
    explanation: dict[str, Any] = data_of(api.get(f"/trading/orders/{order_id}/explain", who))
    assert list(explanation) == MEMBERS
    assert (explanation["waiting"] is None) != (explanation["ending"] is None)
    for reason in (explanation["waiting"] or {"reasons": []})["reasons"]:
        assert HANGUL.search(reason["message"])
    return explanation


def codes(explanation: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in explanation["waiting"]["reasons"]]


@pytest.fixture
def person(api: Api) -> Person:
    """A user in a market whose last trade was at 70,000 won."""
    api.harness.tick(70_000, base=70_000)
    return api.person()


@pytest.mark.parametrize(
    ("codes_known", "words"),
    [
        (FillRule, RULE_MESSAGES),
        (WaitingReason, WAITING_MESSAGES),
        (EndReason, ENDING_MESSAGES),
        (ChargeName, CHARGE_LABELS),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_every_code_has_a_message(
    codes_known: type[StrEnum], words: Mapping[StrEnum | None, str]
) -> None:
    assert set(codes_known) == {code for code in words if code is not None}
    assert all(HANGUL.search(sentence) for sentence in words.values())


def test_fill_is_explained(api: Api, person: Person) -> None:
    """Evidence, rule, costs with rates, and times."""
    api.bought(person, 10)
    tick = api.harness.tick(71_300)
    sale = data_of(api.order(person, "SELL", 4), 201)
    api.harness.clock.advance(seconds=2)
    api.harness.run_all()

    explanation = explanation_of(api, person, sale["id"])

    (fill,) = explanation["executions"]
    assert list(fill) == FILL_MEMBERS
    assert fill["tick"] == {
        "price": 71_300,
        "traded_at": tick.traded_at.isoformat(),
        "position": str(tick.position),
        "age_ms": 2_000,
    }
    assert (fill["price"], fill["quantity"], fill["amount"]) == (71_300, 4, 285_200)
    assert (fill["rule"]["code"], fill["session"]) == ("market-at-last-trade", "ALWAYS_OPEN")
    assert HANGUL.search(fill["rule"]["message"])
    assert fill["charges"] == [
        {"name": "commission", "label": "수수료", "rate_ppm": 150, "amount": 42},
        {"name": "transaction-tax", "label": "증권거래세", "rate_ppm": 500, "amount": 142},
        {"name": "rural-tax", "label": "농어촌특별세", "rate_ppm": 1_500, "amount": 427},
    ]
    assert [fill[name] for name in ("ms_to_fill", "ms_to_settlement", "ms_to_portfolio")] == [
        2_000
    ] * 3
    assert (explanation["market"], explanation["kind"], explanation["side"]) == (
        "KOSPI",
        "STOCK",
        "SELL",
    )
    ending = explanation["ending"]
    assert (ending["status"], ending["reason"], ending["at"]) == (
        "FILLED",
        None,
        fill["executed_at"],
    )
    assert "모두 체결" in ending["message"]


def test_limit_order_fills_at_its_limit(api: Api, person: Person) -> None:
    """The trade through the limit is the evidence."""
    order = api.limit_order(person, price=69_000)
    api.harness.tick(70_000)
    api.harness.match()
    api.harness.tick(68_500)
    api.harness.match()
    api.harness.run_all()

    (fill,) = explanation_of(api, person, order["id"])["executions"]

    assert (fill["price"], fill["tick"]["price"], fill["rule"]["code"]) == (
        69_000,
        68_500,
        "resting-at-limit",
    )


def test_waiting_order_has_its_distance(api: Api, person: Person) -> None:
    """In won, basis points and tick sizes."""
    order = api.limit_order(person, price=69_000)
    api.harness.clock.advance(seconds=3)

    explanation = explanation_of(api, person, order["id"])

    waiting = explanation["waiting"]
    assert list(waiting) == WAITING_MEMBERS
    assert (waiting["stage"], codes(explanation)) == ("in-book", ["price-not-met"])
    assert (waiting["price"], waiting["last_price"], waiting["last_price_age_ms"]) == (
        69_000,
        70_000,
        3_000,
    )
    assert (waiting["distance"], waiting["distance_bp"], waiting["distance_steps"]) == (
        1_000,
        143,
        10,
    )
    assert datetime.fromisoformat(waiting["expires_at"]) == datetime.fromisoformat(
        "2026-11-21T00:00:00+09:00"
    )
    assert (waiting["next_opening"], waiting["halted_since"], waiting["next_check_at"]) == (
        None,
        None,
        None,
    )
    assert explanation["executions"] == []


def test_order_outside_market_hours_has_the_next_opening(krx_api: Api) -> None:
    api, person = krx_api, krx_api.person()
    api.harness.clock.now = datetime.fromisoformat("2026-11-20T21:00:00+09:00")
    order = api.limit_order(person)

    explanation = explanation_of(api, person, order["id"])

    assert codes(explanation) == ["closed-session", "no-tick"]
    opening = datetime.fromisoformat(explanation["waiting"]["next_opening"])
    assert opening == datetime.fromisoformat("2026-11-23T09:00:00+09:00")
    assert explanation["waiting"]["last_price"] is None


def test_delay_is_explained_with_its_time(api: Api, person: Person) -> None:
    """While no worker executes a due order."""
    order = data_of(api.order(person), 201)
    accepted_at = datetime.fromisoformat(order["accepted_at"])
    api.harness.clock.advance(seconds=80)
    api.harness.tick(70_000)

    waiting = explanation_of(api, person, order["id"])["waiting"]

    assert datetime.fromisoformat(waiting["delayed_since"]) == accepted_at
    (reason,) = waiting["reasons"]
    assert reason["code"] == "processing-delayed"
    assert reason["message"] == (
        "시스템의 주문 처리가 지연되어 10시 00분 00초부터 처리를 기다리고 있습니다. "
        "주문은 그대로 유지됩니다."
    )


def test_order_is_explained_without_redis(api: Api, person: Person) -> None:
    order = api.limit_order(person)
    settings = api.harness.settings.model_copy(
        update={"redis_url": type(api.harness.settings.redis_url)("redis://127.0.0.1:1/0")}
    )
    core = trading_core.build(settings, clock=api.harness.clock)
    try:
        explanation = explanation_of(
            api_on(TradingHarness(core, api.harness.clock)), person, order["id"]
        )
    finally:
        core.close()

    assert codes(explanation) == ["market-unavailable"]
    assert [
        explanation["waiting"][name] for name in ("last_price", "last_price_age_ms", "distance")
    ] == [None] * 3


def test_every_ending_is_explained(api: Api, person: Person) -> None:
    """Cancelled, not filled at once, delisted, without cash, and expired."""
    api.bought(person, 1)
    ended = {
        "cancelled-by-user": api.limit_order(person, quantity=1)["id"],
        "not-filled-at-once": api.limit_order(person, quantity=1, time_in_force="IOC")["id"],
        "day-ended": api.limit_order(person, quantity=1)["id"],
    }
    api.ask("DELETE", f"/trading/orders/{ended['cancelled-by-user']}", person)
    api.harness.run_all()
    ended["stock-not-tradable"] = data_of(api.order(person, "SELL", 1), 201)["id"]
    set_status(api.harness, "DELISTED")
    api.harness.run_all()
    set_status(api.harness, "TRADABLE")
    api.harness.tick(70_000)
    ended["insufficient-cash"] = data_of(api.order(person, "BUY", 125), 201)["id"]
    api.harness.tick(90_000)
    api.harness.run_all()
    api.harness.clock.advance(days=1)
    api.harness.expire()

    for reason, order_id in ended.items():
        ending = explanation_of(api, person, order_id)["ending"]
        order = data_of(api.get(f"/trading/orders/{order_id}", person))
        assert (ending["reason"], ending["status"], ending["at"]) == (
            reason,
            order["status"],
            order["finished_at"],
        )
        assert HANGUL.search(ending["message"])


def test_partially_filled_order_has_fills_and_waiting(volume_api: Api) -> None:
    api, person = volume_api, volume_api.person()
    api.harness.tick(70_000)
    order = api.limit_order(person, "BUY", 10, 70_000)
    api.harness.tick(70_000, volume=4)
    api.harness.match()
    api.harness.run_all()

    explanation = explanation_of(api, person, order["id"])

    assert [fill["quantity"] for fill in explanation["executions"]] == [4]
    assert (explanation["status"], explanation["waiting"]["quantity"]) == ("PARTIALLY_FILLED", 6)
    assert codes(explanation) == ["not-reached"]


def test_another_users_order_is_404(api: Api, person: Person) -> None:
    order = api.limit_order(person)

    problem_of(api.get(f"/trading/orders/{order['id']}/explain", api.person()), "order-not-found")
