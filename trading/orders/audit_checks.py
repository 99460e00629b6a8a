"""Audit checks of orders: the book, pending fills, and the evidence and price of each fill."""

from trading.invariants import Check
from trading.orders.fill_price import FillRule

_OPEN = "('PENDING', 'PARTIALLY_FILLED')"
# Fills that the matcher found in the tick stream, as opposed to fills at the last trade on arrival.
_BOOK_RULES = (
    f"('{FillRule.MARKET_AT_PRINT}', '{FillRule.ARRIVING_AT_PRINT}',"
    f" '{FillRule.RESTING_AT_LIMIT}', '{FillRule.RESTING_AT_AUCTION}')"
)
# Sessions whose trades are in the day's candle.
_CANDLE_SESSIONS = "('REGULAR', 'CLOSING_AUCTION', 'ALWAYS_OPEN')"
_AUCTION_RULES_SINCE = "(SELECT since FROM rule_changes WHERE name = 'auction-prices')"

ORDER_CHECKS = (
    Check(
        name="8a an open order is in the book or due, a finished one is neither",
        population="SELECT COUNT(*) FROM orders",
        figure="SELECT COUNT(*) FROM orders WHERE book_price IS NOT NULL",
        faults=f"""SELECT id, status, book_price, next_attempt_at, awaiting_first_print,
            finished_at FROM orders
            WHERE (status IN {_OPEN}) <> (finished_at IS NULL)
               OR (status IN {_OPEN} AND book_price IS NULL AND next_attempt_at IS NULL)
               OR (status NOT IN {_OPEN} AND (book_price IS NOT NULL OR next_attempt_at IS NOT NULL
                   OR awaiting_first_print <> 0))""",
    ),
    Check(
        name="8b a resting limit order is in the book at its limit unless matched in full",
        population=f"SELECT COUNT(*) FROM orders WHERE order_type = 'LIMIT' AND status IN {_OPEN}",
        figure=f"""SELECT COALESCE(SUM(quantity - executed_quantity), 0) FROM orders
            WHERE order_type = 'LIMIT' AND status IN {_OPEN}""",
        faults=f"""SELECT o.id, o.limit_price, o.book_price,
            o.quantity - o.executed_quantity AS remaining, COALESCE(t.found, 0) AS found
            FROM orders o
            LEFT JOIN (SELECT order_id, SUM(quantity) AS found FROM pending_fills
                GROUP BY order_id) t ON t.order_id = o.id
            WHERE o.order_type = 'LIMIT' AND o.status IN {_OPEN} AND (o.book_price <> o.limit_price
               OR (o.book_price IS NULL AND o.time_in_force IN ('DAY', 'GTC')
                   AND o.quantity - o.executed_quantity > COALESCE(t.found, 0)))""",
    ),
    Check(
        name="8c pending fills belong to open due orders, later than accepted, within the limit",
        population="SELECT COUNT(*) FROM pending_fills",
        figure="SELECT COALESCE(SUM(quantity), 0) FROM pending_fills",
        faults=f"""SELECT t.order_id, t.tick_position, t.price, o.status, o.next_attempt_at,
            o.limit_price, o.accepted_position
            FROM pending_fills t LEFT JOIN orders o ON o.id = t.order_id
            WHERE o.id IS NULL OR o.status NOT IN {_OPEN} OR o.next_attempt_at IS NULL
                OR t.tick_position <= COALESCE(o.accepted_position, t.tick_position)
               OR (o.side = 'BUY' AND t.price > o.limit_price) OR (o.side = 'SELL'
                   AND t.price < o.limit_price)""",
    ),
    Check(
        name="8d a fill's price follows from its rule and its trade's price",
        population="SELECT COUNT(*) FROM order_executions",
        figure="SELECT COALESCE(MAX(tick_age_ms), 0) FROM order_executions",
        # A trade at or through the limit fills an order at its limit. A market order may slip, but
        # only to the trader's disadvantage.
        faults=f"""SELECT id, order_id, side, rule, price, tick_price FROM order_executions
            WHERE CASE rule
                WHEN '{FillRule.RESTING_AT_LIMIT}' THEN (side = 'BUY' AND tick_price > price)
                    OR (side = 'SELL' AND tick_price < price)
                WHEN '{FillRule.MARKET_AT_PRINT}' THEN (side = 'BUY' AND price < tick_price)
                    OR (side = 'SELL' AND price > tick_price)
                ELSE price <> tick_price END""",
    ),
    Check(
        name="8e the last fill of a filled limit order is within its limit and after its position",
        population="SELECT COUNT(*) FROM orders WHERE order_type = 'LIMIT' AND status = 'FILLED'",
        figure="""SELECT COALESCE(SUM(quantity), 0) FROM orders
            WHERE order_type = 'LIMIT' AND status = 'FILLED'""",
        # Checked for the last fill only: an amendment changes limit and position, and earlier fills
        # were checked against the former ones.
        faults=f"""SELECT o.id, o.side, o.limit_price, e.price, e.rule, o.accepted_position,
            e.tick_position FROM orders o
            JOIN (SELECT order_id, MAX(fill_number) AS fill_number FROM order_executions
                GROUP BY order_id) l ON l.order_id = o.id
            JOIN order_executions e ON e.order_id = o.id AND e.fill_number = l.fill_number
            WHERE o.order_type = 'LIMIT' AND o.status = 'FILLED'
              AND ((o.side = 'BUY' AND e.price > o.limit_price) OR (o.side = 'SELL'
                  AND e.price < o.limit_price)
                   OR (e.rule IN {_BOOK_RULES} AND e.tick_position <= o.accepted_position))""",
    ),
    Check(
        name="8f no trade fills an order from the book twice",
        population=f"SELECT COUNT(*) FROM order_executions WHERE rule IN {_BOOK_RULES}",
        figure=f"""SELECT COALESCE(SUM(quantity), 0) FROM order_executions
            WHERE rule IN {_BOOK_RULES}""",
        faults=f"""SELECT order_id, tick_position, COUNT(*) AS fills FROM order_executions
            WHERE rule IN {_BOOK_RULES}
            GROUP BY order_id, tick_position HAVING COUNT(*) > 1""",
    ),
    Check(
        name="8g a fill since the auction rules is within the day's low and high",
        population=f"""SELECT COUNT(*) FROM order_executions
            WHERE session IN {_CANDLE_SESSIONS} AND executed_at >= {_AUCTION_RULES_SINCE}""",
        # Earlier fills of resting orders had their limit as price even in an auction.
        figure=f"""SELECT COUNT(*) FROM order_executions
            WHERE executed_at < {_AUCTION_RULES_SINCE}""",
        # A market order may slip beyond the day's range, so its trade is compared. Trades that
        # are not in the candles yet, and days with lost trades, prove nothing.
        faults=f"""SELECT e.id, e.order_id, e.rule, e.price, e.tick_price, c.low, c.high
            FROM order_executions e
            JOIN candles c ON c.stock_code = e.stock_code AND c.candle_interval = 'day:1'
                AND c.opened_at <= e.tick_traded_at AND c.closed_at >= e.tick_traded_at
            WHERE e.session IN {_CANDLE_SESSIONS} AND e.executed_at >= {_AUCTION_RULES_SINCE}
              AND e.tick_position <= (SELECT MAX(position) FROM candle_cursors)
              AND CASE e.rule WHEN '{FillRule.MARKET_AT_PRINT}' THEN e.tick_price
                  ELSE e.price END NOT BETWEEN c.low AND c.high
              AND NOT EXISTS (SELECT 1 FROM candle_gaps g
                  WHERE g.ends_at > c.starts_at AND g.starts_at <= c.closed_at)""",
    ),
)
