"""Recompute an account from raw API answers, exact to the won, without the product's code."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COMMISSION_PPM = 150
SALE_TAXES_BP = (
    5,
    15,
)  # KOSPI: securities transaction tax and special rural development tax, rounded separately
EXTERNAL_FLOWS = frozenset({"DEPOSIT", "REFUND"})  # External cash flows.

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class DemoCheck:
    """One figure in won or shares, computed here and answered by the API."""

    what: str
    expected: int
    answered: int

    @property
    def agrees(self) -> bool:
        return self.expected == self.answered


@dataclass(frozen=True)
class AccountAnswers:
    """Raw answers about one account: `transactions` oldest first, `holding` of the one traded
    stock.
    """

    transactions: Sequence[Answer]
    executions: Sequence[tuple[str, Answer]]  # side and execution, oldest first
    balance: Answer
    holding: Answer


@dataclass(frozen=True)
class RestingOrderAnswers:
    """Raw answers about a limit buy that never fills, with the balance before it and after each
    step.
    """

    preview: Answer
    placed: Answer
    amended: Answer
    cancelled: Answer
    before: Answer
    balance_placed: Answer
    balance_amended: Answer
    balance_cancelled: Answer


@dataclass(frozen=True)
class TopUpAnswers:
    """Raw answers about a payment that was credited and partly refunded.

    The balances before it and after each step, the API's payment and PortOne's payment.
    """

    before: Answer
    credited: Answer
    refunded: Answer
    payment: Answer
    portone_payment: Answer


@dataclass(frozen=True)
class EventFeeds:
    """The account's events as the API lists them, and as the gateway pushed them."""

    answer: Answer
    pushed: Sequence[Answer]


def account_checks(account: AccountAnswers) -> Iterator[DemoCheck]:
    """Yield the checks of executions, ledger and holding."""
    yield from _executions(account)
    yield from _ledger(account)
    yield from _holding(account)


def resting_order_checks(resting: RestingOrderAnswers) -> Iterator[DemoCheck]:
    """Yield the checks that each step reserves the order's cost and that cancelling releases all of
    it.
    """
    before = resting.before
    expected = cost_of_buying(resting.preview["price"], resting.preview["quantity"])
    yield DemoCheck(
        "preview: net amount = price × quantity + commission",
        expected,
        resting.preview["net_amount"],
    )
    yield DemoCheck("preview: reserved cash", expected, resting.preview["reserved_cash"])
    for step, order, balance in (
        ("placed", resting.placed, resting.balance_placed),
        ("amended", resting.amended, resting.balance_amended),
    ):
        cost = cost_of_buying(order["price"], order["quantity"])
        yield DemoCheck(f"{step}: the order reserves its cost", cost, order["reserved_cash"])
        yield DemoCheck(
            f"{step}: reserved cash", before["reserved_cash"] + cost, balance["reserved_cash"]
        )
        yield DemoCheck(
            f"{step}: available cash", before["available_cash"] - cost, balance["available_cash"]
        )
    yield DemoCheck("cancelled: the order reserves nothing", 0, resting.cancelled["reserved_cash"])
    for name in ("cash_balance", "reserved_cash", "available_cash"):
        what = f"cancelled: {name.replace('_', ' ')} as before"
        yield DemoCheck(what, before[name], resting.balance_cancelled[name])


def top_up_checks(top_up: TopUpAnswers) -> Iterator[DemoCheck]:
    """Yield the checks that PortOne's payment and refund were each recorded once."""
    paid, returned = (
        top_up.portone_payment["amount"]["total"],
        top_up.portone_payment["amount"]["cancelled"],
    )
    yield DemoCheck(
        "top-up: cash after it = cash before + paid at PortOne",
        top_up.before["cash_balance"] + paid,
        top_up.credited["cash_balance"],
    )
    yield DemoCheck(
        "refund: cash after it = cash before − refunded at PortOne",
        top_up.credited["cash_balance"] - returned,
        top_up.refunded["cash_balance"],
    )
    yield DemoCheck(
        "refund: our payment's cancelled amount = PortOne's",
        returned,
        top_up.payment["cancelled_amount"],
    )
    yield DemoCheck(
        "refund: cancellations, each recorded once",
        len(top_up.portone_payment["cancellations"]),
        len(top_up.payment["cancellations"]),
    )
    yield DemoCheck(
        "refund: no cash stays reserved",
        top_up.before["reserved_cash"],
        top_up.refunded["reserved_cash"],
    )


def limit_price_checks(order: Answer) -> Iterator[DemoCheck]:
    """Yield the checks that a limit buy filled at its limit or a lower price."""
    for execution in order["executions"]:
        yield DemoCheck(
            "limit buy: won a share above its limit", 0, max(0, execution["price"] - order["price"])
        )


def summary_checks(account: AccountAnswers, summary: Answer) -> Iterator[DemoCheck]:
    """Yield the checks that the order summary equals the sum of its executions."""
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
            yield DemoCheck(
                what, sum(execution[of_execution] for execution in executions), answered[name]
            )
    realised = sum(
        execution["realized_profit"] for side, execution in account.executions if side == "SELL"
    )
    yield DemoCheck("summary, sell: realised profit", realised, summary["sell"]["realized_profit"])


def event_checks(account: AccountAnswers, feeds: EventFeeds) -> Iterator[DemoCheck]:
    """Yield the checks that events are complete, in order, and end with the account's cash and
    shares.
    """
    events = feeds.answer["items"]
    yield DemoCheck(
        "events: the last one's id is their number", len(events), feeds.answer["last_event_id"]
    )
    yield DemoCheck(
        "events: ids without a gap",
        len(events),
        sum(one["id"] == n for n, one in enumerate(events, start=1)),
    )
    same = sum(pushed == event for pushed, event in zip(feeds.pushed, events, strict=False))
    yield DemoCheck("events: pushed = listed", len(events), same)
    last = {event["kind"]: event["data"] for event in events}
    yield DemoCheck(
        "events: one for each transaction",
        len(account.transactions),
        sum(e["kind"] == "cash" for e in events),
    )
    yield DemoCheck(
        "events: one for each execution",
        len(account.executions),
        sum(e["kind"] == "fill" for e in events),
    )
    yield DemoCheck(
        "events: cash after the last",
        account.balance["cash_balance"],
        last["cash"]["cash_balance_after"],
    )
    yield DemoCheck(
        "events: shares after the last", account.holding["quantity"], last["holding"]["quantity"]
    )


def cost_of_buying(price: int, quantity: int) -> int:
    """Return the cash (won) that a purchase takes, commission included."""
    amount = price * quantity
    return amount + amount * COMMISSION_PPM // 1_000_000


def _executions(account: AccountAnswers) -> Iterator[DemoCheck]:
    for side, execution in account.executions:
        amount = execution["price"] * execution["quantity"]
        taxes = sum(amount * rate // 10_000 for rate in SALE_TAXES_BP) if side == "SELL" else 0
        name = side.lower()
        yield DemoCheck(f"{name}: amount = price × quantity", amount, execution["amount"])
        yield DemoCheck(
            f"{name}: commission = ⌊amount × 0.015 %⌋",
            amount * COMMISSION_PPM // 1_000_000,
            execution["commission"],
        )
        yield DemoCheck(f"{name}: tax", taxes, execution["tax"])


def _ledger(account: AccountAnswers) -> Iterator[DemoCheck]:
    cash = 0
    for number, transaction in enumerate(account.transactions, start=1):
        name = f"transaction {number} ({transaction['transaction_type']})"
        yield DemoCheck(
            f"{name}: cash before = the previous cash after",
            cash,
            transaction["cash_balance_before"],
        )
        cash += cash_change(transaction)
        yield DemoCheck(
            f"{name}: cash after = cash before ± change",
            cash,
            transaction["cash_balance_after"],
        )
    yield DemoCheck("cash = sum of all transactions", cash, account.balance["cash_balance"])
    yield DemoCheck("no cash is reserved", 0, account.balance["reserved_cash"])
    yield DemoCheck(
        "available cash = cash", account.balance["cash_balance"], account.balance["available_cash"]
    )


def _holding(account: AccountAnswers) -> Iterator[DemoCheck]:
    bought = sum(e["quantity"] for side, e in account.executions if side == "BUY")
    sold = sum(e["quantity"] for side, e in account.executions if side == "SELL")
    realised = sum(e["realized_profit"] for side, e in account.executions if side == "SELL")
    deposits = sum(
        cash_change(t) for t in account.transactions if t["transaction_type"] in EXTERNAL_FLOWS
    )
    still_invested = account.holding["cost"] + account.holding["buy_commission"]
    yield DemoCheck("shares held = bought − sold", bought - sold, account.holding["quantity"])
    yield DemoCheck("shares reserved", 0, account.holding["reserved_quantity"])
    yield DemoCheck(
        "holding: realised profit = sum over its sales",
        realised,
        account.holding["realized_profit"],
    )
    yield DemoCheck(
        "cash + cost of the holding + its commission = deposits + realised profit",
        deposits + realised,
        account.balance["cash_balance"] + still_invested,
    )


def cash_change(transaction: Answer) -> int:
    """Return the change of cash by a transaction, in won."""
    charges = int(transaction["commission"]) + int(transaction["tax"])
    amount = int(transaction["amount"])
    return (
        -amount - charges
        if transaction["transaction_type"] in {"BUY", "WITHDRAW", "FEE", "TAX", "REFUND"}
        else amount - charges
    )
