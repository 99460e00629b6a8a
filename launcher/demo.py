"""A whole trading day of a new user, driven through the public API alone and printed with the real answers."""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from launcher.api import Api, ApiError
from launcher.demo_checks import (
    Account,
    Check,
    Resting,
    Told,
    TopUp,
    moved,
    sums_of,
    sums_of_events,
    sums_of_limit,
    sums_of_resting,
    sums_of_summary,
    sums_of_top_up,
)
from launcher.demo_payment import PaymentPage, WindowError

STOCK = "A005930"
DEPOSIT = 5_000_000
TOP_UP, GIVEN_BACK = 30_000, 10_000
BOUGHT, SOLD = 10, 4
BOUGHT_AT_LIMIT = 3
RESTING, RESTING_AMENDED = 7, 5
TICKS_WATCHED = 5
DEADLINE_S = 30.0
_POLL_S = 0.1

FINAL_STATES = frozenset({"FILLED", "CANCELLED", "REJECTED", "EXPIRED"})


class DemoError(Exception):
    """The first thing that went wrong in the trading day."""


class TradingDay:
    """Runs the day's steps against the API at ``api_url`` and the gateway's stream at ``stream_url``; ``stopping`` ends it early.

    Nothing is topped up without a stand-in for PortOne at ``portone_url``: that would take real money.
    """

    def __init__(
        self,
        api_url: str,
        stream_url: str,
        portone_url: str | None,
        console: Console,
        stopping: threading.Event,
    ) -> None:
        self._api = Api(api_url, wait=self._wait_for_our_turn)
        self._window = None if portone_url is None else PaymentPage(portone_url, api_url)
        self._stream_url = stream_url
        self._console = console
        self._stopping = stopping
        self._step_number = 0

    def run(self) -> None:
        """All steps and the sums. DemoError names the first thing that went wrong."""
        try:
            self._register()
            self._show_balance("Balance of a new account")
            self._deposit()
            earlier_sums = (
                [] if self._window is None else list(sums_of_top_up(self._top_up(self._window)))
            )
            self._watch_price()
            buy = self._trade("BUY", BOUGHT)
            self._show_holding()
            resting = self._rest_below_the_market()
            limit = self._trade("BUY", BOUGHT_AT_LIMIT, limit=self._legal_price(percent=101))
            sell = self._trade("SELL", SOLD)
            earlier_sums += [*sums_of_resting(resting), *sums_of_limit(limit)]
            self._check([buy, limit, sell], earlier_sums)
        except (ApiError, WindowError) as refused:
            raise DemoError(str(refused)) from None
        except (KeyError, TypeError, IndexError) as strange:
            raise DemoError(
                f"An answer lacks something that the contract promises: {strange!r}."
            ) from strange
        finally:
            self._api.close()

    def _wait_for_our_turn(self, seconds: int) -> None:
        """Somebody at this address has signed in often of late."""
        self._console.print(f"Too many requests for now: going on in {seconds} s")
        self._stopping.wait(seconds)

    def _register(self) -> None:
        email, password = f"demo-{secrets.token_hex(4)}@stocking.example", secrets.token_urlsafe(18)
        self._step("Register a new user and sign in")
        user = self._api.post("/users", email=email, password=password, name="Demo Trader")
        self._api.sign_in(email, password)
        self._facts(email=user["email"], name=user["name"], user_id=user["id"])

    def _show_balance(self, title: str) -> dict[str, Any]:
        self._step(title)
        balance: dict[str, Any] = self._api.get("/balance")
        self._facts(**{name: figure(value) for name, value in balance.items()})
        return balance

    def _deposit(self) -> None:
        self._step(f"Deposit {won(DEPOSIT)}")
        self._transactions_table([self._api.post("/balance/deposit", amount=DEPOSIT)])

    def _top_up(self, window: PaymentPage) -> TopUp:
        """Pay in by PortOne's stand-in as a browser does, and have a part of it given back."""
        before = self._api.get("/balance")
        self._step(f"Top up {won(TOP_UP)} by PortOne: prepare, pay in its window, complete")
        prepared = self._api.post(
            "/payments/portone/prepare", amount=TOP_UP, order_name="예수금 충전", currency="KRW"
        )
        payment_id = prepared["payment_id"]
        told = window.pay(prepared)
        self._facts(payment=payment_id, told_by_the_window=told.get("code", "no failure"))
        completed = time.monotonic()
        self._api.post("/payments/portone/complete", payment_id=payment_id)
        payment = self._until(
            "the payment is credited", lambda: self._payment_in(payment_id, "CREDITED")
        )
        self._facts(
            status=payment["status"], through=f"verified and booked after {_ms_since(completed)} ms"
        )
        credited = self._api.get("/balance")

        self._step(f"Have {won(GIVEN_BACK)} of it given back")
        refund = self._api.post(
            f"/payments/{payment_id}/cancel", amount=GIVEN_BACK, reason="데모 환불"
        )
        self._facts(refund=refund["id"], status=refund["status"])
        payment = self._until(
            "the refund is booked", lambda: self._payment_in(payment_id, "PARTIALLY_CANCELLED")
        )
        self._facts(
            payment=payment["status"],
            **{
                name: won(payment[name])
                for name in ("amount", "cancelled_amount", "refundable_amount")
            },
        )
        self._transactions_table(self._api.get("/trading/transactions", limit=2)["items"][::-1])
        return TopUp(
            before, credited, self._api.get("/balance"), payment, window.books_of(payment_id)
        )

    def _payment_in(self, payment_id: str, status: str) -> dict[str, Any] | None:
        payment: dict[str, Any] = self._api.get(f"/payments/{payment_id}")
        return payment if payment["status"] == status else None

    def _watch_price(self) -> None:
        self._step(f"Watch the live price of {STOCK}")
        last: str | None = None
        for _ in range(TICKS_WATCHED):
            tick = self._until(f"a new price of {STOCK}", partial(self._tick_after, last))
            last = tick["position"]
            self._console.print(
                f"   {tick['traded_at']}  [bold]{won(tick['price'])}[/]  volume {tick['volume']:,}, change "
                f"{figure(tick['change'])}, {tick['freshness']}, {tick['age_ms']} ms old"
            )

    def _tick_after(self, seen: str | None) -> dict[str, Any] | None:
        try:
            tick: dict[str, Any] = self._api.get(f"/trading/realtime/stock/{STOCK}")
        except ApiError as unseen:
            if unseen.status == 404:
                return None
            raise
        return tick if tick["position"] != seen else None

    def _rest_below_the_market(self) -> Resting:
        """Preview a limit buy, place it where it can't fill, see why, amend and cancel it, with the balance after each step."""
        before = self._api.get("/balance")
        price = self._legal_price(percent=95)
        order = {
            "stock_code": STOCK,
            "side": "BUY",
            "order_type": "LIMIT",
            "quantity": RESTING,
            "price": price,
        }
        self._step(f"Preview a limit order: {RESTING} × {STOCK} at {won(price)}, below the market")
        preview = self._api.post("/trading/orders/preview", **order)
        self._facts(**{name: figure(value) for name, value in preview.items()})

        self._step("Place it")
        placed = self._api.post("/trading/orders", **order)
        self._facts(order=placed["id"], status=placed["status"])
        balance_placed = self._show_reservation()

        self._step("Why is it not filled?")
        self._show_waiting(placed["id"])

        lower = self._legal_price(percent=94)
        self._step(f"Amend it: {RESTING_AMENDED} at {won(lower)}")
        amended = self._api.patch(
            f"/trading/orders/{placed['id']}", price=lower, quantity=RESTING_AMENDED
        )
        self._facts(
            status=amended["status"], price=won(amended["price"]), quantity=amended["quantity"]
        )
        balance_amended = self._show_reservation()

        self._step("Cancel it")
        cancelled = self._api.delete(f"/trading/orders/{placed['id']}")
        self._facts(status=cancelled["status"], reason=cancelled["reason"])
        balance_cancelled = self._show_reservation()
        return Resting(
            preview,
            placed,
            amended,
            cancelled,
            before,
            balance_placed,
            balance_amended,
            balance_cancelled,
        )

    def _show_waiting(self, order_id: str) -> None:
        waiting = self._api.get(f"/trading/orders/{order_id}/explain")["waiting"]
        if waiting is None:
            raise DemoError("The order below the market is not open any more.")
        figures = (
            "price",
            "last_price",
            "last_price_age_ms",
            "distance",
            "distance_bp",
            "distance_steps",
        )
        self._facts(stage=waiting["stage"], **{name: figure(waiting[name]) for name in figures})
        for reason in waiting["reasons"]:
            self._facts(**{reason["code"]: reason["message"]})

    def _show_reservation(self) -> dict[str, Any]:
        balance: dict[str, Any] = self._api.get("/balance")
        self._facts(
            **{
                name.replace("_", " "): won(balance[name])
                for name in ("reserved_cash", "available_cash")
            }
        )
        return balance

    def _legal_price(self, *, percent: int) -> int:
        """So many percent of the last price, on the grid and inside the day's limits (won)."""
        tick = self._api.get(f"/trading/realtime/stock/{STOCK}")
        [table] = [
            table
            for table in self._api.get("/market/rules")["tick_tables"]
            if table["kind"] == "STOCK"
        ]
        wanted = tick["price"] * percent // 100
        if tick["base_price"] is not None:
            wanted = min(
                max(wanted, tick["base_price"] * 71 // 100), tick["base_price"] * 129 // 100
            )
        step = [line["tick"] for line in table["steps"] if line["price_from"] <= wanted][-1]
        return int(wanted - wanted % step)

    def _trade(self, side: str, quantity: int, *, limit: int | None = None) -> dict[str, Any]:
        """Place an order that fills at once and follow it until the last of its executions is in the portfolio."""
        how = "at the market" if limit is None else f"at {won(limit)} or less"
        self._step(f"{side.capitalize()} {quantity} × {STOCK} {how}")
        placed = time.monotonic()
        terms: dict[str, Any] = (
            {"order_type": "MARKET"} if limit is None else {"order_type": "LIMIT", "price": limit}
        )
        order = self._api.post(
            "/trading/orders", stock_code=STOCK, side=side, quantity=quantity, **terms
        )
        self._facts(
            order=order["id"], status=order["status"], accepted=f"after {_ms_since(placed)} ms"
        )
        order = self._until(
            f"the {side} order is in the portfolio", lambda: self._done(order["id"])
        )
        if order["status"] != "FILLED" or order["executed_quantity"] != quantity:
            raise DemoError(
                f"The {side} order ended as {order['status']} ({order['reason']}), not as FILLED."
            )
        self._facts(
            status=order["status"],
            through=f"fill, settlement and portfolio after {_ms_since(placed)} ms",
        )
        for execution in order["executions"]:
            self._facts(
                price=won(execution["price"]),
                quantity=execution["quantity"],
                amount=won(execution["amount"]),
                commission=won(execution["commission"]),
                tax=won(execution["tax"]),
                **(
                    {"realised profit": won(execution["realized_profit"])} if side == "SELL" else {}
                ),
                evidence=f"rule {execution['rule']}, tick of {execution['tick_traded_at']} at {execution['tick_position']},"
                f" {execution['tick_age_ms']} ms old",
            )
        explained = self._api.get(f"/trading/orders/{order['id']}/explain")["executions"]
        self._facts(why=", ".join(dict.fromkeys(fill["rule"]["message"] for fill in explained)))
        self._transactions_table(self._api.items("/trading/transactions", order_id=order["id"]))
        return order

    def _done(self, order_id: str) -> dict[str, Any] | None:
        """The order once nothing is left to do for it."""
        order: dict[str, Any] = self._api.get(f"/trading/orders/{order_id}")
        if order["status"] not in FINAL_STATES:
            return None
        return (
            order if all(e["settled_at"] and e["applied_at"] for e in order["executions"]) else None
        )

    def _show_holding(self) -> dict[str, Any]:
        self._step("The portfolio")
        [holding] = self._api.items("/portfolio")
        self._facts(**{name: figure(value) for name, value in holding.items()})
        return dict(holding)

    def _check(self, orders: list[dict[str, Any]], earlier_sums: list[Check]) -> None:
        """Hold the account as it is at the end, and what was seen on the way, against sums of our own."""
        balance = self._show_balance("The balance at the end")
        self._step("All transactions, oldest first")
        transactions = self._api.items("/trading/transactions", limit=100)[::-1]
        self._transactions_table(transactions)
        holding = self._show_holding()
        self._step("Totals of the portfolio")
        self._facts(
            **{name: figure(value) for name, value in self._api.get("/portfolio/summary").items()}
        )
        told = Told(self._api.get("/trading/events", limit=100), self._show_pushed())
        # From a day before any: the trading day may have gone past midnight in Korea.
        summary = self._api.get("/trading/orders/summary", **{"from": "2023-01-01"})
        executions = [
            (order["side"], execution) for order in orders for execution in order["executions"]
        ]
        account = Account(
            transactions=transactions, executions=executions, balance=balance, holding=holding
        )
        self._check_sums(
            [
                *earlier_sums,
                *sums_of(account),
                *sums_of_summary(account, summary),
                *sums_of_events(account, told),
                Check(
                    "orders in all, the cancelled one included", len(orders) + 1, summary["orders"]
                ),
                Check("shares left", BOUGHT + BOUGHT_AT_LIMIT - SOLD, holding["quantity"]),
            ]
        )

    def _show_pushed(self) -> list[dict[str, Any]]:
        """What a client is told that connects only now and had nothing before."""
        self._step("The account's events, as the gateway pushes them to a client that comes late")
        last = self._api.get("/trading/events", limit=1)["last_event_id"]
        events = self._api.events(self._stream_url, last=last)
        kinds = Counter(event["kind"] for event in events)
        self._facts(**kinds, ids=f"{events[0]['id']} to {events[-1]['id']}")
        return events

    def _check_sums(self, sums: list[Check]) -> None:
        self._step("Check the sums, computed anew from these answers")
        table = Table(
            "sum",
            Column("computed", justify="right"),
            Column("answered", justify="right"),
            "",
            box=None,
            pad_edge=False,
        )
        for line in sums:
            verdict = "[green]agrees[/]" if line.agrees else "[red]DIFFERS[/]"
            table.add_row(line.what, f"{line.expected:,}", f"{line.answered:,}", verdict)
        self._console.print(table)
        for line in sums:
            if not line.agrees:
                raise DemoError(
                    f"A sum is wrong. {line.what}: computed {line.expected:,}, answered {line.answered:,}."
                )

    def _until(self, what: str, ask: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE_S
        while (answer := ask()) is None:
            if self._stopping.wait(_POLL_S):
                raise DemoError("Stopped in the middle of the trading day.")
            if time.monotonic() > deadline:
                raise DemoError(f"Not within {DEADLINE_S:g} s: {what}.")
        return answer

    def _step(self, title: str) -> None:
        self._step_number += 1
        self._console.print(f"\n[bold cyan]{self._step_number}. {title}[/]", highlight=False)

    def _facts(self, **facts: object) -> None:
        table = Table(show_header=False, box=None, padding=(0, 1))
        for name, value in facts.items():
            table.add_row(f"  {name}", str(value))
        self._console.print(table)

    def _transactions_table(self, transactions: list[dict[str, Any]]) -> None:
        columns = (
            "quantity",
            "price",
            "amount",
            "commission",
            "tax",
            "moved",
            "cash before",
            "cash after",
        )
        table = Table(
            "  type", *(Column(name, justify="right") for name in columns), box=None, padding=(0, 1)
        )
        for t in transactions:
            figures = (t["quantity"], t["price"], t["amount"], t["commission"], t["tax"], moved(t))
            cells = [f"{figure:,}" if figure is not None else "–" for figure in figures]
            table.add_row(
                f"  {t['transaction_type']}",
                *cells,
                won(t["cash_balance_before"]),
                won(t["cash_balance_after"]),
            )
        self._console.print(table)


def won(amount: int) -> str:
    """An amount of money for a person's eyes."""
    return f"₩{amount:,}"


def figure(value: object) -> str:
    """A value of an answer: whole numbers with their thousands apart, a dash for what there is not."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _ms_since(start: float) -> int:
    return round((time.monotonic() - start) * 1000)
