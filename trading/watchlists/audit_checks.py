"""Audit checks of price alerts, their account events, and the order of watchlists."""

from trading.invariants import Check, digits, number, word
from trading.watchlists.alert_rules import Approach

WATCHLIST_CHECKS = (
    Check(
        name="11a a fired price alert has exactly one event, with its bound and trade price",
        population="SELECT COUNT(*) FROM price_alerts WHERE fired_at IS NOT NULL",
        figure="SELECT COUNT(*) FROM account_events WHERE kind = 'alert'",
        faults=f"""SELECT a.item_id, a.kind, a.fired_at, COUNT(e.id) AS events
            FROM price_alerts a LEFT JOIN watchlist_items i ON i.id = a.item_id
            LEFT JOIN watchlist_directories d ON d.id = i.directory_id
            LEFT JOIN (
                SELECT user_id, id, occurred_at, {digits("item_id")} AS item,
                       {word("kind")} AS alert, {number("bound")} AS bound,
                       {number("tick_price")} AS tick_price
                FROM account_events WHERE kind = 'alert'
            ) e ON e.user_id = d.user_id AND e.item = HEX(a.item_id) AND e.alert = a.kind
                AND e.occurred_at = a.fired_at AND e.bound = a.bound
                AND e.tick_price = a.tick_price
            WHERE a.fired_at IS NOT NULL
            GROUP BY a.item_id, a.kind, a.fired_at HAVING COUNT(e.id) <> 1""",
    ),
    Check(
        name="11b a price alert has at most one event per trade",
        population="SELECT COUNT(*) FROM account_events WHERE kind = 'alert'",
        figure=f"""SELECT COUNT(DISTINCT {digits("item_id")}) FROM account_events
            WHERE kind = 'alert'""",
        faults=f"""SELECT x.item, x.alert, x.tick_position, COUNT(*) AS events FROM (
                SELECT {digits("item_id")} AS item, {word("kind")} AS alert,
                       {word("tick_position")} AS tick_position
                FROM account_events WHERE kind = 'alert'
            ) x GROUP BY x.item, x.alert, x.tick_position HAVING COUNT(*) > 1""",
    ),
    Check(
        name="11c a price alert has its item's stock; a trade after arming that met it fired it",
        population="SELECT COUNT(*) FROM price_alerts",
        figure="SELECT COUNT(*) FROM price_alerts WHERE fired_at IS NULL",
        faults=f"""SELECT a.item_id, a.kind, a.stock_code, a.bound, a.approach,
                   a.armed_position, a.tick_price, a.tick_position
            FROM price_alerts a LEFT JOIN watchlist_items i ON i.id = a.item_id
            WHERE i.id IS NULL OR i.stock_code <> a.stock_code
               OR (a.fired_at IS NULL) <> (a.tick_price IS NULL)
               OR a.tick_position <= a.armed_position
               OR CASE a.approach WHEN '{Approach.FROM_BELOW}' THEN a.tick_price < a.bound
                  WHEN '{Approach.FROM_ABOVE}' THEN a.tick_price > a.bound
                  ELSE a.fired_at IS NOT NULL END""",
    ),
    Check(
        name="11d a directory has distinct stocks and positions, a user distinct positions",
        population="SELECT COUNT(*) FROM watchlist_items",
        figure="SELECT COUNT(*) FROM watchlist_directories",
        faults="""SELECT directory_id AS id, COUNT(*) AS members,
                   COUNT(DISTINCT stock_code) AS stocks, COUNT(DISTINCT position) AS positions
            FROM watchlist_items GROUP BY directory_id
            HAVING COUNT(DISTINCT stock_code) < COUNT(*) OR COUNT(DISTINCT position) < COUNT(*)
            UNION ALL SELECT user_id, COUNT(*), NULL, COUNT(DISTINCT position)
            FROM watchlist_directories GROUP BY user_id
            HAVING COUNT(DISTINCT position) < COUNT(*)""",
    ),
)
