"""Audit checks of payments: the ledger records each payment and each reversal exactly once."""

from trading.invariants import Check

PAYMENT_CHECKS = (
    Check(
        name="5a a credited payment has one DEPOSIT of its amount and user, any other payment none",
        population="SELECT COUNT(*) FROM payments",
        figure="SELECT COALESCE(SUM(amount), 0) FROM payments WHERE credited_at IS NOT NULL",
        faults="""SELECT p.id, p.status, p.amount, p.credited_at, COUNT(t.id) AS deposits,
                COALESCE(SUM(t.amount), 0) AS deposited
            FROM payments p LEFT JOIN transactions t ON t.credit_of = p.id
            GROUP BY p.id, p.status, p.amount, p.credited_at, p.user_id
            HAVING COUNT(t.id) <> CASE WHEN p.credited_at IS NULL THEN 0 ELSE 1 END
                OR (p.status IN ('CREDITED', 'PARTIALLY_CANCELLED', 'CANCELLED'))
                    <> (p.credited_at IS NOT NULL)
                OR (COUNT(t.id) > 0 AND (SUM(t.amount) <> p.amount
                    OR MIN(t.user_id) <> p.user_id OR MAX(t.user_id) <> p.user_id
                    OR MIN(t.transaction_type) <> 'DEPOSIT'
                    OR MAX(t.transaction_type) <> 'DEPOSIT'))""",
    ),
    Check(
        name="5b a cancellation has one REFUND of its amount and user, a REFUND a cancellation",
        population="SELECT COUNT(*) FROM payment_cancellations",
        figure="""SELECT COALESCE(SUM(amount), 0) FROM transactions
            WHERE transaction_type = 'REFUND'""",
        faults="""SELECT c.id, c.payment_id, c.amount, t.id AS transaction_id, t.amount AS refunded
            FROM payment_cancellations c JOIN payments p ON p.id = c.payment_id
            LEFT JOIN transactions t ON t.reversal_of = c.id
            WHERE t.id IS NULL OR t.amount <> c.amount OR t.user_id <> p.user_id
                OR t.transaction_type <> 'REFUND'
            UNION ALL
            SELECT t.reversal_of, NULL, NULL, t.id, t.amount FROM transactions t
            LEFT JOIN payment_cancellations c ON c.id = t.reversal_of
            WHERE (t.transaction_type = 'REFUND' OR t.reversal_of IS NOT NULL) AND c.id IS NULL""",
    ),
    Check(
        name="5c reversals do not exceed the payment, and its status agrees with them",
        population="SELECT COUNT(*) FROM payments WHERE credited_at IS NOT NULL",
        figure="SELECT COALESCE(SUM(reversed_amount), 0) FROM payments",
        faults="""SELECT p.id, p.status, p.amount, p.reversed_amount,
                COALESCE(SUM(c.amount), 0) AS cancelled
            FROM payments p LEFT JOIN payment_cancellations c ON c.payment_id = p.id
            GROUP BY p.id, p.status, p.amount, p.reversed_amount
            HAVING p.reversed_amount <> COALESCE(SUM(c.amount), 0)
                OR p.reversed_amount > p.amount
                OR p.status <> CASE
                    WHEN p.reversed_amount = 0 THEN CASE
                        WHEN p.status IN ('PARTIALLY_CANCELLED', 'CANCELLED') THEN 'CREDITED'
                        ELSE p.status END
                    WHEN p.reversed_amount = p.amount THEN 'CANCELLED'
                    ELSE 'PARTIALLY_CANCELLED' END""",
    ),
    Check(
        name="5d a succeeded refund has one cancellation of its amount and payment, any other none",
        population="SELECT COUNT(*) FROM payment_refunds",
        figure="""SELECT COALESCE(SUM(amount), 0) FROM payment_refunds
            WHERE status IN ('REQUESTED', 'IN_PROGRESS')""",
        faults="""SELECT r.id, r.status, r.amount, c.id AS cancellation, c.amount AS cancelled
            FROM payment_refunds r LEFT JOIN payments p ON p.id = r.payment_id
            LEFT JOIN payment_cancellations c ON c.refund_id = r.id
            WHERE (r.status = 'SUCCEEDED') <> (c.id IS NOT NULL)
                OR p.id IS NULL OR r.user_id <> p.user_id
                OR (c.id IS NOT NULL AND (c.amount <> r.amount OR c.payment_id <> r.payment_id
                    OR c.cancellation_id <> r.cancellation_id))""",
    ),
    Check(
        name="5e a debt is the reserved cash beyond the balance, at most the sum of reversals",
        population="SELECT COUNT(*) FROM virtual_balances",
        figure="SELECT COALESCE(SUM(debt), 0) FROM virtual_balances",
        faults="""SELECT b.user_id, b.cash_balance, b.reserved_cash, b.debt,
                COALESCE(r.went_back, 0) AS went_back
            FROM virtual_balances b
            LEFT JOIN (SELECT user_id, SUM(reversed_amount) AS went_back FROM payments
                GROUP BY user_id) r ON r.user_id = b.user_id
            WHERE b.debt <> CASE WHEN b.reserved_cash > b.cash_balance
                    THEN b.reserved_cash - b.cash_balance ELSE 0 END
                OR b.debt > COALESCE(r.went_back, 0)""",
    ),
    Check(
        name="5f pending payments and open refunds have a next attempt, ended refunds have none",
        population="SELECT COUNT(*) FROM payments",
        figure="SELECT COUNT(*) FROM payments WHERE next_attempt_at IS NOT NULL",
        faults="""SELECT id, status, next_attempt_at FROM payments
            WHERE status = 'PENDING' AND next_attempt_at IS NULL
            UNION ALL SELECT id, status, next_attempt_at FROM payment_refunds
            WHERE (status IN ('REQUESTED', 'IN_PROGRESS')) <> (next_attempt_at IS NOT NULL)
                OR (status IN ('REQUESTED', 'IN_PROGRESS')) <> (finished_at IS NULL)""",
    ),
    Check(
        name="5g an account closed under this rule has no open order and no open refund",
        population="SELECT COUNT(*) FROM users",
        figure="SELECT COUNT(*) FROM users WHERE deleted_at IS NOT NULL",
        faults="""SELECT x.user_id, x.id, x.status, u.deleted_at FROM (
                SELECT user_id, id, status FROM orders
                WHERE status IN ('PENDING', 'PARTIALLY_FILLED')
                UNION ALL SELECT user_id, id, status FROM payment_refunds
                WHERE status IN ('REQUESTED', 'IN_PROGRESS')
            ) x JOIN users u ON u.id = x.user_id
            WHERE u.deleted_at >=
                (SELECT since FROM rule_changes WHERE name = 'closed-accounts')""",
    ),
)
