"""State machine of random order histories: place, amend, cancel, match, execute, halt, lose,
repeat.

It runs the real use cases as the API, workers, matchers, sweep and operators do. After each step it
checks the audit and compares the rows with earlier ones.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from sqlalchemy import text

from tests.support.trading_harness import HYNIX, SAMSUNG
from tests.trading.histories import CODE, CODES, History
from tests.trading.orders.steps import (
    cancel_all,
    change_settings,
    deposit,
    halt,
    resume,
    rows,
    set_status,
    sweep,
    withdraw,
)
from trading.audit.checks import CHECKS
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.exchange.price_grid import floor_to_grid, tick_size
from trading.orders.expire import end_delisted
from trading.orders.match import match_orders
from trading.redis import keys

FIRST_PRICES = {SAMSUNG: 70_000, HYNIX: 180_000}

WHO = st.integers(0, 2)
SIDE = st.sampled_from(Side)
WHICH = st.integers(0, 40)
QUANTITY = st.sampled_from((1, 2, 3, 7, 20, 60))
VOLUME = st.sampled_from((0, 1, 3, 10, 40, 200))
STEPS_OF_THE_GRID = st.integers(-3, 3)
TRADES = st.lists(st.tuples(CODE, STEPS_OF_THE_GRID, VOLUME), min_size=1, max_size=4)
SELDOM = st.sampled_from((False, False, False, True))

# All checks of the audit in one statement, run after each step.
_BREACHES = text(
    " UNION ALL ".join(
        f"SELECT {number} AS number, COUNT(*) AS breaches FROM ({check.faults}) faults{number}"
        for number, check in enumerate(CHECKS)
    )
)


def instant(value: datetime | str) -> datetime:
    """Return a time as read by a plain statement, which returns text on SQLite."""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.replace(tzinfo=UTC)


class OrderHistory(History):
    """``under`` are the initial settings, ``other_settings`` later changes by an operator."""

    other_settings: ClassVar[tuple[dict[str, Any], ...]] = ()

    def __init__(self) -> None:
        super().__init__()
        self.orders: dict[bytes, dict[str, Any]] = {}
        self.fills: dict[bytes, dict[str, Any]] = {}
        self.volumes: dict[int, int] = {}
        self.prices = dict(FIRST_PRICES)

    @initialize()
    def open_market(self) -> None:
        for code in CODES:
            self.print(code, 0, volume=5)
        self.users.append(self.harness.user())
        for code in CODES:
            self.harness.place(self.users[0], Side.BUY, 150, code)
            self.print(code, 0, volume=200)
            self.match(layout=1, times=1)
            self.harness.run_all()

    # Actions of users.

    @rule(who=WHO, amount=st.integers(-5, 12_000_000), is_deposit=st.booleans())
    def register_or_move_cash(self, who: int, amount: int, is_deposit: bool) -> None:
        if len(self.users) <= who:
            self.users.append(self.harness.user())
        else:
            self.tolerate(
                lambda: (deposit if is_deposit else withdraw)(self.harness, self.users[who], amount)
            )

    @rule(who=WHO, side=SIDE, quantity=QUANTITY, code=CODE, tif=st.sampled_from(TimeInForce))
    def place_market_order(
        self, *, who: int, side: Side, quantity: int, code: str, tif: TimeInForce
    ) -> None:
        self.tolerate(
            lambda: self.harness.place(self.user(who), side, quantity, code, time_in_force=tif)
        )

    @rule(
        who=WHO,
        side=SIDE,
        quantity=QUANTITY,
        code=CODE,
        steps=STEPS_OF_THE_GRID,
        tif=st.sampled_from(TimeInForce),
    )
    def place_limit_order(
        self, *, who: int, side: Side, quantity: int, code: str, steps: int, tif: TimeInForce
    ) -> None:
        limit = self.near(code, steps)
        self.tolerate(
            lambda: self.harness.place(
                self.user(who), side, quantity, code, limit=limit, time_in_force=tif
            )
        )

    @rule(
        quantities=st.lists(QUANTITY, min_size=2, max_size=4),
        side=SIDE,
        code=CODE,
        steps=st.integers(0, 2),
    )
    def fill_the_book(self, quantities: list[int], side: Side, code: str, steps: int) -> None:
        """Place orders of several users at one price, which rest in the book."""
        limit = self.near(code, -steps if side is Side.BUY else steps)
        for who, quantity in enumerate(quantities):
            tif = TimeInForce.GTC if who else TimeInForce.DAY
            self.tolerate(
                lambda who=who, quantity=quantity, tif=tif: self.harness.place(
                    self.user(who), side, quantity, code, limit=limit, time_in_force=tif
                )
            )

    @rule(
        which=WHICH,
        steps=st.none() | STEPS_OF_THE_GRID,
        quantity=st.none() | QUANTITY,
        finished=SELDOM,
    )
    def amend(self, which: int, steps: int | None, quantity: int | None, finished: bool) -> None:
        order = self.pick(which, finished=finished)
        if order:
            limit = None if steps is None else self.near(order["stock_code"], steps)
            user, order_id = UUID(bytes=order["user_id"]), UUID(bytes=order["id"])
            self.tolerate(
                lambda: self.harness.amend(user, order_id, limit=limit, quantity=quantity)
            )

    @rule(which=WHICH, kept=st.integers(1, 100), restates_price=st.booleans())
    def reduce(self, which: int, kept: int, restates_price: bool) -> None:
        """Reduce an open order that may rest, in any state of the market. It never fails."""
        order = self.pick(which, finished=False)
        if not order or order["order_type"] != "LIMIT" or order["time_in_force"] in ("IOC", "FOK"):
            return
        self.harness.amend(
            UUID(bytes=order["user_id"]),
            UUID(bytes=order["id"]),
            limit=order["limit_price"] if restates_price else None,
            quantity=min(order["executed_quantity"] + kept, order["quantity"]),
        )
        reduced = self.order_row(order["id"])
        for kept_column in ("accepted_position", "book_price", "next_attempt_at", "status"):
            assert reduced[kept_column] == order[kept_column]
        assert reduced["reserved_cash"] <= order["reserved_cash"]

    @rule(which=WHICH, finished=SELDOM, everything=SELDOM)
    def cancel(self, which: int, finished: bool, everything: bool) -> None:
        order = self.pick(which, finished=finished)
        if everything:
            cancel_all(self.harness, self.user(which))
        elif order:
            user, order_id = UUID(bytes=order["user_id"]), UUID(bytes=order["id"])
            self.tolerate(lambda: self.harness.cancel(user, order_id))

    # Events of the market.

    @rule(trades=TRADES, age_ms=st.sampled_from((0, 0, 0, 9_000, 10_001)))
    def print_given_trades(self, trades: list[tuple[str, int, int]], age_ms: int) -> None:
        for code, steps, volume in trades:
            self.print(
                code,
                steps,
                volume=volume,
                age_ms=age_ms,
                base=FIRST_PRICES[code] if volume else None,
            )

    @rule(trades=TRADES, executes=st.booleans())
    def print_and_match_trades(self, trades: list[tuple[str, int, int]], executes: bool) -> None:
        for code, steps, volume in trades:
            self.print(code, steps, volume=volume)
        self.match(layout=1, times=1)
        if executes:
            self.harness.run_all()

    @rule(left=st.integers(0, 4), lost=st.booleans())
    def lose_ticks(self, left: int, lost: bool) -> None:
        if lost:
            self.harness.core.redis.delete(
                keys.TICK_STREAM, *[keys.last_tick(code) for code in CODES[left:]]
            )
        else:
            self.harness.core.redis.xtrim(keys.TICK_STREAM, maxlen=left, approximate=False)

    # Actions of workers, and the passing of time.

    @rule(layout=st.sampled_from((1, 2, 3)), times=st.integers(1, 2))
    def match(self, layout: int, times: int) -> None:
        """Run every shard of a layout, once or twice."""
        settings = self.harness.settings.model_copy(update={"matcher_shards": layout})
        core = replace(self.harness.core, settings=settings)
        for shard in [*range(layout)] * times:
            core.run(match_orders, shard=shard, stream=core.ticks)

    @rule(which=WHICH, times=st.integers(0, 3))
    def deliver(self, which: int, times: int) -> None:
        """Deliver tasks out of order: not at all, once, twice, or all at once."""
        if times == 3:
            self.harness.run_all()
        self.collect()
        if self.mailbox:
            request = self.mailbox.pop(which % len(self.mailbox))
            for _ in range(times):
                self.harness.run(request)

    @rule(seconds=st.sampled_from((0, 1, 2, 9, 10, 40)))
    def advance_and_sweep(self, seconds: int) -> None:
        self.harness.clock.advance(seconds=seconds)
        self.mailbox += sweep(self.harness).requests

    @rule(hours=st.sampled_from((0, 0, 5, 9, 24)), matched=st.booleans())
    def advance_hours_and_expire(self, hours: int, matched: bool) -> None:
        self.harness.clock.advance(hours=hours)
        if matched:
            self.match(layout=1, times=1)
        self.harness.expire()
        self.harness.core.run(end_delisted)

    # Actions of operators.

    @rule(act=st.sampled_from(("halt", "resume", "HALTED", "DELISTED", "settings")), which=WHICH)
    def act_as_operator(self, act: str, which: int) -> None:
        code = CODES[which % len(CODES)]
        if act == "halt":
            halt(self.harness, self.users[0])
        elif act == "resume":
            resume(self.harness, self.users[0])
            for each in CODES:
                set_status(self.harness, "TRADABLE", each)
        elif act != "settings":
            set_status(self.harness, act, code)
        elif self.other_settings:
            change_settings(self.harness, **self.other_settings[which % len(self.other_settings)])

    # Invariants.

    @invariant()
    def check_order_invariants(self) -> None:
        self.audit_finds_no_breach()
        self.orders_never_revert()
        self.fills_are_legal()
        self.fills_do_not_exceed_traded_volume()

    def audit_finds_no_breach(self) -> None:
        counts = self.harness.core.database.snapshot(
            lambda session: session.execute(_BREACHES).all()
        )
        assert all(breaches == 0 for _, breaches in counts), self.harness.breaches()

    def orders_never_revert(self) -> None:
        """Executed quantities never shrink; a finished order changes only by its reserved cash."""
        orders = {row["id"]: dict(row) for row in rows(self.harness, "SELECT * FROM orders")}
        for order_id, before in self.orders.items():
            after = orders[order_id]
            assert after["executed_quantity"] >= before["executed_quantity"]
            if before["finished_at"] is not None:
                assert after == {**before, "reserved_cash": after["reserved_cash"]}
                assert after["reserved_cash"] <= before["reserved_cash"]
        self.orders = orders

    def fills_are_legal(self) -> None:
        """No fill beyond the order's limit, after the order's day, or while there is no trading."""
        halts = rows(self.harness, "SELECT halted_at, resumed_at FROM trading_halts")
        stopped = {
            row["code"]
            for row in rows(self.harness, "SELECT code FROM stocks WHERE status <> 'TRADABLE'")
        }
        hours = self.harness.core.market_hours()
        found = {
            row["id"]: dict(row) for row in rows(self.harness, "SELECT * FROM order_executions")
        }
        for fill in [
            fill for execution_id, fill in found.items() if execution_id not in self.fills
        ]:
            order = self.orders[fill["order_id"]]
            limit = order["limit_price"]
            if limit is not None:
                assert fill["price"] <= limit if fill["side"] == "BUY" else fill["price"] >= limit
                assert fill["rule"] != "resting-at-limit" or fill["price"] == limit
            assert fill["stock_code"] not in stopped
            assert all(halt["resumed_at"] is not None for halt in halts)
            assert not any(
                halt["halted_at"] < fill["tick_traded_at"] < halt["resumed_at"] for halt in halts
            )
            if order["time_in_force"] == "DAY":
                assert hours.day_end_before(instant(fill["tick_traded_at"])) <= instant(
                    order["accepted_at"]
                )
        self.fills = found

    def fills_do_not_exceed_traded_volume(self) -> None:
        """With ``volume``, fills by one trade, executed or pending, never exceed its volume on each
        side.
        """
        if self.under.fill_profile != "volume" or self.other_settings:
            return
        filled = rows(
            self.harness,
            """SELECT tick_position, side, SUM(quantity) AS shares FROM (
                SELECT tick_position, side, quantity FROM order_executions
                UNION ALL SELECT t.tick_position, o.side, t.quantity FROM pending_fills t
                     JOIN orders o ON o.id = t.order_id
            ) x GROUP BY tick_position, side""",
        )
        assert all(row["shares"] <= self.volumes[row["tick_position"]] for row in filled)

    def order_row(self, order_id: bytes) -> dict[str, Any]:
        (row,) = rows(self.harness, "SELECT * FROM orders WHERE id = :id", id=order_id)
        return dict(row)

    def finish_pending_work(self) -> None:
        """Open a fresh market, match, sweep and cancel all orders."""
        resume(self.harness, self.users[0])
        for code in CODES:
            set_status(self.harness, "TRADABLE", code)
        self.harness.sent.clear()
        self.advance_to_open_market()
        self.sweep_until_idle()
        for user in self.users:
            cancel_all(self.harness, user)
        self.sweep_until_idle()

    def check_final_state(self) -> None:
        """Assert that nothing is reserved, due or pending, and all fills are applied."""
        self.audit_finds_no_breach()
        self.orders_never_revert()
        self.fills_do_not_exceed_traded_volume()
        for nothing in (
            "orders WHERE finished_at IS NULL OR reserved_cash > 0",
            "orders WHERE next_attempt_at IS NOT NULL OR book_price IS NOT NULL",
            "order_executions WHERE settled_at IS NULL OR applied_at IS NULL",
            "virtual_balances WHERE reserved_cash > 0",
            "portfolios WHERE reserved_quantity > 0",
            "pending_fills",
        ):
            assert rows(self.harness, f"SELECT * FROM {nothing}") == []

    def print_trades(self) -> None:
        for code in CODES:
            self.print(code, 0, volume=1_000)
        self.match(layout=1, times=1)
        # A market order whose day ended without a trade is due until now.
        self.harness.expire()

    def advance_to_open_market(self) -> None:
        """Advance to an hour in which everything is traded."""
        hours = self.harness.core.market_hours()
        self.harness.clock.advance(minutes=1)
        opening = hours.next_opening(
            self.harness.clock(), order_type=OrderType.MARKET, kind="STOCK"
        )
        self.harness.clock.now = max(self.harness.clock(), opening)

    def print(
        self, code: str, steps: int, *, volume: int, age_ms: int = 0, base: int | None = None
    ) -> None:
        self.prices[code] = self.near(code, steps)
        tick = self.harness.tick(self.prices[code], code, volume=volume, age_ms=age_ms, base=base)
        self.volumes[tick.position.packed] = volume

    def near(self, code: str, steps: int) -> int:
        """Return a legal price so many ticks from the last one, staying near the first price."""
        price = self.prices[code]
        moved = floor_to_grid(price + steps * tick_size(price))
        return (
            moved
            if abs(moved - FIRST_PRICES[code]) < FIRST_PRICES[code] // 5
            else FIRST_PRICES[code]
        )

    def pick(self, which: int, *, finished: bool) -> dict[str, Any] | None:
        found = [
            order
            for _, order in sorted(self.orders.items())
            if finished or order["finished_at"] is None
        ]
        return found[which % len(found)] if found else None
