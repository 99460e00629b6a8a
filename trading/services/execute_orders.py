"""Stage two, execute: give due market orders their price from a fresh tick and record the fills.

A task is woken with some ids; while those are due it also takes other due orders along, so that under load the work batches by itself.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from trading.database.ids import new_id
from trading.database.rows import AnyRow
from trading.database.tables import Holding, Order, OrderExecution, Stock, table_of
from trading.database.transactions import send_after_commit
from trading.market.quote_book import QuoteBook
from trading.market.tick import Tick
from trading.queue import Task, wakeups
from trading.rules.errors import InsufficientCash, StockNotTradable
from trading.rules.exchange_time import trade_date
from trading.rules.fees import SaleTaxes, commission, sale_taxes
from trading.rules.fills import Fill, Postponement, TickEvidence, market_fill
from trading.rules.orders import OrderStatus, OrderType, Side
from trading.services.ledger import Account, lock_accounts, save
from trading.settings import Settings

_ORDERS = table_of(Order)
_EXECUTIONS = table_of(OrderExecution)
_STOCKS = table_of(Stock)
_HOLDINGS = table_of(Holding)

_NEEDED = (
    _ORDERS.c.id,
    _ORDERS.c.user_id,
    _ORDERS.c.stock_code,
    _ORDERS.c.side,
    _ORDERS.c.quantity,
    _ORDERS.c.reserved_cash,
    _ORDERS.c.accepted_at,
)

_BACKOFF_MAX_S = 32


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """How many orders of a batch were filled, rejected and put off."""

    filled: int = 0
    rejected: int = 0
    postponed: int = 0


@dataclass(slots=True)
class _Batch:
    """Decisions about locked orders, gathered before anything is written."""

    executions: list[dict[str, Any]] = field(default_factory=list)
    filled: list[UUID] = field(default_factory=list)
    short: list[tuple[AnyRow, dict[str, Any], int]] = field(default_factory=list)
    rejected: list[tuple[AnyRow, str]] = field(default_factory=list)
    postponed: defaultdict[int, list[UUID]] = field(default_factory=lambda: defaultdict(list))

    def fill(self, order: AnyRow, execution: dict[str, Any]) -> None:
        self.executions.append(execution)
        self.filled.append(order.id)


def execute_orders(
    session: Session, order_ids: Sequence[UUID], *, quotes: QuoteBook, settings: Settings, now: datetime
) -> ExecutionReport:
    """Fill, reject or put off every due order among ``order_ids``, and wake the settlement of the fills.

    Raises MarketUnavailable, before anything is changed, when Redis does not answer; the orders stay due.
    """
    orders = _lock_due(session, order_ids, settings=settings, now=now)
    if not orders:
        return ExecutionReport()
    codes = {order.stock_code for order in orders}
    ticks = quotes.last_ticks(codes)
    stocks = {row.code: row for row in session.execute(_stocks_of(codes))}
    batch = _Batch()
    for order in orders:
        _decide(
            batch, order, stock=stocks[order.stock_code], tick=ticks.get(order.stock_code), settings=settings, now=now
        )
    _settle_shortfalls_and_rejections(session, batch, now=now)
    _write(session, batch, settings=settings, now=now)
    return ExecutionReport(
        filled=len(batch.filled), rejected=len(batch.rejected), postponed=sum(map(len, batch.postponed.values()))
    )


def _lock_due(session: Session, order_ids: Sequence[UUID], *, settings: Settings, now: datetime) -> list[AnyRow]:
    due = (_ORDERS.c.status == OrderStatus.PENDING) & (_ORDERS.c.order_type == OrderType.MARKET)
    asked = session.execute(
        select(*_NEEDED).where(_ORDERS.c.id.in_(order_ids), due).order_by(_ORDERS.c.id).with_for_update()
    ).all()
    room = settings.stage_batch_size - len(asked)
    if not asked or room <= 0:
        return list(asked)
    # What another worker holds is his: skipping it keeps two batches from waiting for each other.
    others = session.execute(
        select(*_NEEDED)
        .where(
            _ORDERS.c.wake_at <= now + timedelta(milliseconds=settings.wake_grace_ms),
            due,
            _ORDERS.c.id.not_in([order.id for order in asked]),
        )
        .order_by(_ORDERS.c.wake_at, _ORDERS.c.id)
        .limit(room)
        .with_for_update(skip_locked=True)
    ).all()
    return sorted([*asked, *others], key=lambda order: order.id)


def _stocks_of(codes: Iterable[str]) -> Any:
    columns = (_STOCKS.c.code, _STOCKS.c.market, _STOCKS.c.kind, _STOCKS.c.status)
    return select(*columns).where(_STOCKS.c.code.in_(sorted(codes)))


def _decide(
    batch: _Batch, order: AnyRow, *, stock: AnyRow, tick: Tick | None, settings: Settings, now: datetime
) -> None:
    if stock.status == "DELISTED":
        batch.rejected.append((order, StockNotTradable.code))
        return
    evidence = (
        None if tick is None else TickEvidence(price=tick.price, age_ms=tick.age_ms(now), position=tick.position.packed)
    )
    decision = market_fill(evidence, freshness_ms=settings.tick_freshness_ms)
    if stock.status == "HALTED" or isinstance(decision, Postponement) or tick is None:
        batch.postponed[_backoff_s(now - order.accepted_at)].append(order.id)
        return
    execution = _execution(order, decision, tick=tick, stock=stock, settings=settings, now=now)
    cost = execution["amount"] + execution["commission"]
    if order.side == Side.BUY and cost > order.reserved_cash:
        batch.short.append((order, execution, cost))
    else:
        batch.fill(order, execution)


def _backoff_s(waited: timedelta) -> int:
    """Seconds until an order that has waited this long is looked at again: about as long again, within bounds, in few steps."""
    seconds = 1
    while seconds < _BACKOFF_MAX_S and seconds * 2 <= waited.total_seconds():
        seconds *= 2
    return seconds


def _execution(
    order: AnyRow, fill: Fill, *, tick: Tick, stock: AnyRow, settings: Settings, now: datetime
) -> dict[str, Any]:
    amount = fill.price * order.quantity
    taxes = SaleTaxes(0, 0)
    if order.side == Side.SELL:
        taxes = sale_taxes(amount, market=stock.market, kind=stock.kind, on=trade_date(now))
    return {
        "id": new_id(),
        "order_id": order.id,
        "user_id": order.user_id,
        "stock_code": order.stock_code,
        "side": order.side,
        "fill_number": 1,
        "quantity": order.quantity,
        "price": fill.price,
        "amount": amount,
        "commission": commission(amount, settings.commission_ppm),
        "transaction_tax": taxes.transaction,
        "rural_tax": taxes.rural,
        "rule": fill.rule,
        "tick_position": tick.position.packed,
        "tick_price": tick.price,
        "tick_traded_at": tick.traded_at,
        "tick_age_ms": tick.age_ms(now),
        "executed_at": now,
        "settled_at": None,
        "applied_at": None,
        "cost": None,
        "buy_commission": None,
        "realized_profit": None,
    }


def _settle_shortfalls_and_rejections(session: Session, batch: _Batch, *, now: datetime) -> None:
    """Fills that cost more than was reserved take the rest from what is available, or are rejected; rejections release everything."""
    if not (batch.short or batch.rejected):
        return
    affected = [order for order, _execution, _cost in batch.short] + [order for order, _reason in batch.rejected]
    buyers = {order.user_id for order in affected if order.side == Side.BUY}
    accounts = lock_accounts(session, buyers)
    for order, _reason in batch.rejected:
        _release(accounts, order)
    for order, execution, cost in batch.short:
        missing = cost - order.reserved_cash
        if accounts[order.user_id].available >= missing:
            accounts[order.user_id].reserve(missing)
            session.execute(update(_ORDERS).where(_ORDERS.c.id == order.id).values(reserved_cash=cost))
            batch.fill(order, execution)
        else:
            # Released at once: the next of the same account may need it.
            _release(accounts, order)
            batch.rejected.append((order, InsufficientCash.code))
    for order, reason in batch.rejected:
        session.execute(
            update(_ORDERS)
            .where(_ORDERS.c.id == order.id)
            .values(status=OrderStatus.REJECTED, reason=reason, reserved_cash=0, wake_at=None, finished_at=now)
        )
    save(session, accounts.values(), [], now=now)
    for order, _reason in sorted(batch.rejected, key=lambda one: (one[0].user_id, one[0].stock_code)):
        if order.side == Side.SELL:
            session.execute(
                update(_HOLDINGS)
                .where(_HOLDINGS.c.user_id == order.user_id, _HOLDINGS.c.stock_code == order.stock_code)
                .values(reserved_quantity=_HOLDINGS.c.reserved_quantity - order.quantity)
            )


def _release(accounts: Mapping[UUID, Account], order: AnyRow) -> None:
    if order.side == Side.BUY:
        accounts[order.user_id].release(order.reserved_cash)


def _write(session: Session, batch: _Batch, *, settings: Settings, now: datetime) -> None:
    for seconds, ids in batch.postponed.items():
        session.execute(update(_ORDERS).where(_ORDERS.c.id.in_(ids)).values(wake_at=now + timedelta(seconds=seconds)))
    if not batch.executions:
        return
    session.execute(insert(_EXECUTIONS), batch.executions)
    session.execute(
        update(_ORDERS)
        .where(_ORDERS.c.id.in_(batch.filled))
        .values(status=OrderStatus.FILLED, executed_quantity=_ORDERS.c.quantity, wake_at=None, finished_at=now)
    )
    executed = [execution["id"] for execution in batch.executions]
    for wakeup in wakeups(Task.SETTLE_EXECUTIONS, executed, batch_size=settings.stage_batch_size):
        send_after_commit(session, wakeup)
