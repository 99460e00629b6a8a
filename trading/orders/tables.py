"""Tables of orders, executions, pending fills and match cursors."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import MYSQL, STOCK_CODE, WORD, Base, one_of, table_of
from trading.db.types import Id, Shares, Won, ascii_text
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.orders.model import OPEN_STATUSES, OrderStatus


class OrderRow(Base):
    """An order.

    ``reserved_cash`` (won) is what a buy still reserves; ``next_attempt_at`` is when the recovery
    sweep dispatches its execution. ``book_price`` is set while the order is in the book: its limit,
    or for a market order an extreme price that every print meets. ``awaiting_first_print`` is true
    until a print has shown whether the order is marketable, ``is_new_in_book`` until a matcher has
    read the order. Prints up to ``accepted_position`` never fill it. ``request_id`` is the request
    that placed it, for finding the logs of all its stages.
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("user_id", "client_order_id"),
        Index("ix_orders_next_attempt_at", "next_attempt_at", "id"),
        Index("ix_orders_user_id_id", "user_id", "id"),
        Index("ix_orders_user_id_finished_at", "user_id", "finished_at"),
        Index("ix_orders_book", "stock_code", "side", "book_price"),
        Index("ix_orders_awaiting_first_print", "awaiting_first_print", "stock_code"),
        Index("ix_orders_is_new_in_book", "is_new_in_book"),
        Index("ix_orders_open", "finished_at", "time_in_force", "accepted_at"),
        CheckConstraint(one_of("side", Side), name="side"),
        CheckConstraint(one_of("order_type", OrderType), name="order_type"),
        CheckConstraint(one_of("time_in_force", TimeInForce), name="time_in_force"),
        CheckConstraint(one_of("status", OrderStatus), name="status"),
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint(
            "executed_quantity >= 0 AND executed_quantity <= quantity", name="executed_quantity"
        ),
        CheckConstraint("(status = 'FILLED') = (executed_quantity = quantity)", name="filled"),
        CheckConstraint(
            "status <> 'PARTIALLY_FILLED' OR executed_quantity > 0", name="partially_filled"
        ),
        CheckConstraint(
            "status NOT IN ('PENDING', 'REJECTED') OR executed_quantity = 0", name="unfilled"
        ),
        CheckConstraint("(order_type = 'LIMIT') = (limit_price IS NOT NULL)", name="limit_price"),
        CheckConstraint(
            "reserved_cash >= 0 AND (side = 'BUY' OR reserved_cash = 0)", name="reserved_cash"
        ),
        CheckConstraint(
            f"({one_of('status', OPEN_STATUSES)}) = (finished_at IS NULL)", name="finished_at"
        ),
        # SQLite cannot rename a CHECK, so some have the name of a column that was renamed.
        CheckConstraint("finished_at IS NULL OR next_attempt_at IS NULL", name="wake_at"),
        CheckConstraint("status <> 'REJECTED' OR reason IS NOT NULL", name="reason"),
        CheckConstraint(
            "book_price IS NULL OR (finished_at IS NULL AND accepted_position IS NOT NULL"
            " AND (limit_price IS NULL OR book_price = limit_price))",
            name="book_price",
        ),
        CheckConstraint(
            "finished_at IS NOT NULL OR book_price IS NOT NULL OR next_attempt_at IS NOT NULL",
            name="waits",
        ),
        CheckConstraint(
            "awaiting_first_print IN (0, 1)"
            " AND (awaiting_first_print = 0 OR book_price IS NOT NULL)",
            name="arriving",
        ),
        MYSQL,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"))
    client_order_id: Mapped[str | None] = mapped_column(ascii_text(64))
    stock_code: Mapped[str] = mapped_column(STOCK_CODE, ForeignKey("stocks.code"))
    side: Mapped[str] = mapped_column(WORD)
    order_type: Mapped[str] = mapped_column(WORD)
    time_in_force: Mapped[str] = mapped_column(WORD)
    quantity: Mapped[int] = mapped_column(Shares)
    limit_price: Mapped[int | None] = mapped_column(Won)
    status: Mapped[str] = mapped_column(WORD)
    reason: Mapped[str | None] = mapped_column(WORD)
    executed_quantity: Mapped[int] = mapped_column(Shares)
    reserved_cash: Mapped[int] = mapped_column(Won)
    accepted_at: Mapped[datetime]
    accepted_position: Mapped[int | None]
    next_attempt_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    book_price: Mapped[int | None] = mapped_column(Won)
    awaiting_first_print: Mapped[bool] = mapped_column(Boolean, server_default="0")
    is_new_in_book: Mapped[bool] = mapped_column(Boolean, server_default="0")
    request_id: Mapped[str | None] = mapped_column(ascii_text(64))


ORDERS = table_of(OrderRow)


class OrderExecutionRow(Base):
    """One fill with its evidence.

    ``settled_at`` and ``applied_at`` are set once each, when the cash and the holding are updated.
    A sale's ``cost``, ``buy_commission`` and ``realized_profit`` are set when it is applied.
    """

    __tablename__ = "order_executions"
    __table_args__ = (
        UniqueConstraint("order_id", "fill_number"),
        Index("ix_order_executions_due", "applied_at", "settled_at", "id"),
        Index("ix_order_executions_user_id_executed_at", "user_id", "executed_at"),
        Index(
            "ix_order_executions_user_id_stock_code_realized_profit",
            "user_id",
            "stock_code",
            "realized_profit",
        ),
        CheckConstraint(one_of("side", Side), name="side"),
        CheckConstraint("fill_number > 0 AND quantity > 0 AND price > 0", name="positive"),
        CheckConstraint("amount = price * quantity", name="amount"),
        CheckConstraint(
            "commission >= 0 AND transaction_tax >= 0 AND rural_tax >= 0", name="costs"
        ),
        CheckConstraint(
            "side = 'SELL' OR (transaction_tax = 0 AND rural_tax = 0)", name="sale_taxes"
        ),
        CheckConstraint("tick_age_ms >= 0", name="tick_age_ms"),
        CheckConstraint(
            "applied_at IS NULL OR settled_at IS NOT NULL", name="settled_before_applied"
        ),
        CheckConstraint(
            "(side = 'SELL' AND applied_at IS NOT NULL) = (realized_profit IS NOT NULL)",
            name="realized_profit_known",
        ),
        CheckConstraint(
            "realized_profit IS NULL OR realized_profit = amount - commission"
            " - transaction_tax - rural_tax - cost - buy_commission",
            name="realized_profit",
        ),
        MYSQL,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(Id, ForeignKey("orders.id"))
    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"))
    stock_code: Mapped[str] = mapped_column(STOCK_CODE, ForeignKey("stocks.code"))
    side: Mapped[str] = mapped_column(WORD)
    fill_number: Mapped[int]
    quantity: Mapped[int] = mapped_column(Shares)
    price: Mapped[int] = mapped_column(Won)
    amount: Mapped[int] = mapped_column(Won)
    commission: Mapped[int] = mapped_column(Won)
    transaction_tax: Mapped[int] = mapped_column(Won)
    rural_tax: Mapped[int] = mapped_column(Won)
    rule: Mapped[str] = mapped_column(WORD)
    tick_position: Mapped[int]
    tick_price: Mapped[int] = mapped_column(Won)
    tick_traded_at: Mapped[datetime]
    tick_age_ms: Mapped[int]
    executed_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    applied_at: Mapped[datetime | None]
    cost: Mapped[int | None] = mapped_column(Won)
    buy_commission: Mapped[int | None] = mapped_column(Won)
    realized_profit: Mapped[int | None] = mapped_column(Won)
    session: Mapped[str | None] = mapped_column(WORD)
    commission_ppm: Mapped[int | None]


ORDER_EXECUTIONS = table_of(OrderExecutionRow)


class PendingFillRow(Base):
    """A fill that the matcher found and that the execution has yet to record.

    It is deleted when the order is executed, or when the order ends or is amended before that.
    """

    __tablename__ = "pending_fills"
    __table_args__ = (
        CheckConstraint("quantity > 0 AND price > 0 AND tick_price > 0", name="positive"),
        MYSQL,
    )

    order_id: Mapped[UUID] = mapped_column(Id, ForeignKey("orders.id"), primary_key=True)
    tick_position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    quantity: Mapped[int] = mapped_column(Shares)
    price: Mapped[int] = mapped_column(Won)
    rule: Mapped[str] = mapped_column(WORD)
    session: Mapped[str] = mapped_column(WORD)
    tick_price: Mapped[int] = mapped_column(Won)
    tick_traded_at: Mapped[datetime]
    tick_received_at: Mapped[datetime]


PENDING_FILLS = table_of(PendingFillRow)


class MatchCursorRow(Base):
    """How far a matcher has read the tick stream, for ``shard`` of ``shards``."""

    __tablename__ = "match_cursors"
    __table_args__ = (CheckConstraint("shard >= 0 AND shard < shards", name="shard"), MYSQL)

    shards: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int]
    scanned_at: Mapped[datetime]


MATCH_CURSORS = table_of(MatchCursorRow)


class AuctionPrintRow(Base):
    """The first print of a stock in its latest phase of trading: the result of a call auction.

    ``phase_started_at`` is the start of the session, or the end of a halt within it. Matchers write
    it for every stock that is traded, including stocks that are not in the master data.
    """

    __tablename__ = "auction_prints"
    __table_args__ = (CheckConstraint("price > 0", name="price"), MYSQL)

    stock_code: Mapped[str] = mapped_column(STOCK_CODE, primary_key=True)
    phase_started_at: Mapped[datetime]
    tick_position: Mapped[int]
    price: Mapped[int] = mapped_column(Won)


AUCTION_PRINTS = table_of(AuctionPrintRow)


class RuleChangeRow(Base):
    """The time since which a rule applies; fills before it followed the former rule."""

    __tablename__ = "rule_changes"
    __table_args__ = (MYSQL,)

    name: Mapped[str] = mapped_column(WORD, primary_key=True)
    since: Mapped[datetime]


RULE_CHANGES = table_of(RuleChangeRow)
