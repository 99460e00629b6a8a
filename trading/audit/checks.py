"""The audit: recompute every invariant from the rows of one database state, without changing it.

Each check is a SELECT of the faulty rows; its population and its figure say what was checked. The
checks are plain SQL, because the statements are the same on every database and operators can run
them by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import RowMapping, select, text
from sqlalchemy.orm import Session

from trading.account_events.tables import ACCOUNT_EVENT_HEADS
from trading.audit.model import AuditBatch, Breach
from trading.audit.scoping import restrict_to_accounts
from trading.invariants import Check, digits, number, word
from trading.ledger.model import DIRECTION, FLOWS
from trading.orders.audit_checks import ORDER_CHECKS
from trading.payments.audit_checks import PAYMENT_CHECKS
from trading.watchlists.audit_checks import WATCHLIST_CHECKS

SAMPLE = 5

_SIGNED = (
    "(CASE transaction_type "
    + " ".join(
        f"WHEN '{kind}' THEN {'' if sign > 0 else '-'}amount" for kind, sign in DIRECTION.items()
    )
    + " END - commission - tax)"
)
_FLOWS = f"({', '.join(repr(str(kind)) for kind in FLOWS)})"
_OPEN = "('PENDING', 'PARTIALLY_FILLED')"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check. ``sample`` shows at most SAMPLE faulty rows."""

    name: str
    checked: int
    figure: int
    breaches: int
    sample: tuple[str, ...]


_CHECKS = (
    Check(
        name="1a cash_balance equals the sum of the account's transactions",
        population="SELECT COUNT(*) FROM virtual_balances",
        figure="SELECT COALESCE(SUM(cash_balance), 0) FROM virtual_balances",
        faults=f"""SELECT x.user_id, SUM(x.balance) AS cash_balance, SUM(x.moved) AS transactions
            FROM (
                SELECT user_id, cash_balance AS balance, 0 AS moved FROM virtual_balances
                UNION ALL SELECT user_id, 0, {_SIGNED} FROM transactions
            ) x GROUP BY x.user_id HAVING SUM(x.balance) <> SUM(x.moved)""",
    ),
    Check(
        name="1b each transaction continues the previous balance and changes it by its amount",
        population="SELECT COUNT(*) FROM transactions",
        figure="SELECT COALESCE(MAX(sequence), 0) FROM transactions",
        faults=f"""SELECT t.id, t.user_id, t.sequence, t.cash_before,
            p.cash_after AS previous_after, t.cash_after, t.moved
            FROM (SELECT id, user_id, sequence, cash_before, cash_after, {_SIGNED} AS moved
                FROM transactions) t
            LEFT JOIN transactions p ON p.user_id = t.user_id AND p.sequence = t.sequence - 1
            WHERE t.cash_before <> CASE WHEN t.sequence = 1 THEN 0 ELSE COALESCE(p.cash_after,
                -1) END
               OR t.cash_after <> t.cash_before + t.moved""",
    ),
    Check(
        name="1c an account's transactions are numbered without gaps",
        population="SELECT COUNT(*) FROM virtual_balances",
        figure="SELECT COALESCE(SUM(transaction_count), 0) FROM virtual_balances",
        faults="""SELECT b.user_id, b.transaction_count, COALESCE(t.written, 0) AS written
            FROM virtual_balances b
            LEFT JOIN (SELECT user_id, COUNT(*) AS written, MAX(sequence) AS last FROM transactions
                GROUP BY user_id) t
            ON t.user_id = b.user_id
            WHERE b.transaction_count <> COALESCE(t.written, 0)
                OR b.transaction_count <> COALESCE(t.last, 0)""",
    ),
    Check(
        name="2a reserved_cash equals the reservations of open and unsettled buys and refunds",
        population="SELECT COUNT(*) FROM virtual_balances",
        figure="SELECT COALESCE(SUM(reserved_cash), 0) FROM virtual_balances",
        faults="""SELECT b.user_id, b.reserved_cash, COALESCE(o.total, 0) AS orders,
            COALESCE(r.total, 0) AS refunds FROM virtual_balances b
            LEFT JOIN (SELECT user_id, SUM(reserved_cash) AS total FROM orders GROUP BY user_id) o
                ON o.user_id = b.user_id
            LEFT JOIN (SELECT user_id, SUM(amount) AS total FROM payment_refunds
                       WHERE status IN ('REQUESTED', 'IN_PROGRESS') GROUP BY user_id) r
                           ON r.user_id = b.user_id
            WHERE b.reserved_cash <> COALESCE(o.total, 0) + COALESCE(r.total, 0)""",
    ),
    Check(
        name="2b an order reserves its unsettled fills, and nothing once finished and settled",
        population="SELECT COUNT(*) FROM orders WHERE side = 'BUY'",
        figure="SELECT COALESCE(SUM(reserved_cash), 0) FROM orders",
        faults=f"""SELECT o.id, o.status, o.reserved_cash, COALESCE(e.unsettled, 0) AS unsettled
            FROM orders o
            LEFT JOIN (SELECT order_id, SUM(amount + commission) AS unsettled FROM order_executions
                       WHERE settled_at IS NULL AND side = 'BUY' GROUP BY order_id) e
                           ON e.order_id = o.id
            WHERE o.reserved_cash < COALESCE(e.unsettled, 0)
               OR (o.status NOT IN {_OPEN} AND e.unsettled IS NULL AND o.reserved_cash <> 0)""",
    ),
    Check(
        name="2c available cash is never negative, except for a debt",
        population="SELECT COUNT(*) FROM virtual_balances",
        figure="SELECT COALESCE(SUM(cash_balance - reserved_cash), 0) FROM virtual_balances",
        faults="""SELECT user_id, cash_balance, reserved_cash, debt FROM virtual_balances
            WHERE cash_balance + debt < reserved_cash OR reserved_cash < 0 OR debt < 0""",
    ),
    Check(
        name="2d an open limit buy reserves its remainder's cost, a sale reserves no cash",
        population=f"SELECT COUNT(*) FROM orders WHERE status IN {_OPEN}",
        figure=f"""SELECT COALESCE(SUM((quantity - executed_quantity) * limit_price), 0) FROM orders
            WHERE status IN {_OPEN} AND side = 'BUY'""",
        # Commission paid so far counts as reserved: if its rate was raised, the difference came out
        # of the remaining reservation.
        faults=f"""SELECT o.id, o.side, o.reserved_cash,
            o.quantity - o.executed_quantity AS remaining, o.limit_price FROM orders o
            LEFT JOIN (SELECT order_id, SUM(commission) AS paid, SUM(CASE WHEN settled_at IS NULL
                THEN amount + commission ELSE 0 END) AS unsettled
                       FROM order_executions WHERE side = 'BUY' GROUP BY order_id) e
                           ON e.order_id = o.id
            WHERE (o.side = 'SELL' AND o.reserved_cash <> 0)
               OR (o.side = 'BUY' AND o.status IN {_OPEN}
                   AND o.reserved_cash - COALESCE(e.unsettled, 0) + COALESCE(e.paid, 0)
                   < (o.quantity - o.executed_quantity) * o.limit_price)""",
    ),
    Check(
        name="3a holding quantity and cost equal applied purchases − sales − write-offs",
        population="SELECT COUNT(*) FROM portfolios",
        figure="SELECT COALESCE(SUM(quantity), 0) FROM portfolios",
        faults="""SELECT x.user_id, x.stock_code, SUM(x.quantity) AS quantity_off,
            SUM(x.cost) AS cost_off, SUM(x.commission) AS commission_off
            FROM (
                SELECT user_id, stock_code, quantity, cost, buy_commission AS commission
                    FROM portfolios
                UNION ALL
                SELECT user_id, stock_code, CASE side WHEN 'BUY' THEN -quantity ELSE quantity END,
                       CASE side WHEN 'BUY' THEN -amount ELSE cost END, CASE side WHEN 'BUY'
                           THEN -commission ELSE buy_commission END
                FROM order_executions WHERE applied_at IS NOT NULL
                UNION ALL
                SELECT user_id, stock_code, quantity, cost, buy_commission FROM holding_write_offs
            ) x GROUP BY x.user_id, x.stock_code
            HAVING SUM(x.quantity) <> 0 OR SUM(x.cost) <> 0 OR SUM(x.commission) <> 0""",
    ),
    Check(
        name="3b reserved_quantity equals the shares of open and unapplied sells",
        population="SELECT COUNT(*) FROM portfolios",
        figure="SELECT COALESCE(SUM(reserved_quantity), 0) FROM portfolios",
        faults=f"""SELECT x.user_id, x.stock_code, SUM(x.reserved) AS reserved_off FROM (
                SELECT user_id, stock_code, reserved_quantity AS reserved FROM portfolios
                UNION ALL
                SELECT user_id, stock_code, -(quantity - executed_quantity) FROM orders
                    WHERE side = 'SELL' AND status IN {_OPEN}
                UNION ALL
                SELECT user_id, stock_code, -quantity FROM order_executions WHERE side = 'SELL'
                    AND applied_at IS NULL
            ) x GROUP BY x.user_id, x.stock_code HAVING SUM(x.reserved) <> 0""",
    ),
    Check(
        name="3c 0 ≤ reserved_quantity ≤ quantity, and no holding is empty",
        population="SELECT COUNT(*) FROM portfolios",
        figure="SELECT COALESCE(SUM(quantity - reserved_quantity), 0) FROM portfolios",
        faults="""SELECT user_id, stock_code, quantity, reserved_quantity FROM portfolios
            WHERE reserved_quantity < 0 OR reserved_quantity > quantity OR quantity <= 0""",
    ),
    Check(
        name="4a executed quantity equals the executions, at most the ordered quantity",
        population="SELECT COUNT(*) FROM orders",
        figure="SELECT COALESCE(SUM(executed_quantity), 0) FROM orders",
        faults="""SELECT o.id, o.status, o.quantity, o.executed_quantity,
            COALESCE(e.total, 0) AS executions FROM orders o
            LEFT JOIN (SELECT order_id, SUM(quantity) AS total FROM order_executions
                GROUP BY order_id) e ON e.order_id = o.id
            WHERE o.executed_quantity <> COALESCE(e.total, 0) OR o.executed_quantity > o.quantity
               OR (o.status = 'FILLED') <> (o.executed_quantity = o.quantity)""",
    ),
    Check(
        name="4b an execution has exactly one transaction once settled, with equal figures",
        population="SELECT COUNT(*) FROM order_executions",
        figure="SELECT COALESCE(SUM(amount), 0) FROM order_executions",
        faults="""SELECT e.id, e.settled_at, t.id AS transaction_id FROM order_executions e
            LEFT JOIN transactions t ON t.execution_id = e.id
            WHERE (e.settled_at IS NULL) <> (t.id IS NULL)
               OR (t.id IS NOT NULL AND (t.amount <> e.amount OR t.commission <> e.commission
                   OR t.quantity <> e.quantity
                   OR t.price <> e.price OR t.tax <> e.transaction_tax + e.rural_tax
                       OR t.transaction_type <> e.side
                   OR t.user_id <> e.user_id OR t.order_id <> e.order_id
                       OR t.stock_code <> e.stock_code))""",
    ),
    Check(
        name="4c an execution matches its order and is applied only after settlement",
        population="SELECT COUNT(*) FROM order_executions",
        figure="SELECT COUNT(*) FROM order_executions WHERE applied_at IS NOT NULL",
        faults="""SELECT e.id, e.order_id FROM order_executions e LEFT JOIN orders o
            ON o.id = e.order_id
            WHERE o.id IS NULL OR e.user_id <> o.user_id OR e.stock_code <> o.stock_code
                OR e.side <> o.side
               OR (e.applied_at IS NOT NULL AND e.settled_at IS NULL)""",
    ),
    Check(
        name="6 every trade transaction has an execution, no other transaction has one",
        population="SELECT COUNT(*) FROM transactions",
        figure="SELECT COUNT(*) FROM transactions WHERE transaction_type IN ('BUY', 'SELL')",
        faults="""SELECT t.id, t.transaction_type FROM transactions t LEFT JOIN order_executions e
            ON e.id = t.execution_id
            WHERE (t.transaction_type IN ('BUY', 'SELL')) <> (e.id IS NOT NULL)""",
    ),
    Check(
        name="7 cash + cost + commission = net deposits + realized profit, once all is applied",
        population="SELECT COUNT(*) FROM virtual_balances",
        figure="SELECT COALESCE(SUM(realized_profit), 0) FROM order_executions",
        faults=f"""SELECT x.user_id, SUM(x.won) AS won_off FROM (
                SELECT user_id, cash_balance AS won FROM virtual_balances
                UNION ALL SELECT user_id, cost + buy_commission FROM portfolios
                UNION ALL SELECT user_id, -{_SIGNED} FROM transactions
                    WHERE transaction_type NOT IN ('BUY', 'SELL')
                UNION ALL SELECT user_id, -realized_profit FROM order_executions
                    WHERE realized_profit IS NOT NULL
                UNION ALL SELECT user_id, cost + buy_commission FROM holding_write_offs
            ) x WHERE NOT EXISTS (SELECT 1 FROM order_executions e WHERE e.user_id = x.user_id
                AND e.applied_at IS NULL)
            GROUP BY x.user_id HAVING SUM(x.won) <> 0""",
    ),
    Check(
        name="9a a user's events are numbered without gaps up to the newest",
        population="SELECT COUNT(*) FROM account_event_heads",
        figure="SELECT COALESCE(SUM(last_id), 0) FROM account_event_heads",
        faults="""SELECT x.user_id, SUM(x.head) AS head, SUM(x.written) AS written,
            MAX(x.newest) AS newest FROM (
                SELECT user_id, last_id AS head, 0 AS written, 0 AS newest FROM account_event_heads
                UNION ALL SELECT user_id, 0, COUNT(*), MAX(id) FROM account_events GROUP BY user_id
            ) x GROUP BY x.user_id HAVING SUM(x.head) <> SUM(x.written)
                OR SUM(x.head) <> MAX(x.newest)""",
    ),
    # An account may be older than its events, so the checks below start with the first event of
    # each object: from then on all changes have events.
    Check(
        name="9b each cash event continues the previous one, the newest ends at cash_balance",
        population="SELECT COUNT(*) FROM account_events WHERE kind = 'cash'",
        figure=f"""SELECT COALESCE(SUM({number("amount")}), 0) FROM account_events
            WHERE kind = 'cash'""",
        faults=f"""SELECT x.user_id, x.id, x.previous_cash, x.cash FROM (
                SELECT user_id, id, cash,
                    LAG(cash_after) OVER (PARTITION BY user_id ORDER BY id) AS previous_cash FROM (
                    SELECT user_id, id, {number("cash_balance_before")} AS cash,
                        {number("cash_balance_after")} AS cash_after
                    FROM account_events WHERE kind = 'cash'
                    UNION ALL SELECT user_id, {2**63 - 1}, cash_balance, cash_balance
                        FROM virtual_balances
                ) c
            ) x WHERE x.previous_cash <> x.cash""",
    ),
    Check(
        name="9c an order's newest event has its status, quantity and executed quantity",
        population="SELECT COUNT(*) FROM account_events WHERE kind = 'order'",
        figure=f"SELECT COUNT(DISTINCT {digits('id')}) FROM account_events WHERE kind = 'order'",
        faults=f"""SELECT x.order_id, MIN(x.status) AS one_status, MAX(x.status) AS other_status,
                   MIN(x.executed_quantity) AS one_executed,
                       MAX(x.executed_quantity) AS other_executed FROM (
                SELECT HEX(id) AS order_id, status, quantity, executed_quantity, 0 AS has_event
                    FROM orders
                UNION ALL SELECT order_id, status, quantity, executed_quantity, 1 FROM (
                    SELECT {digits("id")} AS order_id, {word("status")} AS status,
                        {number("quantity")} AS quantity,
                           {number("executed_quantity")} AS executed_quantity,
                           ROW_NUMBER() OVER (PARTITION BY {digits("id")} ORDER BY id DESC) AS nth
                    FROM account_events WHERE kind = 'order'
                ) e WHERE nth = 1
            ) x GROUP BY x.order_id HAVING SUM(x.has_event) = 1 AND (COUNT(*) <> 2
                OR MIN(x.status) <> MAX(x.status)
                OR MIN(x.quantity) <> MAX(x.quantity)
                    OR MIN(x.executed_quantity) <> MAX(x.executed_quantity))""",
    ),
    Check(
        name="9d every execution of an order has one event, if the order had events before",
        population="SELECT COUNT(*) FROM account_events WHERE kind = 'fill'",
        figure=f"""SELECT COALESCE(SUM({number("quantity")}), 0) FROM account_events
            WHERE kind = 'fill'""",
        faults=f"""SELECT x.order_id, SUM(x.fills) AS fills_missing,
            SUM(x.quantity) AS shares_missing, SUM(x.amount) AS won_missing FROM (
                SELECT HEX(order_id) AS order_id, 1 AS fills, quantity, amount, 0 AS has_event
                    FROM order_executions
                UNION ALL SELECT {digits("order_id")}, -1, -{number("quantity")},
                    -{number("amount")}, 0
                    FROM account_events WHERE kind = 'fill'
                UNION ALL SELECT {digits("id")}, 0, 0, 0, 1
                    FROM account_events WHERE kind = 'order' AND {number("executed_quantity")} = 0
            ) x GROUP BY x.order_id HAVING SUM(x.fills) < 0
                OR (SUM(x.has_event) > 0 AND (SUM(x.fills) <> 0 OR SUM(x.quantity) <> 0
                    OR SUM(x.amount) <> 0))""",
    ),
    Check(
        name="9e a holding's newest event has its quantity, cost and realized profit",
        population="SELECT COUNT(*) FROM account_events WHERE kind = 'holding'",
        figure="SELECT COUNT(DISTINCT user_id) FROM account_events WHERE kind = 'holding'",
        # A holding that was sold out has no row any more, so its profit is not compared.
        faults=f"""SELECT x.user_id, x.stock_code, SUM(x.quantity) AS quantity_off,
            SUM(x.cost) AS cost_off, SUM(x.profit) AS profit_off FROM (
                SELECT user_id, stock_code, quantity, cost, realized_profit AS profit,
                    0 AS has_event FROM portfolios
                UNION ALL SELECT user_id, stock_code, -quantity, -cost, CASE quantity WHEN 0 THEN 0
                    ELSE -profit END, 1 FROM (
                    SELECT user_id, {word("stock_code")} AS stock_code,
                        {number("quantity")} AS quantity, {number("cost")} AS cost,
                           {number("realized_profit")} AS profit,
                           ROW_NUMBER() OVER (PARTITION BY user_id,
                               {word("stock_code")} ORDER BY id DESC) AS nth
                    FROM account_events WHERE kind = 'holding'
                ) e WHERE nth = 1
            ) x GROUP BY x.user_id, x.stock_code
            HAVING SUM(x.has_event) = 1 AND (SUM(x.quantity) <> 0 OR SUM(x.cost) <> 0
                OR SUM(x.profit) <> 0)""",
    ),
    Check(
        name="10a a snapshot's cash is the balance after its last transaction",
        population="SELECT COUNT(*) FROM daily_snapshots",
        figure="SELECT COALESCE(SUM(cash_balance), 0) FROM daily_snapshots",
        faults="""SELECT d.user_id, d.day, d.ended_at, d.cash_balance, t.sequence, t.cash_after,
            t.transaction_date FROM daily_snapshots d
            LEFT JOIN transactions t ON t.user_id = d.user_id AND t.sequence = d.last_sequence
            WHERE t.id IS NULL OR t.cash_after <> d.cash_balance
                OR t.transaction_date >= d.ended_at""",
    ),
    Check(
        name="10b a snapshot has the flows since the previous one and misses no earlier entry",
        population="SELECT COUNT(*) FROM daily_snapshots",
        figure="SELECT COALESCE(SUM(net_flow), 0) FROM daily_snapshots",
        faults=f"""SELECT x.user_id, x.day, x.net_flow, x.paid_out, SUM(x.flow) AS flows,
            SUM(x.outward) AS outward, MIN(x.entered_at) AS entered_at FROM (
                SELECT d.user_id, d.day, d.net_flow, d.paid_out, d.ended_before,
                    t.transaction_date AS entered_at,
                       CASE WHEN transaction_type IN {_FLOWS} THEN {_SIGNED} ELSE 0 END AS flow,
                       CASE WHEN transaction_type IN {_FLOWS} AND {_SIGNED} < 0 THEN -{_SIGNED}
                           ELSE 0 END AS outward
                FROM (SELECT user_id, day, net_flow, paid_out, last_sequence,
                        LAG(last_sequence) OVER (PARTITION BY user_id ORDER BY day)
                            AS sequence_before,
                        LAG(ended_at) OVER (PARTITION BY user_id ORDER BY day) AS ended_before
                                 FROM daily_snapshots) d
                LEFT JOIN transactions t ON t.user_id = d.user_id
                    AND t.sequence > COALESCE(d.sequence_before, 0)
                    AND t.sequence <= d.last_sequence
            ) x GROUP BY x.user_id, x.day, x.net_flow, x.paid_out, x.ended_before
            HAVING SUM(x.flow) <> x.net_flow OR SUM(x.outward) <> x.paid_out
                OR MIN(x.entered_at) < x.ended_before""",
    ),
)

CHECKS = (*_CHECKS, *ORDER_CHECKS, *PAYMENT_CHECKS, *WATCHLIST_CHECKS)


def audit(session: Session) -> list[Finding]:
    """Run every check in turn. Sound data has no breaches."""
    return [_run(session, check) for check in CHECKS]


def _run(session: Session, check: Check) -> Finding:
    rows = session.execute(text(check.faults)).mappings().fetchmany(SAMPLE + 1)
    breaches = len(rows)
    if breaches > SAMPLE:
        breaches = session.scalar(text(f"SELECT COUNT(*) FROM ({check.faults}) faults")) or 0
    return Finding(
        name=check.name,
        checked=int(session.scalar(text(check.population)) or 0),
        figure=int(session.scalar(text(check.figure)) or 0),
        breaches=breaches,
        sample=tuple(map(_describe, rows[:SAMPLE])),
    )


def audit_accounts(session: Session, user_ids: Sequence[UUID]) -> AuditBatch:
    """Run every check on the rows of these accounts only.

    A check with faults is run again for each account, to find out which ones are affected.
    """
    heads = session.execute(
        select(ACCOUNT_EVENT_HEADS.c.user_id, ACCOUNT_EVENT_HEADS.c.last_id).where(
            ACCOUNT_EVENT_HEADS.c.user_id.in_(user_ids)
        )
    )
    newest = {row.user_id: row.last_id for row in heads}
    breaches = [
        Breach(user_id, check.number, "\n".join(map(_describe, rows)))
        for check in CHECKS
        if _faults(session, check, user_ids)
        for user_id in user_ids
        if (rows := _faults(session, check, [user_id]))
    ]
    return AuditBatch({user_id: newest.get(user_id, 0) for user_id in user_ids}, breaches)


def _faults(session: Session, check: Check, user_ids: Sequence[UUID]) -> Sequence[RowMapping]:
    scoped = restrict_to_accounts(check.faults, user_ids, connection=session.connection())
    return session.execute(text(scoped)).mappings().fetchmany(SAMPLE)


def _describe(row: RowMapping) -> str:
    return ", ".join(
        f"{name}={value.hex() if isinstance(value, bytes) else value}"
        for name, value in row.items()
    )
