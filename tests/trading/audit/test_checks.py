"""Audit checks: sound data passes, and each kind of damage is found by its own check."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

from tests.support.servers import Valkey
from tests.support.trading_harness import HYNIX, TradingHarness, opened, settings_for
from tests.trading.orders.steps import bought, deposit, withdraw
from tests.trading.payments.payment_rows import hold_for_refund, partly_refunded_payment
from tests.trading.portfolio.days import record
from tests.trading.watchlists.watchlist_factory import check_alerts, open_second, watch
from trading.audit.checks import CHECKS, SAMPLE, Finding, audit, audit_accounts
from trading.audit.scoping import OWN_ROWS, SHARED, tables_read
from trading.db.declarative import Base
from trading.db.transactions import rerun_is_safe
from trading.db.upsert import server_of
from trading.exchange.order_types import Side
from trading.orders.tables import RULE_CHANGES
from trading.stocks.candles.build import build_candles
from trading.tasks import Task

LAST_DEPOSIT = "transaction_type = 'DEPOSIT' AND sequence > 1"

NOBODY = "X'00112233445566778899AABBCCDDEEFF'"

ALERTED = "kind = 'alert'"

FILLED = "kind = 'order' AND data LIKE '%FILLED%'"


def changed(member: str, value: int | str) -> str:
    """Return SQL for an event's data with another value of a member."""
    return f"JSON_SET(data, '$.{member}', {value!r})"


# Numbers of the checks that must find the damage, and the damage, done with constraints disabled.
DAMAGE = [
    ({"1a", "7"}, "UPDATE virtual_balances SET cash_balance = cash_balance + 1"),
    (
        {"1b"},
        (
            "UPDATE transactions SET cash_before = cash_before + 1, cash_after = cash_after + 1 "
            "WHERE sequence = 3"
        ),
    ),
    ({"1b"}, "UPDATE transactions SET cash_after = cash_after + 1 WHERE sequence = 6"),
    ({"1a", "1b", "1c"}, f"DELETE FROM transactions WHERE {LAST_DEPOSIT}"),
    ({"1a", "1c", "4b"}, "DELETE FROM transactions WHERE transaction_type = 'SELL'"),
    ({"1c"}, "UPDATE virtual_balances SET transaction_count = transaction_count + 1"),
    (
        {"1a", "1b"},
        (
            "UPDATE transactions SET amount = amount + 1, cash_after = cash_after + 1 WHERE "
            "sequence = 1"
        ),
    ),
    (
        {"1a", "1b", "4b"},
        "UPDATE transactions SET commission = commission + 1 WHERE transaction_type = 'BUY'",
    ),
    ({"1a"}, "DELETE FROM virtual_balances"),
    ({"2a"}, "UPDATE virtual_balances SET reserved_cash = reserved_cash + 1"),
    ({"2a", "2b"}, "UPDATE orders SET reserved_cash = 5 WHERE side = 'BUY' AND status = 'FILLED'"),
    ({"2a"}, "UPDATE orders SET reserved_cash = 0 WHERE status = 'PENDING' AND side = 'BUY'"),
    ({"2a", "2c"}, "UPDATE virtual_balances SET reserved_cash = cash_balance + 1"),
    ({"3a"}, "UPDATE portfolios SET quantity = quantity + 1"),
    ({"3a"}, "UPDATE portfolios SET cost = cost - 1"),
    ({"3a", "3b"}, "DELETE FROM portfolios"),
    ({"3b"}, "UPDATE portfolios SET reserved_quantity = reserved_quantity - 1"),
    ({"3b", "3c"}, "UPDATE portfolios SET reserved_quantity = quantity + 1"),
    ({"3b"}, "UPDATE orders SET status = 'CANCELLED' WHERE status = 'PENDING' AND side = 'SELL'"),
    ({"4a"}, "UPDATE orders SET executed_quantity = executed_quantity - 1 WHERE status = 'FILLED'"),
    ({"4a"}, "UPDATE orders SET status = 'PENDING' WHERE status = 'FILLED' AND side = 'BUY'"),
    (
        {"4a", "4b", "3a"},
        (
            "UPDATE order_executions SET quantity = quantity + 1, amount = amount + price WHERE "
            "side = 'BUY'"
        ),
    ),
    ({"4b"}, "UPDATE order_executions SET price = price + 1 WHERE side = 'SELL'"),
    ({"4b", "4c"}, "UPDATE order_executions SET settled_at = NULL WHERE applied_at IS NOT NULL"),
    ({"4c"}, "UPDATE order_executions SET stock_code = 'A000660'"),
    ({"4c"}, "DELETE FROM orders WHERE status = 'FILLED'"),
    ({"5g"}, "UPDATE users SET deleted_at = '2026-11-20'"),
    ({"6"}, "UPDATE transactions SET execution_id = NULL WHERE transaction_type = 'BUY'"),
    ({"2d"}, "UPDATE orders SET reserved_cash = reserved_cash - 400000 WHERE limit_price = 60000"),
    (
        {"2d"},
        (
            "UPDATE orders SET limit_price = limit_price + 1000, book_price = limit_price WHERE "
            "limit_price = 60000"
        ),
    ),
    ({"2a", "2d"}, "UPDATE orders SET reserved_cash = 1 WHERE side = 'SELL'"),
    ({"8a"}, "UPDATE orders SET next_attempt_at = NULL WHERE book_price IS NULL"),
    ({"8a"}, "UPDATE orders SET finished_at = accepted_at WHERE status = 'PENDING'"),
    ({"8a"}, "UPDATE orders SET book_price = 1 WHERE status = 'FILLED'"),
    ({"8a"}, "UPDATE orders SET awaiting_first_print = 1 WHERE status = 'FILLED'"),
    ({"8a", "8c"}, "UPDATE orders SET status = 'CANCELLED' WHERE limit_price = 69000"),
    ({"8b"}, "UPDATE orders SET book_price = book_price + 100 WHERE limit_price = 60000"),
    (
        {"8b"},
        (
            "UPDATE orders SET book_price = NULL, next_attempt_at = accepted_at WHERE "
            "limit_price = 60000"
        ),
    ),
    ({"8b"}, "UPDATE pending_fills SET quantity = quantity - 1"),
    ({"8b"}, "DELETE FROM pending_fills"),
    ({"8c"}, "UPDATE orders SET next_attempt_at = NULL WHERE limit_price = 69000"),
    ({"8c"}, "UPDATE pending_fills SET price = price + 1"),
    (
        {"8c"},
        (
            "UPDATE orders SET accepted_position = accepted_position + 1000000000 WHERE "
            "limit_price = 69000"
        ),
    ),
    ({"8c"}, "DELETE FROM orders WHERE limit_price = 69000"),
    (
        {"8d"},
        (
            "UPDATE order_executions SET tick_price = tick_price + 1 WHERE rule = "
            "'market-at-last-trade'"
        ),
    ),
    ({"8d"}, "UPDATE order_executions SET tick_price = price + 1 WHERE rule = 'resting-at-limit'"),
    (
        {"8d"},
        (
            "UPDATE order_executions SET rule = 'market-at-print', tick_price = price - 1 WHERE "
            "side = 'SELL'"
        ),
    ),
    (
        {"8e"},
        (
            "UPDATE orders SET limit_price = limit_price - 100 WHERE order_type = 'LIMIT' AND "
            "status = 'FILLED'"
        ),
    ),
    ({"8e"}, "UPDATE order_executions SET tick_position = 1 WHERE rule = 'resting-at-limit'"),
    ({"8g"}, "UPDATE candles SET open = 1, high = 1, low = 1, close = 1"),
    (
        {"8f"},
        (
            "UPDATE order_executions SET rule = 'market-at-print', tick_position = 1, "
            "fill_number = quantity, order_id = (SELECT id FROM orders WHERE limit_price = 69500)"
        ),
    ),
    ({"9a"}, "UPDATE account_event_heads SET last_id = last_id + 1"),
    (
        {"9a"},
        (
            "UPDATE account_events SET id = id + 1 WHERE id = (SELECT last_id FROM "
            "account_event_heads)"
        ),
    ),
    ({"9a", "9b"}, "DELETE FROM account_events WHERE data LIKE '%WITHDRAW%'"),
    ({"9b"}, "UPDATE virtual_balances SET cash_balance = cash_balance + 1"),
    (
        {"9b"},
        (
            f"UPDATE account_events SET data = {changed('cash_balance_after', 1)} WHERE data LIKE "
            "'%WITHDRAW%'"
        ),
    ),
    ({"9c"}, f"UPDATE account_events SET data = {changed('status', 'CANCELLED')} WHERE {FILLED}"),
    ({"9c"}, f"UPDATE account_events SET data = {changed('executed_quantity', 1)} WHERE {FILLED}"),
    ({"9c"}, "UPDATE orders SET quantity = quantity + 1 WHERE limit_price = 60000"),
    ({"9a", "9c"}, f"DELETE FROM account_events WHERE {FILLED}"),
    ({"9c"}, "DELETE FROM orders WHERE limit_price = 60000"),
    ({"9a", "9d"}, "DELETE FROM account_events WHERE kind = 'fill'"),
    ({"9d"}, "UPDATE account_events SET kind = 'fill' WHERE kind = 'cash' AND data LIKE '%BUY%'"),
    ({"9d"}, f"UPDATE account_events SET data = {changed('quantity', 1)} WHERE kind = 'fill'"),
    ({"9d"}, f"UPDATE account_events SET data = {changed('amount', 1)} WHERE kind = 'fill'"),
    ({"9e"}, f"UPDATE account_events SET data = {changed('cost', 1)} WHERE kind = 'holding'"),
    ({"9e"}, "UPDATE portfolios SET quantity = quantity + 1"),
    ({"9e"}, "UPDATE portfolios SET realized_profit = realized_profit + 1"),
    ({"9e"}, "DELETE FROM portfolios"),
    ({"10a"}, "UPDATE daily_snapshots SET cash_balance = cash_balance + 1"),
    (
        {"10a", "10b"},
        "UPDATE daily_snapshots SET last_sequence = last_sequence - 1 WHERE last_sequence > 1",
    ),
    (
        {"10a"},
        "UPDATE daily_snapshots SET ended_at = (SELECT MIN(transaction_date) FROM transactions)",
    ),
    ({"10b"}, "UPDATE daily_snapshots SET net_flow = net_flow + 1"),
    ({"10b"}, "UPDATE daily_snapshots SET paid_out = paid_out + 1"),
    ({"10b"}, "UPDATE daily_snapshots SET ended_at = '2026-11-30'"),
    ({"9a", "11a"}, f"DELETE FROM account_events WHERE {ALERTED}"),
    ({"11a"}, f"UPDATE account_events SET data = {changed('bound', 1)} WHERE {ALERTED}"),
    ({"11a"}, f"UPDATE account_events SET data = {changed('tick_price', 1)} WHERE {ALERTED}"),
    ({"11a"}, f"UPDATE account_events SET data = {changed('kind', 'lower_price')} WHERE {ALERTED}"),
    ({"11a"}, f"UPDATE account_events SET data = {changed('item_id', 'other')} WHERE {ALERTED}"),
    ({"11a"}, f"UPDATE account_events SET user_id = {NOBODY} WHERE {ALERTED}"),
    ({"11a"}, "UPDATE price_alerts SET fired_at = armed_at WHERE kind = 'target_price'"),
    ({"11a", "11c"}, "UPDATE price_alerts SET tick_price = bound - 1 WHERE kind = 'upper_price'"),
    (
        {"11b"},
        (
            "INSERT INTO account_events SELECT user_id, id + 1, kind, occurred_at, data FROM "
            f"account_events WHERE {ALERTED} ORDER BY id DESC LIMIT 1"
        ),
    ),
    ({"11c"}, "UPDATE price_alerts SET armed_position = tick_position WHERE kind = 'target_price'"),
    ({"11c"}, "UPDATE price_alerts SET approach = 'FROM_ABOVE' WHERE kind = 'target_price'"),
    ({"11c"}, "UPDATE price_alerts SET approach = 'UNKNOWN' WHERE kind = 'target_price'"),
    ({"11c"}, "UPDATE price_alerts SET fired_at = NULL WHERE kind = 'target_price'"),
    ({"11c"}, "UPDATE price_alerts SET stock_code = 'A035420'"),
    ({"11a", "11c"}, "DELETE FROM watchlist_items WHERE stock_code = 'A005930'"),
    ({"11d"}, "UPDATE watchlist_items SET position = 0"),
    ({"11d"}, "UPDATE watchlist_directories SET position = 1"),
    ({"2a"}, "UPDATE payment_refunds SET amount = amount + 1 WHERE status = 'REQUESTED'"),
    ({"2c", "5e"}, "UPDATE virtual_balances SET debt = -1"),
    ({"5a"}, "UPDATE payments SET amount = amount + 1"),
    ({"5a"}, "UPDATE payments SET credited_at = NULL"),
    ({"5a"}, "UPDATE payments SET status = 'EXPIRED'"),
    ({"5a", "1a"}, "DELETE FROM transactions WHERE credit_of IS NOT NULL"),
    (
        {"5a"},
        f"UPDATE transactions SET credit_of = NULL, user_id = {NOBODY} WHERE credit_of IS NOT NULL",
    ),
    ({"5a"}, "UPDATE transactions SET transaction_type = 'DIVIDEND' WHERE credit_of IS NOT NULL"),
    ({"5b", "5c"}, "UPDATE payment_cancellations SET amount = amount + 1"),
    (
        {"5b"},
        (
            f"UPDATE transactions SET user_id = {NOBODY} WHERE amount = 3000 AND transaction_type "
            "= 'REFUND'"
        ),
    ),
    (
        {"5b"},
        (
            "UPDATE transactions SET reversal_of = NULL WHERE amount = 3000 AND transaction_type "
            "= 'REFUND'"
        ),
    ),
    ({"5b", "5c", "5d"}, "DELETE FROM payment_cancellations WHERE amount = 3000"),
    ({"5c"}, "UPDATE payments SET reversed_amount = reversed_amount + 1"),
    ({"5c"}, "UPDATE payments SET status = 'CANCELLED'"),
    ({"5c"}, "UPDATE payments SET reversed_amount = 0"),
    ({"5d"}, "UPDATE payment_refunds SET status = 'FAILED' WHERE status = 'SUCCEEDED'"),
    ({"5d"}, "UPDATE payment_refunds SET cancellation_id = 'other'"),
    ({"5d"}, f"UPDATE payment_refunds SET user_id = {NOBODY} WHERE status = 'SUCCEEDED'"),
    ({"5d"}, "UPDATE payment_cancellations SET refund_id = NULL"),
    ({"5e"}, "UPDATE virtual_balances SET debt = debt + 1"),
    ({"5e", "1a"}, "UPDATE virtual_balances SET cash_balance = reserved_cash - 6000, debt = 6000"),
    ({"5f"}, "UPDATE payments SET status = 'PENDING', next_attempt_at = NULL"),
    ({"5f"}, "UPDATE payment_refunds SET next_attempt_at = NULL WHERE status = 'REQUESTED'"),
    (
        {"7"},
        "UPDATE order_executions SET realized_profit = realized_profit + 1 WHERE side = 'SELL'",
    ),
]


# Damage that leaves rows without an owner. Foreign keys prevent it, and the audit of single
# accounts cannot find it.
ORPHANING = (
    "DELETE FROM orders WHERE limit_price = 69000",
    "DELETE FROM watchlist_items WHERE stock_code = 'A005930'",
)


@pytest.fixture(
    scope="module", params=["sqlite", "mariadb", pytest.param("mysql", marks=pytest.mark.full)]
)
def traded(request: pytest.FixtureRequest, valkey_server: Valkey) -> Iterator[TradingHarness]:
    """Harness with data in every table.

    A holding from finished trades, deposits and withdrawals, a payment with one partial refund done
    and another pending, and open orders: a buy and a sale that are due, a buy in the book, and a
    buy with a pending fill. Two days of the account are recorded, and two price alerts were raised.
    """
    uri = request.getfixturevalue(f"migrated_{request.param}")
    with opened(settings_for(uri, valkey_server.url)) as harness:
        user = harness.user()
        deposit(harness, user, 50_000)
        bought(harness, user, 10)
        harness.place(user, Side.SELL, 4)
        harness.run_all()
        withdraw(harness, user, 30_000)
        harness.clock.advance(days=1)
        record(harness)
        harness.tick(70_000)
        deposit(harness, user, 10_000)
        harness.place(user, Side.BUY, 1, limit=69_500)
        harness.place(user, Side.BUY, 2, limit=69_000)
        harness.place(user, Side.BUY, 5, limit=60_000)
        harness.tick(69_200)
        harness.match()
        harness.run_all()
        harness.tick(68_900)
        harness.match()
        harness.tick(70_000)
        harness.place(user, Side.BUY, 1)
        harness.place(user, Side.SELL, 2)
        hold_for_refund(harness, user, partly_refunded_payment(harness, user), 1_000)
        harness.clock.advance(days=1)
        record(harness)
        watch(harness, user, HYNIX, lower=1)
        watch(harness, user, upper=70_500, target=70_200)
        watch(harness, user, lower=1, directory=open_second(harness, user))
        harness.clock.advance(seconds=1)
        harness.tick(70_500)
        check_alerts(harness)
        harness.core.run(build_candles, stream=harness.core.ticks)
        since = datetime(2026, 1, 1, tzinfo=UTC)
        rules = [{"name": name, "since": since} for name in ("auction-prices", "closed-accounts")]
        harness.do(lambda session: session.execute(RULE_CHANGES.delete()))
        harness.do(lambda session: session.execute(RULE_CHANGES.insert(), rules))
        yield harness


def findings_of(connection: Connection) -> list[Finding]:
    with Session(connection) as session:
        return audit(session)


@pytest.fixture(scope="module")
def unchecked(traded: TradingHarness) -> Iterator[TradingHarness]:
    """The same harness with CHECK constraints disabled, which MySQL cannot do for one session."""
    engine = traded.core.database.engine
    if server_of(engine.dialect) == "mysql":
        enforce_checks(engine, "NOT ENFORCED")
        yield traded
        enforce_checks(engine, "ENFORCED")
    else:
        yield traded


def enforce_checks(engine: Engine, how: str) -> None:
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            checks = [str(one.name) for one in table.constraints if str(one.name)[:3] == "ck_"]
            if checks:
                changes = ", ".join(f"ALTER CHECK {name} {how}" for name in checks)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} {changes}")


@pytest.fixture
def unguarded(unchecked: TradingHarness) -> Iterator[Connection]:
    """A connection that no constraint restricts, rolled back afterwards."""
    traded = unchecked
    off, on = {
        "sqlite": (
            ["PRAGMA foreign_keys = OFF", "PRAGMA ignore_check_constraints = ON"],
            ["PRAGMA foreign_keys = ON", "PRAGMA ignore_check_constraints = OFF"],
        ),
        "mariadb": (
            ["SET SESSION foreign_key_checks = 0, check_constraint_checks = 0"],
            ["SET SESSION foreign_key_checks = 1, check_constraint_checks = 1"],
        ),
        "mysql": (["SET SESSION foreign_key_checks = 0"], ["SET SESSION foreign_key_checks = 1"]),
    }[server_of(traded.core.database.engine.dialect)]
    with traded.core.database.engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        switch(driver, off)
        yield connection
        connection.rollback()
        switch(driver, on)


def switch(driver: object, statements: list[str]) -> None:
    """Execute statements that SQLite accepts only outside of a transaction."""
    cursor = driver.cursor()  # type: ignore[attr-defined]
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


@pytest.mark.parametrize(("found_by", "damage"), DAMAGE, ids=range(len(DAMAGE)))
def test_damage_is_found(unguarded: Connection, found_by: set[str], damage: str) -> None:
    assert unguarded.execute(text(damage)).rowcount > 0

    breached = {
        finding.name.split()[0]: finding for finding in findings_of(unguarded) if finding.breaches
    }

    assert found_by <= set(breached)
    assert all(finding.sample and "=" in finding.sample[0] for finding in breached.values())


@pytest.mark.parametrize(("found_by", "damage"), [one for one in DAMAGE if one[1] not in ORPHANING])
def test_damage_is_found_by_the_audit_of_its_account(
    unguarded: Connection, found_by: set[str], damage: str
) -> None:
    """Rows moved to another account are found there or missing here."""
    users = unguarded.execute(text(f"SELECT id FROM users UNION SELECT {NOBODY}")).all()
    accounts = sorted(UUID(bytes=bytes(row.id)) for row in users)
    unguarded.execute(text(damage))

    with Session(unguarded) as session:
        audited = audit_accounts(session, accounts)

    assert found_by <= {breach.check_number for breach in audited.breaches}
    assert set(audited.events) == set(accounts)


def test_breach_names_only_its_own_account(harness: TradingHarness) -> None:
    accounts = sorted(harness.user() for _ in range(3))
    for user in accounts:
        bought(harness, user, 3)
    assert harness.core.snapshot(audit_accounts, accounts).breaches == []
    _first, other, _last = accounts
    wrong = text(
        "UPDATE virtual_balances SET cash_balance = cash_balance + 1 WHERE user_id = :user"
    )

    harness.do(lambda session: session.execute(wrong, {"user": other.bytes}))
    found = harness.core.snapshot(audit_accounts, accounts).breaches

    assert {(breach.user_id, breach.check_number) for breach in found} == {
        (other, "1a"),
        (other, "7"),
        (other, "9b"),
    }
    assert all("=" in breach.sample for breach in found)


def test_every_table_read_by_a_check_can_be_restricted_to_accounts() -> None:
    """The audit of single accounts needs to know the owner of each row."""
    read = frozenset[str]().union(*(tables_read(check.faults) for check in CHECKS))

    assert read == OWN_ROWS.keys() | SHARED


def test_every_check_has_a_case_of_damage() -> None:
    assert set().union(*(found_by for found_by, _ in DAMAGE)) == {
        check.name.split()[0] for check in CHECKS
    }


def test_sound_data_passes_with_its_figures(traded: TradingHarness) -> None:
    """Every check covers some rows."""
    findings = {one.name.split()[0]: one for one in traded.core.snapshot(audit)}
    assert [one.name for one in findings.values() if one.breaches] == []
    assert all(one.checked and not one.sample for one in findings.values())
    assert findings["1b"].figure == findings["1b"].checked == 10
    assert findings["3a"].figure == 7
    assert findings["4a"].figure == 15
    assert (findings["2d"].figure, findings["8b"].figure) == (5 * 60_000 + 2 * 69_000, 7)
    assert (
        findings["8a"].figure,
        findings["8c"].figure,
        findings["8e"].figure,
        findings["8f"].figure,
    ) == (1, 2, 1, 1)


def test_empty_database_passes(harness: TradingHarness) -> None:
    assert harness.breaches() == []


def test_all_breaches_are_counted_and_some_sampled(harness: TradingHarness) -> None:
    for _ in range(SAMPLE + 2):
        harness.user()
    harness.core.database.transaction(
        lambda session: session.execute(
            text("UPDATE virtual_balances SET cash_balance = cash_balance + 1")
        ),
        find_committed=rerun_is_safe,
    )
    (finding, *_) = harness.breaches()
    assert (finding.breaches, len(finding.sample)) == (SAMPLE + 2, SAMPLE)


@pytest.mark.parametrize("stages", range(1, 4))
def test_data_is_sound_between_the_stages(harness: TradingHarness, stages: int) -> None:
    """After acceptance, execution and settlement of a buy and a sale."""
    user = harness.user()
    bought(harness, user, 5)
    for side in Side:
        harness.place(user, side, 2)
    order_of_stages = (Task.EXECUTE_ORDERS, Task.SETTLE_EXECUTIONS, Task.UPDATE_PORTFOLIOS)
    for task in order_of_stages[:stages]:
        assert harness.breaches() == []
        while harness.sent and harness.sent[0].task is task:
            harness.run(harness.sent.pop(0))
    assert harness.breaches() == []
