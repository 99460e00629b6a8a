"""Changes that violate the constraints of the tables, for ``test_constraints.py``."""

UNIQUE = r"UNIQUE constraint failed|Duplicate entry"
FOREIGN = r"(?i)foreign key constraint fail"

# An account's day: last sequence, value of the holdings, net flow, withdrawals, carried holdings.
DAILY_SNAPSHOT = (
    "INSERT INTO daily_snapshots"
    " VALUES (UNKNOWN_ID, '2026-01-02', '2026-01-02', {}, 0, {}, {}, {}, {}, 0, '2026-01-02')"
)

# An account's halt: running mark, cause, when and by whom it was lifted, note. A breach: times,
# resolution, note.
ACCOUNT_HALT = (
    "INSERT INTO account_halts"
    " VALUES (UNKNOWN_ID, UNKNOWN_ID, {}, {}, NULL, '2026-01-01', NULL, {}, {}, {})"
)
AUDIT_BREACH = (
    "INSERT INTO audit_breaches"
    " VALUES (UNKNOWN_ID, '1a', 'x', {}, '2026-01-01', '2026-01-01', {}, {})"
)

# A write-off of an unknown user: shares, cost, commission.
WRITE_OFF = (
    "INSERT INTO holding_write_offs"
    " VALUES (UNKNOWN_ID, UNKNOWN_ID, 'A005930', {}, {}, {}, NULL, '2026-01-02')"
)

OPEN = "status = 'PENDING', executed_quantity = 0"
# A candle of 2026-01-02 from 1 to 3 won: interval, close, volume, times of the open and the close.
CANDLE = "INSERT INTO candles VALUES ('A005930', {}, '2026-01-02', 2, 3, 1, {}, {}, 2, {}, {}, 1)"

# The constraint (its name without "ck_", or a pattern of the message) and a change that violates
# it.
VIOLATIONS = [
    ("auction_prints_price", "INSERT INTO auction_prints VALUES ('A005930', '2026-01-02', 1, 0)"),
    ("users_role", "UPDATE users SET role = 'ROOT'"),
    (
        "admin_actions_actor",
        (
            "INSERT INTO admin_actions (id, action, details, began_at)"
            " VALUES (UNKNOWN_ID, 'x', '{}', '2026-01-02')"
        ),
    ),
    (
        "admin_actions_actor",
        (
            "INSERT INTO admin_actions"
            " SELECT UNKNOWN_ID, 'x', MIN(id), 'root', NULL, '{}', NULL, NULL, '2026-01-02'"
            " FROM users"
        ),
    ),
    (FOREIGN, "INSERT INTO admin_action_outcomes VALUES (UNKNOWN_ID, 'done', '{}', '2026-01-02')"),
    (UNIQUE, "UPDATE users SET email = 'same@example.com'"),
    ("stocks_market", "UPDATE stocks SET market = 'NASDAQ'"),
    ("stocks_kind", "UPDATE stocks SET kind = 'ELW'"),
    ("stocks_status", "UPDATE stocks SET status = 'GONE'"),
    ("stocks_reference_price", "UPDATE stocks SET reference_price = 0"),
    ("stocks_leverage_percent", "UPDATE stocks SET leverage_percent = 0"),
    ("stocks_leverage_percent", "UPDATE stocks SET leverage_percent = 301"),
    ("stocks_leverage_percent", "UPDATE stocks SET leverage_percent = -301"),
    ("stocks_resumed_at", "UPDATE stocks SET resumed_at = '2026-01-02'"),
    (
        "stocks_resumed_at",
        "UPDATE stocks SET halted_at = '2026-01-03', resumed_at = '2026-01-02'",
    ),
    ("stocks_in_liquidation", "UPDATE stocks SET in_liquidation = 2"),
    ("virtual_balances_reserved_cash", "UPDATE virtual_balances SET reserved_cash = -1"),
    (
        "virtual_balances_available_cash",
        "UPDATE virtual_balances SET reserved_cash = cash_balance + 1",
    ),
    ("virtual_balances_available_cash", "UPDATE virtual_balances SET cash_balance = -1"),
    ("virtual_balances_available_cash", "UPDATE virtual_balances SET debt = -1"),
    ("virtual_balances_available_cash", "UPDATE virtual_balances SET debt = 1"),
    (
        "virtual_balances_available_cash",
        "UPDATE virtual_balances SET debt = cash_balance + 1, cash_balance = -cash_balance",
    ),
    ("virtual_balances_transaction_count", "UPDATE virtual_balances SET transaction_count = -1"),
    ("orders_side", "UPDATE orders SET side = 'HOLD'"),
    ("orders_order_type", "UPDATE orders SET order_type = 'STOP'"),
    ("orders_time_in_force", "UPDATE orders SET time_in_force = 'EVER'"),
    ("orders_(status|filled)", "UPDATE orders SET status = 'DONE'"),
    ("orders_(quantity|executed_quantity|filled)", "UPDATE orders SET quantity = 0"),
    ("orders_(executed_quantity|filled)", "UPDATE orders SET executed_quantity = quantity + 1"),
    ("orders_(executed_quantity|filled)", "UPDATE orders SET executed_quantity = -1"),
    ("orders_filled", "UPDATE orders SET quantity = quantity + 1"),
    (
        "orders_(filled|unfilled)",
        "UPDATE orders SET status = 'PENDING', finished_at = NULL, next_attempt_at = accepted_at",
    ),
    (
        "orders_unfilled",
        "UPDATE orders SET status = 'REJECTED', reason = 'x', quantity = quantity + 1",
    ),
    (
        "orders_partially_filled",
        (
            "UPDATE orders SET status = 'PARTIALLY_FILLED', executed_quantity = 0,"
            " finished_at = NULL, next_attempt_at = accepted_at"
        ),
    ),
    ("orders_limit_price", "UPDATE orders SET order_type = 'LIMIT'"),
    ("orders_limit_price", "UPDATE orders SET limit_price = 70000"),
    ("orders_reserved_cash", "UPDATE orders SET reserved_cash = -1"),
    ("orders_reserved_cash", "UPDATE orders SET reserved_cash = 1 WHERE side = 'SELL'"),
    ("orders_finished_at", "UPDATE orders SET finished_at = NULL, next_attempt_at = accepted_at"),
    ("orders_wake_at", "UPDATE orders SET next_attempt_at = accepted_at"),
    ("orders_reason", "UPDATE orders SET status = 'REJECTED', executed_quantity = 0"),
    ("orders_book_price", "UPDATE orders SET book_price = 70000"),
    (
        "orders_book_price",
        "UPDATE orders SET book_price = 70000, finished_at = NULL, accepted_position = NULL, "
        + OPEN,
    ),
    (
        "orders_book_price",
        "UPDATE orders SET book_price = 1, order_type = 'LIMIT', limit_price = 2,"
        " finished_at = NULL, " + OPEN,
    ),
    ("orders_waits", "UPDATE orders SET finished_at = NULL, " + OPEN),
    ("orders_arriving", "UPDATE orders SET awaiting_first_print = 1"),
    ("orders_arriving", "UPDATE orders SET awaiting_first_print = 2"),
    (UNIQUE, "UPDATE orders SET client_order_id = 'same'"),
    (FOREIGN, "UPDATE orders SET user_id = UNKNOWN_ID"),
    (FOREIGN, "UPDATE orders SET stock_code = 'A999999'"),
    ("order_executions_side", "UPDATE order_executions SET side = 'HOLD'"),
    ("order_executions_positive", "UPDATE order_executions SET fill_number = 0"),
    (
        "order_executions_positive",
        "UPDATE order_executions SET quantity = 0, amount = 0 WHERE side = 'BUY'",
    ),
    (
        "order_executions_positive",
        "UPDATE order_executions SET price = 0, amount = 0 WHERE side = 'BUY'",
    ),
    (
        "order_executions_amount",
        "UPDATE order_executions SET amount = amount + 1 WHERE side = 'BUY'",
    ),
    ("order_executions_costs", "UPDATE order_executions SET commission = -1 WHERE side = 'BUY'"),
    ("order_executions_sale_taxes", "UPDATE order_executions SET rural_tax = 1 WHERE side = 'BUY'"),
    ("order_executions_tick_age_ms", "UPDATE order_executions SET tick_age_ms = -1"),
    ("order_executions_settled_before_applied", "UPDATE order_executions SET settled_at = NULL"),
    (
        "order_executions_realized_profit_known",
        "UPDATE order_executions SET realized_profit = NULL WHERE side = 'SELL'",
    ),
    (
        "order_executions_realized_profit",
        "UPDATE order_executions SET realized_profit = realized_profit + 1 WHERE side = 'SELL'",
    ),
    (
        "order_executions_realized_profit",
        "UPDATE order_executions SET cost = cost - 1 WHERE side = 'SELL'",
    ),
    (UNIQUE, "UPDATE order_executions SET order_id = (SELECT MIN(id) FROM orders)"),
    (FOREIGN, "UPDATE order_executions SET order_id = UNKNOWN_ID WHERE side = 'BUY'"),
    (FOREIGN, "UPDATE order_executions SET user_id = UNKNOWN_ID"),
    (FOREIGN, "DELETE FROM order_executions WHERE side = 'BUY'"),
    (UNIQUE, "UPDATE transactions SET sequence = 9"),
    (
        UNIQUE,
        (
            "UPDATE transactions SET execution_id = (SELECT MIN(id) FROM order_executions)"
            " WHERE order_id IS NOT NULL"
        ),
    ),
    (
        "transactions_(transaction_type|cash_after|trade)",
        "UPDATE transactions SET transaction_type = 'GIFT'",
    ),
    ("transactions_sequence", "UPDATE transactions SET sequence = 0 WHERE sequence = 1"),
    (
        "transactions_amounts",
        "UPDATE transactions SET amount = -1, cash_after = cash_before - 1 WHERE sequence = 1",
    ),
    ("transactions_cash_after", "UPDATE transactions SET cash_after = cash_after + 1"),
    ("transactions_cash_after", "UPDATE transactions SET tax = tax + 1"),
    (
        "transactions_trade",
        "UPDATE transactions SET execution_id = NULL, order_id = NULL WHERE sequence = 2",
    ),
    ("transactions_order", "UPDATE transactions SET order_id = NULL WHERE sequence = 2"),
    ("transactions_trade_amount", "UPDATE transactions SET price = price + 1 WHERE sequence = 2"),
    (FOREIGN, "UPDATE transactions SET user_id = UNKNOWN_ID WHERE sequence = 3"),
    (FOREIGN, "UPDATE transactions SET execution_id = UNKNOWN_ID WHERE sequence = 2"),
    (
        "transactions_credit",
        "UPDATE transactions SET credit_of = (SELECT id FROM payments) WHERE sequence = 2",
    ),
    (FOREIGN, "UPDATE transactions SET credit_of = UNKNOWN_ID WHERE sequence = 4"),
    (
        UNIQUE,
        (
            "UPDATE transactions SET credit_of = (SELECT id FROM payments)"
            " WHERE transaction_type = 'DEPOSIT'"
        ),
    ),
    (
        "transactions_reversal",
        (
            "UPDATE transactions SET reversal_of = (SELECT MIN(id) FROM payment_cancellations)"
            " WHERE sequence = 1"
        ),
    ),
    (
        "transactions_reversal",
        "UPDATE transactions SET reversal_of = NULL WHERE transaction_type = 'REFUND'",
    ),
    (FOREIGN, "UPDATE transactions SET reversal_of = UNKNOWN_ID WHERE sequence = 5"),
    (
        UNIQUE,
        """INSERT INTO transactions (id, user_id, sequence, transaction_type, amount, commission,
            tax, cash_before, cash_after, transaction_date, reversal_of)
        SELECT user_id, user_id, 99, transaction_type, amount, commission,
            tax, cash_before, cash_after, transaction_date, reversal_of
        FROM transactions WHERE transaction_type = 'REFUND'""",
    ),
    ("payments_(status|reversed_amount|credited_at)", "UPDATE payments SET status = 'GONE'"),
    ("payments_(amount|partially_cancelled)", "UPDATE payments SET amount = 0"),
    ("payments_currency", "UPDATE payments SET currency = 'USD'"),
    ("payments_expires_at", "UPDATE payments SET expires_at = created_at"),
    ("payments_credited_at", "UPDATE payments SET credited_at = NULL"),
    ("payments_credited_at", "UPDATE payments SET status = 'EXPIRED', reversed_amount = 0"),
    ("payments_reversed_amount", "UPDATE payments SET status = 'CREDITED'"),
    ("payments_reversed_amount", "UPDATE payments SET status = 'CANCELLED'"),
    ("payments_partially_cancelled", "UPDATE payments SET reversed_amount = 0"),
    ("payments_partially_cancelled", "UPDATE payments SET reversed_amount = amount"),
    ("payments_mismatches", "UPDATE payments SET mismatches = 'amount'"),
    (
        "payments_mismatches",
        "UPDATE payments SET status = 'MISMATCHED', reversed_amount = 0, credited_at = NULL",
    ),
    (
        "payments_waits",
        (
            "UPDATE payments SET status = 'PENDING', reversed_amount = 0, credited_at = NULL,"
            " next_attempt_at = NULL"
        ),
    ),
    ("payments_looks", "UPDATE payments SET check_count = -1"),
    ("payments_looks", "UPDATE payments SET notification_count = -1"),
    ("payments_finding", "UPDATE payments SET finding = 'paid as agreed'"),
    (FOREIGN, "UPDATE payments SET user_id = UNKNOWN_ID"),
    (FOREIGN, "DELETE FROM payments"),
    ("payment_refunds_(status|finished_at)", "UPDATE payment_refunds SET status = 'GONE'"),
    ("payment_refunds_amount", "UPDATE payment_refunds SET amount = 0"),
    ("payment_refunds_first_sent_at", "UPDATE payment_refunds SET cancellable = NULL"),
    ("payment_refunds_cancellable", "UPDATE payment_refunds SET cancellable = amount - 1"),
    ("payment_refunds_sends", "UPDATE payment_refunds SET send_count = 0"),
    ("payment_refunds_sends", "UPDATE payment_refunds SET send_count = -1"),
    ("payment_refunds_finished_at", "UPDATE payment_refunds SET status = 'REQUESTED'"),
    (
        "payment_refunds_finished_at",
        "UPDATE payment_refunds SET finished_at = NULL, next_attempt_at = requested_at",
    ),
    (
        "payment_refunds_wake_at",
        "UPDATE payment_refunds SET next_attempt_at = requested_at",
    ),
    ("payment_refunds_cancellation_id", "UPDATE payment_refunds SET cancellation_id = NULL"),
    ("payment_refunds_failure", "UPDATE payment_refunds SET status = 'FAILED'"),
    ("payment_refunds_failure", "UPDATE payment_refunds SET failure = 'NOTHING_LEFT'"),
    (FOREIGN, "UPDATE payment_refunds SET payment_id = UNKNOWN_ID"),
    (FOREIGN, "UPDATE payment_refunds SET user_id = UNKNOWN_ID"),
    ("payment_cancellations_amount", "UPDATE payment_cancellations SET amount = 0"),
    (UNIQUE, "UPDATE payment_cancellations SET cancellation_id = 'same'"),
    (UNIQUE, "UPDATE payment_cancellations SET refund_id = (SELECT id FROM payment_refunds)"),
    (FOREIGN, "UPDATE payment_cancellations SET payment_id = UNKNOWN_ID"),
    (FOREIGN, "UPDATE payment_cancellations SET refund_id = UNKNOWN_ID WHERE amount = 2000"),
    ("payment_alerts_kind", "UPDATE payment_alerts SET kind = 'boredom'"),
    ("payment_alerts_times", "UPDATE payment_alerts SET times = 0"),
    ("payment_alerts_note", "UPDATE payment_alerts SET note = 'seen'"),
    ("payment_alerts_note", "UPDATE payment_alerts SET resolved_at = raised_at"),
    (UNIQUE, "INSERT INTO payment_alerts SELECT * FROM payment_alerts"),
    (FOREIGN, "UPDATE payment_alerts SET payment_id = UNKNOWN_ID"),
    (
        "portfolios_(quantity|reserved_quantity)",
        "UPDATE portfolios SET quantity = -1, cost = 0, buy_commission = 0",
    ),
    ("portfolios_reserved_quantity", "UPDATE portfolios SET reserved_quantity = -1"),
    ("portfolios_reserved_quantity", "UPDATE portfolios SET reserved_quantity = quantity + 1"),
    ("portfolios_cost", "UPDATE portfolios SET cost = -1"),
    ("portfolios_cost", "UPDATE portfolios SET buy_commission = -1"),
    ("portfolios_empty", "UPDATE portfolios SET quantity = 0"),
    (UNIQUE, "INSERT INTO portfolios SELECT * FROM portfolios"),
    (FOREIGN, "UPDATE portfolios SET stock_code = 'A999999'"),
    ("holding_write_offs_quantity", WRITE_OFF.format(0, 0, 0)),
    ("holding_write_offs_cost", WRITE_OFF.format(1, -1, 0)),
    ("holding_write_offs_cost", WRITE_OFF.format(1, 0, -1)),
    (FOREIGN, WRITE_OFF.format(1, 0, 0)),
    ("account_event_heads_last_id", "UPDATE account_event_heads SET last_id = 0"),
    (FOREIGN, "DELETE FROM account_event_heads"),
    ("account_events_id", "UPDATE account_events SET id = 0 WHERE id = 1"),
    ("account_events_kind", "UPDATE account_events SET kind = 'gift'"),
    (UNIQUE, "UPDATE account_events SET id = 2"),
    (FOREIGN, "UPDATE account_events SET user_id = UNKNOWN_ID WHERE id = 2"),
    (FOREIGN, "DELETE FROM users"),
    (FOREIGN, "DELETE FROM stocks"),
    (
        "idempotency_receipts_answer",
        (
            "INSERT INTO idempotency_receipts"
            " VALUES ('s', 'k', UNKNOWN_ID, UNKNOWN_ID, '2026-01-01', 200, NULL, NULL,"
            " '2026-01-01')"
        ),
    ),
    (
        "pending_fills_positive",
        (
            "INSERT INTO pending_fills"
            " SELECT id, 1, 0, 1, 'r', 's', 1, '2026-01-01', '2026-01-01' FROM orders"
        ),
    ),
    ("match_cursors_shard", "INSERT INTO match_cursors VALUES (1, 1, 0, '2026-01-01')"),
    (
        "trading_halts_running",
        (
            "INSERT INTO trading_halts"
            " VALUES (UNKNOWN_ID, 2, NULL, '2026-01-01', UNKNOWN_ID, NULL, NULL)"
        ),
    ),
    (
        "trading_halts_resumed_at",
        (
            "INSERT INTO trading_halts"
            " VALUES (UNKNOWN_ID, NULL, NULL, '2026-01-01', UNKNOWN_ID, NULL, NULL)"
        ),
    ),
    (
        "trading_halts_resumed_by",
        (
            "INSERT INTO trading_halts"
            " VALUES (UNKNOWN_ID, NULL, NULL, '2026-01-01', UNKNOWN_ID, '2026-01-01', NULL)"
        ),
    ),
    ("account_halts_running", ACCOUNT_HALT.format("2", "'administrator'", "NULL", "NULL", "NULL")),
    ("account_halts_cause", ACCOUNT_HALT.format("1", "'whim'", "NULL", "NULL", "NULL")),
    (
        "account_halts_resumed_at",
        ACCOUNT_HALT.format("NULL", "'administrator'", "NULL", "NULL", "NULL"),
    ),
    (
        "account_halts_resumed_by",
        ACCOUNT_HALT.format("1", "'administrator'", "NULL", "UNKNOWN_ID", "NULL"),
    ),
    ("account_halts_note", ACCOUNT_HALT.format("1", "'administrator'", "NULL", "NULL", "'x'")),
    (
        "account_halts_note",
        ACCOUNT_HALT.format("NULL", "'audit-breach'", "'2026-01-01'", "NULL", "NULL"),
    ),
    ("account_audits_event_id", "UPDATE account_audits SET event_id = -1"),
    ("audit_breaches_times", AUDIT_BREACH.format("0", "NULL", "NULL")),
    ("audit_breaches_note", AUDIT_BREACH.format("1", "'2026-01-01'", "NULL")),
    ("audit_runs_id", "INSERT INTO audit_runs VALUES (2, '2026-01-01', 0, 0)"),
    ("audit_runs_figures", "INSERT INTO audit_runs VALUES (1, '2026-01-01', -1, 0)"),
    ("audit_runs_figures", "INSERT INTO audit_runs VALUES (1, '2026-01-01', 0, -1)"),
    ("daily_snapshots_last_sequence", DAILY_SNAPSHOT.format("0", "0", "0", "0", "0")),
    ("daily_snapshots_holdings_value", DAILY_SNAPSHOT.format("1", "-1", "0", "0", "0")),
    ("daily_snapshots_flows", DAILY_SNAPSHOT.format("1", "0", "0", "-1", "0")),
    ("daily_snapshots_flows", DAILY_SNAPSHOT.format("1", "0", "-2", "1", "0")),
    ("daily_snapshots_holdings", DAILY_SNAPSHOT.format("1", "0", "0", "0", "-1")),
    (
        "index_closes_close",
        "INSERT INTO index_closes VALUES ('KOSPI', '2026-01-02', 0, '2026-01-02')",
    ),
    ("candles_candle_interval", CANDLE.format("'min:2'", "3", "1", "'2026-01-02'", "'2026-01-02'")),
    ("candles_prices", CANDLE.format("'min:1'", "4", "1", "'2026-01-02'", "'2026-01-02'")),
    ("candles_volume", CANDLE.format("'min:1'", "3", "-1", "'2026-01-02'", "'2026-01-02'")),
    ("candles_times", CANDLE.format("'min:1'", "3", "1", "'2026-01-01'", "'2026-01-02'")),
    ("candles_times", CANDLE.format("'min:1'", "3", "1", "'2026-01-02'", "'2026-01-01'")),
    ("candle_gaps_ends_at", "INSERT INTO candle_gaps VALUES (1, '2026-01-02', '2026-01-02')"),
    ("candle_cursors_id", "INSERT INTO candle_cursors VALUES (2, 1, '2026-01-02')"),
    (
        "watchlist_directories_position",
        (
            "INSERT INTO watchlist_directories"
            " SELECT UNKNOWN_ID, user_id, 'x', -1, created_at FROM watchlist_directories LIMIT 1"
        ),
    ),
    (
        UNIQUE,
        (
            "INSERT INTO watchlist_directories"
            " SELECT UNKNOWN_ID, user_id, name, 1, created_at FROM watchlist_directories"
        ),
    ),
    ("watchlist_items_position", "UPDATE watchlist_items SET position = -1"),
    (
        UNIQUE,
        (
            "INSERT INTO watchlist_items"
            " SELECT UNKNOWN_ID, directory_id, stock_code, 1, NULL, created_at FROM watchlist_items"
        ),
    ),
    (FOREIGN, "UPDATE watchlist_items SET stock_code = 'A999999'"),
    (FOREIGN, "DELETE FROM watchlist_items"),
    (
        "price_alerts_(kind|approach_of_kind)",
        "UPDATE price_alerts SET kind = 'volume' WHERE kind = 'target_price'",
    ),
    (
        "price_alerts_approach",
        "UPDATE price_alerts SET approach = 'SIDEWAYS' WHERE kind = 'target_price'",
    ),
    ("price_alerts_positive", "UPDATE price_alerts SET bound = 0 WHERE kind = 'lower_price'"),
    ("price_alerts_positive", "UPDATE price_alerts SET armed_position = -1"),
    (
        "price_alerts_approach_of_kind",
        "UPDATE price_alerts SET approach = 'UNKNOWN' WHERE kind = 'upper_price'",
    ),
    (
        "price_alerts_approach_of_kind",
        "UPDATE price_alerts SET approach = 'FROM_BELOW' WHERE kind = 'lower_price'",
    ),
    (
        "price_alerts_fired_at",
        "UPDATE price_alerts SET fired_at = NULL WHERE kind = 'target_price'",
    ),
    (
        "price_alerts_fired_at",
        "UPDATE price_alerts SET tick_price = NULL WHERE kind = 'target_price'",
    ),
    (
        "price_alerts_fired_at",
        "UPDATE price_alerts SET tick_traded_at = NULL WHERE kind = 'target_price'",
    ),
    (
        "price_alerts_tick_position",
        "UPDATE price_alerts SET armed_position = tick_position WHERE kind = 'target_price'",
    ),
    (
        "price_alerts_tick_price",
        "UPDATE price_alerts SET tick_price = bound - 1 WHERE kind = 'target_price'",
    ),
    (
        "price_alerts_tick_price",
        "UPDATE price_alerts SET approach = 'FROM_ABOVE' WHERE kind = 'target_price'",
    ),
    (FOREIGN, "UPDATE price_alerts SET item_id = UNKNOWN_ID WHERE kind = 'lower_price'"),
    ("alert_cursors_id", "INSERT INTO alert_cursors VALUES (2, 0)"),
    (
        "exchange_days_closed",
        "INSERT INTO exchange_days VALUES ('2026-01-01', 2, 0, '', '2026-01-01')",
    ),
    (
        "exchange_days_delay_minutes",
        "INSERT INTO exchange_days VALUES ('2026-01-01', 1, 60, '', '2026-01-01')",
    ),
    (
        FOREIGN,
        (
            "INSERT INTO sign_in_sessions"
            " VALUES (UNKNOWN_ID, UNKNOWN_ID, '2026-01-01', '2026-01-01', NULL, NULL)"
        ),
    ),
    (FOREIGN, "INSERT INTO refresh_tokens VALUES (UNKNOWN_ID, UNKNOWN_ID, '2026-01-01', NULL)"),
]
