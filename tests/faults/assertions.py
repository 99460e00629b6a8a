"""What must be so after every fault, whatever it was."""

from itertools import count
from typing import TYPE_CHECKING

from sqlalchemy import text

from tests.faults.payer import BACK
from tests.support.servers import wait_until
from tests.support.trading_harness import TradingHarness
from tests.system.stack import breaches, nothing_due
from tests.trading.orders.steps import rows
from trading.db.clock import utc_now

if TYPE_CHECKING:
    from tests.faults.scenario import Place

LOOKS_UNTIL_DUE = 50

_MINE = "user_id IN (SELECT id FROM users WHERE email LIKE :who)"
_ORDERS = f"SELECT HEX(id) AS id FROM orders WHERE {_MINE}"
# Cash and shares reckoned from the fills alone, beside what the accounts say.
_CASH = """SELECT b.user_id, b.cash_balance, b.reserved_cash, SUM(CASE t.transaction_type
        WHEN 'DEPOSIT' THEN t.amount WHEN 'SELL' THEN t.amount WHEN 'BUY' THEN -t.amount WHEN 'REFUND' THEN -t.amount END
        - t.commission - t.tax) AS moved
    FROM virtual_balances b JOIN transactions t ON t.user_id = b.user_id GROUP BY b.user_id, b.cash_balance, b.reserved_cash
    HAVING moved <> b.cash_balance OR b.reserved_cash <> 0"""
_SHARES = """SELECT e.user_id, e.stock_code, SUM(CASE e.side WHEN 'BUY' THEN e.quantity ELSE -e.quantity END) AS bought,
        (SELECT p.quantity - p.reserved_quantity FROM portfolios p WHERE p.user_id = e.user_id AND p.stock_code = e.stock_code) AS held
    FROM order_executions e GROUP BY e.user_id, e.stock_code HAVING bought <> COALESCE(held, 0)"""
# What was paid is told by who paid it; a payment that nobody paid waits for half an hour, and rightly.
_PAYMENTS_UNDER_WAY = f"""SELECT id FROM payments WHERE status = 'PENDING' AND notification_count > 0 AND {_MINE}
    UNION ALL SELECT id FROM payment_refunds WHERE status IN ('REQUESTED', 'IN_PROGRESS') AND {_MINE}"""
_MAKE_DUE = (
    "UPDATE payments SET next_attempt_at = :at WHERE next_attempt_at > :at AND status = 'PENDING' AND notification_count > 0",
    "UPDATE payment_refunds SET next_attempt_at = :at WHERE next_attempt_at > :at",
)
_BOOKED = """SELECT (SELECT COUNT(*) FROM order_executions) AS fills,
    (SELECT COUNT(DISTINCT execution_id) FROM transactions WHERE execution_id IS NOT NULL) AS booked,
    (SELECT COUNT(*) FROM transactions WHERE execution_id IS NOT NULL) AS bookings"""


def verdict(place: "Place") -> None:
    """Every order that was answered 201 is there once and ends, every fill is settled and applied once, every event is told, the audit is clean.

    What rests in the book rightly is cancelled by its owner, so that everything comes to an end.
    """
    crowd, harness = place.crowd, place.harness
    assert crowd.unforeseen == [], crowd.unforeseen
    _end_payments(place)
    for client in [*crowd.members, place.probe]:
        client.ask("DELETE", "/trading/orders")
    wait_until(
        lambda: nothing_due(harness),
        what="every order is final and every fill applied",
    )
    _check_orders(place)
    _check_replays(place)
    (booked,) = rows(harness, _BOOKED)
    assert booked["fills"] == booked["booked"] == booked["bookings"]
    assert rows(harness, _CASH) == []
    assert rows(harness, _SHARES) == []
    assert breaches(harness) == []
    _check_events(place)


def _check_orders(place: "Place") -> None:
    """Orders that were answered 201, those in the books and the keys that they were asked for with are as many."""
    known = place.known.values()
    assert len({one.key for one in known}) == len(known)
    written = rows(place.harness, _ORDERS, who=f"{place.prefix}%")
    assert {one["id"].lower() for one in written} == {
        order_id.replace("-", "") for order_id in place.known
    }


def _check_replays(place: "Place") -> None:
    """A key that is sent again is answered with the same order."""
    for trader in place.crowd.members:
        for one in list(trader.journal.accepted)[-1:]:
            again = trader.ask("POST", "/trading/orders", one.body, key=one.key)
            assert (again.status_code, again.json()["data"]["id"]) == (201, one.order_id)
            assert again.headers["Idempotency-Replayed"] == "true"


def _end_payments(place: "Place") -> None:
    """Every payment that was paid is credited once, and every refund that was promised was made once."""
    looks = count()

    def done() -> bool:
        if next(looks) % LOOKS_UNTIL_DUE == 0:
            _make_due(place.harness)
        return not any(rows(place.harness, _PAYMENTS_UNDER_WAY, who=f"{place.prefix}%"))

    wait_until(done, what="payments and refunds are done")
    for payer in place.payers:
        given_back = {
            payment_id: BACK if payment_id in payer.refunded else 0 for payment_id in payer.paid
        }
        assert payer.cancelled_at_portone() == given_back
        for payment_id, back in given_back.items():
            shown = payer.get(f"/payments/{payment_id}")
            assert (shown["cancelled_amount"], shown["held_amount"]) == (back, 0)


def _make_due(harness: TradingHarness) -> None:
    """As if the time had passed for which those are put off whose wake-up was lost."""
    for statement in _MAKE_DUE:
        change = text(statement)
        harness.do(
            lambda session, change=change: session.execute(
                change, {"at": utc_now().replace(tzinfo=None)}
            )
        )


def _check_events(place: "Place") -> None:
    """Who listens at the gateway has every event of his account."""
    for listener in place.listeners:
        last = listener.user.get("/trading/events?limit=1")["last_event_id"]
        wait_until(
            lambda listener=listener, last=last: listener.heard[-1] >= last,
            what="the last event",
        )
        assert listener.heard == list(range(len(listener.heard)))
