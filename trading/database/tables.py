"""The tables, with every invariant that a database can hold written as a constraint.

Amounts are won, quantities shares, ages milliseconds; all are integers. Text that people write is utf8mb4, codes are ASCII.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from trading.database.types import Id, Instant, Shares, Won, ascii_text, fixed_bytes
from trading.market.account_events import EventKind
from trading.rules.ledger import DIRECTION, TRADES, TransactionType
from trading.rules.orders import OPEN_STATUSES, OrderStatus, OrderType, Side, TimeInForce

STOCK_CODE = ascii_text(20)
WORD = ascii_text(32)

_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _one_of(column: str, words: Iterable[str]) -> str:
    return f"{column} IN ({', '.join(repr(str(word)) for word in words)})"


def _signed(column: str) -> str:
    """SQL for an amount with the sign that its kind of Transaction gives it."""
    cases = " ".join(f"WHEN '{kind}' THEN {'' if sign > 0 else '-'}{column}" for kind, sign in DIRECTION.items())
    return f"CASE transaction_type {cases} END"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {UUID: Id, datetime: Instant, int: BigInteger}


def table_of(model: type[Base]) -> Table:
    """The plain table behind a model, for statements over many rows: they skip the ORM's bookkeeping."""
    table = model.__table__
    if not isinstance(table, Table):
        raise TypeError("A model of ours is mapped to one table.")
    return table


class User(Base):
    __tablename__ = "users"
    __table_args__ = (CheckConstraint(_one_of("role", ("USER", "ADMIN")), name="role"), _MYSQL)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(50))
    password_hash: Mapped[str] = mapped_column(ascii_text(255))
    role: Mapped[str] = mapped_column(WORD)
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class SignInSession(Base):
    """One sign-in. Its refresh token is used once and replaced; ``refresh_token_id`` names the only one that is still good."""

    __tablename__ = "sign_in_sessions"
    __table_args__ = (_MYSQL,)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    refresh_token_id: Mapped[UUID]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None] = mapped_column(WORD)


class Stock(Base):
    """Master data of a listed issue, by Toss product code."""

    __tablename__ = "stocks"
    __table_args__ = (
        CheckConstraint(_one_of("market", ("KOSPI", "KOSDAQ", "KONEX")), name="market"),
        CheckConstraint(_one_of("kind", ("STOCK", "ETF", "ETN")), name="kind"),
        CheckConstraint(_one_of("status", ("TRADABLE", "HALTED", "DELISTED")), name="status"),
        CheckConstraint("reference_price IS NULL OR reference_price > 0", name="reference_price"),
        _MYSQL,
    )

    code: Mapped[str] = mapped_column(STOCK_CODE, primary_key=True)
    isin: Mapped[str | None] = mapped_column(ascii_text(12))
    name: Mapped[str] = mapped_column(String(100))
    english_name: Mapped[str | None] = mapped_column(String(200))
    market: Mapped[str] = mapped_column(WORD)
    kind: Mapped[str] = mapped_column(WORD)
    sector: Mapped[str | None] = mapped_column(String(50))
    status: Mapped[str] = mapped_column(WORD)
    listed_shares: Mapped[int | None] = mapped_column(Shares)
    reference_price: Mapped[int | None] = mapped_column(Won)
    updated_at: Mapped[datetime]


class VirtualBalance(Base):
    """An account's cash. ``reserved_cash`` is the sum of what its orders reserve; ``transaction_count`` the last Transaction's sequence."""

    __tablename__ = "virtual_balances"
    __table_args__ = (
        CheckConstraint("reserved_cash >= 0", name="reserved_cash"),
        CheckConstraint("cash_balance >= reserved_cash", name="available_cash"),
        CheckConstraint("transaction_count >= 0", name="transaction_count"),
        _MYSQL,
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    cash_balance: Mapped[int] = mapped_column(Won)
    reserved_cash: Mapped[int] = mapped_column(Won)
    transaction_count: Mapped[int]
    updated_at: Mapped[datetime]


class Order(Base):
    """An order. ``reserved_cash`` (won) is what a buy still holds back; ``wake_at`` when the sweep should wake its execution.

    ``book_price`` is set while the order waits in the book for a print: its limit, or for a market order an extreme that every print meets.
    ``arriving`` is true until a print has shown whether the order is marketable. Prints up to ``accepted_position`` never fill it.
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("user_id", "client_order_id"),
        Index("ix_orders_wake_at", "wake_at", "id"),
        Index("ix_orders_user_id_id", "user_id", "id"),
        Index("ix_orders_book", "stock_code", "side", "book_price"),
        Index("ix_orders_arriving", "arriving", "stock_code"),
        Index("ix_orders_open", "finished_at", "time_in_force", "accepted_at"),
        CheckConstraint(_one_of("side", Side), name="side"),
        CheckConstraint(_one_of("order_type", OrderType), name="order_type"),
        CheckConstraint(_one_of("time_in_force", TimeInForce), name="time_in_force"),
        CheckConstraint(_one_of("status", OrderStatus), name="status"),
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("executed_quantity >= 0 AND executed_quantity <= quantity", name="executed_quantity"),
        CheckConstraint("(status = 'FILLED') = (executed_quantity = quantity)", name="filled"),
        CheckConstraint("status <> 'PARTIALLY_FILLED' OR executed_quantity > 0", name="partially_filled"),
        CheckConstraint("status NOT IN ('PENDING', 'REJECTED') OR executed_quantity = 0", name="unfilled"),
        CheckConstraint("(order_type = 'LIMIT') = (limit_price IS NOT NULL)", name="limit_price"),
        CheckConstraint("reserved_cash >= 0 AND (side = 'BUY' OR reserved_cash = 0)", name="reserved_cash"),
        CheckConstraint(f"({_one_of('status', OPEN_STATUSES)}) = (finished_at IS NULL)", name="finished_at"),
        CheckConstraint("finished_at IS NULL OR wake_at IS NULL", name="wake_at"),
        CheckConstraint("status <> 'REJECTED' OR reason IS NOT NULL", name="reason"),
        CheckConstraint(
            "book_price IS NULL OR (finished_at IS NULL AND accepted_position IS NOT NULL"
            " AND (limit_price IS NULL OR book_price = limit_price))",
            name="book_price",
        ),
        CheckConstraint("finished_at IS NOT NULL OR book_price IS NOT NULL OR wake_at IS NOT NULL", name="waits"),
        CheckConstraint("arriving IN (0, 1) AND (arriving = 0 OR book_price IS NOT NULL)", name="arriving"),
        _MYSQL,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
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
    wake_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    book_price: Mapped[int | None] = mapped_column(Won)
    arriving: Mapped[bool] = mapped_column(Boolean, server_default="0")


class OrderExecution(Base):
    """One fill with its evidence. ``settled_at`` and ``applied_at`` are set once each, when cash and when the holding follow.

    A sale's ``cost``, ``buy_commission`` and ``realized_profit`` are known when it is applied to the holding.
    """

    __tablename__ = "order_executions"
    __table_args__ = (
        UniqueConstraint("order_id", "fill_number"),
        Index("ix_order_executions_due", "applied_at", "settled_at", "id"),
        Index("ix_order_executions_user_id_executed_at", "user_id", "executed_at"),
        CheckConstraint(_one_of("side", Side), name="side"),
        CheckConstraint("fill_number > 0 AND quantity > 0 AND price > 0", name="positive"),
        CheckConstraint("amount = price * quantity", name="amount"),
        CheckConstraint("commission >= 0 AND transaction_tax >= 0 AND rural_tax >= 0", name="costs"),
        CheckConstraint("side = 'SELL' OR (transaction_tax = 0 AND rural_tax = 0)", name="sale_taxes"),
        CheckConstraint("tick_age_ms >= 0", name="tick_age_ms"),
        CheckConstraint("applied_at IS NULL OR settled_at IS NOT NULL", name="settled_before_applied"),
        CheckConstraint(
            "(side = 'SELL' AND applied_at IS NOT NULL) = (realized_profit IS NOT NULL)", name="realized_profit_known"
        ),
        CheckConstraint(
            "realized_profit IS NULL OR realized_profit = amount - commission - transaction_tax - rural_tax - cost - buy_commission",
            name="realized_profit",
        ),
        _MYSQL,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
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


class OrderTouch(Base):
    """A fill that the matcher has found for an order and that its execution has yet to record: the tick, the quantity, price and rule.

    It is deleted when the order is executed, or when the order ends or is amended before that.
    """

    __tablename__ = "order_touches"
    __table_args__ = (CheckConstraint("quantity > 0 AND price > 0 AND tick_price > 0", name="positive"), _MYSQL)

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    tick_position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    quantity: Mapped[int] = mapped_column(Shares)
    price: Mapped[int] = mapped_column(Won)
    rule: Mapped[str] = mapped_column(WORD)
    session: Mapped[str] = mapped_column(WORD)
    tick_price: Mapped[int] = mapped_column(Won)
    tick_traded_at: Mapped[datetime]
    tick_received_at: Mapped[datetime]


class MatchCursor(Base):
    """How far a matcher has read the tick stream. ``shard`` of ``shards`` says which stocks are its own."""

    __tablename__ = "match_cursors"
    __table_args__ = (CheckConstraint("shard >= 0 AND shard < shards", name="shard"), _MYSQL)

    shards: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int]
    scanned_at: Mapped[datetime]


class TradingHalt(Base):
    """A time during which an administrator had trading stopped. ``running`` is 1 until it is lifted, so that there is only one at a time."""

    __tablename__ = "trading_halts"
    __table_args__ = (
        UniqueConstraint("running"),
        CheckConstraint("running IS NULL OR running = 1", name="running"),
        CheckConstraint("(running IS NULL) = (resumed_at IS NOT NULL)", name="resumed_at"),
        CheckConstraint("(resumed_at IS NULL) = (resumed_by IS NULL)", name="resumed_by"),
        _MYSQL,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    running: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(String(200))
    halted_at: Mapped[datetime]
    halted_by: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    resumed_at: Mapped[datetime | None]
    resumed_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))


class ExchangeDay(Base):
    """An operator's correction of one day of the exchange's calendar."""

    __tablename__ = "exchange_days"
    __table_args__ = (
        CheckConstraint("closed IN (0, 1)", name="closed"),
        CheckConstraint(
            "delay_minutes >= 0 AND delay_minutes <= 360 AND (closed = 0 OR delay_minutes = 0)", name="delay_minutes"
        ),
        _MYSQL,
    )

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    closed: Mapped[bool] = mapped_column(Boolean)
    delay_minutes: Mapped[int]
    note: Mapped[str] = mapped_column(String(200))
    updated_at: Mapped[datetime]


class Transaction(Base):
    """Cash that moved, never changed afterwards. ``sequence`` numbers an account's Transactions without a gap."""

    __tablename__ = "transactions"
    __table_args__ = (
        UniqueConstraint("user_id", "sequence"),
        UniqueConstraint("execution_id"),
        CheckConstraint(_one_of("transaction_type", TransactionType), name="transaction_type"),
        CheckConstraint("sequence > 0", name="sequence"),
        CheckConstraint("amount >= 0 AND commission >= 0 AND tax >= 0", name="amounts"),
        CheckConstraint(f"cash_after = cash_before + {_signed('amount')} - commission - tax", name="cash_after"),
        CheckConstraint(f"({_one_of('transaction_type', TRADES)}) = (execution_id IS NOT NULL)", name="trade"),
        CheckConstraint("(execution_id IS NOT NULL) = (order_id IS NOT NULL)", name="order"),
        CheckConstraint("execution_id IS NULL OR amount = price * quantity", name="trade_amount"),
        _MYSQL,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    sequence: Mapped[int]
    transaction_type: Mapped[str] = mapped_column(WORD)
    stock_code: Mapped[str | None] = mapped_column(STOCK_CODE, ForeignKey("stocks.code"))
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey("orders.id"))
    execution_id: Mapped[UUID | None] = mapped_column(ForeignKey("order_executions.id"))
    quantity: Mapped[int | None] = mapped_column(Shares)
    price: Mapped[int | None] = mapped_column(Won)
    amount: Mapped[int] = mapped_column(Won)
    commission: Mapped[int] = mapped_column(Won)
    tax: Mapped[int] = mapped_column(Won)
    cash_before: Mapped[int] = mapped_column(Won)
    cash_after: Mapped[int] = mapped_column(Won)
    description: Mapped[str | None] = mapped_column(String(200))
    transaction_date: Mapped[datetime]


class Holding(Base):
    """One user's shares of one stock; deleted when the last is sold. ``cost`` and ``buy_commission`` are those of the shares held."""

    __tablename__ = "portfolios"
    __table_args__ = (
        CheckConstraint("quantity >= 0", name="quantity"),
        CheckConstraint("reserved_quantity >= 0 AND reserved_quantity <= quantity", name="reserved_quantity"),
        CheckConstraint("cost >= 0 AND buy_commission >= 0", name="cost"),
        CheckConstraint("quantity > 0 OR (cost = 0 AND buy_commission = 0)", name="empty"),
        _MYSQL,
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    stock_code: Mapped[str] = mapped_column(STOCK_CODE, ForeignKey("stocks.code"), primary_key=True)
    quantity: Mapped[int] = mapped_column(Shares)
    reserved_quantity: Mapped[int] = mapped_column(Shares)
    cost: Mapped[int] = mapped_column(Won)
    buy_commission: Mapped[int] = mapped_column(Won)
    realized_profit: Mapped[int] = mapped_column(Won)
    updated_at: Mapped[datetime]


class AccountEventHead(Base):
    """How many events a user has had. Whoever adds some locks it until his COMMIT, so the ids follow the order of the commits."""

    __tablename__ = "account_event_heads"
    __table_args__ = (CheckConstraint("last_id > 0", name="last_id"), _MYSQL)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    last_id: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(index=True)


class AccountEventRow(Base):
    """What happened to an account, never changed afterwards. ``id`` counts the user's events from 1 without a gap; ``data`` is a JSON object."""

    __tablename__ = "account_events"
    __table_args__ = (
        CheckConstraint("id > 0", name="id"),
        CheckConstraint(_one_of("kind", EventKind), name="kind"),
        _MYSQL,
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("account_event_heads.user_id"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(WORD)
    occurred_at: Mapped[datetime]
    data: Mapped[str] = mapped_column(Text)


class IdempotencyReceipt(Base):
    """A key that a client gave a request, and the first answer to it once there is one (``status`` is not NULL)."""

    __tablename__ = "idempotency_receipts"
    __table_args__ = (
        Index("ix_idempotency_receipts_created_at", "created_at"),
        CheckConstraint("(status IS NULL) = (body IS NULL)", name="answer"),
        _MYSQL,
    )

    scope: Mapped[str] = mapped_column(ascii_text(40), primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(ascii_text(64), primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(fixed_bytes(32))
    claim_id: Mapped[UUID]
    claimed_until: Mapped[datetime]
    status: Mapped[int | None]
    body: Mapped[str | None] = mapped_column(Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb"))
    location: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime]
