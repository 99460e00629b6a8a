"""The demo's checks on an account computed by hand: 10 shares bought, 4 sold."""

import copy
from typing import Any

import pytest

from launcher.demo.checks import (
    AccountAnswers,
    DemoCheck,
    EventFeeds,
    RestingOrderAnswers,
    TopUpAnswers,
    account_checks,
    event_checks,
    limit_price_checks,
    resting_order_checks,
    summary_checks,
    top_up_checks,
)

BUY = {
    "price": 70_100,
    "quantity": 10,
    "amount": 701_000,
    "commission": 105,
    "tax": 0,
    "realized_profit": 0,
}
# 285,200: commission 42.78, transaction tax 142.6, rural development tax 427.8, each rounded down.
# Cost of four shares: 280,400 + 42.
SELL = {
    "price": 71_300,
    "quantity": 4,
    "amount": 285_200,
    "commission": 42,
    "tax": 569,
    "realized_profit": 4_147,
}


def transaction(
    kind: str, amount: int, charges: tuple[int, int], before: int, after: int
) -> dict[str, Any]:
    commission, tax = charges
    figures = {"amount": amount, "commission": commission, "tax": tax}
    return {
        "transaction_type": kind,
        **figures,
        "cash_balance_before": before,
        "cash_balance_after": after,
    }


def account() -> AccountAnswers:
    cash = 10_000_000 - 701_105 + 284_589
    return AccountAnswers(
        transactions=[
            transaction("DEPOSIT", 10_000_000, (0, 0), 0, 10_000_000),
            transaction("BUY", 701_000, (105, 0), 10_000_000, 9_298_895),
            transaction("SELL", 285_200, (42, 569), 9_298_895, cash),
        ],
        executions=[("BUY", BUY), ("SELL", SELL)],
        balance={"cash_balance": cash, "available_cash": cash, "reserved_cash": 0},
        holding={
            "quantity": 6,
            "reserved_quantity": 0,
            "cost": 420_600,
            "buy_commission": 63,
            "realized_profit": 4_147,
        },
    )


def test_correct_account_passes_all_checks() -> None:
    checks = list(account_checks(account()))
    assert [line for line in checks if not line.agrees] == []
    assert len(checks) == 19


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (("executions", 0, 1, "amount"), "buy: amount"),
        (("executions", 0, 1, "commission"), "buy: commission"),
        (("executions", 1, 1, "tax"), "sell: tax"),
        (("executions", 1, 1, "realized_profit"), "holding: realised profit"),
        (("transactions", 1, "cash_balance_before"), "transaction 2 (BUY): cash before"),
        (("transactions", 2, "cash_balance_after"), "transaction 3 (SELL): cash after"),
        (("transactions", 2, "tax"), "transaction 3 (SELL): cash after"),
        (("balance", "cash_balance"), "cash = sum"),
        (("balance", "available_cash"), "available cash"),
        (("balance", "reserved_cash"), "no cash is reserved"),
        (("holding", "quantity"), "shares held"),
        (("holding", "reserved_quantity"), "shares reserved"),
        (("holding", "cost"), "cash + cost of the holding"),
        (("holding", "buy_commission"), "cash + cost of the holding"),
    ],
    ids=str,
)
def test_difference_of_one_won_in_the_account_is_found(path: tuple[Any, ...], named: str) -> None:
    wrong = copy.deepcopy(account())
    target: Any = getattr(wrong, path[0])
    for step in path[1:-1]:
        target = target[step]
    target[path[-1]] += 1
    assert any(line.what.startswith(named) for line in account_checks(wrong) if not line.agrees)


def balance(reserved: int) -> dict[str, Any]:
    return {
        "cash_balance": 5_000_000,
        "reserved_cash": reserved,
        "available_cash": 5_000_000 - reserved,
    }


def resting() -> RestingOrderAnswers:
    """Return a limit buy of seven shares at 66,500, amended to five at 65,800.

    The costs are 465,500 and 69 of commission, then 329,000 and 49.
    """
    return RestingOrderAnswers(
        preview={"price": 66_500, "quantity": 7, "net_amount": 465_569, "reserved_cash": 465_569},
        placed={"price": 66_500, "quantity": 7, "reserved_cash": 465_569},
        amended={"price": 65_800, "quantity": 5, "reserved_cash": 329_049},
        cancelled={"reserved_cash": 0},
        before=balance(0),
        balance_placed=balance(465_569),
        balance_amended=balance(329_049),
        balance_cancelled=balance(0),
    )


def summary() -> dict[str, Any]:
    figures = {
        "executed_quantity": 10,
        "executed_amount": 701_000,
        "commission": 105,
        "tax": 0,
        "realized_profit": 0,
    }
    sold = {
        "executed_quantity": 4,
        "executed_amount": 285_200,
        "commission": 42,
        "tax": 569,
        "realized_profit": 4_147,
    }
    return {"buy": figures, "sell": sold}


def wrong_by_one(record: Any, name: str, member: str) -> list[DemoCheck]:
    wrong = copy.deepcopy(record)
    part = wrong[name] if isinstance(wrong, dict) else getattr(wrong, name)
    part[member] += 1
    checks = (
        summary_checks(account(), wrong) if isinstance(wrong, dict) else resting_order_checks(wrong)
    )
    return [line for line in checks if not line.agrees]


def test_correct_resting_order_and_summary_pass_all_checks() -> None:
    for checks in (
        list(resting_order_checks(resting())),
        list(summary_checks(account(), summary())),
    ):
        assert len(checks) >= 9
        assert [line for line in checks if not line.agrees] == []


@pytest.mark.parametrize(
    ("answer", "member"),
    [
        ("preview", "net_amount"),
        ("preview", "reserved_cash"),
        ("placed", "reserved_cash"),
        ("amended", "reserved_cash"),
        ("cancelled", "reserved_cash"),
        *(
            (f"balance_{step}", name)
            for step in ("placed", "amended")
            for name in ("reserved_cash", "available_cash")
        ),
        *(
            ("balance_cancelled", name)
            for name in ("cash_balance", "reserved_cash", "available_cash")
        ),
    ],
)
def test_difference_of_one_won_in_a_reservation_is_found(answer: str, member: str) -> None:
    assert wrong_by_one(resting(), answer, member)


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(
    "member", ["executed_quantity", "executed_amount", "commission", "tax", "realized_profit"]
)
def test_wrong_summary_is_found(side: str, member: str) -> None:
    if (side, member) != ("buy", "realized_profit"):
        assert wrong_by_one(summary(), side, member)


def test_fill_above_the_limit_is_found() -> None:
    order = {
        "price": 70_000,
        "executions": [{"price": 69_900}, {"price": 70_000}, {"price": 70_100}],
    }
    assert [line.agrees for line in limit_price_checks(order)] == [True, True, False]


def feeds() -> EventFeeds:
    """Return the events of the account's transactions, executions and holding."""
    kinds_and_data: list[tuple[str, dict[str, Any]]] = [
        ("cash", {"cash_balance_after": 10_000_000}),
        ("fill", {}),
        ("cash", {"cash_balance_after": 9_298_895}),
        ("holding", {"quantity": 10}),
        ("fill", {}),
        ("cash", {"cash_balance_after": 9_583_484}),
        ("holding", {"quantity": 6}),
    ]
    events = [
        {"id": n, "kind": kind, "data": data}
        for n, (kind, data) in enumerate(kinds_and_data, start=1)
    ]
    return EventFeeds({"items": events, "last_event_id": len(events)}, copy.deepcopy(events))


def test_correct_events_pass_all_checks() -> None:
    assert [line for line in event_checks(account(), feeds()) if not line.agrees] == []


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        pytest.param(
            lambda all_: all_.answer["items"].pop(),
            "the last one's id",
            id="one is missing at the end",
        ),
        pytest.param(
            lambda all_: all_.answer["items"].pop(1),
            "ids without a gap",
            id="one is missing in between",
        ),
        pytest.param(lambda all_: all_.pushed.pop(2), "pushed = listed", id="one was not pushed"),
        pytest.param(
            lambda all_: all_.pushed[3]["data"].update(quantity=9),
            "pushed = listed",
            id="another was",
        ),
        pytest.param(
            lambda all_: all_.answer["items"][1].update(kind="order"),
            "each execution",
            id="no fill",
        ),
        pytest.param(
            lambda all_: all_.answer["items"][0].update(kind="order"),
            "each transaction",
            id="no cash",
        ),
        pytest.param(
            lambda all_: all_.answer["items"][5]["data"].update(cash_balance_after=1),
            "cash after",
            id="cash",
        ),
        pytest.param(
            lambda all_: all_.answer["items"][6]["data"].update(quantity=7),
            "shares after",
            id="shares",
        ),
    ],
)
def test_wrong_event_is_found(spoil: Any, named: str) -> None:
    wrong = feeds()
    spoil(wrong)

    assert any(named in line.what for line in event_checks(account(), wrong) if not line.agrees)


def top_up() -> dict[str, Any]:
    return {
        "before": {"cash_balance": 1_000, "reserved_cash": 0},
        "credited": {"cash_balance": 31_000, "reserved_cash": 0},
        "refunded": {"cash_balance": 21_000, "reserved_cash": 0},
        "payment": {"cancelled_amount": 10_000, "cancellations": [{}]},
        "portone_payment": {
            "amount": {"total": 30_000, "cancelled": 10_000},
            "cancellations": [{}],
        },
    }


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ((), None),
        (("credited", "cash_balance"), "top-up: cash after"),
        (("refunded", "cash_balance"), "refund: cash after"),
        (("portone_payment", "amount", "cancelled"), "refund: cash after"),
        (("payment", "cancelled_amount"), "refund: our payment"),
        (("refunded", "reserved_cash"), "refund: no cash"),
    ],
)
def test_difference_of_one_won_in_a_top_up_is_found(
    path: tuple[str, ...], named: str | None
) -> None:
    answers = top_up()
    if path:
        target = answers
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] += 1
    wrong = [line.what for line in top_up_checks(TopUpAnswers(**answers)) if not line.agrees]
    assert wrong == [] if named is None else wrong[0].startswith(named)


def test_refund_reduces_the_cash() -> None:
    given = account()
    last = given.transactions[-1]["cash_balance_after"]
    refund = transaction("REFUND", 1_000, (0, 0), last, last - 1_000)
    balance = {"cash_balance": last - 1_000, "available_cash": last - 1_000, "reserved_cash": 0}
    refunded = AccountAnswers(
        transactions=[*given.transactions, refund],
        executions=given.executions,
        balance=balance,
        holding=given.holding,
    )
    assert [line for line in account_checks(refunded) if not line.agrees] == []
