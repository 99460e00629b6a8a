"""Checks that must pass after every fault."""

from itertools import count
from typing import TYPE_CHECKING

from sqlalchemy import text

from tests.faults.payer import REFUND
from tests.support.servers import wait_until
from tests.support.trading_harness import TradingHarness
from tests.system.stack import all_orders_done, breaches
from tests.trading.orders.steps import rows
from trading.db.clock import utc_now

if TYPE_CHECKING:
    from tests.faults.scenario import FaultTestbed

POLLS_PER_MAKE_DUE = 50

_TEST_USERS = "user_id IN (SELECT id FROM users WHERE email LIKE :who)"
_ORDERS = f"SELECT HEX(id) AS id FROM orders WHERE {_TEST_USERS}"
# Cash and shares recomputed from the fills alone, compared with the stored balances and holdings.
_CASH = """SELECT b.user_id, b.cash_balance, b.reserved_cash, SUM(CASE t.transaction_type
        WHEN 'DEPOSIT' THEN t.amount WHEN 'SELL' THEN t.amount WHEN 'BUY' THEN -t.amount
            WHEN 'REFUND' THEN -t.amount END
        - t.commission - t.tax) AS moved
    FROM virtual_balances b JOIN transactions t ON t.user_id = b.user_id
        GROUP BY b.user_id, b.cash_balance, b.reserved_cash
    HAVING moved <> b.cash_balance OR b.reserved_cash <> 0"""
_SHARES = """SELECT e.user_id, e.stock_code, SUM(CASE e.side WHEN 'BUY' THEN e.quantity
        ELSE -e.quantity END) AS bought,
        (SELECT p.quantity - p.reserved_quantity FROM portfolios p WHERE p.user_id = e.user_id
            AND p.stock_code = e.stock_code) AS held
    FROM order_executions e GROUP BY e.user_id, e.stock_code HAVING bought <> COALESCE(held, 0)"""
# Payments with a notification only: an unpaid payment may stay pending for half an hour.
_PAYMENTS_UNDER_WAY = f"""SELECT id FROM payments WHERE status = 'PENDING'
        AND notification_count > 0 AND {_TEST_USERS}
    UNION ALL SELECT id FROM payment_refunds WHERE status IN ('REQUESTED', 'IN_PROGRESS')
        AND {_TEST_USERS}"""
_MAKE_DUE = (
    (
        "UPDATE payments SET next_attempt_at = :at "
        "WHERE next_attempt_at > :at AND status = 'PENDING' AND notification_count > 0"
    ),
    "UPDATE payment_refunds SET next_attempt_at = :at WHERE next_attempt_at > :at",
)
_LEDGER_COUNTS = """SELECT (SELECT COUNT(*) FROM order_executions) AS fills,
    (SELECT COUNT(DISTINCT execution_id) FROM transactions
        WHERE execution_id IS NOT NULL) AS booked,
    (SELECT COUNT(*) FROM transactions WHERE execution_id IS NOT NULL) AS bookings"""


def check_invariants(testbed: "FaultTestbed") -> None:
    """Check that every accepted order exists once and has ended, and that nothing is lost or
    doubled.

    Fills must be settled and applied once, events delivered and the audit clean. Resting orders are
    cancelled by their owners first, so that every order ends.
    """
    load, harness = testbed.load, testbed.harness
    assert load.unexpected == [], load.unexpected
    _end_payments(testbed)
    for client in [*load.clients, testbed.probe]:
        client.request("DELETE", "/trading/orders")
    wait_until(
        lambda: all_orders_done(harness),
        what="every order is final and every fill applied",
    )
    _check_orders(testbed)
    _check_replays(testbed)
    (counts,) = rows(harness, _LEDGER_COUNTS)
    assert counts["fills"] == counts["booked"] == counts["bookings"]
    assert rows(harness, _CASH) == []
    assert rows(harness, _SHARES) == []
    assert breaches(harness) == []
    _check_events(testbed)


def _check_orders(testbed: "FaultTestbed") -> None:
    """Check that the orders answered 201, the orders in the database and their keys match one to
    one.
    """
    known = testbed.known.values()
    assert len({one.key for one in known}) == len(known)
    written = rows(testbed.harness, _ORDERS, who=f"{testbed.prefix}%")
    assert {one["id"].lower() for one in written} == {
        order_id.replace("-", "") for order_id in testbed.known
    }


def _check_replays(testbed: "FaultTestbed") -> None:
    """Check that repeating a request with its key returns the same order."""
    for trader in testbed.load.clients:
        for one in list(trader.journal.accepted)[-1:]:
            again = trader.request("POST", "/trading/orders", one.body, key=one.key)
            assert (again.status_code, again.json()["data"]["id"]) == (201, one.order_id)
            assert again.headers["Idempotency-Replayed"] == "true"


def _end_payments(testbed: "FaultTestbed") -> None:
    """Check that every paid payment is credited once and every accepted refund is made once."""
    polls = count()

    def done() -> bool:
        if next(polls) % POLLS_PER_MAKE_DUE == 0:
            _make_due(testbed.harness)
        return not any(rows(testbed.harness, _PAYMENTS_UNDER_WAY, who=f"{testbed.prefix}%"))

    wait_until(done, what="payments and refunds are done")
    for payer in testbed.payers:
        given_back = {
            payment_id: REFUND if payment_id in payer.refunded else 0 for payment_id in payer.paid
        }
        assert payer.cancelled_at_portone() == given_back
        for payment_id, back in given_back.items():
            shown = payer.get(f"/payments/{payment_id}")
            assert (shown["cancelled_amount"], shown["held_amount"]) == (back, 0)


def _make_due(harness: TradingHarness) -> None:
    """Make postponed payments and refunds due now, as if their back-off had passed."""
    for statement in _MAKE_DUE:
        change = text(statement)
        harness.do(
            lambda session, change=change: session.execute(
                change, {"at": utc_now().replace(tzinfo=None)}
            )
        )


def _check_events(testbed: "FaultTestbed") -> None:
    """Check that each listener received every event of its account in order."""
    for listener in testbed.listeners:
        last = listener.user.get("/trading/events?limit=1")["last_event_id"]
        wait_until(
            lambda listener=listener, last=last: listener.received[-1] >= last,
            what="the last event",
        )
        assert listener.received == list(range(len(listener.received)))
