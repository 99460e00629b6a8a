"""The demo's accounting, on an account worked out by hand: ten shares at 70,100 bought, four at 71,300 sold."""

import copy
from typing import Any

import pytest

from launcher.demo_checks import (
    Account,
    Check,
    Resting,
    Told,
    TopUp,
    sums_of,
    sums_of_events,
    sums_of_limit,
    sums_of_resting,
    sums_of_summary,
    sums_of_top_up,
)

BUY = {
    "price": 70_100,
    "quantity": 10,
    "amount": 701_000,
    "commission": 105,
    "tax": 0,
    "realized_profit": 0,
}
# 285,200: commission 42.78, transaction tax 142.6, rural development tax 427.8, each rounded down. Cost of four: 280,400 + 42.
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


def account() -> Account:
    cash = 10_000_000 - 701_105 + 284_589
    return Account(
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


def test_a_right_account_agrees_in_every_sum() -> None:
    sums = list(sums_of(account()))
    assert [line for line in sums if not line.agrees] == []
    assert len(sums) == 19


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
        (("balance", "reserved_cash"), "nothing is reserved"),
        (("holding", "quantity"), "shares held"),
        (("holding", "reserved_quantity"), "shares reserved"),
        (("holding", "cost"), "cash + cost of the holding"),
        (("holding", "buy_commission"), "cash + cost of the holding"),
    ],
    ids=str,
)
def test_one_won_too_many_anywhere_is_found(path: tuple[Any, ...], named: str) -> None:
    wrong = copy.deepcopy(account())
    place: Any = getattr(wrong, path[0])
    for step in path[1:-1]:
        place = place[step]
    place[path[-1]] += 1
    assert any(line.what.startswith(named) for line in sums_of(wrong) if not line.agrees)


def balance(reserved: int) -> dict[str, Any]:
    return {
        "cash_balance": 5_000_000,
        "reserved_cash": reserved,
        "available_cash": 5_000_000 - reserved,
    }


def resting() -> Resting:
    """Seven shares at 66,500, amended to five at 65,800: 465,500 and 69 of commission, then 329,000 and 49."""
    return Resting(
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


def wrong_by_one(record: Any, name: str, member: str) -> list[Check]:
    wrong = copy.deepcopy(record)
    part = wrong[name] if isinstance(wrong, dict) else getattr(wrong, name)
    part[member] += 1
    sums = sums_of_summary(account(), wrong) if isinstance(wrong, dict) else sums_of_resting(wrong)
    return [line for line in sums if not line.agrees]


def test_a_right_resting_order_and_summary_agree_in_every_sum() -> None:
    for sums in (list(sums_of_resting(resting())), list(sums_of_summary(account(), summary()))):
        assert len(sums) >= 9
        assert [line for line in sums if not line.agrees] == []


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
def test_one_won_that_did_not_come_back_is_found(answer: str, member: str) -> None:
    assert wrong_by_one(resting(), answer, member)


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(
    "member", ["executed_quantity", "executed_amount", "commission", "tax", "realized_profit"]
)
def test_a_summary_that_is_wrong_is_found(side: str, member: str) -> None:
    if (side, member) != ("buy", "realized_profit"):
        assert wrong_by_one(summary(), side, member)


def test_a_fill_above_the_limit_is_found() -> None:
    order = {
        "price": 70_000,
        "executions": [{"price": 69_900}, {"price": 70_000}, {"price": 70_100}],
    }
    assert [line.agrees for line in sums_of_limit(order)] == [True, True, False]


def told() -> Told:
    """What the owner of the account was told: its Transactions, executions and holding."""
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
    return Told({"items": events, "last_event_id": len(events)}, copy.deepcopy(events))


def test_what_was_told_agrees_with_the_account() -> None:
    assert [line for line in sums_of_events(account(), told()) if not line.agrees] == []


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
        pytest.param(
            lambda all_: all_.pushed.pop(2), "pushed as they are", id="one was not pushed"
        ),
        pytest.param(
            lambda all_: all_.pushed[3]["data"].update(quantity=9),
            "pushed as they are",
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
def test_what_was_told_wrongly_is_found(spoil: Any, named: str) -> None:
    wrong = told()
    spoil(wrong)

    assert any(named in line.what for line in sums_of_events(account(), wrong) if not line.agrees)


def top_up() -> dict[str, Any]:
    return {
        "before": {"cash_balance": 1_000, "reserved_cash": 0},
        "credited": {"cash_balance": 31_000, "reserved_cash": 0},
        "refunded": {"cash_balance": 21_000, "reserved_cash": 0},
        "payment": {"cancelled_amount": 10_000, "cancellations": [{}]},
        "portones": {"amount": {"total": 30_000, "cancelled": 10_000}, "cancellations": [{}]},
    }


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ((), None),
        (("credited", "cash_balance"), "top-up: cash after"),
        (("refunded", "cash_balance"), "refund: cash after"),
        (("portones", "amount", "cancelled"), "refund: cash after"),
        (("payment", "cancelled_amount"), "refund: our payment"),
        (("refunded", "reserved_cash"), "refund: nothing"),
    ],
)
def test_a_top_up_agrees_with_portone_unless_a_won_is_amiss(
    path: tuple[str, ...], named: str | None
) -> None:
    answers = top_up()
    if path:
        place = answers
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] += 1
    wrong = [line.what for line in sums_of_top_up(TopUp(**answers)) if not line.agrees]
    assert wrong == [] if named is None else wrong[0].startswith(named)


def test_a_refund_takes_cash_out() -> None:
    """As a deposit brings it in."""
    given = account()
    last = given.transactions[-1]["cash_balance_after"]
    refund = transaction("REFUND", 1_000, (0, 0), last, last - 1_000)
    balance = {"cash_balance": last - 1_000, "available_cash": last - 1_000, "reserved_cash": 0}
    refunded = Account(
        transactions=[*given.transactions, refund],
        executions=given.executions,
        balance=balance,
        holding=given.holding,
    )
    assert [line for line in sums_of(refunded) if not line.agrees] == []
