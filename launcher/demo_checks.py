"""The demo's accounting: recomputes a whole account from its raw answers, to the won, with none of the product's code."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COMMISSION_PPM = 150
SALE_TAXES_BP = (
    5,
    15,
)  # KOSPI: securities transaction tax and special rural development tax, each rounded by itself
FLOWS = frozenset({"DEPOSIT", "REFUND"})  # What came from outside, less what went back.

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """One figure in won or shares, computed here and answered there."""

    what: str
    expected: int
    answered: int

    @property
    def agrees(self) -> bool:
        return self.expected == self.answered


@dataclass(frozen=True)
class Account:
    """The raw answers about one account: ``transactions`` oldest first, ``holding`` of the one stock that it traded."""

    transactions: Sequence[Answer]
    executions: Sequence[tuple[str, Answer]]  # side and execution, oldest first
    balance: Answer
    holding: Answer


@dataclass(frozen=True)
class Resting:
    """The raw answers about a limit buy that is never filled: foretold, placed, amended and cancelled, with the balance before it and after each."""

    preview: Answer
    placed: Answer
    amended: Answer
    cancelled: Answer
    before: Answer
    balance_placed: Answer
    balance_amended: Answer
    balance_cancelled: Answer


@dataclass(frozen=True)
class TopUp:
    """The raw answers about a payment that was credited and partly given back: our balance before and after each, our payment and PortOne's."""

    before: Answer
    credited: Answer
    refunded: Answer
    payment: Answer
    portones: Answer


@dataclass(frozen=True)
class Told:
    """What the account's owner was told: the answer to a request for all events, and the same events as they were pushed."""

    answer: Answer
    pushed: Sequence[Answer]


def sums_of(account: Account) -> Iterator[Check]:
    """Every sum that must hold, in the order in which a person would check them."""
    yield from _executions(account)
    yield from _ledger(account)
    yield from _holding(account)


def sums_of_resting(resting: Resting) -> Iterator[Check]:
    """What the order set aside at each step, and that every won of it came back."""
    before = resting.before
    foretold = cost_of_buying(resting.preview["price"], resting.preview["quantity"])
    yield Check(
        "preview: net amount = price × quantity + commission",
        foretold,
        resting.preview["net_amount"],
    )
    yield Check("preview: what would be set aside", foretold, resting.preview["reserved_cash"])
    for step, order, balance in (
        ("placed", resting.placed, resting.balance_placed),
        ("amended", resting.amended, resting.balance_amended),
    ):
        cost = cost_of_buying(order["price"], order["quantity"])
        yield Check(f"{step}: the order sets aside its cost", cost, order["reserved_cash"])
        yield Check(
            f"{step}: reserved cash", before["reserved_cash"] + cost, balance["reserved_cash"]
        )
        yield Check(
            f"{step}: available cash", before["available_cash"] - cost, balance["available_cash"]
        )
    yield Check("cancelled: the order sets nothing aside", 0, resting.cancelled["reserved_cash"])
    for name in ("cash_balance", "reserved_cash", "available_cash"):
        what = f"cancelled: {name.replace('_', ' ')} as before it"
        yield Check(what, before[name], resting.balance_cancelled[name])


def sums_of_top_up(top_up: TopUp) -> Iterator[Check]:
    """That what PortOne took came in and what it gave back went out, each once and to the won."""
    paid, returned = top_up.portones["amount"]["total"], top_up.portones["amount"]["cancelled"]
    yield Check(
        "top-up: cash after it = cash before + paid at PortOne",
        top_up.before["cash_balance"] + paid,
        top_up.credited["cash_balance"],
    )
    yield Check(
        "refund: cash after it = cash before − given back there",
        top_up.credited["cash_balance"] - returned,
        top_up.refunded["cash_balance"],
    )
    yield Check(
        "refund: our payment's cancelled amount = PortOne's",
        returned,
        top_up.payment["cancelled_amount"],
    )
    yield Check(
        "refund: cancellations, each booked once",
        len(top_up.portones["cancellations"]),
        len(top_up.payment["cancellations"]),
    )
    yield Check(
        "refund: nothing of it stays reserved",
        top_up.before["reserved_cash"],
        top_up.refunded["reserved_cash"],
    )


def sums_of_limit(order: Answer) -> Iterator[Check]:
    """That a limit buy was filled at no worse price than its own."""
    for execution in order["executions"]:
        yield Check(
            "limit buy: won a share above its limit", 0, max(0, execution["price"] - order["price"])
        )


def sums_of_summary(account: Account, summary: Answer) -> Iterator[Check]:
    """That the summary of the orders is that of their executions."""
    for side in ("BUY", "SELL"):
        executions = [execution for one, execution in account.executions if one == side]
        answered = summary[side.lower()]
        for name, of_execution in (
            ("executed_quantity", "quantity"),
            ("executed_amount", "amount"),
            ("commission", "commission"),
            ("tax", "tax"),
        ):
            what = f"summary, {side.lower()}: {name.replace('_', ' ')}"
            yield Check(
                what, sum(execution[of_execution] for execution in executions), answered[name]
            )
    realised = sum(
        execution["realized_profit"] for side, execution in account.executions if side == "SELL"
    )
    yield Check("summary, sell: realised profit", realised, summary["sell"]["realized_profit"])


def sums_of_events(account: Account, told: Told) -> Iterator[Check]:
    """That everything was told, once and in order, and the last word on cash and shares is the account's."""
    events = told.answer["items"]
    yield Check(
        "events: the last one's id is their number", len(events), told.answer["last_event_id"]
    )
    yield Check(
        "events: ids without a gap",
        len(events),
        sum(one["id"] == n for n, one in enumerate(events, start=1)),
    )
    same = sum(pushed == event for pushed, event in zip(told.pushed, events, strict=False))
    yield Check("events: pushed as they are", len(events), same)
    last = {event["kind"]: event["data"] for event in events}
    yield Check(
        "events: one for each transaction",
        len(account.transactions),
        sum(e["kind"] == "cash" for e in events),
    )
    yield Check(
        "events: one for each execution",
        len(account.executions),
        sum(e["kind"] == "fill" for e in events),
    )
    yield Check(
        "events: cash after the last",
        account.balance["cash_balance"],
        last["cash"]["cash_balance_after"],
    )
    yield Check(
        "events: shares after the last", account.holding["quantity"], last["holding"]["quantity"]
    )


def cost_of_buying(price: int, quantity: int) -> int:
    """The cash (won) that so many shares at this price take, commission included."""
    amount = price * quantity
    return amount + amount * COMMISSION_PPM // 1_000_000


def _executions(account: Account) -> Iterator[Check]:
    for side, execution in account.executions:
        amount = execution["price"] * execution["quantity"]
        taxes = sum(amount * rate // 10_000 for rate in SALE_TAXES_BP) if side == "SELL" else 0
        name = side.lower()
        yield Check(f"{name}: amount = price × quantity", amount, execution["amount"])
        yield Check(
            f"{name}: commission = ⌊amount × 0.015 %⌋",
            amount * COMMISSION_PPM // 1_000_000,
            execution["commission"],
        )
        yield Check(f"{name}: tax", taxes, execution["tax"])


def _ledger(account: Account) -> Iterator[Check]:
    cash = 0
    for number, transaction in enumerate(account.transactions, start=1):
        name = f"transaction {number} ({transaction['transaction_type']})"
        yield Check(
            f"{name}: cash before = cash after the one before",
            cash,
            transaction["cash_balance_before"],
        )
        cash += moved(transaction)
        yield Check(
            f"{name}: cash after = cash before ± what moved",
            cash,
            transaction["cash_balance_after"],
        )
    yield Check("cash = sum of all transactions", cash, account.balance["cash_balance"])
    yield Check("nothing is reserved any more", 0, account.balance["reserved_cash"])
    yield Check(
        "available cash = cash", account.balance["cash_balance"], account.balance["available_cash"]
    )


def _holding(account: Account) -> Iterator[Check]:
    bought = sum(e["quantity"] for side, e in account.executions if side == "BUY")
    sold = sum(e["quantity"] for side, e in account.executions if side == "SELL")
    realised = sum(e["realized_profit"] for side, e in account.executions if side == "SELL")
    deposits = sum(moved(t) for t in account.transactions if t["transaction_type"] in FLOWS)
    still_invested = account.holding["cost"] + account.holding["buy_commission"]
    yield Check("shares held = bought − sold", bought - sold, account.holding["quantity"])
    yield Check("shares reserved", 0, account.holding["reserved_quantity"])
    yield Check(
        "holding: realised profit = sum over its sales",
        realised,
        account.holding["realized_profit"],
    )
    yield Check(
        "cash + cost of the holding + its commission = deposits + realised profit",
        deposits + realised,
        account.balance["cash_balance"] + still_invested,
    )


def moved(transaction: Answer) -> int:
    """The won that a transaction added to the cash, negative for what it took."""
    charges = int(transaction["commission"]) + int(transaction["tax"])
    amount = int(transaction["amount"])
    return (
        -amount - charges
        if transaction["transaction_type"] in {"BUY", "WITHDRAW", "FEE", "TAX", "REFUND"}
        else amount - charges
    )
