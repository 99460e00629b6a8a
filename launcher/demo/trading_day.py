"""A trading day of a new user through the public API, printed with the real answers."""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from rich.console import Console

from launcher.api import Api, ApiError
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
from launcher.demo.output import Output, figure, won
from launcher.demo.payment_page import PaymentPage, PaymentPageError

STOCK = "A005930"
DEPOSIT = 5_000_000
TOP_UP, REFUNDED = 30_000, 10_000
BOUGHT, SOLD = 10, 4
BOUGHT_WITH_LIMIT = 3
RESTING_QUANTITY, AMENDED_QUANTITY = 7, 5
TICKS_WATCHED = 5
DEADLINE_S = 30.0
_POLL_S = 0.1

FINAL_STATES = frozenset({"FILLED", "CANCELLED", "REJECTED", "EXPIRED"})


class DemoError(Exception):
    """The first error of the demo."""


class TradingDay:
    """Runs the demo's steps against the API and the event stream. `stopping` ends it early.

    Without a PortOne stand-in at `portone_url` nothing is topped up, because that would cost real
    money.
    """

    def __init__(
        self,
        api_url: str,
        stream_url: str,
        portone_url: str | None,
        console: Console,
        stopping: threading.Event,
    ) -> None:
        self._api = Api(api_url, wait=self._wait_for_rate_limit)
        self._payment_page = None if portone_url is None else PaymentPage(portone_url, api_url)
        self._stream_url = stream_url
        self._output = Output(console)
        self._stopping = stopping

    def run(self) -> None:
        """Run all steps and check the sums. Raise DemoError at the first error."""
        try:
            self._register()
            self._show_balance("Balance of a new account")
            self._deposit()
            earlier_checks = (
                []
                if self._payment_page is None
                else list(top_up_checks(self._top_up(self._payment_page)))
            )
            self._watch_price()
            buy = self._trade("BUY", BOUGHT)
            self._show_holding()
            resting = self._place_resting_order()
            limit = self._trade("BUY", BOUGHT_WITH_LIMIT, limit=self._valid_price(percent=101))
            sell = self._trade("SELL", SOLD)
            earlier_checks += [*resting_order_checks(resting), *limit_price_checks(limit)]
            self._check([buy, limit, sell], earlier_checks)
        except (ApiError, PaymentPageError) as error:
            raise DemoError(str(error)) from None
        except (KeyError, TypeError, IndexError) as error:
            raise DemoError(f"An answer lacks a member: {error!r}.") from error
        finally:
            self._api.close()

    def _wait_for_rate_limit(self, seconds: int) -> None:
        """Wait because this address has signed in too often."""
        self._output.line(f"Rate limited: continuing in {seconds} s")
        self._stopping.wait(seconds)

    def _register(self) -> None:
        email, password = f"demo-{secrets.token_hex(4)}@stocking.example", secrets.token_urlsafe(18)
        self._output.step("Register a new user and sign in")
        user = self._api.post("/users", email=email, password=password, name="Demo Trader")
        self._api.sign_in(email, password)
        self._output.facts(email=user["email"], name=user["name"], user_id=user["id"])

    def _show_balance(self, title: str) -> dict[str, Any]:
        self._output.step(title)
        balance: dict[str, Any] = self._api.get("/balance")
        self._output.facts(**{name: figure(value) for name, value in balance.items()})
        return balance

    def _deposit(self) -> None:
        self._output.step(f"Deposit {won(DEPOSIT)}")
        self._output.transactions([self._api.post("/balance/deposit", amount=DEPOSIT)])

    def _top_up(self, payment_page: PaymentPage) -> TopUpAnswers:
        """Top up with the PortOne stand-in as a browser does, and refund a part."""
        before = self._api.get("/balance")
        self._output.step(
            f"Top up {won(TOP_UP)} with PortOne: prepare, pay in its window, complete"
        )
        prepared = self._api.post(
            "/payments/portone/prepare", amount=TOP_UP, order_name="예수금 충전", currency="KRW"
        )
        payment_id = prepared["payment_id"]
        result = payment_page.pay(prepared)
        self._output.facts(payment=payment_id, payment_page=result.get("code", "no failure"))
        completed = time.monotonic()
        self._api.post("/payments/portone/complete", payment_id=payment_id)
        payment = self._wait_for(
            "the payment is credited", lambda: self._payment_in(payment_id, "CREDITED")
        )
        self._output.facts(
            status=payment["status"],
            completed=f"verified and credited after {_ms_since(completed)} ms",
        )
        credited = self._api.get("/balance")

        self._output.step(f"Refund {won(REFUNDED)} of it")
        refund = self._api.post(
            f"/payments/{payment_id}/cancel", amount=REFUNDED, reason="데모 환불"
        )
        self._output.facts(refund=refund["id"], status=refund["status"])
        payment = self._wait_for(
            "the refund is booked", lambda: self._payment_in(payment_id, "PARTIALLY_CANCELLED")
        )
        self._output.facts(
            payment=payment["status"],
            **{
                name: won(payment[name])
                for name in ("amount", "cancelled_amount", "refundable_amount")
            },
        )
        self._output.transactions(self._api.get("/trading/transactions", limit=2)["items"][::-1])
        return TopUpAnswers(
            before,
            credited,
            self._api.get("/balance"),
            payment,
            payment_page.stored_payment(payment_id),
        )

    def _payment_in(self, payment_id: str, status: str) -> dict[str, Any] | None:
        payment: dict[str, Any] = self._api.get(f"/payments/{payment_id}")
        return payment if payment["status"] == status else None

    def _watch_price(self) -> None:
        self._output.step(f"Watch the live price of {STOCK}")
        last: str | None = None
        for _ in range(TICKS_WATCHED):
            tick = self._wait_for(f"a new price of {STOCK}", partial(self._tick_after, last))
            last = tick["position"]
            self._output.line(
                f"   {tick['traded_at']}  [bold]{won(tick['price'])}[/]  "
                f"volume {tick['volume']:,}, "
                f"change {figure(tick['change'])}, {tick['freshness']}, {tick['age_ms']} ms old"
            )

    def _tick_after(self, seen: str | None) -> dict[str, Any] | None:
        try:
            tick: dict[str, Any] = self._api.get(f"/trading/realtime/stock/{STOCK}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return tick if tick["position"] != seen else None

    def _place_resting_order(self) -> RestingOrderAnswers:
        """Preview a limit buy, place it below the market, explain, amend and cancel it.

        Return the answers with the balance after each step.
        """
        before = self._api.get("/balance")
        price = self._valid_price(percent=95)
        order = {
            "stock_code": STOCK,
            "side": "BUY",
            "order_type": "LIMIT",
            "quantity": RESTING_QUANTITY,
            "price": price,
        }
        self._output.step(
            f"Preview a limit order: {RESTING_QUANTITY} × {STOCK} at {won(price)}, below the market"
        )
        preview = self._api.post("/trading/orders/preview", **order)
        self._output.facts(**{name: figure(value) for name, value in preview.items()})

        self._output.step("Place it")
        placed = self._api.post("/trading/orders", **order)
        self._output.facts(order=placed["id"], status=placed["status"])
        balance_placed = self._show_reservation()

        self._output.step("Why is it not filled?")
        self._explain_waiting(placed["id"])

        lower = self._valid_price(percent=94)
        self._output.step(f"Amend it: {AMENDED_QUANTITY} at {won(lower)}")
        amended = self._api.patch(
            f"/trading/orders/{placed['id']}", price=lower, quantity=AMENDED_QUANTITY
        )
        self._output.facts(
            status=amended["status"], price=won(amended["price"]), quantity=amended["quantity"]
        )
        balance_amended = self._show_reservation()

        self._output.step("Cancel it")
        cancelled = self._api.delete(f"/trading/orders/{placed['id']}")
        self._output.facts(status=cancelled["status"], reason=cancelled["reason"])
        balance_cancelled = self._show_reservation()
        return RestingOrderAnswers(
            preview,
            placed,
            amended,
            cancelled,
            before,
            balance_placed,
            balance_amended,
            balance_cancelled,
        )

    def _explain_waiting(self, order_id: str) -> None:
        waiting = self._api.get(f"/trading/orders/{order_id}/explain")["waiting"]
        if waiting is None:
            raise DemoError("The order below the market is no longer open.")
        figures = (
            "price",
            "last_price",
            "last_price_age_ms",
            "distance",
            "distance_bp",
            "distance_steps",
        )
        self._output.facts(
            stage=waiting["stage"], **{name: figure(waiting[name]) for name in figures}
        )
        for reason in waiting["reasons"]:
            self._output.facts(**{reason["code"]: reason["message"]})

    def _show_reservation(self) -> dict[str, Any]:
        balance: dict[str, Any] = self._api.get("/balance")
        self._output.facts(
            **{
                name.replace("_", " "): won(balance[name])
                for name in ("reserved_cash", "available_cash")
            }
        )
        return balance

    def _valid_price(self, *, percent: int) -> int:
        """Return about `percent` of the last price (won), on the tick grid and inside the price
        limits.
        """
        tick = self._api.get(f"/trading/realtime/stock/{STOCK}")
        [table] = [
            table
            for table in self._api.get("/market/rules")["tick_tables"]
            if table["kind"] == "STOCK"
        ]
        price = tick["price"] * percent // 100
        if tick["base_price"] is not None:
            price = min(max(price, tick["base_price"] * 71 // 100), tick["base_price"] * 129 // 100)
        step = [line["tick"] for line in table["steps"] if line["price_from"] <= price][-1]
        return int(price - price % step)

    def _trade(self, side: str, quantity: int, *, limit: int | None = None) -> dict[str, Any]:
        """Place an order that fills at once, and wait until its executions are applied to the
        holdings.
        """
        price_text = "at the market" if limit is None else f"at {won(limit)} or less"
        self._output.step(f"{side.capitalize()} {quantity} × {STOCK} {price_text}")
        placed = time.monotonic()
        order_type: dict[str, Any] = (
            {"order_type": "MARKET"} if limit is None else {"order_type": "LIMIT", "price": limit}
        )
        order = self._api.post(
            "/trading/orders", stock_code=STOCK, side=side, quantity=quantity, **order_type
        )
        self._output.facts(
            order=order["id"], status=order["status"], accepted=f"after {_ms_since(placed)} ms"
        )
        order = self._wait_for(
            f"the {side} order is in the portfolio", lambda: self._done(order["id"])
        )
        if order["status"] != "FILLED" or order["executed_quantity"] != quantity:
            raise DemoError(
                f"The {side} order ended as {order['status']} ({order['reason']}), not as FILLED."
            )
        self._output.facts(
            status=order["status"],
            completed=f"filled, settled and applied to holdings after {_ms_since(placed)} ms",
        )
        for execution in order["executions"]:
            self._output.facts(
                price=won(execution["price"]),
                quantity=execution["quantity"],
                amount=won(execution["amount"]),
                commission=won(execution["commission"]),
                tax=won(execution["tax"]),
                **(
                    {"realised profit": won(execution["realized_profit"])} if side == "SELL" else {}
                ),
                evidence=(
                    f"rule {execution['rule']}, tick of {execution['tick_traded_at']} "
                    f"at {execution['tick_position']}, {execution['tick_age_ms']} ms old"
                ),
            )
        explained = self._api.get(f"/trading/orders/{order['id']}/explain")["executions"]
        self._output.facts(
            why=", ".join(dict.fromkeys(fill["rule"]["message"] for fill in explained))
        )
        self._output.transactions(self._api.items("/trading/transactions", order_id=order["id"]))
        return order

    def _done(self, order_id: str) -> dict[str, Any] | None:
        """Return the order once all its executions are settled and applied; None before."""
        order: dict[str, Any] = self._api.get(f"/trading/orders/{order_id}")
        if order["status"] not in FINAL_STATES:
            return None
        return (
            order if all(e["settled_at"] and e["applied_at"] for e in order["executions"]) else None
        )

    def _show_holding(self) -> dict[str, Any]:
        self._output.step("The portfolio")
        [holding] = self._api.items("/portfolio")
        self._output.facts(**{name: figure(value) for name, value in holding.items()})
        return dict(holding)

    def _check(self, orders: list[dict[str, Any]], earlier_checks: list[DemoCheck]) -> None:
        """Compare the final account and the earlier answers with recomputed sums."""
        balance = self._show_balance("The balance at the end")
        self._output.step("All transactions, oldest first")
        transactions = self._api.items("/trading/transactions", limit=100)[::-1]
        self._output.transactions(transactions)
        holding = self._show_holding()
        self._output.step("Totals of the portfolio")
        self._output.facts(
            **{name: figure(value) for name, value in self._api.get("/portfolio/summary").items()}
        )
        feeds = EventFeeds(self._api.get("/trading/events", limit=100), self._show_pushed_events())
        # An early date, because the demo may run past midnight in Korea.
        summary = self._api.get("/trading/orders/summary", **{"from": "2023-01-01"})
        executions = [
            (order["side"], execution) for order in orders for execution in order["executions"]
        ]
        account = AccountAnswers(
            transactions=transactions, executions=executions, balance=balance, holding=holding
        )
        self._require_agreement(
            [
                *earlier_checks,
                *account_checks(account),
                *summary_checks(account, summary),
                *event_checks(account, feeds),
                DemoCheck(
                    "orders in all, the cancelled one included", len(orders) + 1, summary["orders"]
                ),
                DemoCheck("shares left", BOUGHT + BOUGHT_WITH_LIMIT - SOLD, holding["quantity"]),
            ]
        )

    def _show_pushed_events(self) -> list[dict[str, Any]]:
        """Return the events that a newly connected client receives."""
        self._output.step("The account's events, as the gateway pushes them to a new client")
        last = self._api.get("/trading/events", limit=1)["last_event_id"]
        events = self._api.events(self._stream_url, last=last)
        kinds = Counter(event["kind"] for event in events)
        self._output.facts(**kinds, ids=f"{events[0]['id']} to {events[-1]['id']}")
        return events

    def _require_agreement(self, checks: list[DemoCheck]) -> None:
        self._output.step("Recompute all sums from these answers")
        self._output.checks(checks)
        for check in checks:
            if not check.agrees:
                raise DemoError(
                    f"A sum is wrong. {check.what}: computed {check.expected:,}, "
                    f"answered {check.answered:,}."
                )

    def _wait_for(self, what: str, poll: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE_S
        while (answer := poll()) is None:
            if self._stopping.wait(_POLL_S):
                raise DemoError("Stopped in the middle of the trading day.")
            if time.monotonic() > deadline:
                raise DemoError(f"Not within {DEADLINE_S:g} s: {what}.")
        return answer


def _ms_since(start: float) -> int:
    return round((time.monotonic() - start) * 1000)
