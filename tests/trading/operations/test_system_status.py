"""System status: due rows by stage, and a constant cost on a large database."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from redis import Redis, RedisError
from sqlalchemy import insert, text, update
from sqlalchemy.orm import Session

from launcher.ports import free_port
from tests.support.statements import statements_counted
from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import set_status
from tests.trading.payments.payment_rows import hold_for_refund, partly_refunded_payment
from trading.audit.model import AuditBatch, Breach
from trading.audit.run import record_audit_run, record_batch
from trading.db.ids import new_id
from trading.db.transactions import Database
from trading.exchange.hours import AlwaysOpen, KrxHours
from trading.exchange.order_types import Side, TimeInForce
from trading.halts.trading import HaltRequest, halt_trading
from trading.marketdata.health import FeedStatus, RelayerHealth
from trading.marketdata.quotes import MarketUnavailable
from trading.marketdata.ticks import Position
from trading.operations.system_status import (
    ALERTS,
    CANDLES,
    COUNTED_MAX,
    AuditStatus,
    DatabaseStatus,
    PipelineStage,
    Reader,
    database_status,
    market_status,
    matcher,
    queues_status,
)
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS
from trading.payments.tables import PAYMENTS
from trading.redis import keys
from trading.redis.client import connect
from trading.stocks.candles.build import build_candles
from trading.watchlists.check_alerts import check_price_alerts

GRACE = timedelta(milliseconds=2_000)
T0 = datetime(2026, 3, 19, 1, 0, tzinfo=UTC)


def read_status(harness: TradingHarness) -> DatabaseStatus:
    now = harness.clock()
    return harness.core.read(database_status, settings=harness.settings, now=now)


def due(harness: TradingHarness) -> dict[PipelineStage, tuple[int, int | None]]:
    """Return the rows and the age (s) of each stage with due rows."""
    return {
        stage: (rows.count, rows.oldest_age_s)
        for stage, rows in read_status(harness).due.items()
        if rows.count
    }


def test_order_is_due_in_one_stage_after_the_other(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 3)
    assert due(harness) == {PipelineStage.EXECUTE: (1, 0)}
    harness.clock.advance(seconds=7)
    assert due(harness) == {PipelineStage.EXECUTE: (1, 7)}

    harness.run(harness.sent.pop(0))
    harness.clock.advance(seconds=5)
    assert due(harness) == {PipelineStage.SETTLE: (1, 5)}

    harness.run(harness.sent.pop(0))
    harness.clock.advance(seconds=3)
    assert due(harness) == {PipelineStage.PORTFOLIO: (1, 3)}

    harness.run_all()
    assert due(harness) == {}


def test_due_rows_have_the_age_of_the_oldest(harness: TradingHarness) -> None:
    user = harness.user()
    for _ in range(3):
        harness.tick(70_000)
        harness.place(user, Side.BUY, 1)
        harness.clock.advance(seconds=10)

    assert due(harness) == {PipelineStage.EXECUTE: (3, 30)}


def test_postponed_order_is_not_due(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 3, time_in_force=TimeInForce.IOC)
    harness.clock.advance(minutes=1)
    set_status(harness, "HALTED")
    harness.run(harness.sent.pop(0))

    assert due(harness) == {}
    harness.clock.advance(minutes=1)
    assert set(due(harness)) == {PipelineStage.EXECUTE}


def test_payments_and_refunds_are_due_at_their_own_times(harness: TradingHarness) -> None:
    """A payment at its next check, a refund after the grace time of its task."""
    user = harness.user()
    payment = partly_refunded_payment(harness, user)
    hold_for_refund(harness, user, payment, 1_000)
    next_attempt_at = harness.clock() + timedelta(minutes=1)
    table = PAYMENTS
    harness.do(
        lambda session: session.execute(
            update(table).where(table.c.id == payment).values(next_attempt_at=next_attempt_at)
        )
    )

    harness.clock.advance(seconds=12)
    assert due(harness) == {PipelineStage.REFUNDS: (1, 10)}
    harness.clock.advance(minutes=1)
    assert due(harness) == {PipelineStage.REFUNDS: (1, 70), PipelineStage.PAYMENTS: (1, 12)}


def test_alerts_and_trading_halt_are_reported(harness: TradingHarness) -> None:
    assert read_status(harness).payment_alerts == {}
    assert read_status(harness).halted_since is None
    user = harness.user()
    partly_refunded_payment(harness, user)
    since = harness.clock()
    harness.core.run(halt_trading, HaltRequest(halt_id=new_id(), by=user))

    assert sum(read_status(harness).payment_alerts.values()) == 1
    assert read_status(harness).halted_since == since


def test_audit_state_is_reported(harness: TradingHarness) -> None:
    """Before its first run, after a breach with a halted account, and after a night."""
    user, other, now = harness.user(), harness.user(), harness.clock()
    assert read_status(harness).audit == AuditStatus(
        breaches=0, halted_accounts=0, accounts_due=0, run_at=None
    )

    audited = AuditBatch(events={user: 1, other: 1}, breaches=[Breach(user, "1a", "a row")])

    harness.core.run(record_batch, audited, begun_at=now)
    harness.core.run(record_audit_run, accounts=2, duration_ms=5)
    assert read_status(harness).audit == AuditStatus(
        breaches=1, halted_accounts=1, accounts_due=0, run_at=now
    )
    harness.clock.advance(days=1)
    assert read_status(harness).audit.accounts_due == 2


def test_each_reader_has_its_own_position(harness: TradingHarness) -> None:
    assert read_status(harness).readers == ()
    harness.tick(70_000)
    harness.match()
    stream = harness.core.ticks
    harness.core.run(build_candles, stream=stream)
    harness.clock.advance(seconds=10)
    harness.core.run(check_price_alerts, stream, freshness_ms=10_000)
    harness.clock.advance(seconds=20)
    harness.tick(70_000)

    end = harness.core.ticks.latest(limit=1)[0].position
    readers = {reader.name: reader for reader in read_status(harness).readers}
    assert set(readers) == {matcher(0), CANDLES, ALERTS}
    assert {reader.behind_s(end) for reader in readers.values()} == {30}
    assert harness.clock() - readers[matcher(0)].read_at == timedelta(seconds=30)
    assert harness.clock() - readers[CANDLES].read_at == timedelta(seconds=30)
    assert readers[ALERTS].read_at is None


def test_reader_before_its_first_read_has_no_lag() -> None:
    reader = Reader("new", Position(0, 0), None)
    assert reader.behind_s(Position(1_800_000_000_000, 0)) is None
    assert Reader("old", Position(5_000, 0), None).behind_s(None) is None
    # Redis lost the stream, which started again.
    assert Reader("ahead", Position(5_000, 0), None).behind_s(Position(3_000, 0)) == 0


def fill_up(harness: TradingHarness, user: UUID, count: int) -> None:
    """Insert finished orders with an execution each, and three due rows in each stage of orders."""
    orders, executions = ORDERS, ORDER_EXECUTIONS
    at = harness.clock() - timedelta(days=1)

    def order(finished_at: datetime | None, next_attempt_at: datetime | None) -> dict[str, Any]:
        return {
            "id": new_id(),
            "user_id": user,
            "stock_code": SAMSUNG,
            "side": "BUY",
            "order_type": "MARKET",
            "time_in_force": "DAY",
            "quantity": 1,
            "status": "FILLED" if finished_at else "PENDING",
            "executed_quantity": 1 if finished_at else 0,
            "reserved_cash": 0,
            "accepted_at": at,
            "finished_at": finished_at,
            "next_attempt_at": next_attempt_at,
            "awaiting_first_print": False,
        }

    def execution(
        of: dict[str, Any], settled_at: datetime | None, applied_at: datetime | None
    ) -> dict[str, Any]:
        return {
            "id": new_id(),
            "order_id": of["id"],
            "user_id": user,
            "stock_code": SAMSUNG,
            "side": "BUY",
            "fill_number": 1,
            "quantity": 1,
            "price": 1,
            "amount": 1,
            "commission": 0,
            "transaction_tax": 0,
            "rural_tax": 0,
            "rule": "LAST",
            "tick_position": 1,
            "tick_price": 1,
            "tick_traded_at": at,
            "tick_age_ms": 0,
            "executed_at": at,
            "settled_at": settled_at,
            "applied_at": applied_at,
        }

    over = [order(at, None) for _ in range(count)]
    unsettled, unapplied = ([order(at, None) for _ in range(3)] for _ in range(2))

    def write(session: Session) -> None:
        session.execute(
            insert(orders), [*over, *unsettled, *unapplied, *(order(None, at) for _ in range(3))]
        )
        session.execute(
            insert(executions),
            [
                *(execution(one, at, at) for one in over),
                *(execution(one, None, None) for one in unsettled),
                *(execution(one, at, None) for one in unapplied),
            ],
        )

    harness.do(write)


def rows_read(database: Database, work: Callable[[Session], object]) -> int:
    """Return how many rows MariaDB read for this connection while ``work`` ran."""

    def counted(session: Session) -> int:
        read = text("SHOW SESSION STATUS LIKE 'Handler_read%'")
        before = sum(int(value) for _, value in session.execute(read))
        work(session)
        return sum(int(value) for _, value in session.execute(read)) - before

    return database.read(counted)


def test_status_costs_the_same_on_a_large_database(server_harness: TradingHarness) -> None:
    """With 10,000 finished orders it reads a few dozen rows in a handful of statements."""
    harness = server_harness
    user = harness.user()
    fill_up(harness, user, 10_000)
    database, now = harness.core.database, harness.clock()

    def read(session: Session) -> DatabaseStatus:
        return database_status(session, settings=harness.settings, now=now)

    with statements_counted(database.engine) as sent:
        found = database.read(read)
    assert len([one for one in sent if one.startswith("SELECT")]) <= 20
    day_s = 24 * 3_600
    assert {
        stage: (due.count, due.oldest_age_s) for stage, due in found.due.items() if due.count
    } == {
        PipelineStage.EXECUTE: (3, day_s + GRACE.seconds),
        PipelineStage.SETTLE: (3, day_s),
        PipelineStage.PORTFOLIO: (3, day_s),
    }
    assert rows_read(database, read) < 100


def test_due_rows_are_counted_up_to_a_limit(harness: TradingHarness) -> None:
    """The age is still that of the oldest row."""
    user, at = harness.user(), harness.clock()
    row = {
        "user_id": user,
        "stock_code": SAMSUNG,
        "side": "SELL",
        "order_type": "MARKET",
        "time_in_force": "DAY",
        "quantity": 1,
        "status": "PENDING",
        "executed_quantity": 0,
        "reserved_cash": 0,
        "accepted_at": at,
        "next_attempt_at": at,
        "awaiting_first_print": False,
    }
    rows = [{"id": new_id(), **row} for _ in range(COUNTED_MAX + 5)]
    harness.do(lambda session: session.execute(insert(ORDERS), rows))
    harness.clock.advance(seconds=60)

    assert due(harness) == {PipelineStage.EXECUTE: (COUNTED_MAX, 60 + GRACE.seconds)}


def test_queues_are_counted_by_the_broker(valkey_url: str) -> None:
    """By name, including empty ones; unacknowledged messages are counted for all queues."""
    with connect(valkey_url) as broker:
        broker.lpush("orders.execute", "a", "b")
        broker.hset(keys.BROKER_UNACKNOWLEDGED, "tag", "message")

        found = queues_status(broker, ("orders.execute", "alerts"))

    assert (found.depths, found.unacknowledged) == ({"orders.execute": 2, "alerts": 0}, 1)


def test_feed_diagnosis_depends_on_expected_ticks(valkey_url: str) -> None:
    """On a Sunday, silence is healthy."""
    record = RelayerHealth(
        pid=1, started_at=T0, updated_at=T0, connected=True, wanted=1, subscriptions=1
    )
    with connect(valkey_url) as redis:
        assert (
            market_status(redis, hours=AlwaysOpen(), now=T0).diagnosis.status is FeedStatus.OFFLINE
        )
        redis.set(keys.RELAYER_HEALTH, record.to_json())

        trading = market_status(redis, hours=AlwaysOpen(), now=T0)
        sunday = datetime(2026, 3, 22, 1, 0, tzinfo=UTC)
        redis.set(keys.RELAYER_HEALTH, record.to_json().replace("2026-03-19", "2026-03-22"))
        resting = market_status(redis, hours=KrxHours({}), now=sunday)

    assert (trading.trading, trading.diagnosis.status, trading.health) == (
        True,
        FeedStatus.STALE,
        record,
    )
    assert (resting.trading, resting.diagnosis.status) == (False, FeedStatus.HEALTHY)
    assert trading.stream_end is None
    assert trading.events_repaired_at is None


def test_unreachable_redis_raises_the_clients_error() -> None:
    nobody: Redis = connect(f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(RedisError):
        queues_status(nobody, ())
    with pytest.raises(MarketUnavailable):
        market_status(nobody, hours=AlwaysOpen(), now=T0)


def test_resting_order_is_not_due(harness: TradingHarness) -> None:
    harness.tick(70_000)
    harness.place(harness.user(), Side.BUY, 1, limit=60_000)
    harness.run_all()

    assert due(harness) == {}


def test_age_is_never_negative(harness: TradingHarness) -> None:
    """Clocks of two machines may differ."""
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 3)
    harness.run(harness.sent.pop(0))
    harness.clock.advance(seconds=-5)

    assert due(harness) == {PipelineStage.SETTLE: (1, 0)}
